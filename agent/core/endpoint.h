#pragma once

/* The Runners API as a table: one row an endpoint, one row below it a parameter. Requests, verdicts, options, help
 * and documentation are read off the rows, so another endpoint is another row. Names are GitLab's; the contract is
 * GitLab's lib/api/ci/runner.rb, lib/api/ci/runners.rb and lib/api/user_runners.rb. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/base/secret.h"
#include "agent/core/api.h"

/* A release of GitLab as a number: RELEASE(14, 8) is 14.8. 0 in a row: as long as this API exists. */
#define RELEASE(major, minor) ((major)*100U + (minor))

/* The oldest that is spoken, by API v3. */
#define RELEASE_OLDEST RELEASE(8, 5)

typedef enum EndpointId {
        ENDPOINT_LIST,
        ENDPOINT_LIST_ALL,
        ENDPOINT_LIST_PROJECT,
        ENDPOINT_LIST_GROUP,
        ENDPOINT_SHOW,
        ENDPOINT_UPDATE,
        ENDPOINT_DELETE_BY_ID,
        ENDPOINT_JOBS,
        ENDPOINT_MANAGERS,
        ENDPOINT_PROJECTS,
        ENDPOINT_ASSIGN,
        ENDPOINT_UNASSIGN,
        ENDPOINT_RESET_BY_ID,
        ENDPOINT_RESET_REGISTRATION_INSTANCE,
        ENDPOINT_RESET_REGISTRATION_GROUP,
        ENDPOINT_RESET_REGISTRATION_PROJECT,
        ENDPOINT_CREATE,
        ENDPOINT_REGISTER,
        ENDPOINT_VERIFY,
        ENDPOINT_RESET,
        ENDPOINT_DELETE_RUNNER,
        ENDPOINT_DELETE_MANAGER,
        ENDPOINT_VERSION,
        _ENDPOINT_MAX,
        _ENDPOINT_INVALID = -EINVAL,
} EndpointId;

typedef enum ParameterType {
        PARAMETER_TEXT,
        PARAMETER_WORD, /* one of `words` */
        PARAMETER_INTEGER,
        PARAMETER_BOOLEAN,
        PARAMETER_LIST,       /* a JSON array; comma-separated in a query */
        PARAMETER_COMMA_LIST, /* one comma-separated string, as gitlab-runner sends it */
        PARAMETER_TIME,       /* ISO 8601 */
        PARAMETER_NAMESPACE,  /* a number, or the full path of a group or project */
        PARAMETER_SECRET,     /* never anywhere but in the body */
        PARAMETER_OBJECT,     /* JSON, ready made */
} ParameterType;

typedef enum ParameterPlace {
        PLACE_PATH, /* `:name` in the path */
        PLACE_QUERY,
        PLACE_BODY,
} ParameterPlace;

typedef enum Credential {
        CREDENTIAL_ACCESS_TOKEN,         /* PRIVATE-TOKEN */
        CREDENTIAL_REGISTRATION_TOKEN,   /* `token` in the body */
        CREDENTIAL_AUTHENTICATION_TOKEN, /* `token` in the body */
} Credential;

typedef enum ReplyShape {
        SHAPE_NONE,
        SHAPE_OBJECT,
        SHAPE_LIST,
        SHAPE_TOKEN, /* an object with a token that is shown only this once */
        SHAPE_ALIVE, /* verify's: an object with the token that was sent, or the text 200 */
} ReplyShape;

/* What the rows of an answer are, and so which columns a table of them has. */
typedef enum View {
        VIEW_PLAIN, /* every member, as it comes */
        VIEW_RUNNER,
        VIEW_JOB,
        VIEW_MANAGER,
        VIEW_PROJECT,
        _VIEW_MAX,
} View;

