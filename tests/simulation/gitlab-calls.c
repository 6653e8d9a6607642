#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "tests/simulation/check.h"
#include "tests/simulation/gitlab-parts.h"
#include "tests/simulation/host.h"
#include "tests/simulation/must.h"

#define WINDOW_USEC     (60 * USEC_PER_SEC)
#define THROTTLED_LIMIT 2

/* Of two GitLabs each knows its own. */
static SimRunner *find_here(const World *world, const SimRequest *request, bool by_id)
{
        SimRunner *runner = by_id ? gitlab_find_id(world->gitlab, request->runner_id)
                                  : gitlab_find(world->gitlab, request->token);

        return runner && runner->url == request->url ? runner : NULL;
}

/* ---- answers ---- */

static void answer(SimRequest *request, unsigned status, const char *type, const char *format, ...) _printf_(4, 5);
static void answer(SimRequest *request, unsigned status, const char *type, const char *format, ...)
{
        Reply *reply = &request->reply;
        char *text;
        va_list arguments;

        va_start(arguments, format);
        int n = vasprintf(&text, format, arguments);
        va_end(arguments);
        if (n < 0 || secret_new(text, (size_t)n, &reply->body) < 0)
                (void)must(NULL);
        free(text);
        reply->transport = TRANSPORT_OK;
        reply->status = status;
        reply->content_type = must(strdup(type));
}

