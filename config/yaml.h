#pragma once

#include <stddef.h>

#include "config/builder.h"

/* Feeds BUILDER with the YAML text of SIZE bytes at DATA, valid UTF-8 without NUL. Mistakes go to the builder. 0 or
 * -ENOMEM.
 *
 * One document: a mapping of `agent`, a mapping, and `runners`, a sequence of mappings, whose values are scalars, or
 * sequences of scalars where the setting is a list. Anchors, aliases and tags are refused. */
int yaml_read(Builder *builder, const char *data, size_t size);
