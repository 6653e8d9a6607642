#include "agent/cli/runners-help.h"

#include <stdio.h>
#include <string.h>

#include "agent/base/cleanup.h"
#include "agent/core/view.h"

#define OPTION_WIDTH 30
#define TEXT_WIDTH   80

/* RIGHT in as many lines as it takes, from where the cursor is. */
static void print_wrapped(const char *right)
{
        unsigned column = 0;

        while (*right) {
                size_t size = strcspn(right, " ");
                char word[160];

                (void)snprintf(word, sizeof(word), "%.*s", (int)size, right);
                unsigned width = view_width(word);
                if (column > 0 && column + 1 + width > TEXT_WIDTH) {
                        (void)printf("\n%*s", OPTION_WIDTH + 4, "");
                        column = 0;
                }
                (void)printf("%s%s", column > 0 ? " " : "", word);
                column += width + (column > 0);
                right += size + strspn(right + size, " ");
        }
        (void)printf("\n");
}

static void print_line(const char *left, const char *right)
{
        unsigned width = view_width(left);

        if (width > OPTION_WIDTH)
                (void)printf("  %s\n%*s", left, OPTION_WIDTH + 4, "");
        else
                (void)printf("  %s%*s  ", left, (int)(OPTION_WIDTH - width), "");
        print_wrapped(right);
}

void runners_help(void)
{
        RunnersCommand command;

        (void)printf("Usage: runner-registrar runners COMMAND [ID…] [OPTIONS]\n"
                     "\n"
                     "GitLab's Runners API from the shell, for every GitLab from 8.5 on.\n"
                     "\n"
                     "Commands:\n");
        for (size_t i = 0; runners_command_at(i, &command); i++)
                (void)printf("  %-26s%s\n", command.name, command.help);
        (void)printf("\n"
                     "Options of all:\n");
        for (CommonId i = 0; i < _COMMON_MAX; i++) {
                const CommonOption *option = runners_common(i);
                char left[80];

                if (i != COMMON_URL && i != COMMON_ACCESS_TOKEN && i != COMMON_TLS_CA_FILE &&
                        i != COMMON_API_VERSION && i != COMMON_OUTPUT && i != COMMON_DRY_RUN && i != COMMON_HELP)
                        continue;
                (void)snprintf(left, sizeof(left), "%s--%s%s%s", i == COMMON_OUTPUT ? "-o, " : "", option->name,
                        option->value ? " " : "", option->value ? option->value : "");
                print_line(left, option->help);
        }
        (void)printf(
                "\n"
                "SOURCE is file:PATH, env:NAME, credential:NAME or exec:PROGRAM ARGS. No token is ever an argument.\n"
                "`runner-registrar runners COMMAND --help` tells the rest.\n"
                "\n"
                "Examples:\n"
                "  runner-registrar runners list --group acme --status offline\n"
                "  runner-registrar runners update 7 --tag-list docker,linux --maximum-timeout 3600\n"
                "  runner-registrar runners create --runner-type group_type --group-id 3 --token-to /root/token\n"
                "  runner-registrar runners list --all -o jsonl | jq -r 'select(.status == \"stale\") | .id'\n"
                "  runner-registrar runners prune --offline-for 30d --group acme\n"
                "\n"
                "Exit: 0 done, 1 failed, 2 wrong usage, 75 try again, 77 refused by GitLab, 78 no configuration or "
                "secret.\n");
}

/* What stands behind an option: VALUE words of a type, or its choices. */
static void value_text(const Parameter *p, const char *between, char *text, size_t size)
{
        static const char *const names[] = {
                [PARAMETER_TEXT] = "TEXT",
                [PARAMETER_INTEGER] = "N",
                [PARAMETER_BOOLEAN] = "true|false",
                [PARAMETER_LIST] = "A,B…",
                [PARAMETER_COMMA_LIST] = "A,B…",
                [PARAMETER_TIME] = "TIME",
                [PARAMETER_NAMESPACE] = "N|PATH",
                [PARAMETER_OBJECT] = "JSON",
        };

        if (p->type != PARAMETER_WORD) {
                (void)snprintf(text, size, "%s%s", names[p->type], p->nullable ? "|none" : "");
                return;
        }
        *text = 0;
        for (const char *const *word = p->words; *word; word++) {
                size_t n = strlen(text);

                (void)snprintf(text + n, size - n, "%s%s", n > 0 ? between : "", *word);
        }
}

/* Whether an earlier row of the command has the same option. */
static bool is_known(const RunnersCommand *command, size_t row, const Parameter *parameter)
{
        char ours[ENDPOINT_OPTION_MAX], theirs[ENDPOINT_OPTION_MAX];

        for (size_t i = 0; i < row; i++)
                for (const Parameter *p = command->rows[i]->parameters; p->name; p++)
                        if (runners_command_offers(command, p) &&
                                strcmp(parameter_option(p, theirs), parameter_option(parameter, ours)) == 0)
                                return true;
        return false;
}

