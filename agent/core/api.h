#pragma once

/* The Runners API as a table: one row an endpoint. The agent's own calls and the `runners` commands are built from
 * the same rows. Names are GitLab's; the contract is GitLab's lib/api/ci/runner.rb, runners.rb, user_runners.rb. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/base/secret.h"

typedef enum Call {
        CALL_REGISTER,       /* POST /runners, by registration token */
        CALL_CREATE,         /* POST /user/runners, by access token */
        CALL_VERIFY,         /* POST /runners/verify */
        CALL_PROBE,          /* POST /runners/verify without a token: changes nothing, 400 says that GitLab is well */
        CALL_RESET,          /* POST /runners/reset_authentication_token */
        CALL_RESET_BY_ID,    /* POST /runners/:id/reset_authentication_token, by access token */
        CALL_DELETE_RUNNER,  /* DELETE /runners, by authentication token */
        CALL_DELETE_MANAGER, /* DELETE /runners/managers */
        CALL_DELETE_BY_ID,   /* DELETE /runners/:id, by access token */
        CALL_LIST,           /* GET /runners, /groups/:id/runners, /projects/:id/runners, /runners/all */
        CALL_SHOW,           /* GET /runners/:id */
        _CALL_MAX,
        _CALL_INVALID = -EINVAL,
} Call;

const char *call_to_string(Call call);

#define REQUEST_BASE "/api/v4/"

/* One request, ready for the wire. */
typedef struct Request {
        Call call;
        const char *method;    /* "POST" …, static */
        const char *base;      /* below the url, static; NULL: REQUEST_BASE */
        char *path;            /* below that, with query, never with a secret */
        Secret *body;          /* JSON; NULL: none */
        Secret *private_token; /* sent as PRIVATE-TOKEN; NULL: none */
        Secret *runner_token;  /* sent as RUNNER-TOKEN, as gitlab-runner does; NULL: none */
        bool want_json;        /* Accept: application/json */
        uint64_t timeout_usec; /* for the whole transfer */
        size_t body_max;       /* of the answer; 0: REPLY_BODY_MAX */

        /* For other servers than GitLab: a cloud's metadata, its API. */
        bool foreign;             /* sends nothing of what GitLab's clients send */
        const char *content_type; /* of the body, static; NULL: JSON */
        Secret **headers;         /* further lines, "Name: value", NULL-terminated; NULL: none */
        Secret *signing_key;      /* AWS Signature 4: "ID:SECRET"; NULL: not signed */
        char *signing_scope;      /* "aws:amz:REGION:SERVICE" */
} Request;

void request_done(Request *request);

/* Whether `Content-Type: application/json` goes out: with every body, and with every write. A GitLab that is
 * read-only answers a write that does not call itself JSON, even an empty one, with a redirect to a page instead of
 * the refusal that says so (lib/gitlab/middleware/read_only/controller.rb). */
bool request_has_content_type(const Request *request);

/* Adds a header line; it is taken over, also on -ENOMEM. NULL for LINE reports -ENOMEM. */
int request_add_header(Request *request, Secret *line);

/* A runner's attributes as configured; NULL and -1 are not sent. */
typedef struct Attributes {
        char *description;
        char **tag_list;  /* NULL-terminated; NULL: not configured */
        int run_untagged; /* -1: not configured */
        int locked;
        int paused;
        char *access_level;
        int64_t maximum_timeout; /* seconds; -1: not configured */
        char *maintenance_note;
        char *runner_type;
        int64_t group_id; /* -1: not configured */
        int64_t project_id;
} Attributes;

void attributes_done(Attributes *attributes);

/* What a call may need; unused members are NULL or 0. All borrowed. */
typedef struct CallArguments {
        const Secret *token; /* registration or authentication token, in the body */
        const Secret *access_token;
        const char *system_id;
        int64_t runner_id;
        const Attributes *attributes;
        const char *marker; /* appended to maintenance_note */
        const char *info;   /* JSON object from info_encode() */
        unsigned page;      /* lists: 1 … */
        uint64_t timeout_usec;
} CallArguments;

/* Builds the request of CALL. Bodies are JSON with keys in gitlab-runner's order, `<`, `>`, `&` escaped as Go does.
 * Returns 0, -ENOMEM, or -EINVAL where an argument that the call needs is missing (our bug). */
int request_build(Call call, const CallArguments *arguments, Request *ret);

/* The runner that a reply speaks of. */
typedef struct Identity {
        int64_t runner_id;        /* 0: not told */
        Secret *token;            /* NULL: not told */
        bool has_expiry;          /* token_expires_at was there, be it null */
        uint64_t expires_at_usec; /* realtime; 0: never */
} Identity;

void identity_done(Identity *identity);

/* One runner of a list or of its details, as far as the agent looks. */
typedef struct RunnerRow {
        int64_t runner_id;
        char *maintenance_note;
        uint64_t created_at_usec; /* 0: not told */
} RunnerRow;

/* Reads the ids of a CALL_LIST reply (RET_IDS by malloc) or the details of CALL_SHOW. -EBADMSG if malformed. */
int reply_decode_list(const char *body, size_t size, int64_t **ret_ids, size_t *ret_n);
int reply_decode_row(const char *body, size_t size, RunnerRow *ret);
void runner_row_done(RunnerRow *row);
