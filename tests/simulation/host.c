#include "tests/simulation/host.h"

#include <string.h>

#include "agent/clone.h"
#include "agent/roster.h"
#include "tests/simulation/carry.h"
#include "tests/simulation/check.h"
#include "tests/simulation/must.h"

#define NAME_FORMAT "sim-%d"

#define GITLAB_URL "https://gitlab.example.com/"

static Attributes attributes = {
        .description = (char *)"simulated",
        .run_untagged = -1,
        .locked = -1,
        .paused = -1,
        .maximum_timeout = -1,
        .runner_type = (char *)"instance_type",
        .group_id = -1,
        .project_id = -1,
};

/* The configuration's defaults (config/schema.c). */
static Plan plan_default(const World *world, Flow flow)
{
        Plan plan = {
                .configured = true,
                .flow = flow,
                .target = {.url = (char *)GITLAB_URL},
                .attributes = &attributes,
                .executor = "shell",
                .rotation = ROTATION_AUTO,
                .reregister = true,
                .verify_interval_usec = 15 * USEC_PER_MINUTE,
                .removed_after_usec = 10 * USEC_PER_MINUTE,
                .retry_min_usec = USEC_PER_SEC,
                .retry_max_usec = 5 * USEC_PER_MINUTE,
                .refused_retry_usec = USEC_PER_HOUR,
                .rotate_after_usec = USEC_INFINITY,
                .rotate_at = 0.66,
                .poll_usec = 4 * USEC_PER_SEC,
        };

        if (world->mutation == MUTATION_ONE_PROOF)
                plan.removed_after_usec = 0;
        if (world->mutation == MUTATION_ROTATE_SHARED)
                plan.rotation = ROTATION_ALWAYS;
        return plan;
}

/* ---- making ---- */

static void machine_name(Host *host, int number, int instance)
{
        char text[40];

        machine_done(&host->machine);
        (void)snprintf(text, sizeof(text), "%032x", (unsigned)number * 2654435761U + 12345U);
        host->machine.machine_id = must(strdup(text));
        host->machine.neighbour_id = must(strdup(text));
        (void)snprintf(text, sizeof(text), "i-%08x", (unsigned)instance);
        host->machine.instance_id = must(strdup(text));
        (void)snprintf(text, sizeof(text), "host-%d", host->index);
        host->machine.host_name = must(strdup(text));
        host->machine.architecture = must(strdup("x86_64"));
}

static void begin_config_toml(Host *host)
{
        static const char text[] = "# kept by the platform team\n"
                                   "concurrent = 4\n"
                                   "check_interval = 0\n\n"
                                   "[session_server]\n"
                                   "  session_timeout = 1800\n\n"
                                   "[[runners]]\n"
                                   "  name = \"by hand\" # do not touch\n"
                                   "  url = \"https://other.example.com/\"\n"
                                   "  token = \"glrt-of-another-gitlab\"\n"
                                   "  executor = \"shell\"\n";

        switch (world_below(host->world, 4)) {
        case 0:
                return;
        case 1:
                sim_disk_poke(&host->disk, CONFIG_FOLDER, CONFIG_TOML_NAME, "", 0);
                break;
        default:
                sim_disk_poke(&host->disk, CONFIG_FOLDER, CONFIG_TOML_NAME, text, sizeof(text) - 1);
                break;
        }
        host->disk.mounted = world_chance(host->world, 4);
        sim_disk_flush(&host->disk);
}

static Host *host_add(World *world, Flow flow, size_t n_runners, bool diskless)
{
        Host *host = must(calloc(1, sizeof(*host)));

        host->world = world;
        host->index = (int)world->n_hosts;
        host->flow = flow;
        host->n_runners = n_runners;
        host->diskless = diskless;
        host->random.state = random_next(&world->random);
        host->clock.world_usec = &world->now_usec;
        sim_disk_init(&host->disk, &host->clock, &host->random);
        host->disk.skip_file_sync = world->mutation == MUTATION_SKIP_FSYNC;
        host->disk.skip_folder_sync = world->mutation == MUTATION_SKIP_FOLDER_FSYNC;
        host->disk.truncate_rename = world->mutation == MUTATION_WRITE_IN_PLACE;
        for (size_t i = 0; i < n_runners; i++) {
                HostRunner *runner = &host->runners[i];

                runner->host = host;
                runner->index = (int)i;
                (void)snprintf(runner->name, sizeof(runner->name), NAME_FORMAT, (int)i);
                runner->plan = plan_default(world, flow);
        }
        world->hosts = must(realloc(world->hosts, (world->n_hosts + 1) * sizeof(*world->hosts)));
        world->hosts[world->n_hosts++] = host;
        return host;
}

