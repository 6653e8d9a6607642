#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/base/cleanup.h"
#include "agent/core/entry.h"
#include "agent/core/toml-write.h"
#include "tests/unit/toml-files.h"

static const struct timespec zero_time = {.tv_sec = ENTRY_TIME_ZERO_SEC};
static const struct timespec some_time = {.tv_sec = 1787393472};

static EntryList *list_of(const char *text)
{
        EntryList *list = NULL;
        TomlError error;

        int r = entry_list_read(text, strlen(text), &list, &error);
        if (r < 0)
                fail_msg("%zu:%zu: %s", error.line, error.column, error.text);
        return list;
}

static void test_read(void **state)
{
        _cleanup_(entry_list_freep) EntryList *list = list_of("concurrent = 4\n[[runners]]\nname = \"a\"\n"
                                                              "url = 'https://x/'\nid = 42\ntoken = \" t \"\n"
                                                              "token_obtained_at = 2026-08-22T12:11:12.5+02:00\n"
                                                              "token_expires_at = \"0001-01-01T00:00:00Z\"\n"
                                                              "executor = \"shell\"\n[[runners]]\n");

        assert_int_equal(list->n_entries, 2);
        assert_true(list->has_concurrent);
        assert_int_equal(list->concurrent, 4);

        const Entry *a = &list->entries[0], *b = &list->entries[1];
        assert_string_equal(a->name, "a");
        assert_string_equal(a->url, "https://x/");
        assert_string_equal(a->executor, "shell");
        assert_string_equal(secret_data(a->token), " t ");
        assert_int_equal(a->id, 42);
        assert_int_equal(a->line, 2);
        assert_true(a->has_obtained_at);
        assert_int_equal(a->obtained_at.tv_sec, 1787393472);
        assert_int_equal(a->obtained_at.tv_nsec, 500000000);
        assert_true(a->has_expires_at);
        assert_int_equal(a->expires_at.tv_sec, ENTRY_TIME_ZERO_SEC);
        assert_int_equal(a->problems, 0);

        assert_int_equal(b->index, 1);
        assert_int_equal(b->line, 10);
        assert_null(b->name);
        assert_null(b->token);
        assert_false(b->has_expires_at);
        assert_int_equal(b->expires_at.tv_sec, ENTRY_TIME_ZERO_SEC);
        assert_int_equal(b->problems, ENTRY_PROBLEM_TOKEN_BLANK);
        assert_int_equal(list->problems, ENTRY_PROBLEM_TOKEN_BLANK);
}

/* Rows of what gitlab-runner accepts and refuses, as one line of an entry. */
static void test_problems(void **state)
{
        static const struct {
                const char *line;
                unsigned problems;
        } cases[] = {
                {"token = \"x\"", 0},
                {"TOKEN = 'x'", 0},
                {"token = \" \\t\\n\"", ENTRY_PROBLEM_TOKEN_BLANK},
                {"token = ''", ENTRY_PROBLEM_TOKEN_BLANK},
                {"token = 1", ENTRY_PROBLEM_TOKEN_TYPE},
                {"token = ['x']", ENTRY_PROBLEM_TOKEN_TYPE},
                {"token = 'x'\nToken = 'y'", ENTRY_PROBLEM_KEY_TWICE},
                {"token = '${T}'", ENTRY_PROBLEM_REFERENCE},
                {"token = 'x'\nurl = 'https://$H'", ENTRY_PROBLEM_REFERENCE},
                {"token = 'x'\nurl = 1", ENTRY_PROBLEM_URL_TYPE},
                {"token = 'x'\nname = true", ENTRY_PROBLEM_NAME_TYPE},
                {"token = 'x'\nexecutor.x = 1", ENTRY_PROBLEM_EXECUTOR_TYPE},
                {"token = 'x'\nid = '5'", ENTRY_PROBLEM_ID_TYPE},
                {"token = 'x'\nid = 5.0", ENTRY_PROBLEM_ID_TYPE},
                {"token = 'x'\ntoken_obtained_at = 2026-08-22 10:11:12z", 0},
                {"token = 'x'\ntoken_obtained_at = 2026-08-22t10:11Z", 0},
                {"token = 'x'\ntoken_obtained_at = '2026-08-22T10:11:12.5+02:00'", 0},
                {"token = 'x'\ntoken_obtained_at = 2026-08-22T10:11:12", ENTRY_PROBLEM_TIME_LOCAL},
                {"token = 'x'\ntoken_obtained_at = 2026-08-22", ENTRY_PROBLEM_TIME_LOCAL},
                {"token = 'x'\ntoken_obtained_at = ''", ENTRY_PROBLEM_OBTAINED_TYPE},
                {"token = 'x'\ntoken_obtained_at = 0", ENTRY_PROBLEM_OBTAINED_TYPE},
                {"token = 'x'\ntoken_obtained_at = '2026-08-22'", ENTRY_PROBLEM_OBTAINED_TYPE},
                {"token = 'x'\ntoken_expires_at = '2026-08-22T10:11:12'", ENTRY_PROBLEM_EXPIRES_TYPE},
                {"token = 'x'\ntoken_expires_at = '2026-08-22 10:11:12Z'", ENTRY_PROBLEM_EXPIRES_TYPE},
                {"token = 'x'\ntoken_expires_at = 'never'", ENTRY_PROBLEM_EXPIRES_TYPE},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                char text[256];

                (void)snprintf(text, sizeof(text), "[[runners]]\n%s\n", cases[i].line);
                _cleanup_(entry_list_freep) EntryList *list = list_of(text);
                if (list->entries[0].problems != cases[i].problems)
                        fail_msg("%s: %#x", cases[i].line, list->entries[0].problems);
        }
}

