#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/base/cleanup.h"
#include "agent/core/toml-edit.h"
#include "tests/unit/toml-files.h"

typedef enum Verb {
        SET = 1,    /* a path to the number 7 */
        ADD,        /* the key `new = 7` to the table of a path */
        ADD_BEHIND, /* the same, behind the member `after` */
        REMOVE,
        APPEND_ITEM, /* the text `7` */
        APPEND_TEXT, /* `[app]` and a key */
} Verb;

typedef struct Step {
        Verb verb;
        const char *path; /* keys and numbers of elements, blanks between them */
        const char *after;
} Step;

static const TomlValue *walk(const TomlValue *value, const char *path)
{
        while (*path && value) {
                char key[32] = "";
                size_t n = strcspn(path, " ");

                memcpy(key, path, n);
                path += n + strspn(path + n, " ");
                if (value->type == TOML_TYPE_TABLE) {
                        value = toml_table_get(value, key);
                        continue;
                }
                const TomlValue *v = toml_value_first(value);
                for (int i = atoi(key); i > 0 && v; i--)
                        v = v->next;
                value = v;
        }
        assert_non_null(value);
        return value;
}

static int apply(TomlEdit *edit, const TomlValue *root, const Step *step)
{
        const TomlScalar seven = {TOML_TYPE_INTEGER, .integer = 7};
        const TomlValue *value = walk(root, step->path);
        bool changed;

        switch (step->verb) {
        case SET:
                return toml_edit_set(edit, value, &seven, &changed);
        case ADD:
                return toml_edit_add(edit, value, NULL, "new", &seven);
        case ADD_BEHIND:
                return toml_edit_add(edit, value, walk(value, step->after), "new", &seven);
        case REMOVE:
                return toml_edit_remove(edit, value);
        case APPEND_ITEM:
                return toml_edit_append_item(edit, value, "7", 1);
        case APPEND_TEXT:
                return toml_edit_append_text(edit, "[app]\n  k = 7\n", 14);
        }
        return -EINVAL;
}

static void check(const char *before, const Step *steps, const char *after)
{
        _cleanup_(toml_document_freep) TomlDocument *document = NULL, *again = NULL;
        _cleanup_(toml_edit_freep) TomlEdit *edit = NULL;
        _cleanup_secret_ Secret *bytes = NULL;
        TomlError error;

        assert_int_equal(toml_document_parse(before, strlen(before), TOML_VERSION_1_1, &document, NULL), 0);
        assert_int_equal(toml_edit_new(document, &edit), 0);
        for (; steps->verb; steps++)
                assert_int_equal(apply(edit, toml_document_root(document), steps), 0);
        assert_int_equal(toml_edit_finish(edit, &bytes), 0);
        assert_string_equal(secret_data(bytes), after);
        int r = toml_document_parse(secret_data(bytes), secret_size(bytes), TOML_VERSION_1_1, &again, &error);
        if (r < 0)
                fail_msg("%zu:%zu: %s in %s", error.line, error.column, error.text, secret_data(bytes));
}

#define STEPS(...)                                                                                                   \
        (const Step[])                                                                                               \
        {                                                                                                            \
                __VA_ARGS__,                                                                                         \
                {                                                                                                    \
                        0                                                                                            \
                }                                                                                                    \
        }

static void test_set(void **state)
{
        check("a = 1", STEPS({SET, "a"}), "a = 7");
        check("a\t= 'x'\t# c\r\n", STEPS({SET, "a"}), "a\t= 7\t# c\r\n");
        check("a = 7\n", STEPS({SET, "a"}), "a = 7\n");
        check("a = 0x07\n", STEPS({SET, "a"}), "a = 0x07\n");
        check("a = \"\"\"x\ny\"\"\" # c\nb=[1,\n2]\n", STEPS({SET, "a"}, {SET, "b 1"}), "a = 7 # c\nb=[1,\n7]\n");
        check("a = [ 1, 2 ] # c\n", STEPS({SET, "a"}), "a = 7 # c\n");
        check("a = {b={c=1}}\n", STEPS({SET, "a b c"}), "a = {b={c=7}}\n");
        check("a = 1\n", STEPS({SET, "a"}, {SET, "a"}), "a = 7\n");
}

