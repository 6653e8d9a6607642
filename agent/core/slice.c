#include "agent/core/slice.h"

#include <stdlib.h>
#include <string.h>

#include "agent/core/json.h"

static bool is_blank(char c)
{
        return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_blanks(SliceCursor *cursor)
{
        while (cursor->at < cursor->end && is_blank(*cursor->at))
                cursor->at++;
}

/* Moves behind the string that begins at the cursor. */
static void skip_string(SliceCursor *cursor)
{
        for (cursor->at++; cursor->at < cursor->end; cursor->at++) {
                if (*cursor->at == '\\' && cursor->end - cursor->at > 1)
                        cursor->at++;
                else if (*cursor->at == '"') {
                        cursor->at++;
                        return;
                }
        }
}

/* Moves behind the value that begins at the cursor, which stands at no blank. Needs no stack: brackets of a valid
 * text match. */
static void skip_value(SliceCursor *cursor)
{
        size_t depth = 0;

        while (cursor->at < cursor->end) {
                char c = *cursor->at;

                if (c == '"')
                        skip_string(cursor);
                else if (c == '{' || c == '[') {
                        depth++;
                        cursor->at++;
                } else if (c == '}' || c == ']') {
                        if (depth == 0)
                                return;
                        depth--;
                        cursor->at++;
                } else if (depth == 0 && (c == ',' || c == ':'))
                        return;
                else {
                        cursor->at++;
                        if (depth > 0)
                                continue;
                        while (cursor->at < cursor->end && !strchr(",:]} \t\r\n", *cursor->at))
                                cursor->at++;
                }
                if (depth == 0)
                        return;
        }
}

static bool take_value(SliceCursor *cursor, Slice *ret)
{
        skip_blanks(cursor);
        const char *start = cursor->at;
        skip_value(cursor);
        *ret = (Slice){start, (size_t)(cursor->at - start)};
        return ret->size > 0;
}

Slice slice_of(const char *data, size_t size)
{
        SliceCursor cursor = {data, data + size};
        Slice value = {data, 0};

        (void)take_value(&cursor, &value);
        return value;
}

SliceCursor slice_enter(Slice value)
{
        if (!slice_is_object(value) && !slice_is_array(value))
                return (SliceCursor){value.data, value.data};
        return (SliceCursor){value.data + 1, value.data + value.size};
}

/* To the next part: over the comma, or before the first one. */
static bool at_part(SliceCursor *cursor)
{
        skip_blanks(cursor);
        if (cursor->at < cursor->end && *cursor->at == ',') {
                cursor->at++;
                skip_blanks(cursor);
        }
        return cursor->at < cursor->end && *cursor->at != ']' && *cursor->at != '}';
}

bool slice_next_item(SliceCursor *cursor, Slice *ret)
{
        return at_part(cursor) && take_value(cursor, ret);
}

bool slice_next_member(SliceCursor *cursor, Slice *ret_key, Slice *ret_value)
{
        if (!at_part(cursor) || !take_value(cursor, ret_key))
                return false;
        skip_blanks(cursor);
        if (cursor->at >= cursor->end || *cursor->at != ':')
                return false;
        cursor->at++;
        return take_value(cursor, ret_value);
}

/* Whether the string KEY is the SIZE bytes at TEXT. A key may be written with escapes. */
static bool key_is(Slice key, const char *text, size_t size)
{
        _cleanup_free_ char *plain = NULL;

        if (!slice_is_string(key))
                return false;
        if (!memchr(key.data, '\\', key.size))
                return key.size == size + 2 && memcmp(key.data + 1, text, size) == 0;
        return slice_text(key, &plain) >= 0 && strlen(plain) == size && memcmp(plain, text, size) == 0;
}

bool slice_member(Slice object, const char *path, Slice *ret)
{
        Slice key, value;

        while (slice_is_object(object)) {
                SliceCursor cursor = slice_enter(object);
                size_t size = strcspn(path, ".");
                bool found = false;

                while (!found && slice_next_member(&cursor, &key, &value))
                        found = key_is(key, path, size);
                if (!found)
                        return false;
                if (!path[size]) {
                        *ret = value;
                        return true;
                }
                path += size + 1;
                object = value;
        }
        return false;
}

bool slice_is_object(Slice value)
{
        return value.size > 0 && value.data[0] == '{';
}

bool slice_is_array(Slice value)
{
        return value.size > 0 && value.data[0] == '[';
}

bool slice_is_string(Slice value)
{
        return value.size >= 2 && value.data[0] == '"' && value.data[value.size - 1] == '"';
}

bool slice_is_null(Slice value)
{
        return value.size == 0 || slice_is(value, "null");
}

bool slice_is(Slice value, const char *word)
{
        return value.size == strlen(word) && memcmp(value.data, word, value.size) == 0;
}

static int hex_digits(const char *text, uint32_t *ret)
{
        *ret = 0;
        for (size_t i = 0; i < 4; i++) {
                const char *digits = "0123456789abcdef", *digit = text[i] ? strchr(digits, text[i] | 0x20) : NULL;

                if (!digit)
                        return -EINVAL;
                *ret = *ret << 4 | (uint32_t)(digit - digits);
        }
        return 0;
}

static size_t put_character(char *out, uint32_t c)
{
        if (c < 0x80) {
                out[0] = (char)c;
                return 1;
        }
        if (c < 0x800) {
                out[0] = (char)(0xc0 | c >> 6);
                out[1] = (char)(0x80 | (c & 0x3f));
                return 2;
        }
        if (c < 0x10000) {
                out[0] = (char)(0xe0 | c >> 12);
                out[1] = (char)(0x80 | (c >> 6 & 0x3f));
                out[2] = (char)(0x80 | (c & 0x3f));
                return 3;
        }
        out[0] = (char)(0xf0 | c >> 18);
        out[1] = (char)(0x80 | (c >> 12 & 0x3f));
        out[2] = (char)(0x80 | (c >> 6 & 0x3f));
        out[3] = (char)(0x80 | (c & 0x3f));
        return 4;
}

/* Resolves the `uXXXX` at P, maybe with a second half behind it. Returns the bytes taken, 0 where it is none. */
static size_t read_unicode(const char *p, const char *end, uint32_t *ret)
{
        uint32_t low;

        if (end - p < 5 || hex_digits(p + 1, ret) < 0)
                return 0;
        if (*ret >= 0xd800 && *ret < 0xdc00 && end - p >= 11 && p[5] == '\\' && p[6] == 'u' &&
                hex_digits(p + 7, &low) >= 0 && low >= 0xdc00 && low < 0xe000) {
                *ret = 0x10000 + ((*ret - 0xd800) << 10) + (low - 0xdc00);
                return 11;
        }
        /* NUL would end the text, and half a pair is no character. */
        if (*ret == 0 || (*ret >= 0xd800 && *ret < 0xe000))
                *ret = 0xfffd;
        return 5;
}

int slice_text(Slice value, char **ret)
{
        static const char letters[] = "bfnrt", meanings[] = "\b\f\n\r\t";

        if (!slice_is_string(value))
                return -EINVAL;
        /* No escape is shorter than what it stands for. */
        _cleanup_free_ char *text = malloc(value.size + 1);
        size_t out = 0;
        if (!text)
                return -ENOMEM;

        const char *end = value.data + value.size - 1;
        for (const char *p = value.data + 1; p < end;) {
                uint32_t character;
                size_t n;

                if (*p != '\\' || end - p < 2) {
                        text[out++] = *p++;
                        continue;
                }
                p++;
                const char *letter = *p ? strchr(letters, *p) : NULL;
                if (*p == 'u' && (n = read_unicode(p, end, &character)) > 0) {
                        out += put_character(text + out, character);
                        p += n;
                        continue;
                }
                text[out++] = letter ? meanings[letter - letters] : *p;
                p++;
        }
        text[out] = 0;
        *ret = take_ptr(text);
        return 0;
}

bool slice_text_is(Slice value, const char *text)
{
        return key_is(value, text, strlen(text));
}

int slice_integer(Slice value, int64_t *ret)
{
        int64_t number = 0;

        /* Eighteen digits always fit. */
        if (value.size == 0 || value.size > 18)
                return -EINVAL;
        for (size_t i = 0; i < value.size; i++) {
                if (value.data[i] < '0' || value.data[i] > '9')
                        return -EINVAL;
                number = number * 10 + (value.data[i] - '0');
        }
        *ret = number;
        return number > 0 ? 0 : -EINVAL;
}

int slice_mask(Slice value, const char *key, Secret *out)
{
        const char *done = value.data, *end = value.data + value.size;
        SliceCursor cursor = {value.data, end};
        Slice name = {0};
        bool named = false;

        /* Flat: strings are looked at one after another, and one before a colon is a key. */
        while (key && cursor.at < end) {
                if (named) {
                        Slice secret;

                        named = false;
                        if (!take_value(&cursor, &secret) || slice_is_null(secret) || slice_is(secret, "\"\""))
                                continue;
                        if (secret_append(out, done, (size_t)(secret.data - done)) < 0 ||
                                secret_append_string(out, "\"***\"") < 0)
                                return -ENOMEM;
                        done = cursor.at;
                } else if (*cursor.at == '"') {
                        name.data = cursor.at;
                        skip_string(&cursor);
                        name.size = (size_t)(cursor.at - name.data);
                        skip_blanks(&cursor);
                        if (cursor.at < end && *cursor.at == ':') {
                                cursor.at++;
                                named = slice_text_is(name, key);
                        }
                } else
                        cursor.at++;
        }
        return secret_append(out, done, (size_t)(end - done));
}
