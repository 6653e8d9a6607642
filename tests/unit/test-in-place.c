/* agent/in-place: a config.toml that can't be renamed over, as on a bind mount, and what a crash leaves of it. */

#include "tests/unit/config-toml-fixture.h"

static void bind_config(Fixture *fixture)
{
        scratch_mkdir(fixture->scratch, "volume");
        scratch_write(fixture->scratch, "volume/real.toml", OLD);
        scratch_write(fixture->scratch, "etc/config.toml", "# below the mount\n");
        mount_at(fixture, scratch_path(fixture->scratch, "volume/real.toml"), "etc/config.toml", "none", MS_BIND,
                NULL);
}

static void test_a_bind_mount_is_written_in_place(void **state)
{
        Fixture *fixture = *state;
        struct stat before, after;
        uint64_t mtime;

        bind_config(fixture);
        before = scratch_stat(fixture->scratch, "volume/real.toml");
        mtime = mtime_nsec(fixture, "volume/real.toml");
        recorder_forget(&fixture->recorder);
        assert_replaces(fixture->ct, NEW);
        after = scratch_stat(fixture->scratch, "volume/real.toml");
        assert_int_equal(after.st_ino, before.st_ino);
        scratch_assert_content(fixture->scratch, "volume/real.toml", NEW);
        scratch_assert_content(fixture->scratch, "etc/config.toml", NEW);
        assert_true(mtime_nsec(fixture, "volume/real.toml") >= mtime + 1000000);

        /* Shorter, too. */
        assert_replaces(fixture->ct, "x");
        scratch_assert_content(fixture->scratch, "volume/real.toml", "x");
        ONLY(fixture, "etc", "config.toml");
        ONLY(fixture, "state", "");
        for (unsigned i = 0; i < fixture->recorder.n_lines; i++)
                assert_string_not_equal(fixture->recorder.lines[i], "rename config.toml");
}

static void test_in_place_the_copy_is_safe_first(void **state)
{
        Fixture *fixture = *state;
        unsigned copy_safe = 0, overwritten = 0, synced = 0, dropped = 0;
        _cleanup_free_ char *error = NULL;

        bind_config(fixture);
        recorder_forget(&fixture->recorder);
        assert_int_equal(replace(fixture->ct, NEW, &error), 0);
        for (unsigned i = 0; i < fixture->recorder.n_lines; i++) {
                const char *line = fixture->recorder.lines[i];

                if (!copy_safe && strcmp(line, "folder_sync state") == 0)
                        copy_safe = i + 1;
                if (strcmp(line, "file_write config.toml") == 0)
                        overwritten = i + 1;
                if (strcmp(line, "file_sync config.toml") == 0)
                        synced = i + 1;
                if (strcmp(line, "remove config.toml.pending") == 0)
                        dropped = i + 1;
        }
        assert_true(copy_safe > 0 && copy_safe < overwritten && overwritten < synced && synced < dropped);
}

static void test_writing_in_place_is_all_or_nothing(void **state)
{
        Fixture *fixture = *state;

        bind_config(fixture);
        for (size_t i = 0; i < ELEMENTS(disk_errors); i++) {
                fail_each(fixture, disk_errors[i], false, true);
                fail_each(fixture, disk_errors[i], true, true);
        }
}

static void test_an_interrupted_write_is_ended_at_the_next_start(void **state)
{
        Fixture *fixture = *state;
        _cleanup_free_ char *old = lengthen("old\n", 1500), *new = lengthen("NEW\n", 2300);
        static const struct {
                size_t new_blocks, size; /* what of the new file is there, and how long the file is */
                const char *foreign;
                bool removed;
                InPlaceRecovery recovery;
        } cases[] = {
                {0, 1500, NULL, false, IN_PLACE_REDONE},
                {1, 1500, NULL, false, IN_PLACE_REDONE},
                {1, 2300, NULL, false, IN_PLACE_REDONE}, /* zeros where the end will be */
                {3, 1536, NULL, false, IN_PLACE_REDONE},
                {5, 2300, NULL, false, IN_PLACE_REDONE},
                {0, 0, "# written by hand since\n", false, IN_PLACE_DROPPED},
                {0, 0, "", false, IN_PLACE_DROPPED},
                {0, 0, NULL, true, IN_PLACE_DROPPED},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *pending = NULL, *content = calloc(1, 2301), *error = NULL;
                InPlaceRecovery recovery;
                const char *path = scratch_path(fixture->scratch, "etc/config.toml");

                memcpy(content, old, 1500);
                memcpy(content, new, cases[i].new_blocks * 512 < 2300 ? cases[i].new_blocks * 512 : 2300);
                if (cases[i].foreign)
                        scratch_write(fixture->scratch, "etc/config.toml", cases[i].foreign);
                else
                        scratch_write_bytes(fixture->scratch, "etc/config.toml", content, cases[i].size);
                if (cases[i].removed)
                        assert_int_equal(unlink(path), 0);
                assert_true(asprintf(&pending, "runner-registrar 1 %zu 1500 2300\n%s%s%s", strlen(path), path, old,
                                    new) >= 0);
                (void)mkdir(scratch_path(fixture->scratch, "state"), 0700);
                scratch_write(fixture->scratch, "state/config.toml.pending", pending);

                assert_int_equal(config_toml_recover(fixture->ct, &recovery, &error), 0);
                assert_int_equal(recovery, cases[i].recovery);
                if (cases[i].recovery == IN_PLACE_REDONE)
                        scratch_assert_content(fixture->scratch, "etc/config.toml", new);
                else if (!cases[i].removed)
                        scratch_assert_content(fixture->scratch, "etc/config.toml", cases[i].foreign);
                ONLY(fixture, "state", "");
                assert_int_equal(config_toml_recover(fixture->ct, &recovery, &error), 0);
                assert_int_equal(recovery, IN_PLACE_NOTHING_TO_DO);
        }
}

static void test_a_read_only_bind_mount_is_said(void **state)
{
        Fixture *fixture = *state;
        _cleanup_free_ char *check = NULL;

        bind_config(fixture);
        assert_int_equal(mount("none", scratch_path(fixture->scratch, "etc/config.toml"), "none",
                                 MS_REMOUNT | MS_BIND | MS_RDONLY, NULL),
                0);
        assert_int_equal(config_toml_check_writable(fixture->ct, &check), -EROFS);
        MENTIONS(check, scratch_path(fixture->scratch, "etc/config.toml"), "read-only");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_a_bind_mount_is_written_in_place),
                TEST(test_in_place_the_copy_is_safe_first),
                TEST(test_writing_in_place_is_all_or_nothing),
                TEST(test_an_interrupted_write_is_ended_at_the_next_start),
                TEST(test_a_read_only_bind_mount_is_said),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
