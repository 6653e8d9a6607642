/* Replacing the token: rotation of a living one, recovery of a dead one. The rule of this file: a reset kills the old
 * token the moment GitLab acts, so the answer's place is reserved before, and a lost answer is never asked for again
 * blindly. */

#include "agent/core/lifecycle-internal.h"

#include <string.h>

static void rotate_later(Lifecycle *l, const Judgement *j)
{
        const char *rule;

        l->rotate_attempt++;
        uint64_t wait = judgement_wait(l, j, l->rotate_attempt, &rule);
        lifecycle_set_due(l, DUE_ROTATE, wait, rule);
        if (l->rotate_attempt == 1 || j->verdict == VERDICT_PERMANENT)
                lifecycle_notice(l, NOTICE_ROTATION_FAILED, "The token was not rotated: %s", judgement_words(j));
        lifecycle_because(l, "rotation: %s", judgement_words(j));
        lifecycle_finish(l, COMMAND_ROTATE, judgement_code(j) == 77 && j->verdict == VERDICT_DEAD ? 75 : judgement_code(j),
                "%s", judgement_words(j));
}

static int keep_answer(Lifecycle *l, const Judgement *j)
{
        l->answer = (Answer){
                .kind = l->record->intent.kind,
                .runner_id = j->identity.runner_id,
                .has_expiry = j->identity.has_expiry,
                .expires_at_usec = j->identity.expires_at_usec,
                .obtained_at_usec = l->now.realtime_usec,
                .intent_since_usec = l->record->intent.since_usec,
        };
        int r = secret_copy(j->identity.token, &l->answer.token);
        l->has_answer = r >= 0;
        return r;
}

static Action reset_judged(Lifecycle *l, const Event *event)
{
        const Judgement *j = event->judgement;
        Record *record = l->record;

        if (j->verdict == VERDICT_ALIVE && keep_answer(l, j) >= 0)
                return act_journal(l, answer_journalled);

        lifecycle_enter(l, RUNNER_STATE_REGISTERED);
        rotate_later(l, j);
        if (j->no_route && record->expiry_unknown) {
                /* A GitLab without this call (before 14) has no expiry either. */
                record->expiry_unknown = false;
                record->token_expires_at_usec = 0;
        }
        if (j->maybe_acted || j->verdict == VERDICT_DEAD || j->verdict == VERDICT_AMBIGUOUS) {
                /* Whether the old token still works tells what became of the reset; until then the intent stays. */
                record->intent.lost = j->maybe_acted;
                lifecycle_set_due(l, DUE_VERIFY, 0, "after a reset without an answer");
                l->save_due = true;
                return apply_start(l);
        }
        record_clear_intent(record);
        l->save_due = true;
        return apply_start(l);
}

static Action reset_prepared(Lifecycle *l, const Event *event)
{
        if (event->error < 0) {
                Judgement local = {
                        .verdict = VERDICT_AMBIGUOUS,
                        .message = (char *)(event->message ? event->message : strerror(-event->error)),
                };

                record_clear_intent(l->record);
                lifecycle_enter(l, RUNNER_STATE_REGISTERED);
                lifecycle_finish(l, COMMAND_ROTATE, 1, "%s", local.message);
                rotate_later(l, &local);
                return act_decide(l);
        }
        return act_send(l, CALL_RESET, token_arguments(l, l->record->token), reset_judged);
}

static void intend(Lifecycle *l, IntentKind kind)
{
        record_clear_intent(l->record);
        l->record->intent.kind = kind;
        l->record->intent.since_usec = l->now.realtime_usec;
}

Action rotate_start(Lifecycle *l)
{
        lifecycle_enter(l, RUNNER_STATE_ROTATING);
        intend(l, INTENT_RESET);
        return act_prepare(l, reset_prepared);
}

/* ---- recovery ---- */

