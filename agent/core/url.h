/* The url of a GitLab server as config.toml and our configuration carry it: checked, compared, and turned into the
 * base of API calls, all as gitlab-runner does it (network/client.go): trailing `/`s go, then one trailing `/ci`. */
#pragma once

#include <stdbool.h>

/* Longest url taken, in bytes. Beyond what any proxy or server on the way takes, and a bound for what we copy. */
#define URL_SIZE_MAX 2048U

/* 0 if url names a GitLab server: http or https, a host, a valid port, no credentials, query, fragment, blanks or
 * control characters. Else -EINVAL and a sentence in *reterr_message (caller frees; never quotes the url, which may
 * hold a password), or -ENOMEM. reterr_message may be NULL. */
int url_check(const char *url, char **reterr_message);

/* The url in the form that is compared: scheme and host in small letters, trailing `/`s and then one trailing `/ci`
 * cut. Takes anything, checked or not. Caller frees *ret. -ENOMEM. */
int url_normalize(const char *url, char **ret);

/* Do both name the same GitLab? Equal after url_normalize(), without allocating. NULL equals nothing. */
bool url_equal(const char *a, const char *b);

/* The url with PATH (which begins with a slash) behind its end. As url_api_base(). */
int url_join(const char *url, const char *path, char **ret);

/* The base that API paths are appended to, `https://host/sub/api/v4/`. Caller frees *ret. -EINVAL where url_check()
 * says so, -ENOMEM. */
int url_api_base(const char *url, char **ret);
