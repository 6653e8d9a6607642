#pragma once

/* The entries of config.toml as a service to many runners: their wishes are gathered and applied with one replace of
 * the file, and what others write into it is noticed at once. */

#include <systemd/sd-event.h>

#include "agent/base/log.h"
#include "agent/config-toml.h"
#include "agent/core/entry.h"

typedef struct Entries Entries;

/* Fills EDIT when the batch is made; what it points at must stay until EntriesDone. */
typedef void (*EntriesWant)(void *userdata, EntryEdit *edit);

/* The result of one wish: 0 or negative errno with a sentence; whether bytes of the file changed for it. */
typedef void (*EntriesDone)(void *userdata, int error, const char *message, bool changed);

/* The file was changed by somebody else and is believed. LIST is borrowed. */
typedef void (*EntriesChanged)(void *userdata, const EntryList *list);

/* Borrows CT and LOG, references EVENT. CONCURRENT: the global key to set with the next write; -1: leave it alone. */
int entries_new(sd_event *event, Log *log, ConfigToml *ct, int64_t concurrent, Entries **ret);
Entries *entries_free(Entries *entries);
DEFINE_CLEANUP(Entries, entries_free)

/* Reads the file now, for the start. No file gives an empty list. -EBADMSG and others with a sentence that names the
 * path (and line). */
int entries_load(Entries *entries, EntryList **ret, char **reterr);

/* Whether the file is one that can be edited, now. Errors as above. */
int entries_check_readable(Entries *entries, char **reterr);

/* Watches the file, and the folder that would hold it. Returns 0, or a negative errno that only costs promptness. */
int entries_watch(Entries *entries, EntriesChanged changed, void *userdata);

/* Asks for an edit with the next batch, at the end of this turn of the loop; DONE comes from the loop, exactly once
 * unless entries_cancel() came first. One wish per USERDATA at a time. */
int entries_submit(Entries *entries, EntriesWant want, EntriesDone done, void *userdata);

/* DONE will not come. */
void entries_cancel(Entries *entries, void *userdata);

/* As CONCURRENT of entries_new(), from the next write on. */
void entries_set_concurrent(Entries *entries, int64_t concurrent);
