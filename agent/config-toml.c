#include "agent/config-toml.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/base/file.h"

#define SYSTEM_ID_NAME     ".runner_system_id"
#define SYSTEM_ID_FILE_MAX 4096
#define GROWTH_BYTES       4096 /* what a check asks for beyond the file as it is: a new entry or two */

struct ConfigToml {
        Disk *disk;
        char *path;
        char *system_id_path;
        char *state_dir;
};

/* Where the file really is, found anew for each call. */
typedef struct Place {
        Folder *folder;
        char *name;
        char *path; /* both together, for messages */
} Place;

static void place_done(Place *place)
{
        (void)folder_free(place->folder);
        free(place->name);
        free(place->path);
}

#define _cleanup_place_ _cleanup_(place_done)

int config_toml_new(Disk *disk, const char *path, const char *state_dir, ConfigToml **ret)
{
        _cleanup_(config_toml_freep) ConfigToml *ct = calloc(1, sizeof(*ct));
        const char *slash = strrchr(path, '/');

        if (!ct)
                return -ENOMEM;
        ct->disk = disk;
        ct->path = strdup(path);
        ct->state_dir = strdup(state_dir);
        if (asprintf(&ct->system_id_path, "%.*s%s", slash ? (int)(slash - path + 1) : 0, path, SYSTEM_ID_NAME) < 0)
                ct->system_id_path = NULL;
        if (!ct->path || !ct->state_dir || !ct->system_id_path)
                return -ENOMEM;
        *ret = take_ptr(ct);
        return 0;
}

ConfigToml *config_toml_free(ConfigToml *ct)
{
        if (!ct)
                return NULL;
        free(ct->path);
        free(ct->system_id_path);
        free(ct->state_dir);
        free(ct);
        return NULL;
}

const char *config_toml_path(const ConfigToml *ct)
{
        return ct->path;
}

static int place_find(ConfigToml *ct, const char *path, FolderFlags flags, Place *ret, char **reterr)
{
        _cleanup_place_ Place place = {0};
        int r;

        r = folder_open_for(ct->disk, path, flags | FOLDER_TRUSTED, &place.folder, &place.name, reterr);
        if (r < 0)
                return r;
        if (asprintf(&place.path, "%s/%s", strcmp(place.folder->path, "/") == 0 ? "" : place.folder->path,
                    place.name) < 0) {
                place.path = NULL;
                return -ENOMEM;
        }
        *ret = place;
        place = (Place){0};
        return 0;
}

/* As place_find(), but a folder that is missing makes -ENOENT without a sentence: then there is no file either. */
static int place_find_existing(ConfigToml *ct, const char *path, Place *ret, char **reterr)
{
        _cleanup_free_ char *error = NULL;
        int r;

        r = place_find(ct, path, 0, ret, &error);
        if (r < 0 && r != -ENOENT && reterr)
                *reterr = take_ptr(error);
        return r;
}

static int place_failure(const Place *place, int error, const char *verb, char **reterr)
{
        return file_failure(reterr, error, verb, place->folder->path, place->name);
}

int config_toml_resolve(ConfigToml *ct, char **ret_path, char **reterr)
{
        _cleanup_place_ Place place = {0};
        int r;

        r = place_find(ct, ct->path, 0, &place, reterr);
        if (r >= 0)
                *ret_path = take_ptr(place.path);
        return r;
}

/* Opens the file for FLAGS and looks at it. A file that is missing is *ret NULL and a zeroed *ret_info. */
static int place_open(const Place *place, FileFlags flags, File **ret, FileInfo *ret_info, char **reterr)
{
        _cleanup_(file_closep) File *file = NULL;
        int r;

        *ret = NULL;
        *ret_info = (FileInfo){0};
        r = file_open(place->folder, place->name, flags, 0, &file);
        if (r == -ENOENT)
                return 0;
        if (r >= 0)
                r = file_info(file, ret_info);
        if (r < 0)
                return place_failure(place, r, flags & FILE_WRITE ? "open for writing" : "open", reterr);
        *ret = take_ptr(file);
        return 0;
}

