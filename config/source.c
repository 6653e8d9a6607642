#include "config/source.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/trust.h"
#include "config/value.h"

static const char *const kinds[] = {
        [SECRET_SOURCE_FILE] = "file",
        [SECRET_SOURCE_CREDENTIAL] = "credential",
        [SECRET_SOURCE_ENV] = "env",
        [SECRET_SOURCE_EXEC] = "exec",
        [SECRET_SOURCE_LITERAL] = "literal",
};
static_assert(ELEMENTS(kinds) == _SECRET_SOURCE_KIND_MAX, "every kind has a name");

/* Arguments of a program may be secret as well. */
static void wipe_list(char **list)
{
        for (char **item = list; item && *item; item++)
                explicit_bzero(*item, strlen(*item));
        (void)value_list_free(list);
}

SecretSource *secret_source_free(SecretSource *source)
{
        if (!source)
                return NULL;
        (void)secret_free(source->literal);
        wipe_list(source->argv);
        (void)string_wipe_free(source->text);
        free(source);
        return NULL;
}

/* Appends one word of a command at *TEXT to WORD, and moves behind it. */
static int split_word(const char **text, char *word, char **reterr)
{
        char quote = 0;
        const char *p = *text;

        for (; *p && (quote || !value_is_blank(*p)); p++) {
                if (!quote && (*p == '\'' || *p == '"')) {
                        quote = *p;
                        continue;
                }
                if (quote && *p == quote) {
                        quote = 0;
                        continue;
                }
                if (*p == '\\' && quote != '\'' && !*++p)
                        return value_fail(reterr, -EINVAL, "ends with a single backslash");
                *word++ = *p;
        }
        if (quote)
                return value_fail(reterr, -EINVAL, "has an open quote");
        *word = 0;
        *text = p;
        return 0;
}

static int split_command(const char *command, char ***ret, char **reterr)
{
        char **argv = NULL;
        size_t n = 0;
        char *word = malloc(strlen(command) + 1);
        int r = word ? 0 : -ENOMEM;

        for (const char *p = command; r >= 0;) {
                while (value_is_blank(*p))
                        p++;
                if (!*p)
                        break;
                if (n >= SECRET_SOURCE_ARGUMENTS_MAX) {
                        r = value_fail(reterr, -EINVAL, "has more than %d words", SECRET_SOURCE_ARGUMENTS_MAX);
                        break;
                }
                r = split_word(&p, word, reterr);
                if (r >= 0)
                        r = value_list_append(&argv, n++, word);
        }
        if (word)
                explicit_bzero(word, strlen(command) + 1);
        free(word);
        if (r < 0)
                wipe_list(argv);
        else
                *ret = argv;
        return r;
}

static int check_text_path(const char *text, const char *what, SecretSourceFlags flags, char **reterr)
{
        if (!*text)
                return value_fail(reterr, -EINVAL, "names no %s", what);
        if (text[0] != '/' && !(flags & SECRET_SOURCE_ALLOW_RELATIVE))
                return value_fail(reterr, -EINVAL, "names a %s by a relative path", what);
        if (strlen(text) >= 4096)
                return value_fail(reterr, -EINVAL, "names a %s by too long a path", what);
        return 0;
}

static int parse_exec(SecretSource *source, SecretSourceFlags flags, char **reterr)
{
        int r = split_command(source->text, &source->argv, reterr);
        if (r < 0)
                return r;
        return check_text_path(source->argv ? source->argv[0] : "", "program", flags, reterr);
}

static int check_variable(const char *text, char **reterr)
{
        static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
        size_t n = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789");

        if (n == 0 || text[n] || n > 255 || !strchr(letters, text[0]))
                return value_fail(reterr, -EINVAL, "names no environment variable");
        return 0;
}

/* A credential is a file of one folder, so its name is a file's (systemd.exec(5)). */
static int check_credential(const char *text, char **reterr)
{
        size_t n = strlen(text);
        bool valid = n > 0 && n <= 255 && strcmp(text, ".") != 0 && strcmp(text, "..") != 0;

        for (const char *p = text; *p; p++)
                valid = valid && (unsigned char)*p > ' ' && (unsigned char)*p < 0x7f && *p != '/' && *p != ':';
        if (!valid)
                return value_fail(reterr, -EINVAL, "names no credential");
        return 0;
}

/* Whether TEXT begins with `word:`: a kind misspelt, as no token has a colon. */
static bool has_scheme(const char *text)
{
        size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");

        return n > 0 && text[n] == ':';
}

/* What can be no token, or NULL. */
static const char *find_bad_token(const char *data, size_t size)
{
        if (size == 0)
                return "is empty";
        if (size > SECRET_SOURCE_TOKEN_MAX)
                return "is too long for a token";
        for (size_t i = 0; i < size; i++) {
                if (data[i] == '\n' || data[i] == '\r')
                        return "has more than one line";
                if (data[i] == ' ' || data[i] == '\t')
                        return "has blanks inside";
                if ((unsigned char)data[i] < ' ' || data[i] == 0x7f)
                        return "has control characters";
                if ((unsigned char)data[i] > 0x7f)
                        return "has characters beyond ASCII";
        }
        return NULL;
}

