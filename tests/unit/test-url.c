#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/base/cleanup.h"
#include "agent/core/url.h"

static void test_check_takes(void **state)
{
        static const char *const urls[] = {
                "https://gitlab.example.com",
                "https://gitlab.example.com/",
                "http://localhost:8080/gitlab/ci",
                "HTTPS://GitLab.Example.COM:65535/",
                "http://[::1]:3000/",
                "http://[fe80::1]",
                "http://127.0.0.1",
                "https://gitlab.example.com/a%20b/~c/",
                "http://ci:8080",
                "http://ci.example.com/ci",
                NULL,
        };

        for (size_t i = 0; urls[i]; i++) {
                char *message = NULL;

                assert_int_equal(url_check(urls[i], &message), 0);
                assert_null(message);
        }
}

static void test_check_refuses(void **state)
{
        static const struct {
                const char *url;
                const char *says;
        } cases[] = {
                {NULL, "empty"},
                {"", "empty"},
                {" https://gitlab.example.com", "begins with a blank"},
                {"\thttps://gitlab.example.com", "begins with a blank"},
                {"https://gitlab.example.com ", "holds a blank"},
                {"https://gitlab.example.com/\n", "holds a blank"},
                {"gitlab.example.com", "neither https:// nor http://"},
                {"ftp://gitlab.example.com", "neither https:// nor http://"},
                {"file:///etc/passwd", "neither https:// nor http://"},
                {"https:/gitlab.example.com", "neither https:// nor http://"},
                {"https://", "names no host"},
                {"https:///path", "names no host"},
                {"https://:8080", "names no host"},
                {"https://user:pass@gitlab.example.com", "credentials"},
                {"https://glrt-x@gitlab.example.com/", "credentials"},
                {"https://gitlab.example.com/?a=b", "query"},
                {"https://gitlab.example.com?", "query"},
                {"https://gitlab.example.com/#x", "fragment"},
                {"https://gitlab.example.com:0/", "port"},
                {"https://gitlab.example.com:65536/", "port"},
                {"https://gitlab.example.com:/", "port"},
                {"https://gitlab.example.com:80a/", "port"},
                {"https://gitlab.example.com:99999999999999999999/", "port"},
                {"https://[::1", "'['"},
                {"https://[]", "'['"},
                {"https://[::g]", "address"},
                {"https://[::1]x", "no port"},
                {"https://a[b/", "'['"},
                {"https://${HOST}/", "'$'"},
                {"https://gitlab.example.com/%zz", "'%'"},
                {"https://gitlab.example.com/%2", "'%'"},
                {"https://gitlab.example.com\\x", "escaped"},
                {"https://g\xC3\xA4.example.com", "escaped"},
                {"https://ci", "bare host 'ci'"},
                {"http://ci//", "bare host 'ci'"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *message = NULL;

                assert_int_equal(url_check(cases[i].url, &message), -EINVAL);
                assert_non_null(message);
                if (!strstr(message, cases[i].says))
                        fail_msg("%s: %s", cases[i].url ? cases[i].url : "NULL", message);
                assert_null(strstr(message, "pass"));
                assert_int_equal(url_check(cases[i].url, NULL), -EINVAL);
        }
}

static void test_check_bounds_length(void **state)
{
        char url[URL_SIZE_MAX + 2];

        memset(url, 'a', sizeof(url));
        memcpy(url, "https://", 8);
        url[URL_SIZE_MAX] = 0;
        assert_int_equal(url_check(url, NULL), 0);
        url[URL_SIZE_MAX] = 'a';
        url[URL_SIZE_MAX + 1] = 0;
        assert_int_equal(url_check(url, NULL), -EINVAL);
}

/* Rows of gitlab-runner's normalisation: trailing slashes, then one `/ci`. */
static void test_normalize(void **state)
{
        static const char *const cases[][2] = {
                {"https://gitlab.example.com", "https://gitlab.example.com"},
                {"https://gitlab.example.com/", "https://gitlab.example.com"},
                {"https://gitlab.example.com///", "https://gitlab.example.com"},
                {"https://gitlab.example.com/ci", "https://gitlab.example.com"},
                {"https://gitlab.example.com/ci/", "https://gitlab.example.com"},
                {"https://gitlab.example.com/ci/ci", "https://gitlab.example.com/ci"},
                {"https://gitlab.example.com//ci", "https://gitlab.example.com/"},
                {"https://gitlab.example.com/CI", "https://gitlab.example.com/CI"},
                {"https://gitlab.example.com/xci", "https://gitlab.example.com/xci"},
                {"https://gitlab.example.com:8443/Sub/", "https://gitlab.example.com:8443/Sub"},
                {"HTTPS://GitLab.Example.com/Sub", "https://gitlab.example.com/Sub"},
                {"nonsense", "nonsense"},
                {"", ""},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *normal = NULL;

                assert_int_equal(url_normalize(cases[i][0], &normal), 0);
                assert_string_equal(normal, cases[i][1]);
                for (size_t k = 0; k < ELEMENTS(cases); k++)
                        assert_int_equal(url_equal(cases[i][0], cases[k][0]), strcmp(cases[i][1], cases[k][1]) == 0);
        }
        assert_false(url_equal(NULL, NULL));
        assert_false(url_equal("https://x", NULL));
}

static void test_api_base(void **state)
{
        _cleanup_free_ char *plain = NULL, *deep = NULL, *bad = NULL;

        assert_int_equal(url_api_base("https://gitlab.example.com/", &plain), 0);
        assert_string_equal(plain, "https://gitlab.example.com/api/v4/");
        assert_int_equal(url_api_base("http://[::1]:3000/sub/ci//", &deep), 0);
        assert_string_equal(deep, "http://[::1]:3000/sub/api/v4/");
        assert_int_equal(url_api_base("https://a@b", &bad), -EINVAL);
        assert_null(bad);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_check_takes),
                cmocka_unit_test(test_check_refuses),
                cmocka_unit_test(test_check_bounds_length),
                cmocka_unit_test(test_normalize),
                cmocka_unit_test(test_api_base),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
