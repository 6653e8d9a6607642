#include "config/check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/base/url.h"
#include "config/schema.h"
#include "config/trust.h"
#include "config/value.h"

/* One pass. `error` is the first -ENOMEM, so that the checks read as a list of sentences. */
typedef struct Check {
        const Config *config;
        const Specifiers *specifiers;
        Mistakes *mistakes;
        const RunnerConfig *runner; /* NULL: the agent */
        int error;
} Check;

static unsigned line_of(const Check *check, const SchemaRow *row)
{
        size_t index = config_schema_index(row);

        return check->runner ? check->runner->lines[index] : check->config->places[index].line;
}

/* Whether KEY is written somewhere, be it wrong. */
static bool is_set(const Check *check, const char *key)
{
        return line_of(check, config_schema_find(check->runner ? SCHEMA_RUNNER : SCHEMA_AGENT, key)) > 0;
}

/* Adds a mistake about ROW, at its own place, or, where it is not set, at that of the section. */
static void _printf_(3, 4) complain(Check *check, const SchemaRow *row, const char *format, ...)
{
        _cleanup_free_ char *sentence = NULL, *section = NULL, *subject = NULL;
        const RunnerConfig *runner = check->runner;
        va_list arguments;

        va_start(arguments, format);
        int n = vasprintf(&sentence, format, arguments);
        va_end(arguments);
        if (n < 0) {
                sentence = NULL;
                check->error = -ENOMEM;
                return;
        }
        if (runner && runner->name && asprintf(&section, "runner %s", runner->name) < 0) {
                section = NULL;
                check->error = -ENOMEM;
                return;
        }

        unsigned line = line_of(check, row);
        const char *file = runner ? runner->file : check->config->places[config_schema_index(row)].file;
        int r = config_setting_name(row, section ? section : "runner", &subject);
        if (r >= 0)
                r = mistakes_add(
                        check->mistakes, file, line == 0 && runner ? runner->line : line, subject, "%s", sentence);
        if (r < 0)
                check->error = r;
}

static const SchemaRow *row_of(const Check *check, const char *key)
{
        return config_schema_find(check->runner ? SCHEMA_RUNNER : SCHEMA_AGENT, key);
}

/* Files that the section's settings name: they must be there, and their writers must be us. */
static void check_files(Check *check, SchemaSection section, const void *members)
{
        const SchemaRow *row;

        for (size_t i = 0; (row = config_schema_row(i)); i++) {
                _cleanup_free_ char *wrong = NULL;
                _cleanup_close_ int fd = -1;
                struct stat st;

                if (row->section != section || !(row->flags & SCHEMA_READ_FILE))
                        continue;
                const char *path = *(char *const *)((const char *)members + row->offset);
                if (!path)
                        continue;
                int r = row->flags & SCHEMA_PROGRAM_FILE
                                ? trust_check_file(path, TRUST_PROGRAM, &st, &wrong)
                                : trust_open_file(path, row->flags & SCHEMA_PRIVATE_FILE ? TRUST_PRIVATE_KEY : 0, &fd,
                                          &st, &wrong);
                if (r == -ENOMEM)
                        check->error = r;
                else if (r < 0)
                        complain(check, row, "%s", wrong);
        }
}

/* Of a secret's source only what is there is judged: a file may come later, and its token is asked for when needed.
 */
static void check_source(Check *check, const SchemaRow *row, const SecretSource *source)
{
        _cleanup_free_ char *wrong = NULL;
        int r = 0;

        if (source->kind == SECRET_SOURCE_FILE)
                r = secret_source_check_file(source->text, &wrong);
        else if (source->kind == SECRET_SOURCE_EXEC)
                r = trust_check_file(source->argv[0], TRUST_PROGRAM, NULL, &wrong);
        if (r == -ENOMEM)
                check->error = r;
        else if (r < 0)
                complain(check, row, "%s", wrong);
}

static void check_required(Check *check)
{
        const SchemaRow *row;

        for (size_t i = 0; (row = config_schema_row(i)); i++)
                if (row->section == SCHEMA_RUNNER && (row->flags & SCHEMA_REQUIRED) && line_of(check, row) == 0)
                        complain(check, row, "it is missing, expected %s", row->expected);
}

