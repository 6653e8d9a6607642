/* A chain of questions, each answered before the next: to the metadata who we are and by which credentials we may
 * speak, to Auto Scaling which group and which hooks wait; then a heartbeat now and then, and the completion. */

#include "agent/host/aws-lifecycle.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/base/time.h"
#include "agent/core/notice.h"
#include "agent/core/record.h"
#include "agent/core/text.h"
#include "agent/host/poller.h"

#define TEXT_MAX 256

/* Tries of one step in a row before the chain gives up. */
#define TRIES      4
#define RETRY_USEC USEC_PER_SEC

#define API_TIMEOUT_USEC (8 * USEC_PER_SEC)

/* Credentials are good for hours, but who knows how old these are. */
#define CREDENTIALS_USEC (30 * USEC_PER_MINUTE)

typedef enum Step {
        STEP_INSTANCE,
        STEP_REGION,
        STEP_DOMAIN,
        STEP_ROLE,
        STEP_CREDENTIALS,
        STEP_GROUP,
        STEP_HOOKS,
        STEP_HEARTBEAT,
        STEP_REST, /* until the next heartbeat */
        STEP_COMPLETE,
        STEP_OVER, /* nothing more can or need be said */
        _STEP_MAX,
} Step;

struct AwsLifecycle {
        sd_event *event;
        Http *http;
        Log *log;
        AwsToken *token;
        const char *endpoint;
        AwsLifecycleHandlers handlers;

        Step step;
        unsigned n_tries;
        bool waits_for_token;
        Transfer *transfer;
        sd_event_source *timer_source;
        uint64_t began_usec, credentials_usec, heartbeat_at_usec;
        size_t hook; /* of the heartbeat or the completion under way */

        char instance[TEXT_MAX], region[TEXT_MAX], domain[TEXT_MAX], role[TEXT_MAX], group[TEXT_MAX];
        Secret *key, *session;
        LifecycleHooks hooks;

        AwsLifecycleDone done; /* NULL: not to be completed yet */
        void *done_userdata;
};

static void advance(AwsLifecycle *l);

static uint64_t boottime(void)
{
        Now now;

        now_read(&now);
        return now.boottime_usec;
}

static const struct {
        const char *path; /* of the metadata; NULL: asked of Auto Scaling */
        size_t offset;    /* where its text goes */
        bool optional;
        const char *what;
} rows[_STEP_MAX] = {
        [STEP_INSTANCE] = {"latest/meta-data/instance-id", offsetof(AwsLifecycle, instance), false,
                "the instance id"},
        [STEP_REGION] = {"latest/meta-data/placement/region", offsetof(AwsLifecycle, region), false, "the region"},
        [STEP_DOMAIN] = {"latest/meta-data/services/domain", offsetof(AwsLifecycle, domain), true, "the domain"},
        [STEP_ROLE] = {"latest/meta-data/iam/security-credentials/", offsetof(AwsLifecycle, role), false,
                "the instance's role"},
        [STEP_CREDENTIALS] = {"latest/meta-data/iam/security-credentials/", 0, false, "the instance's credentials"},
        [STEP_GROUP] = {NULL, 0, false, "DescribeAutoScalingInstances"},
        [STEP_HOOKS] = {NULL, 0, false, "DescribeLifecycleHooks"},
        [STEP_HEARTBEAT] = {NULL, 0, false, "RecordLifecycleActionHeartbeat"},
        [STEP_REST] = {NULL, 0, false, "a pause"},
        [STEP_COMPLETE] = {NULL, 0, false, "CompleteLifecycleAction"},
        [STEP_OVER] = {NULL, 0, false, "nothing"},
};

static void wake_at(AwsLifecycle *l, uint64_t usec)
{
        (void)sd_event_source_set_time(l->timer_source, usec);
        (void)sd_event_source_set_enabled(l->timer_source, SD_EVENT_ONESHOT);
}

static void wake_now(AwsLifecycle *l)
{
        wake_at(l, 0);
}

static void enter(AwsLifecycle *l, Step step)
{
        l->step = step;
        l->n_tries = 0;
        wake_now(l);
}

static void end(AwsLifecycle *l)
{
        AwsLifecycleDone done = l->done;

        l->step = STEP_OVER;
        l->done = NULL;
        if (done)
                done(l->done_userdata);
}

