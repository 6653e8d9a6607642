#include "agent/cli/runners-prune-managers.h"

#include <inttypes.h>
#include <string.h>

#include "agent/cli/runners-call.h"
#include "agent/cli/runners-output.h"
#include "agent/core/prune.h"
#include "agent/order.h"

static int list_managers(Session *session, const Invocation *invocation, Pending *pending)
{
        const Argument argument = {.name = "id", .integer = invocation->managers_of};
        char text[RUNNER_TEXT_MAX];

        int r = session_call(session, endpoint_get(ENDPOINT_MANAGERS), &argument, 1, pending);
        if (r < 0 || pending->outcome.kind != OUTCOME_DONE)
                return session_report(session, pending, r, runner_text(invocation->managers_of, text));
        return EXIT_DONE;
}

static bool is_ghost(const Session *session, Slice manager)
{
        return !prune_manager_is_live(manager, session->server_now_usec, session->invocation->offline_for_usec);
}

/* The manager by which the token is proven. To verify is to be heard of, so the one that was heard of last is the
 * least disturbed by it; among ghosts only it is the one that goes first. */
static bool choose_witness(Slice managers, Slice *ret)
{
        SliceCursor cursor = slice_enter(managers);
        Slice manager, contacted, best = {0};
        bool found = false;

        while (slice_next_item(&cursor, &manager)) {
                if (!slice_member(manager, "contacted_at", &contacted) || !slice_is_string(contacted))
                        contacted = (Slice){0};
                /* Times of one server in one form: they compare as texts. */
                size_t n = contacted.size < best.size ? contacted.size : best.size;
                int order = n > 0 ? memcmp(contacted.data, best.data, n) : (int)(contacted.size > best.size);
                if (!found || order > 0) {
                        *ret = manager;
                        best = contacted;
                        found = true;
                }
        }
        return found;
}

static int prove_token(Session *session, const Invocation *invocation, const char *system_id)
{
        const Argument argument = {.name = "system_id", .text = system_id};
        _cleanup_(pending_done) Pending pending = {0};
        Slice value;
        int64_t id = 0;

        int r = session_call(session, endpoint_get(ENDPOINT_VERIFY), &argument, 1, &pending);
        if (r < 0 || pending.outcome.kind != OUTCOME_DONE)
                return session_report(session, &pending, r, "the token");
        if (slice_member(pending.outcome.body, "id", &value) && slice_integer(value, &id) >= 0 &&
                id == invocation->managers_of)
                return EXIT_DONE;
        (void)fprintf(stderr,
                "runner-registrar runners prune: the token is not that of runner %" PRId64 ": nothing was deleted\n",
                invocation->managers_of);
        return EXIT_FAILED;
}

/* Looks again: it may have come back in the meantime. */
static int still_ghost(Session *session, const Invocation *invocation, const char *system_id, bool *ret)
{
        _cleanup_(pending_done) Pending list = {0};
        Slice manager, value;

        *ret = false;
        int code = list_managers(session, invocation, &list);
        SliceCursor cursor = slice_enter(list.outcome.body);
        while (code == EXIT_DONE && slice_next_item(&cursor, &manager))
                if (slice_member(manager, "system_id", &value) && slice_text_is(value, system_id))
                        *ret = is_ghost(session, manager);
        return code;
}

static int delete_manager(Session *session, const char *system_id)
{
        const Argument argument = {.name = "system_id", .text = system_id};
        _cleanup_(pending_done) Pending pending = {0};

        int r = session_call(session, endpoint_get(ENDPOINT_DELETE_MANAGER), &argument, 1, &pending);
        if (r >= 0 && pending.outcome.gone)
                return EXIT_DONE;
        if (r < 0 || pending.outcome.kind != OUTCOME_DONE)
                return session_report(session, &pending, r, "a manager");
        return EXIT_DONE;
}

/* Deletes MANAGER; if not seen just now (FRESH), only after another look. *RET: it is gone. */
static int delete_ghost(Session *session, const Invocation *invocation, Slice manager, bool fresh, bool *ret)
{
        _cleanup_free_ char *system_id = NULL;
        Slice value;

        *ret = fresh;
        if (!slice_member(manager, "system_id", &value) || slice_text(value, &system_id) < 0 || !*system_id)
                return EXIT_FAILED;
        int code = fresh ? EXIT_DONE : still_ghost(session, invocation, system_id, ret);
        if (code == EXIT_DONE && *ret)
                code = delete_manager(session, system_id);
        *ret = *ret && code == EXIT_DONE;
        return code;
}

static int delete_ghosts(Session *session, const Invocation *invocation, Slice managers, Slice witness,
        Output *output, size_t *n_deleted)
{
        SliceCursor cursor = slice_enter(managers);
        Slice manager;
        int code = EXIT_DONE;
        bool gone;

        /* Its proof made it look alive, so it is judged by what was seen right before. */
        if (is_ghost(session, witness)) {
                code = delete_ghost(session, invocation, witness, true, &gone);
                if (gone)
                        (*n_deleted)++, (void)output_rows(output, &witness, 1, session->server_now_usec);
        }
        while (slice_next_item(&cursor, &manager)) {
                if (manager.data == witness.data || !is_ghost(session, manager))
                        continue;
                code = exit_code_worse(code, delete_ghost(session, invocation, manager, false, &gone));
                if (gone)
                        (*n_deleted)++, (void)output_rows(output, &manager, 1, session->server_now_usec);
        }
        return code;
}

static int prune_for_real(Session *session, const Invocation *invocation, Slice managers, Output *output)
{
        _cleanup_free_ char *system_id = NULL;
        size_t n_deleted = 0;
        Slice witness, value;

        int code = session_read_secrets(session, endpoint_get(ENDPOINT_VERIFY));
        if (code != EXIT_DONE)
                return code;
        if (!choose_witness(managers, &witness) || !slice_member(witness, "system_id", &value) ||
                slice_text(value, &system_id) < 0)
                return EXIT_FAILED;
        code = prove_token(session, invocation, system_id);
        if (code != EXIT_DONE)
                return code;
        code = delete_ghosts(session, invocation, managers, witness, output, &n_deleted);
        (void)fprintf(stderr, "%zu manager%s deleted.\n", n_deleted, n_deleted == 1 ? " was" : "s were");
        return code;
}

int runners_prune_managers(Session *session, Invocation *invocation)
{
        _cleanup_(pending_done) Pending list = {0};
        size_t n_ghosts = 0;
        Output output;
        Slice manager;

        int code = list_managers(session, invocation, &list);
        if (code != EXIT_DONE)
                return code;
        output_open(&output, invocation, VIEW_MANAGER, true);
        SliceCursor cursor = slice_enter(list.outcome.body);
        while (slice_next_item(&cursor, &manager))
                if (is_ghost(session, manager)) {
                        n_ghosts++;
                        if (!invocation->yes && output_rows(&output, &manager, 1, session->server_now_usec) < 0)
                                return EXIT_FAILED;
                }
        if (invocation->yes && n_ghosts > 0)
                code = prune_for_real(session, invocation, list.outcome.body, &output);
        else
                (void)fprintf(stderr, "%zu manager%s%s\n", n_ghosts, n_ghosts == 1 ? " is a ghost" : "s are ghosts",
                        n_ghosts > 0 ? "; nothing was deleted: --yes does it." : ".");
        return output_close(&output) < 0 ? exit_code_worse(code, EXIT_FAILED) : code;
}
