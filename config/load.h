#pragma once

/* Reading the configuration: finding the files, reading each, checking the whole. */

#include "config/config.h"
#include "config/mistakes.h"
#include "config/text.h"

#define CONFIG_DIRECTORY "/etc/runner-registrar"

/* A file beyond this is no configuration; thousands of runners are a tenth of it. */
#define CONFIG_FILE_SIZE_MAX (4 * 1024 * 1024)

typedef enum ConfigFlags {
        CONFIG_ALLOW_NO_RUNNER = 1 << 0, /* for commands that can do without: no runner, or no file, is no mistake */
} ConfigFlags;

/* Loads FILES (NULL-terminated, in their order), or, where that is NULL, what is found in CONFIG_DIRECTORY:
 * config.ini, config.yaml or config.yml (one of them), then conf.d/ in name order. Of conf.d only *.ini, *.yaml and
 * *.yml count, so that what editors and package managers leave there does no harm. A key of the agent in a later file
 * takes the place of an earlier file's; a runner is defined in one place only.
 *
 * SPECIFIERS: what %H, %m and %i stand for here, borrowed; NULL: not known, then only their form is checked.
 *
 * Returns 0 with *RET; -EBADMSG with at least one mistake in MISTAKES, sorted, *RET untouched; -ENOMEM. Files are
 * checked for who can write them against the effective user. */
int config_load(
        const char *const *files, const Specifiers *specifiers, ConfigFlags flags, Config **ret, Mistakes *mistakes);

/* config_load() with the default search in another folder. */
int config_load_directory(
        const char *directory, const Specifiers *specifiers, ConfigFlags flags, Config **ret, Mistakes *mistakes);
