#include <stdio.h>
#include <string.h>

#include "agent/base/file.h"
#include "agent/cli/cli.h"
#include "agent/config-toml.h"
#include "agent/core/entry.h"
#include "agent/store.h"

static const char help[] = "Usage: runner-registrar seal\n"
                           "\n"
                           "Prepares an image: removes our state, .runner_system_id and our entries in config.toml, "
                           "and calls nobody, so\n"
                           "that every machine made from the image enrols as itself.\n";

static int remove_entries(ConfigToml *ct, const Config *config, char *const *names, char **reterr)
{
        size_t n = 0, n_names = 0;
        FileInfo info;
        TomlError error = {};

        while (names[n_names])
                n_names++;
        _cleanup_secret_ Secret *bytes = NULL, *edited = NULL;
        _cleanup_(entry_list_freep) EntryList *list = NULL;
        int r = config_toml_read(ct, &bytes, &info, reterr);
        if (r == -ENOENT)
                return 0;
        if (r >= 0)
                r = entry_list_read(secret_data(bytes), secret_size(bytes), &list, &error);
        if (r == -EBADMSG && asprintf(reterr, "%s:%zu: %s", config_toml_path(ct), error.line, error.text) < 0)
                *reterr = NULL;
        if (r < 0)
                return r;

        EntryEdit *edits = calloc(list->n_entries + 1, sizeof(*edits));
        EntryResult *results = calloc(list->n_entries + 1, sizeof(*results));
        for (size_t i = 0; edits && results && i < list->n_entries; i++) {
                const Entry *entry = &list->entries[i];
                const RunnerConfig *runner = entry->name ? config_find_runner(config, entry->name) : NULL;
                bool ours = runner && url_equal(runner->url, entry->url);

                for (size_t k = 0; !ours && entry->name && k < n_names; k++)
                        ours = strcmp(names[k], entry->name) == 0;
                if (ours)
                        edits[n++] = (EntryEdit){.kind = ENTRY_EDIT_REMOVE, .index = entry->index};
        }
        if (!edits || !results)
                r = -ENOMEM;
        else if (n > 0)
                r = entry_edits_apply(secret_data(bytes), secret_size(bytes), edits, n, results, &edited, &error);
        if (r >= 0 && n > 0) {
                r = config_toml_replace(ct, &info, edited, reterr);
                entry_results_done(results, n);
        }
        free(edits);
        free(results);
        return r;
}

static int seal(const Config *config, char **reterr)
{
        _cleanup_(store_freep) Store *store = NULL;
        _cleanup_(config_toml_freep) ConfigToml *ct = NULL;
        _cleanup_(strings_freep) char **names = NULL;
        int r = store_open(disk_real(), config->state_dir, &store, reterr);

        if (r >= 0)
                r = store_lock(store, reterr);
        if (r == -EBUSY) {
                free(take_ptr(*reterr));
                *reterr = strdup("the agent runs; stop it first, or it would write its state again");
        }
        if (r >= 0)
                r = config_toml_new(disk_real(), config->config_toml, config->state_dir, &ct);
        if (r >= 0)
                r = store_list(store, &names, reterr);
        if (r >= 0)
                r = remove_entries(ct, config, names, reterr);
        /* Entries first: were the state gone before them, a clone would take them for somebody's own. */
        for (size_t i = 0; r >= 0 && names[i]; i++)
                r = store_forget(store, names[i], reterr);
        return r < 0 ? r : config_toml_system_id_remove(ct, reterr);
}

int cli_seal(const CliContext *context, int argc, char **argv)
{
        _cleanup_(config_freep) Config *config = NULL;
        _cleanup_free_ char *why = NULL;
        int code;

        if (!cli_takes_nothing("seal", help, "an image is sealed as a whole", argc, argv, &code))
                return code;
        code = cli_load_config(context, true, &config);
        if (code != EXIT_DONE)
                return code;
        int r = seal(config, &why);
        if (r < 0) {
                (void)fprintf(stderr, "runner-registrar seal: %s\n", why ? why : strerror(-r));
                return EXIT_FAILED;
        }
        (void)printf("Sealed: no runner, no state and no system id of this machine is left in the image.\n");
        return EXIT_DONE;
}
