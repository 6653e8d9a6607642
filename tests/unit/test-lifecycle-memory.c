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

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_walks_without_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
