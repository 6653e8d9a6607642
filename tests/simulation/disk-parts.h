#pragma once

/* What the files of the disk share: inodes, names, and changes of names. */

#include <sys/types.h>

#include "tests/simulation/disk.h"

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

/* Whether what was changed SINCE then has reached the disk without anybody's help. */
bool sim_disk_written_back(const SimDisk *disk, uint64_t since_usec);

/* NULL: the agent has no such folder. */
Directory *sim_disk_directory(const SimDisk *disk, const char *path);

/* Notes that config.toml's content now is a whole one. */
void sim_disk_history_note(SimDisk *disk);

/* ---- disk-inode.c ---- */

Inode *inode_new(SimDisk *disk, mode_t mode);
Inode *inode_ref(Inode *inode);
void inode_unref(Inode *inode);

/* Before a change: what the disk has for sure is kept aside. */
void inode_soil(SimDisk *disk, Inode *inode);

/* It is on the disk. */
void inode_settle(Inode *inode);
void inode_resize(Inode *inode, size_t size);
void inode_write(Inode *inode, uint64_t offset, const void *data, size_t size);

/* The content that the disk has for sure; borrowed. */
const char *inode_durable(const SimDisk *disk, const Inode *inode, size_t *ret_size);

/* What the power cut leaves of it. */
void inode_tear(const SimDisk *disk, Inode *inode);

/* ---- disk-names.c ---- */

Name *names_find(const Names *names, const char *text);
void names_clear(Names *names);

void directory_do(
        SimDisk *disk, Directory *directory, NameOpKind kind, const char *from, const char *to, Inode *inode);
void directory_sync(SimDisk *disk, Directory *directory);

/* Names that are old enough have reached the disk without anybody's help. */
void directory_write_back(const SimDisk *disk, Directory *directory);
void directory_drop_ops(Directory *directory, size_t n);

/* What the power cut leaves of it. */
void directory_tear(const SimDisk *disk, Directory *directory);
