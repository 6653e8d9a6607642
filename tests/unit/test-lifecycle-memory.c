/* Memory that ends in the middle of a step costs time or a lost answer, never the runner: in the walks now and then,
 * and in what happens to every runner at each allocation in turn. */

#include "tests/unit/failing-memory.h"
#include "tests/unit/life-walk.h"

#define WALKS 150

/* ---- walks ---- */

static void before_step(World *w)
{
        if (!w->calm && chance(w, 20))
                memory_left = 1 + (unsigned)random_below(&w->random, 12);
}

static void after_step(World *w)
{
        memory_left = 0;
}

static void test_walks_without_memory(void **state)
{
        const char *only = getenv("LIFE_SEED");
        static World world;

        for (uint64_t seed = only ? strtoull(only, NULL, 10) : 1; seed <= (only ? 0 : WALKS) || only; seed++) {
                world_begin(&world, seed);
                world.before_step = before_step;
                world.after_step = after_step;
                world_live(&world);
                if (only)
                        break;
        }
        if (!only)
                assert_true(memory_failures > WALKS);
}

/* ---- one allocation after the other ---- */

static unsigned next_failure; /* allocations of the lifecycle until the one that fails; 0: it was, or none is to */

static void count_before_step(World *w)
{
        (void)w;
        memory_left = next_failure;
}

static void count_after_step(World *w)
{
        (void)w;
        next_failure = memory_failures > 0 ? 0 : memory_left;
        memory_left = 0;
}

/* What happens goes on for SPAN, with nobody else about. */
static void pass(World *w, uint64_t span_usec)
{
        uint64_t end = w->life.now.boottime_usec + span_usec;

        while (w->life.now.boottime_usec < end || w->action.kind != ACTION_WAIT) {
                bool waits = w->action.kind == ACTION_WAIT;

                if (!waits) {
                        life_pass(&w->life, USEC_PER_MSEC);
                        world_result(w);
                        continue;
                }
                uint64_t until = w->action.until_usec < end ? w->action.until_usec : end;
                w->steps_at_once = 0;
                life_pass(&w->life, usec_sub(until, w->life.now.boottime_usec));
                if (w->action.until_usec <= end)
                        world_event(w, (Event){.kind = EVENT_TIMER});
        }
}

static void command(World *w, Command what)
{
        w->commanded = true;
        *w->life.message = 0;
        world_event(w, (Event){.kind = EVENT_COMMAND, .command = what});
        pass(w, USEC_PER_MINUTE);
}

static void verify(World *w)
{
        command(w, COMMAND_VERIFY);
}

static void rotate_by_hand(World *w)
{
        command(w, COMMAND_ROTATE);
}

static void deregister(World *w)
{
        command(w, COMMAND_DEREGISTER);
}

static void enrol(World *w)
{
        command(w, COMMAND_REGISTER);
}

static WorldRunner *mine(World *w)
{
        return runner_of(w, token_number(lifecycle_record(w->life.l)->token));
}

/* A person removes it in GitLab. */
static void remove_runner(World *w)
{
        WorldRunner *runner = mine(w);

        if (runner)
                runner->alive = false;
}

/* Its token dies, and nobody was told the new one: `reset-token` by a person, say. */
static void kill_token(World *w)
{
        WorldRunner *runner = mine(w);

        if (runner) {
                rotate(w, runner);
                runner->lost = true;
        }
}

/* gitlab-runner rotates. */
static void rotate_there(World *w)
{
        WorldRunner *runner = runner_of(w, w->entries[0]);

        if (runner) {
                rotate(w, runner);
                w->entries[0] = runner->token;
                world_entries_event(w, false);
        }
}

static void write_nonsense(World *w)
{
        w->entries[0] = ++w->n_tokens;
        world_entries_event(w, false);
}

static void remove_entry(World *w)
{
        memset(w->entries, 0, sizeof(w->entries));
        world_entries_event(w, false);
}

static void change_source(World *w)
{
        w->source = world_make_runner(w, false, NULL)->token;
        world_event(w, (Event){.kind = EVENT_CONFIGURED});
}

static void storm(World *w)
{
        w->calm = false;
        w->weather = WEATHER_STORM;
        pass(w, 10 * USEC_PER_MINUTE);
        w->calm = true;
        w->weather = WEATHER_CLEAR;
}

static void down(World *w)
{
        w->calm = false;
        w->weather = WEATHER_DOWN;
}

static void clear(World *w)
{
        w->calm = true;
        w->weather = WEATHER_CLEAR;
}

