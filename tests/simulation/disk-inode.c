/* What a file holds: the bytes that all see, and those that the disk has for sure. */

#include <string.h>

#include "tests/simulation/disk-parts.h"
#include "tests/simulation/must.h"

/* After so long the kernel has written back what nobody synced. */
#define WRITE_BACK_USEC (30 * USEC_PER_SEC)

/* What tears: smaller than any sector, to be on the safe side. */
#define BLOCK_BYTES 64

static uint64_t world_usec(const SimDisk *disk)
{
        return *disk->clock->world_usec;
}

Inode *inode_new(SimDisk *disk, mode_t mode)
{
        Inode *inode = must(calloc(1, sizeof(*inode)));

        inode->number = ++disk->next_inode;
        inode->mode = mode;
        inode->data = must(calloc(1, 1));
        inode->mtime_nsec = sim_clock_now(disk->clock).realtime_usec / 4000 * 4000 * 1000;
        return inode;
}

Inode *inode_ref(Inode *inode)
{
        inode->refs++;
        return inode;
}

void inode_unref(Inode *inode)
{
        if (!inode || --inode->refs > 0)
                return;
        free(inode->data);
        free(inode->synced);
        free(inode);
}

void inode_soil(SimDisk *disk, Inode *inode)
{
        disk->changes++;
        /* Of the kernel's clock, which lags by a tick. */
        inode->mtime_nsec = sim_clock_now(disk->clock).realtime_usec / 4000 * 4000 * 1000;
        /* What was written back before is safe; what comes now is not. */
        if (inode->dirty && sim_disk_written_back(disk, inode->dirty_usec))
                inode_settle(inode);
        if (inode->dirty)
                return;
        inode->dirty = true;
        inode->dirty_usec = world_usec(disk);
        inode->synced = must(malloc(inode->size + 1));
        memcpy(inode->synced, inode->data, inode->size);
        inode->synced_size = inode->size;
}

void inode_settle(Inode *inode)
{
        inode->dirty = false;
        free(inode->synced);
        inode->synced = NULL;
        inode->synced_size = 0;
}

void inode_resize(Inode *inode, size_t size)
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

void inode_write(Inode *inode, uint64_t offset, const void *data, size_t size)
{
        if (offset + size > inode->size)
                inode_resize(inode, (size_t)offset + size);
        memcpy(inode->data + offset, data, size);
}

bool sim_disk_written_back(const SimDisk *disk, uint64_t since_usec)
{
        return since_usec + WRITE_BACK_USEC < world_usec(disk);
}

/* The content that the disk has for sure. */
const char *inode_durable(const SimDisk *disk, const Inode *inode, size_t *ret_size)
{
        if (!inode->dirty || sim_disk_written_back(disk, inode->dirty_usec)) {
                *ret_size = inode->size;
                return inode->data;
        }
        *ret_size = inode->synced_size;
        return inode->synced;
}
void inode_tear(const SimDisk *disk, Inode *inode)
{
        uint64_t way = random_below(disk->random, 4);

        if (!inode->dirty)
                return;
        if (sim_disk_written_back(disk, inode->dirty_usec) || way == 0) {
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
