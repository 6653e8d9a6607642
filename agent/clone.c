#include "agent/clone.h"

#include <string.h>

#include "agent/core/entry.h"
#include "agent/runner-plan.h"

/* Whose entries they are. */
typedef struct Siblings {
        const Config *config;
        const Record *record; /* of a runner that CONFIG does not name; NULL: those that it does */
} Siblings;

static bool is_siblings(const Entry *entry, const Siblings *siblings)
{
        const Record *record = siblings->record;

        if (!entry->name)
                return false;
        if (record)
                return strcmp(entry->name, record->name) == 0 && clone_owns_entry(entry, record->url, false);
        const RunnerConfig *runner = config_find_runner(siblings->config, entry->name);
        return runner && clone_owns_entry(entry, runner->url, flow_from_config(runner) == FLOW_AUTHENTICATION_TOKEN);
}

static int edit(const Secret *bytes, const Siblings *siblings, const EntryList *list, Secret **ret)
{
        _cleanup_secret_ Secret *blank = NULL;
        EntryEdit *edits = calloc(list->n_entries + 1, sizeof(*edits));
        EntryResult *results = calloc(list->n_entries + 1, sizeof(*results));
        TomlError error = {};
        size_t n = 0;
        int r = edits && results ? secret_new("", 0, &blank) : -ENOMEM;

        for (size_t i = 0; r >= 0 && i < list->n_entries; i++)
                if (is_siblings(&list->entries[i], siblings))
                        edits[n++] = (EntryEdit){
                                .kind = ENTRY_EDIT_UPSERT, .index = list->entries[i].index, .token = blank};
        if (r >= 0 && n > 0) {
                r = entry_edits_apply(secret_data(bytes), secret_size(bytes), edits, n, results, ret, &error);
                if (r >= 0)
                        entry_results_done(results, n);
        }
        free(edits);
        free(results);
        return r;
}

static int blank(ConfigToml *ct, const Siblings *siblings, char **reterr)
{
        _cleanup_secret_ Secret *bytes = NULL, *edited = NULL;
        _cleanup_(entry_list_freep) EntryList *list = NULL;
        TomlError error = {};
        FileInfo info;

        /* What we can't read gitlab-runner can't use, or it is said a moment later. */
        if (config_toml_read(ct, &bytes, &info, NULL) < 0)
                return 0;
        int r = entry_list_read(secret_data(bytes), secret_size(bytes), &list, &error);
        if (r >= 0)
                r = edit(bytes, siblings, list, &edited);
        if (r == -EBADMSG)
                return 0;
        return r < 0 || !edited ? r : config_toml_replace(ct, &info, edited, reterr);
}

int clone_blank_tokens(ConfigToml *ct, const Config *config, char **reterr)
{
        return blank(ct, &(Siblings){.config = config}, reterr);
}

int clone_blank_remembered(ConfigToml *ct, const Config *config, Store *store, char **reterr)
{
        _cleanup_(strings_freep) char **names = NULL;
        int r = store_list(store, &names, reterr);

        for (size_t i = 0; r >= 0 && names[i]; i++) {
                _cleanup_(record_freep) Record *record = NULL;
                _cleanup_free_ char *why = NULL;

                if (!config_find_runner(config, names[i]) && store_load(store, names[i], &record, &why) >= 0)
                        r = blank(ct, &(Siblings){.record = record}, reterr);
        }
        return r;
}

void clone_take_system_id(
        Disk *disk, const IdPlan *plan, const char *found, const char *made, char ret[static SYSTEM_ID_SIZE + 1])
{
        unsigned char random[16];

        switch (plan->source) {
        case ID_FOUND:
                (void)memcpy(ret, found, SYSTEM_ID_SIZE + 1);
                break;
        case ID_MADE:
                (void)memcpy(ret, made, SYSTEM_ID_SIZE + 1);
                break;
        case ID_RANDOM:
                disk_random(disk, random, sizeof(random));
                system_id_from_random(random, ret);
                break;
        case _ID_SOURCE_MAX:
                break;
        }
}
