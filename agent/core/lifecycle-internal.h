#pragma once

/* What the files of the lifecycle share: the struct, and the ways to end a step. A step is a function that takes the
 * result of the action before it and returns the next action; the function in `then` is where the runner stands. */

#include "agent/core/lifecycle.h"

typedef Action (*Step)(Lifecycle *l, const Event *event);

/* A token that may already be this host's: an entry of config.toml, or a debt. */
typedef struct Candidate {
        Secret *token;
        int64_t runner_id;
        uint64_t obtained_at_usec;
        uint64_t expires_at_usec;
        const Debt *debt; /* compared only while record->debts does not change; NULL: from config.toml */
} Candidate;

#define NOTICES_MAX   8
#define DELETE_PROOFS 3

/* What is due when, in boottime; USEC_INFINITY: not. */
typedef enum Due {
        DUE_ENROL,
        DUE_VERIFY,
        DUE_ROTATE, /* not before; whether at all, the record says */
        DUE_SOURCE, /* compare the configured source with the last value used */
        DUE_ENTRIES,
        DUE_DEBTS,
        DUE_DISK, /* write what could not be written */
        _DUE_MAX,
} Due;

struct Lifecycle {
        Plan plan;
        Random random;
        Record *record;
        bool system_id_proves;
        char *system_id;
        char *machine_id;
        char *instance_id;

        RunnerState state;
        Now now;
        Step then;           /* NULL: nothing is under way */
        ActionKind doing;    /* what is under way */
        uint64_t until_usec; /* when it is over by itself, boottime */
        Call calling;
        bool deciding; /* a step asks for the next decision */

        char *reason;
        unsigned attempt; /* failed tries in a row, of enrolling or verifying */
        bool has_verdict;
        Verdict last_verdict;
        uint64_t due_usec[_DUE_MAX];
        const char *rule[_DUE_MAX]; /* why then */
        unsigned rotate_attempt;
        unsigned debt_attempt;
        unsigned disk_attempt;

        /* Wishes, noted as they come. */
        Command command;
        bool command_done;
        Outcome outcome;
        bool stopping;
        StopPlan stop;
        uint64_t stop_deadline_usec;
        bool stop_debts_tried;

        /* What the world lacks of what the record says. */
        bool save_due;
        bool entry_due;
        bool entry_missing; /* written back only after its token verified */
        bool tell_due;
        char *stale_url; /* an entry of this name under another url is to go */

        /* Scratch of the task under way. */
        Candidate entries[LIFECYCLE_CANDIDATES_MAX];
        size_t n_entries;
        Candidate candidates[LIFECYCLE_CANDIDATES_MAX];
        size_t n_candidates;
        size_t candidate;
        Secret *secret; /* a registration or access token, only while needed */
        Secret *trial;  /* an authentication token that is being tried */
        char *trial_digest;
        Answer answer;
        bool has_answer;
        bool neighbour_may_poll;
        unsigned proofs_left; /* deletes that may still be sent until a 404 proves that no poll made the manager again
                               */
        unsigned withdraw_tries;
        size_t debt;
        int64_t *ids; /* of runners among which an orphan is looked for */
        size_t n_ids;
        size_t id;
        struct timespec edit_obtained_at; /* what lifecycle_entry_edit() points at */
        struct timespec edit_expires_at;

        Notice notices[NOTICES_MAX];
        char *sentences[NOTICES_MAX];
        size_t n_notices;
};

/* Ends of a step: the action, and the step that takes its result. */
Action act_read_secret(Lifecycle *l, Step then);
Action act_prepare(Lifecycle *l, Step then);
Action act_save(Lifecycle *l, Step then);
Action act_send(Lifecycle *l, Call call, CallArguments arguments, Step then);
Action act_send_to(Lifecycle *l, const Target *target, Call call, CallArguments arguments, Step then);
Action act_journal(Lifecycle *l, Step then);
Action act_write_entry(Lifecycle *l, Step then);
Action act_remove_entry(Lifecycle *l, const char *url, Step then);
Action act_tell(Lifecycle *l, Step then);
Action act_sleep(Lifecycle *l, uint64_t span_usec, Step then);

/* The step is over; what is next is decided afresh. */
Action act_decide(Lifecycle *l);
Action act_stopped(Lifecycle *l);

/* The arguments of a call by authentication token. */
CallArguments token_arguments(const Lifecycle *l, const Secret *token);

void lifecycle_enter(Lifecycle *l, RunnerState state);
void lifecycle_set_due(Lifecycle *l, Due due, uint64_t span_usec, const char *rule);
void lifecycle_set_never(Lifecycle *l, Due due);
bool lifecycle_is_due(const Lifecycle *l, Due due);

/* Sets the reason that status shows; format NULL clears it. */
void lifecycle_because(Lifecycle *l, const char *format, ...) _printf_(2, 3);
void lifecycle_notice(Lifecycle *l, Notice notice, const char *format, ...) _printf_(3, 4);

/* Ends COMMAND, if it is the one that waits, with an exit code of the design's §3. */
void lifecycle_finish(Lifecycle *l, Command command, int code, const char *format, ...) _printf_(4, 5);

/* The exit code that a judgement other than ALIVE stands for. */
int judgement_code(const Judgement *j);
const char *judgement_words(const Judgement *j);

/* Which wait a judgement asks for after ATTEMPT tries; *ret_rule names it. */
uint64_t judgement_wait(Lifecycle *l, const Judgement *j, unsigned attempt, const char **ret_rule);

/* Puts a token with what is known of it into the record. Copies TOKEN. */
int lifecycle_take_token(Lifecycle *l, const Secret *token, int64_t runner_id, uint64_t obtained_at_usec);
void lifecycle_take_expiry(Lifecycle *l, const Identity *identity);

/* Adds a debt for TOKEN of the record's runner. */
void lifecycle_owe(Lifecycle *l, DebtKind kind, const Target *target, const Secret *token, int64_t runner_id,
        const char *reason);
void lifecycle_owe_orphan(Lifecycle *l, const char *reason);

void lifecycle_drop_secrets(Lifecycle *l);
void lifecycle_clear_proofs(Lifecycle *l);
bool lifecycle_may_rotate(const Lifecycle *l, bool by_hand);

/* Tasks: each begins here and ends in act_decide(). */
Action enrol_start(Lifecycle *l);
Action create_start(Lifecycle *l);
Action answer_apply(Lifecycle *l);
Action answer_journalled(Lifecycle *l, const Event *event);
Action verify_start(Lifecycle *l);
Action entries_check(Lifecycle *l);
Action source_check(Lifecycle *l);
Action rotate_start(Lifecycle *l);
Action recover_start(Lifecycle *l);
Action withdraw_start(Lifecycle *l);
Action hand_back_start(Lifecycle *l);
Action debts_start(Lifecycle *l);

/* Pays all debts as part of a withdrawal, which withdraw_paid() ends or tries again. */
Action debts_withdraw(Lifecycle *l);
Action withdraw_paid(Lifecycle *l, bool all, const Judgement *j);
Action withdraw_told(Lifecycle *l, const Event *event);
Action hand_back_told(Lifecycle *l, const Event *event);
Action apply_start(Lifecycle *l);

/* Shared endings. */
Action enrol_refused(Lifecycle *l, int code, const char *words);
void verify_alive(Lifecycle *l, const Judgement *j);
