/* Stands between the agent's own objects and the C library (`-Wl,--wrap=`), and lets one call of theirs fail: memory
 * that is not there, a file that can't be written, or a library that has none for us. What libraries
 * call themselves does not come this way.
 *
 *   FAULT_KIND     memory, files or library: which calls are counted
 *   FAULT_CALL     only calls of this name
 *   FAULT_AT       the call that fails, counted from 1; without it none does
 *   FAULT_ERRNO    the error's number (ENOMEM); 0: it is killed there
 *   FAULT_LASTING  set: that call and all of its kind after it, whatever their names
 *   FAULT_HASTE    by how many times the waits are shorter than configured: whoever looks on has no hour
 *   FAULT_FROM     main (default), or reload: where counting begins
 *   FAULT_TRACE    a file that gets a line for each call counted: its number, its name, `!` where it failed, and the
 *                  places in the program it came from, the innermost first
 *
 * A call that fails does nothing, as in the kernel; but close() closes. */

#include <dirent.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <poll.h>
#include <search.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <curl/curl.h>
#include <ini.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>
#include <yaml.h>

#include "agent/manager.h"
#include "config/load.h"

/* Deeper below main() our code never is. */
#define FRAMES_MAX 96

enum {
        MEMORY,
        FILES,
        LIBRARY,
        NOTHING,
};

static struct {
        int kind;
        const char *call;
        unsigned long at;
        int error;
        bool lasting;
        bool counting;
        bool struck;
        unsigned long n;
        FILE *trace;
} faults;

extern const char __executable_start, etext;

FILE *__real_fopen64(const char *path, const char *mode);

__attribute__((constructor)) static void begin(void)
{
        static const char *const kinds[] = {"memory", "files", "library"};
        const char *kind = getenv("FAULT_KIND"), *at = getenv("FAULT_AT"), *error = getenv("FAULT_ERRNO"),
                   *from = getenv("FAULT_FROM"), *trace = getenv("FAULT_TRACE");

        faults.kind = NOTHING;
        for (int i = 0; kind && i < NOTHING; i++)
                if (strcmp(kind, kinds[i]) == 0)
                        faults.kind = i;
        faults.call = getenv("FAULT_CALL");
        faults.at = at ? strtoul(at, NULL, 10) : 0;
        faults.error = error ? atoi(error) : ENOMEM;
        faults.lasting = getenv("FAULT_LASTING") != NULL;
        faults.counting = !from || strcmp(from, "main") == 0;
        if (trace)
                faults.trace = __real_fopen64(trace, "ae");
}

/* The way from main() to a call: the program's own return addresses, from CALLER outwards. */
static void print_way(FILE *f, const void *caller)
{
        void *frames[FRAMES_MAX];
        int n = backtrace(frames, FRAMES_MAX), i = 0;

        while (i < n && frames[i] != caller)
                i++;
        for (; i < n; i++) {
                const char *frame = frames[i];

                if (frame >= &__executable_start && frame < &etext)
                        fprintf(f, " %#tx", frame - &__executable_start);
        }
}

/* Counts a call, and says whether it is to fail; errno is set if it is. */
static bool fails(int kind, const char *name, const void *caller)
{
        if (!faults.counting || kind != faults.kind)
                return false;
        bool fail = faults.struck && faults.lasting;
        if (!faults.call || strcmp(name, faults.call) == 0) {
                faults.n++;
                fail = fail || (faults.at != 0 && faults.n == faults.at);
        }
        faults.struck = faults.struck || fail;
        int saved = errno;

        if (faults.trace && (fail || faults.at == 0)) {
                fprintf(faults.trace, "%lu %s%s", faults.n, name, fail ? "!" : "");
                print_way(faults.trace, caller);
                fputc('\n', faults.trace);
                fflush(faults.trace);
        }
        if (fail && faults.error == 0)
                (void)raise(SIGKILL);
        errno = fail ? faults.error : saved;
        return fail;
}

#define FAILS(kind, name) fails(kind, #name, __builtin_return_address(0))

/* A function of the C library's, its arguments once as declared and once as given, and what it returns when it fails.
 */
#define WRAP(kind, type, name, declared, given, failure)                                                             \
        type __real_##name declared;                                                                                 \
        type __wrap_##name declared;                                                                                 \
        type __wrap_##name declared                                                                                  \
        {                                                                                                            \
                return FAILS(kind, name) ? (failure) : __real_##name given;                                          \
        }

