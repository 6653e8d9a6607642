/* Values as TOML text, laid out as gitlab-runner's encoder lays them out: strings in double quotes, arrays on one
 * line, two blanks per level, a header indented by its depth less one. Lines end with LF; the editor turns them into
 * the file's own. Everything is appended to a Secret, since any of it may be a token. All return 0 or -ENOMEM. */
#pragma once

#include "agent/base/secret.h"
#include "agent/core/toml.h"

/* The keys that lead to a table, innermost first, as they stand in its header. */
typedef struct TomlPath {
        const struct TomlPath *parent; /* borrowed, NULL at top level */
        TomlString key;
} TomlPath;

/* A value of our own, to be written. Datetimes are written in UTC. */
typedef struct TomlScalar {
        TomlType type; /* string, integer, boolean or datetime */
        union {
                TomlString string; /* borrowed */
                int64_t integer;
                bool boolean;
                struct timespec time;
        };
} TomlScalar;

/* -EINVAL if it is not UTF-8: the file could not be read any more. */
int toml_write_string(Secret *out, TomlString string);

/* A key, bare where TOML lets it be. -EINVAL as above. */
int toml_write_key(Secret *out, TomlString key);

/* -EINVAL for a time outside of the years 0 to 9999, which TOML cannot say. */
int toml_write_scalar(Secret *out, const TomlScalar *scalar);

/* Any value on one line, tables as `{ … }`. */
int toml_write_inline(Secret *out, const TomlValue *value);

/* `key = value` and a line end, indented for a table at depth `level`. */
int toml_write_pair(Secret *out, unsigned level, TomlString key, const TomlValue *value);

/* Is this written with headers of its own: a table, or an array that holds nothing but tables? */
bool toml_write_has_header(const TomlValue *value);

/* A value of that kind: header, plain keys, then what has headers. */
int toml_write_table(Secret *out, const TomlPath *path, const TomlValue *value);

/* The members of a table, without a header of its own, plain keys first. */
int toml_write_members(Secret *out, const TomlPath *path, const TomlValue *table);

/* Is the value already what the scalar says? Datetimes compare as points in time. */
bool toml_scalar_equal(const TomlScalar *scalar, const TomlValue *value);
