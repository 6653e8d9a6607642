#include "config/schema.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "agent/base/cleanup.h"
#include "config/config.h"

static const char *const deregister_on_choices[] = {"stop", "always", "poweroff", "never", NULL};
static const char *const rotation_choices[] = {"auto", "always", "never", "gitlab-runner", NULL};
static const char *const on_removed_choices[] = {"reregister", "disable", NULL};
static_assert(ELEMENTS(deregister_on_choices) == _CONFIG_DEREGISTER_ON_MAX + 1, "a word for each value");
static_assert(ELEMENTS(rotation_choices) == _CONFIG_ROTATION_MAX + 1, "a word for each value");
static_assert(ELEMENTS(on_removed_choices) == _CONFIG_ON_REMOVED_MAX + 1, "a word for each value");

/* The words that may be listed, `auto` and `none` alone; setting.c knows their bits. */
static const char *const termination_choices[] = {"auto", "none", "aws", "gcp", "azure", NULL};

static const char *const access_level_choices[] = {"not_protected", "ref_protected", NULL};
static const char *const runner_type_choices[] = {"instance_type", "group_type", "project_type", NULL};

/* gitlab-runner's executors (its executors/ folder, 19.4). With an unknown one the entry turns unhealthy. */
static const char *const executor_choices[] = {"shell", "docker", "docker-windows", "docker-autoscaler",
        "docker+machine", "instance", "kubernetes", "ssh", "virtualbox", "parallels", "custom", NULL};

#define SPAN      "one second or more, such as 90s, 15min or 1h30min"
#define FILE_PATH "an absolute path"
#define YES_NO    "true or false"
#define SECRET    SECRET_SOURCE_FORMS ", or the token itself"
#define SERVICE   "the name of a unit, such as gitlab-runner.service"
#define ID        "a number, 1 or more"
#define TEXT      "at most 1024 characters, with %H, %m, %i, and %% for a percent sign"

#define AGENT(member)  SCHEMA_AGENT, #member
#define RUNNER(member) SCHEMA_RUNNER, #member
#define AT(member)     offsetof(Config, member)
#define IN(member)     offsetof(RunnerConfig, member)

