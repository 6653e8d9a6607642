#pragma once

/* What the readers of replies in this ring share; not for the shell, which need not know jansson. */

#include <jansson.h>
#include <stdbool.h>

#include "agent/core/api.h"
#include "agent/core/reply.h"
#include "agent/core/verdict.h"

/* Whether the media type is TYPE, whatever its parameters. */
bool reply_has_type(const Reply *reply, const char *type);

/* The body as JSON, only where the media type says so: proxies answer with pages that now and then parse. 0, -EBADMSG
 * or -ENOMEM. */
int reply_read_json(const Reply *reply, json_t **ret);

/* The credentials in OBJECT. What is missing or null is left out; -EBADMSG where a member has the wrong type, or the
 * token is one that we could not keep. */
int identity_read(const json_t *object, Identity *ret);

/* The ids of a list's rows, newest first, and what the agent looks at in a runner's details. -EBADMSG if malformed.
 */
int ids_read(const json_t *array, int64_t **ret_ids, size_t *ret_n);
int row_read(const json_t *object, RunnerRow *ret);

/* error_flatten() of a body that is read already. */
int error_flatten_json(const json_t *body, char **ret);

/* Fills JUDGEMENT's wait and spread from the headers. */
void wait_read(const Reply *reply, Now now, Judgement *judgement);
