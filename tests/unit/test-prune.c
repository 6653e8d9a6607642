/* Every combination of what GitLab can tell of a runner: what is deleted is old, proven dead, and nothing else. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "agent/base/time.h"
#include "agent/core/prune.h"

/* 2026-08-22T10:00:00Z */
#define NOW  (UINT64_C(1787392800) * USEC_PER_SEC)
#define SPAN (7 * USEC_PER_DAY)

static Slice of(const char *text)
{
        return slice_of(text, strlen(text));
}

static const uint64_t ages[] = {
        0 /* not told */, NOW - SPAN, NOW - SPAN + 1, NOW - SPAN - 1, NOW, NOW + USEC_PER_DAY, 1};

static bool old(uint64_t at)
{
        return at != 0 && at + SPAN <= NOW;
}

/* Said a second time, by the sentence of the design rather than by the order of the code. */
static bool deletable(const PruneFacts *f)
{
        uint64_t at = f->contacted == FACT_YES ? f->contacted_at_usec : f->created_at_usec;

        return f->matches == FACT_YES && f->online == FACT_NO && f->running_jobs == FACT_NO &&
               f->live_manager == FACT_NO && f->contacted != FACT_UNKNOWN && old(at);
}

static bool kept(const PruneFacts *f)
{
        return f->matches == FACT_NO || f->online == FACT_YES || f->running_jobs == FACT_YES ||
               f->live_manager == FACT_YES;
}

static void check_facts(const PruneFacts *f)
{
        Prune prune = prune_decide(f, NOW, SPAN);

        assert_true((prune == PRUNE_DELETE) == deletable(f));
        if (kept(f))
                assert_true(prune != PRUNE_DELETE && !prune_is_skip(prune));
        /* What is skipped might have been deleted, had more been known. */
        if (prune_is_skip(prune)) {
                PruneFacts best = *f;

                best.matches = FACT_YES;
                best.online = best.running_jobs = best.live_manager = FACT_NO;
                if (best.contacted == FACT_UNKNOWN || (best.contacted == FACT_YES && best.contacted_at_usec == 0))
                        best.contacted = FACT_YES, best.contacted_at_usec = 1;
                if (best.contacted == FACT_NO && best.created_at_usec == 0)
                        best.created_at_usec = 1;
                assert_int_equal(prune_decide(&best, NOW, SPAN), PRUNE_DELETE);
        }
        assert_non_null(prune_to_string(prune));
}

static void test_every_combination(void **state)
{
        size_t n = 0;

        for (unsigned bits = 0; bits < 3 * 3 * 3 * 3 * 3; bits++)
                for (size_t c = 0; c < sizeof(ages) / sizeof(ages[0]); c++)
                        for (size_t m = 0; m < sizeof(ages) / sizeof(ages[0]); m++) {
                                const PruneFacts facts = {
                                        .matches = (Fact)(bits % 3),
                                        .online = (Fact)(bits / 3 % 3),
                                        .running_jobs = (Fact)(bits / 9 % 3),
                                        .live_manager = (Fact)(bits / 27 % 3),
                                        .contacted = (Fact)(bits / 81 % 3),
                                        .contacted_at_usec = ages[c],
                                        .created_at_usec = ages[m],
                                };

                                check_facts(&facts);
                                n += prune_decide(&facts, NOW, SPAN) == PRUNE_DELETE;
                        }
        /* Three ages are old; the other clock may show anything. */
        assert_int_equal(n, 2 * 3 * 7);
}

static void test_extremes(void **state)
{
        PruneFacts facts = {.matches = FACT_YES,
                .online = FACT_NO,
                .running_jobs = FACT_NO,
                .live_manager = FACT_NO,
                .contacted = FACT_YES,
                .contacted_at_usec = NOW};

        assert_int_equal(prune_decide(&facts, NOW, USEC_INFINITY), PRUNE_KEEP_RECENT);
        assert_int_equal(prune_decide(&facts, 0, SPAN), PRUNE_KEEP_RECENT);
        assert_int_equal(prune_decide(&facts, NOW + SPAN, SPAN), PRUNE_DELETE);
}

