/* Memory ends anywhere while a request is made, or an answer read, judged or shown: the caller hears -ENOMEM, and
 * nothing is left behind. */

#include "tests/unit/failing-memory.h"

#include <string.h>

#include "agent/base/url.h"
#include "agent/core/endpoint.h"
#include "agent/core/info.h"
#include "agent/core/json.h"
#include "agent/core/lifecycle.h"
#include "agent/core/notice.h"
#include "agent/core/outcome.h"
#include "agent/core/page.h"
#include "agent/core/reply-headers.h"
#include "agent/core/slice.h"
#include "agent/core/system-id.h"
#include "agent/core/text.h"
#include "agent/core/token.h"
#include "agent/core/verdict.h"
#include "agent/core/view.h"

static const Now now = {.realtime_usec = UINT64_C(1787392800) * USEC_PER_SEC, .boottime_usec = 5 * USEC_PER_SEC};

/* ---- requests ---- */

static int build_call(const void *input)
{
        static char *tags[] = {(char *)"docker", (char *)"linux", NULL};
        static const Attributes attributes = {.description = (char *)"<build> & ü",
                .tag_list = tags,
                .run_untagged = 1,
                .locked = 1,
                .paused = 0,
                .access_level = (char *)"ref_protected",
                .maximum_timeout = 3600,
                .maintenance_note = (char *)"a note",
                .runner_type = (char *)"group_type",
                .group_id = 7,
                .project_id = -1};
        CallArguments arguments = {.system_id = "s_0123456789ab",
                .runner_id = 7,
                .attributes = &attributes,
                .marker = "runner-registrar:0123",
                .info = "{\"name\":\"gitlab-runner\"}",
                .page = 1};
        _cleanup_secret_ Secret *token = NULL, *access = NULL;
        _cleanup_(request_done) Request request = {};
        int r = secret_new("glrt-abc", 8, &token);

        if (r >= 0)
                r = secret_new("glpat-xyz", 9, &access);
        if (r < 0)
                return r;
        arguments.token = token;
        arguments.access_token = access;
        return request_build(*(const Call *)input, &arguments, &request);
}

static int build_list(const void *input)
{
        static char *tags[] = {(char *)"docker", (char *)"linux", NULL};
        const Argument arguments[] = {{.name = "id", .text = "group/sub group"}, {.name = "tag_list", .list = tags},
                {.name = "status", .text = "online"}, {.name = "paused", .integer = 1},
                {.name = "per_page", .integer = 100}, {.name = "version_prefix", .text = "17."}};
        _cleanup_(request_done) Request request = {};

        return endpoint_build(endpoint_get(ENDPOINT_LIST_GROUP), _CALL_INVALID, arguments, ELEMENTS(arguments), NULL,
                USEC_PER_SEC, &request);
}

static int build_update(const void *input)
{
        static char *tags[] = {(char *)"docker", (char *)"linux", NULL};
        const Argument arguments[] = {{.name = "id", .integer = 7}, {.name = "tag_list", .list = tags},
                {.name = "description", .text = "d"}, {.name = "paused", .integer = 1},
                {.name = "maximum_timeout", .null = true}};
        _cleanup_(request_done) Request request = {};

        return endpoint_build(endpoint_get(ENDPOINT_UPDATE), _CALL_INVALID, arguments, ELEMENTS(arguments), NULL,
                USEC_PER_SEC, &request);
}

static int add_header(const void *input)
{
        _cleanup_(request_done) Request request = {};
        int r = 0;

        for (unsigned i = 0; r >= 0 && i < 2; i++) {
                Secret *line = NULL;

                r = secret_new(input, strlen(input), &line);
                r = request_add_header(&request, r >= 0 ? line : NULL);
        }
        return r;
}

static int describe(const void *input)
{
        Neighbour neighbour = {};
        _cleanup_free_ char *info = NULL;
        int r = input ? neighbour_parse(input, &neighbour) : neighbour_default("x86_64", &neighbour);

        if (r >= 0)
                r = info_encode(&neighbour, "docker", "bash", "all", &info);
        neighbour_done(&neighbour);
        return r;
}

/* ---- answers ---- */

typedef struct Heard {
        Call call;
        EndpointId endpoint;
        unsigned status;
        const char *type;
        const char *body;
        const char *head; /* further lines */
} Heard;

static int make_reply(const Heard *heard, Reply *ret)
{
        ReplyHeaders headers = {.reply = ret};
        char type[64];

        (void)snprintf(type, sizeof(type), "Content-Type: %s\r\n", heard->type);
        *ret = (Reply){.transport = TRANSPORT_OK, .status = heard->status};
        int r = reply_headers_take(&headers, type, strlen(type));
        if (r >= 0 && heard->head)
                r = reply_headers_take(&headers, heard->head, strlen(heard->head));
        return r < 0 ? r : secret_new(heard->body, strlen(heard->body), &ret->body);
}

