/* agent/core/answer: the journal, which is a reserved file of zeros until GitLab has answered. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/time.h"
#include "agent/core/record.h"
#include "tests/unit/json-memory.h"

#define TOKEN "glrt-t1_abcdefghij0123456789"

static Answer full_answer(void)
{
        Answer answer = {
                .kind = INTENT_CREATE,
                .runner_id = 42,
                .has_expiry = true,
                .expires_at_usec = UINT64_C(1788220800) * USEC_PER_SEC,
                .obtained_at_usec = UINT64_C(1787392800123456),
                .intent_since_usec = UINT64_C(1787392799000001),
        };

        assert_int_equal(secret_new(TOKEN, strlen(TOKEN), &answer.token), 0);
        return answer;
}

static void test_answer(void **state)
{
        for (int i = 0; i < 4; i++) {
                Answer answer = full_answer(), copy = {0};
                Secret *line = NULL;

                answer.kind = i == 1 ? INTENT_RESET : i == 2 ? INTENT_RESET_BY_ID : INTENT_CREATE;
                if (i == 3)
                        answer = (Answer){.kind = INTENT_RESET, .token = answer.token};
                assert_int_equal(answer_encode(&answer, &line), 0);
                assert_int_equal(answer_decode(secret_data(line), secret_size(line), &copy), 0);
                assert_int_equal(copy.kind, answer.kind);
                assert_int_equal(copy.runner_id, answer.runner_id);
                assert_true(secret_equal(copy.token, answer.token));
                assert_int_equal(copy.has_expiry, answer.has_expiry);
                assert_int_equal(copy.expires_at_usec, answer.expires_at_usec);
                assert_int_equal(copy.obtained_at_usec, answer.obtained_at_usec);
                assert_int_equal(copy.intent_since_usec, answer.intent_since_usec);
                secret_free(line);
                answer_done(&answer);
                answer_done(&copy);
        }
}

/* The journal is a reserved file of zeros, and a write may stop anywhere. */
static void test_answer_torn(void **state)
{
        Answer answer = full_answer(), copy = {0};
        char *file = calloc(1, ANSWER_SIZE_MAX);
        Secret *line = NULL;

        assert_non_null(file);
        assert_int_equal(answer_encode(&answer, &line), 0);
        size_t size = secret_size(line);

        assert_int_equal(answer_decode(file, ANSWER_SIZE_MAX, &copy), -EBADMSG);
        assert_int_equal(answer_decode(file, 0, &copy), -EBADMSG);
        for (size_t i = 0; i < size; i++) {
                memset(file, 0, ANSWER_SIZE_MAX);
                memcpy(file, secret_data(line), i);
                assert_int_equal(answer_decode(file, i, &copy), -EBADMSG);
                assert_int_equal(answer_decode(file, ANSWER_SIZE_MAX, &copy), -EBADMSG);
        }
        memcpy(file, secret_data(line), size);
        assert_int_equal(answer_decode(file, ANSWER_SIZE_MAX, &copy), 0);
        answer_done(&copy);

        /* A hole, or one turned bit, anywhere. */
        for (size_t i = 0; i < size; i++) {
                char kept = file[i];

                file[i] = 0;
                assert_int_equal(answer_decode(file, ANSWER_SIZE_MAX, &copy), -EBADMSG);
                file[i] = (char)(kept ^ 1);
                assert_int_equal(answer_decode(file, ANSWER_SIZE_MAX, &copy), -EBADMSG);
                file[i] = kept;
        }

        /* What an older, longer answer left behind the new one does not count. */
        memset(file + size, 'x', ANSWER_SIZE_MAX - size);
        assert_int_equal(answer_decode(file, ANSWER_SIZE_MAX, &copy), 0);
        answer_done(&copy);
        answer_done(&answer);
        secret_free(line);
        free(file);
}

static void test_answer_largest(void **state)
{
        Answer answer = full_answer(), copy = {0};
        char token[1024];
        Secret *line = NULL;

        memset(token, '"', sizeof(token));
        secret_truncate(answer.token, 0);
        assert_int_equal(secret_append(answer.token, token, sizeof(token)), 0);
        answer.runner_id = INT64_MAX;
        answer.expires_at_usec = UINT64_MAX;
        assert_int_equal(answer_encode(&answer, &line), 0);
        assert_true(secret_size(line) <= ANSWER_SIZE_MAX);
        assert_int_equal(answer_decode(secret_data(line), secret_size(line), &copy), 0);
        assert_true(secret_equal(copy.token, answer.token));
        secret_free(line);
        line = NULL;
        answer_done(&copy);

        answer.kind = INTENT_NONE;
        assert_int_equal(answer_encode(&answer, &line), -EINVAL);
        answer_done(&answer);
}

/* Whichever block is the one that is not there: an error, nothing half done. */
static void test_out_of_memory(void **state)
{
        Answer answer = full_answer();
        Secret *line = NULL;
        size_t n = 0;
        int r;

        json_set_alloc_funcs(failing_malloc, free);
        do {
                blocks_left = n++;
                r = answer_encode(&answer, &line);
                assert_true(r == 0 || (r == -ENOMEM && !line));
        } while (r < 0);
        json_set_alloc_funcs(malloc, free);

        answer_done(&answer);
        secret_free(line);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_answer),
                cmocka_unit_test(test_answer_torn),
                cmocka_unit_test(test_answer_largest),
                cmocka_unit_test(test_out_of_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
