/* What people, their files and their programs hand in, at its edges: templates with values of every wrong type,
 * options without a value, texts that are almost tokens or times. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/core/drain.h"
#include "agent/core/endpoint.h"
#include "agent/core/entry-key.h"
#include "agent/core/lifecycle.h"
#include "agent/core/notice.h"
#include "agent/core/prune.h"
#include "agent/core/slice.h"
#include "agent/core/status.h"
#include "agent/core/stop.h"
#include "agent/core/template.h"
#include "agent/core/text.h"
#include "agent/core/token.h"
#include "agent/core/view.h"

/* ---- templates ---- */

static void test_types_in_templates(void **state)
{
        static const struct {
                const char *text; /* below [[runners]] */
                const char *why;  /* a part of it; NULL: it is taken */
        } cases[] = {
                {"limit = 1", NULL},
                {"limit = 'x'", "limit: expected"},
                {"shell = 1", "shell: expected"},
                {"environment = 'A=1'", "environment: expected"},
                {"environment = ['A=1', 2]", "environment: expected"},
                {"environment = []", NULL},
                {"proxy_exec = 1", "proxy_exec: expected"},
                {"unhealthy_interval = '1m'", NULL},
                {"unhealthy_interval = 60", NULL},
                {"unhealthy_interval = 1.5", "unhealthy_interval: expected"},
                {"cache = 1", "cache: expected"},
                {"feature_flags = { A = true }", NULL},
                {"feature_flags = { A = 1 }", "feature_flags: expected"},
                {"feature_flags = []", "feature_flags: expected"},
                {"Limit = 1\nlimit = 2", "two spellings"},
                {"[runners.docker]\nimage = 'i'\npull_policy = 'always'", NULL},
                {"[runners.docker]\nimage = 'i'\npull_policy = ['always', 'never']", NULL},
                {"[runners.docker]\nimage = 'i'\npull_policy = ['always', 1]", "pull_policy: expected"},
                {"[runners.docker]\nimage = 'i'\npull_policy = 1", "pull_policy: expected"},
                {"[runners.docker]\nimage = 'i'\nsysctls = { a = 'b' }", NULL},
                {"[runners.docker]\nimage = 'i'\nsysctls = { a = 1 }", "sysctls: expected"},
                {"[[runners.docker.services]]\nname = 'x'\n[runners.docker]\nimage = 'i'", ""},
                {"[runners.docker]\nimage = 'i'\nservices = [1]", "services: expected"},
                {"[runners.docker]\nimage = 'i'\nservices = [{ name = 'x' }]", NULL},
                {"[runners.docker]\nimage = 'i'\n[runners.machine]\nIdleScaleFactor = 1.5", NULL},
                {"[runners.docker]\nimage = 'i'\n[runners.machine]\nIdleScaleFactor = 2", NULL},
                {"[runners.docker]\nimage = 'i'\n[runners.machine]\nIdleScaleFactor = '2'",
                        "IdleScaleFactor: expected"},
                {"[[runners.machine.autoscaling]]\nIdleCount = 'x'", "IdleCount: expected"},
                {"machine = { autoscaling = [{ IdleCount = 1 }, { IdleCount = 'x' }] }", "IdleCount: expected"},
                {"machine = { autoscaling = [1, 2] }", "autoscaling: expected"},
                {"labels = { abc = 'x' }", NULL},
                {"labels = { ab = 'x' }", ""},
                {"labels = { 'a`b' = 'x' }", ""},
                {"labels = { 'a{b' = 'x' }", ""},
                {"labels = { 'a@b' = 'x' }", ""},
                {"labels = { 'a[b' = 'x' }", ""},
                {"labels = { 'a/b' = 'x' }", ""},
                {"labels = { 'a:b' = 'x' }", ""},
                {"labels = { '.abc' = 'x' }", ""},
                {"labels = { '-abc' = 'x' }", ""},
                {"labels = { '_abc' = 'x' }", NULL},
                {"labels = { 'A-z.9_' = 'a.B-9_' }", NULL},
                {"labels = { abc = '' }", ""},
                {"labels = { abc = 'x y' }", ""},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_secret_ Secret *body = NULL;
                TomlError error = {};
                char source[512];
                bool docker = strstr(cases[i].text, "docker");

                (void)snprintf(source, sizeof(source), "[[runners]]\n%s\n", cases[i].text);
                int r = template_merge(source, strlen(source), docker ? "docker" : "shell", &body, &error);
                if ((cases[i].why && *cases[i].why && (r != -EINVAL || !strstr(error.text, cases[i].why))) ||
                        (!cases[i].why && r != 0))
                        fail_msg("%s: %d: %s", cases[i].text, r, error.text);
        }
}

