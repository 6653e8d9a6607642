/* What a create may have left whose answer was lost: looked for by its marker, deleted on that proof alone. */

#include "tests/unit/life.h"

#define MARKER "rr-0123456789abcdef"

/* What a lost answer may have left at URL; MARKER NULL: it had none. */
static void owe_orphan(Record *record, const char *url, int64_t runner_id, const char *marker)
{
        Debt debt = {.kind = DEBT_ORPHAN, .runner_id = runner_id, .since_usec = LIFE_START - DAY};

        assert_int_equal(replace_string(&debt.target.url, url), 0);
        assert_int_equal(replace_string(&debt.marker, marker), 0);
        assert_int_equal(record_add_debt(record, &debt), 0);
}

/* An enrolled runner that owes it, until its access token is read. */
static void begin_search(Life *life)
{
        Record *record = life_enrolled(FLOW_ACCESS_TOKEN, "tok-a");

        owe_orphan(record, LIFE_URL, 0, MARKER);
        life_begin(life, life_plan(FLOW_ACCESS_TOKEN), record);
        life_learn(life, "tok-a");
        PLAY(life, {START, WRITE}, {DONE, WAIT});
        while (life->last.kind != ACTION_READ_SECRET)
                (void)life_step(
                        life, life->last.kind == ACTION_SEND ? &(Line){ALIVE_ID(42), WAIT} : &(Line){TIME, WAIT});
}

/* An orphan is deleted only on the proof of its own marker, at the end of the note. */
static void test_finds_an_orphan_by_its_marker(void **state)
{
        static int64_t ids[] = {7, 9, 8};
        static const struct {
                const char *note;
                bool found;
        } rows[] = {
                {"rr-0123456789abcdef", true},
                {"kept by ops\nrr-0123456789abcdef\n", true},
                {"see rr-0123456789abcdef of last week", false},
                {"rr-fedcba9876543210", false},
                {NULL, false},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                const Line shown = {REPLY(.verdict = VERDICT_ALIVE, .note = (char *)rows[i].note), WAIT};
                Life life;

                begin_search(&life);
                PLAY(&life, {SECRET("glpat-a"), SEND(LIST)},
                        {REPLY(.verdict = VERDICT_ALIVE, .ids = ids, .n_ids = 3), SEND(SHOW)});
                assert_int_equal(life.last.arguments.runner_id, 9);
                Action action = life_step(&life, &shown);
                assert_int_equal(action.kind, ACTION_SEND);
                assert_int_equal(action.call, rows[i].found ? CALL_DELETE_BY_ID : CALL_SHOW);
                assert_int_equal(action.arguments.runner_id, rows[i].found ? 9 : 8);
                life_end(&life);
        }
}

/* A token that may not look, or too many to look at: shown until a person looks, and no call more. */
static void test_unprovable_orphan_is_only_shown(void **state)
{
        Life life;

        begin_search(&life);
        PLAY(&life, {SECRET("glpat-a"), SEND(LIST)});
        (void)life_step(&life, &(Line){REFUSED, WAIT});
        for (unsigned i = 0; i < 100; i++) {
                while (life.last.kind != ACTION_SEND) {
                        assert_int_equal(life.last.kind, ACTION_WAIT);
                        (void)life_step(&life, &(Line){TIME, WAIT});
                }
                assert_int_equal(life.last.call, CALL_VERIFY);
                PLAY(&life, {ALIVE_ID(42), WAIT});
        }
        assert_int_equal(lifecycle_record(life.l)->n_debts, 1);
        life_end(&life);
}

/* A source that fails for the moment is asked again; one that is gone is not. */
static void test_an_orphan_waits_for_its_access_token(void **state)
{
        static const struct {
                int error;
                bool again;
        } rows[] = {{-EIO, true}, {-EMFILE, true}, {-ETIMEDOUT, true}, {-EACCES, true}, {-ENOENT, false},
                {-ENOKEY, false}, {-EINVAL, false}};

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                unsigned reads = 0;
                Life life;

                begin_search(&life);
                for (unsigned n = 0; n < 100; n++) {
                        Line line = {TIME, WAIT};

                        if (life.last.kind == ACTION_SEND)
                                line = (Line){ALIVE_ID(42), WAIT};
                        else if (life.last.kind == ACTION_READ_SECRET) {
                                line = (Line){{IN_SECRET, .error = rows[i].error}, WAIT};
                                reads++;
                        }
                        (void)life_step(&life, &line);
                }
                assert_true(rows[i].again ? reads > 3 : reads == 1);
                assert_int_equal(lifecycle_record(life.l)->n_debts, 1);
                life_end(&life);
        }
}

static void test_orphans_without_a_token(void **state)
{
        Life life;

        begin_search(&life);
        PLAY(&life, {SECRET("a b"), WAIT});
        assert_int_equal(lifecycle_record(life.l)->n_debts, 1);
        life_end(&life);
}

