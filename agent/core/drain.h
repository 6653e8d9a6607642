#pragma once

/* Letting gitlab-runner finish its jobs before the host goes: what to do in which state of its unit, and how long
 * there is. SIGQUIT to the main process makes it take no more jobs and end after the last; the unit is stopped once
 * that process is gone, before Restart= brings it back. Where systemd stops the unit already (poweroff), nothing is
 * sent but the SIGTERM that cuts it at the bound. Source: gitlab-runner's commands/multi.go, signals. */

#include <stdbool.h>
#include <stdint.h>

#include "agent/base/time.h"

/* gitlab-runner's unit, as far as systemd tells. */
typedef enum DrainUnit {
        DRAIN_UNIT_UNKNOWN, /* systemd has not answered yet */
        DRAIN_UNIT_ABSENT,  /* systemd can't be asked, or has no such unit, and something may run all the same */
        DRAIN_UNIT_STOPPED, /* nothing runs */
        DRAIN_UNIT_WAITING, /* no process, but systemd is about to start one */
        DRAIN_UNIT_RUNNING,
        DRAIN_UNIT_ENDING, /* systemd stops it */
        _DRAIN_UNIT_MAX,
} DrainUnit;

typedef enum DrainAction {
        DRAIN_ACTION_WAIT,
        DRAIN_ACTION_QUIT,      /* SIGQUIT to the main process */
        DRAIN_ACTION_TERMINATE, /* SIGTERM to it */
        DRAIN_ACTION_STOP_UNIT, /* and do not wait for it */
        DRAIN_ACTION_END,       /* done, with an outcome */
        _DRAIN_ACTION_MAX,
} DrainAction;

typedef enum DrainOutcome {
        DRAIN_OUTCOME_DRAINED,     /* it ended by itself, after its last job */
        DRAIN_OUTCOME_NOT_RUNNING, /* there was nothing to drain */
        DRAIN_OUTCOME_CUT,         /* jobs were aborted at the bound */
        DRAIN_OUTCOME_LEFT,        /* it still runs: the time is up */
        DRAIN_OUTCOME_IMPOSSIBLE,  /* nobody could be asked to */
        _DRAIN_OUTCOME_MAX,
} DrainOutcome;

const char *drain_outcome_to_string(DrainOutcome outcome);

/* Boottimes. */
typedef struct DrainTimes {
        uint64_t cut_usec; /* jobs that still run are aborted */
        uint64_t end_usec; /* nobody is waited for any more; the withdrawal begins */
} DrainTimes;

/* What gitlab-runner gets to abort its jobs in: its own shutdown_timeout of 30 s, and some. */
#define DRAIN_ABORT_USEC (40 * USEC_PER_SEC)

/* The budget, computed backwards: before DEADLINE_USEC (USEC_INFINITY: none) there must be time to withdraw,
 * WITHDRAW_USEC or a third of what there is, and to abort jobs before that; jobs get the rest, but no more than
 * LIMIT_USEC (a span; USEC_INFINITY: no limit). */
DrainTimes drain_budget(uint64_t now_usec, uint64_t limit_usec, uint64_t deadline_usec, uint64_t withdraw_usec);

/* Until when the withdrawal that begins now may take: WITHDRAW_USEC, and not beyond DEADLINE_USEC less a margin;
 * where that is past, there is one short try. */
uint64_t drain_withdraw_until(uint64_t now_usec, uint64_t deadline_usec, uint64_t withdraw_usec);

/* How far it is; for drain_bind(). */
typedef struct DrainProgress {
        DrainTimes times;
        uint32_t quit_pid; /* who was told to finish; 0: nobody yet */
        uint32_t terminated_pid;
        bool stopped_unit;
        bool seen;           /* something ran */
        uint64_t asked_usec; /* when systemd was first asked; 0: not yet */
} DrainProgress;

/* Begins a drain, or (ACTIVE) binds the one under way anew: nobody gets more time by a second reason to go. */
void drain_bind(DrainProgress *progress, bool active, DrainTimes times);

/* systemd has so long for its first answer. */
#define DRAIN_ASK_USEC (3 * USEC_PER_SEC)

/* The one thing to do now, given UNIT with main process PID (0: none). After WAIT: when to look again at the latest
 * is in *RET_UNTIL_USEC (USEC_INFINITY: when the unit changes); after END *RET_OUTCOME is set. */
DrainAction drain_step(DrainProgress *progress, DrainUnit unit, uint32_t pid, uint64_t now_usec,
        uint64_t *ret_until_usec, DrainOutcome *ret_outcome);

/* The unit as systemd's LoadState and ActiveState describe it. */
DrainUnit drain_unit_from_states(const char *load_state, const char *active_state, uint32_t main_pid);
