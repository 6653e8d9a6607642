#include "agent/store.h"

#include <search.h>
#include <stdio.h>
#include <string.h>

#include "agent/base/file.h"

#define LOCK_NAME      "lock"
#define RECORD_SUFFIX  ".json"
#define JOURNAL_SUFFIX ".journal"
#define NAME_SIZE_MAX  40
#define PID_SIZE_MAX   16

struct Store {
        Disk *disk;
        char *state_dir; /* as configured */
        Folder *folder;
        File *lock;
        void *readable; /* tsearch() tree of the runners whose file is ours to replace, or was not there */
};

static int compare_names(const void *a, const void *b)
{
        return strcmp(a, b);
}

int store_open(Disk *disk, const char *state_dir, Store **ret, char **reterr)
{
        _cleanup_(store_freep) Store *store = calloc(1, sizeof(*store));
        int r;

        if (!store)
                return -ENOMEM;
        store->disk = disk;
        store->state_dir = strdup(state_dir);
        if (!store->state_dir)
                return -ENOMEM;
        r = folder_open(disk, state_dir, FOLDER_MAKE | FOLDER_TRUSTED, &store->folder, reterr);
        if (r < 0)
                return r;
        *ret = take_ptr(store);
        return 0;
}

Store *store_free(Store *store)
{
        if (!store)
                return NULL;
        tdestroy(store->readable, free);
        (void)file_close(store->lock);
        (void)folder_free(store->folder);
        free(store->state_dir);
        free(store);
        return NULL;
}

static int store_failure(const Store *store, char **reterr, int error, const char *verb, const char *name)
{
        return file_failure(reterr, error, verb, store->folder->path, name);
}

