#include "tests/unit/recorder.h"

#include "agent/host/machine.h"

typedef struct Fixture {
        Scratch *scratch;
        MachinePaths paths;
        char *strings[4];
} Fixture;

static int setup(void **state)
{
        static const char *const names[] = {"machine-id", "dbus-machine-id", "instance-id", "image-build"};
        Fixture *fixture = calloc(1, sizeof(*fixture));
        void *scratch;

        assert_non_null(fixture);
        assert_int_equal(scratch_setup(&scratch), 0);
        fixture->scratch = scratch;
        for (size_t i = 0; i < ELEMENTS(names); i++)
                fixture->strings[i] = strdup(scratch_path(scratch, names[i]));
        fixture->paths =
                (MachinePaths){fixture->strings[0], fixture->strings[1], fixture->strings[2], fixture->strings[3]};
        *state = fixture;
        return 0;
}

static int teardown(void **state)
{
        Fixture *fixture = *state;
        void *scratch = fixture->scratch;

        for (size_t i = 0; i < ELEMENTS(fixture->strings); i++)
                free(fixture->strings[i]);
        (void)scratch_teardown(&scratch);
        free(fixture);
        return 0;
}

static void assert_text(const char *text, const char *expected)
{
        if (!expected)
                assert_null(text);
        else {
                assert_non_null(text);
                assert_string_equal(text, expected);
        }
}

static int read_machine(Fixture *fixture, Machine *ret)
{
        _cleanup_free_ char *error = NULL;

        return machine_read(disk_real(), &fixture->paths, ret, &error);
}

static bool is_image_build(const MachinePaths *paths)
{
        _cleanup_free_ char *error = NULL;
        bool is_built;

        assert_int_equal(machine_is_image_build(disk_real(), paths, &is_built, &error), 0);
        return is_built;
}

#define ID    "0123456789abcdef0123456789abcdef"
#define OTHER "b08dfa6083e7567a1921a715000001fb"

static void test_which_machine_this_is(void **state)
{
        Fixture *fixture = *state;
        static const struct {
                const char *etc, *dbus; /* NULL: no such file */
                const char *machine_id, *neighbour_id, *system_id;
        } cases[] = {
                {ID "\n", NULL, ID, ID, "s_ee3af03959fe"},
                /* gitlab-runner keeps the case; two spellings are still one machine. */
                {"0123456789ABCDEF0123456789ABCDEF\n", NULL, ID, "0123456789ABCDEF0123456789ABCDEF",
                        "s_f9be0aedbed9"},
                /* It takes D-Bus's copy if there is one, stale or not. */
                {ID "\n", OTHER "\n", ID, OTHER, "s_75dbf98a91e6"},
                {ID "\n", "", ID, NULL, NULL},
                {ID "\n", " \n", ID, NULL, NULL},
                {NULL, OTHER, NULL, OTHER, "s_75dbf98a91e6"},
                {NULL, NULL, NULL, NULL, NULL},
                {"", NULL, NULL, NULL, NULL},
                {"uninitialized\n", NULL, NULL, "uninitialized", "s_b0b48a716d03"},
                {"00000000000000000000000000000000\n", NULL, NULL, "00000000000000000000000000000000",
                        "s_0f8e23d31e7b"},
                {"0123\n", NULL, NULL, "0123", NULL},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(machine_done) Machine machine = {0};
                char id[SYSTEM_ID_SIZE + 1], other[SYSTEM_ID_SIZE + 1];

                (void)unlink(fixture->paths.machine_id);
                (void)unlink(fixture->paths.dbus_machine_id);
                if (cases[i].etc)
                        scratch_write(fixture->scratch, "machine-id", cases[i].etc);
                if (cases[i].dbus)
                        scratch_write(fixture->scratch, "dbus-machine-id", cases[i].dbus);
                assert_int_equal(read_machine(fixture, &machine), 0);
                assert_text(machine.machine_id, cases[i].machine_id);
                assert_text(machine.neighbour_id, cases[i].neighbour_id);
                assert_int_equal(machine_make_system_id(&machine, disk_real(), id), 0);
                assert_true(system_id_valid(id));
                if (cases[i].system_id)
                        assert_string_equal(id, cases[i].system_id);
                if (!cases[i].neighbour_id) {
                        assert_int_equal(id[0], 'r');
                        assert_int_equal(machine_make_system_id(&machine, disk_real(), other), 0);
                        assert_string_not_equal(id, other);
                }
        }
}

