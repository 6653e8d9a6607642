#include "tests/unit/config-fixture.h"

#include <sys/wait.h>

/* Loads what the default search finds in the scratch folder's `etc`. */
static Config *search(Scratch *scratch, ConfigFlags flags, char **ret_mistakes)
{
        _cleanup_mistakes_ Mistakes mistakes = MISTAKES_EMPTY;
        Config *config = NULL;
        int r = config_load_directory(scratch_path(scratch, "etc"), &fixture_host, flags, &config, &mistakes);

        *ret_mistakes = fixture_join(scratch, &mistakes);
        assert_int_equal(r, **ret_mistakes ? -EBADMSG : 0);
        return config;
}

static void expect_search(Scratch *scratch, const char *expected)
{
        _cleanup_free_ char *mistakes = NULL;
        _cleanup_(config_freep) Config *config = search(scratch, 0, &mistakes);
        assert_int_equal(config == NULL, *mistakes != 0);

        assert_string_equal(mistakes, expected);
}

static int setup(void **state)
{
        int r = scratch_setup(state);

        scratch_mkdir(*state, "etc");
        return r;
}

#define NO_CONFIGURATION                                                                                             \
        "there is no configuration, expected etc/config.ini, config.yaml, config.yml or a file in conf.d/\n"

static void test_search(void **state)
{
        Scratch *scratch = *state;
        _cleanup_free_ char *mistakes = NULL;

        expect_search(scratch, NO_CONFIGURATION);
        scratch_mkdir(scratch, "etc/conf.d");
        expect_search(scratch, NO_CONFIGURATION);

        /* Commands that can do without. */
        Config *config = search(scratch, CONFIG_ALLOW_NO_RUNNER, &mistakes);
        assert_non_null(config);
        assert_int_equal(config->n_runners, 0);
        assert_null(config_only_url(config));
        (void)config_free(config);

        fixture_write(scratch, "etc/config.yml", RUNNER_YAML);
        expect_search(scratch, "");
        fixture_write(scratch, "etc/config.ini", RUNNER_INI);
        assert_int_equal(unlink(scratch_path(scratch, "etc/config.yml")), 0);
        expect_search(scratch, "");
        fixture_write(scratch, "etc/config.yaml", "agent: {}\n");
        expect_search(scratch, "etc/config.yaml: there is 'etc/config.ini' too, expected one of them\n");
        assert_int_equal(unlink(scratch_path(scratch, "etc/config.yaml")), 0);

        /* A link that leads nowhere is there, and wrong. */
        scratch_link(scratch, "nowhere", "etc/config.yaml");
        expect_search(scratch, "etc/config.yaml: there is 'etc/config.ini' too, expected one of them\n"
                               "etc/config.yaml: 'etc/config.yaml' does not exist, expected a file\n");
        assert_int_equal(unlink(scratch_path(scratch, "etc/config.ini")), 0);
        expect_search(scratch, "etc/config.yaml: 'etc/config.yaml' does not exist, expected a file\n");
}

