/* The grammar: expressions, headers, keys, arrays and inline tables. Strings and scalars are the reader's, see
 * toml-string.c, toml-scalar.c and toml-date.c.
 *
 * What may be added to what is decided by how a table came to be (TomlOrigin); the rules stand at the two walks,
 * walk_header() and walk_dotted(). */

#include "agent/core/toml.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/toml-reader.h"
#include "agent/core/toml-tree.h"

struct TomlDocument {
        TomlTree tree;
        const char *source;
        size_t size;
        size_t bom;
        bool crlf;
        TomlExpression *first;
        TomlExpression *last;
};

typedef struct Parser {
        TomlReader reader;
        TomlDocument *document;
        TomlValue *table; /* that the last header opened */
} Parser;

static int parse_value(Parser *p, TomlValue *value);

static int fail(const Parser *p, const char *text)
{
        return toml_reader_fail(&p->reader, text);
}

static int add_value(Parser *p, TomlValue *parent, const TomlString *key, TomlValue **ret)
{
        int r = toml_tree_add(&p->document->tree, parent, key, ret);

        if (r == -EFBIG) {
                (void)fail(p, "tables or arrays nested too deep");
                return r;
        }
        return r;
}

static int add_table(Parser *p, TomlValue *parent, const TomlString *key, TomlOrigin origin, TomlValue **ret)
{
        int r = add_value(p, parent, key, ret);
        if (r < 0)
                return r;
        (*ret)->type = TOML_TYPE_TABLE;
        (*ret)->origin = origin;
        return 0;
}

static int new_expression(Parser *p, TomlExpressionKind kind, TomlValue *container, TomlExpression **ret)
{
        TomlExpression *e = toml_memory_alloc(p->reader.memory, sizeof(TomlExpression));

        if (!e)
                return -ENOMEM;
        e->kind = kind;
        e->line = p->reader.line;
        e->line_start = p->reader.line_start;
        e->container = container;
        e->key.start = e->last_key = p->reader.at;
        *ret = e;
        return 0;
}

static void link_expression(TomlExpression **first, TomlExpression **last, TomlExpression *e)
{
        e->previous = *last;
        if (*last)
                (*last)->next = e;
        else
                *first = e;
        *last = e;
}

/* One step of a header towards its last part: `a` of `[a.b]`. Headers may pass through any table that is not a `{…}`,
 * and into the newest element of `[[a]]`. */
static int walk_header(Parser *p, TomlValue **table, TomlString key)
{
        TomlValue *v = toml_tree_get(*table, key);

        if (!v) {
                int r = add_table(p, *table, &key, TOML_ORIGIN_IMPLICIT, table);
                if (r < 0)
                        return r;
                (*table)->span = (TomlSpan){p->reader.at, p->reader.at};
                return 0;
        }
        if (v->type == TOML_TYPE_ARRAY && v->origin == TOML_ORIGIN_ELEMENTS)
                v = v->children.last;
        if (v->type != TOML_TYPE_TABLE || v->origin == TOML_ORIGIN_VALUE)
                return fail(p, "a header below a key that has a value already");
        *table = v;
        return 0;
}

/* One step of a dotted key: `a` of `a.b = 1`. It may extend what dotted keys made, or what headers only mentioned on
 * their way; a table with a header of its own is that header's. */
static int walk_dotted(Parser *p, TomlValue **table, TomlString key)
{
        TomlValue *v = toml_tree_get(*table, key);

        if (!v) {
                int r = add_table(p, *table, &key, TOML_ORIGIN_DOTTED, table);
                if (r < 0)
                        return r;
                (*table)->span = (TomlSpan){p->reader.at, p->reader.at};
                return 0;
        }
        if (v->type != TOML_TYPE_TABLE || (v->origin != TOML_ORIGIN_DOTTED && v->origin != TOML_ORIGIN_IMPLICIT))
                return fail(p, "a dotted key into something that is defined already");
        v->origin = TOML_ORIGIN_DOTTED;
        *table = v;
        return 0;
}

typedef int (*WalkFunction)(Parser *p, TomlValue **table, TomlString key);

/* Reads `a.b.c`, walks *table down to b and returns c. */
static int parse_key(Parser *p, TomlExpression *e, WalkFunction walk, TomlValue **table, TomlString *ret)
{
        e->key.start = p->reader.at;
        for (;;) {
                e->last_key = p->reader.at;

                int r = toml_reader_key(&p->reader, ret);
                if (r < 0)
                        return r;
                e->key.end = p->reader.at;
                toml_reader_skip_blanks(&p->reader);
                if (toml_reader_peek(&p->reader, 0) != '.')
                        return 0;
                p->reader.at++;
                toml_reader_skip_blanks(&p->reader);
                r = walk(p, table, *ret);
                if (r < 0)
                        return r;
        }
}

