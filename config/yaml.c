/* libyaml's events, taken one at a time: nothing of the document is kept. Its aliases and its depth are without bound
 * (a few lines of aliases make billions of nodes), so aliases are refused and depth is counted here; the file's size
 * bounds the rest. Scalars may be tokens, so they are wiped, and so are libyaml's own buffers at the end. */
#include "config/yaml.h"

#include <errno.h>
#include <string.h>
#include <yaml.h>

#include "config/value.h"

/* The document needs four; deeper nesting is passed over as far as this, and then no more. */
#define DEPTH_MAX 16

/* Items of one sequence that a setting takes; its own limit is far below. */
#define ITEMS_MAX 1024

typedef struct Reader {
        Builder *builder;
        yaml_parser_t parser;
        bool broken; /* no more events: told already */
} Reader;

static void wipe_buffer(yaml_char_t *start, yaml_char_t *end)
{
        if (start)
                explicit_bzero(start, (size_t)(end - start));
}

static void event_done(yaml_event_t *event)
{
        if (event->type == YAML_SCALAR_EVENT && event->data.scalar.value)
                explicit_bzero(event->data.scalar.value, event->data.scalar.length);
        yaml_event_delete(event);
}

#define _cleanup_event_ _cleanup_(event_done)

static unsigned event_line(const yaml_event_t *event)
{
        return (unsigned)event->start_mark.line + 1;
}

static bool starts_collection(const yaml_event_t *event)
{
        return event->type == YAML_SEQUENCE_START_EVENT || event->type == YAML_MAPPING_START_EVENT;
}

static bool ends_collection(const yaml_event_t *event)
{
        return event->type == YAML_SEQUENCE_END_EVENT || event->type == YAML_MAPPING_END_EVENT;
}

/* The text of libyaml's problem is its own, never the file's. */
static int tell_problem(Reader *reader)
{
        const yaml_parser_t *parser = &reader->parser;
        size_t line = parser->error == YAML_READER_ERROR ? parser->mark.line : parser->problem_mark.line;

        return builder_mistake(reader->builder, (unsigned)line + 1, NULL,
                "the YAML can't be read: %s%s%s, expected valid YAML", parser->context ? parser->context : "",
                parser->context ? ", " : "", parser->problem ? parser->problem : "malformed");
}

/* What no node may have. 1: the node has it, and a mistake says so. */
static int check_node(Reader *reader, const yaml_event_t *event)
{
        const yaml_char_t *anchor = NULL, *tag = NULL;
        int r = 0;

        switch (event->type) {
        case YAML_ALIAS_EVENT:
                r = builder_mistake(
                        reader->builder, event_line(event), NULL, "an alias is used, expected the value itself");
                return r < 0 ? r : 1;
        case YAML_SCALAR_EVENT:
                anchor = event->data.scalar.anchor;
                tag = event->data.scalar.tag;
                break;
        case YAML_SEQUENCE_START_EVENT:
                anchor = event->data.sequence_start.anchor;
                tag = event->data.sequence_start.tag;
                break;
        case YAML_MAPPING_START_EVENT:
                anchor = event->data.mapping_start.anchor;
                tag = event->data.mapping_start.tag;
                break;
        default:
                return 0;
        }
        if (!anchor && !tag)
                return 0;
        r = builder_mistake(reader->builder, event_line(event), NULL, "%s is used, expected the value alone",
                anchor ? "an anchor" : "a tag");
        return r < 0 ? r : 1;
}

/* The next event. Once broken only ends come, so that every loop ends. */
static int next(Reader *reader, yaml_event_t *ret)
{
        if (!reader->broken) {
                if (yaml_parser_parse(&reader->parser, ret))
                        return 0;
                reader->broken = true;
                if (reader->parser.error == YAML_MEMORY_ERROR)
                        return -ENOMEM;
                int r = tell_problem(reader);
                if (r < 0)
                        return r;
        }
        *ret = (yaml_event_t){.type = YAML_STREAM_END_EVENT};
        return 0;
}

