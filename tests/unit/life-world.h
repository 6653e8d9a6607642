#pragma once

/* A small world for one runner: a GitLab with moods, a disk with two files and a journal, a config.toml that others
 * write as well, crashes. Everything comes from one seed, and what the world knows for sure is checked against what
 * the lifecycle does. */

#include "tests/unit/life.h"

#include "agent/core/lifecycle-internal.h"

#define WORLD_RUNNERS_MAX 512
#define WORLD_TOKENS_MAX  2048

typedef enum Weather {
        WEATHER_CLEAR,
        WEATHER_STORM,     /* 5xx; what was asked may be done all the same */
        WEATHER_FORBIDDEN, /* 403 to every token, known or not */
        WEATHER_THROTTLED,
        WEATHER_DOWN,
        WEATHER_TLS,
        _WEATHER_MAX,
} Weather;

typedef struct WorldRunner {
        unsigned token;
        bool alive;
        bool ours;    /* made by this host */
        bool manager; /* of this host */
        bool lost;    /* its token never reached us, or was thrown away by a person */
        char note[64];
} WorldRunner;

typedef struct World {
        Random random;
        uint64_t seed;
        Plan plan;
        Life life;
        Weather weather;
        bool old;  /* GitLab tells no ids and no times, and has no managers */
        bool calm; /* no fault, no foreign hand */

        WorldRunner runners[WORLD_RUNNERS_MAX + 1]; /* by id */
        int64_t n_runners;
        unsigned n_tokens;
        int64_t owner[WORLD_TOKENS_MAX]; /* whose it is or was */
        bool filed[WORLD_TOKENS_MAX];    /* it has been in a file of this host */

        Secret *record; /* as on the disk; NULL: no file */
        Secret *journal;
        unsigned entries[4]; /* tokens in config.toml; 0: the end */
        unsigned source;     /* the configured authentication token */

        Action action;       /* under way */
        Judgement judgement; /* its answer, if it is a call */
        Secret *given;
        bool commanded;
        unsigned steps_at_once;
        void (*before_step)(struct World *w);
        void (*after_step)(struct World *w);
        unsigned long calls[_CALL_MAX];
} World;

static inline bool chance(World *w, unsigned percent)
{
        return random_below(&w->random, 100) < percent;
}

static inline const char *token_text(unsigned token, char buffer[static 24])
{
        (void)snprintf(buffer, 24, "tok-%u", token);
        return buffer;
}

static inline unsigned token_number(const Secret *token)
{
        unsigned number = 0;

        return token && sscanf(secret_data(token), "tok-%u", &number) == 1 ? number : 0;
}

static inline WorldRunner *runner_of(World *w, unsigned token)
{
        for (int64_t id = 1; token > 0 && id <= w->n_runners; id++)
                if (w->runners[id].alive && w->runners[id].token == token)
                        return &w->runners[id];
        return NULL;
}

static inline int64_t id_of(const World *w, const WorldRunner *runner)
{
        return runner - w->runners;
}

static inline WorldRunner *world_make_runner(World *w, bool ours, const char *note)
{
        assert_true(w->n_runners < WORLD_RUNNERS_MAX && w->n_tokens + 1 < WORLD_TOKENS_MAX);
        WorldRunner *runner = &w->runners[++w->n_runners];

        *runner = (WorldRunner){.token = ++w->n_tokens, .alive = true, .ours = ours};
        w->owner[runner->token] = id_of(w, runner);
        (void)snprintf(runner->note, sizeof(runner->note), "%s", note ? note : "");
        return runner;
}

/* ---- what is where ---- */

static inline bool record_holds(const Record *record, unsigned token)
{
        if (token_number(record->token) == token)
                return true;
        for (size_t i = 0; i < record->n_debts; i++)
                if (token_number(record->debts[i].token) == token)
                        return true;
        return false;
}

static inline bool saved_holds(const World *w, unsigned token)
{
        _cleanup_(record_freep) Record *record = NULL;

        if (!w->record)
                return false;
        assert_int_equal(record_decode(secret_data(w->record), secret_size(w->record), &record, NULL), 0);
        return record_holds(record, token);
}

