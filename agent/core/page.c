#include "agent/core/page.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/base/cleanup.h"
#include "agent/core/text.h"

/* An opaque cursor of GitLab's has about a hundred. */
#define CURSOR_MAX 2048

#define HOST_SHOWN_MAX 100

void page_done(Page *page)
{
        free(page->cursor);
        free(page->host);
        *page = (Page){0};
}

/* Scheme, host and port of an url. */
typedef struct Origin {
        bool https;
        const char *host;
        size_t host_size;
        const char *port; /* empty: the scheme's own */
        size_t port_size;
        const char *rest;
} Origin;

/* False: nothing that may be compared, a user in front of the host included. */
static bool read_origin(const char *url, size_t size, Origin *ret)
{
        const char *end = url + size, *host, *stop;
        Origin origin = {0};

        if (size > 8 && strncasecmp(url, "https://", 8) == 0) {
                origin.https = true;
                host = url + 8;
        } else if (size > 7 && strncasecmp(url, "http://", 7) == 0)
                host = url + 7;
        else
                return false;
        for (stop = host; stop < end && !strchr("/?#\\", *stop); stop++)
                if (*stop == '@' || *stop <= ' ' || *stop == 0x7f)
                        return false;

        const char *colon = stop;
        while (colon > host && colon[-1] >= '0' && colon[-1] <= '9')
                colon--;
        origin.host = host;
        origin.host_size = (size_t)(stop - host);
        if (colon > host && colon[-1] == ':') {
                origin.port = colon;
                origin.port_size = (size_t)(stop - colon);
                origin.host_size = (size_t)(colon - 1 - host);
        }
        const char *usual = origin.https ? "443" : "80";
        if (origin.port_size == strlen(usual) && memcmp(origin.port, usual, origin.port_size) == 0)
                origin.port_size = 0;
        origin.rest = stop;
        *ret = origin;
        return origin.host_size > 0;
}

static bool origin_equal(const Origin *a, const Origin *b)
{
        return a->https == b->https && a->host_size == b->host_size &&
               strncasecmp(a->host, b->host, a->host_size) == 0 && a->port_size == b->port_size &&
               (a->port_size == 0 || memcmp(a->port, b->port, a->port_size) == 0);
}

/* The target of the Link whose relation is `next`. */
static bool find_next(const char *link, const char **ret, size_t *ret_size)
{
        while ((link = strchr(link, '<'))) {
                const char *target = link + 1, *close = strchr(target, '>');

                if (!close)
                        return false;
                /* Parameters end where the next link begins. */
                size_t size = strcspn(close, "<");
                if (memmem(close, size, "rel=\"next\"", strlen("rel=\"next\""))) {
                        *ret = target;
                        *ret_size = (size_t)(close - target);
                        return true;
                }
                link = close + size;
        }
        return false;
}

static int hex(char c)
{
        if (!isxdigit((unsigned char)c))
                return -1;
        return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* The decoded parameter NAME of the query that begins in TEXT. 0 with NULL where there is none; -EINVAL where it is
 * nothing that we would send; -ENOMEM. */
static int read_query(const char *text, size_t size, const char *name, char **ret)
{
        const char *end = text + size, *p = memchr(text, '?', size);
        size_t n = strlen(name), out = 0;

        *ret = NULL;
        while (p && ((size_t)(end - p) < n + 2 || memcmp(p + 1, name, n) != 0 || p[n + 1] != '='))
                p = memchr(p + 1, '&', (size_t)(end - p - 1));
        if (!p)
                return 0;
        p += n + 2;

        const char *stop = p;
        while (stop < end && *stop != '&' && *stop != '#')
                stop++;
        if (stop == p || stop - p > CURSOR_MAX)
                return -EINVAL;
        _cleanup_free_ char *value = malloc((size_t)(stop - p) + 1);
        if (!value)
                return -ENOMEM;
        for (; p < stop; p++) {
                char c = *p == '+' ? ' ' : *p;

                if (c == '%') {
                        if (stop - p < 3 || hex(p[1]) < 0 || hex(p[2]) < 0)
                                return -EINVAL;
                        c = (char)(hex(p[1]) << 4 | hex(p[2]));
                        p += 2;
                }
                if ((unsigned char)c < ' ' || c == 0x7f)
                        return -EINVAL;
                value[out++] = c;
        }
        value[out] = 0;
        *ret = take_ptr(value);
        return 0;
}

static bool read_number(const char *text, int64_t *ret)
{
        int64_t number = 0;

        if (strlen(text) > 15)
                return false;
        for (; *text; text++) {
                if (*text < '0' || *text > '9')
                        return false;
                number = number * 10 + (*text - '0');
        }
        *ret = number;
        return true;
}

static int follow_link(const char *target, size_t size, int64_t number, const char *cursor, Page *page)
{
        _cleanup_free_ char *value = NULL;

        page->kind = PAGE_BROKEN;
        int r = read_query(target, size, number > 0 ? "page" : "cursor", &value);
        if (r < 0 || !value)
                return r == -ENOMEM ? r : 0;
        if (number > 0) {
                if (read_number(value, &page->number) && page->number > number)
                        page->kind = PAGE_NUMBER;
                return 0;
        }
        if (cursor && strcmp(cursor, value) == 0)
                return 0;
        page->cursor = take_ptr(value);
        page->kind = PAGE_CURSOR;
        return 0;
}

int page_next(const Reply *reply, const char *url, int64_t number, const char *cursor, Page *ret)
{
        Origin ours, theirs;
        const char *target;
        size_t size;

        *ret = (Page){.kind = PAGE_LAST};
        if (number > 0 && reply->next_page) {
                if (!*reply->next_page)
                        return 0;
                ret->kind = read_number(reply->next_page, &ret->number) && ret->number > number ? PAGE_NUMBER
                                                                                                : PAGE_BROKEN;
                return 0;
        }
        if (!reply->link || !find_next(reply->link, &target, &size))
                return 0;
        if (!read_origin(target, size, &theirs)) {
                ret->kind = PAGE_BROKEN;
                return 0;
        }
        if (!read_origin(url, strlen(url), &ours) || !origin_equal(&ours, &theirs)) {
                ret->kind = PAGE_FOREIGN;
                return text_show(target, (size_t)(theirs.rest - target), HOST_SHOWN_MAX, &ret->host);
        }
        return follow_link(target, size, number, cursor, ret);
}

unsigned page_smaller(unsigned rows)
{
        static const unsigned sizes[] = {50, 25, 5, 1};

        for (size_t i = 0; i < ELEMENTS(sizes); i++)
                if (sizes[i] < rows && rows % sizes[i] == 0)
                        return sizes[i];
        return 0;
}
