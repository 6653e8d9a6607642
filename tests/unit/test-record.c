/* What is kept on the disk: what was written is read again, whatever it was, and what was not written by us is
 * refused. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/time.h"
#include "agent/core/record.h"
#include "tests/unit/json-memory.h"

#define TOKEN "glrt-t1_abcdefghij0123456789"

/* The same numbers in every run. */
static uint64_t next(uint64_t *seed)
{
        *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return *seed >> 17;
}

static char *random_string(uint64_t *seed, size_t max)
{
        static const char *const pieces[] = {"a", "Z", "0", " ", "/", "ü", "\"", "\\", "\n", "€", "😀", "<&>", "%s"};
        size_t n = 1 + next(seed) % max, size = 0;
        char *text = malloc(n + 1);

        assert_non_null(text);
        text[0] = 0;
        for (;;) {
                const char *piece = pieces[next(seed) % (sizeof(pieces) / sizeof(pieces[0]))];
                if (size + strlen(piece) > n)
                        break;
                memcpy(text + size, piece, strlen(piece) + 1);
                size += strlen(piece);
        }
        if (size == 0)
                (void)snprintf(text, n + 1, "x");
        return text;
}

static char *maybe_string(uint64_t *seed, size_t max)
{
        return next(seed) % 3 ? random_string(seed, max) : NULL;
}

static Secret *maybe_token(uint64_t *seed)
{
        char text[1024];
        size_t n = 1 + next(seed) % sizeof(text);
        Secret *token = NULL;

        if (next(seed) % 3 == 0)
                return NULL;
        for (size_t i = 0; i < n; i++)
                text[i] = (char)('!' + next(seed) % ('~' - '!' + 1));
        assert_int_equal(secret_new(text, n, &token), 0);
        return token;
}

static uint64_t random_time(uint64_t *seed)
{
        return next(seed) % 3 ? next(seed) % (UINT64_C(4102444800) * USEC_PER_SEC) : 0;
}

static void random_target(uint64_t *seed, Target *target)
{
        target->url = random_string(seed, 2048);
        target->tls_ca_file = maybe_string(seed, 200);
        target->tls_cert_file = maybe_string(seed, 200);
        target->tls_key_file = maybe_string(seed, 200);
        target->proxy = maybe_string(seed, 200);
}

static void random_debts(uint64_t *seed, Record *record)
{
        for (size_t n = next(seed) % 5; n > 0; n--) {
                Debt debt = {
                        .kind = (DebtKind)(next(seed) % _DEBT_KIND_MAX),
                        .runner_id = (int64_t)(next(seed) % 100000),
                        .system_id = maybe_string(seed, 64),
                        .marker = maybe_string(seed, 64),
                        .token = maybe_token(seed),
                        .since_usec = random_time(seed),
                };

                if (!debt.token)
                        debt.kind = DEBT_ORPHAN;
                else if (!debt.system_id)
                        debt.kind = DEBT_RUNNER;
                random_target(seed, &debt.target);
                assert_int_equal(record_add_debt(record, &debt), 0);
                assert_null(debt.token);
                assert_null(debt.target.url);
        }
}

static void random_leftovers(uint64_t *seed, Record *record)
{
        for (size_t n = next(seed) % 4; n > 0; n--) {
                _cleanup_free_ char *url = random_string(seed, 2048);
                _cleanup_secret_ Secret *token = maybe_token(seed);

                if (token)
                        assert_int_equal(record_add_leftover(record, url, token), 0);
        }
}

