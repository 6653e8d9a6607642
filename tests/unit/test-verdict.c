/* agent/core/verdict: every cell of its table. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/json-memory.h"
#include "tests/unit/judge.h"

typedef struct Row {
        Call call;
        unsigned status;
        const char *type;
        const char *body;
        Verdict verdict;
        unsigned flags;
} Row;

static void check_rows(const Row *rows, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                Judgement j;

                judge_status(rows[i].call, rows[i].status, rows[i].type, rows[i].body, &j);
                if (j.verdict != rows[i].verdict || flags_of(&j) != rows[i].flags)
                        fail_msg("row %zu: %s %u '%s': %s with flags %x, expected %s with %x", i,
                                call_to_string(rows[i].call), rows[i].status, rows[i].body ? rows[i].body : "",
                                verdict_to_string(j.verdict), flags_of(&j), verdict_to_string(rows[i].verdict),
                                rows[i].flags);
                assert_true((j.message == NULL) == (j.verdict == VERDICT_ALIVE));
                judgement_done(&j);
        }
}

#define CHECK(rows) check_rows(rows, sizeof(rows) / sizeof((rows)[0]))

#define FORBIDDEN   "{\"message\":\"403 Forbidden\"}"
#define READ_ONLY   "{\"message\":\"You cannot perform write operations on a read-only instance\"}"
#define MAINTENANCE "{\"message\":\"GitLab is not accepting requests\"}"
#define NO_ACCESS   "{\"message\":\"403 Forbidden - No access granted\"}"
#define SEVERAL     "{\"message\":\"403 Forbidden - Runner associated with more than one project\"}"
#define SCOPE                                                                                                        \
        "{\"error\":\"insufficient_scope\",\"error_description\":\"The request requires higher privileges than "     \
        "provided by the access token.\",\"scope\":\"create_runner api\"}"
#define GRANULAR     "{\"error\":\"insufficient_granular_scope\"}"
#define DEADLINE     "{\"error\":\"Token rotation deadline has passed\"}"
#define UNAUTHORIZED "{\"message\":\"401 Unauthorized\"}"
#define NO_ROUTE_404 "{\"error\":\"404 Not Found\"}"
#define NO_ROUTE_405 "{\"error\":\"405 Not Allowed\"}"
#define GONE_OLD     "{\"message\":\"404 Not found\"}"
#define GONE_NEW     "{\"message\":\"404 Runner Not Found\"}"
#define MANAGER_404  "{\"message\":\"404 Runner manager not found Not Found\"}"
#define CONFLICT     "{\"message\":\"409 Conflict: Resource lock\"}"
#define DISALLOWED   "{\"message\":\"410 Gone - runner registration disallowed\"}"
#define ORPHANED     "{\"message\":\"Runner is orphaned\"}"
#define ERROR_500    "{\"message\":\"500 Internal Server Error\"}"
#define CREATED      "{\"id\":42,\"token\":\"" TOKEN "\",\"token_expires_at\":\"2026-09-01T00:00:00.000Z\"}"
#define RESET        "{\"token\":\"" TOKEN "\",\"token_expires_at\":null}"

static void test_verify(void **state)
{
        static const Row rows[] = {
                {CALL_VERIFY, 200, JSON, CREATED, VERDICT_ALIVE, 0},
                {CALL_VERIFY, 200, JSON, "{}", VERDICT_ALIVE, 0},
                {CALL_VERIFY, 200, "Application/JSON; charset=utf-8", "{\"id\":1,\"new\":{\"x\":[]}}", VERDICT_ALIVE,
                        0},
                {CALL_VERIFY, 200, TEXT, "200", VERDICT_ALIVE, TEXT_ONLY},
                {CALL_VERIFY, 200, TEXT, "200\n", VERDICT_ALIVE, TEXT_ONLY},
                {CALL_VERIFY, 200, NULL, "200", VERDICT_ALIVE, TEXT_ONLY},
                {CALL_VERIFY, 200, JSON, "\"200\"", VERDICT_ALIVE, TEXT_ONLY},
                {CALL_VERIFY, 200, JSON, "200", VERDICT_ALIVE, TEXT_ONLY},
                {CALL_VERIFY, 200, HTML, "200", VERDICT_AMBIGUOUS, ACTED},
                {CALL_VERIFY, 200, HTML, CREATED, VERDICT_AMBIGUOUS, ACTED},
                {CALL_VERIFY, 200, HTML, PAGE, VERDICT_AMBIGUOUS, ACTED},
                {CALL_VERIFY, 200, TEXT, "OK", VERDICT_AMBIGUOUS, ACTED},
                {CALL_VERIFY, 200, JSON, "{\"id\":42,\"tok", VERDICT_AMBIGUOUS, ACTED},
                {CALL_VERIFY, 200, JSON, "[]", VERDICT_AMBIGUOUS, ACTED},
                {CALL_VERIFY, 200, JSON, "{\"id\":\"42\"}", VERDICT_AMBIGUOUS, ACTED},
                {CALL_VERIFY, 200, JSON, "{\"id\":1,\"token\":\"a b\"}", VERDICT_AMBIGUOUS, ACTED},
                {CALL_VERIFY, 200, NULL, NULL, VERDICT_AMBIGUOUS, ACTED},
                {CALL_VERIFY, 201, JSON, CREATED, VERDICT_AMBIGUOUS, ACTED},
                {CALL_VERIFY, 204, NULL, NULL, VERDICT_AMBIGUOUS, ACTED},
                {CALL_VERIFY, 403, JSON, FORBIDDEN, VERDICT_DEAD, 0},
                {CALL_VERIFY, 403, JSON, "{\"message\":\"403 Forbidden \"}", VERDICT_AMBIGUOUS, 0},
                {CALL_VERIFY, 403, JSON, "{\"message\":\"403 Forbidden - Runner is orphaned\"}", VERDICT_AMBIGUOUS,
                        0},
                {CALL_VERIFY, 403, JSON, READ_ONLY, VERDICT_AMBIGUOUS, 0},
                {CALL_VERIFY, 403, JSON, MAINTENANCE, VERDICT_AMBIGUOUS, 0},
                {CALL_VERIFY, 403, JSON, "{\"error\":\"403 Forbidden\"}", VERDICT_AMBIGUOUS, 0},
                {CALL_VERIFY, 403, JSON, SCOPE, VERDICT_AMBIGUOUS, 0},
                {CALL_VERIFY, 403, TEXT, FORBIDDEN, VERDICT_AMBIGUOUS, 0},
                {CALL_VERIFY, 403, NULL, FORBIDDEN, VERDICT_AMBIGUOUS, 0},
                {CALL_VERIFY, 403, HTML, PAGE, VERDICT_AMBIGUOUS, 0},
                {CALL_VERIFY, 403, JSON, "{\"message\":\"403 Forbidden\"", VERDICT_AMBIGUOUS, 0},
                {CALL_VERIFY, 403, JSON, "{\"message\":\"403 Forbidden\",\"message\":\"x\"}", VERDICT_AMBIGUOUS, 0},
                {CALL_VERIFY, 400, JSON, "{\"error\":\"token is missing\"}", VERDICT_AMBIGUOUS, 0},
                {CALL_VERIFY, 401, JSON, UNAUTHORIZED, VERDICT_AMBIGUOUS, 0},
                {CALL_VERIFY, 404, JSON, NO_ROUTE_404, VERDICT_AMBIGUOUS, NO_ROUTE},
                {CALL_VERIFY, 404, JSON, GONE_NEW, VERDICT_AMBIGUOUS, 0},
                {CALL_VERIFY, 404, HTML, PAGE, VERDICT_AMBIGUOUS, 0},
                {CALL_VERIFY, 410, JSON, DISALLOWED, VERDICT_AMBIGUOUS, 0},
                {CALL_VERIFY, 422, JSON, ORPHANED, VERDICT_AMBIGUOUS, 0},
                {CALL_VERIFY, 429, TEXT, "Retry later\n", VERDICT_WAIT, 0},
                {CALL_VERIFY, 500, JSON, ERROR_500, VERDICT_AMBIGUOUS, ACTED},
                {CALL_VERIFY, 502, HTML, PAGE, VERDICT_AMBIGUOUS, ACTED},
                {CALL_VERIFY, 503, JSON, FORBIDDEN, VERDICT_AMBIGUOUS, ACTED},
        };

        CHECK(rows);
}

static void test_create(void **state)
{
        static const Call calls[] = {CALL_REGISTER, CALL_CREATE};

        for (size_t i = 0; i < 2; i++) {
                const Call call = calls[i];
                const Row rows[] = {
                        {call, 201, JSON, CREATED, VERDICT_ALIVE, 0},
                        {call, 201, JSON, "{\"id\":42,\"token\":\"" TOKEN "\"}", VERDICT_ALIVE, 0},
                        {call, 201, JSON, "{\"id\":42,\"token\":\"\"}", VERDICT_AMBIGUOUS, ACTED},
                        {call, 201, JSON, "{\"id\":42,\"token\":\"two words\"}", VERDICT_AMBIGUOUS, ACTED},
                        {call, 201, JSON, "{\"id\":42,\"token\":7}", VERDICT_AMBIGUOUS, ACTED},
                        {call, 201, JSON, "{\"id\":42}", VERDICT_AMBIGUOUS, ACTED},
                        {call, 201, JSON, "{\"token\":\"" TOKEN "\"}", VERDICT_AMBIGUOUS, ACTED},
                        {call, 201, JSON, "{\"id\":0,\"token\":\"" TOKEN "\"}", VERDICT_AMBIGUOUS, ACTED},
                        {call, 201, JSON, "{\"id\":-1,\"token\":\"" TOKEN "\"}", VERDICT_AMBIGUOUS, ACTED},
                        {call, 201, JSON, "{\"id\":1,\"token\":\"" TOKEN "\",\"token_expires_at\":5}",
                                VERDICT_AMBIGUOUS, ACTED},
                        {call, 201, JSON, "{\"id\":42,", VERDICT_AMBIGUOUS, ACTED},
                        {call, 201, HTML, CREATED, VERDICT_AMBIGUOUS, ACTED},
                        {call, 200, JSON, CREATED, VERDICT_AMBIGUOUS, ACTED},
                        {call, 202, JSON, "{}", VERDICT_AMBIGUOUS, ACTED},
                        {call, 204, NULL, NULL, VERDICT_AMBIGUOUS, ACTED},
                        {call, 400, JSON, "{\"error\":\"token is missing\"}", VERDICT_PERMANENT, 0},
                        {call, 400, JSON, "{\"message\":{\"tags_list\":[\"can not be empty\"]}}", VERDICT_PERMANENT,
                                0},
                        {call, 400, HTML, PAGE, VERDICT_AMBIGUOUS, 0},
                        {call, 401, JSON, UNAUTHORIZED, VERDICT_PERMANENT, 0},
                        {call, 401, HTML, PAGE, VERDICT_AMBIGUOUS, 0},
                        {call, 403, JSON, FORBIDDEN, VERDICT_PERMANENT, 0},
                        {call, 403, JSON, "{\"message\":\"403 Forbidden - invalid token supplied\"}",
                                VERDICT_PERMANENT, 0},
                        {call, 403, JSON, SCOPE, VERDICT_PERMANENT, 0},
                        {call, 403, JSON, GRANULAR, VERDICT_PERMANENT, 0},
                        {call, 403, JSON, DEADLINE, VERDICT_PERMANENT, 0},
                        {call, 403, JSON, READ_ONLY, VERDICT_AMBIGUOUS, 0},
                        {call, 403, JSON, "{\"message\":\"403 Forbiddenish\"}", VERDICT_AMBIGUOUS, 0},
                        {call, 403, HTML, PAGE, VERDICT_AMBIGUOUS, 0},
                        {call, 404, JSON, NO_ROUTE_404, VERDICT_PERMANENT, NO_ROUTE},
                        {call, 404, JSON, GONE_OLD, VERDICT_PERMANENT, 0},
                        {call, 404, HTML, PAGE, VERDICT_AMBIGUOUS, 0},
                        {call, 405, JSON, NO_ROUTE_405, VERDICT_PERMANENT, NO_ROUTE},
                        {call, 405, HTML, PAGE, VERDICT_AMBIGUOUS, 0},
                        {call, 408, HTML, PAGE, VERDICT_AMBIGUOUS, ACTED},
                        {call, 409, JSON, CONFLICT, VERDICT_AMBIGUOUS, ACTED},
                        {call, 410, JSON, DISALLOWED, VERDICT_PERMANENT, 0},
                        {call, 410, HTML, PAGE, VERDICT_AMBIGUOUS, 0},
                        {call, 412, JSON, "{\"message\":\"412 Precondition Failed\"}", VERDICT_AMBIGUOUS, 0},
                        {call, 415, JSON, "{\"error\":\"x\"}", VERDICT_AMBIGUOUS, 0},
                        {call, 422, JSON, "{\"message\":\"x\"}", VERDICT_PERMANENT, 0},
                        {call, 429, TEXT, "Retry later", VERDICT_WAIT, 0},
                        {call, 500, JSON, ERROR_500, VERDICT_AMBIGUOUS, ACTED},
                        {call, 501, JSON, "{\"message\":\"no\"}", VERDICT_AMBIGUOUS, ACTED},
                        {call, 502, HTML, PAGE, VERDICT_AMBIGUOUS, ACTED},
                        {call, 503, HTML, PAGE, VERDICT_AMBIGUOUS, ACTED},
                        {call, 504, HTML, PAGE, VERDICT_AMBIGUOUS, ACTED},
                        {call, 0, NULL, NULL, VERDICT_AMBIGUOUS, ACTED},
                };

                CHECK(rows);
        }
}

static void test_reset(void **state)
{
        static const Row rows[] = {
                {CALL_RESET, 201, JSON, RESET, VERDICT_ALIVE, 0},
                {CALL_RESET, 201, JSON, "{\"token_expires_at\":null}", VERDICT_AMBIGUOUS, ACTED},
                {CALL_RESET, 201, JSON, "{\"token\":\"\"}", VERDICT_AMBIGUOUS, ACTED},
                {CALL_RESET, 200, JSON, RESET, VERDICT_AMBIGUOUS, ACTED},
                {CALL_RESET, 201, HTML, PAGE, VERDICT_AMBIGUOUS, ACTED},
                {CALL_RESET, 400, JSON, "{\"error\":\"token is missing\"}", VERDICT_AMBIGUOUS, 0},
                {CALL_RESET, 401, JSON, UNAUTHORIZED, VERDICT_AMBIGUOUS, 0},
                {CALL_RESET, 403, JSON, FORBIDDEN, VERDICT_DEAD, 0},
                {CALL_RESET, 403, JSON, NO_ACCESS, VERDICT_AMBIGUOUS, 0},
                {CALL_RESET, 403, JSON, READ_ONLY, VERDICT_AMBIGUOUS, 0},
                {CALL_RESET, 403, JSON, DEADLINE, VERDICT_PERMANENT, 0},
                {CALL_RESET, 403, HTML, PAGE, VERDICT_AMBIGUOUS, 0},
                {CALL_RESET, 404, JSON, NO_ROUTE_404, VERDICT_AMBIGUOUS, NO_ROUTE},
                {CALL_RESET, 404, JSON, GONE_NEW, VERDICT_AMBIGUOUS, 0},
                {CALL_RESET, 405, JSON, NO_ROUTE_405, VERDICT_AMBIGUOUS, NO_ROUTE},
                {CALL_RESET, 409, JSON, CONFLICT, VERDICT_AMBIGUOUS, ACTED},
                {CALL_RESET, 410, JSON, DISALLOWED, VERDICT_AMBIGUOUS, 0},
                {CALL_RESET, 422, JSON, "{\"error\":\"needs to be assigned to at least one project\"}",
                        VERDICT_PERMANENT, 0},
                {CALL_RESET, 422, HTML, PAGE, VERDICT_AMBIGUOUS, 0},
                {CALL_RESET, 429, JSON, "{\"message\":\"x\"}", VERDICT_WAIT, 0},
                {CALL_RESET, 500, JSON, ERROR_500, VERDICT_AMBIGUOUS, ACTED},
                {CALL_RESET, 502, HTML, PAGE, VERDICT_AMBIGUOUS, ACTED},
                {CALL_RESET_BY_ID, 201, JSON, RESET, VERDICT_ALIVE, 0},
                {CALL_RESET_BY_ID, 201, JSON, "{}", VERDICT_AMBIGUOUS, ACTED},
                {CALL_RESET_BY_ID, 401, JSON, UNAUTHORIZED, VERDICT_AMBIGUOUS, 0},
                {CALL_RESET_BY_ID, 403, JSON, NO_ACCESS, VERDICT_PERMANENT, 0},
                {CALL_RESET_BY_ID, 403, JSON, SCOPE, VERDICT_PERMANENT, 0},
                {CALL_RESET_BY_ID, 403, JSON, DEADLINE, VERDICT_PERMANENT, 0},
                {CALL_RESET_BY_ID, 403, JSON, READ_ONLY, VERDICT_AMBIGUOUS, 0},
                {CALL_RESET_BY_ID, 404, JSON, GONE_OLD, VERDICT_DEAD, 0},
                {CALL_RESET_BY_ID, 404, JSON, GONE_NEW, VERDICT_DEAD, 0},
                {CALL_RESET_BY_ID, 404, JSON, NO_ROUTE_404, VERDICT_AMBIGUOUS, NO_ROUTE},
                {CALL_RESET_BY_ID, 404, HTML, PAGE, VERDICT_AMBIGUOUS, 0},
                {CALL_RESET_BY_ID, 422, JSON, "{\"error\":\"x\"}", VERDICT_PERMANENT, 0},
                {CALL_RESET_BY_ID, 429, TEXT, "Retry later", VERDICT_WAIT, 0},
                {CALL_RESET_BY_ID, 503, HTML, PAGE, VERDICT_AMBIGUOUS, ACTED},
        };

        CHECK(rows);
}

static void test_delete(void **state)
{
        static const Row rows[] = {
                {CALL_DELETE_RUNNER, 204, NULL, NULL, VERDICT_ALIVE, 0},
                {CALL_DELETE_RUNNER, 204, HTML, PAGE, VERDICT_ALIVE, 0},
                {CALL_DELETE_RUNNER, 200, JSON, "{}", VERDICT_AMBIGUOUS, ACTED},
                {CALL_DELETE_RUNNER, 401, JSON, UNAUTHORIZED, VERDICT_AMBIGUOUS, 0},
                {CALL_DELETE_RUNNER, 403, JSON, FORBIDDEN, VERDICT_DEAD, 0},
                {CALL_DELETE_RUNNER, 403, JSON, READ_ONLY, VERDICT_AMBIGUOUS, 0},
                {CALL_DELETE_RUNNER, 403, JSON, NO_ACCESS, VERDICT_AMBIGUOUS, 0},
                {CALL_DELETE_RUNNER, 404, JSON, NO_ROUTE_404, VERDICT_AMBIGUOUS, NO_ROUTE},
                {CALL_DELETE_RUNNER, 404, JSON, MANAGER_404, VERDICT_AMBIGUOUS, 0},
                {CALL_DELETE_RUNNER, 412, JSON, "{\"message\":\"412 Precondition Failed\"}", VERDICT_AMBIGUOUS, 0},
                {CALL_DELETE_RUNNER, 429, TEXT, "Retry later", VERDICT_WAIT, 0},
                {CALL_DELETE_RUNNER, 500, JSON, ERROR_500, VERDICT_AMBIGUOUS, ACTED},
                {CALL_DELETE_MANAGER, 204, NULL, NULL, VERDICT_ALIVE, 0},
                {CALL_DELETE_MANAGER, 404, JSON, MANAGER_404, VERDICT_ALIVE, GONE},
                {CALL_DELETE_MANAGER, 404, HTML, MANAGER_404, VERDICT_AMBIGUOUS, 0},
                {CALL_DELETE_MANAGER, 404, JSON, GONE_OLD, VERDICT_AMBIGUOUS, 0},
                {CALL_DELETE_MANAGER, 403, JSON, FORBIDDEN, VERDICT_DEAD, 0},
                {CALL_DELETE_MANAGER, 403, JSON, READ_ONLY, VERDICT_AMBIGUOUS, 0},
                /* A server without managers takes it for DELETE /runners/:id. */
                {CALL_DELETE_MANAGER, 400, JSON, "{\"error\":\"id is invalid\"}", VERDICT_AMBIGUOUS, NO_ROUTE},
                {CALL_DELETE_MANAGER, 400, JSON, "{\"error\":\"system_id is missing\"}", VERDICT_AMBIGUOUS, 0},
                {CALL_DELETE_MANAGER, 401, JSON, UNAUTHORIZED, VERDICT_AMBIGUOUS, NO_ROUTE},
                {CALL_DELETE_MANAGER, 401, HTML, PAGE, VERDICT_AMBIGUOUS, 0},
                {CALL_DELETE_MANAGER, 404, JSON, NO_ROUTE_404, VERDICT_AMBIGUOUS, NO_ROUTE},
                {CALL_DELETE_MANAGER, 405, JSON, NO_ROUTE_405, VERDICT_AMBIGUOUS, NO_ROUTE},
                {CALL_DELETE_MANAGER, 429, TEXT, "Retry later", VERDICT_WAIT, 0},
                {CALL_DELETE_MANAGER, 503, HTML, PAGE, VERDICT_AMBIGUOUS, ACTED},
                {CALL_DELETE_BY_ID, 204, NULL, NULL, VERDICT_ALIVE, 0},
                {CALL_DELETE_BY_ID, 401, JSON, UNAUTHORIZED, VERDICT_PERMANENT, 0},
                {CALL_DELETE_BY_ID, 401, HTML, PAGE, VERDICT_AMBIGUOUS, 0},
                {CALL_DELETE_BY_ID, 403, JSON, NO_ACCESS, VERDICT_PERMANENT, 0},
                {CALL_DELETE_BY_ID, 403, JSON, SEVERAL, VERDICT_PERMANENT, 0},
                {CALL_DELETE_BY_ID, 403, JSON, SCOPE, VERDICT_PERMANENT, 0},
                {CALL_DELETE_BY_ID, 403, JSON, READ_ONLY, VERDICT_AMBIGUOUS, 0},
                {CALL_DELETE_BY_ID, 404, JSON, GONE_OLD, VERDICT_DEAD, 0},
                {CALL_DELETE_BY_ID, 404, JSON, GONE_NEW, VERDICT_DEAD, 0},
                {CALL_DELETE_BY_ID, 404, JSON, NO_ROUTE_404, VERDICT_PERMANENT, NO_ROUTE},
                {CALL_DELETE_BY_ID, 405, JSON, NO_ROUTE_405, VERDICT_PERMANENT, NO_ROUTE},
                {CALL_DELETE_BY_ID, 412, JSON, "{\"message\":\"412 Precondition Failed\"}", VERDICT_AMBIGUOUS, 0},
                {CALL_DELETE_BY_ID, 429, TEXT, "Retry later", VERDICT_WAIT, 0},
                {CALL_DELETE_BY_ID, 500, JSON, ERROR_500, VERDICT_AMBIGUOUS, ACTED},
        };

        CHECK(rows);
}

