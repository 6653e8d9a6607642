#include "config/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "agent/base/cleanup.h"
#include "config/value.h"

/* As many links as the kernel follows. */
#define LINKS_MAX 40

/* What is still to be walked, and where we are: `here` holds no link. */
typedef struct Walk {
        const char *path; /* as named, for messages */
        char here[PATH_MAX];
        char rest[2 * PATH_MAX];
        unsigned links;
} Walk;

static int fail_errno(const Walk *walk, int error, char **reterr)
{
        char quoted[VALUE_QUOTE_MAX];

        if (error == -ENOENT)
                return value_fail(
                        reterr, error, "%s does not exist, expected a file", value_quote(walk->path, quoted));
        return value_fail(reterr, error, "%s can't be used: %s, expected a file", value_quote(walk->path, quoted),
                strerror(-error));
}

/* The permission bits of all but the owner; the group root is root. */
static mode_t strangers(const struct stat *st)
{
        return st->st_gid == 0 ? 007 : 077;
}

bool trust_others_can_read(const struct stat *st)
{
        return (st->st_mode & strangers(st) & 044) != 0;
}

/* WHAT it is, for the message. */
static int check_writers(const Walk *walk, const struct stat *st, const char *what, char **reterr)
{
        char path[VALUE_QUOTE_MAX], here[VALUE_QUOTE_MAX];

        if (st->st_uid != 0 && st->st_uid != geteuid())
                return value_fail(reterr, -EPERM, "%s: the %s %s belongs to uid %u, expected root or us",
                        value_quote(walk->path, path), what, value_quote(walk->here, here), (unsigned)st->st_uid);
        /* A link's mode means nothing. */
        if (S_ISLNK(st->st_mode) || (st->st_mode & strangers(st) & 022) == 0)
                return 0;
        if (S_ISDIR(st->st_mode) && (st->st_mode & S_ISVTX))
                return 0;
        return value_fail(reterr, -EPERM, "%s: others can write the %s %s (mode %04o), expected root and us alone",
                value_quote(walk->path, path), what, value_quote(walk->here, here), (unsigned)st->st_mode & 07777);
}

static int walk_start(Walk *walk, const char *path)
{
        size_t used = 0;

        walk->path = path;
        walk->here[0] = 0;
        walk->links = 0;
        if (path[0] != '/') {
                if (!getcwd(walk->rest, PATH_MAX - 1))
                        return -errno;
                used = strlen(walk->rest);
                walk->rest[used++] = '/';
        }
        size_t size = strlen(path);
        if (size == 0)
                return -ENOENT;
        if (size >= PATH_MAX)
                return -ENAMETOOLONG;
        memcpy(walk->rest + used, path, size + 1);
        return 0;
}

/* Puts the link's target before what is left. */
static int walk_link(Walk *walk)
{
        char target[PATH_MAX], joined[2 * PATH_MAX];

        if (++walk->links > LINKS_MAX)
                return -ELOOP;
        ssize_t n = readlink(walk->here, target, sizeof(target) - 1);
        if (n < 0)
                return -errno;
        target[n] = 0;
        size_t left = strlen(walk->rest);
        if ((size_t)n + 1 + left >= sizeof(joined))
                return -ENAMETOOLONG;
        memcpy(joined, target, (size_t)n);
        joined[n] = '/';
        memcpy(joined + n + 1, walk->rest, left + 1);
        (void)strcpy(walk->rest, joined);
        if (target[0] == '/')
                walk->here[0] = 0;
        else
                *strrchr(walk->here, '/') = 0;
        return 0;
}

/* Takes the next name off the rest. 1: there was one; 0: the end. `..` needs no look back: here holds no link. */
static int walk_next(Walk *walk)
{
        const char *name = walk->rest + strspn(walk->rest, "/");
        size_t n = strcspn(name, "/"), used = strlen(walk->here);

        if (n == 0)
                return 0;
        if (n == 2 && memcmp(name, "..", 2) == 0) {
                char *slash = strrchr(walk->here, '/');
                if (slash)
                        *slash = 0;
        } else if (n != 1 || name[0] != '.') {
                if (used + 1 + n >= sizeof(walk->here))
                        return -ENAMETOOLONG;
                walk->here[used] = '/';
                memcpy(walk->here + used + 1, name, n);
                walk->here[used + 1 + n] = 0;
        }
        memmove(walk->rest, name + n, strlen(name + n) + 1);
        return 1;
}

