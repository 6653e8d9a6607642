/* The table of design §7. An answer is first taken apart into facts, then the first rule that fits gives the verdict;
 * what no rule names is ambiguous. */

#include "agent/core/verdict.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "agent/core/endpoint.h"
#include "agent/core/exit-code.h"
#include "agent/core/json.h"
#include "agent/core/reply-json.h"
#include "agent/core/text.h"

const char *verdict_to_string(Verdict verdict)
{
        static const char *const names[_VERDICT_MAX] = {
                [VERDICT_ALIVE] = "alive",
                [VERDICT_DEAD] = "dead",
                [VERDICT_AMBIGUOUS] = "ambiguous",
                [VERDICT_PERMANENT] = "permanent",
                [VERDICT_WAIT] = "wait",
        };

        return (int)verdict >= 0 && verdict < _VERDICT_MAX ? names[verdict] : "unknown";
}

void judgement_done(Judgement *judgement)
{
        identity_done(&judgement->identity);
        free(judgement->ids);
        free(judgement->note);
        free(judgement->message);
        *judgement = (Judgement){0};
}

typedef struct Facts {
        Call call;
        const Reply *reply;
        json_t *body;        /* NULL: not JSON */
        const char *message; /* the member, where it is a string; else "" */
        const char *error;
} Facts;

/* What a rule asks of the body. */

static bool any(const Facts *f)
{
        return true;
}

static bool json(const Facts *f)
{
        return f->body != NULL;
}

static bool with_error(const Facts *f)
{
        return *f->error != 0;
}

static bool retry_told(const Facts *f)
{
        return f->reply->retry_after != NULL;
}

/* The one sentence that says "I do not know this token". */
static bool forbidden(const Facts *f)
{
        return strcmp(f->message, "403 Forbidden") == 0;
}

/* The same with a reason behind it: a role is missing, a token is no registration token … */
static bool forbidden_because(const Facts *f)
{
        return forbidden(f) || strncmp(f->message, "403 Forbidden ", strlen("403 Forbidden ")) == 0;
}

/* The access token may not do this (insufficient_scope, insufficient_granular_scope), or it is too late to rotate. */
static bool scope_or_deadline(const Facts *f)
{
        return (strncmp(f->error, "insufficient_", strlen("insufficient_")) == 0 && strstr(f->error, "scope")) ||
               strcasestr(f->error, "deadline has passed");
}

/* GitLab's router, not one of its endpoints: those use `message`. */
static bool no_route(const Facts *f)
{
        return (f->reply->status == 404 && strcasecmp(f->error, "404 Not Found") == 0) ||
               (f->reply->status == 405 && *f->error);
}

/* Both wordings: "404 Not found" until the newest, "404 Runner Not Found" since. */
static bool runner_gone(const Facts *f)
{
        return strcasecmp(f->message, "404 Not Found") == 0 || strcasecmp(f->message, "404 Runner Not Found") == 0;
}

static bool manager_gone(const Facts *f)
{
        static const char words[] = "404 Runner manager not found";

        return strncasecmp(f->message, words, sizeof(words) - 1) == 0;
}

/* DELETE /runners/managers, taken for DELETE /runners/:id by a server without managers. */
static bool taken_for_id(const Facts *f)
{
        return f->reply->status == 400 ? strcmp(f->error, "id is invalid") == 0 : json(f);
}

#define BIT(call)   (1U << (call))
#define EVERY       (BIT(_CALL_MAX) - 1)
#define CREATES     (BIT(CALL_REGISTER) | BIT(CALL_CREATE))
#define RESETS      (BIT(CALL_RESET) | BIT(CALL_RESET_BY_ID))
#define TOKEN_CALLS (BIT(CALL_VERIFY) | BIT(CALL_RESET) | BIT(CALL_DELETE_RUNNER) | BIT(CALL_DELETE_MANAGER))
#define LOOKS       (BIT(CALL_LIST) | BIT(CALL_SHOW))
#define BY_ACCESS   (LOOKS | BIT(CALL_DELETE_BY_ID))
#define ONE_RUNNER  (BIT(CALL_SHOW) | BIT(CALL_DELETE_BY_ID) | BIT(CALL_RESET_BY_ID))

