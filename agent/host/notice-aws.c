/* AWS: three paths of the instance metadata, under one session token; and the lifecycle action of a group that takes
 * the instance down. */

#include <string.h>

#include "agent/core/record.h"
#include "agent/host/aws-lifecycle.h"
#include "agent/host/aws-token.h"
#include "agent/host/notice.h"
#include "agent/host/poller.h"

typedef struct Value {
        NoticeAws *aws;
        const char *path;
        NoticeDecoder decode;
        HeardSource source;
        Poller *poller;
} Value;

struct NoticeAws {
        sd_event *event;
        Http *http;
        Log *log;
        Notices *notices;
        char *endpoint;
        NoticeTrouble trouble;
        AwsToken *token;
        AwsLifecycle *lifecycle; /* NULL: no group takes us down */
        bool telling;            /* it is being completed */
        CloudNotice termination;
        Value values[3];
};

static int build(void *userdata, Request *ret, PollerTurn *ret_turn)
{
        Value *value = userdata;
        int r = aws_token_request(value->aws->token, value->path, ret);

        if (r != -EAGAIN)
                return r;
        *ret_turn = POLLER_SKIP;
        return 0;
}

static void on_deadline(void *userdata, uint64_t deadline_usec)
{
        NoticeAws *aws = userdata;
        Now now;

        now_read(&now);
        aws->termination.deadline_usec =
                deadline_usec == 0 ? 0 : usec_add(now.realtime_usec, usec_sub(deadline_usec, now.boottime_usec));
        notices_update(aws->notices, HEARD_AWS_LIFECYCLE, &aws->termination);
}

static void begin_lifecycle(NoticeAws *aws, const CloudNotice *notice)
{
        const AwsLifecycleHandlers handlers = {.deadline = on_deadline, .userdata = aws};

        if (aws->lifecycle)
                return;
        aws->termination = *notice;
        if (aws_lifecycle_new(
                    aws->event, aws->http, aws->log, aws->token, aws->endpoint, &handlers, &aws->lifecycle) < 0)
                on_deadline(aws, 0);
}

static bool take(void *userdata, Reply *reply)
{
        Value *value = userdata;
        NoticeAws *aws = value->aws;
        CloudNotice notices[CLOUD_NOTICES_MAX];
        NoticeContext context = {};
        size_t n = 0;
        Now now;

        notice_trouble(&aws->trouble, aws->log, reply);
        if (reply->transport == TRANSPORT_OK && reply->status == 401)
                aws_token_refused(aws->token);
        if (reply->transport == TRANSPORT_OK && reply->status == 404) {
                (void)notices_hear(aws->notices, value->source, NULL, 0);
                return true;
        }
        if (reply->transport != TRANSPORT_OK || reply->status != 200)
                return false;
        now_read(&now);
        notice_context_begin(&context, reply->date, now);
        if (value->decode(reply->body, &context, notices, &n) < 0)
                return false;
        notice_context_end(&context, now, notices, n);
        (void)notices_hear(aws->notices, value->source, notices, n);
        for (size_t i = 0; i < n; i++)
                if (notices[i].kind == CLOUD_NOTICE_TERMINATION)
                        begin_lifecycle(aws, &notices[i]);
        return true;
}

static void on_token_ready(void *userdata)
{
        NoticeAws *aws = userdata;

        for (size_t i = 0; i < ELEMENTS(aws->values); i++)
                poller_kick(aws->values[i].poller);
        aws_lifecycle_token_ready(aws->lifecycle);
}

static void on_token_failed(void *userdata, const Reply *reply)
{
        NoticeAws *aws = userdata;

        notice_trouble(&aws->trouble, aws->log, reply);
}

static int make_parts(NoticeAws *aws)
{
        const char *endpoint = getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT");
        const AwsTokenHandlers handlers = {.ready = on_token_ready, .failed = on_token_failed, .userdata = aws};
        int r = replace_string(&aws->endpoint, endpoint && *endpoint ? endpoint : "http://169.254.169.254");

        if (r >= 0)
                r = aws_token_new(aws->event, aws->http, aws->endpoint, &handlers, &aws->token);
        for (size_t i = 0; r >= 0 && i < ELEMENTS(aws->values); i++) {
                const PollerSpec spec = {
                        .endpoint = aws->endpoint,
                        .build = build,
                        .take = take,
                        .userdata = &aws->values[i],
                };

                aws->values[i].aws = aws;
                r = poller_new(aws->event, aws->http, &spec, &aws->values[i].poller);
        }
        return r;
}

int notice_aws_new(sd_event *event, Http *http, Log *log, Notices *notices, NoticeAws **ret)
{
        _cleanup_(notice_aws_freep) NoticeAws *aws = calloc(1, sizeof(*aws));

        if (!aws)
                return -ENOMEM;
        aws->event = sd_event_ref(event);
        aws->http = http;
        aws->log = log;
        aws->notices = notices;
        aws->trouble.cloud = "AWS";
        aws->values[0] = (Value){
                .path = "latest/meta-data/spot/instance-action",
                .decode = notice_decode_aws_action,
                .source = HEARD_AWS_ACTION,
        };
        aws->values[1] = (Value){
                .path = "latest/meta-data/autoscaling/target-lifecycle-state",
                .decode = notice_decode_aws_lifecycle,
                .source = HEARD_AWS_LIFECYCLE,
        };
        aws->values[2] = (Value){
                .path = "latest/meta-data/events/recommendations/rebalance",
                .decode = notice_decode_aws_rebalance,
                .source = HEARD_AWS_REBALANCE,
        };
        int r = make_parts(aws);
        if (r < 0)
                return r;
        *ret = take_ptr(aws);
        return 0;
}

NoticeAws *notice_aws_free(NoticeAws *aws)
{
        if (!aws)
                return NULL;
        (void)aws_lifecycle_free(aws->lifecycle);
        for (size_t i = 0; i < ELEMENTS(aws->values); i++)
                (void)poller_free(aws->values[i].poller);
        (void)aws_token_free(aws->token);
        (void)sd_event_unref(aws->event);
        free(aws->endpoint);
        free(aws);
        return NULL;
}

static void on_completed(void *userdata)
{
        NoticeAws *aws = userdata;

        notices_told(aws->notices);
}

void notice_aws_tell_gone(NoticeAws *aws)
{
        aws->telling = aws->lifecycle != NULL;
        if (aws->lifecycle)
                aws_lifecycle_complete(aws->lifecycle, on_completed, aws);
        else
                notices_told(aws->notices);
}

bool notice_aws_would_tell(const NoticeAws *aws)
{
        return aws->lifecycle != NULL;
}

void notice_aws_cancel(NoticeAws *aws, const CloudNotice *notice)
{
        if (notice->kind == CLOUD_NOTICE_TERMINATION && !aws->telling)
                aws->lifecycle = aws_lifecycle_free(aws->lifecycle);
}
