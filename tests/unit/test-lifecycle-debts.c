/* What is owed: when a debt is paid, and when it has to wait. */

#include "tests/unit/life.h"

#define MINUTE USEC_PER_MINUTE

static Debt *owe(Record *record, DebtKind kind, const char *url, const char *token)
{
        Debt debt = {.kind = kind, .runner_id = 42, .since_usec = LIFE_START - DAY};

        assert_int_equal(target_copy(&debt.target, &(Target){.url = (char *)url}), 0);
        if (token)
                debt.token = life_secret(token);
        if (kind == DEBT_MANAGER)
                assert_int_equal(replace_string(&debt.system_id, "s_0123456789ab"), 0);
        if (kind == DEBT_ORPHAN) {
                debt.runner_id = 0;
                assert_int_equal(replace_string(&debt.marker, "rr-0123456789abcdef"), 0);
        }
        assert_int_equal(record_add_debt(record, &debt), 0);
        return &record->debts[record->n_debts - 1];
}

/* ---- when it is paid ---- */

/* Another GitLab's throttle holds for what is owed there, also when more comes to be owed meanwhile. */
static void test_debt_elsewhere_waits_as_it_was_told(void **state)
{
        Record *record = life_record(FLOW_REGISTRATION_TOKEN);
        Life life;

        owe(record, DEBT_RUNNER, "https://other.example.com", "tok-1");
        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
        PLAY(&life, {START, WAIT}, {PASS(5 * USEC_PER_SEC), READ}, {SECRET("GR1348941a"), PREPARE},
                {DONE, SEND(REGISTER)}, {UNCLEAR, SAVE}, {DONE, SEND(DELETE_RUNNER)}, {BUSY(20 * MINUTE), WAIT});
        uint64_t told = life.now.boottime_usec + 20 * MINUTE;
        PLAY(&life, {TIME, READ}, {SECRET("GR1348941a"), PREPARE}, {DONE, SEND(REGISTER)}, {LOST, SAVE});
        for (Line line = {DONE, WAIT}; life.now.boottime_usec < told;) {
                Action action = life_step(&life, &line);

                if (action.kind == ACTION_SEND && action.call == CALL_DELETE_RUNNER)
                        break;
                line = action.kind == ACTION_WAIT ? (Line){TIME, WAIT} : (Line){DONE, WAIT};
                if (action.kind == ACTION_SEND)
                        line = (Line){UNCLEAR, WAIT};
        }
        assert_true(life.now.boottime_usec >= told);
        life_end(&life);
}

/* The agent ended between the write and telling of it: gitlab-runner polls with the old token until it looks itself.
 */
static void test_debt_found_at_start_waits_for_a_poll(void **state)
{
        Record *record = life_enrolled(FLOW_AUTHENTICATION_TOKEN, "tok-b");
        Life life;

        owe(record, DEBT_MANAGER, LIFE_URL, "tok-a");
        life_begin(&life, life_plan(FLOW_AUTHENTICATION_TOKEN), record);
        life_learn(&life, "tok-b");
        PLAY(&life, {START, WRITE}, {DONE, READ}, {SECRET("tok-b"), SAVE}, {DONE, WAIT}, {TIME, SEND(VERIFY)},
                {ALIVE_ID(43), SAVE}, {DONE, WRITE}, {DONE, WAIT}, {PASS(2 * USEC_PER_SEC), WAIT},
                {TIME, SEND(DELETE_MANAGER)});
        assert_true(life.now.boottime_usec >= USEC_PER_MINUTE + life.plan.poll_usec);
        life_end(&life);
}

/* Somebody else wrote what replaced it, so nothing is left to write; gitlab-runner is told all the same. */
static void test_debt_of_what_others_replaced_is_told_of(void **state)
{
        Life life;

        life_live_well(&life, FLOW_AUTHENTICATION_TOKEN);
        PLAY(&life, {ENTRIES("tok-b"), SEND(VERIFY)}, {ALIVE_ID(43), SAVE}, {DONE, WRITE}, {DONE, TELL},
                {TOLD(UNSURE), WAIT}, {TIME, SEND(DELETE_MANAGER)});
        life_end(&life);
}

