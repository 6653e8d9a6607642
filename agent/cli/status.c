#include <stdio.h>
#include <string.h>

#include "agent/cli/cli.h"
#include "agent/control-client.h"
#include "agent/core/status.h"
#include "agent/manager.h"
#include "agent/status-file.h"

static const char help[] =
        "Usage: runner-registrar status [--json]\n"
        "\n"
        "What each runner is doing: state, id, expiry, last verdict, and what happens next, when and why.\n"
        "Without an agent it tells what the state folder says.\n";

/* The status object as JSON text, from the agent or from the state folder. */
static int ask_agent(const char *runtime_dir, char **ret)
{
        _cleanup_close_ int fd = -1;
        _cleanup_json_ json_t *answer = NULL;
        _cleanup_secret_ Secret *status = NULL;
        int r = control_connect(runtime_dir, &fd);

        if (r >= 0)
                r = control_ask(fd, "status", NULL, false, 30 * USEC_PER_SEC, &answer);
        if (r >= 0)
                r = json_write(json_object_get(answer, "status"), JSON_COMPACT, &status);
        if (r < 0)
                return r;
        *ret = strdup(secret_data(status));
        return *ret ? 0 : -ENOMEM;
}

static int look(const CliContext *context, Config **config, char **ret, char **reterr)
{
        _cleanup_(manager_freep) Manager *manager = NULL;
        const ManagerOptions options = {
                .log = context->log, .config_files = context->config_files, .once = true, .look_only = true};
        int r = manager_new(&options, *config, &manager, reterr);

        if (r < 0)
                return r;
        (void)take_ptr(*config);
        return manager_status(manager, ret);
}

static int print_status(const char *text, bool json)
{
        _cleanup_(agent_status_done) AgentStatus status = {};
        _cleanup_free_ char *output = NULL, *why = NULL;
        Now now;
        int r = status_decode(text, strlen(text), &status, &why);

        now_read(&now);
        if (r >= 0)
                r = json ? status_encode(&status, true, &output) : status_format_text(&status, now, &output);
        if (r < 0) {
                (void)fprintf(stderr, "runner-registrar status: %s\n", why ? why : strerror(-r));
                return EXIT_FAILED;
        }
        (void)printf(json ? "%s\n" : "%s", output);
        return EXIT_DONE;
}

int cli_status(const CliContext *context, int argc, char **argv)
{
        static const struct option options[] = {
                {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {}};
        _cleanup_(config_freep) Config *config = NULL;
        _cleanup_free_ char *text = NULL, *why = NULL;
        bool json = false;
        int option;

        while ((option = cli_option("status", argc, argv, ":h", options)) >= 0)
                switch (option) {
                case 'j':
                        json = true;
                        break;
                case 'h':
                        (void)fputs(help, stdout);
                        return EXIT_DONE;
                default:
                        return EXIT_USAGE;
                }
        if (optind < argc)
                return cli_usage("status", "takes no names");
        int code = cli_load_config(context, true, &config);
        if (code != EXIT_DONE)
                return code;
        int r = ask_agent(config->runtime_dir, &text);
        if (r < 0)
                r = look(context, &config, &text, &why);
        if (r < 0) {
                (void)fprintf(stderr, "runner-registrar status: %s\n", why ? why : strerror(-r));
                return EXIT_FAILED;
        }
        return print_status(text, json);
}
