/* Answers and files of odd shapes: each member missing, null or of another type, at each place where it would matter.
 * What a GitLab sends is unlike this; what stands in its place may send anything. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/core/json.h"
#include "agent/core/notice.h"
#include "agent/core/outcome.h"
#include "agent/core/page.h"
#include "agent/core/prune.h"
#include "agent/core/status.h"
#include "agent/core/verdict.h"

#define JSON  "application/json"
#define TEXT  "text/plain"
#define TOKEN "\"token\":\"glrt-abcdefghij0123456789\""

static const Now now = {.realtime_usec = UINT64_C(1787392800) * USEC_PER_SEC, .boottime_usec = 5 * USEC_PER_SEC};

static Reply make_reply(unsigned status, const char *type, const char *body)
{
        Reply reply = {.transport = TRANSPORT_OK, .status = status, .content_type = (char *)type};

        assert_int_equal(secret_new(body, strlen(body), &reply.body), 0);
        return reply;
}

static void test_verdicts(void **state)
{
        static const struct {
                Call call;
                unsigned status;
                const char *type;
                const char *body;
                Verdict verdict;
        } cases[] = {
                {CALL_REGISTER, 201, JSON, "{\"id\":7," TOKEN "}", VERDICT_ALIVE},
                {CALL_REGISTER, 201, JSON, "{\"id\":7," TOKEN ",\"token_expires_at\":null}", VERDICT_ALIVE},
                {CALL_REGISTER, 201, JSON, "{" TOKEN "}", VERDICT_AMBIGUOUS},
                {CALL_REGISTER, 201, JSON, "{\"id\":null," TOKEN "}", VERDICT_AMBIGUOUS},
                {CALL_REGISTER, 201, JSON, "{\"id\":0," TOKEN "}", VERDICT_AMBIGUOUS},
                {CALL_REGISTER, 201, JSON, "{\"id\":-7," TOKEN "}", VERDICT_AMBIGUOUS},
                {CALL_REGISTER, 201, JSON, "{\"id\":\"7\"," TOKEN "}", VERDICT_AMBIGUOUS},
                {CALL_REGISTER, 201, JSON, "{\"id\":7}", VERDICT_AMBIGUOUS},
                {CALL_REGISTER, 201, JSON, "{\"id\":7,\"token\":null}", VERDICT_AMBIGUOUS},
                {CALL_REGISTER, 201, JSON, "{\"id\":7,\"token\":7}", VERDICT_AMBIGUOUS},
                {CALL_REGISTER, 201, JSON, "{\"id\":7,\"token\":\"\"}", VERDICT_AMBIGUOUS},
                {CALL_REGISTER, 201, JSON, "{\"id\":7,\"token\":\"a b\"}", VERDICT_AMBIGUOUS},
                {CALL_REGISTER, 201, JSON, "{\"id\":7," TOKEN ",\"token_expires_at\":7}", VERDICT_AMBIGUOUS},
                {CALL_REGISTER, 201, JSON, "{\"id\":7," TOKEN ",\"token_expires_at\":\"soon\"}", VERDICT_AMBIGUOUS},
                {CALL_REGISTER, 201, JSON, "[]", VERDICT_AMBIGUOUS},
                {CALL_REGISTER, 201, "application/jsonp", "{\"id\":7," TOKEN "}", VERDICT_AMBIGUOUS},
                {CALL_REGISTER, 201, " application/json ; charset=utf-8", "{\"id\":7," TOKEN "}", VERDICT_ALIVE},
                {CALL_REGISTER, 201, "APPLICATION/JSON\t", "{\"id\":7," TOKEN "}", VERDICT_ALIVE},
                {CALL_RESET, 201, JSON, "{" TOKEN "}", VERDICT_ALIVE},
                /* An old server's verify. */
                {CALL_VERIFY, 200, JSON, "200", VERDICT_ALIVE}, {CALL_VERIFY, 200, JSON, "\"200\"", VERDICT_ALIVE},
                {CALL_VERIFY, 200, JSON, "201", VERDICT_AMBIGUOUS},
                {CALL_VERIFY, 200, JSON, "\"201\"", VERDICT_AMBIGUOUS},
                {CALL_VERIFY, 200, JSON, "true", VERDICT_AMBIGUOUS},
                {CALL_VERIFY, 200, JSON, "[200]", VERDICT_AMBIGUOUS}, {CALL_VERIFY, 200, TEXT, "200", VERDICT_ALIVE},
                {CALL_VERIFY, 200, TEXT, "200 \t\r\n", VERDICT_ALIVE}, {CALL_VERIFY, 200, NULL, "200", VERDICT_ALIVE},
                {CALL_VERIFY, 200, TEXT, "201", VERDICT_AMBIGUOUS},
                {CALL_VERIFY, 200, TEXT, "2000", VERDICT_AMBIGUOUS}, {CALL_VERIFY, 200, TEXT, "", VERDICT_AMBIGUOUS},
                {CALL_VERIFY, 200, "text/html", "200", VERDICT_AMBIGUOUS},
                {CALL_VERIFY, 200, JSON, "{}", VERDICT_ALIVE},
                {CALL_VERIFY, 200, JSON, "{\"token\":7}", VERDICT_AMBIGUOUS},
                /* Scopes, and what only looks like them. */
                {CALL_CREATE, 403, JSON, "{\"error\":\"insufficient_scope\"}", VERDICT_PERMANENT},
                {CALL_CREATE, 403, JSON, "{\"error\":\"insufficient_granular_scope\"}", VERDICT_PERMANENT},
                {CALL_CREATE, 403, JSON, "{\"error\":\"insufficient_funds\"}", VERDICT_AMBIGUOUS},
                {CALL_CREATE, 403, JSON, "{\"error\":7,\"message\":[]}", VERDICT_AMBIGUOUS},
                {CALL_LIST, 200, JSON, "[{\"id\":7},{\"id\":9},{\"id\":8},{\"id\":8}]", VERDICT_ALIVE},
                {CALL_LIST, 200, JSON, "[{\"id\":7},{}]", VERDICT_AMBIGUOUS},
                {CALL_LIST, 200, JSON, "[{\"id\":\"7\"}]", VERDICT_AMBIGUOUS},
                {CALL_LIST, 200, JSON, "{}", VERDICT_AMBIGUOUS}, {CALL_SHOW, 200, JSON, "{\"id\":7}", VERDICT_ALIVE},
                {CALL_SHOW, 200, JSON, "{\"id\":7,\"maintenance_note\":null,\"created_at\":7}", VERDICT_ALIVE},
                {CALL_SHOW, 200, JSON, "{\"id\":7,\"maintenance_note\":7}", VERDICT_AMBIGUOUS},
                {CALL_SHOW, 200, JSON, "{}", VERDICT_AMBIGUOUS},
                {CALL_SHOW, 200, JSON, "{\"id\":true}", VERDICT_AMBIGUOUS},
                {CALL_DELETE_RUNNER, 204, NULL, "", VERDICT_ALIVE},
                /* A note beyond its bound is in test_long_note(). */
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Reply reply = make_reply(cases[i].status, cases[i].type, cases[i].body);
                Judgement judgement;

                assert_int_equal(verdict_judge(cases[i].call, &reply, now, &judgement), 0);
                if (judgement.verdict != cases[i].verdict)
                        fail_msg("%s %u '%s': %s", call_to_string(cases[i].call), cases[i].status, cases[i].body,
                                verdict_to_string(judgement.verdict));
                judgement_done(&judgement);
                (void)secret_free(reply.body);
        }
        assert_string_equal(verdict_to_string((Verdict)-1), "unknown");
        assert_string_equal(verdict_to_string(_VERDICT_MAX), "unknown");
        assert_string_equal(call_to_string(_CALL_INVALID), "unknown");
        assert_string_equal(call_to_string(_CALL_MAX), "unknown");
}

