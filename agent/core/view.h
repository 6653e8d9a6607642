#pragma once

/* How GitLab's objects read as a table: which columns, which words, how wide. What is printed comes from strangers,
 * so cells hold no control characters. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/core/endpoint.h"
#include "agent/core/slice.h"

typedef enum CellKind {
        CELL_TEXT,
        CELL_NUMBER, /* to the right */
        CELL_STATUS, /* of a runner, a manager, a job; coloured */
        CELL_TYPE,   /* instance_type → instance */
        CELL_AGE,    /* a time, as "3 h ago" */
        CELL_SPAN,   /* seconds, as "1min 30s" */
} CellKind;

typedef enum Colour {
        COLOUR_NONE,
        COLOUR_GREEN,
        COLOUR_YELLOW,
        COLOUR_RED,
        COLOUR_GREY,
        _COLOUR_MAX,
} Colour;

typedef struct Column {
        const char *header; /* NULL ends the list */
        CellKind kind;
        const char *path; /* of the member */
        unsigned least;   /* not narrower than this when room is short; 0: never cut */
} Column;

#define VIEW_COLUMNS_MAX 12

/* No cell is longer, in bytes, whatever comes. */
#define VIEW_CELL_MAX 1024

const Column *view_columns(View view);

/* The cell of COLUMN in ROW; empty where there is nothing. NOW is by the server's clock. Returns 0 or -ENOMEM. */
int view_cell(const Column *column, Slice row, uint64_t now_usec, char **ret, Colour *ret_colour);

/* Any value in words, for what has no columns of its own: lists joined, objects by their names, times with their age.
 * Returns 0 or -ENOMEM. */
int view_value(Slice value, uint64_t now_usec, char **ret);

/* Brings N columns of WIDTHS into ROOM (0: there is no end) by narrowing those that may be. Between them are two
 * blanks. */
void view_fit(const Column *columns, unsigned *widths, size_t n, unsigned room);

/* The columns of a terminal that TEXT takes. */
unsigned view_width(const char *text);

/* TEXT cut to WIDTH columns, then ending in an ellipsis. Returns 0 or -ENOMEM. */
int view_cut(const char *text, unsigned width, char **ret);

/* "3 h ago", "in 2 d", "just now". Returns BUFFER. */
#define VIEW_AGE_MAX 32
const char *view_age(uint64_t at_usec, uint64_t now_usec, char buffer[static VIEW_AGE_MAX]);
