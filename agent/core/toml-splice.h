/* A list of replacements in a run of bytes, and its outcome. What the editor boils everything down to. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/base/secret.h"

typedef enum TomlSpliceKind {
        TOML_SPLICE_BYTES,        /* text as it is */
        TOML_SPLICE_LINE,         /* text is one line, without its line end */
        TOML_SPLICE_LINES_BEFORE, /* a line and a blank one behind it */
        TOML_SPLICE_BLOCK,        /* text is several lines ending with LF, set off by one blank line */
} TomlSpliceKind;

typedef struct TomlSplice {
        TomlSpliceKind kind;
        size_t at;   /* replaces source bytes from here … */
        size_t end;  /* … up to here */
        size_t text; /* offset in `texts` */
        size_t text_size;
        size_t order;      /* among those at the same place */
        const void *owner; /* what it belongs to, for the one who adds */
        uint32_t replaced; /* one more than the earlier splice it stands for, 0 if none */
        bool dropped;
} TomlSplice;

typedef struct TomlSpliceList {
        TomlSplice *splices;
        size_t n_splices;
        size_t n_allocated;
        Secret *texts;
} TomlSpliceList;

int toml_splice_list_init(TomlSpliceList *list);
void toml_splice_list_done(TomlSpliceList *list);

/* Adds a splice; its text is copied. -ENOMEM. */
int toml_splice_add(TomlSpliceList *list, TomlSpliceKind kind, size_t at, size_t end, const void *owner,
        const char *text, size_t size);

/* Carries all splices out on the source, in the order of their places. Where they overlap,
 * all texts stay and all the bytes they replace go. Reorders the list. `bom` bytes at the start stay in front; new
 * lines end with `newline`. -ENOMEM. */
int toml_splice_apply(
        TomlSpliceList *list, const char *source, size_t size, size_t bom, const char *newline, Secret **ret);
