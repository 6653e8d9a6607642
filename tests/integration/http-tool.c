/* Drives agent/http.c for test_http.py: sends the calls named on the command line and prints a line of JSON for each
 * reply, then one with the longest time that the event loop was kept from turning. Nothing here is for use elsewhere;
 * the token it sends is a made-up one.
 *
 *   http-tool [--OPTION=VALUE]… URL CALL…
 *
 * CALL is verify, register, create, reset, reset_by_id, list, or METHOD:PATH. */

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <curl/curl.h>
#include <jansson.h>

#include "agent/base/time.h"
#include "agent/http.h"

#define TICK_USEC (5 * USEC_PER_MSEC)

typedef struct Tool {
        sd_event *event;
        Http *http;
        Target target;
        char **calls;
        int n_calls;
        int next;
        int n_open;
        bool parallel;
        int n_repeat;
        uint64_t timeout_usec;
        uint64_t pause_usec;
        uint64_t cancel_usec;
        uint64_t last_tick_usec;
        uint64_t longest_usec;
        Transfer **transfers;
        struct Exchange *exchanges;
} Tool;

typedef struct Exchange {
        Tool *tool;
        int index;
        uint64_t since_usec;
} Exchange;

static const char *const transport_names[_TRANSPORT_MAX] = {
        [TRANSPORT_OK] = "ok",
        [TRANSPORT_NOT_SENT] = "not_sent",
        [TRANSPORT_LOST] = "lost",
        [TRANSPORT_TLS] = "tls",
        [TRANSPORT_BAD_URL] = "bad_url",
        [TRANSPORT_TOO_LARGE] = "too_large",
};

static uint64_t monotonic(void)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
}

static void print(json_t *object)
{
        char *line = json_dumps(object, JSON_COMPACT);

        puts(line ? line : "{}");
        (void)fflush(stdout);
        free(line);
        json_decref(object);
}

static void start_next(Tool *tool);

static int on_pause(sd_event_source *source, uint64_t usec, void *userdata)
{
        start_next(userdata);
        return 0;
}

static void set_text(json_t *object, const char *key, const char *value)
{
        if (value)
                (void)json_object_set_new(object, key, json_string(value));
}

static void on_done(Reply *reply, void *userdata)
{
        Exchange *exchange = userdata;
        Tool *tool = exchange->tool;
        json_t *object = json_object();

        (void)json_object_set_new(object, "index", json_integer(exchange->index));
        set_text(object, "transport", transport_names[reply->transport]);
        set_text(object, "error", reply->error);
        (void)json_object_set_new(object, "status", json_integer(reply->status));
        (void)json_object_set_new(object, "body_size", json_integer((json_int_t)secret_size(reply->body)));
        set_text(object, "content_type", reply->content_type);
        set_text(object, "location", reply->location);
        set_text(object, "retry_after", reply->retry_after);
        set_text(object, "ratelimit_reset_time", reply->ratelimit_reset_time);
        set_text(object, "next_page", reply->next_page);
        set_text(object, "link", reply->link);
        set_text(object, "date", reply->date);
        (void)json_object_set_new(
                object, "msec", json_integer((json_int_t)((monotonic() - exchange->since_usec) / USEC_PER_MSEC)));
        print(object);

        tool->transfers[exchange->index] = NULL;
        tool->n_open--;
        if (tool->parallel) {
                if (tool->n_open == 0)
                        (void)sd_event_exit(tool->event, 0);
                return;
        }
        if (tool->next == tool->n_calls)
                (void)sd_event_exit(tool->event, 0);
        else if (tool->pause_usec > 0)
                (void)sd_event_add_time_relative(
                        tool->event, NULL, CLOCK_MONOTONIC, tool->pause_usec, 1, on_pause, tool);
        else
                start_next(tool);
}

