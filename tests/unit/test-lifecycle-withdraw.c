/* Leaving: withdrawal, stops in every state, rotation handed back. */

#include "tests/unit/life.h"

/* ---- the order of leaving ---- */

static void test_leaves_in_order(void **state)
{
        Life life;

        life_live_well(&life, FLOW_REGISTRATION_TOKEN);
        PLAY(&life, {STOP_IN(30 * USEC_PER_SEC, .withdraw = true), SAVE});
        /* The debt is written down, with its token, before anything else is touched. */
        life_check_token(&life, NULL);
        assert_int_equal(lifecycle_record(life.l)->n_debts, 1);
        assert_string_equal(secret_data(lifecycle_record(life.l)->debts[0].token), "tok-a");
        PLAY(&life, {DONE, REMOVE}, {CHANGED, TELL}, {TOLD(DONE), SEND(DELETE_RUNNER)}, {YES, SAVE}, {DONE, STOPPED});
        assert_int_equal(lifecycle_record(life.l)->n_debts, 0);
        assert_int_equal(life.notices[NOTICE_WITHDRAWN], 1);
        life_end(&life);
}

/* A poll after the deletion would make the manager again, so its 404 is the proof; where nobody polls there is none.
 */
static void test_proves_that_the_manager_is_gone(void **state)
{
        Life life;

        life_live_well(&life, FLOW_AUTHENTICATION_TOKEN);
        PLAY(&life, {COMMAND(DEREGISTER), SAVE}, {DONE, REMOVE}, {CHANGED, TELL}, {TOLD(UNSURE), WAIT},
                {TIME, SEND(DELETE_MANAGER)}, {YES, WAIT}, {TIME, SEND(DELETE_MANAGER)}, {YES, WAIT},
                {TIME, SEND(DELETE_MANAGER)}, {GONE, SAVE}, {DONE, WAIT});
        life_check_outcome(&life, 0);
        life_end(&life);

        life_live_well(&life, FLOW_AUTHENTICATION_TOKEN);
        PLAY(&life, {COMMAND(DEREGISTER), SAVE}, {DONE, REMOVE}, {CHANGED, TELL},
                {TOLD(NOT_RUNNING), SEND(DELETE_MANAGER)}, {YES, SAVE}, {DONE, WAIT});
        life_check_outcome(&life, 0);
        life_end(&life);
}

/* While the entry can't be removed gitlab-runner polls with it, and each poll makes the manager again. */
static void test_manager_is_owed_while_its_entry_stands(void **state)
{
        Life life;

        life_live_well(&life, FLOW_AUTHENTICATION_TOKEN);
        PLAY(&life, {COMMAND(DEREGISTER), SAVE}, {BROKEN, SEND(DELETE_MANAGER)}, {YES, WAIT});
        assert_int_equal(lifecycle_record(life.l)->n_debts, 1);
        for (Line line = {TIME, WAIT}; life.now.boottime_usec < USEC_PER_HOUR;) {
                Action action = life_step(&life, &line);

                /* The disk works again. */
                if (action.kind == ACTION_REMOVE_ENTRY)
                        break;
                line = action.kind == ACTION_SEND   ? (Line){GONE, WAIT}
                       : action.kind == ACTION_SAVE ? (Line){DONE, WAIT}
                                                    : (Line){TIME, WAIT};
                assert_int_equal(lifecycle_record(life.l)->n_debts, 1);
        }
        assert_int_equal(life.last.kind, ACTION_REMOVE_ENTRY);
        for (Line line = {CHANGED, WAIT}; lifecycle_record(life.l)->n_debts > 0;) {
                Action action = life_step(&life, &line);

                assert_true(life.now.boottime_usec < USEC_PER_HOUR);
                line = action.kind == ACTION_SEND   ? (Line){GONE, WAIT}
                       : action.kind == ACTION_SAVE ? (Line){DONE, WAIT}
                       : action.kind == ACTION_TELL ? (Line){TOLD(NOT_RUNNING), WAIT}
                                                    : (Line){TIME, WAIT};
        }
        life_check_outcome(&life, 1);
        life_end(&life);
}

