#include "agent/base/time.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static uint64_t clock_usec(clockid_t clock)
{
        struct timespec t;

        if (clock_gettime(clock, &t) < 0 || t.tv_sec < 0)
                return 0;
        return (uint64_t)t.tv_sec * USEC_PER_SEC + (uint64_t)t.tv_nsec / 1000;
}

void now_read(Now *ret)
{
        *ret = (Now){.realtime_usec = clock_usec(CLOCK_REALTIME), .boottime_usec = clock_usec(CLOCK_BOOTTIME)};
}

/* Days since 1970 of a date of the proleptic Gregorian calendar. Own arithmetic, as timegm() is bound to what time_t
 * and the C library make of years far away, and mktime() to the time zone. */
static int64_t days_from_date(int64_t year, unsigned month, unsigned day)
{
        year -= month <= 2;

        int64_t era = (year >= 0 ? year : year - 399) / 400;
        unsigned of_era = (unsigned)(year - era * 400);
        unsigned of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

        return era * 146097 + (int64_t)(of_era * 365 + of_era / 4 - of_era / 100 + of_year) - 719468;
}

static void date_from_days(uint64_t days, unsigned *ret_year, unsigned *ret_month, unsigned *ret_day)
{
        days += 719468;

        uint64_t era = days / 146097;
        unsigned of_era = (unsigned)(days % 146097);
        unsigned year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
        unsigned of_year = of_era - (365 * year + year / 4 - year / 100);
        unsigned month = (5 * of_year + 2) / 153;

        *ret_day = of_year - (153 * month + 2) / 5 + 1;
        *ret_month = month < 10 ? month + 3 : month - 9;
        *ret_year = (unsigned)(era * 400) + year + (*ret_month <= 2);
}

static unsigned days_of_month(unsigned year, unsigned month)
{
        static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
        bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

        return days[month - 1] + (month == 2 && leap);
}

const char *time_format_rfc3339(uint64_t realtime_usec, char buffer[static TIME_RFC3339_MAX])
{
        uint64_t seconds = realtime_usec / USEC_PER_SEC;
        unsigned rest = (unsigned)(seconds % 86400), fraction = (unsigned)(realtime_usec % USEC_PER_SEC);
        unsigned year, month, day, digits = 6;

        date_from_days(seconds / 86400, &year, &month, &day);
        int n = snprintf(buffer, TIME_RFC3339_MAX, "%04u-%02u-%02uT%02u:%02u:%02u", year, month, day, rest / 3600,
                rest / 60 % 60, rest % 60);
        if (fraction > 0) {
                for (; fraction % 10 == 0; fraction /= 10)
                        digits--;
                n += snprintf(buffer + n, TIME_RFC3339_MAX - (size_t)n, ".%0*u", (int)digits, fraction);
        }
        (void)snprintf(buffer + n, TIME_RFC3339_MAX - (size_t)n, "Z");
        return buffer;
}

/* What is left of a text that is being read. */
typedef struct Cursor {
        const char *text;
        size_t size;
} Cursor;

static bool take_number(Cursor *c, unsigned digits, unsigned *ret)
{
        unsigned value = 0;

        if (c->size < digits)
                return false;
        for (unsigned i = 0; i < digits; i++) {
                if (c->text[i] < '0' || c->text[i] > '9')
                        return false;
                value = value * 10 + (unsigned)(c->text[i] - '0');
        }
        c->text += digits;
        c->size -= digits;
        *ret = value;
        return true;
}

static bool take_one_of(Cursor *c, const char *characters, char *ret)
{
        if (c->size == 0 || !c->text[0] || !strchr(characters, c->text[0]))
                return false;
        if (ret)
                *ret = c->text[0];
        c->text++;
        c->size--;
        return true;
}

static bool take_clock(Cursor *c, unsigned *ret_seconds)
{
        unsigned hour, minute, second;

        if (!take_number(c, 2, &hour) || !take_one_of(c, ":", NULL) || !take_number(c, 2, &minute) ||
                !take_one_of(c, ":", NULL) || !take_number(c, 2, &second))
                return false;
        if (hour > 23 || minute > 59 || second > 60) /* 60: a leap second */
                return false;
        *ret_seconds = hour * 3600 + minute * 60 + second;
        return true;
}

static bool take_fraction(Cursor *c, unsigned *ret_usec)
{
        unsigned usec = 0, scale = 100000, digit;

        *ret_usec = 0;
        if (!take_one_of(c, ".", NULL))
                return true;
        if (!take_number(c, 1, &digit))
                return false;
        do {
                usec += digit * scale;
                scale /= 10;
        } while (take_number(c, 1, &digit));
        *ret_usec = usec;
        return true;
}

