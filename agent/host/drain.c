#include "agent/host/drain.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/base/time.h"
#include "agent/host/processes.h"
#include "agent/host/unit-watch.h"

/* While it drains it is also asked, in case a signal of systemd's was lost. */
#define LOOK_USEC (2 * USEC_PER_SEC)

struct Drainer {
        sd_event *event;
        Log *log;
        UnitWatch *watch;
        sd_event_source *step_source; /* a step is never made inside of who asks for it */
        sd_event_source *timer_source;
        bool active;
        DrainProgress progress;
        DrainDone done; /* NULL: nobody waits */
        void *userdata;
        void (*stopping)(void *userdata);
        void *stopping_userdata;
        bool ending; /* systemd stops the unit by itself, and that was told */
        bool may_undo;
        uint32_t undo_pid;              /* who is still to end before the unit is started again; 0: nobody */
        void (*undone)(void *userdata); /* NULL: nobody waits for the start */
        void *undone_userdata;
};

static Now now(void)
{
        Now value;

        now_read(&value);
        return value;
}

static void request_step(Drainer *d)
{
        (void)sd_event_source_set_enabled(d->step_source, SD_EVENT_ONESHOT);
}

static int explain(const Drainer *d, DrainOutcome outcome, char **ret)
{
        const char *name = unit_watch_name(d->watch);
        const char *refusal = unit_watch_refusal(d->watch);
        int n = 0;

        *ret = NULL;
        switch (outcome) {
        case DRAIN_OUTCOME_DRAINED:
        case DRAIN_OUTCOME_NOT_RUNNING:
                break;
        case DRAIN_OUTCOME_CUT:
                n = asprintf(ret, "%s did not finish its jobs in time: those that still ran were aborted", name);
                break;
        case DRAIN_OUTCOME_LEFT:
                n = asprintf(ret, "%s did not end in time: jobs that still run are left to the host's end", name);
                break;
        case DRAIN_OUTCOME_IMPOSSIBLE:
                n = refusal ? asprintf(ret, "%s can't be drained: %s", name, refusal)
                            : asprintf(ret, "%s can't be drained: systemd can't be asked, or has no such unit", name);
                break;
        case _DRAIN_OUTCOME_MAX:
                break;
        }
        return n < 0 ? -ENOMEM : 0;
}

static void remember_undo(Drainer *d)
{
        d->may_undo = d->may_undo || d->progress.quit_pid || d->progress.stopped_unit;
}

static void finish(Drainer *d, DrainOutcome outcome)
{
        _cleanup_free_ char *sentence = NULL;
        DrainDone done = d->done;
        void *userdata = d->userdata;

        if (explain(d, outcome, &sentence) < 0)
                sentence = NULL;
        d->active = false;
        d->done = NULL;
        remember_undo(d);
        (void)sd_event_source_set_enabled(d->timer_source, SD_EVENT_OFF);
        log_message(d->log, sentence ? LOG_WARNING : LOG_INFO, NULL, "Drain: %s",
                sentence                               ? sentence
                : outcome == DRAIN_OUTCOME_NOT_RUNNING ? "gitlab-runner does not run"
                                                       : "gitlab-runner has ended");
        if (done)
                done(userdata, outcome, sentence);
}

static void say(const Drainer *d, const char *what)
{
        uint64_t left = usec_sub(d->progress.times.cut_usec, now().boottime_usec);
        char span[TIME_SPAN_MAX];

        if (left == USEC_INFINITY) {
                log_info(d->log, NULL, "Drain: %s %s", unit_watch_name(d->watch), what);
                return;
        }
        left = usec_add(left, USEC_PER_SEC / 2);
        log_info(d->log, NULL, "Drain: %s %s; those that run have %s", unit_watch_name(d->watch), what,
                time_format_span(left - left % USEC_PER_SEC, span));
}

const char *drainer_unit(const Drainer *d)
{
        return unit_watch_name(d->watch);
}

static void end_undo(Drainer *d)
{
        void (*undone)(void *userdata) = d->undone;

        d->undone = NULL;
        if (undone)
                undone(d->undone_userdata);
}

/* Not by StartUnit: in the pause of Restart= that waits for its end. */
static void start_again(Drainer *d, uint32_t pid)
{
        d->undo_pid = 0;
        /* Somebody else was faster, and its jobs are none of those that were drained. */
        if (pid != 0) {
                end_undo(d);
                return;
        }
        log_info(d->log, NULL, "Drain: %s is started again, runners of this host need it", unit_watch_name(d->watch));
        unit_watch_restart(d->watch);
}

/* --- the unit is watched */

static void on_changed(void *userdata)
{
        Drainer *d = userdata;
        uint32_t pid;
        bool ending = unit_watch_state(d->watch, &pid) == DRAIN_UNIT_ENDING;

        if (ending && !d->ending && !d->active && d->stopping)
                d->stopping(d->stopping_userdata);
        d->ending = ending;
        if (d->active)
                request_step(d);
        else if (d->undo_pid && d->undo_pid != pid)
                start_again(d, pid);
        else if (pid != 0 || unit_watch_refusal(d->watch))
                end_undo(d);
}

static void wait_until(Drainer *d, uint64_t until_usec)
{
        uint64_t look = usec_add(now().boottime_usec, LOOK_USEC);

        (void)sd_event_source_set_time(d->timer_source, until_usec < look ? until_usec : look);
        (void)sd_event_source_set_enabled(d->timer_source, SD_EVENT_ONESHOT);
}