static int judge(const void *input)
{
        const Heard *heard = input;
        Judgement judgement = {};
        Reply reply;
        int r = make_reply(heard, &reply);

        if (r >= 0)
                r = verdict_judge(heard->call, &reply, now, &judgement);
        if (r >= 0)
                judgement_done(&judgement);
        reply_done(&reply);
        return r;
}

static int judge_failure(const void *input)
{
        const Reply reply = {.transport = TRANSPORT_LOST, .error = (char *)input};
        Judgement judgement = {};
        int r = verdict_judge(CALL_VERIFY, &reply, now, &judgement);

        if (r >= 0)
                judgement_done(&judgement);
        return r;
}

static int read_outcome(const void *input)
{
        const Heard *heard = input;
        CallOutcome outcome = {};
        Reply reply;
        int r = make_reply(heard, &reply);

        if (r >= 0)
                r = outcome_read(endpoint_get(heard->endpoint), &reply, now, &outcome);
        if (r >= 0)
                outcome_done(&outcome);
        reply_done(&reply);
        return r;
}

static int explain(const void *input)
{
        _cleanup_free_ char *text = NULL;

        return outcome_explain_route(endpoint_get(ENDPOINT_CREATE), input, &text);
}

static int decode_list(const void *input)
{
        _cleanup_free_ int64_t *ids = NULL;
        size_t n;

        return reply_decode_list(input, strlen(input), &ids, &n);
}

static int decode_row(const void *input)
{
        RunnerRow row = {};
        int r = reply_decode_row(input, strlen(input), &row);

        runner_row_done(&row);
        return r;
}

static int turn_page(const void *input)
{
        const Reply reply = {.transport = TRANSPORT_OK, .status = 200, .link = (char *)input};
        Page page = {};
        int r = page_next(&reply, "https://gitlab.example.com", 0, NULL, &page);

        page_done(&page);
        return r;
}

/* ---- what a person sees ---- */

static int show_cells(const void *input)
{
        const Slice row = slice_of(input, strlen(input));
        int r = 0;

        for (View view = 0; view < _VIEW_MAX; view++)
                for (const Column *column = view_columns(view); r >= 0 && column && column->header; column++) {
                        _cleanup_free_ char *cell = NULL;
                        Colour colour;

                        r = view_cell(column, row, now.realtime_usec, &cell, &colour);
                }
        return r;
}

static int show_values(const void *input)
{
        SliceCursor cursor = slice_enter(slice_of(input, strlen(input)));
        Slice key, value;
        int r = 0;

        while (r >= 0 && slice_next_member(&cursor, &key, &value)) {
                _cleanup_free_ char *text = NULL, *cut = NULL;

                r = view_value(value, now.realtime_usec, &text);
                if (r >= 0)
                        r = view_cut(text, 3, &cut);
        }
        return r;
}

static int mask(const void *input)
{
        _cleanup_secret_ Secret *out = NULL;
        int r = secret_new(NULL, 0, &out);

        return r < 0 ? r : slice_mask(slice_of(input, strlen(input)), "token", out);
}

static int write_go(const void *input)
{
        _cleanup_json_ json_t *value = NULL;
        _cleanup_secret_ Secret *text = NULL;
        int r = json_read(input, strlen(input), 1000, &value);

        return r < 0 ? r : json_write_go(value, &text);
}

static int show_text(const void *input)
{
        _cleanup_free_ char *text = NULL;

        return text_show(input, strlen(input), 20, &text);
}

static int digest(const void *input)
{
        _cleanup_secret_ Secret *token = NULL;
        _cleanup_free_ char *text = NULL;
        int r = secret_new(input, strlen(input), &token);

        return r < 0 ? r : token_digest(token, &text);
}

static int make_system_id(const void *input)
{
        char id[SYSTEM_ID_SIZE + 1];

        return system_id_from_machine(input, id);
}

/* ---- clouds ---- */

static int read_notices(const void *input)
{
        static const NoticeDecoder decoders[] = {notice_decode_aws_action, notice_decode_aws_rebalance,
                notice_decode_aws_lifecycle, notice_decode_gcp_preempted, notice_decode_gcp_maintenance,
                notice_decode_azure};
        const NoticeContext context = {.now = now, .resource = "vm-1"};
        _cleanup_secret_ Secret *body = NULL;
        int r = secret_new(input, strlen(input), &body);

        for (size_t i = 0; r >= 0 && i < ELEMENTS(decoders); i++) {
                CloudNotice notices[CLOUD_NOTICES_MAX];
                size_t n;

                r = decoders[i](body, &context, notices, &n);
                if (r == -EBADMSG)
                        r = 0;
        }
        return r;
}

