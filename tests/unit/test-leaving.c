/* What comes after what on the way out: every stop reason, and the cloud's notices before, between and after. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "agent/core/leaving.h"

#include "agent/base/cleanup.h"

#define NOW   (1000 * USEC_PER_SEC)
#define QUICK (900 * USEC_PER_MSEC)

static const LeavingLimits limits = {
        .deregister_on = DEREGISTER_ON_STOP,
        .drain_timeout_usec = 600 * USEC_PER_SEC,
        .stop_timeout_usec = 30 * USEC_PER_SEC,
};

static Leaving fresh(void)
{
        return (Leaving){.deadline_usec = USEC_INFINITY};
}

static uint64_t at(uint64_t seconds)
{
        return seconds == UINT64_MAX ? USEC_INFINITY : NOW + seconds * USEC_PER_SEC;
}

static void test_signal(void **state)
{
        static const struct {
                StopReason reason;
                LeavingAction action;
                uint64_t cut, end; /* seconds from now, of the drain */
                bool withdraw;
        } rows[] = {
                {STOP_RESTART, LEAVING_WITHDRAW, 0, 0, false},
                {STOP_SERVICE, LEAVING_WITHDRAW, 0, 0, true},
                {STOP_SIGNAL, LEAVING_WITHDRAW, 0, 0, true},
                {STOP_UNKNOWN, LEAVING_WITHDRAW, 0, 0, false},
                {STOP_REBOOT, LEAVING_DRAIN, 600, 640, false},
                {STOP_POWEROFF, LEAVING_DRAIN, 600, 640, true},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Leaving l = fresh();
                LeavingStep step = leaving_by_signal(&l);

                assert_int_equal(step.action, LEAVING_ASK);
                assert_true(l.begun && l.told && !l.withdrawing);
                /* Said twice it changes nothing. */
                assert_int_equal(leaving_by_signal(&l).action, LEAVING_KEEP);

                step = leaving_for(&l, rows[i].reason, &limits, NOW);
                if (step.action != rows[i].action)
                        fail_msg("%s: %d", stop_reason_to_string(rows[i].reason), (int)step.action);
                if (step.action == LEAVING_DRAIN) {
                        assert_int_equal(step.drain.cut_usec, at(rows[i].cut));
                        assert_int_equal(step.drain.end_usec, at(rows[i].end));
                        step = leaving_drained(&l, &limits, NOW);
                }
                assert_int_equal(step.action, LEAVING_WITHDRAW);
                assert_int_equal(step.plan.withdraw, rows[i].withdraw);
                /* What withdraws nothing takes no longer than what must not be cut. */
                assert_int_equal(step.deadline_usec, rows[i].withdraw ? at(30) : NOW + QUICK);
                assert_true(l.withdrawing);
        }
}

static void test_notice(void **state)
{
        static const struct {
                StopReason reason;
                uint64_t deadline; /* seconds from now; UINT64_MAX: when we say so; 0: not known */
                uint64_t cut, end, until;
        } rows[] = {
                /* Two minutes, and half a minute of them for the withdrawal, a quarter of the rest to abort jobs. */
                {STOP_PREEMPTION, 120, 67, 90, 119},
                /* Of a short notice a third is kept for the withdrawal, and a quarter of the rest to abort jobs. */
                {STOP_PREEMPTION, 24, 12, 16, 23},
                {STOP_TERMINATE, UINT64_MAX, UINT64_MAX, UINT64_MAX, 30 + 90},
                {STOP_TERMINATE, 0, 600, 640, 30 + 90},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Leaving l = fresh();
                uint64_t deadline = rows[i].deadline ? at(rows[i].deadline) : 0;
                LeavingStep step = leaving_by_notice(&l, rows[i].reason, deadline, &limits, NOW);

                assert_int_equal(step.action, LEAVING_DRAIN);
                if (step.drain.cut_usec / USEC_PER_SEC != at(rows[i].cut) / USEC_PER_SEC ||
                        step.drain.end_usec != at(rows[i].end))
                        fail_msg("row %zu: cut %ld, end %ld", i, (long)(step.drain.cut_usec - NOW),
                                (long)(step.drain.end_usec - NOW));
                assert_false(l.told);
                uint64_t later = rows[i].deadline == 24 ? at(16) : at(90);
                step = leaving_drained(&l, &limits, later);
                assert_int_equal(step.action, LEAVING_WITHDRAW);
                assert_true(step.plan.withdraw);
                assert_int_equal(step.plan.one_try, rows[i].reason == STOP_PREEMPTION);
                if (step.deadline_usec != at(rows[i].until))
                        fail_msg("row %zu: until %ld", i, (long)(step.deadline_usec - NOW));
        }
}

