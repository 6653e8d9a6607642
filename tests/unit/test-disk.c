#include "tests/unit/scratch.h"

#include "agent/base/disk.h"
#include "agent/base/file.h"

/* Opens ROOT/NAME for the file, and gives folder path and name as one text relative to ROOT, or the error. */
static int resolve(Scratch *scratch, const char *name, FolderFlags flags, char **ret_where, char **reterr)
{
        _cleanup_(folder_freep) Folder *folder = NULL;
        _cleanup_free_ char *file = NULL;
        int r;

        r = folder_open_for(disk_real(), scratch_path(scratch, name), flags, &folder, &file, reterr);
        if (r < 0)
                return r;
        assert_int_equal(strncmp(folder->path, scratch->root, strlen(scratch->root)), 0);
        assert_true(asprintf(ret_where, "%s/%s", folder->path + strlen(scratch->root), file) >= 0);
        return 0;
}

static void test_path_leads_where_the_file_is(void **state)
{
        Scratch *scratch = *state;
        static const struct {
                const char *path;
                int r;
                const char *where; /* or what the sentence mentions */
        } cases[] = {
                {"a/file", 0, "/a/file"},
                {"a//./file", 0, "/a/file"},
                {"a/../a/b/../file", 0, "/a/file"},
                {"a/missing", 0, "/a/missing"},
                {"a/b", 0, "/a/b"},
                {"to-a/file", 0, "/a/file"},
                {"to-a/missing", 0, "/a/missing"},
                {"to-a/../a/file", 0, "/a/file"},
                {"a/b/up/file", 0, "/a/file"},
                {"relative", 0, "/a/file"},
                {"absolute", 0, "/a/file"},
                {"chain", 0, "/a/file"},
                {"a/b/sideways", 0, "/a/file"},
                {"dangling", -ENOLINK, "dangling"},
                {"dangling-folder", -ENOLINK, "dangling-folder"},
                {"circle", -ELOOP, "in a circle"},
                {"nowhere/file", -ENOENT, "/nowhere"},
                {"to-nowhere/file", -ENOENT, "/nowhere"},
                {"a/file/x", -ENOTDIR, "/a/file"},
                {"a/", -EISDIR, "a/"},
                {"a/.", -EISDIR, "a/."},
                {"a/b/..", -EISDIR, "a/b/.."},
        };
        _cleanup_free_ char *absolute = strdup(scratch_path(scratch, "a/file"));

        scratch_mkdir(scratch, "a");
        scratch_mkdir(scratch, "a/b");
        scratch_write(scratch, "a/file", "content");
        scratch_link(scratch, "a", "to-a");
        scratch_link(scratch, "..", "a/b/up");
        scratch_link(scratch, "./a/b/../file", "relative");
        scratch_link(scratch, absolute, "absolute");
        scratch_link(scratch, "to-a/b/sideways", "chain");
        scratch_link(scratch, "../../absolute", "a/b/sideways");
        scratch_link(scratch, "a/none", "dangling");
        scratch_link(scratch, "none/none", "dangling-folder");
        scratch_link(scratch, "nowhere", "to-nowhere");
        scratch_link(scratch, "circle", "circle");

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *where = NULL, *error = NULL;
                int r = resolve(scratch, cases[i].path, 0, &where, &error);

                if (r != cases[i].r)
                        fail_msg("%s: %d, expected %d (%s)", cases[i].path, r, cases[i].r, error ? error : where);
                if (r == 0)
                        assert_string_equal(where, cases[i].where);
                else
                        MENTIONS(error, cases[i].where);
        }
}

static void test_forty_links_and_no_more(void **state)
{
        Scratch *scratch = *state;
        _cleanup_free_ char *where = NULL, *error = NULL, *too_far = NULL;
        char name[32], target[32] = "file";

        for (int i = 1; i <= 41; i++) {
                (void)snprintf(name, sizeof(name), "link-%d", i);
                scratch_link(scratch, target, name);
                strcpy(target, name);
        }
        scratch_write(scratch, "file", "");
        assert_int_equal(resolve(scratch, "link-40", 0, &where, &error), 0);
        assert_int_equal(resolve(scratch, "link-41", 0, &too_far, &error), -ELOOP);
}

static void test_paths_are_relative_to_the_working_folder(void **state)
{
        Scratch *scratch = *state;
        _cleanup_secret_ Secret *content = NULL;
        _cleanup_free_ char *error = NULL;

        scratch_write(scratch, "file", "here");
        assert_int_equal(chdir(scratch->root), 0);
        assert_int_equal(file_read_path(disk_real(), "file", 0, 16, &content, NULL, &error), 0);
        assert_string_equal(secret_data(content), "here");
        assert_int_equal(chdir("/"), 0);
}

