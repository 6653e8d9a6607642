#pragma once

/* A command line of `runners`, understood: which row of the endpoint table, with which arguments. Values are never
 * quoted in complaints, as one may be a token that was put where it does not belong. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/cli/runners-command.h"
#include "config/source.h"

/* More than any row has parameters. */
#define INVOCATION_ARGUMENTS_MAX 24

/* IDs on one command line. */
#define INVOCATION_IDS_MAX 4096

typedef enum Format {
        FORMAT_AUTO, /* a table on a terminal, else JSON */
        FORMAT_TABLE,
        FORMAT_JSON,
        FORMAT_JSONL,
} Format;

/* What argv holds is borrowed from there. */
typedef struct Invocation {
        RunnersCommand command;
        Endpoint endpoint; /* the row chosen, as the asked API version has it */
        bool help;

        Argument arguments[INVOCATION_ARGUMENTS_MAX]; /* the last ones may be set by the program */
        size_t n_arguments;
        char **lists[INVOCATION_ARGUMENTS_MAX]; /* owns */
        int64_t *ids;
        size_t n_ids;

        const char *url;
        const char *tls_ca_file;
        SecretSource *access_token; /* NULL: the default */
        SecretSource *token_from;
        const char *token_to;
        bool show_token;
        bool v3;
        bool yes;
        bool dry_run;
        Format format;
        uint64_t limit; /* 0: none */
        uint64_t offline_for_usec;
        int64_t managers_of; /* 0: not asked for */
} Invocation;

/* Reads the words behind the command's name. *RET is for invocation_done() in any case. Returns 0 or an exit code,
 * having said why on stderr. */
int invocation_parse(const RunnersCommand *command, int argc, char **argv, Invocation *ret);
void invocation_done(Invocation *invocation);

/* The argument NAME, or NULL. */
Argument *invocation_argument(Invocation *invocation, const char *name);

/* Sets or adds an argument. There is always room for those that the program adds itself. */
void invocation_set(Invocation *invocation, Argument argument);

/* Sets the one that stands for the ID. */
void invocation_set_id(Invocation *invocation, int64_t id);

/* Prints `runner-registrar runners COMMAND: …` and where help is; returns EXIT_USAGE. */
int invocation_usage(const RunnersCommand *command, const char *format, ...) _printf_(2, 3);