static void test_add_lines(void **state)
{
        check("", STEPS({ADD, ""}), "new = 7\n");
        check("a = 1", STEPS({ADD, ""}), "a = 1\nnew = 7");
        check("a = 1\r\n[t]\r\n", STEPS({ADD, ""}), "a = 1\r\nnew = 7\r\n[t]\r\n");
        check("# top\n\n# t\n[t]\n", STEPS({ADD, ""}), "# top\n\nnew = 7\n\n# t\n[t]\n");
        check("# c\n", STEPS({ADD, ""}), "# c\nnew = 7\n");
        check("# c", STEPS({ADD, ""}), "# c\nnew = 7");
        check("\xEF\xBB\xBF[t]\n", STEPS({ADD, ""}), "\xEF\xBB\xBFnew = 7\n\n[t]\n");
        check("[t] # c\n# d\n", STEPS({ADD, "t"}), "[t] # c\n  new = 7\n# d\n");
        check("[t]\n[t.u]\n", STEPS({ADD, "t"}), "[t]\n  new = 7\n[t.u]\n");
        check("  [t]", STEPS({ADD, "t"}), "  [t]\n    new = 7");
        check("[t]\n\tb = 1 # b\n\tc = 1", STEPS({ADD_BEHIND, "t", "b"}), "[t]\n\tb = 1 # b\n\tnew = 7\n\tc = 1");
        check("[t]\n\tb = 1 # b\n\tc = 1", STEPS({ADD_BEHIND, "t", "c"}), "[t]\n\tb = 1 # b\n\tc = 1\n\tnew = 7");
        check("[t]\nb = 1\n", STEPS({ADD, "t"}), "[t]\nnew = 7\nb = 1\n");
        check("[t]\nb = [\n1\n]\nc = 1\n", STEPS({ADD_BEHIND, "t", "b"}), "[t]\nb = [\n1\n]\nnew = 7\nc = 1\n");
        check("[[t]]\n[t.u]\nx = 1\n[[t]]\ny = 1\n", STEPS({ADD, "t 0"}, {ADD, "t 1"}, {ADD, "t 0 u"}),
                "[[t]]\n  new = 7\n[t.u]\nnew = 7\nx = 1\n[[t]]\nnew = 7\ny = 1\n");
}

static void test_add_between_brackets(void **state)
{
        check("a = {}\n", STEPS({ADD, "a"}), "a = { new = 7 }\n");
        check("a = { b = 1 }\n", STEPS({ADD, "a"}), "a = { new = 7, b = 1 }\n");
        check("a = { b = 1 }\n", STEPS({ADD_BEHIND, "a", "b"}), "a = { b = 1, new = 7 }\n");
        check("a = { b = 1, c = 2 }\n", STEPS({ADD_BEHIND, "a", "b"}), "a = { b = 1, new = 7, c = 2 }\n");
        check("a = { b.x = 1, c = 2 }\n", STEPS({ADD_BEHIND, "a", "c"}), "a = { b.x = 1, c = 2, new = 7 }\n");
        check("a = [{b=1},{}]\n", STEPS({ADD_BEHIND, "a 0", "b"}, {ADD, "a 1"}),
                "a = [{b=1, new = 7},{ new = 7 }]\n");
        check("a = {\n  b = 1, # b\n}\n", STEPS({ADD_BEHIND, "a", "b"}), "a = {\n  b = 1, # b\n  new = 7,\n}\n");
        check("a = {\n  b = 1 # b\n}\n", STEPS({ADD_BEHIND, "a", "b"}), "a = {\n  b = 1, # b\n  new = 7\n}\n");
        check("a = {\r\n  b = 1\r\n}\r\n", STEPS({ADD_BEHIND, "a", "b"}), "a = {\r\n  b = 1,\r\n  new = 7\r\n}\r\n");
        check("a = {\n  b = 1, c = 2\n}\n", STEPS({ADD_BEHIND, "a", "b"}), "a = {\n  b = 1, new = 7, c = 2\n}\n");
}

