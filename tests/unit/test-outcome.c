/* What an answer means to a person: the kind that becomes the exit code, GitLab's words, and what to do. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/outcome.h"

#define JSON "application/json"
#define TEXT "text/plain"
#define HTML "text/html"

static const Now now = {.realtime_usec = UINT64_C(1787392800) * USEC_PER_SEC, .boottime_usec = 5 * USEC_PER_SEC};

typedef struct Row {
        EndpointId endpoint;
        unsigned status;
        const char *type;
        const char *body;
        CallOutcomeKind kind;
        const char *message; /* NULL: any, as long as there is one where it failed */
        const char *advice;  /* a part of it; NULL: none */
} Row;

static void judge(EndpointId endpoint, Reply *reply, const char *body, CallOutcome *ret)
{
        assert_int_equal(secret_new(body, body ? strlen(body) : 0, &reply->body), 0);
        assert_int_equal(outcome_read(endpoint_get(endpoint), reply, now, ret), 0);
}

static void check_row(const Row *row, size_t i)
{
        Reply reply = {.status = row->status, .content_type = (char *)row->type};
        CallOutcome o;

        judge(row->endpoint, &reply, row->body, &o);
        if (o.kind != row->kind)
                fail_msg("row %zu: kind %d, expected %d (%s)", i, o.kind, row->kind, o.message ? o.message : "-");
        if ((o.message != NULL) != (o.kind != OUTCOME_DONE))
                fail_msg("row %zu: '%s'", i, o.message ? o.message : "no message");
        if (row->message && strcmp(o.message ? o.message : "", row->message) != 0)
                fail_msg("row %zu: '%s'", i, o.message);
        if (row->advice ? !o.advice || !strstr(o.advice, row->advice) : o.advice != NULL)
                fail_msg("row %zu: advice '%s'", i, o.advice ? o.advice : "-");
        outcome_done(&o);
        secret_free(reply.body);
}

static void check_rows(const Row *rows, size_t n)
{
        for (size_t i = 0; i < n; i++)
                check_row(&rows[i], i);
}

#define CHECK(rows) check_rows(rows, sizeof(rows) / sizeof((rows)[0]))

static void test_success(void **state)
{
        static const Row rows[] = {
                {ENDPOINT_LIST, 200, JSON, "[]", OUTCOME_DONE},
                {ENDPOINT_LIST, 200, "application/json; charset=utf-8", "[{\"id\":1}]", OUTCOME_DONE},
                {ENDPOINT_SHOW, 200, JSON, "{\"id\":1}", OUTCOME_DONE},
                {ENDPOINT_DELETE_BY_ID, 204, NULL, "", OUTCOME_DONE},
                {ENDPOINT_DELETE_BY_ID, 200, JSON, "{\"id\":1}", OUTCOME_DONE}, /* 8.5 */
                {ENDPOINT_CREATE, 201, JSON, "{\"id\":1,\"token\":\"glrt-x\",\"new\":1}", OUTCOME_DONE},
                {ENDPOINT_RESET_REGISTRATION_GROUP, 201, JSON, "{\"token\":\"x\"}", OUTCOME_DONE},
                {ENDPOINT_VERIFY, 200, JSON, "{\"id\":1,\"token\":\"x\"}", OUTCOME_DONE},
                {ENDPOINT_VERIFY, 200, TEXT, "200", OUTCOME_DONE},
                {ENDPOINT_VERIFY, 200, JSON, "\"200\"", OUTCOME_DONE},
                {ENDPOINT_VERIFY, 200, JSON, "200", OUTCOME_DONE},
                /* What looks like one but is none. */
                {ENDPOINT_LIST, 200, JSON, "{}", OUTCOME_AGAIN},
                {ENDPOINT_LIST, 200, JSON, "[{\"id\":1}", OUTCOME_AGAIN},
                {ENDPOINT_LIST, 200, HTML, "[]", OUTCOME_AGAIN},
                {ENDPOINT_SHOW, 200, JSON, "[]", OUTCOME_AGAIN},
                {ENDPOINT_CREATE, 201, JSON, "{\"id\":1}", OUTCOME_AGAIN},
                {ENDPOINT_CREATE, 201, JSON, "{\"id\":1,\"token\":\"\"}", OUTCOME_AGAIN},
                {ENDPOINT_CREATE, 200, JSON, "{\"id\":1,\"token\":\"x\"}", OUTCOME_AGAIN},
                {ENDPOINT_VERIFY, 200, TEXT, "OK", OUTCOME_AGAIN},
                {ENDPOINT_VERIFY, 200, HTML, "<p>", OUTCOME_AGAIN},
        };

        CHECK(rows);
}

