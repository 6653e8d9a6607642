/* gitlab-runner beside the agent: it polls its file, asks for jobs, rotates where it finds real times, and rewrites
 * the file in place with all comments lost. */

#include <stdarg.h>
#include <string.h>

#include "tests/simulation/check.h"
#include "tests/simulation/must.h"

#define POLL_USEC (3 * USEC_PER_SEC)

/* Under a clock that is far ahead each token is old at once, and it rotates once a second. After so many there is
 * nothing new in it, only more of it. */
#define ROTATIONS_IN_ROW 50

/* How often it goes on polling after something has changed: afterwards nothing new comes of it. */
#define POLLS_AFTER_CHANGE 3

static EntryList *read_entries(const Host *host)
{
        size_t size;
        const char *text = sim_disk_peek(&host->disk, CONFIG_FOLDER, CONFIG_TOML_NAME, &size);
        EntryList *list;

        return text && entry_list_read(text, size, &list, NULL) >= 0 ? list : NULL;
}

static uint64_t entry_time(const struct timespec *t)
{
        return t->tv_sec <= 0 ? 0 : (uint64_t)t->tv_sec * USEC_PER_SEC;
}

/* Its rotation task: the earliest of three quarters of each token's life. */
static void arm_rotation(Host *host, const EntryList *list)
{
        uint64_t best = USEC_INFINITY, now = sim_clock_now(&host->clock).realtime_usec;

        host->neighbour.rotate_generation++;
        for (size_t i = 0; i < list->n_entries; i++) {
                uint64_t obtained = entry_time(&list->entries[i].obtained_at);
                uint64_t expires = entry_time(&list->entries[i].expires_at);

                if (expires == 0)
                        continue;
                uint64_t at = obtained + (expires > obtained ? (expires - obtained) / 4 * 3 : 0);
                if (at < best)
                        best = at;
        }
        if (best == USEC_INFINITY || !world_has(host->world, FAULT_NEIGHBOUR))
                return;
        uint64_t span = usec_sub(best, now) + USEC_PER_SEC;
        if (best > now)
                host->neighbour.rotations_in_row = 0;
        else if (++host->neighbour.rotations_in_row > ROTATIONS_IN_ROW)
                span = 5 * USEC_PER_MINUTE;
        world_later(host->world, span,
                (SimEvent){.kind = SIM_ROTATE, .host = host->index, .generation = host->neighbour.rotate_generation});
}

void neighbour_load(Host *host)
{
        GitLabRunner *neighbour = &host->neighbour;

        if (!neighbour->runs)
                return;
        neighbour->mtime_nsec = sim_disk_mtime(&host->disk, CONFIG_FOLDER, CONFIG_TOML_NAME);
        _cleanup_(entry_list_freep) EntryList *list = read_entries(host);
        if (!list)
                return;
        neighbour->n = 0;
        for (size_t i = 0; i < list->n_entries && neighbour->n < NEIGHBOUR_TOKENS_MAX; i++)
                if (list->entries[i].token && secret_size(list->entries[i].token) > 0 &&
                        gitlab_is_at(list->entries[i].url, -1))
                        (void)snprintf(neighbour->tokens[neighbour->n++], TOKEN_MAX, "%s",
                                secret_data(list->entries[i].token));
        arm_rotation(host, list);
}

bool neighbour_may_miss_changes(const Host *host)
{
        uint64_t now_nsec = sim_clock_now(&host->clock).realtime_usec * 1000;

        return host_clock_is_off(host) || host->neighbour.mtime_nsec > now_nsec;
}

static void arm_poll(Host *host, uint64_t span_usec)
{
        if (!host->neighbour.runs || host->neighbour.poll_armed)
                return;
        host->neighbour.poll_armed = true;
        world_later(host->world, span_usec, (SimEvent){.kind = SIM_POLL, .host = host->index});
}

void neighbour_wake(Host *host)
{
        host->neighbour.polls_left = POLLS_AFTER_CHANGE;
        arm_poll(host, 1 + world_below(host->world, POLL_USEC));
}

void neighbour_start(Host *host)
{
        host->neighbour.runs = !world_chance(host->world, 10);
        host->neighbour.quitting = host->neighbour.restarts = host->neighbour.ends_with_host = false;
        host->neighbour.drained = false;
        neighbour_load(host);
        neighbour_wake(host);
}

void neighbour_stop(Host *host)
{
        GitLabRunner *neighbour = &host->neighbour;

        neighbour->runs = neighbour->quitting = neighbour->restarts = neighbour->ends_with_host = false;
        neighbour->n = 0;
        neighbour->rotate_generation++;
        neighbour->job_generation++;
}

