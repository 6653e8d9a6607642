#pragma once

/* One runner on this machine: carries out, one after the other, the actions that its lifecycle decides. It knows
 * nothing of the manager; what it needs of the world is in its context. */

#include <systemd/sd-event.h>

#include "agent/base/log.h"
#include "agent/core/info.h"
#include "agent/core/lifecycle.h"
#include "agent/entries.h"
#include "agent/host/machine.h"
#include "agent/http.h"
#include "agent/store.h"
#include "agent/teller.h"
#include "config/config.h"

typedef struct Runner Runner;

/* Borrowed by every runner; must outlive them. */
typedef struct RunnerContext {
        sd_event *event;
        Log *log;
        Disk *disk;
        Store *store;
        Http *http;
        Entries *entries;
        Teller *teller;
        ConfigToml *config_toml; /* written through `entries`; here it is only asked whether it can be */
        const Machine *machine;
        const Neighbour *neighbour;
        Facts facts;
        bool once;
        void (*changed)(void *userdata, Runner *runner);                /* its status may read differently now */
        void (*noticed)(void *userdata, Runner *runner, Notice notice); /* something an operator wants to hear of */
        void *userdata;
} RunnerContext;

/* Makes the runner of RECORD (taken over on success), configured as CONFIG says (referenced; NULL: not any more).
 * AGENT holds the settings that all runners share; borrowed for the call. TEMPLATE_BODY is copied. ANSWER: a journal
 * found at start, its content taken over. */
int runner_new(const RunnerContext *context, const Config *agent, RunnerConfig *config, const Secret *template_body,
        Record *record, Answer *answer, Runner **ret);

/* Nothing of it comes back: transfers are cancelled. */
Runner *runner_free(Runner *runner);
DEFINE_CLEANUP(Runner, runner_free)

const char *runner_name(const Runner *runner);
const char *runner_url(const Runner *runner);
RunnerConfig *runner_config(const Runner *runner);
Lifecycle *runner_lifecycle(const Runner *runner);

/* Events from outside. Each is one step of the lifecycle, in which the context's `changed` and `noticed` come. */

/* config.toml holds these N entries with its name now; borrowed. Before runner_start() it only learns of them. */
void runner_entries(Runner *runner, const Entry *const *entries, size_t n);

/* From now on it acts. */
void runner_start(Runner *runner);

/* A person's command; its outcome is for lifecycle_take_outcome(). */
void runner_command(Runner *runner, Command command);

/* It ends as PLAN says, until DEADLINE_USEC (boottime): then runner_stopped(). */
void runner_stop(Runner *runner, StopPlan plan, uint64_t deadline_usec);

/* A reload: the new configuration of the same name and url; NULL: it is configured no more. */
int runner_configure(Runner *runner, const Config *agent, RunnerConfig *config, const Secret *template_body);

/* Whether runner_stop() has run its course. */
bool runner_stopped(const Runner *runner);

/* Is it known to GitLab and written into config.toml, as far as this host knows? */
bool runner_enrolled(const Runner *runner);
