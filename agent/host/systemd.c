#include "agent/host/systemd.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>
#include <systemd/sd-login.h>

/* A path, and the names of a hierarchy's controllers. */
#define GROUP_LINE_MAX 8192

int systemd_notify_ready(void)
{
        return sd_notify(0, "READY=1");
}

int systemd_notify_status(const char *status)
{
        return sd_notifyf(0, "STATUS=%s", status);
}

int systemd_notify_stopping(void)
{
        return sd_notify(0, "STOPPING=1");
}

int systemd_notify_reloading(void)
{
        struct timespec now;

        /* Type=notify-reload tells by it which of two reloads this is. */
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
                (unsigned long long)now.tv_sec * USEC_PER_SEC + (unsigned long long)now.tv_nsec / 1000);
}

int systemd_extend_timeout(uint64_t usec)
{
        return sd_notifyf(0, "EXTEND_TIMEOUT_USEC=%llu", (unsigned long long)usec);
}

static bool is_service(const char *unit)
{
        size_t size = unit ? strlen(unit) : 0;
        const char suffix[] = ".service";

        return size > strlen(suffix) && strcmp(unit + size - strlen(suffix), suffix) == 0;
}

/* The manager of a user's units is a service of the system's, and all that user's programs are inside it. */
static bool is_user_manager(const char *unit)
{
        return strncmp(unit, "user@", 5) == 0;
}

bool systemd_unit_is_service(bool notify_socket, bool invocation_id, const char *unit, const char *user_unit)
{
        /* Shells inherit INVOCATION_ID from the desktop that a user's systemd started; those are not services of
         * ours. Where the control group can't be told (some containers), NOTIFY_SOCKET must do. */
        if (!unit)
                return notify_socket;
        if (is_user_manager(unit))
                return notify_socket && is_service(user_unit);
        return (notify_socket || invocation_id) && is_service(unit);
}

/* The path of our control group in the hierarchy that systemd keeps: `0::/…`, or `N:name=systemd:/…`. */
static const char *group_of(char *line)
{
        char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;

        if (!path)
                return NULL;
        *path = 0;
        line[strcspn(line, "\n")] = 0;
        path[1 + strcspn(path + 1, "\n")] = 0;
        return controllers[1] == 0 || strcmp(controllers + 1, "name=systemd") == 0 ? path + 1 : NULL;
}

int systemd_unit_from_group(const char *path, char **ret_unit, char **ret_user_unit)
{
        _cleanup_free_ char *copy = strdup(path), *unit = NULL, *manager = NULL;
        char *rest = NULL;

        if (!copy)
                return -ENOMEM;
        /* The innermost service is the one; what is around it is the container that we are in, if any. */
        for (char *part = strtok_r(copy, "/", &rest); part; part = strtok_r(NULL, "/", &rest))
                if (is_service(part) && replace_string(is_user_manager(part) ? &manager : &unit, part) < 0)
                        return -ENOMEM;
        *ret_user_unit = manager ? take_ptr(unit) : NULL;
        *ret_unit = manager ? take_ptr(manager) : take_ptr(unit);
        return 0;
}

/* Without asking what sd_pid_get_unit() asks first: the group of process 1, which a sandbox may hide (ProtectProc=,
 * and for users other than root already as `invisible`). */
static int read_own_group(char **ret_unit, char **ret_user_unit)
{
        FILE *file = fopen("/proc/self/cgroup", "re");
        char line[GROUP_LINE_MAX];
        int r = 0;

        if (!file)
                return 0;
        while (!*ret_unit && r >= 0 && fgets(line, sizeof(line), file)) {
                const char *path = group_of(line);

                if (path)
                        r = systemd_unit_from_group(path, ret_unit, ret_user_unit);
        }
        (void)fclose(file);
        return r;
}

int systemd_unit_read(SystemdUnit *ret)
{
        _cleanup_free_ char *unit = NULL, *user_unit = NULL;

        if (sd_pid_get_unit(0, &unit) == -ENOMEM || sd_pid_get_user_unit(0, &user_unit) == -ENOMEM)
                return -ENOMEM;
        if (!unit && access("/proc/1/cgroup", F_OK) < 0 && read_own_group(&unit, &user_unit) < 0)
                return -ENOMEM;
        bool started = systemd_unit_is_service(getenv("NOTIFY_SOCKET"), getenv("INVOCATION_ID"), unit, user_unit);

        *ret = (SystemdUnit){.started = started};
        if (started && unit && !is_user_manager(unit))
                ret->name = take_ptr(unit);
        return 0;
}

void systemd_unit_done(SystemdUnit *unit)
{
        free(unit->name);
        *unit = (SystemdUnit){0};
}
