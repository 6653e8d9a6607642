#include "agent/core/info.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "agent/core/json.h"
#include "agent/core/text.h"

/* What a host without gitlab-runner claims: the release whose tables stand below. */
#define NEWEST_VERSION  "19.4.0"
#define NEWEST_REVISION "d79f3e7b"
#define NEWEST_BRANCH   "19-4-stable"
#define NEWEST_GO       "go1.26.5"

#define VERSION(major, minor) ((major)*100U + (minor))
#define VERSION_NEWEST        VERSION(19, 4)

/* Values of --version: what is longer is no gitlab-runner. */
#define VALUE_MAX 128

typedef enum Executor {
        EXECUTOR_NONE, /* an empty entry, or a name that gitlab-runner does not know */
        EXECUTOR_SHELL,
        EXECUTOR_DOCKER,
        EXECUTOR_DOCKER_WINDOWS,
        EXECUTOR_INSTANCE,
        EXECUTOR_KUBERNETES,
        EXECUTOR_SSH,
        EXECUTOR_VM,
        EXECUTOR_CUSTOM,
} Executor;

#define ONLY(executor) (1U << EXECUTOR_##executor)
#define DOCKERS        (ONLY(DOCKER) | ONLY(DOCKER_WINDOWS))
#define CONTAINERS     (DOCKERS | ONLY(KUBERNETES))
#define EACH                                                                                                         \
        (ONLY(SHELL) | ONLY(DOCKER) | ONLY(DOCKER_WINDOWS) | ONLY(INSTANCE) | ONLY(KUBERNETES) | ONLY(SSH) |         \
                ONLY(VM) | ONLY(CUSTOM))

typedef enum Claim {
        CLAIM_EXECUTOR,   /* by the executors of the row */
        CLAIM_ALWAYS,     /* in every info */
        CLAIM_SHELL,      /* with any known shell */
        CLAIM_SHELL_KUBE, /* the same, and for kubernetes with any */
} Claim;

/* All features in gitlab-runner's order, which never changed; `since` is when the key came (0: before 14.8). */
static const struct Feature {
        const char *name;
        unsigned since;
        Claim claim;
        unsigned executors;
} features[] = {
        {"variables", 0, CLAIM_EXECUTOR, EACH},
        {"image", 0, CLAIM_EXECUTOR, CONTAINERS},
        {"services", 0, CLAIM_EXECUTOR, CONTAINERS},
        {"artifacts", 0, CLAIM_SHELL_KUBE, 0},
        {"cache", 0, CLAIM_SHELL_KUBE, 0},
        {"fallback_cache_keys", VERSION(15, 11), CLAIM_SHELL_KUBE, 0},
        {"shared", 0, CLAIM_EXECUTOR, ONLY(SHELL) | ONLY(INSTANCE) | ONLY(SSH) | ONLY(CUSTOM)},
        {"upload_multiple_artifacts", 0, CLAIM_SHELL, 0},
        {"upload_raw_artifacts", 0, CLAIM_SHELL, 0},
        {"session", 0, CLAIM_EXECUTOR, ONLY(SHELL) | CONTAINERS},
        {"terminal", 0, CLAIM_EXECUTOR, ONLY(SHELL) | CONTAINERS},
        {"refspecs", 0, CLAIM_SHELL, 0},
        {"masking", 0, CLAIM_SHELL, 0},
        {"proxy", 0, CLAIM_EXECUTOR, ONLY(KUBERNETES)},
        {"raw_variables", 0, CLAIM_SHELL, 0},
        {"artifacts_exclude", 0, CLAIM_SHELL, 0},
        {"multi_build_steps", 0, CLAIM_SHELL, 0},
        {"trace_reset", 0, CLAIM_ALWAYS, 0},
        {"trace_checksum", 0, CLAIM_ALWAYS, 0},
        {"trace_size", 0, CLAIM_ALWAYS, 0},
        {"vault_secrets", 0, CLAIM_SHELL, 0},
        {"cancelable", 0, CLAIM_ALWAYS, 0},
        {"return_exit_code", 0, CLAIM_SHELL, 0},
        {"service_variables", 0, CLAIM_EXECUTOR, CONTAINERS | ONLY(CUSTOM)},
        {"service_multiple_aliases", VERSION(15, 8), CLAIM_EXECUTOR, CONTAINERS},
        {"image_executor_opts", VERSION(16, 6), CLAIM_EXECUTOR, CONTAINERS},
        {"service_executor_opts", VERSION(16, 6), CLAIM_EXECUTOR, DOCKERS},
        {"cancel_gracefully", VERSION(16, 10), CLAIM_ALWAYS, 0},
        {"native_steps_integration", VERSION(17, 6), CLAIM_EXECUTOR,
                DOCKERS | ONLY(SHELL) | ONLY(INSTANCE) | ONLY(KUBERNETES)},
        {"two_phase_job_commit", VERSION(18, 5), CLAIM_ALWAYS, 0},
        {"job_inputs", VERSION(18, 9), CLAIM_ALWAYS, 0},
};

