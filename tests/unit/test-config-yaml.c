#include "tests/unit/config-fixture.h"

typedef struct Case {
        const char *text;
        const char *mistakes;
} Case;

static void expect_all(Scratch *scratch, const Case *cases, size_t n)
{
        for (size_t i = 0; i < n; i++)
                fixture_expect(scratch, "config.yaml", cases[i].text, cases[i].mistakes);
}

/* Documents that say the same thing in other ways. */
static void test_forms(void **state)
{
        Scratch *scratch = *state;
        static const char *const texts[] = {
                "agent:\n  retry_max: 7min\n" RUNNER_YAML,
                "---\nagent: {retry_max: 7min}\n" RUNNER_YAML "...\n",
                "%YAML 1.1\n---\nagent:\n  \"retry_max\": '7min' # why\n" RUNNER_YAML,
                "{agent: {retry_max: 420}, runners: [{name: a, url: 'https://g', access_token: env:T, "
                "runner_type: instance_type, executor: shell}]}",
                "\xEF\xBB\xBF"
                "agent:\n  retry_max: 7min\n" RUNNER_YAML,
                "agent:\r\n  retry_max: 7min\r\n" RUNNER_YAML,
                RUNNER_YAML "agent:\n    retry_max: >-\n        7min\n",
        };

        for (size_t i = 0; i < ELEMENTS(texts); i++) {
                fixture_write(scratch, "config.yaml", texts[i]);
                _cleanup_(config_freep) Config *config = fixture_load_good(scratch, "config.yaml");
                assert_int_equal(config->retry_max_usec, 7 * USEC_PER_MINUTE);
                assert_int_equal(config->n_runners, 1);
                assert_string_equal(config->runners[0]->name, "a");
        }
        fixture_write(scratch, "config.yml", texts[0]);
        _cleanup_(config_freep) Config *config = fixture_load_good(scratch, "config.yml");
        assert_int_equal(config->n_runners, 1);
}

