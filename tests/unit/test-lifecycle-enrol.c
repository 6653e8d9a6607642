/* Enrolling: adopting, creating, what becomes of answers and of the lack of them. */

#include "tests/unit/life.h"

static void test_registers_by_registration_token(void **state)
{
        Life life;

        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), life_record(FLOW_REGISTRATION_TOKEN));
        PLAY(&life, {START, WAIT}, {TIME, READ}, {SECRET("GR1348941a"), PREPARE}, {DONE, SEND(REGISTER)},
                {GIVEN(42, "tok-a"), JOURNAL}, {DONE, SAVE}, {DONE, WRITE}, {CHANGED, TELL}, {TOLD(DONE), WAIT});
        life_check_state(&life, RUNNER_STATE_REGISTERED);
        life_check_token(&life, "tok-a");
        assert_true(lifecycle_record(life.l)->ours);
        assert_int_equal(life.notices[NOTICE_REGISTERED], 1);
        assert_false(lifecycle_unwritten(life.l));
        life_end(&life);
}

/* A created runner has no manager before it verifies. */
static void test_creates_by_access_token(void **state)
{
        Life life;

        life_begin(&life, life_plan(FLOW_ACCESS_TOKEN), life_record(FLOW_ACCESS_TOKEN));
        PLAY(&life, {START, WAIT}, {TIME, READ}, {SECRET("glpat-a"), PREPARE}, {DONE, SEND(CREATE)});
        assert_non_null(life.last.arguments.marker);
        assert_null(life.last.arguments.token);
        PLAY(&life, {GIVEN(42, "glrt-a"), JOURNAL}, {DONE, SAVE}, {DONE, WRITE}, {CHANGED, TELL},
                {TOLD(DONE), SEND(VERIFY)}, {ALIVE_ID(42), WAIT});
        life_end(&life);
}

static void test_takes_an_authentication_token(void **state)
{
        Life life;

        life_begin(&life, life_plan(FLOW_AUTHENTICATION_TOKEN), life_record(FLOW_AUTHENTICATION_TOKEN));
        PLAY(&life, {START, WAIT}, {TIME, READ}, {SECRET("glrt-a"), PREPARE}, {DONE, SEND(VERIFY)},
                {ALIVE_ID(7), SAVE}, {DONE, WRITE}, {CHANGED, TELL}, {TOLD(DONE), WAIT});
        assert_false(lifecycle_record(life.l)->ours);
        assert_true(lifecycle_record(life.l)->manager_ours);
        life_end(&life);
}

static void test_adopts_its_own_entry(void **state)
{
        static const struct {
                Flow flow;
                bool proves;
                bool ours;
        } rows[] = {
                {FLOW_REGISTRATION_TOKEN, true, true},
                {FLOW_REGISTRATION_TOKEN, false, false},
                {FLOW_ACCESS_TOKEN, true, true},
                {FLOW_ACCESS_TOKEN, false, false},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Life life;

                life_begin_with(&life, life_plan(rows[i].flow), life_record(rows[i].flow), NULL, rows[i].proves);
                life_learn(&life, "tok-a tok-b");
                PLAY(&life, {START, WAIT}, {TIME, SEND(VERIFY)}, {DEAD, SEND(VERIFY)}, {ALIVE_ID(5), SAVE},
                        {DONE, WRITE}, {CHANGED, TELL}, {TOLD(DONE), WAIT});
                life_check_token(&life, "tok-b");
                assert_int_equal(lifecycle_record(life.l)->ours, rows[i].ours);
                assert_int_equal(life.notices[NOTICE_ADOPTED], 1);
                life_end(&life);
        }
}

/* Our state is there, so an entry that it knows nothing of is somebody else's. */
static void test_does_not_claim_what_its_state_does_not_know(void **state)
{
        Record *record = life_record(FLOW_REGISTRATION_TOKEN);
        Life life;

        assert_int_equal(replace_string(&record->machine_id, "machine"), 0);
        life_begin_with(&life, life_plan(FLOW_REGISTRATION_TOKEN), record, NULL, true);
        life_learn(&life, "tok-a");
        PLAY(&life, {START, WAIT}, {TIME, SEND(VERIFY)}, {ALIVE_ID(5), SAVE}, {DONE, WRITE}, {DONE, WAIT});
        assert_false(lifecycle_record(life.l)->ours);
        life_end(&life);
}

