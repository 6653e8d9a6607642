#pragma once

/* Lists of any length: page after page, the next one already on its way while one is printed. */

#include "agent/cli/runners-output.h"
#include "agent/cli/runners-session.h"

/* Gets rows as they come, which are borrowed. Returns 0, or a negative errno to end the list. */
typedef int (*ListTake)(const Slice *rows, size_t n, void *userdata);

/* Goes through all rows of INVOCATION's list, at most LIMIT (0: all). Returns an exit code, having said why. */
int list_walk(Session *session, const Invocation *invocation, uint64_t limit, ListTake take, void *userdata);

/* Prints the list. */
int runners_list(Session *session, const Invocation *invocation);
