/* Leaving. The order is the whole point: the debt is written down first, then the entry goes, then gitlab-runner is
 * told, and only when it can't poll any more GitLab is asked to delete. A power cut anywhere leaves a debt with its
 * token, never a ghost. */

#include "agent/core/lifecycle-internal.h"

#include <string.h>

/* Tries of the delete within one withdrawal; what is left then is a debt. */
#define WITHDRAW_TRIES 3

static void forget_runner(Lifecycle *l)
{
        Record *record = l->record;

        record->token = secret_free(record->token);
        record->runner_id = 0;
        record->ours = record->manager_ours = record->handed_back = record->expiry_unknown = false;
        record->token_obtained_at_usec = record->token_expires_at_usec = record->registered_at_usec = 0;
        free(take_ptr(record->source_digest));
        lifecycle_clear_proofs(l);
        record_clear_intent(record);
}

static Action withdraw_end(Lifecycle *l, int code, const char *words)
{
        if (l->record->n_debts > 0)
                lifecycle_notice(l, NOTICE_DEBT, "Withdrawn from this host; GitLab still knows it: %s",
                        words ? words : "it did not answer");
        else
                lifecycle_notice(l, NOTICE_WITHDRAWN, "Withdrawn: nothing of this host is left in GitLab");
        lifecycle_because(l, "%s", l->record->reason ? l->record->reason : "withdrawn");
        lifecycle_enter(l, RUNNER_STATE_WITHDRAWN);
        lifecycle_finish(l, COMMAND_DEREGISTER, code, words ? "%s" : NULL, words);
        return apply_start(l);
}

static Action withdraw_unlisted(Lifecycle *l, const Event *event)
{
        l->entry_due = false;
        if (event->error < 0) {
                lifecycle_notice(l, NOTICE_TROUBLE, "%s", event->message ? event->message : strerror(-event->error));
                lifecycle_finish(l, COMMAND_DEREGISTER, 1, "%s",
                        event->message ? event->message : strerror(-event->error));
                return debts_withdraw(l);
        }
        /* Told even where nothing changed: the file may have lost the entry a moment ago. */
        return act_tell(l, withdraw_told);
}

static Action withdraw_polled(Lifecycle *l, const Event *event)
{
        (void)event;
        return debts_withdraw(l);
}

Action withdraw_told(Lifecycle *l, const Event *event)
{
        l->neighbour_may_poll = event->told != TOLD_NOT_RUNNING;
        if (event->told == TOLD_UNSURE)
                return act_sleep(l, l->plan.poll_usec, withdraw_polled);
        return debts_withdraw(l);
}

static Action withdraw_noted(Lifecycle *l, const Event *event)
{
        if (event->error < 0) {
                /* What can't be noted must not be begun, but a host that goes has no later: try all the same. */
                l->save_due = true;
                lifecycle_notice(l, NOTICE_TROUBLE, "%s", event->message ? event->message : strerror(-event->error));
        }
        const char *url = l->record->url ? l->record->url : l->plan.target.url;
        return act_remove_entry(l, url, withdraw_unlisted);
}

Action withdraw_start(Lifecycle *l)
{
        Record *record = l->record;

        lifecycle_enter(l, RUNNER_STATE_WITHDRAWING);
        l->withdraw_tries = WITHDRAW_TRIES;
        if (record->intent.kind == INTENT_CREATE && !record->intent.lost)
                lifecycle_owe_orphan(l, "withdrawn before GitLab's answer to a registration came");
        if (!record->token) {
                bool known = record->n_debts > 0;

                forget_runner(l);
                record->state = RUNNER_STATE_WITHDRAWN;
                l->save_due = true;
                (void)replace_string(&record->reason, "withdrawn");
                if (!known)
                        return withdraw_end(l, 0, NULL);
                return debts_withdraw(l);
        }
        lifecycle_owe(l, record->ours ? DEBT_RUNNER : DEBT_MANAGER, &l->plan.target, record->token, record->runner_id,
                l->stopping ? "the host stops" : "deregistered");
        forget_runner(l);
        record->state = RUNNER_STATE_WITHDRAWN;
        (void)replace_string(&record->reason, l->stopping ? "withdrawn, as the agent was stopped" : "withdrawn by command");
        return act_save(l, withdraw_noted);
}

Action withdraw_paid(Lifecycle *l, bool all, const Judgement *j)
{
        if (all)
                return withdraw_end(l, 0, NULL);
        bool time_left = !l->stopping || l->now.boottime_usec < l->stop_deadline_usec;
        bool worth = j && (j->verdict == VERDICT_AMBIGUOUS || j->verdict == VERDICT_WAIT) && !l->stop.one_try;

        if (worth && time_left && --l->withdraw_tries > 0) {
                const char *rule;
                uint64_t wait = judgement_wait(l, j, WITHDRAW_TRIES - l->withdraw_tries, &rule);

                /* Longer than this is what debts are for. */
                if (wait <= 10 * USEC_PER_SEC)
                        return act_sleep(l, wait, withdraw_polled);
        }
        return withdraw_end(l, j ? judgement_code(j) : 75, j ? judgement_words(j) : "it did not answer");
}

/* ---- handing back ---- */

static Action hand_back_written(Lifecycle *l, const Event *event)
{
        if (event->error < 0)
                lifecycle_notice(l, NOTICE_TROUBLE, "%s", event->message ? event->message : strerror(-event->error));
        else
                lifecycle_notice(l, NOTICE_HANDED_BACK, "Rotation of the token is gitlab-runner's again");
        return event->error == 0 && event->changed ? act_tell(l, hand_back_told) : act_decide(l);
}

Action hand_back_told(Lifecycle *l, const Event *event)
{
        (void)event;
        return act_decide(l);
}

static Action hand_back_saved(Lifecycle *l, const Event *event)
{
        if (event->error < 0)
                lifecycle_notice(l, NOTICE_TROUBLE, "%s", event->message ? event->message : strerror(-event->error));
        return act_write_entry(l, hand_back_written);
}

Action hand_back_start(Lifecycle *l)
{
        l->record->handed_back = true;
        return act_save(l, hand_back_saved);
}
