#include "agent/manager.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "agent/clone.h"
#include "agent/control.h"
#include "agent/hook.h"
#include "agent/host/notice.h"
#include "agent/host/systemd.h"
#include "agent/leave.h"
#include "agent/neighbour.h"
#include "agent/roster.h"
#include "agent/runner-plan.h"
#include "agent/status-file.h"
#include "config/load.h"

/* Orders wait for each other; more than this many at once is a loop in somebody's script. */
#define ORDERS_MAX 64

/* After the status was written, it rests this many times as long as that took. */
#define PUBLISH_REST 20

struct Manager {
        ManagerOptions options;
        Log *log;
        Config *config;
        Disk *disk;
        sd_event *event;
        Machine machine;
        Neighbour neighbour;
        NeighbourQuery *neighbour_query;
        bool started;
        char system_id[SYSTEM_ID_SIZE + 1];
        Store *store;
        ConfigToml *config_toml;
        Http *http;
        Entries *entries;
        Teller *teller;
        Hook *hook;
        RunnerContext context;
        Roster *roster;
        Control *control;

        Order *orders[ORDERS_MAX];
        size_t n_orders;
        bool order_started;
        bool order_drains;

        sd_event_source *signal_sources[4];
        sd_event_source *changed_source;
        sd_event_source *stop_timer_source;
        sd_event_source *publish_source;
        uint64_t publish_after_usec;
        Leave *leave;
        bool stopping;
        Notices *notices;
        bool taken;   /* the cloud takes this host */
        bool telling; /* … and is being told that we are gone */
        bool told;    /* … and was */
        char *status_text;
};

static int on_changed(sd_event_source *source, void *userdata);
static void runner_changed(void *userdata, Runner *runner);
static void runner_noticed(void *userdata, Runner *runner, Notice notice);
static void hook_was_told(void *userdata);
static void withdraw_all(void *userdata, StopReason reason, StopPlan plan, uint64_t deadline_usec);

/* ---- start ---- */

static int fail(char **reterr, int error, const char *what)
{
        if (!*reterr && asprintf(reterr, "%s: %s", what, strerror(-error)) < 0)
                *reterr = NULL;
        return error;
}

static int open_store(Manager *m, char **reterr)
{
        pid_t pid = 0;
        int r = store_open(m->disk, m->config->state_dir, &m->store, reterr);

        if (r < 0 || m->options.look_only)
                return r;
        r = store_lock(m->store, &pid, reterr);
        if (r == -EBUSY) {
                free(take_ptr(*reterr));
                if (asprintf(reterr, "another agent (pid %d) has the lock of state folder '%s'", (int)pid,
                            m->config->state_dir) < 0)
                        *reterr = NULL;
        }
        return r;
}

static int open_config_toml(Manager *m, char **reterr)
{
        InPlaceRecovery recovery;
        int r = config_toml_new(m->disk, m->config->config_toml, m->config->state_dir, &m->config_toml);

        if (r < 0 || m->options.look_only)
                return r;
        r = config_toml_recover(m->config_toml, &recovery, reterr);
        if (r >= 0 && recovery == IN_PLACE_REDONE)
                log_info(m->log, NULL, "Ended an interrupted write of '%s'", config_toml_path(m->config_toml));
        return r;
}

/* Who this host is, for GitLab: the id that is there, or one made as gitlab-runner makes it. *ret_cloned: what is on
 * this disk belongs to a sibling of this machine. */
