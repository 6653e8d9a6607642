/* libcurl and OpenSSL for the whole process. Their allocators wipe what they give back: request headers with tokens,
 * receive buffers with answers, decrypted records and the like are freed in places that we never see. */

#include <malloc.h>
#include <string.h>

#include <curl/curl.h>
#include <openssl/crypto.h>

#include "agent/http.h"

static void wipe_and_free(void *p)
{
        if (!p)
                return;
        explicit_bzero(p, malloc_usable_size(p));
        free(p);
}

static void *wiping_realloc(void *old, size_t size)
{
        if (!old)
                return malloc(size);
        if (size == 0) {
                wipe_and_free(old);
                return NULL;
        }
        /* Not realloc(): it may move the bytes and leave the old ones behind. */
        void *new = malloc(size);
        if (!new)
                return NULL;
        size_t old_size = malloc_usable_size(old);
        memcpy(new, old, old_size < size ? old_size : size);
        wipe_and_free(old);
        return new;
}

static void *crypto_malloc(size_t size, const char *file, int line)
{
        return malloc(size);
}

static void *crypto_realloc(void *old, size_t size, const char *file, int line)
{
        return wiping_realloc(old, size);
}

static void crypto_free(void *p, const char *file, int line)
{
        wipe_and_free(p);
}

int http_library_init(void)
{
        /* Refused once OpenSSL has allocated something: in a test perhaps, never in main(). */
        (void)CRYPTO_set_mem_functions(crypto_malloc, crypto_realloc, crypto_free);
        CURLcode code =
                curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, wipe_and_free, wiping_realloc, strdup, calloc);

        return code == CURLE_OK ? 0 : -ENOMEM;
}