static void test_volumes(void **state)
{
        static const struct {
                const char *executor;
                const char *volumes; /* with what is before it in the docker table */
                bool adds_cache;
        } cases[] = {
                {"docker", "volumes = ['/v']", true},
                {"docker", "volumes = ['/cache']", false},
                {"docker", "volumes = ['/x:/cache']", false},
                {"docker", "volumes = ['/cache:/x']", true},
                {"docker", "volumes = ['']", true},
                {"docker", "disable_cache = true\nvolumes = []", false},
                {"docker", "disable_cache = false\nvolumes = []", true},
                {"docker", "volumes = []", true},
                {"docker", "shm_size = 0", true},
                {"docker-windows", "volumes = []", true},
                {"docker-windows", "volumes = ['c:\\cache']", false},
                {"docker-windows", "volumes = ['']", true},
                {"docker-windows", "disable_cache = true", true},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_secret_ Secret *body = NULL;
                char source[512];

                (void)snprintf(
                        source, sizeof(source), "[[runners]]\n[runners.docker]\nimage = 'i'\n%s\n", cases[i].volumes);
                assert_int_equal(template_merge(source, strlen(source), cases[i].executor, &body, NULL), 0);
                const char *cache =
                        *cases[i].executor && strstr(cases[i].executor, "windows") ? "\"c:\\\\cache\"" : "\"/cache\"";
                bool there = strstr(secret_data(body), cache),
                     before = strstr(cases[i].volumes, "'/cache'") || strstr(cases[i].volumes, "'c:\\cache'");
                if (there != (cases[i].adds_cache || before))
                        fail_msg("%s %s: %s", cases[i].executor, cases[i].volumes, secret_data(body));
        }
}

/* ---- requests ---- */

