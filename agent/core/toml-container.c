/* Edits between brackets: elements of `[…]` and keys of `{…}`, where commas must come out right and comments may
 * stand anywhere. A container's inserts and removals are worked out together, in one walk over its elements. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/toml-session.h"

typedef struct Walk {
        TomlEdit *edit;
        const TomlValue *container;
        const char *source;
        const TomlInsert *inserts; /* of this container, in order of place */
        size_t n_inserts;
        const TomlExpression *kept; /* the last element so far that stays */
        bool removes;               /* some element goes */
} Walk;

static int cut(Walk *w, size_t start, size_t end)
{
        return toml_splice_add(&w->edit->splices, TOML_SPLICE_BYTES, start, end, NULL, NULL, 0);
}

static int insert(Walk *w, size_t at, const Secret *text)
{
        return toml_splice_add(
                &w->edit->splices, TOML_SPLICE_BYTES, at, at, NULL, secret_data(text), secret_size(text));
}

/* No need to look for the end of the source, here and below: the closing bracket is before it. */
static size_t skip_blanks(const Walk *w, size_t at)
{
        while (w->source[at] == ' ' || w->source[at] == '\t')
                at++;
        return at;
}

/* The place of the line end that comes next, comments skipped; 0 if something else comes first. */
static size_t find_line_end(const Walk *w, size_t at)
{
        at = skip_blanks(w, at);
        if (w->source[at] == '#')
                while (w->source[at] != '\n' && w->source[at] != '\r')
                        at++;
        return w->source[at] == '\n' || w->source[at] == '\r' ? at : 0;
}

static bool begins_line(const Walk *w, const TomlExpression *e)
{
        return skip_blanks(w, e->line_start) == e->key.start;
}

/* All of the n texts, with `between` between them. */
static int join(
        const Walk *w, const TomlInsert *inserts, size_t n, const char *between, size_t between_size, Secret *out)
{
        int r = 0;

        for (size_t i = 0; i < n && r >= 0; i++) {
                if (i > 0)
                        r = secret_append(out, between, between_size);
                if (r >= 0)
                        r = secret_append(out, secret_data(w->edit->texts) + inserts[i].text, inserts[i].text_size);
        }
        return r;
}

/* Behind an element that has a line of its own: lines of their own for the new ones, behind its comment. */
static int insert_lines(Walk *w, const TomlExpression *after, const TomlInsert *inserts, size_t n, size_t line_end)
{
        _cleanup_secret_ Secret *between = NULL, *text = NULL;

        int r = secret_new(",", 1, &between);
        if (r >= 0)
                r = secret_append_string(between, toml_document_newline(w->edit->document));
        if (r >= 0)
                r = secret_append(between, w->source + after->line_start, after->key.start - after->line_start);
        if (r >= 0)
                r = secret_new(secret_data(between) + 1, secret_size(between) - 1, &text);
        if (r >= 0)
                r = join(w, inserts, n, secret_data(between), secret_size(between), text);
        if (r < 0)
                return r;

        if (after->comma)
                r = secret_append(text, ",", 1);
        else
                r = toml_splice_add(&w->edit->splices, TOML_SPLICE_BYTES, after->end, after->end, NULL, ",", 1);
        return r < 0 ? r : insert(w, line_end, text);
}

static int insert_behind(Walk *w, const TomlExpression *after, const TomlInsert *inserts, size_t n)
{
        _cleanup_secret_ Secret *text = NULL;
        size_t line_end = find_line_end(w, after->comma ? after->comma + 1 : after->end);

        /* Where elements go as well, the commas are not where they seem to be. */
        if (line_end > 0 && begins_line(w, after) && !w->removes)
                return insert_lines(w, after, inserts, n, line_end);

        int r = secret_new(", ", 2, &text);
        if (r >= 0)
                r = join(w, inserts, n, ", ", 2, text);
        return r < 0 ? r : insert(w, after->end, text);
}

/* Before the first element that stays, or, with NULL, as the only ones. */
static int insert_front(Walk *w, const TomlExpression *before, const TomlInsert *inserts, size_t n)
{
        _cleanup_secret_ Secret *text = NULL;
        bool table = w->container->type == TOML_TYPE_TABLE;

        int r = secret_new(" ", before || !table ? 0 : 1, &text);
        if (r >= 0)
                r = join(w, inserts, n, ", ", 2, text);
        if (r >= 0 && before)
                r = secret_append(text, ", ", 2);
        else if (r >= 0 && table && w->source[w->container->span.start + 1] != ' ')
                r = secret_append(text, " ", 1);
        return r < 0 ? r : insert(w, before ? before->key.start : w->container->span.start + 1, text);
}

/* Takes an element out, with the comma behind it, and with its line if that holds nothing else. */
static int cut_element(Walk *w, const TomlExpression *e)
{
        size_t start = e->key.start, end = e->comma ? skip_blanks(w, e->comma + 1) : e->end;
        size_t eol = skip_blanks(w, end);

        if (begins_line(w, e) && (w->source[eol] == '\n' || w->source[eol] == '\r')) {
                start = e->line_start;
                end = eol + (w->source[eol] == '\r' ? 2 : 1);
        }
        return cut(w, start, end);
}

