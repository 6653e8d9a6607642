#include "agent/secret-reader.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/base/time.h"
#include "agent/core/text.h"

/* Enough of a program's complaint to know it by. */
#define COMPLAINT_MAX 200

struct SecretReader {
        sd_event *event;
        SecretReaderDone done;
        void *userdata;
        char *name; /* of the source, for messages */
        SecretSource *source;

        pid_t pid; /* 0: no program, or it is somebody else's to wait for */
        sd_event_source *exit_source, *output_source, *complaint_source, *timer_source;
        bool too_much;
        char complaint[COMPLAINT_MAX];
        size_t complaint_size;

        /* Delivered by the source below. */
        sd_event_source *done_source;
        int error;
        Secret *secret;
        char *message;
};

/* Kills the program with all its children. The source stays with the loop, on its own, to wait for the end: even
 * SIGKILL takes its time. */
static void kill_program(SecretReader *reader)
{
        sd_event_source *source = take_ptr(reader->exit_source);

        if (reader->pid > 0)
                (void)kill(-reader->pid, SIGKILL);
        if (reader->pid > 0 && source) {
                (void)sd_event_source_set_userdata(source, NULL);
                (void)sd_event_source_set_floating(source, true);
                (void)sd_event_source_unref(source);
        } else
                (void)sd_event_source_disable_unref(source);
        reader->pid = 0;
}

