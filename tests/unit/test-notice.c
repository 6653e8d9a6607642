/* notice: what the clouds answer, as they write it, and when they are asked again. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/base/cleanup.h"
#include "agent/core/notice.h"

#define S USEC_PER_SEC

/* 2026-08-22T10:00:00Z */
#define NOW (1787392800 * S)

static Secret *secret(const char *text)
{
        Secret *made = NULL;

        assert_int_equal(secret_new(text, strlen(text), &made), 0);
        return made;
}

static const NoticeContext here = {.now = {.realtime_usec = NOW, .boottime_usec = 77 * S}, .resource = "build_0"};

static void test_answers(void **state)
{
        static const struct {
                NoticeDecoder decode;
                const char *body;
                int error;
                size_t n;
                CloudNoticeKind kind;
                uint64_t deadline;
                const char *reference;
        } cases[] = {
                {notice_decode_aws_action, "{\"action\": \"terminate\", \"time\": \"2026-08-22T10:02:00Z\"}", 0, 1,
                        CLOUD_NOTICE_PREEMPTION, NOW + 120 * S, "spot terminate"},
                {notice_decode_aws_action, "{\"action\":\"hibernate\",\"time\":\"2026-08-22T09:00:00Z\"}", 0, 1,
                        CLOUD_NOTICE_PREEMPTION, NOW - 3600 * S, "spot hibernate"},
                {notice_decode_aws_action, "{\"action\": \"a\\nb\", \"time\": \"2026-08-22T10:02:00Z\"}", 0, 1,
                        CLOUD_NOTICE_PREEMPTION, NOW + 120 * S, "spot a?b"},
                {notice_decode_aws_action, "{\"action\": \"terminate\"}", -EBADMSG},
                {notice_decode_aws_action, "{\"action\": \"terminate\", \"time\": \"soon\"}", -EBADMSG},
                {notice_decode_aws_action, "[]", -EBADMSG},
                {notice_decode_aws_action, "<html>", -EBADMSG},
                {notice_decode_aws_rebalance, "{\"noticeTime\": \"2026-08-22T10:00:00Z\"}", 0, 1,
                        CLOUD_NOTICE_REBALANCE, 0, "rebalance 2026-08-22T10:00:00Z"},
                {notice_decode_aws_lifecycle, "InService", 0, 0},
                {notice_decode_aws_lifecycle, "Warmed:Stopped", 0, 0},
                {notice_decode_aws_lifecycle, "Terminated", 0, 1, CLOUD_NOTICE_TERMINATION, USEC_INFINITY,
                        "Auto Scaling"},
                {notice_decode_aws_lifecycle, "Warmed:Terminated\n", 0, 1, CLOUD_NOTICE_TERMINATION, USEC_INFINITY,
                        "Auto Scaling"},
                {notice_decode_aws_lifecycle, "<html>login</html>", -EBADMSG},
                {notice_decode_aws_lifecycle, "", -EBADMSG},
                {notice_decode_gcp_preempted, "FALSE", 0, 0},
                {notice_decode_gcp_preempted, "TRUE\n", 0, 1, CLOUD_NOTICE_PREEMPTION, NOW + 30 * S, "preempted"},
                {notice_decode_gcp_preempted, "maybe", -EBADMSG},
                {notice_decode_gcp_maintenance, "NONE", 0, 0},
                {notice_decode_gcp_maintenance, "MIGRATE_ON_HOST_MAINTENANCE", 0, 1, CLOUD_NOTICE_MAINTENANCE, 0,
                        "live migration"},
                {notice_decode_gcp_maintenance, "TERMINATE_ON_HOST_MAINTENANCE", 0, 1, CLOUD_NOTICE_TERMINATION,
                        NOW + 60 * S, "host maintenance"},
                {notice_decode_gcp_maintenance, "", -EBADMSG},
                {notice_decode_azure, "{\"DocumentIncarnation\": 1, \"Events\": []}", 0, 0},
                {notice_decode_azure,
                        "{\"Events\": [{\"EventId\": \"E1\", \"EventType\": \"Preempt\", \"Resources\": "
                        "[\"build_0\"],"
                        " \"EventStatus\": \"Scheduled\", \"NotBefore\": \"Sat, 22 Aug 2026 10:00:30 GMT\"}]}",
                        0, 1, CLOUD_NOTICE_PREEMPTION, NOW + 30 * S, "E1"},
                {notice_decode_azure,
                        "{\"Events\": [{\"EventId\": \"E1\", \"EventType\": \"Terminate\", \"Resources\": [\"x\", "
                        "\"_BUILD_0\"], \"EventStatus\": \"Started\", \"NotBefore\": \"\"}]}",
                        0, 1, CLOUD_NOTICE_TERMINATION, NOW, "E1"},
                {notice_decode_azure,
                        "{\"Events\": [{\"EventId\": \"E1\", \"EventType\": \"Preempt\", \"Resources\": "
                        "[\"build_1\"]}]}",
                        0, 0},
                {notice_decode_azure,
                        "{\"Events\": [{\"EventId\": \"E1\", \"EventType\": \"Preempt\", \"Resources\": "
                        "[\"build_0\"],"
                        " \"EventStatus\": \"Completed\"}]}",
                        0, 0},
                {notice_decode_azure,
                        "{\"Events\": [{\"EventId\": \"E1\", \"EventType\": \"Freeze\", \"Resources\": "
                        "[\"build_0\"]},"
                        " {\"EventType\": \"Preempt\"}, 7, {\"EventId\": \"E2\", \"EventType\": \"New\","
                        " \"Resources\": [\"build_0\"]}]}",
                        0, 1, CLOUD_NOTICE_MAINTENANCE, 0, "E1"},
                {notice_decode_azure, "{}", -EBADMSG},
                {notice_decode_azure, "{\"error\": \"no\"}", -EBADMSG},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_secret_ Secret *body = secret(cases[i].body);
                CloudNotice notices[CLOUD_NOTICES_MAX] = {};
                size_t n = 99;
                int r = cases[i].decode(body, &here, notices, &n);

                if (r != cases[i].error || n != cases[i].n)
                        fail_msg("%s: %d, %zu", cases[i].body, r, n);
                if (n == 0)
                        continue;
                if (notices[0].kind != cases[i].kind || notices[0].deadline_usec != cases[i].deadline ||
                        strcmp(notices[0].reference, cases[i].reference) != 0)
                        fail_msg("%s: %s %llu '%s'", cases[i].body, cloud_notice_kind_to_string(notices[0].kind),
                                (unsigned long long)notices[0].deadline_usec, notices[0].reference);
        }
}

