/* What is full: debts, entries, candidates, notices. Nothing of it loses a token, and nothing grows. */

#include "tests/unit/life.h"

#define OTHER_URL "https://other.example.com"

/* N debts of KIND at URL, each with a token of its own. */
static void owe(Record *record, DebtKind kind, const char *url, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                Debt debt = {.kind = kind, .runner_id = 1000 + (int64_t)i, .since_usec = LIFE_START - DAY};
                char token[32];

                (void)snprintf(token, sizeof(token), "owed-%zu", record->n_debts);
                assert_int_equal(replace_string(&debt.target.url, url), 0);
                if (kind == DEBT_MANAGER)
                        assert_int_equal(replace_string(&debt.system_id, "s_0123456789ab"), 0);
                if (kind != DEBT_ORPHAN)
                        debt.token = life_secret(token);
                assert_int_equal(record_add_debt(record, &debt), 0);
        }
}

/* ---- debts ---- */

/* A debt that does not fit loses less than an answer that is not taken. */
static void test_a_new_runner_is_taken_though_the_old_one_does_not_fit(void **state)
{
        Record *record = life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a");
        Answer answer = {.kind = INTENT_CREATE,
                .runner_id = 43,
                .token = life_secret("tok-b"),
                .intent_since_usec = LIFE_START - USEC_PER_SEC};
        Life life;

        owe(record, DEBT_RUNNER, OTHER_URL, RECORD_DEBTS_MAX);
        record->intent.kind = INTENT_CREATE;
        record->intent.since_usec = answer.intent_since_usec;
        life_begin_with(&life, life_plan(FLOW_REGISTRATION_TOKEN), record, &answer, false);
        PLAY(&life, {START, SAVE});
        life_check_token(&life, "tok-b");
        assert_int_equal(lifecycle_record(life.l)->runner_id, 43);
        assert_int_equal(lifecycle_record(life.l)->n_debts, RECORD_DEBTS_MAX);
        life_end(&life);
        answer_done(&answer);
}

/* What can't be noted is not forgotten either; what nobody can pay makes room. */
static void test_withdraws_only_what_it_can_owe(void **state)
{
        static const struct {
                size_t orphans;
                bool fits;
        } rows[] = {{0, false}, {1, true}};

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Record *record = life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a");
                Life life;

                owe(record, DEBT_RUNNER, OTHER_URL, RECORD_DEBTS_MAX - rows[i].orphans);
                owe(record, DEBT_ORPHAN, LIFE_URL, rows[i].orphans);
                life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
                life_learn(&life, "tok-a");
                PLAY(&life, {START, WRITE}, {DONE, WAIT}, {COMMAND(DEREGISTER), rows[i].fits ? SAVE : WAIT});
                life_check_token(&life, rows[i].fits ? NULL : "tok-a");
                life_check_state(&life, rows[i].fits ? RUNNER_STATE_WITHDRAWING : RUNNER_STATE_REGISTERED);
                assert_int_equal(record->n_debts, RECORD_DEBTS_MAX);
                for (size_t k = 0; k < record->n_debts; k++)
                        assert_int_equal(record->debts[k].kind, DEBT_RUNNER);
                if (!rows[i].fits)
                        life_check_outcome(&life, 1);
                life_end(&life);
        }
}

/* gitlab-runner has rotated what is withdrawn, and there is room for one of the two tokens: the other one's entry
 * stays where it is. */
static void test_withdraws_no_entry_that_it_can_not_owe(void **state)
{
        static const struct {
                size_t owed;
                const char *removed;
        } rows[] = {{RECORD_DEBTS_MAX - 2, "tok-b"}, {RECORD_DEBTS_MAX - 1, "tok-a"}};

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Record *record = life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a");
                Secret *rotated = life_secret("tok-b");
                const EntryView view = {.url = LIFE_URL, .token = rotated, .runner_id = 42};
                EntryEdit edit;
                Life life;

                owe(record, DEBT_RUNNER, OTHER_URL, rows[i].owed);
                life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
                const Event found = {.kind = EVENT_ENTRIES, .now = life.now, .entries = &view, .n_entries = 1};
                lifecycle_learn_entries(life.l, &found);
                secret_free(rotated);
                PLAY(&life, {START, SEND(VERIFY)}, {UNCLEAR, WAIT}, {COMMAND(DEREGISTER), SAVE});
                assert_int_equal(record->n_debts, RECORD_DEBTS_MAX);
                PLAY(&life, {DONE, REMOVE});
                lifecycle_entry_edit(life.l, &edit);
                assert_string_equal(secret_data(edit.holds), rows[i].removed);
                life_end(&life);
        }
}

