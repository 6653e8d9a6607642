#include "config/value.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

int value_fail(char **reterr, int error, const char *format, ...)
{
        if (!reterr)
                return error;

        va_list arguments;
        char *sentence = NULL;

        va_start(arguments, format);
        int n = vasprintf(&sentence, format, arguments);
        va_end(arguments);
        if (n < 0)
                return -ENOMEM;
        *reterr = sentence;
        return error;
}

bool value_is_blank(char c)
{
        return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f';
}

static bool is_digit(char c)
{
        return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* GitLab's tokens are long runs of letters and digits, with a known beginning or without any. */
static bool looks_like_token(const char *text)
{
        if (strstr(text, "GR1348941"))
                return true;
        for (const char *p = strstr(text, "gl"); p; p = strstr(p + 2, "gl")) {
                size_t letters = 2;

                while (is_letter(p[letters]))
                        letters++;
                if (letters > 2 && letters < 10 && p[letters] == '-')
                        return true;
        }

        /* Bare ones: twenty characters in mixed case, or thirty in hexadecimal. Names of hosts and files are neither.
         */
        size_t run = 0, plain = 0, digits = 0;
        bool small = false, capital = false;
        for (const char *p = text; *p; p++) {
                bool joint = *p == '-' || *p == '_';

                if (!is_letter(*p) && !is_digit(*p) && !joint) {
                        run = plain = digits = 0;
                        small = capital = false;
                        continue;
                }
                run++;
                plain = joint ? 0 : plain + 1;
                digits = joint ? 0 : digits + is_digit(*p);
                small = small || (*p >= 'a' && *p <= 'z');
                capital = capital || (*p >= 'A' && *p <= 'Z');
                if ((run >= 18 && small && capital) || (plain >= 18 && digits > 0))
                        return true;
        }
        return false;
}

const char *value_quote(const char *text, char buffer[static VALUE_QUOTE_MAX])
{
        /* No token begins like a path. */
        if (text[0] != '/' && looks_like_token(text)) {
                (void)strcpy(buffer, "the value");
                return buffer;
        }

        const size_t room = VALUE_QUOTE_MAX - sizeof("'…'");
        size_t n = strnlen(text, room + 1);
        bool cut = n > room;

        if (cut) {
                n = room;
                /* Not amid a character. */
                while (n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80)
                        n--;
        }
        buffer[0] = '\'';
        for (size_t i = 0; i < n; i++)
                buffer[i + 1] = (unsigned char)text[i] < ' ' || text[i] == 0x7f ? '?' : text[i];
        (void)strcpy(buffer + 1 + n, cut ? "…'" : "'");
        return buffer;
}

int value_parse_boolean(const char *text, bool *ret)
{
        static const char *const yes[] = {"true", "yes", "on", "1"};
        static const char *const no[] = {"false", "no", "off", "0"};

        for (size_t i = 0; i < ELEMENTS(yes); i++) {
                if (strcasecmp(text, yes[i]) == 0) {
                        *ret = true;
                        return 0;
                }
                if (strcasecmp(text, no[i]) == 0) {
                        *ret = false;
                        return 0;
                }
        }
        return -EINVAL;
}

int value_parse_integer(const char *text, int64_t *ret)
{
        bool negative = *text == '-';
        const char *digits = text + negative;
        uint64_t value = 0;
        const uint64_t limit = (uint64_t)INT64_MAX + negative;

        if (!is_digit(*digits))
                return -EINVAL;
        /* YAML 1.1 takes `010` for eight, people do not: neither is right. */
        if (digits[0] == '0' && digits[1])
                return -EINVAL;
        bool beyond = false;
        for (const char *p = digits; *p; p++) {
                if (!is_digit(*p))
                        return -EINVAL;
                uint64_t digit = (uint64_t)(*p - '0');
                if (value > (limit - digit) / 10)
                        beyond = true;
                else
                        value = value * 10 + digit;
        }
        if (beyond)
                return -ERANGE;
        *ret = negative ? (int64_t)(0 - value) : (int64_t)value;
        return 0;
}

typedef struct Unit {
        const char *name;
        uint64_t usec;
} Unit;

/* systemd.time(7)'s names; a month is a twelfth of a year, a year has 365.25 days. */
static const Unit units[] = {
        {"usec", 1},
        {"us", 1},
        {"\xC2\xB5s", 1}, /* micro sign */
        {"\xCE\xBCs", 1}, /* Greek mu */
        {"msec", USEC_PER_MSEC},
        {"ms", USEC_PER_MSEC},
        {"seconds", USEC_PER_SEC},
        {"second", USEC_PER_SEC},
        {"sec", USEC_PER_SEC},
        {"s", USEC_PER_SEC},
        {"minutes", USEC_PER_MINUTE},
        {"minute", USEC_PER_MINUTE},
        {"min", USEC_PER_MINUTE},
        {"m", USEC_PER_MINUTE},
        {"hours", USEC_PER_HOUR},
        {"hour", USEC_PER_HOUR},
        {"hr", USEC_PER_HOUR},
        {"h", USEC_PER_HOUR},
        {"days", USEC_PER_DAY},
        {"day", USEC_PER_DAY},
        {"d", USEC_PER_DAY},
        {"weeks", 7 * USEC_PER_DAY},
        {"week", 7 * USEC_PER_DAY},
        {"w", 7 * USEC_PER_DAY},
        {"months", 2629800 * USEC_PER_SEC},
        {"month", 2629800 * USEC_PER_SEC},
        {"M", 2629800 * USEC_PER_SEC},
        {"years", 31557600 * USEC_PER_SEC},
        {"year", 31557600 * USEC_PER_SEC},
        {"y", 31557600 * USEC_PER_SEC},
};

/* The unit whose name is all of what stands before a digit, a blank or the end; 0: none. */
static uint64_t parse_unit(const char **text)
{
        size_t n = 0;

        while ((*text)[n] && !is_digit((*text)[n]) && !value_is_blank((*text)[n]))
                n++;
        for (size_t i = 0; i < ELEMENTS(units); i++)
                if (strlen(units[i].name) == n && memcmp(units[i].name, *text, n) == 0) {
                        *text += n;
                        return units[i].usec;
                }
        return 0;
}

static const char *skip_blanks(const char *text)
{
        while (value_is_blank(*text))
                text++;
        return text;
}

/* A number with at most six digits behind the point, in millionths: no unit's part is lost then. */
static int parse_number(const char **text, uint64_t *ret_millionths)
{
        const char *p = *text;
        uint64_t whole = 0, fraction = 0;

        if (!is_digit(*p))
                return -EINVAL;
        for (; is_digit(*p); p++)
                if (whole < UINT64_MAX / 100)
                        whole = whole * 10 + (uint64_t)(*p - '0');
        if (*p == '.') {
                uint64_t weight = 100000;

                if (!is_digit(*++p))
                        return -EINVAL;
                for (; is_digit(*p); p++, weight /= 10)
                        fraction += weight * (uint64_t)(*p - '0');
        }
        *text = p;
        /* Nothing that large survives the limit, whatever the unit. */
        if (whole > VALUE_DURATION_MAX)
                *ret_millionths = UINT64_MAX;
        else if (__builtin_mul_overflow(whole, (uint64_t)1000000, ret_millionths))
                *ret_millionths = UINT64_MAX;
        else
                *ret_millionths += fraction;
        return 0;
}

int value_parse_duration(const char *text, uint64_t *ret_usec)
{
        const char *p = skip_blanks(text);
        uint64_t total = 0;
        bool beyond = false;

        for (bool first = true; first || *p; first = false) {
                uint64_t millionths, unit;

                int r = parse_number(&p, &millionths);
                if (r < 0)
                        return r;
                p = skip_blanks(p);
                if (!*p && first)
                        unit = USEC_PER_SEC;
                else {
                        /* `1h30` is refused: of what the thirty are, people think differently. */
                        unit = parse_unit(&p);
                        if (unit == 0)
                                return -EINVAL;
                }

                unsigned __int128 span = (unsigned __int128)millionths * unit / 1000000;
                if (millionths == UINT64_MAX || span > VALUE_DURATION_MAX)
                        beyond = true;
                else
                        total += (uint64_t)span;
                if (total > VALUE_DURATION_MAX)
                        beyond = true;
                p = skip_blanks(p);
        }
        if (beyond)
                return -ERANGE;
        *ret_usec = total;
        return 0;
}

int value_parse_percent(const char *text, unsigned *ret)
{
        size_t n = strlen(text);
        char digits[8];
        int64_t value;

        if (n < 2 || n > sizeof(digits) || text[n - 1] != '%' || !is_digit(text[0]))
                return -EINVAL;
        memcpy(digits, text, n - 1);
        digits[n - 1] = 0;
        int r = value_parse_integer(digits, &value);
        if (r < 0)
                return r;
        *ret = (unsigned)value;
        return 0;
}

char **value_list_free(char **list)
{
        for (char **item = list; item && *item; item++)
                free(*item);
        free(list);
        return NULL;
}

int value_list_append(char ***list, size_t n, const char *text)
{
        char **grown = reallocarray(*list, n + 2, sizeof(*grown));

        if (!grown)
                return -ENOMEM;
        *list = grown;
        grown[n] = strdup(text);
        grown[n + 1] = NULL;
        return grown[n] ? 0 : -ENOMEM;
}

int value_parse_list(const char *text, char ***ret)
{
        _cleanup_(value_list_freep) char **list = calloc(1, sizeof(*list));
        _cleanup_free_ char *copy = strdup(text);
        size_t n = 0;

        if (!list || !copy)
                return -ENOMEM;
        char *rest = copy;
        for (char *item; (item = strsep(&rest, ","));) {
                item = (char *)skip_blanks(item);
                size_t size = strlen(item);
                while (size > 0 && value_is_blank(item[size - 1]))
                        item[--size] = 0;
                if (size == 0)
                        continue;
                int r = value_list_append(&list, n++, item);
                if (r < 0)
                        return r;
        }
        *ret = take_ptr(list);
        return 0;
}

bool value_list_equal(char *const *a, char *const *b)
{
        if (!a || !b)
                return a == b;
        for (; *a && *b; a++, b++)
                if (strcmp(*a, *b) != 0)
                        return false;
        return *a == *b;
}

size_t value_list_size(char *const *list)
{
        size_t n = 0;

        while (list && list[n])
                n++;
        return n;
}

bool value_is_name(const char *text)
{
        size_t n = 0;

        for (; text[n]; n++) {
                bool inner = text[n] == '.' || text[n] == '_' || text[n] == '-';

                if (n >= VALUE_NAME_MAX || !(is_letter(text[n]) || is_digit(text[n]) || (inner && n > 0)))
                        return false;
        }
        return n > 0;
}

bool value_is_path(const char *text)
{
        return text[0] == '/' && strlen(text) < PATH_MAX;
}

bool value_is_service(const char *text)
{
        static const char ending[] = ".service";
        size_t n = strlen(text), end = sizeof(ending) - 1;

        if (n <= end || n >= 256 || strcmp(text + n - end, ending) != 0 || text[0] == '@')
                return false;
        for (const char *p = text; *p; p++)
                if (!is_letter(*p) && !is_digit(*p) && !strchr(":-_.\\@", *p))
                        return false;
        return true;
}

/* Bytes of the character at TEXT; 0 if it is not valid UTF-8. The ranges of the second byte keep out overlong forms,
 * surrogates and what is beyond Unicode (RFC 3629). */
static size_t character_size(const unsigned char *text, size_t size)
{
        unsigned char first = text[0], low = 0x80, high = 0xBF;
        size_t n;

        if (first < 0x80)
                return 1;
        if (first >= 0xC2 && first <= 0xDF)
                n = 2;
        else if (first >= 0xE0 && first <= 0xEF) {
                n = 3;
                low = first == 0xE0 ? 0xA0 : 0x80;
                high = first == 0xED ? 0x9F : 0xBF;
        } else if (first >= 0xF0 && first <= 0xF4) {
                n = 4;
                low = first == 0xF0 ? 0x90 : 0x80;
                high = first == 0xF4 ? 0x8F : 0xBF;
        } else
                return 0;

        if (size < n || text[1] < low || text[1] > high)
                return 0;
        for (size_t i = 2; i < n; i++)
                if (text[i] < 0x80 || text[i] > 0xBF)
                        return 0;
        return n;
}

size_t value_check_utf8(const char *text, size_t size)
{
        size_t at = 0;

        while (at < size) {
                size_t n = character_size((const unsigned char *)text + at, size - at);

                if (n == 0)
                        return at;
                at += n;
        }
        return size;
}

size_t value_count_characters(const char *text, size_t size)
{
        size_t count = 0;

        for (size_t at = 0; at < size; count++) {
                size_t n = character_size((const unsigned char *)text + at, size - at);

                if (n == 0)
                        return SIZE_MAX;
                at += n;
        }
        return count;
}
