/* Recovering a dead token: the ladder, and what a lost reset may have left. */

#include "tests/unit/life.h"

#define ALIVE_AS_BEFORE(spent) ALIVE_UNTIL(42, LIFE_START - (spent) + 90 * DAY)

/* A runner of ours whose token GitLab has called dead three times, and once more; its access token is read. */
static void lose(Life *life)
{
        life_live_aged(life, life_plan(FLOW_ACCESS_TOKEN), 80 * DAY);
        PLAY(life, {DEAD, SAVE}, {DONE, WAIT}, {TIME, SEND(VERIFY)}, {DEAD, SAVE}, {DONE, WAIT}, {TIME, SEND(VERIFY)},
                {DEAD, SAVE}, {DONE, SEND(PROBE)}, {ALIVE, SEND(VERIFY)}, {DEAD, READ});
}

/* The same some time later, when the last try to recover it has come to nothing. */
static void lose_again(Life *life)
{
        PLAY(life, {TIME, SEND(VERIFY)}, {DEAD, SAVE}, {DONE, SEND(PROBE)}, {ALIVE, SEND(VERIFY)});
}

/* The reset had been done: the token is dead, and GitLab has the runner under one that nobody was told. */
static void test_lost_reset_climbs_the_ladder(void **state)
{
        Life life;

        life_live_aged(&life, life_plan(FLOW_REGISTRATION_TOKEN), 80 * DAY);
        PLAY(&life, {ALIVE_AS_BEFORE(80 * DAY), PREPARE}, {DONE, SEND(RESET)}, {LOST, SAVE}, {DONE, SEND(VERIFY)},
                {DEAD, SAVE}, {DONE, WAIT}, {TIME, SEND(VERIFY)}, {DEAD, SAVE}, {DONE, WAIT}, {TIME, SEND(VERIFY)},
                {DEAD, SAVE}, {DONE, SEND(PROBE)}, {ALIVE, SEND(VERIFY)}, {DEAD, READ},
                {SECRET("GR1348941a"), PREPARE});
        life_check_token(&life, "tok-a");
        PLAY(&life, {DONE, SEND(REGISTER)}, {GIVEN(43, "tok-b"), JOURNAL}, {DONE, SAVE}, {DONE, WRITE});
        /* Its old token can't delete it: it is shown until a person looks. */
        const Record *record = lifecycle_record(life.l);
        assert_int_equal(record->n_debts, 2);
        assert_int_equal(record->debts[0].kind, DEBT_ORPHAN);
        assert_int_equal(record->debts[0].runner_id, 42);
        assert_int_equal(record->debts[1].kind, DEBT_RUNNER);
        PLAY(&life, {CHANGED, TELL}, {TOLD(DONE), SEND(DELETE_RUNNER)}, {DEAD, SEND(PROBE)}, {ALIVE, SEND(VERIFY)},
                {DEAD, SAVE}, {DONE, WAIT});
        assert_int_equal(record->n_debts, 1);
        life_end(&life);
}

/* With an access token the runner keeps its identity. */
static void test_recovers_by_id(void **state)
{
        Life life;

        life_live_aged(&life, life_plan(FLOW_ACCESS_TOKEN), 80 * DAY);
        PLAY(&life, {DEAD, SAVE}, {DONE, WAIT}, {TIME, SEND(VERIFY)}, {DEAD, SAVE}, {DONE, WAIT},
                {TIME, SEND(VERIFY)}, {DEAD, SAVE}, {DONE, SEND(PROBE)}, {ALIVE, SEND(VERIFY)}, {DEAD, READ});
        /* No memory for the access token is no reason to make another runner. */
        PLAY(&life, {NO_MEMORY, WAIT}, {TIME, SEND(VERIFY)}, {DEAD, SAVE}, {DONE, WAIT}, {TIME, SEND(PROBE)},
                {ALIVE, SEND(VERIFY)}, {DEAD, READ}, {SECRET("glpat-a"), PREPARE}, {DONE, SEND(RESET_BY_ID)});
        life_check_state(&life, RUNNER_STATE_RECOVERING);
        assert_int_equal(life.last.arguments.runner_id, 42);
        PLAY(&life, {GIVEN(0, "tok-b"), JOURNAL}, {DONE, SAVE}, {DONE, WRITE}, {CHANGED, TELL}, {TOLD(DONE), WAIT});
        life_check_token(&life, "tok-b");
        assert_int_equal(lifecycle_record(life.l)->runner_id, 42);
        assert_int_equal(lifecycle_record(life.l)->n_debts, 0);
        life_end(&life);
}

