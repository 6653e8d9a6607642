#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/status.h"

#define STATE_LINE                                                                                                   \
        "runner_registrar_runner_state{runner=\"build-1\",url=\"https://gitlab.example.com\",state=\"registered\"} " \
        "1\n"
#define TOKEN "glrt-t1_abcdefghij0123456789"

/* 2026-08-22T10:00:00Z */
#define NOW_USEC (UINT64_C(1787392800) * USEC_PER_SEC)

static const Now now = {.realtime_usec = NOW_USEC, .boottime_usec = 5 * USEC_PER_SEC};

static Debt debts[2];
static RunnerStatus runners[3];

static AgentStatus fixture(void)
{
        debts[0] = (Debt){
                .kind = DEBT_MANAGER,
                .runner_id = 7,
                .system_id = (char *)"s_0123456789ab",
                .since_usec = NOW_USEC - 3 * USEC_PER_HOUR,
                .reason = (char *)"GitLab could not be reached",
        };
        assert_int_equal(secret_new(TOKEN, strlen(TOKEN), &debts[0].token), 0);
        debts[1] = (Debt){.kind = DEBT_ORPHAN};
        runners[0] = (RunnerStatus){
                .name = (char *)"build-1",
                .url = (char *)"https://gitlab.example.com",
                .runner_id = 42,
                .system_id = (char *)"s_0123456789ab",
                .state = RUNNER_STATE_REGISTERED,
                .flow = FLOW_REGISTRATION_TOKEN,
                .registered_at_usec = NOW_USEC - USEC_PER_DAY,
                .token_obtained_at_usec = NOW_USEC - USEC_PER_DAY,
                .token_expires_at_usec = NOW_USEC + 6 * USEC_PER_DAY + 4 * USEC_PER_HOUR,
                .last_verified_at_usec = NOW_USEC - 3 * USEC_PER_MINUTE - 200 * USEC_PER_MSEC,
                .last_verdict = (char *)"alive",
                .next_action = (char *)"verify (verify_interval)",
                .next_action_at_usec = NOW_USEC + 12 * USEC_PER_MINUTE,
        };
        runners[1] = (RunnerStatus){
                .name = (char *)"b",
                .url = (char *)"https://ünï.example.com",
                .state = RUNNER_STATE_REFUSED,
                .flow = FLOW_ACCESS_TOKEN,
                .last_verdict = (char *)"permanent",
                .next_action = (char *)"enrol (refused_retry)",
                .next_action_at_usec = NOW_USEC - USEC_PER_SEC,
                .reason = (char *)"403 Forbidden - invalid token supplied\x1b[2J",
                .attempt = 3,
                .token_dead = true,
        };
        runners[2] = (RunnerStatus){
                .name = (char *)"old",
                .url = (char *)"https://gitlab.example.com",
                .state = RUNNER_STATE_WITHDRAWN,
                .flow = FLOW_AUTHENTICATION_TOKEN,
                .token_obtained_at_usec = NOW_USEC,
                .debts = debts,
                .n_debts = 2,
        };
        return (AgentStatus){.version = (char *)"0.1.0", .pid = 4711, .runners = runners, .n_runners = 3};
}

static void fixture_done(void)
{
        debts[0].token = secret_free(debts[0].token);
}

static const char json[] =
        "{\"version\":\"0.1.0\",\"pid\":4711,\"runners\":["
        "{\"name\":\"build-1\",\"url\":\"https://"
        "gitlab.example.com\",\"runner_id\":42,\"system_id\":\"s_0123456789ab\","
        "\"state\":\"registered\",\"flow\":\"registration_token\",\"registered_at\":\"2026-08-21T10:00:00Z\","
        "\"token_obtained_at\":\"2026-08-21T10:00:00Z\",\"token_expires_at\":\"2026-08-28T14:00:00Z\","
        "\"last_verified_at\":\"2026-08-22T09:56:59.8Z\",\"last_verdict\":\"alive\","
        "\"next_action\":\"verify (verify_interval)\",\"next_action_at\":\"2026-08-22T10:12:00Z\",\"reason\":null,"
        "\"attempt\":0,\"debts\":[]},"
        "{\"name\":\"b\",\"url\":\"https://"
        "ünï.example.com\",\"runner_id\":null,\"system_id\":null,\"state\":\"refused\","
        "\"flow\":\"access_token\",\"registered_at\":null,\"token_obtained_at\":null,\"token_expires_at\":null,"
        "\"last_verified_at\":null,\"last_verdict\":\"permanent\",\"next_action\":\"enrol (refused_retry)\","
        "\"next_action_at\":\"2026-08-22T09:59:59Z\",\"reason\":\"403 Forbidden - invalid token supplied [2J\","
        "\"attempt\":3,\"debts\":[]},"
        "{\"name\":\"old\",\"url\":\"https://gitlab.example.com\",\"runner_id\":null,\"system_id\":null,"
        "\"state\":\"withdrawn\",\"flow\":\"authentication_token\",\"registered_at\":null,"
        "\"token_obtained_at\":\"2026-08-22T10:00:00Z\",\"token_expires_at\":null,\"last_verified_at\":null,"
        "\"last_verdict\":null,\"next_action\":null,\"next_action_at\":null,\"reason\":null,\"attempt\":0,\"debts\":["
        "{\"kind\":\"manager\",\"runner_id\":7,\"system_id\":\"s_0123456789ab\",\"since\":\"2026-08-22T07:00:00Z\","
        "\"reason\":\"GitLab could not be reached\"},"
        "{\"kind\":\"orphan\",\"runner_id\":null,\"system_id\":null,\"since\":null,\"reason\":null}]}]}";