static void test_shapes(void **state)
{
        static const Row rows[] = {
                {ENDPOINT_UPDATE, 400, JSON, "{\"message\":{\"a\":[\"x\",\"y\"],\"b\":[\"z\"]}}", OUTCOME_FAILED,
                        "a: x; y, b: z"},
                {ENDPOINT_UPDATE, 400, JSON, "{\"error\":\"id is invalid\"}", OUTCOME_FAILED, "id is invalid"},
                {ENDPOINT_UPDATE, 400, JSON, "{\"message\":\"400 Bad request - no\"}", OUTCOME_FAILED,
                        "400 Bad request - no"},
                {ENDPOINT_UPDATE, 429, JSON, "{\"message\":{\"error\":\"too often\"}}", OUTCOME_AGAIN, "too often"},
                {ENDPOINT_UPDATE, 429, TEXT, "Retry later\n", OUTCOME_AGAIN, "Retry later"},
                {ENDPOINT_UPDATE, 500, JSON, "{\"message\":\"500 Internal Server Error\"}", OUTCOME_AGAIN},
                {ENDPOINT_UPDATE, 501, JSON, "{\"message\":\"no\"}", OUTCOME_AGAIN, "no"},
                {ENDPOINT_UPDATE, 502, HTML, "<html>", OUTCOME_AGAIN},
                {ENDPOINT_UPDATE, 409, JSON, "{\"message\":\"409 Conflict: Resource lock\"}", OUTCOME_AGAIN},
                {ENDPOINT_UPDATE, 412, JSON, "{\"message\":\"412 Precondition Failed\"}", OUTCOME_FAILED},
                {ENDPOINT_UPDATE, 302, HTML, "", OUTCOME_FAILED},
                /* A proxy's pages tell nothing about tokens. */
                {ENDPOINT_UPDATE, 401, HTML, "<html>", OUTCOME_AGAIN},
                {ENDPOINT_UPDATE, 403, HTML, "<html>", OUTCOME_AGAIN},
                {ENDPOINT_UPDATE, 404, HTML, "<html>", OUTCOME_AGAIN},
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                Reply reply = {.status = rows[i].status, .content_type = (char *)rows[i].type};
                CallOutcome o;

                judge(rows[i].endpoint, &reply, rows[i].body, &o);
                if (o.kind != rows[i].kind || !o.message ||
                        (rows[i].message && strcmp(o.message, rows[i].message) != 0))
                        fail_msg("row %zu: %d '%s'", i, o.kind, o.message ? o.message : "-");
                outcome_done(&o);
                secret_free(reply.body);
        }
}

