#include "agent/runner.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "agent/host/processes.h"
#include "agent/runner-plan.h"
#include "agent/secret-reader.h"

struct Runner {
        RunnerContext context;
        RunnerConfig *config; /* NULL: configured no more */
        RunnerPlan *plan;
        Lifecycle *lifecycle;
        char *name;
        RunnerState logged_state;
        bool started;
        bool stopped;
        bool journal_reserved;
        Judgement unsent; /* of a request that could not be made; its message is borrowed for the step */

        /* The one action under way. */
        Transfer *transfer;
        Call calling;
        SecretReader *reader;
        bool asked_entries;
        bool asked_teller;
        sd_event_source *timer_source;
};

static void advance(Runner *r, Event *event);

static Now now_of(const Runner *r)
{
        Now now;

        disk_now(r->context.disk, &now);
        return now;
}

static Event event_make(const Runner *r, EventKind kind)
{
        return (Event){.kind = kind, .now = now_of(r)};
}

/* ---- log ---- */

static const struct {
        int level;
        const char *message_id;
} notice_rows[_NOTICE_MAX] = {
        [NOTICE_REGISTERED] = {LOG_INFO, MESSAGE_ID_REGISTERED},
        [NOTICE_ADOPTED] = {LOG_INFO, MESSAGE_ID_ADOPTED},
        [NOTICE_DOUBTFUL] = {LOG_WARNING, MESSAGE_ID_DOUBTFUL},
        [NOTICE_ALIVE_AGAIN] = {LOG_INFO, NULL},
        [NOTICE_RECOVERING] = {LOG_WARNING, MESSAGE_ID_RECOVERING},
        [NOTICE_ROTATED] = {LOG_INFO, MESSAGE_ID_ROTATED},
        [NOTICE_ROTATION_FAILED] = {LOG_WARNING, MESSAGE_ID_ROTATION_FAILED},
        [NOTICE_REFUSED] = {LOG_ERR, MESSAGE_ID_REFUSED},
        [NOTICE_WITHDRAWN] = {LOG_INFO, MESSAGE_ID_WITHDRAWN},
        [NOTICE_DEBT] = {LOG_WARNING, MESSAGE_ID_DEBT_RECORDED},
        [NOTICE_DEBT_PAID] = {LOG_INFO, MESSAGE_ID_DEBT_PAID},
        [NOTICE_ORPHAN] = {LOG_WARNING, MESSAGE_ID_ORPHAN_SUSPECTED},
        [NOTICE_HANDED_BACK] = {LOG_INFO, MESSAGE_ID_HANDED_BACK},
        [NOTICE_TROUBLE] = {LOG_WARNING, NULL},
};

static void log_step(Runner *r)
{
        RunnerState state = lifecycle_state(r->lifecycle);
        Notice notice;
        char *sentence;

        while (lifecycle_take_notice(r->lifecycle, &notice, &sentence)) {
                log_message(r->context.log, notice_rows[notice].level,
                        LOG_FIELDS(.runner = r->name, .state = runner_state_to_string(state),
                                .attempt = lifecycle_attempt(r->lifecycle),
                                .message_id = notice_rows[notice].message_id),
                        "runner '%s': %s", r->name, sentence);
                r->context.noticed(r->context.userdata, r, notice);
                free(sentence);
        }
        if (state == r->logged_state)
                return;
        const char *reason = lifecycle_reason(r->lifecycle);
        log_info(r->context.log, LOG_FIELDS(.runner = r->name, .state = runner_state_to_string(state)),
                "runner '%s': %s → %s%s%s", r->name, runner_state_to_string(r->logged_state),
                runner_state_to_string(state), reason ? ": " : "", reason ? reason : "");
        r->logged_state = state;
}

/* ---- what is under way ---- */

static void drop_action(Runner *r)
{
        r->transfer = transfer_cancel(r->transfer);
        r->reader = secret_reader_cancel(r->reader);
        if (r->asked_entries)
                entries_cancel(r->context.entries, r);
        if (r->asked_teller)
                teller_cancel(r->context.teller, r);
        r->asked_entries = r->asked_teller = false;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        Runner *r = userdata;
        Event event = event_make(r, EVENT_TIMER);

        advance(r, &event);
        return 0;
}

