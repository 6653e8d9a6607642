/* How a host's agent leaves, as agent/leave.c and agent/host/drain.c carry it out: stops, notices of the cloud, and
 * gitlab-runner's last jobs. */

#include <string.h>

#include "tests/simulation/carry.h"
#include "tests/simulation/check.h"
#include "tests/simulation/host-parts.h"
#include "tests/simulation/must.h"

#define DRAIN_TIMEOUT_USEC (10 * USEC_PER_MINUTE)

/* A step of the drain is made a moment after it was asked for. */
#define SLACK_USEC (USEC_PER_SEC / 2)

static LeavingLimits limits_of(const Host *host)
{
        return (LeavingLimits){
                .deregister_on = host->deregister_on,
                .drain_timeout_usec = DRAIN_TIMEOUT_USEC,
                .stop_timeout_usec = host->stop_timeout_usec,
        };
}

static uint64_t least(uint64_t a, uint64_t b)
{
        return a < b ? a : b;
}

static uint64_t boottime(const Host *host)
{
        return sim_clock_now(&host->clock).boottime_usec;
}

void leave_reset(Host *host)
{
        host->leaving = (Leaving){.deadline_usec = USEC_INFINITY};
        host->draining = host->drained_for_command = false;
        host->drain_generation++;
}

/* ---- the end ---- */

static void stopped(Host *host)
{
        World *world = host->world;
        After after = host->after;
        bool withdrawn = host->withdrawn_wanted;

        check_stopped(host, withdrawn);
        agent_close(host);
        switch (after) {
        case AFTER_NOTHING:
                host_start_agent_later(host, world_span(world, 3 * USEC_PER_HOUR));
                if (world_has(world, FAULT_PASS))
                        world_later(world, world_span(world, 20 * USEC_PER_MINUTE),
                                (SimEvent){.kind = SIM_PASS, .host = host->index});
                break;
        case AFTER_START:
                host_start_agent_later(host, world_below(world, 3 * USEC_PER_SEC));
                break;
        case AFTER_BOOT:
                host_go_down(host, false);
                world_later(
                        world, 30 * USEC_PER_SEC, (SimEvent){.kind = SIM_HOST, .host = host->index, .runner = -1});
                break;
        case AFTER_OFF:
                host_go_down(host, false);
                world_later(world, world_span(world, 12 * USEC_PER_HOUR),
                        (SimEvent){.kind = SIM_HOST, .host = host->index, .runner = -1});
                break;
        case AFTER_GONE:
                host_go_down(host, false);
                host->gone = true;
                break;
        }
}

void leave_progress(Host *host)
{
        if (!host->agent || !host->stopping || !host->leaving.withdrawing)
                return;
        for (size_t i = 0; i < host->n_runners; i++)
                if (host->runners[i].lifecycle && !host->runners[i].stopped)
                        return;
        stopped(host);
}

static void overdue_after(Host *host, uint64_t span_usec)
{
        world_later(host->world, span_usec,
                (SimEvent){.kind = SIM_OVERDUE, .host = host->index, .generation = host->start_generation});
}

/* What was there when it began is to be gone when it ends. */
static void withdraw(Host *host, const LeavingStep *step)
{
        World *world = host->world;
        const Event stop = {
                .kind = EVENT_STOP,
                .now = sim_clock_now(&host->clock),
                .stop = step->plan,
                .deadline_usec = step->deadline_usec,
        };

        world_trace(world, host->index, "%s", step->plan.withdraw ? "withdraws" : "stops");
        if (step->plan.withdraw)
                want_withdrawal(host, -1);
        host->withdrawn_wanted = step->plan.withdraw;
        host->healthy_since_stop = world->gitlab->weather == WEATHER_FAIR;
        overdue_after(host, usec_sub(step->deadline_usec, stop.now.boottime_usec) + USEC_PER_SEC / 10);
        for (size_t i = 0; i < host->n_runners && host->agent; i++) {
                HostRunner *runner = &host->runners[i];

                runner->stop_token[0] = 0;
                if (!runner->lifecycle)
                        continue;
                /* Who goes tries once more, whatever was told. */
                runner->commanded = true;
                const Record *record = lifecycle_record(runner->lifecycle);
                (void)snprintf(runner->stop_token, TOKEN_MAX, "%s", record->token ? secret_data(record->token) : "");
                Event event = stop;
                carry_advance(runner, &event);
        }
}

/* ---- gitlab-runner's last jobs ---- */

static void carry_out(Host *host, LeavingStep step);

