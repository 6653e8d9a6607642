#pragma once

/* What a failed transfer means: curl's codes on one side, our Transport and a sentence for people on the other. */

#include <stdbool.h>
#include <stdint.h>

#include <curl/curl.h>

#include "agent/core/record.h"
#include "agent/core/reply.h"

/* Everything that decides, borrowed. */
typedef struct HttpFailure {
        CURLcode code;
        bool sent;              /* curl began to send the request */
        bool body_too_large;    /* cut at body_max */
        size_t body_max;        /* 0: REPLY_BODY_MAX */
        bool headers_too_large; /* cut at REPLY_HEADER_MAX */
        bool headers_begun;     /* a status line came */
        bool resolved;          /* the name was found */
        bool connected;         /* a connection was made */
        long os_errno;          /* of the connection; 0: unknown */
        long verify_result;     /* OpenSSL's X509_V_…; 0: nothing wrong with the chain */
        bool verify_proxy;      /* the result above is about the proxy's certificate */
        long connect_status;    /* the proxy's answer to CONNECT; 0: none */
        const char *place;      /* host:port */
        const char *detail;     /* curl's error buffer */
        const Target *target;
        uint64_t timeout_usec;
        uint64_t connect_timeout_usec;
} HttpFailure;

/* Judges a failed transfer and says why, in a sentence without full stop and without secrets. Whatever is not proven
 * to have failed before the request left counts as TRANSPORT_LOST. Returns 0 or -ENOMEM. */
int http_failure_explain(const HttpFailure *failure, Transport *ret, char **ret_sentence);

/* Checks that the files which TARGET names can be opened. *RET_SENTENCE names setting, file and reason of the first
 * that can't, else it is NULL. Returns 0 or -ENOMEM. */
int http_check_files(const Target *target, char **ret_sentence);
