#include "agent/cli/runners-options.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/cli/cli.h"
#include "agent/core/text.h"
#include "config/value.h"

typedef struct Parser {
        Invocation *invocation;
        const RunnersCommand *command;
        int argc;
        char **argv;
        int next;
        const Parameter *given[INVOCATION_ARGUMENTS_MAX]; /* beside invocation->arguments */
        const char *choices[RUNNERS_ROWS_MAX];
        size_t n_choices;
} Parser;

int invocation_usage(const RunnersCommand *command, const char *format, ...)
{
        va_list arguments;

        (void)fprintf(stderr, "runner-registrar runners %s: ", command->name);
        va_start(arguments, format);
        (void)vfprintf(stderr, format, arguments);
        va_end(arguments);
        (void)fprintf(stderr, "\nSee `runner-registrar runners %s --help`.\n", command->name);
        return EXIT_USAGE;
}

void invocation_done(Invocation *invocation)
{
        for (size_t i = 0; i < ELEMENTS(invocation->lists); i++)
                (void)value_list_free(invocation->lists[i]);
        (void)secret_source_free(invocation->access_token);
        (void)secret_source_free(invocation->token_from);
        free(invocation->ids);
        *invocation = (Invocation){0};
}

Argument *invocation_argument(Invocation *invocation, const char *name)
{
        for (size_t i = 0; i < invocation->n_arguments; i++)
                if (strcmp(invocation->arguments[i].name, name) == 0)
                        return &invocation->arguments[i];
        return NULL;
}

void invocation_set(Invocation *invocation, Argument argument)
{
        Argument *old = invocation_argument(invocation, argument.name);

        if (old)
                *old = argument;
        else if (invocation->n_arguments < INVOCATION_ARGUMENTS_MAX)
                invocation->arguments[invocation->n_arguments++] = argument;
}

static const Parameter *positional_of(const Endpoint *row)
{
        for (const Parameter *p = row->parameters; p->name; p++)
                if (p->positional)
                        return p;
        return NULL;
}

void invocation_set_id(Invocation *invocation, int64_t id)
{
        const Parameter *p = positional_of(&invocation->endpoint);

        if (p)
                invocation_set(invocation, (Argument){.name = p->name, .integer = id});
}

/* --- values */

static int parse_source(Parser *parser, const char *option, const char *text, SecretSource **ret)
{
        _cleanup_free_ char *why = NULL;

        int r = secret_source_parse(text, SECRET_SOURCE_ALLOW_RELATIVE, ret, &why);
        if (r == -ENOMEM)
                return cli_out_of_memory("runners");
        if (r < 0)
                return invocation_usage(parser->command, "--%s: %s, expected %s", option, why ? why : "is no source",
                        SECRET_SOURCE_FORMS);
        return 0;
}

static int parse_count(Parser *parser, const char *option, const char *text, int64_t *ret)
{
        if (value_parse_integer(text, ret) < 0 || *ret < 1)
                return invocation_usage(parser->command, "--%s: expected a number of 1 or more", option);
        return 0;
}

static int parse_format(Parser *parser, const char *text, Format *ret)
{
        static const char *const names[] = {
                [FORMAT_TABLE] = "table", [FORMAT_JSON] = "json", [FORMAT_JSONL] = "jsonl"};

        for (size_t i = FORMAT_TABLE; i < ELEMENTS(names); i++)
                if (strcmp(names[i], text) == 0) {
                        *ret = (Format)i;
                        return 0;
                }
        return invocation_usage(parser->command, "--output: expected table, json or jsonl");
}