static void test_long_note(void **state)
{
        static char body[9000 + 64];
        int n = snprintf(body, sizeof(body), "{\"id\":7,\"maintenance_note\":\"%09000d\"}", 0);
        RunnerRow row;

        assert_int_equal(reply_decode_row(body, (size_t)n, &row), -EBADMSG);
}

static void test_more_pages(void **state)
{
        static const struct {
                const char *next_page;
                const char *link;
                bool more;
        } cases[] = {{NULL, NULL, false}, {"", NULL, false}, {"2", NULL, true}, {NULL, "<x>; rel=\"prev\"", false},
                {NULL, "<x>; rel=\"next\"", true}, {"", "<x>; rel=\"next\"", true}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Reply reply = make_reply(200, JSON, "[{\"id\":7}]");
                Judgement judgement;

                reply.next_page = (char *)cases[i].next_page;
                reply.link = (char *)cases[i].link;
                assert_int_equal(verdict_judge(CALL_LIST, &reply, now, &judgement), 0);
                assert_int_equal(judgement.more_pages, cases[i].more);
                judgement_done(&judgement);
                (void)secret_free(reply.body);
        }
}

static void test_words_of_errors(void **state)
{
        static const struct {
                const char *body;
                const char *text; /* NULL: none */
        } cases[] = {
                {"{\"message\":\"a\"}", "a"},
                {"{\"message\":[\"a\",7,null,\"b\"]}", "a; b"},
                {"{\"message\":{\"tag_list\":[\"a\"],\"empty\":[],\"other\":7,\"base\":[\"b\"],\"error\":\"c\"}}",
                        "tag_list: a, b, c"},
                {"{\"message\":{\"x\":\"y\"}}", "x: y"},
                {"{\"message\":{\"x\":[7]},\"error\":\"e\"}", "x:"},
                {"{\"message\":{},\"error\":\"e\"}", "e"},
                {"{\"message\":7,\"error\":\"e\",\"error_description\":\"d\"}", "d"},
                {"{\"error\":[\"e\",\"f\"]}", "e; f"},
                {"{\"error\":{}}", NULL},
                {"{}", NULL},
                {"[]", NULL},
                {"{", NULL},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *text = NULL;

                assert_int_equal(error_flatten(cases[i].body, strlen(cases[i].body), &text), 0);
                if (!cases[i].text != !text || (text && strncmp(text, cases[i].text, strlen(cases[i].text)) != 0))
                        fail_msg("%s: %s", cases[i].body, text ? text : "nothing");
        }
}

