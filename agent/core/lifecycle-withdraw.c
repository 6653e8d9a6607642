/* Leaving. The order is the whole point: the debt is written down first, then the entry goes, then gitlab-runner is
 * told, and only when it can't poll any more GitLab is asked to delete. A power cut anywhere leaves a debt with its
 * token, never a ghost. */

#include "agent/core/lifecycle-internal.h"

/* Tries of the delete within one withdrawal; what is left then is a debt, and so is what asks for a longer wait. */
#define WITHDRAW_TRIES     3
#define WITHDRAW_WAIT_USEC (10 * USEC_PER_SEC)

static Action withdraw_end(Lifecycle *l, int code, const char *words)
{
        if (words)
                lifecycle_notice(l, NOTICE_DEBT, "Withdrawn from this host; GitLab still knows it: %s", words);
        else if (l->record->n_debts > 0)
                lifecycle_notice(
                        l, NOTICE_DEBT, "Withdrawn; what a lost answer may have left is still to be looked for");
        else
                lifecycle_notice(l, NOTICE_WITHDRAWN, "Withdrawn: nothing of this host is left in GitLab");
        lifecycle_because(l, "%s", l->record->reason ? l->record->reason : "withdrawn");
        lifecycle_enter(l, RUNNER_STATE_WITHDRAWN);
        lifecycle_finish(l, COMMAND_DEREGISTER, code, words ? "%s" : NULL, words);
        return act_decide(l);
}

static Action withdraw_pay(Lifecycle *l, const Event *event)
{
        (void)event;
        return debts_start(l);
}

static Action withdraw_told(Lifecycle *l, const Event *event)
{
        uint64_t rest = l->plan.poll_usec;

        l->tell_due = false;
        l->neighbour_may_poll = event->told != TOLD_NOT_RUNNING || l->verify_cut;
        if (event->told != TOLD_UNSURE)
                return debts_start(l);
        /* Of little time, some is kept for the call itself. */
        if (l->stopping && rest > usec_sub(l->stop_deadline_usec, l->now.boottime_usec) / 2)
                rest = usec_sub(l->stop_deadline_usec, l->now.boottime_usec) / 2;
        if (rest == 0)
                return debts_start(l);
        return act_sleep(l, rest, "until gitlab-runner polls with the token no more", withdraw_pay);
}

/* The entry stays for now: it goes as soon as the files can be written, and be it after the next start. */
static Action withdraw_listed(Lifecycle *l, const Event *event)
{
        lifecycle_notice(l, NOTICE_TROUBLE, "%s", event_words(event));
        lifecycle_finish(l, COMMAND_DEREGISTER, EXIT_FAILED, "%s", event_words(event));
        return debts_start(l);
}

static Action withdraw_unlisted(Lifecycle *l, const Event *event)
{
        if (event->error < 0)
                return withdraw_listed(l, event);
        /* Not worth a write of its own: the next start would find nothing to remove. */
        lifecycle_entry_left(l);
        entries_removed(l);
        /* Told even where nothing changed: the file may have lost the entry a moment ago. */
        return act_tell(l, withdraw_told);
}

static Action withdraw_noted(Lifecycle *l, const Event *event)
{
        if (event->error < 0) {
                /* The entry may be all that still holds the token, so it stays; but a host that goes has no later, so
                 * the deletion is tried all the same. */
                l->save_due = true;
                return withdraw_listed(l, event);
        }
        return act_remove_entry(l, &l->record->leftovers[l->record->n_leftovers - 1], withdraw_unlisted);
}

static void withdraw_reset_lost(Lifecycle *l)
{
        const Record *record = l->record;

        if (lifecycle_reset_open(l) && record->ours)
                lifecycle_owe_orphan(
                        l, record->runner_id, NULL, "withdrawn while a rotation of its token was not answered");
}

/* The id tells that it is this very runner: gitlab-runner has rotated its token, and GitLab has not judged the new
 * one yet. Which of them lives its answers to the debts tell. */
