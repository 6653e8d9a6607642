#include "tests/simulation/carry.h"

#include <string.h>

#include "tests/simulation/carry-parts.h"
#include "tests/simulation/check.h"
#include "tests/simulation/must.h"

Event carry_event(const HostRunner *runner, EventKind kind)
{
        return (Event){.kind = kind, .now = sim_clock_now(&runner->host->clock)};
}

void carry_later(HostRunner *runner, SimEventKind kind, uint64_t span_usec, void *payload)
{
        world_later(runner->host->world, span_usec,
                (SimEvent){
                        .kind = kind,
                        .host = runner->host->index,
                        .runner = runner->index,
                        .generation = runner->generation,
                        .payload = payload,
                });
}

/* ---- files ---- */

static int prepare(HostRunner *runner, const Record *record, char **reterr)
{
        Host *host = runner->host;

        if (host->world->mutation == MUTATION_NO_INTENT)
                return 0;
        int r = config_toml_check_writable(host->config_toml, reterr);
        if (r >= 0)
                r = store_prepare(host->store, record, reterr);
        runner->journal_reserved = r >= 0;
        return r;
}

static int save(HostRunner *runner, const Record *record, char **reterr)
{
        Host *host = runner->host;
        int r = store_save(host->store, record, reterr);

        if (runner->has_late) {
                (void)store_journal(host->store, runner->name, &runner->late, NULL);
                answer_done(&runner->late);
                runner->has_late = false;
        }
        if (r >= 0 && runner->journal_reserved && record->intent.kind == INTENT_NONE) {
                (void)store_journal_clear(host->store, runner->name);
                runner->journal_reserved = false;
        }
        return r;
}

static int journal(HostRunner *runner, const Answer *answer, char **reterr)
{
        Host *host = runner->host;

        if (host->world->mutation == MUTATION_APPLY_BEFORE_JOURNAL) {
                runner->late = *answer;
                runner->late.token = NULL;
                runner->has_late = true;
                return secret_copy(answer->token, &runner->late.token);
        }
        runner->journal_tried = true;
        return store_journal(host->store, runner->name, answer, reterr);
}

/* ---- carrying out ---- */

static void drop_action(HostRunner *runner)
{
        runner->ended_usec[runner->generation++ % GENERATIONS_KEPT] = runner->host->world->now_usec;
        runner->wishing = false;
}

void carry_forget(HostRunner *runner)
{
        World *world = runner->host->world;

        drop_action(runner);
        runner->timer_generation++;
        if (runner->has_late)
                answer_done(&runner->late);
        runner->has_late = false;
        if (!world->failed)
                check_forgotten(runner);
        runner->commanded = false;
}

static void arm_timer(HostRunner *runner, uint64_t until_usec)
{
        Host *host = runner->host;
        uint64_t span = usec_sub(until_usec, sim_clock_now(&host->clock).boottime_usec);

        runner->timer_generation++;
        if (until_usec == USEC_INFINITY)
                return;
        world_later(host->world, span + 1,
                (SimEvent){
                        .kind = SIM_TIMER,
                        .host = host->index,
                        .runner = runner->index,
                        .generation = runner->timer_generation,
                });
}

static void start_tell(HostRunner *runner)
{
        Host *host = runner->host;
        Told told = TOLD_DONE;

        if (host->diskless)
                told = TOLD_DONE;
        else if (!host->neighbour.runs || host->world->mutation == MUTATION_DELETE_BEFORE_TELL)
                told = TOLD_NOT_RUNNING;
        else if (world_chance(host->world, 10))
                told = TOLD_UNSURE;
        else {
                neighbour_on_the_way(host);
                neighbour_load(host);
        }
        carry_later(runner, SIM_TOLD, 20 * USEC_PER_MSEC, (void *)(uintptr_t)told);
}

static bool carry_file_action(HostRunner *runner, const Action *action, Event *event, char **message)
{
        const Record *record = lifecycle_record(runner->lifecycle);

        *event = carry_event(runner, EVENT_DISK);
        if (runner->host->diskless) {
                event->changed = true;
                return true;
        }
        switch (action->kind) {
        case ACTION_PREPARE:
                event->error = prepare(runner, record, message);
                return true;
        case ACTION_SAVE:
                event->error = save(runner, record, message);
                return true;
        case ACTION_JOURNAL:
                event->error = journal(runner, action->answer, message);
                return true;
        default:
                runner->wishing = true;
                carry_arm_commit(runner->host);
                return false;
        }
}