/* However many words there are: what is kept of them has a bound. */
static void test_endless_words(void **state)
{
        _cleanup_secret_ Secret *body = NULL;
        _cleanup_free_ char *text = NULL;

        assert_int_equal(secret_new("{\"message\":[\"x\"", 15, &body), 0);
        for (unsigned i = 0; i < 3000; i++)
                assert_int_equal(secret_append_string(body, ",\"again\""), 0);
        assert_int_equal(secret_append_string(body, "]}"), 0);
        assert_int_equal(error_flatten(secret_data(body), secret_size(body), &text), 0);
        assert_in_range(strlen(text), ERROR_TEXT_MAX / 2, ERROR_TEXT_MAX);
}

static void test_outcomes(void **state)
{
        static const struct {
                EndpointId endpoint;
                unsigned status;
                const char *type;
                const char *body;
                CallOutcomeKind kind;
                bool maybe_acted;
                bool retryable;
        } cases[] = {
                {ENDPOINT_VERIFY, 200, JSON, "200", OUTCOME_DONE, false, false},
                {ENDPOINT_VERIFY, 200, JSON, "\"200\"", OUTCOME_DONE, false, false},
                {ENDPOINT_VERIFY, 200, TEXT, "200\r\n", OUTCOME_DONE, false, false},
                {ENDPOINT_VERIFY, 200, NULL, "200", OUTCOME_DONE, false, false},
                {ENDPOINT_VERIFY, 200, TEXT, "2000", OUTCOME_AGAIN, true, false},
                {ENDPOINT_VERIFY, 200, TEXT, "x", OUTCOME_AGAIN, true, false},
                {ENDPOINT_VERIFY, 200, "text/html", "200", OUTCOME_AGAIN, true, false},
                {ENDPOINT_SHOW, 200, JSON, "[]", OUTCOME_AGAIN, false, false},
                {ENDPOINT_LIST, 200, JSON, "{}", OUTCOME_AGAIN, false, false},
                {ENDPOINT_RESET_BY_ID, 201, JSON, "{\"token\":\"\"}", OUTCOME_AGAIN, true, false},
                {ENDPOINT_RESET_BY_ID, 201, JSON, "{\"token\":7}", OUTCOME_AGAIN, true, false},
                {ENDPOINT_RESET_BY_ID, 201, JSON, "{}", OUTCOME_AGAIN, true, false},
                {ENDPOINT_DELETE_BY_ID, 200, JSON, "{}", OUTCOME_DONE, false, false},
                {ENDPOINT_DELETE_BY_ID, 204, NULL, "", OUTCOME_DONE, false, false},
                {ENDPOINT_DELETE_BY_ID, 202, NULL, "", OUTCOME_AGAIN, true, false},
                {ENDPOINT_SHOW, 408, JSON, "{}", OUTCOME_AGAIN, false, true},
                {ENDPOINT_SHOW, 409, JSON, "{}", OUTCOME_AGAIN, false, true},
                {ENDPOINT_SHOW, 500, JSON, "{}", OUTCOME_AGAIN, false, true},
                {ENDPOINT_SHOW, 429, JSON, "{}", OUTCOME_AGAIN, false, false},
                {ENDPOINT_SHOW, 302, JSON, "{}", OUTCOME_FAILED, false, false},
                {ENDPOINT_SHOW, 410, JSON, "{\"message\":\"gone\"}", OUTCOME_REFUSED, false, false},
                {ENDPOINT_UPDATE, 408, JSON, "{}", OUTCOME_AGAIN, true, true},
                {ENDPOINT_UPDATE, 409, JSON, "{}", OUTCOME_AGAIN, true, true},
                {ENDPOINT_CREATE, 409, JSON, "{}", OUTCOME_AGAIN, true, false},
                {ENDPOINT_CREATE, 502, "text/html", "x", OUTCOME_AGAIN, true, false},
                {ENDPOINT_CREATE, 403, JSON, "{\"error\":\"insufficient_scope\"}", OUTCOME_REFUSED, false, false},
                {ENDPOINT_CREATE, 403, JSON, "{\"error\":\"insufficient_scope\",\"scope\":7}", OUTCOME_REFUSED, false,
                        false},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const Endpoint *endpoint = endpoint_get(cases[i].endpoint);
                Reply reply = make_reply(cases[i].status, cases[i].type, cases[i].body);
                CallOutcome outcome;

                assert_int_equal(outcome_read(endpoint, &reply, now, &outcome), 0);
                if (outcome.kind != cases[i].kind || outcome.maybe_acted != cases[i].maybe_acted ||
                        outcome_retryable(endpoint, &outcome) != cases[i].retryable)
                        fail_msg("%s %u '%s': %d %d %d", endpoint->name, cases[i].status, cases[i].body, outcome.kind,
                                outcome.maybe_acted, outcome_retryable(endpoint, &outcome));
                outcome_done(&outcome);
                (void)secret_free(reply.body);
        }
}

