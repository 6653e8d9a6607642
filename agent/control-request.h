#pragma once

/* A request at the control socket, as control.h describes the line, in and out. */

#include <sys/un.h>

#include "agent/order.h"

#define CONTROL_LINE_MAX  (64 * 1024)
#define CONTROL_NAMES_MAX 16384

typedef enum ControlVerb {
        CONTROL_ORDER, /* `order` says which */
        CONTROL_STATUS,
        CONTROL_WAIT,
        CONTROL_UNKNOWN, /* a later version's, or nonsense */
} ControlVerb;

typedef struct ControlRequest {
        ControlVerb verb;
        char **names;       /* NULL-terminated, owned; empty: all runners */
        OrderRequest order; /* its names are those */
} ControlRequest;

/* Reads a line that a client sent. -EBADMSG: that is no request. Strict in everything that would widen it: a name or
 * a wish that can't be read never counts as one that was not there. -ENOMEM. */
int control_request_read(const char *data, size_t size, ControlRequest *ret);
void control_request_done(ControlRequest *request);

/* The line that asks for COMMAND, its end included. NAMES as in OrderRequest. Timeouts are for deregistering with a
 * drain. -EINVAL: a name is not UTF-8; -ENOMEM. */
int control_request_write(const char *command, char *const *names, bool drain, uint64_t timeout_usec, Secret **ret);

/* Where the socket of RUNTIME_DIR's agent lies. -ENAMETOOLONG: beyond what an address holds. */
int control_socket_address(const char *runtime_dir, struct sockaddr_un *ret);
