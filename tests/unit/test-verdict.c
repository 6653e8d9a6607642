/* Every cell of the verdict table, every error shape, every way to be told to wait. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/verdict.h"

#define JSON  "application/json"
#define TEXT  "text/plain"
#define HTML  "text/html; charset=utf-8"
#define TOKEN "glrt-t1_abcdefghij0123456789"

/* 2026-08-22T10:00:00Z */
#define NOW_SEC UINT64_C(1787392800)

static const Now now = {.realtime_usec = NOW_SEC * USEC_PER_SEC, .boottime_usec = 5 * USEC_PER_SEC};

typedef enum Flag {
        ACTED = 1 << 0,
        NO_ROUTE = 1 << 1,
        NET = 1 << 2,
        TEXT_ONLY = 1 << 3,
        UNREACHABLE = 1 << 4,
        GONE = 1 << 5,
} Flag;

static unsigned flags_of(const Judgement *j)
{
        return (j->maybe_acted ? ACTED : 0U) | (j->no_route ? NO_ROUTE : 0U) | (j->refused_by_net ? NET : 0U) |
               (j->text_only ? TEXT_ONLY : 0U) | (j->unreachable ? UNREACHABLE : 0U) | (j->gone ? GONE : 0U);
}

/* The strings of the tests are literals, so nothing but the body is to be freed. */
static void judge(Call call, Reply reply, const char *body, Judgement *ret)
{
        if (body)
                assert_int_equal(secret_new(body, strlen(body), &reply.body), 0);
        assert_int_equal(verdict_judge(call, &reply, now, ret), 0);
        secret_free(reply.body);
}

static void judge_status(Call call, unsigned status, const char *type, const char *body, Judgement *ret)
{
        judge(call, (Reply){.status = status, .content_type = (char *)type}, body, ret);
}

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
#define PAGE         "<html><body>Please wait</body></html>"
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

static void test_throttled(void **state)
{
        static const struct {
                const char *type;
                const char *body;
                const char *message;
        } bodies[] = {
                {TEXT, "Retry later\n", "Retry later"},
                {TEXT, "Slow down,\n\x1b[31mfriend", "Slow down, [31mfriend"},
                {JSON, "{\"message\":\"Executing database migrations. Please retry later.\"}",
                        "Executing database migrations. Please retry later."},
                {JSON,
                        "{\"message\":{\"error\":\"This endpoint has been requested too many times. Try again "
                        "later.\"}}",
                        "This endpoint has been requested too many times. Try again later."},
                {HTML, PAGE, "the answer is HTTP 429 with a body that is not GitLab's"},
        };

        for (Call call = 0; call < _CALL_MAX; call++)
                for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
                        Judgement j;

                        judge_status(call, 429, bodies[i].type, bodies[i].body, &j);
                        assert_int_equal(j.verdict, VERDICT_WAIT);
                        assert_int_equal(flags_of(&j), 0);
                        assert_string_equal(j.message, bodies[i].message);
                        assert_int_equal(j.wait_usec, 0);
                        assert_true(j.spread == 0);
                        judgement_done(&j);
                }
}

typedef struct WaitRow {
        const char *retry_after;
        const char *reset_time;
        const char *date;
        uint64_t expected_sec;
} WaitRow;

static void test_waits(void **state)
{
        static const WaitRow rows[] = {
                {"60", NULL, NULL, 60},
                {"0", NULL, NULL, 0},
                {"86400", NULL, NULL, 3600},
                {"99999999999999999999999", NULL, NULL, 3600},
                {"-5", NULL, NULL, 0},
                {"1.5", NULL, NULL, 0},
                {"", NULL, NULL, 0},
                {"soon", NULL, NULL, 0},
                {"Sat, 22 Aug 2026 10:02:00 GMT", NULL, NULL, 120},
                {"Sat, 22 Aug 2026 09:59:00 GMT", NULL, NULL, 0},
                {"Fri, 22 Aug 2036 09:59:00 GMT", NULL, NULL, 3600},
                {NULL, "Sat, 22 Aug 2026 10:00:30 GMT", NULL, 30},
                {NULL, "2026-08-22", NULL, 0},
                /* The later of both, never earlier than told. */
                {"60", "Sat, 22 Aug 2026 10:00:30 GMT", NULL, 60},
                {"10", "Sat, 22 Aug 2026 10:00:30 GMT", NULL, 30},
                /* Dates count by the server's clock, here an hour ahead of ours, then an hour behind. */
                {NULL, "Sat, 22 Aug 2026 11:00:30 GMT", "Sat, 22 Aug 2026 11:00:00 GMT", 30},
                {"Sat, 22 Aug 2026 09:00:45 GMT", NULL, "Sat, 22 Aug 2026 09:00:00 GMT", 45},
                {"Sat, 22 Aug 2026 10:00:45 GMT", NULL, "yesterday", 45},
                {NULL, "Sat, 22 Aug 2026 12:00:30 GMT", "Thu, 01 Jan 1970 00:00:01 GMT", 3600},
                /* A server that has no date yet. */
                {NULL, "Sat, 22 Aug 2026 10:00:30 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", 30},
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                Judgement j;

                judge(CALL_REGISTER,
                        (Reply){.status = 429,
                                .retry_after = (char *)rows[i].retry_after,
                                .ratelimit_reset_time = (char *)rows[i].reset_time,
                                .date = (char *)rows[i].date},
                        NULL, &j);
                if (j.wait_usec != rows[i].expected_sec * USEC_PER_SEC)
                        fail_msg("row %zu: %llu usec", i, (unsigned long long)j.wait_usec);
                judgement_done(&j);
        }
}

