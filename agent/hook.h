#pragma once

/* The operator's own program, told what happens here: `HOOK EVENT NAME…`. EVENT is `registered` (newly, adopted, or
 * after doubts), `rotated`, `doubtful`, `recovering`, `refused`, `withdrawn` or `debt`, and NAMEs are the runners; or
 * it is a notice of the cloud (cloud_notice_kind_to_string(), or `cancelled`) for the whole host, without names, with
 * RUNNER_REGISTRAR_DEADLINE (RFC 3339, or empty) and RUNNER_REGISTRAR_REFERENCE in its environment. Never a secret.
 *
 * One runs at a time, HOOK_LIMIT_USEC at most; what happens meanwhile waits, equal events are told together. It only
 * hears: its exit status changes nothing, and a failure is logged when it is another one than the last. */

#include <systemd/sd-event.h>

#include "agent/base/log.h"
#include "agent/base/time.h"

typedef struct Hook Hook;

#define HOOK_LIMIT_USEC (30 * USEC_PER_SEC)

/* What waits for its turn. More happens only where all of thousands of runners change twice within a minute. */
#define HOOK_QUEUE_MAX 32768

/* Runners per call, far below what an argument list may hold. */
#define HOOK_NAMES_MAX 1000

/* IDLE comes from the loop whenever nothing is left to be told. LOG is borrowed. */
int hook_new(sd_event *event, Log *log, void (*idle)(void *userdata), void *userdata, Hook **ret);
Hook *hook_free(Hook *hook);
DEFINE_CLEANUP(Hook, hook_free)

/* PROGRAM is copied; NULL: none, and what waits is forgotten. */
int hook_set_program(Hook *hook, const char *program);

/* EVENT is static. NAME is copied; NULL: of the whole host. */
void hook_tell(Hook *hook, const char *event, const char *name);

/* DEADLINE is RFC 3339 or empty. */
void hook_tell_notice(Hook *hook, const char *event, const char *deadline, const char *reference);

bool hook_idle(const Hook *hook);
