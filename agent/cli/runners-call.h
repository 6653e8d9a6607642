#pragma once

/* Commands that are one call for each ID, or one call. */

#include "agent/cli/runners-output.h"
#include "agent/cli/runners-session.h"

/* Sends INVOCATION's call, for each of its IDs, and prints what comes back. Returns an exit code. */
int runners_call(Session *session, Invocation *invocation);

/* Prints the requests instead: tokens are shown as ***. */
int runners_dry_run(Session *session, Invocation *invocation);

/* "runner 7" for messages. Returns BUFFER. */
#define RUNNER_TEXT_MAX 32
const char *runner_text(int64_t id, char buffer[static RUNNER_TEXT_MAX]);

/* Asks on the terminal whether to go on, having said WHY. Returns 0 for yes, else an exit code: without a terminal it
 * says that --yes is needed. */
int runners_confirm(const Invocation *invocation, const char *why);
