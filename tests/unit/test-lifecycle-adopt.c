/* Adopting: whose a token is that works, how old it is, and what else happens while it is asked about. */

#include "tests/unit/life.h"

static Debt owed(const char *token)
{
        Debt debt = {
                .kind = DEBT_RUNNER, .runner_id = 42, .since_usec = LIFE_START - DAY, .token = life_secret(token)};

        assert_int_equal(replace_string(&debt.target.url, LIFE_URL), 0);
        return debt;
}

/* The runner that is owed lives under a newer token, which gitlab-runner has put into config.toml: GitLab's id tells,
 * and it is ours as it was. */
static void test_what_is_owed_tells_whose_it_is(void **state)
{
        static const struct {
                int64_t id;
                bool ours;
        } rows[] = {{42, true}, {43, false}};

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Record *record = life_record(FLOW_REGISTRATION_TOKEN);
                Debt debt = owed("tok-a");
                Life life;

                assert_int_equal(record_add_debt(record, &debt), 0);
                life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
                life_learn(&life, "tok-b");
                PLAY(&life, {START, WAIT}, {TIME, SEND(VERIFY)});
                assert_string_equal(secret_data(life.last.arguments.token), "tok-a");
                PLAY(&life, {DEAD, SEND(VERIFY)}, {ALIVE_ID(rows[i].id), SAVE});
                life_check_token(&life, "tok-b");
                assert_int_equal(record->ours, rows[i].ours);
                assert_int_equal(record->n_debts, rows[i].ours ? 0 : 1);
                life_end(&life);
        }
}

/* The same where GitLab tells the id only later: who verifies it deletes nothing under its own feet. */
static void test_what_is_owed_tells_it_later_too(void **state)
{
        static const struct {
                int64_t id;
                bool ours;
        } rows[] = {{42, true}, {43, false}};

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Record *record = life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-b");
                Debt debt = owed("tok-a");
                Life life;

                assert_int_equal(record_add_debt(record, &debt), 0);
                record->runner_id = 0;
                record->ours = false;
                life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
                life_learn(&life, "tok-b");
                PLAY(&life, {START, WRITE}, {DONE, WAIT}, {TIME, SEND(VERIFY)}, {ALIVE_ID(rows[i].id), SAVE});
                assert_int_equal(record->ours, rows[i].ours);
                assert_int_equal(record->n_debts, rows[i].ours ? 0 : 1);
                life_end(&life);
        }
}

/* Where GitLab tells no id the file does: gitlab-runner has kept it beside the token that it got. What is owed
 * stays owed under its own token, whose 403 pays it. */
static void test_what_is_owed_tells_it_by_the_files_id(void **state)
{
        static const struct {
                int64_t id;
                bool ours;
        } rows[] = {{42, true}, {43, false}, {0, false}};

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Record *record = life_record(FLOW_REGISTRATION_TOKEN);
                Secret *rotated = life_secret("tok-b");
                const EntryView view = {.url = LIFE_URL, .token = rotated, .runner_id = rows[i].id};
                Debt debt = owed("tok-a");
                Life life;

                assert_int_equal(record_add_debt(record, &debt), 0);
                life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
                const Event event = {.kind = EVENT_ENTRIES, .now = life.now, .entries = &view, .n_entries = 1};
                lifecycle_learn_entries(life.l, &event);
                secret_free(rotated);
                PLAY(&life, {START, WAIT}, {TIME, SEND(VERIFY)}, {DEAD, SEND(VERIFY)}, {TEXT_200, SAVE});
                life_check_token(&life, "tok-b");
                assert_int_equal(record->ours, rows[i].ours);
                assert_int_equal(record->n_debts, 1);
                life_end(&life);
        }
}

/* How old a token is nobody learns by asking whether it works. */
static void test_an_age_that_is_not_known(void **state)
{
        static const struct {
                uint64_t known, after; /* 0: now */
        } rows[] = {
                {LIFE_START - DAY, LIFE_START - DAY},
                {LIFE_START + DAY, LIFE_START + DAY}, /* by a clock that was ahead */
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Record *record = life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a");
                Life life;

                record->state = RUNNER_STATE_REFUSED;
                record->token_obtained_at_usec = rows[i].known;
                life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
                PLAY(&life, {START, WAIT}, {TIME, SEND(VERIFY)}, {ALIVE_ID(42), SAVE});
                life_check_token(&life, "tok-a");
                assert_int_equal(record->token_obtained_at_usec, rows[i].after);
                life_end(&life);
        }
}

/* The state was lost, and the token that stands in config.toml is dead; while GitLab was asked, somebody put another
 * one there, which is asked about at once. */