Host *host_new(World *world, Flow flow, size_t n_runners, bool diskless)
{
        Host *host = host_add(world, flow, n_runners, diskless);

        machine_name(host, host->index, host->index);
        if (!diskless)
                begin_config_toml(host);
        return host;
}

Host *host_clone(Host *source, bool same_machine)
{
        Host *host = host_add(source->world, source->flow, source->n_runners, false);

        machine_name(host, same_machine ? source->index : host->index, host->index);
        if (same_machine) {
                free(host->machine.machine_id);
                free(host->machine.neighbour_id);
                host->machine.machine_id = must(strdup(source->machine.machine_id));
                host->machine.neighbour_id = must(strdup(source->machine.neighbour_id));
        }
        host->shared_id = source->shared_id;
        (void)memcpy(host->source_token, source->source_token, sizeof(host->source_token));
        sim_disk_clone(&host->disk, &source->disk);
        (void)memcpy(host->old_system_id, source->system_id, sizeof(host->old_system_id));
        return host;
}

Host *host_free(Host *host)
{
        if (!host)
                return NULL;
        host->world->failed = true; /* nothing is checked any more */
        host_die(host);
        sim_disk_done(&host->disk);
        machine_done(&host->machine);
        free(host->masked);
        free(host);
        return NULL;
}

/* ---- the agent's start ---- */

/* The configuration, as far as it is asked for which entries are its. */
static int blank_tokens(Host *host, char **reterr)
{
        static char shared;
        RunnerConfig runners[HOST_RUNNERS_MAX] = {0}, *list[HOST_RUNNERS_MAX];
        Config config = {.runners = list, .n_runners = host->n_runners};

        for (size_t i = 0; i < host->n_runners; i++) {
                runners[i].name = host->runners[i].name;
                runners[i].url = host->runners[i].plan.target.url;
                /* Only whether there is one is looked at. */
                if (host->flow == FLOW_AUTHENTICATION_TOKEN)
                        runners[i].authentication_token = (SecretSource *)&shared;
                list[i] = &runners[i];
        }
        return clone_blank_tokens(host->config_toml, &config, reterr);
}

/* As the manager settles it: the id that is there, or one of this machine's own. */
static int settle_system_id(Host *host, bool *ret_cloned, bool *ret_proves, char **reterr)
{
        char found[SYSTEM_ID_SIZE + 1], made[SYSTEM_ID_SIZE + 1];
        Clone clone;
        int r = machine_make_system_id(&host->machine, &host->disk.disk, made);

        if (r >= 0)
                r = roster_check_clone(host->store, &host->machine, &clone, reterr);
        if (r < 0)
                return r;
        r = config_toml_system_id_read(host->config_toml, found, reterr);
        if (r < 0 && r != -ENOENT)
                return r;
        bool ignored = host->world->mutation == MUTATION_IGNORE_CLONE;
        IdPlan plan = clone_settle_id(r >= 0 ? found : NULL, made, ignored ? CLONE_NONE : clone, ignored && r >= 0);
        *ret_cloned = plan.clone != CLONE_NONE;
        *ret_proves = plan.proves;
        for (size_t i = 0; i < host->n_runners; i++)
                host->runners[i].stopped = false;
        host->old_system_id[0] = 0;
        clone_take_system_id(&host->disk.disk, &plan, found, made, host->system_id);
        if (!plan.write)
                return 0;
        r = *ret_cloned ? blank_tokens(host, reterr) : 0;
        if (r < 0)
                return r;
        r = config_toml_system_id_write(host->config_toml, host->system_id, reterr);
        return r < 0 && plan.may_go_on && !host->disk.dead ? 0 : r;
}

