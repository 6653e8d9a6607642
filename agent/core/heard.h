#pragma once

/* What the clouds have announced so far; what of an answer is news, and what is announced no more. */

#include "agent/core/notice.h"

/* Where a notice comes from: each answers with all that it has to announce, or with nothing. */
typedef enum HeardSource {
        HEARD_AWS_ACTION,
        HEARD_AWS_LIFECYCLE,
        HEARD_AWS_REBALANCE,
        HEARD_GCP_PREEMPTED,
        HEARD_GCP_MAINTENANCE,
        HEARD_AZURE,
        _HEARD_SOURCE_MAX,
} HeardSource;

/* The oldest are forgotten first. */
#define HEARD_MAX 64

typedef struct HeardNotice {
        CloudNotice notice; /* its deadline in boottime */
        HeardSource source;
        unsigned n_missing; /* answers in a row that did not have it any more */
        uint64_t missing_since_usec;
} HeardNotice;

typedef struct Heard {
        HeardNotice items[HEARD_MAX];
        size_t n;
} Heard;

/* Whether NOTICE was not heard before, or has a nearer deadline than before. It is kept. */
bool heard_is_news(Heard *heard, HeardSource source, const CloudNotice *notice, Now now);

/* SOURCE has answered with LIST and nothing else: counts what of its notices is missing there, of those that take the
 * host; a migration that is over is no news. Whether something is, so that it had better be asked again soon. */
bool heard_count_missing(Heard *heard, HeardSource source, const CloudNotice *list, size_t n, Now now);

/* After that: *RET is a notice that SOURCE has not told any more for several answers and seconds, so that the host
 * stays. It is forgotten, and news if it comes again. To be called until it returns false. */
bool heard_take_cancelled(Heard *heard, HeardSource source, Now now, CloudNotice *ret);

/* Whether anything is announced that takes the host. */
bool heard_takes_host(const Heard *heard);

/* Whether such a notice takes the host: a preemption or a termination. */
bool cloud_notice_takes_host(const CloudNotice *notice);
