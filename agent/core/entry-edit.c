/* A batch of edits to a config.toml: finds the entries, collects the changes, writes the file once. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/url.h"
#include "agent/core/entry-key.h"
#include "agent/core/toml-edit.h"

/* What gitlab-runner's installation writes where there is no file (commands/service.go). */
static const char installed_file[] = "concurrent = 1\n"
                                     "check_interval = 0\n"
                                     "shutdown_timeout = 0\n"
                                     "\n"
                                     "[session_server]\n"
                                     "  session_timeout = 1800\n";

/* Name and url as one string, and who has them: sorted, they find thousands of entries for thousands of edits. */
typedef struct Identity {
        char *key; /* NULL: nothing to be found by */
        size_t number;
} Identity;

typedef struct IdentityList {
        Identity *identities;
        size_t n;
} IdentityList;

typedef struct Batch {
        TomlDocument *document;
        TomlEdit *edit;
        EntryList *list;
        const TomlValue **tables; /* by index */
        bool *taken;              /* by index: an earlier edit has it */
        const TomlValue *runners; /* the array that new entries go to; NULL if there is none yet */
        size_t n_arrays;
        IdentityList old;    /* of the entries */
        IdentityList wanted; /* of the edits */
} Batch;

static void identity_list_done(IdentityList *list)
{
        for (size_t i = 0; i < list->n; i++)
                string_wipe_free(list->identities[i].key);
        free(list->identities);
        *list = (IdentityList){0};
}

static void batch_done(Batch *batch)
{
        identity_list_done(&batch->old);
        identity_list_done(&batch->wanted);
        free(batch->taken);
        free(batch->tables);
        entry_list_free(batch->list);
        toml_edit_free(batch->edit);
        toml_document_free(batch->document);
}

/* No url of ours holds a line feed, so that none of our keys equals another pair's. */
static int make_key(const char *name, const char *url, char **ret)
{
        _cleanup_(string_wipe_freep) char *base = NULL;

        if (!name || !url)
                return 0;

        int r = url_normalize(url, &base);
        if (r < 0)
                return r;
        if (asprintf(ret, "%s\n%s", base, name) < 0) {
                *ret = NULL;
                return -ENOMEM;
        }
        return 0;
}

static int compare_identities(const void *a, const void *b)
{
        const Identity *s = a, *t = b;
        int c = !s->key || !t->key ? !s->key - !t->key : strcmp(s->key, t->key);

        return c ? c : (s->number > t->number) - (s->number < t->number);
}

