#include "agent/program.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "agent/base/file.h"
#include "agent/base/time.h"
#include "agent/core/text.h"

/* Enough of a program's complaint to know it by. */
#define COMPLAINT_MAX 200

struct Program {
        sd_event *event;
        ProgramDone done;
        void *userdata;
        size_t output_max;

        pid_t pid; /* 0: none, or it is somebody else's to wait for */
        sd_event_source *exit_source, *output_source, *complaint_source, *timer_source;
        char complaint[COMPLAINT_MAX];
        size_t complaint_size;
        Secret *output;
        bool too_much;

        sd_event_source *done_source; /* delivers */
        ProgramEnd end;
        int status;
};

/* Kills it with all its children. The source stays with the loop, on its own, to wait for the end: even SIGKILL takes
 * its time. */
static void kill_group(Program *p)
{
        sd_event_source *source = take_ptr(p->exit_source);

        if (p->pid > 0)
                (void)kill(-p->pid, SIGKILL);
        if (p->pid > 0 && source) {
                (void)sd_event_source_set_userdata(source, NULL);
                (void)sd_event_source_set_floating(source, true);
                (void)sd_event_source_unref(source);
        } else
                (void)sd_event_source_disable_unref(source);
        p->pid = 0;
}

static void stop_source(sd_event_source *source)
{
        if (source)
                (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
}

Program *program_cancel(Program *p)
{
        if (!p)
                return NULL;
        kill_group(p);
        (void)sd_event_source_disable_unref(p->output_source);
        (void)sd_event_source_disable_unref(p->complaint_source);
        (void)sd_event_source_disable_unref(p->timer_source);
        (void)sd_event_source_disable_unref(p->done_source);
        (void)sd_event_unref(p->event);
        (void)secret_free(p->output);
        explicit_bzero(p->complaint, sizeof(p->complaint));
        free(p);
        return NULL;
}

/* The first line that says anything. */
static const char *first_line(const Program *p, size_t *ret_size)
{
        const char *start = p->complaint;
        size_t size = p->complaint_size;

        while (size > 0 && (*start == '\n' || *start == '\r' || *start == ' ')) {
                start++;
                size--;
        }
        const char *end = memchr(start, '\n', size);
        *ret_size = end ? (size_t)(end - start) : size;
        return start;
}

static int on_done(sd_event_source *source, void *userdata)
{
        /* Leaves the program to this function, which frees it after its output was looked at. */
        _cleanup_(program_cancelp) Program *p = userdata;
        ProgramResult result = {
                .end = p->end,
                .status = p->status,
                .output = p->output,
        };

        result.complaint = first_line(p, &result.complaint_size);
        /* Which may free whatever started us: nothing of it is touched after this. */
        p->done(&result, p->userdata);
        return 0;
}

static void finish(Program *p, ProgramEnd end, int status)
{
        kill_group(p);
        stop_source(p->output_source);
        stop_source(p->complaint_source);
        stop_source(p->timer_source);
        p->end = end;
        p->status = status;
        (void)sd_event_source_set_enabled(p->done_source, SD_EVENT_ONESHOT);
}

/* --- its output */

static void take_output(Program *p, const char *data, size_t size)
{
        if (size > p->output_max - secret_size(p->output) || secret_append(p->output, data, size) < 0)
                p->too_much = true;
}

static void take_complaint(Program *p, const char *data, size_t size)
{
        size_t room = sizeof(p->complaint) - p->complaint_size;

        /* What does not fit is read all the same: the program shall not block on it. */
        if (size > room)
                size = room;
        memcpy(p->complaint + p->complaint_size, data, size);
        p->complaint_size += size;
}

/* Reads what is there. Returns whether more may come. */
static bool drain(Program *p, int fd, void (*take)(Program *p, const char *data, size_t size))
{
        char buffer[1024];
        ssize_t n;

        /* A few rounds at a time: one that never stops writing shall not keep the loop. */
        for (unsigned i = 0; i < 16 && !p->too_much; i++) {
                n = read(fd, buffer, sizeof(buffer));
                if (n == 0)
                        return false;
                if (n < 0)
                        return errno == EAGAIN || errno == EINTR;
                take(p, buffer, (size_t)n);
                explicit_bzero(buffer, (size_t)n);
        }
        return true;
}

static int on_output(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        Program *p = userdata;

        if (!drain(p, fd, take_output))
                (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        if (p->too_much)
                finish(p, PROGRAM_TOO_MUCH, 0);
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
        finish(userdata, PROGRAM_TOO_SLOW, 0);
        return 0;
}

static int on_end(sd_event_source *source, const siginfo_t *info, void *userdata)
{
        Program *p = userdata;

        if (!p) {
                /* Killed before. Gives up the reference that floating sources have to themselves. */
                (void)sd_event_source_set_floating(source, false);
                return 0;
        }
        p->pid = 0; /* gone: its number will be anybody's */

        /* What it wrote last still lies in the pipes. Their end is not waited for: a child may hold them. */
        if (p->output_source)
                (void)drain(p, sd_event_source_get_io_fd(p->output_source), take_output);
        (void)drain(p, sd_event_source_get_io_fd(p->complaint_source), take_complaint);
        if (p->too_much)
                finish(p, PROGRAM_TOO_MUCH, 0);
        else
                finish(p, info->si_code == CLD_EXITED ? PROGRAM_EXITED : PROGRAM_SIGNALED, info->si_status);
        return 0;
}

/* --- its start */

static size_t count(const char *const *list)
{
        size_t n = 0;

        while (list && list[n])
                n++;
        return n;
}

static int make_environment(const ProgramSpec *spec, char ***ret)
{
        static const char *const kept_default[] = {"HOME", "LANG", "LC_ALL", "TZ", NULL};
        const char *const *kept = spec->kept ? spec->kept : kept_default;
        _cleanup_(strings_freep) char **environment =
                calloc(count(kept) + count(spec->variables) + 2, sizeof(*environment));
        size_t n = 0;

        if (!environment)
                return -ENOMEM;
        environment[n] = strdup("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        if (!environment[n++])
                return -ENOMEM;
        for (const char *const *name = kept; *name; name++) {
                const char *value = getenv(*name);

                if (!value)
                        continue;
                if (asprintf(&environment[n], "%s=%s", *name, value) < 0) {
                        environment[n] = NULL;
                        return -ENOMEM;
                }
                n++;
        }
        for (const char *const *variable = spec->variables; variable && *variable; variable++, n++) {
                environment[n] = strdup(*variable);
                if (!environment[n])
                        return -ENOMEM;
        }
        *ret = take_ptr(environment);
        return 0;
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
                r = output < 0 ? posix_spawn_file_actions_addopen(files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0)
                               : posix_spawn_file_actions_adddup2(files, output, STDOUT_FILENO);
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
        return sigprocmask(SIG_BLOCK, &set, NULL) < 0 ? -errno : 0;
}

/* A pipe whose reading end, which does not block, is watched; *RET_END is the writing end. */
static int watch_pipe(Program *p, sd_event_io_handler_t handler, sd_event_source **ret, int *ret_end)
{
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        _cleanup_close_ int fd = fds[0];
        *ret_end = fds[1];
        if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        int r = sd_event_add_io(p->event, ret, fd, EPOLLIN, handler, p);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(*ret, "program-pipe");
        r = sd_event_source_set_io_fd_own(*ret, true);
        if (r >= 0)
                (void)take_fd(&fd);
        return r;
}

static int run(Program *p, const ProgramSpec *spec)
{
        _cleanup_close_ int output_end = -1, complaint_end = -1;
        _cleanup_(strings_freep) char **environment = NULL;

        /* posix_spawn() tells, too, but not under every kernel and tool. */
        if (faccessat(AT_FDCWD, spec->argv[0], X_OK, AT_EACCESS) < 0)
                return -errno;
        int r = make_environment(spec, &environment);
        if (r >= 0)
                r = block_sigchld();
        if (r >= 0 && spec->output_max > 0)
                r = watch_pipe(p, on_output, &p->output_source, &output_end);
        if (r >= 0)
                r = watch_pipe(p, on_complaint, &p->complaint_source, &complaint_end);
        if (r >= 0)
                r = sd_event_add_time_relative(p->event, &p->timer_source, CLOCK_BOOTTIME, spec->limit_usec,
                        USEC_PER_SEC / 10, on_timeout, p);
        if (r >= 0)
                r = spawn(spec->argv, environment, output_end, complaint_end, &p->pid);
        if (r < 0)
                return r;
        r = sd_event_add_child(p->event, &p->exit_source, p->pid, WEXITED, on_end, p);
        if (r >= 0)
                (void)sd_event_source_set_description(p->exit_source, "program");
        return r;
}

int program_start(sd_event *event, const ProgramSpec *spec, ProgramDone done, void *userdata, Program **ret)
{
        _cleanup_(program_cancelp) Program *p = calloc(1, sizeof(*p));

        if (!p)
                return -ENOMEM;
        p->event = sd_event_ref(event);
        p->done = done;
        p->userdata = userdata;
        p->output_max = spec->output_max;
        if (secret_new(NULL, 0, &p->output) < 0 || secret_reserve(p->output, spec->output_max) < 0)
                return -ENOMEM;
        if (sd_event_add_defer(event, &p->done_source, on_done, p) < 0 ||
                sd_event_source_set_enabled(p->done_source, SD_EVENT_OFF) < 0)
                return -ENOMEM;
        (void)sd_event_source_set_description(p->done_source, "program-done");

        int r = run(p, spec);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                finish(p, PROGRAM_NOT_RUN, r);
        *ret = take_ptr(p);
        return 0;
}

/* --- its end, in words */

static int show_complaint(const ProgramResult *result, char **ret)
{
        size_t size = result->complaint_size;

        /* Masking knows GitLab's tokens by their look; what was printed as the secret is known for sure. */
        secret_trim(result->output);
        if (secret_size(result->output) >= 4 &&
                memmem(result->complaint, size, secret_data(result->output), secret_size(result->output)))
                size = 0;
        return text_show(result->complaint, size, COMPLAINT_MAX, ret);
}

int program_explain(const ProgramResult *result, const ProgramSpec *spec, const char *name, char **ret)
{
        _cleanup_free_ char *complaint = NULL;
        char span[TIME_SPAN_MAX];
        int n = -1;

        if (show_complaint(result, &complaint) < 0)
                return -ENOMEM;
        const char *colon = *complaint ? ": " : "";
        switch (result->end) {
        case PROGRAM_EXITED:
                n = asprintf(ret, "%s ended with exit status %d%s%s", name, result->status, colon, complaint);
                break;
        case PROGRAM_SIGNALED:
                n = asprintf(ret, "%s was ended by signal %d (%s)%s%s", name, result->status,
                        strsignal(result->status), colon, complaint);
                break;
        case PROGRAM_TOO_SLOW:
                n = asprintf(ret, "%s did not end within %s and was killed", name,
                        time_format_span(spec->limit_usec, span));
                break;
        case PROGRAM_TOO_MUCH:
                n = asprintf(ret, "%s wrote more than %zu bytes and was killed", name, spec->output_max);
                break;
        case PROGRAM_NOT_RUN:
                n = asprintf(ret, "Failed to run %s: %s", name, strerror(-result->status));
                break;
        case _PROGRAM_END_MAX:
                break;
        }
        return n < 0 ? -ENOMEM : 0;
}
