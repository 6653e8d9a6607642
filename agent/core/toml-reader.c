#include "agent/core/toml-reader.h"

#include <errno.h>
#include <string.h>

int toml_reader_fail(const TomlReader *reader, const char *text)
{
        return toml_error_set(reader->error, -EBADMSG, reader->line, reader->at - reader->line_start + 1, "%s", text);
}

/* Length of the UTF-8 sequence at p, 0 if it is not one: overlong, a surrogate, beyond U+10FFFF, or cut off. */
static size_t utf8_length(const unsigned char *p, size_t n)
{
        size_t length = p[0] < 0x80 ? 1 : p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : p[0] < 0xF5 ? 4 : 0;

        if (length == 0 || length > n)
                return 0;
        for (size_t i = 1; i < length; i++)
                if ((p[i] & 0xC0) != 0x80)
                        return 0;
        if ((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F) || (p[0] == 0xF0 && p[1] < 0x90) ||
                (p[0] == 0xF4 && p[1] > 0x8F))
                return 0;
        return length;
}

int toml_reader_check(TomlReader *reader, size_t *ret_lf, size_t *ret_crlf)
{
        TomlReader r = *reader;
        size_t lf = 0, crlf = 0;

        while (r.at < r.size) {
                unsigned char c = (unsigned char)r.source[r.at];

                if (c == '\n' || c == '\r') {
                        bool pair = c == '\r';

                        if (!toml_reader_skip_newline(&r))
                                return toml_reader_fail(&r, "a carriage return without a line feed behind it");
                        lf += !pair;
                        crlf += pair;
                        continue;
                }
                if ((c < 0x20 && c != '\t') || c == 0x7F)
                        return toml_reader_fail(&r, "a control character, which TOML only takes escaped");

                size_t length = utf8_length((const unsigned char *)r.source + r.at, r.size - r.at);
                if (length == 0)
                        return toml_reader_fail(&r, "not UTF-8");
                r.at += length;
        }

        *ret_lf = lf;
        *ret_crlf = crlf;
        return 0;
}

bool toml_string_is_utf8(TomlString string)
{
        const unsigned char *p = (const unsigned char *)string.data;

        for (size_t i = 0, n; i < string.size; i += n) {
                n = utf8_length(p + i, string.size - i);
                if (n == 0)
                        return false;
        }
        return true;
}

bool toml_reader_sees(const TomlReader *reader, const char *text)
{
        size_t n = strlen(text);

        return n <= reader->size - reader->at && memcmp(reader->source + reader->at, text, n) == 0;
}

void toml_reader_skip_blanks(TomlReader *reader)
{
        while (reader->at < reader->size && (reader->source[reader->at] == ' ' || reader->source[reader->at] == '\t'))
                reader->at++;
}

bool toml_reader_skip_newline(TomlReader *reader)
{
        if (toml_reader_sees(reader, "\n"))
                reader->at += 1;
        else if (toml_reader_sees(reader, "\r\n"))
                reader->at += 2;
        else
                return false;

        reader->line++;
        reader->line_start = reader->at;
        return true;
}

void toml_reader_skip_comment(TomlReader *reader)
{
        if (toml_reader_peek(reader, 0) != '#')
                return;
        while (reader->at < reader->size && reader->source[reader->at] != '\n' && reader->source[reader->at] != '\r')
                reader->at++;
}

void toml_reader_skip_space(TomlReader *reader)
{
        do {
                toml_reader_skip_blanks(reader);
                toml_reader_skip_comment(reader);
        } while (toml_reader_skip_newline(reader));
}
