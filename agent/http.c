/* The glue between curl's multi interface and sd-event, and the queue before it.
 *
 * Inside curl's callbacks only notes are taken: curl may not be called again from there, and whoever is told of a
 * finished transfer will start others. So finished transfers are taken from a source of their own, one a turn.
 *
 * The queue is ours rather than curl's, whose transfers do not time out while they wait for a connection. A GitLab
 * gets one transfer until a connection to it stood, so that a thousand runners do not knock all at once, and find one
 * HTTP/2 connection when they come; then HOST_ACTIVE_MAX. */

#include "agent/http.h"

#include <assert.h>
#include <dirent.h>
#include <string.h>
#include <time.h>

#include "agent/base/time.h"
#include "agent/transfer.h"

/* At most so many connections, or streams of one, to a GitLab. */
#define HOST_ACTIVE_MAX 8

/* … and to all of them, as each may cost a resolver thread and a socket. */
#define ACTIVE_MAX 64

/* Connections that nobody used for so long are closed: they keep what went over them (the last decrypted record,
 * HTTP/2's table of header fields with a token in it), and GitLab hangs up before the next verify anyway. Long enough
 * for what one step of a runner's life leads to, and for hosts with thousands of runners to keep theirs. */
#define IDLE_USEC (3 * USEC_PER_SEC)

/* … and where something else was under way just then, after so long again. */
#define IDLE_RETRY_USEC (USEC_PER_SEC / 5)

/* Of curl's timer, which counts in milliseconds. */
#define TIMER_ACCURACY_USEC USEC_PER_MSEC

typedef struct Socket {
        TAILQ_ENTRY(Socket) others;
        sd_event_source *source;
} Socket;

/* A GitLab that transfers queue for or run to, by host and port. */
struct Origin {
        TAILQ_ENTRY(Origin) others;
        char *place;
        unsigned n_transfers;
        unsigned n_active;
        bool connected;   /* the last thing known: a connection stood */
        char *last_error; /* why the last transfer did not get that far */
};

TAILQ_HEAD(TransferList, Transfer);

struct Http {
        sd_event *event;
        CURLM *multi;
        sd_event_source *timer_source;
        sd_event_source *turn_source; /* takes finished transfers and lets queued ones go */
        sd_event_source *idle_source; /* closes the connections; on while no transfer to a GitLab is under way */
        unsigned n_own;               /* transfers to a GitLab, in any list */
        TAILQ_HEAD(, Socket) sockets;
        TAILQ_HEAD(, Origin) origins;
        struct TransferList queued, active, failed;
        unsigned n_active;
        int callback_error; /* why curl was told to give up */
        bool distrusted;    /* an answer was lost: on connections as they are now, the next may be as well */
        char *user_agent;
        char *ca_folder;
};

static struct TransferList *list_of(Transfer *t)
{
        switch (t->state) {
        case TRANSFER_QUEUED:
                return &t->http->queued;
        case TRANSFER_ACTIVE:
                return &t->http->active;
        case TRANSFER_FAILED:
                break;
        }
        return &t->http->failed;
}

static void request_turn(Http *http)
{
        (void)sd_event_source_set_enabled(http->turn_source, SD_EVENT_ON);
}

/* --- origins */

static int origin_get(Http *http, const char *place, Origin **ret)
{
        Origin *origin;

        TAILQ_FOREACH(origin, &http->origins, others)
        if (strcmp(origin->place, place) == 0) {
                *ret = origin;
                return 0;
        }

        origin = calloc(1, sizeof(*origin));
        if (!origin)
                return -ENOMEM;
        origin->place = strdup(place);
        if (!origin->place) {
                free(origin);
                return -ENOMEM;
        }
        TAILQ_INSERT_TAIL(&http->origins, origin, others);
        *ret = origin;
        return 0;
}

static void origin_leave(Http *http, Origin *origin)
{
        if (!origin || --origin->n_transfers > 0)
                return;
        TAILQ_REMOVE(&http->origins, origin, others);
        free(origin->last_error);
        free(origin->place);
        free(origin);
}

static void origin_note(Origin *origin, const Reply *reply)
{
        char *error = NULL;

        switch (reply->transport) {
        case TRANSPORT_OK:
        case TRANSPORT_LOST:
        case TRANSPORT_TOO_LARGE:
                origin->connected = true;
                break;
        case TRANSPORT_NOT_SENT:
                origin->connected = false;
                error = reply->error ? strdup(reply->error) : NULL;
                break;
        case TRANSPORT_TLS:
        case TRANSPORT_BAD_URL:
        case _TRANSPORT_MAX:
                /* Of one runner's settings; it tells nothing about the others'. */
                return;
        }
        free(origin->last_error);
        origin->last_error = error;
}

