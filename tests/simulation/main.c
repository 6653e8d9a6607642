/* simulate: worlds in which everything goes wrong, and what must hold all the same. */

#include <getopt.h>
#include <inttypes.h>
#include <string.h>

#include "tests/simulation/check.h"
#include "tests/simulation/herd.h"
#include "tests/simulation/life.h"
#include "tests/simulation/must.h"

typedef enum Scenario {
        SCENARIO_LIFE,
        SCENARIO_HERD_BOOT,
        SCENARIO_HERD_OUTAGE,
        SCENARIO_BLANKET,
        SCENARIO_LIVES,
        _SCENARIO_MAX,
        _SCENARIO_INVALID = -EINVAL,
} Scenario;

static const struct {
        const char *name;
        uint64_t hosts;
        uint64_t days;
} scenarios[_SCENARIO_MAX] = {
        [SCENARIO_LIFE] = {"life", 1, 365},
        [SCENARIO_HERD_BOOT] = {"herd-boot", 10000, 1},
        [SCENARIO_HERD_OUTAGE] = {"herd-outage", 10000, 1},
        [SCENARIO_BLANKET] = {"blanket", 1000, 3},
        [SCENARIO_LIVES] = {"lives", 1000, 1},
};

#define FAULTS_ALL ((1U << _FAULT_MAX) - 1)

typedef struct Options {
        Scenario scenario;
        uint64_t seed;
        uint64_t days;
        uint64_t hosts;
        uint64_t budget; /* of the herds: requests in a window of 60 s */
        unsigned faults;
        Mutation mutation;
        bool headers;
        bool json;
        bool verbose;
        const char *series;
} Options;

static const char usage[] =
        "simulate [--scenario life|herd-boot|herd-outage|blanket|lives] [--seed N] [--days D] [--hosts H]\n"
        "         [--faults LIST] [--mutation NAME] [--json]\n"
        "\n"
        "Lives through a world made from the seed and says what of the invariants broke.\n"
        "\n"
        "  --scenario S     what to live through (life)\n"
        "  --seed N         which world (1); the same seed gives the same output\n"
        "  --days D         how long a life is (365)\n"
        "  --hosts H        how many hosts; of lives, how many lives\n"
        "  --faults LIST    what may go wrong (all), comma-separated: all, none, or some of\n"
        "                   power crash disk network gitlab expiry upgrade people neighbour clock clone\n"
        "                   reload pass drain notice dates\n"
        "  --mutation NAME  a deliberate mistake that must be caught; list: all names\n"
        "  --budget N       of the herds: requests that the server takes in 60 s (3600)\n"
        "  --no-headers     of the herds: the server sends neither RateLimit-* nor Retry-After\n"
        "  --series FILE    of the herds: writes the requests of each second\n"
        "  --json           prints one object\n"
        "  --verbose        tells everything that happens, on stderr\n";

static int parse_number(const char *text, uint64_t *ret)
{
        char *end;
        unsigned long long value;

        errno = 0;
        value = strtoull(text, &end, 10);
        if (errno != 0 || *end || end == text || text[0] == '-') {
                (void)fprintf(stderr, "simulate: '%s' is not a number\n", text);
                return -EINVAL;
        }
        *ret = value;
        return 0;
}

static int parse_fault(const char *word, size_t size, unsigned *faults)
{
        if (size == 3 && strncmp(word, "all", size) == 0)
                *faults = FAULTS_ALL;
        else if (size == 4 && strncmp(word, "none", size) == 0)
                *faults = 0;
        else {
                for (Fault fault = 0; fault < _FAULT_MAX; fault++)
                        if (strlen(fault_to_string(fault)) == size &&
                                strncmp(word, fault_to_string(fault), size) == 0) {
                                *faults |= 1U << fault;
                                return 0;
                        }
                (void)fprintf(stderr, "simulate: no fault is named '%.*s'\n", (int)size, word);
                return -EINVAL;
        }
        return 0;
}

