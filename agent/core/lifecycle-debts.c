/* Debts: what could not be deleted when it should have been. They are paid one after the other, the newest first, and
 * one that can't be paid holds up none. A refused delete counts as done only when verify says as well that GitLab
 * does not know the token. */

#include "agent/core/lifecycle-internal.h"

#include <assert.h>
#include <string.h>

/* A poll that left just before gitlab-runner read the file again arrives within this, also over a slow line. */
#define PROOF_REST_USEC USEC_PER_SEC

/* How many runners are looked at for an orphan's marker, of how many pages: what is not among the newest is not ours
 * to search for. */
#define ORPHAN_LOOKS_MAX 20
#define ORPHAN_PAGES_MAX 50

/* A create may be done long after its answer was given up; before that nobody says that none was made. */
#define ORPHAN_SETTLE_USEC (10 * USEC_PER_MINUTE)

static Debt *current(Lifecycle *l)
{
        assert(l->debt < l->record->n_debts);
        return &l->record->debts[l->debt];
}

static bool withdrawing(const Lifecycle *l)
{
        return l->state == RUNNER_STATE_WITHDRAWING;
}

/* Whether anything can be done about it now. */
static bool payable(const Lifecycle *l, const Debt *debt)
{
        const Record *record = l->record;
        bool here = url_equal(debt->target.url, l->plan.target.url);

        if (debt->kind == DEBT_ORPHAN)
                return l->plan.configured && l->plan.flow == FLOW_ACCESS_TOKEN && debt->marker && here &&
                       !l->orphans_hopeless;
        /* A host that has come back adopts what it owes, if that still works: enrolment looks first, and a debt tells
         * whose the token is that only stands in config.toml. Who goes again before it could look pays. */
        bool settled = record->state != RUNNER_STATE_UNREGISTERED &&
                       !(record->token && !record->ours && !record->manager_ours);
        /* gitlab-runner polls with it until config.toml can be written: it would make the manager again. Who goes has
         * no later. */
        if (here && !l->stopping && l->state != RUNNER_STATE_WITHDRAWING && lifecycle_working(l) &&
                entries_hold(l, debt->token) && !entries_hold(l, record->token))
                return false;
        return l->stopping || !here || !l->plan.configured || settled;
}

bool debts_payable(const Lifecycle *l)
{
        for (size_t i = 0; i < l->record->n_debts; i++)
                if (payable(l, &l->record->debts[i]))
                        return true;
        return false;
}

static Action debts_next(Lifecycle *l);

static void keep_for(Lifecycle *l, uint64_t wait_usec, const char *rule)
{
        if (wait_usec <= l->debts_wait_usec)
                return;
        l->debts_wait_usec = wait_usec;
        l->debts_rule = rule;
}

/* This one stays; its turn comes again. */
static Action debt_kept(Lifecycle *l, const Judgement *j)
{
        const char *rule;
        uint64_t wait = judgement_wait(l, j, l->debt_attempt + 1, &rule);

        keep_for(l, wait, rule);
        if (!l->debts_words) {
                l->debts_code = judgement_code(j);
                l->debts_words = strdup(judgement_words(j));
        }
        l->debts_again = l->debts_again || j->verdict == VERDICT_AMBIGUOUS || j->verdict == VERDICT_WAIT;
        return debts_next(l);
}

static Action debt_unclear(Lifecycle *l, const char *words)
{
        const Judgement unclear = {.verdict = VERDICT_AMBIGUOUS, .message = (char *)words};

        return debt_kept(l, &unclear);
}

static Action debt_paid(Lifecycle *l, const char *how)
{
        const Debt *debt = current(l);

        if (!withdrawing(l))
                lifecycle_notice(l, NOTICE_DEBT_PAID, "The debt for %s %lld is paid: %s",
                        debt_kind_to_string(debt->kind), (long long)debt->runner_id, how);
        record_remove_debt(l->record, l->debt);
        l->save_due = true;
        l->debt_attempt = 0;
        return debts_next(l);
}

/* What another runner of this host lives by is not deleted: a manager is that one's to withdraw now; a runner that
 * this machine made is deleted once the last has gone. */