/* What was replaced is deleted only when gitlab-runner has what replaces it: a poll would make the manager again. */
static void test_debt_waits_for_the_file(void **state)
{
        Life life;

        life_live_well(&life, FLOW_AUTHENTICATION_TOKEN);
        PLAY(&life, {RELOAD, WRITE}, {DONE, READ}, {SECRET("tok-b"), SEND(VERIFY)}, {ALIVE_ID(43), SAVE},
                {DONE, WRITE}, {BROKEN, WAIT});
        assert_int_equal(lifecycle_record(life.l)->n_debts, 1);
        PLAY(&life, {TIME, WRITE}, {BROKEN, WAIT}, {TIME, WRITE}, {CHANGED, TELL},
                {TOLD(DONE), SEND(DELETE_MANAGER)});
        assert_string_equal(secret_data(life.last.arguments.token), "tok-a");
        life_end(&life);
}

/* Runners that are not configured any more pay their debts and are done. */
static void test_unconfigured_pays_and_is_settled(void **state)
{
        Plan plan = life_plan(FLOW_REGISTRATION_TOKEN);
        Record *record = life_record(FLOW_REGISTRATION_TOKEN);
        Life life;

        plan.configured = false;
        owe(record, DEBT_RUNNER, LIFE_URL, "tok-a");
        life_begin(&life, plan, record);
        PLAY(&life, {START, WAIT}, {TIME, SEND(DELETE_RUNNER)}, {BUSY(20 * MINUTE), WAIT});
        assert_true(life.last.until_usec - life.now.boottime_usec >= 20 * MINUTE);
        assert_false(lifecycle_settled(life.l));
        PLAY(&life, {TIME, SEND(DELETE_RUNNER)}, {YES, SAVE}, {DONE, WAIT});
        assert_true(lifecycle_settled(life.l));
        life_end(&life);
}

/* GitLab refuses to delete a runner, and yet knows its token: no proof of anything, whatever its verify says more. */
static void test_a_refused_delete_is_owed(void **state)
{
        static const struct {
                DebtKind kind;
                Line verify;
                bool paid;
        } rows[] = {
                {DEBT_RUNNER, {ALIVE_ID(42), WAIT}, false},
                {DEBT_RUNNER, {TEXT_200, WAIT}, false},
                {DEBT_RUNNER, {UNCLEAR, WAIT}, false},
                {DEBT_RUNNER, {DEAD, WAIT}, true},
                {DEBT_MANAGER, {ALIVE_ID(42), WAIT}, false},
                {DEBT_MANAGER, {TEXT_200, WAIT}, true}, /* a GitLab that has no managers */
                {DEBT_MANAGER, {DEAD, WAIT}, true},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Record *record = life_record(FLOW_REGISTRATION_TOKEN);
                Plan plan = life_plan(FLOW_REGISTRATION_TOKEN);
                Life life;

                plan.configured = false;
                owe(record, rows[i].kind, LIFE_URL, "tok-a");
                life_begin(&life, plan, record);
                (void)life_step(&life, &(Line){START, WAIT});
                (void)life_step(&life, &(Line){TIME, WAIT});
                assert_int_equal(
                        life.last.call, rows[i].kind == DEBT_RUNNER ? CALL_DELETE_RUNNER : CALL_DELETE_MANAGER);
                PLAY(&life, {DEAD, SEND(PROBE)}, {ALIVE, SEND(VERIFY)});
                (void)life_step(&life, &rows[i].verify);
                if (record->n_debts != (rows[i].paid ? 0 : 1))
                        fail_msg("row %zu: %zu debts", i, record->n_debts);
                life_end(&life);
        }
}

