#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/base/cleanup.h"
#include "agent/core/toml-write.h"
#include "agent/core/toml.h"
#include "tests/unit/toml-files.h"

static TomlDocument *parse(const char *text)
{
        TomlDocument *document = NULL;
        TomlError error;

        int r = toml_document_parse(text, strlen(text), TOML_VERSION_1_1, &document, &error);
        if (r < 0)
                fail_msg("%zu:%zu: %s in %s", error.line, error.column, error.text, text);
        return document;
}

/* The grammar at large is the official suite's; here is what it does not ask. */
static void test_values(void **state)
{
        static const char text[] =
                "s = \"a\\tb\"\nplain = 'x'\nn = [1, {}]\nb.c.d = true\n[e.f]\n[[g.h]]\n[[g.h]]\nk = 0x10 # c\n";
        _cleanup_(toml_document_freep) TomlDocument *document = parse(text);
        const TomlValue *root = toml_document_root(document);
        const TomlValue *plain = toml_table_get(root, "plain"), *n = toml_table_get(root, "n");
        const TomlValue *b = toml_table_get(root, "b"), *e = toml_table_get(root, "e");
        const TomlValue *h = toml_table_get(toml_table_get(root, "g"), "h");

        assert_true(toml_string_equal(toml_table_get(root, "s")->string, "a\tb"));
        /* Not copied: it points into the source. */
        assert_ptr_equal(plain->string.data, strchr(text, 'x'));
        assert_int_equal(plain->span.end - plain->span.start, 3);
        assert_int_equal(n->children.count, 2);
        assert_int_equal(n->origin, TOML_ORIGIN_VALUE);
        assert_int_equal(b->origin, TOML_ORIGIN_DOTTED);
        assert_null(b->expression);
        assert_int_equal(e->origin, TOML_ORIGIN_IMPLICIT);
        assert_int_equal(toml_table_get(e, "f")->origin, TOML_ORIGIN_HEADER);
        assert_int_equal(h->origin, TOML_ORIGIN_ELEMENTS);
        assert_int_equal(h->children.count, 2);

        const TomlValue *k = toml_table_get(h->children.last, "k");
        assert_int_equal(k->integer, 16);
        assert_int_equal(k->expression->line, 8);
        assert_string_equal(text + k->expression->line_start, "k = 0x10 # c\n");
        assert_int_equal(k->expression->line_end, strlen(text));
        assert_null(toml_table_get(plain, "x"));
        assert_null(toml_table_get(root, "S"));
        assert_ptr_equal(toml_table_find_fold(root, NULL, "S"), toml_table_get(root, "s"));
}

static void test_errors_tell_where(void **state)
{
        static const struct {
                const char *text;
                size_t line;
                size_t column;
        } cases[] = {
                {"a = 1\nb", 2, 2},
                {"a = 1\r\nb = \"x\r\n", 2, 5},
                {"a = 1\na = 2\n", 2, 3},
                {"\xEF\xBB\xBF]\n", 1, 1},
                {"a = [\n1,\n2\n", 4, 1},
                {"a = \"\xFF\"\n", 1, 6},
                {"# a\n\n\tb = \x01", 3, 6},
                {"a = 2026-02-30\n", 1, 5},
                {"a = 1\r", 1, 6},
                {"[a]\n[a]\n", 2, 3},
                {"a = \"\"\"\nglrt-secret", 1, 5},
                {"a = glrt-secret\n", 1, 5},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                TomlDocument *document = NULL;
                TomlError error;

                assert_int_equal(toml_document_parse(
                                         cases[i].text, strlen(cases[i].text), TOML_VERSION_1_1, &document, &error),
                        -EBADMSG);
                assert_null(document);
                assert_int_equal(error.line, cases[i].line);
                assert_int_equal(error.column, cases[i].column);
                assert_null(strstr(error.text, "glrt"));
        }
}

static void test_no_error_wanted(void **state)
{
        TomlDocument *document = NULL;

        assert_int_equal(toml_document_parse("=", 1, TOML_VERSION_1_1, &document, NULL), -EBADMSG);
        assert_int_equal(toml_document_parse(NULL, 0, TOML_VERSION_1_1, &document, NULL), 0);
        assert_null(toml_value_first(toml_document_root(document)));
        toml_document_free(document);
}

static void test_versions_differ(void **state)
{
        static const char *const only_1_1[] = {
                "a = \"\\e\"",
                "a = \"\\x41\"",
                "a = { b = 1, }",
                "a = {\n b = 1 }",
                "a = 07:32",
                "a = 2026-01-01 07:32",
                "a = { # c\n }",
        };

        for (size_t i = 0; i < ELEMENTS(only_1_1); i++) {
                TomlDocument *document = NULL;

                assert_int_equal(
                        toml_document_parse(only_1_1[i], strlen(only_1_1[i]), TOML_VERSION_1_0, &document, NULL),
                        -EBADMSG);
                assert_int_equal(
                        toml_document_parse(only_1_1[i], strlen(only_1_1[i]), TOML_VERSION_1_1, &document, NULL), 0);
                toml_document_free(document);
        }
}

