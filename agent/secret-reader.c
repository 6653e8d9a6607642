#include "agent/secret-reader.h"

#include <stdio.h>
#include <string.h>

#include "agent/base/time.h"
#include "agent/program.h"

struct SecretReader {
        sd_event *event;
        SecretReaderDone done;
        void *userdata;
        char *name; /* of the source, for messages */
        SecretSource *source;
        Program *program;

        /* What was there at once, delivered by the source. */
        sd_event_source *done_source;
        int error;
        Secret *secret;
        char *message;
};

SecretReader *secret_reader_cancel(SecretReader *reader)
{
        if (!reader)
                return NULL;
        (void)program_cancel(reader->program);
        (void)sd_event_source_disable_unref(reader->done_source);
        (void)sd_event_unref(reader->event);
        (void)secret_source_free(reader->source);
        (void)secret_free(reader->secret);
        free(reader->message);
        free(reader->name);
        free(reader);
        return NULL;
}

static void deliver(SecretReader *reader, int error, const Secret *secret, const char *message)
{
        SecretReaderDone done = reader->done;
        void *userdata = reader->userdata;

        (void)secret_reader_cancel(reader);
        /* Which may free whatever started us: nothing of it is touched after this. */
        done(error, error < 0 ? NULL : secret, error < 0 && !message ? "out of memory" : message, userdata);
}

static int on_done(sd_event_source *source, void *userdata)
{
        SecretReader *reader = userdata;
        _cleanup_secret_ Secret *secret = take_ptr(reader->secret);
        _cleanup_free_ char *message = take_ptr(reader->message);

        deliver(reader, reader->error, secret, message);
        return 0;
}

static ProgramSpec program_spec(const SecretSource *source)
{
        static const char *const kept[] = {"HOME", "LANG", "LC_ALL", "TZ", "CREDENTIALS_DIRECTORY", NULL};

        return (ProgramSpec){
                .argv = source->argv,
                .kept = kept,
                .limit_usec = SECRET_SOURCE_EXEC_TIMEOUT_SEC * USEC_PER_SEC,
                .output_max = SECRET_READER_OUTPUT_MAX,
        };
}

static int judge(const SecretReader *reader, const ProgramResult *result, char **ret_message)
{
        const ProgramSpec spec = program_spec(reader->source);

        if (result->end == PROGRAM_EXITED && result->status == 0)
                return secret_source_accept(reader->source, result->output, ret_message);
        if (result->end == PROGRAM_TOO_MUCH) {
                if (asprintf(ret_message, "%s wrote more than %d bytes: that is no token", reader->name,
                            SECRET_READER_OUTPUT_MAX) < 0)
                        *ret_message = NULL;
                return -EFBIG;
        }
        if (program_explain(result, &spec, reader->name, ret_message) < 0)
                return -ENOMEM;
        switch (result->end) {
        case PROGRAM_TOO_SLOW:
                return -ETIMEDOUT;
        case PROGRAM_NOT_RUN:
                return result->status;
        case PROGRAM_EXITED:
        case PROGRAM_SIGNALED:
        case PROGRAM_TOO_MUCH:
        case _PROGRAM_END_MAX:
                break;
        }
        return -EIO;
}

static void on_program(const ProgramResult *result, void *userdata)
{
        SecretReader *reader = userdata;
        _cleanup_free_ char *message = NULL;

        reader->program = NULL;
        int r = judge(reader, result, &message);
        deliver(reader, r, result->output, message);
}

int secret_reader_start(
        sd_event *event, const SecretSource *source, SecretReaderDone done, void *userdata, SecretReader **ret)
{
        _cleanup_(secret_reader_cancelp) SecretReader *reader = calloc(1, sizeof(*reader));

        if (!reader)
                return -ENOMEM;
        reader->event = sd_event_ref(event);
        reader->done = done;
        reader->userdata = userdata;
        if (secret_source_copy(source, &reader->source) < 0 || secret_source_describe(source, &reader->name) < 0)
                return -ENOMEM;
        if (source->kind == SECRET_SOURCE_EXEC) {
                const ProgramSpec spec = program_spec(reader->source);
                int r = program_start(event, &spec, on_program, reader, &reader->program);
                if (r < 0)
                        return r;
        } else {
                if (sd_event_add_defer(event, &reader->done_source, on_done, reader) < 0)
                        return -ENOMEM;
                (void)sd_event_source_set_description(reader->done_source, "secret-done");
                reader->error = secret_source_read(source, &reader->secret, &reader->message);
        }
        *ret = take_ptr(reader);
        return 0;
}