static void test_arguments_that_can_not_be_sent(void **state)
{
        static char *good[] = {(char *)"a", (char *)"b", NULL}, *bad[] = {(char *)"a", (char *)"\xff", NULL};
        static char *none[] = {NULL};
        const struct {
                EndpointId endpoint;
                Argument arguments[2];
                int result;
        } cases[] = {
                {ENDPOINT_UPDATE, {{.name = "id", .integer = 7}, {.name = "paused", .integer = 0}}, 0},
                {ENDPOINT_UPDATE, {{.name = "id", .integer = 7}, {.name = "description"}}, -EINVAL},
                {ENDPOINT_UPDATE, {{.name = "id", .integer = 7}, {.name = "description", .text = "\xff"}}, -EINVAL},
                {ENDPOINT_UPDATE, {{.name = "id", .integer = 7}, {.name = "tag_list"}}, -EINVAL},
                {ENDPOINT_UPDATE, {{.name = "id", .integer = 7}, {.name = "tag_list", .list = bad}}, -EINVAL},
                {ENDPOINT_UPDATE, {{.name = "id", .integer = 7}, {.name = "tag_list", .list = none}}, 0},
                {ENDPOINT_UPDATE, {{.name = "id", .integer = 0}}, -EINVAL},
                {ENDPOINT_UPDATE, {{.name = "paused", .integer = 1}}, -EINVAL},
                {ENDPOINT_REGISTER, {{.name = "tag_list", .list = bad}}, -EINVAL},
                {ENDPOINT_REGISTER, {{.name = "tag_list"}}, -EINVAL},
                {ENDPOINT_REGISTER, {{.name = "tag_list", .list = good}, {.name = "info"}}, -EINVAL},
                {ENDPOINT_REGISTER, {{.name = "info", .text = "{"}}, -EINVAL},
                {ENDPOINT_LIST, {{.name = "paused", .integer = 0}, {.name = "status"}}, -EINVAL},
                {ENDPOINT_LIST, {{.name = "paused", .integer = 0}, {.name = "tag_list"}}, -EINVAL},
                {ENDPOINT_LIST, {{.name = "tag_list", .list = good}, {.name = "type", .text = "\xff"}}, 0},
                {ENDPOINT_LIST, {{.name = "paused", .integer = 1}, {.name = "per_page", .integer = 5}}, 0},
                {ENDPOINT_LIST_GROUP, {{.name = "id", .text = ""}}, -EINVAL},
        };
        _cleanup_secret_ Secret *token = NULL;

        assert_int_equal(secret_new("glrt-abc", 8, &token), 0);
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const Endpoint *endpoint = endpoint_get(cases[i].endpoint);
                Request request = {};

                int r = endpoint_build(endpoint, _CALL_INVALID, cases[i].arguments,
                        cases[i].arguments[1].name ? 2 : 1, token, USEC_PER_SEC, &request);
                if (r != cases[i].result)
                        fail_msg("%zu: %s: %d", i, endpoint->name, r);
                request_done(&request);
        }
        assert_null(endpoint_parameter(endpoint_get(ENDPOINT_LIST), "nonsense"));
        assert_non_null(endpoint_parameter(endpoint_get(ENDPOINT_LIST), "tag_list"));
}

/* How a GitLab before API v4 had a call, and how a parameter is spelled on the command line. */
static void test_old_rows_and_options(void **state)
{
        static const Parameter named = {.name = "tag_list"}, renamed = {.name = "a_b", .option = "c_d"};
        static const Parameter endless = {.name = "a_very_long_name_that_no_option_could_ever_have_here"};
        char buffer[ENDPOINT_OPTION_MAX];
        Endpoint old;

        assert_true(endpoint_for_v3(endpoint_get(ENDPOINT_LIST), &old));
        assert_string_equal(old.base, "/api/v3/");
        assert_string_equal(old.path, endpoint_get(ENDPOINT_LIST)->path);
        assert_true(endpoint_for_v3(endpoint_get(ENDPOINT_REGISTER), &old));
        assert_true(endpoint_for_v3(endpoint_get(ENDPOINT_DELETE_RUNNER), &old));
        assert_true(endpoint_for_v3(endpoint_get(ENDPOINT_DELETE_BY_ID), &old));
        assert_int_equal(old.success, 200);
        assert_false(endpoint_for_v3(endpoint_get(ENDPOINT_CREATE), &old));

        assert_string_equal(parameter_option(&named, buffer), "tag-list");
        assert_string_equal(parameter_option(&renamed, buffer), "c-d");
        assert_int_equal(strlen(parameter_option(&endless, buffer)), ENDPOINT_OPTION_MAX - 1);
}

