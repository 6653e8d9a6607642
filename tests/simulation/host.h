#pragma once

/* One simulated host: the agent's shell once more, on a simulated disk and network, around the real decisions; the
 * gitlab-runner beside it; and the power that may go. */

#include "agent/config-toml.h"
#include "agent/core/entry.h"
#include "agent/core/leaving.h"
#include "agent/host/machine.h"
#include "agent/store.h"
#include "tests/simulation/disk.h"
#include "tests/simulation/gitlab.h"

#define GITLAB_URL       "https://gitlab.example.com/"
#define GITLAB_URL_OTHER "https://other-gitlab.example.com/"
#define GITLAB_URLS      2
#define GENERATIONS_KEPT 8

#define HOST_RUNNERS_MAX     4
#define NEIGHBOUR_TOKENS_MAX 8

/* A create that was sent and not answered yet, or never. */
/* How long a request may still travel when whoever sent it is done with it: a request for jobs that gitlab-runner
 * sent before it read the file anew, a verify that a stop cut short. One that is longer on its way than the agent's
 * two deletes makes the manager again: a window of the protocol, and GitLab drops such managers in time. */
#define ON_THE_WAY_USEC (900 * USEC_PER_MSEC)

typedef struct Window {
        bool open;
        bool lost;     /* the answer will never come */
        bool recorded; /* and the host has noted it */
} Window;

/* GitLab's own words for an unknown token came for this one, so often in a row, since then. */
typedef struct Doubt {
        char token[TOKEN_MAX];
        unsigned forbidden;
        unsigned ever;
        uint64_t since_usec;
} Doubt;

#define DOUBTS_MAX 8

/* What the configuration says of a runner. */
typedef struct Setting {
        bool configured;
        unsigned url; /* of GITLAB_URLS */
        RotationPolicy rotation;
} Setting;

typedef struct HostRunner {
        Host *host;
        int index;
        char name[24];
        Setting file;    /* in the configuration's file */
        Setting setting; /* as the agent has read it */
        Plan plan;
        bool ending; /* a reload has told it to */
        Setting next;
        bool again;
        StopPlan end_plan;
        bool ordered; /* by a command without an agent */
        bool answered;
        int code;
        Lifecycle *lifecycle;                  /* NULL: no agent runs, or it does not know of it */
        uint64_t generation;                   /* of the action under way */
        uint64_t ended_usec[GENERATIONS_KEPT]; /* when the action of a generation ended, or was cut short */
        uint64_t timer_generation;
        bool journal_reserved;
        bool stopped;
        bool wishing; /* for an edit of config.toml */
        Answer late;  /* a deliberate fault's */
        bool has_late;
        char stop_token[TOKEN_MAX]; /* what it had when the agent was told to stop */
        bool commanded;             /* since then people, not rules, may have asked */

        Window window;
        char unjournalled[TOKEN_MAX]; /* an answer's token that stands in no file yet */
        bool journal_tried;
        uint64_t told_usec[GITLAB_URLS]; /* before which that GitLab wants no call */
        char reset_lost[TOKEN_MAX];      /* sent with a reset whose answer was lost, and not verified since */
        bool create_lost;                /* and GitLab's health not probed since */
        Doubt doubts[DOUBTS_MAX];
        size_t n_doubts;
        uint64_t minute;
        unsigned in_minute;
} HostRunner;

typedef struct GitLabRunner {
        bool runs;
        size_t n;
        char tokens[NEIGHBOUR_TOKENS_MAX][TOKEN_MAX];
        uint64_t mtime_nsec;
        bool poll_armed;
        unsigned polls_left;
        uint64_t rotate_generation;
        unsigned rotations_in_row; /* that were due at once */
        bool quitting;             /* it takes no more jobs, and ends after the last */
        bool restarts;             /* systemd is about to start it again */
        bool ends_with_host;       /* systemd stops it, as the host goes down */
        bool drained;              /* it has ended, and somebody may start it again */
        uint64_t job_end_usec;     /* when the last job ends */
        uint64_t job_generation;
} GitLabRunner;

/* What follows a stop of the agent. */
typedef enum After {
        AFTER_NOTHING,
        AFTER_START, /* the agent comes back in a moment */
        AFTER_BOOT,  /* the host reboots */
        AFTER_OFF,   /* the host is off for a while */
        AFTER_GONE,  /* the host is no more */
} After;