static void test_transports(void **state)
{
        static const struct {
                Transport transport;
                const char *error;
                CallOutcomeKind kind;
                bool maybe_acted;
        } cases[] = {
                {TRANSPORT_NOT_SENT, "x", OUTCOME_AGAIN, false},
                {TRANSPORT_LOST, "", OUTCOME_AGAIN, true},
                {TRANSPORT_TOO_LARGE, NULL, OUTCOME_AGAIN, true},
                {TRANSPORT_TLS, NULL, OUTCOME_FAILED, false},
                {TRANSPORT_BAD_URL, NULL, OUTCOME_FAILED, false},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const Reply reply = {.transport = cases[i].transport, .error = (char *)cases[i].error};
                CallOutcome outcome;

                assert_int_equal(outcome_read(endpoint_get(ENDPOINT_UPDATE), &reply, now, &outcome), 0);
                assert_int_equal(outcome.kind, cases[i].kind);
                assert_int_equal(outcome.maybe_acted, cases[i].maybe_acted);
                assert_true(outcome.message && *outcome.message);
                outcome_done(&outcome);
        }
}

/* ---- our own files, which others may have written to ---- */

#define STATUS_OF(members) "{\"version\":\"1\",\"pid\":1,\"runners\":[{" members "}]}"
#define RUNNER                                                                                                       \
        "\"name\":\"n\",\"url\":\"u\",\"system_id\":null,\"state\":\"registered\",\"flow\":\"registration_token\""

