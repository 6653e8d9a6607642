/* Runners of one host under one token, as after a change of NAME: GitLab knows them as one manager, so who goes takes
 * nothing along but its entry. */

#include "tests/unit/life.h"

#define OTHER_URL "https://other.example.com"

/* What the others say, as the roster would. */
typedef struct Others {
        TokenUse use;
        const char *token; /* of which; of no other */
        unsigned asked;
} Others;

static TokenUse ask(void *userdata, const Lifecycle *asking, const char *url, const Secret *token)
{
        Others *others = userdata;

        (void)asking;
        others->asked++;
        assert_string_equal(url, LIFE_URL);
        return strcmp(secret_data(token), others->token) == 0 ? others->use : TOKEN_UNUSED;
}

static void begin(Life *life, Plan plan, Record *record, Others *others)
{
        const Facts facts = {
                .system_id = "s_0123456789ab",
                .machine_id = "machine",
                .household = {.ask = ask, .userdata = others},
        };

        *life = (Life){.plan = plan, .now = {.realtime_usec = LIFE_START, .boottime_usec = USEC_PER_MINUTE}};
        assert_int_equal(lifecycle_new(&plan, &facts, record, NULL, 7, &life->l), 0);
        life->last = (Action){.kind = ACTION_WAIT, .until_usec = USEC_INFINITY};
}

static void live(Life *life, Flow flow, Others *others)
{
        begin(life, life_plan(flow), life_enrolled(flow, "tok-a"), others);
        life_learn(life, "tok-a");
        PLAY(life, {START, WRITE}, {DONE, flow == FLOW_AUTHENTICATION_TOKEN ? READ : WAIT});
        if (flow == FLOW_AUTHENTICATION_TOKEN)
                PLAY(life, {SECRET("tok-a"), SAVE}, {DONE, WAIT});
        PLAY(life, {TIME, SEND(VERIFY)}, {ALIVE_ID(42), WAIT});
}

/* ---- who goes ---- */

static void test_its_entry_goes_and_the_manager_stays(void **state)
{
        Others others = {.use = TOKEN_USED, .token = "tok-a"};
        Life life;

        live(&life, FLOW_AUTHENTICATION_TOKEN, &others);
        PLAY(&life, {STOP_IN(30 * USEC_PER_SEC, .withdraw = true), SAVE}, {DONE, REMOVE}, {CHANGED, TELL},
                {TOLD(DONE), SAVE}, {DONE, STOPPED});
        assert_int_equal(lifecycle_record(life.l)->n_debts, 0);
        assert_int_equal(life.notices[NOTICE_WITHDRAWN], 1);
        life_end(&life);
}

/* The one under the new name has not read its token yet: only then it is known whether it is the same. */
static void test_waits_until_it_is_known(void **state)
{
        static const struct {
                TokenUse then;
                bool deletes;
        } cases[] = {{TOKEN_USED, false}, {TOKEN_UNUSED, true}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Others others = {.use = TOKEN_UNSURE, .token = "tok-a"};
                Life life;

                live(&life, FLOW_AUTHENTICATION_TOKEN, &others);
                PLAY(&life, {STOP_IN(30 * USEC_PER_SEC, .withdraw = true), SAVE}, {DONE, REMOVE}, {CHANGED, TELL},
                        {TOLD(NOT_RUNNING), WAIT});
                assert_int_equal(lifecycle_record(life.l)->n_debts, 1);
                others.use = cases[i].then;
                if (cases[i].deletes)
                        PLAY(&life, {TIME, SEND(DELETE_MANAGER)}, {GONE, SAVE}, {DONE, STOPPED});
                else
                        PLAY(&life, {TIME, SAVE}, {DONE, STOPPED});
                assert_int_equal(lifecycle_record(life.l)->n_debts, 0);
                life_end(&life);
        }
}

/* A reload that comes while the proof of the deletion is waited for. */
static void test_asks_again_before_each_delete(void **state)
{
        Others others = {.use = TOKEN_UNUSED, .token = "tok-a"};
        Life life;

        live(&life, FLOW_AUTHENTICATION_TOKEN, &others);
        PLAY(&life, {COMMAND(DEREGISTER), SAVE}, {DONE, REMOVE}, {CHANGED, TELL}, {TOLD(DONE), SEND(DELETE_MANAGER)},
                {YES, WAIT});
        others.use = TOKEN_USED;
        PLAY(&life, {TIME, SAVE}, {DONE, WAIT});
        assert_int_equal(lifecycle_record(life.l)->n_debts, 0);
        life_check_outcome(&life, 0);
        life_end(&life);
}

