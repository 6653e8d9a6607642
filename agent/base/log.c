#include "agent/base/log.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SD_JOURNAL_SUPPRESS_LOCATION /* the place in the source says nothing to whoever reads the journal */
#include <systemd/sd-journal.h>

#define FIELD_MAX      160 /* RUNNER= with 40 characters and the like: all our own, short texts */
#define LINE_MAX_BYTES (16 + LOG_MESSAGE_MAX + 1) /* with what stands in front, and the line end */

struct Log {
        int fd;
        int level;
        LogStyle style;
};

/* Whether FD is the stream that systemd says it connected us to: `device:inode`. */
static bool fd_is_journal(int fd)
{
        const char *stream = getenv("JOURNAL_STREAM");
        unsigned long long device, inode;
        struct stat st;
        char end;

        if (!stream || sscanf(stream, "%llu:%llu%c", &device, &inode, &end) != 2 || fstat(fd, &st) < 0)
                return false;
        return st.st_dev == device && st.st_ino == inode;
}

static LogStyle style_choose(int fd)
{
        if (fd_is_journal(fd))
                return LOG_STYLE_JOURNAL;
        /* INVOCATION_ID alone is also found in terminals that a user's systemd started. */
        return getenv("INVOCATION_ID") && !isatty(fd) ? LOG_STYLE_PREFIX : LOG_STYLE_PLAIN;
}

int log_new(int fd, LogStyle style, Log **ret)
{
        Log *log = calloc(1, sizeof(*log));

        if (!log)
                return -ENOMEM;
        log->fd = fd;
        log->level = LOG_INFO;
        log->style = style == LOG_STYLE_AUTO ? style_choose(fd) : style;
        *ret = log;
        return 0;
}

Log *log_free(Log *log)
{
        free(log);
        return NULL;
}

void log_set_level(Log *log, int level)
{
        if (log)
                log->level = level;
}

int log_level_from_string(const char *text, int *ret_level)
{
        static const struct {
                const char *name;
                int level;
        } names[] = {
                {"err", LOG_ERR},
                {"error", LOG_ERR},
                {"warning", LOG_WARNING},
                {"info", LOG_INFO},
                {"debug", LOG_DEBUG},
        };

        for (size_t i = 0; i < ELEMENTS(names); i++)
                if (strcmp(text, names[i].name) == 0) {
                        *ret_level = names[i].level;
                        return 0;
                }
        return -EINVAL;
}

/* The number of bytes of the printable UTF-8 character at TEXT, NUL-terminated; 0: it has to be escaped. */
static size_t utf8_printable(const unsigned char *text)
{
        static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
        uint32_t c = text[0];
        size_t size;

        if (c < 0x80)
                return c >= 0x20 && c != 0x7f ? 1 : 0;
        size = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
        if (c < 0xc0 || c > 0xf7)
                return 0;
        c &= 0x7fU >> size;
        for (size_t i = 1; i < size; i++) {
                if ((text[i] & 0xc0) != 0x80)
                        return 0;
                c = c << 6 | (text[i] & 0x3f);
        }
        /* Too long a form, a surrogate, past the end; the C1 controls, and the line and paragraph separators. */
        if (c < smallest[size] || (c >= 0xd800 && c < 0xe000) || c > 0x10ffff)
                return 0;
        return c < 0xa0 || c == 0x2028 || c == 0x2029 ? 0 : size;
}

