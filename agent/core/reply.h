#pragma once

/* What came back from a transfer, free of curl: the shell fills it, verdict.c reads it, a simulator makes it up. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/base/secret.h"

/* How far the exchange got. The line that matters is between "not sent" and "lost": only before it may a call that
 * is not idempotent be sent again. */
typedef enum Transport {
        TRANSPORT_OK,        /* a whole HTTP response came, whatever its status */
        TRANSPORT_NOT_SENT,  /* name, route or connection failed before a byte of the request left */
        TRANSPORT_LOST,      /* bytes were sent, and no whole response came */
        TRANSPORT_TLS,       /* certificate, name, protocol or local key files; nothing of the request left */
        TRANSPORT_BAD_URL,   /* curl can't use the url, the proxy or the files given */
        TRANSPORT_TOO_LARGE, /* the response was cut at a bound of ours: treated like LOST */
        _TRANSPORT_MAX,
} Transport;

typedef struct Reply {
        Transport transport;
        char *error; /* what went wrong below HTTP, a sentence without secrets; NULL if TRANSPORT_OK */

        unsigned status;
        Secret *body; /* may hold a token */
        char *content_type;
        char *location;

        /* Header values as sent, NULL where absent. */
        char *retry_after;
        char *ratelimit_limit;
        char *ratelimit_observed;
        char *ratelimit_remaining;
        char *ratelimit_reset_time;
        char *date;
        char *next_page;
        char *link;
        char *total;
        char *etag;
} Reply;

#define REPLY_BODY_MAX   (1024 * 1024)
#define REPLY_HEADER_MAX (32 * 1024) /* all header lines together */

void reply_done(Reply *reply);