/* Somebody has copied the token of a runner that this machine made: it is deleted once nobody lives by it. */
static void test_runner_that_we_made_is_owed_as_long(void **state)
{
        Others others = {.use = TOKEN_USED, .token = "tok-a"};
        Life life;

        live(&life, FLOW_REGISTRATION_TOKEN, &others);
        PLAY(&life, {COMMAND(DEREGISTER), SAVE}, {DONE, REMOVE}, {CHANGED, TELL}, {TOLD(DONE), WAIT}, {TIME, WAIT},
                {TIME, WAIT});
        life_check_outcome(&life, 75);
        assert_int_equal(lifecycle_record(life.l)->n_debts, 1);
        others.use = TOKEN_UNUSED;
        PLAY(&life, {TIME, SEND(DELETE_RUNNER)}, {YES, SAVE}, {DONE, WAIT});
        assert_int_equal(lifecycle_record(life.l)->n_debts, 0);
        life_end(&life);
}

/* Another machine's manager, or one under an id that this host had before, is nobody's here. */
static void test_manager_of_another_id_is_deleted(void **state)
{
        Others others = {.use = TOKEN_USED, .token = "tok-a"};
        Record *record = life_enrolled(FLOW_AUTHENTICATION_TOKEN, "tok-a");
        Plan plan = life_plan(FLOW_AUTHENTICATION_TOKEN);
        Life life;

        assert_int_equal(replace_string(&record->system_id, "s_ba9876543210"), 0);
        plan.configured = false;
        begin(&life, plan, record, &others);
        life_learn(&life, "tok-a");
        PLAY(&life, {START, WAIT}, {COMMAND(DEREGISTER), SAVE}, {DONE, REMOVE}, {CHANGED, TELL},
                {TOLD(NOT_RUNNING), SEND(DELETE_MANAGER)});
        life_end(&life);
}

/* ---- renamed while no agent ran ---- */

static void test_configured_no_more_it_makes_room(void **state)
{
        Others others = {.use = TOKEN_UNSURE, .token = "tok-a"};
        Plan plan = life_plan(FLOW_AUTHENTICATION_TOKEN);
        Life life;

        plan.configured = false;
        begin(&life, plan, life_enrolled(FLOW_AUTHENTICATION_TOKEN, "tok-a"), &others);
        life_learn(&life, "tok-a");
        PLAY(&life, {START, WAIT}, {TIME, WAIT}, {TIME, WAIT});
        assert_int_equal(others.asked, 2);
        others.use = TOKEN_USED;
        PLAY(&life, {TIME, SAVE}, {DONE, REMOVE}, {CHANGED, TELL}, {TOLD(DONE), SAVE}, {DONE, WAIT});
        assert_true(lifecycle_settled(life.l));
        life_end(&life);
}

/* Only reported, as ever, as long as nobody else has its token: the new name may be enrolled much later. */
static void test_configured_no_more_it_stays(void **state)
{
        Others others = {.use = TOKEN_USED, .token = "tok-b"};
        Plan plan = life_plan(FLOW_AUTHENTICATION_TOKEN);
        Life life;

        plan.configured = false;
        begin(&life, plan, life_enrolled(FLOW_AUTHENTICATION_TOKEN, "tok-a"), &others);
        life_learn(&life, "tok-a");
        PLAY(&life, {START, WAIT}, {TIME, WAIT}, {TIME, WAIT});
        uint64_t span = life.last.until_usec - life.now.boottime_usec;
        assert_in_range(span, plan.verify_interval_usec / 2, plan.verify_interval_usec * 2);
        life_check_token(&life, "tok-a");
        others.token = "tok-a";
        PLAY(&life, {TIME, SAVE}, {DONE, REMOVE}, {CHANGED, TELL}, {TOLD(DONE), SAVE}, {DONE, WAIT});
        assert_true(lifecycle_settled(life.l));
        life_end(&life);
}

/* ---- what it says to the others ---- */

static TokenUse use_of(const Life *life, const char *url, const char *token)
{
        Secret *secret = life_secret(token);
        TokenUse use = lifecycle_token_use(life->l, url, secret);

        secret_free(secret);
        return use;
}