static bool debt_held(const Lifecycle *l, const Debt *debt, TokenUse *ret)
{
        bool this_host = debt->kind != DEBT_MANAGER || strcmp(debt->system_id, l->system_id) == 0;

        *ret = this_host ? household_ask(l, debt->target.url, debt->token) : TOKEN_UNUSED;
        return *ret != TOKEN_UNUSED;
}

static Action debt_spared(Lifecycle *l, TokenUse use)
{
        if (use == TOKEN_USED && current(l)->kind == DEBT_MANAGER)
                return debt_paid(l, "another runner of this host lives under its token");
        return debt_unclear(l, use == TOKEN_USED
                                       ? "another runner of this host lives under its token"
                                       : "another runner of this host may be about to live under its token");
}

static Action debt_verified(Lifecycle *l, const Event *event)
{
        const Judgement *j = event->judgement;

        if (j->verdict == VERDICT_DEAD)
                return debt_paid(l, "GitLab does not know its token any more");
        if (j->verdict != VERDICT_ALIVE)
                return debt_kept(l, j);
        if (current(l)->kind == DEBT_MANAGER && j->text_only)
                return debt_paid(l, "this GitLab has no managers");
        /* Refused, and yet alive: no proof of anything, so it is kept. */
        return debt_unclear(l, "GitLab refused to delete what it knows");
}

static Action debt_verify(Lifecycle *l)
{
        const Debt *debt = current(l);
        const CallArguments arguments = {
                .token = debt->token,
                .system_id = debt->system_id ? debt->system_id : l->system_id,
        };

        return act_send_to(l, &debt->target, CALL_VERIFY, arguments, debt_verified);
}

static Action debt_probed(Lifecycle *l, const Event *event)
{
        const Judgement *j = event->judgement;

        return j->verdict == VERDICT_ALIVE ? debt_verify(l) : debt_kept(l, j);
}

/* A GitLab that calls every token unknown is not well, and the debt is all that still knows this one. */
static Action debt_probe(Lifecycle *l)
{
        return act_send_to(l, &current(l)->target, CALL_PROBE, (CallArguments){}, debt_probed);
}

static Action manager_deleted(Lifecycle *l, const Event *event);

static Action manager_delete(Lifecycle *l, const Event *event)
{
        (void)event;
        const Debt *debt = current(l);
        const CallArguments arguments = {.token = debt->token, .system_id = debt->system_id};
        TokenUse use;

        /* Also before the next proof: a reload may have come in between. */
        if (debt_held(l, debt, &use))
                return debt_spared(l, use);
        if (lifecycle_out_of_time(l))
                return debt_unclear(l, "there was no time left to see that gitlab-runner polls no more");
        return act_send_to(l, &debt->target, CALL_DELETE_MANAGER, arguments, manager_deleted);
}

static Action manager_deleted(Lifecycle *l, const Event *event)
{
        const Judgement *j = event->judgement;

        if (j->verdict == VERDICT_DEAD || j->no_route)
                return debt_probe(l);
        if (j->verdict != VERDICT_ALIVE)
                return debt_kept(l, j);
        /* Deleted, and yet made again by the next poll, as config.toml could not be written. */
        if (l->neighbour_may_poll && url_equal(current(l)->target.url, l->plan.target.url) &&
                entries_hold(l, current(l)->token))
                return debt_unclear(l, "its entry still stands in config.toml, and gitlab-runner polls with it");
        /* A poll that was on its way makes the manager again: the second answer, a 404, is the proof. */
        /* At the first delete it may not even have arrived, so that 404 is none. */
        bool proven = j->gone && l->proofs_left < DELETE_PROOFS;
        if (proven || !l->neighbour_may_poll)
                return debt_paid(l, "the manager is deleted");
        if (l->proofs_left == 0)
                return debt_unclear(l, "the manager comes back: somebody polls with its token");
        uint64_t rest = l->proofs_left == DELETE_PROOFS ? PROOF_REST_USEC : l->plan.poll_usec;
        l->proofs_left--;
        return act_sleep(l, rest, "until gitlab-runner polls with the token no more", manager_delete);
}

