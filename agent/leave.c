#include "agent/leave.h"

#include <string.h>
#include <time.h>

#include "agent/base/time.h"
#include "agent/host/drain.h"
#include "agent/host/systemd.h"
#include "agent/runner-plan.h"

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

        Leaving leaving;

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
        leave->leaving.deadline_usec = USEC_INFINITY;
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
        if (!leave->drainer || leave->leaving.begun || leave->drained ||
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

static void on_guard_reason(void *userdata, StopReason reason)
{
        Leave *leave = userdata;

        leave->guard_query = NULL;
        if (stop_plan(reason, deregister_on_from_config(leave->config->deregister_on)).drain == DRAIN_BOUNDED)
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

static LeavingLimits limits_of(const Leave *leave)
{
        return (LeavingLimits){
                .deregister_on = deregister_on_from_config(leave->config->deregister_on),
                .drain_timeout_usec = leave->config->drain_timeout_usec,
                .stop_timeout_usec = leave->config->stop_timeout_usec,
        };
}

static void on_drained(void *userdata, DrainOutcome outcome, const char *sentence);
static void on_reason(void *userdata, StopReason reason);

static void begin_withdrawal(Leave *leave, const LeavingStep *step)
{
        StopReason reason = leave->leaving.reason;

        log_info(leave->log, NULL, "%s (%s): the runners are %s", leave->leaving.told ? "Stopping" : "Leaving",
                stop_reason_to_string(reason),
                step->plan.withdraw    ? "withdrawn"
                : step->plan.hand_back ? "kept, and handed back to gitlab-runner"
                                       : "kept");
        /* A stop_timeout may be longer than the unit's TimeoutStopSec, which knows nothing of it. */
        if (step->plan.withdraw)
                (void)systemd_extend_timeout(usec_add(usec_sub(step->deadline_usec, boottime()), STOP_TEARDOWN_USEC));
        leave->withdraw(leave->userdata, reason, step->plan, step->deadline_usec);
}

static void begin_drain(Leave *leave, const LeavingStep *step)
{
        if (step->drain.end_usec != USEC_INFINITY)
                (void)systemd_extend_timeout(usec_sub(step->drain.end_usec, boottime()) +
                                             leave->config->stop_timeout_usec + STOP_TEARDOWN_USEC);
        (void)systemd_notify_status("waiting for running jobs to end");
        drainer_begin(leave->drainer, step->drain, on_drained, leave);
}

static void carry_out(Leave *leave, LeavingStep step)
{
        LeavingLimits limits = limits_of(leave);

        if (step.action == LEAVING_DRAIN && need_drainer(leave) < 0)
                step = leaving_drained(&leave->leaving, &limits, boottime());
        switch (step.action) {
        case LEAVING_ASK:
                if (stop_reason_read(leave->event, on_reason, leave, &leave->reason_query) < 0)
                        on_reason(leave, STOP_UNKNOWN);
                break;
        case LEAVING_DRAIN:
                begin_drain(leave, &step);
                break;
        case LEAVING_WITHDRAW:
                begin_withdrawal(leave, &step);
                break;
        case LEAVING_KEEP:
        case _LEAVING_ACTION_MAX:
                break;
        }
}

static void on_drained(void *userdata, DrainOutcome outcome, const char *sentence)
{
        Leave *leave = userdata;
        LeavingLimits limits = limits_of(leave);

        carry_out(leave, leaving_drained(&leave->leaving, &limits, boottime()));
}

static void on_reason(void *userdata, StopReason reason)
{
        Leave *leave = userdata;
        LeavingLimits limits = limits_of(leave);

        leave->reason_query = NULL;
        carry_out(leave, leaving_for(&leave->leaving, reason, &limits, boottime()));
}

void leave_by_signal(Leave *leave)
{
        carry_out(leave, leaving_by_signal(&leave->leaving));
}

void leave_by_notice(Leave *leave, StopReason reason, uint64_t deadline_usec)
{
        LeavingLimits limits = limits_of(leave);
        LeavingStep step = leaving_by_notice(&leave->leaving, reason, deadline_usec, &limits, boottime());

        leave->reason_query = stop_reason_cancel(leave->reason_query);
        carry_out(leave, step);
}

void leave_undo(Leave *leave, void (*done)(void *userdata), void *userdata)
{
        if (leave->drainer)
                drainer_undo(leave->drainer, done, userdata);
        else
                done(userdata);
}

bool leave_by_cancel(Leave *leave)
{
        if (!leaving_by_cancel(&leave->leaving))
                return false;
        leave->reason_query = stop_reason_cancel(leave->reason_query);
        if (leave->drainer) {
                drainer_cancel(leave->drainer);
                drainer_undo(leave->drainer, NULL, NULL);
        }
        return true;
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
        LeavingLimits limits = limits_of(leave);
        int r = need_drainer(leave);

        if (r < 0)
                return r;
        leave->drained = done;
        leave->drained_userdata = userdata;
        drainer_begin(
                leave->drainer, leaving_command_drain(timeout_usec, &limits, boottime()), on_command_drained, leave);
        return 0;
}

void leave_drain_cancel(Leave *leave)
{
        leave->drained = NULL;
}

void leave_drain_undo(Leave *leave)
{
        if (leave->drainer && !leave->leaving.begun)
                drainer_undo(leave->drainer, NULL, NULL);
}

bool leave_may_exit(const Leave *leave)
{
        return leave->leaving.told;
}

bool leave_is_open(const Leave *leave)
{
        return leave->leaving.begun && !leave->leaving.withdrawing;
}
