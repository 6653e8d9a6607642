#include "agent/http-failure.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/x509_vfy.h>

#include "agent/base/time.h"

/* As much of curl's and OpenSSL's own words as a log line bears. */
#define DETAIL_MAX 200

static int say(Transport transport, Transport *ret, char **ret_sentence, const char *format, ...) _printf_(4, 5);

static int say(Transport transport, Transport *ret, char **ret_sentence, const char *format, ...)
{
        va_list args;
        char *sentence;

        va_start(args, format);
        int n = vasprintf(&sentence, format, args);
        va_end(args);
        if (n < 0)
                return -ENOMEM;
        *ret = transport;
        *ret_sentence = sentence;
        return 0;
}

/* Copies curl's words as one plain line. Only used for codes whose texts curl and OpenSSL make up themselves: others
 * quote the proxy's url with its password, or bytes of the server. */
static const char *clean_detail(const char *detail, CURLcode code, char buffer[static DETAIL_MAX + 1])
{
        if (!detail || !*detail)
                detail = curl_easy_strerror(code);

        size_t n = 0;
        for (; detail[n] && n < DETAIL_MAX; n++)
                buffer[n] = detail[n] >= ' ' && detail[n] <= '~' ? detail[n] : ' ';
        while (n > 0 && (buffer[n - 1] == ' ' || buffer[n - 1] == '.'))
                n--;
        buffer[n] = 0;
        return buffer;
}

static bool contains(const char *text, const char *part)
{
        return text && strstr(text, part);
}

static const char *errno_text(long error, char *buffer, size_t size)
{
        /* strerror()'s words start with a capital; ours stand inside a sentence. */
        const char *text = strerror_r((int)error, buffer, size);
        if (text != buffer)
                (void)snprintf(buffer, size, "%s", text);
        if (buffer[0] >= 'A' && buffer[0] <= 'Z')
                buffer[0] = (char)(buffer[0] - 'A' + 'a');
        return buffer;
}

static int explain_connect(const HttpFailure *f, Transport *ret, char **ret_sentence)
{
        char buffer[DETAIL_MAX + 1];

        if (f->connect_status != 0 && f->connect_status != 200)
                return say(TRANSPORT_NOT_SENT, ret, ret_sentence, "The proxy refused the way to %s: HTTP %ld",
                        f->place, f->connect_status);
        if (f->os_errno != 0)
                return say(TRANSPORT_NOT_SENT, ret, ret_sentence, "Failed to connect to %s%s: %s", f->place,
                        f->target->proxy && *f->target->proxy ? " through the proxy" : "",
                        errno_text(f->os_errno, buffer, sizeof(buffer)));
        return say(TRANSPORT_NOT_SENT, ret, ret_sentence, "Failed to connect to %s%s", f->place,
                f->target->proxy && *f->target->proxy ? " through the proxy" : "");
}

static int explain_timeout(const HttpFailure *f, Transport *ret, char **ret_sentence)
{
        char span[TIME_SPAN_MAX];

        if (f->sent)
                return say(TRANSPORT_LOST, ret, ret_sentence, "%s gave no %sanswer within %s", f->place,
                        f->headers_begun ? "complete " : "", time_format_span(f->timeout_usec, span));

        uint64_t limit = f->connect_timeout_usec < f->timeout_usec ? f->connect_timeout_usec : f->timeout_usec;
        (void)time_format_span(limit, span);
        if (!f->resolved)
                return say(TRANSPORT_NOT_SENT, ret, ret_sentence,
                        "Failed to connect to %s: no name server answered within %s", f->place, span);
        if (!f->connected)
                return say(TRANSPORT_NOT_SENT, ret, ret_sentence, "Failed to connect to %s: no answer within %s",
                        f->place, span);
        return say(TRANSPORT_NOT_SENT, ret, ret_sentence,
                "Failed to connect to %s: the TLS handshake took longer than %s", f->place, span);
}

