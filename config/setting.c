#include "config/setting.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "agent/base/url.h"
#include "config/config.h"
#include "config/text.h"
#include "config/value.h"

/* GitLab's limit of a tag's name. */
#define TAG_CHARACTERS_MAX 255

/* Enums are set through an int: one that the compiler made smaller would be overrun. */
static_assert(sizeof(ConfigRotation) == sizeof(int) && sizeof(ConfigDeregisterOn) == sizeof(int) &&
                      sizeof(ConfigOnRemoved) == sizeof(int),
        "enums are ints");

static void *member(const SchemaRow *row, void *section)
{
        return (char *)section + row->offset;
}

static const void *const_member(const SchemaRow *row, const void *section)
{
        return (const char *)section + row->offset;
}

static int set_string(void *field, const char *text)
{
        char *copy = strdup(text);

        if (!copy)
                return -ENOMEM;
        (void)string_wipe_free(*(char **)field);
        *(char **)field = copy;
        return 0;
}

static int parse_name(const SchemaRow *row, const char *text, void *field, char **reterr)
{
        char quoted[VALUE_QUOTE_MAX];

        if (!value_is_name(text))
                return value_fail(reterr, -EINVAL, "%s is no NAME", value_quote(text, quoted));
        return set_string(field, text);
}

static int parse_text(const SchemaRow *row, const char *text, void *field, char **reterr)
{
        int r = text_expand(text, NULL, NULL, reterr);

        return r < 0 ? r : set_string(field, text);
}

static int parse_path(const SchemaRow *row, const char *text, void *field, char **reterr)
{
        char quoted[VALUE_QUOTE_MAX];

        if (!value_is_path(text))
                return value_fail(reterr, -EINVAL, "%s is no absolute path", value_quote(text, quoted));
        return set_string(field, text);
}

static int parse_service(const SchemaRow *row, const char *text, void *field, char **reterr)
{
        char quoted[VALUE_QUOTE_MAX];

        if (!value_is_service(text))
                return value_fail(reterr, -EINVAL, "%s is no service", value_quote(text, quoted));
        return set_string(field, text);
}

/* Plain http is judged later, beside allow_http. */
static int parse_url(const SchemaRow *row, const char *text, void *field, char **reterr)
{
        int r = url_check(text, reterr);

        return r < 0 ? r : set_string(field, text);
}

static int parse_proxy(const SchemaRow *row, const char *text, void *field, char **reterr)
{
        bool secret;
        int r = url_check_proxy(text, &secret, reterr);

        return r < 0 ? r : set_string(field, text);
}

/* The index of TEXT among the row's choices. */
static int find_choice(const SchemaRow *row, const char *text, size_t *ret, char **reterr)
{
        char quoted[VALUE_QUOTE_MAX];

        for (size_t i = 0; row->choices[i]; i++)
                if (strcmp(row->choices[i], text) == 0) {
                        *ret = i;
                        return 0;
                }
        return value_fail(reterr, -EINVAL, "%s is unknown", value_quote(text, quoted));
}

static int parse_choice(const SchemaRow *row, const char *text, void *field, char **reterr)
{
        size_t index = 0;
        int r = find_choice(row, text, &index, reterr);

        return r < 0 ? r : set_string(field, text);
}

static int parse_enum(const SchemaRow *row, const char *text, void *field, char **reterr)
{
        size_t index = 0;
        int r = find_choice(row, text, &index, reterr);

        if (r >= 0)
                *(int *)field = (int)index;
        return r;
}

static int parse_boolean(const SchemaRow *row, const char *text, void *field, char **reterr)
{
        char quoted[VALUE_QUOTE_MAX];
        bool value;

        if (value_parse_boolean(text, &value) < 0)
                return value_fail(reterr, -EINVAL, "%s is neither", value_quote(text, quoted));
        *(int *)field = value;
        return 0;
}

