#pragma once

/* Memory that ends on command. The linker puts these in the place of the C library's, for everything that is linked
 * statically (`failing_memory` in meson.build); jansson gets them by hand. */

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "agent/base/secret.h"
#include "agent/core/toml-memory.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_reallocarray(void *p, size_t n, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t size);
int __real_vasprintf(char **ret, const char *format, va_list arguments);
FILE *__real_open_memstream(char **ret, size_t *ret_size);
int __real_fclose(FILE *f);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t size);
int __wrap_vasprintf(char **ret, const char *format, va_list arguments);
int __wrap_asprintf(char **ret, const char *format, ...) __attribute__((format(printf, 2, 3)));
FILE *__wrap_open_memstream(char **ret, size_t *ret_size);
int __wrap_fclose(FILE *f);

/* What allocates now and then only, as it allocates ahead: each call counts. */
int __real_secret_append(Secret *secret, const void *data, size_t size);
int __real_secret_append_string(Secret *secret, const char *text);
void *__real_toml_memory_alloc(TomlMemory *memory, size_t size);
int __wrap_secret_append(Secret *secret, const void *data, size_t size);
int __wrap_secret_append_string(Secret *secret, const char *text);
void *__wrap_toml_memory_alloc(TomlMemory *memory, size_t size);

/* libcrypto allocates below each of these, and nobody can say where. */
int __real_EVP_Digest(
        const void *data, size_t size, unsigned char *ret, unsigned *ret_size, const EVP_MD *type, ENGINE *e);
EVP_MD_CTX *__real_EVP_MD_CTX_new(void);
int __real_EVP_DigestInit_ex(EVP_MD_CTX *context, const EVP_MD *type, ENGINE *e);
int __real_EVP_DigestUpdate(EVP_MD_CTX *context, const void *data, size_t size);
int __real_EVP_DigestFinal_ex(EVP_MD_CTX *context, unsigned char *ret, unsigned *ret_size);
unsigned char *__real_HMAC(const EVP_MD *type, const void *key, int key_size, const unsigned char *data, size_t size,
        unsigned char *ret, unsigned *ret_size);
int __wrap_EVP_Digest(
        const void *data, size_t size, unsigned char *ret, unsigned *ret_size, const EVP_MD *type, ENGINE *e);
EVP_MD_CTX *__wrap_EVP_MD_CTX_new(void);
int __wrap_EVP_DigestInit_ex(EVP_MD_CTX *context, const EVP_MD *type, ENGINE *e);
int __wrap_EVP_DigestUpdate(EVP_MD_CTX *context, const void *data, size_t size);
int __wrap_EVP_DigestFinal_ex(EVP_MD_CTX *context, unsigned char *ret, unsigned *ret_size);
unsigned char *__wrap_HMAC(const EVP_MD *type, const void *key, int key_size, const unsigned char *data, size_t size,
        unsigned char *ret, unsigned *ret_size);

static unsigned memory_left;   /* allocations until the one that fails; 0: none does */
static bool memory_stays_away; /* all after it fail as well */
static unsigned long memory_failures;

static inline bool memory_fails(void)
{
        if (memory_left == 0 || --memory_left > 0)
                return false;
        memory_failures++;
        if (memory_stays_away)
                memory_left = 1;
        errno = ENOMEM;
        return true;
}

void *__wrap_malloc(size_t size)
{
        return memory_fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
        return memory_fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
        return memory_fails() ? NULL : __real_realloc(p, size);
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
        return memory_fails() ? NULL : __real_reallocarray(p, n, size);
}

char *__wrap_strdup(const char *text)
{
        return memory_fails() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t size)
{
        return memory_fails() ? NULL : __real_strndup(text, size);
}

int __wrap_vasprintf(char **ret, const char *format, va_list arguments)
{
        return memory_fails() ? -1 : __real_vasprintf(ret, format, arguments);
}

