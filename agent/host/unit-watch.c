#include "agent/host/unit-watch.h"

#include <string.h>
#include <time.h>

#include "agent/base/time.h"
#include "agent/core/record.h"
#include "agent/host/systemd-bus.h"

/* What answers within this is alive. */
#define PATIENCE_USEC USEC_PER_SEC

/* Where neither bus is there, as in most containers, it is looked for again now and then: a bus may be restarted. */
#define RETRY_USEC (30 * USEC_PER_SEC)

struct UnitWatch {
        sd_event *event;
        char *unit;
        UnitWatchChanged changed;
        void *userdata;

        unsigned stage; /* which bus; SYSTEMD_BUSES: none */
        sd_bus *bus;
        sd_bus_slot *look_slot, *match_slot, *gone_slot, *subscribe_slot, *action_slot;
        sd_event_source *turn_source; /* closes and opens buses: never inside a bus's own callback */
        sd_event_source *timer_source;
        char *path;
        bool looking, look_again;
        char load_state[32], active_state[32];

        DrainUnit state;
        uint32_t main_pid;
        char *refusal;
};

static void begin_look(UnitWatch *w);

static void close_bus(UnitWatch *w)
{
        w->look_slot = sd_bus_slot_unref(w->look_slot);
        w->match_slot = sd_bus_slot_unref(w->match_slot);
        w->gone_slot = sd_bus_slot_unref(w->gone_slot);
        w->subscribe_slot = sd_bus_slot_unref(w->subscribe_slot);
        w->action_slot = sd_bus_slot_unref(w->action_slot);
        w->bus = sd_bus_close_unref(w->bus); /* not flushed: that would wait */
        w->looking = w->look_again = false;
        free(take_ptr(w->path));
}

UnitWatch *unit_watch_free(UnitWatch *w)
{
        if (!w)
                return NULL;
        close_bus(w);
        (void)sd_event_source_disable_unref(w->turn_source);
        (void)sd_event_source_disable_unref(w->timer_source);
        (void)sd_event_unref(w->event);
        free(w->refusal);
        free(w->unit);
        free(w);
        return NULL;
}

static void set_timer(UnitWatch *w, uint64_t span_usec)
{
        (void)sd_event_source_set_time_relative(w->timer_source, span_usec);
        (void)sd_event_source_set_enabled(w->timer_source, SD_EVENT_ONESHOT);
}

static void publish(UnitWatch *w, DrainUnit state, uint32_t main_pid)
{
        bool same = state == w->state && main_pid == w->main_pid;

        w->state = state;
        w->main_pid = main_pid;
        if (!same)
                w->changed(w->userdata);
}

/* This bus is of no use: the next one, from the loop. */
static void give_up_bus(UnitWatch *w)
{
        w->stage++;
        w->state = DRAIN_UNIT_UNKNOWN;
        (void)sd_event_source_set_enabled(w->turn_source, SD_EVENT_ONESHOT);
}

/* --- looking */

static void end_look(UnitWatch *w, DrainUnit state, uint32_t main_pid)
{
        w->looking = false;
        (void)sd_event_source_set_enabled(w->timer_source, SD_EVENT_OFF);
        if (w->look_again)
                begin_look(w);
        publish(w, state, main_pid);
}

/* To be called first by every handler of a look. False: the bus is of no use, or systemd would not say. */
static bool heard(UnitWatch *w, sd_bus_message *reply)
{
        const sd_bus_error *error = sd_bus_message_get_error(reply);

        if (systemd_bus_is_silence(error)) {
                give_up_bus(w);
                return false;
        }
        if (error)
                end_look(w, DRAIN_UNIT_ABSENT, 0);
        return !error;
}

static void get(UnitWatch *w, const char *interface, const char *property, sd_bus_message_handler_t handler)
{
        w->look_slot = sd_bus_slot_unref(w->look_slot);
        if (sd_bus_call_method_async(w->bus, &w->look_slot, SYSTEMD_NAME, w->path, SYSTEMD_PROPERTIES, "Get", handler,
                    w, "ss", interface, property) < 0)
                give_up_bus(w);
}

