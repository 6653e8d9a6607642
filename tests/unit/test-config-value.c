#include "tests/unit/scratch.h"

#include "config/schema.h"
#include "config/text.h"
#include "config/value.h"

static void test_booleans(void **state)
{
        static const struct {
                const char *text;
                int expected; /* -1: none */
        } cases[] = {
                {"true", 1},
                {"false", 0},
                {"yes", 1},
                {"no", 0},
                {"on", 1},
                {"off", 0},
                {"1", 1},
                {"0", 0},
                {"True", 1},
                {"FALSE", 0},
                {"", -1},
                {"2", -1},
                {"t", -1},
                {"truee", -1},
                {" true", -1},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                bool value = false;
                int r = value_parse_boolean(cases[i].text, &value);

                assert_int_equal(r, cases[i].expected < 0 ? -EINVAL : 0);
                if (r == 0)
                        assert_int_equal(value, cases[i].expected);
        }
}

static void test_integers(void **state)
{
        static const struct {
                const char *text;
                int result;
                int64_t expected;
        } cases[] = {
                {"0", 0, 0},
                {"600", 0, 600},
                {"-5", 0, -5},
                {"9223372036854775807", 0, INT64_MAX},
                {"-9223372036854775808", 0, INT64_MIN},
                {"9223372036854775808", -ERANGE, 0},
                {"-9223372036854775809", -ERANGE, 0},
                {"99999999999999999999999999999999", -ERANGE, 0},
                {"", -EINVAL, 0},
                {"-", -EINVAL, 0},
                {"+1", -EINVAL, 0},
                {" 1", -EINVAL, 0},
                {"1 ", -EINVAL, 0},
                {"010", -EINVAL, 0},
                {"0x10", -EINVAL, 0},
                {"1_000", -EINVAL, 0},
                {"1.0", -EINVAL, 0},
                {"1e3", -EINVAL, 0},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                int64_t value = 0;

                if (value_parse_integer(cases[i].text, &value) != cases[i].result || value != cases[i].expected)
                        fail_msg("'%s' gave %lld", cases[i].text, (long long)value);
        }
}

static void test_durations(void **state)
{
        static const struct {
                const char *text;
                int result;
                uint64_t expected;
        } cases[] = {
                {"90s", 0, 90 * USEC_PER_SEC},
                {"15min", 0, 15 * USEC_PER_MINUTE},
                {"1h30min", 0, 90 * USEC_PER_MINUTE},
                {"1h 30min", 0, 90 * USEC_PER_MINUTE},
                {" 1 h 30 min ", 0, 90 * USEC_PER_MINUTE},
                {"7d", 0, 7 * USEC_PER_DAY},
                {"2w", 0, 14 * USEC_PER_DAY},
                {"5", 0, 5 * USEC_PER_SEC},
                {"1us", 0, 1},
                {"1\xC2\xB5s", 0, 1},
                {"1\xCE\xBCs", 0, 1},
                {"500ms", 0, 500000},
                {"1usec 1msec 1sec", 0, 1001001},
                {"1m", 0, USEC_PER_MINUTE},
                {"1M", 0, 2629800 * USEC_PER_SEC},
                {"1month 1months", 0, UINT64_C(2) * 2629800 * USEC_PER_SEC},
                {"1y", 0, 31557600 * USEC_PER_SEC},
                {"2 hours 3 minutes 4 seconds", 0, 7384 * USEC_PER_SEC},
                {"1hour 1hr 1minute 1second 1day 1days 1week 1weeks", 0, (7200 + 61 + 16 * 86400) * USEC_PER_SEC},
                {"1.5h", 0, 90 * USEC_PER_MINUTE},
                {"0.000001s", 0, 1},
                {"1.9999999s", 0, 1999999},
                {"0", 0, 0},
                {"99years", 0, UINT64_C(99) * 31557600 * USEC_PER_SEC},
                {"101years", -ERANGE, 0},
                {"584543years", -ERANGE, 0},
                {"18446744073709551616s", -ERANGE, 0},
                {"99999999999999999999999999999999999999999us", -ERANGE, 0},
                {"60y 60y", -ERANGE, 0},
                {"", -EINVAL, 0},
                {" ", -EINVAL, 0},
                {"s", -EINVAL, 0},
                {"-5s", -EINVAL, 0},
                {"5x", -EINVAL, 0},
                {"5S", -EINVAL, 0},
                {"5mins", -EINVAL, 0},
                {"1h30", -EINVAL, 0}, /* minutes or seconds? */
                {"30 1h", -EINVAL, 0},
                {"1.s", -EINVAL, 0},
                {".5s", -EINVAL, 0},
                {"1,5s", -EINVAL, 0},
                {"5s,", -EINVAL, 0},
                {"infinity", -EINVAL, 0},
                {"never", -EINVAL, 0},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                uint64_t value = 0;
                int r = value_parse_duration(cases[i].text, &value);

                if (r != cases[i].result || value != cases[i].expected)
                        fail_msg("'%s' gave %d and %llu", cases[i].text, r, (unsigned long long)value);
        }
}