static int settle_system_id(Manager *m, bool *ret_cloned, char **reterr)
{
        char found[SYSTEM_ID_SIZE + 1], made[SYSTEM_ID_SIZE + 1];
        Clone clone;
        int r = machine_make_system_id(&m->machine, m->disk, made);

        if (r >= 0)
                r = roster_check_clone(m->store, &m->machine, &clone);
        if (r < 0)
                return r;
        r = config_toml_system_id_read(m->config_toml, found, reterr);
        bool there = r >= 0;
        if (r < 0 && r != -ENOENT)
                return r;
        bool same = there && strcmp(found, made) == 0;
        /* Only an s_ id tells whose it is, and only where this machine has one to compare. */
        bool foreign = there && !same && found[0] == 's' && made[0] == 's';

        *ret_cloned = foreign || clone != CLONE_NONE;
        m->context.facts.system_id_proves = same && made[0] == 's';
        if (there && !*ret_cloned) {
                memcpy(m->system_id, found, sizeof(found));
                return 0;
        }
        if (m->options.look_only) {
                *ret_cloned = false;
                memcpy(m->system_id, there ? found : made, sizeof(made));
                return 0;
        }
        if (*ret_cloned)
                log_warning(m->log, LOG_FIELDS(.message_id = MESSAGE_ID_CLONE_DETECTED),
                        "This disk was another %s's: it gets a system id and runners of its own, and what belongs to "
                        "the other one is left alone",
                        clone == CLONE_INSTANCE && !foreign ? "instance" : "machine");
        if (clone == CLONE_INSTANCE && !foreign) {
                /* The machine id is the sibling's as well, and so would be the id made from it. */
                unsigned char random[16];

                m->disk->ops->random(m->disk, random, sizeof(random));
                system_id_from_random(random, made);
        }
        memcpy(m->system_id, made, sizeof(made));
        /* Before the id, which is one of the signs that this is a clone. */
        r = *ret_cloned ? clone_blank_tokens(m->config_toml, m->config, reterr) : 0;
        if (r < 0)
                return r;
        _cleanup_free_ char *why = NULL;
        r = config_toml_system_id_write(m->config_toml, made, &why);
        if (r < 0 && made[0] == 's' && !there && !m->options.once) {
                /* gitlab-runner makes the same one; and before config.toml can be written, nobody is called. */
                log_warning(m->log, NULL, "%s", why ? why : strerror(-r));
                return 0;
        }
        *reterr = take_ptr(why);
        return r;
}

static int make_services(Manager *m)
{
        int r = sd_event_new(&m->event);

        if (r >= 0)
                r = neighbour_default(m->machine.architecture, &m->neighbour);
        if (r >= 0)
                r = http_new(m->event, m->neighbour.user_agent, &m->http);
        if (r >= 0)
                r = entries_new(m->event, m->log, m->config_toml, m->config->concurrent, &m->entries);
        if (r >= 0)
                r = teller_new(m->event, m->config->reload_unit, &m->teller);
        if (r >= 0)
                r = hook_new(m->event, m->log, hook_was_told, m, &m->hook);
        if (r >= 0)
                r = hook_set_program(m->hook, m->config->hook);
        if (r >= 0)
                r = leave_new(m->event, m->log, m->config, withdraw_all, m, &m->leave);
        if (r >= 0)
                r = sd_event_add_defer(m->event, &m->changed_source, on_changed, m);
        if (r >= 0)
                r = sd_event_source_set_enabled(m->changed_source, SD_EVENT_OFF);
        /* After all runners of this turn have moved. */
        if (r >= 0)
                r = sd_event_source_set_priority(m->changed_source, SD_EVENT_PRIORITY_NORMAL + 20);
        return r;
}

