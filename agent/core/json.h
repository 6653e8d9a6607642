#pragma once

/* JSON in and out of this ring: jansson with bounds. What GitLab, a proxy or a disk hands us decides how much memory
 * a document takes, so the number of values is limited before anything is built. */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "agent/base/cleanup.h"
#include "agent/base/secret.h"

/* Released, not freed: jansson counts references. jansson.h brings json_decrefp() along. */
#define _cleanup_json_ _cleanup_(json_decrefp)

/* One value costs jansson up to ~200 bytes, so this bounds a document to about 13 MiB. A page of 100 runners has
 * 2,000 values, the details of a runner with 500 projects 10,000. */
#define JSON_VALUES_MAX 65536

/* GitLab nests five levels deep. jansson itself would recurse 2048 times. */
#define JSON_DEPTH_MAX 32

/* Reads any JSON value. Refuses what two readers could understand differently (a key twice, a NUL),
 * bytes that are not UTF-8, and anything beyond MAX bytes or the bounds above. Returns 0, -EBADMSG or -ENOMEM. */
int json_read(const char *data, size_t size, size_t max, json_t **ret);

/* The same for what this program wrote itself, over a socket or a file of its own: any number of values. */
int json_read_own(const char *data, size_t size, size_t max, json_t **ret);

/* Writes VALUE with jansson's FLAGS; keys keep the order in which they were set. Returns 0 or -ENOMEM. */
int json_write(const json_t *value, size_t flags, Secret **ret);

/* Writes VALUE compactly and escapes `<`, `>`, `&` and the two line separators as Go's encoder does: what
 * gitlab-runner sends byte for byte, for web application firewalls that know its bodies. Returns 0 or -ENOMEM. */
int json_write_go(const json_t *value, Secret **ret);

/* Sets KEY of OBJECT to the new VALUE, which is taken over; NULL for VALUE reports -ENOMEM. */
int json_put(json_t *object, const char *key, json_t *value);

/* A new string of SECRET's bytes; NULL on failure, also where they are not UTF-8. */
json_t *json_secret(const Secret *secret);

/* The member KEY as a string, or NULL if it is missing or none. Borrowed from OBJECT. */
const char *json_get_text(const json_t *object, const char *key);
