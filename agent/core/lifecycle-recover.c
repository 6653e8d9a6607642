/* The ladder of a dead token. Its first rungs (a journalled answer, a newer token in the source or in config.toml)
 * were tried as they came: at start, at the first 403 and at each change of the file. The dead token stays in the
 * record until another takes its place, so that whatever happens in between leads back here. */

#include "agent/core/lifecycle-internal.h"

/* The last rung: a new runner takes the old one's place, and the old one is owed. */
static Action recover_anew(Lifecycle *l)
{
        Record *record = l->record;

        if (l->plan.flow == FLOW_AUTHENTICATION_TOKEN)
                return enrol_refused(l, EXIT_REFUSED,
                        "GitLab does not know the token any more, and the configured authentication_token is no "
                        "newer; "
                        "put a new one into its source");
        if (!l->plan.reregister)
                return enrol_refused(l, EXIT_REFUSED,
                        "The runner was removed from GitLab, and on_removed = disable; `register` enrols it anew");
        if (lifecycle_reset_open(l)) {
                if (record->ours)
                        lifecycle_owe_orphan(
                                l, record->runner_id, NULL, "the answer to the rotation of its token was lost");
                record_clear_intent(record);
                l->save_due = true;
        }
        return enrol_source(l);
}

static Action recover_later(Lifecycle *l, const Judgement *j)
{
        const char *rule;

        l->attempt++;
        uint64_t wait = judgement_wait(l, j, l->attempt, &rule);
        lifecycle_set_due(l, DUE_ENROL, wait, rule);
        /* Nothing is sent twice to a token that may be alive after all. */
        lifecycle_set_due(l, DUE_VERIFY, wait, "before the next try to recover");
        lifecycle_because(l, "recovery: %s", judgement_words(j));
        return act_decide(l);
}

static Action recover_reset_judged(Lifecycle *l, const Event *event)
{
        const Judgement *j = event->judgement;
        Intent *intent = &l->record->intent;

        l->secret = secret_free(l->secret);
        if (j->verdict == VERDICT_ALIVE && answer_keep(l, j) >= 0)
                return answer_journal(l);
        if (j->verdict == VERDICT_ALIVE)
                j = answer_dropped();

        /* By id a reset can be asked again without harm: what a lost answer killed was dead before. But until one of
         * them is answered, the runner may live under a token that nobody was told. */
        intent->lost = (intent->lost || j->maybe_acted) && j->verdict != VERDICT_DEAD;
        if (!intent->lost)
                record_clear_intent(l->record);
        l->save_due = true;
        if ((j->verdict == VERDICT_PERMANENT && !j->refused_by_net) || j->verdict == VERDICT_DEAD || j->no_route)
                return recover_anew(l);
        return recover_later(l, j);
}

static Action recover_prepared(Lifecycle *l, const Event *event)
{
        if (event->error < 0)
                return prepare_failed(l, event);
        if (l->stopping) {
                intent_unsent(l);
                return act_decide(l);
        }
        const CallArguments arguments = {.access_token = l->secret, .runner_id = l->record->runner_id};
        return act_send(l, CALL_RESET_BY_ID, arguments, recover_reset_judged);
}

static Action recover_with_secret(Lifecycle *l, const Event *event)
{
        /* Another try keeps the runner; to go on would be to make another one. */
        if (event->error == -ENOMEM)
                return enrol_no_memory(l);
        if (event->error < 0 || token_complaint(event->secret))
                return recover_anew(l);
        l->secret = secret_free(l->secret);
        if (secret_copy(event->secret, &l->secret) < 0)
                return enrol_no_memory(l);
        bool lost = lifecycle_reset_open(l);
        intent_begin(l, INTENT_RESET_BY_ID);
        l->record->intent.lost = lost;
        return act_prepare(l, recover_prepared);
}

Action recover_climb(Lifecycle *l)
{
        const Record *record = l->record;

        /* A reset would lock out those who share the runner, should it be alive for them; and a create that is open
         * is not to be forgotten over it. */
        if (l->plan.flow == FLOW_ACCESS_TOKEN && record->runner_id > 0 && record->ours &&
                record->intent.kind != INTENT_CREATE)
                return act_read_secret(l, recover_with_secret);
        return recover_anew(l);
}

static Action recover_verified(Lifecycle *l, const Event *event)
{
        const Judgement *j = event->judgement;

        l->standing = j->verdict;
        if (j->verdict == VERDICT_ALIVE) {
                verify_alive(l, j);
                return act_decide(l);
        }
        /* Another token of this host may work: one that it owes, or one that somebody has put into config.toml. */
        return j->verdict == VERDICT_DEAD ? adopt_others(l) : recover_later(l, j);
}

/* A token is replaced only by a GitLab that can tell: one that calls all of them dead (a database that is being
 * restored, say) fails the probe; one that passes it is asked once more. */
static Action recover_probed(Lifecycle *l, const Event *event)
{
        const Judgement *j = event->judgement;

        if (j->verdict != VERDICT_ALIVE)
                return recover_later(l, j);
        l->probed = true;
        return act_send(l, CALL_VERIFY, token_arguments(l, l->record->token), recover_verified);
}

Action recover_start(Lifecycle *l)
{
        const Record *record = l->record;

        if (l->state != RUNNER_STATE_RECOVERING)
                lifecycle_notice(l, NOTICE_RECOVERING,
                        "GitLab did not know the token of runner %lld, %u times in a row; recovering",
                        (long long)record->runner_id, record->dead_proofs);
        lifecycle_enter(l, RUNNER_STATE_RECOVERING);
        lifecycle_set_never(l, DUE_ENROL);
        l->probed = false;
        if (l->plan.flow == FLOW_AUTHENTICATION_TOKEN)
                return recover_anew(l);
        return act_send(l, CALL_PROBE, (CallArguments){}, recover_probed);
}
