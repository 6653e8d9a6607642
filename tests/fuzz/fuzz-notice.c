/* What a cloud's metadata service says, and whoever answers in its place: notices have bounds, and their references,
 * which go to the hook and to the log, hold no control characters. */

#include "agent/core/notice.h"
#include "tests/fuzz/fuzz.h"

static void check_notices(const Secret *body)
{
        static const NoticeDecoder decoders[] = {notice_decode_aws_action, notice_decode_aws_rebalance,
                notice_decode_aws_lifecycle, notice_decode_gcp_preempted, notice_decode_gcp_maintenance,
                notice_decode_azure};
        const NoticeContext context = {{1787392800 * USEC_PER_SEC, USEC_PER_DAY}, "vm-1"};

        for (size_t i = 0; i < ELEMENTS(decoders); i++) {
                CloudNotice notices[CLOUD_NOTICES_MAX] = {0};
                size_t n = 0;

                int r = decoders[i](body, &context, notices, &n);
                HOLDS(r == 0 || r == -EBADMSG);
                HOLDS(n <= CLOUD_NOTICES_MAX);
                for (size_t k = 0; r == 0 && k < n; k++) {
                        HOLDS(cloud_notice_kind_to_string(notices[k].kind));
                        HOLDS(memchr(notices[k].reference, 0, CLOUD_NOTICE_REFERENCE_MAX));
                        fuzz_holds_no_control(notices[k].reference);
                        HOLDS(cloud_notice_same(&notices[k], &notices[k]));
                        HOLDS(!cloud_notice_is_news(&notices[k], &notices[k]));
                }
        }
}

static void check_aws(const Secret *body)
{
        _cleanup_secret_ Secret *key = NULL, *session = NULL, *form = fuzz_secret("Action=x", 8);
        LifecycleHooks hooks = {0};

        if (notice_decode_lifecycle_hooks(body, &hooks) == 0) {
                HOLDS(hooks.n <= LIFECYCLE_HOOKS_MAX);
                for (size_t i = 0; i < hooks.n; i++) {
                        HOLDS(memchr(hooks.names[i], 0, LIFECYCLE_NAME_MAX));
                        HOLDS(notice_form_add(form, "LifecycleHookName", hooks.names[i]) == 0);
                }
                fuzz_holds_no_control(secret_data(form));
        }
        /* Headers can't hold line breaks. */
        if (notice_decode_aws_credentials(body, &key, &session) == 0) {
                fuzz_holds_no_control(secret_data(key));
                fuzz_holds_no_control(secret_data(session));
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_secret_ Secret *body = fuzz_secret(data, size);

        check_notices(body);
        check_aws(body);
        return 0;
}
