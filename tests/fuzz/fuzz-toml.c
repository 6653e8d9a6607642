/* A config.toml, or a template: what 1.0 takes 1.1 takes with the same values, and every value lies where it says. */

#include "agent/core/toml.h"
#include "tests/fuzz/fuzz.h"

static void check_spans(const TomlValue *value, size_t size)
{
        HOLDS(value->span.start <= value->span.end && value->span.end <= size && value->depth <= TOML_DEPTH_MAX);
        for (const TomlValue *child = toml_value_first(value); child; child = child->next) {
                HOLDS(child->parent == value && child->has_key == (value->type == TOML_TYPE_TABLE));
                check_spans(child, size);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_(toml_document_freep) TomlDocument *strict = NULL, *document = NULL;
        TomlError error = {0};

        int strictly = toml_document_parse(data, size, TOML_VERSION_1_0, &strict, NULL);
        int r = toml_document_parse(data, size, TOML_VERSION_1_1, &document, &error);
        if (r < 0) {
                HOLDS(strictly < 0 && error.text[0] && (r == -EBADMSG || r == -EFBIG));
                return 0;
        }
        check_spans(toml_document_root(document), size);
        HOLDS(toml_value_equal(toml_document_root(document), toml_document_root(document)));
        if (strictly == 0)
                HOLDS(toml_value_equal(toml_document_root(strict), toml_document_root(document)));
        for (const TomlExpression *e = toml_document_expressions(document); e; e = e->next)
                HOLDS(e->line_start <= e->key.start && e->key.end <= e->end && e->end <= e->line_end &&
                        e->line_end <= size);
        return 0;
}
