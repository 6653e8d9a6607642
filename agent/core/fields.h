#pragma once

/* A struct's members as rows of a table: one table encodes to JSON, decodes from it, and says what is wrong. Used for
 * everything that we keep on disk, so all of it has the same strict types and bounds. */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "agent/base/cleanup.h"

typedef enum FieldType {
        FIELD_STRING, /* char *: at most `max` bytes */
        FIELD_TEXT,   /* char *, for people: one line, cut where too long, without tokens */
        FIELD_SECRET, /* Secret *: a token */
        FIELD_ID,     /* int64_t, 0: none */
        FIELD_COUNT,  /* unsigned */
        FIELD_TIME,   /* uint64_t, realtime in usec; RFC 3339, 0 is null */
        FIELD_BOOL,   /* bool */
        FIELD_WORD,   /* an enum, counted from 0, spelled by `word` */
} FieldType;

typedef struct Field {
        const char *key;
        FieldType type;
        size_t offset;
        bool required;                  /* else a missing or null member leaves the zero value */
        bool nullable;                  /* FIELD_ID: 0 is written as null */
        size_t max;                     /* strings: bytes */
        const char *(*word)(int value); /* NULL for a value that is never written nor read */
        int n_words;
} Field;

/* Rows whose key is the member's name: FIELD(Record, name, STRING, .required = true, .max = 64). */
#define FIELD(owner, member, kind, ...)                                                                              \
        {                                                                                                            \
                .key = #member, .type = FIELD_##kind, .offset = offsetof(owner, member), __VA_ARGS__                 \
        }
#define FIELD_ENUM(owner, member, spell, n)                                                                          \
        FIELD(owner, member, WORD, .required = true, .word = (spell), .n_words = (n))

/* `name` for the member `name_usec`. */
#define FIELD_MOMENT(owner, name)                                                                                    \
        {                                                                                                            \
                .key = #name, .type = FIELD_TIME, .offset = offsetof(owner, name##_usec)                             \
        }

/* Sets OBJECT's members. -ENOMEM; -EINVAL where a value is outside what fields_decode() would take (our bug: nothing
 * may be written that can't be read again). */
int fields_encode(const Field *fields, size_t n_fields, const void *from, json_t *object);

/* Fills INTO, whose members must be zero, and which the caller takes apart on failure too. Unknown members are
 * ignored. -EBADMSG and a sentence in *reterr, without any value; -ENOMEM. */
int fields_decode(const Field *fields, size_t n_fields, const json_t *object, void *into, char **reterr);

/* Formats *RETERR (NULL: nothing), and returns R, or -ENOMEM. */
int fields_complain(char **reterr, int r, const char *format, ...) _printf_(3, 4);
