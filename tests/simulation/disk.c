#include "tests/simulation/disk.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/core/record.h"
#include "tests/simulation/must.h"

/* After so long the kernel has written back what nobody synced. */
#define WRITE_BACK_USEC (30 * USEC_PER_SEC)

/* What tears: smaller than any sector, to be on the safe side. */
#define BLOCK_BYTES 64

/* 2026-01-01T00:00:00Z */
#define EPOCH_USEC (UINT64_C(1767225600) * USEC_PER_SEC)

struct Inode {
        unsigned refs;
        uint64_t number;
        char *data; /* NUL-terminated beyond size */
        size_t size;
        size_t allocated;
        size_t reserved;
        char *synced; /* only while dirty: what the disk has for sure */
        size_t synced_size;
        bool dirty;
        uint64_t dirty_usec;
        uint64_t mtime_nsec;
        mode_t mode;
};

typedef struct SimFolder {
        Folder folder;
        Directory *directory;
} SimFolder;

typedef struct SimFile {
        File file;
        Inode *inode;
        bool journal;
        bool config;
        bool lock_held;
} SimFile;

Now sim_clock_now(const SimClock *clock)
{
        return (Now){
                .realtime_usec = (uint64_t)((int64_t)(EPOCH_USEC + *clock->world_usec) + clock->offset_usec),
                .boottime_usec = *clock->world_usec - clock->booted_usec + USEC_PER_SEC,
        };
}

static uint64_t world_usec(const SimDisk *disk)
{
        return *disk->clock->world_usec;
}

/* ---- inodes ---- */

static Inode *inode_new(SimDisk *disk, mode_t mode)
{
        Inode *inode = must(calloc(1, sizeof(*inode)));

        inode->number = ++disk->next_inode;
        inode->mode = mode;
        inode->data = must(calloc(1, 1));
        inode->mtime_nsec = sim_clock_now(disk->clock).realtime_usec / 4000 * 4000 * 1000;
        return inode;
}

static Inode *inode_ref(Inode *inode)
{
        inode->refs++;
        return inode;
}

static void inode_unref(Inode *inode)
{
        if (!inode || --inode->refs > 0)
                return;
        free(inode->data);
        free(inode->synced);
        free(inode);
}

static void inode_soil(SimDisk *disk, Inode *inode)
{
        disk->changes++;
        /* Of the kernel's clock, which lags by a tick. */
        inode->mtime_nsec = sim_clock_now(disk->clock).realtime_usec / 4000 * 4000 * 1000;
        if (inode->dirty)
                return;
        inode->dirty = true;
        inode->dirty_usec = world_usec(disk);
        inode->synced = must(malloc(inode->size + 1));
        memcpy(inode->synced, inode->data, inode->size);
        inode->synced_size = inode->size;
}

static void inode_settle(Inode *inode)
{
        inode->dirty = false;
        free(inode->synced);
        inode->synced = NULL;
        inode->synced_size = 0;
}

static void inode_resize(Inode *inode, size_t size)
{
        if (size + 1 > inode->allocated) {
                inode->allocated = size + 1;
                inode->data = must(realloc(inode->data, inode->allocated));
        }
        if (size > inode->size)
                memset(inode->data + inode->size, 0, size - inode->size);
        inode->size = size;
        inode->data[size] = 0;
}

static void inode_write(Inode *inode, uint64_t offset, const void *data, size_t size)
{
        if (offset + size > inode->size)
                inode_resize(inode, (size_t)offset + size);
        memcpy(inode->data + offset, data, size);
}

static bool written_back(const SimDisk *disk, uint64_t since_usec)
{
        return since_usec + WRITE_BACK_USEC < world_usec(disk);
}

/* The content that the disk has for sure. */
static const char *inode_durable(const SimDisk *disk, const Inode *inode, size_t *ret_size)
{
        if (!inode->dirty || written_back(disk, inode->dirty_usec)) {
                *ret_size = inode->size;
                return inode->data;
        }
        *ret_size = inode->synced_size;
        return inode->synced;
}

/* ---- names ---- */

static Name *names_find(const Names *names, const char *text)
{
        for (size_t i = 0; i < names->n; i++)
                if (strcmp(names->items[i].text, text) == 0)
                        return &names->items[i];
        return NULL;
}

static void names_remove(Names *names, const char *text)
{
        Name *name = names_find(names, text);

        if (!name)
                return;
        inode_unref(name->inode);
        *name = names->items[--names->n];
}

