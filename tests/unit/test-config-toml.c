/* agent/config-toml: the file that gitlab-runner reads is the old one or the new one, and nothing else of it changes.
 */

#include "tests/unit/config-toml-fixture.h"

static void test_replacing_keeps_owner_and_mode(void **state)
{
        Fixture *fixture = *state;
        _cleanup_secret_ Secret *bytes = NULL;
        _cleanup_free_ char *error = NULL;
        struct stat before, after;
        FileInfo info;

        scratch_write(fixture->scratch, "etc/config.toml", OLD);
        assert_int_equal(chmod(scratch_path(fixture->scratch, "etc/config.toml"), 0640), 0);
        if (geteuid() == 0)
                assert_int_equal(chown(scratch_path(fixture->scratch, "etc/config.toml"), 1234, 5678), 0);
        before = scratch_stat(fixture->scratch, "etc/config.toml");

        assert_int_equal(config_toml_read(fixture->ct, &bytes, &info, &error), 0);
        assert_int_equal(secret_size(bytes), strlen(OLD));
        assert_memory_equal(secret_data(bytes), OLD, strlen(OLD));
        bytes = secret_free(bytes);
        assert_int_equal(secret_new(NEW, strlen(NEW), &bytes), 0);
        assert_int_equal(config_toml_replace(fixture->ct, &info, bytes, &error), 0);
        scratch_assert_content(fixture->scratch, "etc/config.toml", NEW);

        after = scratch_stat(fixture->scratch, "etc/config.toml");
        assert_int_equal(after.st_mode, before.st_mode);
        assert_int_equal(after.st_uid, before.st_uid);
        assert_int_equal(after.st_gid, before.st_gid);
        assert_int_not_equal(after.st_ino, before.st_ino);
        ONLY(fixture, "etc", "config.toml");
}

static void test_replacing_is_kept_in_this_order(void **state)
{
        Fixture *fixture = *state;
        static const char *const steps[] = {"file_new ", "file_write ", "file_copy_attributes ", "file_set_mode ",
                "file_set_mtime ", "file_sync ", "rename config.toml", "folder_sync etc"};
        size_t step = 0;

        scratch_write(fixture->scratch, "etc/config.toml", OLD);
        recorder_forget(&fixture->recorder);
        assert_replaces(fixture->ct, NEW);
        /* After the check's own temp file. */
        for (unsigned i = 0, news = 0; i < fixture->recorder.n_lines; i++) {
                const char *line = fixture->recorder.lines[i];

                news += strncmp(line, "file_new ", 9) == 0;
                if (news < 2 || strncmp(line, "file_info", 9) == 0 || strncmp(line, "file_open", 9) == 0)
                        continue;
                assert_true(step < ELEMENTS(steps));
                if (strncmp(line, steps[step], strlen(steps[step])) != 0)
                        fail_msg("'%s', expected '%s'", line, steps[step]);
                step++;
        }
        assert_int_equal(step, ELEMENTS(steps));
}

static void test_the_mtime_is_always_newer(void **state)
{
        Fixture *fixture = *state;
        struct timespec future[2] = {
                {.tv_sec = 4000000000, .tv_nsec = 999999999}, {.tv_sec = 4000000000, .tv_nsec = 999999999}};
        uint64_t before, after;

        scratch_write(fixture->scratch, "etc/config.toml", OLD);
        for (int i = 0; i < 5; i++) {
                before = mtime_nsec(fixture, "etc/config.toml");
                assert_replaces(fixture->ct, i % 2 ? OLD : NEW);
                after = mtime_nsec(fixture, "etc/config.toml");
                assert_true(after >= before + 1000000);
        }
        /* A clock that went back: later than the old one, but not by much, or real changes would go unseen. */
        assert_int_equal(utimensat(AT_FDCWD, scratch_path(fixture->scratch, "etc/config.toml"), future, 0), 0);
        assert_replaces(fixture->ct, OLD);
        assert_int_equal(mtime_nsec(fixture, "etc/config.toml"), 4000000000999999999 + 1000000);
}