static void test_says_what_it_lives_by(void **state)
{
        Life life;

        live(&life, FLOW_AUTHENTICATION_TOKEN, &(Others){.token = ""});
        assert_int_equal(use_of(&life, LIFE_URL, "tok-a"), TOKEN_USED);
        assert_int_equal(use_of(&life, LIFE_URL, "tok-b"), TOKEN_UNUSED);
        assert_int_equal(use_of(&life, OTHER_URL, "tok-a"), TOKEN_UNUSED);
        /* A reload may bring another token. */
        PLAY(&life, {RELOAD, WRITE});
        assert_int_equal(use_of(&life, LIFE_URL, "tok-b"), TOKEN_UNSURE);
        PLAY(&life, {DONE, READ});
        assert_int_equal(use_of(&life, LIFE_URL, "tok-b"), TOKEN_UNSURE);
        PLAY(&life, {SECRET("tok-b"), SEND(VERIFY)});
        assert_int_equal(use_of(&life, LIFE_URL, "tok-b"), TOKEN_UNSURE);
        assert_int_equal(use_of(&life, LIFE_URL, "tok-c"), TOKEN_UNUSED);
        PLAY(&life, {DEAD, WAIT});
        assert_int_equal(use_of(&life, LIFE_URL, "tok-b"), TOKEN_UNUSED);
        /* Nor is it learnt while a file is written. */
        PLAY(&life, {RELOAD, WRITE}, {DONE, READ}, {SECRET("tok-b"), SEND(VERIFY)}, {ALIVE_ID(43), SAVE});
        assert_int_equal(use_of(&life, LIFE_URL, "tok-b"), TOKEN_USED);
        assert_int_equal(use_of(&life, LIFE_URL, "tok-c"), TOKEN_UNUSED);
        PLAY(&life, {RELOAD, KEEP}, {DONE, WRITE}, {CHANGED, TELL}, {TOLD(DONE), READ},
                {SECRET("tok-a"), SEND(VERIFY)}, {ALIVE_ID(42), SAVE}, {DONE, WRITE}, {CHANGED, TELL},
                {TOLD(NOT_RUNNING), SEND(DELETE_MANAGER)}, {YES, SAVE}, {DONE, WAIT});
        /* Who goes itself holds up nobody. */
        PLAY(&life, {STOP_IN(30 * USEC_PER_SEC, .withdraw = true), SAVE});
        assert_int_equal(use_of(&life, LIFE_URL, "tok-a"), TOKEN_UNUSED);
        life_end(&life);
}

/* One that was refused holds up nobody, but while it tries anew. */
static void test_says_it_while_a_refused_one_tries(void **state)
{
        Record *record = life_record(FLOW_AUTHENTICATION_TOKEN);
        Life life;

        record->state = RUNNER_STATE_REFUSED;
        assert_int_equal(replace_string(&record->reason, "GitLab does not know it"), 0);
        life_begin(&life, life_plan(FLOW_AUTHENTICATION_TOKEN), record);
        PLAY(&life, {START, WAIT}, {TIME, READ});
        assert_int_equal(use_of(&life, LIFE_URL, "tok-a"), TOKEN_UNSURE);
        PLAY(&life, {SECRET("tok-b"), PREPARE}, {DONE, SEND(VERIFY)});
        assert_int_equal(use_of(&life, LIFE_URL, "tok-a"), TOKEN_UNSURE);
        PLAY(&life, {DEAD, SAVE}, {DONE, WAIT});
        life_check_state(&life, RUNNER_STATE_REFUSED);
        assert_int_equal(use_of(&life, LIFE_URL, "tok-a"), TOKEN_UNUSED);
        PLAY(&life, {RELOAD, READ});
        assert_int_equal(use_of(&life, LIFE_URL, "tok-a"), TOKEN_UNSURE);
        PLAY(&life, {SECRET("tok-a"), PREPARE}, {DONE, SEND(VERIFY)}, {ALIVE_ID(42), SAVE});
        assert_int_equal(use_of(&life, LIFE_URL, "tok-a"), TOKEN_USED);
        life_end(&life);
}