static void names_set(Names *names, const char *text, Inode *inode)
{
        (void)inode_ref(inode);
        names_remove(names, text);
        if (names->n == names->allocated) {
                names->allocated = names->allocated ? names->allocated * 2 : 8;
                names->items = must(realloc(names->items, names->allocated * sizeof(*names->items)));
        }
        Name *name = &names->items[names->n++];
        (void)snprintf(name->text, sizeof(name->text), "%s", text);
        name->inode = inode;
}

static void names_clear(Names *names)
{
        while (names->n > 0)
                inode_unref(names->items[--names->n].inode);
}

static void names_copy(Names *to, const Names *from)
{
        names_clear(to);
        for (size_t i = 0; i < from->n; i++)
                names_set(to, from->items[i].text, from->items[i].inode);
}

static void names_apply(Names *names, const NameOp *op)
{
        const Name *from;

        switch (op->kind) {
        case NAME_OP_LINK:
                names_set(names, op->to, op->inode);
                break;
        case NAME_OP_RENAME:
                names_set(names, op->to, op->inode);
                from = names_find(names, op->from);
                if (from && from->inode == op->inode)
                        names_remove(names, op->from);
                break;
        case NAME_OP_REMOVE:
                from = names_find(names, op->to);
                if (from && from->inode == op->inode)
                        names_remove(names, op->to);
                break;
        }
}

static void directory_drop_ops(Directory *directory, size_t n)
{
        if (n == 0)
                return;
        for (size_t i = 0; i < n; i++)
                inode_unref(directory->ops[i].inode);
        directory->n_ops -= n;
        memmove(directory->ops, directory->ops + n, directory->n_ops * sizeof(*directory->ops));
}

/* Names that are old enough have reached the disk without anybody's help. */
static void directory_write_back(const SimDisk *disk, Directory *directory)
{
        size_t n = 0;

        while (n < directory->n_ops && written_back(disk, directory->ops[n].at_usec))
                names_apply(&directory->durable, &directory->ops[n++]);
        directory_drop_ops(directory, n);
}

static void directory_do(
        SimDisk *disk, Directory *directory, NameOpKind kind, const char *from, const char *to, Inode *inode)
{
        directory_write_back(disk, directory);
        if (directory->n_ops == directory->allocated) {
                directory->allocated = directory->allocated ? directory->allocated * 2 : 8;
                directory->ops = must(realloc(directory->ops, directory->allocated * sizeof(*directory->ops)));
        }
        NameOp *op = &directory->ops[directory->n_ops++];
        *op = (NameOp){.kind = kind, .inode = inode_ref(inode), .at_usec = world_usec(disk)};
        (void)snprintf(op->from, sizeof(op->from), "%s", from);
        (void)snprintf(op->to, sizeof(op->to), "%s", to);
        names_apply(&directory->visible, op);
        disk->changes++;
}

static void directory_sync(SimDisk *disk, Directory *directory)
{
        names_copy(&directory->durable, &directory->visible);
        directory_drop_ops(directory, directory->n_ops);
        disk->syncs++;
}

static Directory *find_directory(const SimDisk *disk, const char *path)
{
        for (size_t i = 0; i < ELEMENTS(disk->directories); i++)
                if (strcmp(disk->directories[i].path, path) == 0)
                        return (Directory *)&disk->directories[i];
        return NULL;
}

/* ---- config.toml's history ---- */

static uint64_t hash_bytes(const char *data, size_t size)
{
        uint64_t hash = UINT64_C(0xcbf29ce484222325);

        for (size_t i = 0; i < size; i++)
                hash = (hash ^ (unsigned char)data[i]) * UINT64_C(0x100000001b3);
        return hash;
}

static uint64_t config_hash(const SimDisk *disk)
{
        size_t size;
        const char *data = sim_disk_peek(disk, CONFIG_FOLDER, CONFIG_TOML_NAME, &size);

        return data ? hash_bytes(data, size) : 0;
}

static void history_note(SimDisk *disk)
{
        if (disk->n_history == HISTORY_MAX)
                memmove(disk->history, disk->history + 1, --disk->n_history * sizeof(*disk->history));
        disk->history[disk->n_history++] = config_hash(disk);
}

void sim_disk_history_restart(SimDisk *disk)
{
        disk->n_history = 0;
        history_note(disk);
}

bool sim_disk_config_is_whole(const SimDisk *disk)
{
        uint64_t hash = config_hash(disk);

        for (size_t i = 0; i < disk->n_history; i++)
                if (disk->history[i] == hash)
                        return true;
        return false;
}

