/* agent/host/systemd-bus: whose words an error is. A unit is not believed to be gone because a bus said so. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/base/cleanup.h"
#include "agent/host/systemd-bus.h"

static void test_who_said_it(void **state)
{
        static const struct {
                const char *name;
                bool silence;
        } rows[] = {
                /* The bus about systemd. */
                {SD_BUS_ERROR_NO_REPLY, true},
                {SD_BUS_ERROR_DISCONNECTED, true},
                {SD_BUS_ERROR_SERVICE_UNKNOWN, true},
                {SD_BUS_ERROR_NAME_HAS_NO_OWNER, true},
                {SD_BUS_ERROR_LIMITS_EXCEEDED, true},
                {"org.freedesktop.DBus.Error.Spawn.ChildExited", true},
                {"org.freedesktop.DBus.Error.Spawn.Failed", true},
                /* systemd about a unit, or about us. */
                {SD_BUS_ERROR_ACCESS_DENIED, false},
                {SD_BUS_ERROR_UNKNOWN_METHOD, false},
                {"org.freedesktop.systemd1.NoSuchUnit", false},
                {"org.freedesktop.systemd1.NoSuchProcess", false},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                const sd_bus_error error = SD_BUS_ERROR_MAKE_CONST(rows[i].name, "said");

                assert_int_equal(systemd_bus_is_silence(&error), rows[i].silence);
        }
        assert_false(systemd_bus_is_silence(NULL));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_who_said_it),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