/* A service that goes mad fills no more than its bound. */
static void test_many_events(void **state)
{
        _cleanup_secret_ Secret *body = secret("{\"Events\": [");
        CloudNotice notices[CLOUD_NOTICES_MAX];
        size_t n;

        for (int i = 0; i < 100; i++) {
                char event[160];

                (void)snprintf(event, sizeof(event),
                        "%s{\"EventId\": \"%d\", \"EventType\": \"Freeze\", \"Resources\": [\"build_0\"]}",
                        i ? ", " : "", i);
                assert_int_equal(secret_append_string(body, event), 0);
        }
        assert_int_equal(secret_append_string(body, "]}"), 0);
        assert_int_equal(notice_decode_azure(body, &here, notices, &n), 0);
        assert_int_equal(n, CLOUD_NOTICES_MAX);
}

static void test_schedule(void **state)
{
        /* Once a second, even when answers take half of it. */
        assert_int_equal(notice_poll_at(100 * S, 100 * S, 0), 101 * S);
        assert_int_equal(notice_poll_at(100 * S, 100 * S + S / 2, 0), 101 * S);
        assert_int_equal(notice_poll_at(100 * S, 103 * S, 0), 103 * S);
        /* Failures slow it down, but never beyond five seconds. */
        assert_int_equal(notice_poll_at(100 * S, 100 * S, 1), 102 * S);
        assert_int_equal(notice_poll_at(100 * S, 100 * S, 2), 104 * S);
        for (unsigned n = 3; n < 200; n++)
                assert_int_equal(notice_poll_at(100 * S, 104 * S, n), 105 * S);
}

