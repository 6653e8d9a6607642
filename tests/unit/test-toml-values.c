/* Single values: each form that TOML has, what it means, and the forms that are none. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/core/toml-write.h"

static int parse(const char *value, TomlVersion version, char *source, size_t room, TomlDocument **ret)
{
        (void)snprintf(source, room, "x = %s\n", value);
        return toml_document_parse(source, strlen(source), version, ret, NULL);
}

static void test_meanings(void **state)
{
        static const struct {
                const char *value;
                const char *written; /* as this program would write it */
        } cases[] = {
                {"0", "0"},
                {"+99", "99"},
                {"-0", "0"},
                {"1_000", "1000"},
                {"9223372036854775807", "9223372036854775807"},
                {"-9223372036854775808", "-9223372036854775808"},
                {"0xDEAD_beef", "3735928559"},
                {"0x09aAfF", "633599"},
                {"0o755", "493"},
                {"0o0_7", "7"},
                {"0b1101_0", "26"},
                {"1.5", "1.5"},
                {"-0.0", "-0.0"},
                {"5e+22", "5e+22"},
                {"1e06", "1e+06"},
                {"-2E-2", "-0.02"},
                {"6.626e-34", "6.626e-34"},
                {"1_2.3_4e1_0", "1.234e+11"},
                {"100.0", "1e+02"},
                {"3.0", "3.0"},
                {"0.1", "0.1"},
                {"0.30000000000000004", "0.30000000000000004"},
                {"inf", "inf"},
                {"+inf", "inf"},
                {"-inf", "-inf"},
                {"nan", "nan"},
                {"-nan", "nan"},
                {"true", "true"},
                {"false", "false"},
                {"''", "\"\""},
                {"'a\"b\\'", "\"a\\\"b\\\\\""},
                {"\"\\b\\t\\n\\f\\r\\\"\\\\\\u0001\\u007F\"", "\"\\b\\t\\n\\f\\r\\\"\\\\\\u0001\\u007f\""},
                {"\"\\u0041\\u00e9\\u20AC\\U0001F600\"", "\"A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
                {"\"\\u07ff\\u0800\\uD7ff\\uE000\\uffFF\\U00010000\\U0010ffff\"",
                        "\"\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"
                        "\""},
                {"\"\"\"\r\na\r\nb\\  \r\n\r\n  c\"\"\"", "\"a\\r\\nbc\""},
                {"\"\"\"a\\\n\n\n b\\\tx\"\"\"", NULL},
                {"\"\"\"a\\\t\nb\"\"\"", "\"ab\""},
                {"\"\"\"a\"\"b\"\"\"\"\"", "\"a\\\"\\\"b\\\"\\\"\""},
                {"'''\na'b''c'''''", "\"a'b''c''\""},
                {"1979-05-27T07:32:00Z", "1979-05-27T07:32:00Z"},
                {"1979-05-27 00:32:00.5-07:00", "1979-05-27T00:32:00.5-07:00"},
                {"1979-05-27t07:32:00.123456789012z", "1979-05-27T07:32:00.123456789Z"},
                {"1979-05-27T07:32:00+05:30", "1979-05-27T07:32:00+05:30"},
                {"1979-05-27T07:32:60Z", "1979-05-27T07:32:60Z"},
                {"1979-05-27T07:32:00.100", "1979-05-27T07:32:00.1"},
                {"1979-05-27", "1979-05-27"},
                {"2000-02-29", "2000-02-29"},
                {"07:32:01.000001", "07:32:01.000001"},
                {"[]", "[]"},
                {"[1, [2, 3,], # comment\n\n4]", "[1, [2, 3], 4]"},
                {"{}", "{}"},
                {"{ a.b = 1, \"c d\" = '' }", "{ a = { b = 1 }, \"c d\" = \"\" }"},
                {"{ A-z_09 = 1, \"\xc3\xa9\" = 2, '' = 3, \"a`\" = 4, \"a{\" = 5, \"a/\" = 6, \"a:\" = 7, \"a@\" = "
                 "8, \"a[\" = 9 }",
                        "{ A-z_09 = 1, \"\xc3\xa9\" = 2, \"\" = 3, \"a`\" = 4, \"a{\" = 5, \"a/\" = 6, \"a:\" = 7, "
                        "\"a@\" = 8, \"a[\" = 9 }"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(toml_document_freep) TomlDocument *document = NULL;
                _cleanup_secret_ Secret *out = NULL;
                char source[512];

                int r = parse(cases[i].value, TOML_VERSION_1_0, source, sizeof(source), &document);
                if (r != (cases[i].written ? 0 : -EBADMSG))
                        fail_msg("%s: %d", cases[i].value, r);
                if (!cases[i].written)
                        continue;
                assert_int_equal(secret_new(NULL, 0, &out), 0);
                assert_int_equal(toml_write_inline(out, toml_table_get(toml_document_root(document), "x")), 0);
                assert_string_equal(secret_data(out), cases[i].written);
        }
}

static void test_what_is_no_value(void **state)
{
        static const char *const values[] = {
                /* numbers */
                "",
                "_1",
                "1_",
                "1__0",
                "01",
                "-01",
                "+",
                "-",
                "0x",
                "0xg",
                "0x_1",
                "0x1_",
                "0xG",
                "0x@",
                "0x`",
                "0o8",
                "0o/",
                "0b2",
                "0b",
                "-0x1",
                "9223372036854775808",
                "-9223372036854775809",
                "0x8000000000000000",
                "99999999999999999999",
                "1.",
                ".5",
                "1._5",
                "1.5_",
                "1e",
                "1e+",
                "1e-_1",
                "1e5x",
                "1.5.5",
                "1.x",
                "1x",
                "infinity",
                "Inf",
                "+nanx",
                "tru",
                "True",
                "yes",
                /* strings */
                "\"",
                "\"a",
                "'a",
                "\"\"\"a",
                "\"\"\"a\"\"",
                "'''a''",
                "\"a\nb\"",
                "'a\nb'",
                "\"\\x41\"",
                "\"\\z\"",
                "\"\\\"",
                "\"\\u12\"",
                "\"\\u12g4\"",
                "\"\\u00/0\"",
                "\"\\u00:0\"",
                "\"\\u00@0\"",
                "\"\\u00G0\"",
                "\"\\u00`0\"",
                "\"\\uD800\"",
                "\"\\uDFFF\"",
                "\"\\U00110000\"",
                "\"\\UFFFFFFFF\"",
                "\"\\U0000\"",
                "\"a\x01\"",
                "\"a\x7f\"",
                "\"a\rb\"",
                "'''a\rb'''",
                "\"\"\"a\"\"\"\"\"\"",
                "\"\\ a\"",
                "\"\\\n\"",
                /* bytes that are no UTF-8 */
                "\"\x80\"",
                "\"\xc1\x81\"",
                "\"\xc3\"",
                "\"\xc3\x28\"",
                "\"\xe0\x9f\x80\"",
                "\"\xe2\x28\xa1\"",
                "\"\xe2\x82\x28\"",
                "\"\xe2\x82",
                "\"\xed\xa0\x80\"",
                "\"\xf0\x8f\x80\x80\"",
                "\"\xf0\x9f\x98\"",
                "\"\xf4\x90\x80\x80\"",
                "\"\xf5\x80\x80\x80\"",
                "\"\xff\"",
                "1 # \x80",
                "1 # \x01",
                "1 # \x7f",
                /* dates and times */
                "1979-13-01",
                "1979-00-01",
                "1979-05-32",
                "1979-05-00",
                "1979-02-30",
                "1900-02-29",
                "1979-5-1",
                "197-05-27",
                "1979-05",
                "1979-05-",
                "1979-05-2",
                "1979-05-27T",
                "1979-05-27T07",
                "1979-05-27T07:",
                "1979-05-27T07:3",
                "1979-05-27T24:00:00Z",
                "1979-05-27T07:60:00Z",
                "1979-05-27T07:32:61Z",
                "1979-05-27T07:32Z",
                "1979-05-27T07:32:00.",
                "1979-05-27T07:32:00.Z",
                "1979-05-27T07:32:00+",
                "1979-05-27T07:32:00+05",
                "1979-05-27T07:32:00+0530",
                "1979-05-27T07:32:00+05:",
                "1979-05-27T07:32:00+05:60",
                "1979-05-27T07:32:00+24:00",
                "1979-05-27T07:32:00ZZ",
                "1979-05-27X07:32:00Z",
                "1979-05-27 x",
                "25:00:00",
                "07:32:",
                "07:32:0",
                "07:3a:00",
                "07:32:00.",
                "07:32:00Z",
                "7:32:00",
                "1979:05:27",
                "1979-05-27T07-32-00",
                /* arrays and tables */
                "[",
                "[1",
                "[1 2]",
                "[,]",
                "[1,,2]",
                "{",
                "{ a",
                "{ a = 1",
                "{ a = }",
                "{ a = 1 b = 2 }",
                "{ a = 1, }",
                "{ a = 1, a = 2 }",
                "{ a = 1, a.b = 2 }",
                "{ a = {}, a.b = 2 }",
                "{ , }",
                "{\na = 1 }",
                "{ \"\"\"a\"\"\" = 1 }",
                "{ = 1 }",
                "{ a. = 1 }",
                "{ 'a = 1 }",
                "1\ny",
                "1\n[x]",
                "1\n[[x]]",
                "1\nx.y = 2",
                "{}\nx.y = 2",
                "{}\n[x.y]",
                "[]\n[[x]]",
                "[{}]\n[x.y]",
                "1\n[a]\nb.c = 1\n[a.b]",
                "1\n[a.b]\n[a]\nb.c = 1",
                "1\n[a]\n[a]",
                "1\n[[a]]\n[a]",
                "1\n[a]\n[[a]]",
                "1\n[a.b]\n[[a]]",
                "1\n[a",
                "1\n[[a]",
                "1\n[a] x",
                "1\n[]",
                "1\n[a.]",
                "1\ny = 1 z = 2",
                "1\n[a]\nb = 1\n[a.b.c]",
                "1\n[[a]]\n[[a.b]]\n[a]\nb = 1",
                "1\na.b = 1\n[a]",
                "1\na.b = 1\n[[a]]",
        };

        for (size_t i = 0; i < ELEMENTS(values); i++) {
                _cleanup_(toml_document_freep) TomlDocument *document = NULL;
                char source[512];

                int r = parse(values[i], TOML_VERSION_1_0, source, sizeof(source), &document);
                if (r != -EBADMSG)
                        fail_msg("%s: %d", values[i], r);
        }
}

static void test_equal(void **state)
{
        static const struct {
                const char *a;
                const char *b;
                bool equal;
        } cases[] = {
                {"1", "1", true},
                {"1", "2", false},
                {"1", "1.0", false},
                {"1.5", "1.5", true},
                {"1.5", "1.25", false},
                {"1.25", "1.5", false},
                {"nan", "nan", true},
                {"nan", "1.5", false},
                {"1.5", "nan", false},
                {"0.0", "-0.0", true},
                {"true", "true", true},
                {"true", "false", false},
                {"'a'", "\"a\"", true},
                {"'a'", "'b'", false},
                {"'a'", "'ab'", false},
                {"''", "\"\"", true},
                {"1979-05-27T07:32:00Z", "1979-05-27T08:32:00+01:00", true},
                {"1979-05-27T07:32:00Z", "1979-05-27T07:32:01Z", false},
                {"1979-05-27T07:32:00Z", "1979-05-27T07:32:00.1Z", false},
                {"1979-05-27T07:32:00Z", "1979-05-27T07:32:00", false},
                {"1979-05-27T07:32:00", "1979-05-27 07:32:00.0", true},
                {"1979-05-27T07:32:00", "1980-05-27T07:32:00", false},
                {"1979-05-27T07:32:00", "1979-06-27T07:32:00", false},
                {"1979-05-27T07:32:00", "1979-05-28T07:32:00", false},
                {"1979-05-27T07:32:00", "1979-05-27T08:32:00", false},
                {"1979-05-27T07:32:00", "1979-05-27T07:33:00", false},
                {"1979-05-27T07:32:00", "1979-05-27T07:32:01", false},
                {"1979-05-27T07:32:00", "1979-05-27T07:32:00.5", false},
                {"1979-05-27", "1979-05-27", true},
                {"1979-05-27", "1979-05-28", false},
                {"07:32:00", "07:32:00", true},
                {"07:32:00", "07:32:01", false},
                {"[]", "[]", true},
                {"[1, 2]", "[1, 2]", true},
                {"[1, 2]", "[2, 1]", false},
                {"[1, 2]", "[1]", false},
                {"{ a = 1, b = 2 }", "{ b = 2, a = 1 }", true},
                {"{ a = 1, b = 2 }", "{ a = 1, c = 2 }", false},
                {"{ a = 1 }", "{ a = 2 }", false},
                {"{ a = 1 }", "{ a = 1, b = 2 }", false},
                {"{}", "[]", false},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(toml_document_freep) TomlDocument *a = NULL, *b = NULL;
                char source_a[256], source_b[256];

                assert_int_equal(parse(cases[i].a, TOML_VERSION_1_0, source_a, sizeof(source_a), &a), 0);
                assert_int_equal(parse(cases[i].b, TOML_VERSION_1_0, source_b, sizeof(source_b), &b), 0);
                const TomlValue *v = toml_table_get(toml_document_root(a), "x");
                const TomlValue *w = toml_table_get(toml_document_root(b), "x");
                if (toml_value_equal(v, w) != cases[i].equal || toml_value_equal(w, v) != cases[i].equal)
                        fail_msg("%s and %s", cases[i].a, cases[i].b);
        }
}

/* What our own values are compared with before anything is written, and when they can't be written at all. */
static void test_scalars(void **state)
{
        static const struct {
                TomlScalar scalar;
                const char *written; /* NULL: it can't be */
                const char *same;
                const char *other;
        } cases[] = {
                {{.type = TOML_TYPE_STRING, .string = {"a", 1}}, "\"a\"", "'a'", "'b'"},
                {{.type = TOML_TYPE_STRING, .string = {NULL, 0}}, "\"\"", "''", "'b'"},
                {{.type = TOML_TYPE_INTEGER, .integer = 7}, "7", "0x7", "8"},
                {{.type = TOML_TYPE_BOOLEAN, .boolean = true}, "true", "true", "false"},
                {{.type = TOML_TYPE_BOOLEAN, .boolean = false}, "false", "false", "'false'"},
                {{.type = TOML_TYPE_DATETIME, .time = {.tv_sec = 0, .tv_nsec = 5}}, "1970-01-01T00:00:00.000000005Z",
                        "1970-01-01T01:00:00.000000005+01:00", "1970-01-01T00:00:00Z"},
                {{.type = TOML_TYPE_DATETIME, .time = {.tv_sec = 1}}, "1970-01-01T00:00:01Z", "1970-01-01T00:00:01Z",
                        "1970-01-01T00:00:02Z"},
                {{.type = TOML_TYPE_DATETIME, .time = {.tv_sec = 0, .tv_nsec = -1}}, NULL, NULL,
                        "1970-01-01T00:00:00Z"},
                {{.type = TOML_TYPE_DATETIME, .time = {.tv_sec = 0, .tv_nsec = 1000000000}}, NULL, NULL,
                        "1970-01-01T00:00:00Z"},
                {{.type = TOML_TYPE_DATETIME, .time = {.tv_sec = INT64_C(253402300800)}}, NULL, NULL,
                        "1970-01-01T00:00:00Z"},
                {{.type = TOML_TYPE_DATETIME, .time = {.tv_sec = INT64_C(-62167219201)}}, NULL, NULL,
                        "1970-01-01T00:00:00Z"},
                {{.type = TOML_TYPE_DATETIME, .time = {.tv_sec = INT64_MAX}}, NULL, NULL, "1970-01-01T00:00:00Z"},
                {{.type = TOML_TYPE_STRING, .string = {"\xff", 1}}, NULL, NULL, "'a'"},
                {{.type = TOML_TYPE_FLOAT}, NULL, NULL, "1.5"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_secret_ Secret *out = NULL;

                assert_int_equal(secret_new(NULL, 0, &out), 0);
                assert_int_equal(toml_write_scalar(out, &cases[i].scalar), cases[i].written ? 0 : -EINVAL);
                if (cases[i].written)
                        assert_string_equal(secret_data(out), cases[i].written);
                for (unsigned same = 0; same < 2; same++) {
                        _cleanup_(toml_document_freep) TomlDocument *document = NULL;
                        const char *value = same ? cases[i].same : cases[i].other;
                        char source[128];

                        if (!value)
                                continue;
                        assert_int_equal(parse(value, TOML_VERSION_1_0, source, sizeof(source), &document), 0);
                        assert_int_equal(toml_scalar_equal(
                                                 &cases[i].scalar, toml_table_get(toml_document_root(document), "x")),
                                same);
                }
        }
}

static void test_accessors(void **state)
{
        _cleanup_(toml_document_freep) TomlDocument *document = NULL;
        _cleanup_free_ char *copy = NULL;
        char source[64];

        assert_int_equal(parse("\"a\\u0000b\"\ny = ''", TOML_VERSION_1_0, source, sizeof(source), &document), 0);
        const TomlValue *root = toml_document_root(document), *x = toml_table_get(root, "x");
        assert_null(toml_table_get(x, "x"));
        assert_null(toml_value_first(x));
        assert_int_equal(toml_string_dup(x->string, &copy), -EINVAL);
        assert_int_equal(toml_string_dup(toml_table_get(root, "y")->string, &copy), 0);
        assert_string_equal(copy, "");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_meanings),
                cmocka_unit_test(test_what_is_no_value),
                cmocka_unit_test(test_equal),
                cmocka_unit_test(test_scalars),
                cmocka_unit_test(test_accessors),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