typedef struct Parameter {
        const char *name; /* NULL ends the list */
        ParameterType type;
        ParameterPlace place;
        bool required;
        bool alone; /* an update of nothing is an error: this counts as something */
        bool deprecated;
        unsigned since;           /* first release that knows it; 0: all */
        const char *const *words; /* NULL-terminated */
        int64_t min;              /* integers */
        size_t max;               /* texts: characters; 0: not limited here */
        const char *excludes;     /* not together with this one */
        bool strict;              /* beyond its bounds GitLab has no tidy answer: never sent */
        bool nullable;            /* null means something: no limit */
        bool positional;          /* on the command line it stands by itself, not behind an option */
        bool internal;            /* no option: the program itself decides */
        const char *option;       /* the option's name where it is not the parameter's with `-` for `_` */
        const char *help;
} Parameter;

typedef struct Endpoint {
        const char *name; /* as messages and tests call it */
        const char *method;
        const char *path; /* below `base` */
        Credential credential;
        const Parameter *parameters; /* in the order in which a body has them */
        unsigned since;              /* first release that has it; 0: all */
        bool v3;                     /* API v3 had it too */
        unsigned success;
        unsigned success_v3; /* where it differs; 0: it does not */
        ReplyShape shape;
        bool paged;
        bool repeatable;    /* sending it twice does what sending it once does */
        bool runner_header; /* the token also goes into RUNNER-TOKEN, as gitlab-runner does it */
        const char *help;

        const char *command; /* the word of `runners` that sends it; NULL: none */
        const char *choice;  /* the option that picks it among the rows of its command; NULL: none of theirs */
        bool several;        /* the command takes several IDs, one call each */
        View view;
        const char *instead; /* what to do at a GitLab that does not have it */

        const char *base;    /* below the url; NULL: REQUEST_BASE */
        const char *base_v3; /* where it lay before API v4; NULL: api/v3/ */
        const char *path_v3; /* NULL: the same path */
} Endpoint;

/* Never NULL for a valid ID. */
const Endpoint *endpoint_get(EndpointId id);

/* The row's parameter NAME, or NULL. */
const Parameter *endpoint_parameter(const Endpoint *endpoint, const char *name);

/* The row as a GitLab before API v4 had it. False: it had none. */
bool endpoint_for_v3(const Endpoint *endpoint, Endpoint *ret);

/* The option of a parameter, without the dashes. Returns BUFFER. */
#define ENDPOINT_OPTION_MAX 40
const char *parameter_option(const Parameter *parameter, char buffer[static ENDPOINT_OPTION_MAX]);

/* "16.0" of a release. Returns BUFFER. */
#define RELEASE_TEXT_MAX 16
const char *release_to_string(unsigned release, char buffer[static RELEASE_TEXT_MAX]);

/* The release that GitLab's version text ("18.5.2-ee") names; 0 where it names none. */
unsigned release_parse(const char *text);

/* The row of one of the agent's calls (of CALL_LIST that of GET /runners: they differ in their paths only). */
const Endpoint *endpoint_of_call(Call call);

/* A parameter's value; its type says which member is read. All borrowed. */
typedef struct Argument {
        const char *name;
        const char *text; /* TEXT, WORD, TIME, NAMESPACE, OBJECT */
        const Secret *secret;
        char *const *list; /* NULL-terminated */
        int64_t integer;   /* INTEGER; BOOLEAN: 0 or 1 */
        bool null;         /* in a body: JSON's null, "none" for a maximum_timeout */
} Argument;

/* Builds the request of ENDPOINT. CREDENTIAL is the access token, or the token that goes into the body; NULL sends
 * none. Arguments that the row does not know are ignored. CALL is noted in the request (_CALL_INVALID: none of the
 * agent's). Returns 0, -ENOMEM, or -EINVAL where a required argument is missing, or one has no value in a form that
 * can be sent. */
int endpoint_build(const Endpoint *endpoint, Call call, const Argument *arguments, size_t n_arguments,
        const Secret *credential, uint64_t timeout_usec, Request *ret);