static int parse_literal(const char *text, SecretSourceFlags flags, SecretSource *source, char **reterr)
{
        if (has_scheme(text))
                return value_fail(reterr, -EINVAL, "names an unknown kind of source");
        if (text[0] == '/' || text[0] == '~' || (text[0] == '.' && text[1] == '/'))
                return value_fail(reterr, -EINVAL, "looks like a path without `file:`");
        if (!(flags & SECRET_SOURCE_ALLOW_LITERAL))
                return value_fail(reterr, -EINVAL, "names no source");
        if (strchr(text, '$'))
                return value_fail(reterr, -EINVAL, "holds `$`: a variable is written as env:NAME");
        const char *bad = find_bad_token(text, strlen(text));
        if (bad)
                return value_fail(reterr, -EINVAL, "%s", bad);
        source->kind = SECRET_SOURCE_LITERAL;
        return secret_new(text, strlen(text), &source->literal);
}

int secret_source_parse(const char *text, SecretSourceFlags flags, SecretSource **ret, char **reterr)
{
        _cleanup_(secret_source_freep) SecretSource *source = calloc(1, sizeof(*source));
        int kind = SECRET_SOURCE_LITERAL;

        if (!source)
                return -ENOMEM;
        for (int i = 0; i < SECRET_SOURCE_LITERAL; i++) {
                size_t n = strlen(kinds[i]);
                if (strncmp(text, kinds[i], n) == 0 && text[n] == ':') {
                        kind = i;
                        text += n + 1;
                        break;
                }
        }

        source->kind = (SecretSourceKind)kind;
        if (kind != SECRET_SOURCE_LITERAL) {
                source->text = strdup(text);
                if (!source->text)
                        return -ENOMEM;
        }
        int r = kind == SECRET_SOURCE_FILE         ? check_text_path(text, "file", flags, reterr)
                : kind == SECRET_SOURCE_CREDENTIAL ? check_credential(text, reterr)
                : kind == SECRET_SOURCE_ENV        ? check_variable(text, reterr)
                : kind == SECRET_SOURCE_EXEC       ? parse_exec(source, flags, reterr)
                                                   : parse_literal(text, flags, source, reterr);
        if (r < 0)
                return r;
        *ret = take_ptr(source);
        return 0;
}

int secret_source_copy(const SecretSource *source, SecretSource **ret)
{
        _cleanup_(secret_source_freep) SecretSource *copy = calloc(1, sizeof(*copy));

        if (!copy)
                return -ENOMEM;
        copy->kind = source->kind;
        if (source->text) {
                copy->text = strdup(source->text);
                if (!copy->text)
                        return -ENOMEM;
        }
        for (size_t i = 0; source->argv && source->argv[i]; i++) {
                int r = value_list_append(&copy->argv, i, source->argv[i]);
                if (r < 0)
                        return r;
        }
        if (source->literal) {
                int r = secret_copy(source->literal, &copy->literal);
                if (r < 0)
                        return r;
        }
        *ret = take_ptr(copy);
        return 0;
}

bool secret_source_equal(const SecretSource *a, const SecretSource *b)
{
        if (!a || !b)
                return a == b;
        if (a->kind != b->kind)
                return false;
        if (a->kind == SECRET_SOURCE_LITERAL)
                return secret_equal(a->literal, b->literal);
        /* Blanks between words make no other command. */
        if (a->kind == SECRET_SOURCE_EXEC)
                return value_list_equal(a->argv, b->argv);
        return strcmp(a->text, b->text) == 0;
}

int secret_source_describe(const SecretSource *source, char **ret)
{
        char *text;

        if (source->kind == SECRET_SOURCE_LITERAL)
                text = strdup("the token in the configuration");
        else if (asprintf(&text, "%s:%s", kinds[source->kind],
                         source->kind == SECRET_SOURCE_EXEC ? source->argv[0] : source->text) < 0)
                text = NULL;
        if (!text)
                return -ENOMEM;
        *ret = text;
        return 0;
}

int secret_source_accept(const SecretSource *source, Secret *secret, char **reterr)
{
        _cleanup_free_ char *name = NULL;

        secret_trim(secret);
        const char *bad = find_bad_token(secret_data(secret), secret_size(secret));
        if (!bad)
                return 0;
        int r = secret_source_describe(source, &name);
        if (r < 0)
                return r;
        return value_fail(reterr, -EINVAL, "%s %s, expected a token on one line", name, bad);
}

