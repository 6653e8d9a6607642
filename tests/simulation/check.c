#include "tests/simulation/check.h"

#include <string.h>

#include "tests/simulation/herd.h"
#include "tests/simulation/must.h"

/* More than that in a minute from one runner is a storm. */
#define REQUESTS_PER_MINUTE_MAX 40

/* refused_retry and the longest that a server is obeyed, with what is added at random. */
#define WAIT_MAX_USEC (150 * USEC_PER_MINUTE)

static bool is_create(Call call)
{
        return call == CALL_REGISTER || call == CALL_CREATE;
}

static bool is_reset(Call call)
{
        return call == CALL_RESET || call == CALL_RESET_BY_ID;
}

/* What gitlab-runner got from a rotation and then lost is alive only in GitLab. */
static bool is_lost_by_neighbour(const SimRunner *row, const Host *host)
{
        return row->by_neighbour && !host_has_token(host, row->token);
}

/* Whether a row is a living runner of HOST's runner INDEX that the host got to know and nobody took from it. */
static bool is_living(const World *world, const SimRunner *row, const Host *host, int index)
{
        return row->exists && row->host == host->index && row->runner == index && row->answered && !row->touched &&
               !row->lost_reset && !row->in_flight && gitlab_takes(world, row) && !is_lost_by_neighbour(row, host);
}

/* ---- at GitLab ---- */

void check_request(World *world, const SimRequest *request)
{
        (void)request;
        if (!world->per_second || world->now_usec < world->herd_begin_usec)
                return;
        size_t second = (size_t)((world->now_usec - world->herd_begin_usec) / USEC_PER_SEC);
        if (second < world->n_seconds)
                world->per_second[second]++;
}

void check_created(World *world, const SimRequest *request)
{
        const Host *host = world->hosts[request->host];

        /* One that was long on its way, and given up, is a window of the protocol, and noted as such. */
        if (!host->agent || host->runners[request->runner].generation != request->generation)
                return;
        for (size_t i = 0; !host->diskless && i + 1 < world->gitlab->n; i++)
                if (is_living(world, &world->gitlab->runners[i], host, request->runner))
                        world_break(world, INVARIANT_BLANKET, host->index,
                                "makes a new runner while runner %lld lives", (long long)i + 1);
}

void check_reset(World *world, const SimRequest *request, const SimRunner *runner)
{
        if (runner->shared)
                world_break(world, INVARIANT_ONLY_OURS, request->host, "rotates runner %lld, which others share",
                        (long long)runner->id);
        else if (runner->host != request->host)
                world_break(world, INVARIANT_ONLY_OURS, request->host, "rotates runner %lld of host %d",
                        (long long)runner->id, runner->host);
}

void check_deleted(World *world, const SimRequest *request, const SimRunner *runner, const SimManager *manager)
{
        if (manager) {
                if (manager->host != request->host)
                        world_break(world, INVARIANT_ONLY_OURS, request->host, "deletes the manager %s of host %d",
                                manager->system_id, manager->host);
                return;
        }
        if (runner->shared)
                world_break(world, INVARIANT_ONLY_OURS, request->host, "deletes runner %lld, which others share",
                        (long long)runner->id);
        else if (runner->host != request->host)
                world_break(world, INVARIANT_ONLY_OURS, request->host, "deletes runner %lld of host %d",
                        (long long)runner->id, runner->host);
        else if (runner->answered && !runner->withdrawal_wanted && !runner->touched)
                world_break(world, INVARIANT_BLANKET, request->host,
                        "deletes its runner %lld, which nobody asked for", (long long)runner->id);
}

/* ---- requests ---- */

/* What is known of a token's death: GitLab's exact words, three times, over ten minutes. */
#define PROOFS     3
#define PROOF_USEC (10 * USEC_PER_MINUTE)

static Doubt *doubt_of(HostRunner *runner, const char *token)
{
        for (size_t i = 0; i < ELEMENTS(runner->doubts); i++)
                if (strcmp(runner->doubts[i].token, token) == 0)
                        return &runner->doubts[i];
        Doubt *doubt = &runner->doubts[runner->n_doubts++ % DOUBTS_MAX];
        *doubt = (Doubt){0};
        (void)snprintf(doubt->token, sizeof(doubt->token), "%s", token);
        return doubt;
}

static void note_forbidden(HostRunner *runner, const SimRequest *request)
{
        const Reply *reply = &request->reply;
        bool forbidden = reply->transport == TRANSPORT_OK && reply->status == 403 && reply->body &&
                         strcmp(secret_data(reply->body), "{\"message\":\"403 Forbidden\"}") == 0;

        if (request->call != CALL_VERIFY || reply->transport != TRANSPORT_OK)
                return;
        Doubt *doubt = doubt_of(runner, request->token);
        doubt->ever += forbidden;
        if (forbidden && doubt->forbidden++ == 0)
                doubt->since_usec = runner->host->world->now_usec;
        else if (!forbidden && reply->status == 200 && strcmp(reply->content_type, "text/html") != 0)
                doubt->forbidden = 0;
}

