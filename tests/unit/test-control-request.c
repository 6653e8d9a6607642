/* The line at the control socket: what is asked is what is done, and what can't be read is not done at all. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/control-request.h"

static void test_requests_are_read(void **state)
{
        static const struct {
                const char *line;
                ControlVerb verb;
                Command command;
                bool drain;
                uint64_t timeout_usec;
                const char *names[3];
        } cases[] = {
                {"{\"command\":\"register\"}\n", CONTROL_ORDER, COMMAND_REGISTER, false, USEC_INFINITY, {}},
                {"{\"command\":\"verify\",\"names\":[]}", CONTROL_ORDER, COMMAND_VERIFY, false, USEC_INFINITY, {}},
                {"{\"command\":\"rotate\",\"names\":[\"b\",\"a\"]}", CONTROL_ORDER, COMMAND_ROTATE, false,
                        USEC_INFINITY, {"b", "a"}},
                {"{\"command\":\"deregister\",\"names\":[\"a\"],\"drain\":true,\"timeout_usec\":7}", CONTROL_ORDER,
                        COMMAND_DEREGISTER, true, 7, {"a"}},
                {"{\"command\":\"deregister\",\"drain\":false}", CONTROL_ORDER, COMMAND_DEREGISTER, false,
                        USEC_INFINITY, {}},
                {"{\"command\":\"status\",\"new\":1}\n", CONTROL_STATUS, COMMAND_NONE, false, USEC_INFINITY, {}},
                {"{\"command\":\"wait\",\"names\":[\"a\"]}\n", CONTROL_WAIT, COMMAND_NONE, false, USEC_INFINITY,
                        {"a"}},
                {"{\"command\":\"dance\"}\n", CONTROL_UNKNOWN, COMMAND_NONE, false, USEC_INFINITY, {}},
                {"{\"command\":\"\"}\n", CONTROL_UNKNOWN, COMMAND_NONE, false, USEC_INFINITY, {}},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                ControlRequest request;
                size_t n = 0;

                assert_int_equal(control_request_read(cases[i].line, strlen(cases[i].line), &request), 0);
                assert_int_equal(request.verb, cases[i].verb);
                assert_int_equal(request.order.command, cases[i].command);
                assert_int_equal(request.order.drain, cases[i].drain);
                assert_true(request.order.timeout_usec == cases[i].timeout_usec);
                assert_ptr_equal(request.order.names, request.names);
                for (; cases[i].names[n]; n++)
                        assert_string_equal(request.names[n], cases[i].names[n]);
                assert_null(request.names[n]);
                control_request_done(&request);
        }
}

static void test_what_can_not_be_read_is_no_request(void **state)
{
        static const char *const lines[] = {"", "\n", "nonsense\n", "[]", "{}", "7", "{\"command\":5}",
                "{\"command\":null}", "{\"names\":[\"a\"]}", "{\"command\":\"verify\"}{}",
                "{\"command\":\"verify\",\"command\":\"deregister\"}",
                /* Read as "all", these would do more than was asked. */
                "{\"command\":\"deregister\",\"names\":\"a\"}", "{\"command\":\"deregister\",\"names\":{}}",
                "{\"command\":\"deregister\",\"names\":null}", "{\"command\":\"deregister\",\"names\":[\"a\",7]}",
                "{\"command\":\"deregister\",\"names\":[null]}", "{\"command\":\"deregister\",\"names\":[\"\xff\"]}",
                "{\"command\":\"deregister\",\"drain\":1}", "{\"command\":\"deregister\",\"drain\":\"yes\"}",
                "{\"command\":\"deregister\",\"timeout_usec\":\"7\"}",
                "{\"command\":\"deregister\",\"timeout_usec\":0}", "{\"command\":\"deregister\",\"timeout_usec\":-1}",
                "{\"command\":\"deregister\",\"timeout_usec\":1.5}"};

        for (size_t i = 0; i < ELEMENTS(lines); i++) {
                ControlRequest request;

                assert_int_equal(control_request_read(lines[i], strlen(lines[i]), &request), -EBADMSG);
        }
}

static void test_names_have_a_bound(void **state)
{
        _cleanup_secret_ Secret *line = NULL;
        ControlRequest request;

        for (unsigned n = CONTROL_NAMES_MAX; n <= CONTROL_NAMES_MAX + 1; n++) {
                line = secret_free(line);
                assert_int_equal(secret_new("{\"command\":\"verify\",\"names\":[\"\"", 31, &line), 0);
                for (unsigned i = 1; i < n; i++)
                        assert_int_equal(secret_append_string(line, ",\"\""), 0);
                assert_int_equal(secret_append_string(line, "]}\n"), 0);
                int r = control_request_read(secret_data(line), secret_size(line), &request);
                assert_int_equal(r, n > CONTROL_NAMES_MAX ? -EBADMSG : 0);
                if (r == 0)
                        control_request_done(&request);
        }
}

static void test_what_is_written_is_read(void **state)
{
        char *const names[] = {"build-1", "b\xc3\xbcild \"2\"", NULL};
        _cleanup_secret_ Secret *line = NULL;
        ControlRequest request;

        assert_int_equal(control_request_write("deregister", names, true, 90 * USEC_PER_SEC, &line), 0);
        assert_int_equal(secret_data(line)[secret_size(line) - 1], '\n');
        assert_int_equal(control_request_read(secret_data(line), secret_size(line), &request), 0);
        assert_int_equal(request.order.command, COMMAND_DEREGISTER);
        assert_true(request.order.drain);
        assert_true(request.order.timeout_usec == 90 * USEC_PER_SEC);
        assert_string_equal(request.names[0], names[0]);
        assert_string_equal(request.names[1], names[1]);
        assert_null(request.names[2]);
        control_request_done(&request);

        /* A timeout without a drain is the client's own patience. */
        line = secret_free(line);
        assert_int_equal(control_request_write("verify", NULL, false, 7, &line), 0);
        assert_string_equal(secret_data(line), "{\"command\":\"verify\",\"names\":[]}\n");
        line = secret_free(line);
        assert_int_equal(control_request_write("deregister", NULL, true, USEC_INFINITY, &line), 0);
        assert_string_equal(secret_data(line), "{\"command\":\"deregister\",\"names\":[],\"drain\":true}\n");
}

/* Without its one name a request would be for all runners. */
static void test_a_name_is_not_left_out(void **state)
{
        char *const names[] = {"\xff", NULL};
        Secret *line = NULL;

        assert_int_equal(control_request_write("deregister", names, false, USEC_INFINITY, &line), -EINVAL);
        assert_null(line);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_requests_are_read),
                cmocka_unit_test(test_what_can_not_be_read_is_no_request),
                cmocka_unit_test(test_names_have_a_bound),
                cmocka_unit_test(test_what_is_written_is_read),
                cmocka_unit_test(test_a_name_is_not_left_out),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
