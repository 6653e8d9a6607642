/* Enrolling: adopt what already works, else take the configured token, else create. The rule of this file: nothing is
 * created while anything at all may already be this host's runner. */

#include "agent/core/lifecycle-internal.h"

#include <stdio.h>
#include <string.h>

#define MARKER_PREFIX "rr-"

static void enrol_again(Lifecycle *l, const Judgement *j)
{
        const char *rule;

        l->attempt++;
        uint64_t wait = judgement_wait(l, j, l->attempt, &rule);
        lifecycle_set_due(l, DUE_ENROL, wait, rule);
        lifecycle_because(l, "%s", judgement_words(j));
        lifecycle_finish(l, COMMAND_REGISTER, judgement_code(j), "%s", judgement_words(j));
}

static Action no_memory(Lifecycle *l)
{
        lifecycle_because(l, "out of memory");
        lifecycle_set_due(l, DUE_ENROL, l->plan.retry_max_usec, "retry_max");
        lifecycle_finish(l, COMMAND_REGISTER, 1, "out of memory");
        return act_decide(l);
}

/* Loud once, then slow: a refused enrolment is not stormed. */
Action enrol_refused(Lifecycle *l, int code, const char *words)
{
        Record *record = l->record;
        bool said = record->state == RUNNER_STATE_REFUSED && record->reason && strcmp(record->reason, words) == 0;

        record->state = RUNNER_STATE_REFUSED;
        if (!said) {
                (void)replace_string(&record->reason, words);
                l->save_due = true;
                lifecycle_notice(l, NOTICE_REFUSED, "%s", words);
        }
        lifecycle_because(l, "%s", words);
        lifecycle_enter(l, RUNNER_STATE_REFUSED);
        l->attempt++;
        lifecycle_set_due(l, DUE_ENROL,
                usec_add(l->plan.refused_retry_usec, random_below(&l->random, l->plan.refused_retry_usec / 10 + 1)),
                "refused_retry");
        lifecycle_finish(l, l->command, code, "%s", words);
        return act_decide(l);
}

/* The token is the record's now; what is left is to write it down, tell gitlab-runner and be glad. */
static Action enrol_done(Lifecycle *l, Notice notice)
{
        Record *record = l->record;

        record->state = RUNNER_STATE_REGISTERED;
        if (record->registered_at_usec == 0)
                record->registered_at_usec = l->now.realtime_usec;
        free(take_ptr(record->reason));
        if (l->plan.once && l->command == COMMAND_REGISTER && record->ours)
                record->handed_back = true;
        l->save_due = l->entry_due = true;
        l->attempt = 0;
        lifecycle_because(l, NULL);
        lifecycle_set_never(l, DUE_ENROL);
        lifecycle_notice(l, notice, "Runner %lld is %s", (long long)record->runner_id,
                notice == NOTICE_ADOPTED ? "adopted" : "registered");
        lifecycle_enter(l, RUNNER_STATE_REGISTERED);
        return apply_start(l);
}

/* ---- adopting ---- */

static int add_candidate(Lifecycle *l, const Secret *token, const Candidate *from)
{
        for (size_t i = 0; i < l->n_candidates; i++)
                if (secret_equal(l->candidates[i].token, token))
                        return 0;
        if (l->n_candidates >= LIFECYCLE_CANDIDATES_MAX)
                return 0;
        Candidate *c = &l->candidates[l->n_candidates];
        *c = *from;
        c->token = NULL;
        if (secret_copy(token, &c->token) < 0)
                return -ENOMEM;
        l->n_candidates++;
        return 0;
}

static int collect_candidates(Lifecycle *l)
{
        lifecycle_drop_secrets(l);
        for (size_t i = 0; i < l->record->n_debts; i++) {
                const Debt *debt = &l->record->debts[i];
                Candidate c = { .runner_id = debt->runner_id, .debt = debt, .obtained_at_usec = debt->since_usec };

                if (debt->token && url_equal(debt->target.url, l->plan.target.url) &&
                        add_candidate(l, debt->token, &c) < 0)
                        return -ENOMEM;
        }
        /* A cloned disk holds its sibling's entry: to adopt it would be to share the sibling's runner. */
        for (size_t i = 0; !l->record->cloned && i < l->n_entries; i++)
                if (add_candidate(l, l->entries[i].token, &l->entries[i]) < 0)
                        return -ENOMEM;
        return 0;
}

static Action adopt_next(Lifecycle *l);
static Action enrol_source(Lifecycle *l);