/* What is owed was removed by a person when the host comes back. */
static void come_back_to_nothing(World *w)
{
        for (int64_t id = 1; id <= w->n_runners; id++)
                w->runners[id].alive = false;
        clear(w);
        enrol(w);
}

static void stop_with(World *w, bool withdraw, bool hand_back)
{
        uint64_t deadline = w->life.now.boottime_usec + 30 * USEC_PER_SEC;

        world_event(w, (Event){.kind = EVENT_STOP,
                               .stop = {.withdraw = withdraw, .hand_back = hand_back},
                               .deadline_usec = deadline});
        while (w->action.kind != ACTION_STOPPED) {
                if (w->action.kind != ACTION_WAIT) {
                        world_result(w);
                        continue;
                }
                life_pass(&w->life, usec_sub(w->action.until_usec, w->life.now.boottime_usec));
                world_event(w, (Event){.kind = EVENT_TIMER});
        }
        assert_true(w->life.now.boottime_usec <= deadline);
        w->steps_at_once = 0;
        crash(w);
}

static void stop_and_withdraw(World *w)
{
        stop_with(w, true, false);
}

static void stop_and_hand_back(World *w)
{
        stop_with(w, false, true);
}

static void lose_state(World *w)
{
        w->record = secret_free(w->record);
        w->journal = secret_free(w->journal);
        crash(w);
}

static void lose_runner_and_state(World *w)
{
        remove_runner(w);
        lose_state(w);
}

/* A life in acts, each of which may take a while. */
static const struct Scene {
        const char *name;
        Flow flow;
        RotationPolicy rotation;
        void (*acts[6])(World *w);
        bool alone; /* nobody else writes config.toml */
} scenes[] = {
        {"a registration token", FLOW_REGISTRATION_TOKEN, ROTATION_AUTO, {verify, rotate_by_hand, deregister, enrol},
                true},
        {"an access token", FLOW_ACCESS_TOKEN, ROTATION_AUTO, {verify, rotate_by_hand, deregister, enrol}, true},
        {"an authentication token", FLOW_AUTHENTICATION_TOKEN, ROTATION_ALWAYS,
                {verify, rotate_by_hand, deregister, enrol}, true},
        {"stops", FLOW_REGISTRATION_TOKEN, ROTATION_AUTO, {stop_and_withdraw, stop_and_hand_back, stop_and_withdraw},
                true},
        {"stops of a shared one", FLOW_AUTHENTICATION_TOKEN, ROTATION_AUTO, {stop_and_withdraw, stop_and_withdraw},
                true},
        {"debts", FLOW_REGISTRATION_TOKEN, ROTATION_AUTO, {down, deregister, clear, enrol}, true},
        {"debts that were removed", FLOW_REGISTRATION_TOKEN, ROTATION_AUTO, {down, deregister, come_back_to_nothing},
                true},
        {"a lost state of a shared one", FLOW_AUTHENTICATION_TOKEN, ROTATION_AUTO, {lose_state, deregister}, true},
        {"debts of a stop", FLOW_REGISTRATION_TOKEN, ROTATION_AUTO, {down, stop_and_withdraw, clear}, true},
        {"a new source", FLOW_AUTHENTICATION_TOKEN, ROTATION_AUTO, {change_source, change_source, deregister}, true},
        {"removed", FLOW_REGISTRATION_TOKEN, ROTATION_AUTO, {remove_runner, deregister}, true},
        {"removed, with an access token", FLOW_ACCESS_TOKEN, ROTATION_AUTO, {remove_runner, deregister}, true},
        {"dead, with an access token", FLOW_ACCESS_TOKEN, ROTATION_AUTO, {kill_token, rotate_by_hand}, true},
        {"rotated by gitlab-runner", FLOW_REGISTRATION_TOKEN, ROTATION_GITLAB_RUNNER, {rotate_there, deregister},
                false},
        {"rotated by gitlab-runner, and withdrawn unseen", FLOW_REGISTRATION_TOKEN, ROTATION_GITLAB_RUNNER,
                {down, rotate_there, deregister, clear}, false},
        {"nonsense in config.toml", FLOW_REGISTRATION_TOKEN, ROTATION_AUTO, {write_nonsense, remove_entry}, false},
        {"a lost state", FLOW_REGISTRATION_TOKEN, ROTATION_AUTO, {lose_state, deregister}, true},
        {"a lost state, and a dead entry", FLOW_REGISTRATION_TOKEN, ROTATION_AUTO, {remove_runner, lose_state}, true},
        {"a runner and its state that are lost", FLOW_REGISTRATION_TOKEN, ROTATION_AUTO, {lose_runner_and_state},
                true},
        {"lost answers", FLOW_REGISTRATION_TOKEN, ROTATION_AUTO, {storm, deregister, enrol}, true},
        {"lost answers, with an access token", FLOW_ACCESS_TOKEN, ROTATION_AUTO,
                {deregister, storm, enrol, storm, rotate_by_hand}, true},
};

