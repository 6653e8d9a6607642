#pragma once

/* Between gitlab.c, its rows, and gitlab-calls.c, what it answers. */

#include "tests/simulation/gitlab.h"

SimRunner *gitlab_add_runner(World *world, int host, bool created); /* valid until the next is added */
void gitlab_give_token(World *world, SimRunner *runner);
void gitlab_meet_manager(SimRunner *runner, const char *system_id, int host);
