#include "agent/core/lifecycle-internal.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* More decisions in a row than any path through the tasks takes: beyond it two tasks hand a runner to and fro. */
#define DECISIONS_MAX 32

/* A stop is obeyed within a second; what would lose an answer when cut gets most of that second. */
#define STOP_GRACE_USEC (800 * USEC_PER_MSEC)

static void candidate_done(Candidate *c)
{
        (void)secret_free(c->token);
        *c = (Candidate){};
}

int lifecycle_new(
        const Plan *plan, const Facts *facts, Record *record, Answer *answer, uint64_t seed, Lifecycle **ret)
{
        assert(record);

        _cleanup_(lifecycle_freep) Lifecycle *l = calloc(1, sizeof(*l));
        if (!l)
                return -ENOMEM;
        l->plan = *plan;
        l->random.state = seed;
        l->system_id_proves = facts->system_id_proves;
        for (Due due = 0; due < _DUE_MAX; due++)
                lifecycle_set_never(l, due);
        if (replace_string(&l->system_id, facts->system_id) < 0 ||
                replace_string(&l->machine_id, facts->machine_id) < 0 ||
                replace_string(&l->instance_id, facts->instance_id) < 0)
                return -ENOMEM;

        /* From here on nothing fails: what was handed over is ours only together with success. */
        l->record = record;
        l->state = record->state;
        if (answer) {
                l->answer = *answer;
                l->has_answer = true;
                *answer = (Answer){};
        }
        *ret = take_ptr(l);
        return 0;
}

Lifecycle *lifecycle_free(Lifecycle *l)
{
        if (!l)
                return NULL;
        for (size_t i = 0; i < l->n_notices; i++)
                free(l->sentences[i]);
        for (size_t i = 0; i < l->n_entries; i++)
                candidate_done(&l->entries[i]);
        lifecycle_drop_secrets(l);
        answer_done(&l->answer);
        (void)record_free(l->record);
        free(l->stale_url);
        free(l->reason);
        free(l->outcome.message);
        free(l->system_id);
        free(l->machine_id);
        free(l->instance_id);
        free(l);
        return NULL;
}

void lifecycle_configure(Lifecycle *l, const Plan *plan)
{
        l->plan = *plan;
}

void lifecycle_drop_secrets(Lifecycle *l)
{
        l->secret = secret_free(l->secret);
        l->trial = secret_free(l->trial);
        free(take_ptr(l->trial_digest));
        for (size_t i = 0; i < l->n_candidates; i++)
                candidate_done(&l->candidates[i]);
        l->n_candidates = l->candidate = 0;
        free(take_ptr(l->ids));
        l->n_ids = l->id = 0;
}

/* ---- what is said ---- */

static _printf_(1, 0) char *format_sentence(const char *format, va_list arguments)
{
        char *sentence = NULL;

        return vasprintf(&sentence, format, arguments) < 0 ? NULL : sentence;
}

void lifecycle_because(Lifecycle *l, const char *format, ...)
{
        /* The old reason may be an argument of the new one. */
        _cleanup_free_ _unused_ char *old = take_ptr(l->reason);

        if (!format)
                return;
        va_list arguments;
        va_start(arguments, format);
        l->reason = format_sentence(format, arguments);
        va_end(arguments);
}

void lifecycle_notice(Lifecycle *l, Notice notice, const char *format, ...)
{
        if (l->n_notices >= NOTICES_MAX)
                return;
        va_list arguments;
        va_start(arguments, format);
        char *sentence = format_sentence(format, arguments);
        va_end(arguments);
        if (!sentence)
                return;
        l->sentences[l->n_notices] = sentence;
        l->notices[l->n_notices++] = notice;
}

bool lifecycle_take_notice(Lifecycle *l, Notice *ret, char **ret_sentence)
{
        if (l->n_notices == 0)
                return false;
        *ret = l->notices[0];
        *ret_sentence = l->sentences[0];
        l->n_notices--;
        memmove(l->notices, l->notices + 1, l->n_notices * sizeof(*l->notices));
        memmove(l->sentences, l->sentences + 1, l->n_notices * sizeof(*l->sentences));
        return true;
}

void lifecycle_finish(Lifecycle *l, Command command, int code, const char *format, ...)
{
        if (command == COMMAND_NONE || l->command != command || l->command_done)
                return;
        l->command_done = true;
        l->outcome = (Outcome){.code = code};
        if (!format)
                return;
        va_list arguments;
        va_start(arguments, format);
        l->outcome.message = format_sentence(format, arguments);
        va_end(arguments);
}

