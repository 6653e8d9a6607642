#include "agent/transfer.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "agent/base/time.h"
#include "agent/base/url.h"
#include "agent/http-failure.h"

/* A server that sends less for this long is as good as gone. Long enough for one that thinks before it answers: that
 * is the business of the request's own timeout. */
#define LOW_SPEED_BYTES 64L
#define LOW_SPEED_SEC   60L

/* How long curl may use the system's CAs as once parsed: parsing them takes about 30 ms of the loop's time. */
#define CA_CACHE_SEC 600L

/* A bundle larger than that is not one. */
#define CA_FILE_MAX (8 * 1024 * 1024)

/* Fails with -ENOMEM, or -EOPNOTSUPP for a curl that lacks what we can't do without. */
#define SET(transfer, option, value)                                                                                 \
        do {                                                                                                         \
                CURLcode _code = curl_easy_setopt((transfer)->easy, (option), (value));                              \
                if (_code != CURLE_OK)                                                                               \
                        return _code == CURLE_OUT_OF_MEMORY ? -ENOMEM : -EOPNOTSUPP;                                 \
        } while (0)

/* Methods that may be repeated (RFC 9110, 9.2.2), and the two POSTs that change nothing. All other POSTs create
 * something or replace a token; curl repeats by itself what a pooled connection died under. */
static bool request_is_repeatable(const Request *request)
{
        return strcmp(request->method, "POST") != 0 || request->call == CALL_VERIFY || request->call == CALL_PROBE;
}

/* To curl 0 means for ever, and beyond a long it means nothing. */
static uint64_t clamp_timeout(uint64_t usec)
{
        if (usec < USEC_PER_MSEC)
                return USEC_PER_MSEC;
        return usec > USEC_PER_DAY ? USEC_PER_DAY : usec;
}

static size_t on_header(char *data, size_t one, size_t size, void *userdata)
{
        Transfer *t = userdata;
        int r = reply_headers_take(&t->arriving, data, size);

        t->headers_too_large = r == -E2BIG;
        t->out_of_memory = r == -ENOMEM;
        return r < 0 ? 0 : size;
}

static size_t on_body(char *data, size_t one, size_t size, void *userdata)
{
        Transfer *t = userdata;

        if (size > t->body_max - secret_size(t->reply.body)) {
                t->body_too_large = true;
                return 0;
        }
        if (secret_append(t->reply.body, data, size) < 0) {
                t->out_of_memory = true;
                return 0;
        }
        return size;
}

#if LIBCURL_VERSION_NUM >= 0x075000
/* The connection stands and the request is about to leave. The only place where curl can be kept from sending what
 * must not be sent twice, for whatever reason it would. */
static int on_send(void *userdata, char *remote, char *local, int remote_port, int local_port)
{
        Transfer *t = userdata;

        if (t->n_sent > 0 && !t->repeatable)
                return CURL_PREREQFUNC_ABORT;
        t->n_sent++;
        return CURL_PREREQFUNC_OK;
}
#endif

static int add_header(Transfer *t, const char *line)
{
        struct curl_slist *headers = curl_slist_append(t->headers, line);

        if (!headers)
                return -ENOMEM;
        t->headers = headers;
        return 0;
}

static int add_token(Transfer *t, const char *name, const Secret *token)
{
        _cleanup_secret_ Secret *line = NULL;
        int r;

        if (!token)
                return 0;
        r = secret_new(name, strlen(name), &line);
        if (r < 0)
                return r;
        /* Sized first: a secret that grows leaves wiped, but needless, copies. */
        r = secret_reserve(line, strlen(name) + 2 + secret_size(token));
        if (r < 0)
                return r;
        (void)secret_append_string(line, ": ");
        (void)secret_append(line, secret_data(token), secret_size(token));
        return add_header(t, secret_data(line));
}

static int add_request_id(Transfer *t)
{
        unsigned char id[16];
        char line[64] = "X-Request-Id: ";
        size_t n = strlen(line);

        /* Never waits; without randomness yet, early at boot, the call just has no id. */
        if (getrandom(id, sizeof(id), GRND_NONBLOCK) != (ssize_t)sizeof(id))
                return 0;
        for (size_t i = 0; i < sizeof(id); i++)
                n += (size_t)snprintf(line + n, sizeof(line) - n, "%02x", id[i]);
        return add_header(t, line);
}