int __wrap_asprintf(char **ret, const char *format, ...)
{
        va_list arguments;

        if (memory_fails())
                return -1;
        va_start(arguments, format);
        int n = __real_vasprintf(ret, format, arguments);
        va_end(arguments);
        return n;
}

FILE *__wrap_open_memstream(char **ret, size_t *ret_size)
{
        return memory_fails() ? NULL : __real_open_memstream(ret, ret_size);
}

/* A stream in memory takes its last piece when it is closed. */
int __wrap_fclose(FILE *f)
{
        bool fails = memory_fails();
        int r = __real_fclose(f);

        return fails ? EOF : r;
}

int __wrap_secret_append(Secret *secret, const void *data, size_t size)
{
        return memory_fails() ? -ENOMEM : __real_secret_append(secret, data, size);
}

int __wrap_secret_append_string(Secret *secret, const char *text)
{
        return memory_fails() ? -ENOMEM : __real_secret_append_string(secret, text);
}

void *__wrap_toml_memory_alloc(TomlMemory *memory, size_t size)
{
        return memory_fails() ? NULL : __real_toml_memory_alloc(memory, size);
}

int __wrap_EVP_Digest(
        const void *data, size_t size, unsigned char *ret, unsigned *ret_size, const EVP_MD *type, ENGINE *e)
{
        return memory_fails() ? 0 : __real_EVP_Digest(data, size, ret, ret_size, type, e);
}

EVP_MD_CTX *__wrap_EVP_MD_CTX_new(void)
{
        return memory_fails() ? NULL : __real_EVP_MD_CTX_new();
}

int __wrap_EVP_DigestInit_ex(EVP_MD_CTX *context, const EVP_MD *type, ENGINE *e)
{
        return memory_fails() ? 0 : __real_EVP_DigestInit_ex(context, type, e);
}

int __wrap_EVP_DigestUpdate(EVP_MD_CTX *context, const void *data, size_t size)
{
        return memory_fails() ? 0 : __real_EVP_DigestUpdate(context, data, size);
}

int __wrap_EVP_DigestFinal_ex(EVP_MD_CTX *context, unsigned char *ret, unsigned *ret_size)
{
        return memory_fails() ? 0 : __real_EVP_DigestFinal_ex(context, ret, ret_size);
}

unsigned char *__wrap_HMAC(const EVP_MD *type, const void *key, int key_size, const unsigned char *data, size_t size,
        unsigned char *ret, unsigned *ret_size)
{
        return memory_fails() ? NULL : __real_HMAC(type, key, key_size, data, size, ret, ret_size);
}

typedef struct MemoryCase {
        const char *name;
        int (*run)(const void *input); /* with memory: 0. Leaves nothing behind, whatever happens. */
        const void *input;
        bool survives; /* some of its allocations can be done without */
} MemoryCase;

/* Runs each with its first allocation failing, then its second, until none fails: that is reported as such, and what
 * it leaks the sanitizers and valgrind see. */
static inline void memory_sweep(const MemoryCase *cases, size_t n_cases)
{
        json_set_alloc_funcs(__wrap_malloc, free);
        for (size_t i = 0; i < n_cases; i++) {
                /* What libraries allocate once for ever is not to be missed later. */
                int r = cases[i].run(cases[i].input);

                if (r != 0)
                        fail_msg("%s: %d", cases[i].name, r);
                for (unsigned n = 1;; n++) {
                        memory_failures = 0;
                        memory_left = n;
                        r = cases[i].run(cases[i].input);
                        memory_left = 0;
                        if (memory_failures == 0) {
                                assert_int_equal(r, 0);
                                if (n == 1)
                                        fail_msg("%s: allocates nothing", cases[i].name);
                                break;
                        }
                        if (r != -ENOMEM && !(r == 0 && cases[i].survives))
                                fail_msg("%s: allocation %u fails: %d", cases[i].name, n, r);
                }
        }
        json_set_alloc_funcs(malloc, free);
}
