/* Changes to a document, collected against its parsed form and carried out at once.
 *
 * Only the bytes of the values named here change, appear or go: comments, order, spelling, blanks and line ends of
 * all the rest stay as they are. All calls together take time linear in the document and the edits (but for sorting
 * these).
 *
 * Values and tables are those of the document, as the document stays: what an edit added can't be edited. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "agent/base/secret.h"
#include "agent/core/toml-write.h"
#include "agent/core/toml.h"

typedef struct TomlEdit TomlEdit;

/* Begins edits. Borrows document: it must outlive the edit. -ENOMEM. */
int toml_edit_new(const TomlDocument *document, TomlEdit **ret);

/* Wipes and frees; takes NULL; returns NULL. */
TomlEdit *toml_edit_free(TomlEdit *edit);

DEFINE_CLEANUP(TomlEdit, toml_edit_free)

/* Gives the value another content; nothing changes where it is equal already (false in *ret_changed). Of several
 * calls for one value the last counts. -EOPNOTSUPP: a table that is not written as `{…}`, -EINVAL: the scalar can't
 * be written, -ENOMEM. */
int toml_edit_set(TomlEdit *edit, const TomlValue *value, const TomlScalar *scalar, bool *ret_changed);

/* Adds a key to a table; it must not be there. It goes behind `after`, a plain member of the table, or, with NULL, to
 * the front; several behind one member keep the order of the calls. At top level NULL means behind the last plain
 * key, or before the first header and its comments. A new line is indented like its neighbours. -EOPNOTSUPP: the
 * table has no place of its own (`a` of `[a.b]`, or of `a.b = 1`), -EINVAL, -ENOMEM. */
int toml_edit_add(
        TomlEdit *edit, const TomlValue *table, const TomlValue *after, const char *key, const TomlScalar *scalar);

/* Removes a member of a table or an element of an array, with all that is in it, wherever in the file it is written:
 * its headers, their keys and the comments between them. Comments before its own and behind its last line stay.
 * -ENOMEM. */
int toml_edit_remove(TomlEdit *edit, const TomlValue *value);

/* Appends text (LF lines, beginning with a header) to the end of the document, after one blank line. -ENOMEM. */
int toml_edit_append_text(TomlEdit *edit, const char *text, size_t size);

/* Appends an element, given as TOML text, to an array that is written `[…]`. -EOPNOTSUPP for others, -ENOMEM. */
int toml_edit_append_item(TomlEdit *edit, const TomlValue *array, const char *text, size_t size);

/* How far the edits got, to go back to: what was collected since is dropped again. */
typedef struct TomlEditMark {
        size_t n_splices;
        size_t n_inserts;
        size_t n_removals;
} TomlEditMark;

TomlEditMark toml_edit_mark(const TomlEdit *edit);
void toml_edit_rewind(TomlEdit *edit, TomlEditMark mark);

/* The edited document's bytes. -ENOMEM. */
int toml_edit_finish(TomlEdit *edit, Secret **ret);
