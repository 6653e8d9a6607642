/* The journal's one line: JSON, a blank, a checksum, a newline. The line is written in place over reserved zeros, so
 * it may be torn anywhere, and a longer one of old may stick out behind it: only what the checksum covers counts. */

#include <assert.h>
#include <openssl/evp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "agent/core/fields.h"
#include "agent/core/json.h"
#include "agent/core/record.h"

#define ANSWER_VERSION 1

/* 64 bits of SHA-256: told from a torn write by far, and there is nobody here to forge one. */
#define CHECKSUM_BYTES 8
#define CHECKSUM_SIZE  (2 * CHECKSUM_BYTES)

static const char *kind_word(int value)
{
        switch ((IntentKind)value) {
        case INTENT_CREATE:
                return "create";
        case INTENT_RESET:
                return "reset";
        case INTENT_RESET_BY_ID:
                return "reset_by_id";
        case INTENT_NONE:
        case _INTENT_KIND_MAX:
        case _INTENT_KIND_INVALID:
                break;
        }
        return NULL;
}

static const Field answer_fields[] = {
        FIELD_ENUM(Answer, kind, kind_word, _INTENT_KIND_MAX),
        FIELD(Answer, runner_id, ID),
        FIELD(Answer, token, SECRET, .required = true),
        FIELD(Answer, has_expiry, BOOL),
        FIELD_MOMENT(Answer, expires_at),
        FIELD_MOMENT(Answer, obtained_at),
        FIELD_MOMENT(Answer, intent_since),
};

void answer_done(Answer *answer)
{
        secret_free(answer->token);
        *answer = (Answer){0};
}

static int checksum(const char *data, size_t size, char ret[static CHECKSUM_SIZE + 1])
{
        unsigned char digest[EVP_MAX_MD_SIZE];

        if (!EVP_Digest(data, size, digest, NULL, EVP_sha256(), NULL))
                return -ENOMEM;
        for (size_t i = 0; i < CHECKSUM_BYTES; i++)
                (void)snprintf(ret + 2 * i, 3, "%02x", digest[i]);
        return 0;
}

int answer_encode(const Answer *answer, Secret **ret)
{
        _cleanup_json_ json_t *object = json_object();
        _cleanup_secret_ Secret *line = NULL;
        char sum[CHECKSUM_SIZE + 1];

        int r = json_put(object, "version", json_integer(ANSWER_VERSION));
        if (r < 0)
                return r;
        r = fields_encode(answer_fields, ELEMENTS(answer_fields), answer, object);
        if (r < 0)
                return r;
        r = json_write(object, JSON_COMPACT, &line);
        if (r < 0)
                return r;
        r = checksum(secret_data(line), secret_size(line), sum);
        if (r < 0)
                return r;
        if (secret_append_string(line, " ") < 0 || secret_append_string(line, sum) < 0 ||
                secret_append_string(line, "\n") < 0)
                return -ENOMEM;
        /* Most of it is a token, which has a bound of its own. */
        assert(secret_size(line) <= ANSWER_SIZE_MAX);
        *ret = take_ptr(line);
        return 0;
}

/* The size of the JSON in front of a good checksum; 0: there is none. */
static int check_line(const char *data, size_t size, size_t *ret_size)
{
        const char *end = size > 0 ? memchr(data, '\n', size < ANSWER_SIZE_MAX ? size : ANSWER_SIZE_MAX) : NULL;
        char sum[CHECKSUM_SIZE + 1];

        if (!end || end - data < CHECKSUM_SIZE + 2)
                return -EBADMSG;
        size_t n = (size_t)(end - data) - CHECKSUM_SIZE - 1;
        int r = checksum(data, n, sum);
        if (r < 0)
                return r;
        if (data[n] != ' ' || memcmp(data + n + 1, sum, CHECKSUM_SIZE) != 0)
                return -EBADMSG;
        *ret_size = n;
        return 0;
}

int answer_decode(const char *data, size_t size, Answer *ret)
{
        _cleanup_(answer_done) Answer answer = {0};
        _cleanup_json_ json_t *object = NULL;
        size_t n;

        int r = check_line(data, size, &n);
        if (r < 0)
                return r;
        r = json_read(data, n, ANSWER_SIZE_MAX, &object);
        if (r < 0)
                return r;
        if (json_integer_value(json_object_get(object, "version")) != ANSWER_VERSION)
                return -EBADMSG;
        r = fields_decode(answer_fields, ELEMENTS(answer_fields), object, &answer, NULL);
        if (r < 0)
                return r;
        *ret = answer;
        answer = (Answer){0};
        return 0;
}
