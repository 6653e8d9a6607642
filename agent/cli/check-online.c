#include "agent/cli/check-online.h"

#include <stdio.h>
#include <string.h>
#include <systemd/sd-event.h>

#include "agent/core/info.h"
#include "agent/core/verdict.h"
#include "agent/host/machine.h"
#include "agent/http.h"
#include "agent/neighbour.h"
#include "agent/secret-reader.h"

/* One question at a time, as a person reads the answers in order: each runs the loop until its answer is there. */
typedef struct Check {
        sd_event *event;
        Http *http;
        Neighbour neighbour;
        bool answered;
        Call call;
        Judgement judgement;
        Secret *token;
        int error;
        char *message;
} Check;

static void check_forget(Check *check)
{
        judgement_done(&check->judgement);
        check->judgement = (Judgement){};
        check->token = secret_free(check->token);
        free(take_ptr(check->message));
        check->error = 0;
        check->answered = false;
}

static int check_wait(Check *check)
{
        int r = 0;

        while (r >= 0 && !check->answered)
                r = sd_event_run(check->event, UINT64_MAX);
        return r;
}

static void on_reply(Reply *reply, void *userdata)
{
        Check *check = userdata;
        Now now;

        now_read(&now);
        check->error = verdict_judge(check->call, reply, now, &check->judgement);
        check->answered = true;
}

static void on_secret(int error, const Secret *secret, const char *message, void *userdata)
{
        Check *check = userdata;

        check->error = error < 0 ? error : secret_copy(secret, &check->token);
        check->message = message ? strdup(message) : NULL;
        check->answered = true;
}

static int ask(Check *check, const RunnerConfig *runner, Call call, const CallArguments *arguments)
{
        const Target target = {
                .url = runner->url,
                .tls_ca_file = runner->tls_ca_file,
                .tls_cert_file = runner->tls_cert_file,
                .tls_key_file = runner->tls_key_file,
                .proxy = runner->proxy,
        };
        _cleanup_(request_done) Request request = {};
        int r = request_build(call, arguments, &request);

        judgement_done(&check->judgement);
        check->judgement = (Judgement){};
        check->answered = false;
        check->call = call;
        if (r >= 0)
                r = http_start(check->http, &target, &request, on_reply, check, NULL);
        if (r >= 0)
                r = check_wait(check);
        return r < 0 ? r : check->error;
}

static int check_server(Check *check, const RunnerConfig *runner)
{
        const CallArguments arguments = {.timeout_usec = runner->timeout_usec};
        int r = ask(check, runner, CALL_PROBE, &arguments);

        if (r < 0) {
                (void)printf("%s: url: %s\n", runner->name, strerror(-r));
                return EXIT_FAILED;
        }
        const char *words = check->judgement.message ? check->judgement.message : "it gave no reason";
        if (check->judgement.verdict == VERDICT_ALIVE)
                (void)printf("%s: url: %s answers as a GitLab that is well\n", runner->name, runner->url);
        else
                (void)printf("%s: url: %s: %s\n", runner->name, runner->url, words);
        return judgement_code(&check->judgement);
}

/* A token that may create runners and nothing else is refused a list, but known. The words are the OAuth layer's
 * (insufficient_scope). */
static bool lacks_scope_only(const Judgement *j)
{
        return j->verdict == VERDICT_PERMANENT && j->message && strstr(j->message, "requires higher privileges");
}

static int check_access_token(Check *check, const RunnerConfig *runner)
{
        const CallArguments arguments = {.access_token = check->token, .timeout_usec = runner->timeout_usec};
        int r = ask(check, runner, CALL_LIST, &arguments);
        const Judgement *j = &check->judgement;

        if (r < 0) {
                (void)printf("%s: access_token: %s\n", runner->name, strerror(-r));
                return EXIT_FAILED;
        }
        if (j->verdict == VERDICT_ALIVE || lacks_scope_only(j)) {
                (void)printf(
                        "%s: access_token: GitLab knows it; whether it may create this runner shows when it does\n",
                        runner->name);
                return EXIT_DONE;
        }
        (void)printf("%s: access_token: %s\n", runner->name, j->message ? j->message : "it was refused");
        return judgement_code(j);
}

static int check_token(Check *check, const RunnerConfig *runner)
{
        const char *key;
        const SecretSource *source = runner_config_secret(runner, &key);
        SecretReader *reader;
        int r = secret_reader_start(check->event, source, on_secret, check, &reader);

        if (r >= 0)
                r = check_wait(check);
        if (r >= 0)
                r = check->error;
        if (r == -ENOKEY) {
                (void)printf("%s: %s: not tried: systemd hands it to the unit only\n", runner->name, key);
                return EXIT_DONE;
        }
        if (r < 0) {
                (void)printf("%s: %s: %s\n", runner->name, key, check->message ? check->message : strerror(-r));
                return EXIT_CONFIG;
        }
        if (strcmp(key, "access_token") == 0)
                return check_access_token(check, runner);
        (void)printf("%s: %s: could be read; not tried at GitLab, as %s\n", runner->name, key,
                strcmp(key, "registration_token") == 0 ? "that would make a runner"
                                                       : "that would make this machine known there");
        return EXIT_DONE;
}

static void on_neighbour(Neighbour *neighbour, void *userdata)
{
        Check *check = userdata;

        check->neighbour = *neighbour;
        *neighbour = (Neighbour){};
        check->answered = true;
}

/* As the agent does: a proxy, say, may let through only what it knows. */
static int ask_neighbour(Check *check, const CliContext *context, const Config *config)
{
        _cleanup_(machine_done) Machine machine = {};
        _cleanup_free_ char *why = NULL;
        NeighbourQuery *query;
        int r = neighbour_query(check->event, disk_real(), context->log, config->runtime_dir, neighbour_places(),
                on_neighbour, check, &query);

        if (r >= 0)
                r = check_wait(check);
        if (r < 0 || check->neighbour.user_agent)
                return r;
        r = machine_read(disk_real(), machine_paths_default(), &machine, &why);
        return r < 0 ? r : neighbour_default(machine.architecture, &check->neighbour);
}

static int open_check(Check *check, const CliContext *context, const Config *config)
{
        int r = sd_event_new(&check->event);

        if (r >= 0)
                r = ask_neighbour(check, context, config);
        if (r >= 0)
                r = http_new(check->event, check->neighbour.user_agent, &check->http);
        return r;
}

int check_online(const CliContext *context, const Config *config)
{
        Check check = {};
        int code = EXIT_DONE;
        int r = open_check(&check, context, config);

        if (r < 0) {
                (void)fprintf(stderr, "runner-registrar check: %s\n", strerror(-r));
                code = EXIT_FAILED;
        }
        for (size_t i = 0; r >= 0 && i < config->n_runners; i++) {
                const RunnerConfig *runner = config->runners[i];

                check_forget(&check);
                code = exit_code_worse(code, check_server(&check, runner));
                check_forget(&check);
                code = exit_code_worse(code, check_token(&check, runner));
        }
        check_forget(&check);
        (void)http_free(check.http);
        neighbour_done(&check.neighbour);
        (void)sd_event_unref(check.event);
        return code;
}
