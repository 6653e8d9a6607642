#include "agent/cli/runners-prune.h"

#include <inttypes.h>
#include <string.h>

#include "agent/cli/runners-call.h"
#include "agent/cli/runners-list.h"
#include "agent/cli/runners-prune-managers.h"
#include "agent/core/prune.h"
#include "agent/order.h"

/* Found ghosts are printed in bunches, so that a table has its widths from more than one. */
#define BUNCH_MAX 32

/* Deleting while listing would shift the pages, so the list comes first: eight bytes each. */
#define CANDIDATES_MAX (4U * 1024 * 1024)

typedef struct Pruning {
        Session *session;
        Invocation *invocation;
        int64_t *ids;
        size_t n_ids, room;
        size_t n_listed, n_ghosts, n_skipped, n_deleted;
        unsigned release;
        Output output;
        Secret *bunch[BUNCH_MAX];
        size_t n_bunch;
} Pruning;

static int add_candidate(Pruning *p, int64_t id)
{
        if (p->n_ids == p->room) {
                size_t room = p->room > 0 ? 2 * p->room : 256;
                int64_t *ids = room <= CANDIDATES_MAX ? realloc(p->ids, room * sizeof(*ids)) : NULL;

                if (!ids)
                        return -ENOMEM;
                p->ids = ids;
                p->room = room;
        }
        p->ids[p->n_ids++] = id;
        return 0;
}

/* A group's and a project's list also shows the instance's runners, which are not theirs to prune, unless asked for.
 */
static bool is_out_of_place(const Pruning *p, Slice row)
{
        Slice value;

        if (!invocation_argument(p->invocation, "id") || invocation_argument(p->invocation, "type"))
                return false;
        return (slice_member(row, "runner_type", &value) && slice_text_is(value, "instance_type")) ||
               (slice_member(row, "is_shared", &value) && slice_is(value, "true"));
}

/* Those that are online need no closer look. */
static int take_rows(const Slice *rows, size_t n, void *userdata)
{
        Pruning *p = userdata;
        Slice value;
        int64_t id;

        for (size_t i = 0; i < n; i++) {
                if (is_out_of_place(p, rows[i]))
                        continue;
                p->n_listed++;
                if ((slice_member(rows[i], "online", &value) && slice_is(value, "true")) ||
                        !slice_member(rows[i], "id", &value) || slice_integer(value, &id) < 0)
                        continue;
                int r = add_candidate(p, id);
                if (r < 0)
                        return r;
        }
        return 0;
}

static Fact read_filters(const Pruning *p, Slice details)
{
        Fact all = FACT_YES;

        for (size_t i = 0; i < p->invocation->n_arguments; i++) {
                Fact told = prune_match(&p->invocation->arguments[i], details, p->release);

                if (told == FACT_NO)
                        return FACT_NO;
                if (told == FACT_UNKNOWN)
                        all = FACT_UNKNOWN;
        }
        return all;
}

/* Asks for the rows of a runner's list. *RET_TOLD is false where this GitLab, or this token's role, can't tell. */
static int ask_rows(Pruning *p, EndpointId row, int64_t id, Pending *pending, bool *ret_told)
{
        const Endpoint *endpoint = endpoint_get(row);
        Argument arguments[3] = {{.name = "id", .integer = id}};
        size_t n = 1;
        char text[RUNNER_TEXT_MAX];

        if (row == ENDPOINT_JOBS) {
                arguments[n++] = (Argument){.name = "status", .text = "running"};
                arguments[n++] = (Argument){.name = "per_page", .integer = 1};
        }
        *ret_told = false;
        if (p->invocation->v3)
                return EXIT_DONE; /* it has neither */
        int r = session_call(p->session, endpoint, arguments, n, pending);
        if (r >= 0 && (pending->outcome.no_route || pending->outcome.kind == OUTCOME_REFUSED))
                return EXIT_DONE;
        if (r < 0 || pending->outcome.kind != OUTCOME_DONE)
                return session_report(p->session, pending, r, runner_text(id, text));
        *ret_told = true;
        return EXIT_DONE;
}

static int ask_jobs(Pruning *p, int64_t id, PruneFacts *facts)
{
        _cleanup_(pending_done) Pending pending = {0};
        bool told;
        Slice job;

        int code = ask_rows(p, ENDPOINT_JOBS, id, &pending, &told);
        if (code == EXIT_DONE && told) {
                SliceCursor cursor = slice_enter(pending.outcome.body);
                facts->running_jobs = slice_next_item(&cursor, &job) ? FACT_YES : FACT_NO;
        }
        return code;
}

static int ask_managers(Pruning *p, int64_t id, PruneFacts *facts)
{
        _cleanup_(pending_done) Pending pending = {0};
        bool told;
        Slice manager;

        int code = ask_rows(p, ENDPOINT_MANAGERS, id, &pending, &told);
        if (code != EXIT_DONE)
                return code;
        if (!told) {
                /* Before 16 a runner is one machine. 16 has managers, but tells of none. */
                if (p->release > 0 && p->release < RELEASE(16, 0) && pending.outcome.no_route)
                        facts->live_manager = FACT_NO;
                return code;
        }
        SliceCursor cursor = slice_enter(pending.outcome.body);
        facts->live_manager = FACT_NO;
        while (slice_next_item(&cursor, &manager))
                if (prune_manager_is_live(manager, p->session->server_now_usec, p->invocation->offline_for_usec))
                        facts->live_manager = FACT_YES;
        return code;
}