/* The last that stays was followed by others, and the last of all had no comma: its comma would dangle now, which
 * `{…}` of TOML 1.0 does not take. */
static int cut_dangling_comma(Walk *w)
{
        const TomlExpression *last = w->container->children.last_expression;

        if (!w->kept || w->kept == last || last->comma)
                return 0;
        size_t end = skip_blanks(w, w->kept->comma + 1);
        return cut(w, w->kept->comma, end == w->kept->next->key.start ? end : w->kept->comma + 1);
}

/* The inserts that come next in w and stand behind e. */
static size_t count_behind(const Walk *w, const TomlExpression *e)
{
        size_t n = 0;

        while (n < w->n_inserts && w->inserts[n].after == e)
                n++;
        return n;
}

static int finish_container(Walk *w)
{
        const TomlInsert *front = w->inserts;
        size_t n_front = count_behind(w, NULL), n;
        int r = 0;

        w->inserts += n_front;
        w->n_inserts -= n_front;
        for (const TomlExpression *e = w->container->children.first_expression; e && r >= 0; e = e->next) {
                if (toml_edit_removed_root(w->edit, e->value))
                        r = cut_element(w, e);
                else {
                        if (!w->kept && n_front > 0)
                                r = insert_front(w, e, front, n_front);
                        w->kept = e;
                }

                n = count_behind(w, e);
                if (r >= 0 && n > 0 && w->kept)
                        r = insert_behind(w, w->kept, w->inserts, n);
                else
                        n_front += n; /* contiguous: nothing was placed yet */
                w->inserts += n;
                w->n_inserts -= n;
        }
        if (r >= 0 && !w->kept && n_front > 0)
                r = insert_front(w, NULL, front, n_front);
        return r < 0 ? r : cut_dangling_comma(w);
}

static int compare_inserts(const void *a, const void *b)
{
        const TomlInsert *s = a, *t = b;
        size_t s_after = s->after ? s->after->key.start : 0, t_after = t->after ? t->after->key.start : 0;

        if (s->container->id != t->container->id)
                return s->container->id < t->container->id ? -1 : 1;
        if (s_after != t_after)
                return (s_after > t_after) - (s_after < t_after);
        return (s->order > t->order) - (s->order < t->order);
}

static int compare_containers(const void *a, const void *b)
{
        const TomlValue *s = *(const TomlValue *const *)a, *t = *(const TomlValue *const *)b;

        return s->id < t->id ? -1 : s->id > t->id;
}

/* The innermost brackets around a value, or NULL. */
static const TomlValue *find_container(const TomlValue *value)
{
        for (value = value->parent; value; value = value->parent)
                if (value->origin == TOML_ORIGIN_VALUE)
                        return value;
        return NULL;
}

/* Every container that something happens in; they are not unique. */
static size_t list_containers(const TomlEdit *edit, const TomlValue **ret)
{
        size_t n = 0;

        for (size_t i = 0; i < edit->n_inserts; i++)
                ret[n++] = edit->inserts[i].container;
        for (size_t i = 0; i < edit->n_removals; i++) {
                const TomlValue *container = find_container(edit->removals[i]);

                if (container)
                        ret[n++] = container;
        }
        if (n > 1)
                qsort(ret, n, sizeof(*ret), compare_containers);
        return n;
}

static bool removes_any(const TomlEdit *edit, const TomlValue *container)
{
        for (const TomlExpression *e = container->children.first_expression; e && edit->n_removals > 0; e = e->next)
                if (toml_edit_removed_root(edit, e->value))
                        return true;
        return false;
}

int toml_container_finish(TomlEdit *edit)
{
        /* Where there are only removals: even adding 0 to NULL is undefined. */
        static const TomlInsert none;
        _cleanup_free_ const TomlValue **containers = NULL;
        size_t n_containers, next = 0, size;
        Walk w = {.edit = edit};
        int r = 0;

        if (edit->n_inserts + edit->n_removals == 0)
                return 0;
        containers = calloc(edit->n_inserts + edit->n_removals, sizeof(*containers));
        if (!containers)
                return -ENOMEM;
        n_containers = list_containers(edit, containers);
        if (edit->n_inserts > 1)
                qsort(edit->inserts, edit->n_inserts, sizeof(*edit->inserts), compare_inserts);
        w.source = toml_document_source(edit->document, &size);

        for (size_t i = 0; i < n_containers && r >= 0; i++) {
                size_t n = 0;

                if (i > 0 && containers[i] == containers[i - 1])
                        continue;
                while (next + n < edit->n_inserts && edit->inserts[next + n].container == containers[i])
                        n++;
                w.container = containers[i];
                w.inserts = edit->inserts ? edit->inserts + next : &none;
                w.n_inserts = n;
                w.kept = NULL;
                w.removes = removes_any(edit, containers[i]);
                next += n;
                if (!toml_edit_removed_root(edit, containers[i]))
                        r = finish_container(&w);
        }
        return r;
}
