/* The same walks with memory that runs out in the middle of a step: it costs time or a lost answer, never the runner.
 */

#include "tests/unit/failing-memory.h"
#include "tests/unit/life-walk.h"

#define WALKS 150

static void before_step(World *w)
{
        if (!w->calm && chance(w, 20))
                memory_left = 1 + (unsigned)random_below(&w->random, 12);
}

static void after_step(World *w)
{
        memory_left = 0;
}

static void test_walks_without_memory(void **state)
{
        const char *only = getenv("LIFE_SEED");
        static World world;

        for (uint64_t seed = only ? strtoull(only, NULL, 10) : 1; seed <= (only ? 0 : WALKS) || only; seed++) {
                world_begin(&world, seed);
                world.before_step = before_step;
                world.after_step = after_step;
                world_live(&world);
                if (only)
                        break;
        }
        if (!only)
                assert_true(memory_failures > WALKS);
}

/* A withdrawal is noted whole or not at all: a debt without the entry that is to go would leave that standing for
 * ever.
 */
static void test_withdraws_with_its_entry_or_not_at_all(void **state)
{
        static const Line deregister = {COMMAND(DEREGISTER), WAIT};
        unsigned refused = 0;

        bool failed = true;

        for (unsigned n = 1; failed; n++) {
                Record *record = life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a");
                Life life;

                life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
                life_learn(&life, "tok-a");
                PLAY(&life, {START, WRITE}, {DONE, WAIT});
                memory_failures = 0;
                memory_left = n;
                life.deaf = true;
                (void)life_step(&life, &deregister);
                memory_left = 0;
                failed = memory_failures > 0;
                assert_int_equal(record->n_leftovers, record->n_debts);
                life_check_token(&life, record->n_debts > 0 ? NULL : "tok-a");
                refused += record->n_debts == 0;
                life_end(&life);
        }
        assert_true(refused > 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_walks_without_memory),
                cmocka_unit_test(test_withdraws_with_its_entry_or_not_at_all),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
