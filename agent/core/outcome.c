#include "agent/core/outcome.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "agent/core/reply-json.h"
#include "agent/core/text.h"
#include "agent/core/verdict.h"

void outcome_done(CallOutcome *outcome)
{
        free(outcome->message);
        free(outcome->advice);
        *outcome = (CallOutcome){0};
}

#define WHO(credential) (1U << (credential))
#define ACCESS          WHO(CREDENTIAL_ACCESS_TOKEN)
#define REGISTRATION    WHO(CREDENTIAL_REGISTRATION_TOKEN)
#define RUNNER          WHO(CREDENTIAL_AUTHENTICATION_TOKEN)
#define ANYONE          (ACCESS | REGISTRATION | RUNNER)

/* What helps against the usual refusals; the first row that fits. */
static const struct Advice {
        unsigned status;
        const char *words; /* in GitLab's own; NULL: any */
        const char *path;  /* what the row's path ends with; NULL: any */
        unsigned who;
        const char *text;
} advices[] = {
        {401, "expired", NULL, ACCESS, "make a new access token"},
        {401, "revoked", NULL, ACCESS, "make a new access token"},
        {401, NULL, NULL, ACCESS,
                "GitLab does not know this access token, or it has expired or was revoked: see --access-token"},
        {403, "more than one project", NULL, ACCESS,
                "unassign it from its other projects first (runners unassign), or delete it as an administrator"},
        {403, "is locked", NULL, ACCESS, "unlock it first: runners update ID --locked=false"},
        {403, "is a group runner", NULL, ACCESS, "a group runner serves all projects of its group already"},
        {403, "Only one project", NULL, ACCESS, "see `runners delete ID`"},
        {403, "owner project", NULL, ACCESS, "see `runners delete ID`"},
        {403, "No access granted", NULL, ACCESS,
                "it takes a Maintainer of the project, an Owner of the group, or, for an instance runner, an "
                "administrator, whose token also needs the scope admin_mode where admin mode is enforced"},
        {403, "Insufficient permissions", NULL, ACCESS,
                "it takes a Maintainer of the project, an Owner of the group, or, for an instance runner, an "
                "administrator, whose token also needs the scope admin_mode where admin mode is enforced"},
        {403, "deadline has passed", NULL, ANYONE,
                "this token can't be rotated any more: create a new runner and delete this one"},
        {403, "read-only", NULL, ANYONE, "GitLab takes no changes now (maintenance, or a secondary site): try later"},
        {403, "granular_scope", NULL, ACCESS, "give the fine-grained token the permission for this call"},
        {403, "invalid token supplied", NULL, REGISTRATION,
                "this is no registration token of this GitLab, or registration is switched off for its kind of "
                "owner"},
        {403, "403 Forbidden", "runners/all", ACCESS,
                "only administrators and auditors see all runners; an administrator's token also needs the scope "
                "admin_mode where admin mode is enforced"},
        {403, "403 Forbidden", "reset_registration_token", ACCESS,
                "the role is missing (administrators: the scope admin_mode too), or registration tokens are disabled "
                "on this GitLab"},
        {403, "403 Forbidden", NULL, ACCESS, "the token's user lacks the role for this"},
        {403, "403 Forbidden", NULL, REGISTRATION, "GitLab does not know this registration token"},
        {403, "403 Forbidden", NULL, RUNNER,
                "GitLab does not know this token, or it has expired; `runners reset-token ID` with an access token "
                "gives the runner a new one"},
        {404, "Project Not Found", NULL, ACCESS, "there is no such project, or the token's user can't see it"},
        {404, "Group Not Found", NULL, ACCESS, "there is no such group, or the token's user can't see it"},
        {404, "manager not found", NULL, RUNNER, "this runner has no manager with that system id"},
        {404, "Runner Not Found", "projects/:id/runners/:runner_id", ACCESS,
                "the runner is not assigned to this project"},
        {404, "404 Not Found", NULL, ACCESS, "there is no such runner"},
        {404, "Runner Not Found", NULL, ACCESS, "there is no such runner"},
        {410, "V3 is no longer", NULL, ANYONE, "leave out --api-version v3"},
        {410, "registration disallowed", NULL, REGISTRATION,
                "registration tokens are disabled here: create the runner with an access token (runners create)"},
        {422, "orphaned", NULL, ANYONE, "the group or project that owned the runner is gone: delete the runner"},
        {422, "needs to be assigned", NULL, ANYONE,
                "the group or project that owned the runner is gone: delete the runner"},
        {429, "migrations", NULL, ANYONE, "GitLab is being upgraded"},
};

