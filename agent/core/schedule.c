#include "agent/core/schedule.h"

/* Over which a wait of unknown cause is spread at most. */
#define SPREAD_MAX_USEC (5 * USEC_PER_MINUTE)

uint64_t random_next(Random *random)
{
        uint64_t z = (random->state += UINT64_C(0x9e3779b97f4a7c15));

        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        return z ^ (z >> 31);
}

uint64_t random_below(Random *random, uint64_t limit)
{
        return limit == 0 ? 0 : random_next(random) % limit;
}

uint64_t schedule_backoff(Random *random, unsigned attempt, uint64_t min_usec, uint64_t max_usec)
{
        uint64_t top = min_usec;

        for (unsigned i = 0; i < attempt && top < max_usec; i++)
                top = usec_add(top, top);
        if (top > max_usec)
                top = max_usec;
        if (top <= min_usec)
                return usec_add(min_usec, random_below(random, min_usec / 4 + 1));
        /* Who has climbed to the cap is far out of step already. Narrow there, a fleet of which nobody got an answer
         * for hours asks no faster than it must, and none of it is late when the answers come back. */
        if (top == max_usec && max_usec / 3 * 2 > min_usec)
                return max_usec / 3 * 2 + random_below(random, max_usec / 6 + 1);
        return min_usec + random_below(random, top - min_usec + 1);
}

uint64_t schedule_wait(Random *random, uint64_t told_usec, double spread, uint64_t window_usec, uint64_t min_usec)
{
        uint64_t base = told_usec > min_usec ? told_usec : min_usec;

        if (spread > 0 && window_usec > 0) {
                /* What was observed beyond the limit is our place in the queue, and a window takes as many as the
                 * limit says: in this order a herd comes back at just the rate that it is given. */
                double place = spread > 1 ? (spread - 1) * (double)window_usec : 0;

                return usec_add(base, (uint64_t)place + random_below(random, min_usec / 4 + 1));
        }
        return usec_add(base, random_below(random, (base < SPREAD_MAX_USEC ? base : SPREAD_MAX_USEC) + 1));
}

uint64_t schedule_interval(Random *random, uint64_t interval_usec)
{
        return interval_usec - random_below(random, interval_usec / 10 + 1);
}

uint64_t schedule_rotation(const Record *record, double rotate_at, uint64_t rotate_after_usec)
{
        if (record->expiry_unknown)
                return 0;
        if (record->token_expires_at_usec == 0)
                return usec_add(record->token_obtained_at_usec, rotate_after_usec);

        uint64_t life = usec_sub(record->token_expires_at_usec, record->token_obtained_at_usec);
        return record->token_obtained_at_usec + (uint64_t)((double)life * rotate_at);
}

bool schedule_proven_dead(const Record *record, uint64_t removed_after_usec)
{
        /* A clock that went back gives a span of 0, and so more patience, never less. */
        return record->dead_proofs >= SCHEDULE_PROOFS &&
               usec_sub(record->dead_last_usec, record->dead_first_usec) >= removed_after_usec;
}

uint64_t schedule_proof(Random *random, const Record *record, uint64_t removed_after_usec, uint64_t realtime_usec)
{
        uint64_t step = removed_after_usec / (SCHEDULE_PROOFS - 1);
        uint64_t nth = record->dead_proofs < SCHEDULE_PROOFS ? record->dead_proofs : SCHEDULE_PROOFS - 1;
        uint64_t due = usec_add(record->dead_first_usec, step * nth);
        uint64_t wait = usec_sub(due, realtime_usec);

        /* A clock set back far would stretch the wait without end. */
        if (wait > removed_after_usec)
                wait = removed_after_usec;
        /* Nor would one set forward make it none: the proofs are then spread over our own time. */
        if (wait < step / 10)
                wait = step / 10;
        return usec_add(wait, random_below(random, step / 10 + 1));
}
