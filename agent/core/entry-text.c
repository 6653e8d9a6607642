/* The text of a new entry: its identity, its template's keys and tables, in the order in which gitlab-runner's
 * encoder would write them (common/config.go), so that its next rewrite of the file changes as little as possible. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/entry-key.h"

static const char *const encoder_order[] = {
        "name",
        "limit",
        "output_limit",
        "request_concurrency",
        "strict_check_interval",
        "unhealthy_requests_limit",
        "unhealthy_interval",
        "job_status_final_update_retry_limit",
        "url",
        "id",
        "token",
        "token_obtained_at",
        "token_expires_at",
        "tls-ca-file",
        "tls-cert-file",
        "tls-key-file",
        "executor",
        "builds_dir",
        "cache_dir",
        "clone_url",
        "environment",
        "proxy_exec",
        "pre_get_sources_script",
        "post_get_sources_script",
        "pre_build_script",
        "post_build_script",
        "prepare_timeout",
        "get_sources_timeout",
        "debug_trace_disabled",
        "safe_directory_checkout",
        "clean_git_config",
        "shell",
        "use_slot_cgroups",
        "slot_cgroup_template",
        "step_runner_image",
        /* tables */
        "experimental",
        "labels",
        "custom_build_dir",
        "referees",
        "cache",
        "artifact",
        "feature_flags",
        "monitoring",
        "instance",
        "ssh",
        "docker",
        "parallels",
        "virtualbox",
        "machine",
        "kubernetes",
        "custom",
        "autoscaler",
};

bool entry_edit_wants(const EntryEdit *edit, EntryKey key, TomlScalar *ret)
{
        const struct timespec *time = key == ENTRY_KEY_OBTAINED  ? edit->obtained_at
                                      : key == ENTRY_KEY_EXPIRES ? edit->expires_at
                                                                 : NULL;
        const char *text = key == ENTRY_KEY_NAME       ? edit->name
                           : key == ENTRY_KEY_URL      ? edit->url
                           : key == ENTRY_KEY_TLS_CA   ? edit->tls_ca_file
                           : key == ENTRY_KEY_TLS_CERT ? edit->tls_cert_file
                           : key == ENTRY_KEY_TLS_KEY  ? edit->tls_key_file
                           : key == ENTRY_KEY_EXECUTOR ? edit->executor
                                                       : NULL;

        if (time)
                *ret = (TomlScalar){.type = TOML_TYPE_DATETIME, .time = *time};
        else if (text)
                *ret = (TomlScalar){.type = TOML_TYPE_STRING, .string = {text, strlen(text)}};
        else if (key == ENTRY_KEY_ID && edit->id)
                *ret = (TomlScalar){.type = TOML_TYPE_INTEGER, .integer = *edit->id};
        else if (key == ENTRY_KEY_TOKEN && edit->token)
                *ret = (TomlScalar){
                        .type = TOML_TYPE_STRING,
                        .string = {secret_data(edit->token), secret_size(edit->token)},
                };
        else
                return false;
        return true;
}

static int find_key(TomlString name)
{
        for (EntryKey key = 0; key < _ENTRY_KEY_MAX; key++)
                if (toml_string_equal_fold(name, entry_key_to_string(key)))
                        return (int)key;
        return -1;
}

/* Is the key's value "take it out", which in a new entry means "leave it out"? */
static bool wants_nothing(EntryKey key, const TomlScalar *scalar)
{
        return key >= ENTRY_KEY_TLS_CA && key <= ENTRY_KEY_TLS_KEY && scalar->string.size == 0;
}

static int write_own(Secret *out, const EntryEdit *edit, EntryKey key, TomlError *reterr)
{
        const char *name = entry_key_to_string(key);
        TomlScalar scalar;

        if (!entry_edit_wants(edit, key, &scalar) || wants_nothing(key, &scalar))
                return 0;

        int r = secret_append_string(out, "  ");
        if (r >= 0)
                r = secret_append_string(out, name);
        if (r >= 0)
                r = secret_append_string(out, " = ");
        if (r >= 0)
                r = toml_write_scalar(out, &scalar);
        if (r == -EINVAL)
                return toml_error_set(reterr, r, 0, 0, "%s can't be written: %s", name,
                        scalar.type == TOML_TYPE_DATETIME ? "its year is beyond 9999" : "it is not UTF-8");
        return r < 0 ? r : secret_append_string(out, "\n");
}

static int write_member(Secret *out, const TomlPath *path, const TomlValue *member)
{
        if (toml_write_has_header(member))
                return toml_write_table(out, &(TomlPath){path, member->key}, member);
        return toml_write_pair(out, 1, member->key, member);
}

