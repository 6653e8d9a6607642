#include "agent/core/toml-write.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int put(Secret *out, const char *text)
{
        return secret_append(out, text, strlen(text));
}

static int put_indent(Secret *out, unsigned levels)
{
        int r = 0;

        for (unsigned i = 0; i < levels && r >= 0; i++)
                r = secret_append(out, "  ", 2);
        return r;
}

static int put_escape(Secret *out, char c)
{
        static const char values[] = "\b\t\n\f\r\"\\", names[] = "btnfr\"\\";
        const char *v = c ? strchr(values, c) : NULL;
        char text[8];

        if (v)
                (void)snprintf(text, sizeof(text), "\\%c", names[v - values]);
        else
                (void)snprintf(text, sizeof(text), "\\u%04x", (unsigned)(unsigned char)c);

        int r = put(out, text);
        explicit_bzero(text, sizeof(text));
        return r;
}

int toml_write_string(Secret *out, TomlString string)
{
        size_t from = 0;

        if (!toml_string_is_utf8(string))
                return -EINVAL;

        int r = secret_append(out, "\"", 1);

        for (size_t i = 0; i < string.size && r >= 0; i++) {
                unsigned char c = (unsigned char)string.data[i];

                if (c >= 0x20 && c != 0x7F && c != '"' && c != '\\')
                        continue;
                r = secret_append(out, string.data + from, i - from);
                if (r >= 0)
                        r = put_escape(out, (char)c);
                from = i + 1;
        }
        if (r >= 0 && from < string.size)
                r = secret_append(out, string.data + from, string.size - from);
        return r < 0 ? r : secret_append(out, "\"", 1);
}

int toml_write_key(Secret *out, TomlString key)
{
        bool bare = key.size > 0;

        for (size_t i = 0; i < key.size && bare; i++) {
                char c = key.data[i];

                bare = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                       c == '-';
        }
        return bare ? secret_append(out, key.data, key.size) : toml_write_string(out, key);
}

/* Digits of a fraction without trailing zeros, with its point; nothing for 0. */
static void format_fraction(uint32_t nanosecond, char ret[static 12])
{
        ret[0] = 0;
        assert(nanosecond <= 999999999);
        if (nanosecond == 0)
                return;

        int n = snprintf(ret, 12, ".%09u", nanosecond);
        while (ret[n - 1] == '0')
                ret[--n] = 0;
}

static int put_date(Secret *out, TomlType type, const TomlDate *d)
{
        char text[80], fraction[12], *p = text;
        size_t room = sizeof(text);
        int n = 0;

        format_fraction(d->nanosecond, fraction);
        if (type != TOML_TYPE_TIME_LOCAL)
                n = snprintf(p, room, "%04u-%02u-%02u", d->year, d->month, d->day);
        if (type != TOML_TYPE_DATE_LOCAL)
                n += snprintf(p + n, room - (size_t)n, "%s%02u:%02u:%02u%s", n > 0 ? "T" : "", d->hour, d->minute,
                        d->second, fraction);
        if (type == TOML_TYPE_DATETIME && d->offset_minutes == 0)
                (void)snprintf(p + n, room - (size_t)n, "Z");
        else if (type == TOML_TYPE_DATETIME)
                (void)snprintf(p + n, room - (size_t)n, "%c%02d:%02d", d->offset_minutes < 0 ? '-' : '+',
                        abs(d->offset_minutes) / 60, abs(d->offset_minutes) % 60);
        return put(out, text);
}

static int put_time(Secret *out, const struct timespec *time)
{
        time_t seconds = time->tv_sec;
        struct tm tm;

        if (time->tv_nsec < 0 || time->tv_nsec > 999999999 || !gmtime_r(&seconds, &tm) || tm.tm_year < -1900 ||
                tm.tm_year > 9999 - 1900)
                return -EINVAL;

        return put_date(out, TOML_TYPE_DATETIME,
                &(TomlDate){
                        .year = (uint16_t)(tm.tm_year + 1900),
                        .month = (uint8_t)(tm.tm_mon + 1),
                        .day = (uint8_t)tm.tm_mday,
                        .hour = (uint8_t)tm.tm_hour,
                        .minute = (uint8_t)tm.tm_min,
                        .second = (uint8_t)tm.tm_sec,
                        .nanosecond = (uint32_t)time->tv_nsec,
                });
}

static int put_integer(Secret *out, int64_t integer)
{
        char text[32];

        (void)snprintf(text, sizeof(text), "%lld", (long long)integer);
        return put(out, text);
}

/* The shortest text that reads back as the same number, with the point that TOML needs. */
static int put_real(Secret *out, double real)
{
        char text[40];

        if (isnan(real))
                return put(out, "nan");
        if (isinf(real))
                return put(out, real < 0 ? "-inf" : "inf");
        /* 17 are always enough. */
        for (int digits = 1;; digits++) {
                (void)snprintf(text, sizeof(text), "%.*g", digits, real);

                double back = strtod(text, NULL);
                if (!(back < real) && !(back > real))
                        break;
        }
        if (!strpbrk(text, ".e"))
                strcat(text, ".0");
        return put(out, text);
}

