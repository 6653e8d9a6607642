#pragma once

/* HTTP on the event loop: curl's multi interface in sd-event. One Http serves all runners of a process: connections
 * are pooled per GitLab and reused, HTTP/2 where the server offers it. No call blocks. */

#include <systemd/sd-event.h>

#include "agent/core/api.h"
#include "agent/core/record.h"
#include "agent/core/reply.h"

typedef struct Http Http;
typedef struct Transfer Transfer;

/* Called exactly once per transfer, from the loop, unless it was cancelled. REPLY is the callee's to take apart; what
 * it leaves is freed. The transfer is gone when this is called; the callee may start others and may free the Http's
 * owner no earlier than the next turn of the loop. */
typedef void (*TransferDone)(Reply *reply, void *userdata);

/* USER_AGENT is copied. Attaches to EVENT (referenced). The program has called curl_global_init(), and never undoes
 * it: resolver threads may outlive everything. */
int http_new(sd_event *event, const char *user_agent, Http **ret);

/* Cancels what is under way and tears down in curl's order. A resolver thread that hangs delays nothing. */
Http *http_free(Http *http);
DEFINE_CLEANUP(Http, http_free)

/* Changes the User-Agent of transfers started from now on. */
int http_set_user_agent(Http *http, const char *user_agent);

/* Sends REQUEST to TARGET. Copies what it needs, so both may go at once. Redirects are not followed: they come back
 * as replies with `location`. HTTPS verification has no off switch; TARGET's CA is trusted besides the system's. A
 * proxy is TARGET's (an empty one: none), else what the environment says (https_proxy, http_proxy, all_proxy,
 * no_proxy), as for gitlab-runner.
 *
 * A few transfers per GitLab run at once, the others queue: each waits for its turn no longer than REQUEST's timeout
 * (then TRANSPORT_NOT_SENT), and then has that timeout for itself. The body is bounded by REQUEST's body_max, the
 * headers by REPLY_HEADER_MAX. What may create, or reset a token, is never sent twice: where it would take a second
 * sending, the answer is TRANSPORT_LOST. Failing to start is reported through DONE too, so 0 is returned for all but
 * -ENOMEM. RET may be NULL. */
int http_start(
        Http *http, const Target *target, const Request *request, TransferDone done, void *userdata, Transfer **ret);

/* Safe at any moment; DONE will not come. Accepts NULL, returns NULL. */
Transfer *transfer_cancel(Transfer *transfer);