static void test_status_that_others_wrote(void **state)
{
        static const struct {
                const char *text;
                const char *why; /* a part of it; NULL: it is taken */
        } cases[] = {
                {STATUS_OF(RUNNER), NULL},
                {STATUS_OF(RUNNER ",\"attempt\":7,\"debts\":[{\"kind\":\"runner\"}]"), NULL},
                {STATUS_OF(RUNNER ",\"attempt\":-1"), "'attempt' is out of range"},
                {STATUS_OF(RUNNER ",\"attempt\":4294967296"), "'attempt' is out of range"},
                {STATUS_OF(RUNNER ",\"attempt\":1.5"), "'attempt' is not an integer"},
                {STATUS_OF(RUNNER ",\"runner_id\":\"7\""), "'runner_id' is not an integer"},
                {STATUS_OF(RUNNER ",\"runner_id\":-7"), "'runner_id' is out of range"},
                {STATUS_OF(RUNNER ",\"registered_at\":7"), "is neither a time nor null"},
                {STATUS_OF(RUNNER ",\"registered_at\":\"x\""), "is not a time"},
                {STATUS_OF(RUNNER ",\"reason\":7"), "'reason' is not a string"},
                {STATUS_OF(RUNNER ",\"debts\":{}"), NULL},
                {STATUS_OF(RUNNER ",\"debts\":[7]"), "not a JSON object"},
                {STATUS_OF(RUNNER ",\"debts\":[{\"kind\":\"x\"}]"), "is not a known word"},
                {STATUS_OF("\"url\":\"u\""), "'name' is missing"},
                {STATUS_OF("\"name\":\"\""), "'name' is empty"},
                {"{\"version\":\"1\"}", ""},
                {"{\"version\":\"1\",\"runners\":7}", ""},
                {"7", "not a JSON object"},
                {"{", ""},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *why = NULL;
                AgentStatus status = {};

                int r = status_decode(cases[i].text, strlen(cases[i].text), &status, &why);
                if (r != (cases[i].why ? -EBADMSG : 0) || (cases[i].why && (!why || !strstr(why, cases[i].why))))
                        fail_msg("%s: %d: %s", cases[i].text, r, why ? why : "nothing");
                agent_status_done(&status);
        }
}

static void test_too_many_debts(void **state)
{
        _cleanup_secret_ Secret *text = NULL;
        AgentStatus status = {};

        assert_int_equal(secret_new(STATUS_OF(RUNNER ",\"debts\":[{\"kind\":\"runner\"}"),
                                 strlen(STATUS_OF(RUNNER ",\"debts\":[{\"kind\":\"runner\"}")) - 3, &text),
                0);
        for (unsigned i = 0; i < RECORD_DEBTS_MAX; i++)
                assert_int_equal(secret_append_string(text, ",{\"kind\":\"runner\"}"), 0);
        assert_int_equal(secret_append_string(text, "]}]}"), 0);
        assert_int_equal(status_decode(secret_data(text), secret_size(text), &status, NULL), -EBADMSG);
}

/* ---- clouds ---- */

