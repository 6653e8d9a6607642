#pragma once

/* Every setting there is, in one table: readers, checks and messages all go by its rows. */

#include <stddef.h>
#include <stdint.h>

typedef enum SchemaSection {
        SCHEMA_AGENT,  /* [agent] */
        SCHEMA_RUNNER, /* [runner NAME]; in YAML the items of `runners` */
        _SCHEMA_SECTION_MAX,
} SchemaSection;

/* What the text of a setting becomes, and in what kind of member it is kept. */
typedef enum SchemaType {
        SCHEMA_NAME,        /* char * */
        SCHEMA_TEXT,        /* char *: for GitLab, with specifiers */
        SCHEMA_PATH,        /* char * */
        SCHEMA_SERVICE,     /* char * */
        SCHEMA_URL,         /* char * */
        SCHEMA_PROXY,       /* char * */
        SCHEMA_CHOICE,      /* char *, one of `choices` */
        SCHEMA_ENUM,        /* an enum, the index into `choices` */
        SCHEMA_TERMINATION, /* unsigned, of ConfigTermination */
        SCHEMA_BOOLEAN,     /* int, -1: not configured */
        SCHEMA_INTEGER,     /* int64_t, -1: not configured */
        SCHEMA_PERCENT,     /* unsigned */
        SCHEMA_DURATION,    /* uint64_t, usec */
        SCHEMA_LIST,        /* char **, NULL: not configured */
        SCHEMA_SOURCE,      /* SecretSource *, NULL: not configured */
        _SCHEMA_TYPE_MAX,
} SchemaType;

typedef enum SchemaFlags {
        SCHEMA_REQUIRED = 1 << 0,
        SCHEMA_ATTRIBUTE = 1 << 1,    /* GitLab's own; the server's beside an authentication token */
        SCHEMA_CREATE_ONLY = 1 << 2,  /* only POST /user/runners knows it: goes with access_token */
        SCHEMA_SECRET = 1 << 3,       /* one of the three tokens */
        SCHEMA_MULTILINE = 1 << 4,    /* line breaks may be in it */
        SCHEMA_MAY_NEVER = 1 << 5,    /* durations: `never` is USEC_INFINITY */
        SCHEMA_MAY_BE_EMPTY = 1 << 6, /* lists: none is a value, too */
        SCHEMA_READ_FILE = 1 << 7,    /* the path must be there, and only root and we may write it */
        SCHEMA_PRIVATE_FILE = 1 << 8, /* …, and no stranger may read it */
        SCHEMA_PROGRAM_FILE = 1 << 9, /* …, and it is run */
} SchemaFlags;

typedef struct SchemaRow {
        SchemaSection section;
        const char *key;
        SchemaType type;
        size_t offset;              /* in Config or RunnerConfig */
        unsigned flags;             /* of SchemaFlags */
        const char *default_text;   /* as written in a file; NULL: none */
        const char *const *choices; /* NULL-terminated; NULL: not of such a type */
        int64_t min;                /* integers and percents */
        int64_t max;
        const char *expected; /* what a message says after "expected " */
        const char *help;     /* one sentence */
} SchemaRow;

/* The row at INDEX, NULL behind the last one. Rows of a section are neighbours, in the order of the manual. */
const SchemaRow *config_schema_row(size_t index);

size_t config_schema_size(void);

/* The index of a row of this table. */
size_t config_schema_index(const SchemaRow *row);

/* The row of KEY in SECTION, or NULL. */
const SchemaRow *config_schema_find(SchemaSection section, const char *key);

/* The key of SECTION that is most like KEY, for "did you mean". Never NULL. */
const char *config_schema_nearest(SchemaSection section, const char *key);

/* The word of the NULL-terminated list WORDS that is most like TEXT; the first of equals. NULL for an empty list. */
const char *config_nearest_word(const char *const *words, const char *text);

/* How messages name a setting: `agent.retry_max`, `runner build-1.url`; RUNNER is the section's own name for the
 * latter
 * (`runner build-1`, `runners[0]`), ignored for the agent's. Returns 0 or -ENOMEM. */
int config_setting_name(const SchemaRow *row, const char *runner, char **ret);