/* `key = value` below table, cursor on the key. */
static int parse_pair(Parser *p, TomlValue *table, TomlExpression **ret)
{
        TomlExpression *e = NULL;
        TomlString key;

        int r = new_expression(p, TOML_EXPRESSION_PAIR, table, &e);
        if (r < 0)
                return r;
        r = parse_key(p, e, walk_dotted, &table, &key);
        if (r < 0)
                return r;
        if (toml_reader_peek(&p->reader, 0) != '=')
                return fail(p, "expected '=' behind a key");
        if (toml_tree_get(table, key))
                return fail(p, "a key that is defined already");
        p->reader.at++;
        toml_reader_skip_blanks(&p->reader);

        r = add_value(p, table, &key, &e->value);
        if (r < 0)
                return r;
        e->value->expression = e;
        r = parse_value(p, e->value);
        if (r < 0)
                return r;
        e->end = p->reader.at;
        *ret = e;
        return 0;
}

/* Behind an element: takes a comma. *ret_more is false at the closing bracket, which is left to the caller. */
static int parse_comma(Parser *p, TomlExpression *e, char close, bool *ret_more)
{
        int c = toml_reader_peek(&p->reader, 0);

        if (c == close) {
                *ret_more = false;
                return 0;
        }
        if (c != ',')
                return fail(p,
                        close == ']' ? "expected ',' or ']' in an array" : "expected ',' or '}' in an inline table");
        e->comma = p->reader.at++;
        *ret_more = true;
        return 0;
}

static int parse_array(Parser *p, TomlValue *array)
{
        bool more = true;

        array->type = TOML_TYPE_ARRAY;
        p->reader.at++;
        for (;;) {
                TomlExpression *e = NULL;

                toml_reader_skip_space(&p->reader);
                if (!more || toml_reader_peek(&p->reader, 0) == ']')
                        break;

                int r = new_expression(p, TOML_EXPRESSION_ITEM, array, &e);
                if (r < 0)
                        return r;
                r = add_value(p, array, NULL, &e->value);
                if (r < 0)
                        return r;
                e->value->expression = e;
                r = parse_value(p, e->value);
                if (r < 0)
                        return r;
                e->end = p->reader.at;
                link_expression(&array->children.first_expression, &array->children.last_expression, e);

                toml_reader_skip_space(&p->reader);
                r = parse_comma(p, e, ']', &more);
                if (r < 0)
                        return r;
        }
        p->reader.at++;
        return 0;
}

/* TOML 1.0 keeps an inline table on one line; 1.1 lets it breathe as arrays do. */
static void skip_inline_space(Parser *p)
{
        if (p->reader.version >= TOML_VERSION_1_1)
                toml_reader_skip_space(&p->reader);
        else
                toml_reader_skip_blanks(&p->reader);
}

static int parse_inline_table(Parser *p, TomlValue *table)
{
        bool more = true, first = true;

        table->type = TOML_TYPE_TABLE;
        p->reader.at++;
        for (;;) {
                TomlExpression *e = NULL;

                skip_inline_space(p);
                bool closing = toml_reader_peek(&p->reader, 0) == '}';
                if (closing && more && !first && p->reader.version < TOML_VERSION_1_1)
                        return fail(p, "a comma behind the last key of an inline table, which needs TOML 1.1");
                if (!more || closing)
                        break;

                int r = parse_pair(p, table, &e);
                if (r < 0)
                        return r;
                first = false;
                link_expression(&table->children.first_expression, &table->children.last_expression, e);

                skip_inline_space(p);
                r = parse_comma(p, e, '}', &more);
                if (r < 0)
                        return r;
        }
        p->reader.at++;
        return 0;
}

/* Recurses through arrays and inline tables; toml_tree_add() bounds the depth. */
static int parse_value(Parser *p, TomlValue *value)
{
        int c = toml_reader_peek(&p->reader, 0), r;

        value->origin = TOML_ORIGIN_VALUE;
        value->span.start = p->reader.at;
        if (c == '"' || c == '\'') {
                value->type = TOML_TYPE_STRING;
                r = toml_reader_string(&p->reader, true, &value->string);
        } else if (c == '[')
                r = parse_array(p, value);
        else if (c == '{')
                r = parse_inline_table(p, value);
        else
                r = toml_reader_scalar(&p->reader, value);
        value->span.end = p->reader.at;
        return r;
}

static int open_table(Parser *p, TomlValue *parent, TomlString key, TomlExpression *e)
{
        TomlValue *v = toml_tree_get(parent, key);

        if (!v) {
                int r = add_table(p, parent, &key, TOML_ORIGIN_HEADER, &v);
                if (r < 0)
                        return r;
        } else if (v->type != TOML_TYPE_TABLE || v->origin != TOML_ORIGIN_IMPLICIT)
                return fail(p, "a table or key that is defined already");
        v->origin = TOML_ORIGIN_HEADER;
        e->value = v;
        return 0;
}

