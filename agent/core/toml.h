/* A TOML document that remembers where every byte of it came from.
 *
 * The parser takes TOML 1.1, or strictly 1.0, and builds two views of the same source: the tree of values, for
 * readers, and the list of expressions (headers and `key = value` in their order, with byte offsets), for the editor
 * in toml-edit.h, which changes single values and leaves every other byte alone.
 *
 * Any value of a config.toml may be a token. So the tree lives in memory of its own that is wiped when the document
 * goes, strings without escapes are not copied at all, and no error text quotes the source. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "agent/base/cleanup.h"

/* Tables and arrays within each other, dotted keys included. Everything that walks the tree may recurse this deep. */
#define TOML_DEPTH_MAX 100U

typedef enum TomlVersion {
        TOML_VERSION_1_0,
        TOML_VERSION_1_1,
} TomlVersion;

typedef enum TomlType {
        TOML_TYPE_STRING,
        TOML_TYPE_INTEGER,
        TOML_TYPE_FLOAT,
        TOML_TYPE_BOOLEAN,
        TOML_TYPE_DATETIME,       /* with offset */
        TOML_TYPE_DATETIME_LOCAL, /* without */
        TOML_TYPE_DATE_LOCAL,
        TOML_TYPE_TIME_LOCAL,
        TOML_TYPE_ARRAY,
        TOML_TYPE_TABLE,
        _TOML_TYPE_MAX,
} TomlType;

/* How a table or array came to be, which decides what may still be added to it, and how the editor adds. */
typedef enum TomlOrigin {
        TOML_ORIGIN_VALUE,    /* written as a value: scalars, `[…]` arrays, `{…}` tables; closed */
        TOML_ORIGIN_HEADER,   /* `[x]`, one element of `[[x]]`, or the root */
        TOML_ORIGIN_IMPLICIT, /* `x` of `[x.y]` */
        TOML_ORIGIN_DOTTED,   /* `x` of `x.y = 1` */
        TOML_ORIGIN_ELEMENTS, /* the array that `[[x]]` appends to */
} TomlOrigin;

/* Bytes of the source, from start up to but without end. */
typedef struct TomlSpan {
        size_t start;
        size_t end;
} TomlSpan;

/* As written; fields that the type does not have are 0. */
typedef struct TomlDate {
        uint16_t year; /* 0–9999 */
        uint8_t month;
        uint8_t day;
        uint8_t hour;
        uint8_t minute;
        uint8_t second; /* 60 is taken where RFC 3339 has a leap second */
        uint32_t nanosecond;
        int16_t offset_minutes; /* east of UTC */
} TomlDate;

typedef struct TomlError {
        size_t line;   /* from 1; 0: the text is about the document as a whole */
        size_t column; /* in bytes, from 1 */
        char text[160];
} TomlError;

typedef struct TomlDocument TomlDocument;
typedef struct TomlValue TomlValue;
typedef struct TomlExpression TomlExpression;

/* A string of the document, not NUL-terminated; may hold NULs. Borrowed from the document or its source. */
typedef struct TomlString {
        const char *data;
        size_t size;
} TomlString;

/* One value of the tree. A member of a table has a key, an element of an array has not. */
struct TomlValue {
        TomlType type;
        TomlOrigin origin;
        uint32_t id; /* dense, from 0: index for what others want to note about values */
        uint16_t depth;
        bool has_key;
        TomlString key;
        TomlValue *parent;
        TomlValue *next; /* in the parent, in order of appearance */
        TomlSpan span;   /* of the value; of a table or array by headers or dotted keys: in its first mention's key */
        /* Where it was written: the key/value pair that holds it, or of a table its own header; NULL for tables that
         * have no single place (implicit, dotted, the root, `[[x]]` arrays). */
        TomlExpression *expression;
        union {
                TomlString string;
                int64_t integer;
                double real;
                bool boolean;
                TomlDate date;
                struct {
                        TomlValue *first;
                        TomlValue *last;
                        size_t count;
                        struct TomlIndex *index;          /* of long tables, by key */
                        TomlExpression *first_expression; /* of `{…}` and `[…]`: what stands between the brackets */
                        TomlExpression *last_expression;
                } children;
        };
};