/* What to do about a chain that ends at nobody we know. */
static int explain_untrusted(const HttpFailure *f, Transport *ret, char **ret_sentence)
{
        const char *reason = X509_verify_cert_error_string(f->verify_result);
        const char *whose = f->verify_proxy ? "the proxy before " : "";

        if (f->target->tls_ca_file)
                return say(TRANSPORT_TLS, ret, ret_sentence,
                        "The certificate of %s%s is not trusted: %s; tls_ca_file '%s' does not vouch for it", whose,
                        f->place, reason, f->target->tls_ca_file);
        return say(TRANSPORT_TLS, ret, ret_sentence,
                "The certificate of %s%s is not trusted: %s; set tls_ca_file if it is of a private CA", whose,
                f->place, reason);
}

static int explain_certificate(const HttpFailure *f, Transport *ret, char **ret_sentence)
{
        const char *whose = f->verify_proxy ? "the proxy before " : "";
        char buffer[DETAIL_MAX + 1];

        switch (f->verify_result) {
        case X509_V_OK:
        case X509_V_ERR_UNSPECIFIED: /* curl's first value, where the chain was not what it stumbled over */
                /* The chain is fine, so it was curl itself that refused: the name, but for rare other reasons. */
                if (contains(f->detail, "subject name") || contains(f->detail, "matches"))
                        return say(TRANSPORT_TLS, ret, ret_sentence, "The certificate of %s%s is for another name",
                                whose, f->place);
                return say(TRANSPORT_TLS, ret, ret_sentence, "The certificate of %s%s was refused: %s", whose,
                        f->place, clean_detail(f->detail, f->code, buffer));
        case X509_V_ERR_HOSTNAME_MISMATCH:
        case X509_V_ERR_IP_ADDRESS_MISMATCH:
                return say(TRANSPORT_TLS, ret, ret_sentence, "The certificate of %s%s is for another name", whose,
                        f->place);
        case X509_V_ERR_CERT_HAS_EXPIRED:
                return say(TRANSPORT_TLS, ret, ret_sentence, "The certificate of %s%s has expired", whose, f->place);
        case X509_V_ERR_CERT_NOT_YET_VALID:
                return say(TRANSPORT_TLS, ret, ret_sentence,
                        "The certificate of %s%s is not valid yet; is the clock of this host right?", whose,
                        f->place);
        default:
                return explain_untrusted(f, ret, ret_sentence);
        }
}

static int explain_handshake(const HttpFailure *f, Transport *ret, char **ret_sentence)
{
        char buffer[DETAIL_MAX + 1];

        /* A connection that is closed or reset under the handshake says nothing about certificates: GitLab restarts,
         * or the balancer before it has no server left. curl's texts tell the two apart, its code does not. */
        if (contains(f->detail, "SSL_connect: ") || contains(f->detail, "unexpected eof") ||
                contains(f->detail, "Recv failure") || contains(f->detail, "Send failure"))
                return say(TRANSPORT_NOT_SENT, ret, ret_sentence, "%s closed the connection during the TLS handshake",
                        f->place);
        if (contains(f->detail, "wrong version number"))
                return say(TRANSPORT_TLS, ret, ret_sentence, "%s does not speak TLS; is the url or the port wrong?",
                        f->place);
        return say(TRANSPORT_TLS, ret, ret_sentence, "The TLS handshake with %s failed: %s", f->place,
                clean_detail(f->detail, f->code, buffer));
}

/* With TLS 1.3 a server's refusal of our certificate comes after we began to send. It ends the handshake all the
 * same: the server's application has seen nothing. */
static bool is_client_certificate_refused(const HttpFailure *f)
{
        return (f->code == CURLE_RECV_ERROR || f->code == CURLE_SEND_ERROR || f->code == CURLE_SSL_CONNECT_ERROR) &&
               contains(f->detail, " alert ") &&
               (contains(f->detail, "certificate") || contains(f->detail, "unknown ca")) && !f->headers_begun;
}

