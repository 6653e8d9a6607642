#include "agent/core/record.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/fields.h"
#include "agent/core/json.h"

#define RECORD_VERSION 1

/* Bounds of what a state file may hold, above what the configuration and GitLab allow. */
#define NAME_MAX_BYTES   64
#define URL_MAX_BYTES    2048
#define PATH_MAX_BYTES   4096
#define ID_MAX_BYTES     256
#define MARKER_MAX_BYTES 128
#define REASON_MAX_BYTES 512
#define DIGEST_MAX_BYTES 128

static const char *const flow_words[] = {
        [FLOW_REGISTRATION_TOKEN] = "registration_token",
        [FLOW_ACCESS_TOKEN] = "access_token",
        [FLOW_AUTHENTICATION_TOKEN] = "authentication_token",
};

static const char *const state_words[] = {
        [RUNNER_STATE_UNREGISTERED] = "unregistered",
        [RUNNER_STATE_REGISTERING] = "registering",
        [RUNNER_STATE_REGISTERED] = "registered",
        [RUNNER_STATE_ROTATING] = "rotating",
        [RUNNER_STATE_DOUBTFUL] = "doubtful",
        [RUNNER_STATE_RECOVERING] = "recovering",
        [RUNNER_STATE_REFUSED] = "refused",
        [RUNNER_STATE_WITHDRAWING] = "withdrawing",
        [RUNNER_STATE_WITHDRAWN] = "withdrawn",
};

static const char *const intent_words[] = {
        [INTENT_NONE] = "none",
        [INTENT_CREATE] = "create",
        [INTENT_RESET] = "reset",
        [INTENT_RESET_BY_ID] = "reset_by_id",
};

static const char *const debt_words[] = {
        [DEBT_RUNNER] = "runner",
        [DEBT_MANAGER] = "manager",
        [DEBT_ORPHAN] = "orphan",
};

static const char *word(const char *const *words, size_t n, int value)
{
        return value >= 0 && (size_t)value < n ? words[value] : "unknown";
}

const char *flow_to_string(Flow flow)
{
        return word(flow_words, ELEMENTS(flow_words), (int)flow);
}

const char *runner_state_to_string(RunnerState state)
{
        return word(state_words, ELEMENTS(state_words), (int)state);
}

const char *debt_kind_to_string(DebtKind kind)
{
        return word(debt_words, ELEMENTS(debt_words), (int)kind);
}

static const char *flow_word(int value)
{
        return flow_to_string((Flow)value);
}

/* The states that may be on the disk: what is under way is found out again after a restart. */
static const char *stable_word(int value)
{
        switch ((RunnerState)value) {
        case RUNNER_STATE_UNREGISTERED:
        case RUNNER_STATE_REGISTERED:
        case RUNNER_STATE_REFUSED:
        case RUNNER_STATE_WITHDRAWN:
                return runner_state_to_string((RunnerState)value);
        case RUNNER_STATE_REGISTERING:
        case RUNNER_STATE_ROTATING:
        case RUNNER_STATE_DOUBTFUL:
        case RUNNER_STATE_RECOVERING:
        case RUNNER_STATE_WITHDRAWING:
        case _RUNNER_STATE_MAX:
        case _RUNNER_STATE_INVALID:
                break;
        }
        return NULL;
}

static const char *intent_word(int value)
{
        return word(intent_words, ELEMENTS(intent_words), value);
}

static const char *debt_word(int value)
{
        return debt_kind_to_string((DebtKind)value);
}

static const Field record_fields[] = {
        FIELD(Record, name, STRING, .required = true, .max = NAME_MAX_BYTES),
        FIELD(Record, url, STRING, .required = true, .max = URL_MAX_BYTES),
        FIELD_ENUM(Record, flow, flow_word, _FLOW_MAX),
        FIELD_ENUM(Record, state, stable_word, _RUNNER_STATE_MAX),
        FIELD(Record, reason, TEXT, .max = REASON_MAX_BYTES),
        FIELD(Record, runner_id, ID),
        FIELD(Record, token, SECRET),
        FIELD(Record, system_id, STRING, .max = ID_MAX_BYTES),
        FIELD(Record, machine_id, STRING, .max = ID_MAX_BYTES),
        FIELD(Record, instance_id, STRING, .max = ID_MAX_BYTES),
        FIELD(Record, ours, BOOL),
        FIELD(Record, manager_ours, BOOL),
        FIELD(Record, handed_back, BOOL),
        FIELD(Record, expiry_unknown, BOOL),
        FIELD(Record, cloned, BOOL),
        FIELD_MOMENT(Record, registered_at),
        FIELD_MOMENT(Record, token_obtained_at),
        FIELD_MOMENT(Record, token_expires_at),
        FIELD_MOMENT(Record, last_verified_at),
        FIELD(Record, source_digest, STRING, .max = DIGEST_MAX_BYTES),
        FIELD(Record, dead_proofs, COUNT),
        FIELD_MOMENT(Record, dead_first),
        FIELD_MOMENT(Record, dead_last),
        FIELD(Record, lost_in_row, COUNT),
};

