#pragma once

/* The commands. Answers go to stdout, everything else to stderr; the exit code is the answer for scripts. */

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "agent/base/log.h"
#include "agent/core/exit-code.h"
#include "agent/core/lifecycle.h"
#include "config/config.h"
#include "config/mistakes.h"

/* What stands before the command. All borrowed. */
typedef struct CliContext {
        Log *log;
        const char *const *config_files; /* -c …, NULL-terminated; NULL: the default search */
} CliContext;

/* A command: ARGV[0] is its name. Returns the exit code. */
typedef int (*CliCommand)(const CliContext *context, int argc, char **argv);

int cli_run(const CliContext *context, int argc, char **argv);
int cli_register(const CliContext *context, int argc, char **argv);
int cli_verify(const CliContext *context, int argc, char **argv);
int cli_rotate(const CliContext *context, int argc, char **argv);
int cli_deregister(const CliContext *context, int argc, char **argv);
int cli_wait(const CliContext *context, int argc, char **argv);
int cli_status(const CliContext *context, int argc, char **argv);
int cli_check(const CliContext *context, int argc, char **argv);
int cli_seal(const CliContext *context, int argc, char **argv);

/* Loads the configuration and prints every mistake to stderr. Returns 0 or an exit code. */
int cli_load_config(const CliContext *context, bool allow_no_runner, Config **ret);

void cli_print_mistakes(const Mistakes *mistakes, FILE *stream);

/* As getopt_long(), but complains in our own words (COMMAND as for cli_usage()) before it returns '?'. What stands
 * behind `=` is not repeated: it may be a token that somebody put where none belongs. SHORT_OPTIONS begins with ':'
 * (or
 * "+:", to stop at the first word that is none). */
int cli_option(const char *command, int argc, char **argv, const char *short_options, const struct option *options);

/* For a command that takes nothing but --help (and then prints HELP): whether it is to go on. Else *ret_code is the
 * exit code. WHY says why there are no names. */
bool cli_takes_nothing(const char *command, const char *help, const char *why, int argc, char **argv, int *ret_code);

/* Prints `runner-registrar COMMAND: …` and where help is; returns EXIT_USAGE. COMMAND NULL: of the program. */
int cli_usage(const char *command, const char *format, ...) _printf_(2, 3);

/* Says so on behalf of COMMAND (NULL: of the program); returns EXIT_FAILED. */
int cli_out_of_memory(const char *command);

/* Whether nobody may be called, said in one line: an image is being built, or the disk can't tell. *ret_code is the
 * exit code then. */
bool cli_is_image_build(int *ret_code);

/* Reads the value of --timeout. Returns 0 or -EINVAL. */
int cli_parse_timeout(const char *text, uint64_t *ret_usec);
