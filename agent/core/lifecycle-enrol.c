/* Enrolling: adopt what already works, else take the configured token, else create. The rule of this file: nothing is
 * created while anything at all may already be this host's runner. */

#include "agent/core/lifecycle-internal.h"

#include <string.h>

/* Ends a try that may be made again as it is. */
void enrol_again(Lifecycle *l, const Judgement *j)
{
        const char *words = judgement_words(j), *rule;
        bool said = l->reason && strcmp(l->reason, words) == 0;

        if (j->verdict == VERDICT_PERMANENT && !said)
                lifecycle_notice(l, NOTICE_TROUBLE, "%s", words);
        l->attempt++;
        uint64_t wait = judgement_wait(l, j, l->attempt, &rule);
        lifecycle_set_due(l, DUE_ENROL, wait, rule);
        lifecycle_because(l, "%s", words);
        lifecycle_finish(l, COMMAND_REGISTER, judgement_code(j), "%s", words);
}

Action enrol_no_memory(Lifecycle *l)
{
        lifecycle_because(l, "out of memory");
        lifecycle_set_due(l, DUE_ENROL, l->plan.retry_max_usec, "retry_max");
        lifecycle_finish(l, COMMAND_REGISTER, EXIT_FAILED, "out of memory");
        return act_decide(l);
}

/* Loud once, then slow: a refused enrolment is not stormed. */
Action enrol_refused(Lifecycle *l, int code, const char *words)
{
        Record *record = l->record;
        bool said = record->state == RUNNER_STATE_REFUSED && record->reason && strcmp(record->reason, words) == 0;

        record->state = RUNNER_STATE_REFUSED;
        lifecycle_because(l, "%s", words);
        /* The words may have been the old reason. */
        words = l->reason ? l->reason : "it was refused";
        if (!said) {
                lifecycle_notice(l, NOTICE_REFUSED, "%s", words);
                (void)replace_string(&record->reason, words);
                l->save_due = true;
        }
        lifecycle_enter(l, RUNNER_STATE_REFUSED);
        l->attempt++;
        lifecycle_set_due(l, DUE_ENROL,
                usec_add(l->plan.refused_retry_usec, random_below(&l->random, l->plan.refused_retry_usec / 10 + 1)),
                "refused_retry");
        lifecycle_wake_debts(l);
        lifecycle_finish(l, COMMAND_REGISTER, code, "%s", words);
        return act_decide(l);
}

/* The token is the record's now; what is left is to write it down, tell gitlab-runner and be glad. */
Action enrol_done(Lifecycle *l, Notice notice)
{
        lifecycle_hand_over_once(l);
        l->attempt = 0;
        lifecycle_because(l, NULL);
        lifecycle_set_never(l, DUE_ENROL);
        lifecycle_notice(l, notice, "Runner %lld is %s", (long long)l->record->runner_id,
                notice == NOTICE_ADOPTED ? "adopted" : "registered");
        lifecycle_enter(l, RUNNER_STATE_REGISTERED);
        lifecycle_wake_debts(l);
        return act_decide(l);
}

static void set_standing(Lifecycle *l, Verdict verdict)
{
        l->has_standing = true;
        l->standing = verdict;
}

/* ---- adopting ---- */

/* What this host may already have, the likeliest first: its own token (a refused runner keeps it), what it owes since
 * it went, what stands in config.toml. */
