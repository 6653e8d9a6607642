/* Backoff, spread, rotation and proofs, as properties over many seeds. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "agent/base/cleanup.h"
#include "agent/core/schedule.h"

#define SEEDS 2000

#define SECOND USEC_PER_SEC
#define MINUTE USEC_PER_MINUTE
#define HOUR   USEC_PER_HOUR

/* The generator is splitmix64; a run is repeated from its seed on any machine. */
static void test_random_is_repeatable(void **state)
{
        Random random = {.state = 1234567};

        assert_true(random_next(&random) == UINT64_C(6457827717110365317));
        assert_true(random_next(&random) == UINT64_C(3203168211198807973));
}

static void test_random_stays_below(void **state)
{
        static const uint64_t limits[] = {1, 2, 3, 10, 1000003};
        Random random = {.state = 1};

        assert_int_equal(random_below(&random, 0), 0);
        for (size_t i = 0; i < ELEMENTS(limits); i++) {
                uint64_t largest = 0;

                for (unsigned n = 0; n < SEEDS; n++) {
                        uint64_t value = random_below(&random, limits[i]);

                        assert_true(value < limits[i]);
                        largest = value > largest ? value : largest;
                }
                assert_true(largest >= limits[i] - 1 - limits[i] / 100);
        }
}

static void test_backoff_grows_to_its_cap(void **state)
{
        static const struct {
                unsigned attempt;
                uint64_t bottom;
                uint64_t top;
        } rows[] = {
                {1, SECOND, 2 * SECOND},
                {2, SECOND, 4 * SECOND},
                {5, SECOND, 32 * SECOND},
                {8, SECOND, 256 * SECOND},
                /* At the cap: a fleet neither hammers nor comes late. */
                {9, 200 * SECOND, 250 * SECOND},
                {20, 200 * SECOND, 250 * SECOND},
                {1000000, 200 * SECOND, 250 * SECOND},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                uint64_t least = USEC_INFINITY, most = 0, span = rows[i].top - rows[i].bottom;

                for (uint64_t seed = 0; seed < SEEDS; seed++) {
                        Random random = {.state = seed};
                        uint64_t wait = schedule_backoff(&random, rows[i].attempt, SECOND, 5 * MINUTE);

                        assert_in_range(wait, rows[i].bottom, rows[i].top);
                        least = wait < least ? wait : least;
                        most = wait > most ? wait : most;
                }
                /* Full jitter: a fleet uses the whole span. */
                assert_true(least < rows[i].bottom + span / 20);
                assert_true(most > rows[i].top - span / 20);
        }
}

/* Odd but valid settings: retry_max below retry_min, and the longest there are. */
static void test_backoff_of_odd_settings(void **state)
{
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
                Random random = {.state = seed};

                assert_in_range(schedule_backoff(&random, 3, MINUTE, SECOND), MINUTE, MINUTE + MINUTE / 4);
                assert_in_range(schedule_backoff(&random, 3, SECOND, SECOND), SECOND, SECOND + SECOND / 4);
                assert_true(schedule_backoff(&random, 64, USEC_INFINITY / 3, USEC_INFINITY) >= USEC_INFINITY / 3);
        }
}

static void test_wait_is_never_earlier_than_told(void **state)
{
        static const struct {
                uint64_t told;
                double spread;
                uint64_t window;
                uint64_t most;
        } rows[] = {
                {0, 0, 0, 2 * SECOND + SECOND / 10},
                {60 * SECOND, 0, 0, 120 * SECOND},
                {HOUR, 0, 0, HOUR + 5 * MINUTE},
                {60 * SECOND, 1, MINUTE, 60 * SECOND + SECOND / 4},
                {60 * SECOND, 5, MINUTE, 300 * SECOND + SECOND / 4},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++)
                for (uint64_t seed = 0; seed < SEEDS; seed++) {
                        Random random = {.state = seed};
                        uint64_t wait = schedule_wait(&random, rows[i].told, rows[i].spread, rows[i].window, SECOND);

                        assert_in_range(wait, rows[i].told > SECOND ? rows[i].told : SECOND, rows[i].most);
                }
}

static void test_interval_keeps_a_fleet_out_of_step(void **state)
{
        uint64_t sum = 0;

        for (uint64_t seed = 0; seed < SEEDS; seed++) {
                Random random = {.state = seed};
                uint64_t interval = schedule_interval(&random, 15 * MINUTE);

                assert_in_range(interval, 15 * MINUTE - 90 * SECOND, 15 * MINUTE);
                sum += interval;
        }
        assert_in_range(sum / SEEDS, 15 * MINUTE - 50 * SECOND, 15 * MINUTE - 40 * SECOND);
        assert_true(schedule_interval(&(Random){.state = 1}, SECOND) > 0);
}

