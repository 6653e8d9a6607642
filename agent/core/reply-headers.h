#pragma once

/* The lines of a response's head, one by one as they come: which of their values a Reply keeps. */

#include "agent/core/reply.h"

typedef struct ReplyHeaders {
        Reply *reply; /* borrowed: what is kept goes there */
        size_t bytes; /* of all lines so far */
        bool ended;   /* the blank line was there; what follows are trailers, or another head */
} ReplyHeaders;

/* Takes one line, its end included; it need not end with a NUL. Of a header that comes twice the first counts, of a
 * folded one its first line; an interim answer's are forgotten, and trailers never pass for headers. 0; -E2BIG: all
 * lines together are beyond REPLY_HEADER_MAX; -ENOMEM. */
int reply_headers_take(ReplyHeaders *headers, const char *line, size_t size);
