#pragma once

/* What the agent says about itself: `status --json`, the table for people, the gauges for Prometheus. Never a secret.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/base/time.h"
#include "agent/core/record.h"

/* One runner as it stands now. Whoever fills it in keeps what it points at; status_decode() makes copies. */
typedef struct RunnerStatus {
        char *name;
        char *url;
        int64_t runner_id; /* 0: unknown */
        char *system_id;
        RunnerState state;
        Flow flow;
        uint64_t registered_at_usec; /* realtime, these and the next ones; 0: never, or not known */
        uint64_t token_obtained_at_usec;
        uint64_t token_expires_at_usec;
        uint64_t last_verified_at_usec;
        char *last_verdict; /* verdict_to_string(); NULL: none yet */
        char *next_action;  /* what happens next, and by which rule; NULL: nothing */
        uint64_t next_action_at_usec;
        char *reason; /* NULL: none */
        unsigned attempt;
        Debt *debts;
        size_t n_debts;
        bool token_dead; /* beyond doubt: a gauge, not part of the JSON */
} RunnerStatus;

typedef struct AgentStatus {
        char *version; /* of the program */
        int64_t pid;   /* 0: no agent runs */
        RunnerStatus *runners;
        size_t n_runners;
} AgentStatus;

/* Frees what status_decode() made. */
void agent_status_done(AgentStatus *status);

/* Encodes `status --json`: one object, compact or indented, without a newline at the end. Caller frees *ret. Returns
 * 0, -ENOMEM, or -EINVAL where a word or a string is none (our bug). */
int status_encode(const AgentStatus *status, bool indented, char **ret);

/* Largest status taken: more than 10,000 runners with all their reasons. */
#define STATUS_SIZE_MAX (64 * 1024 * 1024)

/* Reads what status_encode() wrote. -EBADMSG with a sentence in *reterr, -ENOMEM. */
int status_decode(const char *data, size_t size, AgentStatus *ret, char **reterr);

/* Renders the table for people: name, state, id, expires, verdict, next; below a row its reason and its debts. Times
 * are spans from NOW. Caller frees *ret. Returns 0 or -ENOMEM. */
int status_format_text(const AgentStatus *status, Now now, char **ret);

/* Renders the gauges in Prometheus' text format. Caller frees *ret. Returns 0 or -ENOMEM. */
int status_format_metrics(const AgentStatus *status, char **ret);
