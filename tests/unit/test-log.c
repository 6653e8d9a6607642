#include "tests/unit/scratch.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "agent/base/log.h"

/* What a logger of STYLE writes for one message; caller frees. */
static char *logged(LogStyle style, int threshold, int level, const char *text)
{
        _cleanup_(log_freep) Log *log = NULL;
        char buffer[8192];
        int fds[2];
        ssize_t n;

        assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
        assert_int_equal(log_new(fds[1], style, &log), 0);
        log_set_level(log, threshold);
        log_message(log, level, LOG_FIELDS(.runner = "build-1", .attempt = 3), "%s", text);
        n = read(fds[0], buffer, sizeof(buffer) - 1);
        (void)close(fds[0]);
        (void)close(fds[1]);
        buffer[n > 0 ? n : 0] = '\0';
        return strdup(buffer);
}

static void test_lines(void **state)
{
        static const struct {
                LogStyle style;
                int level;
                const char *text, *line;
        } cases[] = {
                {LOG_STYLE_PLAIN, LOG_INFO, "runner 'x': registering → registered",
                        "runner 'x': registering → registered\n"},
                {LOG_STYLE_PLAIN, LOG_ERR, "no", "error: no\n"},
                {LOG_STYLE_PLAIN, LOG_WARNING, "no", "warning: no\n"},
                {LOG_STYLE_PLAIN, LOG_DEBUG, "no", ""},
                {LOG_STYLE_PREFIX, LOG_ERR, "no", "<3>no\n"},
                {LOG_STYLE_PREFIX, LOG_INFO, "yes", "<6>yes\n"},
                /* Whatever GitLab or a file says, one message stays one harmless line. */
                {LOG_STYLE_PLAIN, LOG_INFO, "a\nb\tc\r\x1b[31m\x7f", "a\\nb\\tc\\x0d\\x1b[31m\\x7f\n"},
                {LOG_STYLE_PLAIN, LOG_INFO, "\xff\xc0\xaf|\xed\xa0\x80|\xc2\x9b|\xf5\x80\x80\x80|\xe2\x82",
                        "\\xff\\xc0\\xaf|\\xed\\xa0\\x80|\\xc2\\x9b|\\xf5\\x80\\x80\\x80|\\xe2\\x82\n"},
                {LOG_STYLE_PLAIN, LOG_INFO, "\xe2\x80\xa8", "\\xe2\\x80\\xa8\n"},
                {LOG_STYLE_PLAIN, LOG_INFO, "ü \xf0\x9f\x98\x80", "ü \xf0\x9f\x98\x80\n"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *line = logged(cases[i].style, LOG_INFO, cases[i].level, cases[i].text);

                assert_string_equal(line, cases[i].line);
        }
}

static void test_long_messages_are_cut(void **state)
{
        _cleanup_free_ char *line = NULL;
        char text[LOG_MESSAGE_MAX * 3 + 1];

        for (size_t i = 0; i < LOG_MESSAGE_MAX * 3; i += 3)
                memcpy(text + i, "\xe2\x82\xac", 3);
        text[LOG_MESSAGE_MAX * 3] = '\0';
        line = logged(LOG_STYLE_PLAIN, LOG_INFO, LOG_INFO, text);
        assert_in_range(strlen(line), LOG_MESSAGE_MAX - 16, LOG_MESSAGE_MAX);
        assert_string_equal(line + strlen(line) - 4, "...\n");
        assert_memory_equal(line + strlen(line) - 7, "\xe2\x82\xac", 3);
}

static void test_levels(void **state)
{
        _cleanup_free_ char *debug = logged(LOG_STYLE_PLAIN, LOG_DEBUG, LOG_DEBUG, "x"),
                            *quiet = logged(LOG_STYLE_PLAIN, LOG_ERR, LOG_WARNING, "x");
        int level;

        assert_string_equal(debug, "debug: x\n");
        assert_string_equal(quiet, "");
        assert_int_equal(log_level_from_string("warning", &level), 0);
        assert_int_equal(level, LOG_WARNING);
        assert_int_equal(log_level_from_string("err", &level), 0);
        assert_int_equal(level, LOG_ERR);
        assert_int_equal(log_level_from_string("loud", &level), -EINVAL);
        log_info(NULL, NULL, "nobody listens");
}

/* The environment says what stderr is, but only the descriptor proves it. */
static void test_style_follows_the_environment(void **state)
{
        _cleanup_free_ char *plain = NULL, *prefix = NULL, *other = NULL;

        (void)unsetenv("INVOCATION_ID");
        (void)unsetenv("JOURNAL_STREAM");
        plain = logged(LOG_STYLE_AUTO, LOG_INFO, LOG_ERR, "x");
        assert_string_equal(plain, "error: x\n");
        (void)setenv("INVOCATION_ID", "0123456789abcdef0123456789abcdef", 1);
        prefix = logged(LOG_STYLE_AUTO, LOG_INFO, LOG_ERR, "x");
        assert_string_equal(prefix, "<3>x\n");
        (void)setenv("JOURNAL_STREAM", "1:2", 1);
        other = logged(LOG_STYLE_AUTO, LOG_INFO, LOG_ERR, "x");
        assert_string_equal(other, "<3>x\n");
}

/* A journal of the test's own, where only this process sees it; skips the test where that is not allowed. */
static int journal_listen(void)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/run/systemd/journal/socket"};
        int fd;

        if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0 ||
                mount("none", "/run", "tmpfs", 0, NULL) < 0) {
                print_message("not allowed to mount\n");
                skip();
        }
        assert_int_equal(mkdir("/run/systemd", 0755), 0);
        assert_int_equal(mkdir("/run/systemd/journal", 0755), 0);
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_true(fd >= 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        return fd;
}