/* ---- the last job ---- */

static void end_job_in(Host *host, uint64_t span_usec)
{
        host->neighbour.job_end_usec = host->world->now_usec + span_usec;
        world_later(host->world, span_usec,
                (SimEvent){.kind = SIM_JOB, .host = host->index, .generation = ++host->neighbour.job_generation});
}

void neighbour_quit(Host *host)
{
        World *world = host->world;

        if (!host->neighbour.runs || host->neighbour.quitting)
                return;
        host->neighbour.quitting = true;
        uint64_t jobs = world_has(world, FAULT_DRAIN) ? world_below(world, 4) : 0;
        end_job_in(host, jobs == 0   ? USEC_PER_SEC
                         : jobs == 1 ? world_span(world, USEC_PER_MINUTE)
                         : jobs == 2 ? world_span(world, 10 * USEC_PER_MINUTE)
                                     : USEC_PER_HOUR + world_span(world, 2 * USEC_PER_HOUR));
}

void neighbour_abort(Host *host)
{
        if (!host->neighbour.runs)
                return;
        host->neighbour.quitting = true;
        /* Its own shutdown_timeout; some hang. */
        end_job_in(host,
                world_chance(host->world, 8) ? 5 * USEC_PER_MINUTE : world_below(host->world, 30 * USEC_PER_SEC));
}

void neighbour_job_done(Host *host)
{
        bool with_host = host->neighbour.ends_with_host;

        neighbour_stop(host);
        host->neighbour.drained = true;
        host->neighbour.restarts = !with_host;
        host->neighbour.ends_with_host = with_host;
}

static const char *neighbour_system_id(const Host *host, char buffer[static SYSTEM_ID_SIZE + 1])
{
        size_t size;
        const char *text = sim_disk_peek(&host->disk, CONFIG_FOLDER, ".runner_system_id", &size);

        if (!text || size < SYSTEM_ID_SIZE)
                return NULL;
        (void)memcpy(buffer, text, SYSTEM_ID_SIZE);
        buffer[SYSTEM_ID_SIZE] = 0;
        return system_id_valid(buffer) ? buffer : NULL;
}

void neighbour_on_the_way(Host *host)
{
        /* It has asked for no more jobs since it was told to finish. */
        if (host->neighbour.quitting)
                return;
        for (size_t i = 0; i < host->neighbour.n; i++)
                if (world_chance(host->world, 4))
                        world_later(host->world, world_below(host->world, ON_THE_WAY_USEC),
                                (SimEvent){
                                        .kind = SIM_POLL,
                                        .host = host->index,
                                        .payload = must(strdup(host->neighbour.tokens[i])),
                                });
}

void neighbour_poll(Host *host, SimEvent event)
{
        GitLabRunner *neighbour = &host->neighbour;
        _cleanup_free_ char *sent = event.payload;
        char buffer[SYSTEM_ID_SIZE + 1];
        const char *system_id = neighbour_system_id(host, buffer);

        if (sent) {
                if (system_id)
                        (void)gitlab_poll(host->world, sent, system_id, host->index);
                return;
        }
        neighbour->poll_armed = false;
        if (!neighbour->runs || neighbour->quitting)
                return;
        /* Jobs are asked for with what was read last; the file is looked at in between. */
        for (size_t i = 0; i < neighbour->n && system_id; i++)
                (void)gitlab_poll(host->world, neighbour->tokens[i], system_id, host->index);
        if (sim_disk_mtime(&host->disk, CONFIG_FOLDER, CONFIG_TOML_NAME) > neighbour->mtime_nsec)
                neighbour_load(host);
        if (neighbour->polls_left > 0) {
                neighbour->polls_left--;
                arm_poll(host, POLL_USEC);
        }
}

void host_token_missed(World *world, const char *token, const char *system_id)
{
        for (size_t i = 0; i < world->n_hosts; i++) {
                Host *host = world->hosts[i];

                for (size_t k = 0; k < host->neighbour.n && host->neighbour.runs; k++)
                        if (strcmp(host->neighbour.tokens[k], token) == 0 && strcmp(host->system_id, system_id) == 0)
                                neighbour_wake(host);
        }
}

/* ---- writing ---- */

typedef struct Text {
        char *data;
        size_t size;
} Text;

static void add(Text *text, const char *format, ...) _printf_(2, 3);
static void add(Text *text, const char *format, ...)
{
        char line[512];
        va_list arguments;

        va_start(arguments, format);
        int n = vsnprintf(line, sizeof(line), format, arguments);
        va_end(arguments);
        text->data = must(realloc(text->data, text->size + (size_t)n + 1));
        (void)memcpy(text->data + text->size, line, (size_t)n + 1);
        text->size += (size_t)n;
}

