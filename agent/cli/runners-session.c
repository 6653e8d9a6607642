#include "agent/cli/runners-session.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "agent/base/url.h"
#include "agent/core/text.h"
#include "agent/core/verdict.h"
#include "agent/secret-reader.h"
#include "agent/version.h"
#include "config/load.h"

#define TIMEOUT_USEC (30 * USEC_PER_SEC)

/* How often a call that may be repeated is sent, and how often a list is throttled before we give up. */
#define TRIES_MAX     3
#define THROTTLES_MAX 10

/* An answer that comes in one piece: the managers of a runner for autoscaling (300 bytes each), the details of one
 * that serves thousands of projects (1500 bytes each). Pages are smaller, and can be made so. */
#define BODY_MAX (16U * 1024 * 1024)

#define RETRY_MIN_USEC (500 * USEC_PER_MSEC)
#define RETRY_MAX_USEC (5 * USEC_PER_SEC)

static const char default_token[] = "env:GITLAB_TOKEN";

static void complain(const Session *session, const char *format, ...) _printf_(2, 3);
static void complain(const Session *session, const char *format, ...)
{
        va_list arguments;

        (void)fprintf(stderr, "runner-registrar runners %s: ", session->invocation->command.name);
        va_start(arguments, format);
        (void)vfprintf(stderr, format, arguments);
        va_end(arguments);
        (void)fputc('\n', stderr);
}

static int out_of_memory(const Session *session)
{
        complain(session, "out of memory");
        return EXIT_FAILED;
}

/* --- where */

/* The runner whose settings reach URL, as its CA and proxy are needed for our calls too. */
static const RunnerConfig *find_runner(const Config *config, const char *url)
{
        for (size_t i = 0; config && i < config->n_runners; i++)
                if (url_equal(config->runners[i]->url, url))
                        return config->runners[i];
        return NULL;
}

/* Loads the configuration where that helps: one that is named must be right, one that lies there may be in nobody's
 * way who has said --url. */
static int load_config(Session *session, bool needed)
{
        const CliContext *context = session->context;
        _cleanup_mistakes_ Mistakes mistakes = MISTAKES_EMPTY;

        int r = config_load(context->config_files, NULL, CONFIG_ALLOW_NO_RUNNER, &session->config, &mistakes);
        if (r >= 0)
                return 0;
        if (r == -ENOMEM)
                return out_of_memory(session);
        if (!context->config_files && !needed) {
                log_debug(context->log, NULL, "Ignoring the configuration, as it has mistakes");
                return 0;
        }
        cli_print_mistakes(&mistakes, stderr);
        return EXIT_CONFIG;
}

static int check_url(Session *session, const RunnerConfig *runner)
{
        const RunnersCommand *command = &session->invocation->command;
        _cleanup_free_ char *why = NULL;

        int r = url_check(session->target.url, &why);
        if (r == -ENOMEM)
                return out_of_memory(session);
        if (r < 0)
                return invocation_usage(command, "the url %s", why ? why : "can't be used");
        if (url_is_exposed(session->target.url) && !(runner && runner->allow_http))
                return invocation_usage(command,
                        "the url is plain http, so everybody on the way could read the token: use https, or a "
                        "configuration with allow_http");
        return 0;
}

static int find_gitlab(Session *session)
{
        const Invocation *inv = session->invocation;
        const char *url = inv->url, *ci = getenv("CI_SERVER_URL");

        int code = load_config(session, !url && !(ci && *ci));
        if (code != 0)
                return code;
        if (!url && session->config)
                url = config_only_url(session->config);
        if (!url && ci && *ci)
                url = ci;
        if (!url)
                return invocation_usage(&inv->command, "which GitLab? Give --url%s",
                        session->config && session->config->n_runners > 0 ? ": the configuration has several" : "");

        const RunnerConfig *runner = find_runner(session->config, url);
        session->target = (Target){.url = (char *)url, .tls_ca_file = (char *)inv->tls_ca_file};
        session->timeout_usec = TIMEOUT_USEC;
        if (runner) {
                session->target.tls_cert_file = runner->tls_cert_file;
                session->target.tls_key_file = runner->tls_key_file;
                session->target.proxy = runner->proxy;
                session->timeout_usec = runner->timeout_usec;
                if (!inv->tls_ca_file)
                        session->target.tls_ca_file = runner->tls_ca_file;
        }
        return check_url(session, runner);
}