static int explain_files(const HttpFailure *f, Transport *ret, char **ret_sentence)
{
        const char *certificate = f->target->tls_cert_file ? f->target->tls_cert_file : "";

        if (f->code == CURLE_SSL_CERTPROBLEM && f->target->tls_key_file)
                return say(TRANSPORT_TLS, ret, ret_sentence,
                        "tls_cert_file '%s' with tls_key_file '%s' can't be used: both must be PEM, belong to each "
                        "other and need no passphrase",
                        certificate, f->target->tls_key_file);
        if (f->code == CURLE_SSL_CERTPROBLEM)
                return say(TRANSPORT_TLS, ret, ret_sentence,
                        "tls_cert_file '%s' can't be used: it must be PEM, hold its key and need no passphrase",
                        certificate);
        if (f->target->tls_ca_file)
                return say(TRANSPORT_TLS, ret, ret_sentence,
                        "tls_ca_file '%s' can't be read or holds no certificate in PEM form", f->target->tls_ca_file);
        return say(TRANSPORT_TLS, ret, ret_sentence,
                "The system's CA certificates can't be read; is the package ca-certificates installed?");
}

/* Codes for which the moment decides: before the request left they are harmless, after it the answer is lost. */
static int explain_broken(const HttpFailure *f, Transport *ret, char **ret_sentence)
{
        char buffer[DETAIL_MAX + 1];

        if (!f->sent)
                return explain_connect(f, ret, ret_sentence);

        switch (f->code) {
        case CURLE_GOT_NOTHING:
        case CURLE_ABORTED_BY_CALLBACK:
                return say(TRANSPORT_LOST, ret, ret_sentence, "%s closed the connection without an answer", f->place);
        case CURLE_PARTIAL_FILE:
                return say(TRANSPORT_LOST, ret, ret_sentence, "The answer of %s was cut off", f->place);
        case CURLE_UNSUPPORTED_PROTOCOL:
        case CURLE_WEIRD_SERVER_REPLY:
                return say(TRANSPORT_LOST, ret, ret_sentence, "What %s answered is not HTTP", f->place);
        case CURLE_RECV_ERROR:
        case CURLE_SEND_ERROR:
        case CURLE_HTTP2:
        case CURLE_HTTP2_STREAM:
                return say(TRANSPORT_LOST, ret, ret_sentence,
                        "The connection to %s broke before its answer was complete: %s", f->place,
                        clean_detail(f->detail, f->code, buffer));
        default:
                return say(TRANSPORT_LOST, ret, ret_sentence, "The exchange with %s failed: %s", f->place,
                        curl_easy_strerror(f->code));
        }
}

/* What is known whatever curl's code says, which may be one of many then. False: nothing. */
static bool explain_known(const HttpFailure *f, Transport *ret, char **ret_sentence, int *ret_error)
{
        int r;

        if (f->body_too_large)
                r = say(TRANSPORT_TOO_LARGE, ret, ret_sentence, "The answer of %s is larger than %zu bytes", f->place,
                        f->body_max > 0 ? f->body_max : (size_t)REPLY_BODY_MAX);
        /* Of one endless header line curl hands nothing over; it ends with its own bound, as if memory ran out. */
        else if (f->headers_too_large || (f->code == CURLE_OUT_OF_MEMORY && f->headers_begun))
                r = say(TRANSPORT_TOO_LARGE, ret, ret_sentence, "The headers of %s's answer are larger than %d bytes",
                        f->place, REPLY_HEADER_MAX);
        else if (is_client_certificate_refused(f) && f->target->tls_cert_file)
                r = say(TRANSPORT_TLS, ret, ret_sentence, "%s refused the certificate of tls_cert_file '%s'",
                        f->place, f->target->tls_cert_file);
        else if (is_client_certificate_refused(f))
                r = say(TRANSPORT_TLS, ret, ret_sentence,
                        "%s wants a client certificate; set tls_cert_file and tls_key_file", f->place);
        else
                return false;
        *ret_error = r;
        return true;
}