/* What is shown of a runner that is not the orphan: the next is looked at, or it is tried again later. */
static void test_likenesses(void **state)
{
        static int64_t ids[] = {42, 42, 7};
        static const struct {
                Line line;
                Call next; /* _CALL_INVALID: later */
        } rows[] = {
                {{REPLY(.verdict = VERDICT_ALIVE, .note = (char *)" \n"), WAIT}, CALL_SHOW},
                {{REPLY(.verdict = VERDICT_ALIVE, .note = (char *)"x"), WAIT}, CALL_SHOW},
                {{REPLY(.verdict = VERDICT_ALIVE, .note = (char *)MARKER), WAIT}, CALL_SHOW}, /* it is our own */
                {{DEAD, WAIT}, CALL_SHOW},
                {{REFUSED, WAIT}, CALL_SHOW},
                {{UNCLEAR, WAIT}, _CALL_INVALID},
                {{BUSY(USEC_PER_MINUTE), WAIT}, _CALL_INVALID},
                {{NO_TLS, WAIT}, _CALL_INVALID},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Life life;

                begin_search(&life);
                PLAY(&life, {SECRET("glpat-a"), SEND(LIST)},
                        {REPLY(.verdict = VERDICT_ALIVE, .ids = ids, .n_ids = 3), SEND(SHOW)});
                assert_int_equal(life.last.arguments.runner_id, 42);
                (void)life_step(&life, &rows[i].line);
                if (rows[i].next == _CALL_INVALID ? life.last.kind != ACTION_WAIT
                                                  : life.last.kind != ACTION_SEND || life.last.call != rows[i].next)
                        fail_msg("%zu: %d %d", i, life.last.kind, life.last.call);
                assert_int_equal(lifecycle_record(life.l)->n_debts, 1);
                life_end(&life);
        }
}

/* That no runner carries the marker is known once all have been seen. */
static void test_none_was_made(void **state)
{
        static int64_t ids[] = {7, 8, 9};
        static const struct {
                Line second;
                bool none;
        } rows[] = {
                {{REPLY(.verdict = VERDICT_ALIVE, .note = (char *)"another"), WAIT}, true},
                {{REPLY(.verdict = VERDICT_ALIVE), WAIT}, true}, {{DEAD, WAIT}, true},
                {{REFUSED, WAIT}, false}, /* the token may not look at this one */
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Life life;

                begin_search(&life);
                PLAY(&life, {SECRET("glpat-a"), SEND(LIST)},
                        {REPLY(.verdict = VERDICT_ALIVE, .ids = ids, .n_ids = 3), SEND(SHOW)},
                        {REPLY(.verdict = VERDICT_ALIVE), SEND(SHOW)});
                (void)life_step(&life, &rows[i].second);
                assert_int_equal(life.last.arguments.runner_id, 7);
                (void)life_step(&life, &(Line){REPLY(.verdict = VERDICT_ALIVE), WAIT});
                if (lifecycle_record(life.l)->n_debts != (rows[i].none ? 0 : 1))
                        fail_msg("row %zu: %zu debts", i, lifecycle_record(life.l)->n_debts);
                assert_int_equal(life.notices[NOTICE_DEBT_PAID], rows[i].none);
                life_end(&life);
        }
}

/* A registration may be carried out long after its answer was given up: until then none is no proof. */
static void test_none_is_known_after_a_while(void **state)
{
        static const struct {
                uint64_t since_usec, wait_usec; /* 0: none */
        } rows[] = {
                {LIFE_START - 10 * USEC_PER_MINUTE, 0}, {LIFE_START - 9 * USEC_PER_MINUTE, USEC_PER_MINUTE},
                {LIFE_START + DAY, 10 * USEC_PER_MINUTE}, /* by a clock that was ahead */
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Life life;

                begin_search(&life);
                uint64_t passed = life.now.realtime_usec - LIFE_START;
                ((Record *)lifecycle_record(life.l))->debts[0].since_usec = rows[i].since_usec + passed;
                PLAY(&life, {SECRET("glpat-a"), SEND(LIST)});
                (void)life_step(&life, &(Line){REPLY(.verdict = VERDICT_ALIVE), WAIT});
                assert_int_equal(lifecycle_record(life.l)->n_debts, rows[i].wait_usec > 0);
                if (rows[i].wait_usec > 0)
                        assert_true(life.last.until_usec <= life.now.boottime_usec + rows[i].wait_usec);
                life_end(&life);
        }
}

