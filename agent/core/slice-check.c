/* Whether a text is JSON (RFC 8259), without building anything of it: a long list is looked at once, in place, and a
 * tree of it would cost more than all the rest that is done with a page. */

#include <string.h>

#include "agent/core/json.h"
#include "agent/core/slice.h"
#include "agent/core/text.h"

typedef struct Checker {
        const char *at;
        const char *end;
} Checker;

static void skip_blanks(Checker *c)
{
        while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\n' || *c->at == '\r'))
                c->at++;
}

static bool take(Checker *c, char character)
{
        if (c->at >= c->end || *c->at != character)
                return false;
        c->at++;
        return true;
}

static bool take_word(Checker *c, const char *word)
{
        for (; *word; word++)
                if (!take(c, *word))
                        return false;
        return true;
}

static bool take_digits(Checker *c)
{
        const char *start = c->at;

        while (c->at < c->end && *c->at >= '0' && *c->at <= '9')
                c->at++;
        return c->at > start;
}

static bool take_number(Checker *c)
{
        (void)take(c, '-');
        if (!take(c, '0') && !take_digits(c))
                return false;
        if (take(c, '.') && !take_digits(c))
                return false;
        if (!take(c, 'e') && !take(c, 'E'))
                return true;
        if (!take(c, '+'))
                (void)take(c, '-');
        return take_digits(c);
}

static bool take_escape(Checker *c)
{
        if (c->at >= c->end)
                return false;
        char kind = *c->at++;
        if (kind != 'u')
                return kind && strchr("\"\\/bfnrt", kind);
        for (unsigned i = 0; i < 4; i++, c->at++)
                if (c->at >= c->end || !*c->at || !strchr("0123456789abcdefABCDEF", *c->at))
                        return false;
        return true;
}

static bool take_string(Checker *c)
{
        uint32_t character;

        if (!take(c, '"'))
                return false;
        while (c->at < c->end) {
                unsigned char byte = (unsigned char)*c->at;
                size_t n = 1;

                if (byte == '"') {
                        c->at++;
                        return true;
                }
                if (byte < ' ')
                        return false;
                if (byte >= 0x80) {
                        n = text_character(c->at, (size_t)(c->end - c->at), &character);
                        if (n == 0)
                                return false;
                }
                c->at += n;
                if (byte == '\\' && !take_escape(c))
                        return false;
        }
        return false;
}

static bool take_scalar(Checker *c)
{
        if (c->at >= c->end)
                return false;
        switch (*c->at) {
        case '"':
                return take_string(c);
        case 't':
                return take_word(c, "true");
        case 'f':
                return take_word(c, "false");
        case 'n':
                return take_word(c, "null");
        default:
                return take_number(c);
        }
}

static bool take_key(Checker *c)
{
        skip_blanks(c);
        if (!take_string(c))
                return false;
        skip_blanks(c);
        return take(c, ':');
}

bool slice_check(const char *data, size_t size)
{
        Checker c = {data, data + size};
        bool is_object[JSON_DEPTH_MAX];
        unsigned depth = 0;

        for (;;) {
                skip_blanks(&c);
                if (c.at < c.end && (*c.at == '{' || *c.at == '[')) {
                        bool object = *c.at++ == '{';

                        if (depth == JSON_DEPTH_MAX)
                                return false;
                        skip_blanks(&c);
                        if (!take(&c, object ? '}' : ']')) {
                                is_object[depth++] = object;
                                if (object && !take_key(&c))
                                        return false;
                                continue;
                        }
                } else if (!take_scalar(&c))
                        return false;

                /* Behind a value: the ends of what it ends, then the next one. */
                for (;;) {
                        skip_blanks(&c);
                        if (depth == 0)
                                return c.at == c.end;
                        if (!take(&c, is_object[depth - 1] ? '}' : ']'))
                                break;
                        depth--;
                }
                if (!take(&c, ',') || (is_object[depth - 1] && !take_key(&c)))
                        return false;
        }
}