/* What is on the disk is all that is left. */
static Record *power_cut(Life *life)
{
        _cleanup_secret_ Secret *text = NULL;
        Record *record = NULL;

        assert_int_equal(record_encode(lifecycle_record(life->l), &text), 0);
        assert_int_equal(record_decode(secret_data(text), secret_size(text), &record, NULL), 0);
        life_end(life);
        return record;
}

/* Withdrawn while the runner may live under a token that nobody was told: what can't be deleted is shown. */
static void test_withdraws_what_a_lost_reset_may_have_left(void **state)
{
        static const struct {
                Line line;
                bool power_cut, shown;
        } rows[] = {
                {{LOST, SAVE}, false, true},
                {{LOST, SAVE}, true, true},
                {{UNCLEAR, SAVE}, false, false},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Life life;

                life_live_aged(&life, life_plan(FLOW_ACCESS_TOKEN), 80 * DAY);
                PLAY(&life, {DEAD, SAVE}, {DONE, WAIT}, {TIME, SEND(VERIFY)}, {DEAD, SAVE}, {DONE, WAIT},
                        {TIME, SEND(VERIFY)}, {DEAD, SAVE}, {DONE, SEND(PROBE)}, {ALIVE, SEND(VERIFY)}, {DEAD, READ},
                        {SECRET("glpat-a"), PREPARE}, {DONE, SEND(RESET_BY_ID)}, rows[i].line, {DONE, WAIT});
                if (rows[i].power_cut) {
                        life_begin(&life, life_plan(FLOW_ACCESS_TOKEN), power_cut(&life));
                        life_learn(&life, "tok-a");
                        PLAY(&life, {START, WRITE}, {DONE, WAIT});
                }
                PLAY(&life, {COMMAND(DEREGISTER), SAVE});
                const Record *record = lifecycle_record(life.l);
                assert_int_equal(record->n_debts, rows[i].shown ? 2 : 1);
                assert_int_equal(record->debts[0].kind, DEBT_RUNNER);
                if (rows[i].shown) {
                        assert_int_equal(record->debts[1].kind, DEBT_ORPHAN);
                        assert_int_equal(record->debts[1].runner_id, 42);
                }
                life_end(&life);
        }
}

/* A reset under way is waited for within the second, whichever it is: its answer is the only one that tells the
 * token.
 */
static void test_a_stop_waits_for_a_reset(void **state)
{
        static const bool comes[] = {true, false};

        for (size_t i = 0; i < ELEMENTS(comes); i++) {
                Life life;

                life_live_aged(&life, life_plan(FLOW_ACCESS_TOKEN), 80 * DAY);
                PLAY(&life, {DEAD, SAVE}, {DONE, WAIT}, {TIME, SEND(VERIFY)}, {DEAD, SAVE}, {DONE, WAIT},
                        {TIME, SEND(VERIFY)}, {DEAD, SAVE}, {DONE, SEND(PROBE)}, {ALIVE, SEND(VERIFY)}, {DEAD, READ},
                        {SECRET("glpat-a"), PREPARE}, {DONE, SEND(RESET_BY_ID)},
                        {STOP_IN(900 * USEC_PER_MSEC, .withdraw = false), KEEP});
                if (comes[i])
                        PLAY(&life, {GIVEN(0, "tok-b"), JOURNAL}, {DONE, SAVE}, {DONE, WRITE}, {CHANGED, TELL},
                                {TOLD(DONE), STOPPED});
                else
                        PLAY(&life, {TIME, SAVE}, {DONE, STOPPED});
                life_check_token(&life, comes[i] ? "tok-b" : "tok-a");
                assert_int_equal(lifecycle_record(life.l)->intent.kind, comes[i] ? INTENT_NONE : INTENT_RESET_BY_ID);
                life_end(&life);
        }
}

