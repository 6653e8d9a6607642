/* What a reply keeps of its head, line by line as they arrive. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/base/cleanup.h"
#include "agent/core/reply-headers.h"

/* Hands TEXT in line by line, each in memory of its own size, so that reading beyond it is seen. */
static int take_all(ReplyHeaders *headers, const char *text)
{
        while (*text) {
                const char *end = strchr(text, '\n');
                size_t size = end ? (size_t)(end - text) + 1 : strlen(text);
                char *line = malloc(size);

                assert_non_null(line);
                memcpy(line, text, size);
                int r = reply_headers_take(headers, line, size);
                free(line);
                if (r < 0)
                        return r;
                text += size;
        }
        return 0;
}

static void test_every_header_has_its_place(void **state)
{
        Reply reply = {0};
        ReplyHeaders headers = {.reply = &reply};

        assert_int_equal(
                take_all(&headers, "HTTP/1.1 429 Too Many Requests\r\n"
                                   "Content-Type: application/json\r\nLocation: /a\r\nRetry-After: 1\r\n"
                                   "RateLimit-Limit: 2\r\nRateLimit-Observed: 3\r\nRateLimit-Remaining: 4\r\n"
                                   "RateLimit-ResetTime: 5\r\nDate: 6\r\nX-Next-Page: 7\r\nLink: 8\r\nX-Total: 9\r\n"
                                   "ETag: 10\r\nServer: nginx\r\n\r\n"),
                0);
        assert_string_equal(reply.content_type, "application/json");
        assert_string_equal(reply.location, "/a");
        assert_string_equal(reply.retry_after, "1");
        assert_string_equal(reply.ratelimit_limit, "2");
        assert_string_equal(reply.ratelimit_observed, "3");
        assert_string_equal(reply.ratelimit_remaining, "4");
        assert_string_equal(reply.ratelimit_reset_time, "5");
        assert_string_equal(reply.date, "6");
        assert_string_equal(reply.next_page, "7");
        assert_string_equal(reply.link, "8");
        assert_string_equal(reply.total, "9");
        assert_string_equal(reply.etag, "10");
        reply_done(&reply);
}

static void test_retry_after_as_servers_write_it(void **state)
{
        static const struct {
                const char *head;
                const char *retry_after; /* NULL: none */
        } cases[] = {
                {"Retry-After: 7\r\n", "7"},
                {"retry-after:7\r\n", "7"},
                {"RETRY-AFTER: \t 7 \t\r\n", "7"},
                {"Retry-After: 7\n", "7"},
                {"Retry-After: 7", "7"},
                {"Retry-After: 7\r\r\n", "7"},
                {"Retry-After:\r 7\r \r\n", "7"},
                {"Retry-After:\r\n", ""},
                {"Retry-After: \r\n", ""},
                {"Retry-After: a: b\r\n", "a: b"},
                /* The first counts, whatever follows. */
                {"Retry-After: 7\r\nRetry-After: 9\r\n", "7"},
                /* A folded line is a line without a name. */
                {"Retry-After: 7\r\n 9\r\n", "7"},
                {"X: 7\r\n\tRetry-After: 9\r\n", NULL},
                {" Retry-After: 7\r\n", NULL},
                {"Retry-After : 7\r\n", NULL},
                {"Retry-Afte: 7\r\nRetry-After2: 8\r\n", NULL},
                {"Retry-After 7\r\n", NULL},
                {": 7\r\n", NULL},
                {"\r\nRetry-After: 7\r\n", NULL}, /* a trailer */
                /* An interim answer's are not the answer's. */
                {"HTTP/1.1 103 Early Hints\r\nRetry-After: 1\r\n\r\nHTTP/1.1 503 x\r\nRetry-After: 7\r\n\r\n", "7"},
                {"HTTP/1.1 103 Early Hints\r\nRetry-After: 1\r\n\r\nHTTP/2 200\r\n\r\n", NULL},
                {"HTTP", NULL},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Reply reply = {0};
                ReplyHeaders headers = {.reply = &reply};

                assert_int_equal(take_all(&headers, cases[i].head), 0);
                if (!cases[i].retry_after)
                        assert_null(reply.retry_after);
                else
                        assert_string_equal(reply.retry_after, cases[i].retry_after);
                assert_int_equal(headers.bytes, strlen(cases[i].head));
                reply_done(&reply);
        }
}

static void test_a_nul_is_no_end(void **state)
{
        static const char line[] = "Retry-After: 7\0"
                                   "200\r\n";
        Reply reply = {0};
        ReplyHeaders headers = {.reply = &reply};

        assert_int_equal(reply_headers_take(&headers, line, sizeof(line) - 1), 0);
        assert_null(reply.retry_after);
        assert_int_equal(headers.bytes, sizeof(line) - 1);
}

/* A server that never stops sending its head. */
static void test_all_lines_together_have_a_bound(void **state)
{
        static const char line[] = "X-Filler: 0123456789012345678901234567890123456789\r\n";
        static char long_line[REPLY_HEADER_MAX];
        Reply reply = {0};
        ReplyHeaders headers = {.reply = &reply};

        for (size_t i = 0; i < REPLY_HEADER_MAX / strlen(line); i++)
                assert_int_equal(reply_headers_take(&headers, line, strlen(line)), 0);
        assert_int_equal(reply_headers_take(&headers, line, strlen(line)), -E2BIG);

        memset(long_line, 'x', sizeof(long_line));
        memcpy(long_line, "Date: ", 6);
        headers = (ReplyHeaders){.reply = &reply};
        assert_int_equal(reply_headers_take(&headers, long_line, sizeof(long_line)), 0);
        assert_int_equal(strlen(reply.date), REPLY_HEADER_MAX - 6);
        assert_int_equal(reply_headers_take(&headers, "\n", 1), -E2BIG);
        reply_done(&reply);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_header_has_its_place),
                cmocka_unit_test(test_retry_after_as_servers_write_it),
                cmocka_unit_test(test_a_nul_is_no_end),
                cmocka_unit_test(test_all_lines_together_have_a_bound),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
