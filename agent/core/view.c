#include "agent/core/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/time.h"
#include "agent/core/text.h"

static const Column columns[_VIEW_MAX][VIEW_COLUMNS_MAX + 1] =
        {
                [VIEW_PLAIN] = {{NULL}},
                [VIEW_RUNNER] =
                        {
                                {"ID", CELL_NUMBER, "id", 0},
                                {"STATUS", CELL_STATUS, "status", 0},
                                {"TYPE", CELL_TYPE, "runner_type", 0},
                                {"DESCRIPTION", CELL_TEXT, "description", 12},
                                {"NAME", CELL_TEXT, "name", 8},
                                {"IP", CELL_TEXT, "ip_address", 8},
                                {"JOBS", CELL_TEXT, "job_execution_status", 0},
                                {"CREATED", CELL_AGE, "created_at", 0},
                                {NULL},
                        },
                [VIEW_JOB] =
                        {
                                {"ID", CELL_NUMBER, "id", 0},
                                {"STATUS", CELL_STATUS, "status", 0},
                                {"PROJECT", CELL_TEXT, "project.path_with_namespace", 12},
                                {"STAGE", CELL_TEXT, "stage", 6},
                                {"NAME", CELL_TEXT, "name", 8},
                                {"REF", CELL_TEXT, "ref", 8},
                                {"STARTED", CELL_AGE, "started_at", 0},
                                {"TOOK", CELL_SPAN, "duration", 0},
                                {NULL},
                        },
                [VIEW_MANAGER] =
                        {
                                {"ID", CELL_NUMBER, "id", 0},
                                {"SYSTEM ID", CELL_TEXT, "system_id", 0},
                                {"STATUS", CELL_STATUS, "status", 0},
                                {"VERSION", CELL_TEXT, "version", 6},
                                {"PLATFORM", CELL_TEXT, "platform", 6},
                                {"ARCH", CELL_TEXT, "architecture", 5},
                                {"IP", CELL_TEXT, "ip_address", 8},
                                {"CONTACTED", CELL_AGE, "contacted_at", 0},
                                {"CREATED", CELL_AGE, "created_at", 0},
                                {NULL},
                        },
                [VIEW_PROJECT] =
                        {
                                {"ID", CELL_NUMBER, "id", 0},
                                {"PATH", CELL_TEXT, "path_with_namespace", 12},
                                {"VISIBILITY", CELL_TEXT, "visibility", 0},
                                {"CREATED", CELL_AGE, "created_at", 0},
                                {NULL},
                        },
};

const Column *view_columns(View view)
{
        return columns[view];
}

const char *view_age(uint64_t at_usec, uint64_t now_usec, char buffer[static VIEW_AGE_MAX])
{
        static const struct {
                const char *unit;
                uint64_t usec;
        } units[] = {
                {"y", 365 * USEC_PER_DAY},
                {"d", USEC_PER_DAY},
                {"h", USEC_PER_HOUR},
                {"min", USEC_PER_MINUTE},
                {"s", USEC_PER_SEC},
        };
        uint64_t span = at_usec > now_usec ? at_usec - now_usec : now_usec - at_usec;
        size_t i = 0;

        if (span < 5 * USEC_PER_SEC)
                return memcpy(buffer, "just now", sizeof("just now"));
        /* Days are told up to two years, as "1 y" says little. */
        while (span < units[i].usec * (i == 0 ? 2 : 1))
                i++;
        unsigned long long n = span / units[i].usec;
        (void)snprintf(buffer, VIEW_AGE_MAX, at_usec > now_usec ? "in %llu %s" : "%llu %s ago", n, units[i].unit);
        return buffer;
}

static bool read_time(Slice value, uint64_t *ret)
{
        return slice_is_string(value) && value.size >= 22 && value.size < 42 && value.data[5] == '-' &&
               time_parse_rfc3339(value.data + 1, value.size - 2, ret) >= 0;
}

