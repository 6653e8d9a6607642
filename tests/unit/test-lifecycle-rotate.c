/* Rotating a living token. */

#include "tests/unit/life.h"

#define ALIVE_AS_BEFORE(spent) ALIVE_UNTIL(42, LIFE_START - (spent) + 90 * DAY)

static void test_rotates_at_its_time(void **state)
{
        Life life;
        Line line = {ALIVE_AS_BEFORE(0), WAIT};

        life_live_aged(&life, life_plan(FLOW_REGISTRATION_TOKEN), 0);
        while (life_step(&life, &line).kind != ACTION_PREPARE) {
                if (life.last.kind == ACTION_WAIT)
                        line = (Line){TIME, WAIT};
                else if (life.last.kind == ACTION_SEND)
                        line = (Line){ALIVE_AS_BEFORE(0), WAIT};
                else
                        fail();
        }
        uint64_t age = life.now.realtime_usec - LIFE_START;
        assert_in_range(age / USEC_PER_MINUTE, 90 * DAY / 100 * 66 / USEC_PER_MINUTE,
                90 * DAY / 100 * 66 / USEC_PER_MINUTE + 16);
        life_check_state(&life, RUNNER_STATE_ROTATING);
        PLAY(&life, {DONE, SEND(RESET)}, {GIVEN_UNTIL(0, "tok-b", LIFE_START + 180 * DAY), JOURNAL}, {DONE, SAVE},
                {DONE, WRITE}, {CHANGED, TELL}, {TOLD(DONE), WAIT});
        life_check_token(&life, "tok-b");
        assert_int_equal(lifecycle_record(life.l)->runner_id, 42);
        assert_int_equal(life.notices[NOTICE_ROTATED], 1);
        life_end(&life);
}

/* Enrols a host whose clock is BEFORE days off, sets it AFTER days off half a day later, and returns how long after
 * its making the token is rotated, in minutes; GitLab tells its own clock if TELLS. The token lives for ten days. */
static uint64_t minutes_until_rotation(int before, int after, bool tells)
{
        const uint64_t expires = LIFE_START + 10 * DAY;
        Line line = {START, WAIT};
        bool set = false;
        Life life;

        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), life_record(FLOW_REGISTRATION_TOKEN));
        uint64_t began = life.now.boottime_usec;
        life.now.realtime_usec += (uint64_t)((int64_t)DAY * before);
        for (bool made = false;;) {
                Action action = life_step(&life, &line);
                uint64_t passed = life.now.boottime_usec - began;

                if (made && action.kind == ACTION_PREPARE)
                        break;
                if (passed > 30 * DAY)
                        fail_msg("no rotation within thirty days");
                if (!set && passed > DAY / 2) {
                        life.now.realtime_usec += (uint64_t)((int64_t)DAY * (after - before));
                        set = true;
                }
                line = (Line){DONE, WAIT};
                if (action.kind == ACTION_WAIT)
                        line = (Line){TIME, WAIT};
                else if (action.kind == ACTION_READ_SECRET)
                        line = (Line){SECRET("GR1348941a"), WAIT};
                else if (action.kind == ACTION_TELL)
                        line = (Line){TOLD(DONE), WAIT};
                else if (action.kind == ACTION_SEND && action.call == CALL_REGISTER)
                        line = (Line){GIVEN_UNTIL(42, "tok-a", expires), WAIT};
                else if (action.kind == ACTION_SEND)
                        line = (Line){ALIVE_UNTIL(42, expires), WAIT};
                made = made || (action.kind == ACTION_SEND && action.call == CALL_REGISTER);
                if (tells)
                        line.in.judgement.server_usec = (LIFE_START + passed) / USEC_PER_SEC * USEC_PER_SEC;
        }
        uint64_t passed = life.now.boottime_usec - began;
        life_end(&life);
        return passed / USEC_PER_MINUTE;
}

