#pragma once

/* Carries out what a lifecycle decides, as agent/runner.c does, on the simulated host. The deliberate mistakes are
 * made here. */

#include "tests/simulation/host.h"

void carry_advance(HostRunner *runner, Event *event);

/* The entries of config.toml that are this runner's; LEARN: before the start, when nothing is decided. */
void carry_entries(HostRunner *runner, const EntryList *list, bool learn);
int carry_load_entries(Host *host, EntryList **ret, char **reterr);

/* Nothing of what is under way comes back. */
void carry_forget(HostRunner *runner);
void carry_handle(Host *host, const SimEvent *event);