/* Whatever is missing: the drain is bounded by drain_timeout, and AWS waits until its hook's own timeout. */
static void give_up(AwsLifecycle *l, const char *why)
{
        log_warning(l->log, NULL, "The Auto Scaling lifecycle action can't be kept alive or completed: %s: %s",
                rows[l->step].what, why);
        if (l->step != STEP_COMPLETE)
                l->handlers.deadline(l->handlers.userdata, 0);
        end(l);
}

static void retry(AwsLifecycle *l, const char *why)
{
        if (++l->n_tries >= TRIES)
                give_up(l, why);
        else
                wake_at(l, boottime() + (RETRY_USEC << (l->n_tries - 1)));
}

/* --- asking */

static int metadata(AwsLifecycle *l, Request *ret)
{
        char path[TEXT_MAX * 2];

        (void)snprintf(path, sizeof(path), "%s%s", rows[l->step].path, l->step == STEP_CREDENTIALS ? l->role : "");
        return aws_token_request(l->token, path, ret);
}

static int add(Secret *form, const char *name, const char *value, int r)
{
        return r < 0 ? r : notice_form_add(form, name, value);
}

static int make_form(const AwsLifecycle *l, Secret **ret)
{
        _cleanup_secret_ Secret *form = NULL;
        bool of_hook = l->step == STEP_HEARTBEAT || l->step == STEP_COMPLETE;
        int r = secret_new(NULL, 0, &form);

        r = add(form, "Action", rows[l->step].what, r);
        r = add(form, "Version", "2011-01-01", r);
        if (l->step == STEP_GROUP)
                r = add(form, "InstanceIds.member.1", l->instance, r);
        else
                r = add(form, "AutoScalingGroupName", l->group, r);
        if (of_hook) {
                r = add(form, "LifecycleHookName", l->hooks.names[l->hook], r);
                r = add(form, "InstanceId", l->instance, r);
        }
        if (l->step == STEP_COMPLETE)
                r = add(form, "LifecycleActionResult", "CONTINUE", r);
        if (r >= 0)
                *ret = take_ptr(form);
        return r;
}

static int api(const AwsLifecycle *l, Request *ret)
{
        _cleanup_(request_done) Request request = {};
        Secret *session = NULL;
        int r = metadata_request("POST", "", NULL, API_TIMEOUT_USEC, &request);

        if (r >= 0)
                r = make_form(l, &request.body);
        if (r >= 0)
                r = secret_copy(l->key, &request.signing_key);
        if (r >= 0)
                r = secret_copy(l->session, &session);
        if (r >= 0)
                r = request_add_header(&request, session);
        if (r >= 0 && asprintf(&request.signing_scope, "aws:amz:%s:autoscaling", l->region) < 0) {
                request.signing_scope = NULL;
                r = -ENOMEM;
        }
        if (r < 0)
                return r;
        request.content_type = "application/x-www-form-urlencoded";
        *ret = request;
        request = (Request){};
        return 0;
}

static int api_url(const AwsLifecycle *l, char **ret)
{
        const char *own = getenv("AWS_ENDPOINT_URL_AUTO_SCALING"), *any = getenv("AWS_ENDPOINT_URL");

        if (own && *own)
                return replace_string(ret, own);
        if (any && *any)
                return replace_string(ret, any);
        return asprintf(ret, "https://autoscaling.%s.%s", l->region, *l->domain ? l->domain : "amazonaws.com") < 0
                       ? -ENOMEM
                       : 0;
}

static void on_reply(Reply *reply, void *userdata);

static int ask(AwsLifecycle *l)
{
        _cleanup_(request_done) Request request = {};
        _cleanup_free_ char *url = NULL;
        Target target = {.url = (char *)l->endpoint, .proxy = (char *)""};
        int r = rows[l->step].path ? metadata(l, &request) : api(l, &request);

        if (r == -EAGAIN) {
                l->waits_for_token = true;
                return 0;
        }
        if (r >= 0 && !rows[l->step].path) {
                r = api_url(l, &url);
                target = (Target){.url = url};
        }
        return r < 0 ? r : http_start(l->http, &target, &request, on_reply, l, &l->transfer);
}

