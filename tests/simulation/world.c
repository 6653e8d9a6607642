#include "tests/simulation/world.h"

#include <stdarg.h>
#include <string.h>

#include "tests/simulation/check.h"
#include "tests/simulation/must.h"

const char *fault_to_string(Fault fault)
{
        static const char *const names[_FAULT_MAX] = {
                [FAULT_POWER] = "power",
                [FAULT_CRASH] = "crash",
                [FAULT_DISK] = "disk",
                [FAULT_NETWORK] = "network",
                [FAULT_GITLAB] = "gitlab",
                [FAULT_EXPIRY] = "expiry",
                [FAULT_UPGRADE] = "upgrade",
                [FAULT_PEOPLE] = "people",
                [FAULT_NEIGHBOUR] = "neighbour",
                [FAULT_CLOCK] = "clock",
                [FAULT_CLONE] = "clone",
                [FAULT_RELOAD] = "reload",
                [FAULT_PASS] = "pass",
                [FAULT_DRAIN] = "drain",
                [FAULT_NOTICE] = "notice",
                [FAULT_DATES] = "dates",
        };

        return names[fault];
}

const char *mutation_to_string(Mutation mutation)
{
        static const char *const names[_MUTATION_MAX] = {
                [MUTATION_NONE] = "none",
                [MUTATION_SKIP_FSYNC] = "skip-fsync",
                [MUTATION_SKIP_FOLDER_FSYNC] = "skip-folder-fsync",
                [MUTATION_WRITE_IN_PLACE] = "write-in-place",
                [MUTATION_APPLY_BEFORE_JOURNAL] = "apply-before-journal",
                [MUTATION_NO_INTENT] = "no-intent",
                [MUTATION_DEAD_401] = "dead-on-401",
                [MUTATION_DEAD_404] = "dead-on-404",
                [MUTATION_DEAD_READ_ONLY] = "dead-on-read-only",
                [MUTATION_ONE_PROOF] = "dead-at-once",
                [MUTATION_BLIND_RESET] = "blind-reset",
                [MUTATION_BLIND_CREATE] = "blind-create",
                [MUTATION_FORGET_LOST_ANSWER] = "forget-lost-answer",
                [MUTATION_DELETE_SHARED] = "delete-shared-runner",
                [MUTATION_DROP_DEBT] = "drop-debt",
                [MUTATION_IGNORE_CLONE] = "ignore-clone",
                [MUTATION_DELETE_BEFORE_TELL] = "delete-before-tell",
                [MUTATION_IGNORE_THROTTLE] = "ignore-throttle",
                [MUTATION_ROTATE_SHARED] = "rotate-shared",
                [MUTATION_RELOAD_FORGETS] = "reload-forgets",
                [MUTATION_IGNORE_OTHER_NAMES] = "ignore-other-names",
                [MUTATION_DRAIN_UNBOUND] = "drain-unbound",
        };

        return names[mutation];
}

const char *invariant_to_string(Invariant invariant)
{
        static const char *const names[_INVARIANT_MAX] = {
                [INVARIANT_ENROLLED_ONCE] = "enrolled-once",
                [INVARIANT_ONLY_OURS] = "only-ours",
                [INVARIANT_FILE_WHOLE] = "file-whole",
                [INVARIANT_TOKEN_KEPT] = "token-kept",
                [INVARIANT_BLANKET] = "blanket",
                [INVARIANT_NOTHING_LEFT] = "nothing-left",
                [INVARIANT_NO_SECRET] = "no-secret",
                [INVARIANT_WAITS] = "waits",
        };

        return names[invariant];
}

void world_init(World *world, uint64_t seed)
{
        *world = (World){.seed = seed, .faults = (1U << _FAULT_MAX) - 1};
        world->random.state = seed * UINT64_C(0x2545f4914f6cdd1d) + 1;
        gitlab_init(world);
}

static void drop_payload(const SimEvent *event)
{
        if (event->kind == SIM_ARRIVE || event->kind == SIM_REPLY)
                request_free(event->payload);
        else if (event->kind == SIM_POLL || event->kind == SIM_REWRITE)
                free(event->payload);
}

void world_done(World *world)
{
        world->failed = true;
        for (size_t i = 0; i < world->n_hosts; i++)
                (void)host_free(world->hosts[i]);
        for (size_t i = 0; i < world->queue.n; i++)
                drop_payload(&world->queue.items[i]);
        queue_done(&world->queue);
        gitlab_done(world->gitlab);
        free(world->hosts);
        free(world->per_second);
}

uint64_t world_below(World *world, uint64_t limit)
{
        return random_below(&world->random, limit);
}

bool world_chance(World *world, uint64_t n)
{
        return world_below(world, n) == 0;
}

uint64_t world_span(World *world, uint64_t mean_usec)
{
        /* -ln(1 - x) at the middles of 16 equal parts, in thousandths. */
        static const unsigned table[16] = {
                32, 98, 170, 247, 330, 421, 521, 632, 756, 896, 1068, 1269, 1520, 1856, 2367, 3466};

        return mean_usec / 1000 * (table[world_below(world, ELEMENTS(table))] + world_below(world, 60));
}

void world_later(World *world, uint64_t span_usec, SimEvent event)
{
        event.at_usec = usec_add(world->now_usec, span_usec);
        queue_put(&world->queue, event);
}

/* ---- what is told ---- */

static _printf_(3, 0) void trace(World *world, int host, const char *format, va_list arguments)
{
        char *line = world->trace[world->n_trace++ % TRACE_MAX];
        uint64_t seconds = world->now_usec / USEC_PER_SEC;
        int n = snprintf(line, TRACE_TEXT_MAX, "day %llu %02llu:%02llu:%02llu.%03llu ",
                (unsigned long long)seconds / 86400, (unsigned long long)seconds / 3600 % 24,
                (unsigned long long)seconds / 60 % 60, (unsigned long long)seconds % 60,
                (unsigned long long)(world->now_usec / 1000 % 1000));

        if (host >= 0)
                n += snprintf(line + n, TRACE_TEXT_MAX - (size_t)n, "host %d: ", host);
        (void)vsnprintf(line + n, TRACE_TEXT_MAX - (size_t)n, format, arguments);
        if (world->verbose)
                (void)fprintf(stderr, "%s\n", line);
}

void world_trace(World *world, int host, const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        trace(world, host, format, arguments);
        va_end(arguments);
}

void world_disturb(World *world, const char *format, ...)
{
        va_list arguments;

        world->counters.faults++;
        va_start(arguments, format);
        trace(world, -1, format, arguments);
        va_end(arguments);
}

void world_break(World *world, Invariant invariant, int host, const char *format, ...)
{
        va_list arguments;

        if (world->failed)
                return;
        world->failed = world->broken[invariant] = true;
        va_start(arguments, format);
        trace(world, host, format, arguments);
        va_end(arguments);
        (void)memcpy(world->broken_text, world->trace[(world->n_trace - 1) % TRACE_MAX], TRACE_TEXT_MAX);
}

/* ---- running ---- */

void world_run(World *world)
{
        while (world->queue.n > 0 && !world->failed) {
                if (world->queue.items[0].at_usec > world->end_usec)
                        break;
                SimEvent event = queue_take(&world->queue);

                world->now_usec = event.at_usec;
                world->counters.events++;
                switch (event.kind) {
                case SIM_HOST:
                case SIM_PEOPLE:
                case SIM_WEATHER:
                case SIM_CHECK:
                        world->scenario(world, &event);
                        break;
                default:
                        host_handle(world, &event);
                        break;
                }
        }
        if (!world->failed)
                world->now_usec = world->end_usec;
        check_end(world);
}
