#pragma once

/* How the agent leaves: why, whether gitlab-runner is drained first, and until when there is time to withdraw. The
 * stop table decides (agent/core/stop.h); here it is carried out. */

#include <systemd/sd-event.h>

#include "agent/base/log.h"
#include "agent/core/leaving.h"
#include "config/config.h"

typedef struct Leave Leave;

/* The drain, if any, is over: the runners are to be stopped as PLAN says until DEADLINE_USEC (boottime). Once. */
typedef void (*LeaveWithdraw)(void *userdata, StopReason reason, StopPlan plan, uint64_t deadline_usec);

/* A drain for a command is over. SENTENCE (borrowed): what a person should know of it; NULL: nothing. */
typedef void (*LeaveDrained)(void *userdata, const char *sentence);

/* LOG is borrowed, CONFIG too, until the next leave_configure(). */
int leave_new(sd_event *event, Log *log, const Config *config, LeaveWithdraw withdraw, void *userdata, Leave **ret);
Leave *leave_free(Leave *leave);
DEFINE_CLEANUP(Leave, leave_free)

/* A reload: CONFIG takes the place of the one before. */
void leave_configure(Leave *leave, const Config *config);

/* Keeps gitlab-runner's unit in view, so that its jobs are cut at drain_timeout when systemd stops it before us on
 * the way down. For the agent; a command that drains does so without. */
int leave_watch(Leave *leave);

/* We are told to stop: asks systemd why. */
void leave_by_signal(Leave *leave);

/* The cloud takes the host, at DEADLINE_USEC (boottime). USEC_INFINITY: when we say so; 0: that can't be known, so
 * drain_timeout counts. May be said again: the nearest deadline counts, and a preemption. */
void leave_by_notice(Leave *leave, StopReason reason, uint64_t deadline_usec);

/* The cloud takes the host no more. True: it stays as it is, and gitlab-runner goes on. False: that comes too late,
 * or somebody else stops us. */
bool leave_by_cancel(Leave *leave);

/* The host comes back after all was withdrawn: gitlab-runner is started again. DONE comes within seconds, maybe at
 * once. */
void leave_undo(Leave *leave, void (*done)(void *userdata), void *userdata);

/* `deregister --drain`, all of it to be done within TIMEOUT_USEC (USEC_INFINITY: drain_timeout bounds the drain). */
int leave_drain(Leave *leave, uint64_t timeout_usec, LeaveDrained done, void *userdata);

/* DONE will not come; what has been drained stays so. */
void leave_drain_cancel(Leave *leave);

/* The host stays after all, and other runners of it need gitlab-runner. */
void leave_drain_undo(Leave *leave);

/* Whether we leave and the process may end: it was told to, or is about to end by itself. */
bool leave_may_exit(const Leave *leave);

/* Whether it is still to be found out why, or gitlab-runner is being drained: LeaveWithdraw is yet to come. */
bool leave_is_open(const Leave *leave);
