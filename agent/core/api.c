/* The agent's calls: what each argument becomes. Which of them a call sends, where and in which order is the endpoint
 * table's; this file only knows the agent's side. */

#include "agent/core/api.h"

#include <stdio.h>
#include <string.h>

#include "agent/core/endpoint.h"
#include "agent/core/text.h"

/* GitLab counts characters, not bytes. */
#define NOTE_CHARACTERS_MAX 1024

/* A page of a list: the most that GitLab gives. */
#define PAGE_ROWS 100

const char *call_to_string(Call call)
{
        static const char *const names[_CALL_MAX] = {
                [CALL_REGISTER] = "register",
                [CALL_CREATE] = "create",
                [CALL_VERIFY] = "verify",
                [CALL_PROBE] = "probe",
                [CALL_RESET] = "reset",
                [CALL_RESET_BY_ID] = "reset_by_id",
                [CALL_DELETE_RUNNER] = "delete",
                [CALL_DELETE_MANAGER] = "delete_manager",
                [CALL_DELETE_BY_ID] = "delete_by_id",
                [CALL_LIST] = "list",
                [CALL_SHOW] = "show",
        };

        return (int)call >= 0 && call < _CALL_MAX ? names[call] : "unknown";
}

void attributes_done(Attributes *attributes)
{
        free(attributes->description);
        for (char **tag = attributes->tag_list; tag && *tag; tag++)
                free(*tag);
        free(attributes->tag_list);
        free(attributes->access_level);
        free(attributes->maintenance_note);
        free(attributes->runner_type);
        *attributes = (Attributes){.run_untagged = -1,
                .locked = -1,
                .paused = -1,
                .maximum_timeout = -1,
                .group_id = -1,
                .project_id = -1};
}

/* NOTE, a blank and MARKER, within GitLab's bound: the note is cut, never the marker, which must be found again. */
static int note_with_marker(const char *note, const char *marker, char **ret)
{
        size_t room = NOTE_CHARACTERS_MAX, used = marker ? text_characters(marker) : 0;

        if (!note)
                note = "";
        if (used > room)
                return -EINVAL;
        room -= used;
        if (marker && *note)
                room = room > 0 ? room - 1 : 0;

        size_t size = text_prefix(note, room);
        int n = asprintf(ret, "%.*s%s%s", (int)size, note, marker && size > 0 ? " " : "", marker ? marker : "");
        return n < 0 ? -ENOMEM : 0;
}

/* The most that any call takes: one for each argument below. */
#define ARGUMENTS_MAX 24

typedef struct ArgumentList {
        Argument items[ARGUMENTS_MAX];
        size_t n;
} ArgumentList;

static void add_text(ArgumentList *list, const char *name, const char *text)
{
        if (text && *text)
                list->items[list->n++] = (Argument){.name = name, .text = text};
}

static void add_flag(ArgumentList *list, const char *name, int flag)
{
        if (flag >= 0)
                list->items[list->n++] = (Argument){.name = name, .integer = flag > 0};
}

static void add_number(ArgumentList *list, const char *name, int64_t number)
{
        if (number > 0)
                list->items[list->n++] = (Argument){.name = name, .integer = number};
}

static void add_attributes(ArgumentList *list, const Attributes *a)
{
        add_text(list, "description", a->description);
        if (a->tag_list && *a->tag_list)
                list->items[list->n++] = (Argument){.name = "tag_list", .list = a->tag_list};
        add_flag(list, "run_untagged", a->run_untagged);
        add_flag(list, "locked", a->locked);
        add_flag(list, "paused", a->paused);
        add_text(list, "access_level", a->access_level);
        add_number(list, "maximum_timeout", a->maximum_timeout);
        add_text(list, "runner_type", a->runner_type);
        add_number(list, "group_id", a->group_id);
        add_number(list, "project_id", a->project_id);
}

/* Where an access token finds the runner that ATTRIBUTES would create: in the list of its owner. */
static EndpointId choose_list(const Attributes *attributes, int64_t *ret_id)
{
        const char *type = attributes && attributes->runner_type ? attributes->runner_type : "";

        *ret_id = 0;
        if (strcmp(type, "instance_type") == 0)
                return ENDPOINT_LIST_ALL;
        if (strcmp(type, "group_type") == 0) {
                *ret_id = attributes->group_id;
                return ENDPOINT_LIST_GROUP;
        }
        if (strcmp(type, "project_type") == 0) {
                *ret_id = attributes->project_id;
                return ENDPOINT_LIST_PROJECT;
        }
        return ENDPOINT_LIST;
}

static int build_list(const CallArguments *arguments, Request *ret)
{
        ArgumentList list = {0};
        char id[24];
        int64_t owner;

        EndpointId row = choose_list(arguments->attributes, &owner);
        if (owner > 0) {
                (void)snprintf(id, sizeof(id), "%lld", (long long)owner);
                add_text(&list, "id", id);
        }
        if (row != ENDPOINT_LIST)
                add_text(&list, "type", arguments->attributes->runner_type);
        add_number(&list, "page", arguments->page > 0 ? arguments->page : 1);
        add_number(&list, "per_page", PAGE_ROWS);
        return endpoint_build(endpoint_get(row), CALL_LIST, list.items, list.n, arguments->access_token,
                arguments->timeout_usec, ret);
}

/* Only POST /runners/verify without a token: GitLab says "token is missing" if it is well, and looks at nothing else.
 */
static int build_probe(const CallArguments *arguments, Request *ret)
{
        static const Parameter none[] = {{.name = NULL}};
        Endpoint probe = *endpoint_get(ENDPOINT_VERIFY);

        probe.parameters = none;
        int r = endpoint_build(&probe, CALL_PROBE, NULL, 0, NULL, arguments->timeout_usec, ret);
        if (r < 0)
                return r;
        r = secret_new("{}", 2, &ret->body);
        if (r < 0)
                request_done(ret);
        return r;
}

bool request_has_content_type(const Request *request)
{
        return request->body || (request->want_json && strcmp(request->method, "GET") != 0);
}

int request_build(Call call, const CallArguments *arguments, Request *ret)
{
        const Attributes *attributes = arguments->attributes;
        _cleanup_free_ char *note = NULL;
        ArgumentList list = {0};

        if ((int)call < 0 || call >= _CALL_MAX)
                return -EINVAL;
        if (call == CALL_PROBE)
                return build_probe(arguments, ret);

        const Endpoint *endpoint = endpoint_of_call(call);
        bool private = endpoint->credential == CREDENTIAL_ACCESS_TOKEN;
        const Secret *credential = private ? arguments->access_token : arguments->token;
        if (!credential)
                return -EINVAL;
        if (call == CALL_LIST)
                return build_list(arguments, ret);

        int r = note_with_marker(attributes ? attributes->maintenance_note : NULL, arguments->marker, &note);
        if (r < 0)
                return r;
        if (attributes)
                add_attributes(&list, attributes);
        add_text(&list, "maintenance_note", note);
        add_text(&list, "info", arguments->info);
        add_text(&list, "system_id", arguments->system_id);
        add_number(&list, "id", arguments->runner_id);
        if (!private)
                list.items[list.n++] = (Argument){.name = "token", .secret = arguments->token};
        return endpoint_build(endpoint, call, list.items, list.n, credential, arguments->timeout_usec, ret);
}