static int collect_candidates(Lifecycle *l)
{
        const Record *record = l->record;

        lifecycle_drop_secrets(l);
        if (record->token) {
                const Candidate own = {
                        .token = record->token,
                        .runner_id = record->runner_id,
                        .obtained_at_usec = record->token_obtained_at_usec,
                        .ours = record->ours,
                        .known = true,
                };

                if (candidate_add(l, &own) < 0)
                        return -ENOMEM;
        }
        for (size_t i = 0; i < record->n_debts; i++) {
                const Debt *debt = &record->debts[i];
                const Candidate owed = {
                        .token = debt->token,
                        .runner_id = debt->runner_id,
                        .obtained_at_usec = debt->since_usec,
                        .ours = debt->kind == DEBT_RUNNER,
                        .known = true,
                };

                if (debt->token && url_equal(debt->target.url, l->plan.target.url) && candidate_add(l, &owed) < 0)
                        return -ENOMEM;
        }
        /* A cloned disk holds its sibling's entry: to adopt it would be to share the sibling's runner. */
        if (record->cloned)
                return 0;
        return entries_copy(l, l->state_lost && l->system_id_proves && l->plan.flow != FLOW_AUTHENTICATION_TOKEN);
}

static Action adopt_next(Lifecycle *l);

/* A token that stands in config.toml may be our own, its state lost, so it is not given up on one answer: it becomes
 * the record's, doubtful, and the proofs decide. */
static Action adopt_doubtful(Lifecycle *l, const Candidate *c)
{
        static const char words[] = "config.toml has an entry of this name whose token GitLab does not know";
        Record *record = l->record;

        if (lifecycle_take_token(l, c->token, c->runner_id, c->obtained_at_usec, NULL) < 0)
                return enrol_no_memory(l);
        record->ours = c->ours;
        record->manager_ours = false;
        record->expiry_unknown = c->expires_at_usec == 0;
        record->token_expires_at_usec = c->expires_at_usec;
        l->entry_due = false;
        if (!entries_foreign(l))
                lifecycle_set_never(l, DUE_ENTRIES);
        set_standing(l, VERDICT_DEAD);
        lifecycle_count_proof(l);
        lifecycle_set_never(l, DUE_ENROL);
        lifecycle_enter(l, RUNNER_STATE_DOUBTFUL);
        lifecycle_because(l, "%s", words);
        lifecycle_notice(l, NOTICE_DOUBTFUL, "%s", words);
        lifecycle_set_due(l, DUE_VERIFY,
                schedule_proof(&l->random, record, l->plan.removed_after_usec, l->now.realtime_usec),
                "removed_after");
        lifecycle_finish(l, COMMAND_REGISTER, EXIT_REFUSED,
                "%s; it is left alone. Remove the entry to enrol anew at once; a running agent does so after "
                "removed_after",
                words);
        return act_decide(l);
}

/* None of the candidates works. */
static Action adopt_failed(Lifecycle *l)
{
        Record *record = l->record;

        if (l->state == RUNNER_STATE_RECOVERING) {
                for (size_t i = 0; i < l->n_candidates; i++)
                        entries_give_up(l, l->candidates[i].token);
                return recover_climb(l);
        }
        if (record->token && l->plan.flow != FLOW_AUTHENTICATION_TOKEN) {
                set_standing(l, VERDICT_DEAD);
                /* Only a person enrols it anew. */
                if (!l->plan.reregister && l->command != COMMAND_REGISTER)
                        return enrol_refused(
                                l, EXIT_REFUSED, record->reason ? record->reason : "GitLab does not know the token");
                if (!lifecycle_proven_dead(l)) {
                        record->state = RUNNER_STATE_REGISTERED;
                        l->save_due = true;
                        lifecycle_enter(l, RUNNER_STATE_DOUBTFUL);
                        lifecycle_set_due(l, DUE_VERIFY, 0, "removed_after");
                        lifecycle_finish(l, COMMAND_REGISTER, EXIT_REFUSED,
                                "GitLab does not know the token; it is left alone");
                        return act_decide(l);
                }
        }
        for (size_t i = 0; i < l->n_candidates && !record->token; i++)
                if (!l->candidates[i].known && l->plan.flow != FLOW_AUTHENTICATION_TOKEN)
                        return adopt_doubtful(l, &l->candidates[i]);
        for (size_t i = 0; i < l->n_candidates; i++)
                entries_give_up(l, l->candidates[i].token);
        return enrol_source(l);
}

