/* A line at the control socket: no request is more than what it says, and what is taken could have been sent so. */

#include "agent/control-request.h"
#include "tests/fuzz/fuzz.h"

static void check_names(const ControlRequest *request)
{
        size_t n = 0;

        HOLDS(request->names && request->order.names == request->names);
        while (request->names[n])
                n++;
        HOLDS(n <= CONTROL_NAMES_MAX);
}

/* Written by our own client, the same would be read. */
static void check_again(const ControlRequest *request, const char *command)
{
        _cleanup_secret_ Secret *line = NULL;
        ControlRequest again;

        HOLDS(control_request_write(
                      command, request->names, request->order.drain, request->order.timeout_usec, &line) == 0);
        /* Escapes may make a line longer than any client may send. */
        if (secret_size(line) > CONTROL_LINE_MAX)
                return;
        HOLDS(control_request_read(secret_data(line), secret_size(line), &again) == 0);
        HOLDS(again.verb == request->verb && again.order.command == request->order.command);
        HOLDS(again.order.drain == request->order.drain);
        HOLDS(!again.order.drain || again.order.timeout_usec == request->order.timeout_usec);
        for (size_t i = 0; request->names[i] || again.names[i]; i++)
                HOLDS(request->names[i] && again.names[i] && strcmp(request->names[i], again.names[i]) == 0);
        control_request_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const char *const commands[_COMMAND_MAX] = {NULL, "register", "verify", "rotate", "deregister"};
        _cleanup_free_ char *text = fuzz_text(data, size);
        ControlRequest request;

        int r = control_request_read(text, size, &request);
        if (r < 0) {
                HOLDS(r == -EBADMSG);
                return 0;
        }
        check_names(&request);
        HOLDS(request.order.timeout_usec > 0);
        if (request.verb == CONTROL_ORDER) {
                HOLDS(request.order.command > COMMAND_NONE && request.order.command < _COMMAND_MAX);
                check_again(&request, commands[request.order.command]);
        } else {
                HOLDS(request.order.command == COMMAND_NONE);
                if (request.verb != CONTROL_UNKNOWN)
                        check_again(&request, request.verb == CONTROL_STATUS ? "status" : "wait");
        }
        control_request_done(&request);
        return 0;
}