static void test_symlinks_keep_pointing(void **state)
{
        Fixture *fixture = *state;
        static const char *const targets[] = {
                "../elsewhere/real.toml", "%s/elsewhere/real.toml", "../elsewhere/link"};

        scratch_mkdir(fixture->scratch, "elsewhere");
        scratch_link(fixture->scratch, "real.toml", "elsewhere/link");
        for (size_t i = 0; i < ELEMENTS(targets); i++) {
                _cleanup_free_ char *target = NULL, *resolved = NULL, *error = NULL;
                char read_back[PATH_MAX] = "";

                assert_true(asprintf(&target, "%s%s", strncmp(targets[i], "%s", 2) == 0 ? fixture->scratch->root : "",
                                    targets[i] + (strncmp(targets[i], "%s", 2) == 0 ? 2 : 0)) >= 0);
                (void)unlink(scratch_path(fixture->scratch, "etc/config.toml"));
                scratch_link(fixture->scratch, target, "etc/config.toml");
                scratch_write(fixture->scratch, "elsewhere/real.toml", OLD);
                assert_replaces(fixture->ct, NEW);

                scratch_assert_content(fixture->scratch, "elsewhere/real.toml", NEW);
                assert_true(readlink(scratch_path(fixture->scratch, "etc/config.toml"), read_back, PATH_MAX - 1) > 0);
                assert_string_equal(read_back, target);
                ONLY(fixture, "etc", "config.toml");
                ONLY(fixture, "elsewhere", "real.toml", "link");
                assert_int_equal(config_toml_resolve(fixture->ct, &resolved, &error), 0);
                assert_string_equal(resolved, scratch_path(fixture->scratch, "elsewhere/real.toml"));
        }
}

static void test_what_is_no_file_is_said(void **state)
{
        Fixture *fixture = *state;
        static const struct {
                const char *name, *link; /* no link: a folder */
                int r;
                const char *mentions[4];
        } cases[] = {
                {"etc/dangling.toml", "nowhere.toml", -ENOLINK, {"etc/dangling.toml'", "etc/nowhere.toml'"}},
                {"etc/dangling2.toml", "no/where.toml", -ENOLINK, {"etc/dangling2.toml'", "etc/no'"}},
                {"etc/folder.toml", NULL, -EISDIR, {"etc/folder.toml'", "Is a directory"}},
                {"etc/circle.toml", "circle.toml", -ELOOP, {"etc/circle.toml'", "circle"}},
                {"etc/null.toml", "/dev/null", -EINVAL, {"/dev/null'", "not a regular file"}},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(config_toml_freep) ConfigToml *ct = open_path(fixture, cases[i].name);
                _cleanup_free_ char *read_error = NULL, *check_error = NULL, *replace_error = NULL;
                _cleanup_secret_ Secret *bytes = NULL;
                FileInfo info;

                if (cases[i].link)
                        scratch_link(fixture->scratch, cases[i].link, cases[i].name);
                else
                        scratch_mkdir(fixture->scratch, cases[i].name);
                assert_int_equal(config_toml_read(ct, &bytes, &info, &read_error), cases[i].r);
                assert_mentions(read_error, cases[i].mentions);
                assert_int_equal(config_toml_check_writable(ct, &check_error), cases[i].r);
                assert_mentions(check_error, cases[i].mentions);
                assert_int_equal(replace_expected(ct, &info, NEW, &replace_error), cases[i].r);
                assert_mentions(replace_error, cases[i].mentions);
        }
        ONLY(fixture, "etc", "dangling.toml", "dangling2.toml", "folder.toml", "circle.toml", "null.toml");
}

