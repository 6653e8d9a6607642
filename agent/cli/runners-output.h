#pragma once

/* GitLab's objects on stdout, as they come: a table for people, JSON unchanged for programs. Rows are not kept, so a
 * list may be of any length; a table's widths are those of its first page. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "agent/cli/runners-options.h"
#include "agent/core/slice.h"
#include "agent/core/view.h"

typedef struct Output {
        FILE *stream;
        Format format; /* never FORMAT_AUTO */
        View view;
        bool list;
        bool show_token;
        bool colour;
        unsigned room; /* columns of the terminal; 0: it is none */
        size_t n_rows;

        Column columns[VIEW_COLUMNS_MAX + 1]; /* of the table; those that the first page had something for */
        unsigned widths[VIEW_COLUMNS_MAX];
        size_t n_columns;
} Output;

/* Begins with stdout. LIST: rows of VIEW follow, else single objects. */
void output_open(Output *output, const Invocation *invocation, View view, bool list);

/* Prints N rows. NOW is by the server's clock. Returns 0 or a negative errno: nobody reads any more, or -ENOMEM. */
int output_rows(Output *output, const Slice *rows, size_t n, uint64_t now_usec);

/* Ends what was whole. What broke off is left open, so that no reader takes half a list for all of it. */
int output_close(Output *output);

/* Prints a sentence where a person reads, nothing where a program does. */
void output_say(Output *output, const char *format, ...) _printf_(2, 3);
