/* What goes out, byte for byte, and what of a reply's body is taken in. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/endpoint.h"
#include "agent/core/json.h"
#include "agent/core/reply.h"
#include "agent/core/text.h"

static Secret *make(const char *text)
{
        Secret *secret = NULL;

        assert_int_equal(secret_new(text, strlen(text), &secret), 0);
        return secret;
}

typedef struct Fixture {
        Secret *token;
        Secret *access_token;
        Attributes all;
        Attributes none;
} Fixture;

static char *tags[] = {(char *)"docker", (char *)"linux", NULL};

static int setup(void **state)
{
        static Fixture f;

        f = (Fixture){
                .token = make("glrt-abc"),
                .access_token = make("glpat-xyz"),
                .none = {.run_untagged = -1,
                        .locked = -1,
                        .paused = -1,
                        .maximum_timeout = -1,
                        .group_id = -1,
                        .project_id = -1},
                .all = {.description = (char *)"<build> & \"host\" ü",
                        .tag_list = tags,
                        .run_untagged = 0,
                        .locked = 1,
                        .paused = 0,
                        .access_level = (char *)"ref_protected",
                        .maximum_timeout = 3600,
                        .maintenance_note = (char *)"note",
                        .runner_type = (char *)"group_type",
                        .group_id = 7,
                        .project_id = -1},
        };
        *state = &f;
        return 0;
}

static int teardown(void **state)
{
        Fixture *f = *state;

        f->token = secret_free(f->token);
        f->access_token = secret_free(f->access_token);
        return 0;
}

/* Builds and compares; NULL expects that there is none. */
static void check(Call call, const CallArguments *arguments, const char *line, const char *body,
        const char *private_token, const char *runner_token)
{
        char buffer[512];
        Request request;

        int r = request_build(call, arguments, &request);
        if (r < 0)
                fail_msg("%s: %d", call_to_string(call), r);
        assert_int_equal(request.call, call);
        (void)snprintf(buffer, sizeof(buffer), "%s %s", request.method, request.path);
        assert_string_equal(buffer, line);
        if (body)
                assert_string_equal(secret_data(request.body), body);
        else
                assert_null(request.body);
        if (private_token)
                assert_string_equal(secret_data(request.private_token), private_token);
        else
                assert_null(request.private_token);
        if (runner_token)
                assert_string_equal(secret_data(request.runner_token), runner_token);
        else
                assert_null(request.runner_token);
        assert_true(request.want_json);
        assert_int_equal(request.timeout_usec, arguments->timeout_usec);
        request_done(&request);
        assert_null(request.path);
}

#define SYSTEM_ID "s_0123456789ab"

static void test_register(void **state)
{
        Fixture *f = *state;

        /* gitlab-runner's keys in gitlab-runner's order, escaped as Go does it. */
        check(CALL_REGISTER,
                &(CallArguments){.token = f->token,
                        .access_token = f->access_token,
                        .system_id = SYSTEM_ID,
                        .runner_id = 5,
                        .attributes = &f->all,
                        .marker = "marker",
                        .info = "{\"name\":\"gitlab-runner\",\"a\":{\"b\":true}}",
                        .timeout_usec = 30000000},
                "POST runners",
                "{\"description\":\"\\u003cbuild\\u003e \\u0026 \\\"host\\\" ü\",\"maintenance_note\":\"note "
                "marker\","
                "\"tag_list\":\"docker,linux\",\"run_untagged\":false,\"locked\":true,\"access_level\":\"ref_"
                "protected\","
                "\"maximum_timeout\":3600,\"paused\":false,\"info\":{\"name\":\"gitlab-runner\",\"a\":{\"b\":true}},"
                "\"token\":\"glrt-abc\"}",
                NULL, "glrt-abc");

        /* What is not configured is not sent. */
        check(CALL_REGISTER, &(CallArguments){.token = f->token, .attributes = &f->none}, "POST runners",
                "{\"token\":\"glrt-abc\"}", NULL, "glrt-abc");
        check(CALL_REGISTER, &(CallArguments){.token = f->token, .marker = "marker"}, "POST runners",
                "{\"maintenance_note\":\"marker\",\"token\":\"glrt-abc\"}", NULL, "glrt-abc");
}

