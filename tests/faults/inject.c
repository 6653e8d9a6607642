/* Runs a program and lists its system calls, or spoils one of them.
 *
 *     inject --report FILE [--from PATH | --on-signal] [--point POINT] PROGRAM [ARGUMENT…]
 *
 * POINT is `[child.]CALL#N=DEED`: the Nth CALL of the program, or of the children it makes until they become another
 * program. DEED is
 *
 *     errno:E    it is not carried out and fails with E      later:E    it is carried out, and fails with E all the
 * same short:N    it transfers N bytes and no more            lasting:E  as errno:E, and so does each CALL from then
 * on kill       the program is killed before it             killed     the program is killed after it
 *
 * Counting begins after the first call about PATH (what comes before is the dynamic loader's), or with the first
 * signal: HUP, INT, TERM and USR1 are passed on. The report is a line for each call listed, or for the one spoilt:
 * `main` or `child`, CALL, N, its result, three arguments, what it is about; its last line is `end exit CODE` or `end
 * signal N`.
 *
 * strace does most of this, but no short transfer, and it decodes every call, which takes longer than the program. */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/faults/inject-calls.h"
#include "tests/faults/inject-tracee.h"

#define TRACEES_MAX 64
#define PEERS_MAX   256 /* descriptors */
#define TEXT_MAX    512

typedef enum Deed {
        DEED_LIST,
        DEED_ERRNO,
        DEED_LATER,
        DEED_LASTING,
        DEED_SHORT,
        DEED_KILL,
        DEED_KILLED,
} Deed;

typedef struct Point {
        Deed deed;
        bool of_child;
        char call[32];
        unsigned long n;
        long value;
} Point;

typedef struct Tracee {
        pid_t pid;
        bool is_child; /* not a thread of the program */
        bool counted;  /* the call under way */
        bool spoilt;
        bool humoured; /* it is told that it was carried out */
        long nr;
        unsigned long n;
        uint64_t args[6];
        uint64_t kept[3]; /* what a short transfer changed */
        char what[TEXT_MAX];
} Tracee;

typedef struct Inject {
        FILE *report;
        const char *from;
        bool on_signal;
        Point point;
        bool counting;
        bool done; /* the point is behind us */
        Tracee tracees[TRACEES_MAX];
        unsigned long counts[2][CALLS_MAX];
        char peers[PEERS_MAX][TEXT_MAX]; /* whom a socket of the program talks to */
} Inject;

/* The signal handler's. */
static volatile sig_atomic_t program, was_signalled;

/* ---- what a call is about ---- */

static void describe_fd(const Inject *inject, pid_t pid, int fd, char *ret, size_t size)
{
        char link[64];

        *ret = 0;
        if (fd < 0)
                return;
        if (fd < PEERS_MAX && inject->peers[fd][0]) {
                (void)snprintf(ret, size, "%s", inject->peers[fd]);
                return;
        }
        (void)snprintf(link, sizeof(link), "/proc/%d/fd/%d", (int)pid, fd);
        ssize_t n = readlink(link, ret, size - 1);
        ret[n > 0 ? n : 0] = 0;
}

static void describe_at(const Inject *inject, pid_t pid, int folder, uint64_t name, char *ret, size_t size)
{
        char text[TEXT_MAX] = "", where[TEXT_MAX] = "";

        if (name)
                tracee_read_text(pid, name, text, sizeof(text));
        if (text[0] != '/' && folder != AT_FDCWD)
                describe_fd(inject, pid, folder, where, sizeof(where));
        (void)snprintf(ret, size, "%.240s%s%.240s", where, where[0] && where[1] && text[0] ? "/" : "", text);
}

static void describe_address(pid_t pid, uint64_t address, uint64_t length, char *ret, size_t size)
{
        union {
                struct sockaddr any;
                struct sockaddr_in in;
                struct sockaddr_un un;
        } a = {};

        *ret = 0;
        if (length > sizeof(a.un) || !tracee_read(pid, address, &a, length))
                return;
        if (a.any.sa_family == AF_UNIX)
                (void)snprintf(ret, size, "%.*s", (int)sizeof(a.un.sun_path), a.un.sun_path);
        else if (a.any.sa_family == AF_INET)
                (void)snprintf(ret, size, "inet:%u", ntohs(a.in.sin_port));
        else
                (void)snprintf(ret, size, "family:%u", a.any.sa_family);
}

