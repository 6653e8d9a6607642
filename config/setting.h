#pragma once

/* One setting of one section: from text into the member that its row names, and back to nothing. */

#include <stdbool.h>
#include <stddef.h>

#include "config/schema.h"

/* A value as a reader found it. */
typedef struct SettingInput {
        const char *text; /* NULL: `items` is it */
        char **items;     /* a sequence, NULL-terminated */
} SettingInput;

/* Sets ROW's member of SECTION (a Config or a RunnerConfig) from INPUT, freeing what was there. -EINVAL and what is
 * wrong, without what was expected, in *reterr: then the member is unchanged. -ENOMEM. */
int setting_parse(const SchemaRow *row, const SettingInput *input, void *section, char **reterr);

/* Gives every member of SECTION its default, or what stands for "not configured". SECTION is all zero before. */
int setting_set_defaults(SchemaSection which, void *section);

/* Frees all members. */
void setting_clear_all(SchemaSection which, void *section);

/* Whether all members of both are alike. */
bool setting_equal_all(SchemaSection which, const void *a, const void *b);
