#pragma once

/* What must always hold. */

#include "tests/simulation/host.h"

/* At GitLab. */
void check_request(World *world, const SimRequest *request);
void check_created(World *world, const SimRequest *request);

/* A token is asked about that has expired (or is unknown: RUNNER is NULL). */
void check_expired(World *world, const SimRequest *request, const SimRunner *runner);
void check_reset(World *world, const SimRequest *request, const SimRunner *runner);
void check_deleted(World *world, const SimRequest *request, const SimRunner *runner, const SimManager *manager);

/* Of one runner: a request was sent; its answer came (MAYBE_ACTED: without telling what became of it), or will never
 * come; a step was taken; the agent is gone. */
void check_sent(HostRunner *runner, SimRequest *request);
void check_answer(HostRunner *runner, const SimRequest *request, bool maybe_acted);
/* The agent knows that a reset may or may not have been done. */
void check_reset_unclear(HostRunner *runner, const SimRequest *request);
void check_answer_lost(World *world, const SimRequest *request);
void check_step(HostRunner *runner, const Action *action);
void check_forgotten(HostRunner *runner);

/* Of one host. */
void check_host(Host *host);
void check_edit(Host *host);
void check_edit_by_others(Host *host);
void check_after_cut(Host *host);
void check_after_crash(Host *host);
void check_file_after_start(Host *host);
void check_stopped(Host *host, bool withdrawn);

/* A job is aborted; the cloud takes the host; a command without an agent has all its answers. */
void check_job_cut(Host *host);
void check_taken(Host *host);
void check_pass(Host *host);

/* Some time after a withdrawal, gitlab-runner's last poll included. */
void check_withdrawn(Host *host);

/* All is quiet and well, and has been so for long. */
void check_quiet(World *world);

/* What is left of a world at its end. */
void check_end(World *world);
