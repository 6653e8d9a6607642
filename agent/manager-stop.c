/* The way out: told by a signal, or by the cloud that takes the machine. */

#include "agent/manager-internal.h"

static void on_cloud_told(void *userdata)
{
        Manager *m = userdata;

        claim_told(&m->claim);
        (void)sd_event_source_set_enabled(m->changed_source, SD_EVENT_ONESHOT);
}

static void on_undone(void *userdata)
{
        Manager *m = userdata;

        if (!leave_may_exit(m->leave))
                (void)sd_event_exit(m->event, MANAGER_AGAIN);
}

int manager_end_stop(Manager *m)
{
        bool can_tell = m->notices && notices_would_tell(m->notices);

        switch (claim_withdrawn(&m->claim, leave_may_exit(m->leave), can_tell)) {
        case CLAIM_TELL:
                notices_tell_gone(m->notices, on_cloud_told, m);
                break;
        case CLAIM_UNDO:
                leave_undo(m->leave, on_undone, m);
                break;
        case CLAIM_EXIT:
                return sd_event_exit(m->event, EXIT_DONE);
        case CLAIM_STAY:
        case _CLAIM_ACTION_MAX:
                break;
        }
        return 0;
}

static int on_stop_overdue(sd_event_source *source, uint64_t usec, void *userdata)
{
        Manager *m = userdata;

        log_warning(m->log, NULL, "Stopping took longer than it may; what is not done stays in the state");
        return sd_event_exit(m->event, EXIT_DONE);
}

static void bound_stop(Manager *m, uint64_t deadline_usec)
{
        (void)sd_event_source_disable_unref(m->stop_timer_source);
        m->stop_timer_source = NULL;
        (void)sd_event_add_time(m->event, &m->stop_timer_source, CLOCK_BOOTTIME,
                usec_add(deadline_usec, USEC_PER_SEC / 10), 10 * USEC_PER_MSEC, on_stop_overdue, m);
}

void manager_withdraw_all(void *userdata, StopReason reason, StopPlan plan, uint64_t deadline_usec)
{
        Manager *m = userdata;

        roster_stop(m->roster, plan, deadline_usec);
        /* The runners end by themselves at the deadline; this is for what would not. */
        if (leave_may_exit(m->leave))
                bound_stop(m, deadline_usec);
        (void)sd_event_source_set_enabled(m->changed_source, SD_EVENT_ONESHOT);
}

int manager_on_terminate(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
        Manager *m = userdata;

        if (leave_may_exit(m->leave))
                return 0;
        manager_start_runners(m);
        (void)systemd_notify_stopping();
        m->stopping = true;
        leave_by_signal(m->leave);
        if (!leave_is_open(m->leave)) {
                Now now;

                /* The cloud's notice came before, and the withdrawal is under way or done. */
                disk_now(m->disk, &now);
                bound_stop(m, usec_add(now.boottime_usec, m->config->stop_timeout_usec));
        }
        (void)sd_event_source_set_enabled(m->changed_source, SD_EVENT_ONESHOT);
        return 0;
}

/* ---- the cloud ---- */

static void on_notice(void *userdata, const CloudNotice *notice)
{
        Manager *m = userdata;
        const char *kind = cloud_notice_kind_to_string(notice->kind);
        bool leaves = notice->kind == CLOUD_NOTICE_PREEMPTION || notice->kind == CLOUD_NOTICE_TERMINATION;
        bool has_deadline = notice->deadline_usec != 0 && notice->deadline_usec != USEC_INFINITY;
        char deadline[TIME_RFC3339_MAX] = "";
        Now now;

        now_read(&now);
        if (has_deadline)
                (void)time_format_rfc3339(notice->deadline_usec, deadline);
        log_message(m->log, leaves ? LOG_WARNING : LOG_INFO, LOG_FIELDS(.message_id = MESSAGE_ID_CLOUD_NOTICE),
                "The cloud announces: %s (%s)%s%s%s", kind, notice->reference, has_deadline ? ", until " : "",
                deadline, leaves ? "" : "; nothing is done about it");
        hook_tell_notice(m->hook, kind, deadline, notice->reference);
        if (!leaves)
                return;
        manager_start_runners(m);
        m->stopping = true;
        claim_make(&m->claim);
        leave_by_notice(m->leave, notice->kind == CLOUD_NOTICE_PREEMPTION ? STOP_PREEMPTION : STOP_TERMINATE,
                now_to_boottime(now, notice->deadline_usec));
        (void)sd_event_source_set_enabled(m->changed_source, SD_EVENT_ONESHOT);
}

/* What becomes of a notice's end, in words. */
static const char *take_back(Manager *m, bool others)
{
        if (others)
                return "another notice stands";
        if (leave_may_exit(m->leave))
                return "the agent was told to stop, too";
        bool stays = leave_by_cancel(m->leave);
        claim_cancel(&m->claim, stays);
        if (stays) {
                m->stopping = false;
                /* What systemd was told is that we wait for jobs. */
                free(take_ptr(m->status_text));
                return "this host stays as it is";
        }
        return m->claim == CLAIM_TELLING || m->claim == CLAIM_TOLD ? "it was told already that this host may go"
                                                                   : "this host enrols anew";
}

static void on_cancelled(void *userdata, const CloudNotice *notice, bool others)
{
        Manager *m = userdata;

        if (m->claim == CLAIM_NONE)
                return;
        log_message(m->log, LOG_INFO, LOG_FIELDS(.message_id = MESSAGE_ID_CLOUD_NOTICE),
                "The cloud announces no more: %s (%s); %s", cloud_notice_kind_to_string(notice->kind),
                notice->reference, take_back(m, others));
        hook_tell_notice(m->hook, "cancelled", "", notice->reference);
        (void)sd_event_source_set_enabled(m->changed_source, SD_EVENT_ONESHOT);
}

void manager_watch_cloud(Manager *m)
{
        const NoticesHandlers handlers = {.heard = on_notice, .cancelled = on_cancelled, .userdata = m};
        unsigned termination = m->config->termination;
        unsigned clouds = (termination & CONFIG_TERMINATION_AWS ? (unsigned)CLOUD_AWS : 0) |
                          (termination & CONFIG_TERMINATION_GCP ? (unsigned)CLOUD_GCP : 0) |
                          (termination & CONFIG_TERMINATION_AZURE ? (unsigned)CLOUD_AZURE : 0);

        m->notices = notices_free(m->notices);
        int r = notices_new(
                m->event, m->http, m->log, clouds, termination & CONFIG_TERMINATION_AUTO, &handlers, &m->notices);
        if (r < 0)
                log_warning(m->log, NULL, "The cloud's notices are not watched: %s", strerror(-r));
}
