/* TOML as hardly anybody writes it: almost dates and numbers, blanks and comments in odd places, and edits there that
 * must leave every other byte alone. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/core/entry.h"
#include "agent/core/slice.h"
#include "agent/core/text.h"
#include "agent/core/toml-edit.h"
#include "agent/core/toml-memory.h"
#include "agent/core/toml-write.h"
#include "agent/core/toml.h"

/* ---- reading ---- */

static void test_values(void **state)
{
        static const struct {
                const char *value;
                bool valid;
        } cases[] = {
                {"0xABCDEF", true},
                {"0xabcdef", true},
                {"0xG", false},
                {"0xg", false},
                {"0x/", false},
                {"0x@", false},
                {"0x-", false},
                {"0x+1", false},
                {"0o17", true},
                {"0o8", false},
                {"0o-", false},
                {"2026-08-22", true},
                {"2026-08-22 ", true},
                {"202x-08-22", false},
                {"2026-8-22", false},
                {"2026-08/22", false},
                {"2026-13-22", false},
                {"2026-00-22", false},
                {"2026-02-30", false},
                {"2028-02-29", true},
                {"123a-05-06", false},
                {"12a4-05-06", false},
                {"a234-05-06", false},
                {"abcd-05-06", false},
                {"2026-08-22T10:00:00+01:30", true},
                {"2026-08-22T10:00:00-01:30", true},
                {"2026-08-22T10:00:00x", false},
                {"2026-08-22T10:00:00+24:00", false},
                {"2026-08-22T10:00:00+01", false},
                {"2026-08-22T10:00:00+01:60", false},
                {"\"\"\" \\ \n  a\"\"\"", true},
                {"\"\"\" \\\t\n  a\"\"\"", true},
                {"\"\"\" \\\n  a\"\"\"", true},
                {"\"\"\" \\\r\n  a\"\"\"", true},
                {"\"\"\" \\\r  a\"\"\"", false},
                {"\"\"\" \\q\"\"\"", false},
                {"\" \\ a\"", false},
                {"\"\"\"a\r\n\\u0062\"\"\"", true},
                {"\"\"\"a\"\"", false},
                {"\"\"\"a\"", false},
                {"\"\"\"a\"\"\"\"\"", true},
                {"\"a\nb\"", false},
                {"{ a~ = 1 }", false},
                {"{ a{ = 1 }", false},
                {"{ A-z_9 = 1 }", true},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(toml_document_freep) TomlDocument *document = NULL;
                char text[128];

                (void)snprintf(text, sizeof(text), "a = %s\n", cases[i].value);
                int r = toml_document_parse(text, strlen(text), TOML_VERSION_1_0, &document, NULL);
                if ((r == 0) != cases[i].valid)
                        fail_msg("%s: %d", cases[i].value, r);
        }
        _cleanup_(toml_document_freep) TomlDocument *document = NULL;
        assert_true(toml_document_parse("a = \"\"\"b\"\"", 10, TOML_VERSION_1_0, &document, NULL) < 0);
        assert_true(toml_document_parse("a = \"\\\0\"\n", 9, TOML_VERSION_1_0, &document, NULL) < 0);
}

static void test_dates(void **state)
{
        static const struct {
                const char *text;
                size_t size;
        } cases[] = {{"10", 2}, {"", 0}, {"2026\0", 5}, {"2026-08-22\0", 11}, {"2026-08-22T10:00:00\0", 20}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                TomlDate date;
                TomlType type;

                assert_int_equal(
                        toml_date_parse(cases[i].text, cases[i].size, TOML_VERSION_1_0, &date, &type), -EINVAL);
        }
}

