#pragma once

/* The simulator itself does not run out of memory: it ends. */

#include <stdio.h>
#include <stdlib.h>

static inline void *must(void *p)
{
        if (!p) {
                (void)fputs("simulate: out of memory\n", stderr);
                exit(1);
        }
        return p;
}