static int take_common(Parser *parser, CommonId id, const char *value)
{
        Invocation *inv = parser->invocation;
        const char *name = runners_common(id)->name;
        int64_t number = 0;
        int code = 0;

        switch (id) {
        case COMMON_URL:
                inv->url = value;
                break;
        case COMMON_TLS_CA_FILE:
                inv->tls_ca_file = value;
                break;
        case COMMON_ACCESS_TOKEN:
                inv->access_token = secret_source_free(inv->access_token);
                return parse_source(parser, name, value, &inv->access_token);
        case COMMON_TOKEN_FROM:
                inv->token_from = secret_source_free(inv->token_from);
                return parse_source(parser, name, value, &inv->token_from);
        case COMMON_API_VERSION:
                if (strcmp(value, "v3") != 0 && strcmp(value, "v4") != 0)
                        return invocation_usage(parser->command, "--api-version: expected v4 or v3");
                inv->v3 = strcmp(value, "v3") == 0;
                break;
        case COMMON_OUTPUT:
                return parse_format(parser, value, &inv->format);
        case COMMON_LIMIT:
                code = parse_count(parser, name, value, &number);
                inv->limit = (uint64_t)number;
                break;
        case COMMON_TOKEN_TO:
                if (!*value)
                        return invocation_usage(parser->command, "--token-to: expected a file");
                inv->token_to = value;
                break;
        case COMMON_SHOW_TOKEN:
                inv->show_token = true;
                break;
        case COMMON_YES:
                inv->yes = true;
                break;
        case COMMON_DRY_RUN:
                inv->dry_run = true;
                break;
        case COMMON_OFFLINE_FOR:
                if (value_parse_duration(value, &inv->offline_for_usec) < 0 || inv->offline_for_usec < USEC_PER_SEC)
                        return invocation_usage(parser->command, "--offline-for: expected a span such as 7d or 36h");
                break;
        case COMMON_MANAGERS:
                code = parse_count(parser, name, value, &inv->managers_of);
                break;
        case COMMON_HELP:
                inv->help = true;
                break;
        case _COMMON_MAX:
                break;
        }
        return code;
}

static int print_words(const Parser *parser, const Parameter *p, const char *option)
{
        char words[256] = "";

        for (const char *const *word = p->words; *word; word++) {
                size_t n = strlen(words);

                (void)snprintf(words + n, sizeof(words) - n, "%s%s", n == 0 ? "" : word[1] ? ", " : " or ", *word);
        }
        return invocation_usage(parser->command, "--%s: expected %s", option, words);
}

static bool has_word(const Parameter *p, const char *text)
{
        for (const char *const *word = p->words; *word; word++)
                if (strcmp(*word, text) == 0)
                        return true;
        return false;
}

static int read_integer(Parser *parser, const Parameter *p, const char *option, const char *text, Argument *a)
{
        if (p->nullable && (!*text || strcmp(text, "none") == 0)) {
                a->null = true;
                return 0;
        }
        /* The rest of its range is GitLab's to judge. */
        if (value_parse_integer(text, &a->integer) < 0)
                return invocation_usage(
                        parser->command, "--%s: expected a number%s", option, p->nullable ? " or none" : "");
        return 0;
}

static int read_text(Parser *parser, const Parameter *p, const char *option, const char *text, Argument *a)
{
        if (!text_is_utf8(text, strlen(text)))
                return invocation_usage(parser->command, "--%s: is not UTF-8", option);
        if (p->type == PARAMETER_WORD && !has_word(p, text))
                return print_words(parser, p, option);
        if (p->type == PARAMETER_NAMESPACE && (!*text || strspn(text, ".") == strlen(text)))
                return invocation_usage(parser->command, "--%s: expected a number or a full path", option);
        if (p->strict && (!*text || text_characters(text) > p->max))
                return invocation_usage(parser->command, "--%s: expected 1 to %zu characters", option, p->max);
        if (p->type == PARAMETER_OBJECT && *text != '{')
                return invocation_usage(parser->command, "--%s: expected a JSON object", option);
        a->text = text;
        return 0;
}

static int read_value(Parser *parser, const Parameter *p, const char *option, const char *text, Argument *a)
{
        char ***list = &parser->invocation->lists[parser->invocation->n_arguments];
        bool flag;

        switch (p->type) {
        case PARAMETER_INTEGER:
                return read_integer(parser, p, option, text, a);
        case PARAMETER_BOOLEAN:
                if (value_parse_boolean(text, &flag) < 0)
                        return invocation_usage(parser->command, "--%s: expected true or false", option);
                a->integer = flag;
                return 0;
        case PARAMETER_LIST:
        case PARAMETER_COMMA_LIST:
                if (!text_is_utf8(text, strlen(text)))
                        return invocation_usage(parser->command, "--%s: is not UTF-8", option);
                if (value_parse_list(text, list) < 0)
                        return cli_out_of_memory("runners");
                a->list = *list;
                return 0;
        case PARAMETER_TEXT:
        case PARAMETER_WORD:
        case PARAMETER_TIME:
        case PARAMETER_NAMESPACE:
        case PARAMETER_OBJECT:
                return read_text(parser, p, option, text, a);
        case PARAMETER_SECRET:
                break;
        }
        return EXIT_FAILED;
}

