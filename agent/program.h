#pragma once

/* Runs somebody's program beside the loop, within bounds: no shell, /dev/null as stdin, none of our descriptors, and
 * of our environment only what is named; in a process group of its own, which is killed as a whole. */

#include <systemd/sd-event.h>

#include "agent/base/secret.h"

typedef struct Program Program;

/* What is run, and how far it may go. All borrowed for the start. */
typedef struct ProgramSpec {
        char *const *argv;            /* the program's absolute path and its arguments, NULL-terminated */
        const char *const *kept;      /* names of our variables that it gets; NULL: HOME, LANG, LC_ALL and TZ */
        const char *const *variables; /* NAME=value, NULL-terminated; NULL: none */
        uint64_t limit_usec;          /* it is killed then */
        size_t output_max;            /* of its stdout; it is killed if it writes more. 0: stdout goes to /dev/null */
} ProgramSpec;

typedef enum ProgramEnd {
        PROGRAM_EXITED,   /* `status` is its exit status */
        PROGRAM_SIGNALED, /* `status` is the signal that ended it */
        PROGRAM_TOO_SLOW, /* killed at limit_usec */
        PROGRAM_TOO_MUCH, /* killed for what it wrote */
        PROGRAM_NOT_RUN,  /* `status` is the negative errno that kept it from being run */
        _PROGRAM_END_MAX,
} ProgramEnd;

typedef struct ProgramResult {
        ProgramEnd end;
        int status;
        Secret *output;        /* of stdout; the callee may change it. Never NULL */
        const char *complaint; /* the first line of its stderr, as it came */
        size_t complaint_size;
} ProgramResult;

/* Called exactly once, from the loop, unless the program was cancelled; it is gone then. RESULT is borrowed. */
typedef void (*ProgramDone)(const ProgramResult *result, void *userdata);

/* What goes wrong comes through DONE, so 0 is returned for all but -ENOMEM. */
int program_start(sd_event *event, const ProgramSpec *spec, ProgramDone done, void *userdata, Program **ret);

/* Safe at any moment; DONE will not come, what runs is killed. Accepts NULL, returns NULL. */
Program *program_cancel(Program *program);
DEFINE_CLEANUP(Program, program_cancel)

/* Says of NAME how it ended ("exec:/bin/x ended with exit status 3: vault is sealed"), with its own complaint, fit
 * for a message: nothing of the output and no token is in it. Not for exit status 0. Returns 0 or -ENOMEM. */
int program_explain(const ProgramResult *result, const ProgramSpec *spec, const char *name, char **ret);
