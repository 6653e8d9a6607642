#include "agent/core/reply-headers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/base/cleanup.h"

static const struct {
        const char *name;
        size_t offset;
} kept[] = {
        {"Content-Type", offsetof(Reply, content_type)},
        {"Location", offsetof(Reply, location)},
        {"Retry-After", offsetof(Reply, retry_after)},
        {"RateLimit-Limit", offsetof(Reply, ratelimit_limit)},
        {"RateLimit-Observed", offsetof(Reply, ratelimit_observed)},
        {"RateLimit-Remaining", offsetof(Reply, ratelimit_remaining)},
        {"RateLimit-ResetTime", offsetof(Reply, ratelimit_reset_time)},
        {"Date", offsetof(Reply, date)},
        {"X-Next-Page", offsetof(Reply, next_page)},
        {"Link", offsetof(Reply, link)},
        {"X-Total", offsetof(Reply, total)},
        {"ETag", offsetof(Reply, etag)},
};

static char **place_of(Reply *reply, size_t i)
{
        return (char **)((char *)reply + kept[i].offset);
}

static char **find_place(Reply *reply, const char *name, size_t size)
{
        for (size_t i = 0; i < ELEMENTS(kept); i++)
                if (strlen(kept[i].name) == size && strncasecmp(name, kept[i].name, size) == 0)
                        return place_of(reply, i);
        return NULL;
}

static void forget(Reply *reply)
{
        for (size_t i = 0; i < ELEMENTS(kept); i++) {
                free(*place_of(reply, i));
                *place_of(reply, i) = NULL;
        }
}

static bool is_blank(char c)
{
        return c == ' ' || c == '\t' || c == '\r';
}

/* strndup() wants a string, which curl's bytes are not: nothing ends them. */
static char *copy_bytes(const char *bytes, size_t size)
{
        char *copy = malloc(size + 1);

        if (copy) {
                memcpy(copy, bytes, size);
                copy[size] = 0;
        }
        return copy;
}

int reply_headers_take(ReplyHeaders *headers, const char *line, size_t size)
{
        const char *end = line + size;

        if (size > REPLY_HEADER_MAX - headers->bytes)
                return -E2BIG;
        headers->bytes += size;

        while (end > line && (end[-1] == '\r' || end[-1] == '\n'))
                end--;
        if (end == line) {
                /* Behind the last block there are only trailers, which must not pass for headers. */
                headers->ended = true;
                return 0;
        }
        if (end - line >= 5 && memcmp(line, "HTTP/", 5) == 0) {
                /* What came before was an interim answer's (103), whose Link, say, is not the page's. */
                forget(headers->reply);
                headers->ended = false;
                return 0;
        }

        const char *colon = memchr(line, ':', (size_t)(end - line));
        char **value = colon && !headers->ended ? find_place(headers->reply, line, (size_t)(colon - line)) : NULL;
        if (!value || *value)
                return 0;
        const char *start = colon + 1;
        /* Cut there it would be another value than the one that others on the way saw. */
        if (memchr(start, 0, (size_t)(end - start)))
                return 0;
        while (start < end && is_blank(*start))
                start++;
        while (end > start && is_blank(end[-1]))
                end--;
        *value = copy_bytes(start, (size_t)(end - start));
        return *value ? 0 : -ENOMEM;
}
