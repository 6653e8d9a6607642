#pragma once

/* The log of the shell; base, core and config return their errors instead. Lines go to the journal, with fields, when
 * stderr is the journal's stream ($JOURNAL_STREAM), else to stderr, there with sd-daemon's `<N>` in front under
 * systemd. One message is one line: control characters and bytes that are not UTF-8 are escaped, and what is longer
 * than LOG_MESSAGE_MAX is cut. Nothing here may be handed a secret. */

#include <errno.h>
#include <stdbool.h>
#include <syslog.h>

#include "agent/base/cleanup.h"
#include "agent/base/message-id.h"

typedef struct Log Log;

#define LOG_MESSAGE_MAX 2048

typedef enum LogStyle {
        LOG_STYLE_AUTO,   /* as above, decided once */
        LOG_STYLE_PLAIN,  /* `error: `, `warning: `, `debug: ` or nothing in front */
        LOG_STYLE_PREFIX, /* `<3>` … `<7>` in front */
        LOG_STYLE_JOURNAL,
        _LOG_STYLE_MAX,
        _LOG_STYLE_INVALID = -EINVAL,
} LogStyle;

/* Fields of the journal's entry; zero and NULL are left out. The text must be understood without them. */
typedef struct LogFields {
        const char *runner;     /* RUNNER= */
        const char *state;      /* STATE= */
        unsigned attempt;       /* ATTEMPT= */
        unsigned http_status;   /* HTTP_STATUS= */
        const char *message_id; /* MESSAGE_ID=, one of agent/base/message-id.h */
} LogFields;

/* log_info(log, LOG_FIELDS(.runner = name, .attempt = 3), "…"), or NULL for none. */
#define LOG_FIELDS(...) (&(const LogFields){__VA_ARGS__})

/* Logs to FD (borrowed; STDERR_FILENO) from LOG_INFO on. Returns 0 or -ENOMEM. */
int log_new(int fd, LogStyle style, Log **ret);

/* Accepts NULL, returns NULL. */
Log *log_free(Log *log);

DEFINE_CLEANUP(Log, log_free)

/* LEVEL is LOG_ERR, LOG_WARNING, LOG_INFO or LOG_DEBUG: the least important one that is written. */
void log_set_level(Log *log, int level);

/* Reads `err`, `error`, `warning`, `info` or `debug`; -EINVAL. */
int log_level_from_string(const char *text, int *ret_level);

/* Writes a message; failure to do so is nobody's. LOG may be NULL: then nothing is written. */
void log_message(Log *log, int level, const LogFields *fields, const char *format, ...) _printf_(4, 5);

#define log_error(log, fields, ...)   log_message(log, LOG_ERR, fields, __VA_ARGS__)
#define log_warning(log, fields, ...) log_message(log, LOG_WARNING, fields, __VA_ARGS__)
#define log_info(log, fields, ...)    log_message(log, LOG_INFO, fields, __VA_ARGS__)
#define log_debug(log, fields, ...)   log_message(log, LOG_DEBUG, fields, __VA_ARGS__)