static void test_values(void **state)
{
        Scratch *scratch = *state;
        static const struct {
                const char *lines;
                const char *tags[4];
                int run_untagged;
                int64_t maximum_timeout;
                const char *note;
        } cases[] = {
                {"    tag_list: docker, linux\n", {"docker", "linux"}, -1, -1, NULL},
                {"    tag_list: docker\n", {"docker"}, -1, -1, NULL},
                {"    tag_list: [docker, linux]\n", {"docker", "linux"}, -1, -1, NULL},
                {"    tag_list:\n      - docker\n      - linux\n", {"docker", "linux"}, -1, -1, NULL},
                {"    tag_list:\n    - docker\n    - '3.10'\n    - 3.10\n", {"docker", "3.10"}, -1, -1, NULL},
                {"    tag_list: []\n", {NULL}, -1, -1, NULL},
                {"    tag_list: [a]\n    run_untagged: false\n", {"a"}, 0, -1, NULL},
                {"    tag_list: [a]\n    run_untagged: yes\n", {"a"}, 1, -1, NULL},
                {"    tag_list: [a]\n    run_untagged: \"true\"\n", {"a"}, 1, -1, NULL},
                {"    tag_list: [a]\n    maximum_timeout: 3600\n", {"a"}, -1, 3600, NULL},
                {"    tag_list: [a]\n    maximum_timeout: \"3600\"\n", {"a"}, -1, 3600, NULL},
                {"    tag_list: [a]\n    maintenance_note: |\n      one\n      two\n", {"a"}, -1, -1, "one\ntwo\n"},
                {"    tag_list: [a]\n    maintenance_note: 'a # b'\n", {"a"}, -1, -1, "a # b"},
                {"    tag_list: [a]\n    maintenance_note: 'null'\n", {"a"}, -1, -1, "null"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                char text[1024];

                (void)snprintf(text, sizeof(text),
                        "runners:\n  - name: a\n    url: https://g\n    registration_token: env:T\n    executor: "
                        "shell\n%s",
                        cases[i].lines);
                fixture_write(scratch, "config.yaml", text);
                _cleanup_(config_freep) Config *config = fixture_load_good(scratch, "config.yaml");
                const RunnerConfig *runner = config->runners[0];
                for (size_t k = 0; k == 0 || cases[i].tags[k - 1]; k++)
                        if (cases[i].tags[k])
                                assert_string_equal(runner->tag_list[k], cases[i].tags[k]);
                        else
                                assert_null(runner->tag_list[k]);
                assert_int_equal(runner->run_untagged, cases[i].run_untagged);
                assert_int_equal(runner->maximum_timeout, cases[i].maximum_timeout);
                if (cases[i].note)
                        assert_string_equal(runner->maintenance_note, cases[i].note);
                else
                        assert_null(runner->maintenance_note);
        }
}

static void test_aliases_and_tags(void **state)
{
        static const Case cases[] = {
                {"agent: &x\n  retry_max: 1min\n" RUNNER_YAML,
                        "config.yaml:1: an anchor is used, expected the value alone\n"},
                {"agent:\n  retry_max: &x 1min\n  retry_min: *x\n" RUNNER_YAML,
                        "config.yaml:2: an anchor is used, expected the value alone\n"
                        "config.yaml:3: an alias is used, expected the value itself\n"},
                {RUNNER_YAML "    tag_list: &t [a]\n  - &r\n    name: b\n    tag_list: *t\n  - *r\n",
                        "config.yaml:6: an anchor is used, expected the value alone\n"
                        "config.yaml:7: an anchor is used, expected the value alone\n"
                        "config.yaml:9: an alias is used, expected the value itself\n"
                        "config.yaml:10: an alias is used, expected the value itself\n"},
                {RUNNER_YAML "    tag_list: [&a x, *a]\n",
                        "config.yaml:6: an anchor is used, expected the value alone\n"
                        "config.yaml:6: an alias is used, expected the value itself\n"},
                {"agent:\n  <<: {retry_max: 1min}\n" RUNNER_YAML,
                        "config.yaml:2: agent: '<<' is a mapping, expected a value\n"},
                {"agent:\n  &k retry_max: 1min\n  *k : 2min\n" RUNNER_YAML,
                        "config.yaml:2: an anchor is used, expected the value alone\n"
                        "config.yaml:3: an alias is used, expected the value itself\n"},
                {"agent:\n  retry_max: !!str 1min\n  retry_min: !x 1s\n" RUNNER_YAML,
                        "config.yaml:2: a tag is used, expected the value alone\n"
                        "config.yaml:3: a tag is used, expected the value alone\n"},
                {"!!map\nagent:\n  retry_max: 1min\n", "config.yaml:1: a tag is used, expected the value alone\n"},
                /* A billion laughs: told without being counted out. */
                {"x:\n  - &a [l, l, l, l]\n  - &b [*a, *a, *a]\n" RUNNER_YAML,
                        "config.yaml:1: unknown section 'x', did you mean 'agent'?\n"
                        "config.yaml:2: an anchor is used, expected the value alone\n"
                        "config.yaml:3: an anchor is used, expected the value alone\n"
                        "config.yaml:3: an alias is used, expected the value itself\n"
                        "config.yaml:3: an alias is used, expected the value itself\n"
                        "config.yaml:3: an alias is used, expected the value itself\n"},
        };

        expect_all(*state, cases, ELEMENTS(cases));
}

static void test_shapes(void **state)
{
        static const Case cases[] = {
                {"- a\n", "config.yaml:1: the document is no mapping, expected `agent:` and `runners:`\n"},
                {"hello\n", "config.yaml:1: the document is no mapping, expected `agent:` and `runners:`\n"},
                {"agent: 5\n" RUNNER_YAML, "config.yaml:1: agent: it is no mapping, expected key: value below it\n"},
                {"agent: [retry_max]\n" RUNNER_YAML,
                        "config.yaml:1: agent: it is no mapping, expected key: value below it\n"},
                {"agent:\n" RUNNER_YAML, ""},
                {"agent: {}\n" RUNNER_YAML, ""},
                {"runners:\n  a:\n    url: x\n", "config.yaml:2: runners: it is no list, expected one item, "
                                                 "beginning with `-`, for each runner\n"},
                {"runners: a\n", "config.yaml:1: runners: it is no list, expected one item, beginning with `-`, for "
                                 "each runner\n"},
                {"runners:\n  - a\n", "config.yaml:2: runners[0]: it is no mapping, expected name, url and the other "
                                      "keys of a runner\n"},
                {"runners:\n",
                        "config.yaml: there is no runner, expected [runner NAME] (in YAML an item of `runners`)\n"},
                {"runners: []\n",
                        "config.yaml: there is no runner, expected [runner NAME] (in YAML an item of `runners`)\n"},
                {"runner:\n  - name: a\n", "config.yaml:1: unknown section 'runner', did you mean 'runners'?\n"},
                {"agents: {x: [{y: z}]}\n" RUNNER_YAML,
                        "config.yaml:1: unknown section 'agents', did you mean 'agent'?\n"},
                {"agent:\n  retry_max: {a: b}\n" RUNNER_YAML,
                        "config.yaml:2: agent: 'retry_max' is a mapping, expected a value\n"},
                {"agent:\n  retry_max: [1s]\n" RUNNER_YAML, "config.yaml:2: agent.retry_max: a list is written where "
                                                            "one value belongs, expected one second or "
                                                            "more, such as 90s, 15min or 1h30min\n"},
                {"agent:\n  [a, b]: 1\n  {c: d}: 2\n  retry_max: 1min\n" RUNNER_YAML,
                        "config.yaml:2: a list or mapping stands where a key belongs, expected a key\n"
                        "config.yaml:3: a list or mapping stands where a key belongs, expected a key\n"},
                {RUNNER_YAML "    tag_list: [[a]]\n",
                        "config.yaml:6: runner a: an item of 'tag_list' is a list or mapping, "
                        "expected a value\n"},
                {"agent:\n  termination: [aws, 'gcp,azure']\n" RUNNER_YAML,
                        "config.yaml:2: agent.termination: an item holds a comma, expected auto, none, or a list of "
                        "aws, gcp "
                        "and azure\n"},
                {"agent:\n  termination: [aws, ~]\n" RUNNER_YAML,
                        "config.yaml:2: agent.termination: an item is empty or has blanks at its ends, expected "
                        "auto, none, "
                        "or a list of aws, gcp and azure\n"},
                {"agent:\n  retry_max:\n  retry_min: ~\n  refused_retry: null\n  hook: ''\n" RUNNER_YAML,
                        "config.yaml:2: agent.retry_max: the value is empty, expected one second or more, such as "
                        "90s, 15min "
                        "or 1h30min\n"
                        "config.yaml:3: agent.retry_min: the value is empty, expected one second or more, such as "
                        "90s, 15min "
                        "or 1h30min\n"
                        "config.yaml:4: agent.refused_retry: the value is empty, expected one second or more, such "
                        "as 90s, "
                        "15min or 1h30min\n"
                        "config.yaml:5: agent.hook: the value is empty, expected the absolute path of a program\n"},
                {"agent:\n  hook: \"/a\\0b\"\n" RUNNER_YAML,
                        "config.yaml:2: a value holds a NUL character, expected text\n"},
                {"agent:\n  hook: \"/a\\nb\"\n" RUNNER_YAML, "config.yaml:2: agent.hook: the value holds a control "
                                                             "character or line break, expected the absolute "
                                                             "path of a program\n"},
        };

        expect_all(*state, cases, ELEMENTS(cases));
}

static void test_keys(void **state)
{
        static const Case cases[] = {
                {"agent:\n  retry_max: 1min\n  retry_max: 2min\n" RUNNER_YAML,
                        "config.yaml:3: agent.retry_max: it is set twice, expected it once (the first is in line "
                        "2)\n"},
                {"agent:\n  retry_max: 1min\nagent:\n  retry_min: 1s\n" RUNNER_YAML,
                        "config.yaml:3: agent: the section is there twice, expected one in a file (the first is in "
                        "line 1)\n"},
                {RUNNER_YAML RUNNER_YAML,
                        "config.yaml:6: runners: the section is there twice, expected one in a file\n"
                        "config.yaml:7: runner a.name: another runner has this NAME, expected one (config.yaml:2)\n"
                        "config.yaml:9: runner a.authentication_token: another runner has this url and token, "
                        "expected one "
                        "(config.yaml:2)\n"},
                {RUNNER_YAML "    ulr: https://g\n",
                        "config.yaml:6: runner a.ulr: unknown key, did you mean 'url'?\n"},
                /* Before the name is known the item is counted. */
                {"runners:\n  - ulr: https://g\n    name: a\n    url: https://g\n    registration_token: env:T\n    "
                 "executor: "
                 "shell\n",
                        "config.yaml:2: runners[0].ulr: unknown key, did you mean 'url'?\n"},
                {"runners:\n  - url: https://g\n    registration_token: env:T\n    executor: shell\n",
                        "config.yaml:2: runner.name: it is missing, expected 1 to 40 letters, digits, `.`, `_` or "
                        "`-`, "
                        "beginning with a letter or digit\n"},
                {RUNNER_YAML "    name: b\n",
                        "config.yaml:6: runner a.name: it is set twice, expected it once (the first is in line 2)\n"},
        };

        expect_all(*state, cases, ELEMENTS(cases));
}

/* What libyaml says is passed on with its line, what the file says is not. */
static void test_broken(void **state)
{
        Scratch *scratch = *state;
        static const struct {
                const char *text;
                const char *place;
        } cases[] = {
                {"agent:\n  retry_max: [1s\nrunners: canaryZx81\n", "config.yaml:"},
                {"agent:\n\tretry_max: canaryZx81\n", "config.yaml:2: "},
                {"agent: {\n", "config.yaml:"},
                {"agent:\n  hook: 'canaryZx81\n", "config.yaml:"},
                {"agent:\n  hook: \"\\q canaryZx81\"\n", "config.yaml:2: "},
                {"agent:\n  a: canaryZx81\n b: c\n", "config.yaml:3: "},
                {"agent:\n  x: canaryZx81: canaryZx81\n", "config.yaml:2: "},
                {"agent:\n  hook: %canaryZx81\n", "config.yaml:2: "},
                {"%TAG canaryZx81\n---\nagent:\n", "config.yaml:1: "},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *mistakes = NULL;
                const char *const files[] = {"config.yaml", NULL};

                fixture_write(scratch, "config.yaml", cases[i].text);
                assert_null(fixture_load(scratch, files, &mistakes));
                MENTIONS(mistakes, cases[i].place, "the YAML can't be read");
                assert_null(strstr(mistakes, "canary"));
        }
}

static void test_what_is_no_text(void **state)
{
        Scratch *scratch = *state;
        static const struct {
                const char *data;
                size_t size;
                const char *mistakes;
        } cases[] = {
                {"", 0, "config.yaml: there is no runner, expected [runner NAME] (in YAML an item of `runners`)\n"},
                {"# nothing\n---\n", 14,
                        "config.yaml: there is no runner, expected [runner NAME] (in YAML an item of `runners`)\n"},
                {"a\0b", 3, "config.yaml:1: the file holds a NUL byte, expected text\n"},
                {"\xFE\xFF\0a", 4, "config.yaml:1: the file is UTF-16, expected UTF-8\n"},
                {"agent:\n  # caf\xE9\n", 16, "config.yaml:2: the file is not valid UTF-8, expected text\n"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                fixture_expect_bytes(scratch, "config.yaml", cases[i].data, cases[i].size, cases[i].mistakes);
        fixture_expect(scratch, "config.yaml", RUNNER_YAML "---\nagent: {}\n",
                "config.yaml:6: there is a second document, expected one\n");
        fixture_expect(scratch, "config.yaml", RUNNER_YAML "...\n", "");
}

/* Depth and sizes have bounds, wherever they are. */
static void test_bounds(void **state)
{
        Scratch *scratch = *state;
        static char text[512 * 1024];
        size_t at;

        static const char *const heads[] = {"x: ", "agent: ", "agent: {hook: ", "runners: ", "", "? "};
        for (size_t i = 0; i < ELEMENTS(heads); i++) {
                _cleanup_free_ char *mistakes = NULL;
                const char *const files[] = {"config.yaml", NULL};

                at = (size_t)sprintf(text, "%s", heads[i]);
                memset(text + at, '[', 100000);
                text[at + 100000] = 0;
                fixture_write(scratch, "config.yaml", text);
                assert_null(fixture_load(scratch, files, &mistakes));
                MENTIONS(mistakes, "the nesting is deeper than 16");
        }

        /* Indentation nests as well. */
        at = 0;
        for (unsigned depth = 0; depth < 40; depth++)
                at += (size_t)sprintf(text + at, "%*sx:\n", (int)depth, "");
        _cleanup_free_ char *nested = NULL, *many = NULL;
        const char *const files[] = {"config.yaml", NULL};
        fixture_write(scratch, "config.yaml", text);
        assert_null(fixture_load(scratch, files, &nested));
        MENTIONS(nested, "the nesting is deeper than 16");

        at = (size_t)sprintf(text, "%s    tag_list: [", RUNNER_YAML);
        for (unsigned i = 0; i < 20000; i++)
                at += (size_t)sprintf(text + at, "t%u, ", i);
        (void)strcpy(text + at, "z]\n");
        fixture_write(scratch, "config.yaml", text);
        assert_null(fixture_load(scratch, files, &many));
        assert_string_equal(many, "config.yaml:6: runner a: 'tag_list' has more than 1024 items, expected fewer\n");

        at = (size_t)sprintf(text, "agent:\n  hook: /");
        memset(text + at, 'x', 20000);
        (void)strcpy(text + at + 20000, "\n" RUNNER_YAML);
        fixture_expect(scratch, "config.yaml", text,
                "config.yaml:2: agent.hook: the value is longer than 16384 bytes, expected the absolute path of a "
                "program\n");
}

int main(void)
{
#define WITH_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)
        const struct CMUnitTest tests[] = {
                WITH_SCRATCH(test_forms),
                WITH_SCRATCH(test_values),
                WITH_SCRATCH(test_aliases_and_tags),
                WITH_SCRATCH(test_shapes),
                WITH_SCRATCH(test_keys),
                WITH_SCRATCH(test_broken),
                WITH_SCRATCH(test_what_is_no_text),
                WITH_SCRATCH(test_bounds),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
