/* The keys of an entry that are ours, and the order gitlab-runner writes all of them in. */
#pragma once

#include "agent/core/entry.h"
#include "agent/core/toml-write.h"

/* In the order of the file. */
typedef enum EntryKey {
        ENTRY_KEY_NAME,
        ENTRY_KEY_URL,
        ENTRY_KEY_ID,
        ENTRY_KEY_TOKEN,
        ENTRY_KEY_OBTAINED,
        ENTRY_KEY_EXPIRES,
        ENTRY_KEY_TLS_CA,
        ENTRY_KEY_TLS_CERT,
        ENTRY_KEY_TLS_KEY,
        ENTRY_KEY_EXECUTOR,
        _ENTRY_KEY_MAX,
} EntryKey;

const char *entry_key_to_string(EntryKey key);

/* The first spelling of each of our keys in an entry's table, NULL where there is none. Returns whether one has
 * several. */
bool entry_keys_find(const TomlValue *table, const TomlValue *ret[static _ENTRY_KEY_MAX]);

/* Reads a time as gitlab-runner does, quoted ones too. False: it would refuse the value. *ret_local: there is no
 * offset. */
bool entry_time_read(const TomlValue *value, struct timespec *ret, bool *ret_local);

/* What an edit wants a key to be. False: nothing. */
bool entry_edit_wants(const EntryEdit *edit, EntryKey key, TomlScalar *ret);

/* Walks the entries: all elements of all spellings of `runners`, in order. NULL: there are no more. */
typedef struct EntryWalk {
        const TomlValue *array;
        const TomlValue *next;
        size_t n_arrays;
} EntryWalk;

/* -EBADMSG and *reterr: `runners` is no list of tables. */
int entry_walk_init(EntryWalk *walk, const TomlDocument *document, TomlError *reterr);
const TomlValue *entry_walk_next(EntryWalk *walk);

/* entry_list_read() of what is parsed already. */
int entry_list_from_document(const TomlDocument *document, EntryList **ret, TomlError *reterr);

/* Text of a new entry, laid out as gitlab-runner lays it out, under the key `runners` as the file spells it; the
 * edit's values win over its template's. -EINVAL and *reterr: a value can't be written, or template_body is no body.
 * -ENOMEM. */
int entry_text_new(const EntryEdit *edit, TomlString runners, Secret **ret, TomlError *reterr);

/* The same as `{ … }` on one line. */
int entry_text_new_inline(const EntryEdit *edit, Secret **ret, TomlError *reterr);
