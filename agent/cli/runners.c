/* `runners`: finds the command, its row of the endpoint table, its GitLab and its secrets, and hands over. */

#include "agent/cli/runners.h"

#include <signal.h>
#include <string.h>

#include "agent/base/file.h"
#include "agent/cli/runners-call.h"
#include "agent/cli/runners-delete.h"
#include "agent/cli/runners-help.h"
#include "agent/cli/runners-list.h"
#include "agent/cli/runners-prune.h"
#include "agent/core/system-id.h"
#include "agent/host/machine.h"

#define SYSTEM_ID_NAME ".runner_system_id"

/* This machine's, as gitlab-runner's file beside its config.toml has it, else as it would make it. Empty: unknown. */
static void find_system_id(const Session *session, char ret[static SYSTEM_ID_SIZE + 1])
{
        const char *config_toml = session->config ? session->config->config_toml : "/etc/gitlab-runner/config.toml";
        _cleanup_(machine_done) Machine machine = {0};
        _cleanup_free_ char *path = NULL, *why = NULL;
        _cleanup_secret_ Secret *text = NULL;
        const char *slash = strrchr(config_toml, '/');

        *ret = 0;
        if (!slash || asprintf(&path, "%.*s/%s", (int)(slash - config_toml), config_toml, SYSTEM_ID_NAME) < 0)
                return;
        if (file_read_path(disk_real(), path, 0, 256, &text, NULL, NULL) >= 0) {
                secret_trim(text);
                if (system_id_valid(secret_data(text))) {
                        memcpy(ret, secret_data(text), SYSTEM_ID_SIZE + 1);
                        return;
                }
        }
        /* A random one would be a machine that does not exist. */
        if (machine_read(disk_real(), machine_paths_default(), &machine, &why) >= 0 && machine.neighbour_id)
                (void)machine_make_system_id(&machine, disk_real(), ret);
}

/* Calls that make a manager must say whose; without a name GitLab makes up one. */
static int add_system_id(const Session *session, Invocation *invocation, char system_id[static SYSTEM_ID_SIZE + 1])
{
        const Endpoint *endpoint = &invocation->endpoint;

        find_system_id(session, system_id);
        if (strcmp(endpoint->method, "POST") != 0 || endpoint->credential != CREDENTIAL_AUTHENTICATION_TOKEN ||
                invocation_argument(invocation, "system_id"))
                return EXIT_DONE;
        if (!*system_id)
                return invocation_usage(&invocation->command, "--system-id is needed: this machine has none yet");
        invocation_set(invocation, (Argument){.name = "system_id", .text = system_id});
        return EXIT_DONE;
}

static int run_call(Session *session, Invocation *invocation)
{
        char system_id[SYSTEM_ID_SIZE + 1];

        int code = add_system_id(session, invocation, system_id);
        if (code != EXIT_DONE)
                return code;
        if (invocation->dry_run)
                return runners_dry_run(session, invocation);
        if (strcmp(invocation->command.name, "delete") == 0)
                code = runners_check_delete(session, invocation, *system_id ? system_id : NULL);
        return code == EXIT_DONE ? runners_call(session, invocation) : code;
}

static int run_invocation(Session *session, Invocation *invocation)
{
        int code = session_read_secrets(session, &invocation->endpoint);
        if (code != EXIT_DONE)
                return code;
        if (invocation->command.prune)
                return runners_prune(session, invocation);
        if (invocation->endpoint.shape == SHAPE_LIST && !invocation->dry_run) {
                if (invocation->n_ids > 0)
                        invocation_set_id(invocation, invocation->ids[0]);
                return runners_list(session, invocation);
        }
        return run_call(session, invocation);
}

static int run_command(const CliContext *context, const RunnersCommand *command, int argc, char **argv)
{
        _cleanup_(invocation_done) Invocation invocation = {0};
        _cleanup_(session_done) Session session = {0};

        int code = invocation_parse(command, argc, argv, &invocation);
        if (code != EXIT_DONE)
                return code;
        if (invocation.help) {
                runners_help_command(command);
                return EXIT_DONE;
        }
        if (!invocation.dry_run && cli_is_image_build(&code))
                return code;
        code = session_open(context, &invocation, &session);
        return code == EXIT_DONE ? run_invocation(&session, &invocation) : code;
}

int cli_runners(const CliContext *context, int argc, char **argv)
{
        RunnersCommand command;

        /* Whoever reads our rows may stop reading, and a server may hang up: both are errors, not our end. */
        (void)signal(SIGPIPE, SIG_IGN);
        if (argc < 2)
                return cli_usage("runners", "which command?");
        if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
                runners_help();
                return EXIT_DONE;
        }
        if (strcmp(argv[1], "--describe") == 0) {
                runners_describe();
                return EXIT_DONE;
        }
        if (!runners_command_find(argv[1], &command))
                return cli_usage("runners", "there is no such command");
        return run_command(context, &command, argc - 2, argv + 2);
}
