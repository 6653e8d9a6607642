#include "agent/control-request.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/core/json.h"
#include "agent/core/text.h"

static const char *const orders[_COMMAND_MAX] = {
        [COMMAND_REGISTER] = "register",
        [COMMAND_VERIFY] = "verify",
        [COMMAND_ROTATE] = "rotate",
        [COMMAND_DEREGISTER] = "deregister",
};

void control_request_done(ControlRequest *request)
{
        for (size_t i = 0; request->names && request->names[i]; i++)
                free(request->names[i]);
        free(request->names);
        *request = (ControlRequest){};
}

static int read_names(const json_t *names, char ***ret)
{
        size_t n = json_array_size(names);

        if (names && (!json_is_array(names) || n > CONTROL_NAMES_MAX))
                return -EBADMSG;
        *ret = calloc(n + 1, sizeof(**ret));
        if (!*ret)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                const char *name = json_string_value(json_array_get(names, i));

                if (!name)
                        return -EBADMSG;
                (*ret)[i] = strdup(name);
                if (!(*ret)[i])
                        return -ENOMEM;
        }
        return 0;
}

static int read_wishes(const json_t *object, OrderRequest *order)
{
        const json_t *drain = json_object_get(object, "drain"), *timeout = json_object_get(object, "timeout_usec");

        if (drain && !json_is_boolean(drain))
                return -EBADMSG;
        if (timeout && (!json_is_integer(timeout) || json_integer_value(timeout) < 1))
                return -EBADMSG;
        order->drain = json_is_true(drain);
        order->timeout_usec = timeout ? (uint64_t)json_integer_value(timeout) : USEC_INFINITY;
        return 0;
}

static void read_command(const char *name, ControlRequest *request)
{
        request->verb = strcmp(name, "status") == 0 ? CONTROL_STATUS
                        : strcmp(name, "wait") == 0 ? CONTROL_WAIT
                                                    : CONTROL_UNKNOWN;
        for (Command command = 0; command < _COMMAND_MAX; command++)
                if (orders[command] && strcmp(orders[command], name) == 0) {
                        request->verb = CONTROL_ORDER;
                        request->order.command = command;
                }
}

int control_request_read(const char *data, size_t size, ControlRequest *ret)
{
        _cleanup_(control_request_done) ControlRequest request = {};
        _cleanup_json_ json_t *object = NULL;

        int r = json_read(data, size, CONTROL_LINE_MAX, &object);
        if (r < 0)
                return r;
        const char *command = json_get_text(object, "command");
        if (!command)
                return -EBADMSG;
        r = read_names(json_object_get(object, "names"), &request.names);
        if (r >= 0)
                r = read_wishes(object, &request.order);
        if (r < 0)
                return r;
        read_command(command, &request);
        request.order.names = request.names;
        *ret = request;
        request.names = NULL;
        return 0;
}

static int write_names(char *const *names, json_t *object)
{
        json_t *list = json_array();
        int r = json_put(object, "names", list);

        for (; r >= 0 && names && *names; names++) {
                /* Left out it would no longer be asked for one runner, but for all. */
                if (!text_is_utf8(*names, strlen(*names)))
                        return -EINVAL;
                r = json_array_append_new(list, json_string(*names)) < 0 ? -ENOMEM : 0;
        }
        return r;
}

int control_request_write(const char *command, char *const *names, bool drain, uint64_t timeout_usec, Secret **ret)
{
        _cleanup_json_ json_t *object = json_object();
        _cleanup_secret_ Secret *line = NULL;

        int r = json_put(object, "command", json_string(command));
        if (r >= 0)
                r = write_names(names, object);
        if (r >= 0 && drain)
                r = json_put(object, "drain", json_true());
        if (r >= 0 && drain && timeout_usec <= INT64_MAX)
                r = json_put(object, "timeout_usec", json_integer((json_int_t)timeout_usec));
        if (r >= 0)
                r = json_write(object, JSON_COMPACT, &line);
        if (r >= 0)
                r = secret_append_string(line, "\n");
        if (r >= 0)
                *ret = take_ptr(line);
        return r;
}

int control_socket_address(const char *runtime_dir, struct sockaddr_un *ret)
{
        *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
        int n = snprintf(ret->sun_path, sizeof(ret->sun_path), "%s/control", runtime_dir);

        return n < 0 || (size_t)n >= sizeof(ret->sun_path) ? -ENAMETOOLONG : 0;
}
