/* What stands just at a bound, or one beyond it; what is left out; and the words that are almost the right ones. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/base/time.h"
#include "agent/core/api.h"
#include "agent/core/clone.h"
#include "agent/core/endpoint.h"
#include "agent/core/info.h"
#include "agent/core/notice.h"
#include "agent/core/outcome.h"
#include "agent/core/page.h"
#include "agent/core/prune.h"
#include "agent/core/record.h"
#include "agent/core/schedule.h"
#include "agent/core/status.h"
#include "agent/core/template.h"
#include "agent/core/text.h"
#include "agent/core/toml.h"
#include "agent/core/verdict.h"
#include "agent/core/view.h"

static const Now now = {.realtime_usec = UINT64_C(1787392800) * USEC_PER_SEC, .boottime_usec = 5 * USEC_PER_SEC};

static Secret *secret(const char *text)
{
        Secret *ret = NULL;

        assert_int_equal(secret_new(text, strlen(text), &ret), 0);
        return ret;
}

/* N times C in front of TEXT; freed by the caller. */
static char *many(char c, size_t n, const char *text)
{
        char *ret = malloc(n + strlen(text) + 1);

        assert_non_null(ret);
        memset(ret, c, n);
        memcpy(ret + n, text, strlen(text) + 1);
        return ret;
}

/* ---- what is kept on the disk ---- */

/* Torn, cut, of another version: no answer. */
static void test_journals(void **state)
{
        static const struct {
                const char *line;
                int result;
        } cases[] = {
                {"x\n", -EBADMSG},
                {" e3b0c44298fc1c14\n", -EBADMSG},
                {"{\"version\":1,\"kind\":\"create\",\"token\":\"glrt-a\"} 1152d6a47b6a387e\n", 0},
                {"{\"version\":1,\"kind\":\"create\",\"token\":\"glrt-a\"} 1152d6a47b6a387f\n", -EBADMSG},
                {"{\"version\":2,\"kind\":\"create\",\"token\":\"glrt-a\"} 3ed4f37cafe09b2a\n", -EBADMSG},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Answer answer = {};

                int r = answer_decode(cases[i].line, strlen(cases[i].line), &answer);
                answer_done(&answer);
                if (r != cases[i].result)
                        fail_msg("%s: %d", cases[i].line, r);
        }
}

/* Nothing is written that could not be read again. */
static void test_what_is_not_written(void **state)
{
        _cleanup_secret_ Secret *token = secret("glrt-a"), *line = NULL;
        const struct {
                Answer answer;
                int result;
        } answers[] = {
                {{.kind = INTENT_CREATE, .token = token}, 0},
                {{.kind = INTENT_CREATE}, -EINVAL},
                {{.kind = (IntentKind)-1, .token = token}, -EINVAL},
                {{.kind = _INTENT_KIND_MAX, .token = token}, -EINVAL},
        };
        _cleanup_free_ char *path = many('/', 4000, ""), *id = many('i', 300, "");
        Record *record = NULL;

        for (size_t i = 0; i < ELEMENTS(answers); i++) {
                line = secret_free(line);
                if (answer_encode(&answers[i].answer, &line) != answers[i].result)
                        fail_msg("answer %zu", i);
        }

        assert_int_equal(record_new("build-1", "https://a", FLOW_REGISTRATION_TOKEN, &record), 0);
        assert_int_equal(replace_string(&record->machine_id, id), 0);
        line = secret_free(line);
        assert_int_equal(record_encode(record, &line), -EINVAL);
        assert_int_equal(replace_string(&record->machine_id, "m"), 0);
        for (size_t i = 0; i < RECORD_DEBTS_MAX; i++) {
                Debt debt = {.kind = DEBT_ORPHAN, .runner_id = (int64_t)i + 1};

                assert_int_equal(replace_string(&debt.target.url, "https://a"), 0);
                assert_int_equal(replace_string(&debt.target.tls_ca_file, path), 0);
                assert_int_equal(replace_string(&debt.target.tls_cert_file, path), 0);
                assert_int_equal(record_add_debt(record, &debt), 0);
                debt_done(&debt);
        }
        assert_int_equal(record_encode(record, &line), -E2BIG);
        record_free(record);
}