/* None of the candidates works. A token that stands in config.toml may be our own, its state lost, so it is not
 * given up on one answer: it becomes the record's, doubtful, and the proofs decide. */
static Action adopt_failed(Lifecycle *l)
{
        const Candidate *own = NULL;

        for (size_t i = 0; i < l->n_candidates && !own; i++)
                if (!l->candidates[i].debt)
                        own = &l->candidates[i];
        if (!own || l->plan.flow == FLOW_AUTHENTICATION_TOKEN)
                return enrol_source(l);

        if (lifecycle_take_token(l, own->token, own->runner_id, own->obtained_at_usec) < 0)
                return no_memory(l);
        Record *record = l->record;
        record->ours = l->system_id_proves;
        record->state = RUNNER_STATE_REGISTERED;
        record->expiry_unknown = false;
        record->token_expires_at_usec = own->expires_at_usec;
        record->dead_proofs = 1;
        record->dead_first_usec = record->dead_last_usec = l->now.realtime_usec;
        l->entry_due = false;
        lifecycle_enter(l, RUNNER_STATE_DOUBTFUL);
        lifecycle_because(l, "config.toml has an entry of this name whose token GitLab does not know");
        lifecycle_notice(l, NOTICE_DOUBTFUL, "%s", l->reason ? l->reason : "its token is not known");
        lifecycle_set_due(l, DUE_VERIFY,
                schedule_proof(&l->random, record, l->plan.removed_after_usec, l->now.realtime_usec), "removed_after");
        lifecycle_finish(l, COMMAND_REGISTER, 77,
                "config.toml has an entry of this name whose token GitLab does not know; it is left alone. "
                "Remove the entry to enrol anew at once; a running agent does so after removed_after");
        return act_decide(l);
}

static Action adopt_judged(Lifecycle *l, const Event *event)
{
        const Judgement *j = event->judgement;
        const Candidate *c = &l->candidates[l->candidate];
        Record *record = l->record;

        l->last_verdict = j->verdict;
        l->has_verdict = true;
        if (j->verdict == VERDICT_DEAD) {
                l->candidate++;
                return adopt_next(l);
        }
        if (j->verdict != VERDICT_ALIVE) {
                enrol_again(l, j);
                return act_decide(l);
        }

        int64_t id = j->identity.runner_id > 0 ? j->identity.runner_id : c->runner_id;
        if (lifecycle_take_token(l, c->token, id, c->obtained_at_usec ? c->obtained_at_usec : l->now.realtime_usec) < 0)
                return no_memory(l);
        record->ours = c->debt ? c->debt->kind == DEBT_RUNNER :
                                 l->plan.flow != FLOW_AUTHENTICATION_TOKEN && l->system_id_proves;
        record->manager_ours = true;
        /* Old servers answer with a bare 200: then only what the entry says is known, and its zero time says nothing. */
        record->expiry_unknown = !j->identity.has_expiry && c->expires_at_usec == 0;
        record->token_expires_at_usec = c->expires_at_usec;
        lifecycle_take_expiry(l, &j->identity);
        record->last_verified_at_usec = l->now.realtime_usec;
        for (size_t i = record->n_debts; i > 0; i--)
                if (secret_equal(record->debts[i - 1].token, record->token))
                        record_remove_debt(record, i - 1);
        lifecycle_set_due(l, DUE_VERIFY, schedule_interval(&l->random, l->plan.verify_interval_usec), "verify_interval");
        lifecycle_set_never(l, DUE_ENTRIES);
        lifecycle_finish(l, COMMAND_REGISTER, 0, NULL);
        return enrol_done(l, NOTICE_ADOPTED);
}

static Action adopt_next(Lifecycle *l)
{
        if (l->candidate >= l->n_candidates)
                return l->n_candidates > 0 ? adopt_failed(l) : enrol_source(l);
        return act_send(l, CALL_VERIFY, token_arguments(l, l->candidates[l->candidate].token), adopt_judged);
}

Action enrol_start(Lifecycle *l)
{
        lifecycle_enter(l, RUNNER_STATE_REGISTERING);
        if (collect_candidates(l) < 0)
                return no_memory(l);
        return adopt_next(l);
}

/* ---- with a token from its source ---- */

