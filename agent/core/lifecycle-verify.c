/* Asking whether the token works, and keeping config.toml and the configured source in line with the answer. The rule
 * of this file: one good answer clears all doubt, and nothing but GitLab's exact words, repeated, makes a token dead. */

#include "agent/core/lifecycle-internal.h"

#include <string.h>

void verify_alive(Lifecycle *l, const Judgement *j)
{
        Record *record = l->record;

        if (l->state == RUNNER_STATE_DOUBTFUL && l->attempt > 0)
                lifecycle_notice(l, NOTICE_ALIVE_AGAIN, "GitLab accepts the token again");
        if (record->dead_proofs > 0) {
                lifecycle_clear_proofs(l);
                l->save_due = true;
        }
        if (record->intent.kind == INTENT_RESET || record->intent.kind == INTENT_RESET_BY_ID) {
                /* The old token works, so the reset whose answer did not come was not done. */
                record_clear_intent(record);
                l->save_due = true;
        }
        if (j->identity.runner_id > 0 && record->runner_id != j->identity.runner_id) {
                record->runner_id = j->identity.runner_id;
                l->save_due = l->entry_due = true;
        }
        lifecycle_take_expiry(l, &j->identity);
        record->last_verified_at_usec = l->now.realtime_usec;
        record->manager_ours = true;
        if (l->entry_missing) {
                l->entry_missing = false;
                l->entry_due = true;
        }
        l->attempt = 0;
        lifecycle_because(l, NULL);
        lifecycle_enter(l, RUNNER_STATE_REGISTERED);
        lifecycle_set_due(l, DUE_VERIFY, schedule_interval(&l->random, l->plan.verify_interval_usec), "verify_interval");
        if (record->n_debts > 0 && l->debt_attempt > 0)
                lifecycle_set_due(l, DUE_DEBTS, 0, "GitLab answers");
}

static void verify_dead(Lifecycle *l, const Judgement *j)
{
        Record *record = l->record;
        bool first = record->dead_proofs == 0;

        if (first) {
                record->dead_first_usec = l->now.realtime_usec;
                lifecycle_notice(l, NOTICE_DOUBTFUL, "GitLab does not know the token of runner %lld (%s)",
                        (long long)record->runner_id, judgement_words(j));
                if (l->plan.flow == FLOW_AUTHENTICATION_TOKEN)
                        lifecycle_set_due(l, DUE_SOURCE, 0, "first 403");
        }
        record->dead_proofs++;
        record->dead_last_usec = l->now.realtime_usec;
        l->save_due = true;
        l->attempt++;
        if (l->state != RUNNER_STATE_RECOVERING)
                lifecycle_enter(l, RUNNER_STATE_DOUBTFUL);
        lifecycle_because(l, "GitLab does not know the token (%s), proof %u of %d", judgement_words(j),
                record->dead_proofs, SCHEDULE_PROOFS);
        lifecycle_set_due(l, DUE_VERIFY,
                schedule_proof(&l->random, record, l->plan.removed_after_usec, l->now.realtime_usec), "removed_after");
}

static void verify_doubt(Lifecycle *l, const Judgement *j)
{
        const char *rule;

        l->attempt++;
        uint64_t wait = judgement_wait(l, j, l->attempt, &rule);
        /* A GitLab that is slow to forgive must not be asked less often than when all is well. */
        if (j->verdict == VERDICT_PERMANENT && wait > l->plan.retry_max_usec) {
                wait = schedule_interval(&l->random, l->plan.retry_max_usec);
                rule = "retry_max";
        }
        lifecycle_set_due(l, DUE_VERIFY, wait, rule);
        lifecycle_because(l, "%s", judgement_words(j));
        if (j->verdict == VERDICT_WAIT || l->state == RUNNER_STATE_DOUBTFUL)
                return;
        lifecycle_enter(l, RUNNER_STATE_DOUBTFUL);
        lifecycle_notice(l, NOTICE_DOUBTFUL, "%s", judgement_words(j));
}

static Action verify_judged(Lifecycle *l, const Event *event)
{
        const Judgement *j = event->judgement;

        l->last_verdict = j->verdict;
        l->has_verdict = true;
        switch (j->verdict) {
        case VERDICT_ALIVE:
                verify_alive(l, j);
                break;
        case VERDICT_DEAD:
                verify_dead(l, j);
                break;
        case VERDICT_AMBIGUOUS:
        case VERDICT_PERMANENT:
        case VERDICT_WAIT:
                verify_doubt(l, j);
                break;
        case _VERDICT_MAX:
                break;
        }
        lifecycle_finish(l, COMMAND_VERIFY, judgement_code(j), j->verdict == VERDICT_ALIVE ? NULL : "%s",
                judgement_words(j));
        lifecycle_finish(l, COMMAND_REGISTER, judgement_code(j), j->verdict == VERDICT_ALIVE ? NULL :
                         j->verdict == VERDICT_DEAD ? "GitLab does not know the token (%s); it is left alone" :
                                                      "%s", judgement_words(j));
        return apply_start(l);
}

Action verify_start(Lifecycle *l)
{
        return act_send(l, CALL_VERIFY, token_arguments(l, l->record->token), verify_judged);
}

/* ---- a token that may replace the record's ---- */

