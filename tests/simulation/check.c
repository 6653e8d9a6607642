/* What must hold of steps, hosts and the whole. */

#include "tests/simulation/check.h"

#include <string.h>

#include "tests/simulation/check-parts.h"
#include "tests/simulation/must.h"

/* refused_retry and the longest that a server is obeyed, with what is added at random. */
#define WAIT_MAX_USEC (150 * USEC_PER_MINUTE)

/* ---- steps ---- */

static bool has_secret(const char *text)
{
        return text && (strstr(text, "glrt") || strstr(text, "glpat-") || strstr(text, "GR1348941"));
}

static void note_orphan(HostRunner *runner, const char *sentence)
{
        /* Those of a lost rotation are counted with the resets. */
        if (strstr(sentence, "rotation"))
                return;
        /* Given up, with the time to stop. */
        if (runner->window.open)
                check_window_lost(runner);
        if (!runner->window.lost || runner->window.recorded)
                return;
        runner->window.recorded = true;
        runner->host->world->counters.orphans_recorded++;
}

static void check_words(HostRunner *runner)
{
        World *world = runner->host->world;
        Notice notice;
        char *sentence;

        while (lifecycle_take_notice(runner->lifecycle, &notice, &sentence)) {
                if (!runner->host->diskless || world->verbose)
                        world_trace(world, runner->host->index, "%s: notice: %s", runner->name, sentence);
                if (has_secret(sentence))
                        world_break(world, INVARIANT_NO_SECRET, runner->host->index, "says a token");
                if (notice == NOTICE_ORPHAN)
                        note_orphan(runner, sentence);
                free(sentence);
        }
        if (has_secret(lifecycle_reason(runner->lifecycle)))
                world_break(world, INVARIANT_NO_SECRET, runner->host->index, "gives a token as its reason");
        Command command;
        Outcome outcome;
        if (lifecycle_take_outcome(runner->lifecycle, &command, &outcome)) {
                runner->commanded = runner->host->stopping || runner->ending;
                runner->answered = true;
                runner->code = outcome.code;
                if (has_secret(outcome.message))
                        world_break(world, INVARIANT_NO_SECRET, runner->host->index, "answers with a token");
                free(outcome.message);
        }
}

static void check_wait(HostRunner *runner, const Action *action)
{
        World *world = runner->host->world;
        Now now = sim_clock_now(&runner->host->clock);
        RunnerState state = lifecycle_state(runner->lifecycle);
        uint64_t at;
        const char *rule;
        const char *next = lifecycle_next(runner->lifecycle, now, &at, &rule);

        if (action->until_usec == USEC_INFINITY) {
                /* Nobody stays for what is next, or there is nothing that could be done. */
                if (state != RUNNER_STATE_WITHDRAWN && !runner->host->once && runner->setting.configured)
                        world_break(world, INVARIANT_WAITS, runner->host->index, "waits for ever while %s",
                                runner_state_to_string(state));
                return;
        }
        if (!next || !rule)
                world_break(world, INVARIANT_WAITS, runner->host->index, "waits without a rule while %s",
                        runner_state_to_string(state));
        if (usec_sub(action->until_usec, now.boottime_usec) > WAIT_MAX_USEC)
                world_break(world, INVARIANT_WAITS, runner->host->index, "waits too long for %s (%s)",
                        next ? next : "nothing", rule ? rule : "no rule");
}

/* A window that was lost is noted as a debt sooner or later, and by its intent until then. */
static void check_window(HostRunner *runner)
{
        const Record *record = lifecycle_record(runner->lifecycle);
        Window *window = &runner->window;

        if (window->lost && !window->recorded && record->intent.kind != INTENT_CREATE)
                world_break(runner->host->world, INVARIANT_ENROLLED_ONCE, runner->host->index,
                        "does not note that the answer of a create was lost");
}

