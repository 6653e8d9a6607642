/* A document that is written whole or not at all, whichever allocation fails. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "agent/core/json.h"
#include "tests/unit/failing-memory.h"

/* Long keys, so that the text grows while one of them is written: jansson does not look at what comes of that. */
static json_t *document(void)
{
        json_t *object = json_object();

        for (unsigned i = 0; i < 12; i++) {
                char key[64] = "a key that is as long as what the text grows by, number ";

                key[strlen(key)] = (char)('a' + i);
                assert_int_equal(json_put(object, key, json_integer(i)), 0);
        }
        return object;
}

static void test_whole_or_not_at_all(void **state)
{
        static const size_t flags[] = {JSON_COMPACT, JSON_INDENT(2), JSON_INDENT(2) | JSON_SORT_KEYS};
        _cleanup_json_ json_t *object = document();

        for (size_t i = 0; i < ELEMENTS(flags); i++) {
                _cleanup_secret_ Secret *whole = NULL;
                unsigned n;

                assert_int_equal(json_write(object, flags[i], &whole), 0);
                for (n = 1;; n++) {
                        _cleanup_secret_ Secret *text = NULL;

                        memory_left = n;
                        int r = json_write(object, flags[i], &text);
                        bool failed = memory_left == 0;
                        memory_left = 0;
                        if (!failed) {
                                assert_int_equal(r, 0);
                                break;
                        }
                        if (r >= 0)
                                assert_string_equal(secret_data(text), secret_data(whole));
                        else
                                assert_int_equal(r, -ENOMEM);
                }
                assert_true(n > 5);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_whole_or_not_at_all),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
