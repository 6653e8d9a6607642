#pragma once

/* From bytes to a checked configuration, as config/load.c does it once the bytes are read. */

#include "config/builder.h"
#include "config/check.h"
#include "config/ini.h"
#include "config/value.h"
#include "config/yaml.h"
#include "tests/fuzz/fuzz.h"

typedef enum FuzzFormat {
        FUZZ_INI,
        FUZZ_YAML,
} FuzzFormat;

static inline void fuzz_config(FuzzFormat format, const uint8_t *data, size_t size)
{
        static const Specifiers host = {
                .host_name = "host-1", .machine_id = "0123456789abcdef0123456789abcdef", .instance_id = "i-0123"};
        _cleanup_mistakes_ Mistakes mistakes = MISTAKES_EMPTY;
        _cleanup_(config_freep) Config *config = NULL;
        _cleanup_free_ char *text = fuzz_text(data, size);
        Builder builder = {.mistakes = &mistakes};

        if (memchr(text, 0, size) || value_check_utf8(text, size) < size)
                return;
        HOLDS(config_new(&config) == 0);
        builder.config = config;
        HOLDS(mistakes_add_file(&mistakes, "config", NULL) == 0);
        HOLDS(builder_begin_file(&builder, "config", false) == 0);
        HOLDS((format == FUZZ_INI ? ini_read(&builder, text, size) : yaml_read(&builder, text, size)) == 0);
        builder_done(&builder);
        HOLDS(config_check(config, &host, 0, &mistakes) == 0);
        mistakes_sort(&mistakes);
        HOLDS(mistakes.n_items <= MISTAKES_MAX);
        for (size_t i = 0; i < mistakes.n_items; i++)
                fuzz_holds_no_control(mistakes.items[i].text);
        /* What is taken can be used: each runner has what makes it one. */
        for (size_t i = 0; mistakes.n_items == 0 && i < config->n_runners; i++) {
                const RunnerConfig *runner = config->runners[i];

                HOLDS(runner->name && value_is_name(runner->name) && runner->url && runner->executor);
                HOLDS(runner_config_secret(runner, NULL));
        }
}
