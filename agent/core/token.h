#pragma once

/* Tokens are opaque; what their text tells is only good for showing and for choosing between calls that GitLab would
 * sort out by itself. Source: GitLab's app/models/ci/runner.rb and lib/authn/tokens/runner_authentication_token.rb.
 */

#include <stdbool.h>
#include <stddef.h>

#include "agent/base/secret.h"

typedef enum TokenKind {
        TOKEN_KIND_CREATED,      /* glrt-…, also behind an instance prefix */
        TOKEN_KIND_REGISTERED,   /* glrtr-…, tN_…, bare */
        TOKEN_KIND_REGISTRATION, /* GR1348941…: not an authentication token at all */
        TOKEN_KIND_ACCESS,       /* glpat-… and other prefixes of user tokens */
        _TOKEN_KIND_MAX,
} TokenKind;

TokenKind token_kind(const Secret *token);

/* The longest that we send, keep or write. Routable ones reach ~250 bytes plus an instance prefix. */
#define TOKEN_SIZE_MAX 1024

/* Whether TOKEN can be a header, a JSON and a TOML value: 1 … TOKEN_SIZE_MAX bytes, printable ASCII, no blanks.
 * NULL if so, else what is wrong with it, without the token ("has a blank inside", "is longer than 1024 bytes"). */
const char *token_complaint(const Secret *token);

/* Whether the word of SIZE bytes carries a prefix that GitLab gives to tokens, with something behind it. For masking
 * text of strangers: rather once too often. */
bool token_looks_like(const char *word, size_t size);

/* SHA-256 of the token under a fixed purpose, as hex: tells "another value" without keeping the value. */
int token_digest(const Secret *token, char **ret);
