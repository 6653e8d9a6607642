#pragma once

/* jansson with as many blocks as a test lets it have: json_set_alloc_funcs(failing_malloc, free), and back. */

#include <jansson.h>
#include <stddef.h>
#include <stdlib.h>

static size_t blocks_left;

static void *failing_malloc(size_t size)
{
        if (blocks_left == 0)
                return NULL;
        blocks_left--;
        return malloc(size);
}