static int fill_request(const Tool *tool, const char *call, Request *ret)
{
        static const struct {
                const char *name, *method, *path;
                Call call;
        } calls[] = {
                {"verify", "POST", "runners/verify", CALL_VERIFY},
                {"register", "POST", "runners", CALL_REGISTER},
                {"create", "POST", "user/runners", CALL_CREATE},
                {"reset", "POST", "runners/reset_authentication_token", CALL_RESET},
                {"reset_by_id", "POST", "runners/1/reset_authentication_token", CALL_RESET_BY_ID},
                {"list", "GET", "runners", CALL_LIST},
        };
        const char *token = getenv("HTTP_TOOL_TOKEN");
        char body[256];
        int r;

        *ret = (Request){.timeout_usec = tool->timeout_usec, .want_json = true, .call = CALL_SHOW};
        for (size_t i = 0; i < ELEMENTS(calls); i++)
                if (strcmp(calls[i].name, call) == 0) {
                        ret->call = calls[i].call;
                        ret->method = calls[i].method;
                        ret->path = strdup(calls[i].path);
                }
        if (!ret->path) {
                static const char *const methods[] = {"GET", "POST", "PUT", "DELETE"};
                const char *colon = strchr(call, ':');

                for (size_t i = 0; i < ELEMENTS(methods) && colon; i++)
                        if (strncmp(call, methods[i], (size_t)(colon - call)) == 0)
                                ret->method = methods[i];
                if (!ret->method)
                        return -EINVAL;
                ret->path = strdup(colon + 1);
        }
        if (!token)
                token = "made-up-token-0123456789";
        if (strcmp(ret->method, "GET") == 0 || ret->call == CALL_CREATE)
                return secret_new(token, strlen(token), &ret->private_token);
        if (ret->call == CALL_RESET_BY_ID) {
                r = secret_new("null", 4, &ret->body);
                return r < 0 ? r : secret_new(token, strlen(token), &ret->private_token);
        }
        (void)snprintf(body, sizeof(body), "{\"token\":\"%s\"}", token);
        r = secret_new(body, strlen(body), &ret->body);
        return r < 0 ? r : secret_new(token, strlen(token), &ret->runner_token);
}

static void start_next(Tool *tool)
{
        Exchange *exchange = &tool->exchanges[tool->next];
        Request request;

        *exchange = (Exchange){.tool = tool, .index = tool->next, .since_usec = monotonic()};
        if (fill_request(tool, tool->calls[tool->next], &request) < 0) {
                fprintf(stderr, "http-tool: unknown call '%s'\n", tool->calls[tool->next]);
                exit(2);
        }
        tool->n_open++;
        int r = http_start(tool->http, &tool->target, &request, on_done, exchange, &tool->transfers[tool->next]);
        tool->next++;
        /* Copies are promised to have been made. */
        (void)secret_free(request.body);
        (void)secret_free(request.private_token);
        (void)secret_free(request.runner_token);
        free(request.path);
        if (r < 0) {
                fprintf(stderr, "http-tool: http_start: %s\n", strerror(-r));
                exit(1);
        }
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata)
{
        Tool *tool = userdata;
        uint64_t now = monotonic();

        if (tool->last_tick_usec > 0 && now - tool->last_tick_usec > tool->longest_usec)
                tool->longest_usec = now - tool->last_tick_usec;
        tool->last_tick_usec = now;
        (void)sd_event_source_set_time_relative(source, TICK_USEC);
        return 0;
}

static int on_cancel(sd_event_source *source, uint64_t usec, void *userdata)
{
        Tool *tool = userdata;
        uint64_t since = monotonic();
        int n = 0;

        for (int i = 0; i < tool->n_calls; i++)
                if (tool->transfers[i]) {
                        tool->transfers[i] = transfer_cancel(tool->transfers[i]);
                        n++;
                }
        print(json_pack(
                "{s:i,s:I}", "cancelled", n, "cancel_msec", (json_int_t)((monotonic() - since) / USEC_PER_MSEC)));
        (void)sd_event_exit(tool->event, 0);
        return 0;
}

