#pragma once

/* The client's side of the control socket (agent/control.h says what travels it). Blocks: for commands, not for the
 * agent. */

#include <stdbool.h>
#include <stdint.h>

#include "agent/core/json.h"

/* An answer, a status of thousands of runners included, is far below it. */
#define CONTROL_REPLY_MAX (64 * 1024 * 1024)

/* Connects to the agent of RUNTIME_DIR. -ENOENT or -ECONNREFUSED: no agent runs. */
int control_connect(const char *runtime_dir, int *ret_fd);

/* Sends a command and reads the answer, for at most TIMEOUT_USEC (USEC_INFINITY: without end). NAMES as in
 * OrderRequest; DRAIN: gitlab-runner is drained first. *RET is for json_decref(). -ETIME: time is up; -ECONNRESET:
 * the agent went; -EINVAL: a name is not UTF-8, nothing was asked; -EBADMSG: what came is no answer. */
int control_ask(int fd, const char *command, char *const *names, bool drain, uint64_t timeout_usec, json_t **ret);
