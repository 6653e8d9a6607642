#pragma once

/* What this host knows about one runner: the content of STATE_DIR/NAME.json. Only what must survive a power cut is
 * here; everything that can be found out again lives in the lifecycle. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/base/secret.h"

/* How a runner is enrolled (design's words; the configured kind of secret decides). */
typedef enum Flow {
        FLOW_REGISTRATION_TOKEN,
        FLOW_ACCESS_TOKEN,
        FLOW_AUTHENTICATION_TOKEN,
        _FLOW_MAX,
        _FLOW_INVALID = -EINVAL,
} Flow;

typedef enum RunnerState {
        RUNNER_STATE_UNREGISTERED,
        RUNNER_STATE_REGISTERING,
        RUNNER_STATE_REGISTERED,
        RUNNER_STATE_ROTATING,
        RUNNER_STATE_DOUBTFUL,
        RUNNER_STATE_RECOVERING,
        RUNNER_STATE_REFUSED,
        RUNNER_STATE_WITHDRAWING,
        RUNNER_STATE_WITHDRAWN,
        _RUNNER_STATE_MAX,
        _RUNNER_STATE_INVALID = -EINVAL,
} RunnerState;

/* A request that may change GitLab for good, noted before it is sent: after a crash it says what may have happened.
 */
typedef enum IntentKind {
        INTENT_NONE,
        INTENT_CREATE,      /* POST /runners or POST /user/runners */
        INTENT_RESET,       /* POST /runners/reset_authentication_token */
        INTENT_RESET_BY_ID, /* POST /runners/:id/reset_authentication_token */
        _INTENT_KIND_MAX,
        _INTENT_KIND_INVALID = -EINVAL,
} IntentKind;

typedef struct Intent {
        IntentKind kind;
        uint64_t since_usec; /* realtime */
        char *marker;        /* creates only: what ends the runner's maintenance_note, to find it again */
        bool lost;           /* it, or one before, was sent, and no answer told what became of that */
} Intent;

typedef enum DebtKind {
        DEBT_RUNNER,  /* a runner to delete by its token */
        DEBT_MANAGER, /* our manager of a shared runner */
        DEBT_ORPHAN,  /* what a lost create answer may have left; id unknown until the marker proves it */
        _DEBT_KIND_MAX,
        _DEBT_KIND_INVALID = -EINVAL,
} DebtKind;

/* How a GitLab is reached; a debt carries its own, as its runner may no longer be configured. */
typedef struct Target {
        char *url;
        char *tls_ca_file;
        char *tls_cert_file;
        char *tls_key_file;
        char *proxy;
} Target;

typedef struct Debt {
        DebtKind kind;
        Target target;
        int64_t runner_id; /* 0: unknown */
        char *system_id;   /* managers only, and theirs is never NULL */
        char *marker;      /* orphans only */
        Secret *token;     /* NULL for orphans */
        uint64_t since_usec;
        char *reason;
} Debt;

/* An entry of config.toml that is to go and could not yet: that of this url, if it still holds this token. */
typedef struct Leftover {
        char *url;
        Secret *token;
} Leftover;

typedef struct Record {
        char *name;
        char *url; /* as configured */
        Flow flow;
        RunnerState state; /* stable ones only: unregistered, registered, refused, withdrawn */
        char *reason;      /* why it is refused or withdrawn; NULL: nothing to say */

        int64_t runner_id;   /* 0: unknown */
        Secret *token;       /* NULL: none; never where registered */
        char *system_id;     /* never NULL where manager_ours */
        char *machine_id;    /* whose state this is; NULL: unknown */
        char *instance_id;   /* NULL: unknown */
        bool ours;           /* this machine created the runner, so it may delete and rotate it */
        bool manager_ours;   /* this machine enrolled its manager */
        bool handed_back;    /* rotation is gitlab-runner's: the real times stand in config.toml */
        bool expiry_unknown; /* GitLab has not told when the token ends */
        bool cloned;         /* the entry in config.toml is a sibling's until we have enrolled: never adopted */

        uint64_t registered_at_usec;     /* realtime; 0: never */
        uint64_t token_obtained_at_usec; /* this one and the next by GitLab's clock */
        uint64_t token_expires_at_usec;  /* 0: never, or unknown */
        uint64_t last_verified_at_usec;

        char *source_digest; /* of the last authentication token taken from its source; NULL: none */

        unsigned dead_proofs; /* answers in a row that say the token is dead */
        uint64_t dead_first_usec;
        uint64_t dead_last_usec;

        Intent intent;
        unsigned lost_in_row; /* create answers lost since the last one that came */

        Debt *debts;
        size_t n_debts;

        Leftover *leftovers;
        size_t n_leftovers;
} Record;

#define RECORD_DEBTS_MAX     64
#define RECORD_LEFTOVERS_MAX 8

const char *flow_to_string(Flow flow);
const char *runner_state_to_string(RunnerState state);
const char *debt_kind_to_string(DebtKind kind);

/* Makes an empty record: unregistered, nothing known. Returns 0 or -ENOMEM. */
int record_new(const char *name, const char *url, Flow flow, Record **ret);
Record *record_free(Record *record);
DEFINE_CLEANUP(Record, record_free)

/* Sets *STRING to a copy of VALUE (NULL allowed), freeing what was there. Returns 0 or -ENOMEM, then unchanged. */
int replace_string(char **string, const char *value);

/* Copies SOURCE over TARGET, which holds a valid (maybe empty) target. Returns 0 or -ENOMEM. */
int target_copy(Target *target, const Target *source);
void target_done(Target *target);

/* Appends a debt and takes over DEBT's content, leaving it empty. -E2BIG beyond RECORD_DEBTS_MAX, -ENOMEM. */
int record_add_debt(Record *record, Debt *debt);
void record_remove_debt(Record *record, size_t index);
void debt_done(Debt *debt);

/* Notes, as the last, that the entry of URL with TOKEN is to go; once, and beyond RECORD_LEFTOVERS_MAX the oldest is
 * given up. Both are copied. -ENOMEM, then unchanged. */
int record_add_leftover(Record *record, const char *url, const Secret *token);
void record_remove_leftover(Record *record, size_t index);

/* Closes the intent. */
void record_clear_intent(Record *record);

/* The codec of STATE_DIR/NAME.json, a JSON object with "version". Encoding allocates RET (it holds tokens).
 * Decoding refuses, with a sentence in *reterr: -EPROTONOSUPPORT a newer version, -EBADMSG anything malformed.
 * Unknown keys of the same version are ignored. -ENOMEM without a sentence. */
int record_encode(const Record *record, Secret **ret);
int record_decode(const char *data, size_t size, Record **ret, char **reterr);

#define RECORD_SIZE_MAX (256 * 1024)

/* The answer of a create or a reset, journalled before anything else is done with it: one line of JSON with a
 * checksum, so that a torn write is told from a whole one. */
typedef struct Answer {
        IntentKind kind;
        int64_t runner_id; /* 0: the answer had none (resets) */
        Secret *token;
        bool has_expiry;            /* the key was there, be it null */
        uint64_t expires_at_usec;   /* realtime; 0: never */
        uint64_t obtained_at_usec;  /* realtime, when the answer came; by GitLab's clock */
        uint64_t intent_since_usec; /* which intent it answers */
} Answer;

void answer_done(Answer *answer);

#define ANSWER_SIZE_MAX 8192

int answer_encode(const Answer *answer, Secret **ret);

/* -EBADMSG: torn, or not an answer (a reserved but empty journal included). */
int answer_decode(const char *data, size_t size, Answer *ret);
