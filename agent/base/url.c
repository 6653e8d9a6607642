#include "agent/base/url.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/base/cleanup.h"

/* The parts of a url; all point into it. */
typedef struct Parts {
        size_t scheme_size;
        const char *user; /* NULL: no `@` */
        const char *host;
        size_t host_size;
        const char *port; /* NULL: no `:` behind the host */
        size_t port_size;
        const char *path; /* `/` or the end */
} Parts;

static bool is_host_character(char c)
{
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' ||
               c == '_';
}

/* Takes a url apart without judging it; false: no `scheme://`. */
static bool split(const char *url, Parts *ret)
{
        const char *colon = strstr(url, "://");

        if (!colon)
                return false;
        Parts parts = {.scheme_size = (size_t)(colon - url)};
        const char *authority = colon + 3;

        parts.path = authority + strcspn(authority, "/?#");
        parts.host = authority;
        for (const char *p = parts.path; p > authority; p--)
                if (p[-1] == '@') {
                        parts.user = authority;
                        parts.host = p;
                        break;
                }
        const char *end = parts.path;
        const char *bracket = parts.host[0] == '[' ? memchr(parts.host, ']', (size_t)(end - parts.host)) : NULL;
        const char *from = bracket ? bracket + 1 : parts.host;

        parts.port = memchr(from, ':', (size_t)(end - from));
        parts.host_size = (size_t)((parts.port ? parts.port : end) - parts.host);
        if (parts.port)
                parts.port_size = (size_t)(end - ++parts.port);
        *ret = parts;
        return true;
}

static bool scheme_is(const char *url, const Parts *parts, const char *scheme)
{
        return strlen(scheme) == parts->scheme_size && strncasecmp(url, scheme, parts->scheme_size) == 0;
}

static bool host_is_valid(const Parts *parts)
{
        const char *host = parts->host;
        size_t n = parts->host_size;

        if (n == 0 || n > 255)
                return false;
        if (host[0] == '[') {
                if (n < 4 || host[n - 1] != ']')
                        return false;
                for (size_t i = 1; i < n - 1; i++)
                        if (!strchr("0123456789abcdefABCDEF:.", host[i]))
                                return false;
                return memchr(host, ':', n) != NULL;
        }
        if (host[0] == '.' || host[0] == '-')
                return false;
        for (size_t i = 0; i < n; i++)
                if (!is_host_character(host[i]))
                        return false;
        return true;
}

static bool port_is_valid(const Parts *parts)
{
        unsigned value = 0;

        if (!parts->port)
                return true;
        if (parts->port_size == 0 || parts->port_size > 5)
                return false;
        for (size_t i = 0; i < parts->port_size; i++) {
                if (parts->port[i] < '0' || parts->port[i] > '9')
                        return false;
                value = value * 10 + (unsigned)(parts->port[i] - '0');
        }
        return value >= 1 && value <= 65535;
}

/* This very host, for which plain http gives nothing away: localhost (RFC 6761) and the loopback addresses. */
static bool host_is_loopback(const Parts *parts)
{
        static const char local[] = "localhost";
        const char *host = parts->host;
        size_t n = parts->host_size, size = sizeof(local) - 1;

        if (n > 0 && host[n - 1] == '.')
                n--;
        if (n >= size && strncasecmp(host + n - size, local, size) == 0 && (n == size || host[n - size - 1] == '.'))
                return true;
        if (n == 5 && memcmp(host, "[::1]", 5) == 0)
                return true;

        /* 127.0.0.0/8, written in full: a shorter form could be a name. */
        unsigned dots = 0, value = 0, digits = 0;
        if (n < 9 || memcmp(host, "127.", 4) != 0)
                return false;
        for (size_t i = 0; i < n; i++) {
                if (host[i] == '.') {
                        if (digits == 0)
                                return false;
                        dots++;
                        value = digits = 0;
                        continue;
                }
                if (host[i] < '0' || host[i] > '9')
                        return false;
                value = value * 10 + (unsigned)(host[i] - '0');
                if (++digits > 3 || value > 255)
                        return false;
        }
        return dots == 3 && digits > 0;
}

