#include "agent/cli/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/host/machine.h"
#include "config/load.h"
#include "config/value.h"

int cli_usage(const char *command, const char *format, ...)
{
        va_list arguments;

        (void)fprintf(stderr, "runner-registrar%s%s: ", command ? " " : "", command ? command : "");
        va_start(arguments, format);
        (void)vfprintf(stderr, format, arguments);
        va_end(arguments);
        (void)fprintf(stderr, "\nSee `runner-registrar%s%s --help`.\n", command ? " " : "", command ? command : "");
        return EXIT_USAGE;
}

int cli_option(const char *command, int argc, char **argv, const char *short_options, const struct option *options)
{
        opterr = 0;
        int option = getopt_long(argc, argv, short_options, options, NULL);
        if (option != '?' && option != ':')
                return option;

        /* With several letters behind one dash it is a word before the one that is meant: then the letter tells. */
        const char *word = argv[optind - 1];
        int size = (int)strcspn(word, "=");
        char name[VALUE_QUOTE_MAX], quoted[VALUE_QUOTE_MAX];

        (void)snprintf(name, sizeof(name), "%.*s", size, word);
        if (option == ':')
                (void)cli_usage(command, "%s needs a value", word);
        else if (optopt == 0)
                (void)cli_usage(command, "%s is no option", value_quote(name, quoted));
        else if (word[0] == '-' && word[1] == '-' && word[size] == '=')
                (void)cli_usage(command, "%s takes no value", name);
        else
                (void)cli_usage(command, "'-%c' is no option", optopt);
        return '?';
}

bool cli_takes_nothing(const char *command, const char *help, const char *why, int argc, char **argv, int *ret_code)
{
        static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {}};
        int option = cli_option(command, argc, argv, ":h", options);

        if (option == 'h') {
                (void)fputs(help, stdout);
                *ret_code = EXIT_DONE;
        } else if (option == '?')
                *ret_code = EXIT_USAGE;
        else if (optind < argc)
                *ret_code = cli_usage(command, "takes no names: %s", why);
        else
                return true;
        return false;
}

int cli_out_of_memory(const char *command)
{
        (void)fprintf(stderr, "runner-registrar%s%s: out of memory\n", command ? " " : "", command ? command : "");
        return EXIT_FAILED;
}

bool cli_is_image_build(int *ret_code)
{
        const MachinePaths *paths = machine_paths_default();
        _cleanup_free_ char *why = NULL;
        bool is_built = false;
        int r = machine_is_image_build(disk_real(), paths, &is_built, &why);

        *ret_code = r < 0 ? EXIT_FAILED : EXIT_DONE;
        if (r < 0) {
                (void)fprintf(stderr, "runner-registrar: Failed to see whether an image is being built: %s\n",
                        why ? why : strerror(-r));
                return true;
        }
        if (!is_built)
                return false;
        (void)fprintf(stderr, "runner-registrar: '%s' exists: an image is being built, nobody is called\n",
                paths->image_build);
        return true;
}

void cli_print_mistakes(const Mistakes *mistakes, FILE *stream)
{
        for (size_t i = 0; i < mistakes->n_items; i++)
                (void)fprintf(stream, "%s\n", mistakes->items[i].text);
        if (mistakes->n_omitted > 0)
                (void)fprintf(stream, "… and %zu more\n", mistakes->n_omitted);
}

int cli_load_config(const CliContext *context, bool allow_no_runner, Config **ret)
{
        _cleanup_mistakes_ Mistakes mistakes = MISTAKES_EMPTY;
        _cleanup_(machine_done) Machine machine = {};
        _cleanup_free_ char *why = NULL;
        int r = machine_read(disk_real(), machine_paths_default(), &machine, &why);

        /* No mistake of the configuration. */
        if (r < 0) {
                (void)fprintf(stderr, "runner-registrar: Failed to start: %s\n", why ? why : strerror(-r));
                return EXIT_FAILED;
        }
        const Specifiers specifiers = {
                .host_name = machine.host_name,
                .machine_id = machine.machine_id,
                .instance_id = machine.instance_id,
        };
        r = config_load(
                context->config_files, &specifiers, allow_no_runner ? CONFIG_ALLOW_NO_RUNNER : 0, ret, &mistakes);
        if (r >= 0)
                return EXIT_DONE;
        cli_print_mistakes(&mistakes, stderr);
        if (r != -EBADMSG)
                (void)fprintf(stderr, "runner-registrar: Failed to load the configuration: %s\n", strerror(-r));
        /* Nothing is wrong with the configuration. */
        return r == -ENOMEM ? EXIT_FAILED : EXIT_CONFIG;
}

int cli_parse_timeout(const char *text, uint64_t *ret_usec)
{
        return value_parse_duration(text, ret_usec);
}