static int on_main_pid(sd_bus_message *reply, void *userdata, sd_bus_error *unused)
{
        UnitWatch *w = userdata;
        uint32_t pid = 0;

        if (!heard(w, reply))
                return 0;
        if (sd_bus_message_read(reply, "v", "u", &pid) < 0)
                pid = 0;
        end_look(w, drain_unit_from_states(w->load_state, w->active_state, pid), pid);
        return 0;
}

static void keep(char *buffer, size_t size, const char *text)
{
        size_t n = strnlen(text, size - 1);

        memcpy(buffer, text, n);
        buffer[n] = 0;
}

static int on_active_state(sd_bus_message *reply, void *userdata, sd_bus_error *unused)
{
        UnitWatch *w = userdata;
        const char *state = "";

        if (!heard(w, reply))
                return 0;
        (void)sd_bus_message_read(reply, "v", "s", &state);
        keep(w->active_state, sizeof(w->active_state), state);
        get(w, SYSTEMD_SERVICE_INTERFACE, "MainPID", on_main_pid);
        return 0;
}

static int on_load_state(sd_bus_message *reply, void *userdata, sd_bus_error *unused)
{
        UnitWatch *w = userdata;
        const char *state = "";

        if (!heard(w, reply))
                return 0;
        (void)sd_bus_message_read(reply, "v", "s", &state);
        keep(w->load_state, sizeof(w->load_state), state);
        get(w, SYSTEMD_UNIT_INTERFACE, "ActiveState", on_active_state);
        return 0;
}

static void begin_look(UnitWatch *w)
{
        w->looking = true;
        w->look_again = false;
        set_timer(w, PATIENCE_USEC);
        get(w, SYSTEMD_UNIT_INTERFACE, "LoadState", on_load_state);
}

static int on_signal(sd_bus_message *message, void *userdata, sd_bus_error *unused)
{
        UnitWatch *w = userdata;

        if (w->looking)
                w->look_again = true;
        else
                begin_look(w);
        return 0;
}

static int on_ignored(sd_bus_message *reply, void *userdata, sd_bus_error *unused)
{
        return 0;
}

static int on_unit(sd_bus_message *reply, void *userdata, sd_bus_error *unused)
{
        UnitWatch *w = userdata;
        const char *path;

        if (!heard(w, reply))
                return 0;
        if (sd_bus_message_read(reply, "o", &path) < 0 || replace_string(&w->path, path) < 0) {
                end_look(w, DRAIN_UNIT_ABSENT, 0);
                return 0;
        }
        /* Without the signals there is still the asking; so what becomes of these two is not waited for. */
        (void)sd_bus_match_signal_async(w->bus, &w->match_slot, NULL, w->path, SYSTEMD_PROPERTIES,
                "PropertiesChanged", on_signal, on_ignored, w);
        (void)sd_bus_call_method_async(w->bus, &w->subscribe_slot, SYSTEMD_NAME, SYSTEMD_MANAGER_PATH,
                SYSTEMD_MANAGER_INTERFACE, "Subscribe", on_ignored, w, NULL);
        begin_look(w);
        return 0;
}

static int on_bus_gone(sd_bus_message *message, void *userdata, sd_bus_error *unused)
{
        give_up_bus(userdata);
        return 0;
}

/* --- connecting */

static int open_bus(UnitWatch *w)
{
        int r = systemd_bus_open(w->event, w->stage, &w->bus);

        /* Said by libsystemd itself when the connection ends. */
        if (r >= 0)
                r = sd_bus_match_signal_async(w->bus, &w->gone_slot, NULL, "/org/freedesktop/DBus/Local",
                        "org.freedesktop.DBus.Local", "Disconnected", on_bus_gone, on_ignored, w);
        if (r >= 0)
                /* LoadUnit, as GetUnit knows no unit that is not in use. */
                r = sd_bus_call_method_async(w->bus, &w->look_slot, SYSTEMD_NAME, SYSTEMD_MANAGER_PATH,
                        SYSTEMD_MANAGER_INTERFACE, "LoadUnit", on_unit, w, "s", w->unit);
        if (r < 0)
                return r;
        w->looking = true;
        set_timer(w, PATIENCE_USEC);
        return 0;
}

static int on_turn(sd_event_source *source, void *userdata)
{
        UnitWatch *w = userdata;

        close_bus(w);
        for (; w->stage < SYSTEMD_BUSES; w->stage++) {
                if (open_bus(w) >= 0)
                        return 0;
                close_bus(w);
        }
        set_timer(w, RETRY_USEC);
        publish(w, DRAIN_UNIT_ABSENT, 0);
        return 0;
}