/* gitlab-runner has rotated our runner's token, and GitLab could not be asked about the new one: both are owed. */
static void test_takes_along_what_was_rotated(void **state)
{
        static const struct {
                int64_t id;
                size_t n_debts;
                const char *removed;
        } cases[] = {{42, 2, "tok-b"}, {43, 1, "tok-a"} /* another's, for all that is known */};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Secret *rotated = life_secret("tok-b");
                const EntryView view = {.url = LIFE_URL, .token = rotated, .runner_id = cases[i].id};
                EntryEdit edit;
                Life life;

                life_live_well(&life, FLOW_REGISTRATION_TOKEN);
                const Event changed = {.kind = EVENT_ENTRIES, .now = life.now, .entries = &view, .n_entries = 1};
                assert_int_equal(lifecycle_step(life.l, &changed).kind, ACTION_SEND);
                secret_free(rotated);
                PLAY(&life, {UNCLEAR, WAIT}, {COMMAND(DEREGISTER), SAVE});
                assert_int_equal(lifecycle_record(life.l)->n_debts, cases[i].n_debts);
                PLAY(&life, {DONE, REMOVE});
                lifecycle_entry_edit(life.l, &edit);
                assert_string_equal(secret_data(edit.holds), cases[i].removed);
                PLAY(&life, {CHANGED, TELL}, {TOLD(DONE), SEND(DELETE_RUNNER)});
                assert_string_equal(secret_data(life.last.arguments.token), cases[i].removed);
                life_end(&life);
        }
}

/* Somebody goes on polling with the token: it is not paid for by asking four times. */
static void test_a_manager_that_comes_back_is_owed(void **state)
{
        Life life;

        life_live_well(&life, FLOW_AUTHENTICATION_TOKEN);
        PLAY(&life, {COMMAND(DEREGISTER), SAVE}, {DONE, REMOVE}, {CHANGED, TELL}, {TOLD(DONE), SEND(DELETE_MANAGER)});
        for (unsigned tries = 0; tries < 3; tries++) {
                PLAY(&life, {YES, WAIT}, {TIME, SEND(DELETE_MANAGER)}, {YES, WAIT}, {TIME, SEND(DELETE_MANAGER)},
                        {YES, WAIT}, {TIME, SEND(DELETE_MANAGER)});
                if (tries < 2)
                        PLAY(&life, {YES, WAIT}, {TIME, SEND(DELETE_MANAGER)});
        }
        PLAY(&life, {YES, WAIT});
        life_check_outcome(&life, 75);
        assert_int_equal(lifecycle_record(life.l)->n_debts, 1);
        life_end(&life);
}

/* Old servers have no managers, and say so in their own ways. */
static void test_no_managers_none_to_delete(void **state)
{
        Life life;

        life_live_well(&life, FLOW_AUTHENTICATION_TOKEN);
        PLAY(&life, {COMMAND(DEREGISTER), SAVE}, {DONE, REMOVE}, {CHANGED, TELL}, {TOLD(DONE), SEND(DELETE_MANAGER)},
                {NO_ROUTE, SEND(PROBE)}, {ALIVE, SEND(VERIFY)}, {TEXT_200, SAVE}, {DONE, WAIT});
        life_check_outcome(&life, 0);
        life_end(&life);
}

static void test_gitlab_down_leaves_a_debt(void **state)
{
        Life life;

        life_live_well(&life, FLOW_REGISTRATION_TOKEN);
        PLAY(&life, {STOP_IN(30 * USEC_PER_SEC, .withdraw = true), SAVE}, {DONE, REMOVE}, {CHANGED, TELL},
                {TOLD(NOT_RUNNING), SEND(DELETE_RUNNER)}, {UNCLEAR, WAIT}, {TIME, SEND(DELETE_RUNNER)},
                {UNCLEAR, WAIT}, {TIME, SEND(DELETE_RUNNER)}, {UNCLEAR, STOPPED});
        assert_int_equal(lifecycle_record(life.l)->n_debts, 1);
        assert_int_equal(life.notices[NOTICE_DEBT], 1);
        life_end(&life);

        life_live_well(&life, FLOW_REGISTRATION_TOKEN);
        PLAY(&life, {STOP_IN(30 * USEC_PER_SEC, .withdraw = true, .one_try = true), SAVE}, {DONE, REMOVE},
                {CHANGED, TELL}, {TOLD(NOT_RUNNING), SEND(DELETE_RUNNER)}, {UNCLEAR, STOPPED});
        life_end(&life);
}

