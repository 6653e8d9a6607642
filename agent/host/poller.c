#include "agent/host/poller.h"

#include <string.h>
#include <time.h>

#include "agent/core/notice.h"
#include "agent/core/record.h"

struct Poller {
        sd_event *event;
        Http *http;
        PollerSpec spec;
        sd_event_source *timer_source;
        Transfer *transfer;
        uint64_t started_usec;
        unsigned n_failures;
};

static uint64_t boottime(void)
{
        Now now;

        now_read(&now);
        return now.boottime_usec;
}

static void plan(Poller *p)
{
        if (p->transfer)
                return;
        (void)sd_event_source_set_time(p->timer_source, notice_poll_at(p->started_usec, boottime(), p->n_failures));
        (void)sd_event_source_set_enabled(p->timer_source, SD_EVENT_ONESHOT);
}

static void on_reply(Reply *reply, void *userdata)
{
        Poller *p = userdata;

        p->transfer = NULL;
        if (p->spec.take(p->spec.userdata, reply))
                p->n_failures = 0;
        else if (p->n_failures < 100)
                p->n_failures++;
        plan(p);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        /* What a cloud is asked goes to the machine's own host: no proxy knows it. */
        Poller *p = userdata;
        const Target target = {.url = (char *)p->spec.endpoint, .proxy = (char *)""};
        _cleanup_(request_done) Request request = {};
        PollerTurn turn = POLLER_ASK;

        if (p->transfer)
                return 0;
        int r = p->spec.build(p->spec.userdata, &request, &turn);
        if (r >= 0 && turn == POLLER_SKIP)
                return 0;
        p->started_usec = boottime();
        if (r >= 0)
                r = http_start(p->http, &target, &request, on_reply, p, &p->transfer);
        if (r < 0) {
                p->n_failures++;
                plan(p);
        }
        return 0;
}

int poller_new(sd_event *event, Http *http, const PollerSpec *spec, Poller **ret)
{
        _cleanup_(poller_freep) Poller *p = calloc(1, sizeof(*p));

        if (!p)
                return -ENOMEM;
        p->event = sd_event_ref(event);
        p->http = http;
        p->spec = *spec;
        int r = sd_event_add_time(event, &p->timer_source, CLOCK_BOOTTIME, 0, 10 * USEC_PER_MSEC, on_timer, p);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(p->timer_source, "notice-poller");
        *ret = take_ptr(p);
        return 0;
}

Poller *poller_free(Poller *p)
{
        if (!p)
                return NULL;
        (void)transfer_cancel(p->transfer);
        (void)sd_event_source_disable_unref(p->timer_source);
        (void)sd_event_unref(p->event);
        free(p);
        return NULL;
}

void poller_kick(Poller *p)
{
        if (p)
                plan(p);
}

int metadata_request(const char *method, const char *path, const char *header, uint64_t timeout_usec, Request *ret)
{
        _cleanup_(request_done) Request request = {
                .call = _CALL_INVALID,
                .method = method,
                .base = "/",
                .foreign = true,
                .timeout_usec = timeout_usec,
                .body_max = 64 * 1024,
        };
        int r = replace_string(&request.path, path);

        if (r >= 0 && header) {
                Secret *line = NULL;

                r = secret_new(header, strlen(header), &line);
                if (r >= 0)
                        r = request_add_header(&request, line);
        }
        if (r < 0)
                return r;
        *ret = request;
        request = (Request){};
        return 0;
}