bool sim_disk_config_is_foreign(const SimDisk *disk)
{
        return disk->foreign_dirty && !written_back(disk, disk->foreign_dirty_usec);
}

/* ---- the primitives ---- */

static SimDisk *of(Disk *disk)
{
        return (SimDisk *)disk;
}

/* Counts a primitive; true: it is not done any more. */
static bool over(SimDisk *disk)
{
        if (!disk->dead && disk->primitives++ >= disk->cut_at)
                disk->dead = true;
        return disk->dead;
}

/* As over(), for primitives that change the disk. */
static int refused(SimDisk *disk)
{
        if (over(disk))
                return -EIO;
        return disk->read_only ? -EROFS : 0;
}

static int sim_folder_open(Disk *d, const char *path, FolderFlags flags, Folder **ret, char **reterr)
{
        SimDisk *disk = of(d);
        Directory *directory = find_directory(disk, path);

        if (over(disk))
                return -EIO;
        if (!directory)
                return -ENOENT;
        SimFolder *folder = must(calloc(1, sizeof(*folder)));
        folder->folder.disk = d;
        folder->folder.path = must(strdup(path));
        folder->directory = directory;
        *ret = &folder->folder;
        return 0;
}

static int sim_folder_open_for(
        Disk *d, const char *path, FolderFlags flags, Folder **ret, char **ret_name, char **reterr)
{
        const char *slash = strrchr(path, '/');
        char folder[256];
        int r;

        (void)snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path), path);
        r = sim_folder_open(d, folder, flags, ret, reterr);
        if (r >= 0)
                *ret_name = must(strdup(slash + 1));
        return r;
}

static Folder *sim_folder_free(Folder *folder)
{
        free(folder->path);
        free(folder);
        return NULL;
}

static int sim_folder_sync(Folder *folder)
{
        SimDisk *disk = of(folder->disk);
        Directory *directory = ((SimFolder *)folder)->directory;

        if (over(disk) || disk->sync_fails)
                return -EIO;
        if (!disk->skip_folder_sync)
                directory_sync(disk, directory);
        /* What the agent may count on from here. */
        const Name *config = names_find(&directory->visible, CONFIG_TOML_NAME);
        if (strcmp(directory->path, CONFIG_FOLDER) != 0 || !config)
                return 0;
        if (!config->inode->dirty || disk->skip_file_sync)
                disk->foreign_dirty = false;
        if (!sim_disk_config_is_foreign(disk))
                sim_disk_history_restart(disk);
        return 0;
}

static int sim_folder_list(Folder *folder, char ***ret_names)
{
        const Names *names = &((SimFolder *)folder)->directory->visible;

        if (over(of(folder->disk)))
                return -EIO;
        char **list = must(calloc(names->n + 1, sizeof(*list)));
        for (size_t i = 0; i < names->n; i++)
                list[i] = must(strdup(names->items[i].text));
        *ret_names = list;
        return 0;
}

static int sim_file_open(Folder *folder, const char *name, FileFlags flags, mode_t mode, File **ret)
{
        SimDisk *disk = of(folder->disk);
        Directory *directory = ((SimFolder *)folder)->directory;
        const Name *found = names_find(&directory->visible, name);
        int r = flags & (FILE_NEW | FILE_WRITE) ? refused(disk) : over(disk) ? -EIO : 0;

        if (r < 0)
                return r;
        if (flags & FILE_NEW) {
                if (found)
                        return -EEXIST;
                directory_do(disk, directory, NAME_OP_LINK, "", name, inode_new(disk, mode));
                found = names_find(&directory->visible, name);
        }
        if (!found)
                return -ENOENT;
        SimFile *file = must(calloc(1, sizeof(*file)));
        file->file.disk = folder->disk;
        file->inode = inode_ref(found->inode);
        file->journal = strstr(name, ".journal") != NULL;
        file->config = strcmp(name, CONFIG_TOML_NAME) == 0;
        *ret = &file->file;
        return 0;
}

static int sim_file_info(File *file, FileInfo *ret)
{
        const SimFile *sim = (SimFile *)file;

        if (over(of(file->disk)))
                return -EIO;
        *ret = (FileInfo){
                .device = 1,
                .inode = sim->inode->number,
                .size = sim->inode->size,
                .mtime_nsec = sim->inode->mtime_nsec,
                .mode = S_IFREG | sim->inode->mode,
                .mounted = sim->config && of(file->disk)->mounted,
        };
        return 0;
}

