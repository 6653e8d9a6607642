#pragma once

/* The ways to systemd, and its names there: the system bus and, where that is away, systemd's own socket. For the
 * other files of this folder. */

#include <stdbool.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#define SYSTEMD_NAME              "org.freedesktop.systemd1"
#define SYSTEMD_MANAGER_PATH      "/org/freedesktop/systemd1"
#define SYSTEMD_MANAGER_INTERFACE "org.freedesktop.systemd1.Manager"
#define SYSTEMD_UNIT_INTERFACE    "org.freedesktop.systemd1.Unit"
#define SYSTEMD_SERVICE_INTERFACE "org.freedesktop.systemd1.Service"
#define SYSTEMD_PROPERTIES        "org.freedesktop.DBus.Properties"

/* How many ways there are. The first is tried first. */
#define SYSTEMD_BUSES 2

/* Begins to connect by way WHICH, below SYSTEMD_BUSES, on EVENT. All of it happens in the background; the negative
 * errno tells only what is wrong at once. *RET is for sd_bus_close_unref(). */
int systemd_bus_open(sd_event *event, unsigned which, sd_bus **ret);

/* Whether ERROR (NULL: none) was said by the bus or by libsystemd about systemd, and not by systemd: then it tells
 * nothing about a unit, and the other way may do. */
bool systemd_bus_is_silence(const sd_bus_error *error);
