/* The features that gitlab-runner claims, by executor and release, as it was seen to claim them. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/info.h"

static json_t *encode(const char *version, const char *executor, const char *shell, const char *gpus)
{
        const Neighbour neighbour = {
                .version = (char *)version,
                .revision = (char *)"d79f3e7b",
                .platform = (char *)"linux",
                .architecture = (char *)"amd64",
        };
        char *text = NULL;

        assert_int_equal(info_encode(&neighbour, executor, shell, gpus, &text), 0);
        json_t *info = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(info);
        free(text);
        return info;
}

/* The features as digits, in the order in which they are sent. */
static void vector(const json_t *info, char *ret)
{
        json_t *features = json_object_get(info, "features"), *value;
        const char *key;

        assert_non_null(features);
        json_object_foreach (features, key, value) {
                assert_true(json_is_boolean(value));
                *ret++ = json_is_true(value) ? '1' : '0';
        }
        *ret = 0;
}

static void test_vectors(void **state)
{
        static const struct {
                const char *executor;
                const char *vector;
        } rows[] = {
                {NULL, "0000000000000000011101000001011"},
                {"shell", "1001111111111011111111100001111"},
                {"docker", "1111110111111011111111111111111"},
                {"docker+machine", "1111110111111011111111111111111"},
                {"docker-autoscaler", "1111110111111011111111111111111"},
                {"docker-windows", "1111110111111011111111111111011"},
                {"instance", "1001111110011011111111100001111"},
                {"kubernetes", "1111110111111111111111111101111"},
                {"ssh", "1001111110011011111111100001011"},
                {"virtualbox", "1001110110011011111111100001011"},
                {"parallels", "1001110110011011111111100001011"},
                {"custom", "1001111110011011111111110001011"},
                {"unheard-of", "0000000000000000011101000001011"},
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                char have[64];
                json_t *info = encode("19.4.0", rows[i].executor, NULL, NULL);

                vector(info, have);
                assert_string_equal(have, rows[i].vector);
                json_decref(info);
        }
}

static void test_keys(void **state)
{
        static const char *const keys[] = {"variables", "image", "services", "artifacts", "cache",
                "fallback_cache_keys", "shared", "upload_multiple_artifacts", "upload_raw_artifacts", "session",
                "terminal", "refspecs", "masking", "proxy", "raw_variables", "artifacts_exclude", "multi_build_steps",
                "trace_reset", "trace_checksum", "trace_size", "vault_secrets", "cancelable", "return_exit_code",
                "service_variables", "service_multiple_aliases", "image_executor_opts", "service_executor_opts",
                "cancel_gracefully", "native_steps_integration", "two_phase_job_commit", "job_inputs"};
        json_t *info = encode("19.4.0", "docker", NULL, NULL);
        json_t *features = json_object_get(info, "features"), *value;
        const char *key;
        size_t i = 0;

        assert_int_equal(json_object_size(features), 31);
        json_object_foreach (features, key, value)
                assert_string_equal(key, keys[i++]);
        json_decref(info);
}

static void test_whole(void **state)
{
        const Neighbour neighbour = {
                .version = (char *)"19.4.0",
                .revision = (char *)"d79f3e7b",
                .platform = (char *)"linux",
                .architecture = (char *)"arm64",
        };
        char *text = NULL;

        assert_int_equal(info_encode(&neighbour, "shell", NULL, " all\n", &text), 0);
        static const char begin[] = "{\"name\":\"gitlab-runner\",\"version\":\"19.4.0\",\"revision\":\"d79f3e7b\","
                                    "\"platform\":\"linux\",\"architecture\":\"arm64\",\"executor\":\"shell\","
                                    "\"shell\":\"bash\",\"features\":{\"variables\":true,\"image\":false,";
        static const char end[] = "\"two_phase_job_commit\":true,\"job_inputs\":true},\"config\":{\"gpus\":\"all\"}}";
        assert_memory_equal(text, begin, strlen(begin));
        assert_string_equal(text + strlen(text) - strlen(end), end);
        free(text);

        /* An empty entry has neither executor nor shell, but always a config. */
        assert_int_equal(info_encode(&neighbour, NULL, NULL, NULL, &text), 0);
        assert_null(strstr(text, "executor\":\""));
        assert_null(strstr(text, "shell"));
        assert_non_null(strstr(text, ",\"config\":{\"gpus\":\"\"}}"));
        free(text);
}

