/* register, verify, rotate, deregister: the agent does it if one runs, else one pass under its lock. */

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/cli/cli.h"
#include "agent/control-client.h"
#include "agent/manager.h"
#include "config/value.h"

/* How often, and how long apart, a lock that somebody else has is tried: 10 s in all. */
#define BUSY_TRIES 100
#define BUSY_USEC  (100 * USEC_PER_MSEC)

typedef struct Act {
        const char *name;
        Command command;
        const char *help;
        const char *done; /* said of each runner when all went well */
} Act;

static void print_result(const Act *act, const char *name, int code, const char *message)
{
        if (code == EXIT_DONE)
                (void)printf("%s: %s\n", name, message ? message : act->done);
        else
                /* Every failure has its words, if there is memory for them. */
                (void)fprintf(stderr, "runner-registrar: runner '%s': %s\n", name,
                        message ? message : "it failed, and there was no memory to say why");
}

/* ---- through the agent ---- */

static int print_answer(const Act *act, const json_t *answer)
{
        const char *message = json_get_text(answer, "message");
        int code = (int)json_integer_value(json_object_get(answer, "code"));
        const json_t *runner;
        size_t i;

        if (message)
                (void)fprintf(stderr, "runner-registrar %s: %s\n", act->name, message);
        json_array_foreach (json_object_get(answer, "runners"), i, runner) {
                const char *name = json_get_text(runner, "name");

                print_result(act, name ? name : "?", (int)json_integer_value(json_object_get(runner, "code")),
                        json_get_text(runner, "message"));
        }
        return code;
}

/* *ret_code is set if there is an agent; else a negative errno says that there is none. */
static int ask_agent(const Act *act, const char *runtime_dir, const OrderRequest *request, int *ret_code)
{
        _cleanup_close_ int fd = -1;
        _cleanup_json_ json_t *answer = NULL;
        int r = control_connect(runtime_dir, &fd);

        if (r < 0)
                return r;
        r = control_ask(fd, act->name, request->names, request->drain, request->timeout_usec, &answer);
        if (r == -ETIME) {
                (void)fprintf(stderr, "runner-registrar %s: time ran out; the agent goes on with it\n", act->name);
                *ret_code = EXIT_AGAIN;
        } else if (r < 0) {
                (void)fprintf(
                        stderr, "runner-registrar %s: the agent does not answer: %s\n", act->name, strerror(-r));
                *ret_code = EXIT_FAILED;
        } else
                *ret_code = print_answer(act, answer);
        return 0;
}

/* ---- without one ---- */

typedef struct Pass {
        const Act *act;
        int code;
        bool answered;
} Pass;

static void on_pass_done(void *userdata, const OrderResult *results, size_t n, const char *note)
{
        Pass *pass = userdata;

        pass->answered = true;
        if (note)
                (void)fprintf(stderr, "runner-registrar %s: %s\n", pass->act->name, note);
        for (size_t i = 0; i < n; i++) {
                pass->code = exit_code_worse(pass->code, results[i].code);
                print_result(pass->act, results[i].name, results[i].code, results[i].message);
        }
}

/* Sets *ret_code; -EBUSY: an agent, or another pass, has the lock. */
static int pass(const CliContext *context, const Act *act, Config **config, const OrderRequest *request,
        char **reterr, int *ret_code)
{
        _cleanup_(manager_freep) Manager *manager = NULL;
        _cleanup_free_ char *why = NULL;
        const ManagerOptions options = {.log = context->log, .config_files = context->config_files, .once = true};
        Pass state = {.act = act};
        int r = manager_new(&options, *config, &manager, reterr);

        if (r < 0)
                return r;
        (void)take_ptr(*config);
        int code = manager_pass(manager, request, on_pass_done, &state, &why);
        if (why)
                (void)fprintf(stderr, "runner-registrar %s: %s\n", act->name, why);
        else if (code == EXIT_FAILED && !state.answered)
                (void)cli_out_of_memory(act->name);
        if (code == EXIT_AGAIN && !state.answered)
                (void)fprintf(stderr, "runner-registrar %s: time ran out\n", act->name);
        *ret_code = state.answered ? state.code : code;
        return 0;
}

static void nap(uint64_t usec)
{
        struct timespec span = {.tv_nsec = (long)(usec * 1000)};

        (void)nanosleep(&span, NULL);
}

/* The agent if one runs, else a pass. One that has the lock and no socket yet is just starting, and another pass ends
 * by itself: both are worth a little patience. */
static int carry_out(const CliContext *context, const Act *act, Config **config, const OrderRequest *request)
{
        for (unsigned tries = 0;; tries++) {
                _cleanup_free_ char *why = NULL;
                int code;

                if (ask_agent(act, (*config)->runtime_dir, request, &code) >= 0)
                        return code;
                int r = pass(context, act, config, request, &why, &code);
                if (r >= 0)
                        return code;
                if (r != -EBUSY || tries >= BUSY_TRIES) {
                        (void)fprintf(stderr, "runner-registrar %s: %s\n", act->name, why ? why : strerror(-r));
                        return r == -EINVAL ? EXIT_CONFIG : EXIT_FAILED;
                }
                nap(BUSY_USEC);
        }
}

