/* agent/core/wait: every way to be told to wait, and by which clock GitLab goes. */

#include "tests/unit/judge.h"

static void test_throttled(void **state)
{
        static const struct {
                const char *type;
                const char *body;
                const char *message;
        } bodies[] = {
                {TEXT, "Retry later\n", "Retry later"},
                {TEXT, "Slow down,\n\x1b[31mfriend", "Slow down, [31mfriend"},
                {JSON, "{\"message\":\"Executing database migrations. Please retry later.\"}",
                        "Executing database migrations. Please retry later."},
                {JSON,
                        "{\"message\":{\"error\":\"This endpoint has been requested too many times. Try again "
                        "later.\"}}",
                        "This endpoint has been requested too many times. Try again later."},
                {HTML, PAGE, "the answer is HTTP 429 with a body that is not GitLab's"},
        };

        for (Call call = 0; call < _CALL_MAX; call++)
                for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
                        Judgement j;

                        judge_status(call, 429, bodies[i].type, bodies[i].body, &j);
                        assert_int_equal(j.verdict, VERDICT_WAIT);
                        assert_int_equal(flags_of(&j), 0);
                        assert_string_equal(j.message, bodies[i].message);
                        assert_int_equal(j.wait_usec, 0);
                        assert_true(j.spread == 0);
                        judgement_done(&j);
                }
}

typedef struct WaitRow {
        const char *retry_after;
        const char *reset_time;
        const char *date;
        uint64_t expected_sec;
} WaitRow;

static void test_waits(void **state)
{
        static const WaitRow rows[] = {
                {"60", NULL, NULL, 60},
                {"0", NULL, NULL, 0},
                {"86400", NULL, NULL, 3600},
                {"99999999999999999999999", NULL, NULL, 3600},
                {"-5", NULL, NULL, 0},
                {"1.5", NULL, NULL, 0},
                {"", NULL, NULL, 0},
                {"soon", NULL, NULL, 0},
                {"Sat, 22 Aug 2026 10:02:00 GMT", NULL, NULL, 120},
                {"Sat, 22 Aug 2026 09:59:00 GMT", NULL, NULL, 0},
                {"Fri, 22 Aug 2036 09:59:00 GMT", NULL, NULL, 3600},
                {NULL, "Sat, 22 Aug 2026 10:00:30 GMT", NULL, 30},
                {NULL, "2026-08-22", NULL, 0},
                /* The later of both, never earlier than told. */
                {"60", "Sat, 22 Aug 2026 10:00:30 GMT", NULL, 60},
                {"10", "Sat, 22 Aug 2026 10:00:30 GMT", NULL, 30},
                /* Dates count by the server's clock, here an hour ahead of ours, then an hour behind. */
                {NULL, "Sat, 22 Aug 2026 11:00:30 GMT", "Sat, 22 Aug 2026 11:00:00 GMT", 30},
                {"Sat, 22 Aug 2026 09:00:45 GMT", NULL, "Sat, 22 Aug 2026 09:00:00 GMT", 45},
                {"Sat, 22 Aug 2026 10:00:45 GMT", NULL, "yesterday", 45},
                {NULL, "Sat, 22 Aug 2026 12:00:30 GMT", "Thu, 01 Jan 1970 00:00:01 GMT", 3600},
                /* A server that has no date yet. */
                {NULL, "Sat, 22 Aug 2026 10:00:30 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", 30},
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                Judgement j;

                judge(CALL_REGISTER,
                        (Reply){.status = 429,
                                .retry_after = (char *)rows[i].retry_after,
                                .ratelimit_reset_time = (char *)rows[i].reset_time,
                                .date = (char *)rows[i].date},
                        NULL, &j);
                if (j.wait_usec != rows[i].expected_sec * USEC_PER_SEC)
                        fail_msg("row %zu: %llu usec", i, (unsigned long long)j.wait_usec);
                judgement_done(&j);
        }
}

/* Every answer tells GitLab's clock, whatever else it says. */
static void test_server_time(void **state)
{
        static const struct {
                unsigned status;
                const char *date;
                uint64_t sec;
        } rows[] = {
                {200, "Sat, 22 Aug 2026 09:00:00 GMT", 1787389200},
                {403, "Sat, 22 Aug 2026 09:00:00 GMT", 1787389200},
                {502, "Sat, 22 Aug 2026 09:00:00 GMT", 1787389200},
                {200, "yesterday", 0},
                {200, NULL, 0},
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                Judgement j;

                judge(CALL_VERIFY, (Reply){.status = rows[i].status, .date = (char *)rows[i].date}, NULL, &j);
                assert_int_equal(j.server_usec, rows[i].sec * USEC_PER_SEC);
                judgement_done(&j);
        }
}

static void test_unavailable(void **state)
{
        for (Call call = 0; call < _CALL_MAX; call++) {
                bool creates = call == CALL_REGISTER || call == CALL_CREATE;
                Judgement j;

                judge(call, (Reply){.status = 503, .content_type = (char *)JSON, .retry_after = (char *)"60"},
                        "{\"message\":\"This organization is currently in read-only mode.\"}", &j);
                assert_int_equal(j.verdict, creates ? VERDICT_WAIT : VERDICT_AMBIGUOUS);
                assert_int_equal(flags_of(&j), 0);
                assert_int_equal(j.wait_usec, 60 * USEC_PER_SEC);
                judgement_done(&j);

                judge(call, (Reply){.status = 503, .retry_after = (char *)"864000"}, NULL, &j);
                assert_int_equal(j.wait_usec, VERDICT_WAIT_MAX_USEC);
                judgement_done(&j);
        }
}

static void test_spread(void **state)
{
        static const struct {
                const char *limit;
                const char *observed;
                double spread;
        } rows[] = {
                {"100", "500", 5},
                {"100", "50", 1},
                {"100", "250", 2.5},
                {"0", "5", 0},
                {NULL, "5", 0},
                {"100", NULL, 0},
                {"100", "many", 0},
                {"-100", "500", 0},
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                Reply reply = {.status = 429,
                        .ratelimit_limit = (char *)rows[i].limit,
                        .ratelimit_observed = (char *)rows[i].observed};
                Judgement j;

                judge(CALL_VERIFY, reply, NULL, &j);
                assert_true(j.spread == rows[i].spread);
                assert_int_equal(j.spread_usec, rows[i].spread > 0 ? USEC_PER_MINUTE : 0);
                judgement_done(&j);

                /* Newer servers send these with every answer. */
                reply.status = 500;
                judge(CALL_VERIFY, reply, NULL, &j);
                assert_true(j.spread == 0);
                judgement_done(&j);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_throttled),
                cmocka_unit_test(test_waits),
                cmocka_unit_test(test_server_time),
                cmocka_unit_test(test_unavailable),
                cmocka_unit_test(test_spread),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
