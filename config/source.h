#pragma once

/* Where a secret comes from: `file:PATH`, `credential:NAME`, `env:NAME`, `exec:PROGRAM ARGS`, or the token itself.
 * Messages of this module name the source, never what it holds. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "agent/base/cleanup.h"
#include "agent/base/secret.h"

typedef enum SecretSourceKind {
        SECRET_SOURCE_FILE,
        SECRET_SOURCE_CREDENTIAL,
        SECRET_SOURCE_ENV,
        SECRET_SOURCE_EXEC,
        SECRET_SOURCE_LITERAL,
        _SECRET_SOURCE_KIND_MAX,
        _SECRET_SOURCE_KIND_INVALID = -EINVAL,
} SecretSourceKind;

typedef struct SecretSource {
        SecretSourceKind kind;
        char *text;      /* path, credential's or variable's name, or the command as written; NULL for literals */
        char **argv;     /* exec only: absolute program and its arguments, NULL-terminated, for execve() */
        Secret *literal; /* literals only */
} SecretSource;

/* What a SOURCE may be, for messages and help. */
#define SECRET_SOURCE_FORMS "file:PATH, credential:NAME, env:NAME or exec:PROGRAM ARGS"

/* Longest token taken, in bytes: GitLab's are below 300, and a header line must hold it. */
#define SECRET_SOURCE_TOKEN_MAX 4096

/* Words of an exec: source. */
#define SECRET_SOURCE_ARGUMENTS_MAX 64

/* A program that gives a secret must end within this. */
#define SECRET_SOURCE_EXEC_TIMEOUT_SEC 10

typedef enum SecretSourceFlags {
        SECRET_SOURCE_ALLOW_LITERAL = 1 << 0,  /* configuration files only; never from a command line */
        SECRET_SOURCE_ALLOW_RELATIVE = 1 << 1, /* command lines: `file:token` as seen from the working directory */
} SecretSourceFlags;

/* Reads a SOURCE. Nothing is opened or run. exec: is split at blanks, with '…', "…" and \ as quotes; there is no
 * shell, so no other character means anything. -EINVAL and what is wrong, for "SUBJECT …, expected …"; it never
 * echoes TEXT. -ENOMEM. */
int secret_source_parse(const char *text, SecretSourceFlags flags, SecretSource **ret, char **reterr);

SecretSource *secret_source_free(SecretSource *source);
DEFINE_CLEANUP(SecretSource, secret_source_free)

int secret_source_copy(const SecretSource *source, SecretSource **ret);
bool secret_source_equal(const SecretSource *a, const SecretSource *b);

/* A name for messages: "file:/etc/token", "credential:x", "env:X", "exec:/bin/x" (no arguments: they may hold a
 * secret), "the token in the configuration". Returns 0 or -ENOMEM. */
int secret_source_describe(const SecretSource *source, char **ret);

/* Reads the secret now; it blocks no longer than a local file does. White space at both ends is cut, then
 * secret_source_accept() decides. With a sentence in *reterr:
 *   -EOPNOTSUPP  exec: sources are run by the event loop
 *   -ENOKEY      a credential, but systemd gave us none: not started by the unit
 *   -ENOENT      the file, the credential or the variable is not there
 *   -EPERM       others can read (or write) the secret file
 *   -EINVAL      what it holds is no token, or no plain file
 *   other        reading failed */
int secret_source_read(const SecretSource *source, Secret **ret, char **reterr);

/* The last step of every reading, exec: included: trims SECRET in place and refuses what can't be a token: empty,
 * longer than SECRET_SOURCE_TOKEN_MAX, with blanks, line breaks, control or non-ASCII characters inside. -EINVAL and
 * a sentence. */
int secret_source_accept(const SecretSource *source, Secret *secret, char **reterr);

/* Can others than root and us read or write this existing secret file, or replace it? 0: no (or it does not exist
 * yet); -EPERM and a sentence: yes; other: it can't be told. */
int secret_source_check_file(const char *path, char **reterr);
