/* Inside curl's callbacks only notes are taken: curl may not be called again from there. */

#include "agent/multi.h"

#include <string.h>
#include <sys/queue.h>
#include <time.h>

#include "agent/base/time.h"

/* Of curl's timer, which counts in milliseconds. */
#define TIMER_ACCURACY_USEC USEC_PER_MSEC

typedef struct Socket {
        TAILQ_ENTRY(Socket) others;
        sd_event_source *source;
} Socket;

struct Multi {
        sd_event *event;
        CURLM *curl;
        long host_connections, connections;
        sd_event_source *timer_source;
        TAILQ_HEAD(, Socket) sockets;
        unsigned n_handles;
        int error;      /* why a socket or the timer can't be watched */
        CURLMcode code; /* why curl gave up */
        MultiWorked worked;
        MultiNoted noted;
        void *userdata;
};

/* Never told to curl, which would end all transfers and, in 7.88, fall over what is left of them at the next event.
 * What it goes on with is failed as soon as it is off the stack. */
static int callback_result(Multi *m, int r)
{
        if (r >= 0)
                return 0;
        m->error = r;
        m->noted(m->userdata);
        return 0;
}

/* --- the timer */

static int arm_timer(Multi *m, long timeout_msec)
{
        struct timespec now;

        if (timeout_msec < 0)
                return sd_event_source_set_enabled(m->timer_source, SD_EVENT_OFF);

        /* The clock itself, not the loop's cached time: a timer that is early by curl's own clock finds nothing to
         * do, and curl, whose deadline has not changed, would not ask for another. */
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        uint64_t usec = (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
        /* "At once" is how every request begins: a time so far back that the loop does not wait to wake up together
         * with others, a millisecond each. */
        usec = timeout_msec > 0 ? usec + (uint64_t)timeout_msec * USEC_PER_MSEC : usec - TIMER_ACCURACY_USEC;
        int r = sd_event_source_set_time(m->timer_source, usec);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(m->timer_source, SD_EVENT_ONESHOT);
}

static int on_curl_timer(CURLM *curl, long timeout_msec, void *userdata)
{
        return callback_result(userdata, arm_timer(userdata, timeout_msec));
}

static void act(Multi *m, curl_socket_t fd, int what)
{
        int n_running = 0;

        CURLMcode code = curl_multi_socket_action(m->curl, fd, what, &n_running);
        if (code != CURLM_OK)
                m->code = code;
        m->worked(m->userdata, n_running);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        Multi *m = userdata;
        long timeout_msec = -1;

        act(m, CURL_SOCKET_TIMEOUT, 0);
        /* Whatever curl thinks of its last request: the timer stands as it needs it. Once it has given up, it wants
         * to be called all the time. */
        if (m->n_handles > 0 && curl_multi_timeout(m->curl, &timeout_msec) == CURLM_OK)
                (void)arm_timer(m, timeout_msec);
        return 0;
}

/* --- sockets */

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

static void socket_free(Multi *m, Socket *s)
{
        (void)sd_event_source_disable_unref(s->source);
        TAILQ_REMOVE(&m->sockets, s, others);
        free(s);
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *userdata, void *socket_data)
{
        Multi *m = userdata;
        Socket *s = socket_data;
        uint32_t events = 0;

        if (what == CURL_POLL_REMOVE) {
                if (s)
                        socket_free(m, s);
                return 0;
        }
        if (what & CURL_POLL_IN)
                events |= EPOLLIN;
        if (what & CURL_POLL_OUT)
                events |= EPOLLOUT;
        if (s)
                return callback_result(m, sd_event_source_set_io_events(s->source, events));

        s = calloc(1, sizeof(*s));
        if (!s)
                return callback_result(m, -ENOMEM);
        int r = sd_event_add_io(m->event, &s->source, fd, events, on_io, m);
        if (r < 0) {
                free(s);
                return callback_result(m, r);
        }
        (void)sd_event_source_set_description(s->source, "http-socket");
        TAILQ_INSERT_TAIL(&m->sockets, s, others);
        (void)curl_multi_assign(m->curl, fd, s);
        return 0;
}

/* --- handles */

const char *multi_add(Multi *m, CURL *easy)
{
        CURLMcode code = curl_multi_add_handle(m->curl, easy);

        if (code != CURLM_OK)
                return curl_multi_strerror(code);
        m->n_handles++;
        return NULL;
}

void multi_remove(Multi *m, CURL *easy)
{
        (void)curl_multi_remove_handle(m->curl, easy);
        m->n_handles--;
}

CURL *multi_next_done(Multi *m, CURLcode *ret_code, int *ret_left)
{
        const CURLMsg *message = curl_multi_info_read(m->curl, ret_left);

        if (!message || message->msg != CURLMSG_DONE)
                return NULL;
        *ret_code = message->data.result;
        return message->easy_handle;
}

const char *multi_take_failure(Multi *m)
{
        int error = m->error;
        CURLMcode code = m->code;

        m->error = 0;
        m->code = CURLM_OK;
        if (error < 0)
                return strerror(-error);
        return code != CURLM_OK ? curl_multi_strerror(code) : NULL;
}

/* --- its life */

static int set_up_curl(Multi *m)
{
        m->curl = curl_multi_init();
        if (!m->curl)
                return -ENOMEM;
        int bad = CURLM_OK;
        bad |= (int)curl_multi_setopt(m->curl, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
        bad |= (int)curl_multi_setopt(m->curl, CURLMOPT_SOCKETDATA, m);
        bad |= (int)curl_multi_setopt(m->curl, CURLMOPT_TIMERFUNCTION, on_curl_timer);
        bad |= (int)curl_multi_setopt(m->curl, CURLMOPT_TIMERDATA, m);
        bad |= (int)curl_multi_setopt(m->curl, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
        bad |= (int)curl_multi_setopt(m->curl, CURLMOPT_MAX_HOST_CONNECTIONS, m->host_connections);
        bad |= (int)curl_multi_setopt(m->curl, CURLMOPT_MAX_TOTAL_CONNECTIONS, m->connections);
        bad |= (int)curl_multi_setopt(m->curl, CURLMOPT_MAXCONNECTS, m->connections);
        return bad == CURLM_OK ? 0 : -EOPNOTSUPP;
}

bool multi_renew(Multi *m)
{
        CURLM *old = m->curl;

        /* curl closes connections on its own only when it looks for one, so the handle that holds them goes. */
        if (set_up_curl(m) < 0) {
                if (m->curl)
                        (void)curl_multi_cleanup(m->curl);
                m->curl = old;
                return false;
        }
        (void)curl_multi_cleanup(old);
        return true;
}

int multi_new(sd_event *event, long host_connections, long connections, MultiWorked worked, MultiNoted noted,
        void *userdata, Multi **ret)
{
        _cleanup_(multi_freep) Multi *m = calloc(1, sizeof(*m));

        if (!m)
                return -ENOMEM;
        TAILQ_INIT(&m->sockets);
        m->event = sd_event_ref(event);
        m->host_connections = host_connections;
        m->connections = connections;
        m->worked = worked;
        m->noted = noted;
        m->userdata = userdata;
        /* Without slack: curl's own intervals are short. */
        int r = sd_event_add_time(
                event, &m->timer_source, CLOCK_MONOTONIC, USEC_INFINITY, TIMER_ACCURACY_USEC, on_timer, m);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(m->timer_source, "http-timer");
        r = sd_event_source_set_enabled(m->timer_source, SD_EVENT_OFF);
        if (r >= 0)
                r = set_up_curl(m);
        if (r < 0)
                return r;
        *ret = take_ptr(m);
        return 0;
}

Multi *multi_free(Multi *m)
{
        Socket *s;

        if (!m)
                return NULL;
        if (m->curl)
                (void)curl_multi_cleanup(m->curl); /* closes connections, so its callbacks still come */
        while ((s = TAILQ_FIRST(&m->sockets)))
                socket_free(m, s);
        (void)sd_event_source_disable_unref(m->timer_source);
        (void)sd_event_unref(m->event);
        free(m);
        return NULL;
}
