#pragma once

/* Everything that store and journal do to the outer world goes through this one small interface: files by folder and
 * name, the two clocks, and randomness. disk_real() is the machine; a simulated disk, which loses what was not
 * synced, stands behind the same functions. The grain is that of a file system's promises: what is written is not
 * kept before file_sync(), a name is not kept before folder_sync().
 *
 * Callers use the functions below, not the table. All return 0 or a negative errno; EINTR and short transfers are
 * settled inside. A file outlives the folder it was opened in. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/base/cleanup.h"
#include "agent/base/secret.h"
#include "agent/base/time.h"

typedef struct Disk Disk;
typedef struct Folder Folder;
typedef struct File File;

typedef struct FileInfo {
        uint64_t device;
        uint64_t inode; /* 0 in no existing file, so a zeroed FileInfo stands for "there was none" */
        uint64_t size;
        uint64_t mtime_nsec;
        uint32_t mode; /* type and permission bits */
        uint32_t uid;
        uint32_t gid;
        bool mounted; /* the file is a mount of its own (a bind mount): rename() over it gives -EBUSY */
} FileInfo;

/* Whether both tell of the same file with the same content, as far as can be told without reading it. */
static inline bool file_info_same(const FileInfo *a, const FileInfo *b)
{
        return a->device == b->device && a->inode == b->inode && a->size == b->size && a->mtime_nsec == b->mtime_nsec;
}

typedef enum FolderFlags {
        FOLDER_MAKE = 1 << 0,    /* make what is missing of the path, 0700, and sync it */
        FOLDER_TRUSTED = 1 << 1, /* as root: refuse a folder or link on the way that is neither root's nor ours, or
                                  * that others can write (sticky ones do not help: CI jobs may own what is inside) */
} FolderFlags;

typedef enum FileFlags {
        FILE_NEW = 1 << 0,   /* O_CREAT | O_EXCL */
        FILE_WRITE = 1 << 1, /* for reading and writing; without it for reading */
} FileFlags;

typedef struct DiskOps {
        int (*folder_open)(Disk *disk, const char *path, FolderFlags flags, Folder **ret, char **reterr);
        int (*folder_open_for)(
                Disk *disk, const char *path, FolderFlags flags, Folder **ret, char **ret_name, char **reterr);
        Folder *(*folder_free)(Folder *folder);
        int (*folder_sync)(Folder *folder);
        int (*folder_list)(Folder *folder, char ***ret_names);
        int (*file_open)(Folder *folder, const char *name, FileFlags flags, mode_t mode, File **ret);
        int (*file_info)(File *file, FileInfo *ret);
        int (*file_read)(File *file, size_t max, Secret **ret);
        int (*file_write)(File *file, uint64_t offset, const void *data, size_t size);
        int (*file_truncate)(File *file, uint64_t size);
        int (*file_allocate)(File *file, uint64_t size);
        int (*file_set_owner)(File *file, uint32_t uid, uint32_t gid);
        int (*file_set_mode)(File *file, mode_t mode);
        int (*file_copy_attributes)(File *file, File *from);
        int (*file_set_mtime)(File *file, uint64_t mtime_nsec);
        int (*file_sync)(File *file);
        int (*file_lock)(File *file);
        File *(*file_close)(File *file);
        int (*rename)(Folder *folder, const char *from, const char *to);
        int (*remove)(Folder *folder, const char *name);
        void (*now)(Disk *disk, Now *ret);
        void (*random)(Disk *disk, void *buffer, size_t size);
} DiskOps;

/* Implementations embed these as their first member. */
struct Disk {
        const DiskOps *ops;
};
struct Folder {
        Disk *disk;
        char *path; /* where the walk ended, links resolved: for messages and watches, never to open by */
};
struct File {
        Disk *disk;
};

/* The machine's own files and clocks. Static, never freed. */
Disk *disk_real(void);

/* Opens the folder PATH, following links. *reterr says what is wrong with which part of the path and what to do:
 * -ENOENT, -ENOTDIR, -EACCES, -ELOOP (more than 40 links), -EPERM (FOLDER_TRUSTED), -EROFS … (FOLDER_MAKE). */
static inline int folder_open(Disk *disk, const char *path, FolderFlags flags, Folder **ret, char **reterr)
{
        return disk->ops->folder_open(disk, path, flags, ret, reterr);
}

