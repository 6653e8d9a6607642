#include "agent/core/leaving.h"

/* What a stop that withdraws nothing may take: the grace of calls that must not be cut. */
#define QUICK_USEC (900 * USEC_PER_MSEC)

static StopPlan plan_of(const Leaving *l, const LeavingLimits *limits)
{
        return stop_plan(l->reason, limits->deregister_on);
}

/* A deadline that is not known bounds nothing. */
static uint64_t known(uint64_t deadline_usec)
{
        return deadline_usec ? deadline_usec : USEC_INFINITY;
}

static uint64_t drain_limit(const Leaving *l, Drain drain, const LeavingLimits *limits)
{
        switch (drain) {
        case DRAIN_HOOK:
        case DRAIN_DEADLINE:
                if (l->deadline_usec != 0)
                        return USEC_INFINITY;
                break;
        case DRAIN_ASKED:
        case DRAIN_BOUNDED:
        case DRAIN_NO:
        case _DRAIN_MAX:
                break;
        }
        return limits->drain_timeout_usec;
}

static LeavingStep begin(Leaving *l, const LeavingLimits *limits, uint64_t now_usec)
{
        StopPlan plan = plan_of(l, limits);

        if (plan.drain == DRAIN_NO)
                return leaving_drained(l, limits, now_usec);
        return (LeavingStep){
                .action = LEAVING_DRAIN,
                .plan = plan,
                .drain = drain_budget(now_usec, drain_limit(l, plan.drain, limits), known(l->deadline_usec),
                        limits->stop_timeout_usec),
        };
}

LeavingStep leaving_by_signal(Leaving *l)
{
        l->told = true;
        if (l->begun)
                return (LeavingStep){.action = LEAVING_KEEP};
        l->begun = l->asking = true;
        return (LeavingStep){.action = LEAVING_ASK};
}

LeavingStep leaving_for(Leaving *l, StopReason reason, const LeavingLimits *limits, uint64_t now_usec)
{
        l->asking = false;
        l->reason = reason;
        return begin(l, limits, now_usec);
}

static uint64_t nearer(uint64_t a, uint64_t b)
{
        /* 0 is a deadline that can't be known: any other says more, but for "when we say so". */
        if (a == 0 || b == 0)
                return a == USEC_INFINITY || b == USEC_INFINITY ? 0 : a + b;
        return a < b ? a : b;
}

LeavingStep leaving_by_notice(
        Leaving *l, StopReason reason, uint64_t deadline_usec, const LeavingLimits *limits, uint64_t now_usec)
{
        bool first = !l->begun || l->asking;

        l->deadline_usec = nearer(l->deadline_usec, deadline_usec);
        if (l->withdrawing)
                return (LeavingStep){.action = LEAVING_KEEP};
        if (first || reason == STOP_PREEMPTION)
                l->reason = reason;
        l->asking = false;
        l->begun = true;
        return begin(l, limits, now_usec);
}

bool leaving_by_cancel(Leaving *l)
{
        if (!l->begun || l->told || l->withdrawing)
                return false;
        *l = (Leaving){.deadline_usec = USEC_INFINITY};
        return true;
}

LeavingStep leaving_drained(Leaving *l, const LeavingLimits *limits, uint64_t now_usec)
{
        StopPlan plan = plan_of(l, limits);

        l->withdrawing = true;
        return (LeavingStep){
                .action = LEAVING_WITHDRAW,
                .plan = plan,
                .deadline_usec = drain_withdraw_until(
                        now_usec, known(l->deadline_usec), plan.withdraw ? limits->stop_timeout_usec : QUICK_USEC),
        };
}

DrainTimes leaving_command_drain(uint64_t timeout_usec, const LeavingLimits *limits, uint64_t now_usec)
{
        return drain_budget(now_usec, timeout_usec == USEC_INFINITY ? limits->drain_timeout_usec : USEC_INFINITY,
                usec_add(now_usec, timeout_usec), limits->stop_timeout_usec);
}
