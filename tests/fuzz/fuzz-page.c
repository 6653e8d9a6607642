/* Where a list goes on: lines of X-Next-Page and Link. A token never follows a link to another host. */

#include "agent/core/page.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        uint8_t how = fuzz_take(&data, &size);
        Reply reply = {.transport = TRANSPORT_OK, .status = 200};
        int64_t number = how % 4;
        Page page = {0};

        reply.next_page = fuzz_take_line(&data, &size);
        reply.link = size > 0 ? fuzz_text(data, size) : NULL;
        HOLDS(page_next(&reply, "https://gitlab.example.com/sub", number, how & 4 ? "cursor" : NULL, &page) == 0);
        if (page.kind == PAGE_NUMBER)
                HOLDS(page.number > number);
        if (page.kind == PAGE_CURSOR)
                HOLDS(page.cursor && *page.cursor);
        fuzz_holds_no_control(page.cursor);
        fuzz_holds_no_control(page.host);
        page_done(&page);
        reply_done(&reply);
        return 0;
}
