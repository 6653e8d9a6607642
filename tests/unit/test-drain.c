/* drain: conversations with systemd on a clock of ours, and budgets as a table. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/base/cleanup.h"
#include "agent/core/drain.h"

#define S     USEC_PER_SEC
#define NEVER USEC_INFINITY

static void test_budget(void **state)
{
        static const struct {
                const char *what;
                uint64_t limit, deadline, withdraw; /* the deadline counts from now */
                uint64_t cut, end;
        } cases[] = {
                {"reboot, drain_timeout", 600 * S, NEVER, 30 * S, 600 * S, 640 * S},
                {"deregister --drain --timeout 25min", NEVER, 1500 * S, 30 * S, 1430 * S, 1470 * S},
                {"spot, two minutes", NEVER, 120 * S, 30 * S, 67500 * USEC_PER_MSEC, 90 * S},
                {"preempted, 30 seconds", NEVER, 30 * S, 30 * S, 15 * S, 20 * S},
                {"a hook of 15 minutes, drain_timeout does not count", NEVER, 900 * S, 30 * S, 830 * S, 870 * S},
                {"as long as the hook allows", NEVER, NEVER, 30 * S, NEVER, NEVER},
                {"limit before the deadline", 60 * S, 900 * S, 30 * S, 60 * S, 100 * S},
                {"deadline now", NEVER, 0, 30 * S, 0, 0},
                {"three seconds", 600 * S, 3 * S, 30 * S, 1500 * USEC_PER_MSEC, 2 * S},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                for (uint64_t now = 1; now < 10000000 * S; now *= 1000) {
                        uint64_t deadline = cases[i].deadline == NEVER ? NEVER : now + cases[i].deadline;
                        DrainTimes times = drain_budget(now, cases[i].limit, deadline, cases[i].withdraw);

                        if (times.cut_usec != usec_add(now, cases[i].cut) ||
                                times.end_usec != usec_add(now, cases[i].end))
                                fail_msg("%s: cut %llu, end %llu", cases[i].what,
                                        (unsigned long long)(times.cut_usec - now),
                                        (unsigned long long)(times.end_usec - now));
                }
        /* A deadline that is past leaves no time, and wraps nothing. */
        DrainTimes times = drain_budget(100 * S, 600 * S, 50 * S, 30 * S);
        assert_int_equal(times.cut_usec, 100 * S);
        assert_int_equal(times.end_usec, 100 * S);
}

static void test_withdraw_until(void **state)
{
        assert_int_equal(drain_withdraw_until(100 * S, NEVER, 30 * S), 130 * S);
        assert_int_equal(drain_withdraw_until(100 * S, 120 * S, 30 * S), 119 * S);
        assert_int_equal(drain_withdraw_until(100 * S, 200 * S, 30 * S), 130 * S);
        /* Too late already: one short try all the same. */
        assert_int_equal(drain_withdraw_until(100 * S, 50 * S, 30 * S), 103 * S);
        assert_int_equal(drain_withdraw_until(100 * S, 101 * S, 30 * S), 103 * S);
}

