/* What must hold of requests: at GitLab, and on their way. */

#include <stdio.h>
#include <string.h>

#include "tests/simulation/check-parts.h"
#include "tests/simulation/herd.h"

/* More than that in a minute from one runner is a storm. */
#define REQUESTS_PER_MINUTE_MAX 40

bool check_is_create(Call call)
{
        return call == CALL_REGISTER || call == CALL_CREATE;
}

static bool is_reset(Call call)
{
        return call == CALL_RESET || call == CALL_RESET_BY_ID;
}

/* What gitlab-runner got from a rotation and then lost is alive only in GitLab. */
static bool is_lost_by_neighbour(const SimRunner *row, const Host *host)
{
        return row->by_neighbour && !host_has_token(host, row->token);
}

/* Whether a row is a living runner of HOST's runner INDEX that the host got to know and nobody took from it. */
bool check_is_living(const World *world, const SimRunner *row, const Host *host, int index)
{
        return row->exists && row->host == host->index && row->runner == index && row->answered && !row->touched &&
               !row->lost_reset && !row->in_flight && gitlab_takes(world, row) && !is_lost_by_neighbour(row, host);
}

/* ---- at GitLab ---- */

void check_request(World *world, const SimRequest *request)
{
        (void)request;
        if (!world->per_second || world->now_usec < world->herd_begin_usec)
                return;
        size_t second = (size_t)((world->now_usec - world->herd_begin_usec) / USEC_PER_SEC);
        if (second < world->n_seconds)
                world->per_second[second]++;
}

void check_created(World *world, const SimRequest *request)
{
        const Host *host = world->hosts[request->host];

        /* One that was long on its way, and given up, is a window of the protocol, and noted as such. */
        if (!host->agent || host->runners[request->runner].generation != request->generation)
                return;
        for (size_t i = 0; !host->diskless && i + 1 < world->gitlab->n; i++)
                if (world->gitlab->runners[i].url == request->url &&
                        check_is_living(world, &world->gitlab->runners[i], host, request->runner))
                        world_break(world, INVARIANT_BLANKET, host->index,
                                "makes a new runner while runner %lld lives", (long long)i + 1);
}

static uint64_t runner_made(const SimRunner *runner)
{
        return runner ? runner->made_usec : 0;
}

void check_expired(World *world, const SimRequest *request, const SimRunner *runner)
{
        const Host *host = world->hosts[request->host];
        const HostRunner *mine = &host->runners[request->runner];
        uint64_t disturbed =
                host->disturbed_usec > world->disturbed_usec ? host->disturbed_usec : world->disturbed_usec;

        if (world->gitlab->weather != WEATHER_FAIR || host->network_down_until_usec > runner_made(runner))
                return;
        if (!runner || !runner->exists || runner->shared || runner->by_neighbour || !mine->lifecycle || host->once)
                return;
        const Record *record = lifecycle_record(mine->lifecycle);
        /* It is the one in use, all was well for all of its life, and nobody but the agent was to rotate it. */
        if (record->token && strcmp(secret_data(record->token), request->token) == 0 &&
                mine->setting.rotation == ROTATION_AUTO && disturbed + USEC_PER_MINUTE < runner->made_usec)
                world_break(world, INVARIANT_TOKEN_KEPT, host->index,
                        "lets the token of runner %lld expire, though all was well", (long long)runner->id);
}

void check_reset(World *world, const SimRequest *request, const SimRunner *runner)
{
        if (runner->shared)
                world_break(world, INVARIANT_ONLY_OURS, request->host, "rotates runner %lld, which others share",
                        (long long)runner->id);
        else if (runner->host != request->host)
                world_break(world, INVARIANT_ONLY_OURS, request->host, "rotates runner %lld of host %d",
                        (long long)runner->id, runner->host);
}

/* The same token under another name of this host, as after a change of it: gitlab-runner polls as one manager. */
static const HostRunner *lives_under(const Host *host, const SimRequest *request)
{
        for (size_t i = 0; i < host->n_runners && !host->stopping; i++) {
                const HostRunner *other = &host->runners[i];
                const Lifecycle *lifecycle = other->lifecycle;

                if (other->index == request->runner || !lifecycle || !other->setting.configured || other->ending ||
                        lifecycle_state(lifecycle) != RUNNER_STATE_REGISTERED)
                        continue;
                const Secret *token = lifecycle_record(lifecycle)->token;
                if (token && strcmp(secret_data(token), request->token) == 0)
                        return other;
        }
        return NULL;
}

