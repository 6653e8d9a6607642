/* One name at several GitLabs: what is known, owed or left at one url says nothing about another. */

#include "tests/unit/life.h"

#define OLD_URL "https://old.example.com"

static void owe(Record *record, DebtKind kind, const char *url, const char *token)
{
        Debt debt = {.kind = kind, .runner_id = 42, .since_usec = LIFE_START - DAY};

        assert_int_equal(replace_string(&debt.target.url, url), 0);
        assert_int_equal(replace_string(&debt.system_id, "s_0123456789ab"), 0);
        if (token)
                debt.token = life_secret(token);
        assert_int_equal(record_add_debt(record, &debt), 0);
}

static void leave(Record *record, const char *url, const char *token)
{
        Secret *secret = life_secret(token);

        assert_int_equal(record_add_leftover(record, url, secret), 0);
        secret_free(secret);
}

/* ---- a new url ---- */

/* Nothing was enrolled under the old one: nothing is owed there, and no entry is looked for. */
static void test_a_new_url_of_nothing(void **state)
{
        Record *record = life_record(FLOW_REGISTRATION_TOKEN);
        Life life;

        assert_int_equal(replace_string(&record->url, OLD_URL), 0);
        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
        PLAY(&life, {START, SAVE}, {DONE, WAIT}, {TIME, READ});
        assert_int_equal(record->n_debts, 0);
        assert_int_equal(record->n_leftovers, 0);
        assert_string_equal(record->url, LIFE_URL);
        life_end(&life);
}

/* Of all that stands there under this name, only the same runner under another token is taken for rotated. */
static void test_what_was_rotated_under_the_old_url(void **state)
{
        static const struct {
                const char *token; /* NULL: a blank one */
                const char *url;
                int64_t id;     /* in the entry */
                int64_t our_id; /* in the record */
                bool ours, taken;
        } rows[] = {
                {"tok-b", OLD_URL, 42, 42, true, true},
                {"tok-b", OLD_URL, 42, 42, false, false},
                {"tok-b", OLD_URL, 43, 42, true, false},
                {"tok-b", OLD_URL, 0, 0, true, false},
                {"tok-b", LIFE_URL, 42, 42, true, false},
                {"tok-a", OLD_URL, 42, 42, true, false},
                {NULL, OLD_URL, 42, 42, true, false},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Record *record = life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a");
                Secret *token = rows[i].token ? life_secret(rows[i].token) : NULL, *more = life_secret("tok-c");
                const EntryView views[] = {
                        {.url = rows[i].url, .token = token, .runner_id = rows[i].id},
                        /* A second one of that id, where the first was good: a person's copy. */
                        {.url = OLD_URL, .token = more, .runner_id = rows[i].taken ? 42 : 77},
                };
                Life life;

                assert_int_equal(replace_string(&record->url, OLD_URL), 0);
                record->ours = rows[i].ours;
                record->runner_id = rows[i].our_id;
                life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
                const Event found = {.kind = EVENT_ENTRIES, .now = life.now, .entries = views, .n_entries = 2};
                lifecycle_learn_entries(life.l, &found);
                secret_free(token);
                secret_free(more);
                (void)life_step(&life, &(Line){START, WAIT});
                if (record->n_debts != (rows[i].taken ? 2 : 1))
                        fail_msg("row %zu: %zu debts", i, record->n_debts);
                assert_string_equal(secret_data(record->debts[0].token), "tok-a");
                if (rows[i].taken)
                        assert_string_equal(secret_data(record->debts[1].token), "tok-b");
                life_end(&life);
        }
}

/* gitlab-runner rotates what is owed as long as it is listed; of what a lost answer left nobody knows that it is. */
static void test_nothing_is_owed_for_an_orphan(void **state)
{
        static const struct {
                DebtKind kind;
                size_t n;
        } rows[] = {{DEBT_RUNNER, 2}, {DEBT_MANAGER, 2}, {DEBT_ORPHAN, 1}};

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Record *record = life_record(FLOW_REGISTRATION_TOKEN);
                Secret *token = life_secret("tok-b");
                const EntryView view = {.url = OLD_URL, .token = token, .runner_id = 42};
                Life life;

                owe(record, rows[i].kind, OLD_URL, rows[i].kind == DEBT_ORPHAN ? NULL : "tok-a");
                life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
                const Event found = {.kind = EVENT_ENTRIES, .now = life.now, .entries = &view, .n_entries = 1};
                lifecycle_learn_entries(life.l, &found);
                secret_free(token);
                assert_int_equal(record->n_debts, rows[i].n);
                life_end(&life);
        }
}

/* ---- the same token at two urls, as after a change of GitLab's name ---- */

/* An entry may be written over unasked where its token is owed or left behind, but only under that url. */
static void test_what_is_left_elsewhere_is_nobodys_here(void **state)
{
        static const struct {
                const char *url;
                bool debt, asked;
        } rows[] = {
                {LIFE_URL, true, false},
                {OLD_URL, true, true},
                {LIFE_URL, false, false},
                {OLD_URL, false, true},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Record *record = life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a");
                Life life;

                if (rows[i].debt)
                        owe(record, DEBT_RUNNER, rows[i].url, "tok-b");
                else
                        leave(record, rows[i].url, "tok-b");
                life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
                life_learn(&life, "tok-b");
                (void)life_step(&life, &(Line){START, WAIT});
                if (rows[i].asked)
                        assert_int_equal(life.last.kind, ACTION_SEND);
                else
                        assert_int_equal(life.last.kind, ACTION_WRITE_ENTRY);
                life_end(&life);
        }
}