/* A GitLab that is not well proves nothing by a 403. */
static void test_a_sick_gitlab_proves_nothing(void **state)
{
        Record *record = life_record(FLOW_REGISTRATION_TOKEN);
        Plan plan = life_plan(FLOW_REGISTRATION_TOKEN);
        Life life;

        plan.configured = false;
        owe(record, DEBT_RUNNER, LIFE_URL, "tok-a");
        life_begin(&life, plan, record);
        PLAY(&life, {START, WAIT}, {TIME, SEND(DELETE_RUNNER)}, {DEAD, SEND(PROBE)}, {UNCLEAR, WAIT});
        assert_int_equal(record->n_debts, 1);
        life_end(&life);
}

/* One that meets the throttle is the last that is tried; who goes tries all the same. */
static void test_a_throttle_holds_for_all(void **state)
{
        static const struct {
                const char *urls[2];
                bool both;
        } rows[] = {
                {{LIFE_URL, LIFE_URL}, false},
                {{"https://a.example.com", "https://b.example.com"}, false},
                {{LIFE_URL, "https://a.example.com"}, true},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Record *record = life_record(FLOW_REGISTRATION_TOKEN);
                Plan plan = life_plan(FLOW_REGISTRATION_TOKEN);
                Life life;

                plan.configured = false;
                owe(record, DEBT_RUNNER, rows[i].urls[0], "tok-1");
                owe(record, DEBT_RUNNER, rows[i].urls[1], "tok-2");
                life_begin(&life, plan, record);
                PLAY(&life, {START, WAIT}, {TIME, SEND(DELETE_RUNNER)});
                (void)life_step(&life, &(Line){BUSY(20 * MINUTE), WAIT});
                if (rows[i].both) {
                        assert_int_equal(life.last.kind, ACTION_SEND);
                        PLAY(&life, {UNCLEAR, WAIT});
                } else
                        assert_int_equal(life.last.kind, ACTION_WAIT);
                assert_true(life.last.until_usec - life.now.boottime_usec > 19 * MINUTE || rows[i].both);
                life_end(&life);
        }

        /* By command, and by a stop. */
        for (unsigned stop = 0; stop < 2; stop++) {
                Life life;

                life_live_well(&life, FLOW_REGISTRATION_TOKEN);
                PLAY(&life, {TIME, SEND(VERIFY)}, {BUSY(20 * MINUTE), WAIT});
                if (stop)
                        PLAY(&life, {STOP_IN(30 * USEC_PER_SEC, .withdraw = true), SAVE});
                else
                        PLAY(&life, {COMMAND(DEREGISTER), SAVE});
                PLAY(&life, {DONE, REMOVE}, {CHANGED, TELL}, {TOLD(DONE), SEND(DELETE_RUNNER)});
                life_end(&life);
        }

        Record *record = life_record(FLOW_REGISTRATION_TOKEN);
        Life life;
        owe(record, DEBT_RUNNER, LIFE_URL, "tok-1");
        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
        PLAY(&life, {START, WAIT}, {TIME, SEND(VERIFY)}, {BUSY(20 * MINUTE), WAIT},
                {STOP_IN(30 * USEC_PER_SEC, .withdraw = true), SEND(DELETE_RUNNER)});
        life_end(&life);
}

/* A withdrawal tries again within some seconds; what asks for more is a debt at once. */
static void test_a_throttle_is_not_waited_out(void **state)
{
        static const struct {
                Line line;
                bool again;
        } rows[] = {{{BUSY(2 * USEC_PER_SEC), WAIT}, true}, {{BUSY(20 * MINUTE), WAIT}, false}};

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Life life;

                life_live_well(&life, FLOW_REGISTRATION_TOKEN);
                PLAY(&life, {COMMAND(DEREGISTER), SAVE}, {DONE, REMOVE}, {CHANGED, TELL},
                        {TOLD(DONE), SEND(DELETE_RUNNER)}, rows[i].line);
                assert_int_equal(life.has_outcome, !rows[i].again);
                if (rows[i].again)
                        PLAY(&life, {TIME, SEND(DELETE_RUNNER)}, {YES, SAVE}, {DONE, WAIT});
                life_check_outcome(&life, rows[i].again ? 0 : 75);
                life_end(&life);
        }
}

