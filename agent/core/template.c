/* A template becomes the inside of a new entry. gitlab-runner's register would merge it into what its flags say; we
 * have no flags but name, url and executor, so that what is left of the merge is: copy the template's entry, without
 * identity and without other executors' tables, and add what register adds for docker. */

#include "agent/core/template.h"

#include <errno.h>
#include <string.h>

#include "agent/core/entry-key.h"
#include "agent/core/schema.h"
#include "agent/core/toml-write.h"

typedef enum DockerKind {
        DOCKER_NONE,
        DOCKER_LINUX,
        DOCKER_WINDOWS,
} DockerKind;

/* Which tables an executor reads: they stay, and are made where gitlab-runner fails without. */
typedef struct Executor {
        const char *name;
        DockerKind docker;
        const char *tables[3]; /* to a NULL */
} Executor;

static const Executor executors[] = {
        {"shell", DOCKER_NONE, {NULL}},
        {"docker", DOCKER_LINUX, {"docker"}},
        {"docker-windows", DOCKER_WINDOWS, {"docker"}},
        {"docker+machine", DOCKER_LINUX, {"docker", "machine"}},
        {"docker-autoscaler", DOCKER_LINUX, {"docker"}},
        {"instance", DOCKER_NONE, {NULL}},
        {"ssh", DOCKER_NONE, {"ssh"}},
        {"parallels", DOCKER_NONE, {"ssh", "parallels"}},
        {"virtualbox", DOCKER_NONE, {"ssh", "virtualbox"}},
        {"kubernetes", DOCKER_NONE, {"kubernetes"}},
        {"custom", DOCKER_NONE, {"custom"}},
};

static const char *const executor_tables[] = {
        "ssh",
        "docker",
        "parallels",
        "virtualbox",
        "machine",
        "kubernetes",
        "custom",
        "referees",
};

typedef struct Merge {
        const Executor *executor;
        const TomlDocument *document; /* NULL: no template */
        const TomlValue *entry;       /* NULL: no template */
        Secret *out;
        TomlError *error;
} Merge;

static const TomlPath runners_path = {NULL, {"runners", 7}};

static const Executor *find_executor(const char *name)
{
        for (size_t i = 0; i < ELEMENTS(executors); i++)
                if (strcmp(executors[i].name, name) == 0)
                        return &executors[i];
        return NULL;
}

static int fail_at(const Merge *m, const TomlValue *value, const char *text)
{
        size_t line, column;

        toml_document_locate(m->document, value->span.start, &line, &column);
        return toml_error_set(m->error, -EINVAL, line, column, "%s", text);
}

/* Exactly one entry, as gitlab-runner asks. */
static int find_template_entry(Merge *m)
{
        EntryWalk walk;

        int r = entry_walk_init(&walk, m->document, m->error);
        if (r < 0)
                return r;
        m->entry = entry_walk_next(&walk);
        if (!m->entry)
                return toml_error_set(m->error, -EINVAL, 0, 0, "the template has no [[runners]] entry, it needs one");

        const TomlValue *second = entry_walk_next(&walk);
        if (second)
                return fail_at(m, second, "the template has a second [[runners]] entry, it may have only one");
        return 0;
}

static bool reads_table(const Executor *executor, TomlString name)
{
        for (size_t i = 0; executor->tables[i]; i++)
                if (toml_string_equal_fold(name, executor->tables[i]))
                        return true;
        return false;
}

static bool stays(const Merge *m, const TomlValue *member)
{
        for (EntryKey key = 0; key < _ENTRY_KEY_MAX; key++)
                if ((key < ENTRY_KEY_TLS_CA || key > ENTRY_KEY_TLS_KEY) &&
                        toml_string_equal_fold(member->key, entry_key_to_string(key)))
                        return false;
        for (size_t i = 0; i < ELEMENTS(executor_tables); i++)
                if (toml_string_equal_fold(member->key, executor_tables[i]))
                        return reads_table(m->executor, member->key);
        return true;
}

/* Of the type that it must have: the schema was checked before. */
static const TomlValue *find(const TomlValue *table, const char *key)
{
        return table ? toml_table_find_fold(table, NULL, key) : NULL;
}

static bool is_text(const TomlValue *value)
{
        return value && value->string.size > 0;
}

/* Does some volume hold the cache already? For Windows register only looks for the folder's name anywhere in it. */
static bool has_cache_volume(const TomlValue *volumes, DockerKind kind)
{
        for (const TomlValue *v = volumes ? toml_value_first(volumes) : NULL; v; v = v->next) {
                if (kind == DOCKER_WINDOWS) {
                        if (v->string.size > 0 && memmem(v->string.data, v->string.size, "c:\\cache", 8))
                                return true;
                        continue;
                }

                const char *colon = v->string.size > 0 ? memrchr(v->string.data, ':', v->string.size) : NULL;
                size_t from = colon ? (size_t)(colon - v->string.data) + 1 : 0;
                if (toml_string_equal((TomlString){v->string.data + from, v->string.size - from}, "/cache"))
                        return true;
        }
        return false;
}

