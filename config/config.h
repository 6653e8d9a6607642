#pragma once

/* The configuration as the program uses it. What a key means, its default and its range stand in schema.c; nothing
 * here is valid before config_load() has checked it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/base/cleanup.h"
#include "agent/base/time.h"
#include "config/source.h"

/* Rows of the schema: every setting remembers where it was set, by row. schema.c asserts it. */
#define CONFIG_SETTINGS_MAX 64

/* When the host's runners are withdrawn; the first value of each enum is the default. */
typedef enum ConfigDeregisterOn {
        CONFIG_DEREGISTER_ON_STOP,
        CONFIG_DEREGISTER_ON_ALWAYS,
        CONFIG_DEREGISTER_ON_POWEROFF,
        CONFIG_DEREGISTER_ON_NEVER,
        _CONFIG_DEREGISTER_ON_MAX,
        _CONFIG_DEREGISTER_ON_INVALID = -EINVAL,
} ConfigDeregisterOn;

typedef enum ConfigRotation {
        CONFIG_ROTATION_AUTO,   /* what is ours */
        CONFIG_ROTATION_ALWAYS, /* also what is shared */
        CONFIG_ROTATION_NEVER,
        CONFIG_ROTATION_GITLAB_RUNNER, /* left to gitlab-runner */
        _CONFIG_ROTATION_MAX,
        _CONFIG_ROTATION_INVALID = -EINVAL,
} ConfigRotation;

typedef enum ConfigOnRemoved {
        CONFIG_ON_REMOVED_REREGISTER,
        CONFIG_ON_REMOVED_DISABLE,
        _CONFIG_ON_REMOVED_MAX,
        _CONFIG_ON_REMOVED_INVALID = -EINVAL,
} ConfigOnRemoved;

/* Whose termination notices are watched; 0 is none. AUTO stands alone. */
typedef enum ConfigTermination {
        CONFIG_TERMINATION_AUTO = 1 << 0,
        CONFIG_TERMINATION_AWS = 1 << 1,
        CONFIG_TERMINATION_GCP = 1 << 2,
        CONFIG_TERMINATION_AZURE = 1 << 3,
} ConfigTermination;

/* One runner. Shared: the manager may keep the one of a former configuration until its runner is withdrawn. */
typedef struct RunnerConfig {
        unsigned n_refs;

        char *name;
        char *url; /* as written; compare with url_equal() */

        /* Exactly one is there. */
        SecretSource *registration_token;
        SecretSource *authentication_token;
        SecretSource *access_token;

        /* GitLab's attributes. Only configured ones are sent: NULL and -1 mean not configured. */
        char *description; /* specifiers not expanded: text_expand() */
        char **tag_list;   /* NULL-terminated, may be empty */
        int run_untagged;
        int locked;
        int paused;
        char *access_level;
        int64_t maximum_timeout; /* seconds, GitLab's unit */
        char *maintenance_note;  /* specifiers not expanded */
        char *runner_type;
        int64_t group_id;
        int64_t project_id;

        char *executor;
        char *template; /* path; NULL: none */
        ConfigRotation rotation;
        ConfigOnRemoved on_removed;
        char *tls_ca_file; /* NULL: the system's */
        char *tls_cert_file;
        char *tls_key_file;
        char *proxy;    /* may hold a password: never print */
        int allow_http; /* 0 or 1 */
        uint64_t timeout_usec;

        char *file;                          /* where it is defined */
        unsigned line;                       /* of its section or item */
        unsigned lines[CONFIG_SETTINGS_MAX]; /* by schema row; 0: not set there, the default counts */
} RunnerConfig;

typedef struct ConfigPlace {
        const char *file; /* one of Config.files; NULL: the default counts */
        unsigned line;
} ConfigPlace;

typedef struct Config {
        char *config_toml;
        char *state_dir;
        char *runtime_dir;
        uint64_t verify_interval_usec;
        ConfigDeregisterOn deregister_on;
        uint64_t stop_timeout_usec;
        unsigned rotate_at_percent; /* of the token's life */
        uint64_t rotate_after_usec; /* of tokens that do not expire; USEC_INFINITY: never */
        uint64_t removed_after_usec;
        uint64_t retry_min_usec;
        uint64_t retry_max_usec;
        uint64_t refused_retry_usec;
        int64_t concurrent; /* -1: not configured */
        char *metrics_file; /* NULL: none */
        char *hook;         /* NULL: none */
        char *drain_unit;
        char *reload_unit;
        uint64_t drain_timeout_usec;
        unsigned termination; /* of ConfigTermination */

        RunnerConfig **runners; /* in the order of their definition */
        size_t n_runners;

        char **files; /* what was read, in order */
        size_t n_files;
        ConfigPlace places[CONFIG_SETTINGS_MAX]; /* of the agent's settings, by schema row */
} Config;

/* Bounds of what is read. A host may carry thousands of runners. */
#define CONFIG_RUNNERS_MAX 16384
#define CONFIG_FILES_MAX   1024

/* Makes a configuration of defaults without runners. Returns 0 or -ENOMEM. */
int config_new(Config **ret);
Config *config_free(Config *config);
DEFINE_CLEANUP(Config, config_free)

/* Makes a runner of defaults, with one reference. Returns 0 or -ENOMEM. */
int runner_config_new(RunnerConfig **ret);
RunnerConfig *runner_config_ref(RunnerConfig *runner);

/* Drops a reference; accepts NULL, returns NULL. */
RunnerConfig *runner_config_unref(RunnerConfig *runner);
DEFINE_CLEANUP(RunnerConfig, runner_config_unref)

/* Appends RUNNER, taking over the caller's reference on success. -E2BIG beyond CONFIG_RUNNERS_MAX, -ENOMEM. */
int config_add_runner(Config *config, RunnerConfig *runner);

/* The runner called NAME, or NULL. Linear: for commands, not for loops over all runners. */
RunnerConfig *config_find_runner(const Config *config, const char *name);

/* Whether two runners are configured alike, wherever that is written. */
bool runner_config_equal(const RunnerConfig *a, const RunnerConfig *b);

/* Whether the settings of the agent are alike. */
bool config_agent_equal(const Config *a, const Config *b);

/* Both, with the runners in the same order. */
bool config_equal(const Config *a, const Config *b);

/* The url that all runners share, or NULL where there are several or none. Borrowed from CONFIG. */
const char *config_only_url(const Config *config);

/* Where KEY was set, for messages: RUNNER NULL means the agent's section. False if the default counts (or the key is
 * unknown); then neither is set. */
bool config_place(
        const Config *config, const RunnerConfig *runner, const char *key, const char **ret_file, unsigned *ret_line);

/* The first of the three secrets that is configured, and its key ("access_token"); NULL if none is. */
const SecretSource *runner_config_secret(const RunnerConfig *runner, const char **ret_key);
