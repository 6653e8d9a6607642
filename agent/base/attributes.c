#include "agent/base/attributes.h"

#include <stdbool.h>
#include <string.h>
#include <sys/xattr.h>

#include "agent/base/cleanup.h"

#define ACL "system.posix_acl_access"

/* The kernel's XATTR_LIST_MAX and XATTR_SIZE_MAX: nothing larger can come. */
#define LIST_MAX  65536
#define VALUE_MAX 65536

/* Both are how a file system says that it knows of no such thing. */
static bool is_unknown(int error)
{
        return error == ENOTSUP || error == ENODATA || error == ENOSYS;
}

static int copy_acl(int to, int from, char *value)
{
        ssize_t size = fgetxattr(from, ACL, value, VALUE_MAX);

        if (size >= 0)
                return fsetxattr(to, ACL, value, (size_t)size, 0) < 0 ? -errno : 0;
        if (!is_unknown(errno))
                return -errno;
        return fremovexattr(to, ACL) < 0 && !is_unknown(errno) ? -errno : 0;
}

static bool is_wanted(const char *name)
{
        return strncmp(name, "user.", 5) == 0 || strcmp(name, "security.selinux") == 0;
}

int attributes_copy(int to, int from)
{
        _cleanup_free_ char *value = malloc(VALUE_MAX), *names = malloc(LIST_MAX);
        ssize_t size;
        int r;

        if (!value || !names)
                return -ENOMEM;
        r = copy_acl(to, from, value);
        if (r < 0)
                return r;
        size = flistxattr(from, names, LIST_MAX);
        /* Whatever fails from here on is no reason to let config.toml be: a label is the policy's to give, and a full
         * disk shows again when the content is written. */
        for (const char *name = names; size > 0 && name < names + size; name += strlen(name) + 1) {
                if (!is_wanted(name))
                        continue;
                ssize_t n = fgetxattr(from, name, value, VALUE_MAX);
                if (n >= 0)
                        (void)fsetxattr(to, name, value, (size_t)n, 0);
        }
        return 0;
}