static void test_missing_folders_are_made(void **state)
{
        Scratch *scratch = *state;
        _cleanup_(folder_freep) Folder *folder = NULL, *linked = NULL, *none = NULL;
        _cleanup_free_ char *error = NULL;

        assert_int_equal(folder_open(disk_real(), scratch_path(scratch, "a/b/c"), FOLDER_MAKE, &folder, &error), 0);
        assert_int_equal(scratch_stat(scratch, "a/b").st_mode & 07777, 0700);
        assert_int_equal(scratch_stat(scratch, "a/b/c").st_mode & 07777, 0700);
        assert_int_equal(folder_sync(folder), 0);

        /* Below a link that leads somewhere, but never what the link itself lacks. */
        scratch_link(scratch, "a", "link");
        scratch_link(scratch, "nowhere/deep", "dangling");
        assert_int_equal(
                folder_open(disk_real(), scratch_path(scratch, "link/d/e"), FOLDER_MAKE, &linked, &error), 0);
        assert_true(scratch_exists(scratch, "a/d/e"));
        assert_int_equal(
                folder_open(disk_real(), scratch_path(scratch, "dangling/f"), FOLDER_MAKE, &none, &error), -ENOENT);
        assert_false(scratch_exists(scratch, "nowhere"));
}

static void test_untrusted_ways_are_refused_as_root(void **state)
{
        Scratch *scratch = *state;
        static const struct {
                const char *path;
                int r;
                const char *mentions[4];
        } cases[] = {
                {"good/file", 0, {NULL}},
                {"root-group/file", 0, {NULL}},
                {"open/file", -EPERM, {"/open'", "mode 0777", "chmod go-w"}},
                {"sticky/file", -EPERM, {"/sticky'", "mode 1777", "CI jobs"}},
                {"group/file", -EPERM, {"/group'", "group 1234"}},
                {"theirs/file", -EPERM, {"/theirs'", "belongs to user 1234", "chown"}},
                {"theirs/below/file", -EPERM, {"/theirs'", "belongs to user 1234"}},
                {"good-link/file", 0, {NULL}},
                {"their-link/file", -EPERM, {"link '", "/their-link'", "belongs to user 1234"}},
                {"to-theirs/file", -EPERM, {"/theirs'"}},
                {"their-file-link", -EPERM, {"/their-file-link'", "belongs to user 1234"}},
                {"open/../good/file", -EPERM, {"/open'"}},
        };

        if (geteuid() != 0)
                skip();
        scratch_mkdir(scratch, "good");
        scratch_mkdir(scratch, "root-group");
        scratch_mkdir(scratch, "open");
        scratch_mkdir(scratch, "sticky");
        scratch_mkdir(scratch, "group");
        scratch_mkdir(scratch, "theirs");
        scratch_mkdir(scratch, "theirs/below");
        scratch_link(scratch, "good", "good-link");
        scratch_link(scratch, "good", "their-link");
        scratch_link(scratch, "theirs", "to-theirs");
        scratch_link(scratch, "good/file", "their-file-link");
        assert_int_equal(chmod(scratch_path(scratch, "root-group"), 0775), 0);
        assert_int_equal(chmod(scratch_path(scratch, "open"), 0777), 0);
        assert_int_equal(chmod(scratch_path(scratch, "sticky"), 01777), 0);
        assert_int_equal(chown(scratch_path(scratch, "group"), 0, 1234), 0);
        assert_int_equal(chmod(scratch_path(scratch, "group"), 0775), 0);
        assert_int_equal(chown(scratch_path(scratch, "theirs"), 1234, 1234), 0);
        assert_int_equal(lchown(scratch_path(scratch, "their-link"), 1234, 1234), 0);
        assert_int_equal(lchown(scratch_path(scratch, "their-file-link"), 1234, 1234), 0);

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *where = NULL, *error = NULL;
                int r = resolve(scratch, cases[i].path, FOLDER_TRUSTED, &where, &error);

                if (r != cases[i].r)
                        fail_msg("%s: %d, expected %d (%s)", cases[i].path, r, cases[i].r, error ? error : where);
                if (r < 0)
                        assert_mentions(error, cases[i].mentions);
        }
}

static void test_only_regular_files_are_opened(void **state)
{
        Scratch *scratch = *state;
        static const struct {
                const char *name;
                int r;
        } cases[] = {
                {"file", 0},
                {"folder", -EISDIR},
                {"link", -ELOOP},
                {"fifo", -EINVAL}, /* and without waiting for a writer */
                {"missing", -ENOENT},
                {"folder/below", -EINVAL},
                {"..", -EINVAL},
                {"", -EINVAL},
        };
        _cleanup_(folder_freep) Folder *folder = NULL, *dev = NULL;
        _cleanup_(file_closep) File *null = NULL;
        _cleanup_free_ char *error = NULL;

        scratch_write(scratch, "file", "x");
        scratch_mkdir(scratch, "folder");
        scratch_link(scratch, "file", "link");
        assert_int_equal(mkfifo(scratch_path(scratch, "fifo"), 0600), 0);
        assert_int_equal(folder_open(disk_real(), scratch->root, 0, &folder, &error), 0);
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(file_closep) File *file = NULL;

                assert_int_equal(file_open(folder, cases[i].name, 0, 0, &file), cases[i].r);
        }
        assert_int_equal(folder_open(disk_real(), "/dev", 0, &dev, &error), 0);
        assert_int_equal(file_open(dev, "null", 0, 0, &null), -EINVAL);
}

