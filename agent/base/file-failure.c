#include "agent/base/file-failure.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* What a person can do about ERROR, as the end of a sentence; NULL: the reason says it all. */
static const char *failure_remedy(int error)
{
        switch (error) {
        case ENOSPC:
                return "free some space there";
        case EDQUOT:
                return "free some space there, or raise the quota";
        case EACCES:
                return "look at the owner and mode of the path, and at the user this program runs as";
        case EPERM:
                return "look at the owner of the path and at its attributes (lsattr), and at the user this program "
                       "runs as";
        case EIO:
                return "look at the kernel's log and at the disk";
        case EMFILE:
        case ENFILE:
                return "raise the limit of open files (LimitNOFILE=)";
        default:
                return NULL;
        }
}

int file_failure(char **reterr, int error, const char *verb, const char *folder, const char *name)
{
        const char *slash = name && strcmp(folder, "/") != 0 ? "/" : "", *remedy = failure_remedy(-error);
        int r;

        if (!reterr)
                return error;
        if (!name)
                name = "";
        switch (-error) {
        case EROFS:
                r = asprintf(reterr,
                        "Failed to %s '%s%s%s': the file system is read-only; remount it, or, if only this service "
                        "sees it so, add ReadWritePaths=%s to its unit",
                        verb, folder, slash, name, folder);
                break;
        case ELOOP:
                r = asprintf(reterr,
                        "Failed to %s '%s%s%s': it is a link where none is followed, or leads in a circle", verb,
                        folder, slash, name);
                break;
        case EINVAL:
                r = asprintf(reterr, "Failed to %s '%s%s%s': not a regular file", verb, folder, slash, name);
                break;
        case EFBIG:
                r = asprintf(reterr, "Failed to %s '%s%s%s': it is larger than such a file can be", verb, folder,
                        slash, name);
                break;
        default:
                errno = -error;
                r = asprintf(reterr, "Failed to %s '%s%s%s': %m%s%s", verb, folder, slash, name, remedy ? "; " : "",
                        remedy ? remedy : "");
        }
        if (r < 0)
                *reterr = NULL;
        return error;
}
