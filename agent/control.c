#include "agent/control.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "agent/control-client.h"
#include "agent/control-request.h"
#include "agent/core/exit-code.h"
#include "agent/core/json.h"

/* A client that sends nothing, or does not read, is dropped after this. */
#define CLIENT_IDLE_USEC (10 * USEC_PER_SEC)

typedef struct Client {
        Control *control; /* NULL: hung up, only its order is still awaited */
        int fd;
        sd_event_source *io_source;
        sd_event_source *timer_source;
        Secret *line; /* what came; neither is a secret, but a buffer that grows */
        Secret *reply;
        size_t sent;
        ControlRequest request;
        Order *order;
        bool waiting; /* for all to be enrolled */
} Client;

struct Control {
        sd_event *event;
        Log *log;
        Manager *manager;
        char *path;
        int fd;
        sd_event_source *accept_source;
        Client *clients[CONTROL_CLIENTS_MAX];
        size_t n_clients;
};

static Client *client_free(Client *client)
{
        if (!client)
                return NULL;
        if (client->order)
                order_detach(client->order);
        (void)sd_event_source_disable_unref(client->io_source);
        (void)sd_event_source_disable_unref(client->timer_source);
        (void)safe_close(client->fd);
        (void)secret_free(client->line);
        control_request_done(&client->request);
        (void)secret_free(client->reply);
        free(client);
        return NULL;
}

DEFINE_CLEANUP(Client, client_free)

static void client_drop(Client *client)
{
        Control *control = client->control;

        for (size_t i = 0; i < control->n_clients; i++)
                if (control->clients[i] == client) {
                        control->clients[i] = control->clients[--control->n_clients];
                        break;
                }
        (void)client_free(client);
}

/* ---- replying ---- */

static void client_answer(Client *client, json_t *answer)
{
        int r = answer ? json_write(answer, JSON_COMPACT, &client->reply) : -ENOMEM;

        json_decref(answer);
        if (r < 0 || secret_append_string(client->reply, "\n") < 0) {
                client_drop(client);
                return;
        }
        client->sent = 0;
        client->waiting = false;
        (void)sd_event_source_set_io_events(client->io_source, EPOLLOUT);
        (void)sd_event_source_set_time_relative(client->timer_source, CLIENT_IDLE_USEC);
        (void)sd_event_source_set_enabled(client->timer_source, SD_EVENT_ONESHOT);
}

static void client_refuse(Client *client, int code, const char *message)
{
        client_answer(client, json_pack("{s:i, s:s}", "code", code, "message", message));
}

static void on_order_done(void *userdata, const OrderResult *results, size_t n, const char *note)
{
        Client *client = userdata;
        json_t *runners = json_array();
        int code = EXIT_DONE;

        client->order = NULL;
        for (size_t i = 0; runners && i < n; i++) {
                code = exit_code_worse(code, results[i].code);
                (void)json_array_append_new(runners, json_pack("{s:s, s:i, s:s?}", "name", results[i].name, "code",
                                                             results[i].code, "message", results[i].message));
        }
        client_answer(client, json_pack("{s:i, s:s*, s:o}", "code", code, "message", note, "runners", runners));
}

static void client_check_wait(Client *client)
{
        int code = manager_readiness(client->control->manager, client->request.names);

        if (code != EXIT_AGAIN)
                client_answer(client, json_pack("{s:i, s:[]}", "code", code, "runners"));
}

static void client_status(Client *client)
{
        _cleanup_free_ char *text = NULL;
        json_t *status = NULL;

        if (manager_status(client->control->manager, &text) >= 0)
                (void)json_read_own(text, strlen(text), CONTROL_REPLY_MAX, &status);
        client_answer(client, status ? json_pack("{s:i, s:o}", "code", EXIT_DONE, "status", status) : NULL);
}

/* ---- requests ---- */

static void client_order(Client *client)
{
        _cleanup_free_ char *why = NULL;
        int r = manager_order(
                client->control->manager, &client->request.order, on_order_done, client, &client->order, &why);

        if (r < 0)
                client_refuse(client, r == -ENOENT ? EXIT_USAGE : EXIT_FAILED, why ? why : strerror(-r));
}

static void client_request(Client *client)
{
        int r = control_request_read(secret_data(client->line), secret_size(client->line), &client->request);

        (void)sd_event_source_set_enabled(client->timer_source, SD_EVENT_OFF);
        /* From now on only a hang-up is listened for. */
        (void)sd_event_source_set_io_events(client->io_source, 0);
        if (r < 0) {
                client_refuse(client, r == -ENOMEM ? EXIT_FAILED : EXIT_USAGE,
                        r == -ENOMEM ? strerror(-r) : "that is no request");
                return;
        }
        switch (client->request.verb) {
        case CONTROL_ORDER:
                client_order(client);
                break;
        case CONTROL_STATUS:
                client_status(client);
                break;
        case CONTROL_WAIT:
                client->waiting = true;
                client_check_wait(client);
                break;
        case CONTROL_UNKNOWN:
                client_refuse(client, EXIT_USAGE, "this agent does not know that command");
                break;
        }
}

