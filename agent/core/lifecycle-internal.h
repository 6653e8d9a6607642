#pragma once

/* What the files of the lifecycle share: the struct, and the ways to end a step. A step is a function that takes the
 * result of the action before it and returns the next action; the function in `then` is where the runner stands. */

#include "agent/core/exit-code.h"
#include "agent/core/lifecycle.h"

typedef Action (*Step)(Lifecycle *l, const Event *event);

/* A token that may already be this host's. */
typedef struct Candidate {
        Secret *token;
        int64_t runner_id;         /* 0: unknown */
        uint64_t obtained_at_usec; /* realtime; 0: unknown */
        uint64_t expires_at_usec;  /* 0: not told */
        bool ours;                 /* this machine created its runner, as far as is known here */
        bool known;                /* from our own state; else it only stands in config.toml */
} Candidate;

/* What clocks that are kept right may differ by, from one boot to the next and from GitLab's. */
#define CLOCK_SLACK_USEC USEC_PER_MINUTE

#define NOTICES_MAX   8
#define DELETE_PROOFS 3

/* What is due when, in boottime; USEC_INFINITY: not. */
typedef enum Due {
        DUE_ENROL, /* or recover */
        DUE_VERIFY,
        DUE_ROTATE, /* not before; whether at all, the record says */
        DUE_SOURCE, /* compare the configured source with the last value used */
        DUE_ENTRIES,
        DUE_DEBTS,
        DUE_DISK, /* not before: the disk refused; never: write at once */
        _DUE_MAX,
} Due;

struct Lifecycle {
        Plan plan;
        Random random;
        Record *record;
        bool taken_up;   /* a reload configures again what was configured no more */
        bool state_lost; /* there was no record of ours at start */
        bool system_id_proves;
        Household household;
        char *system_id;
        char *machine_id;
        char *instance_id;

        RunnerState state;
        Now now;
        Step then;                /* NULL: nothing is under way */
        ActionKind doing;         /* what is under way */
        uint64_t until_usec;      /* when it is cut short, or over by itself; boottime */
        const char *resting;      /* what a sleep within a task is good for */
        const Leftover *removing; /* the entry that goes */
        Call calling;
        bool calling_home;  /* the call is the configured runner's; a debt has a target of its own */
        bool calling_there; /* the call goes to the configured GitLab, whoever's it is */
        bool deciding;      /* a step asks for the next decision */

        char *reason;
        char *disk_reason; /* what keeps us from writing; NULL: nothing */
        unsigned attempt;  /* failed tries in a row, of enrolling or verifying */
        bool has_verdict;
        Verdict last_verdict;
        bool has_standing; /* since the start */
        Verdict standing;  /* the last that was heard of the record's own token */
        uint64_t due_usec[_DUE_MAX];
        const char *rule[_DUE_MAX]; /* why then */
        uint64_t server_usec;       /* GitLab's clock when it was heard last, realtime; 0: not yet */
        uint64_t server_heard_usec; /* when that was, boottime */
        uint64_t told_usec;         /* GitLab wants no call before */
        const char *told_rule;
        uint64_t away_told_usec; /* the same of the GitLabs that debts are owed to, all together */
        const char *away_told_rule;
        uint64_t proof_first_usec; /* of the proofs since the start, boottime; 0: there are older ones */
        uint64_t proof_last_usec;
        uint64_t dice; /* thrown once: how much later than its twins this host rotates */
        unsigned rotate_attempt;
        unsigned debt_attempt;
        unsigned disk_attempt;

        /* Wishes, noted as they come. */
        Command command;
        bool command_done;
        bool outcome_ready; /* what belongs to it is written, or can't be */
        bool rotate_asked;  /* the reset of a `rotate` by hand was sent */
        bool rotate_lost;   /* and may have been carried out, though no answer says so */
        Outcome outcome;
        bool stopping;
        StopPlan stop;
        uint64_t stop_deadline_usec;
        bool stop_entries_tried;
        bool stop_withdrawn;
        bool stop_debts_tried;
        bool stop_saved;