/* --- answers */

static bool is_plain(const char *text)
{
        for (; *text; text++)
                if (*text <= ' ' || *text > '~')
                        return false;
        return true;
}

static bool take_text(AwsLifecycle *l, const Reply *reply)
{
        char *text = (char *)l + rows[l->step].offset;
        size_t size = strcspn(secret_data(reply->body), "\r\n");

        if (size == 0 || size >= TEXT_MAX)
                return false;
        memcpy(text, secret_data(reply->body), size);
        text[size] = 0;
        return is_plain(text);
}

static bool take_credentials(AwsLifecycle *l, const Reply *reply)
{
        _cleanup_secret_ Secret *key = NULL, *session = NULL;

        if (notice_decode_aws_credentials(reply->body, &key, &session) < 0)
                return false;
        (void)secret_free(l->key);
        (void)secret_free(l->session);
        l->key = take_ptr(key);
        l->session = take_ptr(session);
        l->credentials_usec = boottime();
        return true;
}

static void take_hooks(AwsLifecycle *l, const Reply *reply)
{
        char span[TIME_SPAN_MAX];

        if (notice_decode_lifecycle_hooks(reply->body, &l->hooks) < 0) {
                retry(l, "its answer is not understood");
                return;
        }
        if (l->hooks.n == 0) {
                give_up(l, "the group has no terminating hook of ours (its name must hold `runner-registrar` where "
                           "there are several)");
                return;
        }
        log_info(l->log, NULL, "Auto Scaling waits %s for this instance",
                time_format_span(l->hooks.global_usec, span));
        l->handlers.deadline(l->handlers.userdata, usec_add(l->began_usec, l->hooks.global_usec));
        l->hook = 0;
        enter(l, l->done ? STEP_COMPLETE : STEP_HEARTBEAT);
}

/* All hooks have had theirs, or the next one's turn is. */
static bool next_hook(AwsLifecycle *l)
{
        if (++l->hook < l->hooks.n) {
                wake_now(l);
                return true;
        }
        l->hook = 0;
        return false;
}

static void took(AwsLifecycle *l, const Reply *reply)
{
        size_t offset = 0;

        switch (l->step) {
        case STEP_INSTANCE:
        case STEP_REGION:
        case STEP_DOMAIN:
        case STEP_ROLE:
                if (take_text(l, reply) || rows[l->step].optional)
                        enter(l, l->step + 1);
                else
                        retry(l, "its answer is not understood");
                return;
        case STEP_CREDENTIALS:
                if (!take_credentials(l, reply))
                        retry(l, "they are not understood");
                else if (l->hooks.n > 0)
                        enter(l, l->done ? STEP_COMPLETE : STEP_HEARTBEAT);
                else
                        enter(l, *l->group ? STEP_HOOKS : STEP_GROUP);
                return;
        case STEP_GROUP:
                if (notice_xml_text(reply->body, "AutoScalingGroupName", &offset, l->group, sizeof(l->group)))
                        enter(l, STEP_HOOKS);
                else
                        give_up(l, "this instance is in no group");
                return;
        case STEP_HOOKS:
                take_hooks(l, reply);
                return;
        case STEP_HEARTBEAT:
                if (next_hook(l))
                        return;
                log_debug(l->log, NULL, "Auto Scaling was asked to wait on");
                l->heartbeat_at_usec = boottime() + notice_heartbeat_usec(l->hooks.heartbeat_usec);
                enter(l, STEP_REST);
                return;
        case STEP_COMPLETE:
                if (next_hook(l))
                        return;
                log_info(l->log, NULL, "The Auto Scaling lifecycle action is completed");
                end(l);
                return;
        case STEP_REST:
        case STEP_OVER:
        case _STEP_MAX:
                return;
        }
}

/* Auto Scaling's own words, or how the answer begins, fit for the log. */
static void read_message(const Reply *reply, char ret[static TEXT_MAX])
{
        _cleanup_free_ char *shown = NULL;
        size_t offset = 0;
        int r;

        if (notice_xml_text(reply->body, "Message", &offset, ret, TEXT_MAX))
                r = text_show(ret, strlen(ret), TEXT_MAX - 1, &shown);
        else
                r = text_show(secret_data(reply->body), secret_size(reply->body), TEXT_MAX / 2, &shown);
        (void)snprintf(ret, TEXT_MAX, "%s", r >= 0 ? shown : "");
}