static int load_record(Host *host, HostRunner *runner, bool cloned, Record **ret)
{
        _cleanup_free_ char *why = NULL;
        int r = store_load(host->store, runner->name, ret, &why);

        if (r == -EBADMSG)
                world_break(host->world, INVARIANT_FILE_WHOLE, host->index, "%s", why ? why : "a state file is torn");
        switch (clone_use_state(r, cloned)) {
        case STATE_USE:
                while (host->world->mutation == MUTATION_DROP_DEBT && (*ret)->n_debts > 0)
                        record_remove_debt(*ret, 0);
                return 0;
        case STATE_BEGIN_OVER:
                *ret = record_free(*ret);
                (void)store_journal_clear(host->store, runner->name);
                break;
        case STATE_BEGIN_AFTER:
                (void)store_forget(host->store, runner->name, NULL);
                break;
        case STATE_BEGIN:
                break;
        case STATE_REFUSE:
        case STATE_FAIL:
        case _STATE_USE_MAX:
                return r;
        }
        r = record_new(runner->name, runner->plan.target.url, runner->plan.flow, ret);
        if (r >= 0)
                (*ret)->cloned = cloned;
        return r;
}

static int make_runner(Host *host, HostRunner *runner, bool cloned, bool proves, const EntryList *entries)
{
        _cleanup_(record_freep) Record *record = NULL;
        _cleanup_(answer_done) Answer answer = {0};
        const Facts facts = {
                .system_id = host->system_id,
                .machine_id = host->machine.machine_id,
                .instance_id = host->machine.instance_id,
                .system_id_proves = proves,
        };
        int r = load_record(host, runner, cloned, &record);

        if (r < 0)
                return r;
        bool answered = false;
        if (!cloned && record->intent.kind != INTENT_NONE)
                answered = store_journal_load(host->store, runner->name, &answer, NULL) >= 0;
        else
                store_journal_tidy(host->store, runner->name);
        runner->journal_reserved = answered || record->intent.kind != INTENT_NONE;
        r = lifecycle_new(&runner->plan, &facts, record, answered ? &answer : NULL, random_next(&host->random),
                &runner->lifecycle);
        if (r < 0)
                return r;
        record = NULL;
        carry_entries(runner, entries, true);
        return 0;
}

static int open_agent(Host *host, char **reterr)
{
        InPlaceRecovery recovery;
        bool cloned = false, proves = false;
        pid_t pid;
        int r = store_open(&host->disk.disk, STATE_FOLDER, &host->store, reterr);

        if (r >= 0)
                r = store_lock(host->store, &pid, reterr);
        if (r >= 0)
                r = config_toml_new(
                        &host->disk.disk, CONFIG_FOLDER "/" CONFIG_TOML_NAME, STATE_FOLDER, &host->config_toml);
        if (r >= 0)
                r = config_toml_recover(host->config_toml, &recovery, reterr);
        if (r >= 0)
                check_file_after_start(host);
        if (r >= 0)
                r = settle_system_id(host, &cloned, &proves, reterr);
        if (r < 0)
                return r;

        _cleanup_(entry_list_freep) EntryList *entries = NULL;
        r = carry_load_entries(host, &entries, reterr);
        for (size_t i = 0; r >= 0 && i < host->n_runners; i++)
                r = make_runner(host, &host->runners[i], cloned, proves, entries);
        return r;
}

static void close_agent(Host *host)
{
        for (size_t i = 0; i < host->n_runners; i++) {
                HostRunner *runner = &host->runners[i];

                carry_forget(runner);
                runner->lifecycle = lifecycle_free(runner->lifecycle);
        }
        host->seen = secret_free(host->seen);
        host->unsettled = secret_free(host->unsettled);
        host->settle_armed = host->commit_armed = false;
        host->config_toml = config_toml_free(host->config_toml);
        host->store = store_free(host->store);
        host->agent = host->stopping = false;
}

static int open_diskless(Host *host)
{
        for (size_t i = 0; i < host->n_runners; i++) {
                HostRunner *runner = &host->runners[i];
                Record *record;
                const Facts facts = {.system_id = host->system_id, .machine_id = host->machine.machine_id};

                (void)system_id_from_machine(host->machine.neighbour_id, host->system_id);
                if (record_new(runner->name, runner->plan.target.url, runner->plan.flow, &record) < 0 ||
                        lifecycle_new(&runner->plan, &facts, record, NULL, random_next(&host->random),
                                &runner->lifecycle) < 0)
                        (void)must(NULL);
        }
        return 0;
}

