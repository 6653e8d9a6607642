#pragma once

/* A Disk that passes everything on to disk_real(), notes each call as `operation name`, and makes a chosen one fail.
 */

#include "tests/unit/scratch.h"

#include "agent/base/disk.h"

#define RECORDER_LINES_MAX 256

typedef struct Recorder {
        Disk disk;
        Disk *real;
        char *lines[RECORDER_LINES_MAX];
        unsigned n_lines;
        unsigned fail_at;       /* the first, second … call fails; 0: none */
        int fail_with;          /* negative errno */
        bool fail_on;           /* and so do all after it that change something */
        char failed[64];        /* which operation it was; empty: none */
        uint64_t now_usec;      /* 0: the real clock */
        void (*before)(void *); /* called once before the line that begins with WHEN: what others do meanwhile */
        void *before_data;
        const char *when;
} Recorder;

typedef struct RecorderFolder {
        Folder folder;
        Folder *real;
} RecorderFolder;

typedef struct RecorderFile {
        File file;
        File *real;
        char name[NAME_MAX + 1];
} RecorderFile;

static inline int recorder_call(Disk *disk, const char *operation, const char *name)
{
        Recorder *recorder = (Recorder *)disk;
        char **line = &recorder->lines[recorder->n_lines];
        bool changes = strcmp(operation, "folder_open") != 0 && strcmp(operation, "file_info") != 0 &&
                       strcmp(operation, "file_read") != 0;

        assert_true(recorder->n_lines < RECORDER_LINES_MAX);
        assert_true(asprintf(line, "%s %s", operation, name) >= 0);
        recorder->n_lines++;
        if (recorder->before && strncmp(*line, recorder->when, strlen(recorder->when)) == 0) {
                void (*before)(void *) = recorder->before;

                recorder->before = NULL;
                before(recorder->before_data);
        }
        if (recorder->fail_at == 0)
                return 0;
        if (recorder->n_lines == recorder->fail_at)
                (void)snprintf(recorder->failed, sizeof(recorder->failed), "%s", operation);
        else if (recorder->n_lines < recorder->fail_at || !recorder->fail_on || !changes)
                return 0;
        return recorder->fail_with;
}

static inline void recorder_forget(Recorder *recorder)
{
        for (unsigned i = 0; i < recorder->n_lines; i++)
                free(recorder->lines[i]);
        recorder->n_lines = 0;
        recorder->fail_at = 0;
        recorder->fail_on = false;
        recorder->failed[0] = '\0';
}

static inline int recorder_folder(Disk *disk, Folder *real, Folder **ret)
{
        RecorderFolder *folder = calloc(1, sizeof(*folder));

        assert_non_null(folder);
        *folder = (RecorderFolder){.folder = {.disk = disk, .path = real->path}, .real = real};
        *ret = &folder->folder;
        return 0;
}

static inline int recorder_folder_open(Disk *disk, const char *path, FolderFlags flags, Folder **ret, char **reterr)
{
        Folder *real = NULL;
        int r = recorder_call(disk, "folder_open", strrchr(path, '/') + 1);

        if (r >= 0)
                r = folder_open(((Recorder *)disk)->real, path, flags, &real, reterr);
        else if (asprintf(reterr, "Failed to open '%s'", path) < 0)
                *reterr = NULL;
        return r < 0 ? r : recorder_folder(disk, real, ret);
}

static inline int recorder_folder_open_for(
        Disk *disk, const char *path, FolderFlags flags, Folder **ret, char **ret_name, char **reterr)
{
        Folder *real = NULL;
        int r = recorder_call(disk, "folder_open", strrchr(path, '/') + 1);

        if (r >= 0)
                r = folder_open_for(((Recorder *)disk)->real, path, flags, &real, ret_name, reterr);
        else if (asprintf(reterr, "Failed to open '%s'", path) < 0)
                *reterr = NULL;
        return r < 0 ? r : recorder_folder(disk, real, ret);
}

static inline Folder *recorder_folder_free(Folder *folder)
{
        (void)folder_free(((RecorderFolder *)folder)->real);
        free(folder);
        return NULL;
}

static inline int recorder_folder_sync(Folder *folder)
{
        int r = recorder_call(folder->disk, "folder_sync", strrchr(folder->path, '/') + 1);

        return r < 0 ? r : folder_sync(((RecorderFolder *)folder)->real);
}

static inline int recorder_folder_list(Folder *folder, char ***ret_names)
{
        return folder_list(((RecorderFolder *)folder)->real, ret_names);
}

static inline int recorder_file_open(Folder *folder, const char *name, FileFlags flags, mode_t mode, File **ret)
{
        int r = recorder_call(folder->disk, flags & FILE_NEW ? "file_new" : "file_open", name);
        RecorderFile *file;
        File *real;

        if (r >= 0)
                r = file_open(((RecorderFolder *)folder)->real, name, flags, mode, &real);
        if (r < 0)
                return r;
        file = calloc(1, sizeof(*file));
        assert_non_null(file);
        *file = (RecorderFile){.file = {.disk = folder->disk}, .real = real};
        (void)snprintf(file->name, sizeof(file->name), "%s", name);
        *ret = &file->file;
        return 0;
}

static inline int recorder_file_call(File *file, const char *operation)
{
        return recorder_call(file->disk, operation, ((RecorderFile *)file)->name);
}

static inline int recorder_file_info(File *file, FileInfo *ret)
{
        int r = recorder_file_call(file, "file_info");

        return r < 0 ? r : file_info(((RecorderFile *)file)->real, ret);
}

