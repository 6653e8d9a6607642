#include "agent/cli/runners-call.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "agent/cli/runners-token.h"

const char *runner_text(int64_t id, char buffer[static RUNNER_TEXT_MAX])
{
        (void)snprintf(buffer, RUNNER_TEXT_MAX, "runner %" PRId64, id);
        return buffer;
}

int runners_confirm(const Invocation *invocation, const char *why)
{
        char answer[16];

        if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
                return invocation_usage(&invocation->command, "%s: nothing was deleted; --yes does it", why);
        (void)fprintf(stderr, "%s. Go on? [y/N] ", why);
        if (fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
                return EXIT_DONE;
        (void)fprintf(stderr, "Nothing was deleted.\n");
        return EXIT_FAILED;
}

static int complain(const Invocation *invocation, const char *why)
{
        (void)fprintf(
                stderr, "runner-registrar runners %s: %s\n", invocation->command.name, why ? why : "out of memory");
        return EXIT_FAILED;
}

/* --- dry run */

static int print_request(Session *session, const Request *request)
{
        _cleanup_free_ char *url = NULL;
        _cleanup_secret_ Secret *body = NULL;

        int r = session_url_of(session, request, &url);
        if (r >= 0)
                r = secret_new(NULL, 0, &body);
        if (r >= 0 && request->body)
                r = slice_mask(slice_of(secret_data(request->body), secret_size(request->body)), "token", body);
        if (r < 0)
                return r;
        (void)printf("%s %s\n", request->method, url);
        if (request->want_json)
                (void)printf("Accept: application/json\n");
        if (request_has_content_type(request))
                (void)printf("Content-Type: application/json\n");
        if (request->private_token)
                (void)printf("PRIVATE-TOKEN: ***\n");
        if (request->runner_token)
                (void)printf("RUNNER-TOKEN: ***\n");
        if (request->body)
                (void)printf("\n%s\n", secret_data(body));
        return 0;
}

static int build_dry(Session *session, Invocation *invocation, Request *ret)
{
        const Endpoint *endpoint = &invocation->endpoint;
        bool private = endpoint->credential == CREDENTIAL_ACCESS_TOKEN;
        const Secret *credential = private ? session->access_token : session->token;

        if (endpoint->paged)
                invocation_set(invocation, (Argument){.name = "per_page",
                                                   .integer = invocation->limit > 0 && invocation->limit < 100
                                                                      ? (int64_t)invocation->limit
                                                                      : 100});
        if (!private)
                invocation_set(invocation, (Argument){.name = "token", .secret = credential});
        return endpoint_build(endpoint, _CALL_INVALID, invocation->arguments, invocation->n_arguments, credential,
                session->timeout_usec, ret);
}

int runners_dry_run(Session *session, Invocation *invocation)
{
        size_t n = invocation->n_ids > 0 ? invocation->n_ids : 1;

        for (size_t i = 0; i < n; i++) {
                _cleanup_(request_done) Request request = {0};

                if (invocation->n_ids > 0)
                        invocation_set_id(invocation, invocation->ids[i]);
                if (i > 0)
                        (void)putchar('\n');
                int r = build_dry(session, invocation, &request);
                if (r >= 0)
                        r = print_request(session, &request);
                if (r < 0) {
                        (void)complain(invocation, r == -EINVAL ? "a value can't be sent" : NULL);
                        return r == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
                }
        }
        return EXIT_DONE;
}

/* --- paused, and what it was called before */

/* Whether the server has not heard of `paused`: it then answers that nothing was to be changed, or changes the rest.
 */
static bool misses_paused(const Invocation *invocation, const CallOutcome *o)
{
        Slice value;

        if (strcmp(invocation->endpoint.path, "runners/:id") != 0 ||
                !invocation_argument((Invocation *)invocation, "paused"))
                return false;
        return o->unknown_paused ||
               (o->kind == OUTCOME_DONE && slice_is_object(o->body) && !slice_member(o->body, "paused", &value));
}

static void use_active(Invocation *invocation)
{
        Argument *paused = invocation_argument(invocation, "paused");

        if (paused)
                *paused = (Argument){.name = "active", .integer = !paused->integer};
}

/* --- calls */

static int keep_token(Invocation *invocation, TokenFile *file, const CallOutcome *o)
{
        _cleanup_secret_ Secret *token = NULL;
        _cleanup_free_ char *why = NULL;
        char *text = NULL;
        Slice value;

        if (!invocation->token_to)
                return EXIT_DONE;
        if (!slice_member(o->body, "token", &value))
                return complain(invocation, "the answer has no token");
        int r = slice_text(value, &text);
        if (r >= 0)
                r = secret_new(text, strlen(text), &token);
        (void)string_wipe_free(text);
        if (r >= 0)
                r = token_file_keep(file, token, &why);
        if (r >= 0)
                return EXIT_DONE;
        (void)complain(invocation, why);
        if (!file->kept)
                (void)complain(invocation, "GitLab did it all the same, and the token that it gave is lost");
        return EXIT_FAILED;
}

/* What a person reads where GitLab answers with nothing. */
static void say_done(Output *output, const Invocation *invocation, int64_t id)
{
        const char *method = invocation->endpoint.method;
        char text[RUNNER_TEXT_MAX];

        if (strcmp(method, "DELETE") != 0)
                output_say(output, "%s", "The token works.");
        else if (strcmp(invocation->command.name, "unassign") == 0)
                output_say(output, "Unassigned %s.", runner_text(id, text));
        else
                output_say(output, "Deleted%s%s.", id > 0 ? " " : "", id > 0 ? runner_text(id, text) : "");
}

static int print_answer(
        Session *session, Output *output, const Invocation *invocation, int64_t id, const CallOutcome *o)
{
        if (!slice_is_object(o->body)) {
                say_done(output, invocation, id);
                return EXIT_DONE;
        }
        int r = output_rows(output, &o->body, 1, session->server_now_usec);
        if (r == -ENOMEM)
                return complain(invocation, "out of memory, so the answer is not shown; GitLab did what was asked");
        return r < 0 ? EXIT_FAILED : EXIT_DONE;
}

static int call_one(Session *session, Invocation *invocation, int64_t id, TokenFile *file, Output *output)
{
        _cleanup_(pending_done) Pending pending = {0};
        char text[RUNNER_TEXT_MAX];

        if (id > 0)
                invocation_set_id(invocation, id);
        int r = session_call(
                session, &invocation->endpoint, invocation->arguments, invocation->n_arguments, &pending);
        if (r >= 0 && misses_paused(invocation, &pending.outcome)) {
                pending_done(&pending);
                use_active(invocation);
                r = session_call(
                        session, &invocation->endpoint, invocation->arguments, invocation->n_arguments, &pending);
        }
        if (r < 0 || pending.outcome.kind != OUTCOME_DONE)
                return session_report(session, &pending, r, id > 0 ? runner_text(id, text) : NULL);

        int code = keep_token(invocation, file, &pending.outcome);
        return exit_code_worse(code, print_answer(session, output, invocation, id, &pending.outcome));
}

static int call_each(Session *session, Invocation *invocation, TokenFile *file, Output *output)
{
        int code = EXIT_DONE;

        if (invocation->n_ids == 0)
                return call_one(session, invocation, 0, file, output);
        for (size_t i = 0; i < invocation->n_ids; i++)
                code = exit_code_worse(code, call_one(session, invocation, invocation->ids[i], file, output));
        return code;
}

int runners_call(Session *session, Invocation *invocation)
{
        _cleanup_(token_file_done) TokenFile file = {0};
        _cleanup_free_ char *why = NULL;
        bool silent = invocation->endpoint.shape == SHAPE_NONE && !invocation->v3;
        Output output;

        if (invocation->token_to && token_file_prepare(invocation->token_to, &file, &why) < 0)
                return complain(invocation, why);
        if (invocation->v3)
                use_active(invocation);
        output_open(&output, invocation, VIEW_PLAIN, invocation->n_ids > 1 && invocation->command.several && !silent);
        /* A table of single objects is one block each. */
        if (output.format == FORMAT_TABLE)
                output.list = false;
        int code = call_each(session, invocation, &file, &output);
        return output_close(&output) < 0 ? exit_code_worse(code, EXIT_FAILED) : code;
}
