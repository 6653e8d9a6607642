#pragma once

/* gitlab-runner's identity of a machine, made exactly as gitlab-runner makes it
 * (commands/internal/configfile/system_id_state.go). */

#include <stdbool.h>
#include <stddef.h>

#define SYSTEM_ID_SIZE 14

/* Whether TEXT is ^[sr]_[0-9a-zA-Z]{12}$. */
bool system_id_valid(const char *text);

/* s_ and the first 12 hex digits of HMAC-SHA256(key = MACHINE_ID's text, message = "gitlab-runner"). */
int system_id_from_machine(const char *machine_id, char ret[static SYSTEM_ID_SIZE + 1]);

/* r_ and 12 characters of [a-zA-Z0-9], from 12 or more random bytes. */
void system_id_from_random(const unsigned char random[static 16], char ret[static SYSTEM_ID_SIZE + 1]);