static void test_news(void **state)
{
        const CloudNotice a = {.kind = CLOUD_NOTICE_TERMINATION, .deadline_usec = USEC_INFINITY, .reference = "x"};
        CloudNotice b = a;

        assert_true(cloud_notice_same(&a, &b));
        assert_false(cloud_notice_is_news(&a, &b));
        b.deadline_usec = NOW;
        assert_true(cloud_notice_is_news(&a, &b));
        assert_false(cloud_notice_is_news(&b, &a));
        /* The same, of an answer a second later. */
        CloudNotice c = b;
        c.deadline_usec = b.deadline_usec - S;
        assert_false(cloud_notice_is_news(&b, &c));
        b.deadline_usec = 0;
        assert_true(cloud_notice_is_news(&a, &b));
        b.reference[0] = 'y';
        assert_false(cloud_notice_same(&a, &b));
}

/* The cloud's clock counts, as its deadlines do. */
static void test_clock(void **state)
{
        static const struct {
                const char *date;
                uint64_t cloud; /* what is then taken for now */
        } cases[] = {
                {NULL, NOW},
                {"yesterday", NOW},
                {"Sat, 22 Aug 2026 10:00:01 GMT", NOW},
                {"Sat, 22 Aug 2026 12:00:00 GMT", NOW + 7200 * S},
                {"Sat, 22 Aug 2026 08:00:00 GMT", NOW - 7200 * S},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                CloudNotice notices[] = {
                        {.deadline_usec = cases[i].cloud + 120 * S},
                        {.deadline_usec = cases[i].cloud - 60 * S},
                        {.deadline_usec = 0},
                        {.deadline_usec = USEC_INFINITY},
                };
                NoticeContext context = {0};

                notice_context_begin(&context, cases[i].date, here.now);
                assert_int_equal(context.now.realtime_usec, cases[i].cloud);
                notice_context_end(&context, here.now, notices, ELEMENTS(notices));
                assert_int_equal(notices[0].deadline_usec, NOW + 120 * S);
                assert_int_equal(notices[1].deadline_usec, NOW - 60 * S);
                assert_int_equal(notices[2].deadline_usec, 0);
                assert_true(notices[3].deadline_usec == USEC_INFINITY);
        }
}

