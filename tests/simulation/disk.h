#pragma once

/* A disk that forgets. Behind agent/base/disk.h it keeps what was synced; what was not it may lose, reorder or tear
 * when the power goes, and the power may go between any two primitives. It holds the two folders that the agent
 * works in. */

#include "agent/base/disk.h"
#include "agent/core/schedule.h"

#define CONFIG_FOLDER    "/etc/gitlab-runner"
#define STATE_FOLDER     "/var/lib/runner-registrar"
#define CONFIG_TOML_NAME "config.toml"

/* The clocks of one host. */
typedef struct SimClock {
        const uint64_t *world_usec; /* since the begin of the simulation */
        int64_t offset_usec;        /* of the host's idea of the date */
        uint64_t booted_usec;
} SimClock;

Now sim_clock_now(const SimClock *clock);

typedef struct Inode Inode;

typedef struct Name {
        char text[64];
        Inode *inode;
} Name;

typedef struct Names {
        Name *items;
        size_t n;
        size_t allocated;
} Names;

typedef enum NameOpKind {
        NAME_OP_LINK,
        NAME_OP_RENAME,
        NAME_OP_REMOVE,
} NameOpKind;

/* A change of names that no folder_sync() has made durable yet. */
typedef struct NameOp {
        NameOpKind kind;
        char from[64];
        char to[64];
        Inode *inode;
        uint64_t at_usec;
} NameOp;

typedef struct Directory {
        const char *path;
        Names visible;
        Names durable;
        NameOp *ops;
        size_t n_ops;
        size_t allocated;
} Directory;

#define HISTORY_MAX 64

typedef struct SimDisk {
        Disk disk;
        Directory directories[2];
        const SimClock *clock;
        Random *random;
        uint64_t next_inode;

        uint64_t primitives; /* how many were called */
        uint64_t cut_at;     /* the one at which all ends; UINT64_MAX: none */
        bool dead;           /* all has ended: every primitive fails and does nothing */

        bool full;
        bool read_only;
        bool sync_fails;
        bool allocate_missing; /* a file system without fallocate() */
        bool mounted;          /* config.toml is a bind mount */
        bool locked;

        /* Deliberate faults. */
        bool skip_file_sync;
        bool skip_folder_sync;
        bool truncate_rename; /* replaces by writing over */

        uint64_t changes; /* grows with every change of what is visible */
        uint64_t syncs;
        bool foreign_dirty;            /* somebody else's write to config.toml is not on the disk yet */
        uint64_t foreign_dirty_usec;   /* since when */
        uint64_t history[HISTORY_MAX]; /* hashes of the whole contents that config.toml had since it was durable */
        size_t n_history;
        bool mutating_other; /* since cleared: something but a journal was made durable */
} SimDisk;

void sim_disk_init(SimDisk *disk, const SimClock *clock, Random *random);
void sim_disk_done(SimDisk *disk);

/* The visible bytes of a file, NUL-terminated; NULL: there is none. Valid until the next change. */
const char *sim_disk_peek(const SimDisk *disk, const char *folder, const char *name, size_t *ret_size);
uint64_t sim_disk_mtime(const SimDisk *disk, const char *folder, const char *name);

/* What others than the agent do: write in place without any sync, or remove. */
void sim_disk_poke(SimDisk *disk, const char *folder, const char *name, const void *data, size_t size);
void sim_disk_unlink(SimDisk *disk, const char *folder, const char *name);

/* Whether NEEDLE stands in any file: visible, or such that it would survive a power cut now. */
bool sim_disk_holds(const SimDisk *disk, const char *needle, bool durable);

/* What a power cut leaves. Nothing may have a file open. */
void sim_disk_power_cut(SimDisk *disk);

/* An orderly end writes everything. */
void sim_disk_flush(SimDisk *disk);

/* An image of SOURCE, taken while it was quiet. */
void sim_disk_clone(SimDisk *disk, const SimDisk *source);

/* Whether config.toml is byte for byte one that it was since it was last known to be durable. */
bool sim_disk_config_is_whole(const SimDisk *disk);
void sim_disk_history_restart(SimDisk *disk);

/* Somebody changes config.toml in steps that need not look whole. */
bool sim_disk_config_is_foreign(const SimDisk *disk);