/* --- transfers between the lists */

static void transfer_unlink(Transfer *t)
{
        TAILQ_REMOVE(list_of(t), t, others);
        if (t->state != TRANSFER_ACTIVE)
                return;
        (void)curl_multi_remove_handle(t->http->multi, t->easy);
        t->http->n_active--;
        t->origin->n_active--;
}

static void arm_idle(Http *http, uint64_t usec)
{
        if (sd_event_source_set_time_relative(http->idle_source, usec) >= 0)
                (void)sd_event_source_set_enabled(http->idle_source, SD_EVENT_ONESHOT);
}

/* A transfer to a GitLab is over; was it the last? A cloud's metadata is asked every second: that is no use of the
 * connections meant here. */
static void watch_idle(Http *http, bool foreign)
{
        if (!foreign && --http->n_own == 0)
                arm_idle(http, IDLE_USEC);
}

static void transfer_fail(Transfer *t, Transport transport, char *sentence)
{
        transfer_unlink(t);
        t->queue_source = sd_event_source_disable_unref(t->queue_source);
        t->state = TRANSFER_FAILED;
        t->reply.transport = transport;
        free(t->reply.error);
        t->reply.error = sentence;
        TAILQ_INSERT_TAIL(&t->http->failed, t, others);
        request_turn(t->http);
}

static int on_queue_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
        Transfer *t = userdata;
        Origin *origin = t->origin;
        char span[TIME_SPAN_MAX], *sentence = NULL;

        (void)time_format_span(t->timeout_usec, span);
        int n = origin->last_error ? asprintf(&sentence, "%s (waited %s for a connection)", origin->last_error, span)
                                   : asprintf(&sentence, "Failed to connect to %s: other calls to it took all of %s",
                                             origin->place, span);
        transfer_fail(t, TRANSPORT_NOT_SENT, n < 0 ? NULL : sentence);
        return 0;
}

static void transfer_activate(Transfer *t)
{
        Http *http = t->http;

        CURLMcode code = curl_multi_add_handle(http->multi, t->easy);
        if (code != CURLM_OK) {
                char *sentence = NULL;
                int n = asprintf(
                        &sentence, "Failed to connect to %s: %s", t->origin->place, curl_multi_strerror(code));

                transfer_fail(t, TRANSPORT_NOT_SENT, n < 0 ? NULL : sentence);
                return;
        }
        t->queue_source = sd_event_source_disable_unref(t->queue_source);
        TAILQ_REMOVE(&http->queued, t, others);
        t->state = TRANSFER_ACTIVE;
        TAILQ_INSERT_TAIL(&http->active, t, others);
        http->n_active++;
        t->origin->n_active++;
}

static bool renew_multi(Http *http);
static void fail_active(Http *http, CURLMcode code);

/* Lets those go whose turn it is, in the order they came. */
static void pump(Http *http)
{
        Transfer *t, *next;

        /* curl keeps an HTTP/2 connection on which a stream got no answer, and would put the next one on it, and the
         * next, until the kernel finds out that nobody is there. */
        if (http->distrusted && http->n_active == 0)
                http->distrusted = !renew_multi(http);
        for (t = TAILQ_FIRST(&http->queued); t && http->n_active < ACTIVE_MAX; t = next) {
                next = TAILQ_NEXT(t, others);
                if (t->origin->n_active < (t->origin->connected ? HOST_ACTIVE_MAX : 1))
                        transfer_activate(t);
        }
}

static void deliver(Transfer *t)
{
        TransferDone done = t->done;
        void *userdata = t->userdata;
        Http *http = t->http;
        Reply reply = t->reply;

        t->reply = (Reply){0};
        http->distrusted = http->distrusted || reply.transport == TRANSPORT_LOST;
        if (t->origin)
                origin_note(t->origin, &reply);
        origin_leave(http, t->origin);
        watch_idle(http, t->foreign);
        (void)transfer_free(t);
        pump(http);

        done(&reply, userdata);
        reply_done(&reply);
}

