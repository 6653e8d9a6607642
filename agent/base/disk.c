#include "agent/base/disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "agent/base/attributes.h"
#include "agent/base/file-failure.h"
#include "agent/base/walk.h"

#ifndef STATX_ATTR_MOUNT_ROOT
#define STATX_ATTR_MOUNT_ROOT 0x2000
#endif

typedef struct RealFolder {
        Folder folder;
        int fd; /* O_PATH: a folder may be walked through that can't be listed */
} RealFolder;

typedef struct RealFile {
        File file;
        int fd;
} RealFile;

static int real_folder_walk(
        Disk *disk, const char *path, FolderFlags flags, Folder **ret, char **ret_name, char **reterr)
{
        RealFolder *folder = calloc(1, sizeof(*folder));
        int r;

        if (!folder)
                return -ENOMEM;
        folder->folder.disk = disk;
        r = path_walk(path, flags, &folder->fd, &folder->folder.path, ret_name, reterr);
        if (r < 0) {
                free(folder);
                return r;
        }
        *ret = &folder->folder;
        return 0;
}

static int real_folder_open(Disk *disk, const char *path, FolderFlags flags, Folder **ret, char **reterr)
{
        return real_folder_walk(disk, path, flags, ret, NULL, reterr);
}

static int real_folder_open_for(
        Disk *disk, const char *path, FolderFlags flags, Folder **ret, char **ret_name, char **reterr)
{
        return real_folder_walk(disk, path, flags, ret, ret_name, reterr);
}

static Folder *real_folder_free(Folder *folder)
{
        RealFolder *real = (RealFolder *)folder;

        (void)safe_close(real->fd);
        free(folder->path);
        free(real);
        return NULL;
}

static int real_folder_sync(Folder *folder)
{
        return folder_fd_sync(((RealFolder *)folder)->fd);
}

static void closedirp(DIR **dir)
{
        if (*dir)
                (void)closedir(*dir);
}

static int real_folder_list(Folder *folder, char ***ret_names)
{
        _cleanup_close_ int fd =
                openat(((RealFolder *)folder)->fd, ".", O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC);
        _cleanup_(strings_freep) char **names = calloc(1, sizeof(*names));
        _cleanup_(closedirp) DIR *dir = NULL;
        size_t n_names = 0, n_allocated = 1;

        if (fd < 0)
                return -errno;
        if (!names)
                return -ENOMEM;
        dir = fdopendir(fd);
        if (!dir)
                return -errno;
        fd = -1;

        for (;;) {
                struct dirent *entry;

                errno = 0;
                entry = readdir(dir);
                if (!entry && errno != 0)
                        return -errno;
                if (!entry)
                        break;
                if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                        continue;
                if (n_names >= FOLDER_NAMES_MAX)
                        return -E2BIG;
                if (n_names + 1 >= n_allocated) {
                        char **larger = reallocarray(names, n_allocated * 2, sizeof(*names));

                        if (!larger)
                                return -ENOMEM;
                        names = larger;
                        n_allocated *= 2;
                }
                names[n_names] = strdup(entry->d_name);
                if (!names[n_names])
                        return -ENOMEM;
                names[++n_names] = NULL;
        }
        *ret_names = take_ptr(names);
        return 0;
}

static bool name_is_single(const char *name)
{
        return name[0] != '\0' && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !strchr(name, '/');
}

static int mode_check_regular(mode_t mode)
{
        if (S_ISLNK(mode))
                return -ELOOP;
        if (S_ISDIR(mode))
                return -EISDIR;
        return S_ISREG(mode) ? 0 : -EINVAL;
}