/* A stop that leaves all as it is leaves the token in use. */
static void test_says_what_it_lives_by_while_it_stops(void **state)
{
        static const struct {
                bool withdraw;
                TokenUse use;
        } cases[] = {{false, TOKEN_USED}, {true, TOKEN_UNUSED}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Life life;

                life_begin(
                        &life, life_plan(FLOW_REGISTRATION_TOKEN), life_enrolled(FLOW_REGISTRATION_TOKEN, "tok-a"));
                life_learn(&life, "tok-a");
                PLAY(&life, {START, WRITE}, {STOP_IN(30 * USEC_PER_SEC, .withdraw = cases[i].withdraw), KEEP});
                assert_int_equal(use_of(&life, LIFE_URL, "tok-a"), cases[i].use);
                life_end(&life);
        }
}

/* In a pass it is the command that enrols: before it has ended, and no other. */
static void test_says_it_in_a_pass(void **state)
{
        Plan plan = life_plan(FLOW_AUTHENTICATION_TOKEN);
        Life life;

        plan.once = true;
        life_begin(&life, plan, life_record(FLOW_AUTHENTICATION_TOKEN));
        life.deaf = true;
        PLAY(&life, {START, WAIT});
        assert_int_equal(use_of(&life, LIFE_URL, "tok-a"), TOKEN_UNUSED);
        PLAY(&life, {COMMAND(REGISTER), READ});
        assert_int_equal(use_of(&life, LIFE_URL, "tok-a"), TOKEN_UNSURE);
        PLAY(&life, {SECRET("tok-a"), PREPARE}, {DONE, SEND(VERIFY)}, {UNCLEAR, WAIT});
        assert_int_equal(use_of(&life, LIFE_URL, "tok-a"), TOKEN_UNUSED);
        life_end(&life);
}

static void test_says_that_it_may_be_about_to(void **state)
{
        static const struct {
                Flow flow;
                bool once, configured;
                RunnerState state;
                TokenUse use;
        } cases[] = {
                {FLOW_AUTHENTICATION_TOKEN, false, true, RUNNER_STATE_UNREGISTERED, TOKEN_UNSURE},
                {FLOW_AUTHENTICATION_TOKEN, false, true, RUNNER_STATE_WITHDRAWN, TOKEN_UNUSED},
                {FLOW_AUTHENTICATION_TOKEN, false, true, RUNNER_STATE_REFUSED, TOKEN_UNUSED},
                /* a pass of which nobody asked it */
                {FLOW_AUTHENTICATION_TOKEN, true, true, RUNNER_STATE_UNREGISTERED, TOKEN_UNUSED},
                {FLOW_AUTHENTICATION_TOKEN, false, false, RUNNER_STATE_UNREGISTERED, TOKEN_UNUSED},
                {FLOW_REGISTRATION_TOKEN, false, true, RUNNER_STATE_UNREGISTERED, TOKEN_UNUSED},
                {FLOW_ACCESS_TOKEN, false, true, RUNNER_STATE_UNREGISTERED, TOKEN_UNUSED},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Plan plan = life_plan(cases[i].flow);
                Life life;

                plan.once = cases[i].once;
                plan.configured = cases[i].configured;
                Record *record = life_record(cases[i].flow);
                record->state = cases[i].state;
                life_begin(&life, plan, record);
                /* A refused one takes none before its next look, which may be an hour away. */
                if (cases[i].state == RUNNER_STATE_REFUSED)
                        PLAY(&life, {START, WAIT});
                if (use_of(&life, LIFE_URL, "tok-a") != cases[i].use)
                        fail_msg("case %zu: %d", i, use_of(&life, LIFE_URL, "tok-a"));
                life_end(&life);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_its_entry_goes_and_the_manager_stays),
                cmocka_unit_test(test_waits_until_it_is_known),
                cmocka_unit_test(test_asks_again_before_each_delete),
                cmocka_unit_test(test_runner_that_we_made_is_owed_as_long),
                cmocka_unit_test(test_manager_of_another_id_is_deleted),
                cmocka_unit_test(test_configured_no_more_it_makes_room),
                cmocka_unit_test(test_configured_no_more_it_stays),
                cmocka_unit_test(test_says_what_it_lives_by),
                cmocka_unit_test(test_says_what_it_lives_by_while_it_stops),
                cmocka_unit_test(test_says_it_while_a_refused_one_tries),
                cmocka_unit_test(test_says_it_in_a_pass),
                cmocka_unit_test(test_says_that_it_may_be_about_to),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
