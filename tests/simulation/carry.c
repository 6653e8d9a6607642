#include "tests/simulation/carry.h"

#include <string.h>

#include "tests/simulation/check.h"
#include "tests/simulation/must.h"

/* As agent/entries.c: what looks like the middle of a write is believed once it has stood this long. */
#define SETTLE_USEC USEC_PER_SEC
#define STALE_TRIES 5

static Event event_make(const HostRunner *runner, EventKind kind)
{
        return (Event){.kind = kind, .now = sim_clock_now(&runner->host->clock)};
}

static void later(HostRunner *runner, SimEventKind kind, uint64_t span_usec, void *payload)
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

/* ---- config.toml ---- */

static int parse(const Secret *bytes, EntryList **ret)
{
        TomlError error = {0};

        return entry_list_read(secret_data(bytes), secret_size(bytes), ret, &error);
}

/* No file reads as NULL bytes. */
static int read_file(Host *host, Secret **ret, FileInfo *ret_info, char **reterr)
{
        int r = config_toml_read(host->config_toml, ret, ret_info, reterr);

        return r == -ENOENT ? 0 : r;
}

static bool doubtful(const Host *host, const Secret *bytes, const FileInfo *info)
{
        _cleanup_(entry_list_freep) EntryList *list = NULL;
        Now now = sim_clock_now(&host->clock);
        uint64_t mtime_usec = info->mtime_nsec / 1000;

        if (!bytes || (secret_size(bytes) > 0 && parse(bytes, &list) >= 0 && list->n_entries > 0))
                return false;
        return mtime_usec > now.realtime_usec || now.realtime_usec - mtime_usec < SETTLE_USEC;
}

int carry_load_entries(Host *host, EntryList **ret, char **reterr)
{
        _cleanup_secret_ Secret *bytes = NULL;
        FileInfo info;
        int r = read_file(host, &bytes, &info, reterr);

        if (r >= 0)
                r = parse(bytes, ret);
        if (r >= 0) {
                (void)secret_free(host->seen);
                host->seen = take_ptr(bytes);
        }
        return r;
}

static void arm_settle(Host *host)
{
        if (host->settle_armed)
                return;
        host->settle_armed = true;
        world_later(host->world, SETTLE_USEC,
                (SimEvent){.kind = SIM_SETTLE, .host = host->index, .generation = host->start_generation});
}

static void arm_commit(Host *host)
{
        if (host->commit_armed)
                return;
        host->commit_armed = true;
        world_later(host->world, 0,
                (SimEvent){.kind = SIM_COMMIT, .host = host->index, .generation = host->start_generation});
}

static int commit_once(Host *host, EntryResult *results, char **reterr)
{
        _cleanup_secret_ Secret *bytes = NULL, *edited = NULL;
        EntryEdit edits[HOST_RUNNERS_MAX];
        FileInfo info = {0};
        size_t n = 0;
        int r = read_file(host, &bytes, &info, reterr);

        if (r < 0)
                return r;
        if (doubtful(host, bytes, &info) && !secret_equal(bytes, host->seen))
                return -EAGAIN;
        for (size_t i = 0; i < host->n_runners; i++)
                if (host->runners[i].wishing)
                        lifecycle_entry_edit(host->runners[i].lifecycle, &edits[n++]);
        TomlError error = {0};
        r = entry_edits_apply(
                bytes ? secret_data(bytes) : NULL, secret_size(bytes), edits, n, results, &edited, &error);
        if (r < 0)
                return r;
        if (bytes ? !secret_equal(bytes, edited) : secret_size(edited) > 0)
                r = config_toml_replace(host->config_toml, &info, edited, reterr);
        if (r < 0) {
                entry_results_done(results, n);
                return r;
        }
        (void)secret_free(host->seen);
        host->seen = take_ptr(edited);
        return 0;
}

static void finish_commit(Host *host, int error, const char *message, const EntryResult *results)
{
        bool wishing[HOST_RUNNERS_MAX];
        size_t n = 0;

        for (size_t i = 0; i < host->n_runners; i++) {
                wishing[i] = host->runners[i].wishing;
                host->runners[i].wishing = false;
        }
        for (size_t i = 0; i < host->n_runners && host->agent; i++) {
                HostRunner *runner = &host->runners[i];

                if (!wishing[i])
                        continue;
                Event event = event_make(runner, EVENT_DISK);
                const EntryResult *result = results ? &results[n++] : NULL;

                event.error = result ? (result->outcome == ENTRY_OUTCOME_FAILED ? result->error : 0) : error;
                event.message = result ? result->message : message;
                event.changed = result &&
                                (result->outcome == ENTRY_OUTCOME_CHANGED || result->outcome == ENTRY_OUTCOME_ADDED ||
                                        result->outcome == ENTRY_OUTCOME_REMOVED);
                carry_advance(runner, &event);
        }
}

