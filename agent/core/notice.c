#include "agent/core/notice.h"

#include <stdio.h>
#include <string.h>

#include "agent/core/json.h"
#include "agent/core/text.h"

#define BODY_MAX (64 * 1024)

/* "Compute Engine … gives the instance 30 seconds to shut down." */
#define GCP_PREEMPTION_USEC (30 * USEC_PER_SEC)

/* At least a minute before the host is taken down; GPU machines get an hour, but are told so nowhere here. */
#define GCP_MAINTENANCE_USEC (60 * USEC_PER_SEC)

/* Two deadlines that are nearer than this to each other are one. */
#define NEWS_USEC (2 * USEC_PER_SEC)

/* A clock that is off by less is right: dates are of whole seconds, and answers take a moment. */
#define CLOCK_USEC (2 * USEC_PER_SEC)

#define POLL_MIN_USEC USEC_PER_SEC
#define POLL_MAX_USEC (5 * USEC_PER_SEC)

static const char *const kind_names[_CLOUD_NOTICE_KIND_MAX] = {
        [CLOUD_NOTICE_PREEMPTION] = "preemption",
        [CLOUD_NOTICE_TERMINATION] = "termination",
        [CLOUD_NOTICE_REBALANCE] = "rebalance",
        [CLOUD_NOTICE_MAINTENANCE] = "maintenance",
};

const char *cloud_notice_kind_to_string(CloudNoticeKind kind)
{
        return kind < _CLOUD_NOTICE_KIND_MAX ? kind_names[kind] : "unknown";
}

/* Strangers' text goes into logs and environments: what is not plain is a question mark. */
static void set_reference(CloudNotice *notice, const char *prefix, const char *text)
{
        (void)snprintf(notice->reference, sizeof(notice->reference), "%s%s", prefix, text ? text : "");
        for (char *p = notice->reference; *p; p++)
                if (*p < ' ' || *p > '~')
                        *p = '?';
}

static int put_one(CloudNotice *ret, size_t *ret_n, CloudNoticeKind kind, uint64_t deadline, const char *prefix,
        const char *reference)
{
        *ret = (CloudNotice){.kind = kind, .deadline_usec = deadline};
        set_reference(ret, prefix, reference);
        *ret_n = 1;
        return 0;
}

static int read_object(const Secret *body, json_t **ret)
{
        int r = json_read(secret_data(body), secret_size(body), BODY_MAX, ret);

        if (r < 0)
                return r;
        if (json_is_object(*ret))
                return 0;
        json_decref(*ret);
        *ret = NULL;
        return -EBADMSG;
}

static int read_time(const json_t *object, const char *key, uint64_t *ret)
{
        const char *text = json_get_text(object, key);

        return text && time_parse_rfc3339(text, strlen(text), ret) >= 0 ? 0 : -EBADMSG;
}

/* The word that a text answer is, without its line end. */
static bool is_word(const Secret *body, const char *word)
{
        const char *data = secret_data(body);
        size_t size = secret_size(body);

        while (size > 0 && (data[size - 1] == '\n' || data[size - 1] == '\r' || data[size - 1] == ' '))
                size--;
        return size == strlen(word) && memcmp(data, word, size) == 0;
}

/* --- AWS */

int notice_decode_aws_action(
        const Secret *body, const NoticeContext *context, CloudNotice ret[static CLOUD_NOTICES_MAX], size_t *ret_n)
{
        _cleanup_json_ json_t *object = NULL;
        uint64_t time;

        *ret_n = 0;
        int r = read_object(body, &object);
        if (r < 0)
                return r;
        const char *action = json_get_text(object, "action");
        if (!action || read_time(object, "time", &time) < 0)
                return -EBADMSG;
        /* `stop` and `hibernate` take it away, too, and nobody knows for how long. */
        return put_one(ret, ret_n, CLOUD_NOTICE_PREEMPTION, time, "spot ", action);
}

int notice_decode_aws_rebalance(
        const Secret *body, const NoticeContext *context, CloudNotice ret[static CLOUD_NOTICES_MAX], size_t *ret_n)
{
        _cleanup_json_ json_t *object = NULL;
        uint64_t time;

        *ret_n = 0;
        int r = read_object(body, &object);
        if (r < 0)
                return r;
        if (read_time(object, "noticeTime", &time) < 0)
                return -EBADMSG;
        return put_one(ret, ret_n, CLOUD_NOTICE_REBALANCE, 0, "rebalance ", json_get_text(object, "noticeTime"));
}

int notice_decode_aws_lifecycle(
        const Secret *body, const NoticeContext *context, CloudNotice ret[static CLOUD_NOTICES_MAX], size_t *ret_n)
{
        *ret_n = 0;
        if (secret_size(body) == 0 || secret_size(body) > 64 || secret_data(body)[0] == '<')
                return -EBADMSG;
        if (is_word(body, "Terminated") || is_word(body, "Warmed:Terminated"))
                return put_one(ret, ret_n, CLOUD_NOTICE_TERMINATION, USEC_INFINITY, "Auto Scaling", NULL);
        return 0;
}

/* --- Google */

int notice_decode_gcp_preempted(
        const Secret *body, const NoticeContext *context, CloudNotice ret[static CLOUD_NOTICES_MAX], size_t *ret_n)
{
        *ret_n = 0;
        if (is_word(body, "FALSE"))
                return 0;
        if (!is_word(body, "TRUE"))
                return -EBADMSG;
        return put_one(ret, ret_n, CLOUD_NOTICE_PREEMPTION, usec_add(context->now.realtime_usec, GCP_PREEMPTION_USEC),
                "preempted", NULL);
}