static int make_roster(Manager *m, bool cloned, char **reterr)
{
        _cleanup_(entry_list_freep) EntryList *list = NULL;
        _cleanup_free_ char *why = NULL;
        int r = entries_load(m->entries, &list, &why);

        if (r < 0 && m->options.once) {
                *reterr = take_ptr(why);
                return r;
        }
        /* The agent waits until it is mended; until then PREPARE fails, so nothing is created. */
        if (r < 0)
                log_error(m->log, NULL, "%s", why ? why : strerror(-r));
        Facts proves = m->context.facts;
        m->context = (RunnerContext){
                .event = m->event,
                .log = m->log,
                .disk = m->disk,
                .store = m->store,
                .http = m->http,
                .entries = m->entries,
                .teller = m->teller,
                .config_toml = m->config_toml,
                .machine = &m->machine,
                .neighbour = &m->neighbour,
                .facts =
                        {
                                .system_id = m->system_id,
                                .machine_id = m->machine.machine_id,
                                .instance_id = m->machine.instance_id,
                                .system_id_proves = proves.system_id_proves,
                        },
                .once = m->options.once,
                .changed = runner_changed,
                .noticed = runner_noticed,
                .userdata = m,
        };
        r = roster_new(&m->context, &m->roster);
        return r < 0 ? r : roster_load(m->roster, m->config, cloned, list, reterr);
}

int manager_new(const ManagerOptions *options, Config *config, Manager **ret, char **reterr)
{
        _cleanup_(manager_freep) Manager *m = calloc(1, sizeof(*m));
        _cleanup_free_ char *message = NULL;
        bool cloned;

        if (!m)
                return -ENOMEM;
        m->options = *options;
        m->log = options->log;
        m->disk = disk_real();
        m->config = config;
        int r = machine_read(m->disk, machine_paths_default(), &m->machine);
        if (r >= 0)
                r = open_store(m, &message);
        if (r >= 0)
                r = open_config_toml(m, &message);
        if (r >= 0)
                r = settle_system_id(m, &cloned, &message);
        if (r >= 0)
                r = make_services(m);
        if (r >= 0)
                r = make_roster(m, cloned, &message);
        if (r < 0) {
                m->config = NULL;
                (void)fail(&message, r, "Failed to start");
                *reterr = take_ptr(message);
                return r;
        }
        *ret = take_ptr(m);
        return 0;
}

Manager *manager_free(Manager *m)
{
        if (!m)
                return NULL;
        for (size_t i = 0; i < m->n_orders; i++)
                (void)order_free(m->orders[i]);
        (void)control_free(m->control);
        (void)leave_free(m->leave);
        (void)notices_free(m->notices);
        (void)neighbour_query_cancel(m->neighbour_query);
        (void)roster_free(m->roster);
        (void)hook_free(m->hook);
        (void)teller_free(m->teller);
        (void)entries_free(m->entries);
        (void)http_free(m->http);
        for (size_t i = 0; i < ELEMENTS(m->signal_sources); i++)
                (void)sd_event_source_disable_unref(m->signal_sources[i]);
        (void)sd_event_source_disable_unref(m->stop_timer_source);
        (void)sd_event_source_disable_unref(m->publish_source);
        (void)sd_event_source_disable_unref(m->changed_source);
        (void)sd_event_unref(m->event);
        (void)config_toml_free(m->config_toml);
        (void)store_free(m->store);
        neighbour_done(&m->neighbour);
        machine_done(&m->machine);
        (void)config_free(m->config);
        free(m->status_text);
        free(m);
        return NULL;
}

/* ---- start of the runners ---- */

static void start_runners(Manager *m)
{
        if (m->started)
                return;
        m->started = true;
        m->neighbour_query = neighbour_query_cancel(m->neighbour_query);
        roster_start(m->roster);
        (void)sd_event_source_set_enabled(m->changed_source, SD_EVENT_ONESHOT);
}

static void on_neighbour(Neighbour *neighbour, void *userdata)
{
        Manager *m = userdata;

        m->neighbour_query = NULL;
        if (neighbour->version) {
                neighbour_done(&m->neighbour);
                m->neighbour = *neighbour;
                *neighbour = (Neighbour){};
                (void)http_set_user_agent(m->http, m->neighbour.user_agent);
        }
        start_runners(m);
}

/* The first who speaks for this host tells GitLab what its gitlab-runner can, for the better part of an hour: so that
 * is found out before anything is sent. */
