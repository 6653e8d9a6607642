#pragma once

/* What happens to a host, and what people do to it. */

#include "tests/simulation/host.h"

/* What SIM_HOST is for, in its `runner`. */
enum {
        STEP_BOOT = -1,
        STEP_MISHAP = 0,
        STEP_MEND = 1,
        STEP_END = 2,
};

/* One mishap of those that the world has, drawn by their weights. */
void mishap_strike(Host *host);

/* Ends what ails a host: its disk, its clock, its source of the token, a config.toml that can't be read. */
void mishap_mend(Host *host);

/* Puts the shared runner's token of today into its source, and reloads. */
void mishap_refresh_source(Host *host);
