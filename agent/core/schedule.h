#pragma once

/* When: backoff, spread, rotation, proofs. Pure arithmetic on usec and on random numbers handed in. */

#include <stdbool.h>
#include <stdint.h>

#include "agent/base/time.h"
#include "agent/core/record.h"

/* A small generator (splitmix64), so that a run can be repeated from its seed. */
typedef struct Random {
        uint64_t state;
} Random;

uint64_t random_next(Random *random);

/* Uniform in [0, limit). 0 for a limit of 0. */
uint64_t random_below(Random *random, uint64_t limit);

/* The wait before try number ATTEMPT + 1 (ATTEMPT failed tries so far, from 1): exponential from MIN to MAX with full
 * jitter above MIN on the way, and between two thirds and five sixths of MAX once it is reached. */
uint64_t schedule_backoff(Random *random, unsigned attempt, uint64_t min_usec, uint64_t max_usec);

/* The wait that a throttled answer asks for: never earlier than TOLD (0: not told, then the backoff's place is
 * taken by MIN), then at the place among the windows of WINDOW usec that SPREAD, observed over limit, gives; without
 * it spread over as long again, but at most five minutes. */
uint64_t schedule_wait(Random *random, uint64_t told_usec, double spread, uint64_t window_usec, uint64_t min_usec);

/* INTERVAL less up to a tenth at random, so that a fleet does not march in step. */
uint64_t schedule_interval(Random *random, uint64_t interval_usec);

/* When the record's token is to be rotated, realtime: at ROTATE_AT (0 … 1) of its life, or ROTATE_AFTER
 * (USEC_INFINITY: never) its making if it does not expire, or at once (0) where the expiry is unknown.
 * USEC_INFINITY: never. */
uint64_t schedule_rotation(const Record *record, double rotate_at, uint64_t rotate_after_usec);

#define SCHEDULE_PROOFS 3

/* Whether the proofs in RECORD are enough to call its token dead. Counted from the first to the last answer, not to
 * now: silence proves nothing. */
bool schedule_proven_dead(const Record *record, uint64_t removed_after_usec);

/* How long until the next proof is due. */
uint64_t schedule_proof(Random *random, const Record *record, uint64_t removed_after_usec, uint64_t realtime_usec);
