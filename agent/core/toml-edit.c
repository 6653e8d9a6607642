/* Edits of lines: `key = value` under headers, whole tables. Between brackets see toml-container.c. */

#include "agent/core/toml-edit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/toml-session.h"

int toml_edit_new(const TomlDocument *document, TomlEdit **ret)
{
        _cleanup_(toml_edit_freep) TomlEdit *edit = calloc(1, sizeof(*edit));
        size_t n = toml_document_count(document);

        if (!edit)
                return -ENOMEM;
        edit->document = document;
        edit->removed = calloc(n, sizeof(*edit->removed));
        edit->pending = calloc(n, sizeof(*edit->pending));
        if (!edit->removed || !edit->pending)
                return -ENOMEM;

        int r = toml_splice_list_init(&edit->splices);
        if (r >= 0)
                r = secret_new(NULL, 0, &edit->texts);
        if (r < 0)
                return r;

        *ret = take_ptr(edit);
        return 0;
}

TomlEdit *toml_edit_free(TomlEdit *edit)
{
        if (!edit)
                return NULL;
        toml_splice_list_done(&edit->splices);
        secret_free(edit->texts);
        free(edit->inserts);
        free(edit->removals);
        free(edit->pending);
        free(edit->removed);
        free(edit);
        return NULL;
}

/* Makes room for one more element of an array that doubles. */
static int grow(void *array, size_t n, size_t *n_allocated, size_t element_size)
{
        void **p = array;

        if (n < *n_allocated)
                return 0;

        size_t want = *n_allocated ? *n_allocated * 2 : 16;
        void *bigger = reallocarray(*p, want, element_size);
        if (!bigger)
                return -ENOMEM;
        *p = bigger;
        *n_allocated = want;
        return 0;
}

/* Of a table or an array: whether it is written `{…}` or `[…]`. */
static bool is_bracketed(const TomlValue *value)
{
        return value->origin == TOML_ORIGIN_VALUE;
}

int toml_edit_set(TomlEdit *edit, const TomlValue *value, const TomlScalar *scalar, bool *ret_changed)
{
        _cleanup_secret_ Secret *text = NULL;
        uint32_t pending = edit->pending[value->id];

        if (value->origin != TOML_ORIGIN_VALUE)
                return -EOPNOTSUPP;
        if (!pending && toml_scalar_equal(scalar, value)) {
                *ret_changed = false;
                return 0;
        }

        int r = secret_new(NULL, 0, &text);
        if (r >= 0)
                r = toml_write_scalar(text, scalar);
        if (r < 0)
                return r;
        r = toml_splice_add(&edit->splices, TOML_SPLICE_BYTES, value->span.start, value->span.end, value,
                secret_data(text), secret_size(text));
        if (r < 0)
                return r;

        size_t n = edit->splices.n_splices;
        if (pending)
                edit->splices.splices[pending - 1].dropped = true;
        edit->splices.splices[n - 1].replaced = pending;
        edit->pending[value->id] = (uint32_t)n;
        *ret_changed = true;
        return 0;
}

static int add_insert(
        TomlEdit *edit, const TomlValue *container, const TomlExpression *after, const char *text, size_t size)
{
        int r = grow(&edit->inserts, edit->n_inserts, &edit->n_inserts_allocated, sizeof(*edit->inserts));
        if (r < 0)
                return r;

        edit->inserts[edit->n_inserts] = (TomlInsert){
                .container = container,
                .after = after,
                .text = secret_size(edit->texts),
                .text_size = size,
                .order = edit->n_inserts,
        };
        r = secret_append(edit->texts, text, size);
        if (r < 0)
                return r;
        edit->n_inserts++;
        return 0;
}

/* The blanks that a line of the source begins with. */
static TomlString line_indent(const TomlEdit *edit, const TomlExpression *e)
{
        size_t size, n = 0;
        const char *line = toml_document_source(edit->document, &size) + e->line_start;

        while (e->line_start + n < e->key.start && (line[n] == ' ' || line[n] == '\t'))
                n++;
        return (TomlString){line, n};
}