bool lifecycle_take_outcome(Lifecycle *l, Command *ret_command, Outcome *ret)
{
        /* What is under way may be the writing down of a success, which is none before it is written. */
        if (!l->command_done || l->then)
                return false;
        *ret_command = l->command;
        *ret = l->outcome;
        l->outcome = (Outcome){};
        l->command = COMMAND_NONE;
        l->command_done = false;
        return true;
}

void lifecycle_enter(Lifecycle *l, RunnerState state)
{
        l->state = state;
}

/* ---- when ---- */

void lifecycle_set_due(Lifecycle *l, Due due, uint64_t span_usec, const char *rule)
{
        l->due_usec[due] = usec_add(l->now.boottime_usec, span_usec);
        l->rule[due] = rule;
}

void lifecycle_set_never(Lifecycle *l, Due due)
{
        l->due_usec[due] = USEC_INFINITY;
        l->rule[due] = NULL;
}

bool lifecycle_is_due(const Lifecycle *l, Due due)
{
        return l->due_usec[due] <= l->now.boottime_usec;
}

int judgement_code(const Judgement *j)
{
        switch (j->verdict) {
        case VERDICT_ALIVE:
                return 0;
        case VERDICT_DEAD:
                return 77;
        case VERDICT_PERMANENT:
                return j->refused_by_net ? 1 : 77;
        case VERDICT_AMBIGUOUS:
        case VERDICT_WAIT:
                return 75;
        case _VERDICT_MAX:
                break;
        }
        return 1;
}

const char *judgement_words(const Judgement *j)
{
        return j->message ? j->message : "no reason was given";
}

uint64_t judgement_wait(Lifecycle *l, const Judgement *j, unsigned attempt, const char **ret_rule)
{
        const Plan *plan = &l->plan;

        if (j->verdict == VERDICT_WAIT) {
                if (j->wait_usec > 0 || j->spread > 0) {
                        *ret_rule = j->spread > 0 ? "as GitLab's throttle says" : "Retry-After";
                        return schedule_wait(
                                &l->random, j->wait_usec, j->spread, j->spread_usec, plan->retry_min_usec);
                }
        } else if (j->verdict == VERDICT_PERMANENT) {
                *ret_rule = "refused_retry";
                return usec_add(
                        plan->refused_retry_usec, random_below(&l->random, plan->refused_retry_usec / 10 + 1));
        }
        *ret_rule = "retry_min to retry_max";
        return schedule_backoff(&l->random, attempt, plan->retry_min_usec, plan->retry_max_usec);
}

/* ---- the record ---- */

void lifecycle_clear_proofs(Lifecycle *l)
{
        l->record->dead_proofs = 0;
        l->record->dead_first_usec = l->record->dead_last_usec = 0;
}

int lifecycle_take_token(Lifecycle *l, const Secret *token, int64_t runner_id, uint64_t obtained_at_usec)
{
        Record *record = l->record;
        _cleanup_secret_ Secret *copy = NULL;

        if (secret_copy(token, &copy) < 0 || replace_string(&record->system_id, l->system_id) < 0 ||
                replace_string(&record->machine_id, l->machine_id) < 0 ||
                replace_string(&record->instance_id, l->instance_id) < 0 ||
                replace_string(&record->url, l->plan.target.url) < 0)
                return -ENOMEM;
        (void)secret_free(record->token);
        record->token = take_ptr(copy);
        if (runner_id > 0)
                record->runner_id = runner_id;
        record->flow = l->plan.flow;
        record->token_obtained_at_usec = obtained_at_usec;
        record->cloned = false;
        lifecycle_clear_proofs(l);
        l->save_due = l->entry_due = true;
        return 0;
}

void lifecycle_take_expiry(Lifecycle *l, const Identity *identity)
{
        Record *record = l->record;

        if (!identity->has_expiry)
                return;
        if (record->expiry_unknown || record->token_expires_at_usec != identity->expires_at_usec)
                l->save_due = l->entry_due = true;
        record->expiry_unknown = false;
        record->token_expires_at_usec = identity->expires_at_usec;
}

void lifecycle_owe(
        Lifecycle *l, DebtKind kind, const Target *target, const Secret *token, int64_t runner_id, const char *reason)
{
        Debt debt = {.kind = kind, .runner_id = runner_id, .since_usec = l->now.realtime_usec};
        int r = target_copy(&debt.target, target);

        if (r >= 0)
                r = replace_string(&debt.reason, reason);
        if (r >= 0 && token)
                r = secret_copy(token, &debt.token);
        if (r >= 0 && kind == DEBT_MANAGER)
                r = replace_string(&debt.system_id, l->record->system_id ? l->record->system_id : l->system_id);
        if (r >= 0 && kind == DEBT_ORPHAN)
                r = replace_string(&debt.marker, l->record->intent.marker);
        if (r >= 0)
                r = record_add_debt(l->record, &debt);
        debt_done(&debt);
        if (r < 0) {
                lifecycle_notice(
                        l, NOTICE_TROUBLE, "Failed to keep a debt (%s) in the state: %s", reason, strerror(-r));
                return;
        }
        l->save_due = true;
        l->debt_attempt = 0;
        lifecycle_set_due(l, DUE_DEBTS, 0, "at once");
}