static void play(World *w, const struct Scene *scene)
{
        world_begin(w, 1);
        w->plan = life_plan(scene->flow);
        w->plan.rotation = scene->rotation;
        w->old = false;
        w->calm = true;
        w->before_step = count_before_step;
        w->after_step = count_after_step;
        if (scene->flow == FLOW_AUTHENTICATION_TOKEN)
                w->source = world_make_runner(w, false, NULL)->token;
        boot(w, true);
        pass(w, USEC_PER_HOUR);
        for (size_t i = 0; i < ELEMENTS(scene->acts) && scene->acts[i]; i++) {
                scene->acts[i](w);
                pass(w, USEC_PER_HOUR);
                /* Nobody is blamed for it. */
                if (scene->alone && strstr(w->life.message, "another token"))
                        fail_msg("%s: %s", scene->name, w->life.message);
        }
        /* Then a quiet day. */
        next_failure = 0;
        w->calm = true;
        if (lifecycle_state(w->life.l) == RUNNER_STATE_WITHDRAWN)
                crash(w);
        pass(w, DAY);
        check_end(w);
        w->life.l = lifecycle_free(w->life.l);
        w->record = secret_free(w->record);
        w->journal = secret_free(w->journal);
        w->given = secret_free(w->given);
}

static void test_each_allocation_in_turn(void **state)
{
        static World world;

        for (unsigned mode = 0; mode < 2; mode++) {
                memory_stays_away = mode == 1; /* to the end of the step */
                for (size_t i = 0; i < ELEMENTS(scenes); i++) {
                        unsigned n = 0;

                        do {
                                memory_failures = 0;
                                next_failure = ++n;
                                if (getenv("LIFE_TRACE"))
                                        print_message("# %s, mode %u, allocation %u\n", scenes[i].name, mode, n);
                                play(&world, &scenes[i]);
                        } while (memory_failures > 0);
                        assert_true(n > 20);
                }
        }
        memory_stays_away = false;
}

/* ---- what has come, and can't be taken ---- */

/* One step without any memory. */
static Action starve(Life *life, const Event *event)
{
        Action action;

        memory_left = 1;
        memory_stays_away = true;
        action = lifecycle_step(life->l, event);
        memory_left = 0;
        memory_stays_away = false;
        return action;
}

static void begin_with_an_answer(Life *life, bool once)
{
        Plan plan = life_plan(FLOW_REGISTRATION_TOKEN);
        Record *record = life_record(FLOW_REGISTRATION_TOKEN);
        Answer answer = {.kind = INTENT_CREATE,
                .runner_id = 43,
                .token = life_secret("tok-b"),
                .intent_since_usec = LIFE_START - USEC_PER_SEC};

        plan.once = once;
        record->intent.kind = INTENT_CREATE;
        record->intent.since_usec = answer.intent_since_usec;
        life_begin_with(life, plan, record, &answer, false);
        answer_done(&answer);
}

/* An answer is the only one that tells the token: a running agent tries to take it as long as it takes, a pass some
 * times, and a stop until its end; then the journal keeps it. */
static void test_an_answer_that_can_not_be_taken(void **state)
{
        static const struct {
                bool once, stops;
                unsigned tries; /* 0: without end */
        } rows[] = {{false, false, 0}, {true, false, 10}, {false, true, 2}};

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                unsigned tries = 1;
                Life life;

                begin_with_an_answer(&life, rows[i].once);
                Action action = starve(&life, &(Event){.kind = EVENT_START, .now = life.now});
                if (rows[i].once)
                        action = starve(
                                &life, &(Event){.kind = EVENT_COMMAND, .now = life.now, .command = COMMAND_REGISTER});
                if (rows[i].stops) {
                        action = starve(&life, &(Event){.kind = EVENT_STOP,
                                                       .now = life.now,
                                                       .deadline_usec = life.now.boottime_usec + USEC_PER_SEC / 2});
                }
                for (; (action.kind == ACTION_KEEP || action.kind == ACTION_WAIT) &&
                        action.until_usec != USEC_INFINITY && tries < 50;
                        tries++) {
                        life_pass(&life, usec_sub(action.until_usec, life.now.boottime_usec));
                        action = starve(&life, &(Event){.kind = EVENT_TIMER, .now = life.now});
                }
                assert_int_equal(tries, rows[i].tries > 0 ? rows[i].tries : 50);
                assert_int_equal(life.l->has_answer, rows[i].tries == 0);
                assert_null(life.l->record->token);
                life_look(&life);
                if (rows[i].once)
                        life_check_outcome(&life, 1);
                /* With memory again it is taken, by this agent or the next. */
                assert_int_equal(life.l->record->intent.kind, INTENT_CREATE);
                if (rows[i].tries == 0) {
                        life.last = action;
                        PLAY(&life, {TIME, SAVE});
                        life_check_token(&life, "tok-b");
                }
                life_end(&life);
        }
}