static void test_look(void **state)
{
        static const Row rows[] = {
                {CALL_LIST, 200, JSON, "[{\"id\":3},{\"id\":4}]", VERDICT_ALIVE, 0},
                {CALL_LIST, 200, JSON, "[]", VERDICT_ALIVE, 0},
                {CALL_LIST, 200, JSON, "{}", VERDICT_AMBIGUOUS, 0},
                {CALL_LIST, 200, JSON, "[{\"id\":\"3\"}]", VERDICT_AMBIGUOUS, 0},
                {CALL_LIST, 200, JSON, "[7]", VERDICT_AMBIGUOUS, 0},
                {CALL_LIST, 200, HTML, "[]", VERDICT_AMBIGUOUS, 0},
                {CALL_LIST, 401, JSON, UNAUTHORIZED, VERDICT_PERMANENT, 0},
                {CALL_LIST, 403, JSON, FORBIDDEN, VERDICT_PERMANENT, 0},
                {CALL_LIST, 403, JSON, SCOPE, VERDICT_PERMANENT, 0},
                {CALL_LIST, 403, JSON, MAINTENANCE, VERDICT_AMBIGUOUS, 0},
                {CALL_LIST, 404, JSON, "{\"message\":\"404 Group Not Found\"}", VERDICT_AMBIGUOUS, 0},
                {CALL_LIST, 404, JSON, NO_ROUTE_404, VERDICT_PERMANENT, NO_ROUTE},
                {CALL_LIST, 429, TEXT, "Retry later", VERDICT_WAIT, 0},
                {CALL_LIST, 500, JSON, ERROR_500, VERDICT_AMBIGUOUS, 0},
                {CALL_SHOW, 200, JSON, "{\"id\":3}", VERDICT_ALIVE, 0},
                {CALL_SHOW, 200, JSON, "[]", VERDICT_AMBIGUOUS, 0},
                {CALL_SHOW, 200, JSON, "{\"id\":3,\"maintenance_note\":7}", VERDICT_AMBIGUOUS, 0},
                {CALL_SHOW, 401, JSON, UNAUTHORIZED, VERDICT_PERMANENT, 0},
                {CALL_SHOW, 403, JSON, NO_ACCESS, VERDICT_PERMANENT, 0},
                {CALL_SHOW, 404, JSON, GONE_OLD, VERDICT_DEAD, 0},
                {CALL_SHOW, 404, JSON, GONE_NEW, VERDICT_DEAD, 0},
                {CALL_SHOW, 404, JSON, NO_ROUTE_404, VERDICT_PERMANENT, NO_ROUTE},
                {CALL_SHOW, 404, HTML, PAGE, VERDICT_AMBIGUOUS, 0},
                {CALL_SHOW, 502, HTML, PAGE, VERDICT_AMBIGUOUS, 0},
        };
        Judgement j;

        CHECK(rows);

        judge(CALL_LIST, (Reply){.status = 200, .content_type = (char *)JSON, .next_page = (char *)"2"},
                "[{\"id\":3},{\"id\":9223372036854775807},{\"id\":7}]", &j);
        assert_int_equal(j.n_ids, 3);
        assert_int_equal(j.ids[0], INT64_MAX);
        assert_int_equal(j.ids[1], 7);
        assert_int_equal(j.ids[2], 3);
        assert_true(j.more_pages);
        judgement_done(&j);

        judge(CALL_LIST, (Reply){.status = 200, .content_type = (char *)JSON, .next_page = (char *)""}, "[]", &j);
        assert_false(j.more_pages);
        judgement_done(&j);

        judge_status(CALL_SHOW, 200, JSON, "{\"id\":3,\"maintenance_note\":\"a marker\"}", &j);
        assert_int_equal(j.identity.runner_id, 3);
        assert_string_equal(j.note, "a marker");
        judgement_done(&j);
}

