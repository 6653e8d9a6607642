/* Commands: what they do, when their outcome is told, and passes without an agent. */

#include "tests/unit/life.h"

static Plan once(Flow flow)
{
        Plan plan = life_plan(flow);

        plan.once = true;
        return plan;
}

static void live(Life *life, Plan plan)
{
        life_begin(life, plan, life_enrolled(plan.flow, "tok-a"));
        life_learn(life, "tok-a");
        PLAY(life, {START, WRITE}, {DONE, plan.flow == FLOW_AUTHENTICATION_TOKEN ? READ : WAIT});
        if (plan.flow == FLOW_AUTHENTICATION_TOKEN)
                PLAY(life, {SECRET("tok-a"), SAVE}, {DONE, WAIT});
        PLAY(life, {TIME, SEND(VERIFY)}, {ALIVE_ID(42), WAIT});
}

/* ---- with an agent ---- */

static void test_verify_says_what_gitlab_says(void **state)
{
        static const struct {
                Line reply;
                int code;
        } rows[] = {
                {{ALIVE_ID(42), WAIT}, 0},
                {{TEXT_200, WAIT}, 0},
                {{DEAD, SAVE}, 77},
                {{UNCLEAR, WAIT}, 75},
                {{BUSY(USEC_PER_SEC), WAIT}, 75},
                {{NO_TLS, WAIT}, 1},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Life life;

                live(&life, life_plan(FLOW_REGISTRATION_TOKEN));
                PLAY(&life, {COMMAND(VERIFY), SEND(VERIFY)});
                assert_false(life.has_outcome);
                assert_int_equal(life_step(&life, &rows[i].reply).kind, rows[i].reply.kind);
                if (rows[i].reply.kind == ACTION_SAVE) {
                        assert_false(life.has_outcome);
                        PLAY(&life, {DONE, WAIT});
                }
                life_check_outcome(&life, rows[i].code);
                life_end(&life);
        }
}

static void test_verify_without_a_token(void **state)
{
        Life life;

        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), life_record(FLOW_REGISTRATION_TOKEN));
        PLAY(&life, {START, WAIT}, {COMMAND(VERIFY), WAIT});
        life_check_outcome(&life, 1);
        PLAY(&life, {COMMAND(ROTATE), WAIT});
        life_check_outcome(&life, 1);
        PLAY(&life, {TIME, READ}, {SECRET("GR1348941a"), PREPARE}, {DONE, SEND(REGISTER)}, {REFUSED, SAVE},
                {DONE, WAIT}, {COMMAND(VERIFY), WAIT});
        life_check_outcome(&life, 77);
        life_end(&life);
}

static void test_rotate_by_hand(void **state)
{
        Life life;

        live(&life, life_plan(FLOW_REGISTRATION_TOKEN));
        PLAY(&life, {COMMAND(ROTATE), PREPARE}, {DONE, SEND(RESET)}, {GIVEN(0, "tok-b"), JOURNAL}, {DONE, SAVE},
                {DONE, WRITE});
        assert_false(life.has_outcome);
        PLAY(&life, {CHANGED, TELL}, {TOLD(DONE), WAIT});
        life_check_outcome(&life, 0);
        life_end(&life);
}

/* A shared token is other hosts' as well. */
static void test_rotate_by_hand_refuses_shared(void **state)
{
        static const RotationPolicy policies[] = {ROTATION_AUTO, ROTATION_ALWAYS};

        for (size_t i = 0; i < ELEMENTS(policies); i++) {
                Plan plan = life_plan(FLOW_AUTHENTICATION_TOKEN);
                Life life;

                plan.rotation = policies[i];
                live(&life, plan);
                PLAY(&life, {COMMAND(ROTATE), policies[i] == ROTATION_ALWAYS ? PREPARE : WAIT});
                if (policies[i] == ROTATION_AUTO)
                        life_check_outcome(&life, 1);
                life_end(&life);
        }
}

/* What became of it is known only after the old token was asked about. */
static void test_rotate_by_hand_waits_for_the_proof(void **state)
{
        static const struct {
                Line reset;
                Line verify;
                int code;
        } rows[] = {
                {{LOST, SAVE}, {ALIVE_ID(42), SAVE}, 75},
                {{LOST, SAVE}, {DEAD, SAVE}, 75}, /* the new token is on its way to nobody: nothing was refused */
                {{DEAD, SAVE}, {DEAD, SAVE}, 77},
                {{UNCLEAR, SAVE}, {UNCLEAR, WAIT}, 75},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Life life;

                live(&life, life_plan(FLOW_REGISTRATION_TOKEN));
                PLAY(&life, {COMMAND(ROTATE), PREPARE}, {DONE, SEND(RESET)});
                (void)life_step(&life, &rows[i].reset);
                PLAY(&life, {DONE, SEND(VERIFY)});
                assert_false(life.has_outcome);
                if (life_step(&life, &rows[i].verify).kind == ACTION_SAVE)
                        PLAY(&life, {DONE, WAIT});
                life_check_outcome(&life, rows[i].code);
                life_end(&life);
        }
}

