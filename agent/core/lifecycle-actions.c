/* The ends of a step, and the clockwork behind them: what is due when, and how long an answer makes us wait. */

#include "agent/core/lifecycle-internal.h"

#include <string.h>

static Action act(Lifecycle *l, ActionKind kind, Step then)
{
        l->doing = kind;
        l->then = then;
        /* Nothing that is begun while stopping may outlast the stop. */
        l->until_usec = l->stopping && then ? l->stop_deadline_usec : USEC_INFINITY;
        return (Action){.kind = kind, .until_usec = l->until_usec};
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
        l->calling_home = target == &l->plan.target;
        l->calling_there = l->calling_home || url_equal(target->url, l->plan.target.url);
        action.call = call;
        action.arguments = arguments;
        action.target = target;
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

Action act_remove_entry(Lifecycle *l, const Leftover *leftover, Step then)
{
        l->removing = leftover;
        return act(l, ACTION_REMOVE_ENTRY, then);
}

Action act_tell(Lifecycle *l, Step then)
{
        return act(l, ACTION_TELL, then);
}

Action act_sleep(Lifecycle *l, uint64_t span_usec, const char *why, Step then)
{
        Action action = act(l, ACTION_WAIT, then);
        uint64_t until = usec_add(l->now.boottime_usec, span_usec);

        if (until < action.until_usec)
                action.until_usec = l->until_usec = until;
        l->resting = why;
        return action;
}

Action act_rest(Lifecycle *l, uint64_t until_usec)
{
        Action action = act(l, ACTION_WAIT, NULL);

        lifecycle_drop_secrets(l);
        action.until_usec = l->until_usec = until_usec;
        return action;
}

Action act_decide(Lifecycle *l)
{
        l->deciding = true;
        return act(l, ACTION_WAIT, NULL);
}

Action act_stopped(Lifecycle *l)
{
        lifecycle_drop_secrets(l);
        lifecycle_finish(l, l->command, EXIT_AGAIN, "the agent stops");
        l->outcome_ready = l->command_done;
        return act(l, ACTION_STOPPED, NULL);
}

CallArguments token_arguments(const Lifecycle *l, const Secret *token)
{
        return (CallArguments){.token = token, .system_id = l->system_id};
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

void lifecycle_set_verify_interval(Lifecycle *l)
{
        lifecycle_set_due(
                l, DUE_VERIFY, schedule_interval(&l->random, l->plan.verify_interval_usec), "verify_interval");
}

bool lifecycle_out_of_time(const Lifecycle *l)
{
        return l->stopping && l->now.boottime_usec >= l->stop_deadline_usec;
}

/* ---- answers ---- */

const char *judgement_words(const Judgement *j)
{
        return j->message ? j->message : "no reason was given";
}

const char *event_words(const Event *event)
{
        return event->message ? event->message : strerror(-event->error);
}

static bool told(const Judgement *j)
{
        return j->verdict == VERDICT_WAIT && (j->wait_usec > 0 || j->spread > 0);
}

static uint64_t told_wait(Lifecycle *l, const Judgement *j, const char **ret_rule)
{
        *ret_rule = j->spread > 0 ? "as GitLab's throttle says" : "Retry-After";
        return schedule_wait(&l->random, j->wait_usec, j->spread, j->spread_usec, l->plan.retry_min_usec);
}

uint64_t judgement_wait(Lifecycle *l, const Judgement *j, unsigned attempt, const char **ret_rule)
{
        const Plan *plan = &l->plan;

        if (told(j))
                return told_wait(l, j, ret_rule);
        if (j->verdict == VERDICT_PERMANENT && !j->refused_by_net) {
                *ret_rule = "refused_retry";
                return usec_add(
                        plan->refused_retry_usec, random_below(&l->random, plan->refused_retry_usec / 10 + 1));
        }
        if (j->verdict == VERDICT_PERMANENT) {
                /* Nobody has refused anything yet: the clock, a CA file or a proxy may be right in a moment. */
                *ret_rule = "retry_max";
                return schedule_interval(&l->random, plan->retry_max_usec);
        }
        *ret_rule = "retry_min to retry_max";
        return schedule_backoff(&l->random, attempt, plan->retry_min_usec, plan->retry_max_usec);
}

uint64_t lifecycle_server_now(const Lifecycle *l)
{
        uint64_t ours = l->now.realtime_usec;
        uint64_t theirs = usec_add(l->server_usec, usec_sub(l->now.boottime_usec, l->server_heard_usec));

        /* Whole seconds that were some time on their way: no better than ours, where that is right. */
        bool agree = usec_sub(ours, theirs) <= CLOCK_SLACK_USEC && usec_sub(theirs, ours) <= CLOCK_SLACK_USEC;
        return l->server_usec == 0 || agree ? ours : theirs;
}

void lifecycle_hear(Lifecycle *l, const Judgement *j)
{
        const char *rule;

        /* An orphan is looked for where it is owed. */
        if (l->calling_home && l->calling != CALL_PROBE) {
                l->has_verdict = true;
                l->last_verdict = j->verdict;
        }
        if (!l->calling_there) {
                uint64_t away = told(j) ? usec_add(l->now.boottime_usec, told_wait(l, j, &rule)) : 0;

                if (away > l->away_told_usec) {
                        l->away_told_usec = away;
                        l->away_told_rule = rule;
                }
                return;
        }
        if (j->server_usec > 0) {
                l->server_usec = j->server_usec;
                l->server_heard_usec = l->now.boottime_usec;
        }
        if (!told(j))
                return;
        uint64_t until = usec_add(l->now.boottime_usec, told_wait(l, j, &rule));
        if (until > l->told_usec) {
                l->told_usec = until;
                l->told_rule = rule;
        }
}