static Action enrol_verified(Lifecycle *l, const Event *event)
{
        const Judgement *j = event->judgement;
        Record *record = l->record;

        l->last_verdict = j->verdict;
        l->has_verdict = true;
        if (j->verdict == VERDICT_DEAD)
                return enrol_refused(l, 77,
                        "GitLab does not know the configured authentication_token (unknown, expired or removed)");
        if (j->verdict == VERDICT_PERMANENT)
                return enrol_refused(l, judgement_code(j), judgement_words(j));
        if (j->verdict != VERDICT_ALIVE) {
                enrol_again(l, j);
                return act_decide(l);
        }
        if (lifecycle_take_token(l, l->trial, j->identity.runner_id, l->now.realtime_usec) < 0 ||
                replace_string(&record->source_digest, l->trial_digest) < 0)
                return no_memory(l);
        record->ours = false;
        record->manager_ours = true;
        record->expiry_unknown = !j->identity.has_expiry;
        record->token_expires_at_usec = 0;
        lifecycle_take_expiry(l, &j->identity);
        record->last_verified_at_usec = l->now.realtime_usec;
        lifecycle_set_due(l, DUE_VERIFY, schedule_interval(&l->random, l->plan.verify_interval_usec), "verify_interval");
        lifecycle_set_never(l, DUE_SOURCE);
        lifecycle_set_never(l, DUE_ENTRIES);
        lifecycle_finish(l, COMMAND_REGISTER, 0, NULL);
        return enrol_done(l, NOTICE_REGISTERED);
}

static Action prepare_failed(Lifecycle *l, const Event *event)
{
        const char *words = event->message ? event->message : strerror(-event->error);

        if (l->attempt == 0)
                lifecycle_notice(l, NOTICE_TROUBLE, "%s", words);
        l->attempt++;
        lifecycle_because(l, "%s", words);
        lifecycle_set_due(l, DUE_ENROL,
                schedule_backoff(&l->random, l->attempt, l->plan.retry_min_usec, l->plan.retry_max_usec),
                "retry_min to retry_max");
        lifecycle_finish(l, COMMAND_REGISTER, 1, "%s", words);
        return act_decide(l);
}

static Action enrol_prepared(Lifecycle *l, const Event *event)
{
        if (event->error < 0)
                return prepare_failed(l, event);
        return act_send(l, CALL_VERIFY, token_arguments(l, l->trial), enrol_verified);
}

static Action create_prepare(Lifecycle *l);

static Action enrol_with_secret(Lifecycle *l, const Event *event)
{
        if (event->error < 0 || !event->secret)
                return enrol_refused(l, 78, event->message ? event->message : "the token's source can't be read");
        if (l->plan.flow != FLOW_AUTHENTICATION_TOKEN) {
                l->secret = secret_free(l->secret);
                if (secret_copy(event->secret, &l->secret) < 0)
                        return no_memory(l);
                return create_prepare(l);
        }
        l->trial = secret_free(l->trial);
        free(take_ptr(l->trial_digest));
        if (secret_copy(event->secret, &l->trial) < 0 || token_digest(l->trial, &l->trial_digest) < 0)
                return no_memory(l);
        return act_prepare(l, enrol_prepared);
}

/* A create whose answer was lost is not asked again before GitLab is well: a POST that can't change anything says so. */
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

static Action enrol_source(Lifecycle *l)
{
        if (l->record->intent.kind == INTENT_CREATE)
                return act_send(l, CALL_PROBE, (CallArguments){}, probe_judged);
        return act_read_secret(l, enrol_with_secret);
}

/* Enrols anew whatever config.toml holds: the end of the recovery ladder. */
Action create_start(Lifecycle *l)
{
        lifecycle_drop_secrets(l);
        lifecycle_enter(l, RUNNER_STATE_REGISTERING);
        return enrol_source(l);
}

/* ---- creating ---- */

static Action create_lost(Lifecycle *l, const Judgement *j)
{
        Record *record = l->record;

        record->intent.lost = true;
        record->lost_in_row++;
        lifecycle_owe_orphan(l, judgement_words(j));
        l->save_due = true;
        enrol_again(l, j);
        if (record->lost_in_row >= 2)
                lifecycle_set_due(l, DUE_ENROL, l->plan.refused_retry_usec, "refused_retry, as two answers in a row were lost");
        return act_decide(l);
}

static Action create_judged(Lifecycle *l, const Event *event)
{
        const Judgement *j = event->judgement;

        l->secret = secret_free(l->secret);
        if (j->verdict == VERDICT_ALIVE) {
                l->answer = (Answer){
                        .kind = INTENT_CREATE,
                        .runner_id = j->identity.runner_id,
                        .has_expiry = j->identity.has_expiry,
                        .expires_at_usec = j->identity.expires_at_usec,
                        .obtained_at_usec = l->now.realtime_usec,
                        .intent_since_usec = l->record->intent.since_usec,
                };
                if (secret_copy(j->identity.token, &l->answer.token) < 0)
                        return create_lost(l, j);
                l->has_answer = true;
                return act_journal(l, answer_journalled);
        }
        if (j->maybe_acted)
                return create_lost(l, j);

        record_clear_intent(l->record);
        l->save_due = true;
        if (j->verdict == VERDICT_PERMANENT)
                return enrol_refused(l, judgement_code(j), judgement_words(j));
        enrol_again(l, j);
        return act_decide(l);
}

