#pragma once

/* The session token without which AWS's instance metadata (IMDSv2) says nothing: fetched when it is first needed, and
 * again before it ends or when it is not taken any more. */

#include <systemd/sd-event.h>

#include "agent/http.h"

typedef struct AwsToken AwsToken;

/* READY: there is one now, or the old one was refused and a new one is there. REPLY of a failure: for those who tell.
 */
typedef struct AwsTokenHandlers {
        void (*ready)(void *userdata);
        void (*failed)(void *userdata, const Reply *reply);
        void *userdata;
} AwsTokenHandlers;

/* ENDPOINT is borrowed. */
int aws_token_new(
        sd_event *event, Http *http, const char *endpoint, const AwsTokenHandlers *handlers, AwsToken **ret);
AwsToken *aws_token_free(AwsToken *token);
DEFINE_CLEANUP(AwsToken, aws_token_free)

/* Makes the request to GET PATH with the token. -EAGAIN: there is none yet, it is being fetched. */
int aws_token_request(AwsToken *token, const char *path, Request *ret);

/* An answer of 401 came: the token is of no use. */
void aws_token_refused(AwsToken *token);
