#pragma once

/* What is believed of config.toml as others write it. gitlab-runner truncates before it writes, and so do editors:
 * what is missing, empty, cut off or without entries is believed only after it has stood for a while. */

#include "agent/base/time.h"
#include "agent/core/entry.h"

#define ENTRY_SETTLE_USEC USEC_PER_SEC

typedef enum EntryLook {
        ENTRY_LOOK_SAME,  /* as it was seen last */
        ENTRY_LOOK_AGAIN, /* after ENTRY_SETTLE_USEC, with these bytes as UNSETTLED */
        ENTRY_LOOK_TAKE,  /* it has changed */
        _ENTRY_LOOK_MAX,
} EntryLook;

/* BYTES: what was read now (NULL: no file), last changed at MTIME. SEEN: as last written by us or taken. UNSETTLED:
 * what was read when AGAIN was the answer last; SETTLED: that time is over. */
EntryLook entry_look(
        const Secret *bytes, uint64_t mtime_nsec, const Secret *seen, const Secret *unsettled, bool settled, Now now);

/* Whether an edit of BYTES may be written back; no: they look like the middle of somebody else's write. */
bool entry_may_edit(const Secret *bytes, uint64_t mtime_nsec, const Secret *seen, Now now);