static void test_rotation(void **state)
{
        static const struct {
                uint64_t obtained;
                uint64_t expires;
                bool unknown;
                double at;
                uint64_t after;
                uint64_t due;
        } rows[] = {
                {100 * HOUR, 200 * HOUR, false, 0.5, USEC_INFINITY, 150 * HOUR},
                {100 * HOUR, 200 * HOUR, false, 1.0, USEC_INFINITY, 200 * HOUR},
                {100 * HOUR, 200 * HOUR, false, 0.5, HOUR, 150 * HOUR}, /* rotate_after is for tokens without end */
                {100 * HOUR, 0, false, 0.5, USEC_INFINITY, USEC_INFINITY},
                {100 * HOUR, 0, false, 0.5, 10 * HOUR, 110 * HOUR},
                {100 * HOUR, 0, true, 0.5, USEC_INFINITY, 0},
                {100 * HOUR, 50 * HOUR, false, 0.5, USEC_INFINITY, 100 * HOUR}, /* clocks that disagree */
                {0, 100 * HOUR, false, 0.5, USEC_INFINITY, 50 * HOUR},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                const Record record = {
                        .token_obtained_at_usec = rows[i].obtained,
                        .token_expires_at_usec = rows[i].expires,
                        .expiry_unknown = rows[i].unknown,
                };

                assert_int_equal(schedule_rotation(&record, rows[i].at, rows[i].after), rows[i].due);
        }
}

static void test_proofs(void **state)
{
        static const struct {
                unsigned proofs;
                uint64_t first;
                uint64_t last;
                bool dead;
        } rows[] = {
                {0, 0, 0, false}, {1, 100 * HOUR, 100 * HOUR, false}, {2, 100 * HOUR, 101 * HOUR, false},
                {3, 100 * HOUR, 100 * HOUR + 9 * MINUTE, false}, {3, 100 * HOUR, 100 * HOUR + 10 * MINUTE, true},
                {500, 100 * HOUR, 100 * HOUR + 9 * MINUTE, false},
                {3, 100 * HOUR, 99 * HOUR, false}, /* a clock set back */
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                const Record record = {
                        .dead_proofs = rows[i].proofs,
                        .dead_first_usec = rows[i].first,
                        .dead_last_usec = rows[i].last,
                };

                assert_int_equal(schedule_proven_dead(&record, 10 * MINUTE), rows[i].dead);
        }
}

/* Asked when it says, three proofs are enough and as quick as may be; whatever the clock does, no wait is longer than
 * removed_after, and none is a loop. */
static void test_proofs_come_in_time(void **state)
{
        static const uint64_t spans[] = {SECOND, 10 * MINUTE, 7 * USEC_PER_DAY};

        for (size_t i = 0; i < ELEMENTS(spans); i++)
                for (uint64_t seed = 0; seed < SEEDS; seed++) {
                        Random random = {.state = seed};
                        uint64_t now = 1000 * HOUR;
                        Record record = {.dead_proofs = 1, .dead_first_usec = now, .dead_last_usec = now};

                        while (record.dead_proofs < 3) {
                                now += schedule_proof(&random, &record, spans[i], now);
                                record.dead_proofs++;
                                record.dead_last_usec = now;
                        }
                        assert_true(schedule_proven_dead(&record, spans[i]));
                        assert_true(now - record.dead_first_usec <= spans[i] + spans[i] / 10);

                        assert_in_range(schedule_proof(&random, &record, spans[i], now - 500 * HOUR), 1,
                                spans[i] + spans[i] / 10);
                        assert_in_range(schedule_proof(&random, &record, spans[i], now + 500 * HOUR), spans[i] / 20,
                                spans[i]);
                }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_random_is_repeatable),
                cmocka_unit_test(test_random_stays_below),
                cmocka_unit_test(test_backoff_grows_to_its_cap),
                cmocka_unit_test(test_backoff_of_odd_settings),
                cmocka_unit_test(test_wait_is_never_earlier_than_told),
                cmocka_unit_test(test_interval_keeps_a_fleet_out_of_step),
                cmocka_unit_test(test_rotation),
                cmocka_unit_test(test_proofs),
                cmocka_unit_test(test_proofs_come_in_time),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