static Action runner_deleted(Lifecycle *l, const Event *event)
{
        const Judgement *j = event->judgement;

        if (j->verdict == VERDICT_DEAD)
                return debt_probe(l);
        if (j->verdict != VERDICT_ALIVE)
                return debt_kept(l, j);
        return debt_paid(l, "the runner is deleted");
}

/* ---- orphans ---- */

static Action orphan_look(Lifecycle *l);

/* The search is given up until the next start or reload: it stays shown until a person has looked; a likeness is no
 * proof. */
static Action orphans_unprovable(Lifecycle *l)
{
        l->orphans_hopeless = true;
        return debts_next(l);
}

static Action orphan_deleted(Lifecycle *l, const Event *event)
{
        const Judgement *j = event->judgement;

        if (j->verdict == VERDICT_ALIVE || j->verdict == VERDICT_DEAD)
                return debt_paid(l, "the orphan was found by its marker and deleted");
        return debt_kept(l, j);
}

static bool ends_with(const char *text, const char *end)
{
        size_t n = strlen(text), m = strlen(end);

        while (n > 0 && strchr(" \t\r\n", text[n - 1]))
                n--;
        return n >= m && memcmp(text + n - m, end, m) == 0;
}

static Action orphan_shown(Lifecycle *l, const Event *event)
{
        const Judgement *j = event->judgement;
        Debt *debt = current(l);

        if (j->verdict == VERDICT_WAIT || j->verdict == VERDICT_AMBIGUOUS || j->refused_by_net)
                return debt_kept(l, j);
        /* This may be it, and the access token may not look. */
        if (j->verdict == VERDICT_PERMANENT)
                l->ids_unseen = true;
        if (j->verdict == VERDICT_ALIVE && j->note && ends_with(j->note, debt->marker) &&
                l->ids[l->id] != l->record->runner_id) {
                debt->runner_id = l->ids[l->id];
                const CallArguments arguments = {.access_token = l->secret, .runner_id = debt->runner_id};
                return act_send_to(l, &debt->target, CALL_DELETE_BY_ID, arguments, orphan_deleted);
        }
        l->id++;
        return orphan_look(l);
}

static Action orphan_look(Lifecycle *l)
{
        const Debt *debt = current(l);

        if (l->id < l->n_ids && !lifecycle_out_of_time(l)) {
                const CallArguments arguments = {.access_token = l->secret, .runner_id = l->ids[l->id]};
                return act_send_to(l, &debt->target, CALL_SHOW, arguments, orphan_shown);
        }
        if (l->id < l->n_ids)
                return debt_unclear(l, "there was no time left to look for it");
        uint64_t settled = usec_add(debt->since_usec, ORPHAN_SETTLE_USEC);
        if (l->now.realtime_usec < settled) {
                uint64_t wait = usec_sub(settled, l->now.realtime_usec);

                keep_for(l, wait < ORPHAN_SETTLE_USEC ? wait : ORPHAN_SETTLE_USEC,
                        "a late registration may still come");
                return debts_next(l);
        }
        if (l->ids_unseen)
                return orphans_unprovable(l);
        return debt_paid(l, "no runner carries its marker, so none was made");
}

static int compare_newest(const void *a, const void *b)
{
        int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

        return x < y ? 1 : x > y ? -1 : 0;
}

/* Keeps the newest of what is known and what a page told. */
static int gather_ids(Lifecycle *l, const Judgement *j)
{
        size_t n = l->n_ids + j->n_ids;
        int64_t *ids = reallocarray(l->ids, n > 0 ? n : 1, sizeof(*ids));

        if (!ids)
                return -ENOMEM;
        l->ids = ids;
        if (j->n_ids > 0)
                memcpy(ids + l->n_ids, j->ids, j->n_ids * sizeof(*ids));
        qsort(ids, n, sizeof(*ids), compare_newest);
        l->ids_unseen = l->ids_unseen || n > ORPHAN_LOOKS_MAX;
        l->n_ids = n < ORPHAN_LOOKS_MAX ? n : ORPHAN_LOOKS_MAX;
        return 0;
}

