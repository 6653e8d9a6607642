#include "agent/core/fields.h"

#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "agent/base/secret.h"
#include "agent/base/time.h"
#include "agent/core/json.h"
#include "agent/core/text.h"
#include "agent/core/token.h"

/* The last moment that RFC 3339 can name: 9999-12-31T23:59:59Z. */
#define TIME_LAST_USEC (UINT64_C(253402300799) * USEC_PER_SEC)

int fields_complain(char **reterr, int r, const char *format, ...)
{
        va_list arguments;

        if (!reterr)
                return r;
        va_start(arguments, format);
        int n = vasprintf(reterr, format, arguments);
        va_end(arguments);
        if (n < 0) {
                *reterr = NULL;
                return -ENOMEM;
        }
        return r;
}

static int encode_string(const Field *field, const char *value, json_t **ret)
{
        _cleanup_free_ char *text = NULL;

        if (!value) {
                *ret = json_null();
                return field->required ? -EINVAL : 0;
        }
        if (field->type == FIELD_TEXT) {
                int r = text_show(value, strlen(value), field->max, &text);
                if (r < 0)
                        return r;
                value = text;
        } else if (strlen(value) > field->max || !text_is_utf8(value, strlen(value)) || (field->required && !*value))
                return -EINVAL;
        *ret = json_string(value);
        return 0;
}

static int encode_secret(const Field *field, const Secret *value, json_t **ret)
{
        if (!value) {
                *ret = json_null();
                return field->required ? -EINVAL : 0;
        }
        if (token_complaint(value))
                return -EINVAL;
        *ret = json_secret(value);
        return 0;
}

static int encode_id(const Field *field, int64_t value, json_t **ret)
{
        if (value < 0)
                return -EINVAL;
        *ret = value == 0 && field->nullable ? json_null() : json_integer(value);
        return 0;
}

static json_t *encode_time(uint64_t usec)
{
        char buffer[TIME_RFC3339_MAX];

        if (usec == 0)
                return json_null();
        return json_string(time_format_rfc3339(usec < TIME_LAST_USEC ? usec : TIME_LAST_USEC, buffer));
}

static int encode_word(const Field *field, int value, json_t **ret)
{
        const char *text = value >= 0 && value < field->n_words ? field->word(value) : NULL;

        if (!text)
                return -EINVAL;
        *ret = json_string(text);
        return 0;
}

static int encode_value(const Field *field, const void *member, json_t **ret)
{
        switch (field->type) {
        case FIELD_STRING:
        case FIELD_TEXT:
                return encode_string(field, *(char *const *)member, ret);
        case FIELD_SECRET:
                return encode_secret(field, *(Secret *const *)member, ret);
        case FIELD_ID:
                return encode_id(field, *(const int64_t *)member, ret);
        case FIELD_COUNT:
                *ret = json_integer(*(const unsigned *)member);
                return 0;
        case FIELD_TIME:
                *ret = encode_time(*(const uint64_t *)member);
                return 0;
        case FIELD_BOOL:
                *ret = json_boolean(*(const bool *)member);
                return 0;
        case FIELD_WORD:
                return encode_word(field, *(const int *)member, ret);
        }
        return -EINVAL;
}

int fields_encode(const Field *fields, size_t n_fields, const void *from, json_t *object)
{
        for (size_t i = 0; i < n_fields; i++) {
                _cleanup_json_ json_t *value = NULL;

                int r = encode_value(&fields[i], (const char *)from + fields[i].offset, &value);
                if (r < 0)
                        return r;
                r = json_put(object, fields[i].key, take_ptr(value));
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The decoders return what is wrong with the value (a static text), or NULL with *r set. */
static const char *decode_string(const Field *field, const json_t *value, char **into, int *r)
{
        const char *text = json_string_value(value);

        if (!text)
                return "is not a string";
        if (strlen(text) > field->max)
                return "is too long";
        if (field->required && !*text)
                return "is empty";
        *into = strdup(text);
        *r = *into ? 0 : -ENOMEM;
        return NULL;
}

static const char *decode_secret(const json_t *value, Secret **into, int *r)
{
        if (!json_is_string(value))
                return "is not a string";
        *r = secret_new(json_string_value(value), json_string_length(value), into);
        return *r < 0 ? NULL : token_complaint(*into);
}

static const char *decode_integer(const json_t *value, json_int_t max, json_int_t *ret)
{
        if (!json_is_integer(value))
                return "is not an integer";
        *ret = json_integer_value(value);
        return *ret < 0 || *ret > max ? "is out of range" : NULL;
}

static const char *decode_time(const json_t *value, uint64_t *into)
{
        if (!json_is_string(value))
                return "is neither a time nor null";
        if (time_parse_rfc3339(json_string_value(value), json_string_length(value), into) < 0)
                return "is not a time";
        return NULL;
}

static const char *decode_word(const Field *field, const json_t *value, int *into)
{
        const char *text = json_string_value(value);

        for (int i = 0; text && i < field->n_words; i++)
                if (field->word(i) && strcmp(field->word(i), text) == 0) {
                        *into = i;
                        return NULL;
                }
        return "is not a known word";
}

static const char *decode_value(const Field *field, const json_t *value, void *member, int *r)
{
        const char *complaint;
        json_int_t integer = 0;

        *r = 0;
        switch (field->type) {
        case FIELD_STRING:
        case FIELD_TEXT:
                return decode_string(field, value, member, r);
        case FIELD_SECRET:
                return decode_secret(value, member, r);
        case FIELD_ID:
                complaint = decode_integer(value, INT64_MAX, &integer);
                *(int64_t *)member = integer;
                return complaint;
        case FIELD_COUNT:
                complaint = decode_integer(value, UINT_MAX, &integer);
                *(unsigned *)member = complaint ? 0 : (unsigned)integer;
                return complaint;
        case FIELD_TIME:
                return decode_time(value, member);
        case FIELD_BOOL:
                if (!json_is_boolean(value))
                        return "is neither true nor false";
                *(bool *)member = json_is_true(value);
                return NULL;
        case FIELD_WORD:
                return decode_word(field, value, member);
        }
        return "is unknown";
}

int fields_decode(const Field *fields, size_t n_fields, const json_t *object, void *into, char **reterr)
{
        if (!json_is_object(object))
                return fields_complain(reterr, -EBADMSG, "not a JSON object");

        for (size_t i = 0; i < n_fields; i++) {
                const json_t *value = json_object_get(object, fields[i].key);
                int r;

                if (!value || json_is_null(value)) {
                        if (fields[i].required)
                                return fields_complain(reterr, -EBADMSG, "'%s' is missing", fields[i].key);
                        continue;
                }
                const char *complaint = decode_value(&fields[i], value, (char *)into + fields[i].offset, &r);
                if (complaint)
                        return fields_complain(reterr, -EBADMSG, "'%s' %s", fields[i].key, complaint);
                if (r < 0)
                        return r;
        }
        return 0;
}
