#include "tests/unit/config-fixture.h"

#include "config/schema.h"

/* A runner section: LINES follow url and executor, from line 4 on. */
#define HEAD      "[runner a]\nurl = https://g\nexecutor = shell\n"
#define WITH_REG  HEAD "registration_token = env:T\n"
#define WITH_AUTH HEAD "authentication_token = env:T\n"
#define WITH_PAT  HEAD "access_token = env:T\n"

typedef struct Case {
        const char *text;
        const char *mistakes;
} Case;

static void expect_all(Scratch *scratch, const Case *cases, size_t n)
{
        for (size_t i = 0; i < n; i++)
                fixture_expect(scratch, "config.ini", cases[i].text, cases[i].mistakes);
}

#define TEXT "at most 1024 characters, with %H, %m, %i, and %% for a percent sign"
#define SPAN "one second or more, such as 90s, 15min or 1h30min"

static void test_agent_values(void **state)
{
        static const struct {
                const char *line;
                const char *mistake; /* behind "agent.KEY: "; NULL: fine */
        } cases[] = {
                {"config_toml = config.toml", "'config.toml' is no absolute path, expected an absolute path"},
                {"state_dir = ~/x", "'~/x' is no absolute path, expected an absolute path"},
                {"runtime_dir = /x", NULL},
                {"verify_interval = 1s", NULL},
                {"verify_interval = 999ms", "'999ms' is too short, expected " SPAN},
                {"verify_interval = 0", "'0' is too short, expected " SPAN},
                {"verify_interval = often", "'often' is no duration, expected " SPAN},
                {"verify_interval = never", "'never' is no duration, expected " SPAN},
                {"verify_interval = 200y", "'200y' is longer than a hundred years, expected " SPAN},
                {"deregister_on = always", NULL},
                {"deregister_on = Stop", "'Stop' is unknown, expected stop, always, poweroff or never"},
                {"deregister_on = shutdown", "'shutdown' is unknown, expected stop, always, poweroff or never"},
                {"rotate_at = 1%", NULL},
                {"rotate_at = 99%", NULL},
                {"rotate_at = 0%", "'0%' is out of range, expected a percentage from 1% to 99%"},
                {"rotate_at = 100%", "'100%' is out of range, expected a percentage from 1% to 99%"},
                {"rotate_at = 66", "'66' is no percentage, expected a percentage from 1% to 99%"},
                {"rotate_after = never", NULL},
                {"rotate_after = 30d", NULL},
                {"rotate_after = 0", "'0' is too short, expected " SPAN ", or never"},
                {"concurrent = 1", NULL},
                {"concurrent = 0", "'0' is too small, expected a number, 1 or more"},
                {"concurrent = -1", "'-1' is too small, expected a number, 1 or more"},
                {"concurrent = 99999999999", "'99999999999' is too large, expected a number, 1 or more"},
                {"concurrent = 9999999999999999", "'9999999999999999' is too large, expected a number, 1 or more"},
                {"concurrent = two", "'two' is no whole number, expected a number, 1 or more"},
                {"metrics_file = /x/y.prom", NULL},
                {"drain_unit = runner.service", NULL},
                {"drain_unit = runner",
                        "'runner' is no service, expected the name of a unit, such as gitlab-runner.service"},
                {"reload_unit = a b.service",
                        "'a b.service' is no service, expected the name of a unit, such as gitlab-runner.service"},
                {"termination = none", NULL},
                {"termination = aws, gcp,azure", NULL},
                {"termination = auto, aws",
                        "auto and none stand alone, expected auto, none, or a list of aws, gcp and azure"},
                {"termination = none, none, aws",
                        "auto and none stand alone, expected auto, none, or a list of aws, gcp and azure"},
                {"termination = asw", "'asw' is unknown, expected auto, none, or a list of aws, "
                                      "gcp and azure"},
                {"retry_min = 6min", "retry_min is longer than retry_max, expected it to be the shorter"},
                {"retry_min = 5min", NULL},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                char text[512], expected[512] = "";

                (void)snprintf(text, sizeof(text), "[agent]\n%s\n" RUNNER_INI, cases[i].line);
                if (cases[i].mistake)
                        (void)snprintf(expected, sizeof(expected), "config.ini:2: agent.%.*s: %s\n",
                                (int)strcspn(cases[i].line, " "), cases[i].line, cases[i].mistake);
                fixture_expect(*state, "config.ini", text, expected);
        }
}

