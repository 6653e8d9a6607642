/* Asking whether the token works, and whether the configured source has a newer one. The rule of this file: one good
 * answer clears all doubt, and nothing but GitLab's exact words, repeated, makes a token dead. */

#include "agent/core/lifecycle-internal.h"

#include <string.h>

void verify_alive(Lifecycle *l, const Judgement *j)
{
        Record *record = l->record;

        if (l->state == RUNNER_STATE_DOUBTFUL || l->state == RUNNER_STATE_RECOVERING)
                lifecycle_notice(l, NOTICE_ALIVE_AGAIN, "GitLab accepts the token");
        lifecycle_clear_proofs(l);
        if (record->intent.kind != INTENT_NONE) {
                /* The old token works, so a reset whose answer did not come was not done; and nothing is to be
                 * created any more, whatever became of the try: that is a debt. */
                record_clear_intent(record);
                l->save_due = true;
        }
        if (j->identity.runner_id > 0 && record->runner_id != j->identity.runner_id) {
                record->runner_id = j->identity.runner_id;
                l->save_due = l->entry_due = true;
        }
        if (lifecycle_cancel_debts_of(l, j->identity.runner_id))
                record->ours = true;
        lifecycle_take_expiry(l, &j->identity);
        record->last_verified_at_usec = l->now.realtime_usec;
        if (!record->manager_ours || record->state != RUNNER_STATE_REGISTERED) {
                record->manager_ours = true;
                record->state = RUNNER_STATE_REGISTERED;
                free(take_ptr(record->reason));
                l->save_due = l->entry_due = true;
        }
        if (l->entry_missing) {
                l->entry_missing = false;
                l->entry_due = true;
        }
        l->has_standing = true;
        l->standing = VERDICT_ALIVE;
        l->attempt = 0;
        lifecycle_because(l, NULL);
        lifecycle_enter(l, RUNNER_STATE_REGISTERED);
        lifecycle_set_never(l, DUE_ENROL);
        lifecycle_set_verify_interval(l);
}

/* A refused runner stays refused until its token works; any other is doubtful, or already recovering. */
static void enter_doubt(Lifecycle *l)
{
        if (l->record->state == RUNNER_STATE_REFUSED)
                lifecycle_enter(l, RUNNER_STATE_REFUSED);
        else if (l->state != RUNNER_STATE_RECOVERING)
                lifecycle_enter(l, RUNNER_STATE_DOUBTFUL);
}

static void verify_dead(Lifecycle *l, const Judgement *j)
{
        Record *record = l->record;
        const char *words = judgement_words(j);

        if (record->dead_proofs == 0) {
                lifecycle_notice(l, NOTICE_DOUBTFUL, "GitLab does not know the token of runner %lld (%s)",
                        (long long)record->runner_id, words);
                lifecycle_set_due(l, DUE_SOURCE, 0, "first 403");
        }
        lifecycle_count_proof(l);
        l->attempt++;
        enter_doubt(l);
        lifecycle_because(l, "GitLab does not know the token (%s), proof %u of %d", words, record->dead_proofs,
                SCHEDULE_PROOFS);
        if (!lifecycle_proven_dead(l)) {
                lifecycle_set_due(l, DUE_VERIFY,
                        schedule_proof(&l->random, record, l->plan.removed_after_usec, l->now.realtime_usec),
                        "removed_after");
                return;
        }
        /* It is still asked about: one good answer ends the recovery. */
        lifecycle_set_due(l, DUE_VERIFY, schedule_interval(&l->random, l->plan.retry_max_usec), "retry_max");
        if (l->due_usec[DUE_ENROL] == USEC_INFINITY)
                lifecycle_set_due(l, DUE_ENROL, 0, "removed_after");
}

static void verify_doubt(Lifecycle *l, const Judgement *j)
{
        bool doubted = l->state == RUNNER_STATE_DOUBTFUL || l->state == RUNNER_STATE_RECOVERING;
        const char *rule;

        l->attempt++;
        uint64_t wait = judgement_wait(l, j, l->attempt, &rule);
        lifecycle_set_due(l, DUE_VERIFY, wait, rule);
        lifecycle_because(l, "%s", judgement_words(j));
        /* To be told to come back is no doubt about the token. */
        if (j->verdict == VERDICT_WAIT)
                return;
        enter_doubt(l);
        if (!doubted)
                lifecycle_notice(l, NOTICE_DOUBTFUL, "%s", judgement_words(j));
}