/* The runner is nobody's here: what its other hosts do with it is theirs. */
static void test_a_lost_reset_of_a_shared_runner_leaves_no_orphan(void **state)
{
        static const bool ours[] = {true, false};

        for (size_t i = 0; i < ELEMENTS(ours); i++) {
                Plan plan = life_plan(FLOW_REGISTRATION_TOKEN);
                Record *record = life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a");
                Life life;

                plan.rotation = ROTATION_ALWAYS;
                record->ours = ours[i];
                record->expiry_unknown = true;
                life_begin(&life, plan, record);
                life_learn(&life, "tok-a");
                PLAY(&life, {START, WRITE}, {DONE, WAIT}, {TIME, SEND(VERIFY)}, {TEXT_200, PREPARE},
                        {DONE, SEND(RESET)}, {LOST, SAVE}, {DONE, SEND(VERIFY)}, {DEAD, SAVE}, {DONE, WAIT},
                        {TIME, SEND(VERIFY)}, {DEAD, SAVE}, {DONE, WAIT}, {TIME, SEND(VERIFY)}, {DEAD, SAVE},
                        {DONE, SEND(PROBE)}, {ALIVE, SEND(VERIFY)}, {DEAD, READ});
                assert_int_equal(lifecycle_record(life.l)->n_debts, ours[i]);
                /* It is noted once, however often the new enrolment fails. */
                PLAY(&life, {SECRET("GR1348941a"), PREPARE}, {BROKEN, SAVE});
                for (unsigned n = 0; n < 40; n++)
                        (void)life_step(&life,
                                life.last.kind == ACTION_WAIT          ? &(Line){TIME, WAIT}
                                : life.last.kind == ACTION_READ_SECRET ? &(Line){SECRET("GR1348941a"), WAIT}
                                : life.last.kind == ACTION_PREPARE     ? &(Line){BROKEN, WAIT}
                                : life.last.kind == ACTION_SEND && life.last.call == CALL_VERIFY ? &(Line){DEAD, WAIT}
                                : life.last.kind == ACTION_SEND ? &(Line){ALIVE, WAIT}
                                                                : &(Line){DONE, WAIT});
                assert_int_equal(lifecycle_record(life.l)->n_debts, ours[i]);
                life_end(&life);
        }
}

/* What others share is never reset by its id, though the access token might: it may be alive for them. */
static void test_recovers_nothing_shared_by_its_id(void **state)
{
        static const struct {
                bool ours;
                int64_t id;
                Call call;
        } rows[] = {{true, 42, CALL_RESET_BY_ID}, {false, 42, CALL_CREATE}, {true, 0 /* unknown */, CALL_CREATE}};

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Record *record = life_enrolled(FLOW_ACCESS_TOKEN, "tok-a");
                Life life;

                record->ours = rows[i].ours;
                record->runner_id = rows[i].id;
                life_begin(&life, life_plan(FLOW_ACCESS_TOKEN), record);
                life_learn(&life, "tok-a");
                PLAY(&life, {START, WRITE}, {DONE, WAIT}, {TIME, SEND(VERIFY)}, {DEAD, SAVE}, {DONE, WAIT},
                        {TIME, SEND(VERIFY)}, {DEAD, SAVE}, {DONE, WAIT}, {TIME, SEND(VERIFY)}, {DEAD, SAVE},
                        {DONE, SEND(PROBE)}, {ALIVE, SEND(VERIFY)}, {DEAD, READ}, {SECRET("glpat-a"), PREPARE});
                (void)life_step(&life, &(Line){DONE, WAIT});
                assert_int_equal(life.last.call, rows[i].call);
                life_end(&life);
        }
}

