#pragma once

/* curl's multi interface in sd-event: its sockets and its timer as sources of the loop. It knows handles only; what a
 * transfer is, and when it may run, is http.c's. */

#include <stdbool.h>

#include <curl/curl.h>
#include <systemd/sd-event.h>

#include "agent/base/cleanup.h"

typedef struct Multi Multi;

/* curl has worked, for a socket or for its timer, and N_RUNNING handles go on. Transfers may be removed and added. */
typedef void (*MultiWorked)(void *userdata, int n_running);

/* Something is to be looked at: multi_take_failure(). Comes while curl is on the stack, so it may only take notes. */
typedef void (*MultiNoted)(void *userdata);

/* Attaches to EVENT (referenced). At most HOST_CONNECTIONS to one server and CONNECTIONS in all. */
int multi_new(sd_event *event, long host_connections, long connections, MultiWorked worked, MultiNoted noted,
        void *userdata, Multi **ret);

/* No handle is in it any more. Closes the connections; accepts NULL, returns NULL. */
Multi *multi_free(Multi *multi);
DEFINE_CLEANUP(Multi, multi_free)

/* Gives EASY to curl, or takes it back, at any moment but from within curl's callbacks. MULTI_ADD returns NULL, or
 * what is wrong (static). */
const char *multi_add(Multi *multi, CURL *easy);
void multi_remove(Multi *multi, CURL *easy);

/* A handle that is through, with its result; NULL: none. *RET_LEFT is how many more there are. */
CURL *multi_next_done(Multi *multi, CURLcode *ret_code, int *ret_left);

/* Why the handles in it may never end, not even when their time is over: curl gave up, or a socket or the time for it
 * can't be watched. They are to be removed then. NULL: all is well. Told once; valid until the next call. */
const char *multi_take_failure(Multi *multi);

/* Closes all connections; no handle may be in it. False: for want of memory they stay. */
bool multi_renew(Multi *multi);