void lifecycle_owe_orphan(Lifecycle *l, const char *reason)
{
        lifecycle_owe(l, DEBT_ORPHAN, &l->plan.target, NULL, 0, reason);
        lifecycle_notice(l, NOTICE_ORPHAN, "A runner may have been made that this host does not know: %s", reason);
}

bool lifecycle_may_rotate(const Lifecycle *l, bool by_hand)
{
        if (!l->record->token)
                return false;
        switch (l->plan.rotation) {
        case ROTATION_ALWAYS:
                return true;
        case ROTATION_AUTO:
                return l->record->ours;
        case ROTATION_NEVER:
        case ROTATION_GITLAB_RUNNER:
                return by_hand && l->record->ours;
        case _ROTATION_POLICY_MAX:
                break;
        }
        return false;
}

/* ---- ends of a step ---- */

static Action act(Lifecycle *l, ActionKind kind, Step then)
{
        l->doing = kind;
        l->then = then;
        l->until_usec = USEC_INFINITY;
        return (Action){.kind = kind, .until_usec = USEC_INFINITY};
}

Action act_read_secret(Lifecycle *l, Step then)
{
        return act(l, ACTION_READ_SECRET, then);
}

Action act_prepare(Lifecycle *l, Step then)
{
        l->save_due = false;
        return act(l, ACTION_PREPARE, then);
}

Action act_save(Lifecycle *l, Step then)
{
        l->save_due = false;
        return act(l, ACTION_SAVE, then);
}

Action act_send_to(Lifecycle *l, const Target *target, Call call, CallArguments arguments, Step then)
{
        Action action = act(l, ACTION_SEND, then);

        l->calling = call;
        action.call = call;
        action.arguments = arguments;
        action.target = target;
        if (l->stopping)
                action.until_usec = l->stop_deadline_usec;
        return action;
}

Action act_send(Lifecycle *l, Call call, CallArguments arguments, Step then)
{
        return act_send_to(l, &l->plan.target, call, arguments, then);
}

Action act_journal(Lifecycle *l, Step then)
{
        Action action = act(l, ACTION_JOURNAL, then);

        action.answer = &l->answer;
        return action;
}

Action act_write_entry(Lifecycle *l, Step then)
{
        l->entry_due = false;
        return act(l, ACTION_WRITE_ENTRY, then);
}

Action act_remove_entry(Lifecycle *l, const char *url, Step then)
{
        Action action = act(l, ACTION_REMOVE_ENTRY, then);

        action.url = url;
        return action;
}

Action act_tell(Lifecycle *l, Step then)
{
        l->tell_due = false;
        return act(l, ACTION_TELL, then);
}

Action act_sleep(Lifecycle *l, uint64_t span_usec, Step then)
{
        Action action = act(l, ACTION_WAIT, then);

        action.until_usec = usec_add(l->now.boottime_usec, span_usec);
        if (l->stopping && action.until_usec > l->stop_deadline_usec)
                action.until_usec = l->stop_deadline_usec;
        l->until_usec = action.until_usec;
        return action;
}

Action act_decide(Lifecycle *l)
{
        l->deciding = true;
        return act(l, ACTION_WAIT, NULL);
}

Action act_stopped(Lifecycle *l)
{
        return act(l, ACTION_STOPPED, NULL);
}

CallArguments token_arguments(const Lifecycle *l, const Secret *token)
{
        return (CallArguments){.token = token, .system_id = l->system_id};
}

/* ---- writing what the record says ---- */

static void disk_failed(Lifecycle *l, const Event *event)
{
        if (l->disk_attempt == 0)
                lifecycle_notice(l, NOTICE_TROUBLE, "%s", event->message ? event->message : strerror(-event->error));
        l->disk_attempt++;
        lifecycle_because(l, "%s", event->message ? event->message : strerror(-event->error));
        lifecycle_set_due(l, DUE_DISK,
                schedule_backoff(&l->random, l->disk_attempt, l->plan.retry_min_usec, l->plan.retry_max_usec),
                "retry_min to retry_max");
        free(take_ptr(l->outcome.message));
        l->command_done = false;
        lifecycle_finish(l, l->command, 1, "%s", l->reason ? l->reason : "a file could not be written");
}

