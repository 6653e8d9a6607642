/* free() and realloc() of the whole program, in front of the C library's: what is given back is wiped first.
 *
 * Tokens pass through every library: libcurl, OpenSSL and nghttp2 keep request headers, frames and decrypted records,
 * jansson values, libyaml and inih lines of the configuration, stdio what was read and written. Some take an
 * allocator, some do not; this one place serves them all. glibc's manual allows to replace these functions; whoever
 * allocates, the C library still does it.
 *
 * Not where a sanitizer has put its own there. */

#include "agent/base/cleanup.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || __has_feature(thread_sanitizer)
#define HAVE_SANITIZER 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAVE_SANITIZER 1
#endif

#if defined(__GLIBC__) && !defined(HAVE_SANITIZER)

#include <dlfcn.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* The next one in line rather than glibc's own name for it: valgrind or a preloaded library may be there. */
static void free_next(void *p)
{
        static _Atomic(void *) next;
        void (*function)(void *);
        void *symbol = atomic_load_explicit(&next, memory_order_relaxed);

        if (!symbol) {
                symbol = dlsym(RTLD_NEXT, "free");
                atomic_store_explicit(&next, symbol, memory_order_relaxed);
        }
        /* ISO C has no cast from an object's to a function's address. */
        memcpy(&function, &symbol, sizeof(function));
        function(p);
}

__attribute__((visibility("default"))) void free(void *p)
{
        int saved = errno;

        if (!p)
                return;
        explicit_bzero(p, malloc_usable_size(p));
        free_next(p);
        errno = saved;
}

__attribute__((visibility("default"))) void *realloc(void *old, size_t size)
{
        if (!old)
                return malloc(size);
        if (size == 0) {
                free(old);
                return NULL;
        }
        size_t old_size = malloc_usable_size(old);
        /* Not the next realloc(): it may move the bytes and leave the old ones behind. */
        if (size <= old_size && size >= old_size / 2)
                return old;
        void *new = malloc(size);
        if (!new)
                return NULL;
        memcpy(new, old, old_size < size ? old_size : size);
        free(old);
        return new;
}

#else

typedef int free_is_not_replaced;

#endif
