#pragma once

/* gitlab-runner's config.toml and the .runner_system_id beside it, as files. What the bytes mean is core's
 * (agent/core/entry.h); here they are read, and replaced so that at every instant, power cut included, the file is
 * the old or the new one. A symlink keeps pointing: its target is replaced. A bind-mounted file can't be renamed
 * over; it is written in place after its new content lies in STATE_DIR, and config_toml_recover() ends what a crash
 * interrupted. RETERR may be NULL everywhere. Every call walks the path anew, as root with FOLDER_TRUSTED: others
 * replace folders and links too. */

#include <stdbool.h>

#include "agent/base/disk.h"
#include "agent/base/secret.h"
#include "agent/core/system-id.h"
#include "agent/in-place.h"

typedef struct ConfigToml ConfigToml;

/* A file that large is not a config.toml: a thousand entries make about 1 MiB. */
#define CONFIG_TOML_SIZE_MAX IN_PLACE_SIZE_MAX

/* PATH as configured; STATE_DIR holds the journal of writes in place. Touches nothing yet. DISK is borrowed, the
 * strings are copied. Returns 0 or -ENOMEM. */
int config_toml_new(Disk *disk, const char *path, const char *state_dir, ConfigToml **ret);
ConfigToml *config_toml_free(ConfigToml *ct);
DEFINE_CLEANUP(ConfigToml, config_toml_free)

/* The path as configured; valid as long as CT. */
const char *config_toml_path(const ConfigToml *ct);

/* The path with all links resolved, for watches: the file, which need not exist, is replaced there. Caller frees. */
int config_toml_resolve(ConfigToml *ct, char **ret_path, char **reterr);

/* To be called at start, with STATE_DIR locked, before the first read. Also removes the temp files of a crash. */
int config_toml_recover(ConfigToml *ct, InPlaceRecovery *ret, char **reterr);

/* Reads the file. -ENOENT, without a sentence: there is none; RET_INFO is then zeroed, and config_toml_replace()
 * takes it. Others with a sentence: -ENOLINK a dangling link, -EISDIR, -EFBIG, -EPERM (FOLDER_TRUSTED) … Whether two
 * readings are the same, secret_equal() tells. */
int config_toml_read(ConfigToml *ct, Secret **ret_bytes, FileInfo *ret_info, char **reterr);

/* Proves that a replace could be done now: makes and removes the temp file, 4 KiB larger than the file is, and for a
 * bind mount reserves the same in the file itself and in STATE_DIR. Makes the folder where it is missing. *reterr
 * names path, reason and remedy. */
int config_toml_check_writable(ConfigToml *ct, char **reterr);

/* Replaces the file with BYTES; owner, mode and links stay, the mtime gets strictly newer: gitlab-runner's poll
 * compares it. A file that does not exist (EXPECTED zeroed) is made as gitlab-runner does: folders 0700, file 0600.
 * -ESTALE, without a sentence: the file is not the EXPECTED one any more; read and edit again. */
int config_toml_replace(ConfigToml *ct, const FileInfo *expected, const Secret *bytes, char **reterr);

/* Reads .runner_system_id, white space trimmed, from the folder of the path as configured, not of a link's target:
 * that is where gitlab-runner looks. -ENOENT, without a sentence: there is none, or its content is not valid, which
 * gitlab-runner overwrites. RET is NUL-terminated. */
int config_toml_system_id_read(ConfigToml *ct, char ret[static SYSTEM_ID_SIZE + 1], char **reterr);

/* Writes it as gitlab-runner does: in place, 0600 when it is made, no newline; and syncs it, unless losing it would
 * only mean to make the same one again. */
int config_toml_system_id_write(ConfigToml *ct, const char *system_id, char **reterr);

/* Removes it. Success where there is none. */
int config_toml_system_id_remove(ConfigToml *ct, char **reterr);