static char *number(uint64_t value)
{
        char text[24];

        (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
        return must(strdup(text));
}

#define JSON "application/json"
#define HTML "text/html"

static void forbidden(SimRequest *request)
{
        answer(request, 403, JSON, "{\"message\":\"403 Forbidden\"}");
}

static void lost(SimRequest *request)
{
        request->reply.transport = TRANSPORT_LOST;
}

static void answer_credentials(
        World *world, SimRequest *request, unsigned status, const SimRunner *runner, bool with_id)
{
        char expiry[TIME_RFC3339_MAX + 2] = "null", text[TIME_RFC3339_MAX], id[48] = "";

        (void)snprintf(request->answer_token, sizeof(request->answer_token), "%s", runner->token);
        if (runner->expires_usec)
                (void)snprintf(expiry, sizeof(expiry), "\"%s\"", time_format_rfc3339(runner->expires_usec, text));
        if (with_id)
                (void)snprintf(id, sizeof(id), "\"id\":%lld,", (long long)runner->id);
        if (world->gitlab->version < 15)
                answer(request, status, JSON, "{%s\"token\":\"%s\"}", id, runner->token);
        else
                answer(request, status, JSON, "{%s\"token\":\"%s\",\"token_expires_at\":%s}", id, runner->token,
                        expiry);
}

static void no_route(SimRequest *request)
{
        answer(request, 404, JSON, "{\"error\":\"404 Not Found\"}");
}

/* ---- calls ---- */

static void create(World *world, SimRequest *request)
{
        bool by_access = request->call == CALL_CREATE;

        if (by_access && world->gitlab->version < 16) {
                no_route(request);
                return;
        }
        if (by_access && !request->access_token) {
                answer(request, 401, JSON, "{\"message\":\"401 Unauthorized\"}");
                return;
        }
        if (!by_access && world->gitlab->registration_disabled) {
                answer(request, 410, JSON, "{\"message\":\"410 Gone - runner registration disallowed\"}");
                return;
        }
        if (!by_access && strcmp(request->token, REGISTRATION_TOKEN) != 0) {
                answer(request, 403, JSON, "{\"message\":\"403 Forbidden - invalid token supplied\"}");
                return;
        }
        SimRunner *runner = gitlab_add_runner(world, request->host, by_access);
        (void)snprintf(runner->marker, sizeof(runner->marker), "%s", request->marker);
        runner->runner = request->runner;
        runner->url = request->url;
        const HostRunner *asker = &world->hosts[request->host]->runners[request->runner];
        runner->withdrawal_wanted = host_is_leaving(asker->host) || asker->ending;
        world->counters.creations++;
        request->acted = true;
        request->acted_on = runner->id;
        check_created(world, request);
        answer_credentials(world, request, 201, runner, true);
}

static void verify(World *world, SimRequest *request)
{
        SimRunner *runner = find_here(world, request, false);

        if (!request->token[0]) {
                answer(request, 400, JSON, "{\"error\":\"token is missing\"}");
                return;
        }
        world->counters.verifies++;
        if (!gitlab_takes(world, runner)) {
                check_expired(world, request, runner);
                forbidden(request);
                return;
        }
        if (world->gitlab->version < 16) {
                answer(request, 200, world_chance(world, 2) ? JSON : "text/plain", "200");
                return;
        }
        gitlab_meet_manager(runner, request->system_id[0] ? request->system_id : "<legacy>", request->host);
        answer_credentials(world, request, 200, runner, true);
}

static void reset(World *world, SimRequest *request)
{
        bool by_id = request->call == CALL_RESET_BY_ID;
        SimRunner *runner = find_here(world, request, by_id);

        if (world->gitlab->version < 15) {
                no_route(request);
                return;
        }
        if (by_id && !request->access_token) {
                answer(request, 401, JSON, "{\"message\":\"401 Unauthorized\"}");
                return;
        }
        if (by_id && !runner) {
                answer(request, 404, JSON, "{\"message\":\"404 Runner Not Found\"}");
                return;
        }
        if (!by_id && !gitlab_takes(world, runner)) {
                forbidden(request);
                return;
        }
        check_reset(world, request, runner);
        gitlab_give_token(world, runner);
        world->counters.resets++;
        runner->in_flight = true;
        request->acted = true;
        request->acted_on = runner->id;
        answer_credentials(world, request, 201, runner, false);
}

static void delete_runner(World *world, SimRequest *request)
{
        bool by_id = request->call == CALL_DELETE_BY_ID;
        SimRunner *runner = find_here(world, request, by_id);

        if (by_id && !request->access_token) {
                answer(request, 401, JSON, "{\"message\":\"401 Unauthorized\"}");
                return;
        }
        if (by_id ? !runner : !gitlab_takes(world, runner)) {
                if (by_id)
                        answer(request, 404, JSON, "{\"message\":\"404 Runner Not Found\"}");
                else
                        forbidden(request);
                return;
        }
        check_deleted(world, request, runner, NULL);
        world->counters.deletions++;
        request->acted = true;
        gitlab_remove(runner);
        answer(request, 204, JSON, "%s", "");
}

static void delete_manager(World *world, SimRequest *request)
{
        SimRunner *runner = find_here(world, request, false);

        if (world->gitlab->version < 16) {
                if (world_chance(world, 2))
                        answer(request, 400, JSON, "{\"error\":\"id is invalid\"}");
                else
                        answer(request, 401, JSON, "{\"message\":\"401 Unauthorized\"}");
                return;
        }
        if (!gitlab_takes(world, runner)) {
                forbidden(request);
                return;
        }
        for (size_t i = 0; i < runner->n_managers; i++) {
                if (strcmp(runner->managers[i].system_id, request->system_id) != 0)
                        continue;
                check_deleted(world, request, runner, &runner->managers[i]);
                runner->managers[i] = runner->managers[--runner->n_managers];
                world->counters.deletions++;
                request->acted = true;
                host_token_missed(world, request->token, request->system_id);
                answer(request, 204, JSON, "%s", "");
                return;
        }
        answer(request, 404, JSON, "{\"message\":\"404 Runner manager not found Not Found\"}");
}

/* Ascending ids, a hundred a page, as GitLab sorts them. */
static void list(World *world, SimRequest *request)
{
        char text[8192] = "[";
        size_t used = 1, rows = 0, all = 0;

        if (!request->access_token) {
                answer(request, 401, JSON, "{\"message\":\"401 Unauthorized\"}");
                return;
        }
        for (size_t i = 0; i < world->gitlab->n; i++) {
                const SimRunner *runner = &world->gitlab->runners[i];

                if (!runner->exists || runner->shared || runner->url != request->url)
                        continue;
                all++;
                if (rows == 100)
                        continue;
                used += (size_t)snprintf(text + used, sizeof(text) - used,
                        "%s{\"id\":%lld,\"runner_type\":\"project_type\"}", rows ? "," : "", (long long)runner->id);
                rows++;
        }
        answer(request, 200, JSON, "%s]", text);
        if (all > rows)
                request->reply.next_page = must(strdup("2"));
}

static void show(World *world, SimRequest *request)
{
        const SimRunner *runner = find_here(world, request, true);

        if (!request->access_token)
                answer(request, 401, JSON, "{\"message\":\"401 Unauthorized\"}");
        else if (!runner)
                answer(request, 404, JSON, "{\"message\":\"404 Runner Not Found\"}");
        else
                answer(request, 200, JSON, "{\"id\":%lld,\"maintenance_note\":\"made by hand %s\"}",
                        (long long)runner->id, runner->created ? runner->marker : "");
}

static void act(World *world, SimRequest *request)
{
        switch (request->call) {
        case CALL_REGISTER:
        case CALL_CREATE:
                create(world, request);
                break;
        case CALL_VERIFY:
        case CALL_PROBE:
                verify(world, request);
                break;
        case CALL_RESET:
        case CALL_RESET_BY_ID:
                reset(world, request);
                break;
        case CALL_DELETE_RUNNER:
        case CALL_DELETE_BY_ID:
                delete_runner(world, request);
                break;
        case CALL_DELETE_MANAGER:
                delete_manager(world, request);
                break;
        case CALL_LIST:
                list(world, request);
                break;
        case CALL_SHOW:
                show(world, request);
                break;
        case _CALL_MAX:
        case _CALL_INVALID:
                break;
        }
}

/* ---- bad days ---- */

/* The deed is done sometimes although the answer does not say so. */
static void act_in_vain(World *world, SimRequest *request)
{
        if (!world_chance(world, 3))
                return;
        act(world, request);
        reply_done(&request->reply);
        request->reply = (Reply){0};
        request->answer_token[0] = 0;
}

static char *http_date(uint64_t usec)
{
        time_t seconds = (time_t)(usec / USEC_PER_SEC);
        struct tm tm;
        char text[40];

        (void)gmtime_r(&seconds, &tm);
        (void)strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
        return must(strdup(text));
}

/* In seconds as GitLab says it, or as a date, or as the throttle's own: each for itself must do. */
static void when_to_return(World *world, SimRequest *request, uint64_t seconds)
{
        Reply *reply = &request->reply;
        uint64_t at = gitlab_realtime(world) + seconds * USEC_PER_SEC;

        request->told_usec = world->now_usec + seconds * USEC_PER_SEC;
        switch (world_has(world, FAULT_DATES) ? world_below(world, 4) : 0) {
        case 0:
                reply->retry_after = number(seconds);
                break;
        case 1:
                reply->retry_after = http_date(at);
                break;
        case 2:
                reply->ratelimit_reset_time = http_date(at);
                break;
        default:
                reply->retry_after = number(seconds / 2);
                reply->ratelimit_reset_time = http_date(at);
                break;
        }
}

static bool refuse_throttled(World *world, SimRequest *request, uint64_t limit, bool headers)
{
        GitLab *gitlab = world->gitlab;
        uint64_t window = world->now_usec / WINDOW_USEC;
        uint64_t left = (window + 1) * WINDOW_USEC - world->now_usec;
        Reply *reply = &request->reply;

        if (gitlab->window != window) {
                gitlab->window = window;
                gitlab->observed = 0;
        }
        if (++gitlab->observed <= limit)
                return false;
        world->counters.throttled++;
        answer(request, 429, "text/plain", "Retry later\n");
        if (!headers)
                return true;
        uint64_t left_seconds = (left + USEC_PER_SEC - 1) / USEC_PER_SEC;
        when_to_return(world, request, left_seconds);
        reply->ratelimit_limit = number(limit);
        reply->ratelimit_observed = number(gitlab->observed);
        reply->ratelimit_remaining = number(0);
        return true;
}

static bool is_write(Call call)
{
        return call != CALL_LIST && call != CALL_SHOW;
}

/* True: the weather answered. */
static bool weather_answers(World *world, SimRequest *request)
{
        switch (world->gitlab->weather) {
        case WEATHER_DOWN:
                request->reply.transport = TRANSPORT_NOT_SENT;
                return true;
        case WEATHER_SILENT:
                act_in_vain(world, request);
                lost(request);
                return true;
        case WEATHER_500:
                act_in_vain(world, request);
                answer(request, 500, JSON, "{\"message\":\"500 Internal Server Error\"}");
                return true;
        case WEATHER_502:
                act_in_vain(world, request);
                answer(request, 502, HTML, "<html>502 Bad Gateway</html>");
                return true;
        case WEATHER_503:
                answer(request, 503, JSON, "{\"message\":\"503 Service Unavailable\"}");
                when_to_return(world, request, 60);
                return true;
        case WEATHER_READ_ONLY:
                if (!is_write(request->call))
                        return false;
                answer(request, 403, JSON,
                        "{\"message\":\"You cannot perform write operations on a read-only instance\"}");
                return true;
        case WEATHER_401:
                answer(request, 401, JSON, "{\"message\":\"401 Unauthorized\"}");
                return true;
        case WEATHER_403:
                forbidden(request);
                return true;
        case WEATHER_403_HTML:
                answer(request, 403, HTML, "<html>403 Forbidden</html>");
                return true;
        case WEATHER_404:
                answer(request, 404, JSON, "{\"error\":\"404 Not Found\"}");
                return true;
        case WEATHER_MIGRATION:
                answer(request, 429, JSON, "{\"message\":\"Executing database migrations. Please retry later.\"}");
                when_to_return(world, request, 60);
                return true;
        case WEATHER_THROTTLE:
                return refuse_throttled(world, request, THROTTLED_LIMIT, true);
        case WEATHER_THROTTLE_TEXT:
                return refuse_throttled(world, request, THROTTLED_LIMIT, false);
        case WEATHER_LOGIN:
                answer(request, 200, HTML, "<html>Sign in</html>");
                return true;
        case WEATHER_REDIRECT:
                answer(request, 302, HTML, "<html>moved</html>");
                request->reply.location = must(strdup("https://sso.example.com/"));
                return true;
        case WEATHER_FAIR:
        case _WEATHER_MAX:
                break;
        }
        return false;
}

void gitlab_handle(World *world, SimRequest *request)
{
        GitLab *gitlab = world->gitlab;

        world->counters.requests++;
        check_request(world, request);
        if (!weather_answers(world, request) &&
                !(gitlab->window_limit && refuse_throttled(world, request, gitlab->window_limit, gitlab->headers)))
                act(world, request);
        /* Herds are many, and their clocks right. */
        if (request->reply.transport == TRANSPORT_OK && !world->per_second)
                request->reply.date = http_date(gitlab_realtime(world));
}