/* It was removed: GitLab does not know the id either. */
static void test_recovers_by_a_new_runner(void **state)
{
        static const bool reregister[] = {true, false};

        for (size_t i = 0; i < ELEMENTS(reregister); i++) {
                Plan plan = life_plan(FLOW_ACCESS_TOKEN);
                Life life;

                plan.reregister = reregister[i];
                life_live_aged(&life, plan, 80 * DAY);
                PLAY(&life, {DEAD, SAVE}, {DONE, WAIT}, {TIME, SEND(VERIFY)}, {DEAD, SAVE}, {DONE, WAIT},
                        {TIME, SEND(VERIFY)}, {DEAD, SAVE}, {DONE, SEND(PROBE)}, {ALIVE, SEND(VERIFY)}, {DEAD, READ},
                        {SECRET("glpat-a"), PREPARE}, {DONE, SEND(RESET_BY_ID)});
                if (reregister[i]) {
                        PLAY(&life, {DEAD, READ}, {SECRET("glpat-a"), PREPARE}, {DONE, SEND(CREATE)},
                                {GIVEN(43, "tok-b"), JOURNAL}, {DONE, SAVE}, {DONE, WRITE});
                        life_check_token(&life, "tok-b");
                } else {
                        /* Its token is kept, and asked about: one good answer brings it back; `register` is a person.
                         */
                        PLAY(&life, {DEAD, SAVE}, {DONE, WAIT});
                        life_check_state(&life, RUNNER_STATE_REFUSED);
                        PLAY(&life, {TIME, SEND(VERIFY)}, {DEAD, WAIT}, {TIME, SEND(VERIFY)}, {DEAD, WAIT},
                                {COMMAND(REGISTER), SEND(VERIFY)}, {DEAD, SEND(PROBE)}, {ALIVE, SEND(VERIFY)},
                                {DEAD, READ}, {SECRET("glpat-a"), PREPARE}, {DONE, SEND(CREATE)});
                        assert_int_equal(life.notices[NOTICE_REFUSED], 1);
                }
                life_end(&life);
        }
}

/* While it recovers it goes on asking: one good answer ends it. */
static void test_recovery_ends_with_a_good_answer(void **state)
{
        Life life;

        life_live_aged(&life, life_plan(FLOW_ACCESS_TOKEN), 80 * DAY);
        PLAY(&life, {DEAD, SAVE}, {DONE, WAIT}, {TIME, SEND(VERIFY)}, {DEAD, SAVE}, {DONE, WAIT},
                {TIME, SEND(VERIFY)}, {DEAD, SAVE}, {DONE, SEND(PROBE)}, {ALIVE, SEND(VERIFY)}, {DEAD, READ},
                {SECRET("glpat-a"), PREPARE}, {DONE, SEND(RESET_BY_ID)}, {BUSY(USEC_PER_MINUTE), SAVE}, {DONE, WAIT},
                {TIME, SEND(VERIFY)}, {ALIVE_UNTIL(42, LIFE_START + 90 * DAY), SAVE}, {DONE, WRITE}, {DONE, WAIT});
        life_check_state(&life, RUNNER_STATE_REGISTERED);
        life_check_token(&life, "tok-a");
        life_end(&life);
}

static void test_recoveries(void **state)
{
        static const struct {
                Line line;
                bool anew; /* a new enrolment begins; else it is tried again */
        } rows[] = {
                {{DEAD, READ}, true},
                {{NO_ROUTE, READ}, true},
                {{REFUSED, READ}, true},
                {{NO_TLS, WAIT}, false},
                {{UNCLEAR, WAIT}, false},
                {{LOST, WAIT}, false},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Life life;

                lose(&life);
                PLAY(&life, {SECRET("glpat-a"), PREPARE}, {DONE, SEND(RESET_BY_ID)});
                for (Line line = rows[i].line; life.last.kind != ACTION_WAIT && life.last.kind != ACTION_READ_SECRET;
                        line = (Line){DONE, WAIT})
                        (void)life_step(&life, &line);
                if (life.last.kind != (rows[i].anew ? ACTION_READ_SECRET : ACTION_WAIT))
                        fail_msg("%zu: %d", i, life.last.kind);
                /* Nothing is forgotten before the new one is there. */
                life_check_token(&life, "tok-a");
                life_end(&life);
        }
}

