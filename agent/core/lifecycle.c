/* The heart: events in, one action out. What an event that is no result changes is noted at once and looked at with
 * the next decision. */

#include "agent/core/lifecycle-internal.h"

#include <assert.h>
#include <string.h>

/* More decisions in a row than any path through the tasks takes: beyond it two tasks hand a runner to and fro. */
#define DECISIONS_MAX 32

/* A stop is obeyed within a second; what would lose an answer when cut gets most of that second. */
#define STOP_GRACE_USEC (800 * USEC_PER_MSEC)

int lifecycle_new(
        const Plan *plan, const Facts *facts, Record *record, Answer *answer, uint64_t seed, Lifecycle **ret)
{
        assert(record);

        _cleanup_(lifecycle_freep) Lifecycle *l = calloc(1, sizeof(*l));
        if (!l)
                return -ENOMEM;
        l->plan = *plan;
        l->random.state = seed;
        l->dice = random_next(&l->random);
        l->system_id_proves = facts->system_id_proves;
        l->household = facts->household;
        l->neighbour_may_poll = true;
        l->doing = ACTION_WAIT;
        l->until_usec = USEC_INFINITY;
        for (Due due = 0; due < _DUE_MAX; due++)
                lifecycle_set_never(l, due);
        if (replace_string(&l->system_id, facts->system_id) < 0 ||
                replace_string(&l->machine_id, facts->machine_id) < 0 ||
                replace_string(&l->instance_id, facts->instance_id) < 0)
                return -ENOMEM;

        /* From here on nothing fails: what was handed over is ours only together with success. */
        l->record = record;
        /* Every record that we save says whose it is. */
        l->state_lost = !record->machine_id;
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
        (void)secret_free(l->former);
        free(l->reason);
        free(l->disk_reason);
        free(l->debts_words);
        free(l->outcome.message);
        free(l->system_id);
        free(l->machine_id);
        free(l->instance_id);
        free(l);
        return NULL;
}

void lifecycle_configure(Lifecycle *l, const Plan *plan)
{
        l->taken_up = plan->configured && !l->plan.configured;
        l->plan = *plan;
}

/* ---- what was found at start ---- */

static const char *former_url(const Lifecycle *l)
{
        const char *url = l->record->url;

        return l->plan.configured && !url_equal(url, l->plan.target.url) ? url : NULL;
}

/* The id tells that it is the runner that this machine made: gitlab-runner has rotated its token while no agent ran.
 */
static void learn_former(Lifecycle *l, const EntryView *views, size_t n)
{
        const Record *record = l->record;
        const char *url = former_url(l);

        for (size_t i = 0; url && i < n && record->ours && record->runner_id > 0 && !l->former; i++)
                if (views[i].token && views[i].runner_id == record->runner_id && url_equal(views[i].url, url) &&
                        !secret_equal(views[i].token, record->token))
                        (void)secret_copy(views[i].token, &l->former);
}

void lifecycle_learn_entries(Lifecycle *l, const Event *event)
{
        l->now = event->now;
        learn_former(l, event->entries, event->n_entries);
        entries_keep(l, event->entries, event->n_entries);
}

/* What the record holds goes, and is owed at OLD. */
static int owe_former(Lifecycle *l, const Target *old)
{
        int r = lifecycle_owe(l, old, "the runner's url was changed in the configuration");

        if (r >= 0)
                lifecycle_leave_entry(l, old->url, l->record->token);
        return r;
}

/* NAME and url are the identity: under a new url this is a new runner, and the old one is owed where it was. */
static void start_with_new_url(Lifecycle *l)
{
        Record *record = l->record;

        if (!former_url(l))
                return;
        if (l->has_answer) {
                /* It is the old GitLab's, and the newest that is known of the runner there. */
                if (l->answer.kind == INTENT_CREATE) {
                        record->ours = record->manager_ours = true;
                        record->runner_id = l->answer.runner_id;
                        (void)replace_string(&record->system_id, l->system_id);
                }
                (void)secret_free(record->token);
                record->token = take_ptr(l->answer.token);
                answer_done(&l->answer);
                l->has_answer = false;
        }
        /* What else reaches the old GitLab nobody has noted; the likeliest is that nothing but its name changed. */
        Target old = l->plan.target;
        old.url = record->url;
        if (owe_former(l, &old) < 0)
                return;
        /* Which of them lives GitLab tells: the other's debt is paid by its 403. */
        if (l->former) {
                (void)secret_free(record->token);
                record->token = take_ptr(l->former);
                if (owe_former(l, &old) < 0)
                        return;
        }
        lifecycle_forget_runner(l);
        record_clear_intent(record);
        record->lost_in_row = 0;
        record->state = RUNNER_STATE_UNREGISTERED;
        free(take_ptr(record->reason));
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
        lifecycle_owe_orphan(
                l, 0, record->intent.marker, "the agent ended before GitLab's answer to a registration came");
        l->save_due = true;
}