/* Finds where the file PATH really is: follows links, the last one included, and opens the folder that holds, or
 * would hold, the file *ret_name. As folder_open(), and -ENOLINK: the path ends in a link that leads to no file;
 * -EISDIR: the path can't be a file's (it ends in `/`, `.` or `..`). */
static inline int folder_open_for(
        Disk *disk, const char *path, FolderFlags flags, Folder **ret, char **ret_name, char **reterr)
{
        return disk->ops->folder_open_for(disk, path, flags, ret, ret_name, reterr);
}

/* Accepts NULL, returns NULL. */
static inline Folder *folder_free(Folder *folder)
{
        return folder ? folder->disk->ops->folder_free(folder) : NULL;
}

DEFINE_CLEANUP(Folder, folder_free)

/* Makes the folder's names, as they are now, survive a power cut. */
static inline int folder_sync(Folder *folder)
{
        return folder->disk->ops->folder_sync(folder);
}

/* All names in it but `.` and `..`, in no order, NULL-terminated; strings_free() frees them. -E2BIG beyond
 * FOLDER_NAMES_MAX. */
#define FOLDER_NAMES_MAX 65536
static inline int folder_list(Folder *folder, char ***ret_names)
{
        return folder->disk->ops->folder_list(folder, ret_names);
}

/* Opens the regular file NAME; never blocks, never follows a link (-ELOOP), touches no device. -EISDIR: a folder;
 * -EINVAL: not a regular file, or NAME is no single name. MODE is for FILE_NEW, and cut by the umask. */
static inline int file_open(Folder *folder, const char *name, FileFlags flags, mode_t mode, File **ret)
{
        return folder->disk->ops->file_open(folder, name, flags, mode, ret);
}

static inline int file_info(File *file, FileInfo *ret)
{
        return file->disk->ops->file_info(file, ret);
}

/* Reads all of it from the start; -EFBIG if that is more than MAX bytes. */
static inline int file_read(File *file, size_t max, Secret **ret)
{
        return file->disk->ops->file_read(file, max, ret);
}

/* Writes all SIZE bytes at OFFSET, growing the file as needed. */
static inline int file_write(File *file, uint64_t offset, const void *data, size_t size)
{
        return file->disk->ops->file_write(file, offset, data, size);
}

static inline int file_truncate(File *file, uint64_t size)
{
        return file->disk->ops->file_truncate(file, size);
}

/* Sets disk space aside for the first SIZE bytes; the file's size stays. -EOPNOTSUPP where the file system can't. */
static inline int file_allocate(File *file, uint64_t size)
{
        return file->disk->ops->file_allocate(file, size);
}

static inline int file_set_owner(File *file, uint32_t uid, uint32_t gid)
{
        return file->disk->ops->file_set_owner(file, uid, gid);
}

static inline int file_set_mode(File *file, mode_t mode)
{
        return file->disk->ops->file_set_mode(file, mode);
}

/* Gives FILE the ACL that FROM has, or none, and FROM's labels as far as can be: attributes_copy(). */
static inline int file_copy_attributes(File *file, File *from)
{
        return file->disk->ops->file_copy_attributes(file, from);
}

static inline int file_set_mtime(File *file, uint64_t mtime_nsec)
{
        return file->disk->ops->file_set_mtime(file, mtime_nsec);
}

/* Makes content and size survive a power cut (the name: folder_sync()). */
static inline int file_sync(File *file)
{
        return file->disk->ops->file_sync(file);
}

/* Locks the file, opened for writing, until it is closed; -EBUSY: someone else has the lock. Never waits. */
static inline int file_lock(File *file)
{
        return file->disk->ops->file_lock(file);
}

/* Accepts NULL, returns NULL. */
static inline File *file_close(File *file)
{
        return file ? file->disk->ops->file_close(file) : NULL;
}

DEFINE_CLEANUP(File, file_close)

/* Both names are in FOLDER; TO is replaced at once. -EBUSY where TO is a mount. */
static inline int folder_rename(Folder *folder, const char *from, const char *to)
{
        return folder->disk->ops->rename(folder, from, to);
}

/* Removes a file or a link, not a folder. */
static inline int folder_remove(Folder *folder, const char *name)
{
        return folder->disk->ops->remove(folder, name);
}

static inline void disk_now(Disk *disk, Now *ret)
{
        disk->ops->now(disk, ret);
}

static inline void disk_random(Disk *disk, void *buffer, size_t size)
{
        disk->ops->random(disk, buffer, size);
}