/* A file of at most MAX bytes; -ENOENT: there is none. */
static int read_whole(
        ConfigToml *ct, const char *path, size_t max, Secret **ret_bytes, FileInfo *ret_info, char **reterr)
{
        _cleanup_(file_closep) File *file = NULL;
        _cleanup_place_ Place place = {0};
        FileInfo info;
        int r;

        *ret_info = (FileInfo){0};
        r = place_find_existing(ct, path, &place, reterr);
        if (r < 0)
                return r;
        /* Looked at before it is read: what changes in between makes the next replace fail, and not the later read
         * look like the newer file. */
        r = place_open(&place, 0, &file, &info, reterr);
        if (r < 0)
                return r;
        if (!file)
                return -ENOENT;
        r = file_read(file, max, ret_bytes);
        if (r < 0)
                return place_failure(&place, r, "read", reterr);
        *ret_info = info;
        return 0;
}

int config_toml_read(ConfigToml *ct, Secret **ret_bytes, FileInfo *ret_info, char **reterr)
{
        return read_whole(ct, ct->path, CONFIG_TOML_SIZE_MAX, ret_bytes, ret_info, reterr);
}

/* Temp files have random names: two agents that share the folder by mistake never rename each other's. */
static int temp_name_new(const ConfigToml *ct, const Place *place, char **ret)
{
        _cleanup_free_ char *unique = NULL;
        uint32_t number;

        disk_random(ct->disk, &number, sizeof(number));
        if (asprintf(&unique, "%s.%08" PRIx32, place->name, number) < 0) {
                unique = NULL;
                return -ENOMEM;
        }
        return file_temp_name(unique, ret);
}

/* Whether temp_name_new() could have made NAME. */
static bool is_our_temp_name(const Place *place, const char *name)
{
        size_t size = strlen(place->name), middle = strlen(".01234567");

        return strlen(name) == 1 + size + middle + strlen(".tmp") && file_is_temp_name(name) &&
               strncmp(name + 1, place->name, size) == 0 && name[1 + size] == '.' &&
               strspn(name + 2 + size, "0123456789abcdef") == middle - 1;
}

static int place_remove_temp_files(const Place *place)
{
        _cleanup_(strings_freep) char **names = NULL;
        int r;

        r = folder_list(place->folder, &names);
        for (char **name = names; r >= 0 && *name; name++)
                if (is_our_temp_name(place, *name))
                        (void)folder_remove(place->folder, *name);
        return r;
}

int config_toml_recover(ConfigToml *ct, InPlaceRecovery *ret, char **reterr)
{
        _cleanup_place_ Place place = {0};
        _cleanup_free_ char *error = NULL;
        int r;

        r = in_place_recover(ct->disk, ct->state_dir, ret, reterr);
        if (r < 0)
                return r;
        /* What is wrong with the path is said by whoever reads it, and temp files in the way are in nobody's way. */
        if (place_find_existing(ct, ct->path, &place, &error) >= 0)
                (void)place_remove_temp_files(&place);
        return 0;
}

static int owner_failure(const Place *place, const FileInfo *old, int error, char **reterr)
{
        if (reterr && asprintf(reterr,
                              "Failed to replace '%s': it belongs to user %" PRIu32 " and group %" PRIu32
                              ", which this program may not give to the new file; run it as that user",
                              place->path, old->uid, old->gid) < 0)
                *reterr = NULL;
        return error;
}

/* Gives the temp file owner, ACL and mode of the file it will replace. */
static int copy_access(const Place *place, File *temp, File *file, const FileInfo *old, char **reterr)
{
        FileInfo info;
        int r;

        r = file_info(temp, &info);
        if (r >= 0 && (info.uid != old->uid || info.gid != old->gid)) {
                r = file_set_owner(temp, old->uid, old->gid);
                if (r == -EPERM)
                        return owner_failure(place, old, r, reterr);
        }
        /* The mode last: under a default ACL of the folder it would let others in before. */
        if (r >= 0)
                r = file_copy_attributes(temp, file);
        if (r >= 0)
                r = file_set_mode(temp, old->mode & 07777);
        return r < 0 ? place_failure(place, r, "keep owner, mode and ACL of", reterr) : 0;
}

