/* config.toml, as agent/entries.c reads and writes it. */

#include <string.h>

#include "agent/core/entry-look.h"
#include "tests/simulation/carry-parts.h"
#include "tests/simulation/check.h"
#include "tests/simulation/must.h"

#define STALE_TRIES 5

static int parse(const Secret *bytes, EntryList **ret)
{
        TomlError error = {0};

        return entry_list_read(secret_data(bytes), secret_size(bytes), ret, &error);
}

/* No file reads as NULL bytes. */
static int read_file(Host *host, Secret **ret, FileInfo *ret_info, char **reterr)
{
        int r = config_toml_read(host->config_toml, ret, ret_info, reterr);

        return r == -ENOENT ? 0 : r;
}

int carry_load_entries(Host *host, EntryList **ret, char **reterr)
{
        _cleanup_secret_ Secret *bytes = NULL;
        FileInfo info;
        int r = read_file(host, &bytes, &info, reterr);

        if (r >= 0)
                r = parse(bytes, ret);
        if (r >= 0) {
                (void)secret_free(host->seen);
                host->seen = take_ptr(bytes);
        }
        return r;
}

static void arm_settle(Host *host)
{
        if (host->settle_armed)
                return;
        host->settle_armed = true;
        world_later(host->world, ENTRY_SETTLE_USEC,
                (SimEvent){.kind = SIM_SETTLE, .host = host->index, .generation = host->start_generation});
}

void carry_arm_commit(Host *host)
{
        if (host->commit_armed)
                return;
        host->commit_armed = true;
        world_later(host->world, 0,
                (SimEvent){.kind = SIM_COMMIT, .host = host->index, .generation = host->start_generation});
}

static int commit_once(Host *host, EntryResult *results, char **reterr)
{
        _cleanup_secret_ Secret *bytes = NULL, *edited = NULL;
        EntryEdit edits[HOST_RUNNERS_MAX];
        FileInfo info = {0};
        size_t n = 0;
        int r = read_file(host, &bytes, &info, reterr);

        if (r < 0)
                return r;
        if (!entry_may_edit(bytes, info.mtime_nsec, host->seen, sim_clock_now(&host->clock)))
                return -EAGAIN;
        for (size_t i = 0; i < host->n_runners; i++)
                if (host->runners[i].wishing)
                        lifecycle_entry_edit(host->runners[i].lifecycle, &edits[n++]);
        TomlError error = {0};
        r = entry_edits_apply(
                bytes ? secret_data(bytes) : NULL, secret_size(bytes), edits, n, results, &edited, &error);
        if (r < 0)
                return r;
        if (bytes ? !secret_equal(bytes, edited) : secret_size(edited) > 0)
                r = config_toml_replace(host->config_toml, &info, edited, reterr);
        if (r < 0) {
                entry_results_done(results, n);
                return r;
        }
        (void)secret_free(host->seen);
        host->seen = take_ptr(edited);
        return 0;
}

static void finish_commit(Host *host, int error, const char *message, const EntryResult *results)
{
        bool wishing[HOST_RUNNERS_MAX];
        size_t n = 0;

        for (size_t i = 0; i < host->n_runners; i++) {
                wishing[i] = host->runners[i].wishing;
                host->runners[i].wishing = false;
        }
        for (size_t i = 0; i < host->n_runners && host->agent; i++) {
                HostRunner *runner = &host->runners[i];

                if (!wishing[i])
                        continue;
                Event event = carry_event(runner, EVENT_DISK);
                const EntryResult *result = results ? &results[n++] : NULL;

                event.error = result ? (result->outcome == ENTRY_OUTCOME_FAILED ? result->error : 0) : error;
                event.message = result ? result->message : message;
                event.changed = result &&
                                (result->outcome == ENTRY_OUTCOME_CHANGED || result->outcome == ENTRY_OUTCOME_ADDED ||
                                        result->outcome == ENTRY_OUTCOME_REMOVED);
                carry_advance(runner, &event);
        }
}