static void withdraw_rotated(Lifecycle *l, const char *reason)
{
        Record *record = l->record;

        for (size_t i = 0; i < l->n_entries && record->ours && record->runner_id > 0; i++) {
                const Candidate *c = &l->entries[i];
                Secret *copy = NULL;

                if (c->runner_id != record->runner_id || secret_equal(c->token, record->token) ||
                        secret_copy(c->token, &copy) < 0)
                        continue;
                (void)secret_free(record->token);
                record->token = copy;
                if (lifecycle_owe(l, &l->plan.target, reason) >= 0)
                        lifecycle_leave_entry(l, record->url, copy);
        }
}

/* Both or nothing: without the debt the token would be lost, and without the other its entry stand there for ever. */
static int withdraw_note(Lifecycle *l, const char *reason)
{
        Record *record = l->record;
        const Secret *listed = entries_listed(l);
        int r = record_add_leftover(record, record->url, listed ? listed : record->token);

        if (r < 0)
                return r;
        r = lifecycle_owe(l, &l->plan.target, reason);
        if (r < 0)
                record_remove_leftover(record, record->n_leftovers - 1);
        return r;
}

Action withdraw_start(Lifecycle *l)
{
        Record *record = l->record;
        bool owed = record->token && (record->ours || record->manager_ours);
        const char *why = l->stopping ? "the host stops" : "deregistered";

        lifecycle_enter(l, RUNNER_STATE_WITHDRAWING);
        l->withdraw_tries = WITHDRAW_TRIES;
        l->stop_debts_tried = l->stopping;
        /* Noted before it is tried: the power may go, or the file refuse. */
        int r = owed ? withdraw_note(l, why) : 0;
        if (r < 0) {
                /* Forgetting it now would lose its token. */
                lifecycle_enter(l, record->state);
                lifecycle_finish(l, COMMAND_DEREGISTER, EXIT_FAILED, "what is owed can't be kept: %s",
                        r == -ENOMEM ? "out of memory" : "too much is owed already");
                return act_decide(l);
        }
        withdraw_reset_lost(l);
        if (owed)
                withdraw_rotated(l, why);
        lifecycle_forget_runner(l);
        record->state = RUNNER_STATE_WITHDRAWN;
        (void)replace_string(&record->reason, l->stopping ? "withdrawn, as the agent was stopped"
                                              : l->command == COMMAND_DEREGISTER
                                                      ? "withdrawn by command"
                                                      : "another runner of this host lives under its token");
        if (owed)
                return act_save(l, withdraw_noted);
        return debts_payable(l) ? debts_start(l) : withdraw_end(l, 0, NULL);
}

Action withdraw_paid(Lifecycle *l)
{
        bool time_left = !lifecycle_out_of_time(l);
        bool worth = l->debts_again && !(l->stopping && l->stop.one_try);

        if (l->debts_wait_usec == 0)
                return withdraw_end(l, 0, NULL);
        if (worth && time_left && l->debts_wait_usec <= WITHDRAW_WAIT_USEC && --l->withdraw_tries > 0)
                return act_sleep(l, l->debts_wait_usec, l->debts_rule, withdraw_pay);
        return withdraw_end(l, l->debts_code, l->debts_words ? l->debts_words : "it did not answer");
}

/* ---- handing back ---- */

static Action hand_back_told(Lifecycle *l, const Event *event)
{
        (void)event;
        return act_decide(l);
}

static Action hand_back_written(Lifecycle *l, const Event *event)
{
        if (event->error < 0) {
                lifecycle_notice(l, NOTICE_TROUBLE, "%s", event_words(event));
                return act_decide(l);
        }
        (void)entries_written(l);
        lifecycle_notice(l, NOTICE_HANDED_BACK, "Rotation of the token is gitlab-runner's again");
        return event->changed ? act_tell(l, hand_back_told) : act_decide(l);
}

static Action hand_back_saved(Lifecycle *l, const Event *event)
{
        if (event->error < 0) {
                l->save_due = true;
                lifecycle_notice(l, NOTICE_TROUBLE, "%s", event_words(event));
        }
        return entries_foreign(l) ? act_decide(l) : act_write_entry(l, hand_back_written);
}

Action hand_back_start(Lifecycle *l)
{
        l->record->handed_back = true;
        return act_save(l, hand_back_saved);
}