/* What nobody here enrolled is left alone. */
static void test_withdraws_nothing_foreign(void **state)
{
        Record *record = life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a");
        Life life;

        record->ours = record->manager_ours = false;
        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
        life_learn(&life, "tok-a");
        PLAY(&life, {START, WAIT}, {STOP_IN(30 * USEC_PER_SEC, .withdraw = true), STOPPED});
        assert_int_equal(lifecycle_record(life.l)->n_debts, 0);
        life_end(&life);
}

/* The file can't be written: the deletion is tried all the same, the entry goes later, and the command tells. */
static void test_entry_that_can_not_go_goes_later(void **state)
{
        Life life;

        life_live_well(&life, FLOW_REGISTRATION_TOKEN);
        PLAY(&life, {COMMAND(DEREGISTER), SAVE}, {DONE, REMOVE}, {BROKEN, SEND(DELETE_RUNNER)}, {YES, SAVE},
                {DONE, REMOVE}, {BROKEN, WAIT});
        life_check_outcome(&life, 1);
        PLAY(&life, {TIME, REMOVE}, {CHANGED, TELL}, {TOLD(DONE), SAVE}, {DONE, WAIT});
        assert_int_equal(life.last.until_usec, USEC_INFINITY);
        life_end(&life);
}

/* What is on the disk is all that is left. */
static Record *power_cut(Life *life)
{
        _cleanup_secret_ Secret *text = NULL;
        _cleanup_free_ char *why = NULL;
        Record *record = NULL;

        assert_int_equal(record_encode(lifecycle_record(life->l), &text), 0);
        assert_int_equal(record_decode(secret_data(text), secret_size(text), &record, &why), 0);
        life_end(life);
        return record;
}

static void check_removal(Life *life, const char *token)
{
        EntryEdit edit;

        assert_int_equal(life->last.kind, ACTION_REMOVE_ENTRY);
        lifecycle_entry_edit(life->l, &edit);
        assert_int_equal(edit.kind, ENTRY_EDIT_REMOVE);
        assert_string_equal(edit.url, LIFE_URL);
        assert_true(edit.guarded);
        assert_string_equal(secret_data(edit.holds), token);
}

/* … and be it after the power was cut: before the file was written, or after it had refused. */
static void test_entry_that_could_not_go_goes_at_the_next_start(void **state)
{
        for (unsigned refused = 0; refused < 2; refused++) {
                Plan plan = life_plan(FLOW_REGISTRATION_TOKEN);
                Life life;

                life_live_well(&life, FLOW_REGISTRATION_TOKEN);
                PLAY(&life, {COMMAND(DEREGISTER), SAVE}, {DONE, REMOVE});
                if (refused)
                        PLAY(&life, {BROKEN, SEND(DELETE_RUNNER)}, {YES, SAVE});
                Record *record = power_cut(&life);
                assert_int_equal(record->n_leftovers, 1);

                plan.configured = false;
                life_begin(&life, plan, record);
                life_learn(&life, "tok-a");
                assert_false(lifecycle_settled(life.l));
                PLAY(&life, {START, REMOVE});
                check_removal(&life, "tok-a");
                PLAY(&life, {CHANGED, TELL}, {TOLD(DONE), SAVE});
                assert_int_equal(lifecycle_record(life.l)->n_leftovers, 0);
                PLAY(&life, {DONE, WAIT});
                if (refused)
                        assert_true(lifecycle_settled(life.l));
                life_end(&life);
        }
}

/* A host that comes back looks first whether its entry is good again, and writes over it where it is not: what a
 * person has put into it stays. */