static void test_detection(void **state)
{
        static const struct {
                const char *what;
                DmiFacts facts;
                unsigned cloud;
        } cases[] = {
                {"nothing is known", {0}, 0},
                {"bare metal", {"Dell Inc.", "PowerEdge R640", "2.19.1", "Not Specified"}, 0},
                {"a virtual machine at home", {"QEMU", "Standard PC (Q35 + ICH9, 2009)", "1.16.2-debian", ""}, 0},
                {"Hyper-V at home", {"Microsoft Corporation", "Virtual Machine", "Hyper-V UEFI", "4711-0815"}, 0},
                {"EC2", {"Amazon EC2", "m5.large", "1.0", "Amazon EC2"}, CLOUD_AWS},
                {"EC2 on Xen", {"Xen", "HVM domU", "4.11.amazon", ""}, CLOUD_AWS},
                {"Google", {"Google", "Google Compute Engine", "Google", ""}, CLOUD_GCP},
                {"a laptop of Google's", {"Google", "Eve", "MrChromebox", ""}, 0},
                {"Azure",
                        {"Microsoft Corporation", "Virtual Machine", "Hyper-V UEFI",
                                "7783-7084-3265-9085-8269-3286-77"},
                        CLOUD_AZURE},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                if (cloud_detect(&cases[i].facts) != cases[i].cloud)
                        fail_msg("%s", cases[i].what);
}

#define HOOK(name, transition, heartbeat, total)                                                                     \
        "<member><LifecycleHookName>" name "</LifecycleHookName><HeartbeatTimeout>" heartbeat                        \
        "</HeartbeatTimeout><GlobalTimeout>" total                                                                   \
        "</GlobalTimeout><LifecycleTransition>autoscaling:EC2_INSTANCE_" transition                                  \
        "</LifecycleTransition></member>"
#define HOOKS(members)                                                                                               \
        "<DescribeLifecycleHooksResponse><DescribeLifecycleHooksResult><LifecycleHooks>" members                     \
        "</LifecycleHooks></DescribeLifecycleHooksResult></DescribeLifecycleHooksResponse>"

static void test_hooks(void **state)
{
        static const struct {
                const char *body;
                int error;
                size_t n;
                const char *name;
                uint64_t heartbeat, total;
        } cases[] = {
                {HOOKS(""), 0, 0},
                {HOOKS(HOOK("any", "TERMINATING", "300", "7200")), 0, 1, "any", 300 * S, 7200 * S},
                {HOOKS(HOOK("any", "LAUNCHING", "300", "7200")), 0, 0},
                {HOOKS(HOOK("a", "TERMINATING", "300", "7200") HOOK("b", "TERMINATING", "300", "7200")), 0, 0},
                {HOOKS(HOOK("a", "TERMINATING", "30", "72") HOOK("x-runner-registrar", "TERMINATING", "300", "7200")
                                 HOOK("runner-registrar", "TERMINATING", "200", "8000")),
                        0, 2, "x-runner-registrar", 200 * S, 7200 * S},
                {HOOKS(HOOK("a&amp;b", "TERMINATING", "", "x")), 0, 1, "a&b", 3600 * S, 48 * 3600 * S},
                {"<ErrorResponse/>", -EBADMSG},
                {"", -EBADMSG},
                /* Cut off anywhere, it is no more than it holds. */
                {"<DescribeLifecycleHooksResult><member><LifecycleHookName>a", 0, 0},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_secret_ Secret *body = secret(cases[i].body);
                LifecycleHooks hooks = {};
                int r = notice_decode_lifecycle_hooks(body, &hooks);

                if (r != cases[i].error || hooks.n != cases[i].n)
                        fail_msg("case %zu: %d, %zu", i, r, hooks.n);
                if (hooks.n == 0)
                        continue;
                assert_string_equal(hooks.names[0], cases[i].name);
                assert_int_equal(hooks.heartbeat_usec, cases[i].heartbeat);
                assert_int_equal(hooks.global_usec, cases[i].total);
        }
        assert_int_equal(notice_heartbeat_usec(30 * S), 10 * S);
        assert_int_equal(notice_heartbeat_usec(1), 5 * S);
        assert_int_equal(notice_heartbeat_usec(7200 * S), 300 * S);
}

static void test_form(void **state)
{
        _cleanup_secret_ Secret *form = secret("");

        assert_int_equal(notice_form_add(form, "Action", "X"), 0);
        assert_int_equal(notice_form_add(form, "Group", "build & co/ä"), 0);
        assert_string_equal(secret_data(form), "Action=X&Group=build%20%26%20co%2F%C3%A4");
}

static void test_credentials(void **state)
{
        static const char good[] =
                "{\"Code\": \"Success\", \"AccessKeyId\": \"ID\", \"SecretAccessKey\": \"S/+\", \"Token\": \"T==\"}";
        static const char *const bad[] = {
                "{}",
                "{\"AccessKeyId\": \"ID\", \"SecretAccessKey\": \"S\"}",
                "{\"AccessKeyId\": \"ID\", \"SecretAccessKey\": \"S\", \"Token\": \"a\\r\\nX: y\"}",
                "{\"AccessKeyId\": \"\", \"SecretAccessKey\": \"S\", \"Token\": \"T\"}",
                "{\"Code\": \"AssumeRoleUnauthorizedAccess\"}",
        };
        _cleanup_secret_ Secret *body = secret(good), *key = NULL, *session = NULL;

        assert_int_equal(notice_decode_aws_credentials(body, &key, &session), 0);
        assert_string_equal(secret_data(key), "ID:S/+");
        assert_string_equal(secret_data(session), "X-Amz-Security-Token: T==");
        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                _cleanup_secret_ Secret *other = secret(bad[i]), *a = NULL, *b = NULL;

                assert_int_equal(notice_decode_aws_credentials(other, &a, &b), -EBADMSG);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_answers),
                cmocka_unit_test(test_many_events),
                cmocka_unit_test(test_schedule),
                cmocka_unit_test(test_news),
                cmocka_unit_test(test_clock),
                cmocka_unit_test(test_detection),
                cmocka_unit_test(test_hooks),
                cmocka_unit_test(test_form),
                cmocka_unit_test(test_credentials),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