static void test_is_paid_once_it_is_gone(void **state)
{
        static int64_t ids[] = {7};
        static const struct {
                Line line;
                bool gone;
        } rows[] = {
                {{YES, WAIT}, true},
                {{DEAD, WAIT}, true}, /* somebody else was quicker */
                {{UNCLEAR, WAIT}, false},
                {{REFUSED, WAIT}, false},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Life life;

                begin_search(&life);
                PLAY(&life, {SECRET("glpat-a"), SEND(LIST)},
                        {REPLY(.verdict = VERDICT_ALIVE, .ids = ids, .n_ids = 1), SEND(SHOW)},
                        {REPLY(.verdict = VERDICT_ALIVE, .note = (char *)MARKER), SEND(DELETE_BY_ID)});
                assert_int_equal(life.last.arguments.runner_id, 7);
                (void)life_step(&life, &rows[i].line);
                if (lifecycle_record(life.l)->n_debts != (rows[i].gone ? 0 : 1))
                        fail_msg("row %zu: %zu debts", i, lifecycle_record(life.l)->n_debts);
                life_end(&life);
        }
}

/* Nothing but its own GitLab, and an access token that was its maker's, can tell. */
static void test_is_looked_for_nowhere_else(void **state)
{
        static const struct {
                Flow flow;
                const char *url, *marker;
                bool looked_for;
        } rows[] = {
                {FLOW_ACCESS_TOKEN, LIFE_URL, MARKER, true},
                {FLOW_ACCESS_TOKEN, LIFE_URL, NULL, false},
                {FLOW_ACCESS_TOKEN, "https://old.example.com", MARKER, false},
                {FLOW_REGISTRATION_TOKEN, LIFE_URL, MARKER, false},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Record *record = life_enrolled(rows[i].flow, "tok-a");
                bool looked_for = false;
                Life life;

                owe_orphan(record, rows[i].url, 0, rows[i].marker);
                life_begin(&life, life_plan(rows[i].flow), record);
                life_learn(&life, "tok-a");
                PLAY(&life, {START, WRITE}, {DONE, WAIT});
                for (unsigned n = 0; n < 10 && !looked_for; n++) {
                        (void)life_step(&life,
                                life.last.kind == ACTION_SEND ? &(Line){ALIVE_ID(42), WAIT} : &(Line){TIME, WAIT});
                        looked_for = life.last.kind == ACTION_READ_SECRET;
                }
                if (looked_for != rows[i].looked_for)
                        fail_msg("row %zu", i);
                life_end(&life);
        }
}

/* A host that goes looks as long as it has time; what came too late to be seen is owed. */
static void test_a_stop_ends_the_search(void **state)
{
        static int64_t ids[] = {7, 8};
        static const struct {
                unsigned shown; /* before the time is over */
                bool more_pages, none;
        } rows[] = {{0, false, false}, {0, true, false}, {1, false, false}, {2, false, true}};

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                const Line listed = {
                        REPLY(.verdict = VERDICT_ALIVE, .ids = ids, .n_ids = 2, .more_pages = rows[i].more_pages),
                        SEND(SHOW)};
                Life life;

                begin_search(&life);
                PLAY(&life, {STOP_IN(30 * USEC_PER_SEC, .withdraw = true), SAVE}, {DONE, REMOVE}, {CHANGED, TELL},
                        {TOLD(NOT_RUNNING), SEND(DELETE_RUNNER)}, {YES, READ}, {SECRET("glpat-a"), SEND(LIST)});
                for (unsigned n = 0; n <= rows[i].shown; n++) {
                        const Line line = n == 0 ? listed : (Line){REPLY(.verdict = VERDICT_ALIVE), SEND(SHOW)};

                        /* The answer is there before the alarm is. */
                        if (n == rows[i].shown)
                                life_pass(&life, 30 * USEC_PER_SEC);
                        (void)life_step(&life, &line);
                        if (n < rows[i].shown)
                                assert_int_equal(life.last.call, CALL_SHOW);
                }
                assert_int_equal(life.last.kind, ACTION_SAVE);
                PLAY(&life, {DONE, STOPPED});
                if (lifecycle_record(life.l)->n_debts != (rows[i].none ? 0 : 1))
                        fail_msg("row %zu: %zu debts", i, lifecycle_record(life.l)->n_debts);
                life_end(&life);
        }
}

/* The access token's source hangs: a host that goes does not wait for it. */
static void test_a_stop_waits_for_no_source(void **state)
{
        Life life;

        begin_search(&life);
        PLAY(&life, {STOP_IN(30 * USEC_PER_SEC, .withdraw = true), SAVE}, {DONE, REMOVE}, {CHANGED, TELL},
                {TOLD(NOT_RUNNING), SEND(DELETE_RUNNER)}, {YES, READ}, {TIME, SAVE}, {DONE, STOPPED});
        assert_int_equal(lifecycle_record(life.l)->n_debts, 1);
        life_end(&life);
}