static int parse_integer(const SchemaRow *row, const char *text, void *field, char **reterr)
{
        char quoted[VALUE_QUOTE_MAX];
        int64_t value;
        int r = value_parse_integer(text, &value);

        if (r == -EINVAL)
                return value_fail(reterr, -EINVAL, "%s is no whole number", value_quote(text, quoted));
        if (r < 0 || value < row->min || value > row->max)
                return value_fail(reterr, -EINVAL, "%s is too %s", value_quote(text, quoted),
                        text[0] == '-' || (r >= 0 && value < row->min) ? "small" : "large");
        *(int64_t *)field = value;
        return 0;
}

static int parse_percent(const SchemaRow *row, const char *text, void *field, char **reterr)
{
        char quoted[VALUE_QUOTE_MAX];
        unsigned value;

        if (value_parse_percent(text, &value) < 0)
                return value_fail(reterr, -EINVAL, "%s is no percentage", value_quote(text, quoted));
        if (value < row->min || value > row->max)
                return value_fail(reterr, -EINVAL, "%s is out of range", value_quote(text, quoted));
        *(unsigned *)field = value;
        return 0;
}

static int parse_duration(const SchemaRow *row, const char *text, void *field, char **reterr)
{
        char quoted[VALUE_QUOTE_MAX];
        uint64_t value;

        if ((row->flags & SCHEMA_MAY_NEVER) && strcmp(text, "never") == 0) {
                *(uint64_t *)field = USEC_INFINITY;
                return 0;
        }
        int r = value_parse_duration(text, &value);
        if (r == -ERANGE)
                return value_fail(reterr, -EINVAL, "%s is longer than a hundred years", value_quote(text, quoted));
        if (r < 0)
                return value_fail(reterr, -EINVAL, "%s is no duration", value_quote(text, quoted));
        if (value < USEC_PER_SEC)
                return value_fail(reterr, -EINVAL, "%s is too short", value_quote(text, quoted));
        *(uint64_t *)field = value;
        return 0;
}

static int parse_source(const SchemaRow *row, const char *text, void *field, char **reterr)
{
        _cleanup_(secret_source_freep) SecretSource *source = NULL;
        int r = secret_source_parse(text, SECRET_SOURCE_ALLOW_LITERAL, &source, reterr);

        if (r < 0)
                return r;
        (void)secret_source_free(*(SecretSource **)field);
        *(SecretSource **)field = take_ptr(source);
        return 0;
}

/* ITEMS is the callee's to take, by leaving NULL behind. */
static int take_list(const SchemaRow *row, char ***items, void *field, char **reterr)
{
        char **list = *items, quoted[VALUE_QUOTE_MAX];
        size_t n = 0;

        for (char **item = list; *item; item++)
                if (value_count_characters(*item, strlen(*item)) > TAG_CHARACTERS_MAX)
                        return value_fail(reterr, -EINVAL, "%s has more than %d characters",
                                value_quote(*item, quoted), TAG_CHARACTERS_MAX);

        /* GitLab keeps one of equal tags; so do we, for the limit. */
        for (char **item = list; *item; item++) {
                bool known = false;

                for (size_t k = 0; k < n && !known; k++)
                        known = strcmp(list[k], *item) == 0;
                if (known)
                        free(*item);
                else
                        list[n++] = *item;
        }
        list[n] = NULL;
        if (n > (size_t)row->max)
                return value_fail(reterr, -EINVAL, "there are %zu", n);

        (void)value_list_free(*(char ***)field);
        *(char ***)field = take_ptr(*items);
        return 0;
}

static int take_termination(const SchemaRow *row, char ***items, void *field, char **reterr)
{
        static const unsigned bits[] = {
                CONFIG_TERMINATION_AUTO, 0, CONFIG_TERMINATION_AWS, CONFIG_TERMINATION_GCP, CONFIG_TERMINATION_AZURE};
        unsigned value = 0;
        bool alone = false;

        for (size_t i = 0; (*items)[i]; i++) {
                size_t index = 0;
                int r = find_choice(row, (*items)[i], &index, reterr);

                if (r < 0)
                        return r;
                value |= bits[index];
                alone = alone || index < 2;
        }
        if (alone && value_list_size(*items) > 1)
                return value_fail(reterr, -EINVAL, "auto and none stand alone");
        *(unsigned *)field = value;
        return 0;
}

