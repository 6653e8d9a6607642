#pragma once

/* How the agent leaves, step by step: a signal or the cloud's notice, why, whether gitlab-runner is drained first,
 * and until when there is time to withdraw. The stop table (stop.h) says what, the budget (drain.h) how long; here is
 * what comes after what, also where two reasons to go meet. All times are boottimes. */

#include "agent/core/drain.h"
#include "agent/core/stop.h"

typedef struct LeavingLimits {
        DeregisterOn deregister_on;
        uint64_t drain_timeout_usec;
        uint64_t stop_timeout_usec;
} LeavingLimits;

/* Zeroed at the beginning, but for `deadline_usec`, which is USEC_INFINITY then. */
typedef struct Leaving {
        bool begun;       /* a reason is known, or asked for */
        bool asking;      /* the machine is being asked why we are stopped */
        bool told;        /* by a signal: the process ends when all is done */
        bool withdrawing; /* the last step was taken */
        StopReason reason;
        uint64_t deadline_usec; /* when the host goes; USEC_INFINITY: when we say so, or not at all; 0: not known */
} Leaving;

typedef enum LeavingAction {
        LEAVING_KEEP,     /* go on as before */
        LEAVING_ASK,      /* why; then leaving_for() */
        LEAVING_DRAIN,    /* within `drain` (a drain under way is bound anew); then leaving_drained() */
        LEAVING_WITHDRAW, /* stop the runners as `plan` says until `deadline_usec` */
        _LEAVING_ACTION_MAX,
} LeavingAction;

typedef struct LeavingStep {
        LeavingAction action;
        DrainTimes drain;
        StopPlan plan;
        uint64_t deadline_usec;
} LeavingStep;

/* We are told to stop. Whatever comes of it: a cloud's notice that came before takes no less. */
LeavingStep leaving_by_signal(Leaving *leaving);

/* The machine has said why. */
LeavingStep leaving_for(Leaving *leaving, StopReason reason, const LeavingLimits *limits, uint64_t now_usec);

/* The cloud takes the host. May be said again: the nearest deadline counts, and a preemption. DEADLINE as in
 * Leaving. */
LeavingStep leaving_by_notice(
        Leaving *leaving, StopReason reason, uint64_t deadline_usec, const LeavingLimits *limits, uint64_t now_usec);

/* The cloud takes the host no more. Whether it can stay as it is: nobody else wants us to go, and the withdrawal has
 * not begun. If so, all is as at the beginning, and a drain under way is to be undone. */
bool leaving_by_cancel(Leaving *leaving);

/* The drain is over, or there can be none. */
LeavingStep leaving_drained(Leaving *leaving, const LeavingLimits *limits, uint64_t now_usec);

/* The drain of `deregister --drain`, all of which is to be done within TIMEOUT (USEC_INFINITY: drain_timeout bounds
 * the drain). */
DrainTimes leaving_command_drain(uint64_t timeout_usec, const LeavingLimits *limits, uint64_t now_usec);