static void test_create(void **state)
{
        Fixture *f = *state;

        check(CALL_CREATE,
                &(CallArguments){.token = f->token,
                        .access_token = f->access_token,
                        .system_id = SYSTEM_ID,
                        .attributes = &f->all,
                        .marker = "marker",
                        .info = "{}"},
                "POST user/runners",
                "{\"runner_type\":\"group_type\",\"group_id\":7,\"description\":\"\\u003cbuild\\u003e \\u0026 "
                "\\\"host\\\" "
                "ü\",\"maintenance_note\":\"note marker\",\"paused\":false,\"locked\":true,\"access_level\":"
                "\"ref_protected\",\"run_untagged\":false,\"tag_list\":[\"docker\",\"linux\"],\"maximum_timeout\":"
                "3600}",
                "glpat-xyz", NULL);
}

static void test_token_calls(void **state)
{
        Fixture *f = *state;
        const CallArguments arguments = {.token = f->token,
                .access_token = f->access_token,
                .system_id = SYSTEM_ID,
                .runner_id = 42,
                .attributes = &f->all,
                .info = "{\"name\":\"gitlab-runner\"}"};
        static const char with_system_id[] = "{\"token\":\"glrt-abc\",\"system_id\":\"" SYSTEM_ID "\"}";

        check(CALL_VERIFY, &arguments, "POST runners/verify",
                "{\"info\":{\"name\":\"gitlab-runner\"},\"token\":\"glrt-abc\",\"system_id\":\"" SYSTEM_ID "\"}",
                NULL, "glrt-abc");
        check(CALL_PROBE, &arguments, "POST runners/verify", "{}", NULL, NULL);
        check(CALL_RESET, &arguments, "POST runners/reset_authentication_token", with_system_id, NULL, NULL);
        check(CALL_DELETE_RUNNER, &arguments, "DELETE runners", with_system_id, NULL, "glrt-abc");
        check(CALL_DELETE_MANAGER, &arguments, "DELETE runners/managers", with_system_id, NULL, "glrt-abc");
        check(CALL_RESET_BY_ID, &arguments, "POST runners/42/reset_authentication_token", NULL, "glpat-xyz", NULL);
        check(CALL_DELETE_BY_ID, &arguments, "DELETE runners/42", NULL, "glpat-xyz", NULL);
        check(CALL_SHOW, &arguments, "GET runners/42", NULL, "glpat-xyz", NULL);
}

static void test_list(void **state)
{
        Fixture *f = *state;
        Attributes a = f->none;
        CallArguments arguments = {.access_token = f->access_token};

        check(CALL_LIST, &arguments, "GET runners?page=1&per_page=100", NULL, "glpat-xyz", NULL);
        arguments.attributes = &a;
        arguments.page = 3;
        check(CALL_LIST, &arguments, "GET runners?page=3&per_page=100", NULL, "glpat-xyz", NULL);
        a.runner_type = (char *)"instance_type";
        check(CALL_LIST, &arguments, "GET runners/all?type=instance_type&page=3&per_page=100", NULL, "glpat-xyz",
                NULL);
        a.runner_type = (char *)"group_type";
        a.group_id = 7;
        check(CALL_LIST, &arguments, "GET groups/7/runners?type=group_type&page=3&per_page=100", NULL, "glpat-xyz",
                NULL);
        a.runner_type = (char *)"project_type";
        a.project_id = 8;
        check(CALL_LIST, &arguments, "GET projects/8/runners?type=project_type&page=3&per_page=100", NULL,
                "glpat-xyz", NULL);
}