/* Told once to stay away for long, a shorter word of later does not shorten it. */
static void test_the_longer_word_holds(void **state)
{
        Life life;

        life_live_well(&life, FLOW_REGISTRATION_TOKEN);
        PLAY(&life, {TIME, SEND(VERIFY)}, {BUSY(20 * MINUTE), WAIT});
        uint64_t until = life.now.boottime_usec + 20 * MINUTE;
        PLAY(&life, {COMMAND(VERIFY), SEND(VERIFY)}, {BUSY(MINUTE), WAIT});
        assert_true(life.last.until_usec >= until);
        life_end(&life);
}

/* What stands in config.toml and was never proved to be ours may be what is owed: it is asked about before. */
static void test_nothing_is_paid_before_it_is_known_what_is_ours(void **state)
{
        static const struct {
                bool ours, manager_ours, waits;
        } rows[] = {{false, false, true}, {false, true, false}, {true, true, false}};

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Record *record = life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a");
                Life life;

                record->ours = rows[i].ours;
                record->manager_ours = rows[i].manager_ours;
                owe(record, DEBT_RUNNER, LIFE_URL, "tok-1");
                life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
                life_learn(&life, "tok-a");
                (void)life_step(&life, &(Line){START, WAIT});
                if (life.last.kind == ACTION_WRITE_ENTRY)
                        PLAY(&life, {DONE, WAIT});
                PLAY(&life, {TIME, SEND(VERIFY)}, {UNCLEAR, WAIT}, {PASS(6 * USEC_PER_SEC), SEND(VERIFY)},
                        {UNCLEAR, rows[i].waits ? WAIT : SEND(DELETE_RUNNER)});
                if (rows[i].waits) {
                        PLAY(&life, {TIME, SEND(VERIFY)}, {ALIVE_ID(7), SAVE});
                        assert_true(record->manager_ours);
                        PLAY(&life, {DONE, WRITE}, {DONE, SEND(DELETE_RUNNER)});
                }
                life_end(&life);
        }
}

/* Once it is refused nobody comes back to what is owed. */
static void test_a_refusal_wakes_what_waited(void **state)
{
        Record *record = life_record(FLOW_REGISTRATION_TOKEN);
        Life life;

        owe(record, DEBT_RUNNER, LIFE_URL, "tok-1");
        owe(record, DEBT_RUNNER, "https://other.example.com", "tok-2");
        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
        PLAY(&life, {START, WAIT}, {TIME, SEND(VERIFY)}, {BUSY(5 * USEC_PER_SEC), WAIT},
                {PASS(7 * USEC_PER_SEC), SEND(VERIFY)}, {UNCLEAR, SEND(DELETE_RUNNER)});
        assert_string_equal(secret_data(life.last.arguments.token), "tok-2");
        PLAY(&life, {YES, SAVE}, {DONE, WAIT}, {TIME, SEND(VERIFY)}, {DEAD, SEND(PROBE)}, {ALIVE, SEND(VERIFY)},
                {DEAD, READ}, {NO_SECRET, SAVE}, {DONE, SEND(DELETE_RUNNER)});
        assert_string_equal(secret_data(life.last.arguments.token), "tok-1");
        life_end(&life);
}

/* One that can't be paid holds up none, and is asked for again with patience. */
static void test_debts_do_not_hold_up_each_other(void **state)
{
        Record *record = life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a");
        Life life;
        unsigned sent = 0;

        owe(record, DEBT_RUNNER, "https://a.example.com", "tok-1");
        owe(record, DEBT_ORPHAN, LIFE_URL, NULL);
        owe(record, DEBT_MANAGER, "https://gone.example.com", "tok-2");
        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
        life_learn(&life, "tok-a");
        PLAY(&life, {START, WRITE}, {DONE, WAIT});
        uint64_t end = life.now.boottime_usec + DAY;
        for (Line line = {TIME, WAIT}; life.now.boottime_usec < end;) {
                Action action = life_step(&life, &line);

                line = (Line){TIME, WAIT};
                if (action.kind == ACTION_SAVE)
                        line = (Line){DONE, WAIT};
                else if (action.kind == ACTION_SEND && action.call == CALL_VERIFY)
                        line = (Line){ALIVE_ID(42), WAIT};
                else if (action.kind == ACTION_SEND && strstr(action.target->url, "gone")) {
                        line = (Line){UNCLEAR, WAIT};
                        sent++;
                } else if (action.kind == ACTION_SEND) {
                        assert_int_equal(action.call, CALL_DELETE_RUNNER);
                        line = (Line){YES, WAIT};
                }
        }
        assert_int_equal(lifecycle_record(life.l)->n_debts, 2);
        assert_in_range(sent, 288, 700);
        life_end(&life);
}