static void test_recovery_without_an_access_token(void **state)
{
        static const Line rows[] = {{SECRET("a b"), READ}, {NO_SECRET, READ}};

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Life life;

                lose(&life);
                PLAY(&life, rows[i]);
                life_check_token(&life, "tok-a");
                life_end(&life);
        }
}

/* Told to stop while the disk makes room: nothing is sent any more that would change the token. */
static void test_stop_before_a_reset(void **state)
{
        Life life;

        lose(&life);
        PLAY(&life, {SECRET("glpat-a"), PREPARE});
        (void)life_step(&life, &(Line){STOP_IN(USEC_PER_MINUTE, .withdraw = false), WAIT});
        for (unsigned i = 0; i < 10 && life.last.kind != ACTION_STOPPED; i++) {
                assert_int_not_equal(life.last.kind, ACTION_SEND);
                (void)life_step(&life, life.last.kind == ACTION_WAIT ? &(Line){TIME, WAIT} : &(Line){DONE, WAIT});
        }
        assert_int_equal(life.last.kind, ACTION_STOPPED);
        life_check_token(&life, "tok-a");
        life_end(&life);
}

/* What a reset by id has lost is lost no more once GitLab says that there is no such runner. */
static void test_a_lost_reset_of_what_was_removed_leaves_no_orphan(void **state)
{
        static const struct {
                Line second;
                bool shown;
        } rows[] = {
                {{DEAD, READ}, false},
                {{REFUSED, READ}, true},
                {{NO_ROUTE, READ}, true},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Life life;

                lose(&life);
                PLAY(&life, {SECRET("glpat-a"), PREPARE}, {DONE, SEND(RESET_BY_ID)}, {LOST, SAVE}, {DONE, WAIT});
                lose_again(&life);
                PLAY(&life, {DEAD, READ}, {SECRET("glpat-a"), PREPARE}, {DONE, SEND(RESET_BY_ID)}, rows[i].second);
                assert_int_equal(lifecycle_record(life.l)->n_debts, rows[i].shown);
                life_end(&life);
        }
}

/* A lost one is remembered where the next is not sent. */
static void test_a_lost_reset_is_remembered(void **state)
{
        static const bool stops[] = {false, true};

        for (size_t i = 0; i < ELEMENTS(stops); i++) {
                Life life;

                lose(&life);
                PLAY(&life, {SECRET("glpat-a"), PREPARE}, {DONE, SEND(RESET_BY_ID)}, {LOST, SAVE}, {DONE, WAIT});
                lose_again(&life);
                PLAY(&life, {DEAD, READ}, {SECRET("glpat-a"), PREPARE});
                if (stops[i])
                        PLAY(&life, {STOP_IN(900 * USEC_PER_MSEC, .withdraw = false), KEEP}, {DONE, SAVE});
                else
                        PLAY(&life, {BROKEN, SAVE});
                assert_int_equal(lifecycle_record(life.l)->intent.kind, INTENT_RESET_BY_ID);
                assert_true(lifecycle_record(life.l)->intent.lost);
                life_end(&life);
        }
}

/* A new runner was asked for, and the answer was lost: a reset of the old one would forget that. */
static void test_an_open_create_comes_before_a_reset(void **state)
{
        Life life;

        lose(&life);
        PLAY(&life, {SECRET("glpat-a"), PREPARE}, {DONE, SEND(RESET_BY_ID)}, {DEAD, READ},
                {SECRET("glpat-a"), PREPARE}, {DONE, SEND(CREATE)}, {LOST, SAVE}, {DONE, READ}, {NO_SECRET, WAIT});
        while (life.last.kind != ACTION_SEND || life.last.call != CALL_PROBE)
                (void)life_step(&life, life.last.kind == ACTION_WAIT   ? &(Line){TIME, WAIT}
                                       : life.last.kind == ACTION_SEND ? &(Line){DEAD, WAIT}
                                                                       : &(Line){DONE, WAIT});
        PLAY(&life, {ALIVE, SEND(VERIFY)}, {DEAD, SEND(PROBE)}, {ALIVE, READ}, {SECRET("glpat-a"), PREPARE},
                {DONE, SEND(CREATE)});
        life_end(&life);
}

