#include <stdio.h>
#include <string.h>

#include "agent/base/disk.h"
#include "agent/cli/check-online.h"
#include "agent/cli/cli.h"
#include "agent/host/machine.h"
#include "agent/template-file.h"
#include "config/load.h"

static const char help[] =
        "Usage: runner-registrar check [--online]\n"
        "\n"
        "Validates the configuration and prints every mistake.\n"
        "\n"
        "  --online   also try the url, TLS, and what of the tokens can be tried without changing anything at "
        "GitLab\n"
        "\n"
        "Exit: 0 all is well, 78 the configuration is wrong; with --online also 75, 77 and 1 as everywhere.\n";

static void add(
        Mistakes *mistakes, const RunnerConfig *runner, const Config *config, const char *key, const char *what)
{
        const char *file = runner->file;
        unsigned line = runner->line;
        char subject[80];

        (void)config_place(config, runner, key, &file, &line);
        (void)snprintf(subject, sizeof(subject), "runner %s.%s", runner->name, key);
        (void)mistakes_add(mistakes, file, line, subject, "%s", what);
}

/* What the files and sources behind the settings hold. Returns how many sources could not be tried here. */
static unsigned check_runner(const Config *config, const RunnerConfig *runner, Mistakes *mistakes)
{
        _cleanup_secret_ Secret *body = NULL, *token = NULL;
        _cleanup_free_ char *why = NULL, *sentence = NULL, *name = NULL;
        const char *key;
        const SecretSource *source = runner_config_secret(runner, &key);

        if (template_file_merge(disk_real(), runner, &body, &why) < 0 && why)
                add(mistakes, runner, config, runner->template ? "template" : "executor", why);
        int r = secret_source_read(source, &token, &sentence);
        if (r >= 0)
                return 0;
        if (r != -ENOKEY && r != -EOPNOTSUPP) {
                add(mistakes, runner, config, key, sentence ? sentence : strerror(-r));
                return 0;
        }
        (void)secret_source_describe(source, &name);
        (void)printf("%s: %s (%s) is not tried here: %s\n", runner->name, key, name ? name : "?",
                r == -ENOKEY ? "systemd hands it to the unit only; `systemctl status runner-registrar` tells whether "
                               "it came"
                             : "the program is not run; --online does");
        return 1;
}

static int check(const CliContext *context, Config **ret)
{
        _cleanup_mistakes_ Mistakes mistakes = MISTAKES_EMPTY;
        _cleanup_(config_freep) Config *config = NULL;
        _cleanup_(machine_done) Machine machine = {};
        _cleanup_free_ char *why = NULL;
        int r = machine_read(disk_real(), machine_paths_default(), &machine, &why);

        if (r >= 0) {
                const Specifiers specifiers = {
                        .host_name = machine.host_name,
                        .machine_id = machine.machine_id,
                        .instance_id = machine.instance_id,
                };

                r = config_load(context->config_files, &specifiers, 0, &config, &mistakes);
        }
        for (size_t i = 0; r >= 0 && i < config->n_runners; i++)
                (void)check_runner(config, config->runners[i], &mistakes);
        if (r < 0 && r != -EBADMSG) {
                (void)fprintf(stderr, "runner-registrar check: %s\n", why ? why : strerror(-r));
                return EXIT_FAILED;
        }
        if (mistakes.n_items > 0) {
                mistakes_sort(&mistakes);
                cli_print_mistakes(&mistakes, stdout);
                return EXIT_CONFIG;
        }
        *ret = take_ptr(config);
        return EXIT_DONE;
}

int cli_check(const CliContext *context, int argc, char **argv)
{
        static const struct option options[] = {
                {"online", no_argument, NULL, 'o'}, {"help", no_argument, NULL, 'h'}, {}};
        _cleanup_(config_freep) Config *config = NULL;
        bool online = false;
        int option;

        while ((option = cli_option("check", argc, argv, ":h", options)) >= 0)
                switch (option) {
                case 'o':
                        online = true;
                        break;
                case 'h':
                        (void)fputs(help, stdout);
                        return EXIT_DONE;
                default:
                        return EXIT_USAGE;
                }
        if (optind < argc)
                return cli_usage("check", "takes no names: a configuration is checked as a whole");
        int code = check(context, &config);
        if (code != EXIT_DONE)
                return code;
        (void)printf("The configuration is valid: %zu runner%s in %zu file%s.\n", config->n_runners,
                config->n_runners == 1 ? "" : "s", config->n_files, config->n_files == 1 ? "" : "s");
        if (!online || cli_is_image_build(&code))
                return code;
        return check_online(context, config);
}
