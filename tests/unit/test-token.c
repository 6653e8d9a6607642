#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/text.h"
#include "agent/core/token.h"

static Secret *make(const char *text)
{
        Secret *secret = NULL;

        assert_int_equal(secret_new(text, strlen(text), &secret), 0);
        return secret;
}

static void test_kinds(void **state)
{
        static const struct {
                const char *token;
                TokenKind kind;
        } rows[] = {
                {"glrt-abcdefghij0123456789", TOKEN_KIND_CREATED},
                {"glrt-t1_abcdefghij0123456789", TOKEN_KIND_CREATED},
                {"glrt-aAbBcCdDeEfFgGhHiIjJkKlL.01.0z1234567", TOKEN_KIND_CREATED},
                {"acme-glrt-abcdefghij0123456789", TOKEN_KIND_CREATED},
                {"acme-corp-glrt-t2_abcdefghij0123456789", TOKEN_KIND_CREATED},
                {"glrtr-abcdefghij0123456789", TOKEN_KIND_REGISTERED},
                {"glrtr-t1_abcdefghij0123456789", TOKEN_KIND_REGISTERED},
                {"t1_abcdefghij0123456789", TOKEN_KIND_REGISTERED},
                {"abcdefghij0123456789", TOKEN_KIND_REGISTERED},
                {"0123456789abcdef0123456789abcd", TOKEN_KIND_REGISTERED},
                {"acmeglrt-abcdefghij012345678", TOKEN_KIND_REGISTERED},
                {"GR1348941abcdefghij0123456789", TOKEN_KIND_REGISTRATION},
                {"glpat-abcdefghij0123456789", TOKEN_KIND_ACCESS},
                {"gldt-abcdefghij0123456789", TOKEN_KIND_ACCESS},
                {"glcbt-64_abcdefghij0123456789", TOKEN_KIND_ACCESS},
                {"", TOKEN_KIND_REGISTERED},
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                Secret *token = make(rows[i].token);

                if (token_kind(token) != rows[i].kind)
                        fail_msg("'%s'", rows[i].token);
                secret_free(token);
        }
}

static void test_complaints(void **state)
{
        static const struct {
                const char *token;
                const char *complaint;
        } rows[] = {
                {"glrt-abc._-~!\"\\", NULL},
                {"x", NULL},
                {"", "is empty"},
                {" x", "has a blank around it"},
                {"x\n", "has a blank around it"},
                {"a b", "has a blank inside"},
                {"a\r\nRUNNER-TOKEN: b", "has a blank inside"},
                {"a\x01"
                 "b",
                        "has a control character"},
                {"a\x7f"
                 "b",
                        "has a control character"},
                {"a\xc3\xbc"
                 "b",
                        "has a character that is not ASCII"},
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                Secret *token = make(rows[i].token);
                const char *complaint = token_complaint(token);

                if (!rows[i].complaint)
                        assert_null(complaint);
                else
                        assert_string_equal(complaint, rows[i].complaint);
                secret_free(token);
        }

        char text[TOKEN_SIZE_MAX + 2];
        memset(text, 'x', sizeof(text));
        text[TOKEN_SIZE_MAX] = 0;
        Secret *token = make(text);
        assert_null(token_complaint(token));
        assert_int_equal(secret_append_string(token, "x"), 0);
        assert_string_equal(token_complaint(token), "is longer than 1024 bytes");
        secret_free(token);

        assert_int_equal(secret_new("a\0b", 3, &token), 0);
        assert_string_equal(token_complaint(token), "has a control character");
        secret_free(token);
}

/* Kept in state files: the same for ever. */
static void test_digest(void **state)
{
        Secret *token = make("glrt-abcdefghij0123456789");
        char *digest = NULL, *other = NULL;

        assert_int_equal(token_digest(token, &digest), 0);
        assert_string_equal(digest, "82ad52b03604aa839c40d8cac98d680d6b0c25c32e340b7713b14803f1f83307");
        assert_int_equal(secret_append_string(token, "0"), 0);
        assert_int_equal(token_digest(token, &other), 0);
        assert_string_not_equal(digest, other);
        free(digest);
        free(other);
        secret_free(token);
}

static void test_clean(void **state)
{
        static const struct {
                const char *text;
                size_t max;
                const char *clean;
        } rows[] = {
                {"plain", 10, "plain"},
                {"  a \t\r\n b  ", 10, "a b"},
                {"exactly10!", 10, "exactly10!"},
                {"exactly 11!", 10, "exactly…"},
                {"üüüüüü", 10, "üüü…"},
                {"üüüüü", 10, "üüüüü"},
                {"a\xc3(", 10, "a?("},
                {"\xed\xa0\x80", 10, "???"},
                {"\xc0\xaf", 10, "??"},
                {"\xf4\x90\x80\x80", 10, "????"},
                {"cut\xc3", 10, "cut?"},
                {"a\xe2\x80\xae"
                 "b",
                        10, "a b"},
                {"abcdef", 2, "ab"},
                {"", 10, ""},
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                char *clean = NULL;

                assert_int_equal(text_clean(rows[i].text, strlen(rows[i].text), rows[i].max, &clean), 0);
                assert_string_equal(clean, rows[i].clean);
                assert_true(strlen(clean) <= rows[i].max);
                assert_true(text_is_utf8(clean, strlen(clean)));
                free(clean);
        }
        assert_int_equal(text_characters("aü€😀"), 4);
        assert_int_equal(text_prefix("aü€😀", 2), 3);
        assert_int_equal(text_prefix("aü€😀", 9), 10);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_kinds),
                cmocka_unit_test(test_complaints),
                cmocka_unit_test(test_digest),
                cmocka_unit_test(test_clean),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
