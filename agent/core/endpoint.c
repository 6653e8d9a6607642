#include "agent/core/endpoint.h"

#include <stdio.h>
#include <string.h>

static const char *const runner_types[] = {"instance_type", "group_type", "project_type", NULL};
static const char *const access_levels[] = {"not_protected", "ref_protected", NULL};
static const char *const scopes[] = {"active", "paused", "online", "offline", "never_contacted", "stale", "shared",
        "specific", "instance_type", "group_type", "project_type", NULL};
static const char *const statuses[] = {
        "online", "offline", "stale", "never_contacted", "active", "paused", "not_connected", NULL};
static const char *const orders[] = {"id", NULL};
static const char *const sorts[] = {"asc", "desc", NULL};
static const char *const paginations[] = {"keyset", NULL};

/* Rows of parameters, so that each reads as one line. */
#define TEXT(key, text, ...)                                                                                         \
        {                                                                                                            \
                .name = key, .type = PARAMETER_TEXT, .place = PLACE_BODY, .help = text, __VA_ARGS__                  \
        }
#define BOOLEAN(key, text, ...)                                                                                      \
        {                                                                                                            \
                .name = key, .type = PARAMETER_BOOLEAN, .place = PLACE_BODY, .help = text, __VA_ARGS__               \
        }
#define INTEGER(key, text, ...)                                                                                      \
        {                                                                                                            \
                .name = key, .type = PARAMETER_INTEGER, .place = PLACE_BODY, .help = text, __VA_ARGS__               \
        }
#define WORD(key, choice, text, ...)                                                                                 \
        {                                                                                                            \
                .name = key, .type = PARAMETER_WORD, .place = PLACE_BODY, .words = choice, .help = text, __VA_ARGS__ \
        }
#define QUERY(key, kind, text, ...)                                                                                  \
        {                                                                                                            \
                .name = key, .type = PARAMETER_##kind, .place = PLACE_QUERY, .help = text, __VA_ARGS__               \
        }
#define ID(key, text)                                                                                                \
        {                                                                                                            \
                .name = key, .type = PARAMETER_INTEGER, .place = PLACE_PATH, .required = true, .min = 1,             \
                .positional = true, .help = text                                                                     \
        }
#define NAMESPACE(kind, text)                                                                                        \
        {                                                                                                            \
                .name = "id", .type = PARAMETER_NAMESPACE, .place = PLACE_PATH, .required = true, .option = kind,    \
                .help = text                                                                                         \
        }
#define TOKEN(text)                                                                                                  \
        {                                                                                                            \
                .name = "token", .type = PARAMETER_SECRET, .place = PLACE_BODY, .required = true, .help = text       \
        }
#define SYSTEM_ID(...)                                                                                               \
        TEXT("system_id", "the machine, as gitlab-runner names it", .max = 64, .strict = true, __VA_ARGS__)
#define INFO                                                                                                         \
        {                                                                                                            \
                .name = "info", .type = PARAMETER_OBJECT, .place = PLACE_BODY,                                       \
                .help = "what the machine's runner is, a JSON object"                                                \
        }
#define DESCRIPTION(...) TEXT("description", "what people see", .max = 1024, __VA_ARGS__)
#define NOTE(...)                                                                                                    \
        TEXT("maintenance_note", "a note for other maintainers", .max = 1024, .since = RELEASE(15, 0), __VA_ARGS__)
#define RUN_UNTAGGED(...) BOOLEAN("run_untagged", "also take jobs without tags", .since = RELEASE(8, 6), __VA_ARGS__)
#define LOCKED(...)       BOOLEAN("locked", "can't be assigned to further projects", .since = RELEASE(8, 9), __VA_ARGS__)
#define PAUSED(...)       BOOLEAN("paused", "take no new jobs", .since = RELEASE(14, 8), __VA_ARGS__)
#define ACTIVE(...)       BOOLEAN("active", "take jobs (older name for not paused)", .deprecated = true, __VA_ARGS__)
#define ACCESS_LEVEL(...)                                                                                            \
        WORD("access_level", access_levels, "whether only jobs of protected refs are taken",                         \
                .since = RELEASE(10, 1), __VA_ARGS__)
#define TIMEOUT(...)                                                                                                 \
        INTEGER("maximum_timeout", "seconds a job may take, 600 or more, or none", .min = 600, .nullable = true,     \
                .since = RELEASE(10, 7), __VA_ARGS__)
