#pragma once

/* What happens in the small world of life-world.h: faults, foreign hands, crashes and stops at any moment, and then
 * calm, in which all must become well. */

#include "tests/unit/life-world.h"

#define STEPS 600

/* ---- begin and end of a process ---- */

static inline void boot(World *w, bool proves)
{
        const Facts facts = {.system_id = "s_0123456789ab",
                .machine_id = "machine",
                .instance_id = "instance",
                .system_id_proves = proves};
        Record *record = NULL;
        Answer answer = {};
        bool answered = w->journal && answer_decode(secret_data(w->journal), secret_size(w->journal), &answer) >= 0;

        if (w->record)
                assert_int_equal(record_decode(secret_data(w->record), secret_size(w->record), &record, NULL), 0);
        else
                record = life_record(w->plan.flow);
        assert_int_equal(lifecycle_new(&w->plan, &facts, record, answered ? &answer : NULL, random_next(&w->random),
                                 &w->life.l),
                0);
        w->commanded = false;
        w->action = (Action){.kind = ACTION_WAIT, .until_usec = USEC_INFINITY};
        world_entries_event(w, true);
        world_event(w, (Event){.kind = EVENT_START});
}

/* The power goes. What only memory knew is lost; what was under way was done, or was not. */
static inline void crash(World *w)
{
        if (w->action.kind == ACTION_SEND)
                lose_answer(w, &w->action);
        else if (w->action.kind == ACTION_SAVE && chance(w, 50))
                (void)save(w);
        w->action.kind = ACTION_KEEP;
        w->life.l = lifecycle_free(w->life.l);
        world_check_tokens(w);
        for (int64_t id = 1; id <= w->n_runners; id++)
                if (w->runners[id].alive && !w->filed[w->runners[id].token])
                        w->runners[id].lost = true;
        /* Now and then a person throws our state away as well. */
        bool thrown = !w->calm && chance(w, 10);
        if (thrown) {
                w->record = secret_free(w->record);
                w->journal = secret_free(w->journal);
                for (int64_t id = 1; id <= w->n_runners; id++)
                        if (!listed(w, w->runners[id].token))
                                w->runners[id].lost = true;
        }
        life_pass(&w->life, random_below(&w->random, USEC_PER_MINUTE));
        boot(w, true);
}

/* Whatever hangs, a stop ends by its deadline. */
static inline void stop(World *w)
{
        uint64_t span = random_below(&w->random, 40 * USEC_PER_SEC), begin = w->life.now.boottime_usec;
        bool withdraw = chance(w, 40);
        unsigned slow = chance(w, 50) ? 60 : 0;

        world_event(w, (Event){
                               .kind = EVENT_STOP,
                               .stop = {.withdraw = withdraw,
                                       .hand_back = !withdraw && chance(w, 30),
                                       .one_try = chance(w, 20)},
                               .deadline_usec = begin + span,
                       });
        while (w->action.kind != ACTION_STOPPED) {
                bool hangs = w->action.kind == ACTION_WAIT ||
                             ((w->action.kind == ACTION_SEND || w->action.kind == ACTION_READ_SECRET ||
                                      w->action.kind == ACTION_TELL) &&
                                     chance(w, slow));

                if (!hangs) {
                        life_pass(
                                &w->life, w->action.kind == ACTION_SEND ? random_below(&w->random, USEC_PER_SEC) : 0);
                        if (w->life.now.boottime_usec > begin + span)
                                w->life.now.boottime_usec = begin + span;
                        world_result(w);
                        continue;
                }
                assert_true(w->action.until_usec <= begin + span);
                life_pass(&w->life, usec_sub(w->action.until_usec, w->life.now.boottime_usec));
                world_event(w, (Event){.kind = EVENT_TIMER});
        }
        w->steps_at_once = 0;
        assert_true(w->life.now.boottime_usec <= begin + span);
        crash(w);
}

/* ---- foreign hands ---- */

/* Whether it is in our state, and we know it to be our business. */
static inline bool in_our_hands(const World *w, unsigned token)
{
        const Record *record = lifecycle_record(w->life.l);

        return saved_holds(w, token) &&
               (record->ours || record->manager_ours || token_number(record->token) != token);
}

static inline void foreign_hand(World *w)
{
        unsigned mine = w->entries[0];
        WorldRunner *runner = runner_of(w, mine);

        switch (random_below(&w->random, 4)) {
        case 0: /* `gitlab-runner reset-token` */
                if (runner) {
                        rotate(w, runner);
                        w->entries[0] = runner->token;
                }
                break;
        case 1: /* the entry is gone, and a person meant it */
                if (runner && !in_our_hands(w, mine))
                        runner->lost = true;
                memmove(w->entries, w->entries + 1, sizeof(w->entries) - sizeof(w->entries[0]));
                w->entries[3] = 0;
                break;
        case 2: /* nonsense in its place */
                if (runner && !in_our_hands(w, mine))
                        runner->lost = true;
                w->entries[0] = ++w->n_tokens;
                break;
        case 3: /* a second entry, which nobody knows */
                if (mine > 0 && w->entries[1] == 0)
                        w->entries[1] = ++w->n_tokens;
                break;
        }
        world_entries_event(w, false);
}

