#pragma once

/* One GitLab, as the `runners` commands speak to it: where it is, with which secrets, and calls that are awaited one
 * after another, as a person reads their answers in order. Each wait runs the event loop. */

#include <stdbool.h>
#include <stdint.h>

#include "agent/cli/cli.h"
#include "agent/cli/runners-options.h"
#include "agent/core/outcome.h"
#include "agent/core/schedule.h"
#include "agent/http.h"

typedef struct Session {
        const CliContext *context;
        const Invocation *invocation;
        Config *config; /* NULL: none was there, or needed */
        sd_event *event;
        Http *http;
        Target target; /* borrows from config and invocation */
        uint64_t timeout_usec;
        Secret *access_token;
        Secret *token; /* --token-from */
        Random random;
        bool patient;             /* something was done already: a throttle is waited for */
        uint64_t server_now_usec; /* by the last answer's Date */
        char *version;            /* what GET /version told; NULL: not asked, or not told */
        bool version_asked;
} Session;

/* Finds the GitLab. Returns 0 or an exit code, having said why. RET is for session_done() in any case. */
int session_open(const CliContext *context, const Invocation *invocation, Session *ret);
void session_done(Session *session);

/* Reads the secrets that ENDPOINT's calls need and that are not there yet. Returns 0 or an exit code. */
int session_read_secrets(Session *session, const Endpoint *endpoint);

/* A call under way. Starts zeroed, and may be moved about in memory. */
typedef struct Flight Flight;
typedef struct Pending {
        Session *session;
        const Endpoint *endpoint;
        Request request;
        Flight *flight; /* the transfer under way, at an address of its own */
        Reply reply;
        CallOutcome outcome;
        unsigned tries;
        unsigned throttles;
        bool landed; /* `reply` has an answer that is not judged yet */
        bool lost;   /* a try may have been carried out, and its answer got lost */
} Pending;

/* Sends a call; ENDPOINT must outlive PENDING, arguments are copied. Returns 0 or a negative errno. */
int pending_start(
        Pending *pending, Session *session, const Endpoint *endpoint, const Argument *arguments, size_t n_arguments);

/* Waits until an answer is in `reply`, unjudged, for who can go on before it is taken apart. pending_wait() comes
 * after.
 */
int pending_land(Pending *pending);

/* Lets the request leave, if it can at once: for what is started early, before something else takes its time. */
void pending_push(Pending *pending);

/* Waits for the answer, which is then in `reply` and `outcome`. A call that may be repeated is, where that may help;
 * a throttle is waited for once something was done. Returns 0, or a negative errno (then there is no answer). */
int pending_wait(Pending *pending);

/* Safe at any moment: cancels what is under way and forgets all. */
void pending_done(Pending *pending);

/* Both in one, for PENDING that is zeroed or done. */
int session_call(
        Session *session, const Endpoint *endpoint, const Argument *arguments, size_t n_arguments, Pending *pending);

/* Asks once which GitLab this is; 0: unknown. */
unsigned session_release(Session *session);

/* Says on stderr why a call failed: WHAT it was about (NULL: nothing to name), GitLab's words, what to do. R is what
 * session_call() returned. Returns the exit code. */
int session_report(Session *session, Pending *pending, int r, const char *what);

/* The whole url that REQUEST goes to, for messages. Caller frees *ret. Returns 0 or -ENOMEM. */
int session_url_of(Session *session, const Request *request, char **ret);