typedef int (*ParseText)(const SchemaRow *row, const char *text, void *field, char **reterr);
typedef int (*TakeItems)(const SchemaRow *row, char ***items, void *field, char **reterr);

/* One of the two for each type. */
static const struct {
        ParseText parse_text;
        TakeItems take_items;
} types[_SCHEMA_TYPE_MAX] = {
        [SCHEMA_NAME] = {.parse_text = parse_name},
        [SCHEMA_TEXT] = {.parse_text = parse_text},
        [SCHEMA_PATH] = {.parse_text = parse_path},
        [SCHEMA_SERVICE] = {.parse_text = parse_service},
        [SCHEMA_URL] = {.parse_text = parse_url},
        [SCHEMA_PROXY] = {.parse_text = parse_proxy},
        [SCHEMA_CHOICE] = {.parse_text = parse_choice},
        [SCHEMA_ENUM] = {.parse_text = parse_enum},
        [SCHEMA_TERMINATION] = {.take_items = take_termination},
        [SCHEMA_BOOLEAN] = {.parse_text = parse_boolean},
        [SCHEMA_INTEGER] = {.parse_text = parse_integer},
        [SCHEMA_PERCENT] = {.parse_text = parse_percent},
        [SCHEMA_DURATION] = {.parse_text = parse_duration},
        [SCHEMA_LIST] = {.take_items = take_list},
        [SCHEMA_SOURCE] = {.parse_text = parse_source},
};

/* What no value may hold, whatever it is. */
static int check_characters(const SchemaRow *row, const char *text, char **reterr)
{
        if (strnlen(text, VALUE_SIZE_MAX + 1) > VALUE_SIZE_MAX)
                return value_fail(reterr, -EINVAL, "the value is longer than %d bytes", VALUE_SIZE_MAX);
        for (const char *p = text; *p; p++) {
                if ((unsigned char)*p >= ' ' && *p != 0x7f)
                        continue;
                if ((row->flags & SCHEMA_MULTILINE) && (*p == '\n' || *p == '\t'))
                        continue;
                return value_fail(reterr, -EINVAL, "the value holds a control character or line break");
        }
        return 0;
}

/* The items of INPUT, checked. */
static int get_items(const SchemaRow *row, const SettingInput *input, char ***ret, char **reterr)
{
        _cleanup_(value_list_freep) char **list = NULL;
        size_t n = 0;

        if (input->text) {
                int r = check_characters(row, input->text, reterr);
                return r < 0 ? r : value_parse_list(input->text, ret);
        }
        list = calloc(1, sizeof(*list));
        if (!list)
                return -ENOMEM;
        for (char **item = input->items; *item; item++) {
                int r = check_characters(row, *item, reterr);
                if (r < 0)
                        return r;
                /* GitLab would split it there. */
                if (strchr(*item, ','))
                        return value_fail(reterr, -EINVAL, "an item holds a comma");
                if (!**item || value_is_blank(**item) || value_is_blank((*item)[strlen(*item) - 1]))
                        return value_fail(reterr, -EINVAL, "an item is empty or has blanks at its ends");
                r = value_list_append(&list, n++, *item);
                if (r < 0)
                        return r;
        }
        *ret = take_ptr(list);
        return 0;
}

