/* What the lifecycle tells about itself, the odd corners of a start, and what a clone is. */

#include "tests/unit/life.h"

static void expect_next(const Life *life, const char *what, const char *rule)
{
        uint64_t at;
        const char *why;
        const char *next = lifecycle_next(life->l, life->now, &at, &why);

        if (!what) {
                assert_null(next);
                return;
        }
        assert_non_null(next);
        assert_string_equal(next, what);
        assert_string_equal(why, rule);
        assert_true(at == 0 || at >= life->now.realtime_usec);
}

/* Every wait and everything under way has a name. */
static void test_says_what_is_next(void **state)
{
        Life life;

        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), life_record(FLOW_REGISTRATION_TOKEN));
        expect_next(&life, NULL, NULL);
        PLAY(&life, {START, WAIT});
        expect_next(&life, "enrol", "at start");
        PLAY(&life, {TIME, READ});
        expect_next(&life, "read the token's source", "under way");
        PLAY(&life, {SECRET("GR1348941a"), PREPARE});
        expect_next(&life, "write files", "under way");
        PLAY(&life, {DONE, SEND(REGISTER)});
        expect_next(&life, call_to_string(CALL_REGISTER), "under way");
        PLAY(&life, {BUSY(20 * USEC_PER_MINUTE), SAVE}, {DONE, WAIT});
        expect_next(&life, "enrol", "Retry-After");
        assert_string_equal(lifecycle_last_verdict(life.l), "wait");
        assert_string_equal(lifecycle_reason(life.l), "Retry later");
        assert_int_equal(lifecycle_attempt(life.l), 1);
        PLAY(&life, {TIME, READ}, {SECRET("GR1348941a"), PREPARE}, {DONE, SEND(REGISTER)},
                {GIVEN(42, "tok-a"), JOURNAL}, {DONE, SAVE}, {BROKEN, WRITE}, {BROKEN, WAIT});
        expect_next(&life, "write files", "retry_min to retry_max");
        assert_string_equal(lifecycle_reason(life.l), "No space left on device");
        assert_true(lifecycle_unwritten(life.l));
        PLAY(&life, {TIME, SAVE}, {DONE, WRITE}, {CHANGED, TELL});
        expect_next(&life, "tell gitlab-runner", "under way");
        PLAY(&life, {TOLD(DONE), WAIT});
        expect_next(&life, "verify", "verify_interval");
        assert_null(lifecycle_reason(life.l));
        PLAY(&life, {COMMAND(DEREGISTER), SAVE}, {DONE, REMOVE}, {CHANGED, TELL}, {TOLD(UNSURE), WAIT});
        expect_next(&life, "go on", "until gitlab-runner polls with the token no more");
        PLAY(&life, {TIME, SEND(DELETE_RUNNER)}, {YES, SAVE}, {DONE, WAIT});
        expect_next(&life, NULL, NULL);
        PLAY(&life, {STOP_IN(USEC_PER_SEC, .withdraw = true), STOPPED});
        expect_next(&life, NULL, NULL);
        life_end(&life);
}

static void test_says_why_it_rotates(void **state)
{
        static const struct {
                uint64_t obtained_usec;
                uint64_t expires_usec;
                uint64_t after_usec;
                const char *rule; /* NULL: it does so at once */
        } rows[] = {
                {LIFE_START, LIFE_START + 20 * USEC_PER_MINUTE, USEC_INFINITY, "rotate_at"},
                {LIFE_START - DAY, 0, DAY + 5 * USEC_PER_MINUTE, "rotate_after"},
                /* the clock was set back since: how old it is nobody knows */
                {LIFE_START + DAY, LIFE_START + 90 * DAY, USEC_INFINITY, NULL},
                {LIFE_START + 30 * USEC_PER_SEC, LIFE_START + 20 * USEC_PER_MINUTE, USEC_INFINITY, "rotate_at"},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Plan plan = life_plan(FLOW_REGISTRATION_TOKEN);
                Record *record = life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a");
                Life life;

                plan.rotate_at = 0.99;
                plan.verify_interval_usec = DAY;
                plan.rotate_after_usec = rows[i].after_usec;
                record->token_expires_at_usec = rows[i].expires_usec;
                record->token_obtained_at_usec = rows[i].obtained_usec;
                life_begin(&life, plan, record);
                life_learn(&life, "tok-a");
                PLAY(&life, {START, WRITE}, {DONE, WAIT}, {TIME, SEND(VERIFY)},
                        {REPLY(.verdict = VERDICT_ALIVE, .identity.runner_id = 42), rows[i].rule ? WAIT : PREPARE});
                if (rows[i].rule)
                        expect_next(&life, "rotate", rows[i].rule);
                if (rows[i].rule)
                        PLAY(&life, {TIME, PREPARE});
                life_end(&life);
        }
}