static Action apply_told(Lifecycle *l, const Event *event)
{
        (void)event;
        return act_decide(l);
}

static Action apply_written(Lifecycle *l, const Event *event)
{
        if (event->error < 0) {
                l->entry_due = true;
                disk_failed(l, event);
                return act_decide(l);
        }
        l->disk_attempt = 0;
        lifecycle_set_never(l, DUE_DISK);
        return event->changed ? act_tell(l, apply_told) : act_decide(l);
}

static Action apply_removed(Lifecycle *l, const Event *event)
{
        if (event->error < 0) {
                disk_failed(l, event);
                return act_decide(l);
        }
        free(take_ptr(l->stale_url));
        return event->changed ? act_tell(l, apply_told) : act_decide(l);
}

static Action apply_saved(Lifecycle *l, const Event *event)
{
        if (event->error < 0) {
                l->save_due = true;
                disk_failed(l, event);
                /* config.toml may lie on another disk: a token that can be kept there must not wait. */
                if (l->entry_due && l->record->token)
                        return act_write_entry(l, apply_written);
                return act_decide(l);
        }
        return apply_start(l);
}

/* Brings state file and config.toml to what the record says, in that order: a token is kept in our state before it is
 * handed to the neighbour, and before what it replaces is forgotten. */
Action apply_start(Lifecycle *l)
{
        if (l->save_due)
                return act_save(l, apply_saved);
        if (l->stale_url)
                return act_remove_entry(l, l->stale_url, apply_removed);
        if (l->entry_due && l->record->token && l->record->state == RUNNER_STATE_REGISTERED)
                return act_write_entry(l, apply_written);
        l->entry_due = false;
        lifecycle_set_never(l, DUE_DISK);
        return act_decide(l);
}

static bool apply_needed(const Lifecycle *l)
{
        if (l->due_usec[DUE_DISK] != USEC_INFINITY && !lifecycle_is_due(l, DUE_DISK))
                return false;
        return l->save_due || l->stale_url ||
               (l->entry_due && l->record->token && l->record->state == RUNNER_STATE_REGISTERED);
}

/* ---- the decision ---- */

static bool rotation_due(const Lifecycle *l, uint64_t *ret_usec, const char **ret_rule)
{
        const Record *record = l->record;

        if (record->handed_back || !lifecycle_may_rotate(l, false))
                return false;
        uint64_t at = schedule_rotation(record, l->plan.rotate_at, l->plan.rotate_after_usec);
        if (at == USEC_INFINITY)
                return false;

        uint64_t due = usec_add(l->now.boottime_usec, usec_sub(at, l->now.realtime_usec));
        *ret_rule = record->expiry_unknown          ? "its expiry is unknown"
                    : record->token_expires_at_usec ? "rotate_at"
                                                    : "rotate_after";
        if (l->due_usec[DUE_ROTATE] != USEC_INFINITY && l->due_usec[DUE_ROTATE] > due) {
                due = l->due_usec[DUE_ROTATE];
                *ret_rule = l->rule[DUE_ROTATE];
        }
        *ret_usec = due;
        return true;
}

static bool has_debts(const Lifecycle *l)
{
        return l->record->n_debts > 0;
}

static bool enrolled(const Lifecycle *l)
{
        return l->record->state == RUNNER_STATE_REGISTERED && l->record->token;
}

/* Only a token that GitLab has just accepted is put at stake. What asks and what waits ask the same: a rotation that
 * is due but not allowed would else be waited for in a loop. */
static bool may_rotate_now(const Lifecycle *l)
{
        return l->plan.configured && enrolled(l) && l->state == RUNNER_STATE_REGISTERED && l->has_verdict &&
               l->last_verdict == VERDICT_ALIVE && l->record->intent.kind == INTENT_NONE;
}

