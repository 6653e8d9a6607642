#pragma once

/* Reads a secret from its source without holding up the loop: what lies in a file, a credential or a variable is read
 * at once, a program (`exec:`) runs beside us. */

#include <systemd/sd-event.h>

#include "config/source.h"

typedef struct SecretReader SecretReader;

/* What an exec: program may write to its stdout, white space included. */
#define SECRET_READER_OUTPUT_MAX 4096

/* Called exactly once, from the loop, unless the reader was cancelled; the reader is gone then. ERROR is 0, or a
 * negative errno with a MESSAGE: those of secret_source_read(), and for exec: -ETIMEDOUT (too slow, and killed),
 * -EIO (ended with an error; the message quotes the first line of its stderr), -EFBIG (wrote too much), or what kept
 * it from being run. SECRET and MESSAGE are borrowed for the call. */
typedef void (*SecretReaderDone)(int error, const Secret *secret, const char *message, void *userdata);

/* Begins to read SOURCE (borrowed for the call). A program runs without a shell, with /dev/null as stdin, none of our
 * descriptors and none of our environment but HOME, LANG, LC_ALL, TZ and CREDENTIALS_DIRECTORY, in a process group of
 * its own that is killed after SECRET_SOURCE_EXEC_TIMEOUT_SEC. What goes wrong comes through DONE, so 0 is returned
 * for all but -ENOMEM. */
int secret_reader_start(
        sd_event *event, const SecretSource *source, SecretReaderDone done, void *userdata, SecretReader **ret);

/* Safe at any moment; DONE will not come, a program that runs is killed. Accepts NULL, returns NULL. */
SecretReader *secret_reader_cancel(SecretReader *reader);
DEFINE_CLEANUP(SecretReader, secret_reader_cancel)