/* clang-format off */
static const SchemaRow rows[] = {
        /* The agent's own. */
        {AGENT(config_toml), SCHEMA_PATH, AT(config_toml),
         .default_text = "/etc/gitlab-runner/config.toml", .expected = FILE_PATH,
         .help = "The configuration of gitlab-runner in which the runners' entries are kept."},
        {AGENT(state_dir), SCHEMA_PATH, AT(state_dir),
         .default_text = "/var/lib/runner-registrar", .expected = FILE_PATH,
         .help = "The folder of what must survive a restart: tokens, intents and debts."},
        {AGENT(runtime_dir), SCHEMA_PATH, AT(runtime_dir),
         .default_text = "/run/runner-registrar", .expected = FILE_PATH,
         .help = "The folder of the control socket and of status.json."},
        {AGENT(verify_interval), SCHEMA_DURATION, AT(verify_interval_usec),
         .default_text = "15min", .expected = SPAN,
         .help = "How often GitLab is asked whether the tokens still work."},
        {AGENT(deregister_on), SCHEMA_ENUM, AT(deregister_on),
         .default_text = "stop", .choices = deregister_on_choices, .expected = "stop, always, poweroff or never",
         .help = "When the runners are withdrawn: at a stop of the service and when the host goes, also at "
                 "restarts and "
                 "reboots, only when the host goes, or never."},
        {AGENT(stop_timeout), SCHEMA_DURATION, AT(stop_timeout_usec),
         .default_text = "30s", .expected = SPAN,
         .help = "How long the withdrawal at a stop may take before what is left becomes a debt."},
        {AGENT(rotate_at), SCHEMA_PERCENT, AT(rotate_at_percent),
         .default_text = "66%", .min = 1, .max = 99, .expected = "a percentage from 1% to 99%",
         .help = "The part of a token's life after which it is replaced."},
        {AGENT(rotate_after), SCHEMA_DURATION, AT(rotate_after_usec), SCHEMA_MAY_NEVER,
         .default_text = "never", .expected = SPAN ", or never",
         .help = "The age at which a token that does not expire is replaced."},
        {AGENT(removed_after), SCHEMA_DURATION, AT(removed_after_usec),
         .default_text = "10min", .expected = SPAN,
         .help = "For how long GitLab must say that it does not know a token before it counts as dead."},
        {AGENT(retry_min), SCHEMA_DURATION, AT(retry_min_usec),
         .default_text = "1s", .expected = SPAN,
         .help = "The shortest wait before a failed call is tried again."},
        {AGENT(retry_max), SCHEMA_DURATION, AT(retry_max_usec),
         .default_text = "5min", .expected = SPAN,
         .help = "The longest wait before a failed call is tried again, unless GitLab asks for more."},
        {AGENT(refused_retry), SCHEMA_DURATION, AT(refused_retry_usec),
         .default_text = "1h", .expected = SPAN,
         .help = "How often a refused enrolment is tried again, with its token read anew."},
        {AGENT(concurrent), SCHEMA_INTEGER, AT(concurrent),
         .min = 1, .max = INT32_MAX, .expected = "a number, 1 or more",
         .help = "The global key of config.toml, the limit of jobs at one time; left alone where it is not "
                 "configured."},
        {AGENT(metrics_file), SCHEMA_PATH, AT(metrics_file),
         .expected = FILE_PATH,
         .help = "A file for node_exporter's textfile collector."},
        {AGENT(hook), SCHEMA_PATH, AT(hook), SCHEMA_READ_FILE | SCHEMA_PROGRAM_FILE,
         .expected = "the absolute path of a program",
         .help = "A program that is run as HOOK EVENT NAME… when a runner's state changes or the cloud announces something."},
        {AGENT(drain_unit), SCHEMA_SERVICE, AT(drain_unit),
         .default_text = "gitlab-runner.service", .expected = SERVICE,
         .help = "The unit that is drained before the host goes."},
        {AGENT(reload_unit), SCHEMA_SERVICE, AT(reload_unit),
         .default_text = "gitlab-runner.service", .expected = SERVICE,
         .help = "The unit that is told of each change of config.toml."},
        {AGENT(drain_timeout), SCHEMA_DURATION, AT(drain_timeout_usec),
         .default_text = "10min", .expected = SPAN,
         .help = "How long running jobs may take to end while the host goes."},
        {AGENT(termination), SCHEMA_TERMINATION, AT(termination),
         .default_text = "auto", .choices = termination_choices,
         .expected = "auto, none, or a list of aws, gcp and azure",
         .help = "Whose notices of termination are watched; auto finds out where the host runs."},

        /* A runner's. */
        {RUNNER(name), SCHEMA_NAME, IN(name), SCHEMA_REQUIRED,
         .expected = "1 to 40 letters, digits, `.`, `_` or `-`, beginning with a letter or digit",
         .help = "NAME of the runner here and of its entry in config.toml; in INI it stands in the section's "
                 "header."},
        {RUNNER(url), SCHEMA_URL, IN(url), SCHEMA_REQUIRED,
         .expected = "GitLab's url, such as https://gitlab.example.com",
         .help = "The url of GitLab, with its relative root, if it has one."},
        {RUNNER(registration_token), SCHEMA_SOURCE, IN(registration_token), SCHEMA_SECRET,
         .expected = SECRET,
         .help = "Where the registration token comes from, with which the runner is created."},
        {RUNNER(authentication_token), SCHEMA_SOURCE, IN(authentication_token), SCHEMA_SECRET,
         .expected = SECRET,
         .help = "Where the authentication token of an existing runner comes from."},
        {RUNNER(access_token), SCHEMA_SOURCE, IN(access_token), SCHEMA_SECRET,
         .expected = SECRET,
         .help = "Where the access token comes from, with which the runner is created; needs runner_type."},
        {RUNNER(description), SCHEMA_TEXT, IN(description), SCHEMA_ATTRIBUTE,
         .expected = TEXT,
         .help = "The runner's description in GitLab, with %H, %m, %i and %%; NAME if not configured."},
        {RUNNER(tag_list), SCHEMA_LIST, IN(tag_list), SCHEMA_ATTRIBUTE | SCHEMA_MAY_BE_EMPTY,
         .max = 50, .expected = "at most 50 tags, separated by commas",
         .help = "The runner's tags."},
        {RUNNER(run_untagged), SCHEMA_BOOLEAN, IN(run_untagged), SCHEMA_ATTRIBUTE,
         .expected = YES_NO,
         .help = "Whether the runner takes jobs without tags; false needs tags."},
        {RUNNER(locked), SCHEMA_BOOLEAN, IN(locked), SCHEMA_ATTRIBUTE,
         .expected = YES_NO,
         .help = "Whether a project runner stays with its project."},
        {RUNNER(paused), SCHEMA_BOOLEAN, IN(paused), SCHEMA_ATTRIBUTE,
         .expected = YES_NO,
         .help = "Whether the runner is created paused."},
        {RUNNER(access_level), SCHEMA_CHOICE, IN(access_level), SCHEMA_ATTRIBUTE,
         .choices = access_level_choices, .expected = "not_protected or ref_protected",
         .help = "Whether the runner takes jobs of protected branches and tags only."},
        {RUNNER(maximum_timeout), SCHEMA_INTEGER, IN(maximum_timeout), SCHEMA_ATTRIBUTE,
         .min = 600, .max = INT32_MAX, .expected = "seconds, 600 or more",
         .help = "How long a job may take, in seconds as GitLab counts it."},
        {RUNNER(maintenance_note), SCHEMA_TEXT, IN(maintenance_note), SCHEMA_ATTRIBUTE | SCHEMA_MULTILINE,
         .expected = TEXT,
         .help = "A note for those who look after the runner, with %H, %m, %i and %%."},
        {RUNNER(runner_type), SCHEMA_CHOICE, IN(runner_type), SCHEMA_ATTRIBUTE | SCHEMA_CREATE_ONLY,
         .choices = runner_type_choices, .expected = "instance_type, group_type or project_type",
         .help = "Whose runner is created with an access token."},
        {RUNNER(group_id), SCHEMA_INTEGER, IN(group_id), SCHEMA_ATTRIBUTE | SCHEMA_CREATE_ONLY,
         .min = 1, .max = INT64_MAX, .expected = ID,
         .help = "The group of a runner of group_type."},
        {RUNNER(project_id), SCHEMA_INTEGER, IN(project_id), SCHEMA_ATTRIBUTE | SCHEMA_CREATE_ONLY,
         .min = 1, .max = INT64_MAX, .expected = ID,
         .help = "The project of a runner of project_type."},
        {RUNNER(executor), SCHEMA_CHOICE, IN(executor), SCHEMA_REQUIRED,
         .choices = executor_choices,
         .expected = "one of gitlab-runner's executors: shell, docker, docker-windows, docker-autoscaler, "
                     "docker+machine, instance, kubernetes, ssh, virtualbox, parallels or custom",
         .help = "What runs the jobs; it counts when the entry of config.toml is made."},
        {RUNNER(template), SCHEMA_PATH, IN(template), SCHEMA_READ_FILE,
         .expected = FILE_PATH,
         .help = "A TOML file with one [[runners]] entry, from which the entry is made."},
        {RUNNER(rotation), SCHEMA_ENUM, IN(rotation),
         .default_text = "auto", .choices = rotation_choices, .expected = "auto, always, never or gitlab-runner",
         .help = "Whose tokens are rotated: those of our own runners, also shared ones, none, or gitlab-runner "
                 "does it."},
        {RUNNER(on_removed), SCHEMA_ENUM, IN(on_removed),
         .default_text = "reregister", .choices = on_removed_choices, .expected = "reregister or disable",
         .help = "What happens once someone removed the runner in GitLab: enrol anew, or leave it."},
        {RUNNER(tls_ca_file), SCHEMA_PATH, IN(tls_ca_file), SCHEMA_READ_FILE,
         .expected = FILE_PATH,
         .help = "Certificates that are trusted for GitLab besides the system's."},
        {RUNNER(tls_cert_file), SCHEMA_PATH, IN(tls_cert_file), SCHEMA_READ_FILE,
         .expected = FILE_PATH,
         .help = "A client's certificate; needs tls_key_file."},
        {RUNNER(tls_key_file), SCHEMA_PATH, IN(tls_key_file), SCHEMA_READ_FILE | SCHEMA_PRIVATE_FILE,
         .expected = FILE_PATH,
         .help = "The key of tls_cert_file."},
        {RUNNER(proxy), SCHEMA_PROXY, IN(proxy),
         .expected = "a proxy's url, such as http://proxy.example.com:3128",
         .help = "The proxy on the way to GitLab."},
        {RUNNER(allow_http), SCHEMA_BOOLEAN, IN(allow_http),
         .default_text = "false", .expected = YES_NO,
         .help = "Whether url may be plain http to another host, which shows the tokens to everyone on the way."},
        {RUNNER(timeout), SCHEMA_DURATION, IN(timeout_usec),
         .default_text = "30s", .expected = SPAN,
         .help = "How long one call may take."},
};
/* clang-format on */
static_assert(ELEMENTS(rows) <= CONFIG_SETTINGS_MAX, "places are kept by row");