static void test_managers(void **state)
{
        static const struct {
                const char *manager;
                bool live;
        } rows[] = {
                {"{\"status\":\"online\",\"contacted_at\":\"2026-08-01T00:00:00.000Z\"}", true},
                {"{\"status\":\"offline\",\"contacted_at\":\"2026-08-01T00:00:00.000Z\"}", false},
                {"{\"status\":\"stale\",\"contacted_at\":\"2026-08-15T10:00:00.000Z\"}", false},
                {"{\"status\":\"offline\",\"contacted_at\":\"2026-08-15T10:00:00.001Z\"}", true},
                {"{\"status\":\"never_contacted\",\"contacted_at\":null,\"created_at\":\"2026-08-01T00:00:00Z\"}",
                        false},
                {"{\"status\":\"never_contacted\",\"contacted_at\":null,\"created_at\":\"2026-08-22T00:00:00Z\"}",
                        true},
                {"{\"status\":\"never_contacted\",\"contacted_at\":null}", true},
                {"{\"status\":\"stale\"}", true},
                {"{\"status\":\"stale\",\"contacted_at\":\"yesterday\"}", true},
                {"{}", true},
                {"null", true},
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
                if (prune_manager_is_live(of(rows[i].manager), NOW, SPAN) != rows[i].live)
                        fail_msg("row %zu", i);
}

static void check_details(const char *details, PruneFacts expected)
{
        PruneFacts facts = {0};

        prune_read_details(of(details), &facts);
        assert_int_equal(facts.online, expected.online);
        assert_int_equal(facts.running_jobs, expected.running_jobs);
        assert_int_equal(facts.contacted, expected.contacted);
        assert_int_equal(facts.contacted_at_usec > 0, expected.contacted_at_usec > 0);
        assert_int_equal(facts.created_at_usec > 0, expected.created_at_usec > 0);
}

static void test_details(void **state)
{
        /* 8.5 tells nothing but a contact; 13 not when it was created. */
        check_details("{\"id\":1,\"active\":true,\"contacted_at\":\"2016-01-25T16:39:48.066Z\"}",
                (PruneFacts){.contacted = FACT_YES, .contacted_at_usec = 1});
        check_details("{\"online\":false,\"status\":\"offline\",\"contacted_at\":\"2016-01-25T16:39:48.066Z\"}",
                (PruneFacts){.online = FACT_NO, .contacted = FACT_YES, .contacted_at_usec = 1});
        check_details("{\"online\":null,\"status\":\"not_connected\",\"contacted_at\":null}",
                (PruneFacts){.online = FACT_NO, .contacted = FACT_NO});
        check_details(
                "{\"online\":null,\"status\":\"stale\",\"contacted_at\":null,\"created_at\":\"2026-01-01T00:00:00Z\","
                "\"job_execution_status\":\"idle\"}",
                (PruneFacts){.online = FACT_NO, .contacted = FACT_NO, .created_at_usec = 1, .running_jobs = FACT_NO});
        check_details("{\"online\":true,\"status\":\"paused\",\"contacted_at\":\"2026-01-01T00:00:00Z\","
                      "\"job_execution_status\":\"active\"}",
                (PruneFacts){
                        .online = FACT_YES, .contacted = FACT_YES, .contacted_at_usec = 1, .running_jobs = FACT_YES});
        /* A state of tomorrow is no proof of idleness, and null is none of being offline. */
        check_details(
                "{\"online\":null,\"contacted_at\":\"2026-01-01T00:00:00Z\",\"job_execution_status\":\"draining\"}",
                (PruneFacts){.contacted = FACT_YES, .contacted_at_usec = 1});
        check_details("{}", (PruneFacts){0});
}

static void test_filters(void **state)
{
        static char *both[] = {(char *)"a", (char *)"b", NULL}, *other[] = {(char *)"a", (char *)"x", NULL};
        static const char new[] =
                "{\"runner_type\":\"group_type\",\"paused\":true,\"active\":false,\"status\":\"stale\","
                "\"online\":false,\"contacted_at\":\"2026-01-01T00:00:00Z\",\"tag_list\":[\"b\",\"a\"],"
                "\"version\":\"16.1.0\",\"is_shared\":false}";
        static const char ancient[] = "{\"active\":false,\"is_shared\":true,\"contacted_at\":null}";
        static const struct {
                Argument filter;
                const char *details;
                unsigned release;
                Fact fact;
        } rows[] = {
                {{.name = "type", .text = "group_type"}, new, 0, FACT_YES},
                {{.name = "type", .text = "project_type"}, new, 0, FACT_NO},
                {{.name = "type", .text = "project_type"}, ancient, 0, FACT_UNKNOWN},
                {{.name = "paused", .integer = 1}, new, 0, FACT_YES},
                {{.name = "paused", .integer = 0}, new, 0, FACT_NO},
                {{.name = "paused", .integer = 1}, ancient, 0, FACT_YES},
                {{.name = "paused", .integer = 0}, ancient, 0, FACT_NO},
                {{.name = "paused", .integer = 1}, "{}", 0, FACT_UNKNOWN},
                {{.name = "status", .text = "stale"}, new, 0, FACT_YES},
                {{.name = "status", .text = "offline"}, new, 0, FACT_YES},
                {{.name = "status", .text = "online"}, new, 0, FACT_NO},
                {{.name = "status", .text = "never_contacted"}, new, 0, FACT_NO},
                {{.name = "status", .text = "never_contacted"}, ancient, 0, FACT_YES},
                {{.name = "status", .text = "paused"}, new, 0, FACT_YES},
                {{.name = "status", .text = "offline"}, ancient, 0, FACT_UNKNOWN},
                {{.name = "scope", .text = "shared"}, ancient, 0, FACT_YES},
                {{.name = "scope", .text = "specific"}, new, 0, FACT_YES},
                {{.name = "scope", .text = "specific"}, ancient, 0, FACT_NO},
                {{.name = "tag_list", .list = both}, new, 0, FACT_YES},
                {{.name = "tag_list", .list = other}, new, 0, FACT_NO},
                {{.name = "tag_list", .list = both}, ancient, 0, FACT_UNKNOWN},
                {{.name = "version_prefix", .text = "16.1"}, new, RELEASE(15, 11), FACT_YES},
                {{.name = "version_prefix", .text = "1"}, new, RELEASE(15, 11), FACT_UNKNOWN},
                {{.name = "version_prefix", .text = "15"}, new, RELEASE(16, 11), FACT_YES},
                {{.name = "id", .text = "acme"}, ancient, 0, FACT_YES},
                {{.name = "something", .text = "new"}, new, 0, FACT_UNKNOWN},
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
                if (prune_match(&rows[i].filter, of(rows[i].details), rows[i].release) != rows[i].fact)
                        fail_msg("row %zu", i);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_combination),
                cmocka_unit_test(test_extremes),
                cmocka_unit_test(test_managers),
                cmocka_unit_test(test_details),
                cmocka_unit_test(test_filters),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
