/* The signal to gitlab-runner: which process, is it old enough to bear one, then the signal, each a question to
 * systemd, which alone knows the main process for sure. */

#include <signal.h>
#include <string.h>
#include <time.h>

#include "agent/base/time.h"
#include "agent/host/processes.h"
#include "agent/host/systemd-bus.h"
#include "agent/host/systemd-call.h"

static int on_killed(sd_bus_message *reply, void *userdata, sd_bus_error *unused)
{
        SystemdCall *call = userdata;
        const sd_bus_error *error;

        if (systemd_call_heard(call, reply, &error))
                systemd_call_end(call, error ? TOLD_UNSURE : TOLD_DONE);
        return 0;
}

static int on_start_time(sd_bus_message *reply, void *userdata, sd_bus_error *unused)
{
        SystemdCall *call = userdata;
        const sd_bus_error *error;
        struct timespec now;
        uint64_t started;

        if (!systemd_call_heard(call, reply, &error))
                return 0;
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        uint64_t usec = (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
        if (error || sd_bus_message_read(reply, "v", "t", &started) < 0 ||
                usec_sub(usec, started) < NEIGHBOUR_AGE_USEC)
                systemd_call_end(call, TOLD_UNSURE);
        else if (systemd_call_send(call, SYSTEMD_MANAGER_PATH, SYSTEMD_MANAGER_INTERFACE, "KillUnit", on_killed,
                         "ssi", call->unit, "main", (int32_t)SIGHUP) < 0)
                systemd_call_try_next(call);
        return 0;
}

static int on_main_pid(sd_bus_message *reply, void *userdata, sd_bus_error *unused)
{
        SystemdCall *call = userdata;
        const sd_bus_error *error;
        uint32_t pid;

        if (!systemd_call_heard(call, reply, &error))
                return 0;
        if (error || sd_bus_message_read(reply, "v", "u", &pid) < 0)
                systemd_call_end(call, TOLD_UNSURE);
        else if (pid == 0)
                systemd_call_end(call, TOLD_NOT_RUNNING);
        else if (systemd_call_get(call, SYSTEMD_SERVICE_INTERFACE, "ExecMainStartTimestampMonotonic", on_start_time) <
                 0)
                systemd_call_try_next(call);
        return 0;
}

static int on_active_state(sd_bus_message *reply, void *userdata, sd_bus_error *unused)
{
        SystemdCall *call = userdata;
        const sd_bus_error *error;
        const char *state;

        if (!systemd_call_heard(call, reply, &error))
                return 0;
        if (error || sd_bus_message_read(reply, "v", "s", &state) < 0)
                systemd_call_end(call, TOLD_UNSURE);
        else if (strcmp(state, "inactive") == 0 || strcmp(state, "failed") == 0)
                systemd_call_end(call, TOLD_NOT_RUNNING);
        else if (strcmp(state, "deactivating") == 0)
                /* It takes no more reloads, and a poll of it may still be open. */
                systemd_call_end(call, TOLD_UNSURE);
        else if (systemd_call_get(call, SYSTEMD_SERVICE_INTERFACE, "MainPID", on_main_pid) < 0)
                systemd_call_try_next(call);
        return 0;
}

/* All processes are below the root slice, those of containers, too. */
static int on_processes(sd_bus_message *reply, void *userdata, sd_bus_error *unused)
{
        SystemdCall *call = userdata;
        const sd_bus_error *error;
        const char *command;
        bool runs = false;
        size_t n = 0;

        if (!systemd_call_heard(call, reply, &error))
                return 0;
        int r = error ? -EIO : sd_bus_message_enter_container(reply, 'a', "(sus)");
        while (r >= 0 && !runs && (r = sd_bus_message_read(reply, "(sus)", NULL, NULL, &command)) > 0) {
                runs = processes_may_be_neighbour(command);
                n++;
        }
        /* We are one of them, or the list is not whole. */
        systemd_call_end(call, r < 0 || runs || n == 0 ? TOLD_UNSURE : TOLD_NOT_RUNNING);
        return 0;
}

/* It may run in a container or from a shell, for all systemd knows of units; of processes it knows more than we are
 * shown in our sandbox. */
static void look_for_processes(SystemdCall *call)
{
        if (!processes_outermost())
                systemd_call_end(call, TOLD_UNSURE);
        else if (systemd_call_send(call, SYSTEMD_MANAGER_PATH, SYSTEMD_MANAGER_INTERFACE, "GetUnitProcesses",
                         on_processes, "s", "-.slice") < 0)
                systemd_call_try_next(call);
}

static int on_load_state(sd_bus_message *reply, void *userdata, sd_bus_error *unused)
{
        SystemdCall *call = userdata;
        const sd_bus_error *error;
        const char *state;

        if (!systemd_call_heard(call, reply, &error))
                return 0;
        if (error || sd_bus_message_read(reply, "v", "s", &state) < 0)
                systemd_call_end(call, TOLD_UNSURE);
        else if (strcmp(state, "loaded") != 0)
                look_for_processes(call);
        else if (systemd_call_get(call, SYSTEMD_UNIT_INTERFACE, "ActiveState", on_active_state) < 0)
                systemd_call_try_next(call);
        return 0;
}

static int on_unit(sd_bus_message *reply, void *userdata, sd_bus_error *unused)
{
        SystemdCall *call = userdata;
        const sd_bus_error *error;
        const char *path;

        if (!systemd_call_heard(call, reply, &error))
                return 0;
        if (error || sd_bus_message_read(reply, "o", &path) < 0 || replace_string(&call->path, path) < 0)
                systemd_call_end(call, TOLD_UNSURE);
        else if (systemd_call_get(call, SYSTEMD_UNIT_INTERFACE, "LoadState", on_load_state) < 0)
                systemd_call_try_next(call);
        return 0;
}

/* LoadUnit, as GetUnit knows no unit that is not in use. */
static int begin(SystemdCall *call)
{
        return systemd_call_send(
                call, SYSTEMD_MANAGER_PATH, SYSTEMD_MANAGER_INTERFACE, "LoadUnit", on_unit, "s", call->unit);
}

static void deliver(SystemdCall *call)
{
        NeighbourTellDone done = call->done.told;
        void *userdata = call->userdata;
        Told told = (Told)call->result;

        (void)systemd_call_free(call);
        done(userdata, told);
}

int neighbour_tell(sd_event *event, const char *unit, NeighbourTellDone done, void *userdata, NeighbourTell **ret)
{
        SystemdCall *call;

        int r = systemd_call_new(event, unit, NEIGHBOUR_TELL_USEC, TOLD_UNSURE, begin, &call);
        if (r < 0)
                return r;
        call->deliver = deliver;
        call->done.told = done;
        call->userdata = userdata;
        *ret = call;
        return 0;
}

NeighbourTell *neighbour_tell_cancel(NeighbourTell *tell)
{
        return systemd_call_free(tell);
}