/* Timers of a host's runners are let fall together where they are far off. */
static uint64_t timer_accuracy(uint64_t span_usec)
{
        uint64_t accuracy = span_usec / 100;

        return accuracy < USEC_PER_MSEC ? USEC_PER_MSEC : accuracy > 10 * USEC_PER_SEC ? 10 * USEC_PER_SEC : accuracy;
}

/* The timer is made with its runner: to set it needs no memory, so none sleeps for ever for want of it. */
static int make_timer(Runner *r)
{
        int k = sd_event_add_time(r->context.event, &r->timer_source, CLOCK_BOOTTIME, 0, 0, on_timer, r);

        if (k >= 0)
                k = sd_event_source_set_enabled(r->timer_source, SD_EVENT_OFF);
        if (k >= 0)
                (void)sd_event_source_set_description(r->timer_source, r->name);
        return k;
}

static void arm_timer(Runner *r, uint64_t until_usec)
{
        if (until_usec == USEC_INFINITY) {
                (void)sd_event_source_set_enabled(r->timer_source, SD_EVENT_OFF);
                return;
        }
        uint64_t accuracy = timer_accuracy(usec_sub(until_usec, now_of(r).boottime_usec));
        int k = sd_event_source_set_time(r->timer_source, until_usec);
        if (k >= 0)
                k = sd_event_source_set_time_accuracy(r->timer_source, accuracy);
        if (k >= 0)
                k = sd_event_source_set_enabled(r->timer_source, SD_EVENT_ONESHOT);
        if (k < 0)
                log_error(r->context.log, LOG_FIELDS(.runner = r->name), "runner '%s': Failed to arm a timer: %s",
                        r->name, strerror(-k));
}

/* ---- results ---- */

static void on_reply(Reply *reply, void *userdata)
{
        Runner *r = userdata;
        static const Judgement no_memory = {
                .verdict = VERDICT_AMBIGUOUS,
                .maybe_acted = true,
                .message = (char *)"out of memory, so GitLab's answer could not be read",
        };
        Event event = event_make(r, EVENT_REPLY);
        Judgement judgement = {};

        r->transfer = NULL;
        event.judgement = verdict_judge(r->calling, reply, event.now, &judgement) < 0 ? &no_memory : &judgement;
        log_debug(r->context.log, LOG_FIELDS(.runner = r->name, .http_status = reply->status),
                "runner '%s': %s: %s%s%s", r->name, call_to_string(r->calling),
                verdict_to_string(event.judgement->verdict), event.judgement->message ? ": " : "",
                event.judgement->message ? event.judgement->message : "");
        advance(r, &event);
        judgement_done(&judgement);
}

static void on_secret(int error, const Secret *secret, const char *message, void *userdata)
{
        Runner *r = userdata;
        Event event = event_make(r, EVENT_SECRET);

        r->reader = NULL;
        event.error = error;
        event.secret = secret;
        event.message = message;
        advance(r, &event);
}

static void on_entries(void *userdata, int error, const char *message, bool changed)
{
        Runner *r = userdata;
        Event event = event_make(r, EVENT_DISK);

        r->asked_entries = false;
        event.error = error;
        event.message = message;
        event.changed = changed;
        advance(r, &event);
}

static void on_told(void *userdata, Told told)
{
        Runner *r = userdata;
        Event event = event_make(r, EVENT_TOLD);

        r->asked_teller = false;
        /* Only who leaves must know for certain; the others need not look through all processes. */
        if (told == TOLD_UNSURE && lifecycle_state(r->lifecycle) == RUNNER_STATE_WITHDRAWING &&
                processes_lack_neighbour())
                told = TOLD_NOT_RUNNING;
        event.told = told;
        advance(r, &event);
}

static void want_entry(void *userdata, EntryEdit *edit)
{
        Runner *r = userdata;

        lifecycle_entry_edit(r->lifecycle, edit);
}

/* ---- carrying out ---- */

static int start_send(Runner *r, const Action *action)
{
        CallArguments arguments = action->arguments;
        _cleanup_(request_done) Request request = {};
        _cleanup_free_ char *info = NULL;
        int k;

        if (action->call == CALL_REGISTER || action->call == CALL_VERIFY) {
                /* Registering, gitlab-runner speaks for an entry that has no executor yet. */
                const char *executor = action->call == CALL_REGISTER || !r->config ? NULL : r->config->executor;

                k = info_encode(r->context.neighbour, executor, NULL, NULL, &info);
                if (k < 0)
                        return k;
                arguments.info = info;
        }
        arguments.timeout_usec = r->config ? r->config->timeout_usec : 30 * USEC_PER_SEC;
        k = request_build(action->call, &arguments, &request);
        if (k < 0)
                return k;
        r->calling = action->call;
        return http_start(r->context.http, action->target, &request, on_reply, r, &r->transfer);
}

