#include "agent/core/heard.h"

#include <string.h>

/* A single answer without it may be a slip of the metadata service's; and coming back costs a drained gitlab-runner a
 * start, so nobody waits much longer than this either. */
#define CANCEL_ANSWERS 3
#define CANCEL_USEC    (2 * USEC_PER_SEC)

bool cloud_notice_takes_host(const CloudNotice *notice)
{
        return notice->kind == CLOUD_NOTICE_PREEMPTION || notice->kind == CLOUD_NOTICE_TERMINATION;
}

static void forget(Heard *heard, size_t i)
{
        memmove(heard->items + i, heard->items + i + 1, (heard->n - i - 1) * sizeof(*heard->items));
        heard->n--;
}

bool heard_is_news(Heard *heard, HeardSource source, const CloudNotice *notice, Now now)
{
        CloudNotice kept = *notice;

        /* By the clock that only goes on: a jump of the other one is no news. */
        kept.deadline_usec = now_to_boottime(now, kept.deadline_usec);
        for (size_t i = 0; i < heard->n; i++) {
                HeardNotice *old = &heard->items[i];

                if (!cloud_notice_same(&old->notice, notice))
                        continue;
                old->n_missing = 0;
                bool news = cloud_notice_is_news(&old->notice, &kept);
                if (news)
                        old->notice = kept;
                return news;
        }
        if (heard->n == HEARD_MAX)
                forget(heard, 0);
        heard->items[heard->n++] = (HeardNotice){.notice = kept, .source = source};
        return true;
}

static bool is_listed(const CloudNotice *notice, const CloudNotice *list, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (cloud_notice_same(notice, &list[i]))
                        return true;
        return false;
}

bool heard_count_missing(Heard *heard, HeardSource source, const CloudNotice *list, size_t n, Now now)
{
        bool missing = false;

        for (size_t i = 0; i < heard->n; i++) {
                HeardNotice *item = &heard->items[i];

                if (item->source != source || !cloud_notice_takes_host(&item->notice) ||
                        is_listed(&item->notice, list, n))
                        continue;
                if (item->n_missing++ == 0)
                        item->missing_since_usec = now.boottime_usec;
                missing = true;
        }
        return missing;
}

bool heard_take_cancelled(Heard *heard, HeardSource source, Now now, CloudNotice *ret)
{
        for (size_t i = 0; i < heard->n; i++) {
                const HeardNotice *item = &heard->items[i];

                if (item->source != source || item->n_missing < CANCEL_ANSWERS ||
                        usec_sub(now.boottime_usec, item->missing_since_usec) < CANCEL_USEC)
                        continue;
                *ret = item->notice;
                forget(heard, i);
                return true;
        }
        return false;
}

bool heard_takes_host(const Heard *heard)
{
        for (size_t i = 0; i < heard->n; i++)
                if (cloud_notice_takes_host(&heard->items[i].notice))
                        return true;
        return false;
}