/* --- options */

/* The parameter whose option is NAME, of whichever row. */
static const Parameter *find_parameter(const RunnersCommand *command, const char *name)
{
        char option[ENDPOINT_OPTION_MAX];

        for (size_t i = 0; i < command->n_rows; i++)
                for (const Parameter *p = command->rows[i]->parameters; p->name; p++)
                        if (runners_command_offers(command, p) && strcmp(parameter_option(p, option), name) == 0)
                                return p;
        return NULL;
}

static void add_choice(Parser *parser, const char *name)
{
        for (size_t i = 0; i < parser->n_choices; i++)
                if (strcmp(parser->choices[i], name) == 0)
                        return;
        if (parser->n_choices < RUNNERS_ROWS_MAX)
                parser->choices[parser->n_choices++] = name;
}

/* The row's own word, if NAME chooses a row. */
static const char *find_choice(const RunnersCommand *command, const char *name)
{
        for (size_t i = 0; i < command->n_rows; i++)
                if (command->rows[i]->choice && strcmp(command->rows[i]->choice, name) == 0)
                        return command->rows[i]->choice;
        return NULL;
}

static int take_parameter(Parser *parser, const Parameter *p, const char *value)
{
        Invocation *inv = parser->invocation;
        Argument argument = {.name = p->name};
        char option[ENDPOINT_OPTION_MAX];

        (void)parameter_option(p, option);
        for (size_t i = 0; i < inv->n_arguments; i++)
                if (parser->given[i] == p)
                        return invocation_usage(parser->command, "--%s is given twice", option);
        /* A few places stay for what the program adds. */
        if (inv->n_arguments + 6 >= INVOCATION_ARGUMENTS_MAX)
                return invocation_usage(parser->command, "too many options");
        int code = read_value(parser, p, option, value, &argument);
        if (code != 0)
                return code;
        parser->given[inv->n_arguments] = p;
        inv->arguments[inv->n_arguments++] = argument;
        return 0;
}

/* The value behind `=`, or the next word; NULL: there is none. */
static const char *take_value(Parser *parser, const char *inlined)
{
        if (inlined)
                return inlined;
        return parser->next < parser->argc ? parser->argv[parser->next++] : NULL;
}

/* A boolean's value may be left out, so only a plain true or false behind it belongs to it. */
static const char *take_boolean(Parser *parser, const char *inlined)
{
        const char *word = parser->next < parser->argc ? parser->argv[parser->next] : "";

        if (inlined)
                return inlined;
        if (strcmp(word, "true") != 0 && strcmp(word, "false") != 0)
                return "true";
        parser->next++;
        return word;
}

static CommonId find_common(const RunnersCommand *command, const char *name)
{
        for (CommonId i = 0; i < _COMMON_MAX; i++)
                if (strcmp(runners_common(i)->name, name) == 0 && runners_command_takes(command, i))
                        return i;
        return _COMMON_MAX;
}

static int unknown_option(const Parser *parser, const char *name)
{
        char option[ENDPOINT_OPTION_MAX + 2], quoted[VALUE_QUOTE_MAX];

        (void)snprintf(option, sizeof(option), "--%s", name);
        return invocation_usage(parser->command, "%s is no option", value_quote(option, quoted));
}