static int run(Tool *tool)
{
        sd_event_source *tick = NULL;
        int r;

        r = sd_event_default(&tool->event);
        if (r >= 0)
                r = http_new(tool->event, "gitlab-runner 19.4.0 (test)", &tool->http);
        if (r >= 0)
                r = sd_event_add_time_relative(tool->event, &tick, CLOCK_MONOTONIC, 0, 1, on_tick, tool);
        if (r >= 0)
                r = sd_event_source_set_enabled(tick, SD_EVENT_ON);
        if (r >= 0 && tool->cancel_usec > 0)
                r = sd_event_add_time_relative(
                        tool->event, NULL, CLOCK_MONOTONIC, tool->cancel_usec, 1, on_cancel, tool);
        if (r < 0)
                return r;
        do
                start_next(tool);
        while (tool->parallel && tool->next < tool->n_calls);

        r = sd_event_loop(tool->event);
        (void)sd_event_source_disable_unref(tick);

        uint64_t since = monotonic();
        tool->http = http_free(tool->http);
        print(json_pack("{s:I,s:I}", "longest_msec", (json_int_t)(tool->longest_usec / USEC_PER_MSEC), "free_msec",
                (json_int_t)((monotonic() - since) / USEC_PER_MSEC)));
        (void)sd_event_unref(tool->event);
        return r;
}

static uint64_t msec(const char *text)
{
        return strtoull(text, NULL, 10) * USEC_PER_MSEC;
}

int main(int argc, char **argv)
{
        static const struct option options[] = {
                {"ca", required_argument, NULL, 'a'},
                {"cert", required_argument, NULL, 'c'},
                {"key", required_argument, NULL, 'k'},
                {"proxy", required_argument, NULL, 'x'},
                {"timeout", required_argument, NULL, 't'},
                {"pause", required_argument, NULL, 'p'},
                {"cancel", required_argument, NULL, 'q'},
                {"repeat", required_argument, NULL, 'n'},
                {"parallel", no_argument, NULL, 'P'},
                {0},
        };
        Tool tool = {.timeout_usec = 10 * USEC_PER_SEC, .n_repeat = 1};
        int c;

        while ((c = getopt_long(argc, argv, "+", options, NULL)) >= 0)
                switch (c) {
                case 'a':
                        tool.target.tls_ca_file = optarg;
                        break;
                case 'c':
                        tool.target.tls_cert_file = optarg;
                        break;
                case 'k':
                        tool.target.tls_key_file = optarg;
                        break;
                case 'x':
                        tool.target.proxy = optarg;
                        break;
                case 't':
                        tool.timeout_usec = msec(optarg);
                        break;
                case 'p':
                        tool.pause_usec = msec(optarg);
                        break;
                case 'q':
                        tool.cancel_usec = msec(optarg);
                        break;
                case 'n':
                        tool.n_repeat = atoi(optarg);
                        break;
                case 'P':
                        tool.parallel = true;
                        break;
                default:
                        return 2;
                }
        if (argc - optind < 2 || tool.n_repeat < 1)
                return 2;

        int n = argc - optind - 1;
        tool.target.url = argv[optind];
        tool.n_calls = n * tool.n_repeat;
        tool.calls = calloc((size_t)tool.n_calls, sizeof(*tool.calls));
        tool.transfers = calloc((size_t)tool.n_calls, sizeof(*tool.transfers));
        tool.exchanges = calloc((size_t)tool.n_calls, sizeof(*tool.exchanges));
        for (int i = 0; i < tool.n_calls; i++)
                tool.calls[i] = argv[optind + 1 + i % n];
        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return 1;
        int r = run(&tool);
        free(tool.calls);
        free(tool.transfers);
        free(tool.exchanges);
        return r < 0 ? 1 : 0;
}
