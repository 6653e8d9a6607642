#include "agent/base/file.h"

#include <stdio.h>
#include <string.h>

#define TEMP_PREFIX "."
#define TEMP_SUFFIX ".tmp"

int file_read_path(
        Disk *disk, const char *path, FolderFlags flags, size_t max, Secret **ret, FileInfo *ret_info, char **reterr)
{
        _cleanup_(folder_freep) Folder *folder = NULL;
        _cleanup_(file_closep) File *file = NULL;
        _cleanup_secret_ Secret *content = NULL;
        _cleanup_free_ char *name = NULL;
        int r;

        r = folder_open_for(disk, path, flags, &folder, &name, reterr);
        if (r < 0)
                return r;
        r = file_open(folder, name, 0, 0, &file);
        if (r < 0)
                return file_failure(reterr, r, "open", folder->path, name);
        r = file_read(file, max, &content);
        if (r >= 0 && ret_info)
                r = file_info(file, ret_info);
        if (r < 0)
                return file_failure(reterr, r, "read", folder->path, name);
        *ret = take_ptr(content);
        return 0;
}

int file_temp_name(const char *name, char **ret)
{
        return asprintf(ret, TEMP_PREFIX "%s" TEMP_SUFFIX, name) < 0 ? -ENOMEM : 0;
}

bool file_is_temp_name(const char *name)
{
        size_t size = strlen(name), affixes = strlen(TEMP_PREFIX TEMP_SUFFIX);

        return size > affixes && name[0] == TEMP_PREFIX[0] &&
               strcmp(name + size - strlen(TEMP_SUFFIX), TEMP_SUFFIX) == 0;
}

int file_open_temp(Folder *folder, const char *temp_name, mode_t mode, File **ret)
{
        int r;

        r = file_open(folder, temp_name, FILE_NEW | FILE_WRITE, mode, ret);
        if (r != -EEXIST)
                return r;
        r = folder_remove(folder, temp_name);
        return r < 0 ? r : file_open(folder, temp_name, FILE_NEW | FILE_WRITE, mode, ret);
}

static int file_write_temp(
        Folder *folder, const char *temp, const void *data, size_t size, mode_t mode, ReplaceFlags flags)
{
        _cleanup_(file_closep) File *file = NULL;
        int r;

        /* Opened for nobody else until it has its content and its mode. */
        r = file_open_temp(folder, temp, 0600, &file);
        if (r >= 0)
                r = file_write(file, 0, data, size);
        if (r >= 0)
                r = file_set_mode(file, mode);
        if (r >= 0 && !(flags & REPLACE_VOLATILE))
                r = file_sync(file);
        return r;
}

int file_replace(Folder *folder, const char *name, const void *data, size_t size, mode_t mode, ReplaceFlags flags)
{
        _cleanup_free_ char *temp = NULL;
        int r;

        r = file_temp_name(name, &temp);
        if (r < 0)
                return r;
        r = file_write_temp(folder, temp, data, size, mode, flags);
        if (r >= 0)
                r = folder_rename(folder, temp, name);
        if (r < 0) {
                (void)folder_remove(folder, temp);
                return r;
        }
        return flags & REPLACE_VOLATILE ? 0 : folder_sync(folder);
}

int file_reserve(File *file, uint64_t size)
{
        static const char zeros[4096];
        FileInfo info;
        int r;

        r = file_allocate(file, size);
        if (r != -EOPNOTSUPP)
                return r;
        r = file_info(file, &info);
        while (r >= 0 && info.size < size) {
                size_t n = size - info.size < sizeof(zeros) ? (size_t)(size - info.size) : sizeof(zeros);

                r = file_write(file, info.size, zeros, n);
                info.size += n;
        }
        return r;
}

int file_set_newer_mtime(File *file, uint64_t old_nsec)
{
        /* Old and foreign file systems keep whole seconds, or even ones. */
        static const uint64_t steps[] = {1000000, 1000000000, 2000000000};
        FileInfo info;
        Now now;
        int r = 0;

        disk_now(file->disk, &now);
        for (size_t i = 0; i < ELEMENTS(steps); i++) {
                uint64_t least = old_nsec + steps[i], wanted = now.realtime_usec * 1000;

                r = file_set_mtime(file, wanted > least ? wanted : least);
                if (r >= 0)
                        r = file_info(file, &info);
                if (r < 0 || info.mtime_nsec > old_nsec)
                        break;
        }
        return r;
}
