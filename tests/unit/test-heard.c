/* agent/core/heard: what is news, and what is announced no more. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/core/heard.h"

#define REAL (1000 * USEC_PER_DAY)

static Now at(uint64_t seconds)
{
        return (Now){.realtime_usec = REAL + seconds * USEC_PER_SEC, .boottime_usec = seconds * USEC_PER_SEC};
}

static CloudNotice notice(CloudNoticeKind kind, const char *reference, uint64_t deadline_usec)
{
        CloudNotice n = {.kind = kind, .deadline_usec = deadline_usec};

        (void)snprintf(n.reference, sizeof(n.reference), "%s", reference);
        return n;
}

static void test_news(void **state)
{
        Heard heard = {};
        CloudNotice spot = notice(CLOUD_NOTICE_PREEMPTION, "spot", REAL + 120 * USEC_PER_SEC);

        assert_true(heard_is_news(&heard, HEARD_AWS_ACTION, &spot, at(10)));
        assert_false(heard_is_news(&heard, HEARD_AWS_ACTION, &spot, at(11)));
        spot.deadline_usec += 60 * USEC_PER_SEC; /* later: no news */
        assert_false(heard_is_news(&heard, HEARD_AWS_ACTION, &spot, at(12)));
        spot.deadline_usec -= 90 * USEC_PER_SEC;
        assert_true(heard_is_news(&heard, HEARD_AWS_ACTION, &spot, at(13)));

        /* The clock is set back, and with it the deadline as it is told by it. */
        Now back = at(14);
        back.realtime_usec -= 2 * USEC_PER_HOUR;
        spot.deadline_usec -= 2 * USEC_PER_HOUR;
        assert_false(heard_is_news(&heard, HEARD_AWS_ACTION, &spot, back));
        assert_true(heard_takes_host(&heard));
}

/* One answer a second, each with the notice or without. */
static void test_cancelled(void **state)
{
        static const struct {
                const char *what;
                CloudNoticeKind kind;
                const char *answers; /* '+': it is there; '.': nothing; 'o': another source's, with nothing */
                int cancelled_at;    /* the answer that cancels it; -1: none */
        } cases[] = {
                {"it stands", CLOUD_NOTICE_PREEMPTION, "+++++++", -1},
                {"it is gone", CLOUD_NOTICE_PREEMPTION, "+....", 3},
                {"a termination that is gone", CLOUD_NOTICE_TERMINATION, "++....", 4},
                {"slips of the service", CLOUD_NOTICE_PREEMPTION, "+.+..+..+.", -1},
                {"others have nothing to tell", CLOUD_NOTICE_PREEMPTION, "+oooooo", -1},
                {"a migration that is over", CLOUD_NOTICE_MAINTENANCE, "+......", -1},
                {"a recommendation", CLOUD_NOTICE_REBALANCE, "+......", -1},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                CloudNotice it = notice(cases[i].kind, "it", REAL + USEC_PER_HOUR), gone;
                Heard heard = {};
                int cancelled_at = -1;

                for (int t = 0; cases[i].answers[t]; t++) {
                        char answer = cases[i].answers[t];
                        HeardSource source = answer == 'o' ? HEARD_AWS_LIFECYCLE : HEARD_AWS_ACTION;
                        bool there = answer == '+';
                        Now now = at((uint64_t)t);

                        bool missing = heard_count_missing(&heard, source, &it, there, now);
                        if (missing != (answer == '.' && cloud_notice_takes_host(&it) && cancelled_at < 0))
                                fail_msg("%s, answer %d: missing is %d", cases[i].what, t, missing);
                        if (heard_take_cancelled(&heard, source, now, &gone)) {
                                assert_true(cloud_notice_same(&gone, &it));
                                assert_false(heard_takes_host(&heard));
                                cancelled_at = t;
                        }
                        if (there)
                                (void)heard_is_news(&heard, source, &it, now);
                }
                if (cancelled_at != cases[i].cancelled_at)
                        fail_msg("%s: cancelled by answer %d", cases[i].what, cancelled_at);
        }
}

/* Answers that follow each other at once prove no more than one. */
static void test_cancelled_takes_its_time(void **state)
{
        CloudNotice it = notice(CLOUD_NOTICE_PREEMPTION, "it", 0), gone;
        Heard heard = {};

        assert_true(heard_is_news(&heard, HEARD_AZURE, &it, at(1)));
        for (int i = 0; i < 10; i++) {
                assert_true(heard_count_missing(&heard, HEARD_AZURE, NULL, 0, at(2)));
                assert_false(heard_take_cancelled(&heard, HEARD_AZURE, at(2), &gone));
        }
        assert_true(heard_count_missing(&heard, HEARD_AZURE, NULL, 0, at(5)));
        assert_true(heard_take_cancelled(&heard, HEARD_AZURE, at(5), &gone));
        assert_false(heard_take_cancelled(&heard, HEARD_AZURE, at(5), &gone));
        /* It comes again. */
        assert_true(heard_is_news(&heard, HEARD_AZURE, &it, at(6)));
}

static void test_several(void **state)
{
        CloudNotice list[] = {
                notice(CLOUD_NOTICE_PREEMPTION, "a", 0),
                notice(CLOUD_NOTICE_TERMINATION, "b", 0),
        };
        CloudNotice gone;
        Heard heard = {};

        for (size_t i = 0; i < 2; i++)
                assert_true(heard_is_news(&heard, HEARD_AZURE, &list[i], at(1)));
        for (uint64_t t = 2; t < 5; t++)
                assert_true(heard_count_missing(&heard, HEARD_AZURE, &list[1], 1, at(t)));
        assert_true(heard_take_cancelled(&heard, HEARD_AZURE, at(4), &gone));
        assert_string_equal(gone.reference, "a");
        assert_true(heard_takes_host(&heard));
        assert_false(heard_take_cancelled(&heard, HEARD_AZURE, at(4), &gone));
}

static void test_bound(void **state)
{
        Heard heard = {};

        for (size_t i = 0; i < 3 * HEARD_MAX; i++) {
                char reference[16];

                (void)snprintf(reference, sizeof(reference), "%zu", i);
                CloudNotice it = notice(CLOUD_NOTICE_MAINTENANCE, reference, 0);
                assert_true(heard_is_news(&heard, HEARD_AZURE, &it, at(1)));
        }
        assert_int_equal(heard.n, HEARD_MAX);
        assert_string_equal(heard.items[HEARD_MAX - 1].notice.reference, "191");
}

/* What stays where it is is no reason to leave. */
static void test_what_takes_the_host(void **state)
{
        const CloudNotice stays = {.kind = CLOUD_NOTICE_MAINTENANCE}, goes = {.kind = CLOUD_NOTICE_TERMINATION};
        Heard heard = {};

        assert_true(heard_is_news(&heard, HEARD_AZURE, &stays, at(1)));
        assert_false(heard_takes_host(&heard));
        assert_true(heard_is_news(&heard, HEARD_AZURE, &goes, at(2)));
        assert_true(heard_takes_host(&heard));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_news),
                cmocka_unit_test(test_cancelled),
                cmocka_unit_test(test_cancelled_takes_its_time),
                cmocka_unit_test(test_several),
                cmocka_unit_test(test_bound),
                cmocka_unit_test(test_what_takes_the_host),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