/* Whether an action was refused that the drain stands on. */
static bool is_refused(const Drainer *d)
{
        return unit_watch_refusal(d->watch) != NULL;
}

static int on_step(sd_event_source *source, void *userdata)
{
        Drainer *d = userdata;
        DrainOutcome outcome;
        uint64_t until;
        uint32_t pid;

        if (!d->active)
                return 0;
        if (is_refused(d)) {
                finish(d, DRAIN_OUTCOME_IMPOSSIBLE);
                return 0;
        }
        DrainUnit state = unit_watch_state(d->watch, &pid);
        /* Not systemd's, or nobody can be asked: where all processes can be seen, they tell. */
        if (state == DRAIN_UNIT_ABSENT && processes_lack_neighbour())
                state = DRAIN_UNIT_STOPPED;
        switch (drain_step(&d->progress, state, pid, now().boottime_usec, &until, &outcome)) {
        case DRAIN_ACTION_WAIT:
                wait_until(d, until);
                return 0;
        case DRAIN_ACTION_QUIT:
                unit_watch_kill(d->watch, SIGQUIT);
                say(d, "takes no new jobs");
                break;
        case DRAIN_ACTION_TERMINATE:
                unit_watch_kill(d->watch, SIGTERM);
                log_warning(d->log, NULL, "Drain: time is up, %s aborts the jobs that still run",
                        unit_watch_name(d->watch));
                break;
        case DRAIN_ACTION_STOP_UNIT:
                unit_watch_stop(d->watch);
                break;
        case DRAIN_ACTION_END:
                finish(d, outcome); /* may free whatever; nothing after it */
                return 0;
        case _DRAIN_ACTION_MAX:
                return 0;
        }
        request_step(d);
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        Drainer *d = userdata;

        if (d->active)
                unit_watch_look(d->watch);
        else
                end_undo(d);
        request_step(d);
        return 0;
}

int drainer_new(sd_event *event, Log *log, const char *unit, Drainer **ret)
{
        _cleanup_(drainer_freep) Drainer *d = calloc(1, sizeof(*d));

        if (!d)
                return -ENOMEM;
        d->event = sd_event_ref(event);
        d->log = log;
        int r = unit_watch_new(event, unit, on_changed, d, &d->watch);
        if (r >= 0)
                r = sd_event_add_time(
                        event, &d->timer_source, CLOCK_BOOTTIME, USEC_INFINITY, 10 * USEC_PER_MSEC, on_timer, d);
        if (r >= 0)
                r = sd_event_source_set_enabled(d->timer_source, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_defer(event, &d->step_source, on_step, d);
        if (r >= 0)
                r = sd_event_source_set_enabled(d->step_source, SD_EVENT_OFF);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(d->step_source, "drain-step");
        (void)sd_event_source_set_description(d->timer_source, "drain-timer");
        *ret = take_ptr(d);
        return 0;
}

Drainer *drainer_free(Drainer *d)
{
        if (!d)
                return NULL;
        (void)unit_watch_free(d->watch);
        (void)sd_event_source_disable_unref(d->step_source);
        (void)sd_event_source_disable_unref(d->timer_source);
        (void)sd_event_unref(d->event);
        free(d);
        return NULL;
}

static void begin(Drainer *d, DrainTimes times)
{
        drain_bind(&d->progress, d->active, times);
        if (!d->active)
                unit_watch_look(d->watch);
        d->undo_pid = 0;
        d->active = true;
        request_step(d);
}

void drainer_begin(Drainer *d, DrainTimes times, DrainDone done, void *userdata)
{
        d->done = done;
        d->userdata = userdata;
        begin(d, times);
}

void drainer_cancel(Drainer *d)
{
        d->done = NULL;
        if (d->active)
                remember_undo(d);
        d->active = false;
        (void)sd_event_source_set_enabled(d->timer_source, SD_EVENT_OFF);
}

void drainer_watch(Drainer *d, void (*stopping)(void *userdata), void *userdata)
{
        d->stopping = stopping;
        d->stopping_userdata = userdata;
}

void drainer_bound(Drainer *d, uint64_t limit_usec)
{
        char span[TIME_SPAN_MAX];

        if (d->active)
                return;
        log_info(d->log, NULL, "Drain: systemd stops %s as the host goes; its jobs have %s",
                unit_watch_name(d->watch), time_format_span(limit_usec, span));
        begin(d, drain_budget(now().boottime_usec, limit_usec, USEC_INFINITY, 0));
}

void drainer_undo(Drainer *d, void (*done)(void *userdata), void *userdata)
{
        uint32_t pid;
        DrainUnit state = unit_watch_state(d->watch, &pid);
        bool running = state == DRAIN_UNIT_RUNNING && pid == d->progress.quit_pid;

        d->undone = done;
        d->undone_userdata = userdata;
        if (!d->may_undo || running)
                end_undo(d);
        if (!d->may_undo)
                return;
        d->may_undo = false;
        if (running) {
                log_info(
                        d->log, NULL, "Drain: %s is started again once its jobs are done", unit_watch_name(d->watch));
                d->undo_pid = pid;
                return;
        }
        (void)sd_event_source_set_time(d->timer_source, usec_add(now().boottime_usec, DRAIN_UNDO_USEC));
        (void)sd_event_source_set_enabled(d->timer_source, SD_EVENT_ONESHOT);
        start_again(d, pid);
}