static Record *random_record(uint64_t *seed)
{
        static const RunnerState states[] = {
                RUNNER_STATE_UNREGISTERED, RUNNER_STATE_REGISTERED, RUNNER_STATE_REFUSED, RUNNER_STATE_WITHDRAWN};
        char *name = random_string(seed, 40), *url = random_string(seed, 2048);
        Record *record;

        assert_int_equal(record_new(name, url, (Flow)(next(seed) % _FLOW_MAX), &record), 0);
        free(name);
        free(url);
        record->runner_id = (int64_t)(next(seed) % 3 ? next(seed) : INT64_MAX);
        record->token = maybe_token(seed);
        record->state = states[next(seed) % 4];
        if (!record->token && record->state == RUNNER_STATE_REGISTERED)
                record->state = RUNNER_STATE_REFUSED;
        record->system_id = maybe_string(seed, 64);
        record->machine_id = maybe_string(seed, 64);
        record->instance_id = maybe_string(seed, 64);
        record->ours = next(seed) % 2;
        record->manager_ours = record->system_id && next(seed) % 2;
        record->handed_back = next(seed) % 2;
        record->expiry_unknown = next(seed) % 2;
        record->cloned = next(seed) % 2;
        record->registered_at_usec = random_time(seed);
        record->token_obtained_at_usec = random_time(seed);
        record->token_expires_at_usec = random_time(seed);
        record->last_verified_at_usec = random_time(seed);
        record->source_digest = maybe_string(seed, 64);
        record->dead_proofs = (unsigned)next(seed);
        record->dead_first_usec = random_time(seed);
        record->dead_last_usec = random_time(seed);
        record->intent.kind = (IntentKind)(next(seed) % _INTENT_KIND_MAX);
        if (record->intent.kind != INTENT_NONE) {
                record->intent.since_usec = random_time(seed);
                record->intent.marker = maybe_string(seed, 64);
                record->intent.lost = next(seed) % 2;
        }
        record->lost_in_row = (unsigned)(next(seed) % 4);
        random_debts(seed, record);
        random_leftovers(seed, record);
        return record;
}

static void assert_same(const char *a, const char *b)
{
        if (!a || !b)
                assert_ptr_equal(a, b);
        else
                assert_string_equal(a, b);
}

static void assert_equal_targets(const Target *a, const Target *b)
{
        assert_same(a->url, b->url);
        assert_same(a->tls_ca_file, b->tls_ca_file);
        assert_same(a->tls_cert_file, b->tls_cert_file);
        assert_same(a->tls_key_file, b->tls_key_file);
        assert_same(a->proxy, b->proxy);
}

static void assert_equal_debts(const Debt *a, const Debt *b)
{
        assert_int_equal(a->kind, b->kind);
        assert_equal_targets(&a->target, &b->target);
        assert_int_equal(a->runner_id, b->runner_id);
        assert_same(a->system_id, b->system_id);
        assert_same(a->marker, b->marker);
        assert_true(secret_equal(a->token, b->token));
        assert_int_equal(a->since_usec, b->since_usec);
        assert_same(a->reason, b->reason);
}

static void assert_equal_records(const Record *a, const Record *b)
{
        assert_same(a->name, b->name);
        assert_same(a->url, b->url);
        assert_int_equal(a->flow, b->flow);
        assert_int_equal(a->state, b->state);
        assert_same(a->reason, b->reason);
        assert_int_equal(a->runner_id, b->runner_id);
        assert_true(secret_equal(a->token, b->token));
        assert_same(a->system_id, b->system_id);
        assert_same(a->machine_id, b->machine_id);
        assert_same(a->instance_id, b->instance_id);
        assert_int_equal(a->ours, b->ours);
        assert_int_equal(a->manager_ours, b->manager_ours);
        assert_int_equal(a->handed_back, b->handed_back);
        assert_int_equal(a->expiry_unknown, b->expiry_unknown);
        assert_int_equal(a->cloned, b->cloned);
        assert_int_equal(a->registered_at_usec, b->registered_at_usec);
        assert_int_equal(a->token_obtained_at_usec, b->token_obtained_at_usec);
        assert_int_equal(a->token_expires_at_usec, b->token_expires_at_usec);
        assert_int_equal(a->last_verified_at_usec, b->last_verified_at_usec);
        assert_same(a->source_digest, b->source_digest);
        assert_int_equal(a->dead_proofs, b->dead_proofs);
        assert_int_equal(a->dead_first_usec, b->dead_first_usec);
        assert_int_equal(a->dead_last_usec, b->dead_last_usec);
        assert_int_equal(a->intent.kind, b->intent.kind);
        assert_int_equal(a->intent.since_usec, b->intent.since_usec);
        assert_same(a->intent.marker, b->intent.marker);
        assert_int_equal(a->intent.lost, b->intent.lost);
        assert_int_equal(a->lost_in_row, b->lost_in_row);
        assert_int_equal(a->n_debts, b->n_debts);
        for (size_t i = 0; i < a->n_debts; i++)
                assert_equal_debts(&a->debts[i], &b->debts[i]);
        assert_int_equal(a->n_leftovers, b->n_leftovers);
        for (size_t i = 0; i < a->n_leftovers; i++) {
                assert_same(a->leftovers[i].url, b->leftovers[i].url);
                assert_true(secret_equal(a->leftovers[i].token, b->leftovers[i].token));
        }
}