static void test_probe(void **state)
{
        static const Row rows[] = {
                {CALL_PROBE, 400, JSON, "{\"error\":\"token is missing\"}", VERDICT_ALIVE, 0},
                {CALL_PROBE, 400, JSON, "{\"message\":\"400 Bad request\"}", VERDICT_AMBIGUOUS, 0},
                {CALL_PROBE, 400, HTML, PAGE, VERDICT_AMBIGUOUS, 0},
                {CALL_PROBE, 200, JSON, CREATED, VERDICT_AMBIGUOUS, 0},
                {CALL_PROBE, 200, TEXT, "200", VERDICT_AMBIGUOUS, 0},
                {CALL_PROBE, 401, JSON, UNAUTHORIZED, VERDICT_AMBIGUOUS, 0},
                {CALL_PROBE, 403, JSON, READ_ONLY, VERDICT_AMBIGUOUS, 0},
                {CALL_PROBE, 403, JSON, FORBIDDEN, VERDICT_AMBIGUOUS, 0},
                {CALL_PROBE, 404, JSON, NO_ROUTE_404, VERDICT_AMBIGUOUS, NO_ROUTE},
                {CALL_PROBE, 429, JSON, "{\"message\":\"x\"}", VERDICT_WAIT, 0},
                {CALL_PROBE, 500, JSON, ERROR_500, VERDICT_AMBIGUOUS, 0},
                {CALL_PROBE, 502, HTML, PAGE, VERDICT_AMBIGUOUS, 0},
        };

        CHECK(rows);
}