/* Reads FD to its end, up to somewhat more than a token: the rest must be white space or is refused. */
static int read_descriptor(int fd, const char *name, Secret **ret, char **reterr)
{
        _cleanup_secret_ Secret *secret = NULL;
        char buffer[1024];

        int r = secret_new(NULL, 0, &secret);
        if (r >= 0)
                r = secret_reserve(secret, 2 * SECRET_SOURCE_TOKEN_MAX);
        while (r >= 0) {
                ssize_t n = read(fd, buffer, sizeof(buffer));
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0) {
                        r = -errno;
                        (void)value_fail(reterr, r, "%s can't be read: %s", name, strerror(-r));
                        break;
                }
                if (n == 0)
                        break;
                r = secret_append(secret, buffer, (size_t)n);
                if (r >= 0 && secret_size(secret) > 2 * SECRET_SOURCE_TOKEN_MAX)
                        r = value_fail(reterr, -EINVAL, "%s is too long for a token, expected at most %d bytes", name,
                                SECRET_SOURCE_TOKEN_MAX);
        }
        explicit_bzero(buffer, sizeof(buffer));
        if (r < 0)
                return r;
        *ret = take_ptr(secret);
        return 0;
}

static int read_file(const SecretSource *source, const char *name, Secret **ret, char **reterr)
{
        _cleanup_close_ int fd = -1;
        struct stat st;

        int r = trust_open_file(source->text, TRUST_PRIVATE, &fd, &st, reterr);
        if (r < 0)
                return r;
        return read_descriptor(fd, name, ret, reterr);
}

static int fail_missing_credential(const SecretSource *source, const char *name, char **reterr)
{
        return value_fail(reterr, -ENOENT,
                "%s is not there, expected LoadCredential=%s:PATH or LoadCredentialEncrypted= in the unit", name,
                source->text);
}

/* systemd alone makes that folder, with modes and lists of its own: who can read it is not ours to judge. */
static int read_credential(const SecretSource *source, const char *name, Secret **ret, char **reterr)
{
        _cleanup_secret_ Secret *secret = NULL;
        _cleanup_close_ int folder = -1, fd = -1;
        const char *directory = getenv("CREDENTIALS_DIRECTORY");
        struct stat st;

        if (!directory || !*directory)
                return value_fail(reterr, -ENOKEY,
                        "%s can only be read by the service, for which systemd unlocks it: act through the running "
                        "agent, "
                        "or start this command with systemd-run -p LoadCredential=%s:PATH",
                        name, source->text);
        folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (folder >= 0)
                fd = openat(folder, source->text, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
        if (fd < 0 && errno == ENOENT)
                return fail_missing_credential(source, name, reterr);
        if (fd < 0 || fstat(fd, &st) < 0) {
                int r = -errno;
                return value_fail(reterr, r, "%s can't be read: %s", name, strerror(-r));
        }
        if (!S_ISREG(st.st_mode))
                return value_fail(reterr, -EINVAL, "%s is no regular file", name);
        int r = read_descriptor(fd, name, &secret, reterr);
        if (r < 0)
                return r;
        secret_trim(secret);
        /* The unit's default: without one, systemd 247 would not start us where the credential is missing. */
        if (secret_size(secret) == 0)
                return fail_missing_credential(source, name, reterr);
        *ret = take_ptr(secret);
        return 0;
}

static int read_variable(const SecretSource *source, const char *name, Secret **ret, char **reterr)
{
        const char *value = getenv(source->text);

        if (!value)
                return value_fail(reterr, -ENOENT, "%s is not set", name);
        size_t size = strnlen(value, 2 * SECRET_SOURCE_TOKEN_MAX + 1);
        return secret_new(value, size, ret);
}

int secret_source_read(const SecretSource *source, Secret **ret, char **reterr)
{
        _cleanup_secret_ Secret *secret = NULL;
        _cleanup_free_ char *name = NULL;

        int r = secret_source_describe(source, &name);
        if (r < 0)
                return r;
        switch (source->kind) {
        case SECRET_SOURCE_FILE:
                r = read_file(source, name, &secret, reterr);
                break;
        case SECRET_SOURCE_CREDENTIAL:
                r = read_credential(source, name, &secret, reterr);
                break;
        case SECRET_SOURCE_ENV:
                r = read_variable(source, name, &secret, reterr);
                break;
        case SECRET_SOURCE_LITERAL:
                r = secret_copy(source->literal, &secret);
                break;
        case SECRET_SOURCE_EXEC:
        case _SECRET_SOURCE_KIND_MAX:
        case _SECRET_SOURCE_KIND_INVALID:
                r = value_fail(reterr, -EOPNOTSUPP, "%s needs a program run", name);
                break;
        }
        if (r < 0)
                return r;
        r = secret_source_accept(source, secret, reterr);
        if (r < 0)
                return r;
        *ret = take_ptr(secret);
        return 0;
}

int secret_source_check_file(const char *path, char **reterr)
{
        _cleanup_free_ char *sentence = NULL;

        int r = trust_check_file(path, TRUST_PRIVATE, NULL, &sentence);
        if (r == -ENOENT)
                return 0;
        if (r < 0 && reterr)
                *reterr = take_ptr(sentence);
        return r;
}
