/* agent/core/exit-code: what scripts get to see of one answer, and of several runners' outcomes. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/base/cleanup.h"
#include "agent/core/exit-code.h"
#include "agent/core/verdict.h"

static void test_worse(void **state)
{
        /* From good to bad; each wins over those before it. */
        static const int order[] = {0, 1, 75, 77, 78};

        for (size_t i = 0; i < ELEMENTS(order); i++)
                for (size_t k = 0; k < ELEMENTS(order); k++) {
                        size_t worse = i > k ? i : k;

                        assert_int_equal(exit_code_worse(order[i], order[k]), order[worse]);
                }
        /* What nobody knows is a failure. */
        assert_int_equal(exit_code_worse(3, 0), 3);
        assert_int_equal(exit_code_worse(3, 75), 75);
}

static void test_of_a_judgement(void **state)
{
        static const struct {
                Verdict verdict;
                bool refused_by_net;
                int code;
        } rows[] = {
                {VERDICT_ALIVE, false, 0},
                {VERDICT_DEAD, false, 77},
                {VERDICT_PERMANENT, false, 77},
                {VERDICT_PERMANENT, true, 1},
                {VERDICT_AMBIGUOUS, false, 75},
                {VERDICT_WAIT, false, 75},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                const Judgement judgement = {.verdict = rows[i].verdict, .refused_by_net = rows[i].refused_by_net};

                assert_int_equal(judgement_code(&judgement), rows[i].code);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_worse),
                cmocka_unit_test(test_of_a_judgement),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
