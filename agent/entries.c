#include "agent/entries.h"

#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>

#include "agent/core/entry-look.h"

/* How often a batch is made anew because somebody else wrote between our read and our write. */
#define STALE_TRIES 5

typedef struct Wish {
        EntriesWant want;
        EntriesDone done;
        void *userdata;
} Wish;

struct Entries {
        sd_event *event;
        Log *log;
        ConfigToml *ct;
        int64_t concurrent;

        Wish *wishes;
        size_t n_wishes;
        size_t allocated;
        sd_event_source *commit_source;

        EntriesChanged changed;
        void *userdata;
        sd_event_source *watch_sources[2];
        sd_event_source *settle_source;
        Secret *seen; /* as last written by us, or handed on */
        bool seen_readable;
        Secret *unsettled; /* as read first, to be compared after ENTRY_SETTLE_USEC */
};

static int on_commit(sd_event_source *source, void *userdata);
static int on_settle(sd_event_source *source, uint64_t usec, void *userdata);

int entries_new(sd_event *event, Log *log, ConfigToml *ct, int64_t concurrent, Entries **ret)
{
        _cleanup_(entries_freep) Entries *e = calloc(1, sizeof(*e));

        if (!e)
                return -ENOMEM;
        e->event = sd_event_ref(event);
        e->log = log;
        e->ct = ct;
        e->concurrent = concurrent;
        int r = sd_event_add_defer(event, &e->commit_source, on_commit, e);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(e->commit_source, "config.toml-commit");
        r = sd_event_source_set_enabled(e->commit_source, SD_EVENT_OFF);
        if (r < 0)
                return r;
        /* Made beforehand: a look that is put off must not be lost for want of memory. */
        r = sd_event_add_time(event, &e->settle_source, CLOCK_BOOTTIME, 0, 10 * USEC_PER_MSEC, on_settle, e);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(e->settle_source, "config.toml-settle");
        r = sd_event_source_set_enabled(e->settle_source, SD_EVENT_OFF);
        if (r < 0)
                return r;
        /* After the replies of this turn, so that runners who finish together are written together. */
        r = sd_event_source_set_priority(e->commit_source, SD_EVENT_PRIORITY_NORMAL + 10);
        if (r < 0)
                return r;
        *ret = take_ptr(e);
        return 0;
}

Entries *entries_free(Entries *e)
{
        if (!e)
                return NULL;
        for (size_t i = 0; i < ELEMENTS(e->watch_sources); i++)
                (void)sd_event_source_disable_unref(e->watch_sources[i]);
        (void)sd_event_source_disable_unref(e->settle_source);
        (void)sd_event_source_disable_unref(e->commit_source);
        (void)secret_free(e->seen);
        (void)secret_free(e->unsettled);
        free(e->wishes);
        (void)sd_event_unref(e->event);
        free(e);
        return NULL;
}

void entries_set_concurrent(Entries *e, int64_t concurrent)
{
        e->concurrent = concurrent;
}

/* ---- reading ---- */

static int describe_toml_error(const Entries *e, const TomlError *error, char **reterr)
{
        if (asprintf(reterr, "%s:%zu: not a config.toml that can be read: %s", config_toml_path(e->ct), error->line,
                    error->text) < 0)
                *reterr = NULL;
        return -EBADMSG;
}

static int parse(const Entries *e, const Secret *bytes, EntryList **ret, char **reterr)
{
        TomlError error = {};
        int r = entry_list_read(secret_data(bytes), secret_size(bytes), ret, &error);

        return r == -EBADMSG ? describe_toml_error(e, &error, reterr) : r;
}

/* No file reads as NULL bytes and a zeroed INFO. */
static int read_file(Entries *e, Secret **ret, FileInfo *ret_info, char **reterr)
{
        int r = config_toml_read(e->ct, ret, ret_info, reterr);

        if (r == -ENOENT) {
                *ret = NULL;
                return 0;
        }
        return r;
}

int entries_load(Entries *e, EntryList **ret, char **reterr)
{
        _cleanup_secret_ Secret *bytes = NULL;
        FileInfo info;
        int r = read_file(e, &bytes, &info, reterr);

        if (r < 0)
                return r;
        r = parse(e, bytes, ret, reterr);
        if (r < 0)
                return r;
        (void)secret_free(e->seen);
        e->seen = take_ptr(bytes);
        e->seen_readable = true;
        return 0;
}

int entries_check_readable(Entries *e, char **reterr)
{
        _cleanup_(entry_list_freep) EntryList *list = NULL;
        _cleanup_secret_ Secret *bytes = NULL;
        FileInfo info;
        int r = read_file(e, &bytes, &info, reterr);

        if (r < 0)
                return r;
        /* Thousands of runners may ask in a row; one reading of the same bytes is enough. */
        return e->seen_readable && secret_equal(bytes, e->seen) ? 0 : parse(e, bytes, &list, reterr);
}

