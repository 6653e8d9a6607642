/* A command without an agent: one pass, and nobody stays. */

#include "tests/unit/life.h"

static Plan once(Flow flow)
{
        Plan plan = life_plan(flow);

        plan.once = true;
        return plan;
}

static void test_pass_registers_and_hands_over(void **state)
{
        EntryEdit edit;
        Life life;

        life_begin(&life, once(FLOW_REGISTRATION_TOKEN), life_record(FLOW_REGISTRATION_TOKEN));
        PLAY(&life, {START, WAIT}, {COMMAND(REGISTER), READ}, {SECRET("GR1348941a"), PREPARE}, {DONE, SEND(REGISTER)},
                {GIVEN_UNTIL(42, "tok-a", LIFE_START + 90 * DAY), JOURNAL}, {DONE, SAVE}, {DONE, WRITE});
        /* Nobody stays to rotate: gitlab-runner sees the true times. */
        lifecycle_entry_edit(life.l, &edit);
        assert_int_equal(edit.expires_at->tv_sec, (LIFE_START + 90 * DAY) / USEC_PER_SEC);
        PLAY(&life, {CHANGED, TELL}, {TOLD(DONE), WAIT});
        life_check_outcome(&life, 0);
        assert_int_equal(life.last.until_usec, USEC_INFINITY);
        life_end(&life);
}

/* A new token may have been configured: it is read first. */
static void test_pass_reads_the_source_first(void **state)
{
        Life life;

        life_begin(&life, once(FLOW_AUTHENTICATION_TOKEN), life_enrolled(FLOW_AUTHENTICATION_TOKEN, "tok-a"));
        life_learn(&life, "tok-a");
        PLAY(&life, {START, WAIT}, {COMMAND(REGISTER), WRITE}, {DONE, READ}, {SECRET("tok-b"), SEND(VERIFY)},
                {ALIVE_ID(43), SAVE}, {DONE, WRITE}, {CHANGED, TELL}, {TOLD(DONE), SEND(VERIFY)},
                {ALIVE_ID(43), WAIT});
        life_check_outcome(&life, 0);
        life_check_token(&life, "tok-b");
        life_end(&life);
}

/* Whose it is not is not handed over, nor what was. */
static void test_pass_hands_over_what_is_ours_and_once(void **state)
{
        static const struct {
                bool ours, before, after;
        } rows[] = {{true, false, true}, {true, true, true}, {false, false, false}};

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Record *record = life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a");
                Life life;

                record->ours = rows[i].ours;
                record->handed_back = rows[i].before;
                life_begin(&life, once(FLOW_REGISTRATION_TOKEN), record);
                life_learn(&life, "tok-a");
                PLAY(&life, {START, WAIT}, {COMMAND(REGISTER), WRITE}, {DONE, SEND(VERIFY)},
                        {REPLY(.verdict = VERDICT_ALIVE, .identity.runner_id = 42),
                                rows[i].before != rows[i].after ? SAVE : WAIT});
                assert_int_equal(record->handed_back, rows[i].after);
                life_end(&life);
        }
}

/* `never` is kept to where nobody stays, too. */
static void test_pass_hands_over_nothing_that_is_never_rotated(void **state)
{
        static const RotationPolicy policies[] = {ROTATION_AUTO, ROTATION_ALWAYS, ROTATION_NEVER};

        for (size_t i = 0; i < ELEMENTS(policies); i++) {
                Plan plan = once(FLOW_REGISTRATION_TOKEN);
                Life life;

                plan.rotation = policies[i];
                life_begin(&life, plan, life_record(FLOW_REGISTRATION_TOKEN));
                PLAY(&life, {START, WAIT}, {COMMAND(REGISTER), READ}, {SECRET("GR1348941a"), PREPARE},
                        {DONE, SEND(REGISTER)}, {GIVEN(42, "tok-a"), JOURNAL}, {DONE, SAVE}, {DONE, WRITE});
                assert_int_equal(lifecycle_record(life.l)->handed_back, policies[i] != ROTATION_NEVER);
                life_end(&life);
        }
}

