#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "agent/base/time.h"

static void test_rfc3339_parse(void **state)
{
        static const struct {
                const char *text;
                int r;
                uint64_t usec;
        } rows[] = {
                {"1970-01-01T00:00:00Z", 0, 0},
                {"2026-08-22T10:11:12Z", 0, UINT64_C(1787393472000000)},
                {"2026-08-22T10:11:12.203Z", 0, UINT64_C(1787393472203000)},
                {"2026-08-22T10:11:12.203456789Z", 0, UINT64_C(1787393472203456)},
                {"2026-08-22T10:11:12.9999999999999999Z", 0, UINT64_C(1787393472999999)},
                {"2026-08-22t10:11:12z", 0, UINT64_C(1787393472000000)},
                {"2026-08-22 10:11:12+00:00", 0, UINT64_C(1787393472000000)},
                {"2026-08-22T12:11:12+02:00", 0, UINT64_C(1787393472000000)},
                {"2026-08-22T04:41:12-05:30", 0, UINT64_C(1787393472000000)},
                {"2026-08-22T00:00:00+23:59", 0, UINT64_C(1787270460000000)},
                {"2016-12-31T23:59:60Z", 0, UINT64_C(1483228800000000)},
                {"2024-02-29T00:00:00Z", 0, UINT64_C(1709164800000000)},
                {"9999-12-31T23:59:59Z", 0, UINT64_C(253402300799000000)},
                /* Go's zero time, and everything else before 1970. */
                {"0001-01-01T00:00:00Z", 0, 0},
                {"0000-01-01T00:00:00Z", 0, 0},
                {"1969-12-31T23:59:59.5Z", 0, 0},
                {"1970-01-01T01:00:00+02:00", 0, 0},
                {"", -EINVAL, 0},
                {"2026-08-22", -EINVAL, 0},
                {"2026-08-22T10:11Z", -EINVAL, 0},
                {"2026-08-22T10:11:12", -EINVAL, 0},
                {"2026-08-22T10:11:12.Z", -EINVAL, 0},
                {"2026-08-22T10:11:12,5Z", -EINVAL, 0},
                {"2026-08-22T10:11:12ZZ", -EINVAL, 0},
                {" 2026-08-22T10:11:12Z", -EINVAL, 0},
                {"2026-8-22T10:11:12Z", -EINVAL, 0},
                {"+026-08-22T10:11:12Z", -EINVAL, 0},
                {"2026-00-22T10:11:12Z", -EINVAL, 0},
                {"2026-13-22T10:11:12Z", -EINVAL, 0},
                {"2026-08-00T10:11:12Z", -EINVAL, 0},
                {"2026-02-29T10:11:12Z", -EINVAL, 0},
                {"1900-02-29T10:11:12Z", -EINVAL, 0},
                {"2026-04-31T10:11:12Z", -EINVAL, 0},
                {"2026-08-22T24:00:00Z", -EINVAL, 0},
                {"2026-08-22T10:60:12Z", -EINVAL, 0},
                {"2026-08-22T10:11:61Z", -EINVAL, 0},
                {"2026-08-22T10:11:12+24:00", -EINVAL, 0},
                {"2026-08-22T10:11:12+02:60", -EINVAL, 0},
                {"2026-08-22T10:11:12+0200", -EINVAL, 0},
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                uint64_t usec = 0;

                int r = time_parse_rfc3339(rows[i].text, strlen(rows[i].text), &usec);
                if (r != rows[i].r || usec != rows[i].usec)
                        fail_msg("'%s': %d, %llu", rows[i].text, r, (unsigned long long)usec);
        }

        /* The size counts, not a terminator, and a NUL is no character of a time. */
        uint64_t usec;
        assert_int_equal(time_parse_rfc3339("2026-08-22T10:11:12Zjunk", 20, &usec), 0);
        assert_int_equal(time_parse_rfc3339("2026-08-22\0"
                                            "10:11:12Z",
                                 20, &usec),
                -EINVAL);
}

static void test_rfc3339_format(void **state)
{
        static const struct {
                uint64_t usec;
                const char *text;
        } rows[] = {
                {0, "1970-01-01T00:00:00Z"},
                {1, "1970-01-01T00:00:00.000001Z"},
                {UINT64_C(1787393472000000), "2026-08-22T10:11:12Z"},
                {UINT64_C(1787393472203000), "2026-08-22T10:11:12.203Z"},
                {UINT64_C(1787393472203450), "2026-08-22T10:11:12.20345Z"},
                {UINT64_C(951782400000000), "2000-02-29T00:00:00Z"},
                {UINT64_C(253402300799999999), "9999-12-31T23:59:59.999999Z"},
        };
        char buffer[TIME_RFC3339_MAX];

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
                assert_string_equal(time_format_rfc3339(rows[i].usec, buffer), rows[i].text);
        assert_true(strlen(time_format_rfc3339(USEC_INFINITY, buffer)) < sizeof(buffer));
}

