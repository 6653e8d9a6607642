/* When a change of config.toml by others is believed. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "agent/core/entry-look.h"

#define WHOLE   "[[runners]]\n  name = \"a\"\n  token = \"t\"\n"
#define CHANGED "[[runners]]\n  name = \"a\"\n  token = \"u\"\n"
#define BARE    "concurrent = 1\n"
#define CUT     "[[runners]]\n  name = \"a"

#define NOW (UINT64_C(1700000000) * USEC_PER_SEC)

static Secret *secret(const char *text)
{
        Secret *s = NULL;

        if (text)
                assert_int_equal(secret_new(text, strlen(text), &s), 0);
        return s;
}

/* AGE in milliseconds; negative: changed in the future. */
static uint64_t mtime(int64_t age)
{
        return (uint64_t)((int64_t)NOW - age * (int64_t)USEC_PER_MSEC) * 1000;
}

static void test_look(void **state)
{
        static const struct {
                const char *bytes;
                int64_t age;
                const char *seen;
                const char *unsettled;
                bool settled;
                EntryLook look;
        } rows[] = {
                {WHOLE, 5, WHOLE, NULL, false, ENTRY_LOOK_SAME},
                {NULL, 0, NULL, NULL, false, ENTRY_LOOK_SAME},
                {"", 0, "", NULL, true, ENTRY_LOOK_SAME},
                /* A whole file with entries is believed at once. */
                {CHANGED, 0, WHOLE, NULL, false, ENTRY_LOOK_TAKE},
                {WHOLE, 0, NULL, NULL, false, ENTRY_LOOK_TAKE},
                /* What may be the middle of a write is looked at again, until it has stood its time. */
                {"", 0, WHOLE, NULL, false, ENTRY_LOOK_AGAIN},
                {CUT, 999, WHOLE, NULL, false, ENTRY_LOOK_AGAIN},
                {BARE, 0, WHOLE, NULL, false, ENTRY_LOOK_AGAIN},
                {BARE, 0, WHOLE, BARE, false, ENTRY_LOOK_AGAIN},
                {BARE, 0, WHOLE, BARE, true, ENTRY_LOOK_TAKE},
                {"", 0, WHOLE, BARE, true, ENTRY_LOOK_AGAIN},
                /* Old enough by its mtime; one in the future proves no age. */
                {BARE, 1000, WHOLE, NULL, false, ENTRY_LOOK_TAKE},
                {BARE, -3600000, WHOLE, NULL, false, ENTRY_LOOK_AGAIN},
                {BARE, -3600000, WHOLE, BARE, true, ENTRY_LOOK_TAKE},
                /* Editors move the file away for a moment. */
                {NULL, 0, WHOLE, NULL, false, ENTRY_LOOK_AGAIN},
                {NULL, 0, WHOLE, NULL, true, ENTRY_LOOK_TAKE},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                _cleanup_secret_ Secret *bytes = secret(rows[i].bytes), *seen = secret(rows[i].seen);
                _cleanup_secret_ Secret *unsettled = secret(rows[i].unsettled);
                const Now now = {.realtime_usec = NOW};
                EntryLook look = entry_look(bytes, mtime(rows[i].age), seen, unsettled, rows[i].settled, now);

                if (look != rows[i].look)
                        fail_msg("row %zu: %d", i, (int)look);
        }
}

static void test_edit(void **state)
{
        static const struct {
                const char *bytes;
                int64_t age;
                const char *seen;
                bool may;
        } rows[] = {
                {NULL, 0, NULL, true}, /* no file: one is made */
                {NULL, 0, WHOLE, true}, {WHOLE, 0, NULL, true}, {BARE, 0, WHOLE, false}, {"", 999, WHOLE, false},
                {"", 1000, WHOLE, true}, {BARE, 0, BARE, true}, /* as it was seen before, so nobody is writing */
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                _cleanup_secret_ Secret *bytes = secret(rows[i].bytes), *seen = secret(rows[i].seen);
                const Now now = {.realtime_usec = NOW};

                if (entry_may_edit(bytes, mtime(rows[i].age), seen, now) != rows[i].may)
                        fail_msg("row %zu", i);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_look),
                cmocka_unit_test(test_edit),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
