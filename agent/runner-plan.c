#include "agent/runner-plan.h"

#include <string.h>

#include "config/text.h"

struct RunnerPlan {
        Plan plan;
        Attributes attributes;
        char *executor;
        Secret *template_body; /* templates may hold passwords */
};

static int copy_list(char **list, char ***ret)
{
        size_t n = 0;

        while (list[n])
                n++;
        char **copy = calloc(n + 1, sizeof(*copy));
        if (!copy)
                return -ENOMEM;
        *ret = copy;
        for (size_t i = 0; i < n; i++)
                if (replace_string(&copy[i], list[i]) < 0)
                        return -ENOMEM;
        return 0;
}

static int expand(const char *text, const Machine *machine, char **ret)
{
        Specifiers specifiers = {
                .host_name = machine->host_name,
                .machine_id = machine->machine_id,
                .instance_id = machine->instance_id,
        };

        if (!text)
                return 0;
        return text_expand(text, &specifiers, ret, NULL);
}

static int translate_attributes(const RunnerConfig *config, const Machine *machine, Attributes *a)
{
        int r;

        *a = (Attributes){
                .run_untagged = config->run_untagged,
                .locked = config->locked,
                .paused = config->paused,
                .maximum_timeout = config->maximum_timeout,
                .group_id = config->group_id,
                .project_id = config->project_id,
        };
        /* GitLab lists runners by description; without one they all look alike. */
        r = config->description ? expand(config->description, machine, &a->description)
                                : replace_string(&a->description, config->name);
        if (r >= 0)
                r = expand(config->maintenance_note, machine, &a->maintenance_note);
        if (r >= 0 && config->tag_list)
                r = copy_list(config->tag_list, &a->tag_list);
        if (r >= 0)
                r = replace_string(&a->access_level, config->access_level);
        if (r >= 0)
                r = replace_string(&a->runner_type, config->runner_type);
        return r;
}

Flow flow_from_config(const RunnerConfig *config)
{
        if (config->authentication_token)
                return FLOW_AUTHENTICATION_TOKEN;
        return config->access_token ? FLOW_ACCESS_TOKEN : FLOW_REGISTRATION_TOKEN;
}

static RotationPolicy rotation_of(ConfigRotation rotation)
{
        switch (rotation) {
        case CONFIG_ROTATION_AUTO:
                return ROTATION_AUTO;
        case CONFIG_ROTATION_ALWAYS:
                return ROTATION_ALWAYS;
        case CONFIG_ROTATION_NEVER:
                return ROTATION_NEVER;
        case CONFIG_ROTATION_GITLAB_RUNNER:
                return ROTATION_GITLAB_RUNNER;
        case _CONFIG_ROTATION_MAX:
        case _CONFIG_ROTATION_INVALID:
                break;
        }
        return ROTATION_NEVER;
}

DeregisterOn deregister_on_from_config(ConfigDeregisterOn value)
{
        switch (value) {
        case CONFIG_DEREGISTER_ON_STOP:
                return DEREGISTER_ON_STOP;
        case CONFIG_DEREGISTER_ON_ALWAYS:
                return DEREGISTER_ON_ALWAYS;
        case CONFIG_DEREGISTER_ON_POWEROFF:
                return DEREGISTER_ON_POWEROFF;
        case CONFIG_DEREGISTER_ON_NEVER:
        case _CONFIG_DEREGISTER_ON_MAX:
        case _CONFIG_DEREGISTER_ON_INVALID:
                break;
        }
        return DEREGISTER_ON_NEVER;
}

static int translate_runner(const RunnerConfig *config, const Machine *machine, RunnerPlan *p)
{
        Plan *plan = &p->plan;
        const Target target = {
                .url = config->url,
                .tls_ca_file = config->tls_ca_file,
                .tls_cert_file = config->tls_cert_file,
                .tls_key_file = config->tls_key_file,
                .proxy = config->proxy,
        };

        plan->flow = flow_from_config(config);
        plan->rotation = rotation_of(config->rotation);
        plan->reregister = config->on_removed == CONFIG_ON_REMOVED_REREGISTER;
        int r = target_copy(&plan->target, &target);
        if (r >= 0)
                r = translate_attributes(config, machine, &p->attributes);
        if (r >= 0)
                r = replace_string(&p->executor, config->executor);
        plan->attributes = &p->attributes;
        plan->executor = p->executor;
        return r;
}

int runner_plan_new(const Config *agent, const RunnerConfig *config, const Machine *machine,
        const Secret *template_body, const char *url, bool once, RunnerPlan **ret)
{
        _cleanup_(runner_plan_freep) RunnerPlan *p = calloc(1, sizeof(*p));
        int r;

        if (!p)
                return -ENOMEM;
        p->plan = (Plan){
                .configured = config != NULL,
                .once = once,
                .rotation = ROTATION_NEVER,
                .verify_interval_usec = agent->verify_interval_usec,
                .removed_after_usec = agent->removed_after_usec,
                .retry_min_usec = agent->retry_min_usec,
                .retry_max_usec = agent->retry_max_usec,
                .refused_retry_usec = agent->refused_retry_usec,
                .rotate_after_usec = agent->rotate_after_usec,
                .rotate_at = agent->rotate_at_percent / 100.0,
                .poll_usec = RUNNER_PLAN_POLL_USEC,
        };
        r = config ? translate_runner(config, machine, p) : replace_string(&p->plan.target.url, url);
        if (r >= 0 && template_body)
                r = secret_copy(template_body, &p->template_body);
        if (r < 0)
                return r;
        p->plan.template_body = p->template_body ? secret_data(p->template_body) : NULL;
        *ret = take_ptr(p);
        return 0;
}

RunnerPlan *runner_plan_free(RunnerPlan *p)
{
        if (!p)
                return NULL;
        target_done(&p->plan.target);
        attributes_done(&p->attributes);
        free(p->executor);
        (void)secret_free(p->template_body);
        free(p);
        return NULL;
}

const Plan *runner_plan_get(const RunnerPlan *p)
{
        return &p->plan;
}