void carry_commit(Host *host)
{
        EntryResult results[HOST_RUNNERS_MAX] = {0};
        _cleanup_free_ char *message = NULL;
        size_t n = 0;
        int r = -ESTALE;

        host->commit_armed = false;
        for (size_t i = 0; i < host->n_runners; i++)
                n += host->runners[i].wishing;
        if (n == 0)
                return;
        uint64_t before = host->disk.changes;
        for (unsigned tries = 0; tries < STALE_TRIES && r == -ESTALE; tries++) {
                free(take_ptr(message));
                r = commit_once(host, results, &message);
        }
        /* Also where the agent did not survive it: gitlab-runner looks at the file by itself. */
        if (host->disk.changes != before)
                neighbour_wake(host);
        if (host->disk.dead) {
                if (r >= 0)
                        entry_results_done(results, n);
                host_die(host);
                return;
        }
        check_edit(host);
        if (r == -EAGAIN) {
                arm_settle(host);
                return;
        }
        bool surprised = false;
        for (size_t i = 0; r >= 0 && i < n; i++)
                surprised |= results[i].outcome == ENTRY_OUTCOME_FAILED && results[i].error == -ESTALE;
        finish_commit(host, r, message ? message : strerror(-r), r >= 0 ? results : NULL);
        if (r >= 0)
                entry_results_done(results, n);
        if (surprised && host->agent) {
                host->seen = secret_free(host->seen);
                carry_look(host, false);
        }
}

void host_config_changed(Host *host)
{
        neighbour_wake(host);
        check_edit_by_others(host);
        if (!host->agent || host->look_armed)
                return;
        host->look_armed = true;
        world_later(host->world, USEC_PER_MSEC,
                (SimEvent){.kind = SIM_LOOK, .host = host->index, .generation = host->start_generation});
}

void carry_look(Host *host, bool settled)
{
        _cleanup_(entry_list_freep) EntryList *list = NULL;
        _cleanup_secret_ Secret *bytes = NULL;
        _cleanup_free_ char *why = NULL;
        FileInfo info = {0};
        int r = read_file(host, &bytes, &info, &why);

        if (host->disk.dead) {
                host_die(host);
                return;
        }
        if (r < 0)
                return;
        switch (entry_look(
                bytes, info.mtime_nsec, host->seen, host->unsettled, settled, sim_clock_now(&host->clock))) {
        case ENTRY_LOOK_SAME:
                host->unsettled = secret_free(host->unsettled);
                return;
        case ENTRY_LOOK_AGAIN:
                (void)secret_free(host->unsettled);
                host->unsettled = take_ptr(bytes);
                arm_settle(host);
                return;
        case ENTRY_LOOK_TAKE:
        case _ENTRY_LOOK_MAX:
                break;
        }
        host->unsettled = secret_free(host->unsettled);
        r = parse(bytes, &list);
        (void)secret_free(host->seen);
        host->seen = take_ptr(bytes);
        for (size_t i = 0; r >= 0 && i < host->n_runners && host->agent; i++)
                if (host->runners[i].lifecycle)
                        carry_entries(&host->runners[i], list, false);
}

void carry_settle(Host *host)
{
        host->settle_armed = false;
        carry_look(host, true);
        for (size_t i = 0; i < host->n_runners && host->agent; i++)
                if (host->runners[i].wishing)
                        carry_arm_commit(host);
}

void carry_entries(HostRunner *runner, const EntryList *list, bool learn)
{
        EntryView views[LIFECYCLE_ENTRIES_MAX];
        size_t n = 0;

        for (size_t i = 0; i < list->n_entries && n < ELEMENTS(views); i++)
                if (list->entries[i].name && strcmp(list->entries[i].name, runner->name) == 0)
                        views[n++] = entry_view(&list->entries[i]);
        Event event = carry_event(runner, EVENT_ENTRIES);
        event.entries = views;
        event.n_entries = n;
        if (learn)
                lifecycle_learn_entries(runner->lifecycle, &event);
        else
                carry_advance(runner, &event);
}