/* The next thing that time brings, for the timer and for status. */
static const char *next_due(const Lifecycle *l, uint64_t *ret_usec, const char **ret_rule)
{
        const char *what = NULL;
        uint64_t best = USEC_INFINITY;
        const struct {
                Due due;
                bool counts;
                const char *what;
        } rows[] = {
                {DUE_ENROL, l->plan.configured && !enrolled(l) && l->record->state != RUNNER_STATE_WITHDRAWN,
                        "enrol"},
                {DUE_VERIFY, l->plan.configured && enrolled(l), "verify"},
                {DUE_SOURCE, l->plan.configured && enrolled(l), "read the token's source"},
                {DUE_ENTRIES, l->plan.configured && enrolled(l), "check config.toml"},
                {DUE_DEBTS, has_debts(l) && !(l->plan.configured && l->record->state == RUNNER_STATE_UNREGISTERED),
                        "pay debts"},
                {DUE_DISK, true, "write files"},
        };

        *ret_rule = NULL;
        for (size_t i = 0; i < ELEMENTS(rows); i++)
                if (rows[i].counts && l->due_usec[rows[i].due] < best) {
                        best = l->due_usec[rows[i].due];
                        what = rows[i].what;
                        *ret_rule = l->rule[rows[i].due];
                }
        uint64_t at;
        const char *rule;
        if (may_rotate_now(l) && rotation_due(l, &at, &rule) && at < best) {
                best = at;
                what = "rotate";
                *ret_rule = rule;
        }
        *ret_usec = best;
        return what;
}

static Action decide_wait(Lifecycle *l)
{
        const char *rule;
        Action action = act(l, ACTION_WAIT, NULL);

        lifecycle_drop_secrets(l);
        /* A pass waits for nothing that time brings: its command is all it came for. */
        if (!l->plan.once)
                (void)next_due(l, &action.until_usec, &rule);
        return action;
}

static Action decide_stop(Lifecycle *l)
{
        bool time_left = l->now.boottime_usec < l->stop_deadline_usec;

        if (l->stop.withdraw) {
                if (l->record->token || l->record->intent.kind != INTENT_NONE)
                        return withdraw_start(l);
                /* One more try for what older stops left: an orderly end leaves nothing behind. */
                if (has_debts(l) && !l->stop_debts_tried && time_left) {
                        l->stop_debts_tried = true;
                        lifecycle_set_due(l, DUE_DEBTS, 0, "before the end");
                        return debts_start(l);
                }
        } else if (l->stop.hand_back && enrolled(l) && l->record->ours && !l->record->handed_back &&
                   l->plan.rotation != ROTATION_NEVER)
                return hand_back_start(l);
        if ((l->save_due || l->entry_due) && l->disk_attempt == 0 && time_left)
                return apply_start(l);
        return act_stopped(l);
}

static Action decide_command(Lifecycle *l)
{
        switch (l->command) {
        case COMMAND_DEREGISTER:
                return withdraw_start(l);
        case COMMAND_VERIFY:
                if (l->record->token)
                        return verify_start(l);
                lifecycle_finish(l, COMMAND_VERIFY, l->state == RUNNER_STATE_REFUSED ? 77 : 1, "is not enrolled%s%s",
                        l->reason ? ": " : "", l->reason ? l->reason : "");
                return act_decide(l);
        case COMMAND_ROTATE:
                if (lifecycle_may_rotate(l, true))
                        return rotate_start(l);
                lifecycle_finish(l, COMMAND_ROTATE, 1, "%s",
                        l->record->token ? "the token is shared with other hosts, which a rotation would lock out; "
                                           "set rotation = always if this host is to rotate it"
                                         : "is not enrolled, so it has no token to rotate");
                return act_decide(l);
        case COMMAND_REGISTER:
                if (enrolled(l)) {
                        if (lifecycle_is_due(l, DUE_ENTRIES))
                                return entries_check(l);
                        return lifecycle_is_due(l, DUE_SOURCE) ? source_check(l) : verify_start(l);
                }
                if (l->record->state == RUNNER_STATE_WITHDRAWN || l->record->state == RUNNER_STATE_REFUSED) {
                        l->record->state = RUNNER_STATE_UNREGISTERED;
                        l->save_due = true;
                }
                return enrol_start(l);
        case COMMAND_NONE:
        case _COMMAND_MAX:
                break;
        }
        return decide_wait(l);
}

static Action decide_enrolled(Lifecycle *l)
{
        uint64_t at;
        const char *rule;

        if (l->record->dead_proofs > 0 && schedule_proven_dead(l->record, l->plan.removed_after_usec))
                if (lifecycle_is_due(l, DUE_ENROL) || l->state != RUNNER_STATE_RECOVERING)
                        return recover_start(l);
        if (lifecycle_is_due(l, DUE_ENTRIES))
                return entries_check(l);
        if (lifecycle_is_due(l, DUE_SOURCE))
                return source_check(l);
        if (lifecycle_is_due(l, DUE_VERIFY))
                return verify_start(l);
        if (may_rotate_now(l) && rotation_due(l, &at, &rule) && at <= l->now.boottime_usec)
                return rotate_start(l);
        return decide_wait(l);
}