int http_failure_explain(const HttpFailure *f, Transport *ret, char **ret_sentence)
{
        int r;

        if (explain_known(f, ret, ret_sentence, &r))
                return r;
        switch (f->code) {
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_ISSUER_ERROR:
        case CURLE_SSL_INVALIDCERTSTATUS:
        case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
                return explain_certificate(f, ret, ret_sentence);
        case CURLE_SSL_CONNECT_ERROR:
                return f->sent ? explain_broken(f, ret, ret_sentence) : explain_handshake(f, ret, ret_sentence);
        case CURLE_SSL_CERTPROBLEM:
        case CURLE_SSL_CACERT_BADFILE:
                return explain_files(f, ret, ret_sentence);
        case CURLE_SSL_CIPHER:
        case CURLE_USE_SSL_FAILED:
        case CURLE_SSL_ENGINE_NOTFOUND:
        case CURLE_SSL_ENGINE_SETFAILED:
        case CURLE_SSL_ENGINE_INITFAILED:
        case CURLE_SSL_CRL_BADFILE:
                return say(f->sent ? TRANSPORT_LOST : TRANSPORT_TLS, ret, ret_sentence, "TLS with %s failed: %s",
                        f->place, curl_easy_strerror(f->code));
        case CURLE_URL_MALFORMAT:
        case CURLE_NOT_BUILT_IN:
        case CURLE_UNKNOWN_OPTION:
        case CURLE_BAD_FUNCTION_ARGUMENT:
                if (!f->sent)
                        return say(TRANSPORT_BAD_URL, ret, ret_sentence, "libcurl can't use the url or the proxy: %s",
                                curl_easy_strerror(f->code));
                return explain_broken(f, ret, ret_sentence);
        case CURLE_UNSUPPORTED_PROTOCOL:
                if (!f->sent)
                        return say(TRANSPORT_BAD_URL, ret, ret_sentence, "libcurl can't use the url of %s", f->place);
                return explain_broken(f, ret, ret_sentence);
        case CURLE_COULDNT_RESOLVE_PROXY:
                return say(f->sent ? TRANSPORT_LOST : TRANSPORT_NOT_SENT, ret, ret_sentence,
                        "Failed to connect to %s: the name of the proxy can't be resolved", f->place);
        case CURLE_COULDNT_RESOLVE_HOST:
                return say(f->sent ? TRANSPORT_LOST : TRANSPORT_NOT_SENT, ret, ret_sentence,
                        "Failed to connect to %s: the name can't be resolved", f->place);
        case CURLE_OPERATION_TIMEDOUT:
                if (f->sent && contains(f->detail, "too slow"))
                        return say(TRANSPORT_LOST, ret, ret_sentence, "%s all but stopped answering", f->place);
                return explain_timeout(f, ret, ret_sentence);
        case CURLE_OUT_OF_MEMORY:
                return say(f->sent ? TRANSPORT_LOST : TRANSPORT_NOT_SENT, ret, ret_sentence,
                        "The exchange with %s failed: out of memory", f->place);
        default:
                return explain_broken(f, ret, ret_sentence);
        }
}

/* Opened only to see that it can be, and to refuse what curl would block on, such as a FIFO. */
static int check_file(const char *path, const char *setting, char **ret_sentence)
{
        char buffer[DETAIL_MAX + 1];
        struct stat st;
        int error = 0;

        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0 || fstat(fd, &st) < 0)
                error = errno;
        else if (S_ISREG(st.st_mode))
                return 0;
        else
                error = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;

        if (asprintf(ret_sentence, "Failed to open %s '%s': %s", setting, path,
                    error == EINVAL ? "not a plain file" : errno_text(error, buffer, sizeof(buffer))) < 0)
                return -ENOMEM;
        return 0;
}

int http_check_files(const Target *target, char **ret_sentence)
{
        const struct {
                const char *path, *setting;
        } files[] = {
                {target->tls_ca_file, "tls_ca_file"},
                {target->tls_cert_file, "tls_cert_file"},
                {target->tls_key_file, "tls_key_file"},
        };

        *ret_sentence = NULL;
        for (size_t i = 0; i < ELEMENTS(files) && !*ret_sentence; i++) {
                if (!files[i].path || !*files[i].path)
                        continue;
                int r = check_file(files[i].path, files[i].setting, ret_sentence);
                if (r < 0)
                        return r;
        }
        return 0;
}
