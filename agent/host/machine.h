#pragma once

/* Which machine this is: what tells it from its clones, and what %H, %m and %i in descriptions stand for. */

#include <stdbool.h>

#include "agent/base/disk.h"
#include "agent/core/system-id.h"

/* Where the facts lie; tests name other places. */
typedef struct MachinePaths {
        const char *machine_id;      /* /etc/machine-id */
        const char *dbus_machine_id; /* /var/lib/dbus/machine-id */
        const char *instance_id;     /* /var/lib/cloud/data/instance-id */
        const char *image_build;     /* /etc/runner-registrar/image-build */
} MachinePaths;

const MachinePaths *machine_paths_default(void);

typedef struct Machine {
        char *machine_id;   /* 32 hex digits, lower case; NULL: unknown (none yet, or a container without one) */
        char *neighbour_id; /* the text from which gitlab-runner makes its system id; NULL: none, it takes a random
                               one */
        char *instance_id;  /* cloud-init's; NULL: unknown, which never counts as different */
        char *host_name;    /* never NULL */
        char *architecture; /* as uname gives it: x86_64; never NULL */
} Machine;

/* Reads the facts; one that can't be read because of what lies there is unknown. A negative errno: memory, or a disk
 * that can't tell just now, which *reterr says. RET is for machine_done(). */
int machine_read(Disk *disk, const MachinePaths *paths, Machine *ret, char **reterr);
void machine_done(Machine *machine);

/* Makes a system id as gitlab-runner would on this machine: from neighbour_id, else random. */
int machine_make_system_id(const Machine *machine, Disk *disk, char ret[static SYSTEM_ID_SIZE + 1]);

/* Whether an image is being built here, so that nobody may be called: the file exists, whatever it is; a user who may
 * not look is no agent. A negative errno: the disk can't tell, and *reterr says why (NULL: memory); then nobody may
 * be called either, as one call from an image is one runner too many. */
int machine_is_image_build(Disk *disk, const MachinePaths *paths, bool *ret, char **reterr);