static void test_reading_is_bounded(void **state)
{
        Scratch *scratch = *state;
        _cleanup_secret_ Secret *whole = NULL, *none = NULL;
        _cleanup_free_ char *error = NULL;
        static char large[70000];

        memset(large, 'x', sizeof(large));
        scratch_write_bytes(scratch, "file", large, sizeof(large));
        assert_int_equal(
                file_read_path(disk_real(), scratch_path(scratch, "file"), 0, 70000, &whole, NULL, &error), 0);
        assert_int_equal(secret_size(whole), 70000);
        assert_memory_equal(secret_data(whole), large, sizeof(large));
        assert_int_equal(
                file_read_path(disk_real(), scratch_path(scratch, "file"), 0, 69999, &none, NULL, &error), -EFBIG);
        MENTIONS(error, scratch_path(scratch, "file"), "larger");
}

static void test_replace_sets_content_and_mode(void **state)
{
        Scratch *scratch = *state;
        _cleanup_(folder_freep) Folder *folder = NULL;
        _cleanup_(strings_freep) char **names = NULL;
        _cleanup_free_ char *error = NULL;

        assert_int_equal(folder_open(disk_real(), scratch->root, 0, &folder, &error), 0);
        scratch_write(scratch, ".status.json.tmp", "left by a crash, and longer than what comes now");
        (void)umask(077);
        assert_int_equal(file_replace(folder, "status.json", "{}", 2, 0644, 0), 0);
        scratch_assert_content(scratch, "status.json", "{}");
        assert_int_equal(scratch_stat(scratch, "status.json").st_mode & 07777, 0644);
        assert_int_equal(file_replace(folder, "status.json", "[]\n", 3, 0600, REPLACE_VOLATILE), 0);
        scratch_assert_content(scratch, "status.json", "[]\n");
        assert_int_equal(scratch_stat(scratch, "status.json").st_mode & 07777, 0600);

        assert_int_equal(folder_list(folder, &names), 0);
        assert_string_equal(names[0], "status.json");
        assert_null(names[1]);
}

static void test_lock_is_exclusive_and_goes_with_the_file(void **state)
{
        Scratch *scratch = *state;
        _cleanup_(folder_freep) Folder *folder = NULL;
        _cleanup_(file_closep) File *first = NULL, *second = NULL;
        _cleanup_free_ char *error = NULL;

        scratch_write(scratch, "lock", "");
        assert_int_equal(folder_open(disk_real(), scratch->root, 0, &folder, &error), 0);
        assert_int_equal(file_open(folder, "lock", FILE_WRITE, 0, &first), 0);
        assert_int_equal(file_open(folder, "lock", FILE_WRITE, 0, &second), 0);
        assert_int_equal(file_lock(first), 0);
        assert_int_equal(file_lock(second), -EBUSY);
        first = file_close(first);
        assert_int_equal(file_lock(second), 0);
}

static void test_allocating_keeps_the_size(void **state)
{
        Scratch *scratch = *state;
        _cleanup_(folder_freep) Folder *folder = NULL;
        _cleanup_(file_closep) File *file = NULL;
        _cleanup_free_ char *error = NULL;
        FileInfo info;
        int r;

        scratch_write(scratch, "file", "text");
        assert_int_equal(folder_open(disk_real(), scratch->root, 0, &folder, &error), 0);
        assert_int_equal(file_open(folder, "file", FILE_WRITE, 0, &file), 0);
        r = file_allocate(file, 100000);
        if (r == -EOPNOTSUPP)
                skip();
        assert_int_equal(r, 0);
        assert_int_equal(file_info(file, &info), 0);
        assert_int_equal(info.size, 4);
        assert_true(scratch_stat(scratch, "file").st_blocks * 512 >= 100000);
        assert_false(info.mounted);
}

static void test_failures_say_what_to_do(void **state)
{
        static const struct {
                int error;
                const char *mentions[4];
        } cases[] = {
                {-ENOSPC, {"write '/x/y'", "No space left", "free some space"}},
                {-EDQUOT, {"quota"}},
                {-EROFS, {"/x/y", "read-only", "ReadWritePaths=/x "}},
                {-EACCES, {"Permission denied", "owner and mode"}},
                {-EIO, {"kernel's log"}},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *error = NULL;

                assert_int_equal(file_failure(&error, cases[i].error, "write", "/x", "y"), cases[i].error);
                assert_mentions(error, cases[i].mentions);
        }
        assert_int_equal(file_failure(NULL, -EIO, "write", "/x", NULL), -EIO);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_path_leads_where_the_file_is, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_forty_links_and_no_more, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_paths_are_relative_to_the_working_folder, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_missing_folders_are_made, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_untrusted_ways_are_refused_as_root, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_only_regular_files_are_opened, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_reading_is_bounded, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_replace_sets_content_and_mode, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_lock_is_exclusive_and_goes_with_the_file, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_allocating_keeps_the_size, scratch_setup, scratch_teardown),
                cmocka_unit_test(test_failures_say_what_to_do),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
