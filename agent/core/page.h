#pragma once

/* Where a list goes on. GitLab names the next page in X-Next-Page, or, for keyset pages, only in a Link with the host
 * that it believes to have: following that to another host would hand our token over
 * (lib/gitlab/pagination/offset_header_builder.rb). */

#include <stdbool.h>
#include <stdint.h>

#include "agent/core/reply.h"

/* What a page of a list holds at most (lib/api/pagination_params.rb). */
#define PAGE_ROWS_MAX 100

typedef enum PageKind {
        PAGE_LAST,
        PAGE_NUMBER,  /* `number` is the next one */
        PAGE_CURSOR,  /* `cursor` leads to it */
        PAGE_FOREIGN, /* it lies at another host; `host` is that */
        PAGE_BROKEN,  /* the server leads nowhere, or in a circle */
} PageKind;

typedef struct Page {
        PageKind kind;
        int64_t number;
        char *cursor;
        char *host;
} Page;

void page_done(Page *page);

/* What follows the page NUMBER (0: a keyset page, reached by CURSOR, NULL: the first one), which REPLY is, of a list
 * at the GitLab URL. Returns 0 or -ENOMEM. */
int page_next(const Reply *reply, const char *url, int64_t number, const char *cursor, Page *ret);

/* The size of pages to go on with after one of ROWS rows was too large to be taken: a divisor of ROWS, so that the
 * rows read so far are whole pages of the new size; 0: there is none below. */
unsigned page_smaller(unsigned rows);