int session_open(const CliContext *context, const Invocation *invocation, Session *ret)
{
        Now now;

        *ret = (Session){.context = context, .invocation = invocation};
        int code = find_gitlab(ret);
        if (code != 0)
                return code;
        now_read(&now);
        ret->server_now_usec = now.realtime_usec;
        ret->random.state = now.boottime_usec;
        int r = sd_event_new(&ret->event);
        if (r >= 0)
                r = http_new(ret->event, "runner-registrar " VERSION, &ret->http);
        if (r < 0) {
                complain(ret, "%s", strerror(-r));
                return EXIT_FAILED;
        }
        return 0;
}

void session_done(Session *session)
{
        (void)http_free(session->http);
        (void)sd_event_unref(session->event);
        (void)secret_free(session->access_token);
        (void)secret_free(session->token);
        (void)config_free(session->config);
        free(session->version);
        *session = (Session){0};
}

/* --- secrets */

typedef struct Reading {
        bool done;
        int error;
        Secret *secret;
        char *message;
} Reading;

static void on_secret(int error, const Secret *secret, const char *message, void *userdata)
{
        Reading *reading = userdata;

        reading->error = error < 0 ? error : secret_copy(secret, &reading->secret);
        reading->message = message ? strdup(message) : NULL;
        reading->done = true;
}

static int read_source(Session *session, const SecretSource *source, const char *remedy, Secret **ret)
{
        SecretReader *reader = NULL;
        Reading reading = {0};

        int r = secret_reader_start(session->event, source, on_secret, &reading, &reader);
        while (r >= 0 && !reading.done)
                r = sd_event_run(session->event, UINT64_MAX);
        if (r >= 0)
                r = reading.error;
        else if (!reading.done)
                (void)secret_reader_cancel(reader);
        if (r < 0)
                complain(session, "%s%s", reading.message ? reading.message : strerror(-r), remedy);
        free(reading.message);
        *ret = reading.secret;
        return r < 0 ? EXIT_CONFIG : 0;
}

/* In a dry run nothing is read: what is shown stands for it. */
static int read_secret(Session *session, const SecretSource *source, const char *remedy, Secret **ret)
{
        if (!session->invocation->dry_run)
                return read_source(session, source, remedy, ret);
        return secret_new("***", 3, ret) < 0 ? out_of_memory(session) : 0;
}

int session_read_secrets(Session *session, const Endpoint *endpoint)
{
        const Invocation *inv = session->invocation;
        _cleanup_(secret_source_freep) SecretSource *source = NULL;

        if (endpoint->credential != CREDENTIAL_ACCESS_TOKEN)
                return session->token ? 0 : read_secret(session, inv->token_from, "", &session->token);
        if (session->access_token)
                return 0;
        if (inv->access_token)
                return read_secret(session, inv->access_token, "", &session->access_token);
        if (secret_source_parse(default_token, 0, &source, NULL) < 0)
                return out_of_memory(session);
        return read_secret(
                session, source, " (say --access-token SOURCE to take it from elsewhere)", &session->access_token);
}

/* --- calls */

/* Where curl's answer is put. */
struct Flight {
        Transfer *transfer;
        Reply reply;
        bool landed;
};

static void on_reply(Reply *reply, void *userdata)
{
        Flight *flight = userdata;

        flight->transfer = NULL;
        flight->reply = *reply;
        *reply = (Reply){0};
        flight->landed = true;
}

static Flight *flight_free(Flight *flight)
{
        if (flight) {
                (void)transfer_cancel(flight->transfer);
                reply_done(&flight->reply);
        }
        free(flight);
        return NULL;
}

static int pending_send(Pending *pending)
{
        pending->flight = flight_free(pending->flight);
        reply_done(&pending->reply);
        outcome_done(&pending->outcome);
        pending->flight = calloc(1, sizeof(*pending->flight));
        if (!pending->flight)
                return -ENOMEM;
        pending->tries++;
        return http_start(pending->session->http, &pending->session->target, &pending->request, on_reply,
                pending->flight, &pending->flight->transfer);
}

