/* Dates and times as RFC 3339 and TOML write them. */

#include <errno.h>
#include <string.h>

#include "agent/core/toml.h"

typedef struct Cursor {
        const char *at;
        const char *end;
} Cursor;

static bool skip(Cursor *c, const char *any_of)
{
        if (c->at == c->end || !*c->at || !strchr(any_of, *c->at))
                return false;
        c->at++;
        return true;
}

/* Exactly n digits with a value from min to max. */
static bool number(Cursor *c, unsigned n, unsigned min, unsigned max, unsigned *ret)
{
        unsigned v = 0;

        for (; n > 0; n--) {
                if (c->at == c->end || *c->at < '0' || *c->at > '9')
                        return false;
                v = v * 10 + (unsigned)(*c->at++ - '0');
        }
        *ret = v;
        return v >= min && v <= max;
}

static unsigned days_of_month(unsigned year, unsigned month)
{
        static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
        bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

        return days[month - 1] + (month == 2 && leap);
}

static bool parse_day(Cursor *c, TomlDate *date)
{
        unsigned year, month, day;

        if (!number(c, 4, 0, 9999, &year) || !skip(c, "-") || !number(c, 2, 1, 12, &month) || !skip(c, "-") ||
                !number(c, 2, 1, days_of_month(year, month), &day))
                return false;
        date->year = (uint16_t)year;
        date->month = (uint8_t)month;
        date->day = (uint8_t)day;
        return true;
}

/* Digits beyond the ninth are cut off, as TOML asks. */
static bool parse_fraction(Cursor *c, TomlDate *date)
{
        uint32_t scale = 100000000;
        const char *begin = c->at;

        for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++) {
                date->nanosecond += (uint32_t)(*c->at - '0') * scale;
                scale /= 10;
        }
        return c->at > begin;
}

static bool parse_time(Cursor *c, TomlVersion version, TomlDate *date)
{
        unsigned hour, minute, second = 0;

        if (!number(c, 2, 0, 23, &hour) || !skip(c, ":") || !number(c, 2, 0, 59, &minute))
                return false;
        if (skip(c, ":")) {
                if (!number(c, 2, 0, 60, &second))
                        return false;
                if (skip(c, ".") && !parse_fraction(c, date))
                        return false;
        } else if (version < TOML_VERSION_1_1)
                return false;

        date->hour = (uint8_t)hour;
        date->minute = (uint8_t)minute;
        date->second = (uint8_t)second;
        return true;
}

/* There is something at the cursor. */
static bool parse_offset(Cursor *c, TomlDate *date)
{
        unsigned hour, minute;

        if (skip(c, "Zz"))
                return true;

        bool west = *c->at == '-';
        if (!skip(c, "+-") || !number(c, 2, 0, 23, &hour) || !skip(c, ":") || !number(c, 2, 0, 59, &minute))
                return false;
        date->offset_minutes = (int16_t)((west ? -1 : 1) * (int)(hour * 60 + minute));
        return true;
}

int toml_date_parse(const char *text, size_t size, TomlVersion version, TomlDate *ret, TomlType *ret_type)
{
        Cursor c = {text, text + size};
        TomlDate date = {0};
        TomlType type = TOML_TYPE_TIME_LOCAL;

        if (size > 2 && text[2] == ':') {
                if (!parse_time(&c, version, &date))
                        return -EINVAL;
        } else {
                if (!parse_day(&c, &date))
                        return -EINVAL;
                type = TOML_TYPE_DATE_LOCAL;
                if (c.at < c.end) {
                        if (!skip(&c, "Tt ") || !parse_time(&c, version, &date))
                                return -EINVAL;
                        type = TOML_TYPE_DATETIME_LOCAL;
                }
                if (c.at < c.end) {
                        if (!parse_offset(&c, &date))
                                return -EINVAL;
                        type = TOML_TYPE_DATETIME;
                }
        }
        if (c.at != c.end)
                return -EINVAL;

        *ret = date;
        *ret_type = type;
        return 0;
}

/* Days since 1970-01-01 in the proleptic Gregorian calendar, which RFC 3339 and Go use down to year 0. Years begin in
 * March here, so that the leap day comes last. */
static int64_t days_since_epoch(unsigned year, unsigned month, unsigned day)
{
        int64_t y = (int64_t)year - (month <= 2);
        int64_t era = (y >= 0 ? y : y - 399) / 400;
        int64_t year_of_era = y - era * 400;
        int64_t day_of_year = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + (int64_t)day - 1;

        return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

struct timespec toml_date_to_timespec(const TomlDate *date)
{
        int64_t days = days_since_epoch(date->year, date->month, date->day);

        return (struct timespec){
                .tv_sec = (time_t)(days * 86400 + date->hour * 3600 + date->minute * 60 + date->second -
                                   date->offset_minutes * 60),
                .tv_nsec = (long)date->nanosecond,
        };
}