static void test_what_has_a_content_type(void **state)
{
        const Secret *some = (const Secret *)"";
        const struct {
                Request request;
                bool has;
        } cases[] = {
                {{.method = "GET"}, false},
                {{.method = "GET", .want_json = true}, false},
                {{.method = "DELETE", .want_json = true}, true},
                {{.method = "DELETE"}, false},
                {{.method = "POST", .body = (Secret *)some}, true},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                assert_int_equal(request_has_content_type(&cases[i].request), cases[i].has);
}

/* Whoever gives attributes back may look at them once more: nothing of them is configured then. */
static void test_attributes_end_unconfigured(void **state)
{
        Attributes attributes = {.description = strdup("d"), .tag_list = calloc(2, sizeof(char *)), .paused = 1};

        assert_non_null(attributes.tag_list);
        attributes.tag_list[0] = strdup("tag");
        attributes_done(&attributes);
        assert_null(attributes.description);
        assert_null(attributes.tag_list);
        assert_int_equal(attributes.paused, -1);
        assert_int_equal(attributes.group_id, -1);
        attributes_done(&attributes);
}

/* A second reason to go gives nobody more time. */
static void test_second_drain(void **state)
{
        DrainProgress progress = {.seen = true};

        drain_bind(&progress, false, (DrainTimes){.cut_usec = 10, .end_usec = 20});
        assert_false(progress.seen);
        progress.seen = true;
        drain_bind(&progress, true, (DrainTimes){.cut_usec = 5, .end_usec = 30});
        assert_true(progress.seen);
        assert_int_equal(progress.times.cut_usec, 5);
        assert_int_equal(progress.times.end_usec, 20);
}

/* ---- filters of `runners prune` ---- */

static void test_filters(void **state)
{
        static char *tags[] = {(char *)"a", NULL};
        const struct {
                Argument filter;
                const char *details;
                Fact fact;
        } cases[] = {
                {{.name = "type", .text = "group_type"}, "{\"runner_type\":\"group_type\"}", FACT_YES},
                {{.name = "type", .text = "group_type"}, "{\"runner_type\":7}", FACT_UNKNOWN},
                {{.name = "type", .text = "group_type"}, "{}", FACT_UNKNOWN},
                {{.name = "scope", .text = "active"}, "{\"paused\":false}", FACT_YES},
                {{.name = "scope", .text = "paused"}, "{\"active\":true}", FACT_NO},
                {{.name = "scope", .text = "paused"}, "{}", FACT_UNKNOWN},
                {{.name = "scope", .text = "shared"}, "{\"is_shared\":true}", FACT_YES},
                {{.name = "scope", .text = "shared"}, "{}", FACT_UNKNOWN},
                {{.name = "scope", .text = "specific"}, "{\"is_shared\":true}", FACT_NO},
                {{.name = "scope", .text = "specific"}, "{}", FACT_UNKNOWN},
                {{.name = "scope", .text = "project_type"}, "{\"runner_type\":\"project_type\"}", FACT_YES},
                {{.name = "status", .text = "never_contacted"}, "{\"contacted_at\":null}", FACT_YES},
                {{.name = "status", .text = "not_connected"}, "{\"contacted_at\":\"x\"}", FACT_NO},
                {{.name = "status", .text = "not_connected"}, "{}", FACT_UNKNOWN},
                {{.name = "status", .text = "stale"}, "{\"status\":\"stale\"}", FACT_YES},
                {{.name = "status", .text = "online"}, "{\"online\":true}", FACT_YES},
                {{.name = "status", .text = "offline"}, "{\"online\":true}", FACT_NO},
                {{.name = "status", .text = "offline"}, "{}", FACT_UNKNOWN},
                {{.name = "tag_list", .list = tags}, "{\"tag_list\":[\"b\",\"a\"]}", FACT_YES},
                {{.name = "tag_list", .list = tags}, "{\"tag_list\":[\"b\"]}", FACT_NO},
                {{.name = "tag_list", .list = tags}, "{\"tag_list\":\"a\"}", FACT_UNKNOWN},
                {{.name = "tag_list", .list = tags}, "{}", FACT_UNKNOWN},
                {{.name = "version_prefix", .text = "15."}, "{\"version\":\"15.11.0\"}", FACT_YES},
                {{.name = "version_prefix", .text = "15"}, "{\"version\":\"15-pre\"}", FACT_YES},
                {{.name = "version_prefix", .text = "1"}, "{\"version\":\"15.11.0\"}", FACT_UNKNOWN},
                {{.name = "version_prefix", .text = "15.11.0"}, "{\"version\":\"15.11.0\"}", FACT_YES},
                {{.name = "version_prefix", .text = "15.1"}, "{\"version\":\"15.1/2\"}", FACT_YES},
                {{.name = "version_prefix", .text = "15.1"}, "{\"version\":\"15.1:2\"}", FACT_YES},
                {{.name = "version_prefix", .text = "."}, "{\"version\":\"x\"}", FACT_YES},
                {{.name = "version_prefix", .text = "15"}, "{}", FACT_UNKNOWN},
                {{.name = "id", .text = "g"}, "{}", FACT_YES},
                {{.name = "new", .text = "g"}, "{}", FACT_UNKNOWN},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Slice details = slice_of(cases[i].details, strlen(cases[i].details));

                if (prune_match(&cases[i].filter, details, RELEASE(15, 0)) != cases[i].fact)
                        fail_msg("%s: %s", cases[i].filter.name, cases[i].details);
        }
        assert_string_equal(prune_to_string(_PRUNE_MAX), "is unknown");
}

static void test_online(void **state)
{
        static const struct {
                const char *details;
                Fact online;
        } cases[] = {
                {"{\"online\":true}", FACT_YES},
                {"{\"online\":false}", FACT_NO},
                {"{\"online\":null,\"contacted_at\":null}", FACT_NO},
                {"{\"online\":null,\"contacted_at\":\"2026-08-22T10:00:00Z\"}", FACT_UNKNOWN},
                {"{\"online\":7}", FACT_UNKNOWN},
                {"{\"online\":false,\"status\":\"online\"}", FACT_YES},
                {"{\"online\":false,\"status\":\"stale\"}", FACT_NO},
                {"{}", FACT_UNKNOWN},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                PruneFacts facts = {};

                prune_read_details(slice_of(cases[i].details, strlen(cases[i].details)), &facts);
                assert_int_equal(facts.online, cases[i].online);
        }
}

/* ---- texts ---- */

static void test_almost_tokens(void **state)
{
        static const struct {
                const char *word;
                bool token;
        } cases[] = {{"", false}, {"glrt-", false}, {"glrt-a", true}, {"x/glrt-a", true}, {"glrtr-a", true},
                {"glrtr-", false}, {"GR1348941", false}, {"GR1348941a", true}, {"glpat-", false}, {"glpat-a", true},
                {"x:glpat-a", true}, {"t1_0123456789abcdef", true}, {"t1_0123456789abcde", false},
                {"t0_0123456789abcdef", false}, {"t4_0123456789abcdef", false}, {"t3_0123456789abcdef", true},
                {"t1-0123456789abcdef", false}, {"u1_0123456789abcdef", false}, {"t1", false}};

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                if (token_looks_like(cases[i].word, strlen(cases[i].word)) != cases[i].token)
                        fail_msg("%s", cases[i].word);
}

static void test_strings_of_answers(void **state)
{
        static const struct {
                const char *json;
                const char *text;
        } cases[] = {
                {"\"a\\\"\\\\\\/\\b\\f\\n\\r\\tz\"", "a\"\\/\b\f\n\r\tz"},
                {"\"\\u0041\\u00E9\\u20ac\"", "A\xc3\xa9\xe2\x82\xac"},
                {"\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80"},
        };
        /* What no reader knows how to read is not dropped, and never a NUL. */
        static const char *const odd[] = {"\"\\ud83d\"", "\"\\ud83dx\"", "\"\\ud83d\\n12345\"", "\"\\ud83d\\u0041\"",
                "\"\\ud83d\\ue000\"", "\"\\ud83d\\uzzzz\"", "\"\\ude00\"", "\"\\u0000\"", "\"\\u00\"", "\"\\u00g0\"",
                "\"\\u\"", "\"\\x\"", "\"\\"};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *text = NULL;

                assert_int_equal(slice_text(slice_of(cases[i].json, strlen(cases[i].json)), &text), 0);
                assert_string_equal(text, cases[i].text);
        }
        for (size_t i = 0; i < ELEMENTS(odd); i++) {
                _cleanup_free_ char *text = NULL;

                int r = slice_text((Slice){odd[i], strlen(odd[i])}, &text);
                assert_true(r == -EINVAL || (r == 0 && text && text_is_utf8(text, strlen(text))));
        }
}

