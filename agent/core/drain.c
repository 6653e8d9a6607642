#include "agent/core/drain.h"

#include <stddef.h>
#include <string.h>

/* The part of a short notice that may go to aborting jobs. */
#define ABORT_SHARE 4

/* … and to the withdrawal. */
#define WITHDRAW_SHARE 3

/* Between the end of a withdrawal and the deadline. */
#define WITHDRAW_MARGIN_USEC USEC_PER_SEC

/* What a withdrawal gets in any case. */
#define WITHDRAW_TRY_USEC (3 * USEC_PER_SEC)

static const char *const outcome_names[_DRAIN_OUTCOME_MAX] = {
        [DRAIN_OUTCOME_DRAINED] = "drained",
        [DRAIN_OUTCOME_NOT_RUNNING] = "not running",
        [DRAIN_OUTCOME_CUT] = "cut",
        [DRAIN_OUTCOME_LEFT] = "left running",
        [DRAIN_OUTCOME_IMPOSSIBLE] = "impossible",
};

const char *drain_outcome_to_string(DrainOutcome outcome)
{
        return outcome < _DRAIN_OUTCOME_MAX ? outcome_names[outcome] : "unknown";
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
        return a < b ? a : b;
}

DrainTimes drain_budget(uint64_t now, uint64_t limit_usec, uint64_t deadline_usec, uint64_t withdraw_usec)
{
        uint64_t cut = usec_add(now, limit_usec);

        if (deadline_usec == USEC_INFINITY)
                return (DrainTimes){.cut_usec = cut, .end_usec = usec_add(cut, DRAIN_ABORT_USEC)};

        uint64_t span = usec_sub(deadline_usec, now);
        uint64_t drain = span - earlier(withdraw_usec, span / WITHDRAW_SHARE);
        uint64_t end = usec_add(now, drain);

        cut = earlier(cut, end - earlier(DRAIN_ABORT_USEC, drain / ABORT_SHARE));
        return (DrainTimes){.cut_usec = cut, .end_usec = earlier(end, usec_add(cut, DRAIN_ABORT_USEC))};
}

uint64_t drain_withdraw_until(uint64_t now, uint64_t deadline_usec, uint64_t withdraw_usec)
{
        uint64_t until = usec_add(now, withdraw_usec);

        if (deadline_usec == USEC_INFINITY)
                return until;
        uint64_t last = usec_sub(deadline_usec, WITHDRAW_MARGIN_USEC);
        /* The host outlives its deadline as often as not. */
        if (last < usec_add(now, WITHDRAW_TRY_USEC))
                last = usec_add(now, WITHDRAW_TRY_USEC);
        return earlier(until, last);
}

DrainUnit drain_unit_from_states(const char *load_state, const char *active_state, uint32_t main_pid)
{
        if (strcmp(active_state, "inactive") == 0 || strcmp(active_state, "failed") == 0)
                /* A unit that is not loaded is inactive, too: gitlab-runner may run in a container, or from a shell.
                 */
                return strcmp(load_state, "loaded") == 0 || strcmp(load_state, "masked") == 0 ? DRAIN_UNIT_STOPPED
                                                                                              : DRAIN_UNIT_ABSENT;
        if (strcmp(active_state, "deactivating") == 0)
                return DRAIN_UNIT_ENDING;
        /* `activating` without a process is the pause of Restart=. */
        return main_pid == 0 ? DRAIN_UNIT_WAITING : DRAIN_UNIT_RUNNING;
}

void drain_bind(DrainProgress *p, bool active, DrainTimes times)
{
        if (active) {
                p->times.cut_usec = earlier(p->times.cut_usec, times.cut_usec);
                p->times.end_usec = earlier(p->times.end_usec, times.end_usec);
                return;
        }
        *p = (DrainProgress){.times = times};
}

static DrainAction end(DrainOutcome outcome, DrainOutcome *ret)
{
        *ret = outcome;
        return DRAIN_ACTION_END;
}

static DrainAction wait_until(uint64_t usec, uint64_t *ret)
{
        *ret = usec;
        return DRAIN_ACTION_WAIT;
}

static DrainOutcome outcome_of(const DrainProgress *p)
{
        if (p->terminated_pid)
                return DRAIN_OUTCOME_CUT;
        return p->seen ? DRAIN_OUTCOME_DRAINED : DRAIN_OUTCOME_NOT_RUNNING;
}

/* A process that is told to end, at the bound to end at once, and after that is left. */
static DrainAction step_process(
        DrainProgress *p, bool may_quit, uint32_t pid, uint64_t now, uint64_t *ret_until, DrainOutcome *ret_outcome)
{
        p->seen = true;
        if (may_quit && p->quit_pid != pid) {
                p->quit_pid = pid;
                return DRAIN_ACTION_QUIT;
        }
        /* A second one would end it before it could tell GitLab of the jobs that it aborts. */
        if (now >= p->times.cut_usec && pid != 0 && p->terminated_pid != pid) {
                p->terminated_pid = pid;
                return DRAIN_ACTION_TERMINATE;
        }
        if (now >= p->times.end_usec)
                return end(DRAIN_OUTCOME_LEFT, ret_outcome);
        return wait_until(p->terminated_pid || pid == 0 ? p->times.end_usec : p->times.cut_usec, ret_until);
}

DrainAction drain_step(
        DrainProgress *p, DrainUnit unit, uint32_t pid, uint64_t now, uint64_t *ret_until, DrainOutcome *ret_outcome)
{
        if (p->asked_usec == 0)
                p->asked_usec = now > 0 ? now : 1;

        switch (unit) {
        case DRAIN_UNIT_UNKNOWN: {
                /* Whom we told to finish ends without our watching; whom we could not tell does not. */
                uint64_t until = p->seen ? p->times.end_usec
                                         : earlier(p->times.end_usec, usec_add(p->asked_usec, DRAIN_ASK_USEC));

                if (now < until)
                        return wait_until(until, ret_until);
                return end(p->seen ? DRAIN_OUTCOME_LEFT : DRAIN_OUTCOME_IMPOSSIBLE, ret_outcome);
        }
        case DRAIN_UNIT_ABSENT:
                if (p->seen && now < p->times.end_usec)
                        return wait_until(p->times.end_usec, ret_until);
                return end(p->seen ? DRAIN_OUTCOME_LEFT : DRAIN_OUTCOME_IMPOSSIBLE, ret_outcome);
        case DRAIN_UNIT_STOPPED:
                return end(outcome_of(p), ret_outcome);
        case DRAIN_UNIT_WAITING:
                if (!p->stopped_unit) {
                        p->stopped_unit = true;
                        return DRAIN_ACTION_STOP_UNIT;
                }
                if (now < p->times.end_usec)
                        return wait_until(p->times.end_usec, ret_until);
                return end(outcome_of(p), ret_outcome);
        case DRAIN_UNIT_RUNNING:
                return step_process(p, true, pid, now, ret_until, ret_outcome);
        case DRAIN_UNIT_ENDING:
                /* SIGQUIT is on its way by the unit's own KillSignal=; where that is SIGTERM still, one signal more
                 * would end it at once. */
                return step_process(p, false, pid, now, ret_until, ret_outcome);
        case _DRAIN_UNIT_MAX:
                break;
        }
        return end(DRAIN_OUTCOME_IMPOSSIBLE, ret_outcome);
}
