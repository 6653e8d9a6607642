#include "tests/simulation/herd.h"

#include "tests/simulation/host.h"
#include "tests/simulation/must.h"

#define OUTAGE_USEC (6 * USEC_PER_HOUR)

/* Before the outage: time to enrol without a throttle, and for the verifies to spread. */
#define SETTLE_USEC (2 * USEC_PER_HOUR)

enum {
        STEP_BOOT = -1,
        HERD_DOWN = 1,
        HERD_BACK = 2,
};

static void begin_counting(World *world)
{
        world->herd_begin_usec = world->now_usec;
        world->converged = 0;
        world->counters.throttled = 0;
        for (size_t i = 0; i < world->n_hosts; i++)
                world->hosts[i]->converged = false;
}

static void herd_event(World *world, const SimEvent *event)
{
        if (event->kind == SIM_HOST)
                host_boot(world->hosts[event->host]);
        if (event->kind != SIM_WEATHER)
                return;
        if (event->runner == HERD_DOWN) {
                world->gitlab->weather = WEATHER_DOWN;
                world_trace(world, -1, "GitLab is gone");
                return;
        }
        world_trace(world, -1, "GitLab is back");
        world->gitlab->weather = WEATHER_FAIR;
        world->gitlab->window_limit = world->herd_limit;
        begin_counting(world);
}

static void herd_begin(World *world, size_t hosts)
{
        world->scenario = herd_event;
        world->faults = 0;
        world->gitlab->headers = world->herd_headers;
        world->n_seconds = (size_t)(world->end_usec / USEC_PER_SEC) + 1;
        world->per_second = must(calloc(world->n_seconds, sizeof(*world->per_second)));
        world->converged_wanted = (hosts * 99 + 99) / 100;
        for (size_t i = 0; i < hosts; i++)
                (void)host_new(world, FLOW_REGISTRATION_TOKEN, 1, true);
}

void herd_boot_begin(World *world, size_t hosts)
{
        herd_begin(world, hosts);
        world->gitlab->window_limit = world->herd_limit;
        for (size_t i = 0; i < hosts; i++) {
                world->hosts[i]->up = true;
                world->hosts[i]->clock.booted_usec = 0;
                host_start_agent_later(world->hosts[i], 0);
        }
}

void herd_outage_begin(World *world, size_t hosts)
{
        herd_begin(world, hosts);
        world->herd_begin_usec = USEC_INFINITY;
        for (size_t i = 0; i < hosts; i++)
                world_later(world, world_below(world, SETTLE_USEC / 2),
                        (SimEvent){.kind = SIM_HOST, .host = (int)i, .runner = STEP_BOOT});
        world_later(world, SETTLE_USEC, (SimEvent){.kind = SIM_WEATHER, .runner = HERD_DOWN});
        world_later(world, SETTLE_USEC + OUTAGE_USEC, (SimEvent){.kind = SIM_WEATHER, .runner = HERD_BACK});
}

void herd_note(World *world, int index)
{
        Host *host = world->hosts[index];

        if (!world->per_second || world->now_usec < world->herd_begin_usec || host->converged)
                return;
        host->converged = true;
        if (++world->converged == world->converged_wanted)
                world->converged_usec = world->now_usec - world->herd_begin_usec;
}

unsigned herd_peak(const World *world)
{
        unsigned peak = 0;

        for (size_t i = 1; i < world->n_seconds; i++)
                if (world->per_second[i] > peak)
                        peak = world->per_second[i];
        return peak;
}
