#include <stdio.h>
#include <string.h>

#include "agent/cli/cli.h"
#include "agent/manager.h"

static const char help[] = "Usage: runner-registrar run\n"
                           "\n"
                           "The agent, in the foreground: enrols every configured runner, verifies and rotates its "
                           "token, and withdraws it\n"
                           "when told to stop, as `deregister_on` says.\n"
                           "\n"
                           "Signals: TERM and INT stop, HUP reads the configuration again, USR1 verifies now.\n";

static int run_once(const CliContext *context)
{
        const ManagerOptions options = {.log = context->log, .config_files = context->config_files};
        _cleanup_(config_freep) Config *config = NULL;
        _cleanup_(manager_freep) Manager *manager = NULL;
        _cleanup_free_ char *why = NULL;
        int code;

        if (cli_is_image_build(&code))
                return code;
        code = cli_load_config(context, false, &config);
        if (code != EXIT_DONE)
                return code;
        int r = manager_new(&options, config, &manager, &why);
        if (r < 0) {
                log_error(context->log, NULL, "%s", why ? why : strerror(-r));
                return r == -EINVAL ? EXIT_CONFIG : EXIT_FAILED;
        }
        config = NULL;
        return manager_run(manager);
}

int cli_run(const CliContext *context, int argc, char **argv)
{
        int code;

        if (!cli_takes_nothing("run", help, "the agent serves every configured runner", argc, argv, &code))
                return code;
        do
                code = run_once(context);
        while (code == MANAGER_AGAIN);
        return code;
}
