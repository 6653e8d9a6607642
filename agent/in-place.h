#pragma once

/* Writing a file in place where it can't be renamed over, as on a bind mount. Old and new content are kept in
 * STATE_DIR first, so that whatever a crash leaves behind is known again, and ended at the next start. */

#include "agent/base/disk.h"
#include "agent/base/secret.h"

#define IN_PLACE_SIZE_MAX (16 * 1024 * 1024)

/* Writes BYTES over FILE, which was opened for writing and of which INFO tells. PATH is how to find it again. On
 * failure the file is as it was, or, if the disk does not even take that, in_place_recover() ends the write. -ESTALE,
 * without a sentence: FILE is not as INFO says. */
int in_place_write(const char *state_dir, const char *path, File *file, const FileInfo *info, const Secret *bytes,
        char **reterr);

/* Proves that in_place_write() of SIZE bytes could be done now. */
int in_place_check(const char *state_dir, const char *path, File *file, uint64_t size, char **reterr);

typedef enum InPlaceRecovery {
        IN_PLACE_NOTHING_TO_DO,
        IN_PLACE_REDONE,  /* an interrupted write was ended */
        IN_PLACE_DROPPED, /* someone else wrote or moved the file since: theirs stays */
        _IN_PLACE_RECOVERY_MAX,
        _IN_PLACE_RECOVERY_INVALID = -EINVAL,
} InPlaceRecovery;

/* For the start: ends what in_place_write() has begun before a crash, unless somebody else has written since. Errors
 * come with a sentence; then the copy stays, for the next try. */
int in_place_recover(Disk *disk, const char *state_dir, InPlaceRecovery *ret, char **reterr);
