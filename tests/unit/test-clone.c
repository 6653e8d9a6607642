/* Whose disk this is, and what of it is used. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "agent/core/clone.h"

#define URL "https://gitlab.example.com"

#define S_OURS   "s_0123456789ab"
#define S_THEIRS "s_ba9876543210"
#define R_ONE    "r_abcdefghijkl"
#define R_OTHER  "r_lkjihgfedcba"

static void test_check(void **state)
{
        static const struct {
                const char *machine, *instance, *our_machine, *our_instance;
                Clone clone;
        } rows[] = {
                {"m", "i", "m", "i", CLONE_NONE},
                {"m", "i", "n", "i", CLONE_MACHINE},
                {"m", "i", "n", "j", CLONE_MACHINE},
                {"m", "i", "m", "j", CLONE_INSTANCE},
                {NULL, NULL, "m", "i", CLONE_NONE}, /* unknown never counts as different */
                {"m", "i", NULL, NULL, CLONE_NONE},
                {"m", NULL, "m", "i", CLONE_NONE},
                {"m", "i", "m", NULL, CLONE_NONE},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                const Record record = {
                        .machine_id = (char *)rows[i].machine, .instance_id = (char *)rows[i].instance};

                assert_int_equal(clone_check(&record, rows[i].our_machine, rows[i].our_instance), rows[i].clone);
        }
}

static void test_settle(void **state)
{
        static const struct {
                const char *found, *made;
                Clone state;
                IdSource source;
                Clone clone;
                const char *flags; /* p proves, w written, g goes on also if it can't be */
        } rows[] = {
                /* A first start: made here, as gitlab-runner would. */
                {NULL, S_OURS, CLONE_NONE, ID_MADE, CLONE_NONE, "wg"},
                {NULL, R_ONE, CLONE_NONE, ID_MADE, CLONE_NONE, "w"}, /* nobody makes that one again */
                /* What is there stays, whether it could be told or not. */
                {S_OURS, S_OURS, CLONE_NONE, ID_FOUND, CLONE_NONE, "p"},
                {R_ONE, S_OURS, CLONE_NONE, ID_FOUND, CLONE_NONE, ""},
                {R_ONE, R_OTHER, CLONE_NONE, ID_FOUND, CLONE_NONE, ""},
                {S_THEIRS, R_ONE, CLONE_NONE, ID_FOUND, CLONE_NONE, ""}, /* no machine id to compare with */
                /* Another machine's id or state. */
                {S_THEIRS, S_OURS, CLONE_NONE, ID_MADE, CLONE_MACHINE, "w"},
                {S_THEIRS, S_OURS, CLONE_INSTANCE, ID_MADE, CLONE_MACHINE, "w"},
                {S_OURS, S_OURS, CLONE_MACHINE, ID_MADE, CLONE_MACHINE, "pw"},
                {R_ONE, S_OURS, CLONE_MACHINE, ID_MADE, CLONE_MACHINE, "w"},
                {R_ONE, R_OTHER, CLONE_MACHINE, ID_MADE, CLONE_MACHINE, "w"},
                {NULL, S_OURS, CLONE_MACHINE, ID_MADE, CLONE_MACHINE, "wg"},
                /* The same machine id in another instance: what it gives is the sibling's as well. */
                {S_OURS, S_OURS, CLONE_INSTANCE, ID_RANDOM, CLONE_INSTANCE, "pw"},
                {R_ONE, S_OURS, CLONE_INSTANCE, ID_RANDOM, CLONE_INSTANCE, "w"},
                {NULL, S_OURS, CLONE_INSTANCE, ID_RANDOM, CLONE_INSTANCE, "w"},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                IdPlan plan = clone_settle_id(rows[i].found, rows[i].made, rows[i].state, false);
                char flags[4] = "";

                if (plan.proves)
                        (void)strcat(flags, "p");
                if (plan.write)
                        (void)strcat(flags, "w");
                if (plan.may_go_on)
                        (void)strcat(flags, "g");
                if (plan.source != rows[i].source || plan.clone != rows[i].clone || strcmp(flags, rows[i].flags) != 0)
                        fail_msg("row %zu: source %d, clone %d, '%s'", i, (int)plan.source, (int)plan.clone, flags);

                /* Who only looks writes nothing and takes nobody for a clone. */
                plan = clone_settle_id(rows[i].found, rows[i].made, rows[i].state, true);
                assert_false(plan.write);
                assert_int_equal(plan.clone, CLONE_NONE);
                assert_int_equal(plan.source, rows[i].found ? ID_FOUND : ID_MADE);
        }
}

static void test_entries(void **state)
{
        static const struct {
                const char *url, *token, *configured;
                bool shared, theirs;
        } rows[] = {
                {URL, "glrt-x", URL, false, true},
                {URL "/", "glrt-x", URL, false, true},
                {URL, "glrt-x", URL, true, false},
                {"https://other.example.com", "glrt-x", URL, false, false},
                {NULL, "glrt-x", URL, false, false},
                {URL, "glrt-x", NULL, false, false},
                {URL, NULL, URL, false, false},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                _cleanup_secret_ Secret *token = NULL;
                Entry entry = {.name = (char *)"build-1", .url = (char *)rows[i].url};

                if (rows[i].token)
                        assert_int_equal(secret_new(rows[i].token, strlen(rows[i].token), &token), 0);
                else
                        entry.problems = ENTRY_PROBLEM_TOKEN_BLANK;
                entry.token = token;
                if (clone_owns_entry(&entry, rows[i].configured, rows[i].shared) != rows[i].theirs)
                        fail_msg("row %zu", i);
        }
}

static void test_state(void **state)
{
        static const struct {
                int error;
                bool cloned;
                StateUse use;
        } rows[] = {
                {0, false, STATE_USE},
                {0, true, STATE_BEGIN_OVER},
                {-ENOENT, false, STATE_BEGIN},
                {-ENOENT, true, STATE_BEGIN},
                {-EBADMSG, false, STATE_REFUSE},
                {-EPROTONOSUPPORT, false, STATE_REFUSE},
                {-EBADMSG, true, STATE_BEGIN_AFTER},
                {-EIO, false, STATE_FAIL},
                {-EIO, true, STATE_BEGIN_AFTER},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++)
                if (clone_use_state(rows[i].error, rows[i].cloned) != rows[i].use)
                        fail_msg("row %zu", i);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_check),
                cmocka_unit_test(test_settle),
                cmocka_unit_test(test_entries),
                cmocka_unit_test(test_state),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