/* What is defined may not be defined again; what was only passed on the way may be. */
static void test_dotted(void **state)
{
        static const struct {
                const char *text;
                bool valid;
        } cases[] = {
                {"a.b = 1\na.c = 2\n", true},
                {"a = 1\na.c = 2\n", false},
                {"[a.b.c]\nx = 1\n[a]\nb.y = 2\n", true},
                {"[a.b]\nx = 1\n[a]\nb.y = 2\n", false},
                {"a = { b = 1 }\na.c = 2\n", false},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(toml_document_freep) TomlDocument *document = NULL;

                int r = toml_document_parse(cases[i].text, strlen(cases[i].text), TOML_VERSION_1_0, &document, NULL);
                if ((r == 0) != cases[i].valid)
                        fail_msg("%s: %d", cases[i].text, r);
        }
}

static void test_memory(void **state)
{
        TomlMemory memory = {0};

        assert_null(toml_memory_alloc(&memory, SIZE_MAX));
        char *large = toml_memory_alloc(&memory, 64 * 1024 * 1024);
        assert_non_null(large);
        large[64 * 1024 * 1024 - 1] = 1;
        toml_memory_done(&memory);
}

/* ---- writing ---- */

static void test_writing(void **state)
{
        _cleanup_(toml_document_freep) TomlDocument *document = NULL;
        _cleanup_secret_ Secret *out = NULL;
        const TomlPath path = {NULL, {"t", 1}};
        static const char text[] = "[t]\na = 1\nb = 0.1\nc = 2026-08-22T10:00:00.5Z\n";

        assert_int_equal(toml_document_parse(text, strlen(text), TOML_VERSION_1_0, &document, NULL), 0);
        const TomlValue *table = toml_table_get(toml_document_root(document), "t");
        assert_int_equal(secret_new(NULL, 0, &out), 0);
        assert_int_equal(toml_write_string(out, (TomlString){"a\0\n", 3}), 0);
        assert_string_equal(secret_data(out), "\"a\\u0000\\n\"");
        out = secret_free(out);

        /* A blank line stands between tables, not in front of the first. */
        assert_int_equal(secret_new(NULL, 0, &out), 0);
        assert_int_equal(toml_write_table(out, &path, table), 0);
        assert_int_equal(toml_write_table(out, &path, table), 0);
        assert_int_equal(strncmp(secret_data(out), "[t]\n", 4), 0);
        assert_non_null(strstr(secret_data(out), "\n\n[t]\n"));
        assert_null(toml_table_find_fold(toml_table_get(table, "a"), NULL, "x"));
}

/* ---- editing ---- */

typedef enum Change {
        CHANGE_NONE,
        CHANGE_REMOVE,
        CHANGE_ADD,    /* to the table, behind `after`, a key `n` with 7 */
        CHANGE_SET,    /* to 7 */
        CHANGE_APPEND, /* text */
        CHANGE_ITEM,   /* to an array */
        CHANGE_MARK,
        CHANGE_REWIND,
} Change;

/* `a.b` from the root. */
static const TomlValue *find(const TomlDocument *document, const char *path)
{
        const TomlValue *v = toml_document_root(document);
        char key[32];

        assert_non_null(path);
        for (; *path; path += strcspn(path, "."), path += *path == '.') {
                size_t n = strcspn(path, ".");

                assert_in_range(n, 1, sizeof(key) - 1);
                memcpy(key, path, n);
                key[n] = 0;
                v = toml_table_get(v, key);
                assert_non_null(v);
        }
        return v;
}

