#pragma once

/* A runner's configuration in the words of its lifecycle: config and core do not know each other, so the shell
 * translates. */

#include "agent/core/lifecycle.h"
#include "agent/host/machine.h"
#include "config/config.h"

typedef struct RunnerPlan RunnerPlan;

/* How long gitlab-runner may go on with what it read: its poll of the file and the request it may have under way
 * (commands/multi.go: 3 s, and check_interval's 3 s). */
#define RUNNER_PLAN_POLL_USEC (4 * USEC_PER_SEC)

/* Translates CONFIG (NULL: configured no more, then URL is what remains) with the shared settings of AGENT. Copies
 * all. Specifiers are expanded with MACHINE's facts. */
int runner_plan_new(const Config *agent, const RunnerConfig *config, const Machine *machine,
        const Secret *template_body, const char *url, bool once, RunnerPlan **ret);
RunnerPlan *runner_plan_free(RunnerPlan *plan);
DEFINE_CLEANUP(RunnerPlan, runner_plan_free)

/* Borrowed from PLAN. */
const Plan *runner_plan_get(const RunnerPlan *plan);

/* The flow that CONFIG's one secret stands for. */
Flow flow_from_config(const RunnerConfig *config);

DeregisterOn deregister_on_from_config(ConfigDeregisterOn value);