static Action decide(Lifecycle *l)
{
        l->then = NULL;
        if (l->has_answer)
                return answer_apply(l);
        if (l->stopping)
                return decide_stop(l);
        if (apply_needed(l))
                return apply_start(l);
        if (l->command != COMMAND_NONE && !l->command_done)
                return decide_command(l);
        if (l->plan.once)
                return decide_wait(l);
        /* What was owed when the host went may be adopted now that it is back. */
        bool adoptable = l->plan.configured && l->record->state == RUNNER_STATE_UNREGISTERED;
        if (has_debts(l) && lifecycle_is_due(l, DUE_DEBTS) && !adoptable)
                return debts_start(l);
        if (!l->plan.configured || l->record->state == RUNNER_STATE_WITHDRAWN)
                return decide_wait(l);
        if (enrolled(l))
                return decide_enrolled(l);
        if (lifecycle_is_due(l, DUE_ENROL))
                return enrol_start(l);
        return decide_wait(l);
}

/* ---- events ---- */

static void start(Lifecycle *l)
{
        Record *record = l->record;

        lifecycle_set_due(l, DUE_ENTRIES, 0, "at start");
        if (l->plan.flow == FLOW_AUTHENTICATION_TOKEN)
                lifecycle_set_due(l, DUE_SOURCE, 0, "at start");
        if (l->plan.once)
                return;
        if (l->plan.configured && record->state == RUNNER_STATE_WITHDRAWN)
                record->state = RUNNER_STATE_UNREGISTERED;
        l->state = record->state;
        if (record->handed_back && l->plan.rotation != ROTATION_GITLAB_RUNNER) {
                record->handed_back = false;
                l->save_due = true;
        }
        lifecycle_set_due(l, DUE_ENROL, 0, "at start");
        lifecycle_set_due(l, DUE_VERIFY, 0, "at start");
        if (record->n_debts > 0)
                lifecycle_set_due(l, DUE_DEBTS, 0, "at start");
}

/* NAME and url are the identity: under a new url this is a new runner, and the old one is owed where it was. */
static void start_with_new_url(Lifecycle *l)
{
        Record *record = l->record;

        if (!l->plan.configured || !record->url || url_equal(record->url, l->plan.target.url))
                return;
        Target old = {.url = record->url};
        if (record->token)
                lifecycle_owe(l, record->ours ? DEBT_RUNNER : DEBT_MANAGER, &old, record->token, record->runner_id,
                        "the runner's url was changed in the configuration");
        l->stale_url = take_ptr(record->url);
        record->token = secret_free(record->token);
        record->runner_id = 0;
        record->ours = record->manager_ours = record->handed_back = record->expiry_unknown = false;
        record->registered_at_usec = record->token_obtained_at_usec = record->token_expires_at_usec = 0;
        record->last_verified_at_usec = 0;
        free(take_ptr(record->source_digest));
        lifecycle_clear_proofs(l);
        record_clear_intent(record);
        record->state = RUNNER_STATE_UNREGISTERED;
        l->save_due = true;
        (void)replace_string(&record->url, l->plan.target.url);
}

/* A request that was under way when the power went, and whose answer nobody kept. */
static void start_with_intent(Lifecycle *l)
{
        Record *record = l->record;

        if (l->has_answer &&
                (l->answer.kind != record->intent.kind || l->answer.intent_since_usec != record->intent.since_usec)) {
                /* Applied before: only the journal's end was lost. */
                answer_done(&l->answer);
                l->has_answer = false;
        }
        if (l->has_answer || record->intent.kind != INTENT_CREATE || record->intent.lost)
                return;
        record->intent.lost = true;
        record->lost_in_row++;
        lifecycle_owe_orphan(l, "the agent ended before GitLab's answer to a registration came");
        l->save_due = true;
}

static void keep_entries(Lifecycle *l, const Event *event)
{
        for (size_t i = 0; i < l->n_entries; i++)
                candidate_done(&l->entries[i]);
        l->n_entries = 0;
        for (size_t i = 0; i < event->n_entries && l->n_entries < LIFECYCLE_CANDIDATES_MAX; i++) {
                const EntryView *view = &event->entries[i];
                Candidate *c = &l->entries[l->n_entries];

                if (!view->token || secret_copy(view->token, &c->token) < 0)
                        continue;
                c->runner_id = view->runner_id;
                c->obtained_at_usec = view->obtained_at_usec;
                c->expires_at_usec = view->expires_at_usec;
                l->n_entries++;
        }
        lifecycle_set_due(l, DUE_ENTRIES, 0, "config.toml changed");
}