/* ---- memory ---- */

WRAP(MEMORY, void *, malloc, (size_t size), (size), NULL)
WRAP(MEMORY, void *, calloc, (size_t n, size_t size), (n, size), NULL)
WRAP(MEMORY, void *, realloc, (void *old, size_t size), (old, size), NULL)
WRAP(MEMORY, void *, reallocarray, (void *old, size_t n, size_t size), (old, n, size), NULL)
WRAP(MEMORY, char *, strdup, (const char *text), (text), NULL)
WRAP(MEMORY, char *, strndup, (const char *text, size_t size), (text, size), NULL)
WRAP(MEMORY, FILE *, open_memstream, (char **text, size_t *size), (text, size), NULL)
WRAP(MEMORY, FILE *, fopen64, (const char *path, const char *mode), (path, mode), NULL)
WRAP(MEMORY, DIR *, opendir, (const char *path), (path), NULL)
WRAP(MEMORY, DIR *, fdopendir, (int fd), (fd), NULL)
WRAP(MEMORY, void *, tsearch, (const void *key, void **root, int (*compare)(const void *, const void *)),
        (key, root, compare), NULL)
WRAP(MEMORY, int, posix_spawn_file_actions_adddup2, (posix_spawn_file_actions_t * actions, int fd, int as),
        (actions, fd, as), ENOMEM)
WRAP(MEMORY, int, posix_spawn_file_actions_addopen,
        (posix_spawn_file_actions_t * actions, int fd, const char *path, int flags, mode_t mode),
        (actions, fd, path, flags, mode), ENOMEM)
WRAP(MEMORY, int, posix_spawn_file_actions_addclosefrom_np, (posix_spawn_file_actions_t * actions, int from),
        (actions, from), ENOMEM)
WRAP(MEMORY, int, posix_spawn_file_actions_addchdir_np, (posix_spawn_file_actions_t * actions, const char *path),
        (actions, path), ENOMEM)

WRAP(MEMORY, int, vasprintf, (char **ret, const char *format, va_list arguments), (ret, format, arguments), -1)

_printf_(2, 3) int __wrap_asprintf(char **ret, const char *format, ...);
int __wrap_asprintf(char **ret, const char *format, ...)
{
        va_list arguments;

        if (FAILS(MEMORY, asprintf))
                return -1;
        va_start(arguments, format);
        int n = __real_vasprintf(ret, format, arguments);
        va_end(arguments);
        return n;
}

/* ---- files and sockets ---- */

#define OPEN(name, declared, given)                                                                                  \
        int __real_##name declared;                                                                                  \
        int __wrap_##name declared;                                                                                  \
        int __wrap_##name declared                                                                                   \
        {                                                                                                            \
                mode_t mode = 0;                                                                                     \
                va_list arguments;                                                                                   \
                                                                                                                     \
                if (FAILS(FILES, name))                                                                              \
                        return -1;                                                                                   \
                va_start(arguments, flags);                                                                          \
                if (flags & O_CREAT)                                                                                 \
                        mode = va_arg(arguments, mode_t);                                                            \
                va_end(arguments);                                                                                   \
                return __real_##name given;                                                                          \
        }

OPEN(open64, (const char *path, int flags, ...), (path, flags, mode))
OPEN(openat64, (int folder, const char *path, int flags, ...), (folder, path, flags, mode))

int __real_fcntl64(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...)
{
        va_list arguments;

        if (FAILS(FILES, fcntl64))
                return -1;
        /* As wide as the widest that any command takes. */
        va_start(arguments, command);
        void *argument = va_arg(arguments, void *);
        va_end(arguments);
        return __real_fcntl64(fd, command, argument);
}

int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
        bool fail = FAILS(FILES, close);
        int error = errno, r = __real_close(fd);

        if (fail)
                errno = error;
        return fail ? -1 : r;
}

/* What can't be said can't be looked for either: the log's own descriptor is spared. */
ssize_t __real_write(int fd, const void *data, size_t size);
ssize_t __wrap_write(int fd, const void *data, size_t size);
ssize_t __wrap_write(int fd, const void *data, size_t size)
{
        return fd != STDERR_FILENO && FAILS(FILES, write) ? -1 : __real_write(fd, data, size);
}

WRAP(FILES, int, accept4, (int fd, struct sockaddr *address, socklen_t *size, int flags), (fd, address, size, flags),
        -1)