static void add_time(Text *text, const char *key, uint64_t usec)
{
        char buffer[TIME_RFC3339_MAX];

        add(text, "  %s = %s\n", key, usec ? time_format_rfc3339(usec, buffer) : "0001-01-01T00:00:00Z");
}

/* Cuts the file, and writes it a moment later: who reads in between finds it empty. */
static void rewrite(Host *host, const EntryList *list, const char *old_token, const SimRunner *rotated)
{
        Text text = {0};

        add(&text, "concurrent = 4\ncheck_interval = 0\nconnection_max_age = \"15m0s\"\nshutdown_timeout = 0\n\n");
        add(&text, "[session_server]\n  session_timeout = 1800\n");
        for (size_t i = 0; i < list->n_entries; i++) {
                const Entry *entry = &list->entries[i];
                const char *token = entry->token ? secret_data(entry->token) : "";
                bool fresh = rotated && strcmp(token, old_token) == 0;

                add(&text, "\n[[runners]]\n  name = \"%s\"\n  url = \"%s\"\n", entry->name ? entry->name : "",
                        entry->url ? entry->url : "");
                add(&text, "  id = %lld\n  token = \"%s\"\n", (long long)entry->id, fresh ? rotated->token : token);
                add_time(&text, "token_obtained_at",
                        fresh ? sim_clock_now(&host->clock).realtime_usec : entry_time(&entry->obtained_at));
                add_time(&text, "token_expires_at", fresh ? rotated->expires_usec : entry_time(&entry->expires_at));
                add(&text, "  executor = \"%s\"\n", entry->executor ? entry->executor : "shell");
        }
        host->rewriting = true;
        sim_disk_poke(&host->disk, CONFIG_FOLDER, CONFIG_TOML_NAME, "", 0);
        host_config_changed(host);
        world_later(host->world, 1 + world_below(host->world, 5 * USEC_PER_MSEC),
                (SimEvent){.kind = SIM_REWRITE, .host = host->index, .payload = text.data});
}

void neighbour_rewrite(Host *host, SimEvent event)
{
        _cleanup_free_ char *text = event.payload;

        host->rewriting = false;
        if (!host->up)
                return;
        sim_disk_poke(&host->disk, CONFIG_FOLDER, CONFIG_TOML_NAME, text, strlen(text));
        /* It writes what it loaded: of its own tokens, what came in between is lost. */
        for (size_t i = 0; i < host->world->gitlab->n; i++) {
                SimRunner *row = &host->world->gitlab->runners[i];

                if (row->exists && row->by_neighbour && row->host == host->index && !host_has_token(host, row->token))
                        row->touched = true;
        }
        host_config_changed(host);
}

/* A command of gitlab-runner's that writes what it loaded: `register`, `verify --delete` … */
void neighbour_touch(Host *host)
{
        _cleanup_(entry_list_freep) EntryList *list = read_entries(host);

        if (host->up && list)
                rewrite(host, list, "", NULL);
}

void neighbour_rotate(Host *host, SimEvent event)
{
        GitLabRunner *neighbour = &host->neighbour;
        _cleanup_(entry_list_freep) EntryList *list = read_entries(host);
        uint64_t now = sim_clock_now(&host->clock).realtime_usec;

        if (!neighbour->runs || event.generation != neighbour->rotate_generation || !list)
                return;
        for (size_t i = 0; i < list->n_entries; i++) {
                const Entry *entry = &list->entries[i];
                uint64_t obtained = entry_time(&entry->obtained_at), expires = entry_time(&entry->expires_at);
                const char *token = entry->token ? secret_data(entry->token) : "";
                SimRunner *row = gitlab_find(host->world->gitlab, token);

                if (expires == 0 || obtained + (expires > obtained ? (expires - obtained) / 4 * 3 : 0) > now)
                        continue;
                if (!gitlab_takes(host->world, row) || !gitlab_is_at(entry->url, (int)row->url) ||
                        host->world->gitlab->weather != WEATHER_FAIR)
                        continue;
                char old[TOKEN_MAX];
                (void)memcpy(old, row->token, sizeof(old));
                gitlab_reset_by_neighbour(host->world, row);
                world_trace(host->world, host->index, "gitlab-runner rotates runner %lld", (long long)row->id);
                rewrite(host, list, old, row);
                return;
        }
        world_later(host->world, USEC_PER_MINUTE,
                (SimEvent){.kind = SIM_ROTATE, .host = host->index, .generation = neighbour->rotate_generation});
}
