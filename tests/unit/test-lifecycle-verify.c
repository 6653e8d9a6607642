/* Living: verifying, doubting, keeping config.toml and the configured source in line. */

#include "tests/unit/life.h"

/* A quiet week: one verify in every interval, spread over its last tenth, and nothing else. */
static void test_lives_a_quiet_week(void **state)
{
        Life life;
        unsigned verifies = 0;

        life_live_well(&life, FLOW_REGISTRATION_TOKEN);
        uint64_t end = life.now.boottime_usec + 7 * DAY;
        while (life.now.boottime_usec < end) {
                uint64_t wait = life.last.until_usec - life.now.boottime_usec;

                assert_true(wait <= 15 * USEC_PER_MINUTE && wait >= 13 * USEC_PER_MINUTE);
                PLAY(&life, {TIME, SEND(VERIFY)}, {ALIVE_ID(42), WAIT});
                verifies++;
        }
        assert_in_range(verifies, 7 * 96, 7 * 107);
        life_end(&life);
}

/* A day of blanket errors of whatever kind: nothing is registered, nothing deleted, nothing rotated. */
static void test_blanket_errors_change_nothing(void **state)
{
        static const Line kinds[] = {
                {UNCLEAR, WAIT}, {NO_TLS, WAIT}, {BUSY(USEC_PER_MINUTE), WAIT}, {BUSY(0), WAIT}, {NO_ROUTE, WAIT}};

        for (size_t i = 0; i < ELEMENTS(kinds); i++) {
                Plan plan = life_plan(FLOW_REGISTRATION_TOKEN);
                Record *record = life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a");
                Life life;

                /* It would have been rotated hours ago. */
                record->token_expires_at_usec = LIFE_START + USEC_PER_HOUR;
                life_begin(&life, plan, record);
                life_learn(&life, "tok-a");
                PLAY(&life, {START, WRITE}, {DONE, WAIT});
                uint64_t end = life.now.boottime_usec + DAY;
                while (life.now.boottime_usec < end) {
                        PLAY(&life, {TIME, SEND(VERIFY)});
                        Action action = life_step(&life, &kinds[i]);
                        assert_int_equal(action.kind, ACTION_WAIT);
                        assert_true(action.until_usec - life.now.boottime_usec <= 6 * USEC_PER_MINUTE);
                }
                assert_true(life.notices[NOTICE_DOUBTFUL] <= 1);
                PLAY(&life, {TIME, SEND(VERIFY)}, {ALIVE_UNTIL(42, LIFE_START + 90 * DAY), SAVE}, {DONE, WRITE},
                        {DONE, WAIT});
                life_check_state(&life, RUNNER_STATE_REGISTERED);
                life_end(&life);
        }
}

/* 403 to everything, known token or not: the probe, which a GitLab that is well answers, stands before any deed. */
static void test_blanket_403_changes_nothing(void **state)
{
        static const Flow flows[] = {FLOW_REGISTRATION_TOKEN, FLOW_ACCESS_TOKEN};

        for (size_t i = 0; i < ELEMENTS(flows); i++) {
                Life life;
                unsigned probes = 0;

                life_live_well(&life, flows[i]);
                uint64_t end = life.now.boottime_usec + DAY;
                for (Line line = {TIME, WAIT}; life.now.boottime_usec < end || life.last.kind != ACTION_WAIT;) {
                        Action action = life_step(&life, &line);

                        switch (action.kind) {
                        case ACTION_SEND:
                                assert_true(action.call == CALL_VERIFY || action.call == CALL_PROBE);
                                probes += action.call == CALL_PROBE;
                                line = action.call == CALL_PROBE ? (Line){UNCLEAR, WAIT} : (Line){DEAD, WAIT};
                                break;
                        case ACTION_SAVE:
                                line = (Line){DONE, WAIT};
                                break;
                        default:
                                assert_int_equal(action.kind, ACTION_WAIT);
                                line = (Line){TIME, WAIT};
                        }
                }
                assert_true(probes > 100 && probes < 1000);
                PLAY(&life, {PASS(10 * USEC_PER_MINUTE), SEND(VERIFY)}, {ALIVE_ID(42), SAVE}, {DONE, WAIT});
                life_check_state(&life, RUNNER_STATE_REGISTERED);
                life_end(&life);
        }
}