static const Field intent_fields[] = {
        FIELD_ENUM(Intent, kind, intent_word, _INTENT_KIND_MAX),
        FIELD_MOMENT(Intent, since),
        FIELD(Intent, marker, STRING, .max = MARKER_MAX_BYTES),
        FIELD(Intent, lost, BOOL),
};

static const Field target_fields[] = {
        FIELD(Target, url, STRING, .required = true, .max = URL_MAX_BYTES),
        FIELD(Target, tls_ca_file, STRING, .max = PATH_MAX_BYTES),
        FIELD(Target, tls_cert_file, STRING, .max = PATH_MAX_BYTES),
        FIELD(Target, tls_key_file, STRING, .max = PATH_MAX_BYTES),
        FIELD(Target, proxy, STRING, .max = URL_MAX_BYTES),
};

static const Field debt_fields[] = {
        FIELD_ENUM(Debt, kind, debt_word, _DEBT_KIND_MAX),
        FIELD(Debt, runner_id, ID),
        FIELD(Debt, system_id, STRING, .max = ID_MAX_BYTES),
        FIELD(Debt, marker, STRING, .max = MARKER_MAX_BYTES),
        FIELD(Debt, token, SECRET),
        FIELD_MOMENT(Debt, since),
        FIELD(Debt, reason, TEXT, .max = REASON_MAX_BYTES),
};

static const Field leftover_fields[] = {
        FIELD(Leftover, url, STRING, .required = true, .max = URL_MAX_BYTES),
        FIELD(Leftover, token, SECRET, .required = true),
};

int replace_string(char **string, const char *value)
{
        char *copy = value ? strdup(value) : NULL;

        if (value && !copy)
                return -ENOMEM;
        free(*string);
        *string = copy;
        return 0;
}

void target_done(Target *target)
{
        free(target->url);
        free(target->tls_ca_file);
        free(target->tls_cert_file);
        free(target->tls_key_file);
        string_wipe_free(target->proxy); /* may carry a password */
        *target = (Target){0};
}

int target_copy(Target *target, const Target *source)
{
        Target copy = {0};

        if (replace_string(&copy.url, source->url) < 0 ||
                replace_string(&copy.tls_ca_file, source->tls_ca_file) < 0 ||
                replace_string(&copy.tls_cert_file, source->tls_cert_file) < 0 ||
                replace_string(&copy.tls_key_file, source->tls_key_file) < 0 ||
                replace_string(&copy.proxy, source->proxy) < 0) {
                target_done(&copy);
                return -ENOMEM;
        }
        target_done(target);
        *target = copy;
        return 0;
}

void debt_done(Debt *debt)
{
        target_done(&debt->target);
        free(debt->system_id);
        free(debt->marker);
        secret_free(debt->token);
        free(debt->reason);
        *debt = (Debt){0};
}

int record_add_debt(Record *record, Debt *debt)
{
        if (record->n_debts >= RECORD_DEBTS_MAX)
                return -E2BIG;
        Debt *debts = realloc(record->debts, (record->n_debts + 1) * sizeof(*debts));
        if (!debts)
                return -ENOMEM;
        record->debts = debts;
        debts[record->n_debts++] = *debt;
        *debt = (Debt){0};
        return 0;
}

void record_remove_debt(Record *record, size_t index)
{
        if (index >= record->n_debts)
                return;
        debt_done(&record->debts[index]);
        record->n_debts--;
        memmove(record->debts + index, record->debts + index + 1, (record->n_debts - index) * sizeof(*record->debts));
}

static void leftover_done(Leftover *leftover)
{
        free(leftover->url);
        secret_free(leftover->token);
        *leftover = (Leftover){0};
}

static int append_leftover(Record *record, Leftover *leftover)
{
        Leftover *leftovers = realloc(record->leftovers, (record->n_leftovers + 1) * sizeof(*leftovers));

        if (!leftovers)
                return -ENOMEM;
        record->leftovers = leftovers;
        leftovers[record->n_leftovers++] = *leftover;
        *leftover = (Leftover){0};
        return 0;
}

