/* What `runners` shows of a GitLab's objects: tokens are masked in whole JSON, and no cell holds what a terminal
 * obeys. */

#include "agent/base/time.h"
#include "agent/core/endpoint.h"
#include "agent/core/view.h"
#include "tests/fuzz/fuzz.h"

static void check_row(Slice row)
{
        for (View view = 0; view < _VIEW_MAX; view++)
                for (const Column *column = view_columns(view); column && column->header; column++) {
                        _cleanup_free_ char *cell = NULL, *cut = NULL;
                        Colour colour;

                        HOLDS(view_cell(column, row, 1787392800 * USEC_PER_SEC, &cell, &colour) == 0);
                        HOLDS(strlen(cell) <= VIEW_CELL_MAX && colour < _COLOUR_MAX);
                        fuzz_holds_no_control(cell);
                        HOLDS(view_cut(cell, 7, &cut) == 0 && view_width(cut) <= 7);
                }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const char *text = (const char *)data;
        _cleanup_secret_ Secret *masked = fuzz_secret("", 0);
        _cleanup_free_ char *words = NULL;
        Slice item, value = slice_of(text, size);
        unsigned rows = 0;

        /* On what is no JSON they find something odd, or nothing, within the bounds. */
        HOLDS(slice_mask(value, "token", masked) == 0);
        HOLDS(view_value(value, 1787392800 * USEC_PER_SEC, &words) == 0);
        if (slice_check(text, size)) {
                HOLDS(slice_check(secret_data(masked), secret_size(masked)));
                fuzz_holds_no_control(words);
        }
        check_row(value);
        for (SliceCursor cursor = slice_enter(value); rows < 4 && slice_next_item(&cursor, &item); rows++)
                check_row(item);
        return 0;
}