/* A lost answer, each of whose notes fails in turn: whatever can't be noted, it is asked for again with care. */
static void test_a_loss_that_can_not_be_noted(void **state)
{
        const Judgement lost = {.verdict = VERDICT_AMBIGUOUS, .maybe_acted = true, .message = (char *)"lost"};
        bool failed = true;

        for (unsigned n = 1; failed; n++) {
                Life life;

                life_begin(&life, life_plan(FLOW_ACCESS_TOKEN), life_record(FLOW_ACCESS_TOKEN));
                PLAY(&life, {START, WAIT}, {TIME, READ}, {SECRET("glpat-a"), PREPARE}, {DONE, SEND(CREATE)});
                memory_failures = 0;
                memory_left = n;
                Action action =
                        lifecycle_step(life.l, &(Event){.kind = EVENT_REPLY, .now = life.now, .judgement = &lost});
                memory_left = 0;
                failed = memory_failures > 0;
                assert_int_equal(action.kind, ACTION_SAVE);
                assert_true(life.l->record->intent.lost);
                assert_true(life.l->record->n_debts == 1 || failed);
                life_end(&life);
        }
}

/* An orphan is looked for as long as memory ends in between, and found all the same. */
static void test_a_search_without_memory(void **state)
{
        static int64_t ids[] = {7};

        for (unsigned starved = 0; starved < 2; starved++) {
                Record *record = life_enrolled(FLOW_ACCESS_TOKEN, "tok-a");
                Debt debt = {.kind = DEBT_ORPHAN, .since_usec = LIFE_START - DAY};
                const Judgement listed = {.verdict = VERDICT_ALIVE, .ids = ids, .n_ids = 1};
                Secret *secret = life_secret("glpat-a");
                unsigned reads = 0;
                Life life;

                assert_int_equal(replace_string(&debt.target.url, LIFE_URL), 0);
                assert_int_equal(replace_string(&debt.marker, "rr-0"), 0);
                assert_int_equal(record_add_debt(record, &debt), 0);
                life_begin(&life, life_plan(FLOW_ACCESS_TOKEN), record);
                life_learn(&life, "tok-a");
                PLAY(&life, {START, WRITE}, {DONE, WAIT});
                while (record->n_debts > 0 && life.now.boottime_usec < DAY) {
                        const Call call = life.last.kind == ACTION_SEND ? life.last.call : _CALL_INVALID;

                        if (life.last.kind == ACTION_READ_SECRET && reads++ == 0 && starved == 0)
                                life.last = starve(
                                        &life, &(Event){.kind = EVENT_SECRET, .now = life.now, .secret = secret});
                        else if (call == CALL_LIST && reads == 1)
                                life.last = starve(
                                        &life, &(Event){.kind = EVENT_REPLY, .now = life.now, .judgement = &listed});
                        else
                                (void)life_step(&life,
                                        life.last.kind == ACTION_WAIT          ? &(Line){TIME, WAIT}
                                        : life.last.kind == ACTION_READ_SECRET ? &(Line){SECRET("glpat-a"), WAIT}
                                        : call == CALL_LIST
                                                ? &(Line){REPLY(.verdict = VERDICT_ALIVE, .ids = ids, .n_ids = 1),
                                                          WAIT}
                                        : call == CALL_SHOW
                                                ? &(Line){REPLY(.verdict = VERDICT_ALIVE, .note = (char *)"rr-0"),
                                                          WAIT}
                                        : call == CALL_VERIFY   ? &(Line){ALIVE_ID(42), WAIT}
                                        : call != _CALL_INVALID ? &(Line){YES, WAIT}
                                                                : &(Line){DONE, WAIT});
                }
                assert_int_equal(record->n_debts, 0);
                assert_int_equal(reads, 2);
                secret_free(secret);
                life_end(&life);
        }
}

