/* What the cloud's notice makes of an agent whose runners are withdrawn. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/base/cleanup.h"
#include "agent/core/claim.h"

static void test_what_the_cloud_says(void **state)
{
        static const struct {
                Claim before, made, stays, cancelled, told;
        } rows[] = {
                {CLAIM_NONE, CLAIM_MADE, CLAIM_NONE, CLAIM_NONE, CLAIM_NONE},
                {CLAIM_MADE, CLAIM_MADE, CLAIM_NONE, CLAIM_RELEASED, CLAIM_MADE},
                /* Who was told that the host may go takes it. */
                {CLAIM_TELLING, CLAIM_TELLING, CLAIM_NONE, CLAIM_TELLING, CLAIM_TOLD},
                {CLAIM_TOLD, CLAIM_TOLD, CLAIM_NONE, CLAIM_TOLD, CLAIM_TOLD},
                {CLAIM_RELEASED, CLAIM_MADE, CLAIM_NONE, CLAIM_RELEASED, CLAIM_RELEASED},
                /* The agent that begins anew hears of a notice that stands then. */
                {CLAIM_RETURNING, CLAIM_RETURNING, CLAIM_NONE, CLAIM_RETURNING, CLAIM_RETURNING},
        };

        assert_int_equal(ELEMENTS(rows), _CLAIM_MAX);
        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Claim made = rows[i].before, stays = made, cancelled = made, told = made;

                claim_make(&made);
                claim_cancel(&stays, true);
                claim_cancel(&cancelled, false);
                claim_told(&told);
                assert_int_equal(made, rows[i].made);
                assert_int_equal(stays, rows[i].stays);
                assert_int_equal(cancelled, rows[i].cancelled);
                assert_int_equal(told, rows[i].told);
        }
}

static void test_all_is_withdrawn(void **state)
{
        static const struct {
                Claim before;
                bool may_exit, can_tell;
                ClaimAction action;
                Claim after;
        } rows[] = {
                {CLAIM_NONE, false, false, CLAIM_STAY, CLAIM_NONE},
                {CLAIM_NONE, true, false, CLAIM_EXIT, CLAIM_NONE},
                {CLAIM_NONE, true, true, CLAIM_EXIT, CLAIM_NONE},
                {CLAIM_MADE, false, false, CLAIM_STAY, CLAIM_MADE},
                {CLAIM_MADE, true, false, CLAIM_EXIT, CLAIM_MADE},
                {CLAIM_MADE, false, true, CLAIM_TELL, CLAIM_TELLING},
                {CLAIM_MADE, true, true, CLAIM_TELL, CLAIM_TELLING},
                {CLAIM_TELLING, false, true, CLAIM_STAY, CLAIM_TELLING},
                {CLAIM_TELLING, true, true, CLAIM_STAY, CLAIM_TELLING},
                {CLAIM_TOLD, false, true, CLAIM_STAY, CLAIM_TOLD},
                {CLAIM_TOLD, true, true, CLAIM_EXIT, CLAIM_TOLD},
                {CLAIM_RELEASED, false, true, CLAIM_UNDO, CLAIM_RETURNING},
                {CLAIM_RELEASED, true, true, CLAIM_EXIT, CLAIM_RELEASED},
                {CLAIM_RETURNING, false, true, CLAIM_STAY, CLAIM_RETURNING},
                {CLAIM_RETURNING, true, true, CLAIM_EXIT, CLAIM_RETURNING},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Claim claim = rows[i].before;

                if (claim_withdrawn(&claim, rows[i].may_exit, rows[i].can_tell) != rows[i].action ||
                        claim != rows[i].after)
                        fail_msg("row %zu", i);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_the_cloud_says),
                cmocka_unit_test(test_all_is_withdrawn),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