static void test_entry_that_could_not_go_is_taken_up_again(void **state)
{
        Life life;

        life_live_well(&life, FLOW_REGISTRATION_TOKEN);
        PLAY(&life, {STOP_IN(30 * USEC_PER_SEC, .withdraw = true), SAVE}, {DONE, REMOVE});
        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), power_cut(&life));
        life_learn(&life, "tok-a");
        PLAY(&life, {START, WAIT}, {TIME, SEND(VERIFY)}, {ALIVE_ID(42), SAVE});
        assert_int_equal(lifecycle_record(life.l)->n_leftovers, 0);
        assert_true(lifecycle_record(life.l)->ours);
        PLAY(&life, {DONE, WRITE}, {DONE, WAIT});
        life_end(&life);

        /* The runner was deleted before the power went: its token is dead beyond doubt. */
        life_live_well(&life, FLOW_REGISTRATION_TOKEN);
        PLAY(&life, {STOP_IN(30 * USEC_PER_SEC, .withdraw = true), SAVE}, {DONE, REMOVE},
                {BROKEN, SEND(DELETE_RUNNER)}, {YES, SAVE});
        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), power_cut(&life));
        life_learn(&life, "tok-a");
        PLAY(&life, {START, WAIT}, {TIME, SEND(VERIFY)}, {DEAD, SEND(PROBE)}, {YES, SEND(VERIFY)}, {DEAD, READ},
                {SECRET("GR1348941a"), PREPARE}, {DONE, SEND(REGISTER)}, {GIVEN(43, "tok-b"), JOURNAL}, {DONE, SAVE},
                {DONE, WRITE});
        EntryEdit edit;
        lifecycle_entry_edit(life.l, &edit);
        assert_string_equal(secret_data(edit.holds), "tok-a");
        PLAY(&life, {CHANGED, TELL}, {TOLD(DONE), REMOVE});
        check_removal(&life, "tok-a");
        PLAY(&life, {DONE, SAVE}, {DONE, WAIT});
        assert_int_equal(lifecycle_record(life.l)->n_leftovers, 0);
        life_end(&life);
}

/* Withdrawn once more before it could look: the entry goes with that. */
static void test_entry_that_could_not_go_goes_with_the_next_stop(void **state)
{
        Life life;

        life_live_well(&life, FLOW_REGISTRATION_TOKEN);
        PLAY(&life, {STOP_IN(30 * USEC_PER_SEC, .withdraw = true), SAVE}, {DONE, REMOVE});
        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), power_cut(&life));
        life_learn(&life, "tok-a");
        PLAY(&life, {START, WAIT}, {STOP_IN(30 * USEC_PER_SEC, .withdraw = true), SEND(DELETE_RUNNER)}, {YES, SAVE},
                {DONE, REMOVE}, {CHANGED, TELL}, {TOLD(DONE), SAVE}, {DONE, STOPPED});
        assert_int_equal(lifecycle_record(life.l)->n_leftovers, 0);
        life_end(&life);
}

/* The debt can't be noted: the entry, which may be all that holds the token, stays until it can. */
static void test_withdrawal_that_can_not_be_noted(void **state)
{
        Life life;

        life_live_well(&life, FLOW_REGISTRATION_TOKEN);
        PLAY(&life, {COMMAND(DEREGISTER), SAVE}, {BROKEN, SEND(DELETE_RUNNER)}, {UNCLEAR, WAIT},
                {TIME, SEND(DELETE_RUNNER)}, {YES, SAVE}, {BROKEN, WAIT});
        life_check_outcome(&life, 1);
        PLAY(&life, {TIME, SAVE}, {DONE, REMOVE}, {CHANGED, TELL}, {TOLD(DONE), SAVE}, {DONE, WAIT});
        life_end(&life);
}

/* Not configured any more, but still enrolled and handed back: gitlab-runner has rotated, so what is to be withdrawn
 * lives under the token that it put there. */
static void test_unconfigured_is_withdrawn_under_its_newer_token(void **state)
{
        Plan plan = life_plan(FLOW_REGISTRATION_TOKEN);
        Record *record = life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a");
        Life life;

        plan.configured = false;
        plan.rotation = ROTATION_NEVER;
        record->handed_back = true;
        life_begin(&life, plan, record);
        life_learn(&life, "tok-b");
        PLAY(&life, {START, SEND(VERIFY)});
        assert_string_equal(secret_data(life.last.arguments.token), "tok-b");
        PLAY(&life, {ALIVE_ID(42), SAVE}, {DONE, WRITE}, {DONE, WAIT});
        life_check_token(&life, "tok-b");
        PLAY(&life, {COMMAND(DEREGISTER), SAVE}, {DONE, REMOVE}, {CHANGED, TELL}, {TOLD(DONE), SEND(DELETE_RUNNER)});
        assert_string_equal(secret_data(life.last.arguments.token), "tok-b");
        PLAY(&life, {YES, SAVE}, {DONE, WAIT});
        assert_true(lifecycle_settled(life.l));
        life_end(&life);
}