static void start_when_known(Manager *m)
{
        int r = neighbour_query(m->event, m->disk, m->log, m->config->runtime_dir, neighbour_places(), on_neighbour,
                m, &m->neighbour_query);

        if (r < 0)
                start_runners(m);
}

/* ---- orders ---- */

static void on_order_drained(void *userdata, const char *sentence)
{
        Manager *m = userdata;

        if (sentence)
                order_set_note(m->orders[0], sentence);
        order_start(m->orders[0], m->roster);
        (void)sd_event_source_set_enabled(m->changed_source, SD_EVENT_ONESHOT);
}

static void start_order(Manager *m)
{
        uint64_t timeout;

        m->order_started = true;
        m->order_drains = order_wants_drain(m->orders[0], &timeout);
        if (!m->order_drains || leave_drain(m->leave, timeout, on_order_drained, m) < 0)
                order_start(m->orders[0], m->roster);
}

/* gitlab-runner was drained for runners that are withdrawn; those that stay want it back. */
static void end_order(Manager *m)
{
        leave_drain_cancel(m->leave);
        for (size_t i = 0; m->order_drains && i < roster_size(m->roster); i++)
                if (runner_enrolled(roster_get(m->roster, i))) {
                        leave_drain_undo(m->leave);
                        break;
                }
        m->order_drains = false;
}

static void work_orders(Manager *m)
{
        if (!m->started)
                return;
        while (m->n_orders > 0) {
                if (m->stopping) {
                        if (leave_is_open(m->leave) || !roster_stopped(m->roster))
                                return;
                        order_settle(m->orders[0], m->roster);
                } else if (!m->order_started)
                        start_order(m);
                if (!order_complete(m->orders[0], m->roster))
                        return;
                end_order(m);
                (void)order_free(m->orders[0]);
                m->n_orders--;
                memmove(m->orders, m->orders + 1, m->n_orders * sizeof(*m->orders));
                m->order_started = false;
        }
}

int manager_order(Manager *m, const OrderRequest *request, OrderDone done, void *userdata, Order **ret, char **reterr)
{
        Order *order;

        /* Who wants the runners withdrawn while they are gets to hear when they are. */
        if (m->n_orders >= ORDERS_MAX || (m->stopping && request->command != COMMAND_DEREGISTER)) {
                *reterr = strdup(m->stopping ? "the agent is stopping" : "too many commands are waiting");
                return -EBUSY;
        }
        int r = order_new(m->roster, request, done, userdata, &order, reterr);
        if (r < 0)
                return r;
        m->orders[m->n_orders++] = order;
        if (ret)
                *ret = order;
        return sd_event_source_set_enabled(m->changed_source, SD_EVENT_ONESHOT);
}

int manager_status(Manager *m, char **ret)
{
        Now now;

        m->disk->ops->now(m->disk, &now);
        return status_file_encode(m->roster, m->options.once ? 0 : getpid(), now, ret);
}

static bool selected(const Runner *runner, char *const *names)
{
        if (!names || !names[0])
                return runner_config(runner) != NULL;
        for (size_t i = 0; names[i]; i++)
                if (strcmp(names[i], runner_name(runner)) == 0)
                        return true;
        return false;
}

int manager_readiness(Manager *m, char *const *names)
{
        size_t waiting = 0, refused = 0;

        for (size_t i = 0; i < roster_size(m->roster); i++) {
                Runner *runner = roster_get(m->roster, i);

                if (!selected(runner, names) || runner_enrolled(runner))
                        continue;
                /* A refusal of before the start is asked again in a moment: what was wrong may be mended. */
                if (lifecycle_state(runner_lifecycle(runner)) == RUNNER_STATE_REFUSED &&
                        lifecycle_attempt(runner_lifecycle(runner)) > 0)
                        refused++;
                else
                        waiting++;
        }
        return waiting > 0 ? 75 : refused > 0 ? 77 : 0;
}

/* ---- what changed ---- */