static void look(Host *host, bool settled);

static void commit(Host *host)
{
        EntryResult results[HOST_RUNNERS_MAX] = {0};
        _cleanup_free_ char *message = NULL;
        size_t n = 0;
        int r = -ESTALE;

        host->commit_armed = false;
        for (size_t i = 0; i < host->n_runners; i++)
                n += host->runners[i].wishing;
        if (n == 0)
                return;
        uint64_t before = host->disk.changes;
        for (unsigned tries = 0; tries < STALE_TRIES && r == -ESTALE; tries++) {
                free(take_ptr(message));
                r = commit_once(host, results, &message);
        }
        if (host->disk.dead) {
                if (r >= 0)
                        entry_results_done(results, n);
                host_die(host);
                return;
        }
        if (host->disk.changes != before)
                neighbour_wake(host);
        check_edit(host);
        if (r == -EAGAIN) {
                arm_settle(host);
                return;
        }
        bool surprised = false;
        for (size_t i = 0; r >= 0 && i < n; i++)
                surprised |= results[i].outcome == ENTRY_OUTCOME_FAILED && results[i].error == -ESTALE;
        finish_commit(host, r, message ? message : strerror(-r), r >= 0 ? results : NULL);
        if (r >= 0)
                entry_results_done(results, n);
        if (surprised && host->agent) {
                host->seen = secret_free(host->seen);
                look(host, false);
        }
}

void host_config_changed(Host *host)
{
        neighbour_wake(host);
        check_edit_by_others(host);
        if (!host->agent || host->look_armed)
                return;
        host->look_armed = true;
        world_later(host->world, USEC_PER_MSEC,
                (SimEvent){.kind = SIM_LOOK, .host = host->index, .generation = host->start_generation});
}

static void look(Host *host, bool settled)
{
        _cleanup_(entry_list_freep) EntryList *list = NULL;
        _cleanup_secret_ Secret *bytes = NULL;
        _cleanup_free_ char *why = NULL;
        FileInfo info = {0};
        int r = read_file(host, &bytes, &info, &why);

        if (host->disk.dead) {
                host_die(host);
                return;
        }
        if (r < 0)
                return;
        bool suspect = !bytes || doubtful(host, bytes, &info);
        if (secret_equal(bytes, host->seen)) {
                host->unsettled = secret_free(host->unsettled);
                return;
        }
        if (suspect && !(settled && secret_equal(bytes, host->unsettled))) {
                (void)secret_free(host->unsettled);
                host->unsettled = take_ptr(bytes);
                arm_settle(host);
                return;
        }
        host->unsettled = secret_free(host->unsettled);
        r = parse(bytes, &list);
        (void)secret_free(host->seen);
        host->seen = take_ptr(bytes);
        for (size_t i = 0; r >= 0 && i < host->n_runners && host->agent; i++)
                carry_entries(&host->runners[i], list, false);
}

static void settle(Host *host)
{
        host->settle_armed = false;
        look(host, true);
        for (size_t i = 0; i < host->n_runners && host->agent; i++)
                if (host->runners[i].wishing)
                        arm_commit(host);
}

static uint64_t entry_time(const struct timespec *t)
{
        return t->tv_sec <= 0 ? 0 : (uint64_t)t->tv_sec * USEC_PER_SEC + (uint64_t)t->tv_nsec / 1000;
}

void carry_entries(HostRunner *runner, const EntryList *list, bool learn)
{
        EntryView views[LIFECYCLE_CANDIDATES_MAX];
        size_t n = 0, from = 0;
        const Entry *entry;

        while (n < ELEMENTS(views) && (entry = entry_list_find(list, from, runner->name, runner->plan.target.url))) {
                views[n++] = (EntryView){
                        .token = entry_is_usable(entry) ? entry->token : NULL,
                        .runner_id = entry->id,
                        .obtained_at_usec = entry_time(&entry->obtained_at),
                        .expires_at_usec = entry_time(&entry->expires_at),
                };
                from = entry->index + 1;
        }
        Event event = event_make(runner, EVENT_ENTRIES);
        event.entries = views;
        event.n_entries = n;
        if (learn)
                lifecycle_learn_entries(runner->lifecycle, &event);
        else
                carry_advance(runner, &event);
}

