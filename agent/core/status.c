#include "agent/core/status.h"

#include <stddef.h>
#include <string.h>

#include "agent/core/fields.h"
#include "agent/core/json.h"

/* Longer than anything that gets into a status; reasons come from outside and are cut. */
#define TEXT_MAX   4096
#define REASON_MAX 512

static const char *state_word(int value)
{
        return runner_state_to_string((RunnerState)value);
}

static const char *flow_word(int value)
{
        return flow_to_string((Flow)value);
}

static const char *debt_word(int value)
{
        return debt_kind_to_string((DebtKind)value);
}

static const Field agent_fields[] = {
        FIELD(AgentStatus, version, STRING, .max = TEXT_MAX),
        FIELD(AgentStatus, pid, ID, .nullable = true),
};

static const Field runner_fields[] = {
        FIELD(RunnerStatus, name, STRING, .required = true, .max = TEXT_MAX),
        FIELD(RunnerStatus, url, STRING, .max = TEXT_MAX),
        FIELD(RunnerStatus, runner_id, ID, .nullable = true),
        FIELD(RunnerStatus, system_id, STRING, .max = TEXT_MAX),
        FIELD_ENUM(RunnerStatus, state, state_word, _RUNNER_STATE_MAX),
        FIELD_ENUM(RunnerStatus, flow, flow_word, _FLOW_MAX),
        FIELD_MOMENT(RunnerStatus, registered_at),
        FIELD_MOMENT(RunnerStatus, token_obtained_at),
        FIELD_MOMENT(RunnerStatus, token_expires_at),
        FIELD_MOMENT(RunnerStatus, last_verified_at),
        FIELD(RunnerStatus, last_verdict, STRING, .max = TEXT_MAX),
        FIELD(RunnerStatus, next_action, TEXT, .max = REASON_MAX),
        FIELD_MOMENT(RunnerStatus, next_action_at),
        FIELD(RunnerStatus, reason, TEXT, .max = REASON_MAX),
        FIELD(RunnerStatus, attempt, COUNT),
};

/* A debt as everybody may see it: without its token. */
static const Field debt_fields[] = {
        FIELD_ENUM(Debt, kind, debt_word, _DEBT_KIND_MAX),
        FIELD(Debt, runner_id, ID, .nullable = true),
        FIELD(Debt, system_id, STRING, .max = TEXT_MAX),
        FIELD_MOMENT(Debt, since),
        FIELD(Debt, reason, TEXT, .max = REASON_MAX),
};

static void runner_status_done(RunnerStatus *runner)
{
        free(runner->name);
        free(runner->url);
        free(runner->system_id);
        free(runner->last_verdict);
        free(runner->next_action);
        free(runner->reason);
        for (size_t i = 0; i < runner->n_debts; i++)
                debt_done(&runner->debts[i]);
        free(runner->debts);
        *runner = (RunnerStatus){0};
}

void agent_status_done(AgentStatus *status)
{
        for (size_t i = 0; i < status->n_runners; i++)
                runner_status_done(&status->runners[i]);
        free(status->runners);
        free(status->version);
        *status = (AgentStatus){0};
}

/* Appends to ARRAY an object of FIELDS; borrowed in *ret. */
static int append_object(const Field *fields, size_t n_fields, const void *from, json_t *array, json_t **ret)
{
        _cleanup_json_ json_t *object = json_object();

        if (!object)
                return -ENOMEM;
        int r = fields_encode(fields, n_fields, from, object);
        if (r < 0)
                return r;
        *ret = object;
        return json_array_append_new(array, take_ptr(object)) < 0 ? -ENOMEM : 0;
}

static int encode_runner(const RunnerStatus *runner, json_t *array)
{
        _cleanup_json_ json_t *debts = json_array();
        json_t *object, *debt;

        if (!debts)
                return -ENOMEM;
        int r = append_object(runner_fields, ELEMENTS(runner_fields), runner, array, &object);
        for (size_t i = 0; r >= 0 && i < runner->n_debts; i++)
                r = append_object(debt_fields, ELEMENTS(debt_fields), &runner->debts[i], debts, &debt);
        return r < 0 ? r : json_put(object, "debts", take_ptr(debts));
}

int status_encode(const AgentStatus *status, bool indented, char **ret)
{
        _cleanup_json_ json_t *object = json_object(), *runners = json_array();
        _cleanup_secret_ Secret *text = NULL;

        if (!object || !runners)
                return -ENOMEM;
        int r = fields_encode(agent_fields, ELEMENTS(agent_fields), status, object);
        for (size_t i = 0; r >= 0 && i < status->n_runners; i++)
                r = encode_runner(&status->runners[i], runners);
        if (r >= 0)
                r = json_put(object, "runners", take_ptr(runners));
        if (r >= 0)
                r = json_write(object, indented ? JSON_INDENT(2) : JSON_COMPACT, &text);
        if (r < 0)
                return r;
        *ret = strdup(secret_data(text));
        return *ret ? 0 : -ENOMEM;
}

static int decode_debts(const json_t *array, RunnerStatus *runner, char **reterr)
{
        size_t n = json_array_size(array);

        if (n == 0)
                return 0;
        if (n > RECORD_DEBTS_MAX)
                return fields_complain(reterr, -EBADMSG, "'debts' has more than %d members", RECORD_DEBTS_MAX);
        runner->debts = calloc(n, sizeof(*runner->debts));
        if (!runner->debts)
                return -ENOMEM;
        runner->n_debts = n;
        for (size_t i = 0; i < n; i++) {
                int r = fields_decode(
                        debt_fields, ELEMENTS(debt_fields), json_array_get(array, i), &runner->debts[i], reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int decode_runners(const json_t *array, AgentStatus *status, char **reterr)
{
        size_t n = json_array_size(array);

        if (!json_is_array(array))
                return fields_complain(reterr, -EBADMSG, "'runners' is missing or not a list");
        status->runners = calloc(n + 1, sizeof(*status->runners));
        if (!status->runners)
                return -ENOMEM;
        status->n_runners = n;
        for (size_t i = 0; i < n; i++) {
                const json_t *object = json_array_get(array, i);

                int r = fields_decode(runner_fields, ELEMENTS(runner_fields), object, &status->runners[i], reterr);
                if (r >= 0)
                        r = decode_debts(json_object_get(object, "debts"), &status->runners[i], reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

int status_decode(const char *data, size_t size, AgentStatus *ret, char **reterr)
{
        _cleanup_(agent_status_done) AgentStatus status = {0};
        _cleanup_json_ json_t *object = NULL;

        int r = json_read_own(data, size, STATUS_SIZE_MAX, &object);
        if (r == -EBADMSG)
                return fields_complain(reterr, r, "not valid JSON");
        if (r >= 0)
                r = fields_decode(agent_fields, ELEMENTS(agent_fields), object, &status, reterr);
        if (r >= 0)
                r = decode_runners(json_object_get(object, "runners"), &status, reterr);
        if (r < 0)
                return r;
        *ret = status;
        status = (AgentStatus){0};
        return 0;
}