/* What is in conf.d counts in name order; what editors and package managers leave there does not. */
static void test_drop_ins(void **state)
{
        Scratch *scratch = *state;
        _cleanup_free_ char *mistakes = NULL;
        static const char *const ignored[] = {
                ".hidden.ini", "a.ini~", "a.ini.dpkg-old", "a.ini.rpmsave", "#a.ini#", "README", ".ini", "a.ini.swp"};

        scratch_mkdir(scratch, "etc/conf.d");
        fixture_write(scratch, "etc/config.ini",
                "[agent]\nretry_min = 2s\nretry_max = 2min\nstop_timeout = 2s\n" RUNNER_INI);
        fixture_write(scratch, "etc/conf.d/20.yaml", "agent:\n  retry_max: 4min\n");
        fixture_write(scratch, "etc/conf.d/10.ini",
                "[agent]\nretry_min = 3s\nretry_max = 3min\n[runner b]\nurl = https://g\nexecutor = shell\n"
                "registration_token = env:T\n");
        fixture_write(scratch, "etc/conf.d/30.yml",
                "runners:\n  - {name: c, url: 'https://h', executor: shell, registration_token: 'env:T'}\n");
        /* Enough that a folder's own order is not by chance that of the names. */
        for (const char *letter = "dafecb"; *letter; letter++) {
                char name[64];

                (void)snprintf(name, sizeof(name), "etc/conf.d/%c.ini", *letter);
                fixture_write(scratch, name, "# nothing\n");
        }
        for (size_t i = 0; i < ELEMENTS(ignored); i++) {
                char name[64];

                (void)snprintf(name, sizeof(name), "etc/conf.d/%s", ignored[i]);
                fixture_write(scratch, name, "nonsense\n");
        }

        _cleanup_(config_freep) Config *config = search(scratch, 0, &mistakes);
        assert_string_equal(mistakes, "");
        /* A later file's setting takes the place of an earlier one's. */
        assert_int_equal(config->stop_timeout_usec, 2 * USEC_PER_SEC);
        assert_int_equal(config->retry_min_usec, 3 * USEC_PER_SEC);
        assert_int_equal(config->retry_max_usec, 4 * USEC_PER_MINUTE);

        const char *file = NULL;
        unsigned line = 0;
        assert_true(config_place(config, NULL, "retry_max", &file, &line));
        assert_string_equal(file, scratch_path(scratch, "etc/conf.d/20.yaml"));
        assert_int_equal(line, 2);
        assert_true(config_place(config, NULL, "stop_timeout", &file, &line));
        assert_string_equal(file, scratch_path(scratch, "etc/config.ini"));

        static const char *const order[] = {"etc/config.ini", "etc/conf.d/10.ini", "etc/conf.d/20.yaml",
                "etc/conf.d/30.yml", "etc/conf.d/a.ini", "etc/conf.d/b.ini", "etc/conf.d/c.ini", "etc/conf.d/d.ini",
                "etc/conf.d/e.ini", "etc/conf.d/f.ini"};
        assert_int_equal(config->n_files, ELEMENTS(order));
        for (size_t i = 0; i < ELEMENTS(order); i++)
                assert_string_equal(config->files[i], scratch_path(scratch, order[i]));
        assert_int_equal(config->n_runners, 3);
        assert_string_equal(config->runners[0]->name, "a");
        assert_string_equal(config->runners[1]->name, "b");
        assert_string_equal(config->runners[2]->name, "c");
        assert_ptr_equal(config_find_runner(config, "c"), config->runners[2]);
        assert_null(config_find_runner(config, "d"));
        assert_null(config_only_url(config));
}

static void test_drop_ins_alone(void **state)
{
        Scratch *scratch = *state;

        scratch_mkdir(scratch, "etc/conf.d");
        fixture_write(scratch, "etc/conf.d/a.ini", RUNNER_INI);
        expect_search(scratch, "");
        scratch_mkdir(scratch, "etc/conf.d/b.ini");
        expect_search(scratch, "etc/conf.d/b.ini: 'etc/conf.d/b.ini' is a folder, expected a file\n");
}

/* A runner is defined in one place; everything wrong in every file is told at once, in order. */
static void test_several_files(void **state)
{
        Scratch *scratch = *state;
        _cleanup_free_ char *mistakes = NULL;
        const char *const files[] = {"b.ini", "a.yaml", "c.ini", NULL};

        fixture_write(scratch, "b.ini", RUNNER_INI "[agent]\nhok = /x\n");
        fixture_write(scratch, "a.yaml", "agent:\n  retry_max: x\n" RUNNER_YAML);
        fixture_write(scratch, "c.ini", "[runner c]\nurl = https://g\nexecutor = shell\n");
        assert_null(fixture_load(scratch, files, &mistakes));
        assert_string_equal(mistakes,
                "b.ini:6: agent.hok: unknown key, did you mean 'hook'?\n"
                "a.yaml:2: agent.retry_max: 'x' is no duration, expected one second or more, such as 90s, 15min or "
                "1h30min\n"
                "a.yaml:4: runner a.name: another runner has this NAME, expected one (b.ini:1)\n"
                "a.yaml:6: runner a.authentication_token: another runner has this url and token, expected one "
                "(b.ini:1)\n"
                "c.ini:1: runner c.registration_token: no token is there, expected this one, authentication_token or "
                "access_token\n");
}