static void test_not_a_list(void **state)
{
        static const char *const texts[] = {
                "[runners]\n",
                "runners = 1\n",
                "runners = [1]\n",
                "runners.x = 1\n",
                "[runners.docker]\n",
                "[[runners]]\n[Runners]\n",
        };

        for (size_t i = 0; i < ELEMENTS(texts); i++) {
                EntryList *list = NULL;
                TomlError error = {0};

                assert_int_equal(entry_list_read(texts[i], strlen(texts[i]), &list, &error), -EBADMSG);
                assert_null(list);
                assert_true(error.line > 0);
        }
}

static void test_tables_of_both_spellings(void **state)
{
        _cleanup_(entry_list_freep) EntryList *list =
                list_of("[[runners]]\nname='a'\nurl='https://x/'\n[[runners]]\nname='b'\nurl='https://x'\n"
                        "[[Runners]]\nname='a'\nurl='https://X/ci'\n");

        assert_int_equal(list->n_entries, 3);
        for (size_t i = 0; i < list->n_entries; i++)
                assert_int_equal(list->entries[i].index, i);
        assert_true(list->entries[0].problems & ENTRY_PROBLEM_RUNNERS_TWICE);
}

/* Applies edits to text and compares. */
static void check(
        const char *before, const EntryEdit *edits, size_t n, const EntryOutcome *outcomes, const char *after)
{
        EntryResult results[8];
        _cleanup_secret_ Secret *bytes = NULL;
        TomlError error;

        int r = entry_edits_apply(before, before ? strlen(before) : 0, edits, n, results, &bytes, &error);
        if (r < 0)
                fail_msg("%zu:%zu: %s", error.line, error.column, error.text);
        assert_string_equal(secret_data(bytes), after);
        for (size_t i = 0; i < n; i++)
                if (results[i].outcome != outcomes[i])
                        fail_msg("edit %zu: %d %s", i, results[i].outcome,
                                results[i].message ? results[i].message : "");
        entry_results_done(results, n);
}

static void check_one(size_t index, const char *before, EntryEdit edit, EntryOutcome outcome, const char *after)
{
        edit.index = index;
        check(before, &edit, 1, &outcome, after);
}