static const struct Rule {
        unsigned calls;
        unsigned status;
        bool (*fits)(const Facts *);
        Verdict verdict;
        bool no_route;
} rules[] = {
        {EVERY, 429, any, VERDICT_WAIT},
        {CREATES, 503, retry_told, VERDICT_WAIT},

        {BIT(CALL_PROBE), 400, with_error, VERDICT_ALIVE},

        {TOKEN_CALLS, 403, forbidden, VERDICT_DEAD},
        /* A dead token can't ask for itself, but one that may look finds out whether the runner is there. */
        {ONE_RUNNER, 404, runner_gone, VERDICT_DEAD},
        {BIT(CALL_DELETE_MANAGER), 404, manager_gone, VERDICT_ALIVE},

        {CREATES, 400, json, VERDICT_PERMANENT},
        {CREATES, 401, json, VERDICT_PERMANENT},
        {CREATES, 403, forbidden_because, VERDICT_PERMANENT},
        {CREATES, 403, scope_or_deadline, VERDICT_PERMANENT},
        {CREATES, 404, no_route, VERDICT_PERMANENT, true},
        {CREATES, 404, json, VERDICT_PERMANENT},
        {CREATES, 405, json, VERDICT_PERMANENT, true},
        {CREATES, 410, json, VERDICT_PERMANENT},
        {CREATES, 422, json, VERDICT_PERMANENT},

        {BIT(CALL_RESET_BY_ID), 403, forbidden_because, VERDICT_PERMANENT},
        {RESETS, 403, scope_or_deadline, VERDICT_PERMANENT},
        {RESETS, 422, json, VERDICT_PERMANENT},

        {BY_ACCESS, 401, json, VERDICT_PERMANENT},
        {BY_ACCESS, 403, forbidden_because, VERDICT_PERMANENT},
        {BY_ACCESS, 403, scope_or_deadline, VERDICT_PERMANENT},
        {BY_ACCESS, 404, no_route, VERDICT_PERMANENT, true},
        {BY_ACCESS, 405, no_route, VERDICT_PERMANENT, true},

        {BIT(CALL_DELETE_MANAGER), 400, taken_for_id, VERDICT_AMBIGUOUS, true},
        {BIT(CALL_DELETE_MANAGER), 401, taken_for_id, VERDICT_AMBIGUOUS, true},
        {EVERY, 404, no_route, VERDICT_AMBIGUOUS, true},
        {EVERY, 405, no_route, VERDICT_AMBIGUOUS, true},
};

/* Whether CALL changes anything at GitLab: looking does not, and a probe stops at its missing token. */
static bool call_acts(Call call)
{
        return !((LOOKS | BIT(CALL_PROBE)) & BIT(call));
}

/* Whether an answer that tells nothing may still have come after the deed: it is from GitLab's inside or from a proxy
 * that had handed the request on. What refuses by a 4xx did not act, a conflict and a timeout apart. */
static bool status_acted(const Reply *reply)
{
        unsigned status = reply->status;

        if (status == 503 && reply->retry_after)
                return false;
        return status < 300 || status >= 500 || status == 408 || status == 409;
}

static int say(Judgement *judgement, const char *format, ...) _printf_(2, 3);
static int say(Judgement *judgement, const char *format, ...)
{
        va_list arguments;
        char *text = NULL;

        va_start(arguments, format);
        int n = vasprintf(&text, format, arguments);
        va_end(arguments);
        if (n < 0)
                return -ENOMEM;
        free(judgement->message);
        judgement->message = text;
        return 0;
}

/* Says what came from outside: cleaned and masked. */
static int say_theirs(Judgement *judgement, const char *data, size_t size)
{
        _cleanup_free_ char *text = NULL;

        int r = text_show(data, size, ERROR_TEXT_MAX, &text);
        if (r < 0)
                return r;
        free(judgement->message);
        judgement->message = take_ptr(text);
        return 0;
}

static int judge_transport(Call call, const Reply *reply, Judgement *j)
{
        static const char *const sentences[_TRANSPORT_MAX] = {
                [TRANSPORT_OK] = "",
                [TRANSPORT_NOT_SENT] = "GitLab could not be reached",
                [TRANSPORT_LOST] = "the connection was lost before the answer was complete",
                [TRANSPORT_TLS] = "no trusted connection could be made",
                [TRANSPORT_BAD_URL] = "the url or the proxy can't be used",
                [TRANSPORT_TOO_LARGE] = "the answer is larger than any of GitLab's",
        };

        switch (reply->transport) {
        case TRANSPORT_TLS:
        case TRANSPORT_BAD_URL:
                j->verdict = VERDICT_PERMANENT;
                j->refused_by_net = true;
                break;
        case TRANSPORT_NOT_SENT:
                j->unreachable = true;
                break;
        case TRANSPORT_LOST:
                j->unreachable = true;
                j->maybe_acted = call_acts(call);
                break;
        case TRANSPORT_TOO_LARGE:
                j->maybe_acted = call_acts(call);
                break;
        case TRANSPORT_OK:
        case _TRANSPORT_MAX:
                break;
        }
        if (reply->error && *reply->error)
                return say_theirs(j, reply->error, strlen(reply->error));
        return say(j, "%s", sentences[reply->transport < _TRANSPORT_MAX ? reply->transport : TRANSPORT_LOST]);
}

