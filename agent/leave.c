#include "agent/leave.h"

#include <string.h>
#include <time.h>

#include "agent/base/time.h"
#include "agent/host/drain.h"
#include "agent/host/systemd.h"
#include "agent/runner-plan.h"

/* What a stop that withdraws nothing may take: the grace of calls that must not be cut. */
#define STOP_QUICK_USEC (900 * USEC_PER_MSEC)

/* What comes after the last runner has stopped: files, connections, a program of `exec:` that is ended. */
#define STOP_TEARDOWN_USEC (10 * USEC_PER_SEC)

struct Leave {
        sd_event *event;
        Log *log;
        const Config *config;
        LeaveWithdraw withdraw;
        void *userdata;

        Drainer *drainer; /* NULL: not needed yet */
        StopReasonQuery *reason_query;
        StopReasonQuery *guard_query; /* systemd stops gitlab-runner: is it the way down? */

        bool leaving; /* a reason is known, or asked for */
        bool told;    /* by a signal: the process ends when all is done */
        bool withdrawing;
        StopReason reason;
        uint64_t deadline_usec;

        LeaveDrained drained; /* of a command */
        void *drained_userdata;
};

static uint64_t boottime(void)
{
        Now now;

        now_read(&now);
        return now.boottime_usec;
}

int leave_new(sd_event *event, Log *log, const Config *config, LeaveWithdraw withdraw, void *userdata, Leave **ret)
{
        Leave *leave = calloc(1, sizeof(*leave));

        if (!leave)
                return -ENOMEM;
        leave->event = sd_event_ref(event);
        leave->log = log;
        leave->config = config;
        leave->withdraw = withdraw;
        leave->userdata = userdata;
        leave->deadline_usec = USEC_INFINITY;
        *ret = leave;
        return 0;
}

Leave *leave_free(Leave *leave)
{
        if (!leave)
                return NULL;
        (void)stop_reason_cancel(leave->reason_query);
        (void)stop_reason_cancel(leave->guard_query);
        (void)drainer_free(leave->drainer);
        (void)sd_event_unref(leave->event);
        free(leave);
        return NULL;
}

void leave_configure(Leave *leave, const Config *config)
{
        leave->config = config;
        if (!leave->drainer || leave->leaving || leave->drained ||
                strcmp(drainer_unit(leave->drainer), config->drain_unit) == 0)
                return;
        leave->guard_query = stop_reason_cancel(leave->guard_query);
        leave->drainer = drainer_free(leave->drainer);
        if (leave_watch(leave) < 0)
                log_warning(leave->log, NULL, "'%s' is not watched: %s", config->drain_unit, strerror(ENOMEM));
}

static int need_drainer(Leave *leave)
{
        return leave->drainer ? 0 : drainer_new(leave->event, leave->log, leave->config->drain_unit, &leave->drainer);
}

/* --- gitlab-runner is stopped before us on the way down */

static StopPlan plan_of(const Leave *leave, StopReason reason)
{
        return stop_plan(reason, deregister_on_from_config(leave->config->deregister_on));
}

static void on_guard_reason(void *userdata, StopReason reason)
{
        Leave *leave = userdata;

        leave->guard_query = NULL;
        if (plan_of(leave, reason).drain == DRAIN_BOUNDED)
                drainer_bound(leave->drainer, leave->config->drain_timeout_usec);
}

static void on_unit_stopping(void *userdata)
{
        Leave *leave = userdata;

        if (!leave->guard_query)
                (void)stop_reason_read(leave->event, on_guard_reason, leave, &leave->guard_query);
}

int leave_watch(Leave *leave)
{
        int r = need_drainer(leave);

        if (r >= 0)
                drainer_watch(leave->drainer, on_unit_stopping, leave);
        return r;
}

/* --- leaving */

static void begin_withdrawal(Leave *leave)
{
        StopPlan plan = plan_of(leave, leave->reason);
        uint64_t now = boottime();
        uint64_t span = plan.withdraw ? leave->config->stop_timeout_usec : STOP_QUICK_USEC;
        uint64_t deadline =
                drain_withdraw_until(now, leave->deadline_usec ? leave->deadline_usec : USEC_INFINITY, span);

        leave->withdrawing = true;
        log_info(leave->log, NULL, "%s (%s): the runners are %s", leave->told ? "Stopping" : "Leaving",
                stop_reason_to_string(leave->reason),
                plan.withdraw    ? "withdrawn"
                : plan.hand_back ? "kept, and handed back to gitlab-runner"
                                 : "kept");
        /* A stop_timeout may be longer than the unit's TimeoutStopSec, which knows nothing of it. */
        if (plan.withdraw)
                (void)systemd_extend_timeout(usec_add(usec_sub(deadline, now), STOP_TEARDOWN_USEC));
        leave->withdraw(leave->userdata, leave->reason, plan, deadline);
}

