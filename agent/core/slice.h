#pragma once

/* Pieces of a JSON text just as its sender wrote them: what passes through us keeps every digit and every escape,
 * which decoding and encoding again would not. Meant for texts that slice_check() has accepted; on others the
 * functions find nothing, or something odd, but never leave the bounds. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/base/secret.h"

/* Borrowed bytes: one JSON value, without the blanks around it. */
typedef struct Slice {
        const char *data;
        size_t size;
} Slice;

typedef struct SliceCursor {
        const char *at;
        const char *end;
} SliceCursor;

/* Whether all of it is one JSON value in UTF-8, nested no deeper than JSON_DEPTH_MAX. Numbers may be of any size. */
bool slice_check(const char *data, size_t size);

/* The value that TEXT holds; an empty slice where it holds none. */
Slice slice_of(const char *data, size_t size);

/* Goes through an array or an object: a cursor before its first part, then part by part until false. */
SliceCursor slice_enter(Slice value);
bool slice_next_item(SliceCursor *cursor, Slice *ret);
bool slice_next_member(SliceCursor *cursor, Slice *ret_key, Slice *ret_value);

/* The member at PATH, keys joined by dots ("project.path_with_namespace"). False: OBJECT has none. */
bool slice_member(Slice object, const char *path, Slice *ret);

bool slice_is_object(Slice value);
bool slice_is_array(Slice value);
bool slice_is_string(Slice value);
bool slice_is_null(Slice value);              /* an empty slice too */
bool slice_is(Slice value, const char *word); /* true, false, or a number, as written */

/* The text of a string, escapes resolved; NUL characters become U+FFFD. -EINVAL: no string; -ENOMEM. */
int slice_text(Slice value, char **ret);

/* Whether VALUE is a string with the text TEXT. */
bool slice_text_is(Slice value, const char *text);

/* A positive integer. -EINVAL: VALUE is none, or does not fit. */
int slice_integer(Slice value, int64_t *ret);

/* Appends VALUE to OUT, with "***" for the value of every member called KEY that is neither null nor empty, at any
 * depth. NULL for KEY appends all as it is. Returns 0 or -ENOMEM. */
int slice_mask(Slice value, const char *key, Secret *out);
