#include "tests/simulation/life.h"

#include <string.h>

#include "tests/simulation/check.h"
#include "tests/simulation/must.h"

#define HOSTS_MAX 6

#define TROUBLED_USEC (30 * USEC_PER_HOUR)
#define CALM_USEC     (10 * USEC_PER_HOUR)

/* What SIM_CHECK and SIM_HOST are for, in their `runner`. */
enum {
        STEP_BOOT = -1,
        STEP_MISHAP = 0,
        STEP_MEND = 1,
        STEP_END = 2,
        CHECK_CALM = 1,
        CHECK_QUIET = 2,
};

/* ---- what happens to a host ---- */

static void cut_soon(Host *host, bool power)
{
        host->crash_is_power = power;
        host->disk.cut_at = host->disk.primitives + world_below(host->world, 80);
        /* So that there is something to interrupt. */
        switch (world_below(host->world, 6)) {
        case 0:
                host_command(host, COMMAND_ROTATE);
                break;
        case 1:
                host_stop(host, STOP_POWEROFF, DEREGISTER_ON_STOP, 30 * USEC_PER_SEC, AFTER_OFF);
                break;
        case 2:
                host_command(host, COMMAND_DEREGISTER);
                host_command(host, COMMAND_REGISTER);
                break;
        case 3:
                host_stop(host, STOP_RESTART, DEREGISTER_ON_STOP, 30 * USEC_PER_SEC, AFTER_START);
                break;
        default:
                host_command(host, COMMAND_VERIFY);
                break;
        }
}

static void mishap_power(Host *host)
{
        if (world_chance(host->world, 3))
                host_power_cut(host);
        else
                cut_soon(host, true);
}

static void mishap_crash(Host *host)
{
        cut_soon(host, false);
}

static void mend_later(Host *host, uint64_t mean_usec)
{
        world_later(host->world, world_span(host->world, mean_usec),
                (SimEvent){.kind = SIM_HOST, .host = host->index, .runner = STEP_MEND});
}

static void mishap_disk(Host *host)
{
        SimDisk *disk = &host->disk;

        world_disturb(host->world, "host %d: its disk ails", host->index);
        switch (world_below(host->world, 4)) {
        case 0:
                disk->read_only = true;
                break;
        case 1:
                disk->sync_fails = true;
                break;
        default:
                disk->full = true;
                break;
        }
        host->jumped_usec = host->world->now_usec;
        disk->allocate_missing = world_chance(host->world, 4);
        if (world_chance(host->world, 2))
                host_command(host, COMMAND_ROTATE);
        mend_later(host, 20 * USEC_PER_MINUTE);
}

static void mishap_network(Host *host)
{
        world_disturb(host->world, "host %d: its network is down", host->index);
        host->network_down_until_usec = host->world->now_usec + world_span(host->world, 20 * USEC_PER_MINUTE);
}

static void mishap_clock(Host *host)
{
        int64_t hours = (int64_t)world_below(host->world, 100) - 50;

        if (world_chance(host->world, 10))
                hours *= 24;
        world_disturb(host->world, "host %d: its clock jumps by %lld h", host->index, (long long)hours);
        host->clock.offset_usec = hours * (int64_t)USEC_PER_HOUR;
        host->jumped_usec = host->world->now_usec;
        /* Some are noticed soon, some not for a day. */
        mend_later(host, world_chance(host->world, 2) ? USEC_PER_HOUR : USEC_PER_DAY);
}

static void mishap_restart(Host *host)
{
        static const struct {
                StopReason reason;
                After after;
        } rows[] = {
                {STOP_RESTART, AFTER_START},
                {STOP_SOFT_REBOOT, AFTER_START},
                {STOP_UNKNOWN, AFTER_START},
                {STOP_REBOOT, AFTER_BOOT},
                {STOP_SERVICE, AFTER_NOTHING},
                {STOP_SIGNAL, AFTER_NOTHING},
                {STOP_POWEROFF, AFTER_OFF},
        };
        size_t i = (size_t)world_below(host->world, ELEMENTS(rows));
        DeregisterOn on = (DeregisterOn)world_below(host->world, _DEREGISTER_ON_MAX);

        host_stop(host, rows[i].reason, world_chance(host->world, 2) ? DEREGISTER_ON_STOP : on, 30 * USEC_PER_SEC,
                rows[i].after);
}

