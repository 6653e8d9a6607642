/* The names in a folder: those that all see, those that the disk has for sure, and the changes in between. */

#include <stdio.h>
#include <string.h>

#include "tests/simulation/disk-parts.h"
#include "tests/simulation/must.h"

Name *names_find(const Names *names, const char *text)
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

void names_clear(Names *names)
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

void directory_drop_ops(Directory *directory, size_t n)
{
        if (n == 0)
                return;
        for (size_t i = 0; i < n; i++)
                inode_unref(directory->ops[i].inode);
        directory->n_ops -= n;
        memmove(directory->ops, directory->ops + n, directory->n_ops * sizeof(*directory->ops));
}

/* Names that are old enough have reached the disk without anybody's help. */
void directory_write_back(const SimDisk *disk, Directory *directory)
{
        size_t n = 0;

        while (n < directory->n_ops && sim_disk_written_back(disk, directory->ops[n].at_usec))
                names_apply(&directory->durable, &directory->ops[n++]);
        directory_drop_ops(directory, n);
}

void directory_do(
        SimDisk *disk, Directory *directory, NameOpKind kind, const char *from, const char *to, Inode *inode)
{
        directory_write_back(disk, directory);
        if (directory->n_ops == directory->allocated) {
                directory->allocated = directory->allocated ? directory->allocated * 2 : 8;
                directory->ops = must(realloc(directory->ops, directory->allocated * sizeof(*directory->ops)));
        }
        NameOp *op = &directory->ops[directory->n_ops++];
        *op = (NameOp){.kind = kind, .inode = inode_ref(inode), .at_usec = *disk->clock->world_usec};
        (void)snprintf(op->from, sizeof(op->from), "%s", from);
        (void)snprintf(op->to, sizeof(op->to), "%s", to);
        names_apply(&directory->visible, op);
        disk->changes++;
}

void directory_sync(SimDisk *disk, Directory *directory)
{
        names_copy(&directory->durable, &directory->visible);
        directory_drop_ops(directory, directory->n_ops);
        disk->syncs++;
}
void directory_tear(const SimDisk *disk, Directory *directory)
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
