#pragma once

/* Why we stop, and what then: the stop table. */

#include <stdbool.h>

#include <errno.h>

typedef enum StopReason {
        STOP_RESTART, /* restart or upgrade of our service */
        STOP_SOFT_REBOOT,
        STOP_REBOOT,
        STOP_KEXEC,
        STOP_SERVICE, /* our unit is stopped; a runner that a reload no longer configures */
        STOP_SIGNAL,  /* TERM or INT, and systemd did not start us */
        STOP_COMMAND, /* `deregister` */
        STOP_POWEROFF,
        STOP_HALT,
        STOP_TERMINATE,  /* an autoscaling group takes the instance down and waits for us */
        STOP_PREEMPTION, /* spot or preemption notice: a deadline that nobody moves */
        STOP_UNKNOWN,    /* systemd started us and can't be asked */
        _STOP_REASON_MAX,
        _STOP_REASON_INVALID = -EINVAL,
} StopReason;

const char *stop_reason_to_string(StopReason reason);

typedef enum DeregisterOn {
        DEREGISTER_ON_STOP, /* the default */
        DEREGISTER_ON_ALWAYS,
        DEREGISTER_ON_POWEROFF,
        DEREGISTER_ON_NEVER,
        _DEREGISTER_ON_MAX,
} DeregisterOn;

typedef enum Drain {
        DRAIN_NO,
        DRAIN_ASKED,    /* `deregister --drain` */
        DRAIN_BOUNDED,  /* by drain_timeout */
        DRAIN_HOOK,     /* as long as the lifecycle hook allows, with heartbeats */
        DRAIN_DEADLINE, /* until the deadline less a margin */
        _DRAIN_MAX,
} Drain;

typedef struct StopPlan {
        Drain drain;
        bool withdraw;
        bool hand_back; /* we leave for good and the runner stays: rotation goes back to gitlab-runner */
        bool one_try;   /* if GitLab does not answer the first time, the rest is a debt */
} StopPlan;

/* The row of the stop table for REASON under DEREGISTER_ON. */
StopPlan stop_plan(StopReason reason, DeregisterOn deregister_on);