static void test_missing(void **state)
{
        Fixture *f = *state;
        Attributes a = f->none;
        Request request = {0};
        const struct {
                Call call;
                CallArguments arguments;
        } rows[] = {
                {CALL_REGISTER, {.attributes = &f->all}},
                {CALL_CREATE, {.attributes = &f->all}},
                {CALL_CREATE, {.access_token = f->access_token, .attributes = &a}},
                {CALL_CREATE, {.access_token = f->access_token}},
                {CALL_VERIFY, {.system_id = SYSTEM_ID}},
                {CALL_DELETE_MANAGER, {.token = f->token}},
                {CALL_DELETE_MANAGER, {.token = f->token, .system_id = ""}},
                {CALL_RESET_BY_ID, {.access_token = f->access_token}},
                {CALL_DELETE_BY_ID, {.access_token = f->access_token, .runner_id = -1}},
                {CALL_SHOW, {.runner_id = 5}},
                {CALL_LIST, {.token = f->token}},
                {CALL_VERIFY, {.token = f->token, .info = "{"}},
                {_CALL_MAX, {.token = f->token}},
                {_CALL_INVALID, {.token = f->token}},
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                if (request_build(rows[i].call, &rows[i].arguments, &request) != -EINVAL)
                        fail_msg("row %zu", i);
                assert_null(request.path);
        }

        /* A token that would break out of its header never gets there. */
        Secret *bad = make("a\r\nX: b");
        assert_int_equal(request_build(CALL_VERIFY, &(CallArguments){.token = bad}, &request), -EINVAL);
        assert_int_equal(
                request_build(CALL_SHOW, &(CallArguments){.access_token = bad, .runner_id = 1}, &request), -EINVAL);
        secret_free(bad);
}

static char *note_of(const Request *request)
{
        json_t *body = NULL;

        assert_int_equal(json_read(secret_data(request->body), secret_size(request->body), 1 << 20, &body), 0);
        char *note = strdup(json_get_text(body, "maintenance_note"));
        json_decref(body);
        return note;
}

/* GitLab refuses a note of more than 1024 characters, and without its marker an orphan is never found. */
static void test_marker(void **state)
{
        Fixture *f = *state;

        for (size_t characters = 1010; characters < 1030; characters++) {
                char long_note[3000], expected[3100];
                Attributes a = f->none;
                Request request;

                long_note[0] = 0;
                for (size_t i = 0; i < characters; i++)
                        strcpy(long_note + 2 * i, "ü");
                a.maintenance_note = long_note;
                assert_int_equal(
                        request_build(CALL_REGISTER,
                                &(CallArguments){.token = f->token, .attributes = &a, .marker = "[rr:12345678]"},
                                &request),
                        0);
                char *note = note_of(&request);
                size_t kept = characters < 1024 - 14 ? characters : 1024 - 14;
                (void)snprintf(expected, sizeof(expected), "%.*s [rr:12345678]", (int)(2 * kept), long_note);
                assert_string_equal(note, expected);
                assert_true(text_characters(note) <= 1024);
                free(note);
                request_done(&request);
        }
}