/* What was left behind under our own url goes, and which entry is ours stays known. */
static void test_what_is_left_here_goes(void **state)
{
        static const char *const entries[] = {"tok-a tok-b", "tok-b tok-a"};

        for (size_t i = 0; i < ELEMENTS(entries); i++) {
                Record *record = life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a");
                Plan plan = life_plan(FLOW_REGISTRATION_TOKEN);
                EntryEdit edit;
                Life life;

                plan.configured = false;
                leave(record, LIFE_URL, "tok-b");
                life_begin(&life, plan, record);
                life_learn(&life, entries[i]);
                PLAY(&life, {START, REMOVE}, {CHANGED, TELL}, {TOLD(DONE), SAVE}, {DONE, WAIT},
                        {COMMAND(VERIFY), SEND(VERIFY)}, {ALIVE_UNTIL(42, LIFE_START + DAY), SAVE}, {DONE, WRITE});
                lifecycle_entry_edit(life.l, &edit);
                assert_string_equal(secret_data(edit.holds), "tok-a");
                assert_int_equal(record->n_leftovers, 0);
                life_end(&life);
        }
}

static void test_is_owed_at_both(void **state)
{
        static const struct {
                const char *url;
                size_t n;
        } rows[] = {{LIFE_URL, 1}, {OLD_URL, 2}};

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Record *record = life_record(FLOW_REGISTRATION_TOKEN);
                Life life;

                /* Owed once, and about to be withdrawn again before anybody could ask. */
                owe(record, DEBT_RUNNER, rows[i].url, "tok-a");
                record->state = RUNNER_STATE_REFUSED;
                record->token = life_secret("tok-a");
                record->ours = true;
                life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
                PLAY(&life, {START, WAIT}, {COMMAND(DEREGISTER), SAVE});
                assert_int_equal(record->n_debts, rows[i].n);
                life_end(&life);
        }
}

/* What works here again cancels what is owed, left and shown here. */
static void test_comes_back_to_one_of_them(void **state)
{
        Record *record = life_record(FLOW_REGISTRATION_TOKEN);
        static const char *const urls[] = {LIFE_URL, OLD_URL};
        Life life;

        for (size_t i = 0; i < ELEMENTS(urls); i++) {
                owe(record, DEBT_RUNNER, urls[i], "tok-a");
                owe(record, DEBT_MANAGER, urls[i], "tok-a");
                owe(record, DEBT_ORPHAN, urls[i], NULL);
                leave(record, urls[i], "tok-a");
        }
        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
        PLAY(&life, {START, REMOVE}, {BROKEN, WAIT});
        while (life.last.kind != ACTION_SEND || life.last.call != CALL_VERIFY)
                (void)life_step(&life, life.last.kind == ACTION_WAIT   ? &(Line){TIME, WAIT}
                                       : life.last.kind == ACTION_SEND ? &(Line){UNCLEAR, WAIT}
                                                                       : &(Line){BROKEN, WAIT});
        (void)life_step(&life, &(Line){ALIVE_ID(42), WAIT});
        life_check_token(&life, "tok-a");
        assert_true(record->ours);
        assert_int_equal(record->n_debts, 3);
        for (size_t i = 0; i < record->n_debts; i++)
                assert_string_equal(record->debts[i].target.url, OLD_URL);
        assert_int_equal(record->n_leftovers, 1);
        assert_string_equal(record->leftovers[0].url, OLD_URL);
        life_end(&life);
}

/* That an entry of ours still holds the token keeps no manager elsewhere alive. */
static void test_a_manager_elsewhere_is_not_polled_for_here(void **state)
{
        static const struct {
                const char *url;
                bool goes_on;
        } rows[] = {{OLD_URL, true}, {LIFE_URL, false}};

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Record *record = life_enrolled(FLOW_AUTHENTICATION_TOKEN, "tok-a");
                Plan plan = life_plan(FLOW_AUTHENTICATION_TOKEN);
                Life life;

                plan.configured = false;
                owe(record, DEBT_MANAGER, rows[i].url, "tok-a");
                life_begin(&life, plan, record);
                life_learn(&life, "tok-a");
                PLAY(&life, {START, WAIT}, {TIME, SEND(DELETE_MANAGER)}, {YES, WAIT});
                PLAY(&life, {TIME, SEND(DELETE_MANAGER)}, {GONE, rows[i].goes_on ? SAVE : WAIT});
                assert_int_equal(record->n_debts, rows[i].goes_on ? 0 : 1);
                life_end(&life);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_new_url_of_nothing),
                cmocka_unit_test(test_what_was_rotated_under_the_old_url),
                cmocka_unit_test(test_nothing_is_owed_for_an_orphan),
                cmocka_unit_test(test_what_is_left_elsewhere_is_nobodys_here),
                cmocka_unit_test(test_what_is_left_here_goes),
                cmocka_unit_test(test_is_owed_at_both),
                cmocka_unit_test(test_comes_back_to_one_of_them),
                cmocka_unit_test(test_a_manager_elsewhere_is_not_polled_for_here),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