static void test_words_that_are_none(void **state)
{
        _cleanup_free_ char *name = many('n', 70000, "\"}]}"), *text = NULL, *why = NULL;
        AgentStatus status = {};

        assert_true(asprintf(&text, "{\"version\":\"1\",\"pid\":1,\"runners\":[{\"name\":\"%s", name) > 0);
        assert_int_equal(status_decode(text, strlen(text), &status, &why), -EBADMSG);
        assert_non_null(strstr(why, "'name' is too long"));
        agent_status_done(&status);
        free(why);
        why = NULL;
        static const char number[] = "{\"version\":\"1\",\"runners\":[{\"name\":\"n\",\"state\":7}]}";
        assert_int_equal(status_decode(number, strlen(number), &status, &why), -EBADMSG);
        assert_non_null(strstr(why, "'state' is not a known word"));
        agent_status_done(&status);
}

/* ---- requests ---- */

/* An orphan is found by its marker: it is never cut, the note is. */
static void test_notes(void **state)
{
        _cleanup_free_ char *long_marker = many('m', 1025, ""), *full_marker = many('m', 1024, "");
        static char *none[] = {NULL};
        const Attributes attributes = {
                .maintenance_note = (char *)"note", .tag_list = none, .run_untagged = -1, .locked = -1, .paused = -1};
        _cleanup_secret_ Secret *token = secret("glrt-abc");
        const struct {
                const char *marker;
                int result;
                const char *has;
        } cases[] = {
                {"m", 0, "\"note m\""},
                {full_marker, 0, "\"mmm"},
                {long_marker, -EINVAL, NULL},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const CallArguments arguments = {
                        .token = token, .attributes = &attributes, .marker = cases[i].marker};
                _cleanup_(request_done) Request request = {};

                assert_int_equal(request_build(CALL_REGISTER, &arguments, &request), cases[i].result);
                if (cases[i].has)
                        assert_non_null(strstr(secret_data(request.body), cases[i].has));
                if (cases[i].has)
                        assert_null(strstr(secret_data(request.body), "tag_list"));
        }
}

static void test_no_token(void **state)
{
        const Argument arguments[] = {{.name = "token"}};
        Request request = {};

        assert_int_equal(endpoint_build(endpoint_get(ENDPOINT_VERIFY), _CALL_INVALID, arguments, 1, NULL,
                                 USEC_PER_SEC, &request),
                -EINVAL);
        request_done(&request);
}

/* What a gitlab-runner says of itself goes into a header and into info, or is left out. */
static void test_info(void **state)
{
#define ARCH "OS/Arch: linux/amd64\n"
        static const struct {
                const char *text;
                const char *version; /* NULL: that is no gitlab-runner */
        } cases[] = {
                {"Version: 17.5.0\n" ARCH, "17.5.0"},
                {"Version: 17.5.0 \t \n" ARCH, "17.5.0"},
                {"Versions: 1\nVersion 2\nVersion: 17.5.0\n" ARCH, "17.5.0"},
                {"Version: 17\x01\n" ARCH, NULL},
                {"Version: 17\x7f\n" ARCH, NULL},
                {"Version: 17\xc3\xbc\n" ARCH, NULL},
                {"Version: \n" ARCH, NULL},
                {"Version: \t\n" ARCH, NULL},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Neighbour neighbour = {};

                int r = neighbour_parse(cases[i].text, &neighbour);
                if (r != (cases[i].version ? 0 : -EBADMSG) ||
                        (cases[i].version && strcmp(neighbour.version, cases[i].version) != 0))
                        fail_msg("%s: %d", cases[i].text, r);
                neighbour_done(&neighbour);
        }

        const Neighbour nobody = {};
        _cleanup_free_ char *info = NULL;
        assert_int_equal(info_encode(&nobody, "\xff", "sh", "\xff", &info), 0);
        assert_null(strstr(info, "\"version\""));
        assert_null(strstr(info, "\"executor\""));
        assert_non_null(strstr(info, "\"shell\":\"sh\""));
        assert_non_null(strstr(info, "\"config\":{\"gpus\":\"\"}"));
        free(info);
        assert_int_equal(info_encode(&nobody, "", "", NULL, &info), 0);
        assert_null(strstr(info, "\"shell\""));
}

/* ---- answers ---- */

