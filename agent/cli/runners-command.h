#pragma once

/* The words of `runners`, read off the endpoint table: a row names its command, rows of one command are told apart by
 * an option. Only what is made of several calls, or of one with a value fixed, is listed here. */

#include <stdbool.h>
#include <stddef.h>

#include "agent/core/endpoint.h"

#define RUNNERS_ROWS_MAX 4

typedef struct RunnersCommand {
        const char *name;
        const char *help;
        const Endpoint *rows[RUNNERS_ROWS_MAX];
        size_t n_rows;
        const char *preset; /* a parameter that this command sets; NULL: none */
        bool preset_value;
        bool several; /* takes several IDs */
        bool prune;
} RunnersCommand;

/* The command number INDEX, in the order of help. False: there are no more. */
bool runners_command_at(size_t index, RunnersCommand *ret);

/* False: there is none of that name. */
bool runners_command_find(const char *name, RunnersCommand *ret);

/* Options that all commands share, or all of which something holds. */
typedef enum CommonId {
        COMMON_URL,
        COMMON_ACCESS_TOKEN,
        COMMON_TOKEN_FROM,
        COMMON_TLS_CA_FILE,
        COMMON_API_VERSION,
        COMMON_OUTPUT,
        COMMON_LIMIT,
        COMMON_TOKEN_TO,
        COMMON_SHOW_TOKEN,
        COMMON_YES,
        COMMON_OFFLINE_FOR,
        COMMON_MANAGERS,
        COMMON_DRY_RUN,
        COMMON_HELP,
        _COMMON_MAX,
} CommonId;

typedef struct CommonOption {
        const char *name;
        const char *value; /* what stands behind it; NULL: nothing does */
        const char *help;
} CommonOption;

const CommonOption *runners_common(CommonId id);

/* Whether COMMAND takes the option at all. */
bool runners_command_takes(const RunnersCommand *command, CommonId id);

/* Whether PARAMETER is an option of COMMAND: given by nobody else, and not fixed. */
bool runners_command_offers(const RunnersCommand *command, const Parameter *parameter);