static bool acts(Call call)
{
        return call != CALL_PROBE && call != CALL_LIST && call != CALL_SHOW;
}

static void test_transport(void **state)
{
        static const struct {
                Transport transport;
                Verdict verdict;
                unsigned flags;
                bool acted;
        } rows[] = {
                {TRANSPORT_NOT_SENT, VERDICT_AMBIGUOUS, UNREACHABLE, false},
                {TRANSPORT_LOST, VERDICT_AMBIGUOUS, UNREACHABLE, true},
                {TRANSPORT_TOO_LARGE, VERDICT_AMBIGUOUS, 0, true},
                {TRANSPORT_TLS, VERDICT_PERMANENT, NET, false},
                {TRANSPORT_BAD_URL, VERDICT_PERMANENT, NET, false},
        };

        for (Call call = 0; call < _CALL_MAX; call++)
                for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                        unsigned flags = rows[i].flags | (rows[i].acted && acts(call) ? ACTED : 0U);
                        Judgement j;

                        judge(call, (Reply){.transport = rows[i].transport, .error = (char *)"no\x1b[2J " TOKEN},
                                NULL, &j);
                        assert_int_equal(j.verdict, rows[i].verdict);
                        assert_int_equal(flags_of(&j), flags);
                        assert_string_equal(j.message, "no [2J ***");
                        judgement_done(&j);

                        judge(call, (Reply){.transport = rows[i].transport}, NULL, &j);
                        assert_non_null(j.message);
                        judgement_done(&j);
                }
}