int notice_decode_gcp_maintenance(
        const Secret *body, const NoticeContext *context, CloudNotice ret[static CLOUD_NOTICES_MAX], size_t *ret_n)
{
        *ret_n = 0;
        if (is_word(body, "NONE"))
                return 0;
        if (is_word(body, "MIGRATE_ON_HOST_MAINTENANCE"))
                return put_one(ret, ret_n, CLOUD_NOTICE_MAINTENANCE, 0, "live migration", NULL);
        if (!is_word(body, "TERMINATE_ON_HOST_MAINTENANCE"))
                return -EBADMSG;
        return put_one(ret, ret_n, CLOUD_NOTICE_TERMINATION,
                usec_add(context->now.realtime_usec, GCP_MAINTENANCE_USEC), "host maintenance", NULL);
}

/* --- Azure */

static bool is_ours(const json_t *event, const char *name)
{
        const json_t *resources = json_object_get(event, "Resources"), *item;
        size_t i;

        json_array_foreach (resources, i, item) {
                const char *text = json_string_value(item);

                /* Of scale sets the name is told with a `_` before it now and then. */
                if (text && name && strcasecmp(*text == '_' ? text + 1 : text, name) == 0)
                        return true;
        }
        return false;
}

static bool read_azure_event(const json_t *event, Now now, CloudNotice *ret)
{
        static const struct {
                const char *type;
                CloudNoticeKind kind;
        } rows[] = {
                {"Preempt", CLOUD_NOTICE_PREEMPTION},
                {"Terminate", CLOUD_NOTICE_TERMINATION},
                {"Freeze", CLOUD_NOTICE_MAINTENANCE},
                {"Reboot", CLOUD_NOTICE_MAINTENANCE},
                {"Redeploy", CLOUD_NOTICE_MAINTENANCE},
        };
        const char *type = json_get_text(event, "EventType"), *id = json_get_text(event, "EventId");
        const char *not_before = json_get_text(event, "NotBefore"), *status = json_get_text(event, "EventStatus");

        if (!type || !id || (status && strcmp(status, "Completed") == 0))
                return false;
        for (size_t i = 0; i < ELEMENTS(rows); i++)
                if (strcmp(type, rows[i].type) == 0) {
                        *ret = (CloudNotice){.kind = rows[i].kind};
                        set_reference(ret, "", id);
                        if (rows[i].kind == CLOUD_NOTICE_MAINTENANCE)
                                return true;
                        /* Empty once it has begun. */
                        if (!not_before || time_parse_http_date(not_before, &ret->deadline_usec) < 0)
                                ret->deadline_usec = now.realtime_usec;
                        return true;
                }
        return false;
}

int notice_decode_azure(
        const Secret *body, const NoticeContext *context, CloudNotice ret[static CLOUD_NOTICES_MAX], size_t *ret_n)
{
        _cleanup_json_ json_t *object = NULL;
        const json_t *event;
        size_t i, n = 0;

        *ret_n = 0;
        int r = read_object(body, &object);
        if (r < 0)
                return r;
        const json_t *events = json_object_get(object, "Events");
        if (!json_is_array(events))
                return -EBADMSG;
        json_array_foreach (events, i, event) {
                if (n < CLOUD_NOTICES_MAX && is_ours(event, context->resource) &&
                        read_azure_event(event, context->now, &ret[n]))
                        n++;
        }
        *ret_n = n;
        return 0;
}

/* --- all */

void notice_context_begin(NoticeContext *context, const char *date, Now local)
{
        uint64_t cloud;

        context->now = local;
        if (!date || time_parse_http_date(date, &cloud) < 0)
                return;
        uint64_t off = cloud > local.realtime_usec ? cloud - local.realtime_usec : local.realtime_usec - cloud;
        if (off > CLOCK_USEC)
                context->now.realtime_usec = cloud;
}

void notice_context_end(const NoticeContext *context, Now local, CloudNotice *notices, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                uint64_t *deadline = &notices[i].deadline_usec;

                if (*deadline == 0 || *deadline == USEC_INFINITY)
                        continue;
                if (*deadline >= context->now.realtime_usec)
                        *deadline = usec_add(local.realtime_usec, *deadline - context->now.realtime_usec);
                else
                        *deadline = usec_sub(local.realtime_usec, context->now.realtime_usec - *deadline);
        }
}

bool cloud_notice_same(const CloudNotice *a, const CloudNotice *b)
{
        return a->kind == b->kind && strcmp(a->reference, b->reference) == 0;
}

bool cloud_notice_is_news(const CloudNotice *old, const CloudNotice *notice)
{
        /* A later one is as often as not the same, counted from a later answer; and those are of whole seconds. */
        return usec_add(notice->deadline_usec, NEWS_USEC) < old->deadline_usec;
}

uint64_t notice_poll_at(uint64_t started_usec, uint64_t now_usec, unsigned n_failures)
{
        uint64_t span = n_failures > 2 ? POLL_MAX_USEC : POLL_MIN_USEC << n_failures;
        uint64_t at = usec_add(started_usec, span);

        return at > now_usec ? at : now_usec;
}

static bool begins(const char *text, const char *prefix)
{
        return text && strncmp(text, prefix, strlen(prefix)) == 0;
}

unsigned cloud_detect(const DmiFacts *facts)
{
        /* Xen instances of old have no vendor of Amazon's, but its BIOS. */
        if (begins(facts->sys_vendor, "Amazon EC2") || (facts->bios_version && strstr(facts->bios_version, "amazon")))
                return CLOUD_AWS;
        if (begins(facts->product_name, "Google Compute Engine"))
                return CLOUD_GCP;
        /* The vendor's name stands in every Hyper-V machine; this tag in Azure's alone. */
        if (begins(facts->chassis_asset_tag, "7783-7084-3265-9085-8269-3286-77"))
                return CLOUD_AZURE;
        return 0;
}
