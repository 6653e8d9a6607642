/* What curl's failures are taken for: above all, which of them prove that nothing was sent. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/x509_vfy.h>

#include "agent/base/time.h"
#include "agent/http-failure.h"

static const Target plain = {0};
static const Target with_ca = {.tls_ca_file = (char *)"/etc/ca.pem"};
static const Target with_proxy = {.proxy = (char *)"http://user:hush@proxy:3128"};

static void explain(const HttpFailure *given, Transport *ret, char **ret_sentence)
{
        HttpFailure failure = *given;

        failure.place = "gitlab.example.com:443";
        failure.timeout_usec = 30 * USEC_PER_SEC;
        failure.connect_timeout_usec = 15 * USEC_PER_SEC;
        if (!failure.target)
                failure.target = &plain;
        assert_int_equal(http_failure_explain(&failure, ret, ret_sentence), 0);
        assert_non_null(*ret_sentence);
        assert_null(strstr(*ret_sentence, "hush"));
        assert_null(strchr(*ret_sentence, '\n'));
}

#define PLACE "gitlab.example.com:443"

static void test_sentences(void **state)
{
        static const struct {
                HttpFailure failure;
                Transport transport;
                const char *sentence;
        } cases[] = {
                {{.code = CURLE_COULDNT_CONNECT, .os_errno = ECONNREFUSED}, TRANSPORT_NOT_SENT,
                        "Failed to connect to " PLACE ": connection refused"},
                {{.code = CURLE_COULDNT_CONNECT, .os_errno = ECONNREFUSED, .target = &with_proxy}, TRANSPORT_NOT_SENT,
                        "Failed to connect to " PLACE " through the proxy: connection refused"},
                {{.code = CURLE_RECV_ERROR, .connect_status = 407, .target = &with_proxy}, TRANSPORT_NOT_SENT,
                        "The proxy refused the way to " PLACE ": HTTP 407"},
                {{
                         .code = CURLE_COULDNT_RESOLVE_PROXY,
                         .detail = "Could not resolve proxy: user:hush@",
                 },
                        TRANSPORT_NOT_SENT,
                        "Failed to connect to " PLACE ": the name of the proxy can't be resolved"},
                {{.code = CURLE_COULDNT_RESOLVE_HOST}, TRANSPORT_NOT_SENT,
                        "Failed to connect to " PLACE ": the name can't be resolved"},
                {{.code = CURLE_OPERATION_TIMEDOUT}, TRANSPORT_NOT_SENT,
                        "Failed to connect to " PLACE ": no name server answered within 15s"},
                {{.code = CURLE_OPERATION_TIMEDOUT, .resolved = true}, TRANSPORT_NOT_SENT,
                        "Failed to connect to " PLACE ": no answer within 15s"},
                {{.code = CURLE_OPERATION_TIMEDOUT, .resolved = true, .connected = true, .sent = true},
                        TRANSPORT_LOST, PLACE " gave no answer within 30s"},
                {{.code = CURLE_OPERATION_TIMEDOUT, .sent = true, .headers_begun = true}, TRANSPORT_LOST,
                        PLACE " gave no complete answer within 30s"},
                {{.code = CURLE_PEER_FAILED_VERIFICATION, .verify_result = X509_V_ERR_CERT_HAS_EXPIRED},
                        TRANSPORT_TLS, "The certificate of " PLACE " has expired"},
                {{.code = CURLE_PEER_FAILED_VERIFICATION, .verify_result = X509_V_ERR_CERT_NOT_YET_VALID},
                        TRANSPORT_TLS,
                        "The certificate of " PLACE " is not valid yet; is the clock of this host right?"},
                {{.code = CURLE_PEER_FAILED_VERIFICATION,
                         .detail = "SSL: no alternative certificate subject name matches target host name 'x'"},
                        TRANSPORT_TLS, "The certificate of " PLACE " is for another name"},
                {{.code = CURLE_SSL_CACERT_BADFILE, .target = &with_ca}, TRANSPORT_TLS,
                        "tls_ca_file '/etc/ca.pem' can't be read or holds no certificate in PEM form"},
                {{.code = CURLE_GOT_NOTHING, .sent = true}, TRANSPORT_LOST,
                        PLACE " closed the connection without an answer"},
                {{.code = CURLE_PARTIAL_FILE, .sent = true, .headers_begun = true}, TRANSPORT_LOST,
                        "The answer of " PLACE " was cut off"},
                {{.code = CURLE_WRITE_ERROR, .sent = true, .body_too_large = true}, TRANSPORT_TOO_LARGE,
                        "The answer of " PLACE " is larger than 1048576 bytes"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Transport transport;
                char *sentence = NULL;

                explain(&cases[i].failure, &transport, &sentence);
                assert_string_equal(sentence, cases[i].sentence);
                assert_int_equal(transport, cases[i].transport);
                free(sentence);
        }
}

/* A handshake that breaks off is a network's trouble, one that fails is ours to mend. */
static void test_handshake(void **state)
{
        static const struct {
                const char *detail;
                Transport transport;
        } cases[] = {
                {"OpenSSL SSL_connect: Connection reset by peer in connection to x:443 ", TRANSPORT_NOT_SENT},
                {"OpenSSL SSL_connect: SSL_ERROR_SYSCALL in connection to x:443 ", TRANSPORT_NOT_SENT},
                {"error:0A000126:SSL routines::unexpected eof while reading", TRANSPORT_NOT_SENT},
                {"Recv failure: Connection reset by peer", TRANSPORT_NOT_SENT},
                {"error:0A00010B:SSL routines::wrong version number", TRANSPORT_TLS},
                {"error:0A000410:SSL routines::sslv3 alert handshake failure", TRANSPORT_TLS},
                {"error:0A00042E:SSL routines::tlsv1 alert protocol version", TRANSPORT_TLS},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                HttpFailure failure = {.code = CURLE_SSL_CONNECT_ERROR, .detail = cases[i].detail};
                Transport transport;
                char *sentence = NULL;

                explain(&failure, &transport, &sentence);
                if (transport != cases[i].transport)
                        fail_msg("%s: %s", cases[i].detail, sentence);
                free(sentence);
        }
}

/* Whatever the code, even one of a curl to come: what may have reached GitLab is never called unsent, but for a
 * refusal that ends the handshake. */
static void test_sent_is_never_unsent(void **state)
{
        for (int code = 1; code < 120; code++) {
                HttpFailure failure = {.code = (CURLcode)code, .sent = true};
                Transport transport;
                char *sentence = NULL;

                explain(&failure, &transport, &sentence);
                if (transport == TRANSPORT_NOT_SENT || transport == TRANSPORT_BAD_URL || transport == TRANSPORT_OK)
                        fail_msg("%d: %s", code, sentence);
                free(sentence);
        }
}

/* And what was certainly not sent is never called lost: a create would wait for nothing. */
static void test_unsent_is_never_lost(void **state)
{
        for (int code = 1; code < 120; code++) {
                HttpFailure failure = {.code = (CURLcode)code};
                Transport transport;
                char *sentence = NULL;

                explain(&failure, &transport, &sentence);
                if (transport == TRANSPORT_LOST || transport == TRANSPORT_OK)
                        fail_msg("%d: %s", code, sentence);
                free(sentence);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_sentences),
                cmocka_unit_test(test_handshake),
                cmocka_unit_test(test_sent_is_never_unsent),
                cmocka_unit_test(test_unsent_is_never_lost),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