static void test_redirect(void **state)
{
        static const struct {
                const char *location;
                const char *message;
        } rows[] = {
                {"https://user:secret@gitlab.example.com/sub/api/v4/runners/verify?private_token=abc#x",
                        "the answer is a redirect, which is not followed: set url to "
                        "'https://gitlab.example.com/sub'"},
                {"https://gitlab.example.com/api/v4/runners",
                        "the answer is a redirect, which is not followed: set url to 'https://gitlab.example.com'"},
                {"https://sso.example.com/login?return=https://x/api/v4/",
                        "the answer is a redirect to 'https://sso.example.com/login', which is not followed: set url "
                        "to "
                        "where GitLab itself answers"},
                {"//u:p@other.example.com/x", "the answer is a redirect to '//other.example.com/x', which is not "
                                              "followed: set url to where "
                                              "GitLab itself answers"},
                {"https:/user:secret@x/y",
                        "the answer is a redirect to 'x/y', which is not followed: set url to where GitLab itself "
                        "answers"},
                {"/users/sign_in?token=" TOKEN, "the answer is a redirect to '/users/sign_in', which is not "
                                                "followed: set url to where GitLab "
                                                "itself answers"},
                {"/runner/" TOKEN,
                        "the answer is a redirect to '/runner/***', which is not followed: set url to where GitLab "
                        "itself answers"},
                {NULL, "the answer is a redirect (302) to nowhere: set url to where GitLab itself answers"},
        };

        for (Call call = 0; call < _CALL_MAX; call++)
                for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                        Judgement j;

                        judge(call, (Reply){.status = 302, .location = (char *)rows[i].location}, NULL, &j);
                        assert_int_equal(j.verdict, VERDICT_PERMANENT);
                        assert_int_equal(flags_of(&j), NET);
                        assert_string_equal(j.message, rows[i].message);
                        judgement_done(&j);
                }

        static const unsigned statuses[] = {301, 303, 307, 308};
        for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
                Judgement j;

                judge_status(CALL_REGISTER, statuses[i], JSON, FORBIDDEN, &j);
                assert_int_equal(j.verdict, VERDICT_PERMANENT);
                judgement_done(&j);
        }

        /* Whatever else begins with a 3 is no redirect, and nobody knows what it means here. */
        Judgement j;
        judge_status(CALL_REGISTER, 304, NULL, NULL, &j);
        assert_int_equal(j.verdict, VERDICT_AMBIGUOUS);
        judgement_done(&j);
}

