#include "agent/cli/runners-output.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* A table is not laid out wider for a terminal that claims to be. */
#define ROOM_MAX 1000

/* Of a field's name in a list of fields. */
#define NAME_WIDTH 22

static unsigned terminal_width(void)
{
        const char *text = getenv("COLUMNS");
        struct winsize size;
        long columns = text ? strtol(text, NULL, 10) : 0;

        if (columns <= 0 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
                columns = size.ws_col;
        return columns > 0 ? (unsigned)(columns < ROOM_MAX ? columns : ROOM_MAX) : 80;
}

void output_open(Output *output, const Invocation *invocation, View view, bool list)
{
        const char *no_colour = getenv("NO_COLOR"), *terminal = getenv("TERM");
        bool tty = isatty(STDOUT_FILENO);

        *output = (Output){
                .stream = stdout,
                .format = invocation->format,
                .view = view,
                .list = list,
                .show_token = invocation->show_token,
                .colour = tty && !(no_colour && *no_colour) && !(terminal && strcmp(terminal, "dumb") == 0),
                .room = tty ? terminal_width() : 0,
        };
        if (output->format == FORMAT_AUTO)
                output->format = tty ? FORMAT_TABLE : FORMAT_JSON;
}

void output_say(Output *output, const char *format, ...)
{
        va_list arguments;

        if (output->format != FORMAT_TABLE)
                return;
        va_start(arguments, format);
        (void)vfprintf(output->stream, format, arguments);
        va_end(arguments);
        (void)fputc('\n', output->stream);
}

/* --- JSON */

static int print_json(Output *output, Slice row)
{
        _cleanup_secret_ Secret *text = NULL;
        const char *before = "", *behind = "\n";

        int r = secret_new(NULL, 0, &text);
        if (r >= 0)
                r = secret_reserve(text, row.size + 16);
        if (r >= 0)
                r = slice_mask(row, output->show_token ? NULL : "token", text);
        if (r < 0)
                return r;
        if (output->format == FORMAT_JSON && output->list) {
                before = output->n_rows == 0 ? "[" : ",\n";
                behind = "";
        }
        (void)fputs(before, output->stream);
        (void)fwrite(secret_data(text), 1, secret_size(text), output->stream);
        (void)fputs(behind, output->stream);
        return 0;
}

/* One object a line, whatever blanks its sender put into it. */
static int print_line(Output *output, Slice row)
{
        if (output->format != FORMAT_JSONL || !memchr(row.data, '\n', row.size))
                return print_json(output, row);

        /* Line breaks in JSON are always outside of strings. */
        _cleanup_secret_ Secret *line = NULL;
        int r = secret_new(row.data, row.size, &line);
        if (r < 0)
                return r;
        char *data = secret_buffer(line);
        for (size_t i = 0; i < row.size; i++)
                if (data[i] == '\n' || data[i] == '\r')
                        data[i] = ' ';
        return print_json(output, slice_of(data, row.size));
}

/* --- table */

static void print_coloured(Output *output, Colour colour, const char *text)
{
        static const char *const codes[_COLOUR_MAX] = {
                [COLOUR_NONE] = NULL,
                [COLOUR_GREEN] = "32",
                [COLOUR_YELLOW] = "33",
                [COLOUR_RED] = "31",
                [COLOUR_GREY] = "90",
        };

        if (output->colour && codes[colour])
                (void)fprintf(output->stream, "\033[%sm%s\033[0m", codes[colour], text);
        else
                (void)fputs(text, output->stream);
}

static void print_blanks(Output *output, unsigned n)
{
        (void)fprintf(output->stream, "%*s", (int)n, "");
}

static int print_cell(Output *output, size_t i, const char *text, Colour colour)
{
        _cleanup_free_ char *cut = NULL;
        const Column *column = &output->columns[i];
        unsigned width = output->widths[i];

        /* Only what may be narrow is cut: half an id would be another one. */
        int r = view_cut(text, column->least > 0 && output->room > 0 ? width : UINT32_MAX, &cut);
        if (r < 0)
                return r;
        unsigned taken = view_width(cut), rest = width > taken ? width - taken : 0;
        if (i > 0)
                print_blanks(output, 2);
        if (column->kind == CELL_NUMBER)
                print_blanks(output, rest);
        print_coloured(output, colour, cut);
        if (column->kind != CELL_NUMBER && i + 1 < output->n_columns)
                print_blanks(output, rest);
        return 0;
}

/* Widths, and which columns there are: a GitLab that does not tell something gets no empty column for it. */
static int lay_out(Output *output, const Slice *rows, size_t n, uint64_t now_usec)
{
        Colour colour;

        for (const Column *c = view_columns(output->view); c->header; c++) {
                unsigned widest = 0;

                for (size_t i = 0; i < n; i++) {
                        _cleanup_free_ char *text = NULL;

                        int r = view_cell(c, rows[i], now_usec, &text, &colour);
                        if (r < 0)
                                return r;
                        unsigned width = view_width(text);
                        widest = width > widest ? width : widest;
                }
                if (widest == 0)
                        continue;
                unsigned least = (unsigned)strlen(c->header);
                output->columns[output->n_columns] = *c;
                output->widths[output->n_columns++] = widest > least ? widest : least;
        }
        view_fit(output->columns, output->widths, output->n_columns, output->room);
        for (size_t i = 0; i < output->n_columns; i++) {
                int r = print_cell(output, i, output->columns[i].header, COLOUR_NONE);
                if (r < 0)
                        return r;
        }
        (void)fputc('\n', output->stream);
        return 0;
}

static int print_row(Output *output, Slice row, uint64_t now_usec)
{
        for (size_t i = 0; i < output->n_columns; i++) {
                _cleanup_free_ char *text = NULL;
                Colour colour;

                int r = view_cell(&output->columns[i], row, now_usec, &text, &colour);
                if (r >= 0)
                        r = print_cell(output, i, text, colour);
                if (r < 0)
                        return r;
        }
        (void)fputc('\n', output->stream);
        return 0;
}

/* An object by its members, one a line. */
static int print_members(Output *output, Slice object, uint64_t now_usec)
{
        static const Column status = {"", CELL_STATUS, "status", 0};
        SliceCursor cursor = slice_enter(object);
        Slice key, value;

        if (output->n_rows > 0)
                (void)fputc('\n', output->stream);
        while (slice_next_member(&cursor, &key, &value)) {
                _cleanup_free_ char *name = NULL, *text = NULL;
                Colour colour = COLOUR_NONE;
                bool secret = slice_text_is(key, "token") && !output->show_token && !slice_is_null(value);

                int r = view_value(key, now_usec, &name);
                if (r >= 0 && slice_text_is(key, "status"))
                        r = view_cell(&status, object, now_usec, &text, &colour);
                else if (r >= 0 && !secret)
                        r = view_value(value, now_usec, &text);
                if (r < 0)
                        return r;
                (void)fprintf(output->stream, "%s:", name);
                unsigned width = view_width(name) + 1;
                print_blanks(output, width < NAME_WIDTH ? NAME_WIDTH - width : 1);
                print_coloured(output, colour, secret ? "***" : *text ? text : "-");
                (void)fputc('\n', output->stream);
                if (slice_text_is(key, "token") && text)
                        explicit_bzero(text, strlen(text));
        }
        return 0;
}

static int print_table(Output *output, const Slice *rows, size_t n, uint64_t now_usec)
{
        int r = 0;

        if (!output->list)
                for (size_t i = 0; r >= 0 && i < n; i++, output->n_rows++)
                        r = print_members(output, rows[i], now_usec);
        else {
                if (output->n_rows == 0 && n > 0)
                        r = lay_out(output, rows, n, now_usec);
                for (size_t i = 0; r >= 0 && i < n; i++, output->n_rows++)
                        r = print_row(output, rows[i], now_usec);
        }
        return r;
}

int output_rows(Output *output, const Slice *rows, size_t n, uint64_t now_usec)
{
        int r = 0;

        if (output->format == FORMAT_TABLE)
                r = print_table(output, rows, n, now_usec);
        else
                for (size_t i = 0; r >= 0 && i < n; i++, output->n_rows++)
                        r = print_line(output, rows[i]);
        if (r < 0)
                return r;
        return fflush(output->stream) != 0 || ferror(output->stream) ? -EPIPE : 0;
}

int output_close(Output *output)
{
        if (output->format == FORMAT_JSON && output->list)
                (void)fputs(output->n_rows == 0 ? "[]\n" : "]\n", output->stream);
        return fflush(output->stream) != 0 || ferror(output->stream) ? -EPIPE : 0;
}