/* Blanket errors while it is asked create nothing, however long. */
static void test_creates_nothing_while_an_entry_is_unclear(void **state)
{
        Life life;

        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), life_record(FLOW_REGISTRATION_TOKEN));
        life_learn(&life, "tok-a");
        PLAY(&life, {START, WAIT});
        for (unsigned i = 0; i < 1000; i++)
                PLAY(&life, {TIME, SEND(VERIFY)}, {UNCLEAR, WAIT});
        assert_true(life.now.boottime_usec > DAY);
        assert_true(life.last.until_usec - life.now.boottime_usec <= life.plan.retry_max_usec);
        life_end(&life);
}

/* One 403 for the only entry there is does not make a second runner; three over ten minutes do. */
static void test_doubts_a_dead_entry_first(void **state)
{
        Life life;

        life_begin_with(&life, life_plan(FLOW_REGISTRATION_TOKEN), life_record(FLOW_REGISTRATION_TOKEN), NULL, true);
        life_learn(&life, "tok-a");
        PLAY(&life, {START, WAIT}, {TIME, SEND(VERIFY)}, {DEAD, SAVE}, {DONE, WAIT});
        life_check_state(&life, RUNNER_STATE_DOUBTFUL);
        uint64_t first = life.now.boottime_usec;
        PLAY(&life, {TIME, SEND(VERIFY)}, {DEAD, SAVE}, {DONE, WAIT}, {TIME, SEND(VERIFY)}, {DEAD, SAVE},
                {DONE, SEND(PROBE)});
        assert_true(life.now.boottime_usec - first >= life.plan.removed_after_usec);
        PLAY(&life, {ALIVE, SEND(VERIFY)}, {DEAD, READ}, {SECRET("GR1348941a"), PREPARE}, {DONE, SEND(REGISTER)},
                {GIVEN(43, "tok-b"), JOURNAL}, {DONE, SAVE}, {DONE, WRITE}, {CHANGED, TELL},
                {TOLD(NOT_RUNNING), SEND(DELETE_RUNNER)}, {DEAD, SEND(PROBE)}, {ALIVE, SEND(VERIFY)}, {DEAD, SAVE},
                {DONE, WAIT});
        life_check_token(&life, "tok-b");
        assert_int_equal(lifecycle_record(life.l)->n_debts, 0);
        life_end(&life);
}

/* A clone never adopts what is its sibling's, and overwrites the entry with its own. */
static void test_clone_enrols_anew(void **state)
{
        Record *record = life_record(FLOW_REGISTRATION_TOKEN);
        EntryEdit edit;
        Life life;

        /* An image without an entry has none to write over. */
        record->cloned = true;
        life_begin_with(&life, life_plan(FLOW_REGISTRATION_TOKEN), record, NULL, true);
        PLAY(&life, {START, SAVE}, {DONE, WAIT}, {TIME, READ}, {SECRET("GR1348941a"), PREPARE},
                {DONE, SEND(REGISTER)}, {GIVEN(43, "tok-b"), JOURNAL}, {DONE, SAVE}, {DONE, WRITE});
        lifecycle_entry_edit(life.l, &edit);
        assert_null(edit.holds);
        life_end(&life);

        record = life_record(FLOW_REGISTRATION_TOKEN);
        record->cloned = true;
        life_begin_with(&life, life_plan(FLOW_REGISTRATION_TOKEN), record, NULL, true);
        life_learn(&life, "tok-sibling");
        PLAY(&life, {START, SAVE}, {DONE, WAIT}, {TIME, READ}, {SECRET("GR1348941a"), PREPARE},
                {DONE, SEND(REGISTER)}, {GIVEN(43, "tok-b"), JOURNAL}, {DONE, SAVE}, {DONE, WRITE});
        lifecycle_entry_edit(life.l, &edit);
        assert_true(edit.guarded);
        assert_string_equal(secret_data(edit.holds), "tok-sibling");
        assert_false(lifecycle_record(life.l)->cloned);
        life_end(&life);
}