static void test_named_files(void **state)
{
        Scratch *scratch = *state;
        static const struct {
                const char *name;
                const char *expected;
        } cases[] = {
                {"missing.ini", "missing.ini: 'missing.ini' does not exist, expected a file\n"},
                {"etc/none/x.ini", "etc/none/x.ini: 'etc/none/x.ini' does not exist, expected a file\n"},
                {"folder.ini", "folder.ini: 'folder.ini' is a folder, expected a file\n"},
                {"pipe.ini", "pipe.ini: 'pipe.ini' is no regular file, expected one\n"},
                {"config.conf", "config.conf: its kind is unknown, expected a name in .ini, .yaml or .yml\n"},
                {"config", "config: its kind is unknown, expected a name in .ini, .yaml or .yml\n"},
                {"loop.ini",
                        "loop.ini: 'loop.ini' can't be used: Too many levels of symbolic links, expected a file\n"},
                {"through.ini/x.ini",
                        "through.ini/x.ini: 'through.ini/x.ini' can't be used: Not a directory, expected a file\n"},
                {"link.ini", ""},
                {"etc/../etc/./up.ini", ""},
        };

        scratch_mkdir(scratch, "folder.ini");
        assert_int_equal(mkfifo(scratch_path(scratch, "pipe.ini"), 0600), 0);
        fixture_write(scratch, "config.conf", RUNNER_INI);
        fixture_write(scratch, "config", RUNNER_INI);
        fixture_write(scratch, "through.ini", RUNNER_INI);
        scratch_link(scratch, "loop2.ini", "loop.ini");
        scratch_link(scratch, "loop.ini", "loop2.ini");
        scratch_link(scratch, "through.ini", "link.ini");
        scratch_link(scratch, "../through.ini", "etc/up.ini");
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *mistakes = NULL;
                const char *const files[] = {cases[i].name, NULL};
                _cleanup_(config_freep) Config *config = fixture_load(scratch, files, &mistakes);
                assert_int_equal(config == NULL, *mistakes != 0);

                assert_string_equal(mistakes, cases[i].expected);
        }

        /* One file is fine, the other is told of. */
        _cleanup_free_ char *mistakes = NULL;
        const char *const files[] = {"through.ini", "missing.ini", NULL};
        assert_null(fixture_load(scratch, files, &mistakes));
        assert_string_equal(mistakes, cases[0].expected);
}

/* Names are as the user gave them, relative ones from the working directory. */
static void test_relative_file(void **state)
{
        Scratch *scratch = *state;
        _cleanup_mistakes_ Mistakes mistakes = MISTAKES_EMPTY, later = MISTAKES_EMPTY;
        _cleanup_(config_freep) Config *config = NULL;
        const char *const files[] = {"config.ini", NULL};
        char before[PATH_MAX];

        fixture_write(scratch, "config.ini", "[agent]\nx = 1\n");
        assert_non_null(getcwd(before, sizeof(before)));
        assert_int_equal(chdir(scratch->root), 0);
        assert_int_equal(config_load(files, NULL, CONFIG_ALLOW_NO_RUNNER, &config, &mistakes), -EBADMSG);
        MENTIONS(mistakes.items[0].text, "config.ini:2: agent.x");
        fixture_write(scratch, "config.ini", "[agent]\nhook = /x\n");
        assert_int_equal(chmod(scratch->root, 0777), 0);
        assert_int_equal(config_load(files, NULL, CONFIG_ALLOW_NO_RUNNER, &config, &later), -EBADMSG);
        MENTIONS(later.items[0].text, "others can write the folder");
        assert_int_equal(chdir(before), 0);
}

