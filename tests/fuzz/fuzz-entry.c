/* An entry of a config.toml is changed, made or removed: the edited file parses to the same values except ours, and
 * the same edit again changes nothing. */

#include "agent/core/entry.h"
#include "tests/fuzz/fuzz.h"

static const char *const ours[] = {"name", "url", "id", "token", "token_obtained_at", "token_expires_at", "executor",
        "tls-ca-file", "tls-cert-file", "tls-key-file"};

typedef struct File {
        TomlDocument *document;
        const TomlValue *root;
        const TomlValue *runners;
} File;

static File file_parse(const void *data, size_t size)
{
        File file = {0};

        HOLDS(toml_document_parse(data, size, TOML_VERSION_1_1, &file.document, NULL) == 0);
        file.root = toml_document_root(file.document);
        file.runners = toml_table_find_fold(file.root, NULL, "runners");
        return file;
}

static bool key_is_ours(TomlString key)
{
        for (size_t i = 0; i < ELEMENTS(ours); i++)
                if (toml_string_equal_fold(key, ours[i]))
                        return true;
        return false;
}

/* Everything of table A that is not ours is in B, and B has nothing else. */
static void check_members(const TomlValue *a, const TomlValue *b)
{
        size_t n = 0;

        for (const TomlValue *v = toml_value_first(a); v; v = v->next) {
                if (key_is_ours(v->key))
                        continue;
                const TomlValue *other = toml_value_first(b);
                while (other &&
                        !(other->key.size == v->key.size && memcmp(other->key.data, v->key.data, v->key.size) == 0))
                        other = other->next;
                HOLDS(other && toml_value_equal(v, other));
                n++;
        }
        for (const TomlValue *v = toml_value_first(b); v; v = v->next)
                n -= !key_is_ours(v->key);
        HOLDS(n == 0);
}

static void check_root(const File *a, const File *b)
{
        for (const TomlValue *v = toml_value_first(a->root); v; v = v->next) {
                const TomlValue *other = toml_value_first(b->root);

                if (toml_string_equal_fold(v->key, "runners") || toml_string_equal_fold(v->key, "concurrent"))
                        continue;
                while (other &&
                        !(other->key.size == v->key.size && memcmp(other->key.data, v->key.data, v->key.size) == 0))
                        other = other->next;
                HOLDS(other && toml_value_equal(v, other));
        }
}

static void check_runners(const File *a, const File *b, const EntryResult *result)
{
        const TomlValue *v = a->runners ? toml_value_first(a->runners) : NULL;
        const TomlValue *w = b->runners ? toml_value_first(b->runners) : NULL;

        for (size_t i = 0; v; i++, v = v->next) {
                bool edited = i == result->index;

                if (edited && result->outcome == ENTRY_OUTCOME_REMOVED)
                        continue;
                HOLDS(w);
                if (edited && result->outcome == ENTRY_OUTCOME_CHANGED)
                        check_members(v, w);
                else
                        HOLDS(toml_value_equal(v, w));
                w = w->next;
        }
        if (result->outcome == ENTRY_OUTCOME_ADDED) {
                HOLDS(w);
                w = w->next;
        }
        HOLDS(!w);
}

static void check_again(const Secret *text, EntryEdit edit, const EntryResult *first)
{
        _cleanup_secret_ Secret *again = NULL;
        EntryResult result = {0};

        if (edit.kind == ENTRY_EDIT_REMOVE)
                return;
        if (first->outcome == ENTRY_OUTCOME_ADDED)
                edit.index = ENTRY_INDEX_NONE;
        HOLDS(entry_edits_apply(secret_data(text), secret_size(text), &edit, 1, &result, &again, NULL) == 0);
        HOLDS(result.outcome == ENTRY_OUTCOME_UNCHANGED && secret_equal(text, again));
        entry_results_done(&result, 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const int64_t id = 42;
        static const struct timespec times[] = {{1787392800, 500000000}, {ENTRY_TIME_ZERO_SEC, 0}};
        _cleanup_(entry_list_freep) EntryList *list = NULL;
        _cleanup_secret_ Secret *token = fuzz_secret("glrt-new-token-of-ours", 22), *text = NULL;
        uint8_t how = fuzz_take(&data, &size), which = fuzz_take(&data, &size);
        EntryEdit edit = {.kind = how % _ENTRY_EDIT_KIND_MAX, .index = ENTRY_INDEX_NONE, .concurrent = 1 + which};
        EntryResult result = {0};
        TomlError error = {0};

        int r = entry_list_read(data, size, &list, &error);
        if (edit.kind == ENTRY_EDIT_UPSERT || edit.kind == ENTRY_EDIT_REMOVE) {
                if (which > 0 && list && list->n_entries > 0)
                        edit.index = which % list->n_entries;
                else
                        edit.name = "build-1", edit.url = "https://gitlab.example.com";
        }
        if (edit.kind == ENTRY_EDIT_UPSERT) {
                edit.id = &id;
                edit.token = token;
                edit.obtained_at = &times[0];
                edit.expires_at = &times[how >> 7];
                edit.tls_ca_file = how & 0x40 ? "/etc/ca.pem" : how & 0x20 ? "" : NULL;
                edit.executor = "shell";
        }
        /* The bytes are a file, even an empty one. */
        int s = entry_edits_apply(size > 0 ? (const void *)data : "", size, &edit, 1, &result, &text, &error);
        HOLDS((r < 0) == (s < 0));
        if (s < 0)
                return 0;
        if (result.outcome == ENTRY_OUTCOME_FAILED || result.outcome == ENTRY_OUTCOME_UNCHANGED ||
                result.outcome == ENTRY_OUTCOME_ABSENT)
                HOLDS(secret_size(text) == size && memcmp(secret_data(text), data, size) == 0);
        else {
                File before = file_parse(data, size), after = file_parse(secret_data(text), secret_size(text));

                check_root(&before, &after);
                check_runners(&before, &after, &result);
                check_again(text, edit, &result);
                (void)toml_document_free(before.document);
                (void)toml_document_free(after.document);
        }
        entry_results_done(&result, 1);
        return 0;
}
