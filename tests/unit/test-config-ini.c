#include "tests/unit/config-fixture.h"

#include "config/value.h"

typedef struct Case {
        const char *text;
        const char *mistakes;
} Case;

static void expect_all(Scratch *scratch, const Case *cases, size_t n)
{
        for (size_t i = 0; i < n; i++)
                fixture_expect(scratch, "config.ini", cases[i].text, cases[i].mistakes);
}

/* Lines that say the same thing in other ways. */
static void test_forms_of_lines(void **state)
{
        Scratch *scratch = *state;
        static const char *const texts[] = {
                "[agent]\nretry_max=7min\n" RUNNER_INI, "  [agent]  \n\tretry_max\t=\t7min  \n" RUNNER_INI,
                "[ agent ]\nretry_max = 7min # why\n" RUNNER_INI,
                "# top\n; too\n\n[agent] ; here\nretry_max = 7min ; why\n" RUNNER_INI,
                "[agent]\n  # indented\nretry_max = 7min\t#tab\n" RUNNER_INI,
                "\xEF\xBB\xBF[agent]\nretry_max = 7min\n" RUNNER_INI,
                "[agent]\r\nretry_max = 7min\r\n\r\n" RUNNER_INI,
                RUNNER_INI "[agent]\nretry_max = 7min", /* no last line end */
        };

        for (size_t i = 0; i < ELEMENTS(texts); i++) {
                fixture_write(scratch, "config.ini", texts[i]);
                _cleanup_(config_freep) Config *config = fixture_load_good(scratch, "config.ini");
                assert_int_equal(config->retry_max_usec, 7 * USEC_PER_MINUTE);
                assert_int_equal(config->n_runners, 1);
        }
}