static bool needs_cache_volume(const Merge *m, const TomlValue *docker)
{
        const TomlValue *disable = find(docker, "disable_cache");

        if (m->executor->docker == DOCKER_LINUX && disable && disable->boolean)
                return false;
        return !has_cache_volume(find(docker, "volumes"), m->executor->docker);
}

static int write_volumes(Merge *m, const TomlValue *volumes)
{
        const char *cache = m->executor->docker == DOCKER_WINDOWS ? "c:\\cache" : "/cache";
        int r = secret_append_string(m->out, "    volumes = [");

        for (const TomlValue *v = volumes ? toml_value_first(volumes) : NULL; v && r >= 0; v = v->next) {
                r = toml_write_inline(m->out, v);
                if (r >= 0)
                        r = secret_append_string(m->out, ", ");
        }
        if (r >= 0)
                r = toml_write_string(m->out, (TomlString){cache, strlen(cache)});
        return r < 0 ? r : secret_append_string(m->out, "]\n");
}

static int write_docker(Merge *m, const TomlValue *docker)
{
        const TomlPath path = {&runners_path, {"docker", 6}};
        const TomlValue *volumes = find(docker, "volumes");
        bool add = needs_cache_volume(m, docker);

        int r = secret_append_string(m->out, "  [runners.docker]\n");
        for (const TomlValue *v = toml_value_first(docker); v && r >= 0; v = v->next)
                if (!toml_write_has_header(v) && (v != volumes || !add))
                        r = toml_write_pair(m->out, 2, v->key, v);
        if (r >= 0 && add)
                r = write_volumes(m, volumes);
        for (const TomlValue *v = toml_value_first(docker); v && r >= 0; v = v->next)
                if (toml_write_has_header(v))
                        r = toml_write_table(m->out, &(TomlPath){&path, v->key}, v);
        return r;
}

static int write_plain_keys(Merge *m)
{
        int r = 0;

        for (const TomlValue *v = m->entry ? toml_value_first(m->entry) : NULL; v && r >= 0; v = v->next)
                if (stays(m, v) && !toml_write_has_header(v))
                        r = toml_write_pair(m->out, 1, v->key, v);
        if (r >= 0 && m->executor->docker == DOCKER_WINDOWS && !is_text(find(m->entry, "shell")))
                r = secret_append_string(m->out, "  shell = \"pwsh\"\n");
        return r;
}

static int write_tables(Merge *m)
{
        int r = 0;

        for (const TomlValue *v = m->entry ? toml_value_first(m->entry) : NULL; v && r >= 0; v = v->next) {
                if (!stays(m, v) || !toml_write_has_header(v))
                        continue;
                if (toml_string_equal_fold(v->key, "docker"))
                        r = write_docker(m, v);
                else
                        r = toml_write_table(m->out, &(TomlPath){&runners_path, v->key}, v);
        }
        for (size_t i = 0; m->executor->tables[i] && r >= 0; i++) {
                if (find(m->entry, m->executor->tables[i]))
                        continue;
                r = secret_append_string(m->out, "  [runners.");
                if (r >= 0)
                        r = secret_append_string(m->out, m->executor->tables[i]);
                if (r >= 0)
                        r = secret_append_string(m->out, "]\n");
        }
        return r;
}

static int check_image(const Merge *m)
{
        const TomlValue *docker = find(m->entry, "docker");

        if (m->executor->docker == DOCKER_NONE || is_text(find(docker, "image")))
                return 0;
        if (docker)
                return fail_at(m, docker, "[runners.docker] names no image, which this executor needs");
        return toml_error_set(m->error, -EINVAL, 0, 0,
                "this executor needs a template with an image in [runners.docker], and there is none");
}

int template_merge(const void *data, size_t size, const char *executor, Secret **ret_body, TomlError *reterr)
{
        _cleanup_(toml_document_freep) TomlDocument *document = NULL;
        _cleanup_secret_ Secret *out = NULL;
        Merge m = {.executor = find_executor(executor), .error = reterr};
        int r;

        if (!m.executor)
                return toml_error_set(reterr, -EINVAL, 0, 0,
                        "unknown executor; expected shell, docker, docker-windows, docker+machine, "
                        "docker-autoscaler, "
                        "instance, ssh, parallels, virtualbox, kubernetes or custom");
        if (data) {
                r = toml_document_parse(data, size, TOML_VERSION_1_1, &document, reterr);
                if (r < 0)
                        return r == -EFBIG ? -EBADMSG : r;
                m.document = document;
                r = find_template_entry(&m);
                if (r >= 0)
                        r = schema_check_entry(document, m.entry, reterr);
                if (r < 0)
                        return r;
        }

        r = check_image(&m);
        if (r >= 0)
                r = secret_new(NULL, 0, &out);
        if (r < 0)
                return r;
        m.out = out;
        r = write_plain_keys(&m);
        if (r >= 0)
                r = write_tables(&m);
        if (r < 0)
                return r;
        *ret_body = take_ptr(out);
        return 0;
}
