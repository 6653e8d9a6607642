/* The decoder that toml-test asks for: TOML on stdin, its values as tagged JSON on stdout; exit 1 if it is not valid.
 */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/secret.h"
#include "agent/core/toml.h"

static void print_string(TomlString string)
{
        putchar('"');
        for (size_t i = 0; i < string.size; i++) {
                unsigned char c = (unsigned char)string.data[i];

                if (c == '"' || c == '\\')
                        printf("\\%c", c);
                else if (c < 0x20)
                        printf("\\u%04x", c);
                else
                        putchar(c);
        }
        putchar('"');
}

static void print_float(double real)
{
        if (isnan(real))
                printf("nan");
        else if (isinf(real))
                printf(real < 0 ? "-inf" : "inf");
        else
                printf("%.17g", real);
}

static void print_date(const TomlValue *value)
{
        const TomlDate *d = &value->date;

        if (value->type != TOML_TYPE_TIME_LOCAL)
                printf("%04u-%02u-%02u", d->year, d->month, d->day);
        if (value->type == TOML_TYPE_DATE_LOCAL)
                return;
        if (value->type != TOML_TYPE_TIME_LOCAL)
                putchar('T');
        printf("%02u:%02u:%02u", d->hour, d->minute, d->second);
        if (d->nanosecond > 0)
                printf(".%09u", d->nanosecond);
        if (value->type != TOML_TYPE_DATETIME)
                return;
        if (d->offset_minutes == 0)
                putchar('Z');
        else
                printf("%c%02d:%02d", d->offset_minutes < 0 ? '-' : '+', abs(d->offset_minutes) / 60,
                        abs(d->offset_minutes) % 60);
}

static const char *tag(TomlType type)
{
        static const char *const tags[_TOML_TYPE_MAX] = {
                [TOML_TYPE_STRING] = "string",
                [TOML_TYPE_INTEGER] = "integer",
                [TOML_TYPE_FLOAT] = "float",
                [TOML_TYPE_BOOLEAN] = "bool",
                [TOML_TYPE_DATETIME] = "datetime",
                [TOML_TYPE_DATETIME_LOCAL] = "datetime-local",
                [TOML_TYPE_DATE_LOCAL] = "date-local",
                [TOML_TYPE_TIME_LOCAL] = "time-local",
        };

        return tags[type];
}

static void print_value(const TomlValue *value);

static void print_children(const TomlValue *value, char open, char close)
{
        putchar(open);
        for (const TomlValue *v = toml_value_first(value); v; v = v->next) {
                if (v->has_key) {
                        print_string(v->key);
                        putchar(':');
                }
                print_value(v);
                if (v->next)
                        putchar(',');
        }
        putchar(close);
}

static void print_value(const TomlValue *value)
{
        if (value->type == TOML_TYPE_TABLE) {
                print_children(value, '{', '}');
                return;
        }
        if (value->type == TOML_TYPE_ARRAY) {
                print_children(value, '[', ']');
                return;
        }

        printf("{\"type\":\"%s\",\"value\":", tag(value->type));
        if (value->type == TOML_TYPE_STRING)
                print_string(value->string);
        else {
                putchar('"');
                if (value->type == TOML_TYPE_INTEGER)
                        printf("%lld", (long long)value->integer);
                else if (value->type == TOML_TYPE_FLOAT)
                        print_float(value->real);
                else if (value->type == TOML_TYPE_BOOLEAN)
                        printf(value->boolean ? "true" : "false");
                else
                        print_date(value);
                putchar('"');
        }
        putchar('}');
}

int main(int argc, char **argv)
{
        _cleanup_secret_ Secret *source = NULL;
        _cleanup_(toml_document_freep) TomlDocument *document = NULL;
        TomlVersion version = argc > 1 && strcmp(argv[1], "1.0") == 0 ? TOML_VERSION_1_0 : TOML_VERSION_1_1;
        TomlError error;
        char buffer[4096];
        size_t n;

        if (secret_new(NULL, 0, &source) < 0)
                return 2;
        while ((n = fread(buffer, 1, sizeof(buffer), stdin)) > 0)
                if (secret_append(source, buffer, n) < 0)
                        return 2;

        int r = toml_document_parse(secret_data(source), secret_size(source), version, &document, &error);
        if (r < 0) {
                if (r == -ENOMEM)
                        fprintf(stderr, "out of memory\n");
                else
                        fprintf(stderr, "%zu:%zu: %s\n", error.line, error.column, error.text);
                return 1;
        }
        print_value(toml_document_root(document));
        putchar('\n');
        return 0;
}
