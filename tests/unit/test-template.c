#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/base/cleanup.h"
#include "agent/core/template.h"

/* Merges and checks that the body is what a `[[runners]]` entry may hold. */
static void check(const char *template, const char *executor, const char *body)
{
        _cleanup_secret_ Secret *out = NULL, *whole = NULL;
        _cleanup_(toml_document_freep) TomlDocument *document = NULL;
        TomlError error = {0};

        int r = template_merge(template, template ? strlen(template) : 0, executor, &out, &error);
        if (r < 0)
                fail_msg("%zu:%zu: %s", error.line, error.column, error.text);
        assert_string_equal(secret_data(out), body);

        assert_int_equal(secret_new("[[runners]]\n", 12, &whole), 0);
        assert_int_equal(secret_append(whole, secret_data(out), secret_size(out)), 0);
        assert_int_equal(
                toml_document_parse(secret_data(whole), secret_size(whole), TOML_VERSION_1_0, &document, NULL), 0);
}

static void test_no_template(void **state)
{
        check(NULL, "shell", "");
        check(NULL, "instance", "");
        check(NULL, "kubernetes", "  [runners.kubernetes]\n");
        check(NULL, "ssh", "  [runners.ssh]\n");
        check(NULL, "virtualbox", "  [runners.ssh]\n  [runners.virtualbox]\n");
        check(NULL, "parallels", "  [runners.ssh]\n  [runners.parallels]\n");
        check(NULL, "custom", "  [runners.custom]\n");
}

static void test_identity_goes(void **state)
{
        check("concurrent = 9\nlog_level = \"debug\"\n[session_server]\nlisten_address = \":1\"\n"
              "[[Runners]]\nName = \"n\"\nurl = \"u\"\nid = 3\nToken = \"t\"\ntoken_obtained_at = \"x\"\n"
              "token_expires_at = 2026-01-01T00:00:00Z\nexecutor = \"docker\"\nlimit = 0x3\ntls-ca-file = '/ca'\n"
              "unknown = [ 1, { a = 2.50 } ]\n",
                "shell", "  limit = 3\n  tls-ca-file = \"/ca\"\n  unknown = [1, { a = 2.5 }]\n");
}

static const char all_tables[] =
        "[[runners]]\n[runners.ssh]\nhost = \"h\"\n[runners.docker]\nimage = \"i\"\nvolumes = "
        "[\"/cache\"]\n[runners.parallels]\nbase_name = \"p\"\n[runners.virtualbox]\n"
        "base_name = \"v\"\n[runners.machine]\nIdleCount = 1\n[runners.kubernetes]\n"
        "namespace = \"k\"\n[runners.custom]\nrun_exec = \"r\"\n[runners.referees]\n"
        "[runners.labels]\nabc = \"x\"\n[runners.custom_build_dir]\nenabled = true\n"
        "[runners.cache.s3]\nBucketName = \"b\"\n[runners.feature_flags]\nFF_X = false\n"
        "[runners.autoscaler]\nplugin = \"a\"\n[[runners.autoscaler.policy]]\nidle_count = 1\n"
        "[runners.experimental]\n";

#define ALWAYS                                                                                                       \
        "  [runners.labels]\n    abc = \"x\"\n  [runners.custom_build_dir]\n    enabled = true\n  [runners.cache]\n" \
        "    [runners.cache.s3]\n      BucketName = \"b\"\n  [runners.feature_flags]\n    FF_X = false\n"            \
        "  [runners.autoscaler]\n    plugin = \"a\"\n\n    [[runners.autoscaler.policy]]\n      idle_count = 1\n"    \
        "  [runners.experimental]\n"
#define DOCKER "  [runners.docker]\n    image = \"i\"\n    volumes = [\"/cache\"]\n"