int record_add_leftover(Record *record, const char *url, const Secret *token)
{
        _cleanup_(leftover_done) Leftover leftover = {0};

        size_t drop = record->n_leftovers < RECORD_LEFTOVERS_MAX ? SIZE_MAX : 0;
        int r = replace_string(&leftover.url, url);

        if (r >= 0)
                r = secret_copy(token, &leftover.token);
        if (r >= 0)
                r = append_leftover(record, &leftover);
        if (r < 0)
                return r;
        for (size_t i = 0; i + 1 < record->n_leftovers; i++)
                if (secret_equal(record->leftovers[i].token, token) && strcmp(record->leftovers[i].url, url) == 0)
                        drop = i;
        record_remove_leftover(record, drop);
        return 0;
}

void record_remove_leftover(Record *record, size_t index)
{
        if (index >= record->n_leftovers)
                return;
        leftover_done(&record->leftovers[index]);
        record->n_leftovers--;
        memmove(record->leftovers + index, record->leftovers + index + 1,
                (record->n_leftovers - index) * sizeof(*record->leftovers));
}

void record_clear_intent(Record *record)
{
        free(record->intent.marker);
        record->intent = (Intent){.kind = INTENT_NONE};
}

int record_new(const char *name, const char *url, Flow flow, Record **ret)
{
        _cleanup_(record_freep) Record *record = calloc(1, sizeof(*record));

        if (!record)
                return -ENOMEM;
        record->flow = flow;
        record->name = strdup(name);
        record->url = strdup(url);
        if (!record->name || !record->url)
                return -ENOMEM;
        *ret = take_ptr(record);
        return 0;
}

Record *record_free(Record *record)
{
        if (!record)
                return NULL;
        record_clear_intent(record);
        while (record->n_debts > 0)
                record_remove_debt(record, record->n_debts - 1);
        free(record->debts);
        while (record->n_leftovers > 0)
                record_remove_leftover(record, record->n_leftovers - 1);
        free(record->leftovers);
        free(record->name);
        free(record->url);
        free(record->reason);
        secret_free(record->token);
        free(record->system_id);
        free(record->machine_id);
        free(record->instance_id);
        free(record->source_digest);
        free(record);
        return NULL;
}

/* What RECORD lacks although it says so: who works with it relies on these. NULL: nothing. */
static const char *missing(const Record *record)
{
        if (record->state == RUNNER_STATE_REGISTERED && !record->token)
                return "registered, but without a token";
        if (record->manager_ours && !record->system_id)
                return "its manager is ours, but without a system_id";
        for (size_t i = 0; i < record->n_debts; i++) {
                const Debt *debt = &record->debts[i];

                if (debt->kind != DEBT_ORPHAN && !debt->token)
                        return "a debt without a token";
                if (debt->kind == DEBT_MANAGER && !debt->system_id)
                        return "a manager's debt without a system_id";
        }
        return NULL;
}

static int encode_object(const Field *fields, size_t n_fields, const void *from, json_t **ret)
{
        _cleanup_json_ json_t *object = json_object();

        if (!object)
                return -ENOMEM;
        int r = fields_encode(fields, n_fields, from, object);
        if (r < 0)
                return r;
        *ret = take_ptr(object);
        return 0;
}

static int encode_debt(const Debt *debt, json_t *array)
{
        _cleanup_json_ json_t *object = NULL, *target = NULL;

        int r = encode_object(debt_fields, ELEMENTS(debt_fields), debt, &object);
        if (r < 0)
                return r;
        r = encode_object(target_fields, ELEMENTS(target_fields), &debt->target, &target);
        if (r < 0)
                return r;
        r = json_put(object, "target", take_ptr(target));
        if (r < 0)
                return r;
        return json_array_append_new(array, take_ptr(object)) < 0 ? -ENOMEM : 0;
}

static int encode_leftovers(const Record *record, json_t *object)
{
        _cleanup_json_ json_t *array = json_array();

        for (size_t i = 0; array && i < record->n_leftovers; i++) {
                _cleanup_json_ json_t *leftover = NULL;
                int r = encode_object(leftover_fields, ELEMENTS(leftover_fields), &record->leftovers[i], &leftover);

                if (r < 0)
                        return r;
                if (json_array_append_new(array, take_ptr(leftover)) < 0)
                        return -ENOMEM;
        }
        return json_put(object, "leftovers", take_ptr(array));
}

static int encode_parts(const Record *record, json_t *object)
{
        _cleanup_json_ json_t *intent = NULL, *debts = NULL;
        int r;

        if (record->intent.kind != INTENT_NONE) {
                r = encode_object(intent_fields, ELEMENTS(intent_fields), &record->intent, &intent);
                if (r < 0)
                        return r;
                r = json_put(object, "intent", take_ptr(intent));
                if (r < 0)
                        return r;
        }
        debts = json_array();
        for (size_t i = 0; debts && i < record->n_debts; i++) {
                r = encode_debt(&record->debts[i], debts);
                if (r < 0)
                        return r;
        }
        r = json_put(object, "debts", take_ptr(debts));
        return r < 0 || record->n_leftovers == 0 ? r : encode_leftovers(record, object);
}