static void test_endpoints(void **state)
{
        Fixture *f = *state;
        Request request;

        for (int i = 0; i < _ENDPOINT_MAX; i++) {
                const Endpoint *e = endpoint_get((EndpointId)i);

                for (int k = 0; k < i; k++)
                        assert_string_not_equal(endpoint_get((EndpointId)k)->name, e->name);
                assert_non_null(e->help);
                assert_true(e->success >= 200 && e->success < 300);
                /* Every part of the path has its parameter, and every parameter of the path its part. */
                for (const Parameter *p = e->parameters; p->name; p++) {
                        char part[40];

                        (void)snprintf(part, sizeof(part), ":%s", p->name);
                        assert_true((strstr(e->path, part) != NULL) == (p->place == PLACE_PATH));
                        assert_non_null(p->help);
                        assert_true((p->type == PARAMETER_WORD) == (p->words != NULL));
                        assert_true(p->type != PARAMETER_SECRET || p->place == PLACE_BODY);
                        if (p->excludes)
                                assert_non_null(endpoint_parameter(e, p->excludes));
                }
        }

        /* What only the command line asks for. */
        static char *several[] = {(char *)"a b", (char *)"c&d", NULL};
        const Argument query[] = {
                {.name = "id", .text = "acme/web"},
                {.name = "paused", .integer = 1},
                {.name = "tag_list", .list = several},
                {.name = "version_prefix", .text = "16"},
                {.name = "unheard_of", .text = "x"},
        };
        assert_int_equal(endpoint_build(endpoint_get(ENDPOINT_LIST_PROJECT), _CALL_INVALID, query, 5, f->access_token,
                                 0, &request),
                0);
        assert_string_equal(
                request.path, "projects/acme%2Fweb/runners?paused=true&tag_list=a%20b%2Cc%26d&version_prefix=16");
        assert_null(request.body);
        request_done(&request);

        const Argument update[] = {
                {.name = "id", .integer = 6},
                {.name = "maximum_timeout", .null = true},
                {.name = "tag_list", .list = several},
                {.name = "paused", .integer = 0},
        };
        assert_int_equal(
                endpoint_build(endpoint_get(ENDPOINT_UPDATE), _CALL_INVALID, update, 4, f->access_token, 0, &request),
                0);
        assert_string_equal(request.path, "runners/6");
        assert_string_equal(secret_data(request.body),
                "{\"paused\":false,\"tag_list\":[\"a b\",\"c\\u0026d\"],\"maximum_timeout\":null}");
        request_done(&request);

        const Argument unassign[] = {{.name = "runner_id", .integer = 9}, {.name = "id", .text = "7"}};
        assert_int_equal(endpoint_build(endpoint_get(ENDPOINT_UNASSIGN), _CALL_INVALID, unassign, 2, f->access_token,
                                 0, &request),
                0);
        assert_string_equal(request.path, "projects/7/runners/9");
        request_done(&request);
}

/* No value may turn a path into another one. */
static void test_paths(void **state)
{
        static const struct {
                const char *id;
                const char *path;
        } rows[] = {
                {"a/../../x", "groups/a%2F..%2F..%2Fx/runners"},
                {"a?b#c%d", "groups/a%3Fb%23c%25d/runners"},
                {"ü \n", "groups/%C3%BC%20%0A/runners"},
                {"..", NULL},
                {".", NULL},
                {"", NULL},
        };
        Fixture *f = *state;

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                const Argument argument = {.name = "id", .text = rows[i].id};
                Request request;

                int r = endpoint_build(
                        endpoint_get(ENDPOINT_LIST_GROUP), _CALL_INVALID, &argument, 1, f->access_token, 0, &request);
                assert_int_equal(r, rows[i].path ? 0 : -EINVAL);
                if (r < 0)
                        continue;
                assert_string_equal(request.path, rows[i].path);
                request_done(&request);
        }

        char *huge = malloc(20000);
        assert_non_null(huge);
        memset(huge, 'x', 19999);
        huge[19999] = 0;
        Request request;
        const Argument argument = {.name = "id", .text = huge};
        assert_int_equal(endpoint_build(endpoint_get(ENDPOINT_LIST_GROUP), _CALL_INVALID, &argument, 1,
                                 f->access_token, 0, &request),
                -EINVAL);
        free(huge);
}

static void test_decode_list(void **state)
{
        static const char *const bad[] = {"", "{}", "[{}]", "[{\"id\":0}]", "[{\"id\":\"1\"}]", "[1]",
                "[{\"id\":1},null]", "[{\"id\":1}", "null"};
        int64_t *ids = NULL;
        size_t n = 0;

        assert_int_equal(reply_decode_list("[{\"id\":1,\"x\":[]},{\"id\":300}]", 28, &ids, &n), 0);
        assert_int_equal(n, 2);
        assert_int_equal(ids[0], 300);
        assert_int_equal(ids[1], 1);
        free(ids);
        assert_int_equal(reply_decode_list("[]", 2, &ids, &n), 0);
        assert_int_equal(n, 0);
        free(ids);
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                assert_int_equal(reply_decode_list(bad[i], strlen(bad[i]), &ids, &n), -EBADMSG);
}

static int decode_row(const char *text, RunnerRow *row)
{
        return reply_decode_row(text, strlen(text), row);
}