static void test_fields_reach_the_journal(void **state)
{
        static const char *const expected[] = {"PRIORITY=4\n", "SYSLOG_IDENTIFIER=runner-registrar\n",
                "RUNNER=build-1\n", "STATE=doubtful\n", "ATTEMPT=3\n", "HTTP_STATUS=403\n",
                "MESSAGE_ID=" MESSAGE_ID_DOUBTFUL "\n", "MESSAGE=no\\nRUNNER=forged\n"};
        int journal = journal_listen(), fds[2];
        _cleanup_(log_freep) Log *log = NULL;
        char entry[4096] = "", stream[64];
        struct stat st;

        /* What stderr is to a service: a stream that the environment names. */
        assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
        assert_int_equal(fstat(fds[1], &st), 0);
        (void)snprintf(
                stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
        (void)setenv("JOURNAL_STREAM", stream, 1);
        assert_int_equal(log_new(fds[1], LOG_STYLE_AUTO, &log), 0);
        log_warning(log,
                LOG_FIELDS(.runner = "build-1", .state = "doubtful", .attempt = 3, .http_status = 403,
                        .message_id = MESSAGE_ID_DOUBTFUL),
                "no\n%s", "RUNNER=forged");

        assert_true(recv(journal, entry, sizeof(entry) - 1, 0) > 0);
        for (size_t i = 0; i < ELEMENTS(expected); i++)
                if (!strstr(entry, expected[i]))
                        fail_msg("'%s' is not in '%s'", expected[i], entry);
        assert_int_equal(read(fds[0], entry, 1), -1); /* and not on stderr as well */
        (void)close(journal);
        (void)close(fds[0]);
        (void)close(fds[1]);
        (void)unsetenv("JOURNAL_STREAM");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_lines),
                cmocka_unit_test(test_long_messages_are_cut),
                cmocka_unit_test(test_levels),
                cmocka_unit_test(test_style_follows_the_environment),
                cmocka_unit_test(test_fields_reach_the_journal),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