/* A string's text, or any other value as written; cleaned. */
static int plain(Slice value, char **ret)
{
        _cleanup_free_ char *text = NULL;

        if (slice_is_null(value))
                return text_clean("", 0, VIEW_CELL_MAX, ret);
        int r = slice_is_string(value) ? slice_text(value, &text) : 0;
        if (r < 0)
                return r;
        return text ? text_clean(text, strlen(text), VIEW_CELL_MAX, ret)
                    : text_clean(value.data, value.size, VIEW_CELL_MAX, ret);
}

static Colour status_colour(const char *status)
{
        static const struct {
                const char *word;
                Colour colour;
        } rows[] = {
                {"online", COLOUR_GREEN},
                {"active", COLOUR_GREEN},
                {"success", COLOUR_GREEN},
                {"running", COLOUR_GREEN},
                {"paused", COLOUR_YELLOW},
                {"pending", COLOUR_YELLOW},
                {"canceling", COLOUR_YELLOW},
                {"offline", COLOUR_RED},
                {"stale", COLOUR_RED},
                {"failed", COLOUR_RED},
                {"never_contacted", COLOUR_GREY},
                {"not_connected", COLOUR_GREY},
                {"canceled", COLOUR_GREY},
                {"skipped", COLOUR_GREY},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++)
                if (strcmp(rows[i].word, status) == 0)
                        return rows[i].colour;
        return COLOUR_NONE;
}

/* Before `status` there was only `active`; and it hides that a stale runner is also paused. */
static int status_cell(Slice row, Slice value, char **ret, Colour *ret_colour)
{
        Slice active = {0};
        _cleanup_free_ char *status = NULL;

        int r = plain(value, &status);
        if (r < 0)
                return r;
        (void)slice_member(row, "active", &active);
        bool paused = slice_is(active, "false");
        if (!*status && !slice_is_null(active)) {
                free(status);
                status = strdup(paused ? "paused" : "active");
                if (!status)
                        return -ENOMEM;
        }
        *ret_colour = status_colour(status);
        if (!paused || strcmp(status, "paused") == 0) {
                *ret = take_ptr(status);
                return 0;
        }
        return asprintf(ret, "%s, paused", status) < 0 ? -ENOMEM : 0;
}

static int span_cell(const char *text, char **ret)
{
        char buffer[TIME_SPAN_MAX], *end;
        double seconds = strtod(text, &end);

        if (end == text || *end || !(seconds >= 0 && seconds < 1e9)) {
                *ret = strdup(text);
                return *ret ? 0 : -ENOMEM;
        }
        uint64_t usec = (uint64_t)seconds * USEC_PER_SEC;
        if (usec == 0)
                usec = (uint64_t)(seconds * 1000) * USEC_PER_MSEC;
        *ret = strdup(time_format_span(usec, buffer));
        return *ret ? 0 : -ENOMEM;
}

int view_cell(const Column *column, Slice row, uint64_t now_usec, char **ret, Colour *ret_colour)
{
        _cleanup_free_ char *text = NULL;
        char age[VIEW_AGE_MAX];
        Slice value = {0};
        uint64_t at;

        *ret_colour = COLOUR_NONE;
        (void)slice_member(row, column->path, &value);
        if (column->kind == CELL_STATUS)
                return status_cell(row, value, ret, ret_colour);
        if (column->kind == CELL_AGE && read_time(value, &at)) {
                *ret = strdup(view_age(at, now_usec, age));
                return *ret ? 0 : -ENOMEM;
        }
        int r = plain(value, &text);
        if (r < 0)
                return r;
        if (column->kind == CELL_SPAN && *text)
                return span_cell(text, ret);
        if (column->kind == CELL_TYPE) {
                char *tail = strstr(text, "_type");

                if (tail && !tail[5])
                        *tail = 0;
        }
        *ret = take_ptr(text);
        return 0;
}

/* What an object goes by. */
static int name_of(Slice object, char **ret)
{
        static const char *const paths[] = {"path_with_namespace", "full_path", "username", "name", "id"};
        Slice value;

        for (size_t i = 0; i < ELEMENTS(paths); i++)
                if (slice_member(object, paths[i], &value) && !slice_is_null(value))
                        return plain(value, ret);
        return plain(object, ret);
}

