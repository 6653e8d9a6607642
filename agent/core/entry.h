/* Entries of config.toml: one entry is one `[[runners]]` table, the unit we read, write and remove.
 *
 * Reading follows what gitlab-runner accepts (any letter case of keys, quoted times, inline form); writing touches
 * only the bytes of our own values. Everything here works on bytes in memory: reading and replacing the file is the
 * store's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "agent/base/cleanup.h"
#include "agent/base/secret.h"
#include "agent/core/toml.h"

/* No entry of the file: match by name and url instead, or there was none. */
#define ENTRY_INDEX_NONE SIZE_MAX

/* 0001-01-01T00:00:00Z, Go's zero time: "never or unknown", and for token_expires_at the only value that keeps
 * gitlab-runner from rotating. */
#define ENTRY_TIME_ZERO_SEC INT64_C(-62135596800)

/* What is odd about an entry. The *_TYPE ones are fatal for gitlab-runner: with one of them the whole file does not
 * load. */
typedef enum EntryProblem {
        ENTRY_PROBLEM_NAME_TYPE = 1U << 0,
        ENTRY_PROBLEM_URL_TYPE = 1U << 1,
        ENTRY_PROBLEM_ID_TYPE = 1U << 2,
        ENTRY_PROBLEM_TOKEN_TYPE = 1U << 3,
        ENTRY_PROBLEM_OBTAINED_TYPE = 1U << 4,
        ENTRY_PROBLEM_EXPIRES_TYPE = 1U << 5,
        ENTRY_PROBLEM_EXECUTOR_TYPE = 1U << 6,
        /* Token missing or blank: gitlab-runner skips the entry. */
        ENTRY_PROBLEM_TOKEN_BLANK = 1U << 7,
        /* One of our keys in two spellings (`token` and `Token`): gitlab-runner takes a random one. Read here: the
         * first; an edit sets every spelling to the same value. */
        ENTRY_PROBLEM_KEY_TWICE = 1U << 8,
        /* url or token holds a `$`: gitlab-runner expands it from its own environment, so the value read here is not
         * the one in use. */
        ENTRY_PROBLEM_REFERENCE = 1U << 9,
        /* A time without offset: gitlab-runner takes its local zone, which is not known here; read as UTC. */
        ENTRY_PROBLEM_TIME_LOCAL = 1U << 10,
        /* The file has both `[[runners]]` and another spelling of it; gitlab-runner takes a random one. New entries
         * are refused until someone cleans up. */
        ENTRY_PROBLEM_RUNNERS_TWICE = 1U << 11,
} EntryProblem;

typedef struct Entry {
        size_t index; /* among all entries of the file, from 0 */
        size_t line;  /* of its header, from 1 */
        char *name;   /* these three: NULL if absent or of wrong type */
        char *url;
        char *executor;
        int64_t id;    /* 0 = absent or unknown, as in gitlab-runner */
        Secret *token; /* NULL if absent or of wrong type; blanks around it are kept, gitlab-runner keeps them too */
        bool has_obtained_at; /* the key is there and a time */
        bool has_expires_at;
        struct timespec obtained_at; /* UTC; the zero time if absent */
        struct timespec expires_at;
        unsigned problems; /* of EntryProblem */
} Entry;

typedef struct EntryList {
        Entry *entries;
        size_t n_entries;
        bool has_concurrent; /* the global key is there and an integer */
        int64_t concurrent;
        unsigned problems; /* of all entries together */
} EntryList;

/* Reads every entry of the n bytes of a config.toml. Nothing in the list borrows from data. -EBADMSG and *reterr if
 * the file is not TOML 1.1 or `runners` is no list of tables; -ENOMEM. reterr may be NULL. */
int entry_list_read(const void *data, size_t n, EntryList **ret, TomlError *reterr);

/* Wipes and frees; takes NULL; returns NULL. */
EntryList *entry_list_free(EntryList *list);

DEFINE_CLEANUP(EntryList, entry_list_free)

/* Whether gitlab-runner can work with its token as it is read here. */
bool entry_is_usable(const Entry *entry);

typedef enum EntryEditKind {
        ENTRY_EDIT_UPSERT,     /* change the entry, or append it */
        ENTRY_EDIT_REMOVE,     /* remove the entry with all inside it */
        ENTRY_EDIT_CONCURRENT, /* set the global `concurrent` */
        _ENTRY_EDIT_KIND_MAX,
} EntryEditKind;

/* One wish. Which entry: `index` of the old file, or, with ENTRY_INDEX_NONE, the first with `name` and `url`. Every
 * pointer is borrowed for the call; NULL leaves an existing entry's value as it is, and the key out of a new entry.
 */
typedef struct EntryEdit {
        EntryEditKind kind;
        size_t index;
        /* Without an index: of several entries with `name` and `url` take the one that holds this token, or `token`,
         * or (unless it is to be removed) none that could be used. If all hold others, somebody has changed them:
         * -ESTALE, and nothing to remove. */
        bool guarded;
        const Secret *holds;
        const char *name; /* with an index: the new name, or NULL */
        const char *url;  /* left as written where url_equal() */
        const int64_t *id;
        const Secret *token;
        const struct timespec *obtained_at;
        const struct timespec *expires_at;
        const char *tls_ca_file; /* these three: "" takes the key out */
        const char *tls_cert_file;
        const char *tls_key_file;
        const char *executor;      /* new entries only */
        const char *template_body; /* new entries only: what template_merge() gave, or NULL */
        int64_t concurrent;        /* ENTRY_EDIT_CONCURRENT only: 1 or more */
} EntryEdit;

typedef enum EntryOutcome {
        ENTRY_OUTCOME_UNCHANGED, /* all values were equal already: no byte of it changes */
        ENTRY_OUTCOME_CHANGED,
        ENTRY_OUTCOME_ADDED,
        ENTRY_OUTCOME_REMOVED,
        ENTRY_OUTCOME_ABSENT, /* nothing to remove */
        ENTRY_OUTCOME_FAILED, /* see error and message; this edit changed nothing, the others stand */
} EntryOutcome;

typedef struct EntryResult {
        EntryOutcome outcome;
        size_t index;   /* in the old file; ENTRY_INDEX_NONE if it was not there */
        size_t matches; /* entries with that name and url in the old file: more than 1 needs an index to be exact */
        unsigned problems; /* of EntryProblem, of the entry as it was */
        int error;     /* negative errno if FAILED: -EINVAL (value not writable), -ENOENT (no such index), -EEXIST (an
                        * earlier edit of the batch has that entry), -ESTALE (guarded), -ENOTUNIQ (`runners` in two
                        * spellings),     -EOPNOTSUPP (the file's form does not take it) */
        char *message; /* if FAILED; caller frees, see entry_results_done() */
} EntryResult;

/* Frees what the results hold, not the array. */
void entry_results_done(EntryResult *results, size_t n);

/* Applies all edits to the n bytes of a config.toml at once, in time linear in both. data NULL means that there is no
 * file: it is then begun as gitlab-runner's installation begins it. *ret gets the new bytes, equal to the old ones if
 * nothing changed; results[i] tells about edits[i]. New entries go to the end of the file in the order of their
 * edits. -EBADMSG and *reterr if the old bytes are not a config.toml that can be read, -ENOMEM; then results are
 * untouched. */
int entry_edits_apply(const void *data, size_t n, const EntryEdit *edits, size_t n_edits, EntryResult *results,
        Secret **ret, TomlError *reterr);