static bool take_offset(Cursor *c, int *ret_seconds)
{
        unsigned hour, minute;
        char sign;

        *ret_seconds = 0;
        if (take_one_of(c, "Zz", NULL))
                return true;
        if (!take_one_of(c, "+-", &sign) || !take_number(c, 2, &hour) || !take_one_of(c, ":", NULL) ||
                !take_number(c, 2, &minute) || hour > 23 || minute > 59)
                return false;
        *ret_seconds = (int)(hour * 3600 + minute * 60) * (sign == '-' ? -1 : 1);
        return true;
}

static bool date_valid(unsigned year, unsigned month, unsigned day)
{
        return month >= 1 && month <= 12 && day >= 1 && day <= days_of_month(year, month);
}

int time_parse_rfc3339(const char *text, size_t size, uint64_t *ret_usec)
{
        Cursor c = {text, size};
        unsigned year, month, day, clock, fraction;
        int offset;

        if (!take_number(&c, 4, &year) || !take_one_of(&c, "-", NULL) || !take_number(&c, 2, &month) ||
                !take_one_of(&c, "-", NULL) || !take_number(&c, 2, &day) || !take_one_of(&c, "Tt ", NULL) ||
                !take_clock(&c, &clock) || !take_fraction(&c, &fraction) || !take_offset(&c, &offset) || c.size > 0)
                return -EINVAL;
        if (!date_valid(year, month, day))
                return -EINVAL;

        int64_t seconds = days_from_date(year, month, day) * 86400 + (int64_t)clock - offset;
        *ret_usec = seconds < 0 ? 0 : (uint64_t)seconds * USEC_PER_SEC + fraction;
        return 0;
}

static bool take_name(Cursor *c, const char *names, unsigned *ret)
{
        for (unsigned i = 0; names[3 * i]; i++)
                if (c->size >= 3 && memcmp(c->text, names + (size_t)3 * i, 3) == 0) {
                        c->text += 3;
                        c->size -= 3;
                        *ret = i + 1;
                        return true;
                }
        return false;
}

int time_parse_http_date(const char *text, uint64_t *ret_usec)
{
        Cursor c = {text, strlen(text)};
        unsigned weekday, year, month, day, clock;

        /* The weekday is not compared with the date: it tells nothing more. */
        if (!take_name(&c, "SunMonTueWedThuFriSat", &weekday) || !take_one_of(&c, ",", NULL) ||
                !take_one_of(&c, " ", NULL) || !take_number(&c, 2, &day) || !take_one_of(&c, " ", NULL) ||
                !take_name(&c, "JanFebMarAprMayJunJulAugSepOctNovDec", &month) || !take_one_of(&c, " ", NULL) ||
                !take_number(&c, 4, &year) || !take_one_of(&c, " ", NULL) || !take_clock(&c, &clock))
                return -EINVAL;
        if (c.size != 4 || memcmp(c.text, " GMT", 4) != 0 || !date_valid(year, month, day))
                return -EINVAL;

        int64_t seconds = days_from_date(year, month, day) * 86400 + (int64_t)clock;
        *ret_usec = seconds < 0 ? 0 : (uint64_t)seconds * USEC_PER_SEC;
        return 0;
}

const char *time_format_span(uint64_t usec, char buffer[static TIME_SPAN_MAX])
{
        static const struct {
                const char *name;
                uint64_t usec;
        } units[] = {{"d", USEC_PER_DAY}, {"h", USEC_PER_HOUR}, {"min", USEC_PER_MINUTE}, {"s", USEC_PER_SEC},
                {"ms", USEC_PER_MSEC}, {"us", 1}};
        const size_t last = sizeof(units) / sizeof(units[0]) - 1;
        size_t i = 0;

        if (usec == USEC_INFINITY || usec == 0) {
                (void)snprintf(buffer, TIME_SPAN_MAX, "%s", usec == 0 ? "0s" : "never");
                return buffer;
        }
        while (usec < units[i].usec)
                i++;

        uint64_t first = usec / units[i].usec, second = 0;
        if (i < last)
                second = usec % units[i].usec / units[i + 1].usec;
        if (second > 0)
                (void)snprintf(buffer, TIME_SPAN_MAX, "%" PRIu64 "%s %" PRIu64 "%s", first, units[i].name, second,
                        units[i + 1].name);
        else
                (void)snprintf(buffer, TIME_SPAN_MAX, "%" PRIu64 "%s", first, units[i].name);
        return buffer;
}