static void test_round_trip(void **state)
{
        uint64_t seed = 1;

        for (int i = 0; i < 500; i++) {
                Record *record = random_record(&seed), *copy = NULL;
                Secret *text = NULL, *again = NULL;
                char *error = NULL;

                assert_int_equal(record_encode(record, &text), 0);
                if (record_decode(secret_data(text), secret_size(text), &copy, &error) < 0)
                        fail_msg("record %d: %s", i, error);
                assert_equal_records(record, copy);
                assert_int_equal(record_encode(copy, &again), 0);
                assert_true(secret_equal(text, again));
                record_free(record);
                record_free(copy);
                secret_free(text);
                secret_free(again);
        }
}

static Record *full_record(void)
{
        Debt debt = {.kind = DEBT_MANAGER, .runner_id = 7, .since_usec = 5 * USEC_PER_SEC};
        Record *record;

        assert_int_equal(record_new("build-1", "https://gitlab.example.com", FLOW_ACCESS_TOKEN, &record), 0);
        record->state = RUNNER_STATE_REGISTERED;
        record->runner_id = 42;
        assert_int_equal(secret_new(TOKEN, strlen(TOKEN), &record->token), 0);
        record->registered_at_usec = UINT64_C(1787392800123456);
        record->intent = (Intent){.kind = INTENT_CREATE, .since_usec = USEC_PER_SEC, .marker = strdup("mark")};
        debt.system_id = strdup("s_0123456789ab");
        debt.target.url = strdup("https://old.example.com");
        assert_int_equal(secret_copy(record->token, &debt.token), 0);
        assert_int_equal(record_add_debt(record, &debt), 0);
        return record;
}

/* A file of today is read by the next release too: its form is a promise. */
static void test_form(void **state)
{
        static const char expected[] =
                "{\n  \"version\": 1,\n  \"name\": \"build-1\",\n  \"url\": \"https://gitlab.example.com\",\n"
                "  \"flow\": \"access_token\",\n  \"state\": \"registered\",\n  \"reason\": null,\n"
                "  \"runner_id\": 42,\n  \"token\": \"" TOKEN "\",\n  \"system_id\": null,\n  \"machine_id\": null,\n"
                "  \"instance_id\": null,\n  \"ours\": false,\n  \"manager_ours\": false,\n  \"handed_back\": "
                "false,\n"
                "  \"expiry_unknown\": false,\n  \"cloned\": false,\n"
                "  \"registered_at\": \"2026-08-22T10:00:00.123456Z\",\n  \"token_obtained_at\": null,\n"
                "  \"token_expires_at\": null,\n  \"last_verified_at\": null,\n  \"source_digest\": null,\n"
                "  \"dead_proofs\": 0,\n  \"dead_first\": null,\n  \"dead_last\": null,\n  \"lost_in_row\": 0,\n"
                "  \"intent\": {\n    \"kind\": \"create\",\n    \"since\": \"1970-01-01T00:00:01Z\",\n"
                "    \"marker\": \"mark\",\n    \"lost\": false\n  },\n  \"debts\": [\n    {\n"
                "      \"kind\": \"manager\",\n      \"runner_id\": 7,\n      \"system_id\": \"s_0123456789ab\",\n"
                "      \"marker\": null,\n      \"token\": \"" TOKEN "\",\n"
                "      \"since\": \"1970-01-01T00:00:05Z\",\n      \"reason\": null,\n      \"target\": {\n"
                "        \"url\": \"https://old.example.com\",\n        \"tls_ca_file\": null,\n"
                "        \"tls_cert_file\": null,\n        \"tls_key_file\": null,\n        \"proxy\": null\n"
                "      }\n    }\n  ]\n}\n";
        Record *record = full_record();
        Secret *text = NULL;

        assert_int_equal(record_encode(record, &text), 0);
        assert_string_equal(secret_data(text), expected);
        secret_free(text);
        record_free(record);
}

static int decode(const char *text, size_t size, char **reterr)
{
        Record *record = NULL;

        *reterr = NULL;
        int r = record_decode(text, size, &record, reterr);
        if (r < 0)
                assert_null(record);
        record_free(record);
        return r;
}

static void test_truncated(void **state)
{
        Record *record = full_record();
        Secret *text = NULL;

        assert_int_equal(record_encode(record, &text), 0);
        /* The last newline is the one byte that may miss. */
        for (size_t i = 0; i + 1 < secret_size(text); i++) {
                char *copy = malloc(i ? i : 1), *error;

                assert_non_null(copy);
                memcpy(copy, secret_data(text), i);
                assert_int_equal(decode(copy, i, &error), -EBADMSG);
                assert_non_null(error);
                free(error);
                free(copy);
        }
        secret_free(text);
        record_free(record);
}

