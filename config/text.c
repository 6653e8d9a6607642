#include "config/text.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/cleanup.h"
#include "config/value.h"

/* The value of the specifier C: *RET is NULL where it is not known here. */
static int resolve(char c, const Specifiers *specifiers, const char **ret, char **reterr)
{
        const char *value = NULL, *what = NULL;

        switch (c) {
        case 'H':
                what = "host name";
                value = specifiers ? specifiers->host_name : NULL;
                break;
        case 'm':
                what = "machine id";
                value = specifiers ? specifiers->machine_id : NULL;
                break;
        case 'i':
                what = "instance id (cloud-init's)";
                value = specifiers ? specifiers->instance_id : NULL;
                break;
        case '%':
                value = "%";
                break;
        case 0:
                return value_fail(reterr, -EINVAL, "ends with a single %%");
        default: {
                char specifier[2] = {c, 0};

                /* Half of a character would make the message invalid text. */
                return value_fail(reterr, -EINVAL, "holds the unknown specifier %%%s",
                        (unsigned char)c > ' ' && (unsigned char)c < 0x7f ? specifier : "");
        }
        }
        if (!value && specifiers)
                return value_fail(reterr, -EINVAL, "holds %%%c, but this host has no %s", c, what);
        *ret = value;
        return 0;
}

int text_expand(const char *text, const Specifiers *specifiers, char **ret, char **reterr)
{
        _cleanup_free_ char *expanded = NULL;
        size_t size = 0;
        FILE *stream = open_memstream(&expanded, &size);

        if (!stream)
                return -ENOMEM;
        for (const char *p = text; *p; p++) {
                const char *value = NULL;

                if (*p != '%') {
                        (void)fputc(*p, stream);
                        continue;
                }
                int r = resolve(*++p, specifiers, &value, reterr);
                if (r < 0) {
                        (void)fclose(stream);
                        return r;
                }
                if (value)
                        (void)fputs(value, stream);
        }
        bool failed = ferror(stream) != 0;
        if (fclose(stream) != 0 || failed)
                return -ENOMEM;

        size_t characters = value_count_characters(expanded, size);
        if (characters == SIZE_MAX)
                return value_fail(reterr, -EINVAL, "is not valid UTF-8");
        if (characters > TEXT_CHARACTERS_MAX)
                return value_fail(reterr, -EINVAL, "has %zu characters", characters);
        if (specifiers && ret)
                *ret = take_ptr(expanded);
        return 0;
}