/* A template may give a tls-*-file where the edit has none; all the other keys of ours it never gives. */
static bool template_gives(const EntryEdit *edit, int key)
{
        TomlScalar scalar;

        return key < 0 ||
               (key >= ENTRY_KEY_TLS_CA && key <= ENTRY_KEY_TLS_KEY && !entry_edit_wants(edit, key, &scalar));
}

/* All members of the body in one of two rounds, since plain keys can't stand behind a table. */
static int write_members(Secret *out, const EntryEdit *edit, const TomlPath *path, const TomlValue *body, bool tables,
        TomlError *reterr)
{
        int r = 0;

        for (size_t i = 0; i < ELEMENTS(encoder_order) && r >= 0; i++) {
                int key = find_key((TomlString){encoder_order[i], strlen(encoder_order[i])});

                if (key >= 0 && !tables)
                        r = write_own(out, edit, key, reterr);
                if (!body || !template_gives(edit, key))
                        continue;
                for (const TomlValue *v = NULL; r >= 0;) {
                        v = toml_table_find_fold(body, v ? v->next : body->children.first, encoder_order[i]);
                        if (!v)
                                break;
                        if (toml_write_has_header(v) == tables)
                                r = write_member(out, path, v);
                        if (!v->next)
                                break;
                }
        }
        return r;
}

static bool is_known(TomlString key)
{
        for (size_t i = 0; i < ELEMENTS(encoder_order); i++)
                if (toml_string_equal_fold(key, encoder_order[i]))
                        return true;
        return false;
}

static int write_unknown(Secret *out, const TomlPath *path, const TomlValue *body, bool tables)
{
        int r = 0;

        for (const TomlValue *v = body ? toml_value_first(body) : NULL; v && r >= 0; v = v->next)
                if (!is_known(v->key) && toml_write_has_header(v) == tables)
                        r = write_member(out, path, v);
        return r;
}

/* Parses a template body as what it is: the inside of a `[[runners]]` table. */
static int parse_body(const char *text, Secret *source, TomlDocument **ret, TomlError *reterr)
{
        _cleanup_(toml_document_freep) TomlDocument *document = NULL;
        TomlError error;

        int r = secret_append_string(source, "[[runners]]\n");
        if (r >= 0)
                r = secret_append_string(source, text);
        if (r < 0)
                return r;

        r = toml_document_parse(secret_data(source), secret_size(source), TOML_VERSION_1_1, &document, &error);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return toml_error_set(reterr, -EINVAL, error.line > 1 ? error.line - 1 : error.line, error.column,
                        "in the template's text: %s", error.text);

        const TomlValue *root = toml_document_root(document), *runners = toml_table_get(root, "runners");
        if (root->children.count != 1 || runners->children.count != 1)
                return toml_error_set(reterr, -EINVAL, 0, 0, "the template's text holds more than one entry");
        *ret = take_ptr(document);
        return 0;
}

int entry_text_new(const EntryEdit *edit, TomlString runners, Secret **ret, TomlError *reterr)
{
        _cleanup_secret_ Secret *out = NULL, *source = NULL;
        _cleanup_(toml_document_freep) TomlDocument *document = NULL;
        const TomlPath path = {NULL, runners};
        const TomlValue *body = NULL;

        int r = secret_new(NULL, 0, &out);
        if (r >= 0)
                r = secret_new(NULL, 0, &source);
        if (r >= 0 && edit->template_body)
                r = parse_body(edit->template_body, source, &document, reterr);
        if (r < 0)
                return r;
        if (document)
                body = toml_table_get(toml_document_root(document), "runners")->children.first;

        r = secret_append_string(out, "[[");
        if (r >= 0)
                r = toml_write_key(out, runners);
        if (r >= 0)
                r = secret_append_string(out, "]]\n");
        if (r >= 0)
                r = write_members(out, edit, &path, body, false, reterr);
        if (r >= 0)
                r = write_unknown(out, &path, body, false);
        if (r >= 0)
                r = write_members(out, edit, &path, body, true, reterr);
        if (r >= 0)
                r = write_unknown(out, &path, body, true);
        if (r < 0)
                return r;

        *ret = take_ptr(out);
        return 0;
}

int entry_text_new_inline(const EntryEdit *edit, Secret **ret, TomlError *reterr)
{
        _cleanup_secret_ Secret *block = NULL, *out = NULL;
        _cleanup_(toml_document_freep) TomlDocument *document = NULL;

        int r = entry_text_new(edit, (TomlString){"runners", 7}, &block, reterr);
        if (r >= 0)
                r = toml_document_parse(secret_data(block), secret_size(block), TOML_VERSION_1_1, &document, reterr);
        if (r >= 0)
                r = secret_new(NULL, 0, &out);
        if (r >= 0)
                r = toml_write_inline(out, toml_table_get(toml_document_root(document), "runners")->children.first);
        if (r < 0)
                return r;
        *ret = take_ptr(out);
        return 0;
}