static void note(Lifecycle *l, const Event *event)
{
        switch (event->kind) {
        case EVENT_START:
                start(l);
                start_with_new_url(l);
                start_with_intent(l);
                break;
        case EVENT_ENTRIES:
                keep_entries(l, event);
                break;
        case EVENT_COMMAND:
                if (l->command == COMMAND_NONE)
                        l->command = event->command;
                break;
        case EVENT_STOP:
                l->stopping = true;
                l->stop = event->stop;
                l->stop_deadline_usec = event->deadline_usec;
                break;
        case EVENT_CONFIGURED:
                if (l->record->state == RUNNER_STATE_REFUSED || l->record->state == RUNNER_STATE_UNREGISTERED)
                        lifecycle_set_due(l, DUE_ENROL, 0, "reload");
                if (l->plan.flow == FLOW_AUTHENTICATION_TOKEN)
                        lifecycle_set_due(l, DUE_SOURCE, 0, "reload");
                l->entry_due = l->record->state == RUNNER_STATE_REGISTERED;
                break;
        case EVENT_TIMER:
        case EVENT_DISK:
        case EVENT_SECRET:
        case EVENT_REPLY:
        case EVENT_TOLD:
        case _EVENT_KIND_MAX:
                break;
        }
}

static bool is_result(const Lifecycle *l, EventKind kind)
{
        if (!l->then)
                return false;
        switch (l->doing) {
        case ACTION_READ_SECRET:
                return kind == EVENT_SECRET;
        case ACTION_PREPARE:
        case ACTION_SAVE:
        case ACTION_JOURNAL:
        case ACTION_WRITE_ENTRY:
        case ACTION_REMOVE_ENTRY:
                return kind == EVENT_DISK;
        case ACTION_SEND:
                return kind == EVENT_REPLY;
        case ACTION_TELL:
                return kind == EVENT_TOLD;
        case ACTION_WAIT:
                return kind == EVENT_TIMER;
        case ACTION_KEEP:
        case ACTION_STOPPED:
        case _ACTION_KIND_MAX:
                break;
        }
        return false;
}

/* Whether the action under way may be dropped: nothing that could have changed GitLab, and no half of a withdrawal.
 */
static bool may_cut(const Lifecycle *l)
{
        if (l->state == RUNNER_STATE_WITHDRAWING)
                return false;
        switch (l->doing) {
        case ACTION_SEND:
                return l->calling != CALL_REGISTER && l->calling != CALL_CREATE && l->calling != CALL_RESET &&
                       l->calling != CALL_RESET_BY_ID;
        case ACTION_READ_SECRET:
        case ACTION_TELL:
        case ACTION_WAIT:
                return true;
        case ACTION_KEEP:
        case ACTION_PREPARE:
        case ACTION_SAVE:
        case ACTION_JOURNAL:
        case ACTION_WRITE_ENTRY:
        case ACTION_REMOVE_ENTRY:
        case ACTION_STOPPED:
        case _ACTION_KIND_MAX:
                break;
        }
        return false;
}

static Action keep(Lifecycle *l)
{
        Action action = {.kind = ACTION_KEEP, .until_usec = l->until_usec};

        if (l->stopping) {
                uint64_t grace = usec_add(l->now.boottime_usec, STOP_GRACE_USEC);
                uint64_t end = l->stop.withdraw || grace > l->stop_deadline_usec ? l->stop_deadline_usec : grace;

                if (action.until_usec > end)
                        action.until_usec = end;
        }
        return action;
}

/* Time is up for a call: what it did is unknown. */
static Action give_up_call(Lifecycle *l, const Event *event)
{
        Judgement judgement = {
                .verdict = VERDICT_AMBIGUOUS,
                .maybe_acted = true,
                .unreachable = true,
                .message = (char *)"no answer came before the time to stop was over",
        };
        Event lost = *event;

        lost.kind = EVENT_REPLY;
        lost.judgement = &judgement;
        return l->then(l, &lost);
}

static Action dispatch(Lifecycle *l, const Event *event)
{
        if (is_result(l, event->kind))
                return l->then(l, event);
        switch (event->kind) {
        case EVENT_TIMER:
                if (!l->then)
                        return act_decide(l);
                return l->doing == ACTION_SEND && l->stopping ? give_up_call(l, event) : keep(l);
        case EVENT_STOP:
                return !l->then || may_cut(l) ? act_decide(l) : keep(l);
        case EVENT_START:
        case EVENT_ENTRIES:
        case EVENT_COMMAND:
        case EVENT_CONFIGURED:
                return !l->then ? act_decide(l) : keep(l);
        case EVENT_DISK:
        case EVENT_SECRET:
        case EVENT_REPLY:
        case EVENT_TOLD:
                /* The result of something that was cut short. */
                return keep(l);
        case _EVENT_KIND_MAX:
                break;
        }
        return keep(l);
}