static void test_percents(void **state)
{
        static const char *const bad[] = {"", "%", "66", "66 %", "66%%", "-1%", "6.6%", "99999999999%", "a%"};
        unsigned value = 0;

        assert_int_equal(value_parse_percent("66%", &value), 0);
        assert_int_equal(value, 66);
        assert_int_equal(value_parse_percent("0%", &value), 0);
        assert_int_equal(value_parse_percent("100%", &value), 0);
        for (size_t i = 0; i < ELEMENTS(bad); i++)
                assert_int_equal(value_parse_percent(bad[i], &value), -EINVAL);
}

static void test_lists(void **state)
{
        static const struct {
                const char *text;
                const char *expected[4];
        } cases[] = {
                {"docker, linux", {"docker", "linux"}},
                {"docker,linux", {"docker", "linux"}},
                {" a b ,\tc ", {"a b", "c"}},
                {"a,,b,", {"a", "b"}},
                {"", {NULL}},
                {" , ", {NULL}},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(value_list_freep) char **list = NULL;

                assert_int_equal(value_parse_list(cases[i].text, &list), 0);
                assert_true(value_list_equal(list, (char *const *)cases[i].expected));
        }
}

static void test_names(void **state)
{
        static const char *const good[] = {
                "a", "9", "build-1", "A.b_c-d", "0123456789012345678901234567890123456789"};
        static const char *const bad[] = {"", "-a", ".a", "_a", "a b", "a/b", "a\n", "\xC3\xA4", "..",
                "01234567890123456789012345678901234567890"};

        for (size_t i = 0; i < ELEMENTS(good); i++)
                assert_true(value_is_name(good[i]));
        for (size_t i = 0; i < ELEMENTS(bad); i++)
                assert_false(value_is_name(bad[i]));
}

static void test_services(void **state)
{
        static const char *const good[] = {"gitlab-runner.service", "a@b.service", "x\\x2dy.service"};
        static const char *const bad[] = {
                "", ".service", "gitlab-runner", "a.socket", "a b.service", "a/b.service", "@a.service"};

        for (size_t i = 0; i < ELEMENTS(good); i++)
                assert_true(value_is_service(good[i]));
        for (size_t i = 0; i < ELEMENTS(bad); i++)
                assert_false(value_is_service(bad[i]));
}

/* A token put where it does not belong is not repeated, be it a misplaced one; names and paths are. */
static void test_quotes(void **state)
{
        static const char *const hidden[] = {"glrt-t3_AbCdEfGhIjKl", "GR1348941qwerty", "glpat-xxxx", "glrtr-1",
                "x=glrt-a", "aB3dE6gH9jK2mN5pQ8sT", "0123456789abcdef0123456789abcd", "acme-glrt-x"};
        static const char *const shown[] = {"15x", "docker", "gitlab-runner-helper-alpine-host-01",
                "/etc/gitlab-runner", "/tmp/aB3dE6gH9jK2mN5pQ8sT", "ip-10-0-0-12-eu-west"};
        char buffer[VALUE_QUOTE_MAX], expected[VALUE_QUOTE_MAX];

        for (size_t i = 0; i < ELEMENTS(hidden); i++)
                assert_string_equal(value_quote(hidden[i], buffer), "the value");
        for (size_t i = 0; i < ELEMENTS(shown); i++) {
                (void)snprintf(expected, sizeof(expected), "'%s'", shown[i]);
                assert_string_equal(value_quote(shown[i], buffer), expected);
        }
        assert_string_equal(value_quote("a\033[31m\nb", buffer), "'a?[31m?b'");

        /* Cut short between characters: never half of one. */
        char longer[400];
        for (size_t shift = 0; shift < 4; shift++) {
                memset(longer, ' ', sizeof(longer));
                for (size_t i = shift; i + 4 < sizeof(longer); i += 2)
                        memcpy(longer + i, "\xC3\xA4", 2);
                longer[sizeof(longer) - 1] = 0;
                (void)value_quote(longer, buffer);
                assert_true(strlen(buffer) < sizeof(buffer));
                assert_int_equal(value_check_utf8(buffer, strlen(buffer)), strlen(buffer));
        }
}