static void mishap_command(Host *host)
{
        static const Command commands[] = {COMMAND_VERIFY, COMMAND_ROTATE, COMMAND_REGISTER, COMMAND_ROTATE};

        if (world_chance(host->world, 4)) {
                host_command(host, COMMAND_DEREGISTER);
                host_command(host, COMMAND_REGISTER);
                mend_later(host, USEC_PER_HOUR);
        } else if (world_chance(host->world, 4))
                host_reload(host);
        else
                host_command(host, commands[world_below(host->world, ELEMENTS(commands))]);
}

/* A token that gitlab-runner had just put there, and nobody had seen yet, is thrown away by who edits. */
static void edited(Host *host)
{
        for (size_t i = 0; i < host->world->gitlab->n; i++) {
                SimRunner *row = &host->world->gitlab->runners[i];

                if (row->exists && row->by_neighbour && row->host == host->index && !host_has_token(host, row->token))
                        row->touched = true;
        }
        host_config_changed(host);
}

/* A person with an editor, who writes in place as many do. */
static void mishap_edit(Host *host)
{
        size_t size;
        const char *text = sim_disk_peek(&host->disk, CONFIG_FOLDER, CONFIG_TOML_NAME, &size);
        _cleanup_free_ char *new_text = NULL;
        const char *ours = text ? strstr(text, "\"sim-0\"") : NULL;
        const char *header = NULL;

        if (!text)
                return;
        for (const char *p = text; ours && p < ours; p++)
                if (strncmp(p, "[[runners]]", 11) == 0)
                        header = p;
        world_disturb(host->world, "host %d: somebody edits config.toml", host->index);
        switch (world_below(host->world, 4)) {
        case 0:
                if (header && asprintf(&new_text, "%.*s", (int)(header - text), text) < 0)
                        (void)must(NULL);
                break;
        case 1:
                new_text = must(strdup(""));
                break;
        case 2:
                neighbour_touch(host);
                return;
        default:
                if (asprintf(&new_text, "# looked at on a %s\n%s", world_chance(host->world, 2) ? "Monday" : "Friday",
                            text) < 0)
                        (void)must(NULL);
                break;
        }
        if (!new_text)
                return;
        sim_disk_poke(&host->disk, CONFIG_FOLDER, CONFIG_TOML_NAME, new_text, strlen(new_text));
        edited(host);
}

/* ---- what happens to the configuration ---- */

static size_t count_configured(const Host *host)
{
        size_t n = 0;

        for (size_t i = 0; i < host->n_runners; i++)
                n += host->runners[i].file.configured;
        return n;
}

static void change_setting(Host *host)
{
        static const RotationPolicy policies[] = {
                ROTATION_AUTO, ROTATION_AUTO, ROTATION_NEVER, ROTATION_GITLAB_RUNNER};
        World *world = host->world;
        HostRunner *runner = &host->runners[world_below(world, host->n_runners)];
        Setting *file = &runner->file;

        switch (world_below(world, 6)) {
        case 0: /* added, or taken away, or given another name */
        case 1:
                if (host->n_runners == 1)
                        return;
                file->configured = !file->configured;
                if (count_configured(host) == 0)
                        host->runners[(size_t)(runner->index + 1) % host->n_runners].file =
                                (Setting){.configured = true};
                break;
        case 2:
        case 3:
                if (host->flow == FLOW_AUTHENTICATION_TOKEN)
                        return;
                file->url = 1 - file->url;
                break;
        case 4:
                file->rotation = policies[world_below(world, ELEMENTS(policies))];
                break;
        default:
                host->deregister_file = (DeregisterOn)world_below(world, _DEREGISTER_ON_MAX);
                break;
        }
}

/* Another token in its source: of another runner, which others share as well. */
static void change_source(Host *host)
{
        SimRunner *row = gitlab_find_id(host->world->gitlab, host->shared_id);

        const Record *record = host->runners[0].lifecycle ? lifecycle_record(host->runners[0].lifecycle) : NULL;
        bool used = row && record && record->token && strcmp(secret_data(record->token), row->token) == 0;

        /* A person's edit under a clock set right may date the file before what gitlab-runner has read: it polls on.
         */
        used = used && !neighbour_may_miss_changes(host);
        host->left_id = used ? row->id : 0;
        (void)memcpy(host->left_token, used ? row->token : "", used ? TOKEN_MAX : 1);
        row = gitlab_make_shared(host->world);
        host->shared_id = row->id;
        (void)memcpy(host->source_token, row->token, sizeof(host->source_token));
        world_disturb(host->world, "host %d: its token's source now holds that of runner %lld", host->index,
                (long long)row->id);
}