static void test_rotate_by_hand_refused(void **state)
{
        static const struct {
                Line reset;
                int code;
        } rows[] = {
                {{REFUSED, SAVE}, 77},
                {{NO_TLS, SAVE}, 1},
                {{BUSY(USEC_PER_MINUTE), SAVE}, 75},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Life life;

                live(&life, life_plan(FLOW_REGISTRATION_TOKEN));
                PLAY(&life, {COMMAND(ROTATE), PREPARE}, {DONE, SEND(RESET)});
                (void)life_step(&life, &rows[i].reset);
                PLAY(&life, {DONE, WAIT});
                life_check_outcome(&life, rows[i].code);
                life_end(&life);
        }
}

/* A token in doubt is not put at stake, by hand neither. */
static void test_rotate_by_hand_not_in_doubt(void **state)
{
        Life life;

        live(&life, life_plan(FLOW_REGISTRATION_TOKEN));
        PLAY(&life, {TIME, SEND(VERIFY)}, {UNCLEAR, WAIT}, {COMMAND(ROTATE), SEND(VERIFY)}, {UNCLEAR, WAIT});
        life_check_outcome(&life, 75);
        PLAY(&life, {COMMAND(ROTATE), SEND(VERIFY)}, {ALIVE_ID(42), PREPARE});
        life_end(&life);
}

static void test_deregister_and_register_again(void **state)
{
        Life life;

        live(&life, life_plan(FLOW_REGISTRATION_TOKEN));
        PLAY(&life, {COMMAND(DEREGISTER), SAVE}, {DONE, REMOVE}, {CHANGED, TELL}, {TOLD(DONE), SEND(DELETE_RUNNER)},
                {YES, SAVE}, {DONE, WAIT});
        life_check_outcome(&life, 0);
        life_check_state(&life, RUNNER_STATE_WITHDRAWN);
        assert_int_equal(life.last.until_usec, USEC_INFINITY);
        /* It stays so, whatever else happens, until somebody asks. */
        PLAY(&life, {RELOAD, WAIT}, {ENTRIES("tok-z"), WAIT}, {ENTRIES(""), WAIT}, {COMMAND(REGISTER), READ},
                {SECRET("GR1348941a"), PREPARE}, {DONE, SEND(REGISTER)}, {GIVEN(43, "tok-b"), JOURNAL}, {DONE, SAVE},
                {DONE, WRITE}, {CHANGED, TELL}, {TOLD(DONE), WAIT});
        life_check_outcome(&life, 0);
        life_end(&life);
}

/* The next start of the service enrols what a command withdrew. */
static void test_start_enrols_what_was_withdrawn(void **state)
{
        Record *record = life_record(FLOW_REGISTRATION_TOKEN);
        Life life;

        record->state = RUNNER_STATE_WITHDRAWN;
        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
        PLAY(&life, {START, WAIT}, {TIME, READ});
        life_end(&life);
}

/* Where nothing was kept, nothing was done: exit 1, and never before the disk has spoken. */
static void test_outcome_waits_for_the_disk(void **state)
{
        Life life;

        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), life_record(FLOW_REGISTRATION_TOKEN));
        PLAY(&life, {START, WAIT}, {COMMAND(REGISTER), READ}, {SECRET("GR1348941a"), PREPARE}, {DONE, SEND(REGISTER)},
                {GIVEN(42, "tok-a"), JOURNAL}, {DONE, SAVE}, {DONE, WRITE});
        assert_false(life.has_outcome);
        PLAY(&life, {BROKEN, WAIT});
        life_check_outcome(&life, 1);
        PLAY(&life, {TIME, WRITE}, {CHANGED, TELL}, {TOLD(DONE), WAIT});
        life_end(&life);
}