static void test_advice(void **state)
{
        static const Row rows[] = {
                {ENDPOINT_LIST, 401, JSON, "{\"message\":\"401 Unauthorized\"}", OUTCOME_REFUSED, NULL,
                        "--access-token"},
                {ENDPOINT_LIST, 401, JSON,
                        "{\"error\":\"invalid_token\",\"error_description\":\"Token is expired. You can either do "
                        "re-authorization or token refresh.\"}",
                        OUTCOME_REFUSED, NULL, "new access token"},
                {ENDPOINT_LIST, 403, JSON,
                        "{\"error\":\"insufficient_scope\",\"error_description\":\"higher\",\"scope\":\"api "
                        "read_api\"}",
                        OUTCOME_REFUSED, "higher", "scopes: api read_api"},
                {ENDPOINT_LIST, 403, JSON, "{\"error\":\"insufficient_granular_scope\"}", OUTCOME_REFUSED, NULL,
                        "fine-grained"},
                {ENDPOINT_LIST_ALL, 403, JSON, "{\"message\":\"403 Forbidden\"}", OUTCOME_REFUSED, NULL,
                        "admin_mode"},
                {ENDPOINT_SHOW, 403, JSON, "{\"message\":\"403 Forbidden - No access granted\"}", OUTCOME_REFUSED,
                        NULL, "Maintainer"},
                {ENDPOINT_DELETE_BY_ID, 403, JSON,
                        "{\"message\":\"403 Forbidden - Runner associated with more than one project\"}",
                        OUTCOME_REFUSED, NULL, "unassign"},
                {ENDPOINT_ASSIGN, 403, JSON, "{\"message\":\"403 Forbidden - Runner is locked\"}", OUTCOME_REFUSED,
                        NULL, "--locked=false"},
                {ENDPOINT_RESET, 403, JSON, "{\"error\":\"Token rotation deadline has passed\"}", OUTCOME_REFUSED,
                        NULL, "new runner"},
                {ENDPOINT_RESET, 403, JSON, "{\"message\":\"403 Forbidden\"}", OUTCOME_REFUSED, NULL,
                        "reset-token ID"},
                {ENDPOINT_VERIFY, 403, JSON, "{\"message\":\"403 Forbidden\"}", OUTCOME_REFUSED, NULL, "expired"},
                {ENDPOINT_VERIFY, 403, JSON,
                        "{\"message\":\"You cannot perform write operations on a read-only instance\"}",
                        OUTCOME_AGAIN, NULL, "try later"},
                {ENDPOINT_REGISTER, 403, JSON, "{\"message\":\"403 Forbidden - invalid token supplied\"}",
                        OUTCOME_REFUSED, NULL, "no registration token"},
                {ENDPOINT_REGISTER, 410, JSON, "{\"message\":\"410 Gone - runner registration disallowed\"}",
                        OUTCOME_REFUSED, NULL, "runners create"},
                {ENDPOINT_LIST, 410, JSON, "{\"error\":\"API V3 is no longer supported. Use API V4 instead.\"}",
                        OUTCOME_REFUSED, NULL, "--api-version"},
                {ENDPOINT_CREATE, 403, JSON, "{\"message\":\"403 Forbidden - Insufficient permissions\"}",
                        OUTCOME_REFUSED, NULL, "Owner"},
                {ENDPOINT_RESET_REGISTRATION_INSTANCE, 403, JSON, "{\"message\":\"403 Forbidden\"}", OUTCOME_REFUSED,
                        NULL, "disabled"},
                /* Both wordings. */
                {ENDPOINT_SHOW, 404, JSON, "{\"message\":\"404 Not found\"}", OUTCOME_FAILED, NULL, "no such runner"},
                {ENDPOINT_SHOW, 404, JSON, "{\"message\":\"404 Runner Not Found\"}", OUTCOME_FAILED, NULL,
                        "no such runner"},
                {ENDPOINT_UNASSIGN, 404, JSON, "{\"message\":\"404 Runner Not Found\"}", OUTCOME_FAILED, NULL,
                        "not assigned"},
                {ENDPOINT_LIST_GROUP, 404, JSON, "{\"message\":\"404 Group Not Found\"}", OUTCOME_FAILED, NULL,
                        "no such group"},
                {ENDPOINT_DELETE_MANAGER, 404, JSON, "{\"message\":\"404 Runner manager not found Not Found\"}",
                        OUTCOME_FAILED, NULL, "no manager"},
                {ENDPOINT_RESET_BY_ID, 422, JSON,
                        "{\"error\":\"Runner needs to be assigned to at least one project\"}", OUTCOME_FAILED, NULL,
                        "delete the runner"},
        };

        CHECK(rows);
}

static void test_routes(void **state)
{
        static const struct {
                EndpointId endpoint;
                unsigned status;
                const char *body;
                bool no_route;
        } rows[] = {
                {ENDPOINT_CREATE, 404, "{\"error\":\"404 Not Found\"}", true},
                {ENDPOINT_CREATE, 404, "{\"message\":\"404 Not found\"}", false},
                {ENDPOINT_RESET, 405, "{\"error\":\"405 Not Allowed\"}", true},
                {ENDPOINT_DELETE_MANAGER, 404, "{\"error\":\"404 Not Found\"}", true},
                /* Taken for an id by a server that has no managers. */
                {ENDPOINT_DELETE_MANAGER, 400, "{\"error\":\"id is invalid\"}", true},
                {ENDPOINT_DELETE_MANAGER, 401, "{\"message\":\"401 Unauthorized\"}", true},
                {ENDPOINT_SHOW, 400, "{\"error\":\"id is invalid\"}", false},
        };
        char *text = NULL;

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                Reply reply = {.status = rows[i].status, .content_type = (char *)JSON};
                CallOutcome o;

                judge(rows[i].endpoint, &reply, rows[i].body, &o);
                if (o.no_route != rows[i].no_route)
                        fail_msg("row %zu", i);
                if (o.no_route)
                        assert_int_equal(o.kind, OUTCOME_FAILED);
                outcome_done(&o);
                secret_free(reply.body);
        }

        assert_int_equal(outcome_explain_route(endpoint_get(ENDPOINT_CREATE), "15.11.13", &text), 0);
        assert_true(strncmp(text, "GitLab 15.11.13 has no POST /user/runners: it came with GitLab 16.0; ", 69) == 0);
        free(text);
        assert_int_equal(outcome_explain_route(endpoint_get(ENDPOINT_PROJECTS), NULL, &text), 0);
        assert_true(
                strncmp(text, "this GitLab has no GET /runners/:id/projects: it came with GitLab 18.0; ", 72) == 0);
        free(text);
}

