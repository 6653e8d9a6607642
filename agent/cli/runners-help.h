#pragma once

/* What `runners --help` and the completions say, read off the same rows as the requests. */

#include "agent/cli/runners-command.h"

void runners_help(void);
void runners_help_command(const RunnersCommand *command);

/* All commands, options, values and releases, for completions and documentation: lines of fields between tabs.
 *   command NAME HELP
 *   row COMMAND METHOD PATH SINCE CHOICE HELP
 *   option COMMAND NAME VALUE SINCE HELP, where VALUE is `-` for none, `a|b` for words */
void runners_describe(void);