static void check_tokens(Check *check)
{
        const SchemaRow *row, *first = NULL;

        for (size_t i = 0; (row = config_schema_row(i)); i++) {
                if (!(row->flags & SCHEMA_SECRET) || line_of(check, row) == 0)
                        continue;
                if (first)
                        complain(check, row, "it stands beside %s, expected one of the two", first->key);
                else
                        first = row;
                const SecretSource *source = *(SecretSource *const *)((const char *)check->runner + row->offset);
                if (source)
                        check_source(check, row, source);
        }
        if (!first)
                complain(check, row_of(check, "registration_token"),
                        "no token is there, expected this one, authentication_token or access_token");
}

/* Attributes against the flow that the token makes. */
static void check_attributes(Check *check)
{
        bool authentication = is_set(check, "authentication_token"), access = is_set(check, "access_token");
        const SchemaRow *row;

        for (size_t i = 0; (row = config_schema_row(i)); i++) {
                if (row->section != SCHEMA_RUNNER || line_of(check, row) == 0)
                        continue;
                if (authentication && (row->flags & SCHEMA_ATTRIBUTE))
                        complain(check, row,
                                "GitLab keeps it for a runner that exists, expected it to be left out beside "
                                "authentication_token");
                else if (!access && (row->flags & SCHEMA_CREATE_ONLY))
                        complain(check, row, "it goes with access_token alone, expected it to be left out");
        }
}

/* KEY is there if, and only if, the runner's type is TYPE. */
static void check_owner(Check *check, const char *key, const char *type)
{
        bool is_type = strcmp(check->runner->runner_type, type) == 0;

        if (is_type && !is_set(check, key))
                complain(check, row_of(check, key), "it is missing, expected %s for a runner of %s",
                        row_of(check, key)->expected, type);
        else if (!is_type && is_set(check, key))
                complain(check, row_of(check, key), "it goes with %s alone, expected it to be left out", type);
}

static void check_runner_type(Check *check)
{
        if (!is_set(check, "access_token") || is_set(check, "authentication_token"))
                return;
        if (!is_set(check, "runner_type")) {
                const SchemaRow *row = row_of(check, "runner_type");

                complain(check, row, "it is missing, expected %s beside access_token", row->expected);
        }
        if (!check->runner->runner_type)
                return;
        check_owner(check, "group_id", "group_type");
        check_owner(check, "project_id", "project_type");
}

static void check_texts(Check *check)
{
        const SchemaRow *row;

        for (size_t i = 0; check->specifiers && (row = config_schema_row(i)); i++) {
                _cleanup_free_ char *expanded = NULL, *wrong = NULL;

                if (row->type != SCHEMA_TEXT)
                        continue;
                const char *text = *(char *const *)((const char *)check->runner + row->offset);
                int r = text ? text_expand(text, check->specifiers, &expanded, &wrong) : 0;
                if (r == -ENOMEM)
                        check->error = r;
                else if (r < 0)
                        complain(check, row, "%s, expected %s", wrong, row->expected);
        }
}

static void check_pair(Check *check, const char *key, const char *other)
{
        if (is_set(check, key) && !is_set(check, other))
                complain(check, row_of(check, key), "it stands without %s, expected both or neither", other);
}

static void check_runner(Check *check)
{
        const RunnerConfig *runner = check->runner;

        check_required(check);
        check_tokens(check);
        check_attributes(check);
        check_runner_type(check);
        check_texts(check);
        check_files(check, SCHEMA_RUNNER, runner);
        check_pair(check, "tls_cert_file", "tls_key_file");
        check_pair(check, "tls_key_file", "tls_cert_file");
        if (runner->url && !runner->allow_http && url_is_exposed(runner->url))
                complain(check, row_of(check, "url"),
                        "plain http shows the tokens to everyone on the way, expected https, or allow_http = true");
        /* A list that is written but wrong has been told of already. */
        if (runner->run_untagged == 0 && !is_set(check, "authentication_token") &&
                (runner->tag_list ? !runner->tag_list[0] : !is_set(check, "tag_list")))
                complain(check, row_of(check, "run_untagged"),
                        "without tags the runner would take no job at all, expected tags in tag_list, or true");
}

static int compare_names(const void *a, const void *b)
{
        const RunnerConfig *const *x = a, *const *y = b;

        return strcmp((*x)->name, (*y)->name);
}