static int parse_faults(const char *list, unsigned *ret)
{
        unsigned faults = 0;

        while (*list) {
                size_t size = strcspn(list, ",");
                int r = size > 0 ? parse_fault(list, size, &faults) : 0;

                if (r < 0)
                        return r;
                list += size;
                list += *list == ',';
        }
        *ret = faults;
        return 0;
}

static int parse_mutation(const char *word, Mutation *ret)
{
        for (Mutation mutation = 0; mutation < _MUTATION_MAX; mutation++)
                if (strcmp(mutation_to_string(mutation), word) == 0) {
                        *ret = mutation;
                        return 0;
                }
        (void)fprintf(stderr, "simulate: no mutation is named '%s'\n", word);
        return -EINVAL;
}

static int parse_scenario(const char *word, Scenario *ret)
{
        for (Scenario scenario = 0; scenario < _SCENARIO_MAX; scenario++)
                if (strcmp(scenarios[scenario].name, word) == 0) {
                        *ret = scenario;
                        return 0;
                }
        (void)fprintf(stderr, "simulate: no scenario is named '%s'\n", word);
        return -EINVAL;
}

enum {
        OPTION_SCENARIO = 256,
        OPTION_SEED,
        OPTION_DAYS,
        OPTION_HOSTS,
        OPTION_FAULTS,
        OPTION_MUTATION,
        OPTION_BUDGET,
        OPTION_NO_HEADERS,
        OPTION_SERIES,
        OPTION_JSON,
        OPTION_VERBOSE,
        OPTION_HELP,
};

static const struct option long_options[] = {
        {"scenario", required_argument, NULL, OPTION_SCENARIO},
        {"seed", required_argument, NULL, OPTION_SEED},
        {"days", required_argument, NULL, OPTION_DAYS},
        {"hosts", required_argument, NULL, OPTION_HOSTS},
        {"faults", required_argument, NULL, OPTION_FAULTS},
        {"mutation", required_argument, NULL, OPTION_MUTATION},
        {"budget", required_argument, NULL, OPTION_BUDGET},
        {"no-headers", no_argument, NULL, OPTION_NO_HEADERS},
        {"series", required_argument, NULL, OPTION_SERIES},
        {"json", no_argument, NULL, OPTION_JSON},
        {"verbose", no_argument, NULL, OPTION_VERBOSE},
        {"help", no_argument, NULL, OPTION_HELP},
        {NULL, 0, NULL, 0},
};

static int list_mutations(void)
{
        for (Mutation mutation = MUTATION_NONE + 1; mutation < _MUTATION_MAX; mutation++)
                printf("%s\n", mutation_to_string(mutation));
        return 1;
}

/* 1: all is said already. */
static int take_option(Options *options, int option)
{
        switch (option) {
        case OPTION_SCENARIO:
                return parse_scenario(optarg, &options->scenario);
        case OPTION_SEED:
                return parse_number(optarg, &options->seed);
        case OPTION_DAYS:
                return parse_number(optarg, &options->days);
        case OPTION_HOSTS:
                return parse_number(optarg, &options->hosts);
        case OPTION_FAULTS:
                return parse_faults(optarg, &options->faults);
        case OPTION_MUTATION:
                if (strcmp(optarg, "list") == 0)
                        return list_mutations();
                return parse_mutation(optarg, &options->mutation);
        case OPTION_BUDGET:
                return parse_number(optarg, &options->budget);
        case OPTION_NO_HEADERS:
                options->headers = false;
                return 0;
        case OPTION_SERIES:
                options->series = optarg;
                return 0;
        case OPTION_JSON:
                options->json = true;
                return 0;
        case OPTION_VERBOSE:
                options->verbose = true;
                return 0;
        case OPTION_HELP:
                printf("%s", usage);
                return 1;
        default:
                return -EINVAL;
        }
}