/* One good answer clears all proofs. */
static void test_one_good_answer_clears_all_doubt(void **state)
{
        Life life;

        life_live_well(&life, FLOW_REGISTRATION_TOKEN);
        PLAY(&life, {TIME, SEND(VERIFY)}, {DEAD, SAVE}, {DONE, WAIT}, {TIME, SEND(VERIFY)}, {DEAD, SAVE},
                {DONE, WAIT});
        assert_int_equal(lifecycle_record(life.l)->dead_proofs, 2);
        PLAY(&life, {TIME, SEND(VERIFY)}, {ALIVE_ID(42), SAVE}, {DONE, WAIT});
        assert_int_equal(lifecycle_record(life.l)->dead_proofs, 0);
        assert_int_equal(life.notices[NOTICE_ALIVE_AGAIN], 1);
        life_end(&life);
}

/* Asking in quick succession proves nothing faster, and a clock set forward neither. */
static void test_proofs_need_their_time(void **state)
{
        Life life;

        life_live_well(&life, FLOW_REGISTRATION_TOKEN);
        for (unsigned i = 0; i < 20; i++) {
                PLAY(&life, {COMMAND(VERIFY), SEND(VERIFY)}, {DEAD, SAVE}, {DONE, WAIT});
                life_check_outcome(&life, 77);
                life.now.realtime_usec += DAY;
        }
        life_check_state(&life, RUNNER_STATE_DOUBTFUL);
        assert_true(lifecycle_record(life.l)->dead_proofs >= 20);
        life_end(&life);
}

/* Proofs are kept over a restart, but not acted on before one more. */
static void test_proofs_survive_a_restart(void **state)
{
        Record *record = life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a");
        Life life;

        record->dead_proofs = 3;
        record->dead_first_usec = LIFE_START - USEC_PER_HOUR;
        record->dead_last_usec = LIFE_START - USEC_PER_MINUTE;
        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
        life_learn(&life, "tok-a");
        PLAY(&life, {START, WRITE}, {DONE, WAIT});
        life_check_state(&life, RUNNER_STATE_DOUBTFUL);
        PLAY(&life, {TIME, SEND(VERIFY)}, {UNCLEAR, WAIT}, {TIME, SEND(VERIFY)}, {DEAD, SAVE}, {DONE, SEND(PROBE)});
        life_end(&life);
}

/* ---- config.toml ---- */

static void test_puts_back_a_missing_entry_only_after_verifying(void **state)
{
        Life life;

        life_live_well(&life, FLOW_REGISTRATION_TOKEN);
        PLAY(&life, {ENTRIES(""), SEND(VERIFY)}, {UNCLEAR, WAIT}, {TIME, SEND(VERIFY)}, {ALIVE_ID(42), WRITE},
                {CHANGED, TELL}, {TOLD(DONE), WAIT});
        life_end(&life);
}

static void test_adopts_a_newer_token(void **state)
{
        static const struct {
                Line reply;
                bool ours;
                unsigned debts;
        } rows[] = {
                {{ALIVE_ID(42), SAVE}, true, 0},  /* rotated by somebody */
                {{ALIVE_ID(99), SAVE}, false, 1}, /* another runner */
                {{TEXT_200, SAVE}, false,
                        1}, /* an old GitLab does not tell: if it is the same, the old token is dead */
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Life life;

                life_live_well(&life, FLOW_REGISTRATION_TOKEN);
                PLAY(&life, {ENTRIES("tok-b"), SEND(VERIFY)});
                assert_string_equal(secret_data(life.last.arguments.token), "tok-b");
                assert_int_equal(life_step(&life, &rows[i].reply).kind, ACTION_SAVE);
                life_check_token(&life, "tok-b");
                assert_int_equal(lifecycle_record(life.l)->ours, rows[i].ours);
                assert_int_equal(lifecycle_record(life.l)->n_debts, rows[i].debts);
                PLAY(&life, {DONE, WRITE});
                life_end(&life);
        }
}