static inline int recorder_file_read(File *file, size_t max, Secret **ret)
{
        int r = recorder_file_call(file, "file_read");

        return r < 0 ? r : file_read(((RecorderFile *)file)->real, max, ret);
}

static inline int recorder_file_write(File *file, uint64_t offset, const void *data, size_t size)
{
        int r = recorder_file_call(file, "file_write");

        /* A disk that fills up has taken a part. */
        if (r < 0)
                (void)file_write(((RecorderFile *)file)->real, offset, data, size / 2);
        return r < 0 ? r : file_write(((RecorderFile *)file)->real, offset, data, size);
}

static inline int recorder_file_truncate(File *file, uint64_t size)
{
        int r = recorder_file_call(file, "file_truncate");

        return r < 0 ? r : file_truncate(((RecorderFile *)file)->real, size);
}

static inline int recorder_file_allocate(File *file, uint64_t size)
{
        int r = recorder_file_call(file, "file_allocate");

        return r < 0 ? r : file_allocate(((RecorderFile *)file)->real, size);
}

static inline int recorder_file_set_owner(File *file, uint32_t uid, uint32_t gid)
{
        int r = recorder_file_call(file, "file_set_owner");

        return r < 0 ? r : file_set_owner(((RecorderFile *)file)->real, uid, gid);
}

static inline int recorder_file_set_mode(File *file, mode_t mode)
{
        int r = recorder_file_call(file, "file_set_mode");

        return r < 0 ? r : file_set_mode(((RecorderFile *)file)->real, mode);
}

static inline int recorder_file_copy_attributes(File *file, File *from)
{
        int r = recorder_file_call(file, "file_copy_attributes");

        return r < 0 ? r : file_copy_attributes(((RecorderFile *)file)->real, ((RecorderFile *)from)->real);
}

static inline int recorder_file_set_mtime(File *file, uint64_t mtime_nsec)
{
        int r = recorder_file_call(file, "file_set_mtime");

        return r < 0 ? r : file_set_mtime(((RecorderFile *)file)->real, mtime_nsec);
}

static inline int recorder_file_sync(File *file)
{
        int r = recorder_file_call(file, "file_sync");

        return r < 0 ? r : file_sync(((RecorderFile *)file)->real);
}

static inline int recorder_file_lock(File *file)
{
        int r = recorder_file_call(file, "file_lock");

        return r < 0 ? r : file_lock(((RecorderFile *)file)->real);
}

static inline File *recorder_file_close(File *file)
{
        (void)file_close(((RecorderFile *)file)->real);
        free(file);
        return NULL;
}

static inline int recorder_rename(Folder *folder, const char *from, const char *to)
{
        int r = recorder_call(folder->disk, "rename", to);

        return r < 0 ? r : folder_rename(((RecorderFolder *)folder)->real, from, to);
}

static inline int recorder_remove(Folder *folder, const char *name)
{
        int r = recorder_call(folder->disk, "remove", name);

        return r < 0 ? r : folder_remove(((RecorderFolder *)folder)->real, name);
}

static inline void recorder_now(Disk *disk, Now *ret)
{
        Recorder *recorder = (Recorder *)disk;

        disk_now(recorder->real, ret);
        if (recorder->now_usec != 0)
                ret->realtime_usec = recorder->now_usec;
}

static inline void recorder_random(Disk *disk, void *buffer, size_t size)
{
        disk_random(((Recorder *)disk)->real, buffer, size);
}

static inline void recorder_init(Recorder *recorder)
{
        static const DiskOps ops = {
                .folder_open = recorder_folder_open,
                .folder_open_for = recorder_folder_open_for,
                .folder_free = recorder_folder_free,
                .folder_sync = recorder_folder_sync,
                .folder_list = recorder_folder_list,
                .file_open = recorder_file_open,
                .file_info = recorder_file_info,
                .file_read = recorder_file_read,
                .file_write = recorder_file_write,
                .file_truncate = recorder_file_truncate,
                .file_allocate = recorder_file_allocate,
                .file_set_owner = recorder_file_set_owner,
                .file_set_mode = recorder_file_set_mode,
                .file_copy_attributes = recorder_file_copy_attributes,
                .file_set_mtime = recorder_file_set_mtime,
                .file_sync = recorder_file_sync,
                .file_lock = recorder_file_lock,
                .file_close = recorder_file_close,
                .rename = recorder_rename,
                .remove = recorder_remove,
                .now = recorder_now,
                .random = recorder_random,
        };

        *recorder = (Recorder){.disk = {.ops = &ops}, .real = disk_real()};
}

/* The notes are exactly the NULL-terminated LINES. */
static inline void assert_recorded_lines(const Recorder *recorder, const char *const *lines)
{
        unsigned i;

        for (i = 0; i < recorder->n_lines && lines[i]; i++)
                if (strcmp(recorder->lines[i], lines[i]) != 0)
                        fail_msg("call %u is '%s', expected '%s'", i + 1, recorder->lines[i], lines[i]);
        if (lines[i] || i < recorder->n_lines)
                fail_msg("call %u is '%s', expected '%s'", i + 1, i < recorder->n_lines ? recorder->lines[i] : "-",
                        lines[i] ? lines[i] : "-");
}

#define assert_recorded(recorder, ...) assert_recorded_lines((recorder), (const char *const[]){__VA_ARGS__, NULL})
