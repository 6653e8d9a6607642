#pragma once

/* A folder of a test's own, and short words for what tests do to files behind the agent's back. As root it lies in
 * /run: in /tmp everybody can write, so FOLDER_TRUSTED would refuse every path there. */

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "agent/base/cleanup.h"

typedef struct Scratch {
        char root[PATH_MAX / 2];
        char *path[8]; /* what scratch_path() gave last */
        unsigned n_paths;
} Scratch;

static inline int scratch_setup(void **state)
{
        const char *tmp = getenv("TMPDIR");
        Scratch *scratch = calloc(1, sizeof(*scratch));

        assert_non_null(scratch);
        (void)umask(022);
        (void)snprintf(scratch->root, sizeof(scratch->root), "%s/runner-registrar-test-XXXXXX",
                geteuid() == 0 ? "/run"
                : tmp && *tmp  ? tmp
                               : "/tmp");
        assert_non_null(mkdtemp(scratch->root));
        *state = scratch;
        return 0;
}

static inline int scratch_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
        (void)st;
        (void)ftw;
        (void)(type == FTW_DP ? rmdir(path) : unlink(path));
        return 0;
}

static inline int scratch_teardown(void **state)
{
        Scratch *scratch = *state;

        (void)nftw(scratch->root, scratch_remove, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
        for (size_t i = 0; i < ELEMENTS(scratch->path); i++)
                free(scratch->path[i]);
        free(scratch);
        return 0;
}

/* `ROOT/NAME`; valid for the next seven calls. */
static inline const char *scratch_path(Scratch *scratch, const char *name)
{
        char **path = &scratch->path[scratch->n_paths++ % ELEMENTS(scratch->path)];

        free(*path);
        assert_true(asprintf(path, "%s/%s", scratch->root, name) >= 0);
        return *path;
}

static inline void scratch_mkdir(Scratch *scratch, const char *name)
{
        assert_int_equal(mkdir(scratch_path(scratch, name), 0755), 0);
}

static inline void scratch_link(Scratch *scratch, const char *target, const char *name)
{
        assert_int_equal(symlink(target, scratch_path(scratch, name)), 0);
}

static inline void scratch_write_bytes(Scratch *scratch, const char *name, const void *data, size_t size)
{
        int fd = open(scratch_path(scratch, name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, data, size), size);
        (void)close(fd);
}

static inline void scratch_write(Scratch *scratch, const char *name, const char *text)
{
        scratch_write_bytes(scratch, name, text, strlen(text));
}

/* The file's content, NUL-terminated; NULL: there is none. Caller frees. */
static inline char *scratch_read(Scratch *scratch, const char *name)
{
        int fd = open(scratch_path(scratch, name), O_RDONLY | O_CLOEXEC);
        char *content;
        struct stat st;

        if (fd < 0)
                return NULL;
        assert_int_equal(fstat(fd, &st), 0);
        content = calloc(1, (size_t)st.st_size + 1);
        assert_non_null(content);
        assert_int_equal(read(fd, content, (size_t)st.st_size), st.st_size);
        (void)close(fd);
        return content;
}

static inline void scratch_assert_content(Scratch *scratch, const char *name, const char *expected)
{
        _cleanup_free_ char *content = scratch_read(scratch, name);

        assert_non_null(content);
        assert_string_equal(content, expected);
}

static inline struct stat scratch_stat(Scratch *scratch, const char *name)
{
        struct stat st;

        assert_int_equal(lstat(scratch_path(scratch, name), &st), 0);
        return st;
}

static inline bool scratch_exists(Scratch *scratch, const char *name)
{
        struct stat st;

        return lstat(scratch_path(scratch, name), &st) == 0;
}

/* Every one of the NULL-terminated PARTS is in TEXT. */
static inline void assert_mentions(const char *text, const char *const *parts)
{
        assert_non_null(text);
        for (; *parts; parts++)
                if (!strstr(text, *parts))
                        fail_msg("'%s' does not mention '%s'", text, *parts);
}

#define MENTIONS(text, ...) assert_mentions((text), (const char *const[]){__VA_ARGS__, NULL})
