#include "tests/simulation/life.h"

#include <string.h>

#include "tests/simulation/check.h"
#include "tests/simulation/mishap.h"

#define TROUBLED_USEC (30 * USEC_PER_HOUR)
#define CALM_USEC     (10 * USEC_PER_HOUR)

/* What SIM_CHECK is for, in its `runner`. */
enum {
        CHECK_CALM = 1,
        CHECK_QUIET = 2,
};

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

static bool is_withdrawing(const Host *host)
{
        for (size_t i = 0; i < host->n_runners; i++)
                if (host->runners[i].lifecycle &&
                        lifecycle_state(host->runners[i].lifecycle) == RUNNER_STATE_WITHDRAWING)
                        return true;
        return false;
}

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
                mishap_refresh_source(host);
                host->disk.cut_at = UINT64_MAX;
                mishap_mend(host);
                if (!host->up)
                        host_boot(host);
                else if (!host->agent)
                        host_start_agent_later(host, USEC_PER_SEC);
                else if (!host->stopping && !host->once && !host->draining && !is_withdrawing(host) &&
                         world->faults & 1U << FAULT_RELOAD && world_chance(world, 2)) {
                        /* What was withdrawn by command comes back by command, but not while it is being withdrawn.
                         */
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
                mishap_mend(host);
                break;
        case STEP_END:
                end_host(host);
                break;
        default:
                mishap_strike(host);
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
                host->shared_id = gitlab_make_shared(world)->id;
                mishap_refresh_source(host);
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
                mishap_mend(host);
                break;
        case STEP_END:
                end_host(host);
                break;
        default:
                mishap_strike(host);
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
                        mishap_refresh_source(host);
                }
                world_later(world, world_below(world, BLANKET_SETTLE / 2),
                        (SimEvent){.kind = SIM_HOST, .host = host->index, .runner = STEP_BOOT});
        }
        world_later(world, BLANKET_SETTLE, (SimEvent){.kind = SIM_WEATHER, .runner = 0});
}