/* What a host owed when it went is adopted when it comes back, not paid. */
static void test_adopts_what_it_owes(void **state)
{
        static const DebtKind kinds[] = {DEBT_RUNNER, DEBT_MANAGER};

        for (size_t i = 0; i < ELEMENTS(kinds); i++) {
                Record *record = life_record(FLOW_REGISTRATION_TOKEN);
                Debt debt = {
                        .kind = kinds[i], .runner_id = 42, .token = life_secret("tok-a"), .since_usec = LIFE_START};
                Life life;

                assert_int_equal(target_copy(&debt.target, &(Target){.url = (char *)LIFE_URL "/"}), 0);
                assert_int_equal(record_add_debt(record, &debt), 0);
                record->state = RUNNER_STATE_WITHDRAWN;
                life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
                PLAY(&life, {START, WAIT}, {TIME, SEND(VERIFY)}, {ALIVE_ID(42), SAVE}, {DONE, WRITE}, {CHANGED, TELL},
                        {TOLD(DONE), WAIT});
                assert_int_equal(lifecycle_record(life.l)->n_debts, 0);
                assert_int_equal(lifecycle_record(life.l)->ours, kinds[i] == DEBT_RUNNER);
                life_end(&life);
        }
}

/* Nothing is sent whose answer could not be kept. */
static void test_sends_nothing_without_room_for_the_answer(void **state)
{
        Life life;

        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), life_record(FLOW_REGISTRATION_TOKEN));
        PLAY(&life, {START, WAIT}, {TIME, READ});
        for (unsigned i = 0; i < 10; i++)
                PLAY(&life, {SECRET("GR1348941a"), PREPARE}, {BROKEN, SAVE}, {DONE, WAIT}, {TIME, READ});
        assert_int_equal(lifecycle_record(life.l)->intent.kind, INTENT_NONE);
        assert_int_equal(life.notices[NOTICE_TROUBLE], 1);
        life_end(&life);
}

/* The disk fails after the answer: the token stays with us, gets to config.toml at least, and is saved later. */
static void test_keeps_an_answer_that_can_not_be_saved(void **state)
{
        Life life;

        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), life_record(FLOW_REGISTRATION_TOKEN));
        PLAY(&life, {START, WAIT}, {TIME, READ}, {SECRET("GR1348941a"), PREPARE}, {DONE, SEND(REGISTER)},
                {GIVEN(42, "tok-a"), JOURNAL}, {BROKEN, SAVE}, {BROKEN, WRITE}, {CHANGED, TELL}, {TOLD(DONE), WAIT},
                {TIME, SAVE}, {BROKEN, WAIT}, {TIME, SAVE}, {DONE, WAIT});
        life_check_token(&life, "tok-a");
        assert_null(strstr(lifecycle_reason(life.l) ? lifecycle_reason(life.l) : "", "space"));
        life_end(&life);
}

/* A lost answer is asked for again once, only when GitLab is well; the second loss in a row costs an hour. */
static void test_asks_again_for_a_lost_answer_once(void **state)
{
        Life life;

        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), life_record(FLOW_REGISTRATION_TOKEN));
        PLAY(&life, {START, WAIT}, {TIME, READ}, {SECRET("GR1348941a"), PREPARE}, {DONE, SEND(REGISTER)},
                {LOST, SAVE}, {DONE, WAIT}, {TIME, SEND(PROBE)}, {UNCLEAR, WAIT}, {TIME, SEND(PROBE)}, {ALIVE, READ},
                {SECRET("GR1348941a"), PREPARE}, {DONE, SEND(REGISTER)}, {LOST, SAVE}, {DONE, WAIT});
        assert_true(life.last.until_usec - life.now.boottime_usec >= USEC_PER_HOUR);
        assert_int_equal(lifecycle_record(life.l)->n_debts, 2);
        assert_int_equal(life.notices[NOTICE_ORPHAN], 2);
        PLAY(&life, {TIME, SEND(PROBE)}, {ALIVE, READ}, {SECRET("GR1348941a"), PREPARE}, {DONE, SEND(REGISTER)},
                {GIVEN(42, "tok-a"), JOURNAL});
        life_end(&life);
}

/* The wait after two losses survives a restart. */
static void test_waits_on_after_two_losses(void **state)
{
        Record *record = life_record(FLOW_REGISTRATION_TOKEN);
        Life life;

        record->intent = (Intent){.kind = INTENT_CREATE, .since_usec = LIFE_START - USEC_PER_MINUTE, .lost = true};
        record->lost_in_row = 2;
        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
        PLAY(&life, {START, WAIT}, {TIME, WAIT});
        assert_true(life.last.until_usec - life.now.boottime_usec >= 58 * USEC_PER_MINUTE);
        life_end(&life);
}