static void test_tables_stay_by_executor(void **state)
{
        check(all_tables, "shell", ALWAYS);
        check(all_tables, "instance", ALWAYS);
        check(all_tables, "docker", DOCKER ALWAYS);
        check(all_tables, "docker-autoscaler", DOCKER ALWAYS);
        check(all_tables, "docker+machine", DOCKER "  [runners.machine]\n    IdleCount = 1\n" ALWAYS);
        check(all_tables, "ssh", "  [runners.ssh]\n    host = \"h\"\n" ALWAYS);
        check(all_tables, "parallels",
                "  [runners.ssh]\n    host = \"h\"\n  [runners.parallels]\n    base_name = \"p\"\n" ALWAYS);
        check(all_tables, "virtualbox",
                "  [runners.ssh]\n    host = \"h\"\n  [runners.virtualbox]\n    base_name = \"v\"\n" ALWAYS);
        check(all_tables, "kubernetes", "  [runners.kubernetes]\n    namespace = \"k\"\n" ALWAYS);
        check(all_tables, "custom", "  [runners.custom]\n    run_exec = \"r\"\n" ALWAYS);
}

static void check_docker(const char *executor, const char *keys, const char *expected)
{
        char template[512], body[512];

        (void)snprintf(template, sizeof(template), "[[runners]]\n[runners.docker]\nimage = \"i\"\n%s", keys);
        (void)snprintf(body, sizeof(body), "%s  [runners.docker]\n    image = \"i\"\n%s",
                strcmp(executor, "docker-windows") == 0 ? "  shell = \"pwsh\"\n" : "", expected);
        check(template, executor, body);
}

static void test_cache_volume(void **state)
{
        check_docker("docker", "", "    volumes = [\"/cache\"]\n");
        check_docker("docker", "volumes = []", "    volumes = [\"/cache\"]\n");
        check_docker("docker", "volumes = ['/a', '/b:/c']", "    volumes = [\"/a\", \"/b:/c\", \"/cache\"]\n");
        check_docker("docker", "volumes = ['/x:/cache']", "    volumes = [\"/x:/cache\"]\n");
        /* Only the last part counts: this one is mounted read-only, so that its last part is `ro`. */
        check_docker("docker", "volumes = ['/x:/cache:ro']", "    volumes = [\"/x:/cache:ro\", \"/cache\"]\n");
        check_docker("docker", "volumes = ['/cache/x']", "    volumes = [\"/cache/x\", \"/cache\"]\n");
        check_docker("docker", "disable_cache = true", "    disable_cache = true\n");
        check_docker("docker", "disable_cache = false", "    disable_cache = false\n    volumes = [\"/cache\"]\n");
        check_docker("docker+machine", "x = {y=1}",
                "    volumes = [\"/cache\"]\n    [runners.docker.x]\n      y = 1\n  [runners.machine]\n");
        check_docker("docker-windows", "", "    volumes = [\"c:\\\\cache\"]\n");
        check_docker("docker-windows", "volumes = ['c:\\cache:c:\\x']", "    volumes = [\"c:\\\\cache:c:\\\\x\"]\n");
        check("[[runners]]\nshell = \"cmd\"\n[runners.docker]\nimage = \"i\"\n", "docker-windows",
                "  shell = \"cmd\"\n  [runners.docker]\n    image = \"i\"\n    volumes = [\"c:\\\\cache\"]\n");
        check("runners = [ { docker = { Image = 'i' } } ]\n", "docker",
                "  [runners.docker]\n    Image = \"i\"\n    volumes = [\"/cache\"]\n");
}