static void test_edits(void **state)
{
        static const struct {
                const char *text;
                struct {
                        Change change;
                        const char *path; /* or the text */
                        const char *after;
                } steps[4];
                const char *result;
        } cases[] = {
                /* Comments above, blanks and blank lines around. */
                {"# c\n[a]\nx = 1\n", {{CHANGE_REMOVE, "a", NULL}}, "# c\n"},
                {"[b]\n  # c\n\t# d\n[a]\nx = 1\n", {{CHANGE_REMOVE, "a", NULL}}, "[b]\n  # c\n\t# d\n"},
                {"\n[a]\nx = 1\n", {{CHANGE_REMOVE, "a", NULL}}, ""},
                {" \t\r\n[a]\nx = 1\n", {{CHANGE_REMOVE, "a", NULL}}, ""},
                {"y = 1\n \t\r\n[a]\nx = 1\n", {{CHANGE_REMOVE, "a", NULL}}, "y = 1\n"},
                {"[a]\nx = 1\n \t\r\n[b]\n", {{CHANGE_REMOVE, "a", NULL}}, "[b]\n"},
                {"[a]\nx = 1\n  ", {{CHANGE_REMOVE, "a", NULL}}, "  "},
                {"a = 1\n", {{CHANGE_REMOVE, "a", NULL}, {CHANGE_REMOVE, "a", NULL}}, ""},
                /* Behind what has no one place. */
                {"[a]\nb.c = 1\n", {{CHANGE_ADD, "a", "a.b"}}, "[a]\nn = 7\nb.c = 1\n"},
                /* Above the first table and its comment. */
                {"# c\n[a]\n", {{CHANGE_ADD, "", NULL}}, "n = 7\n\n# c\n[a]\n"},
                {"# b\n\n  # c\n\t# d\n[a]\n", {{CHANGE_ADD, "", NULL}}, "# b\n\nn = 7\n\n  # c\n\t# d\n[a]\n"},
                {"[a]\n", {{CHANGE_ADD, "", NULL}}, "n = 7\n\n[a]\n"},
                /* Several in one pair of brackets. */
                {"a = [1,\n]\n", {{CHANGE_ITEM, "a", NULL}}, "a = [1, 7,\n]\n"},
                {"a = { b = 1, c = 2 }\n", {{CHANGE_ADD, "a", "a.c"}, {CHANGE_ADD, "a", "a.b"}},
                        "a = { b = 1, n = 7, c = 2, n = 7 }\n"},
                {"a = { b = 1, c = 2 }\n", {{CHANGE_ADD, "a", "a.b"}, {CHANGE_ADD, "a", "a.c"}},
                        "a = { b = 1, n = 7, c = 2, n = 7 }\n"},
                {"a = { b = { c = 1 } }\n", {{CHANGE_REMOVE, "a.b.c", NULL}, {CHANGE_REMOVE, "a.b", NULL}},
                        "a = {  }\n"},
                {"a = [\n\t1, # c\r\n]\n", {{CHANGE_ITEM, "a", NULL}}, "a = [\n\t1, # c\n\t7,\r\n]\n"},
                {"a = [ \t1 \t]\n", {{CHANGE_ITEM, "a", NULL}}, "a = [ \t1, 7 \t]\n"},
                /* Texts at the end. */
                {"x = 1", {{CHANGE_APPEND, "[z]\ny = 1", NULL}}, "x = 1\n\n[z]\ny = 1\n"},
                {" \t\r\n", {{CHANGE_APPEND, "[z]\n", NULL}}, " \t\r\n[z]\r\n"},
                {"x = 1\n \t\n", {{CHANGE_APPEND, "[z]\n", NULL}}, "x = 1\n \t\n[z]\n"},
                /* Back to a mark. */
                {"x = 1\n",
                        {{CHANGE_SET, "x", NULL}, {CHANGE_MARK, NULL, NULL}, {CHANGE_APPEND, "[z]\n", NULL},
                                {CHANGE_REWIND, NULL, NULL}},
                        "x = 7\n"},
                {"x = 1\n",
                        {{CHANGE_SET, "x", NULL}, {CHANGE_MARK, NULL, NULL}, {CHANGE_SET, "x", "8"},
                                {CHANGE_REWIND, NULL, NULL}},
                        "x = 7\n"},
                {"x = 1\n", {{CHANGE_MARK, NULL, NULL}, {CHANGE_SET, "x", NULL}, {CHANGE_REWIND, NULL, NULL}},
                        "x = 1\n"},
        };

        unsigned failed = 0;

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(toml_document_freep) TomlDocument *document = NULL;
                _cleanup_secret_ Secret *out = NULL;
                TomlEditMark mark = {0};
                TomlEdit *edit = NULL;
                bool changed;

                assert_int_equal(
                        toml_document_parse(cases[i].text, strlen(cases[i].text), TOML_VERSION_1_0, &document, NULL),
                        0);
                assert_int_equal(toml_edit_new(document, &edit), 0);
                for (size_t k = 0; k < 4; k++) {
                        const char *path = cases[i].steps[k].path, *after = cases[i].steps[k].after;
                        const TomlScalar number = {.type = TOML_TYPE_INTEGER,
                                .integer = cases[i].steps[k].change == CHANGE_SET && after ? 8 : 7};
                        int r = 0;

                        switch (cases[i].steps[k].change) {
                        case CHANGE_NONE:
                                break;
                        case CHANGE_REMOVE:
                                r = toml_edit_remove(edit, find(document, path));
                                break;
                        case CHANGE_ADD:
                                r = toml_edit_add(edit, find(document, path), after ? find(document, after) : NULL,
                                        "n", &number);
                                break;
                        case CHANGE_SET:
                                r = toml_edit_set(edit, find(document, path), &number, &changed);
                                break;
                        case CHANGE_APPEND:
                                r = toml_edit_append_text(edit, path, strlen(path));
                                break;
                        case CHANGE_ITEM:
                                r = toml_edit_append_item(edit, find(document, path), "7", 1);
                                break;
                        case CHANGE_MARK:
                                mark = toml_edit_mark(edit);
                                break;
                        case CHANGE_REWIND:
                                toml_edit_rewind(edit, mark);
                                break;
                        }
                        assert_int_equal(r, 0);
                }
                assert_int_equal(toml_edit_finish(edit, &out), 0);
                toml_edit_free(edit);
                if (strcmp(secret_data(out), cases[i].result) != 0) {
                        print_error("%zu: %s became %s\n", i, cases[i].text, secret_data(out));
                        failed++;
                }
        }
        assert_int_equal(failed, 0);
}