/* 4xx: GitLab has understood and refused. Said once, asked hourly. */
static void test_refused_is_loud_once_and_slow(void **state)
{
        Life life;

        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), life_record(FLOW_REGISTRATION_TOKEN));
        PLAY(&life, {START, WAIT}, {TIME, READ}, {SECRET("GR1348941a"), PREPARE}, {DONE, SEND(REGISTER)},
                {REFUSED, SAVE}, {DONE, WAIT});
        life_check_state(&life, RUNNER_STATE_REFUSED);
        for (unsigned i = 0; i < 200; i++) {
                assert_true(life.last.until_usec - life.now.boottime_usec >= USEC_PER_HOUR);
                PLAY(&life, {TIME, READ}, {SECRET("GR1348941a"), PREPARE}, {DONE, SEND(REGISTER)}, {REFUSED, SAVE},
                        {DONE, WAIT});
        }
        assert_int_equal(life.notices[NOTICE_REFUSED], 1);
        /* A reload reads the source anew at once. */
        PLAY(&life, {RELOAD, READ}, {NO_SECRET, SAVE}, {DONE, WAIT});
        assert_int_equal(life.notices[NOTICE_REFUSED], 2);
        life_end(&life);
}

/* No memory to read a secret into says nothing about its source: tried again soon, not in an hour. */
/* The source's own words are shown: who reads them knows what to do. */
static void test_a_source_says_why(void **state)
{
        static const struct {
                Line line;
                const char *reason;
        } rows[] = {
                {{SECRET_GONE("'/etc/token' is not there"), SAVE}, "'/etc/token' is not there"},
                {{NO_SECRET, SAVE}, "the token's source can't be read"},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Life life;

                life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), life_record(FLOW_REGISTRATION_TOKEN));
                PLAY(&life, {START, WAIT}, {TIME, READ}, rows[i].line, {DONE, WAIT});
                life_check_state(&life, RUNNER_STATE_REFUSED);
                assert_string_equal(lifecycle_reason(life.l), rows[i].reason);
                life_end(&life);
        }
}

static void test_no_memory_is_not_refused(void **state)
{
        Life life;

        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), life_record(FLOW_REGISTRATION_TOKEN));
        PLAY(&life, {START, WAIT}, {TIME, READ}, {NO_MEMORY, WAIT});
        assert_int_not_equal(lifecycle_record(life.l)->state, RUNNER_STATE_REFUSED);
        assert_true(life.last.until_usec - life.now.boottime_usec <= 5 * USEC_PER_MINUTE);
        assert_string_equal(lifecycle_reason(life.l), "out of memory");
        PLAY(&life, {TIME, READ}, {SECRET("GR1348941a"), PREPARE}, {DONE, SEND(REGISTER)});
        life_end(&life);
}

/* A certificate that is not trusted is nobody's refusal: the clock may be right in a moment. */
static void test_tls_failure_is_not_refused(void **state)
{
        Life life;

        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), life_record(FLOW_REGISTRATION_TOKEN));
        PLAY(&life, {START, WAIT}, {TIME, READ}, {SECRET("GR1348941a"), PREPARE}, {DONE, SEND(REGISTER)},
                {NO_TLS, SAVE}, {DONE, WAIT});
        life_check_state(&life, RUNNER_STATE_REGISTERING);
        assert_true(life.last.until_usec - life.now.boottime_usec <= life.plan.retry_max_usec);
        assert_int_equal(life.notices[NOTICE_TROUBLE], 1);
        life_end(&life);
}

/* Never earlier than told, reload or not. */
static void test_obeys_retry_after(void **state)
{
        Life life;

        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), life_record(FLOW_REGISTRATION_TOKEN));
        PLAY(&life, {START, WAIT}, {TIME, READ}, {SECRET("GR1348941a"), PREPARE}, {DONE, SEND(REGISTER)},
                {BUSY(20 * USEC_PER_MINUTE), SAVE}, {DONE, WAIT});
        uint64_t told = life.now.boottime_usec + 20 * USEC_PER_MINUTE - USEC_PER_SEC;
        PLAY(&life, {PASS(USEC_PER_MINUTE), WAIT}, {RELOAD, WAIT});
        assert_true(life.last.until_usec >= told);
        PLAY(&life, {TIME, READ});
        life_end(&life);
}

/* The power went between two actions. */
static void test_starts_with_an_open_create(void **state)
{
        Record *record = life_record(FLOW_ACCESS_TOKEN);
        Life life;

        record->intent = (Intent){.kind = INTENT_CREATE, .since_usec = LIFE_START - DAY, .marker = strdup("rr-1")};
        life_begin(&life, life_plan(FLOW_ACCESS_TOKEN), record);
        PLAY(&life, {START, SAVE}, {DONE, READ});
        assert_int_equal(lifecycle_record(life.l)->n_debts, 1);
        assert_string_equal(lifecycle_record(life.l)->debts[0].marker, "rr-1");
        assert_int_equal(lifecycle_record(life.l)->lost_in_row, 1);
        life_end(&life);
}

