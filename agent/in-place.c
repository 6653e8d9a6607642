#include "agent/in-place.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/base/file.h"

/* No runner's file in STATE_DIR: those end in .json and .journal. */
#define PENDING_NAME     "config.toml.pending"
#define PENDING_SIZE_MAX (2 * IN_PLACE_SIZE_MAX + 8192)
#define PENDING_MAGIC    "runner-registrar 1"

/* PENDING_NAME taken apart: a line with the sizes, then path, old and new content. */
typedef struct Pending {
        char *path;
        Secret *old, *new;
} Pending;

static void pending_done(Pending *pending)
{
        free(pending->path);
        secret_free(pending->old);
        secret_free(pending->new);
}

static int pending_encode(const char *path, const Secret *old, const Secret *new, Secret **ret)
{
        _cleanup_secret_ Secret *content = NULL;
        char line[128];
        int r;

        (void)snprintf(
                line, sizeof(line), PENDING_MAGIC " %zu %zu %zu\n", strlen(path), secret_size(old), secret_size(new));
        r = secret_new(line, strlen(line), &content);
        if (r >= 0)
                r = secret_reserve(content, strlen(line) + strlen(path) + secret_size(old) + secret_size(new));
        if (r >= 0)
                r = secret_append_string(content, path);
        if (r >= 0)
                r = secret_append(content, secret_data(old), secret_size(old));
        if (r >= 0)
                r = secret_append(content, secret_data(new), secret_size(new));
        if (r >= 0)
                *ret = take_ptr(content);
        return r;
}

static int pending_decode(const Secret *content, Pending *ret)
{
        size_t path_size, old_size, new_size, left = secret_size(content);
        const char *p = secret_data(content), *end = memchr(p, '\n', left);

        if (!end || sscanf(p, PENDING_MAGIC " %zu %zu %zu", &path_size, &old_size, &new_size) != 3)
                return -EBADMSG;
        p = end + 1;
        left -= (size_t)(p - secret_data(content));
        if (path_size > left || old_size > left - path_size || new_size != left - path_size - old_size)
                return -EBADMSG;
        ret->path = strndup(p, path_size);
        if (!ret->path)
                return -ENOMEM;
        p += path_size;
        if (secret_new(p, old_size, &ret->old) < 0 || secret_new(p + old_size, new_size, &ret->new) < 0)
                return -ENOMEM;
        return 0;
}

/* Ends with PENDING_NAME gone for good: brought back by a power cut it could undo what comes later. */
static int pending_drop(Folder *state)
{
        int r;

        r = folder_remove(state, PENDING_NAME);
        return r < 0 && r != -ENOENT ? r : folder_sync(state);
}

/* Content's byte at OFFSET, or the zero that lies behind its end. */
static char byte_at(const Secret *content, size_t offset)
{
        return offset < secret_size(content) ? secret_data(content)[offset] : '\0';
}

/* Whether CURRENT can be what a write of NEW over OLD left when it was cut off anywhere, on a disk that writes its
 * blocks in any order: each byte is of one or the other, or a zero where there was room only. */
static bool is_between(const Secret *current, const Secret *old, const Secret *new)
{
        size_t size = secret_size(current), a = secret_size(old), b = secret_size(new);

        if (size < (a < b ? a : b) || size > (a > b ? a : b))
                return false;
        for (size_t i = 0; i < size; i++) {
                char c = secret_data(current)[i];

                if (c != '\0' && c != byte_at(old, i) && c != byte_at(new, i))
                        return false;
        }
        return true;
}

/* Makes room first, so that a full disk is found before anything is overwritten. */
static int file_grow(File *file, uint64_t old_size, const Secret *bytes)
{
        size_t size = secret_size(bytes);
        int r;

        r = file_allocate(file, size);
        if (r != -EOPNOTSUPP || size <= old_size)
                return r == -EOPNOTSUPP ? 0 : r;
        r = file_write(file, old_size, secret_data(bytes) + old_size, size - (size_t)old_size);
        if (r < 0)
                (void)file_truncate(file, old_size);
        return r;
}

/* One write, as gitlab-runner may read at any time; never an empty file in between. */
static int file_overwrite(File *file, uint64_t old_mtime_nsec, const Secret *bytes)
{
        int r;

        r = file_write(file, 0, secret_data(bytes), secret_size(bytes));
        if (r >= 0)
                r = file_truncate(file, secret_size(bytes));
        if (r >= 0)
                r = file_set_newer_mtime(file, old_mtime_nsec);
        return r < 0 ? r : file_sync(file);
}

static int read_old(File *file, const FileInfo *info, Secret **ret)
{
        FileInfo now;
        int r;

        r = file_read(file, IN_PLACE_SIZE_MAX, ret);
        if (r >= 0)
                r = file_info(file, &now);
        if (r < 0)
                return r;
        return now.size == info->size && now.mtime_nsec == info->mtime_nsec && secret_size(*ret) == info->size
                       ? 0
                       : -ESTALE;
}