/* Nothing but GitLab's exact words counts as a proof. */
static void check_counted(HostRunner *runner)
{
        const Record *record = lifecycle_record(runner->lifecycle);

        if (record->token && record->dead_proofs > 0 &&
                record->dead_proofs > check_doubt_of(runner, secret_data(record->token))->ever)
                world_break(runner->host->world, INVARIANT_BLANKET, runner->host->index,
                        "counts as a proof of death what is none");
}

void check_step(HostRunner *runner, const Action *action)
{
        Host *host = runner->host;

        check_words(runner);
        if (action->kind == ACTION_WAIT)
                check_wait(runner, action);
        if (action->kind != ACTION_JOURNAL)
                check_window(runner);
        if (host->diskless)
                return;
        check_counted(runner);
        if (runner->unjournalled[0] && host->disk.mutating_other && !runner->journal_tried && !host->disk.dead)
                world_break(host->world, INVARIANT_TOKEN_KEPT, host->index, "writes something before the answer");
        if (runner->unjournalled[0] && sim_disk_holds(&host->disk, runner->unjournalled, true))
                runner->unjournalled[0] = 0;
}

void check_forgotten(HostRunner *runner)
{
        /* In flight when the agent ended: nobody hears the answer. */
        if (runner->window.open)
                check_window_lost(runner);
        runner->create_lost = false;
        runner->reset_lost[0] = 0;
        (void)memset(runner->told_usec, 0, sizeof(runner->told_usec));
}

/* ---- hosts ---- */

bool host_has_token(const Host *host, const char *token)
{
        if (sim_disk_holds(&host->disk, token, false))
                return true;
        for (size_t i = 0; i < host->n_runners && host->agent; i++) {
                const Record *record =
                        host->runners[i].lifecycle ? lifecycle_record(host->runners[i].lifecycle) : NULL;

                if ((record && record->token && strcmp(secret_data(record->token), token) == 0) ||
                        strcmp(host->runners[i].unjournalled, token) == 0)
                        return true;
        }
        return false;
}

/* Bytes that the power has mixed may hold it anywhere. */
static bool is_an_entrys(const Host *host, const char *token)
{
        _cleanup_(entry_list_freep) EntryList *list = NULL;
        size_t size;
        const char *text = sim_disk_peek(&host->disk, CONFIG_FOLDER, CONFIG_TOML_NAME, &size);

        if (!text || entry_list_read(text, size, &list, NULL) < 0)
                return false;
        for (size_t i = 0; i < list->n_entries; i++)
                if (list->entries[i].token && strcmp(secret_data(list->entries[i].token), token) == 0)
                        return true;
        return false;
}

static void check_row(Host *host, SimRunner *row)
{
        World *world = host->world;

        if (row->touched || row->lost_reset || row->abandoned || !gitlab_takes(world, row))
                return;
        if (row->answered && !row->known && sim_disk_holds(&host->disk, row->token, true))
                row->known = !row->by_neighbour || is_an_entrys(host, row->token);
        /* What gitlab-runner wrote and the power took was never ours. */
        if (row->in_flight || (row->by_neighbour && (!row->known || host->rewriting)))
                return;
        if (row->answered) {
                if (host_has_token(host, row->token))
                        return;
                if (row->known) {
                        world->counters.tokens_lost++;
                        world_break(world, INVARIANT_TOKEN_KEPT, host->index,
                                "the token of runner %lld stands in no file any more", (long long)row->id);
                        return;
                }
                world->counters.ghosts++;
                world_break(world, INVARIANT_ENROLLED_ONCE, host->index, "knows nothing of its runner %lld",
                        (long long)row->id);
                return;
        }
        if (row->marker[0] && !sim_disk_holds(&host->disk, row->marker, false)) {
                world->counters.ghosts++;
                world_break(world, INVARIANT_ENROLLED_ONCE, host->index,
                        "has noted nothing of runner %lld, whose answer was lost", (long long)row->id);
        }
}

