#pragma once

/* What the files of the checks share. */

#include "tests/simulation/check.h"

bool check_is_create(Call call);

/* Whether a row is a living runner of HOST's runner INDEX that the host got to know and nobody took from it. */
bool check_is_living(const World *world, const SimRunner *row, const Host *host, int index);

/* The answer of the create that is under way will never come. */
void check_window_lost(HostRunner *runner);

/* What is known of a token's death. */
Doubt *check_doubt_of(HostRunner *runner, const char *token);