/* Just what was asked for: some sign what is sent. */
static int set_foreign_headers(Transfer *t, const Request *request)
{
        for (Secret **line = request->headers; line && *line; line++) {
                int r = add_header(t, secret_data(*line));
                if (r < 0)
                        return r;
        }
        int r = 0;
        if (t->body && request->content_type) {
                _cleanup_free_ char *line = NULL;

                if (asprintf(&line, "Content-Type: %s", request->content_type) < 0) {
                        line = NULL;
                        return -ENOMEM;
                }
                r = add_header(t, line);
        }
        if (r < 0)
                return r;
        SET(t, CURLOPT_HTTPHEADER, t->headers);
        SET(t, CURLOPT_USERAGENT, "runner-registrar");
        return 0;
}

/* Debian 11's curl lacks the signing; then AWS answers that it is missing. */
static int set_signature(Transfer *t, const Request *request)
{
        if (!request->signing_key)
                return 0;
#if LIBCURL_VERSION_NUM >= 0x074b00
        SET(t, CURLOPT_AWS_SIGV4, request->signing_scope);
        SET(t, CURLOPT_USERPWD, secret_data(request->signing_key));
        return 0;
#else
        return -EOPNOTSUPP;
#endif
}

static int set_headers(Transfer *t, const Request *request)
{
        if (request->foreign)
                return set_foreign_headers(t, request);
        int r = add_request_id(t);

        /* Without a value: removes what curl would send by itself. A server need not be asked before a kilobyte. */
        if (r >= 0)
                r = add_header(t, "Expect:");
        if (r >= 0)
                r = add_header(t, request->want_json ? "Accept: application/json" : "Accept:");
        if (r >= 0)
                r = add_header(
                        t, request_has_content_type(request) ? "Content-Type: application/json" : "Content-Type:");
        if (r >= 0)
                r = add_token(t, "PRIVATE-TOKEN", request->private_token);
        if (r >= 0)
                r = add_token(t, "RUNNER-TOKEN", request->runner_token);
        if (r < 0)
                return r;
        SET(t, CURLOPT_HTTPHEADER, t->headers);
        return 0;
}

static int set_method(Transfer *t, const Request *request)
{
        if (request->body) {
                int r = secret_copy(request->body, &t->body);
                if (r < 0)
                        return r;
        }
        if (t->body || strcmp(request->method, "POST") == 0) {
                SET(t, CURLOPT_POST, 1L);
                SET(t, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)secret_size(t->body));
                SET(t, CURLOPT_POSTFIELDS, secret_data(t->body));
        }
        SET(t, CURLOPT_CUSTOMREQUEST, request->method);
        return 0;
}

#if LIBCURL_VERSION_NUM >= 0x074d00
static int append_file(Secret *bytes, const char *path)
{
        char buffer[16384];
        ssize_t n;

        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0)
                return 0; /* the target's was looked at before; without the system's only the target's counts */
        while ((n = read(fd, buffer, sizeof(buffer))) > 0) {
                if (secret_size(bytes) > CA_FILE_MAX)
                        return -EOPNOTSUPP;
                int r = secret_append(bytes, buffer, (size_t)n);
                if (r < 0)
                        return r;
        }
        return secret_append_string(bytes, "\n");
}
#endif

/* For systems that keep their CAs in one file only: curl takes but one, so both become one. */
static int set_trust_in_one(Transfer *t, const char *ca_file, const char *ca_bundle)
{
#if LIBCURL_VERSION_NUM >= 0x074d00
        if (ca_bundle) {
                _cleanup_secret_ Secret *both = NULL;

                int r = secret_new(NULL, 0, &both);
                if (r >= 0)
                        r = append_file(both, ca_file);
                if (r >= 0)
                        r = append_file(both, ca_bundle);
                if (r < 0)
                        return r;
                struct curl_blob blob = {
                        .data = secret_buffer(both),
                        .len = secret_size(both),
                        .flags = CURL_BLOB_COPY,
                };
                SET(t, CURLOPT_CAINFO_BLOB, &blob);
                (void)curl_easy_setopt(t->easy, CURLOPT_PROXY_CAINFO_BLOB, &blob);
                return 0;
        }
#endif
        SET(t, CURLOPT_CAINFO, ca_file);
        (void)curl_easy_setopt(t->easy, CURLOPT_PROXY_CAINFO, ca_file);
        return 0;
}