int pending_land(Pending *pending)
{
        int r = pending->flight || pending->landed ? 0 : -EINVAL;

        if (pending->landed)
                return 0;
        while (r >= 0 && !pending->flight->landed)
                r = sd_event_run(pending->session->event, UINT64_MAX);
        if (r < 0)
                return r;
        pending->reply = pending->flight->reply;
        pending->flight->reply = (Reply){0};
        pending->flight = flight_free(pending->flight);
        pending->landed = true;
        return 0;
}

int pending_start(
        Pending *pending, Session *session, const Endpoint *endpoint, const Argument *arguments, size_t n_arguments)
{
        bool private = endpoint->credential == CREDENTIAL_ACCESS_TOKEN;
        const Secret *credential = private ? session->access_token : session->token;
        Argument all[INVOCATION_ARGUMENTS_MAX + 1];

        *pending = (Pending){.session = session, .endpoint = endpoint};
        if (n_arguments > INVOCATION_ARGUMENTS_MAX)
                return -E2BIG;
        if (n_arguments > 0)
                memcpy(all, arguments, n_arguments * sizeof(*all));
        if (!private)
                all[n_arguments++] = (Argument){.name = "token", .secret = credential};
        int r = endpoint_build(
                endpoint, _CALL_INVALID, all, n_arguments, credential, session->timeout_usec, &pending->request);
        if (r < 0)
                return r;
        pending->request.body_max = endpoint->paged ? 0 : BODY_MAX;
        return pending_send(pending);
}

/* A queued transfer takes a turn of the loop to reach curl, and curl one or two to write. */
#define PUSH_TURNS 4

void pending_push(Pending *pending)
{
        for (unsigned i = 0; i < PUSH_TURNS && pending->flight && !pending->flight->landed; i++)
                (void)sd_event_run(pending->session->event, 0);
}

typedef struct Pause {
        bool over;
} Pause;

static int on_pause(sd_event_source *source, uint64_t usec, void *userdata)
{
        Pause *pause = userdata;

        pause->over = true;
        return 0;
}

static int session_wait(Session *session, uint64_t usec)
{
        sd_event_source *source = NULL;
        Pause pause = {0};

        int r = sd_event_add_time_relative(session->event, &source, CLOCK_BOOTTIME, usec, 0, on_pause, &pause);
        if (r >= 0)
                (void)sd_event_source_set_description(source, "runners-pause");
        while (r >= 0 && !pause.over)
                r = sd_event_run(session->event, UINT64_MAX);
        (void)sd_event_source_unref(source);
        return r;
}

/* How long to wait before the call is sent again; 0: it is not. */
static uint64_t retry_delay(Pending *pending)
{
        Session *session = pending->session;
        const CallOutcome *o = &pending->outcome;

        if (o->throttled && session->patient && pending->endpoint->repeatable && pending->throttles < THROTTLES_MAX) {
                pending->throttles++;
                uint64_t wait = schedule_wait(&session->random, o->wait_usec, 0, 0, USEC_PER_SEC);
                return wait + USEC_PER_SEC - 1 - (wait + USEC_PER_SEC - 1) % USEC_PER_SEC;
        }
        if (outcome_retryable(pending->endpoint, o) && pending->tries - pending->throttles < TRIES_MAX) {
                uint64_t delay = schedule_backoff(
                        &session->random, pending->tries - pending->throttles, RETRY_MIN_USEC, RETRY_MAX_USEC);
                delay -= delay % (10 * USEC_PER_MSEC);
                return o->wait_usec > delay ? o->wait_usec : delay;
        }
        return 0;
}

