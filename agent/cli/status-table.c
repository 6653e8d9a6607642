/* The table of `status` for people, from the same object that --json prints. */

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "agent/base/time.h"
#include "agent/cli/cli.h"

enum { COLUMN_NAME, COLUMN_STATE, COLUMN_ID, COLUMN_EXPIRES, COLUMN_VERDICT, COLUMN_NEXT, _COLUMN_MAX };

#define CELL_MAX 96

typedef struct Row {
        char cells[_COLUMN_MAX][CELL_MAX];
} Row;

static const char *text_of(const json_t *object, const char *key)
{
        const char *text = json_string_value(json_object_get(object, key));

        return text ? text : "";
}

/* "in 3d 4h", "2min ago", or "" where the key has no time. */
static void span_cell(const json_t *object, const char *key, Now now, char cell[static CELL_MAX])
{
        const char *text = text_of(object, key);
        char span[TIME_SPAN_MAX];
        uint64_t at;

        cell[0] = 0;
        if (!*text || time_parse_rfc3339(text, strlen(text), &at) < 0)
                return;
        if (at >= now.realtime_usec)
                (void)snprintf(cell, CELL_MAX, "in %s", time_format_span(at - now.realtime_usec, span));
        else
                (void)snprintf(cell, CELL_MAX, "%s ago", time_format_span(now.realtime_usec - at, span));
}

static void fill_row(const json_t *runner, Now now, Row *row)
{
        const char *next = text_of(runner, "next_action");
        char at[CELL_MAX];

        *row = (Row){};
        (void)snprintf(row->cells[COLUMN_NAME], CELL_MAX, "%s", text_of(runner, "name"));
        (void)snprintf(row->cells[COLUMN_STATE], CELL_MAX, "%s", text_of(runner, "state"));
        if (json_is_integer(json_object_get(runner, "runner_id")))
                (void)snprintf(row->cells[COLUMN_ID], CELL_MAX, "%lld",
                        (long long)json_integer_value(json_object_get(runner, "runner_id")));
        span_cell(runner, "token_expires_at", now, row->cells[COLUMN_EXPIRES]);
        (void)snprintf(row->cells[COLUMN_VERDICT], CELL_MAX, "%s", text_of(runner, "last_verdict"));
        span_cell(runner, "next_action_at", now, at);
        if (*next)
                (void)snprintf(row->cells[COLUMN_NEXT], CELL_MAX, "%s%s%.40s", next, *at ? " " : "", at);
}

static void print_row(const Row *row, const int *widths)
{
        for (size_t i = 0; i < _COLUMN_MAX; i++)
                if (i + 1 < _COLUMN_MAX)
                        (void)printf("%-*s  ", widths[i], row->cells[i]);
                else
                        (void)printf("%s\n", row->cells[i]);
}

static void print_debts(const json_t *runner)
{
        const json_t *debt;
        size_t i;

        json_array_foreach(json_object_get(runner, "debts"), i, debt)
                (void)printf("    owes GitLab the deletion of a %s since %s: %s\n", text_of(debt, "kind"),
                        text_of(debt, "since"), text_of(debt, "reason"));
}

int cli_status_print(const char *json)
{
        static const Row head = {
                .cells = { "NAME", "STATE", "ID", "EXPIRES", "LAST VERDICT", "NEXT" },
        };
        int widths[_COLUMN_MAX];
        json_t *status = json_loads(json, 0, NULL);
        const json_t *runners = json_object_get(status, "runners"), *runner;
        size_t i;
        Now now;

        if (!json_is_array(runners)) {
                json_decref(status);
                return EXIT_FAILED;
        }
        now_read(&now);
        _cleanup_free_ Row *rows = calloc(json_array_size(runners) + 1, sizeof(*rows));
        if (!rows) {
                json_decref(status);
                return EXIT_FAILED;
        }
        for (size_t column = 0; column < _COLUMN_MAX; column++)
                widths[column] = (int)strlen(head.cells[column]);
        json_array_foreach(runners, i, runner) {
                fill_row(runner, now, &rows[i]);
                for (size_t column = 0; column < _COLUMN_MAX; column++)
                        if ((int)strlen(rows[i].cells[column]) > widths[column])
                                widths[column] = (int)strlen(rows[i].cells[column]);
        }
        print_row(&head, widths);
        json_array_foreach(runners, i, runner) {
                print_row(&rows[i], widths);
                if (*text_of(runner, "reason"))
                        (void)printf("    %s\n", text_of(runner, "reason"));
                print_debts(runner);
        }
        json_decref(status);
        return EXIT_DONE;
}
