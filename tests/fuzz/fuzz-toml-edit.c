/* One value of a document is set, removed or put beside: the outcome parses, to the same values but for that one. */

#include "agent/core/toml-edit.h"
#include "tests/fuzz/fuzz.h"

typedef enum Verb {
        SET,
        REMOVE,
        ADD,
        _VERB_MAX,
} Verb;

static const TomlValue *find(const TomlValue *value, uint32_t id)
{
        if (value->id == id)
                return value;
        for (const TomlValue *child = toml_value_first(value); child; child = child->next) {
                const TomlValue *found = find(child, id);
                if (found)
                        return found;
        }
        return NULL;
}

/* Whether B is A but for what was done to TARGET, a value of A. */
static bool same(const TomlValue *a, const TomlValue *b, const TomlValue *target, Verb verb)
{
        size_t n = 0, extra = 0, there = 0;

        if (verb == SET && a == target)
                return b->type == TOML_TYPE_INTEGER && b->integer == 7;
        if (a->type != TOML_TYPE_TABLE && a->type != TOML_TYPE_ARRAY)
                return toml_value_equal(a, b);
        if (a->type != b->type)
                return false;
        const TomlValue *other = toml_value_first(b);
        for (const TomlValue *child = toml_value_first(a); child; child = child->next) {
                if (verb == REMOVE && child == target)
                        continue;
                n++;
                if (a->type == TOML_TYPE_ARRAY) {
                        if (!other || !same(child, other, target, verb))
                                return false;
                        other = other->next;
                        continue;
                }
                char *key = NULL;
                if (toml_string_dup(child->key, &key) < 0)
                        return true;
                const TomlValue *found = toml_table_get(b, key);
                free(key);
                if (!found)
                        /* A table that only what was removed spoke of goes with it. */
                        extra += verb == REMOVE && find(child, target->id) ? 1 : 2;
                else if (!same(child, found, target, verb))
                        return false;
        }
        if (extra > 1)
                return false;
        for (const TomlValue *child = toml_value_first(b); child; child = child->next)
                there++;
        return there == n - extra + (verb == ADD && a == target ? 1 : 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const TomlScalar seven = {TOML_TYPE_INTEGER, .integer = 7};
        _cleanup_(toml_document_freep) TomlDocument *old = NULL, *new = NULL;
        _cleanup_(toml_edit_freep) TomlEdit *edit = NULL;
        _cleanup_secret_ Secret *text = NULL;
        Verb verb = fuzz_take(&data, &size) % _VERB_MAX;
        uint32_t id = fuzz_take(&data, &size);
        bool changed;

        if (toml_document_parse(data, size, TOML_VERSION_1_1, &old, NULL) < 0)
                return 0;
        const TomlValue *root = toml_document_root(old);
        const TomlValue *target = find(root, id % (uint32_t)toml_document_count(old));
        if (!target || (target == root && verb != ADD) || toml_edit_new(old, &edit) < 0)
                return 0;
        if (verb == ADD && (target->type != TOML_TYPE_TABLE || toml_table_get(target, "new")))
                return 0;
        int r = verb == SET   ? toml_edit_set(edit, target, &seven, &changed)
                : verb == ADD ? toml_edit_add(edit, target, NULL, "new", &seven)
                              : toml_edit_remove(edit, target);
        if (r < 0) {
                HOLDS(r == -EOPNOTSUPP);
                return 0;
        }
        HOLDS(toml_edit_finish(edit, &text) == 0);
        HOLDS(toml_document_parse(secret_data(text), secret_size(text), TOML_VERSION_1_1, &new, NULL) == 0);
        HOLDS(same(root, toml_document_root(new), target, verb));
        return 0;
}