/* ---- entries ---- */

static void test_entries(void **state)
{
        static const struct {
                const char *text; /* in [[runners]] */
                unsigned problems;
                bool usable;
        } cases[] = {
                {"token = 'glrt-a'", 0, true},
                {"token = 'a b'", 0, false},
                {"token = '$T'", ENTRY_PROBLEM_REFERENCE, false},
                {"token = ''", ENTRY_PROBLEM_TOKEN_BLANK, false},
                {"token = \" \\t\"", ENTRY_PROBLEM_TOKEN_BLANK, false},
                {"token = \"\\u0000\"", 0, false},
                {"token = 1", ENTRY_PROBLEM_TOKEN_TYPE, false},
                {"token = 'glrt-a'\ntoken_expires_at = '2026-08-22T10:00:00Z'", 0, true},
                {"token = 'glrt-a'\ntoken_expires_at = '2026-08-22T10:00:00z'", ENTRY_PROBLEM_EXPIRES_TYPE, true},
                {"token = 'glrt-a'\ntoken_expires_at = '2026-08-22T10:00:00.12'", ENTRY_PROBLEM_EXPIRES_TYPE, true},
                {"token = 'glrt-a'\ntoken_expires_at = '2026-08-22T10:00:60Z'", ENTRY_PROBLEM_EXPIRES_TYPE, true},
                {"token = 'glrt-a'\ntoken_expires_at = '2026-08-22T10:00:61Z'", ENTRY_PROBLEM_EXPIRES_TYPE, true},
                {"token = 'glrt-a'\ntoken_expires_at = '2026-08-22 10:00:00Z'", ENTRY_PROBLEM_EXPIRES_TYPE, true},
        };
        EntryList *list = NULL;

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                char text[256];

                (void)snprintf(text, sizeof(text), "[[runners]]\nurl = 'https://a'\n%s\n", cases[i].text);
                assert_int_equal(entry_list_read(text, strlen(text), &list, NULL), 0);
                const Entry *entry = &list->entries[0];
                if (entry->problems != cases[i].problems || entry_is_usable(entry) != cases[i].usable)
                        fail_msg("%s: %x %d", cases[i].text, entry->problems, entry_is_usable(entry));
                assert_null(entry->name);
                list = entry_list_free(list);
        }
        static const char inline_entry[] = "runners = [{ name = 'build-1', url = 'https://a' }]\n";
        assert_int_equal(entry_list_read(inline_entry, strlen(inline_entry), &list, NULL), 0);
        assert_string_equal(list->entries[0].name, "build-1");
        assert_string_equal(list->entries[0].url, "https://a");
        list = entry_list_free(list);
        assert_int_equal(entry_list_read("", (size_t)UINT32_MAX + 1, &list, NULL), -EBADMSG);
}

