#include "agent/core/schema.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

typedef enum Kind {
        KIND_TEXT,
        KIND_INTEGER,
        KIND_NUMBER,
        KIND_BOOLEAN,
        KIND_DURATION,
        KIND_TEXTS,
        KIND_TEXT_OR_TEXTS,
        KIND_TEXT_MAP,
        KIND_BOOLEAN_MAP,
        KIND_TABLE,
        KIND_TABLES,
} Kind;

/* The keys of one kind in one table, blanks between them. */
typedef struct Rule {
        const char *table; /* "" is the entry itself */
        Kind kind;
        const char *keys;
} Rule;

static const Rule rules[] = {
        {"", KIND_TEXT,
                "name url token executor tls-ca-file tls-cert-file tls-key-file builds_dir cache_dir clone_url "
                "pre_clone_script post_clone_script pre_get_sources_script post_get_sources_script pre_build_script "
                "post_build_script shell slot_cgroup_template step_runner_image"},
        {"", KIND_INTEGER,
                "id limit output_limit request_concurrency unhealthy_requests_limit "
                "job_status_final_update_retry_limit"},
        {"", KIND_BOOLEAN,
                "strict_check_interval proxy_exec debug_trace_disabled safe_directory_checkout clean_git_config "
                "use_slot_cgroups"},
        {"", KIND_DURATION, "unhealthy_interval"},
        {"", KIND_TEXTS, "environment"},
        {"", KIND_TEXT_MAP, "labels"},
        {"", KIND_BOOLEAN_MAP, "feature_flags"},
        {"", KIND_TABLE,
                "experimental custom_build_dir referees cache artifact monitoring instance ssh docker parallels "
                "virtualbox machine kubernetes custom autoscaler"},
        {"custom_build_dir", KIND_BOOLEAN, "enabled"},
        {"instance", KIND_TEXTS, "allowed_images"},
        {"cache", KIND_TEXT, "Type Path"},
        {"cache", KIND_BOOLEAN, "Shared"},
        {"cache", KIND_INTEGER, "MaxUploadedArchiveSize"},
        {"cache", KIND_TABLE, "s3 gcs azure"},
        {"cache.s3", KIND_TEXT,
                "ServerAddress AccessKey SecretKey SessionToken BucketName BucketLocation AuthenticationType "
                "ServerSideEncryption ServerSideEncryptionKeyID RoleARN UploadRoleARN"},
        {"cache.s3", KIND_BOOLEAN, "Insecure Accelerate DualStack PathStyle"},
        {"cache.s3", KIND_INTEGER, "AssumeRoleMaxConcurrency"},
        {"cache.gcs", KIND_TEXT, "AccessID PrivateKey CredentialsFile BucketName"},
        {"cache.azure", KIND_TEXT, "AccountName AccountKey ContainerName StorageDomain"},
        {"ssh", KIND_TEXT, "user password host port identity_file known_hosts_file"},
        {"ssh", KIND_BOOLEAN, "disable_strict_host_key_checking"},
        {"docker", KIND_TEXT,
                "host tls_cert_path hostname image runtime memory memory_swap memory_reservation cpuset_cpus cpus "
                "user "
                "userns_mode gpus volume_driver cache_dir network_mode ipcmode mac_address isolation helper_image "
                "helper_image_flavor"},
        {"docker", KIND_INTEGER, "cpu_shares oom_score_adjust wait_for_services_timeout shm_size"},
        {"docker", KIND_BOOLEAN,
                "tls_verify privileged services_privileged disable_entrypoint_overwrite oom_kill_disable "
                "disable_cache volume_keep enable_ipv6"},
        {"docker", KIND_TEXTS,
                "dns dns_search cap_add cap_drop security_opt services_security_opt devices device_cgroup_rules "
                "volumes extra_hosts volumes_from links allowed_images allowed_pull_policies allowed_services"},
        {"docker", KIND_TEXT_OR_TEXTS, "pull_policy"},
        {"docker", KIND_TEXT_MAP, "volume_driver_ops tmpfs services_tmpfs sysctls container_labels"},
        {"docker", KIND_TABLES, "services"},
        {"parallels", KIND_TEXT, "base_name template_name time_server"},
        {"parallels", KIND_BOOLEAN, "disable_snapshots"},
        {"parallels", KIND_TEXTS, "allowed_images"},
        {"virtualbox", KIND_TEXT, "base_name base_snapshot base_folder start_type"},
        {"virtualbox", KIND_BOOLEAN, "disable_snapshots"},
        {"virtualbox", KIND_TEXTS, "allowed_images"},
        {"machine", KIND_INTEGER,
                "MaxGrowthRate IdleCount IdleCountMin IdleTime MaxBuilds OffPeakIdleCount OffPeakIdleTime"},
        {"machine", KIND_NUMBER, "IdleScaleFactor"},
        {"machine", KIND_TEXT, "MachineDriver MachineName OffPeakTimezone"},
        {"machine", KIND_TEXTS, "MachineOptions OffPeakPeriods"},
        {"machine", KIND_TABLES, "autoscaling"},
        {"machine.autoscaling", KIND_TEXTS, "Periods"},
        {"machine.autoscaling", KIND_TEXT, "Timezone"},
        {"machine.autoscaling", KIND_INTEGER, "IdleCount IdleCountMin IdleTime"},
        {"machine.autoscaling", KIND_NUMBER, "IdleScaleFactor"},
        {"kubernetes", KIND_TEXT,
                "host cert_file key_file ca_file bearer_token image namespace namespace_overwrite_allowed "
                "bearer_token_overwrite_allowed service_account service_account_overwrite_allowed cpu_limit "
                "cpu_request memory_limit memory_request service_cpu_limit service_cpu_request service_memory_limit "
                "service_memory_request helper_cpu_limit helper_cpu_request helper_memory_limit "
                "helper_memory_request helper_image helper_image_flavor runtime_class_name scheduler_name "
                "priority_class_name dns_policy logs_base_dir scripts_base_dir"},
        {"kubernetes", KIND_BOOLEAN, "privileged allow_privilege_escalation"},
        {"kubernetes", KIND_INTEGER, "poll_interval poll_timeout resource_availability_check_max_attempts"},
        {"kubernetes", KIND_TEXTS, "image_pull_secrets allowed_images allowed_services cap_add cap_drop"},
        {"kubernetes", KIND_TEXT_OR_TEXTS, "pull_policy"},
        {"kubernetes", KIND_TEXT_MAP, "node_selector node_tolerations pod_labels pod_annotations"},
        {"kubernetes", KIND_TABLE, "affinity dns_config volumes pod_security_context container_lifecycle"},
        {"kubernetes", KIND_TABLES, "services host_aliases"},
        {"custom", KIND_TEXT, "config_exec prepare_exec run_exec cleanup_exec"},
        {"custom", KIND_TEXTS, "config_args prepare_args run_args cleanup_args"},
        {"custom", KIND_INTEGER,
                "config_exec_timeout prepare_exec_timeout cleanup_exec_timeout graceful_kill_timeout "
                "force_kill_timeout"},
        {"autoscaler", KIND_INTEGER, "capacity_per_instance max_use_count max_instances"},
        {"autoscaler", KIND_TEXT, "plugin"},
        {"autoscaler", KIND_TABLES, "policy"},
};