/* The first of those with this key; *ret_count says how many there are. */
static const Identity *find_identity(const IdentityList *list, const char *key, size_t *ret_count)
{
        size_t low = 0, high = list->n, n = 0;

        while (low < high) {
                size_t middle = low + (high - low) / 2;
                const char *other = list->identities[middle].key;

                if (other && strcmp(other, key) < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        while (low + n < list->n && list->identities[low + n].key && strcmp(list->identities[low + n].key, key) == 0)
                n++;
        *ret_count = n;
        return n > 0 ? &list->identities[low] : NULL;
}

static int index_entries(Batch *b)
{
        size_t n = b->list->n_entries;

        b->old.identities = calloc(n > 0 ? n : 1, sizeof(*b->old.identities));
        if (!b->old.identities)
                return -ENOMEM;
        for (; b->old.n < n; b->old.n++) {
                Identity *identity = &b->old.identities[b->old.n];

                identity->number = b->old.n;
                int r = make_key(b->list->entries[b->old.n].name, b->list->entries[b->old.n].url, &identity->key);
                if (r < 0)
                        return r;
        }
        qsort(b->old.identities, n, sizeof(*b->old.identities), compare_identities);
        return 0;
}

static int index_edits(Batch *b, const EntryEdit *edits, size_t n)
{
        b->wanted.identities = calloc(n > 0 ? n : 1, sizeof(*b->wanted.identities));
        if (!b->wanted.identities)
                return -ENOMEM;
        for (; b->wanted.n < n; b->wanted.n++) {
                const EntryEdit *edit = &edits[b->wanted.n];
                Identity *identity = &b->wanted.identities[b->wanted.n];

                identity->number = b->wanted.n;
                if (edit->kind == ENTRY_EDIT_CONCURRENT || edit->index != ENTRY_INDEX_NONE)
                        continue;
                int r = make_key(edit->name, edit->url, &identity->key);
                if (r < 0)
                        return r;
        }
        qsort(b->wanted.identities, n, sizeof(*b->wanted.identities), compare_identities);
        return 0;
}

static int batch_init(Batch *b, const void *data, size_t n, TomlError *reterr)
{
        EntryWalk walk;

        int r = toml_document_parse(data, n, TOML_VERSION_1_1, &b->document, reterr);
        if (r < 0)
                return r == -EFBIG ? -EBADMSG : r;
        r = entry_list_from_document(b->document, &b->list, reterr);
        if (r >= 0)
                r = toml_edit_new(b->document, &b->edit);
        if (r >= 0)
                r = entry_walk_init(&walk, b->document, reterr);
        if (r < 0)
                return r;

        b->n_arrays = walk.n_arrays;
        b->runners = walk.array;
        b->tables = calloc(b->list->n_entries + 1, sizeof(*b->tables));
        b->taken = calloc(b->list->n_entries + 1, sizeof(*b->taken));
        if (!b->tables || !b->taken)
                return -ENOMEM;
        for (size_t i = 0; i < b->list->n_entries; i++)
                b->tables[i] = entry_walk_next(&walk);
        return index_entries(b);
}

static int fail(EntryResult *result, int error, const char *text)
{
        result->outcome = ENTRY_OUTCOME_FAILED;
        result->error = error;
        result->message = strdup(text);
        return result->message ? 0 : -ENOMEM;
}

/* The value of a key already says what is wanted, though perhaps in other words. */
static int says_the_same(
        EntryKey key, const TomlValue *value, const TomlScalar *wanted, const EntryEdit *edit, bool *ret)
{
        struct timespec time;
        bool local;

        *ret = toml_scalar_equal(wanted, value);
        if (*ret)
                return 0;
        if (key == ENTRY_KEY_URL && value->type == TOML_TYPE_STRING) {
                _cleanup_(string_wipe_freep) char *url = NULL;

                int r = toml_string_dup(value->string, &url);
                if (r == -ENOMEM)
                        return r;
                *ret = r >= 0 && url_equal(url, edit->url);
        } else if (wanted->type == TOML_TYPE_DATETIME)
                *ret = entry_time_read(value, &time, &local) && !local && time.tv_sec == wanted->time.tv_sec &&
                       time.tv_nsec == wanted->time.tv_nsec;
        return 0;
}

/* Where a key that is missing goes: behind the nearest of ours that gitlab-runner writes before it. */
static const TomlValue *find_anchor(const TomlValue *const keys[static _ENTRY_KEY_MAX], EntryKey key)
{
        while (key > 0)
                if (keys[--key] && keys[key]->origin == TOML_ORIGIN_VALUE)
                        return keys[key];
        return NULL;
}

/* Sets every spelling of a key: gitlab-runner takes a random one, and all of them being right is the only safe state.
 */
static int set_spellings(
        Batch *b, const EntryEdit *edit, size_t index, const TomlValue *first, EntryKey key, bool *changed)
{
        TomlScalar wanted;
        int r = 0;

        (void)entry_edit_wants(edit, key, &wanted);
        for (const TomlValue *v = first; v && r >= 0;
                v = v->next ? toml_table_find_fold(b->tables[index], v->next, entry_key_to_string(key)) : NULL) {
                bool now = false, same = false;

                if (key >= ENTRY_KEY_TLS_CA && wanted.string.size == 0) {
                        r = toml_edit_remove(b->edit, v);
                        now = true;
                } else
                        r = says_the_same(key, v, &wanted, edit, &same);
                if (r >= 0 && !now && !same)
                        r = toml_edit_set(b->edit, v, &wanted, &now);
                *changed = *changed || now;
        }
        return r;
}

static int change_keys(Batch *b, const EntryEdit *edit, size_t index, bool *changed, EntryKey *ret_failed)
{
        const TomlValue *keys[_ENTRY_KEY_MAX];

        (void)entry_keys_find(b->tables[index], keys);
        for (EntryKey key = 0; key < ENTRY_KEY_EXECUTOR; key++) {
                TomlScalar wanted;
                int r = 0;

                *ret_failed = key;
                if (!entry_edit_wants(edit, key, &wanted))
                        continue;
                if (keys[key])
                        r = set_spellings(b, edit, index, keys[key], key, changed);
                else if (wanted.type != TOML_TYPE_STRING || wanted.string.size > 0) {
                        r = toml_edit_add(
                                b->edit, b->tables[index], find_anchor(keys, key), entry_key_to_string(key), &wanted);
                        *changed = true;
                }
                if (r < 0)
                        return r;
        }
        return 0;
}

static int change_entry(Batch *b, const EntryEdit *edit, size_t index, EntryResult *result)
{
        TomlEditMark mark = toml_edit_mark(b->edit);
        EntryKey failed = 0;
        bool changed = false;
        char text[128];

        int r = change_keys(b, edit, index, &changed, &failed);
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                toml_edit_rewind(b->edit, mark);
                (void)snprintf(text, sizeof(text), "%s can't be set: %s", entry_key_to_string(failed),
                        r == -EINVAL ? "its value is not UTF-8, or no time that a file can hold"
                                     : "the file has a table in its place");
                return fail(result, r, text);
        }
        result->outcome = changed ? ENTRY_OUTCOME_CHANGED : ENTRY_OUTCOME_UNCHANGED;
        return 0;
}

/* Was an entry with this name and url added by an earlier edit of the batch? */
static bool was_added(const Batch *b, const EntryResult *results, const char *key, size_t before)
{
        size_t n;
        const Identity *identity = find_identity(&b->wanted, key, &n);

        /* The edit itself is the last that is looked at. */
        for (size_t i = 0; identity[i].number < before; i++)
                if (results[identity[i].number].outcome == ENTRY_OUTCOME_ADDED)
                        return true;
        return false;
}

static int add_entry(Batch *b, const EntryEdit *edit, EntryResult *result)
{
        const TomlValue *runners = b->runners;
        _cleanup_secret_ Secret *text = NULL;
        TomlError error = {0};
        char message[256];
        int r;

        if (b->n_arrays > 1)
                return fail(result, -ENOTUNIQ,
                        "the file has 'runners' in two spellings, of which gitlab-runner takes a random one");

        bool bracketed = runners && runners->origin == TOML_ORIGIN_VALUE;
        if (bracketed)
                r = entry_text_new_inline(edit, &text, &error);
        else
                r = entry_text_new(edit, runners ? runners->key : (TomlString){"runners", 7}, &text, &error);
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                if (error.line > 0)
                        (void)snprintf(message, sizeof(message), "line %zu: %s", error.line, error.text);
                else
                        (void)snprintf(message, sizeof(message), "%s", error.text);
                return fail(result, r, message);
        }

        if (bracketed)
                r = toml_edit_append_item(b->edit, runners, secret_data(text), secret_size(text));
        else
                r = toml_edit_append_text(b->edit, secret_data(text), secret_size(text));
        result->outcome = ENTRY_OUTCOME_ADDED;
        return r;
}

