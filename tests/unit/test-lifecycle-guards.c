/* Rare company: sources that give no token, answers that lack what was asked for. */

#include "tests/unit/life.h"

/* What is enrolled needs its source no more: whatever stands there now, its token goes on. */
static void test_sources_that_give_no_token(void **state)
{
        static const struct {
                Line line;
                bool trouble;
        } rows[] = {
                {{SECRET("a b"), WAIT}, true},
                {{NO_SECRET, WAIT}, true},
                {{SECRET_GONE("'/etc/token' is not there"), WAIT}, true},
                {{NO_MEMORY, WAIT}, false},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Life life;

                life_live(&life, life_plan(FLOW_AUTHENTICATION_TOKEN),
                        life_enrolled(FLOW_AUTHENTICATION_TOKEN, "tok-a"));
                PLAY(&life, {ALIVE_ID(42), WAIT});
                unsigned before = life.notices[NOTICE_TROUBLE];
                (void)life_step(&life, &(Line){RELOAD, WAIT});
                for (unsigned n = 0; n < 10 && life.last.kind != ACTION_READ_SECRET; n++)
                        (void)life_step(
                                &life, life.last.kind == ACTION_WAIT ? &(Line){TIME, WAIT} : &(Line){DONE, WAIT});
                assert_int_equal(life.last.kind, ACTION_READ_SECRET);
                PLAY(&life, rows[i].line);
                assert_int_equal(life.notices[NOTICE_TROUBLE] - before, rows[i].trouble);
                life_check_token(&life, "tok-a");
                life_check_state(&life, RUNNER_STATE_REGISTERED);
                life_end(&life);
        }
}