static int on_turn(sd_event_source *source, void *userdata)
{
        Http *http = userdata;
        Transfer *t;
        int n_left = 0;

        if (http->callback_error < 0)
                fail_active(http, CURLM_OK);
        t = TAILQ_FIRST(&http->failed);
        if (t)
                transfer_unlink(t);
        else {
                CURLMsg *message = curl_multi_info_read(http->multi, &n_left);
                if (message && message->msg == CURLMSG_DONE) {
                        CURLcode code = message->data.result; /* gone once the handle is removed */

                        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&t);
                        assert(t);
                        transfer_unlink(t);
                        if (transfer_finish(t, code, t->origin->place) < 0)
                                t->reply.transport = TRANSPORT_LOST;
                }
        }

        if (n_left == 0 && TAILQ_EMPTY(&http->failed))
                (void)sd_event_source_set_enabled(http->turn_source, SD_EVENT_OFF);
        if (t)
                deliver(t); /* may start others, which ask for a turn again: nothing after it */
        else
                pump(http);
        return 0;
}

/* --- curl's callbacks, and the sources behind them */

/* curl gave up, or we could not watch a socket or the time for it: some of its transfers would never end, not even
 * when their time is over. */
static void fail_active(Http *http, CURLMcode code)
{
        const char *reason = http->callback_error < 0 ? strerror(-http->callback_error) : curl_multi_strerror(code);
        Transfer *t;

        while ((t = TAILQ_FIRST(&http->active))) {
                char *sentence = NULL;
                int n = asprintf(&sentence, "Failed to talk to %s: %s", t->origin->place, reason);

                transfer_fail(t, t->n_sent > 0 ? TRANSPORT_LOST : TRANSPORT_NOT_SENT, n < 0 ? NULL : sentence);
        }
        http->callback_error = 0;
        /* Among them is the one that nobody watches. */
        http->distrusted = true;
}

static void act(Http *http, curl_socket_t fd, int what)
{
        Origin *origin;
        Transfer *t;
        int n_running;

        CURLMcode code = curl_multi_socket_action(http->multi, fd, what, &n_running);
        if (code != CURLM_OK || http->callback_error < 0) {
                fail_active(http, code);
                return;
        }

        /* A connection that stands lets the others of its GitLab go. */
        TAILQ_FOREACH(t, &http->active, others)
        if (t->n_sent > 0)
                t->origin->connected = true;
        TAILQ_FOREACH(origin, &http->origins, others)
        if (origin->connected && origin->n_active < HOST_ACTIVE_MAX && origin->n_transfers > origin->n_active)
                request_turn(http);
        if (n_running < (int)http->n_active)
                request_turn(http);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        int what = 0;

        /* curl finds out by itself what is wrong when it reads or writes, with better words. */
        if (revents & (EPOLLIN | EPOLLHUP | EPOLLERR))
                what |= CURL_CSELECT_IN;
        if (revents & (EPOLLOUT | EPOLLHUP | EPOLLERR))
                what |= CURL_CSELECT_OUT;
        act(userdata, fd, what);
        return 0;
}

