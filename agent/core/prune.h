#pragma once

/* Whether a runner is a ghost: the one decision of `runners prune`. Whatever is not known keeps the runner. */

#include <stdbool.h>
#include <stdint.h>

#include "agent/core/endpoint.h"
#include "agent/core/slice.h"

/* What GitLab told, or could not tell. */
typedef enum Fact {
        FACT_UNKNOWN,
        FACT_NO,
        FACT_YES,
        _FACT_MAX,
} Fact;

typedef struct PruneFacts {
        Fact matches; /* the filters, as far as the server itself may have ignored them */
        Fact online;  /* null counts as no where it never called */
        Fact running_jobs;
        Fact live_manager;          /* one that is online, or was heard of within the span */
        Fact contacted;             /* whether it ever called */
        uint64_t contacted_at_usec; /* realtime by the server's clock; 0: not told */
        uint64_t created_at_usec;   /* 0: not told */
} PruneFacts;

typedef enum Prune {
        PRUNE_DELETE,
        PRUNE_KEEP_FILTERED, /* the filters do not fit after all */
        PRUNE_KEEP_ONLINE,
        PRUNE_KEEP_RUNNING,
        PRUNE_KEEP_MANAGER,
        PRUNE_KEEP_RECENT, /* called, or was created, within the span */
        PRUNE_SKIP_FILTERS,
        PRUNE_SKIP_ONLINE,
        PRUNE_SKIP_JOBS,
        PRUNE_SKIP_MANAGERS,
        PRUNE_SKIP_CONTACT,
        PRUNE_SKIP_CREATION,
        _PRUNE_MAX,
} Prune;

/* NOW is by the server's clock. Reasons to keep win over what is unknown, which wins over the age. */
Prune prune_decide(const PruneFacts *facts, uint64_t now_usec, uint64_t offline_for_usec);

/* Whether it was kept because this GitLab can't tell something. */
bool prune_is_skip(Prune prune);

/* For people: "is online", "this GitLab does not tell whether it has running jobs" … */
const char *prune_to_string(Prune prune);

/* Whether a manager (an item of GET /runners/:id/managers) is live: online, or heard of within the span, or of
 * unknown age. */
bool prune_manager_is_live(Slice manager, uint64_t now_usec, uint64_t offline_for_usec);

/* Fills what a runner's details tell: online, contacted, contact and creation, running_jobs where it is there. */
void prune_read_details(Slice details, PruneFacts *facts);

/* Whether a runner with these DETAILS fits one filter of its list. Servers ignore filters that they do not know, and
 * deleting what was not asked for would be the worst reading. RELEASE is the server's, 0: unknown. */
Fact prune_match(const Argument *filter, Slice details, unsigned release);