static void test_azure_events(void **state)
{
#define EVENT(members) "{\"Events\":[{" members "}]}"
#define OF_VM          "\"EventId\":\"e\",\"Resources\":[\"vm-1\"]"
        static const struct {
                const char *body;
                int n; /* or a negative errno */
        } cases[] = {
                {EVENT("\"EventType\":\"Preempt\"," OF_VM), 1},
                {EVENT("\"EventType\":\"Preempt\",\"EventStatus\":\"Completed\"," OF_VM), 0},
                {EVENT("\"EventType\":\"Preempt\",\"EventStatus\":\"Started\"," OF_VM), 1},
                {EVENT("\"EventType\":\"Preempt\",\"NotBefore\":\"\"," OF_VM), 1},
                {EVENT("\"EventType\":\"Preempt\",\"NotBefore\":\"Sat, 22 Aug 2026 10:00:30 GMT\"," OF_VM), 1},
                {EVENT("\"EventType\":\"Dance\"," OF_VM), 0},
                {EVENT("\"EventType\":7," OF_VM), 0},
                {EVENT("\"EventType\":\"Preempt\",\"Resources\":[\"vm-1\"]"), 0},
                {EVENT("\"EventType\":\"Preempt\",\"EventId\":\"e\",\"Resources\":[7,\"vm-2\"]"), 0},
                {EVENT("\"EventType\":\"Preempt\",\"EventId\":\"e\",\"Resources\":[7,\"_VM-1\"]"), 1},
                {EVENT("\"EventType\":\"Preempt\",\"EventId\":\"e\",\"Resources\":7"), 0},
                {"{\"Events\":[]}", 0},
                {"{\"Events\":7}", -EBADMSG},
                {"{\"Events\":{}}", -EBADMSG},
                {"{}", -EBADMSG},
                {"[]", -EBADMSG},
                {"x", -EBADMSG},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const NoticeContext context = {.now = now, .resource = "vm-1"}, nameless = {.now = now};
                _cleanup_secret_ Secret *body = NULL;
                CloudNotice notices[CLOUD_NOTICES_MAX];
                size_t n;

                assert_int_equal(secret_new(cases[i].body, strlen(cases[i].body), &body), 0);
                int r = notice_decode_azure(body, &context, notices, &n);
                if (r != (cases[i].n < 0 ? cases[i].n : 0) || (r == 0 && n != (size_t)cases[i].n))
                        fail_msg("%s: %d, %zu", cases[i].body, r, n);
                if (r == 0) {
                        assert_int_equal(notice_decode_azure(body, &nameless, notices, &n), 0);
                        assert_int_equal(n, 0);
                }
        }
}

static void test_aws_credentials(void **state)
{
        static const struct {
                const char *body;
                int result;
        } cases[] = {
                {"{\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"b\",\"Token\":\"c\"}", 0},
                {"{\"SecretAccessKey\":\"b\",\"Token\":\"c\"}", -EBADMSG},
                {"{\"AccessKeyId\":\"a\",\"Token\":\"c\"}", -EBADMSG},
                {"{\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"b\"}", -EBADMSG},
                {"{\"AccessKeyId\":\"\",\"SecretAccessKey\":\"b\",\"Token\":\"c\"}", -EBADMSG},
                {"{\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"\",\"Token\":\"c\"}", -EBADMSG},
                {"{\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"b\",\"Token\":\"c\\r\\nX: y\"}", -EBADMSG},
                {"{\"AccessKeyId\":7,\"SecretAccessKey\":\"b\",\"Token\":\"c\"}", -EBADMSG},
                {"[]", -EBADMSG},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_secret_ Secret *body = NULL, *key = NULL, *session = NULL;

                assert_int_equal(secret_new(cases[i].body, strlen(cases[i].body), &body), 0);
                int r = notice_decode_aws_credentials(body, &key, &session);
                if (r != cases[i].result)
                        fail_msg("%s: %d", cases[i].body, r);
        }
}

#define HOOKS(members) "<DescribeLifecycleHooksResult>" members "</DescribeLifecycleHooksResult>"
#define HOOK(name, more)                                                                                             \
        "<member><LifecycleTransition>autoscaling:EC2_INSTANCE_TERMINATING</LifecycleTransition>" name more          \
        "</member>"
#define NAMED(name) "<LifecycleHookName>" name "</LifecycleHookName>"

