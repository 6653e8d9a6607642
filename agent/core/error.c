/* GitLab's words from whatever shape its errors take (lib/api/helpers.rb, lib/api/api_guard.rb). */

#include <stdlib.h>
#include <string.h>

#include "agent/core/json.h"
#include "agent/core/reply-json.h"
#include "agent/core/text.h"
#include "agent/core/verdict.h"

/* Beyond this a text is cut anyway. */
#define RAW_MAX (4 * ERROR_TEXT_MAX)

static int append(Secret *text, const char *piece)
{
        if (secret_size(text) >= RAW_MAX)
                return 0;
        size_t size = strnlen(piece, RAW_MAX);
        return secret_append(text, piece, size);
}

/* A message, or a list of them. */
static int append_messages(Secret *text, const json_t *value)
{
        if (json_is_string(value))
                return append(text, json_string_value(value));
        for (size_t i = 0, n = 0; i < json_array_size(value); i++) {
                const char *message = json_string_value(json_array_get(value, i));

                if (!message)
                        continue;
                if (n++ > 0 && append(text, "; ") < 0)
                        return -ENOMEM;
                if (append(text, message) < 0)
                        return -ENOMEM;
        }
        return 0;
}

/* {"field": ["a", "b"], …}, and the application limiter's {"error": "…"}, whose key says nothing. */
static int append_fields(Secret *text, json_t *object)
{
        const char *key;
        json_t *value;

        json_object_foreach (object, key, value) {
                if (!json_is_string(value) && json_array_size(value) == 0)
                        continue;
                if (secret_size(text) > 0 && append(text, ", ") < 0)
                        return -ENOMEM;
                if (strcmp(key, "error") != 0 && strcmp(key, "base") != 0 &&
                        (append(text, key) < 0 || append(text, ": ") < 0))
                        return -ENOMEM;
                if (append_messages(text, value) < 0)
                        return -ENOMEM;
        }
        return 0;
}

int error_flatten_json(const json_t *body, char **ret)
{
        json_t *message = json_object_get(body, "message");
        _cleanup_secret_ Secret *raw = NULL;
        _cleanup_free_ char *text = NULL;

        int r = secret_new(NULL, 0, &raw);
        if (r >= 0)
                r = json_is_object(message) ? append_fields(raw, message) : append_messages(raw, message);
        if (r >= 0 && secret_size(raw) == 0)
                r = append_messages(raw, json_object_get(body, "error_description"));
        if (r >= 0 && secret_size(raw) == 0)
                r = append_messages(raw, json_object_get(body, "error"));
        if (r < 0)
                return r;

        *ret = NULL;
        if (secret_size(raw) == 0)
                return 0;
        r = text_show(secret_data(raw), secret_size(raw), ERROR_TEXT_MAX, &text);
        if (r < 0)
                return r;
        if (*text)
                *ret = take_ptr(text);
        return 0;
}

int error_flatten(const char *body, size_t size, char **ret)
{
        _cleanup_json_ json_t *json = NULL;

        int r = json_read(body, size, REPLY_BODY_MAX, &json);
        if (r == -ENOMEM)
                return r;
        *ret = NULL;
        return r < 0 ? 0 : error_flatten_json(json, ret);
}
