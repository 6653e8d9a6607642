/* Requests on their way, and the deliberate mistakes that are made with answers. */

#include <string.h>

#include "tests/simulation/carry-parts.h"
#include "tests/simulation/check-parts.h"
#include "tests/simulation/must.h"

static void copy_secret(char *to, size_t size, const Secret *secret)
{
        (void)snprintf(to, size, "%s", secret ? secret_data(secret) : "");
}

static void copy_text(char *to, size_t size, const char *text)
{
        (void)snprintf(to, size, "%s", text ? text : "");
}

static SimRequest *request_new(const HostRunner *runner, const Action *action)
{
        SimRequest *request = must(calloc(1, sizeof(*request)));
        const CallArguments *arguments = &action->arguments;

        request->call = action->call;
        request->host = runner->host->index;
        request->runner = runner->index;
        request->generation = runner->generation;
        request->runner_id = arguments->runner_id;
        request->url = strcmp(action->target->url, GITLAB_URL_OTHER) == 0;
        request->access_token =
                arguments->access_token && strcmp(secret_data(arguments->access_token), ACCESS_TOKEN) == 0;
        copy_secret(request->token, sizeof(request->token), arguments->token);
        copy_text(request->system_id, sizeof(request->system_id), arguments->system_id);
        copy_text(request->marker, sizeof(request->marker), arguments->marker);
        return request;
}

/* How the network treats a request. */
static void put_on_wire(HostRunner *runner, SimRequest *request)
{
        World *world = runner->host->world;
        uint64_t there = 5 * USEC_PER_MSEC + world_below(world, 50 * USEC_PER_MSEC);

        request->answer_usec = 5 * USEC_PER_MSEC + world_below(world, 200 * USEC_PER_MSEC);
        if (runner->host->network_down_until_usec > world->now_usec) {
                request->reply.transport = TRANSPORT_NOT_SENT;
                carry_later(runner, SIM_REPLY, 3 * USEC_PER_SEC, request);
                return;
        }
        if (world_has(world, FAULT_NETWORK)) {
                if (world_chance(world, 100)) {
                        there += world_below(world, 20 * USEC_PER_SEC);
                        /* Slower than a stop may take is not reachable for a stop. */
                        runner->host->healthy_since_stop = false;
                }
                if (world_chance(world, 150)) {
                        request->answer_will_be_lost = true;
                        world->counters.faults++;
                        /* Also where the stop is over before that is known. */
                        runner->host->healthy_since_stop = false;
                }
                if (world_chance(world, 300)) {
                        world->counters.faults++;
                        request->reply.transport = world_chance(world, 2) ? TRANSPORT_NOT_SENT : TRANSPORT_LOST;
                        carry_later(runner, SIM_REPLY, there, request);
                        return;
                }
        }
        carry_later(runner, SIM_ARRIVE, there, request);
}

void carry_send(HostRunner *runner, const Action *action)
{
        SimRequest *request = request_new(runner, action);
        Mutation mutation = runner->host->world->mutation;

        if (mutation == MUTATION_DELETE_SHARED && request->call == CALL_DELETE_MANAGER)
                request->call = CALL_DELETE_RUNNER;
        check_sent(runner, request);
        put_on_wire(runner, request);
}

/* Cut short longer ago than anything travels. */
static bool is_far_off(const HostRunner *runner, const SimRequest *request)
{
        uint64_t cut_usec = runner->ended_usec[request->generation % GENERATIONS_KEPT];

        return runner->generation - request->generation > GENERATIONS_KEPT ||
               runner->host->world->now_usec - cut_usec > ON_THE_WAY_USEC;
}

void carry_arrive(World *world, SimRequest *request, const SimEvent *event)
{
        Host *host = world->hosts[request->host];
        HostRunner *runner = &host->runners[request->runner];
        bool wanted = host->agent && runner->generation == request->generation;

        /* Who cuts a request short closes its connection: what is still far off then does not arrive. */
        if (!wanted && request->call == CALL_VERIFY && is_far_off(runner, request)) {
                request_free(request);
                return;
        }
        gitlab_handle(world, request);
        if (request->answer_will_be_lost && request->reply.transport == TRANSPORT_OK) {
                reply_done(&request->reply);
                request->reply = (Reply){.transport = TRANSPORT_LOST};
                request->answer_token[0] = 0;
        }
        if (!wanted) {
                check_answer_lost(world, request);
                request_free(request);
                return;
        }
        uint64_t span = request->answer_usec;
        if (request->reply.transport == TRANSPORT_LOST)
                span += world_below(world, 30 * USEC_PER_SEC);
        if (request->reply.transport == TRANSPORT_NOT_SENT)
                span += world_below(world, 3 * USEC_PER_SEC);
        world_later(world, span,
                (SimEvent){
                        .kind = SIM_REPLY,
                        .host = event->host,
                        .runner = event->runner,
                        .generation = event->generation,
                        .payload = request,
                });
}

/* The deliberate misjudgements. */
static void mutate(HostRunner *runner, const SimRequest *request, Judgement *j)
{
        unsigned status = request->reply.status;
        bool verifies = request->call == CALL_VERIFY;

        switch (runner->host->world->mutation) {
        case MUTATION_DEAD_401:
                if (verifies && status == 401)
                        j->verdict = VERDICT_DEAD;
                break;
        case MUTATION_DEAD_404:
                if (verifies && status == 404)
                        j->verdict = VERDICT_DEAD;
                break;
        case MUTATION_DEAD_READ_ONLY:
                if (verifies && status == 403)
                        j->verdict = VERDICT_DEAD;
                break;
        case MUTATION_FORGET_LOST_ANSWER:
                j->maybe_acted = false;
                break;
        case MUTATION_IGNORE_THROTTLE:
                j->wait_usec = 0;
                j->spread = 0;
                break;
        default:
                break;
        }
}

/* The deliberate resending: as if nothing could have happened. */
static bool resend_blindly(HostRunner *runner, SimRequest *request)
{
        Mutation mutation = runner->host->world->mutation;
        bool meant = (mutation == MUTATION_BLIND_RESET && request->call == CALL_RESET) ||
                     (mutation == MUTATION_BLIND_CREATE && check_is_create(request->call));

        if (!meant || request->reply.transport != TRANSPORT_LOST)
                return false;
        check_reset_unclear(runner, request);
        check_answer_lost(runner->host->world, request);
        reply_done(&request->reply);
        request->reply = (Reply){0};
        request->answer_will_be_lost = request->acted = false;
        check_sent(runner, request);
        carry_later(runner, SIM_ARRIVE, USEC_PER_SEC, request);
        return true;
}

void carry_reply(HostRunner *runner, SimRequest *request)
{
        World *world = runner->host->world;
        Event event = carry_event(runner, EVENT_REPLY);
        Judgement judgement = {0};

        if (resend_blindly(runner, request))
                return;
        if (request->reply.transport != TRANSPORT_OK)
                runner->host->healthy_since_stop = false;
        if (verdict_judge(request->call, &request->reply, event.now, &judgement) < 0)
                (void)must(NULL);
        bool maybe_acted = judgement.maybe_acted;
        mutate(runner, request, &judgement);
        if (!runner->host->diskless || world->verbose)
                world_trace(world, runner->host->index, "%s: %s: %s (%s%s)", runner->name,
                        call_to_string(request->call), verdict_to_string(judgement.verdict),
                        judgement.message ? judgement.message : "ok",
                        judgement.maybe_acted ? ", may have acted" : "");
        event.judgement = &judgement;
        check_answer(runner, request, maybe_acted);
        carry_advance(runner, &event);
        judgement_done(&judgement);
        request_free(request);
}
