#include "agent/host/systemd-bus.h"

#include <unistd.h>

#include "agent/base/cleanup.h"

#define PRIVATE_SOCKET  "/run/systemd/private"
#define PRIVATE_ADDRESS "unix:path=" PRIVATE_SOCKET

static int open_private(sd_bus **ret)
{
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;

        if (geteuid() != 0 || access(PRIVATE_SOCKET, F_OK) < 0)
                return -ENOENT;
        int r = sd_bus_new(&bus);
        if (r >= 0)
                r = sd_bus_set_address(bus, PRIVATE_ADDRESS);
        if (r >= 0)
                r = sd_bus_start(bus);
        if (r >= 0)
                *ret = take_ptr(bus);
        return r;
}

int systemd_bus_open(sd_event *event, unsigned which, sd_bus **ret)
{
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        int r = which == 0 ? sd_bus_open_system(&bus) : open_private(&bus);

        if (r >= 0)
                r = sd_bus_attach_event(bus, event, SD_EVENT_PRIORITY_NORMAL);
        if (r < 0)
                return r;
        *ret = take_ptr(bus);
        return 0;
}

bool systemd_bus_is_silence(const sd_bus_error *error)
{
        static const char *const names[] = {
                SD_BUS_ERROR_NO_REPLY,
                SD_BUS_ERROR_TIMEOUT,
                SD_BUS_ERROR_DISCONNECTED,
                SD_BUS_ERROR_NO_SERVER,
                SD_BUS_ERROR_IO_ERROR,
                SD_BUS_ERROR_SERVICE_UNKNOWN,
                SD_BUS_ERROR_NAME_HAS_NO_OWNER,
                SD_BUS_ERROR_LIMITS_EXCEEDED,
                "org.freedesktop.DBus.Error.Spawn.ChildExited",
                "org.freedesktop.DBus.Error.Spawn.Failed",
        };

        for (size_t i = 0; error && i < ELEMENTS(names); i++)
                if (sd_bus_error_has_name(error, names[i]))
                        return true;
        return false;
}