static void test_units(void **state)
{
        static const struct {
                const char *load, *active;
                uint32_t pid;
                DrainUnit unit;
        } cases[] = {
                {"loaded", "active", 7, DRAIN_UNIT_RUNNING},
                {"loaded", "activating", 7, DRAIN_UNIT_RUNNING},
                {"loaded", "reloading", 7, DRAIN_UNIT_RUNNING},
                {"loaded", "activating", 0, DRAIN_UNIT_WAITING}, /* Restart=always, RestartSec=120 */
                {"loaded", "deactivating", 7, DRAIN_UNIT_ENDING},
                {"loaded", "deactivating", 0, DRAIN_UNIT_ENDING},
                {"loaded", "inactive", 0, DRAIN_UNIT_STOPPED},
                {"loaded", "failed", 0, DRAIN_UNIT_STOPPED},
                {"masked", "inactive", 0, DRAIN_UNIT_STOPPED},
                {"not-found", "inactive", 0, DRAIN_UNIT_ABSENT},
                {"not-found", "active", 7, DRAIN_UNIT_RUNNING}, /* its file was removed while it runs */
                {"bad-setting", "inactive", 0, DRAIN_UNIT_ABSENT},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                if (drain_unit_from_states(cases[i].load, cases[i].active, cases[i].pid) != cases[i].unit)
                        fail_msg("%s %s %u", cases[i].load, cases[i].active, cases[i].pid);
}

typedef struct Turn {
        uint64_t at; /* seconds since it began */
        DrainUnit unit;
        uint32_t pid;
        DrainAction action;
        uint64_t until;       /* of WAIT, likewise; NEVER: until the unit changes */
        DrainOutcome outcome; /* of END */
} Turn;

#define TURNS_MAX 12

/* Jobs are cut at 600 s, nobody is waited for after 640 s. */
static const struct Conversation {
        const char *what;
        Turn turns[TURNS_MAX];
        size_t n;
} conversations[] = {
        {"the last job ends, Restart= would bring it back",
                {
                        {0, DRAIN_UNIT_UNKNOWN, 0, DRAIN_ACTION_WAIT, 3},
                        {1, DRAIN_UNIT_RUNNING, 7, DRAIN_ACTION_QUIT},
                        {1, DRAIN_UNIT_RUNNING, 7, DRAIN_ACTION_WAIT, 600},
                        {300, DRAIN_UNIT_WAITING, 0, DRAIN_ACTION_STOP_UNIT},
                        {300, DRAIN_UNIT_WAITING, 0, DRAIN_ACTION_WAIT, 640},
                        {301, DRAIN_UNIT_STOPPED, 0, DRAIN_ACTION_END, .outcome = DRAIN_OUTCOME_DRAINED},
                },
                6},
        {"jobs are cut",
                {
                        {0, DRAIN_UNIT_RUNNING, 7, DRAIN_ACTION_QUIT},
                        {0, DRAIN_UNIT_RUNNING, 7, DRAIN_ACTION_WAIT, 600},
                        {600, DRAIN_UNIT_RUNNING, 7, DRAIN_ACTION_TERMINATE},
                        {600, DRAIN_UNIT_RUNNING, 7, DRAIN_ACTION_WAIT, 640},
                        {610, DRAIN_UNIT_WAITING, 0, DRAIN_ACTION_STOP_UNIT},
                        {610, DRAIN_UNIT_STOPPED, 0, DRAIN_ACTION_END, .outcome = DRAIN_OUTCOME_CUT},
                },
                6},
        {"it hangs: one SIGTERM and no more",
                {
                        {0, DRAIN_UNIT_RUNNING, 7, DRAIN_ACTION_QUIT},
                        {600, DRAIN_UNIT_RUNNING, 7, DRAIN_ACTION_TERMINATE},
                        {620, DRAIN_UNIT_RUNNING, 7, DRAIN_ACTION_WAIT, 640},
                        {640, DRAIN_UNIT_RUNNING, 7, DRAIN_ACTION_END, .outcome = DRAIN_OUTCOME_LEFT},
                },
                4},
        {"nothing runs", {{0, DRAIN_UNIT_STOPPED, 0, DRAIN_ACTION_END, .outcome = DRAIN_OUTCOME_NOT_RUNNING}}, 1},
        {"between two starts",
                {
                        {0, DRAIN_UNIT_WAITING, 0, DRAIN_ACTION_STOP_UNIT},
                        {0, DRAIN_UNIT_STOPPED, 0, DRAIN_ACTION_END, .outcome = DRAIN_OUTCOME_NOT_RUNNING},
                },
                2},
        {"poweroff: systemd stops it, we only cut",
                {
                        {0, DRAIN_UNIT_ENDING, 7, DRAIN_ACTION_WAIT, 600},
                        {600, DRAIN_UNIT_ENDING, 7, DRAIN_ACTION_TERMINATE},
                        {600, DRAIN_UNIT_ENDING, 7, DRAIN_ACTION_WAIT, 640},
                        {605, DRAIN_UNIT_STOPPED, 0, DRAIN_ACTION_END, .outcome = DRAIN_OUTCOME_CUT},
                },
                4},
        {"poweroff: its jobs end in time",
                {
                        {0, DRAIN_UNIT_ENDING, 7, DRAIN_ACTION_WAIT, 600},
                        {20, DRAIN_UNIT_STOPPED, 0, DRAIN_ACTION_END, .outcome = DRAIN_OUTCOME_DRAINED},
                },
                2},
        {"poweroff: what is left in its group is not signalled by us",
                {
                        {0, DRAIN_UNIT_ENDING, 0, DRAIN_ACTION_WAIT, 640},
                        {601, DRAIN_UNIT_ENDING, 0, DRAIN_ACTION_WAIT, 640},
                        {640, DRAIN_UNIT_ENDING, 0, DRAIN_ACTION_END, .outcome = DRAIN_OUTCOME_LEFT},
                },
                3},
        {"somebody starts it again: the new one is told, too",
                {
                        {0, DRAIN_UNIT_RUNNING, 7, DRAIN_ACTION_QUIT},
                        {5, DRAIN_UNIT_RUNNING, 8, DRAIN_ACTION_QUIT},
                        {5, DRAIN_UNIT_RUNNING, 8, DRAIN_ACTION_WAIT, 600},
                        {600, DRAIN_UNIT_RUNNING, 8, DRAIN_ACTION_TERMINATE},
                },
                4},
        {"no systemd", {{0, DRAIN_UNIT_ABSENT, 0, DRAIN_ACTION_END, .outcome = DRAIN_OUTCOME_IMPOSSIBLE}}, 1},
        {"systemd does not answer",
                {
                        {0, DRAIN_UNIT_UNKNOWN, 0, DRAIN_ACTION_WAIT, 3},
                        {3, DRAIN_UNIT_UNKNOWN, 0, DRAIN_ACTION_END, .outcome = DRAIN_OUTCOME_IMPOSSIBLE},
                },
                2},
        {"the bus goes in the middle of it, and does not come back",
                {
                        {0, DRAIN_UNIT_RUNNING, 7, DRAIN_ACTION_QUIT},
                        {9, DRAIN_UNIT_UNKNOWN, 0, DRAIN_ACTION_WAIT, 640},
                        {10, DRAIN_UNIT_ABSENT, 0, DRAIN_ACTION_WAIT, 640},
                        {640, DRAIN_UNIT_ABSENT, 0, DRAIN_ACTION_END, .outcome = DRAIN_OUTCOME_LEFT},
                },
                4},
        {"no time at all: no new jobs, and jobs are aborted",
                {
                        {700, DRAIN_UNIT_RUNNING, 7, DRAIN_ACTION_QUIT},
                        {700, DRAIN_UNIT_RUNNING, 7, DRAIN_ACTION_TERMINATE},
                        {700, DRAIN_UNIT_RUNNING, 7, DRAIN_ACTION_END, .outcome = DRAIN_OUTCOME_LEFT},
                },
                3},
};

static void test_conversations(void **state)
{
        const uint64_t begin = 5000 * S;

        for (size_t i = 0; i < ELEMENTS(conversations); i++) {
                DrainProgress progress = {.times = {.cut_usec = begin + 600 * S, .end_usec = begin + 640 * S}};

                for (size_t k = 0; k < conversations[i].n; k++) {
                        const Turn *turn = &conversations[i].turns[k];
                        DrainOutcome outcome = _DRAIN_OUTCOME_MAX;
                        uint64_t until = 0;
                        DrainAction action =
                                drain_step(&progress, turn->unit, turn->pid, begin + turn->at * S, &until, &outcome);

                        if (action != turn->action ||
                                (action == DRAIN_ACTION_WAIT && until != begin + turn->until * S) ||
                                (action == DRAIN_ACTION_END && outcome != turn->outcome))
                                fail_msg("%s, turn %zu: action %d, until %llu, outcome %s", conversations[i].what, k,
                                        (int)action, (unsigned long long)((until - begin) / S),
                                        drain_outcome_to_string(outcome));
                }
        }
}

/* Whatever systemd tells, the end comes at the end, and nobody gets a second SIGTERM. */
static void test_always_ends(void **state)
{
        uint32_t seed = 1;

        for (int round = 0; round < 20000; round++) {
                DrainProgress progress = {.times = {.cut_usec = 60 * S, .end_usec = 100 * S}};
                DrainOutcome outcome;
                uint64_t now = 0, until;
                int terminated = 0, n = 0;

                for (;; n++) {
                        seed = seed * 1103515245 + 12345;
                        DrainUnit unit = (DrainUnit)((seed >> 16) % _DRAIN_UNIT_MAX);
                        uint32_t pid = unit == DRAIN_UNIT_RUNNING || unit == DRAIN_UNIT_ENDING ? 7 : 0;
                        DrainAction action = drain_step(&progress, unit, pid, now, &until, &outcome);

                        if (action == DRAIN_ACTION_END)
                                break;
                        terminated += action == DRAIN_ACTION_TERMINATE;
                        if (action == DRAIN_ACTION_WAIT)
                                now = (seed >> 8) % 2 ? until : now + S;
                        assert_true(now <= 101 * S);
                        assert_true(n < 1000);
                }
                assert_true(terminated <= 1);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_budget),
                cmocka_unit_test(test_withdraw_until),
                cmocka_unit_test(test_units),
                cmocka_unit_test(test_conversations),
                cmocka_unit_test(test_always_ends),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