static void test_what_is_whole_json(void **state)
{
        static const struct {
                const char *text;
                bool whole;
        } cases[] = {{" \t\r\n{ \"a\" : [ 1 , true , false , null , -1.5e+3 , \"x\" ] } \n", true},
                {"\"\\u00aF\\\"\\n\"", true}, {"\"\\u00a\"", false}, {"\"\\u00ag\"", false}, {"\"\\u00", false},
                {"\"\\x\"", false}, {"\"\\", false}, {"\"a", false}, {"\"\x01\"", false}, {"\"\xff\"", false},
                {"tru", false}, {"fals", false}, {"nul", false}, {"", false}, {" ", false}, {"[", false},
                {"[1", false}, {"[1,", false}, {"[1,]", false}, {"{", false}, {"{1:2}", false}, {"{\"a\"}", false},
                {"{\"a\":", false}, {"{\"a\":1,}", false}, {"1 2", false}, {"01", false}, {"1.", false},
                {"1e", false}, {"-", false}, {"+1", false}, {".5", false}};

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                if (slice_check(cases[i].text, strlen(cases[i].text)) != cases[i].whole)
                        fail_msg("%s", cases[i].text);
}

static void test_spans(void **state)
{
        static const Column column = {"SPAN", CELL_SPAN, "x", 0}, age = {"AGE", CELL_AGE, "x", 0};
        static const Column type = {"TYPE", CELL_TYPE, "x", 0};
        static const struct {
                const Column *column;
                const char *row;
                const char *cell;
        } cases[] = {{&column, "{\"x\":90.5}", "1min 30s"}, {&column, "{\"x\":0.25}", "250ms"},
                {&column, "{\"x\":-1}", "-1"}, {&column, "{\"x\":1e9}", "1e9"}, {&column, "{\"x\":\"nan\"}", "nan"},
                {&column, "{\"x\":\"1 s\"}", "1 s"}, {&column, "{\"x\":\"soon\"}", "soon"},
                {&column, "{\"x\":null}", ""}, {&column, "{}", ""},
                {&age, "{\"x\":\"2026-08-22T10:00:00\"}", "2026-08-22T10:00:00"},
                {&age, "{\"x\":\"2026/08/22T10:00:00Z\"}", NULL}, {&age, "{\"x\":\"2026-08-22\"}", "2026-08-22"},
                {&age, "{\"x\":\"2026-08-22T09:59:59.00000000000000000000000000Z\"}", NULL}, {&age, "{\"x\":7}", "7"},
                {&type, "{\"x\":\"group_type\"}", "group"}, {&type, "{\"x\":\"group_types\"}", "group_types"},
                {&type, "{\"x\":\"group\"}", "group"}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *cell = NULL;
                Colour colour;

                assert_int_equal(view_cell(cases[i].column, slice_of(cases[i].row, strlen(cases[i].row)),
                                         UINT64_C(1787392800) * USEC_PER_SEC, &cell, &colour),
                        0);
                if (cases[i].cell && strcmp(cell, cases[i].cell) != 0)
                        fail_msg("%s: '%s'", cases[i].row, cell);
        }
        /* Marks that stand over their letter take no room. */
        assert_int_equal(view_width("e\xcc\x80\xcd\xaf\xcd\xb0"), 2);
        assert_int_equal(view_width("\xe1\xaa\xb0\xe1\xab\xbf\xe2\x83\x90\xe2\x83\xbf\xef\xb8\x80\xef\xb8\x8f"), 0);
        assert_int_equal(view_width("\xe1\xac\x80\xe2\x84\x80"), 2);
}