static void describe(const Inject *inject, Tracee *tracee)
{
        char *what = tracee->what, to[TEXT_MAX];
        const uint64_t *args = tracee->args;
        size_t used;

        what[0] = 0;
        switch (call_shape(tracee->nr)) {
        case SHAPE_PATH:
                describe_at(inject, tracee->pid, AT_FDCWD, args[0], what, TEXT_MAX);
                break;
        case SHAPE_AT:
                describe_at(inject, tracee->pid, (int)args[0], args[1], what, TEXT_MAX);
                break;
        case SHAPE_RENAME:
                describe_at(inject, tracee->pid, (int)args[0], args[1], what, TEXT_MAX);
                describe_at(inject, tracee->pid, (int)args[2], args[3], to, sizeof(to));
                used = strlen(what);
                (void)snprintf(what + used, TEXT_MAX - used, " -> %.240s", to);
                break;
        case SHAPE_FD:
        case SHAPE_TRANSFER:
        case SHAPE_MESSAGE:
                describe_fd(inject, tracee->pid, (int)args[0], what, TEXT_MAX);
                break;
        case SHAPE_ADDRESS:
                describe_address(tracee->pid, args[1], args[2], what, TEXT_MAX);
                break;
        case SHAPE_RANDOM:
        case SHAPE_OTHER:
                break;
        }
        for (char *c = what; *c; c++)
                if ((unsigned char)*c < ' ')
                        *c = '?';
}

/* Sockets have no names of their own. */
static void remember_peer(Inject *inject, const Tracee *tracee)
{
        int fd = (int)tracee->args[0];

        if (fd < 0 || fd >= PEERS_MAX || tracee->is_child)
                return;
        if (call_is(tracee->nr, "connect"))
                (void)snprintf(inject->peers[fd], TEXT_MAX, "%s", tracee->what);
        else if (call_is(tracee->nr, "close"))
                inject->peers[fd][0] = 0;
}

static void report_call(const Inject *inject, const Tracee *tracee, long result)
{
        const uint64_t *args = tracee->args;

        (void)fprintf(inject->report, "%s\t%s\t%lu\t%ld\t%llx\t%llx\t%llx\t%s\n", tracee->is_child ? "child" : "main",
                call_name(tracee->nr), tracee->n, result, (unsigned long long)args[0], (unsigned long long)args[1],
                (unsigned long long)args[2], tracee->what);
}

/* ---- spoiling ---- */

static bool is_point(const Inject *inject, const Tracee *tracee)
{
        const Point *point = &inject->point;

        if (point->deed == DEED_LIST || point->of_child != tracee->is_child || !call_is(tracee->nr, point->call))
                return false;
        return point->deed == DEED_LASTING ? tracee->n >= point->n : tracee->n == point->n;
}

static uint64_t message_part(const Tracee *tracee, size_t offset)
{
        uint64_t value = 0;

        (void)tracee_read(tracee->pid, tracee->args[1] + offset, &value, sizeof(value));
        return value;
}

/* The kernel itself is asked to transfer less, so nothing gets lost: of a message, a part of its first part. */
static void shorten(Tracee *tracee, uint64_t value)
{
        if (call_shape(tracee->nr) != SHAPE_MESSAGE) {
                unsigned i = call_shape(tracee->nr) == SHAPE_RANDOM ? 1 : 2;

                /* Never more: from run to run a call's number may come to mean another one. */
                if (value < tracee->args[i])
                        tracee_set_argument(tracee->pid, i, value);
                return;
        }
        uint64_t length = 0, part = message_part(tracee, offsetof(struct msghdr, msg_iov));
        (void)tracee_read(tracee->pid, part + offsetof(struct iovec, iov_len), &length, sizeof(length));
        tracee->kept[0] = message_part(tracee, offsetof(struct msghdr, msg_iovlen));
        tracee->kept[1] = part + offsetof(struct iovec, iov_len);
        tracee->kept[2] = length;
        (void)tracee_write_word(tracee->pid, tracee->args[1] + offsetof(struct msghdr, msg_iovlen), 1);
        if (length > value)
                (void)tracee_write_word(tracee->pid, tracee->kept[1], value);
}

/* The program finds its registers and its memory as it left them. */
static void unshorten(const Tracee *tracee)
{
        if (call_shape(tracee->nr) == SHAPE_RANDOM)
                tracee_set_argument(tracee->pid, 1, tracee->args[1]);
        else if (call_shape(tracee->nr) != SHAPE_MESSAGE)
                tracee_set_argument(tracee->pid, 2, tracee->args[2]);
        else {
                (void)tracee_write_word(
                        tracee->pid, tracee->args[1] + offsetof(struct msghdr, msg_iovlen), tracee->kept[0]);
                (void)tracee_write_word(tracee->pid, tracee->kept[1], tracee->kept[2]);
        }
}

/* A program that nobody may look into would keep its paths from a tracer without privileges, too. */
static void humour(Tracee *tracee)
{
        tracee->humoured = geteuid() != 0 && call_is(tracee->nr, "prctl") && tracee->args[0] == PR_SET_DUMPABLE;
        if (tracee->humoured)
                tracee_skip_call(tracee->pid);
}