/* Puts the verified trial in the record's place. The old runner or manager, where it is another one, is owed. */
static int replace_token(Lifecycle *l, const Judgement *j, const char *reason)
{
        Record *record = l->record;
        int64_t id = j->identity.runner_id;
        /* Without an id in the answer (old servers) the same runner is assumed: that deletes nothing. */
        bool same = id == 0 || record->runner_id == 0 || id == record->runner_id;

        if (!same && record->token)
                lifecycle_owe(l, record->ours ? DEBT_RUNNER : DEBT_MANAGER, &l->plan.target, record->token,
                        record->runner_id, reason);
        int r = lifecycle_take_token(l, l->trial, id, l->now.realtime_usec);
        if (r < 0)
                return r;
        if (!same)
                record->ours = false;
        record->expiry_unknown = !j->identity.has_expiry;
        record->token_expires_at_usec = 0;
        lifecycle_take_expiry(l, &j->identity);
        record->state = RUNNER_STATE_REGISTERED;
        verify_alive(l, j);
        lifecycle_notice(l, NOTICE_ADOPTED, "%s", reason);
        return 0;
}

/* ---- config.toml was changed by somebody ---- */

static Action entry_judged(Lifecycle *l, const Event *event)
{
        const Judgement *j = event->judgement;

        switch (j->verdict) {
        case VERDICT_ALIVE:
                lifecycle_set_never(l, DUE_ENTRIES);
                if (replace_token(l, j, "A newer token was found in config.toml") < 0)
                        lifecycle_set_due(l, DUE_ENTRIES, l->plan.retry_max_usec, "retry_max");
                return apply_start(l);
        case VERDICT_DEAD:
        case VERDICT_PERMANENT:
                /* Not a token that GitLab takes: ours goes back in, after it has proved to be better. */
                l->entry_missing = true;
                lifecycle_set_never(l, DUE_ENTRIES);
                lifecycle_set_due(l, DUE_VERIFY, 0, "before config.toml is put right");
                return act_decide(l);
        case VERDICT_AMBIGUOUS:
        case VERDICT_WAIT: {
                const char *rule;

                l->attempt++;
                uint64_t wait = judgement_wait(l, j, l->attempt, &rule);
                lifecycle_set_due(l, DUE_ENTRIES, wait, rule);
                lifecycle_because(l, "%s", judgement_words(j));
                lifecycle_finish(l, COMMAND_REGISTER, 75, "%s", judgement_words(j));
                return act_decide(l);
        }
        case _VERDICT_MAX:
                break;
        }
        return act_decide(l);
}

Action entries_check(Lifecycle *l)
{
        lifecycle_set_never(l, DUE_ENTRIES);
        for (size_t i = 0; i < l->n_entries; i++)
                if (secret_equal(l->entries[i].token, l->record->token)) {
                        /* Writing what stands there already changes no byte; anything else is put back. */
                        l->entry_due = true;
                        return apply_start(l);
                }
        if (l->n_entries == 0 || l->record->cloned) {
                l->entry_missing = true;
                lifecycle_set_due(l, DUE_VERIFY, 0, "its entry is missing in config.toml");
                return act_decide(l);
        }
        l->trial = secret_free(l->trial);
        if (secret_copy(l->entries[0].token, &l->trial) < 0) {
                lifecycle_set_due(l, DUE_ENTRIES, l->plan.retry_max_usec, "retry_max");
                return act_decide(l);
        }
        return act_send(l, CALL_VERIFY, token_arguments(l, l->trial), entry_judged);
}

/* ---- the configured authentication token ---- */

static Action source_judged(Lifecycle *l, const Event *event)
{
        const Judgement *j = event->judgement;
        const char *rule;

        if (j->verdict == VERDICT_ALIVE) {
                if (replace_token(l, j, "The configured authentication_token is a new one") < 0 ||
                        replace_string(&l->record->source_digest, l->trial_digest) < 0)
                        lifecycle_set_due(l, DUE_SOURCE, l->plan.retry_max_usec, "retry_max");
                return apply_start(l);
        }
        if (j->verdict == VERDICT_DEAD || j->verdict == VERDICT_PERMANENT) {
                lifecycle_notice(l, NOTICE_TROUBLE,
                        "The configured authentication_token has changed, but GitLab does not take the new one (%s); "
                        "keeping the old one", judgement_words(j));
                return act_decide(l);
        }
        l->attempt++;
        uint64_t wait = judgement_wait(l, j, l->attempt, &rule);
        lifecycle_set_due(l, DUE_SOURCE, wait, rule);
        return act_decide(l);
}

static Action source_read(Lifecycle *l, const Event *event)
{
        Record *record = l->record;

        if (event->error < 0 || !event->secret) {
                /* What is enrolled needs its source no more; the next start or reload looks again. */
                lifecycle_notice(l, NOTICE_TROUBLE, "%s",
                        event->message ? event->message : "The configured authentication_token can't be read");
                return act_decide(l);
        }
        l->trial = secret_free(l->trial);
        free(take_ptr(l->trial_digest));
        if (secret_copy(event->secret, &l->trial) < 0 || token_digest(l->trial, &l->trial_digest) < 0) {
                lifecycle_set_due(l, DUE_SOURCE, l->plan.retry_max_usec, "retry_max");
                return act_decide(l);
        }
        if (record->source_digest && strcmp(record->source_digest, l->trial_digest) == 0)
                return act_decide(l);
        if (secret_equal(l->trial, record->token)) {
                if (replace_string(&record->source_digest, l->trial_digest) == 0)
                        l->save_due = true;
                return apply_start(l);
        }
        return act_send(l, CALL_VERIFY, token_arguments(l, l->trial), source_judged);
}

Action source_check(Lifecycle *l)
{
        lifecycle_set_never(l, DUE_SOURCE);
        return act_read_secret(l, source_read);
}