        /* What the world lacks of what the record says. */
        bool save_due;
        bool entry_due;
        bool tell_due;      /* of the next write, though it changes nothing: somebody else has put there what replaced
                             * a token that is owed now */
        bool entry_missing; /* written back only after its token verified */

        /* What config.toml held when it was read last, or was written by us. */
        Candidate entries[LIFECYCLE_CANDIDATES_MAX];
        size_t n_entries;
        Secret *former; /* under the url before: what gitlab-runner has replaced the record's token by; NULL: nothing
                         */
        size_t listed;  /* the one of them that ours may take the place of; n_entries or more: none */

        /* Scratch of the task under way. */
        Candidate candidates[LIFECYCLE_CANDIDATES_MAX];
        size_t n_candidates;
        size_t candidate;
        bool probed;    /* GitLab has shown itself well since it called the candidates dead */
        Secret *secret; /* a registration or access token, only while needed */
        Secret *trial;  /* an authentication token that is being tried */
        char *trial_digest;
        Answer answer;
        bool has_answer;
        unsigned answer_tries;
        bool neighbour_may_poll;
        bool verify_cut;      /* for the stop: it may arrive after our delete, and make the manager again */
        unsigned proofs_left; /* deletes that may still be sent until a 404 proves that no poll made the manager again
                               */
        unsigned withdraw_tries;
        size_t debt;
        uint64_t debts_wait_usec; /* what those debts ask for that could not be paid; 0: none */
        const char *debts_rule;
        bool debts_again; /* another try within the minute may help */
        int debts_code;
        char *debts_words;
        int64_t *ids; /* of runners among which an orphan is looked for */
        size_t n_ids;
        size_t id;
        unsigned page;
        bool orphans_hopeless;            /* the access token may not look, or there is too much to look at */
        bool ids_unseen;                  /* there are more than were looked at */
        struct timespec edit_obtained_at; /* what lifecycle_entry_edit() points at */
        struct timespec edit_expires_at;

        Notice notices[NOTICES_MAX];
        char *sentences[NOTICES_MAX];
        size_t n_notices;
};

/* ---- lifecycle-actions.c: ends of a step: the action, and the step that takes its result ---- */

Action act_read_secret(Lifecycle *l, Step then);
Action act_prepare(Lifecycle *l, Step then);
Action act_save(Lifecycle *l, Step then);
Action act_send(Lifecycle *l, Call call, CallArguments arguments, Step then);
Action act_send_to(Lifecycle *l, const Target *target, Call call, CallArguments arguments, Step then);
Action act_journal(Lifecycle *l, Step then);
Action act_write_entry(Lifecycle *l, Step then);
Action act_remove_entry(Lifecycle *l, const Leftover *leftover, Step then);
Action act_tell(Lifecycle *l, Step then);
Action act_sleep(Lifecycle *l, uint64_t span_usec, const char *why, Step then);
Action act_rest(Lifecycle *l, uint64_t until_usec); /* nothing is under way */

/* The step is over; what is next is decided afresh. */
Action act_decide(Lifecycle *l);
Action act_stopped(Lifecycle *l);

/* The arguments of a call by authentication token. */
CallArguments token_arguments(const Lifecycle *l, const Secret *token);

void lifecycle_set_due(Lifecycle *l, Due due, uint64_t span_usec, const char *rule);
void lifecycle_set_never(Lifecycle *l, Due due);
bool lifecycle_is_due(const Lifecycle *l, Due due);
void lifecycle_set_verify_interval(Lifecycle *l);

/* Whether we are stopping and the time for it is over. */
bool lifecycle_out_of_time(const Lifecycle *l);

/* Notes what every answer of our own GitLab tells: the verdict, and how long it wants to be left alone. */
void lifecycle_hear(Lifecycle *l, const Judgement *j);

/* The date in GitLab, by which it lets tokens expire: as it told it last, and ours where that is about the same, or
 * nothing was told yet. A clock that is set meanwhile does not move it. */
