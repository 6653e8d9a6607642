/* neighbour: a script in gitlab-runner's place that counts how often it is run. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/base/time.h"
#include "agent/neighbour.h"

typedef struct Fixture {
        sd_event *event;
        char folder[64], program[96], runtime[96];
        const char *places[3];
        char *version; /* of the last answer */
        int n_answers;
} Fixture;

static const char version_script[] = "echo run >>\"$(dirname \"$0\")/runs\"\n"
                                     "cat <<EOF\n"
                                     "Version:      18.5.0\n"
                                     "Git revision: bda84871\n"
                                     "Git branch:   18-5-stable\n"
                                     "GO version:   go1.24.6\n"
                                     "Built:        2025-10-13T19:20:30Z\n"
                                     "OS/Arch:      linux/arm64\n"
                                     "EOF";

static void write_program(Fixture *f, const char *body, mode_t mode)
{
        (void)unlink(f->program);
        FILE *script = fopen(f->program, "we");
        assert_non_null(script);
        (void)fprintf(script, "#!/bin/sh\n%s\n", body);
        (void)fclose(script);
        assert_int_equal(chmod(f->program, mode), 0);
}

static void set_up(Fixture *f)
{
        *f = (Fixture){};
        /* As root nothing below /tmp is trusted with a cache. */
        (void)snprintf(f->folder, sizeof(f->folder), "%s/test-neighbour-XXXXXX", geteuid() == 0 ? "/run" : "/tmp");
        assert_non_null(mkdtemp(f->folder));
        (void)snprintf(f->program, sizeof(f->program), "%s/gitlab-runner", f->folder);
        (void)snprintf(f->runtime, sizeof(f->runtime), "%s/run", f->folder);
        f->places[0] = "/nonexistent/gitlab-runner";
        f->places[1] = f->program;
}

static void tear_down(Fixture *f)
{
        char command[128];

        (void)snprintf(command, sizeof(command), "rm -rf '%s'", f->folder);
        assert_int_equal(system(command), 0);
        free(f->version);
        while (waitpid(-1, NULL, 0) > 0)
                ;
}

static void on_answer(Neighbour *neighbour, void *userdata)
{
        Fixture *f = userdata;

        f->n_answers++;
        free(f->version);
        f->version = neighbour->version ? strdup(neighbour->version) : NULL;
        (void)sd_event_exit(f->event, 0);
}

static int on_too_long(sd_event_source *source, uint64_t usec, void *userdata)
{
        fail_msg("no answer");
        return 0;
}

static void ask(Fixture *f)
{
        NeighbourQuery *query = NULL;
        int before = f->n_answers;

        assert_int_equal(sd_event_new(&f->event), 0);
        assert_true(sd_event_add_time_relative(
                            f->event, NULL, CLOCK_MONOTONIC, 30 * USEC_PER_SEC, 0, on_too_long, NULL) >= 0);
        assert_int_equal(
                neighbour_query(f->event, disk_real(), NULL, f->runtime, f->places, on_answer, f, &query), 0);
        assert_int_equal(f->n_answers, before);
        assert_true(sd_event_loop(f->event) >= 0);
        assert_int_equal(f->n_answers, before + 1);
        f->event = sd_event_unref(f->event);
}

static int runs(const Fixture *f)
{
        char path[128];
        struct stat st;

        (void)snprintf(path, sizeof(path), "%s/runs", f->folder);
        return stat(path, &st) < 0 ? 0 : (int)st.st_size / 4;
}

static void test_none_is_installed(void **state)
{
        Fixture f;

        set_up(&f);
        ask(&f);
        assert_null(f.version);
        tear_down(&f);
}

/* Asked once; again only once the program is another file. */
static void test_known(void **state)
{
        Fixture f;

        set_up(&f);
        write_program(&f, version_script, 0755);
        ask(&f);
        assert_string_equal(f.version, "18.5.0");
        assert_int_equal(runs(&f), 1);
        ask(&f);
        assert_string_equal(f.version, "18.5.0");
        assert_int_equal(runs(&f), 1);

        char other[1024];
        (void)snprintf(other, sizeof(other), "# upgraded\n%s", version_script);
        write_program(&f, other, 0755);
        ask(&f);
        assert_int_equal(runs(&f), 2);
        tear_down(&f);
}

static void test_bad_programs(void **state)
{
        static const char *const bodies[] = {
                "exit 1",
                "echo this is something else",
                "head -c 5000 /dev/zero",
                "kill -SEGV $$",
        };

        for (size_t i = 0; i < ELEMENTS(bodies); i++) {
                Fixture f;

                set_up(&f);
                write_program(&f, bodies[i], 0755);
                ask(&f);
                assert_null(f.version);
                tear_down(&f);
        }
}

/* Who could write it could have us run anything. */
static void test_others_can_write_it(void **state)
{
        Fixture f;

        set_up(&f);
        write_program(&f, version_script, 0777);
        ask(&f);
        assert_null(f.version);
        assert_int_equal(runs(&f), 0);
        tear_down(&f);
}

static void test_slow(void **state)
{
        struct timespec begin, end;
        Fixture f;

        set_up(&f);
        write_program(&f, "sleep 60", 0755);
        (void)clock_gettime(CLOCK_MONOTONIC, &begin);
        ask(&f);
        (void)clock_gettime(CLOCK_MONOTONIC, &end);
        assert_null(f.version);
        assert_in_range(end.tv_sec - begin.tv_sec, 4, 8);
        tear_down(&f);
}

static void test_cancel(void **state)
{
        NeighbourQuery *query = NULL;
        Fixture f;

        set_up(&f);
        write_program(&f, "sleep 60", 0755);
        assert_int_equal(sd_event_new(&f.event), 0);
        assert_int_equal(neighbour_query(f.event, disk_real(), NULL, f.runtime, f.places, on_answer, &f, &query), 0);
        assert_null(neighbour_query_cancel(query));
        for (int i = 0; i < 10; i++)
                assert_true(sd_event_run(f.event, USEC_PER_MSEC) >= 0);
        assert_int_equal(f.n_answers, 0);
        f.event = sd_event_unref(f.event);
        tear_down(&f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_none_is_installed),
                cmocka_unit_test(test_known),
                cmocka_unit_test(test_bad_programs),
                cmocka_unit_test(test_others_can_write_it),
                cmocka_unit_test(test_slow),
                cmocka_unit_test(test_cancel),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