/* Somebody has put nonsense there: ours goes back, once it has proved to be better. */
static void test_puts_its_token_back(void **state)
{
        EntryEdit edit;
        Life life;

        life_live_well(&life, FLOW_REGISTRATION_TOKEN);
        PLAY(&life, {ENTRIES("tok-x tok-y"), SEND(VERIFY)}, {DEAD, SEND(VERIFY)}, {DEAD, SEND(PROBE)},
                {YES, SEND(VERIFY)}, {DEAD, SEND(VERIFY)}, {DEAD, SEND(VERIFY)}, {ALIVE_ID(42), WRITE});
        lifecycle_entry_edit(life.l, &edit);
        assert_string_equal(secret_data(edit.token), "tok-a");
        assert_string_equal(secret_data(edit.holds), "tok-x");
        PLAY(&life, {CHANGED, TELL}, {TOLD(UNSURE), WAIT});
        life_end(&life);
}

/* Nothing is written over a token that nobody has judged, not even by a reload. */
static void test_writes_over_nothing_unjudged(void **state)
{
        Life life;

        life_live_well(&life, FLOW_REGISTRATION_TOKEN);
        PLAY(&life, {ENTRIES("tok-x"), SEND(VERIFY)}, {UNCLEAR, WAIT}, {RELOAD, WAIT}, {TIME, SEND(VERIFY)},
                {ALIVE_ID(42), SAVE});
        life_check_token(&life, "tok-x");
        life_end(&life);
}

/* Ours is dead, and nobody can say what the one is that somebody put in its place: it may be its successor, so
 * nothing is made anew. */
static void test_recovers_nothing_before_the_file_is_judged(void **state)
{
        Life life;

        life_live_well(&life, FLOW_REGISTRATION_TOKEN);
        uint64_t end = life.now.boottime_usec + 3 * USEC_PER_HOUR;
        for (Line line = {ENTRIES("tok-x"), WAIT}; life.now.boottime_usec < end;) {
                Action action = life_step(&life, &line);

                line = action.kind == ACTION_SAVE ? (Line){DONE, WAIT} : (Line){TIME, WAIT};
                if (action.kind != ACTION_SEND)
                        continue;
                assert_int_equal(action.call, CALL_VERIFY);
                if (strcmp(secret_data(action.arguments.token), "tok-x") == 0)
                        line = (Line){UNCLEAR, WAIT};
                else
                        line = (Line){DEAD, WAIT};
        }
        assert_true(lifecycle_record(life.l)->dead_proofs > 3);
        life_end(&life);
}

/* It changed between our reading and our writing. */
static void test_hears_of_a_change_while_writing(void **state)
{
        Life life;

        life_live_well(&life, FLOW_REGISTRATION_TOKEN);
        PLAY(&life, {RELOAD, WRITE}, {STALE, WAIT}, {ENTRIES("tok-b"), SEND(VERIFY)}, {ALIVE_ID(42), SAVE},
                {DONE, WRITE}, {DONE, WAIT});
        life_check_token(&life, "tok-b");
        life_end(&life);
}

/* A change while GitLab thinks about the one before it. */
static void test_change_upon_change(void **state)
{
        Life life;

        life_live_well(&life, FLOW_REGISTRATION_TOKEN);
        PLAY(&life, {ENTRIES("tok-b"), SEND(VERIFY)}, {ENTRIES("tok-c"), KEEP}, {DEAD, SEND(VERIFY)});
        assert_string_equal(secret_data(life.last.arguments.token), "tok-c");
        PLAY(&life, {ALIVE_ID(42), SAVE});
        life_check_token(&life, "tok-c");
        life_end(&life);
}

/* ---- the configured source ---- */