static bool is_end(const yaml_event_t *event)
{
        return ends_collection(event) || event->type == YAML_STREAM_END_EVENT;
}

/* Passes over the rest of the node that EVENT began, looking for what is forbidden everywhere. */
static int skip_node(Reader *reader, const yaml_event_t *event)
{
        unsigned depth = starts_collection(event);

        while (depth > 0) {
                _cleanup_event_ yaml_event_t inner = {0};

                int r = next(reader, &inner);
                if (r < 0)
                        return r;
                if (inner.type == YAML_STREAM_END_EVENT)
                        return 0;
                r = check_node(reader, &inner);
                if (r < 0)
                        return r;
                depth += starts_collection(&inner);
                depth -= ends_collection(&inner);
                if (depth > DEPTH_MAX) {
                        reader->broken = true;
                        return builder_mistake(reader->builder, event_line(&inner), NULL,
                                "the nesting is deeper than %d, expected `agent` and `runners`", DEPTH_MAX);
                }
        }
        return 0;
}

/* Whether a plain scalar is YAML's null: a key without value. */
static bool is_null(const yaml_event_t *event)
{
        static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};

        if (event->type != YAML_SCALAR_EVENT || event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
                return false;
        for (size_t i = 0; i < ELEMENTS(nulls); i++)
                if (strcmp((const char *)event->data.scalar.value, nulls[i]) == 0)
                        return true;
        return false;
}

static const char *scalar_text(const yaml_event_t *event)
{
        return (const char *)event->data.scalar.value;
}

/* Valid text has no NUL, but `"\0"` makes one: what follows it would be lost. 1: told. */
static int check_scalar(Reader *reader, const yaml_event_t *event)
{
        if (strlen(scalar_text(event)) == event->data.scalar.length)
                return 0;
        int r = builder_mistake(
                reader->builder, event_line(event), NULL, "a value holds a NUL character, expected text");
        return r < 0 ? r : 1;
}

static void wipe_items(char ***items)
{
        for (char **item = *items; item && *item; item++)
                explicit_bzero(*item, strlen(*item));
        (void)value_list_free(*items);
}

/* The items behind the start of a sequence. *RET is NULL if something was wrong, and told. */
static int read_items(Reader *reader, const char *key, char ***ret)
{
        _cleanup_(wipe_items) char **items = calloc(1, sizeof(*items));
        size_t n = 0;
        bool wrong = false;

        if (!items)
                return -ENOMEM;
        for (;;) {
                _cleanup_event_ yaml_event_t event = {0};

                int r = next(reader, &event);
                if (r < 0)
                        return r;
                if (is_end(&event))
                        break;
                r = check_node(reader, &event);
                if (r == 0 && event.type != YAML_SCALAR_EVENT) {
                        r = builder_mistake(reader->builder, event_line(&event),
                                builder_section_name(reader->builder),
                                "an item of %s is a list or mapping, expected a value", key);
                        r = r < 0 ? r : 1;
                } else if (r == 0)
                        r = check_scalar(reader, &event);
                if (r == 0 && n >= ITEMS_MAX) {
                        r = wrong ? 1
                                  : builder_mistake(reader->builder, event_line(&event),
                                            builder_section_name(reader->builder),
                                            "%s has more than %d items, expected fewer", key, ITEMS_MAX);
                        r = r < 0 ? r : 1;
                }
                if (r == 0)
                        r = value_list_append(&items, n++, is_null(&event) ? "" : scalar_text(&event));
                else if (r > 0) {
                        wrong = true;
                        r = skip_node(reader, &event);
                }
                if (r < 0)
                        return r;
        }
        *ret = wrong || reader->broken ? NULL : take_ptr(items);
        return 0;
}

