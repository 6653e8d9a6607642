#pragma once

/* RUNTIME_DIR/status.json and the metrics file: what the runners are doing, for everybody on the host. */

#include "agent/base/disk.h"
#include "agent/core/status.h"
#include "agent/roster.h"

/* Encodes the roster as `status --json` prints it; PID 0: no agent runs. Caller frees. */
int status_file_encode(const Roster *roster, pid_t pid, Now now, char **ret);

/* Writes RUNTIME_DIR/status.json (0644) and, where METRICS_FILE is not NULL, the gauges. Replaced by rename, not
 * synced: both are made anew at every start. *reterr names the path. */
int status_file_write(
        Disk *disk, const Roster *roster, Now now, const char *runtime_dir, const char *metrics_file, char **reterr);
