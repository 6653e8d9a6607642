#pragma once

/* What both readers tell about a file, made into a Config: a section begins, settings follow, it ends. Mistakes are
 * collected and go on; the functions fail with -ENOMEM only. */

#include <stdbool.h>

#include "config/config.h"
#include "config/mistakes.h"
#include "config/schema.h"
#include "config/setting.h"

typedef struct Builder {
        Config *config;     /* borrowed */
        Mistakes *mistakes; /* borrowed */

        const char *file;     /* the one being read; one of config->files */
        bool others_can_read; /* it: then it must hold no secret */
        unsigned agent_line;  /* of its agent section; 0: none yet */

        bool in_agent;
        RunnerConfig *runner;  /* being filled; NULL: none */
        char *runner_name;     /* how messages name it */
        bool named_by_section; /* INI: `name` is no key there */
} Builder;

/* Begins a file: the next of the configuration's. */
int builder_begin_file(Builder *builder, const char *file, bool others_can_read);

/* Begins the agent's section or mapping; a second one in a file is a mistake. */
int builder_begin_agent(Builder *builder, unsigned line);

/* Begins a runner. NAME: from an INI header (anything that stands there), NULL in YAML, where it is item INDEX. */
int builder_begin_runner(Builder *builder, unsigned line, const char *name, unsigned index);

/* Sets KEY of the section that has begun. */
int builder_set(Builder *builder, unsigned line, const char *key, const SettingInput *input);

/* Ends the section, if one has begun. */
int builder_end_section(Builder *builder);

/* Adds a mistake about the file; SUBJECT may be NULL. */
int builder_mistake(Builder *builder, unsigned line, const char *subject, const char *format, ...) _printf_(4, 5);

/* The section's own name for messages: `agent`, `runner build-1`, `runners[0]`. */
const char *builder_section_name(const Builder *builder);

void builder_done(Builder *builder);