static void mishap_reload(Host *host)
{
        World *world = host->world;

        world_disturb(world, "host %d: somebody changes the configuration", host->index);
        for (uint64_t n = 1 + world_below(world, 3); n > 0; n--)
                change_setting(host);
        if (host->flow == FLOW_AUTHENTICATION_TOKEN && world_chance(world, 3))
                change_source(host);
        /* Some wait for the next start with it, some are quick to change their mind. */
        if (world_chance(world, 5))
                return;
        host_reload(host);
        if (!world_chance(world, 4))
                return;
        change_setting(host);
        host_reload(host);
}

/* ---- what happens at GitLab ---- */

static void refresh_source(World *world, Host *host)
{
        SimRunner *row = gitlab_find_id(world->gitlab, host->shared_id);

        /* Nobody rotates a shared token but people. */
        if (row && !gitlab_takes(world, row))
                gitlab_reset_by_person(world, row);
        if (row)
                (void)memcpy(host->source_token, row->token, sizeof(host->source_token));
        host_reload(host);
}

static void mishap_people(Host *host)
{
        World *world = host->world;
        GitLab *gitlab = world->gitlab;

        switch (world_below(world, 4)) {
        case 0:
                gitlab->registration_disabled = true;
                host->source_missing = world_chance(world, 2);
                world_disturb(world, "people take the registration token away");
                return;
        case 1:
        case 2:
                for (size_t i = 0; i < gitlab->n; i++) {
                        SimRunner *row = &gitlab->runners[i];
                        bool mine = row->host == host->index || (row->shared && row->id == host->shared_id);

                        if (!row->exists || !mine || !row->answered == !row->shared || world_chance(world, 2))
                                continue;
                        if (row->shared || world_chance(world, 2)) {
                                gitlab_reset_by_person(world, row);
                                world_disturb(world, "people reset the token of runner %lld", (long long)row->id);
                        } else {
                                gitlab_remove(row);
                                row->touched = true;
                                world_disturb(world, "people delete runner %lld", (long long)row->id);
                        }
                        return;
                }
                return;
        default:
                if (host->flow == FLOW_AUTHENTICATION_TOKEN)
                        refresh_source(world, host);
                return;
        }
}

static void mishap_upgrade(Host *host)
{
        GitLab *gitlab = host->world->gitlab;

        if (gitlab->version < 18 && world_chance(host->world, 8)) {
                gitlab->version++;
                world_disturb(host->world, "GitLab is now %u", gitlab->version);
        }
}

static void mishap_clone(Host *host)
{
        World *world = host->world;
        size_t here = 0;

        for (size_t i = 0; i < world->n_hosts; i++)
                here += !world->hosts[i]->gone;
        if (here >= HOSTS_MAX || !host->up)
                return;
        Host *clone = host_clone(host, world_chance(world, 2));
        clone->ephemeral = true;
        world_disturb(world, "host %d is made from an image of host %d", clone->index, host->index);
        host_boot(clone);
        world_later(world, world_span(world, 4 * USEC_PER_HOUR),
                (SimEvent){.kind = SIM_HOST, .host = clone->index, .runner = STEP_END});
}

static void mishap_drain(Host *host)
{
        host_drain_and_deregister(host);
        mend_later(host, USEC_PER_HOUR);
}

static void mishap_expiry(Host *host)
{
        static const uint64_t spans[] = {0, 2 * USEC_PER_HOUR, 6 * USEC_PER_HOUR, USEC_PER_DAY, 14 * USEC_PER_DAY};

        host->world->gitlab->expiry_usec = spans[world_below(host->world, ELEMENTS(spans))];
        world_disturb(host->world, "tokens now live %llu h",
                (unsigned long long)(host->world->gitlab->expiry_usec / USEC_PER_HOUR));
}

