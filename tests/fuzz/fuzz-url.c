/* A url, as configured or as found in config.toml: its forms agree with each other. */

#include "agent/base/url.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_free_ char *url = fuzz_text(data, size), *normal = NULL, *again = NULL, *base = NULL, *why = NULL;
        bool secret;

        HOLDS(url_normalize(url, &normal) == 0 && url_normalize(normal, &again) == 0);
        HOLDS(url_equal(url, url) && url_compare(url, url) == 0);
        if (url_check_proxy(url, &secret, NULL) == 0)
                fuzz_holds_no_control(url);
        int r = url_check(url, &why);
        HOLDS(r == 0 || (r == -EINVAL && why));
        HOLDS((url_join(url, "/api/v4/", &base) == 0) == (r == 0));
        if (r == 0) {
                fuzz_holds_no_control(url);
                /* One `/ci` goes, as in gitlab-runner: what stood before it may look like an end again. */
                if (strcmp(normal, again) == 0)
                        HOLDS(url_equal(url, normal));
        }
        return 0;
}
