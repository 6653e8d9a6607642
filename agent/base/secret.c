#include "agent/base/secret.h"

#include <assert.h>
#include <ctype.h>
#include <stdint.h>
#include <string.h>

struct Secret {
        char *data; /* NUL-terminated; NULL only while empty and never reserved */
        size_t size;
        size_t allocated; /* bytes behind data, terminator included */
};

int secret_reserve(Secret *secret, size_t size)
{
        if (size >= SIZE_MAX / 2)
                return -ENOMEM;
        if (secret->allocated > size)
                return 0;

        size_t want = secret->allocated < 64 ? 64 : secret->allocated * 2;
        if (want <= size)
                want = size + 1;

        /* Not realloc(): it may move the bytes and give the old ones back unwiped. */
        char *data = malloc(want);
        if (!data)
                return -ENOMEM;
        if (secret->data) {
                memcpy(data, secret->data, secret->size + 1);
                explicit_bzero(secret->data, secret->allocated);
                free(secret->data);
        } else
                data[0] = 0;

        secret->data = data;
        secret->allocated = want;
        return 0;
}

int secret_new(const void *data, size_t size, Secret **ret)
{
        _cleanup_secret_ Secret *secret = calloc(1, sizeof(*secret));

        if (!secret)
                return -ENOMEM;
        int r = secret_append(secret, data, size);
        if (r < 0)
                return r;
        *ret = take_ptr(secret);
        return 0;
}

int secret_copy(const Secret *source, Secret **ret)
{
        return secret_new(source->data, source->size, ret);
}

int secret_append(Secret *secret, const void *data, size_t size)
{
        if (size == 0)
                return 0;
        if (size >= SIZE_MAX / 2 - secret->size)
                return -ENOMEM;
        int r = secret_reserve(secret, secret->size + size);
        if (r < 0)
                return r;
        memcpy(secret->data + secret->size, data, size);
        secret->size += size;
        secret->data[secret->size] = 0;
        return 0;
}

int secret_append_string(Secret *secret, const char *string)
{
        return secret_append(secret, string, strlen(string));
}

void secret_truncate(Secret *secret, size_t size)
{
        if (size >= secret->size)
                return;
        explicit_bzero(secret->data + size, secret->size - size);
        secret->size = size;
}

const char *secret_data(const Secret *secret)
{
        return secret && secret->data ? secret->data : "";
}

char *secret_buffer(Secret *secret)
{
        return secret->data;
}

size_t secret_size(const Secret *secret)
{
        return secret ? secret->size : 0;
}

bool secret_equal(const Secret *a, const Secret *b)
{
        if (!a || !b)
                return a == b;
        if (a->size != b->size)
                return false;

        unsigned char difference = 0;
        for (size_t i = 0; i < a->size; i++)
                difference |= (unsigned char)(a->data[i] ^ b->data[i]);
        return difference == 0;
}

void secret_trim(Secret *secret)
{
        size_t end = secret->size, start = 0;

        while (end > 0 && isspace((unsigned char)secret->data[end - 1]))
                end--;
        secret_truncate(secret, end);
        while (start < end && isspace((unsigned char)secret->data[start]))
                start++;
        if (start == 0)
                return;
        memmove(secret->data, secret->data + start, end - start);
        secret_truncate(secret, end - start);
}

Secret *secret_free(Secret *secret)
{
        if (!secret)
                return NULL;
        if (secret->data) {
                explicit_bzero(secret->data, secret->allocated);
                free(secret->data);
        }
        free(secret);
        return NULL;
}

char *string_wipe_free(char *string)
{
        if (string) {
                explicit_bzero(string, strlen(string));
                free(string);
        }
        return NULL;
}