static void test_words_for_nothing(void **state)
{
        RunnerStatus runner = {.name = (char *)"n", .url = (char *)"u", .state = _RUNNER_STATE_INVALID};
        const AgentStatus status = {.version = (char *)"1", .runners = &runner, .n_runners = 1};
        Debt debt = {.kind = _DEBT_KIND_INVALID};
        _cleanup_free_ char *text = NULL;

        /* A gauge is left out rather than read from where none is. */
        runner.debts = &debt;
        runner.n_debts = 1;
        assert_int_equal(status_format_metrics(&status, &text), 0);
        assert_null(strstr(text, "state=\"registered\"} 1"));
        assert_string_equal(stop_reason_to_string((StopReason)-1), "unknown");
        assert_string_equal(stop_reason_to_string(_STOP_REASON_MAX), "unknown");
        assert_string_not_equal(drain_outcome_to_string((DrainOutcome)0), "unknown");
        assert_string_equal(drain_outcome_to_string(_DRAIN_OUTCOME_MAX), "unknown");
        assert_string_equal(cloud_notice_kind_to_string(_CLOUD_NOTICE_KIND_MAX), "unknown");
        assert_null(entry_key_to_string(_ENTRY_KEY_MAX));
        assert_string_equal(entry_key_to_string(ENTRY_KEY_URL), "url");
}

