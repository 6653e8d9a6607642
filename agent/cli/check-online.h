#pragma once

/* `check --online`: asks each GitLab what can be asked without changing anything there. */

#include "agent/cli/cli.h"

/* Tries url and TLS of each runner, and its token where that leaves no trace; what was not tried is said. Prints to
 * stdout; returns an exit code. */
int check_online(const CliContext *context, const Config *config);