static void on_entry(Inject *inject, Tracee *tracee, const struct __ptrace_syscall_info *info)
{
        tracee->nr = (long)info->entry.nr;
        for (unsigned i = 0; i < 6; i++)
                tracee->args[i] = info->entry.args[i];
        tracee->counted = tracee->spoilt = tracee->humoured = false;
        if (tracee->nr < 0 || tracee->nr >= CALLS_MAX)
                return;
        if (!inject->counting && inject->from) {
                describe(inject, tracee);
                inject->counting = strcmp(tracee->what, inject->from) == 0;
                return;
        }
        if (!inject->counting && inject->on_signal)
                inject->counting = was_signalled;

        CallShape shape = call_shape(tracee->nr);
        if (inject->counting) {
                tracee->n = ++inject->counts[tracee->is_child][tracee->nr];
                tracee->counted = true;
                tracee->spoilt = is_point(inject, tracee);
        }
        bool told = tracee->spoilt || (tracee->counted && inject->point.deed == DEED_LIST);
        if (told || shape == SHAPE_ADDRESS)
                describe(inject, tracee);
        remember_peer(inject, tracee);
        if (!tracee->spoilt) {
                humour(tracee);
                return;
        }
        if (inject->point.deed != DEED_LASTING || tracee->n == inject->point.n)
                report_call(inject, tracee, 0);
        switch (inject->point.deed) {
        case DEED_ERRNO:
        case DEED_LASTING:
                tracee_skip_call(tracee->pid);
                break;
        case DEED_SHORT:
                shorten(tracee, (uint64_t)inject->point.value);
                break;
        case DEED_KILL:
                (void)kill((pid_t)program, SIGKILL);
                break;
        case DEED_LIST:
        case DEED_LATER:
        case DEED_KILLED:
                break;
        }
}

static void on_exit_of(Inject *inject, Tracee *tracee, const struct __ptrace_syscall_info *info)
{
        if (tracee->counted && inject->point.deed == DEED_LIST)
                report_call(inject, tracee, (long)info->exit.rval);
        tracee->counted = false;
        if (tracee->humoured)
                tracee_set_result(tracee->pid, 0);
        if (!tracee->spoilt)
                return;
        tracee->spoilt = false;
        inject->done = inject->point.deed != DEED_LASTING;
        switch (inject->point.deed) {
        case DEED_ERRNO:
        case DEED_LATER:
        case DEED_LASTING:
                tracee_set_result(tracee->pid, -inject->point.value);
                break;
        case DEED_SHORT:
                unshorten(tracee);
                break;
        case DEED_KILLED:
                (void)kill((pid_t)program, SIGKILL);
                break;
        case DEED_LIST:
        case DEED_KILL:
                break;
        }
}

/* ---- following ---- */