static void test_json(void **state)
{
        AgentStatus status = fixture();
        char *text = NULL;

        assert_int_equal(status_encode(&status, false, &text), 0);
        assert_string_equal(text, json);
        free(text);

        /* Without an agent there is no pid; every state can be told. */
        status.pid = 0;
        for (int s = 0; s < _RUNNER_STATE_MAX; s++) {
                runners[0].state = (RunnerState)s;
                assert_int_equal(status_encode(&status, true, &text), 0);
                assert_non_null(strstr(text, "\"pid\": null"));
                assert_non_null(strstr(text, runner_state_to_string((RunnerState)s)));
                free(text);
        }
        fixture_done();
}

/* Whatever slipped into a sentence. */
static void test_no_secret(void **state)
{
        AgentStatus status = fixture();
        char *text = NULL;

        runners[0].reason = (char *)"the token " TOKEN " is odd";
        runners[0].next_action = (char *)"verify " TOKEN;
        debts[1].reason = (char *)TOKEN;
        assert_int_equal(status_encode(&status, false, &text), 0);
        assert_null(strstr(text, "glrt-"));
        assert_null(strstr(text, "abcdefghij"));
        free(text);
        assert_int_equal(status_format_metrics(&status, &text), 0);
        assert_null(strstr(text, "glrt-"));
        free(text);
        fixture_done();
}

static void test_decode(void **state)
{
        AgentStatus status = {0};
        char *error = NULL, *text = NULL;

        assert_int_equal(status_decode(json, strlen(json), &status, &error), 0);
        assert_int_equal(status.n_runners, 3);
        assert_int_equal(status.runners[0].state, RUNNER_STATE_REGISTERED);
        assert_int_equal(status.runners[2].n_debts, 2);
        assert_int_equal(status_encode(&status, false, &text), 0);
        assert_string_equal(text, json);
        free(text);
        agent_status_done(&status);

        static const struct {
                const char *text;
                const char *error;
        } bad[] = {
                {"", "not valid JSON"},
                {"[]", "not a JSON object"},
                {"{}", "'runners' is missing or not a list"},
                {"{\"runners\":[{}]}", "'name' is missing"},
                {"{\"runners\":[{\"name\":\"a\",\"state\":\"x\"}]}", "'state' is not a known word"},
        };
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                assert_int_equal(status_decode(bad[i].text, strlen(bad[i].text), &status, &error), -EBADMSG);
                assert_string_equal(error, bad[i].error);
                free(error);
                error = NULL;
        }
}

/* More values than anything from outside may have. */
static void test_many(void **state)
{
        AgentStatus status = fixture(), copy = {0};
        const size_t n = 6000;
        char *text = NULL, *error = NULL;

        status.runners = calloc(n, sizeof(*status.runners));
        assert_non_null(status.runners);
        for (size_t i = 0; i < n; i++)
                status.runners[i] = runners[0];
        status.n_runners = n;
        assert_int_equal(status_encode(&status, false, &text), 0);
        assert_int_equal(status_decode(text, strlen(text), &copy, &error), 0);
        assert_int_equal(copy.n_runners, n);
        agent_status_done(&copy);
        free(text);
        free(status.runners);
        fixture_done();
}