static Action orphan_listed(Lifecycle *l, const Event *event);

static Action orphan_list(Lifecycle *l)
{
        const CallArguments arguments = {
                .access_token = l->secret,
                .attributes = l->plan.attributes,
                .page = l->page,
        };

        return act_send_to(l, &current(l)->target, CALL_LIST, arguments, orphan_listed);
}

static Action orphan_listed(Lifecycle *l, const Event *event)
{
        const Judgement *j = event->judgement;

        if (j->verdict == VERDICT_PERMANENT && !j->refused_by_net)
                return orphans_unprovable(l);
        if (j->verdict != VERDICT_ALIVE)
                return debt_kept(l, j);
        if (gather_ids(l, j) < 0)
                return debt_unclear(l, "out of memory");
        if (j->more_pages && l->page < ORPHAN_PAGES_MAX && !lifecycle_out_of_time(l)) {
                l->page++;
                return orphan_list(l);
        }
        l->ids_unseen = l->ids_unseen || j->more_pages;
        return orphan_look(l);
}

static Action orphan_with_secret(Lifecycle *l, const Event *event)
{
        l->secret = secret_free(l->secret);
        /* An access token that was taken away after the enrolment stays away; a source that fails may come back. */
        if (event->error < 0 && event->error != -ENOENT && event->error != -ENOKEY && event->error != -EINVAL)
                return debt_unclear(l, event_words(event));
        if (event->error < 0 || token_complaint(event->secret))
                return orphans_unprovable(l);
        if (secret_copy(event->secret, &l->secret) < 0)
                return debt_unclear(l, "out of memory");
        free(take_ptr(l->ids));
        l->n_ids = l->id = 0;
        l->ids_unseen = false;
        l->page = 1;
        return orphan_list(l);
}

/* ---- one after the other ---- */

static Action debt_begin(Lifecycle *l, const Debt *debt)
{
        const CallArguments arguments = {.token = debt->token, .system_id = l->system_id};
        TokenUse use;

        switch (debt->kind) {
        case DEBT_RUNNER:
                if (debt_held(l, debt, &use))
                        return debt_spared(l, use);
                return act_send_to(l, &debt->target, CALL_DELETE_RUNNER, arguments, runner_deleted);
        case DEBT_MANAGER:
                l->proofs_left = DELETE_PROOFS;
                return manager_delete(l, NULL);
        case DEBT_ORPHAN:
        case _DEBT_KIND_MAX:
        case _DEBT_KIND_INVALID:
                break;
        }
        return act_read_secret(l, orphan_with_secret);
}

static Action debts_end(Lifecycle *l)
{
        l->secret = secret_free(l->secret);
        if (l->debts_wait_usec > 0) {
                l->debt_attempt++;
                lifecycle_set_due(l, DUE_DEBTS, l->debts_wait_usec, l->debts_rule);
        } else
                lifecycle_set_never(l, DUE_DEBTS);
        return withdrawing(l) ? withdraw_paid(l) : act_decide(l);
}

static Action debts_next(Lifecycle *l)
{
        while (l->debt > 0) {
                const Debt *debt = &l->record->debts[--l->debt];

                if (!payable(l, debt))
                        continue;
                if (lifecycle_out_of_time(l))
                        return debt_unclear(l, "there was no time left for it");
                /* One before met the throttle. Who goes tries all the same: there is no later. */
                bool here = url_equal(debt->target.url, l->plan.target.url);
                uint64_t told = usec_sub(here ? l->told_usec : l->away_told_usec, l->now.boottime_usec);
                if (told > 0 && !withdrawing(l) && !l->stopping) {
                        keep_for(l, told, here ? l->told_rule : l->away_told_rule);
                        continue;
                }
                return debt_begin(l, debt);
        }
        return debts_end(l);
}

Action debts_start(Lifecycle *l)
{
        l->debt = l->record->n_debts;
        l->debts_wait_usec = 0;
        l->debts_rule = NULL;
        l->debts_again = false;
        l->debts_code = 0;
        free(take_ptr(l->debts_words));
        return debts_next(l);
}
