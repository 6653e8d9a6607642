/* Booleans, numbers and dates: everything that is one word. */

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/toml-reader.h"

static bool is_digit(int c)
{
        return c >= '0' && c <= '9';
}

static bool is_word(int c)
{
        return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c > 0 && strchr("+-_.:", c));
}

/* The word at the cursor; a date may have a blank before its time. */
static TomlString read_word(TomlReader *reader)
{
        size_t n = 0;

        while (is_word(toml_reader_peek(reader, n)))
                n++;
        if (n == 10 && toml_reader_peek(reader, 4) == '-' && toml_reader_peek(reader, n) == ' ' &&
                is_digit(toml_reader_peek(reader, n + 1)))
                for (n++; is_word(toml_reader_peek(reader, n));)
                        n++;
        return (TomlString){reader->source + reader->at, n};
}

/* Digits with single underscores between them; returns how many bytes, 0 if that is not what is there. */
static size_t span_digits(const char *p, const char *end, bool (*takes)(int))
{
        const char *begin = p;

        for (;;) {
                if (p == end || !takes((unsigned char)*p))
                        return 0;
                while (p < end && takes((unsigned char)*p))
                        p++;
                if (p == end || *p != '_')
                        return (size_t)(p - begin);
                p++;
        }
}

static bool is_hex(int c)
{
        return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_octal(int c)
{
        return c >= '0' && c <= '7';
}

static bool is_binary(int c)
{
        return c == '0' || c == '1';
}

static int parse_magnitude(TomlReader *reader, TomlString digits, unsigned base, bool negative, int64_t *ret)
{
        uint64_t limit = (uint64_t)INT64_MAX + negative, v = 0;

        for (size_t i = 0; i < digits.size; i++) {
                char c = digits.data[i];
                unsigned d = is_digit(c) ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);

                if (c == '_')
                        continue;
                if (v > (limit - d) / base)
                        return toml_reader_fail(reader, "an integer beyond 64 bits");
                v = v * base + d;
        }
        *ret = negative ? (int64_t)(0 - v) : (int64_t)v;
        return 0;
}

static int parse_prefixed(TomlReader *reader, TomlString word, TomlValue *value)
{
        bool (*takes)(int) = word.data[1] == 'x' ? is_hex : word.data[1] == 'o' ? is_octal : is_binary;
        unsigned base = word.data[1] == 'x' ? 16 : word.data[1] == 'o' ? 8 : 2;

        if (span_digits(word.data + 2, word.data + word.size, takes) != word.size - 2)
                return toml_reader_fail(reader, "not a number");
        value->type = TOML_TYPE_INTEGER;
        return parse_magnitude(reader, (TomlString){word.data + 2, word.size - 2}, base, false, &value->integer);
}

/* strtod() wants a terminator and no underscores. Its decimal point is the locale's: this program never sets one. */
static int parse_real(TomlReader *reader, TomlString word, TomlValue *value)
{
        char *copy = toml_memory_alloc(reader->memory, word.size + 1);
        size_t n = 0;

        if (!copy)
                return -ENOMEM;
        for (size_t i = 0; i < word.size; i++)
                if (word.data[i] != '_')
                        copy[n++] = word.data[i];
        value->type = TOML_TYPE_FLOAT;
        value->real = strtod(copy, NULL);
        return 0;
}

static int parse_number(TomlReader *reader, TomlString word, TomlValue *value)
{
        const char *p = word.data, *end = word.data + word.size;
        bool negative = *p == '-';

        if (word.size > 2 && p[0] == '0' && strchr("xob", p[1]))
                return parse_prefixed(reader, word, value);
        if (*p == '-' || *p == '+')
                p++;

        if (end - p == 3 && (memcmp(p, "inf", 3) == 0 || memcmp(p, "nan", 3) == 0)) {
                value->type = TOML_TYPE_FLOAT;
                value->real = *p == 'i' ? (negative ? -INFINITY : INFINITY) : NAN;
                return 0;
        }

        size_t whole = span_digits(p, end, is_digit);
        if (whole == 0)
                return toml_reader_fail(reader, "not a value that TOML knows; text needs quotes");
        if (whole > 1 && *p == '0')
                return toml_reader_fail(reader, "a number with a leading zero");
        if (p + whole == end) {
                value->type = TOML_TYPE_INTEGER;
                return parse_magnitude(reader, (TomlString){p, whole}, 10, negative, &value->integer);
        }
        p += whole;

        if (*p == '.') {
                size_t fraction = span_digits(p + 1, end, is_digit);

                if (fraction == 0)
                        return toml_reader_fail(reader, "not a number");
                p += 1 + fraction;
        }
        if (p < end && (*p == 'e' || *p == 'E')) {
                p++;
                if (p < end && (*p == '+' || *p == '-'))
                        p++;
                p += span_digits(p, end, is_digit);
                if (!is_digit((unsigned char)p[-1]))
                        return toml_reader_fail(reader, "not a number");
        }
        if (p != end)
                return toml_reader_fail(reader, "not a value that TOML knows; text needs quotes");
        return parse_real(reader, word, value);
}

int toml_reader_scalar(TomlReader *reader, TomlValue *value)
{
        TomlString word = read_word(reader);
        int r;

        if (word.size == 0)
                return toml_reader_fail(reader, "expected a value");

        if (toml_string_equal(word, "true") || toml_string_equal(word, "false")) {
                value->type = TOML_TYPE_BOOLEAN;
                value->boolean = word.size == 4;
        } else if ((word.size > 4 && word.data[4] == '-' && is_digit((unsigned char)word.data[0]) &&
                           is_digit((unsigned char)word.data[3])) ||
                   (word.size > 2 && word.data[2] == ':')) {
                r = toml_date_parse(word.data, word.size, reader->version, &value->date, &value->type);
                if (r < 0)
                        return toml_reader_fail(reader, "not a date or time that exists");
        } else {
                r = parse_number(reader, word, value);
                if (r < 0)
                        return r;
        }
        reader->at += word.size;
        return 0;
}
