/* The head of a response, line by line as curl hands it on, and what the agent then makes of it: kept values are
 * bounded and of one line each, waits are bounded, and no message holds what a terminal obeys. */

#include "agent/core/reply-headers.h"
#include "agent/core/verdict.h"
#include "tests/fuzz/fuzz.h"

static size_t check_value(const char *value)
{
        size_t size = value ? strlen(value) : 0;

        if (size > 0) {
                HOLDS(!strchr(" \t\r", value[0]) && !strchr(" \t\r", value[size - 1]));
                HOLDS(!strchr(value, '\n'));
        }
        return size;
}

static void check_values(const Reply *reply)
{
        size_t size = check_value(reply->content_type) + check_value(reply->location) +
                      check_value(reply->retry_after) + check_value(reply->ratelimit_limit) +
                      check_value(reply->ratelimit_observed) + check_value(reply->ratelimit_remaining) +
                      check_value(reply->ratelimit_reset_time) + check_value(reply->date) +
                      check_value(reply->next_page) + check_value(reply->link) + check_value(reply->total) +
                      check_value(reply->etag);

        HOLDS(size <= REPLY_HEADER_MAX);
}

static void check_judgement(Reply *reply)
{
        static const unsigned statuses[] = {200, 301, 308, 403, 429, 503};
        const Now now = {1787392800 * USEC_PER_SEC, USEC_PER_DAY};

        for (size_t i = 0; i < ELEMENTS(statuses); i++) {
                Judgement judgement = {0};

                reply->status = statuses[i];
                HOLDS(verdict_judge(CALL_VERIFY, reply, now, &judgement) == 0);
                HOLDS(judgement.wait_usec <= VERDICT_WAIT_MAX_USEC);
                HOLDS(judgement.verdict != VERDICT_DEAD);
                fuzz_holds_no_control(judgement.message);
                judgement_done(&judgement);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        Reply reply = {.transport = TRANSPORT_OK};
        ReplyHeaders headers = {.reply = &reply};
        size_t taken = 0;

        while (size > 0) {
                const uint8_t *end = memchr(data, '\n', size);
                size_t n = end ? (size_t)(end - data) + 1 : size;
                /* curl's lines end with no NUL. */
                char *line = malloc(n);

                HOLDS(line);
                memcpy(line, data, n);
                int r = reply_headers_take(&headers, line, n);
                free(line);
                HOLDS(r == (taken + n > REPLY_HEADER_MAX ? -E2BIG : 0));
                if (r < 0)
                        break;
                taken += n;
                data += n;
                size -= n;
        }
        HOLDS(headers.bytes == taken);
        check_values(&reply);
        reply.body = fuzz_secret("{}", 2);
        check_judgement(&reply);
        reply_done(&reply);
        return 0;
}
