#include "tests/unit/scratch.h"

#include "config/source.h"

#include <errno.h>

/* What no message may hold. */
#define CANARY "canary-Zx81"

static void test_forms(void **state)
{
        static const struct {
                const char *text;
                SecretSourceKind kind;
                const char *described;
        } cases[] = {
                {"file:/etc/token", SECRET_SOURCE_FILE, "file:/etc/token"},
                {"file:/a b/c", SECRET_SOURCE_FILE, "file:/a b/c"},
                {"credential:gitlab-registration-token", SECRET_SOURCE_CREDENTIAL,
                        "credential:gitlab-registration-token"},
                {"env:GITLAB_TOKEN", SECRET_SOURCE_ENV, "env:GITLAB_TOKEN"},
                {"exec:/usr/bin/pass show " CANARY, SECRET_SOURCE_EXEC, "exec:/usr/bin/pass"},
                {"glrt-" CANARY, SECRET_SOURCE_LITERAL, "the token in the configuration"},
                {CANARY, SECRET_SOURCE_LITERAL, "the token in the configuration"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(secret_source_freep) SecretSource *source = NULL, *copy = NULL;
                _cleanup_free_ char *described = NULL;

                assert_int_equal(secret_source_parse(cases[i].text, SECRET_SOURCE_ALLOW_LITERAL, &source, NULL), 0);
                assert_int_equal(source->kind, cases[i].kind);
                assert_int_equal(secret_source_describe(source, &described), 0);
                assert_string_equal(described, cases[i].described);
                assert_int_equal(secret_source_copy(source, &copy), 0);
                assert_true(secret_source_equal(source, copy));
        }
}

static void test_refused_forms(void **state)
{
        static const struct {
                const char *text;
                const char *complaint;
        } cases[] = {
                {"", "is empty"},
                {"file:", "names no file"},
                {"file:" CANARY, "relative"},
                {"file:~/" CANARY, "relative"},
                {"credential:", "no credential"},
                {"credential:a/" CANARY, "no credential"},
                {"credential:..", "no credential"},
                {"credential:a:" CANARY, "no credential"},
                {"env:", "no environment variable"},
                {"env:1" CANARY, "no environment variable"},
                {"env:A=" CANARY, "no environment variable"},
                {"exec:", "names no program"},
                {"exec: ", "names no program"},
                {"exec:" CANARY, "relative"},
                {"exec:/bin/x '" CANARY, "open quote"},
                {"exec:/bin/x " CANARY "\\", "single backslash"},
                {"flie:/etc/" CANARY, "unknown kind"},
                {"File:/etc/" CANARY, "unknown kind"},
                {"vault:" CANARY, "unknown kind"},
                {"/etc/" CANARY, "without `file:`"},
                {"./" CANARY, "without `file:`"},
                {"${" CANARY "}", "env:NAME"},
                {"$" CANARY, "env:NAME"},
                {CANARY " b", "blanks"},
                {CANARY "\nb", "line"},
                {CANARY "\001", "control"},
                {CANARY "\xC3\xA4", "ASCII"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(secret_source_freep) SecretSource *source = NULL;
                _cleanup_free_ char *error = NULL;
                int r = secret_source_parse(cases[i].text, SECRET_SOURCE_ALLOW_LITERAL, &source, &error);

                if (r != -EINVAL)
                        fail_msg("'%s' was taken", cases[i].text);
                MENTIONS(error, cases[i].complaint);
                assert_null(strstr(error, CANARY));
        }
}

/* On a command line the token itself is wrong usage, and a path may be relative. */
static void test_command_line_forms(void **state)
{
        _cleanup_(secret_source_freep) SecretSource *source = NULL, *other = NULL;
        _cleanup_free_ char *error = NULL;

        assert_int_equal(secret_source_parse("glrt-" CANARY, SECRET_SOURCE_ALLOW_RELATIVE, &source, &error), -EINVAL);
        MENTIONS(error, "names no source");
        assert_null(strstr(error, CANARY));
        assert_int_equal(secret_source_parse("file:token", SECRET_SOURCE_ALLOW_RELATIVE, &source, NULL), 0);
        assert_string_equal(source->text, "token");
        assert_int_equal(secret_source_parse("exec:./token x", SECRET_SOURCE_ALLOW_RELATIVE, &other, NULL), 0);
        assert_string_equal(other->argv[0], "./token");
}

static void test_command_words(void **state)
{
        static const struct {
                const char *text;
                const char *argv[6];
        } cases[] = {
                {"exec:/bin/x", {"/bin/x"}},
                {"exec:/bin/x  a\tb ", {"/bin/x", "a", "b"}},
                {"exec:/bin/x 'a b' \"c d\"", {"/bin/x", "a b", "c d"}},
                {"exec:/bin/x a'b c'd", {"/bin/x", "ab cd"}},
                {"exec:/bin/x '' \"\"", {"/bin/x", "", ""}},
                {"exec:/bin/x a\\ b \\'", {"/bin/x", "a b", "'"}},
                {"exec:/bin/x 'a\\b' \"a\\\"b\"", {"/bin/x", "a\\b", "a\"b"}},
                /* No shell. */
                {"exec:/bin/x $HOME `id` ; | > *", {"/bin/x", "$HOME", "`id`", ";", "|", ">"}},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(secret_source_freep) SecretSource *source = NULL;

                assert_int_equal(secret_source_parse(cases[i].text, 0, &source, NULL), 0);
                for (size_t k = 0; k < ELEMENTS(cases[i].argv) && cases[i].argv[k]; k++)
                        assert_string_equal(source->argv[k], cases[i].argv[k]);
        }

        _cleanup_(secret_source_freep) SecretSource *a = NULL, *b = NULL;
        _cleanup_free_ char *many = NULL;
        assert_int_equal(secret_source_parse("exec:/bin/x a b", 0, &a, NULL), 0);
        assert_int_equal(secret_source_parse("exec:/bin/x  'a' b", 0, &b, NULL), 0);
        assert_true(secret_source_equal(a, b));

        many = calloc(1, 4096);
        (void)strcpy(many, "exec:/x");
        for (unsigned i = 1; i < SECRET_SOURCE_ARGUMENTS_MAX; i++)
                (void)strcat(many, " a");
        b = secret_source_free(b);
        assert_int_equal(secret_source_parse(many, 0, &b, NULL), 0);
        b = secret_source_free(b);
        (void)strcat(many, " a");
        assert_int_equal(secret_source_parse(many, 0, &b, NULL), -EINVAL);
}

/* Reads TEXT's source. EXPECTED NULL: refused with RESULT and a sentence that mentions COMPLAINT. */
static void expect_read(const char *text, const char *expected, int result, const char *complaint)
{
        _cleanup_(secret_source_freep) SecretSource *source = NULL;
        _cleanup_secret_ Secret *secret = NULL;
        _cleanup_free_ char *error = NULL;

        assert_int_equal(secret_source_parse(text, SECRET_SOURCE_ALLOW_LITERAL, &source, &error), 0);
        int r = secret_source_read(source, &secret, &error);
        if (r != result)
                fail_msg("'%s' gave %d: %s", text, r, error ? error : "");
        if (expected) {
                assert_string_equal(secret_data(secret), expected);
                assert_int_equal(secret_size(secret), strlen(expected));
        } else {
                MENTIONS(error, complaint);
                assert_null(strstr(error, CANARY));
                assert_null(secret);
        }
}

static void expect_file(Scratch *scratch, const void *data, size_t size, const char *expected, const char *complaint)
{
        char text[PATH_MAX];

        scratch_write_bytes(scratch, "token", data, size);
        assert_int_equal(chmod(scratch_path(scratch, "token"), 0600), 0);
        (void)snprintf(text, sizeof(text), "file:%s", scratch_path(scratch, "token"));
        expect_read(text, expected, expected ? 0 : -EINVAL, complaint);
}

static void test_file_contents(void **state)
{
        Scratch *scratch = *state;
        static const struct {
                const char *data;
                const char *expected;
                const char *complaint;
        } cases[] = {
                {CANARY, CANARY, NULL},
                {CANARY "\n", CANARY, NULL},
                {"\n \t" CANARY " \r\n\n", CANARY, NULL},
                {"", NULL, "is empty"},
                {" \n", NULL, "is empty"},
                {CANARY "\n" CANARY "\n", NULL, "more than one line"},
                {CANARY " " CANARY, NULL, "blanks"},
                {CANARY "\033", NULL, "control"},
                {"\xEF\xBB\xBF" CANARY, NULL, "ASCII"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                expect_file(scratch, cases[i].data, strlen(cases[i].data), cases[i].expected, cases[i].complaint);
        expect_file(scratch, CANARY "\0b", sizeof(CANARY) + 1, NULL, "control");

        char large[3 * SECRET_SOURCE_TOKEN_MAX];
        memset(large, 'a', sizeof(large));
        expect_file(scratch, large, sizeof(large), NULL, "too long");
        expect_file(scratch, large, SECRET_SOURCE_TOKEN_MAX + 1, NULL, "too long");
        memset(large + SECRET_SOURCE_TOKEN_MAX, '\n', 100);
        large[SECRET_SOURCE_TOKEN_MAX + 100] = 0;
        _cleanup_free_ char *whole = strndup(large, SECRET_SOURCE_TOKEN_MAX);
        expect_file(scratch, large, SECRET_SOURCE_TOKEN_MAX + 100, whole, NULL);
}

static void test_file_readers(void **state)
{
        Scratch *scratch = *state;
        char text[PATH_MAX];
        static const struct {
                mode_t mode;
                const char *complaint; /* NULL: fine */
        } cases[] = {
                {0600, NULL},
                {0400, NULL},
                {0604, "can read"},
                {0644, "can read"},
                {0602, "can write"},
                {0666, "can write"},
        };

        scratch_write(scratch, "token", CANARY);
        (void)snprintf(text, sizeof(text), "file:%s", scratch_path(scratch, "token"));
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *error = NULL;

                assert_int_equal(chmod(scratch_path(scratch, "token"), cases[i].mode), 0);
                expect_read(text, cases[i].complaint ? NULL : CANARY, cases[i].complaint ? -EPERM : 0,
                        cases[i].complaint);
                assert_int_equal(secret_source_check_file(scratch_path(scratch, "token"), &error),
                        cases[i].complaint ? -EPERM : 0);
        }

        /* The group root is root; any other is strangers. */
        if (geteuid() == 0) {
                assert_int_equal(chmod(scratch_path(scratch, "token"), 0640), 0);
                expect_read(text, CANARY, 0, NULL);
                assert_int_equal(chown(scratch_path(scratch, "token"), 0, 12345), 0);
                expect_read(text, NULL, -EPERM, "can read");
                assert_int_equal(chmod(scratch_path(scratch, "token"), 0600), 0);
                expect_read(text, CANARY, 0, NULL);
                assert_int_equal(chown(scratch_path(scratch, "token"), 12345, 0), 0);
                expect_read(text, NULL, -EPERM, "12345");
        }
}

static void test_file_kinds(void **state)
{
        Scratch *scratch = *state;
        char text[PATH_MAX];
        _cleanup_free_ char *error = NULL;

        (void)snprintf(text, sizeof(text), "file:%s", scratch_path(scratch, "token"));
        expect_read(text, NULL, -ENOENT, "does not exist");
        assert_int_equal(secret_source_check_file(scratch_path(scratch, "token"), &error), 0);

        /* A pipe without a writer must not hold us up. */
        assert_int_equal(mkfifo(scratch_path(scratch, "token"), 0600), 0);
        expect_read(text, NULL, -EINVAL, "no regular file");
        assert_int_equal(unlink(scratch_path(scratch, "token")), 0);
        scratch_mkdir(scratch, "token");
        expect_read(text, NULL, -EISDIR, "is a folder");
        assert_int_equal(rmdir(scratch_path(scratch, "token")), 0);

        scratch_link(scratch, "token", "token");
        expect_read(text, NULL, -ELOOP, "can't be used");
        assert_int_equal(unlink(scratch_path(scratch, "token")), 0);
        scratch_write(scratch, "real", CANARY);
        assert_int_equal(chmod(scratch_path(scratch, "real"), 0600), 0);
        scratch_link(scratch, "real", "token");
        expect_read(text, CANARY, 0, NULL);
}

/* Whoever can write a folder on the way can put another token there. */
static void test_file_folders(void **state)
{
        Scratch *scratch = *state;
        char text[PATH_MAX];

        scratch_mkdir(scratch, "a");
        scratch_mkdir(scratch, "a/b");
        scratch_write(scratch, "a/b/token", CANARY);
        assert_int_equal(chmod(scratch_path(scratch, "a/b/token"), 0600), 0);
        (void)snprintf(text, sizeof(text), "file:%s", scratch_path(scratch, "a/b/token"));
        expect_read(text, CANARY, 0, NULL);
        assert_int_equal(chmod(scratch_path(scratch, "a"), 0777), 0);
        expect_read(text, NULL, -EPERM, "others can write the folder");
        /* Sticky, as /tmp: nobody else can take our entry away. */
        assert_int_equal(chmod(scratch_path(scratch, "a"), 01777), 0);
        expect_read(text, CANARY, 0, NULL);

        /* A link is judged by both ends: its folder, and where it leads. */
        assert_int_equal(chmod(scratch_path(scratch, "a"), 0755), 0);
        scratch_mkdir(scratch, "c");
        scratch_link(scratch, "../a/./b/../b/token", "c/token");
        (void)snprintf(text, sizeof(text), "file:%s", scratch_path(scratch, "c/token"));
        expect_read(text, CANARY, 0, NULL);
        assert_int_equal(chmod(scratch_path(scratch, "c"), 0777), 0);
        expect_read(text, NULL, -EPERM, "others can write the folder");
        assert_int_equal(chmod(scratch_path(scratch, "c"), 0755), 0);
        assert_int_equal(chmod(scratch_path(scratch, "a/b"), 0777), 0);
        expect_read(text, NULL, -EPERM, "others can write the folder");
}

static void test_credentials(void **state)
{
        Scratch *scratch = *state;

        (void)unsetenv("CREDENTIALS_DIRECTORY");
        expect_read("credential:x", NULL, -ENOKEY, "only be read by the service");
        (void)setenv("CREDENTIALS_DIRECTORY", "", 1);
        expect_read("credential:x", NULL, -ENOKEY, "LoadCredential=x:PATH");

        (void)setenv("CREDENTIALS_DIRECTORY", scratch->root, 1);
        expect_read("credential:x", NULL, -ENOENT, "LoadCredential=x:PATH");
        scratch_write(scratch, "x", CANARY "\n");
        /* With an access list in it, as systemd may set one, the mode looks like that. */
        assert_int_equal(chmod(scratch_path(scratch, "x"), 0440), 0);
        expect_read("credential:x", CANARY, 0, NULL);
        /* What the unit's default makes of a missing one. */
        scratch_write(scratch, "blank", "\n");
        expect_read("credential:blank", NULL, -ENOENT, "is not there");
        assert_int_equal(mkfifo(scratch_path(scratch, "pipe"), 0600), 0);
        expect_read("credential:pipe", NULL, -EINVAL, "no regular file");
        (void)setenv("CREDENTIALS_DIRECTORY", "/nonexistent", 1);
        expect_read("credential:x", NULL, -ENOENT, "is not there");
        (void)unsetenv("CREDENTIALS_DIRECTORY");
}

static void test_variables(void **state)
{
        (void)unsetenv("TEST_TOKEN");
        expect_read("env:TEST_TOKEN", NULL, -ENOENT, "is not set");
        (void)setenv("TEST_TOKEN", "", 1);
        expect_read("env:TEST_TOKEN", NULL, -EINVAL, "is empty");
        (void)setenv("TEST_TOKEN", " " CANARY "\n", 1);
        expect_read("env:TEST_TOKEN", CANARY, 0, NULL);
        (void)setenv("TEST_TOKEN", CANARY " " CANARY, 1);
        expect_read("env:TEST_TOKEN", NULL, -EINVAL, "blanks");
        (void)unsetenv("TEST_TOKEN");
        expect_read("glrt-" CANARY, "glrt-" CANARY, 0, NULL);
        expect_read("exec:/bin/true", NULL, -EOPNOTSUPP, "exec:/bin/true");
}

int main(void)
{
#define WITH_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_forms),
                cmocka_unit_test(test_refused_forms),
                cmocka_unit_test(test_command_line_forms),
                cmocka_unit_test(test_command_words),
                WITH_SCRATCH(test_file_contents),
                WITH_SCRATCH(test_file_readers),
                WITH_SCRATCH(test_file_kinds),
                WITH_SCRATCH(test_file_folders),
                WITH_SCRATCH(test_credentials),
                cmocka_unit_test(test_variables),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