static void test_a_missing_file_is_made_as_an_installation_does(void **state)
{
        Fixture *fixture = *state;
        _cleanup_(config_toml_freep) ConfigToml *ct = open_path(fixture, "home/.gitlab-runner/config.toml");
        _cleanup_secret_ Secret *bytes = NULL;
        _cleanup_free_ char *error = NULL;
        FileInfo info;

        assert_int_equal(config_toml_read(ct, &bytes, &info, &error), -ENOENT);
        assert_null(error);
        assert_int_equal(info.inode, 0);
        assert_replaces(ct, NEW);
        scratch_assert_content(fixture->scratch, "home/.gitlab-runner/config.toml", NEW);
        assert_int_equal(scratch_stat(fixture->scratch, "home/.gitlab-runner").st_mode & 07777, 0700);
        assert_int_equal(scratch_stat(fixture->scratch, "home/.gitlab-runner/config.toml").st_mode & 07777, 0600);
        /* Someone else made it first. */
        assert_int_equal(replace_expected(ct, &info, OLD, &error), -ESTALE);
        assert_null(error);
        scratch_assert_content(fixture->scratch, "home/.gitlab-runner/config.toml", NEW);
}

static void test_changes_in_between_are_never_overwritten(void **state)
{
        Fixture *fixture = *state;
        _cleanup_free_ char *error = NULL;
        FileInfo info;

        /* Written in place, as gitlab-runner does. */
        scratch_write(fixture->scratch, "etc/config.toml", OLD);
        info = read_info(fixture->ct);
        scratch_write(fixture->scratch, "etc/config.toml", OLD "# theirs\n");
        assert_int_equal(replace_expected(fixture->ct, &info, NEW, &error), -ESTALE);

        /* Replaced by another file with the same size and time. */
        info = read_info(fixture->ct);
        scratch_write(fixture->scratch, "etc/other", OLD "# THEIRS\n");
        assert_int_equal(rename(scratch_path(fixture->scratch, "etc/other"),
                                 scratch_path(fixture->scratch, "etc/config.toml")),
                0);
        assert_int_equal(utimensat(AT_FDCWD, scratch_path(fixture->scratch, "etc/config.toml"),
                                 (struct timespec[2]){{.tv_nsec = UTIME_OMIT},
                                         {.tv_sec = (time_t)(info.mtime_nsec / 1000000000),
                                                 .tv_nsec = (long)(info.mtime_nsec % 1000000000)}},
                                 0),
                0);
        assert_int_equal(replace_expected(fixture->ct, &info, NEW, &error), -ESTALE);
        scratch_assert_content(fixture->scratch, "etc/config.toml", OLD "# THEIRS\n");

        /* Removed, with its folder. */
        info = read_info(fixture->ct);
        assert_int_equal(unlink(scratch_path(fixture->scratch, "etc/config.toml")), 0);
        assert_int_equal(replace_expected(fixture->ct, &info, NEW, &error), -ESTALE);
        ONLY(fixture, "etc", "");
        assert_int_equal(rmdir(scratch_path(fixture->scratch, "etc")), 0);
        assert_int_equal(replace_expected(fixture->ct, &info, NEW, &error), -ESTALE);
        assert_null(error);
}

static void write_theirs(void *scratch)
{
        scratch_write(scratch, "etc/config.toml", "# theirs\n");
}

/* The last look is after the temp file's sync, which may take seconds. */
static void test_changes_during_the_write_are_never_overwritten(void **state)
{
        Fixture *fixture = *state;
        _cleanup_free_ char *error = NULL;
        FileInfo info;

        scratch_write(fixture->scratch, "etc/config.toml", OLD);
        info = read_info(fixture->ct);
        recorder_forget(&fixture->recorder);
        fixture->recorder.before = write_theirs;
        fixture->recorder.before_data = fixture->scratch;
        fixture->recorder.when = "file_sync ";
        assert_int_equal(replace_expected(fixture->ct, &info, NEW, &error), -ESTALE);
        assert_null(fixture->recorder.before);
        scratch_assert_content(fixture->scratch, "etc/config.toml", "# theirs\n");
        ONLY(fixture, "etc", "config.toml");
}