static void stop_source(sd_event_source *source)
{
        if (source)
                (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
}

SecretReader *secret_reader_cancel(SecretReader *reader)
{
        if (!reader)
                return NULL;
        kill_program(reader);
        (void)sd_event_source_disable_unref(reader->output_source);
        (void)sd_event_source_disable_unref(reader->complaint_source);
        (void)sd_event_source_disable_unref(reader->timer_source);
        (void)sd_event_source_disable_unref(reader->done_source);
        (void)sd_event_unref(reader->event);
        (void)secret_source_free(reader->source);
        (void)secret_free(reader->secret);
        explicit_bzero(reader->complaint, sizeof(reader->complaint));
        free(reader->message);
        free(reader->name);
        free(reader);
        return NULL;
}

static int on_done(sd_event_source *source, void *userdata)
{
        SecretReader *reader = userdata;
        SecretReaderDone done = reader->done;
        void *done_userdata = reader->userdata;
        int error = reader->error;
        _cleanup_secret_ Secret *secret = take_ptr(reader->secret);
        _cleanup_free_ char *message = take_ptr(reader->message);

        (void)secret_reader_cancel(reader);
        /* Which may free whatever started us: nothing of it is touched after this. */
        done(error, error < 0 ? NULL : secret, error < 0 && !message ? "out of memory" : message, done_userdata);
        return 0;
}

static int finish(SecretReader *reader, int error, char *message)
{
        kill_program(reader);
        stop_source(reader->output_source);
        stop_source(reader->complaint_source);
        stop_source(reader->timer_source);
        reader->error = error;
        free(reader->message);
        reader->message = message;
        return sd_event_source_set_enabled(reader->done_source, SD_EVENT_ONESHOT);
}

static void fail(SecretReader *reader, int error, const char *format, ...) _printf_(3, 4);

static void fail(SecretReader *reader, int error, const char *format, ...)
{
        char *message = NULL;
        va_list args;

        va_start(args, format);
        if (vasprintf(&message, format, args) < 0)
                message = NULL;
        va_end(args);
        (void)finish(reader, error, message);
}

/* --- a program's output */

static void take_output(SecretReader *reader, const char *data, size_t size)
{
        if (size > SECRET_READER_OUTPUT_MAX - secret_size(reader->secret))
                reader->too_much = true;
        else if (secret_append(reader->secret, data, size) < 0)
                reader->too_much = true;
}

static void take_complaint(SecretReader *reader, const char *data, size_t size)
{
        size_t room = sizeof(reader->complaint) - reader->complaint_size;

        /* What does not fit is read all the same: the program shall not block on it. */
        if (size > room)
                size = room;
        memcpy(reader->complaint + reader->complaint_size, data, size);
        reader->complaint_size += size;
}

/* Reads what is there. Returns whether more may come. */
static bool drain(SecretReader *reader, int fd, void (*take)(SecretReader *reader, const char *data, size_t size))
{
        char buffer[1024];
        ssize_t n;

        /* A few rounds at a time: one that never stops writing shall not keep the loop. */
        for (unsigned i = 0; i < 16 && !reader->too_much; i++) {
                n = read(fd, buffer, sizeof(buffer));
                if (n == 0)
                        return false;
                if (n < 0)
                        return errno == EAGAIN || errno == EINTR;
                take(reader, buffer, (size_t)n);
                explicit_bzero(buffer, (size_t)n);
        }
        return true;
}

static int on_output(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        SecretReader *reader = userdata;

        if (!drain(reader, fd, take_output))
                (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        if (reader->too_much)
                fail(reader, -EFBIG, "%s wrote more than %d bytes: that is no token", reader->name,
                        SECRET_READER_OUTPUT_MAX);
        return 0;
}

static int on_complaint(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        if (!drain(userdata, fd, take_complaint))
                (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        return 0;
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
        SecretReader *reader = userdata;

        fail(reader, -ETIMEDOUT, "%s did not end within %d s and was killed", reader->name,
                SECRET_SOURCE_EXEC_TIMEOUT_SEC);
        return 0;
}

/* The first line of its stderr, fit for a message; a tool that echoes the token on its way down is masked. */
static int first_complaint(SecretReader *reader, char **ret)
{
        const char *start = reader->complaint;
        size_t size = reader->complaint_size;

        while (size > 0 && (*start == '\n' || *start == '\r' || *start == ' ')) {
                start++;
                size--;
        }
        const char *end = memchr(start, '\n', size);
        if (end)
                size = (size_t)(end - start);

        /* Masking knows GitLab's tokens by their look; what was printed as the secret is known for sure. */
        secret_trim(reader->secret);
        if (secret_size(reader->secret) >= 4 &&
                memmem(start, size, secret_data(reader->secret), secret_size(reader->secret)))
                size = 0;
        return text_show(start, size, COMPLAINT_MAX, ret);
}

static void judge_exit(SecretReader *reader, const siginfo_t *info)
{
        _cleanup_free_ char *complaint = NULL;
        char *message = NULL;

        if (info->si_code == CLD_EXITED && info->si_status == 0) {
                int r = secret_source_accept(reader->source, reader->secret, &message);
                (void)finish(reader, r, message);
                return;
        }
        if (first_complaint(reader, &complaint) < 0) {
                (void)finish(reader, -ENOMEM, NULL);
                return;
        }
        const char *colon = *complaint ? ": " : "";
        if (info->si_code == CLD_EXITED)
                fail(reader, -EIO, "%s ended with exit status %d%s%s", reader->name, info->si_status, colon,
                        complaint);
        else
                fail(reader, -EIO, "%s was ended by signal %d (%s)%s%s", reader->name, info->si_status,
                        strsignal(info->si_status), colon, complaint);
}

static int on_program_end(sd_event_source *source, const siginfo_t *info, void *userdata)
{
        SecretReader *reader = userdata;

        if (!reader) {
                /* Killed before. Gives up the reference that floating sources have to themselves. */
                (void)sd_event_source_set_floating(source, false);
                return 0;
        }
        reader->pid = 0; /* gone: its number will be anybody's */

        /* What it wrote last still lies in the pipes. Their end is not waited for: a child may hold them. */
        int output_fd = sd_event_source_get_io_fd(reader->output_source);
        (void)drain(reader, output_fd, take_output);
        (void)drain(reader, sd_event_source_get_io_fd(reader->complaint_source), take_complaint);
        if (reader->too_much)
                (void)on_output(reader->output_source, output_fd, 0, reader);
        else
                judge_exit(reader, info);
        return 0;
}

/* --- starting a program */

static int make_environment(char ***ret)
{
        static const char *const kept[] = {"HOME", "LANG", "LC_ALL", "TZ", "CREDENTIALS_DIRECTORY"};
        char **environment = calloc(ELEMENTS(kept) + 2, sizeof(*environment));
        size_t n = 0;

        if (!environment)
                return -ENOMEM;
        *ret = environment;
        environment[n] = strdup("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        if (!environment[n++])
                return -ENOMEM;
        for (size_t i = 0; i < ELEMENTS(kept); i++) {
                const char *value = getenv(kept[i]);

                if (!value)
                        continue;
                if (asprintf(&environment[n], "%s=%s", kept[i], value) < 0) {
                        environment[n] = NULL;
                        return -ENOMEM;
                }
                n++;
        }
        return 0;
}

static void strv_freep(char ***strings)
{
        for (char **s = *strings; s && *s; s++)
                free(*s);
        free(*strings);
}

static int set_attributes(posix_spawnattr_t *attributes)
{
        sigset_t none, all;

        (void)sigemptyset(&none);
        (void)sigfillset(&all);
        int r = posix_spawnattr_setflags(
                attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
        if (r == 0)
                r = posix_spawnattr_setpgroup(attributes, 0);
        /* Our own signals are blocked, for the loop's signalfd. */
        if (r == 0)
                r = posix_spawnattr_setsigmask(attributes, &none);
        if (r == 0)
                r = posix_spawnattr_setsigdefault(attributes, &all);
        return -r;
}

static int set_files(posix_spawn_file_actions_t *files, int output, int complaint)
{
        int r = posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);

        if (r == 0)
                r = posix_spawn_file_actions_adddup2(files, output, STDOUT_FILENO);
        if (r == 0)
                r = posix_spawn_file_actions_adddup2(files, complaint, STDERR_FILENO);
        if (r == 0)
                r = posix_spawn_file_actions_addchdir_np(files, "/");
#if __GLIBC_PREREQ(2, 34)
        /* Ours are all O_CLOEXEC; what we inherited need not be. */
        if (r == 0)
                r = posix_spawn_file_actions_addclosefrom_np(files, STDERR_FILENO + 1);
#endif
        return -r;
}

/* posix_spawn() rather than fork(): curl's resolver threads may be about. */
static int spawn(char *const *argv, char *const *environment, int output, int complaint, pid_t *ret)
{
        posix_spawn_file_actions_t files;
        posix_spawnattr_t attributes;

        int r = -posix_spawn_file_actions_init(&files);
        if (r < 0)
                return r;
        r = -posix_spawnattr_init(&attributes);
        if (r == 0) {
                r = set_attributes(&attributes);
                if (r == 0)
                        r = set_files(&files, output, complaint);
                if (r == 0)
                        r = -posix_spawn(ret, argv[0], &files, &attributes, argv, environment);
                (void)posix_spawnattr_destroy(&attributes);
        }
        (void)posix_spawn_file_actions_destroy(&files);
        return r;
}

/* sd-event insists on it, for kernels without pidfds. main() has done so for all threads; tests may have not. */
static int block_sigchld(void)
{
        sigset_t set;

        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGCHLD);
        return -pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* A pipe whose reading end is ours alone and does not block, which is a matter of each end. */
static int make_pipe(int fds[static 2])
{
        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        if (fcntl(fds[0], F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        return 0;
}

static int watch_pipe(SecretReader *reader, int *fd, sd_event_io_handler_t handler, sd_event_source **ret)
{
        int r = sd_event_add_io(reader->event, ret, *fd, EPOLLIN, handler, reader);

        if (r < 0)
                return r;
        (void)sd_event_source_set_description(*ret, "secret-pipe");
        r = sd_event_source_set_io_fd_own(*ret, true);
        if (r >= 0)
                (void)take_fd(fd);
        return r;
}

static int run_program(SecretReader *reader)
{
        _cleanup_close_ int output = -1, output_end = -1, complaint = -1, complaint_end = -1;
        _cleanup_(strv_freep) char **environment = NULL;
        int fds[2] = {-1, -1};

        /* posix_spawn() tells, too, but not under every kernel and tool. */
        if (faccessat(AT_FDCWD, reader->source->argv[0], X_OK, AT_EACCESS) < 0)
                return -errno;
        int r = make_environment(&environment);
        if (r < 0)
                return r;
        r = block_sigchld();
        if (r < 0)
                return r;
        r = make_pipe(fds);
        output = fds[0], output_end = fds[1];
        if (r < 0)
                return r;
        fds[0] = fds[1] = -1;
        r = make_pipe(fds);
        complaint = fds[0], complaint_end = fds[1];
        if (r < 0)
                return r;
        r = watch_pipe(reader, &output, on_output, &reader->output_source);
        if (r >= 0)
                r = watch_pipe(reader, &complaint, on_complaint, &reader->complaint_source);
        if (r >= 0)
                r = sd_event_add_time_relative(reader->event, &reader->timer_source, CLOCK_BOOTTIME,
                        SECRET_SOURCE_EXEC_TIMEOUT_SEC * USEC_PER_SEC, USEC_PER_SEC / 10, on_timeout, reader);
        if (r >= 0)
                r = spawn(reader->source->argv, environment, output_end, complaint_end, &reader->pid);
        if (r < 0)
                return r;

        r = sd_event_add_child(reader->event, &reader->exit_source, reader->pid, WEXITED, on_program_end, reader);
        if (r >= 0)
                (void)sd_event_source_set_description(reader->exit_source, "secret-program");
        return r;
}

int secret_reader_start(
        sd_event *event, const SecretSource *source, SecretReaderDone done, void *userdata, SecretReader **ret)
{
        _cleanup_(secret_reader_cancelp) SecretReader *reader = calloc(1, sizeof(*reader));
        char *message = NULL;

        if (!reader)
                return -ENOMEM;
        reader->event = sd_event_ref(event);
        reader->done = done;
        reader->userdata = userdata;
        if (secret_source_copy(source, &reader->source) < 0 || secret_source_describe(source, &reader->name) < 0)
                return -ENOMEM;
        if (sd_event_add_defer(event, &reader->done_source, on_done, reader) < 0 ||
                sd_event_source_set_enabled(reader->done_source, SD_EVENT_OFF) < 0)
                return -ENOMEM;
        (void)sd_event_source_set_description(reader->done_source, "secret-done");

        if (source->kind == SECRET_SOURCE_EXEC) {
                int r = secret_new(NULL, 0, &reader->secret);
                if (r >= 0)
                        r = secret_reserve(reader->secret, SECRET_READER_OUTPUT_MAX);
                if (r >= 0)
                        r = run_program(reader);
                if (r == -ENOMEM)
                        return r;
                if (r < 0)
                        fail(reader, r, "Failed to run %s: %s", reader->name, strerror(-r));
        } else {
                int r = secret_source_read(source, &reader->secret, &message);
                (void)finish(reader, r, message);
        }

        *ret = take_ptr(reader);
        return 0;
}
