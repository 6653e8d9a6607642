/* The yardstick for idle memory: the least program that does one HTTPS request on curl's multi interface in an
 * sd-event loop, and then waits for events with its connection kept, as any agent of this make would. It has no
 * configuration, no state and no second thought; what the agent needs on top of it is the agent's own.
 *
 *     minimal URL CA_FILE
 *
 * prints the HTTP status and sleeps until it is told to end. */

#include <curl/curl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <systemd/sd-event.h>
#include <time.h>

typedef struct Minimal {
        sd_event *event;
        sd_event_source *timer_source;
        CURLM *multi;
        CURL *easy;
} Minimal;

static void minimal_turn(Minimal *minimal, curl_socket_t fd, int flags)
{
        int running = 0;
        int left = 0;
        const CURLMsg *message = NULL;

        (void)curl_multi_socket_action(minimal->multi, fd, flags, &running);
        while ((message = curl_multi_info_read(minimal->multi, &left))) {
                long status = 0;

                if (message->msg != CURLMSG_DONE)
                        continue;
                (void)curl_easy_getinfo(minimal->easy, CURLINFO_RESPONSE_CODE, &status);
                if (message->data.result != CURLE_OK)
                        (void)fprintf(stderr, "minimal: %s\n", curl_easy_strerror(message->data.result));
                (void)curl_multi_remove_handle(minimal->multi, minimal->easy);
                (void)printf("%ld\n", status);
                (void)fflush(stdout);
                return;
        }
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        int flags = ((events & EPOLLIN) ? CURL_CSELECT_IN : 0) | ((events & EPOLLOUT) ? CURL_CSELECT_OUT : 0) |
                    ((events & (EPOLLERR | EPOLLHUP)) ? CURL_CSELECT_ERR : 0);

        (void)source;
        minimal_turn(userdata, fd, flags);
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        (void)source;
        (void)usec;
        minimal_turn(userdata, CURL_SOCKET_TIMEOUT, 0);
        return 0;
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *userdata, void *socket_data)
{
        Minimal *minimal = userdata;
        sd_event_source *source = socket_data;
        uint32_t events = ((what & CURL_POLL_IN) ? EPOLLIN : 0U) | ((what & CURL_POLL_OUT) ? EPOLLOUT : 0U);

        (void)easy;
        if (what == CURL_POLL_REMOVE) {
                (void)sd_event_source_disable_unref(source);
                return 0;
        }
        if (source)
                return sd_event_source_set_io_events(source, events) < 0 ? -1 : 0;
        if (sd_event_add_io(minimal->event, &source, fd, events, on_io, minimal) < 0)
                return -1;
        return curl_multi_assign(minimal->multi, fd, source) == CURLM_OK ? 0 : -1;
}

static int on_curl_timer(CURLM *multi, long timeout_msec, void *userdata)
{
        Minimal *minimal = userdata;

        (void)multi;
        if (timeout_msec < 0)
                return sd_event_source_set_enabled(minimal->timer_source, SD_EVENT_OFF) < 0 ? -1 : 0;
        if (sd_event_source_set_time_relative(minimal->timer_source, (uint64_t)timeout_msec * 1000) < 0)
                return -1;
        return sd_event_source_set_enabled(minimal->timer_source, SD_EVENT_ONESHOT) < 0 ? -1 : 0;
}

static size_t on_body(char *data, size_t size, size_t n, void *userdata)
{
        (void)data;
        (void)userdata;
        return size * n;
}

static int minimal_start(Minimal *minimal, const char *url, const char *ca_file)
{
        sigset_t signals;

        (void)sigemptyset(&signals);
        (void)sigaddset(&signals, SIGTERM);
        if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0 || sd_event_default(&minimal->event) < 0 ||
                sd_event_add_signal(minimal->event, NULL, SIGTERM, NULL, NULL) < 0 ||
                sd_event_add_time(minimal->event, &minimal->timer_source, CLOCK_MONOTONIC, 0, 0, on_timer, minimal) <
                        0)
                return -1;
        minimal->multi = curl_multi_init();
        minimal->easy = curl_easy_init();
        if (!minimal->multi || !minimal->easy)
                return -1;
        (void)curl_multi_setopt(minimal->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
        (void)curl_multi_setopt(minimal->multi, CURLMOPT_SOCKETDATA, minimal);
        (void)curl_multi_setopt(minimal->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
        (void)curl_multi_setopt(minimal->multi, CURLMOPT_TIMERDATA, minimal);
        (void)curl_easy_setopt(minimal->easy, CURLOPT_URL, url);
        (void)curl_easy_setopt(minimal->easy, CURLOPT_CAINFO, ca_file);
        (void)curl_easy_setopt(minimal->easy, CURLOPT_WRITEFUNCTION, on_body);
        (void)curl_easy_setopt(minimal->easy, CURLOPT_POSTFIELDS, "{}");
        return curl_multi_add_handle(minimal->multi, minimal->easy) == CURLM_OK ? 0 : -1;
}

int main(int argc, char **argv)
{
        Minimal minimal = {0};
        int r = 0;

        if (argc != 3) {
                (void)fprintf(stderr, "usage: minimal URL CA_FILE\n");
                return 2;
        }
        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || minimal_start(&minimal, argv[1], argv[2]) < 0)
                return EXIT_FAILURE;
        r = sd_event_loop(minimal.event);

        (void)curl_multi_cleanup(minimal.multi);
        curl_easy_cleanup(minimal.easy);
        (void)sd_event_source_disable_unref(minimal.timer_source);
        (void)sd_event_unref(minimal.event);
        curl_global_cleanup();
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
