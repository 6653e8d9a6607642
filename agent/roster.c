#include "agent/roster.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "agent/base/file.h"
#include "agent/core/reload.h"
#include "agent/runner-plan.h"
#include "agent/template-file.h"

typedef struct Slot {
        Runner *runner;
        bool ending;        /* a reload has told it to */
        RunnerConfig *next; /* what takes its place under the same name */
        bool again;         /* it had ended already, otherwise than a later reload wants: as `plan` says */
        StopPlan plan;
        uint64_t deadline_usec;
} Slot;

struct Roster {
        const RunnerContext *context;
        const Config *config;
        Slot *slots; /* sorted by name */
        size_t n;
        size_t allocated;
        bool stopping; /* nothing begins any more */
};

int roster_new(const RunnerContext *context, Roster **ret)
{
        Roster *roster = calloc(1, sizeof(*roster));

        if (!roster)
                return -ENOMEM;
        roster->context = context;
        *ret = roster;
        return 0;
}

TokenUse roster_token_use(const Roster *roster, const Lifecycle *asking, const char *url, const Secret *token)
{
        TokenUse most = TOKEN_UNUSED;

        for (size_t i = 0; i < roster->n && most != TOKEN_USED; i++) {
                const Slot *slot = &roster->slots[i];
                const Lifecycle *other = runner_lifecycle(slot->runner);
                TokenUse use = other != asking ? lifecycle_token_use(other, url, token) : TOKEN_UNUSED;

                /* What is to take its place has not begun, and so not read its token yet. */
                if (use == TOKEN_UNUSED && slot->next && url_equal(slot->next->url, url) &&
                        flow_from_config(slot->next) == FLOW_AUTHENTICATION_TOKEN)
                        use = TOKEN_UNSURE;
                if (use > most)
                        most = use;
        }
        return most;
}

Roster *roster_free(Roster *roster)
{
        if (!roster)
                return NULL;
        for (size_t i = 0; i < roster->n; i++) {
                (void)runner_free(roster->slots[i].runner);
                (void)runner_config_unref(roster->slots[i].next);
        }
        free(roster->slots);
        free(roster);
        return NULL;
}

size_t roster_size(const Roster *roster)
{
        return roster->n;
}

Runner *roster_get(const Roster *roster, size_t index)
{
        return roster->slots[index].runner;
}