static int take_option(Parser *parser, const char *word)
{
        const char *equals = strchr(word, '='), *inlined = equals ? equals + 1 : NULL, *value;
        size_t size = equals ? (size_t)(equals - word) : strlen(word);
        char name[ENDPOINT_OPTION_MAX];

        (void)snprintf(name, sizeof(name), "%.*s", (int)(size < sizeof(name) ? size : sizeof(name)), word);
        CommonId id = find_common(parser->command, name);
        const Parameter *p = find_parameter(parser->command, name);
        const char *choice = find_choice(parser->command, name);

        if (choice)
                add_choice(parser, choice);
        if (p && p->type == PARAMETER_BOOLEAN)
                return take_parameter(parser, p, take_boolean(parser, inlined));
        if (p || (id != _COMMON_MAX && runners_common(id)->value)) {
                value = take_value(parser, inlined);
                if (!value)
                        return invocation_usage(parser->command, "--%s needs a value", name);
                return p ? take_parameter(parser, p, value) : take_common(parser, id, value);
        }
        if (id == _COMMON_MAX && !choice)
                return unknown_option(parser, name);
        if (inlined)
                return invocation_usage(parser->command, "--%s takes no value", name);
        return id != _COMMON_MAX ? take_common(parser, id, NULL) : 0;
}

static int take_positional(Parser *parser, const char *word)
{
        Invocation *inv = parser->invocation;
        int64_t id;

        if (parser->command->prune || value_parse_integer(word, &id) < 0 || id < 1)
                return invocation_usage(parser->command, "expected %s",
                        parser->command->prune ? "options only" : "the ID of a runner, a number");
        if (inv->n_ids >= INVOCATION_IDS_MAX)
                return invocation_usage(parser->command, "more than %d IDs", INVOCATION_IDS_MAX);
        int64_t *ids = realloc(inv->ids, (inv->n_ids + 1) * sizeof(*ids));
        if (!ids)
                return cli_out_of_memory("runners");
        inv->ids = ids;
        inv->ids[inv->n_ids++] = id;
        return 0;
}

static int take_words(Parser *parser)
{
        bool options = true;
        int code = 0;

        while (code == 0 && parser->next < parser->argc) {
                const char *word = parser->argv[parser->next++];

                if (options && strcmp(word, "--") == 0)
                        options = false;
                else if (options && strncmp(word, "--", 2) == 0)
                        code = take_option(parser, word + 2);
                else if (options && strcmp(word, "-h") == 0)
                        parser->invocation->help = true;
                else if (options && strncmp(word, "-o", 2) == 0) {
                        const char *value = take_value(parser, word[2] ? word + 2 + (word[2] == '=') : NULL);

                        code = value ? parse_format(parser, value, &parser->invocation->format)
                                     : invocation_usage(parser->command, "-o needs a value");
                } else if (options && word[0] == '-' && word[1] != 0)
                        code = invocation_usage(parser->command, "'-%c' is no option", word[1]);
                else
                        code = take_positional(parser, word);
        }
        return code;
}

/* --- the whole */

static int choose_row(Parser *parser, const Endpoint **ret)
{
        const RunnersCommand *command = parser->command;
        const char *choice = parser->n_choices > 0 ? parser->choices[0] : NULL;
        char names[128] = "";

        if (parser->n_choices > 1)
                return invocation_usage(
                        command, "--%s and --%s exclude each other", parser->choices[0], parser->choices[1]);
        for (size_t i = 0; i < command->n_rows; i++) {
                const Endpoint *row = command->rows[i];
                size_t n = strlen(names);

                if (choice ? row->choice && strcmp(row->choice, choice) == 0 : !row->choice) {
                        *ret = row;
                        return 0;
                }
                (void)snprintf(
                        names + n, sizeof(names) - n, "%s--%s", n > 0 ? " or " : "", row->choice ? row->choice : "");
        }
        return invocation_usage(command, "which one? Give %s", names);
}

/* Every option must belong to the row, and to the API's version. */
static int check_given(Parser *parser, const Endpoint *row)
{
        Invocation *inv = parser->invocation;
        char option[ENDPOINT_OPTION_MAX], theirs[ENDPOINT_OPTION_MAX], since[RELEASE_TEXT_MAX];

        for (size_t i = 0; i < inv->n_arguments; i++) {
                const Parameter *p = endpoint_parameter(row, inv->arguments[i].name);

                (void)parameter_option(parser->given[i], option);
                if (!p || strcmp(parameter_option(p, theirs), option) != 0)
                        return invocation_usage(parser->command, "--%s does not go with --%s", option,
                                row->choice ? row->choice : "what else is given");
                if (inv->v3 && p->since > RELEASE_OLDEST)
                        return invocation_usage(parser->command, "--%s is unknown to API v3: it came with GitLab %s",
                                option, release_to_string(p->since, since));
                if (p->excludes && invocation_argument(inv, p->excludes))
                        return invocation_usage(
                                parser->command, "--%s and --%s exclude each other", option, p->excludes);
        }
        return 0;
}