static const struct {
        Fault fault;
        unsigned weight;
        void (*happen)(Host *host);
} mishaps[] = {
        {FAULT_POWER, 6, mishap_power},
        {FAULT_CRASH, 6, mishap_crash},
        {FAULT_DISK, 3, mishap_disk},
        {FAULT_NETWORK, 2, mishap_network},
        {FAULT_CLOCK, 1, mishap_clock},
        {FAULT_PEOPLE, 6, mishap_restart},
        {FAULT_PEOPLE, 3, mishap_command},
        {FAULT_PEOPLE, 2, mishap_people},
        {FAULT_NEIGHBOUR, 3, mishap_edit},
        {FAULT_UPGRADE, 2, mishap_upgrade},
        {FAULT_EXPIRY, 1, mishap_expiry},
        {FAULT_CLONE, 2, mishap_clone},
        {FAULT_RELOAD, 4, mishap_reload},
        {FAULT_DRAIN, 1, mishap_drain},
};

static void mishap(Host *host)
{
        unsigned total = 0;

        for (size_t i = 0; i < ELEMENTS(mishaps); i++)
                total += world_has(host->world, mishaps[i].fault) ? mishaps[i].weight : 0;
        if (total == 0)
                return;
        uint64_t pick = world_below(host->world, total);
        for (size_t i = 0; i < ELEMENTS(mishaps); i++) {
                if (!world_has(host->world, mishaps[i].fault))
                        continue;
                if (pick < mishaps[i].weight) {
                        if (mishaps[i].fault != FAULT_CLOCK && mishaps[i].fault != FAULT_EXPIRY)
                                host->disturbed_usec = host->world->now_usec;
                        mishaps[i].happen(host);
                        return;
                }
                pick -= mishaps[i].weight;
        }
}

static void mend(Host *host)
{
        _cleanup_(entry_list_freep) EntryList *list = NULL;
        size_t size;
        const char *text = sim_disk_peek(&host->disk, CONFIG_FOLDER, CONFIG_TOML_NAME, &size);

        if (host->disk.full || host->disk.read_only || host->disk.sync_fails)
                host->disturbed_usec = host->world->now_usec;
        host->disk.full = host->disk.read_only = host->disk.sync_fails = false;
        host->disk.allocate_missing = false;
        if (host->clock.offset_usec != 0)
                host->jumped_usec = host->world->now_usec;
        host->clock.offset_usec = 0;
        host->source_missing = false;
        if (host->up && host->neighbour.drained && !host->stopping && !host->draining)
                neighbour_start(host);
        if (text && entry_list_read(text, size, &list, NULL) < 0) {
                sim_disk_poke(&host->disk, CONFIG_FOLDER, CONFIG_TOML_NAME, "concurrent = 1\n", 15);
                edited(host);
        }
}

/* ---- the weather ---- */

static void change_weather(World *world)
{
        GitLab *gitlab = world->gitlab;

        if (gitlab->weather != WEATHER_FAIR || !world_has(world, FAULT_GITLAB)) {
                gitlab->weather = WEATHER_FAIR;
                world->disturbed_usec = world->now_usec;
                world_later(world, world_span(world, 5 * USEC_PER_HOUR), (SimEvent){.kind = SIM_WEATHER});
                return;
        }
        gitlab->weather = (Weather)(1 + world_below(world, _WEATHER_MAX - 1));
        world_disturb(world, "GitLab: %s", weather_to_string(gitlab->weather));
        for (size_t i = 0; i < world->n_hosts; i++)
                world->hosts[i]->healthy_since_stop = false;
        world_later(world, world_span(world, world_chance(world, 5) ? 8 * USEC_PER_HOUR : 40 * USEC_PER_MINUTE),
                (SimEvent){.kind = SIM_WEATHER});
}

/* ---- a life ---- */

static void calm(World *world)
{
        world->calm = true;
        world->disturbed_usec = world->now_usec;
        world->gitlab->weather = WEATHER_FAIR;
        world->gitlab->registration_disabled = false;
        world_trace(world, -1, "a calm begins");
        for (size_t i = 0; i < world->n_hosts; i++) {
                Host *host = world->hosts[i];

                if (host->gone)
                        continue;
                host->network_down_until_usec = 0;
                refresh_source(world, host);
                host->disk.cut_at = UINT64_MAX;
                mend(host);
                if (!host->up)
                        host_boot(host);
                else if (!host->agent)
                        host_start_agent_later(host, USEC_PER_SEC);
                else if (!host->stopping && !host->once && !host->draining && world->faults & 1U << FAULT_RELOAD &&
                         world_chance(world, 2)) {
                        /* What was withdrawn by command comes back by command; one that still drains is yet to be. */
                        host_reload(host);
                        host_command(host, COMMAND_REGISTER);
                } else if (!host->stopping && !host->once)
                        host_stop(host, STOP_RESTART, DEREGISTER_ON_STOP, 30 * USEC_PER_SEC, AFTER_START);
                else if (!host->has_notice)
                        host->after = AFTER_START;
        }
        world_later(world, CALM_USEC, (SimEvent){.kind = SIM_CHECK, .host = -1, .runner = CHECK_QUIET});
}