static void test_follows_its_source(void **state)
{
        Life life;

        life_live_well(&life, FLOW_AUTHENTICATION_TOKEN);
        PLAY(&life, {RELOAD, WRITE}, {DONE, READ}, {SECRET("tok-a"), WAIT}, {RELOAD, WRITE}, {DONE, READ},
                {SECRET("tok-b"), SEND(VERIFY)}, {ALIVE_ID(43), SAVE}, {DONE, WRITE}, {CHANGED, TELL},
                {TOLD(NOT_RUNNING), SEND(DELETE_MANAGER)});
        assert_string_equal(secret_data(life.last.arguments.token), "tok-a");
        PLAY(&life, {YES, SAVE}, {DONE, WAIT});
        life_check_token(&life, "tok-b");
        life_end(&life);
}

/* Back to the token whose manager is still owed: it is cancelled, not deleted under our feet. */
static void test_returns_to_a_token_that_is_owed(void **state)
{
        Life life;

        life_live_well(&life, FLOW_AUTHENTICATION_TOKEN);
        PLAY(&life, {RELOAD, WRITE}, {DONE, READ}, {SECRET("tok-b"), SEND(VERIFY)}, {ALIVE_ID(43), SAVE},
                {DONE, WRITE}, {CHANGED, TELL}, {TOLD(NOT_RUNNING), SEND(DELETE_MANAGER)}, {UNCLEAR, WAIT},
                {RELOAD, WRITE}, {DONE, READ}, {SECRET("tok-a"), SEND(VERIFY)}, {ALIVE_ID(42), SAVE});
        life_check_token(&life, "tok-a");
        assert_int_equal(lifecycle_record(life.l)->n_debts, 1);
        assert_string_equal(secret_data(lifecycle_record(life.l)->debts[0].token), "tok-b");
        life_end(&life);
}

static void test_keeps_the_old_token_if_the_new_one_is_bad(void **state)
{
        Life life;

        life_live_well(&life, FLOW_AUTHENTICATION_TOKEN);
        PLAY(&life, {RELOAD, WRITE}, {DONE, READ}, {SECRET("tok-b"), SEND(VERIFY)}, {DEAD, WAIT});
        life_check_token(&life, "tok-a");
        life_check_state(&life, RUNNER_STATE_REGISTERED);
        /* It is read again at the first 403 of ours. */
        PLAY(&life, {TIME, SEND(VERIFY)}, {DEAD, SAVE}, {DONE, READ}, {SECRET("tok-b"), SEND(VERIFY)},
                {ALIVE_ID(42), SAVE});
        life_check_token(&life, "tok-b");
        life_end(&life);
}

/* What judges no token is asked again: a new one is not forgotten over a proxy that is down, or over TLS. */
static void test_asks_again_for_a_new_token_that_nobody_has_judged(void **state)
{
        static const Line rows[] = {{UNCLEAR, WAIT}, {NO_TLS, WAIT}, {BUSY(USEC_PER_MINUTE), WAIT}};

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Life life;

                life_live_well(&life, FLOW_AUTHENTICATION_TOKEN);
                PLAY(&life, {RELOAD, WRITE}, {DONE, READ}, {SECRET("tok-b"), SEND(VERIFY)}, rows[i], {TIME, READ},
                        {SECRET("tok-b"), SEND(VERIFY)}, {ALIVE_ID(43), SAVE});
                life_check_token(&life, "tok-b");
                life_end(&life);
        }
}

/* It could not be written while it worked; once it is refused nobody is to poll with it. */
static void test_a_refused_token_is_not_written(void **state)
{
        Life life;

        life_live_well(&life, FLOW_AUTHENTICATION_TOKEN);
        PLAY(&life, {RELOAD, WRITE}, {BROKEN, READ}, {SECRET("tok-a"), WAIT});
        for (unsigned n = 0; n < 100 && lifecycle_state(life.l) != RUNNER_STATE_REFUSED; n++)
                (void)life_step(&life, life.last.kind == ACTION_WAIT          ? &(Line){TIME, WAIT}
                                       : life.last.kind == ACTION_READ_SECRET ? &(Line){SECRET("tok-a"), WAIT}
                                       : life.last.kind == ACTION_SEND        ? &(Line){DEAD, WAIT}
                                                                              : &(Line){BROKEN, WAIT});
        for (unsigned n = 0; n < 20; n++) {
                assert_int_not_equal(life.last.kind, ACTION_WRITE_ENTRY);
                (void)life_step(&life, life.last.kind == ACTION_WAIT          ? &(Line){TIME, WAIT}
                                       : life.last.kind == ACTION_READ_SECRET ? &(Line){SECRET("tok-a"), WAIT}
                                       : life.last.kind == ACTION_SEND        ? &(Line){DEAD, WAIT}
                                                                              : &(Line){DONE, WAIT});
        }
        life_end(&life);
}