int pending_wait(Pending *pending)
{
        Session *session = pending->session;
        char span[TIME_SPAN_MAX];

        for (;;) {
                uint64_t delay, at;
                Now now;

                int r = pending_land(pending);
                pending->landed = false;
                now_read(&now);
                if (r >= 0)
                        r = outcome_read(pending->endpoint, &pending->reply, now, &pending->outcome);
                if (r < 0) {
                        /* It was sent, and nobody read what came of it. */
                        pending->lost = true;
                        return r;
                }
                if (pending->reply.date && time_parse_http_date(pending->reply.date, &at) >= 0)
                        session->server_now_usec = at;
                if (pending->lost && outcome_done_before(pending->endpoint, &pending->outcome))
                        pending->outcome.kind = OUTCOME_DONE;
                if (pending->outcome.kind == OUTCOME_DONE) {
                        session->patient = true;
                        return 0;
                }
                pending->lost = pending->lost || pending->outcome.maybe_acted;
                delay = retry_delay(pending);
                if (delay == 0)
                        return 0;
                log_info(session->context->log, NULL, "%s; trying again in %s", pending->outcome.message,
                        time_format_span(delay, span));
                r = session_wait(session, delay);
                if (r >= 0)
                        r = pending_send(pending);
                if (r < 0)
                        return r;
        }
}

void pending_done(Pending *pending)
{
        (void)flight_free(pending->flight);
        request_done(&pending->request);
        reply_done(&pending->reply);
        outcome_done(&pending->outcome);
        *pending = (Pending){0};
}

int session_call(
        Session *session, const Endpoint *endpoint, const Argument *arguments, size_t n_arguments, Pending *pending)
{
        int r = pending_start(pending, session, endpoint, arguments, n_arguments);

        return r < 0 ? r : pending_wait(pending);
}

unsigned session_release(Session *session)
{
        const Endpoint *endpoint = endpoint_get(ENDPOINT_VERSION);
        Pending pending = {0};
        Slice version;

        if (!session->version_asked && session->access_token && !session->invocation->v3) {
                session->version_asked = true;
                if (session_call(session, endpoint, NULL, 0, &pending) >= 0 && pending.outcome.kind == OUTCOME_DONE &&
                        slice_member(pending.outcome.body, "version", &version) &&
                        slice_text(version, &session->version) < 0)
                        session->version = NULL;
                pending_done(&pending);
        }
        return release_parse(session->version);
}

/* --- failures */

static int exit_code_of(CallOutcomeKind kind)
{
        switch (kind) {
        case OUTCOME_DONE:
                return EXIT_DONE;
        case OUTCOME_AGAIN:
                return EXIT_AGAIN;
        case OUTCOME_REFUSED:
                return EXIT_REFUSED;
        case OUTCOME_FAILED:
        case _OUTCOME_KIND_MAX:
                break;
        }
        return EXIT_FAILED;
}

/* What can't be sent again must be looked at, else there are two of it. */
static const char unsure_advice[] = "; GitLab may have done it all the same: look before you try again";

int session_report(Session *session, Pending *pending, int r, const char *what)
{
        const CallOutcome *o = &pending->outcome;
        _cleanup_free_ char *route = NULL;
        char status[32] = "";

        if (r < 0) {
                complain(session, "%s%s%s%s", what ? what : "", what ? ": " : "",
                        r == -EINVAL ? "a value can't be sent" : strerror(-r),
                        pending->lost && !pending->endpoint->repeatable ? unsure_advice : "");
                return r == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
        }
        if (o->no_route) {
                (void)session_release(session);
                (void)outcome_explain_route(pending->endpoint, session->version, &route);
        }
        if (o->status > 0)
                (void)snprintf(status, sizeof(status), " (HTTP %u)", o->status);
        bool unsure = o->maybe_acted && !pending->endpoint->repeatable;
        const char *advice = route ? route : o->advice;
        complain(session, "%s%s%s%s%s%s%s", what ? what : "", what ? ": " : "", o->message ? o->message : "it failed",
                status, advice ? "; " : "", advice ? advice : "", unsure ? unsure_advice : "");
        return exit_code_of(o->kind);
}

int session_url_of(Session *session, const Request *request, char **ret)
{
        _cleanup_free_ char *base = NULL;

        int r = url_join(session->target.url, request->base ? request->base : REQUEST_BASE, &base);
        if (r < 0)
                return r;
        return asprintf(ret, "%s%s", base, request->path) < 0 ? -ENOMEM : 0;
}