/* What is trusted: the system's CAs and, besides, the target's. */
static int set_trust(Transfer *t, const TransferCommon *common)
{
        const char *ca_file = t->target.tls_ca_file && *t->target.tls_ca_file ? t->target.tls_ca_file : NULL;

        SET(t, CURLOPT_SSL_VERIFYPEER, 1L);
        SET(t, CURLOPT_SSL_VERIFYHOST, 2L);
        SET(t, CURLOPT_PROXY_SSL_VERIFYPEER, 1L);
        SET(t, CURLOPT_PROXY_SSL_VERIFYHOST, 2L);
        SET(t, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
        if (ca_file && common->ca_folder) {
                /* OpenSSL looks up the folder only for what the file does not hold. */
                SET(t, CURLOPT_CAINFO, ca_file);
                SET(t, CURLOPT_CAPATH, common->ca_folder);
                (void)curl_easy_setopt(t->easy, CURLOPT_PROXY_CAINFO, ca_file);
                (void)curl_easy_setopt(t->easy, CURLOPT_PROXY_CAPATH, common->ca_folder);
        } else if (ca_file) {
                int r = set_trust_in_one(t, ca_file, common->ca_bundle);
                if (r < 0)
                        return r;
        } else if (common->ca_bundle) {
                /* Without a folder beside it, as only then curl keeps the parsed bundle. */
                SET(t, CURLOPT_CAINFO, common->ca_bundle);
                SET(t, CURLOPT_CAPATH, NULL);
#if LIBCURL_VERSION_NUM >= 0x075700
                (void)curl_easy_setopt(t->easy, CURLOPT_CA_CACHE_TIMEOUT, CA_CACHE_SEC);
#endif
        } else if (common->ca_folder) {
                SET(t, CURLOPT_CAINFO, NULL);
                SET(t, CURLOPT_CAPATH, common->ca_folder);
        }
        if (t->target.tls_cert_file)
                SET(t, CURLOPT_SSLCERT, t->target.tls_cert_file);
        if (t->target.tls_key_file)
                SET(t, CURLOPT_SSLKEY, t->target.tls_key_file);
        /* Without one OpenSSL would ask for an encrypted key's passphrase on the terminal, and wait. */
        SET(t, CURLOPT_KEYPASSWD, "");
        return 0;
}

static int set_connection(Transfer *t)
{
        uint64_t connect_usec =
                t->timeout_usec < TRANSFER_CONNECT_TIMEOUT_USEC ? t->timeout_usec : TRANSFER_CONNECT_TIMEOUT_USEC;

        if (t->repeatable)
                SET(t, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
        else {
                /* curl sends again what a pooled connection, or an HTTP/2 server that goes away, did not take. On a
                 * new connection with HTTP/1.1 it has no such reason. */
                SET(t, CURLOPT_FRESH_CONNECT, 1L);
                SET(t, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
        }
#if LIBCURL_VERSION_NUM >= 0x075500
        SET(t, CURLOPT_PROTOCOLS_STR, "http,https");
#else
        SET(t, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
#if LIBCURL_VERSION_NUM >= 0x075700
        /* Else curl joins its resolver thread when a transfer ends, for as long as the name server is silent. */
        SET(t, CURLOPT_QUICK_EXIT, 1L);
#endif
        SET(t, CURLOPT_NOSIGNAL, 1L);
        SET(t, CURLOPT_FOLLOWLOCATION, 0L);
        SET(t, CURLOPT_TCP_KEEPALIVE, 1L);
        SET(t, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
        SET(t, CURLOPT_CONNECTTIMEOUT_MS, (long)(connect_usec / USEC_PER_MSEC));
        SET(t, CURLOPT_TIMEOUT_MS, (long)(t->timeout_usec / USEC_PER_MSEC));
        SET(t, CURLOPT_LOW_SPEED_LIMIT, LOW_SPEED_BYTES);
        SET(t, CURLOPT_LOW_SPEED_TIME, LOW_SPEED_SEC);
        if (t->target.proxy) {
                SET(t, CURLOPT_PROXY, t->target.proxy);
                /* What is configured counts, whatever no_proxy says. */
                SET(t, CURLOPT_NOPROXY, "");
        }
        return 0;
}

static int set_callbacks(Transfer *t, const TransferCommon *common)
{
        SET(t, CURLOPT_PRIVATE, t);
        SET(t, CURLOPT_ERRORBUFFER, t->error);
        SET(t, CURLOPT_USERAGENT, common->user_agent);
        SET(t, CURLOPT_HEADERFUNCTION, on_header);
        SET(t, CURLOPT_HEADERDATA, t);
        SET(t, CURLOPT_WRITEFUNCTION, on_body);
        SET(t, CURLOPT_WRITEDATA, t);
#if LIBCURL_VERSION_NUM >= 0x075000
        SET(t, CURLOPT_PREREQFUNCTION, on_send);
        SET(t, CURLOPT_PREREQDATA, t);
#endif
        return 0;
}

/* "host:port" of an url that libcurl can read, for messages and for counting connections; else NULL. */
static int url_place(const char *url, char **ret)
{
        char *host = NULL, *port = NULL;
        int r = 0;

        *ret = NULL;
        CURLU *parsed = curl_url();
        if (!parsed)
                return -ENOMEM;
        CURLUcode code = curl_url_set(parsed, CURLUPART_URL, url, 0);
        if (code == CURLUE_OK)
                code = curl_url_get(parsed, CURLUPART_HOST, &host, 0);
        if (code == CURLUE_OK)
                code = curl_url_get(parsed, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
        if (code == CURLUE_OUT_OF_MEMORY || (code == CURLUE_OK && asprintf(ret, "%s:%s", host, port) < 0)) {
                *ret = NULL;
                r = -ENOMEM;
        }
        curl_free(host);
        curl_free(port);
        curl_url_cleanup(parsed);
        return r;
}

static int set_url(Transfer *t, const Request *request, char **ret_place)
{
        _cleanup_free_ char *base = NULL, *url = NULL;

        int r = url_join(t->target.url, request->base ? request->base : REQUEST_BASE, &base);
        if (r < 0)
                return r == -EINVAL ? -EDESTADDRREQ : r;
        if (asprintf(&url, "%s%s", base, request->path) < 0) {
                url = NULL;
                return -ENOMEM;
        }
        r = url_place(url, ret_place);
        if (r < 0)
                return r;
        if (!*ret_place)
                return -EDESTADDRREQ;
        SET(t, CURLOPT_URL, url);
        return 0;
}

/* A line break in a token would begin another header. Upstream such tokens are refused with better words. */
static bool token_is_sendable(const Secret *token)
{
        const char *data = secret_data(token);

        for (size_t i = 0; i < secret_size(token); i++)
                if (data[i] <= ' ' || data[i] > '~')
                        return false;
        return true;
}

static int set_failure(Transfer *t, Transport transport, const char *sentence)
{
        t->state = TRANSFER_FAILED;
        t->reply.transport = transport;
        if (!t->reply.error && sentence)
                t->reply.error = strdup(sentence);
        return t->reply.error ? 0 : -ENOMEM;
}

static int set_all(Transfer *t, const TransferCommon *common, const Request *request, char **ret_place)
{
        int r = set_url(t, request, ret_place);

        if (r >= 0)
                r = set_callbacks(t, common);
        if (r >= 0)
                r = set_connection(t);
        if (r >= 0)
                r = set_trust(t, common);
        if (r >= 0)
                r = set_method(t, request);
        if (r >= 0)
                r = set_headers(t, request);
        if (r >= 0)
                r = set_signature(t, request);
        return r;
}

int transfer_new(
        const TransferCommon *common, const Target *target, const Request *request, Transfer **ret, char **ret_place)
{
        _cleanup_free_ char *place = NULL;
        _cleanup_(transfer_freep) Transfer *t = calloc(1, sizeof(*t));

        if (!t)
                return -ENOMEM;
        t->timeout_usec = clamp_timeout(request->timeout_usec);
        t->body_max = request->body_max > 0 ? request->body_max : REPLY_BODY_MAX;
        t->repeatable = request_is_repeatable(request);
        t->arriving.reply = &t->reply;
        t->easy = curl_easy_init();
        if (!t->easy || target_copy(&t->target, target) < 0 || secret_new(NULL, 0, &t->reply.body) < 0)
                return -ENOMEM;

        int r = http_check_files(&t->target, &t->reply.error);
        if (r < 0)
                return r;
        if (t->reply.error)
                r = set_failure(t, TRANSPORT_TLS, NULL);
        else if (!token_is_sendable(request->private_token) || !token_is_sendable(request->runner_token))
                r = set_failure(t, TRANSPORT_BAD_URL, "The token holds characters that no header can carry");
        else {
                r = set_all(t, common, request, &place);
                if (r == -EDESTADDRREQ)
                        r = set_failure(t, TRANSPORT_BAD_URL, "The url is not one of a GitLab server");
                else if (r == -EOPNOTSUPP)
                        r = set_failure(t, TRANSPORT_BAD_URL, "This libcurl lacks an option that is needed");
        }
        if (r < 0)
                return r;

        *ret = take_ptr(t);
        *ret_place = take_ptr(place);
        return 0;
}

Transfer *transfer_free(Transfer *t)
{
        if (!t)
                return NULL;
        curl_easy_cleanup(t->easy);
        for (struct curl_slist *line = t->headers; line; line = line->next)
                explicit_bzero(line->data, strlen(line->data));
        curl_slist_free_all(t->headers);
        (void)sd_event_source_disable_unref(t->queue_source);
        target_done(&t->target);
        (void)secret_free(t->body);
        reply_done(&t->reply);
        free(t);
        return NULL;
}

static long get_long(CURL *easy, CURLINFO info)
{
        long value = 0;

        return curl_easy_getinfo(easy, info, &value) == CURLE_OK ? value : 0;
}

static bool get_time_is_set(CURL *easy, CURLINFO info)
{
        curl_off_t value = 0;

        return curl_easy_getinfo(easy, info, &value) == CURLE_OK && value > 0;
}

/* Not by CURLINFO_CONNECT_TIME, which counts the TLS handshake in. */
static bool has_peer(CURL *easy)
{
        const char *address = NULL;

        return curl_easy_getinfo(easy, CURLINFO_PRIMARY_IP, &address) == CURLE_OK && address && *address;
}

static bool was_sent(const Transfer *t)
{
#if LIBCURL_VERSION_NUM >= 0x075000
        return t->n_sent > 0;
#else
        /* Also set by a request that curl gave up and began anew, so it errs on the safe side. */
        return get_time_is_set(t->easy, CURLINFO_PRETRANSFER_TIME_T);
#endif
}

int transfer_finish(Transfer *t, CURLcode code, const char *place)
{
        if (code == CURLE_OK) {
                t->reply.transport = TRANSPORT_OK;
                t->reply.status = (unsigned)get_long(t->easy, CURLINFO_RESPONSE_CODE);
                return 0;
        }

        long verify = get_long(t->easy, CURLINFO_SSL_VERIFYRESULT);
        long proxy_verify = get_long(t->easy, CURLINFO_PROXY_SSL_VERIFYRESULT);
        HttpFailure failure = {
                .code = t->out_of_memory ? CURLE_OUT_OF_MEMORY : code,
                .sent = was_sent(t),
                .body_too_large = t->body_too_large,
                .body_max = t->body_max,
                .headers_too_large = t->headers_too_large,
                .headers_begun = t->arriving.bytes > 0 && !t->out_of_memory,
                .resolved = get_time_is_set(t->easy, CURLINFO_NAMELOOKUP_TIME_T),
                .connected = has_peer(t->easy),
                .os_errno = get_long(t->easy, CURLINFO_OS_ERRNO),
                .verify_result = proxy_verify ? proxy_verify : verify,
                .verify_proxy = proxy_verify != 0,
                .connect_status = get_long(t->easy, CURLINFO_HTTP_CONNECTCODE),
                .place = place,
                .detail = t->error,
                .target = &t->target,
                .timeout_usec = t->timeout_usec,
                .connect_timeout_usec = TRANSFER_CONNECT_TIMEOUT_USEC,
        };

        /* Half an answer is none: nobody shall mistake its parts for one. */
        reply_done(&t->reply);
        t->reply = (Reply){0};
        return http_failure_explain(&failure, &t->reply.transport, &t->reply.error);
}