int record_encode(const Record *record, Secret **ret)
{
        _cleanup_json_ json_t *object = json_object();
        _cleanup_secret_ Secret *text = NULL;

        if (missing(record))
                return -EINVAL;
        int r = json_put(object, "version", json_integer(RECORD_VERSION));
        if (r < 0)
                return r;
        r = fields_encode(record_fields, ELEMENTS(record_fields), record, object);
        if (r < 0)
                return r;
        r = encode_parts(record, object);
        if (r < 0)
                return r;
        r = json_write(object, JSON_INDENT(2), &text);
        if (r < 0)
                return r;
        r = secret_append_string(text, "\n");
        if (r < 0)
                return r;
        if (secret_size(text) > RECORD_SIZE_MAX)
                return -E2BIG;
        *ret = take_ptr(text);
        return 0;
}

static int decode_debt(const json_t *object, Debt *debt, char **reterr)
{
        int r = fields_decode(debt_fields, ELEMENTS(debt_fields), object, debt, reterr);
        if (r < 0)
                return r;
        return fields_decode(
                target_fields, ELEMENTS(target_fields), json_object_get(object, "target"), &debt->target, reterr);
}

static int decode_debts(const json_t *debts, Record *record, char **reterr)
{
        if (!debts)
                return 0;
        if (!json_is_array(debts))
                return fields_complain(reterr, -EBADMSG, "'debts' is not a list");
        if (json_array_size(debts) > RECORD_DEBTS_MAX)
                return fields_complain(reterr, -EBADMSG, "'debts' has more than %d members", RECORD_DEBTS_MAX);
        for (size_t i = 0; i < json_array_size(debts); i++) {
                _cleanup_(debt_done) Debt debt = {0};

                int r = decode_debt(json_array_get(debts, i), &debt, reterr);
                if (r < 0)
                        return r;
                r = record_add_debt(record, &debt);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int decode_leftovers(const json_t *leftovers, Record *record, char **reterr)
{
        if (!leftovers)
                return 0;
        if (!json_is_array(leftovers))
                return fields_complain(reterr, -EBADMSG, "'leftovers' is not a list");
        if (json_array_size(leftovers) > RECORD_LEFTOVERS_MAX)
                return fields_complain(
                        reterr, -EBADMSG, "'leftovers' has more than %d members", RECORD_LEFTOVERS_MAX);
        for (size_t i = 0; i < json_array_size(leftovers); i++) {
                _cleanup_(leftover_done) Leftover leftover = {0};
                int r = fields_decode(
                        leftover_fields, ELEMENTS(leftover_fields), json_array_get(leftovers, i), &leftover, reterr);

                if (r >= 0)
                        r = append_leftover(record, &leftover);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int check_version(const json_t *object, char **reterr)
{
        const json_t *version = json_object_get(object, "version");
        json_int_t number = json_integer_value(version);

        if (!json_is_integer(version) || number < 1)
                return fields_complain(reterr, -EBADMSG, "'version' is missing or not a number");
        if (number > RECORD_VERSION)
                return fields_complain(reterr, -EPROTONOSUPPORT,
                        "written by a newer runner-registrar (format %lld, this one reads up to %d): install the "
                        "newer "
                        "version again, or move the file away to enrol anew",
                        (long long)number, RECORD_VERSION);
        return 0;
}

int record_decode(const char *data, size_t size, Record **ret, char **reterr)
{
        _cleanup_json_ json_t *object = NULL;
        _cleanup_(record_freep) Record *record = NULL;
        const json_t *intent;

        int r = json_read(data, size, RECORD_SIZE_MAX, &object);
        if (r == -EBADMSG)
                return fields_complain(reterr, r, "not valid JSON");
        if (r < 0)
                return r;
        r = check_version(object, reterr);
        if (r < 0)
                return r;

        record = calloc(1, sizeof(*record));
        if (!record)
                return -ENOMEM;
        r = fields_decode(record_fields, ELEMENTS(record_fields), object, record, reterr);
        if (r < 0)
                return r;
        intent = json_object_get(object, "intent");
        if (intent && !json_is_null(intent)) {
                r = fields_decode(intent_fields, ELEMENTS(intent_fields), intent, &record->intent, reterr);
                if (r < 0)
                        return r;
        }
        r = decode_debts(json_object_get(object, "debts"), record, reterr);
        if (r >= 0)
                r = decode_leftovers(json_object_get(object, "leftovers"), record, reterr);
        if (r < 0)
                return r;
        const char *what = missing(record);
        if (what)
                return fields_complain(reterr, -EBADMSG, "%s", what);
        *ret = take_ptr(record);
        return 0;
}
