#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/base/cleanup.h"
#include "agent/base/url.h"

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
                {" https://gitlab.example.com", "holds a blank"},
                {"\thttps://gitlab.example.com", "holds a blank"},
                {"https://gitlab.example.com ", "holds a blank"},
                {"https://gitlab.example.com/\n", "control"},
                {"gitlab.example.com", "no scheme"},
                {"ftp://gitlab.example.com", "scheme other than"},
                {"file:///etc/passwd", "scheme other than"},
                {"https:/gitlab.example.com", "no scheme"},
                {"https://", "no valid host"},
                {"https:///path", "no valid host"},
                {"https://:8080", "no valid host"},
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
                {"https://[::1", "no valid host"},
                {"https://[]", "no valid host"},
                {"https://[::g]", "no valid host"},
                {"https://[::1]x", "no valid host"},
                {"https://a[b/", "no valid host"},
                {"https://${HOST}/", "`$`"},
                {"https://gitlab.example.com/%zz", "`%`"},
                {"https://gitlab.example.com/%2", "`%`"},
                {"https://gitlab.example.com\\x", "no url has"},
                {"https://g\xC3\xA4.example.com", "ASCII"},
                {"https://ci", "bare host `ci`"},
                {"http://ci//", "bare host `ci`"},
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
        memcpy(url, "https://a/", 10);
        url[URL_SIZE_MAX] = 0;
        assert_int_equal(url_check(url, NULL), 0);
        url[URL_SIZE_MAX] = 'a';
        url[URL_SIZE_MAX + 1] = 0;
        assert_int_equal(url_check(url, NULL), -EINVAL);
}

/* Where a token would be read by everybody on the way. */
static void test_exposed(void **state)
{
        static const struct {
                const char *url;
                bool exposed;
        } cases[] = {
                {"https://gitlab.example.com", false},
                {"https://gitlab.example.com/", false},
                {"https://gitlab.example.com/ci", false},
                {"https://gitlab.example.com:8443/git/lab", false},
                {"HTTPS://GitLab.Example.Com", false},
                {"https://[2001:db8::1]:443/", false},
                {"https://10.0.0.1", false},
                {"http://gitlab.example.com", true},
                {"http://localhost", false},
                {"http://localhost:8080/gitlab", false},
                {"http://LOCALHOST.", false},
                {"http://gitlab.localhost", false},
                {"http://127.0.0.1:3000", false},
                {"http://127.1.2.3", false},
                {"http://[::1]:3000", false},
                {"http://localhost.example.com", true},
                {"http://notlocalhost", true},
                {"http://127.0.0.1.example.com", true},
                {"http://127.0.0.256", true},
                {"http://127.0.0", true},
                {"http://128.0.0.1", true},
                {"http://[::2]", true},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                assert_int_equal(url_check(cases[i].url, NULL), 0);
                if (url_is_exposed(cases[i].url) != cases[i].exposed)
                        fail_msg("%s", cases[i].url);
        }
}

static void test_identity(void **state)
{
        static const char *const alike[][2] = {
                {"https://gitlab.example.com", "https://gitlab.example.com/"},
                {"https://gitlab.example.com", "https://gitlab.example.com///"},
                {"https://gitlab.example.com/ci", "https://gitlab.example.com"},
                {"https://gitlab.example.com/ci/", "https://gitlab.example.com/"},
                {"HTTPS://GITLAB.example.com/x", "https://gitlab.example.com/x"},
        };
        static const char *const unlike[][2] = {
                {"https://gitlab.example.com", "http://gitlab.example.com"},
                {"https://gitlab.example.com/x", "https://gitlab.example.com/X"},
                {"https://gitlab.example.com/ci/ci", "https://gitlab.example.com"},
                {"https://gitlab.example.com/x", "https://gitlab.example.com"},
                {"https://gitlab.example.com:443", "https://gitlab.example.com"},
        };

        for (size_t i = 0; i < ELEMENTS(alike); i++)
                assert_true(url_equal(alike[i][0], alike[i][1]));
        for (size_t i = 0; i < ELEMENTS(unlike); i++) {
                assert_false(url_equal(unlike[i][0], unlike[i][1]));
                /* An order needs both directions. */
                assert_true((url_compare(unlike[i][0], unlike[i][1]) < 0) ==
                            (url_compare(unlike[i][1], unlike[i][0]) > 0));
        }
        assert_false(url_equal(NULL, NULL));
}

static void test_proxies(void **state)
{
        static const struct {
                const char *url;
                int result;
                bool secret;
        } cases[] = {
                {"http://proxy:3128", 0, false},
                {"https://proxy.example.com/", 0, false},
                {"socks5h://[::1]:1080", 0, false},
                {"http://user:pass@proxy:3128", 0, true},
                {"proxy:3128", -EINVAL, false},
                {"ftp://proxy", -EINVAL, false},
                {"http://proxy/path", -EINVAL, false},
                {"http://pro xy", -EINVAL, false},
                {"http://", -EINVAL, false},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                bool secret = false;

                assert_int_equal(url_check_proxy(cases[i].url, &secret, NULL), cases[i].result);
                assert_int_equal(secret, cases[i].secret);
        }
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

static void test_join(void **state)
{
        _cleanup_free_ char *plain = NULL, *deep = NULL, *bad = NULL;

        assert_int_equal(url_join("https://gitlab.example.com/", "/api/v4/", &plain), 0);
        assert_string_equal(plain, "https://gitlab.example.com/api/v4/");
        assert_int_equal(url_join("http://[::1]:3000/sub/ci//", "/api/v4/", &deep), 0);
        assert_string_equal(deep, "http://[::1]:3000/sub/api/v4/");
        assert_int_equal(url_join("https://a@b", "/api/v4/", &bad), -EINVAL);
        assert_null(bad);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_check_takes),
                cmocka_unit_test(test_check_refuses),
                cmocka_unit_test(test_check_bounds_length),
                cmocka_unit_test(test_exposed),
                cmocka_unit_test(test_identity),
                cmocka_unit_test(test_proxies),
                cmocka_unit_test(test_normalize),
                cmocka_unit_test(test_join),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