typedef enum TomlExpressionKind {
        TOML_EXPRESSION_PAIR,   /* `key = value`, at top level or in `{…}` */
        TOML_EXPRESSION_TABLE,  /* `[key]` */
        TOML_EXPRESSION_APPEND, /* `[[key]]` */
        TOML_EXPRESSION_ITEM,   /* an element of `[…]` */
} TomlExpressionKind;

struct TomlExpression {
        TomlExpressionKind kind;
        size_t line; /* from 1 */
        TomlExpression *next;
        TomlExpression *previous;
        TomlValue *value; /* what it defines */
        TomlValue
                *container; /* the `{…}` or `[…]` it stands in; of a top-level pair the table it was written under */
        TomlSpan key;       /* the whole, possibly dotted key */
        size_t last_key;    /* start of its last part */
        size_t end;         /* behind the value or the header's last bracket */
        /* Top level: the whole lines, from line_start up to behind the newline (or to the end of file). Between
         * brackets: where the comma behind it is, or 0. */
        size_t line_start;
        size_t line_end;
        size_t comma;
};

/* Parses size bytes. The document borrows source: it must outlive the document, unchanged. *ret is set on success
 * only. -EBADMSG: not valid TOML, *reterr says where; -EFBIG: beyond 4 GiB or nested deeper than TOML_DEPTH_MAX,
 * *reterr too; -ENOMEM. reterr may be NULL. Takes time and memory linear in size. */
int toml_document_parse(const void *source, size_t size, TomlVersion version, TomlDocument **ret, TomlError *reterr);

/* Wipes and frees; takes NULL; returns NULL. */
TomlDocument *toml_document_free(TomlDocument *document);

DEFINE_CLEANUP(TomlDocument, toml_document_free)

TomlValue *toml_document_root(const TomlDocument *document);
const char *toml_document_source(const TomlDocument *document, size_t *ret_size);

/* The expressions at top level, in order, or NULL. */
TomlExpression *toml_document_expressions(const TomlDocument *document);

/* How many values there are: one more than the greatest id. */
size_t toml_document_count(const TomlDocument *document);

/* What new lines end with: CRLF if most lines of the source do, else LF. */
const char *toml_document_newline(const TomlDocument *document);

/* Bytes of a byte order mark at the start: 0 or 3. */
size_t toml_document_bom(const TomlDocument *document);

/* Line and column of a byte. Walks the source: for error messages. */
void toml_document_locate(const TomlDocument *document, size_t offset, size_t *ret_line, size_t *ret_column);

/* The member with exactly this key, or NULL; also NULL if value is no table. */
TomlValue *toml_table_get(const TomlValue *table, const char *key);

/* The first member at or after `from` (NULL: from the first) whose key is this in any letter case, as Go's decoder
 * compares; pass the last one's `next` to see further spellings. Walks the table. */
TomlValue *toml_table_find_fold(const TomlValue *table, TomlValue *from, const char *key);

/* Equal under Unicode simple folding, as Go's strings.EqualFold, for an ASCII-only b. */
bool toml_string_equal_fold(TomlString a, const char *b);
bool toml_string_equal(TomlString a, const char *b);

/* Only valid UTF-8 can be written to a document. */
bool toml_string_is_utf8(TomlString string);

/* A NUL-terminated copy; the caller wipes it. -EINVAL if the string holds a NUL, -ENOMEM. */
int toml_string_dup(TomlString string, char **ret);

/* Children of a table or array: for (v = toml_value_first(x); v; v = v->next). NULL for scalars. */
TomlValue *toml_value_first(const TomlValue *value);

/* Equal in type and value; tables in any order of keys, arrays in order, datetimes with offset as points in time, NaN
 * equal to NaN. */
bool toml_value_equal(const TomlValue *a, const TomlValue *b);

/* The point in time, local types read as UTC. Only for types with a date. */
struct timespec toml_date_to_timespec(const TomlDate *date);

/* Parses one whole date, time or both as TOML (and RFC 3339) writes it. 0, or -EINVAL. */
int toml_date_parse(const char *text, size_t size, TomlVersion version, TomlDate *ret, TomlType *ret_type);

/* Fills *error (if not NULL) with position and text and returns r. */
int toml_error_set(TomlError *error, int r, size_t line, size_t column, const char *format, ...) _printf_(5, 6);
