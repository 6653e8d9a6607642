/* What the shell and `status` may ask. */

#include "agent/core/lifecycle-internal.h"

#include <string.h>

static struct timespec usec_to_timespec(uint64_t usec)
{
        if (usec == 0)
                return (struct timespec){.tv_sec = ENTRY_TIME_ZERO_SEC};
        return (struct timespec){
                .tv_sec = (time_t)(usec / USEC_PER_SEC),
                .tv_nsec = (long)(usec % USEC_PER_SEC * 1000),
        };
}

/* Whether gitlab-runner is to see the true times, and so to rotate: never for a token that others share. */
static bool true_times(const Lifecycle *l)
{
        return l->record->ours && (l->record->handed_back || l->plan.rotation == ROTATION_GITLAB_RUNNER);
}

void lifecycle_entry_edit(Lifecycle *l, EntryEdit *ret)
{
        const Record *record = l->record;

        if (l->doing == ACTION_REMOVE_ENTRY) {
                *ret = (EntryEdit){
                        .kind = ENTRY_EDIT_REMOVE,
                        .index = ENTRY_INDEX_NONE,
                        .name = record->name,
                        .url = l->removing->url,
                        .guarded = true,
                        .holds = l->removing->token,
                };
                return;
        }
        l->edit_obtained_at = usec_to_timespec(record->token_obtained_at_usec / USEC_PER_SEC * USEC_PER_SEC);
        l->edit_expires_at = usec_to_timespec(true_times(l) ? record->token_expires_at_usec : 0);
        *ret = (EntryEdit){
                .kind = ENTRY_EDIT_UPSERT,
                .index = ENTRY_INDEX_NONE,
                .name = record->name,
                .url = l->plan.target.url,
                .guarded = true,
                .holds = entries_listed(l),
                .id = record->runner_id > 0 ? &record->runner_id : NULL,
                .token = record->token,
                .obtained_at = &l->edit_obtained_at,
                .expires_at = &l->edit_expires_at,
                .tls_ca_file = l->plan.target.tls_ca_file,
                .tls_cert_file = l->plan.target.tls_cert_file,
                .tls_key_file = l->plan.target.tls_key_file,
                .executor = l->plan.executor,
                .template_body = l->plan.template_body,
        };
}

bool lifecycle_unwritten(const Lifecycle *l)
{
        return l->entry_due || l->entry_missing || l->doing == ACTION_WRITE_ENTRY;
}

const Record *lifecycle_record(const Lifecycle *l)
{
        return l->record;
}

RunnerState lifecycle_state(const Lifecycle *l)
{
        return l->state;
}

const char *lifecycle_reason(const Lifecycle *l)
{
        return l->disk_reason ? l->disk_reason : l->reason ? l->reason : l->record->reason;
}

unsigned lifecycle_attempt(const Lifecycle *l)
{
        return l->attempt;
}

const char *lifecycle_last_verdict(const Lifecycle *l)
{
        return l->has_verdict ? verdict_to_string(l->last_verdict) : NULL;
}

static const char *doing_to_string(const Lifecycle *l)
{
        switch (l->doing) {
        case ACTION_SEND:
                return call_to_string(l->calling);
        case ACTION_READ_SECRET:
                return "read the token's source";
        case ACTION_TELL:
                return "tell gitlab-runner";
        case ACTION_WAIT:
                return "wait";
        case ACTION_PREPARE:
        case ACTION_SAVE:
        case ACTION_JOURNAL:
        case ACTION_WRITE_ENTRY:
        case ACTION_REMOVE_ENTRY:
        case ACTION_KEEP:
        case ACTION_STOPPED:
        case _ACTION_KIND_MAX:
                break;
        }
        return "write files";
}

const char *lifecycle_next(const Lifecycle *l, Now now, uint64_t *ret_at_usec, const char **ret_rule)
{
        uint64_t at = l->until_usec;
        const char *what;

        *ret_at_usec = 0;
        *ret_rule = NULL;
        if (l->doing == ACTION_STOPPED)
                return NULL;
        if (l->then) {
                *ret_rule = "under way";
                if (l->doing != ACTION_WAIT)
                        return doing_to_string(l);
                what = "go on";
                *ret_rule = l->resting;
        } else
                what = lifecycle_next_due(l, &at, ret_rule);
        if (!what)
                return NULL;
        *ret_at_usec = usec_add(now.realtime_usec, usec_sub(at, now.boottime_usec));
        return what;
}

bool lifecycle_owes(const Lifecycle *l)
{
        const Record *record = l->record;
        /* Before the start nobody has noted yet that its answer is lost. */
        bool open = record->intent.kind == INTENT_CREATE && !record->intent.lost;

        return record->n_debts > 0 || record->token || l->has_answer || open || record->n_leftovers > 0;
}

bool lifecycle_settled(const Lifecycle *l)
{
        /* A refused one may stand for a state file that nobody could read, which must not be forgotten. */
        return !l->plan.configured && l->record->state != RUNNER_STATE_REFUSED && !l->then && !lifecycle_owes(l);
}
