/* Commands: what they do, and when their outcome is told. */

#include "tests/unit/life.h"

static void live(Life *life, Plan plan)
{
        life_begin(life, plan, life_enrolled(plan.flow, "tok-a"));
        life_learn(life, "tok-a");
        PLAY(life, {START, WRITE}, {DONE, plan.flow == FLOW_AUTHENTICATION_TOKEN ? READ : WAIT});
        if (plan.flow == FLOW_AUTHENTICATION_TOKEN)
                PLAY(life, {SECRET("tok-a"), SAVE}, {DONE, WAIT});
        PLAY(life, {TIME, SEND(VERIFY)}, {ALIVE_ID(42), WAIT});
}

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
        static const struct {
                Flow flow;
                RotationPolicy rotation;
                bool rotates;
        } rows[] = {
                {FLOW_AUTHENTICATION_TOKEN, ROTATION_AUTO, false},
                {FLOW_AUTHENTICATION_TOKEN, ROTATION_ALWAYS, true},
                {FLOW_AUTHENTICATION_TOKEN, ROTATION_NEVER, false},
                {FLOW_AUTHENTICATION_TOKEN, ROTATION_GITLAB_RUNNER, false},
                {FLOW_REGISTRATION_TOKEN, ROTATION_NEVER, true}, /* by itself never; a person may */
                {FLOW_REGISTRATION_TOKEN, ROTATION_GITLAB_RUNNER, true},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Plan plan = life_plan(rows[i].flow);
                Life life;

                plan.rotation = rows[i].rotation;
                live(&life, plan);
                PLAY(&life, {COMMAND(ROTATE), rows[i].rotates ? PREPARE : WAIT});
                if (!rows[i].rotates)
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
                {{LOST, SAVE}, {UNCLEAR, WAIT}, 75},
                {{LOST, SAVE}, {NO_TLS, WAIT}, 1},
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

/* What was told stays so, though nobody has taken it yet: what fails later is another matter. */
static void test_an_outcome_does_not_change(void **state)
{
        static const Line rows[] = {{ENTRIES("tok-b"), SEND(VERIFY)}, {RELOAD, WRITE}};

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Life life;

                live(&life, life_plan(FLOW_REGISTRATION_TOKEN));
                life.deaf = true;
                PLAY(&life, {COMMAND(VERIFY), SEND(VERIFY)}, {ALIVE_ID(42), WAIT}, rows[i]);
                if (rows[i].kind == ACTION_SEND)
                        PLAY(&life, {UNCLEAR, WAIT}, {RELOAD, WAIT});
                else
                        PLAY(&life, {BROKEN, WAIT});
                life_look(&life);
                life_check_outcome(&life, 0);
                life_end(&life);
        }
}

/* A token that nobody has judged yet keeps ours out of config.toml: the command says so, and asks GitLab once. */
static void test_a_foreign_token_is_said(void **state)
{
        static const struct {
                const char *entry;
                int code;
        } rows[] = {{"tok-b", 75}, {"tok-a", 0}};

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Life life;

                live(&life, life_plan(FLOW_REGISTRATION_TOKEN));
                PLAY(&life, {COMMAND(VERIFY), SEND(VERIFY)}, {ENTRIES(rows[i].entry), KEEP});
                (void)life_step(&life, &(Line){ALIVE_UNTIL(42, LIFE_START + DAY), WAIT});
                for (unsigned n = 0; n < 10 && !life.has_outcome; n++)
                        (void)life_step(
                                &life, life.last.kind == ACTION_SEND ? &(Line){UNCLEAR, WAIT} : &(Line){DONE, WAIT});
                life_check_outcome(&life, rows[i].code);
                life_end(&life);
        }
}

/* While a rotation by hand is not answered another token is adopted, as it stands in config.toml and works: that one
 * is not rotated as well. */
static void test_rotate_by_hand_resets_once(void **state)
{
        Life life;

        live(&life, life_plan(FLOW_REGISTRATION_TOKEN));
        PLAY(&life, {COMMAND(ROTATE), PREPARE}, {DONE, SEND(RESET)}, {ENTRIES("tok-b"), KEEP}, {LOST, SEND(VERIFY)});
        assert_string_equal(secret_data(life.last.arguments.token), "tok-b");
        PLAY(&life, {ALIVE_ID(42), SAVE}, {DONE, WRITE}, {DONE, SEND(VERIFY)}, {ALIVE_ID(42), WAIT});
        life_check_outcome(&life, 75);
        life_check_token(&life, "tok-b");
        life_end(&life);
}

/* Whoever comes second is not taken for the first. */
static void test_one_command_at_a_time(void **state)
{
        Life life;

        live(&life, life_plan(FLOW_REGISTRATION_TOKEN));
        PLAY(&life, {COMMAND(VERIFY), SEND(VERIFY)}, {COMMAND(DEREGISTER), KEEP}, {ALIVE_ID(42), WAIT});
        life_check_outcome(&life, 0);
        life_check_token(&life, "tok-a");
        life_end(&life);
}

/* Nor is one that stands beside another, which nobody has judged. */
static void test_rotate_by_hand_not_beside_another(void **state)
{
        Life life;

        live(&life, life_plan(FLOW_REGISTRATION_TOKEN));
        PLAY(&life, {ENTRIES("tok-b"), SEND(VERIFY)}, {UNCLEAR, WAIT}, {COMMAND(ROTATE), WAIT});
        life_check_outcome(&life, 75);
        assert_non_null(strstr(life.message, "another token"));
        life_end(&life);
}

