/* Stops: what is cut, what is waited for, and what of it fits into the time. */

#include "tests/unit/life.h"

/* Whatever makes a token is waited for: its answer is the only one that tells it. */
static void test_waits_for_what_makes_a_token(void **state)
{
        static const struct {
                Flow flow;
                const char *secret;
                Line sent;
        } rows[] = {
                {FLOW_REGISTRATION_TOKEN, "GR1348941a", {DONE, SEND(REGISTER)}},
                {FLOW_ACCESS_TOKEN, "glpat-a", {DONE, SEND(CREATE)}},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Life life;

                life_begin(&life, life_plan(rows[i].flow), life_record(rows[i].flow));
                PLAY(&life, {START, WAIT}, {TIME, READ}, {SECRET(rows[i].secret), PREPARE}, rows[i].sent,
                        {STOP_IN(900 * USEC_PER_MSEC, .withdraw = false), KEEP}, {GIVEN(42, "tok-a"), JOURNAL});
                life_end(&life);
        }

        Life life;
        life_live_well(&life, FLOW_REGISTRATION_TOKEN);
        PLAY(&life, {COMMAND(ROTATE), PREPARE}, {DONE, SEND(RESET)},
                {STOP_IN(900 * USEC_PER_MSEC, .withdraw = false), KEEP}, {GIVEN(0, "tok-b"), JOURNAL});
        life_end(&life);
}

/* Told to stop while the disk makes room: no reset is sent any more. */
static void test_sends_no_reset_any_more(void **state)
{
        static const Line prepared[] = {{DONE, SAVE}, {BROKEN, SAVE}};

        for (size_t i = 0; i < ELEMENTS(prepared); i++) {
                Life life;

                life_live_well(&life, FLOW_REGISTRATION_TOKEN);
                PLAY(&life, {COMMAND(ROTATE), PREPARE}, {STOP_IN(900 * USEC_PER_MSEC, .withdraw = false), KEEP},
                        prepared[i], {DONE, STOPPED});
                life_check_token(&life, "tok-a");
                assert_int_equal(lifecycle_record(life.l)->intent.kind, INTENT_NONE);
                life_check_outcome(&life, i == 0 ? 75 : 1);
                life_end(&life);
        }
}

/* Somebody else has written another token: what goes may live under that one by now, so it is asked about, once, and
 * in half of the time. */
static void test_asks_about_what_others_wrote(void **state)
{
        static const struct {
                Line answer;
                const char *deleted;
        } rows[] = {
                {{ALIVE_ID(42), SAVE}, "tok-b"},
                {{UNCLEAR, SAVE}, "tok-a"},
                {{TIME, SAVE}, "tok-a"},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Life life;

                life_live_well(&life, FLOW_REGISTRATION_TOKEN);
                PLAY(&life, {ENTRIES("tok-b"), SEND(VERIFY)}, {UNCLEAR, WAIT},
                        {STOP_IN(30 * USEC_PER_SEC, .withdraw = true), SEND(VERIFY)});
                assert_string_equal(secret_data(life.last.arguments.token), "tok-b");
                assert_true(life.last.until_usec - life.now.boottime_usec <= 15 * USEC_PER_SEC);
                PLAY(&life, rows[i].answer, {DONE, REMOVE}, {CHANGED, TELL},
                        {TOLD(NOT_RUNNING), SEND(DELETE_RUNNER)});
                assert_string_equal(secret_data(life.last.arguments.token), rows[i].deleted);
                life_end(&life);
        }
}

/* The verify that was cut may arrive after our delete and make the manager again: its 404 is waited for, though
 * nobody polls. */
static void test_a_verify_that_was_cut_may_still_arrive(void **state)
{
        static const bool cut[] = {true, false};

        for (size_t i = 0; i < ELEMENTS(cut); i++) {
                Life life;

                life_live_well(&life, FLOW_AUTHENTICATION_TOKEN);
                PLAY(&life, {TIME, SEND(VERIFY)});
                if (!cut[i])
                        PLAY(&life, {ALIVE_ID(42), WAIT});
                PLAY(&life, {STOP_IN(30 * USEC_PER_SEC, .withdraw = true), SAVE});
                if (cut[i])
                        PLAY(&life, {ALIVE_ID(42), KEEP}); /* nobody waits for it any more */
                PLAY(&life, {DONE, REMOVE}, {CHANGED, TELL}, {TOLD(NOT_RUNNING), SEND(DELETE_MANAGER)},
                        {YES, cut[i] ? WAIT : SAVE});
                life_end(&life);
        }
}

