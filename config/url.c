#include "config/url.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "config/value.h"

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
        }
        return NULL;
}

int config_url_check(const char *url, ConfigUrlProblem *ret_problem, char **reterr)
{
        const char *bad = find_bad_character(url);
        Parts parts;

        if (strlen(url) > CONFIG_URL_SIZE_MAX)
                return value_fail(reterr, -EINVAL, "is longer than %d bytes", CONFIG_URL_SIZE_MAX);
        if (bad)
                return value_fail(reterr, -EINVAL, "%s", bad);
        if (!split(url, &parts))
                return value_fail(reterr, -EINVAL, "has no scheme");
        if (!scheme_is(url, &parts, "https") && !scheme_is(url, &parts, "http"))
                return value_fail(reterr, -EINVAL, "has a scheme other than https and http");
        if (parts.user)
                return value_fail(reterr, -EINVAL, "holds credentials");
        if (!host_is_valid(&parts))
                return value_fail(reterr, -EINVAL, "has no valid host");
        if (!port_is_valid(&parts))
                return value_fail(reterr, -EINVAL, "has no valid port");
        if (strchr(parts.path, '?'))
                return value_fail(reterr, -EINVAL, "has a query");
        if (strchr(parts.path, '#'))
                return value_fail(reterr, -EINVAL, "has a fragment");

        *ret_problem =
                scheme_is(url, &parts, "http") && !host_is_loopback(&parts) ? CONFIG_URL_PLAIN_HTTP : CONFIG_URL_OK;
        return 0;
}

int config_proxy_check(const char *url, bool *ret_secret, char **reterr)
{
        static const char *const schemes[] = {"http", "https", "socks4", "socks4a", "socks5", "socks5h"};
        Parts parts;
        bool known = false;

        if (strlen(url) > CONFIG_URL_SIZE_MAX)
                return value_fail(reterr, -EINVAL, "is longer than %d bytes", CONFIG_URL_SIZE_MAX);
        for (const char *p = url; *p; p++)
                if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f)
                        return value_fail(reterr, -EINVAL, "holds a blank, a control character or one beyond ASCII");
        if (!split(url, &parts))
                return value_fail(reterr, -EINVAL, "has no scheme");
        for (size_t i = 0; i < ELEMENTS(schemes); i++)
                known = known || scheme_is(url, &parts, schemes[i]);
        if (!known)
                return value_fail(reterr, -EINVAL, "has an unknown scheme");
        if (!host_is_valid(&parts))
                return value_fail(reterr, -EINVAL, "has no valid host");
        if (!port_is_valid(&parts))
                return value_fail(reterr, -EINVAL, "has no valid port");
        if (parts.path[0] && strcmp(parts.path, "/") != 0)
                return value_fail(reterr, -EINVAL, "has a path");
        *ret_secret = parts.user != NULL;
        return 0;
}

/* Where the part that is compared ends: without trailing `/`s and then one trailing `/ci` (network/client.go). */
static size_t significant_size(const char *url)
{
        size_t n = strlen(url);

        while (n > 0 && url[n - 1] == '/')
                n--;
        if (n >= 3 && memcmp(url + n - 3, "/ci", 3) == 0)
                n -= 3;
        return n;
}

static unsigned char lower(char c)
{
        return c >= 'A' && c <= 'Z' ? (unsigned char)(c - 'A' + 'a') : (unsigned char)c;
}

int config_url_compare(const char *a, const char *b)
{
        size_t n_a = significant_size(a), n_b = significant_size(b);
        unsigned slashes = 0;

        for (size_t i = 0; i < n_a && i < n_b; i++) {
                /* Scheme and host end before the third slash; behind it letter case counts. */
                int difference = slashes < 3 ? lower(a[i]) - lower(b[i]) : (unsigned char)a[i] - (unsigned char)b[i];
                if (difference != 0)
                        return difference;
                slashes += a[i] == '/';
        }
        return n_a < n_b ? -1 : n_a > n_b;
}

bool config_url_equal(const char *a, const char *b)
{
        return a && b && config_url_compare(a, b) == 0;
}
