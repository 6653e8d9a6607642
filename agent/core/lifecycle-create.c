/* Creating a runner, and the answers of creates and resets. The rule of this file: an answer is worth more than
 * anything else here; its place is reserved before the call, and it is kept before anything is done with it. */

#include "agent/core/lifecycle-internal.h"

#include <stdio.h>

#define MARKER_PREFIX "rr-"

/* How often, `retry_min` apart, a pass tries to put an answer into the record; a running agent never gives up. */
#define ANSWER_TRIES 10

const Judgement *answer_dropped(void)
{
        static const Judgement dropped = {
                .verdict = VERDICT_AMBIGUOUS,
                .maybe_acted = true,
                .message = (char *)"out of memory, so the token in GitLab's answer was lost",
        };

        return &dropped;
}

static Action create_lost(Lifecycle *l, const Judgement *j)
{
        Record *record = l->record;

        record->intent.lost = true;
        record->lost_in_row++;
        l->save_due = true;
        lifecycle_owe_orphan(l, 0, record->intent.marker, judgement_words(j));
        enrol_again(l, j);
        if (record->lost_in_row >= 2)
                lifecycle_set_due(l, DUE_ENROL,
                        usec_add(l->plan.refused_retry_usec,
                                random_below(&l->random, l->plan.refused_retry_usec / 10 + 1)),
                        "refused_retry, as two answers in a row were lost");
        return act_decide(l);
}

static Action create_judged(Lifecycle *l, const Event *event)
{
        const Judgement *j = event->judgement;

        l->secret = secret_free(l->secret);
        if (j->verdict == VERDICT_ALIVE)
                return answer_keep(l, j) < 0 ? create_lost(l, answer_dropped()) : answer_journal(l);
        if (j->maybe_acted)
                return create_lost(l, j);

        record_clear_intent(l->record);
        l->record->lost_in_row = 0;
        l->save_due = true;
        if (j->verdict == VERDICT_PERMANENT && !j->refused_by_net)
                return enrol_refused(l, judgement_code(j), judgement_words(j));
        enrol_again(l, j);
        return act_decide(l);
}

static Action create_prepared(Lifecycle *l, const Event *event)
{
        bool by_access = l->plan.flow == FLOW_ACCESS_TOKEN;

        if (event->error < 0)
                return prepare_failed(l, event);
        if (l->stopping) {
                intent_unsent(l);
                return act_decide(l);
        }
        CallArguments arguments = {
                .token = by_access ? NULL : l->secret,
                .access_token = by_access ? l->secret : NULL,
                .system_id = l->system_id,
                .attributes = l->plan.attributes,
                .marker = l->record->intent.marker,
        };
        return act_send(l, by_access ? CALL_CREATE : CALL_REGISTER, arguments, create_judged);
}

void intent_begin(Lifecycle *l, IntentKind kind)
{
        record_clear_intent(l->record);
        l->record->intent.kind = kind;
        l->record->intent.since_usec = l->now.realtime_usec;
}

void intent_unsent(Lifecycle *l)
{
        if (!l->record->intent.lost)
                record_clear_intent(l->record);
        l->save_due = true;
}

Action create_prepare(Lifecycle *l)
{
        char *marker = NULL;

        /* Only who may look into the notes finds it again. 64 random bits: it is proof enough to delete by. */
        if (l->plan.flow == FLOW_ACCESS_TOKEN &&
                asprintf(&marker, MARKER_PREFIX "%016llx", (unsigned long long)random_next(&l->random)) < 0)
                return enrol_no_memory(l);
        intent_begin(l, INTENT_CREATE);
        l->record->intent.marker = marker;
        return act_prepare(l, create_prepared);
}

/* ---- the answer of a create or a reset ---- */

int answer_keep(Lifecycle *l, const Judgement *j)
{
        l->answer = (Answer){
                .kind = l->record->intent.kind,
                .runner_id = j->identity.runner_id,
                .has_expiry = j->identity.has_expiry,
                .expires_at_usec = j->identity.expires_at_usec,
                .obtained_at_usec = lifecycle_server_now(l),
                .intent_since_usec = l->record->intent.since_usec,
        };
        int r = secret_copy(j->identity.token, &l->answer.token);
        l->has_answer = r >= 0;
        return r;
}