/* Walks to the end and checks every step; *RET is of the last one. */
static int walk_path(Walk *walk, struct stat *ret, char **reterr)
{
        for (;;) {
                const char *here = walk->here[0] ? walk->here : "/";

                if (lstat(here, ret) < 0)
                        return fail_errno(walk, -errno, reterr);
                bool last = !walk->rest[strspn(walk->rest, "/")];
                int r = check_writers(walk, ret,
                        S_ISLNK(ret->st_mode)   ? "link"
                        : S_ISDIR(ret->st_mode) ? "folder"
                                                : "file",
                        reterr);
                if (r < 0)
                        return r;
                if (S_ISLNK(ret->st_mode))
                        r = walk_link(walk);
                else if (last)
                        return 0;
                else if (!S_ISDIR(ret->st_mode))
                        r = -ENOTDIR;
                if (r >= 0)
                        r = walk_next(walk);
                if (r < 0)
                        return fail_errno(walk, r, reterr);
        }
}

static int check_file(const char *path, const struct stat *st, TrustFlags flags, char **reterr)
{
        char quoted[VALUE_QUOTE_MAX];

        if (S_ISDIR(st->st_mode))
                return value_fail(reterr, -EISDIR, "%s is a folder, expected a file", value_quote(path, quoted));
        if (!S_ISREG(st->st_mode))
                return value_fail(reterr, -EINVAL, "%s is no regular file, expected one", value_quote(path, quoted));

        mode_t readers = flags & TRUST_PRIVATE ? 044 : flags & TRUST_PRIVATE_KEY ? 004 : 0;
        if (st->st_mode & readers & strangers(st))
                return value_fail(reterr, -EPERM, "others can read %s (mode %04o), expected mode 0600",
                        value_quote(path, quoted), (unsigned)st->st_mode & 07777);
        if ((flags & TRUST_PROGRAM) && !(st->st_mode & 0111))
                return value_fail(
                        reterr, -ENOEXEC, "%s is not executable, expected a program", value_quote(path, quoted));
        return 0;
}

int trust_check_file(const char *path, TrustFlags flags, struct stat *ret, char **reterr)
{
        /* Too large for a stack that may be a small one. */
        _cleanup_free_ Walk *walk = malloc(sizeof(*walk));
        struct stat st;

        if (!walk)
                return -ENOMEM;
        int r = walk_start(walk, path);
        if (r < 0)
                return fail_errno(walk, r, reterr);
        r = walk_path(walk, &st, reterr);
        if (r < 0)
                return r;
        r = check_file(path, &st, flags, reterr);
        if (r < 0)
                return r;
        if (ret)
                *ret = st;
        return 0;
}

int trust_open_file(const char *path, TrustFlags flags, int *ret_fd, struct stat *ret, char **reterr)
{
        _cleanup_close_ int fd = -1;
        char quoted[VALUE_QUOTE_MAX];
        struct stat walked, st;

        int r = trust_check_file(path, flags, &walked, reterr);
        if (r < 0)
                return r;
        /* O_NONBLOCK: what was a file a moment ago must not become a pipe that nobody writes. */
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0 || fstat(fd, &st) < 0) {
                r = -errno;
                return value_fail(reterr, r, "%s can't be read: %s, expected a file that can",
                        value_quote(path, quoted), strerror(-r));
        }
        if (st.st_dev != walked.st_dev || st.st_ino != walked.st_ino) {
                /* Replaced between the two looks, by one who may: judge the new one. */
                if ((st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & strangers(&st) & 022))
                        return value_fail(reterr, -EPERM, "others can write %s, expected root and us alone",
                                value_quote(path, quoted));
                r = check_file(path, &st, flags, reterr);
                if (r < 0)
                        return r;
        }
        *ret_fd = take_fd(&fd);
        *ret = st;
        return 0;
}
