/* For those who hold the disk in hand: what others than the agent do to it, what power does, and what stands on it.
 */

#include <stdio.h>
#include <string.h>

#include "agent/core/record.h"
#include "tests/simulation/disk-parts.h"
#include "tests/simulation/must.h"

Directory *sim_disk_directory(const SimDisk *disk, const char *path)
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

void sim_disk_history_note(SimDisk *disk)
{
        if (disk->n_history == HISTORY_MAX)
                memmove(disk->history, disk->history + 1, --disk->n_history * sizeof(*disk->history));
        disk->history[disk->n_history++] = config_hash(disk);
}

void sim_disk_history_restart(SimDisk *disk)
{
        disk->n_history = 0;
        sim_disk_history_note(disk);
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
        return disk->foreign_dirty && !sim_disk_written_back(disk, disk->foreign_dirty_usec);
}
const char *sim_disk_peek(const SimDisk *disk, const char *folder, const char *name, size_t *ret_size)
{
        const Directory *directory = sim_disk_directory(disk, folder);
        const Name *found = directory ? names_find(&directory->visible, name) : NULL;

        *ret_size = found ? found->inode->size : 0;
        return found ? found->inode->data : NULL;
}

uint64_t sim_disk_mtime(const SimDisk *disk, const char *folder, const char *name)
{
        const Directory *directory = sim_disk_directory(disk, folder);
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
                disk->foreign_dirty_usec = *disk->clock->world_usec;
        disk->foreign_dirty = true;
        sim_disk_history_note(disk);
}

void sim_disk_poke(SimDisk *disk, const char *folder, const char *name, const void *data, size_t size)
{
        Directory *directory = sim_disk_directory(disk, folder);
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
        Directory *directory = sim_disk_directory(disk, folder);
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

                        /* What has no name of its own yet is thrown away by the next start. */
                        if (strstr(names->items[k].text, ".tmp"))
                                continue;

                        if (size > 0 && memmem(data, size, needle, strlen(needle)) &&
                                (!journal || journal_holds(data, size, needle)))
                                return true;
                }
        }
        return false;
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