/* ---- entries and lives ---- */

static void test_entries_as_the_lifecycle_sees_them(void **state)
{
        static const char file[] =
                "[[runners]]\ntoken = 'glrt-a'\nid = 7\ntoken_obtained_at = 2026-08-22T10:00:00.5Z\n"
                "[[runners]]\ntoken = ' '\ntoken_expires_at = 0001-01-01T00:00:00Z\n[[runners]]\n";
        EntryList *list = NULL;

        assert_int_equal(entry_list_read(file, strlen(file), &list, NULL), 0);
        EntryView view = entry_view(&list->entries[0]);
        assert_ptr_equal(view.token, list->entries[0].token);
        assert_int_equal(view.runner_id, 7);
        assert_true(view.obtained_at_usec == UINT64_C(1787392800500000));
        assert_true(view.expires_at_usec == 0);
        view = entry_view(&list->entries[1]);
        assert_null(view.token);
        assert_true(view.expires_at_usec == 0);
        assert_null(entry_view(&list->entries[2]).token);
        (void)entry_list_free(list);
}

static void test_no_longer_configured(void **state)
{
        const Plan plan = {.configured = true, .target = {.url = (char *)"https://gitlab.example.com"}};
        const Plan none = {.target = {.url = (char *)"https://gitlab.example.com"}};
        const Facts facts = {.system_id = "s_0123456789ab"};
        Record *record = NULL;
        Lifecycle *life = NULL;

        assert_int_equal(record_new("build-1", "https://gitlab.example.com", FLOW_REGISTRATION_TOKEN, &record), 0);
        assert_int_equal(lifecycle_new(&plan, &facts, record, NULL, 1, &life), 0);
        assert_false(lifecycle_settled(life));
        lifecycle_configure(life, &none);
        assert_true(lifecycle_settled(life));
        (void)lifecycle_free(life);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_types_in_templates),
                cmocka_unit_test(test_volumes),
                cmocka_unit_test(test_arguments_that_can_not_be_sent),
                cmocka_unit_test(test_old_rows_and_options),
                cmocka_unit_test(test_what_has_a_content_type),
                cmocka_unit_test(test_attributes_end_unconfigured),
                cmocka_unit_test(test_second_drain),
                cmocka_unit_test(test_filters),
                cmocka_unit_test(test_online),
                cmocka_unit_test(test_almost_tokens),
                cmocka_unit_test(test_strings_of_answers),
                cmocka_unit_test(test_what_is_whole_json),
                cmocka_unit_test(test_spans),
                cmocka_unit_test(test_words_for_nothing),
                cmocka_unit_test(test_entries_as_the_lifecycle_sees_them),
                cmocka_unit_test(test_no_longer_configured),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