/* Cuts LOCATION down to what may be shown and what the user would configure: no credentials, query or fragment, and
 * of the path only what precedes the API. *ret_api: there was an API path to cut. */
static int location_base(const char *location, char **ret, bool *ret_api)
{
        const char *scheme_end = strstr(location, "://"), *rest = location;
        size_t scheme = strncmp(location, "//", 2) == 0 ? 2 : 0, size;

        if (scheme_end && strcspn(location, "/?#") > (size_t)(scheme_end - location))
                scheme = (size_t)(scheme_end - location) + 3;
        rest += scheme;
        size = strcspn(rest, "?#");

        /* Not only in front of the host: what is malformed may have a password anywhere. */
        const char *at = memrchr(rest, '@', size);
        if (at) {
                size -= (size_t)(at + 1 - rest);
                rest = at + 1;
        }

        const char *api = memmem(rest, size, "/api/v", strlen("/api/v"));
        *ret_api = api && scheme > 2;
        if (*ret_api)
                size = (size_t)(api - rest);
        return asprintf(ret, "%.*s%.*s", (int)scheme, location, (int)size, rest) < 0 ? -ENOMEM : 0;
}

static bool is_redirect(unsigned status)
{
        return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static int judge_redirect(const Reply *reply, Judgement *j)
{
        _cleanup_free_ char *base = NULL, *shown = NULL;
        bool api = false;

        j->verdict = VERDICT_PERMANENT;
        j->refused_by_net = true;
        if (!reply->location || !*reply->location)
                return say(j, "the answer is a redirect (%u) to nowhere: set url to where GitLab itself answers",
                        reply->status);

        int r = location_base(reply->location, &base, &api);
        if (r < 0)
                return r;
        r = text_show(base, strlen(base), ERROR_TEXT_MAX / 2, &shown);
        if (r < 0)
                return r;
        if (api)
                return say(j, "the answer is a redirect, which is not followed: set url to '%s'", shown);
        return say(j,
                "the answer is a redirect to '%s', which is not followed: set url to where GitLab itself answers",
                shown);
}

/* An old server's verify: the text 200, bare or as JSON. */
static bool is_text_200(const Facts *f)
{
        const Reply *reply = f->reply;
        const char *text = secret_data(reply->body);
        size_t size = secret_size(reply->body);

        if (f->body)
                return (json_is_integer(f->body) && json_integer_value(f->body) == 200) ||
                       (json_is_string(f->body) && strcmp(json_string_value(f->body), "200") == 0);
        if (reply->content_type && !reply_has_type(reply, "text/plain"))
                return false;
        while (size > 0 && strchr(" \t\r\n", text[size - 1]))
                size--;
        return size == 3 && memcmp(text, "200", 3) == 0;
}

static bool has_token(const Judgement *j)
{
        return j->identity.token;
}

static bool more_pages(const Reply *reply)
{
        return (reply->next_page && *reply->next_page) || (reply->link && strstr(reply->link, "rel=\"next\""));
}

/* The id and the note of a runner's details. */
static int take_row(const Facts *f, Judgement *j)
{
        RunnerRow row;

        int r = row_read(f->body, &row);
        if (r < 0)
                return r;
        j->identity.runner_id = row.runner_id;
        j->note = row.maintenance_note;
        return 0;
}

/* Whether the success that the status announces is there in full. */
static int success_complete(const Facts *f, ReplyShape shape, Judgement *j, bool *ret)
{
        bool creates = BIT(f->call) & CREATES;
        int r = 0;

        *ret = false;
        switch (shape) {
        case SHAPE_NONE:
                *ret = true;
                return 0;
        case SHAPE_LIST:
                r = ids_read(f->body, &j->ids, &j->n_ids);
                *ret = r >= 0;
                j->more_pages = *ret && more_pages(f->reply);
                break;
        case SHAPE_OBJECT:
                r = take_row(f, j);
                *ret = r >= 0;
                break;
        case SHAPE_TOKEN:
                r = identity_read(f->body, &j->identity);
                *ret = r >= 0 && has_token(j) && (!creates || j->identity.runner_id > 0);
                break;
        case SHAPE_ALIVE:
                if (is_text_200(f)) {
                        j->text_only = *ret = true;
                        return 0;
                }
                r = identity_read(f->body, &j->identity);
                *ret = r >= 0;
                break;
        }
        if (!*ret)
                identity_done(&j->identity);
        return r == -ENOMEM ? r : 0;
}

/* The verdict by the rules, for everything but a success. */
static void apply_rules(const Facts *f, Judgement *j)
{
        for (size_t i = 0; i < ELEMENTS(rules); i++) {
                const struct Rule *rule = &rules[i];

                if (!(rule->calls & BIT(f->call)) || rule->status != f->reply->status || !rule->fits(f))
                        continue;
                j->verdict = rule->verdict;
                j->no_route = rule->no_route;
                j->gone = rule->fits == manager_gone;
                break;
        }
        if (j->verdict == VERDICT_AMBIGUOUS)
                j->maybe_acted = call_acts(f->call) && status_acted(f->reply);
}

/* GitLab's words, else those of whoever stands before it, else ours. */
static int explain(const Facts *f, Judgement *j)
{
        const Reply *reply = f->reply;

        if (f->body) {
                int r = error_flatten_json(f->body, &j->message);
                if (r < 0 || j->message)
                        return r;
        } else if (reply_has_type(reply, "text/plain") && secret_size(reply->body) > 0) {
                int r = say_theirs(j, secret_data(reply->body), secret_size(reply->body));
                if (r < 0 || *j->message)
                        return r;
        }
        if (reply->status >= 200 && reply->status < 300)
                return say(j, "GitLab answered %u, but without what belongs to it", reply->status);
        return say(j, "the answer is HTTP %u%s", reply->status, f->body ? "" : " with a body that is not GitLab's");
}

static int judge_http(const Facts *f, Judgement *j)
{
        const Endpoint *endpoint = endpoint_of_call(f->call);

        if (is_redirect(f->reply->status))
                return judge_redirect(f->reply, j);
        if (f->reply->status == endpoint->success && f->call != CALL_PROBE) {
                bool complete;

                int r = success_complete(f, endpoint->shape, j, &complete);
                if (r < 0)
                        return r;
                if (complete) {
                        j->verdict = VERDICT_ALIVE;
                        return 0;
                }
        }
        apply_rules(f, j);
        return j->verdict == VERDICT_ALIVE ? 0 : explain(f, j);
}

int judgement_code(const Judgement *j)
{
        switch (j->verdict) {
        case VERDICT_ALIVE:
                return EXIT_DONE;
        case VERDICT_DEAD:
                return EXIT_REFUSED;
        case VERDICT_PERMANENT:
                return j->refused_by_net ? EXIT_FAILED : EXIT_REFUSED;
        case VERDICT_AMBIGUOUS:
        case VERDICT_WAIT:
                return EXIT_AGAIN;
        case _VERDICT_MAX:
                break;
        }
        return EXIT_FAILED;
}

int verdict_judge(Call call, const Reply *reply, Now now, Judgement *ret)
{
        _cleanup_(judgement_done) Judgement judgement = {.verdict = VERDICT_AMBIGUOUS};
        _cleanup_json_ json_t *body = NULL;
        Facts facts = {.call = call, .reply = reply, .message = "", .error = ""};
        int r;

        if (reply->transport != TRANSPORT_OK)
                r = judge_transport(call, reply, &judgement);
        else {
                r = reply_read_json(reply, &body);
                if (r == -ENOMEM)
                        return r;
                facts.body = body;
                if (json_get_text(body, "message"))
                        facts.message = json_get_text(body, "message");
                if (json_get_text(body, "error"))
                        facts.error = json_get_text(body, "error");
                r = judge_http(&facts, &judgement);
                if (!reply->date || time_parse_http_date(reply->date, &judgement.server_usec) < 0)
                        judgement.server_usec = 0;
                wait_read(reply, now, &judgement);
        }
        if (r < 0)
                return r;
        *ret = judgement;
        judgement = (Judgement){0};
        return 0;
}
