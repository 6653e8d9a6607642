#pragma once

/* The agent: owns everything that is alive, and the one loop it lives on. */

#include "agent/base/log.h"
#include "agent/core/lifecycle.h"
#include "agent/host/machine.h"
#include "agent/order.h"
#include "config/config.h"

typedef struct Manager Manager;

typedef struct ManagerOptions {
        Log *log;                        /* borrowed */
        const char *const *config_files; /* for reloads; NULL: the default search. Borrowed */
        bool once;                       /* one command without an agent, then the end */
        bool look_only;                  /* neither lock nor write: for manager_status() */
} ManagerOptions;

/* Opens state and config.toml under the lock and makes all runners; nothing is sent yet. CONFIG is taken over on
 * success. -EBUSY: another agent has the lock. *reterr is a sentence for people. */
int manager_new(const ManagerOptions *options, Config *config, Manager **ret, char **reterr);
Manager *manager_free(Manager *manager);
DEFINE_CLEANUP(Manager, manager_free)

/* No exit code: the cloud takes the host no more, after all was withdrawn for it. A new manager begins anew, as the
 * next start of the service would. */
#define MANAGER_AGAIN 256

/* Runs the agent until it is told to stop and has stopped. Returns the exit code, or MANAGER_AGAIN. */
int manager_run(Manager *manager);

/* Carries REQUEST out in one pass (options.once), for at most its timeout; DONE gets the results. Returns the exit
 * code. */
int manager_pass(Manager *manager, const OrderRequest *request, OrderDone done, void *userdata, char **reterr);

/* For the control socket. An order is queued behind others; *RET may be detached when its client goes. */
int manager_order(
        Manager *manager, const OrderRequest *request, OrderDone done, void *userdata, Order **ret, char **reterr);

/* `status --json` now. */
int manager_status(Manager *manager, char **ret);

/* Whether every runner that NAMES selects is enrolled (EXIT_DONE), or all others are refused (EXIT_REFUSED);
 * EXIT_AGAIN: neither yet. */
int manager_readiness(Manager *manager, char *const *names);