/* The place of NAME, or where it would be. */
static size_t slot_place(const Roster *roster, const char *name)
{
        size_t low = 0, high = roster->n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (strcmp(runner_name(roster->slots[middle].runner), name) < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static Slot *find_slot(const Roster *roster, const char *name)
{
        size_t place = slot_place(roster, name);

        if (place == roster->n || strcmp(runner_name(roster->slots[place].runner), name) != 0)
                return NULL;
        return &roster->slots[place];
}

Runner *roster_find(const Roster *roster, const char *name)
{
        const Slot *slot = find_slot(roster, name);

        return slot ? slot->runner : NULL;
}

int roster_check_clone(Store *store, const Machine *machine, Clone *ret, char **reterr)
{
        _cleanup_(strings_freep) char **names = NULL;
        int r = store_list(store, &names, reterr);

        if (r < 0)
                return r;
        *ret = CLONE_NONE;
        for (size_t i = 0; names[i] && *ret == CLONE_NONE; i++) {
                _cleanup_(record_freep) Record *record = NULL;
                _cleanup_free_ char *why = NULL;

                r = store_load(store, names[i], &record, &why);
                if (r >= 0) {
                        *ret = clone_check(record, machine->machine_id, machine->instance_id);
                } else if (clone_use_state(r, false) == STATE_FAIL) {
                        /* Not knowing whose it is, nobody may begin with it. */
                        *reterr = take_ptr(why);
                        return r;
                }
        }
        return 0;
}

/* ---- entries by name ---- */

/* A host may have thousands of entries and runners: found by halving, not by walking. */
typedef struct EntryIndex {
        const Entry **entries; /* sorted by name, those of one name in the order of the file */
        size_t n;
} EntryIndex;

static void entry_index_done(EntryIndex *index)
{
        free(index->entries);
}

static int compare_entries(const void *a, const void *b)
{
        const Entry *x = *(const Entry *const *)a, *y = *(const Entry *const *)b;
        int order = strcmp(x->name, y->name);

        return order != 0 ? order : x->index < y->index ? -1 : 1;
}

/* No LIST: config.toml can't be read now; once it can, roster_entries() tells. */
static int entry_index_make(const EntryList *list, EntryIndex *ret)
{
        size_t n = list ? list->n_entries : 0;

        ret->entries = calloc(n + 1, sizeof(*ret->entries));
        if (!ret->entries)
                return -ENOMEM;
        ret->n = 0;
        for (size_t i = 0; i < n; i++)
                if (list->entries[i].name)
                        ret->entries[ret->n++] = &list->entries[i];
        qsort(ret->entries, ret->n, sizeof(*ret->entries), compare_entries);
        return 0;
}

static void hand_entries(const EntryIndex *index, Runner *runner)
{
        const char *name = runner_name(runner);
        size_t low = 0, high = index->n, end;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (strcmp(index->entries[middle]->name, name) < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        for (end = low; end < index->n && strcmp(index->entries[end]->name, name) == 0;)
                end++;
        runner_entries(runner, index->entries + low, end - low);
}

/* ---- making runners ---- */

static int add_slot(Roster *roster, Runner *runner)
{
        if (roster->n == roster->allocated) {
                size_t allocated = roster->allocated ? roster->allocated * 2 : 8;
                Slot *slots = realloc(roster->slots, allocated * sizeof(*slots));

                if (!slots)
                        return -ENOMEM;
                roster->slots = slots;
                roster->allocated = allocated;
        }
        size_t place = slot_place(roster, runner_name(runner));
        memmove(roster->slots + place + 1, roster->slots + place, (roster->n - place) * sizeof(*roster->slots));
        roster->slots[place] = (Slot){.runner = runner};
        roster->n++;
        return 0;
}

static void remove_slot(Roster *roster, size_t i)
{
        (void)runner_free(roster->slots[i].runner);
        (void)runner_config_unref(roster->slots[i].next);
        memmove(roster->slots + i, roster->slots + i + 1, (roster->n - i - 1) * sizeof(*roster->slots));
        roster->n--;
}

/* A state that can't be read is neither used nor overwritten: the runner is listed as refused, and goes on working
 * with what config.toml holds, until a person has decided. */
static int refused_record(const char *name, const char *url, char **why, Record **ret)
{
        int r = record_new(name, url, FLOW_REGISTRATION_TOKEN, ret);

        if (r < 0)
                return r;
        (*ret)->state = RUNNER_STATE_REFUSED;
        (*ret)->reason = take_ptr(*why);
        return 0;
}

static int load_record(Roster *roster, const char *name, const RunnerConfig *config, bool cloned, Record **ret,
        bool *ret_refused, char **reterr)
{
        const RunnerContext *context = roster->context;
        _cleanup_free_ char *why = NULL;
        int r = store_load(context->store, name, ret, &why);

        *ret_refused = false;
        switch (clone_use_state(r, cloned)) {
        case STATE_USE:
                return 0;
        case STATE_FAIL:
        case _STATE_USE_MAX:
                *reterr = take_ptr(why);
                return r;
        case STATE_REFUSE:
                log_error(context->log, LOG_FIELDS(.runner = name), "%s", why ? why : "A state file can't be read");
                *ret_refused = true;
                return refused_record(name, config ? config->url : "", &why, ret);
        case STATE_BEGIN_OVER:
                /* It stays until ours is saved in its place, as the first thing its lifecycle does: without one a
                 * crash in between would make the sibling's entry look like ours. */
                *ret = record_free(*ret);
                (void)store_journal_clear(context->store, name);
                break;
        case STATE_BEGIN_AFTER:
                (void)store_forget(context->store, name, NULL);
                break;
        case STATE_BEGIN:
                break;
        }
        r = record_new(
                name, config ? config->url : "", config ? flow_from_config(config) : FLOW_REGISTRATION_TOKEN, ret);
        if (r >= 0)
                (*ret)->cloned = cloned;
        return r;
}

/* AGENT has the settings that all runners share. */
static int make_runner(Roster *roster, const Config *agent, const char *name, RunnerConfig *config, bool cloned,
        const EntryIndex *entries, Runner **ret, char **reterr)
{
        const RunnerContext *context = roster->context;
        _cleanup_secret_ Secret *template_body = NULL;
        _cleanup_(record_freep) Record *record = NULL;
        _cleanup_(answer_done) Answer answer = {};
        Runner *runner;
        bool refused;
        int r = config ? template_file_merge(context->disk, config, &template_body, reterr) : 0;

        if (r >= 0)
                r = load_record(roster, name, config, cloned, &record, &refused, reterr);
        if (r < 0)
                return r;
        bool answered = false;
        if (!cloned && record->intent.kind != INTENT_NONE) {
                r = store_journal_load(context->store, name, &answer, reterr);
                if (r < 0 && r != -ENOENT)
                        return r;
                answered = r >= 0;
        } else if (!refused)
                store_journal_tidy(context->store, name);
        r = runner_new(
                context, agent, refused ? NULL : config, template_body, record, answered ? &answer : NULL, &runner);
        if (r < 0)
                return r;
        record = NULL;
        hand_entries(entries, runner);
        *ret = runner;
        return 0;
}

static int add_runner(
        Roster *roster, const char *name, RunnerConfig *config, bool cloned, const EntryIndex *entries, char **reterr)
{
        _cleanup_(runner_freep) Runner *runner = NULL;
        int r = make_runner(roster, roster->config, name, config, cloned, entries, &runner, reterr);

        if (r >= 0)
                r = add_slot(roster, runner);
        if (r >= 0)
                runner = NULL;
        return r;
}

/* A record whose runner is not configured: kept while it owes something or still holds a token. */
static int add_remembered(Roster *roster, const char *name, bool cloned, const EntryIndex *entries, char **reterr)
{
        if (cloned)
                return store_forget(roster->context->store, name, NULL);
        int r = add_runner(roster, name, NULL, false, entries, reterr);
        if (r < 0)
                return r;
        Runner *runner = roster_find(roster, name);
        if (lifecycle_settled(runner_lifecycle(runner))) {
                remove_slot(roster, slot_place(roster, name));
                return store_forget(roster->context->store, name, NULL);
        }
        log_warning(roster->context->log, LOG_FIELDS(.runner = name),
                "runner '%s' is not configured any more, but still %s; `deregister %s` withdraws it", name,
                lifecycle_record(runner_lifecycle(runner))->token ? "registered" : "has debts", name);
        return 0;
}

int roster_load(Roster *roster, const Config *config, bool cloned, const EntryList *entries, char **reterr)
{
        _cleanup_(strings_freep) char **names = NULL;
        _cleanup_(entry_index_done) EntryIndex index = {};
        int r = entry_index_make(entries, &index);

        if (r < 0)
                return r;
        roster->config = config;
        for (size_t i = 0; i < config->n_runners; i++) {
                r = add_runner(roster, config->runners[i]->name, config->runners[i], cloned, &index, reterr);
                if (r < 0)
                        return r;
        }
        r = store_list(roster->context->store, &names, reterr);
        for (size_t i = 0; r >= 0 && names[i]; i++)
                if (!find_slot(roster, names[i]))
                        r = add_remembered(roster, names[i], cloned, &index, reterr);
        return r;
}

void roster_start(Roster *roster)
{
        for (size_t i = 0; i < roster->n; i++)
                runner_start(roster->slots[i].runner);
}

void roster_entries(Roster *roster, const EntryList *list)
{
        _cleanup_(entry_index_done) EntryIndex index = {};

        if (entry_index_make(list, &index) < 0) {
                log_error(roster->context->log, NULL, "Out of memory; a change of config.toml is not looked at");
                return;
        }
        for (size_t i = 0; i < roster->n; i++)
                hand_entries(&index, roster->slots[i].runner);
}

void roster_stop(Roster *roster, StopPlan plan, uint64_t deadline_usec)
{
        roster->stopping = true;
        for (size_t i = 0; i < roster->n; i++)
                runner_stop(roster->slots[i].runner, plan, deadline_usec);
}

bool roster_stopped(const Roster *roster)
{
        for (size_t i = 0; i < roster->n; i++)
                if (!runner_stopped(roster->slots[i].runner))
                        return false;
        return true;
}

/* ---- reload ---- */

/* It ends, as PLAN says; what was to take its place is NEXT now. */
static void end(Slot *slot, RunnerConfig *next, StopPlan plan, uint64_t deadline_usec)
{
        slot->again = !next && runner_stopped(slot->runner);
        slot->ending = true;
        slot->plan = plan;
        slot->deadline_usec = deadline_usec;
        (void)runner_config_unref(slot->next);
        slot->next = next ? runner_config_ref(next) : NULL;
        runner_stop(slot->runner, plan, deadline_usec);
}

/* Everything that can fail is made before anything is changed. */
typedef struct Change {
        RunnerConfig *config;
        Secret *template_body;
        ReloadAction action;
        Runner *runner; /* to be added */
} Change;

static void free_changes(Change *changes, size_t n)
{
        for (size_t i = 0; changes && i < n; i++) {
                (void)secret_free(changes[i].template_body);
                (void)runner_free(changes[i].runner);
        }
        free(changes);
}

static const char *slot_url(const Slot *slot)
{
        return slot ? runner_url(slot->runner) : NULL;
}

static bool slot_configured(const Slot *slot)
{
        return slot && runner_config(slot->runner);
}

static int prepare_changes(
        Roster *roster, const Config *config, const EntryIndex *entries, Change *changes, char **reterr)
{
        for (size_t i = 0; i < config->n_runners; i++) {
                RunnerConfig *runner = config->runners[i];
                const Slot *slot = find_slot(roster, runner->name);
                int r = template_file_merge(roster->context->disk, runner, &changes[i].template_body, reterr);

                changes[i].config = runner;
                changes[i].action =
                        reload_decide(slot_url(slot), slot_configured(slot), slot && slot->ending, runner->url);
                if (r >= 0 && changes[i].action == RELOAD_ADD)
                        r = make_runner(
                                roster, config, runner->name, runner, false, entries, &changes[i].runner, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int apply_change(Roster *roster, const Config *config, Change *change, uint64_t deadline_usec)
{
        Slot *slot = find_slot(roster, change->config->name);
        int r = 0;

        switch (change->action) {
        case RELOAD_ADD:
                r = add_slot(roster, change->runner);
                if (r >= 0)
                        runner_start(take_ptr(change->runner));
                return r;
        case RELOAD_REPLACE:
                end(slot, change->config, (StopPlan){}, deadline_usec);
                return 0;
        case RELOAD_CONFIGURE:
                return runner_configure(slot->runner, config, change->config, change->template_body);
        case RELOAD_KEEP:
        case RELOAD_WITHDRAW:
        case _RELOAD_ACTION_MAX:
                break;
        }
        return r;
}

static void end_unconfigured(Roster *roster, const Config *config, StopPlan withdraw, uint64_t deadline_usec)
{
        for (size_t i = 0; i < roster->n; i++) {
                Slot *slot = &roster->slots[i];

                if (config_find_runner(config, runner_name(slot->runner)) ||
                        reload_decide(slot_url(slot), slot_configured(slot), slot->ending, NULL) != RELOAD_WITHDRAW)
                        continue;
                end(slot, NULL, withdraw, deadline_usec);
        }
}

int roster_reload(Roster *roster, const Config *config, StopPlan withdraw, uint64_t deadline_usec, char **reterr)
{
        _cleanup_(entry_list_freep) EntryList *entries = NULL;
        _cleanup_(entry_index_done) EntryIndex index = {};
        Change *changes = calloc(config->n_runners + 1, sizeof(*changes));
        int r = changes ? entries_load(roster->context->entries, &entries, reterr) : -ENOMEM;

        if (r >= 0)
                r = entry_index_make(entries, &index);
        if (r >= 0)
                r = prepare_changes(roster, config, &index, changes, reterr);
        if (r < 0) {
                free_changes(changes, config->n_runners);
                return r;
        }
        roster->config = config;
        end_unconfigured(roster, config, withdraw, deadline_usec);
        for (size_t i = 0; i < config->n_runners; i++) {
                int k = apply_change(roster, config, &changes[i], deadline_usec);

                if (k < 0)
                        log_error(roster->context->log, LOG_FIELDS(.runner = changes[i].config->name),
                                "runner '%s': %s", changes[i].config->name, strerror(-k));
        }
        free_changes(changes, config->n_runners);
        return 0;
}

static int add_follower(Roster *roster, const char *name, RunnerConfig *next)
{
        _cleanup_(entry_list_freep) EntryList *entries = NULL;
        _cleanup_(entry_index_done) EntryIndex index = {};
        _cleanup_free_ char *why = NULL;
        int r = entries_load(roster->context->entries, &entries, &why);

        if (r < 0 && r != -ENOMEM) {
                log_warning(roster->context->log, LOG_FIELDS(.runner = name), "%s", why ? why : strerror(-r));
                free(take_ptr(why));
        }
        r = entry_index_make(entries, &index);
        if (r >= 0)
                r = add_runner(roster, name, next, false, &index, &why);
        if (r < 0)
                log_error(roster->context->log, LOG_FIELDS(.runner = name), "runner '%s': %s", name,
                        why ? why : strerror(-r));
        return r;
}

/* The record of what has ended is on the disk; what it says there decides how it goes on. */
static void follow(Roster *roster, size_t i)
{
        Slot ended = roster->slots[i];
        _cleanup_(runner_config_unrefp) RunnerConfig *next = take_ptr(roster->slots[i].next);
        _cleanup_free_ char *name = strdup(runner_name(ended.runner));
        bool owes = lifecycle_owes(runner_lifecycle(ended.runner));

        remove_slot(roster, i);
        if (!name)
                return;
        if (reload_follow(next != NULL, owes) == RELOAD_FOLLOW_FORGET) {
                (void)store_forget(roster->context->store, name, NULL);
                return;
        }
        if (add_follower(roster, name, next) < 0)
                return;
        runner_start(roster_find(roster, name));
        Slot *slot = find_slot(roster, name);
        if (ended.again && slot)
                end(slot, NULL, ended.plan, ended.deadline_usec);
}

void roster_tidy(Roster *roster)
{
        for (size_t i = roster->n; i > 0; i--) {
                Slot *slot = &roster->slots[i - 1];

                /* What was to take its place begins with the next start. */
                if (slot->ending && runner_stopped(slot->runner)) {
                        if (!roster->stopping)
                                follow(roster, i - 1);
                } else if (!runner_config(slot->runner) && lifecycle_settled(runner_lifecycle(slot->runner))) {
                        (void)store_forget(roster->context->store, runner_name(slot->runner), NULL);
                        remove_slot(roster, i - 1);
                }
        }
}