int toml_write_scalar(Secret *out, const TomlScalar *scalar)
{
        switch ((int)scalar->type) {
        case TOML_TYPE_STRING:
                return toml_write_string(out, scalar->string);
        case TOML_TYPE_INTEGER:
                return put_integer(out, scalar->integer);
        case TOML_TYPE_BOOLEAN:
                return put(out, scalar->boolean ? "true" : "false");
        case TOML_TYPE_DATETIME:
                return put_time(out, &scalar->time);
        }
        return -EINVAL;
}

bool toml_scalar_equal(const TomlScalar *scalar, const TomlValue *value)
{
        if (scalar->type != value->type)
                return false;

        switch ((int)scalar->type) {
        case TOML_TYPE_STRING:
                return scalar->string.size == value->string.size &&
                       (scalar->string.size == 0 ||
                               memcmp(scalar->string.data, value->string.data, scalar->string.size) == 0);
        case TOML_TYPE_INTEGER:
                return scalar->integer == value->integer;
        case TOML_TYPE_BOOLEAN:
                return scalar->boolean == value->boolean;
        case TOML_TYPE_DATETIME: {
                struct timespec time = toml_date_to_timespec(&value->date);

                return time.tv_sec == scalar->time.tv_sec && time.tv_nsec == scalar->time.tv_nsec;
        }
        }
        return false;
}

static int write_inline_children(Secret *out, const TomlValue *value)
{
        bool table = value->type == TOML_TYPE_TABLE;
        int r = put(out, !table ? "[" : value->children.first ? "{ " : "{");

        for (const TomlValue *v = value->children.first; v && r >= 0; v = v->next) {
                if (table) {
                        r = toml_write_key(out, v->key);
                        if (r >= 0)
                                r = put(out, " = ");
                }
                if (r >= 0)
                        r = toml_write_inline(out, v);
                if (r >= 0 && v->next)
                        r = put(out, ", ");
        }
        return r < 0 ? r : put(out, !table ? "]" : value->children.first ? " }" : "}");
}

/* This and toml_write_members() recurse as deep as the tree, TOML_DEPTH_MAX. */
int toml_write_inline(Secret *out, const TomlValue *value)
{
        switch (value->type) {
        case TOML_TYPE_STRING:
                return toml_write_string(out, value->string);
        case TOML_TYPE_INTEGER:
                return put_integer(out, value->integer);
        case TOML_TYPE_FLOAT:
                return put_real(out, value->real);
        case TOML_TYPE_BOOLEAN:
                return put(out, value->boolean ? "true" : "false");
        case TOML_TYPE_DATETIME:
        case TOML_TYPE_DATETIME_LOCAL:
        case TOML_TYPE_DATE_LOCAL:
        case TOML_TYPE_TIME_LOCAL:
                return put_date(out, value->type, &value->date);
        case TOML_TYPE_ARRAY:
        case TOML_TYPE_TABLE:
                return write_inline_children(out, value);
        case _TOML_TYPE_MAX:
                break;
        }
        return -EINVAL;
}

int toml_write_pair(Secret *out, unsigned level, TomlString key, const TomlValue *value)
{
        int r = put_indent(out, level);

        if (r >= 0)
                r = toml_write_key(out, key);
        if (r >= 0)
                r = put(out, " = ");
        if (r >= 0)
                r = toml_write_inline(out, value);
        return r < 0 ? r : put(out, "\n");
}

bool toml_write_has_header(const TomlValue *value)
{
        if (value->type != TOML_TYPE_ARRAY)
                return value->type == TOML_TYPE_TABLE;
        for (const TomlValue *v = value->children.first; v; v = v->next)
                if (v->type != TOML_TYPE_TABLE)
                        return false;
        return value->children.first;
}

static unsigned path_depth(const TomlPath *path)
{
        unsigned depth = 0;

        for (; path; path = path->parent)
                depth++;
        return depth;
}

static int write_path(Secret *out, const TomlPath *path)
{
        int r = 0;

        if (path->parent) {
                r = write_path(out, path->parent);
                if (r >= 0)
                        r = put(out, ".");
        }
        return r < 0 ? r : toml_write_key(out, path->key);
}

static int write_header(Secret *out, const TomlPath *path, bool element)
{
        unsigned depth = path_depth(path);
        int r = 0;

        if ((element || depth == 1) && secret_size(out) > 0)
                r = put(out, "\n");
        if (r >= 0)
                r = put_indent(out, depth - 1);
        if (r >= 0)
                r = put(out, element ? "[[" : "[");
        if (r >= 0)
                r = write_path(out, path);
        return r < 0 ? r : put(out, element ? "]]\n" : "]\n");
}

int toml_write_members(Secret *out, const TomlPath *path, const TomlValue *table)
{
        int r = 0;

        for (const TomlValue *v = table->children.first; v && r >= 0; v = v->next)
                if (!toml_write_has_header(v))
                        r = toml_write_pair(out, path_depth(path), v->key, v);
        for (const TomlValue *v = table->children.first; v && r >= 0; v = v->next)
                if (toml_write_has_header(v))
                        r = toml_write_table(out, &(TomlPath){path, v->key}, v);
        return r;
}

int toml_write_table(Secret *out, const TomlPath *path, const TomlValue *value)
{
        int r = 0;

        if (value->type == TOML_TYPE_TABLE) {
                r = write_header(out, path, false);
                return r < 0 ? r : toml_write_members(out, path, value);
        }
        for (const TomlValue *v = value->children.first; v && r >= 0; v = v->next) {
                r = write_header(out, path, true);
                if (r >= 0)
                        r = toml_write_members(out, path, v);
        }
        return r;
}