/* Whoever can write a configuration decides what we do as root. */
static void test_writers(void **state)
{
        Scratch *scratch = *state;
        const char *const files[] = {"etc/config.ini", NULL};
        static const struct {
                const char *name;
                mode_t mode;
                const char *expected;
        } cases[] = {
                {"etc/config.ini", 0600, ""},
                {"etc/config.ini", 0644, ""},
                {"etc/config.ini", 0602,
                        "etc/config.ini: 'etc/config.ini': others can write the file 'etc/config.ini' (mode 0602), "
                        "expected "
                        "root and us alone\n"},
                {"etc/config.ini", 0646,
                        "etc/config.ini: 'etc/config.ini': others can write the file 'etc/config.ini' (mode 0646), "
                        "expected "
                        "root and us alone\n"},
                {"etc/config.ini", 0600, ""},
                {"etc", 0757,
                        "etc/config.ini: 'etc/config.ini': others can write the folder 'etc' (mode 0757), expected "
                        "root and "
                        "us alone\n"},
                {"etc", 01777, ""},
                {"etc", 0755, ""},
        };

        fixture_write(scratch, "etc/config.ini", RUNNER_INI);
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *mistakes = NULL;

                assert_int_equal(chmod(scratch_path(scratch, cases[i].name), cases[i].mode), 0);
                _cleanup_(config_freep) Config *config = fixture_load(scratch, files, &mistakes);
                assert_int_equal(config == NULL, *mistakes != 0);
                assert_string_equal(mistakes, cases[i].expected);
        }

        if (geteuid() != 0)
                return;
        static const struct {
                const char *name;
                uid_t uid;
                gid_t gid;
                mode_t mode;
                const char *complaint;
        } owned[] = {
                {"etc/config.ini", 12345, 0, 0600, "the file 'etc/config.ini' belongs to uid 12345"},
                {"etc/config.ini", 0, 12345, 0620, "others can write the file"},
                {"etc/config.ini", 0, 12345, 0640, NULL},
                {"etc/config.ini", 0, 0, 0660, NULL}, /* the group root is root */
                {"etc", 12345, 0, 0755, "the folder 'etc' belongs to uid 12345"},
                {"etc", 0, 12345, 0775, "others can write the folder"},
                {"etc", 0, 12345, 01775, NULL},
        };
        for (size_t i = 0; i < ELEMENTS(owned); i++) {
                _cleanup_free_ char *mistakes = NULL;

                assert_int_equal(chown(scratch_path(scratch, owned[i].name), owned[i].uid, owned[i].gid), 0);
                assert_int_equal(chmod(scratch_path(scratch, owned[i].name), owned[i].mode), 0);
                _cleanup_(config_freep) Config *config = fixture_load(scratch, files, &mistakes);
                assert_int_equal(config == NULL, *mistakes != 0);
                if (owned[i].complaint)
                        MENTIONS(mistakes, owned[i].complaint);
                else
                        assert_string_equal(mistakes, "");
        }

        /* A link in a folder that all can write, put there by another. */
        assert_int_equal(chown(scratch_path(scratch, "etc"), 0, 0), 0);
        assert_int_equal(chmod(scratch_path(scratch, "etc"), 0755), 0);
        scratch_mkdir(scratch, "tmp");
        assert_int_equal(chmod(scratch_path(scratch, "tmp"), 01777), 0);
        scratch_link(scratch, "../etc/config.ini", "tmp/link.ini");
        assert_int_equal(lchown(scratch_path(scratch, "tmp/link.ini"), 12345, 0), 0);
        _cleanup_free_ char *mistakes = NULL;
        const char *const linked[] = {"tmp/link.ini", NULL};
        assert_null(fixture_load(scratch, linked, &mistakes));
        MENTIONS(mistakes, "the link 'tmp/link.ini' belongs to uid 12345");
}

