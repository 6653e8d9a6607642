/* Any JSON: a line at the control socket, a state, a reply. What is read is written and read again to the same, and
 * what reads is also whole for those who pass it through as it came. */

#include "agent/control-request.h"
#include "agent/core/json.h"
#include "agent/core/slice.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_json_ json_t *value = NULL, *again = NULL;
        _cleanup_secret_ Secret *text = NULL;

        int r = json_read((const char *)data, size, CONTROL_LINE_MAX, &value);
        if (r < 0) {
                HOLDS(r == -EBADMSG && !value);
                return 0;
        }
        HOLDS(slice_check((const char *)data, size));
        HOLDS(json_write(value, JSON_COMPACT, &text) == 0);
        /* Numbers may grow when they are written. */
        HOLDS(json_read(secret_data(text), secret_size(text), SIZE_MAX, &again) == 0 && json_equal(value, again));
        return 0;
}