/* In the file, and as the agent has read it: who changes his mind before a reload is not heard. */
static bool is_wanted(const HostRunner *runner, unsigned url)
{
        return runner->file.configured && runner->file.url == url && runner->setting.configured &&
               runner->setting.url == url;
}

void check_deleted(World *world, const SimRequest *request, const SimRunner *runner, const SimManager *manager)
{
        if (manager) {
                if (manager->host != request->host)
                        world_break(world, INVARIANT_ONLY_OURS, request->host, "deletes the manager %s of host %d",
                                manager->system_id, manager->host);
                const HostRunner *other = lives_under(world->hosts[request->host], request);
                if (other)
                        world_break(world, INVARIANT_ONLY_OURS, request->host,
                                "deletes the manager %s, which %s needs", manager->system_id, other->name);
                return;
        }
        if (runner->shared)
                world_break(world, INVARIANT_ONLY_OURS, request->host, "deletes runner %lld, which others share",
                        (long long)runner->id);
        else if (runner->host != request->host)
                world_break(world, INVARIANT_ONLY_OURS, request->host, "deletes runner %lld of host %d",
                        (long long)runner->id, runner->host);
        else if (runner->answered && !runner->withdrawal_wanted && !runner->touched &&
                 is_wanted(&world->hosts[request->host]->runners[runner->runner], runner->url))
                world_break(world, INVARIANT_BLANKET, request->host,
                        "deletes its runner %lld, which nobody asked for", (long long)runner->id);
}

/* ---- requests ---- */

/* What is known of a token's death: GitLab's exact words, three times, over ten minutes. */
#define PROOFS     3
#define PROOF_USEC (10 * USEC_PER_MINUTE)

Doubt *check_doubt_of(HostRunner *runner, const char *token)
{
        for (size_t i = 0; i < ELEMENTS(runner->doubts); i++)
                if (strcmp(runner->doubts[i].token, token) == 0)
                        return &runner->doubts[i];
        Doubt *doubt = &runner->doubts[runner->n_doubts++ % DOUBTS_MAX];
        *doubt = (Doubt){0};
        (void)snprintf(doubt->token, sizeof(doubt->token), "%s", token);
        return doubt;
}

static void note_forbidden(HostRunner *runner, const SimRequest *request)
{
        const Reply *reply = &request->reply;
        bool forbidden = reply->transport == TRANSPORT_OK && reply->status == 403 && reply->body &&
                         strcmp(secret_data(reply->body), "{\"message\":\"403 Forbidden\"}") == 0;

        if (request->call != CALL_VERIFY || reply->transport != TRANSPORT_OK)
                return;
        Doubt *doubt = check_doubt_of(runner, request->token);
        doubt->ever += forbidden;
        if (forbidden && doubt->forbidden++ == 0)
                doubt->since_usec = runner->host->world->now_usec;
        else if (!forbidden && reply->status == 200 && strcmp(reply->content_type, "text/html") != 0)
                doubt->forbidden = 0;
}

/* Before what was enrolled is replaced. */
static void check_proofs(HostRunner *runner, const SimRequest *request)
{
        Host *host = runner->host;
        const Record *record = lifecycle_record(runner->lifecycle);

        if (!record->token || (!check_is_create(request->call) && request->call != CALL_RESET_BY_ID))
                return;
        /* A clock or a disk that failed may have brought older proofs back. */
        if (host_clock_is_off(host))
                return;
        const Doubt *doubt = check_doubt_of(runner, secret_data(record->token));
        if (doubt->forbidden < PROOFS || host->world->now_usec < doubt->since_usec + PROOF_USEC)
                world_break(host->world, INVARIANT_BLANKET, host->index, "gives its runner up after %u proofs",
                        doubt->forbidden);
}

static void check_create_sent(HostRunner *runner, SimRequest *request)
{
        Host *host = runner->host;
        World *world = host->world;

        if (runner->create_lost)
                world_break(world, INVARIANT_ENROLLED_ONCE, host->index,
                        "sends a create again blindly, its answer having been lost");
        if (runner->window.lost && !runner->window.recorded)
                world_break(world, INVARIANT_ENROLLED_ONCE, host->index,
                        "begins a new create, the lost one not being noted");
        runner->window = (Window){.open = true};
        runner->create_lost = true;
}