/* As agent/core/lifecycle-record.c: the oldest beyond them are dropped. */
#define ORPHANS_MAX 16

/* Without a marker a lost runner can only be counted. */
static void check_orphans(Host *host, const HostRunner *runner)
{
        World *world = host->world;
        const Record *record = lifecycle_record(runner->lifecycle);
        size_t lost = 0, noted = record->intent.kind == INTENT_CREATE;

        for (size_t i = 0; i < world->gitlab->n; i++) {
                const SimRunner *row = &world->gitlab->runners[i];

                lost += row->exists && row->host == host->index && row->runner == runner->index && !row->answered &&
                        !row->touched;
        }
        for (size_t i = 0; i < record->n_debts; i++)
                noted += record->debts[i].kind == DEBT_ORPHAN;
        if (noted >= lost || noted >= ORPHANS_MAX)
                return;
        world->counters.ghosts += lost - noted;
        world_break(world, INVARIANT_ENROLLED_ONCE, host->index,
                "%zu runners were made whose answers were lost, and %zu are noted", lost, noted);
}

void check_host(Host *host)
{
        if (host->diskless || host->disk.dead ||
                (host->checked_changes == host->disk.changes && host->checked_syncs == host->disk.syncs))
                return;
        host->checked_changes = host->disk.changes;
        host->checked_syncs = host->disk.syncs;
        for (size_t i = 0; i < host->world->gitlab->n; i++) {
                SimRunner *row = &host->world->gitlab->runners[i];

                if (row->exists && row->host == host->index)
                        check_row(host, row);
        }
        for (size_t i = 0; i < host->n_runners && host->agent; i++)
                if (host->runners[i].lifecycle)
                        check_orphans(host, &host->runners[i]);
}

/* A runner's entries in config.toml, under the GitLab of number URL or (-1) any; a file that can't be read counts as
 * none. */
static size_t count_entries(const Host *host, const char *name, int url, char token[static TOKEN_MAX])
{
        _cleanup_(entry_list_freep) EntryList *list = NULL;
        size_t size, n = 0;
        const char *text = sim_disk_peek(&host->disk, CONFIG_FOLDER, CONFIG_TOML_NAME, &size);

        token[0] = 0;
        if (!text || entry_list_read(text, size, &list, NULL) < 0)
                return 0;
        for (size_t i = 0; i < list->n_entries; i++)
                if (list->entries[i].name && strcmp(list->entries[i].name, name) == 0 && list->entries[i].url &&
                        gitlab_is_at(list->entries[i].url, url)) {
                        n++;
                        (void)snprintf(token, TOKEN_MAX, "%s",
                                list->entries[i].token ? secret_data(list->entries[i].token) : "");
                }
        return n;
}

/* Whether TOKEN is this host's: what a clone finds of its sibling's is not. */
static bool is_of(const Host *host, const char *token)
{
        const SimRunner *row = gitlab_find(host->world->gitlab, token);

        return gitlab_takes(host->world, row) && (row->shared || row->host == host->index);
}

void check_stopped(Host *host, bool withdrawn)
{
        World *world = host->world;
        char token[TOKEN_MAX];

        if (!withdrawn || host->diskless || world->failed)
                return;
        if (!host->healthy_since_stop || host->disk.full || host->disk.read_only || host->disk.sync_fails)
                return;
        for (size_t i = 0; i < host->n_runners; i++)
                if (count_entries(host, host->runners[i].name, -1, token) > 0 && host->runners[i].stop_token[0] &&
                        is_of(host, token))
                        world_break(world, INVARIANT_NOTHING_LEFT, host->index,
                                "config.toml has an entry after the withdrawal");
        for (size_t i = 0; i < world->gitlab->n; i++)
                for (size_t k = 0; k < host->n_runners; k++)
                        if (check_is_living(world, &world->gitlab->runners[i], host, (int)k))
                                world_break(world, INVARIANT_NOTHING_LEFT, host->index,
                                        "runner %lld is left, and GitLab was well", (long long)i + 1);
        world_later(world, 20 * USEC_PER_SEC,
                (SimEvent){.kind = SIM_CHECK, .host = host->index, .generation = ++host->stops});
}

