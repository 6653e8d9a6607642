#pragma once

/* What a command ends with, for scripts; the numbers are those of sysexits.h where it has one. */

typedef enum ExitCode {
        EXIT_DONE = 0,
        EXIT_FAILED = 1,
        EXIT_USAGE = 2,
        EXIT_AGAIN = 75,   /* GitLab could not be reached, or asked us to come back: try again */
        EXIT_REFUSED = 77, /* GitLab refused the token or the request */
        EXIT_CONFIG = 78,  /* the configuration is wrong, missing or unreadable */
} ExitCode;

/* The one that counts for both: config before refused before again before failed before done. */
int exit_code_worse(int a, int b);