/* A thread of the program counts as the program; what has a group of its own is a child. */
static bool is_of_program(pid_t pid)
{
        char path[64], line[128];
        int group = 0;
        FILE *f;

        if (pid == (pid_t)program)
                return true;
        (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
        f = fopen(path, "re");
        if (!f)
                return false;
        while (group == 0 && fgets(line, sizeof(line), f))
                if (strncmp(line, "Tgid:", 5) == 0)
                        group = atoi(line + 5);
        (void)fclose(f);
        return group == (int)program;
}

/* NULL: more than anybody expects. *RET_NEW: its first stop. */
static Tracee *find_tracee(Inject *inject, pid_t pid, bool *ret_new)
{
        Tracee *free_place = NULL;

        *ret_new = false;
        for (size_t i = 0; i < TRACEES_MAX; i++) {
                if (inject->tracees[i].pid == pid)
                        return &inject->tracees[i];
                if (inject->tracees[i].pid == 0 && !free_place)
                        free_place = &inject->tracees[i];
        }
        if (!free_place)
                return NULL;
        *free_place = (Tracee){.pid = pid, .is_child = !is_of_program(pid)};
        *ret_new = true;
        return free_place;
}

static void finish(const Inject *inject, int status)
{
        if (WIFEXITED(status))
                (void)fprintf(inject->report, "end\texit\t%d\n", WEXITSTATUS(status));
        else
                (void)fprintf(inject->report, "end\tsignal\t%d\n", WTERMSIG(status));
        (void)fclose(inject->report);
        exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

/* One stop, and on. */
static void on_stop(Inject *inject, pid_t pid, int status)
{
        int signal_number = WSTOPSIG(status), event = status >> 16;
        bool is_new;
        Tracee *tracee = find_tracee(inject, pid, &is_new);
        struct __ptrace_syscall_info info = {};

        if (event == PTRACE_EVENT_EXEC && tracee && tracee->is_child) {
                /* Another program now, and none of ours. */
                tracee->pid = 0;
                (void)ptrace(PTRACE_DETACH, pid, NULL, NULL);
                return;
        }
        if (signal_number == (SIGTRAP | 0x80)) {
                if (tracee && ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof(info), &info) > 0) {
                        if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
                                on_entry(inject, tracee, &info);
                        else if (info.op == PTRACE_SYSCALL_INFO_EXIT)
                                on_exit_of(inject, tracee, &info);
                }
                signal_number = 0;
        } else if (event != 0 || (is_new && signal_number == SIGSTOP))
                signal_number = 0;
        /* Nothing is left to do: the rest at full speed, but still under EXITKILL. */
        (void)ptrace(inject->done ? PTRACE_CONT : PTRACE_SYSCALL, pid, NULL, (void *)(uintptr_t)signal_number);
}

static void follow(Inject *inject)
{
        for (;;) {
                int status;
                pid_t pid = waitpid(-1, &status, __WALL);

                if (pid < 0 && errno == EINTR)
                        continue;
                if (pid < 0) {
                        perror("inject: waitpid");
                        exit(125);
                }
                if (WIFSTOPPED(status)) {
                        on_stop(inject, pid, status);
                        continue;
                }
                if (pid == (pid_t)program)
                        finish(inject, status);
                for (size_t i = 0; i < TRACEES_MAX; i++)
                        if (inject->tracees[i].pid == pid)
                                inject->tracees[i].pid = 0;
        }
}

static void pass_on(int number)
{
        int error = errno;

        was_signalled = 1;
        (void)kill((pid_t)program, number);
        errno = error;
}

static void start(char **argv)
{
        static const int signals[] = {SIGHUP, SIGINT, SIGTERM, SIGUSR1};
        struct sigaction action = {.sa_handler = pass_on};
        int status;
        pid_t pid = fork();

        if (pid == 0) {
                if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) >= 0 && raise(SIGSTOP) == 0)
                        (void)execvp(argv[0], argv);
                perror("inject: start");
                _exit(125);
        }
        program = (sig_atomic_t)pid;
        for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
                (void)sigaction(signals[i], &action, NULL);
        long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                       PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL;
        while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        if (pid < 0 || !WIFSTOPPED(status) || ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)options) < 0 ||
                ptrace(PTRACE_SYSCALL, pid, NULL, NULL) < 0) {
                perror("inject: start");
                exit(125);
        }
}

/* ---- the command line ---- */

static bool parse_point(const char *text, Point *ret)
{
        static const struct {
                const char *word;
                Deed deed;
        } deeds[] = {{"errno:", DEED_ERRNO}, {"later:", DEED_LATER}, {"lasting:", DEED_LASTING},
                {"short:", DEED_SHORT}, {"killed", DEED_KILLED}, {"kill", DEED_KILL}};
        char deed[32];

        *ret = (Point){};
        if (strncmp(text, "child.", 6) == 0) {
                ret->of_child = true;
                text += 6;
        }
        if (sscanf(text, "%31[^#]#%lu=%31s", ret->call, &ret->n, deed) != 3)
                return false;
        for (size_t i = 0; i < sizeof(deeds) / sizeof(deeds[0]); i++)
                if (strncmp(deed, deeds[i].word, strlen(deeds[i].word)) == 0) {
                        ret->deed = deeds[i].deed;
                        ret->value = strtol(deed + strlen(deeds[i].word), NULL, 10);
                        return true;
                }
        return false;
}

int main(int argc, char **argv)
{
        static const struct option options[] = {{"report", required_argument, NULL, 'r'},
                {"from", required_argument, NULL, 'f'}, {"on-signal", no_argument, NULL, 's'},
                {"point", required_argument, NULL, 'p'}, {}};
        static Inject inject;
        int option;

        if (!tracee_registers_known) {
                (void)fprintf(stderr, "inject: this machine's registers are not known\n");
                return 124;
        }
        while ((option = getopt_long(argc, argv, "+", options, NULL)) >= 0)
                switch (option) {
                case 'r':
                        inject.report = fopen(optarg, "we");
                        break;
                case 'f':
                        inject.from = optarg;
                        break;
                case 's':
                        inject.on_signal = true;
                        break;
                case 'p':
                        if (parse_point(optarg, &inject.point))
                                break;
                        (void)fprintf(stderr, "inject: no point: %s\n", optarg);
                        return 125;
                default:
                        return 125;
                }
        if (!inject.report || optind >= argc) {
                (void)fprintf(stderr, "inject: --report FILE and a program are needed\n");
                return 125;
        }
        inject.counting = !inject.from && !inject.on_signal;
        start(argv + optind);
        follow(&inject);
}
