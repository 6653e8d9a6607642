/* What to do next. Everything that time brings is a row of one table, which is asked both what is due and what to
 * wait for: so nothing is waited for that would not be done, and no wait is without a reason. */

#include "agent/core/lifecycle-internal.h"

/* ---- rows ---- */

static bool source_applies(const Lifecycle *l)
{
        return lifecycle_working(l) && l->plan.flow == FLOW_AUTHENTICATION_TOKEN;
}

/* Only what GitLab has just called dead once more is recovered: proofs of old alone are no reason. And not before the
 * token that somebody else put into config.toml has been asked about: it may be the one that replaced ours. */
static bool recovery_applies(const Lifecycle *l)
{
        return lifecycle_working(l) && l->has_standing && l->standing == VERDICT_DEAD && lifecycle_proven_dead(l) &&
               !entries_foreign(l);
}

/* Whether GitLab has just accepted the token; then it is in no doubt, and no intent is open. */
static bool accepted(const Lifecycle *l)
{
        return l->has_standing && l->standing == VERDICT_ALIVE;
}

/* Only such a token is put at stake. */
static bool rotation_applies(const Lifecycle *l)
{
        return lifecycle_working(l) && accepted(l) && !l->record->handed_back && lifecycle_may_rotate(l, false) &&
               !entries_foreign(l) &&
               schedule_rotation(l->record, l->plan.rotate_at, l->plan.rotate_after_usec) != USEC_INFINITY;
}

static bool enrolment_applies(const Lifecycle *l)
{
        return l->plan.configured && !lifecycle_working(l) && l->record->state != RUNNER_STATE_WITHDRAWN;
}

static uint64_t rotation_time(const Lifecycle *l, const char **ret_rule)
{
        const Record *record = l->record;
        uint64_t at = schedule_rotation(record, l->plan.rotate_at, l->plan.rotate_after_usec);
        uint64_t now = lifecycle_server_now(l);
        uint64_t spread = usec_sub(record->token_expires_at_usec, record->token_obtained_at_usec) / 20;

        /* Hosts that were made in one go have tokens of one age: they rotate one after the other. */
        if (spread > l->plan.verify_interval_usec)
                spread = l->plan.verify_interval_usec;
        at = usec_add(at, spread > 0 ? l->dice % spread : 0);
        /* Obtained in the future: the clock was set back since, and how old the token is nobody knows. */
        bool ageless = record->token_obtained_at_usec > usec_add(now, CLOCK_SLACK_USEC);
        if (ageless)
                at = 0;
        uint64_t due = usec_add(l->now.boottime_usec, usec_sub(at, now));
        *ret_rule = record->expiry_unknown          ? "its expiry is unknown"
                    : ageless                       ? "its age is unknown, as the clock was set back"
                    : record->token_expires_at_usec ? "rotate_at"
                                                    : "rotate_after";
        if (l->due_usec[DUE_ROTATE] != USEC_INFINITY && l->due_usec[DUE_ROTATE] > due) {
                due = l->due_usec[DUE_ROTATE];
                *ret_rule = l->rule[DUE_ROTATE];
        }
        return due;
}

typedef struct Task {
        Due due;
        bool calls; /* GitLab is asked */
        bool (*applies)(const Lifecycle *l);
        Action (*start)(Lifecycle *l);
        const char *what;
} Task;

/* In the order of what must not wait. */
static const Task tasks[] = {
        {DUE_ENTRIES, true, lifecycle_enrolled, entries_check, "check config.toml"},
        {DUE_DISK, false, apply_wanted, apply_start, "write files"},
        {DUE_SOURCE, true, source_applies, source_check, "read the token's source"},
        {DUE_VERIFY, true, lifecycle_working, verify_start, "verify"},
        {DUE_ENROL, true, recovery_applies, recover_start, "recover"},
        {DUE_ROTATE, true, rotation_applies, rotate_start, "rotate"},
        {DUE_ENROL, true, enrolment_applies, enrol_start, "enrol"},
        {DUE_ENROL, false, household_applies, household_look, "see whether it was renamed"},
        {DUE_DEBTS, true, debts_payable, debts_start, "pay debts"},
};

static uint64_t task_time(const Lifecycle *l, const Task *task, const char **ret_rule)
{
        uint64_t due = l->due_usec[task->due];

        *ret_rule = l->rule[task->due];
        if (task->due == DUE_ROTATE)
                due = rotation_time(l, ret_rule);
        /* Whatever it is for: GitLab has told us when it wants to hear of us again. */
        if (task->calls && due < l->told_usec) {
                due = l->told_usec;
                *ret_rule = l->told_rule;
        }
        return due;
}

static bool task_is_due(const Lifecycle *l, const Task *task)
{
        const char *rule;

        return task->applies(l) && task_time(l, task, &rule) <= l->now.boottime_usec;
}

const char *lifecycle_next_due(const Lifecycle *l, uint64_t *ret_usec, const char **ret_rule)
{
        const char *what = NULL;

        *ret_usec = USEC_INFINITY;
        *ret_rule = NULL;
        if (l->plan.once)
                return NULL;
        for (size_t i = 0; i < ELEMENTS(tasks); i++) {
                const char *rule;

                if (!tasks[i].applies(l))
                        continue;
                uint64_t at = task_time(l, &tasks[i], &rule);
                if (at >= *ret_usec)
                        continue;
                *ret_usec = at;
                *ret_rule = rule;
                what = tasks[i].what;
        }
        return what;
}

static Action decide_wait(Lifecycle *l)
{
        uint64_t until;
        const char *rule;

        (void)lifecycle_next_due(l, &until, &rule);
        return act_rest(l, until);
}

/* ---- stop ---- */

