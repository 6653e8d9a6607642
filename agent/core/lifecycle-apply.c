/* Brings state file and config.toml to what the record says, in that order: a token is kept in our state before it is
 * handed to the neighbour, and before what it replaces is forgotten. */

#include "agent/core/lifecycle-internal.h"

static void disk_failed(Lifecycle *l, const char *words)
{
        if (!l->disk_reason)
                lifecycle_notice(l, NOTICE_TROUBLE, "%s", words);
        (void)replace_string(&l->disk_reason, words);
        l->disk_attempt++;
        lifecycle_set_due(l, DUE_DISK,
                schedule_backoff(&l->random, l->disk_attempt, l->plan.retry_min_usec, l->plan.retry_max_usec),
                "retry_min to retry_max");
        lifecycle_spoil(l, words);
}

static bool entry_wanted(const Lifecycle *l)
{
        /* For a runner that is not configured any more no entry is made, but one that stands there is kept right. */
        return l->entry_due && lifecycle_enrolled(l) && (l->plan.configured || entries_listed(l)) &&
               !entries_foreign(l);
}

/* The entry that is to go now; NULL: none. */
static const Leftover *leftover_wanted(const Lifecycle *l)
{
        const Record *record = l->record;
        /* A host that comes back may find that its entry is still good, and else writes over it. */
        bool returns = l->plan.configured && record->state == RUNNER_STATE_UNREGISTERED &&
                       !(l->stopping && l->stop.withdraw);

        for (size_t i = 0; i < record->n_leftovers; i++)
                if (!returns || !url_equal(record->leftovers[i].url, l->plan.target.url))
                        return &record->leftovers[i];
        return NULL;
}

bool apply_wanted(const Lifecycle *l)
{
        return l->save_due || leftover_wanted(l) || entry_wanted(l);
}

bool apply_needed(const Lifecycle *l)
{
        return apply_wanted(l) && (l->due_usec[DUE_DISK] == USEC_INFINITY || lifecycle_is_due(l, DUE_DISK));
}

/* What refused a moment ago is not asked again in the same breath. */
static Action apply_next(Lifecycle *l)
{
        return l->save_due && l->disk_reason ? act_decide(l) : apply_start(l);
}

static Action apply_told(Lifecycle *l, const Event *event)
{
        l->tell_due = false;
        l->neighbour_may_poll = event->told != TOLD_NOT_RUNNING;
        /* What was replaced may still be polled with until the file is read again. */
        if (event->told == TOLD_UNSURE && l->due_usec[DUE_DEBTS] != USEC_INFINITY &&
                l->due_usec[DUE_DEBTS] < usec_add(l->now.boottime_usec, l->plan.poll_usec))
                lifecycle_set_due(l, DUE_DEBTS, l->plan.poll_usec, "gitlab-runner's next look at config.toml");
        return apply_next(l);
}

static Action apply_written(Lifecycle *l, const Event *event)
{
        if (event->error < 0 || entries_written(l) < 0) {
                /* Without memory to know it by it would be taken for somebody else's: it is written once more. */
                l->tell_due = l->tell_due || event->changed;
                l->entry_due = true;
                disk_failed(l, event->error < 0 ? event_words(event) : "out of memory");
                return act_decide(l);
        }
        return event->changed || l->tell_due ? act_tell(l, apply_told) : apply_next(l);
}

static Action apply_removed(Lifecycle *l, const Event *event)
{
        if (event->error < 0) {
                disk_failed(l, event_words(event));
                return act_decide(l);
        }
        lifecycle_entry_left(l);
        l->save_due = true;
        return event->changed ? act_tell(l, apply_told) : apply_next(l);
}

static Action apply_saved(Lifecycle *l, const Event *event)
{
        if (event->error < 0) {
                l->save_due = true;
                disk_failed(l, event_words(event));
                /* config.toml may lie on another disk: a token that can be kept there must not wait. */
                return entry_wanted(l) ? act_write_entry(l, apply_written) : act_decide(l);
        }
        return apply_start(l);
}

Action apply_start(Lifecycle *l)
{
        if (l->save_due)
                return act_save(l, apply_saved);
        /* Before what is to go: it may be written over, and keeps what a person has put into it. */
        if (entry_wanted(l))
                return act_write_entry(l, apply_written);
        const Leftover *leftover = leftover_wanted(l);
        if (leftover)
                return act_remove_entry(l, leftover, apply_removed);
        lifecycle_set_never(l, DUE_DISK);
        free(take_ptr(l->disk_reason));
        l->disk_attempt = 0;
        return act_decide(l);
}
