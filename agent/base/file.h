#pragma once

/* What is made of the Disk's primitives again and again: read a whole file, replace one, reserve space. Works
 * on any Disk. */

#include "agent/base/disk.h"
#include "agent/base/file-failure.h"

/* Reads the regular file PATH of at most MAX bytes, links followed. *reterr names the path and the reason. As
 * folder_open_for(), file_open() and file_read(). RET_INFO may be NULL. */
int file_read_path(
        Disk *disk, const char *path, FolderFlags flags, size_t max, Secret **ret, FileInfo *ret_info, char **reterr);

typedef enum ReplaceFlags {
        REPLACE_VOLATILE = 1 << 0, /* no sync at all: for what is made anew at every start (RUNTIME_DIR) */
} ReplaceFlags;

/* Replaces, or makes, NAME with exactly MODE: temp file, file_sync(), rename, folder_sync(). On failure the old file
 * stands, or, where only the last step failed, the new one that a power cut may still undo; no temp file stays.
 * The caller keeps others from writing NAME at the same time. */
int file_replace(Folder *folder, const char *name, const void *data, size_t size, mode_t mode, ReplaceFlags flags);

/* The name of NAME's temp file: `.NAME.tmp`. -ENOMEM. */
int file_temp_name(const char *name, char **ret);

/* Whether NAME is one that file_temp_name() gives. */
bool file_is_temp_name(const char *name);

/* Makes the empty file NAME.tmp for FILE_WRITE, in the place of one that a crash left behind. */
int file_open_temp(Folder *folder, const char *temp_name, mode_t mode, File **ret);

/* Makes sure that SIZE bytes can be written without the disk running full: file_allocate(), or zero bytes beyond the
 * file's end where the file system has no such thing. */
int file_reserve(File *file, uint64_t size);

/* Sets the mtime to now, but later than OLD_NSEC in any case, as whoever polls compares it: 1 ms later, or as much as
 * the file system can tell apart. */
int file_set_newer_mtime(File *file, uint64_t old_nsec);
