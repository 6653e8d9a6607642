/* secret-reader: real programs on a real loop. Each case is a shell script and what is to come of it. */

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/base/time.h"
#include "agent/secret-reader.h"

typedef struct Result {
        sd_event *event;
        int n_calls;
        int error;
        char *secret;
        char *message;
} Result;

static void on_result(int error, const Secret *secret, const char *message, void *userdata)
{
        Result *result = userdata;

        result->n_calls++;
        result->error = error;
        result->secret = secret ? strdup(secret_data(secret)) : NULL;
        result->message = message ? strdup(message) : NULL;
        (void)sd_event_exit(result->event, 0);
}

static void result_done(Result *result)
{
        free(result->secret);
        free(result->message);
        (void)sd_event_unref(result->event);
}

static int on_too_long(sd_event_source *source, uint64_t usec, void *userdata)
{
        fail_msg("the reader did not answer");
        return 0;
}

/* Reads the source TEXT and waits for the result. */
static void read_source(const char *text, Result *ret)
{
        SecretSource *source = NULL;
        SecretReader *reader = NULL;

        *ret = (Result){0};
        assert_int_equal(sd_event_new(&ret->event), 0);
        assert_true(sd_event_add_time_relative(
                            ret->event, NULL, CLOCK_MONOTONIC, 30 * USEC_PER_SEC, 0, on_too_long, NULL) >= 0);
        assert_int_equal(secret_source_parse(text, SECRET_SOURCE_ALLOW_LITERAL, &source, NULL), 0);
        assert_int_equal(secret_reader_start(ret->event, source, on_result, ret, &reader), 0);
        source = secret_source_free(source);
        /* Never from within the start. */
        assert_int_equal(ret->n_calls, 0);
        assert_true(sd_event_loop(ret->event) >= 0);
        assert_int_equal(ret->n_calls, 1);
        /* This loop has ended before it could wait for a program that was killed. */
        while (waitpid(-1, NULL, 0) > 0)
                ;
}

static void run_script(const char *script, Result *ret)
{
        char text[2048];

        assert_true(snprintf(text, sizeof(text), "exec:/bin/sh -c '%s'", script) < (int)sizeof(text));
        read_source(text, ret);
}

static void test_programs(void **state)
{
        static const struct {
                const char *script;
                int error;
                const char *secret;  /* what it gives */
                const char *message; /* what the message must say */
        } cases[] = {
                {"echo glrt-abcdefghij", 0, "glrt-abcdefghij", NULL},
                {"printf \"  glrt-x \\n\\n\"", 0, "glrt-x", NULL},
                {"echo warning >&2; echo glrt-x", 0, "glrt-x", NULL},
                {"true", -EINVAL, NULL, "exec:/bin/sh"},
                {"echo two words", -EINVAL, NULL, "exec:/bin/sh"},
                {"echo glrt-x; exit 3", -EIO, NULL, "ended with exit status 3"},
                {"echo; echo vault is sealed >&2; echo more >&2; exit 1", -EIO, NULL,
                        "exit status 1: vault is sealed"},
                {"kill -KILL $$", -EIO, NULL, "signal 9"},
                {"printf \"\\033[31mred\\n\" >&2; exit 1", -EIO, NULL, "exit status 1: "},
                /* A cat that closes its stdin at once, as there is none. */
                {"cat; echo glrt-x", 0, "glrt-x", NULL},
                /* A child that keeps the pipes does not delay the result. */
                {"sleep 25 & echo glrt-x", 0, "glrt-x", NULL},
                {"exec 1>&-; echo glrt-x 2>&- || exit 4", -EIO, NULL, "exit status 4"},
                {"head -c 5000 /dev/zero | tr \"\\0\" x", -EFBIG, NULL, "more than 4096 bytes"},
                {"while :; do echo xxxxxxxxxxxxxxxxxxxx; done", -EFBIG, NULL, "more than 4096 bytes"},
                {"head -c 1000000 /dev/zero >&2; echo glrt-x", 0, "glrt-x", NULL},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Result result;

                run_script(cases[i].script, &result);
                if (result.error != cases[i].error)
                        fail_msg("%s: %d (%s)", cases[i].script, result.error, result.message);
                if (cases[i].secret)
                        assert_string_equal(result.secret, cases[i].secret);
                else {
                        assert_null(result.secret);
                        assert_non_null(result.message);
                        if (!strstr(result.message, cases[i].message))
                                fail_msg("%s: %s", cases[i].script, result.message);
                        assert_null(strchr(result.message, '\033'));
                }
                result_done(&result);
        }
}

