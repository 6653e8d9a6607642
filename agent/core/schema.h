/* What gitlab-runner expects the keys of an entry to be (common/config.go and what it embeds). One value of the wrong
 * type and gitlab-runner loads nothing of the whole config.toml, every other runner included: so templates are
 * checked before their text goes there. Unknown keys pass, as they do with gitlab-runner. */
#pragma once

#include "agent/core/toml.h"

/* Checks the inside of one `[[runners]]` table: types, labels, and keys in two spellings. -EINVAL and *reterr at the
 * first mistake. */
int schema_check_entry(const TomlDocument *document, const TomlValue *entry, TomlError *reterr);