int view_value(Slice value, uint64_t now_usec, char **ret)
{
        _cleanup_secret_ Secret *joined = NULL;
        SliceCursor cursor = slice_enter(value);
        char age[VIEW_AGE_MAX];
        Slice item;
        uint64_t at;

        if (slice_is_object(value))
                return name_of(value, ret);
        if (read_time(value, &at)) {
                _cleanup_free_ char *text = NULL;
                int r = plain(value, &text);
                if (r < 0)
                        return r;
                return asprintf(ret, "%s (%s)", text, view_age(at, now_usec, age)) < 0 ? -ENOMEM : 0;
        }
        if (!slice_is_array(value))
                return plain(value, ret);

        int r = secret_new(NULL, 0, &joined);
        while (r >= 0 && secret_size(joined) < VIEW_CELL_MAX && slice_next_item(&cursor, &item)) {
                _cleanup_free_ char *text = NULL;

                if (secret_size(joined) > 0)
                        r = secret_append_string(joined, ", ");
                if (r >= 0)
                        r = slice_is_object(item) ? name_of(item, &text) : plain(item, &text);
                if (r >= 0)
                        r = secret_append_string(joined, text);
        }
        return r < 0 ? r : text_clean(secret_data(joined), secret_size(joined), VIEW_CELL_MAX, ret);
}

void view_fit(const Column *column, unsigned *widths, size_t n, unsigned room)
{
        unsigned total = 0;

        for (size_t i = 0; i < n; i++)
                total += widths[i] + (i > 0 ? 2 : 0);
        /* The widest gives first, so that all end up about as wide. */
        while (room > 0 && total > room) {
                size_t widest = n;

                for (size_t i = 0; i < n; i++)
                        if (column[i].least > 0 && widths[i] > column[i].least &&
                                (widest == n || widths[i] > widths[widest]))
                                widest = i;
                if (widest == n)
                        return;
                widths[widest]--;
                total--;
        }
}

static unsigned character_width(uint32_t c)
{
        static const struct {
                uint32_t first, last;
        } wide[] = {{0x1100, 0x115f}, {0x2e80, 0x303e}, {0x3041, 0xa4cf}, {0xac00, 0xd7a3}, {0xf900, 0xfaff},
                {0xfe30, 0xfe6f}, {0xff00, 0xff60}, {0xffe0, 0xffe6}, {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff},
                {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}};

        if ((c >= 0x300 && c <= 0x36f) || (c >= 0x1ab0 && c <= 0x1aff) || (c >= 0x20d0 && c <= 0x20ff) ||
                (c >= 0xfe00 && c <= 0xfe0f))
                return 0;
        for (size_t i = 0; i < ELEMENTS(wide); i++)
                if (c >= wide[i].first && c <= wide[i].last)
                        return 2;
        return 1;
}

/* The bytes of TEXT that take at most WIDTH columns, and how many they take. */
static size_t prefix(const char *text, unsigned width, unsigned *ret_width)
{
        size_t size = strlen(text), i = 0, n;
        uint32_t character;

        *ret_width = 0;
        for (; i < size; i += n) {
                unsigned w = 1;

                n = text_character(text + i, size - i, &character);
                if (n == 0)
                        n = 1;
                else
                        w = character_width(character);
                if (w > width - *ret_width)
                        break;
                *ret_width += w;
        }
        return i;
}

unsigned view_width(const char *text)
{
        unsigned width;

        (void)prefix(text, UINT32_MAX, &width);
        return width;
}

int view_cut(const char *text, unsigned width, char **ret)
{
        unsigned taken;
        size_t size = prefix(text, width, &taken);

        if (!text[size]) {
                *ret = strdup(text);
                return *ret ? 0 : -ENOMEM;
        }
        size = prefix(text, width > 0 ? width - 1 : 0, &taken);
        return asprintf(ret, "%.*s%s", (int)size, text, width > 0 ? "…" : "") < 0 ? -ENOMEM : 0;
}
