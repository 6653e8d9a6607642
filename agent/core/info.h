#pragma once

/* The `info` object that gitlab-runner of this host would send: GitLab keeps the first one for 40 to 55 minutes and
 * chooses jobs by it, so ours must claim what the neighbour can. Source: gitlab-runner's network/gitlab.go. */

#include <stdbool.h>

/* The local gitlab-runner, as its --version tells. */
typedef struct Neighbour {
        char *version; /* "19.4.0" */
        char *revision;
        char *platform; /* Go's name */
        char *architecture;
        char *user_agent; /* the header gitlab-runner would send */
} Neighbour;

void neighbour_done(Neighbour *neighbour);

/* Reads the six lines of `gitlab-runner --version`. -EBADMSG where version or OS/Arch is missing. */
int neighbour_parse(const char *text, Neighbour *ret);

/* What is sent where no gitlab-runner is installed yet: the newest known version, this machine's architecture (Go's
 * name, from MACHINE as uname gives it). */
int neighbour_default(const char *machine, Neighbour *ret);

/* Encodes the object for EXECUTOR (NULL: the row of an empty entry, as `register` sends), with SHELL (NULL: the
 * executor's default) and GPUS (NULL: none). Returns 0 or -ENOMEM. */
int info_encode(const Neighbour *neighbour, const char *executor, const char *shell, const char *gpus, char **ret);
