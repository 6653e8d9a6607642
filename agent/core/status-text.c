/* The table of `status`. */

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/core/status.h"
#include "agent/core/text.h"

#define CELL_MAX 120
#define LINE_MAX 1024

typedef enum Column {
        COLUMN_NAME,
        COLUMN_STATE,
        COLUMN_ID,
        COLUMN_EXPIRES,
        COLUMN_VERDICT,
        COLUMN_NEXT,
        _COLUMN_MAX,
} Column;

static const char *const titles[_COLUMN_MAX] = {
        [COLUMN_NAME] = "NAME",
        [COLUMN_STATE] = "STATE",
        [COLUMN_ID] = "ID",
        [COLUMN_EXPIRES] = "EXPIRES",
        [COLUMN_VERDICT] = "VERDICT",
        [COLUMN_NEXT] = "NEXT",
};

typedef struct Line {
        char *cells[_COLUMN_MAX];
} Line;

typedef struct Table {
        Line *lines;
        size_t n_lines;
        size_t widths[_COLUMN_MAX];
} Table;

static void table_done(Table *table)
{
        for (size_t i = 0; i < table->n_lines; i++)
                for (int c = 0; c < _COLUMN_MAX; c++)
                        free(table->lines[i].cells[c]);
        free(table->lines);
}

/* `in 3d 4h`, `2min 5s ago`. */
static const char *format_distance(uint64_t at_usec, Now now, char buffer[static TIME_SPAN_MAX + 8])
{
        char span[TIME_SPAN_MAX];
        bool ahead = at_usec > now.realtime_usec;
        uint64_t distance = ahead ? at_usec - now.realtime_usec : now.realtime_usec - at_usec;

        /* Nobody wants to read milliseconds here. */
        distance -= distance % USEC_PER_SEC;
        if (distance == 0)
                (void)snprintf(buffer, TIME_SPAN_MAX + 8, "now");
        else
                (void)snprintf(
                        buffer, TIME_SPAN_MAX + 8, ahead ? "in %s" : "%s ago", time_format_span(distance, span));
        return buffer;
}

static int set_cell(Line *line, Column column, const char *format, ...) _printf_(3, 4);
static int set_cell(Line *line, Column column, const char *format, ...)
{
        char text[LINE_MAX];
        va_list arguments;

        va_start(arguments, format);
        (void)vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);
        /* Names, words and reasons may come from a file or from GitLab: nothing of it drives the terminal. */
        return text_clean(text, strlen(text), CELL_MAX, &line->cells[column]);
}

static int fill_expires(const RunnerStatus *runner, Now now, Line *line)
{
        char distance[TIME_SPAN_MAX + 8];

        if (runner->token_expires_at_usec > 0)
                return set_cell(
                        line, COLUMN_EXPIRES, "%s", format_distance(runner->token_expires_at_usec, now, distance));
        return set_cell(line, COLUMN_EXPIRES, "%s", runner->token_obtained_at_usec > 0 ? "never" : "-");
}

static int fill_verdict(const RunnerStatus *runner, Now now, Line *line)
{
        char distance[TIME_SPAN_MAX + 8];

        if (!runner->last_verdict)
                return set_cell(line, COLUMN_VERDICT, "-");
        if (runner->last_verified_at_usec == 0 || strcmp(runner->last_verdict, "alive") != 0)
                return set_cell(line, COLUMN_VERDICT, "%s", runner->last_verdict);
        return set_cell(line, COLUMN_VERDICT, "%s %s", runner->last_verdict,
                format_distance(runner->last_verified_at_usec, now, distance));
}

static int fill_next(const RunnerStatus *runner, Now now, Line *line)
{
        char distance[TIME_SPAN_MAX + 8];

        if (!runner->next_action)
                return set_cell(line, COLUMN_NEXT, "-");
        if (runner->next_action_at_usec == 0)
                return set_cell(line, COLUMN_NEXT, "%s", runner->next_action);
        /* What is overdue is about to be done. */
        if (runner->next_action_at_usec <= now.realtime_usec)
                return set_cell(line, COLUMN_NEXT, "%s now", runner->next_action);
        return set_cell(line, COLUMN_NEXT, "%s %s", runner->next_action,
                format_distance(runner->next_action_at_usec, now, distance));
}