/* A throttle that tells its place, but no time, is obeyed too. */
static void test_a_place_without_a_time(void **state)
{
        Life life;

        life_live(&life, life_plan(FLOW_REGISTRATION_TOKEN), life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a"));
        PLAY(&life, {REPLY(.verdict = VERDICT_WAIT, .spread = 3, .spread_usec = 10 * USEC_PER_MINUTE,
                             .message = (char *)"Retry later"),
                            WAIT});
        assert_true(life.last.until_usec - life.now.boottime_usec >= 20 * USEC_PER_MINUTE);
        life_end(&life);
}

/* ---- what others are told ---- */

static void test_what_is_told(void **state)
{
        Life life;
        uint64_t at;
        const char *rule;

        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a"));
        assert_null(lifecycle_last_verdict(life.l));
        life_learn(&life, "tok-a");
        PLAY(&life, {START, WRITE});
        assert_true(lifecycle_unwritten(life.l));
        assert_string_equal(lifecycle_next(life.l, life.now, &at, &rule), "write files");
        PLAY(&life, {DONE, WAIT}, {TIME, SEND(VERIFY)});
        assert_string_equal(lifecycle_next(life.l, life.now, &at, &rule), "verify");
        assert_string_equal(rule, "under way");
        PLAY(&life, {ALIVE_ID(42), WAIT});
        assert_string_equal(lifecycle_last_verdict(life.l), "alive");
        assert_false(lifecycle_unwritten(life.l));
        PLAY(&life, {ENTRIES(""), SEND(VERIFY)});
        assert_true(lifecycle_unwritten(life.l));
        PLAY(&life, {ALIVE_ID(42), WRITE}, {CHANGED, TELL});
        assert_string_equal(lifecycle_next(life.l, life.now, &at, &rule), "tell gitlab-runner");
        life_end(&life);
}

/* Who is configured no more stays listed until the last call about it is over. */
static void test_settled(void **state)
{
        Plan plan = life_plan(FLOW_REGISTRATION_TOKEN);
        Record *record = life_record(FLOW_REGISTRATION_TOKEN);
        Debt debt = {.kind = DEBT_RUNNER, .runner_id = 7, .token = life_secret("tok-o")};
        Life life;

        plan.configured = false;
        assert_int_equal(replace_string(&debt.target.url, LIFE_URL), 0);
        assert_int_equal(record_add_debt(record, &debt), 0);
        debt_done(&debt);
        life_begin(&life, plan, record);
        (void)life_step(&life, &(Line){START, WAIT});
        for (unsigned i = 0; i < 20 && !lifecycle_settled(life.l); i++)
                (void)life_step(&life, life.last.kind == ACTION_WAIT   ? &(Line){TIME, WAIT}
                                       : life.last.kind == ACTION_SEND ? &(Line){GONE, WAIT}
                                                                       : &(Line){DONE, WAIT});
        assert_true(lifecycle_settled(life.l));
        assert_int_equal(life.last.kind, ACTION_WAIT);
        life_end(&life);
}

/* ---- answers ---- */

/* The life of a new token is shorter than it takes to ask again: it is left alone that long all the same. */
static void test_short_lives(void **state)
{
        Record *record = life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a");
        Life life;

        record->token_expires_at_usec = LIFE_START + USEC_PER_MINUTE;
        life_live(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
        (void)life_step(&life, &(Line){ALIVE_UNTIL(42, LIFE_START + USEC_PER_MINUTE), WAIT});
        for (unsigned i = 0; i < 20 && !(life.last.kind == ACTION_SEND && life.last.call == CALL_RESET); i++)
                (void)life_step(&life, life.last.kind == ACTION_WAIT ? &(Line){TIME, WAIT}
                                       : life.last.kind == ACTION_SEND
                                               ? &(Line){ALIVE_UNTIL(42, LIFE_START + USEC_PER_MINUTE), WAIT}
                                               : &(Line){DONE, WAIT});
        assert_int_equal(life.last.call, CALL_RESET);
        const uint64_t at = life.now.boottime_usec;
        PLAY(&life, {GIVEN_UNTIL(42, "tok-b", life.now.realtime_usec + 2 * USEC_PER_MINUTE), JOURNAL});
        for (unsigned i = 0; i < 60 && !(life.last.kind == ACTION_SEND && life.last.call == CALL_RESET); i++)
                (void)life_step(&life, life.last.kind == ACTION_WAIT   ? &(Line){TIME, WAIT}
                                       : life.last.kind == ACTION_TELL ? &(Line){TOLD(DONE), WAIT}
                                       : life.last.kind == ACTION_SEND ? &(Line){ALIVE_ID(42), WAIT}
                                                                       : &(Line){DONE, WAIT});
        life_check_token(&life, "tok-b");
        assert_true(life.now.boottime_usec - at >= 5 * USEC_PER_MINUTE);
        life_end(&life);
}

/* A rotation's answer that was journalled before the url changed: the old GitLab's, and what is owed there. */
static void test_answer_of_another_gitlab(void **state)
{
        static const IntentKind kinds[] = {INTENT_RESET, INTENT_RESET_BY_ID, INTENT_CREATE};

        for (size_t i = 0; i < ELEMENTS(kinds); i++) {
                Plan plan = life_plan(FLOW_REGISTRATION_TOKEN);
                Record *old = life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a");
                Answer answer = {.kind = kinds[i],
                        .runner_id = 42,
                        .token = life_secret("tok-b"),
                        .intent_since_usec = LIFE_START - USEC_PER_SEC};
                Life life;

                plan.target.url = (char *)"https://new.example.com";
                old->intent.kind = kinds[i];
                old->intent.since_usec = answer.intent_since_usec;
                life_begin_with(&life, plan, old, &answer, false);
                (void)life_step(&life, &(Line){START, WAIT});
                const Record *record = lifecycle_record(life.l);
                assert_int_equal(record->n_debts, 1);
                assert_int_equal(record->debts[0].kind, DEBT_RUNNER);
                assert_string_equal(record->debts[0].target.url, LIFE_URL);
                assert_string_equal(secret_data(record->debts[0].token), "tok-b");
                life_check_token(&life, NULL);
                life_end(&life);
                answer_done(&answer);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_sources_that_give_no_token),
                cmocka_unit_test(test_a_place_without_a_time),
                cmocka_unit_test(test_what_is_told),
                cmocka_unit_test(test_settled),
                cmocka_unit_test(test_short_lives),
                cmocka_unit_test(test_answer_of_another_gitlab),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