static void test_shells(void **state)
{
        static const struct {
                const char *executor;
                const char *shell;
                const char *vector;
        } rows[] = {
                {"shell", "sh", "1001111111111011111111100001111"},
                {"shell", "pwsh", "1001111111111011111111100001111"},
                {"shell", "powershell", "1001111111111011111111100001111"},
                {"shell", "", "1001111111111011111111100001111"},
                /* An unknown one claims nothing that a shell does, except for kubernetes the first three. */
                {"shell", "cmd", "1000001001100000011101000001111"},
                {"kubernetes", "cmd", "1111110001100100011101011101111"},
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                char have[64];
                json_t *info = encode("19.4.0", rows[i].executor, rows[i].shell, NULL);

                vector(info, have);
                assert_string_equal(have, rows[i].vector);
                json_decref(info);
        }
}

static int claim(const char *version, const char *executor, const char *feature)
{
        json_t *info = encode(version, executor, NULL, NULL);
        json_t *value = json_object_get(json_object_get(info, "features"), feature);
        int result = !value ? -1 : json_is_true(value);

        json_decref(info);
        return result;
}

/* -1: a release without the key. */
static void test_versions(void **state)
{
        static const struct {
                const char *version;
                const char *executor;
                const char *feature;
                int claim;
        } rows[] = {
                {"15.7.0", "docker", "service_multiple_aliases", -1},
                {"15.8.0", "docker", "service_multiple_aliases", 1},
                {"15.10.1", "docker", "fallback_cache_keys", -1},
                {"15.11.0", "docker", "fallback_cache_keys", 1},
                {"16.5.0", "docker", "image_executor_opts", -1},
                {"16.6.0", "docker", "image_executor_opts", 1},
                {"16.6.0", "kubernetes", "image_executor_opts", 0},
                {"18.3.0", "kubernetes", "image_executor_opts", 1},
                {"16.6.0", "docker", "service_executor_opts", 1},
                {"18.3.0", "kubernetes", "service_executor_opts", 0},
                {"16.9.9", "ssh", "cancel_gracefully", -1},
                {"16.10.0", "ssh", "cancel_gracefully", 1},
                {"17.5.0", "docker", "native_steps_integration", -1},
                {"17.6.0", "docker", "native_steps_integration", 1},
                {"17.6.0", "docker-windows", "native_steps_integration", 1},
                {"18.4.0", "docker-windows", "native_steps_integration", 1},
                {"18.5.0", "docker-windows", "native_steps_integration", 0},
                {"19.1.0", "kubernetes", "native_steps_integration", 0},
                {"19.2.0", "kubernetes", "native_steps_integration", 1},
                {"19.1.0", "instance", "native_steps_integration", 0},
                {"19.2.0", "instance", "native_steps_integration", 1},
                {"19.2.0", "shell", "native_steps_integration", 0},
                {"19.3.0", "shell", "native_steps_integration", 1},
                {"18.4.0", NULL, "two_phase_job_commit", -1},
                {"18.5.0", NULL, "two_phase_job_commit", 1},
                {"18.8.0", NULL, "job_inputs", -1},
                {"18.9.0", NULL, "job_inputs", 1},
                {"18.11.0", "custom", "service_variables", 0},
                {"19.0.0", "custom", "service_variables", 1},
                {"18.11.0", "docker", "service_variables", 1},
                {"19.4.0~pre.12.gabcdef12", "docker", "job_inputs", 1},
                {"development version", "docker", "job_inputs", 1},
        };
        char have[64];

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
                if (claim(rows[i].version, rows[i].executor, rows[i].feature) != rows[i].claim)
                        fail_msg("%s %s %s", rows[i].version, rows[i].executor ? rows[i].executor : "none",
                                rows[i].feature);

        /* 14.8, where the table begins: 23 keys, in the same order. */
        json_t *info = encode("14.8.0", "docker", NULL, NULL);
        vector(info, have);
        assert_string_equal(have, "11111011111101111111111");
        json_decref(info);
}

