/* Rows of the endpoint table and values in, one request out. */

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/core/endpoint.h"
#include "agent/core/json.h"
#include "agent/core/reply.h"
#include "agent/core/text.h"
#include "agent/core/token.h"

/* Longer ones meet proxies that refuse them, and nothing that we send needs one. */
#define PATH_SIZE_MAX 8192

void request_done(Request *request)
{
        free(request->path);
        secret_free(request->body);
        secret_free(request->private_token);
        secret_free(request->runner_token);
        for (Secret **line = request->headers; line && *line; line++)
                secret_free(*line);
        free(request->headers);
        secret_free(request->signing_key);
        free(request->signing_scope);
        *request = (Request){0};
}

int request_add_header(Request *request, Secret *line)
{
        size_t n = 0;

        while (request->headers && request->headers[n])
                n++;
        Secret **headers = line ? realloc(request->headers, (n + 2) * sizeof(*headers)) : NULL;
        if (!headers) {
                secret_free(line);
                return -ENOMEM;
        }
        headers[n] = line;
        headers[n + 1] = NULL;
        request->headers = headers;
        return 0;
}

static const Argument *find_argument(const Argument *arguments, size_t n, const Parameter *parameter)
{
        for (size_t i = 0; i < n; i++)
                if (strcmp(arguments[i].name, parameter->name) == 0)
                        return &arguments[i];
        return NULL;
}

/* A path under construction; too long or out of memory is found at the end. */
typedef struct Path {
        char text[PATH_SIZE_MAX];
        size_t size;
        bool overflow;
        bool has_query;
} Path;

static void path_add(Path *path, const char *text, size_t size)
{
        if (size >= sizeof(path->text) - path->size) {
                path->overflow = true;
                return;
        }
        memcpy(path->text + path->size, text, size);
        path->size += size;
        path->text[path->size] = 0;
}

static void path_add_escaped(Path *path, const char *text)
{
        static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
        char escape[4];

        for (; *text; text++) {
                if (strchr(plain, *text)) {
                        path_add(path, text, 1);
                        continue;
                }
                (void)snprintf(escape, sizeof(escape), "%%%02X", (unsigned char)*text);
                path_add(path, escape, 3);
        }
}

/* Adds the value of ARGUMENT to a path or a query; -EINVAL where it has none that may stand there. */
static int path_add_value(Path *path, const Parameter *parameter, const Argument *argument)
{
        char number[24];

        switch (parameter->type) {
        case PARAMETER_INTEGER:
                (void)snprintf(number, sizeof(number), "%" PRId64, argument->integer);
                path_add_escaped(path, number);
                return parameter->place == PLACE_PATH && argument->integer < parameter->min ? -EINVAL : 0;
        case PARAMETER_BOOLEAN:
                path_add_escaped(path, argument->integer ? "true" : "false");
                return 0;
        case PARAMETER_LIST:
        case PARAMETER_COMMA_LIST:
                for (char *const *item = argument->list; item && *item; item++) {
                        if (item != argument->list)
                                path_add_escaped(path, ",");
                        path_add_escaped(path, *item);
                }
                return argument->list ? 0 : -EINVAL;
        case PARAMETER_TEXT:
        case PARAMETER_WORD:
        case PARAMETER_TIME:
        case PARAMETER_NAMESPACE:
                /* "." and ".." would be folded away on the way, and the call would mean another route. */
                if (!argument->text ||
                        (parameter->place == PLACE_PATH &&
                                (!*argument->text || strspn(argument->text, ".") == strlen(argument->text))))
                        return -EINVAL;
                path_add_escaped(path, argument->text);
                return 0;
        case PARAMETER_SECRET:
        case PARAMETER_OBJECT:
                return -EINVAL;
        }
        return -EINVAL;
}

/* Writes the row's path with its `:name` parts filled in. */
static int path_fill(Path *path, const Endpoint *endpoint, const Argument *arguments, size_t n_arguments)
{
        for (const char *p = endpoint->path; *p;) {
                size_t plain = strcspn(p, ":"), size;
                char name[32];

                path_add(path, p, plain);
                p += plain;
                if (!*p)
                        break;
                size = strcspn(++p, "/");
                (void)snprintf(name, sizeof(name), "%.*s", (int)size, p);
                p += size;

                const Parameter *parameter = endpoint_parameter(endpoint, name);
                assert(parameter);
                const Argument *argument = find_argument(arguments, n_arguments, parameter);
                if (!argument || path_add_value(path, parameter, argument) < 0)
                        return -EINVAL;
        }
        return 0;
}

static int path_add_query(Path *path, const Parameter *parameter, const Argument *argument)
{
        path_add(path, path->has_query ? "&" : "?", 1);
        path->has_query = true;
        path_add_escaped(path, parameter->name);
        path_add(path, "=", 1);
        return path_add_value(path, parameter, argument);
}

static int list_value(const Argument *argument, json_t **ret)
{
        _cleanup_json_ json_t *array = json_array();

        for (char *const *item = argument->list; array && *item; item++)
                if (json_array_append_new(array, json_string(*item)) < 0)
                        return -ENOMEM;
        *ret = take_ptr(array);
        return *ret ? 0 : -ENOMEM;
}

