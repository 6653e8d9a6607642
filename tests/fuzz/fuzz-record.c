/* A state file: refused with a sentence, or read to something that is written and read again to the same. */

#include "agent/core/record.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_(record_freep) Record *record = NULL, *again = NULL;
        _cleanup_secret_ Secret *text = NULL, *text_again = NULL;
        _cleanup_free_ char *why = NULL;

        int r = record_decode((const char *)data, size, &record, &why);
        if (r < 0) {
                HOLDS(why && !record && (r == -EPROTONOSUPPORT || r == -EBADMSG));
                return 0;
        }
        HOLDS(record->n_debts <= RECORD_DEBTS_MAX && record_encode(record, &text) == 0);
        HOLDS(record_decode(secret_data(text), secret_size(text), &again, &why) == 0);
        HOLDS(record_encode(again, &text_again) == 0 && secret_equal(text, text_again));
        return 0;
}