const SchemaRow *config_schema_row(size_t index)
{
        return index < ELEMENTS(rows) ? &rows[index] : NULL;
}

size_t config_schema_size(void)
{
        return ELEMENTS(rows);
}

size_t config_schema_index(const SchemaRow *row)
{
        return (size_t)(row - rows);
}

const SchemaRow *config_schema_find(SchemaSection section, const char *key)
{
        for (size_t i = 0; i < ELEMENTS(rows); i++)
                if (rows[i].section == section && strcmp(rows[i].key, key) == 0)
                        return &rows[i];
        return NULL;
}

/* Keys are shorter; the rest of a longer word changes no order among them. */
#define WORD_MAX 40

/* Letter case and `-` for `_` are no difference worth counting. */
static char fold(char c)
{
        if (c >= 'A' && c <= 'Z')
                return (char)(c - 'A' + 'a');
        return c == '-' || c == '.' || c == ' ' ? '_' : c;
}

/* How many characters must be put in, left out, exchanged or swapped with their neighbour. */
static size_t distance(const char *a, const char *b)
{
        size_t n = strnlen(a, WORD_MAX), m = strnlen(b, WORD_MAX);
        size_t table[3][WORD_MAX + 1];
        char x[WORD_MAX], y[WORD_MAX];

        for (size_t i = 0; i < n; i++)
                x[i] = fold(a[i]);
        for (size_t k = 0; k < m; k++)
                y[k] = fold(b[k]);
        for (size_t k = 0; k <= m; k++)
                table[0][k] = k;
        for (size_t i = 1; i <= n; i++) {
                size_t *now = table[i % 3], *before = table[(i + 2) % 3], *earlier = table[(i + 1) % 3];

                now[0] = i;
                for (size_t k = 1; k <= m; k++) {
                        size_t best = before[k - 1] + (x[i - 1] != y[k - 1]);

                        if (before[k] + 1 < best)
                                best = before[k] + 1;
                        if (now[k - 1] + 1 < best)
                                best = now[k - 1] + 1;
                        if (i > 1 && k > 1 && x[i - 1] == y[k - 2] && x[i - 2] == y[k - 1] &&
                                earlier[k - 2] + 1 < best)
                                best = earlier[k - 2] + 1;
                        now[k] = best;
                }
        }
        return table[n % 3][m];
}

