#include "agent/core/toml-memory.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Chunks double from one page, so that a file with one entry costs little and one with thousands few allocations. */
#define CHUNK_SIZE_MIN 4096U
#define CHUNK_SIZE_MAX (1024U * 1024U)

struct TomlChunk {
        TomlChunk *next;
        size_t size;
        size_t used;
        alignas(max_align_t) char data[];
};

static TomlChunk *chunk_new(const TomlMemory *memory, size_t size)
{
        size_t want = memory->chunks ? memory->chunks->size * 2 : CHUNK_SIZE_MIN;

        if (want > CHUNK_SIZE_MAX)
                want = CHUNK_SIZE_MAX;
        if (want < size)
                want = size;

        TomlChunk *chunk = calloc(1, sizeof(TomlChunk) + want);
        if (chunk)
                chunk->size = want;
        return chunk;
}

void *toml_memory_alloc(TomlMemory *memory, size_t size)
{
        if (size > SIZE_MAX / 2)
                return NULL;
        size = (size + alignof(max_align_t) - 1) / alignof(max_align_t) * alignof(max_align_t);

        TomlChunk *chunk = memory->chunks;
        if (!chunk || chunk->size - chunk->used < size) {
                chunk = chunk_new(memory, size);
                if (!chunk)
                        return NULL;
                chunk->next = memory->chunks;
                memory->chunks = chunk;
        }

        void *p = chunk->data + chunk->used;
        chunk->used += size;
        return p;
}

void toml_memory_done(TomlMemory *memory)
{
        while (memory->chunks) {
                TomlChunk *chunk = memory->chunks;

                memory->chunks = chunk->next;
                explicit_bzero(chunk->data, chunk->used);
                free(chunk);
        }
}
