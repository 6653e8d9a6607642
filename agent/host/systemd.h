#pragma once

/* systemd around us: what we tell it, what it tells us, and gitlab-runner's unit. Every question is asked over the
 * system bus, or, as the bus may go before us on the way down, by root over /run/systemd/private; nothing blocks, and
 * every answer comes within a bound of ours, be it that there is none. */

#include <systemd/sd-event.h>

#include "agent/core/lifecycle.h"
#include "agent/core/stop.h"

/* --- what we tell: no-ops where systemd did not start us. Return as sd_notify(). */

int systemd_notify_ready(void);
int systemd_notify_status(const char *status);
int systemd_notify_stopping(void);

/* To be followed by systemd_notify_ready(), whether the reload worked or not. */
int systemd_notify_reloading(void);

/* systemd waits at least so much longer for what it waits for: our start, our stop. */
int systemd_extend_timeout(uint64_t usec);

/* --- who we are to systemd */

typedef struct SystemdUnit {
        bool started; /* systemd started us, as a service */
        char *name; /* "runner-registrar.service"; NULL: unknown, or no unit that the system's manager can tell of */
} SystemdUnit;

/* Reads it off the environment and our control group. Returns 0 or -ENOMEM. */
int systemd_unit_read(SystemdUnit *ret);
void systemd_unit_done(SystemdUnit *unit);

/* The units that a control group's PATH names, where libsystemd can't tell; NULL: none. Returns 0 or -ENOMEM. */
int systemd_unit_from_group(const char *path, char **ret_unit, char **ret_user_unit);

/* The rule behind it: NOTIFY_SOCKET and INVOCATION_ID are set or not, the system's and the user's unit are as
 * sd_pid_get_unit() and sd_pid_get_user_unit() tell (NULL: none). */
bool systemd_unit_is_service(bool notify_socket, bool invocation_id, const char *unit, const char *user_unit);

/* --- gitlab-runner */

typedef struct SystemdCall NeighbourTell;
typedef void (*NeighbourTellDone)(void *userdata, Told told);

#define NEIGHBOUR_TELL_USEC (2 * USEC_PER_SEC)

/* gitlab-runner dies of a SIGHUP that comes before it has set itself up; from this age on it reads its file again. */
#define NEIGHBOUR_AGE_USEC (3 * USEC_PER_SEC)

/* Sends the main process of UNIT a SIGHUP, so that it reads config.toml again. DONE comes exactly once, from the
 * loop, within NEIGHBOUR_TELL_USEC: TOLD_DONE once the signal is sent, TOLD_NOT_RUNNING if the unit is there and has
 * no process, or is not there and no process of the machine's looks like gitlab-runner, else TOLD_UNSURE (too young,
 * on its way down, in a container, no systemd, not allowed). Returns 0 or -ENOMEM. */
int neighbour_tell(sd_event *event, const char *unit, NeighbourTellDone done, void *userdata, NeighbourTell **ret);

/* Safe at any moment; DONE will not come. Accepts NULL, returns NULL. */
NeighbourTell *neighbour_tell_cancel(NeighbourTell *tell);

/* --- why we stop */

typedef struct SystemdCall StopReasonQuery;
typedef void (*StopReasonDone)(void *userdata, StopReason reason);

#define STOP_REASON_USEC USEC_PER_SEC

/* Asks systemd what it is about, when we are told to stop. DONE comes exactly once, from the loop, within
 * STOP_REASON_USEC: STOP_SIGNAL where systemd did not start us, STOP_UNKNOWN where it did and can't be asked. Returns
 * 0 or -ENOMEM. */
int stop_reason_read(sd_event *event, StopReasonDone done, void *userdata, StopReasonQuery **ret);

/* The same for a UNIT that is known already. */
int stop_reason_read_for(
        sd_event *event, const SystemdUnit *unit, StopReasonDone done, void *userdata, StopReasonQuery **ret);

StopReasonQuery *stop_reason_cancel(StopReasonQuery *query);

/* A row of systemd's job list. */
typedef struct SystemdJob {
        const char *unit;
        const char *type; /* "start", "stop", "restart" … */
} SystemdJob;

/* The rule behind it: the way down that is queued, if any; else what is queued for UNIT. */
StopReason stop_reason_from_jobs(const char *unit, const SystemdJob *jobs, size_t n);
