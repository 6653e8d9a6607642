#include "agent/core/stop.h"

static const char *const stop_reason_names[_STOP_REASON_MAX] = {
        [STOP_RESTART] = "service restart",
        [STOP_SOFT_REBOOT] = "soft-reboot",
        [STOP_REBOOT] = "reboot",
        [STOP_KEXEC] = "kexec",
        [STOP_SERVICE] = "service stop",
        [STOP_SIGNAL] = "signal",
        [STOP_COMMAND] = "deregister",
        [STOP_POWEROFF] = "poweroff",
        [STOP_HALT] = "halt",
        [STOP_TERMINATE] = "instance termination",
        [STOP_PREEMPTION] = "instance preemption",
        [STOP_UNKNOWN] = "unknown, taken as a restart",
};

const char *stop_reason_to_string(StopReason reason)
{
        return reason >= 0 && reason < _STOP_REASON_MAX ? stop_reason_names[reason] : "unknown";
}

StopPlan stop_plan(StopReason reason, DeregisterOn deregister_on)
{
        bool always = deregister_on == DEREGISTER_ON_ALWAYS;
        bool never = deregister_on == DEREGISTER_ON_NEVER;
        bool only_poweroff = deregister_on == DEREGISTER_ON_POWEROFF;

        switch (reason) {
        case STOP_RESTART:
        case STOP_SOFT_REBOOT:
        case STOP_UNKNOWN:
                /* Whoever comes back in a moment must not cost the host its identity. */
                return (StopPlan){.drain = DRAIN_NO, .withdraw = always};
        case STOP_REBOOT:
        case STOP_KEXEC:
                return (StopPlan){.drain = DRAIN_BOUNDED, .withdraw = always};
        case STOP_SERVICE:
        case STOP_SIGNAL:
                return (StopPlan){
                        .drain = DRAIN_NO,
                        .withdraw = !never && !only_poweroff,
                        .hand_back = never || only_poweroff,
                };
        case STOP_COMMAND:
                return (StopPlan){.drain = DRAIN_ASKED, .withdraw = true};
        case STOP_POWEROFF:
        case STOP_HALT:
                return (StopPlan){.drain = DRAIN_BOUNDED, .withdraw = !never, .hand_back = never};
        case STOP_TERMINATE:
                return (StopPlan){.drain = DRAIN_HOOK, .withdraw = true};
        case STOP_PREEMPTION:
                return (StopPlan){.drain = DRAIN_DEADLINE, .withdraw = true, .one_try = true};
        case _STOP_REASON_MAX:
        case _STOP_REASON_INVALID:
                break;
        }
        return (StopPlan){.drain = DRAIN_NO};
}
