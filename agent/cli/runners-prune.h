#pragma once

/* `runners prune`: ghosts, found by their list, looked at one by one, and deleted if asked for. */

#include "agent/cli/runners-options.h"
#include "agent/cli/runners-session.h"

int runners_prune(Session *session, Invocation *invocation);