/* A stop cuts short whatever hangs, each in its own way. */
static void test_stop_gives_up_what_hangs(void **state)
{
        Life life;

        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a"));
        life_learn(&life, "tok-a");
        PLAY(&life, {START, WRITE}, {STOP_IN(10 * USEC_PER_SEC, .withdraw = true), KEEP}, {TIME, SAVE},
                {DONE, REMOVE}, {CHANGED, TELL}, {TIME, STOPPED});
        assert_int_equal(lifecycle_record(life.l)->n_debts, 1);
        life_end(&life);

        /* What is already over when it begins. */
        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a"));
        life_learn(&life, "tok-a");
        PLAY(&life, {START, WRITE}, {DONE, WAIT}, {STOP_IN(0, .withdraw = true), STOPPED});
        life_check_token(&life, "tok-a");
        life_end(&life);

        /* Prepared, but not sent any more. */
        life_begin(&life, life_plan(FLOW_ACCESS_TOKEN), life_record(FLOW_ACCESS_TOKEN));
        PLAY(&life, {START, WAIT}, {TIME, READ}, {SECRET("glpat-a"), PREPARE},
                {STOP_IN(900 * USEC_PER_MSEC, .withdraw = false), KEEP}, {DONE, SAVE}, {DONE, STOPPED});
        assert_int_equal(lifecycle_record(life.l)->intent.kind, INTENT_NONE);
        life_end(&life);

        life_begin(&life, life_plan(FLOW_AUTHENTICATION_TOKEN), life_record(FLOW_AUTHENTICATION_TOKEN));
        PLAY(&life, {START, WAIT}, {TIME, READ}, {SECRET("tok-a"), PREPARE},
                {STOP_IN(900 * USEC_PER_MSEC, .withdraw = false), KEEP}, {DONE, STOPPED});
        life_end(&life);
}

/* Who is to rotate sees the true times, and nobody of a token that others share. */
static void test_who_sees_the_true_times(void **state)
{
        static const struct {
                RotationPolicy rotation;
                bool ours, handed_back, seen;
        } rows[] = {
                {ROTATION_AUTO, true, false, false},
                {ROTATION_GITLAB_RUNNER, true, false, true},
                {ROTATION_GITLAB_RUNNER, false, false, false},
                {ROTATION_GITLAB_RUNNER, true, true, true},
                {ROTATION_GITLAB_RUNNER, false, true, false},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Record *record = life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a");
                Plan plan = life_plan(FLOW_REGISTRATION_TOKEN);
                EntryEdit edit;
                Life life;

                plan.rotation = rows[i].rotation;
                record->ours = rows[i].ours;
                record->handed_back = rows[i].handed_back;
                record->token_expires_at_usec = LIFE_START + 80 * DAY;
                life_begin(&life, plan, record);
                life_learn(&life, "tok-a");
                PLAY(&life, {START, WRITE});
                lifecycle_entry_edit(life.l, &edit);
                if ((edit.expires_at->tv_sec == ENTRY_TIME_ZERO_SEC) == rows[i].seen)
                        fail_msg("row %zu: %lld", i, (long long)edit.expires_at->tv_sec);
                life_end(&life);
        }
}

