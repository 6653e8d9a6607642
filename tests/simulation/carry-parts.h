#pragma once

/* What the files that carry actions out share. */

#include "tests/simulation/carry.h"

Event carry_event(const HostRunner *runner, EventKind kind);

/* Something of the action under way happens after SPAN. */
void carry_later(HostRunner *runner, SimEventKind kind, uint64_t span_usec, void *payload);

/* ---- carry-entries.c ---- */

void carry_arm_commit(Host *host);
void carry_commit(Host *host);

/* Reads config.toml; SETTLED: what looks like the middle of a write has stood its time. */
void carry_look(Host *host, bool settled);
void carry_settle(Host *host);

/* ---- carry-calls.c ---- */

void carry_send(HostRunner *runner, const Action *action);
void carry_arrive(World *world, SimRequest *request, const SimEvent *event);
void carry_reply(HostRunner *runner, SimRequest *request);
