#pragma once

/* `runners prune --managers`: machines of one runner that are gone. GitLab deletes a manager only for who has its
 * runner's own token, and names it by system id alone: with the token of another runner that would be another one's
 * machine, so the token is proven first. */

#include "agent/cli/runners-options.h"
#include "agent/cli/runners-session.h"

int runners_prune_managers(Session *session, Invocation *invocation);