/* Rotation is ours, whoever had it, unless it is configured to be gitlab-runner's. */
static void take_rotation(Lifecycle *l)
{
        Record *record = l->record;

        if (record->handed_back && l->plan.configured && l->plan.rotation != ROTATION_GITLAB_RUNNER) {
                record->handed_back = false;
                l->save_due = l->entry_due = true;
        }
}

/* What is configured is enrolled, whatever was before. */
static void take_up(Lifecycle *l)
{
        Record *record = l->record;

        if (l->plan.configured && record->state == RUNNER_STATE_WITHDRAWN) {
                record->state = RUNNER_STATE_UNREGISTERED;
                free(take_ptr(record->reason));
        }
        take_rotation(l);
}

static void start(Lifecycle *l)
{
        Record *record = l->record;

        start_with_intent(l);
        start_with_new_url(l);
        (void)replace_string(&record->machine_id, l->machine_id);
        (void)replace_string(&record->instance_id, l->instance_id);
        if (record->cloned)
                l->save_due = true; /* before anything happens, or the next start takes the sibling's for ours */
        lifecycle_set_due(l, DUE_ENTRIES, 0, "at start");
        lifecycle_set_due(l, DUE_SOURCE, 0, "at start");
        if (!l->plan.once)
                take_up(l);
        /* Hosts that boot together do not call together. */
        lifecycle_set_due(l, DUE_ENROL, random_below(&l->random, l->plan.retry_min_usec / 2), "at start");
        lifecycle_set_due(l, DUE_VERIFY, random_below(&l->random, l->plan.retry_min_usec / 2), "at start");
        /* Who ended between the change of config.toml and telling of it left a gitlab-runner that polls with what is
         * owed. */
        if (record->n_debts > 0 && l->due_usec[DUE_DEBTS] == USEC_INFINITY)
                lifecycle_set_due(l, DUE_DEBTS,
                        usec_add(l->plan.poll_usec, random_below(&l->random, l->plan.retry_min_usec / 2)),
                        "gitlab-runner's next look at config.toml");
        l->state = record->state == RUNNER_STATE_REGISTERED && record->dead_proofs > 0 ? RUNNER_STATE_DOUBTFUL
                                                                                       : record->state;
}

/* ---- events ---- */

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

static void note_stop(Lifecycle *l, const Event *event)
{
        uint64_t now = l->now.boottime_usec, patience = STOP_GRACE_USEC;

        l->stopping = true;
        l->stop = event->stop;
        l->stop_deadline_usec = event->deadline_usec;
        /* A withdrawal needs the answer more than haste, and some time of its own. */
        if (l->stop.withdraw)
                patience = usec_sub(l->stop_deadline_usec, now) / 2;
        uint64_t end = l->state == RUNNER_STATE_WITHDRAWING ? l->stop_deadline_usec : usec_add(now, patience);
        if (end > l->stop_deadline_usec)
                end = l->stop_deadline_usec;
        if (l->until_usec > end)
                l->until_usec = end;
}

static void note_configured(Lifecycle *l)
{
        const Record *record = l->record;

        /* Who was withdrawn by `deregister` stays so over a reload; who is configured anew does not. */
        if (l->taken_up)
                take_up(l);
        else
                take_rotation(l);
        l->taken_up = false;
        if (record->state == RUNNER_STATE_REFUSED || record->state == RUNNER_STATE_UNREGISTERED)
                lifecycle_set_due(l, DUE_ENROL, 0, "reload");
        lifecycle_set_due(l, DUE_SOURCE, 0, "reload");
        l->entry_due = l->entry_due || record->state == RUNNER_STATE_REGISTERED;
        l->orphans_hopeless = false;
        lifecycle_wake_debts(l);
}

