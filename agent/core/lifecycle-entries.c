/* What stands in config.toml under our name and url, and what others have written there. The rule of this file: a
 * token that nobody has judged yet is asked about, never written over. */

#include "agent/core/lifecycle-internal.h"

#include <string.h>

static uint64_t entry_time(const struct timespec *t)
{
        return t->tv_sec <= 0 ? 0 : (uint64_t)t->tv_sec * USEC_PER_SEC + (uint64_t)t->tv_nsec / 1000;
}

EntryView entry_view(const Entry *entry)
{
        return (EntryView){
                .url = entry->url,
                .token = entry_is_usable(entry) ? entry->token : NULL,
                .runner_id = entry->id,
                .obtained_at_usec = entry_time(&entry->obtained_at),
                .expires_at_usec = entry_time(&entry->expires_at),
        };
}

/* Of none of them: n_entries. */
static size_t find_entry(const Lifecycle *l, const Secret *token)
{
        size_t i = 0;

        while (i < l->n_entries && !secret_equal(l->entries[i].token, token))
                i++;
        return i;
}

bool entries_hold(const Lifecycle *l, const Secret *token)
{
        return find_entry(l, token) < l->n_entries;
}

const Secret *entries_listed(const Lifecycle *l)
{
        return l->listed < l->n_entries ? l->entries[l->listed].token : NULL;
}

static void forget_entries(Lifecycle *l)
{
        for (size_t i = 0; i < l->n_entries; i++)
                candidate_done(&l->entries[i]);
        l->n_entries = 0;
}

/* An entry that we could not remove when we withdrew its runner: nobody else's, and dead as far as we know. */
static bool left_behind(const Lifecycle *l, const Secret *token)
{
        const Record *record = l->record;

        for (size_t i = 0; i < record->n_leftovers; i++)
                if (secret_equal(record->leftovers[i].token, token) &&
                        url_equal(record->leftovers[i].url, l->plan.target.url))
                        return true;
        return false;
}

/* What stands there and was left by this host: owed, as another took its place or it was withdrawn. The power may
 * have gone before config.toml could be written. None: n_entries. */
static size_t left_there(const Lifecycle *l)
{
        const Record *record = l->record;

        for (size_t i = 0; i < l->n_entries; i++) {
                const Secret *token = l->entries[i].token;

                if (left_behind(l, token))
                        return i;
                for (size_t k = 0; k < record->n_debts; k++)
                        if (secret_equal(record->debts[k].token, token) &&
                                url_equal(record->debts[k].target.url, l->plan.target.url))
                                return i;
        }
        return l->n_entries;
}

void entries_relist(Lifecycle *l)
{
        size_t ours = find_entry(l, l->record->token), left = left_there(l);

        if (ours < l->n_entries)
                l->listed = ours;
        else if (left < l->n_entries)
                l->listed = left;
}

/* gitlab-runner rotates what is owed as long as its entry stands there: the power may have gone before we could
 * remove it. Both tokens are owed then; GitLab tells which of them lives, and its 403 pays the other. Under its own
 * url a configured runner takes it up instead. */
static void owe_rotated(Lifecycle *l, const EntryView *view)
{
        if (!view->token || view->runner_id <= 0 || (l->plan.configured && url_equal(view->url, l->plan.target.url)))
                return;
        for (size_t i = 0; i < l->record->n_debts; i++) {
                const Debt *debt = &l->record->debts[i];

                if (debt->token && debt->runner_id == view->runner_id && url_equal(debt->target.url, view->url) &&
                        !secret_equal(debt->token, view->token)) {
                        (void)lifecycle_owe_rotated(l, debt, view->token);
                        return;
                }
        }
}

void entries_keep(Lifecycle *l, const EntryView *views, size_t n)
{
        for (size_t i = 0; i < n; i++)
                owe_rotated(l, &views[i]);
        _cleanup_secret_ Secret *listed = l->listed < l->n_entries ? take_ptr(l->entries[l->listed].token) : NULL;
        forget_entries(l);
        for (size_t i = 0; i < n && l->n_entries < LIFECYCLE_CANDIDATES_MAX; i++) {
                Candidate *c = &l->entries[l->n_entries];

                if (!views[i].token || !url_equal(views[i].url, l->plan.target.url) ||
                        secret_copy(views[i].token, &c->token) < 0)
                        continue;
                c->runner_id = views[i].runner_id;
                c->obtained_at_usec = views[i].obtained_at_usec;
                c->expires_at_usec = views[i].expires_at_usec;
                l->n_entries++;
        }
        l->listed = find_entry(l, listed);
        entries_relist(l);
        lifecycle_set_due(l, DUE_ENTRIES, 0, "config.toml changed");
}

int entries_written(Lifecycle *l)
{
        const Record *record = l->record;
        const EntryView ours = {
                .url = l->plan.target.url,
                .token = record->token,
                .runner_id = record->runner_id,
                .obtained_at_usec = record->token_obtained_at_usec,
        };

        entries_keep(l, &ours, 1);
        lifecycle_set_never(l, DUE_ENTRIES);
        return l->n_entries > 0 ? 0 : -ENOMEM;
}

