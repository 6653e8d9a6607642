/* The cursor of the TOML parser: where we are in the source, and the small steps every rule is made of. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "agent/core/toml-memory.h"
#include "agent/core/toml.h"

typedef struct TomlReader {
        const char *source;
        size_t size;
        size_t at;
        size_t line; /* of at, from 1 */
        size_t line_start;
        TomlVersion version;
        TomlMemory *memory; /* borrowed */
        TomlError *error;   /* borrowed, may be NULL */
} TomlReader;

/* Checks what holds for every byte of a document, wherever it stands: UTF-8, no control characters but tab, LF and
 * CRLF. After it, the rules need not look at these again. Counts line ends. 0 or -EBADMSG. */
int toml_reader_check(TomlReader *reader, size_t *ret_lf, size_t *ret_crlf);

/* The byte `ahead` of the cursor, or -1 behind the end. */
static inline int toml_reader_peek(const TomlReader *reader, size_t ahead)
{
        return ahead < reader->size - reader->at ? (unsigned char)reader->source[reader->at + ahead] : -1;
}

/* Does the source go on with text? */
bool toml_reader_sees(const TomlReader *reader, const char *text);

/* Skips blanks and tabs. */
void toml_reader_skip_blanks(TomlReader *reader);

/* Skips one line end. False: there is none here. */
bool toml_reader_skip_newline(TomlReader *reader);

/* Skips a comment up to its line end. */
void toml_reader_skip_comment(TomlReader *reader);

/* Skips blanks, comments and line ends. */
void toml_reader_skip_space(TomlReader *reader);

/* Reports text at the cursor and returns -EBADMSG. The text must not quote the source. */
int toml_reader_fail(const TomlReader *reader, const char *text);

/* Reads a quoted string, of several lines only if `multiline` allows it. */
int toml_reader_string(TomlReader *reader, bool multiline, TomlString *ret);

/* Reads one part of a key, bare or quoted. */
int toml_reader_key(TomlReader *reader, TomlString *ret);

/* Reads a boolean, number or date into value. */
int toml_reader_scalar(TomlReader *reader, TomlValue *value);
