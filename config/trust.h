#pragma once

/* Whom a file listens to: whoever can write a configuration, a program, or a folder on the way to it, decides what we
 * do as root. */

#include <stdbool.h>
#include <sys/stat.h>

/* Whether others than its owner and root can read the file. */
bool trust_others_can_read(const struct stat *st);

typedef enum TrustFlags {
        TRUST_PRIVATE = 1 << 0,     /* others must not read it either */
        TRUST_PRIVATE_KEY = 1 << 1, /* …, but its group may: Debian's ssl-cert, for keys that daemons share */
        TRUST_PROGRAM = 1 << 2,     /* it must be executable */
} TrustFlags;

/* Walks PATH (a relative one from the working directory) with all its links and says whether root and we alone decide
 * what it holds: every folder and link on the way, and the regular file at its end, belongs to root or the effective
 * user, and nobody else can write it (a sticky folder may be written: what is inside is then judged by its owner).
 * RET may be NULL. -EPERM: others can; -ENOENT, -ELOOP, -ENOTDIR, -EISDIR, -EACCES and the like: it can't be used,
 * -EINVAL: no regular file, -ENOEXEC: no program; each with a sentence in *reterr. -ENOMEM. */
int trust_check_file(const char *path, TrustFlags flags, struct stat *ret, char **reterr);

/* trust_check_file(), and opens the file for reading. The same rules count for what was opened. */
int trust_open_file(const char *path, TrustFlags flags, int *ret_fd, struct stat *ret, char **reterr);
