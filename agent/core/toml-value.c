/* The tree of values: tables that stay fast when they are long, comparison, and Go's idea of equal keys. */

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/toml-tree.h"

/* Below this a walk is faster than an index. */
#define INDEX_FROM 8U

/* Open addressing, at most half full, power of two. */
typedef struct TomlIndex {
        size_t n_slots;
        size_t n_used;
        TomlValue *slots[];
} TomlIndex;

static uint64_t hash_key(TomlString key)
{
        uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

        for (size_t i = 0; i < key.size; i++)
                hash = (hash ^ (unsigned char)key.data[i]) * UINT64_C(0x100000001b3);
        return hash ^ hash >> 32;
}

static bool same_string(TomlString a, TomlString b)
{
        return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static TomlValue **index_slot(TomlIndex *index, TomlString key)
{
        size_t i = hash_key(key) & (index->n_slots - 1);

        while (index->slots[i] && !same_string(index->slots[i]->key, key))
                i = (i + 1) & (index->n_slots - 1);
        return &index->slots[i];
}

static int index_add(TomlTree *tree, TomlValue *table, TomlValue *member)
{
        TomlIndex *index = table->children.index;

        if (!index || (index->n_used + 1) * 2 > index->n_slots) {
                size_t n_slots = index ? index->n_slots * 2 : 4 * INDEX_FROM;
                TomlIndex *bigger =
                        toml_memory_alloc(&tree->memory, sizeof(TomlIndex) + n_slots * sizeof(TomlValue *));

                if (!bigger)
                        return -ENOMEM;
                bigger->n_slots = n_slots;
                for (TomlValue *v = table->children.first; v; v = v->next)
                        *index_slot(bigger, v->key) = v;
                bigger->n_used = table->children.count;
                table->children.index = index = bigger;
        }
        *index_slot(index, member->key) = member;
        index->n_used++;
        return 0;
}

int toml_tree_init(TomlTree *tree)
{
        tree->root = toml_memory_alloc(&tree->memory, sizeof(TomlValue));
        if (!tree->root)
                return -ENOMEM;
        tree->root->type = TOML_TYPE_TABLE;
        tree->root->origin = TOML_ORIGIN_HEADER;
        tree->root->id = tree->n_values++;
        return 0;
}

int toml_tree_add(TomlTree *tree, TomlValue *parent, const TomlString *key, TomlValue **ret)
{
        if (parent->depth >= TOML_DEPTH_MAX)
                return -EFBIG;
        /* Each takes a byte of a source whose bytes can be counted so. */
        assert(tree->n_values < UINT32_MAX);

        TomlValue *value = toml_memory_alloc(&tree->memory, sizeof(TomlValue));
        if (!value)
                return -ENOMEM;
        value->id = tree->n_values++;
        value->parent = parent;
        value->depth = (uint16_t)(parent->depth + 1);
        if (key) {
                value->has_key = true;
                value->key = *key;
                if (parent->children.count >= INDEX_FROM) {
                        int r = index_add(tree, parent, value);
                        if (r < 0)
                                return r;
                }
        }

        if (parent->children.last)
                parent->children.last->next = value;
        else
                parent->children.first = value;
        parent->children.last = value;
        parent->children.count++;
        *ret = value;
        return 0;
}

TomlValue *toml_tree_get(const TomlValue *table, TomlString key)
{
        if (table->type != TOML_TYPE_TABLE)
                return NULL;
        if (table->children.index)
                return *index_slot(table->children.index, key);
        for (TomlValue *v = table->children.first; v; v = v->next)
                if (same_string(v->key, key))
                        return v;
        return NULL;
}

TomlValue *toml_table_get(const TomlValue *table, const char *key)
{
        return toml_tree_get(table, (TomlString){key, strlen(key)});
}

TomlValue *toml_value_first(const TomlValue *value)
{
        return value->type == TOML_TYPE_TABLE || value->type == TOML_TYPE_ARRAY ? value->children.first : NULL;
}

TomlValue *toml_table_find_fold(const TomlValue *table, TomlValue *from, const char *key)
{
        if (table->type != TOML_TYPE_TABLE)
                return NULL;
        for (TomlValue *v = from ? from : table->children.first; v; v = v->next)
                if (toml_string_equal_fold(v->key, key))
                        return v;
        return NULL;
}

bool toml_string_equal(TomlString a, const char *b)
{
        return same_string(a, (TomlString){b, strlen(b)});
}

/* One character of a, folded to a small ASCII letter where it folds to one. Two beyond ASCII do: U+017F (long s) and
 * U+212A (the Kelvin sign), so Go takes `to\u212Aen` for `token`. */
static size_t fold_next(TomlString a, size_t i, char *ret)
{
        if (a.size - i >= 2 && memcmp(a.data + i, "\xC5\xBF", 2) == 0) {
                *ret = 's';
                return 2;
        }
        if (a.size - i >= 3 && memcmp(a.data + i, "\xE2\x84\xAA", 3) == 0) {
                *ret = 'k';
                return 3;
        }
        *ret = a.data[i] >= 'A' && a.data[i] <= 'Z' ? (char)(a.data[i] | 0x20) : a.data[i];
        return 1;
}

bool toml_string_equal_fold(TomlString a, const char *b)
{
        size_t i = 0;

        for (; *b && i < a.size; b++) {
                char c = *b >= 'A' && *b <= 'Z' ? (char)(*b | 0x20) : *b, folded;

                i += fold_next(a, i, &folded);
                if (folded != c)
                        return false;
        }
        return !*b && i == a.size;
}

int toml_string_dup(TomlString string, char **ret)
{
        if (string.size > 0 && memchr(string.data, 0, string.size))
                return -EINVAL;

        char *copy = malloc(string.size + 1);
        if (!copy)
                return -ENOMEM;
        if (string.size > 0)
                memcpy(copy, string.data, string.size);
        copy[string.size] = 0;
        *ret = copy;
        return 0;
}

static bool equal_dates(const TomlValue *a, const TomlValue *b)
{
        if (a->type == TOML_TYPE_DATETIME) {
                struct timespec s = toml_date_to_timespec(&a->date), t = toml_date_to_timespec(&b->date);

                return s.tv_sec == t.tv_sec && s.tv_nsec == t.tv_nsec;
        }

        const TomlDate *d = &a->date, *e = &b->date;
        return d->year == e->year && d->month == e->month && d->day == e->day && d->hour == e->hour &&
               d->minute == e->minute && d->second == e->second && d->nanosecond == e->nanosecond;
}

static bool equal_children(const TomlValue *a, const TomlValue *b)
{
        if (a->children.count != b->children.count)
                return false;

        const TomlValue *w = b->children.first;
        for (const TomlValue *v = a->children.first; v; v = v->next) {
                if (a->type == TOML_TYPE_TABLE)
                        w = toml_tree_get(b, v->key);
                if (!w || !toml_value_equal(v, w))
                        return false;
                w = w->next;
        }
        return true;
}

/* Recurses no deeper than TOML_DEPTH_MAX: no tree is deeper. */
bool toml_value_equal(const TomlValue *a, const TomlValue *b)
{
        if (a->type != b->type)
                return false;

        switch (a->type) {
        case TOML_TYPE_STRING:
                return same_string(a->string, b->string);
        case TOML_TYPE_INTEGER:
                return a->integer == b->integer;
        case TOML_TYPE_FLOAT:
                if (isnan(a->real) || isnan(b->real))
                        return isnan(a->real) && isnan(b->real);
                return !(a->real < b->real) && !(a->real > b->real);
        case TOML_TYPE_BOOLEAN:
                return a->boolean == b->boolean;
        case TOML_TYPE_DATETIME:
        case TOML_TYPE_DATETIME_LOCAL:
        case TOML_TYPE_DATE_LOCAL:
        case TOML_TYPE_TIME_LOCAL:
                return equal_dates(a, b);
        case TOML_TYPE_ARRAY:
        case TOML_TYPE_TABLE:
                return equal_children(a, b);
        case _TOML_TYPE_MAX:
                break;
        }
        return false;
}

int toml_error_set(TomlError *error, int r, size_t line, size_t column, const char *format, ...)
{
        if (error) {
                va_list ap;

                error->line = line;
                error->column = column;
                va_start(ap, format);
                (void)vsnprintf(error->text, sizeof(error->text), format, ap);
                va_end(ap);
        }
        return r;
}
