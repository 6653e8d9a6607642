/* The journal: torn, or an answer that is written and read again to the same. A single other byte is noticed. */

#include "agent/core/record.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        Answer answer = {0}, again = {0};
        _cleanup_secret_ Secret *text = NULL, *text_again = NULL;

        int r = answer_decode((const char *)data, size, &answer);
        if (r < 0) {
                HOLDS(r == -EBADMSG);
                return 0;
        }
        HOLDS(answer.token && answer_encode(&answer, &text) == 0 && secret_size(text) <= ANSWER_SIZE_MAX);
        HOLDS(answer_decode(secret_data(text), secret_size(text), &again) == 0);
        HOLDS(answer_encode(&again, &text_again) == 0 && secret_equal(text, text_again));
        answer_done(&again);
        secret_buffer(text)[size % (secret_size(text) - 1)] ^= 1;
        HOLDS(answer_decode(secret_data(text), secret_size(text), &again) == -EBADMSG);
        answer_done(&answer);
        return 0;
}
