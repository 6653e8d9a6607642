#pragma once

/* A config.toml and a state folder of a test's own, on a disk that takes notes and fails on command. */

#include "tests/unit/recorder.h"

#include <sched.h>
#include <sys/mount.h>

#include "agent/base/file.h"
#include "agent/config-toml.h"

#define OLD "# old\r\nconcurrent = 1\r\n"
#define NEW "# new, and longer\r\nconcurrent = 2\r\n"

typedef struct Fixture {
        Scratch *scratch;
        Recorder recorder;
        ConfigToml *ct;
        char *mounts[2]; /* unmounted at the end */
} Fixture;

static inline ConfigToml *open_path(Fixture *fixture, const char *name)
{
        ConfigToml *ct;

        assert_int_equal(config_toml_new(&fixture->recorder.disk, scratch_path(fixture->scratch, name),
                                 scratch_path(fixture->scratch, "state"), &ct),
                0);
        return ct;
}

static inline int setup(void **state)
{
        Fixture *fixture = calloc(1, sizeof(*fixture));
        void *scratch;

        assert_non_null(fixture);
        assert_int_equal(scratch_setup(&scratch), 0);
        fixture->scratch = scratch;
        recorder_init(&fixture->recorder);
        scratch_mkdir(scratch, "etc");
        fixture->ct = open_path(fixture, "etc/config.toml");
        *state = fixture;
        return 0;
}

static inline int teardown(void **state)
{
        Fixture *fixture = *state;
        void *scratch = fixture->scratch;

        (void)config_toml_free(fixture->ct);
        recorder_forget(&fixture->recorder);
        for (size_t i = ELEMENTS(fixture->mounts); i-- > 0;) {
                if (fixture->mounts[i])
                        (void)umount2(fixture->mounts[i], MNT_DETACH);
                free(fixture->mounts[i]);
        }
        (void)scratch_teardown(&scratch);
        free(fixture);
        return 0;
}

/* Mounts where only this process sees it; skips the test where that is not allowed. */
static inline void mount_at(Fixture *fixture, const char *source, const char *name, const char *type,
        unsigned long flags, const char *options)
{
        char **mounted = fixture->mounts[0] ? &fixture->mounts[1] : &fixture->mounts[0];

        if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0) {
                print_message("not allowed to mount\n");
                skip();
        }
        if (mount(source, scratch_path(fixture->scratch, name), type, flags, options) < 0) {
                print_message("not allowed to mount\n");
                skip();
        }
        *mounted = strdup(scratch_path(fixture->scratch, name));
}

static inline FileInfo read_info(ConfigToml *ct)
{
        _cleanup_secret_ Secret *bytes = NULL;
        _cleanup_free_ char *error = NULL;
        FileInfo info;
        int r = config_toml_read(ct, &bytes, &info, &error);

        if (r < 0 && r != -ENOENT)
                fail_msg("%s", error);
        return info;
}

static inline int replace_expected(ConfigToml *ct, const FileInfo *expected, const char *text, char **reterr)
{
        _cleanup_secret_ Secret *bytes = NULL;

        assert_int_equal(secret_new(text, strlen(text), &bytes), 0);
        return config_toml_replace(ct, expected, bytes, reterr);
}

/* Reads and replaces, as everybody does. */
static inline int replace(ConfigToml *ct, const char *text, char **reterr)
{
        FileInfo info = read_info(ct);

        return replace_expected(ct, &info, text, reterr);
}

static inline void assert_replaces(ConfigToml *ct, const char *text)
{
        _cleanup_free_ char *error = NULL, *check = NULL;

        if (config_toml_check_writable(ct, &check) < 0)
                fail_msg("%s", check);
        if (replace(ct, text, &error) < 0)
                fail_msg("%s", error);
}

/* Nothing but the files called NAMES is in the folder. */
static inline void assert_only(Fixture *fixture, const char *folder_name, const char *const *names)
{
        _cleanup_(folder_freep) Folder *folder = NULL;
        _cleanup_(strings_freep) char **found = NULL;
        _cleanup_free_ char *error = NULL;

        assert_int_equal(
                folder_open(disk_real(), scratch_path(fixture->scratch, folder_name), 0, &folder, &error), 0);
        assert_int_equal(folder_list(folder, &found), 0);
        for (char **f = found; *f; f++) {
                const char *const *name = names;

                while (*name && strcmp(*name, *f) != 0)
                        name++;
                if (!*name)
                        fail_msg("'%s' was left", *f);
        }
}

#define ONLY(fixture, folder, ...) assert_only((fixture), (folder), (const char *const[]){__VA_ARGS__, NULL})

static inline uint64_t mtime_nsec(Fixture *fixture, const char *name)
{
        struct stat st = scratch_stat(fixture->scratch, name);

        return (uint64_t)st.st_mtim.tv_sec * 1000000000U + (uint64_t)st.st_mtim.tv_nsec;
}

static const int disk_errors[] = {-ENOSPC, -EIO, -EROFS, -EDQUOT};

/* Lets each primitive of a replace fail in turn; IN_PLACE: what only the next start mends counts as mended. */
static inline void fail_each(Fixture *fixture, int error, bool fail_on, bool in_place)
{
        Recorder *recorder = &fixture->recorder;

        for (unsigned i = 1;; i++) {
                _cleanup_free_ char *message = NULL, *content = NULL, *recover_error = NULL;
                char failed[64];
                InPlaceRecovery recovery;
                FileInfo info;
                int r;

                recorder_forget(recorder);
                scratch_write(fixture->scratch, "etc/config.toml", OLD);
                info = read_info(fixture->ct);
                recorder_forget(recorder);
                recorder->fail_at = i;
                recorder->fail_with = error;
                recorder->fail_on = fail_on;
                r = replace_expected(fixture->ct, &info, NEW, &message);
                strcpy(failed, recorder->failed);
                recorder_forget(recorder);
                if (failed[0] == '\0') {
                        assert_int_equal(r, 0);
                        assert_true(i > 8); /* there was something to fail */
                        return;
                }
                if (r < 0) {
                        assert_int_equal(r, error);
                        MENTIONS(message, "Failed to", fixture->scratch->root);
                } else
                        assert_true(in_place); /* the copy could not be removed, but the file is written */
                if (!in_place && !fail_on)
                        ONLY(fixture, "etc", "config.toml");
                assert_int_equal(config_toml_recover(fixture->ct, &recovery, &recover_error), 0);
                content = scratch_read(fixture->scratch, "etc/config.toml");
                if (strcmp(content, OLD) != 0 && strcmp(content, NEW) != 0)
                        fail_msg("after a failed %s the content is '%s'", failed, content);
                if (r == 0)
                        assert_string_equal(content, NEW);
                ONLY(fixture, "etc", "config.toml");
                ONLY(fixture, "state", "");
        }
}

/* Repeats TEXT until it is some blocks long. */
static inline char *lengthen(const char *text, size_t size)
{
        char *long_text = calloc(1, size + 1);

        assert_non_null(long_text);
        for (size_t i = 0; i < size; i++)
                long_text[i] = text[i % strlen(text)];
        return long_text;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