/* ---- stop at any moment ---- */

static void test_stop_cuts_what_changes_nothing(void **state)
{
        Life life;

        life_live_well(&life, FLOW_REGISTRATION_TOKEN);
        PLAY(&life, {TIME, SEND(VERIFY)}, {STOP_IN(900 * USEC_PER_MSEC, .withdraw = false), STOPPED},
                {UNCLEAR, STOPPED});
        life_end(&life);
}

/* A create under way gets most of a second; its answer is kept if it comes, and is a lost one if not. */
static void test_stop_waits_for_an_answer(void **state)
{
        static const struct {
                bool comes;
        } rows[] = {{true}, {false}};

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Life life;

                life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), life_record(FLOW_REGISTRATION_TOKEN));
                PLAY(&life, {START, WAIT}, {TIME, READ}, {SECRET("GR1348941a"), PREPARE}, {DONE, SEND(REGISTER)},
                        {STOP_IN(900 * USEC_PER_MSEC, .withdraw = false), KEEP});
                assert_true(life.last.until_usec - life.now.boottime_usec <= 800 * USEC_PER_MSEC);
                /* Nothing that happens meanwhile makes it longer. */
                uint64_t until = life.last.until_usec;
                PLAY(&life, {PASS(500 * USEC_PER_MSEC), KEEP}, {ENTRIES(""), KEEP});
                assert_int_equal(life.last.until_usec, until);
                if (rows[i].comes) {
                        PLAY(&life, {GIVEN(42, "tok-a"), JOURNAL}, {DONE, SAVE}, {DONE, WRITE}, {CHANGED, TELL},
                                {TOLD(DONE), STOPPED});
                        life_check_token(&life, "tok-a");
                } else {
                        PLAY(&life, {TIME, SAVE}, {DONE, STOPPED});
                        assert_true(lifecycle_record(life.l)->intent.lost);
                        assert_int_equal(lifecycle_record(life.l)->n_debts, 1);
                }
                life_end(&life);
        }
}

/* A withdrawing stop takes back what is just being made. */
static void test_stop_withdraws_what_was_just_made(void **state)
{
        Life life;

        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), life_record(FLOW_REGISTRATION_TOKEN));
        PLAY(&life, {START, WAIT}, {TIME, READ}, {SECRET("GR1348941a"), PREPARE}, {DONE, SEND(REGISTER)},
                {STOP_IN(30 * USEC_PER_SEC, .withdraw = true), KEEP}, {GIVEN(42, "tok-a"), JOURNAL}, {DONE, SAVE},
                {DONE, REMOVE}, {DONE, TELL}, {TOLD(NOT_RUNNING), SEND(DELETE_RUNNER)}, {YES, SAVE}, {DONE, STOPPED});
        life_end(&life);
}

/* A reset that is not answered before the stop: the runner may live on under a token that nobody was told. */
static void test_stop_during_a_lost_reset_shows_an_orphan(void **state)
{
        Record *record = life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a");
        Life life;

        record->expiry_unknown = true;
        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
        life_learn(&life, "tok-a");
        PLAY(&life, {START, WRITE}, {DONE, WAIT}, {TIME, SEND(VERIFY)}, {TEXT_200, PREPARE}, {DONE, SEND(RESET)},
                {STOP_IN(30 * USEC_PER_SEC, .withdraw = true), KEEP}, {TIME, SAVE}, {DONE, REMOVE}, {CHANGED, TELL},
                {TOLD(NOT_RUNNING), SEND(DELETE_RUNNER)}, {DEAD, SEND(PROBE)}, {ALIVE, SEND(VERIFY)}, {DEAD, SAVE},
                {DONE, STOPPED});
        assert_int_equal(lifecycle_record(life.l)->n_debts, 1);
        assert_int_equal(lifecycle_record(life.l)->debts[0].kind, DEBT_ORPHAN);
        assert_int_equal(lifecycle_record(life.l)->debts[0].runner_id, 42);
        life_end(&life);
}

