/* Runners of one host that live under one token, as after a change of NAME. GitLab knows them as one manager, so one
 * that goes takes only its entry of config.toml along: a deletion would take the other's manager. */

#include "agent/core/lifecycle-internal.h"

/* One that is not enrolled gets its token from its source, and nobody knows which before GitLab has answered. */
static bool about_to_take(const Lifecycle *l, const Secret *token)
{
        if (l->plan.flow != FLOW_AUTHENTICATION_TOKEN)
                return false;
        /* In a pass only a command enrols. */
        if (l->plan.once && (l->command != COMMAND_REGISTER || l->command_done))
                return false;
        if (l->record->state == RUNNER_STATE_UNREGISTERED)
                return true;
        /* One that was refused may be so for long; it holds up nobody but while it tries anew. */
        if (l->record->state == RUNNER_STATE_REFUSED)
                return l->then ? l->state == RUNNER_STATE_REGISTERING : lifecycle_is_due(l, DUE_ENROL);
        if (!lifecycle_enrolled(l))
                return false;
        if (l->due_usec[DUE_SOURCE] != USEC_INFINITY)
                return true;
        if (!l->then)
                return false;
        return l->doing == ACTION_READ_SECRET || (l->doing == ACTION_SEND && secret_equal(l->trial, token));
}

TokenUse lifecycle_token_use(const Lifecycle *l, const char *url, const Secret *token)
{
        bool leaves = l->state == RUNNER_STATE_WITHDRAWING || (l->stopping && l->stop.withdraw);

        if (!l->plan.configured || leaves || !url_equal(l->plan.target.url, url))
                return TOKEN_UNUSED;
        if (secret_equal(l->record->token, token))
                return TOKEN_USED;
        return about_to_take(l, token) ? TOKEN_UNSURE : TOKEN_UNUSED;
}

TokenUse household_ask(const Lifecycle *l, const char *url, const Secret *token)
{
        return l->household.ask ? l->household.ask(l->household.userdata, l, url, token) : TOKEN_UNUSED;
}

bool household_applies(const Lifecycle *l)
{
        return !l->plan.configured && lifecycle_enrolled(l) && l->household.ask;
}

/* Withdrawing it harms nobody then: nothing of it is left in GitLab that is not the other's too. */
Action household_look(Lifecycle *l)
{
        switch (household_ask(l, l->plan.target.url, l->record->token)) {
        case TOKEN_USED:
                lifecycle_set_never(l, DUE_ENROL);
                return withdraw_start(l);
        case TOKEN_UNSURE:
                lifecycle_set_due(l, DUE_ENROL,
                        schedule_backoff(&l->random, ++l->attempt, l->plan.retry_min_usec, l->plan.retry_max_usec),
                        "retry_min to retry_max");
                break;
        /* So far: the other name may be enrolled later, by a command or once its source is there. */
        case TOKEN_UNUSED:
        case _TOKEN_USE_MAX:
                lifecycle_set_due(
                        l, DUE_ENROL, schedule_interval(&l->random, l->plan.verify_interval_usec), "verify_interval");
                break;
        }
        return act_decide(l);
}
