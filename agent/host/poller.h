#pragma once

/* One path of a metadata service, asked again and again: at most once a second, at least every five seconds, and
 * never a sound while it says 404. For the clouds' files of this folder. */

#include <systemd/sd-event.h>

#include "agent/base/time.h"
#include "agent/http.h"

typedef struct Poller Poller;

typedef enum PollerTurn {
        POLLER_ASK,  /* the request is made */
        POLLER_SKIP, /* not yet: something is missing that is being fetched; poller_kick() goes on */
} PollerTurn;

typedef struct PollerSpec {
        const char *endpoint; /* url; borrowed */
        /* Makes the request. A negative errno is tried again later. */
        int (*build)(void *userdata, Request *ret, PollerTurn *ret_turn);
        /* Hears the answer. Returns whether it was one: else it is asked more slowly. Must not free the poller. */
        bool (*take)(void *userdata, Reply *reply);
        void *userdata;
} PollerSpec;

/* SPEC is copied. The first question comes with the next turn of the loop. */
int poller_new(sd_event *event, Http *http, const PollerSpec *spec, Poller **ret);
Poller *poller_free(Poller *poller);
DEFINE_CLEANUP(Poller, poller_free)

/* Asks again now, or a second after the last time. */
void poller_kick(Poller *poller);

/* Makes a request to a metadata service: METHOD (static) of PATH, copied, with an optional header line, likewise. */
int metadata_request(const char *method, const char *path, const char *header, uint64_t timeout_usec, Request *ret);

/* A metadata service is next door: what takes longer than this hangs. Leaves room for five seconds between questions.
 */
#define METADATA_TIMEOUT_USEC (4 * USEC_PER_SEC)