static const char *const kind_names[] = {
        [KIND_TEXT] = "a text",
        [KIND_INTEGER] = "an integer",
        [KIND_NUMBER] = "a number",
        [KIND_BOOLEAN] = "true or false",
        [KIND_DURATION] = "a duration in quotes, with its unit",
        [KIND_TEXTS] = "a list of texts",
        [KIND_TEXT_OR_TEXTS] = "a text or a list of texts",
        [KIND_TEXT_MAP] = "a table of texts",
        [KIND_BOOLEAN_MAP] = "a table of true and false",
        [KIND_TABLE] = "a table",
        [KIND_TABLES] = "a list of tables",
};

/* gitlab-runner's bounds for labels (common/labels.go). */
#define LABELS_MAX           32U
#define LABEL_KEY_SIZE_MIN   3U
#define LABEL_KEY_SIZE_MAX   65U
#define LABEL_VALUE_SIZE_MAX 256U

static bool all_are(const TomlValue *value, TomlType container, TomlType type)
{
        if (value->type != container)
                return false;
        for (const TomlValue *v = toml_value_first(value); v; v = v->next)
                if (v->type != type)
                        return false;
        return true;
}

static bool is_kind(const TomlValue *value, Kind kind)
{
        switch (kind) {
        case KIND_TEXT:
                return value->type == TOML_TYPE_STRING;
        case KIND_INTEGER:
                return value->type == TOML_TYPE_INTEGER;
        case KIND_NUMBER:
                return value->type == TOML_TYPE_INTEGER || value->type == TOML_TYPE_FLOAT;
        case KIND_BOOLEAN:
                return value->type == TOML_TYPE_BOOLEAN;
        case KIND_DURATION:
                return value->type == TOML_TYPE_STRING || value->type == TOML_TYPE_INTEGER;
        case KIND_TEXTS:
                return all_are(value, TOML_TYPE_ARRAY, TOML_TYPE_STRING);
        case KIND_TEXT_OR_TEXTS:
                return value->type == TOML_TYPE_STRING || all_are(value, TOML_TYPE_ARRAY, TOML_TYPE_STRING);
        case KIND_TEXT_MAP:
                return all_are(value, TOML_TYPE_TABLE, TOML_TYPE_STRING);
        case KIND_BOOLEAN_MAP:
                return all_are(value, TOML_TYPE_TABLE, TOML_TYPE_BOOLEAN);
        case KIND_TABLE:
                return value->type == TOML_TYPE_TABLE;
        case KIND_TABLES:
                return all_are(value, TOML_TYPE_ARRAY, TOML_TYPE_TABLE);
        }
        return false;
}