/* Escapes TEXT into the SIZE bytes at RET; what does not fit is cut and ends in `...`. Returns the length. */
static size_t line_escape(const char *text, char *ret, size_t size)
{
        const unsigned char *p = (const unsigned char *)text;
        size_t n = 0;

        while (*p) {
                size_t bytes = utf8_printable(p);
                char escaped[5];

                /* Room for the character, `...` and the end. */
                if (n + sizeof(escaped) + 4 > size) {
                        memcpy(ret + n, "...", 3);
                        n += 3;
                        break;
                }
                if (bytes > 0) {
                        memcpy(ret + n, p, bytes);
                        n += bytes;
                        p += bytes;
                        continue;
                }
                if (*p == '\n')
                        (void)snprintf(escaped, sizeof(escaped), "\\n");
                else if (*p == '\t')
                        (void)snprintf(escaped, sizeof(escaped), "\\t");
                else
                        (void)snprintf(escaped, sizeof(escaped), "\\x%02x", *p);
                memcpy(ret + n, escaped, strlen(escaped));
                n += strlen(escaped);
                p++;
        }
        ret[n] = '\0';
        return n;
}

static void line_write(int fd, const char *line, size_t size)
{
        while (size > 0) {
                ssize_t n = write(fd, line, size);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return;
                line += n;
                size -= (size_t)n;
        }
}

static const char *level_word(int level)
{
        switch (level) {
        case LOG_INFO:
        case LOG_NOTICE:
                return "";
        case LOG_WARNING:
                return "warning: ";
        case LOG_DEBUG:
                return "debug: ";
        default:
                return "error: ";
        }
}

/* Puts `KEY=value` into the next of FIELDS, escaped. */
static void field_add(char fields[][FIELD_MAX], struct iovec *iov, int *n, const char *key, const char *value)
{
        size_t size = strlen(key);

        if (!value)
                return;
        memcpy(fields[*n], key, size);
        size += line_escape(value, fields[*n] + size, FIELD_MAX - size);
        iov[*n] = (struct iovec){.iov_base = fields[*n], .iov_len = size};
        (*n)++;
}

static void field_add_number(char fields[][FIELD_MAX], struct iovec *iov, int *n, const char *key, unsigned value)
{
        char text[16];

        (void)snprintf(text, sizeof(text), "%u", value);
        if (value != 0)
                field_add(fields, iov, n, key, text);
}

static int journal_send(int level, const LogFields *f, const char *line)
{
        char message[sizeof("MESSAGE=") + LINE_MAX_BYTES], fields[7][FIELD_MAX], priority[2] = {(char)('0' + level)};
        struct iovec iov[8];
        int n = 0;

        field_add(fields, iov, &n, "PRIORITY=", priority);
        /* Without it the journal shows the process name, which the kernel cuts to 15 characters. */
        field_add(fields, iov, &n, "SYSLOG_IDENTIFIER=", "runner-registrar");
        if (f) {
                field_add(fields, iov, &n, "RUNNER=", f->runner);
                field_add(fields, iov, &n, "STATE=", f->state);
                field_add_number(fields, iov, &n, "ATTEMPT=", f->attempt);
                field_add_number(fields, iov, &n, "HTTP_STATUS=", f->http_status);
                field_add(fields, iov, &n, "MESSAGE_ID=", f->message_id);
        }
        (void)snprintf(message, sizeof(message), "MESSAGE=%s", line);
        iov[n++] = (struct iovec){.iov_base = message, .iov_len = strlen(message)};
        return sd_journal_sendv(iov, n);
}

void log_message(Log *log, int level, const LogFields *fields, const char *format, ...)
{
        char text[LOG_MESSAGE_MAX * 2], line[LINE_MAX_BYTES];
        int saved = errno, prefix = 0;
        size_t size;
        va_list ap;

        if (!log || level > log->level)
                return;

        if (log->style == LOG_STYLE_PREFIX)
                prefix = snprintf(line, sizeof(line), "<%d>", level);
        else if (log->style == LOG_STYLE_PLAIN)
                prefix = snprintf(line, sizeof(line), "%s", level_word(level));

        va_start(ap, format);
        errno = saved; /* for %m */
        (void)vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        size = (size_t)prefix + line_escape(text, line + prefix, LOG_MESSAGE_MAX);

        if (log->style != LOG_STYLE_JOURNAL || journal_send(level, fields, line) < 0) {
                line[size++] = '\n';
                line_write(log->fd, line, size);
        }
        errno = saved;
}
