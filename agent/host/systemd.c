#include "agent/host/systemd.h"

#include <string.h>
#include <time.h>

#include <systemd/sd-daemon.h>
#include <systemd/sd-login.h>

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

int systemd_unit_read(SystemdUnit *ret)
{
        _cleanup_free_ char *unit = NULL, *user_unit = NULL;

        if (sd_pid_get_unit(0, &unit) == -ENOMEM || sd_pid_get_user_unit(0, &user_unit) == -ENOMEM)
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
