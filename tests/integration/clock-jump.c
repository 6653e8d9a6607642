/* Preloaded, it lets a program's wall clock jump: by as many seconds as the file that CLOCK_JUMP names says (eight
 * bytes, as this machine writes an integer). The clocks that only go on are left alone. */

#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

__attribute__((visibility("default"))) int clock_gettime(clockid_t id, struct timespec *ret);

static const volatile int64_t *jump;
static int (*real)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void)
{
        const char *path = getenv("CLOCK_JUMP");
        int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        void *symbol = dlsym(RTLD_NEXT, "clock_gettime");

        /* ISO C has no cast from an object's to a function's address. */
        __builtin_memcpy(&real, &symbol, sizeof(real));
        void *memory = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*jump), PROT_READ, MAP_SHARED, fd, 0);
        if (memory != MAP_FAILED)
                jump = memory;
        if (fd >= 0)
                (void)close(fd);
}

int clock_gettime(clockid_t id, struct timespec *ret)
{
        if (!real)
                begin();
        int r = real(id, ret);

        if (r == 0 && jump && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
                ret->tv_sec += (time_t)*jump;
        return r;
}
