#pragma once

/* One runner's life as a script: a line is an event and the action that must follow, on a fake clock. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/core/lifecycle.h"

#define LIFE_URL   "https://gitlab.example.com"
#define LIFE_START (UINT64_C(1800000000) * USEC_PER_SEC)
#define DAY        USEC_PER_DAY

typedef enum InKind {
        IN_END,
        IN_START,
        IN_TIME, /* until what the last action said, or for `usec` */
        IN_DISK,
        IN_SECRET,
        IN_REPLY,
        IN_TOLD,
        IN_ENTRIES,
        IN_COMMAND,
        IN_STOP,
        IN_RELOAD,
} InKind;

typedef struct Line {
        struct {
                InKind kind;
                uint64_t usec;
                int error;
                bool changed;
                const char *text;    /* a token, or tokens separated by blanks */
                Judgement judgement; /* `text` is its token */
                Told told;
                Command command;
                StopPlan stop;
        } in;
        ActionKind kind;
        Call call;
} Line;

/* clang-format off */

/* Events. */
#define START        {IN_START}
#define TIME         {IN_TIME}
#define PASS(span)   {IN_TIME, .usec = (span)}
#define DONE         {IN_DISK}
#define CHANGED      {IN_DISK, .changed = true}
#define BROKEN       {IN_DISK, .error = -ENOSPC}
#define STALE        {IN_DISK, .error = -ESTALE}
#define SECRET(t)    {IN_SECRET, .text = (t)}
#define NO_SECRET    {IN_SECRET, .error = -ENOENT}
#define SECRET_GONE(why) {IN_SECRET, .error = -ENOENT, .text = (why)}
#define NO_MEMORY    {IN_SECRET, .error = -ENOMEM}
#define REPLY(...)   {IN_REPLY, .judgement = {__VA_ARGS__}}
#define YES          REPLY(.verdict = VERDICT_ALIVE)
#define ALIVE        REPLY(.verdict = VERDICT_ALIVE, .identity.has_expiry = true)
#define ALIVE_ID(n)  REPLY(.verdict = VERDICT_ALIVE, .identity = {.has_expiry = true, .runner_id = (n)})
#define ALIVE_UNTIL(n, u) \
        REPLY(.verdict = VERDICT_ALIVE, .identity = {.has_expiry = true, .runner_id = (n), .expires_at_usec = (u)})
#define TEXT_200     REPLY(.verdict = VERDICT_ALIVE, .text_only = true)
#define GONE         REPLY(.verdict = VERDICT_ALIVE, .gone = true)
#define DEAD         REPLY(.verdict = VERDICT_DEAD, .message = (char *)"403 Forbidden")
#define UNCLEAR      REPLY(.verdict = VERDICT_AMBIGUOUS, .message = (char *)"502")
#define LOST         REPLY(.verdict = VERDICT_AMBIGUOUS, .maybe_acted = true, .message = (char *)"lost")
#define REFUSED      REPLY(.verdict = VERDICT_PERMANENT, .message = (char *)"410 Gone")
#define NO_TLS       REPLY(.verdict = VERDICT_PERMANENT, .refused_by_net = true, .message = (char *)"TLS")
#define NO_ROUTE     REPLY(.verdict = VERDICT_AMBIGUOUS, .no_route = true, .message = (char *)"404 Not Found")
#define BUSY(span)   REPLY(.verdict = VERDICT_WAIT, .wait_usec = (span), .message = (char *)"Retry later")
#define GIVEN(n, t)  GIVEN_UNTIL(n, t, 0)
#define GIVEN_UNTIL(n, t, u) \
        {IN_REPLY, .text = (t), .judgement = {.verdict = VERDICT_ALIVE, \
                .identity = {.runner_id = (n), .has_expiry = true, .expires_at_usec = (u)}}}
#define TOLD(how)    {IN_TOLD, .told = TOLD_##how}
#define ENTRIES(t)   {IN_ENTRIES, .text = (t)}
#define COMMAND(c)   {IN_COMMAND, .command = COMMAND_##c}
#define STOP_IN(span, ...) {IN_STOP, .usec = (span), .stop = {__VA_ARGS__}}
#define RELOAD       {IN_RELOAD}

/* What must follow. */
#define WAIT    ACTION_WAIT
#define KEEP    ACTION_KEEP
#define READ    ACTION_READ_SECRET
#define PREPARE ACTION_PREPARE
#define SAVE    ACTION_SAVE
#define SEND(c) ACTION_SEND, CALL_##c
#define JOURNAL ACTION_JOURNAL
#define WRITE   ACTION_WRITE_ENTRY
#define REMOVE  ACTION_REMOVE_ENTRY
#define TELL    ACTION_TELL
#define STOPPED ACTION_STOPPED

/* clang-format on */

typedef struct Life {
        Lifecycle *l;
        Plan plan;
        Now now;
        Action last;
        unsigned notices[_NOTICE_MAX];
        bool has_outcome;
        int code;
        char message[256]; /* of the outcome */
        bool deaf;         /* nobody takes what is said, or how a command ended */
} Life;