static void test_the_file_changes_while_a_dead_entry_is_doubted(void **state)
{
        static const struct {
                const char *change;
                Line next;
        } rows[] = {{"tok-b", {DEAD, SEND(VERIFY)}}, {"tok-a", {DEAD, SAVE}}};

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Life life;

                life_begin_with(
                        &life, life_plan(FLOW_REGISTRATION_TOKEN), life_record(FLOW_REGISTRATION_TOKEN), NULL, true);
                life_learn(&life, "tok-a");
                PLAY(&life, {START, WAIT}, {TIME, SEND(VERIFY)}, {ENTRIES(rows[i].change), KEEP}, rows[i].next);
                life_check_state(&life, RUNNER_STATE_DOUBTFUL);
                if (rows[i].next.kind == ACTION_SEND)
                        assert_string_equal(secret_data(life.last.arguments.token), "tok-b");
                life_end(&life);
        }
}

/* Where the token comes from a source, one that stands in config.toml and is dead proves nothing: the source is
 * asked, and what it gives takes that one's place. */
static void test_a_source_comes_after_the_file(void **state)
{
        Record *record = life_record(FLOW_AUTHENTICATION_TOKEN);
        Debt debt = owed("tok-a");
        EntryEdit edit;
        Life life;

        assert_int_equal(record_add_debt(record, &debt), 0);
        life_begin(&life, life_plan(FLOW_AUTHENTICATION_TOKEN), record);
        life_learn(&life, "tok-b");
        PLAY(&life, {START, WAIT}, {TIME, SEND(VERIFY)}, {DEAD, SEND(VERIFY)}, {DEAD, READ},
                {SECRET("tok-c"), PREPARE}, {BROKEN, SAVE});
        /* What could not be kept is not asked for. */
        life_check_token(&life, NULL);
        PLAY(&life, {DONE, WAIT}, {TIME, SEND(VERIFY)}, {DEAD, SEND(VERIFY)}, {DEAD, READ},
                {SECRET("tok-c"), PREPARE}, {DONE, SEND(VERIFY)}, {ALIVE_ID(50), SAVE}, {DONE, WRITE});
        lifecycle_entry_edit(life.l, &edit);
        assert_string_equal(secret_data(edit.token), "tok-c");
        assert_string_equal(secret_data(edit.holds), "tok-b");
        life_end(&life);
}

/* All that this host has is dead, and yet nothing is made by a GitLab that is not well. */
static void test_nothing_is_made_by_a_sick_gitlab(void **state)
{
        Record *record = life_record(FLOW_REGISTRATION_TOKEN);
        Debt debt = owed("tok-a");
        Life life;

        assert_int_equal(record_add_debt(record, &debt), 0);
        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
        PLAY(&life, {START, WAIT}, {TIME, SEND(VERIFY)}, {DEAD, SEND(PROBE)}, {UNCLEAR, WAIT}, {TIME, SEND(VERIFY)},
                {DEAD, SEND(PROBE)}, {NO_TLS, WAIT}, {TIME, SEND(VERIFY)}, {DEAD, SEND(PROBE)}, {NO_TLS, WAIT});
        /* It is said once. */
        assert_int_equal(life.notices[NOTICE_TROUBLE], 1);
        life_end(&life);
}

/* A state file that says refused, but not why: it is said again, in words. */
static void test_refused_without_a_reason(void **state)
{
        static const struct {
                const char *before, *after;
        } rows[] = {{NULL, "GitLab does not know the token"}, {"a person's", "a person's"}};

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Record *record = life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a");
                Plan plan = life_plan(FLOW_REGISTRATION_TOKEN);
                Life life;

                plan.reregister = false;
                record->state = RUNNER_STATE_REFUSED;
                assert_int_equal(replace_string(&record->reason, rows[i].before), 0);
                life_begin(&life, plan, record);
                PLAY(&life, {START, WAIT}, {TIME, SEND(VERIFY)});
                (void)life_step(&life, &(Line){DEAD, WAIT});
                life_check_state(&life, RUNNER_STATE_REFUSED);
                assert_string_equal(lifecycle_reason(life.l), rows[i].after);
                life_end(&life);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_is_owed_tells_whose_it_is),
                cmocka_unit_test(test_what_is_owed_tells_it_later_too),
                cmocka_unit_test(test_what_is_owed_tells_it_by_the_files_id),
                cmocka_unit_test(test_an_age_that_is_not_known),
                cmocka_unit_test(test_the_file_changes_while_a_dead_entry_is_doubted),
                cmocka_unit_test(test_a_source_comes_after_the_file),
                cmocka_unit_test(test_nothing_is_made_by_a_sick_gitlab),
                cmocka_unit_test(test_refused_without_a_reason),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
