/* JSON that passes through is the bytes that came; what is looked for in it is found however it was written. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/slice.h"

static Slice of(const char *text)
{
        return slice_of(text, strlen(text));
}

static void assert_slice(Slice value, const char *text)
{
        assert_int_equal(value.size, strlen(text));
        assert_memory_equal(value.data, text, value.size);
}

static void test_items(void **state)
{
        static const char *const items[] = {"98.70", "-1.5e+10", "123456789012345678901234567890", "true", "null",
                "\"a,]}\\\"b\"", "{\"x\":[1, 2]}", "[ ]", "\"\\u00fc\"", NULL};
        const char *text =
                " [98.70 ,-1.5e+10,123456789012345678901234567890, true,null,\"a,]}\\\"b\",\n{\"x\":[1, 2]},"
                "[ ],\"\\u00fc\" ] ";
        SliceCursor cursor = slice_enter(of(text));
        Slice item;

        for (size_t i = 0; items[i]; i++) {
                assert_true(slice_next_item(&cursor, &item));
                assert_slice(item, items[i]);
        }
        assert_false(slice_next_item(&cursor, &item));

        cursor = slice_enter(of("[]"));
        assert_false(slice_next_item(&cursor, &item));
        cursor = slice_enter(of("7"));
        assert_false(slice_next_item(&cursor, &item));
}

static void test_members(void **state)
{
        Slice object = of("{ \"a\" : 98.7, \"project\":{\"path\":\"x\\/y\",\"n\":null}, \"to\\u006ben\":\"s\", "
                          "\"list\":[{\"id\":3}] }");
        Slice value;

        assert_true(slice_member(object, "a", &value));
        assert_slice(value, "98.7");
        assert_true(slice_member(object, "project.path", &value));
        assert_slice(value, "\"x\\/y\"");
        assert_true(slice_text_is(value, "x/y"));
        assert_true(slice_member(object, "project.n", &value));
        assert_true(slice_is_null(value));
        assert_true(slice_member(object, "token", &value));
        assert_true(slice_text_is(value, "s"));
        assert_false(slice_member(object, "b", &value));
        assert_false(slice_member(object, "a.b", &value));
        assert_false(slice_member(object, "project.path.x", &value));
        assert_false(slice_member(object, "list.id", &value));
        assert_false(slice_member(of("[]"), "a", &value));
}

static void test_text(void **state)
{
        static const struct {
                const char *json;
                const char *text;
        } rows[] = {
                {"\"\"", ""},
                {"\"plain\"", "plain"},
                {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
                {"\"\\u00e9\\u20AC\"", "é€"},
                {"\"\\ud83d\\ude00\"", "😀"},
                {"\"\\ud83d\"", "\xef\xbf\xbd"},
                {"\"a\\u0000b\"", "a\xef\xbf\xbd"
                                  "b"},
                {"\"é\"", "é"},
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                char *text = NULL;

                assert_int_equal(slice_text(of(rows[i].json), &text), 0);
                assert_string_equal(text, rows[i].text);
                free(text);
        }
        char *text;
        assert_int_equal(slice_text(of("1"), &text), -EINVAL);
        assert_int_equal(slice_text(of("\""), &text), -EINVAL);
}

static void test_integer(void **state)
{
        int64_t number;

        assert_int_equal(slice_integer(of("42"), &number), 0);
        assert_int_equal(number, 42);
        static const char *const bad[] = {"", "0", "-1", "1.0", "1e3", "\"1\"", "null", "1234567890123456789"};
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                assert_int_equal(slice_integer(of(bad[i]), &number), -EINVAL);
}

static void test_mask(void **state)
{
        static const struct {
                const char *json;
                const char *masked;
        } rows[] = {
                {"{\"id\":1,\"token\":\"glrt-x\",\"n\":98.70}", "{\"id\":1,\"token\":\"***\",\"n\":98.70}"},
                {"{\"token\" : \"a\\\"b\" }", "{\"token\" : \"***\" }"},
                {"{\"\\u0074oken\":\"x\"}", "{\"\\u0074oken\":\"***\"}"},
                {"{\"token\":null}", "{\"token\":null}"},
                {"{\"token\":\"\"}", "{\"token\":\"\"}"},
                {"{\"token\":[\"x\",{\"y\":1}],\"z\":2}", "{\"token\":\"***\",\"z\":2}"},
                {"[{\"a\":{\"token\":\"x\"}},{\"token\":\"y\"}]",
                        "[{\"a\":{\"token\":\"***\"}},{\"token\":\"***\"}]"},
                {"{\"token_expires_at\":\"x\",\"a\":\"token\"}", "{\"token_expires_at\":\"x\",\"a\":\"token\"}"},
                {"\"token\"", "\"token\""},
                {"{}", "{}"},
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                Secret *out = NULL;

                assert_int_equal(secret_new(NULL, 0, &out), 0);
                assert_int_equal(slice_mask(of(rows[i].json), "token", out), 0);
                assert_string_equal(secret_data(out), rows[i].masked);
                secret_truncate(out, 0);
                assert_int_equal(slice_mask(of(rows[i].json), NULL, out), 0);
                assert_string_equal(secret_data(out), rows[i].json);
                secret_free(out);
        }
}

static void test_check(void **state)
{
        static const char *const good[] = {"0", "-0.0", "98.70", "1E+2", "123456789012345678901234567890", "1e999",
                "\"\"", "\"\\ud83d\"", "true", " [ ] ", "{}", "[{\"a\":[1,\"b\",{}]},null]", "\"\xc3\xbc\"",
                "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"};
        static const char *const bad[] = {"", " ", "01", "-", "1.", ".5", "1e", "+1", "tru", "truer", "nul", "[", "]",
                "[1,]", "[,1]", "[1 2]", "{\"a\"}", "{\"a\":}", "{a:1}", "{\"a\":1,}", "{1:2}", "\"", "\"\\x\"",
                "\"\\u12g4\"", "\"\n\"", "\"\xff\"", "\"\xc3\"", "1 1", "[}", "{]", "'a'", "// x\n1", "NaN",
                "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"};

        for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
                if (!slice_check(good[i], strlen(good[i])))
                        fail_msg("'%s' is JSON", good[i]);
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                if (slice_check(bad[i], strlen(bad[i])))
                        fail_msg("'%s' is no JSON", bad[i]);
        assert_false(slice_check("1\0", 2));
}

/* Says the same as a reader that others wrote, but for what that refuses beyond the grammar. */
static void test_check_agrees(void **state)
{
        static const char text[] =
                "{\"a\":{\"token\":\"x\\u00e9\\\\\"},\"b\":[1,[2,{\"c\":null}],true,\"\xc3\xbc\"],\"d\":-1.5e2} ";
        uint64_t seed = 7;
        unsigned n_valid = 0;

        for (unsigned round = 0; round < 60000; round++) {
                char copy[sizeof(text)];
                json_error_t error;

                memcpy(copy, text, sizeof(text));
                size_t n = sizeof(text) - 1;
                for (unsigned i = 0; i < round % 3 + 1; i++) {
                        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407U;
                        copy[(seed >> 33) % n] = "\"\\{}[],:0u \n1e.-ab\xc3\xbc\t/"[(seed >> 20) % 22];
                }
                bool ours = slice_check(copy, n);
                json_t *value =
                        json_loadb(copy, n, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, &error);
                enum json_error_code code = value ? json_error_unknown : json_error_code(&error);

                if (value ? !ours : ours && code != json_error_numeric_overflow && !strstr(error.text, "Unicode"))
                        fail_msg("'%.*s': %d, but %s", (int)n, copy, ours, value ? "valid" : error.text);
                n_valid += ours;
                json_decref(value);
        }
        assert_true(n_valid > 1000);
}