static void test_append_items(void **state)
{
        check("a = []\n", STEPS({APPEND_ITEM, "a"}), "a = [7]\n");
        check("a = [ # c\n]\n", STEPS({APPEND_ITEM, "a"}), "a = [7 # c\n]\n");
        check("a = [1]\n", STEPS({APPEND_ITEM, "a"}, {APPEND_ITEM, "a"}), "a = [1, 7, 7]\n");
        check("a = [1,]\n", STEPS({APPEND_ITEM, "a"}), "a = [1, 7,]\n");
        check("a = [\n  1, # x\n  2 # y\n]\n", STEPS({APPEND_ITEM, "a"}, {APPEND_ITEM, "a"}),
                "a = [\n  1, # x\n  2, # y\n  7,\n  7\n]\n");
        check("a = [\n  1,\n  2,\n  # z\n]\n", STEPS({APPEND_ITEM, "a"}), "a = [\n  1,\n  2,\n  7,\n  # z\n]\n");
        check("a = [\n  1\n  ,]\n", STEPS({APPEND_ITEM, "a"}), "a = [\n  1, 7\n  ,]\n");
}

static void test_remove_between_brackets(void **state)
{
        check("a = [1, 2, 3]\n", STEPS({REMOVE, "a 0"}), "a = [2, 3]\n");
        check("a = [1, 2, 3]\n", STEPS({REMOVE, "a 1"}), "a = [1, 3]\n");
        check("a = [1, 2, 3]\n", STEPS({REMOVE, "a 2"}), "a = [1, 2]\n");
        check("a = [1, 2, 3]\n", STEPS({REMOVE, "a 1"}, {REMOVE, "a 2"}), "a = [1]\n");
        check("a = [1, 2, 3]\n", STEPS({REMOVE, "a 0"}, {REMOVE, "a 1"}, {REMOVE, "a 2"}), "a = []\n");
        check("a = [1, 2, 3,]\n", STEPS({REMOVE, "a 2"}), "a = [1, 2, ]\n");
        check("a = { b = 1, c.d = 2, c.e = 3 }\n", STEPS({REMOVE, "a c"}), "a = { b = 1 }\n");
        check("a = { b = 1, c.d = 2, e = 3 }\n", STEPS({REMOVE, "a c"}), "a = { b = 1, e = 3 }\n");
        check("a = { b = 1, c = 2 }\n", STEPS({REMOVE, "a b"}, {REMOVE, "a c"}, {ADD, "a"}), "a = { new = 7  }\n");
        check("a = { b = 1, c = 2 }\n", STEPS({REMOVE, "a c"}, {ADD_BEHIND, "a", "c"}), "a = { b = 1, new = 7 }\n");
        check("a = { b = 1, c = 2 }\n", STEPS({REMOVE, "a b"}, {ADD_BEHIND, "a", "b"}), "a = { new = 7, c = 2 }\n");
        check("a = [\n  1, # x\n  2, # y\n  3\n]\n", STEPS({REMOVE, "a 2"}), "a = [\n  1, # x\n  2 # y\n]\n");
        check("a = [\n  1,\n  2,\n  3\n]\n", STEPS({REMOVE, "a 1"}), "a = [\n  1,\n  3\n]\n");
        check("a = [\n  1,\n  2,\n  3\n]\n", STEPS({REMOVE, "a 0"}, {APPEND_ITEM, "a"}), "a = [\n  2,\n  3, 7\n]\n");
        check("a = [\r\n  1,\r\n  2\r\n]\r\n", STEPS({REMOVE, "a 1"}), "a = [\r\n  1\r\n]\r\n");
}