Action lifecycle_step(Lifecycle *l, const Event *event)
{
        l->now = event->now;
        note(l, event);
        if (l->doing == ACTION_STOPPED)
                return (Action){.kind = ACTION_STOPPED, .until_usec = USEC_INFINITY};

        Action action = dispatch(l, event);
        for (unsigned decisions = 0; l->deciding; decisions++) {
                assert(decisions < DECISIONS_MAX);
                l->deciding = false;
                action = decide(l);
        }
        return action;
}

/* ---- for status and the shell ---- */

static struct timespec usec_to_timespec(uint64_t usec)
{
        if (usec == 0)
                return (struct timespec){.tv_sec = ENTRY_TIME_ZERO_SEC};
        return (struct timespec){
                .tv_sec = (time_t)(usec / USEC_PER_SEC),
                .tv_nsec = (long)(usec % USEC_PER_SEC * 1000),
        };
}

/* Whether gitlab-runner is to see the true times, and so to rotate: never for a token that others share. */
static bool true_times(const Lifecycle *l)
{
        return l->record->ours && (l->record->handed_back || l->plan.rotation == ROTATION_GITLAB_RUNNER);
}

void lifecycle_entry_edit(Lifecycle *l, EntryEdit *ret)
{
        const Record *record = l->record;

        l->edit_obtained_at = usec_to_timespec(record->token_obtained_at_usec / USEC_PER_SEC * USEC_PER_SEC);
        l->edit_expires_at = usec_to_timespec(true_times(l) ? record->token_expires_at_usec : 0);
        *ret = (EntryEdit){
                .kind = ENTRY_EDIT_UPSERT,
                .index = ENTRY_INDEX_NONE,
                .name = record->name,
                .url = l->plan.target.url,
                .id = record->runner_id > 0 ? &record->runner_id : NULL,
                .token = record->token,
                .obtained_at = &l->edit_obtained_at,
                .expires_at = &l->edit_expires_at,
                .tls_ca_file = l->plan.target.tls_ca_file,
                .tls_cert_file = l->plan.target.tls_cert_file,
                .tls_key_file = l->plan.target.tls_key_file,
                .executor = l->plan.executor,
                .template_body = l->plan.template_body,
        };
}

void lifecycle_learn_entries(Lifecycle *l, const Event *event)
{
        l->now = event->now;
        keep_entries(l, event);
}

bool lifecycle_unwritten(const Lifecycle *l)
{
        return l->entry_due || l->entry_missing || l->doing == ACTION_WRITE_ENTRY;
}

const Record *lifecycle_record(const Lifecycle *l)
{
        return l->record;
}

RunnerState lifecycle_state(const Lifecycle *l)
{
        return l->state;
}

const char *lifecycle_reason(const Lifecycle *l)
{
        return l->reason ? l->reason : l->record->reason;
}

unsigned lifecycle_attempt(const Lifecycle *l)
{
        return l->attempt;
}

const char *lifecycle_last_verdict(const Lifecycle *l)
{
        return l->has_verdict ? verdict_to_string(l->last_verdict) : NULL;
}

const char *lifecycle_next(const Lifecycle *l, Now now, uint64_t *ret_at_usec, const char **ret_rule)
{
        *ret_at_usec = 0;
        *ret_rule = NULL;
        if (l->doing == ACTION_STOPPED || l->plan.once)
                return NULL;
        if (l->then) {
                *ret_rule = "under way";
                return l->doing == ACTION_SEND ? call_to_string(l->calling) : "write files";
        }

        uint64_t at;
        const char *what = next_due(l, &at, ret_rule);
        if (!what || at == USEC_INFINITY)
                return NULL;
        *ret_at_usec = usec_add(now.realtime_usec, usec_sub(at, now.boottime_usec));
        return what;
}

bool lifecycle_settled(const Lifecycle *l)
{
        /* A refused one may stand for a state file that nobody could read, which must not be forgotten. */
        return !l->plan.configured && l->record->state != RUNNER_STATE_REFUSED && l->record->n_debts == 0 &&
               !l->record->token && !l->then && !l->stale_url;
}

Clone clone_check(const Record *record, const char *machine_id, const char *instance_id)
{
        if (record->machine_id && machine_id && strcmp(record->machine_id, machine_id) != 0)
                return CLONE_MACHINE;
        if (record->instance_id && instance_id && strcmp(record->instance_id, instance_id) != 0)
                return CLONE_INSTANCE;
        return CLONE_NONE;
}
