#include "tests/unit/recorder.h"

#include <signal.h>
#include <sys/wait.h>

#include "agent/base/file.h"
#include "agent/store.h"

typedef struct Fixture {
        Scratch *scratch;
        Recorder recorder;
        Store *store;
} Fixture;

static int setup(void **state)
{
        Fixture *fixture = calloc(1, sizeof(*fixture));
        _cleanup_free_ char *error = NULL;
        void *scratch;

        assert_non_null(fixture);
        assert_int_equal(scratch_setup(&scratch), 0);
        fixture->scratch = scratch;
        recorder_init(&fixture->recorder);
        assert_int_equal(
                store_open(&fixture->recorder.disk, scratch_path(scratch, "state"), &fixture->store, &error), 0);
        recorder_forget(&fixture->recorder);
        *state = fixture;
        return 0;
}

static int teardown(void **state)
{
        Fixture *fixture = *state;
        void *scratch = fixture->scratch;

        (void)store_free(fixture->store);
        recorder_forget(&fixture->recorder);
        (void)scratch_teardown(&scratch);
        free(fixture);
        return 0;
}

/* A second agent's view of the same folder. */
static Store *open_again(Fixture *fixture)
{
        _cleanup_free_ char *error = NULL;
        Store *store;

        assert_int_equal(store_open(disk_real(), scratch_path(fixture->scratch, "state"), &store, &error), 0);
        return store;
}

static Record *make_record(const char *name, int64_t id, const char *token)
{
        Record *record;

        assert_int_equal(record_new(name, "https://gitlab.example.com", FLOW_REGISTRATION_TOKEN, &record), 0);
        record->runner_id = id;
        assert_int_equal(secret_new(token, strlen(token), &record->token), 0);
        return record;
}

static void save(Fixture *fixture, const char *name, int64_t id, const char *token)
{
        _cleanup_(record_freep) Record *record = make_record(name, id, token);
        _cleanup_free_ char *error = NULL;

        assert_int_equal(store_save(fixture->store, record, &error), 0);
}

static Answer make_answer(const char *token)
{
        Answer answer = {.kind = INTENT_RESET, .obtained_at_usec = 1000000, .intent_since_usec = 2000000};

        assert_int_equal(secret_new(token, strlen(token), &answer.token), 0);
        return answer;
}

static void assert_no_temp_files(Fixture *fixture)
{
        _cleanup_(folder_freep) Folder *folder = NULL;
        _cleanup_(strings_freep) char **names = NULL;
        _cleanup_free_ char *error = NULL;

        assert_int_equal(folder_open(disk_real(), scratch_path(fixture->scratch, "state"), 0, &folder, &error), 0);
        assert_int_equal(folder_list(folder, &names), 0);
        for (char **name = names; *name; name++)
                if (file_is_temp_name(*name))
                        fail_msg("'%s' was left", *name);
}

static void test_records_come_back(void **state)
{
        Fixture *fixture = *state;
        _cleanup_(store_freep) Store *again = NULL;
        _cleanup_(record_freep) Record *record = NULL, *none = NULL;
        _cleanup_(strings_freep) char **names = NULL;
        _cleanup_free_ char *error = NULL;

        save(fixture, "build-2", 2, "glrt-two");
        save(fixture, "build-1", 1, "glrt-one");
        save(fixture, "build-2", 3, "glrt-three");
        scratch_write(fixture->scratch, "state/build-3.journal", "");
        scratch_write(fixture->scratch, "state/.build-4.json", "not a runner's name");
        assert_int_equal(scratch_stat(fixture->scratch, "state").st_mode & 07777, 0700);
        assert_int_equal(scratch_stat(fixture->scratch, "state/build-1.json").st_mode & 07777, 0600);

        again = open_again(fixture);
        assert_int_equal(store_list(again, &names, &error), 0);
        assert_string_equal(names[0], "build-1");
        assert_string_equal(names[1], "build-2");
        assert_null(names[2]);
        assert_int_equal(store_load(again, "build-2", &record, &error), 0);
        assert_int_equal(record->runner_id, 3);
        assert_string_equal(secret_data(record->token), "glrt-three");
        assert_int_equal(store_load(again, "build-3", &none, &error), -ENOENT);
        assert_null(error);
}

