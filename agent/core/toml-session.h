/* What an edit has collected; shared by toml-edit.c, which works on lines, and toml-container.c, which works between
 * brackets. */
#pragma once

#include "agent/core/toml-edit.h"
#include "agent/core/toml-splice.h"

/* A new element of `[…]` or `{…}`. Where the commas go is only known once all of its container's are. */
typedef struct TomlInsert {
        const TomlValue *container;
        const TomlExpression *after; /* NULL: to the front */
        size_t text;                 /* in texts */
        size_t text_size;
        size_t order;
} TomlInsert;

struct TomlEdit {
        const TomlDocument *document;
        TomlSpliceList splices;
        TomlInsert *inserts;
        size_t n_inserts;
        size_t n_inserts_allocated;
        Secret *texts; /* of the inserts */
        const TomlValue **removals;
        size_t n_removals;
        size_t n_removals_allocated;
        bool *removed;     /* by id: in removals */
        uint32_t *pending; /* by id: one more than the splice that replaces the value, 0 if none */
};

/* The outermost removed value that this one is in or is, or NULL. */
const TomlValue *toml_edit_removed_root(const TomlEdit *edit, const TomlValue *value);

/* Turns inserts and removals between brackets into splices. -ENOMEM. */
int toml_container_finish(TomlEdit *edit);