static int fill_line(const RunnerStatus *runner, Now now, Line *line)
{
        int r = set_cell(line, COLUMN_NAME, "%s", runner->name);

        if (r >= 0)
                r = set_cell(line, COLUMN_STATE, "%s", runner_state_to_string(runner->state));
        if (r >= 0)
                r = runner->runner_id > 0 ? set_cell(line, COLUMN_ID, "%" PRId64, runner->runner_id)
                                          : set_cell(line, COLUMN_ID, "-");
        if (r >= 0)
                r = fill_expires(runner, now, line);
        if (r >= 0)
                r = fill_verdict(runner, now, line);
        if (r >= 0)
                r = fill_next(runner, now, line);
        return r;
}

static int fill_table(const AgentStatus *status, Now now, Table *table)
{
        int r = 0;

        table->lines = calloc(status->n_runners + 1, sizeof(*table->lines));
        if (!table->lines)
                return -ENOMEM;
        for (int c = 0; c < _COLUMN_MAX; c++)
                table->widths[c] = text_characters(titles[c]);
        for (size_t i = 0; r >= 0 && i < status->n_runners; i++) {
                table->n_lines++;
                r = fill_line(&status->runners[i], now, &table->lines[i]);
                for (int c = 0; r >= 0 && c < _COLUMN_MAX; c++) {
                        size_t width = text_characters(table->lines[i].cells[c]);
                        if (width > table->widths[c])
                                table->widths[c] = width;
                }
        }
        return r;
}

/* The last column is not padded: no line ends in blanks. */
static void print_line(const Table *table, const char *const cells[static _COLUMN_MAX], FILE *out)
{
        for (int c = 0; c < _COLUMN_MAX - 1; c++)
                (void)fprintf(out, "%s%*s", cells[c], (int)(table->widths[c] - text_characters(cells[c]) + 2), "");
        (void)fprintf(out, "%s\n", cells[_COLUMN_MAX - 1]);
}

static int print_note(FILE *out, const char *format, ...) _printf_(2, 3);
static int print_note(FILE *out, const char *format, ...)
{
        _cleanup_free_ char *clean = NULL;
        char text[LINE_MAX];
        va_list arguments;

        va_start(arguments, format);
        (void)vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);
        int r = text_clean(text, strlen(text), LINE_MAX, &clean);
        if (r < 0)
                return r;
        (void)fprintf(out, "  %s\n", clean);
        return 0;
}

static int print_debt(const Debt *debt, Now now, FILE *out)
{
        char distance[TIME_SPAN_MAX + 8], id[32] = "", since[TIME_SPAN_MAX + 16] = "";

        if (debt->runner_id > 0)
                (void)snprintf(id, sizeof(id), " of runner %" PRId64, debt->runner_id);
        if (debt->kind == DEBT_RUNNER && debt->runner_id > 0)
                (void)snprintf(id, sizeof(id), " %" PRId64, debt->runner_id);
        if (debt->since_usec > 0)
                (void)snprintf(since, sizeof(since), ", since %s", format_distance(debt->since_usec, now, distance));
        return print_note(out, "owed: %s%s%s%s%s%s%s", debt_kind_to_string(debt->kind), debt->system_id ? " " : "",
                debt->system_id ? debt->system_id : "", id, since, debt->reason ? ": " : "",
                debt->reason ? debt->reason : "");
}

static int print_runner(const Table *table, size_t i, const RunnerStatus *runner, Now now, FILE *out)
{
        int r = 0;

        print_line(table, (const char *const *)table->lines[i].cells, out);
        if (runner->reason && runner->attempt > 0)
                r = print_note(out, "reason: %s (attempt %u)", runner->reason, runner->attempt);
        else if (runner->reason)
                r = print_note(out, "reason: %s", runner->reason);
        for (size_t d = 0; r >= 0 && d < runner->n_debts; d++)
                r = print_debt(&runner->debts[d], now, out);
        return r;
}

int status_format_text(const AgentStatus *status, Now now, char **ret)
{
        _cleanup_(table_done) Table table = {0};
        _cleanup_free_ char *text = NULL;
        size_t size = 0;

        int r = fill_table(status, now, &table);
        if (r < 0)
                return r;
        FILE *out = open_memstream(&text, &size);
        if (!out)
                return -ENOMEM;
        if (status->n_runners > 0)
                print_line(&table, titles, out);
        else
                (void)fputs("No runners.\n", out);
        for (size_t i = 0; r >= 0 && i < status->n_runners; i++)
                r = print_runner(&table, i, &status->runners[i], now, out);
        /* The only way for a stream in memory to fail is to run out of it. */
        bool failed = ferror(out) != 0;
        if (fclose(out) != 0 || failed)
                return -ENOMEM;
        if (r < 0)
                return r;
        *ret = take_ptr(text);
        return 0;
}