static void test_saving_is_kept_in_this_order(void **state)
{
        Fixture *fixture = *state;

        save(fixture, "a", 1, "glrt-one");
        recorder_forget(&fixture->recorder);
        save(fixture, "a", 2, "glrt-two");
        assert_recorded(&fixture->recorder, "file_new .a.json.tmp", "file_write .a.json.tmp",
                "file_set_mode .a.json.tmp", "file_sync .a.json.tmp", "rename a.json", "folder_sync state");
}

static void test_preparing_is_kept_in_this_order(void **state)
{
        Fixture *fixture = *state;
        _cleanup_(record_freep) Record *record = make_record("a", 1, "glrt-one");
        _cleanup_free_ char *error = NULL;

        save(fixture, "a", 1, "glrt-one");
        recorder_forget(&fixture->recorder);
        assert_int_equal(store_prepare(fixture->store, record, &error), 0);
        assert_recorded(&fixture->recorder, "file_new .a.journal.tmp", "file_allocate .a.journal.tmp",
                "file_sync .a.journal.tmp", "file_new .a.json.tmp", "file_write .a.json.tmp", "file_sync .a.json.tmp",
                "file_open a.journal", "rename a.journal", "rename a.json", "folder_sync state");
        assert_true(scratch_stat(fixture->scratch, "state/a.journal").st_blocks * 512 >= ANSWER_SIZE_MAX);
        assert_int_equal(scratch_stat(fixture->scratch, "state/a.journal").st_mode & 07777, 0600);
}

/* The answer in it may be the only place of its token: the record that holds it comes first. */
static void test_a_journal_is_replaced_after_the_record(void **state)
{
        Fixture *fixture = *state;
        _cleanup_(record_freep) Record *record = make_record("a", 1, "glrt-new");
        _cleanup_(answer_done) Answer answer = make_answer("glrt-new");
        _cleanup_free_ char *error = NULL;

        save(fixture, "a", 1, "glrt-one");
        assert_int_equal(store_prepare(fixture->store, record, &error), 0);
        assert_int_equal(store_journal(fixture->store, "a", &answer, &error), 0);
        recorder_forget(&fixture->recorder);
        assert_int_equal(store_prepare(fixture->store, record, &error), 0);
        assert_recorded(&fixture->recorder, "file_new .a.journal.tmp", "file_allocate .a.journal.tmp",
                "file_sync .a.journal.tmp", "file_new .a.json.tmp", "file_write .a.json.tmp", "file_sync .a.json.tmp",
                "file_open a.journal", "rename a.json", "folder_sync state", "rename a.journal", "folder_sync state");
}

/* An answer would be kept where the next start does not look. */
static void test_nothing_is_prepared_in_a_folder_that_is_gone(void **state)
{
        Fixture *fixture = *state;
        _cleanup_(record_freep) Record *record = make_record("a", 1, "glrt-one");
        _cleanup_free_ char *error = NULL, *at = strdup(scratch_path(fixture->scratch, "state")),
                            *away = strdup(scratch_path(fixture->scratch, "away"));

        assert_int_equal(store_lock(fixture->store, &error), 0);
        assert_int_equal(rename(at, away), 0);
        assert_int_equal(store_prepare(fixture->store, record, &error), -ESTALE);
        assert_non_null(strstr(error, "restart the agent"));
        free(take_ptr(error));
        /* Another in its place, as a mountpoint below what was mounted. */
        assert_int_equal(mkdir(at, 0700), 0);
        assert_int_equal(store_prepare(fixture->store, record, &error), -ESTALE);
        free(take_ptr(error));
        assert_int_equal(rmdir(at), 0);
        assert_int_equal(rename(away, at), 0);
        assert_int_equal(store_prepare(fixture->store, record, &error), 0);
}