/* Where an executor claims a feature only in some of the releases that have its key. */
static const struct Span {
        const char *feature;
        Executor executor;
        unsigned from;
        unsigned until; /* the first that does not */
} spans[] = {
        {"image_executor_opts", EXECUTOR_KUBERNETES, VERSION(18, 3), UINT32_MAX},
        {"service_variables", EXECUTOR_CUSTOM, VERSION(19, 0), UINT32_MAX},
        {"native_steps_integration", EXECUTOR_DOCKER_WINDOWS, VERSION(17, 6), VERSION(18, 5)},
        {"native_steps_integration", EXECUTOR_KUBERNETES, VERSION(19, 2), UINT32_MAX},
        {"native_steps_integration", EXECUTOR_INSTANCE, VERSION(19, 2), UINT32_MAX},
        {"native_steps_integration", EXECUTOR_SHELL, VERSION(19, 3), UINT32_MAX},
};

static Executor executor_from_string(const char *name)
{
        static const struct {
                const char *name;
                Executor executor;
        } names[] = {
                {"shell", EXECUTOR_SHELL},
                {"docker", EXECUTOR_DOCKER},
                {"docker+machine", EXECUTOR_DOCKER},
                {"docker-autoscaler", EXECUTOR_DOCKER},
                {"docker-windows", EXECUTOR_DOCKER_WINDOWS},
                {"instance", EXECUTOR_INSTANCE},
                {"kubernetes", EXECUTOR_KUBERNETES},
                {"ssh", EXECUTOR_SSH},
                {"virtualbox", EXECUTOR_VM},
                {"parallels", EXECUTOR_VM},
                {"custom", EXECUTOR_CUSTOM},
        };

        for (size_t i = 0; name && i < ELEMENTS(names); i++)
                if (strcmp(names[i].name, name) == 0)
                        return names[i].executor;
        return EXECUTOR_NONE;
}

static bool shell_known(const char *shell)
{
        static const char *const shells[] = {"bash", "sh", "pwsh", "powershell"};

        for (size_t i = 0; shell && i < ELEMENTS(shells); i++)
                if (strcmp(shells[i], shell) == 0)
                        return true;
        return false;
}

/* 1904 of "19.4.0"; development builds have no number and count as the newest. */
static unsigned version_number(const char *version)
{
        unsigned major, minor;

        if (!version || sscanf(version, "%3u.%2u", &major, &minor) != 2)
                return VERSION_NEWEST;
        return VERSION(major, minor);
}

