/* Guarded edits: the entry that holds our token, or none. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/base/url.h"
#include "agent/core/entry.h"

#define URL "https://gitlab.example.com"

static Secret *secret(const char *text)
{
        Secret *s = NULL;

        if (text)
                assert_int_equal(secret_new(text, strlen(text), &s), 0);
        return s;
}

/* A config.toml with an entry of our name and url for each token; between them one of another name. */
static char *file_of(const char *const *tokens)
{
        char *text = strdup("concurrent = 1\n"), *next;

        for (size_t i = 0; tokens[i]; i++) {
                assert_true(asprintf(&next,
                                    "%s[[runners]]\n  name = \"other\"\n  url = \"" URL "\"\n  token = \"%s\"\n"
                                    "[[runners]]\n  name = \"build-1\"\n  url = \"" URL "/\"\n  token = \"%s\"\n",
                                    text, tokens[i], tokens[i]) >= 0);
                free(text);
                text = next;
        }
        return text;
}

static void test_guard(void **state)
{
        static const struct {
                const char *tokens[4];
                EntryEditKind kind;
                const char *token;
                const char *holds;
                EntryOutcome outcome;
                const char *after[4];
        } rows[] = {
                /* Nothing there: appended, whatever was believed. */
                {{NULL}, ENTRY_EDIT_UPSERT, "new", NULL, ENTRY_OUTCOME_ADDED, {"new"}},
                {{NULL}, ENTRY_EDIT_UPSERT, "new", "old", ENTRY_OUTCOME_ADDED, {"new"}},
                /* The one that is ours to change, wherever it stands. */
                {{"old"}, ENTRY_EDIT_UPSERT, "new", "old", ENTRY_OUTCOME_CHANGED, {"new"}},
                {{"a", "old", "b"}, ENTRY_EDIT_UPSERT, "new", "old", ENTRY_OUTCOME_CHANGED, {"a", "new", "b"}},
                {{"a", "new"}, ENTRY_EDIT_UPSERT, "new", "a", ENTRY_OUTCOME_UNCHANGED, {"a", "new"}},
                /* One without a token gitlab-runner could use is nobody's. */
                {{"a", ""}, ENTRY_EDIT_UPSERT, "new", NULL, ENTRY_OUTCOME_CHANGED, {"a", "new"}},
                {{"${TOKEN}"}, ENTRY_EDIT_UPSERT, "new", NULL, ENTRY_OUTCOME_CHANGED, {"new"}},
                /* Others have changed it: left alone. */
                {{"theirs"}, ENTRY_EDIT_UPSERT, "new", NULL, ENTRY_OUTCOME_FAILED, {"theirs"}},
                {{"theirs"}, ENTRY_EDIT_UPSERT, "new", "old", ENTRY_OUTCOME_FAILED, {"theirs"}},
                {{"old"}, ENTRY_EDIT_REMOVE, NULL, "old", ENTRY_OUTCOME_REMOVED, {NULL}},
                {{"a", "old"}, ENTRY_EDIT_REMOVE, NULL, "old", ENTRY_OUTCOME_REMOVED, {"a"}},
                {{"theirs"}, ENTRY_EDIT_REMOVE, NULL, "old", ENTRY_OUTCOME_ABSENT, {"theirs"}},
                {{"theirs"}, ENTRY_EDIT_REMOVE, NULL, NULL, ENTRY_OUTCOME_ABSENT, {"theirs"}},
                {{""}, ENTRY_EDIT_REMOVE, NULL, NULL, ENTRY_OUTCOME_ABSENT, {""}},
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                _cleanup_secret_ Secret *token = secret(rows[i].token), *holds = secret(rows[i].holds), *after = NULL;
                _cleanup_(entry_list_freep) EntryList *list = NULL;
                _cleanup_free_ char *before = file_of(rows[i].tokens);
                const EntryEdit edit = {
                        .kind = rows[i].kind,
                        .index = ENTRY_INDEX_NONE,
                        .guarded = true,
                        .name = "build-1",
                        .url = URL,
                        .token = token,
                        .holds = holds,
                        .executor = "shell",
                };
                EntryResult result = {};
                TomlError error;
                size_t n = 0;

                assert_int_equal(entry_edits_apply(before, strlen(before), &edit, 1, &result, &after, &error), 0);
                if (result.outcome != rows[i].outcome)
                        fail_msg("row %zu: outcome %d", i, result.outcome);
                if (result.outcome == ENTRY_OUTCOME_FAILED)
                        assert_int_equal(result.error, -ESTALE);
                entry_results_done(&result, 1);
                assert_int_equal(entry_list_read(secret_data(after), secret_size(after), &list, &error), 0);
                for (size_t k = 0; k < list->n_entries; k++) {
                        const Entry *e = &list->entries[k];

                        if (strcmp(e->name, "build-1") != 0 || !url_equal(e->url, URL))
                                continue;
                        assert_non_null(rows[i].after[n]);
                        assert_string_equal(secret_data(e->token), rows[i].after[n++]);
                }
                assert_true(n == 4 || !rows[i].after[n]);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_guard),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