struct Host {
        World *world;
        int index;
        bool gone;
        bool up;
        bool agent;
        bool diskless; /* for the herds: a disk that always works, and is none */
        bool ephemeral;
        bool converged; /* of a herd: it has come through */
        Random random;
        SimClock clock;
        SimDisk disk;
        Machine machine;
        char system_id[SYSTEM_ID_SIZE + 1];
        char old_system_id[SYSTEM_ID_SIZE + 1]; /* before it was found to be a clone */
        Store *store;
        ConfigToml *config_toml;
        HostRunner runners[HOST_RUNNERS_MAX];
        size_t n_runners;
        Flow flow;
        char source_token[TOKEN_MAX]; /* what the configured source of an authentication token holds */
        int64_t shared_id;
        int64_t left_id; /* the shared runner whose token it held before, and … */
        char left_token[TOKEN_MAX];
        bool system_id_proves;
        DeregisterOn deregister_file; /* in the configuration's file */
        DeregisterOn deregister_on;
        bool once; /* what runs is a command without an agent */
        Command pass_command;
        uint64_t pass_generation;
        bool source_missing;

        Secret *seen;
        Secret *unsettled;
        bool settle_armed;
        bool commit_armed;
        bool look_armed;

        bool stopping;
        Leaving leaving;
        DrainProgress drain;
        bool draining;
        bool drained_for_command;
        uint64_t drain_generation;
        uint64_t stop_timeout_usec;
        uint64_t heeded_usec; /* when the agent heard of it */
        bool has_notice;      /* of the cloud, which says so to every agent that asks */
        StopReason notice_reason;
        uint64_t notice_usec;  /* when it takes the host; 0, USEC_INFINITY: as host_notice() */
        uint64_t may_cut_usec; /* before that no job is to be aborted */
        uint64_t stops;
        uint64_t deregistered_usec;
        bool withdrawn_wanted;   /* the stop under way withdraws */
        bool healthy_since_stop; /* GitLab answered all along */
        After after;
        uint64_t start_generation;
        uint64_t network_down_until_usec;
        bool crash_is_power;
        uint64_t jumped_usec;    /* when its clock or its disk failed last */
        uint64_t disturbed_usec; /* when anything but its clock did */
        uint64_t checked_changes;
        uint64_t checked_syncs;
        char *masked; /* config.toml's foreign lines, as last seen */
        GitLabRunner neighbour;
        bool rewriting; /* gitlab-runner has cut config.toml, and not written it yet */
};

Host *host_new(World *world, Flow flow, size_t n_runners, bool diskless);
Host *host_free(Host *host);

/* A host from an image of SOURCE; it has a machine id of its own unless SAME_MACHINE. */
Host *host_clone(Host *source, bool same_machine);

void host_boot(Host *host);
void host_start_agent_later(Host *host, uint64_t span_usec);

/* Ends what runs at once: a crash of the agent, or of all. */
void host_die(Host *host);
void host_power_cut(Host *host);

/* Stops the agent in order; what comes then, AFTER says. */
void host_stop(Host *host, StopReason reason, DeregisterOn deregister_on, uint64_t timeout_usec, After after);

/* Whether what it still makes is to go at once. */
bool host_is_leaving(const Host *host);

/* The cloud takes the host in SPAN; 0: that can't be known; USEC_INFINITY: when the agent says so. */
void host_notice(Host *host, StopReason reason, uint64_t span_usec);

/* By people, beside the agent. */
void host_command(Host *host, Command command);
void host_drain_and_deregister(Host *host);

/* The same where no agent runs: one pass. */
void agent_pass(Host *host, Command command);

/* The agent reads its configuration again. */
void host_reload(Host *host);

/* Somebody else changed config.toml. */
void host_config_changed(Host *host);

/* A manager went: whose gitlab-runner still has the token will make it again. */
void host_token_missed(World *world, const char *token, const char *system_id);

void host_handle(World *world, const SimEvent *event);

/* Whether its clock is wrong, or was until a day ago, or its disk failed since. */
bool host_clock_is_off(const Host *host);

/* Has the host's disk or record TOKEN? */
bool host_has_token(const Host *host, const char *token);

/* What gitlab-runner beside it does (neighbour.c). */
void neighbour_start(Host *host);
void neighbour_stop(Host *host);
void neighbour_load(Host *host);

/* Whether it may take what is written now for older than what it has read, and go on with that: it compares mtimes,
 * and a clock went back. */
bool neighbour_may_miss_changes(const Host *host);

void neighbour_wake(Host *host);
void neighbour_poll(Host *host, SimEvent event);
void neighbour_rewrite(Host *host, SimEvent event);
void neighbour_rotate(Host *host, SimEvent event);
void neighbour_on_the_way(Host *host);
void neighbour_touch(Host *host);

/* Its last job ends by itself, or soon. */
void neighbour_quit(Host *host);
void neighbour_abort(Host *host);
void neighbour_job_done(Host *host);