/* Against the C library, a day and a bit at a time, over 400 years. */
static void test_calendar(void **state)
{
        for (uint64_t sec = 0; sec < UINT64_C(13000000000); sec += 91234) {
                char expected[TIME_RFC3339_MAX], buffer[TIME_RFC3339_MAX];
                time_t t = (time_t)sec;
                struct tm tm;
                uint64_t usec;

                assert_non_null(gmtime_r(&t, &tm));
                assert_true(strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%SZ", &tm) > 0);
                assert_string_equal(time_format_rfc3339(sec * USEC_PER_SEC, buffer), expected);
                assert_int_equal(time_parse_rfc3339(buffer, strlen(buffer), &usec), 0);
                assert_int_equal(usec, sec * USEC_PER_SEC);
        }
}

static void test_http_date(void **state)
{
        static const struct {
                const char *text;
                int r;
                uint64_t sec;
        } rows[] = {
                {"Sun, 06 Nov 1994 08:49:37 GMT", 0, 784111777},
                {"Thu, 01 Jan 1970 00:00:00 GMT", 0, 0},
                {"Mon, 01 Jan 0001 00:00:00 GMT", 0, 0},
                {"Sat, 22 Aug 2026 10:11:12 GMT", 0, 1787393472},
                /* Forms that no sender may use any more, and what is near. */
                {"Sunday, 06-Nov-94 08:49:37 GMT", -EINVAL, 0},
                {"Sun Nov  6 08:49:37 1994", -EINVAL, 0},
                {"Sun, 6 Nov 1994 08:49:37 GMT", -EINVAL, 0},
                {"Sun, 06 Nov 1994 08:49:37 UTC", -EINVAL, 0},
                {"Sun, 06 Nov 1994 08:49:37 GMT ", -EINVAL, 0},
                {"Sun, 06 Nov 1994 08:49:37", -EINVAL, 0},
                {"Sun, 31 Nov 1994 08:49:37 GMT", -EINVAL, 0},
                {"Xyz, 06 Nov 1994 08:49:37 GMT", -EINVAL, 0},
                {"Sun, 06 Nox 1994 08:49:37 GMT", -EINVAL, 0},
                {"Sun", -EINVAL, 0},
                {"", -EINVAL, 0},
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                uint64_t usec = 0;

                int r = time_parse_http_date(rows[i].text, &usec);
                if (r != rows[i].r || usec != rows[i].sec * USEC_PER_SEC)
                        fail_msg("'%s': %d, %llu", rows[i].text, r, (unsigned long long)usec);
        }
}

static void test_span(void **state)
{
        static const struct {
                uint64_t usec;
                const char *text;
        } rows[] = {
                {0, "0s"},
                {1, "1us"},
                {999, "999us"},
                {250 * USEC_PER_MSEC, "250ms"},
                {1500 * USEC_PER_MSEC, "1s 500ms"},
                {40 * USEC_PER_SEC, "40s"},
                {90 * USEC_PER_SEC, "1min 30s"},
                {90 * USEC_PER_MINUTE, "1h 30min"},
                {90 * USEC_PER_MINUTE + 5 * USEC_PER_SEC, "1h 30min"},
                {USEC_PER_HOUR + 5 * USEC_PER_SEC, "1h"},
                {26 * USEC_PER_HOUR, "1d 2h"},
                {400 * USEC_PER_DAY, "400d"},
                {USEC_INFINITY, "never"},
        };
        char buffer[TIME_SPAN_MAX];

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
                assert_string_equal(time_format_span(rows[i].usec, buffer), rows[i].text);
        assert_true(strlen(time_format_span(USEC_INFINITY - 1, buffer)) < sizeof(buffer));
}

static void test_arithmetic(void **state)
{
        Now now;

        assert_int_equal(usec_add(1, 2), 3);
        assert_int_equal(usec_add(USEC_INFINITY, 1), USEC_INFINITY);
        assert_int_equal(usec_add(USEC_INFINITY - 1, 2), USEC_INFINITY);
        assert_int_equal(usec_sub(3, 2), 1);
        assert_int_equal(usec_sub(2, 3), 0);
        assert_int_equal(usec_sub(USEC_INFINITY, 3), USEC_INFINITY);

        now_read(&now);
        assert_true(now.realtime_usec > UINT64_C(1700000000) * USEC_PER_SEC);
        assert_true(now.boottime_usec > 0 && now.boottime_usec < now.realtime_usec);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_rfc3339_parse),
                cmocka_unit_test(test_rfc3339_format),
                cmocka_unit_test(test_calendar),
                cmocka_unit_test(test_http_date),
                cmocka_unit_test(test_span),
                cmocka_unit_test(test_arithmetic),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