uint64_t lifecycle_server_now(const Lifecycle *l);

/* Why, for a person; never NULL. */
const char *judgement_words(const Judgement *j);

/* Which wait a judgement asks for after ATTEMPT tries; *ret_rule names it. */
uint64_t judgement_wait(Lifecycle *l, const Judgement *j, unsigned attempt, const char **ret_rule);

/* The words of a failed DISK or SECRET event. */
const char *event_words(const Event *event);

/* ---- lifecycle-words.c: what is said ---- */

void lifecycle_enter(Lifecycle *l, RunnerState state);

/* Sets the reason that status shows; format NULL clears it. */
void lifecycle_because(Lifecycle *l, const char *format, ...) _printf_(2, 3);
void lifecycle_notice(Lifecycle *l, Notice notice, const char *format, ...) _printf_(3, 4);

/* Ends COMMAND, if it is the one that waits, with an exit code of the design's §3. */
void lifecycle_finish(Lifecycle *l, Command command, int code, const char *format, ...) _printf_(4, 5);

/* What was done for the command could not be written: a success becomes exit 1. */
void lifecycle_spoil(Lifecycle *l, const char *words);

/* ---- lifecycle-record.c ---- */

/* Whether a token is enrolled and in use; a refused runner may keep one that is not. */
bool lifecycle_working(const Lifecycle *l);

/* Whether a token is enrolled, be the runner configured or not. */
bool lifecycle_enrolled(const Lifecycle *l);
/* Whether nobody knows what became of a reset: the runner may live under a token that was told to nobody. */
bool lifecycle_reset_open(const Lifecycle *l);
bool lifecycle_may_rotate(const Lifecycle *l, bool by_hand);

/* Puts a token into the record, and what belongs to this host beside it. Debts for this very token are cancelled;
 * *ret_ours (may be NULL): one of them said that this machine created the runner. -ENOMEM, then unchanged. */
int lifecycle_take_token(
        Lifecycle *l, const Secret *token, int64_t runner_id, uint64_t obtained_at_usec, bool *ret_ours);

/* Makes a candidate that GitLab has just accepted the record's token. What it replaces is owed, where it is another
 * runner's. -ENOMEM, then nothing has changed for the worse. */
int lifecycle_adopt(Lifecycle *l, const Candidate *candidate, const Identity *identity, const char *reason);
void lifecycle_take_expiry(Lifecycle *l, const Identity *identity);

/* Owes what the record holds, at TARGET. What this host did not enrol is not owed. -ENOMEM, -E2BIG: the token would
 * be lost if it were forgotten now. */
int lifecycle_owe(Lifecycle *l, const Target *target, const char *reason);
void lifecycle_owe_orphan(Lifecycle *l, int64_t runner_id, const char *marker, const char *reason);

/* Owes the runner of OWED, one of the record's debts, under TOKEN as well, and has its entry removed. As
 * lifecycle_owe(). */
int lifecycle_owe_rotated(Lifecycle *l, const Debt *owed, const Secret *token);

/* Cancels what is owed of the runner that GitLab calls RUNNER_ID; returns whether that says that it is ours. */
bool lifecycle_cancel_debts_of(Lifecycle *l, int64_t runner_id);

/* The entry of URL with TOKEN is to go, whatever happens before it has; without memory it stays. */
void lifecycle_leave_entry(Lifecycle *l, const char *url, const Secret *token);

/* The one under way (REMOVING) is gone. */
void lifecycle_entry_left(Lifecycle *l);

/* Nothing is left of that runner, or we have its token again. */
void lifecycle_cancel_orphans(Lifecycle *l, const char *url, int64_t runner_id);

/* The record's runner is no longer this host's business. */
void lifecycle_forget_runner(Lifecycle *l);

/* One more answer says that the token is dead. */
void lifecycle_count_proof(Lifecycle *l);
void lifecycle_clear_proofs(Lifecycle *l);
bool lifecycle_proven_dead(const Lifecycle *l);

/* Debts that wait for nothing but to become payable. */
void lifecycle_wake_debts(Lifecycle *l);