static inline bool listed(const World *w, unsigned token)
{
        for (size_t i = 0; i < ELEMENTS(w->entries); i++)
                if (token > 0 && w->entries[i] == token)
                        return true;
        return false;
}

static inline bool journal_holds(const World *w, unsigned token)
{
        _cleanup_(answer_done) Answer answer = {};

        return w->journal && answer_decode(secret_data(w->journal), secret_size(w->journal), &answer) >= 0 &&
               token_number(answer.token) == token;
}

/* No token that works, and was in a file once, is ever in none. */
static inline void world_check_tokens(World *w)
{
        for (int64_t id = 1; id <= w->n_runners; id++) {
                WorldRunner *runner = &w->runners[id];

                if (!runner->alive || runner->lost || (!runner->ours && !w->filed[runner->token]))
                        continue;
                /* Withdrawn while the token that somebody else had put there could not be judged: it is theirs now.
                 */
                if (w->life.l && lifecycle_state(w->life.l) == RUNNER_STATE_WITHDRAWN && listed(w, runner->token) &&
                        !record_holds(lifecycle_record(w->life.l), runner->token))
                        runner->lost = true;
                bool kept =
                        listed(w, runner->token) || saved_holds(w, runner->token) || journal_holds(w, runner->token);
                w->filed[runner->token] = w->filed[runner->token] || kept;
                /* Where memory runs out, whose it is may be forgotten, and then it is withdrawn as another's. */
                if (w->filed[runner->token] && !kept && w->before_step)
                        runner->lost = true;
                else if (w->filed[runner->token] && !kept && runner->ours)
                        fail_msg("seed %llu: token %u of runner %lld is in no file any more",
                                (unsigned long long)w->seed, runner->token, (long long)id);
        }
}

/* ---- GitLab ---- */

static inline void give(World *w, WorldRunner *runner, bool with_token)
{
        char text[24];

        w->judgement.verdict = VERDICT_ALIVE;
        if (w->old && !with_token) {
                w->judgement.text_only = true;
                return;
        }
        w->judgement.identity.has_expiry = !w->old;
        w->judgement.identity.runner_id = id_of(w, runner);
        if (w->old) {
                w->given = life_secret(token_text(runner->token, (char[24]){}));
                return;
        }
        w->judgement.identity.expires_at_usec = w->life.now.realtime_usec + 6 * USEC_PER_HOUR;
        if (!with_token)
                w->judgement.identity.expires_at_usec = lifecycle_record(w->life.l)->token_expires_at_usec;
        else
                w->given = life_secret(token_text(runner->token, text));
}

static inline void rotate(World *w, WorldRunner *runner)
{
        assert_true(w->n_tokens + 1 < WORLD_TOKENS_MAX);
        runner->token = ++w->n_tokens;
        w->owner[runner->token] = id_of(w, runner);
}

