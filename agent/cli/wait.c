#include <stdio.h>
#include <string.h>

#include "agent/cli/cli.h"
#include "agent/control-client.h"
#include "config/value.h"

/* How often an agent is looked for that has not come up yet: its socket appears in a folder that may not exist
 * either, so there is nothing to watch. */
#define APPEAR_USEC (200 * USEC_PER_MSEC)

static const char help[] =
        "Usage: runner-registrar wait [--timeout T] [NAME…]\n"
        "\n"
        "Blocks until every runner (or each NAME) is enrolled. Enrols nothing itself: it waits for the agent.\n"
        "\n"
        "  --timeout T   give up after this time (90s, 5min); without it, wait without end\n"
        "\n"
        "Exit: 0 all are enrolled, 75 time ran out, 77 all that is not enrolled was refused.\n";

static int wait_once(const char *runtime_dir, char *const *names, uint64_t timeout_usec, int *ret_code)
{
        _cleanup_close_ int fd = -1;
        _cleanup_json_ json_t *answer = NULL;
        int r = control_connect(runtime_dir, &fd);

        if (r >= 0)
                r = control_ask(fd, "wait", names, false, timeout_usec, &answer);
        if (r < 0)
                return r;
        *ret_code = (int)json_integer_value(json_object_get(answer, "code"));
        const char *message = json_get_text(answer, "message");
        if (message)
                (void)fprintf(stderr, "runner-registrar: %s\n", message);
        return 0;
}

static void nap(uint64_t usec)
{
        struct timespec span = {
                .tv_sec = (time_t)(usec / USEC_PER_SEC), .tv_nsec = (long)(usec % USEC_PER_SEC * 1000)};

        (void)nanosleep(&span, NULL);
}

static int wait_until(const char *runtime_dir, char *const *names, uint64_t timeout_usec)
{
        Now start, now;

        now_read(&start);
        uint64_t until = usec_add(start.boottime_usec, timeout_usec);
        for (;;) {
                int code = EXIT_AGAIN;

                now_read(&now);
                uint64_t left = until == USEC_INFINITY ? USEC_INFINITY : usec_sub(until, now.boottime_usec);
                int r = wait_once(runtime_dir, names, left, &code);
                if (r >= 0)
                        return code;
                if (r == -EACCES || r == -EPERM) {
                        (void)fprintf(stderr, "runner-registrar: Failed to connect to '%s/control': %s\n",
                                runtime_dir, strerror(-r));
                        return EXIT_FAILED;
                }
                now_read(&now);
                if (r == -ETIME || now.boottime_usec >= until) {
                        (void)fprintf(stderr, "runner-registrar: time ran out, not every runner is enrolled\n");
                        return EXIT_AGAIN;
                }
                nap(APPEAR_USEC);
        }
}

int cli_wait(const CliContext *context, int argc, char **argv)
{
        static const struct option options[] = {
                {"timeout", required_argument, NULL, 't'}, {"help", no_argument, NULL, 'h'}, {}};
        _cleanup_(config_freep) Config *config = NULL;
        uint64_t timeout = USEC_INFINITY;
        char quoted[VALUE_QUOTE_MAX];
        int option;

        while ((option = cli_option("wait", argc, argv, ":h", options)) >= 0)
                switch (option) {
                case 't':
                        if (cli_parse_timeout(optarg, &timeout) < 0)
                                return cli_usage("wait", "--timeout: %s is no time; expected one as 90s or 5min",
                                        value_quote(optarg, quoted));
                        break;
                case 'h':
                        (void)fputs(help, stdout);
                        return EXIT_DONE;
                default:
                        return EXIT_USAGE;
                }
        int code;
        if (cli_is_image_build(&code))
                return code;
        code = cli_load_config(context, false, &config);
        if (code != EXIT_DONE)
                return code;
        for (int i = optind; i < argc; i++)
                if (!config_find_runner(config, argv[i]))
                        return cli_usage("wait", "%s is no runner's name", value_quote(argv[i], quoted));
        return wait_until(config->runtime_dir, argv + optind, timeout);
}
