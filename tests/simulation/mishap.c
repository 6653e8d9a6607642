#include "tests/simulation/mishap.h"

#include <string.h>

#include "tests/simulation/check.h"
#include "tests/simulation/must.h"

#define HOSTS_MAX 6

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

static HostRunner *configured_runner(Host *host)
{
        for (size_t i = 0; i < host->n_runners; i++)
                if (host->runners[i].file.configured)
                        return &host->runners[i];
        return &host->runners[0];
}

static size_t count_configured(const Host *host)
{
        size_t n = 0;

        for (size_t i = 0; i < host->n_runners; i++)
                n += host->runners[i].file.configured;
        return n;
}

/* The same token under the other name. */
static void rename_runner(Host *host)
{
        Setting setting = configured_runner(host)->file;

        for (size_t i = 0; i < host->n_runners; i++) {
                Setting *file = &host->runners[i].file;

                *file = file->configured ? (Setting){.url = setting.url} : setting;
        }
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
                if (host->flow == FLOW_AUTHENTICATION_TOKEN) {
                        rename_runner(host);
                        return;
                }
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

        const Lifecycle *lifecycle = configured_runner(host)->lifecycle;
        const Record *record = lifecycle ? lifecycle_record(lifecycle) : NULL;
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

void mishap_refresh_source(Host *host)
{
        World *world = host->world;
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
                        mishap_refresh_source(host);
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

void mishap_strike(Host *host)
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

void mishap_mend(Host *host)
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