static int fail_at(const TomlDocument *document, const TomlValue *value, TomlError *reterr, const char *table,
        const char *key, const char *text)
{
        size_t line, column;

        toml_document_locate(document, value->span.start, &line, &column);
        return toml_error_set(reterr, -EINVAL, line, column, "%s%s%s: %s", table, *table ? "." : "", key, text);
}

static int check_key(
        const TomlDocument *document, const TomlValue *table, const Rule *rule, const char *key, TomlError *reterr)
{
        const TomlValue *value = toml_table_find_fold(table, NULL, key);
        char text[80] = "expected ";

        if (!value)
                return 0;
        if (value->next && toml_table_find_fold(table, value->next, key))
                return fail_at(document, value, reterr, rule->table, key,
                        "is there in two spellings, of which gitlab-runner takes a random one");
        if (is_kind(value, rule->kind))
                return 0;
        strncat(text, kind_names[rule->kind], sizeof(text) - strlen(text) - 1);
        return fail_at(document, value, reterr, rule->table, key, text);
}

static int check_keys(const TomlDocument *document, const TomlValue *table, const Rule *rule, TomlError *reterr)
{
        for (const char *p = rule->keys; *p;) {
                char key[64] = "";
                size_t n = strcspn(p, " ");

                assert(n < sizeof(key));
                memcpy(key, p, n);
                int r = check_key(document, table, rule, key, reterr);
                if (r < 0)
                        return r;
                p += n + strspn(p + n, " ");
        }
        return 0;
}

/* One rule below a table that `path` leads to from here, through each element where it is a list. */
static int check_rule(
        const TomlDocument *document, const TomlValue *table, const char *path, const Rule *rule, TomlError *reterr)
{
        char key[32] = "";
        size_t n = strcspn(path, ".");
        int r = 0;

        if (n == 0)
                return check_keys(document, table, rule, reterr);
        assert(n < sizeof(key));
        memcpy(key, path, n);
        path += n + (path[n] == '.');

        const TomlValue *below = toml_table_find_fold(table, NULL, key);
        if (!below)
                return 0;
        if (below->type == TOML_TYPE_TABLE)
                return check_rule(document, below, path, rule, reterr);
        /* The rule of what it lies in has found a list to hold nothing but tables. */
        for (const TomlValue *v = toml_value_first(below); v && r >= 0; v = v->next)
                r = check_rule(document, v, path, rule, reterr);
        return r;
}

static bool is_label_text(TomlString text, size_t min, size_t max)
{
        if (text.size < min || text.size > max)
                return false;
        for (size_t i = 0; i < text.size; i++) {
                char c = text.data[i];

                if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                            c == '.' || c == '-'))
                        return false;
        }
        return true;
}

static int check_labels(const TomlDocument *document, const TomlValue *entry, TomlError *reterr)
{
        const TomlValue *labels = toml_table_find_fold(entry, NULL, "labels");
        size_t n = 0;

        for (const TomlValue *v = labels ? toml_value_first(labels) : NULL; v; v = v->next) {
                if (!is_label_text(v->key, LABEL_KEY_SIZE_MIN, LABEL_KEY_SIZE_MAX) || v->key.data[0] == '.' ||
                        v->key.data[0] == '-')
                        return fail_at(document, v, reterr, "labels", "a key",
                                "expected 3 to 65 of A-Za-z0-9._-, the first no '.' or '-'");
                if (!is_label_text(v->string, 1, LABEL_VALUE_SIZE_MAX))
                        return fail_at(document, v, reterr, "labels", "a value", "expected 1 to 256 of A-Za-z0-9._-");
                if (++n > LABELS_MAX)
                        return fail_at(document, v, reterr, "", "labels", "more than 32 of them");
        }
        return 0;
}

int schema_check_entry(const TomlDocument *document, const TomlValue *entry, TomlError *reterr)
{
        for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
                int r = check_rule(document, entry, rules[i].table, &rules[i], reterr);
                if (r < 0)
                        return r;
        }
        return check_labels(document, entry, reterr);
}