/* n times open, then n times close around a value. */
static char *nest(const char *before, const char *open, const char *middle, const char *close, size_t n)
{
        char *text = calloc(1, strlen(before) + n * (strlen(open) + strlen(close)) + strlen(middle) + 1), *p = text;

        assert_non_null(text);
        p = stpcpy(p, before);
        for (size_t i = 0; i < n; i++)
                p = stpcpy(p, open);
        p = stpcpy(p, middle);
        for (size_t i = 0; i < n; i++)
                p = stpcpy(p, close);
        return text;
}

static void test_depth_is_bounded(void **state)
{
        static const struct {
                const char *before, *open, *middle, *close;
        } shapes[] = {
                {"a = ", "[", "", "]"},
                {"a = ", "{b=", "1", "}"},
                {"", "a.", "a = 1", ""},
                {"[", "a.", "a]", ""},
                {"[[", "a.", "a]]", ""},
                {"a = ", "[{b.c=", "1", "}]"},
        };

        for (size_t i = 0; i < ELEMENTS(shapes); i++)
                for (size_t n = 1; n < 1000000; n = n < 50 ? 50 : n * 20) {
                        _cleanup_free_ char *text =
                                nest(shapes[i].before, shapes[i].open, shapes[i].middle, shapes[i].close, n);
                        TomlDocument *document = NULL;
                        TomlError error = {0};

                        int r = toml_document_parse(text, strlen(text), TOML_VERSION_1_1, &document, &error);
                        if (n > TOML_DEPTH_MAX) {
                                assert_int_equal(r, -EFBIG);
                                assert_int_equal(error.line, 1);
                        } else if (n == 1)
                                assert_int_equal(r, 0);
                        toml_document_free(document);
                }
}

/* Every beginning of every file parses or fails, and reads nothing behind its end. */
static void test_cut_files(void **state)
{
        for (size_t i = 0; i < ELEMENTS(toml_files); i++) {
                _cleanup_secret_ Secret *bytes = toml_file_read(toml_files[i]);

                if (!bytes)
                        skip();
                for (size_t n = 0; n < secret_size(bytes); n++) {
                        TomlDocument *document = NULL;
                        _cleanup_free_ char *exact = malloc(n > 0 ? n : 1);

                        assert_non_null(exact);
                        memcpy(exact, secret_data(bytes), n);
                        (void)toml_document_parse(exact, n, TOML_VERSION_1_1, &document, NULL);
                        toml_document_free(document);
                }
        }
}

/* Each byte of each file replaced by each of the bytes that mean something. */
static void test_broken_files(void **state)
{
        static const char bytes[] = "\0\n\r\"'\\[]{}=.,#-:0_ \xFF";

        for (size_t i = 0; i < ELEMENTS(toml_files); i++) {
                _cleanup_secret_ Secret *source = toml_file_read(toml_files[i]);
                char *data;

                if (!source)
                        skip();
                data = secret_buffer(source);
                for (size_t at = 0; at < secret_size(source); at += 3)
                        for (size_t k = at % 4; k < sizeof(bytes) - 1; k += 4) {
                                TomlDocument *document = NULL;
                                char was = data[at];

                                data[at] = bytes[k];
                                (void)toml_document_parse(
                                        data, secret_size(source), TOML_VERSION_1_1, &document, NULL);
                                toml_document_free(document);
                                data[at] = was;
                        }
        }
}

