/* When GitLab wants us back. */

#include <stdlib.h>
#include <string.h>

#include "agent/core/reply-json.h"
#include "agent/core/verdict.h"

/* What RateLimit-Limit counts by, whatever the administrator's own period is (lib/gitlab/rack_attack.rb). */
#define RATELIMIT_WINDOW_USEC (60 * USEC_PER_SEC)

/* A whole number without sign, blanks or rest; UINT64_MAX: it is none. Longer ones than any header needs count as
 * huge. */
static uint64_t parse_count(const char *text)
{
        uint64_t value = 0;

        if (!text || !*text)
                return UINT64_MAX;
        for (; *text; text++) {
                if (*text < '0' || *text > '9')
                        return UINT64_MAX;
                if (value < UINT32_MAX)
                        value = value * 10 + (uint64_t)(*text - '0');
        }
        return value;
}

/* Seconds or an HTTP date, relative to NOW; 0 if absent, malformed or past. */
static uint64_t retry_after_parse(const char *value, Now now)
{
        uint64_t seconds = parse_count(value), at;

        if (seconds != UINT64_MAX)
                return seconds * USEC_PER_SEC;
        if (!value || time_parse_http_date(value, &at) < 0)
                return 0;
        return usec_sub(at, now.realtime_usec);
}

static uint64_t reset_time_parse(const char *value, Now now)
{
        uint64_t at;

        return value && time_parse_http_date(value, &at) >= 0 ? usec_sub(at, now.realtime_usec) : 0;
}

void wait_read(const Reply *reply, Now now, Judgement *judgement)
{
        uint64_t limit = parse_count(reply->ratelimit_limit), observed = parse_count(reply->ratelimit_observed);
        bool throttled = reply->status == 429;

        if (!throttled && reply->status != 503)
                return;
        /* Dates are the server's: where it tells its clock, ours does not matter. */
        if (judgement->server_usec > 0)
                now.realtime_usec = judgement->server_usec;

        uint64_t wait = retry_after_parse(reply->retry_after, now);
        uint64_t reset = throttled ? reset_time_parse(reply->ratelimit_reset_time, now) : 0;
        if (reset > wait)
                wait = reset;
        judgement->wait_usec = wait < VERDICT_WAIT_MAX_USEC ? wait : VERDICT_WAIT_MAX_USEC;

        if (!throttled || limit == UINT64_MAX || observed == UINT64_MAX || limit == 0)
                return;
        judgement->spread = observed > limit ? (double)observed / (double)limit : 1;
        judgement->spread_usec = RATELIMIT_WINDOW_USEC;
}