/* A message must not carry what was meant to be the secret. */
static void test_echoed_secret_is_not_quoted(void **state)
{
        Result result;

        run_script("echo hush-hush-hush; echo got hush-hush-hush >&2; exit 1", &result);
        assert_int_equal(result.error, -EIO);
        assert_null(strstr(result.message, "hush"));
        result_done(&result);

        run_script("echo got glrt-0123456789abcdefghij >&2; exit 1", &result);
        assert_null(strstr(result.message, "0123456789"));
        result_done(&result);
}

static void test_missing_program(void **state)
{
        Result result;

        read_source("exec:/nonexistent/program", &result);
        assert_int_equal(result.error, -ENOENT);
        assert_non_null(strstr(result.message, "exec:/nonexistent/program"));
        result_done(&result);
}

/* What it inherits: a clean environment, no descriptors, no blocked signals, its own process group, the root folder.
 */
static void test_surroundings(void **state)
{
        sigset_t blocked, old;
        Result result;
        int fds[2];

        assert_int_equal(setenv("GITLAB_TOKEN", "glpat-made-up", 1), 0);
        assert_int_equal(setenv("HOME", "/tmp", 1), 0);
        assert_int_equal(pipe(fds), 0);
        assert_int_equal(fcntl(fds[0], F_DUPFD, 200), 200);
        (void)sigemptyset(&blocked);
        (void)sigaddset(&blocked, SIGTERM);
        (void)sigprocmask(SIG_BLOCK, &blocked, &old);

        run_script("echo env=$(env | grep -c GITLAB_TOKEN),home=$HOME,pwd=$PWD", &result);
        assert_string_equal(result.secret, "env=0,home=/tmp,pwd=/");
        result_done(&result);

        run_script("test ! -e /proc/self/fd/200 && echo none", &result);
        assert_string_equal(result.secret, "none");
        result_done(&result);

        run_script("grep SigBlk /proc/self/status | tr -d \"[:blank:]\"", &result);
        assert_string_equal(result.secret, "SigBlk:0000000000000000");
        result_done(&result);

        run_script("test $(cut -d\" \" -f5 /proc/$$/stat) = $$ && echo leader", &result);
        assert_string_equal(result.secret, "leader");
        result_done(&result);

        (void)sigprocmask(SIG_SETMASK, &old, NULL);
        (void)close(fds[0]);
        (void)close(fds[1]);
        (void)close(200);
}

static bool has_children(void)
{
        siginfo_t info;

        return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/* The program and its own child go, and nothing is left to be waited for. */
static void test_cancel(void **state)
{
        static const char script[] = "exec:/bin/sh -c 'sleep 60 & sleep 60'";
        SecretSource *source = NULL;

        assert_int_equal(secret_source_parse(script, 0, &source, NULL), 0);
        for (int turns = 0; turns < 3; turns++) {
                Result result = {0};
                SecretReader *reader = NULL;

                assert_int_equal(sd_event_new(&result.event), 0);
                assert_int_equal(secret_reader_start(result.event, source, on_result, &result, &reader), 0);
                for (int i = 0; i < turns; i++)
                        assert_true(sd_event_run(result.event, 10 * USEC_PER_MSEC) >= 0);
                assert_true(has_children());
                assert_null(secret_reader_cancel(reader));
                for (int i = 0; i < 1000 && has_children(); i++)
                        assert_true(sd_event_run(result.event, 10 * USEC_PER_MSEC) >= 0);
                assert_false(has_children());
                assert_int_equal(result.n_calls, 0);
                result_done(&result);
        }
        (void)secret_source_free(source);
}

/* As long as it takes, so the slowest case of all. */
static void test_timeout(void **state)
{
        struct timespec begin, end;
        Result result;

        (void)clock_gettime(CLOCK_MONOTONIC, &begin);
        run_script("trap \"\" TERM; sleep 60", &result);
        (void)clock_gettime(CLOCK_MONOTONIC, &end);
        assert_int_equal(result.error, -ETIMEDOUT);
        assert_non_null(strstr(result.message, "within 10s"));
        assert_in_range(end.tv_sec - begin.tv_sec, 9, 14);
        result_done(&result);
}

static void test_other_sources(void **state)
{
        Result result;

        assert_int_equal(setenv("SOME_TOKEN", " glrt-from-env \n", 1), 0);
        read_source("env:SOME_TOKEN", &result);
        assert_int_equal(result.error, 0);
        assert_string_equal(result.secret, "glrt-from-env");
        result_done(&result);

        read_source("file:/nonexistent/token", &result);
        assert_int_equal(result.error, -ENOENT);
        assert_null(result.secret);
        assert_non_null(strstr(result.message, "/nonexistent/token"));
        result_done(&result);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_programs),
                cmocka_unit_test(test_echoed_secret_is_not_quoted),
                cmocka_unit_test(test_missing_program),
                cmocka_unit_test(test_surroundings),
                cmocka_unit_test(test_cancel),
                cmocka_unit_test(test_timeout),
                cmocka_unit_test(test_other_sources),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
