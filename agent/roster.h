#pragma once

/* All runners of this host: those that the configuration names, and those that only a state of old or a debt keeps.
 */

#include "agent/core/clone.h"
#include "agent/runner.h"
#include "config/mistakes.h"

typedef struct Roster Roster;

/* CONTEXT is borrowed and must outlive the roster. */
int roster_new(const RunnerContext *context, Roster **ret);
Roster *roster_free(Roster *roster);
DEFINE_CLEANUP(Roster, roster_free)

/* Whether one of the records belongs to another machine or instance: then all do. Before any runner is made. A record
 * that the disk can't give just now is an error. */
int roster_check_clone(Store *store, const Machine *machine, Clone *ret, char **reterr);

/* Makes every runner: configured ones with their records, and what else has a record that still says something; none
 * is started yet. CLONED: the records are a sibling's; they are forgotten without any call. Templates are read and
 * merged; what is wrong with one is a sentence with its file (-EINVAL). ENTRIES is what config.toml holds now.
 * CONFIG is borrowed until the next roster_reload(). */
int roster_load(Roster *roster, const Config *config, bool cloned, const EntryList *entries, char **reterr);

/* From now on they act. */
void roster_start(Roster *roster);

/* A reload. Runners that are gone are withdrawn as WITHDRAW says, until DEADLINE_USEC. On failure the old
 * configuration stays in force as a whole. */
int roster_reload(Roster *roster, const Config *config, StopPlan withdraw, uint64_t deadline_usec, char **reterr);

size_t roster_size(const Roster *roster);
Runner *roster_get(const Roster *roster, size_t index);
Runner *roster_find(const Roster *roster, const char *name);

/* What a Household's `ask` wants to know. */
TokenUse roster_token_use(const Roster *roster, const Lifecycle *asking, const char *url, const Secret *token);

/* Hands a change of config.toml on to all. */
void roster_entries(Roster *roster, const EntryList *list);

/* Stops all, as PLAN says. */
void roster_stop(Roster *roster, StopPlan plan, uint64_t deadline_usec);

/* Whether all have run their course. */
bool roster_stopped(const Roster *roster);

/* To be called from the loop, not from within a runner's step, after runners have changed: frees those that are done
 * and makes those that follow a retired one. */
void roster_tidy(Roster *roster);