#define END                                                                                                          \
        {                                                                                                            \
                .name = NULL                                                                                         \
        }

#define FILTERS                                                                                                      \
        QUERY("type", WORD, "only runners of this type", .words = runner_types, .since = RELEASE(11, 4)),            \
                QUERY("status", WORD, "only runners in this state", .words = statuses, .since = RELEASE(11, 4)),     \
                QUERY("paused", BOOLEAN, "only paused runners, or only others", .since = RELEASE(14, 8)),            \
                QUERY("tag_list", LIST, "only runners with all of these tags", .since = RELEASE(11, 4)),             \
                QUERY("version_prefix", TEXT, "only managers of this version", .since = RELEASE(16, 0))
#define SCOPE QUERY("scope", WORD, "older form of type and status", .words = scopes, .deprecated = true)
#define PAGES                                                                                                        \
        QUERY("page", INTEGER, "which page", .min = 1, .internal = true),                                            \
                QUERY("per_page", INTEGER, "rows on a page (1 … 100)", .min = 1, .internal = true)

static const Parameter list_parameters[] = {SCOPE, FILTERS, PAGES, END};
static const Parameter list_project_parameters[] = {
        NAMESPACE("project", "the project, by number or full path"), SCOPE, FILTERS, PAGES, END};
static const Parameter list_group_parameters[] = {
        NAMESPACE("group", "the group, by number or full path"), FILTERS, PAGES, END};
static const Parameter id_parameters[] = {ID("id", "the runner"), END};
static const Parameter show_parameters[] = {
        ID("id", "the runner"),
        QUERY("include_projects", BOOLEAN, "whether to list its projects", .since = RELEASE(18, 0)),
        END,
};
static const Parameter update_parameters[] = {
        ID("id", "the runner"),
        DESCRIPTION(.alone = true),
        ACTIVE(.alone = true, .excludes = "paused"),
        PAUSED(.alone = true, .excludes = "active"),
        {.name = "tag_list", .type = PARAMETER_LIST, .place = PLACE_BODY, .alone = true, .help = "all tags, anew"},
        RUN_UNTAGGED(.alone = true),
        LOCKED(.alone = true),
        ACCESS_LEVEL(.alone = true),
        TIMEOUT(.alone = true),
        NOTE(.alone = true),
        END,
};
static const Parameter jobs_parameters[] = {
        ID("id", "the runner"),
        QUERY("status", TEXT, "only jobs in this state (running, success, failed, canceled …)"),
        QUERY("system_id", TEXT, "only jobs of this manager", .since = RELEASE(17, 0), .max = 64, .strict = true),
        QUERY("order_by", WORD, "what to sort by", .words = orders),
        QUERY("sort", WORD, "which way; GitLab heeds it only beside order_by", .words = sorts),
        QUERY("pagination", WORD, "how to page", .words = paginations, .since = RELEASE(17, 0)),
        QUERY("cursor", TEXT, "where to go on", .since = RELEASE(17, 0), .internal = true),
        PAGES,
        END,
};
static const Parameter projects_parameters[] = {ID("id", "the runner"), PAGES, END};
static const Parameter assign_parameters[] = {
        NAMESPACE("project", "the project, by number or full path"),
        INTEGER("runner_id", "the runner", .required = true, .min = 1, .positional = true),
        END,
};
static const Parameter unassign_parameters[] = {
        NAMESPACE("project", "the project, by number or full path"), ID("runner_id", "the runner"), END};
static const Parameter no_parameters[] = {END};
static const Parameter group_parameters[] = {NAMESPACE("group", "the group, by number or full path"), END};
static const Parameter project_parameters[] = {NAMESPACE("project", "the project, by number or full path"), END};
static const Parameter create_parameters[] = {
        WORD("runner_type", runner_types, "who owns it", .required = true),
        INTEGER("group_id", "the group of a group_type", .min = 1),
        INTEGER("project_id", "the project of a project_type", .min = 1),
        DESCRIPTION(),
        NOTE(),
        PAUSED(),
        LOCKED(),
        ACCESS_LEVEL(),
        RUN_UNTAGGED(),
        {.name = "tag_list", .type = PARAMETER_LIST, .place = PLACE_BODY, .help = "its tags"},
        TIMEOUT(),
        {.name = "token_expires_at",
                .type = PARAMETER_TIME,
                .place = PLACE_BODY,
                .since = RELEASE(18, 10),
                .help = "when its first token ends (Premium)"},
        {.name = "token_rotation_deadline",
                .type = PARAMETER_TIME,
                .place = PLACE_BODY,
                .since = RELEASE(18, 10),
                .help = "until when that token can be rotated (Premium)"},
        END,
};
/* From here on in gitlab-runner's order (network/gitlab.go). It sends no system_id with a reset and a delete; without
 * one GitLab would make up a manager named `<legacy>`. */
