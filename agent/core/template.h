/* The template of a new entry, merged as `gitlab-runner register --template-config` merges it (commands/register.go).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "agent/base/secret.h"
#include "agent/core/toml.h"

/* Makes the body of a new `[[runners]]` entry: TOML text of plain keys and `[runners.…]` tables, to be handed to
 * EntryEdit.template_body. Identity keys (name url id token and its times, executor) are not in it; they are the
 * entry's own.
 *
 * data, size: the template's bytes, or NULL for no template at all. What stays, by executor: its own tables and those
 * that belong to none; `referees` and other executors' tables go. The executor's own table is made where the template
 * has none. Docker kinds need an image, and get the cache volume (docker-windows also `shell = "pwsh"`) as register
 * adds them.
 *
 * -EINVAL or -EBADMSG with *reterr: template not valid, without or with more than one `[[runners]]`, a value whose
 * type or label gitlab-runner would refuse (the whole config.toml would then not load), no image, unknown executor.
 * -ENOMEM. */
int template_merge(const void *data, size_t size, const char *executor, Secret **ret_body, TomlError *reterr);