static void test_answers_need_nothing_but_a_write_and_a_sync(void **state)
{
        Fixture *fixture = *state;
        _cleanup_(record_freep) Record *record = make_record("a", 1, "glrt-one");
        _cleanup_(answer_done) Answer answer = make_answer("glrt-new"),
                                      longer = make_answer("glrt-a-longer-one-of-old");
        _cleanup_(answer_done) Answer loaded = {0}, none = {0};
        _cleanup_free_ char *error = NULL, *content = NULL;

        assert_int_equal(store_journal_load(fixture->store, "a", &none, NULL), -ENOENT);
        assert_int_equal(store_prepare(fixture->store, record, &error), 0);
        assert_int_equal(store_journal_load(fixture->store, "a", &none, NULL), -ENOENT);
        assert_int_equal(store_journal(fixture->store, "a", &longer, &error), 0);
        recorder_forget(&fixture->recorder);
        assert_int_equal(store_journal(fixture->store, "a", &answer, &error), 0);
        assert_recorded(&fixture->recorder, "file_open a.journal", "file_write a.journal", "file_sync a.journal");

        assert_int_equal(store_journal_load(fixture->store, "a", &loaded, NULL), 0);
        assert_string_equal(secret_data(loaded.token), "glrt-new");
        assert_int_equal(loaded.intent_since_usec, 2000000);
        assert_int_equal(scratch_stat(fixture->scratch, "state/a.journal").st_size, ANSWER_SIZE_MAX);
        content = scratch_read(fixture->scratch, "state/a.journal");
        assert_null(memmem(content, ANSWER_SIZE_MAX, "of-old", 6));

        /* A new intent begins with an empty journal, and a cleared one is none. */
        assert_int_equal(store_prepare(fixture->store, record, &error), 0);
        assert_int_equal(store_journal_load(fixture->store, "a", &none, NULL), -ENOENT);
        assert_int_equal(store_journal_clear(fixture->store, "a"), 0);
        assert_int_equal(store_journal_clear(fixture->store, "a"), 0);
        assert_false(scratch_exists(fixture->scratch, "state/a.journal"));
}

static void test_a_lost_journal_is_made_again(void **state)
{
        Fixture *fixture = *state;
        _cleanup_(answer_done) Answer answer = make_answer("glrt-new"), loaded = {0};
        _cleanup_free_ char *error = NULL;

        assert_int_equal(store_journal(fixture->store, "a", &answer, &error), 0);
        assert_string_equal(fixture->recorder.lines[fixture->recorder.n_lines - 1], "folder_sync state");
        assert_int_equal(store_journal_load(fixture->store, "a", &loaded, NULL), 0);
}

static void test_torn_answers_are_none(void **state)
{
        Fixture *fixture = *state;
        _cleanup_(answer_done) Answer answer = make_answer("glrt-new"), none = {0};
        _cleanup_free_ char *error = NULL, *content = NULL;

        assert_int_equal(store_journal(fixture->store, "a", &answer, &error), 0);
        content = scratch_read(fixture->scratch, "state/a.journal");
        for (size_t i = 0, size = strlen(content); i < size; i++) {
                recorder_forget(&fixture->recorder);
                scratch_write_bytes(fixture->scratch, "state/a.journal", content, i);
                assert_int_equal(store_journal_load(fixture->store, "a", &none, NULL), -ENOENT);
        }
}

static const int disk_errors[] = {-ENOSPC, -EIO, -EROFS, -EDQUOT};

typedef int (*Saver)(Store *store, const Record *record, char **reterr);

/* Lets each primitive of saving over an old record fail in turn. */
static void fail_each(Fixture *fixture, Saver saver, int error, bool fail_on)
{
        Recorder *recorder = &fixture->recorder;
        _cleanup_(record_freep) Record *new = make_record("a", 2, "glrt-new");
        _cleanup_free_ char *old_content = NULL, *new_content = NULL;

        recorder_forget(recorder);
        save(fixture, "a", 2, "glrt-new");
        new_content = scratch_read(fixture->scratch, "state/a.json");
        for (unsigned i = 1;; i++) {
                _cleanup_free_ char *message = NULL, *content = NULL;
                bool renamed;
                int r;

                recorder_forget(recorder);
                save(fixture, "a", 1, "glrt-old");
                (void)store_journal_clear(fixture->store, "a");
                free(old_content);
                old_content = scratch_read(fixture->scratch, "state/a.json");
                recorder_forget(recorder);
                recorder->fail_at = i;
                recorder->fail_with = error;
                recorder->fail_on = fail_on;
                r = saver(fixture->store, new, &message);
                if (recorder->failed[0] == '\0') {
                        assert_int_equal(r, 0);
                        assert_true(i > 6); /* there was something to fail */
                        return;
                }
                assert_int_equal(r, error);
                MENTIONS(message, scratch_path(fixture->scratch, "state"));
                MENTIONS(message, error == -EROFS ? "ReadWritePaths="
                                  : error == -EIO ? "kernel's log"
                                                  : "free some space");
                if (strstr(message, "glrt-"))
                        fail_msg("a token is in '%s'", message);

                /* Past the rename only a power cut could bring the old one back. */
                renamed = strcmp(recorder->failed, "folder_sync") == 0;
                content = scratch_read(fixture->scratch, "state/a.json");
                assert_string_equal(content, renamed ? new_content : old_content);
                if (!fail_on)
                        assert_no_temp_files(fixture);
        }
}