static void test_equal_fold(void **state)
{
        static const struct {
                const char *a, *b;
                bool equal;
        } cases[] = {
                {"token", "token", true},
                {"TOKEN", "token", true},
                {"to\xE2\x84\xAA"
                 "en",
                        "token", true},              /* Kelvin sign */
                {"runner\xC5\xBF", "runners", true}, /* long s */
                {"tls-CA-file", "tls-ca-file", true},
                {"token_", "token", false},
                {"toke", "token", false},
                {"", "token", false},
                {"", "", true},
                {"tls_ca_file", "tls-ca-file", false},
                {"\xE2\x84", "k", false},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                assert_int_equal(toml_string_equal_fold((TomlString){cases[i].a, strlen(cases[i].a)}, cases[i].b),
                        cases[i].equal);
}

static void test_long_tables(void **state)
{
        enum { N = 5000 };
        _cleanup_free_ char *text = malloc((size_t)N * 32);
        char *p = text, key[32];

        assert_non_null(text);
        for (int i = 0; i < N; i++)
                p += sprintf(p, "key-%d = %d\n", i, i);

        _cleanup_(toml_document_freep) TomlDocument *document = parse(text);
        const TomlValue *root = toml_document_root(document);
        for (int i = 0; i < N; i++) {
                (void)snprintf(key, sizeof(key), "key-%d", i);
                const TomlValue *v = toml_table_get(root, key);

                assert_non_null(v);
                assert_int_equal(v->integer, i);
        }
        assert_null(toml_table_get(root, "key-x"));

        strcpy(p, "key-4711 = 1\n");
        TomlDocument *again = NULL;
        assert_int_equal(toml_document_parse(text, strlen(text), TOML_VERSION_1_1, &again, NULL), -EBADMSG);
}

static void test_times(void **state)
{
        static const struct {
                const char *text;
                int64_t sec;
                long nsec;
        } cases[] = {
                {"1970-01-01T00:00:00Z", 0, 0},
                {"0001-01-01T00:00:00Z", INT64_C(-62135596800), 0},
                {"0000-02-29T00:00:00Z", INT64_C(-62162121600), 0},
                {"2026-08-22T10:11:12.203Z", 1787393472, 203000000},
                {"2026-08-22T12:11:12.2030000009+02:00", 1787393472, 203000000},
                {"2026-08-22 10:11:12z", 1787393472, 0},
                {"2024-02-29", 1709164800, 0},
                {"9999-12-31T23:59:59Z", INT64_C(253402300799), 0},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                TomlDate date;
                TomlType type;

                assert_int_equal(
                        toml_date_parse(cases[i].text, strlen(cases[i].text), TOML_VERSION_1_0, &date, &type), 0);
                assert_int_equal(toml_date_to_timespec(&date).tv_sec, cases[i].sec);
                assert_int_equal(toml_date_to_timespec(&date).tv_nsec, cases[i].nsec);
        }
}

/* What is written reads back as the same values, on one line and with headers. */
static void test_write_reads_back(void **state)
{
        for (size_t i = 0; i < ELEMENTS(toml_files); i++) {
                _cleanup_secret_ Secret *bytes = toml_file_read(toml_files[i]), *block = NULL, *line = NULL;
                _cleanup_(toml_document_freep) TomlDocument *old = NULL, *new = NULL, *inner = NULL;

                if (!bytes)
                        skip();
                assert_int_equal(
                        toml_document_parse(secret_data(bytes), secret_size(bytes), TOML_VERSION_1_1, &old, NULL), 0);
                assert_int_equal(secret_new(NULL, 0, &block), 0);
                assert_int_equal(toml_write_members(block, NULL, toml_document_root(old)), 0);
                assert_int_equal(
                        toml_document_parse(secret_data(block), secret_size(block), TOML_VERSION_1_0, &new, NULL), 0);
                assert_true(toml_value_equal(toml_document_root(old), toml_document_root(new)));

                assert_int_equal(secret_new("all = ", 6, &line), 0);
                assert_int_equal(toml_write_inline(line, toml_document_root(old)), 0);
                assert_int_equal(
                        toml_document_parse(secret_data(line), secret_size(line), TOML_VERSION_1_0, &inner, NULL), 0);
                assert_true(
                        toml_value_equal(toml_document_root(old), toml_table_get(toml_document_root(inner), "all")));
        }
}

static void test_write_scalars(void **state)
{
        static const struct {
                TomlScalar scalar;
                const char *text;
        } cases[] = {
                {{TOML_TYPE_STRING, .string = {"a\"b\\c\b\t\n\f\r\x01\x7F\xC3\xA4", 14}},
                        "\"a\\\"b\\\\c\\b\\t\\n\\f\\r\\u0001\\u007f\xC3\xA4\""},
                {{TOML_TYPE_STRING, .string = {"", 0}}, "\"\""},
                {{TOML_TYPE_INTEGER, .integer = INT64_MIN}, "-9223372036854775808"},
                {{TOML_TYPE_BOOLEAN, .boolean = true}, "true"},
                {{TOML_TYPE_DATETIME, .time = {1787393472, 203000000}}, "2026-08-22T10:11:12.203Z"},
                {{TOML_TYPE_DATETIME, .time = {INT64_C(-62135596800), 0}}, "0001-01-01T00:00:00Z"},
                {{TOML_TYPE_DATETIME, .time = {1, 1}}, "1970-01-01T00:00:01.000000001Z"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_secret_ Secret *out = NULL;

                assert_int_equal(secret_new(NULL, 0, &out), 0);
                assert_int_equal(toml_write_scalar(out, &cases[i].scalar), 0);
                assert_string_equal(secret_data(out), cases[i].text);
        }

        static const TomlScalar bad[] = {
                {TOML_TYPE_STRING, .string = {"\xFF", 1}},
                {TOML_TYPE_STRING, .string = {"a\xC3", 2}},
                {TOML_TYPE_DATETIME, .time = {INT64_C(253402300800), 0}},
                {TOML_TYPE_DATETIME, .time = {0, 1000000000}},
                {TOML_TYPE_TABLE},
        };
        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                _cleanup_secret_ Secret *out = NULL;

                assert_int_equal(secret_new(NULL, 0, &out), 0);
                assert_int_equal(toml_write_scalar(out, &bad[i]), -EINVAL);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_values),
                cmocka_unit_test(test_errors_tell_where),
                cmocka_unit_test(test_no_error_wanted),
                cmocka_unit_test(test_versions_differ),
                cmocka_unit_test(test_depth_is_bounded),
                cmocka_unit_test(test_cut_files),
                cmocka_unit_test(test_broken_files),
                cmocka_unit_test(test_equal_fold),
                cmocka_unit_test(test_long_tables),
                cmocka_unit_test(test_times),
                cmocka_unit_test(test_write_reads_back),
                cmocka_unit_test(test_write_scalars),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
