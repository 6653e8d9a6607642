#include "agent/base/walk.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/base/file-failure.h"

#define LINKS_MAX 40 /* as many as the kernel follows */

/* A path on its way: what lies behind as a descriptor, what lies ahead as text. Links are put in front of the text by
 * hand, as the kernel would follow them before their owner could be looked at. */
typedef struct Walk {
        const char *asked;
        FolderFlags flags;
        bool for_file; /* the last part is a file's, and the walk ends before it */
        int fd;
        char path[PATH_MAX];     /* behind, without links */
        char rest[PATH_MAX];     /* ahead */
        char name[NAME_MAX + 1]; /* the part at hand */
        size_t tail;             /* with that much ahead, or more, the part at hand comes out of a link */
        unsigned links;
} Walk;

int folder_fd_sync(int fd)
{
        _cleanup_close_ int readable = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (readable < 0)
                return -errno;
        while (fsync(readable) < 0) {
                /* Some network and FUSE file systems have no such thing for folders: nothing more can be done. */
                if (errno == EINVAL || errno == EOPNOTSUPP || errno == ENOSYS)
                        return 0;
                if (errno != EINTR)
                        return -errno;
        }
        return 0;
}

static int walk_failure(const Walk *walk, int error, const char *verb, char **reterr)
{
        return file_failure(reterr, error, verb, walk->path, walk->name);
}

/* Refuses what FOLDER_TRUSTED refuses of PATH, a folder or a link. */
static int walk_check_trust(const Walk *walk, const struct stat *st, const char *path, char **reterr)
{
        bool is_link = S_ISLNK(st->st_mode), group_writes = (st->st_mode & S_IWGRP) && st->st_gid != 0;
        int r;

        if (!(walk->flags & FOLDER_TRUSTED) || geteuid() != 0)
                return 0;

        if (st->st_uid != 0)
                r = asprintf(reterr,
                        "The %s '%s' belongs to user %u and not to root, so that user could turn '%s' elsewhere (CI "
                        "jobs "
                        "may run as them); give it to root (chown -h root '%s'), or run runner-registrar as that "
                        "user",
                        is_link ? "link" : "folder", path, (unsigned)st->st_uid, walk->asked, path);
        else if (!is_link && ((st->st_mode & S_IWOTH) || group_writes)) /* links have no mode, group root is root */
                r = asprintf(reterr,
                        "The folder '%s' can be written by others than root (mode %04o, group %u), who could turn "
                        "'%s' "
                        "elsewhere (CI jobs may be among them); take that away (chmod go-w '%s')",
                        path, (unsigned)st->st_mode & 07777, (unsigned)st->st_gid, walk->asked, path);
        else
                return 0;
        if (r < 0)
                *reterr = NULL;
        return -EPERM;
}

static int walk_start(Walk *walk, char **reterr)
{
        char cwd[PATH_MAX] = "";
        struct stat st;

        walk->tail = SIZE_MAX;
        strcpy(walk->path, "/");
        if (walk->asked[0] == '\0')
                return file_failure(reterr, -ENOENT, "open", "", NULL);
        /* A working folder outside of our root has no path. */
        if (walk->asked[0] != '/' && (!getcwd(cwd, sizeof(cwd)) || cwd[0] != '/'))
                return file_failure(reterr, -ENOENT, "find the working folder for", walk->asked, NULL);
        if ((size_t)snprintf(walk->rest, sizeof(walk->rest), "%s/%s", cwd, walk->asked) >= sizeof(walk->rest))
                return file_failure(reterr, -ENAMETOOLONG, "open", walk->asked, NULL);

        walk->fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (walk->fd < 0 || fstat(walk->fd, &st) < 0)
                return file_failure(reterr, -errno, "open", "/", NULL);
        return walk_check_trust(walk, &st, "/", reterr);
}

/* Takes the next part of the path off walk->rest: 1, or 0 at the end. */
static int walk_take_name(Walk *walk, char **reterr)
{
        char *start = walk->rest + strspn(walk->rest, "/");
        size_t size = strcspn(start, "/");

        if (size > NAME_MAX)
                return file_failure(reterr, -ENAMETOOLONG, "open", walk->asked, NULL);
        if (size == 0)
                return 0;
        memcpy(walk->name, start, size);
        walk->name[size] = '\0';
        memmove(walk->rest, start + size, strlen(start + size) + 1);
        return 1;
}

static void walk_take_fd(Walk *walk, int fd)
{
        (void)safe_close(walk->fd);
        walk->fd = fd;
}

