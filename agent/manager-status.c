/* What changed, for all who look: status file, systemd, hook, clients that wait. */

#include "agent/manager-internal.h"

/* After the status was written, it rests this many times as long as that took. */
#define PUBLISH_REST 20
/* A status that could not be written would go on telling of the past until something happens, maybe for an hour. */
#define PUBLISH_AGAIN_USEC (5 * USEC_PER_SEC)

void manager_runner_changed(void *userdata, Runner *runner)
{
        Manager *m = userdata;

        if (m->order_started && m->n_orders > 0 && !m->stopping)
                order_collect(m->orders[0], runner);
        (void)sd_event_source_set_enabled(m->changed_source, SD_EVENT_ONESHOT);
}

void manager_runner_noticed(void *userdata, Runner *runner, Notice notice)
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

void manager_hook_told(void *userdata)
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

static void publish_later(Manager *m);

static void tell_unpublished(Manager *m, const char *why)
{
        const char *words = why ? why : "Failed to write the status: out of memory";

        if (m->unpublished && strcmp(m->unpublished, words) == 0)
                return;
        log_warning(m->log, NULL, "%s; trying again", words);
        (void)replace_string(&m->unpublished, words);
}

void manager_publish(Manager *m)
{
        _cleanup_free_ char *why = NULL;
        Now before, after;

        disk_now(m->disk, &before);
        int r = status_file_write(m->disk, m->roster, before, m->config->runtime_dir, m->config->metrics_file, &why);
        tell_systemd(m);
        if (r < 0) {
                tell_unpublished(m, why);
                m->publish_after_usec = usec_add(before.boottime_usec, PUBLISH_AGAIN_USEC);
                publish_later(m);
                return;
        }
        free(take_ptr(m->unpublished));
        disk_now(m->disk, &after);
        m->publish_after_usec = after.boottime_usec + PUBLISH_REST * (after.boottime_usec - before.boottime_usec);
}

int manager_on_publish(sd_event_source *source, uint64_t usec, void *userdata)
{
        manager_publish(userdata);
        return 0;
}

/* At once, but with thousands of runners on the move not for each of them. */
static void publish_soon(Manager *m)
{
        Now now;

        disk_now(m->disk, &now);
        if (now.boottime_usec >= m->publish_after_usec)
                manager_publish(m);
        else
                publish_later(m);
}

static void publish_later(Manager *m)
{
        int enabled = SD_EVENT_OFF;
        (void)sd_event_source_get_enabled(m->publish_source, &enabled);
        if (enabled != SD_EVENT_OFF)
                return;
        (void)sd_event_source_set_time(m->publish_source, m->publish_after_usec);
        (void)sd_event_source_set_enabled(m->publish_source, SD_EVENT_ONESHOT);
}

int manager_on_changed(sd_event_source *source, void *userdata)
{
        Manager *m = userdata;

        roster_tidy(m->roster);
        manager_work_orders(m);
        if (!m->options.once)
                publish_soon(m);
        if (m->control)
                control_changed(m->control);
        /* What happened last is told before the end, too; the stop's deadline and the hook's own are its bounds. */
        if (!hook_idle(m->hook))
                return 0;
        if (m->stopping && !leave_is_open(m->leave) && roster_stopped(m->roster))
                return manager_end_stop(m);
        if (m->options.once && m->n_orders == 0)
                return sd_event_exit(m->event, EXIT_DONE);
        return 0;
}
