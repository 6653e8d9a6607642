#include "agent/neighbour.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "agent/base/file.h"
#include "agent/core/record.h"
#include "agent/program.h"
#include "config/trust.h"

/* Six short lines. */
#define OUTPUT_MAX 4096

#define CACHE_NAME "neighbour"

struct NeighbourQuery {
        Disk *disk;
        Log *log;
        NeighbourDone done;
        void *userdata;
        char *runtime_dir;
        char *path; /* of the program; NULL: none */
        char *mark; /* the line that says which file it is */
        Program *program;
        sd_event_source *done_source; /* for what was known at once */
        Neighbour neighbour;
};

const char *const *neighbour_places(void)
{
        static const char *const places[] = {"/usr/bin/gitlab-runner", "/usr/local/bin/gitlab-runner", NULL};

        return places;
}

NeighbourQuery *neighbour_query_cancel(NeighbourQuery *q)
{
        if (!q)
                return NULL;
        (void)program_cancel(q->program);
        (void)sd_event_source_disable_unref(q->done_source);
        neighbour_done(&q->neighbour);
        free(q->runtime_dir);
        free(q->path);
        free(q->mark);
        free(q);
        return NULL;
}

static void deliver(NeighbourQuery *q)
{
        NeighbourDone done = q->done;
        void *userdata = q->userdata;
        Neighbour neighbour = q->neighbour;

        q->neighbour = (Neighbour){};
        (void)neighbour_query_cancel(q);
        done(&neighbour, userdata);
        neighbour_done(&neighbour);
}

static int on_known(sd_event_source *source, void *userdata)
{
        deliver(userdata);
        return 0;
}

/* --- what it said before */

static int find_program(NeighbourQuery *q, const char *const *places)
{
        for (; *places; places++) {
                _cleanup_free_ char *why = NULL;
                struct stat st;
                int r = trust_check_file(*places, TRUST_PROGRAM, &st, &why);

                if (r == -ENOMEM)
                        return r;
                if (r < 0) {
                        if (r != -ENOENT)
                                log_debug(q->log, NULL, "%s; its version is not asked for", why ? why : *places);
                        continue;
                }
                if (asprintf(&q->mark, "%s %" PRIu64 ".%09ld %" PRIu64 "\n", *places, (uint64_t)st.st_mtim.tv_sec,
                            st.st_mtim.tv_nsec, (uint64_t)st.st_size) < 0) {
                        q->mark = NULL;
                        return -ENOMEM;
                }
                return replace_string(&q->path, *places);
        }
        return 0;
}

static bool read_cache(NeighbourQuery *q)
{
        _cleanup_(folder_freep) Folder *folder = NULL;
        _cleanup_(file_closep) File *file = NULL;
        _cleanup_secret_ Secret *text = NULL;
        _cleanup_free_ char *why = NULL;

        /* What it says is sent to GitLab, so nobody else's folder is believed. */
        if (folder_open(q->disk, q->runtime_dir, FOLDER_TRUSTED, &folder, &why) < 0 ||
                file_open(folder, CACHE_NAME, 0, 0, &file) < 0 || file_read(file, 2 * OUTPUT_MAX, &text) < 0)
                return false;
        size_t size = strlen(q->mark);
        return secret_size(text) > size && memcmp(secret_data(text), q->mark, size) == 0 &&
               neighbour_parse(secret_data(text) + size, &q->neighbour) >= 0;
}

static void write_cache(const NeighbourQuery *q, const Secret *output)
{
        _cleanup_(folder_freep) Folder *folder = NULL;
        _cleanup_free_ char *text = NULL, *why = NULL;

        /* As the control socket's owner would make it: the status in there is for everyone. */
        (void)mkdir(q->runtime_dir, 0755);
        if (asprintf(&text, "%s%s", q->mark, secret_data(output)) < 0) {
                text = NULL;
                return;
        }
        if (folder_open(q->disk, q->runtime_dir, FOLDER_TRUSTED, &folder, &why) >= 0)
                (void)file_replace(folder, CACHE_NAME, text, strlen(text), 0644, REPLACE_VOLATILE);
}

/* --- asking it */

static ProgramSpec spec_of(char *const *argv)
{
        return (ProgramSpec){.argv = argv, .limit_usec = NEIGHBOUR_VERSION_USEC, .output_max = OUTPUT_MAX};
}

static void on_version(const ProgramResult *result, void *userdata)
{
        NeighbourQuery *q = userdata;
        const ProgramSpec spec = spec_of(NULL);
        _cleanup_free_ char *why = NULL;

        q->program = NULL;
        if (result->end != PROGRAM_EXITED || result->status != 0) {
                if (program_explain(result, &spec, q->path, &why) < 0)
                        why = NULL;
                log_warning(q->log, NULL, "%s; GitLab is told of the newest gitlab-runner instead",
                        why ? why : "Out of memory");
        } else if (neighbour_parse(secret_data(result->output), &q->neighbour) < 0)
                log_warning(q->log, NULL, "'%s --version' is not understood; GitLab is told of the newest instead",
                        q->path);
        else
                write_cache(q, result->output);
        deliver(q);
}

static int begin(NeighbourQuery *q, sd_event *event, const char *const *places)
{
        int r = find_program(q, places);

        if (r < 0)
                return r;
        if (!q->path || read_cache(q)) {
                r = sd_event_add_defer(event, &q->done_source, on_known, q);
                return r < 0 ? -ENOMEM : 0;
        }
        char *argv[] = {q->path, (char *)"--version", NULL};
        const ProgramSpec spec = spec_of(argv);
        return program_start(event, &spec, on_version, q, &q->program);
}

int neighbour_query(sd_event *event, Disk *disk, Log *log, const char *runtime_dir, const char *const *places,
        NeighbourDone done, void *userdata, NeighbourQuery **ret)
{
        _cleanup_(neighbour_query_cancelp) NeighbourQuery *q = calloc(1, sizeof(*q));

        if (!q)
                return -ENOMEM;
        q->disk = disk;
        q->log = log;
        q->done = done;
        q->userdata = userdata;
        int r = replace_string(&q->runtime_dir, runtime_dir);
        if (r >= 0)
                r = begin(q, event, places);
        if (r < 0)
                return r;
        *ret = take_ptr(q);
        return 0;
}
