#pragma once

/* What one value alone can't tell: settings that need or exclude each other, files that they name, two of a kind. */

#include "config/config.h"
#include "config/load.h"
#include "config/mistakes.h"
#include "config/text.h"

/* Adds what is wrong with CONFIG, as read from all files, to MISTAKES. 0 or -ENOMEM. */
int config_check(const Config *config, const Specifiers *specifiers, ConfigFlags flags, Mistakes *mistakes);