static int read_hooks(const void *input)
{
        _cleanup_secret_ Secret *body = NULL, *form = NULL;
        LifecycleHooks hooks;
        int r = secret_new(input, strlen(input), &body);

        if (r >= 0)
                r = notice_decode_lifecycle_hooks(body, &hooks);
        if (r >= 0)
                r = secret_new("Action=x", 8, &form);
        for (size_t i = 0; r >= 0 && i < hooks.n; i++)
                r = notice_form_add(form, "LifecycleHookName", hooks.names[i]);
        return r;
}

static int read_credentials(const void *input)
{
        _cleanup_secret_ Secret *body = NULL, *key = NULL, *session = NULL;
        int r = secret_new(input, strlen(input), &body);

        return r < 0 ? r : notice_decode_aws_credentials(body, &key, &session);
}

/* ---- the lifecycle's beginning ---- */

static int begin_life(const void *input)
{
        static const Plan plan = {.configured = true, .target = {.url = (char *)"https://gitlab.example.com"}};
        const Facts facts = {.system_id = "s_0123456789ab", .machine_id = "machine", .instance_id = "i-0"};
        Record *record = NULL;
        Lifecycle *life = NULL;
        int r = record_new("build-1", "https://gitlab.example.com", FLOW_REGISTRATION_TOKEN, &record);

        if (r >= 0)
                r = lifecycle_new(&plan, &facts, record, NULL, 1, &life);
        if (r < 0)
                (void)record_free(record);
        (void)lifecycle_free(life);
        return r;
}

static void test_requests(void **state)
{
        static const Call calls[] = {CALL_REGISTER, CALL_CREATE, CALL_VERIFY, CALL_PROBE, CALL_RESET,
                CALL_RESET_BY_ID, CALL_DELETE_RUNNER, CALL_DELETE_MANAGER, CALL_DELETE_BY_ID, CALL_LIST, CALL_SHOW};
        MemoryCase builds[ELEMENTS(calls)];
        static const MemoryCase cases[] = {
                {"list", build_list, NULL},
                {"update", build_update, NULL},
                {"header", add_header, "X: y"},
                {"describe the neighbour", describe,
                        "Version:      17.5.3\nGit revision: d79f3e7b\nGit branch:   x\nOS/Arch:      linux/amd64\n"},
                {"describe one without a revision", describe,
                        "Version:      17.5.3\nGit branch:   x\nOS/Arch:      linux/amd64\n"},
                {"describe none", describe, NULL},
                {"begin a life", begin_life, NULL},
        };

        for (size_t i = 0; i < ELEMENTS(calls); i++)
                builds[i] = (MemoryCase){call_to_string(calls[i]), build_call, &calls[i]};
        memory_sweep(builds, ELEMENTS(builds));
        memory_sweep(cases, ELEMENTS(cases));
}

#define JSON "application/json"

static void test_answers(void **state)
{
        static const Heard heard[] = {
                /* A success of another call than was asked: nobody has said why. */
                {CALL_SHOW, ENDPOINT_REGISTER, 200, "application/json", "{\"id\":7}", NULL},
                {CALL_REGISTER, ENDPOINT_REGISTER, 201, JSON,
                        "{\"id\":7,\"token\":\"glrt-abcdefghij0123456789\",\"token_expires_at\":"
                        "\"2026-09-22T10:00:00.000Z\"}"},
                {CALL_VERIFY, ENDPOINT_VERIFY, 403, JSON, "{\"message\":\"403 Forbidden\"}"},
                {CALL_CREATE, ENDPOINT_CREATE, 400, JSON,
                        "{\"message\":{\"tags_list\":[\"a\",\"b\"],\"base\":[\"c\"],\"error\":[\"d\"]},\"error\":"
                        "\"e\"}"},
                {CALL_CREATE, ENDPOINT_CREATE, 422, JSON, "{\"error\":\"x\",\"error_description\":\"y\"}"},
                {CALL_CREATE, ENDPOINT_UPDATE, 403, JSON,
                        "{\"error\":\"insufficient_scope\",\"error_description\":\"more\",\"scope\":\"api x\"}"},
                {CALL_LIST, ENDPOINT_LIST, 200, JSON, "[{\"id\":7},{\"id\":8}]"},
                {CALL_LIST, ENDPOINT_LIST, 200, JSON, "{}"},
                {CALL_SHOW, ENDPOINT_SHOW, 200, JSON, "{\"id\":7,\"maintenance_note\":\"a note\"}"},
                {CALL_DELETE_RUNNER, ENDPOINT_DELETE_RUNNER, 401, "text/plain", "Not allowed here"},
                {CALL_VERIFY, ENDPOINT_VERIFY, 429, "text/plain", "Retry later", "Retry-After: 7\r\n"},
                {CALL_VERIFY, ENDPOINT_VERIFY, 301, "text/html", "<html>",
                        "Location: https://user:password@example.com/api/v4/runners?x\r\n"},
                {CALL_VERIFY, ENDPOINT_VERIFY, 302, "text/html", "<html>", "Location: /users/sign_in\r\n"},
                {CALL_VERIFY, ENDPOINT_VERIFY, 502, "text/html", "<html>"},
        };
        static const MemoryCase cases[] = {
                {"failure", judge_failure, "The connection broke"},
                {"failure without words", judge_failure, NULL},
                {"explain", explain, "15.11.13-ee"},
                {"explain the unknown", explain, NULL},
                {"ids", decode_list, "[{\"id\":7},{\"id\":8},{\"id\":9}]"},
                {"row", decode_row, "{\"id\":7,\"maintenance_note\":\"n\",\"created_at\":\"2026-08-22T10:00:00Z\"}"},
                {"page", turn_page,
                        "<https://gitlab.example.com/api/v4/runners?pagination=keyset&cursor=abc>; rel=\"next\""},
                {"foreign page", turn_page, "<https://elsewhere.example.com/api/v4/runners?page=2>; rel=\"next\""},
        };
        MemoryCase judgements[ELEMENTS(heard)], outcomes[ELEMENTS(heard)];

        for (size_t i = 0; i < ELEMENTS(heard); i++) {
                judgements[i] = (MemoryCase){heard[i].body, judge, &heard[i]};
                outcomes[i] = (MemoryCase){heard[i].body, read_outcome, &heard[i]};
        }
        memory_sweep(judgements, ELEMENTS(judgements));
        memory_sweep(outcomes, ELEMENTS(outcomes));
        memory_sweep(cases, ELEMENTS(cases));
}