/* Another call that was cut makes no manager. */
static void test_a_delete_that_was_cut_is_no_verify(void **state)
{
        Record *record = life_enrolled(FLOW_AUTHENTICATION_TOKEN, "tok-a");
        Debt debt = {.kind = DEBT_RUNNER, .runner_id = 7, .since_usec = LIFE_START, .token = life_secret("tok-1")};
        Life life;

        assert_int_equal(replace_string(&debt.target.url, "https://other.example.com"), 0);
        assert_int_equal(record_add_debt(record, &debt), 0);
        life_begin(&life, life_plan(FLOW_AUTHENTICATION_TOKEN), record);
        life_learn(&life, "tok-a");
        PLAY(&life, {START, WRITE}, {DONE, READ}, {SECRET("tok-a"), SAVE}, {DONE, WAIT}, {TIME, SEND(VERIFY)},
                {ALIVE_ID(42), WAIT}, {TIME, SEND(DELETE_RUNNER)},
                {STOP_IN(30 * USEC_PER_SEC, .withdraw = true), SAVE}, {DONE, REMOVE}, {CHANGED, TELL},
                {TOLD(NOT_RUNNING), SEND(DELETE_MANAGER)}, {YES, SEND(DELETE_RUNNER)});
        life_end(&life);
}

/* GitLab's answer comes when the time is over: nothing is tried again. */
static void test_an_answer_after_the_end(void **state)
{
        Life life;

        life_live_well(&life, FLOW_REGISTRATION_TOKEN);
        PLAY(&life, {STOP_IN(30 * USEC_PER_SEC, .withdraw = true), SAVE}, {DONE, REMOVE}, {CHANGED, TELL},
                {TOLD(NOT_RUNNING), SEND(DELETE_RUNNER)});
        life_pass(&life, 30 * USEC_PER_SEC);
        PLAY(&life, {UNCLEAR, STOPPED});
        assert_int_equal(lifecycle_record(life.l)->n_debts, 1);
        life_end(&life);
}

/* The last word of the disk is said, and holds up nothing. */
static void test_saves_as_long_as_it_can(void **state)
{
        static const Line last[] = {{DONE, STOPPED}, {BROKEN, STOPPED}};

        for (size_t i = 0; i < ELEMENTS(last); i++) {
                Life life;

                life_live_well(&life, FLOW_REGISTRATION_TOKEN);
                PLAY(&life, {TIME, SEND(VERIFY)}, {DEAD, SAVE}, {BROKEN, WAIT}, {STOP_IN(0, .withdraw = true), SAVE});
                unsigned before = life.notices[NOTICE_TROUBLE];
                PLAY(&life, last[i]);
                assert_int_equal(life.notices[NOTICE_TROUBLE] - before, i);
                life_end(&life);
        }
}

/* What is not enrolled, and what somebody else has written over, is not handed back. */
static void test_hands_back_only_what_it_has(void **state)
{
        Life life;

        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), life_record(FLOW_REGISTRATION_TOKEN));
        PLAY(&life, {START, WAIT}, {STOP_IN(900 * USEC_PER_MSEC, .hand_back = true), STOPPED});
        life_end(&life);

        life_live_well(&life, FLOW_REGISTRATION_TOKEN);
        PLAY(&life, {ENTRIES("tok-b"), SEND(VERIFY)}, {UNCLEAR, WAIT},
                {STOP_IN(900 * USEC_PER_MSEC, .hand_back = true), SAVE}, {DONE, STOPPED});
        assert_true(lifecycle_record(life.l)->handed_back);
        life_end(&life);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_waits_for_what_makes_a_token),
                cmocka_unit_test(test_sends_no_reset_any_more),
                cmocka_unit_test(test_asks_about_what_others_wrote),
                cmocka_unit_test(test_a_verify_that_was_cut_may_still_arrive),
                cmocka_unit_test(test_a_delete_that_was_cut_is_no_verify),
                cmocka_unit_test(test_an_answer_after_the_end),
                cmocka_unit_test(test_saves_as_long_as_it_can),
                cmocka_unit_test(test_hands_back_only_what_it_has),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