/* Restarted in the middle of a `deregister`: it is written down, and the rest is a debt. */
static void test_stop_during_a_withdrawal(void **state)
{
        Life life;

        life_live_well(&life, FLOW_REGISTRATION_TOKEN);
        PLAY(&life, {COMMAND(DEREGISTER), SAVE}, {DONE, REMOVE}, {CHANGED, TELL}, {TOLD(UNSURE), WAIT},
                {STOP_IN(900 * USEC_PER_MSEC, .withdraw = false), KEEP}, {TIME, STOPPED});
        assert_int_equal(lifecycle_record(life.l)->n_debts, 1);
        life_check_outcome(&life, 75);
        life_end(&life);
}

/* Too little time to see that nobody polls any more: what is not proved is owed. */
static void test_stop_before_the_manager_is_proved_to_be_gone(void **state)
{
        Life life;

        life_live_well(&life, FLOW_AUTHENTICATION_TOKEN);
        PLAY(&life, {STOP_IN(800 * USEC_PER_MSEC, .withdraw = true), SAVE}, {DONE, REMOVE}, {CHANGED, TELL},
                {TOLD(DONE), SEND(DELETE_MANAGER)}, {YES, WAIT}, {TIME, STOPPED});
        assert_int_equal(lifecycle_record(life.l)->n_debts, 1);
        life_end(&life);
}

/* Whatever hangs, a stop ends by its deadline. */
static void test_stop_ends_by_its_deadline(void **state)
{
        Life life;

        life_live_well(&life, FLOW_REGISTRATION_TOKEN);
        PLAY(&life, {STOP_IN(30 * USEC_PER_SEC, .withdraw = true), SAVE});
        uint64_t deadline = life.now.boottime_usec + 30 * USEC_PER_SEC;
        PLAY(&life, {DONE, REMOVE}, {CHANGED, TELL}, {TOLD(DONE), SEND(DELETE_RUNNER)}, {TIME, STOPPED});
        assert_true(life.now.boottime_usec <= deadline);
        assert_int_equal(lifecycle_record(life.l)->n_debts, 1);
        life_end(&life);
}

/* What the disk refused before is tried once more before the memory goes. */
static void test_stop_tries_the_disk_once_more(void **state)
{
        Life life;

        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), life_record(FLOW_REGISTRATION_TOKEN));
        PLAY(&life, {START, WAIT}, {TIME, READ}, {SECRET("GR1348941a"), PREPARE}, {DONE, SEND(REGISTER)},
                {GIVEN(42, "tok-a"), JOURNAL}, {BROKEN, SAVE}, {BROKEN, WRITE}, {BROKEN, WAIT},
                {STOP_IN(900 * USEC_PER_MSEC, .withdraw = false), SAVE}, {DONE, WRITE}, {DONE, STOPPED});
        life_end(&life);
}

/* Leaving for good with the runner kept: gitlab-runner sees the true times; coming back we take them again. */
static void test_hands_rotation_back(void **state)
{
        static const struct {
                Flow flow;
                RotationPolicy rotation;
                bool handed_back;
        } rows[] = {
                {FLOW_REGISTRATION_TOKEN, ROTATION_AUTO, true}, {FLOW_REGISTRATION_TOKEN, ROTATION_NEVER, false},
                {FLOW_AUTHENTICATION_TOKEN, ROTATION_ALWAYS, false}, /* never the times of a shared token */
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Record *record = life_enrolled(rows[i].flow, "tok-a");
                Plan plan = life_plan(rows[i].flow);
                EntryEdit edit;
                Life life;

                plan.rotation = rows[i].rotation;
                record->token_expires_at_usec = LIFE_START + 80 * DAY;
                life_begin(&life, plan, record);
                life_learn(&life, "tok-a");
                PLAY(&life, {START, WRITE});
                lifecycle_entry_edit(life.l, &edit);
                assert_int_equal(edit.expires_at->tv_sec, ENTRY_TIME_ZERO_SEC);
                if (rows[i].handed_back) {
                        PLAY(&life, {STOP_IN(900 * USEC_PER_MSEC, .hand_back = true), KEEP}, {DONE, SAVE},
                                {DONE, WRITE});
                        lifecycle_entry_edit(life.l, &edit);
                        assert_int_equal(edit.expires_at->tv_sec, (LIFE_START + 80 * DAY) / USEC_PER_SEC);
                        PLAY(&life, {CHANGED, TELL}, {TOLD(DONE), STOPPED});
                } else
                        PLAY(&life, {STOP_IN(900 * USEC_PER_MSEC, .hand_back = true), KEEP}, {DONE, STOPPED});
                assert_int_equal(lifecycle_record(life.l)->handed_back, rows[i].handed_back);
                life_end(&life);
        }
}