/* Under its own id: what a cloned disk's gitlab-runner made under its sibling's, before our agent ran there, is the
 * sibling's, and not for this host to delete. */
static size_t count_managers(const World *world, const Host *host, const SimRunner *row)
{
        size_t n = 0;

        for (size_t i = 0; world->gitlab->version >= 16 && i < row->n_managers; i++)
                n += row->managers[i].host == host->index && strcmp(row->managers[i].system_id, host->system_id) == 0;
        return n;
}

void check_withdrawn(Host *host)
{
        World *world = host->world;

        if (host->agent || !host->healthy_since_stop)
                return;
        if (neighbour_may_miss_changes(host))
                return;
        /* Whose token people have changed meanwhile can't be asked to delete anything. */
        for (size_t i = 0; i < host->n_runners; i++) {
                const SimRunner *row = gitlab_find(world->gitlab, host->runners[i].stop_token);

                if (!row || !row->shared || count_managers(world, host, row) == 0)
                        continue;
                world->counters.ghosts++;
                world_break(world, INVARIANT_NOTHING_LEFT, host->index, "its manager is left, and GitLab was well");
        }
}

/* ---- on the way out ---- */

void check_job_cut(Host *host)
{
        if (host->world->now_usec + 2 * USEC_PER_SEC < host->may_cut_usec)
                world_break(host->world, INVARIANT_WAITS, host->index, "aborts a job %llu s too early",
                        (unsigned long long)((host->may_cut_usec - host->world->now_usec) / USEC_PER_SEC));
}

void check_taken(Host *host)
{
        /* One that starts when the time is all but over has no time for anything. */
        if (!host->agent || host->once || !host->leaving.begun ||
                host->world->now_usec < host->heeded_usec + 20 * USEC_PER_SEC)
                return;
        if (!host->leaving.withdrawing)
                world_break(host->world, INVARIANT_WAITS, host->index,
                        "the cloud takes it, and it has not begun to withdraw");
        else if (host->healthy_since_stop)
                world_break(host->world, INVARIANT_NOTHING_LEFT, host->index,
                        "the cloud takes it in the middle of its withdrawal, and GitLab was well");
}

/* What a command without an agent says is true when it says it. */
static void check_pass_runner(Host *host, const HostRunner *runner)
{
        World *world = host->world;
        char token[TOKEN_MAX];
        size_t entries = count_entries(host, runner->name, (int)runner->setting.url, token);
        const SimRunner *row = gitlab_find(world->gitlab, token);

        switch (host->pass_command) {
        case COMMAND_REGISTER:
        case COMMAND_VERIFY:
        case COMMAND_ROTATE:
                if (entries == 0 && host->pass_command == COMMAND_REGISTER)
                        world_break(world, INVARIANT_ENROLLED_ONCE, host->index,
                                "`register` says that %s is enrolled, and there is no entry", runner->name);
                else if (entries > 0 && !gitlab_takes(world, row) && host->pass_command != COMMAND_VERIFY)
                        world_break(world, INVARIANT_ENROLLED_ONCE, host->index,
                                "a command says that all is well with %s, and its token is not accepted",
                                runner->name);
                break;
        case COMMAND_DEREGISTER:
                if (entries > 0 && is_of(host, token))
                        world_break(world, INVARIANT_NOTHING_LEFT, host->index,
                                "`deregister` says that %s is withdrawn, and its entry is left", runner->name);
                for (size_t i = 0; i < world->gitlab->n; i++)
                        if (world->gitlab->runners[i].url == runner->setting.url &&
                                check_is_living(world, &world->gitlab->runners[i], host, runner->index))
                                world_break(world, INVARIANT_NOTHING_LEFT, host->index,
                                        "`deregister` says that %s is withdrawn, and runner %lld is left",
                                        runner->name, (long long)i + 1);
                break;
        case COMMAND_NONE:
        case _COMMAND_MAX:
                break;
        }
}

