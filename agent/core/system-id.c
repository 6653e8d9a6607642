#include "agent/core/system-id.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#include "agent/base/cleanup.h"

bool system_id_valid(const char *text)
{
        if ((text[0] != 's' && text[0] != 'r') || text[1] != '_' || strlen(text) != SYSTEM_ID_SIZE)
                return false;
        for (size_t i = 2; i < SYSTEM_ID_SIZE; i++)
                if (!isascii(text[i]) || !isalnum((unsigned char)text[i]))
                        return false;
        return true;
}

int system_id_from_machine(const char *machine_id, char ret[static SYSTEM_ID_SIZE + 1])
{
        static const unsigned char message[] = "gitlab-runner";
        unsigned char digest[EVP_MAX_MD_SIZE];

        if (!HMAC(EVP_sha256(), machine_id, (int)strlen(machine_id), message, sizeof(message) - 1, digest, NULL))
                return -ENOMEM;
        (void)snprintf(ret, SYSTEM_ID_SIZE + 1, "s_%02x%02x%02x%02x%02x%02x", digest[0], digest[1], digest[2],
                digest[3], digest[4], digest[5]);
        return 0;
}

void system_id_from_random(const unsigned char random[static 16], char ret[static SYSTEM_ID_SIZE + 1])
{
        static const char alphabet[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
        const unsigned base = sizeof(alphabet) - 1;
        unsigned char number[16];

        /* One number of 128 bits, written in base 62: no character is likelier than another by more than 2^-50, which
         * taking each byte modulo 62 could not say. */
        memcpy(number, random, sizeof(number));
        ret[0] = 'r';
        ret[1] = '_';
        for (size_t i = 2; i < SYSTEM_ID_SIZE; i++) {
                unsigned rest = 0;

                for (size_t j = 0; j < sizeof(number); j++) {
                        rest = rest << 8 | number[j];
                        number[j] = (unsigned char)(rest / base);
                        rest %= base;
                }
                ret[i] = alphabet[rest];
        }
        ret[SYSTEM_ID_SIZE] = 0;
}