static void test_views(void **state)
{
        static const char row[] =
                "{\"id\":7,\"description\":\"a\\nb\",\"status\":\"online\",\"paused\":true,\"runner_type\":\"group_"
                "type\","
                "\"tag_list\":[\"a\",\"b\"],\"contacted_at\":\"2026-08-22T09:00:00Z\",\"duration\":90.5,\"system_"
                "id\":\"s\","
                "\"name\":null,\"project\":{\"path_with_namespace\":\"p\"},\"created_at\":\"2026-08-22T09:00:00Z\","
                "\"version\":\"17.5\",\"ip_address\":\"::1\",\"queued_duration\":\"odd\",\"path_with_namespace\":"
                "\"p\"}";
        static const MemoryCase cases[] = {
                {"an old row", show_cells, "{\"active\":true,\"status\":null}"},
                {"cells", show_cells, row},
                {"values", show_values, row},
                {"mask", mask, "{\"a\":[1,{\"token\":\"x\"}],\"token\":\"glrt-abc\",\"b\":\"c\"}"},
                {"as Go writes", write_go, "{\"a\":\"<b>&\xe2\x80\xa8\xe2\x80\xa9\"}"},
                {"text", show_text, "control \x1b[2J and a token glrt-abcdefghij0123456789, cut short"},
                {"digest", digest, "glrt-abc"},
                {"system id", make_system_id, "0123456789abcdef0123456789abcdef"},
        };

        memory_sweep(cases, ELEMENTS(cases));
}

static void test_clouds(void **state)
{
        static const MemoryCase cases[] = {
                {"AWS", read_notices, "{\"action\":\"terminate\",\"time\":\"2026-08-22T10:02:00Z\"}"},
                {"AWS, rebalance", read_notices, "{\"noticeTime\":\"2026-08-22T10:02:00Z\"}"},
                {"Google", read_notices, "TRUE"},
                {"Azure", read_notices,
                        "{\"Events\":[{\"EventId\":\"e\",\"EventType\":\"Preempt\",\"Resources\":[\"vm-1\"],"
                        "\"EventStatus\":\"Scheduled\",\"NotBefore\":\"Sat, 22 Aug 2026 10:00:30 GMT\"}]}"},
                {"hooks", read_hooks,
                        "<DescribeLifecycleHooksResponse><DescribeLifecycleHooksResult><LifecycleHooks><member>"
                        "<LifecycleHookName>a &amp; b</LifecycleHookName><LifecycleTransition>"
                        "autoscaling:EC2_INSTANCE_TERMINATING</LifecycleTransition><HeartbeatTimeout>300"
                        "</HeartbeatTimeout><GlobalTimeout>30000</GlobalTimeout></member></LifecycleHooks>"
                        "</DescribeLifecycleHooksResult></DescribeLifecycleHooksResponse>"},
                {"credentials", read_credentials,
                        "{\"Code\":\"Success\",\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"b/c\",\"Token\":\"d\"}"},
        };

        memory_sweep(cases, ELEMENTS(cases));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_requests),
                cmocka_unit_test(test_answers),
                cmocka_unit_test(test_views),
                cmocka_unit_test(test_clouds),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