/* `concurrent`, in every spelling. */
static int set_concurrent(Batch *b, const EntryEdit *edit, EntryResult *result)
{
        const TomlValue *root = toml_document_root(b->document);
        const TomlScalar wanted = {.type = TOML_TYPE_INTEGER, .integer = edit->concurrent};
        TomlEditMark mark = toml_edit_mark(b->edit);
        const TomlValue *v = toml_table_find_fold(root, NULL, "concurrent");
        bool changed = false, now;
        int r = 0;

        if (edit->concurrent < 1)
                return fail(result, -EINVAL, "concurrent is below 1, with which gitlab-runner exits");
        if (!v) {
                r = toml_edit_add(b->edit, root, NULL, "concurrent", &wanted);
                changed = true;
        }
        for (; v && r >= 0; v = v->next ? toml_table_find_fold(root, v->next, "concurrent") : NULL) {
                r = toml_edit_set(b->edit, v, &wanted, &now);
                changed = changed || (r >= 0 && now);
        }
        if (r == -EOPNOTSUPP) {
                toml_edit_rewind(b->edit, mark);
                return fail(result, r, "concurrent can't be set: the file has a table in its place");
        }
        result->outcome = changed ? ENTRY_OUTCOME_CHANGED : ENTRY_OUTCOME_UNCHANGED;
        return r;
}

