/* simulate: worlds in which everything goes wrong, and what must hold all the same. */

#include <getopt.h>
#include <inttypes.h>
#include <string.h>

#include "tests/simulation/check.h"
#include "tests/simulation/life.h"
#include "tests/simulation/must.h"

typedef enum Scenario {
        SCENARIO_LIFE,
        _SCENARIO_MAX,
        _SCENARIO_INVALID = -EINVAL,
} Scenario;

_unused_ static const char *const scenario_names[_SCENARIO_MAX] = {
        [SCENARIO_LIFE] = "life",
};

typedef struct Options {
        Scenario scenario;
        uint64_t seed;
        uint64_t days;
        uint64_t hosts;
        unsigned faults;
        Mutation mutation;
        bool json;
        bool verbose;
} Options;

int main(int argc, char **argv)
{
        Options options = {.seed = 1, .days = 365, .hosts = 1, .faults = (1U << _FAULT_MAX) - 1};
        World world;

        for (int i = 1; i < argc; i++) {
                if (strcmp(argv[i], "--seed") == 0)
                        options.seed = strtoull(argv[++i], NULL, 10);
                else if (strcmp(argv[i], "--days") == 0)
                        options.days = strtoull(argv[++i], NULL, 10);
                else if (strcmp(argv[i], "--verbose") == 0)
                        options.verbose = true;
        }
        world_init(&world, options.seed);
        world.verbose = options.verbose;
        world.end_usec = options.days * USEC_PER_DAY;
        life_begin(&world, (size_t)options.hosts);
        world_run(&world);
        printf("events %" PRIu64 " faults %" PRIu64 " creations %" PRIu64 " deletions %" PRIu64 " lost %" PRIu64
               " recorded %" PRIu64 " resets %" PRIu64 " lost resets %" PRIu64 " cuts %" PRIu64 "\n",
                world.counters.events, world.counters.faults, world.counters.creations, world.counters.deletions,
                world.counters.lost_answers, world.counters.orphans_recorded, world.counters.resets,
                world.counters.lost_resets, world.counters.power_cuts);
        if (world.failed) {
                size_t from = world.n_trace > TRACE_MAX ? world.n_trace - TRACE_MAX : 0;

                for (size_t i = from; i < world.n_trace; i++)
                        printf("  %s\n", world.trace[i % TRACE_MAX]);
                for (size_t i = 0; i < _INVARIANT_MAX; i++)
                        if (world.broken[i])
                                printf("BROKEN seed %" PRIu64 ": %s\n", options.seed,
                                        invariant_to_string((Invariant)i));
        }
        bool failed = world.failed;
        world_done(&world);
        return failed;
}