static void test_replacing_is_all_or_nothing(void **state)
{
        for (size_t i = 0; i < ELEMENTS(disk_errors); i++) {
                fail_each(*state, disk_errors[i], false, false);
                fail_each(*state, disk_errors[i], true, false);
        }
}

/* Some file systems let nobody change a mode: that says nothing of who owns the file. */
static void test_what_may_not_be_kept_is_named(void **state)
{
        Fixture *fixture = *state;
        unsigned n_modes = 0;

        for (unsigned i = 1;; i++) {
                Recorder *recorder = &fixture->recorder;
                _cleanup_free_ char *message = NULL;
                FileInfo info;

                recorder_forget(recorder);
                scratch_write(fixture->scratch, "etc/config.toml", OLD);
                info = read_info(fixture->ct);
                recorder_forget(recorder);
                recorder->fail_at = i;
                recorder->fail_with = -EPERM;
                (void)replace_expected(fixture->ct, &info, NEW, &message);
                if (recorder->failed[0] == '\0')
                        break;
                if (strcmp(recorder->failed, "file_set_mode") != 0)
                        continue;
                n_modes++;
                MENTIONS(message, "Failed to keep owner, mode and ACL of", "etc/config.toml",
                        "Operation not permitted");
                if (strstr(message, "belongs to"))
                        fail_msg("'%s'", message);
        }
        recorder_forget(&fixture->recorder);
        assert_int_equal(n_modes, 1);
}

static void test_a_crash_leaves_no_temp_files_for_long(void **state)
{
        Fixture *fixture = *state;
        _cleanup_free_ char *error = NULL;
        InPlaceRecovery recovery;

        scratch_write(fixture->scratch, "etc/config.toml", OLD);
        scratch_write(fixture->scratch, "etc/.config.toml.0123abcd.tmp", "half");
        scratch_write(fixture->scratch, "etc/.config.toml.tmp", "someone else's");
        scratch_write(fixture->scratch, "etc/.config.toml.0123abcd", "someone else's");
        assert_int_equal(config_toml_recover(fixture->ct, &recovery, &error), 0);
        assert_false(scratch_exists(fixture->scratch, "etc/.config.toml.0123abcd.tmp"));
        assert_true(scratch_exists(fixture->scratch, "etc/.config.toml.tmp"));
        assert_true(scratch_exists(fixture->scratch, "etc/.config.toml.0123abcd"));
}

static void test_a_read_only_file_system_is_said(void **state)
{
        Fixture *fixture = *state;
        _cleanup_free_ char *check = NULL, *error = NULL, *remedy = NULL;

        mount_at(fixture, "none", "etc", "tmpfs", 0, "mode=0755,size=64k");
        scratch_write(fixture->scratch, "etc/config.toml", OLD);
        assert_int_equal(
                mount("none", scratch_path(fixture->scratch, "etc"), "none", MS_REMOUNT | MS_RDONLY, NULL), 0);
        assert_true(asprintf(&remedy, "ReadWritePaths=%s ", scratch_path(fixture->scratch, "etc")) >= 0);
        assert_int_equal(config_toml_check_writable(fixture->ct, &check), -EROFS);
        MENTIONS(check, scratch_path(fixture->scratch, "etc/config.toml"), "read-only", remedy);
        assert_int_equal(replace(fixture->ct, NEW, &error), -EROFS);
        MENTIONS(error, scratch_path(fixture->scratch, "etc/config.toml"), "read-only");
}