/* ---- writing ---- */

static void finish_all(Wish *wishes, size_t n, int error, const char *message)
{
        for (size_t i = 0; i < n; i++)
                wishes[i].done(wishes[i].userdata, error, message, false);
}

static void finish_each(Wish *wishes, size_t n, const EntryResult *results)
{
        for (size_t i = 0; i < n; i++) {
                const EntryResult *result = &results[i];
                bool changed = result->outcome == ENTRY_OUTCOME_CHANGED || result->outcome == ENTRY_OUTCOME_ADDED ||
                               result->outcome == ENTRY_OUTCOME_REMOVED;

                wishes[i].done(wishes[i].userdata, result->outcome == ENTRY_OUTCOME_FAILED ? result->error : 0,
                        result->message, changed);
        }
}

static int arm_settle(Entries *e);
static void look(Entries *e, bool settled);

/* One attempt: read, edit, replace. -ESTALE: somebody wrote in between; -EAGAIN: the file must settle first. */
static int commit_once(Entries *e, const Wish *wishes, size_t n, EntryResult *results, char **reterr)
{
        _cleanup_secret_ Secret *bytes = NULL, *edited = NULL;
        _cleanup_free_ EntryEdit *edits = calloc(n + 1, sizeof(*edits));
        FileInfo info = {};
        size_t n_edits = n;
        Now now;

        if (!edits)
                return -ENOMEM;
        int r = read_file(e, &bytes, &info, reterr);
        if (r < 0)
                return r;
        now_read(&now);
        if (!entry_may_edit(bytes, info.mtime_nsec, e->seen, now))
                return -EAGAIN;
        for (size_t i = 0; i < n; i++)
                wishes[i].want(wishes[i].userdata, &edits[i]);
        if (e->concurrent > 0)
                edits[n_edits++] = (EntryEdit){
                        .kind = ENTRY_EDIT_CONCURRENT,
                        .index = ENTRY_INDEX_NONE,
                        .concurrent = e->concurrent,
                };

        TomlError error = {};
        r = entry_edits_apply(
                bytes ? secret_data(bytes) : NULL, secret_size(bytes), edits, n_edits, results, &edited, &error);
        if (r == -EBADMSG)
                return describe_toml_error(e, &error, reterr);
        if (r < 0)
                return r;
        if (bytes ? !secret_equal(bytes, edited) : secret_size(edited) > 0)
                r = config_toml_replace(e->ct, &info, edited, reterr);
        if (r < 0) {
                entry_results_done(results, n_edits);
                return r;
        }
        (void)secret_free(e->seen);
        e->seen = take_ptr(edited);
        e->seen_readable = true;
        return 0;
}

static bool any_stale(const EntryResult *results, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (results[i].outcome == ENTRY_OUTCOME_FAILED && results[i].error == -ESTALE)
                        return true;
        return false;
}

static int on_commit(sd_event_source *source, void *userdata)
{
        Entries *e = userdata;
        _cleanup_free_ Wish *wishes = take_ptr(e->wishes);
        _cleanup_free_ char *message = NULL;
        size_t n = e->n_wishes;
        int r = -ENOMEM;

        e->n_wishes = e->allocated = 0;
        if (n == 0)
                return 0;
        _cleanup_free_ EntryResult *results = calloc(n + 1, sizeof(*results));
        if (results)
                for (unsigned tries = 0; tries < STALE_TRIES; tries++) {
                        free(take_ptr(message));
                        r = commit_once(e, wishes, n, results, &message);
                        if (r != -ESTALE)
                                break;
                }
        if (r == -EAGAIN && arm_settle(e) >= 0) {
                e->wishes = take_ptr(wishes);
                e->n_wishes = e->allocated = n;
                return 0;
        }
        if (r < 0) {
                finish_all(wishes, n, r,
                        message        ? message
                        : r == -ESTALE ? "config.toml is being written by others all the time"
                                       : strerror(-r));
                return 0;
        }
        if (!e->watch_sources[0] && e->changed)
                (void)entries_watch(e, e->changed, e->userdata);
        finish_each(wishes, n, results);
        bool surprised = any_stale(results, n);
        entry_results_done(results, n + 1);
        if (surprised) {
                /* Somebody else's token stood there, of which its runner has not heard yet. */
                e->seen = secret_free(e->seen);
                look(e, false);
        }
        return 0;
}