static DrainUnit unit_state(const Host *host)
{
        const GitLabRunner *neighbour = &host->neighbour;

        if (!neighbour->runs)
                return neighbour->restarts ? DRAIN_UNIT_WAITING : DRAIN_UNIT_STOPPED;
        return neighbour->ends_with_host ? DRAIN_UNIT_ENDING : DRAIN_UNIT_RUNNING;
}

static void drained(Host *host, DrainOutcome outcome)
{
        LeavingLimits limits = limits_of(host);

        host->draining = false;
        world_trace(host->world, host->index, "drain: %s", drain_outcome_to_string(outcome));
        if (host->drained_for_command) {
                host->drained_for_command = false;
                host_command(host, COMMAND_DEREGISTER);
        } else
                carry_out(host, leaving_drained(&host->leaving, &limits, boottime(host)));
}

/* In two seconds, as the agent does; nothing comes of that before the job ends, which is looked at then. */
static void look_again(Host *host, uint64_t until_usec, uint64_t now_usec)
{
        const DrainTimes *times = &host->drain.times;
        uint64_t at = least(until_usec, now_usec + 2 * USEC_PER_SEC);

        if (host->neighbour.runs && host->neighbour.job_end_usec > host->world->now_usec)
                at = times->cut_usec > now_usec ? times->cut_usec : at;
        host->drain_generation++;
        if (at != USEC_INFINITY)
                world_later(host->world, usec_sub(at, now_usec) + 1,
                        (SimEvent){.kind = SIM_DRAIN, .host = host->index, .generation = host->drain_generation});
}

/* Every step that is due; then it is looked at again. */
static void drain_go(Host *host)
{
        DrainOutcome outcome;
        uint64_t until = USEC_INFINITY;

        for (;;) {
                uint64_t now = boottime(host);

                switch (drain_step(
                        &host->drain, unit_state(host), host->neighbour.runs ? 1000 : 0, now, &until, &outcome)) {
                case DRAIN_ACTION_WAIT:
                        look_again(host, until, now);
                        return;
                case DRAIN_ACTION_QUIT:
                        neighbour_quit(host);
                        break;
                case DRAIN_ACTION_TERMINATE:
                        check_job_cut(host);
                        neighbour_abort(host);
                        break;
                case DRAIN_ACTION_STOP_UNIT:
                        host->neighbour.restarts = false;
                        break;
                case DRAIN_ACTION_END:
                        drained(host, outcome);
                        return;
                case _DRAIN_ACTION_MAX:
                        return;
                }
        }
}

void leave_drain(Host *host, const SimEvent *event)
{
        if (event->generation == host->drain_generation && host->agent && host->draining)
                drain_go(host);
}

void leave_job_done(Host *host)
{
        neighbour_job_done(host);
        if (host->agent && host->draining)
                drain_go(host);
}

static void begin_drain(Host *host, DrainTimes times)
{
        if (host->world->mutation == MUTATION_DRAIN_UNBOUND)
                times = (DrainTimes){.cut_usec = USEC_INFINITY, .end_usec = USEC_INFINITY};
        drain_bind(&host->drain, host->draining, times);
        host->draining = true;
        drain_go(host);
}

static void carry_out(Host *host, LeavingStep step)
{
        switch (step.action) {
        case LEAVING_DRAIN:
                if (!(host->world->faults & 1U << FAULT_DRAIN)) {
                        LeavingLimits limits = limits_of(host);

                        carry_out(host, leaving_drained(&host->leaving, &limits, boottime(host)));
                        break;
                }
                world_trace(host->world, host->index, "drains");
                begin_drain(host, step.drain);
                break;
        case LEAVING_WITHDRAW:
                withdraw(host, &step);
                leave_progress(host);
                break;
        case LEAVING_KEEP:
        case LEAVING_ASK:
        case _LEAVING_ACTION_MAX:
                break;
        }
}

/* ---- reasons to go ---- */

