/* What the lifecycle does to its record: tokens that come, debts that they leave, proofs. The rule of this file: no
 * token leaves the record unless GitLab has given another for the same runner, or a debt keeps it. */

#include "agent/core/lifecycle-internal.h"

#include <string.h>

/* Orphans that nobody can prove stay until a person looks; they may not fill the place of debts that can be paid. */
#define ORPHANS_MAX 16

bool lifecycle_enrolled(const Lifecycle *l)
{
        return l->record->state == RUNNER_STATE_REGISTERED;
}

bool lifecycle_working(const Lifecycle *l)
{
        return l->plan.configured && lifecycle_enrolled(l);
}

bool lifecycle_reset_open(const Lifecycle *l)
{
        return l->record->intent.kind == INTENT_RESET || l->record->intent.kind == INTENT_RESET_BY_ID;
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

/* ---- proofs ---- */

void lifecycle_clear_proofs(Lifecycle *l)
{
        if (l->record->dead_proofs > 0)
                l->save_due = true;
        l->record->dead_proofs = 0;
        l->record->dead_first_usec = l->record->dead_last_usec = 0;
        l->proof_first_usec = l->proof_last_usec = 0;
}

void lifecycle_count_proof(Lifecycle *l)
{
        Record *record = l->record;

        /* A first proof from the future was given by a clock that has been set back since: with it no span would ever
         * be long enough. */
        if (record->dead_first_usec > l->now.realtime_usec)
                record->dead_proofs = 0;
        if (record->dead_proofs == 0) {
                record->dead_first_usec = l->now.realtime_usec;
                l->proof_first_usec = l->now.boottime_usec;
        }
        record->dead_proofs++;
        record->dead_last_usec = l->now.realtime_usec;
        l->proof_last_usec = l->now.boottime_usec;
        l->save_due = true;
}

bool lifecycle_proven_dead(const Lifecycle *l)
{
        /* A clock that is set forward while we look spreads the proofs on paper only. */
        if (l->proof_first_usec > 0 && l->proof_last_usec - l->proof_first_usec < l->plan.removed_after_usec)
                return false;
        return schedule_proven_dead(l->record, l->plan.removed_after_usec);
}

/* ---- debts ---- */

static void remove_orphans(Lifecycle *l, size_t limit)
{
        Record *record = l->record;
        size_t n = 0;

        for (size_t i = record->n_debts; i > 0; i--)
                if (record->debts[i - 1].kind == DEBT_ORPHAN && ++n > limit)
                        record_remove_debt(record, i - 1);
}

static bool owed_already(const Record *record, const Debt *debt)
{
        for (size_t i = 0; i < record->n_debts; i++)
                if (record->debts[i].kind == debt->kind && debt->token &&
                        secret_equal(record->debts[i].token, debt->token) &&
                        url_equal(record->debts[i].target.url, debt->target.url))
                        return true;
        return false;
}

/* Takes over DEBT. */
static int keep_debt(Lifecycle *l, Debt *debt)
{
        int r = 0;

        if (owed_already(l->record, debt))
                debt_done(debt);
        else {
                if (debt->kind == DEBT_ORPHAN)
                        remove_orphans(l, ORPHANS_MAX - 1);
                r = record_add_debt(l->record, debt);
        }
        if (r == -E2BIG) {
                remove_orphans(l, 0);
                r = record_add_debt(l->record, debt);
        }
        if (r < 0) {
                lifecycle_notice(l, NOTICE_TROUBLE, "Failed to keep a debt in the state: %s", strerror(-r));
                return r;
        }
        l->save_due = l->tell_due = true;
        l->debt_attempt = 0;
        lifecycle_set_due(l, DUE_DEBTS, 0, "at once");
        return 0;
}

int lifecycle_owe(Lifecycle *l, const Target *target, const char *reason)
{
        const Record *record = l->record;
        _cleanup_(debt_done) Debt debt = {
                .kind = record->ours ? DEBT_RUNNER : DEBT_MANAGER,
                .runner_id = record->runner_id,
                .since_usec = l->now.realtime_usec,
        };

        if (!record->token || (!record->ours && !record->manager_ours))
                return 0;
        int r = target_copy(&debt.target, target);
        if (r >= 0)
                r = replace_string(&debt.reason, reason);
        if (r >= 0)
                r = secret_copy(record->token, &debt.token);
        if (r >= 0 && debt.kind == DEBT_MANAGER)
                r = replace_string(&debt.system_id, record->system_id);
        return r < 0 ? r : keep_debt(l, &debt);
}

int lifecycle_owe_rotated(Lifecycle *l, const Debt *owed, const Secret *token)
{
        _cleanup_(debt_done) Debt debt = {
                .kind = owed->kind,
                .runner_id = owed->runner_id,
                .since_usec = l->now.realtime_usec,
        };
        int r = target_copy(&debt.target, &owed->target);

        if (r >= 0)
                r = replace_string(&debt.reason, "gitlab-runner has rotated the token of what is owed");
        if (r >= 0)
                r = secret_copy(token, &debt.token);
        if (r >= 0)
                r = replace_string(&debt.system_id, owed->system_id);
        if (r < 0)
                return r;
        lifecycle_leave_entry(l, owed->target.url, token);
        return keep_debt(l, &debt);
}

void lifecycle_owe_orphan(Lifecycle *l, int64_t runner_id, const char *marker, const char *reason)
{
        _cleanup_(debt_done) Debt debt = {
                .kind = DEBT_ORPHAN,
                .runner_id = runner_id,
                .since_usec = l->now.realtime_usec,
        };

        /* At start the plan may already speak of another GitLab. */
        Target target = l->plan.target;
        target.url = l->record->url;
        if (target_copy(&debt.target, &target) < 0 || replace_string(&debt.reason, reason) < 0 ||
                replace_string(&debt.marker, marker) < 0 || keep_debt(l, &debt) < 0)
                return;
        lifecycle_notice(
                l, NOTICE_ORPHAN, "A runner may be left in GitLab that this host has no token for: %s", reason);
}

void lifecycle_leave_entry(Lifecycle *l, const char *url, const Secret *token)
{
        if (token && record_add_leftover(l->record, url, token) >= 0)
                l->save_due = true;
}

void lifecycle_entry_left(Lifecycle *l)
{
        Record *record = l->record;

        if (url_equal(l->removing->url, l->plan.target.url))
                entries_forget(l, l->removing->token);
        record_remove_leftover(record, (size_t)(l->removing - record->leftovers));
        l->removing = NULL;
}

/* What stands there is ours again. */
static void cancel_leftover(Lifecycle *l, const Secret *token)
{
        Record *record = l->record;

        for (size_t i = record->n_leftovers; i > 0; i--)
                if (secret_equal(record->leftovers[i - 1].token, token) &&
                        url_equal(record->leftovers[i - 1].url, l->plan.target.url)) {
                        record_remove_leftover(record, i - 1);
                        l->save_due = true;
                }
}

void lifecycle_cancel_orphans(Lifecycle *l, const char *url, int64_t runner_id)
{
        Record *record = l->record;

        for (size_t i = record->n_debts; i > 0 && runner_id > 0; i--) {
                const Debt *debt = &record->debts[i - 1];

                if (debt->kind != DEBT_ORPHAN || debt->runner_id != runner_id || !url_equal(debt->target.url, url))
                        continue;
                record_remove_debt(record, i - 1);
                l->save_due = true;
        }
}

/* The host has come back to what it owed. */
static bool cancel_debts(Lifecycle *l, const Secret *token)
{
        Record *record = l->record;
        bool ours = false;

        for (size_t i = record->n_debts; i > 0; i--) {
                const Debt *debt = &record->debts[i - 1];

                if (!secret_equal(debt->token, token) || !url_equal(debt->target.url, l->plan.target.url))
                        continue;
                if (debt->kind == DEBT_RUNNER)
                        ours = true;
                record_remove_debt(record, i - 1);
                l->save_due = true;
        }
        return ours;
}

/* Whether it is for what this host made under RUNNER_ID (0: nobody knows) where the runner is configured. */
static bool is_debt_of(const Lifecycle *l, const Debt *debt, int64_t runner_id)
{
        return runner_id > 0 && debt->kind == DEBT_RUNNER && debt->runner_id == runner_id &&
               url_equal(debt->target.url, l->plan.target.url);
}

/* The same by the runner's id, as GitLab tells it: the token may have been replaced since it was owed. */
bool lifecycle_cancel_debts_of(Lifecycle *l, int64_t runner_id)
{
        Record *record = l->record;
        bool ours = false;

        for (size_t i = record->n_debts; i > 0; i--) {
                if (!is_debt_of(l, &record->debts[i - 1], runner_id))
                        continue;
                ours = true;
                record_remove_debt(record, i - 1);
                l->save_due = true;
        }
        return ours;
}

/* ---- tokens ---- */

int lifecycle_take_token(
        Lifecycle *l, const Secret *token, int64_t runner_id, uint64_t obtained_at_usec, bool *ret_ours)
{
        Record *record = l->record;
        _cleanup_secret_ Secret *copy = NULL;

        if (secret_copy(token, &copy) < 0 || replace_string(&record->system_id, l->system_id) < 0 ||
                replace_string(&record->machine_id, l->machine_id) < 0 ||
                replace_string(&record->instance_id, l->instance_id) < 0 ||
                replace_string(&record->url, l->plan.target.url) < 0)
                return -ENOMEM;
        /* What stands in config.toml for the old one may be written over, also once that is gone from here. */
        entries_relist(l);
        bool ours = cancel_debts(l, token);
        cancel_leftover(l, token);
        if (ret_ours)
                *ret_ours = ours;
        (void)secret_free(record->token);
        record->token = take_ptr(copy);
        entries_relist(l);
        /* The file may have changed while GitLab thought. */
        if (entries_foreign(l))
                lifecycle_set_due(l, DUE_ENTRIES, 0, "config.toml holds another token");
        if (runner_id > 0)
                record->runner_id = runner_id;
        lifecycle_cancel_orphans(l, record->url, record->runner_id);
        if (l->plan.configured)
                record->flow = l->plan.flow;
        record->token_obtained_at_usec = obtained_at_usec;
        record->state = RUNNER_STATE_REGISTERED;
        free(take_ptr(record->reason));
        record->cloned = false;
        lifecycle_clear_proofs(l);
        l->has_standing = true;
        l->standing = VERDICT_ALIVE;
        l->entry_missing = false;
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

static bool owes_runner(const Lifecycle *l, int64_t runner_id)
{
        for (size_t i = 0; i < l->record->n_debts; i++)
                if (is_debt_of(l, &l->record->debts[i], runner_id))
                        return true;
        return false;
}

int lifecycle_adopt(Lifecycle *l, const Candidate *c, const Identity *identity, const char *reason)
{
        Record *record = l->record;
        int64_t id = identity->runner_id > 0 ? identity->runner_id : c->runner_id;
        bool equal = record->token && secret_equal(record->token, c->token);
        /* An id that only a file tells is good enough to keep what is ours; but only GitLab's word spares the old
         * token its debt. A runner has one token at a time: if it is the same runner after all, the old one is dead,
         * and the debt is paid without harm. */
        bool same = equal || (record->token && id > 0 && id == record->runner_id);
        bool other =
                record->token && !equal && (identity->runner_id == 0 || identity->runner_id != record->runner_id);
        bool ours = same ? record->ours : c->ours, owed_ours;
        uint64_t obtained = c->obtained_at_usec;

        if (obtained == 0 || obtained > lifecycle_server_now(l))
                obtained = equal ? record->token_obtained_at_usec : lifecycle_server_now(l);
        int r = other ? lifecycle_owe(l, &l->plan.target, reason) : 0;
        if (r >= 0)
                r = lifecycle_take_token(l, c->token, id, obtained, &owed_ours);
        if (r < 0)
                return r;
        owed_ours = lifecycle_cancel_debts_of(l, identity->runner_id) || owes_runner(l, id) || owed_ours;

        if (!same) {
                record->runner_id = id;
                record->registered_at_usec = l->now.realtime_usec;
        }
        record->ours = ours || owed_ours;
        record->manager_ours = true;
        if (!equal) {
                /* Old servers answer with a bare 200; then an entry's zero time says nothing either. */
                record->expiry_unknown = c->expires_at_usec == 0;
                record->token_expires_at_usec = c->expires_at_usec;
        }
        lifecycle_take_expiry(l, identity);
        record->last_verified_at_usec = l->now.realtime_usec;
        /* Of a create whose answer was lost, the orphan is among the debts. */
        record_clear_intent(record);
        return 0;
}

void lifecycle_forget_runner(Lifecycle *l)
{
        Record *record = l->record;

        record->token = secret_free(record->token);
        record->runner_id = 0;
        record->ours = record->manager_ours = record->handed_back = record->expiry_unknown = false;
        record->token_obtained_at_usec = record->token_expires_at_usec = record->registered_at_usec = 0;
        record->last_verified_at_usec = 0;
        free(take_ptr(record->source_digest));
        lifecycle_clear_proofs(l);
        /* A registration that was lost is still to be asked for with care. */
        if (record->intent.kind != INTENT_CREATE)
                record_clear_intent(record);
        l->has_standing = false;
        l->entry_due = l->entry_missing = false;
        l->save_due = true;
}

void lifecycle_wake_debts(Lifecycle *l)
{
        if (l->due_usec[DUE_DEBTS] == USEC_INFINITY && debts_payable(l))
                lifecycle_set_due(l, DUE_DEBTS, 0, "at once");
}

void lifecycle_hand_over_once(Lifecycle *l)
{
        Record *record = l->record;

        if (!l->plan.once || l->command != COMMAND_REGISTER || !record->ours || record->handed_back ||
                l->plan.rotation == ROTATION_NEVER)
                return;
        record->handed_back = true;
        l->save_due = l->entry_due = true;
}

void candidate_done(Candidate *c)
{
        (void)secret_free(c->token);
        *c = (Candidate){};
}

int candidate_add(Lifecycle *l, const Candidate *candidate)
{
        for (size_t i = 0; i < l->n_candidates; i++)
                if (secret_equal(l->candidates[i].token, candidate->token))
                        return 0;
        if (l->n_candidates >= LIFECYCLE_CANDIDATES_MAX)
                return 0;
        Candidate *c = &l->candidates[l->n_candidates];
        *c = *candidate;
        c->token = NULL;
        if (secret_copy(candidate->token, &c->token) < 0)
                return -ENOMEM;
        l->n_candidates++;
        return 0;
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
