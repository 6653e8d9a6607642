#pragma once

/* STATE_DIR: a record per runner, the journals of answers, the lock. Every function is all or nothing on the disk:
 * after a power cut at any point a file is its old or its new content. */

#include <stdbool.h>

#include "agent/base/disk.h"
#include "agent/core/record.h"

typedef struct Store Store;

/* Opens (and makes, 0700) STATE_DIR on DISK. Does not lock. *reterr says what is wrong with which path. */
int store_open(Disk *disk, const char *state_dir, Store **ret, char **reterr);
Store *store_free(Store *store);
DEFINE_CLEANUP(Store, store_free)

/* Takes the lock of the folder for as long as the store lives, and removes temp files that a crash left there.
 * -EBUSY: another agent has it; *reterr names its pid, where it can be told. */
int store_lock(Store *store, char **reterr);

/* Loads NAME's record. -ENOENT, without a sentence: there is none. -EPROTONOSUPPORT, -EBADMSG: as record_decode(),
 * with the path in *reterr; a file that can't be read is never overwritten: store_save() then fails with the same. */
int store_load(Store *store, const char *name, Record **ret, char **reterr);

/* The names of all records, sorted, NULL-terminated; the caller frees names and list. */
int store_list(Store *store, char ***ret_names, char **reterr);

/* Writes the record: temp file, fsync, rename, fsync of the folder. */
int store_save(Store *store, const Record *record, char **reterr);

/* Saves the record, and with the same sync of the folder reserves the journal: NAME.journal with ANSWER_SIZE_MAX
 * allocated bytes on the disk, so that the answer of the record's intent can be kept whatever the disk does. An older
 * journal goes only once the record is on the disk: its answer may stand nowhere else.
 * -ESTALE: the folder that is locked is not the one that the next start would find. */
int store_prepare(Store *store, const Record *record, char **reterr);

/* Removes NAME's record and journal, readable or not. Success where there is none. */
int store_forget(Store *store, const char *name, char **reterr);

/* Writes the answer into the reserved journal, in place, and syncs it. */
int store_journal(Store *store, const char *name, const Answer *answer, char **reterr);

/* Reads the journal. -ENOENT: none, or reserved and never answered, or torn. Any other error is the disk's or
 * memory's, and the answer may well be there: nobody may go on as if it were lost. */
int store_journal_load(Store *store, const char *name, Answer *ret, char **reterr);

/* Removes the journal that was left behind, as by a crash, once its answer was in the record: for a record without an
 * intent. Without the lock nothing is done: then the intent may be about to come. */
void store_journal_tidy(Store *store, const char *name);

/* Drops the journal; its loss is harmless, so nothing is synced. */
int store_journal_clear(Store *store, const char *name);
