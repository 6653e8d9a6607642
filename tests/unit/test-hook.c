/* hook: a real script that writes down how it was called. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/hook.h"

typedef struct Fixture {
        sd_event *event;
        Hook *hook;
        Log *log;
        char folder[64], script[96], record[96];
        FILE *log_file;
        char said[8192];
} Fixture;

static void on_idle(void *userdata)
{
        Fixture *f = userdata;

        (void)sd_event_exit(f->event, 0);
}

static int on_too_long(sd_event_source *source, uint64_t usec, void *userdata)
{
        fail_msg("the hook was never idle");
        return 0;
}

static void set_up(Fixture *f, const char *body)
{
        *f = (Fixture){};
        (void)snprintf(f->folder, sizeof(f->folder), "/tmp/test-hook-XXXXXX");
        assert_non_null(mkdtemp(f->folder));
        (void)snprintf(f->script, sizeof(f->script), "%s/hook", f->folder);
        (void)snprintf(f->record, sizeof(f->record), "%s/record", f->folder);
        FILE *script = fopen(f->script, "we");
        assert_non_null(script);
        (void)fprintf(script, "#!/bin/sh\nrecord=%s\n%s\n", f->record, body);
        (void)fclose(script);
        assert_int_equal(chmod(f->script, 0700), 0);
        f->log_file = tmpfile();
        assert_int_equal(log_new(fileno(f->log_file), LOG_STYLE_PLAIN, &f->log), 0);
        assert_int_equal(sd_event_new(&f->event), 0);
        assert_true(sd_event_add_time_relative(
                            f->event, NULL, CLOCK_MONOTONIC, 30 * USEC_PER_SEC, 0, on_too_long, NULL) >= 0);
        assert_int_equal(hook_new(f->event, f->log, on_idle, f, &f->hook), 0);
        assert_int_equal(hook_set_program(f->hook, f->script), 0);
}

static void tear_down(Fixture *f)
{
        (void)hook_free(f->hook);
        (void)sd_event_unref(f->event);
        (void)log_free(f->log);
        (void)fclose(f->log_file);
        (void)unlink(f->record);
        (void)unlink(f->script);
        (void)rmdir(f->folder);
        while (waitpid(-1, NULL, 0) > 0)
                ;
}

static void run(Fixture *f, char *ret, size_t size)
{
        FILE *record;

        assert_true(sd_event_loop(f->event) >= 0);
        assert_true(hook_idle(f->hook));
        record = fopen(f->record, "re");
        ret[record ? fread(ret, 1, size - 1, record) : 0] = 0;
        if (record)
                (void)fclose(record);
        (void)fflush(f->log_file);
        ssize_t n = pread(fileno(f->log_file), f->said, sizeof(f->said) - 1, 0);
        f->said[n > 0 ? n : 0] = 0;
}

/* Neighbours of one event are one call; the order of events stays. */
static void test_calls(void **state)
{
        char record[4096];
        Fixture f;

        set_up(&f, "echo \"$*\" >>$record");
        hook_tell(f.hook, "registered", "a");
        hook_tell(f.hook, "registered", "b");
        hook_tell(f.hook, "rotated", "a");
        hook_tell(f.hook, "registered", "c");
        hook_tell(f.hook, "preemption", NULL);
        hook_tell(f.hook, "preemption", NULL);
        assert_false(hook_idle(f.hook));
        run(&f, record, sizeof(record));
        assert_string_equal(record, "registered a b\nrotated a\nregistered c\npreemption\npreemption\n");
        assert_string_equal(f.said, "");
        tear_down(&f);
}

static void test_notice(void **state)
{
        char record[4096];
        Fixture f;

        assert_int_equal(setenv("GITLAB_TOKEN", "glpat-made-up", 1), 0);
        set_up(&f, "echo \"$# $1 $RUNNER_REGISTRAR_DEADLINE $RUNNER_REGISTRAR_REFERENCE ${GITLAB_TOKEN-none}\" "
                   ">>$record");
        hook_tell_notice(f.hook, "termination", "2026-08-22T10:11:12Z", "event-1; true");
        hook_tell(f.hook, "registered", "a");
        run(&f, record, sizeof(record));
        assert_string_equal(record, "1 termination 2026-08-22T10:11:12Z event-1; true none\n2 registered   none\n");
        tear_down(&f);
}

/* A failure is nobody's but the log's, and there once. */
static void test_failure(void **state)
{
        char record[4096];
        Fixture f;

        set_up(&f, "echo $1 >>$record; echo broken >&2; exit 3");
        hook_tell(f.hook, "registered", "a");
        hook_tell(f.hook, "rotated", "a");
        hook_tell(f.hook, "withdrawn", "a");
        run(&f, record, sizeof(record));
        assert_string_equal(record, "registered\nrotated\nwithdrawn\n");
        const char *said = strstr(f.said, "ended with exit status 3: broken, ignoring");
        assert_non_null(said);
        assert_null(strstr(said + strlen("ended with exit status"), "exit status"));
        tear_down(&f);
}

static void test_missing(void **state)
{
        char record[4096];
        Fixture f;

        set_up(&f, "true");
        assert_int_equal(hook_set_program(f.hook, "/nonexistent/hook"), 0);
        hook_tell(f.hook, "registered", "a");
        run(&f, record, sizeof(record));
        assert_non_null(strstr(f.said, "Failed to run /nonexistent/hook: No such file or directory"));
        assert_int_equal(hook_set_program(f.hook, NULL), 0);
        hook_tell(f.hook, "registered", "a");
        assert_true(hook_idle(f.hook));
        tear_down(&f);
}

/* Thousands at once are a few calls, and none is lost. */
static void test_many(void **state)
{
        char record[4096], name[16];
        Fixture f;

        set_up(&f, "echo $# >>$record");
        for (int i = 0; i < 2500; i++) {
                (void)snprintf(name, sizeof(name), "r%d", i);
                hook_tell(f.hook, "registered", name);
        }
        run(&f, record, sizeof(record));
        assert_string_equal(record, "1001\n1001\n501\n");
        tear_down(&f);

        set_up(&f, "true");
        for (int i = 0; i < HOOK_QUEUE_MAX + 7; i++)
                hook_tell(f.hook, "rotated", "a");
        run(&f, record, sizeof(record));
        assert_non_null(strstr(f.said, "; 7 events were not told to it"));
        tear_down(&f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_calls),
                cmocka_unit_test(test_notice),
                cmocka_unit_test(test_failure),
                cmocka_unit_test(test_missing),
                cmocka_unit_test(test_many),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
