/* A reload: the new configuration as a whole, or the old one as a whole. */

#include "agent/manager-internal.h"

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
        disk_now(m->disk, &now);
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
                manager_watch_cloud(m);
        leave_configure(m->leave, m->config);
        entries_set_concurrent(m->entries, m->config->concurrent);
        (void)hook_set_program(m->hook, m->config->hook);
        log_info(m->log, NULL, "The configuration was read again: %zu runners", m->config->n_runners);
}

int manager_on_hangup(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
        Manager *m = userdata;

        if (m->stopping)
                return 0;
        manager_start_runners(m);
        (void)systemd_notify_reloading();
        reload(m);
        (void)systemd_notify_ready();
        (void)sd_event_source_set_enabled(m->changed_source, SD_EVENT_ONESHOT);
        return 0;
}