static int sim_file_read(File *file, size_t max, Secret **ret)
{
        const Inode *inode = ((SimFile *)file)->inode;

        if (over(of(file->disk)))
                return -EIO;
        if (inode->size > max)
                return -EFBIG;
        return secret_new(inode->data, inode->size, ret);
}

static int sim_file_write(File *file, uint64_t offset, const void *data, size_t size)
{
        SimDisk *disk = of(file->disk);
        Inode *inode = ((SimFile *)file)->inode;
        int r = refused(disk);

        if (r < 0)
                return r;
        size_t room = inode->size > inode->reserved ? inode->size : inode->reserved;
        if (disk->full && offset + size > room)
                return -ENOSPC;
        inode_soil(disk, inode);
        inode_write(inode, offset, data, size);
        return 0;
}

static int sim_file_truncate(File *file, uint64_t size)
{
        SimDisk *disk = of(file->disk);
        Inode *inode = ((SimFile *)file)->inode;
        int r = refused(disk);

        if (r < 0 || size == inode->size)
                return r;
        inode_soil(disk, inode);
        inode_resize(inode, (size_t)size);
        return 0;
}

static int sim_file_allocate(File *file, uint64_t size)
{
        SimDisk *disk = of(file->disk);
        Inode *inode = ((SimFile *)file)->inode;
        int r = refused(disk);

        if (r < 0)
                return r;
        if (disk->allocate_missing)
                return -EOPNOTSUPP;
        size_t room = inode->size > inode->reserved ? inode->size : inode->reserved;
        if (disk->full && size > room)
                return -ENOSPC;
        if (size > inode->reserved)
                inode->reserved = (size_t)size;
        return 0;
}

static int sim_file_set_owner(File *file, uint32_t uid, uint32_t gid)
{
        return refused(of(file->disk));
}

static int sim_file_set_mode(File *file, mode_t mode)
{
        int r = refused(of(file->disk));

        if (r >= 0)
                ((SimFile *)file)->inode->mode = mode;
        return r;
}

static int sim_file_set_mtime(File *file, uint64_t mtime_nsec)
{
        int r = refused(of(file->disk));

        if (r >= 0)
                ((SimFile *)file)->inode->mtime_nsec = mtime_nsec;
        return r;
}

static int sim_file_sync(File *file)
{
        SimDisk *disk = of(file->disk);
        const SimFile *sim = (SimFile *)file;

        if (over(disk) || disk->sync_fails)
                return -EIO;
        if (!sim->journal)
                disk->mutating_other = true;
        if (disk->skip_file_sync)
                return 0;
        inode_settle(sim->inode);
        disk->syncs++;
        if (sim->config) {
                disk->foreign_dirty = false;
                sim_disk_history_restart(disk);
        }
        return 0;
}

static int sim_file_lock(File *file)
{
        SimDisk *disk = of(file->disk);

        if (over(disk))
                return -EIO;
        if (disk->locked)
                return -EBUSY;
        disk->locked = ((SimFile *)file)->lock_held = true;
        return 0;
}

static File *sim_file_close(File *file)
{
        SimFile *sim = (SimFile *)file;

        if (sim->lock_held)
                of(file->disk)->locked = false;
        inode_unref(sim->inode);
        free(sim);
        return NULL;
}

/* The deliberate fault: the old file is opened, cut and written, as most programs do it. */
static void rename_by_writing(SimDisk *disk, Directory *directory, const char *from, Inode *source, Inode *target)
{
        if (target->dirty)
                inode_settle(target);
        inode_soil(disk, target);
        inode_resize(target, 0);
        if (!over(disk)) {
                inode_write(target, 0, source->data, source->size);
                target->mtime_nsec = source->mtime_nsec;
        }
        directory_do(disk, directory, NAME_OP_REMOVE, "", from, source);
}

static int sim_rename(Folder *folder, const char *from, const char *to)
{
        SimDisk *disk = of(folder->disk);
        Directory *directory = ((SimFolder *)folder)->directory;
        int r = refused(disk);

        if (r < 0)
                return r;
        const Name *source = names_find(&directory->visible, from);
        const Name *target = names_find(&directory->visible, to);
        bool config = strcmp(directory->path, CONFIG_FOLDER) == 0 && strcmp(to, CONFIG_TOML_NAME) == 0;
        if (!source)
                return -ENOENT;
        if (config && disk->mounted)
                return -EBUSY;
        if (config && target && disk->truncate_rename)
                rename_by_writing(disk, directory, from, source->inode, target->inode);
        else
                directory_do(disk, directory, NAME_OP_RENAME, from, to, source->inode);
        if (config && !disk->dead)
                history_note(disk);
        return 0;
}