static int check_needed(Parser *parser, const Endpoint *row)
{
        Invocation *inv = parser->invocation;
        char option[ENDPOINT_OPTION_MAX];
        bool changes = false, any_alone = false;

        for (const Parameter *p = row->parameters; p->name; p++) {
                bool is_given = invocation_argument(inv, p->name) != NULL;

                any_alone = any_alone || p->alone;
                changes = changes || (p->alone && is_given);
                if (p->positional && inv->n_ids == 0)
                        return invocation_usage(parser->command, "which runner? Give its ID");
                if (p->required && !p->positional && p->type != PARAMETER_SECRET && !is_given)
                        return invocation_usage(parser->command, "--%s is needed", parameter_option(p, option));
        }
        if (any_alone && !changes && !parser->command->preset)
                return invocation_usage(parser->command, "nothing to change: give at least one attribute");
        if (!positional_of(row) && inv->n_ids > 0)
                return invocation_usage(parser->command, "takes no ID%s%s", row->choice ? " beside --" : "",
                        row->choice ? row->choice : "");
        if (inv->n_ids > 1 && !parser->command->several)
                return invocation_usage(parser->command, "takes one ID");
        if (row->credential != CREDENTIAL_ACCESS_TOKEN && !inv->token_from)
                return invocation_usage(parser->command, "--token-from is needed");
        if (row->credential == CREDENTIAL_ACCESS_TOKEN && inv->token_from)
                return invocation_usage(parser->command, "--token-from does not go with this");
        if (row->shape == SHAPE_TOKEN && !inv->token_to && !inv->show_token)
                return invocation_usage(parser->command,
                        "it gives a token that is shown only this once: say --token-to FILE, or --show-token");
        if (row->shape != SHAPE_TOKEN && inv->token_to)
                return invocation_usage(parser->command, "--token-to: no token comes with this");
        return 0;
}

static int check_prune(Parser *parser)
{
        Invocation *inv = parser->invocation;

        if (inv->offline_for_usec == 0)
                return invocation_usage(parser->command, "--offline-for is needed: how long is too long?");
        if (inv->managers_of == 0 && inv->token_from)
                return invocation_usage(parser->command, "--token-from goes with --managers");
        if (inv->managers_of == 0)
                return 0;
        if (!inv->token_from)
                return invocation_usage(parser->command,
                        "--managers needs --token-from: managers can only be deleted with their runner's own token");
        if (inv->n_arguments > 0 || parser->n_choices > 0)
                return invocation_usage(parser->command, "filters do not go with --managers");
        if (inv->v3)
                return invocation_usage(parser->command, "API v3 knows no managers");
        return 0;
}

int invocation_parse(const RunnersCommand *command, int argc, char **argv, Invocation *ret)
{
        Parser parser = {.invocation = ret, .command = command, .argc = argc, .argv = argv};
        const Endpoint *row = NULL;
        char since[RELEASE_TEXT_MAX];

        *ret = (Invocation){.command = *command};
        int code = take_words(&parser);
        if (code != 0 || ret->help)
                return code;
        code = choose_row(&parser, &row);
        if (code == 0)
                code = check_given(&parser, row);
        if (code == 0)
                code = command->prune ? check_prune(&parser) : check_needed(&parser, row);
        if (code != 0)
                return code;
        ret->endpoint = *row;
        if (ret->v3 && !endpoint_for_v3(row, &ret->endpoint))
                return invocation_usage(command, "API v3 has no %s /%s: it came with GitLab %s", row->method,
                        row->path, release_to_string(row->since, since));
        if (command->preset)
                invocation_set(ret, (Argument){.name = command->preset, .integer = command->preset_value});
        return 0;
}