/* Where the comment lines right above an expression begin. */
static size_t find_comment_start(const TomlEdit *edit, const TomlExpression *e)
{
        size_t size, start = e->line_start, bom = toml_document_bom(edit->document);
        const char *source = toml_document_source(edit->document, &size);

        while (start > bom) {
                size_t line = start - 1;

                while (line > bom && source[line - 1] != '\n')
                        line--;

                size_t at = line;
                while (source[at] == ' ' || source[at] == '\t')
                        at++;
                if (source[at] != '#')
                        break;
                start = line;
        }
        return start;
}

/* Where a plain key of the root goes that has nothing to stand behind. */
static void place_at_top(const TomlEdit *edit, size_t *ret_at, TomlSpliceKind *ret_kind)
{
        TomlExpression *e = toml_document_expressions(edit->document);
        TomlExpression *last = NULL;

        for (; e && e->kind == TOML_EXPRESSION_PAIR; e = e->next)
                last = e;

        *ret_kind = TOML_SPLICE_LINE;
        if (last)
                *ret_at = last->line_end;
        else if (e) {
                *ret_at = find_comment_start(edit, e);
                *ret_kind = TOML_SPLICE_LINES_BEFORE;
        } else
                (void)toml_document_source(edit->document, ret_at);
}

static int add_line(
        TomlEdit *edit, const TomlValue *table, const TomlExpression *after, const char *text, size_t size)
{
        _cleanup_secret_ Secret *line = NULL;
        const TomlExpression *header = table->expression;
        TomlSpliceKind kind = TOML_SPLICE_LINE;
        TomlString indent = {"", 0};
        bool deeper = false;
        size_t at;

        if (after) {
                indent = line_indent(edit, after);
                at = after->line_end;
        } else if (header) {
                const TomlExpression *first = header->next;

                deeper = !first || first->kind != TOML_EXPRESSION_PAIR;
                indent = line_indent(edit, deeper ? header : first);
                at = header->line_end;
        } else
                place_at_top(edit, &at, &kind);

        int r = secret_new(indent.data, indent.size, &line);
        if (r >= 0 && deeper)
                r = secret_append_string(line, "  ");
        if (r >= 0)
                r = secret_append(line, text, size);
        if (r < 0)
                return r;
        return toml_splice_add(&edit->splices, kind, at, at, table, secret_data(line), secret_size(line));
}

int toml_edit_add(
        TomlEdit *edit, const TomlValue *table, const TomlValue *after, const char *key, const TomlScalar *scalar)
{
        _cleanup_secret_ Secret *text = NULL;

        if (table->type != TOML_TYPE_TABLE)
                return -EOPNOTSUPP;

        int r = secret_new(NULL, 0, &text);
        if (r >= 0)
                r = toml_write_key(text, (TomlString){key, strlen(key)});
        if (r >= 0)
                r = secret_append_string(text, " = ");
        if (r >= 0)
                r = toml_write_scalar(text, scalar);
        if (r < 0)
                return r;

        /* A member that is itself a table of headers or dotted keys has no one place to stand behind. */
        const TomlExpression *e = after && after->origin == TOML_ORIGIN_VALUE ? after->expression : NULL;
        if (is_bracketed(table))
                return add_insert(edit, table, e, secret_data(text), secret_size(text));
        if (table->origin != TOML_ORIGIN_HEADER)
                return -EOPNOTSUPP;
        return add_line(edit, table, e, secret_data(text), secret_size(text));
}

int toml_edit_append_item(TomlEdit *edit, const TomlValue *array, const char *text, size_t size)
{
        if (array->type != TOML_TYPE_ARRAY || !is_bracketed(array))
                return -EOPNOTSUPP;
        return add_insert(edit, array, array->children.last_expression, text, size);
}

int toml_edit_append_text(TomlEdit *edit, const char *text, size_t size)
{
        size_t end;

        (void)toml_document_source(edit->document, &end);
        return toml_splice_add(&edit->splices, TOML_SPLICE_BLOCK, end, end, NULL, text, size);
}