static bool is_change(Call call)
{
        return check_is_create(call) || call == CALL_DELETE_RUNNER || call == CALL_DELETE_MANAGER ||
               call == CALL_DELETE_BY_ID;
}

void check_sent(HostRunner *runner, SimRequest *request)
{
        World *world = runner->host->world;
        uint64_t minute = world->now_usec / USEC_PER_MINUTE;

        if (world->blanket && is_change(request->call))
                world_break(world, INVARIANT_BLANKET, runner->host->index, "sends %s although its runner lives",
                        call_to_string(request->call));

        if (runner->minute != minute) {
                runner->minute = minute;
                runner->in_minute = 0;
        }
        /* With a clock that is far off gitlab-runner rotates all the time: each token of its is looked at, and the
         * one before it is owed where GitLab does not tell that it is the same runner. */
        bool follows = (request->call == CALL_VERIFY || request->call == CALL_DELETE_RUNNER ||
                               request->call == CALL_PROBE) &&
                       host_clock_is_off(runner->host);
        if (request->call != CALL_SHOW && !follows && ++runner->in_minute > REQUESTS_PER_MINUTE_MAX)
                world_break(world, INVARIANT_WAITS, runner->host->index, "storms GitLab with %s",
                        call_to_string(request->call));
        if (runner->told_usec[request->url] > world->now_usec && !runner->commanded)
                world_break(world, INVARIANT_WAITS, runner->host->index, "sends %s earlier than it was told to",
                        call_to_string(request->call));
        if (request->call == CALL_PROBE)
                runner->create_lost = false;
        if (request->call == CALL_VERIFY && strcmp(runner->reset_lost, request->token) == 0)
                runner->reset_lost[0] = 0;
        if (!runner->host->diskless)
                check_proofs(runner, request);
        if (check_is_create(request->call))
                check_create_sent(runner, request);
        if (request->call == CALL_RESET && runner->reset_lost[0] && strcmp(runner->reset_lost, request->token) == 0)
                world_break(world, INVARIANT_TOKEN_KEPT, runner->host->index,
                        "sends a reset again blindly, its answer having been lost");
}

void check_window_lost(HostRunner *runner)
{
        runner->window.open = false;
        runner->window.lost = true;
        runner->host->world->counters.lost_answers++;
}

static SimRunner *row_of(const World *world, const SimRequest *request)
{
        return request->acted_on ? gitlab_find_id(world->gitlab, request->acted_on) : NULL;
}

void check_reset_unclear(HostRunner *runner, const SimRequest *request)
{
        if (request->call == CALL_RESET)
                (void)memcpy(runner->reset_lost, request->token, sizeof(runner->reset_lost));
}

/* Nobody will ever get to know the token that GitLab made. */
void check_answer_lost(World *world, const SimRequest *request)
{
        SimRunner *row = row_of(world, request);

        if (is_reset(request->call)) {
                if (row && request->acted) {
                        row->in_flight = false;
                        row->lost_reset = true;
                        world->counters.lost_resets++;
                }
        }
}

static void note_told(HostRunner *runner, const SimRequest *request)
{
        const Reply *reply = &request->reply;

        if (reply->transport != TRANSPORT_OK || reply->status != 429 || !request->told_usec)
                return;
        /* In whole seconds, and dates in whole seconds too. */
        runner->told_usec[request->url] = request->told_usec - 2 * USEC_PER_SEC;
}

void check_answer(HostRunner *runner, const SimRequest *request, bool maybe_acted)
{
        World *world = runner->host->world;
        SimRunner *row = row_of(world, request);
        bool told = request->answer_token[0] != 0;

        if (request->reply.status == 201 || (request->call == CALL_VERIFY && request->reply.status == 200))
                herd_note(world, runner->host->index);
        note_forbidden(runner, request);
        if (!runner->host->diskless)
                note_told(runner, request);
        if (check_is_create(request->call) && !maybe_acted) {
                runner->create_lost = false;
                runner->window.open = false;
        }
        if (check_is_create(request->call) && maybe_acted)
                check_window_lost(runner);
        if (is_reset(request->call) && maybe_acted) {
                check_reset_unclear(runner, request);
                check_answer_lost(world, request);
        }
        if (told && (check_is_create(request->call) || is_reset(request->call))) {
                if (row) {
                        row->answered = true;
                        row->in_flight = false;
                }
                (void)memcpy(runner->unjournalled, request->answer_token, sizeof(runner->unjournalled));
                runner->journal_tried = false;
                runner->host->disk.mutating_other = false;
        }
}