static inline void disturb(World *w)
{
        switch (random_below(&w->random, 10)) {
        case 0:
                w->weather = (Weather)random_below(&w->random, _WEATHER_MAX);
                break;
        case 1:
                foreign_hand(w);
                break;
        case 2:
                world_event(w, (Event){.kind = EVENT_CONFIGURED});
                break;
        case 3:
                world_entries_event(w, false);
                break;
        case 4:
                if (w->commanded)
                        break;
                w->commanded = true;
                world_event(w, (Event){
                                       .kind = EVENT_COMMAND,
                                       .command = COMMAND_REGISTER + (Command)random_below(&w->random, 4),
                               });
                break;
        case 5: /* results that nobody waits for any more */
                if (w->action.kind == ACTION_WAIT) {
                        world_event(w, (Event){.kind = EVENT_DISK, .error = -EIO});
                        world_event(w, (Event){.kind = EVENT_TOLD});
                }
                world_event(w, (Event){.kind = EVENT_TIMER});
                break;
        case 6:
                crash(w);
                break;
        case 7:
                stop(w);
                break;
        case 8:
                w->life.now.realtime_usec += random_below(&w->random, USEC_PER_HOUR);
                break;
        case 9:
                if (w->plan.flow == FLOW_AUTHENTICATION_TOKEN)
                        w->source = world_make_runner(w, false, NULL)->token;
                break;
        }
}

/* One thing happens. */
static inline void walk(World *w)
{
        if (!w->calm && chance(w, 10)) {
                disturb(w);
                return;
        }
        if (w->action.kind != ACTION_WAIT) {
                life_pass(&w->life, random_below(&w->random, 100 * USEC_PER_MSEC));
                world_result(w);
                return;
        }
        w->steps_at_once = 0;
        life_pass(&w->life, w->action.until_usec == USEC_INFINITY
                                    ? USEC_PER_HOUR
                                    : usec_sub(w->action.until_usec, w->life.now.boottime_usec));
        world_event(w, (Event){.kind = EVENT_TIMER});
}

/* ---- what must be true in the end ---- */

static inline void check_end(World *w)
{
        const Record *record = lifecycle_record(w->life.l);
        WorldRunner *current = runner_of(w, token_number(record->token));

        assert_false(w->commanded);
        /* A shared token that others have killed is a person's to replace. */
        bool hopeless = w->plan.flow == FLOW_AUTHENTICATION_TOKEN && !runner_of(w, w->source) &&
                        !runner_of(w, w->entries[0]) && !runner_of(w, w->entries[1]);

        if (lifecycle_state(w->life.l) == RUNNER_STATE_WITHDRAWN)
                assert_null(current);
        else if (hopeless)
                assert_int_equal(lifecycle_state(w->life.l), RUNNER_STATE_REFUSED);
        else if (!current || !listed(w, current->token) || !saved_holds(w, current->token))
                fail_msg("seed %llu: %s (%s), its token does not work", (unsigned long long)w->seed,
                        runner_state_to_string(lifecycle_state(w->life.l)),
                        lifecycle_reason(w->life.l) ? lifecycle_reason(w->life.l) : "no reason");
        for (size_t i = 0; i < record->n_debts; i++)
                if (record->debts[i].kind != DEBT_ORPHAN)
                        fail_msg("seed %llu: a debt is left (%s)", (unsigned long long)w->seed,
                                record->debts[i].reason);
        for (int64_t id = 1; id <= w->n_runners; id++) {
                const WorldRunner *runner = &w->runners[id];

                if (runner->alive && runner != current && runner->ours && !runner->lost && !listed(w, runner->token))
                        fail_msg("seed %llu: runner %lld is left behind", (unsigned long long)w->seed, (long long)id);
        }
}

static inline void world_begin(World *w, uint64_t seed)
{
        static const Flow flows[] = {FLOW_REGISTRATION_TOKEN, FLOW_ACCESS_TOKEN, FLOW_AUTHENTICATION_TOKEN};
        static const RotationPolicy policies[] = {ROTATION_AUTO, ROTATION_AUTO, ROTATION_ALWAYS, ROTATION_NEVER};

        *w = (World){.random = {.state = seed}, .seed = seed};
        w->plan = life_plan(flows[seed % 3]);
        w->plan.rotation = policies[random_below(&w->random, ELEMENTS(policies))];
        if (chance(w, 20))
                w->plan.removed_after_usec = USEC_PER_SEC;
        if (chance(w, 20))
                w->plan.rotate_after_usec = USEC_PER_HOUR;
        w->old = chance(w, 15);
        w->life.now = (Now){.realtime_usec = LIFE_START, .boottime_usec = USEC_PER_MINUTE};
        if (w->plan.flow == FLOW_AUTHENTICATION_TOKEN)
                w->source = world_make_runner(w, false, NULL)->token;
}

/* A life: STEPS of whatever may happen, and then a quiet day. */
static inline void world_live(World *w)
{
        boot(w, true);
        for (unsigned step = 0; step < STEPS; step++)
                walk(w);

        /* Then a quiet day. */
        w->calm = true;
        if (lifecycle_state(w->life.l) == RUNNER_STATE_WITHDRAWN)
                crash(w);
        uint64_t end = w->life.now.boottime_usec + DAY;
        while (w->life.now.boottime_usec < end || w->action.kind != ACTION_WAIT)
                walk(w);
        check_end(w);
        w->life.l = lifecycle_free(w->life.l);
        w->record = secret_free(w->record);
        w->journal = secret_free(w->journal);
        w->given = secret_free(w->given);
}
