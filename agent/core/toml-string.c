/* Quoted strings and the parts of keys. A string without escapes is borrowed from the source: most tokens are never
 * copied. */

#include <errno.h>
#include <string.h>

#include "agent/core/toml-reader.h"

static int hex_value(int c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

static size_t utf8_put(char *out, uint32_t c)
{
        if (c < 0x80) {
                out[0] = (char)c;
                return 1;
        }
        if (c < 0x800) {
                out[0] = (char)(0xC0 | c >> 6);
                out[1] = (char)(0x80 | (c & 0x3F));
                return 2;
        }
        if (c < 0x10000) {
                out[0] = (char)(0xE0 | c >> 12);
                out[1] = (char)(0x80 | (c >> 6 & 0x3F));
                out[2] = (char)(0x80 | (c & 0x3F));
                return 3;
        }
        out[0] = (char)(0xF0 | c >> 18);
        out[1] = (char)(0x80 | (c >> 12 & 0x3F));
        out[2] = (char)(0x80 | (c >> 6 & 0x3F));
        out[3] = (char)(0x80 | (c & 0x3F));
        return 4;
}

/* The hex digits of \x, \u and \U, cursor on the first. */
static int read_code_point(TomlReader *reader, unsigned digits, char *out, size_t *used)
{
        uint32_t c = 0;

        for (unsigned i = 0; i < digits; i++) {
                int v = hex_value(toml_reader_peek(reader, 0));

                if (v < 0)
                        return toml_reader_fail(reader, "too few hexadecimal digits in an escape");
                c = c << 4 | (uint32_t)v;
                reader->at++;
        }
        if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
                return toml_reader_fail(reader, "an escape that is no Unicode scalar value");
        *used += utf8_put(out + *used, c);
        return 0;
}

/* A backslash at the end of a line: it and all white space up to the next character go. */
static int skip_line_continuation(TomlReader *reader)
{
        toml_reader_skip_blanks(reader);
        if (!toml_reader_skip_newline(reader))
                return toml_reader_fail(reader, "an escape that TOML does not know");
        do
                toml_reader_skip_blanks(reader);
        while (toml_reader_skip_newline(reader));
        return 0;
}

/* One escape, cursor behind the backslash. No escape is shorter than what it stands for, so out has room. */
static int read_escape(TomlReader *reader, bool multiline, char *out, size_t *used)
{
        static const char names[] = "btnfr\"\\", values[] = "\b\t\n\f\r\"\\";
        int c = toml_reader_peek(reader, 0);
        const char *name = memchr(names, c, sizeof(names) - 1);

        if (name) {
                out[(*used)++] = values[name - names];
                reader->at++;
                return 0;
        }
        if (c == 'e' && reader->version >= TOML_VERSION_1_1) {
                out[(*used)++] = 0x1B;
                reader->at++;
                return 0;
        }
        if (c == 'u' || c == 'U' || (c == 'x' && reader->version >= TOML_VERSION_1_1)) {
                reader->at++;
                return read_code_point(reader, c == 'u' ? 4 : c == 'U' ? 8 : 2, out, used);
        }
        if (multiline && (c == ' ' || c == '\t' || c == '\n' || c == '\r'))
                return skip_line_continuation(reader);
        return toml_reader_fail(reader, "an escape that TOML does not know");
}

/* Where the closing quotes begin, for a string whose content begins at the cursor; SIZE_MAX if nowhere. */
static size_t find_end(const TomlReader *reader, char quote, bool multiline, bool *ret_escapes)
{
        *ret_escapes = false;
        for (size_t i = reader->at; i < reader->size; i++) {
                char c = reader->source[i];

                if (c == '\\' && quote == '"') {
                        *ret_escapes = true;
                        i++;
                } else if (c == '\n' && !multiline) {
                        return SIZE_MAX;
                } else if (c == quote) {
                        if (!multiline)
                                return i;

                        size_t run = 1;
                        while (run < 5 && i + run < reader->size && reader->source[i + run] == quote)
                                run++;
                        /* One or two quotes may stand right before the closing three, and belong to the content. */
                        if (run >= 3)
                                return i + run - 3;
                        i += run - 1;
                }
        }
        return SIZE_MAX;
}

static int unescape(TomlReader *reader, size_t end, bool multiline, TomlString *ret)
{
        char *out = toml_memory_alloc(reader->memory, end - reader->at);
        size_t used = 0;

        if (!out)
                return -ENOMEM;
        while (reader->at < end) {
                char c = reader->source[reader->at];

                if (c == '\\') {
                        reader->at++;

                        int r = read_escape(reader, multiline, out, &used);
                        if (r < 0)
                                return r;
                        continue;
                }
                out[used++] = c;
                if (c == '\n')
                        (void)toml_reader_skip_newline(reader);
                else
                        reader->at++;
        }
        *ret = (TomlString){out, used};
        return 0;
}

static void skip_to(TomlReader *reader, size_t end)
{
        while (reader->at < end)
                if (!toml_reader_skip_newline(reader))
                        reader->at++;
}

int toml_reader_string(TomlReader *reader, bool multiline, TomlString *ret)
{
        char quote = reader->source[reader->at];
        bool escapes;
        int r;

        bool triple = toml_reader_peek(reader, 1) == quote && toml_reader_peek(reader, 2) == quote;
        if (triple && !multiline)
                return toml_reader_fail(reader, "a string of several lines, where TOML takes none");

        TomlReader begin = *reader;
        reader->at += triple ? 3 : 1;
        if (triple)
                (void)toml_reader_skip_newline(reader);

        size_t end = find_end(reader, quote, triple, &escapes);
        if (end == SIZE_MAX)
                return toml_reader_fail(&begin, "a string without its closing quote");

        if (escapes) {
                r = unescape(reader, end, triple, ret);
                if (r < 0)
                        return r;
        } else {
                *ret = (TomlString){reader->source + reader->at, end - reader->at};
                skip_to(reader, end);
        }
        reader->at = end + (triple ? 3 : 1);
        return 0;
}

static bool is_bare(int c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

int toml_reader_key(TomlReader *reader, TomlString *ret)
{
        int c = toml_reader_peek(reader, 0);

        if (c == '"' || c == '\'')
                return toml_reader_string(reader, false, ret);
        if (!is_bare(c))
                return toml_reader_fail(reader, "expected a key");

        size_t start = reader->at;
        while (is_bare(toml_reader_peek(reader, 0)))
                reader->at++;
        *ret = (TomlString){reader->source + start, reader->at - start};
        return 0;
}
