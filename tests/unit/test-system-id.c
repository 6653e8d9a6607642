#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "agent/core/system-id.h"

/* Made by gitlab-runner itself. */
static void test_vectors(void **state)
{
        static const struct {
                const char *machine_id;
                const char *system_id;
        } rows[] = {
                {"0123456789abcdef0123456789abcdef", "s_ee3af03959fe"},
                {"0123456789ABCDEF0123456789ABCDEF", "s_f9be0aedbed9"},
                {"b08dfa6083e7567a1921a715000001fb", "s_75dbf98a91e6"},
                {"00000000000000000000000000000000", "s_0f8e23d31e7b"},
                {"uninitialized", "s_b0b48a716d03"},
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                char id[SYSTEM_ID_SIZE + 1];

                assert_int_equal(system_id_from_machine(rows[i].machine_id, id), 0);
                assert_string_equal(id, rows[i].system_id);
                assert_true(system_id_valid(id));
        }
}

static void test_valid(void **state)
{
        static const char *const good[] = {"s_0123456789ab", "r_ABCxyz012345", "s_AAAAAAAAAAAA"};
        static const char *const bad[] = {"", "s", "s_", "s_0123456789a", "s_0123456789abc", "t_0123456789ab",
                "s-0123456789ab", "S_0123456789ab", "s_0123456789a_", "s_0123456789a ", "s_0123456789ab\n",
                "s_01234567\303\251ab"};

        for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
                assert_true(system_id_valid(good[i]));
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                assert_false(system_id_valid(bad[i]));
}

static void test_random(void **state)
{
        unsigned char bytes[16] = {0};
        char id[SYSTEM_ID_SIZE + 1], other[SYSTEM_ID_SIZE + 1];
        unsigned seen[256] = {0};

        system_id_from_random(bytes, id);
        assert_string_equal(id, "r_aaaaaaaaaaaa");
        memset(bytes, 0xff, sizeof(bytes));
        system_id_from_random(bytes, id);
        assert_true(system_id_valid(id));

        /* Every byte makes a difference, and every character comes up about as often as any other. */
        for (size_t i = 0; i < sizeof(bytes); i++) {
                bytes[i] ^= 1;
                system_id_from_random(bytes, other);
                assert_string_not_equal(id, other);
                bytes[i] ^= 1;
        }

        uint64_t seed = 7;
        for (size_t i = 0; i < 20000; i++) {
                for (size_t j = 0; j < sizeof(bytes); j++) {
                        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
                        bytes[j] = (unsigned char)(seed >> 33);
                }
                system_id_from_random(bytes, id);
                assert_true(system_id_valid(id));
                for (const char *c = id + 2; *c; c++)
                        seen[(unsigned char)*c]++;
        }
        /* 240,000 characters over 62: 3,871 each, with a standard deviation of 62. */
        for (const char *c = "azAZ09mM"; *c; c++)
                assert_in_range(seen[(unsigned char)*c], 3871 - 350, 3871 + 350);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_vectors),
                cmocka_unit_test(test_valid),
                cmocka_unit_test(test_random),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
