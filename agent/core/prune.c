#include "agent/core/prune.h"

#include <stddef.h>
#include <string.h>

#include "agent/base/cleanup.h"
#include "agent/base/time.h"

static bool is_old(uint64_t at_usec, uint64_t now_usec, uint64_t span_usec)
{
        return usec_add(at_usec, span_usec) <= now_usec;
}

static Prune decide_age(const PruneFacts *f, uint64_t now_usec, uint64_t span_usec)
{
        switch (f->contacted) {
        case TOLD_YES:
                if (f->contacted_at_usec == 0)
                        return PRUNE_SKIP_CONTACT;
                return is_old(f->contacted_at_usec, now_usec, span_usec) ? PRUNE_DELETE : PRUNE_KEEP_RECENT;
        case TOLD_NO:
                /* It may have been made a minute ago, for a host that is still starting. */
                if (f->created_at_usec == 0)
                        return PRUNE_SKIP_CREATION;
                return is_old(f->created_at_usec, now_usec, span_usec) ? PRUNE_DELETE : PRUNE_KEEP_RECENT;
        case TOLD_UNKNOWN:
        case _TOLD_MAX:
                break;
        }
        return PRUNE_SKIP_CONTACT;
}

Prune prune_decide(const PruneFacts *f, uint64_t now_usec, uint64_t span_usec)
{
        if (f->matches == TOLD_NO)
                return PRUNE_KEEP_FILTERED;
        if (f->online == TOLD_YES)
                return PRUNE_KEEP_ONLINE;
        if (f->running_jobs == TOLD_YES)
                return PRUNE_KEEP_RUNNING;
        if (f->live_manager == TOLD_YES)
                return PRUNE_KEEP_MANAGER;

        Prune age = decide_age(f, now_usec, span_usec);
        if (age != PRUNE_DELETE)
                return age;
        if (f->matches != TOLD_YES)
                return PRUNE_SKIP_FILTERS;
        if (f->online != TOLD_NO)
                return PRUNE_SKIP_ONLINE;
        if (f->running_jobs != TOLD_NO)
                return PRUNE_SKIP_JOBS;
        if (f->live_manager != TOLD_NO)
                return PRUNE_SKIP_MANAGERS;
        return PRUNE_DELETE;
}

bool prune_is_skip(Prune prune)
{
        return prune >= PRUNE_SKIP_FILTERS;
}

const char *prune_to_string(Prune prune)
{
        static const char *const texts[_PRUNE_MAX] = {
                [PRUNE_DELETE] = "is a ghost",
                [PRUNE_KEEP_FILTERED] = "does not fit the filters",
                [PRUNE_KEEP_ONLINE] = "is online",
                [PRUNE_KEEP_RUNNING] = "has running jobs",
                [PRUNE_KEEP_MANAGER] = "has a live manager",
                [PRUNE_KEEP_RECENT] = "was heard of, or created, too recently",
                [PRUNE_SKIP_FILTERS] = "this GitLab does not tell whether it fits the filters",
                [PRUNE_SKIP_ONLINE] = "this GitLab does not tell whether it is online",
                [PRUNE_SKIP_JOBS] = "this GitLab does not tell whether it has running jobs",
                [PRUNE_SKIP_MANAGERS] = "this GitLab does not tell whether it has a live manager",
                [PRUNE_SKIP_CONTACT] = "this GitLab does not tell when it last called",
                [PRUNE_SKIP_CREATION] = "it never called, and this GitLab does not tell when it was created",
        };

        return (unsigned)prune < _PRUNE_MAX ? texts[prune] : "is unknown";
}

static uint64_t read_time(Slice object, const char *key)
{
        Slice value;
        uint64_t at;

        if (!slice_member(object, key, &value) || !slice_is_string(value) ||
                time_parse_rfc3339(value.data + 1, value.size - 2, &at) < 0)
                return 0;
        return at;
}

bool prune_manager_is_live(Slice manager, uint64_t now_usec, uint64_t span_usec)
{
        Slice status, contacted = {0};

        if (slice_member(manager, "status", &status) && slice_text_is(status, "online"))
                return true;
        if (!slice_member(manager, "contacted_at", &contacted))
                return true;
        /* Made, and never heard of: as old as its making. */
        uint64_t at = read_time(manager, slice_is_null(contacted) ? "created_at" : "contacted_at");
        return at == 0 || !is_old(at, now_usec, span_usec);
}

void prune_read_details(Slice details, PruneFacts *f)
{
        Slice value;

        f->contacted_at_usec = read_time(details, "contacted_at");
        f->created_at_usec = read_time(details, "created_at");
        if (slice_member(details, "contacted_at", &value))
                f->contacted = slice_is_null(value) ? TOLD_NO : TOLD_YES;
        if (slice_member(details, "online", &value)) {
                if (slice_is(value, "true"))
                        f->online = TOLD_YES;
                else if (slice_is(value, "false") || (slice_is_null(value) && f->contacted == TOLD_NO))
                        f->online = TOLD_NO;
        }
        if (slice_member(details, "status", &value) && slice_text_is(value, "online"))
                f->online = TOLD_YES;
        if (slice_member(details, "job_execution_status", &value)) {
                if (slice_text_is(value, "active"))
                        f->running_jobs = TOLD_YES;
                else if (slice_text_is(value, "idle"))
                        f->running_jobs = TOLD_NO;
        }
}
