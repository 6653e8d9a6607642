#pragma once

/* The url of a GitLab as a runner configures it. */

#include <stdbool.h>

/* Longest url taken, in bytes. */
#define CONFIG_URL_SIZE_MAX 2048

typedef enum ConfigUrlProblem {
        CONFIG_URL_OK,
        CONFIG_URL_PLAIN_HTTP, /* well formed, but http to a host that is not this one */
} ConfigUrlProblem;

/* Checks what makes a GitLab url: http or https, a host, a port, maybe a path (a relative root; a `/ci` or `/` at its
 * end is fine); no credentials, query, fragment, blanks. `$` is refused, as gitlab-runner would expand it. -EINVAL
 * and a sentence that never quotes the url (it may hold a password); -ENOMEM. */
int config_url_check(const char *url, ConfigUrlProblem *ret_problem, char **reterr);

/* Do both name the same GitLab, as gitlab-runner sees it? Scheme and host in any letter case, trailing `/`s and then
 * one trailing `/ci` ignored. NULL equals nothing. */
bool config_url_equal(const char *a, const char *b);

/* Orders urls so that equal ones, as above, are neighbours. */
int config_url_compare(const char *a, const char *b);

/* Checks a proxy's url: http, https, socks4, socks4a, socks5 or socks5h, maybe with credentials, without path.
 * *RET_SECRET: it holds a password. */
int config_proxy_check(const char *url, bool *ret_secret, char **reterr);