static void test_runner_values(void **state)
{
        static const struct {
                const char *line;
                const char *mistake; /* behind "runner a.KEY: "; NULL: fine */
        } cases[] = {
                {"locked = maybe", "'maybe' is neither, expected true or false"},
                {"locked = off", NULL},
                {"access_level = ref_protected", NULL},
                {"access_level = protected", "'protected' is unknown, expected "
                                             "not_protected or ref_protected"},
                {"maximum_timeout = 600", NULL},
                {"maximum_timeout = 599", "'599' is too small, expected seconds, 600 or more"},
                {"maximum_timeout = 1h", "'1h' is no whole number, expected seconds, 600 or more"},
                {"description = %i", "holds %i, but this host has no instance id (cloud-init's), expected " TEXT},
                {"description = %q", "holds the unknown specifier %q, expected " TEXT},
                {"maintenance_note = 100%%", NULL},
                {"rotation = gitlab-runner", NULL},
                {"rotation = gitlab_runner", "'gitlab_runner' is unknown, expected auto, "
                                             "always, never or gitlab-runner"},
                {"on_removed = disable", NULL},
                {"proxy = proxy:3128",
                        "has no scheme, expected a proxy's url, such as http://proxy.example.com:3128"},
                {"proxy = http://user:pass@proxy:3128", NULL},
                {"timeout = 1min", NULL},
                {"allow_http = true", NULL},
                {"tls_cert_file = x", "'x' is no absolute path, expected an absolute path"},
                {"run_untagged = false",
                        "without tags the runner would take no job at all, expected tags in tag_list, or true"},
                {"runner_type = group_type", "it goes with access_token alone, expected it to be left out"},
                {"group_id = 5", "it goes with access_token alone, expected it to be left out"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                char text[512], expected[768] = "";
                int key = (int)strcspn(cases[i].line, " ");

                (void)snprintf(text, sizeof(text), "%s%s\n", WITH_REG, cases[i].line);
                if (cases[i].mistake)
                        (void)snprintf(expected, sizeof(expected), "config.ini:5: runner a.%.*s: %s\n", key,
                                cases[i].line, cases[i].mistake);
                if (strcmp(cases[i].line, "tls_cert_file = x") == 0)
                        (void)strcat(expected,
                                "config.ini:5: runner a.tls_cert_file: it stands without tls_key_file, "
                                "expected both or neither\n");
                fixture_expect(*state, "config.ini", text, expected);
        }
}

static void test_tags(void **state)
{
        Scratch *scratch = *state;
        char text[32 * 1024];
        size_t at;

        /* GitLab takes fifty; equal ones are one. */
        at = (size_t)sprintf(text, "%stag_list = ", WITH_REG);
        for (unsigned i = 0; i < 50; i++)
                at += (size_t)sprintf(text + at, "tag-%u, tag-%u, ", i, i / 2);
        (void)strcpy(text + at, "\n");
        fixture_write(scratch, "config.ini", text);
        _cleanup_(config_freep) Config *config = fixture_load_good(scratch, "config.ini");
        assert_string_equal(config->runners[0]->tag_list[49], "tag-49");
        assert_null(config->runners[0]->tag_list[50]);
        (void)strcpy(text + at, "one-more\n");
        fixture_expect(scratch, "config.ini", text,
                "config.ini:5: runner a.tag_list: there are 51, expected at most 50 tags, separated by commas\n");

        at = (size_t)sprintf(text, "%stag_list = ", WITH_REG);
        memset(text + at, '-', 255);
        text[at + 255] = 0;
        fixture_expect(scratch, "config.ini", text, "");
        (void)strcpy(text + at + 255, "-");
        _cleanup_free_ char *mistakes = NULL;
        const char *const files[] = {"config.ini", NULL};
        fixture_write(scratch, "config.ini", text);
        assert_null(fixture_load(scratch, files, &mistakes));
        MENTIONS(mistakes, "has more than 255 characters");

        fixture_expect(scratch, "config.ini", WITH_REG "tag_list =\n", "");
        fixture_expect(scratch, "config.ini", WITH_REG "run_untagged = false\ntag_list = a\n", "");
        fixture_expect(scratch, "config.ini", WITH_REG "run_untagged = false\ntag_list = ,\n",
                "config.ini:5: runner a.run_untagged: without tags the runner would take no job at all, expected "
                "tags in "
                "tag_list, or true\n");
}

#define SERVERS "GitLab keeps it for a runner that exists, expected it to be left out beside authentication_token\n"

static void test_flows(void **state)
{
        static const Case cases[] = {
                {HEAD "description = x\n",
                        "config.ini:1: runner a.registration_token: no token is there, expected this one, "
                        "authentication_token or access_token\n"},
                {WITH_REG "authentication_token = env:U\n", "config.ini:5: runner a.authentication_token: it stands "
                                                            "beside registration_token, expected one of "
                                                            "the two\n"},
                {HEAD "access_token = env:P\nrunner_type = instance_type\nregistration_token = env:R\n",
                        "config.ini:4: runner a.access_token: it stands beside registration_token, expected one of "
                        "the two\n"},
                /* One that is wrong is not missing. */
                {HEAD "access_token = flie:/x\nrunner_type = instance_type\n",
                        "config.ini:4: runner a.access_token: names an unknown kind of source, expected file:PATH, "
                        "credential:NAME, env:NAME or exec:PROGRAM ARGS, or the token itself\n"},

                {WITH_AUTH "description = x\ntag_list = a\nrun_untagged = true\nlocked = true\npaused = false\n"
                           "access_level = not_protected\nmaximum_timeout = 600\nmaintenance_note = x\n"
                           "runner_type = group_type\ngroup_id = 1\nproject_id = 1\n",
                        "config.ini:5: runner a.description: " SERVERS "config.ini:6: runner a.tag_list: " SERVERS
                        "config.ini:7: runner a.run_untagged: " SERVERS "config.ini:8: runner a.locked: " SERVERS
                        "config.ini:9: runner a.paused: " SERVERS "config.ini:10: runner a.access_level: " SERVERS
                        "config.ini:11: runner a.maximum_timeout: " SERVERS
                        "config.ini:12: runner a.maintenance_note: " SERVERS
                        "config.ini:13: runner a.runner_type: " SERVERS "config.ini:14: runner a.group_id: " SERVERS
                        "config.ini:15: runner a.project_id: " SERVERS},
                {WITH_AUTH "rotation = always\ntimeout = 5s\n", ""},

                {WITH_PAT, "config.ini:1: runner a.runner_type: it is missing, expected instance_type, group_type or "
                           "project_type beside access_token\n"},
                {WITH_PAT "runner_type = instance_type\n", ""},
                {WITH_PAT "runner_type = group_type\ngroup_id = 5\n", ""},
                {WITH_PAT "runner_type = project_type\nproject_id = 5\n", ""},
                {WITH_PAT "runner_type = group_type\n", "config.ini:1: runner a.group_id: it is missing, expected a "
                                                        "number, 1 or more for a runner of "
                                                        "group_type\n"},
                {WITH_PAT "runner_type = project_type\ngroup_id = 5\n",
                        "config.ini:1: runner a.project_id: it is missing, expected a number, 1 or more for a runner "
                        "of "
                        "project_type\n"
                        "config.ini:6: runner a.group_id: it goes with group_type alone, expected it to be left "
                        "out\n"},
                {WITH_PAT "runner_type = instance_type\nproject_id = 5\ngroup_id = 5\n",
                        "config.ini:6: runner a.project_id: it goes with project_type alone, expected it to be left "
                        "out\n"
                        "config.ini:7: runner a.group_id: it goes with group_type alone, expected it to be left "
                        "out\n"},
                {WITH_PAT "runner_type = group\ngroup_id = 5\n",
                        "config.ini:5: runner a.runner_type: 'group' is unknown, expected "
                        "instance_type, group_type or project_type\n"},
                {WITH_PAT "runner_type = group_type\ngroup_id = 0\n",
                        "config.ini:6: runner a.group_id: '0' is too small, expected a number, 1 or more\n"},
        };

        expect_all(*state, cases, ELEMENTS(cases));
}

static void test_required(void **state)
{
        static const Case cases[] = {
                {"[runner a]\nurl = gitlab\nexecutor = dokcer\nregistration_token = env:T\n",
                        "config.ini:2: runner a.url: has no scheme, expected GitLab's url, such as "
                        "https://gitlab.example.com\n"
                        "config.ini:3: runner a.executor: 'dokcer' is unknown, expected one of "
                        "gitlab-runner's executors: shell, docker, docker-windows, docker-autoscaler, "
                        "docker+machine, "
                        "instance, kubernetes, ssh, virtualbox, parallels or custom\n"},
                {"[runner a]\nurl = http://gitlab.example.com\nexecutor = shell\nregistration_token = env:T\n",
                        "config.ini:2: runner a.url: plain http shows the tokens to everyone on the way, expected "
                        "https, or "
                        "allow_http = true\n"},
                {"[runner a]\nurl = http://gitlab.example.com\nexecutor = shell\nregistration_token = "
                 "env:T\nallow_http = "
                 "false\n",
                        "config.ini:2: runner a.url: plain http shows the tokens to everyone on the way, expected "
                        "https, or "
                        "allow_http = true\n"},
                {"[runner a]\nurl = http://gitlab.example.com\nexecutor = shell\nregistration_token = "
                 "env:T\nallow_http = "
                 "true\n",
                        ""},
                {"[runner a]\nurl = http://localhost:8080\nexecutor = shell\nregistration_token = env:T\n", ""},
                {"[agent]\nretry_max = 1min\n",
                        "config.ini: there is no runner, expected [runner NAME] (in YAML an item of `runners`)\n"},
        };

        expect_all(*state, cases, ELEMENTS(cases));

        /* Every executor of gitlab-runner is taken. */
        static const char *const executors[] = {"shell", "docker", "docker-windows", "docker-autoscaler",
                "docker+machine", "instance", "kubernetes", "ssh", "virtualbox", "parallels", "custom"};
        for (size_t i = 0; i < ELEMENTS(executors); i++) {
                char text[256];

                (void)snprintf(text, sizeof(text),
                        "[runner a]\nurl = https://g\nregistration_token = env:T\nexecutor = %s\n", executors[i]);
                fixture_expect(*state, "config.ini", text, "");
        }
}

#define RUNNER(name, url, token)                                                                                     \
        "[runner " name "]\nurl = " url "\nexecutor = shell\nauthentication_token = " token "\n"

static void test_twins(void **state)
{
        static const Case cases[] = {
                {RUNNER("a", "https://g", "env:T") RUNNER("a", "https://h", "env:T"),
                        "config.ini:5: runner a.name: another runner has this NAME, expected one (config.ini:1)\n"},
                {RUNNER("a", "https://g", "env:T") RUNNER("b", "https://h", "env:T") RUNNER("a", "https://i", "env:U")
                                RUNNER("a", "https://j", "env:V"),
                        "config.ini:9: runner a.name: another runner has this NAME, expected one (config.ini:1)\n"
                        "config.ini:13: runner a.name: another runner has this NAME, expected one (config.ini:9)\n"},
                {RUNNER("a", "https://g", "env:T") RUNNER("b", "https://G/ci/", "env:T"),
                        "config.ini:8: runner b.authentication_token: another runner has this url and token, "
                        "expected one "
                        "(config.ini:1)\n"},
                {RUNNER("a", "https://g", "glrt-abc") RUNNER("b", "https://g", "glrt-abc"),
                        "config.ini:8: runner b.authentication_token: another runner has this url and token, "
                        "expected one "
                        "(config.ini:1)\n"},
                {RUNNER("a", "https://g", "exec:/bin/true a  b") RUNNER("b", "https://g", "exec:/bin/true 'a' b"),
                        "config.ini:8: runner b.authentication_token: another runner has this url and token, "
                        "expected one "
                        "(config.ini:1)\n"},
                {RUNNER("a", "https://g", "glrt-abc") RUNNER("b", "https://g", "glrt-abd"), ""},
                {RUNNER("a", "https://g", "env:T") RUNNER("b", "https://g", "credential:T"), ""},
                {RUNNER("a", "https://g", "env:T") RUNNER("b", "https://g/x", "env:T"), ""},
                /* Each of these makes a runner of its own. */
                {WITH_REG "[runner b]\nurl = https://g\nexecutor = shell\nregistration_token = env:T\n", ""},
        };

        expect_all(*state, cases, ELEMENTS(cases));
}

/* Thousands of runners take no noticeable time, and the last pair is found. */
static void test_many_runners(void **state)
{
        Scratch *scratch = *state;
        const unsigned n = 5000;
        _cleanup_free_ char *text = malloc(n * 128), *expected = NULL;
        size_t at = 0;

        for (unsigned i = 0; i < n; i++)
                at += (size_t)sprintf(text + at,
                        "[runner r%u]\nurl = https://g\nexecutor = shell\nauthentication_token = env:T%u\n", i, i);
        fixture_expect(scratch, "config.ini", text, "");
        (void)strcpy(text + at, RUNNER("r0", "https://g", "env:T4999"));
        assert_true(
                asprintf(&expected,
                        "config.ini:%u: runner r0.name: another runner has this NAME, expected one (config.ini:1)\n"
                        "config.ini:%u: runner r0.authentication_token: another runner has this url and token, "
                        "expected "
                        "one (config.ini:%u)\n",
                        4 * n + 1, 4 * n + 4, 4 * n - 3) > 0);
        fixture_expect(scratch, "config.ini", text, expected);
}

/* Writes BEFORE, the path of NAME and a newline after the runner's lines. */
static void expect_path(Scratch *scratch, const char *head, const char *key, const char *name, const char *mistake)
{
        char text[PATH_MAX + 512], expected[1024] = "";

        (void)snprintf(text, sizeof(text), "%s%s%s\n", head, key, scratch_path(scratch, name));
        if (mistake)
                (void)snprintf(expected, sizeof(expected), "config.ini:%s\n", mistake);
        fixture_expect(scratch, "config.ini", text, expected);
}

static void test_files(void **state)
{
        Scratch *scratch = *state;

        expect_path(scratch, WITH_REG, "template = ", "t.toml",
                "5: runner a.template: 't.toml' does not exist, expected a file");
        scratch_write(scratch, "t.toml", "[[runners]]\n");
        expect_path(scratch, WITH_REG, "template = ", "t.toml", NULL);
        assert_int_equal(chmod(scratch_path(scratch, "t.toml"), 0646), 0);
        expect_path(scratch, WITH_REG, "template = ", "t.toml",
                "5: runner a.template: 't.toml': others can write the file 't.toml' (mode 0646), expected root and "
                "us alone");
        scratch_mkdir(scratch, "d");
        expect_path(scratch, WITH_REG, "template = ", "d", "5: runner a.template: 'd' is a folder, expected a file");
        expect_path(scratch, WITH_REG, "tls_ca_file = ", "ca.pem",
                "5: runner a.tls_ca_file: 'ca.pem' does not exist, expected a file");

        scratch_write(scratch, "hook", "#!/bin/sh\n");
        expect_path(scratch, WITH_REG "[agent]\n", "hook = ", "hook",
                "6: agent.hook: 'hook' is not executable, expected a program");
        assert_int_equal(chmod(scratch_path(scratch, "hook"), 0755), 0);
        expect_path(scratch, WITH_REG "[agent]\n", "hook = ", "hook", NULL);
        expect_path(scratch, HEAD, "registration_token = exec:", "hook", NULL);
        assert_int_equal(chmod(scratch_path(scratch, "hook"), 0757), 0);
        expect_path(scratch, WITH_REG "[agent]\n", "hook = ", "hook",
                "6: agent.hook: 'hook': others can write the file 'hook' (mode 0757), expected root and us alone");
        expect_path(scratch, HEAD, "registration_token = exec:", "hook",
                "4: runner a.registration_token: 'hook': others can write the file 'hook' (mode 0757), expected root "
                "and us "
                "alone");
        expect_path(scratch, HEAD, "registration_token = exec:", "none",
                "4: runner a.registration_token: 'none' does not exist, expected a file");
}

/* A secret's file may come later; one that is there must be ours alone. */
static void test_secret_files(void **state)
{
        Scratch *scratch = *state;

        expect_path(scratch, HEAD, "registration_token = file:", "token", NULL);
        scratch_write(scratch, "token", "x\n");
        expect_path(scratch, HEAD, "registration_token = file:", "token",
                "4: runner a.registration_token: others can read 'token' (mode 0644), expected mode 0600");
        assert_int_equal(chmod(scratch_path(scratch, "token"), 0600), 0);
        expect_path(scratch, HEAD, "registration_token = file:", "token", NULL);

        scratch_write(scratch, "cert.pem", "x");
        scratch_write(scratch, "key.pem", "x");
        char text[PATH_MAX * 2];
        (void)snprintf(text, sizeof(text), WITH_REG "tls_cert_file = %s\ntls_key_file = %s\n",
                scratch_path(scratch, "cert.pem"), scratch_path(scratch, "key.pem"));
        fixture_expect(scratch, "config.ini", text,
                "config.ini:6: runner a.tls_key_file: others can read 'key.pem' (mode 0644), expected mode 0600\n");
        assert_int_equal(chmod(scratch_path(scratch, "key.pem"), 0640), 0);
        fixture_expect(scratch, "config.ini", text, "");
        (void)snprintf(text, sizeof(text), WITH_REG "tls_key_file = %s\n", scratch_path(scratch, "key.pem"));
        fixture_expect(scratch, "config.ini", text,
                "config.ini:5: runner a.tls_key_file: it stands without tls_cert_file, expected both or neither\n");
}

/* A token or password where others can read it. */
static void test_literals(void **state)
{
        Scratch *scratch = *state;
        static const char text[] = HEAD "authentication_token = glrt-canaryZx81\nproxy = http://u:canaryZx81@proxy\n";
        _cleanup_free_ char *mistakes = NULL, *others = NULL;
        const char *const files[] = {"config.ini", NULL};

        fixture_expect(scratch, "config.ini", text, "");
        assert_int_equal(chmod(scratch_path(scratch, "config.ini"), 0644), 0);
        assert_null(fixture_load(scratch, files, &mistakes));
        assert_string_equal(mistakes, "config.ini:4: runner a.authentication_token: the token stands in a file that "
                                      "others can read, expected "
                                      "mode 0600, or " SECRET_SOURCE_FORMS "\n"
                                      "config.ini:5: runner a.proxy: the password stands in a file that others can "
                                      "read, expected mode 0600\n");

        /* Without either, anybody may read. */
        fixture_write(scratch, "config.ini", RUNNER_INI "proxy = http://proxy\n");
        assert_int_equal(chmod(scratch_path(scratch, "config.ini"), 0644), 0);
        _cleanup_(config_freep) Config *config = fixture_load_good(scratch, "config.ini");
        assert_int_equal(config->n_runners, 1);

        /* And others' words are not repeated, where they are wrong. */
        fixture_write(scratch, "config.ini",
                HEAD "authentication_token = canaryZx81 b\nurl = x\nrotation = glrt-canaryZx81\n");
        assert_null(fixture_load(scratch, files, &others));
        assert_null(strstr(others, "canary"));
}

static void test_defaults(void **state)
{
        Scratch *scratch = *state;

        fixture_write(scratch, "config.ini", RUNNER_INI);
        _cleanup_(config_freep) Config *config = fixture_load_good(scratch, "config.ini");
        const RunnerConfig *runner = config->runners[0];

        assert_string_equal(config->config_toml, "/etc/gitlab-runner/config.toml");
        assert_string_equal(config->state_dir, "/var/lib/runner-registrar");
        assert_string_equal(config->runtime_dir, "/run/runner-registrar");
        assert_int_equal(config->verify_interval_usec, 15 * USEC_PER_MINUTE);
        assert_int_equal(config->deregister_on, CONFIG_DEREGISTER_ON_STOP);
        assert_int_equal(config->stop_timeout_usec, 30 * USEC_PER_SEC);
        assert_int_equal(config->rotate_at_percent, 66);
        assert_true(config->rotate_after_usec == USEC_INFINITY);
        assert_int_equal(config->removed_after_usec, 10 * USEC_PER_MINUTE);
        assert_int_equal(config->retry_min_usec, USEC_PER_SEC);
        assert_int_equal(config->retry_max_usec, 5 * USEC_PER_MINUTE);
        assert_int_equal(config->refused_retry_usec, USEC_PER_HOUR);
        assert_int_equal(config->concurrent, -1);
        assert_null(config->metrics_file);
        assert_null(config->hook);
        assert_string_equal(config->drain_unit, "gitlab-runner.service");
        assert_string_equal(config->reload_unit, "gitlab-runner.service");
        assert_int_equal(config->drain_timeout_usec, 10 * USEC_PER_MINUTE);
        assert_int_equal(config->termination, CONFIG_TERMINATION_AUTO);

        assert_null(runner->registration_token);
        assert_null(runner->access_token);
        assert_null(runner->description);
        assert_null(runner->tag_list);
        assert_int_equal(runner->run_untagged, -1);
        assert_int_equal(runner->locked, -1);
        assert_int_equal(runner->paused, -1);
        assert_null(runner->access_level);
        assert_int_equal(runner->maximum_timeout, -1);
        assert_null(runner->maintenance_note);
        assert_null(runner->runner_type);
        assert_int_equal(runner->group_id, -1);
        assert_int_equal(runner->project_id, -1);
        assert_null(runner->template);
        assert_int_equal(runner->rotation, CONFIG_ROTATION_AUTO);
        assert_int_equal(runner->on_removed, CONFIG_ON_REMOVED_REREGISTER);
        assert_null(runner->tls_ca_file);
        assert_null(runner->proxy);
        assert_int_equal(runner->allow_http, 0);
        assert_int_equal(runner->timeout_usec, 30 * USEC_PER_SEC);

        const char *key = NULL, *file = NULL;
        unsigned line = 0;
        assert_ptr_equal(runner_config_secret(runner, &key), runner->authentication_token);
        assert_string_equal(key, "authentication_token");
        assert_true(config_place(config, runner, "url", &file, &line));
        assert_string_equal(file, scratch_path(scratch, "config.ini"));
        assert_int_equal(line, 2);
        assert_false(config_place(config, runner, "timeout", &file, &line));
        assert_false(config_place(config, NULL, "retry_max", &file, &line));
        assert_false(config_place(config, NULL, "url", &file, &line));
}

/* Each row can be shown to people: manual, completions and messages are made of these. */
static void test_schema_rows(void **state)
{
        const SchemaRow *row;
        size_t n = 0;

        for (; (row = config_schema_row(n)); n++) {
                _cleanup_free_ char *name = NULL;

                assert_ptr_equal(config_schema_find(row->section, row->key), row);
                assert_int_equal(config_schema_index(row), n);
                assert_true(row->expected && *row->expected);
                assert_true(row->help && row->help[strlen(row->help) - 1] == '.');
                assert_null(strstr(row->help, ". "));
                assert_int_equal(config_setting_name(row, "runner x", &name), 0);
                assert_non_null(strstr(name, row->key));
                if (row->flags & SCHEMA_REQUIRED)
                        assert_null(row->default_text);
        }
        assert_int_equal(n, config_schema_size());
}

int main(void)
{
#define WITH_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)
        const struct CMUnitTest tests[] = {
                WITH_SCRATCH(test_agent_values),
                WITH_SCRATCH(test_runner_values),
                WITH_SCRATCH(test_tags),
                WITH_SCRATCH(test_flows),
                WITH_SCRATCH(test_required),
                WITH_SCRATCH(test_twins),
                WITH_SCRATCH(test_many_runners),
                WITH_SCRATCH(test_files),
                WITH_SCRATCH(test_secret_files),
                WITH_SCRATCH(test_literals),
                WITH_SCRATCH(test_defaults),
                cmocka_unit_test(test_schema_rows),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
