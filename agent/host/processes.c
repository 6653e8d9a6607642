#include "agent/host/processes.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/base/cleanup.h"

/* The inode of the first PID namespace (PROC_PID_INIT_INO of include/linux/proc_ns.h): from there all others are
 * seen. */
#define FIRST_PID_NAMESPACE 0xEFFFFFFCU

static void closedirp(DIR **folder)
{
        if (*folder)
                (void)closedir(*folder);
}

static bool read_name(int proc, const char *pid, char name[static 17])
{
        char path[64];

        if (snprintf(path, sizeof(path), "%.20s/comm", pid) < 0)
                return false;
        _cleanup_close_ int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, name, 16);
        if (n <= 0)
                return false;
        name[n] = 0;
        return true;
}

bool processes_outermost(void)
{
        struct stat st;

        return stat("/proc/self/ns/pid", &st) >= 0 && st.st_ino == FIRST_PID_NAMESPACE;
}

bool processes_may_be_neighbour(const char *command)
{
        return strstr(command, "gitlab-runner") || strstr(command, "gitlab-ci-multi-runner");
}

static bool sees_all(int proc)
{
        char name[17];

        if (!processes_outermost())
                return false;
        /* With hidepid= (ProtectProc=) the first process is among those that are not shown. */
        return read_name(proc, "1", name);
}

bool processes_lack_neighbour(void)
{
        _cleanup_(closedirp) DIR *folder = opendir("/proc");
        const struct dirent *entry;
        char name[17];

        if (!folder || !sees_all(dirfd(folder)))
                return false;
        while ((entry = readdir(folder)))
                /* Its older names, such as gitlab-ci-multi-runner, begin alike; another gitlab-… costs a few seconds.
                 */
                if (isdigit((unsigned char)entry->d_name[0]) && read_name(dirfd(folder), entry->d_name, name) &&
                        strncmp(name, "gitlab-", 7) == 0)
                        return false;
        return true;
}