static void test_remove_lines(void **state)
{
        check("a = 1\nb = 2\n", STEPS({REMOVE, "a"}), "b = 2\n");
        check("a = 1\nb = [\n2\n] # c\n", STEPS({REMOVE, "b"}), "a = 1\n");
        check("# a\na = 1 # one\n# b\nb = 2\n", STEPS({REMOVE, "a"}), "# a\n# b\nb = 2\n");
        check("a.b = 1\nc = 2\na.d = 3\n", STEPS({REMOVE, "a"}), "c = 2\n");
        check("a = 1\nb = 2", STEPS({REMOVE, "b"}), "a = 1\n");
}

static void test_remove_tables(void **state)
{
        check("a = 1\n\n[t]\nx = 1\n\n[u]\n", STEPS({REMOVE, "t"}), "a = 1\n\n[u]\n");
        check("a = 1\n\n[t]\nx = 1\n", STEPS({REMOVE, "t"}), "a = 1\n");
        check("[t]\nx = 1\n\n[u]\n", STEPS({REMOVE, "t"}), "[u]\n");
        check("[t]\nx = 1", STEPS({REMOVE, "t"}), "");
        check("a = 1\n\n[t]\nx = 1\n# in\n  [t.u]\n# in too\ny = 2 # y\n# next\n[v]\n", STEPS({REMOVE, "t"}),
                "a = 1\n\n# next\n[v]\n");
        check("# before\n[t]\nx = 1\n# behind", STEPS({REMOVE, "t"}), "# before\n# behind");
        check("# before\n\n[t]\n# behind\n", STEPS({REMOVE, "t"}), "# before\n\n# behind\n");
        /* The rest of an element may stand behind other tables. */
        check("[[t]]\nx = 1\n\n[o]\ny = 1\n\n[t.u]\nz = 1\n\n[[t]]\nx = 2\n", STEPS({REMOVE, "t 0"}),
                "[o]\ny = 1\n\n[[t]]\nx = 2\n");
        check("[[t]]\nx = 1\n\n[[t]]\nx = 2\n[t.u]\n\n[[t]]\nx = 3\n",
                STEPS({REMOVE, "t 0"}, {REMOVE, "t 1"}, {REMOVE, "t 2"}), "");
        check("a = 1\n\n[[t]]\nx = 1\n\n# second\n[[t]]\nx = 2\n", STEPS({REMOVE, "t 0"}, {REMOVE, "t 1"}),
                "a = 1\n\n# second\n");
        check("a = 1\r\n\r\n[[t]]\r\nx = 1\r\n\r\n[[t]]\r\nx = 2\r\n", STEPS({REMOVE, "t 1"}),
                "a = 1\r\n\r\n[[t]]\r\nx = 1\r\n");
        check("[[t]]\nx = 1\n\n[[t]]\nx = 2\n", STEPS({REMOVE, "t"}), "");
        check("[a.b]\nx = 1\n[c]\n[a.d]\n", STEPS({REMOVE, "a"}), "[c]\n");
        /* The blank line goes with the table, and what was to stand behind it does not. */
        check("\n\n[t]\nx = 1\n\n[u]\n", STEPS({REMOVE, "t"}, {ADD, ""}), "\nnew = 7\n\n\n[u]\n");
        /* What is changed in it goes with it. */
        check("[t]\nx = 1\n[u]\n", STEPS({SET, "t x"}, {ADD_BEHIND, "t", "x"}, {REMOVE, "t"}), "[u]\n");
}

static void test_append_text(void **state)
{
        /* Whatever the order of the calls, a plain key must not end up in the new table. */
        check("", STEPS({APPEND_TEXT, ""}, {ADD, ""}), "new = 7\n\n[app]\n  k = 7\n");
        check("", STEPS({APPEND_TEXT, ""}), "[app]\n  k = 7\n");
        check("a = 1", STEPS({APPEND_TEXT, ""}), "a = 1\n\n[app]\n  k = 7\n");
        check("a = 1\n\n", STEPS({APPEND_TEXT, ""}), "a = 1\n\n[app]\n  k = 7\n");
        check("a = 1\r\n", STEPS({APPEND_TEXT, ""}), "a = 1\r\n\r\n[app]\r\n  k = 7\r\n");
        check("\xEF\xBB\xBF", STEPS({APPEND_TEXT, ""}), "\xEF\xBB\xBF[app]\n  k = 7\n");
        check("[t]\nx = 1", STEPS({ADD_BEHIND, "t", "x"}, {APPEND_TEXT, ""}),
                "[t]\nx = 1\nnew = 7\n\n[app]\n  k = 7\n");
        check("a = 1\n\n[t]\nx = 1\n", STEPS({REMOVE, "t"}, {APPEND_TEXT, ""}), "a = 1\n\n[app]\n  k = 7\n");
}

