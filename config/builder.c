#include "config/builder.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/base/url.h"
#include "config/value.h"

int builder_begin_file(Builder *builder, const char *file, bool others_can_read)
{
        Config *config = builder->config;
        char **grown = reallocarray(config->files, config->n_files + 1, sizeof(*grown));

        if (!grown)
                return -ENOMEM;
        config->files = grown;
        grown[config->n_files] = strdup(file);
        if (!grown[config->n_files])
                return -ENOMEM;
        builder->file = grown[config->n_files++];
        builder->others_can_read = others_can_read;
        builder->agent_line = 0;
        return 0;
}

int builder_mistake(Builder *builder, unsigned line, const char *subject, const char *format, ...)
{
        _cleanup_free_ char *sentence = NULL;
        va_list arguments;

        va_start(arguments, format);
        int n = vasprintf(&sentence, format, arguments);
        va_end(arguments);
        if (n < 0) {
                sentence = NULL;
                return -ENOMEM;
        }
        return mistakes_add(builder->mistakes, builder->file, line, subject, "%s", sentence);
}

const char *builder_section_name(const Builder *builder)
{
        return builder->in_agent ? "agent" : builder->runner_name;
}

int builder_begin_agent(Builder *builder, unsigned line)
{
        int r = builder_end_section(builder);
        if (r < 0)
                return r;
        builder->in_agent = true;
        if (builder->agent_line > 0)
                return builder_mistake(builder, line, "agent",
                        "the section is there twice, expected one in a file (the first is in line %u)",
                        builder->agent_line);
        builder->agent_line = line;
        return 0;
}

/* "runner NAME", unless NAME is none. */
static int name_runner(Builder *builder, const char *name)
{
        char *subject;

        if (asprintf(&subject, "runner %s", name) < 0)
                return -ENOMEM;
        free(builder->runner_name);
        builder->runner_name = subject;
        return 0;
}

int builder_begin_runner(Builder *builder, unsigned line, const char *name, unsigned index)
{
        _cleanup_(runner_config_unrefp) RunnerConfig *runner = NULL;

        int r = builder_end_section(builder);
        if (r < 0)
                return r;
        r = runner_config_new(&runner);
        if (r < 0)
                return r;
        runner->line = line;
        runner->file = strdup(builder->file);
        if (!runner->file)
                return -ENOMEM;

        builder->named_by_section = false;
        if (!name) {
                if (asprintf(&builder->runner_name, "runners[%u]", index) < 0) {
                        builder->runner_name = NULL;
                        return -ENOMEM;
                }
                builder->runner = take_ptr(runner);
                return 0;
        }

        builder->runner_name = strdup("runner");
        if (!builder->runner_name)
                return -ENOMEM;
        builder->runner = take_ptr(runner);
        const SettingInput input = {.text = name};
        r = builder_set(builder, line, "name", &input);
        builder->named_by_section = true;
        return r;
}

/* The line in which the setting stands already in this section and file; 0: nowhere. */
static unsigned earlier_line(const Builder *builder, size_t index)
{
        if (builder->runner)
                return builder->runner->lines[index];
        return builder->config->places[index].file == builder->file ? builder->config->places[index].line : 0;
}

static void note_line(Builder *builder, size_t index, unsigned line)
{
        if (builder->runner)
                builder->runner->lines[index] = line;
        else
                builder->config->places[index] = (ConfigPlace){.file = builder->file, .line = line};
}

static int unknown_key(Builder *builder, unsigned line, SchemaSection section, const char *key)
{
        _cleanup_free_ char *subject = NULL;
        char quoted[VALUE_QUOTE_MAX];
        SchemaSection other = section == SCHEMA_AGENT ? SCHEMA_RUNNER : SCHEMA_AGENT;

        /* Without its quotes; what looks like a token is not repeated. */
        (void)value_quote(key, quoted);
        bool shown = quoted[0] == '\'';
        if (asprintf(&subject, "%s%s%.*s", builder_section_name(builder), shown ? "." : "",
                    shown ? (int)strlen(quoted) - 2 : 0, quoted + 1) < 0) {
                subject = NULL;
                return -ENOMEM;
        }
        if (config_schema_find(other, key))
                return builder_mistake(builder, line, subject, "unknown key, expected it in %s",
                        other == SCHEMA_AGENT ? "the agent's section" : "a runner's section");
        if (!shown)
                return builder_mistake(builder, line, subject, "unknown key, expected one that the section has");
        return builder_mistake(
                builder, line, subject, "unknown key, did you mean '%s'?", config_schema_nearest(section, key));
}

/* A password or a token where others can read it. */
static int check_readers(Builder *builder, unsigned line, const SchemaRow *row, const char *subject)
{
        bool secret = false;

        if (!builder->others_can_read || !builder->runner)
                return 0;
        if (row->type == SCHEMA_SOURCE) {
                const SecretSource *source = *(SecretSource *const *)((const char *)builder->runner + row->offset);
                secret = source && source->kind == SECRET_SOURCE_LITERAL;
        } else if (row->type == SCHEMA_PROXY && builder->runner->proxy)
                (void)url_check_proxy(builder->runner->proxy, &secret, NULL);
        if (!secret)
                return 0;
        return builder_mistake(builder, line, subject,
                row->type == SCHEMA_SOURCE
                        ? "the token stands in a file that others can read, expected mode 0600, or %s"
                        : "the password stands in a file that others can read, expected mode 0600",
                SECRET_SOURCE_FORMS);
}

int builder_set(Builder *builder, unsigned line, const char *key, const SettingInput *input)
{
        _cleanup_free_ char *subject = NULL, *wrong = NULL;
        SchemaSection section = builder->runner ? SCHEMA_RUNNER : SCHEMA_AGENT;
        const SchemaRow *row = config_schema_find(section, key);

        if (!row)
                return unknown_key(builder, line, section, key);
        size_t index = config_schema_index(row);
        int r = config_setting_name(row, builder_section_name(builder), &subject);
        if (r < 0)
                return r;
        if (row->type == SCHEMA_NAME && builder->named_by_section)
                return builder_mistake(
                        builder, line, subject, "the section's header holds the name, expected no such key");
        unsigned earlier = earlier_line(builder, index);
        if (earlier > 0)
                return builder_mistake(builder, line, subject,
                        "it is set twice, expected it once (the first is in line %u)", earlier);

        /* Noted even if it turns out wrong: it is not missing then. */
        note_line(builder, index, line);
        r = setting_parse(row, input, builder->runner ? (void *)builder->runner : (void *)builder->config, &wrong);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return builder_mistake(builder, line, subject, "%s, expected %s", wrong, row->expected);
        if (row->type == SCHEMA_NAME) {
                r = name_runner(builder, builder->runner->name);
                if (r < 0)
                        return r;
        }
        return check_readers(builder, line, row, subject);
}

int builder_end_section(Builder *builder)
{
        builder->in_agent = false;
        builder->runner_name = (free(builder->runner_name), NULL);
        if (!builder->runner)
                return 0;
        int r = config_add_runner(builder->config, builder->runner);
        if (r == -E2BIG) {
                unsigned line = builder->runner->line;

                builder->runner = runner_config_unref(builder->runner);
                return builder_mistake(
                        builder, line, NULL, "there are more than %d runners, expected fewer", CONFIG_RUNNERS_MAX);
        }
        if (r < 0)
                return r;
        builder->runner = NULL;
        return 0;
}

void builder_done(Builder *builder)
{
        builder->runner = runner_config_unref(builder->runner);
        free(builder->runner_name);
        builder->runner_name = NULL;
}