/* One edit, of the entry with its name and url. */
#define CHECK(before, after, outcome, ...)                                                                           \
        check_one(ENTRY_INDEX_NONE, before, (EntryEdit){__VA_ARGS__}, ENTRY_OUTCOME_##outcome, after)
#define CHECK_AT(i, before, after, outcome, ...)                                                                     \
        check_one(i, before, (EntryEdit){__VA_ARGS__}, ENTRY_OUTCOME_##outcome, after)

static Secret *token_of(const char *text)
{
        Secret *token = NULL;

        assert_int_equal(secret_new(text, strlen(text), &token), 0);
        return token;
}

static void test_new_file(void **state)
{
        _cleanup_secret_ Secret *token = token_of("glrt-abc");
        static const int64_t id = 42;

        CHECK(NULL,
                "concurrent = 1\n"
                "check_interval = 0\n"
                "shutdown_timeout = 0\n"
                "\n"
                "[session_server]\n"
                "  session_timeout = 1800\n"
                "\n"
                "[[runners]]\n"
                "  name = \"h1\"\n"
                "  limit = 2\n"
                "  url = \"https://gitlab.example.com/\"\n"
                "  id = 42\n"
                "  token = \"glrt-abc\"\n"
                "  token_obtained_at = 2026-08-22T10:11:12Z\n"
                "  token_expires_at = 0001-01-01T00:00:00Z\n"
                "  tls-ca-file = \"/ca\"\n"
                "  executor = \"docker\"\n"
                "  builds_dir = \"/b\"\n"
                "  unknown = 1\n"
                "  [runners.cache]\n"
                "    Type = \"s3\"\n"
                "  [runners.docker]\n"
                "    image = \"ruby:3.3\"\n",
                ADDED, .name = "h1", .url = "https://gitlab.example.com/", .id = &id, .token = token,
                .obtained_at = &some_time, .expires_at = &zero_time, .executor = "docker", .tls_ca_file = "/ca",
                .tls_key_file = "",
                .template_body = "  unknown = 1\n  builds_dir = \"/b\"\n  limit = 2\n  [runners.docker]\n"
                                 "    image = \"ruby:3.3\"\n  [runners.cache]\n    Type = \"s3\"\n");
        CHECK("", "[[runners]]\n  name = \"a\"\n  url = \"https://x\"\n", ADDED, .name = "a", .url = "https://x");
        CHECK(NULL,
                "concurrent = 8\ncheck_interval = 0\nshutdown_timeout = 0\n\n[session_server]\n"
                "  session_timeout = 1800\n",
                CHANGED, .kind = ENTRY_EDIT_CONCURRENT, .concurrent = 8);
}

static void test_template_tls(void **state)
{
        CHECK("", "[[runners]]\n  name = \"a\"\n  url = \"u\"\n  tls-ca-file = \"/t\"\n", ADDED, .name = "a",
                .url = "u", .template_body = "tls-ca-file = \"/t\"\nurl = \"other\"\nToken = \"x\"\n");
        CHECK("", "[[runners]]\n  name = \"a\"\n  url = \"u\"\n  tls-ca-file = \"/ours\"\n", ADDED, .name = "a",
                .url = "u", .tls_ca_file = "/ours", .template_body = "tls-ca-file = \"/t\"\n");
}

static void test_change(void **state)
{
        _cleanup_secret_ Secret *token = token_of("new");
        static const int64_t id = 7;

        CHECK("[[runners]]\nname = 'a' # n\nurl = 'https://x/' # u\ntoken = 'old' # t\nexecutor = 'shell'\n",
                "[[runners]]\nname = 'a' # n\nurl = 'https://x/' # u\nid = 7\ntoken = \"new\" # t\n"
                "token_obtained_at = 2026-08-22T10:11:12Z\ntoken_expires_at = 0001-01-01T00:00:00Z\n"
                "tls-cert-file = \"/c\"\nexecutor = 'shell'\n",
                CHANGED, .name = "a", .url = "https://X/ci", .id = &id, .token = token, .obtained_at = &some_time,
                .expires_at = &zero_time, .tls_cert_file = "/c", .tls_key_file = "", .executor = "docker",
                .template_body = "limit = 1\n");
        /* Said in other words, it is the same already. */
        CHECK("[[runners]]\nname = \"\\u0061\"\nurl = 'https://x/'\nid = 0x7\ntoken = '''new'''\n"
              "token_obtained_at = 2026-08-22T12:11:12.000+02:00\ntoken_expires_at = \"0001-01-01T00:00:00Z\"\n",
                "[[runners]]\nname = \"\\u0061\"\nurl = 'https://x/'\nid = 0x7\ntoken = '''new'''\n"
                "token_obtained_at = 2026-08-22T12:11:12.000+02:00\ntoken_expires_at = \"0001-01-01T00:00:00Z\"\n",
                UNCHANGED, .name = "a", .url = "https://x", .id = &id, .token = token, .obtained_at = &some_time,
                .expires_at = &zero_time);
        CHECK("[[runners]]\nname='a'\nurl='u'\ntls-ca-file = '/x' # gone with it\n# stays\n",
                "[[runners]]\nname='a'\nurl='u'\n# stays\n", CHANGED, .name = "a", .url = "u", .tls_ca_file = "");
        CHECK("[[runners]]\nname='a'\nurl='u'\ntoken='1'\nToken='2'\nTOKEN='new'\n",
                "[[runners]]\nname='a'\nurl='u'\ntoken=\"new\"\nToken=\"new\"\nTOKEN='new'\n", CHANGED, .name = "a",
                .url = "u", .token = token);
        CHECK_AT(0, "[[runners]]\nname='a'\nurl='u'\n", "[[runners]]\nname=\"b\"\nurl=\"v\"\n", CHANGED, .name = "b",
                .url = "v");
        CHECK("[[runners]]\nname='a'\nurl='u'\nid = '7'\n", "[[runners]]\nname='a'\nurl='u'\nid = 7\n", CHANGED,
                .name = "a", .url = "u", .id = &id);
        CHECK("[[runners]]\nname='a'\nurl='u'\ntoken_expires_at = 0001-01-01\n",
                "[[runners]]\nname='a'\nurl='u'\ntoken_expires_at = 0001-01-01T00:00:00Z\n", CHANGED, .name = "a",
                .url = "u", .expires_at = &zero_time);
}

static void test_spelling_of_file(void **state)
{
        CHECK("[[Runners]]\r\nname='a'\r\n",
                "[[Runners]]\r\nname='a'\r\n\r\n[[Runners]]\r\n  name = \"b\"\r\n  url = \"u\"\r\n"
                "  [Runners.docker]\r\n    image = \"i\"\r\n",
                ADDED, .name = "b", .url = "u", .template_body = "[runners.docker]\nimage = 'i'\n");
        CHECK("runners = []\n", "runners = [{ name = \"b\", url = \"u\", docker = { image = \"i\" } }]\n", ADDED,
                .name = "b", .url = "u", .template_body = "[runners.docker]\nimage = 'i'\n");
        CHECK("runners = [{name='a', url='u'}]\n", "runners = []\n", REMOVED, .kind = ENTRY_EDIT_REMOVE, .name = "a",
                .url = "u");
}

static void test_remove(void **state)
{
        static const char file[] = "concurrent = 1\n\n# one\n[[runners]]\nname='a'\nurl='u'\n[runners.docker]\n"
                                   "# in\nimage='i'\n\n# two\n[[runners]]\nname='a'\nurl='u'\n\n[x]\n";

        CHECK(file, "concurrent = 1\n\n# one\n\n# two\n[[runners]]\nname='a'\nurl='u'\n\n[x]\n", REMOVED,
                .kind = ENTRY_EDIT_REMOVE, .name = "a", .url = "u/");
        CHECK_AT(1, file,
                "concurrent = 1\n\n# one\n[[runners]]\nname='a'\nurl='u'\n[runners.docker]\n# in\nimage='i'\n\n"
                "# two\n\n[x]\n",
                REMOVED, .kind = ENTRY_EDIT_REMOVE);
        CHECK(file, file, ABSENT, .kind = ENTRY_EDIT_REMOVE, .name = "b", .url = "u");
}

static void test_concurrent(void **state)
{
        CHECK("concurrent = 3 # c\n", "concurrent = 4 # c\n", CHANGED, .kind = ENTRY_EDIT_CONCURRENT,
                .concurrent = 4);
        CHECK("Concurrent = 3\nconcurrent = 4\n", "Concurrent = 4\nconcurrent = 4\n", CHANGED,
                .kind = ENTRY_EDIT_CONCURRENT, .concurrent = 4);
        CHECK("concurrent = 4", "concurrent = 4", UNCHANGED, .kind = ENTRY_EDIT_CONCURRENT, .concurrent = 4);
        CHECK("[[runners]]\n", "concurrent = 4\n\n[[runners]]\n", CHANGED, .kind = ENTRY_EDIT_CONCURRENT,
                .concurrent = 4);
        CHECK("concurrent = 3\n", "concurrent = 3\n", FAILED, .kind = ENTRY_EDIT_CONCURRENT, .concurrent = 0);
        CHECK("[concurrent]\n", "[concurrent]\n", FAILED, .kind = ENTRY_EDIT_CONCURRENT, .concurrent = 1);
}

static void test_refusals(void **state)
{
        _cleanup_secret_ Secret *token = token_of("\xFF");
        static const struct timespec late = {.tv_sec = INT64_C(253402300800)};

        CHECK_AT(1, "[[runners]]\nname='a'\n", "[[runners]]\nname='a'\n", FAILED, .name = "x");
        CHECK("", "", FAILED, .name = "x");
        CHECK("", "", FAILED, .url = "x", .kind = ENTRY_EDIT_REMOVE);
        CHECK("[[runners]]\nname='a'\nurl='u'\n[runners.token]\n",
                "[[runners]]\nname='a'\nurl='u'\n[runners.token]\n", FAILED, .name = "a", .url = "u",
                .obtained_at = &some_time, .token = token);
        CHECK("[[runners]]\nname='a'\nurl='u'\n", "[[runners]]\nname='a'\nurl='u'\n", FAILED, .name = "a", .url = "u",
                .obtained_at = &some_time, .token = token);
        CHECK("", "", FAILED, .name = "a", .url = "u", .token = token);
        CHECK("", "", FAILED, .name = "a", .url = "u", .expires_at = &late);
        CHECK("", "", FAILED, .name = "a", .url = "u", .template_body = "x = ");
        CHECK("", "", FAILED, .name = "a", .url = "u", .template_body = "[other]\n");
        CHECK("", "", FAILED, .name = "a", .url = "u", .template_body = "[[runners]]\n");
        CHECK("[[runners]]\n[[RUNNERS]]\n", "[[runners]]\n[[RUNNERS]]\n", FAILED, .name = "a", .url = "u");
        CHECK_AT(1, "[[runners]]\nname='a'\n[[RUNNERS]]\n", "[[runners]]\nname='a'\n", REMOVED,
                .kind = ENTRY_EDIT_REMOVE);
}

static void test_batch(void **state)
{
        _cleanup_secret_ Secret *token = token_of("T");
        const EntryEdit edits[] = {
                {.index = ENTRY_INDEX_NONE, .name = "b", .url = "u", .token = token},
                {.index = ENTRY_INDEX_NONE, .name = "n", .url = "u"},
                {.index = 0, .kind = ENTRY_EDIT_REMOVE},
                {.index = 1, .token = token},
                {.index = ENTRY_INDEX_NONE, .name = "n", .url = "u/"},
                {.index = ENTRY_INDEX_NONE, .kind = ENTRY_EDIT_CONCURRENT, .concurrent = 2},
        };
        static const EntryOutcome outcomes[] = {
                ENTRY_OUTCOME_CHANGED,
                ENTRY_OUTCOME_ADDED,
                ENTRY_OUTCOME_REMOVED,
                ENTRY_OUTCOME_FAILED,
                ENTRY_OUTCOME_FAILED,
                ENTRY_OUTCOME_CHANGED,
        };

        check("concurrent = 1\n\n[[runners]]\nname='a'\nurl='u'\n\n[[runners]]\nname='b'\nurl='u'\ntoken='t'\n",
                edits, ELEMENTS(edits), outcomes,
                "concurrent = 2\n\n[[runners]]\nname='b'\nurl='u'\ntoken=\"T\"\n\n[[runners]]\n  name = \"n\"\n"
                "  url = \"u\"\n");
}

static void test_bad_file(void **state)
{
        EntryResult result = {.outcome = ENTRY_OUTCOME_ABSENT};
        const EntryEdit edit = {.index = ENTRY_INDEX_NONE, .name = "a", .url = "u"};
        Secret *bytes = NULL;
        TomlError error;

        assert_int_equal(entry_edits_apply("a = 1\nb", 7, &edit, 1, &result, &bytes, &error), -EBADMSG);
        assert_int_equal(error.line, 2);
        assert_null(bytes);
        assert_int_equal(result.outcome, ENTRY_OUTCOME_ABSENT);
}

/* The file with the values of our keys of all entries blanked out, and everything else. */
static Secret *mask(const Secret *bytes)
{
        static const char *const ours[] = {"token", "id", "token_obtained_at", "token_expires_at"};
        _cleanup_(toml_document_freep) TomlDocument *document = NULL;
        Secret *copy = NULL;
        size_t done = 0, size;

        assert_int_equal(secret_new(NULL, 0, &copy), 0);
        assert_int_equal(
                toml_document_parse(secret_data(bytes), secret_size(bytes), TOML_VERSION_1_1, &document, NULL), 0);
        const char *source = toml_document_source(document, &size);
        const TomlValue *runners = toml_table_find_fold(toml_document_root(document), NULL, "runners");
        for (const TomlValue *entry = runners ? toml_value_first(runners) : NULL; entry; entry = entry->next)
                for (const TomlValue *v = toml_value_first(entry); v; v = v->next)
                        for (size_t k = 0; k < ELEMENTS(ours); k++)
                                if (toml_string_equal_fold(v->key, ours[k])) {
                                        assert_int_equal(secret_append(copy, source + done, v->span.start - done), 0);
                                        done = v->span.end;
                                }
        assert_int_equal(secret_append(copy, source + done, size - done), 0);
        return copy;
}

/* The tree without our keys, as text. */
static Secret *rest_of(const Secret *bytes)
{
        static const char *const ours[] = {"token", "id", "token_obtained_at", "token_expires_at"};
        _cleanup_(toml_document_freep) TomlDocument *document = NULL;
        Secret *text = NULL;

        assert_int_equal(secret_new(NULL, 0, &text), 0);
        assert_int_equal(
                toml_document_parse(secret_data(bytes), secret_size(bytes), TOML_VERSION_1_1, &document, NULL), 0);
        for (const TomlValue *v = toml_value_first(toml_document_root(document)); v; v = v->next) {
                if (!toml_string_equal_fold(v->key, "runners")) {
                        assert_int_equal(toml_write_pair(text, 0, v->key, v), 0);
                        continue;
                }
                for (const TomlValue *entry = toml_value_first(v); entry; entry = entry->next)
                        for (const TomlValue *w = toml_value_first(entry); w; w = w->next) {
                                bool is_ours = false;

                                for (size_t k = 0; k < ELEMENTS(ours); k++)
                                        is_ours = is_ours || toml_string_equal_fold(w->key, ours[k]);
                                if (!is_ours)
                                        assert_int_equal(toml_write_pair(text, 1, w->key, w), 0);
                        }
        }
        return text;
}

static Secret *edit_all(const Secret *old, const EntryEdit *pattern, EntryOutcome expected)
{
        _cleanup_(entry_list_freep) EntryList *list = NULL;
        EntryEdit edits[16];
        EntryResult results[16];
        Secret *new = NULL;

        assert_int_equal(entry_list_read(secret_data(old), secret_size(old), &list, NULL), 0);
        assert_true(list->n_entries <= ELEMENTS(edits));
        for (size_t i = 0; i < list->n_entries; i++) {
                edits[i] = *pattern;
                edits[i].index = i;
        }
        assert_int_equal(
                entry_edits_apply(secret_data(old), secret_size(old), edits, list->n_entries, results, &new, NULL),
                0);
        for (size_t i = 0; i < list->n_entries; i++)
                assert_int_equal(results[i].outcome, expected);
        return new;
}

/* On every file: our keys are what we said, everything else is what it was, and saying it again changes nothing. */
static void test_files_change(void **state)
{
        _cleanup_secret_ Secret *token = token_of("glrt-\"new\" \\ token");
        static const int64_t id = 4711;
        const EntryEdit all = {.id = &id, .token = token, .obtained_at = &some_time, .expires_at = &zero_time};
        const EntryEdit only_token = {.token = token};

        for (size_t i = 0; i < ELEMENTS(toml_files); i++) {
                _cleanup_secret_ Secret *old = toml_file_read(toml_files[i]);
                _cleanup_(entry_list_freep) EntryList *list = NULL;

                if (!old)
                        skip();

                /* The token is in all of them: nothing is added, so that all other bytes must be the same. */
                _cleanup_secret_ Secret *one = edit_all(old, &only_token, ENTRY_OUTCOME_CHANGED);
                _cleanup_secret_ Secret *old_mask = mask(old), *one_mask = mask(one);
                assert_true(secret_equal(old_mask, one_mask));

                _cleanup_secret_ Secret *new = edit_all(old, &all, ENTRY_OUTCOME_CHANGED);
                _cleanup_secret_ Secret *old_rest = rest_of(old), *new_rest = rest_of(new);
                assert_string_equal(secret_data(old_rest), secret_data(new_rest));

                assert_int_equal(entry_list_read(secret_data(new), secret_size(new), &list, NULL), 0);
                for (size_t k = 0; k < list->n_entries; k++) {
                        const Entry *entry = &list->entries[k];

                        assert_true(secret_equal(entry->token, token));
                        assert_int_equal(entry->id, id);
                        assert_int_equal(entry->obtained_at.tv_sec, some_time.tv_sec);
                        assert_true(entry->has_expires_at && entry->expires_at.tv_sec == ENTRY_TIME_ZERO_SEC);
                }

                _cleanup_secret_ Secret *again = edit_all(new, &all, ENTRY_OUTCOME_UNCHANGED);
                assert_true(secret_equal(new, again));
        }
}

/* On every file: an entry that comes and goes leaves nothing behind but, at most, the line end that was missing. */
static void test_files_add_and_remove(void **state)
{
        const EntryEdit add = {
                .index = ENTRY_INDEX_NONE,
                .name = "guest",
                .url = "https://guest.example.com",
                .executor = "docker",
                .template_body = "  [runners.docker]\n    image = \"i\"\n\n    [[runners.docker.services]]\n"
                                 "      name = \"s\"\n",
        };
        EntryEdit gone = add;

        gone.kind = ENTRY_EDIT_REMOVE;
        for (size_t i = 0; i < ELEMENTS(toml_files); i++) {
                _cleanup_secret_ Secret *old = toml_file_read(toml_files[i]), *new = NULL, *back = NULL;
                EntryResult result;

                if (!old)
                        skip();
                assert_int_equal(
                        entry_edits_apply(secret_data(old), secret_size(old), &add, 1, &result, &new, NULL), 0);
                assert_int_equal(result.outcome, ENTRY_OUTCOME_ADDED);
                assert_int_equal(
                        entry_edits_apply(secret_data(new), secret_size(new), &gone, 1, &result, &back, NULL), 0);
                assert_int_equal(result.outcome, ENTRY_OUTCOME_REMOVED);

                size_t n = secret_size(old);
                if (n > 0 && secret_data(old)[n - 1] != '\n')
                        assert_int_equal(secret_append(old, "\n", 1), 0);
                assert_string_equal(secret_data(back), secret_data(old));
        }
}

/* Thousands of runners in one file, all edited in one batch. Quadratic code would not end within the test's time. */
static void test_thousands(void **state)
{
        enum { N = 20000 };
        _cleanup_free_ EntryEdit *edits = calloc(N, sizeof(*edits));
        _cleanup_free_ EntryResult *results = calloc(N, sizeof(*results));
        _cleanup_free_ char *names = calloc(N, 16);
        _cleanup_secret_ Secret *file = NULL, *changed = NULL, *empty = NULL, *token = token_of("glrt-new");

        assert_true(edits && results && names);
        for (size_t i = 0; i < N; i++) {
                (void)snprintf(names + i * 16, 16, "runner-%zu", i);
                edits[i] = (EntryEdit){
                        .index = ENTRY_INDEX_NONE,
                        .name = names + i * 16,
                        .url = "https://x",
                        .executor = "shell",
                };
        }
        assert_int_equal(entry_edits_apply(NULL, 0, edits, N, results, &file, NULL), 0);
        for (size_t i = 0; i < N; i++) {
                assert_int_equal(results[i].outcome, ENTRY_OUTCOME_ADDED);
                edits[i].token = token;
        }
        assert_int_equal(
                entry_edits_apply(secret_data(file), secret_size(file), edits, N, results, &changed, NULL), 0);
        for (size_t i = 0; i < N; i++) {
                assert_int_equal(results[i].outcome, ENTRY_OUTCOME_CHANGED);
                assert_int_equal(results[i].index, i);
                edits[i].kind = ENTRY_EDIT_REMOVE;
        }
        assert_int_equal(
                entry_edits_apply(secret_data(changed), secret_size(changed), edits, N, results, &empty, NULL), 0);
        assert_string_equal(secret_data(empty),
                "concurrent = 1\ncheck_interval = 0\nshutdown_timeout = 0\n\n[session_server]\n"
                "  session_timeout = 1800\n");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_read),
                cmocka_unit_test(test_problems),
                cmocka_unit_test(test_not_a_list),
                cmocka_unit_test(test_tables_of_both_spellings),
                cmocka_unit_test(test_new_file),
                cmocka_unit_test(test_template_tls),
                cmocka_unit_test(test_change),
                cmocka_unit_test(test_spelling_of_file),
                cmocka_unit_test(test_remove),
                cmocka_unit_test(test_concurrent),
                cmocka_unit_test(test_refusals),
                cmocka_unit_test(test_batch),
                cmocka_unit_test(test_bad_file),
                cmocka_unit_test(test_files_change),
                cmocka_unit_test(test_files_add_and_remove),
                cmocka_unit_test(test_thousands),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