/* Every answer tells GitLab's clock, whatever else it says. */
static void test_server_time(void **state)
{
        static const struct {
                unsigned status;
                const char *date;
                uint64_t sec;
        } rows[] = {
                {200, "Sat, 22 Aug 2026 09:00:00 GMT", 1787389200},
                {403, "Sat, 22 Aug 2026 09:00:00 GMT", 1787389200},
                {502, "Sat, 22 Aug 2026 09:00:00 GMT", 1787389200},
                {200, "yesterday", 0},
                {200, NULL, 0},
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                Judgement j;

                judge(CALL_VERIFY, (Reply){.status = rows[i].status, .date = (char *)rows[i].date}, NULL, &j);
                assert_int_equal(j.server_usec, rows[i].sec * USEC_PER_SEC);
                judgement_done(&j);
        }
}

static void test_unavailable(void **state)
{
        for (Call call = 0; call < _CALL_MAX; call++) {
                bool creates = call == CALL_REGISTER || call == CALL_CREATE;
                Judgement j;

                judge(call, (Reply){.status = 503, .content_type = (char *)JSON, .retry_after = (char *)"60"},
                        "{\"message\":\"This organization is currently in read-only mode.\"}", &j);
                assert_int_equal(j.verdict, creates ? VERDICT_WAIT : VERDICT_AMBIGUOUS);
                assert_int_equal(flags_of(&j), 0);
                assert_int_equal(j.wait_usec, 60 * USEC_PER_SEC);
                judgement_done(&j);

                judge(call, (Reply){.status = 503, .retry_after = (char *)"864000"}, NULL, &j);
                assert_int_equal(j.wait_usec, VERDICT_WAIT_MAX_USEC);
                judgement_done(&j);
        }
}

static void test_spread(void **state)
{
        static const struct {
                const char *limit;
                const char *observed;
                double spread;
        } rows[] = {
                {"100", "500", 5},
                {"100", "50", 1},
                {"100", "250", 2.5},
                {"0", "5", 0},
                {NULL, "5", 0},
                {"100", NULL, 0},
                {"100", "many", 0},
                {"-100", "500", 0},
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                Reply reply = {.status = 429,
                        .ratelimit_limit = (char *)rows[i].limit,
                        .ratelimit_observed = (char *)rows[i].observed};
                Judgement j;

                judge(CALL_VERIFY, reply, NULL, &j);
                assert_true(j.spread == rows[i].spread);
                assert_int_equal(j.spread_usec, rows[i].spread > 0 ? USEC_PER_MINUTE : 0);
                judgement_done(&j);

                /* Newer servers send these with every answer. */
                reply.status = 500;
                judge(CALL_VERIFY, reply, NULL, &j);
                assert_true(j.spread == 0);
                judgement_done(&j);
        }
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

static size_t blocks_left;

static void *failing_malloc(size_t size)
{
        if (blocks_left == 0)
                return NULL;
        blocks_left--;
        return malloc(size);
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
                cmocka_unit_test(test_throttled),
                cmocka_unit_test(test_waits),
                cmocka_unit_test(test_server_time),
                cmocka_unit_test(test_unavailable),
                cmocka_unit_test(test_spread),
                cmocka_unit_test(test_identity),
                cmocka_unit_test(test_half_identity),
                cmocka_unit_test(test_bounds),
                cmocka_unit_test(test_flatten),
                cmocka_unit_test(test_flatten_long),
                cmocka_unit_test(test_out_of_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
