#pragma once

/* What an answer means (one table: a call's row, a verdict's column). The rule above all rows: unknown never deletes
 * and never creates. */

#include <stdbool.h>
#include <stdint.h>

#include "agent/base/time.h"
#include "agent/core/api.h"
#include "agent/core/reply.h"

typedef enum Verdict {
        VERDICT_ALIVE, /* done, or the token works */
        VERDICT_DEAD,  /* GitLab says that it does not know the token */
        VERDICT_AMBIGUOUS,
        VERDICT_PERMANENT, /* asking again the same way will not help */
        VERDICT_WAIT,      /* GitLab told us to come back */
        _VERDICT_MAX,
} Verdict;

const char *verdict_to_string(Verdict verdict);

typedef struct Judgement {
        Verdict verdict;
        bool maybe_acted;     /* AMBIGUOUS: GitLab may have done what was asked although the answer does not say so */
        bool no_route;        /* this GitLab does not have the endpoint */
        bool refused_by_net;  /* TLS, url or redirect: exit code 1 rather than 77 */
        bool gone;            /* a delete met nothing to delete: a manager's 404 */
        bool text_only;       /* verify's text `200`: an old server, which has no managers */
        bool unreachable;     /* no HTTP answer at all */
        uint64_t wait_usec;   /* 429 and 503: not earlier than this from now; 0: not told */
        double spread;        /* RateLimit-Observed over RateLimit-Limit, at least 1; 0: not told */
        uint64_t spread_usec; /* the window over which to spread, 0: not told */
        uint64_t server_usec; /* realtime as the server tells it, in whole seconds; 0: it did not */
        Identity identity;    /* what the reply told */
        int64_t *ids;         /* CALL_LIST: the runners' ids, newest first */
        size_t n_ids;
        bool more_pages; /* CALL_LIST: what is not among `ids` may be on a later page, and later pages are newer */
        char *note;      /* CALL_SHOW: maintenance_note */
        char *message;   /* GitLab's own words, flattened, or the transport's sentence; never a token */
} Judgement;

/* Judges REPLY to CALL at NOW. Waits are capped at VERDICT_WAIT_MAX_USEC. Returns 0 or -ENOMEM. */
int verdict_judge(Call call, const Reply *reply, Now now, Judgement *ret);
void judgement_done(Judgement *judgement);

/* The ExitCode of a command that came to this. */
int judgement_code(const Judgement *judgement);

/* A server that says "in three days" is not obeyed to the letter: people fix throttles within the hour. */
#define VERDICT_WAIT_MAX_USEC USEC_PER_HOUR

/* Enough for GitLab's longest, little enough for a log line. */
#define ERROR_TEXT_MAX 400

/* GitLab's words from an error body of any shape (`message` as string, object of lists, `error`,
 * `error_description`), one line, at most ERROR_TEXT_MAX bytes, control characters replaced. NULL where there are
 * none. Whatever looks like a GitLab token is masked. Returns 0 or -ENOMEM. */
int error_flatten(const char *body, size_t size, char **ret);