static int arm_timer(Http *http, long timeout_msec)
{
        struct timespec now;

        if (timeout_msec < 0)
                return sd_event_source_set_enabled(http->timer_source, SD_EVENT_OFF);

        /* The clock itself, not the loop's cached time: a timer that is early by curl's own clock finds nothing to
         * do, and curl, whose deadline has not changed, would not ask for another. */
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        uint64_t usec = (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
        /* "At once" is how every request begins: a time so far back that the loop does not wait to wake up together
         * with others, a millisecond each. */
        usec = timeout_msec > 0 ? usec + (uint64_t)timeout_msec * USEC_PER_MSEC : usec - TIMER_ACCURACY_USEC;
        int r = sd_event_source_set_time(http->timer_source, usec);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(http->timer_source, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        Http *http = userdata;
        long timeout_msec = -1;

        act(http, CURL_SOCKET_TIMEOUT, 0);
        /* Whatever curl thinks of its last request: the timer stands as it needs it. Once it has given up, it wants
         * to be called all the time. */
        if (http->n_active > 0 && curl_multi_timeout(http->multi, &timeout_msec) == CURLM_OK)
                (void)arm_timer(http, timeout_msec);
        return 0;
}

/* Never told to curl, which would end all transfers and, in 7.88, fall over what is left of them at the next event.
 * What it goes on with is failed as soon as it is off the stack. */
static int callback_result(Http *http, int r)
{
        if (r >= 0)
                return 0;
        http->callback_error = r;
        request_turn(http);
        return 0;
}

static int on_curl_timer(CURLM *multi, long timeout_msec, void *userdata)
{
        return callback_result(userdata, arm_timer(userdata, timeout_msec));
}

static void socket_free(Http *http, Socket *s)
{
        (void)sd_event_source_disable_unref(s->source);
        TAILQ_REMOVE(&http->sockets, s, others);
        free(s);
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *userdata, void *socket_data)
{
        Http *http = userdata;
        Socket *s = socket_data;
        uint32_t events = 0;

        if (what == CURL_POLL_REMOVE) {
                if (s)
                        socket_free(http, s);
                return 0;
        }
        if (what & CURL_POLL_IN)
                events |= EPOLLIN;
        if (what & CURL_POLL_OUT)
                events |= EPOLLOUT;
        if (s)
                return callback_result(http, sd_event_source_set_io_events(s->source, events));

        s = calloc(1, sizeof(*s));
        if (!s)
                return callback_result(http, -ENOMEM);
        int r = sd_event_add_io(http->event, &s->source, fd, events, on_io, http);
        if (r < 0) {
                free(s);
                return callback_result(http, r);
        }
        (void)sd_event_source_set_description(s->source, "http-socket");
        TAILQ_INSERT_TAIL(&http->sockets, s, others);
        (void)curl_multi_assign(http->multi, fd, s);
        return 0;
}

/* --- the life of an Http */

/* Whether OpenSSL finds certificates in there: it looks for names such as 3513523f.0. */
static bool is_ca_folder(const char *path)
{
        struct dirent *entry;
        bool found = false;

        DIR *folder = path && *path ? opendir(path) : NULL;
        if (!folder)
                return false;
        while (!found && (entry = readdir(folder)))
                found = strspn(entry->d_name, "0123456789abcdef") == 8 && entry->d_name[8] == '.';
        (void)closedir(folder);
        return found;
}

static int find_ca_folder(char **ret)
{
        const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);
        const char *candidates[] = {
                info->age >= CURLVERSION_SEVENTH ? info->capath : NULL,
                "/etc/ssl/certs",
                "/etc/pki/ca-trust/extracted/pem/directory-hash",
        };

        for (size_t i = 0; i < ELEMENTS(candidates); i++)
                if (is_ca_folder(candidates[i])) {
                        *ret = strdup(candidates[i]);
                        return *ret ? 0 : -ENOMEM;
                }
        *ret = NULL;
        return 0;
}

static TransferCommon common_of(const Http *http)
{
        const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);
        const char *bundle = info->age >= CURLVERSION_SEVENTH ? info->cainfo : NULL;

        return (TransferCommon){
                .user_agent = http->user_agent,
                .ca_folder = http->ca_folder,
                .ca_bundle = bundle && access(bundle, R_OK) == 0 ? bundle : NULL,
        };
}

static int set_up_multi(Http *http)
{
        http->multi = curl_multi_init();
        if (!http->multi)
                return -ENOMEM;
        int bad = CURLM_OK;
        bad |= (int)curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
        bad |= (int)curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
        bad |= (int)curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
        bad |= (int)curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
        bad |= (int)curl_multi_setopt(http->multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
        bad |= (int)curl_multi_setopt(http->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)HOST_ACTIVE_MAX);
        bad |= (int)curl_multi_setopt(http->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)ACTIVE_MAX);
        bad |= (int)curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long)ACTIVE_MAX);
        return bad == CURLM_OK ? 0 : -EOPNOTSUPP;
}

/* With no transfer in it: curl closes connections on its own only when it looks for one, so the handle that holds
 * them goes. False: it stays. */
static bool renew_multi(Http *http)
{
        CURLM *old = http->multi;

        if (set_up_multi(http) < 0) {
                if (http->multi)
                        (void)curl_multi_cleanup(http->multi);
                http->multi = old;
                return false;
        }
        (void)curl_multi_cleanup(old);
        return true;
}

static int on_idle(sd_event_source *source, uint64_t usec, void *userdata)
{
        Http *http = userdata;

        if (http->n_own > 0)
                return 0;
        /* The gap between two questions to a cloud will do. */
        if (!TAILQ_EMPTY(&http->active) || !TAILQ_EMPTY(&http->queued) || !TAILQ_EMPTY(&http->failed)) {
                arm_idle(http, IDLE_RETRY_USEC);
                return 0;
        }
        (void)renew_multi(http);
        return 0;
}

