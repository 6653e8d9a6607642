#pragma once

/* Times are microseconds in a uint64_t: `_usec` for spans and clocks alike. USEC_INFINITY means never. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define USEC_PER_MSEC   ((uint64_t)1000)
#define USEC_PER_SEC    ((uint64_t)1000000)
#define USEC_PER_MINUTE (60 * USEC_PER_SEC)
#define USEC_PER_HOUR   (60 * USEC_PER_MINUTE)
#define USEC_PER_DAY    (24 * USEC_PER_HOUR)
#define USEC_INFINITY   UINT64_MAX

/* Both clocks, read once per wake-up and passed down. */
typedef struct Now {
        uint64_t realtime_usec; /* since 1970, may jump */
        uint64_t boottime_usec; /* since boot, counts suspend, never jumps */
} Now;

/* a + b, saturating at USEC_INFINITY. */
static inline uint64_t usec_add(uint64_t a, uint64_t b)
{
        return a > USEC_INFINITY - b ? USEC_INFINITY : a + b;
}

/* a - b, at least 0; infinity stays infinity. */
static inline uint64_t usec_sub(uint64_t a, uint64_t b)
{
        if (a == USEC_INFINITY)
                return a;
        return a > b ? a - b : 0;
}

/* Reads CLOCK_REALTIME and CLOCK_BOOTTIME. */
void now_read(Now *ret);

/* The boottime of a moment to come that is told in realtime; what is past is now. 0 and USEC_INFINITY, which are no
 * moments, stay. */
static inline uint64_t now_to_boottime(Now now, uint64_t realtime_usec)
{
        if (realtime_usec == 0 || realtime_usec == USEC_INFINITY)
                return realtime_usec;
        return usec_add(now.boottime_usec, usec_sub(realtime_usec, now.realtime_usec));
}

#define TIME_RFC3339_MAX 40

/* Writes realtime as RFC 3339 in UTC, with fraction digits only where they are not zero
 * (2026-08-22T10:11:12.203Z); returns BUFFER. */
const char *time_format_rfc3339(uint64_t realtime_usec, char buffer[static TIME_RFC3339_MAX]);

/* Reads RFC 3339 with any offset, any number of fraction digits (cut to microseconds), `T`, `t` or a blank between
 * date and time. Times before 1970, such as Go's zero time, are read as 0. Returns 0 or -EINVAL. */
int time_parse_rfc3339(const char *text, size_t size, uint64_t *ret_usec);

/* Reads an HTTP date in the one form that RFC 9110 lets a sender use (Sun, 06 Nov 1994 08:49:37 GMT).
 * Returns 0 or -EINVAL. */
int time_parse_http_date(const char *text, uint64_t *ret_usec);

/* Writes a span for people: the two largest units (`1h 30min`, `40s`, `250ms`); returns BUFFER. */
#define TIME_SPAN_MAX 48
const char *time_format_span(uint64_t usec, char buffer[static TIME_SPAN_MAX]);
