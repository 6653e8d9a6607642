/* Preloaded: stands between libraries and the C library's allocator, and lets one allocation of theirs fail. What our
 * own code asks for, by itself or through the C library, is counted elsewhere (wrap.c) and not touched here.
 *
 *   FAULT_AT       the allocation that fails, counted from 1 since main(); without it none does
 *   FAULT_LASTING  set: that one and all after it
 *   FAULT_TRACE    a file that gets a line for each allocation that fails, or for all where none is to: its number,
 * the function (`!` where it failed), the library that asked */

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FRAMES_MAX 16

#define EXPORT __attribute__((visibility("default")))

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static struct {
        unsigned long at;
        bool lasting;
        int trace;
        uintptr_t begin, end; /* of the program */
        uintptr_t c_begin, c_end;
        _Atomic bool counting;
        _Atomic unsigned long n;
} faults;

/* Whoever finds out who called may allocate for it. */
static _Thread_local bool inside __attribute__((tls_model("initial-exec")));

static int look_at(struct dl_phdr_info *info, size_t size, void *userdata)
{
        bool program = !*info->dlpi_name, c = strstr(info->dlpi_name, "/libc.so") != NULL;

        for (int i = 0; (program || c) && i < info->dlpi_phnum; i++) {
                const ElfW(Phdr) *header = &info->dlpi_phdr[i];
                uintptr_t begin = info->dlpi_addr + header->p_vaddr;

                if (header->p_type != PT_LOAD || !(header->p_flags & PF_X))
                        continue;
                *(program ? &faults.begin : &faults.c_begin) = begin;
                *(program ? &faults.end : &faults.c_end) = begin + header->p_memsz;
        }
        return 0;
}

__attribute__((constructor)) static void begin(void)
{
        const char *at = getenv("FAULT_AT"), *trace = getenv("FAULT_TRACE");
        void *frames[FRAMES_MAX];

        faults.at = at ? strtoul(at, NULL, 10) : 0;
        faults.lasting = getenv("FAULT_LASTING") != NULL;
        faults.trace = -1;
        if (trace) {
                int fd = open(trace, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

                /* Out of the way of whoever counts descriptors. */
                faults.trace = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 200);
                (void)close(fd);
        }
        (void)dl_iterate_phdr(look_at, NULL);
        /* The first time loads what it needs. */
        (void)backtrace(frames, FRAMES_MAX);
}

static bool in_program(const void *address)
{
        return (uintptr_t)address >= faults.begin && (uintptr_t)address < faults.end;
}

static bool in_c_library(const void *address)
{
        return (uintptr_t)address >= faults.c_begin && (uintptr_t)address < faults.c_end;
}

/* Who asks: the C library asks for others, and the program's realloc() stands in front of the C library's. NULL: the
 * program itself. */
static void *find_asker(void *caller)
{
        void *frames[FRAMES_MAX];
        Dl_info info;

        if (!in_program(caller) && !in_c_library(caller))
                return caller;
        if (in_program(caller) &&
                (!dladdr(caller, &info) || !info.dli_sname || strcmp(info.dli_sname, "realloc") != 0))
                return NULL;
        int n = backtrace(frames, FRAMES_MAX), i = 0;
        while (i < n && frames[i] != caller)
                i++;
        for (i++; i < n; i++)
                if (!in_c_library(frames[i]))
                        return in_program(frames[i]) ? NULL : frames[i];
        return NULL;
}

static void note(unsigned long n, const char *function, bool fail, const void *asker)
{
        char line[512];
        Dl_info info;
        const char *name = dladdr(asker, &info) && info.dli_fname ? info.dli_fname : "?", *slash = strrchr(name, '/');
        int size =
                snprintf(line, sizeof(line), "%lu %s%s %s\n", n, function, fail ? "!" : "", slash ? slash + 1 : name);

        (void)!write(faults.trace, line, (size_t)size);
}

static bool fails(const char *function, void *caller)
{
        int saved = errno;
        bool fail = false;

        if (inside)
                return false;
        /* Its first allocation is main()'s first act. */
        if (!faults.counting && in_program(caller))
                faults.counting = true;
        if (!faults.counting)
                return false;
        inside = true;
        void *asker = find_asker(caller);
        if (asker) {
                unsigned long n = ++faults.n;

                fail = faults.at != 0 && (faults.lasting ? n >= faults.at : n == faults.at);
                if (faults.trace >= 0 && (fail || faults.at == 0))
                        note(n, function, fail, asker);
        }
        inside = false;
        errno = fail ? ENOMEM : saved;
        return fail;
}

EXPORT void *malloc(size_t size)
{
        return fails("malloc", __builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

EXPORT void *calloc(size_t n, size_t size)
{
        return fails("calloc", __builtin_return_address(0)) ? NULL : __libc_calloc(n, size);
}

EXPORT void *realloc(void *old, size_t size)
{
        return fails("realloc", __builtin_return_address(0)) ? NULL : __libc_realloc(old, size);
}

EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
        return fails("aligned_alloc", __builtin_return_address(0)) ? NULL : __libc_memalign(alignment, size);
}

EXPORT int posix_memalign(void **ret, size_t alignment, size_t size)
{
        void *p = fails("posix_memalign", __builtin_return_address(0)) ? NULL : __libc_memalign(alignment, size);

        if (p)
                *ret = p;
        return p ? 0 : ENOMEM;
}
