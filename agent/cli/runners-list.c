#include "agent/cli/runners-list.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "agent/core/page.h"
#include "agent/core/text.h"

/* A page in one array; GET /runners/:id/managers is not paged, but bounded by REPLY_BODY_MAX. */
#define ROWS_MAX 65536

typedef struct Walk {
        Session *session;
        const Invocation *invocation;
        const Endpoint *endpoint;
        uint64_t limit;
        ListTake take;
        void *userdata;
        unsigned per_page;
        bool keyset;
        uint64_t n_rows;
        bool progress;
} Walk;

static int walk_start(Walk *walk, const Page *page, Pending *pending)
{
        Argument arguments[INVOCATION_ARGUMENTS_MAX + 3];
        size_t n = walk->invocation->n_arguments;

        if (n > 0)
                memcpy(arguments, walk->invocation->arguments, n * sizeof(*arguments));
        if (walk->endpoint->paged) {
                arguments[n++] = (Argument){.name = "per_page", .integer = walk->per_page};
                if (page->cursor)
                        arguments[n++] = (Argument){.name = "cursor", .text = page->cursor};
                else if (page->number > 1)
                        arguments[n++] = (Argument){.name = "page", .integer = page->number};
        }
        return pending_start(pending, walk->session, walk->endpoint, arguments, n);
}

static void show_progress(Walk *walk, const char *total)
{
        /* Only digits come from outside. */
        size_t digits = total ? strspn(total, "0123456789") : 0;

        if (!walk->progress)
                return;
        (void)fprintf(stderr, "\r%" PRIu64 "%s%.*s rows …\033[K", walk->n_rows, digits > 0 ? " of " : "",
                (int)(digits < 15 ? digits : 15), total ? total : "");
}

static void hide_progress(const Walk *walk)
{
        if (walk->progress)
                (void)fputs("\r\033[K", stderr);
}

static int split_rows(Slice array, Slice **ret, size_t *ret_n)
{
        SliceCursor cursor = slice_enter(array);
        _cleanup_free_ Slice *rows = NULL;
        size_t n = 0, room = 0;
        Slice row;

        while (n < ROWS_MAX && slice_next_item(&cursor, &row)) {
                if (n == room) {
                        room = room > 0 ? 2 * room : PAGE_ROWS_MAX;
                        Slice *more = realloc(rows, room * sizeof(*rows));
                        if (!more)
                                return -ENOMEM;
                        rows = more;
                }
                rows[n++] = row;
        }
        *ret = take_ptr(rows);
        *ret_n = n;
        return 0;
}

static int say_broken(const Walk *walk, const Page *page)
{
        const char *name = walk->invocation->command.name;

        if (page->kind == PAGE_FOREIGN)
                (void)fprintf(stderr,
                        "runner-registrar runners %s: the list goes on at '%s', which is not the GitLab that was "
                        "asked, so nothing was sent there; say --url as GitLab itself has it, or list without "
                        "--pagination\n",
                        name, page->host ? page->host : "another host");
        else
                (void)fprintf(stderr, "runner-registrar runners %s: the answer does not say where the list goes on\n",
                        name);
        return EXIT_FAILED;
}

/* Takes over what came. *RET_N: how many rows that was, whether they were wanted or not. */
static int take_page(Walk *walk, const Pending *pending, size_t *ret_n)
{
        _cleanup_free_ Slice *rows = NULL;
        size_t n;

        int r = split_rows(pending->outcome.body, &rows, &n);
        if (r < 0)
                return r;
        *ret_n = n;
        if (walk->limit > 0 && n > walk->limit - walk->n_rows)
                n = (size_t)(walk->limit - walk->n_rows);
        walk->n_rows += n;
        hide_progress(walk);
        return walk->take(rows, n, walk->userdata);
}

/* Where the list goes on behind PENDING, by its headers alone; PAGE_LAST too where the first N_ROWS are enough. */
static int find_next(const Walk *walk, const Pending *pending, const Page *page, uint64_t n_rows, Page *ret)
{
        *ret = (Page){.kind = PAGE_LAST};
        if (!walk->endpoint->paged || (walk->limit > 0 && n_rows >= walk->limit))
                return 0;
        return page_next(
                &pending->reply, walk->session->target.url, walk->keyset ? 0 : page->number, page->cursor, ret);
}

static bool page_follows(const Page *page)
{
        return page->kind == PAGE_NUMBER || page->kind == PAGE_CURSOR;
}

/* The headers of a page tell the next one, so that is asked for before this one is taken apart: the server works
 * while we do. */
static int start_next(Walk *walk, Pending *pending, const Page *page, Page *ret_next, Pending *ret)
{
        int r = pending_land(pending);

        if (r < 0 || pending->reply.transport != TRANSPORT_OK || pending->reply.status != walk->endpoint->success)
                return r;
        r = find_next(walk, pending, page, walk->n_rows + walk->per_page, ret_next);
        if (r < 0 || !page_follows(ret_next))
                return r;
        r = walk_start(walk, ret_next, ret);
        if (r >= 0)
                pending_push(ret);
        return r;
}

