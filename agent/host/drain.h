#pragma once

/* gitlab-runner's unit in view for the whole life of the agent, and its draining when the host goes. */

#include <systemd/sd-event.h>

#include "agent/base/log.h"
#include "agent/core/drain.h"

typedef struct Drainer Drainer;

/* SENTENCE tells how it went where a person wants to know (what was cut, why it was impossible); NULL: drained, or
 * nothing ran. Exactly once, from the loop. */
typedef void (*DrainDone)(void *userdata, DrainOutcome outcome, const char *sentence);

/* UNIT (copied) is looked at now and then watched. LOG is borrowed. */
int drainer_new(sd_event *event, Log *log, const char *unit, Drainer **ret);
Drainer *drainer_free(Drainer *drainer);
DEFINE_CLEANUP(Drainer, drainer_free)

const char *drainer_unit(const Drainer *drainer);

/* Drains within TIMES. One at a time: whoever drained before is not told any more, but what has begun goes on, and
 * the earlier bounds count. From the moment this is called no new job is taken. */
void drainer_begin(Drainer *drainer, DrainTimes times, DrainDone done, void *userdata);

/* DONE will not come; gitlab-runner goes on as it is. Safe at any moment. */
void drainer_cancel(Drainer *drainer);

/* STOPPING comes whenever systemd begins to stop the unit by itself, as it does before us on the way down. If it is
 * that, drainer_bound() cuts what still runs LIMIT_USEC from then on. */
void drainer_watch(Drainer *drainer, void (*stopping)(void *userdata), void *userdata);
void drainer_bound(Drainer *drainer, uint64_t limit_usec);

/* Starts the unit again, after a drain whose host stays; if the last jobs still run, once they are done. DONE, where
 * it is not NULL: systemd has heard of it, or would not within DRAIN_UNDO_USEC, or there is nothing to be done now;
 * it may come at once. */
#define DRAIN_UNDO_USEC (3 * USEC_PER_SEC)
void drainer_undo(Drainer *drainer, void (*done)(void *userdata), void *userdata);
