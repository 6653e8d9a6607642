#pragma once

/* A question to systemd in several steps, on the system bus or, failing that, on systemd's own socket. For the other
 * files of this folder. */

#include <systemd/sd-bus.h>

#include "agent/host/systemd.h"

typedef struct SystemdCall SystemdCall;

struct SystemdCall {
        sd_event *event;
        sd_bus *bus;
        sd_bus_slot *slot; /* of the step under way */
        unsigned stage;    /* which bus */
        uint64_t patience_usec;
        sd_event_source *timer_source;
        sd_event_source *turn_source; /* closes and opens buses, and delivers: never inside a bus's own callback */
        bool ended;
        int result;

        int (*begin)(SystemdCall *call);    /* sends the first step */
        void (*deliver)(SystemdCall *call); /* frees CALL, then tells */
        union {
                NeighbourTellDone told;
                StopReasonDone reason;
        } done;
        void *userdata;
        char *unit;
        char *path; /* of the unit's object */
};

/* Makes a call that, whatever happens, ends within LIMIT_USEC; with RESULT unless a step says otherwise. UNIT may be
 * NULL. With BEGIN NULL nothing is asked. Returns 0 or -ENOMEM. */
int systemd_call_new(sd_event *event, const char *unit, uint64_t limit_usec, int result, int (*begin)(SystemdCall *),
        SystemdCall **ret);

SystemdCall *systemd_call_free(SystemdCall *call);
DEFINE_CLEANUP(SystemdCall, systemd_call_free)

/* Calls a method of systemd's. A failure is for systemd_call_try_next(). */
int systemd_call_send(SystemdCall *call, const char *path, const char *interface, const char *member,
        sd_bus_message_handler_t handler, const char *types, ...);

/* Asks for a property of the unit's object. */
int systemd_call_get(
        SystemdCall *call, const char *interface, const char *property, sd_bus_message_handler_t handler);

/* To be called first by every handler. False: the bus or systemd itself is out of reach; the next bus is tried, and
 * the handler returns 0. True: *RET_ERROR is NULL, or systemd's own error. */
bool systemd_call_heard(SystemdCall *call, sd_bus_message *reply, const sd_bus_error **ret_error);

/* Gives this bus up: the question is asked anew on the next one, or ends as it would without an answer. */
void systemd_call_try_next(SystemdCall *call);

/* RESULT is the answer; it is delivered from the loop. */
void systemd_call_end(SystemdCall *call, int result);