static void test_aws_hooks(void **state)
{
        static const struct {
                const char *body;
                int result;
                size_t n;
                uint64_t heartbeat_sec;
                uint64_t global_sec;
        } cases[] = {
                {HOOKS(""), 0, 0, 0, 0},
                {"<x>", -EBADMSG, 0, 0, 0},
                {HOOKS("<member></member>"), 0, 0, 0, 0},
                {HOOKS(HOOK("", "")), 0, 0, 0, 0},
                {HOOKS("<member><LifecycleTransition>x</LifecycleTransition></member>"), 0, 0, 0, 0},
                {HOOKS("<member>" NAMED("a") "</member>"), 0, 0, 0, 0},
                {HOOKS(HOOK(NAMED("a"), "")), 0, 1, 3600, 172800},
                {HOOKS(HOOK(NAMED("a"), "<HeartbeatTimeout>60</HeartbeatTimeout><GlobalTimeout>90</GlobalTimeout>")),
                        0, 1, 60, 90},
                {HOOKS(HOOK(NAMED("a"), "<HeartbeatTimeout></HeartbeatTimeout><GlobalTimeout>-9</GlobalTimeout>")), 0,
                        1, 3600, 172800},
                {HOOKS(HOOK(NAMED("a"), "<HeartbeatTimeout>9999999999</HeartbeatTimeout>")), 0, 1, 3600, 172800},
                {HOOKS(HOOK(NAMED("runner-registrar-1"), "<HeartbeatTimeout>90</HeartbeatTimeout>")
                                 HOOK(NAMED("runner-registrar-2"), "<HeartbeatTimeout>60</HeartbeatTimeout>")
                                         HOOK(NAMED("x"), "")),
                        0, 2, 60, 172800},
                {HOOKS(HOOK(NAMED("runner-registrar-1"), "<GlobalTimeout>60</GlobalTimeout>")
                                 HOOK(NAMED("runner-registrar-2"), "<HeartbeatTimeout>7200</HeartbeatTimeout>")),
                        0, 2, 3600, 60},
                {HOOKS(HOOK(NAMED("x"), "") HOOK(NAMED("y"), "")), 0, 0, 0, 0},
                {HOOKS("<member>" NAMED("a")), 0, 0, 0, 0},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_secret_ Secret *body = NULL;
                LifecycleHooks hooks = {};

                assert_int_equal(secret_new(cases[i].body, strlen(cases[i].body), &body), 0);
                int r = notice_decode_lifecycle_hooks(body, &hooks);
                if (r != cases[i].result || hooks.n != cases[i].n ||
                        hooks.heartbeat_usec != cases[i].heartbeat_sec * USEC_PER_SEC ||
                        hooks.global_usec != cases[i].global_sec * USEC_PER_SEC)
                        fail_msg("%s: %d, %zu, %llu, %llu", cases[i].body, r, hooks.n,
                                (unsigned long long)hooks.heartbeat_usec, (unsigned long long)hooks.global_usec);
        }
}

/* ---- pages ---- */

