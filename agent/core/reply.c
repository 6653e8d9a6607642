#include "agent/core/reply.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/base/time.h"
#include "agent/core/api.h"
#include "agent/core/json.h"
#include "agent/core/reply-json.h"
#include "agent/core/text.h"
#include "agent/core/token.h"

/* More than GitLab takes (1024 characters of up to 4 bytes). */
#define NOTE_MAX_BYTES 8192

void reply_done(Reply *reply)
{
        free(reply->error);
        secret_free(reply->body);
        free(reply->content_type);
        free(reply->location);
        free(reply->retry_after);
        free(reply->ratelimit_limit);
        free(reply->ratelimit_observed);
        free(reply->ratelimit_remaining);
        free(reply->ratelimit_reset_time);
        free(reply->date);
        free(reply->next_page);
        free(reply->link);
        free(reply->total);
        free(reply->etag);
        *reply = (Reply){0};
}

bool reply_has_type(const Reply *reply, const char *type)
{
        size_t n = strlen(type);
        const char *have = reply->content_type;

        if (!have)
                return false;
        have += strspn(have, " \t");
        return strncasecmp(have, type, n) == 0 && (!have[n] || strchr("; \t", have[n]));
}

int reply_read_json(const Reply *reply, json_t **ret)
{
        if (!reply_has_type(reply, "application/json"))
                return -EBADMSG;
        return json_read(secret_data(reply->body), secret_size(reply->body), REPLY_BODY_MAX, ret);
}

void identity_done(Identity *identity)
{
        secret_free(identity->token);
        *identity = (Identity){0};
}

static int take_id(const json_t *object, int64_t *ret)
{
        const json_t *id = json_object_get(object, "id");

        *ret = 0;
        if (!id || json_is_null(id))
                return 0;
        if (!json_is_integer(id) || json_integer_value(id) < 1)
                return -EBADMSG;
        *ret = json_integer_value(id);
        return 0;
}

static int take_token(const json_t *object, Secret **ret)
{
        const json_t *token = json_object_get(object, "token");

        if (!token || json_is_null(token))
                return 0;
        if (!json_is_string(token))
                return -EBADMSG;
        int r = secret_new(json_string_value(token), json_string_length(token), ret);
        if (r < 0)
                return r;
        return token_complaint(*ret) ? -EBADMSG : 0;
}

static int take_expiry(const json_t *object, Identity *identity)
{
        const json_t *time = json_object_get(object, "token_expires_at");

        identity->has_expiry = time != NULL;
        if (!time || json_is_null(time))
                return 0;
        if (!json_is_string(time))
                return -EBADMSG;
        return time_parse_rfc3339(json_string_value(time), json_string_length(time), &identity->expires_at_usec) < 0
                       ? -EBADMSG
                       : 0;
}

int identity_read(const json_t *object, Identity *ret)
{
        _cleanup_(identity_done) Identity identity = {0};

        if (!json_is_object(object))
                return -EBADMSG;
        int r = take_id(object, &identity.runner_id);
        if (r >= 0)
                r = take_token(object, &identity.token);
        if (r >= 0)
                r = take_expiry(object, &identity);
        if (r < 0)
                return r;
        *ret = identity;
        identity = (Identity){0};
        return 0;
}

/* Higher ids are newer; GitLab's own order is the other way round. */
static int compare_newest(const void *a, const void *b)
{
        int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

        return (x < y) - (x > y);
}

int ids_read(const json_t *array, int64_t **ret_ids, size_t *ret_n)
{
        _cleanup_free_ int64_t *ids = NULL;
        size_t n = json_array_size(array);

        if (!json_is_array(array))
                return -EBADMSG;
        ids = calloc(n + 1, sizeof(*ids));
        if (!ids)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                if (take_id(json_array_get(array, i), &ids[i]) < 0 || ids[i] == 0)
                        return -EBADMSG;
        qsort(ids, n, sizeof(*ids), compare_newest);
        *ret_ids = take_ptr(ids);
        *ret_n = n;
        return 0;
}

void runner_row_done(RunnerRow *row)
{
        free(row->maintenance_note);
        *row = (RunnerRow){0};
}

int row_read(const json_t *object, RunnerRow *ret)
{
        const json_t *note = json_object_get(object, "maintenance_note");
        const json_t *created = json_object_get(object, "created_at");
        _cleanup_(runner_row_done) RunnerRow row = {0};

        if (take_id(object, &row.runner_id) < 0 || row.runner_id == 0)
                return -EBADMSG;
        if (json_is_string(created) &&
                time_parse_rfc3339(json_string_value(created), json_string_length(created), &row.created_at_usec) < 0)
                return -EBADMSG;
        if (note && !json_is_null(note)) {
                if (!json_is_string(note) || json_string_length(note) > NOTE_MAX_BYTES)
                        return -EBADMSG;
                row.maintenance_note = strdup(json_string_value(note));
                if (!row.maintenance_note)
                        return -ENOMEM;
        }
        *ret = row;
        row = (RunnerRow){0};
        return 0;
}

int reply_decode_list(const char *body, size_t size, int64_t **ret_ids, size_t *ret_n)
{
        _cleanup_json_ json_t *array = NULL;

        int r = json_read(body, size, REPLY_BODY_MAX, &array);
        return r < 0 ? r : ids_read(array, ret_ids, ret_n);
}

int reply_decode_row(const char *body, size_t size, RunnerRow *ret)
{
        _cleanup_json_ json_t *object = NULL;

        int r = json_read(body, size, REPLY_BODY_MAX, &object);
        return r < 0 ? r : row_read(object, ret);
}