static void start_agent(Host *host)
{
        _cleanup_free_ char *why = NULL;

        if (!host->up || host->agent || host->gone)
                return;
        int r = host->diskless ? open_diskless(host) : open_agent(host, &why);
        host->agent = true;
        host->healthy_since_stop = false;
        if (host->disk.dead) {
                host_die(host);
                return;
        }
        if (r < 0) {
                world_trace(host->world, host->index, "agent fails to start: %s", why ? why : strerror(-r));
                close_agent(host);
                host_start_agent_later(host, 30 * USEC_PER_SEC + world_below(host->world, 60 * USEC_PER_SEC));
                return;
        }
        if (!host->diskless)
                world_trace(host->world, host->index, "agent starts as %s", host->system_id);
        for (size_t i = 0; i < host->n_runners && host->agent; i++) {
                Event event = {.kind = EVENT_START, .now = sim_clock_now(&host->clock)};

                carry_advance(&host->runners[i], &event);
        }
}

void host_start_agent_later(Host *host, uint64_t span_usec)
{
        world_later(host->world, span_usec,
                (SimEvent){.kind = SIM_START, .host = host->index, .generation = ++host->start_generation});
}

/* ---- power ---- */

void host_boot(Host *host)
{
        if (host->up || host->gone)
                return;
        host->up = true;
        host->clock.booted_usec = host->world->now_usec;
        world_trace(host->world, host->index, "boots");
        host_start_agent_later(host, world_below(host->world, 5 * USEC_PER_SEC));
        if (!host->diskless)
                neighbour_start(host);
}

/* The power is off: nothing runs, and comes back after a while. */
static void go_down(Host *host, bool cut)
{
        close_agent(host);
        neighbour_stop(host);
        host->up = false;
        host->start_generation++;
        if (cut)
                sim_disk_power_cut(&host->disk);
        else
                sim_disk_flush(&host->disk);
}

void host_power_cut(Host *host)
{
        if (!host->up)
                return;
        host->world->counters.power_cuts++;
        world_disturb(host->world, "host %d: power cut", host->index);
        go_down(host, true);
        check_after_cut(host);
        world_later(host->world, 20 * USEC_PER_SEC + world_span(host->world, 10 * USEC_PER_MINUTE),
                (SimEvent){.kind = SIM_HOST, .host = host->index, .runner = -1});
}

void host_die(Host *host)
{
        bool crash = host->disk.dead && !host->crash_is_power;

        if (host->disk.dead && host->crash_is_power) {
                host_power_cut(host);
                return;
        }
        close_agent(host);
        host->disk.dead = host->disk.locked = false;
        host->disk.cut_at = UINT64_MAX;
        if (crash) {
                world_disturb(host->world, "host %d: the agent crashes", host->index);
                check_after_crash(host);
                host_start_agent_later(host, 100 * USEC_PER_MSEC + world_below(host->world, 5 * USEC_PER_SEC));
        }
}

/* ---- stopping ---- */

static void stopped(Host *host)
{
        World *world = host->world;
        After after = host->after;
        bool withdrawn = host->withdrawn_wanted;

        check_stopped(host, withdrawn);
        close_agent(host);
        switch (after) {
        case AFTER_NOTHING:
                host_start_agent_later(host, world_span(world, 3 * USEC_PER_HOUR));
                break;
        case AFTER_START:
                host_start_agent_later(host, world_below(world, 3 * USEC_PER_SEC));
                break;
        case AFTER_BOOT:
                go_down(host, false);
                world_later(
                        world, 30 * USEC_PER_SEC, (SimEvent){.kind = SIM_HOST, .host = host->index, .runner = -1});
                break;
        case AFTER_OFF:
                go_down(host, false);
                world_later(world, world_span(world, 12 * USEC_PER_HOUR),
                        (SimEvent){.kind = SIM_HOST, .host = host->index, .runner = -1});
                break;
        case AFTER_GONE:
                go_down(host, false);
                host->gone = true;
                break;
        }
}