static void finish_commands(Lifecycle *l, const Judgement *j)
{
        const char *words = judgement_words(j);
        int code = judgement_code(j);

        if (j->verdict == VERDICT_ALIVE) {
                lifecycle_hand_over_once(l);
                lifecycle_finish(l, COMMAND_VERIFY, EXIT_DONE, NULL);
                lifecycle_finish(l, COMMAND_REGISTER, EXIT_DONE, NULL);
                if (l->rotate_asked)
                        lifecycle_finish(l, COMMAND_ROTATE, EXIT_AGAIN,
                                "GitLab did not rotate the token, which still works; try again");
                return;
        }
        lifecycle_finish(l, COMMAND_VERIFY, code, "%s", words);
        lifecycle_finish(l, COMMAND_REGISTER, code,
                j->verdict == VERDICT_DEAD ? "GitLab does not know the token (%s); it is left alone" : "%s", words);
        /* A token that nobody has heard of yet may have killed the old one: that is no refusal. */
        lifecycle_finish(l, COMMAND_ROTATE,
                l->rotate_asked && l->rotate_lost && code == EXIT_REFUSED ? EXIT_AGAIN : code,
                l->rotate_asked ? "whether the token was rotated is not known: %s"
                                : "the token is not rotated while it is in doubt: %s",
                words);
}

static Action verify_judged(Lifecycle *l, const Event *event)
{
        const Judgement *j = event->judgement;

        l->has_standing = true;
        l->standing = j->verdict;
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
        case _VERDICT_MAX:
                verify_doubt(l, j);
                break;
        }
        finish_commands(l, j);
        return act_decide(l);
}

Action verify_start(Lifecycle *l)
{
        return act_send(l, CALL_VERIFY, token_arguments(l, l->record->token), verify_judged);
}

/* ---- the configured authentication token ---- */

static Action source_judged(Lifecycle *l, const Event *event)
{
        const Judgement *j = event->judgement;
        const Candidate c = {.token = l->trial};
        const char *rule;

        if (j->verdict == VERDICT_ALIVE) {
                if (lifecycle_adopt(l, &c, &j->identity, "another authentication_token was configured") < 0) {
                        lifecycle_set_due(l, DUE_SOURCE, l->plan.retry_max_usec, "retry_max");
                        return act_decide(l);
                }
                /* Without it the source is only compared once more. */
                (void)replace_string(&l->record->source_digest, l->trial_digest);
                lifecycle_notice(l, NOTICE_ADOPTED, "The configured authentication_token is a new one");
                verify_alive(l, j);
                return act_decide(l);
        }
        if (j->verdict == VERDICT_DEAD) {
                lifecycle_notice(l, NOTICE_TROUBLE,
                        "The configured authentication_token has changed, but GitLab does not take the new one (%s); "
                        "keeping the old one",
                        judgement_words(j));
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
        const char *complaint = event->secret ? token_complaint(event->secret) : NULL;

        if (event->error == -ENOMEM) {
                lifecycle_set_due(l, DUE_SOURCE, l->plan.retry_max_usec, "retry_max");
                return act_decide(l);
        }
        if (event->error < 0 || complaint) {
                /* What is enrolled needs its source no more; the next start or reload looks again. */
                if (complaint)
                        lifecycle_notice(l, NOTICE_TROUBLE, "The configured authentication_token %s", complaint);
                else
                        lifecycle_notice(l, NOTICE_TROUBLE, "%s",
                                event->message ? event->message
                                               : "The configured authentication_token can't be read");
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
                return act_decide(l);
        }
        return act_send(l, CALL_VERIFY, token_arguments(l, l->trial), source_judged);
}

Action source_check(Lifecycle *l)
{
        lifecycle_set_never(l, DUE_SOURCE);
        return act_read_secret(l, source_read);
}