/* Looks at a runner as it is now; asks no more than it takes to keep it. */
static int examine(Pruning *p, int64_t id, Pending *details, Prune *ret)
{
        const Argument argument = {.name = "id", .integer = id};
        uint64_t span = p->invocation->offline_for_usec;
        PruneFacts facts = {0}, best;
        Endpoint show = *endpoint_get(ENDPOINT_SHOW);
        char text[RUNNER_TEXT_MAX];
        int code = EXIT_DONE;

        if (p->invocation->v3)
                (void)endpoint_for_v3(endpoint_get(ENDPOINT_SHOW), &show);
        int r = session_call(p->session, &show, &argument, 1, details);
        if (r < 0 || details->outcome.kind != OUTCOME_DONE)
                return session_report(p->session, details, r, runner_text(id, text));
        prune_read_details(details->outcome.body, &facts);
        facts.matches = read_filters(p, details->outcome.body);

        best = facts;
        best.live_manager = FACT_NO;
        best.running_jobs = facts.running_jobs == FACT_YES ? FACT_YES : FACT_NO;
        *ret = prune_decide(&best, p->session->server_now_usec, span);
        if (*ret != PRUNE_DELETE)
                return EXIT_DONE;
        if (facts.running_jobs == FACT_UNKNOWN)
                code = ask_jobs(p, id, &facts);
        if (code == EXIT_DONE)
                code = ask_managers(p, id, &facts);
        *ret = prune_decide(&facts, p->session->server_now_usec, span);
        return code;
}

static int flush_bunch(Pruning *p)
{
        Slice rows[BUNCH_MAX];
        int r;

        for (size_t i = 0; i < p->n_bunch; i++)
                rows[i] = slice_of(secret_data(p->bunch[i]), secret_size(p->bunch[i]));
        r = output_rows(&p->output, rows, p->n_bunch, p->session->server_now_usec);
        for (size_t i = 0; i < p->n_bunch; i++)
                p->bunch[i] = secret_free(p->bunch[i]);
        p->n_bunch = 0;
        return r;
}

static int add_ghost(Pruning *p, Slice details)
{
        int r = secret_new(details.data, details.size, &p->bunch[p->n_bunch]);
        if (r < 0)
                return r;
        p->n_bunch++;
        return p->n_bunch == BUNCH_MAX ? flush_bunch(p) : 0;
}

static int delete_runner(Pruning *p, int64_t id)
{
        const Argument argument = {.name = "id", .integer = id};
        _cleanup_(pending_done) Pending pending = {0};
        Endpoint endpoint = *endpoint_get(ENDPOINT_DELETE_BY_ID);
        char text[RUNNER_TEXT_MAX];

        if (p->invocation->v3)
                (void)endpoint_for_v3(endpoint_get(ENDPOINT_DELETE_BY_ID), &endpoint);
        int r = session_call(p->session, &endpoint, &argument, 1, &pending);
        if (r < 0 || pending.outcome.kind != OUTCOME_DONE)
                return session_report(p->session, &pending, r, runner_text(id, text));
        p->n_deleted++;
        return EXIT_DONE;
}

static int prune_one(Pruning *p, int64_t id)
{
        _cleanup_(pending_done) Pending details = {0};
        Prune prune = PRUNE_KEEP_RECENT;

        int code = examine(p, id, &details, &prune);
        if (code != EXIT_DONE)
                return code;
        if (prune_is_skip(prune)) {
                p->n_skipped++;
                (void)fprintf(stderr, "Runner %" PRId64 " is skipped: %s.\n", id, prune_to_string(prune));
        } else if (prune != PRUNE_DELETE)
                log_debug(p->session->context->log, NULL, "Runner %" PRId64 " is kept: it %s", id,
                        prune_to_string(prune));
        if (prune != PRUNE_DELETE)
                return EXIT_DONE;
        p->n_ghosts++;
        if (p->invocation->yes)
                code = delete_runner(p, id);
        if (code == EXIT_DONE && add_ghost(p, details.outcome.body) < 0)
                code = EXIT_FAILED;
        return code;
}

static void say_end(const Pruning *p)
{
        if (p->invocation->yes)
                (void)fprintf(stderr, "%zu of %zu runners were deleted.\n", p->n_deleted, p->n_listed);
        else
                (void)fprintf(stderr, "%zu of %zu runners are ghosts%s\n", p->n_ghosts, p->n_listed,
                        p->n_ghosts > 0 ? "; nothing was deleted: --yes does it." : ".");
        if (p->n_skipped > 0)
                (void)fprintf(stderr, "%zu could not be judged, and stay.\n", p->n_skipped);
}

int runners_prune(Session *session, Invocation *invocation)
{
        Pruning p = {.session = session, .invocation = invocation};

        if (invocation->managers_of > 0)
                return runners_prune_managers(session, invocation);
        int code = list_walk(session, invocation, 0, take_rows, &p);
        if (code == EXIT_DONE) {
                p.release = session_release(session);
                output_open(&p.output, invocation, VIEW_RUNNER, true);
                for (size_t i = 0; i < p.n_ids; i++)
                        code = exit_code_worse(code, prune_one(&p, p.ids[i]));
                if (flush_bunch(&p) < 0 || output_close(&p.output) < 0)
                        code = exit_code_worse(code, EXIT_FAILED);
                say_end(&p);
        }
        free(p.ids);
        return code;
}