/* A refused one that works after all is registered, whoever asked. */
static void test_a_refused_token_works_again(void **state)
{
        Record *record = life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a");
        Life life;

        record->state = RUNNER_STATE_REFUSED;
        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
        PLAY(&life, {START, WAIT}, {COMMAND(VERIFY), SEND(VERIFY)}, {ALIVE_ID(42), SAVE}, {DONE, WRITE},
                {CHANGED, TELL}, {TOLD(DONE), WAIT});
        life_check_outcome(&life, 0);
        life_check_state(&life, RUNNER_STATE_REGISTERED);
        assert_int_equal(record->state, RUNNER_STATE_REGISTERED);
        life_end(&life);
}

/* Proofs by a clock that was ahead prove nothing once it is right: three new ones are needed. */
static void test_proofs_from_the_future(void **state)
{
        static const struct {
                int64_t first_usec;
                unsigned after;
        } rows[] = {{-(int64_t)USEC_PER_MINUTE, 3}, {(int64_t)USEC_PER_DAY, 1}};

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Record *record = life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a");
                Life life;

                record->dead_proofs = 2;
                record->dead_first_usec = record->dead_last_usec =
                        (uint64_t)((int64_t)LIFE_START + rows[i].first_usec);
                life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
                life_learn(&life, "tok-a");
                PLAY(&life, {START, WRITE}, {DONE, WAIT}, {TIME, SEND(VERIFY)}, {DEAD, SAVE});
                assert_int_equal(record->dead_proofs, rows[i].after);
                life_end(&life);
        }
}

/* A refused one stays refused until its token works; a person who asks is told. */
static void test_a_refused_token_stays_refused(void **state)
{
        Record *record = life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a");
        Life life;

        record->state = RUNNER_STATE_REFUSED;
        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
        PLAY(&life, {START, WAIT}, {COMMAND(VERIFY), SEND(VERIFY)}, {DEAD, SAVE}, {DONE, WAIT});
        life_check_outcome(&life, 77);
        life_check_state(&life, RUNNER_STATE_REFUSED);
        life_end(&life);
}

/* Somebody's token is dead, says a GitLab that is not well: ours is not put in its place. */
static void test_a_sick_gitlab_judges_no_entry(void **state)
{
        Life life;

        life_live_well(&life, FLOW_REGISTRATION_TOKEN);
        PLAY(&life, {ENTRIES("tok-b"), SEND(VERIFY)}, {DEAD, SEND(PROBE)}, {UNCLEAR, WAIT}, {TIME, SEND(VERIFY)});
        assert_string_equal(secret_data(life.last.arguments.token), "tok-b");
        PLAY(&life, {DEAD, SEND(PROBE)}, {ALIVE, SEND(VERIFY)}, {DEAD, SEND(VERIFY)});
        assert_string_equal(secret_data(life.last.arguments.token), "tok-a");
        PLAY(&life, {ALIVE_ID(42), WRITE});
        life_end(&life);
}

/* Where the token is shared nothing is ever made anew. */
static void test_dead_shared_token_waits_for_a_person(void **state)
{
        Life life;

        life_live_well(&life, FLOW_AUTHENTICATION_TOKEN);
        PLAY(&life, {TIME, SEND(VERIFY)}, {DEAD, SAVE}, {DONE, READ}, {SECRET("tok-a"), WAIT}, {TIME, SEND(VERIFY)},
                {DEAD, SAVE}, {DONE, WAIT}, {TIME, SEND(VERIFY)}, {DEAD, SAVE}, {DONE, SAVE}, {DONE, WAIT});
        life_check_state(&life, RUNNER_STATE_REFUSED);
        assert_int_equal(life.notices[NOTICE_REFUSED], 1);
        PLAY(&life, {TIME, SEND(VERIFY)}, {DEAD, READ}, {SECRET("tok-new"), PREPARE}, {DONE, SEND(VERIFY)},
                {ALIVE_ID(50), SAVE}, {DONE, WRITE});
        life_check_token(&life, "tok-new");
        life_end(&life);
}