static void test_saving_is_all_or_nothing(void **state)
{
        for (size_t i = 0; i < ELEMENTS(disk_errors); i++) {
                fail_each(*state, store_save, disk_errors[i], false);
                fail_each(*state, store_save, disk_errors[i], true);
        }
}

static void test_preparing_is_all_or_nothing(void **state)
{
        for (size_t i = 0; i < ELEMENTS(disk_errors); i++) {
                fail_each(*state, store_prepare, disk_errors[i], false);
                fail_each(*state, store_prepare, disk_errors[i], true);
        }
}

static void test_journalling_says_that_it_failed(void **state)
{
        Fixture *fixture = *state;
        _cleanup_(record_freep) Record *record = make_record("a", 1, "glrt-one");
        _cleanup_(answer_done) Answer answer = make_answer("glrt-new"), none = {0};
        _cleanup_free_ char *error = NULL;

        assert_int_equal(store_prepare(fixture->store, record, &error), 0);
        for (unsigned i = 1; i <= 3; i++) {
                _cleanup_free_ char *message = NULL;

                recorder_forget(&fixture->recorder);
                fixture->recorder.fail_at = i;
                fixture->recorder.fail_with = -EIO;
                assert_int_equal(store_journal(fixture->store, "a", &answer, &message), -EIO);
                MENTIONS(message, scratch_path(fixture->scratch, "state/a.journal"));
        }
        recorder_forget(&fixture->recorder);
        assert_int_equal(store_prepare(fixture->store, record, &error), 0);
        assert_int_equal(store_journal_load(fixture->store, "a", &none, NULL), -ENOENT);
}

static void test_a_journal_that_cannot_be_read_is_not_a_lost_answer(void **state)
{
        Fixture *fixture = *state;
        _cleanup_(record_freep) Record *record = make_record("a", 1, "glrt-one");
        _cleanup_(answer_done) Answer answer = make_answer("glrt-new"), none = {0}, loaded = {0};
        _cleanup_free_ char *error = NULL;

        assert_int_equal(store_prepare(fixture->store, record, &error), 0);
        assert_int_equal(store_journal(fixture->store, "a", &answer, &error), 0);
        for (unsigned i = 1; i <= 2; i++)
                for (size_t k = 0; k < 3; k++) {
                        const int errors[] = {-EIO, -EMFILE, -ESTALE};
                        _cleanup_free_ char *message = NULL;

                        recorder_forget(&fixture->recorder);
                        fixture->recorder.fail_at = i;
                        fixture->recorder.fail_with = errors[k];
                        assert_int_equal(store_journal_load(fixture->store, "a", &none, &message), errors[k]);
                        MENTIONS(message, scratch_path(fixture->scratch, "state/a.journal"));
                }
        recorder_forget(&fixture->recorder);
        assert_int_equal(store_journal_load(fixture->store, "a", &loaded, &error), 0);
        assert_string_equal(secret_data(loaded.token), "glrt-new");
}

static void test_only_who_has_the_lock_tidies_journals(void **state)
{
        Fixture *fixture = *state;
        _cleanup_(store_freep) Store *onlooker = NULL;
        _cleanup_(record_freep) Record *record = make_record("a", 1, "glrt-one");
        _cleanup_free_ char *error = NULL;

        assert_int_equal(store_lock(fixture->store, &error), 0);
        assert_int_equal(store_prepare(fixture->store, record, &error), 0);
        onlooker = open_again(fixture);
        store_journal_tidy(onlooker, "a");
        assert_true(scratch_exists(fixture->scratch, "state/a.journal"));
        store_journal_tidy(fixture->store, "a");
        assert_false(scratch_exists(fixture->scratch, "state/a.journal"));
}

static void test_without_allocation_zeros_are_written(void **state)
{
        Fixture *fixture = *state;
        _cleanup_(record_freep) Record *record = make_record("a", 1, "glrt-one");
        _cleanup_(answer_done) Answer none = {0};
        _cleanup_free_ char *error = NULL;

        save(fixture, "a", 1, "glrt-one");
        recorder_forget(&fixture->recorder);
        fixture->recorder.fail_at = 2;
        fixture->recorder.fail_with = -EOPNOTSUPP;
        assert_int_equal(store_prepare(fixture->store, record, &error), 0);
        assert_string_equal(fixture->recorder.failed, "file_allocate");
        assert_int_equal(scratch_stat(fixture->scratch, "state/a.journal").st_size, ANSWER_SIZE_MAX);
        assert_int_equal(store_journal_load(fixture->store, "a", &none, NULL), -ENOENT);
}

