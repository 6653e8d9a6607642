#pragma once

/* The processes of this machine, for where systemd can't tell: no unit, or no systemd at all. */

#include <stdbool.h>

/* Whether no gitlab-runner runs on this machine, for certain: we see the processes of all PID namespaces, hidden ones
 * included, and none is named like it. False wherever that can't be known (in a container, or where /proc shows us
 * our own only). Reads /proc; takes milliseconds. */
bool processes_lack_neighbour(void);

/* Whether this is the machine itself and no container in it: whoever lists processes here misses none. */
bool processes_outermost(void);

/* Whether COMMAND, a command line, may be gitlab-runner's, under one of its names. */
bool processes_may_be_neighbour(const char *command);
