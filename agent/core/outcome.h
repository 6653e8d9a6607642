#pragma once

/* What the answer to a person's call means: done, or why not, in GitLab's own words, and what to do about it. The
 * agent's calls are judged by verdict.h, which has to decide about tokens; here a person decides. */

#include <stdbool.h>
#include <stdint.h>

#include "agent/base/time.h"
#include "agent/core/endpoint.h"
#include "agent/core/reply.h"
#include "agent/core/slice.h"

typedef enum CallOutcomeKind {
        OUTCOME_DONE,
        OUTCOME_FAILED,  /* asking again the same way will not help */
        OUTCOME_AGAIN,   /* not reached, failed inside, throttled, or no answer of GitLab's */
        OUTCOME_REFUSED, /* 401, 403, 410: the token, or what it may do */
        _OUTCOME_KIND_MAX,
} CallOutcomeKind;

typedef struct CallOutcome {
        CallOutcomeKind kind;
        unsigned status;     /* 0: no HTTP answer */
        Slice body;          /* the JSON value that came, borrowed from the reply; empty: none */
        bool text_only;      /* verify's text `200` */
        bool no_route;       /* this GitLab does not have the endpoint */
        bool gone;           /* what was to be deleted is not there */
        bool maybe_acted;    /* GitLab may have done what was asked all the same */
        bool too_large;      /* the answer was cut at REPLY_BODY_MAX */
        bool unknown_paused; /* an update of nothing, to a server that does not know `paused` */
        bool throttled;      /* 429 */
        uint64_t wait_usec;  /* 429 and 503: not earlier than this; 0: not told */
        double spread;       /* as in Judgement */
        uint64_t spread_usec;
        char *message; /* one line, without secrets; NULL if done */
        char *advice;  /* what to do; NULL: nothing to say */
} CallOutcome;

/* Judges REPLY, which must outlive RET. Returns 0 or -ENOMEM. */
int outcome_read(const Endpoint *endpoint, const Reply *reply, Now now, CallOutcome *ret);
void outcome_done(CallOutcome *outcome);

/* Whether sending the call again by itself is safe and may help: never what is not idempotent. */
bool outcome_retryable(const Endpoint *endpoint, const CallOutcome *outcome);

/* Whether a refusal of the call's repetition says that its first sending, whose answer got lost, did its work: what
 * was to be deleted is gone. */
bool outcome_done_before(const Endpoint *endpoint, const CallOutcome *outcome);

/* "GitLab 15.11.13 has no POST /user/runners: …"; VERSION is what GET /version told, NULL: unknown. */
int outcome_explain_route(const Endpoint *endpoint, const char *version, char **ret);
