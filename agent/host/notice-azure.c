/* Azure: the scheduled events of the instance, and their acknowledgement once we are gone, so that nobody waits for
 * the rest of their time. */

#include <string.h>
#include <strings.h>

#include "agent/core/json.h"
#include "agent/core/record.h"
#include "agent/host/notice.h"
#include "agent/host/poller.h"

#define EVENTS_PATH   "metadata/scheduledevents?api-version=2020-07-01"
#define NAME_PATH     "metadata/instance/compute/name?api-version=2021-02-01&format=text"
#define HEADER        "Metadata: true"
#define NAME_MAX_SIZE 128

#define ACKNOWLEDGE_TRIES 3

struct NoticeAzure {
        sd_event *event;
        Http *http;
        Log *log;
        Notices *notices;
        char *endpoint;
        NoticeTrouble trouble;
        char name[NAME_MAX_SIZE]; /* of this machine; "": not known yet */
        Poller *poller;

        CloudNotice pending[CLOUD_NOTICES_MAX]; /* what we leave for */
        size_t n_pending;
        bool telling;
        unsigned n_tries;
        Transfer *transfer;
};

static int build(void *userdata, Request *ret, PollerTurn *ret_turn)
{
        NoticeAzure *azure = userdata;

        /* Events name the machines they are for, and all of a scale set hear of all. */
        return metadata_request("GET", *azure->name ? EVENTS_PATH : NAME_PATH, HEADER, METADATA_TIMEOUT_USEC, ret);
}

static bool take_name(NoticeAzure *azure, Reply *reply)
{
        secret_trim(reply->body);
        if (secret_size(reply->body) == 0 || secret_size(reply->body) >= sizeof(azure->name))
                return false;
        memcpy(azure->name, secret_data(reply->body), secret_size(reply->body) + 1);
        return true;
}

static void keep_pending(NoticeAzure *azure, const CloudNotice *notices, size_t n)
{
        azure->n_pending = 0;
        for (size_t i = 0; i < n; i++)
                if (notices[i].kind == CLOUD_NOTICE_PREEMPTION || notices[i].kind == CLOUD_NOTICE_TERMINATION)
                        azure->pending[azure->n_pending++] = notices[i];
}

static bool take(void *userdata, Reply *reply)
{
        NoticeAzure *azure = userdata;
        CloudNotice notices[CLOUD_NOTICES_MAX];
        NoticeContext context = {.resource = azure->name};
        size_t n = 0;
        Now now;

        notice_trouble(&azure->trouble, azure->log, reply);
        if (reply->transport != TRANSPORT_OK || reply->status != 200)
                return reply->transport == TRANSPORT_OK && reply->status == 404;
        if (!*azure->name)
                return take_name(azure, reply);
        now_read(&now);
        notice_context_begin(&context, reply->date, now);
        if (notice_decode_azure(reply->body, &context, notices, &n) < 0)
                return false;
        notice_context_end(&context, now, notices, n);
        if (!azure->telling)
                keep_pending(azure, notices, n);
        (void)notices_hear(azure->notices, HEARD_AZURE, notices, n);
        return true;
}

int notice_azure_new(sd_event *event, Http *http, Log *log, Notices *notices, NoticeAzure **ret)
{
        _cleanup_(notice_azure_freep) NoticeAzure *azure = calloc(1, sizeof(*azure));
        const char *endpoint = getenv("AZURE_METADATA_ENDPOINT");

        if (!azure)
                return -ENOMEM;
        azure->event = sd_event_ref(event);
        azure->http = http;
        azure->log = log;
        azure->notices = notices;
        azure->trouble.cloud = "Azure";
        int r = replace_string(&azure->endpoint, endpoint && *endpoint ? endpoint : "http://169.254.169.254");
        const PollerSpec spec = {.endpoint = azure->endpoint, .build = build, .take = take, .userdata = azure};
        if (r >= 0)
                r = poller_new(event, http, &spec, &azure->poller);
        if (r < 0)
                return r;
        *ret = take_ptr(azure);
        return 0;
}

NoticeAzure *notice_azure_free(NoticeAzure *azure)
{
        if (!azure)
                return NULL;
        (void)poller_free(azure->poller);
        (void)transfer_cancel(azure->transfer);
        (void)sd_event_unref(azure->event);
        free(azure->endpoint);
        free(azure);
        return NULL;
}

/* --- acknowledging */

static int encode_acknowledgement(const NoticeAzure *azure, Secret **ret)
{
        _cleanup_json_ json_t *object = json_object();
        json_t *list = json_array();

        for (size_t i = 0; list && i < azure->n_pending; i++)
                (void)json_array_append_new(list, json_pack("{s:s}", "EventId", azure->pending[i].reference));
        if (json_put(object, "StartRequests", list) < 0)
                return -ENOMEM;
        return json_write(object, JSON_COMPACT, ret);
}

static int send_acknowledgement(NoticeAzure *azure);

static void on_acknowledged(Reply *reply, void *userdata)
{
        NoticeAzure *azure = userdata;

        azure->transfer = NULL;
        if (reply->transport == TRANSPORT_OK && reply->status / 100 == 2)
                log_info(azure->log, NULL, "Azure was told that this host is ready to go");
        else if (++azure->n_tries < ACKNOWLEDGE_TRIES && send_acknowledgement(azure) >= 0)
                return;
        else
                log_warning(
                        azure->log, NULL, "Azure's event could not be acknowledged; it begins when its time comes");
        notices_told(azure->notices);
}

static int send_acknowledgement(NoticeAzure *azure)
{
        const Target target = {.url = azure->endpoint, .proxy = (char *)""};
        _cleanup_(request_done) Request request = {};
        int r = metadata_request("POST", EVENTS_PATH, HEADER, 3 * USEC_PER_SEC, &request);

        request.content_type = "application/json";
        if (r >= 0)
                r = encode_acknowledgement(azure, &request.body);
        return r < 0 ? r : http_start(azure->http, &target, &request, on_acknowledged, azure, &azure->transfer);
}

void notice_azure_tell_gone(NoticeAzure *azure)
{
        azure->telling = true;
        if (azure->n_pending == 0 || send_acknowledgement(azure) < 0)
                notices_told(azure->notices);
}

bool notice_azure_would_tell(const NoticeAzure *azure)
{
        return azure->n_pending > 0;
}