WRAP(FILES, int, access, (const char *path, int mode), (path, mode), -1)
WRAP(FILES, int, bind, (int fd, const struct sockaddr *address, socklen_t size), (fd, address, size), -1)
WRAP(FILES, int, connect, (int fd, const struct sockaddr *address, socklen_t size), (fd, address, size), -1)
WRAP(FILES, int, faccessat, (int folder, const char *path, int mode, int flags), (folder, path, mode, flags), -1)
WRAP(FILES, int, fallocate64, (int fd, int mode, off_t offset, off_t size), (fd, mode, offset, size), -1)
WRAP(FILES, int, fchmod, (int fd, mode_t mode), (fd, mode), -1)
WRAP(FILES, int, fchown, (int fd, uid_t uid, gid_t gid), (fd, uid, gid), -1)
WRAP(FILES, int, fstat64, (int fd, struct stat *ret), (fd, ret), -1)
WRAP(FILES, int, fstatat64, (int folder, const char *path, struct stat *ret, int flags), (folder, path, ret, flags),
        -1)
WRAP(FILES, int, fsync, (int fd), (fd), -1)
WRAP(FILES, int, ftruncate64, (int fd, off_t size), (fd, size), -1)
WRAP(FILES, int, futimens, (int fd, const struct timespec times[2]), (fd, times), -1)
WRAP(FILES, char *, getcwd, (char *path, size_t size), (path, size), NULL)
WRAP(FILES, int, getsockopt, (int fd, int level, int option, void *value, socklen_t *size),
        (fd, level, option, value, size), -1)
WRAP(FILES, int, listen, (int fd, int backlog), (fd, backlog), -1)
WRAP(FILES, int, lstat64, (const char *path, struct stat *ret), (path, ret), -1)
WRAP(FILES, int, mkdir, (const char *path, mode_t mode), (path, mode), -1)
WRAP(FILES, int, mkdirat, (int folder, const char *path, mode_t mode), (folder, path, mode), -1)
WRAP(FILES, int, pipe2, (int fds[2], int flags), (fds, flags), -1)
WRAP(FILES, int, poll, (struct pollfd * fds, nfds_t n, int timeout), (fds, n, timeout), -1)
WRAP(FILES, int, posix_spawn,
        (pid_t *restrict pid, const char *restrict path, const posix_spawn_file_actions_t *actions,
                const posix_spawnattr_t *restrict attributes, char *const argv[restrict], char *const env[restrict]),
        (pid, path, actions, attributes, argv, env), faults.error)
WRAP(FILES, ssize_t, pread64, (int fd, void *data, size_t size, off_t offset), (fd, data, size, offset), -1)
WRAP(FILES, ssize_t, pwrite64, (int fd, const void *data, size_t size, off_t offset), (fd, data, size, offset), -1)
WRAP(FILES, ssize_t, read, (int fd, void *data, size_t size), (fd, data, size), -1)
WRAP(FILES, struct dirent *, readdir64, (DIR * folder), (folder), NULL)
WRAP(FILES, ssize_t, readlink, (const char *restrict path, char *restrict data, size_t size), (path, data, size), -1)
WRAP(FILES, ssize_t, readlinkat, (int folder, const char *restrict path, char *restrict data, size_t size),
        (folder, path, data, size), -1)
WRAP(FILES, ssize_t, recv, (int fd, void *data, size_t size, int flags), (fd, data, size, flags), -1)
WRAP(FILES, int, renameat, (int folder, const char *from, int other, const char *to), (folder, from, other, to), -1)
WRAP(FILES, ssize_t, send, (int fd, const void *data, size_t size, int flags), (fd, data, size, flags), -1)
WRAP(FILES, int, socket, (int family, int type, int protocol), (family, type, protocol), -1)
WRAP(FILES, int, statx, (int folder, const char *restrict path, int flags, unsigned mask, struct statx *restrict ret),
        (folder, path, flags, mask, ret), -1)
WRAP(FILES, int, unlink, (const char *path), (path), -1)
WRAP(FILES, int, unlinkat, (int folder, const char *path, int flags), (folder, path, flags), -1)

/* ---- libraries ---- */

/* What they allocate for us, they allocate themselves; this is how we hear that they could not. */