static bool claims(const struct Feature *feature, Executor executor, const char *shell, unsigned version)
{
        switch (feature->claim) {
        case CLAIM_ALWAYS:
                return true;
        case CLAIM_SHELL:
                return shell_known(shell);
        case CLAIM_SHELL_KUBE:
                return shell_known(shell) || executor == EXECUTOR_KUBERNETES;
        case CLAIM_EXECUTOR:
                break;
        }
        if (!(feature->executors & (1U << executor)))
                return false;
        for (size_t i = 0; i < ELEMENTS(spans); i++)
                if (spans[i].executor == executor && strcmp(spans[i].feature, feature->name) == 0)
                        return version >= spans[i].from && version < spans[i].until;
        return true;
}

void neighbour_done(Neighbour *neighbour)
{
        free(neighbour->version);
        free(neighbour->revision);
        free(neighbour->platform);
        free(neighbour->architecture);
        free(neighbour->user_agent);
        *neighbour = (Neighbour){0};
}

/* The value of KEY among the lines of TEXT, trimmed; NULL in *ret if it is missing, empty, or nothing that belongs
 * into a header. */
static int find_value(const char *text, const char *key, char **ret)
{
        size_t n = strlen(key);

        *ret = NULL;
        for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
                if (strncmp(line, key, n) != 0 || line[n] != ':')
                        continue;

                const char *value = line + n + 1;
                value += strspn(value, " \t");
                size_t size = strcspn(value, "\r\n");
                while (size > 0 && (value[size - 1] == ' ' || value[size - 1] == '\t'))
                        size--;
                if (size == 0 || size > VALUE_MAX)
                        return 0;
                for (size_t i = 0; i < size; i++)
                        if (value[i] < 0x20 || value[i] > 0x7e)
                                return 0;
                *ret = strndup(value, size);
                return *ret ? 0 : -ENOMEM;
        }
        return 0;
}

/* gitlab-runner's own header (common/version.go). */
static int make_user_agent(Neighbour *neighbour, const char *branch, const char *go)
{
        int n = asprintf(&neighbour->user_agent, "gitlab-runner %s (%s; %s; %s/%s)", neighbour->version, branch, go,
                neighbour->platform, neighbour->architecture);
        if (n < 0) {
                neighbour->user_agent = NULL;
                return -ENOMEM;
        }
        return 0;
}

static int split_platform(const char *text, Neighbour *neighbour)
{
        const char *slash = strchr(text, '/');

        if (!slash || slash == text || !slash[1])
                return -EBADMSG;
        neighbour->platform = strndup(text, (size_t)(slash - text));
        neighbour->architecture = strdup(slash + 1);
        return neighbour->platform && neighbour->architecture ? 0 : -ENOMEM;
}

int neighbour_parse(const char *text, Neighbour *ret)
{
        _cleanup_(neighbour_done) Neighbour neighbour = {0};
        _cleanup_free_ char *branch = NULL, *go = NULL, *platform = NULL;

        int r = find_value(text, "Version", &neighbour.version);
        if (r >= 0)
                r = find_value(text, "Git revision", &neighbour.revision);
        if (r >= 0)
                r = find_value(text, "Git branch", &branch);
        if (r >= 0)
                r = find_value(text, "GO version", &go);
        if (r >= 0)
                r = find_value(text, "OS/Arch", &platform);
        if (r < 0)
                return r;
        if (!neighbour.version || !platform)
                return -EBADMSG;
        r = split_platform(platform, &neighbour);
        if (r < 0)
                return r;
        if (!neighbour.revision) {
                neighbour.revision = strdup("HEAD");
                if (!neighbour.revision)
                        return -ENOMEM;
        }
        r = make_user_agent(&neighbour, branch ? branch : "HEAD", go ? go : NEWEST_GO);
        if (r < 0)
                return r;
        *ret = neighbour;
        neighbour = (Neighbour){0};
        return 0;
}