static int real_file_open(Folder *folder, const char *name, FileFlags flags, mode_t mode, File **ret)
{
        int folder_fd = ((RealFolder *)folder)->fd, r;
        int open_flags = O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
        _cleanup_close_ int fd = -1;
        RealFile *file;
        struct stat st;

        if (!name_is_single(name))
                return -EINVAL;
        open_flags |= flags & FILE_WRITE ? O_RDWR : O_RDONLY;
        if (flags & FILE_NEW) {
                open_flags |= O_CREAT | O_EXCL;
        } else {
                /* Opening a device can already do something, so look first; and again at what was opened, as it may
                 * be another by then. */
                if (fstatat(folder_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        return -errno;
                r = mode_check_regular(st.st_mode);
                if (r < 0)
                        return r;
        }
        do
                fd = openat(folder_fd, name, open_flags, mode);
        while (fd < 0 && errno == EINTR);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        r = mode_check_regular(st.st_mode);
        if (r < 0)
                return r;

        file = calloc(1, sizeof(*file));
        if (!file)
                return -ENOMEM;
        file->file.disk = folder->disk;
        file->fd = take_fd(&fd);
        *ret = &file->file;
        return 0;
}

static int real_file_info(File *file, FileInfo *ret)
{
        struct statx stx;

        if (statx(((RealFile *)file)->fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx) < 0)
                return -errno;
        *ret = (FileInfo){
                .device = (uint64_t)stx.stx_dev_major << 32 | stx.stx_dev_minor,
                .inode = stx.stx_ino,
                .size = stx.stx_size,
                .mtime_nsec = stx.stx_mtime.tv_sec < 0
                                      ? 0
                                      : (uint64_t)stx.stx_mtime.tv_sec * 1000000000U + stx.stx_mtime.tv_nsec,
                .mode = stx.stx_mode,
                .uid = stx.stx_uid,
                .gid = stx.stx_gid,
                .mounted = (stx.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0,
        };
        return 0;
}

static int real_file_read(File *file, size_t max, Secret **ret)
{
        int fd = ((RealFile *)file)->fd, r;
        _cleanup_secret_ Secret *content = NULL;
        char buffer[16 * 1024];
        off_t offset = 0;

        r = secret_new(NULL, 0, &content);
        while (r >= 0) {
                ssize_t n = pread(fd, buffer, sizeof(buffer), offset);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0) {
                        r = -errno;
                        break;
                }
                if (n == 0)
                        break;
                offset += n;
                r = (size_t)offset > max ? -EFBIG : secret_append(content, buffer, (size_t)n);
        }
        explicit_bzero(buffer, sizeof(buffer));
        if (r >= 0)
                *ret = take_ptr(content);
        return r;
}

static int real_file_write(File *file, uint64_t offset, const void *data, size_t size)
{
        const char *p = data;

        while (size > 0) {
                ssize_t n = pwrite(((RealFile *)file)->fd, p, size, (off_t)offset);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return -EIO;
                p += n;
                offset += (uint64_t)n;
                size -= (size_t)n;
        }
        return 0;
}

static int real_file_truncate(File *file, uint64_t size)
{
        while (ftruncate(((RealFile *)file)->fd, (off_t)size) < 0)
                if (errno != EINTR)
                        return -errno;
        return 0;
}

static int real_file_allocate(File *file, uint64_t size)
{
        while (size > 0 && fallocate(((RealFile *)file)->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size) < 0) {
                if (errno == ENOSYS)
                        return -EOPNOTSUPP;
                if (errno != EINTR)
                        return -errno;
        }
        return 0;
}

static int real_file_set_owner(File *file, uint32_t uid, uint32_t gid)
{
        return fchown(((RealFile *)file)->fd, uid, gid) < 0 ? -errno : 0;
}

static int real_file_set_mode(File *file, mode_t mode)
{
        return fchmod(((RealFile *)file)->fd, mode) < 0 ? -errno : 0;
}

static int real_file_copy_attributes(File *file, File *from)
{
        return attributes_copy(((RealFile *)file)->fd, ((RealFile *)from)->fd);
}

static int real_file_set_mtime(File *file, uint64_t mtime_nsec)
{
        struct timespec times[2] = {
                {.tv_nsec = UTIME_OMIT},
                {.tv_sec = (time_t)(mtime_nsec / 1000000000U), .tv_nsec = (long)(mtime_nsec % 1000000000U)},
        };

        return futimens(((RealFile *)file)->fd, times) < 0 ? -errno : 0;
}

static int real_file_sync(File *file)
{
        while (fsync(((RealFile *)file)->fd) < 0)
                if (errno != EINTR)
                        return -errno;
        return 0;
}

static int real_file_lock(File *file)
{
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

        /* Of the open file, not of the process: the lock is held until this descriptor goes, and no other close() of
         * the same file drops it. */
        if (fcntl(((RealFile *)file)->fd, F_OFD_SETLK, &lock) < 0)
                return errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
        return 0;
}

static File *real_file_close(File *file)
{
        (void)safe_close(((RealFile *)file)->fd);
        free(file);
        return NULL;
}

static int real_rename(Folder *folder, const char *from, const char *to)
{
        int fd = ((RealFolder *)folder)->fd;

        if (!name_is_single(from) || !name_is_single(to))
                return -EINVAL;
        return renameat(fd, from, fd, to) < 0 ? -errno : 0;
}

static int real_remove(Folder *folder, const char *name)
{
        if (!name_is_single(name))
                return -EINVAL;
        return unlinkat(((RealFolder *)folder)->fd, name, 0) < 0 ? -errno : 0;
}

static void real_now(Disk *disk, Now *ret)
{
        now_read(ret);
}

/* A seccomp list that is older than getrandom() refuses it. */
static ssize_t read_urandom(void *buffer, size_t size)
{
        _cleanup_close_ int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC | O_NOCTTY);

        return fd < 0 ? -1 : read(fd, buffer, size);
}

static void real_random(Disk *disk, void *buffer, size_t size)
{
        char *p = buffer;

        while (size > 0) {
                ssize_t n = getrandom(p, size, 0);

                if (n < 0 && errno != EINTR)
                        n = read_urandom(p, size);
                if (n < 0 && errno == EINTR)
                        continue;
                /* Neither: ids and markers would be guessable. */
                if (n <= 0)
                        abort();
                p += n;
                size -= (size_t)n;
        }
}

Disk *disk_real(void)
{
        static const DiskOps ops = {
                .folder_open = real_folder_open,
                .folder_open_for = real_folder_open_for,
                .folder_free = real_folder_free,
                .folder_sync = real_folder_sync,
                .folder_list = real_folder_list,
                .file_open = real_file_open,
                .file_info = real_file_info,
                .file_read = real_file_read,
                .file_write = real_file_write,
                .file_truncate = real_file_truncate,
                .file_allocate = real_file_allocate,
                .file_set_owner = real_file_set_owner,
                .file_set_mode = real_file_set_mode,
                .file_copy_attributes = real_file_copy_attributes,
                .file_set_mtime = real_file_set_mtime,
                .file_sync = real_file_sync,
                .file_lock = real_file_lock,
                .file_close = real_file_close,
                .rename = real_rename,
                .remove = real_remove,
                .now = real_now,
                .random = real_random,
        };
        static Disk disk = {.ops = &ops};

        return &disk;
}