static int sim_remove(Folder *folder, const char *name)
{
        SimDisk *disk = of(folder->disk);
        Directory *directory = ((SimFolder *)folder)->directory;
        int r = refused(disk);

        if (r < 0)
                return r;
        const Name *found = names_find(&directory->visible, name);
        if (!found)
                return -ENOENT;
        directory_do(disk, directory, NAME_OP_REMOVE, "", name, found->inode);
        return 0;
}

static void sim_now(Disk *disk, Now *ret)
{
        *ret = sim_clock_now(of(disk)->clock);
}

static void sim_random(Disk *disk, void *buffer, size_t size)
{
        unsigned char *p = buffer;

        for (size_t i = 0; i < size; i++)
                p[i] = (unsigned char)random_below(of(disk)->random, 256);
}

static const DiskOps sim_ops = {
        .folder_open = sim_folder_open,
        .folder_open_for = sim_folder_open_for,
        .folder_free = sim_folder_free,
        .folder_sync = sim_folder_sync,
        .folder_list = sim_folder_list,
        .file_open = sim_file_open,
        .file_info = sim_file_info,
        .file_read = sim_file_read,
        .file_write = sim_file_write,
        .file_truncate = sim_file_truncate,
        .file_allocate = sim_file_allocate,
        .file_set_owner = sim_file_set_owner,
        .file_set_mode = sim_file_set_mode,
        .file_set_mtime = sim_file_set_mtime,
        .file_sync = sim_file_sync,
        .file_lock = sim_file_lock,
        .file_close = sim_file_close,
        .rename = sim_rename,
        .remove = sim_remove,
        .now = sim_now,
        .random = sim_random,
};

/* ---- for those who hold the disk in hand ---- */

void sim_disk_init(SimDisk *disk, const SimClock *clock, Random *random)
{
        *disk = (SimDisk){
                .disk.ops = &sim_ops,
                .directories = {{.path = CONFIG_FOLDER}, {.path = STATE_FOLDER}},
                .clock = clock,
                .random = random,
                .cut_at = UINT64_MAX,
        };
        sim_disk_history_restart(disk);
}

void sim_disk_done(SimDisk *disk)
{
        for (size_t i = 0; i < ELEMENTS(disk->directories); i++) {
                Directory *directory = &disk->directories[i];

                directory_drop_ops(directory, directory->n_ops);
                names_clear(&directory->visible);
                names_clear(&directory->durable);
                free(directory->visible.items);
                free(directory->durable.items);
                free(directory->ops);
        }
}

const char *sim_disk_peek(const SimDisk *disk, const char *folder, const char *name, size_t *ret_size)
{
        const Directory *directory = find_directory(disk, folder);
        const Name *found = directory ? names_find(&directory->visible, name) : NULL;

        *ret_size = found ? found->inode->size : 0;
        return found ? found->inode->data : NULL;
}

uint64_t sim_disk_mtime(const SimDisk *disk, const char *folder, const char *name)
{
        const Directory *directory = find_directory(disk, folder);
        const Name *found = directory ? names_find(&directory->visible, name) : NULL;

        return found ? found->inode->mtime_nsec : 0;
}

static bool is_config(const char *folder, const char *name)
{
        return strcmp(folder, CONFIG_FOLDER) == 0 && strcmp(name, CONFIG_TOML_NAME) == 0;
}

static void note_foreign(SimDisk *disk, const char *folder, const char *name)
{
        if (!is_config(folder, name))
                return;
        if (!sim_disk_config_is_foreign(disk))
                disk->foreign_dirty_usec = world_usec(disk);
        disk->foreign_dirty = true;
        history_note(disk);
}

void sim_disk_poke(SimDisk *disk, const char *folder, const char *name, const void *data, size_t size)
{
        Directory *directory = find_directory(disk, folder);
        const Name *found = names_find(&directory->visible, name);

        if (!found) {
                directory_do(disk, directory, NAME_OP_LINK, "", name, inode_new(disk, 0600));
                found = names_find(&directory->visible, name);
        }
        inode_soil(disk, found->inode);
        inode_resize(found->inode, 0);
        inode_write(found->inode, 0, data, size);
        note_foreign(disk, folder, name);
}