/* As another user than root: what can't be read is told, what is root's is trusted. */
static void test_unreadable(void **state)
{
        Scratch *scratch = *state;

        if (geteuid() != 0)
                skip();
        fixture_write(scratch, "config.ini", RUNNER_INI);
        fixture_write(scratch, "open.ini", RUNNER_INI);
        assert_int_equal(chmod(scratch_path(scratch, "open.ini"), 0644), 0);
        assert_int_equal(chmod(scratch->root, 0755), 0);
        assert_int_equal(chmod(scratch_path(scratch, "etc"), 0700), 0);
        fixture_write(scratch, "etc/config.ini", RUNNER_INI);

        assert_int_equal(seteuid(65534), 0);
        _cleanup_free_ char *closed = NULL, *folder = NULL, *open = NULL;
        const char *const closed_files[] = {"config.ini", NULL}, *const folder_files[] = {"etc/config.ini", NULL},
                          *const open_files[] = {"open.ini", NULL};
        Config *first = fixture_load(scratch, closed_files, &closed);
        Config *second = fixture_load(scratch, folder_files, &folder);
        _cleanup_(config_freep) Config *third = fixture_load(scratch, open_files, &open);
        assert_int_equal(seteuid(0), 0);
        assert_null(first);
        assert_string_equal(
                closed, "config.ini: 'config.ini' can't be read: Permission denied, expected a file that can\n");
        assert_null(second);
        assert_string_equal(
                folder, "etc/config.ini: 'etc/config.ini' can't be used: Permission denied, expected a file\n");
        assert_non_null(third);
}

/* A reload asks what has changed; where it is written is no change. */
static void test_equality(void **state)
{
        Scratch *scratch = *state;
        static const char *const others[] = {"rotation = never\n", "timeout = 1min\n", "proxy = http://x\n",
                "tls_ca_file = /etc/passwd\n", "allow_http = 1\n"};

        fixture_write(scratch, "a.ini", RUNNER_INI);
        fixture_write(scratch, "b.ini", "\n# moved\n" RUNNER_INI "timeout = 30s\n[agent]\nretry_min = 1s\n");
        _cleanup_(config_freep) Config *a = fixture_load_good(scratch, "a.ini");
        _cleanup_(config_freep) Config *b = fixture_load_good(scratch, "b.ini");
        assert_true(config_equal(a, b));
        for (size_t i = 0; i < ELEMENTS(others); i++) {
                char text[512];

                (void)snprintf(text, sizeof(text), "%s%s", RUNNER_INI, others[i]);
                fixture_write(scratch, "c.ini", text);
                _cleanup_(config_freep) Config *c = fixture_load_good(scratch, "c.ini");
                assert_false(runner_config_equal(a->runners[0], c->runners[0]));
                assert_true(config_agent_equal(a, c));
                assert_false(config_equal(a, c));
        }

        fixture_write(scratch, "d.ini", "[agent]\ntermination = none\n" RUNNER_INI);
        _cleanup_(config_freep) Config *d = fixture_load_good(scratch, "d.ini");
        assert_false(config_agent_equal(a, d));

        /* A runner outlives the configuration it came from. */
        RunnerConfig *kept = runner_config_ref(d->runners[0]);
        d = config_free(d);
        assert_string_equal(kept->name, "a");
        (void)runner_config_unref(kept);
}

int main(void)
{
#define WITH_SCRATCH(test) cmocka_unit_test_setup_teardown(test, setup, scratch_teardown)
        const struct CMUnitTest tests[] = {
                WITH_SCRATCH(test_search),
                WITH_SCRATCH(test_drop_ins),
                WITH_SCRATCH(test_drop_ins_alone),
                WITH_SCRATCH(test_several_files),
                WITH_SCRATCH(test_named_files),
                WITH_SCRATCH(test_relative_file),
                WITH_SCRATCH(test_writers),
                WITH_SCRATCH(test_unreadable),
                WITH_SCRATCH(test_equality),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
