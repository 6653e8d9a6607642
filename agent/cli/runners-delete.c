#include "agent/cli/runners-delete.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/cli/runners-call.h"
#include "agent/core/token.h"

/* How many managers are online but that of SYSTEM_ID. */
static size_t count_live(Slice managers, const char *system_id)
{
        SliceCursor cursor = slice_enter(managers);
        Slice manager, value;
        size_t n = 0;

        while (slice_next_item(&cursor, &manager)) {
                bool ours =
                        system_id && slice_member(manager, "system_id", &value) && slice_text_is(value, system_id);

                n += !ours && slice_member(manager, "status", &value) && slice_text_is(value, "online");
        }
        return n;
}

/* Why to ask before the runner ID goes; empty: no reason. Returns 0 or an exit code. */
static int look(Session *session, int64_t id, const char *system_id, char *why, size_t size)
{
        const Argument argument = {.name = "id", .integer = id};
        const Endpoint *managers = endpoint_get(ENDPOINT_MANAGERS);
        _cleanup_(pending_done) Pending details = {0}, list = {0};
        char text[RUNNER_TEXT_MAX];
        Endpoint show = *endpoint_get(ENDPOINT_SHOW);
        Slice value;

        *why = 0;
        if (session->invocation->v3)
                (void)endpoint_for_v3(endpoint_get(ENDPOINT_SHOW), &show);
        int r = session_call(session, &show, &argument, 1, &details);
        if (r < 0 || details.outcome.kind != OUTCOME_DONE)
                return session_report(session, &details, r, runner_text(id, text));
        if ((slice_member(details.outcome.body, "runner_type", &value) && slice_text_is(value, "instance_type")) ||
                (slice_member(details.outcome.body, "is_shared", &value) && slice_is(value, "true"))) {
                (void)snprintf(why, size, "Runner %" PRId64 " is an instance runner, which all projects may use", id);
                return EXIT_DONE;
        }
        if (session->invocation->v3)
                return EXIT_DONE;
        r = session_call(session, managers, &argument, 1, &list);
        if (r >= 0 && list.outcome.no_route)
                return EXIT_DONE; /* before 17 they can't be asked for */
        if (r < 0 || list.outcome.kind != OUTCOME_DONE)
                return session_report(session, &list, r, runner_text(id, text));
        size_t n = count_live(list.outcome.body, system_id);
        if (n > 0)
                (void)snprintf(why, size, "Runner %" PRId64 " has %zu other live manager%s, which it is deleted with",
                        id, n, n > 1 ? "s" : "");
        return EXIT_DONE;
}

/* A token tells nothing about its runner but by its looks: one made for several machines, or for the instance. */
static const char *suspect_token(const Secret *token)
{
        const char *text = secret_data(token);

        if (token_kind(token) == TOKEN_KIND_CREATED)
                return "Other machines may work under this token, and its runner is deleted with all of them "
                       "(`runners delete-manager` deletes one)";
        if (strncmp(text, "t1_", 3) == 0 || strncmp(text, "glrtr-t1_", 9) == 0)
                return "This is an instance runner, which all projects may use";
        return NULL;
}

int runners_check_delete(Session *session, const Invocation *invocation, const char *system_id)
{
        char why[160] = "";

        if (invocation->yes)
                return EXIT_DONE;
        if (invocation->token_from) {
                const char *suspicion = suspect_token(session->token);
                return suspicion ? runners_confirm(invocation, suspicion) : EXIT_DONE;
        }
        if (invocation->n_ids > 1) {
                (void)snprintf(why, sizeof(why), "These are %zu runners", invocation->n_ids);
                return runners_confirm(invocation, why);
        }
        int code = look(session, invocation->ids[0], system_id, why, sizeof(why));
        if (code != EXIT_DONE)
                return code;
        return *why ? runners_confirm(invocation, why) : EXIT_DONE;
}
