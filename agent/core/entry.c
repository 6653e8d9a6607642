/* Reading entries, with gitlab-runner's eyes: what it accepts, what it refuses, what it leaves to chance. */

#include "agent/core/entry.h"

#include <errno.h>
#include <string.h>

#include "agent/core/entry-key.h"
#include "agent/core/token.h"

const char *entry_key_to_string(EntryKey key)
{
        static const char *const names[_ENTRY_KEY_MAX] = {
                [ENTRY_KEY_NAME] = "name",
                [ENTRY_KEY_URL] = "url",
                [ENTRY_KEY_ID] = "id",
                [ENTRY_KEY_TOKEN] = "token",
                [ENTRY_KEY_OBTAINED] = "token_obtained_at",
                [ENTRY_KEY_EXPIRES] = "token_expires_at",
                [ENTRY_KEY_TLS_CA] = "tls-ca-file",
                [ENTRY_KEY_TLS_CERT] = "tls-cert-file",
                [ENTRY_KEY_TLS_KEY] = "tls-key-file",
                [ENTRY_KEY_EXECUTOR] = "executor",
        };

        return (unsigned)key < _ENTRY_KEY_MAX ? names[key] : NULL;
}

bool entry_keys_find(const TomlValue *table, const TomlValue *ret[static _ENTRY_KEY_MAX])
{
        bool twice = false;

        for (EntryKey key = 0; key < _ENTRY_KEY_MAX; key++)
                ret[key] = NULL;
        for (const TomlValue *v = toml_value_first(table); v; v = v->next)
                for (EntryKey key = 0; key < _ENTRY_KEY_MAX; key++) {
                        if (!toml_string_equal_fold(v->key, entry_key_to_string(key)))
                                continue;
                        if (ret[key])
                                twice = true;
                        else
                                ret[key] = v;
                        break;
                }
        return twice;
}

/* The next member of the root that gitlab-runner takes for `runners`, after `after`. */
static const TomlValue *next_array(const TomlValue *root, const TomlValue *after)
{
        for (const TomlValue *v = after ? after->next : toml_value_first(root); v; v = v->next)
                if (toml_string_equal_fold(v->key, "runners"))
                        return v;
        return NULL;
}

static bool holds_only_tables(const TomlValue *array)
{
        if (array->type != TOML_TYPE_ARRAY)
                return false;
        for (const TomlValue *v = toml_value_first(array); v; v = v->next)
                if (v->type != TOML_TYPE_TABLE)
                        return false;
        return true;
}

int entry_walk_init(EntryWalk *walk, const TomlDocument *document, TomlError *reterr)
{
        const TomlValue *root = toml_document_root(document), *first = next_array(root, NULL);

        *walk = (EntryWalk){.array = first};
        for (const TomlValue *v = first; v; v = next_array(root, v)) {
                if (!holds_only_tables(v)) {
                        size_t line, column;

                        toml_document_locate(document, v->span.start, &line, &column);
                        return toml_error_set(reterr, -EBADMSG, line, column,
                                "'runners' is not written as [[runners]] tables, gitlab-runner refuses the whole "
                                "file");
                }
                walk->n_arrays++;
        }
        walk->next = first ? toml_value_first(first) : NULL;
        return 0;
}

const TomlValue *entry_walk_next(EntryWalk *walk)
{
        while (!walk->next && walk->array) {
                walk->array = next_array(walk->array->parent, walk->array);
                walk->next = walk->array ? toml_value_first(walk->array) : NULL;
        }

        const TomlValue *table = walk->next;
        if (table)
                walk->next = table->next;
        return table;
}

/* Go's time.UnmarshalText() is stricter than TOML: capital T and Z, seconds and offset, no second 60. */
static bool read_quoted_time(TomlString text, TomlDate *ret)
{
        TomlType type;

        if (text.size < 20 || text.data[10] != 'T' || memchr(text.data, 'z', text.size))
                return false;
        return toml_date_parse(text.data, text.size, TOML_VERSION_1_0, ret, &type) >= 0 &&
               type == TOML_TYPE_DATETIME && ret->second < 60;
}

bool entry_time_read(const TomlValue *value, struct timespec *ret, bool *ret_local)
{
        TomlDate date;

        *ret_local = false;
        if (value->type == TOML_TYPE_STRING) {
                if (!read_quoted_time(value->string, &date))
                        return false;
        } else if (value->type == TOML_TYPE_DATETIME || value->type == TOML_TYPE_DATETIME_LOCAL ||
                   value->type == TOML_TYPE_DATE_LOCAL) {
                date = value->date;
                *ret_local = value->type != TOML_TYPE_DATETIME;
        } else
                return false;

        *ret = toml_date_to_timespec(&date);
        return true;
}

/* A text, or NULL and a problem if it is none. One with a NUL in it counts as none: no url, name or executor has one.
 */
static int read_text(const TomlValue *value, unsigned problem, char **ret, unsigned *problems)
{
        int r = -EINVAL;

        if (!value)
                return 0;
        if (value->type == TOML_TYPE_STRING)
                r = toml_string_dup(value->string, ret);
        if (r == -EINVAL) {
                *problems |= problem;
                return 0;
        }
        return r;
}

static bool is_blank(TomlString string)
{
        for (size_t i = 0; i < string.size; i++)
                if (!string.data[i] || !strchr(" \t\n\v\f\r", string.data[i]))
                        return false;
        return true;
}