/* GitLab lets tokens expire by its clock, so that is the one to rotate by, whatever this host takes for the date. */
static void test_rotates_by_gitlabs_clock(void **state)
{
        static const struct {
                int before, after; /* days that our clock is off: when the token is made, and later */
        } rows[] = {{0, 0}, {-7, -7}, {-30, -30}, {7, 7}, {0, -7}, {0, 3}, {-7, 0}, {7, 0}, {-3, 3}};
        const uint64_t due = 10 * DAY / 100 * 66 / USEC_PER_MINUTE;

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                uint64_t minutes = minutes_until_rotation(rows[i].before, rows[i].after, true);

                if (minutes < due - 1 || minutes > due + 32)
                        fail_msg("row %zu: rotated after %lu minutes instead of %lu", i, (unsigned long)minutes,
                                (unsigned long)due);
        }
        /* A server or a proxy that tells no date leaves us our own. */
        assert_in_range(minutes_until_rotation(0, 0, false), due, due + 32);
}

/* Who rotates what on its own. */
static void test_rotation_policies(void **state)
{
        static const struct {
                RotationPolicy policy;
                Flow flow;
                bool handed_back;
                bool rotates;
        } rows[] = {
                {ROTATION_AUTO, FLOW_REGISTRATION_TOKEN, false, true},
                {ROTATION_AUTO, FLOW_AUTHENTICATION_TOKEN, false, false},
                {ROTATION_ALWAYS, FLOW_AUTHENTICATION_TOKEN, false, true},
                {ROTATION_NEVER, FLOW_REGISTRATION_TOKEN, false, false},
                {ROTATION_GITLAB_RUNNER, FLOW_REGISTRATION_TOKEN, false, false},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Plan plan = life_plan(rows[i].flow);
                Life life;

                plan.rotation = rows[i].policy;
                life_live_aged(&life, plan, 80 * DAY);
                Action action = life_step(&life, &(Line){ALIVE_AS_BEFORE(80 * DAY), WAIT});
                assert_int_equal(action.kind, rows[i].rotates ? ACTION_PREPARE : ACTION_WAIT);
                life_end(&life);
        }
}

/* An answer that says nothing: the old token is asked about before any other try. */
static void test_verifies_after_an_unclear_reset(void **state)
{
        static const Line unclear[] = {{LOST, SAVE}, {UNCLEAR, SAVE}, {DEAD, SAVE}, {NO_ROUTE, SAVE}};

        for (size_t i = 0; i < ELEMENTS(unclear); i++) {
                Life life;

                life_live_aged(&life, life_plan(FLOW_REGISTRATION_TOKEN), 80 * DAY);
                PLAY(&life, {ALIVE_AS_BEFORE(80 * DAY), PREPARE}, {DONE, SEND(RESET)});
                assert_int_equal(life_step(&life, &unclear[i]).kind, ACTION_SAVE);
                assert_int_equal(lifecycle_record(life.l)->intent.kind, INTENT_RESET);
                PLAY(&life, {DONE, SEND(VERIFY)}, {BUSY(USEC_PER_MINUTE), WAIT});
                /* To be put off is not to be well. */
                PLAY(&life, {TIME, SEND(VERIFY)}, {UNCLEAR, WAIT}, {TIME, SEND(VERIFY)},
                        {ALIVE_AS_BEFORE(80 * DAY), SAVE});
                assert_int_equal(lifecycle_record(life.l)->intent.kind, INTENT_NONE);
                /* Only then it is tried again; where the call does not exist, not soon. */
                assert_int_equal(life_step(&life, &(Line){DONE, WAIT}).kind, i == 3 ? ACTION_WAIT : ACTION_PREPARE);
                life_check_token(&life, "tok-a");
                life_end(&life);
        }
}

