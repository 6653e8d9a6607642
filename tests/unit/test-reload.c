/* What a reload makes of a runner, every case of it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "agent/core/reload.h"

#include "agent/base/cleanup.h"

#define A "https://gitlab.example.com"
#define B "https://other.example.com"

static void test_decide(void **state)
{
        static const struct {
                const char *running;
                bool configured;
                bool ending;
                const char *next;
                ReloadAction action;
        } rows[] = {
                {NULL, false, false, A, RELOAD_ADD},
                {NULL, false, false, NULL, RELOAD_KEEP},
                {A, true, false, A, RELOAD_CONFIGURE},
                /* As gitlab-runner compares urls. */
                {A, true, false, A "/", RELOAD_CONFIGURE},
                {A, true, false, B, RELOAD_REPLACE},
                {A, true, false, NULL, RELOAD_WITHDRAW},
                /* What only a debt keeps listed stays so, and is taken up again. */
                {A, false, false, NULL, RELOAD_KEEP},
                {A, false, false, A, RELOAD_CONFIGURE},
                {A, false, false, B, RELOAD_REPLACE},
                /* What an earlier reload has told to end does so, and begins anew as it is configured now, or not at
                 * all. */
                {A, true, true, A, RELOAD_REPLACE},
                {A, true, true, B, RELOAD_REPLACE},
                {A, true, true, NULL, RELOAD_WITHDRAW},
                {A, false, true, A, RELOAD_REPLACE},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                ReloadAction action =
                        reload_decide(rows[i].running, rows[i].configured, rows[i].ending, rows[i].next);

                if (action != rows[i].action)
                        fail_msg("row %zu: %d", i, (int)action);
        }
}

static void test_follow(void **state)
{
        assert_int_equal(reload_follow(true, true), RELOAD_FOLLOW_BEGIN);
        assert_int_equal(reload_follow(true, false), RELOAD_FOLLOW_BEGIN);
        assert_int_equal(reload_follow(false, true), RELOAD_FOLLOW_REMEMBER);
        assert_int_equal(reload_follow(false, false), RELOAD_FOLLOW_FORGET);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_decide),
                cmocka_unit_test(test_follow),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
