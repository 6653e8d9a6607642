#pragma once

/* `runners`: GitLab's Runners API from the shell. */

#include "agent/cli/cli.h"

int cli_runners(const CliContext *context, int argc, char **argv);
