#pragma once

/* Ownership by cleanup attributes: a local that owns something wears one of these, starts as NULL or -1, and is
 * published with take_ptr() or take_fd() as the last step. */

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((__cleanup__(f)))

/* Defines `func##p(type **)` for _cleanup_(): frees what the variable points at, if anything. */
#define DEFINE_CLEANUP(type, func)                                                                                   \
        static inline void func##p(type **p)                                                                         \
        {                                                                                                            \
                if (*p)                                                                                              \
                        (void)func(*p);                                                                              \
        }

static inline void freep(void *p)
{
        free(*(void **)p);
}

/* Frees a NULL-terminated list and its strings; accepts NULL, returns NULL. */
static inline char **strings_free(char **strings)
{
        for (char **s = strings; s && *s; s++)
                free(*s);
        free(strings);
        return NULL;
}

DEFINE_CLEANUP(char *, strings_free)

/* Closes FD unless it is negative, keeping errno; always returns -1, so that `fd = safe_close(fd)` forgets it. */
static inline int safe_close(int fd)
{
        if (fd >= 0) {
                int saved = errno;

                (void)close(fd);
                errno = saved;
        }
        return -1;
}

static inline void closep(int *fd)
{
        (void)safe_close(*fd);
}

#define _cleanup_free_  _cleanup_(freep)
#define _cleanup_close_ _cleanup_(closep)

/* Hands the pointer over: evaluates to its value and leaves NULL behind. */
#define take_ptr(p)                                                                                                  \
        __extension__({                                                                                              \
                __typeof__(p) *_pp = &(p);                                                                           \
                __typeof__(p) _value = *_pp;                                                                         \
                *_pp = NULL;                                                                                         \
                _value;                                                                                              \
        })

static inline int take_fd(int *fd)
{
        int value = *fd;

        *fd = -1;
        return value;
}

#define ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

#define _printf_(format, first) __attribute__((__format__(__printf__, format, first)))
#define _unused_                __attribute__((__unused__))