void host_stop(Host *host, StopReason reason, DeregisterOn deregister_on, uint64_t timeout_usec, After after)
{
        World *world = host->world;
        StopPlan plan = stop_plan(reason, deregister_on);

        if (!host->agent || host->once)
                return;
        LeavingStep step = leaving_by_signal(&host->leaving);
        if (step.action != LEAVING_ASK)
                return;
        world_disturb(world, "host %d: stop (%s)%s", host->index, stop_reason_to_string(reason),
                plan.withdraw    ? ", withdrawing"
                : plan.hand_back ? ", handing back"
                                 : "");
        host->deregister_on = deregister_on;
        host->stop_timeout_usec = timeout_usec;
        host->stopping = true;
        host->drained_for_command = false;
        host->after = after;
        /* The whole of it, by the words of the documentation: drain_timeout, what aborting takes, stop_timeout. */
        if (plan.drain != DRAIN_NO)
                overdue_after(host, DRAIN_TIMEOUT_USEC + DRAIN_ABORT_USEC + timeout_usec + SLACK_USEC);
        host->may_cut_usec = least(host->draining ? host->may_cut_usec : USEC_INFINITY,
                plan.drain == DRAIN_NO ? USEC_INFINITY : world->now_usec + DRAIN_TIMEOUT_USEC);
        host->neighbour.ends_with_host = plan.drain == DRAIN_BOUNDED;
        if (plan.drain == DRAIN_BOUNDED && world_has(world, FAULT_DRAIN))
                neighbour_quit(host);
        LeavingLimits limits = limits_of(host);
        carry_out(host, leaving_for(&host->leaving, reason, &limits, boottime(host)));
}

static void heed_notice(Host *host, StopReason reason, uint64_t span_usec)
{
        World *world = host->world;
        bool dated = span_usec != 0 && span_usec != USEC_INFINITY;

        host->drained_for_command = false;
        world_disturb(world, "host %d: the cloud's notice: %s, %llu s", host->index, stop_reason_to_string(reason),
                dated ? (unsigned long long)(span_usec / USEC_PER_SEC) : 0ULL);
        host->heeded_usec = world->now_usec;
        host->stop_timeout_usec = 30 * USEC_PER_SEC;
        LeavingLimits limits = limits_of(host);
        if (!host->stopping && !host->draining)
                host->may_cut_usec = USEC_INFINITY;
        host->stopping = true;
        host->after = AFTER_GONE;
        /* Half of a short notice, and all but a withdrawal and the aborting of a long one, belongs to the jobs. */
        if (dated)
                host->may_cut_usec = least(host->may_cut_usec,
                        world->now_usec +
                                (span_usec > 2 * USEC_PER_MINUTE ? span_usec - 75 * USEC_PER_SEC : span_usec / 2));
        else if (span_usec == 0)
                host->may_cut_usec = least(host->may_cut_usec, world->now_usec + DRAIN_TIMEOUT_USEC);
        if (span_usec == 0)
                overdue_after(host, DRAIN_TIMEOUT_USEC + DRAIN_ABORT_USEC + 30 * USEC_PER_SEC + SLACK_USEC);
        carry_out(host, leaving_by_notice(&host->leaving, reason,
                                dated ? usec_add(boottime(host), span_usec) : span_usec, &limits, boottime(host)));
}

void host_notice(Host *host, StopReason reason, uint64_t span_usec)
{
        World *world = host->world;
        bool dated = span_usec != 0 && span_usec != USEC_INFINITY;

        if (!host->agent || host->once)
                return;
        if (dated)
                world_later(world, span_usec, (SimEvent){.kind = SIM_TAKEN, .host = host->index});
        if (!host->has_notice || reason == STOP_PREEMPTION) {
                uint64_t at = dated ? world->now_usec + span_usec : span_usec;
                bool two = host->has_notice && dated && host->notice_usec != 0;

                /* Of two that stand the nearer takes the host. */
                host->notice_usec = two ? least(host->notice_usec, at) : at;
                host->notice_reason = reason;
        }
        host->has_notice = true;
        heed_notice(host, reason, span_usec);
}

void leave_notice_again(Host *host)
{
        uint64_t at = host->notice_usec;

        if (host->has_notice && host->agent)
                heed_notice(host, host->notice_reason,
                        at == 0 || at == USEC_INFINITY              ? at
                        : at > host->world->now_usec + USEC_PER_SEC ? at - host->world->now_usec
                                                                    : USEC_PER_SEC);
}

void leave_taken(Host *host, const SimEvent *event)
{
        (void)event;
        if (host->gone)
                return;
        check_taken(host);
        host_go_down(host, true);
        host->gone = true;
}

void host_drain_and_deregister(Host *host)
{
        LeavingLimits limits = limits_of(host);

        if (!host->agent || host->stopping || host->once || host->draining)
                return;
        limits.stop_timeout_usec = 30 * USEC_PER_SEC;
        world_disturb(host->world, "host %d: somebody drains and deregisters", host->index);
        host->drained_for_command = true;
        host->neighbour.ends_with_host = false;
        host->may_cut_usec = host->world->now_usec + DRAIN_TIMEOUT_USEC;
        begin_drain(host, leaving_command_drain(USEC_INFINITY, &limits, boottime(host)));
}