/* Goes to the folder above: 1. */
static int walk_up(Walk *walk, char **reterr)
{
        char *slash = strrchr(walk->path, '/');
        int fd = openat(walk->fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
                return walk_failure(walk, -errno, "open", reterr);
        walk_take_fd(walk, fd);
        slash[slash == walk->path ? 1 : 0] = '\0';
        return 1;
}

/* Puts the target of the link FD in front of what lies ahead. */
static int walk_follow(Walk *walk, int fd, char **reterr)
{
        size_t ahead = strlen(walk->rest);
        char target[PATH_MAX];
        ssize_t size;

        if (++walk->links > LINKS_MAX)
                return walk_failure(walk, -ELOOP, "follow the link", reterr);
        size = readlinkat(fd, "", target, sizeof(target));
        if (size < 0)
                return walk_failure(walk, -errno, "read the link", reterr);
        if ((size_t)size + ahead >= sizeof(walk->rest))
                return walk_failure(walk, -ENAMETOOLONG, "follow the link", reterr);
        memmove(walk->rest + size, walk->rest, ahead + 1);
        memcpy(walk->rest, target, (size_t)size);
        if (ahead < walk->tail)
                walk->tail = ahead;

        if (target[0] == '/') {
                int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

                if (root < 0)
                        return file_failure(reterr, -errno, "open", "/", NULL);
                walk_take_fd(walk, root);
                strcpy(walk->path, "/");
        }
        return 0;
}

/* Says that the part at hand is missing. */
static int walk_missing(const Walk *walk, char **reterr)
{
        if (walk->tail > 0)
                return walk_failure(walk, -ENOENT, "open", reterr);
        if (asprintf(reterr, "The link '%s' leads to '%s%s%s', which does not exist; make that, or remove the link",
                    walk->asked, walk->path, walk->path[1] ? "/" : "", walk->name) < 0)
                *reterr = NULL;
        return -ENOLINK;
}

static int walk_make(Walk *walk, int *ret_fd, char **reterr)
{
        int r;

        if (mkdirat(walk->fd, walk->name, 0700) < 0 && errno != EEXIST)
                return walk_failure(walk, -errno, "make the folder", reterr);
        r = folder_fd_sync(walk->fd);
        /* A folder that may be written, but not listed, can't be synced. */
        if (r < 0 && r != -EACCES)
                return walk_failure(walk, r, "keep the new folder", reterr);
        *ret_fd = openat(walk->fd, walk->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        return *ret_fd < 0 ? walk_failure(walk, -errno, "open", reterr) : 0;
}

/* Opens the part at hand. *RET_FD is -1 for a file that is missing, and may be. */
static int walk_open(Walk *walk, bool is_file, int *ret_fd, char **reterr)
{
        *ret_fd = openat(walk->fd, walk->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (*ret_fd >= 0)
                return 0;
        if (errno != ENOENT)
                return walk_failure(walk, -errno, "open", reterr);
        if (is_file)
                return walk->tail > 0 ? 0 : walk_missing(walk, reterr);
        /* What a link's own path lacks is never made: the link may be a mistake. */
        if (!(walk->flags & FOLDER_MAKE) || strlen(walk->rest) >= walk->tail)
                return walk_missing(walk, reterr);
        return walk_make(walk, ret_fd, reterr);
}

/* Goes through the part at hand: 1, or 0 where the walk ends before it. */
static int walk_down(Walk *walk, char **reterr)
{
        bool is_file = walk->for_file && walk->rest[0] == '\0';
        _cleanup_close_ int fd = -1;
        char path[PATH_MAX];
        struct stat st;
        int r;

        if ((size_t)snprintf(path, sizeof(path), "%s%s%s", walk->path, walk->path[1] ? "/" : "", walk->name) >=
                sizeof(path))
                return file_failure(reterr, -ENAMETOOLONG, "open", walk->asked, NULL);
        r = walk_open(walk, is_file, &fd, reterr);
        if (r < 0 || fd < 0)
                return r;
        if (fstat(fd, &st) < 0)
                return walk_failure(walk, -errno, "look at", reterr);

        if (S_ISLNK(st.st_mode)) {
                r = walk_check_trust(walk, &st, path, reterr);
                if (r >= 0)
                        r = walk_follow(walk, fd, reterr);
                return r < 0 ? r : 1;
        }
        if (is_file)
                return 0;
        if (!S_ISDIR(st.st_mode))
                return walk_failure(walk, -ENOTDIR, "open", reterr);
        r = walk_check_trust(walk, &st, path, reterr);
        if (r < 0)
                return r;
        strcpy(walk->path, path);
        walk_take_fd(walk, take_fd(&fd));
        return 1;
}

static int walk_run(Walk *walk, char **reterr)
{
        int r;

        r = walk_start(walk, reterr);
        if (r < 0)
                return r;
        do {
                r = walk_take_name(walk, reterr);
                if (r == 0)
                        return walk->for_file ? file_failure(reterr, -EISDIR, "open", walk->asked, NULL) : 0;
                if (r < 0)
                        return r;
                if (strcmp(walk->name, "..") == 0)
                        r = walk_up(walk, reterr);
                else if (strcmp(walk->name, ".") != 0)
                        r = walk_down(walk, reterr);
        } while (r > 0);
        return r;
}

int path_walk(const char *path, FolderFlags flags, int *ret_fd, char **ret_path, char **ret_name, char **reterr)
{
        _cleanup_free_ char *where = NULL, *name = NULL, *error = NULL;
        Walk walk = {.asked = path, .flags = flags, .for_file = ret_name != NULL, .fd = -1};
        _cleanup_close_ int fd = -1;
        int r;

        r = walk_run(&walk, &error);
        fd = walk.fd;
        if (r < 0) {
                if (reterr)
                        *reterr = take_ptr(error);
                return r;
        }
        where = strdup(walk.path);
        name = strdup(walk.name);
        if (!where || !name)
                return -ENOMEM;
        if (ret_name)
                *ret_name = take_ptr(name);
        *ret_path = take_ptr(where);
        *ret_fd = take_fd(&fd);
        return 0;
}