static int parse_options(int argc, char **argv, Options *options)
{
        int option, r;

        while ((option = getopt_long(argc, argv, "", long_options, NULL)) >= 0) {
                r = take_option(options, option);
                if (r != 0)
                        return r;
        }
        if (optind < argc) {
                (void)fprintf(stderr, "simulate: '%s' is not expected\n", argv[optind]);
                return -EINVAL;
        }
        if (options->hosts == 0)
                options->hosts = scenarios[options->scenario].hosts;
        if (options->days == 0)
                options->days = scenarios[options->scenario].days;
        if (options->hosts > 1000000 || options->days > 100000) {
                (void)fprintf(stderr, "simulate: at most 1000000 hosts and 100000 days\n");
                return -EINVAL;
        }
        return 0;
}

/* ---- running ---- */

static bool is_herd(Scenario scenario)
{
        return scenario == SCENARIO_HERD_BOOT || scenario == SCENARIO_HERD_OUTAGE;
}

static void begin(const Options *options, uint64_t seed, World *world)
{
        world_init(world, seed);
        world->faults = options->faults;
        world->mutation = options->mutation;
        world->verbose = options->verbose;
        world->end_usec = options->days * USEC_PER_DAY;
        world->herd_limit = options->budget;
        world->herd_headers = options->headers;
        switch (options->scenario) {
        case SCENARIO_LIFE:
                life_begin(world, (size_t)options->hosts);
                break;
        case SCENARIO_HERD_BOOT:
                world->end_usec = 2 * USEC_PER_HOUR;
                herd_boot_begin(world, (size_t)options->hosts);
                break;
        case SCENARIO_HERD_OUTAGE:
                world->end_usec = 10 * USEC_PER_HOUR;
                herd_outage_begin(world, (size_t)options->hosts);
                break;
        case SCENARIO_BLANKET:
                blanket_begin(world, (size_t)options->hosts);
                break;
        case SCENARIO_LIVES:
                lives_begin(world);
                break;
        case _SCENARIO_MAX:
        case _SCENARIO_INVALID:
                break;
        }
}

static void add_counters(Counters *sum, const Counters *one)
{
        const uint64_t *from = (const uint64_t *)one;
        uint64_t *to = (uint64_t *)sum;

        for (size_t i = 0; i < sizeof(*sum) / sizeof(uint64_t); i++)
                to[i] += from[i];
}

/* Life after life, each in a world of its own; the one that breaks is shown. */
static void run_lives(const Options *options, World *world)
{
        Counters sum = {0};
        Random seeds = {.state = options->seed};

        for (uint64_t i = 0; i < options->hosts; i++) {
                begin(options, random_next(&seeds), world);
                world_run(world);
                add_counters(&sum, &world->counters);
                if (world->failed || i + 1 == options->hosts)
                        break;
                world_done(world);
        }
        world->counters = sum;
}

/* ---- telling ---- */

static double herd_minimum(const Options *options)
{
        return (double)options->hosts * 60 / (double)options->budget;
}

static void print_json(const Options *options, const World *world)
{
        const Counters *c = &world->counters;

        printf("{\"seed\": %" PRIu64 ", \"scenario\": \"%s\", \"hosts\": %" PRIu64 ", \"days\": %" PRIu64
               ", \"events\": %" PRIu64 ", \"faults\": %" PRIu64 ", \"broken\": [",
                options->seed, scenarios[options->scenario].name, options->hosts, options->days, c->events,
                c->faults);
        bool first = true;
        for (Invariant i = 0; i < _INVARIANT_MAX; i++)
                if (world->broken[i]) {
                        printf("%s\"%s\"", first ? "" : ", ", invariant_to_string(i));
                        first = false;
                }
        printf("], \"creations\": %" PRIu64 ", \"deletions\": %" PRIu64 ", \"ghosts\": %" PRIu64
               ", \"orphans_recorded\": %" PRIu64 ", \"lost_answers\": %" PRIu64 ", \"tokens_lost\": %" PRIu64,
                c->creations, c->deletions, c->ghosts, c->orphans_recorded, c->lost_answers, c->tokens_lost);
        if (is_herd(options->scenario))
                printf(", \"budget_per_second\": %.2f, \"peak_per_second\": %u, \"throttled_per_host\": %.4f, "
                       "\"seconds_to_99\": %.2f, \"seconds_minimum\": %.2f",
                        (double)options->budget / 60, herd_peak(world), (double)c->throttled / (double)options->hosts,
                        (double)world->converged_usec / 1e6, herd_minimum(options));
        printf("}\n");
}

