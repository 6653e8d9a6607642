/* Debts: what could not be deleted when it should have been. One is paid at a time; a refused delete counts as done
 * only when verify says as well that GitLab does not know the token. */

#include "agent/core/lifecycle-internal.h"

#include <string.h>

/* How many runners are looked at for an orphan's marker: what is not among the newest is not ours to search for. */
#define ORPHAN_LOOKS_MAX 20

static Debt *current(Lifecycle *l)
{
        return l->debt < l->record->n_debts ? &l->record->debts[l->debt] : NULL;
}

static bool withdrawing(const Lifecycle *l)
{
        return l->state == RUNNER_STATE_WITHDRAWING;
}

static Action debts_next(Lifecycle *l);

/* This one stays; its turn comes again. */
static Action debt_kept(Lifecycle *l, const Judgement *j)
{
        const char *rule;

        if (withdrawing(l))
                return withdraw_paid(l, false, j);
        l->debt_attempt++;
        uint64_t wait = judgement_wait(l, j, l->debt_attempt, &rule);
        lifecycle_set_due(l, DUE_DEBTS, wait, rule);
        return act_decide(l);
}

static Action debt_paid(Lifecycle *l, const char *how)
{
        Debt *debt = current(l);

        if (!withdrawing(l))
                lifecycle_notice(l, NOTICE_DEBT_PAID, "The debt for %s %lld is paid: %s", debt_kind_to_string(debt->kind),
                        (long long)debt->runner_id, how);
        record_remove_debt(l->record, l->debt);
        l->save_due = true;
        l->debt_attempt = 0;
        return debts_next(l);
}

static Action debt_verified(Lifecycle *l, const Event *event)
{
        const Judgement *j = event->judgement;

        if (j->verdict == VERDICT_DEAD)
                return debt_paid(l, "GitLab does not know its token any more");
        if (j->verdict != VERDICT_ALIVE)
                return debt_kept(l, j);

        /* Refused, and yet alive: no proof of anything, so it is kept. */
        Judgement odd = { .verdict = VERDICT_AMBIGUOUS, .message = (char *)"GitLab refused the delete of a living token" };
        return debt_kept(l, &odd);
}

static Action manager_deleted(Lifecycle *l, const Event *event);

static Action manager_again(Lifecycle *l, const Event *event)
{
        (void)event;
        const Debt *debt = current(l);

        CallArguments arguments = { .token = debt->token, .system_id = debt->system_id };
        return act_send_to(l, &debt->target, CALL_DELETE_MANAGER, arguments, manager_deleted);
}

static Action manager_deleted(Lifecycle *l, const Event *event)
{
        const Judgement *j = event->judgement;
        const Debt *debt = current(l);

        if (j->verdict == VERDICT_ALIVE) {
                /* A poll that was on its way makes the manager again: the second answer, a 404, is the proof. */
                if (l->neighbour_may_poll && !j->gone && !j->no_route && l->proofs_left > 0) {
                        l->proofs_left--;
                        return l->proofs_left + 1 == DELETE_PROOFS ? manager_again(l, event) :
                                                                    act_sleep(l, l->plan.poll_usec, manager_again);
                }
                return debt_paid(l, "the manager is deleted");
        }
        if (j->verdict == VERDICT_DEAD)
                return act_send_to(l, &debt->target, CALL_VERIFY, (CallArguments){ .token = debt->token,
                        .system_id = debt->system_id }, debt_verified);
        return debt_kept(l, j);
}

static Action runner_deleted(Lifecycle *l, const Event *event)
{
        const Judgement *j = event->judgement;
        const Debt *debt = current(l);

        if (j->verdict == VERDICT_ALIVE)
                return debt_paid(l, "the runner is deleted");
        if (j->verdict == VERDICT_DEAD)
                return act_send_to(l, &debt->target, CALL_VERIFY, (CallArguments){ .token = debt->token,
                        .system_id = l->system_id }, debt_verified);
        return debt_kept(l, j);
}

/* ---- orphans ---- */

static Action orphan_look(Lifecycle *l);

static Action orphan_deleted(Lifecycle *l, const Event *event)
{
        const Judgement *j = event->judgement;

        if (j->verdict == VERDICT_ALIVE || (j->verdict == VERDICT_DEAD && !j->no_route))
                return debt_paid(l, "the orphan was found by its marker and deleted");
        return debt_kept(l, j);
}