/* The same where the url was changed: what can't be owed stays in the record. */
static void test_a_new_url_forgets_nothing_that_it_can_not_owe(void **state)
{
        static const struct {
                size_t owed;
                bool rotated;
                const char *kept;
        } rows[] = {
                {RECORD_DEBTS_MAX - 1, false, NULL},
                {RECORD_DEBTS_MAX, false, "tok-a"},
                {RECORD_DEBTS_MAX - 2, true, NULL},
                {RECORD_DEBTS_MAX - 1, true, "tok-b"},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Record *record = life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a");
                Secret *token = life_secret(rows[i].rotated ? "tok-b" : "tok-a");
                const EntryView view = {.url = "https://old.example.com", .token = token, .runner_id = 42};
                Life life;

                assert_int_equal(replace_string(&record->url, "https://old.example.com"), 0);
                owe(record, DEBT_RUNNER, OTHER_URL, rows[i].owed);
                life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
                const Event found = {.kind = EVENT_ENTRIES, .now = life.now, .entries = &view, .n_entries = 1};
                lifecycle_learn_entries(life.l, &found);
                secret_free(token);
                (void)life_step(&life, &(Line){START, WAIT});
                life_check_token(&life, rows[i].kept);
                assert_int_equal(record->n_debts, RECORD_DEBTS_MAX);
                life_end(&life);
        }
}

/* ---- what is asked about ---- */

static void test_asks_about_so_many_and_no_more(void **state)
{
        Record *record = life_record(FLOW_REGISTRATION_TOKEN);
        unsigned asked = 0;
        Life life;

        owe(record, DEBT_RUNNER, LIFE_URL, LIFECYCLE_CANDIDATES_MAX + 4);
        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
        PLAY(&life, {START, WAIT}, {TIME, SEND(VERIFY)});
        for (; life.last.kind == ACTION_SEND && life.last.call == CALL_VERIFY; asked++)
                (void)life_step(&life, &(Line){DEAD, WAIT});
        assert_int_equal(asked, LIFECYCLE_CANDIDATES_MAX);
        assert_int_equal(life.last.call, CALL_PROBE);
        life_end(&life);
}

static void test_looks_at_so_many_entries_and_no_more(void **state)
{
        Secret *tokens[LIFECYCLE_CANDIDATES_MAX + 1];
        EntryView views[ELEMENTS(tokens)];
        unsigned asked = 0;
        Life life;

        for (size_t i = 0; i < ELEMENTS(tokens); i++) {
                char text[32];

                (void)snprintf(text, sizeof(text), "tok-%zu", i);
                tokens[i] = life_secret(text);
                views[i] = (EntryView){.url = LIFE_URL, .token = tokens[i]};
        }
        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-16"));
        const Event found = {.kind = EVENT_ENTRIES, .now = life.now, .entries = views, .n_entries = ELEMENTS(views)};
        lifecycle_learn_entries(life.l, &found);
        for (size_t i = 0; i < ELEMENTS(tokens); i++)
                secret_free(tokens[i]);
        PLAY(&life, {START, SEND(VERIFY)});
        for (; life.last.kind == ACTION_SEND && life.last.call == CALL_VERIFY; asked++) {
                assert_string_not_equal(secret_data(life.last.arguments.token), "tok-16");
                (void)life_step(&life, &(Line){DEAD, WAIT});
        }
        assert_int_equal(asked, LIFECYCLE_CANDIDATES_MAX);
        life_end(&life);
}

/* ---- what is said ---- */

/* Nobody listens for a while: the first are kept. */
static void test_keeps_so_many_notices_and_no_more(void **state)
{
        static const bool taken[] = {true, false};

        for (size_t i = 0; i < ELEMENTS(taken); i++) {
                unsigned n = 0;
                Notice notice;
                char *sentence;
                Life life;

                life_begin(
                        &life, life_plan(FLOW_REGISTRATION_TOKEN), life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a"));
                life_learn(&life, "tok-a");
                PLAY(&life, {START, WRITE}, {DONE, WAIT});
                life.deaf = true;
                for (unsigned round = 0; round < 10; round++)
                        PLAY(&life, {TIME, SEND(VERIFY)}, {UNCLEAR, WAIT}, {TIME, SEND(VERIFY)},
                                {ALIVE_ID(42), WAIT});
                for (; taken[i] && lifecycle_take_notice(life.l, &notice, &sentence); n++) {
                        assert_int_equal(notice, n % 2 ? NOTICE_ALIVE_AGAIN : NOTICE_DOUBTFUL);
                        free(sentence);
                }
                if (taken[i])
                        assert_int_equal(n, 8);
                life_end(&life);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_new_runner_is_taken_though_the_old_one_does_not_fit),
                cmocka_unit_test(test_withdraws_only_what_it_can_owe),
                cmocka_unit_test(test_withdraws_no_entry_that_it_can_not_owe),
                cmocka_unit_test(test_a_new_url_forgets_nothing_that_it_can_not_owe),
                cmocka_unit_test(test_asks_about_so_many_and_no_more),
                cmocka_unit_test(test_looks_at_so_many_entries_and_no_more),
                cmocka_unit_test(test_keeps_so_many_notices_and_no_more),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
