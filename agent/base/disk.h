#pragma once

/* Everything that store and journal do to the outer world goes through this one small interface: files by folder and
 * name, the two clocks, and randomness. disk_real() is the machine; a simulated disk, which loses what was not
 * synced, stands behind the same functions. The grain is that of a file system's promises: what is written is not
 * kept before file_sync(), a name is not kept before folder_sync(). */

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
        uint64_t inode;
        uint64_t size;
        uint64_t mtime_nsec;
        uint32_t mode; /* type and permission bits */
        uint32_t uid;
        uint32_t gid;
} FileInfo;

typedef enum FolderFlags {
        FOLDER_MAKE = 1 << 0,    /* make the last folder, 0700, if it is missing */
        FOLDER_TRUSTED = 1 << 1, /* as root: refuse a folder or link on the way that is neither root's nor ours, or
                                  * that others can write (sticky ones do not help: CI jobs may own what is inside) */
} FolderFlags;

typedef enum FileFlags {
        FILE_NEW = 1 << 0,    /* O_CREAT | O_EXCL */
        FILE_WRITE = 1 << 1,  /* for reading and writing; without it for reading */
        FILE_FOLLOW = 1 << 2, /* a symlink as the last part is followed, safely, as folder_open() walks */
} FileFlags;

typedef struct DiskOps {
        int (*folder_open)(Disk *disk, const char *path, FolderFlags flags, Folder **ret, char **reterr);
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
        int (*file_set_mtime)(File *file, uint64_t mtime_nsec);
        int (*file_sync)(File *file);
        int (*file_lock)(File *file);
        File *(*file_close)(File *file);
        int (*rename)(Folder *folder, const char *from, const char *to);
        int (*remove)(Folder *folder, const char *name);
        int (*read_link)(Folder *folder, const char *name, char **ret);
        void (*now)(Disk *disk, Now *ret);
        void (*random)(Disk *disk, void *buffer, size_t size);
} DiskOps;

/* Implementations embed these as their first member. */
struct Disk {
        const DiskOps *ops;
};
struct Folder {
        Disk *disk;
};
struct File {
        Folder *folder;
};

/* The machine's own files and clocks. Static, never freed. */
Disk *disk_real(void);