static Action stop_saved(Lifecycle *l, const Event *event)
{
        if (event->error < 0) {
                l->save_due = true;
                lifecycle_notice(l, NOTICE_TROUBLE, "%s", event_words(event));
        }
        return act_decide(l);
}

/* Somebody has put another token in the place of ours: what is to be withdrawn may live under that one by now. */
static Action decide_stop_entries(Lifecycle *l)
{
        l->stop_entries_tried = true;
        Action action = entries_check(l);
        uint64_t half = l->now.boottime_usec + usec_sub(l->stop_deadline_usec, l->now.boottime_usec) / 2;

        action.until_usec = l->until_usec = half;
        return action;
}

static Action decide_stop(Lifecycle *l)
{
        bool time_left = !lifecycle_out_of_time(l);

        if (time_left && l->stop.withdraw) {
                if (!l->stop_entries_tried && lifecycle_enrolled(l) && entries_foreign(l))
                        return decide_stop_entries(l);
                if (!l->stop_withdrawn && l->record->token && (l->record->ours || l->record->manager_ours)) {
                        l->stop_withdrawn = true;
                        return withdraw_start(l);
                }
                /* One more try for what older stops left: an orderly end leaves nothing behind. */
                if (!l->stop_debts_tried && debts_payable(l)) {
                        l->stop_debts_tried = true;
                        return debts_start(l);
                }
        } else if (time_left && l->stop.hand_back && lifecycle_working(l) && l->record->ours &&
                   !l->record->handed_back && l->plan.rotation != ROTATION_NEVER)
                return hand_back_start(l);

        /* Whatever the disk said before, it is asked once more: what is only in memory ends here. */
        if (!l->stop_saved) {
                l->stop_saved = true;
                lifecycle_set_never(l, DUE_DISK);
                if (time_left && apply_needed(l))
                        return apply_start(l);
                if (l->save_due)
                        return act_save(l, stop_saved);
        }
        return act_stopped(l);
}

/* ---- commands ---- */

static Action command_register(Lifecycle *l)
{
        Record *record = l->record;

        if (!l->plan.configured) {
                lifecycle_finish(l, COMMAND_REGISTER, EXIT_FAILED, "is not configured any more");
                return act_decide(l);
        }
        if (lifecycle_working(l)) {
                if (source_applies(l) && lifecycle_is_due(l, DUE_SOURCE))
                        return source_check(l);
                return verify_start(l);
        }
        if (record->state == RUNNER_STATE_WITHDRAWN) {
                record->state = RUNNER_STATE_UNREGISTERED;
                free(take_ptr(record->reason));
                lifecycle_because(l, NULL);
                l->save_due = true;
        }
        return enrol_start(l);
}

static Action command_rotate(Lifecycle *l)
{
        if (!lifecycle_may_rotate(l, true)) {
                lifecycle_finish(l, COMMAND_ROTATE, EXIT_FAILED, "%s",
                        l->record->token ? "the token is shared with other hosts, which a rotation would lock out; "
                                           "set rotation = always if this host is to rotate it"
                                         : "is not enrolled, so it has no token to rotate");
                return act_decide(l);
        }
        if (entries_foreign(l)) {
                lifecycle_finish(l, COMMAND_ROTATE, EXIT_AGAIN,
                        "config.toml holds another token, which GitLab has not judged yet");
                return act_decide(l);
        }
        if (!accepted(l) || l->rotate_asked)
                return verify_start(l);
        l->rotate_asked = true;
        return rotate_start(l);
}

static Action decide_command(Lifecycle *l)
{
        switch (l->command) {
        case COMMAND_DEREGISTER:
                return withdraw_start(l);
        case COMMAND_VERIFY:
                if (l->record->token)
                        return verify_start(l);
                lifecycle_finish(l, COMMAND_VERIFY,
                        l->record->state == RUNNER_STATE_REFUSED ? EXIT_REFUSED : EXIT_FAILED, "is not enrolled%s%s",
                        l->reason ? ": " : "", l->reason ? l->reason : "");
                return act_decide(l);
        case COMMAND_ROTATE:
                return command_rotate(l);
        case COMMAND_REGISTER:
                return command_register(l);
        case COMMAND_NONE:
        case _COMMAND_MAX:
                break;
        }
        return decide_wait(l);
}

/* What could be written for the command has been: whoever waits may hear. */
static void settle_command(Lifecycle *l)
{
        if (!l->command_done || l->outcome_ready)
                return;
        if (l->outcome.code == EXIT_DONE && l->entry_due && entries_foreign(l)) {
                l->outcome.code = EXIT_AGAIN;
                (void)replace_string(
                        &l->outcome.message, "config.toml holds another token, which GitLab has not judged yet");
        }
        l->outcome_ready = true;
}

Action lifecycle_decide(Lifecycle *l)
{
        bool commanded = l->command != COMMAND_NONE && !l->command_done;

        l->then = NULL;
        if (l->has_answer)
                return answer_apply(l);
        if (l->stopping)
                return decide_stop(l);
        /* What is to be withdrawn may live by now under a token that somebody else has put there. */
        if (commanded && l->command == COMMAND_DEREGISTER && !(entries_foreign(l) && task_is_due(l, &tasks[0])))
                return withdraw_start(l);
        /* Before a pass as well: what others wrote is not written over unseen. */
        if ((commanded || !l->plan.once) && task_is_due(l, &tasks[0]))
                return entries_check(l);
        if (apply_needed(l))
                return apply_start(l);
        settle_command(l);
        if (commanded)
                return decide_command(l);
        if (l->plan.once)
                return decide_wait(l);
        for (size_t i = 0; i < ELEMENTS(tasks); i++)
                if (task_is_due(l, &tasks[i]))
                        return tasks[i].start(l);
        return decide_wait(l);
}
