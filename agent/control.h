#pragma once

/* The agent's control socket: RUNTIME_DIR/control, mode 0600. A client sends one line of JSON and gets one back:
 *
 *   {"command": "register" | "verify" | "rotate" | "deregister" | "status" | "wait", "names": ["…"]}
 *       deregister also takes "drain": true and "timeout_usec": N
 *   {"code": 0, "runners": [{"name": "…", "code": 0, "message": "…"}]}       or  {"code": 2, "message": "…"}
 *       the first may have a "message", too: what else a person should know
 *   {"code": 0, "status": {…}}                                               for status
 *
 * `wait` is answered once it can be; a client that has heard enough hangs up. */

#include <systemd/sd-event.h>

#include "agent/manager.h"

#define CONTROL_CLIENTS_MAX 64

typedef struct Control Control;

/* Listens. A socket left by an agent that is gone is replaced: the caller holds the lock, so there is no other. */
int control_new(sd_event *event, Log *log, Manager *manager, const char *runtime_dir, Control **ret, char **reterr);
Control *control_free(Control *control);
DEFINE_CLEANUP(Control, control_free)

/* Something changed: answers the clients that wait for it. */
void control_changed(Control *control);