/* The smallest record, with more members. */
#define BASE(more)                                                                                                   \
        "{\"version\":1,\"name\":\"n\",\"url\":\"u\",\"flow\":\"access_token\",\"state\":\"refused\"" more "}"

static void test_refused(void **state)
{
        static const struct {
                const char *text;
                int r;
                const char *error;
        } rows[] = {
                {BASE(""), 0, NULL},
                {BASE(",\"later\":{\"x\":1},\"runner_id\":null"), 0, NULL},
                {"", -EBADMSG, "not valid JSON"},
                {"\"text\"", -EBADMSG, "'version' is missing or not a number"},
                {"[]", -EBADMSG, "'version' is missing or not a number"},
                {"{\"version\":\"1\"}", -EBADMSG, "'version' is missing or not a number"},
                {"{\"version\":0}", -EBADMSG, "'version' is missing or not a number"},
                {"{\"version\":2,\"unheard\":of}", -EBADMSG, "not valid JSON"},
                {"{\"version\":2,\"name\":7}", -EPROTONOSUPPORT,
                        "written by a newer runner-registrar (format 2, this one reads up to 1): install the newer "
                        "version again, or move the file away to enrol anew"},
                {"{\"version\":1}", -EBADMSG, "'name' is missing"},
                {BASE(",\"name\":\"m\""), -EBADMSG, "not valid JSON"},
                {"{\"version\":1,\"name\":\"\"}", -EBADMSG, "'name' is empty"},
                {"{\"version\":1,\"name\":\"n\",\"url\":7}", -EBADMSG, "'url' is not a string"},
                {"{\"version\":1,\"name\":\"n\",\"url\":\"u\",\"flow\":\"x\"}", -EBADMSG,
                        "'flow' is not a known word"},
                {"{\"version\":1,\"name\":\"n\",\"url\":\"u\",\"flow\":\"access_token\",\"state\":\"rotating\"}",
                        -EBADMSG, "'state' is not a known word"},
                {BASE(",\"runner_id\":-1"), -EBADMSG, "'runner_id' is out of range"},
                {BASE(",\"runner_id\":1.0"), -EBADMSG, "'runner_id' is not an integer"},
                {BASE(",\"runner_id\":\"1\""), -EBADMSG, "'runner_id' is not an integer"},
                {BASE(",\"runner_id\":9223372036854775808"), -EBADMSG, "not valid JSON"},
                {BASE(",\"dead_proofs\":4294967296"), -EBADMSG, "'dead_proofs' is out of range"},
                {BASE(",\"ours\":1"), -EBADMSG, "'ours' is neither true nor false"},
                {BASE(",\"token\":\"\""), -EBADMSG, "'token' is empty"},
                {BASE(",\"token\":\"a b\""), -EBADMSG, "'token' has a blank inside"},
                {BASE(",\"token\":\"a\\u0000b\""), -EBADMSG, "not valid JSON"},
                {BASE(",\"system_id\":\"\xff\""), -EBADMSG, "not valid JSON"},
                {BASE(",\"registered_at\":0"), -EBADMSG, "'registered_at' is neither a time nor null"},
                {BASE(",\"registered_at\":\"2026-02-29T00:00:00Z\""), -EBADMSG, "'registered_at' is not a time"},
                {BASE(",\"intent\":[]"), -EBADMSG, "not a JSON object"},
                {BASE(",\"intent\":{\"kind\":\"guess\"}"), -EBADMSG, "'kind' is not a known word"},
                {BASE(",\"debts\":{}"), -EBADMSG, "'debts' is not a list"},
                {BASE(",\"debts\":[7]"), -EBADMSG, "not a JSON object"},
                {BASE(",\"debts\":[{\"kind\":\"runner\"}]"), -EBADMSG, "not a JSON object"},
                {BASE(",\"debts\":[{\"kind\":\"runner\",\"target\":{}}]"), -EBADMSG, "'url' is missing"},
                {BASE(",\"debts\":[{\"kind\":\"orphan\",\"target\":{\"url\":\"u\"}}]"), 0, NULL},
                {BASE(",\"debts\":[{\"kind\":\"runner\",\"target\":{\"url\":\"u\"}}]"), -EBADMSG,
                        "a debt without a token"},
                {BASE(",\"debts\":[{\"kind\":\"manager\",\"token\":\"t\",\"target\":{\"url\":\"u\"}}]"), -EBADMSG,
                        "a manager's debt without a system_id"},
                {BASE(",\"manager_ours\":true"), -EBADMSG, "its manager is ours, but without a system_id"},
                {BASE(",\"state\":\"registered\""), -EBADMSG, "not valid JSON"},
                {"{\"version\":1,\"name\":\"n\",\"url\":\"u\",\"flow\":\"access_token\",\"state\":\"registered\"}",
                        -EBADMSG, "registered, but without a token"},
                {BASE(",\"leftovers\":7"), -EBADMSG, "'leftovers' is not a list"},
                {BASE(",\"leftovers\":[{\"url\":\"u\"}]"), -EBADMSG, "'token' is missing"},
                {BASE(",\"leftovers\":[1,1,1,1,1,1,1,1,1]"), -EBADMSG, "'leftovers' has more than 8 members"},
                {BASE("") "x", -EBADMSG, "not valid JSON"},
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                char *error;

                int r = decode(rows[i].text, strlen(rows[i].text), &error);
                if (r != rows[i].r)
                        fail_msg("row %zu: %d, expected %d", i, r, rows[i].r);
                assert_same(error, rows[i].error);
                free(error);
        }
}

