#include "agent/host/machine.h"

#include <ctype.h>
#include <string.h>
#include <sys/utsname.h>

#include "agent/base/file.h"

#define MACHINE_ID_SIZE 32
#define FACT_SIZE_MAX   4096

const MachinePaths *machine_paths_default(void)
{
        static const MachinePaths paths = {
                .machine_id = "/etc/machine-id",
                .dbus_machine_id = "/var/lib/dbus/machine-id",
                .instance_id = "/var/lib/cloud/data/instance-id",
                .image_build = "/etc/runner-registrar/image-build",
        };

        return &paths;
}

/* Whether ERROR lies in the file as it is, and will be the same the next time. Any other is a bad moment of the disk
 * or of ours; taken for a missing fact, a clone would pass for the machine that it was made of. */
static bool is_lasting(int error)
{
        static const int lasting[] = {
                ENOENT, ENOTDIR, ENOLINK, EACCES, EPERM, ELOOP, EISDIR, EINVAL, EFBIG, ENAMETOOLONG};

        for (size_t i = 0; i < ELEMENTS(lasting); i++)
                if (error == -lasting[i])
                        return true;
        return false;
}

/* Reads a small file of text, trimmed; an empty one is "". 1: it can't be read, now or later. */
static int read_fact(Disk *disk, const char *path, char **ret, char **reterr)
{
        _cleanup_secret_ Secret *content = NULL;
        _cleanup_free_ char *why = NULL;
        int r;

        r = file_read_path(disk, path, 0, FACT_SIZE_MAX, &content, NULL, &why);
        if (r < 0 && is_lasting(r))
                return 1;
        if (r < 0) {
                *reterr = take_ptr(why);
                return r;
        }
        secret_trim(content);
        *ret = strdup(secret_data(content));
        return *ret ? 0 : -ENOMEM;
}

/* `uninitialized` is what images carry before their first boot, and zeros are no machine's. */
static bool machine_id_is_valid(const char *text)
{
        return strlen(text) == MACHINE_ID_SIZE && strspn(text, "0123456789abcdefABCDEF") == MACHINE_ID_SIZE &&
               strspn(text, "0") < MACHINE_ID_SIZE;
}

static int read_machine_id(Disk *disk, const MachinePaths *paths, char **ret, char **reterr)
{
        _cleanup_free_ char *text = NULL;
        int r;

        r = read_fact(disk, paths->machine_id, &text, reterr);
        if (r != 0)
                return r < 0 ? r : 0;
        if (!machine_id_is_valid(text))
                return 0;
        for (char *c = text; *c; c++)
                *c = (char)tolower((unsigned char)*c);
        *ret = take_ptr(text);
        return 0;
}

/* gitlab-runner asks D-Bus's copy first, and the other file only where that one can't be read at all: so a stale copy
 * in an image makes all its clones the same machine, and an empty one gives each a random id. */
static int read_neighbour_id(Disk *disk, const MachinePaths *paths, char **ret, char **reterr)
{
        _cleanup_free_ char *text = NULL;
        int r;

        r = read_fact(disk, paths->dbus_machine_id, &text, reterr);
        if (r > 0)
                r = read_fact(disk, paths->machine_id, &text, reterr);
        if (r != 0)
                return r < 0 ? r : 0;
        if (text[0] != '\0')
                *ret = take_ptr(text);
        return 0;
}

static int read_instance_id(Disk *disk, const MachinePaths *paths, char **ret, char **reterr)
{
        _cleanup_free_ char *text = NULL;
        int r;

        r = read_fact(disk, paths->instance_id, &text, reterr);
        if (r != 0)
                return r < 0 ? r : 0;
        if (text[0] != '\0')
                *ret = take_ptr(text);
        return 0;
}

int machine_read(Disk *disk, const MachinePaths *paths, Machine *ret, char **reterr)
{
        _cleanup_(machine_done) Machine machine = {0};
        struct utsname uts;
        int r;

        r = read_machine_id(disk, paths, &machine.machine_id, reterr);
        if (r >= 0)
                r = read_neighbour_id(disk, paths, &machine.neighbour_id, reterr);
        if (r >= 0)
                r = read_instance_id(disk, paths, &machine.instance_id, reterr);
        if (r < 0)
                return r;
        (void)uname(&uts);
        machine.host_name = strdup(uts.nodename[0] != '\0' ? uts.nodename : "localhost");
        machine.architecture = strdup(uts.machine);
        if (!machine.host_name || !machine.architecture)
                return -ENOMEM;
        *ret = machine;
        machine = (Machine){0};
        return 0;
}

void machine_done(Machine *machine)
{
        free(machine->machine_id);
        free(machine->neighbour_id);
        free(machine->instance_id);
        free(machine->host_name);
        free(machine->architecture);
        *machine = (Machine){0};
}

int machine_make_system_id(const Machine *machine, Disk *disk, char ret[static SYSTEM_ID_SIZE + 1])
{
        unsigned char random[16];

        if (machine->neighbour_id)
                return system_id_from_machine(machine->neighbour_id, ret);
        disk_random(disk, random, sizeof(random));
        system_id_from_random(random, ret);
        return 0;
}

int machine_is_image_build(Disk *disk, const MachinePaths *paths, bool *ret, char **reterr)
{
        _cleanup_(folder_freep) Folder *folder = NULL;
        _cleanup_(file_closep) File *file = NULL;
        _cleanup_free_ char *name = NULL, *why = NULL;
        int r;

        r = folder_open_for(disk, paths->image_build, 0, &folder, &name, &why);
        if (r >= 0)
                r = file_open(folder, name, 0, 0, &file);
        switch (-r) {
        case 0:
        case EISDIR:
        case ELOOP:
        case ENOLINK:
        case EINVAL:
                *ret = true;
                return 0;
        case ENOENT:
        case ENOTDIR:
        case EACCES:
                *ret = false;
                return 0;
        default:
                *reterr = take_ptr(why);
                return *reterr || !folder ? r : file_failure(reterr, r, "look for", folder->path, name);
        }
}