static void test_refusals(void **state)
{
        static const struct {
                const char *template, *executor;
                int error;
                size_t line;
                const char *says;
        } cases[] = {
                {NULL, "dokcer", -EINVAL, 0, "unknown executor"},
                {NULL, "docker", -EINVAL, 0, "image"},
                {"", "shell", -EINVAL, 0, "no [[runners]]"},
                {"concurrent = 1\n", "shell", -EINVAL, 0, "no [[runners]]"},
                {"[[runners]]\n\n[[runners]]\n", "shell", -EINVAL, 3, "second [[runners]]"},
                {"[[runners]]\n[[Runners]]\n", "shell", -EINVAL, 2, "second [[runners]]"},
                {"[runners]\n", "shell", -EBADMSG, 1, "[[runners]]"},
                {"[[runners]]\nlimit = \n", "shell", -EBADMSG, 2, "value"},
                {"[[runners]]\n  [runners.docker]\n    privileged = true\n", "docker", -EINVAL, 2, "image"},
                {"[[runners]]\n  [runners.docker]\n    image = \"\"\n", "docker-windows", -EINVAL, 2, "image"},
                {"[[runners]]\nlimit = \"5\"\n", "shell", -EINVAL, 2, "limit: expected an integer"},
                {"[[runners]]\nlimit = 5.0\n", "shell", -EINVAL, 2, "limit: expected an integer"},
                {"[[runners]]\nenvironment = \"A=1\"\n", "shell", -EINVAL, 2,
                        "environment: expected a list of texts"},
                {"[[runners]]\n\nlimit = 1\nLimit = 2\n", "shell", -EINVAL, 3, "two spellings"},
                {"[[runners]]\n[runners.docker]\nimage = \"i\"\nvolumes = [1]\n", "docker", -EINVAL, 4,
                        "docker.volumes: expected a list of texts"},
                {"[[runners]]\n[[runners.docker]]\nimage = \"i\"\n", "docker", -EINVAL, 2,
                        "docker: expected a table"},
                {"[[runners]]\n[runners.cache.s3]\nInsecure = \"no\"\n", "shell", -EINVAL, 3,
                        "cache.s3.Insecure: expected true or false"},
                {"[[runners]]\n[[runners.machine.autoscaling]]\nPeriods = \"x\"\n", "shell", -EINVAL, 3,
                        "machine.autoscaling.Periods: expected a list"},
                {"[[runners]]\n[runners.feature_flags]\nFF_A = \"true\"\n", "shell", -EINVAL, 2, "feature_flags"},
                {"[[runners]]\n[runners.labels]\nab = \"x\"\n", "shell", -EINVAL, 3, "labels"},
                {"[[runners]]\n[runners.labels]\n\".abc\" = \"x\"\n", "shell", -EINVAL, 3, "labels"},
                {"[[runners]]\n[runners.labels]\nabc = \"\"\n", "shell", -EINVAL, 3, "labels"},
                {"[[runners]]\n[runners.labels]\nabc = \"a b\"\n", "shell", -EINVAL, 3, "labels"},
                {"[[runners]]\n[runners.labels]\nabc = 1\n", "shell", -EINVAL, 2,
                        "labels: expected a table of texts"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Secret *body = NULL;
                TomlError error = {0};
                const char *t = cases[i].template;

                assert_int_equal(
                        template_merge(t, t ? strlen(t) : 0, cases[i].executor, &body, &error), cases[i].error);
                assert_null(body);
                if (!strstr(error.text, cases[i].says) || error.line != cases[i].line)
                        fail_msg("case %zu: line %zu: %s", i, error.line, error.text);
        }
}

static void test_too_many_labels(void **state)
{
        char template[2048] = "[[runners]]\n[runners.labels]\n", *p = template + strlen(template);
        _cleanup_secret_ Secret *body = NULL, *none = NULL;
        TomlError error;

        for (int i = 0; i < 32; i++)
                p += sprintf(p, "label-%d = \"x\"\n", i);
        assert_int_equal(template_merge(template, strlen(template), "shell", &body, &error), 0);
        strcpy(p, "one-more = \"x\"\n");
        assert_int_equal(template_merge(template, strlen(template), "shell", &none, &error), -EINVAL);
        assert_int_equal(error.line, 35);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_no_template),
                cmocka_unit_test(test_identity_goes),
                cmocka_unit_test(test_tables_stay_by_executor),
                cmocka_unit_test(test_cache_volume),
                cmocka_unit_test(test_refusals),
                cmocka_unit_test(test_too_many_labels),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