static void connect_anew(UnitWatch *w)
{
        w->stage = 0;
        (void)sd_event_source_set_enabled(w->turn_source, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        UnitWatch *w = userdata;

        if (w->bus)
                give_up_bus(w);
        else
                connect_anew(w);
        return 0;
}

int unit_watch_new(sd_event *event, const char *unit, UnitWatchChanged changed, void *userdata, UnitWatch **ret)
{
        _cleanup_(unit_watch_freep) UnitWatch *w = calloc(1, sizeof(*w));

        if (!w)
                return -ENOMEM;
        w->event = sd_event_ref(event);
        w->changed = changed;
        w->userdata = userdata;
        int r = replace_string(&w->unit, unit);
        if (r >= 0)
                r = sd_event_add_time(
                        event, &w->timer_source, CLOCK_MONOTONIC, USEC_INFINITY, USEC_PER_SEC / 10, on_timer, w);
        if (r >= 0)
                r = sd_event_source_set_enabled(w->timer_source, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_defer(event, &w->turn_source, on_turn, w);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(w->timer_source, "unit-watch-timer");
        (void)sd_event_source_set_description(w->turn_source, "unit-watch-turn");
        *ret = take_ptr(w);
        return 0;
}

const char *unit_watch_name(const UnitWatch *w)
{
        return w->unit;
}

DrainUnit unit_watch_state(const UnitWatch *w, uint32_t *ret_main_pid)
{
        *ret_main_pid = w->main_pid;
        return w->state;
}

void unit_watch_look(UnitWatch *w)
{
        /* That nothing runs is only believed of this moment: not every change comes with a signal. */
        if (w->state != DRAIN_UNIT_RUNNING && w->state != DRAIN_UNIT_ENDING)
                w->state = DRAIN_UNIT_UNKNOWN;
        if (!w->bus)
                connect_anew(w);
        else if (w->looking)
                w->look_again = true;
        else if (w->path)
                begin_look(w);
        else
                connect_anew(w);
}

/* --- acting */

static int on_acted(sd_bus_message *reply, void *userdata, sd_bus_error *unused)
{
        UnitWatch *w = userdata;
        const sd_bus_error *error = sd_bus_message_get_error(reply);

        if (systemd_bus_is_silence(error)) {
                give_up_bus(w);
                return 0;
        }
        /* It was gone before the signal came: no refusal. */
        if (error && !sd_bus_error_has_name(error, "org.freedesktop.systemd1.NoSuchProcess")) {
                (void)replace_string(&w->refusal, error->message ? error->message : error->name);
                w->changed(w->userdata);
        } else
                unit_watch_look(w);
        return 0;
}

static void act(UnitWatch *w, const char *member, const char *types, const char *word, int32_t number)
{
        int r = -ENOTCONN;

        free(take_ptr(w->refusal));
        /* An action before it still has its answer to come: nobody waits for that one any more. */
        w->action_slot = sd_bus_slot_unref(w->action_slot);
        if (w->bus && strcmp(types, "ssi") == 0)
                r = sd_bus_call_method_async(w->bus, &w->action_slot, SYSTEMD_NAME, SYSTEMD_MANAGER_PATH,
                        SYSTEMD_MANAGER_INTERFACE, member, on_acted, w, types, w->unit, word, number);
        else if (w->bus)
                r = sd_bus_call_method_async(w->bus, &w->action_slot, SYSTEMD_NAME, SYSTEMD_MANAGER_PATH,
                        SYSTEMD_MANAGER_INTERFACE, member, on_acted, w, types, w->unit, word);
        if (r < 0)
                unit_watch_look(w);
}

void unit_watch_kill(UnitWatch *w, int number)
{
        act(w, "KillUnit", "ssi", "main", number);
}

void unit_watch_stop(UnitWatch *w)
{
        act(w, "StopUnit", "ss", "replace", 0);
}

void unit_watch_restart(UnitWatch *w)
{
        act(w, "RestartUnit", "ss", "replace", 0);
}

const char *unit_watch_refusal(const UnitWatch *w)
{
        return w->refusal;
}