static Action orphan_shown(Lifecycle *l, const Event *event)
{
        const Judgement *j = event->judgement;
        Debt *debt = current(l);

        if (j->verdict == VERDICT_WAIT || j->verdict == VERDICT_AMBIGUOUS)
                return debt_kept(l, j);
        if (j->verdict == VERDICT_ALIVE && j->note && debt->marker && strstr(j->note, debt->marker)) {
                debt->runner_id = l->ids[l->id];
                CallArguments arguments = { .access_token = l->secret, .runner_id = debt->runner_id };
                return act_send_to(l, &debt->target, CALL_DELETE_BY_ID, arguments, orphan_deleted);
        }
        l->id++;
        return orphan_look(l);
}

static Action orphan_look(Lifecycle *l)
{
        if (l->id >= l->n_ids)
                return debt_paid(l, "no runner carries its marker, so none was made");
        CallArguments arguments = { .access_token = l->secret, .runner_id = l->ids[l->id] };
        return act_send_to(l, &current(l)->target, CALL_SHOW, arguments, orphan_shown);
}

static Action orphan_unprovable(Lifecycle *l)
{
        /* Shown in status until a person has looked; a likeness is no proof. */
        l->debt++;
        return debts_next(l);
}

static Action orphan_listed(Lifecycle *l, const Event *event)
{
        const Judgement *j = event->judgement;

        if (j->verdict == VERDICT_PERMANENT || j->verdict == VERDICT_DEAD)
                return orphan_unprovable(l);
        if (j->verdict != VERDICT_ALIVE)
                return debt_kept(l, j);
        size_t n = j->n_ids < ORPHAN_LOOKS_MAX ? j->n_ids : ORPHAN_LOOKS_MAX;
        /* More than could be looked at: finding nothing among some proves nothing about the rest. */
        if (j->n_ids > ORPHAN_LOOKS_MAX)
                return orphan_unprovable(l);
        free(take_ptr(l->ids));
        l->n_ids = l->id = 0;
        if (n > 0) {
                l->ids = calloc(n, sizeof(*l->ids));
                if (!l->ids)
                        return debt_kept(l, j);
                memcpy(l->ids, j->ids, n * sizeof(*l->ids));
                l->n_ids = n;
        }
        return orphan_look(l);
}

static Action orphan_with_secret(Lifecycle *l, const Event *event)
{
        if (event->error < 0 || !event->secret)
                return orphan_unprovable(l);
        l->secret = secret_free(l->secret);
        if (secret_copy(event->secret, &l->secret) < 0)
                return orphan_unprovable(l);
        CallArguments arguments = { .access_token = l->secret, .attributes = l->plan.attributes };
        return act_send_to(l, &current(l)->target, CALL_LIST, arguments, orphan_listed);
}

/* ---- one after the other ---- */

static bool provable(const Lifecycle *l, const Debt *debt)
{
        return l->plan.configured && l->plan.flow == FLOW_ACCESS_TOKEN && debt->marker &&
               url_equal(debt->target.url, l->plan.target.url) && !l->stopping;
}

static Action debt_begin(Lifecycle *l, const Debt *debt)
{
        CallArguments arguments = { .token = debt->token, .system_id = debt->system_id };

        switch (debt->kind) {
        case DEBT_RUNNER:
                arguments.system_id = l->system_id;
                return act_send_to(l, &debt->target, CALL_DELETE_RUNNER, arguments, runner_deleted);
        case DEBT_MANAGER:
                l->proofs_left = DELETE_PROOFS;
                return act_send_to(l, &debt->target, CALL_DELETE_MANAGER, arguments, manager_deleted);
        case DEBT_ORPHAN:
                return provable(l, debt) ? act_read_secret(l, orphan_with_secret) : orphan_unprovable(l);
        case _DEBT_KIND_MAX:
        case _DEBT_KIND_INVALID:
                break;
        }
        return orphan_unprovable(l);
}

static Action debts_next(Lifecycle *l)
{
        const Debt *debt = current(l);

        if (debt)
                return debt_begin(l, debt);
        lifecycle_set_never(l, DUE_DEBTS);
        if (withdrawing(l))
                return withdraw_paid(l, true, NULL);
        return apply_start(l);
}

Action debts_start(Lifecycle *l)
{
        l->debt = 0;
        return debts_next(l);
}

Action debts_withdraw(Lifecycle *l)
{
        l->debt = 0;
        return debts_next(l);
}