static int prepare(Runner *r, const Record *record, char **reterr)
{
        int k = config_toml_check_writable(r->context.config_toml, reterr);

        if (k >= 0)
                k = entries_check_readable(r->context.entries, reterr);
        if (k < 0)
                return k;
        k = store_prepare(r->context.store, record, reterr);
        r->journal_reserved = k >= 0;
        return k;
}

static int save(Runner *r, const Record *record, char **reterr)
{
        int k = store_save(r->context.store, record, reterr);

        /* Without an open intent the answer is in the record now. */
        if (k >= 0 && r->journal_reserved && record->intent.kind == INTENT_NONE) {
                (void)store_journal_clear(r->context.store, r->name);
                r->journal_reserved = false;
        }
        return k;
}

/* Begins what takes its time. On failure EVENT is the result, but for its error. */
static int begin(Runner *r, const Action *action, Event *event, char **message)
{
        int k = 0;

        switch (action->kind) {
        case ACTION_READ_SECRET:
                *event = event_make(r, EVENT_SECRET);
                if (!r->config)
                        return -ENOKEY;
                return secret_reader_start(
                        r->context.event, runner_config_secret(r->config, NULL), on_secret, r, &r->reader);
        case ACTION_SEND:
                *event = event_make(r, EVENT_REPLY);
                k = start_send(r, action);
                if (k < 0) {
                        if (asprintf(message, "the request could not be made: %s", strerror(-k)) < 0)
                                *message = NULL;
                        r->unsent = (Judgement){.verdict = VERDICT_AMBIGUOUS, .message = *message};
                        event->judgement = &r->unsent;
                }
                return k;
        case ACTION_WRITE_ENTRY:
        case ACTION_REMOVE_ENTRY:
                *event = event_make(r, EVENT_DISK);
                k = entries_submit(r->context.entries, want_entry, on_entries, r);
                r->asked_entries = k >= 0;
                return k;
        case ACTION_TELL:
                *event = event_make(r, EVENT_TOLD);
                event->told = TOLD_UNSURE;
                k = teller_tell(r->context.teller, on_told, r);
                r->asked_teller = k >= 0;
                return k;
        case ACTION_KEEP:
        case ACTION_WAIT:
        case ACTION_STOPPED:
        case ACTION_PREPARE:
        case ACTION_SAVE:
        case ACTION_JOURNAL:
        case _ACTION_KIND_MAX:
                break;
        }
        return 0;
}

/* Carries out ACTION. True: its result is in EVENT; false: that comes later, or there is none. */
static bool carry_out(Runner *r, const Action *action, Event *event, char **message)
{
        const Record *record = lifecycle_record(r->lifecycle);

        if (action->kind != ACTION_KEEP)
                drop_action(r);
        arm_timer(r, action->until_usec);

        switch (action->kind) {
        case ACTION_KEEP:
        case ACTION_WAIT:
        case _ACTION_KIND_MAX:
                return false;
        case ACTION_STOPPED:
                r->stopped = true;
                return false;
        case ACTION_PREPARE:
                *event = event_make(r, EVENT_DISK);
                event->error = prepare(r, record, message);
                return true;
        case ACTION_SAVE:
                *event = event_make(r, EVENT_DISK);
                event->error = save(r, record, message);
                return true;
        case ACTION_JOURNAL:
                *event = event_make(r, EVENT_DISK);
                event->error = store_journal(r->context.store, r->name, action->answer, message);
                return true;
        case ACTION_READ_SECRET:
        case ACTION_SEND:
        case ACTION_WRITE_ENTRY:
        case ACTION_REMOVE_ENTRY:
        case ACTION_TELL:
                break;
        }
        int k = begin(r, action, event, message);
        if (k >= 0)
                return false;
        event->error = k;
        return true;
}