static void test_refusals(void **state)
{
        static const char text[] = "d.x = 1\n[a.b]\n[[t]]\n[h]\ni = {}\n";
        _cleanup_(toml_document_freep) TomlDocument *document = NULL;
        _cleanup_(toml_edit_freep) TomlEdit *edit = NULL;
        _cleanup_secret_ Secret *bytes = NULL;
        static const Step refused[] = {
                {SET, "a"},
                {SET, "h"},
                {SET, "t"},
                {SET, "t 0"},
                {SET, "d"},
                {ADD, "a"},
                {ADD, "d"},
                {ADD, "t"},
                {APPEND_ITEM, "t"},
                {APPEND_ITEM, "h i"},
                {ADD, "d x"},
        };

        assert_int_equal(toml_document_parse(text, strlen(text), TOML_VERSION_1_1, &document, NULL), 0);
        assert_int_equal(toml_edit_new(document, &edit), 0);
        for (size_t i = 0; i < ELEMENTS(refused); i++)
                assert_int_equal(apply(edit, toml_document_root(document), &refused[i]), -EOPNOTSUPP);

        const TomlScalar bad = {TOML_TYPE_STRING, .string = {"\xFF", 1}};
        bool changed;
        assert_int_equal(toml_edit_set(edit, walk(toml_document_root(document), "d x"), &bad, &changed), -EINVAL);
        assert_int_equal(toml_edit_finish(edit, &bytes), 0);
        assert_string_equal(secret_data(bytes), text);
}

static void test_rewind(void **state)
{
        static const char text[] = "a = 1\nb = { c = 1 }\n[t]\nx = 1\n";
        _cleanup_(toml_document_freep) TomlDocument *document = NULL;
        _cleanup_(toml_edit_freep) TomlEdit *edit = NULL;
        _cleanup_secret_ Secret *bytes = NULL;
        const TomlScalar five = {TOML_TYPE_INTEGER, .integer = 5};
        bool changed;

        assert_int_equal(toml_document_parse(text, strlen(text), TOML_VERSION_1_1, &document, NULL), 0);
        const TomlValue *root = toml_document_root(document);
        assert_int_equal(toml_edit_new(document, &edit), 0);
        assert_int_equal(toml_edit_set(edit, walk(root, "a"), &five, &changed), 0);

        TomlEditMark mark = toml_edit_mark(edit);
        const Step dropped[] = {{SET, "a"}, {SET, "a"}, {ADD, "b"}, {REMOVE, "t"}, {ADD, "t"}, {ADD, ""}};
        for (size_t i = 0; i < ELEMENTS(dropped); i++)
                assert_int_equal(apply(edit, root, &dropped[i]), 0);
        toml_edit_rewind(edit, mark);

        assert_int_equal(toml_edit_finish(edit, &bytes), 0);
        assert_string_equal(secret_data(bytes), "a = 5\nb = { c = 1 }\n[t]\nx = 1\n");
}