static bool ends_with(const char *text, const char *end)
{
        size_t n = strlen(text), size = strlen(end);

        return n >= size && strcmp(text + n - size, end) == 0;
}

static const char *find_advice(const Endpoint *endpoint, unsigned status, const char *message)
{
        for (size_t i = 0; i < ELEMENTS(advices); i++) {
                const struct Advice *a = &advices[i];

                if (a->status == status && a->who & WHO(endpoint->credential) &&
                        (!a->words || strcasestr(message, a->words)) &&
                        (!a->path || ends_with(endpoint->path, a->path)))
                        return a->text;
        }
        return NULL;
}

/* What the access token lacks is told beside the message. */
static int advise_scope(Slice body, char **ret)
{
        _cleanup_free_ char *scope = NULL, *shown = NULL;
        Slice value;

        if (!slice_member(body, "error", &value) || !slice_text_is(value, "insufficient_scope"))
                return 0;
        int r = slice_member(body, "scope", &value) ? slice_text(value, &scope) : 0;
        if (r == -ENOMEM)
                return r;
        const char *text = scope ? scope : "api";
        r = text_show(text, strlen(text), 200, &shown);
        if (r < 0)
                return r;
        return asprintf(ret, "the access token needs one of these scopes: %s", shown) < 0 ? -ENOMEM : 0;
}

static int advise(const Endpoint *endpoint, CallOutcome *o)
{
        char span[TIME_SPAN_MAX];

        int r = o->status == 403 ? advise_scope(o->body, &o->advice) : 0;
        if (r < 0 || o->advice)
                return r;
        if (o->wait_usec > 0)
                return asprintf(&o->advice, "come back in %s", time_format_span(o->wait_usec, span)) < 0 ? -ENOMEM
                                                                                                         : 0;
        const char *text = find_advice(endpoint, o->status, o->message);
        if (text) {
                o->advice = strdup(text);
                return o->advice ? 0 : -ENOMEM;
        }
        return 0;
}

static CallOutcomeKind judge_status(const Judgement *j, const Reply *reply, bool is_json)
{
        unsigned status = reply->status;

        if (reply->transport != TRANSPORT_OK)
                return j->refused_by_net ? OUTCOME_FAILED : OUTCOME_AGAIN;
        if (j->refused_by_net)
                return OUTCOME_FAILED;
        if (status == 429 || status == 408 || status == 409 || status >= 500 || !is_json || status < 400)
                return OUTCOME_AGAIN;
        if (status == 401 || status == 410)
                return OUTCOME_REFUSED;
        /* Read-only and maintenance modes answer 403 too. */
        if (status == 403)
                return j->verdict == VERDICT_PERMANENT ? OUTCOME_REFUSED : OUTCOME_AGAIN;
        return OUTCOME_FAILED;
}

static bool is_delete(const Endpoint *endpoint)
{
        return strcmp(endpoint->method, "DELETE") == 0;
}

static bool may_have_acted(const Endpoint *endpoint, const Reply *reply)
{
        if (strcmp(endpoint->method, "GET") == 0)
                return false;
        if (reply->transport != TRANSPORT_OK)
                return reply->transport == TRANSPORT_LOST || reply->transport == TRANSPORT_TOO_LARGE;
        if (reply->status == 503 && reply->retry_after)
                return false;
        return reply->status < 300 || reply->status >= 500 || reply->status == 408 || reply->status == 409;
}

/* The agent's rules for the words that all calls share: details are judged like most. A DELETE of a manager has words
 * of its own, where an old server takes `managers` for an id. */
static Call rules_of(const Endpoint *endpoint, const Reply *reply)
{
        bool taken_for_id =
                strcmp(endpoint->path, "runners/managers") == 0 && (reply->status == 400 || reply->status == 401);

        return taken_for_id ? CALL_DELETE_MANAGER : CALL_SHOW;
}

static int read_failure(const Endpoint *endpoint, const Reply *reply, Now now, CallOutcome *o)
{
        _cleanup_(judgement_done) Judgement j = {0};

        int r = verdict_judge(rules_of(endpoint, reply), reply, now, &j);
        if (r < 0)
                return r;
        o->kind = judge_status(&j, reply, o->body.size > 0);
        o->no_route = j.no_route;
        if (o->no_route)
                o->kind = OUTCOME_FAILED;
        o->throttled = reply->status == 429;
        o->gone = reply->status == 404 && o->body.size > 0 && !o->no_route;
        o->too_large = reply->transport == TRANSPORT_TOO_LARGE;
        o->maybe_acted = may_have_acted(endpoint, reply);
        o->wait_usec = j.wait_usec;
        o->spread = j.spread;
        o->spread_usec = j.spread_usec;
        o->message = take_ptr(j.message);
        if (!o->message &&
                asprintf(&o->message, "GitLab answered %u, but without what belongs to it", reply->status) < 0) {
                o->message = NULL;
                return -ENOMEM;
        }
        o->unknown_paused = reply->status == 400 && strstr(o->message, "at least one parameter must be provided");
        return reply->transport == TRANSPORT_OK ? advise(endpoint, o) : 0;
}

