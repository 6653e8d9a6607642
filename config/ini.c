/* inih does the reading, but a line at a time and never of a value. As distributions build it, its buffer is 200
 * bytes: it cuts longer lines and hands over the rest, cuts names of sections at 49 bytes, glues an indented line to
 * the value before, passes over empty sections, keeps `#` comments and tells the number of one bad line only. So each
 * line is checked here, and what inih gets is a document of its own: the section, the key, and a mark in place of the
 * value, which may be a token and must not stay in a buffer that nobody wipes. */
#include "config/ini.h"

#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <string.h>

#include "config/value.h"

/* What inih takes as one: INI_MAX_LINE, less line end and terminator, and MAX_NAME. */
#define KEY_MAX     48
#define SECTION_MAX 48

#define LINE_MAX_BYTES (VALUE_SIZE_MAX + 1024)

typedef enum Section {
        SECTION_NONE, /* before the first header */
        SECTION_AGENT,
        SECTION_RUNNER,
        SECTION_UNKNOWN, /* told once; what it holds is passed over */
} Section;

typedef struct Reader {
        Builder *builder;
        Section section;
        unsigned line;
        bool stray; /* told of keys before the first header */
        unsigned n_runners;

        /* The line that inih reads. */
        const char *value;
        bool handled;
        int error;
} Reader;

static int on_pair(void *userdata, const char *section, const char *name, const char *value)
{
        Reader *reader = userdata;
        const SettingInput input = {.text = reader->value};

        reader->handled = true;
        reader->error = builder_set(reader->builder, reader->line, name, &input);
        return 1;
}

/* Cuts the comment off: `#` or `;` at the start or after a blank. */
static void cut_comment(char *line)
{
        for (char *p = line; *p; p++)
                if ((*p == '#' || *p == ';') && (p == line || p[-1] == ' ' || p[-1] == '\t')) {
                        *p = 0;
                        return;
                }
}

static char *trim(char *text)
{
        size_t n = strlen(text);

        while (n > 0 && value_is_blank(text[n - 1]))
                text[--n] = 0;
        while (value_is_blank(*text))
                text++;
        return text;
}

static int begin_unknown(Reader *reader, const char *name)
{
        static const char *const known[] = {"agent", "runner NAME", NULL};
        char quoted[VALUE_QUOTE_MAX];

        reader->section = SECTION_UNKNOWN;
        int r = builder_end_section(reader->builder);
        if (r < 0)
                return r;
        return builder_mistake(reader->builder, reader->line, NULL, "unknown section %s, did you mean [%s]?",
                value_quote(name, quoted), config_nearest_word(known, name));
}

/* HEADER is `[…` without blanks around. */
static int read_header(Reader *reader, char *header)
{
        size_t n = strlen(header);
        const char *close = strchr(header, ']');

        if (!close || close[1]) {
                reader->section = SECTION_UNKNOWN;
                int r = builder_end_section(reader->builder);
                if (r < 0)
                        return r;
                return builder_mistake(reader->builder, reader->line, NULL,
                        "the section's header is not closed, expected [agent] or [runner NAME] alone in the line");
        }
        header[n - 1] = 0;
        char *name = trim(header + 1);

        if (strcmp(name, "agent") == 0) {
                reader->section = SECTION_AGENT;
                return builder_begin_agent(reader->builder, reader->line);
        }
        size_t word = strcspn(name, " \t");
        if (word == 6 && memcmp(name, "runner", 6) == 0) {
                reader->section = SECTION_RUNNER;
                return builder_begin_runner(reader->builder, reader->line, trim(name + word), reader->n_runners++);
        }
        return begin_unknown(reader, name);
}

/* Values in quotes would keep them, which nobody expects. */
static bool is_quoted(const char *value)
{
        size_t n = strlen(value);

        return n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n - 1] == value[0];
}

static int read_pair(Reader *reader, char *line)
{
        char document[16 + SECTION_MAX + KEY_MAX], quoted[VALUE_QUOTE_MAX];
        Builder *builder = reader->builder;
        char *equals = strchr(line, '=');

        if (reader->section == SECTION_UNKNOWN)
                return 0;
        if (reader->section == SECTION_NONE) {
                if (reader->stray)
                        return 0;
                reader->stray = true;
                return builder_mistake(builder, reader->line, NULL,
                        "a line before the first section, expected [agent] or [runner NAME] above it");
        }
        if (!equals)
                return builder_mistake(builder, reader->line, builder_section_name(builder),
                        "a line without `=`, expected key = value");
        *equals = 0;
        char *key = trim(line);
        reader->value = trim(equals + 1);

        if (!*key)
                return builder_mistake(builder, reader->line, builder_section_name(builder),
                        "there is no key before `=`, expected key = value");
        /* inih takes `:` for `=`, and blanks and brackets as part of a key. */
        if (strlen(key) > KEY_MAX ||
                key[strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")])
                return builder_mistake(builder, reader->line, builder_section_name(builder),
                        "%s is no key, expected letters and `_` before `=`", value_quote(key, quoted));
        if (is_quoted(reader->value))
                return builder_mistake(builder, reader->line, builder_section_name(builder),
                        "the value of %s is in quotes, which would become part of it, expected none",
                        value_quote(key, quoted));

        reader->handled = false;
        reader->error = 0;
        (void)snprintf(document, sizeof(document), "[%s]\n%s = -\n",
                reader->section == SECTION_AGENT ? "agent" : "runner", key);
        int r = ini_parse_string(document, on_pair, reader);
        reader->value = NULL;
        /* No memory, where inih was built to want some. */
        if (r == -2)
                return -ENOMEM;
        if (r != 0 || !reader->handled)
                return builder_mistake(builder, reader->line, builder_section_name(builder),
                        "the line can't be read, expected key = value");
        return reader->error;
}

static int read_line(Reader *reader, char *line, size_t size)
{
        if (size > 0 && line[size - 1] == '\r')
                line[--size] = 0;
        if (size > LINE_MAX_BYTES)
                return builder_mistake(reader->builder, reader->line, NULL,
                        "the line has %zu bytes, expected at most %d", size, LINE_MAX_BYTES);
        /* In comments, too: what an editor hides there may hide more. */
        for (size_t i = 0; i < size; i++)
                if (((unsigned char)line[i] < ' ' && line[i] != '\t') || line[i] == 0x7f)
                        return builder_mistake(reader->builder, reader->line, NULL,
                                "the line holds a control character, expected text");

        cut_comment(line);
        char *text = trim(line);
        if (!*text)
                return 0;
        return *text == '[' ? read_header(reader, text) : read_pair(reader, text);
}

int ini_read(Builder *builder, char *data, size_t size)
{
        Reader reader = {.builder = builder};
        char *end = data + size;

        for (char *line = data; line < end;) {
                char *newline = memchr(line, '\n', (size_t)(end - line));
                char *stop = newline ? newline : end;

                *stop = 0;
                reader.line++;
                int r = read_line(&reader, line, (size_t)(stop - line));
                if (r < 0)
                        return r;
                line = stop + 1;
        }
        return builder_end_section(builder);
}