static void test_odd_entries(void **state)
{
        static const struct timespec wanted = {.tv_sec = 1787392800};
        static const int64_t id = 42;
        static const struct {
                const char *text;
                const char *result; /* a part of it */
        } cases[] = {
                {"[[runners]]\n", "[[runners]]\n  url = \"https://a\"\n"},
                {"[[runners]]\nurl = 'https://a/'\n", "\nurl = 'https://a/'\n"},
                {"[[runners]]\nurl = 1\n", "[[runners]]\nurl = \"https://a\"\n"},
                {"[[runners]]\nurl = \"a\\u0000b\"\n", "[[runners]]\nurl = \"https://a\"\n"},
                {"[[runners]]\nname.x = 1\n", "url = \"https://a\"\n"},
                {"[[runners]]\ntls-ca-file = '/b'\n", "\ntls-ca-file = \"/a\"\n"},
                {"[[runners]]\ntls-cert-file = '/b'\n", "\ntls-ca-file"},
                {"[[runners]]\nname.x = 1\nurl = 'b'\n", "url = \"https://a\"\n"},
                {"[[runners]]\ntoken_obtained_at = 2026-08-22T10:00:00Z\n",
                        "\ntoken_obtained_at = 2026-08-22T10:00:00Z\n"},
                {"[[runners]]\ntoken_obtained_at = '2026-08-22T10:00:00Z'\n",
                        "\ntoken_obtained_at = '2026-08-22T10:00:00Z'\n"},
                {"[[runners]]\ntoken_obtained_at = '2026-08-22T12:00:00+02:00'\n",
                        "\ntoken_obtained_at = '2026-08-22T12:00:00+02:00'\n"},
                {"[[runners]]\ntoken_obtained_at = '2026-08-22T10:00:00.5Z'\n",
                        "\ntoken_obtained_at = 2026-08-22T10:00:00Z\n"},
                {"[[runners]]\ntoken_obtained_at = 2026-08-22T10:00:00\n",
                        "\ntoken_obtained_at = 2026-08-22T10:00:00Z\n"},
                {"[[runners]]\ntoken_obtained_at = 'soon'\n", "\ntoken_obtained_at = 2026-08-22T10:00:00Z\n"},
        };

        unsigned failed = 0;

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_secret_ Secret *out = NULL;
                const EntryEdit edit = {.kind = ENTRY_EDIT_UPSERT,
                        .index = 0,
                        .url = "https://a",
                        .id = &id,
                        .obtained_at = &wanted,
                        .tls_ca_file = "/a",
                        .tls_cert_file = "",
                        .tls_key_file = ""};
                EntryResult result = {0};

                assert_int_equal(
                        entry_edits_apply(cases[i].text, strlen(cases[i].text), &edit, 1, &result, &out, NULL), 0);
                if (!strstr(secret_data(out), cases[i].result)) {
                        print_error("%s became %s: %s\n", cases[i].text, secret_data(out),
                                result.message ? result.message : "");
                        failed++;
                }
                entry_results_done(&result, 1);
        }
        assert_int_equal(failed, 0);
}