static void test_decode_row(void **state)
{
        RunnerRow row;

        assert_int_equal(
                decode_row("{\"id\":6,\"maintenance_note\":\"n\",\"created_at\":\"2026-08-22T10:11:12.203Z\"}", &row),
                0);
        assert_int_equal(row.runner_id, 6);
        assert_string_equal(row.maintenance_note, "n");
        assert_int_equal(row.created_at_usec, UINT64_C(1787393472203000));
        runner_row_done(&row);

        /* Old servers have neither, and not everybody may see the note. */
        assert_int_equal(decode_row("{\"id\":6,\"maintenance_note\":null}", &row), 0);
        assert_null(row.maintenance_note);
        assert_int_equal(row.created_at_usec, 0);
        runner_row_done(&row);

        assert_int_equal(decode_row("{\"maintenance_note\":\"n\"}", &row), -EBADMSG);
        assert_int_equal(decode_row("{\"id\":6,\"maintenance_note\":[]}", &row), -EBADMSG);
        assert_int_equal(decode_row("{\"id\":6,\"created_at\":\"yesterday\"}", &row), -EBADMSG);
        assert_int_equal(decode_row("[]", &row), -EBADMSG);
}

static int read_json(const char *text, size_t size)
{
        json_t *value = NULL;

        int r = json_read(text, size, 1 << 20, &value);
        json_decref(value);
        return r;
}

/* A small body must not become a large document, and none is understood in two ways. */
static void test_json_bounds(void **state)
{
        static const struct {
                const char *text;
                int r;
        } rows[] = {
                {"{\"a\":[1,2.5,null,true,\"x\"]}", 0},
                {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", 0},
                {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", -EBADMSG},
                {"\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[[[[[\"", 0},
                {"{\"a\":1,\"a\":2}", -EBADMSG},
                {"{\"a\":1} x", -EBADMSG},
                {"{\"a\":\"\\u0000\"}", -EBADMSG},
                {"\"\xff\"", -EBADMSG},
                {"\"\\", -EBADMSG},
                {"1e999", -EBADMSG},
                {"{'a':1}", -EBADMSG},
                {"", -EBADMSG},
                {"  ", -EBADMSG},
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
                if (read_json(rows[i].text, strlen(rows[i].text)) != rows[i].r)
                        fail_msg("'%s'", rows[i].text);
        assert_int_equal(read_json("{}\0", 3), -EBADMSG);
        assert_int_equal(read_json("0\0", 2), -EBADMSG);
        assert_int_equal(read_json("[1\0,2]", 6), -EBADMSG);

        size_t size = 2 * (JSON_VALUES_MAX + 10);
        char *list = malloc(size);
        assert_non_null(list);
        memset(list, '1', size);
        for (size_t values = JSON_VALUES_MAX - 2; values < JSON_VALUES_MAX + 2; values++) {
                size_t n = 0;

                list[n++] = '[';
                for (size_t i = 0; i < values; i++) {
                        list[n++] = '1';
                        list[n++] = i + 1 < values ? ',' : ']';
                }
                assert_int_equal(read_json(list, n), values < JSON_VALUES_MAX ? 0 : -EBADMSG);
        }
        assert_int_equal(json_read("{} ", 3, 2, NULL), -EBADMSG);
        free(list);
}

static void test_json_go(void **state)
{
        json_t *value = json_string("<a>&\xe2\x80\xa8\xe2\x80\xa9\xe2\x82\xac\\\"/");
        Secret *text = NULL;

        assert_int_equal(json_write_go(value, &text), 0);
        assert_string_equal(secret_data(text), "\"\\u003ca\\u003e\\u0026\\u2028\\u2029€\\\\\\\"/\"");
        secret_free(text);
        json_decref(value);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_register),
                cmocka_unit_test(test_create),
                cmocka_unit_test(test_token_calls),
                cmocka_unit_test(test_list),
                cmocka_unit_test(test_missing),
                cmocka_unit_test(test_marker),
                cmocka_unit_test(test_endpoints),
                cmocka_unit_test(test_paths),
                cmocka_unit_test(test_decode_list),
                cmocka_unit_test(test_decode_row),
                cmocka_unit_test(test_json_bounds),
                cmocka_unit_test(test_json_go),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