/* Walks whatever it is given; a sanitizer sees where it goes. */
static void walk(const char *data, size_t size, unsigned depth)
{
        Slice value = slice_of(data, size), key, part;
        SliceCursor cursor = slice_enter(value);
        Secret *out = NULL;

        assert_int_equal(secret_new(NULL, 0, &out), 0);
        assert_int_equal(slice_mask(value, "token", out), 0);
        secret_free(out);
        (void)slice_member(value, "a.token", &part);
        for (unsigned i = 0; i < 100 && slice_next_item(&cursor, &part) && depth < 4; i++)
                walk(part.data, part.size, depth + 1);
        cursor = slice_enter(value);
        for (unsigned i = 0; i < 100 && slice_next_member(&cursor, &key, &part) && depth < 4; i++)
                walk(part.data, part.size, depth + 1);
}

static void test_any_bytes(void **state)
{
        static const char text[] =
                "{\"a\":{\"token\":\"x\\u00e9\\\\\"},\"b\":[1,[2,{\"c\":null}],\"\\ud83d\\ude00\"],\"d\":-1.5}";
        uint64_t seed = 1;

        for (size_t n = 0; n < sizeof(text); n++) {
                char *copy = malloc(n + 1);

                memcpy(copy, text, n);
                walk(copy, n, 0);
                for (unsigned round = 0; n > 0 && round < 40; round++) {
                        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407U;
                        copy[(seed >> 33) % n] = "\"\\{}[],:0u \n"[(seed >> 20) % 12];
                        walk(copy, n, 0);
                }
                free(copy);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_items),
                cmocka_unit_test(test_members),
                cmocka_unit_test(test_text),
                cmocka_unit_test(test_integer),
                cmocka_unit_test(test_mask),
                cmocka_unit_test(test_check),
                cmocka_unit_test(test_check_agrees),
                cmocka_unit_test(test_any_bytes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