static Action adopt_judged(Lifecycle *l, const Event *event)
{
        const Judgement *j = event->judgement;

        if (j->verdict == VERDICT_DEAD) {
                l->candidate++;
                return adopt_next(l);
        }
        if (j->verdict != VERDICT_ALIVE) {
                enrol_again(l, j);
                return act_decide(l);
        }
        if (lifecycle_adopt(l, &l->candidates[l->candidate], &j->identity, "another token of this host works") < 0)
                return enrol_no_memory(l);
        lifecycle_set_verify_interval(l);
        /* What works comes first; whether another was configured meanwhile is asked next. */
        lifecycle_set_due(l, DUE_SOURCE, 0, "adopted");
        lifecycle_finish(l, COMMAND_REGISTER, EXIT_DONE, NULL);
        return enrol_done(l, NOTICE_ADOPTED);
}

static Action adopt_next(Lifecycle *l)
{
        if (l->candidate >= l->n_candidates)
                return adopt_failed(l);
        return act_send(l, CALL_VERIFY, token_arguments(l, l->candidates[l->candidate].token), adopt_judged);
}

Action adopt_others(Lifecycle *l)
{
        if (collect_candidates(l) < 0)
                return enrol_no_memory(l);
        /* The first is the record's own, which has been asked about. */
        l->candidate = 1;
        return adopt_next(l);
}

Action enrol_start(Lifecycle *l)
{
        lifecycle_enter(l, RUNNER_STATE_REGISTERING);
        lifecycle_set_never(l, DUE_ENROL);
        l->probed = false;
        if (collect_candidates(l) < 0)
                return enrol_no_memory(l);
        return adopt_next(l);
}

/* ---- with a token from its source ---- */

static Action enrol_verified(Lifecycle *l, const Event *event)
{
        const Judgement *j = event->judgement;
        Record *record = l->record;
        const Candidate c = {.token = l->trial};

        if (j->verdict == VERDICT_DEAD)
                return enrol_refused(l, EXIT_REFUSED,
                        "GitLab does not know the configured authentication_token (unknown, expired or removed)");
        if (j->verdict != VERDICT_ALIVE) {
                enrol_again(l, j);
                return act_decide(l);
        }
        if (lifecycle_adopt(l, &c, &j->identity, "a new authentication_token was configured") < 0)
                return enrol_no_memory(l);
        /* Without it the source is only read once more. */
        (void)replace_string(&record->source_digest, l->trial_digest);
        lifecycle_set_never(l, DUE_SOURCE);
        lifecycle_set_verify_interval(l);
        lifecycle_finish(l, COMMAND_REGISTER, EXIT_DONE, NULL);
        return enrol_done(l, NOTICE_REGISTERED);
}

/* Nothing was sent, as its result could not have been kept. */
Action prepare_failed(Lifecycle *l, const Event *event)
{
        const char *words = event_words(event);
        bool said = l->reason && strcmp(l->reason, words) == 0;

        intent_unsent(l);
        if (!said)
                lifecycle_notice(l, NOTICE_TROUBLE, "%s", words);
        l->attempt++;
        lifecycle_because(l, "%s", words);
        lifecycle_set_due(l, DUE_ENROL,
                schedule_backoff(&l->random, l->attempt, l->plan.retry_min_usec, l->plan.retry_max_usec),
                "retry_min to retry_max");
        lifecycle_finish(l, COMMAND_REGISTER, EXIT_FAILED, "%s", words);
        return act_decide(l);
}

static Action enrol_prepared(Lifecycle *l, const Event *event)
{
        if (event->error < 0)
                return prepare_failed(l, event);
        if (l->stopping)
                return act_decide(l);
        return act_send(l, CALL_VERIFY, token_arguments(l, l->trial), enrol_verified);
}