static void test_outcomes(void **state)
{
        static const struct {
                EndpointId endpoint;
                unsigned status;
                const char *body;
                const char *retry_after;
                CallOutcomeKind kind;
                bool maybe_acted;
                bool unknown_paused;
        } cases[] = {
                {ENDPOINT_CREATE, 503, "{\"message\":\"x\"}", NULL, OUTCOME_AGAIN, true, false},
                {ENDPOINT_CREATE, 503, "{\"message\":\"x\"}", "9", OUTCOME_AGAIN, false, false},
                {ENDPOINT_UPDATE, 400, "{\"error\":\"x, y, at least one parameter must be provided\"}", NULL,
                        OUTCOME_FAILED, false, true},
                {ENDPOINT_UPDATE, 400, "{\"error\":\"name is invalid\"}", NULL, OUTCOME_FAILED, false, false},
                {ENDPOINT_VERIFY, 200, "200", NULL, OUTCOME_DONE, false, false},
                {ENDPOINT_VERIFY, 200, "\"200\"", NULL, OUTCOME_DONE, false, false},
                {ENDPOINT_VERIFY, 200, "201", NULL, OUTCOME_AGAIN, true, false},
                {ENDPOINT_DELETE_RUNNER, 200, "{}", NULL, OUTCOME_DONE, false, false},
                {ENDPOINT_DELETE_RUNNER, 204, "", NULL, OUTCOME_DONE, false, false},
                {ENDPOINT_DELETE_RUNNER, 202, "{}", NULL, OUTCOME_AGAIN, true, false},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Reply reply = {.transport = TRANSPORT_OK,
                        .status = cases[i].status,
                        .content_type = (char *)"application/json",
                        .retry_after = (char *)cases[i].retry_after};
                CallOutcome o;

                reply.body = secret(cases[i].body);
                assert_int_equal(outcome_read(endpoint_get(cases[i].endpoint), &reply, now, &o), 0);
                if (o.kind != cases[i].kind || o.maybe_acted != cases[i].maybe_acted ||
                        o.unknown_paused != cases[i].unknown_paused)
                        fail_msg("%zu: %d %d %d: %s", i, o.kind, o.maybe_acted, o.unknown_paused,
                                o.message ? o.message : "");
                outcome_done(&o);
                secret_free(reply.body);
        }
}

/* API v3 deletes with 200, its last releases with 204. */
static void test_old_deletes(void **state)
{
        Reply reply = {.transport = TRANSPORT_OK, .status = 204, .body = secret("")};
        CallOutcome o;
        Endpoint old;

        assert_true(endpoint_for_v3(endpoint_get(ENDPOINT_UNASSIGN), &old));
        assert_int_equal(outcome_read(&old, &reply, now, &o), 0);
        assert_int_equal(o.kind, OUTCOME_DONE);
        outcome_done(&o);
        secret_free(reply.body);
}

static void test_repeated_deletes(void **state)
{
        static const struct {
                unsigned status;
                const char *message;
                bool before;
        } cases[] = {{403, "403 Forbidden", true}, {403, "403 Forbidden - read-only", false},
                {404, "404 Not Found", false}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const CallOutcome o = {
                        .kind = OUTCOME_FAILED, .status = cases[i].status, .message = (char *)cases[i].message};

                assert_int_equal(outcome_done_before(endpoint_get(ENDPOINT_DELETE_RUNNER), &o), cases[i].before);
        }
}