/* The same after the page was taken apart: it came at a second try, or might have been the last one that is wanted.
 */
static int start_late(Walk *walk, const Pending *pending, const Page *page, Page *next, Pending *following)
{
        page_done(next);
        int r = find_next(walk, pending, page, walk->n_rows, next);
        return r >= 0 && page_follows(next) ? walk_start(walk, next, following) : r;
}

/* Rows too long for pages of this size: asks for the same place in smaller ones. */
static bool shrink(Walk *walk, Page *page)
{
        unsigned smaller = walk->endpoint->paged ? page_smaller(walk->per_page) : 0;

        if (smaller == 0)
                return false;
        walk->per_page = smaller;
        page->number = (int64_t)(walk->n_rows / smaller) + 1;
        return true;
}

static int walk_pages(Walk *walk)
{
        _cleanup_(page_done) Page page = {.number = 1};
        _cleanup_(pending_done) Pending pending = {0};

        int r = walk_start(walk, &page, &pending);
        for (;;) {
                _cleanup_(pending_done) Pending following = {0};
                _cleanup_(page_done) Page next = {0};
                size_t n = 0;

                if (r >= 0)
                        r = start_next(walk, &pending, &page, &next, &following);
                if (r >= 0)
                        r = pending_wait(&pending);
                if (r >= 0 && pending.outcome.too_large && shrink(walk, &page)) {
                        pending_done(&pending);
                        r = walk_start(walk, &page, &pending);
                        continue;
                }
                if (r < 0 || pending.outcome.kind != OUTCOME_DONE) {
                        hide_progress(walk);
                        return session_report(walk->session, &pending, r, NULL);
                }
                r = take_page(walk, &pending, &n);
                /* A server that gives empty pages for ever gives no list. */
                if (r >= 0 && n > 0 && !following.session)
                        r = start_late(walk, &pending, &page, &next, &following);
                if (r == -EPIPE)
                        return EXIT_FAILED; /* main says why */
                if (r < 0)
                        return session_report(walk->session, &pending, r, NULL);
                if (n == 0 || !page_follows(&next))
                        return n == 0 || next.kind == PAGE_LAST ? EXIT_DONE : say_broken(walk, &next);
                show_progress(walk, pending.reply.total);

                pending_done(&pending);
                pending = following;
                following = (Pending){0};
                page_done(&page);
                page = next;
                next = (Page){0};
        }
}

/* A filter that a server does not know is ignored by it, and the list would be another one than was asked for. */
static int check_filters(Session *session, const Invocation *invocation)
{
        char option[ENDPOINT_OPTION_MAX], since[RELEASE_TEXT_MAX];

        for (size_t i = 0; i < invocation->n_arguments; i++) {
                const Parameter *p = endpoint_parameter(&invocation->endpoint, invocation->arguments[i].name);

                if (!p || p->place != PLACE_QUERY || p->since <= RELEASE(11, 4))
                        continue;
                unsigned release = session_release(session);
                if (release == 0 || release >= p->since)
                        continue;
                _cleanup_free_ char *shown = NULL;
                (void)text_show(session->version, strlen(session->version), 40, &shown);
                (void)fprintf(stderr,
                        "runner-registrar runners %s: GitLab %s does not know --%s, and would list as if it was not "
                        "there: it came with GitLab %s\n",
                        invocation->command.name, shown ? shown : "", parameter_option(p, option),
                        release_to_string(p->since, since));
                return EXIT_FAILED;
        }
        return EXIT_DONE;
}

int list_walk(Session *session, const Invocation *invocation, uint64_t limit, ListTake take, void *userdata)
{
        const Argument *pagination = invocation_argument((Invocation *)invocation, "pagination");
        Walk walk = {
                .session = session,
                .invocation = invocation,
                .endpoint = &invocation->endpoint,
                .limit = limit,
                .take = take,
                .userdata = userdata,
                .per_page = limit > 0 && limit < PAGE_ROWS_MAX ? (unsigned)limit : PAGE_ROWS_MAX,
                .keyset = pagination && strcmp(pagination->text, "keyset") == 0,
                .progress = isatty(STDERR_FILENO) && !isatty(STDOUT_FILENO),
        };

        int code = check_filters(session, invocation);
        if (code != EXIT_DONE)
                return code;
        code = walk_pages(&walk);
        hide_progress(&walk);
        return code;
}

typedef struct Printing {
        Session *session;
        Output output;
} Printing;

static int print_rows(const Slice *rows, size_t n, void *userdata)
{
        Printing *printing = userdata;

        return output_rows(&printing->output, rows, n, printing->session->server_now_usec);
}

int runners_list(Session *session, const Invocation *invocation)
{
        Printing printing = {.session = session};

        output_open(&printing.output, invocation, invocation->endpoint.view, true);
        int code = list_walk(session, invocation, invocation->limit, print_rows, &printing);
        if (code != EXIT_DONE) {
                (void)fflush(printing.output.stream);
                return code;
        }
        return output_close(&printing.output) < 0 ? EXIT_FAILED : EXIT_DONE;
}
