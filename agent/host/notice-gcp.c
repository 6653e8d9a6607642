/* Google Compute Engine: two values of the metadata server, each waited for. A hanging request is how it says that
 * nothing has changed. */

#include <stdio.h>
#include <string.h>

#include "agent/core/record.h"
#include "agent/host/notice.h"
#include "agent/host/poller.h"

/* The server answers after so long at the latest; before curl's low-speed limit takes the silence for a dead peer. */
#define WAIT_SEC 50

#define ETAG_MAX 128

typedef struct Value {
        NoticeGcp *gcp;
        const char *path;
        NoticeDecoder decode;
        HeardSource source;
        char etag[ETAG_MAX]; /* "": not known, so the value is asked for at once */
        Poller *poller;
} Value;

struct NoticeGcp {
        Log *log;
        Notices *notices;
        char *endpoint;
        NoticeTrouble trouble;
        Value values[2];
};

static int build(void *userdata, Request *ret, PollerTurn *ret_turn)
{
        Value *value = userdata;
        char path[512];

        if (*value->etag)
                (void)snprintf(path, sizeof(path), "%s?wait_for_change=true&timeout_sec=%d&last_etag=%s", value->path,
                        WAIT_SEC, value->etag);
        else
                (void)snprintf(path, sizeof(path), "%s", value->path);
        return metadata_request("GET", path, "Metadata-Flavor: Google",
                *value->etag ? (WAIT_SEC + 5) * USEC_PER_SEC : METADATA_TIMEOUT_USEC, ret);
}

/* It goes into a url, so only what may stand there as it is. */
static bool is_plain(const char *etag)
{
        return etag && strlen(etag) < ETAG_MAX &&
               strspn(etag, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~") == strlen(etag);
}

static bool take(void *userdata, Reply *reply)
{
        Value *value = userdata;
        CloudNotice notices[CLOUD_NOTICES_MAX];
        NoticeContext context = {};
        size_t n = 0;
        Now now;

        notice_trouble(&value->gcp->trouble, value->gcp->log, reply);
        if (reply->transport != TRANSPORT_OK || reply->status != 200) {
                value->etag[0] = 0;
                return reply->transport == TRANSPORT_OK && reply->status == 404;
        }
        now_read(&now);
        notice_context_begin(&context, reply->date, now);
        if (value->decode(reply->body, &context, notices, &n) < 0) {
                value->etag[0] = 0;
                return false;
        }
        value->etag[0] = 0;
        if (is_plain(reply->etag))
                (void)snprintf(value->etag, sizeof(value->etag), "%s", reply->etag);
        notice_context_end(&context, now, notices, n);
        /* Asked at once again, and not only when it changes next. */
        if (notices_hear(value->gcp->notices, value->source, notices, n))
                value->etag[0] = 0;
        return true;
}

static int make_endpoint(char **ret)
{
        const char *host = getenv("GCE_METADATA_HOST");

        /* By number: the name is answered by the metadata server itself, and needs no name server. */
        if (asprintf(ret, "http://%s", host && *host ? host : "169.254.169.254") < 0) {
                *ret = NULL;
                return -ENOMEM;
        }
        return 0;
}

int notice_gcp_new(sd_event *event, Http *http, Log *log, Notices *notices, NoticeGcp **ret)
{
        _cleanup_(notice_gcp_freep) NoticeGcp *gcp = calloc(1, sizeof(*gcp));

        if (!gcp)
                return -ENOMEM;
        gcp->log = log;
        gcp->notices = notices;
        gcp->trouble.cloud = "Google Cloud";
        gcp->values[0] = (Value){
                .path = "computeMetadata/v1/instance/preempted",
                .decode = notice_decode_gcp_preempted,
                .source = HEARD_GCP_PREEMPTED,
        };
        gcp->values[1] = (Value){
                .path = "computeMetadata/v1/instance/maintenance-event",
                .decode = notice_decode_gcp_maintenance,
                .source = HEARD_GCP_MAINTENANCE,
        };
        int r = make_endpoint(&gcp->endpoint);
        for (size_t i = 0; r >= 0 && i < ELEMENTS(gcp->values); i++) {
                const PollerSpec spec = {
                        .endpoint = gcp->endpoint,
                        .build = build,
                        .take = take,
                        .userdata = &gcp->values[i],
                };

                gcp->values[i].gcp = gcp;
                r = poller_new(event, http, &spec, &gcp->values[i].poller);
        }
        if (r < 0)
                return r;
        *ret = take_ptr(gcp);
        return 0;
}

NoticeGcp *notice_gcp_free(NoticeGcp *gcp)
{
        if (!gcp)
                return NULL;
        for (size_t i = 0; i < ELEMENTS(gcp->values); i++)
                (void)poller_free(gcp->values[i].poller);
        free(gcp->endpoint);
        free(gcp);
        return NULL;
}