static void test_links(void **state)
{
#define NEXT(url) "<" url ">; rel=\"next\""
        static const struct {
                const char *url;
                const char *link;
                PageKind kind;
        } cases[] = {
                {"https://a", NEXT("https://a/x?cursor=b"), PAGE_CURSOR},
                {"https://a", NEXT("HTTPS://A:443/x?cursor=b"), PAGE_CURSOR},
                {"https://a:443", NEXT("https://a?cursor=b"), PAGE_CURSOR},
                {"http://a:80", NEXT("http://a/?cursor=b"), PAGE_CURSOR},
                {"http://a:8080", NEXT("http://a:8080/?cursor=b"), PAGE_CURSOR},
                {"http://a:8080", NEXT("http://a:8081/?cursor=b"), PAGE_FOREIGN},
                {"http://a:8080", NEXT("http://a/?cursor=b"), PAGE_FOREIGN},
                {"http://a:443", NEXT("https://a/?cursor=b"), PAGE_FOREIGN},
                {"https://a", NEXT("http://a/?cursor=b"), PAGE_FOREIGN},
                {"https://a", NEXT("https://b/?cursor=b"), PAGE_FOREIGN},
                {"https://a", NEXT("https://ab/?cursor=b"), PAGE_FOREIGN},
                {"https://a", NEXT("https://a#?cursor=b"), PAGE_CURSOR},
                {"https://a", NEXT("https://user@a/?cursor=b"), PAGE_BROKEN},
                {"https://a", NEXT("https://a b/?cursor=b"), PAGE_BROKEN},
                {"https://a", NEXT("https://a\x7f/?cursor=b"), PAGE_BROKEN},
                {"https://a", NEXT("https:///?cursor=b"), PAGE_BROKEN},
                {"https://a", NEXT("https://"), PAGE_BROKEN},
                {"https://a", NEXT("http://"), PAGE_BROKEN},
                {"https://a", NEXT("ftp://a/?cursor=b"), PAGE_BROKEN},
                {"https://a", NEXT("/x?cursor=b"), PAGE_BROKEN},
                {"nonsense", NEXT("https://a/?cursor=b"), PAGE_FOREIGN},
                {"https://a", NEXT("https://123/?cursor=b"), PAGE_FOREIGN},
                {"https://a", NEXT("https://a/"), PAGE_BROKEN},
                {"https://a", NEXT("https://a/?x=1&y"), PAGE_BROKEN},
                {"https://a", NEXT("https://a/?cursor"), PAGE_BROKEN},
                {"https://a", NEXT("https://a/?cursors=b"), PAGE_BROKEN},
                {"https://a", NEXT("https://a/?cursor=b#c"), PAGE_CURSOR},
                {"https://a", NEXT("https://a/?cursor=b+c%2b%2B"), PAGE_CURSOR},
                {"https://a", NEXT("https://a/?cursor=%"), PAGE_BROKEN},
                {"https://a", NEXT("https://a/?cursor=%2"), PAGE_BROKEN},
                {"https://a", NEXT("https://a/?cursor=%g0"), PAGE_BROKEN},
                {"https://a", NEXT("https://a/?cursor=%0g"), PAGE_BROKEN},
                {"https://a", NEXT("https://a/?cursor=%\x12\x12"), PAGE_BROKEN},
                {"https://a", NEXT("https://a/?cursor=%7f"), PAGE_BROKEN},
                {"https://a", NEXT("https://a/?cursor=%1f"), PAGE_BROKEN},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const Reply reply = {.transport = TRANSPORT_OK, .status = 200, .link = (char *)cases[i].link};
                Page page;

                assert_int_equal(page_next(&reply, cases[i].url, 0, NULL, &page), 0);
                if (page.kind != cases[i].kind)
                        fail_msg("%s at %s: %d", cases[i].link, cases[i].url, page.kind);
                page_done(&page);
        }
}

static void test_page_numbers(void **state)
{
        static const struct {
                const char *next;
                const char *link;
                PageKind kind;
        } cases[] = {{"2", NULL, PAGE_NUMBER}, {"", NULL, PAGE_LAST}, {"1", NULL, PAGE_BROKEN},
                {"x", NULL, PAGE_BROKEN}, {"2x", NULL, PAGE_BROKEN}, {"1234567890123456", NULL, PAGE_BROKEN},
                {"/", NULL, PAGE_BROKEN}, {NULL, NEXT("https://a/?page=2"), PAGE_NUMBER},
                {NULL, NEXT("https://a/?page=1"), PAGE_BROKEN}, {NULL, NEXT("https://a/?page=x"), PAGE_BROKEN},
                {NULL, NEXT("https://a/?y=1"), PAGE_BROKEN}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const Reply reply = {.transport = TRANSPORT_OK,
                        .status = 200,
                        .next_page = (char *)cases[i].next,
                        .link = (char *)cases[i].link};
                Page page;

                assert_int_equal(page_next(&reply, "https://a", 1, NULL, &page), 0);
                if (page.kind != cases[i].kind)
                        fail_msg("%zu: %d", i, page.kind);
                page_done(&page);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_verdicts),
                cmocka_unit_test(test_long_note),
                cmocka_unit_test(test_more_pages),
                cmocka_unit_test(test_words_of_errors),
                cmocka_unit_test(test_endless_words),
                cmocka_unit_test(test_outcomes),
                cmocka_unit_test(test_transports),
                cmocka_unit_test(test_status_that_others_wrote),
                cmocka_unit_test(test_too_many_debts),
                cmocka_unit_test(test_azure_events),
                cmocka_unit_test(test_aws_credentials),
                cmocka_unit_test(test_aws_hooks),
                cmocka_unit_test(test_links),
                cmocka_unit_test(test_page_numbers),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