static void print_usage(const RunnersCommand *command)
{
        char option[ENDPOINT_OPTION_MAX], value[200];

        (void)printf("Usage: ");
        for (size_t i = 0; i < command->n_rows; i++) {
                const Endpoint *row = command->rows[i];

                if (command->prune && i > 0)
                        break;
                (void)printf("%srunner-registrar runners %s", i > 0 ? "       " : "", command->name);
                for (const Parameter *p = row->parameters; p->name && !command->prune; p++) {
                        if (p->positional)
                                (void)printf(" ID%s", command->several ? "…" : "");
                        else if (p->required && p->type != PARAMETER_SECRET) {
                                value_text(p, "|", value, sizeof(value));
                                (void)printf(" --%s %s", parameter_option(p, option),
                                        p->type == PARAMETER_WORD ? "WORD" : value);
                        }
                }
                if (row->choice && strcmp(row->choice, "token-from") != 0 && !endpoint_parameter(row, "id"))
                        (void)printf(" --%s", row->choice);
                if (row->credential != CREDENTIAL_ACCESS_TOKEN)
                        (void)printf(" --token-from SOURCE");
                if (command->prune)
                        (void)printf(" --offline-for SPAN");
                if (row->shape == SHAPE_TOKEN)
                        (void)printf(" --token-to FILE");
                (void)printf(" [OPTIONS]\n");
        }
        if (command->prune)
                (void)printf(
                        "       runner-registrar runners prune --managers ID --token-from SOURCE --offline-for SPAN "
                        "[OPTIONS]\n");
        (void)printf("\n");
}

static void print_parameter(const Parameter *p)
{
        char option[ENDPOINT_OPTION_MAX], value[200], left[280], right[400], since[RELEASE_TEXT_MAX], came[48] = "";

        value_text(p, ", ", value, sizeof(value));
        bool words = p->type == PARAMETER_WORD;
        (void)snprintf(left, sizeof(left), p->type == PARAMETER_BOOLEAN ? "--%s[=%s]" : "--%s %s",
                parameter_option(p, option), words ? "WORD" : value);
        if (p->since > RELEASE_OLDEST)
                (void)snprintf(came, sizeof(came), " (GitLab %s)", release_to_string(p->since, since));
        (void)snprintf(right, sizeof(right), "%s%s%s%s", p->help, words ? ": " : "", words ? value : "", came);
        print_line(left, right);
}

void runners_help_command(const RunnersCommand *command)
{
        print_usage(command);
        for (size_t i = 0; i < command->n_rows; i++) {
                const Endpoint *row = command->rows[i];
                char choice[48] = "", since[RELEASE_TEXT_MAX];

                if (row->choice)
                        (void)snprintf(choice, sizeof(choice), ", by --%s", row->choice);
                (void)printf(
                        "%s /%s%s: %s", row->method, row->path, choice, command->preset ? command->help : row->help);
                if (row->since > RELEASE(13, 0))
                        (void)printf(" (GitLab %s)", release_to_string(row->since, since));
                (void)printf(".\n");
        }
        if (command->prune)
                (void)printf(
                        "Then, for each that may be a ghost, its details, managers and running jobs, and "
                        "DELETE /runners/:id.\n"
                        "\n"
                        "Dry by default: prints what it would delete. Never deletes a runner that is online, has "
                        "running jobs or a\n"
                        "live manager; one that never called counts by its creation. Each is looked at again just "
                        "before it goes,\n"
                        "and what this GitLab can't tell is skipped and named.\n");
        (void)printf("\nOptions:\n");
        for (size_t i = 0; i < command->n_rows; i++) {
                const char *choice = command->rows[i]->choice;

                if (choice && strcmp(choice, "token-from") != 0 && !endpoint_parameter(command->rows[i], "id")) {
                        char left[48];
                        (void)snprintf(left, sizeof(left), "--%s", choice);
                        print_line(left, command->rows[i]->help);
                }
                for (const Parameter *p = command->rows[i]->parameters; p->name; p++)
                        if (runners_command_offers(command, p) && !is_known(command, i, p))
                                print_parameter(p);
        }
        for (CommonId i = 0; i < _COMMON_MAX; i++) {
                const CommonOption *option = runners_common(i);
                char left[80];

                if (!runners_command_takes(command, i))
                        continue;
                (void)snprintf(left, sizeof(left), "%s--%s%s%s", i == COMMON_OUTPUT ? "-o, " : "", option->name,
                        option->value ? " " : "", option->value ? option->value : "");
                print_line(left, option->help);
        }
}

static void describe_command(const RunnersCommand *command)
{
        char option[ENDPOINT_OPTION_MAX], value[200], since[RELEASE_TEXT_MAX];

        (void)printf("command\t%s\t%s\n", command->name, command->help);
        for (size_t i = 0; i < command->n_rows; i++) {
                const Endpoint *row = command->rows[i];
                unsigned release = row->since > 0 ? row->since : RELEASE_OLDEST;

                (void)printf("row\t%s\t%s\t%s\t%s\t%s\t%s\n", command->name, row->method, row->path,
                        release_to_string(release, since), row->choice ? row->choice : "-", row->help);
                if (row->choice && strcmp(row->choice, "token-from") != 0 && !endpoint_parameter(row, "id"))
                        (void)printf("option\t%s\t%s\t-\t%s\t%s\n", command->name, row->choice,
                                release_to_string(release, since), row->help);
                for (const Parameter *p = row->parameters; p->name; p++) {
                        if (!runners_command_offers(command, p) || is_known(command, i, p))
                                continue;
                        value_text(p, "|", value, sizeof(value));
                        (void)printf("option\t%s\t%s\t%s\t%s\t%s\n", command->name, parameter_option(p, option),
                                value, release_to_string(p->since > 0 ? p->since : RELEASE_OLDEST, since), p->help);
                }
        }
        for (CommonId i = 0; i < _COMMON_MAX; i++)
                if (runners_command_takes(command, i))
                        (void)printf("option\t%s\t%s\t%s\t-\t%s\n", command->name, runners_common(i)->name,
                                runners_common(i)->value ? runners_common(i)->value : "-", runners_common(i)->help);
}

void runners_describe(void)
{
        RunnersCommand command;

        for (size_t i = 0; runners_command_at(i, &command); i++)
                describe_command(&command);
}