static int check_beside(ConfigToml *ct, const Place *place, File *file, const FileInfo *old, char **reterr)
{
        _cleanup_(file_closep) File *temp = NULL;
        _cleanup_free_ char *temp_name = NULL;
        int r;

        r = temp_name_new(ct, place, &temp_name);
        if (r < 0)
                return r;
        r = file_open(place->folder, temp_name, FILE_NEW | FILE_WRITE, 0600, &temp);
        if (r < 0)
                return place_failure(place, r, "make a file beside", reterr);
        r = file_reserve(temp, old->size + GROWTH_BYTES);
        if (r < 0)
                (void)place_failure(place, r, "make a file beside", reterr);
        if (r >= 0 && old->inode != 0)
                r = copy_access(place, temp, file, old, reterr);
        (void)folder_remove(place->folder, temp_name);
        return r;
}

int config_toml_check_writable(ConfigToml *ct, char **reterr)
{
        _cleanup_(file_closep) File *file = NULL, *writable = NULL;
        _cleanup_place_ Place place = {0};
        FileInfo info;
        int r;

        r = place_find(ct, ct->path, FOLDER_MAKE, &place, reterr);
        if (r < 0)
                return r;
        r = place_open(&place, 0, &file, &info, reterr);
        if (r < 0)
                return r;
        if (!info.mounted)
                return check_beside(ct, &place, file, &info, reterr);
        r = place_open(&place, FILE_WRITE, &writable, &info, reterr);
        if (r < 0 || !writable)
                return r;
        return in_place_check(ct->state_dir, place.path, writable, info.size + GROWTH_BYTES, reterr);
}

/* Makes the temp file: complete, synced, and only lacking its name. */
static int temp_write(const Place *place, const char *temp_name, File *file, const FileInfo *old, const Secret *bytes,
        char **reterr)
{
        _cleanup_(file_closep) File *temp = NULL;
        int r;

        r = file_open(place->folder, temp_name, FILE_NEW | FILE_WRITE, 0600, &temp);
        if (r >= 0)
                r = file_write(temp, 0, secret_data(bytes), secret_size(bytes));
        if (r < 0)
                return place_failure(place, r, "replace", reterr);
        if (old->inode != 0) {
                r = copy_access(place, temp, file, old, reterr);
                if (r < 0)
                        return r;
                r = file_set_newer_mtime(temp, old->mtime_nsec);
        }
        if (r >= 0)
                r = file_sync(temp);
        return r < 0 ? place_failure(place, r, "replace", reterr) : 0;
}

/* -ESTALE unless the file still is the EXPECTED one. */
static int place_check_expected(const Place *place, const FileInfo *expected, char **reterr)
{
        _cleanup_(file_closep) File *file = NULL;
        FileInfo info;
        int r;

        r = place_open(place, 0, &file, &info, reterr);
        if (r < 0)
                return r;
        return file_info_same(&info, expected) ? 0 : -ESTALE;
}

/* -EBUSY, without a sentence, where the file is a mount. */
static int replace_beside(ConfigToml *ct, const Place *place, File *file, const FileInfo *expected,
        const FileInfo *old, const Secret *bytes, char **reterr)
{
        _cleanup_free_ char *temp_name = NULL;
        int r;

        r = temp_name_new(ct, place, &temp_name);
        if (r < 0)
                return r;
        r = temp_write(place, temp_name, file, old, bytes, reterr);
        /* As late as can be: gitlab-runner knows no lock, what it writes from here on is lost. */
        if (r >= 0)
                r = place_check_expected(place, expected, reterr);
        if (r >= 0) {
                r = folder_rename(place->folder, temp_name, place->name);
                if (r < 0 && r != -EBUSY)
                        (void)place_failure(place, r, "replace", reterr);
        }
        if (r < 0) {
                (void)folder_remove(place->folder, temp_name);
                return r;
        }
        r = folder_sync(place->folder);
        return r < 0 ? place_failure(place, r, "keep the new", reterr) : 0;
}

static int replace_in_place(
        ConfigToml *ct, const Place *place, const FileInfo *expected, const Secret *bytes, char **reterr)
{
        _cleanup_(file_closep) File *file = NULL;
        FileInfo info;
        int r;

        r = place_open(place, FILE_WRITE, &file, &info, reterr);
        if (r < 0)
                return r;
        if (!file || !file_info_same(&info, expected))
                return -ESTALE;
        return in_place_write(ct->state_dir, place->path, file, &info, bytes, reterr);
}

