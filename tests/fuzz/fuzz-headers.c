/* When a server wants us back, in its headers' words: lines of Retry-After, RateLimit-ResetTime, Date,
 * RateLimit-Limit, RateLimit-Observed. Every wait has a bound. */

#include "agent/core/verdict.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const Now now = {1787392800 * USEC_PER_SEC, USEC_PER_DAY};
        Judgement judgement = {0};
        Reply reply = {.transport = TRANSPORT_OK, .status = fuzz_take(&data, &size) & 1 ? 429 : 503};
        uint64_t at;

        if (size > 0 && time_parse_rfc3339((const char *)data, size, &at) == 0) {
                char text[TIME_RFC3339_MAX];
                uint64_t again = 0;

                (void)time_format_rfc3339(at, text);
                HOLDS(time_parse_rfc3339(text, strlen(text), &again) == 0 && again == at);
        }
        reply.retry_after = fuzz_take_line(&data, &size);
        reply.ratelimit_reset_time = fuzz_take_line(&data, &size);
        reply.date = fuzz_take_line(&data, &size);
        reply.ratelimit_limit = fuzz_take_line(&data, &size);
        reply.ratelimit_observed = fuzz_take_line(&data, &size);
        HOLDS(verdict_judge(CALL_VERIFY, &reply, now, &judgement) == 0);
        HOLDS(judgement.wait_usec <= VERDICT_WAIT_MAX_USEC);
        HOLDS(judgement.spread == 0 || (judgement.spread >= 1 && judgement.spread < 1e11));
        judgement_done(&judgement);
        reply_done(&reply);
        return 0;
}