static bool is_hex(char c)
{
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* What is wrong with the characters, or NULL. */
static const char *find_bad_character(const char *url)
{
        for (const char *p = url; *p; p++) {
                if (*p == ' ' || *p == '\t')
                        return "holds a blank";
                if ((unsigned char)*p < ' ' || *p == 0x7f)
                        return "holds a control character";
                if ((unsigned char)*p > 0x7f)
                        return "holds a character beyond ASCII";
                if (*p == '$')
                        return "holds `$`, which gitlab-runner would expand";
                if (strchr("\"'<>\\^`{|}", *p))
                        return "holds a character that no url has";
                if (*p == '%' && (!is_hex(p[1]) || !is_hex(p[2])))
                        return "holds a `%` without two hexadecimal digits behind it";
        }
        return NULL;
}

static int refuse(char **reterr, const char *text)
{
        if (reterr) {
                *reterr = strdup(text);
                if (!*reterr)
                        return -ENOMEM;
        }
        return -EINVAL;
}

/* gitlab-runner cuts a trailing `/ci` without looking what it belongs to, and would ask `http:/`. */
static bool host_is_cut_off(const Parts *parts)
{
        return parts->host_size == 2 && memcmp(parts->host, "ci", 2) == 0 && !parts->port &&
               strspn(parts->path, "/") == strlen(parts->path);
}

static const char *find_problem(const char *url, const Parts *parts)
{
        if (!scheme_is(url, parts, "https") && !scheme_is(url, parts, "http"))
                return "has a scheme other than https and http";
        if (parts->user)
                return "holds credentials";
        if (!host_is_valid(parts))
                return "has no valid host";
        if (!port_is_valid(parts))
                return "has no valid port";
        if (host_is_cut_off(parts))
                return "has the bare host `ci`, which gitlab-runner takes for a path";
        if (strchr(parts->path, '?'))
                return "has a query";
        if (strchr(parts->path, '#'))
                return "has a fragment";
        return NULL;
}

int url_check(const char *url, char **reterr)
{
        const char *problem;
        Parts parts;

        if (!url || !*url)
                return refuse(reterr, "is empty");
        if (strlen(url) > URL_SIZE_MAX)
                return refuse(reterr, "is longer than 2048 bytes");
        problem = find_bad_character(url);
        if (problem)
                return refuse(reterr, problem);
        if (!split(url, &parts))
                return refuse(reterr, "has no scheme");
        problem = find_problem(url, &parts);
        return problem ? refuse(reterr, problem) : 0;
}

bool url_is_exposed(const char *url)
{
        Parts parts;

        return split(url, &parts) && scheme_is(url, &parts, "http") && !host_is_loopback(&parts);
}

static const char *find_proxy_problem(const char *url, const Parts *parts)
{
        static const char *const schemes[] = {"http", "https", "socks4", "socks4a", "socks5", "socks5h"};
        bool known = false;

        for (size_t i = 0; i < ELEMENTS(schemes); i++)
                known = known || scheme_is(url, parts, schemes[i]);
        if (!known)
                return "has an unknown scheme";
        if (!host_is_valid(parts))
                return "has no valid host";
        if (!port_is_valid(parts))
                return "has no valid port";
        if (parts->path[0] && strcmp(parts->path, "/") != 0)
                return "has a path";
        return NULL;
}

int url_check_proxy(const char *url, bool *ret_secret, char **reterr)
{
        const char *problem;
        Parts parts;

        if (strlen(url) > URL_SIZE_MAX)
                return refuse(reterr, "is longer than 2048 bytes");
        for (const char *p = url; *p; p++)
                if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f)
                        return refuse(reterr, "holds a blank, a control character or one beyond ASCII");
        if (!split(url, &parts))
                return refuse(reterr, "has no scheme");
        problem = find_proxy_problem(url, &parts);
        if (problem)
                return refuse(reterr, problem);
        *ret_secret = parts.user != NULL;
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

int url_compare(const char *a, const char *b)
{
        size_t n_a = base_size(a), n_b = base_size(b), caseless_a = caseless_size(a), caseless_b = caseless_size(b);

        for (size_t i = 0; i < n_a && i < n_b; i++) {
                char x = i < caseless_a ? small(a[i]) : a[i], y = i < caseless_b ? small(b[i]) : b[i];

                if (x != y)
                        return (unsigned char)x < (unsigned char)y ? -1 : 1;
        }
        return n_a < n_b ? -1 : n_a > n_b;
}

bool url_equal(const char *a, const char *b)
{
        return a && b && url_compare(a, b) == 0;
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