static const char *go_architecture(const char *machine)
{
        static const struct {
                const char *machine; /* a beginning of what uname says */
                const char *name;
        } names[] = {
                {"x86_64", "amd64"},
                {"aarch64", "arm64"},
                {"arm", "arm"},
                {"i386", "386"},
                {"i486", "386"},
                {"i586", "386"},
                {"i686", "386"},
                {"loongarch64", "loong64"},
        };

        for (size_t i = 0; i < ELEMENTS(names); i++)
                if (strncmp(machine, names[i].machine, strlen(names[i].machine)) == 0)
                        return names[i].name;
        return machine; /* s390x, ppc64le, riscv64 */
}

int neighbour_default(const char *machine, Neighbour *ret)
{
        _cleanup_(neighbour_done) Neighbour neighbour = {
                .version = strdup(NEWEST_VERSION),
                .revision = strdup(NEWEST_REVISION),
                .platform = strdup("linux"),
                .architecture = strdup(go_architecture(machine)),
        };

        if (!neighbour.version || !neighbour.revision || !neighbour.platform || !neighbour.architecture)
                return -ENOMEM;
        int r = make_user_agent(&neighbour, NEWEST_BRANCH, NEWEST_GO);
        if (r < 0)
                return r;
        *ret = neighbour;
        neighbour = (Neighbour){0};
        return 0;
}

static int encode_features(Executor executor, const char *shell, unsigned version, json_t **ret)
{
        _cleanup_json_ json_t *object = json_object();

        for (size_t i = 0; i < ELEMENTS(features); i++) {
                if (version < features[i].since)
                        continue;
                int r = json_put(
                        object, features[i].name, json_boolean(claims(&features[i], executor, shell, version)));
                if (r < 0)
                        return r;
        }
        *ret = take_ptr(object);
        return 0;
}

static int encode_config(const char *gpus, json_t **ret)
{
        _cleanup_json_ json_t *object = json_object();
        size_t size;

        gpus = gpus ? gpus + strspn(gpus, " \t\r\n") : "";
        size = strlen(gpus);
        while (size > 0 && strchr(" \t\r\n", gpus[size - 1]))
                size--;
        int r = json_put(object, "gpus",
                json_stringn(text_is_utf8(gpus, size) ? gpus : "", text_is_utf8(gpus, size) ? size : 0));
        if (r < 0)
                return r;
        *ret = take_ptr(object);
        return 0;
}

/* Empty ones are left out. */
static int put_text(json_t *object, const char *key, const char *value)
{
        if (!value || !*value || !text_is_utf8(value, strlen(value)))
                return 0;
        return json_put(object, key, json_string(value));
}

int info_encode(const Neighbour *neighbour, const char *executor, const char *shell, const char *gpus, char **ret)
{
        _cleanup_json_ json_t *info = json_object(), *claimed = NULL, *config = NULL;
        _cleanup_secret_ Secret *text = NULL;
        Executor kind = executor_from_string(executor);

        if ((!shell || !*shell) && kind != EXECUTOR_NONE)
                shell = "bash";

        int r = json_put(info, "name", json_string("gitlab-runner"));
        if (r >= 0)
                r = put_text(info, "version", neighbour->version);
        if (r >= 0)
                r = put_text(info, "revision", neighbour->revision);
        if (r >= 0)
                r = put_text(info, "platform", neighbour->platform);
        if (r >= 0)
                r = put_text(info, "architecture", neighbour->architecture);
        if (r >= 0)
                r = put_text(info, "executor", executor);
        if (r >= 0)
                r = put_text(info, "shell", shell);
        if (r >= 0)
                r = encode_features(kind, shell, version_number(neighbour->version), &claimed);
        if (r >= 0)
                r = json_put(info, "features", take_ptr(claimed));
        if (r >= 0)
                r = encode_config(gpus, &config);
        if (r >= 0)
                r = json_put(info, "config", take_ptr(config));
        if (r >= 0)
                r = json_write_go(info, &text);
        if (r < 0)
                return r;
        *ret = strdup(secret_data(text));
        return *ret ? 0 : -ENOMEM;
}