static void test_transport(void **state)
{
        static const struct {
                Transport transport;
                EndpointId endpoint;
                CallOutcomeKind kind;
                bool acted;
                bool retryable;
        } rows[] = {
                {TRANSPORT_NOT_SENT, ENDPOINT_SHOW, OUTCOME_AGAIN, false, true},
                {TRANSPORT_NOT_SENT, ENDPOINT_CREATE, OUTCOME_AGAIN, false, false},
                {TRANSPORT_LOST, ENDPOINT_SHOW, OUTCOME_AGAIN, false, true},
                {TRANSPORT_LOST, ENDPOINT_UPDATE, OUTCOME_AGAIN, true, true},
                {TRANSPORT_LOST, ENDPOINT_CREATE, OUTCOME_AGAIN, true, false},
                {TRANSPORT_LOST, ENDPOINT_RESET_BY_ID, OUTCOME_AGAIN, true, false},
                {TRANSPORT_LOST, ENDPOINT_ASSIGN, OUTCOME_AGAIN, true, false},
                {TRANSPORT_TOO_LARGE, ENDPOINT_LIST, OUTCOME_AGAIN, false, false},
                {TRANSPORT_TLS, ENDPOINT_SHOW, OUTCOME_FAILED, false, false},
                {TRANSPORT_BAD_URL, ENDPOINT_SHOW, OUTCOME_FAILED, false, false},
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                const Endpoint *endpoint = endpoint_get(rows[i].endpoint);
                Reply reply = {.transport = rows[i].transport};
                CallOutcome o;

                judge(rows[i].endpoint, &reply, NULL, &o);
                if (o.kind != rows[i].kind || o.maybe_acted != rows[i].acted ||
                        outcome_retryable(endpoint, &o) != rows[i].retryable)
                        fail_msg("row %zu", i);
                outcome_done(&o);
                secret_free(reply.body);
        }
}

/* After a delete whose answer got lost. */
static void test_done_before(void **state)
{
        static const struct {
                EndpointId endpoint;
                unsigned status;
                const char *body;
                bool done;
        } rows[] = {
                {ENDPOINT_DELETE_BY_ID, 404, "{\"message\":\"404 Runner Not Found\"}", true},
                {ENDPOINT_DELETE_BY_ID, 404, "{\"error\":\"404 Not Found\"}", false},
                {ENDPOINT_DELETE_BY_ID, 403, "{\"message\":\"403 Forbidden\"}", false},
                {ENDPOINT_DELETE_RUNNER, 403, "{\"message\":\"403 Forbidden\"}", true},
                {ENDPOINT_DELETE_RUNNER, 403,
                        "{\"message\":\"You cannot perform write operations on a read-only instance\"}", false},
                {ENDPOINT_DELETE_MANAGER, 404, "{\"message\":\"404 Runner manager not found Not Found\"}", true},
                {ENDPOINT_DELETE_MANAGER, 403, "{\"message\":\"403 Forbidden\"}", false},
                {ENDPOINT_SHOW, 404, "{\"message\":\"404 Runner Not Found\"}", false},
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                Reply reply = {.status = rows[i].status, .content_type = (char *)JSON};
                CallOutcome o;

                judge(rows[i].endpoint, &reply, rows[i].body, &o);
                if (outcome_done_before(endpoint_get(rows[i].endpoint), &o) != rows[i].done)
                        fail_msg("row %zu", i);
                outcome_done(&o);
                secret_free(reply.body);
        }
}

static void test_waits(void **state)
{
        Reply reply = {.status = 429, .content_type = (char *)TEXT, .retry_after = (char *)"90"};
        CallOutcome o;

        judge(ENDPOINT_LIST, &reply, "Retry later\n", &o);
        assert_true(o.throttled);
        assert_int_equal(o.wait_usec, 90 * USEC_PER_SEC);
        assert_string_equal(o.advice, "come back in 1min 30s");
        outcome_done(&o);
        secret_free(reply.body);

        /* 503 with Retry-After did not act. */
        reply = (Reply){.status = 503, .content_type = (char *)JSON, .retry_after = (char *)"60"};
        judge(ENDPOINT_CREATE, &reply, "{\"message\":\"503 Service Unavailable\"}", &o);
        assert_false(o.maybe_acted);
        outcome_done(&o);
        secret_free(reply.body);
}

static void test_releases(void **state)
{
        assert_int_equal(release_parse("18.5.2-ee"), RELEASE(18, 5));
        assert_int_equal(release_parse("8.5.0"), RELEASE(8, 5));
        assert_int_equal(release_parse("main"), 0);
        assert_int_equal(release_parse(NULL), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_success),
                cmocka_unit_test(test_shapes),
                cmocka_unit_test(test_advice),
                cmocka_unit_test(test_routes),
                cmocka_unit_test(test_transport),
                cmocka_unit_test(test_done_before),
                cmocka_unit_test(test_waits),
                cmocka_unit_test(test_releases),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