static void test_identity(void **state)
{
        Judgement j;

        judge_status(CALL_REGISTER, 201, JSON, CREATED, &j);
        assert_int_equal(j.identity.runner_id, 42);
        assert_string_equal(secret_data(j.identity.token), TOKEN);
        assert_true(j.identity.has_expiry);
        assert_int_equal(j.identity.expires_at_usec, UINT64_C(1788220800) * USEC_PER_SEC);
        judgement_done(&j);

        judge_status(CALL_RESET, 201, JSON, RESET, &j);
        assert_int_equal(j.identity.runner_id, 0);
        assert_true(j.identity.has_expiry);
        assert_int_equal(j.identity.expires_at_usec, 0);
        judgement_done(&j);

        judge_status(CALL_VERIFY, 200, JSON, "{\"id\":5,\"token\":null}", &j);
        assert_int_equal(j.identity.runner_id, 5);
        assert_null(j.identity.token);
        assert_false(j.identity.has_expiry);
        judgement_done(&j);
}

/* A refused answer's token must not stay around as if it were one. */
static void test_half_identity(void **state)
{
        Judgement j;

        judge_status(
                CALL_REGISTER, 201, JSON, "{\"id\":42,\"token\":\"" TOKEN "\",\"token_expires_at\":\"soon\"}", &j);
        assert_int_equal(j.verdict, VERDICT_AMBIGUOUS);
        assert_null(j.identity.token);
        assert_int_equal(j.identity.runner_id, 0);
        assert_null(strstr(j.message, TOKEN));
        judgement_done(&j);
}