/* True: the result is in EVENT. */
static bool carry_out(HostRunner *runner, const Action *action, Event *event, char **message)
{
        if (action->kind != ACTION_KEEP)
                drop_action(runner);
        arm_timer(runner, action->until_usec);
        switch (action->kind) {
        case ACTION_STOPPED:
                runner->stopped = true;
                return false;
        case ACTION_PREPARE:
        case ACTION_SAVE:
        case ACTION_JOURNAL:
        case ACTION_WRITE_ENTRY:
        case ACTION_REMOVE_ENTRY:
                return carry_file_action(runner, action, event, message);
        case ACTION_READ_SECRET:
                carry_later(runner, SIM_SECRET, 10 * USEC_PER_MSEC, NULL);
                return false;
        case ACTION_SEND:
                carry_send(runner, action);
                return false;
        case ACTION_TELL:
                start_tell(runner);
                return false;
        case ACTION_KEEP:
        case ACTION_WAIT:
        case _ACTION_KIND_MAX:
                break;
        }
        return false;
}

void carry_advance(HostRunner *runner, Event *event)
{
        _cleanup_free_ char *message = NULL;
        Host *host = runner->host;

        for (;;) {
                Event next;
                Action action = lifecycle_step(runner->lifecycle, event);

                free(take_ptr(message));
                check_step(runner, &action);
                bool more = carry_out(runner, &action, &next, &message);
                if (host->disk.dead) {
                        host_die(host);
                        return;
                }
                if (!more)
                        return;
                next.message = message;
                *event = next;
        }
}

/* ---- events ---- */

static void secret_read(HostRunner *runner)
{
        Host *host = runner->host;
        Event event = carry_event(runner, EVENT_SECRET);
        _cleanup_secret_ Secret *secret = NULL;
        const char *text = host->flow == FLOW_REGISTRATION_TOKEN ? REGISTRATION_TOKEN
                           : host->flow == FLOW_ACCESS_TOKEN     ? ACCESS_TOKEN
                                                                 : host->source_token;

        if (host->source_missing) {
                event.error = -ENOENT;
                event.message = "the token's file is missing";
        } else if (secret_new(text, strlen(text), &secret) < 0)
                (void)must(NULL);
        event.secret = secret;
        carry_advance(runner, &event);
}

static void told(HostRunner *runner, Told how)
{
        Event event = carry_event(runner, EVENT_TOLD);

        event.told = how;
        carry_advance(runner, &event);
}

static void timer(HostRunner *runner)
{
        Event event = carry_event(runner, EVENT_TIMER);

        carry_advance(runner, &event);
}

static void handle_host(Host *host, const SimEvent *event)
{
        if (event->kind == SIM_LOOK)
                host->look_armed = false;
        if (!host->agent || event->generation != host->start_generation)
                return;
        if (event->kind == SIM_COMMIT)
                carry_commit(host);
        else if (event->kind == SIM_LOOK)
                carry_look(host, false);
        else
                carry_settle(host);
}

void carry_handle(Host *host, const SimEvent *event)
{
        HostRunner *runner = &host->runners[event->runner >= 0 ? event->runner : 0];
        bool wanted = host->agent && runner->generation == event->generation;

        switch (event->kind) {
        case SIM_COMMIT:
        case SIM_LOOK:
        case SIM_SETTLE:
                handle_host(host, event);
                break;
        case SIM_ARRIVE:
                carry_arrive(host->world, event->payload, event);
                break;
        case SIM_REPLY:
                if (wanted) {
                        carry_reply(runner, event->payload);
                        break;
                }
                check_answer_lost(host->world, event->payload);
                request_free(event->payload);
                break;
        case SIM_SECRET:
                if (wanted)
                        secret_read(runner);
                break;
        case SIM_TOLD:
                if (wanted)
                        told(runner, (Told)(uintptr_t)event->payload);
                break;
        case SIM_TIMER:
                if (host->agent && runner->timer_generation == event->generation)
                        timer(runner);
                break;
        default:
                break;
        }
}
