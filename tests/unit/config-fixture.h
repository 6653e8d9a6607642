#pragma once

/* Loads configurations written into a scratch folder, and compares what is said about them. */

#include "tests/unit/scratch.h"

#include "config/load.h"

/* A host on which everything but the instance id is known. */
static const Specifiers fixture_host = {.host_name = "host-1", .machine_id = "0123456789abcdef0123456789abcdef"};

static inline void fixture_write_bytes(Scratch *scratch, const char *name, const void *data, size_t size)
{
        scratch_write_bytes(scratch, name, data, size);
        assert_int_equal(chmod(scratch_path(scratch, name), 0600), 0);
}

static inline void fixture_write(Scratch *scratch, const char *name, const char *text)
{
        fixture_write_bytes(scratch, name, text, strlen(text));
}

/* The mistakes, a line each, without the scratch folder's path. Caller frees. */
static inline char *fixture_join(const Scratch *scratch, const Mistakes *mistakes)
{
        const size_t root = strlen(scratch->root);
        char *joined = NULL;
        size_t size = 0;
        FILE *stream = open_memstream(&joined, &size);

        assert_non_null(stream);
        for (size_t i = 0; i < mistakes->n_items; i++) {
                const char *text = mistakes->items[i].text, *found;

                for (; (found = strstr(text, scratch->root)); text = found + root + 1)
                        (void)fprintf(stream, "%.*s", (int)(found - text), text);
                (void)fprintf(stream, "%s\n", text);
        }
        assert_int_equal(fclose(stream), 0);
        return joined;
}

/* Loads FILES of the scratch folder (NULL-terminated). NULL, with the mistakes as text in *RET_MISTAKES, if there are
 * any. */
static inline Config *fixture_load(Scratch *scratch, const char *const *files, char **ret_mistakes)
{
        _cleanup_mistakes_ Mistakes mistakes = MISTAKES_EMPTY;
        const char *paths[8] = {NULL};
        Config *config = NULL;

        for (size_t i = 0; files[i]; i++) {
                assert_true(i < ELEMENTS(paths) - 1);
                paths[i] = scratch_path(scratch, files[i]);
        }
        int r = config_load(paths, &fixture_host, 0, &config, &mistakes);
        *ret_mistakes = fixture_join(scratch, &mistakes);
        if (r == 0)
                assert_string_equal(*ret_mistakes, "");
        else {
                assert_int_equal(r, -EBADMSG);
                assert_true(mistakes.n_items > 0);
                assert_null(config);
        }
        return config;
}

/* Loads the file NAME, which must be fine. */
static inline Config *fixture_load_good(Scratch *scratch, const char *name)
{
        _cleanup_free_ char *mistakes = NULL;
        const char *const files[] = {name, NULL};
        Config *config = fixture_load(scratch, files, &mistakes);

        if (!config)
                fail_msg("unexpected mistakes:\n%s", mistakes);
        return config;
}

/* Writes SIZE bytes of TEXT as NAME and loads it: exactly these mistakes, a line each; "" means none. */
static inline void fixture_expect_bytes(
        Scratch *scratch, const char *name, const void *text, size_t size, const char *expected)
{
        _cleanup_free_ char *mistakes = NULL;
        const char *const files[] = {name, NULL};

        fixture_write_bytes(scratch, name, text, size);
        _cleanup_(config_freep) Config *config = fixture_load(scratch, files, &mistakes);
        assert_int_equal(config == NULL, *mistakes != 0);
        if (strcmp(mistakes, expected) != 0)
                fail_msg("of\n%.2000s\nsaid\n%s\nexpected\n%s", size > 0 ? (const char *)text : "", mistakes,
                        expected);
}

static inline void fixture_expect(Scratch *scratch, const char *name, const char *text, const char *expected)
{
        fixture_expect_bytes(scratch, name, text, strlen(text), expected);
}

/* The least that makes a runner in either form. */
#define RUNNER_INI                                                                                                   \
        "[runner a]\n"                                                                                               \
        "url = https://gitlab.example.com\n"                                                                         \
        "authentication_token = env:TOKEN\n"                                                                         \
        "executor = shell\n"

#define RUNNER_YAML                                                                                                  \
        "runners:\n"                                                                                                 \
        "  - name: a\n"                                                                                              \
        "    url: https://gitlab.example.com\n"                                                                      \
        "    authentication_token: env:TOKEN\n"                                                                      \
        "    executor: shell\n"