/* Nothing asked for, nothing changed: of any file. */
static void test_no_edit(void **state)
{
        for (size_t i = 0; i < ELEMENTS(toml_files); i++) {
                _cleanup_secret_ Secret *old = toml_file_read(toml_files[i]), *new = NULL;
                _cleanup_(toml_document_freep) TomlDocument *document = NULL;
                _cleanup_(toml_edit_freep) TomlEdit *edit = NULL;

                if (!old)
                        skip();
                assert_int_equal(
                        toml_document_parse(secret_data(old), secret_size(old), TOML_VERSION_1_1, &document, NULL),
                        0);
                assert_int_equal(toml_edit_new(document, &edit), 0);
                assert_int_equal(toml_edit_finish(edit, &new), 0);
                assert_true(secret_equal(old, new));
        }
}

static const TomlValue *find_member(const TomlValue *table, TomlString key)
{
        for (const TomlValue *v = toml_value_first(table); v; v = v->next)
                if (v->has_key && v->key.size == key.size && memcmp(v->key.data, key.data, key.size) == 0)
                        return v;
        return NULL;
}

/* Is `value` still in `root`, at the same place, and the same? Only for values without arrays above them. */
static bool is_unharmed(const TomlValue *value, const TomlValue *root)
{
        const TomlValue *keys[TOML_DEPTH_MAX], *v = value;
        size_t n = 0;

        for (; v->parent; v = v->parent) {
                if (!v->has_key)
                        return true;
                keys[n++] = v;
        }
        for (; n > 0 && root; n--)
                root = find_member(root, keys[n - 1]->key);
        return root && toml_value_equal(value, root);
}

static bool is_within(const TomlValue *value, const TomlValue *ancestor)
{
        for (; value; value = value->parent)
                if (value == ancestor)
                        return true;
        return false;
}

static void collect(const TomlValue *value, const TomlValue **all, size_t *n)
{
        for (const TomlValue *v = toml_value_first(value); v; v = v->next) {
                all[(*n)++] = v;
                collect(v, all, n);
        }
}

/* Each value of each file removed: what is left parses, and all that had nothing to do with it is the same. */
static void test_remove_each_value(void **state)
{
        for (size_t i = 0; i < ELEMENTS(toml_files); i++) {
                _cleanup_secret_ Secret *old = toml_file_read(toml_files[i]);
                _cleanup_(toml_document_freep) TomlDocument *document = NULL;
                _cleanup_free_ const TomlValue **all = NULL;
                size_t n = 0;

                if (!old)
                        skip();
                assert_int_equal(
                        toml_document_parse(secret_data(old), secret_size(old), TOML_VERSION_1_1, &document, NULL),
                        0);
                all = calloc(toml_document_count(document), sizeof(*all));
                assert_non_null(all);
                collect(toml_document_root(document), all, &n);

                for (size_t k = 0; k < n; k++) {
                        _cleanup_secret_ Secret *new = NULL;
                        _cleanup_(toml_document_freep) TomlDocument *again = NULL;
                        _cleanup_(toml_edit_freep) TomlEdit *edit = NULL;
                        TomlError error;

                        assert_int_equal(toml_edit_new(document, &edit), 0);
                        assert_int_equal(toml_edit_remove(edit, all[k]), 0);
                        assert_int_equal(toml_edit_finish(edit, &new), 0);
                        int r = toml_document_parse(
                                secret_data(new), secret_size(new), TOML_VERSION_1_1, &again, &error);
                        if (r < 0)
                                fail_msg("%s without its value %zu: %zu:%zu: %s", toml_files[i], k, error.line,
                                        error.column, error.text);
                        for (size_t m = 0; m < n; m++)
                                if (!is_within(all[m], all[k]) && !is_within(all[k], all[m]))
                                        assert_true(is_unharmed(all[m], toml_document_root(again)));
                }
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_set),
                cmocka_unit_test(test_add_lines),
                cmocka_unit_test(test_add_between_brackets),
                cmocka_unit_test(test_append_items),
                cmocka_unit_test(test_remove_between_brackets),
                cmocka_unit_test(test_remove_lines),
                cmocka_unit_test(test_remove_tables),
                cmocka_unit_test(test_append_text),
                cmocka_unit_test(test_refusals),
                cmocka_unit_test(test_rewind),
                cmocka_unit_test(test_no_edit),
                cmocka_unit_test(test_remove_each_value),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