/* Does what is asked; the judgement is that of GitLab's answer, should it come. */
static inline void gitlab_act(World *w, const Action *action)
{
        static int64_t ids[WORLD_RUNNERS_MAX];
        const CallArguments *a = &action->arguments;
        WorldRunner *runner = runner_of(w, token_number(a->token));
        int64_t id = a->runner_id;

        w->judgement = (Judgement){.verdict = VERDICT_DEAD, .message = (char *)"403 Forbidden"};
        switch (action->call) {
        case CALL_REGISTER:
        case CALL_CREATE:
                give(w, world_make_runner(w, true, a->marker), true);
                break;
        case CALL_VERIFY:
                if (runner) {
                        runner->manager = true;
                        give(w, runner, false);
                }
                break;
        case CALL_PROBE:
                w->judgement.verdict = VERDICT_ALIVE;
                break;
        case CALL_RESET:
                if (runner) {
                        assert_true(runner->ours || w->plan.rotation == ROTATION_ALWAYS);
                        rotate(w, runner);
                        give(w, runner, true);
                        w->judgement.identity.runner_id = 0;
                }
                break;
        case CALL_RESET_BY_ID:
                if (id <= w->n_runners && w->runners[id].alive) {
                        assert_true(w->runners[id].ours);
                        rotate(w, &w->runners[id]);
                        w->runners[id].lost = false;
                        give(w, &w->runners[id], true);
                        w->judgement.identity.runner_id = 0;
                }
                break;
        case CALL_DELETE_RUNNER:
                if (runner) {
                        if (!runner->ours)
                                fail_msg("seed %llu: a foreign runner is deleted", (unsigned long long)w->seed);
                        runner->alive = false;
                        w->judgement.verdict = VERDICT_ALIVE;
                }
                break;
        case CALL_DELETE_MANAGER:
                if (w->old)
                        w->judgement = (Judgement){.verdict = VERDICT_AMBIGUOUS, .no_route = true};
                else if (runner) {
                        w->judgement.verdict = VERDICT_ALIVE;
                        w->judgement.gone = !runner->manager;
                        runner->manager = false;
                }
                break;
        case CALL_DELETE_BY_ID:
                assert_true(w->runners[id].ours);
                w->runners[id].alive = false;
                w->judgement.verdict = VERDICT_ALIVE;
                break;
        case CALL_LIST:
                w->judgement = (Judgement){.verdict = VERDICT_ALIVE, .ids = ids};
                for (int64_t i = 1; i <= w->n_runners; i++)
                        if (w->runners[i].alive)
                                ids[w->judgement.n_ids++] = i;
                break;
        case CALL_SHOW:
                if (w->runners[id].alive)
                        w->judgement = (Judgement){.verdict = VERDICT_ALIVE, .note = w->runners[id].note};
                break;
        case _CALL_MAX:
        case _CALL_INVALID:
                fail();
        }
}

static inline bool acts(Call call)
{
        return call != CALL_VERIFY && call != CALL_PROBE && call != CALL_LIST && call != CALL_SHOW;
}

/* What was done, and will never be told. */
static inline void lose_answer(World *w, const Action *action)
{
        if (w->given) {
                WorldRunner *runner = runner_of(w, token_number(w->given));

                if (runner)
                        runner->lost = true;
        }
        w->given = secret_free(w->given);
        w->judgement = (Judgement){
                .verdict = VERDICT_AMBIGUOUS,
                .maybe_acted = acts(action->call),
                .message = (char *)"502 Bad Gateway",
        };
}

static inline void gitlab_answer(World *w, const Action *action)
{
        w->calls[action->call]++;
        w->given = secret_free(w->given);
        switch (w->calm ? WEATHER_CLEAR : w->weather) {
        case WEATHER_CLEAR:
                gitlab_act(w, action);
                return;
        case WEATHER_STORM:
                if (chance(w, 30))
                        gitlab_act(w, action);
                if (!w->given || chance(w, 80))
                        lose_answer(w, action);
                return;
        case WEATHER_FORBIDDEN:
                w->judgement = (Judgement){.verdict = VERDICT_DEAD, .message = (char *)"403 Forbidden"};
                if (action->call == CALL_PROBE)
                        w->judgement.verdict = VERDICT_AMBIGUOUS;
                if (action->call == CALL_REGISTER || action->call == CALL_CREATE)
                        w->judgement.verdict = VERDICT_PERMANENT;
                return;
        case WEATHER_THROTTLED:
                w->judgement = (Judgement){.verdict = VERDICT_WAIT, .wait_usec = USEC_PER_MINUTE};
                return;
        case WEATHER_DOWN:
                w->judgement = (Judgement){.verdict = VERDICT_AMBIGUOUS, .unreachable = true};
                return;
        case WEATHER_TLS:
                w->judgement = (Judgement){.verdict = VERDICT_PERMANENT, .refused_by_net = true};
                return;
        case _WEATHER_MAX:
                fail();
        }
}

/* ---- the disk ---- */

