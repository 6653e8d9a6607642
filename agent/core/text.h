#pragma once

/* Text from strangers, made fit for a log line, a terminal and a state file. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decodes the UTF-8 character at DATA. Returns its bytes (1 … 4), or 0 where SIZE is 0 or the bytes are not UTF-8. */
size_t text_character(const char *data, size_t size, uint32_t *ret);

/* Whether all of it is; SIZE 0 is, too. */
bool text_is_utf8(const char *data, size_t size);

/* The bytes of the first CHARACTERS characters of a valid text; all of them where it has no more. */
size_t text_prefix(const char *text, size_t characters);

/* How many characters a valid text has. */
size_t text_characters(const char *text);

/* One line of at most MAX bytes: controls (terminal escapes, C1, line and direction marks) become blanks, runs of
 * blanks one, what is not UTF-8 `?`; cut between characters, then ending in an ellipsis. Returns 0 or -ENOMEM. */
int text_clean(const char *data, size_t size, size_t max, char **ret);

/* text_clean() without tokens, for what came from outside and goes into a message. Returns 0 or -ENOMEM. */
int text_show(const char *data, size_t size, size_t max, char **ret);