static int compare_lists(char *const *a, char *const *b)
{
        for (; *a && *b; a++, b++) {
                int difference = strcmp(*a, *b);
                if (difference != 0)
                        return difference;
        }
        return (*a != NULL) - (*b != NULL);
}

static int compare_sources(const SecretSource *a, const SecretSource *b)
{
        if (a->kind != b->kind)
                return a->kind < b->kind ? -1 : 1;
        if (a->kind == SECRET_SOURCE_EXEC)
                return compare_lists(a->argv, b->argv);
        if (a->kind == SECRET_SOURCE_LITERAL)
                return strcmp(secret_data(a->literal), secret_data(b->literal));
        return strcmp(a->text, b->text);
}

static int compare_identities(const void *a, const void *b)
{
        const RunnerConfig *const *x = a, *const *y = b;
        int difference = url_compare((*x)->url, (*y)->url);

        return difference != 0 ? difference : compare_sources((*x)->authentication_token, (*y)->authentication_token);
}

/* Stable, unlike qsort(): the later one of two is the mistake. The runners are as many as CONFIG_RUNNERS_MAX. */
static void sort(const RunnerConfig **runners, const RunnerConfig **room, size_t n,
        int (*compare)(const void *a, const void *b))
{
        if (n < 2)
                return;
        size_t half = n / 2, left = 0, right = half;

        sort(runners, room, half, compare);
        sort(runners + half, room, n - half, compare);
        for (size_t i = 0; i < n; i++) {
                bool take_left = right >= n || (left < half && compare(&runners[left], &runners[right]) <= 0);
                room[i] = runners[take_left ? left++ : right++];
        }
        memcpy(runners, room, n * sizeof(*runners));
}

/* Two runners that COMPARE finds equal; KEY is what makes them so. */
static void check_twins(Check *check, const RunnerConfig **runners, size_t n,
        int (*compare)(const void *a, const void *b), const char *key, const char *sentence)
{
        const RunnerConfig **room = runners + n;

        sort(runners, room, n, compare);
        for (size_t i = 1; i < n; i++) {
                if (compare(&runners[i - 1], &runners[i]) != 0)
                        continue;
                check->runner = runners[i];
                complain(check, row_of(check, key), "%s (%s:%u)", sentence, runners[i - 1]->file,
                        runners[i - 1]->line);
        }
}

static void check_all_twins(Check *check)
{
        const Config *config = check->config;
        _cleanup_free_ const RunnerConfig **runners = NULL;
        size_t n = 0;

        if (config->n_runners < 2)
                return;
        runners = reallocarray(NULL, 2 * config->n_runners, sizeof(*runners));
        if (!runners) {
                check->error = -ENOMEM;
                return;
        }
        for (size_t i = 0; i < config->n_runners; i++)
                if (config->runners[i]->name)
                        runners[n++] = config->runners[i];
        check_twins(check, runners, n, compare_names, "name", "another runner has this NAME, expected one");
        n = 0;
        for (size_t i = 0; i < config->n_runners; i++)
                if (config->runners[i]->url && config->runners[i]->authentication_token)
                        runners[n++] = config->runners[i];
        check_twins(check, runners, n, compare_identities, "authentication_token",
                "another runner has this url and token, expected one");
}

int config_check(const Config *config, const Specifiers *specifiers, ConfigFlags flags, Mistakes *mistakes)
{
        Check check = {.config = config, .specifiers = specifiers, .mistakes = mistakes};

        if (config->retry_min_usec > config->retry_max_usec)
                complain(&check, row_of(&check, is_set(&check, "retry_min") ? "retry_min" : "retry_max"),
                        "retry_min is longer than retry_max, expected it to be the shorter");
        check_files(&check, SCHEMA_AGENT, config);
        for (size_t i = 0; i < config->n_runners; i++) {
                check.runner = config->runners[i];
                check_runner(&check);
        }
        check_all_twins(&check);
        /* What could not be read may hold some. */
        if (check.error == 0 && config->n_runners == 0 && mistakes->n_items == 0 && !(flags & CONFIG_ALLOW_NO_RUNNER))
                check.error = mistakes_add(mistakes, config->n_files > 0 ? config->files[0] : NULL, 0, NULL,
                        "there is no runner, expected [runner NAME] (in YAML an item of `runners`)");
        return check.error;
}
