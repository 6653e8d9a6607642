#include "agent/manager-internal.h"

static int fail(char **reterr, int error, const char *what)
{
        if (!*reterr && asprintf(reterr, "%s: %s", what, strerror(-error)) < 0)
                *reterr = NULL;
        return error;
}

static int open_store(Manager *m, char **reterr)
{
        int r = store_open(m->disk, m->config->state_dir, &m->store, reterr);

        if (r < 0 || m->options.look_only)
                return r;
        return store_lock(m->store, reterr);
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

/* Who this host is, for GitLab, and whether what is on this disk belongs to a sibling of this machine. */
static int settle_system_id(Manager *m, IdPlan *ret, char **reterr)
{
        char found[SYSTEM_ID_SIZE + 1], made[SYSTEM_ID_SIZE + 1];
        _cleanup_free_ char *why = NULL;
        Clone clone;
        int r = machine_make_system_id(&m->machine, m->disk, made);

        if (r >= 0)
                r = roster_check_clone(m->store, &m->machine, &clone, reterr);
        if (r < 0)
                return r;
        r = config_toml_system_id_read(m->config_toml, found, reterr);
        if (r < 0 && r != -ENOENT)
                return r;
        IdPlan plan = clone_settle_id(r >= 0 ? found : NULL, made, clone, m->options.look_only);
        bool cloned = plan.clone != CLONE_NONE;
        *ret = plan;
        if (cloned)
                log_warning(m->log, LOG_FIELDS(.message_id = MESSAGE_ID_CLONE_DETECTED),
                        "This disk was another %s's: it gets a system id and runners of its own, and what belongs to "
                        "the other one is left alone",
                        plan.clone == CLONE_INSTANCE ? "instance" : "machine");
        clone_take_system_id(m->disk, &plan, found, made, m->system_id);
        if (!plan.write)
                return 0;
        r = cloned ? clone_blank_tokens(m->config_toml, m->config, reterr) : 0;
        if (r >= 0 && cloned)
                r = clone_blank_remembered(m->config_toml, m->config, m->store, reterr);
        if (r < 0)
                return r;
        r = config_toml_system_id_write(m->config_toml, m->system_id, &why);
        if (r < 0 && plan.may_go_on && !m->options.once) {
                /* Before config.toml can be written, nobody is called. */
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
                r = hook_new(m->event, m->log, manager_hook_told, m, &m->hook);
        if (r >= 0)
                r = hook_set_program(m->hook, m->config->hook);
        if (r >= 0)
                r = leave_new(m->event, m->log, m->config, manager_withdraw_all, m, &m->leave);
        if (r >= 0)
                r = sd_event_add_defer(m->event, &m->changed_source, manager_on_changed, m);
        if (r >= 0)
                r = sd_event_source_set_enabled(m->changed_source, SD_EVENT_OFF);
        /* After all runners of this turn have moved. */
        if (r >= 0)
                r = sd_event_source_set_priority(m->changed_source, SD_EVENT_PRIORITY_NORMAL + 20);
        /* Beforehand, as it is for times when there may be no memory. */
        if (r >= 0)
                r = sd_event_add_time(
                        m->event, &m->publish_source, CLOCK_BOOTTIME, 0, USEC_PER_MSEC, manager_on_publish, m);
        if (r >= 0)
                r = sd_event_source_set_enabled(m->publish_source, SD_EVENT_OFF);
        return r;
}

static TokenUse ask_roster(void *userdata, const Lifecycle *asking, const char *url, const Secret *token)
{
        const Manager *m = userdata;

        return roster_token_use(m->roster, asking, url, token);
}

static int make_roster(Manager *m, const IdPlan *id, char **reterr)
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
                                .system_id_proves = id->proves,
                                .household = {.ask = ask_roster, .userdata = m},
                        },
                .once = m->options.once,
                .changed = manager_runner_changed,
                .noticed = manager_runner_noticed,
                .userdata = m,
        };
        r = roster_new(&m->context, &m->roster);
        return r < 0 ? r : roster_load(m->roster, m->config, id->clone != CLONE_NONE, list, reterr);
}