/* No memory for the reason is no reason to keep quiet. */
static void test_a_refusal_that_can_not_be_explained(void **state)
{
        Secret *secret = life_secret("a b");
        Life life;

        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), life_record(FLOW_REGISTRATION_TOKEN));
        PLAY(&life, {START, WAIT}, {TIME, READ});
        Action action = starve(&life, &(Event){.kind = EVENT_SECRET, .now = life.now, .secret = secret});
        secret_free(secret);
        assert_int_equal(action.kind, ACTION_SAVE);
        life_check_state(&life, RUNNER_STATE_REFUSED);
        assert_int_equal(life.l->record->state, RUNNER_STATE_REFUSED);
        life_end(&life);
}

/* gitlab-runner has rotated what is owed: what can't be noted now is noted when the file is read the next time. */
static void test_a_rotated_debt_that_can_not_be_noted(void **state)
{
        for (unsigned n = 1;; n++) {
                Record *record = life_record(FLOW_REGISTRATION_TOKEN);
                Debt debt = {.kind = DEBT_MANAGER,
                        .runner_id = 42,
                        .since_usec = LIFE_START,
                        .token = life_secret("tok-a")};
                Secret *token = life_secret("tok-b");
                const EntryView view = {.url = "https://old.example.com", .token = token, .runner_id = 42};
                Life life;

                assert_int_equal(replace_string(&debt.target.url, "https://old.example.com"), 0);
                assert_int_equal(replace_string(&debt.system_id, "s_0123456789ab"), 0);
                assert_int_equal(record_add_debt(record, &debt), 0);
                life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
                const Event found = {.kind = EVENT_ENTRIES, .now = life.now, .entries = &view, .n_entries = 1};
                memory_failures = 0;
                memory_left = n;
                lifecycle_learn_entries(life.l, &found);
                memory_left = 0;
                bool failed = memory_failures > 0;
                if (failed)
                        lifecycle_learn_entries(life.l, &found);
                assert_int_equal(record->n_debts, 2);
                assert_int_equal(record->n_leftovers, 1);
                secret_free(token);
                life_end(&life);
                if (!failed)
                        break;
        }
}

/* A withdrawal is noted whole or not at all: a debt without the entry that is to go would leave that standing
 * for ever. */
static void test_withdraws_with_its_entry_or_not_at_all(void **state)
{
        static const Line deregister = {COMMAND(DEREGISTER), WAIT};
        unsigned refused = 0;
        bool failed = true;

        for (unsigned n = 1; failed; n++) {
                Record *record = life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a");
                Life life;

                life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), record);
                life_learn(&life, "tok-a");
                PLAY(&life, {START, WRITE}, {DONE, WAIT});
                memory_failures = 0;
                memory_left = n;
                life.deaf = true;
                (void)life_step(&life, &deregister);
                memory_left = 0;
                failed = memory_failures > 0;
                assert_int_equal(record->n_leftovers, record->n_debts);
                life_check_token(&life, record->n_debts > 0 ? NULL : "tok-a");
                refused += record->n_debts == 0;
                life_end(&life);
        }
        assert_true(refused > 1);
}

/* An entry that is not known by its token would be taken for one that somebody else has written. */
static void test_writes_again_what_it_had_no_memory_to_know(void **state)
{
        Life life;

        life_begin(&life, life_plan(FLOW_REGISTRATION_TOKEN), life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a"));
        life_learn(&life, "tok-a");
        PLAY(&life, {START, WRITE});
        memory_failures = 0;
        memory_left = 1;
        PLAY(&life, {CHANGED, WAIT});
        memory_left = 0;
        assert_int_equal(memory_failures, 1);
        PLAY(&life, {TIME, SEND(VERIFY)}, {ALIVE, WAIT}, {TIME, WRITE}, {DONE, TELL}, {TOLD(DONE), WAIT});
        life_end(&life);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_walks_without_memory),
                cmocka_unit_test(test_each_allocation_in_turn),
                cmocka_unit_test(test_an_answer_that_can_not_be_taken),
                cmocka_unit_test(test_a_loss_that_can_not_be_noted),
                cmocka_unit_test(test_a_search_without_memory),
                cmocka_unit_test(test_a_refusal_that_can_not_be_explained),
                cmocka_unit_test(test_a_rotated_debt_that_can_not_be_noted),
                cmocka_unit_test(test_withdraws_with_its_entry_or_not_at_all),
                cmocka_unit_test(test_writes_again_what_it_had_no_memory_to_know),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