static inline int save(World *w)
{
        Secret *text = NULL;

        if (!w->calm && chance(w, 5))
                return -ENOSPC;
        assert_int_equal(record_encode(lifecycle_record(w->life.l), &text), 0);
        secret_free(w->record);
        w->record = text;
        return 0;
}

/* As entry-edit.c finds the entry of a guarded edit. */
static inline int edit_entries(World *w, bool *changed)
{
        EntryEdit edit;
        size_t found = ELEMENTS(w->entries), n = 0;

        lifecycle_entry_edit(w->life.l, &edit);
        while (n < ELEMENTS(w->entries) && w->entries[n] > 0)
                n++;
        const unsigned wanted[] = {edit.holds ? token_number(edit.holds) : 0, token_number(edit.token)};
        for (size_t k = 0; k < 2; k++)
                for (size_t i = 0; i < n; i++)
                        if (wanted[k] > 0 && w->entries[i] == wanted[k])
                                found = i;
        if (!w->calm && chance(w, 5))
                return -EROFS;
        *changed = false;
        if (edit.kind == ENTRY_EDIT_REMOVE) {
                if (found < n) {
                        memmove(w->entries + found, w->entries + found + 1, (n - found - 1) * sizeof(*w->entries));
                        w->entries[n - 1] = 0;
                        *changed = true;
                }
                return 0;
        }
        assert_non_null(edit.token);
        if (found == ELEMENTS(w->entries) && n > 0)
                return -ESTALE;
        if (found == ELEMENTS(w->entries))
                found = 0;
        *changed = w->entries[found] != token_number(edit.token);
        w->entries[found] = token_number(edit.token);
        return 0;
}

/* ---- events ---- */

/* LIFE_SEED=n LIFE_TRACE=1 shows a walk. */
static inline void world_trace(const World *w, const Event *event, const Action *action)
{
        static const char *const events[_EVENT_KIND_MAX] = {
                "START", "TIMER", "DISK", "SECRET", "REPLY", "TOLD", "ENTRIES", "COMMAND", "STOP", "CONFIGURED"};
        static const char *const actions[_ACTION_KIND_MAX] = {
                "KEEP", "WAIT", "READ", "PREPARE", "SAVE", "SEND", "JOURNAL", "WRITE", "REMOVE", "TELL", "STOPPED"};
        const Record *record = lifecycle_record(w->life.l);

        if (!getenv("LIFE_TRACE"))
                return;
        print_message("%llu %s %d%s → %s %s | %s%s token %u file %u,%u intent %d debts %zu weather %d\n",
                (unsigned long long)(w->life.now.boottime_usec / USEC_PER_MSEC), events[event->kind], event->error,
                event->judgement ? verdict_to_string(event->judgement->verdict) : "", actions[action->kind],
                action->kind == ACTION_SEND ? call_to_string(action->call) : "",
                runner_state_to_string(lifecycle_state(w->life.l)), record->ours ? " ours" : "",
                token_number(record->token), w->entries[0], w->entries[1], (int)record->intent.kind, record->n_debts,
                (int)w->weather);
}

static inline void world_take(World *w, const Event *event)
{
        assert_true(++w->steps_at_once < 2000);
        if (w->before_step)
                w->before_step(w);
        Action action = lifecycle_step(w->life.l, event);
        if (w->after_step)
                w->after_step(w);
        Lifecycle *l = w->life.l;

        world_trace(w, event, &action);

        life_look(&w->life);
        if (w->life.has_outcome) {
                assert_true(w->commanded);
                w->commanded = w->life.has_outcome = false;
        }
        if (action.kind == ACTION_KEEP) {
                w->action.until_usec = action.until_usec;
                return;
        }
        if (w->action.kind == ACTION_SEND)
                lose_answer(w, &w->action); /* cut short */
        w->action = action;
        if (action.kind == ACTION_SEND)
                gitlab_answer(w, &w->action);
        if (action.kind != ACTION_WAIT)
                return;
        if (!l->then) {
                /* Idle: no secret is kept that only a task needed, and the wait is one that can be explained. */
                uint64_t at;
                const char *rule;

                assert_true(!l->secret && !l->trial && l->n_candidates == 0 && !l->ids);
                if (action.until_usec != USEC_INFINITY) {
                        assert_true(action.until_usec > w->life.now.boottime_usec);
                        assert_non_null(lifecycle_next(l, w->life.now, &at, &rule));
                        assert_non_null(rule);
                }
        }
}