/* ---- requests ---- */

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
                later(runner, SIM_REPLY, 3 * USEC_PER_SEC, request);
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
                }
                if (world_chance(world, 300)) {
                        world->counters.faults++;
                        request->reply.transport = world_chance(world, 2) ? TRANSPORT_NOT_SENT : TRANSPORT_LOST;
                        later(runner, SIM_REPLY, there, request);
                        return;
                }
        }
        later(runner, SIM_ARRIVE, there, request);
}

static bool is_create(Call call)
{
        return call == CALL_REGISTER || call == CALL_CREATE;
}

static void start_send(HostRunner *runner, const Action *action)
{
        SimRequest *request = request_new(runner, action);
        Mutation mutation = runner->host->world->mutation;

        if (mutation == MUTATION_DELETE_SHARED && request->call == CALL_DELETE_MANAGER)
                request->call = CALL_DELETE_RUNNER;
        check_sent(runner, request);
        put_on_wire(runner, request);
}

static void arrive(World *world, SimRequest *request, const SimEvent *event)
{
        Host *host = world->hosts[request->host];
        HostRunner *runner = &host->runners[request->runner];
        bool wanted = host->agent && runner->generation == request->generation;

        /* Who cuts a request short closes its connection: what is still far off then does not arrive. */
        if (!wanted && request->call == CALL_VERIFY && world->now_usec - runner->ended_usec > ON_THE_WAY_USEC) {
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
                     (mutation == MUTATION_BLIND_CREATE && is_create(request->call));

        if (!meant || request->reply.transport != TRANSPORT_LOST)
                return false;
        check_reset_unclear(runner, request);
        check_answer_lost(runner->host->world, request);
        reply_done(&request->reply);
        request->reply = (Reply){0};
        request->answer_will_be_lost = request->acted = false;
        check_sent(runner, request);
        later(runner, SIM_ARRIVE, USEC_PER_SEC, request);
        return true;
}

static void reply(HostRunner *runner, SimRequest *request)
{
        World *world = runner->host->world;
        Event event = event_make(runner, EVENT_REPLY);
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
                world_trace(world, runner->host->index, "%s: %s (%s%s)", call_to_string(request->call),
                        verdict_to_string(judgement.verdict), judgement.message ? judgement.message : "ok",
                        judgement.maybe_acted ? ", may have acted" : "");
        event.judgement = &judgement;
        check_answer(runner, request, maybe_acted);
        carry_advance(runner, &event);
        judgement_done(&judgement);
        request_free(request);
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
        runner->generation++;
        runner->ended_usec = runner->host->world->now_usec;
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
        later(runner, SIM_TOLD, 20 * USEC_PER_MSEC, (void *)(uintptr_t)told);
}

static bool carry_file_action(HostRunner *runner, const Action *action, Event *event, char **message)
{
        const Record *record = lifecycle_record(runner->lifecycle);

        *event = event_make(runner, EVENT_DISK);
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
                arm_commit(runner->host);
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
                later(runner, SIM_SECRET, 10 * USEC_PER_MSEC, NULL);
                return false;
        case ACTION_SEND:
                start_send(runner, action);
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
        Event event = event_make(runner, EVENT_SECRET);
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
        Event event = event_make(runner, EVENT_TOLD);

        event.told = how;
        carry_advance(runner, &event);
}

static void timer(HostRunner *runner)
{
        Event event = event_make(runner, EVENT_TIMER);

        carry_advance(runner, &event);
}

static void handle_host(Host *host, const SimEvent *event)
{
        if (event->kind == SIM_LOOK)
                host->look_armed = false;
        if (!host->agent || event->generation != host->start_generation)
                return;
        if (event->kind == SIM_COMMIT)
                commit(host);
        else if (event->kind == SIM_LOOK)
                look(host, false);
        else
                settle(host);
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
                arrive(host->world, event->payload, event);
                break;
        case SIM_REPLY:
                if (wanted) {
                        reply(runner, event->payload);
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
