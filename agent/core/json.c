#include "agent/core/json.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Counts what the document could become, without understanding it: a value stands behind each of these characters.
 * What it miscounts in a malformed document does not matter, jansson refuses that. */
static bool bounds_hold(const char *data, size_t size, size_t values_max)
{
        size_t values = 1, depth = 0;
        bool inside = false;

        for (size_t i = 0; i < size; i++) {
                char c = data[i];

                if (inside) {
                        if (c == '\\')
                                i++;
                        else if (c == '"')
                                inside = false;
                        continue;
                }
                if (c == '"')
                        inside = true;
                else if (c == '{' || c == '[') {
                        values++;
                        if (++depth > JSON_DEPTH_MAX)
                                return false;
                } else if (c == '}' || c == ']')
                        depth -= depth > 0;
                else if (c == ',')
                        values++;
                if (values > values_max)
                        return false;
        }
        return true;
}

/* jansson's reader leaves out a byte that it has no memory for, and goes on: a token or a number would lack one, and
 * a whole state pass for damaged. So its allocations are watched; its allocator knows of no owner, hence the
 * variable. */
static bool memory_ended;

static void *watched_malloc(size_t size)
{
        void *p = malloc(size);

        memory_ended = memory_ended || !p;
        return p;
}

static int load(const char *data, size_t size, json_t **ret)
{
        json_malloc_t old_malloc;
        json_free_t old_free;
        json_error_t error = {};

        json_get_alloc_funcs(&old_malloc, &old_free);
        json_set_alloc_funcs(watched_malloc, old_free);
        memory_ended = false;
        json_t *value = json_loadb(data, size, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
        json_set_alloc_funcs(old_malloc, old_free);
        /* The error's text quotes the document, which may hold a token. */
        explicit_bzero(&error, sizeof(error));
        if (memory_ended) {
                json_decref(value);
                return -ENOMEM;
        }
        *ret = value;
        return value ? 0 : -EBADMSG;
}

static int read_bounded(const char *data, size_t size, size_t max, size_t values_max, json_t **ret)
{
        /* jansson passes over a NUL that follows a number. */
        if (size == 0 || size > max || memchr(data, 0, size) || !bounds_hold(data, size, values_max))
                return -EBADMSG;
        return load(data, size, ret);
}

int json_read(const char *data, size_t size, size_t max, json_t **ret)
{
        return read_bounded(data, size, max, JSON_VALUES_MAX, ret);
}

int json_read_own(const char *data, size_t size, size_t max, json_t **ret)
{
        return read_bounded(data, size, max, SIZE_MAX, ret);
}

typedef struct Dump {
        Secret *text;
        int r;
} Dump;

static int on_dump(const char *buffer, size_t size, void *userdata)
{
        Dump *dump = userdata;

        if (dump->r >= 0)
                dump->r = secret_append(dump->text, buffer, size);
        return dump->r < 0 ? -1 : 0;
}

int json_write(const json_t *value, size_t flags, Secret **ret)
{
        _cleanup_secret_ Secret *text = NULL;

        int r = secret_new(NULL, 0, &text);
        if (r < 0)
                return r;
        Dump dump = {.text = text};
        r = json_dump_callback(value, on_dump, &dump, flags | JSON_ENCODE_ANY);
        /* jansson does not look whether an object's key could be written: what follows would be no JSON. */
        if (r < 0 || dump.r < 0)
                return -ENOMEM;
        *ret = take_ptr(text);
        return 0;
}

/* The escape that Go writes for what stands at TEXT (ended by a 0), and how many bytes it replaces; NULL: none. */
static const char *go_escape(const char *text, size_t *ret_size)
{
        *ret_size = 1;
        switch (text[0]) {
        case '<':
                return "\\u003c";
        case '>':
                return "\\u003e";
        case '&':
                return "\\u0026";
        case '\xe2':
                *ret_size = 3;
                if (strncmp(text, "\xe2\x80\xa8", 3) == 0)
                        return "\\u2028";
                if (strncmp(text, "\xe2\x80\xa9", 3) == 0)
                        return "\\u2029";
                return NULL;
        }
        return NULL;
}

int json_write_go(const json_t *value, Secret **ret)
{
        _cleanup_secret_ Secret *plain = NULL, *text = NULL;

        int r = json_write(value, JSON_COMPACT, &plain);
        if (r < 0)
                return r;
        r = secret_new(NULL, 0, &text);
        if (r < 0)
                return r;

        const char *data = secret_data(plain);
        size_t size = secret_size(plain), start = 0;
        for (size_t i = 0, n; i < size; i += n) {
                const char *escape = go_escape(data + i, &n);

                if (!escape) {
                        n = 1;
                        continue;
                }
                r = secret_append(text, data + start, i - start);
                if (r < 0)
                        return r;
                r = secret_append_string(text, escape);
                if (r < 0)
                        return r;
                start = i + n;
        }
        r = secret_append(text, data + start, size - start);
        if (r < 0)
                return r;
        *ret = take_ptr(text);
        return 0;
}

int json_put(json_t *object, const char *key, json_t *value)
{
        return json_object_set_new(object, key, value) < 0 ? -ENOMEM : 0;
}

json_t *json_secret(const Secret *secret)
{
        return json_stringn(secret_data(secret), secret_size(secret));
}

const char *json_get_text(const json_t *object, const char *key)
{
        return json_string_value(json_object_get(object, key));
}
