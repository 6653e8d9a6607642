/* What people read: ages, widths, cells. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/time.h"
#include "agent/core/view.h"

/* 2026-08-22T10:00:00Z */
#define NOW (UINT64_C(1787392800) * USEC_PER_SEC)

static Slice of(const char *text)
{
        return slice_of(text, strlen(text));
}

static void test_ages(void **state)
{
        static const struct {
                int64_t seconds;
                const char *text;
        } rows[] = {
                {0, "just now"},
                {-4, "just now"},
                {-5, "5 s ago"},
                {-59, "59 s ago"},
                {-60, "1 min ago"},
                {-3599, "59 min ago"},
                {-3 * 3600 - 5, "3 h ago"},
                {-86400, "1 d ago"},
                {-400 * 86400, "400 d ago"},
                {-1000 * 86400, "2 y ago"},
                {3 * 86400, "in 3 d"},
        };
        char buffer[VIEW_AGE_MAX];

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
                assert_string_equal(view_age(NOW + (uint64_t)(rows[i].seconds * (int64_t)USEC_PER_SEC), NOW, buffer),
                        rows[i].text);
}

static const Column *column_of(View view, const char *header)
{
        const Column *c = view_columns(view);

        while (strcmp(c->header, header) != 0)
                c++;
        return c;
}

static void check_cell(View view, const char *header, const char *row, const char *text, Colour colour)
{
        Colour got;
        char *cell = NULL;

        assert_int_equal(view_cell(column_of(view, header), of(row), NOW, &cell, &got), 0);
        assert_string_equal(cell, text);
        assert_int_equal(got, colour);
        free(cell);
}

static void test_cells(void **state)
{
        check_cell(VIEW_RUNNER, "ID", "{\"id\":7}", "7", COLOUR_NONE);
        check_cell(VIEW_RUNNER, "TYPE", "{\"runner_type\":\"group_type\"}", "group", COLOUR_NONE);
        check_cell(VIEW_RUNNER, "TYPE", "{}", "", COLOUR_NONE);
        check_cell(VIEW_RUNNER, "STATUS", "{\"status\":\"online\",\"active\":true}", "online", COLOUR_GREEN);
        check_cell(VIEW_RUNNER, "STATUS", "{\"status\":\"stale\",\"active\":false}", "stale, paused", COLOUR_RED);
        check_cell(VIEW_RUNNER, "STATUS", "{\"status\":\"paused\",\"active\":false}", "paused", COLOUR_YELLOW);
        check_cell(VIEW_RUNNER, "STATUS", "{\"status\":\"not_connected\"}", "not_connected", COLOUR_GREY);
        check_cell(VIEW_RUNNER, "STATUS", "{\"status\":\"never_contacted\"}", "never_contacted", COLOUR_GREY);
        check_cell(VIEW_RUNNER, "STATUS", "{\"status\":\"of_tomorrow\"}", "of_tomorrow", COLOUR_NONE);
        /* API v3 has no status. */
        check_cell(VIEW_RUNNER, "STATUS", "{\"active\":true}", "active", COLOUR_GREEN);
        check_cell(VIEW_RUNNER, "STATUS", "{\"active\":false}", "paused", COLOUR_YELLOW);
        check_cell(VIEW_RUNNER, "STATUS", "{}", "", COLOUR_NONE);
        check_cell(VIEW_RUNNER, "CREATED", "{\"created_at\":\"2026-08-22T07:00:00.203Z\"}", "2 h ago", COLOUR_NONE);
        check_cell(VIEW_RUNNER, "CREATED", "{\"created_at\":\"soon\"}", "soon", COLOUR_NONE);
        check_cell(VIEW_RUNNER, "DESCRIPTION", "{\"description\":null}", "", COLOUR_NONE);
        /* A description may hold anything, a terminal shall not obey it. */
        check_cell(VIEW_RUNNER, "DESCRIPTION", "{\"description\":\"a\\u001b[31m\\nb\"}", "a [31m b", COLOUR_NONE);
        check_cell(VIEW_JOB, "PROJECT", "{\"project\":{\"path_with_namespace\":\"a\\/b\"}}", "a/b", COLOUR_NONE);
        check_cell(VIEW_JOB, "PROJECT", "{\"project\":null}", "", COLOUR_NONE);
        check_cell(VIEW_JOB, "TOOK", "{\"duration\":90.7}", "1min 30s", COLOUR_NONE);
        check_cell(VIEW_JOB, "TOOK", "{\"duration\":0.5}", "500ms", COLOUR_NONE);
        check_cell(VIEW_JOB, "TOOK", "{\"duration\":null}", "", COLOUR_NONE);
}

static void test_values(void **state)
{
        static const struct {
                const char *json;
                const char *text;
        } rows[] = {
                {"98.70", "98.70"},
                {"null", ""},
                {"[\"a\",\"b c\"]", "a, b c"},
                {"[]", ""},
                {"[{\"id\":1,\"path_with_namespace\":\"acme/web\"},{\"id\":2,\"name\":\"x\"},{\"id\":3}]",
                        "acme/web, x, 3"},
                {"{\"username\":\"root\"}", "root"},
                {"\"2026-08-22T09:59:00.000Z\"", "2026-08-22T09:59:00.000Z (1 min ago)"},
                {"\"2026-08-22 is no time\"", "2026-08-22 is no time"},
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                char *text = NULL;

                assert_int_equal(view_value(of(rows[i].json), NOW, &text), 0);
                assert_string_equal(text, rows[i].text);
                free(text);
        }
}

static void test_widths(void **state)
{
        char *cut = NULL;

        assert_int_equal(view_width("abc"), 3);
        assert_int_equal(view_width("é…"), 2);
        assert_int_equal(view_width("日本"), 4);
        assert_int_equal(view_width("e\xcc\x81"), 1);
        assert_int_equal(view_width("😀"), 2);
        assert_int_equal(view_width("\xff"), 1);

        assert_int_equal(view_cut("abcdef", 4, &cut), 0);
        assert_string_equal(cut, "abc…");
        free(cut);
        assert_int_equal(view_cut("abcd", 4, &cut), 0);
        assert_string_equal(cut, "abcd");
        free(cut);
        assert_int_equal(view_cut("日本語", 4, &cut), 0);
        assert_string_equal(cut, "日…");
        free(cut);
        assert_int_equal(view_cut("abc", 0, &cut), 0);
        assert_string_equal(cut, "");
        free(cut);
}

static void test_fit(void **state)
{
        static const Column columns[] = {
                {"ID", CELL_NUMBER, "id", 0}, {"A", CELL_TEXT, "a", 10}, {"B", CELL_TEXT, "b", 8}};
        unsigned widths[] = {5, 60, 30};

        view_fit(columns, widths, 3, 0);
        assert_int_equal(widths[1], 60);
        view_fit(columns, widths, 3, 80);
        assert_int_equal(widths[0] + widths[1] + widths[2] + 4, 80);
        assert_int_equal(widths[0], 5);
        assert_int_equal(widths[2], 30);
        /* Below what can be: as narrow as may be, and no further. */
        view_fit(columns, widths, 3, 10);
        assert_int_equal(widths[0], 5);
        assert_int_equal(widths[1], 10);
        assert_int_equal(widths[2], 8);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_ages),
                cmocka_unit_test(test_cells),
                cmocka_unit_test(test_values),
                cmocka_unit_test(test_widths),
                cmocka_unit_test(test_fit),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