WRAP(LIBRARY, int, sd_event_new, (sd_event * *ret), (ret), -ENOMEM)
WRAP(LIBRARY, int, sd_event_add_defer,
        (sd_event * event, sd_event_source **ret, sd_event_handler_t handler, void *userdata),
        (event, ret, handler, userdata), -ENOMEM)
WRAP(LIBRARY, int, sd_event_add_io,
        (sd_event * event, sd_event_source **ret, int fd, uint32_t events, sd_event_io_handler_t handler,
                void *userdata),
        (event, ret, fd, events, handler, userdata), -ENOMEM)
WRAP(LIBRARY, int, sd_event_add_signal,
        (sd_event * event, sd_event_source **ret, int number, sd_event_signal_handler_t handler, void *userdata),
        (event, ret, number, handler, userdata), -ENOMEM)
WRAP(LIBRARY, int, sd_event_add_time,
        (sd_event * event, sd_event_source **ret, clockid_t clock, uint64_t usec, uint64_t accuracy,
                sd_event_time_handler_t handler, void *userdata),
        (event, ret, clock, usec, accuracy, handler, userdata), -ENOMEM)
WRAP(LIBRARY, int, sd_event_add_time_relative,
        (sd_event * event, sd_event_source **ret, clockid_t clock, uint64_t usec, uint64_t accuracy,
                sd_event_time_handler_t handler, void *userdata),
        (event, ret, clock, usec, accuracy, handler, userdata), -ENOMEM)
WRAP(LIBRARY, int, sd_event_add_inotify,
        (sd_event * event, sd_event_source **ret, const char *path, uint32_t mask, sd_event_inotify_handler_t handler,
                void *userdata),
        (event, ret, path, mask, handler, userdata), -ENOMEM)
WRAP(LIBRARY, int, sd_bus_open_system, (sd_bus * *ret), (ret), -ENOMEM)
WRAP(LIBRARY, int, sd_bus_new, (sd_bus * *ret), (ret), -ENOMEM)
WRAP(LIBRARY, int, sd_bus_call_method_asyncv,
        (sd_bus * bus, sd_bus_slot **slot, const char *to, const char *path, const char *interface,
                const char *member, sd_bus_message_handler_t handler, void *userdata, const char *types,
                va_list arguments),
        (bus, slot, to, path, interface, member, handler, userdata, types, arguments), -ENOMEM)

WRAP(LIBRARY, CURL *, curl_easy_init, (void), (), NULL)
WRAP(LIBRARY, CURLM *, curl_multi_init, (void), (), NULL)
WRAP(LIBRARY, CURLMcode, curl_multi_add_handle, (CURLM * multi, CURL *easy), (multi, easy), CURLM_OUT_OF_MEMORY)
WRAP(LIBRARY, struct curl_slist *, curl_slist_append, (struct curl_slist * list, const char *text), (list, text),
        NULL)
WRAP(LIBRARY, CURLU *, curl_url, (void), (), NULL)
WRAP(LIBRARY, CURLUcode, curl_url_set, (CURLU * url, CURLUPart part, const char *text, unsigned flags),
        (url, part, text, flags), CURLUE_OUT_OF_MEMORY)
WRAP(LIBRARY, CURLUcode, curl_url_get, (const CURLU *url, CURLUPart part, char **ret, unsigned flags),
        (url, part, ret, flags), CURLUE_OUT_OF_MEMORY)

CURLcode __real_curl_easy_setopt(CURL *easy, CURLoption option, ...);
CURLcode __wrap_curl_easy_setopt(CURL *easy, CURLoption option, ...);
CURLcode __wrap_curl_easy_setopt(CURL *easy, CURLoption option, ...)
{
        va_list arguments;
        CURLcode code;

        if (FAILS(LIBRARY, curl_easy_setopt))
                return CURLE_OUT_OF_MEMORY;
        va_start(arguments, option);
        if (option >= CURLOPTTYPE_OFF_T && option < CURLOPTTYPE_BLOB)
                code = __real_curl_easy_setopt(easy, option, va_arg(arguments, curl_off_t));
        else if (option < CURLOPTTYPE_OBJECTPOINT)
                code = __real_curl_easy_setopt(easy, option, va_arg(arguments, long));
        else
                code = __real_curl_easy_setopt(easy, option, va_arg(arguments, void *));
        va_end(arguments);
        return code;
}