/* Nothing to do is success, for a runner of ours its times apart. */
static void test_pass_leaves_what_is_enrolled(void **state)
{
        Life life;

        life_begin(&life, once(FLOW_REGISTRATION_TOKEN), life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a"));
        life_learn(&life, "tok-a");
        PLAY(&life, {START, WAIT}, {COMMAND(REGISTER), WRITE}, {DONE, SEND(VERIFY)}, {ALIVE_ID(42), SAVE},
                {DONE, WRITE}, {DONE, WAIT});
        life_check_outcome(&life, 0);
        life_end(&life);
}

/* One pass: nothing is tried twice. */
static void test_pass_tries_nothing_twice(void **state)
{
        static const struct {
                Line reply;
                int code;
        } rows[] = {
                {{LOST, SAVE}, 75},
                {{REFUSED, SAVE}, 77},
                {{BUSY(USEC_PER_SEC), SAVE}, 75},
                {{NO_TLS, SAVE}, 1},
                {{UNCLEAR, SAVE}, 75},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Life life;

                life_begin(&life, once(FLOW_REGISTRATION_TOKEN), life_record(FLOW_REGISTRATION_TOKEN));
                PLAY(&life, {START, WAIT}, {COMMAND(REGISTER), READ}, {SECRET("GR1348941a"), PREPARE},
                        {DONE, SEND(REGISTER)});
                assert_int_equal(life_step(&life, &rows[i].reply).kind, ACTION_SAVE);
                PLAY(&life, {DONE, WAIT});
                life_check_outcome(&life, rows[i].code);
                assert_int_equal(life.last.until_usec, USEC_INFINITY);
                life_end(&life);
        }
}

/* A dead entry is reported and left alone. */
static void test_pass_leaves_a_dead_entry_alone(void **state)
{
        Life life;

        life_begin_with(&life, once(FLOW_REGISTRATION_TOKEN), life_record(FLOW_REGISTRATION_TOKEN), NULL, true);
        life_learn(&life, "tok-a");
        PLAY(&life, {START, WAIT}, {COMMAND(REGISTER), SEND(VERIFY)}, {DEAD, SAVE}, {DONE, WAIT});
        life_check_outcome(&life, 77);
        life_end(&life);
}

/* In a pass nothing was heard of the token yet: it is asked about first. */
static void test_pass_rotates_what_it_has_verified(void **state)
{
        Life life;

        life_begin(&life, once(FLOW_REGISTRATION_TOKEN), life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a"));
        life_learn(&life, "tok-a");
        PLAY(&life, {START, WAIT}, {COMMAND(ROTATE), WRITE}, {DONE, SEND(VERIFY)}, {ALIVE_ID(42), PREPARE},
                {DONE, SEND(RESET)}, {GIVEN(0, "tok-b"), JOURNAL}, {DONE, SAVE}, {DONE, WRITE}, {CHANGED, TELL},
                {TOLD(DONE), WAIT});
        life_check_outcome(&life, 0);
        life_end(&life);
}

static void test_pass_withdraws(void **state)
{
        Life life;

        life_begin(&life, once(FLOW_REGISTRATION_TOKEN), life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a"));
        life_learn(&life, "tok-a");
        PLAY(&life, {START, WAIT}, {COMMAND(DEREGISTER), SAVE}, {DONE, REMOVE}, {CHANGED, TELL},
                {TOLD(NOT_RUNNING), SEND(DELETE_RUNNER)}, {UNCLEAR, WAIT}, {TIME, SEND(DELETE_RUNNER)}, {YES, SAVE},
                {DONE, WAIT});
        life_check_outcome(&life, 0);
        life_end(&life);
}

/* What a crash left is settled before anything else, by whatever pass comes first. */
static void test_pass_applies_a_journalled_answer(void **state)
{
        Record *record = life_record(FLOW_REGISTRATION_TOKEN);
        Answer answer = {.kind = INTENT_CREATE,
                .runner_id = 42,
                .token = life_secret("tok-a"),
                .obtained_at_usec = LIFE_START,
                .intent_since_usec = 1};
        Life life;

        record->intent = (Intent){.kind = INTENT_CREATE, .since_usec = 1};
        life_begin_with(&life, once(FLOW_REGISTRATION_TOKEN), record, &answer, false);
        PLAY(&life, {START, SAVE}, {DONE, WRITE}, {CHANGED, TELL}, {TOLD(DONE), WAIT},
                {COMMAND(VERIFY), SEND(VERIFY)}, {ALIVE_ID(42), WAIT});
        life_check_outcome(&life, 0);
        life_end(&life);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_pass_registers_and_hands_over),
                cmocka_unit_test(test_pass_reads_the_source_first),
                cmocka_unit_test(test_pass_hands_over_what_is_ours_and_once),
                cmocka_unit_test(test_pass_hands_over_nothing_that_is_never_rotated),
                cmocka_unit_test(test_pass_leaves_what_is_enrolled),
                cmocka_unit_test(test_pass_tries_nothing_twice),
                cmocka_unit_test(test_pass_leaves_a_dead_entry_alone),
                cmocka_unit_test(test_pass_rotates_what_it_has_verified),
                cmocka_unit_test(test_pass_withdraws),
                cmocka_unit_test(test_pass_applies_a_journalled_answer),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