int toml_edit_remove(TomlEdit *edit, const TomlValue *value)
{
        if (edit->removed[value->id])
                return 0;

        int r = grow(&edit->removals, edit->n_removals, &edit->n_removals_allocated, sizeof(*edit->removals));
        if (r < 0)
                return r;
        edit->removals[edit->n_removals++] = value;
        edit->removed[value->id] = true;
        return 0;
}

TomlEditMark toml_edit_mark(const TomlEdit *edit)
{
        return (TomlEditMark){edit->splices.n_splices, edit->n_inserts, edit->n_removals};
}

void toml_edit_rewind(TomlEdit *edit, TomlEditMark mark)
{
        TomlSpliceList *list = &edit->splices;

        while (list->n_splices > mark.n_splices) {
                const TomlSplice *s = &list->splices[--list->n_splices];

                const TomlValue *owner = s->owner;

                if (!owner || edit->pending[owner->id] != list->n_splices + 1)
                        continue;
                edit->pending[owner->id] = s->replaced;
                if (s->replaced)
                        list->splices[s->replaced - 1].dropped = false;
        }
        edit->n_inserts = mark.n_inserts;
        while (edit->n_removals > mark.n_removals)
                edit->removed[edit->removals[--edit->n_removals]->id] = false;
}

/* Start of the line before the one that begins at `at`, which is not the first, if that line is blank; else `at`. */
static size_t skip_blank_line_before(const char *source, size_t bom, size_t at)
{
        size_t line = at - 1;
        while (line > bom && source[line - 1] != '\n') {
                if (source[line - 1] != ' ' && source[line - 1] != '\t' && source[line - 1] != '\r')
                        return at;
                line--;
        }
        return line;
}

/* End of the line that begins at `at`, if it is blank; else `at`. */
static size_t skip_blank_line_behind(const char *source, size_t size, size_t at)
{
        size_t i = at;

        while (i < size && (source[i] == ' ' || source[i] == '\t' || source[i] == '\r'))
                i++;
        return i < size && source[i] == '\n' ? i + 1 : at;
}

/* Takes out the lines of a table. The blank line that set it off goes with it, unless it still sets off what is left:
 * the comments before from what follows. */
static int cut_table(TomlEdit *edit, size_t start, size_t end)
{
        size_t size, bom = toml_document_bom(edit->document);
        const char *source = toml_document_source(edit->document, &size);
        size_t behind = skip_blank_line_behind(source, size, end);

        if (start <= bom)
                end = behind;
        else if (behind > end || end >= size)
                start = skip_blank_line_before(source, bom, start);
        return toml_splice_add(&edit->splices, TOML_SPLICE_BYTES, start, end, NULL, NULL, 0);
}

/* Walks the lines once, however many tables go. From a removed header on everything goes up to the last line that
 * belongs to the same removed value; a lone removed pair only takes its own line. */
static int cut_lines(TomlEdit *edit)
{
        const TomlExpression *e = toml_document_expressions(edit->document);
        int r = 0;

        while (e && r >= 0) {
                const TomlValue *root = toml_edit_removed_root(edit, e->value);
                size_t start = e->line_start, end = e->line_end;

                if (!root) {
                        e = e->next;
                        continue;
                }
                if (e->kind == TOML_EXPRESSION_PAIR) {
                        r = toml_splice_add(&edit->splices, TOML_SPLICE_BYTES, start, end, NULL, NULL, 0);
                        e = e->next;
                        continue;
                }
                for (e = e->next; e && toml_edit_removed_root(edit, e->value) == root; e = e->next)
                        end = e->line_end;
                r = cut_table(edit, start, end);
        }
        return r;
}

int toml_edit_finish(TomlEdit *edit, Secret **ret)
{
        size_t size;
        const char *source = toml_document_source(edit->document, &size);

        for (size_t i = 0; edit->n_removals > 0 && i < edit->splices.n_splices; i++)
                if (toml_edit_removed_root(edit, edit->splices.splices[i].owner))
                        edit->splices.splices[i].dropped = true;

        int r = toml_container_finish(edit);
        if (r >= 0 && edit->n_removals > 0)
                r = cut_lines(edit);
        if (r < 0)
                return r;
        return toml_splice_apply(&edit->splices, source, size, toml_document_bom(edit->document),
                toml_document_newline(edit->document), ret);
}
