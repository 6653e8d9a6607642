/* Reads the command line, hands over to the command, returns its exit code. */

#include <curl/curl.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "agent/cli/cli.h"
#include "agent/cli/runners.h"
#include "agent/version.h"
#include "config/value.h"

static const struct {
        const char *name;
        CliCommand command;
        const char *does;
} commands[] = {
        {"run", cli_run, "the agent: enrol, verify, rotate, and withdraw at the end"},
        {"register", cli_register, "enrol what is not enrolled, once"},
        {"verify", cli_verify, "ask GitLab about each runner now"},
        {"rotate", cli_rotate, "replace the authentication token now"},
        {"deregister", cli_deregister, "withdraw now"},
        {"wait", cli_wait, "block until every runner is enrolled"},
        {"status", cli_status, "what each runner is doing, and what happens next"},
        {"check", cli_check, "validate the configuration, print every mistake"},
        {"seal", cli_seal, "prepare an image: remove what is this machine's"},
        {"runners", cli_runners, "GitLab's Runners API from the shell"},
};

static void print_help(void)
{
        (void)printf("Usage: runner-registrar [-c FILE]… [--log-level L] COMMAND [OPTIONS] [NAME…]\n"
                     "\n"
                     "Keeps GitLab runners registered for exactly as long as their host lives.\n"
                     "\n"
                     "Commands:\n");
        for (size_t i = 0; i < ELEMENTS(commands); i++)
                (void)printf("  %-12s %s\n", commands[i].name, commands[i].does);
        (void)printf(
                "\n"
                "Options:\n"
                "  -c, --config FILE   read this file instead of those in /etc/runner-registrar; may be repeated\n"
                "  --log-level L       err, warning, info (the default) or debug\n"
                "  --help              this text; after a command, the command's\n"
                "  --version           the version\n"
                "\n"
                "Exit: 0 done, 1 failed, 2 wrong usage, 75 try again, 77 refused by GitLab, 78 configuration "
                "wrong.\n");
}

/* Descriptors 0 to 2 are there, whoever started us: else the first file opened would become somebody's stderr. */
static int open_standard_streams(void)
{
        for (;;) {
                int fd = open("/dev/null", O_RDWR);

                if (fd < 0)
                        return -errno;
                if (fd > STDERR_FILENO) {
                        (void)close(fd);
                        return 0;
                }
        }
}

static int run_command(const CliContext *context, int argc, char **argv)
{
        char quoted[VALUE_QUOTE_MAX];

        for (size_t i = 0; i < ELEMENTS(commands); i++)
                if (strcmp(commands[i].name, argv[0]) == 0) {
                        /* The command reads its own options from its own start. */
                        optind = 0;
                        return commands[i].command(context, argc, argv);
                }
        return cli_usage(NULL, "%s is no command", value_quote(argv[0], quoted));
}

/* Reads what stands before the command, into LOG and FILES (room for one a word). Whether a command is to run; else
 * *ret_code is the exit code. */
static bool read_options(int argc, char **argv, Log *log, const char **files, int *ret_code)
{
        static const struct option options[] = {
                {"config", required_argument, NULL, 'c'},
                {"log-level", required_argument, NULL, 'l'},
                {"help", no_argument, NULL, 'h'},
                {"version", no_argument, NULL, 'v'},
                {},
        };
        int option, level;

        *ret_code = EXIT_DONE;
        while ((option = cli_option(NULL, argc, argv, "+:c:h", options)) >= 0)
                switch (option) {
                case 'c':
                        *files++ = optarg;
                        break;
                case 'l':
                        if (log_level_from_string(optarg, &level) < 0) {
                                *ret_code = cli_usage(NULL, "--log-level: expected err, warning, info or debug");
                                return false;
                        }
                        log_set_level(log, level);
                        break;
                case 'h':
                        print_help();
                        return false;
                case 'v':
                        (void)printf("runner-registrar %s\n", VERSION);
                        return false;
                default:
                        *ret_code = EXIT_USAGE;
                        return false;
                }
        if (optind < argc)
                return true;
        *ret_code = cli_usage(NULL, "which command?");
        return false;
}

int main(int argc, char **argv)
{
        _cleanup_(log_freep) Log *log = NULL;
        _cleanup_free_ const char **files = calloc((size_t)argc + 1, sizeof(*files));
        int code;

        (void)setlocale(LC_CTYPE, "");
        int r = open_standard_streams();
        if (r < 0) {
                (void)fprintf(stderr, "runner-registrar: Failed to open '/dev/null': %s\n", strerror(-r));
                return EXIT_FAILED;
        }
        if (!files)
                return cli_out_of_memory(NULL);
        /* Tokens are in our memory: no core file, no ptrace by a job that runs as the same user. */
        (void)prctl(PR_SET_DUMPABLE, 0);
        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || log_new(STDERR_FILENO, LOG_STYLE_AUTO, &log) < 0)
                return cli_out_of_memory(NULL);

        if (read_options(argc, argv, log, files, &code)) {
                const CliContext context = {.log = log, .config_files = files[0] ? files : NULL};

                code = run_command(&context, argc - optind, argv + optind);
        }
        /* Output that could not be written is no answer. */
        if (fflush(stdout) != 0 || ferror(stdout)) {
                (void)fprintf(stderr, "runner-registrar: Failed to write the output: %s\n", strerror(errno));
                return code == EXIT_DONE ? EXIT_FAILED : code;
        }
        return code;
}