static void test_what_cannot_be_read_is_not_overwritten(void **state)
{
        Fixture *fixture = *state;
        static const struct {
                const char *content;
                int r;
        } cases[] = {
                {"{\"version\": 999}", -EPROTONOSUPPORT},
                {"{\"version\": 1", -EBADMSG},
                {"", -EBADMSG},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(record_freep) Record *record = make_record("a", 1, "glrt-one"), *loaded = NULL;
                _cleanup_(store_freep) Store *again = open_again(fixture);
                _cleanup_free_ char *load_error = NULL, *save_error = NULL, *prepare_error = NULL, *none = NULL;

                scratch_write(fixture->scratch, "state/a.json", cases[i].content);
                assert_int_equal(store_load(again, "a", &loaded, &load_error), cases[i].r);
                MENTIONS(load_error, scratch_path(fixture->scratch, "state/a.json"), "move the file away");
                assert_int_equal(store_save(again, record, &save_error), cases[i].r);
                MENTIONS(save_error, scratch_path(fixture->scratch, "state/a.json"));
                assert_int_equal(store_prepare(again, record, &prepare_error), cases[i].r);
                scratch_assert_content(fixture->scratch, "state/a.json", cases[i].content);

                assert_int_equal(unlink(scratch_path(fixture->scratch, "state/a.json")), 0);
                assert_int_equal(store_save(again, record, &none), 0);
        }
}

static void test_another_runners_record_is_refused(void **state)
{
        Fixture *fixture = *state;
        _cleanup_(record_freep) Record *record = NULL;
        _cleanup_free_ char *error = NULL, *content = NULL;

        save(fixture, "a", 1, "glrt-one");
        content = scratch_read(fixture->scratch, "state/a.json");
        scratch_write(fixture->scratch, "state/b.json", content);
        assert_int_equal(store_load(fixture->store, "b", &record, &error), -EBADMSG);
        MENTIONS(error, "state/b.json", "another runner");
}

static void test_only_safe_names_reach_the_disk(void **state)
{
        Fixture *fixture = *state;
        static const char *const names[] = {"", ".", "..", "../x", "a/b", ".hidden", "-x", "a b", "a\n", "lock/", "ü",
                "a23456789012345678901234567890123456789012", NULL};

        for (const char *const *name = names; *name; name++) {
                _cleanup_(record_freep) Record *record = make_record(*name, 1, "glrt-one"), *none = NULL;
                _cleanup_(answer_done) Answer answer = make_answer("glrt-new");
                _cleanup_free_ char *a = NULL, *b = NULL, *c = NULL, *d = NULL, *e = NULL;

                assert_int_equal(store_save(fixture->store, record, &a), -EINVAL);
                assert_int_equal(store_prepare(fixture->store, record, &b), -EINVAL);
                assert_int_equal(store_load(fixture->store, *name, &none, &c), -EINVAL);
                assert_int_equal(store_journal(fixture->store, *name, &answer, &d), -EINVAL);
                assert_int_equal(store_forget(fixture->store, *name, &e), -EINVAL);
        }
        assert_int_equal(fixture->recorder.n_lines, 0);
}

static void test_forgetting_leaves_nothing(void **state)
{
        Fixture *fixture = *state;
        _cleanup_(record_freep) Record *record = make_record("a", 1, "glrt-one"), *none = NULL;
        _cleanup_free_ char *error = NULL;

        assert_int_equal(store_prepare(fixture->store, record, &error), 0);
        assert_int_equal(store_forget(fixture->store, "a", &error), 0);
        assert_false(scratch_exists(fixture->scratch, "state/a.json"));
        assert_false(scratch_exists(fixture->scratch, "state/a.journal"));
        assert_string_equal(fixture->recorder.lines[fixture->recorder.n_lines - 1], "folder_sync state");
        assert_int_equal(store_forget(fixture->store, "a", &error), 0);
        assert_int_equal(store_load(fixture->store, "a", &none, &error), -ENOENT);
}