/* Names come from a checked configuration; checked again where they become file names. */
static bool name_is_safe(const char *name)
{
        static const char alphanumeric[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        size_t size = strlen(name);

        return size > 0 && size <= NAME_SIZE_MAX && strchr(alphanumeric, name[0]) &&
               strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == size;
}

/* NAME's file of the kind that SUFFIX tells. */
static int store_file_name(const Store *store, const char *name, const char *suffix, char **ret, char **reterr)
{
        if (!name_is_safe(name)) {
                if (reterr && asprintf(reterr, "'%s' is not a runner's name", name) < 0)
                        *reterr = NULL;
                return -EINVAL;
        }
        return asprintf(ret, "%s%s", name, suffix) < 0 ? -ENOMEM : 0;
}

static int store_open_lock(Store *store, File **ret)
{
        int r;

        r = file_open(store->folder, LOCK_NAME, FILE_WRITE, 0, ret);
        if (r == -ENOENT)
                r = file_open(store->folder, LOCK_NAME, FILE_NEW | FILE_WRITE, 0600, ret);
        /* The other agent was a moment faster. */
        if (r == -EEXIST)
                r = file_open(store->folder, LOCK_NAME, FILE_WRITE, 0, ret);
        return r;
}

static pid_t lock_read_pid(File *lock)
{
        _cleanup_secret_ Secret *text = NULL;
        char *end;
        long pid;

        if (file_read(lock, PID_SIZE_MAX, &text) < 0)
                return 0;
        pid = strtol(secret_data(text), &end, 10);
        return pid > 0 && pid <= INT32_MAX && *end == '\n' ? (pid_t)pid : 0;
}

static int lock_write_pid(File *lock)
{
        char text[PID_SIZE_MAX];
        int size = snprintf(text, sizeof(text), "%d\n", (int)getpid()), r;

        r = file_truncate(lock, 0);
        return r < 0 ? r : file_write(lock, 0, text, (size_t)size);
}

/* Only under the lock: to another agent they are files in use. */
static void store_clean(Store *store)
{
        _cleanup_(strings_freep) char **names = NULL;

        if (folder_list(store->folder, &names) < 0)
                return;
        for (char **name = names; *name; name++)
                if (file_is_temp_name(*name))
                        (void)folder_remove(store->folder, *name);
}

int store_lock(Store *store, char **reterr)
{
        _cleanup_(file_closep) File *lock = NULL;
        int r;

        r = store_open_lock(store, &lock);
        if (r >= 0)
                r = file_lock(lock);
        if (r == -EBUSY) {
                pid_t pid = lock_read_pid(lock);
                char who[32] = "";

                if (pid > 0)
                        (void)snprintf(who, sizeof(who), " (pid %d)", (int)pid);
                if (reterr && asprintf(reterr, "another agent%s has the lock of state folder '%s'", who,
                                      store->folder->path) < 0)
                        *reterr = NULL;
                return r;
        }
        if (r >= 0)
                r = lock_write_pid(lock);
        if (r < 0)
                return store_failure(store, reterr, r, "lock", LOCK_NAME);
        store->lock = take_ptr(lock);
        store_clean(store);
        return 0;
}

static int store_note_readable(Store *store, const char *name)
{
        char *copy = strdup(name), **node;

        if (!copy)
                return -ENOMEM;
        node = tsearch(copy, &store->readable, compare_names);
        if (!node || *node != copy)
                free(copy);
        return node ? 0 : -ENOMEM;
}

/* Adds the path, and what to do, to a sentence of record_decode(). */
static int store_unreadable(Store *store, char **reterr, int error, const char *file, const char *reason)
{
        if (error == -ENOMEM || !reterr)
                return error;
        if (asprintf(reterr, "'%s/%s' can't be used: %s; %s, or move the file away to begin anew with this runner",
                    store->folder->path, file, reason ? reason : "it is damaged",
                    error == -EPROTONOSUPPORT ? "install the version that wrote it" : "put back a good copy") < 0)
                *reterr = NULL;
        return error;
}

static int store_read_record(Store *store, const char *file, Record **ret, char **reterr)
{
        _cleanup_(file_closep) File *handle = NULL;
        _cleanup_secret_ Secret *content = NULL;
        _cleanup_free_ char *reason = NULL;
        int r;

        r = file_open(store->folder, file, 0, 0, &handle);
        if (r == -ENOENT)
                return r;
        if (r < 0)
                return store_failure(store, reterr, r, "open", file);
        r = file_read(handle, RECORD_SIZE_MAX, &content);
        if (r == -EFBIG)
                return store_unreadable(store, reterr, -EBADMSG, file, "it is larger than a record can be");
        if (r < 0)
                return store_failure(store, reterr, r, "read", file);
        r = record_decode(secret_data(content), secret_size(content), ret, &reason);
        return r < 0 ? store_unreadable(store, reterr, r, file, reason) : 0;
}

int store_load(Store *store, const char *name, Record **ret, char **reterr)
{
        _cleanup_(record_freep) Record *record = NULL;
        _cleanup_free_ char *file = NULL;
        int r, q;

        r = store_file_name(store, name, RECORD_SUFFIX, &file, reterr);
        if (r < 0)
                return r;
        r = store_read_record(store, file, &record, reterr);
        if (r >= 0 && strcmp(record->name, name) != 0)
                return store_unreadable(store, reterr, -EBADMSG, file, "it is the record of another runner");
        if (r < 0 && r != -ENOENT)
                return r;
        q = store_note_readable(store, name);
        if (q < 0)
                return q;
        if (r >= 0)
                *ret = take_ptr(record);
        return r;
}

static int compare_strings(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

int store_list(Store *store, char ***ret_names, char **reterr)
{
        _cleanup_(strings_freep) char **names = NULL;
        size_t n_names = 0;
        int r;

        r = folder_list(store->folder, &names);
        if (r < 0)
                return store_failure(store, reterr, r, "list", NULL);
        for (char **p = names, *name; (name = *p); p++) {
                size_t size = strlen(name), suffix = strlen(RECORD_SUFFIX);

                *p = NULL;
                if (size > suffix && strcmp(name + size - suffix, RECORD_SUFFIX) == 0) {
                        name[size - suffix] = '\0';
                        if (name_is_safe(name)) {
                                names[n_names++] = name;
                                continue;
                        }
                }
                free(name);
        }
        names[n_names] = NULL;
        qsort(names, n_names, sizeof(*names), compare_strings);
        *ret_names = take_ptr(names);
        return 0;
}

/* Refuses to write over a file that could not be read, unless it was moved away or repaired since. */
static int store_check_replaceable(Store *store, const char *name, char **reterr)
{
        _cleanup_(record_freep) Record *record = NULL;
        int r;

        if (tfind(name, &store->readable, compare_names))
                return 0;
        r = store_load(store, name, &record, reterr);
        return r == -ENOENT ? 0 : r;
}

static int store_encode(Store *store, const Record *record, char **ret_file, Secret **ret, char **reterr)
{
        int r;

        r = store_file_name(store, record->name, RECORD_SUFFIX, ret_file, reterr);
        if (r >= 0)
                r = store_check_replaceable(store, record->name, reterr);
        if (r < 0)
                return r;
        r = record_encode(record, ret);
        /* Else the next start could not read it. */
        if (r >= 0 && secret_size(*ret) > RECORD_SIZE_MAX)
                return store_failure(store, reterr, -EFBIG, "write", *ret_file);
        return r;
}

int store_save(Store *store, const Record *record, char **reterr)
{
        _cleanup_secret_ Secret *content = NULL;
        _cleanup_free_ char *file = NULL;
        int r;

        r = store_encode(store, record, &file, &content, reterr);
        if (r < 0)
                return r;
        r = file_replace(store->folder, file, secret_data(content), secret_size(content), 0600, 0);
        return r < 0 ? store_failure(store, reterr, r, "write", file) : 0;
}

/* Makes TEMP with the content (NULL: empty), room for RESERVED bytes, and synced. */
static int store_make_temp(Store *store, const char *temp, const Secret *content, uint64_t reserved)
{
        _cleanup_(file_closep) File *file = NULL;
        int r;

        r = file_open_temp(store->folder, temp, 0600, &file);
        if (r >= 0 && content)
                r = file_write(file, 0, secret_data(content), secret_size(content));
        if (r >= 0 && reserved > 0)
                r = file_reserve(file, reserved);
        return r < 0 ? r : file_sync(file);
}

/* The journal's name comes first: a journal without its intent is nothing, an intent without its journal could lose
 * the answer. */
static int store_publish(
        Store *store, const char *journal_temp, const char *journal, const char *record_temp, const char *record)
{
        _cleanup_(file_closep) File *old = NULL;
        int r = file_open(store->folder, journal, 0, 0, &old);

        if (r < 0 && r != -ENOENT)
                return r;
        /* The journal that is replaced may hold an answer still, whose record could not be saved when it came. Only
         * once the record is there for sure may it go. */
        if (r >= 0) {
                r = folder_rename(store->folder, record_temp, record);
                if (r >= 0)
                        r = folder_sync(store->folder);
                if (r >= 0)
                        r = folder_rename(store->folder, journal_temp, journal);
                return r < 0 ? r : folder_sync(store->folder);
        }
        r = folder_rename(store->folder, journal_temp, journal);
        if (r < 0)
                return r;
        r = folder_rename(store->folder, record_temp, record);
        if (r < 0)
                (void)folder_remove(store->folder, journal);
        return r < 0 ? r : folder_sync(store->folder);
}

/* What is kept in a folder that nobody finds any more is not kept: its file system may have been unmounted lazily, or
 * the folder moved away. The lock tells, as it is ours alone. */
static int store_check_place(Store *store, char **reterr)
{
        _cleanup_(folder_freep) Folder *folder = NULL;
        _cleanup_(file_closep) File *lock = NULL;
        _cleanup_free_ char *why = NULL;
        FileInfo ours, there;
        int r;

        if (!store->lock)
                return 0;
        r = folder_open(store->disk, store->state_dir, FOLDER_TRUSTED, &folder, &why);
        if (r < 0 && r != -ENOENT) {
                if (reterr)
                        *reterr = take_ptr(why);
                return r;
        }
        if (r >= 0)
                r = file_open(folder, LOCK_NAME, 0, 0, &lock);
        if (r >= 0)
                r = file_info(lock, &there);
        if (r >= 0)
                r = file_info(store->lock, &ours);
        if (r < 0 && r != -ENOENT)
                return store_failure(store, reterr, r, "look at", LOCK_NAME);
        if (r >= 0 && ours.device == there.device && ours.inode == there.inode)
                return 0;
        if (reterr &&
                asprintf(reterr,
                        "'%s' is not the folder any more that the agent keeps its state in: it was unmounted or "
                        "moved away; put it back, or restart the agent",
                        store->state_dir) < 0)
                *reterr = NULL;
        return -ESTALE;
}

int store_prepare(Store *store, const Record *record, char **reterr)
{
        _cleanup_free_ char *file = NULL, *journal = NULL, *temp = NULL, *journal_temp = NULL;
        _cleanup_secret_ Secret *content = NULL;
        int r;

        r = store_check_place(store, reterr);
        if (r >= 0)
                r = store_encode(store, record, &file, &content, reterr);
        if (r >= 0)
                r = store_file_name(store, record->name, JOURNAL_SUFFIX, &journal, reterr);
        if (r < 0)
                return r;
        if (file_temp_name(file, &temp) < 0 || file_temp_name(journal, &journal_temp) < 0)
                return -ENOMEM;

        r = store_make_temp(store, journal_temp, NULL, ANSWER_SIZE_MAX);
        if (r < 0) {
                (void)folder_remove(store->folder, journal_temp);
                return store_failure(store, reterr, r, "reserve", journal);
        }
        r = store_make_temp(store, temp, content, 0);
        if (r >= 0)
                r = store_publish(store, journal_temp, journal, temp, file);
        if (r < 0) {
                (void)folder_remove(store->folder, journal_temp);
                (void)folder_remove(store->folder, temp);
                return store_failure(store, reterr, r, "write", file);
        }
        return 0;
}

/* Removes NAME's file of a kind, where it is. */
static int store_remove(Store *store, const char *name, const char *suffix, char **reterr)
{
        _cleanup_free_ char *file = NULL;
        int r;

        r = store_file_name(store, name, suffix, &file, reterr);
        if (r < 0)
                return r;
        r = folder_remove(store->folder, file);
        return r < 0 && r != -ENOENT ? store_failure(store, reterr, r, "remove", file) : 0;
}

int store_forget(Store *store, const char *name, char **reterr)
{
        char **node;
        int r;

        r = store_remove(store, name, RECORD_SUFFIX, reterr);
        if (r >= 0)
                r = store_remove(store, name, JOURNAL_SUFFIX, reterr);
        if (r < 0)
                return r;
        r = folder_sync(store->folder);
        if (r < 0)
                return store_failure(store, reterr, r, "sync", NULL);
        node = tfind(name, &store->readable, compare_names);
        if (node) {
                char *copy = *node;

                (void)tdelete(name, &store->readable, compare_names);
                free(copy);
        }
        return 0;
}

/* Opens the reserved journal. A lost one is made again without a reserve: better than no try. */
static int store_open_journal(Store *store, const char *journal, bool *ret_made, File **ret)
{
        int r;

        *ret_made = false;
        r = file_open(store->folder, journal, FILE_WRITE, 0, ret);
        if (r == -ENOENT) {
                *ret_made = true;
                r = file_open(store->folder, journal, FILE_NEW | FILE_WRITE, 0600, ret);
        }
        return r;
}

int store_journal(Store *store, const char *name, const Answer *answer, char **reterr)
{
        _cleanup_secret_ Secret *content = NULL;
        _cleanup_(file_closep) File *file = NULL;
        _cleanup_free_ char *journal = NULL;
        char buffer[ANSWER_SIZE_MAX] = "";
        bool made;
        int r;

        r = store_file_name(store, name, JOURNAL_SUFFIX, &journal, reterr);
        if (r >= 0)
                r = answer_encode(answer, &content);
        if (r < 0)
                return r;
        r = store_open_journal(store, journal, &made, &file);
        if (r >= 0) {
                /* All of the reserved bytes, in one write: nothing of an older answer stays behind the new one. */
                memcpy(buffer, secret_data(content), secret_size(content));
                r = file_write(file, 0, buffer, sizeof(buffer));
                explicit_bzero(buffer, sizeof(buffer));
        }
        if (r >= 0)
                r = file_sync(file);
        if (r >= 0 && made)
                r = folder_sync(store->folder);
        return r < 0 ? store_failure(store, reterr, r, "write", journal) : 0;
}

int store_journal_load(Store *store, const char *name, Answer *ret, char **reterr)
{
        _cleanup_secret_ Secret *content = NULL;
        _cleanup_(file_closep) File *file = NULL;
        _cleanup_free_ char *journal = NULL;
        int r;

        r = store_file_name(store, name, JOURNAL_SUFFIX, &journal, reterr);
        if (r < 0)
                return r;
        r = file_open(store->folder, journal, 0, 0, &file);
        if (r >= 0)
                r = file_read(file, ANSWER_SIZE_MAX, &content);
        if (r < 0 && r != -ENOENT && r != -EFBIG)
                return store_failure(store, reterr, r, "read", journal);
        if (r >= 0)
                r = answer_decode(secret_data(content), secret_size(content), ret);
        return r == -EBADMSG || r == -EFBIG ? -ENOENT : r;
}

void store_journal_tidy(Store *store, const char *name)
{
        if (store->lock)
                (void)store_journal_clear(store, name);
}

int store_journal_clear(Store *store, const char *name)
{
        return store_remove(store, name, JOURNAL_SUFFIX, NULL);
}