static void stop_progress(Host *host)
{
        if (!host->agent || !host->stopping)
                return;
        for (size_t i = 0; i < host->n_runners; i++)
                if (!host->runners[i].stopped)
                        return;
        stopped(host);
}

/* What is deleted from now on is so by order. */
static void want_withdrawal(Host *host)
{
        for (size_t i = 0; !host->diskless && i < host->world->gitlab->n; i++)
                if (host->world->gitlab->runners[i].host == host->index)
                        host->world->gitlab->runners[i].withdrawal_wanted = true;
}

void host_stop(Host *host, StopReason reason, DeregisterOn deregister_on, uint64_t timeout_usec, After after)
{
        StopPlan plan = stop_plan(reason, deregister_on);
        World *world = host->world;
        Now now = sim_clock_now(&host->clock);
        uint64_t span = plan.withdraw ? timeout_usec : 900 * USEC_PER_MSEC;

        if (!host->agent || host->stopping)
                return;
        world_disturb(world, "host %d: stop (%s)%s", host->index, stop_reason_to_string(reason),
                plan.withdraw    ? ", withdrawing"
                : plan.hand_back ? ", handing back"
                                 : "");
        if (plan.withdraw)
                want_withdrawal(host);
        host->stopping = true;
        host->withdrawn_wanted = plan.withdraw;
        host->healthy_since_stop = world->gitlab->weather == WEATHER_FAIR;
        host->after = after;
        world_later(world, span + USEC_PER_SEC / 10,
                (SimEvent){.kind = SIM_OVERDUE, .host = host->index, .generation = host->start_generation});
        for (size_t i = 0; i < host->n_runners && host->agent; i++) {
                /* Who goes tries once more, whatever was told. */
                host->runners[i].commanded = true;
                const Record *record = lifecycle_record(host->runners[i].lifecycle);
                (void)snprintf(host->runners[i].stop_token, TOKEN_MAX, "%s",
                        record->token ? secret_data(record->token) : "");
                Event event = {
                        .kind = EVENT_STOP,
                        .now = now,
                        .stop = plan,
                        .deadline_usec = usec_add(now.boottime_usec, span),
                };

                carry_advance(&host->runners[i], &event);
        }
        stop_progress(host);
}

bool host_is_leaving(const Host *host)
{
        return (host->stopping && host->withdrawn_wanted) ||
               (host->deregistered_usec > 0 && host->world->now_usec < host->deregistered_usec + USEC_PER_MINUTE);
}

void host_command(Host *host, Command command)
{
        if (command == COMMAND_DEREGISTER) {
                want_withdrawal(host);
                host->deregistered_usec = host->world->now_usec;
        }
        for (size_t i = 0; i < host->n_runners && host->agent && !host->stopping; i++) {
                Event event = {.kind = EVENT_COMMAND, .now = sim_clock_now(&host->clock), .command = command};
                HostRunner *runner = &host->runners[i];

                runner->commanded = true;
                carry_advance(runner, &event);
        }
}

void host_reload(Host *host)
{
        for (size_t i = 0; i < host->n_runners && host->agent && !host->stopping; i++) {
                Event event = {.kind = EVENT_CONFIGURED, .now = sim_clock_now(&host->clock)};

                lifecycle_configure(host->runners[i].lifecycle, &host->runners[i].plan);
                carry_advance(&host->runners[i], &event);
        }
}

/* ---- events ---- */

static void overdue(Host *host, const SimEvent *event)
{
        if (!host->agent || !host->stopping || event->generation != host->start_generation)
                return;
        world_break(host->world, INVARIANT_WAITS, host->index, "the agent did not stop in time");
}

void host_handle(World *world, const SimEvent *event)
{
        Host *host = world->hosts[event->host];

        switch (event->kind) {
        case SIM_START:
                if (event->generation == host->start_generation)
                        start_agent(host);
                break;
        case SIM_OVERDUE:
                overdue(host, event);
                break;
        case SIM_POLL:
                neighbour_poll(host, *event);
                break;
        case SIM_REWRITE:
                neighbour_rewrite(host, *event);
                break;
        case SIM_ROTATE:
                neighbour_rotate(host, *event);
                break;
        default:
                carry_handle(host, event);
                break;
        }
        stop_progress(host);
        if (!host->gone)
                check_host(host);
}