static int comma_list_value(const Argument *argument, json_t **ret)
{
        _cleanup_secret_ Secret *joined = NULL;

        int r = secret_new(NULL, 0, &joined);
        for (char *const *item = argument->list; r >= 0 && *item; item++) {
                if (item != argument->list)
                        r = secret_append_string(joined, ",");
                if (r >= 0)
                        r = secret_append_string(joined, *item);
        }
        if (r < 0)
                return r;
        *ret = json_secret(joined);
        return *ret ? 0 : -ENOMEM;
}

static int object_value(const char *text, json_t **ret)
{
        int r = json_read(text, strlen(text), REPLY_BODY_MAX, ret);

        return r == -EBADMSG ? -EINVAL : r;
}

static bool list_is_utf8(char *const *list)
{
        for (; *list; list++)
                if (!text_is_utf8(*list, strlen(*list)))
                        return false;
        return true;
}

static int body_value(const Parameter *parameter, const Argument *argument, json_t **ret)
{
        if (argument->null) {
                *ret = json_null();
                return 0;
        }
        switch (parameter->type) {
        case PARAMETER_INTEGER: /* GitLab judges its range, and says so in words of its own */
                *ret = json_integer(argument->integer);
                break;
        case PARAMETER_BOOLEAN:
                *ret = json_boolean(argument->integer);
                break;
        case PARAMETER_LIST:
                return argument->list && list_is_utf8(argument->list) ? list_value(argument, ret) : -EINVAL;
        case PARAMETER_COMMA_LIST:
                return argument->list && list_is_utf8(argument->list) ? comma_list_value(argument, ret) : -EINVAL;
        case PARAMETER_SECRET:
                if (!argument->secret || token_complaint(argument->secret))
                        return -EINVAL;
                *ret = json_secret(argument->secret);
                break;
        case PARAMETER_OBJECT:
                if (!argument->text)
                        return -EINVAL;
                return object_value(argument->text, ret);
        case PARAMETER_TEXT:
        case PARAMETER_WORD:
        case PARAMETER_TIME:
        case PARAMETER_NAMESPACE:
                if (!argument->text || !text_is_utf8(argument->text, strlen(argument->text)))
                        return -EINVAL;
                *ret = json_string(argument->text);
                break;
        }
        return *ret ? 0 : -ENOMEM;
}

static int add_parameters(
        const Endpoint *endpoint, const Argument *arguments, size_t n_arguments, Path *path, json_t *body)
{
        for (const Parameter *p = endpoint->parameters; p->name; p++) {
                const Argument *argument = find_argument(arguments, n_arguments, p);
                _cleanup_json_ json_t *value = NULL;

                if (!argument) {
                        if (p->required)
                                return -EINVAL;
                        continue;
                }
                int r = 0;
                if (p->place == PLACE_QUERY)
                        r = path_add_query(path, p, argument);
                else if (p->place == PLACE_BODY) {
                        r = body_value(p, argument, &value);
                        if (r >= 0)
                                r = json_put(body, p->name, take_ptr(value));
                }
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Whether the row has a body at all; those without stay without, also as a POST. */
static bool has_body(const Endpoint *endpoint)
{
        for (const Parameter *p = endpoint->parameters; p->name; p++)
                if (p->place == PLACE_BODY)
                        return true;
        return false;
}

static int add_credential(const Endpoint *endpoint, const Secret *credential, Request *request)
{
        bool private = endpoint->credential == CREDENTIAL_ACCESS_TOKEN;

        if (!credential || (!private && !endpoint->runner_header))
                return 0;
        if (token_complaint(credential))
                return -EINVAL;
        return secret_copy(credential, private ? &request->private_token : &request->runner_token);
}

int endpoint_build(const Endpoint *endpoint, Call call, const Argument *arguments, size_t n_arguments,
        const Secret *credential, uint64_t timeout_usec, Request *ret)
{
        /* Accept goes out with deletes too, unlike gitlab-runner's: their refusals have to come as JSON. */
        _cleanup_(request_done) Request request = {
                .call = call,
                .method = endpoint->method,
                .base = endpoint->base,
                .want_json = true,
                .timeout_usec = timeout_usec,
        };
        _cleanup_json_ json_t *body = json_object();
        Path path = {0};

        if (!body)
                return -ENOMEM;
        int r = path_fill(&path, endpoint, arguments, n_arguments);
        if (r < 0)
                return r;
        r = add_parameters(endpoint, arguments, n_arguments, &path, body);
        if (r < 0)
                return r;
        if (path.overflow)
                return -EINVAL;
        request.path = strdup(path.text);
        if (!request.path)
                return -ENOMEM;
        r = has_body(endpoint) ? json_write_go(body, &request.body) : 0;
        if (r < 0)
                return r;
        r = add_credential(endpoint, credential, &request);
        if (r < 0)
                return r;
        *ret = request;
        request = (Request){0};
        return 0;
}
