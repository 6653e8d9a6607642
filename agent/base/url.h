/* The url of a GitLab server as config.toml and our configuration carry it: checked, compared, and turned into the
 * base of API calls, all as gitlab-runner does it (network/client.go): trailing `/`s go, then one trailing `/ci`. */
#pragma once

#include <stdbool.h>

/* Longest url taken, in bytes. Beyond what any proxy or server on the way takes, and a bound for what we copy. */
#define URL_SIZE_MAX 2048U

/* 0 if url names a GitLab server: http or https, a host, a valid port, maybe a path (a relative root; a `/ci` or `/`
 * at its end is fine); no credentials, query, fragment, blanks or control characters, and no `$`, which gitlab-runner
 * would expand. Else -EINVAL and what is wrong in *reterr (caller frees; it goes on after "the url", and never quotes
 * it, as it may hold a password), or -ENOMEM. reterr may be NULL. */
int url_check(const char *url, char **reterr);

/* Whether tokens would go over the wire in the clear: plain http to a host that is not this one. */
bool url_is_exposed(const char *url);

/* The same as url_check() for a proxy: http, https, socks4, socks4a, socks5 or socks5h, maybe with credentials,
 * without path. *RET_SECRET: it holds some. */
int url_check_proxy(const char *url, bool *ret_secret, char **reterr);

/* The url in the form that is compared: scheme and host in small letters, trailing `/`s and then one trailing `/ci`
 * cut. Takes anything, checked or not. Caller frees *ret. -ENOMEM. */
int url_normalize(const char *url, char **ret);

/* Do both name the same GitLab? Equal after url_normalize(), without allocating. NULL equals nothing. */
bool url_equal(const char *a, const char *b);

/* Orders urls so that equal ones are neighbours. */
int url_compare(const char *a, const char *b);

/* The url with PATH (which begins with a slash) behind its end, `https://host/sub` + `/api/v4/`. Caller frees *ret.
 * -EINVAL where url_check() says so, -ENOMEM. */
int url_join(const char *url, const char *path, char **ret);