int in_place_write(
        const char *state_dir, const char *path, File *file, const FileInfo *info, const Secret *bytes, char **reterr)
{
        _cleanup_secret_ Secret *old = NULL, *pending = NULL;
        _cleanup_(folder_freep) Folder *state = NULL;
        int r;

        r = folder_open(file->disk, state_dir, FOLDER_MAKE | FOLDER_TRUSTED, &state, reterr);
        if (r < 0)
                return r;
        r = read_old(file, info, &old);
        if (r == -ESTALE)
                return r;
        if (r < 0)
                return file_failure(reterr, r, "read", path, NULL);
        r = pending_encode(path, old, bytes, &pending);
        if (r < 0)
                return r;
        r = file_replace(state, PENDING_NAME, secret_data(pending), secret_size(pending), 0600, 0);
        if (r < 0) {
                (void)pending_drop(state);
                return file_failure(reterr, r, "write", state->path, PENDING_NAME);
        }

        r = file_grow(file, info->size, bytes);
        if (r >= 0) {
                r = file_overwrite(file, info->mtime_nsec, bytes);
                if (r < 0 && file_overwrite(file, info->mtime_nsec, old) < 0)
                        return file_failure(reterr, r, "write in place", path, NULL);
        }
        if (r < 0) {
                (void)pending_drop(state);
                return file_failure(reterr, r, "write in place", path, NULL);
        }
        /* The file is written, whatever becomes of the copy. */
        (void)pending_drop(state);
        return 0;
}

int in_place_check(const char *state_dir, const char *path, File *file, uint64_t size, char **reterr)
{
        _cleanup_(folder_freep) Folder *state = NULL;
        _cleanup_(file_closep) File *temp = NULL;
        _cleanup_free_ char *temp_name = NULL;
        int r;

        r = folder_open(file->disk, state_dir, FOLDER_MAKE | FOLDER_TRUSTED, &state, reterr);
        if (r < 0)
                return r;
        r = file_temp_name(PENDING_NAME, &temp_name);
        if (r < 0)
                return r;
        r = file_open_temp(state, temp_name, 0600, &temp);
        if (r >= 0) {
                r = file_reserve(temp, 2 * size + strlen(path) + 128);
                (void)folder_remove(state, temp_name);
        }
        if (r < 0)
                return file_failure(reterr, r, "write", state->path, PENDING_NAME);
        r = file_allocate(file, size);
        return r < 0 && r != -EOPNOTSUPP ? file_failure(reterr, r, "write in place", path, NULL) : 0;
}

/* Opens the file that the pending write is for. -ENOENT: it is not there any more. */
static int pending_open_file(Disk *disk, const Pending *pending, File **ret, char **reterr)
{
        _cleanup_(folder_freep) Folder *folder = NULL;
        _cleanup_free_ char *name = NULL, *error = NULL;
        int r;

        r = folder_open_for(disk, pending->path, FOLDER_TRUSTED, &folder, &name, &error);
        if (r == -ENOENT || r == -ENOLINK)
                return -ENOENT;
        if (r < 0) {
                if (reterr)
                        *reterr = take_ptr(error);
                return r;
        }
        r = file_open(folder, name, FILE_WRITE, 0, ret);
        return r < 0 && r != -ENOENT ? file_failure(reterr, r, "open", folder->path, name) : r;
}

static int pending_redo(Disk *disk, const Pending *pending, InPlaceRecovery *ret, char **reterr)
{
        _cleanup_secret_ Secret *current = NULL;
        _cleanup_(file_closep) File *file = NULL;
        FileInfo info;
        int r;

        *ret = IN_PLACE_DROPPED;
        r = pending_open_file(disk, pending, &file, reterr);
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return r;
        r = file_info(file, &info);
        if (r >= 0)
                r = file_read(file, IN_PLACE_SIZE_MAX, &current);
        if (r == -EFBIG)
                return 0;
        if (r < 0)
                return file_failure(reterr, r, "read", pending->path, NULL);
        if (!is_between(current, pending->old, pending->new))
                return 0;

        *ret = IN_PLACE_REDONE;
        r = file_grow(file, info.size, pending->new);
        if (r >= 0)
                r = file_overwrite(file, info.mtime_nsec, pending->new);
        return r < 0 ? file_failure(reterr, r, "end the interrupted write of", pending->path, NULL) : 0;
}

static void pending_remove_temp(Folder *state)
{
        _cleanup_free_ char *temp = NULL;

        if (file_temp_name(PENDING_NAME, &temp) >= 0)
                (void)folder_remove(state, temp);
}

int in_place_recover(Disk *disk, const char *state_dir, InPlaceRecovery *ret, char **reterr)
{
        _cleanup_(pending_done) Pending pending = {0};
        _cleanup_(folder_freep) Folder *state = NULL;
        _cleanup_secret_ Secret *content = NULL;
        _cleanup_(file_closep) File *file = NULL;
        InPlaceRecovery recovery = IN_PLACE_DROPPED;
        int r;

        r = folder_open(disk, state_dir, FOLDER_MAKE | FOLDER_TRUSTED, &state, reterr);
        if (r < 0)
                return r;
        pending_remove_temp(state);
        r = file_open(state, PENDING_NAME, 0, 0, &file);
        if (r == -ENOENT) {
                *ret = IN_PLACE_NOTHING_TO_DO;
                return 0;
        }
        if (r >= 0)
                r = file_read(file, PENDING_SIZE_MAX, &content);
        if (r < 0)
                return file_failure(reterr, r, "read", state->path, PENDING_NAME);

        /* It got its name when it was whole and synced: with anything else in it nothing has been begun. */
        r = pending_decode(content, &pending);
        if (r >= 0)
                r = pending_redo(disk, &pending, &recovery, reterr);
        else if (r == -EBADMSG)
                r = 0;
        if (r < 0)
                return r;
        r = pending_drop(state);
        if (r < 0)
                return file_failure(reterr, r, "remove", state->path, PENDING_NAME);
        *ret = recovery;
        return 0;
}