/* Before what was enrolled is replaced. */
static void check_proofs(HostRunner *runner, const SimRequest *request)
{
        Host *host = runner->host;
        const Record *record = lifecycle_record(runner->lifecycle);

        if (!record->token || (!is_create(request->call) && request->call != CALL_RESET_BY_ID))
                return;
        /* A clock or a disk that failed may have brought older proofs back. */
        if (host->world->now_usec < host->jumped_usec + USEC_PER_DAY && host->jumped_usec > 0)
                return;
        const Doubt *doubt = doubt_of(runner, secret_data(record->token));
        if (doubt->forbidden < PROOFS || host->world->now_usec < doubt->since_usec + PROOF_USEC)
                world_break(host->world, INVARIANT_BLANKET, host->index, "gives its runner up after %u proofs",
                        doubt->forbidden);
}

static void check_create_sent(HostRunner *runner, SimRequest *request)
{
        Host *host = runner->host;
        World *world = host->world;

        if (runner->create_lost)
                world_break(world, INVARIANT_ENROLLED_ONCE, host->index,
                        "sends a create again blindly, its answer having been lost");
        if (runner->window.lost && !runner->window.recorded)
                world_break(world, INVARIANT_ENROLLED_ONCE, host->index,
                        "begins a new create, the lost one not being noted");
        runner->window = (Window){.open = true};
        runner->create_lost = true;
}

static bool is_change(Call call)
{
        return is_create(call) || call == CALL_DELETE_RUNNER || call == CALL_DELETE_MANAGER ||
               call == CALL_DELETE_BY_ID;
}

void check_sent(HostRunner *runner, SimRequest *request)
{
        World *world = runner->host->world;
        uint64_t minute = world->now_usec / USEC_PER_MINUTE;

        if (world->blanket && is_change(request->call))
                world_break(world, INVARIANT_BLANKET, runner->host->index, "sends %s although its runner lives",
                        call_to_string(request->call));

        if (runner->minute != minute) {
                runner->minute = minute;
                runner->in_minute = 0;
        }
        if (request->call != CALL_SHOW && ++runner->in_minute > REQUESTS_PER_MINUTE_MAX)
                world_break(world, INVARIANT_WAITS, runner->host->index, "storms GitLab with %s",
                        call_to_string(request->call));
        if (runner->told_usec[request->call] > world->now_usec && !runner->commanded &&
                strcmp(runner->told_token[request->call], request->token) == 0)
                world_break(world, INVARIANT_WAITS, runner->host->index, "sends %s earlier than it was told to",
                        call_to_string(request->call));
        if (request->call == CALL_PROBE)
                runner->create_lost = false;
        if (request->call == CALL_VERIFY && strcmp(runner->reset_lost, request->token) == 0)
                runner->reset_lost[0] = 0;
        if (!runner->host->diskless)
                check_proofs(runner, request);
        if (is_create(request->call))
                check_create_sent(runner, request);
        if (request->call == CALL_RESET && runner->reset_lost[0] && strcmp(runner->reset_lost, request->token) == 0)
                world_break(world, INVARIANT_TOKEN_KEPT, runner->host->index,
                        "sends a reset again blindly, its answer having been lost");
}

static void window_lost(HostRunner *runner)
{
        runner->window.open = false;
        runner->window.lost = true;
        runner->host->world->counters.lost_answers++;
}

static SimRunner *row_of(const World *world, const SimRequest *request)
{
        return request->acted_on ? gitlab_find_id(world->gitlab, request->acted_on) : NULL;
}

void check_reset_unclear(HostRunner *runner, const SimRequest *request)
{
        if (request->call == CALL_RESET)
                (void)memcpy(runner->reset_lost, request->token, sizeof(runner->reset_lost));
}

/* Nobody will ever get to know the token that GitLab made. */
void check_answer_lost(World *world, const SimRequest *request)
{
        SimRunner *row = row_of(world, request);

        if (is_reset(request->call)) {
                if (row && request->acted) {
                        row->in_flight = false;
                        row->lost_reset = true;
                        world->counters.lost_resets++;
                }
        }
}