void check_pass(Host *host)
{
        /* gitlab-runner has cut the file, or rotated, a moment ago. */
        if (host->rewriting || host->look_armed)
                return;
        for (size_t i = 0; i < host->n_runners; i++)
                if (host->runners[i].ordered) {
                        world_trace(host->world, host->index, "the command ends with %d for %s",
                                host->runners[i].code, host->runners[i].name);
                        if (host->runners[i].code == 0)
                                check_pass_runner(host, &host->runners[i]);
                }
}

/* ---- the whole ---- */

static void check_quiet_shared(Host *host, const char *token)
{
        World *world = host->world;
        SimRunner *row = gitlab_find(world->gitlab, token);

        if (!row || row->id != host->shared_id || !gitlab_takes(world, row))
                world_break(
                        world, INVARIANT_ENROLLED_ONCE, host->index, "all is well, and its token is not accepted");
        else if (world->gitlab->version >= 16 && count_managers(world, host, row) != 1)
                world_break(world, INVARIANT_ENROLLED_ONCE, host->index, "all is well, and it has %zu managers",
                        count_managers(world, host, row));
}

static void check_quiet_runner(Host *host, const HostRunner *runner)
{
        World *world = host->world;
        char token[TOKEN_MAX];
        size_t entries = count_entries(host, runner->name, (int)runner->file.url, token), living = 0;

        if (entries != 1) {
                world_break(world, INVARIANT_ENROLLED_ONCE, host->index,
                        "all is well, and config.toml has %zu entries of %s (%s: %s)", entries, runner->name,
                        runner->lifecycle ? runner_state_to_string(lifecycle_state(runner->lifecycle)) : "unknown",
                        runner->lifecycle && lifecycle_reason(runner->lifecycle) ? lifecycle_reason(runner->lifecycle)
                                                                                 : "no reason");
                return;
        }
        if (host->flow == FLOW_AUTHENTICATION_TOKEN) {
                check_quiet_shared(host, token);
                return;
        }
        const SimRunner *row = gitlab_find(world->gitlab, token);
        /* Whose token nobody rotates is without one for a while when it has expired. */
        if (row && !gitlab_takes(world, row) && runner->file.rotation != ROTATION_AUTO)
                return;
        if (!gitlab_takes(world, row)) {
                /* In this very moment GitLab gives it another one. */
                if (runner->lifecycle && lifecycle_state(runner->lifecycle) == RUNNER_STATE_ROTATING &&
                        world->now_usec <
                                runner->ended_usec[(runner->generation - 1) % GENERATIONS_KEPT] + USEC_PER_MINUTE)
                        return;
                world_break(world, INVARIANT_ENROLLED_ONCE, host->index,
                        "all is well, and the token in config.toml is not accepted");
        } else if (row->host != host->index)
                world_break(world, INVARIANT_ENROLLED_ONCE, host->index, "uses runner %lld of host %d",
                        (long long)row->id, row->host);
        for (size_t i = 0; i < world->gitlab->n; i++)
                living += check_is_living(world, &world->gitlab->runners[i], host, runner->index);
        if (living > 1)
                world_break(
                        world, INVARIANT_ENROLLED_ONCE, host->index, "all is well, and it has %zu runners", living);
}