/* An event in the middle of a wait leaves the wait as it was. */
static void test_nothing_disarms_a_wait(void **state)
{
        Life life;

        life_live_well(&life, FLOW_REGISTRATION_TOKEN);
        PLAY(&life, {COMMAND(DEREGISTER), SAVE}, {DONE, REMOVE}, {CHANGED, TELL}, {TOLD(UNSURE), WAIT});
        uint64_t until = life.last.until_usec;
        PLAY(&life, {ENTRIES(""), KEEP});
        assert_int_equal(life.last.until_usec, until);
        PLAY(&life, {PASS(USEC_PER_SEC), KEEP}, {TIME, SEND(DELETE_RUNNER)});
        life_end(&life);
}

/* The power went when a new token was in the state and config.toml still held the old one: that is owed already, and
 * no newer one, though GitLab takes both. */
static void test_power_cut_before_a_new_token_reached_the_file(void **state)
{
        for (Flow flow = 0; flow < _FLOW_MAX; flow++) {
                Record *record = life_enrolled(flow, "tok-b");
                Debt debt = {.kind = flow == FLOW_AUTHENTICATION_TOKEN ? DEBT_MANAGER : DEBT_RUNNER,
                        .runner_id = 7,
                        .since_usec = LIFE_START,
                        .token = life_secret("tok-a")};
                EntryEdit edit;
                Life life;

                assert_int_equal(target_copy(&debt.target, &(Target){.url = (char *)LIFE_URL}), 0);
                assert_int_equal(replace_string(&debt.system_id, "s_0123456789ab"), 0);
                assert_int_equal(record_add_debt(record, &debt), 0);
                life_begin(&life, life_plan(flow), record);
                life_learn(&life, "tok-a");
                PLAY(&life, {START, WRITE});
                lifecycle_entry_edit(life.l, &edit);
                assert_string_equal(secret_data(edit.token), "tok-b");
                assert_string_equal(secret_data(edit.holds), "tok-a");
                life_check_token(&life, "tok-b");
                life_end(&life);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_lives_a_quiet_week),
                cmocka_unit_test(test_blanket_errors_change_nothing),
                cmocka_unit_test(test_blanket_403_changes_nothing),
                cmocka_unit_test(test_one_good_answer_clears_all_doubt),
                cmocka_unit_test(test_proofs_need_their_time),
                cmocka_unit_test(test_proofs_survive_a_restart),
                cmocka_unit_test(test_puts_back_a_missing_entry_only_after_verifying),
                cmocka_unit_test(test_adopts_a_newer_token),
                cmocka_unit_test(test_puts_its_token_back),
                cmocka_unit_test(test_writes_over_nothing_unjudged),
                cmocka_unit_test(test_recovers_nothing_before_the_file_is_judged),
                cmocka_unit_test(test_hears_of_a_change_while_writing),
                cmocka_unit_test(test_change_upon_change),
                cmocka_unit_test(test_follows_its_source),
                cmocka_unit_test(test_returns_to_a_token_that_is_owed),
                cmocka_unit_test(test_keeps_the_old_token_if_the_new_one_is_bad),
                cmocka_unit_test(test_asks_again_for_a_new_token_that_nobody_has_judged),
                cmocka_unit_test(test_a_refused_token_is_not_written),
                cmocka_unit_test(test_a_refused_token_works_again),
                cmocka_unit_test(test_proofs_from_the_future),
                cmocka_unit_test(test_a_refused_token_stays_refused),
                cmocka_unit_test(test_a_sick_gitlab_judges_no_entry),
                cmocka_unit_test(test_dead_shared_token_waits_for_a_person),
                cmocka_unit_test(test_nothing_disarms_a_wait),
                cmocka_unit_test(test_power_cut_before_a_new_token_reached_the_file),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
