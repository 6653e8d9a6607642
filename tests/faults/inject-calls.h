#pragma once

#include <stdbool.h>

/* Beyond the highest number of a system call on any machine that inject.c knows. */
#define CALLS_MAX 512

/* Where a call says what it is about. */
typedef enum CallShape {
        SHAPE_OTHER,
        SHAPE_PATH,     /* path */
        SHAPE_AT,       /* folder's descriptor, name */
        SHAPE_RENAME,   /* folder's descriptor, name, folder's descriptor, name */
        SHAPE_FD,       /* descriptor */
        SHAPE_TRANSFER, /* descriptor, buffer, size */
        SHAPE_RANDOM,   /* buffer, size */
        SHAPE_MESSAGE,  /* descriptor, struct msghdr */
        SHAPE_ADDRESS,  /* descriptor, address, size */
} CallShape;

/* The call NR's name, "call" where it has none here. */
const char *call_name(long nr);

CallShape call_shape(long nr);

bool call_is(long nr, const char *name);
