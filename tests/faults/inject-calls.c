#include "tests/faults/inject-calls.h"

#include <string.h>
#include <sys/syscall.h>

typedef struct Call {
        const char *name;
        CallShape shape;
} Call;

/* Each machine lacks some: the older ones with a path are missing on aarch64. */
static const Call calls[CALLS_MAX] = {
#define CALL(word, of) [SYS_##word] = {#word, of}
        CALL(bind, SHAPE_ADDRESS),
        CALL(brk, SHAPE_OTHER),
        CALL(chdir, SHAPE_PATH),
        CALL(clone, SHAPE_OTHER),
        CALL(clone3, SHAPE_OTHER),
        CALL(close, SHAPE_FD),
        CALL(close_range, SHAPE_OTHER),
        CALL(connect, SHAPE_ADDRESS),
        CALL(dup, SHAPE_FD),
        CALL(dup3, SHAPE_FD),
        CALL(accept4, SHAPE_FD),
        CALL(epoll_create1, SHAPE_OTHER),
        CALL(epoll_ctl, SHAPE_OTHER),
        CALL(epoll_pwait, SHAPE_OTHER),
        CALL(eventfd2, SHAPE_OTHER),
        CALL(execve, SHAPE_PATH),
        CALL(exit, SHAPE_OTHER),
        CALL(exit_group, SHAPE_OTHER),
        CALL(faccessat, SHAPE_AT),
        CALL(fallocate, SHAPE_FD),
        CALL(fchmod, SHAPE_FD),
        CALL(fchmodat, SHAPE_AT),
        CALL(fchown, SHAPE_FD),
        CALL(fcntl, SHAPE_FD),
        CALL(fdatasync, SHAPE_FD),
        CALL(fstat, SHAPE_FD),
        CALL(fsync, SHAPE_FD),
        CALL(ftruncate, SHAPE_FD),
        CALL(futex, SHAPE_OTHER),
        CALL(getcwd, SHAPE_OTHER),
        CALL(getdents64, SHAPE_FD),
        CALL(getegid, SHAPE_OTHER),
        CALL(geteuid, SHAPE_OTHER),
        CALL(getgid, SHAPE_OTHER),
        CALL(getpeername, SHAPE_FD),
        CALL(getpid, SHAPE_OTHER),
        CALL(getrandom, SHAPE_RANDOM),
        CALL(getsockname, SHAPE_FD),
        CALL(getsockopt, SHAPE_FD),
        CALL(gettid, SHAPE_OTHER),
        CALL(getuid, SHAPE_OTHER),
        CALL(inotify_add_watch, SHAPE_OTHER),
        CALL(inotify_init1, SHAPE_OTHER),
        CALL(inotify_rm_watch, SHAPE_OTHER),
        CALL(ioctl, SHAPE_FD),
        CALL(kill, SHAPE_OTHER),
        CALL(listen, SHAPE_FD),
        CALL(lseek, SHAPE_FD),
        CALL(madvise, SHAPE_OTHER),
        CALL(memfd_create, SHAPE_OTHER),
        CALL(mkdirat, SHAPE_AT),
        CALL(mmap, SHAPE_OTHER),
        CALL(mprotect, SHAPE_OTHER),
        CALL(mremap, SHAPE_OTHER),
        CALL(munmap, SHAPE_OTHER),
        CALL(nanosleep, SHAPE_OTHER),
        CALL(clock_nanosleep, SHAPE_OTHER),
        CALL(openat, SHAPE_AT),
        CALL(pidfd_open, SHAPE_OTHER),
        CALL(pidfd_send_signal, SHAPE_FD),
        CALL(pipe2, SHAPE_OTHER),
        CALL(ppoll, SHAPE_OTHER),
        CALL(prctl, SHAPE_OTHER),
        CALL(pread64, SHAPE_TRANSFER),
        CALL(prlimit64, SHAPE_OTHER),
        CALL(pwrite64, SHAPE_TRANSFER),
        CALL(read, SHAPE_TRANSFER),
        CALL(readlinkat, SHAPE_AT),
        CALL(readv, SHAPE_FD),
        CALL(recvfrom, SHAPE_TRANSFER),
        CALL(recvmsg, SHAPE_MESSAGE),
        CALL(renameat, SHAPE_RENAME),
        CALL(rt_sigaction, SHAPE_OTHER),
        CALL(rt_sigprocmask, SHAPE_OTHER),
        CALL(sched_getaffinity, SHAPE_OTHER),
        CALL(sendmsg, SHAPE_MESSAGE),
        CALL(sendto, SHAPE_TRANSFER),
        CALL(setpgid, SHAPE_OTHER),
        CALL(setsockopt, SHAPE_FD),
        CALL(shutdown, SHAPE_FD),
        CALL(signalfd4, SHAPE_OTHER),
        CALL(socket, SHAPE_OTHER),
        CALL(socketpair, SHAPE_OTHER),
        CALL(statfs, SHAPE_PATH),
        CALL(statx, SHAPE_AT),
        CALL(sysinfo, SHAPE_OTHER),
        CALL(timerfd_create, SHAPE_OTHER),
        CALL(timerfd_settime, SHAPE_FD),
        CALL(umask, SHAPE_OTHER),
        CALL(uname, SHAPE_OTHER),
        CALL(unlinkat, SHAPE_AT),
        CALL(utimensat, SHAPE_AT),
        CALL(wait4, SHAPE_OTHER),
        CALL(waitid, SHAPE_OTHER),
        CALL(write, SHAPE_TRANSFER),
        CALL(writev, SHAPE_FD),
#ifdef SYS_newfstatat
        CALL(newfstatat, SHAPE_AT),
#endif
#ifdef SYS_open
        CALL(access, SHAPE_PATH),
        CALL(chmod, SHAPE_PATH),
        CALL(dup2, SHAPE_FD),
        CALL(epoll_wait, SHAPE_OTHER),
        CALL(fork, SHAPE_OTHER),
        CALL(lstat, SHAPE_PATH),
        CALL(mkdir, SHAPE_PATH),
        CALL(open, SHAPE_PATH),
        CALL(pipe, SHAPE_OTHER),
        CALL(poll, SHAPE_OTHER),
        CALL(readlink, SHAPE_PATH),
        CALL(rename, SHAPE_PATH),
        CALL(rmdir, SHAPE_PATH),
        CALL(stat, SHAPE_PATH),
        CALL(unlink, SHAPE_PATH),
        CALL(vfork, SHAPE_OTHER),
#endif
#undef CALL
};

static const Call *find(long nr)
{
        return nr >= 0 && nr < CALLS_MAX ? &calls[nr] : &calls[CALLS_MAX - 1];
}

const char *call_name(long nr)
{
        return find(nr)->name ? find(nr)->name : "call";
}

CallShape call_shape(long nr)
{
        return find(nr)->shape;
}

bool call_is(long nr, const char *name)
{
        return strcmp(call_name(nr), name) == 0;
}
