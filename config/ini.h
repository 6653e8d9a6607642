#pragma once

#include <stddef.h>

#include "config/builder.h"

/* Feeds BUILDER with the INI text of SIZE bytes at DATA, valid UTF-8 without NUL, which is changed on the way and
 * ends with a NUL behind it. Mistakes go to the builder. 0 or -ENOMEM.
 *
 * `[agent]`, `[runner NAME]`, `key = value`; lines that begin with `#` or `;`, and what follows one of them after a
 * blank, are comments. Blanks around lines, keys and values mean nothing, indentation neither; there are no quotes,
 * no continued lines. */
int ini_read(Builder *builder, char *data, size_t size);
