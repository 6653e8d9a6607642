#include "agent/core/url.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/base/cleanup.h"

static int refuse(char **reterr_message, const char *text)
{
        if (reterr_message) {
                *reterr_message = strdup(text);
                if (!*reterr_message)
                        return -ENOMEM;
        }
        return -EINVAL;
}

/* What may stand in a url unescaped, by RFC 3986; `$` apart, which gitlab-runner expands as a variable. */
static bool is_url_character(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               (c && strchr("-._~:/?#[]@!&'()*+,;=%", c));
}

static bool is_hex(char c)
{
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static const char *check_characters(const char *url)
{
        for (const char *p = url; *p; p++) {
                if ((unsigned char)*p <= ' ' || *p == 0x7F)
                        return p == url ? "begins with a blank" : "holds a blank or a control character";
                if (*p == '$')
                        return "holds a '$', which gitlab-runner would expand as a variable";
                if (!is_url_character(*p))
                        return "holds a character that urls only take escaped";
                if (*p == '%' && (!is_hex(p[1]) || !is_hex(p[2])))
                        return "holds a '%' without two hexadecimal digits behind it";
        }
        return NULL;
}

static const char *check_port(const char *port, size_t n)
{
        unsigned long value = 0;

        for (size_t i = 0; i < n; i++) {
                if (port[i] < '0' || port[i] > '9' || n > 5)
                        return "has a port that is no number from 1 to 65535";
                value = value * 10 + (unsigned long)(port[i] - '0');
        }
        return value < 1 || value > 65535 ? "has a port that is no number from 1 to 65535" : NULL;
}

/* `host`, `host:port`, `[address]` or `[address]:port`. */
static const char *check_authority(const char *authority, size_t n)
{
        size_t host = n;

        if (memchr(authority, '@', n))
                return "carries credentials; a url is no place for them, name a token instead";
        if (n > 0 && authority[0] == '[') {
                const char *close = memchr(authority, ']', n);

                if (!close || close == authority + 1)
                        return "has a '[' without an address and a ']' behind it";
                host = (size_t)(close - authority) + 1;
                for (size_t i = 1; i + 1 < host; i++)
                        if (!is_hex(authority[i]) && authority[i] != ':' && authority[i] != '.')
                                return "has something other than an address between '[' and ']'";
        } else {
                const char *colon = memchr(authority, ':', n);

                if (colon)
                        host = (size_t)(colon - authority);
                if (host == 0)
                        return "names no host";
                if (memchr(authority, '[', host) || memchr(authority, ']', host))
                        return "has a '[' or ']' where none belongs";
        }
        if (host == n)
                return NULL;
        return authority[host] == ':' ? check_port(authority + host + 1, n - host - 1)
                                      : "has something behind the address that is no port";
}

int url_check(const char *url, char **reterr_message)
{
        const char *rest, *problem;

        if (!url || !*url)
                return refuse(reterr_message, "is empty");
        if (strlen(url) > URL_SIZE_MAX)
                return refuse(reterr_message, "is longer than 2048 bytes");
        problem = check_characters(url);
        if (problem)
                return refuse(reterr_message, problem);

        if (strncasecmp(url, "https://", 8) == 0)
                rest = url + 8;
        else if (strncasecmp(url, "http://", 7) == 0)
                rest = url + 7;
        else
                return refuse(reterr_message, "begins with neither https:// nor http://");

        /* gitlab-runner cuts a trailing `/ci` without looking what it belongs to, and asks `http:/`. */
        if (strcmp(rest, "ci") == 0 || (strncmp(rest, "ci/", 3) == 0 && strspn(rest + 2, "/") == strlen(rest + 2)))
                return refuse(reterr_message, "has the bare host 'ci', which gitlab-runner takes for a path");
        problem = check_authority(rest, strcspn(rest, "/?#"));
        if (problem)
                return refuse(reterr_message, problem);
        if (strchr(url, '?'))
                return refuse(reterr_message, "has a query ('?'), which would break every path behind it");
        if (strchr(url, '#'))
                return refuse(reterr_message, "has a fragment ('#'), which would break every path behind it");
        return 0;
}

/* How much of url is compared: all but trailing slashes and then one `/ci`. */
static size_t base_size(const char *url)
{
        size_t n = strlen(url);

        while (n > 0 && url[n - 1] == '/')
                n--;
        return n >= 3 && memcmp(url + n - 3, "/ci", 3) == 0 ? n - 3 : n;
}

/* How much of url is the same in any letter case (RFC 3986, 6.2.2.1): scheme and host. gitlab-runner would not see
 * two such urls as equal, but they are one GitLab, and two entries for it would be the worse outcome. */
static size_t caseless_size(const char *url)
{
        const char *authority = strstr(url, "://");

        return authority ? (size_t)(authority - url) + 3 + strcspn(authority + 3, "/?#") : 0;
}

static char small(char c)
{
        return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

int url_normalize(const char *url, char **ret)
{
        size_t n = base_size(url), caseless = caseless_size(url);
        char *copy = strndup(url, n);

        if (!copy)
                return -ENOMEM;
        for (size_t i = 0; i < n && i < caseless; i++)
                copy[i] = small(copy[i]);
        *ret = copy;
        return 0;
}

bool url_equal(const char *a, const char *b)
{
        if (!a || !b)
                return false;

        size_t n = base_size(a), caseless = caseless_size(a);
        if (n != base_size(b))
                return false;
        for (size_t i = 0; i < n; i++)
                if (i < caseless ? small(a[i]) != small(b[i]) : a[i] != b[i])
                        return false;
        return true;
}

int url_join(const char *url, const char *path, char **ret)
{
        _cleanup_free_ char *base = NULL;

        int r = url_check(url, NULL);
        if (r < 0)
                return r;
        r = url_normalize(url, &base);
        if (r < 0)
                return r;

        size_t n = strlen(base), size = strlen(path) + 1;
        char *joined = malloc(n + size);
        if (!joined)
                return -ENOMEM;
        memcpy(joined, base, n);
        memcpy(joined + n, path, size);
        *ret = joined;
        return 0;
}

int url_api_base(const char *url, char **ret)
{
        return url_join(url, "/api/v4/", ret);
}