static void test_the_usual_link_is_followed(void **state)
{
        Fixture *fixture = *state;
        _cleanup_(machine_done) Machine machine = {0};

        scratch_write(fixture->scratch, "machine-id", ID "\n");
        scratch_link(fixture->scratch, "machine-id", "dbus-machine-id");
        assert_int_equal(read_machine(fixture, &machine), 0);
        assert_text(machine.neighbour_id, ID);
}

static void test_the_other_facts(void **state)
{
        Fixture *fixture = *state;
        _cleanup_(machine_done) Machine unknown = {0}, empty = {0}, known = {0};

        assert_int_equal(read_machine(fixture, &unknown), 0);
        assert_null(unknown.instance_id);
        assert_true(strlen(unknown.host_name) > 0);
        assert_true(strlen(unknown.architecture) > 0);
        scratch_write(fixture->scratch, "instance-id", "\n");
        assert_int_equal(read_machine(fixture, &empty), 0);
        assert_null(empty.instance_id);
        scratch_write(fixture->scratch, "instance-id", "i-0abc\n");
        assert_int_equal(read_machine(fixture, &known), 0);
        assert_text(known.instance_id, "i-0abc");
}

static void test_image_build(void **state)
{
        Fixture *fixture = *state;
        MachinePaths missing = fixture->paths;

        missing.image_build = scratch_path(fixture->scratch, "no/folder/image-build");
        assert_false(is_image_build(&missing));
        assert_false(is_image_build(&fixture->paths));
        scratch_write(fixture->scratch, "image-build", "");
        assert_true(is_image_build(&fixture->paths));
        assert_int_equal(unlink(fixture->paths.image_build), 0);
        scratch_mkdir(fixture->scratch, "image-build");
        assert_true(is_image_build(&fixture->paths));
        assert_int_equal(rmdir(fixture->paths.image_build), 0);
        scratch_link(fixture->scratch, "nowhere", "image-build");
        assert_true(is_image_build(&fixture->paths));
}

/* A disk that fails once: whose machine it is, and whether it is an image, is not known then, and not made up. */
static void test_a_disk_that_cannot_tell(void **state)
{
        static const int errors[] = {-EIO, -EMFILE, -ENOMEM, -ESTALE};
        Fixture *fixture = *state;

        scratch_write(fixture->scratch, "machine-id", ID "\n");
        for (size_t i = 0; i < ELEMENTS(errors); i++)
                for (unsigned at = 1;; at++) {
                        Recorder recorder;
                        _cleanup_(machine_done) Machine machine = {0};
                        _cleanup_free_ char *error = NULL;

                        recorder_init(&recorder);
                        recorder.fail_at = at;
                        recorder.fail_with = errors[i];
                        int r = machine_read(&recorder.disk, &fixture->paths, &machine, &error);
                        bool failed = recorder.failed[0] != '\0';
                        recorder_forget(&recorder);
                        if (!failed) {
                                assert_int_equal(r, 0);
                                assert_true(at > 5);
                                break;
                        }
                        assert_int_equal(r, errors[i]);
                        assert_null(machine.machine_id);
                }
        for (unsigned at = 1; at <= 2; at++) {
                Recorder recorder;
                _cleanup_free_ char *error = NULL;
                bool is_built = false;

                recorder_init(&recorder);
                recorder.fail_at = at;
                recorder.fail_with = -EIO;
                assert_int_equal(machine_is_image_build(&recorder.disk, &fixture->paths, &is_built, &error), -EIO);
                recorder_forget(&recorder);
        }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_which_machine_this_is),
                TEST(test_the_usual_link_is_followed),
                TEST(test_the_other_facts),
                TEST(test_a_disk_that_cannot_tell),
                TEST(test_image_build),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
