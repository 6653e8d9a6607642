#pragma once

/* What the files of a host share. */

#include "tests/simulation/host.h"

/* The power is off: nothing runs. */
void host_go_down(Host *host, bool cut);

/* What of its runner RUNNER (-1: of all) is deleted from now on is so by order. */
void want_withdrawal(Host *host, int runner);
void host_command_runner(HostRunner *runner, Command command);

/* ---- agent.c ---- */

void agent_start(Host *host);
void agent_close(Host *host);

/* After each event: runners that a reload has ended, a command that has its answers. */
void agent_tidy(Host *host);
void agent_pass_progress(Host *host);
void agent_people_pass(Host *host);

/* ---- leave.c ---- */

void leave_reset(Host *host);

/* A new agent finds the cloud's notice still there. */
void leave_notice_again(Host *host);
void leave_progress(Host *host);

/* gitlab-runner's last job has ended. */
void leave_job_done(Host *host);

/* A drain under way is looked at. */
void leave_drain(Host *host, const SimEvent *event);

/* The cloud takes the host, whatever it does. */
void leave_taken(Host *host, const SimEvent *event);