/* An expiry that nobody tells is learnt by rotating, once. */
static void test_learns_an_unknown_expiry_once(void **state)
{
        static const struct {
                Line reply;
                ActionKind next;
        } rows[] = {{{GIVEN(0, "tok-b"), JOURNAL}, ACTION_JOURNAL}, {{NO_ROUTE, SAVE}, ACTION_SAVE}};

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Record *record = life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a");
                Life life;

                record->expiry_unknown = true;
                life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
                life_learn(&life, "tok-a");
                PLAY(&life, {START, WRITE}, {DONE, WAIT}, {TIME, SEND(VERIFY)}, {TEXT_200, PREPARE},
                        {DONE, SEND(RESET)});
                assert_int_equal(life_step(&life, &rows[i].reply).kind, rows[i].next);
                if (i == 0)
                        PLAY(&life, {DONE, SAVE}, {DONE, WRITE}, {CHANGED, TELL}, {TOLD(DONE), WAIT});
                else
                        PLAY(&life, {DONE, SEND(VERIFY)}, {TEXT_200, SAVE}, {DONE, WAIT});
                for (unsigned n = 0; n < 1000; n++)
                        PLAY(&life, {TIME, SEND(VERIFY)}, {TEXT_200, WAIT});
                life_end(&life);
        }
}

/* A clock far ahead of GitLab's makes every token look old: it is not replaced without end. */
static void test_does_not_storm_with_a_wrong_clock(void **state)
{
        Life life;
        unsigned resets = 0;
        Line line = {ALIVE_UNTIL(42, LIFE_START - DAY), WAIT};

        life_live_aged(&life, life_plan(FLOW_REGISTRATION_TOKEN), 80 * DAY);
        uint64_t end = life.now.boottime_usec + DAY;
        while (life.now.boottime_usec < end) {
                Action action = life_step(&life, &line);

                if (action.kind == ACTION_SEND && action.call == CALL_RESET) {
                        resets++;
                        line = (Line){GIVEN_UNTIL(0, "tok-b", LIFE_START - DAY), WAIT};
                } else if (action.kind == ACTION_SEND)
                        line = (Line){ALIVE_UNTIL(42, LIFE_START - DAY), WAIT};
                else if (action.kind == ACTION_WAIT)
                        line = (Line){TIME, WAIT};
                else if (action.kind == ACTION_TELL)
                        line = (Line){TOLD(DONE), WAIT};
                else
                        line = (Line){DONE, WAIT};
        }
        assert_in_range(resets, 1, 24 * 4 + 1);
        life_end(&life);
}

/* It is said once, and again when the reason is another. */
static void test_a_failing_rotation_is_said_once(void **state)
{
        static const struct {
                Line second;
                unsigned said;
        } rows[] = {{{REFUSED, SAVE}, 1}, {{NO_TLS, SAVE}, 2}};

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Life life;

                life_live_aged(&life, life_plan(FLOW_REGISTRATION_TOKEN), 80 * DAY);
                PLAY(&life, {ALIVE_AS_BEFORE(80 * DAY), PREPARE}, {DONE, SEND(RESET)}, {REFUSED, SAVE}, {DONE, WAIT},
                        {COMMAND(ROTATE), PREPARE}, {DONE, SEND(RESET)}, rows[i].second, {DONE, WAIT});
                assert_int_equal(life.notices[NOTICE_ROTATION_FAILED], rows[i].said);
                life_end(&life);
        }
}

static void test_refused_rotation_is_slow(void **state)
{
        Life life;

        life_live_aged(&life, life_plan(FLOW_REGISTRATION_TOKEN), 80 * DAY);
        PLAY(&life, {ALIVE_AS_BEFORE(80 * DAY), PREPARE}, {DONE, SEND(RESET)}, {REFUSED, SAVE}, {DONE, WAIT});
        life_check_state(&life, RUNNER_STATE_REGISTERED);
        uint64_t end = life.now.boottime_usec + USEC_PER_HOUR;
        while (life.last.until_usec < end)
                PLAY(&life, {TIME, SEND(VERIFY)}, {ALIVE_AS_BEFORE(80 * DAY), WAIT});
        life_end(&life);
}