static void runner_changed(void *userdata, Runner *runner)
{
        Manager *m = userdata;

        if (m->order_started && m->n_orders > 0 && !m->stopping)
                order_collect(m->orders[0], runner);
        (void)sd_event_source_set_enabled(m->changed_source, SD_EVENT_ONESHOT);
}

static void runner_noticed(void *userdata, Runner *runner, Notice notice)
{
        static const char *const events[_NOTICE_MAX] = {
                [NOTICE_REGISTERED] = "registered",
                [NOTICE_ADOPTED] = "registered",
                [NOTICE_ALIVE_AGAIN] = "registered",
                [NOTICE_ROTATED] = "rotated",
                [NOTICE_DOUBTFUL] = "doubtful",
                [NOTICE_RECOVERING] = "recovering",
                [NOTICE_REFUSED] = "refused",
                [NOTICE_WITHDRAWN] = "withdrawn",
                [NOTICE_DEBT] = "debt",
        };
        Manager *m = userdata;

        if (events[notice])
                hook_tell(m->hook, events[notice], runner_name(runner));
}

static void hook_was_told(void *userdata)
{
        Manager *m = userdata;

        (void)sd_event_source_set_enabled(m->changed_source, SD_EVENT_ONESHOT);
}

/* STATUS= in words: how many runners are in which state. */
static void tell_systemd(Manager *m)
{
        unsigned counts[_RUNNER_STATE_MAX] = {};
        char text[256];
        size_t used = 0;

        for (size_t i = 0; i < roster_size(m->roster); i++)
                counts[lifecycle_state(runner_lifecycle(roster_get(m->roster, i)))]++;
        text[0] = 0;
        for (RunnerState state = 0; state < _RUNNER_STATE_MAX; state++)
                if (counts[state] > 0 && used < sizeof(text))
                        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%u %s", used ? ", " : "",
                                counts[state], runner_state_to_string(state));
        if (m->status_text && strcmp(m->status_text, text) == 0)
                return;
        (void)replace_string(&m->status_text, text);
        (void)systemd_notify_status(text);
}

static void publish(Manager *m)
{
        _cleanup_free_ char *why = NULL;
        Now before, after;

        m->disk->ops->now(m->disk, &before);
        if (status_file_write(m->disk, m->roster, before, m->config->runtime_dir, m->config->metrics_file, &why) < 0)
                log_warning(m->log, NULL, "%s", why ? why : "Failed to write the status");
        tell_systemd(m);
        m->disk->ops->now(m->disk, &after);
        m->publish_after_usec = after.boottime_usec + PUBLISH_REST * (after.boottime_usec - before.boottime_usec);
}

static int on_publish(sd_event_source *source, uint64_t usec, void *userdata)
{
        publish(userdata);
        return 0;
}

/* At once, but with thousands of runners on the move not for each of them. */
static void publish_soon(Manager *m)
{
        Now now;

        m->disk->ops->now(m->disk, &now);
        if (now.boottime_usec >= m->publish_after_usec) {
                publish(m);
                return;
        }
        if (!m->publish_source) {
                (void)sd_event_add_time(m->event, &m->publish_source, CLOCK_BOOTTIME, m->publish_after_usec,
                        USEC_PER_MSEC, on_publish, m);
                return;
        }
        int enabled = SD_EVENT_OFF;
        (void)sd_event_source_get_enabled(m->publish_source, &enabled);
        if (enabled != SD_EVENT_OFF)
                return;
        (void)sd_event_source_set_time(m->publish_source, m->publish_after_usec);
        (void)sd_event_source_set_enabled(m->publish_source, SD_EVENT_ONESHOT);
}

static void on_cloud_told(void *userdata)
{
        Manager *m = userdata;

        m->telling = false;
        (void)sd_event_source_set_enabled(m->changed_source, SD_EVENT_ONESHOT);
}

