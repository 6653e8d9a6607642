/* Reads a config.toml on stdin, applies the edits of the command line, writes the outcome to stdout and a line per
 * edit to stderr, so that readers in other languages can judge the outcome.
 *
 * toml-edit-tool [upsert|remove|concurrent KEY=VALUE… [, …]]; `new` in front stands for a file that is not there. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/entry.h"
#include "agent/core/template.h"

#define EDITS_MAX 8192U

typedef struct Values {
        int64_t id;
        struct timespec obtained_at;
        struct timespec expires_at;
        Secret *token;
        Secret *body;
} Values;

static void usage(const char *what)
{
        fprintf(stderr, "wrong usage at '%s'\n", what);
        exit(2);
}

static Secret *read_all(FILE *f)
{
        Secret *bytes = NULL;
        char buffer[65536];
        size_t n;

        if (!f || secret_new(NULL, 0, &bytes) < 0)
                exit(2);
        while ((n = fread(buffer, 1, sizeof(buffer), f)) > 0)
                if (secret_append(bytes, buffer, n) < 0)
                        exit(2);
        return bytes;
}

static struct timespec parse_time(const char *text)
{
        TomlDate date;
        TomlType type;

        if (toml_date_parse(text, strlen(text), TOML_VERSION_1_1, &date, &type) < 0)
                usage(text);
        return toml_date_to_timespec(&date);
}

static void read_template(const char *path, const char *executor, Values *values)
{
        TomlError error;
        FILE *f = path ? fopen(path, "re") : NULL;
        Secret *bytes = path ? read_all(f) : NULL;

        int r = template_merge(
                bytes ? secret_data(bytes) : NULL, secret_size(bytes), executor, &values->body, &error);
        if (r < 0) {
                fprintf(stderr, "template: %zu:%zu: %s\n", error.line, error.column, error.text);
                exit(1);
        }
        if (f)
                fclose(f);
        secret_free(bytes);
}

static const char *match(const char *argument, const char *key)
{
        size_t n = strlen(key);

        return strncmp(argument, key, n) == 0 && argument[n] == '=' ? argument + n + 1 : NULL;
}

static int parse_edit(int argc, char **argv, EntryEdit *edit, Values *values)
{
        const char *v, *template = NULL;
        int i;

        *edit = (EntryEdit){.index = ENTRY_INDEX_NONE};
        if (strcmp(argv[0], "upsert") == 0)
                edit->kind = ENTRY_EDIT_UPSERT;
        else if (strcmp(argv[0], "remove") == 0)
                edit->kind = ENTRY_EDIT_REMOVE;
        else if (strcmp(argv[0], "concurrent") == 0)
                edit->kind = ENTRY_EDIT_CONCURRENT;
        else
                usage(argv[0]);

        for (i = 1; i < argc && strcmp(argv[i], ",") != 0; i++) {
                const char *a = argv[i];

                if ((v = match(a, "index")))
                        edit->index = strtoul(v, NULL, 10);
                else if ((v = match(a, "value")))
                        edit->concurrent = strtol(v, NULL, 10);
                else if ((v = match(a, "name")))
                        edit->name = v;
                else if ((v = match(a, "url")))
                        edit->url = v;
                else if ((v = match(a, "id"))) {
                        values->id = strtol(v, NULL, 10);
                        edit->id = &values->id;
                } else if ((v = match(a, "token"))) {
                        if (secret_new(v, strlen(v), &values->token) < 0)
                                exit(2);
                        edit->token = values->token;
                } else if ((v = match(a, "obtained"))) {
                        values->obtained_at = parse_time(v);
                        edit->obtained_at = &values->obtained_at;
                } else if ((v = match(a, "expires"))) {
                        values->expires_at = parse_time(v);
                        edit->expires_at = &values->expires_at;
                } else if ((v = match(a, "ca")))
                        edit->tls_ca_file = v;
                else if ((v = match(a, "cert")))
                        edit->tls_cert_file = v;
                else if ((v = match(a, "key")))
                        edit->tls_key_file = v;
                else if ((v = match(a, "executor")))
                        edit->executor = v;
                else if ((v = match(a, "template")))
                        template = v;
                else
                        usage(a);
        }
        if (edit->kind == ENTRY_EDIT_UPSERT && edit->executor) {
                read_template(template, edit->executor, values);
                edit->template_body = secret_data(values->body);
        }
        return i;
}

int main(int argc, char **argv)
{
        static const char *const outcomes[] = {"unchanged", "changed", "added", "removed", "absent", "failed"};
        static EntryEdit edits[EDITS_MAX];
        static EntryResult results[EDITS_MAX];
        static Values values[EDITS_MAX];
        _cleanup_secret_ Secret *old = NULL, *new = NULL;
        TomlError error = {0};
        size_t n = 0;
        int i = 1;

        if (argc > 1 && strcmp(argv[1], "new") == 0)
                i++;
        else
                old = read_all(stdin);
        for (; i < argc; i++) {
                if (n == EDITS_MAX)
                        usage("too many edits");
                i += parse_edit(argc - i, argv + i, &edits[n], &values[n]);
                n++;
        }

        int r = entry_edits_apply(old ? secret_data(old) : NULL, secret_size(old), edits, n, results, &new, &error);
        if (r < 0) {
                fprintf(stderr, "%zu:%zu: %s (%s)\n", error.line, error.column, error.text, strerror(-r));
                return 1;
        }
        for (size_t k = 0; k < n; k++) {
                fprintf(stderr, "%s%s%s\n", outcomes[results[k].outcome], results[k].message ? " " : "",
                        results[k].message ? results[k].message : "");
                secret_free(values[k].token);
                secret_free(values[k].body);
        }
        entry_results_done(results, n);
        (void)fwrite(secret_data(new), 1, secret_size(new), stdout);
        return 0;
}
