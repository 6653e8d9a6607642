#pragma once

/* What a clone finds on its disk and must not use. */

#include "agent/config-toml.h"
#include "agent/core/clone.h"
#include "agent/core/system-id.h"
#include "agent/store.h"
#include "config/config.h"

/* Blanks the tokens of the entries that are CONFIG's, so that gitlab-runner, which may start before we have enrolled,
 * doesn't poll as the machine that this disk was copied from: that would make a manager of ours under its runner. All
 * else in the entry stays for the enrolment to come, and a token that many machines share is ours as well. Returns 0,
 * also where no file can be read; *reterr is set on failure. */
int clone_blank_tokens(ConfigToml *ct, const Config *config, char **reterr);

/* The same for entries of runners that CONFIG does not name (any more, or not yet, as a first boot may write it), and
 * only the sibling's state in STORE tells whose they are. Before the state is forgotten. */
int clone_blank_remembered(ConfigToml *ct, const Config *config, Store *store, char **reterr);

/* Sets RET to the id that PLAN chose: FOUND (set only if there was one), MADE, or a random one. */
void clone_take_system_id(
        Disk *disk, const IdPlan *plan, const char *found, const char *made, char ret[static SYSTEM_ID_SIZE + 1]);