static void test_bounds(void **state)
{
        Record *record = full_record(), *copy = NULL;
        Secret *text = NULL;
        char *error = NULL;
        Debt debt;

        while (record->n_debts < RECORD_DEBTS_MAX) {
                debt = (Debt){.kind = DEBT_ORPHAN, .target.url = strdup("u")};
                assert_int_equal(record_add_debt(record, &debt), 0);
        }
        debt = (Debt){.kind = DEBT_ORPHAN, .target.url = strdup("u")};
        assert_int_equal(record_add_debt(record, &debt), -E2BIG);
        assert_non_null(debt.target.url);
        debt_done(&debt);

        assert_int_equal(record_encode(record, &text), 0);
        assert_int_equal(record_decode(secret_data(text), secret_size(text), &copy, &error), 0);
        assert_int_equal(copy->n_debts, RECORD_DEBTS_MAX);
        record_free(copy);
        text = secret_free(text);

        record_remove_debt(record, 0);
        record_remove_debt(record, RECORD_DEBTS_MAX);
        assert_int_equal(record->n_debts, RECORD_DEBTS_MAX - 1);
        assert_int_equal(record->debts[0].kind, DEBT_ORPHAN);
        record_free(record);

        char *huge = malloc(RECORD_SIZE_MAX + 1);
        assert_non_null(huge);
        memset(huge, ' ', RECORD_SIZE_MAX + 1);
        memcpy(huge, BASE(""), strlen(BASE("")));
        assert_int_equal(decode(huge, RECORD_SIZE_MAX, &error), 0);
        assert_int_equal(decode(huge, RECORD_SIZE_MAX + 1, &error), -EBADMSG);
        free(error);
        free(huge);
}

/* Each once, the last one last, and no more of them than fit. */
static void test_leftovers(void **state)
{
        Record *record = full_record();
        _cleanup_secret_ Secret *token = NULL;
        char url[8];

        assert_int_equal(secret_new(TOKEN, strlen(TOKEN), &token), 0);
        for (unsigned i = 0; i < RECORD_LEFTOVERS_MAX + 2; i++) {
                (void)snprintf(url, sizeof(url), "u%u", i);
                assert_int_equal(record_add_leftover(record, url, token), 0);
        }
        assert_int_equal(record->n_leftovers, RECORD_LEFTOVERS_MAX);
        assert_string_equal(record->leftovers[0].url, "u2");
        assert_int_equal(record_add_leftover(record, "u4", token), 0);
        assert_int_equal(record->n_leftovers, RECORD_LEFTOVERS_MAX);
        assert_string_equal(record->leftovers[2].url, "u5");
        assert_string_equal(record->leftovers[RECORD_LEFTOVERS_MAX - 1].url, "u4");
        record_remove_leftover(record, RECORD_LEFTOVERS_MAX);
        record_remove_leftover(record, 0);
        assert_string_equal(record->leftovers[0].url, "u3");
        record_free(record);
}

