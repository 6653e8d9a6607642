/* The primitives of agent/base/disk.h on a disk that forgets. */

#include "tests/simulation/disk.h"

#include <string.h>
#include <sys/stat.h>

#include "tests/simulation/disk-parts.h"
#include "tests/simulation/must.h"

/* 2026-01-01T00:00:00Z */
#define EPOCH_USEC (UINT64_C(1767225600) * USEC_PER_SEC)

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
        Directory *directory = sim_disk_directory(disk, path);

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

/* Nothing here has any. */
static int sim_file_copy_attributes(File *file, File *from)
{
        return 0;
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
                sim_disk_history_note(disk);
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
        .file_copy_attributes = sim_file_copy_attributes,
        .file_set_mtime = sim_file_set_mtime,
        .file_sync = sim_file_sync,
        .file_lock = sim_file_lock,
        .file_close = sim_file_close,
        .rename = sim_rename,
        .remove = sim_remove,
        .now = sim_now,
        .random = sim_random,
};
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
