#include "agent/host/systemd-call.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "agent/base/time.h"
#include "agent/host/systemd-bus.h"

static void close_bus(SystemdCall *call)
{
        call->slot = sd_bus_slot_unref(call->slot);
        call->bus = sd_bus_close_unref(call->bus); /* not flushed: that would wait */
}

static int open_bus(SystemdCall *call)
{
        int r = systemd_bus_open(call->event, call->stage, &call->bus);

        if (r >= 0)
                r = call->begin(call);
        if (r >= 0)
                r = sd_event_source_set_time_relative(call->timer_source, call->patience_usec);
        if (r >= 0)
                r = sd_event_source_set_enabled(call->timer_source, SD_EVENT_ONESHOT);
        return r;
}

static int on_turn(sd_event_source *source, void *userdata)
{
        SystemdCall *call = userdata;

        close_bus(call);
        while (!call->ended && call->stage < SYSTEMD_BUSES) {
                if (open_bus(call) >= 0)
                        return 0;
                close_bus(call);
                call->stage++;
        }
        call->deliver(call); /* takes care of the call: nothing after it */
        return 0;
}

static void request_turn(SystemdCall *call)
{
        (void)sd_event_source_set_enabled(call->timer_source, SD_EVENT_OFF);
        (void)sd_event_source_set_enabled(call->turn_source, SD_EVENT_ONESHOT);
}

void systemd_call_try_next(SystemdCall *call)
{
        if (call->ended)
                return;
        call->stage++;
        request_turn(call);
}

void systemd_call_end(SystemdCall *call, int result)
{
        call->ended = true;
        call->result = result;
        request_turn(call);
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
        systemd_call_try_next(userdata);
        return 0;
}

int systemd_call_new(sd_event *event, const char *unit, uint64_t limit_usec, int result, int (*begin)(SystemdCall *),
        SystemdCall **ret)
{
        _cleanup_(systemd_call_freep) SystemdCall *call = calloc(1, sizeof(*call));

        if (!call)
                return -ENOMEM;
        call->event = sd_event_ref(event);
        call->begin = begin;
        call->ended = !begin;
        call->result = result;
        call->patience_usec = limit_usec / SYSTEMD_BUSES; /* both get half of the time */
        if (unit && !(call->unit = strdup(unit)))
                return -ENOMEM;

        int r = sd_event_add_time(
                event, &call->timer_source, CLOCK_MONOTONIC, USEC_INFINITY, 10 * USEC_PER_MSEC, on_timeout, call);
        if (r >= 0)
                r = sd_event_source_set_enabled(call->timer_source, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_defer(event, &call->turn_source, on_turn, call);
        if (r < 0)
                return -ENOMEM;
        (void)sd_event_source_set_description(call->timer_source, "systemd-timeout");
        (void)sd_event_source_set_description(call->turn_source, "systemd-turn");
        *ret = take_ptr(call);
        return 0;
}

SystemdCall *systemd_call_free(SystemdCall *call)
{
        if (!call)
                return NULL;
        close_bus(call);
        (void)sd_event_source_disable_unref(call->timer_source);
        (void)sd_event_source_disable_unref(call->turn_source);
        (void)sd_event_unref(call->event);
        free(call->unit);
        free(call->path);
        free(call);
        return NULL;
}

int systemd_call_send(SystemdCall *call, const char *path, const char *interface, const char *member,
        sd_bus_message_handler_t handler, const char *types, ...)
{
        va_list args;

        call->slot = sd_bus_slot_unref(call->slot);
        va_start(args, types);
        int r = sd_bus_call_method_asyncv(
                call->bus, &call->slot, SYSTEMD_NAME, path, interface, member, handler, call, types, args);
        va_end(args);
        return r < 0 ? r : 0;
}

int systemd_call_get(SystemdCall *call, const char *interface, const char *property, sd_bus_message_handler_t handler)
{
        return systemd_call_send(call, call->path, SYSTEMD_PROPERTIES, "Get", handler, "ss", interface, property);
}

bool systemd_call_heard(SystemdCall *call, sd_bus_message *reply, const sd_bus_error **ret_error)
{
        const sd_bus_error *error = sd_bus_message_get_error(reply);

        if (systemd_bus_is_silence(error)) {
                systemd_call_try_next(call);
                return false;
        }
        *ret_error = error;
        return !call->ended;
}