/* What could not be read again is not written. */
static void test_unwritable(void **state)
{
        Record *record = full_record();
        Secret *text = NULL;
        char *name = record->name;

        record->state = RUNNER_STATE_ROTATING;
        assert_int_equal(record_encode(record, &text), -EINVAL);
        record->state = RUNNER_STATE_REGISTERED;

        Secret *token = take_ptr(record->token);
        assert_int_equal(record_encode(record, &text), -EINVAL);
        record->token = token;

        record->runner_id = -1;
        assert_int_equal(record_encode(record, &text), -EINVAL);
        record->runner_id = 1;

        record->name = (char *)"";
        assert_int_equal(record_encode(record, &text), -EINVAL);
        record->name = (char *)"\xc3";
        assert_int_equal(record_encode(record, &text), -EINVAL);
        record->name = NULL;
        assert_int_equal(record_encode(record, &text), -EINVAL);
        record->name = name;

        assert_int_equal(secret_append_string(record->token, " x"), 0);
        assert_int_equal(record_encode(record, &text), -EINVAL);
        assert_null(text);
        record_free(record);
}

/* Reasons are for people: whatever they hold, the rest of the record is kept. */
static void test_reason(void **state)
{
        Record *record = full_record(), *copy = NULL;
        Secret *text = NULL;
        char *error = NULL;

        record->reason = malloc(5000);
        assert_non_null(record->reason);
        memset(record->reason, 'x', 4999);
        record->reason[4999] = 0;
        memcpy(record->reason,
                "a\x1b\xff"
                "b",
                4);
        assert_int_equal(record_encode(record, &text), 0);
        assert_int_equal(record_decode(secret_data(text), secret_size(text), &copy, &error), 0);
        assert_memory_equal(copy->reason, "a ?bx", 5);
        assert_true(strlen(copy->reason) <= 512);
        record_free(record);
        record_free(copy);
        secret_free(text);
}

static void test_targets(void **state)
{
        Target a = {.url = strdup("u"), .proxy = strdup("p")},
               b = {.url = strdup("old"), .tls_ca_file = strdup("ca")};

        assert_int_equal(target_copy(&b, &a), 0);
        assert_equal_targets(&a, &b);
        assert_ptr_not_equal(a.url, b.url);
        target_done(&a);
        target_done(&b);

        char *text = NULL;
        assert_int_equal(replace_string(&text, "x"), 0);
        assert_int_equal(replace_string(&text, text), 0);
        assert_string_equal(text, "x");
        assert_int_equal(replace_string(&text, NULL), 0);
        assert_null(text);
}

static void test_words(void **state)
{
        assert_string_equal(flow_to_string(FLOW_REGISTRATION_TOKEN), "registration_token");
        assert_string_equal(runner_state_to_string(RUNNER_STATE_WITHDRAWING), "withdrawing");
        assert_string_equal(debt_kind_to_string(DEBT_ORPHAN), "orphan");
        assert_string_equal(runner_state_to_string(_RUNNER_STATE_INVALID), "unknown");
        assert_string_equal(flow_to_string(_FLOW_MAX), "unknown");
        for (int i = 0; i < _RUNNER_STATE_MAX; i++)
                assert_non_null(runner_state_to_string((RunnerState)i));
}

/* Whichever block is the one that is not there: an error, nothing half done, nothing lost. */
static void test_out_of_memory(void **state)
{
        Record *record = full_record(), *copy = NULL;
        Secret *text = NULL;
        char *error = NULL;
        size_t n = 0;
        int r;

        json_set_alloc_funcs(failing_malloc, free);
        do {
                blocks_left = n++;
                r = record_encode(record, &text);
                assert_true(r == 0 || (r == -ENOMEM && !text));
        } while (r < 0);
        assert_true(n > 50);
        n = 0;
        do {
                blocks_left = n++;
                r = record_decode(secret_data(text), secret_size(text), &copy, &error);
                assert_true(r == 0 || !copy);
                free(error);
                error = NULL;
        } while (r < 0);
        assert_equal_records(record, copy);
        json_set_alloc_funcs(malloc, free);

        record_free(record);
        record_free(copy);
        secret_free(text);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_round_trip),
                cmocka_unit_test(test_form),
                cmocka_unit_test(test_truncated),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_bounds),
                cmocka_unit_test(test_leftovers),
                cmocka_unit_test(test_unwritable),
                cmocka_unit_test(test_reason),
                cmocka_unit_test(test_targets),
                cmocka_unit_test(test_words),
                cmocka_unit_test(test_out_of_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