static Action answer_journalled(Lifecycle *l, const Event *event)
{
        /* The disk refused although the space was reserved: state and config.toml are what is left to keep it in. */
        if (event->error < 0)
                lifecycle_notice(l, NOTICE_TROUBLE, "%s", event_words(event));
        return act_decide(l);
}

Action answer_journal(Lifecycle *l)
{
        return act_journal(l, answer_journalled);
}

static Action answer_is_create(Lifecycle *l)
{
        Record *record = l->record;

        record->ours = record->manager_ours = true;
        record->registered_at_usec = record->token_obtained_at_usec;
        record->lost_in_row = 0;
        /* Hosts that were enrolled in one second do not verify in one minute. */
        lifecycle_set_due(l, DUE_VERIFY,
                l->plan.verify_interval_usec - random_below(&l->random, l->plan.verify_interval_usec / 4),
                "verify_interval");
        /* A created runner has no manager yet: verifying makes it, and GitLab knows this machine. */
        if (l->plan.flow == FLOW_ACCESS_TOKEN)
                lifecycle_set_due(l, DUE_VERIFY, 0, "GitLab is to know this machine");
        else
                lifecycle_finish(l, COMMAND_REGISTER, EXIT_DONE, NULL);
        return enrol_done(l, NOTICE_REGISTERED);
}

/* How long a new token is left alone at least: not beyond its own time, which may be shorter than verify_interval. */
static uint64_t rotation_rest(const Lifecycle *l)
{
        const Record *record = l->record;
        uint64_t rest = l->plan.rotate_after_usec;

        if (record->token_expires_at_usec > 0) {
                uint64_t life = usec_sub(record->token_expires_at_usec, record->token_obtained_at_usec);

                rest = (uint64_t)((double)life * l->plan.rotate_at);
                if (life == 0)
                        rest = USEC_INFINITY; /* the clocks disagree, so its time can't be told */
                else if (rest < l->plan.retry_max_usec)
                        rest = l->plan.retry_max_usec;
        }
        return rest < l->plan.verify_interval_usec ? rest : l->plan.verify_interval_usec;
}

static Action answer_is_reset(Lifecycle *l)
{
        l->rotate_attempt = 0;
        l->attempt = 0;
        /* Between clocks that disagree a new token may look old: it is not replaced again at once for that. */
        lifecycle_set_due(l, DUE_ROTATE, rotation_rest(l), "as it was rotated just now");
        lifecycle_set_verify_interval(l);
        lifecycle_set_never(l, DUE_ENROL);
        lifecycle_because(l, NULL);
        lifecycle_notice(l, NOTICE_ROTATED, "The token of runner %lld is rotated", (long long)l->record->runner_id);
        lifecycle_enter(l, RUNNER_STATE_REGISTERED);
        lifecycle_finish(l, COMMAND_ROTATE, EXIT_DONE, NULL);
        return act_decide(l);
}

static Action answer_rested(Lifecycle *l, const Event *event)
{
        (void)event;
        return act_decide(l);
}

Action answer_apply(Lifecycle *l)
{
        Record *record = l->record;
        Answer *answer = &l->answer;
        bool create = answer->kind == INTENT_CREATE;
        int r = 0;

        /* A new runner takes the place of one that GitLab did not know any more. */
        if (create && record->token)
                r = lifecycle_owe(l, &l->plan.target, "GitLab did not know its token any more");
        if (r == -E2BIG)
                r = 0;
        if (r >= 0)
                r = lifecycle_take_token(l, answer->token, answer->runner_id, answer->obtained_at_usec, NULL);
        if (r < 0) {
                if (lifecycle_out_of_time(l) || (l->plan.once && ++l->answer_tries >= ANSWER_TRIES)) {
                        /* The journal keeps it. */
                        l->has_answer = false;
                        lifecycle_finish(
                                l, l->command, EXIT_FAILED, "out of memory; the next start makes use of the answer");
                        return act_decide(l);
                }
                return act_sleep(l, l->plan.retry_min_usec, "memory", answer_rested);
        }
        record->expiry_unknown = false;
        record->token_expires_at_usec = answer->has_expiry ? answer->expires_at_usec : 0;
        record_clear_intent(record);
        answer_done(answer);
        l->has_answer = false;
        return create ? answer_is_create(l) : answer_is_reset(l);
}