static void refused(AwsLifecycle *l, const Reply *reply)
{
        char message[TEXT_MAX], why[TEXT_MAX + 32];

        read_message(reply, message);
        (void)snprintf(why, sizeof(why), "answer %u: %s", reply->status, message);
        if (l->step == STEP_HEARTBEAT && reply->status == 400 && strstr(message, "No active Lifecycle Action")) {
                /* It ran out, or somebody completed it: the instance goes now. */
                log_warning(l->log, NULL, "Auto Scaling waits no longer for this instance");
                l->handlers.deadline(l->handlers.userdata, boottime());
                end(l);
        } else if (reply->status / 100 == 4 && reply->status != 408 && reply->status != 429 && reply->status != 401 &&
                   !strstr(why, "Throttling"))
                give_up(l, why);
        else
                retry(l, why);
}

static void on_reply(Reply *reply, void *userdata)
{
        AwsLifecycle *l = userdata;

        l->transfer = NULL;
        if (reply->transport != TRANSPORT_OK) {
                retry(l, reply->error ? reply->error : "no answer");
                return;
        }
        if (rows[l->step].path && reply->status == 401)
                aws_token_refused(l->token);
        if (reply->status == 200)
                took(l, reply);
        else if (rows[l->step].optional && reply->status == 404)
                enter(l, l->step + 1);
        else
                refused(l, reply);
}

/* --- the chain */

static void advance(AwsLifecycle *l)
{
        if (l->transfer || l->step == STEP_OVER)
                return;
        if (l->step == STEP_REST && l->done)
                l->step = STEP_COMPLETE;
        if (l->step == STEP_REST) {
                if (boottime() < l->heartbeat_at_usec) {
                        wake_at(l, l->heartbeat_at_usec);
                        return;
                }
                l->step = STEP_HEARTBEAT;
        }
        if ((l->step == STEP_HEARTBEAT || l->step == STEP_COMPLETE) &&
                boottime() > l->credentials_usec + CREDENTIALS_USEC)
                l->step = STEP_ROLE;
        l->waits_for_token = false;
        if (ask(l) < 0)
                retry(l, "out of memory");
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        advance(userdata);
        return 0;
}

int aws_lifecycle_new(sd_event *event, Http *http, Log *log, AwsToken *token, const char *endpoint,
        const AwsLifecycleHandlers *handlers, AwsLifecycle **ret)
{
        _cleanup_(aws_lifecycle_freep) AwsLifecycle *l = calloc(1, sizeof(*l));

        if (!l)
                return -ENOMEM;
        l->event = sd_event_ref(event);
        l->http = http;
        l->log = log;
        l->token = token;
        l->endpoint = endpoint;
        l->handlers = *handlers;
        l->began_usec = boottime();
        int r = sd_event_add_time(event, &l->timer_source, CLOCK_BOOTTIME, 0, 10 * USEC_PER_MSEC, on_timer, l);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(l->timer_source, "aws-lifecycle");
        *ret = take_ptr(l);
        return 0;
}

AwsLifecycle *aws_lifecycle_free(AwsLifecycle *l)
{
        if (!l)
                return NULL;
        (void)transfer_cancel(l->transfer);
        (void)sd_event_source_disable_unref(l->timer_source);
        (void)sd_event_unref(l->event);
        (void)secret_free(l->key);
        (void)secret_free(l->session);
        free(l);
        return NULL;
}

void aws_lifecycle_complete(AwsLifecycle *l, AwsLifecycleDone done, void *userdata)
{
        l->done = done;
        l->done_userdata = userdata;
        if (l->step == STEP_OVER)
                end(l);
        else if (l->step == STEP_HEARTBEAT && l->transfer) {
                /* A heartbeat more would only be in the way. */
                l->transfer = transfer_cancel(l->transfer);
                l->hook = 0;
                enter(l, STEP_COMPLETE);
        } else if (l->step == STEP_REST)
                enter(l, STEP_COMPLETE);
}

void aws_lifecycle_token_ready(AwsLifecycle *l)
{
        if (l && l->waits_for_token)
                wake_now(l);
}
