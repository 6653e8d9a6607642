/* Random walks through everything that can happen, from many seeds. LIFE_SEED=n walks one of them, LIFE_TRACE=1 shows
 * it. */

#include "tests/unit/life-walk.h"

#define WALKS 400

static void test_walks(void **state)
{
        const char *only = getenv("LIFE_SEED");
        static World world;
        unsigned long calls[_CALL_MAX] = {};

        if (only) {
                world_begin(&world, strtoull(only, NULL, 10));
                world_live(&world);
                return;
        }
        for (uint64_t seed = 1; seed <= WALKS; seed++) {
                world_begin(&world, seed);
                world_live(&world);
                for (size_t call = 0; call < _CALL_MAX; call++)
                        calls[call] += world.calls[call];
        }
        /* The walks come everywhere. */
        for (size_t call = 0; call < _CALL_MAX; call++)
                if (calls[call] == 0)
                        fail_msg("no walk has come to %s", call_to_string((Call)call));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_walks),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