static void test_starts_with_a_journalled_answer(void **state)
{
        static const struct {
                IntentKind kind;
                uint64_t since_usec;
                const char *token;
        } rows[] = {
                {INTENT_CREATE, LIFE_START - DAY, "tok-new"},
                /* of an intent of old: applied before */
                {INTENT_CREATE, LIFE_START - 2 * DAY, NULL},
                {INTENT_RESET, LIFE_START - DAY, NULL},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Record *record = life_record(FLOW_REGISTRATION_TOKEN);
                Answer answer = {.kind = rows[i].kind,
                        .runner_id = 42,
                        .token = life_secret("tok-new"),
                        .obtained_at_usec = LIFE_START - DAY,
                        .intent_since_usec = rows[i].since_usec};
                Life life;

                record->intent = (Intent){.kind = INTENT_CREATE, .since_usec = LIFE_START - DAY};
                life_begin_with(&life, life_plan(FLOW_REGISTRATION_TOKEN), record, &answer, false);
                PLAY(&life, {START, SAVE});
                life_check_token(&life, rows[i].token);
                if (rows[i].token)
                        PLAY(&life, {DONE, WRITE}, {CHANGED, TELL}, {TOLD(DONE), WAIT});
                life_end(&life);
        }
}

/* Two answers were lost while the clock was days ahead: the wait after them is over once, and does not begin anew. */
static void test_waits_once_after_a_clock_that_was_ahead(void **state)
{
        Record *record = life_record(FLOW_REGISTRATION_TOKEN);
        Life life;

        record->intent = (Intent){.kind = INTENT_CREATE, .since_usec = LIFE_START + 10 * DAY, .lost = true};
        record->lost_in_row = 2;
        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
        PLAY(&life, {START, WAIT}, {TIME, SAVE}, {DONE, WAIT}, {TIME, SEND(PROBE)});
        assert_true(life.now.boottime_usec < 2 * USEC_PER_HOUR);
        life_end(&life);
}

/* A new url is a new runner; the old one is owed where it was, and its entry goes. */
static void test_new_url_is_a_new_runner(void **state)
{
        Record *record = life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a");
        EntryEdit edit;
        Life life;

        assert_int_equal(replace_string(&record->url, "https://old.example.com"), 0);
        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
        PLAY(&life, {START, SAVE}, {DONE, REMOVE});
        lifecycle_entry_edit(life.l, &edit);
        assert_int_equal(edit.kind, ENTRY_EDIT_REMOVE);
        assert_string_equal(edit.url, "https://old.example.com");
        assert_string_equal(secret_data(edit.holds), "tok-a");
        PLAY(&life, {CHANGED, TELL}, {TOLD(NOT_RUNNING), SAVE}, {DONE, SEND(DELETE_RUNNER)});
        assert_string_equal(life.last.target->url, "https://old.example.com");
        PLAY(&life, {REPLY(.verdict = VERDICT_ALIVE), SAVE}, {DONE, WAIT}, {TIME, READ});
        life_end(&life);
}

/* Meanwhile gitlab-runner has rotated the old one's token: it stands nowhere but under the old url. */
static void test_new_url_takes_the_rotated_token_along(void **state)
{
        static const struct {
                int64_t id;
                bool taken;
        } cases[] = {{42, true}, {43, false} /* somebody else's */};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Record *record = life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a");
                Secret *rotated = life_secret("tok-b");
                const EntryView view = {.url = "https://old.example.com", .token = rotated, .runner_id = cases[i].id};
                Life life;

                assert_int_equal(replace_string(&record->url, "https://old.example.com"), 0);
                life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
                const Event event = {.kind = EVENT_ENTRIES, .now = life.now, .entries = &view, .n_entries = 1};
                lifecycle_learn_entries(life.l, &event);
                secret_free(rotated);
                PLAY(&life, {START, SAVE});
                assert_int_equal(lifecycle_record(life.l)->n_debts, cases[i].taken ? 2 : 1);
                PLAY(&life, {DONE, REMOVE});
                if (cases[i].taken)
                        PLAY(&life, {DONE, SAVE}, {DONE, REMOVE}, {CHANGED, TELL}, {TOLD(NOT_RUNNING), SAVE},
                                {DONE, SEND(DELETE_RUNNER)});
                else
                        PLAY(&life, {DONE, SAVE}, {DONE, SEND(DELETE_RUNNER)});
                assert_string_equal(secret_data(life.last.arguments.token), cases[i].taken ? "tok-b" : "tok-a");
                life_end(&life);
        }
}

