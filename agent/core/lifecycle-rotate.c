/* Replacing a living token. The rule of this file: a reset kills the old token the moment GitLab acts, so the
 * answer's place is reserved before, and a lost answer is never asked for again blindly. */

#include "agent/core/lifecycle-internal.h"

#include <assert.h>
#include <string.h>

static void rotate_later(Lifecycle *l, const Judgement *j)
{
        const char *words = judgement_words(j), *rule;
        bool said = l->reason && strcmp(l->reason, words) == 0;

        l->rotate_attempt++;
        uint64_t wait = judgement_wait(l, j, l->rotate_attempt, &rule);
        if (j->no_route) {
                wait = usec_add(
                        l->plan.refused_retry_usec, random_below(&l->random, l->plan.refused_retry_usec / 10 + 1));
                rule = "refused_retry, as this GitLab can't rotate";
        }
        lifecycle_set_due(l, DUE_ROTATE, wait, rule);
        if (l->rotate_attempt == 1 || !said)
                lifecycle_notice(l, NOTICE_ROTATION_FAILED, "The token was not rotated: %s", words);
        lifecycle_because(l, "%s", words);
}

/* Whether the old token still works tells what became of the reset; until then the intent stays. */
static Action reset_unclear(Lifecycle *l, const Judgement *j)
{
        Record *record = l->record;

        record->intent.lost = j->maybe_acted;
        l->standing = VERDICT_AMBIGUOUS;
        if (j->no_route && record->expiry_unknown) {
                /* A GitLab without this call (before 14) has no expiry either: there is nothing to ask for. */
                record->expiry_unknown = false;
                record->token_expires_at_usec = 0;
        }
        if (j->no_route)
                lifecycle_finish(l, COMMAND_ROTATE, EXIT_AGAIN, "this GitLab has no call to rotate a token");
        lifecycle_set_due(l, DUE_VERIFY, 0, "after a reset that was not answered well");
        return act_decide(l);
}

static Action reset_judged(Lifecycle *l, const Event *event)
{
        const Judgement *j = event->judgement;

        if (j->verdict == VERDICT_ALIVE && answer_keep(l, j) >= 0)
                return answer_journal(l);
        if (j->verdict == VERDICT_ALIVE)
                j = answer_dropped();

        lifecycle_enter(l, RUNNER_STATE_REGISTERED);
        l->save_due = true;
        rotate_later(l, j);
        l->rotate_lost = j->maybe_acted;
        if (j->verdict != VERDICT_WAIT && j->verdict != VERDICT_PERMANENT)
                return reset_unclear(l, j);
        record_clear_intent(l->record);
        lifecycle_finish(l, COMMAND_ROTATE, judgement_code(j), "%s", judgement_words(j));
        return act_decide(l);
}

static Action reset_prepared(Lifecycle *l, const Event *event)
{
        if (event->error < 0 || l->stopping) {
                intent_unsent(l);
                lifecycle_enter(l, RUNNER_STATE_REGISTERED);
        }
        if (event->error < 0) {
                const Judgement local = {.verdict = VERDICT_AMBIGUOUS, .message = (char *)event_words(event)};

                rotate_later(l, &local);
                lifecycle_finish(l, COMMAND_ROTATE, EXIT_FAILED, "%s", event_words(event));
        }
        if (event->error < 0 || l->stopping)
                return act_decide(l);
        return act_send(l, CALL_RESET, token_arguments(l, l->record->token), reset_judged);
}

Action rotate_start(Lifecycle *l)
{
        assert(l->state == RUNNER_STATE_REGISTERED && l->record->intent.kind == INTENT_NONE);
        lifecycle_enter(l, RUNNER_STATE_ROTATING);
        intent_begin(l, INTENT_RESET);
        return act_prepare(l, reset_prepared);
}
