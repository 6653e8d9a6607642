/* agent/core/error: GitLab's words from whatever shape its errors take, fit for a terminal, and without tokens. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/verdict.h"

#define TOKEN "glrt-t1_abcdefghij0123456789"
#define PAGE  "<html><body>Please wait</body></html>"

static void test_flatten(void **state)
{
        static const struct {
                const char *body;
                const char *text;
        } rows[] = {
                {"{\"message\":\"403 Forbidden - No access granted\"}", "403 Forbidden - No access granted"},
                {"{\"message\":{\"maximum_timeout\":[\"needs to be at least 10 minutes\"]}}",
                        "maximum_timeout: needs to be at least 10 minutes"},
                {"{\"message\":{\"tags_list\":[\"a\",\"b\"],\"description\":[\"c\"]}}",
                        "tags_list: a; b, description: c"},
                {"{\"message\":{\"error\":\"too often\"}}", "too often"},
                {"{\"message\":{\"field\":\"plain\"}}", "field: plain"},
                {"{\"message\":[\"a\",\"b\"]}", "a; b"},
                {"{\"error\":\"token is missing\"}", "token is missing"},
                {"{\"error\":\"invalid_token\",\"error_description\":\"Token is expired.\"}", "Token is expired."},
                {"{\"message\":\"\",\"error\":\"x\"}", "x"},
                {"{\"message\":7}", NULL},
                {"{\"message\":{\"a\":[]}}", NULL},
                {"{\"message\":\"  \"}", NULL},
                {"{}", NULL},
                {"[]", NULL},
                {"\"text\"", NULL},
                {PAGE, NULL},
                {"", NULL},
                /* Terminals and logs. */
                {"{\"message\":\"a\\u001b[31mb\\nc\\u0007\\u009b2J\\u202ed\"}", "a [31mb c 2J d"},
                /* Tokens. */
                {"{\"message\":\"bad " TOKEN "!\"}", "bad ***!"},
                {"{\"message\":\"acme-glrt-abcdefgh and glrtr-t1_x and glpat-x\"}", "*** and *** and ***"},
                {"{\"message\":\"GR1348941abcdefgh t1_abcdefghij0123456789\"}", "*** ***"},
                {"{\"message\":\"token: 'abcdefghij0123456789' is wrong\"}", "token: '***' is wrong"},
                {"{\"message\":\"private_token=ABCDEFGHIJ-_23456789\"}", "private_token=***"},
                {"{\"message\":\"token is missing, glrt- is a prefix\"}", "token is missing, glrt- is a prefix"},
                {"{\"message\":\"400 Bad request - token_expires_at is required when token_rotation_deadline is "
                 "specified\"}",
                        "400 Bad request - token_expires_at is required when token_rotation_deadline is specified"},
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                char *text = (char *)"";

                assert_int_equal(error_flatten(rows[i].body, strlen(rows[i].body), &text), 0);
                if (!rows[i].text)
                        assert_null(text);
                else
                        assert_string_equal(text, rows[i].text);
                free(text);
        }
}

/* Long texts end between characters, and a token at the cut is masked, not halved. */
static void test_flatten_long(void **state)
{
        char body[4096], *text;
        size_t n = 0;

        n += (size_t)snprintf(body, sizeof(body), "{\"message\":\"");
        for (size_t i = 0; i < 500; i++)
                n += (size_t)snprintf(body + n, sizeof(body) - n, "ü");
        (void)snprintf(body + n, sizeof(body) - n, "\"}");
        assert_int_equal(error_flatten(body, strlen(body), &text), 0);
        assert_true(strlen(text) <= ERROR_TEXT_MAX);
        assert_string_equal(text + strlen(text) - strlen("ü…"), "ü…");
        free(text);

        for (size_t filler = 370; filler < 405; filler++) {
                n = (size_t)snprintf(body, sizeof(body), "{\"message\":\"");
                memset(body + n, 'x', filler);
                (void)snprintf(body + n + filler, sizeof(body) - n - filler, " " TOKEN "\"}");
                assert_int_equal(error_flatten(body, strlen(body), &text), 0);
                assert_true(strlen(text) <= ERROR_TEXT_MAX);
                assert_null(strstr(text, "glrt"));
                free(text);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_flatten),
                cmocka_unit_test(test_flatten_long),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