static inline Plan life_plan(Flow flow)
{
        static Attributes none = {.run_untagged = -1,
                .locked = -1,
                .paused = -1,
                .maximum_timeout = -1,
                .group_id = -1,
                .project_id = -1};

        return (Plan){
                .configured = true,
                .flow = flow,
                .target = {.url = (char *)LIFE_URL},
                .attributes = &none,
                .executor = "shell",
                .rotation = ROTATION_AUTO,
                .reregister = true,
                .verify_interval_usec = 15 * USEC_PER_MINUTE,
                .removed_after_usec = 10 * USEC_PER_MINUTE,
                .retry_min_usec = USEC_PER_SEC,
                .retry_max_usec = 5 * USEC_PER_MINUTE,
                .refused_retry_usec = USEC_PER_HOUR,
                .rotate_after_usec = USEC_INFINITY,
                .rotate_at = 0.66,
                .poll_usec = 4 * USEC_PER_SEC,
        };
}

static inline Secret *life_secret(const char *text)
{
        Secret *secret = NULL;

        assert_int_equal(secret_new(text, strlen(text), &secret), 0);
        return secret;
}

static inline Record *life_record(Flow flow)
{
        Record *record = NULL;

        assert_int_equal(record_new("build-1", LIFE_URL, flow, &record), 0);
        return record;
}

/* One that this machine has enrolled, with TOKEN of runner 42. */
static inline Record *life_enrolled(Flow flow, const char *token)
{
        Record *record = life_record(flow);

        record->state = RUNNER_STATE_REGISTERED;
        record->token = life_secret(token);
        record->runner_id = 42;
        record->ours = flow != FLOW_AUTHENTICATION_TOKEN;
        record->manager_ours = true;
        record->registered_at_usec = record->token_obtained_at_usec = LIFE_START - DAY;
        assert_int_equal(replace_string(&record->system_id, "s_0123456789ab"), 0);
        assert_int_equal(replace_string(&record->machine_id, "machine"), 0);
        return record;
}

static inline void life_begin_with(Life *life, Plan plan, Record *record, Answer *answer, bool proves)
{
        const Facts facts = {.system_id = "s_0123456789ab", .machine_id = "machine", .system_id_proves = proves};

        *life = (Life){.plan = plan, .now = {.realtime_usec = LIFE_START, .boottime_usec = USEC_PER_MINUTE}};
        assert_int_equal(lifecycle_new(&plan, &facts, record, answer, 7, &life->l), 0);
        life->last = (Action){.kind = ACTION_WAIT, .until_usec = USEC_INFINITY};
}

static inline void life_begin(Life *life, Plan plan, Record *record)
{
        life_begin_with(life, plan, record, NULL, false);
}

static inline void life_end(Life *life)
{
        life->l = lifecycle_free(life->l);
}

/* Tokens separated by blanks as entries of config.toml. */
static inline size_t life_views(const char *text, EntryView views[static 8])
{
        size_t n = 0;

        for (const char *p = text; *p && n < 8; n++) {
                size_t size = strcspn(p, " ");
                Secret *token = NULL;

                assert_int_equal(secret_new(p, size, &token), 0);
                views[n] = (EntryView){.url = LIFE_URL, .token = token};
                p += size + strspn(p + size, " ");
        }
        return n;
}

static inline void life_learn(Life *life, const char *tokens)
{
        EntryView views[8];
        Event event = {
                .kind = EVENT_ENTRIES, .now = life->now, .entries = views, .n_entries = life_views(tokens, views)};

        lifecycle_learn_entries(life->l, &event);
        for (size_t i = 0; i < event.n_entries; i++)
                secret_free((Secret *)views[i].token);
}

static inline void life_pass(Life *life, uint64_t span_usec)
{
        life->now.boottime_usec += span_usec;
        life->now.realtime_usec += span_usec;
}

static inline void life_look(Life *life)
{
        Notice notice;
        char *sentence;
        Command command;
        Outcome outcome;

        while (lifecycle_take_notice(life->l, &notice, &sentence)) {
                life->notices[notice]++;
                free(sentence);
        }
        if (lifecycle_take_outcome(life->l, &command, &outcome)) {
                life->has_outcome = true;
                life->code = outcome.code;
                (void)snprintf(life->message, sizeof(life->message), "%s", outcome.message ? outcome.message : "");
                free(outcome.message);
        }
}