/* More runners than anybody looks at: without its marker on the newest nobody knows. */
static void test_orphans_among_many(void **state)
{
        int64_t ids[15];
        Life life;
        unsigned shown = 0;

        for (size_t i = 0; i < ELEMENTS(ids); i++)
                ids[i] = 1000 - (int64_t)i;
        begin_search(&life);
        PLAY(&life, {SECRET("glpat-a"), SEND(LIST)},
                {REPLY(.verdict = VERDICT_ALIVE, .ids = ids, .n_ids = 15, .more_pages = true), SEND(LIST)});
        assert_int_equal(life.last.arguments.page, 2);
        PLAY(&life, {REPLY(.verdict = VERDICT_ALIVE, .ids = ids, .n_ids = 15, .more_pages = true), SEND(LIST)},
                {REPLY(.verdict = VERDICT_ALIVE), SEND(SHOW)});
        for (; life.last.kind == ACTION_SEND && life.last.call == CALL_SHOW; shown++)
                (void)life_step(&life, &(Line){REPLY(.verdict = VERDICT_ALIVE, .note = (char *)"another"), WAIT});
        assert_int_equal(shown, 20);
        assert_int_equal(lifecycle_record(life.l)->n_debts, 1);
        life_end(&life);
}

/* Who may not list the runners finds nothing, now or later; what fails for the moment is tried again. */
static void test_lists_again(void **state)
{
        static const struct {
                Line line;
                bool again;
        } rows[] = {
                {{REFUSED, WAIT}, false},
                {{NO_TLS, WAIT}, true},
                {{UNCLEAR, WAIT}, true},
                {{BUSY(USEC_PER_MINUTE), WAIT}, true},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                bool again = false;
                Life life;

                begin_search(&life);
                PLAY(&life, {SECRET("glpat-a"), SEND(LIST)}, rows[i].line);
                for (unsigned n = 0; n < 20 && !again; n++) {
                        (void)life_step(&life,
                                life.last.kind == ACTION_SEND ? &(Line){ALIVE_ID(42), WAIT} : &(Line){TIME, WAIT});
                        again = life.last.kind == ACTION_READ_SECRET;
                }
                if (again != rows[i].again)
                        fail_msg("row %zu", i);
                assert_int_equal(lifecycle_record(life.l)->n_debts, 1);
                life_end(&life);
        }
}

/* A runner whose number nobody tells is not taken for one whose number nobody knows. */
static void test_is_not_the_one_without_a_number(void **state)
{
        static const struct {
                Line alive;
                int64_t orphan;
                size_t n;
        } rows[] = {
                {{TEXT_200, SAVE}, 0, 1}, {{ALIVE_ID(42), SAVE}, 0, 1}, {{ALIVE_ID(42), SAVE}, 7, 1},
                {{ALIVE_ID(42), SAVE}, 42, 0}, /* found again */
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Record *record = life_record(FLOW_REGISTRATION_TOKEN);
                Life life;

                owe_orphan(record, LIFE_URL, rows[i].orphan, NULL);
                life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
                life_learn(&life, "tok-a");
                PLAY(&life, {START, WAIT}, {TIME, SEND(VERIFY)}, rows[i].alive);
                assert_int_equal(record->n_debts, rows[i].n);
                life_end(&life);
        }
}

/* Pages without an end have one. */
static void test_endless_pages(void **state)
{
        Life life;
        unsigned pages = 1;

        begin_search(&life);
        PLAY(&life, {SECRET("glpat-a"), SEND(LIST)});
        for (; life.last.kind == ACTION_SEND && life.last.call == CALL_LIST; pages++)
                (void)life_step(&life, &(Line){REPLY(.verdict = VERDICT_ALIVE, .more_pages = true), WAIT});
        assert_int_equal(pages, 51);
        assert_int_equal(lifecycle_record(life.l)->n_debts, 1);
        life_end(&life);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_finds_an_orphan_by_its_marker),
                cmocka_unit_test(test_unprovable_orphan_is_only_shown),
                cmocka_unit_test(test_an_orphan_waits_for_its_access_token),
                cmocka_unit_test(test_orphans_without_a_token),
                cmocka_unit_test(test_likenesses),
                cmocka_unit_test(test_none_was_made),
                cmocka_unit_test(test_none_is_known_after_a_while),
                cmocka_unit_test(test_is_paid_once_it_is_gone),
                cmocka_unit_test(test_is_looked_for_nowhere_else),
                cmocka_unit_test(test_a_stop_ends_the_search),
                cmocka_unit_test(test_a_stop_waits_for_no_source),
                cmocka_unit_test(test_orphans_among_many),
                cmocka_unit_test(test_lists_again),
                cmocka_unit_test(test_is_not_the_one_without_a_number),
                cmocka_unit_test(test_endless_pages),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