static Action create_prepared(Lifecycle *l, const Event *event)
{
        if (event->error < 0) {
                record_clear_intent(l->record);
                return prepare_failed(l, event);
        }
        bool by_access = l->plan.flow == FLOW_ACCESS_TOKEN;
        CallArguments arguments = {
                .token = by_access ? NULL : l->secret,
                .access_token = by_access ? l->secret : NULL,
                .system_id = l->system_id,
                .attributes = l->plan.attributes,
                .marker = by_access ? l->record->intent.marker : NULL,
        };
        return act_send(l, by_access ? CALL_CREATE : CALL_REGISTER, arguments, create_judged);
}

static Action create_prepare(Lifecycle *l)
{
        Intent *intent = &l->record->intent;
        _cleanup_free_ char *marker = NULL;

        /* 64 random bits: the marker is proof enough to delete by. */
        if (asprintf(&marker, MARKER_PREFIX "%016llx", (unsigned long long)random_next(&l->random)) < 0) {
                marker = NULL;
                return no_memory(l);
        }
        record_clear_intent(l->record);
        intent->kind = INTENT_CREATE;
        intent->since_usec = l->now.realtime_usec;
        intent->marker = take_ptr(marker);
        return act_prepare(l, create_prepared);
}

/* ---- the answer of a create or a reset ---- */

Action answer_journalled(Lifecycle *l, const Event *event)
{
        /* The disk refused although the space was reserved: state and config.toml are what is left to keep it in. */
        if (event->error < 0)
                lifecycle_notice(l, NOTICE_TROUBLE, "%s", event->message ? event->message : strerror(-event->error));
        return answer_apply(l);
}

static Action answer_is_create(Lifecycle *l)
{
        Record *record = l->record;

        record->ours = record->manager_ours = true;
        record->registered_at_usec = l->answer.obtained_at_usec;
        record->lost_in_row = 0;
        lifecycle_set_never(l, DUE_ENTRIES);
        /* A created runner has no manager yet: verifying makes it, and GitLab knows this machine. */
        bool verify_now = l->plan.flow == FLOW_ACCESS_TOKEN;
        lifecycle_set_due(l, DUE_VERIFY,
                verify_now ? 0 : schedule_interval(&l->random, l->plan.verify_interval_usec), "verify_interval");
        if (!verify_now)
                lifecycle_finish(l, COMMAND_REGISTER, 0, NULL);
        return enrol_done(l, NOTICE_REGISTERED);
}

static Action answer_is_reset(Lifecycle *l)
{
        Record *record = l->record;

        record->state = RUNNER_STATE_REGISTERED;
        l->rotate_attempt = 0;
        l->attempt = 0;
        lifecycle_set_never(l, DUE_ROTATE);
        lifecycle_set_due(l, DUE_VERIFY, schedule_interval(&l->random, l->plan.verify_interval_usec), "verify_interval");
        lifecycle_because(l, NULL);
        lifecycle_notice(l, NOTICE_ROTATED, "The token of runner %lld is rotated", (long long)record->runner_id);
        lifecycle_enter(l, RUNNER_STATE_REGISTERED);
        lifecycle_finish(l, COMMAND_ROTATE, 0, NULL);
        lifecycle_finish(l, COMMAND_REGISTER, 0, NULL);
        return apply_start(l);
}

Action answer_apply(Lifecycle *l)
{
        Record *record = l->record;
        Answer *answer = &l->answer;
        bool create = answer->kind == INTENT_CREATE;

        if (lifecycle_take_token(l, answer->token, answer->runner_id, answer->obtained_at_usec) < 0) {
                /* It is journalled; the answer stays with us, and the decision comes back here. */
                return act_sleep(l, l->plan.retry_min_usec, answer_journalled);
        }
        record->expiry_unknown = false;
        record->token_expires_at_usec = answer->has_expiry ? answer->expires_at_usec : 0;
        record_clear_intent(record);
        answer_done(answer);
        l->has_answer = false;
        l->has_verdict = true;
        l->last_verdict = VERDICT_ALIVE;
        return create ? answer_is_create(l) : answer_is_reset(l);
}