static inline void world_event(World *w, Event event)
{
        event.now = w->life.now;
        world_take(w, &event);
}

static inline void world_entries_event(World *w, bool learn)
{
        EntryView views[4];
        Secret *tokens[4] = {};
        size_t n = 0;
        char text[24];

        for (; n < 4 && w->entries[n] > 0; n++) {
                tokens[n] = life_secret(token_text(w->entries[n], text));
                views[n] = (EntryView){.url = LIFE_URL, .token = tokens[n], .runner_id = w->owner[w->entries[n]]};
        }
        const Event event = {.kind = EVENT_ENTRIES, .now = w->life.now, .entries = views, .n_entries = n};
        if (learn)
                lifecycle_learn_entries(w->life.l, &event);
        else
                world_take(w, &event);
        for (size_t i = 0; i < n; i++)
                secret_free(tokens[i]);
}

/* What has been handed over is held; only without memory it is a lost answer. */
static inline void check_given(World *w, unsigned token)
{
        const Lifecycle *l = w->life.l;
        WorldRunner *runner = runner_of(w, token);

        if (!runner || record_holds(l->record, token) || (l->has_answer && token_number(l->answer.token) == token))
                return;
        assert_non_null(w->before_step);
        runner->lost = true;
}

/* Carries the action out and hands its result back; a result that was waited for is never ignored. */
static inline void world_result(World *w)
{
        const Action action = w->action;
        Event event = {.now = w->life.now};
        char text[24];
        _cleanup_secret_ Secret *secret = NULL;
        Secret *line = NULL;

        switch (action.kind) {
        case ACTION_READ_SECRET:
                event.kind = EVENT_SECRET;
                secret = w->plan.flow == FLOW_AUTHENTICATION_TOKEN ? life_secret(token_text(w->source, text))
                                                                   : life_secret("source");
                if (!w->calm && chance(w, 5))
                        event.error = -ENOENT;
                else
                        event.secret = secret;
                break;
        case ACTION_PREPARE:
        case ACTION_SAVE:
                event.kind = EVENT_DISK;
                event.error = save(w);
                if (event.error == 0 && lifecycle_record(w->life.l)->intent.kind == INTENT_NONE)
                        w->journal = secret_free(w->journal);
                break;
        case ACTION_JOURNAL:
                event.kind = EVENT_DISK;
                assert_int_equal(answer_encode(action.answer, &line), 0);
                secret_free(w->journal);
                w->journal = line;
                break;
        case ACTION_WRITE_ENTRY:
        case ACTION_REMOVE_ENTRY:
                event.kind = EVENT_DISK;
                event.error = edit_entries(w, &event.changed);
                break;
        case ACTION_TELL:
                event.kind = EVENT_TOLD;
                event.told = (Told)random_below(&w->random, _TOLD_MAX);
                break;
        case ACTION_SEND:
                event.kind = EVENT_REPLY;
                w->judgement.identity.token = w->given;
                event.judgement = &w->judgement;
                break;
        case ACTION_WAIT:
        case ACTION_KEEP:
        case ACTION_STOPPED:
        case _ACTION_KIND_MAX:
                fail();
        }
        w->action.kind = ACTION_KEEP;
        int error = event.error;
        unsigned given = action.kind == ACTION_SEND ? token_number(w->given) : 0;
        world_take(w, &event);
        if (given > 0)
                check_given(w, given);
        if (w->action.kind == ACTION_KEEP)
                fail_msg(
                        "seed %llu: the result of action %u was not taken", (unsigned long long)w->seed, action.kind);
        w->given = w->action.kind == ACTION_SEND ? w->given : secret_free(w->given);
        world_check_tokens(w);
        if (error == -ESTALE)
                world_entries_event(w, false);
}