/* What somebody else wrote a moment ago is asked about before: what goes may live under it. */
static void test_deregister_asks_about_what_others_wrote(void **state)
{
        static const struct {
                const char *entry, *deleted;
        } rows[] = {{"tok-b", "tok-b"}, {"tok-a", "tok-a"}};

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Life life;

                live(&life, life_plan(FLOW_REGISTRATION_TOKEN));
                PLAY(&life, {RELOAD, WRITE}, {ENTRIES(rows[i].entry), KEEP}, {COMMAND(DEREGISTER), KEEP});
                (void)life_step(&life, &(Line){STALE, WAIT});
                for (unsigned n = 0;
                        n < 10 && !(life.last.kind == ACTION_SEND && life.last.call == CALL_DELETE_RUNNER); n++)
                        (void)life_step(&life, life.last.kind == ACTION_SEND   ? &(Line){ALIVE_ID(42), WAIT}
                                               : life.last.kind == ACTION_TELL ? &(Line){TOLD(DONE), WAIT}
                                                                               : &(Line){DONE, WAIT});
                assert_int_equal(life.last.call, CALL_DELETE_RUNNER);
                assert_string_equal(secret_data(life.last.arguments.token), rows[i].deleted);
                life_end(&life);
        }
}

/* What is not enrolled, or not ours, has nothing to delete; what it owes is paid. */
static void test_deregister_of_nothing(void **state)
{
        static const struct {
                bool token, debt;
                int64_t id;
        } rows[] = {{false, false, 42}, {true, false, 42}, {true, false, 0}, {false, true, 42}};

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Record *record = rows[i].token ? life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a")
                                               : life_record(FLOW_REGISTRATION_TOKEN);
                Debt debt = {.kind = DEBT_RUNNER, .runner_id = 7, .since_usec = LIFE_START};
                Plan plan = life_plan(FLOW_REGISTRATION_TOKEN);
                Life life;

                record->ours = record->manager_ours = false;
                record->runner_id = rows[i].id;
                if (rows[i].debt) {
                        assert_int_equal(replace_string(&debt.target.url, LIFE_URL), 0);
                        debt.token = life_secret("tok-1");
                        assert_int_equal(record_add_debt(record, &debt), 0);
                }
                plan.configured = false;
                life_begin(&life, plan, record);
                if (rows[i].debt)
                        PLAY(&life, {START, WAIT}, {COMMAND(DEREGISTER), SEND(DELETE_RUNNER)}, {YES, SAVE},
                                {DONE, WAIT});
                else
                        PLAY(&life, {START, WAIT}, {COMMAND(DEREGISTER), SAVE}, {DONE, WAIT});
                life_check_outcome(&life, 0);
                life_check_token(&life, NULL);
                assert_int_equal(record->n_debts, 0);
                life_end(&life);
        }
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

/* It can be verified, too. No entry is made for it, and that none stands there is no failure. */
static void test_unconfigured_is_verified(void **state)
{
        static const char *const entries[] = {"tok-a", ""};

        for (size_t i = 0; i < ELEMENTS(entries); i++) {
                Plan plan = life_plan(FLOW_REGISTRATION_TOKEN);
                Life life;

                plan.configured = false;
                life_begin(&life, plan, life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a"));
                life_learn(&life, entries[i]);
                PLAY(&life, {START, WAIT}, {COMMAND(VERIFY), SEND(VERIFY)},
                        {ALIVE_UNTIL(42, LIFE_START + 90 * DAY), SAVE});
                if (*entries[i])
                        PLAY(&life, {DONE, WRITE}, {DONE, WAIT});
                else
                        PLAY(&life, {DONE, WAIT});
                life_check_outcome(&life, 0);
                life_end(&life);
        }
}

/* Withdrawn by command, it stays so over a reload, until one configures it anew. */
static void test_configured_anew_is_enrolled(void **state)
{
        Plan plan = life_plan(FLOW_REGISTRATION_TOKEN), none = plan;
        Life life;

        live(&life, plan);
        PLAY(&life, {COMMAND(DEREGISTER), SAVE}, {DONE, REMOVE}, {CHANGED, TELL}, {TOLD(DONE), SEND(DELETE_RUNNER)},
                {UNCLEAR, WAIT}, {TIME, SEND(DELETE_RUNNER)}, {UNCLEAR, WAIT}, {TIME, SEND(DELETE_RUNNER)},
                {UNCLEAR, WAIT});
        lifecycle_configure(life.l, &plan);
        PLAY(&life, {RELOAD, WAIT});
        life_check_state(&life, RUNNER_STATE_WITHDRAWN);
        none.configured = false;
        lifecycle_configure(life.l, &none);
        PLAY(&life, {RELOAD, WAIT});
        life_check_state(&life, RUNNER_STATE_WITHDRAWN);
        lifecycle_configure(life.l, &plan);
        /* What it owes it asks about first. */
        PLAY(&life, {RELOAD, SEND(VERIFY)});
        assert_string_equal(secret_data(life.last.arguments.token), "tok-a");
        PLAY(&life, {ALIVE_ID(42), SAVE}, {DONE, WRITE});
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
                cmocka_unit_test(test_an_outcome_does_not_change),
                cmocka_unit_test(test_a_foreign_token_is_said),
                cmocka_unit_test(test_rotate_by_hand_resets_once),
                cmocka_unit_test(test_one_command_at_a_time),
                cmocka_unit_test(test_rotate_by_hand_not_beside_another),
                cmocka_unit_test(test_deregister_asks_about_what_others_wrote),
                cmocka_unit_test(test_deregister_of_nothing),
                cmocka_unit_test(test_register_says_why_not),
                cmocka_unit_test(test_unconfigured_knows_deregister),
                cmocka_unit_test(test_unconfigured_is_verified),
                cmocka_unit_test(test_configured_anew_is_enrolled),
                cmocka_unit_test(test_refused_is_never_settled),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