/* Two reasons to go meet. */
static void test_meetings(void **state)
{
        Leaving l = fresh();

        /* A notice while the machine is still being asked why: the answer does not matter any more. */
        (void)leaving_by_signal(&l);
        LeavingStep step = leaving_by_notice(&l, STOP_TERMINATE, at(300), &limits, NOW);
        assert_int_equal(step.action, LEAVING_DRAIN);
        assert_int_equal(l.reason, STOP_TERMINATE);
        assert_false(l.asking);

        /* A preemption during that: nearer, and there is one try. A later deadline moves nothing. */
        step = leaving_by_notice(&l, STOP_PREEMPTION, at(100), &limits, NOW);
        assert_int_equal(step.action, LEAVING_DRAIN);
        assert_int_equal(l.reason, STOP_PREEMPTION);
        step = leaving_by_notice(&l, STOP_TERMINATE, at(900), &limits, NOW);
        assert_int_equal(l.reason, STOP_PREEMPTION);
        assert_int_equal(l.deadline_usec, at(100));
        assert_int_equal(step.drain.end_usec, at(70));

        /* Once the withdrawal has begun, nobody begins anew. */
        (void)leaving_drained(&l, &limits, NOW);
        assert_int_equal(leaving_by_notice(&l, STOP_PREEMPTION, at(50), &limits, NOW).action, LEAVING_KEEP);
        assert_int_equal(leaving_by_signal(&l).action, LEAVING_KEEP);

        /* The notice came first: a signal makes the process end, no less. */
        l = fresh();
        (void)leaving_by_notice(&l, STOP_TERMINATE, USEC_INFINITY, &limits, NOW);
        assert_int_equal(leaving_by_signal(&l).action, LEAVING_KEEP);
        assert_true(l.told);
        assert_int_equal(l.reason, STOP_TERMINATE);

        /* A deadline that nobody knows bounds the drain of one that we alone would bound; any other says more. */
        (void)leaving_by_notice(&l, STOP_TERMINATE, 0, &limits, NOW);
        assert_int_equal(l.deadline_usec, 0);
        step = leaving_by_notice(&l, STOP_TERMINATE, at(200), &limits, NOW);
        assert_int_equal(l.deadline_usec, at(200));
}

/* The deadline is past: one short try all the same. */
static void test_too_late(void **state)
{
        Leaving l = fresh();
        LeavingStep step = leaving_by_notice(&l, STOP_PREEMPTION, NOW - USEC_PER_SEC, &limits, NOW);

        assert_int_equal(step.action, LEAVING_DRAIN);
        assert_true(step.drain.end_usec <= NOW);
        step = leaving_drained(&l, &limits, NOW);
        assert_int_equal(step.deadline_usec, at(3));
}

static void test_cancelled(void **state)
{
        Leaving l = fresh();

        assert_false(leaving_by_cancel(&l));
        (void)leaving_by_notice(&l, STOP_PREEMPTION, at(60), &limits, NOW);
        assert_true(leaving_by_cancel(&l));
        assert_true(!l.begun && !l.withdrawing && l.deadline_usec == USEC_INFINITY);
        /* What comes after that knows nothing of it. */
        LeavingStep step = leaving_by_notice(&l, STOP_TERMINATE, USEC_INFINITY, &limits, NOW);
        assert_int_equal(step.action, LEAVING_DRAIN);
        assert_int_equal(l.reason, STOP_TERMINATE);

        /* Somebody else stops us, too. */
        (void)leaving_by_signal(&l);
        assert_false(leaving_by_cancel(&l));
        assert_true(l.begun);

        /* The withdrawal has begun. */
        l = fresh();
        (void)leaving_by_notice(&l, STOP_PREEMPTION, at(60), &limits, NOW);
        (void)leaving_drained(&l, &limits, NOW);
        assert_false(leaving_by_cancel(&l));
        assert_true(l.withdrawing);
}

static void test_command(void **state)
{
        DrainTimes times = leaving_command_drain(USEC_INFINITY, &limits, NOW);

        assert_int_equal(times.cut_usec, at(600));
        times = leaving_command_drain(120 * USEC_PER_SEC, &limits, NOW);
        assert_int_equal(times.end_usec, at(90));
        assert_true(times.cut_usec < times.end_usec);
}

/* A deadline that nobody knows, and one that we set, in either order: nobody knows. */
static void test_unknown_deadlines(void **state)
{
        static const struct {
                uint64_t first;
                uint64_t second;
                uint64_t result;
        } cases[] = {{0, USEC_INFINITY, 0}, {USEC_INFINITY, 0, 0}, {0, 9, 9}, {9, 0, 9}, {9, 8, 8},
                {USEC_INFINITY, USEC_INFINITY, USEC_INFINITY}};
        const LeavingLimits short_limits = {.drain_timeout_usec = 1, .stop_timeout_usec = 1};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Leaving leaving = {.deadline_usec = USEC_INFINITY};

                (void)leaving_by_notice(&leaving, STOP_PREEMPTION, cases[i].first, &short_limits, 1);
                (void)leaving_by_notice(&leaving, STOP_PREEMPTION, cases[i].second, &short_limits, 1);
                if (leaving.deadline_usec != cases[i].result)
                        fail_msg("%zu: %llu", i, (unsigned long long)leaving.deadline_usec);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_signal),
                cmocka_unit_test(test_notice),
                cmocka_unit_test(test_meetings),
                cmocka_unit_test(test_too_late),
                cmocka_unit_test(test_cancelled),
                cmocka_unit_test(test_command),
                cmocka_unit_test(test_unknown_deadlines),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
