#pragma once

/* What a value looks like, whatever it is for: text in, value out, nothing else. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/base/cleanup.h"
#include "agent/base/time.h"

/* Longest value taken, in bytes: the longest sensible one, a list of fifty tags of 255 characters, is below it. */
#define VALUE_SIZE_MAX (16 * 1024)

/* A runner's NAME: 1–40 of A-Za-z0-9._-, the first a letter or digit. */
#define VALUE_NAME_MAX 40

/* Longest span taken: beyond a human life it is a typing error, and far from overflowing when added to a clock. */
#define VALUE_DURATION_MAX (100 * 365 * USEC_PER_DAY)

/* Sets *RETERR (unless NULL) to the formatted sentence and returns ERROR, or -ENOMEM. */
int value_fail(char **reterr, int error, const char *format, ...) _printf_(3, 4);

/* TEXT in single quotes for a message, cut short, control characters replaced; "the value" for whatever looks like a
 * token, as one may have been put where it does not belong. Returns BUFFER. */
#define VALUE_QUOTE_MAX 96
const char *value_quote(const char *text, char buffer[static VALUE_QUOTE_MAX]);

/* true, yes, on, 1 and false, no, off, 0, in any letter case. 0 or -EINVAL. */
int value_parse_boolean(const char *text, bool *ret);

/* A decimal integer. -EINVAL: none; -ERANGE: beyond int64_t. */
int value_parse_integer(const char *text, int64_t *ret);

/* A span as systemd.time(7) writes it: `90s`, `1h 30min`, `1.5h`, and plain seconds. `m` is minutes, `M` months.
 * -EINVAL: none; -ERANGE: longer than VALUE_DURATION_MAX. */
int value_parse_duration(const char *text, uint64_t *ret_usec);

/* Whole percents, `66%`. -EINVAL without the sign; no range. */
int value_parse_percent(const char *text, unsigned *ret);

/* Splits at commas, cuts blanks, drops empty items. *RET is NULL-terminated, maybe empty. 0 or -ENOMEM. */
int value_parse_list(const char *text, char ***ret);

/* Appends a copy of TEXT to a NULL-terminated list of N items. 0 or -ENOMEM. */
int value_list_append(char ***list, size_t n, const char *text);

/* Frees a NULL-terminated list and its strings; accepts NULL, returns NULL. */
char **value_list_free(char **list);
DEFINE_CLEANUP(char *, value_list_free)

bool value_list_equal(char *const *a, char *const *b);
size_t value_list_size(char *const *list);

bool value_is_name(const char *text);

/* An absolute path that the system can take. */
bool value_is_path(const char *text);

/* A unit's name that ends in .service, as systemd checks it. */
bool value_is_service(const char *text);

/* White space as found around values; independent of the locale. */
bool value_is_blank(char c);

/* How many bytes from the start are valid UTF-8: SIZE if all are. */
size_t value_check_utf8(const char *text, size_t size);

/* Characters of valid UTF-8; SIZE_MAX if it is not valid (overlong forms, surrogates and beyond U+10FFFF included).
 */
size_t value_count_characters(const char *text, size_t size);