/* What lost answers left is kept in bounds, and never in the place of what can be paid. */
static void test_orphans_do_not_crowd_out_debts(void **state)
{
        Life life;
        unsigned lost = 0;

        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), life_record(FLOW_REGISTRATION_TOKEN));
        for (Line line = {START, WAIT}; lost < 200;) {
                Action action = life_step(&life, &line);

                line = (Line){TIME, WAIT};
                if (action.kind == ACTION_SAVE || action.kind == ACTION_PREPARE)
                        line = (Line){DONE, WAIT};
                else if (action.kind == ACTION_READ_SECRET)
                        line = (Line){SECRET("GR1348941a"), WAIT};
                else if (action.kind == ACTION_SEND && action.call == CALL_PROBE)
                        line = (Line){ALIVE, WAIT};
                else if (action.kind == ACTION_SEND) {
                        line = (Line){LOST, WAIT};
                        lost++;
                }
        }
        assert_true(lifecycle_record(life.l)->n_debts <= 16);
        /* At most one an hour. */
        assert_true(life.now.boottime_usec >= 198 * USEC_PER_HOUR);
        life_end(&life);
}

/* It was configured no more when the agent came back: what the lost answer may have left is noted all the same. */
static void test_unconfigured_notes_a_lost_create(void **state)
{
        Record *record = life_record(FLOW_ACCESS_TOKEN);
        Plan plan = life_plan(FLOW_ACCESS_TOKEN);
        Life life;

        plan.configured = false;
        record->intent = (Intent){.kind = INTENT_CREATE, .since_usec = LIFE_START - DAY};
        assert_int_equal(replace_string(&record->intent.marker, "rr-0123456789abcdef"), 0);
        life_begin(&life, plan, record);
        assert_true(lifecycle_owes(life.l));
        assert_false(lifecycle_settled(life.l));
        PLAY(&life, {START, SAVE}, {DONE, WAIT});
        assert_int_equal(lifecycle_record(life.l)->n_debts, 1);
        assert_string_equal(lifecycle_record(life.l)->debts[0].marker, "rr-0123456789abcdef");
        assert_false(lifecycle_settled(life.l));
        life_end(&life);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_debt_elsewhere_waits_as_it_was_told),
                cmocka_unit_test(test_debt_found_at_start_waits_for_a_poll),
                cmocka_unit_test(test_debt_of_what_others_replaced_is_told_of),
                cmocka_unit_test(test_debt_waits_for_the_file),
                cmocka_unit_test(test_unconfigured_pays_and_is_settled),
                cmocka_unit_test(test_a_refused_delete_is_owed),
                cmocka_unit_test(test_a_sick_gitlab_proves_nothing),
                cmocka_unit_test(test_a_throttle_holds_for_all),
                cmocka_unit_test(test_a_throttle_is_not_waited_out),
                cmocka_unit_test(test_the_longer_word_holds),
                cmocka_unit_test(test_nothing_is_paid_before_it_is_known_what_is_ours),
                cmocka_unit_test(test_a_refusal_wakes_what_waited),
                cmocka_unit_test(test_debts_do_not_hold_up_each_other),
                cmocka_unit_test(test_orphans_do_not_crowd_out_debts),
                cmocka_unit_test(test_unconfigured_notes_a_lost_create),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
