/* Where a list goes on, and where it must not. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "agent/core/page.h"

#define URL "https://gitlab.example.com/sub"

typedef struct Row {
        const char *next_page;
        const char *link;
        int64_t number; /* 0: keyset */
        const char *cursor;
        PageKind kind;
        int64_t next;
        const char *next_cursor;
} Row;

static void check(const char *url, const Row *rows, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                const Row *row = &rows[i];
                Reply reply = {.next_page = (char *)row->next_page, .link = (char *)row->link};
                Page page;

                assert_int_equal(page_next(&reply, url, row->number, row->cursor, &page), 0);
                if (page.kind != row->kind)
                        fail_msg("row %zu: %d, expected %d", i, page.kind, row->kind);
                if (row->kind == PAGE_NUMBER)
                        assert_int_equal(page.number, row->next);
                if (row->kind == PAGE_CURSOR)
                        assert_string_equal(page.cursor, row->next_cursor);
                assert_true((page.host != NULL) == (row->kind == PAGE_FOREIGN));
                page_done(&page);
        }
}

#define CHECK(url, rows) check(url, rows, sizeof(rows) / sizeof((rows)[0]))
#define NEXT(target)     "<" URL "/x?page=1>; rel=\"prev\", <" target ">; rel=\"next\", <" URL "/x?page=9>; rel=\"last\""

static void test_numbers(void **state)
{
        static const Row rows[] = {
                {"2", NULL, 1, NULL, PAGE_NUMBER, 2, NULL},
                {"100000", NULL, 99999, NULL, PAGE_NUMBER, 100000, NULL},
                {"", NULL, 1, NULL, PAGE_LAST, 0, NULL},
                /* The number wins over the link, wherever that leads. */
                {"", NEXT("https://evil.example.com/x?page=2"), 1, NULL, PAGE_LAST, 0, NULL},
                {"2", NEXT("https://evil.example.com/x?page=2"), 1, NULL, PAGE_NUMBER, 2, NULL},
                {NULL, NULL, 1, NULL, PAGE_LAST, 0, NULL},
                /* In a circle, or nowhere. */
                {"1", NULL, 1, NULL, PAGE_BROKEN, 0, NULL},
                {"1", NULL, 2, NULL, PAGE_BROKEN, 0, NULL},
                {"0", NULL, 1, NULL, PAGE_BROKEN, 0, NULL},
                {"-2", NULL, 1, NULL, PAGE_BROKEN, 0, NULL},
                {"2x", NULL, 1, NULL, PAGE_BROKEN, 0, NULL},
                {"99999999999999999999", NULL, 1, NULL, PAGE_BROKEN, 0, NULL},
        };

        CHECK(URL, rows);
}

static void test_links(void **state)
{
        static const Row rows[] = {
                {NULL, NEXT(URL "/api/v4/runners?page=2&per_page=100"), 1, NULL, PAGE_NUMBER, 2, NULL},
                {NULL, NEXT(URL "/api/v4/runners?a=page=7&page=3"), 2, NULL, PAGE_NUMBER, 3, NULL},
                {NULL, NEXT("HTTPS://GitLab.Example.COM:443/x?page=2"), 1, NULL, PAGE_NUMBER, 2, NULL},
                {NULL, "<" URL "/x?page=1>; rel=\"first\"", 1, NULL, PAGE_LAST, 0, NULL},
                {NULL, NEXT(URL "/x?page=1"), 1, NULL, PAGE_BROKEN, 0, NULL},
                {NULL, NEXT(URL "/x"), 1, NULL, PAGE_BROKEN, 0, NULL},
                {NULL, NEXT("/api/v4/runners?page=2"), 1, NULL, PAGE_BROKEN, 0, NULL},
                {NULL, "<", 1, NULL, PAGE_LAST, 0, NULL},
                /* Elsewhere. */
                {NULL, NEXT("https://evil.example.com/sub/x?page=2"), 1, NULL, PAGE_FOREIGN, 0, NULL},
                {NULL, NEXT("https://gitlab.example.com.evil.org/x?page=2"), 1, NULL, PAGE_FOREIGN, 0, NULL},
                {NULL, NEXT("https://gitlab.example.com:8443/x?page=2"), 1, NULL, PAGE_FOREIGN, 0, NULL},
                {NULL, NEXT("http://gitlab.example.com/x?page=2"), 1, NULL, PAGE_FOREIGN, 0, NULL},
                {NULL, NEXT("https://gitlab.example.com@evil.org/x?page=2"), 1, NULL, PAGE_BROKEN, 0, NULL},
                {NULL, NEXT("https://gitlab.example.com\\@evil.org/x?page=2"), 1, NULL, PAGE_NUMBER, 2, NULL},
        };

        CHECK(URL, rows);
}

static void test_cursors(void **state)
{
        static const Row rows[] = {
                {NULL, NEXT(URL "/x?cursor=eyJpZCI6IjEifQ%3D%3D&per_page=2"), 0, NULL, PAGE_CURSOR, 0,
                        "eyJpZCI6IjEifQ=="},
                {NULL, NEXT(URL "/x?per_page=2&cursor=b"), 0, "a", PAGE_CURSOR, 0, "b"},
                {NULL, NEXT(URL "/x?cursor=a"), 0, "a", PAGE_BROKEN, 0, NULL},
                {NULL, NEXT(URL "/x?xcursor=a"), 0, NULL, PAGE_BROKEN, 0, NULL},
                {NULL, NEXT(URL "/x?cursor="), 0, NULL, PAGE_BROKEN, 0, NULL},
                {NULL, NEXT(URL "/x?cursor=%0a"), 0, NULL, PAGE_BROKEN, 0, NULL},
                {NULL, NEXT(URL "/x?cursor=%0"), 0, NULL, PAGE_BROKEN, 0, NULL},
                {NULL, NEXT("https://evil.example.com/x?cursor=b"), 0, NULL, PAGE_FOREIGN, 0, NULL},
                /* Keyset pages have no numbers, whatever else is sent. */
                {"2", NULL, 0, NULL, PAGE_LAST, 0, NULL},
        };

        CHECK(URL, rows);
}

static void test_ports(void **state)
{
        static const Row rows[] = {
                {NULL, NEXT("http://[::1]:8080/x?page=2"), 1, NULL, PAGE_NUMBER, 2, NULL},
                {NULL, NEXT("http://[::1]/x?page=2"), 1, NULL, PAGE_FOREIGN, 0, NULL},
        };
        static const Row plain[] = {
                {NULL, NEXT("http://localhost:80/x?page=2"), 1, NULL, PAGE_NUMBER, 2, NULL},
        };

        CHECK("http://[::1]:8080", rows);
        CHECK("http://localhost", plain);
}

static void test_smaller(void **state)
{
        /* Rows read so far stay whole pages. */
        for (unsigned rows = 1; rows <= PAGE_ROWS_MAX; rows++) {
                unsigned smaller = page_smaller(rows);

                assert_true(rows == 1 ? smaller == 0 : smaller > 0 && smaller < rows && rows % smaller == 0);
        }
        assert_int_equal(page_smaller(100), 50);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_numbers),
                cmocka_unit_test(test_links),
                cmocka_unit_test(test_cursors),
                cmocka_unit_test(test_ports),
                cmocka_unit_test(test_smaller),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