/* The power went before the entry of what is owed could be removed, and at the next boot gitlab-runner was there
 * first: what it got is owed as well, and its entry goes. */
static void test_owes_what_was_rotated_before_its_entry_went(void **state)
{
        static const struct {
                const char *url, *token;
                int64_t id;
                bool configured, owed;
        } cases[] = {
                {"https://old.example.com/", "tok-b", 42, true, true},
                {"https://old.example.com/", "tok-b", 42, false, true},
                {"https://old.example.com/", "tok-b", 43, true, false},   /* somebody else's */
                {"https://old.example.com/", "tok-b", 0, true, false},    /* whose, nobody knows */
                {"https://old.example.com/", "tok-a", 42, true, false},   /* not rotated */
                {"https://other.example.com/", "tok-b", 42, true, false}, /* another GitLab's number */
                {NULL, "tok-b", 42, true, false},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Record *record = life_record(FLOW_REGISTRATION_TOKEN);
                Debt debt = {.kind = DEBT_RUNNER,
                        .runner_id = 42,
                        .since_usec = LIFE_START,
                        .token = life_secret("tok-a")};
                Secret *token = life_secret(cases[i].token);
                const EntryView view = {.url = cases[i].url, .token = token, .runner_id = cases[i].id};
                Plan plan = life_plan(FLOW_REGISTRATION_TOKEN);
                Life life;

                assert_int_equal(replace_string(&debt.target.url, "https://old.example.com"), 0);
                assert_int_equal(replace_string(&debt.reason, "why"), 0);
                assert_int_equal(record_add_debt(record, &debt), 0);
                plan.configured = cases[i].configured;
                life_begin(&life, plan, record);
                const Event event = {.kind = EVENT_ENTRIES, .now = life.now, .entries = &view, .n_entries = 1};
                lifecycle_learn_entries(life.l, &event);
                lifecycle_learn_entries(life.l, &event); /* once is enough */
                secret_free(token);
                const Record *after = lifecycle_record(life.l);
                assert_int_equal(after->n_debts, cases[i].owed ? 2 : 1);
                assert_int_equal(after->n_leftovers, cases[i].owed ? 1 : 0);
                if (cases[i].owed) {
                        assert_int_equal(after->debts[1].kind, DEBT_RUNNER);
                        assert_int_equal(after->debts[1].runner_id, 42);
                        assert_string_equal(after->debts[1].target.url, "https://old.example.com");
                        assert_string_equal(secret_data(after->debts[1].token), "tok-b");
                        PLAY(&life, {START, SAVE});
                }
                life_end(&life);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_registers_by_registration_token),
                cmocka_unit_test(test_creates_by_access_token),
                cmocka_unit_test(test_takes_an_authentication_token),
                cmocka_unit_test(test_adopts_its_own_entry),
                cmocka_unit_test(test_does_not_claim_what_its_state_does_not_know),
                cmocka_unit_test(test_creates_nothing_while_an_entry_is_unclear),
                cmocka_unit_test(test_doubts_a_dead_entry_first),
                cmocka_unit_test(test_clone_enrols_anew),
                cmocka_unit_test(test_adopts_what_it_owes),
                cmocka_unit_test(test_sends_nothing_without_room_for_the_answer),
                cmocka_unit_test(test_keeps_an_answer_that_can_not_be_saved),
                cmocka_unit_test(test_asks_again_for_a_lost_answer_once),
                cmocka_unit_test(test_waits_on_after_two_losses),
                cmocka_unit_test(test_refused_is_loud_once_and_slow),
                cmocka_unit_test(test_a_source_says_why),
                cmocka_unit_test(test_no_memory_is_not_refused),
                cmocka_unit_test(test_tls_failure_is_not_refused),
                cmocka_unit_test(test_obeys_retry_after),
                cmocka_unit_test(test_starts_with_an_open_create),
                cmocka_unit_test(test_starts_with_a_journalled_answer),
                cmocka_unit_test(test_waits_once_after_a_clock_that_was_ahead),
                cmocka_unit_test(test_new_url_is_a_new_runner),
                cmocka_unit_test(test_new_url_takes_the_rotated_token_along),
                cmocka_unit_test(test_owes_what_was_rotated_before_its_entry_went),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
