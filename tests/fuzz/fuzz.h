#pragma once

/* What the fuzzers share. Each is one parser that a stranger's bytes reach, and what must hold whatever they are: one
 * file, fuzz-NAME.c, whose inputs lie in corpus/NAME. Built with `fuzzers` it is searched by libFuzzer, else main.c
 * hands it the corpus. */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/secret.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* assert() that builds without assertions keep. */
#define HOLDS(condition)                                                                                             \
        do {                                                                                                         \
                if (!(condition)) {                                                                                  \
                        (void)fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);         \
                        abort();                                                                                     \
                }                                                                                                    \
        } while (0)

/* A copy that ends with a NUL, in memory of just that size, so that reading beyond it is seen. */
static inline char *fuzz_text(const uint8_t *data, size_t size)
{
        char *text = malloc(size + 1);

        HOLDS(text);
        if (size > 0)
                memcpy(text, data, size);
        text[size] = 0;
        return text;
}

static inline Secret *fuzz_secret(const void *data, size_t size)
{
        Secret *secret = NULL;

        HOLDS(secret_new(data, size, &secret) == 0);
        return secret;
}

/* The byte at the front, which chooses among ways to call; 0 where there is none. */
static inline uint8_t fuzz_take(const uint8_t **data, size_t *size)
{
        if (*size == 0)
                return 0;
        (*size)--;
        return *(*data)++;
}

/* Cuts the line at the front off. NULL, as if it were not there, where it is empty. */
static inline char *fuzz_take_line(const uint8_t **data, size_t *size)
{
        const uint8_t *end = *size > 0 ? memchr(*data, '\n', *size) : NULL;
        size_t n = end ? (size_t)(end - *data) : *size;
        char *line = n > 0 ? fuzz_text(*data, n) : NULL;

        *data += end ? n + 1 : n;
        *size -= end ? n + 1 : n;
        return line;
}

static inline void fuzz_holds_no_control(const char *text)
{
        for (; text && *text; text++)
                HOLDS((unsigned char)*text >= 0x20 && *text != 0x7f);
}