static void client_read(Client *client)
{
        char buffer[4096];
        ssize_t n = recv(client->fd, buffer, sizeof(buffer), MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0 || secret_size(client->line) + (size_t)n > CONTROL_LINE_MAX ||
                secret_append(client->line, buffer, (size_t)n) < 0) {
                client_drop(client);
                return;
        }
        if (memchr(buffer, '\n', (size_t)n))
                client_request(client);
}

static void client_write(Client *client)
{
        size_t size = secret_size(client->reply);
        ssize_t n = send(client->fd, secret_data(client->reply) + client->sent, size - client->sent,
                MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n < 0) {
                client_drop(client);
                return;
        }
        client->sent += (size_t)n;
        if (client->sent == size)
                client_drop(client);
}

static int on_client(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        Client *client = userdata;

        if (revents & EPOLLOUT)
                client_write(client);
        else if (revents & EPOLLIN)
                client_read(client);
        else if (revents & (EPOLLHUP | EPOLLERR))
                client_drop(client);
        return 0;
}

static int on_client_idle(sd_event_source *source, uint64_t usec, void *userdata)
{
        client_drop(userdata);
        return 0;
}

static int client_new(Control *control, int *fd, Client **ret)
{
        _cleanup_(client_freep) Client *client = calloc(1, sizeof(*client));

        if (!client)
                return -ENOMEM;
        client->fd = take_fd(fd);
        client->control = control;
        int r = secret_new(NULL, 0, &client->line);
        if (r >= 0)
                r = sd_event_add_io(control->event, &client->io_source, client->fd, EPOLLIN, on_client, client);
        if (r >= 0)
                r = sd_event_add_time_relative(control->event, &client->timer_source, CLOCK_BOOTTIME,
                        CLIENT_IDLE_USEC, USEC_PER_SEC, on_client_idle, client);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(client->io_source, "control-client");
        *ret = take_ptr(client);
        return 0;
}

static int on_accept(sd_event_source *source, int listen_fd, uint32_t revents, void *userdata)
{
        Control *control = userdata;
        _cleanup_close_ int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        struct ucred peer;
        socklen_t size = sizeof(peer);
        Client *client;

        if (fd < 0)
                return 0;
        /* The mode keeps others out; this is for sockets that were handed around. */
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || (peer.uid != 0 && peer.uid != geteuid()))
                return 0;
        if (control->n_clients >= CONTROL_CLIENTS_MAX) {
                log_warning(control->log, NULL, "Too many clients at the control socket, turning one away");
                return 0;
        }
        if (client_new(control, &fd, &client) >= 0)
                control->clients[control->n_clients++] = client;
        return 0;
}

void control_changed(Control *control)
{
        /* Backwards, as an answer that can't be made drops its client. */
        for (size_t i = control->n_clients; i > 0; i--)
                if (control->clients[i - 1]->waiting)
                        client_check_wait(control->clients[i - 1]);
}

/* ---- the socket ---- */

static int listen_on(Control *control, const char *runtime_dir)
{
        struct sockaddr_un address;
        int r = control_socket_address(runtime_dir, &address);

        if (r >= 0)
                r = replace_string(&control->path, address.sun_path);
        if (r < 0)
                return r;
        if (mkdir(runtime_dir, 0755) < 0 && errno != EEXIST)
                return -errno;
        control->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (control->fd < 0)
                return -errno;
        (void)unlink(control->path);
        /* The mode must be right from the first moment on: no chmod() after bind(). */
        mode_t saved = umask(0177);
        r = bind(control->fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
        (void)umask(saved);
        if (r < 0)
                return r;
        return listen(control->fd, CONTROL_CLIENTS_MAX) < 0 ? -errno : 0;
}

int control_new(sd_event *event, Log *log, Manager *manager, const char *runtime_dir, Control **ret, char **reterr)
{
        _cleanup_(control_freep) Control *control = calloc(1, sizeof(*control));

        if (!control)
                return -ENOMEM;
        control->fd = -1;
        control->event = sd_event_ref(event);
        control->log = log;
        control->manager = manager;
        int r = listen_on(control, runtime_dir);
        if (r >= 0)
                r = sd_event_add_io(event, &control->accept_source, control->fd, EPOLLIN, on_accept, control);
        if (r < 0) {
                if (asprintf(reterr, "Failed to listen on '%s/control': %s", runtime_dir, strerror(-r)) < 0)
                        *reterr = NULL;
                return r;
        }
        (void)sd_event_source_set_description(control->accept_source, "control");
        *ret = take_ptr(control);
        return 0;
}

Control *control_free(Control *control)
{
        if (!control)
                return NULL;
        for (size_t i = 0; i < control->n_clients; i++)
                (void)client_free(control->clients[i]);
        (void)sd_event_source_disable_unref(control->accept_source);
        if (control->fd >= 0) {
                (void)unlink(control->path);
                (void)safe_close(control->fd);
        }
        (void)sd_event_unref(control->event);
        free(control->path);
        free(control);
        return NULL;
}