WRAP(LIBRARY, json_t *, json_array, (void), (), NULL)
WRAP(LIBRARY, json_t *, json_object, (void), (), NULL)
WRAP(LIBRARY, json_t *, json_integer, (json_int_t value), (value), NULL)
WRAP(LIBRARY, json_t *, json_string, (const char *text), (text), NULL)
WRAP(LIBRARY, json_t *, json_stringn, (const char *text, size_t size), (text, size), NULL)
WRAP(LIBRARY, int, json_dump_callback, (const json_t *json, json_dump_callback_t write, void *userdata, size_t flags),
        (json, write, userdata, flags), -1)

json_t *__wrap_json_pack(const char *format, ...);
json_t *__wrap_json_pack(const char *format, ...)
{
        va_list arguments;

        bool fail = FAILS(LIBRARY, json_pack);
        va_start(arguments, format);
        json_t *json = json_vpack_ex(NULL, 0, format, arguments);
        va_end(arguments);
        /* It takes what is given to it all the same. */
        if (fail)
                json_decref(json);
        return fail ? NULL : json;
}

#define JSON_TAKE(name, declared, given)                                                                             \
        int __real_##name declared;                                                                                  \
        int __wrap_##name declared;                                                                                  \
        int __wrap_##name declared                                                                                   \
        {                                                                                                            \
                if (!FAILS(LIBRARY, name))                                                                           \
                        return __real_##name given;                                                                  \
                json_decref(value);                                                                                  \
                return -1;                                                                                           \
        }

JSON_TAKE(json_array_append_new, (json_t * array, json_t *value), (array, value))
JSON_TAKE(json_object_set_new, (json_t * object, const char *key, json_t *value), (object, key, value))

WRAP(LIBRARY, unsigned char *, HMAC,
        (const EVP_MD *md, const void *key, int key_size, const unsigned char *data, size_t size, unsigned char *ret,
                unsigned *ret_size),
        (md, key, key_size, data, size, ret, ret_size), NULL)
WRAP(LIBRARY, EVP_MD_CTX *, EVP_MD_CTX_new, (void), (), NULL)
WRAP(LIBRARY, int, EVP_Digest,
        (const void *data, size_t size, unsigned char *ret, unsigned *ret_size, const EVP_MD *md, ENGINE *engine),
        (data, size, ret, ret_size, md, engine), 0)
WRAP(LIBRARY, int, yaml_parser_initialize, (yaml_parser_t * parser), (parser), 0)
WRAP(LIBRARY, int, ini_parse_string, (const char *text, ini_handler handler, void *userdata),
        (text, handler, userdata), -2)

/* ---- and besides ---- */

static void hasten(uint64_t *usec, unsigned long haste)
{
        if (*usec != USEC_INFINITY)
                *usec /= haste;
}

int __real_config_load(
        const char *const *paths, const Specifiers *specifiers, ConfigFlags flags, Config **ret, Mistakes *mistakes);
int __wrap_config_load(
        const char *const *paths, const Specifiers *specifiers, ConfigFlags flags, Config **ret, Mistakes *mistakes);
int __wrap_config_load(
        const char *const *paths, const Specifiers *specifiers, ConfigFlags flags, Config **ret, Mistakes *mistakes)
{
        const char *text = getenv("FAULT_HASTE");
        unsigned long haste = text ? strtoul(text, NULL, 10) : 1;
        int r = __real_config_load(paths, specifiers, flags, ret, mistakes);

        if (r < 0 || haste == 0)
                return r;
        hasten(&(*ret)->verify_interval_usec, haste);
        hasten(&(*ret)->removed_after_usec, haste);
        hasten(&(*ret)->retry_min_usec, haste);
        hasten(&(*ret)->retry_max_usec, haste);
        hasten(&(*ret)->refused_retry_usec, haste);
        return r;
}

/* A reload begins here. */
int __real_manager_on_hangup(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata);
int __wrap_manager_on_hangup(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata);
int __wrap_manager_on_hangup(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
        faults.counting = true;
        return __real_manager_on_hangup(source, info, userdata);
}

/* The leak sanitizer stops the process by ptrace to look at it, which undumpable ones refuse. */
int __real_prctl(int option, ...);
int __wrap_prctl(int option, ...);
int __wrap_prctl(int option, ...)
{
        va_list arguments;

        va_start(arguments, option);
        unsigned long value = va_arg(arguments, unsigned long);
        va_end(arguments);
        return option == PR_SET_DUMPABLE ? 0 : __real_prctl(option, value, 0UL, 0UL, 0UL);
}
