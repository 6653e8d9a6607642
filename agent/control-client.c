#include "agent/control-client.h"

#include <poll.h>
#include <sys/socket.h>

#include "agent/base/time.h"
#include "agent/control-request.h"

int control_connect(const char *runtime_dir, int *ret_fd)
{
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_un address;

        if (fd < 0)
                return -errno;
        int r = control_socket_address(runtime_dir, &address);
        if (r < 0)
                return r;
        if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
                return -errno;
        *ret_fd = take_fd(&fd);
        return 0;
}

static int send_all(int fd, const char *data, size_t size)
{
        while (size > 0) {
                ssize_t n = send(fd, data, size, MSG_NOSIGNAL);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                data += n;
                size -= (size_t)n;
        }
        return 0;
}

static int wait_readable(int fd, uint64_t until_usec)
{
        struct pollfd pollfd = {.fd = fd, .events = POLLIN};
        int span = -1;

        if (until_usec != USEC_INFINITY) {
                Now now;

                now_read(&now);
                uint64_t left = usec_sub(until_usec, now.boottime_usec) / USEC_PER_MSEC + 1;
                span = left > INT32_MAX ? INT32_MAX : (int)left;
                if (until_usec <= now.boottime_usec)
                        return -ETIME;
        }
        int r = poll(&pollfd, 1, span);
        if (r < 0)
                return errno == EINTR ? 0 : -errno;
        return r == 0 ? -ETIME : 0;
}

/* Each has a code: without one nothing would be success. */
static int read_answer(const Secret *line, json_t **ret)
{
        _cleanup_json_ json_t *answer = NULL;
        int r = json_read_own(secret_data(line), secret_size(line), CONTROL_REPLY_MAX, &answer);

        if (r >= 0 && !json_is_integer(json_object_get(answer, "code")))
                r = -EBADMSG;
        if (r >= 0)
                *ret = take_ptr(answer);
        return r;
}

int control_ask(int fd, const char *command, char *const *names, bool drain, uint64_t timeout_usec, json_t **ret)
{
        _cleanup_secret_ Secret *request = NULL, *line = NULL;
        Now now;

        now_read(&now);
        uint64_t until = usec_add(now.boottime_usec, timeout_usec);
        int r = control_request_write(command, names, drain, timeout_usec, &request);
        if (r >= 0)
                r = send_all(fd, secret_data(request), secret_size(request));
        if (r >= 0)
                r = secret_new(NULL, 0, &line);
        while (r >= 0) {
                char buffer[65536];

                r = wait_readable(fd, until);
                if (r < 0)
                        return r;
                ssize_t n = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
                if (n < 0 && (errno == EINTR || errno == EAGAIN))
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -ECONNRESET;
                if (secret_size(line) + (size_t)n > CONTROL_REPLY_MAX)
                        return -EMSGSIZE;
                r = secret_append(line, buffer, (size_t)n);
                if (r >= 0 && buffer[n - 1] == '\n')
                        return read_answer(line, ret);
        }
        return r;
}