static void end_of_calm(World *world)
{
        check_quiet(world);
        world->calm = false;
        world_trace(world, -1, "trouble begins");
        world_later(world, TROUBLED_USEC, (SimEvent){.kind = SIM_CHECK, .host = -1, .runner = CHECK_CALM});
}

/* An image's host that is no longer needed, or whose market price rose. */
static void end_host(Host *host)
{
        if (!host->up) {
                host->gone = true;
                return;
        }
        if (!host->agent || host->stopping || host->once) {
                world_later(host->world, USEC_PER_MINUTE,
                        (SimEvent){.kind = SIM_HOST, .host = host->index, .runner = STEP_END});
                return;
        }
        static const uint64_t spans[] = {USEC_INFINITY, USEC_INFINITY, 0, 5 * USEC_PER_MINUTE, USEC_PER_HOUR};
        bool preempted = world_chance(host->world, 2);
        uint64_t notice = world_has(host->world, FAULT_NOTICE);

        if (preempted)
                host_notice(host, STOP_PREEMPTION, (25 + (notice ? world_below(host->world, 96) : 0)) * USEC_PER_SEC);
        else
                host_notice(host, STOP_TERMINATE,
                        notice ? spans[world_below(host->world, ELEMENTS(spans))] : USEC_INFINITY);
        if (!notice)
                return;
        /* Notices may come in pairs, and the shutdown that follows says so again. */
        if (world_chance(host->world, 4))
                host_notice(host, STOP_PREEMPTION, 30 * USEC_PER_SEC + world_below(host->world, USEC_PER_MINUTE));
        if (world_chance(host->world, 4))
                host_stop(host, STOP_POWEROFF, DEREGISTER_ON_STOP, 30 * USEC_PER_SEC, AFTER_OFF);
}

static void life_event(World *world, const SimEvent *event)
{
        Host *host = event->host >= 0 && (size_t)event->host < world->n_hosts ? world->hosts[event->host] : NULL;

        if (event->kind == SIM_WEATHER) {
                change_weather(world);
                return;
        }
        if (event->kind == SIM_CHECK) {
                if (host && event->generation == host->stops)
                        check_withdrawn(host);
                else if (!host && event->runner == CHECK_CALM)
                        calm(world);
                else if (!host && event->runner == CHECK_QUIET)
                        end_of_calm(world);
                return;
        }
        if (!host || host->gone)
                return;
        switch (event->runner) {
        case STEP_BOOT:
                host_boot(host);
                break;
        case STEP_MEND:
                mend(host);
                break;
        case STEP_END:
                end_host(host);
                break;
        default:
                mishap(host);
                if (!host->ephemeral)
                        world_later(world, world_span(world, 2 * USEC_PER_HOUR), *event);
                break;
        }
}

static void begin_gitlab(World *world, Flow flow)
{
        static const uint64_t spans[] = {0, 2 * USEC_PER_HOUR, USEC_PER_DAY, 14 * USEC_PER_DAY};

        if (world_has(world, FAULT_UPGRADE) && flow != FLOW_ACCESS_TOKEN && world_chance(world, 3))
                world->gitlab->version = 13 + (unsigned)world_below(world, 5);
        if (world_has(world, FAULT_EXPIRY))
                world->gitlab->expiry_usec = spans[world_below(world, ELEMENTS(spans))];
}

static Host *begin_host(World *world, Flow flow)
{
        Host *host = host_new(world, flow, world_chance(world, 4) ? 2 : 1, false);

        if (flow == FLOW_AUTHENTICATION_TOKEN) {
                /* Two runners of one token would be a mistake of the configuration. */
                host->n_runners = 1;
                host->shared_id = gitlab_make_shared(world)->id;
                refresh_source(world, host);
        }
        return host;
}

