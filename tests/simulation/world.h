#pragma once

/* One simulated world: a clock, a queue of events, a GitLab, hosts, and what must always hold. All of it comes from
 * one seed, so that a run can be had again byte for byte. */

#include "agent/core/lifecycle.h"
#include "agent/core/reply.h"
#include "tests/simulation/queue.h"

typedef struct World World;
typedef struct Host Host;
typedef struct GitLab GitLab;

/* What may go wrong, each switched on by `--faults`. */
typedef enum Fault {
        FAULT_POWER,     /* the power goes, between any two primitives of the disk */
        FAULT_CRASH,     /* the agent is killed, there too */
        FAULT_DISK,      /* full, read-only, failing syncs */
        FAULT_NETWORK,   /* slow, unreachable, answers lost after GitLab acted */
        FAULT_GITLAB,    /* outages, maintenance, blanket errors, throttles */
        FAULT_EXPIRY,    /* tokens expire */
        FAULT_UPGRADE,   /* GitLab begins old and gets newer */
        FAULT_PEOPLE,    /* who delete, reset, edit and restart */
        FAULT_NEIGHBOUR, /* gitlab-runner rewrites its file and rotates */
        FAULT_CLOCK,     /* dates that jump */
        FAULT_CLONE,     /* hosts made from one image, preempted, scaled in */
        FAULT_RELOAD,    /* the configuration changes */
        FAULT_PASS,      /* commands where no agent runs */
        FAULT_DRAIN,     /* jobs that run when the host goes */
        FAULT_NOTICE,    /* the cloud tells when it takes a host */
        FAULT_DATES,     /* GitLab says in dates when to come back */
        _FAULT_MAX,
} Fault;

/* A deliberate mistake; each must be caught. */
typedef enum Mutation {
        MUTATION_NONE,
        MUTATION_SKIP_FSYNC,
        MUTATION_SKIP_FOLDER_FSYNC,
        MUTATION_WRITE_IN_PLACE,
        MUTATION_APPLY_BEFORE_JOURNAL,
        MUTATION_NO_INTENT,
        MUTATION_DEAD_401,
        MUTATION_DEAD_404,
        MUTATION_DEAD_READ_ONLY,
        MUTATION_ONE_PROOF,
        MUTATION_BLIND_RESET,
        MUTATION_BLIND_CREATE,
        MUTATION_FORGET_LOST_ANSWER,
        MUTATION_DELETE_SHARED,
        MUTATION_DROP_DEBT,
        MUTATION_IGNORE_CLONE,
        MUTATION_DELETE_BEFORE_TELL,
        MUTATION_IGNORE_THROTTLE,
        MUTATION_ROTATE_SHARED,
        MUTATION_RELOAD_FORGETS,
        MUTATION_IGNORE_OTHER_NAMES,
        MUTATION_DRAIN_UNBOUND,
        _MUTATION_MAX,
} Mutation;

/* The invariants, by the words that a report uses. */
typedef enum Invariant {
        INVARIANT_ENROLLED_ONCE,
        INVARIANT_ONLY_OURS,
        INVARIANT_FILE_WHOLE,
        INVARIANT_TOKEN_KEPT,
        INVARIANT_BLANKET,
        INVARIANT_NOTHING_LEFT,
        INVARIANT_NO_SECRET,
        INVARIANT_WAITS,
        _INVARIANT_MAX,
} Invariant;

const char *fault_to_string(Fault fault);
const char *mutation_to_string(Mutation mutation);
const char *invariant_to_string(Invariant invariant);

typedef struct Counters {
        uint64_t events;
        uint64_t faults;
        uint64_t requests;
        uint64_t creations;
        uint64_t deletions;
        uint64_t resets;
        uint64_t verifies;
        uint64_t throttled;
        uint64_t lost_answers;     /* creates whose answer no host got to know */
        uint64_t orphans_recorded; /* those of them that a host noted */
        uint64_t ghosts;           /* runners and managers that nothing on their host accounts for */
        uint64_t tokens_lost;      /* which stood in a file once */
        uint64_t lost_resets;      /* tokens killed before their successor stood in any file */
        uint64_t power_cuts;
        uint64_t expired_left; /* rows whose token expired: nobody but an access token can delete them */
} Counters;

#define TRACE_MAX      48
#define TRACE_TEXT_MAX 160

typedef struct World {
        uint64_t seed;
        uint64_t now_usec;
        uint64_t end_usec;
        Random random;
        Queue queue;
        unsigned faults; /* of 1 << Fault */
        Mutation mutation;
        GitLab *gitlab;
        Host **hosts;
        size_t n_hosts;
        Counters counters;
        bool broken[_INVARIANT_MAX];
        char broken_text[TRACE_TEXT_MAX];
        bool failed;
        uint64_t disturbed_usec; /* when anything that is no host's own went wrong last */
        bool calm;               /* nothing goes wrong for a while */
        bool blanket;            /* every host is enrolled, and GitLab refuses everything */
        bool verbose;
        void (*scenario)(World *world, const SimEvent *event); /* what is no host's own */
        char trace[TRACE_MAX][TRACE_TEXT_MAX];
        size_t n_trace;

        /* For the herds: requests in each second, and who has come through. */
        unsigned *per_second;
        size_t n_seconds;
        size_t converged;
        uint64_t converged_usec;
        size_t converged_wanted;
        uint64_t herd_begin_usec;
        uint64_t herd_limit; /* requests in a minute */
        bool herd_headers;
} World;

void world_init(World *world, uint64_t seed);
void world_done(World *world);

static inline bool world_has(const World *world, Fault fault)
{
        return !world->calm && world->faults & (1U << fault);
}

/* A fault happens: it is counted. */
void world_disturb(World *world, const char *format, ...) _printf_(2, 3);

void world_trace(World *world, int host, const char *format, ...) _printf_(3, 4);

/* An invariant does not hold; the first such sentence is kept. */
void world_break(World *world, Invariant invariant, int host, const char *format, ...) _printf_(4, 5);

void world_later(World *world, uint64_t span_usec, SimEvent event);

/* Runs until END, an empty queue, or the first broken invariant. */
void world_run(World *world);

uint64_t world_below(World *world, uint64_t limit);

/* Whether it happens, with a chance of 1 in N. */
bool world_chance(World *world, uint64_t n);

/* A span around MEAN, exponentially distributed by way of a table, so that every libm gives the same. */
uint64_t world_span(World *world, uint64_t mean_usec);