static Action enrol_with_secret(Lifecycle *l, const Event *event)
{
        /* Nothing is wrong with the source. */
        if (event->error == -ENOMEM)
                return enrol_no_memory(l);
        if (event->error < 0)
                return enrol_refused(
                        l, EXIT_CONFIG, event->message ? event->message : "the token's source can't be read");
        const char *complaint = token_complaint(event->secret);
        if (complaint) {
                lifecycle_because(l, "the token's source gives no token: it %s", complaint);
                return enrol_refused(l, EXIT_CONFIG, l->reason ? l->reason : "the token's source gives no token");
        }
        if (l->plan.flow != FLOW_AUTHENTICATION_TOKEN) {
                l->secret = secret_free(l->secret);
                if (secret_copy(event->secret, &l->secret) < 0)
                        return enrol_no_memory(l);
                return create_prepare(l);
        }
        l->trial = secret_free(l->trial);
        free(take_ptr(l->trial_digest));
        if (secret_copy(event->secret, &l->trial) < 0 || token_digest(l->trial, &l->trial_digest) < 0)
                return enrol_no_memory(l);
        return act_prepare(l, enrol_prepared);
}

/* A create whose answer was lost is not asked again before GitLab is well: a POST that can't change anything says so.
 */
static Action probe_judged(Lifecycle *l, const Event *event)
{
        const Judgement *j = event->judgement;

        if (j->verdict != VERDICT_ALIVE) {
                enrol_again(l, j);
                return act_decide(l);
        }
        record_clear_intent(l->record);
        l->save_due = true;
        return act_read_secret(l, enrol_with_secret);
}

/* What is left of the wait that two lost answers in a row ask for, over restarts and passes. */
static uint64_t lost_wait(const Lifecycle *l)
{
        const Record *record = l->record;

        if (record->lost_in_row < 2)
                return 0;
        uint64_t wait =
                usec_sub(usec_add(record->intent.since_usec, l->plan.refused_retry_usec), l->now.realtime_usec);
        /* A clock set back does not make it longer. */
        return wait < l->plan.refused_retry_usec ? wait : l->plan.refused_retry_usec;
}

/* Whether a runner would be created because GitLab calls dead what this host has. One that calls everything dead (a
 * database that is being restored, say) fails the probe; one that passes it is asked about all of it once more. */
static bool replaces(const Lifecycle *l)
{
        return l->plan.flow != FLOW_AUTHENTICATION_TOKEN && !l->probed && (l->record->token || l->n_candidates > 0);
}

static Action well_judged(Lifecycle *l, const Event *event)
{
        const Judgement *j = event->judgement;

        if (j->verdict != VERDICT_ALIVE) {
                enrol_again(l, j);
                return act_decide(l);
        }
        l->probed = true;
        return collect_candidates(l) < 0 ? enrol_no_memory(l) : adopt_next(l);
}

Action enrol_source(Lifecycle *l)
{
        static const char words[] = "two registrations in a row were lost on their way back";

        if (l->record->cloned && l->n_entries > 0)
                entries_give_up(l, l->entries[0].token);
        if (l->record->intent.kind != INTENT_CREATE)
                return replaces(l) ? act_send(l, CALL_PROBE, (CallArguments){}, well_judged)
                                   : act_read_secret(l, enrol_with_secret);
        /* The clock was set back since: with a begin in the future the wait would begin anew each time it is over. */
        if (l->record->intent.since_usec > l->now.realtime_usec) {
                l->record->intent.since_usec = l->now.realtime_usec;
                l->save_due = true;
        }
        uint64_t wait = lost_wait(l);
        if (wait > 0) {
                lifecycle_set_due(l, DUE_ENROL, usec_add(wait, random_below(&l->random, wait / 10 + 1)),
                        "refused_retry, as two answers in a row were lost");
                lifecycle_because(l, "%s", words);
                lifecycle_finish(l, COMMAND_REGISTER, EXIT_AGAIN, "%s", words);
                return act_decide(l);
        }
        return act_send(l, CALL_PROBE, (CallArguments){}, probe_judged);
}
