#pragma once

/* The gitlab-runner that is installed here: what its `--version` says is what GitLab hears of this host. Running it
 * takes a tenth of a second, so what it said is kept in RUNTIME_DIR for as long as the program's file stays the same.
 */

#include <systemd/sd-event.h>

#include "agent/base/disk.h"
#include "agent/base/log.h"
#include "agent/core/info.h"

typedef struct NeighbourQuery NeighbourQuery;

/* Where gitlab-runner lies; tests name other places. NULL-terminated, the first that is there counts. */
const char *const *neighbour_places(void);

/* gitlab-runner has this long to say its version. */
#define NEIGHBOUR_VERSION_USEC (5 * USEC_PER_SEC)

/* Called exactly once, from the loop, unless the query was cancelled. NEIGHBOUR is the callee's to take; it is all
 * NULL where none is installed, or it did not say who it is. */
typedef void (*NeighbourDone)(Neighbour *neighbour, void *userdata);

/* Borrows DISK and LOG. Runs nothing where no gitlab-runner is installed or its answer is known. Others' programs are
 * not run (config/trust.h). Returns 0 or -ENOMEM. */
int neighbour_query(sd_event *event, Disk *disk, Log *log, const char *runtime_dir, const char *const *places,
        NeighbourDone done, void *userdata, NeighbourQuery **ret);

/* Safe at any moment; DONE will not come. Accepts NULL, returns NULL. */
NeighbourQuery *neighbour_query_cancel(NeighbourQuery *query);
DEFINE_CLEANUP(NeighbourQuery, neighbour_query_cancel)