static void test_utf8(void **state)
{
        static const struct {
                const char *text;
                size_t valid;
        } cases[] = {
                {"abc", 3},
                {"\xC3\xA4", 2},
                {"\xE2\x82\xAC", 3},
                {"\xF0\x9F\x98\x80", 4},
                {"a\xC3", 1},
                {"a\xFF", 1},
                {"\xC0\x80", 0},         /* overlong NUL */
                {"\xE0\x80\x80", 0},     /* overlong */
                {"\xED\xA0\x80", 0},     /* surrogate */
                {"\xF4\x90\x80\x80", 0}, /* beyond Unicode */
                {"\xF0\x80\x80\x80", 0},
                {"\x80", 0},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                assert_int_equal(value_check_utf8(cases[i].text, strlen(cases[i].text)), cases[i].valid);
        assert_int_equal(value_count_characters("a\xC3\xA4\xE2\x82\xAC", 6), 3);
        assert_int_equal(value_count_characters("\xFF", 1), SIZE_MAX);
}

static void test_specifiers(void **state)
{
        static const Specifiers host = {"web", "abc123", "i-1"}, bare = {"web", NULL, NULL};
        static const struct {
                const char *text;
                const Specifiers *specifiers;
                const char *expected; /* NULL: refused */
        } cases[] = {
                {"build host %H", &host, "build host web"},
                {"%H/%m/%i", &host, "web/abc123/i-1"},
                {"100%%", &host, "100%"},
                {"%%H", &host, "%H"},
                {"%%%H", &host, "%web"},
                {"", &host, ""},
                {"%x", &host, NULL},
                {"%h", &host, NULL},
                {"% H", &host, NULL},
                {"end %", &host, NULL},
                {"%\xC3\xA4", &host, NULL},
                {"%H", &bare, "web"},
                {"%m", &bare, NULL},
                {"%i", &bare, NULL},
                {"%%i", &bare, "%i"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *text = NULL, *error = NULL;
                int r = text_expand(cases[i].text, cases[i].specifiers, &text, &error);

                assert_int_equal(r, cases[i].expected ? 0 : -EINVAL);
                if (cases[i].expected)
                        assert_string_equal(text, cases[i].expected);
                else
                        MENTIONS(error, "%");
        }

        /* The form alone, where nothing is known yet. */
        _cleanup_free_ char *error = NULL;
        assert_int_equal(text_expand("%H %m %i %%", NULL, NULL, NULL), 0);
        assert_int_equal(text_expand("%q", NULL, NULL, &error), -EINVAL);
        MENTIONS(error, "%q");
}

/* GitLab counts characters, after expansion. */
static void test_text_limit(void **state)
{
        static const Specifiers host = {.host_name = "0123456789"};
        char text[2 * TEXT_CHARACTERS_MAX + 8];
        _cleanup_free_ char *expanded = NULL, *error = NULL, *other = NULL;

        for (size_t i = 0; i < TEXT_CHARACTERS_MAX; i++)
                memcpy(text + 2 * i, "\xC3\xA4", 2);
        text[2 * TEXT_CHARACTERS_MAX] = 0;
        assert_int_equal(text_expand(text, &host, &expanded, &error), 0);
        (void)strcpy(text + 2 * TEXT_CHARACTERS_MAX, "x");
        assert_int_equal(text_expand(text, &host, &other, &error), -EINVAL);
        MENTIONS(error, "1025");

        memset(text, 'x', TEXT_CHARACTERS_MAX - 2);
        (void)strcpy(text + TEXT_CHARACTERS_MAX - 2, "%H");
        free(take_ptr(error));
        assert_int_equal(text_expand(text, NULL, NULL, NULL), 0);
        assert_int_equal(text_expand(text, &host, &other, &error), -EINVAL);
}

/* What people type, and what they meant. */
static void test_nearest_key(void **state)
{
        static const struct {
                SchemaSection section;
                const char *typed;
                const char *meant;
        } cases[] = {
                {SCHEMA_AGENT, "verify_intervall", "verify_interval"},
                {SCHEMA_AGENT, "verify-interval", "verify_interval"},
                {SCHEMA_AGENT, "VerifyInterval", "verify_interval"},
                {SCHEMA_AGENT, "retry_mx", "retry_max"},
                {SCHEMA_AGENT, "hok", "hook"},
                {SCHEMA_AGENT, "concurrency", "concurrent"},
                {SCHEMA_AGENT, "timeout", "stop_timeout"},
                {SCHEMA_AGENT, "interval", "verify_interval"},
                {SCHEMA_RUNNER, "ulr", "url"},
                {SCHEMA_RUNNER, "tags", "tag_list"},
                {SCHEMA_RUNNER, "taglist", "tag_list"},
                {SCHEMA_RUNNER, "excutor", "executor"},
                {SCHEMA_RUNNER, "token", "registration_token"},
                {SCHEMA_RUNNER, "tls-ca-file", "tls_ca_file"},
                {SCHEMA_RUNNER, "maintainer_note", "maintenance_note"},
                {SCHEMA_RUNNER, "maximum_timout", "maximum_timeout"},
        };
        char longest[4096];

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                assert_string_equal(config_schema_nearest(cases[i].section, cases[i].typed), cases[i].meant);

        memset(longest, 'x', sizeof(longest));
        longest[sizeof(longest) - 1] = 0;
        assert_non_null(config_schema_nearest(SCHEMA_AGENT, longest));
        assert_non_null(config_schema_nearest(SCHEMA_RUNNER, ""));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_booleans),
                cmocka_unit_test(test_integers),
                cmocka_unit_test(test_durations),
                cmocka_unit_test(test_percents),
                cmocka_unit_test(test_lists),
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_services),
                cmocka_unit_test(test_quotes),
                cmocka_unit_test(test_utf8),
                cmocka_unit_test(test_specifiers),
                cmocka_unit_test(test_text_limit),
                cmocka_unit_test(test_nearest_key),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