int manager_new(const ManagerOptions *options, Config *config, Manager **ret, char **reterr)
{
        _cleanup_(manager_freep) Manager *m = calloc(1, sizeof(*m));
        _cleanup_free_ char *message = NULL;
        IdPlan id;

        if (!m)
                return -ENOMEM;
        m->options = *options;
        m->log = options->log;
        m->disk = disk_real();
        m->config = config;
        int r = machine_read(m->disk, machine_paths_default(), &m->machine, &message);
        if (r >= 0)
                r = open_store(m, &message);
        if (r >= 0)
                r = open_config_toml(m, &message);
        if (r >= 0)
                r = settle_system_id(m, &id, &message);
        if (r >= 0)
                r = make_services(m);
        if (r >= 0)
                r = make_roster(m, &id, &message);
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
        free(m->unpublished);
        free(m);
        return NULL;
}

/* ---- start of the runners ---- */

void manager_start_runners(Manager *m)
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
        manager_start_runners(m);
}

/* The first who speaks for this host tells GitLab what its gitlab-runner can, for the better part of an hour: so that
 * is found out before anything is sent. */
static void start_when_known(Manager *m)
{
        int r = neighbour_query(m->event, m->disk, m->log, m->config->runtime_dir, neighbour_places(), on_neighbour,
                m, &m->neighbour_query);

        if (r < 0)
                manager_start_runners(m);
}

/* ---- running ---- */

static int on_verify_now(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
        Manager *m = userdata;
        _cleanup_free_ char *why = NULL;
        const OrderRequest request = {.command = COMMAND_VERIFY};

        if (!m->stopping && manager_order(m, &request, NULL, NULL, NULL, &why) < 0)
                log_warning(m->log, NULL, "SIGUSR1 is ignored: %s", why ? why : "out of memory");
        return 0;
}

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
                {SIGTERM, manager_on_terminate},
                {SIGINT, manager_on_terminate},
                {SIGHUP, manager_on_hangup},
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
                return EXIT_FAILED;
        }
        r = entries_watch(m->entries, entries_changed, m);
        if (r < 0)
                log_warning(m->log, NULL, "Changes of '%s' by others are noticed late: %s",
                        config_toml_path(m->config_toml), strerror(-r));
        r = leave_watch(m->leave);
        if (r < 0)
                log_warning(m->log, NULL, "'%s' is not watched: %s", m->config->drain_unit, strerror(-r));
        manager_watch_cloud(m);
        start_when_known(m);
        manager_publish(m);
        (void)systemd_notify_ready();
        r = sd_event_loop(m->event);
        if (r < 0) {
                log_error(m->log, NULL, "The event loop failed: %s", strerror(-r));
                return EXIT_FAILED;
        }
        return r;
}

static int on_pass_overdue(sd_event_source *source, uint64_t usec, void *userdata)
{
        Manager *m = userdata;

        return sd_event_exit(m->event, EXIT_AGAIN);
}

int manager_pass(Manager *m, const OrderRequest *request, OrderDone done, void *userdata, char **reterr)
{
        int r = manager_order(m, request, done, userdata, NULL, reterr);

        if (r == -ENOENT)
                return EXIT_USAGE;
        if (r >= 0 && request->timeout_usec != USEC_INFINITY)
                r = sd_event_add_time_relative(m->event, &m->stop_timer_source, CLOCK_BOOTTIME, request->timeout_usec,
                        10 * USEC_PER_MSEC, on_pass_overdue, m);
        if (r >= 0) {
                start_when_known(m);
                r = sd_event_loop(m->event);
                if (r >= 0)
                        return r;
        }
        if (!*reterr && asprintf(reterr, "Failed to act: %s", strerror(-r)) < 0)
                *reterr = NULL;
        return EXIT_FAILED;
}