static void note_told(HostRunner *runner, const SimRequest *request)
{
        World *world = runner->host->world;
        const Reply *reply = &request->reply;

        if (reply->transport != TRANSPORT_OK || reply->status != 429 || !reply->retry_after)
                return;
        /* In whole seconds, and counted from when GitLab said so. */
        runner->told_usec[request->call] = world->now_usec + strtoull(reply->retry_after, NULL, 10) * USEC_PER_SEC -
                                           request->answer_usec - USEC_PER_SEC;
        (void)memcpy(runner->told_token[request->call], request->token, sizeof(request->token));
}

void check_answer(HostRunner *runner, const SimRequest *request, bool maybe_acted)
{
        World *world = runner->host->world;
        SimRunner *row = row_of(world, request);
        bool told = request->answer_token[0] != 0;

        if (request->reply.status == 201 || (request->call == CALL_VERIFY && request->reply.status == 200))
                herd_note(world, runner->host->index);
        note_forbidden(runner, request);
        if (!runner->host->diskless)
                note_told(runner, request);
        if (is_create(request->call) && !maybe_acted) {
                runner->create_lost = false;
                runner->window.open = false;
        }
        if (is_create(request->call) && maybe_acted)
                window_lost(runner);
        if (is_reset(request->call) && maybe_acted) {
                check_reset_unclear(runner, request);
                check_answer_lost(world, request);
        }
        if (told && (is_create(request->call) || is_reset(request->call))) {
                if (row) {
                        row->answered = true;
                        row->in_flight = false;
                }
                (void)memcpy(runner->unjournalled, request->answer_token, sizeof(runner->unjournalled));
                runner->journal_tried = false;
                runner->host->disk.mutating_other = false;
        }
}

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
                window_lost(runner);
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
                        world_trace(world, runner->host->index, "notice: %s", sentence);
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
                runner->commanded = runner->host->stopping;
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
                if (state != RUNNER_STATE_WITHDRAWN)
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
                record->dead_proofs > doubt_of(runner, secret_data(record->token))->ever)
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
        if (runner->unjournalled[0] && sim_disk_holds(&host->disk, runner->unjournalled, true))
                runner->unjournalled[0] = 0;
        if (runner->unjournalled[0] && host->disk.mutating_other && !runner->journal_tried && !host->disk.dead)
                world_break(host->world, INVARIANT_TOKEN_KEPT, host->index, "writes something before the answer");
}

void check_forgotten(HostRunner *runner)
{
        /* In flight when the agent ended: nobody hears the answer. */
        if (runner->window.open)
                window_lost(runner);
        runner->create_lost = false;
        runner->reset_lost[0] = 0;
        (void)memset(runner->told_usec, 0, sizeof(runner->told_usec));
}

/* ---- files ---- */

static const char *past_blanks(const char *p, const char *end)
{
        while (p < end && *p == ' ')
                p++;
        return p;
}

/* The lines of config.toml that are none of ours, blank ones apart. Caller frees. */
static char *mask(const Host *host)
{
        size_t size, used = 0;
        const char *text = sim_disk_peek(&host->disk, CONFIG_FOLDER, CONFIG_TOML_NAME, &size);
        char *masked = must(calloc(1, size + 1));
        const char *p = text, *end = text ? text + size : NULL;

        while (p && p < end) {
                const char *stop = p + 1, *line_end;

                /* A block is a header with all that is indented below it, or one line of anything. */
                bool header = *past_blanks(p, end) == '[';
                line_end = memchr(p, '\n', (size_t)(end - p));
                stop = line_end ? line_end + 1 : end;
                while (header && stop < end && (*stop == ' ' || *stop == '\n') && *past_blanks(stop, end) != '[') {
                        line_end = memchr(stop, '\n', (size_t)(end - stop));
                        stop = line_end ? line_end + 1 : end;
                }
                bool ours = header && memmem(p, (size_t)(stop - p), "\"sim-", 5);
                for (const char *c = p; !ours && c < stop; c++)
                        if (*c != '\n' && *c != ' ')
                                masked[used++] = *c;
                p = stop;
        }
        return masked;
}

void check_edit_by_others(Host *host)
{
        free(host->masked);
        host->masked = mask(host);
}

void check_edit(Host *host)
{
        char *now = mask(host);

        /* A file that was not there, or empty, is begun as gitlab-runner's installation begins it. */
        if (host->masked && host->masked[0] && strcmp(host->masked, now) != 0)
                world_break(host->world, INVARIANT_FILE_WHOLE, host->index, "changes foreign bytes of config.toml");
        free(host->masked);
        host->masked = now;
}