/* One setting: KEY's value is the next node. */
static int read_setting(Reader *reader, const yaml_event_t *key)
{
        _cleanup_event_ yaml_event_t value = {0};
        Builder *builder = reader->builder;
        char quoted[VALUE_QUOTE_MAX];

        int r = next(reader, &value);
        if (r < 0)
                return r;
        if (is_end(&value))
                return 0;
        r = check_node(reader, &value);
        if (r < 0)
                return r;
        if (r > 0)
                return skip_node(reader, &value);

        if (value.type == YAML_SCALAR_EVENT) {
                const SettingInput input = {.text = is_null(&value) ? "" : scalar_text(&value)};

                r = check_scalar(reader, &value);
                return r != 0 ? (r < 0 ? r : 0) : builder_set(builder, event_line(key), scalar_text(key), &input);
        }
        if (value.type == YAML_SEQUENCE_START_EVENT) {
                _cleanup_(wipe_items) char **items = NULL;

                r = read_items(reader, value_quote(scalar_text(key), quoted), &items);
                if (r < 0 || !items)
                        return r;
                const SettingInput input = {.items = items};
                return builder_set(builder, event_line(key), scalar_text(key), &input);
        }
        r = builder_mistake(builder, event_line(&value), builder_section_name(builder),
                "%s is a mapping, expected a value", value_quote(scalar_text(key), quoted));
        return r < 0 ? r : skip_node(reader, &value);
}

/* Whether KEY is one; else says so and passes over it and its value. 1: it is. */
static int check_key(Reader *reader, const yaml_event_t *key)
{
        int r = check_node(reader, key);

        if (r == 0 && key->type != YAML_SCALAR_EVENT) {
                r = builder_mistake(reader->builder, event_line(key), NULL,
                        "a list or mapping stands where a key belongs, expected a key");
                r = r < 0 ? r : 1;
        } else if (r == 0)
                r = check_scalar(reader, key);
        if (r == 0)
                return 1;
        if (r < 0)
                return r;

        _cleanup_event_ yaml_event_t value = {0};
        r = skip_node(reader, key);
        if (r >= 0)
                r = next(reader, &value);
        if (r >= 0)
                r = skip_node(reader, &value);
        return r;
}

/* The settings behind the start of a mapping. */
static int read_settings(Reader *reader)
{
        for (;;) {
                _cleanup_event_ yaml_event_t key = {0};

                int r = next(reader, &key);
                if (r < 0 || is_end(&key))
                        return r;
                r = check_key(reader, &key);
                if (r > 0)
                        r = read_setting(reader, &key);
                if (r < 0)
                        return r;
        }
}

static int read_runners(Reader *reader)
{
        for (unsigned index = 0;; index++) {
                _cleanup_event_ yaml_event_t item = {0};

                int r = next(reader, &item);
                if (r < 0 || is_end(&item))
                        return r;
                r = check_node(reader, &item);
                if (r == 0 && item.type != YAML_MAPPING_START_EVENT) {
                        r = builder_mistake(reader->builder, event_line(&item), NULL,
                                "runners[%u]: it is no mapping, expected name, url and the other keys of a runner",
                                index);
                        r = r < 0 ? r : 1;
                }
                if (r == 0) {
                        r = builder_begin_runner(reader->builder, event_line(&item), NULL, index);
                        if (r >= 0)
                                r = read_settings(reader);
                        if (r >= 0)
                                r = builder_end_section(reader->builder);
                } else if (r > 0)
                        r = skip_node(reader, &item);
                if (r < 0)
                        return r;
        }
}

