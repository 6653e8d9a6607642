#include "tests/simulation/host.h"

#include <string.h>

#include "tests/simulation/carry.h"
#include "tests/simulation/check.h"
#include "tests/simulation/host-parts.h"
#include "tests/simulation/must.h"

#define NAME_FORMAT "sim-%d"

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
        /* Of one token there is one runner at a time, but it may get another name. */
        if (flow == FLOW_AUTHENTICATION_TOKEN && n_runners > 1)
                n_runners = 1;
        bool alone = diskless || !(world->faults & 1U << FAULT_RELOAD);
        host->n_runners = alone ? n_runners : flow == FLOW_AUTHENTICATION_TOKEN ? n_runners + 1 : n_runners + 2;
        host->leaving.deadline_usec = USEC_INFINITY;
        host->stop_timeout_usec = 30 * USEC_PER_SEC;
        host->diskless = diskless;
        host->random.state = random_next(&world->random);
        host->clock.world_usec = &world->now_usec;
        sim_disk_init(&host->disk, &host->clock, &host->random);
        host->disk.skip_file_sync = world->mutation == MUTATION_SKIP_FSYNC;
        host->disk.skip_folder_sync = world->mutation == MUTATION_SKIP_FOLDER_FSYNC;
        host->disk.truncate_rename = world->mutation == MUTATION_WRITE_IN_PLACE;
        for (size_t i = 0; i < HOST_RUNNERS_MAX; i++) {
                HostRunner *runner = &host->runners[i];

                runner->host = host;
                runner->index = (int)i;
                (void)snprintf(runner->name, sizeof(runner->name), NAME_FORMAT, (int)i);
                runner->file = (Setting){.configured = i < n_runners, .rotation = ROTATION_AUTO};
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
        Host *host = host_add(source->world, source->flow, 0, false);

        machine_name(host, same_machine ? source->index : host->index, host->index);
        if (same_machine) {
                free(host->machine.machine_id);
                free(host->machine.neighbour_id);
                host->machine.machine_id = must(strdup(source->machine.machine_id));
                host->machine.neighbour_id = must(strdup(source->machine.neighbour_id));
        }
        host->n_runners = source->n_runners;
        for (size_t i = 0; i < host->n_runners; i++)
                host->runners[i].file = source->runners[i].file;
        host->deregister_file = source->deregister_file;
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

/* ---- power ---- */

void host_start_agent_later(Host *host, uint64_t span_usec)
{
        world_later(host->world, span_usec,
                (SimEvent){.kind = SIM_START, .host = host->index, .generation = ++host->start_generation});
}

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
void host_go_down(Host *host, bool cut)
{
        agent_close(host);
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
        host_go_down(host, true);
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
        agent_close(host);
        host->disk.dead = host->disk.locked = false;
        host->disk.cut_at = UINT64_MAX;
        if (crash) {
                world_disturb(host->world, "host %d: the agent crashes", host->index);
                check_after_crash(host);
                host_start_agent_later(host, 100 * USEC_PER_MSEC + world_below(host->world, 5 * USEC_PER_SEC));
        }
}

/* ---- commands ---- */

/* What is deleted from now on is so by order. */
void want_withdrawal(Host *host, int runner)
{
        for (size_t i = 0; !host->diskless && i < host->world->gitlab->n; i++) {
                SimRunner *row = &host->world->gitlab->runners[i];

                if (row->host == host->index && (runner < 0 || row->runner == runner))
                        row->withdrawal_wanted = true;
        }
}

bool host_clock_is_off(const Host *host)
{
        bool lately = host->jumped_usec > 0 && host->world->now_usec < host->jumped_usec + USEC_PER_DAY;

        return lately || host->clock.offset_usec != 0;
}

bool host_is_leaving(const Host *host)
{
        return (host->stopping && host->withdrawn_wanted) ||
               (host->deregistered_usec > 0 && host->world->now_usec < host->deregistered_usec + USEC_PER_MINUTE);
}

void host_command_runner(HostRunner *runner, Command command)
{
        Event event = {.kind = EVENT_COMMAND, .now = sim_clock_now(&runner->host->clock), .command = command};

        if (command == COMMAND_DEREGISTER) {
                want_withdrawal(runner->host, runner->index);
                runner->host->deregistered_usec = runner->host->world->now_usec;
        }
        runner->commanded = true;
        carry_advance(runner, &event);
}

void host_command(Host *host, Command command)
{
        for (size_t i = 0; i < host->n_runners && host->agent && !host->stopping && !host->once; i++)
                if (host->runners[i].lifecycle && host->runners[i].setting.configured && !host->runners[i].ending)
                        host_command_runner(&host->runners[i], command);
}

/* ---- events ---- */

static void overdue(Host *host, const SimEvent *event)
{
        if (event->runner < 0) {
                if (host->agent && host->once && event->generation == host->pass_generation)
                        world_break(host->world, INVARIANT_WAITS, host->index, "a command does not end");
                return;
        }
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
                        agent_start(host);
                break;
        case SIM_OVERDUE:
                overdue(host, event);
                break;
        case SIM_DRAIN:
                leave_drain(host, event);
                break;
        case SIM_JOB:
                if (event->generation == host->neighbour.job_generation)
                        leave_job_done(host);
                break;
        case SIM_TAKEN:
                leave_taken(host, event);
                break;
        case SIM_PASS:
                agent_people_pass(host);
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
        leave_progress(host);
        agent_tidy(host);
        agent_pass_progress(host);
        if (!host->gone)
                check_host(host);
}
