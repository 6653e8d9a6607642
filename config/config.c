#include "config/config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/url.h"
#include "config/schema.h"
#include "config/setting.h"

int config_new(Config **ret)
{
        _cleanup_(config_freep) Config *config = calloc(1, sizeof(*config));

        if (!config)
                return -ENOMEM;
        int r = setting_set_defaults(SCHEMA_AGENT, config);
        if (r < 0)
                return r;
        *ret = take_ptr(config);
        return 0;
}

Config *config_free(Config *config)
{
        if (!config)
                return NULL;
        for (size_t i = 0; i < config->n_runners; i++)
                (void)runner_config_unref(config->runners[i]);
        free(config->runners);
        for (size_t i = 0; i < config->n_files; i++)
                free(config->files[i]);
        free(config->files);
        setting_clear_all(SCHEMA_AGENT, config);
        free(config);
        return NULL;
}

int runner_config_new(RunnerConfig **ret)
{
        _cleanup_(runner_config_unrefp) RunnerConfig *runner = calloc(1, sizeof(*runner));

        if (!runner)
                return -ENOMEM;
        runner->n_refs = 1;
        int r = setting_set_defaults(SCHEMA_RUNNER, runner);
        if (r < 0)
                return r;
        *ret = take_ptr(runner);
        return 0;
}

RunnerConfig *runner_config_ref(RunnerConfig *runner)
{
        assert(runner->n_refs > 0);
        runner->n_refs++;
        return runner;
}

RunnerConfig *runner_config_unref(RunnerConfig *runner)
{
        if (!runner || --runner->n_refs > 0)
                return NULL;
        setting_clear_all(SCHEMA_RUNNER, runner);
        free(runner->file);
        free(runner);
        return NULL;
}

int config_add_runner(Config *config, RunnerConfig *runner)
{
        if (config->n_runners >= CONFIG_RUNNERS_MAX)
                return -E2BIG;
        /* Grown by powers of two: there may be thousands. */
        if ((config->n_runners & (config->n_runners - 1)) == 0) {
                size_t room = config->n_runners > 0 ? 2 * config->n_runners : 1;
                RunnerConfig **grown = reallocarray(config->runners, room, sizeof(*grown));

                if (!grown)
                        return -ENOMEM;
                config->runners = grown;
        }
        config->runners[config->n_runners++] = runner;
        return 0;
}

RunnerConfig *config_find_runner(const Config *config, const char *name)
{
        for (size_t i = 0; i < config->n_runners; i++)
                if (config->runners[i]->name && strcmp(config->runners[i]->name, name) == 0)
                        return config->runners[i];
        return NULL;
}

bool runner_config_equal(const RunnerConfig *a, const RunnerConfig *b)
{
        return setting_equal_all(SCHEMA_RUNNER, a, b);
}

bool config_agent_equal(const Config *a, const Config *b)
{
        return setting_equal_all(SCHEMA_AGENT, a, b);
}

bool config_equal(const Config *a, const Config *b)
{
        if (!config_agent_equal(a, b) || a->n_runners != b->n_runners)
                return false;
        for (size_t i = 0; i < a->n_runners; i++)
                if (!runner_config_equal(a->runners[i], b->runners[i]))
                        return false;
        return true;
}

const char *config_only_url(const Config *config)
{
        for (size_t i = 1; i < config->n_runners; i++)
                if (!url_equal(config->runners[0]->url, config->runners[i]->url))
                        return NULL;
        return config->n_runners > 0 ? config->runners[0]->url : NULL;
}

bool config_place(
        const Config *config, const RunnerConfig *runner, const char *key, const char **ret_file, unsigned *ret_line)
{
        const SchemaRow *row = config_schema_find(runner ? SCHEMA_RUNNER : SCHEMA_AGENT, key);

        if (!row)
                return false;
        size_t index = config_schema_index(row);
        const char *file = runner ? runner->file : config->places[index].file;
        unsigned line = runner ? runner->lines[index] : config->places[index].line;
        if (!file || line == 0)
                return false;
        *ret_file = file;
        *ret_line = line;
        return true;
}

const SecretSource *runner_config_secret(const RunnerConfig *runner, const char **ret_key)
{
        const SchemaRow *row;

        for (size_t i = 0; (row = config_schema_row(i)); i++) {
                if (!(row->flags & SCHEMA_SECRET))
                        continue;
                const SecretSource *source = *(SecretSource *const *)((const char *)runner + row->offset);
                if (!source)
                        continue;
                if (ret_key)
                        *ret_key = row->key;
                return source;
        }
        return NULL;
}
