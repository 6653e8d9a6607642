#pragma once

/* Answers as GitLab gives them, judged: for the tests of verdicts. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/verdict.h"

#define JSON  "application/json"
#define TEXT  "text/plain"
#define HTML  "text/html; charset=utf-8"
#define TOKEN "glrt-t1_abcdefghij0123456789"

/* 2026-08-22T10:00:00Z */
#define NOW_SEC UINT64_C(1787392800)

#define PAGE "<html><body>Please wait</body></html>"

static const Now now = {.realtime_usec = NOW_SEC * USEC_PER_SEC, .boottime_usec = 5 * USEC_PER_SEC};

typedef enum Flag {
        ACTED = 1 << 0,
        NO_ROUTE = 1 << 1,
        NET = 1 << 2,
        TEXT_ONLY = 1 << 3,
        UNREACHABLE = 1 << 4,
        GONE = 1 << 5,
} Flag;

static inline unsigned flags_of(const Judgement *j)
{
        return (j->maybe_acted ? ACTED : 0U) | (j->no_route ? NO_ROUTE : 0U) | (j->refused_by_net ? NET : 0U) |
               (j->text_only ? TEXT_ONLY : 0U) | (j->unreachable ? UNREACHABLE : 0U) | (j->gone ? GONE : 0U);
}

/* The strings of the tests are literals, so nothing but the body is to be freed. */
static inline void judge(Call call, Reply reply, const char *body, Judgement *ret)
{
        if (body)
                assert_int_equal(secret_new(body, strlen(body), &reply.body), 0);
        assert_int_equal(verdict_judge(call, &reply, now, ret), 0);
        secret_free(reply.body);
}

static inline void judge_status(Call call, unsigned status, const char *type, const char *body, Judgement *ret)
{
        judge(call, (Reply){.status = status, .content_type = (char *)type}, body, ret);
}
