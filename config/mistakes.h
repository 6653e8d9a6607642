#pragma once

/* What is wrong with a configuration, collected so that a person sees all of it at once. A mistake is one line,
 * `file:line: section.key: what is wrong, what was expected`, and never holds a secret. */

#include <stdarg.h>
#include <stddef.h>

#include "agent/base/cleanup.h"

/* More than anybody reads; a file that is not a configuration at all would give thousands. */
#define MISTAKES_MAX 200

typedef struct Mistake {
        char *text;    /* the whole line, without newline */
        size_t rank;   /* of its file, in the order in which files were first spoken of */
        unsigned line; /* 0: about the file as a whole */
} Mistake;

/* Starts as MISTAKES_EMPTY. */
typedef struct Mistakes {
        Mistake *items;
        size_t n_items;
        size_t n_omitted; /* beyond MISTAKES_MAX */
        char **files;
        size_t n_files;
} Mistakes;

#define MISTAKES_EMPTY                                                                                               \
        {                                                                                                            \
                NULL, 0, 0, NULL, 0                                                                                  \
        }

/* Notes FILE, unless it is known: the order of files is that of their first mention. RET_RANK may be NULL. 0 or
 * -ENOMEM. */
int mistakes_add_file(Mistakes *mistakes, const char *file, size_t *ret_rank);

/* Adds a mistake. FILE NULL: about no file; LINE 0: about the whole file; SUBJECT (`agent.retry_max`) may be NULL.
 * Beyond MISTAKES_MAX it is counted only. Returns 0 or -ENOMEM. */
int mistakes_add(Mistakes *mistakes, const char *file, unsigned line, const char *subject, const char *format, ...)
        _printf_(5, 6);

/* Puts them into the order of files and lines; cross-checks come after the parse but are read beside it. */
void mistakes_sort(Mistakes *mistakes);

void mistakes_done(Mistakes *mistakes);

#define _cleanup_mistakes_ _cleanup_(mistakes_done)