/* A disk that refuses does not hold up the stop; what it did take is true. */
static void test_hands_rotation_back_on_a_bad_disk(void **state)
{
        static const Line saved[] = {{DONE, WRITE}, {BROKEN, WRITE}};
        static const Line written[] = {{CHANGED, TELL}, {BROKEN, WAIT}};

        for (size_t i = 0; i < ELEMENTS(saved); i++)
                for (size_t k = 0; k < ELEMENTS(written); k++) {
                        Life life;

                        life_live_well(&life, FLOW_REGISTRATION_TOKEN);
                        PLAY(&life, {STOP_IN(900 * USEC_PER_MSEC, .hand_back = true), SAVE}, saved[i]);
                        (void)life_step(&life, &written[k]);
                        for (unsigned n = 0; n < 5 && life.last.kind != ACTION_STOPPED; n++)
                                (void)life_step(&life, life.last.kind == ACTION_TELL ? &(Line){TOLD(DONE), WAIT}
                                                                                     : &(Line){DONE, WAIT});
                        assert_int_equal(life.last.kind, ACTION_STOPPED);
                        assert_int_equal(life.notices[NOTICE_HANDED_BACK], k == 0);
                        assert_int_equal(life.notices[NOTICE_TROUBLE], i + k);
                        life_end(&life);
                }
}

static void test_takes_rotation_again(void **state)
{
        Record *record = life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a");
        EntryEdit edit;
        Life life;

        record->handed_back = true;
        record->token_expires_at_usec = LIFE_START + 80 * DAY;
        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
        /* gitlab-runner has rotated meanwhile. */
        life_learn(&life, "tok-b");
        PLAY(&life, {START, SEND(VERIFY)}, {ALIVE_UNTIL(42, LIFE_START + 90 * DAY), SAVE}, {DONE, WRITE});
        lifecycle_entry_edit(life.l, &edit);
        assert_int_equal(edit.expires_at->tv_sec, ENTRY_TIME_ZERO_SEC);
        assert_string_equal(secret_data(edit.token), "tok-b");
        assert_true(lifecycle_record(life.l)->ours);
        assert_false(lifecycle_record(life.l)->handed_back);
        life_end(&life);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_leaves_in_order),
                cmocka_unit_test(test_proves_that_the_manager_is_gone),
                cmocka_unit_test(test_manager_is_owed_while_its_entry_stands),
                cmocka_unit_test(test_takes_along_what_was_rotated),
                cmocka_unit_test(test_a_manager_that_comes_back_is_owed),
                cmocka_unit_test(test_no_managers_none_to_delete),
                cmocka_unit_test(test_gitlab_down_leaves_a_debt),
                cmocka_unit_test(test_withdraws_nothing_foreign),
                cmocka_unit_test(test_entry_that_can_not_go_goes_later),
                cmocka_unit_test(test_entry_that_could_not_go_goes_at_the_next_start),
                cmocka_unit_test(test_entry_that_could_not_go_is_taken_up_again),
                cmocka_unit_test(test_entry_that_could_not_go_goes_with_the_next_stop),
                cmocka_unit_test(test_withdrawal_that_can_not_be_noted),
                cmocka_unit_test(test_unconfigured_is_withdrawn_under_its_newer_token),
                cmocka_unit_test(test_stop_cuts_what_changes_nothing),
                cmocka_unit_test(test_stop_waits_for_an_answer),
                cmocka_unit_test(test_stop_withdraws_what_was_just_made),
                cmocka_unit_test(test_stop_during_a_lost_reset_shows_an_orphan),
                cmocka_unit_test(test_stop_during_a_withdrawal),
                cmocka_unit_test(test_stop_before_the_manager_is_proved_to_be_gone),
                cmocka_unit_test(test_stop_ends_by_its_deadline),
                cmocka_unit_test(test_stop_tries_the_disk_once_more),
                cmocka_unit_test(test_hands_rotation_back),
                cmocka_unit_test(test_hands_rotation_back_on_a_bad_disk),
                cmocka_unit_test(test_takes_rotation_again),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
