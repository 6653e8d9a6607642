#pragma once

/* Tells gitlab-runner that config.toml changed. Many runners ask; what is asked within one turn of the loop is one
 * signal, and all get its result. */

#include <systemd/sd-event.h>

#include "agent/core/lifecycle.h"

typedef struct Teller Teller;

typedef void (*TellerDone)(void *userdata, Told told);

/* UNIT is gitlab-runner's ("gitlab-runner.service"), copied. References EVENT. */
int teller_new(sd_event *event, const char *unit, Teller **ret);
Teller *teller_free(Teller *teller);
DEFINE_CLEANUP(Teller, teller_free)

/* DONE comes from the loop, exactly once unless teller_cancel() came first, within about two seconds. One wish per
 * USERDATA at a time. */
int teller_tell(Teller *teller, TellerDone done, void *userdata);

/* DONE will not come; a signal that is under way goes out all the same. */
void teller_cancel(Teller *teller, void *userdata);