static const Parameter register_parameters[] = {
        DESCRIPTION(),
        NOTE(),
        {.name = "tag_list", .type = PARAMETER_COMMA_LIST, .place = PLACE_BODY, .help = "its tags"},
        RUN_UNTAGGED(),
        LOCKED(),
        ACCESS_LEVEL(),
        TIMEOUT(),
        PAUSED(.excludes = "active"),
        ACTIVE(.excludes = "paused"),
        INFO,
        TOKEN("a registration token"),
        END,
};
static const Parameter verify_parameters[] = {INFO, TOKEN("its authentication token"), SYSTEM_ID(), END};
static const Parameter token_parameters[] = {TOKEN("its authentication token"), SYSTEM_ID(), END};
static const Parameter delete_manager_parameters[] = {
        TOKEN("its authentication token"), SYSTEM_ID(.required = true), END};

static const Endpoint endpoints[_ENDPOINT_MAX] = {
        [ENDPOINT_LIST] = {"list", "GET", "runners", CREDENTIAL_ACCESS_TOKEN, list_parameters, .v3 = true,
                .success = 200, .shape = SHAPE_LIST, .paged = true, .repeatable = true,
                .help = "runners that the user administers", .command = "list", .view = VIEW_RUNNER},
        [ENDPOINT_LIST_ALL] = {"list_all", "GET", "runners/all", CREDENTIAL_ACCESS_TOKEN, list_parameters, .v3 = true,
                .success = 200, .shape = SHAPE_LIST, .paged = true, .repeatable = true,
                .help = "all runners of the instance (administrators)", .command = "list", .choice = "all",
                .view = VIEW_RUNNER},
        [ENDPOINT_LIST_PROJECT] = {"list_project", "GET", "projects/:id/runners", CREDENTIAL_ACCESS_TOKEN,
                list_project_parameters, .v3 = true, .success = 200, .shape = SHAPE_LIST, .paged = true,
                .repeatable = true, .help = "runners that a project can use", .command = "list", .choice = "project",
                .view = VIEW_RUNNER},
        [ENDPOINT_LIST_GROUP] = {"list_group", "GET", "groups/:id/runners", CREDENTIAL_ACCESS_TOKEN,
                list_group_parameters, .since = RELEASE(13, 0), .success = 200, .shape = SHAPE_LIST, .paged = true,
                .repeatable = true, .help = "runners that a group can use", .command = "list", .choice = "group",
                .view = VIEW_RUNNER},
        [ENDPOINT_SHOW] = {"show", "GET", "runners/:id", CREDENTIAL_ACCESS_TOKEN, show_parameters, .v3 = true,
                .success = 200, .shape = SHAPE_OBJECT, .repeatable = true, .help = "details of a runner",
                .command = "show"},
        [ENDPOINT_UPDATE] = {"update", "PUT", "runners/:id", CREDENTIAL_ACCESS_TOKEN, update_parameters, .v3 = true,
                .success = 200, .shape = SHAPE_OBJECT, .repeatable = true, .help = "change a runner",
                .command = "update"},
        [ENDPOINT_DELETE_BY_ID] = {"delete_by_id", "DELETE", "runners/:id", CREDENTIAL_ACCESS_TOKEN, id_parameters,
                .v3 = true, .success = 204, .success_v3 = 200, .repeatable = true,
                .help = "delete a runner with all its managers", .command = "delete", .several = true},
        [ENDPOINT_JOBS] = {"jobs", "GET", "runners/:id/jobs", CREDENTIAL_ACCESS_TOKEN, jobs_parameters,
                .since = RELEASE(10, 3), .success = 200, .shape = SHAPE_LIST, .paged = true, .repeatable = true,
                .help = "jobs that a runner ran", .command = "jobs", .view = VIEW_JOB},
        [ENDPOINT_MANAGERS] = {"managers", "GET", "runners/:id/managers", CREDENTIAL_ACCESS_TOKEN, id_parameters,
                .since = RELEASE(17, 0), .success = 200, .shape = SHAPE_LIST, .repeatable = true,
                .help = "machines that work for a runner", .command = "managers", .view = VIEW_MANAGER,
                .instead = "a runner of an older GitLab is one machine, or its managers can't be listed"},
        [ENDPOINT_PROJECTS] = {"projects", "GET", "runners/:id/projects", CREDENTIAL_ACCESS_TOKEN,
                projects_parameters, .since = RELEASE(18, 0), .success = 200, .shape = SHAPE_LIST, .paged = true,
                .repeatable = true, .help = "projects that a runner is assigned to", .command = "projects",
                .view = VIEW_PROJECT, .instead = "the projects are among what `runners show ID` prints"},
        [ENDPOINT_ASSIGN] = {"assign", "POST", "projects/:id/runners", CREDENTIAL_ACCESS_TOKEN, assign_parameters,
                .v3 = true, .success = 201, .shape = SHAPE_OBJECT, .help = "let a project use a runner",
                .command = "assign"},
        [ENDPOINT_UNASSIGN] = {"unassign", "DELETE", "projects/:id/runners/:runner_id", CREDENTIAL_ACCESS_TOKEN,
                unassign_parameters, .v3 = true, .success = 204, .success_v3 = 200, .repeatable = true,
                .help = "take a runner from a project", .command = "unassign"},
        [ENDPOINT_RESET_BY_ID] = {"reset_by_id", "POST", "runners/:id/reset_authentication_token",
                CREDENTIAL_ACCESS_TOKEN, id_parameters, .since = RELEASE(14, 0), .success = 201, .shape = SHAPE_TOKEN,
                .help = "give a runner a new authentication token", .command = "reset-token",
                .instead = "there a new token comes with a new runner only"},
        [ENDPOINT_RESET_REGISTRATION_INSTANCE] = {"reset_registration_instance", "POST",
                "runners/reset_registration_token", CREDENTIAL_ACCESS_TOKEN, no_parameters, .since = RELEASE(14, 3),
                .success = 201, .shape = SHAPE_TOKEN, .help = "replace the instance's registration token",
                .command = "reset-registration-token", .choice = "instance",
                .instead = "there it is reset in the browser"},
        [ENDPOINT_RESET_REGISTRATION_GROUP] = {"reset_registration_group", "POST",
                "groups/:id/runners/reset_registration_token", CREDENTIAL_ACCESS_TOKEN, group_parameters,
                .since = RELEASE(14, 3), .success = 201, .shape = SHAPE_TOKEN,
                .help = "replace a group's registration token", .command = "reset-registration-token",
                .choice = "group", .instead = "there it is reset in the browser"},
        [ENDPOINT_RESET_REGISTRATION_PROJECT] = {"reset_registration_project", "POST",
                "projects/:id/runners/reset_registration_token", CREDENTIAL_ACCESS_TOKEN, project_parameters,
                .since = RELEASE(14, 3), .success = 201, .shape = SHAPE_TOKEN,
                .help = "replace a project's registration token", .command = "reset-registration-token",
                .choice = "project", .instead = "there it is reset in the browser"},
        [ENDPOINT_CREATE] = {"create", "POST", "user/runners", CREDENTIAL_ACCESS_TOKEN, create_parameters,
                .since = RELEASE(16, 0), .success = 201, .shape = SHAPE_TOKEN, .help = "create a runner as a user",
                .command = "create",
                .instead = "there a runner is made with a registration token, by `runners register`"},
        [ENDPOINT_REGISTER] = {"register", "POST", "runners", CREDENTIAL_REGISTRATION_TOKEN, register_parameters,
                .since = RELEASE(9, 0), .success = 201, .shape = SHAPE_TOKEN, .runner_header = true,
                .help = "create a runner by registration token", .command = "register", .v3 = true,
                .base_v3 = "/ci/api/v1/", .path_v3 = "runners/register"},
        [ENDPOINT_VERIFY] = {"verify", "POST", "runners/verify", CREDENTIAL_AUTHENTICATION_TOKEN, verify_parameters,
                .since = RELEASE(9, 0), .success = 200, .shape = SHAPE_ALIVE, .repeatable = true,
                .runner_header = true, .help = "ask whether a runner's token works", .command = "verify"},
        [ENDPOINT_RESET] = {"reset", "POST", "runners/reset_authentication_token", CREDENTIAL_AUTHENTICATION_TOKEN,
                token_parameters, .since = RELEASE(14, 0), .success = 201, .shape = SHAPE_TOKEN,
                .help = "replace a runner's authentication token by itself", .command = "reset-token",
                .choice = "token-from", .instead = "there a new token comes with a new runner only"},
        [ENDPOINT_DELETE_RUNNER] = {"delete", "DELETE", "runners", CREDENTIAL_AUTHENTICATION_TOKEN, token_parameters,
                .since = RELEASE(9, 0), .success = 204, .repeatable = true, .runner_header = true,
                .help = "delete a runner with all its managers, by its token", .command = "delete",
                .choice = "token-from", .v3 = true, .base_v3 = "/ci/api/v1/", .path_v3 = "runners/delete"},
        [ENDPOINT_DELETE_MANAGER] = {"delete_manager", "DELETE", "runners/managers", CREDENTIAL_AUTHENTICATION_TOKEN,
                delete_manager_parameters, .since = RELEASE(16, 0), .success = 204, .repeatable = true,
                .runner_header = true, .help = "delete one machine of a runner", .command = "delete-manager",
                .instead = "there a runner is one machine: `runners delete --token-from` deletes it"},
        [ENDPOINT_VERSION] = {"version", "GET", "version", CREDENTIAL_ACCESS_TOKEN, no_parameters,
                .since = RELEASE(8, 13), .success = 200, .shape = SHAPE_OBJECT, .repeatable = true,
                .help = "which release a GitLab is"},
};

