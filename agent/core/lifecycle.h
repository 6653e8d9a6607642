#pragma once

/* The life of one runner on one host. The lifecycle takes an event and returns the one action to do next; whoever
 * carries actions out, on the real machine or on a simulated one, hands the result back as the next event. It knows
 * no file descriptor, no clock and no log: time and randomness come in with the events.
 *
 * At most one action is under way. An event that is no result (a command, a stop, a change of config.toml) may come
 * at any moment: it is noted, and looked at when the action under way has ended, or at once where that may be cut
 * short (see ACTION_KEEP). */

#include "agent/base/time.h"
#include "agent/base/url.h"
#include "agent/core/api.h"
#include "agent/core/entry.h"
#include "agent/core/record.h"
#include "agent/core/schedule.h"
#include "agent/core/stop.h"
#include "agent/core/token.h"
#include "agent/core/verdict.h"

typedef struct Lifecycle Lifecycle;

typedef enum RotationPolicy {
        ROTATION_AUTO,
        ROTATION_ALWAYS,
        ROTATION_NEVER,
        ROTATION_GITLAB_RUNNER,
        _ROTATION_POLICY_MAX,
} RotationPolicy;

/* What the configuration wants of this runner. All pointers are borrowed and must outlive the lifecycle or the next
 * lifecycle_configure(). */
typedef struct Plan {
        bool configured; /* false: only its debts, or a state of old, keep it listed */
        bool once;       /* one pass of a command without an agent: nobody stays to rotate, nothing is tried twice */
        Flow flow;
        Target target;
        const Attributes *attributes;
        const char *executor;
        const char *template_body;
        RotationPolicy rotation;
        bool reregister;
        uint64_t verify_interval_usec;
        uint64_t removed_after_usec;
        uint64_t retry_min_usec;
        uint64_t retry_max_usec;
        uint64_t refused_retry_usec;
        uint64_t rotate_after_usec; /* USEC_INFINITY: never */
        double rotate_at;
        uint64_t poll_usec; /* within which gitlab-runner sees a change of config.toml by itself */
} Plan;

/* Whether another configured runner of this host lives under a token. */
typedef enum TokenUse {
        TOKEN_UNUSED,
        TOKEN_UNSURE, /* one that is not enrolled yet may be about to */
        TOKEN_USED,
        _TOKEN_USE_MAX,
} TokenUse;

/* What the runners of one host know of each other. ASK gives the most that lifecycle_token_use() says of any but
 * ASKING. Borrowed: must outlive the lifecycles. */
typedef struct Household {
        TokenUse (*ask)(void *userdata, const Lifecycle *asking, const char *url, const Secret *token);
        void *userdata;
} Household;

/* The machine, as found at start. Borrowed for lifecycle_new() only. */
typedef struct Facts {
        const char *system_id;
        const char *machine_id;  /* NULL: unknown */
        const char *instance_id; /* NULL: unknown */
        bool system_id_proves;   /* .runner_system_id was there before us and is the one that this machine gives */
        Household household;     /* without ASK it is alone */
} Facts;

/* An entry of config.toml with the runner's name, under whatever url. Borrowed for the event. */
typedef struct EntryView {
        const char *url;     /* NULL: none */
        const Secret *token; /* NULL: none, or blank */
        int64_t runner_id;
        uint64_t obtained_at_usec;
        uint64_t expires_at_usec;
} EntryView;

/* As ENTRY tells it, borrowing from it. */
EntryView entry_view(const Entry *entry);

/* Entries of one name that are looked at, and those of them under the runner's url. */
#define LIFECYCLE_ENTRIES_MAX    64
#define LIFECYCLE_CANDIDATES_MAX 16

typedef enum Command {
        COMMAND_NONE,
        COMMAND_REGISTER,
        COMMAND_VERIFY,
        COMMAND_ROTATE,
        COMMAND_DEREGISTER,
        _COMMAND_MAX,
} Command;

typedef enum Told {
        TOLD_DONE,        /* gitlab-runner has read the file */
        TOLD_NOT_RUNNING, /* there is none that could poll */
        TOLD_UNSURE,      /* it reads the file by itself within its poll */
        _TOLD_MAX,
} Told;

typedef enum EventKind {
        EVENT_START,
        EVENT_TIMER,   /* the time an action gave has come */
        EVENT_DISK,    /* result of PREPARE, SAVE, JOURNAL, WRITE_ENTRY, REMOVE_ENTRY */
        EVENT_SECRET,  /* result of READ_SECRET */
        EVENT_REPLY,   /* result of SEND */
        EVENT_TOLD,    /* result of TELL */
        EVENT_ENTRIES, /* config.toml was read: these entries have our name */
        EVENT_COMMAND,
        EVENT_STOP,
        EVENT_CONFIGURED, /* lifecycle_configure() was called */
        _EVENT_KIND_MAX,
} EventKind;

/* All pointers are borrowed for the call. */
typedef struct Event {
        EventKind kind;
        Now now;
        int error;            /* DISK, SECRET: negative errno, or 0 */
        const char *message;  /* DISK, SECRET: the sentence that belongs to the error */
        bool changed;         /* DISK: bytes of config.toml changed */
        const Secret *secret; /* SECRET: what was read; NULL with an error */
        const Judgement *judgement;
        Told told;
        const EntryView *entries;
        size_t n_entries;
        Command command;
        StopPlan stop;
        uint64_t deadline_usec; /* STOP: boottime until which there is time */
} Event;