static int set_up_sources(Http *http)
{
        /* Without slack: curl's own intervals are short. */
        int r = sd_event_add_time(http->event, &http->timer_source, CLOCK_MONOTONIC, USEC_INFINITY,
                TIMER_ACCURACY_USEC, on_timer, http);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(http->timer_source, SD_EVENT_OFF);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(http->timer_source, "http-timer");

        r = sd_event_add_defer(http->event, &http->turn_source, on_turn, http);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(http->turn_source, "http-turn");
        r = sd_event_source_set_enabled(http->turn_source, SD_EVENT_OFF);
        if (r < 0)
                return r;

        r = sd_event_add_time(
                http->event, &http->idle_source, CLOCK_MONOTONIC, USEC_INFINITY, USEC_PER_SEC / 10, on_idle, http);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(http->idle_source, "http-idle");
        return sd_event_source_set_enabled(http->idle_source, SD_EVENT_OFF);
}

int http_new(sd_event *event, const char *user_agent, Http **ret)
{
        _cleanup_(http_freep) Http *http = calloc(1, sizeof(*http));

        if (!http)
                return -ENOMEM;
        TAILQ_INIT(&http->sockets);
        TAILQ_INIT(&http->origins);
        TAILQ_INIT(&http->queued);
        TAILQ_INIT(&http->active);
        TAILQ_INIT(&http->failed);
        http->event = sd_event_ref(event);

        int r = http_set_user_agent(http, user_agent);
        if (r >= 0)
                r = find_ca_folder(&http->ca_folder);
        if (r >= 0)
                r = set_up_sources(http);
        if (r >= 0)
                r = set_up_multi(http);
        if (r < 0)
                return r;
        *ret = take_ptr(http);
        return 0;
}

Http *http_free(Http *http)
{
        Transfer *t;
        Socket *s;

        if (!http)
                return NULL;
        while ((t = TAILQ_FIRST(&http->queued)) || (t = TAILQ_FIRST(&http->active)) ||
                (t = TAILQ_FIRST(&http->failed)))
                (void)transfer_cancel(t);
        if (http->multi)
                (void)curl_multi_cleanup(http->multi); /* closes connections, so its callbacks still come */
        while ((s = TAILQ_FIRST(&http->sockets)))
                socket_free(http, s);
        (void)sd_event_source_disable_unref(http->timer_source);
        (void)sd_event_source_disable_unref(http->turn_source);
        (void)sd_event_source_disable_unref(http->idle_source);
        (void)sd_event_unref(http->event);
        free(http->ca_folder);
        free(http->user_agent);
        free(http);
        return NULL;
}

int http_set_user_agent(Http *http, const char *user_agent)
{
        return replace_string(&http->user_agent, user_agent);
}

static int transfer_queue(Http *http, Transfer *t)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_BOOTTIME, &now);
        uint64_t usec = (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
        int r = sd_event_add_time(http->event, &t->queue_source, CLOCK_BOOTTIME, usec_add(usec, t->timeout_usec),
                USEC_PER_SEC / 10, on_queue_timeout, t);
        if (r < 0)
                return r == -ENOMEM ? r : -ENOMEM;
        (void)sd_event_source_set_description(t->queue_source, "http-queue");
        return 0;
}

int http_start(
        Http *http, const Target *target, const Request *request, TransferDone done, void *userdata, Transfer **ret)
{
        TransferCommon common = common_of(http);
        _cleanup_free_ char *place = NULL;
        _cleanup_(transfer_freep) Transfer *new = NULL;

        int r = transfer_new(&common, target, request, &new, &place);
        if (r < 0)
                return r;
        if (new->state == TRANSFER_QUEUED) {
                r = transfer_queue(http, new);
                if (r >= 0)
                        r = origin_get(http, place, &new->origin);
                if (r < 0)
                        return r;
                new->origin->n_transfers++;
        }

        Transfer *t = take_ptr(new);
        t->http = http;
        t->done = done;
        t->userdata = userdata;
        TAILQ_INSERT_TAIL(list_of(t), t, others);
        t->foreign = request->foreign;
        if (!t->foreign && http->n_own++ == 0)
                (void)sd_event_source_set_enabled(http->idle_source, SD_EVENT_OFF);
        /* Not now: curl may be on the stack, if a bug calls us from one of its callbacks, and DONE must come later.
         */
        request_turn(http);
        if (ret)
                *ret = t;
        return 0;
}

Transfer *transfer_cancel(Transfer *t)
{
        if (!t)
                return NULL;
        Http *http = t->http;

        transfer_unlink(t);
        origin_leave(http, t->origin);
        watch_idle(http, t->foreign);
        /* Others may have waited for this one. */
        if (!TAILQ_EMPTY(&http->queued))
                request_turn(http);
        return transfer_free(t);
}