static void test_a_full_disk_is_said_before_and_changes_nothing(void **state)
{
        Fixture *fixture = *state;
        _cleanup_free_ char *filler = NULL, *check = NULL, *error = NULL;
        int fd;

        /* May skip, which jumps over every cleanup. */
        mount_at(fixture, "none", "etc", "tmpfs", 0, "mode=0755,size=64k");
        filler = lengthen("x", 1 << 20);
        scratch_write(fixture->scratch, "etc/config.toml", OLD);
        fd = open(scratch_path(fixture->scratch, "etc/filler"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        while (write(fd, filler, 4096) > 0)
                ;
        (void)close(fd);
        assert_int_equal(config_toml_check_writable(fixture->ct, &check), -ENOSPC);
        MENTIONS(check, scratch_path(fixture->scratch, "etc/config.toml"), "No space left", "free some space");
        assert_int_equal(replace(fixture->ct, NEW, &error), -ENOSPC);
        scratch_assert_content(fixture->scratch, "etc/config.toml", OLD);
        ONLY(fixture, "etc", "config.toml", "filler");

        assert_int_equal(unlink(scratch_path(fixture->scratch, "etc/filler")), 0);
        assert_replaces(fixture->ct, NEW);
}

static void test_a_folder_of_someone_else_is_refused_as_root(void **state)
{
        Fixture *fixture = *state;
        _cleanup_secret_ Secret *bytes = NULL;
        char id[SYSTEM_ID_SIZE + 1];
        FileInfo info = {0};

        if (geteuid() != 0)
                skip();
        scratch_write(fixture->scratch, "etc/config.toml", OLD);
        assert_int_equal(chown(scratch_path(fixture->scratch, "etc"), 1234, 1234), 0);
        for (int i = 0; i < 5; i++) {
                _cleanup_free_ char *error = NULL;
                int r = i == 0   ? config_toml_read(fixture->ct, &bytes, &info, &error)
                        : i == 1 ? config_toml_check_writable(fixture->ct, &error)
                        : i == 2 ? replace_expected(fixture->ct, &info, NEW, &error)
                        : i == 3 ? config_toml_system_id_read(fixture->ct, id, &error)
                                 : config_toml_system_id_write(fixture->ct, "s_0123456789ab", &error);

                assert_int_equal(r, -EPERM);
                MENTIONS(error, scratch_path(fixture->scratch, "etc"), "user 1234", "CI jobs");
        }
        scratch_assert_content(fixture->scratch, "etc/config.toml", OLD);
}

static void test_missing_rights_are_said(void **state)
{
        Fixture *fixture = *state;
        _cleanup_free_ char *folder_error = NULL, *owner_error = NULL;

        if (geteuid() != 0)
                skip();
        scratch_write(fixture->scratch, "etc/config.toml", OLD);
        assert_int_equal(chmod(fixture->scratch->root, 0755), 0);
        assert_int_equal(seteuid(65534), 0);
        assert_int_equal(config_toml_check_writable(fixture->ct, &folder_error), -EACCES);
        assert_int_equal(seteuid(0), 0);
        MENTIONS(folder_error, scratch_path(fixture->scratch, "etc/config.toml"), "Permission denied",
                "owner and mode");

        assert_int_equal(chown(scratch_path(fixture->scratch, "etc"), 65534, 65534), 0);
        assert_int_equal(seteuid(65534), 0);
        assert_int_equal(config_toml_check_writable(fixture->ct, &owner_error), -EPERM);
        assert_int_equal(seteuid(0), 0);
        MENTIONS(owner_error, scratch_path(fixture->scratch, "etc/config.toml"), "belongs to user 0",
                "run it as that user");
        ONLY(fixture, "etc", "config.toml");
}

static void test_the_system_id_is_what_gitlab_runner_would_take(void **state)
{
        Fixture *fixture = *state;
        static const struct {
                const char *content, *id;
        } cases[] = {
                {"s_0123456789ab", "s_0123456789ab"},
                {" \t\nr_ABCdef012345\r\n\n", "r_ABCdef012345"},
                {"s_0123456789a", NULL},
                {"s_0123456789abc", NULL},
                {"x_0123456789ab", NULL},
                {"s_0123456789a-", NULL},
                {"s_0123456789ab\ns_0123456789ab", NULL},
                {"", NULL},
        };
        _cleanup_free_ char *error = NULL;
        char id[SYSTEM_ID_SIZE + 1];

        assert_int_equal(config_toml_system_id_read(fixture->ct, id, &error), -ENOENT);
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                scratch_write(fixture->scratch, "etc/.runner_system_id", cases[i].content);
                assert_int_equal(config_toml_system_id_read(fixture->ct, id, &error), cases[i].id ? 0 : -ENOENT);
                if (cases[i].id)
                        assert_string_equal(id, cases[i].id);
        }
        assert_null(error);
}

static void test_the_system_id_is_written_as_gitlab_runner_does(void **state)
{
        Fixture *fixture = *state;
        _cleanup_(config_toml_freep) ConfigToml *linked = NULL, *deep = open_path(fixture, "no/folder/config.toml");
        _cleanup_free_ char *error = NULL;
        struct stat before;

        /* Beside the path as configured, not beside a link's target. */
        scratch_mkdir(fixture->scratch, "elsewhere");
        scratch_write(fixture->scratch, "elsewhere/real.toml", OLD);
        scratch_link(fixture->scratch, "../elsewhere/real.toml", "etc/linked.toml");
        linked = open_path(fixture, "etc/linked.toml");
        assert_int_equal(config_toml_system_id_write(linked, "s_0123456789ab", &error), 0);
        scratch_assert_content(fixture->scratch, "etc/.runner_system_id", "s_0123456789ab");
        before = scratch_stat(fixture->scratch, "etc/.runner_system_id");
        assert_int_equal(before.st_mode & 07777, 0600);

        /* In place, keeping what is there but the content. */
        scratch_write(fixture->scratch, "etc/.runner_system_id", "something longer than an id\n");
        assert_int_equal(chmod(scratch_path(fixture->scratch, "etc/.runner_system_id"), 0644), 0);
        assert_int_equal(config_toml_system_id_write(linked, "r_ABCdef012345", &error), 0);
        scratch_assert_content(fixture->scratch, "etc/.runner_system_id", "r_ABCdef012345");
        assert_int_equal(scratch_stat(fixture->scratch, "etc/.runner_system_id").st_ino, before.st_ino);
        assert_int_equal(scratch_stat(fixture->scratch, "etc/.runner_system_id").st_mode & 07777, 0644);

        assert_int_equal(config_toml_system_id_write(deep, "s_0123456789ab", &error), 0);
        assert_int_equal(scratch_stat(fixture->scratch, "no/folder").st_mode & 07777, 0700);
        assert_int_equal(config_toml_system_id_write(linked, "s_bad", &error), -EINVAL);

        assert_int_equal(config_toml_system_id_remove(linked, &error), 0);
        assert_false(scratch_exists(fixture->scratch, "etc/.runner_system_id"));
        assert_int_equal(config_toml_system_id_remove(linked, &error), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_replacing_keeps_owner_and_mode),
                TEST(test_replacing_is_kept_in_this_order),
                TEST(test_the_mtime_is_always_newer),
                TEST(test_symlinks_keep_pointing),
                TEST(test_what_is_no_file_is_said),
                TEST(test_a_missing_file_is_made_as_an_installation_does),
                TEST(test_changes_in_between_are_never_overwritten),
                TEST(test_changes_during_the_write_are_never_overwritten),
                TEST(test_replacing_is_all_or_nothing),
                TEST(test_what_may_not_be_kept_is_named),
                TEST(test_a_crash_leaves_no_temp_files_for_long),
                TEST(test_a_read_only_file_system_is_said),
                TEST(test_a_full_disk_is_said_before_and_changes_nothing),
                TEST(test_a_folder_of_someone_else_is_refused_as_root),
                TEST(test_missing_rights_are_said),
                TEST(test_the_system_id_is_what_gitlab_runner_would_take),
                TEST(test_the_system_id_is_written_as_gitlab_runner_does),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