static void on_drained(void *userdata, DrainOutcome outcome, const char *sentence)
{
        begin_withdrawal(userdata);
}

static uint64_t limit_of(const Leave *leave, Drain drain)
{
        switch (drain) {
        case DRAIN_ASKED:
        case DRAIN_BOUNDED:
        case DRAIN_NO:
        case _DRAIN_MAX:
                break;
        case DRAIN_HOOK:
        case DRAIN_DEADLINE:
                if (leave->deadline_usec != 0)
                        return USEC_INFINITY;
                break;
        }
        return leave->config->drain_timeout_usec;
}

static void begin_drain(Leave *leave)
{
        StopPlan plan = plan_of(leave, leave->reason);
        uint64_t now = boottime();
        uint64_t deadline = leave->deadline_usec ? leave->deadline_usec : USEC_INFINITY;
        DrainTimes times = drain_budget(now, limit_of(leave, plan.drain), deadline, leave->config->stop_timeout_usec);

        if (plan.drain == DRAIN_NO || need_drainer(leave) < 0) {
                begin_withdrawal(leave);
                return;
        }
        if (times.end_usec != USEC_INFINITY)
                (void)systemd_extend_timeout(
                        usec_sub(times.end_usec, now) + leave->config->stop_timeout_usec + STOP_TEARDOWN_USEC);
        (void)systemd_notify_status("waiting for running jobs to end");
        drainer_begin(leave->drainer, times, on_drained, leave);
}

static void on_reason(void *userdata, StopReason reason)
{
        Leave *leave = userdata;

        leave->reason_query = NULL;
        leave->reason = reason;
        begin_drain(leave);
}

void leave_by_signal(Leave *leave)
{
        leave->told = true;
        /* Whatever it is now: the cloud's notice came first, and takes no less. */
        if (leave->leaving)
                return;
        leave->leaving = true;
        if (stop_reason_read(leave->event, on_reason, leave, &leave->reason_query) < 0)
                on_reason(leave, STOP_UNKNOWN);
}

static uint64_t nearer(uint64_t a, uint64_t b)
{
        /* 0 is a deadline that can't be known: any other says more, but for "when we say so". */
        if (a == 0 || b == 0)
                return a == USEC_INFINITY || b == USEC_INFINITY ? 0 : a + b;
        return a < b ? a : b;
}

void leave_by_notice(Leave *leave, StopReason reason, uint64_t deadline_usec)
{
        bool first = !leave->leaving || leave->reason_query;

        leave->deadline_usec = nearer(leave->deadline_usec, deadline_usec);
        if (leave->withdrawing)
                return;
        leave->reason_query = stop_reason_cancel(leave->reason_query);
        if (first || reason == STOP_PREEMPTION)
                leave->reason = reason;
        leave->leaving = true;
        begin_drain(leave);
}

/* --- for a command */

static void on_command_drained(void *userdata, DrainOutcome outcome, const char *sentence)
{
        Leave *leave = userdata;
        LeaveDrained done = leave->drained;

        leave->drained = NULL;
        if (done)
                done(leave->drained_userdata, sentence);
}

int leave_drain(Leave *leave, uint64_t timeout_usec, LeaveDrained done, void *userdata)
{
        uint64_t now = boottime();
        int r = need_drainer(leave);

        if (r < 0)
                return r;
        leave->drained = done;
        leave->drained_userdata = userdata;
        drainer_begin(leave->drainer,
                drain_budget(now, timeout_usec == USEC_INFINITY ? leave->config->drain_timeout_usec : USEC_INFINITY,
                        usec_add(now, timeout_usec), leave->config->stop_timeout_usec),
                on_command_drained, leave);
        return 0;
}

void leave_drain_cancel(Leave *leave)
{
        leave->drained = NULL;
}

void leave_drain_undo(Leave *leave)
{
        if (leave->drainer && !leave->leaving)
                drainer_undo(leave->drainer);
}

bool leave_may_exit(const Leave *leave)
{
        return leave->told;
}

bool leave_is_open(const Leave *leave)
{
        return leave->leaving && !leave->withdrawing;
}