/* An edit that failed has made nothing that a later one could be in the way of. */
static void test_batches(void **state)
{
        _cleanup_secret_ Secret *token = NULL, *out = NULL;
        EntryResult results[2] = {0};

        assert_int_equal(secret_new("glrt-a", 6, &token), 0);
        const EntryEdit edits[] = {
                {.kind = ENTRY_EDIT_UPSERT,
                        .index = ENTRY_INDEX_NONE,
                        .name = "a",
                        .url = "https://a",
                        .token = token,
                        .executor = "shell",
                        .template_body = "= broken"},
                {.kind = ENTRY_EDIT_UPSERT,
                        .index = ENTRY_INDEX_NONE,
                        .name = "a",
                        .url = "https://a",
                        .token = token,
                        .executor = "shell"},
        };
        assert_int_equal(entry_edits_apply("", 0, edits, 2, results, &out, NULL), 0);
        assert_int_equal(results[0].outcome, ENTRY_OUTCOME_FAILED);
        assert_int_equal(results[1].outcome, ENTRY_OUTCOME_ADDED);
        entry_results_done(results, 2);
        out = secret_free(out);

        assert_int_equal(entry_edits_apply("x = 1\n", 6, NULL, 0, NULL, &out, NULL), 0);
        assert_string_equal(secret_data(out), "x = 1\n");
        out = secret_free(out);
        assert_int_equal(entry_edits_apply("", (size_t)UINT32_MAX + 1, NULL, 0, NULL, &out, NULL), -EBADMSG);
}

/* ---- JSON where it stands ---- */

static void test_slices(void **state)
{
        static const struct {
                const char *text;
                size_t size;
                bool valid;
                const char *plain; /* what is read all the same */
        } cases[] = {
                {"\"\\\0\"", 4, false, NULL},
                {"\"\\u00\0\0\"", 8, false, NULL},
                {"\"\\u00\0 \"", 8, false, "u00"},
                {"\"\\\"", 3, false, "\\"},
                {"\"\\ud83d\\nabcde\"", 15, true, "\xef\xbf\xbd\nabcde"},
                {"\"\\ud83d\\ude00\"", 14, true, "\xf0\x9f\x98\x80"},
                {"\"\\ud83dabcdef\"", 14, true,
                        "\xef\xbf\xbd"
                        "abcdef"},
        };
        static const char object[] = "{\t\"a\"\r:\r\n1\t,\r\n\"\\u0062\": 2\r}";
        Slice value;

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *text = NULL;

                if (slice_check(cases[i].text, cases[i].size) != cases[i].valid)
                        fail_msg("%zu is%s valid", i, cases[i].valid ? " not" : "");
                int r = slice_text((Slice){cases[i].text, cases[i].size}, &text);
                if (cases[i].plain && (r < 0 || strcmp(text, cases[i].plain) != 0))
                        fail_msg("%zu: %d, '%s'", i, r, text ? text : "");
        }
        const Slice whole = slice_of(object, strlen(object));
        assert_true(slice_member(whole, "a", &value) && slice_is(value, "1"));
        assert_true(slice_member(whole, "b", &value) && slice_is(value, "2"));
        assert_false(slice_member(whole, "c", &value));
}

/* Marks that nobody sees, or that turn a line around, do not reach a terminal; other letters do. */
static void test_marks(void **state)
{
        static const struct {
                const char *text;
                const char *clean;
        } cases[] = {{"a\xe2\x81\xa6"
                      "b",
                             "a b"},
                {"a\xef\xbb\xbf"
                 "b",
                        "a b"},
                {"a\xe3\x81\x82"
                 "b",
                        "a\xe3\x81\x82"
                        "b"},
                {"a\xe2\x80\xae"
                 "b",
                        "a b"}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *text = NULL;

                assert_int_equal(text_clean(cases[i].text, strlen(cases[i].text), 80, &text), 0);
                assert_string_equal(text, cases[i].clean);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_values),
                cmocka_unit_test(test_dates),
                cmocka_unit_test(test_dotted),
                cmocka_unit_test(test_memory),
                cmocka_unit_test(test_writing),
                cmocka_unit_test(test_edits),
                cmocka_unit_test(test_entries),
                cmocka_unit_test(test_odd_entries),
                cmocka_unit_test(test_batches),
                cmocka_unit_test(test_slices),
                cmocka_unit_test(test_marks),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