void entries_removed(Lifecycle *l)
{
        forget_entries(l);
        lifecycle_set_never(l, DUE_ENTRIES);
}

void entries_forget(Lifecycle *l, const Secret *token)
{
        size_t i = find_entry(l, token);

        if (i == l->n_entries)
                return;
        candidate_done(&l->entries[i]);
        l->n_entries--;
        memmove(l->entries + i, l->entries + i + 1, (l->n_entries - i) * sizeof(*l->entries));
        l->listed = l->n_entries;
        entries_relist(l);
}

bool entries_foreign(const Lifecycle *l)
{
        return l->n_entries > 0 && !entries_hold(l, l->record->token) && !entries_listed(l);
}

void entries_give_up(Lifecycle *l, const Secret *token)
{
        if (entries_foreign(l) && entries_hold(l, token))
                l->listed = find_entry(l, token);
}

int entries_copy(Lifecycle *l, bool ours)
{
        for (size_t i = 0; i < l->n_entries; i++) {
                Candidate c = l->entries[i];

                c.ours = ours;
                c.known = left_behind(l, c.token);
                if (candidate_add(l, &c) < 0)
                        return -ENOMEM;
        }
        return 0;
}

/* ---- a token there that is not ours ---- */

static Action entry_next(Lifecycle *l);

static Action entry_again(Lifecycle *l, const Judgement *j)
{
        const char *rule;

        l->attempt++;
        uint64_t wait = judgement_wait(l, j, l->attempt, &rule);
        lifecycle_set_due(l, DUE_ENTRIES, wait, rule);
        lifecycle_because(l, "%s", judgement_words(j));
        lifecycle_finish(l, COMMAND_REGISTER, EXIT_AGAIN, "%s", judgement_words(j));
        return act_decide(l);
}

static Action entry_judged(Lifecycle *l, const Event *event)
{
        const Judgement *j = event->judgement;

        switch (j->verdict) {
        case VERDICT_ALIVE:
                if (lifecycle_adopt(l, &l->candidates[l->candidate], &j->identity,
                            "another runner's token was put in its place in config.toml") < 0) {
                        lifecycle_set_due(l, DUE_ENTRIES, l->plan.retry_max_usec, "retry_max");
                        return act_decide(l);
                }
                lifecycle_notice(l, NOTICE_ADOPTED, "A newer token was found in config.toml");
                verify_alive(l, j);
                return act_decide(l);
        case VERDICT_DEAD:
                l->candidate++;
                return entry_next(l);
        case VERDICT_PERMANENT: /* a redirect or a failure of TLS judges no token */
        case VERDICT_AMBIGUOUS:
        case VERDICT_WAIT:
        case _VERDICT_MAX:
                break;
        }
        return entry_again(l, j);
}

static Action entry_probed(Lifecycle *l, const Event *event)
{
        const Judgement *j = event->judgement;

        if (j->verdict != VERDICT_ALIVE)
                return entry_again(l, j);
        l->probed = true;
        l->candidate = 0;
        return entry_next(l);
}

static Action entry_next(Lifecycle *l)
{
        if (l->candidate < l->n_candidates)
                return act_send(l, CALL_VERIFY, token_arguments(l, l->candidates[l->candidate].token), entry_judged);
        /* It was changed again meanwhile. */
        if (lifecycle_is_due(l, DUE_ENTRIES))
                return act_decide(l);
        /* It may be what gitlab-runner got from its last rotation, and stand nowhere else: a GitLab that calls all
         * tokens dead does not judge it. */
        if (!l->probed)
                return act_send(l, CALL_PROBE, (CallArguments){}, entry_probed);
        /* Not a token that GitLab takes: ours goes back in, after it has proved to be better. */
        entries_give_up(l, l->candidates[0].token);
        l->entry_missing = true;
        lifecycle_set_due(l, DUE_VERIFY, 0, "before config.toml is put right");
        return act_decide(l);
}

Action entries_check(Lifecycle *l)
{
        lifecycle_set_never(l, DUE_ENTRIES);
        if (l->n_entries == 0) {
                /* What was enrolled a moment ago is written at once; what was there, after it has been verified. */
                if (l->entry_due)
                        return act_decide(l);
                l->entry_missing = true;
                lifecycle_set_due(l, DUE_VERIFY, 0, "its entry is missing in config.toml");
                return act_decide(l);
        }
        if (!entries_foreign(l)) {
                /* Writing what stands there already changes no byte; anything else is put back. An entry that has
                 * never proved to be ours is left alone. */
                l->entry_due = l->entry_due || (l->plan.configured && (l->record->ours || l->record->manager_ours));
                return act_decide(l);
        }
        /* Copies: the file may change again while GitLab thinks. */
        lifecycle_drop_secrets(l);
        l->probed = false;
        if (entries_copy(l, false) < 0) {
                lifecycle_set_due(l, DUE_ENTRIES, l->plan.retry_max_usec, "retry_max");
                return act_decide(l);
        }
        return entry_next(l);
}