/* One event in, one action out. */
static inline Action life_step(Life *life, const Line *line)
{
        static const EventKind kinds[] = {[IN_START] = EVENT_START,
                [IN_TIME] = EVENT_TIMER,
                [IN_DISK] = EVENT_DISK,
                [IN_SECRET] = EVENT_SECRET,
                [IN_REPLY] = EVENT_REPLY,
                [IN_TOLD] = EVENT_TOLD,
                [IN_ENTRIES] = EVENT_ENTRIES,
                [IN_COMMAND] = EVENT_COMMAND,
                [IN_STOP] = EVENT_STOP,
                [IN_RELOAD] = EVENT_CONFIGURED};
        Judgement judgement = line->in.judgement;
        EntryView views[8];
        Secret *secret = NULL;

        if (line->in.kind == IN_TIME) {
                assert_true(line->in.usec > 0 || life->last.until_usec != USEC_INFINITY);
                life_pass(life,
                        line->in.usec > 0 ? line->in.usec : usec_sub(life->last.until_usec, life->now.boottime_usec));
        } else
                life_pass(life, USEC_PER_MSEC);
        Event event = {
                .kind = kinds[line->in.kind],
                .now = life->now,
                .error = line->in.error,
                .changed = line->in.changed,
                .told = line->in.told,
                .command = line->in.command,
                .stop = line->in.stop,
                .deadline_usec = usec_add(life->now.boottime_usec, line->in.usec),
        };
        if (line->in.kind == IN_ENTRIES) {
                event.entries = views;
                event.n_entries = life_views(line->in.text, views);
        } else if (line->in.text && line->in.error == 0)
                secret = life_secret(line->in.text);
        event.secret = secret;
        if (line->in.kind == IN_SECRET && line->in.error < 0)
                event.message = line->in.text;
        judgement.identity.token = secret;
        if (line->in.kind == IN_REPLY)
                event.judgement = &judgement;
        life->last = lifecycle_step(life->l, &event);
        for (size_t i = 0; i < event.n_entries; i++)
                secret_free((Secret *)views[i].token);
        secret_free(secret);
        if (!life->deaf)
                life_look(life);
        return life->last;
}

static inline void life_play(Life *life, const Line *lines)
{
        static const char *const names[_ACTION_KIND_MAX] = {"KEEP", "WAIT", "READ_SECRET", "PREPARE", "SAVE", "SEND",
                "JOURNAL", "WRITE_ENTRY", "REMOVE_ENTRY", "TELL", "STOPPED"};

        for (size_t i = 0; lines[i].in.kind != IN_END; i++) {
                const Line *line = &lines[i];
                Action action = life_step(life, line);

                if (action.kind != line->kind || (action.kind == ACTION_SEND && action.call != line->call)) {
                        const char *reason = lifecycle_reason(life->l);

                        fail_msg("line %zu: %s %s instead of %s %s, state %s (%s)", i, names[action.kind],
                                action.kind == ACTION_SEND ? call_to_string(action.call) : "", names[line->kind],
                                line->kind == ACTION_SEND ? call_to_string(line->call) : "",
                                runner_state_to_string(lifecycle_state(life->l)), reason ? reason : "no reason");
                }
                /* No wait is without a reason, or for a moment that has passed. */
                uint64_t at;
                const char *rule;
                if (action.kind == ACTION_WAIT && action.until_usec != USEC_INFINITY) {
                        assert_true(action.until_usec > life->now.boottime_usec);
                        assert_non_null(lifecycle_next(life->l, life->now, &at, &rule));
                        assert_non_null(rule);
                }
        }
}

#define PLAY(life, ...) life_play(life, (const Line[]){__VA_ARGS__, {{IN_END}, 0}})

static inline void life_check_token(const Life *life, const char *token)
{
        const Record *record = lifecycle_record(life->l);

        if (!token) {
                assert_null(record->token);
                return;
        }
        assert_non_null(record->token);
        assert_string_equal(secret_data(record->token), token);
}

static inline void life_check_state(const Life *life, RunnerState state)
{
        assert_string_equal(runner_state_to_string(lifecycle_state(life->l)), runner_state_to_string(state));
}

static inline void life_check_outcome(Life *life, int code)
{
        assert_true(life->has_outcome);
        assert_int_equal(life->code, code);
        life->has_outcome = false;
}

/* Plays an enrolled runner whose entry stands in config.toml until it asks whether its token works. Takes RECORD
 * over. */
static inline void life_live(Life *life, Plan plan, Record *record)
{
        life_begin(life, plan, record);
        life_learn(life, "tok-a");
        PLAY(life, {START, WRITE}, {DONE, plan.flow == FLOW_AUTHENTICATION_TOKEN ? READ : WAIT});
        if (plan.flow == FLOW_AUTHENTICATION_TOKEN)
                PLAY(life, {SECRET("tok-a"), SAVE}, {DONE, WAIT});
        PLAY(life, {TIME, SEND(VERIFY)});
}

/* The same with a token of 90 days, of which SPENT_USEC have gone. */
static inline void life_live_aged(Life *life, Plan plan, uint64_t spent_usec)
{
        Record *record = life_enrolled(plan.flow, "tok-a");

        record->token_obtained_at_usec = LIFE_START - spent_usec;
        record->token_expires_at_usec = LIFE_START - spent_usec + 90 * DAY;
        life_live(life, plan, record);
}

/* As life_live(), and it works. */
static inline void life_live_well(Life *life, Flow flow)
{
        life_live(life, life_plan(flow), life_enrolled(flow, "tok-a"));
        PLAY(life, {ALIVE_ID(42), WAIT});
        life_check_state(life, RUNNER_STATE_REGISTERED);
}