/* All is withdrawn. The process stays until it is told to go: whoever started it would start it again. */
static int end_stop(Manager *m)
{
        if (m->taken && !m->told) {
                m->told = m->telling = true;
                notices_tell_gone(m->notices, on_cloud_told, m);
        }
        return !m->telling && leave_may_exit(m->leave) ? sd_event_exit(m->event, 0) : 0;
}

static int on_changed(sd_event_source *source, void *userdata)
{
        Manager *m = userdata;

        roster_tidy(m->roster);
        work_orders(m);
        if (!m->options.once)
                publish_soon(m);
        if (m->control)
                control_changed(m->control);
        /* What happened last is told before the end, too; the stop's deadline and the hook's own are its bounds. */
        if (!hook_idle(m->hook))
                return 0;
        if (m->stopping && !leave_is_open(m->leave) && roster_stopped(m->roster))
                return end_stop(m);
        if (m->options.once && m->n_orders == 0)
                return sd_event_exit(m->event, 0);
        return 0;
}

/* ---- stop ---- */

static int on_stop_overdue(sd_event_source *source, uint64_t usec, void *userdata)
{
        Manager *m = userdata;

        log_warning(m->log, NULL, "Stopping took longer than it may; what is not done stays in the state");
        return sd_event_exit(m->event, 0);
}

static void bound_stop(Manager *m, uint64_t deadline_usec)
{
        (void)sd_event_source_disable_unref(m->stop_timer_source);
        m->stop_timer_source = NULL;
        (void)sd_event_add_time(m->event, &m->stop_timer_source, CLOCK_BOOTTIME,
                usec_add(deadline_usec, USEC_PER_SEC / 10), 10 * USEC_PER_MSEC, on_stop_overdue, m);
}

static void withdraw_all(void *userdata, StopReason reason, StopPlan plan, uint64_t deadline_usec)
{
        Manager *m = userdata;

        roster_stop(m->roster, plan, deadline_usec);
        /* The runners end by themselves at the deadline; this is for what would not. */
        if (leave_may_exit(m->leave))
                bound_stop(m, deadline_usec);
        (void)sd_event_source_set_enabled(m->changed_source, SD_EVENT_ONESHOT);
}

static int on_terminate(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
        Manager *m = userdata;

        if (leave_may_exit(m->leave))
                return 0;
        start_runners(m);
        (void)systemd_notify_stopping();
        m->stopping = true;
        leave_by_signal(m->leave);
        if (!leave_is_open(m->leave)) {
                Now now;

                /* The cloud's notice came before, and the withdrawal is under way or done. */
                m->disk->ops->now(m->disk, &now);
                bound_stop(m, usec_add(now.boottime_usec, m->config->stop_timeout_usec));
        }
        (void)sd_event_source_set_enabled(m->changed_source, SD_EVENT_ONESHOT);
        return 0;
}

/* ---- the cloud ---- */

static uint64_t to_boottime(const Manager *m, uint64_t realtime_usec)
{
        Now now;

        if (realtime_usec == 0 || realtime_usec == USEC_INFINITY)
                return realtime_usec;
        m->disk->ops->now(m->disk, &now);
        return usec_add(now.boottime_usec, usec_sub(realtime_usec, now.realtime_usec));
}

static void on_notice(void *userdata, const CloudNotice *notice)
{
        Manager *m = userdata;
        const char *kind = cloud_notice_kind_to_string(notice->kind);
        bool leaves = notice->kind == CLOUD_NOTICE_PREEMPTION || notice->kind == CLOUD_NOTICE_TERMINATION;
        bool has_deadline = notice->deadline_usec != 0 && notice->deadline_usec != USEC_INFINITY;
        char deadline[TIME_RFC3339_MAX] = "";

        if (has_deadline)
                (void)time_format_rfc3339(notice->deadline_usec, deadline);
        log_message(m->log, leaves ? LOG_WARNING : LOG_INFO, LOG_FIELDS(.message_id = MESSAGE_ID_CLOUD_NOTICE),
                "The cloud announces: %s (%s)%s%s%s", kind, notice->reference, has_deadline ? ", until " : "",
                deadline, leaves ? "" : "; nothing is done about it");
        hook_tell_notice(m->hook, kind, deadline, notice->reference);
        if (!leaves)
                return;
        start_runners(m);
        m->stopping = m->taken = true;
        leave_by_notice(m->leave, notice->kind == CLOUD_NOTICE_PREEMPTION ? STOP_PREEMPTION : STOP_TERMINATE,
                to_boottime(m, notice->deadline_usec));
        (void)sd_event_source_set_enabled(m->changed_source, SD_EVENT_ONESHOT);
}

