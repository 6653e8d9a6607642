/* Reads the command line, hands over to the command, returns its exit code. */

#include <curl/curl.h>
#include <fcntl.h>
#include <getopt.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "agent/cli/cli.h"
#include "agent/cli/runners.h"
#include "agent/version.h"

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
        for (size_t i = 0; i < ELEMENTS(commands); i++)
                if (strcmp(commands[i].name, argv[0]) == 0) {
                        /* The command reads its own options from its own start. */
                        optind = 0;
                        return commands[i].command(context, argc, argv);
                }
        (void)fprintf(stderr, "runner-registrar: '%.40s' is no command. See `runner-registrar --help`.\n", argv[0]);
        return EXIT_USAGE;
}

int main(int argc, char **argv)
{
        static const struct option options[] = {
                {"config", required_argument, NULL, 'c'},
                {"log-level", required_argument, NULL, 'l'},
                {"help", no_argument, NULL, 'h'},
                {"version", no_argument, NULL, 'v'},
                {},
        };
        _cleanup_(log_freep) Log *log = NULL;
        _cleanup_free_ const char **files = calloc((size_t)argc + 1, sizeof(*files));
        size_t n_files = 0;
        int option, level, r;

        (void)setlocale(LC_CTYPE, "");
        r = open_standard_streams();
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

        while ((option = getopt_long(argc, argv, "+c:h", options, NULL)) >= 0)
                switch (option) {
                case 'c':
                        files[n_files++] = optarg;
                        break;
                case 'l':
                        if (log_level_from_string(optarg, &level) < 0) {
                                (void)fprintf(stderr,
                                        "runner-registrar: --log-level: expected err, warning, info or debug\n");
                                return EXIT_USAGE;
                        }
                        log_set_level(log, level);
                        break;
                case 'h':
                        print_help();
                        return EXIT_DONE;
                case 'v':
                        (void)printf("runner-registrar %s\n", VERSION);
                        return EXIT_DONE;
                default:
                        return EXIT_USAGE;
                }
        if (optind >= argc) {
                (void)fprintf(stderr, "runner-registrar: which command? See `runner-registrar --help`.\n");
                return EXIT_USAGE;
        }
        CliContext context = {.log = log, .config_files = n_files > 0 ? files : NULL};
        int code = run_command(&context, argc - optind, argv + optind);
        /* Output that could not be written is no answer. */
        if (fflush(stdout) != 0 || ferror(stdout)) {
                (void)fprintf(stderr, "runner-registrar: Failed to write the output: %s\n", strerror(errno));
                return code == EXIT_DONE ? EXIT_FAILED : code;
        }
        return code;
}