static void advance(Runner *r, Event *event)
{
        _cleanup_free_ char *message = NULL;

        for (;;) {
                Event next;
                Action action = lifecycle_step(r->lifecycle, event);

                free(take_ptr(message));
                log_step(r);
                if (!carry_out(r, &action, &next, &message))
                        break;
                next.message = message;
                *event = next;
        }
        /* May free the runner: nothing is touched after it. */
        r->context.changed(r->context.userdata, r);
}

/* ---- from outside ---- */

static uint64_t seed(const Runner *r)
{
        uint64_t value;

        disk_random(r->context.disk, &value, sizeof(value));
        return value;
}

int runner_new(const RunnerContext *context, const Config *agent, RunnerConfig *config, const Secret *template_body,
        Record *record, Answer *answer, Runner **ret)
{
        _cleanup_(runner_freep) Runner *r = calloc(1, sizeof(*r));

        if (!r)
                return -ENOMEM;
        r->context = *context;
        r->config = config ? runner_config_ref(config) : NULL;
        r->journal_reserved = answer != NULL || record->intent.kind != INTENT_NONE;
        int k = replace_string(&r->name, record->name);
        if (k >= 0)
                k = runner_plan_new(
                        agent, config, context->machine, template_body, record->url, context->once, &r->plan);
        if (k >= 0)
                k = make_timer(r);
        if (k < 0)
                return k;
        k = lifecycle_new(runner_plan_get(r->plan), &context->facts, record, answer, seed(r), &r->lifecycle);
        if (k < 0)
                return k;
        r->logged_state = lifecycle_state(r->lifecycle);
        *ret = take_ptr(r);
        return 0;
}

Runner *runner_free(Runner *r)
{
        if (!r)
                return NULL;
        drop_action(r);
        (void)sd_event_source_disable_unref(r->timer_source);
        (void)lifecycle_free(r->lifecycle);
        (void)runner_plan_free(r->plan);
        (void)runner_config_unref(r->config);
        free(r->name);
        free(r);
        return NULL;
}

const char *runner_name(const Runner *r)
{
        return r->name;
}

const char *runner_url(const Runner *r)
{
        return runner_plan_get(r->plan)->target.url;
}

RunnerConfig *runner_config(const Runner *r)
{
        return r->config;
}

Lifecycle *runner_lifecycle(const Runner *r)
{
        return r->lifecycle;
}

void runner_entries(Runner *r, const Entry *const *entries, size_t n_entries)
{
        EntryView views[LIFECYCLE_ENTRIES_MAX];
        size_t n = 0;

        while (n < n_entries && n < ELEMENTS(views)) {
                views[n] = entry_view(entries[n]);
                n++;
        }
        Event event = event_make(r, EVENT_ENTRIES);
        event.entries = views;
        event.n_entries = n;
        if (r->started)
                advance(r, &event);
        else
                /* Before the start nothing is decided; the lifecycle only learns what stands there. */
                lifecycle_learn_entries(r->lifecycle, &event);
}

void runner_start(Runner *r)
{
        Event event = event_make(r, EVENT_START);

        r->started = true;
        advance(r, &event);
}

void runner_command(Runner *r, Command command)
{
        Event event = event_make(r, EVENT_COMMAND);

        event.command = command;
        advance(r, &event);
}

void runner_stop(Runner *r, StopPlan plan, uint64_t deadline_usec)
{
        Event event = event_make(r, EVENT_STOP);

        event.stop = plan;
        event.deadline_usec = deadline_usec;
        advance(r, &event);
}

int runner_configure(Runner *r, const Config *agent, RunnerConfig *config, const Secret *template_body)
{
        RunnerPlan *plan = NULL;
        int k = runner_plan_new(agent, config, r->context.machine, template_body, lifecycle_record(r->lifecycle)->url,
                r->context.once, &plan);

        if (k < 0)
                return k;
        lifecycle_configure(r->lifecycle, runner_plan_get(plan));
        (void)runner_plan_free(r->plan);
        r->plan = plan;
        if (config)
                (void)runner_config_ref(config);
        (void)runner_config_unref(r->config);
        r->config = config;
        Event event = event_make(r, EVENT_CONFIGURED);
        advance(r, &event);
        return 0;
}

bool runner_stopped(const Runner *r)
{
        return r->stopped;
}

bool runner_enrolled(const Runner *r)
{
        const Record *record = lifecycle_record(r->lifecycle);

        return record->state == RUNNER_STATE_REGISTERED && record->token && !lifecycle_unwritten(r->lifecycle);
}
