/* The examples are what people start from: each is loaded, with what it names below /etc/runner-registrar made in a
 * folder of the test's own, and the INI and YAML form of each say the same. */
#include "tests/unit/config-fixture.h"

#include <dirent.h>

#include "config/schema.h"

#ifndef CONFIG_FOLDER
#error "CONFIG_FOLDER must name the folder config/ of the sources"
#endif

static char *read_source(const char *name)
{
        char path[PATH_MAX];
        struct stat st;

        (void)snprintf(path, sizeof(path), "%s/%s", CONFIG_FOLDER, name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                fail_msg("'%s' can't be read", path);
        assert_int_equal(fstat(fd, &st), 0);
        char *text = calloc(1, (size_t)st.st_size + 1);
        assert_non_null(text);
        assert_int_equal(read(fd, text, (size_t)st.st_size), st.st_size);
        (void)close(fd);
        return text;
}

/* TEXT with the scratch folder in place of /etc/runner-registrar, and the files that it names there. */
static char *move_home(Scratch *scratch, const char *text)
{
        static const char home[] = CONFIG_DIRECTORY "/";
        char *moved = NULL;
        size_t size = 0;
        FILE *stream = open_memstream(&moved, &size);

        for (const char *found; (found = strstr(text, home)); text = found + sizeof(home) - 1) {
                const char *name = found + sizeof(home) - 1;
                _cleanup_free_ char *file = strndup(name, strspn(name, "abcdefghijklmnopqrstuvwxyz-."));

                (void)fprintf(stream, "%.*s%s/", (int)(found - text), text, scratch->root);
                scratch_write(scratch, file, "x\n");
                /* As private as a secret must be, as executable as a program. */
                assert_int_equal(chmod(scratch_path(scratch, file), strchr(file, '.') ? 0600 : 0700), 0);
        }
        (void)fputs(text, stream);
        assert_int_equal(fclose(stream), 0);
        return moved;
}

static Config *load_example(Scratch *scratch, const char *name)
{
        char path[NAME_MAX + 16];

        (void)snprintf(path, sizeof(path), "examples/%s", name);
        _cleanup_free_ char *text = read_source(path), *moved = move_home(scratch, text);
        fixture_write(scratch, name, moved);
        return fixture_load_good(scratch, name);
}

/* Every INI example has a YAML twin that means the same, and the other way round. */
static void test_twins(void **state)
{
        Scratch *scratch = *state;
        DIR *folder = opendir(CONFIG_FOLDER "/examples");
        unsigned n_ini = 0, n_yaml = 0;

        assert_non_null(folder);
        for (const struct dirent *entry; (entry = readdir(folder));) {
                char ini[NAME_MAX + 8], yaml[NAME_MAX + 8];
                const char *dot = strrchr(entry->d_name, '.');

                n_yaml += dot && strcmp(dot, ".yaml") == 0;
                if (!dot || strcmp(dot, ".ini") != 0)
                        continue;
                n_ini++;
                (void)snprintf(ini, sizeof(ini), "%s", entry->d_name);
                (void)snprintf(yaml, sizeof(yaml), "%.*s.yaml", (int)(dot - entry->d_name), entry->d_name);
                _cleanup_(config_freep) Config *a = load_example(scratch, ini);
                _cleanup_(config_freep) Config *b = load_example(scratch, yaml);
                if (!config_equal(a, b))
                        fail_msg("%s and %s differ", ini, yaml);
                assert_true(a->n_runners > 0);
        }
        (void)closedir(folder);
        assert_int_equal(n_ini, n_yaml);
        assert_true(n_ini >= 5);
}

/* The reference shows every key there is, and the default of each of the agent's that has one. */
static void test_reference(void **state)
{
        static const char *const names[] = {"reference.ini", "reference.yaml"};

        for (size_t i = 0; i < ELEMENTS(names); i++) {
                _cleanup_(config_freep) Config *config = load_example(*state, names[i]), *defaults = NULL;
                const SchemaRow *row;

                for (size_t k = 0; (row = config_schema_row(k)); k++) {
                        const char *file;
                        unsigned line;
                        bool shown =
                                row->section == SCHEMA_AGENT && config_place(config, NULL, row->key, &file, &line);

                        for (size_t n = 0; row->section == SCHEMA_RUNNER && n < config->n_runners; n++)
                                shown = shown || config_place(config, config->runners[n], row->key, &file, &line);
                        if (!shown)
                                fail_msg("%s does not show '%s'", names[i], row->key);
                }

                assert_int_equal(config_new(&defaults), 0);
                config->concurrent = -1;
                free(take_ptr(config->hook));
                free(take_ptr(config->metrics_file));
                assert_true(config_agent_equal(config, defaults));
        }
}

/* README.md's tables are the schema's. */
static void test_readme(void **state)
{
        _cleanup_free_ char *text = read_source("README.md");
        const SchemaRow *row;

        for (size_t i = 0; (row = config_schema_row(i)); i++) {
                _cleanup_free_ char *expected = NULL;

                assert_true(
                        asprintf(&expected, "| `%s` | %s%s%s | %s | %s |\n", row->key, row->default_text ? "`" : "",
                                row->default_text              ? row->default_text
                                : row->flags & SCHEMA_REQUIRED ? "required"
                                                               : "–",
                                row->default_text ? "`" : "", row->expected, row->help) > 0);
                if (!strstr(text, expected))
                        fail_msg("config/README.md lacks:\n%s", expected);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_twins, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_reference, scratch_setup, scratch_teardown),
                cmocka_unit_test(test_readme),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