/* A disk that has refused for a while is asked once more for the command, whatever its wait says. */
static void test_outcome_asks_the_disk_again(void **state)
{
        Life life;

        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), life_record(FLOW_REGISTRATION_TOKEN));
        PLAY(&life, {START, WAIT}, {TIME, READ}, {SECRET("GR1348941a"), PREPARE}, {DONE, SEND(REGISTER)},
                {GIVEN(42, "tok-a"), JOURNAL}, {BROKEN, SAVE}, {BROKEN, WRITE}, {CHANGED, TELL}, {TOLD(DONE), WAIT},
                {COMMAND(VERIFY), SEND(VERIFY)}, {ALIVE_ID(42), SAVE}, {BROKEN, WAIT});
        life_check_outcome(&life, 1);
        PLAY(&life, {COMMAND(VERIFY), SEND(VERIFY)}, {ALIVE_ID(42), SAVE}, {DONE, WAIT});
        life_check_outcome(&life, 0);
        life_end(&life);
}

/* `register` without a place to write. */
static void test_register_says_why_not(void **state)
{
        static const struct {
                Line secret;
                Line next;
                int code;
        } rows[] = {
                {{NO_SECRET, SAVE}, {DONE, WAIT}, 78},
                {{SECRET("not a token"), SAVE}, {DONE, WAIT}, 78},
                {{SECRET("GR1348941a"), PREPARE}, {BROKEN, SAVE}, 1},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Life life;

                life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), life_record(FLOW_REGISTRATION_TOKEN));
                PLAY(&life, {START, WAIT}, {COMMAND(REGISTER), READ});
                assert_int_equal(life_step(&life, &rows[i].secret).kind, rows[i].secret.kind);
                assert_int_equal(life_step(&life, &rows[i].next).kind, rows[i].next.kind);
                if (rows[i].next.kind == ACTION_SAVE)
                        PLAY(&life, {DONE, WAIT});
                life_check_outcome(&life, rows[i].code);
                life_end(&life);
        }
}

/* Configured no more: it can be withdrawn by its name, but not enrolled. */
static void test_unconfigured_knows_deregister(void **state)
{
        Plan plan = life_plan(FLOW_REGISTRATION_TOKEN);
        Life life;

        plan.configured = false;
        life_begin(&life, plan, life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a"));
        life_learn(&life, "tok-a");
        PLAY(&life, {START, WAIT});
        assert_int_equal(life.last.until_usec, USEC_INFINITY);
        assert_false(lifecycle_settled(life.l));
        PLAY(&life, {COMMAND(REGISTER), WAIT});
        life_check_outcome(&life, 1);
        PLAY(&life, {COMMAND(DEREGISTER), SAVE}, {DONE, REMOVE}, {CHANGED, TELL}, {TOLD(DONE), SEND(DELETE_RUNNER)},
                {YES, SAVE}, {DONE, WAIT});
        life_check_outcome(&life, 0);
        assert_true(lifecycle_settled(life.l));
        life_end(&life);
}

/* A state that nobody could read is refused, and must never be taken for settled. */
static void test_refused_is_never_settled(void **state)
{
        Plan plan = life_plan(FLOW_REGISTRATION_TOKEN);
        Record *record = life_record(FLOW_REGISTRATION_TOKEN);
        Life life;

        plan.configured = false;
        record->state = RUNNER_STATE_REFUSED;
        life_begin(&life, plan, record);
        PLAY(&life, {START, WAIT});
        assert_false(lifecycle_settled(life.l));
        life_end(&life);
}

/* ---- a pass without an agent ---- */

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
                cmocka_unit_test(test_verify_says_what_gitlab_says),
                cmocka_unit_test(test_verify_without_a_token),
                cmocka_unit_test(test_rotate_by_hand),
                cmocka_unit_test(test_rotate_by_hand_refuses_shared),
                cmocka_unit_test(test_rotate_by_hand_waits_for_the_proof),
                cmocka_unit_test(test_rotate_by_hand_refused),
                cmocka_unit_test(test_rotate_by_hand_not_in_doubt),
                cmocka_unit_test(test_deregister_and_register_again),
                cmocka_unit_test(test_start_enrols_what_was_withdrawn),
                cmocka_unit_test(test_outcome_waits_for_the_disk),
                cmocka_unit_test(test_outcome_asks_the_disk_again),
                cmocka_unit_test(test_register_says_why_not),
                cmocka_unit_test(test_unconfigured_knows_deregister),
                cmocka_unit_test(test_refused_is_never_settled),
                cmocka_unit_test(test_pass_registers_and_hands_over),
                cmocka_unit_test(test_pass_leaves_what_is_enrolled),
                cmocka_unit_test(test_pass_tries_nothing_twice),
                cmocka_unit_test(test_pass_leaves_a_dead_entry_alone),
                cmocka_unit_test(test_pass_rotates_what_it_has_verified),
                cmocka_unit_test(test_pass_withdraws),
                cmocka_unit_test(test_pass_applies_a_journalled_answer),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