static int append_element(Parser *p, TomlValue *parent, TomlString key, TomlExpression *e)
{
        TomlValue *v = toml_tree_get(parent, key);

        if (!v) {
                int r = add_value(p, parent, &key, &v);
                if (r < 0)
                        return r;
                v->type = TOML_TYPE_ARRAY;
                v->origin = TOML_ORIGIN_ELEMENTS;
                v->span = e->key;
        } else if (v->type != TOML_TYPE_ARRAY || v->origin != TOML_ORIGIN_ELEMENTS)
                return fail(p, "a table or key that is defined already");
        return add_table(p, v, NULL, TOML_ORIGIN_HEADER, &e->value);
}

static int parse_header(Parser *p, TomlExpression **ret)
{
        bool append = toml_reader_sees(&p->reader, "[[");
        TomlValue *parent = p->document->tree.root;
        TomlExpression *e = NULL;
        TomlString key;

        int r = new_expression(p, append ? TOML_EXPRESSION_APPEND : TOML_EXPRESSION_TABLE, NULL, &e);
        if (r < 0)
                return r;
        p->reader.at += append ? 2 : 1;
        toml_reader_skip_blanks(&p->reader);
        r = parse_key(p, e, walk_header, &parent, &key);
        if (r < 0)
                return r;
        if (!toml_reader_sees(&p->reader, append ? "]]" : "]"))
                return fail(p, append ? "expected ']]' behind a header's key" : "expected ']' behind a header's key");

        r = append ? append_element(p, parent, key, e) : open_table(p, parent, key, e);
        if (r < 0)
                return r;
        p->reader.at += append ? 2 : 1;
        e->end = p->reader.at;
        e->value->expression = e;
        e->value->span = e->key;
        p->table = e->value;
        *ret = e;
        return 0;
}

static int parse_expressions(Parser *p)
{
        TomlDocument *d = p->document;

        for (;;) {
                TomlExpression *e = NULL;
                int r;

                toml_reader_skip_space(&p->reader);
                if (p->reader.at >= p->reader.size)
                        return 0;

                if (toml_reader_peek(&p->reader, 0) == '[')
                        r = parse_header(p, &e);
                else
                        r = parse_pair(p, p->table, &e);
                if (r < 0)
                        return r;
                link_expression(&d->first, &d->last, e);

                toml_reader_skip_blanks(&p->reader);
                toml_reader_skip_comment(&p->reader);
                if (!toml_reader_skip_newline(&p->reader) && p->reader.at < p->reader.size)
                        return fail(p, "expected the end of the line");
                e->line_end = p->reader.at;
        }
}

int toml_document_parse(const void *source, size_t size, TomlVersion version, TomlDocument **ret, TomlError *reterr)
{
        _cleanup_(toml_document_freep) TomlDocument *d = calloc(1, sizeof(*d));
        size_t lf = 0, crlf = 0;

        if (!d)
                return -ENOMEM;
        /* Offsets are kept in memory several times per value; and nobody configures runners by the gigabyte. */
        if (size > UINT32_MAX)
                return toml_error_set(reterr, -EFBIG, 0, 0, "the file is larger than 4 GiB");

        d->source = size > 0 ? source : "";
        d->size = size;
        d->bom = size >= 3 && memcmp(source, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;

        Parser p = {
                .document = d,
                .reader =
                        {
                                .source = d->source,
                                .size = size,
                                .at = d->bom,
                                .line = 1,
                                .line_start = d->bom,
                                .version = version,
                                .memory = &d->tree.memory,
                                .error = reterr,
                        },
        };
        int r = toml_reader_check(&p.reader, &lf, &crlf);
        if (r < 0)
                return r;
        d->crlf = crlf > lf;

        r = toml_tree_init(&d->tree);
        if (r < 0)
                return r;
        p.table = d->tree.root;
        r = parse_expressions(&p);
        if (r < 0)
                return r;

        *ret = take_ptr(d);
        return 0;
}

TomlDocument *toml_document_free(TomlDocument *document)
{
        if (!document)
                return NULL;
        toml_memory_done(&document->tree.memory);
        free(document);
        return NULL;
}

TomlValue *toml_document_root(const TomlDocument *document)
{
        return document->tree.root;
}

const char *toml_document_source(const TomlDocument *document, size_t *ret_size)
{
        *ret_size = document->size;
        return document->source;
}

TomlExpression *toml_document_expressions(const TomlDocument *document)
{
        return document->first;
}

size_t toml_document_count(const TomlDocument *document)
{
        return document->tree.n_values;
}

const char *toml_document_newline(const TomlDocument *document)
{
        return document->crlf ? "\r\n" : "\n";
}

size_t toml_document_bom(const TomlDocument *document)
{
        return document->bom;
}

void toml_document_locate(const TomlDocument *document, size_t offset, size_t *ret_line, size_t *ret_column)
{
        size_t line = 1, line_start = document->bom;

        assert(offset <= document->size);

        for (size_t i = document->bom; i < offset; i++)
                if (document->source[i] == '\n') {
                        line++;
                        line_start = i + 1;
                }
        *ret_line = line;
        *ret_column = offset - line_start + 1;
}
