/* The queue before curl's multi interface, and what comes out of it.
 *
 * Whoever is told of a finished transfer will start others, so finished transfers are taken from a source of their
 * own, one a turn.
 *
 * The queue is ours rather than curl's, whose transfers do not time out while they wait for a connection. A GitLab
 * gets one transfer until a connection to it stood, so that a thousand runners do not knock all at once, and find one
 * HTTP/2 connection when they come; then HOST_ACTIVE_MAX. */

#include "agent/http.h"

#include <assert.h>
#include <dirent.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

#include "agent/base/time.h"
#include "agent/multi.h"
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
        Multi *multi;
        sd_event_source *turn_source; /* takes finished transfers and lets queued ones go */
        sd_event_source *idle_source; /* closes the connections; on while no transfer to a GitLab is under way */
        unsigned n_own;               /* transfers to a GitLab, in any list */
        TAILQ_HEAD(, Origin) origins;
        struct TransferList queued, active, failed;
        unsigned n_active;
        bool distrusted; /* an answer was lost: on connections as they are now, the next may be as well */
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

        TAILQ_FOREACH (origin, &http->origins, others)
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
        multi_remove(t->http->multi, t->easy);
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

        const char *why = multi_add(http->multi, t->easy);
        if (why) {
                char *sentence = NULL;
                int n = asprintf(&sentence, "Failed to connect to %s: %s", t->origin->place, why);

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

/* Lets those go whose turn it is, in the order they came. */
static void pump(Http *http)
{
        Transfer *t, *next;

        /* curl keeps an HTTP/2 connection on which a stream got no answer, and would put the next one on it, and the
         * next, until the kernel finds out that nobody is there. */
        if (http->distrusted && http->n_active == 0)
                http->distrusted = !multi_renew(http->multi);
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

/* For REASON some of those under way would never end. */
static void fail_active(Http *http, const char *reason)
{
        Transfer *t;

        while ((t = TAILQ_FIRST(&http->active))) {
                char *sentence = NULL;
                int n = asprintf(&sentence, "Failed to talk to %s: %s", t->origin->place, reason);

                transfer_fail(t, t->n_sent > 0 ? TRANSPORT_LOST : TRANSPORT_NOT_SENT, n < 0 ? NULL : sentence);
        }
        /* What their removal has stumbled over was theirs, too. */
        (void)multi_take_failure(http->multi);
        /* Among the connections is the one that nobody watches. */
        http->distrusted = true;
}

static void on_worked(void *userdata, int n_running)
{
        Http *http = userdata;
        const char *failure = multi_take_failure(http->multi);
        Origin *origin;
        Transfer *t;

        if (failure) {
                fail_active(http, failure);
                return;
        }

        /* A connection that stands lets the others of its GitLab go. */
        TAILQ_FOREACH (t, &http->active, others)
                if (t->n_sent > 0)
                        t->origin->connected = true;
        TAILQ_FOREACH (origin, &http->origins, others)
                if (origin->connected && origin->n_active < HOST_ACTIVE_MAX && origin->n_transfers > origin->n_active)
                        request_turn(http);
        if (n_running < (int)http->n_active)
                request_turn(http);
}

static void on_noted(void *userdata)
{
        request_turn(userdata);
}

static int on_turn(sd_event_source *source, void *userdata)
{
        Http *http = userdata;
        Transfer *t;
        const char *failure = multi_take_failure(http->multi);
        int n_left = 0;

        if (failure)
                fail_active(http, failure);
        t = TAILQ_FIRST(&http->failed);
        if (t)
                transfer_unlink(t);
        else {
                CURLcode code;
                CURL *easy = multi_next_done(http->multi, &code, &n_left);

                if (easy) {
                        (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&t);
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
        (void)multi_renew(http->multi);
        return 0;
}

static int set_up_sources(Http *http)
{
        int r = sd_event_add_defer(http->event, &http->turn_source, on_turn, http);
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
                r = multi_new(event, HOST_ACTIVE_MAX, ACTIVE_MAX, on_worked, on_noted, http, &http->multi);
        if (r < 0)
                return r;
        *ret = take_ptr(http);
        return 0;
}

Http *http_free(Http *http)
{
        Transfer *t;

        if (!http)
                return NULL;
        while ((t = TAILQ_FIRST(&http->queued)) || (t = TAILQ_FIRST(&http->active)) ||
                (t = TAILQ_FIRST(&http->failed)))
                (void)transfer_cancel(t);
        (void)multi_free(http->multi);
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
        Now now;

        now_read(&now);
        int r = sd_event_add_time(http->event, &t->queue_source, CLOCK_BOOTTIME,
                usec_add(now.boottime_usec, t->timeout_usec), USEC_PER_SEC / 10, on_queue_timeout, t);
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