/* A comment begins at the start or after a blank, nowhere else. */
static void test_comments(void **state)
{
        Scratch *scratch = *state;
        static const struct {
                const char *line;
                const char *description;
        } cases[] = {
                {"description = room 1 # kitchen", "room 1"},
                {"description = room 1 ; kitchen", "room 1"},
                {"description = room#1;2", "room#1;2"},
                {"description = a\t;b", "a"},
                {"description = a=b = c", "a=b = c"},
                {"description = a: b", "a: b"},
                {"description = it's \"so\"", "it's \"so\""},
                {"description = [x]", "[x]"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                char text[512];

                (void)snprintf(text, sizeof(text),
                        "[runner a]\nurl = https://g\nregistration_token = env:T\nexecutor = shell\n%s\n",
                        cases[i].line);
                fixture_write(scratch, "config.ini", text);
                _cleanup_(config_freep) Config *config = fixture_load_good(scratch, "config.ini");
                assert_string_equal(config->runners[0]->description, cases[i].description);
        }
}

/* inih would glue the second line to the value of the first. */
static void test_indentation_continues_nothing(void **state)
{
        Scratch *scratch = *state;

        fixture_write(scratch, "config.ini",
                "[runner a]\n"
                "    url = https://gitlab.example.com\n"
                "        tag_list = docker\n"
                "    authentication_token = env:TOKEN\n"
                "  executor = shell\n");
        _cleanup_free_ char *mistakes = NULL;
        const char *const files[] = {"config.ini", NULL};
        assert_null(fixture_load(scratch, files, &mistakes));
        assert_string_equal(mistakes, "config.ini:3: runner a.tag_list: GitLab keeps it for a runner that exists, "
                                      "expected it to be left out "
                                      "beside authentication_token\n");

        fixture_expect(scratch, "config.ini",
                "[runner a]\nurl = https://g\nregistration_token = env:T\nexecutor = shell\ntag_list = docker,\n  "
                "linux\n",
                "config.ini:6: runner a: a line without `=`, expected key = value\n");
}

/* inih cuts at 200 bytes and hands over what is left. */
static void test_long_lines(void **state)
{
        Scratch *scratch = *state;
        static char text[VALUE_SIZE_MAX * 2];
        char description[TEXT_CHARACTERS_MAX + 1];

        memset(description, 'x', sizeof(description) - 1);
        description[sizeof(description) - 1] = 0;
        (void)snprintf(text, sizeof(text),
                "[runner a]\nurl = https://g\nregistration_token = env:T\nexecutor = shell\ndescription = %s\n",
                description);
        fixture_write(scratch, "config.ini", text);
        _cleanup_(config_freep) Config *config = fixture_load_good(scratch, "config.ini");
        assert_string_equal(config->runners[0]->description, description);

        /* Too long a line is told, and the lines behind it keep their numbers. */
        int used = snprintf(text, sizeof(text), "[agent]\nhook = /");
        memset(text + used, 'x', VALUE_SIZE_MAX + 1100);
        (void)strcpy(text + used + VALUE_SIZE_MAX + 1100, "\nhok = 1\n" RUNNER_INI);
        fixture_expect(scratch, "config.ini", text,
                "config.ini:2: the line has 17492 bytes, expected at most 17408\n"
                "config.ini:3: agent.hok: unknown key, did you mean 'hook'?\n");
        (void)strcpy(text + used + VALUE_SIZE_MAX + 10, "\n" RUNNER_INI);
        fixture_expect(scratch, "config.ini", text,
                "config.ini:2: agent.hook: the value is longer than 16384 bytes, expected the absolute path of a "
                "program\n");

        /* A long comment is only a comment. */
        memset(text, '#', 5000);
        (void)strcpy(text + 5000, "\n" RUNNER_INI);
        fixture_expect(scratch, "config.ini", text, "");
}

static void test_sections(void **state)
{
        static const Case cases[] = {
                /* inih would not call for sections without keys. */
                {"[agent]\n[runner a]\n",
                        "config.ini:2: runner a.url: it is missing, expected GitLab's url, such as "
                        "https://gitlab.example.com\n"
                        "config.ini:2: runner a.executor: it is missing, expected one of gitlab-runner's executors: "
                        "shell, "
                        "docker, docker-windows, docker-autoscaler, docker+machine, instance, kubernetes, ssh, "
                        "virtualbox, "
                        "parallels or custom\n"
                        "config.ini:2: runner a.registration_token: no token is there, expected this one, "
                        "authentication_token or access_token\n"},
                {"[agnt]\nretry_max = 1min\n" RUNNER_INI,
                        "config.ini:1: unknown section 'agnt', did you mean [agent]?\n"},
                {"[runners]\nx = 1\n" RUNNER_INI,
                        "config.ini:1: unknown section 'runners', did you mean [runner NAME]?\n"},
                {"[Agent]\n" RUNNER_INI, "config.ini:1: unknown section 'Agent', did you mean [agent]?\n"},
                {"[]\n" RUNNER_INI, "config.ini:1: unknown section '', did you mean [agent]?\n"},
                {"[agent\n" RUNNER_INI, "config.ini:1: the section's header is not closed, expected [agent] or "
                                        "[runner NAME] alone in the "
                                        "line\n"},
                {"[agent] x\n" RUNNER_INI, "config.ini:1: the section's header is not closed, expected [agent] or "
                                           "[runner NAME] alone in the "
                                           "line\n"},
                {"retry_max = 1min\nx\n" RUNNER_INI, "config.ini:1: a line before the first section, expected "
                                                     "[agent] or [runner NAME] above it\n"},
                {"[runner]\nurl = https://g\nregistration_token = env:T\nexecutor = shell\n",
                        "config.ini:1: runner.name: the value is empty, expected 1 to 40 letters, digits, `.`, `_` "
                        "or `-`, "
                        "beginning with a letter or digit\n"},
                {"[runner a b]\nurl = https://g\nregistration_token = env:T\nexecutor = shell\n",
                        "config.ini:1: runner.name: 'a b' is no NAME, expected 1 to 40 letters, digits, `.`, `_` or "
                        "`-`, "
                        "beginning with a letter or digit\n"},
                {"[runner \"a\"]\nurl = https://g\nregistration_token = env:T\nexecutor = shell\n",
                        "config.ini:1: runner.name: '\"a\"' is no NAME, expected 1 to 40 letters, digits, `.`, `_` "
                        "or `-`, "
                        "beginning with a letter or digit\n"},
                /* inih cuts names of sections at 49 bytes: this one would pass for the NAME of forty letters. */
                {"[runner abcdefghijklmnopqrstuvwxyzabcdefghijklmnop]\nurl = https://g\nregistration_token = "
                 "env:T\nexecutor = shell\n",
                        "config.ini:1: runner.name: 'abcdefghijklmnopqrstuvwxyzabcdefghijklmnop' is no NAME, "
                        "expected 1 to "
                        "40 letters, digits, `.`, `_` or `-`, beginning with a letter or digit\n"},
                {"[agent]\nretry_min = 2s\n" RUNNER_INI "[agent]\nretry_max = 1min\nretry_min = 1s\n",
                        "config.ini:7: agent: the section is there twice, expected one in a file (the first is in "
                        "line 1)\n"
                        "config.ini:9: agent.retry_min: it is set twice, expected it once (the first is in line "
                        "2)\n"},
        };

        expect_all(*state, cases, ELEMENTS(cases));
}

static void test_long_names_are_kept_apart(void **state)
{
        Scratch *scratch = *state;

        fixture_write(scratch, "config.ini",
                "[runner abcdefghijklmnopqrstuvwxyzabcdefghijklmn]\nurl = https://g\nregistration_token = env:T\n"
                "executor = shell\n"
                "[runner abcdefghijklmnopqrstuvwxyzabcdefghijklmm]\nurl = https://g\nregistration_token = env:T\n"
                "executor = shell\n");
        _cleanup_(config_freep) Config *config = fixture_load_good(scratch, "config.ini");
        assert_int_equal(config->n_runners, 2);
        assert_string_equal(config->runners[0]->name, "abcdefghijklmnopqrstuvwxyzabcdefghijklmn");
}

static void test_keys(void **state)
{
        static const Case cases[] = {
                {"[agent]\nverify_intervall = 1min\nretry_mx = 1s\n" RUNNER_INI,
                        "config.ini:2: agent.verify_intervall: unknown key, did you mean 'verify_interval'?\n"
                        "config.ini:3: agent.retry_mx: unknown key, did you mean 'retry_max'?\n"},
                {"[agent]\nexecutor = shell\n" RUNNER_INI "hook = /x\n",
                        "config.ini:2: agent.executor: unknown key, expected it in a runner's section\n"
                        "config.ini:7: runner a.hook: unknown key, expected it in the agent's section\n"},
                {RUNNER_INI "name = a\n",
                        "config.ini:5: runner a.name: the section's header holds the name, expected no such key\n"},
                {"[agent]\nretry_max = 1min\nretry_max = 2min\n" RUNNER_INI,
                        "config.ini:3: agent.retry_max: it is set twice, expected it once (the first is in line "
                        "2)\n"},
                {RUNNER_INI "url = https://h\n",
                        "config.ini:5: runner a.url: it is set twice, expected it once (the first is in line 2)\n"},
                /* A second one does not hide behind a first one that is wrong. */
                {"[agent]\nretry_max = x\nretry_max = 2min\n" RUNNER_INI,
                        "config.ini:2: agent.retry_max: 'x' is no duration, expected one second or more, such as "
                        "90s, 15min "
                        "or 1h30min\n"
                        "config.ini:3: agent.retry_max: it is set twice, expected it once (the first is in line "
                        "2)\n"},
                {"[agent]\nretry_max\n= 5\n" RUNNER_INI,
                        "config.ini:2: agent: a line without `=`, expected key = value\n"
                        "config.ini:3: agent: there is no key before `=`, expected key = value\n"},
                /* inih would take the colon for `=`. */
                {"[agent]\nretry_max: 5min\n" RUNNER_INI,
                        "config.ini:2: agent: a line without `=`, expected key = value\n"},
                {"[agent]\nretry_max: x = 5min\n" RUNNER_INI,
                        "config.ini:2: agent: 'retry_max: x' is no key, expected letters and `_` before `=`\n"},
                {"[agent]\nretry_max =\n" RUNNER_INI, "config.ini:2: agent.retry_max: the value is empty, expected "
                                                      "one second or more, such as 90s, 15min "
                                                      "or 1h30min\n"},
                {"[agent]\nretry_max = # none\n" RUNNER_INI, "config.ini:2: agent.retry_max: the value is empty, "
                                                             "expected one second or more, such as 90s, 15min "
                                                             "or 1h30min\n"},
                {"[agent]\nretry_max = \"5min\"\n" RUNNER_INI, "config.ini:2: agent: the value of 'retry_max' is in "
                                                               "quotes, which would become part of it, expected "
                                                               "none\n"},
                /* A token on a line of its own, or before `=`, is not repeated. */
                {"[agent]\nglrt-t3_canaryZx81\nglrt-t3_canaryZx81 = 1\n" RUNNER_INI,
                        "config.ini:2: agent: a line without `=`, expected key = value\n"
                        "config.ini:3: agent: unknown key, expected one that the section has\n"},
        };

        expect_all(*state, cases, ELEMENTS(cases));
}

static void test_what_is_no_text(void **state)
{
        Scratch *scratch = *state;
        static const struct {
                const char *data;
                size_t size;
                const char *mistakes;
        } cases[] = {
                {"", 0, "config.ini: there is no runner, expected [runner NAME] (in YAML an item of `runners`)\n"},
                {"\n\n# nothing\n", 12,
                        "config.ini: there is no runner, expected [runner NAME] (in YAML an item of `runners`)\n"},
                {"\xEF\xBB\xBF", 3,
                        "config.ini: there is no runner, expected [runner NAME] (in YAML an item of `runners`)\n"},
                {"[agent]\nx\0y = 1\n", 16, "config.ini:2: the file holds a NUL byte, expected text\n"},
                {"\x7F"
                 "ELF\x02\x01\x01\x00\x00",
                        9, "config.ini:1: the file holds a NUL byte, expected text\n"},
                {"\xFF\xFE[\0a\0", 6, "config.ini:1: the file is UTF-16, expected UTF-8\n"},
                {"[agent]\n\n# caf\xE9\n", 16, "config.ini:3: the file is not valid UTF-8, expected text\n"},
                {"[agent]\n\033[2J\n# \001\n\x7F\n", 19,
                        "config.ini:2: the line holds a control character, expected text\n"
                        "config.ini:3: the line holds a control character, expected text\n"
                        "config.ini:4: the line holds a control character, expected text\n"},
                /* Line ends of old Macs make one line of all. */
                {"[agent]\rretry_max = 1s\r", 23,
                        "config.ini:1: the line holds a control character, expected text\n"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                fixture_expect_bytes(scratch, "config.ini", cases[i].data, cases[i].size, cases[i].mistakes);
}

static void test_size(void **state)
{
        Scratch *scratch = *state;
        size_t size = 10 * 1024 * 1024;
        _cleanup_free_ char *text = malloc(size);

        memset(text, '#', size);
        fixture_expect_bytes(scratch, "config.ini", text, size,
                "config.ini: the file is too large, expected at most 4194304 bytes\n");

        /* As large as may be, all of it lines that are wrong: what is told is bounded. */
        size = CONFIG_FILE_SIZE_MAX;
        (void)strcpy(text, "[agent]\n");
        for (size_t at = 8; at < size; at += 2)
                memcpy(text + at, "x\n", 2);
        _cleanup_mistakes_ Mistakes mistakes = MISTAKES_EMPTY;
        Config *config = NULL;
        fixture_write_bytes(scratch, "config.ini", text, size);
        const char *const files[] = {scratch_path(scratch, "config.ini"), NULL};
        assert_int_equal(config_load(files, NULL, 0, &config, &mistakes), -EBADMSG);
        assert_int_equal(mistakes.n_items, MISTAKES_MAX);
        assert_int_equal(mistakes.n_omitted, (size - 8) / 2 - MISTAKES_MAX);
}

int main(void)
{
#define WITH_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)
        const struct CMUnitTest tests[] = {
                WITH_SCRATCH(test_forms_of_lines),
                WITH_SCRATCH(test_comments),
                WITH_SCRATCH(test_indentation_continues_nothing),
                WITH_SCRATCH(test_long_lines),
                WITH_SCRATCH(test_sections),
                WITH_SCRATCH(test_long_names_are_kept_apart),
                WITH_SCRATCH(test_keys),
                WITH_SCRATCH(test_what_is_no_text),
                WITH_SCRATCH(test_size),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
