#include "agent/core/text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/base/cleanup.h"
#include "agent/core/token.h"

size_t text_character(const char *data, size_t size, uint32_t *ret)
{
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        unsigned char first = size > 0 ? (unsigned char)data[0] : 0;
        uint32_t value;
        size_t n;

        if (size == 0)
                return 0;
        if (first < 0x80)
                n = 1, value = first;
        else if ((first & 0xe0) == 0xc0)
                n = 2, value = first & 0x1f;
        else if ((first & 0xf0) == 0xe0)
                n = 3, value = first & 0x0f;
        else if ((first & 0xf8) == 0xf0)
                n = 4, value = first & 0x07;
        else
                return 0;
        if (n > size)
                return 0;
        for (size_t i = 1; i < n; i++) {
                if (((unsigned char)data[i] & 0xc0) != 0x80)
                        return 0;
                value = value << 6 | ((unsigned char)data[i] & 0x3f);
        }
        if (value < least[n] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
                return 0;
        *ret = value;
        return n;
}

bool text_is_utf8(const char *data, size_t size)
{
        uint32_t character;

        for (size_t i = 0, n; i < size; i += n) {
                n = text_character(data + i, size - i, &character);
                if (n == 0)
                        return false;
        }
        return true;
}

size_t text_prefix(const char *text, size_t characters)
{
        size_t i = 0;

        for (; text[i]; i++)
                if (((unsigned char)text[i] & 0xc0) != 0x80 && characters-- == 0)
                        break;
        return i;
}

size_t text_characters(const char *text)
{
        size_t n = 0;

        for (; *text; text++)
                n += ((unsigned char)*text & 0xc0) != 0x80;
        return n;
}

/* Controls, and the marks that make a terminal show something other than what is there. */
static bool is_harmful(uint32_t c)
{
        return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
               (c >= 0x2060 && c <= 0x206f) || c == 0xfeff;
}

int text_clean(const char *data, size_t size, size_t max, char **ret)
{
        static const char ellipsis[] = "…";
        size_t out = 0, fits = 0, n;
        bool cut = false;

        char *text = malloc(max + 1);
        if (!text)
                return -ENOMEM;
        for (size_t i = 0; i < size; i += n) {
                const char *piece = data + i;
                uint32_t character;
                size_t length;

                n = length = text_character(data + i, size - i, &character);
                if (n == 0) {
                        n = length = 1;
                        piece = "?";
                } else if (character == ' ' || is_harmful(character)) {
                        if (out == 0 || text[out - 1] == ' ')
                                continue;
                        piece = " ";
                        length = 1;
                }
                cut = out + length > max;
                if (cut)
                        break;
                memcpy(text + out, piece, length);
                out += length;
                if (out + strlen(ellipsis) <= max)
                        fits = out;
        }
        if (cut && max >= strlen(ellipsis)) {
                out = fits;
                memcpy(text + out, ellipsis, strlen(ellipsis));
                out += strlen(ellipsis);
        }
        while (out > 0 && text[out - 1] == ' ')
                out--;
        text[out] = 0;
        *ret = text;
        return 0;
}

static bool is_token_character(char c)
{
        return isalnum((unsigned char)c) || c == '-' || c == '_' || c == '.';
}

/* Whether the word "token" stands right before TEXT + AT, with nothing but blanks and punctuation between. */
static bool follows_token(const char *text, size_t at)
{
        while (at > 0 && strchr(" :=\"'`<([", text[at - 1]))
                at--;
        return at >= 5 && strncasecmp(text + at - 5, "token", 5) == 0;
}

/* Replaces in place whatever looks like a GitLab token by `***`: the known prefixes wherever they stand in a word,
 * and opaque words of 20 characters and more right after the word "token". */
static void mask_tokens(char *text)
{
        size_t out = 0, size;

        for (size_t i = 0; text[i]; i += size) {
                const char *piece = text + i;

                size = 0;
                while (is_token_character(text[i + size]))
                        size++;
                size_t length = size = size > 0 ? size : 1;
                if (token_looks_like(piece, size) || (size >= 20 && follows_token(text, out))) {
                        piece = "***";
                        length = 3;
                }
                memmove(text + out, piece, length);
                out += length;
        }
        text[out] = 0;
}

int text_show(const char *data, size_t size, size_t max, char **ret)
{
        _cleanup_free_ char *text = NULL;

        /* Masked before it is cut: what is left of a token behind a cut would not be known as one. */
        int r = text_clean(data, size, 4 * max, &text);
        if (r < 0)
                return r;
        mask_tokens(text);
        return text_clean(text, strlen(text), max, ret);
}