static void watch_cloud(Manager *m)
{
        unsigned termination = m->config->termination;
        unsigned clouds = (termination & CONFIG_TERMINATION_AWS ? (unsigned)CLOUD_AWS : 0) |
                          (termination & CONFIG_TERMINATION_GCP ? (unsigned)CLOUD_GCP : 0) |
                          (termination & CONFIG_TERMINATION_AZURE ? (unsigned)CLOUD_AZURE : 0);

        m->notices = notices_free(m->notices);
        int r = notices_new(
                m->event, m->http, m->log, clouds, termination & CONFIG_TERMINATION_AUTO, on_notice, m, &m->notices);
        if (r < 0)
                log_warning(m->log, NULL, "The cloud's notices are not watched: %s", strerror(-r));
}

/* ---- reload ---- */

static void reload(Manager *m)
{
        _cleanup_mistakes_ Mistakes mistakes = MISTAKES_EMPTY;
        _cleanup_(config_freep) Config *config = NULL;
        _cleanup_free_ char *why = NULL;
        const Specifiers specifiers = {
                .host_name = m->machine.host_name,
                .machine_id = m->machine.machine_id,
                .instance_id = m->machine.instance_id,
        };
        Now now;
        int r = config_load(m->options.config_files, &specifiers, 0, &config, &mistakes);

        if (r == -EBADMSG) {
                for (size_t i = 0; i < mistakes.n_items; i++)
                        log_error(m->log, NULL, "%s", mistakes.items[i].text);
                log_error(m->log, LOG_FIELDS(.message_id = MESSAGE_ID_RELOAD_REFUSED),
                        "The new configuration has mistakes; keeping the old one");
                return;
        }
        m->disk->ops->now(m->disk, &now);
        if (r >= 0)
                r = roster_reload(m->roster, config,
                        stop_plan(STOP_SERVICE, deregister_on_from_config(config->deregister_on)),
                        usec_add(now.boottime_usec, config->stop_timeout_usec), &why);
        if (r < 0) {
                log_error(m->log, LOG_FIELDS(.message_id = MESSAGE_ID_RELOAD_REFUSED),
                        "%s; keeping the old configuration", why ? why : strerror(-r));
                return;
        }
        if (strcmp(config->state_dir, m->config->state_dir) != 0 ||
                strcmp(config->runtime_dir, m->config->runtime_dir) != 0 ||
                strcmp(config->config_toml, m->config->config_toml) != 0)
                log_warning(m->log, NULL, "state_dir, runtime_dir and config_toml take effect with the next start");
        /* They stay as they are until then: state and socket lie where they lie. */
        char *keep[] = {config->state_dir, config->runtime_dir, config->config_toml};
        config->state_dir = m->config->state_dir;
        config->runtime_dir = m->config->runtime_dir;
        config->config_toml = m->config->config_toml;
        m->config->state_dir = keep[0];
        m->config->runtime_dir = keep[1];
        m->config->config_toml = keep[2];
        bool other_cloud = config->termination != m->config->termination;
        (void)config_free(m->config);
        m->config = take_ptr(config);
        if (other_cloud)
                watch_cloud(m);
        leave_configure(m->leave, m->config);
        entries_set_concurrent(m->entries, m->config->concurrent);
        (void)hook_set_program(m->hook, m->config->hook);
        log_info(m->log, NULL, "The configuration was read again: %zu runners", m->config->n_runners);
}

