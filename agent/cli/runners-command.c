#include "agent/cli/runners-command.h"

#include <string.h>

#include "agent/base/cleanup.h"

/* Commands that are another one with a value fixed. */
static const struct {
        const char *name;
        const char *of;
        const char *parameter;
        bool value;
        const char *help;
} presets[] = {
        {"pause", "update", "paused", true, "let a runner take no new jobs"},
        {"resume", "update", "paused", false, "let it take jobs again"},
};

/* What commands of several rows do, taken together. */
static const struct {
        const char *name;
        const char *help;
} titles[] = {
        {"list", "runners: one's own, a group's, a project's or all of the instance"},
        {"delete", "delete runners with all their managers"},
        {"reset-token", "replace a runner's authentication token"},
        {"reset-registration-token", "replace the registration token of a group, a project or the instance"},
};

static const CommonOption common[_COMMON_MAX] = {
        [COMMON_URL] = {"url", "URL", "the GitLab; else the configuration's only one, else $CI_SERVER_URL"},
        [COMMON_ACCESS_TOKEN] = {"access-token", "SOURCE", "where the access token is; else env:GITLAB_TOKEN"},
        [COMMON_TOKEN_FROM] = {"token-from", "SOURCE", "where the runner's, or the registration, token is"},
        [COMMON_TLS_CA_FILE] = {"tls-ca-file", "FILE", "trust this CA besides the system's"},
        [COMMON_API_VERSION] = {"api-version", "v4|v3", "v3 for GitLab 8"},
        [COMMON_OUTPUT] = {"output", "FORMAT", "table, json or jsonl; else a table on a terminal, json elsewhere"},
        [COMMON_LIMIT] = {"limit", "N", "stop after N rows"},
        [COMMON_TOKEN_TO] = {"token-to", "FILE", "write the token to FILE, readable for its owner only"},
        [COMMON_SHOW_TOKEN] = {"show-token", NULL, "print tokens instead of ***"},
        [COMMON_YES] = {"yes", NULL, "do it without asking"},
        [COMMON_OFFLINE_FOR] = {"offline-for", "SPAN", "ghosts are what was not heard of for so long: 7d, 36h"},
        [COMMON_MANAGERS] = {"managers", "ID", "prune this runner's managers instead; takes --token-from"},
        [COMMON_DRY_RUN] = {"dry-run", NULL, "print the request, send nothing"},
        [COMMON_HELP] = {"help", NULL, "this text"},
};

const CommonOption *runners_common(CommonId id)
{
        return &common[id];
}

static bool is_first(EndpointId id)
{
        const char *command = endpoint_get(id)->command;

        for (EndpointId i = 0; i < id; i++) {
                const char *other = endpoint_get(i)->command;

                if (other && strcmp(other, command) == 0)
                        return false;
        }
        return true;
}

static void collect_rows(RunnersCommand *command, const char *name)
{
        for (EndpointId i = 0; i < _ENDPOINT_MAX && command->n_rows < RUNNERS_ROWS_MAX; i++) {
                const Endpoint *row = endpoint_get(i);

                if (!row->command || strcmp(row->command, name) != 0)
                        continue;
                command->rows[command->n_rows++] = row;
                command->several = command->several || row->several;
        }
}

static void take_rows(EndpointId id, RunnersCommand *ret)
{
        *ret = (RunnersCommand){.name = endpoint_get(id)->command, .help = endpoint_get(id)->help};
        for (size_t i = 0; i < ELEMENTS(titles); i++)
                if (strcmp(titles[i].name, ret->name) == 0)
                        ret->help = titles[i].help;
        collect_rows(ret, ret->name);
}

bool runners_command_at(size_t index, RunnersCommand *ret)
{
        for (EndpointId i = 0; i < _ENDPOINT_MAX; i++) {
                if (!endpoint_get(i)->command || !is_first(i))
                        continue;
                if (index-- == 0) {
                        take_rows(i, ret);
                        return true;
                }
                for (size_t k = 0; k < ELEMENTS(presets); k++) {
                        if (strcmp(presets[k].of, endpoint_get(i)->command) != 0 || index-- > 0)
                                continue;
                        take_rows(i, ret);
                        ret->name = presets[k].name;
                        ret->help = presets[k].help;
                        ret->preset = presets[k].parameter;
                        ret->preset_value = presets[k].value;
                        ret->several = true;
                        return true;
                }
        }
        if (index > 0)
                return false;
        *ret = (RunnersCommand){
                .name = "prune", .help = "delete runners that nobody has heard of for long", .prune = true};
        collect_rows(ret, "list");
        return true;
}

bool runners_command_find(const char *name, RunnersCommand *ret)
{
        for (size_t i = 0; runners_command_at(i, ret); i++)
                if (strcmp(ret->name, name) == 0)
                        return true;
        return false;
}

bool runners_command_takes(const RunnersCommand *command, CommonId id)
{
        bool access = command->prune, token = command->prune, returns_token = false, paged = false, deletes = false;

        for (size_t i = 0; i < command->n_rows; i++) {
                const Endpoint *row = command->rows[i];

                access = access || row->credential == CREDENTIAL_ACCESS_TOKEN;
                token = token || row->credential != CREDENTIAL_ACCESS_TOKEN;
                returns_token = returns_token || row->shape == SHAPE_TOKEN;
                paged = paged || row->paged;
                deletes = deletes || (strcmp(row->path, "runners/:id") == 0 && strcmp(row->method, "DELETE") == 0);
        }
        switch (id) {
        case COMMON_ACCESS_TOKEN:
                return access;
        case COMMON_TOKEN_FROM:
                return token;
        case COMMON_LIMIT:
                return paged && !command->prune;
        case COMMON_TOKEN_TO:
                return returns_token;
        case COMMON_YES:
                return command->prune || deletes;
        case COMMON_OFFLINE_FOR:
        case COMMON_MANAGERS:
                return command->prune;
        case COMMON_DRY_RUN:
                /* It is dry by itself. */
                return !command->prune;
        case COMMON_URL:
        case COMMON_TLS_CA_FILE:
        case COMMON_API_VERSION:
        case COMMON_OUTPUT:
        case COMMON_SHOW_TOKEN:
        case COMMON_HELP:
        case _COMMON_MAX:
                break;
        }
        return true;
}

bool runners_command_offers(const RunnersCommand *command, const Parameter *parameter)
{
        if (parameter->internal || parameter->positional || parameter->type == PARAMETER_SECRET)
                return false;
        /* Nothing but the ID may be given beside a value that is fixed. */
        return !command->preset;
}
