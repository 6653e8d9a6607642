#pragma once

/* The one type that holds tokens and whatever may contain one (request bodies, replies, file contents). Its memory
 * is wiped before it is given back, also when it grows. There is no formatter: nothing here helps to print one. */

#include <stdbool.h>
#include <stddef.h>

#include "agent/base/cleanup.h"

typedef struct Secret Secret;

/* Makes a secret from SIZE bytes at DATA (NULL with 0 makes an empty one). The caller still owns, and wipes, DATA.
 * Returns 0 or -ENOMEM. */
int secret_new(const void *data, size_t size, Secret **ret);

/* Makes a copy of SOURCE. Returns 0 or -ENOMEM. */
int secret_copy(const Secret *source, Secret **ret);

/* Appends SIZE bytes. On -ENOMEM the secret is unchanged. */
int secret_append(Secret *secret, const void *data, size_t size);

/* secret_append() of a NUL-terminated string. */
int secret_append_string(Secret *secret, const char *string);

/* Makes room for SIZE bytes in total without a further allocation. Returns 0 or -ENOMEM. */
int secret_reserve(Secret *secret, size_t size);

/* Forgets the content beyond SIZE bytes and wipes it; a SIZE beyond the end changes nothing. */
void secret_truncate(Secret *secret, size_t size);

/* The bytes, NUL-terminated for callees that want a C string; valid until the secret changes or goes. Never NULL. */
const char *secret_data(const Secret *secret);

/* The writable bytes, for readers that fill a secret in place. */
char *secret_buffer(Secret *secret);

/* Size in bytes, without the terminator. NULL counts as empty. */
size_t secret_size(const Secret *secret);

/* Whether both hold the same bytes; takes the same time wherever they differ. NULL equals only NULL. */
bool secret_equal(const Secret *a, const Secret *b);

/* Cuts white space off both ends in place, as found around tokens in files. */
void secret_trim(Secret *secret);

/* Wipes and frees; accepts NULL, returns NULL. */
Secret *secret_free(Secret *secret);

DEFINE_CLEANUP(Secret, secret_free)

/* Wipes a NUL-terminated heap string before it is freed; accepts NULL, returns NULL. For the few strings that a
 * library hands out and that may hold a token. */
char *string_wipe_free(char *string);

DEFINE_CLEANUP(char, string_wipe_free)

#define _cleanup_secret_ _cleanup_(secret_freep)
