/* Building the tree of values: what the parser adds to, and nobody else. */
#pragma once

#include "agent/core/toml-memory.h"
#include "agent/core/toml.h"

typedef struct TomlTree {
        TomlMemory memory;
        TomlValue *root;
        uint32_t n_values;
} TomlTree;

/* Makes the root table. -ENOMEM. */
int toml_tree_init(TomlTree *tree);

/* Appends a new value to a table (key not NULL; must not be there yet) or array. -EFBIG if it would be too deep,
 * -ENOMEM. */
int toml_tree_add(TomlTree *tree, TomlValue *parent, const TomlString *key, TomlValue **ret);

/* The member with this key, or NULL. */
TomlValue *toml_tree_get(const TomlValue *table, TomlString key);