static void test_bounds(void **state)
{
        static const size_t depths[] = {31, 33, 5000};
        char *body = malloc(20001);
        Judgement j;

        assert_non_null(body);
        for (size_t i = 0; i < 3; i++) {
                memset(body, '[', depths[i]);
                memset(body + depths[i], ']', depths[i]);
                body[2 * depths[i]] = 0;
                judge_status(CALL_REGISTER, 403, JSON, body, &j);
                assert_int_equal(j.verdict, VERDICT_AMBIGUOUS);
                judgement_done(&j);
        }
        free(body);
}

/* Out of memory an answer may be lost on us, but never mean something else. */
static void test_out_of_memory(void **state)
{
        static const Row rows[] = {
                {CALL_REGISTER, 201, JSON, CREATED, VERDICT_ALIVE, 0},
                {CALL_REGISTER, 403, JSON, "{\"message\":\"403 Forbidden - no\"}", VERDICT_PERMANENT, 0},
                {CALL_VERIFY, 403, JSON, FORBIDDEN, VERDICT_DEAD, 0},
                {CALL_LIST, 200, JSON, "[{\"id\":1},{\"id\":2}]", VERDICT_ALIVE, 0},
        };

        json_set_alloc_funcs(failing_malloc, free);
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
                for (size_t n = 0;; n++) {
                        Reply reply = {.status = rows[i].status, .content_type = (char *)JSON};
                        Judgement j;

                        blocks_left = n;
                        assert_int_equal(secret_new(rows[i].body, strlen(rows[i].body), &reply.body), 0);
                        int r = verdict_judge(rows[i].call, &reply, now, &j);
                        secret_free(reply.body);
                        assert_true(r == 0 || r == -ENOMEM);
                        if (r < 0)
                                continue;
                        Verdict verdict = j.verdict;
                        judgement_done(&j);
                        if (verdict == rows[i].verdict)
                                break;
                        assert_int_equal(verdict, VERDICT_AMBIGUOUS);
                }
        json_set_alloc_funcs(malloc, free);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_verify),
                cmocka_unit_test(test_create),
                cmocka_unit_test(test_reset),
                cmocka_unit_test(test_delete),
                cmocka_unit_test(test_look),
                cmocka_unit_test(test_probe),
                cmocka_unit_test(test_transport),
                cmocka_unit_test(test_redirect),
                cmocka_unit_test(test_identity),
                cmocka_unit_test(test_half_identity),
                cmocka_unit_test(test_bounds),
                cmocka_unit_test(test_out_of_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
