#pragma once

/* A unit of systemd's that is kept in view, with its main process: over the system bus or, as the bus may go before
 * us on the way down, by root over systemd's own socket. Changes are heard as signals. Nothing blocks. */

#include <systemd/sd-event.h>

#include "agent/base/cleanup.h"
#include "agent/core/drain.h"

typedef struct UnitWatch UnitWatch;

/* The view is another than before, or an action was refused. From the loop; must not free the watch. */
typedef void (*UnitWatchChanged)(void *userdata);

/* UNIT is copied. */
int unit_watch_new(sd_event *event, const char *unit, UnitWatchChanged changed, void *userdata, UnitWatch **ret);
UnitWatch *unit_watch_free(UnitWatch *watch);
DEFINE_CLEANUP(UnitWatch, unit_watch_free)

const char *unit_watch_name(const UnitWatch *watch);

/* What is known now. DRAIN_UNIT_UNKNOWN: nothing yet, or not any more, and it is being asked. */
DrainUnit unit_watch_state(const UnitWatch *watch, uint32_t *ret_main_pid);

/* Asks again, for the case that a signal was lost; connects anew if need be. */
void unit_watch_look(UnitWatch *watch);

/* The signal goes to the main process only. What becomes of it shows in the view, or in unit_watch_refusal(). */
void unit_watch_kill(UnitWatch *watch, int number);
void unit_watch_stop(UnitWatch *watch);
void unit_watch_restart(UnitWatch *watch);

/* Why the last action was refused; NULL: it was not. */
const char *unit_watch_refusal(const UnitWatch *watch);
