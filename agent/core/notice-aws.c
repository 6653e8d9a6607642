/* AWS's own ways: XML, forms and credentials. */

#include "agent/core/notice.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "agent/core/json.h"

#define BODY_MAX (64 * 1024)

/* Of hooks whose timeouts AWS did not tell: its defaults. */
#define HEARTBEAT_DEFAULT_USEC USEC_PER_HOUR
#define GLOBAL_DEFAULT_USEC    (48 * USEC_PER_HOUR)

#define HEARTBEAT_MIN_USEC (5 * USEC_PER_SEC)
#define HEARTBEAT_MAX_USEC (5 * USEC_PER_MINUTE)

#define OUR_NAME "runner-registrar"

static size_t copy_text(const char *from, size_t size, char *ret)
{
        static const struct {
                const char *entity;
                char c;
        } entities[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};
        size_t n = 0;

        for (size_t i = 0; i < size;) {
                size_t k = 0;

                while (k < ELEMENTS(entities) &&
                        (size - i < strlen(entities[k].entity) ||
                                memcmp(from + i, entities[k].entity, strlen(entities[k].entity)) != 0))
                        k++;
                if (k < ELEMENTS(entities)) {
                        ret[n++] = entities[k].c;
                        i += strlen(entities[k].entity);
                } else
                        ret[n++] = from[i++];
        }
        ret[n] = 0;
        return n;
}

bool notice_xml_text(const Secret *body, const char *tag, size_t *offset, char *ret, size_t size)
{
        const char *data = secret_data(body), *end = data + secret_size(body);
        char open[64], close[64];

        assert(*offset <= secret_size(body));
        assert(strlen(tag) + strlen("</>") < sizeof(close));
        (void)snprintf(open, sizeof(open), "<%s>", tag);
        (void)snprintf(close, sizeof(close), "</%s>", tag);
        const char *from = memmem(data + *offset, (size_t)(end - data) - *offset, open, strlen(open));
        if (!from)
                return false;
        from += strlen(open);
        const char *to = memmem(from, (size_t)(end - from), close, strlen(close));
        if (!to || (size_t)(to - from) >= size)
                return false;
        (void)copy_text(from, (size_t)(to - from), ret);
        *offset = (size_t)(to - data) + strlen(close);
        return true;
}

static uint64_t read_seconds(const Secret *member, const char *tag, uint64_t otherwise)
{
        char text[24];
        size_t offset = 0;

        if (!notice_xml_text(member, tag, &offset, text, sizeof(text)) || !*text ||
                strspn(text, "0123456789") != strlen(text) || strlen(text) > 9)
                return otherwise;
        return strtoull(text, NULL, 10) * USEC_PER_SEC;
}

static void take_hook(LifecycleHooks *hooks, const char *name, const Secret *member)
{
        uint64_t heartbeat = read_seconds(member, "HeartbeatTimeout", HEARTBEAT_DEFAULT_USEC);
        uint64_t global = read_seconds(member, "GlobalTimeout", GLOBAL_DEFAULT_USEC);

        (void)snprintf(hooks->names[hooks->n++], LIFECYCLE_NAME_MAX, "%s", name);
        if (hooks->heartbeat_usec == 0 || heartbeat < hooks->heartbeat_usec)
                hooks->heartbeat_usec = heartbeat;
        if (hooks->global_usec == 0 || global < hooks->global_usec)
                hooks->global_usec = global;
}

int notice_decode_lifecycle_hooks(const Secret *body, LifecycleHooks *ret)
{
        char member_text[4096], name[LIFECYCLE_NAME_MAX], transition[64];
        LifecycleHooks ours = {}, only = {};
        size_t offset = 0, n = 0, at;

        if (secret_size(body) > BODY_MAX || !strstr(secret_data(body), "<DescribeLifecycleHooksResult>"))
                return -EBADMSG;
        while (notice_xml_text(body, "member", &offset, member_text, sizeof(member_text))) {
                _cleanup_secret_ Secret *member = NULL;

                if (secret_new(member_text, strlen(member_text), &member) < 0)
                        return -ENOMEM;
                at = 0;
                if (!notice_xml_text(member, "LifecycleTransition", &at, transition, sizeof(transition)) ||
                        strcmp(transition, "autoscaling:EC2_INSTANCE_TERMINATING") != 0)
                        continue;
                at = 0;
                if (!notice_xml_text(member, "LifecycleHookName", &at, name, sizeof(name)))
                        continue;
                if (n++ == 0)
                        take_hook(&only, name, member);
                if (strstr(name, OUR_NAME) && ours.n < LIFECYCLE_HOOKS_MAX)
                        take_hook(&ours, name, member);
        }
        *ret = ours.n > 0 || n != 1 ? ours : only;
        return 0;
}

uint64_t notice_heartbeat_usec(uint64_t timeout_usec)
{
        uint64_t span = timeout_usec / 3;

        return span < HEARTBEAT_MIN_USEC ? HEARTBEAT_MIN_USEC : span > HEARTBEAT_MAX_USEC ? HEARTBEAT_MAX_USEC : span;
}

int notice_form_add(Secret *form, const char *name, const char *value)
{
        static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
        int r = secret_size(form) > 0 ? secret_append_string(form, "&") : 0;

        if (r >= 0)
                r = secret_append_string(form, name);
        if (r >= 0)
                r = secret_append_string(form, "=");
        for (; r >= 0 && *value; value++) {
                char escape[4];

                (void)snprintf(
                        escape, sizeof(escape), strchr(plain, *value) ? "%c" : "%%%02X", (unsigned char)*value);
                r = secret_append_string(form, escape);
        }
        return r;
}

int notice_decode_aws_credentials(const Secret *body, Secret **ret_key, Secret **ret_session)
{
        _cleanup_secret_ Secret *key = NULL, *session = NULL;
        _cleanup_json_ json_t *object = NULL;
        int r = json_read(secret_data(body), secret_size(body), BODY_MAX, &object);

        if (r < 0)
                return r;
        const char *id = json_get_text(object, "AccessKeyId"), *secret = json_get_text(object, "SecretAccessKey");
        const char *token = json_get_text(object, "Token");
        if (!id || !secret || !token || !*id || !*secret || strpbrk(token, "\r\n"))
                return -EBADMSG;
        r = secret_new(NULL, 0, &key);
        if (r >= 0)
                r = secret_reserve(key, strlen(id) + strlen(secret) + 1);
        if (r >= 0)
                r = secret_append_string(key, id);
        if (r >= 0)
                r = secret_append_string(key, ":");
        if (r >= 0)
                r = secret_append_string(key, secret);
        if (r >= 0)
                r = secret_new(NULL, 0, &session);
        if (r >= 0)
                r = secret_reserve(session, strlen(token) + 32);
        if (r >= 0)
                r = secret_append_string(session, "X-Amz-Security-Token: ");
        if (r >= 0)
                r = secret_append_string(session, token);
        if (r < 0)
                return r;
        *ret_key = take_ptr(key);
        *ret_session = take_ptr(session);
        return 0;
}
