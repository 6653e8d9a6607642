/* Memory that is given back all at once, wiped: what a document's tree and its unescaped strings live in. */
#pragma once

#include <stddef.h>

typedef struct TomlChunk TomlChunk;

typedef struct TomlMemory {
        TomlChunk *chunks; /* the one in use first */
} TomlMemory;

/* Zeroed memory for any type, valid until toml_memory_done(), or NULL. */
void *toml_memory_alloc(TomlMemory *memory, size_t size);

/* Wipes and frees everything. */
void toml_memory_done(TomlMemory *memory);