/* Lower is nearer. Beyond half of a word the distance is chance; that one is part of the other, or that they begin
 * alike, tells more then. */
static size_t unlikeness(const char *word, const char *text)
{
        size_t d = distance(word, text), size = strnlen(text, WORD_MAX);

        if (d * 2 <= size)
                return d;
        if (size >= 3 && (strstr(word, text) || strstr(text, word) || strncmp(word, text, 3) == 0))
                return size / 2 + 1;
        return WORD_MAX + d;
}

const char *config_nearest_word(const char *const *words, const char *text)
{
        const char *nearest = NULL;
        size_t least = SIZE_MAX;

        for (; *words; words++) {
                size_t d = unlikeness(*words, text);
                if (d < least) {
                        least = d;
                        nearest = *words;
                }
        }
        return nearest;
}

const char *config_schema_nearest(SchemaSection section, const char *key)
{
        const char *words[ELEMENTS(rows) + 1];
        size_t n = 0;

        for (size_t i = 0; i < ELEMENTS(rows); i++)
                if (rows[i].section == section)
                        words[n++] = rows[i].key;
        words[n] = NULL;
        return config_nearest_word(words, key);
}

int config_setting_name(const SchemaRow *row, const char *runner, char **ret)
{
        char *name;

        if (asprintf(&name, "%s.%s", row->section == SCHEMA_AGENT ? "agent" : runner, row->key) < 0)
                return -ENOMEM;
        *ret = name;
        return 0;
}