/* Is configured no more: what the agent has forgotten has left nothing, and what it withdrew has no entry. */
static void check_quiet_unconfigured(Host *host, const HostRunner *runner)
{
        World *world = host->world;
        char token[TOKEN_MAX];
        size_t entries = count_entries(host, runner->name, -1, token);
        const SimRunner *row = gitlab_find(world->gitlab, token);

        if (runner->lifecycle && lifecycle_record(runner->lifecycle)->token)
                return;
        if (entries > 0 && row && check_is_living(world, row, host, runner->index))
                world_break(world, INVARIANT_NOTHING_LEFT, host->index,
                        "%s is not configured any more, and its entry is left", runner->name);
        if (entries > 0 && row && row->shared && row->id == host->shared_id && gitlab_takes(world, row))
                world_break(world, INVARIANT_NOTHING_LEFT, host->index,
                        "%s has another name now, and its entry is left", runner->name);
        for (size_t i = 0; i < world->gitlab->n && !runner->lifecycle; i++)
                if (check_is_living(world, &world->gitlab->runners[i], host, runner->index))
                        world_break(world, INVARIANT_NOTHING_LEFT, host->index,
                                "%s is not configured any more, and runner %lld is left", runner->name,
                                (long long)i + 1);
}

/* The shared runner whose token the source held before: nothing of this host may be there. */
static void check_quiet_left(Host *host)
{
        World *world = host->world;
        const SimRunner *row = gitlab_find(world->gitlab, host->left_token);

        if (!row || row->id != host->left_id || row->id == host->shared_id)
                return;
        /* A name that was taken away while no agent looked is only reported, and lives on. */
        for (size_t i = 0; i < host->n_runners; i++) {
                const Lifecycle *lifecycle = host->runners[i].lifecycle;
                const Secret *token = lifecycle ? lifecycle_record(lifecycle)->token : NULL;

                if (!host->runners[i].file.configured && token && strcmp(secret_data(token), row->token) == 0)
                        return;
        }
        if (count_managers(world, host, row) > 0)
                world_break(world, INVARIANT_NOTHING_LEFT, host->index,
                        "all is well, and its manager of runner %lld, whose token it has no more, is left",
                        (long long)row->id);
}

void check_quiet(World *world)
{
        for (size_t i = 0; i < world->n_hosts; i++) {
                Host *host = world->hosts[i];

                if (host->gone || host->diskless)
                        continue;
                if (!host->agent) {
                        world_break(world, INVARIANT_ENROLLED_ONCE, host->index, "all is well, and no agent runs");
                        continue;
                }
                for (size_t k = 0; k < host->n_runners; k++)
                        if (host->runners[k].file.configured)
                                check_quiet_runner(host, &host->runners[k]);
                        else
                                check_quiet_unconfigured(host, &host->runners[k]);
                check_quiet_left(host);
        }
}

/* What the last start would have noted. */
static void check_open_windows(Host *host, HostRunner *runner)
{
        _cleanup_(record_freep) Record *record = NULL;
        char name[40];
        size_t size;

        (void)snprintf(name, sizeof(name), "%s.json", runner->name);
        const char *text = sim_disk_peek(&host->disk, STATE_FOLDER, name, &size);
        if (!runner->window.lost || runner->window.recorded)
                return;
        if (text && record_decode(text, size, &record, NULL) >= 0 && record->intent.kind == INTENT_CREATE)
                host->world->counters.orphans_recorded++;
        else
                world_break(host->world, INVARIANT_ENROLLED_ONCE, host->index,
                        "ends without a note of a create whose answer was lost");
}

void check_end(World *world)
{
        for (size_t i = 0; i < world->n_hosts && !world->failed; i++)
                for (size_t k = 0; k < world->hosts[i]->n_runners && !world->hosts[i]->diskless; k++)
                        check_open_windows(world->hosts[i], &world->hosts[i]->runners[k]);
        for (size_t i = 0; i < world->gitlab->n; i++) {
                const SimRunner *row = &world->gitlab->runners[i];

                if (row->exists && !row->shared && row->host >= 0 && !row->touched && !gitlab_takes(world, row))
                        world->counters.expired_left++;
        }
}