/* A reset that can't be kept is not sent. */
static void test_resets_nothing_without_room(void **state)
{
        Life life;

        life_live_aged(&life, life_plan(FLOW_REGISTRATION_TOKEN), 80 * DAY);
        PLAY(&life, {ALIVE_AS_BEFORE(80 * DAY), PREPARE}, {BROKEN, SAVE}, {BROKEN, WAIT});
        assert_int_equal(lifecycle_record(life.l)->intent.kind, INTENT_NONE);
        life_check_state(&life, RUNNER_STATE_REGISTERED);
        life_end(&life);
}

/* The power went while a reset was under way. */
static void test_starts_with_an_open_reset(void **state)
{
        static const bool journalled[] = {false, true};

        for (size_t i = 0; i < ELEMENTS(journalled); i++) {
                Record *record = life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a");
                Answer answer = {.kind = INTENT_RESET,
                        .token = life_secret("tok-b"),
                        .has_expiry = true,
                        .obtained_at_usec = LIFE_START,
                        .intent_since_usec = LIFE_START - 1};
                Life life;

                record->intent = (Intent){.kind = INTENT_RESET, .since_usec = LIFE_START - 1};
                life_begin_with(
                        &life, life_plan(FLOW_REGISTRATION_TOKEN), record, journalled[i] ? &answer : NULL, false);
                life_learn(&life, "tok-a");
                if (journalled[i])
                        PLAY(&life, {START, SAVE}, {DONE, WRITE}, {CHANGED, TELL}, {TOLD(UNSURE), WAIT});
                else
                        PLAY(&life, {START, WRITE}, {DONE, WAIT}, {TIME, SEND(VERIFY)}, {ALIVE_ID(42), SAVE},
                                {DONE, WAIT});
                life_check_token(&life, journalled[i] ? "tok-b" : "tok-a");
                assert_int_equal(lifecycle_record(life.l)->intent.kind, INTENT_NONE);
                answer_done(&answer);
                life_end(&life);
        }
}

/* Handed back before, and left to gitlab-runner since: a reload that says otherwise takes it over. */
static void test_reload_takes_rotation_over(void **state)
{
        Record *record = life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a");
        Plan plan = life_plan(FLOW_REGISTRATION_TOKEN);
        EntryEdit edit;
        Life life;

        record->handed_back = true;
        record->token_expires_at_usec = LIFE_START + DAY;
        plan.rotation = ROTATION_GITLAB_RUNNER;
        life_begin(&life, plan, record);
        life_learn(&life, "tok-a");
        PLAY(&life, {START, WRITE}, {DONE, WAIT}, {TIME, SEND(VERIFY)}, {ALIVE_UNTIL(42, LIFE_START + DAY), WAIT});
        assert_true(lifecycle_record(life.l)->handed_back);
        plan.rotation = ROTATION_AUTO;
        lifecycle_configure(life.l, &plan);
        PLAY(&life, {RELOAD, SAVE}, {DONE, WRITE});
        assert_false(lifecycle_record(life.l)->handed_back);
        lifecycle_entry_edit(life.l, &edit);
        assert_int_equal(edit.expires_at->tv_sec, ENTRY_TIME_ZERO_SEC);
        life_end(&life);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_rotates_at_its_time),
                cmocka_unit_test(test_rotates_by_gitlabs_clock),
                cmocka_unit_test(test_rotation_policies),
                cmocka_unit_test(test_verifies_after_an_unclear_reset),
                cmocka_unit_test(test_learns_an_unknown_expiry_once),
                cmocka_unit_test(test_does_not_storm_with_a_wrong_clock),
                cmocka_unit_test(test_a_failing_rotation_is_said_once),
                cmocka_unit_test(test_refused_rotation_is_slow),
                cmocka_unit_test(test_resets_nothing_without_room),
                cmocka_unit_test(test_starts_with_an_open_reset),
                cmocka_unit_test(test_reload_takes_rotation_over),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