/* The last rung: a new runner takes the old one's place, and the old one is owed. */
static Action recover_anew(Lifecycle *l)
{
        Record *record = l->record;

        if (l->plan.flow == FLOW_AUTHENTICATION_TOKEN)
                return enrol_refused(l, 77,
                        "GitLab does not know the token any more, and the configured authentication_token is no newer; "
                        "put a new one into its source");
        if (!l->plan.reregister)
                return enrol_refused(l, 77,
                        "The runner was removed from GitLab, and on_removed = disable; `register` enrols it anew");
        if (record->ours && record->token)
                lifecycle_owe(l, DEBT_RUNNER, &l->plan.target, record->token, record->runner_id,
                        "GitLab did not know its token any more; a new runner took its place");
        record->token = secret_free(record->token);
        record->runner_id = 0;
        record->ours = record->manager_ours = false;
        record->state = RUNNER_STATE_UNREGISTERED;
        record->registered_at_usec = 0;
        lifecycle_clear_proofs(l);
        record_clear_intent(record);
        l->save_due = true;
        return create_start(l);
}

static Action recover_reset_judged(Lifecycle *l, const Event *event)
{
        const Judgement *j = event->judgement;
        const char *rule;

        l->secret = secret_free(l->secret);
        if (j->verdict == VERDICT_ALIVE && keep_answer(l, j) >= 0)
                return act_journal(l, answer_journalled);

        /* By id a reset can be asked again without harm: what a lost answer killed was dead before. */
        record_clear_intent(l->record);
        l->save_due = true;
        if ((j->verdict == VERDICT_PERMANENT && !j->refused_by_net) || j->verdict == VERDICT_DEAD)
                return recover_anew(l);
        l->attempt++;
        uint64_t wait = judgement_wait(l, j, l->attempt, &rule);
        lifecycle_set_due(l, DUE_ENROL, wait, rule);
        lifecycle_because(l, "recovery: %s", judgement_words(j));
        return act_decide(l);
}

static Action recover_prepared(Lifecycle *l, const Event *event)
{
        if (event->error < 0) {
                record_clear_intent(l->record);
                lifecycle_because(l, "%s", event->message ? event->message : strerror(-event->error));
                l->attempt++;
                lifecycle_set_due(l, DUE_ENROL,
                        schedule_backoff(&l->random, l->attempt, l->plan.retry_min_usec, l->plan.retry_max_usec),
                        "retry_min to retry_max");
                return act_decide(l);
        }
        CallArguments arguments = { .access_token = l->secret, .runner_id = l->record->runner_id };
        return act_send(l, CALL_RESET_BY_ID, arguments, recover_reset_judged);
}

static Action recover_with_secret(Lifecycle *l, const Event *event)
{
        if (event->error < 0 || !event->secret)
                return recover_anew(l);
        l->secret = secret_free(l->secret);
        if (secret_copy(event->secret, &l->secret) < 0) {
                lifecycle_set_due(l, DUE_ENROL, l->plan.retry_max_usec, "retry_max");
                return act_decide(l);
        }
        intend(l, INTENT_RESET_BY_ID);
        return act_prepare(l, recover_prepared);
}

/* The first rungs (a journalled answer, a newer token in the source or in config.toml) were tried as they came: at
 * start, at the first 403 and at each change of the file. */
Action recover_start(Lifecycle *l)
{
        if (l->state != RUNNER_STATE_RECOVERING)
                lifecycle_notice(l, NOTICE_RECOVERING,
                        "GitLab has not known the token of runner %lld %u times in a row; recovering",
                        (long long)l->record->runner_id, l->record->dead_proofs);
        lifecycle_enter(l, RUNNER_STATE_RECOVERING);
        lifecycle_set_never(l, DUE_ENROL);
        /* A reset would lock out those who share the runner, should it be alive for them. */
        if (l->plan.flow == FLOW_ACCESS_TOKEN && l->record->runner_id > 0 && l->record->ours)
                return act_read_secret(l, recover_with_secret);
        return recover_anew(l);
}