void sim_disk_unlink(SimDisk *disk, const char *folder, const char *name)
{
        Directory *directory = find_directory(disk, folder);
        const Name *found = names_find(&directory->visible, name);

        if (!found)
                return;
        directory_do(disk, directory, NAME_OP_REMOVE, "", name, found->inode);
        note_foreign(disk, folder, name);
}

/* What tore a journal has lost its answer, though bytes of the token may stand there still. */
static bool journal_holds(const char *data, size_t size, const char *needle)
{
        _cleanup_(answer_done) Answer answer = {0};

        return answer_decode(data, size, &answer) >= 0 && strcmp(secret_data(answer.token), needle) == 0;
}

bool sim_disk_holds(const SimDisk *disk, const char *needle, bool durable)
{
        for (size_t i = 0; i < ELEMENTS(disk->directories); i++) {
                if (durable)
                        directory_write_back(disk, (Directory *)&disk->directories[i]);
                const Names *names = durable ? &disk->directories[i].durable : &disk->directories[i].visible;

                for (size_t k = 0; k < names->n; k++) {
                        const Inode *inode = names->items[k].inode;
                        size_t size = inode->size;
                        const char *data = durable ? inode_durable(disk, inode, &size) : inode->data;

                        bool journal = strstr(names->items[k].text, ".journal") != NULL;

                        if (size > 0 && memmem(data, size, needle, strlen(needle)) &&
                                (!journal || journal_holds(data, size, needle)))
                                return true;
                }
        }
        return false;
}

static void inode_tear(const SimDisk *disk, Inode *inode)
{
        uint64_t way = random_below(disk->random, 4);

        if (!inode->dirty)
                return;
        if (written_back(disk, inode->dirty_usec) || way == 0) {
                inode_settle(inode);
                return;
        }
        size_t new_size = inode->size, old_size = inode->synced_size;
        size_t size = way == 1 || random_below(disk->random, 2) ? old_size : new_size;
        char *content = must(calloc(size + 1, 1));
        for (size_t at = 0; at < size; at += BLOCK_BYTES) {
                size_t n = size - at < BLOCK_BYTES ? size - at : BLOCK_BYTES;
                bool fresh = way > 1 && random_below(disk->random, 2);
                const char *from = fresh ? inode->data : inode->synced;
                size_t limit = fresh ? new_size : old_size;

                if (at < limit)
                        memcpy(content + at, from + at, limit - at < n ? limit - at : n);
        }
        free(inode->data);
        inode->data = content;
        inode->size = size;
        inode->allocated = size + 1;
        inode_settle(inode);
}

static void directory_tear(const SimDisk *disk, Directory *directory)
{
        directory_write_back(disk, directory);
        uint64_t way = random_below(disk->random, 4);
        size_t keep = random_below(disk->random, directory->n_ops + 1);

        for (size_t i = 0; i < directory->n_ops; i++) {
                bool done = way == 0 ? false : way == 1 ? true : way == 2 ? i < keep : random_below(disk->random, 2);

                if (done)
                        names_apply(&directory->durable, &directory->ops[i]);
        }
        directory_drop_ops(directory, directory->n_ops);
        names_copy(&directory->visible, &directory->durable);
}

void sim_disk_power_cut(SimDisk *disk)
{
        for (size_t i = 0; i < ELEMENTS(disk->directories); i++) {
                Directory *directory = &disk->directories[i];

                directory_tear(disk, directory);
                for (size_t k = 0; k < directory->visible.n; k++)
                        inode_tear(disk, directory->visible.items[k].inode);
        }
        disk->dead = disk->locked = false;
        disk->cut_at = UINT64_MAX;
        disk->changes++;
}

void sim_disk_flush(SimDisk *disk)
{
        for (size_t i = 0; i < ELEMENTS(disk->directories); i++) {
                Directory *directory = &disk->directories[i];

                directory_sync(disk, directory);
                for (size_t k = 0; k < directory->visible.n; k++)
                        if (directory->visible.items[k].inode->dirty)
                                inode_settle(directory->visible.items[k].inode);
        }
        disk->foreign_dirty = false;
        sim_disk_history_restart(disk);
}

void sim_disk_clone(SimDisk *disk, const SimDisk *source)
{
        for (size_t i = 0; i < ELEMENTS(disk->directories); i++) {
                const Names *names = &source->directories[i].visible;

                for (size_t k = 0; k < names->n; k++)
                        sim_disk_poke(disk, disk->directories[i].path, names->items[k].text,
                                names->items[k].inode->data, names->items[k].inode->size);
        }
        disk->mounted = source->mounted;
        sim_disk_flush(disk);
}