const Endpoint *endpoint_get(EndpointId id)
{
        return &endpoints[id];
}

const Parameter *endpoint_parameter(const Endpoint *endpoint, const char *name)
{
        for (const Parameter *p = endpoint->parameters; p->name; p++)
                if (strcmp(p->name, name) == 0)
                        return p;
        return NULL;
}

bool endpoint_for_v3(const Endpoint *endpoint, Endpoint *ret)
{
        if (!endpoint->v3)
                return false;
        *ret = *endpoint;
        ret->base = endpoint->base_v3 ? endpoint->base_v3 : "/api/v3/";
        if (endpoint->path_v3)
                ret->path = endpoint->path_v3;
        if (endpoint->success_v3 > 0)
                ret->success = endpoint->success_v3;
        return true;
}

const char *parameter_option(const Parameter *parameter, char buffer[static ENDPOINT_OPTION_MAX])
{
        size_t i = 0;

        for (const char *p = parameter->option ? parameter->option : parameter->name;
                *p && i + 1 < ENDPOINT_OPTION_MAX; p++)
                buffer[i++] = *p == '_' ? '-' : *p;
        buffer[i] = 0;
        return buffer;
}

const char *release_to_string(unsigned release, char buffer[static RELEASE_TEXT_MAX])
{
        (void)snprintf(buffer, RELEASE_TEXT_MAX, "%u.%u", release / 100, release % 100);
        return buffer;
}

unsigned release_parse(const char *text)
{
        unsigned major, minor;

        if (!text || sscanf(text, "%3u.%2u", &major, &minor) != 2)
                return 0;
        return RELEASE(major, minor);
}

const Endpoint *endpoint_of_call(Call call)
{
        static const EndpointId ids[_CALL_MAX] = {
                [CALL_REGISTER] = ENDPOINT_REGISTER,
                [CALL_CREATE] = ENDPOINT_CREATE,
                [CALL_VERIFY] = ENDPOINT_VERIFY,
                [CALL_PROBE] = ENDPOINT_VERIFY,
                [CALL_RESET] = ENDPOINT_RESET,
                [CALL_RESET_BY_ID] = ENDPOINT_RESET_BY_ID,
                [CALL_DELETE_RUNNER] = ENDPOINT_DELETE_RUNNER,
                [CALL_DELETE_MANAGER] = ENDPOINT_DELETE_MANAGER,
                [CALL_DELETE_BY_ID] = ENDPOINT_DELETE_BY_ID,
                [CALL_LIST] = ENDPOINT_LIST,
                [CALL_SHOW] = ENDPOINT_SHOW,
        };

        return &endpoints[ids[call]];
}