int entries_submit(Entries *e, EntriesWant want, EntriesDone done, void *userdata)
{
        if (e->n_wishes == e->allocated) {
                size_t allocated = e->allocated ? e->allocated * 2 : 8;
                Wish *wishes = realloc(e->wishes, allocated * sizeof(*wishes));

                if (!wishes)
                        return -ENOMEM;
                e->wishes = wishes;
                e->allocated = allocated;
        }
        e->wishes[e->n_wishes++] = (Wish){.want = want, .done = done, .userdata = userdata};
        int r = sd_event_source_set_enabled(e->commit_source, SD_EVENT_ONESHOT);
        /* Who is refused may be gone when the others are granted theirs. */
        if (r < 0)
                e->n_wishes--;
        return r;
}

void entries_cancel(Entries *e, void *userdata)
{
        for (size_t i = 0; i < e->n_wishes; i++)
                if (e->wishes[i].userdata == userdata) {
                        memmove(e->wishes + i, e->wishes + i + 1, (e->n_wishes - i - 1) * sizeof(*e->wishes));
                        e->n_wishes--;
                        return;
                }
}

/* ---- noticing ---- */

static void hand_on(Entries *e, Secret **bytes)
{
        _cleanup_(entry_list_freep) EntryList *list = NULL;
        _cleanup_free_ char *why = NULL;
        int r = parse(e, *bytes, &list, &why);

        (void)secret_free(e->seen);
        e->seen = take_ptr(*bytes);
        e->seen_readable = r >= 0;
        if (r < 0) {
                log_warning(e->log, NULL, "%s; leaving it alone until it is mended", why ? why : "Out of memory");
                return;
        }
        if (e->changed)
                e->changed(e->userdata, list);
}

static void look(Entries *e, bool settled)
{
        _cleanup_secret_ Secret *bytes = NULL;
        _cleanup_free_ char *why = NULL;
        FileInfo info = {};
        Now now;
        int r = read_file(e, &bytes, &info, &why);

        if (r < 0) {
                log_warning(e->log, NULL, "%s", why ? why : strerror(-r));
                return;
        }
        now_read(&now);
        switch (entry_look(bytes, info.mtime_nsec, e->seen, e->unsettled, settled, now)) {
        case ENTRY_LOOK_SAME:
                e->unsettled = secret_free(e->unsettled);
                break;
        case ENTRY_LOOK_AGAIN:
                (void)secret_free(e->unsettled);
                e->unsettled = take_ptr(bytes);
                (void)arm_settle(e);
                break;
        case ENTRY_LOOK_TAKE:
                e->unsettled = secret_free(e->unsettled);
                hand_on(e, &bytes);
                break;
        case _ENTRY_LOOK_MAX:
                break;
        }
}

static int on_settle(sd_event_source *source, uint64_t usec, void *userdata)
{
        Entries *e = userdata;

        look(e, true);
        if (e->n_wishes > 0)
                (void)sd_event_source_set_enabled(e->commit_source, SD_EVENT_ONESHOT);
        return 0;
}

static int arm_settle(Entries *e)
{
        int enabled = SD_EVENT_OFF;
        int r = sd_event_source_get_enabled(e->settle_source, &enabled);

        if (r < 0 || enabled != SD_EVENT_OFF)
                return r < 0 ? r : 0;
        r = sd_event_source_set_time_relative(e->settle_source, ENTRY_SETTLE_USEC);
        return r < 0 ? r : sd_event_source_set_enabled(e->settle_source, SD_EVENT_ONESHOT);
}

static int on_inotify(sd_event_source *source, const struct inotify_event *event, void *userdata)
{
        Entries *e = userdata;
        const char *path = config_toml_path(e->ct);
        const char *slash = strrchr(path, '/');
        const char *name = slash ? slash + 1 : path;

        /* The link's target may have another name; its folder's events are all looked at. */
        if (event->len > 0 && source == e->watch_sources[0] && strcmp(event->name, name) != 0)
                return 0;
        look(e, false);
        return 0;
}

static int watch_folder_of(Entries *e, const char *path, sd_event_source **source)
{
        _cleanup_free_ char *folder = strdup(path);

        if (!folder)
                return -ENOMEM;
        char *slash = strrchr(folder, '/');
        if (slash)
                slash[slash == folder] = 0;
        *source = sd_event_source_disable_unref(*source);
        return sd_event_add_inotify(e->event, source, slash ? folder : ".",
                IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE, on_inotify, e);
}

int entries_watch(Entries *e, EntriesChanged changed, void *userdata)
{
        _cleanup_free_ char *resolved = NULL;

        e->changed = changed;
        e->userdata = userdata;
        int r = watch_folder_of(e, config_toml_path(e->ct), &e->watch_sources[0]);
        if (r < 0)
                return r;
        if (config_toml_resolve(e->ct, &resolved, NULL) < 0 || strcmp(resolved, config_toml_path(e->ct)) == 0)
                return 0;
        return watch_folder_of(e, resolved, &e->watch_sources[1]);
}