/* A number that nobody has told is not written. */
static void test_writes_the_number_it_knows(void **state)
{
        static const int64_t ids[] = {42, 0};

        for (size_t i = 0; i < ELEMENTS(ids); i++) {
                Record *record = life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a");
                EntryEdit edit;
                Life life;

                record->runner_id = ids[i];
                life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
                life_learn(&life, "tok-a");
                PLAY(&life, {START, WRITE});
                lifecycle_entry_edit(life.l, &edit);
                if (ids[i] > 0)
                        assert_int_equal(*edit.id, ids[i]);
                else
                        assert_null(edit.id);
                /* By no number gitlab-runner's hand is told. */
                PLAY(&life, {DONE, WAIT}, {COMMAND(DEREGISTER), SAVE});
                assert_int_equal(record->n_debts, 1);
                life_end(&life);
        }
}

/* The url was changed while the answer of the old GitLab lay in the journal. */
static void test_new_url_and_an_answer_of_the_old(void **state)
{
        Record *record = life_record(FLOW_REGISTRATION_TOKEN);
        Answer answer = {.kind = INTENT_CREATE,
                .runner_id = 7,
                .token = life_secret("tok-old"),
                .obtained_at_usec = LIFE_START,
                .intent_since_usec = 1};
        Life life;

        assert_int_equal(replace_string(&record->url, "https://old.example.com"), 0);
        record->intent = (Intent){.kind = INTENT_CREATE, .since_usec = 1};
        life_begin_with(&life, life_plan(FLOW_REGISTRATION_TOKEN), record, &answer, false);
        PLAY(&life, {START, SAVE});
        life_check_token(&life, NULL);
        assert_int_equal(lifecycle_record(life.l)->n_debts, 1);
        assert_string_equal(lifecycle_record(life.l)->debts[0].target.url, "https://old.example.com");
        assert_string_equal(secret_data(lifecycle_record(life.l)->debts[0].token), "tok-old");
        life_end(&life);
}

/* An answer for a runner that is configured no more is kept, and no entry is made for it. */
static void test_answer_for_an_unconfigured_runner(void **state)
{
        Plan plan = life_plan(FLOW_REGISTRATION_TOKEN);
        Record *record = life_record(FLOW_REGISTRATION_TOKEN);
        Answer answer = {.kind = INTENT_CREATE,
                .runner_id = 7,
                .token = life_secret("tok-a"),
                .obtained_at_usec = LIFE_START,
                .intent_since_usec = 1};
        Life life;

        plan.configured = false;
        record->intent = (Intent){.kind = INTENT_CREATE, .since_usec = 1};
        life_begin_with(&life, plan, record, &answer, false);
        assert_false(lifecycle_settled(life.l));
        PLAY(&life, {START, SAVE}, {DONE, WAIT});
        life_check_token(&life, "tok-a");
        life_end(&life);
}

/* Refused, but the setting that asks for patience was raised meanwhile: the proofs go on. */
static void test_refused_without_enough_proofs(void **state)
{
        Record *record = life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a");
        Life life;

        record->state = RUNNER_STATE_REFUSED;
        record->dead_proofs = 1;
        record->dead_first_usec = record->dead_last_usec = LIFE_START - USEC_PER_MINUTE;
        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
        life_learn(&life, "tok-a");
        PLAY(&life, {START, WAIT}, {TIME, SEND(VERIFY)}, {DEAD, SAVE}, {DONE, WRITE}, {DONE, SEND(VERIFY)},
                {DEAD, SAVE}, {DONE, WAIT});
        life_check_state(&life, RUNNER_STATE_DOUBTFUL);
        life_end(&life);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_says_what_is_next),
                cmocka_unit_test(test_says_why_it_rotates),
                cmocka_unit_test(test_stop_gives_up_what_hangs),
                cmocka_unit_test(test_who_sees_the_true_times),
                cmocka_unit_test(test_writes_the_number_it_knows),
                cmocka_unit_test(test_new_url_and_an_answer_of_the_old),
                cmocka_unit_test(test_answer_for_an_unconfigured_runner),
                cmocka_unit_test(test_refused_without_enough_proofs),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
