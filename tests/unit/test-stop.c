/* The stop table, every cell of it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "agent/core/stop.h"

#include "agent/base/cleanup.h"

/* What a cell says: W withdraw, H hand back, - neither. */
typedef struct Row {
        StopReason reason;
        Drain drain;
        bool one_try;
        const char *cells; /* deregister_on = stop, always, poweroff, never */
} Row;

static const Row rows[] = {
        {STOP_RESTART, DRAIN_NO, false, "-W--"},
        {STOP_SOFT_REBOOT, DRAIN_NO, false, "-W--"},
        {STOP_UNKNOWN, DRAIN_NO, false, "-W--"},
        {STOP_REBOOT, DRAIN_BOUNDED, false, "-W--"},
        {STOP_KEXEC, DRAIN_BOUNDED, false, "-W--"},
        {STOP_SERVICE, DRAIN_NO, false, "WWHH"},
        {STOP_SIGNAL, DRAIN_NO, false, "WWHH"},
        {STOP_COMMAND, DRAIN_ASKED, false, "WWWW"},
        {STOP_POWEROFF, DRAIN_BOUNDED, false, "WWWH"},
        {STOP_HALT, DRAIN_BOUNDED, false, "WWWH"},
        {STOP_TERMINATE, DRAIN_HOOK, false, "WWWW"},
        {STOP_PREEMPTION, DRAIN_DEADLINE, true, "WWWW"},
};

static void test_every_cell(void **state)
{
        static const DeregisterOn columns[] = {
                DEREGISTER_ON_STOP, DEREGISTER_ON_ALWAYS, DEREGISTER_ON_POWEROFF, DEREGISTER_ON_NEVER};
        bool seen[_STOP_REASON_MAX] = {};

        assert_int_equal(ELEMENTS(columns), _DEREGISTER_ON_MAX);
        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                seen[rows[i].reason] = true;
                for (size_t column = 0; column < ELEMENTS(columns); column++) {
                        StopPlan plan = stop_plan(rows[i].reason, columns[column]);
                        char cell = plan.withdraw ? 'W' : plan.hand_back ? 'H' : '-';

                        assert_false(plan.withdraw && plan.hand_back);
                        if (cell != rows[i].cells[column] || plan.drain != rows[i].drain ||
                                plan.one_try != rows[i].one_try)
                                fail_msg("%s, column %zu: %c", stop_reason_to_string(rows[i].reason), column, cell);
                }
        }
        for (StopReason reason = 0; reason < _STOP_REASON_MAX; reason++)
                assert_true(seen[reason]);
}

static void test_every_reason_has_a_name(void **state)
{
        for (StopReason reason = 0; reason < _STOP_REASON_MAX; reason++)
                for (StopReason other = 0; other < reason; other++)
                        assert_string_not_equal(stop_reason_to_string(reason), stop_reason_to_string(other));
        assert_string_equal(stop_reason_to_string(_STOP_REASON_INVALID), "unknown");
}

/* What is no reason at all touches nothing. */
static void test_no_reason_does_nothing(void **state)
{
        StopPlan plan = stop_plan(_STOP_REASON_INVALID, DEREGISTER_ON_ALWAYS);

        assert_false(plan.withdraw || plan.hand_back);
        assert_int_equal(plan.drain, DRAIN_NO);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_cell),
                cmocka_unit_test(test_every_reason_has_a_name),
                cmocka_unit_test(test_no_reason_does_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