/* The last question before anything is replaced is answered well: it was the database, say. */
static void test_the_last_question_may_end_it(void **state)
{
        Life life;

        life_live_aged(&life, life_plan(FLOW_ACCESS_TOKEN), 80 * DAY);
        PLAY(&life, {DEAD, SAVE}, {DONE, WAIT}, {TIME, SEND(VERIFY)}, {DEAD, SAVE}, {DONE, WAIT},
                {TIME, SEND(VERIFY)}, {DEAD, SAVE}, {DONE, SEND(PROBE)}, {ALIVE, SEND(VERIFY)});
        (void)life_step(&life, &(Line){ALIVE_AS_BEFORE(80 * DAY), WAIT});
        life_check_state(&life, RUNNER_STATE_REGISTERED);
        life_check_token(&life, "tok-a");
        assert_int_equal(lifecycle_record(life.l)->dead_proofs, 0);
        life_end(&life);
}

/* Only one more 403 of a GitLab that is well lets the ladder be climbed. */
static void test_recovers_nothing_in_doubt(void **state)
{
        static const struct {
                Line probe, verify;
        } rows[] = {
                {{UNCLEAR, WAIT}, {}},
                {{ALIVE, SEND(VERIFY)}, {UNCLEAR, WAIT}},
                {{ALIVE, SEND(VERIFY)}, {BUSY(USEC_PER_MINUTE), WAIT}},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Life life;

                life_live_aged(&life, life_plan(FLOW_ACCESS_TOKEN), 80 * DAY);
                PLAY(&life, {DEAD, SAVE}, {DONE, WAIT}, {TIME, SEND(VERIFY)}, {DEAD, SAVE}, {DONE, WAIT},
                        {TIME, SEND(VERIFY)}, {DEAD, SAVE}, {DONE, SEND(PROBE)}, rows[i].probe);
                if (rows[i].verify.in.kind != IN_END)
                        PLAY(&life, rows[i].verify);
                PLAY(&life, {TIME, SEND(VERIFY)});
                /* It is the same doubt as before, and not said again. */
                assert_int_equal(life.notices[NOTICE_DOUBTFUL], 1);
                PLAY(&life, {UNCLEAR, WAIT});
                assert_int_equal(life.notices[NOTICE_DOUBTFUL], 1);
                life_check_token(&life, "tok-a");
                life_end(&life);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_lost_reset_climbs_the_ladder),
                cmocka_unit_test(test_recovers_by_id),
                cmocka_unit_test(test_withdraws_what_a_lost_reset_may_have_left),
                cmocka_unit_test(test_a_stop_waits_for_a_reset),
                cmocka_unit_test(test_a_lost_reset_of_a_shared_runner_leaves_no_orphan),
                cmocka_unit_test(test_recovers_nothing_shared_by_its_id),
                cmocka_unit_test(test_recovers_by_a_new_runner),
                cmocka_unit_test(test_recovery_ends_with_a_good_answer),
                cmocka_unit_test(test_recoveries),
                cmocka_unit_test(test_recovery_without_an_access_token),
                cmocka_unit_test(test_stop_before_a_reset),
                cmocka_unit_test(test_a_lost_reset_of_what_was_removed_leaves_no_orphan),
                cmocka_unit_test(test_a_lost_reset_is_remembered),
                cmocka_unit_test(test_an_open_create_comes_before_a_reset),
                cmocka_unit_test(test_the_last_question_may_end_it),
                cmocka_unit_test(test_recovers_nothing_in_doubt),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
