#pragma once

/* Whether a deletion goes without asking. */

#include "agent/cli/runners-session.h"

/* Looks at what is to be deleted, and asks where it is several runners, an instance runner, or one that other
 * machines work under; SYSTEM_ID is this machine's (NULL: unknown). Returns 0 to go on, else an exit code. */
int runners_check_delete(Session *session, const Invocation *invocation, const char *system_id);