static void print_failure(const Options *options, const World *world)
{
        size_t from = world->n_trace > TRACE_MAX ? world->n_trace - TRACE_MAX : 0;

        printf("\nthe last that happened:\n");
        for (size_t i = from; i < world->n_trace; i++)
                printf("  %s\n", world->trace[i % TRACE_MAX]);
        for (Invariant i = 0; i < _INVARIANT_MAX; i++)
                if (world->broken[i])
                        printf("\nseed %" PRIu64 " breaks %s: %s\n", options->seed, invariant_to_string(i),
                                world->broken_text);
}

static void print_summary(const Options *options, const World *world)
{
        const Counters *c = &world->counters;

        printf("%s, seed %" PRIu64 ", %" PRIu64 " %s: %" PRIu64 " events, %" PRIu64 " faults, %" PRIu64
               " power cuts\n",
                scenarios[options->scenario].name, options->seed, options->hosts,
                options->scenario == SCENARIO_LIVES ? "lives" : "hosts", c->events, c->faults, c->power_cuts);
        printf("GitLab: %" PRIu64 " requests, %" PRIu64 " creations, %" PRIu64 " deletions, %" PRIu64
               " resets, %" PRIu64 " throttled\n",
                c->requests, c->creations, c->deletions, c->resets, c->throttled);
        printf("lost: %" PRIu64 " answers to creates, %" PRIu64 " of them noted; %" PRIu64
               " answers to resets; %" PRIu64 " tokens; %" PRIu64 " ghosts\n",
                c->lost_answers, c->orphans_recorded, c->lost_resets, c->tokens_lost, c->ghosts);
        if (is_herd(options->scenario))
                printf("herd: %.1f s to 99 %% (least possible %.1f s), %u requests in the busiest second after the "
                       "first (budget %.1f), %.3f refusals per host\n",
                        (double)world->converged_usec / 1e6, herd_minimum(options), herd_peak(world),
                        (double)options->budget / 60, (double)c->throttled / (double)options->hosts);
        if (world->failed)
                print_failure(options, world);
        else
                printf("every invariant held\n");
}

static int write_series(const Options *options, const World *world)
{
        FILE *file = fopen(options->series, "we");

        if (!file)
                return -errno;
        for (size_t i = 0; i < world->n_seconds && i < 1800; i++)
                (void)fprintf(file, "%u\n", world->per_second[i]);
        return fclose(file) == 0 ? 0 : -EIO;
}

int main(int argc, char **argv)
{
        Options options = {.seed = 1, .budget = 3600, .headers = true, .faults = FAULTS_ALL};
        World world;
        int r = parse_options(argc, argv, &options);

        if (r != 0)
                return r < 0 ? 2 : 0;
        if (options.scenario == SCENARIO_LIVES && options.hosts > 0)
                run_lives(&options, &world);
        else {
                begin(&options, options.seed, &world);
                world_run(&world);
        }
        if (options.json)
                print_json(&options, &world);
        else
                print_summary(&options, &world);
        if (options.series && world.per_second && write_series(&options, &world) < 0)
                (void)fprintf(stderr, "simulate: can't write '%s'\n", options.series);
        bool failed = world.failed;
        world_done(&world);
        return failed;
}
