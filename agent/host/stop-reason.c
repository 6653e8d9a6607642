/* Why systemd stops us: its job list tells. A way down is one transaction, so while our stop is under way the start
 * of its target stands in the list, too. */

#include <string.h>

#include "agent/base/time.h"
#include "agent/host/systemd-bus.h"
#include "agent/host/systemd-call.h"

/* Thousands of jobs are queued at a shutdown of a large host, never that many. */
#define JOBS_MAX 16384

static bool is_queued(const char *unit, const char *type, const SystemdJob *jobs, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (strcmp(jobs[i].unit, unit) == 0 && strcmp(jobs[i].type, type) == 0)
                        return true;
        return false;
}

StopReason stop_reason_from_jobs(const char *unit, const SystemdJob *jobs, size_t n)
{
        /* Several can't be queued at once; if they were, the one that comes back would count. */
        static const struct {
                const char *target;
                StopReason reason;
        } ways_down[] = {
                {"soft-reboot.target", STOP_SOFT_REBOOT},
                {"kexec.target", STOP_KEXEC},
                {"reboot.target", STOP_REBOOT},
                {"halt.target", STOP_HALT},
                {"poweroff.target", STOP_POWEROFF},
                {"exit.target", STOP_POWEROFF}, /* a container's end */
                /* Some other way down, of a systemd to come: unknown never deletes. */
                {"shutdown.target", STOP_UNKNOWN},
        };

        for (size_t i = 0; i < ELEMENTS(ways_down); i++)
                if (is_queued(ways_down[i].target, "start", jobs, n))
                        return ways_down[i].reason;

        /* A restart is queued as such until the stop is done; a start may wait behind a stop. */
        if (is_queued(unit, "restart", jobs, n) || is_queued(unit, "start", jobs, n))
                return STOP_RESTART;
        if (is_queued(unit, "stop", jobs, n))
                return STOP_SERVICE;
        /* Somebody sent a signal past systemd, or systemd ends us by itself (RuntimeMaxSec=, a watchdog) and starts
         * us again as Restart= says. */
        return STOP_UNKNOWN;
}

static int read_jobs(sd_bus_message *reply, SystemdJob **ret, size_t *ret_n)
{
        _cleanup_free_ SystemdJob *jobs = NULL;
        size_t n = 0, allocated = 0;
        SystemdJob job;

        int r = sd_bus_message_enter_container(reply, 'a', "(usssoo)");
        if (r < 0)
                return r;
        /* The strings stay in the message. */
        while ((r = sd_bus_message_read(reply, "(usssoo)", NULL, &job.unit, &job.type, NULL, NULL, NULL)) > 0) {
                if (n == JOBS_MAX)
                        return -E2BIG;
                if (n == allocated) {
                        allocated = allocated ? allocated * 2 : 64;
                        SystemdJob *more = realloc(jobs, allocated * sizeof(*jobs));
                        if (!more)
                                return -ENOMEM;
                        jobs = more;
                }
                jobs[n++] = job;
        }
        if (r < 0)
                return r;
        *ret = take_ptr(jobs);
        *ret_n = n;
        return 0;
}

static int on_jobs(sd_bus_message *reply, void *userdata, sd_bus_error *unused)
{
        SystemdCall *call = userdata;
        _cleanup_free_ SystemdJob *jobs = NULL;
        const sd_bus_error *error;
        size_t n = 0;

        if (!systemd_call_heard(call, reply, &error))
                return 0;
        if (error || read_jobs(reply, &jobs, &n) < 0)
                systemd_call_end(call, STOP_UNKNOWN);
        else
                systemd_call_end(call, (int)stop_reason_from_jobs(call->unit, jobs, n));
        return 0;
}

static int begin(SystemdCall *call)
{
        return systemd_call_send(call, SYSTEMD_MANAGER_PATH, SYSTEMD_MANAGER_INTERFACE, "ListJobs", on_jobs, NULL);
}

static void deliver(SystemdCall *call)
{
        StopReasonDone done = call->done.reason;
        void *userdata = call->userdata;
        StopReason reason = (StopReason)call->result;

        (void)systemd_call_free(call);
        done(userdata, reason);
}

int stop_reason_read_for(
        sd_event *event, const SystemdUnit *unit, StopReasonDone done, void *userdata, StopReasonQuery **ret)
{
        bool can_ask = unit->started && unit->name;
        SystemdCall *call;

        int r = systemd_call_new(event, unit->name, STOP_REASON_USEC, unit->started ? STOP_UNKNOWN : STOP_SIGNAL,
                can_ask ? begin : NULL, &call);
        if (r < 0)
                return r;
        call->deliver = deliver;
        call->done.reason = done;
        call->userdata = userdata;
        *ret = call;
        return 0;
}

int stop_reason_read(sd_event *event, StopReasonDone done, void *userdata, StopReasonQuery **ret)
{
        SystemdUnit unit = {0};

        int r = systemd_unit_read(&unit);
        if (r < 0)
                return r;
        r = stop_reason_read_for(event, &unit, done, userdata, ret);
        systemd_unit_done(&unit);
        return r;
}

StopReasonQuery *stop_reason_cancel(StopReasonQuery *query)
{
        return systemd_call_free(query);
}