static int run_act(const CliContext *context, const Act *act, int argc, char **argv)
{
        static const struct option options[] = {{"drain", no_argument, NULL, 'd'},
                {"timeout", required_argument, NULL, 't'}, {"help", no_argument, NULL, 'h'}, {}};
        _cleanup_(config_freep) Config *config = NULL;
        OrderRequest request = {.command = act->command, .timeout_usec = USEC_INFINITY};
        char quoted[VALUE_QUOTE_MAX];
        int option, code;

        while ((option = cli_option(act->name, argc, argv, ":h", options)) >= 0)
                switch (option) {
                case 'd':
                        if (act->command != COMMAND_DEREGISTER)
                                return cli_usage(act->name, "--drain belongs to deregister");
                        request.drain = true;
                        break;
                case 't':
                        if (act->command != COMMAND_DEREGISTER)
                                return cli_usage(act->name, "--timeout belongs to deregister and wait");
                        if (cli_parse_timeout(optarg, &request.timeout_usec) < 0)
                                return cli_usage(act->name, "--timeout: %s is no time; expected one as 90s or 5min",
                                        value_quote(optarg, quoted));
                        break;
                case 'h':
                        (void)fputs(act->help, stdout);
                        return EXIT_DONE;
                default:
                        return EXIT_USAGE;
                }
        for (int i = optind; i < argc; i++)
                if (!value_is_name(argv[i]))
                        return cli_usage(act->name, "a NAME given is none that a runner can have");
        if (cli_is_image_build(&code))
                return code;
        code = cli_load_config(context, act->command == COMMAND_DEREGISTER, &config);
        if (code != EXIT_DONE)
                return code;
        request.names = argv + optind;
        return carry_out(context, act, &config, &request);
}

int cli_register(const CliContext *context, int argc, char **argv)
{
        static const Act act = {
                .name = "register",
                .command = COMMAND_REGISTER,
                .done = "enrolled",
                .help = "Usage: runner-registrar register [NAME…]\n"
                        "\n"
                        "One pass: enrols what is not enrolled, then ends; nothing to do is success. A token that "
                        "GitLab\n"
                        "refuses is reported and left alone.\n"
                        "\n"
                        "Exit: 0 all are enrolled, 75 GitLab could not be asked, 77 it refused one, 78 a token can't "
                        "be read.\n",
        };

        return run_act(context, &act, argc, argv);
}

int cli_verify(const CliContext *context, int argc, char **argv)
{
        static const Act act = {
                .name = "verify",
                .command = COMMAND_VERIFY,
                .done = "GitLab accepts the token",
                .help = "Usage: runner-registrar verify [NAME…]\n"
                        "\n"
                        "Asks GitLab about each runner now.\n"
                        "\n"
                        "Exit: 0 all tokens work, 77 GitLab does not know one, 75 it could not be asked.\n",
        };

        return run_act(context, &act, argc, argv);
}

int cli_rotate(const CliContext *context, int argc, char **argv)
{
        static const Act act = {
                .name = "rotate",
                .command = COMMAND_ROTATE,
                .done = "the token is rotated",
                .help = "Usage: runner-registrar rotate [NAME…]\n"
                        "\n"
                        "Replaces the authentication token now. Refuses (exit 1) where other hosts share the token, "
                        "unless\n"
                        "`rotation = always`.\n"
                        "\n"
                        "Exit: 0 all are rotated, 1 one may not be, 75 GitLab could not be asked, 77 it refused "
                        "one.\n",
        };

        return run_act(context, &act, argc, argv);
}

int cli_deregister(const CliContext *context, int argc, char **argv)
{
        static const Act act = {
                .name = "deregister",
                .command = COMMAND_DEREGISTER,
                .done = "withdrawn",
                .help = "Usage: runner-registrar deregister [--drain] [--timeout T] [NAME…]\n"
                        "\n"
                        "Withdraws now: the entry leaves config.toml, then GitLab forgets the runner, or this "
                        "machine where\n"
                        "the runner is shared. Stays withdrawn until `register` or the next start of the service.\n"
                        "\n"
                        "  --drain       first let gitlab-runner finish its jobs and stop it. What still runs at\n"
                        "                `drain_timeout`, or as T demands, is aborted; the exit code stays that of "
                        "the\n"
                        "                withdrawal\n"
                        "  --timeout T   be done, or stop waiting, within this time (90s, 5min)\n"
                        "\n"
                        "Exit: 0 nothing of it is left in GitLab, 75 what is left is remembered and deleted "
                        "later.\n",
        };

        return run_act(context, &act, argc, argv);
}