#define VERSION_TEXT                                                                                                 \
        "Version:      19.4.0\nGit revision: d79f3e7b\nGit branch:   19-4-stable\nGO version:   go1.26.5\n"          \
        "Built:        2026-08-20T10:00:00Z\nOS/Arch:      linux/amd64\n"

static void test_neighbour(void **state)
{
        Neighbour n;

        assert_int_equal(neighbour_parse(VERSION_TEXT, &n), 0);
        assert_string_equal(n.version, "19.4.0");
        assert_string_equal(n.revision, "d79f3e7b");
        assert_string_equal(n.platform, "linux");
        assert_string_equal(n.architecture, "amd64");
        assert_string_equal(n.user_agent, "gitlab-runner 19.4.0 (19-4-stable; go1.26.5; linux/amd64)");
        neighbour_done(&n);
        assert_null(n.version);

        assert_int_equal(
                neighbour_parse("Version:      development version\r\nGit revision: HEAD\r\nOS/Arch: linux/arm", &n),
                0);
        assert_string_equal(n.version, "development version");
        assert_string_equal(n.architecture, "arm");
        neighbour_done(&n);
}

static void test_neighbour_refused(void **state)
{
        static const char *const rows[] = {
                "",
                "gitlab-runner: command not found\n",
                "Version:\nOS/Arch: linux/amd64\n",
                "Version: 19.4.0\n",
                "Version: 19.4.0\nOS/Arch: linux\n",
                "Version: 19.4.0\nOS/Arch: /amd64\n",
                "Version: 19.4.0\nOS/Arch: linux/\n",
                "Version: 19\x1b[2J\nOS/Arch: linux/amd64\n",
                "version: 19.4.0\nOS/Arch: linux/amd64\n",
        };
        Neighbour n;

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
                if (neighbour_parse(rows[i], &n) != -EBADMSG)
                        fail_msg("row %zu", i);

        char huge[400];
        memset(huge, 'x', sizeof(huge));
        memcpy(huge, "Version: ", 9);
        strcpy(huge + 380, "\nOS/Arch: l/a");
        assert_int_equal(neighbour_parse(huge, &n), -EBADMSG);
}

static void test_neighbour_default(void **state)
{
        static const struct {
                const char *machine;
                const char *architecture;
        } rows[] = {
                {"x86_64", "amd64"},
                {"aarch64", "arm64"},
                {"armv7l", "arm"},
                {"armv8l", "arm"}, /* what a 64-bit kernel tells a 32-bit program */
                {"i686", "386"},
                {"s390x", "s390x"},
                {"ppc64le", "ppc64le"},
                {"riscv64", "riscv64"},
                {"loongarch64", "loong64"},
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                Neighbour n;

                assert_int_equal(neighbour_default(rows[i].machine, &n), 0);
                assert_string_equal(n.architecture, rows[i].architecture);
                assert_non_null(strstr(n.user_agent, rows[i].architecture));
                neighbour_done(&n);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_vectors),
                cmocka_unit_test(test_keys),
                cmocka_unit_test(test_whole),
                cmocka_unit_test(test_shells),
                cmocka_unit_test(test_versions),
                cmocka_unit_test(test_neighbour),
                cmocka_unit_test(test_neighbour_refused),
                cmocka_unit_test(test_neighbour_default),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