int config_toml_replace(ConfigToml *ct, const FileInfo *expected, const Secret *bytes, char **reterr)
{
        _cleanup_(file_closep) File *file = NULL;
        _cleanup_place_ Place place = {0};
        FileInfo old;
        int r;

        if (expected->inode == 0)
                r = place_find(ct, ct->path, FOLDER_MAKE, &place, reterr);
        else
                r = place_find_existing(ct, ct->path, &place, reterr);
        if (r < 0)
                return r == -ENOENT && expected->inode != 0 ? -ESTALE : r;
        if (secret_size(bytes) > CONFIG_TOML_SIZE_MAX)
                return place_failure(&place, -EFBIG, "replace", reterr);
        r = place_open(&place, 0, &file, &old, reterr);
        if (r < 0)
                return r;
        if (!file_info_same(&old, expected))
                return -ESTALE;

        r = old.mounted ? -EBUSY : replace_beside(ct, &place, file, expected, &old, bytes, reterr);
        return r == -EBUSY ? replace_in_place(ct, &place, expected, bytes, reterr) : r;
}

int config_toml_system_id_read(ConfigToml *ct, char ret[static SYSTEM_ID_SIZE + 1], char **reterr)
{
        _cleanup_secret_ Secret *text = NULL;
        _cleanup_free_ char *why = NULL;
        FileInfo info;
        int r = read_whole(ct, ct->system_id_path, SYSTEM_ID_FILE_MAX, &text, &info, &why);

        if (r == -EFBIG)
                return -ENOENT;
        if (r < 0) {
                *reterr = take_ptr(why);
                return r;
        }
        secret_trim(text);
        if (secret_size(text) != SYSTEM_ID_SIZE || !system_id_valid(secret_data(text)))
                return -ENOENT;
        memcpy(ret, secret_data(text), SYSTEM_ID_SIZE + 1);
        return 0;
}

/* Opens .runner_system_id for writing, and makes it where it is missing: *ret_made. */
static int system_id_open(const Place *place, File **ret, bool *ret_made)
{
        int r;

        *ret_made = false;
        r = file_open(place->folder, place->name, FILE_WRITE, 0, ret);
        if (r != -ENOENT)
                return r;
        r = file_open(place->folder, place->name, FILE_NEW | FILE_WRITE, 0600, ret);
        *ret_made = r >= 0;
        /* gitlab-runner was a moment faster. */
        return r == -EEXIST ? file_open(place->folder, place->name, FILE_WRITE, 0, ret) : r;
}

int config_toml_system_id_write(ConfigToml *ct, const char *system_id, char **reterr)
{
        _cleanup_(file_closep) File *file = NULL;
        _cleanup_place_ Place place = {0};
        bool made;
        int r;

        if (!system_id_valid(system_id))
                return -EINVAL;
        r = place_find(ct, ct->system_id_path, FOLDER_MAKE, &place, reterr);
        if (r < 0)
                return r;
        r = system_id_open(&place, &file, &made);
        /* Written first, cut second: who reads in between never finds it empty. */
        if (r >= 0)
                r = file_write(file, 0, system_id, SYSTEM_ID_SIZE);
        if (r >= 0)
                r = file_truncate(file, SYSTEM_ID_SIZE);
        /* What is made from the machine id would be made the same again; a random one, and one that takes a foreign
         * one's place, must stay. */
        bool lasting = !made || system_id[0] != 's';
        if (r >= 0 && lasting)
                r = file_sync(file);
        if (r >= 0 && lasting && made)
                r = folder_sync(place.folder);
        return r < 0 ? place_failure(&place, r, "write", reterr) : 0;
}

int config_toml_system_id_remove(ConfigToml *ct, char **reterr)
{
        _cleanup_place_ Place place = {0};
        _cleanup_free_ char *error = NULL;
        int r;

        r = place_find(ct, ct->system_id_path, 0, &place, &error);
        if (r == -ENOENT || r == -ENOLINK)
                return 0;
        if (r < 0) {
                if (reterr)
                        *reterr = take_ptr(error);
                return r;
        }
        r = folder_remove(place.folder, place.name);
        if (r == -ENOENT)
                return 0;
        if (r >= 0)
                r = folder_sync(place.folder);
        return r < 0 ? place_failure(&place, r, "remove", reterr) : 0;
}