static void note(Lifecycle *l, const Event *event)
{
        switch (event->kind) {
        case EVENT_START:
                start(l);
                break;
        case EVENT_ENTRIES:
                entries_keep(l, event->entries, event->n_entries);
                /* What could not be written into the file as it was may fit now. */
                lifecycle_set_never(l, DUE_DISK);
                break;
        case EVENT_COMMAND:
                if (l->command == COMMAND_NONE)
                        l->command = event->command;
                break;
        case EVENT_STOP:
                note_stop(l, event);
                break;
        case EVENT_CONFIGURED:
                note_configured(l);
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
                return kind == EVENT_TIMER && l->now.boottime_usec >= l->until_usec;
        case ACTION_KEEP:
        case ACTION_STOPPED:
        case _ACTION_KIND_MAX:
                break;
        }
        return false;
}

static Action keep(const Lifecycle *l)
{
        return (Action){.kind = ACTION_KEEP, .until_usec = l->until_usec};
}

static Action take_result(Lifecycle *l, const Event *event)
{
        if (event->kind == EVENT_REPLY)
                lifecycle_hear(l, event->judgement);
        return l->then(l, event);
}

/* The time for what is under way is over: its result will not be known here. */
static Action give_up(Lifecycle *l, const Event *event)
{
        static const char words[] = "the time to stop was over";
        const Judgement unknown = {
                .verdict = VERDICT_AMBIGUOUS,
                .maybe_acted = true,
                .unreachable = true,
                .message = (char *)"no answer came before the time to stop was over",
        };
        Event lost = {.now = event->now, .error = -ETIMEDOUT, .message = words};

        switch (l->doing) {
        case ACTION_SEND:
                lost.kind = EVENT_REPLY;
                lost.judgement = &unknown;
                break;
        case ACTION_READ_SECRET:
                lost.kind = EVENT_SECRET;
                break;
        case ACTION_TELL:
                lost.kind = EVENT_TOLD;
                lost.told = TOLD_UNSURE;
                break;
        case ACTION_PREPARE:
        case ACTION_SAVE:
        case ACTION_JOURNAL:
        case ACTION_WRITE_ENTRY:
        case ACTION_REMOVE_ENTRY:
        case ACTION_KEEP:
        case ACTION_WAIT:
        case ACTION_STOPPED:
        case _ACTION_KIND_MAX:
                lost.kind = EVENT_DISK;
                break;
        }
        return take_result(l, &lost);
}

static Action dispatch(Lifecycle *l, const Event *event)
{
        if (is_result(l, event->kind))
                return take_result(l, event);
        switch (event->kind) {
        case EVENT_TIMER:
                if (!l->then)
                        return act_decide(l);
                return l->stopping && l->now.boottime_usec >= l->until_usec ? give_up(l, event) : keep(l);
        case EVENT_STOP:
                if (l->then && !may_cut(l))
                        return keep(l);
                l->verify_cut = l->then && l->doing == ACTION_SEND && l->calling == CALL_VERIFY;
                return act_decide(l);
        case EVENT_START:
        case EVENT_ENTRIES:
        case EVENT_COMMAND:
        case EVENT_CONFIGURED:
                return !l->then ? act_decide(l) : keep(l);
        case EVENT_DISK:
        case EVENT_SECRET:
        case EVENT_REPLY:
        case EVENT_TOLD:
        case _EVENT_KIND_MAX:
                break;
        }
        /* The result of something that was cut short. */
        return keep(l);
}

Action lifecycle_step(Lifecycle *l, const Event *event)
{
        l->now = event->now;
        if (l->doing == ACTION_STOPPED)
                return (Action){.kind = ACTION_STOPPED, .until_usec = USEC_INFINITY};
        note(l, event);

        Action action = dispatch(l, event);
        for (unsigned decisions = 0; l->deciding; decisions++) {
                assert(decisions < DECISIONS_MAX);
                l->deciding = false;
                action = lifecycle_decide(l);
        }
        return action;
}