static void test_routes_without_history(void **state)
{
        static const struct {
                Endpoint endpoint;
                const char *version;
                const char *text;
        } cases[] = {
                {{.method = "GET", .path = "x"}, NULL, "this server has no GET /x: check --url and --api-version"},
                {{.method = "GET", .path = "x"}, "8.1", "GitLab 8.1 has no GET /x: check --url and --api-version"},
                {{.method = "GET", .path = "x", .instead = "go home"}, NULL, "this server has no GET /x: go home"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *text = NULL;

                assert_int_equal(outcome_explain_route(&cases[i].endpoint, cases[i].version, &text), 0);
                assert_string_equal(text, cases[i].text);
        }
}

static void test_redirects(void **state)
{
        static const struct {
                const char *location;
                const char *text; /* a part of the message */
        } cases[] = {
                {NULL, "to nowhere"},
                {"", "to nowhere"},
                {"https://b/api/v4/runners", "set url to 'https://b'"},
                {"//b/api/v4/runners", "redirect to '//b/api/v4/runners'"},
                {"/x?to=http://b", "redirect to '/x'"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Reply reply = {.transport = TRANSPORT_OK, .status = 301, .location = (char *)cases[i].location};
                Judgement j = {};

                reply.body = secret("");
                assert_int_equal(verdict_judge(CALL_VERIFY, &reply, now, &j), 0);
                assert_int_equal(j.verdict, VERDICT_PERMANENT);
                if (!strstr(j.message, cases[i].text))
                        fail_msg("%s: %s", cases[i].location, j.message);
                judgement_done(&j);
                secret_free(reply.body);
        }
}

#define NEXT(url) "<" url ">; rel=\"next\""

static void test_links(void **state)
{
        _cleanup_free_ char *cursor = many('c', 70000, ">; rel=\"next\""), *endless = NULL;

        assert_true(asprintf(&endless, "<https://a/?cursor=%s", cursor) > 0);
        const struct {
                const char *url;
                const char *link;
                PageKind kind;
        } cases[] = {
                {"https://10.1.2.3", NEXT("https://10.1.2.3/?cursor=b"), PAGE_CURSOR},
                {"http://a", NEXT("http://a:81/?cursor=b"), PAGE_FOREIGN},
                {"https://a", NEXT("https://a/?page="), PAGE_BROKEN},
                {"https://a", endless, PAGE_BROKEN},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const Reply reply = {.transport = TRANSPORT_OK, .status = 200, .link = (char *)cases[i].link};
                Page page;

                assert_int_equal(page_next(&reply, cases[i].url, 0, NULL, &page), 0);
                if (page.kind != cases[i].kind)
                        fail_msg("%zu: %d", i, page.kind);
                page_done(&page);
        }
}

static void test_version_prefixes(void **state)
{
        static const struct {
                const char *details;
                const char *prefix;
                Fact fact;
        } cases[] = {
                {"{\"version\":\"16.1.0\"}", "16", FACT_YES},
                {"{\"version\":\"16-pre\"}", "16.", FACT_YES},
                {"{\"version\":\"16:\"}", "16", FACT_YES},
                {"{\"version\":\"16.1.0\"}", "1", FACT_UNKNOWN},
                {"{\"version\":\"16.1.0\"}", "17", FACT_UNKNOWN},
                {"{\"version\":16}", "16", FACT_UNKNOWN},
                {"{}", "16", FACT_UNKNOWN},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const Argument filter = {.name = "version_prefix", .text = cases[i].prefix};

                if (prune_match(&filter, slice_of(cases[i].details, strlen(cases[i].details)), RELEASE(15, 0)) !=
                        cases[i].fact)
                        fail_msg("%s in %s", cases[i].prefix, cases[i].details);
        }
}

/* ---- clouds ---- */

static void test_text_notices(void **state)
{
        static const struct {
                const char *body;
                int n; /* or a negative errno */
        } cases[] = {{"TRUE", 1}, {"TRUE\r\n", 1}, {"TRUE ", 1}, {"FALSE\n", 0}, {"\r\n ", -EBADMSG}, {"", -EBADMSG},
                {"TRUER", -EBADMSG}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const NoticeContext context = {.now = now};
                _cleanup_secret_ Secret *body = secret(cases[i].body);
                CloudNotice notices[CLOUD_NOTICES_MAX];
                size_t n;

                int r = notice_decode_gcp_preempted(body, &context, notices, &n);
                if (r != (cases[i].n < 0 ? cases[i].n : 0) || (r == 0 && n != (size_t)cases[i].n))
                        fail_msg("'%s': %d, %zu", cases[i].body, r, n);
        }

        /* Strangers' text goes into logs and into the hook's environment. */
        _cleanup_secret_ Secret *odd =
                secret("{\"action\":\"a\\u0001b\\u007fc\\u00fc\",\"time\":\"2026-08-22T10:00:00Z\"}");
        const NoticeContext context = {.now = now};
        CloudNotice notices[CLOUD_NOTICES_MAX];
        size_t n;
        assert_int_equal(notice_decode_aws_action(odd, &context, notices, &n), 0);
        assert_string_equal(notices[0].reference, "spot a?b?c??");
}

#define HOOK(name, more)                                                                                             \
        "<member><LifecycleTransition>autoscaling:EC2_INSTANCE_TERMINATING</LifecycleTransition>"                    \
        "<LifecycleHookName>" name "</LifecycleHookName>" more "</member>"
#define OURS(n, global) HOOK("runner-registrar-" n, "<GlobalTimeout>" global "</GlobalTimeout>")

static void test_many_hooks(void **state)
{
        _cleanup_free_ char *long_name = many('x', LIFECYCLE_NAME_MAX, ""), *one = NULL, *large = NULL;
        char *all = NULL;

        assert_true(asprintf(&one, HOOK("%s", ""), long_name) > 0);
        const struct {
                const char *hooks;
                size_t n;
                uint64_t global_sec;
        } cases[] = {
                {OURS("1", "90") OURS("2", "60") OURS("3", "80"), 3, 60},
                {OURS("1", "90") OURS("2", "60") OURS("3", "80") OURS("4", "90") OURS("5", "60") OURS("6", "80")
                                OURS("7", "90") OURS("8", "60") OURS("9", "10"),
                        LIFECYCLE_HOOKS_MAX, 60},
                {one, 0, 0},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                LifecycleHooks hooks;

                assert_true(asprintf(&all, "<DescribeLifecycleHooksResult>%s", cases[i].hooks) > 0);
                _cleanup_secret_ Secret *body = secret(all);
                free(all);
                assert_int_equal(notice_decode_lifecycle_hooks(body, &hooks), 0);
                if (hooks.n != cases[i].n || hooks.global_usec != cases[i].global_sec * USEC_PER_SEC)
                        fail_msg("%zu: %zu %llu", i, hooks.n, (unsigned long long)hooks.global_usec);
        }

        large = many(' ', 64 * 1024, "<DescribeLifecycleHooksResult>");
        _cleanup_secret_ Secret *body = secret(large);
        LifecycleHooks hooks;
        assert_int_equal(notice_decode_lifecycle_hooks(body, &hooks), -EBADMSG);
}

/* ---- the rest ---- */

/* An r_ id is random: that it is the one we would make proves nothing. */
static void test_ids(void **state)
{
        static const struct {
                const char *found;
                const char *made;
                bool proves;
        } cases[] = {{"s_0123456789ab", "s_0123456789ab", true}, {"r_0123456789ab", "r_0123456789ab", false},
                {"s_0123456789ac", "s_0123456789ab", false}, {NULL, "s_0123456789ab", false}};

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                assert_int_equal(
                        clone_settle_id(cases[i].found, cases[i].made, CLONE_NONE, false).proves, cases[i].proves);
}

static void test_waits(void **state)
{
        Random random = {.state = 1};

        /* The range is too narrow for a cap of its own. */
        for (unsigned i = 0; i < 100; i++) {
                uint64_t span = schedule_backoff(&random, 9, 20, 25);

                assert_in_range(span, 20, 25);
        }
        /* A limit without a window gives no place in a queue. */
        for (unsigned i = 0; i < 100; i++)
                assert_in_range(schedule_wait(&random, 10, 2.0, 0, 1), 10, 20);
}

static void test_labels(void **state)
{
        _cleanup_free_ char *fits = many('k', 65, ""), *beyond = many('k', 66, "");

        for (unsigned i = 0; i < 2; i++) {
                _cleanup_secret_ Secret *body = NULL;
                _cleanup_free_ char *text = NULL;
                TomlError error = {};

                assert_true(asprintf(&text, "[[runners]]\nlabels = { %s = 'x' }\n", i == 0 ? fits : beyond) > 0);
                assert_int_equal(template_merge(text, strlen(text), "shell", &body, &error), i == 0 ? 0 : -EINVAL);
        }
}

static void test_windows_volumes(void **state)
{
        static const char text[] = "[[runners]]\n[runners.docker]\nimage = 'i'\nvolumes = ['d:\\x']\n";
        _cleanup_secret_ Secret *body = NULL;

        assert_int_equal(template_merge(text, strlen(text), "docker-windows", &body, NULL), 0);
        assert_non_null(strstr(secret_data(body), "\"c:\\\\cache\""));
}

/* Nobody looks at the bytes of what is larger than any position can tell. */
static void test_endless_documents(void **state)
{
        const size_t size = (size_t)UINT32_MAX + 1;
        TomlDocument *document = NULL;
        Secret *body = NULL;

        assert_int_equal(toml_document_parse("", size, TOML_VERSION_1_0, &document, NULL), -EFBIG);
        assert_int_equal(template_merge("", size, "shell", &body, NULL), -EBADMSG);
}

static void test_nothing_is_no_character(void **state)
{
        uint32_t character;

        assert_int_equal(text_character("", 0, &character), 0);
        assert_int_equal(text_character("a", 1, &character), 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_journals),
                cmocka_unit_test(test_what_is_not_written),
                cmocka_unit_test(test_words_that_are_none),
                cmocka_unit_test(test_notes),
                cmocka_unit_test(test_no_token),
                cmocka_unit_test(test_info),
                cmocka_unit_test(test_outcomes),
                cmocka_unit_test(test_old_deletes),
                cmocka_unit_test(test_repeated_deletes),
                cmocka_unit_test(test_routes_without_history),
                cmocka_unit_test(test_redirects),
                cmocka_unit_test(test_links),
                cmocka_unit_test(test_version_prefixes),
                cmocka_unit_test(test_text_notices),
                cmocka_unit_test(test_many_hooks),
                cmocka_unit_test(test_ids),
                cmocka_unit_test(test_waits),
                cmocka_unit_test(test_labels),
                cmocka_unit_test(test_windows_volumes),
                cmocka_unit_test(test_endless_documents),
                cmocka_unit_test(test_nothing_is_no_character),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
