#pragma once

/* A runner's template on the disk, merged into what a new entry gets. */

#include "agent/base/disk.h"
#include "config/config.h"

/* A template is a config.toml with one entry. */
#define TEMPLATE_FILE_SIZE_MAX (1024 * 1024)

/* Reads the template of CONFIG (there may be none) and merges it for CONFIG's executor. *reterr names file and line;
 * -EINVAL: the template, or the executor without one, will not do; others: it can't be read. */
int template_file_merge(Disk *disk, const RunnerConfig *config, Secret **ret, char **reterr);