/* Hands rotation to gitlab-runner where a one-pass `register` leaves nobody else to do it. */
void lifecycle_hand_over_once(Lifecycle *l);

void lifecycle_drop_secrets(Lifecycle *l);
void candidate_done(Candidate *candidate);

/* Appends a copy, unless its token is there already. -ENOMEM. */
int candidate_add(Lifecycle *l, const Candidate *candidate);

/* ---- lifecycle-entries.c: what stands in config.toml ---- */

void entries_keep(Lifecycle *l, const EntryView *views, size_t n);
/* What was written stands there now. -ENOMEM: it can not be known by its token. */
int entries_written(Lifecycle *l);
void entries_removed(Lifecycle *l);

/* The token that stands there and that ours may take the place of; NULL: none. Borrowed until the entries change. */
const Secret *entries_listed(const Lifecycle *l);

/* Whether TOKEN stands there. */
bool entries_hold(const Lifecycle *l, const Secret *token);

/* Whether a token stands there that nobody has judged yet: nothing is written over it. */
bool entries_foreign(const Lifecycle *l);

/* One entry with this token was removed. */
void entries_forget(Lifecycle *l, const Secret *token);

/* TOKEN, if it stands there, is not worth keeping. */
void entries_give_up(Lifecycle *l, const Secret *token);

/* Finds out anew which of them is ours. */
void entries_relist(Lifecycle *l);

/* Copies them to the candidates. */
int entries_copy(Lifecycle *l, bool ours);
Action entries_check(Lifecycle *l);

/* ---- lifecycle-household.c: runners of one host under one token ---- */

/* Whether another one lives under TOKEN. */
TokenUse household_ask(const Lifecycle *l, const char *url, const Secret *token);

/* Whether this one, configured no more, may have been renamed; and looking. */
bool household_applies(const Lifecycle *l);
Action household_look(Lifecycle *l);

/* ---- tasks: each begins here and ends in act_decide() ---- */

Action lifecycle_decide(Lifecycle *l);

/* The next thing that time brings, for the timer and for status; NULL: nothing. */
const char *lifecycle_next_due(const Lifecycle *l, uint64_t *ret_usec, const char **ret_rule);

/* Brings state file and config.toml to what the record says: wanted; wanted, and not to be put off; now. */
bool apply_wanted(const Lifecycle *l);
bool apply_needed(const Lifecycle *l);
Action apply_start(Lifecycle *l);

Action enrol_start(Lifecycle *l);
Action enrol_source(Lifecycle *l);
Action create_prepare(Lifecycle *l);
Action answer_journal(Lifecycle *l);
Action answer_apply(Lifecycle *l);
Action verify_start(Lifecycle *l);
Action source_check(Lifecycle *l);
Action rotate_start(Lifecycle *l);
Action recover_start(Lifecycle *l);

/* Recovery, in between: what else this host may have is tried, and when none of it works, the ladder goes on. */
Action adopt_others(Lifecycle *l);
Action recover_climb(Lifecycle *l);

Action withdraw_start(Lifecycle *l);
Action hand_back_start(Lifecycle *l);
Action debts_start(Lifecycle *l);
bool debts_payable(const Lifecycle *l);

/* The end of debts_start() within a withdrawal. */
Action withdraw_paid(Lifecycle *l);

/* Shared endings. */
void enrol_again(Lifecycle *l, const Judgement *j);
Action enrol_done(Lifecycle *l, Notice notice);
Action enrol_refused(Lifecycle *l, int code, const char *words);
Action enrol_no_memory(Lifecycle *l);
Action prepare_failed(Lifecycle *l, const Event *event);
int answer_keep(Lifecycle *l, const Judgement *j);
const Judgement *answer_dropped(void); /* what an answer comes to that could not be kept */
void intent_begin(Lifecycle *l, IntentKind kind);

/* It was not sent after all; what an earlier one may have done stays open. */
void intent_unsent(Lifecycle *l);
void verify_alive(Lifecycle *l, const Judgement *j);