typedef enum ActionKind {
        ACTION_KEEP,         /* go on with the action under way */
        ACTION_WAIT,         /* nothing is under way (cut short what is) but time */
        ACTION_READ_SECRET,  /* the configured source */
        ACTION_PREPARE,      /* save the record, reserve the journal, prove that config.toml can be written */
        ACTION_SAVE,         /* the record */
        ACTION_SEND,         /* a call */
        ACTION_JOURNAL,      /* the answer */
        ACTION_WRITE_ENTRY,  /* lifecycle_entry_edit() says how */
        ACTION_REMOVE_ENTRY, /* the same */
        ACTION_TELL,         /* gitlab-runner, that config.toml changed */
        ACTION_STOPPED,      /* the answer to EVENT_STOP: nothing more will be asked for */
        _ACTION_KIND_MAX,
} ActionKind;

/* What to do next. Pointers are borrowed from the lifecycle until the next event. An action other than KEEP ends the
 * one under way: its result is no longer wanted. */
typedef struct Action {
        ActionKind kind;
        uint64_t until_usec; /* boottime: send EVENT_TIMER then, whatever the action is; USEC_INFINITY: never */
        Call call;
        CallArguments arguments; /* without `info` and timeout, which the shell adds */
        const Target *target;
        const Answer *answer;
} Action;

/* What an operator wants to hear of, each with a message id of its own. */
typedef enum Notice {
        NOTICE_REGISTERED,
        NOTICE_ADOPTED,
        NOTICE_DOUBTFUL,
        NOTICE_ALIVE_AGAIN,
        NOTICE_RECOVERING,
        NOTICE_ROTATED,
        NOTICE_ROTATION_FAILED,
        NOTICE_REFUSED,
        NOTICE_WITHDRAWN,
        NOTICE_DEBT,
        NOTICE_DEBT_PAID,
        NOTICE_ORPHAN,
        NOTICE_HANDED_BACK,
        NOTICE_TROUBLE, /* a local failure: disk, secret */
        _NOTICE_MAX,
} Notice;

/* How a command ended: an exit code and a sentence. */
typedef struct Outcome {
        int code;
        char *message; /* NULL: nothing to say */
} Outcome;

/* Makes the lifecycle of RECORD (taken over; NULL is our bug) under PLAN. ANSWER, if any, is a journalled answer that
 * was found at start; its token is taken over. SEED drives all jitter. -ENOMEM. */
int lifecycle_new(
        const Plan *plan, const Facts *facts, Record *record, Answer *answer, uint64_t seed, Lifecycle **ret);
Lifecycle *lifecycle_free(Lifecycle *lifecycle);
DEFINE_CLEANUP(Lifecycle, lifecycle_free)

/* A reload's plan for the same name and url; follow it with EVENT_CONFIGURED. */
void lifecycle_configure(Lifecycle *lifecycle, const Plan *plan);

/* The heart: one event in, one action out. Never fails: out of memory becomes a wait and a NOTICE_TROUBLE. */
Action lifecycle_step(Lifecycle *lifecycle, const Event *event);

/* Takes the entries of an EVENT_ENTRIES before EVENT_START, when nothing is decided yet. */
void lifecycle_learn_entries(Lifecycle *lifecycle, const Event *event);

/* Whether config.toml does not hold yet what the record says. */
bool lifecycle_unwritten(const Lifecycle *lifecycle);

/* The edit of config.toml that the action under way asks for (WRITE_ENTRY, REMOVE_ENTRY); pointers are borrowed until
 * the next event. It is guarded: a token that somebody else has put there meanwhile makes it fail with -ESTALE, and
 * is handed in as EVENT_ENTRIES. */
void lifecycle_entry_edit(Lifecycle *lifecycle, EntryEdit *ret);

/* Whether this runner lives under TOKEN at URL: then another one of this host neither deletes what belongs to it, nor
 * needs an entry of its own for it. */
TokenUse lifecycle_token_use(const Lifecycle *lifecycle, const char *url, const Secret *token);

/* For status. Pointers are borrowed until the next event. */
const Record *lifecycle_record(const Lifecycle *lifecycle);
RunnerState lifecycle_state(const Lifecycle *lifecycle);
const char *lifecycle_reason(const Lifecycle *lifecycle); /* NULL: none */
unsigned lifecycle_attempt(const Lifecycle *lifecycle);
const char *lifecycle_last_verdict(const Lifecycle *lifecycle); /* NULL: none yet */

/* What happens next, when (realtime; 0: it is under way) and by which rule; NULL: nothing. */
const char *lifecycle_next(const Lifecycle *lifecycle, Now now, uint64_t *ret_at_usec, const char **ret_rule);

/* Takes the next notice of the last step: its kind in *ret and a sentence that the caller frees; false: no more. */
bool lifecycle_take_notice(Lifecycle *lifecycle, Notice *ret, char **ret_sentence);

/* Takes the outcome of the command, once it has one; the caller frees the message. */
bool lifecycle_take_outcome(Lifecycle *lifecycle, Command *ret_command, Outcome *ret);

/* Whether its record is still needed, be the runner configured or not: a debt, a token, an answer. */
bool lifecycle_owes(const Lifecycle *lifecycle);

/* Whether nothing more is to be done for it: not configured, and no debt left. */
bool lifecycle_settled(const Lifecycle *lifecycle);