static int read_token(const TomlValue *value, Entry *entry)
{
        if (!value) {
                entry->problems |= ENTRY_PROBLEM_TOKEN_BLANK;
                return 0;
        }
        if (value->type != TOML_TYPE_STRING) {
                entry->problems |= ENTRY_PROBLEM_TOKEN_TYPE;
                return 0;
        }
        if (is_blank(value->string))
                entry->problems |= ENTRY_PROBLEM_TOKEN_BLANK;
        if (value->string.size > 0 && memchr(value->string.data, '$', value->string.size))
                entry->problems |= ENTRY_PROBLEM_REFERENCE;
        return secret_new(value->string.data, value->string.size, &entry->token);
}

static void read_time(
        const TomlValue *value, unsigned problem, struct timespec *ret, bool *ret_has, unsigned *problems)
{
        bool local;

        *ret = (struct timespec){.tv_sec = (time_t)ENTRY_TIME_ZERO_SEC};
        if (!value)
                return;
        *ret_has = entry_time_read(value, ret, &local);
        if (!*ret_has)
                *problems |= problem;
        else if (local)
                *problems |= ENTRY_PROBLEM_TIME_LOCAL;
}

static int read_entry(const TomlValue *table, Entry *entry)
{
        const TomlValue *keys[_ENTRY_KEY_MAX];

        if (table->expression)
                entry->line = table->expression->line;
        if (entry_keys_find(table, keys))
                entry->problems |= ENTRY_PROBLEM_KEY_TWICE;

        int r = read_text(keys[ENTRY_KEY_NAME], ENTRY_PROBLEM_NAME_TYPE, &entry->name, &entry->problems);
        if (r >= 0)
                r = read_text(keys[ENTRY_KEY_URL], ENTRY_PROBLEM_URL_TYPE, &entry->url, &entry->problems);
        if (r >= 0)
                r = read_text(
                        keys[ENTRY_KEY_EXECUTOR], ENTRY_PROBLEM_EXECUTOR_TYPE, &entry->executor, &entry->problems);
        if (r >= 0)
                r = read_token(keys[ENTRY_KEY_TOKEN], entry);
        if (r < 0)
                return r;

        if (entry->url && strchr(entry->url, '$'))
                entry->problems |= ENTRY_PROBLEM_REFERENCE;
        if (keys[ENTRY_KEY_ID] && keys[ENTRY_KEY_ID]->type == TOML_TYPE_INTEGER)
                entry->id = keys[ENTRY_KEY_ID]->integer;
        else if (keys[ENTRY_KEY_ID])
                entry->problems |= ENTRY_PROBLEM_ID_TYPE;
        read_time(keys[ENTRY_KEY_OBTAINED], ENTRY_PROBLEM_OBTAINED_TYPE, &entry->obtained_at, &entry->has_obtained_at,
                &entry->problems);
        read_time(keys[ENTRY_KEY_EXPIRES], ENTRY_PROBLEM_EXPIRES_TYPE, &entry->expires_at, &entry->has_expires_at,
                &entry->problems);
        return 0;
}

int entry_list_from_document(const TomlDocument *document, EntryList **ret, TomlError *reterr)
{
        _cleanup_(entry_list_freep) EntryList *list = calloc(1, sizeof(*list));
        EntryWalk walk;
        size_t n = 0;

        if (!list)
                return -ENOMEM;

        int r = entry_walk_init(&walk, document, reterr);
        if (r < 0)
                return r;
        for (EntryWalk counting = walk; entry_walk_next(&counting);)
                n++;
        list->entries = calloc(n > 0 ? n : 1, sizeof(*list->entries));
        if (!list->entries)
                return -ENOMEM;

        for (const TomlValue *table; (table = entry_walk_next(&walk));) {
                Entry *entry = &list->entries[list->n_entries];

                entry->index = list->n_entries++;
                if (walk.n_arrays > 1)
                        entry->problems |= ENTRY_PROBLEM_RUNNERS_TWICE;
                r = read_entry(table, entry);
                if (r < 0)
                        return r;
                list->problems |= entry->problems;
        }

        const TomlValue *concurrent = toml_table_find_fold(toml_document_root(document), NULL, "concurrent");
        if (concurrent && concurrent->type == TOML_TYPE_INTEGER) {
                list->has_concurrent = true;
                list->concurrent = concurrent->integer;
        }
        *ret = take_ptr(list);
        return 0;
}

int entry_list_read(const void *data, size_t n, EntryList **ret, TomlError *reterr)
{
        _cleanup_(toml_document_freep) TomlDocument *document = NULL;

        int r = toml_document_parse(data, n, TOML_VERSION_1_1, &document, reterr);
        if (r < 0)
                return r == -EFBIG ? -EBADMSG : r;
        return entry_list_from_document(document, ret, reterr);
}

EntryList *entry_list_free(EntryList *list)
{
        if (!list)
                return NULL;
        for (size_t i = 0; i < list->n_entries; i++) {
                Entry *entry = &list->entries[i];

                string_wipe_free(entry->name);
                string_wipe_free(entry->url);
                string_wipe_free(entry->executor);
                secret_free(entry->token);
        }
        free(list->entries);
        free(list);
        return NULL;
}

bool entry_is_usable(const Entry *entry)
{
        return entry->token && !(entry->problems & (ENTRY_PROBLEM_TOKEN_BLANK | ENTRY_PROBLEM_REFERENCE)) &&
               !token_complaint(entry->token);
}