/* An answer that had come, and was in no file yet, is a lost one. */
static void check_unjournalled(Host *host)
{
        for (size_t i = 0; i < host->n_runners; i++) {
                HostRunner *runner = &host->runners[i];
                SimRunner *row =
                        runner->unjournalled[0] ? gitlab_find(host->world->gitlab, runner->unjournalled) : NULL;

                if (row && !sim_disk_holds(&host->disk, runner->unjournalled, false)) {
                        if (row->old_token[0]) {
                                row->lost_reset = true;
                                host->world->counters.lost_resets++;
                        } else {
                                row->answered = false;
                                window_lost(runner);
                        }
                }
                runner->unjournalled[0] = 0;
        }
}

void check_after_crash(Host *host)
{
        check_unjournalled(host);
}

void check_after_cut(Host *host)
{
        check_unjournalled(host);
        if (!host->disk.mounted && !sim_disk_config_is_foreign(&host->disk) && !sim_disk_config_is_whole(&host->disk))
                world_break(host->world, INVARIANT_FILE_WHOLE, host->index, "config.toml is torn after a power cut");
        /* What others tore in place is not ours to answer for; what we did must be mended by the next start. */
        if (!host->disk.mounted || sim_disk_config_is_foreign(&host->disk))
                sim_disk_history_restart(&host->disk);
        host->disk.foreign_dirty = false;
        check_edit_by_others(host);
}

void check_file_after_start(Host *host)
{
        if (host->disk.mounted && !host->disk.dead && !sim_disk_config_is_whole(&host->disk))
                world_break(host->world, INVARIANT_FILE_WHOLE, host->index, "config.toml is torn after a start");
        check_edit_by_others(host);
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

static void check_row(Host *host, SimRunner *row)
{
        World *world = host->world;

        if (row->answered && !row->known && sim_disk_holds(&host->disk, row->token, true))
                row->known = true;
        /* What gitlab-runner wrote and the power took was never ours. */
        if (row->by_neighbour && (!row->known || host->rewriting))
                return;
        if (row->touched || row->lost_reset || row->in_flight || row->abandoned || !gitlab_takes(world, row))
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
                check_orphans(host, &host->runners[i]);
}

/* Our entries in config.toml; a file that can't be read counts as none. */
static size_t count_entries(const Host *host, const char *name, char token[static TOKEN_MAX])
{
        _cleanup_(entry_list_freep) EntryList *list = NULL;
        size_t size, n = 0;
        const char *text = sim_disk_peek(&host->disk, CONFIG_FOLDER, CONFIG_TOML_NAME, &size);

        token[0] = 0;
        if (!text || entry_list_read(text, size, &list, NULL) < 0)
                return 0;
        for (size_t i = 0; i < list->n_entries; i++)
                if (list->entries[i].name && strcmp(list->entries[i].name, name) == 0 && list->entries[i].url &&
                        strcmp(list->entries[i].url, host->runners[0].plan.target.url) == 0) {
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
                if (count_entries(host, host->runners[i].name, token) > 0 && host->runners[i].stop_token[0] &&
                        is_of(host, token))
                        world_break(world, INVARIANT_NOTHING_LEFT, host->index,
                                "config.toml has an entry after the withdrawal");
        for (size_t i = 0; i < world->gitlab->n; i++)
                for (size_t k = 0; k < host->n_runners; k++)
                        if (is_living(world, &world->gitlab->runners[i], host, (int)k))
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
        /* With a clock that was set back gitlab-runner may take the newer file for the older one, and poll on. */
        if (host->jumped_usec > 0 && world->now_usec < host->jumped_usec + USEC_PER_DAY)
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
        size_t entries = count_entries(host, runner->name, token), living = 0;

        if (entries != 1) {
                world_break(world, INVARIANT_ENROLLED_ONCE, host->index,
                        "all is well, and config.toml has %zu entries of %s (%s: %s)", entries, runner->name,
                        runner_state_to_string(lifecycle_state(runner->lifecycle)),
                        lifecycle_reason(runner->lifecycle) ? lifecycle_reason(runner->lifecycle) : "no reason");
                return;
        }
        if (host->flow == FLOW_AUTHENTICATION_TOKEN) {
                check_quiet_shared(host, token);
                return;
        }
        const SimRunner *row = gitlab_find(world->gitlab, token);
        if (!gitlab_takes(world, row)) {
                world_break(world, INVARIANT_ENROLLED_ONCE, host->index,
                        "all is well, and the token in config.toml is not accepted");
        } else if (row->host != host->index)
                world_break(world, INVARIANT_ENROLLED_ONCE, host->index, "uses runner %lld of host %d",
                        (long long)row->id, row->host);
        for (size_t i = 0; i < world->gitlab->n; i++)
                living += is_living(world, &world->gitlab->runners[i], host, runner->index);
        if (living > 1)
                world_break(
                        world, INVARIANT_ENROLLED_ONCE, host->index, "all is well, and it has %zu runners", living);
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
                        check_quiet_runner(host, &host->runners[k]);
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