int setting_parse(const SchemaRow *row, const SettingInput *input, void *section, char **reterr)
{
        void *field = member(row, section);

        if (types[row->type].take_items) {
                _cleanup_(value_list_freep) char **items = NULL;
                int r = get_items(row, input, &items, reterr);

                if (r < 0)
                        return r;
                if (!items[0] && !(row->flags & SCHEMA_MAY_BE_EMPTY))
                        return value_fail(reterr, -EINVAL, "the value is empty");
                return types[row->type].take_items(row, &items, field, reterr);
        }

        if (!input->text)
                return value_fail(reterr, -EINVAL, "a list is written where one value belongs");
        if (!*input->text)
                return value_fail(reterr, -EINVAL, "the value is empty");
        int r = check_characters(row, input->text, reterr);
        if (r < 0)
                return r;
        return types[row->type].parse_text(row, input->text, field, reterr);
}

int setting_set_defaults(SchemaSection which, void *section)
{
        const SchemaRow *row;

        for (size_t i = 0; (row = config_schema_row(i)); i++) {
                if (row->section != which)
                        continue;
                if (row->default_text) {
                        const SettingInput input = {.text = row->default_text};
                        int r = setting_parse(row, &input, section, NULL);
                        if (r < 0)
                                return r;
                } else if (row->type == SCHEMA_BOOLEAN)
                        *(int *)member(row, section) = -1;
                else if (row->type == SCHEMA_INTEGER)
                        *(int64_t *)member(row, section) = -1;
        }
        return 0;
}

static void clear(const SchemaRow *row, void *section)
{
        void *field = member(row, section);

        switch (row->type) {
        case SCHEMA_NAME:
        case SCHEMA_TEXT:
        case SCHEMA_PATH:
        case SCHEMA_SERVICE:
        case SCHEMA_URL:
        case SCHEMA_PROXY:
        case SCHEMA_CHOICE:
                /* A proxy's url may hold a password. */
                *(char **)field = string_wipe_free(*(char **)field);
                return;
        case SCHEMA_LIST:
                *(char ***)field = value_list_free(*(char ***)field);
                return;
        case SCHEMA_SOURCE:
                *(SecretSource **)field = secret_source_free(*(SecretSource **)field);
                return;
        case SCHEMA_ENUM:
        case SCHEMA_TERMINATION:
        case SCHEMA_BOOLEAN:
        case SCHEMA_INTEGER:
        case SCHEMA_PERCENT:
        case SCHEMA_DURATION:
        case _SCHEMA_TYPE_MAX:
                return;
        }
}

void setting_clear_all(SchemaSection which, void *section)
{
        const SchemaRow *row;

        for (size_t i = 0; (row = config_schema_row(i)); i++)
                if (row->section == which)
                        clear(row, section);
}

static bool string_equal(const char *a, const char *b)
{
        return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool equal(const SchemaRow *row, const void *section_a, const void *section_b)
{
        const void *a = const_member(row, section_a), *b = const_member(row, section_b);

        switch (row->type) {
        case SCHEMA_NAME:
        case SCHEMA_TEXT:
        case SCHEMA_PATH:
        case SCHEMA_SERVICE:
        case SCHEMA_URL:
        case SCHEMA_PROXY:
        case SCHEMA_CHOICE:
                return string_equal(*(char *const *)a, *(char *const *)b);
        case SCHEMA_LIST:
                return value_list_equal(*(char **const *)a, *(char **const *)b);
        case SCHEMA_SOURCE:
                return secret_source_equal(*(SecretSource *const *)a, *(SecretSource *const *)b);
        case SCHEMA_ENUM:
        case SCHEMA_TERMINATION:
        case SCHEMA_BOOLEAN:
        case SCHEMA_PERCENT:
                return *(const int *)a == *(const int *)b;
        case SCHEMA_INTEGER:
        case SCHEMA_DURATION:
                return *(const int64_t *)a == *(const int64_t *)b;
        case _SCHEMA_TYPE_MAX:
                break;
        }
        return false;
}

bool setting_equal_all(SchemaSection which, const void *a, const void *b)
{
        const SchemaRow *row;

        for (size_t i = 0; (row = config_schema_row(i)); i++)
                if (row->section == which && !equal(row, a, b))
                        return false;
        return true;
}