static void test_one_agent_per_folder(void **state)
{
        Fixture *fixture = *state;
        _cleanup_(store_freep) Store *again = open_again(fixture);
        _cleanup_free_ char *error = NULL, *busy = NULL, *text = NULL;
        char pid[32];

        scratch_write(fixture->scratch, "state/.a.json.tmp", "a crash's");
        assert_int_equal(store_lock(fixture->store, &error), 0);
        assert_false(scratch_exists(fixture->scratch, "state/.a.json.tmp"));
        assert_true(asprintf(&text, "%d\n", (int)getpid()) >= 0);
        scratch_assert_content(fixture->scratch, "state/lock", text);

        /* The other's files are in use. */
        scratch_write(fixture->scratch, "state/.a.json.tmp", "the other's");
        assert_int_equal(store_lock(again, &busy), -EBUSY);
        (void)snprintf(pid, sizeof(pid), "(pid %d)", (int)getpid());
        MENTIONS(busy, scratch_path(fixture->scratch, "state"), "another agent", pid);
        assert_true(scratch_exists(fixture->scratch, "state/.a.json.tmp"));

        fixture->store = store_free(fixture->store);
        assert_int_equal(store_lock(again, &error), 0);
}

/* The lock goes with the process however it ends, and a child does not inherit it by fork and exec. */
static void test_the_lock_dies_with_its_holder(void **state)
{
        Fixture *fixture = *state;
        _cleanup_free_ char *error = NULL;
        int fds[2], status;
        pid_t child;
        char byte, pid[32];

        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        child = fork();
        assert_true(child >= 0);
        if (child == 0) {
                Store *store = open_again(fixture);

                if (store_lock(store, &error) < 0)
                        _exit(1);
                (void)!write(fds[1], "x", 1);
                (void)pause();
                _exit(1);
        }
        assert_int_equal(read(fds[0], &byte, 1), 1);
        assert_int_equal(store_lock(fixture->store, &error), -EBUSY);
        (void)snprintf(pid, sizeof(pid), "(pid %d)", (int)child);
        MENTIONS(error, pid);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        free(error);
        error = NULL;
        assert_int_equal(store_lock(fixture->store, &error), 0);
        (void)close(fds[0]);
        (void)close(fds[1]);
}

static void test_folder_in_the_way_is_said(void **state)
{
        Fixture *fixture = *state;
        _cleanup_free_ char *error = NULL;
        Store *store;

        scratch_write(fixture->scratch, "file", "");
        assert_int_equal(store_open(disk_real(), scratch_path(fixture->scratch, "file"), &store, &error), -ENOTDIR);
        MENTIONS(error, scratch_path(fixture->scratch, "file"), "Not a directory");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_records_come_back, setup, teardown),
                cmocka_unit_test_setup_teardown(test_saving_is_kept_in_this_order, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_journal_is_replaced_after_the_record, setup, teardown),
                cmocka_unit_test_setup_teardown(test_preparing_is_kept_in_this_order, setup, teardown),
                cmocka_unit_test_setup_teardown(test_nothing_is_prepared_in_a_folder_that_is_gone, setup, teardown),
                cmocka_unit_test_setup_teardown(test_answers_need_nothing_but_a_write_and_a_sync, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_lost_journal_is_made_again, setup, teardown),
                cmocka_unit_test_setup_teardown(test_torn_answers_are_none, setup, teardown),
                cmocka_unit_test_setup_teardown(test_saving_is_all_or_nothing, setup, teardown),
                cmocka_unit_test_setup_teardown(test_preparing_is_all_or_nothing, setup, teardown),
                cmocka_unit_test_setup_teardown(test_journalling_says_that_it_failed, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_a_journal_that_cannot_be_read_is_not_a_lost_answer, setup, teardown),
                cmocka_unit_test_setup_teardown(test_only_who_has_the_lock_tidies_journals, setup, teardown),
                cmocka_unit_test_setup_teardown(test_without_allocation_zeros_are_written, setup, teardown),
                cmocka_unit_test_setup_teardown(test_what_cannot_be_read_is_not_overwritten, setup, teardown),
                cmocka_unit_test_setup_teardown(test_another_runners_record_is_refused, setup, teardown),
                cmocka_unit_test_setup_teardown(test_only_safe_names_reach_the_disk, setup, teardown),
                cmocka_unit_test_setup_teardown(test_forgetting_leaves_nothing, setup, teardown),
                cmocka_unit_test_setup_teardown(test_one_agent_per_folder, setup, teardown),
                cmocka_unit_test_setup_teardown(test_the_lock_dies_with_its_holder, setup, teardown),
                cmocka_unit_test_setup_teardown(test_folder_in_the_way_is_said, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
