#include "agent/core/prune.h"

#include <stddef.h>
#include <stdlib.h>
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
        case FACT_YES:
                if (f->contacted_at_usec == 0)
                        return PRUNE_SKIP_CONTACT;
                return is_old(f->contacted_at_usec, now_usec, span_usec) ? PRUNE_DELETE : PRUNE_KEEP_RECENT;
        case FACT_NO:
                /* It may have been made a minute ago, for a host that is still starting. */
                if (f->created_at_usec == 0)
                        return PRUNE_SKIP_CREATION;
                return is_old(f->created_at_usec, now_usec, span_usec) ? PRUNE_DELETE : PRUNE_KEEP_RECENT;
        case FACT_UNKNOWN:
        case _FACT_MAX:
                break;
        }
        return PRUNE_SKIP_CONTACT;
}

Prune prune_decide(const PruneFacts *f, uint64_t now_usec, uint64_t span_usec)
{
        if (f->matches == FACT_NO)
                return PRUNE_KEEP_FILTERED;
        if (f->online == FACT_YES)
                return PRUNE_KEEP_ONLINE;
        if (f->running_jobs == FACT_YES)
                return PRUNE_KEEP_RUNNING;
        if (f->live_manager == FACT_YES)
                return PRUNE_KEEP_MANAGER;

        Prune age = decide_age(f, now_usec, span_usec);
        if (age != PRUNE_DELETE)
                return age;
        if (f->matches != FACT_YES)
                return PRUNE_SKIP_FILTERS;
        if (f->online != FACT_NO)
                return PRUNE_SKIP_ONLINE;
        if (f->running_jobs != FACT_NO)
                return PRUNE_SKIP_JOBS;
        if (f->live_manager != FACT_NO)
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
                f->contacted = slice_is_null(value) ? FACT_NO : FACT_YES;
        if (slice_member(details, "online", &value)) {
                if (slice_is(value, "true"))
                        f->online = FACT_YES;
                else if (slice_is(value, "false") || (slice_is_null(value) && f->contacted == FACT_NO))
                        f->online = FACT_NO;
        }
        if (slice_member(details, "status", &value) && slice_text_is(value, "online"))
                f->online = FACT_YES;
        if (slice_member(details, "job_execution_status", &value)) {
                if (slice_text_is(value, "active"))
                        f->running_jobs = FACT_YES;
                else if (slice_text_is(value, "idle"))
                        f->running_jobs = FACT_NO;
        }
}

static Fact told(bool value)
{
        return value ? FACT_YES : FACT_NO;
}

static Fact match_text(Slice details, const char *key, const char *text)
{
        Slice value;

        return slice_member(details, key, &value) && slice_is_string(value) ? told(slice_text_is(value, text))
                                                                            : FACT_UNKNOWN;
}

/* `paused`, and before it `active`. */
static Fact match_paused(Slice details, bool wanted)
{
        Slice value;

        if (slice_member(details, "paused", &value))
                return told(slice_is(value, "true") == wanted);
        if (slice_member(details, "active", &value))
                return told(slice_is(value, "false") == wanted);
        return FACT_UNKNOWN;
}

/* The words of `status`, and of `scope` before it. */
static Fact match_word(Slice details, const char *word)
{
        Slice value;

        if (strcmp(word, "active") == 0 || strcmp(word, "paused") == 0)
                return match_paused(details, strcmp(word, "paused") == 0);
        if (strcmp(word, "shared") == 0)
                return slice_member(details, "is_shared", &value) ? told(slice_is(value, "true")) : FACT_UNKNOWN;
        if (strcmp(word, "specific") == 0)
                return slice_member(details, "is_shared", &value) ? told(slice_is(value, "false")) : FACT_UNKNOWN;
        if (strstr(word, "_type"))
                return match_text(details, "runner_type", word);
        if (strcmp(word, "never_contacted") == 0 || strcmp(word, "not_connected") == 0)
                return slice_member(details, "contacted_at", &value) ? told(slice_is_null(value)) : FACT_UNKNOWN;
        if (strcmp(word, "stale") == 0)
                return match_text(details, "status", word);
        /* `offline` includes the stale ones, and leaves out those never heard of. */
        if (!slice_member(details, "online", &value))
                return FACT_UNKNOWN;
        return told(slice_is(value, strcmp(word, "online") == 0 ? "true" : "false"));
}

static Fact match_tags(Slice details, char *const *tags)
{
        Slice list, tag;

        if (!slice_member(details, "tag_list", &list) || !slice_is_array(list))
                return FACT_UNKNOWN;
        for (; *tags; tags++) {
                SliceCursor cursor = slice_enter(list);
                bool found = false;

                while (!found && slice_next_item(&cursor, &tag))
                        found = slice_text_is(tag, *tags);
                if (!found)
                        return FACT_NO;
        }
        return FACT_YES;
}

/* By component: 1 is no prefix of 16. Details tell only one version of a runner's machines. */
static Fact match_version(Slice details, const char *prefix)
{
        _cleanup_free_ char *version = NULL;
        size_t n = strlen(prefix);
        Slice value;

        while (n > 0 && prefix[n - 1] == '.')
                n--;
        if (!slice_member(details, "version", &value) || slice_text(value, &version) < 0)
                return FACT_UNKNOWN;
        bool fits = strncmp(version, prefix, n) == 0 && !(version[n] >= '0' && version[n] <= '9');
        return fits ? FACT_YES : FACT_UNKNOWN;
}

Fact prune_match(const Argument *filter, Slice details, unsigned release)
{
        if (strcmp(filter->name, "type") == 0)
                return match_text(details, "runner_type", filter->text);
        if (strcmp(filter->name, "status") == 0 || strcmp(filter->name, "scope") == 0)
                return match_word(details, filter->text);
        if (strcmp(filter->name, "paused") == 0)
                return match_paused(details, filter->integer);
        if (strcmp(filter->name, "tag_list") == 0)
                return match_tags(details, filter->list);
        if (strcmp(filter->name, "version_prefix") == 0)
                return release >= RELEASE(16, 0) ? FACT_YES : match_version(details, filter->text);
        /* Whose list it is stands in the path, which no server ignores. */
        return strcmp(filter->name, "id") == 0 ? FACT_YES : FACT_UNKNOWN;
}