static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
        Manager *m = userdata;

        if (m->stopping)
                return 0;
        start_runners(m);
        (void)systemd_notify_reloading();
        reload(m);
        (void)systemd_notify_ready();
        (void)sd_event_source_set_enabled(m->changed_source, SD_EVENT_ONESHOT);
        return 0;
}

static int on_verify_now(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
        Manager *m = userdata;
        _cleanup_free_ char *why = NULL;
        const OrderRequest request = {.command = COMMAND_VERIFY};

        if (!m->stopping && manager_order(m, &request, NULL, NULL, NULL, &why) < 0)
                log_warning(m->log, NULL, "SIGUSR1 is ignored: %s", why ? why : "out of memory");
        return 0;
}

/* ---- running ---- */

static void entries_changed(void *userdata, const EntryList *list)
{
        Manager *m = userdata;

        log_debug(m->log, NULL, "'%s' was changed by others", config_toml_path(m->config_toml));
        roster_entries(m->roster, list);
}

static int listen_to_signals(Manager *m)
{
        static const struct {
                int signal;
                sd_event_signal_handler_t handler;
        } rows[] = {
                {SIGTERM, on_terminate},
                {SIGINT, on_terminate},
                {SIGHUP, on_hangup},
                {SIGUSR1, on_verify_now},
        };
        sigset_t mask;

        (void)sigemptyset(&mask);
        for (size_t i = 0; i < ELEMENTS(rows); i++)
                (void)sigaddset(&mask, rows[i].signal);
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return -errno;
        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                int r = sd_event_add_signal(m->event, &m->signal_sources[i], rows[i].signal, rows[i].handler, m);
                if (r < 0)
                        return r;
        }
        return 0;
}

int manager_run(Manager *m)
{
        _cleanup_free_ char *why = NULL;
        int r = listen_to_signals(m);

        if (r >= 0)
                r = sd_event_set_watchdog(m->event, true);
        if (r >= 0)
                r = control_new(m->event, m->log, m, m->config->runtime_dir, &m->control, &why);
        if (r < 0) {
                log_error(m->log, NULL, "Failed to start: %s", why ? why : strerror(-r));
                return 1;
        }
        r = entries_watch(m->entries, entries_changed, m);
        if (r < 0)
                log_warning(m->log, NULL, "Changes of '%s' by others are noticed late: %s",
                        config_toml_path(m->config_toml), strerror(-r));
        r = leave_watch(m->leave);
        if (r < 0)
                log_warning(m->log, NULL, "'%s' is not watched: %s", m->config->drain_unit, strerror(-r));
        watch_cloud(m);
        start_when_known(m);
        publish(m);
        (void)systemd_notify_ready();
        r = sd_event_loop(m->event);
        if (r < 0) {
                log_error(m->log, NULL, "The event loop failed: %s", strerror(-r));
                return 1;
        }
        return 0;
}

static int on_pass_overdue(sd_event_source *source, uint64_t usec, void *userdata)
{
        Manager *m = userdata;

        return sd_event_exit(m->event, 75);
}

int manager_pass(Manager *m, const OrderRequest *request, OrderDone done, void *userdata, char **reterr)
{
        int r = manager_order(m, request, done, userdata, NULL, reterr);

        if (r == -ENOENT)
                return 2;
        if (r >= 0 && request->timeout_usec != USEC_INFINITY)
                r = sd_event_add_time_relative(m->event, &m->stop_timer_source, CLOCK_BOOTTIME, request->timeout_usec,
                        10 * USEC_PER_MSEC, on_pass_overdue, m);
        if (r < 0)
                return 1;
        start_when_known(m);
        r = sd_event_loop(m->event);
        return r < 0 ? 1 : r;
}
