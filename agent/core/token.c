#include "agent/core/token.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#define PREFIX_CREATED      "glrt-"
#define PREFIX_REGISTERED   "glrtr-"
#define PREFIX_REGISTRATION "GR1348941"

/* What is no runner token, by prefix. The instance's administrator may have chosen another one for access tokens, so
 * this only ever proves, it never disproves. */
static const char *const access_prefixes[] = {
        "glpat-",
        "gloas-",
        "gldt-",
        "glptt-",
        "glft-",
        "glimt-",
        "glagent-",
        "glsoat-",
        "glffct-",
        "glwt-",
        "glcbt-",
};

static bool starts_with(const char *text, size_t size, const char *prefix)
{
        size_t n = strlen(prefix);

        return size >= n && memcmp(text, prefix, n) == 0;
}

/* t1_, t2_, t3_: the runner's type, since 17.5. */
static bool starts_with_type(const char *text, size_t size)
{
        return size >= 3 && text[0] == 't' && text[1] >= '1' && text[1] <= '3' && text[2] == '_';
}

/* glrt- behind an instance prefix and a hyphen. */
static bool has_created_inside(const char *text, size_t size)
{
        return size > 0 && memmem(text, size, "-" PREFIX_CREATED, strlen(PREFIX_CREATED) + 1);
}

TokenKind token_kind(const Secret *token)
{
        const char *text = secret_data(token);
        size_t size = secret_size(token);

        if (starts_with(text, size, PREFIX_CREATED))
                return TOKEN_KIND_CREATED;
        if (starts_with(text, size, PREFIX_REGISTERED))
                return TOKEN_KIND_REGISTERED;
        if (starts_with(text, size, PREFIX_REGISTRATION))
                return TOKEN_KIND_REGISTRATION;
        for (size_t i = 0; i < ELEMENTS(access_prefixes); i++)
                if (starts_with(text, size, access_prefixes[i]))
                        return TOKEN_KIND_ACCESS;
        return has_created_inside(text, size) ? TOKEN_KIND_CREATED : TOKEN_KIND_REGISTERED;
}

const char *token_complaint(const Secret *token)
{
        const char *text = secret_data(token);
        size_t size = secret_size(token);

        if (size == 0)
                return "is empty";
        if (size > TOKEN_SIZE_MAX)
                return "is longer than 1024 bytes";
        for (size_t i = 0; i < size; i++) {
                unsigned char c = (unsigned char)text[i];

                if (c == ' ' || (c >= '\t' && c <= '\r'))
                        return i == 0 || i == size - 1 ? "has a blank around it" : "has a blank inside";
                if (c < 0x20 || c == 0x7f)
                        return "has a control character";
                if (c > 0x7f)
                        return "has a character that is not ASCII";
        }
        return NULL;
}

bool token_looks_like(const char *word, size_t size)
{
        /* Within a word too: an instance prefix, or a path or key in front of it. */
        static const char *const prefixes[] = {PREFIX_CREATED, PREFIX_REGISTERED, PREFIX_REGISTRATION};

        for (size_t i = 0; i < ELEMENTS(prefixes); i++) {
                const char *found = size > 0 ? memmem(word, size, prefixes[i], strlen(prefixes[i])) : NULL;
                if (found && found + strlen(prefixes[i]) < word + size)
                        return true;
        }
        for (size_t i = 0; i < ELEMENTS(access_prefixes); i++) {
                const char *found =
                        size > 0 ? memmem(word, size, access_prefixes[i], strlen(access_prefixes[i])) : NULL;
                if (found && found + strlen(access_prefixes[i]) < word + size)
                        return true;
        }
        return starts_with_type(word, size) && size >= 3 + 16;
}

int token_digest(const Secret *token, char **ret)
{
        /* A purpose of its own, so that the digest is no use wherever else SHA-256 of a token may stand. */
        static const char purpose[] = "runner-registrar token source 1:";
        unsigned char digest[EVP_MAX_MD_SIZE];
        unsigned size = 0;

        EVP_MD_CTX *context = EVP_MD_CTX_new();
        if (!context)
                return -ENOMEM;
        int ok = EVP_DigestInit_ex(context, EVP_sha256(), NULL) &&
                 EVP_DigestUpdate(context, purpose, sizeof(purpose) - 1) &&
                 EVP_DigestUpdate(context, secret_data(token), secret_size(token)) &&
                 EVP_DigestFinal_ex(context, digest, &size);
        EVP_MD_CTX_free(context);
        if (!ok)
                return -ENOMEM;

        char *hex = malloc(2 * size + 1);
        if (!hex)
                return -ENOMEM;
        for (unsigned i = 0; i < size; i++)
                (void)snprintf(hex + 2 * i, 3, "%02x", digest[i]);
        *ret = hex;
        return 0;
}
