#include "tests/simulation/gitlab.h"

#include <string.h>

#include "tests/simulation/gitlab-parts.h"
#include "tests/simulation/host.h"
#include "tests/simulation/must.h"

#define EPOCH_USEC (UINT64_C(1767225600) * USEC_PER_SEC)

const char *weather_to_string(Weather weather)
{
        static const char *const names[_WEATHER_MAX] = {
                [WEATHER_FAIR] = "fair",
                [WEATHER_DOWN] = "down",
                [WEATHER_SILENT] = "silent",
                [WEATHER_500] = "500",
                [WEATHER_502] = "502",
                [WEATHER_503] = "503 with Retry-After",
                [WEATHER_READ_ONLY] = "read-only",
                [WEATHER_401] = "401 to all",
                [WEATHER_403] = "403 Forbidden to all",
                [WEATHER_403_HTML] = "403 by a firewall",
                [WEATHER_404] = "404 to all",
                [WEATHER_MIGRATION] = "429 by migrations",
                [WEATHER_THROTTLE] = "throttled",
                [WEATHER_THROTTLE_TEXT] = "throttled without headers",
                [WEATHER_LOGIN] = "login page",
                [WEATHER_REDIRECT] = "redirect",
        };

        return names[weather];
}

uint64_t gitlab_realtime(const World *world)
{
        return EPOCH_USEC + world->now_usec;
}

void gitlab_init(World *world)
{
        world->gitlab = must(calloc(1, sizeof(*world->gitlab)));
        world->gitlab->version = 18;
        world->gitlab->headers = true;
}

void gitlab_done(GitLab *gitlab)
{
        for (size_t i = 0; i < gitlab->n; i++)
                free(gitlab->runners[i].managers);
        free(gitlab->runners);
        free(gitlab);
}

void request_free(SimRequest *request)
{
        reply_done(&request->reply);
        free(request);
}

/* ---- rows ---- */

bool gitlab_is_at(const char *url, int number)
{
        static const char *const urls[GITLAB_URLS] = {GITLAB_URL, GITLAB_URL_OTHER};

        for (int i = 0; url && i < GITLAB_URLS; i++)
                if ((number < 0 || number == i) && url_equal(url, urls[i]))
                        return true;
        return false;
}

void gitlab_give_token(World *world, SimRunner *runner)
{
        static const char alphabet[] = "abcdefghijkmnpqrstuvwxyzABCDEFGH";
        char body[13];

        for (size_t i = 0; i < sizeof(body) - 1; i++)
                body[i] = alphabet[world_below(world, sizeof(alphabet) - 1)];
        body[sizeof(body) - 1] = 0;
        (void)memcpy(runner->old_token, runner->token, sizeof(runner->token));
        (void)snprintf(runner->token, sizeof(runner->token), "%s%08llx%s", runner->created ? "glrt-" : "glrtr-",
                (unsigned long long)runner->id, body);
        /* Nobody would rotate a shared one, and what can't be reset does not expire. */
        uint64_t expiry = runner->shared || world->gitlab->version < 15 ? 0 : world->gitlab->expiry_usec;
        runner->expires_usec = expiry ? (gitlab_realtime(world) + expiry) / USEC_PER_MSEC * USEC_PER_MSEC : 0;
        runner->made_usec = world->now_usec;
        runner->known = false;
        runner->lost_reset = runner->by_neighbour = false;
}

SimRunner *gitlab_add_runner(World *world, int host, bool created)
{
        GitLab *gitlab = world->gitlab;

        if (gitlab->n == gitlab->allocated) {
                gitlab->allocated = gitlab->allocated ? gitlab->allocated * 2 : 16;
                gitlab->runners = must(realloc(gitlab->runners, gitlab->allocated * sizeof(*gitlab->runners)));
        }
        SimRunner *runner = &gitlab->runners[gitlab->n++];
        *runner = (SimRunner){.id = (int64_t)gitlab->n, .host = host, .exists = true, .created = created};
        gitlab_give_token(world, runner);
        return runner;
}

SimRunner *gitlab_find_id(const GitLab *gitlab, int64_t id)
{
        if (id < 1 || (size_t)id > gitlab->n || !gitlab->runners[id - 1].exists)
                return NULL;
        return &gitlab->runners[id - 1];
}

/* The row's number stands in its token. */
SimRunner *gitlab_find(const GitLab *gitlab, const char *token)
{
        const char *dash = strchr(token, '-');
        unsigned long long id;

        if (!dash || sscanf(dash + 1, "%8llx", &id) != 1)
                return NULL;
        SimRunner *runner = gitlab_find_id(gitlab, (int64_t)id);
        return runner && strcmp(runner->token, token) == 0 ? runner : NULL;
}

/* To GitLab an expired token is an unknown one. */
bool gitlab_takes(const World *world, const SimRunner *runner)
{
        return runner && runner->exists &&
               (runner->expires_usec == 0 || runner->expires_usec >= gitlab_realtime(world));
}

SimRunner *gitlab_make_shared(World *world)
{
        SimRunner *runner = gitlab_add_runner(world, -1, true);

        runner->shared = true;
        runner->expires_usec = 0;
        return runner;
}

void gitlab_remove(SimRunner *runner)
{
        runner->exists = false;
        runner->n_managers = 0;
}

void gitlab_reset_by_person(World *world, SimRunner *runner)
{
        gitlab_give_token(world, runner);
        runner->touched = true;
}

void gitlab_reset_by_neighbour(World *world, SimRunner *runner)
{
        gitlab_give_token(world, runner);
        runner->by_neighbour = true;
        world->counters.resets++;
}

void gitlab_meet_manager(SimRunner *runner, const char *system_id, int host)
{
        for (size_t i = 0; i < runner->n_managers; i++)
                if (strcmp(runner->managers[i].system_id, system_id) == 0)
                        return;
        runner->managers = must(realloc(runner->managers, (runner->n_managers + 1) * sizeof(*runner->managers)));
        SimManager *manager = &runner->managers[runner->n_managers++];
        *manager = (SimManager){.host = host};
        (void)snprintf(manager->system_id, sizeof(manager->system_id), "%s", system_id);
}

static bool fails_for_all(Weather weather)
{
        return weather != WEATHER_FAIR && weather != WEATHER_THROTTLE && weather != WEATHER_THROTTLE_TEXT;
}

/* A clone's gitlab-runner may ask under the id on its disk before our agent has run there: the sibling's manager. */
static int owner_of_id(const World *world, const char *system_id, int host)
{
        for (size_t i = 0; i < world->n_hosts && strcmp(world->hosts[host]->system_id, system_id) != 0; i++)
                if (strcmp(world->hosts[i]->system_id, system_id) == 0)
                        return (int)i;
        return host;
}

bool gitlab_poll(World *world, const char *token, const char *system_id, int host)
{
        SimRunner *runner = gitlab_find(world->gitlab, token);

        if (fails_for_all(world->gitlab->weather))
                return true;
        if (!gitlab_takes(world, runner))
                return false;
        if (world->gitlab->version >= 16)
                gitlab_meet_manager(runner, system_id, owner_of_id(world, system_id, host));
        return true;
}