/* An old server's verify: as a JSON string or number, or bare. */
static bool is_text_200(const Reply *reply, Slice body)
{
        const char *text = secret_data(reply->body);

        if (body.size > 0)
                return slice_is(body, "200") || slice_is(body, "\"200\"");
        if (reply->content_type && !reply_has_type(reply, "text/plain"))
                return false;
        return strncmp(text, "200", 3) == 0 && strspn(text + 3, " \r\n") + 3 == secret_size(reply->body);
}

/* Whether the answer holds what a success of this row does. */
static bool is_complete(const Endpoint *endpoint, const Reply *reply, CallOutcome *o)
{
        Slice token;

        switch (endpoint->shape) {
        case SHAPE_NONE:
                return true;
        case SHAPE_OBJECT:
                return slice_is_object(o->body);
        case SHAPE_LIST:
                return slice_is_array(o->body);
        case SHAPE_TOKEN:
                return slice_member(o->body, "token", &token) && slice_is_string(token) && token.size > 2;
        case SHAPE_ALIVE:
                if (slice_is_object(o->body))
                        return true;
                o->text_only = is_text_200(reply, o->body);
                o->body = (Slice){0};
                return o->text_only;
        }
        return false;
}

static bool is_success(const Endpoint *endpoint, const Reply *reply)
{
        if (reply->transport != TRANSPORT_OK)
                return false;
        /* API v3 showed what it deleted. */
        return reply->status == endpoint->success ||
               (endpoint->shape == SHAPE_NONE && (reply->status == 200 || reply->status == 204));
}

int outcome_read(const Endpoint *endpoint, const Reply *reply, Now now, CallOutcome *ret)
{
        _cleanup_(outcome_done) CallOutcome outcome = {.kind = OUTCOME_DONE};
        const char *data = secret_data(reply->body);
        size_t size = secret_size(reply->body);

        if (reply->transport == TRANSPORT_OK) {
                outcome.status = reply->status;
                if (reply_has_type(reply, "application/json") && slice_check(data, size))
                        outcome.body = slice_of(data, size);
        }
        if (!is_success(endpoint, reply) || !is_complete(endpoint, reply, &outcome)) {
                int r = read_failure(endpoint, reply, now, &outcome);
                if (r < 0)
                        return r;
        }
        *ret = outcome;
        outcome = (CallOutcome){0};
        return 0;
}

bool outcome_retryable(const Endpoint *endpoint, const CallOutcome *outcome)
{
        return outcome->kind == OUTCOME_AGAIN && endpoint->repeatable && !outcome->too_large && !outcome->throttled &&
               (outcome->status == 0 || outcome->status >= 500 || outcome->status == 408 || outcome->status == 409);
}

bool outcome_done_before(const Endpoint *endpoint, const CallOutcome *outcome)
{
        if (!is_delete(endpoint))
                return false;
        if (endpoint->credential == CREDENTIAL_ACCESS_TOKEN || strcmp(endpoint->path, "runners/managers") == 0)
                return outcome->gone;
        /* A 403 is a failure, which has a message. */
        return outcome->status == 403 && strcmp(outcome->message, "403 Forbidden") == 0;
}

int outcome_explain_route(const Endpoint *endpoint, const char *version, char **ret)
{
        _cleanup_free_ char *shown = NULL;
        char since[RELEASE_TEXT_MAX];

        int r = text_show(version ? version : "", version ? strlen(version) : 0, 40, &shown);
        if (r < 0)
                return r;
        const char *instead = endpoint->instead ? endpoint->instead : "check --url and --api-version";
        if (endpoint->since > 0)
                r = asprintf(ret, "%s%s has no %s /%s: it came with GitLab %s; %s",
                        *shown ? "GitLab " : "this GitLab", shown, endpoint->method, endpoint->path,
                        release_to_string(endpoint->since, since), instead);
        else
                r = asprintf(ret, "%s%s has no %s /%s: %s", *shown ? "GitLab " : "this server", shown,
                        endpoint->method, endpoint->path, instead);
        return r < 0 ? -ENOMEM : 0;
}