static void test_text(void **state)
{
        static const char expected[] =
                "NAME     STATE       ID  EXPIRES   VERDICT         NEXT\n"
                "build-1  registered  42  in 6d 4h  alive 3min ago  verify (verify_interval) in 12min\n"
                "b        refused     -   -         permanent       enrol (refused_retry) now\n"
                "  reason: 403 Forbidden - invalid token supplied [2J (attempt 3)\n"
                "old      withdrawn   -   never     -               -\n"
                "  owed: manager s_0123456789ab of runner 7, since 3h ago: GitLab could not be reached\n"
                "  owed: orphan\n";
        AgentStatus status = fixture();
        char *text = NULL;

        assert_int_equal(status_format_text(&status, now, &text), 0);
        assert_string_equal(text, expected);
        free(text);

        /* Columns count characters, not bytes, and no name drives the terminal. */
        runners[0].name = (char *)"bü\x1b]0;x\x07";
        runners[0].token_expires_at_usec = NOW_USEC - 90 * USEC_PER_SEC;
        status.n_runners = 2;
        assert_int_equal(status_format_text(&status, now, &text), 0);
        assert_non_null(strstr(text, "NAME     STATE       ID  EXPIRES "));
        assert_non_null(strstr(text, "bü ]0;x  registered  42  1min 30s ago "));
        free(text);

        status.n_runners = 0;
        assert_int_equal(status_format_text(&status, now, &text), 0);
        assert_string_equal(text, "No runners.\n");
        free(text);
        fixture_done();
}

/* What is known only in part is shown in part. */
static void test_parts(void **state)
{
        AgentStatus status = fixture();
        char *text = NULL;

        runners[0].last_verified_at_usec = NOW_USEC;
        runners[0].last_verdict = (char *)"ambiguous";
        runners[0].next_action_at_usec = 0;
        runners[1].last_verdict = (char *)"alive";
        debts[1].kind = DEBT_RUNNER;
        debts[0].kind = DEBT_RUNNER;
        debts[0].system_id = NULL;
        assert_int_equal(status_format_text(&status, now, &text), 0);
        assert_non_null(strstr(text, " ambiguous  verify (verify_interval)\n"));
        assert_non_null(strstr(text, " alive      enrol (refused_retry) now\n"));
        assert_non_null(strstr(text, "  owed: runner 7, since 3h ago: GitLab could not be reached\n"));
        assert_non_null(strstr(text, "  owed: runner\n"));
        free(text);

        status.version = NULL;
        assert_int_equal(status_format_metrics(&status, &text), 0);
        assert_non_null(strstr(text, "runner_registrar_info{version=\"\"} 1\n"));
        free(text);
        fixture_done();
}

static void test_metrics(void **state)
{
        static const char *const lines[] = {
                "# TYPE runner_registrar_runners gauge\n",
                "runner_registrar_info{version=\"0.1.0\"} 1\n",
                "runner_registrar_runners{state=\"registered\"} 1\n",
                "runner_registrar_runners{state=\"doubtful\"} 0\n",
                STATE_LINE,
                "runner_registrar_token_dead{runner=\"build-1\"} 0\n",
                "runner_registrar_token_dead{runner=\"b\"} 1\n",
                "runner_registrar_attempts{runner=\"b\"} 3\n",
                "runner_registrar_debts{runner=\"old\",kind=\"manager\"} 1\n",
                "runner_registrar_debts{runner=\"old\",kind=\"runner\"} 0\n",
                "runner_registrar_token_expiry_timestamp_seconds{runner=\"build-1\"} 1787925600\n",
                "runner_registrar_last_verified_timestamp_seconds{runner=\"build-1\"} 1787392619\n",
        };
        AgentStatus status = fixture();
        char *text = NULL;

        assert_int_equal(status_format_metrics(&status, &text), 0);
        for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
                if (!strstr(text, lines[i]))
                        fail_msg("missing: %s", lines[i]);
        assert_null(strstr(text, "timestamp_seconds{runner=\"b\"}"));
        assert_null(strstr(text, "\n\n"));
        free(text);

        runners[0].name = (char *)"a\"b\\c\nd";
        assert_int_equal(status_format_metrics(&status, &text), 0);
        assert_non_null(strstr(text, "token_dead{runner=\"a\\\"b\\\\c\\nd\"} 0\n"));
        free(text);
        fixture_done();
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_json),
                cmocka_unit_test(test_no_secret),
                cmocka_unit_test(test_decode),
                cmocka_unit_test(test_many),
                cmocka_unit_test(test_text),
                cmocka_unit_test(test_parts),
                cmocka_unit_test(test_metrics),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