void life_begin(World *world, size_t hosts)
{
        Flow flow = (Flow)world_below(world, _FLOW_MAX);

        world->scenario = life_event;
        begin_gitlab(world, flow);
        for (size_t i = 0; i < hosts; i++) {
                Host *host = begin_host(world, flow);

                host_boot(host);
                world_later(world, world_span(world, 2 * USEC_PER_HOUR),
                        (SimEvent){.kind = SIM_HOST, .host = host->index, .runner = STEP_MISHAP});
        }
        world_later(world, world_span(world, 3 * USEC_PER_HOUR), (SimEvent){.kind = SIM_WEATHER});
        world_later(world, TROUBLED_USEC, (SimEvent){.kind = SIM_CHECK, .host = -1, .runner = CHECK_CALM});
}

/* ---- lives ---- */

static void lives_event(World *world, const SimEvent *event)
{
        Host *host = world->hosts[0];

        if (event->kind == SIM_WEATHER) {
                change_weather(world);
                return;
        }
        if (event->kind == SIM_CHECK) {
                if (event->host == 0 && event->generation == host->stops)
                        check_withdrawn(host);
                return;
        }
        if (host->gone)
                return;
        switch (event->runner) {
        case STEP_BOOT:
                host_boot(host);
                break;
        case STEP_MEND:
                mend(host);
                break;
        case STEP_END:
                end_host(host);
                break;
        default:
                mishap(host);
                world_later(world, world_span(world, 20 * USEC_PER_MINUTE), *event);
                break;
        }
}

void lives_begin(World *world)
{
        Flow flow = (Flow)world_below(world, _FLOW_MAX);

        world->scenario = lives_event;
        world->faults &= ~(1U << FAULT_CLONE);
        begin_gitlab(world, flow);
        host_boot(begin_host(world, flow));
        world_later(world, world_span(world, 10 * USEC_PER_MINUTE),
                (SimEvent){.kind = SIM_HOST, .host = 0, .runner = STEP_MISHAP});
        world_later(world, world_span(world, 20 * USEC_PER_MINUTE), (SimEvent){.kind = SIM_WEATHER});
        world_later(world, USEC_PER_HOUR + world_span(world, 2 * USEC_PER_HOUR),
                (SimEvent){.kind = SIM_HOST, .host = 0, .runner = STEP_END});
}

/* ---- blanket ---- */

#define BLANKET_USEC   (6 * USEC_PER_HOUR)
#define BLANKET_SETTLE USEC_PER_HOUR

static const Weather blankets[] = {
        WEATHER_401,
        WEATHER_403,
        WEATHER_READ_ONLY,
        WEATHER_403_HTML,
        WEATHER_404,
        WEATHER_500,
        WEATHER_502,
        WEATHER_503,
        WEATHER_LOGIN,
};

static void blanket_event(World *world, const SimEvent *event)
{
        if (event->kind == SIM_HOST) {
                host_boot(world->hosts[event->host]);
                return;
        }
        if (event->kind != SIM_WEATHER)
                return;
        size_t i = (size_t)event->runner;
        if (!world->blanket) {
                world->blanket = true;
                world->counters.creations = world->counters.deletions = 0;
        }
        world->gitlab->weather = i < ELEMENTS(blankets) ? blankets[i] : WEATHER_FAIR;
        world_disturb(world, "GitLab: %s", weather_to_string(world->gitlab->weather));
        if (i < ELEMENTS(blankets))
                world_later(world, BLANKET_USEC, (SimEvent){.kind = SIM_WEATHER, .runner = (int)i + 1});
        else
                world->end_usec = world->now_usec + 3 * USEC_PER_HOUR;
}

void blanket_begin(World *world, size_t hosts)
{
        world->scenario = blanket_event;
        world->faults = 0;
        world->end_usec = 10 * USEC_PER_DAY;
        for (size_t i = 0; i < hosts; i++) {
                Flow flow = (Flow)(i % _FLOW_MAX);
                Host *host = host_new(world, flow, 1, hosts > BLANKET_DISKS_MAX);

                if (flow == FLOW_AUTHENTICATION_TOKEN) {
                        host->shared_id = gitlab_make_shared(world)->id;
                        refresh_source(world, host);
                }
                world_later(world, world_below(world, BLANKET_SETTLE / 2),
                        (SimEvent){.kind = SIM_HOST, .host = host->index, .runner = STEP_BOOT});
        }
        world_later(world, BLANKET_SETTLE, (SimEvent){.kind = SIM_WEATHER, .runner = 0});
}