/* Of N entries with one identity the one that a guarded edit may touch; NULL: none. */
static const Identity *find_guarded(const Batch *b, const EntryEdit *edit, const Identity *first, size_t n)
{
        const Secret *wanted[] = {edit->token, edit->holds};

        for (size_t k = 0; k < ELEMENTS(wanted); k++)
                for (size_t i = 0; wanted[k] && i < n; i++)
                        if (secret_equal(b->list->entries[first[i].number].token, wanted[k]))
                                return &first[i];
        for (size_t i = 0; edit->kind != ENTRY_EDIT_REMOVE && i < n; i++)
                if (!entry_is_usable(&b->list->entries[first[i].number]))
                        return &first[i];
        return NULL;
}

/* Finds the entry that an edit means; *ret_key is its identity, if it goes by that. */
static int find_entry(const Batch *b, const EntryEdit *edit, EntryResult *result, char **ret_key)
{
        const Identity *identity = NULL;

        result->index = edit->index;
        if (edit->index == ENTRY_INDEX_NONE) {
                int r = make_key(edit->name, edit->url, ret_key);
                if (r < 0)
                        return r;
                if (*ret_key)
                        identity = find_identity(&b->old, *ret_key, &result->matches);
                if (identity && edit->guarded)
                        identity = find_guarded(b, edit, identity, result->matches);
                if (identity)
                        result->index = identity->number;
                else if (result->matches > 0 && edit->kind != ENTRY_EDIT_REMOVE)
                        return -ESTALE;
        } else
                result->matches = edit->index < b->list->n_entries;
        if (result->index != ENTRY_INDEX_NONE && result->matches > 0)
                result->problems = b->list->entries[result->index].problems;
        return 0;
}

static int apply_edit(Batch *b, const EntryEdit *edits, size_t i, EntryResult *results)
{
        _cleanup_(string_wipe_freep) char *key = NULL;
        const EntryEdit *edit = &edits[i];
        EntryResult *result = &results[i];

        if (edit->kind == ENTRY_EDIT_CONCURRENT) {
                result->index = ENTRY_INDEX_NONE;
                return set_concurrent(b, edit, result);
        }

        int r = find_entry(b, edit, result, &key);
        if (r == -ESTALE)
                return fail(result, r, "config.toml holds a token there that somebody else has written");
        if (r < 0)
                return r;
        if (edit->index != ENTRY_INDEX_NONE && result->matches == 0)
                return fail(result, -ENOENT, "the file has no entry of that number");
        if (edit->index == ENTRY_INDEX_NONE && !key)
                return fail(result, -EINVAL, "an entry is found and made by name and url, one of which is missing");
        if (result->index != ENTRY_INDEX_NONE && b->taken[result->index])
                return fail(result, -EEXIST, "an earlier edit of the batch has that entry");

        if (result->index != ENTRY_INDEX_NONE) {
                b->taken[result->index] = true;
                if (edit->kind != ENTRY_EDIT_REMOVE)
                        return change_entry(b, edit, result->index, result);
                result->outcome = ENTRY_OUTCOME_REMOVED;
                return toml_edit_remove(b->edit, b->tables[result->index]);
        }
        if (edit->kind == ENTRY_EDIT_REMOVE) {
                result->outcome = ENTRY_OUTCOME_ABSENT;
                return 0;
        }
        if (was_added(b, results, key, i))
                return fail(result, -EEXIST, "an earlier edit of the batch made that entry");
        return add_entry(b, edit, result);
}

void entry_results_done(EntryResult *results, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                free(results[i].message);
                results[i].message = NULL;
        }
}

int entry_edits_apply(const void *data, size_t n, const EntryEdit *edits, size_t n_edits, EntryResult *results,
        Secret **ret, TomlError *reterr)
{
        _cleanup_(batch_done) Batch batch = {0};
        _cleanup_free_ EntryResult *own = NULL;

        if (!data) {
                data = installed_file;
                n = sizeof(installed_file) - 1;
        }
        own = calloc(n_edits > 0 ? n_edits : 1, sizeof(*own));
        if (!own)
                return -ENOMEM;

        int r = batch_init(&batch, data, n, reterr);
        if (r >= 0)
                r = index_edits(&batch, edits, n_edits);
        for (size_t i = 0; i < n_edits && r >= 0; i++)
                r = apply_edit(&batch, edits, i, own);
        if (r >= 0)
                r = toml_edit_finish(batch.edit, ret);
        if (r < 0) {
                entry_results_done(own, n_edits);
                return r;
        }
        if (n_edits > 0)
                memcpy(results, own, n_edits * sizeof(*own));
        return 0;
}
