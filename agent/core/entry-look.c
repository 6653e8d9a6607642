#include "agent/core/entry-look.h"

/* Empty, cut off or without entries, and young. */
static bool doubtful(const Secret *bytes, uint64_t mtime_nsec, Now now)
{
        _cleanup_(entry_list_freep) EntryList *list = NULL;
        uint64_t mtime_usec = mtime_nsec / 1000;

        if (secret_size(bytes) > 0 && entry_list_read(secret_data(bytes), secret_size(bytes), &list, NULL) >= 0 &&
                list->n_entries > 0)
                return false;
        /* An mtime in the future (our own, set ahead of a coarse clock, or a wrong clock's) proves no age. */
        return mtime_usec > now.realtime_usec || now.realtime_usec - mtime_usec < ENTRY_SETTLE_USEC;
}

EntryLook entry_look(
        const Secret *bytes, uint64_t mtime_nsec, const Secret *seen, const Secret *unsettled, bool settled, Now now)
{
        if (secret_equal(bytes, seen))
                return ENTRY_LOOK_SAME;
        /* What has stood its time is believed, whatever its mtime says. */
        if (settled && secret_equal(bytes, unsettled))
                return ENTRY_LOOK_TAKE;
        /* A file that was moved away comes back mostly (editors); it is missed only after the same patience. */
        return !bytes || doubtful(bytes, mtime_nsec, now) ? ENTRY_LOOK_AGAIN : ENTRY_LOOK_TAKE;
}

bool entry_may_edit(const Secret *bytes, uint64_t mtime_nsec, const Secret *seen, Now now)
{
        return !bytes || secret_equal(bytes, seen) || !doubtful(bytes, mtime_nsec, now);
}