/* What is below `agent` or `runners`; nothing at all is fine. */
static int read_section(Reader *reader, bool agent, unsigned line)
{
        _cleanup_event_ yaml_event_t value = {0};

        int r = next(reader, &value);
        if (r < 0)
                return r;
        r = check_node(reader, &value);
        if (r < 0)
                return r;
        if (r > 0)
                return skip_node(reader, &value);
        if (is_null(&value) || is_end(&value))
                return 0;

        if (agent && value.type == YAML_MAPPING_START_EVENT) {
                r = builder_begin_agent(reader->builder, line);
                if (r >= 0)
                        r = read_settings(reader);
                return r < 0 ? r : builder_end_section(reader->builder);
        }
        if (!agent && value.type == YAML_SEQUENCE_START_EVENT)
                return read_runners(reader);
        r = builder_mistake(reader->builder, event_line(&value), agent ? "agent" : "runners",
                agent ? "it is no mapping, expected key: value below it"
                      : "it is no list, expected one item, beginning with `-`, for each runner");
        return r < 0 ? r : skip_node(reader, &value);
}

static int read_unknown(Reader *reader, const yaml_event_t *key)
{
        static const char *const known[] = {"agent", "runners", NULL};
        char quoted[VALUE_QUOTE_MAX];
        _cleanup_event_ yaml_event_t value = {0};

        int r = builder_mistake(reader->builder, event_line(key), NULL, "unknown section %s, did you mean '%s'?",
                value_quote(scalar_text(key), quoted), config_nearest_word(known, scalar_text(key)));
        if (r < 0)
                return r;
        r = next(reader, &value);
        return r < 0 ? r : skip_node(reader, &value);
}

/* The sections behind the start of the document's mapping. */
static int read_sections(Reader *reader)
{
        bool has_runners = false;

        for (;;) {
                _cleanup_event_ yaml_event_t key = {0};

                int r = next(reader, &key);
                if (r < 0 || is_end(&key))
                        return r;
                r = check_key(reader, &key);
                if (r == 0)
                        continue;
                if (r > 0 && strcmp(scalar_text(&key), "agent") == 0)
                        r = read_section(reader, true, event_line(&key));
                else if (r > 0 && strcmp(scalar_text(&key), "runners") == 0) {
                        r = has_runners ? builder_mistake(reader->builder, event_line(&key), "runners",
                                                  "the section is there twice, expected one in a file")
                                        : 0;
                        has_runners = true;
                        if (r >= 0)
                                r = read_section(reader, false, event_line(&key));
                } else if (r > 0)
                        r = read_unknown(reader, &key);
                if (r < 0)
                        return r;
        }
}

/* The whole stream: at most one document. */
static int read_stream(Reader *reader)
{
        for (unsigned documents = 0;;) {
                _cleanup_event_ yaml_event_t event = {0};

                int r = next(reader, &event);
                if (r < 0 || event.type == YAML_STREAM_END_EVENT)
                        return r;
                if (event.type == YAML_DOCUMENT_START_EVENT) {
                        if (++documents > 1)
                                return builder_mistake(reader->builder, event_line(&event), NULL,
                                        "there is a second document, expected one");
                        continue;
                }
                if (event.type == YAML_STREAM_START_EVENT || event.type == YAML_DOCUMENT_END_EVENT || is_null(&event))
                        continue;
                r = check_node(reader, &event);
                if (r == 0 && event.type == YAML_MAPPING_START_EVENT)
                        r = read_sections(reader);
                else if (r >= 0) {
                        r = r > 0 ? 0
                                  : builder_mistake(reader->builder, event_line(&event), NULL,
                                            "the document is no mapping, expected `agent:` and `runners:`");
                        if (r >= 0)
                                r = skip_node(reader, &event);
                }
                if (r < 0)
                        return r;
        }
}

int yaml_read(Builder *builder, const char *data, size_t size)
{
        Reader reader = {.builder = builder};

        if (!yaml_parser_initialize(&reader.parser))
                return -ENOMEM;
        yaml_parser_set_input_string(&reader.parser, (const unsigned char *)data, size);
        yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
        int r = read_stream(&reader);
        wipe_buffer(reader.parser.raw_buffer.start, reader.parser.raw_buffer.end);
        wipe_buffer(reader.parser.buffer.start, reader.parser.buffer.end);
        yaml_parser_delete(&reader.parser);
        if (r < 0)
                return r;
        return builder_end_section(builder);
}
