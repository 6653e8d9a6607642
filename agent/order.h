#pragma once

/* A command that a person gave for some runners, and its outcomes. */

#include "agent/roster.h"

typedef struct OrderResult {
        char *name;
        int code;
        char *message; /* NULL: nothing to say */
} OrderResult;

typedef struct Order Order;

/* Comes once, when the last of the runners has an outcome; RESULTS sorted by name. NOTE: what else a person should
 * know; NULL: nothing. */
typedef void (*OrderDone)(void *userdata, const OrderResult *results, size_t n, const char *note);

/* What is ordered. */
typedef struct OrderRequest {
        Command command;
        char *const *names;    /* NULL-terminated; NULL or empty: all */
        bool drain;            /* gitlab-runner first */
        uint64_t timeout_usec; /* of both together, counted from the order's turn; USEC_INFINITY: drain_timeout */
} OrderRequest;

/* REQUEST is copied. DONE may be NULL. -ENOENT with a sentence: one of the names is no runner's. */
int order_new(const Roster *roster, const OrderRequest *request, OrderDone done, void *userdata, Order **ret,
        char **reterr);
Order *order_free(Order *order);
DEFINE_CLEANUP(Order, order_free)

/* Whether gitlab-runner is to be drained first, and within what. */
bool order_wants_drain(const Order *order, uint64_t *ret_timeout_usec);

/* NOTE is copied. */
void order_set_note(Order *order, const char *note);

/* The agent has withdrawn all by itself: that is the outcome of all that have none. */
void order_settle(Order *order, Roster *roster);

/* Gives the command to the runners. */
void order_start(Order *order, Roster *roster);

/* Takes RUNNER's outcome, if it has one and the order waits for it. */
void order_collect(Order *order, Runner *runner);

/* Whether all outcomes are there; DONE is then called. A runner that a reload took away has none. */
bool order_complete(Order *order, const Roster *roster);

/* Nobody waits for it any more. */
void order_detach(Order *order);
