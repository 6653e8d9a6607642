#include "agent/host/aws-token.h"

#include <string.h>

#include "agent/base/time.h"
#include "agent/host/poller.h"

/* The longest that AWS gives. */
#define LIFE_HEADER "X-aws-ec2-metadata-token-ttl-seconds: 21600"
#define LIFE_USEC   (6 * USEC_PER_HOUR)

/* Renewed so long before its end. */
#define RENEW_USEC (30 * USEC_PER_MINUTE)

struct AwsToken {
        AwsTokenHandlers handlers;
        Poller *poller;
        Secret *line; /* the header; NULL: none yet */
        uint64_t until_usec;
        bool wanted;
};

static uint64_t boottime(void)
{
        Now now;

        now_read(&now);
        return now.boottime_usec;
}

static int build(void *userdata, Request *ret, PollerTurn *ret_turn)
{
        AwsToken *token = userdata;

        if (!token->wanted) {
                *ret_turn = POLLER_SKIP;
                return 0;
        }
        return metadata_request("PUT", "latest/api/token", LIFE_HEADER, METADATA_TIMEOUT_USEC, ret);
}

static bool is_header_value(const Secret *secret)
{
        const char *data = secret_data(secret);

        for (size_t i = 0; i < secret_size(secret); i++)
                if (data[i] <= ' ' || data[i] > '~')
                        return false;
        return secret_size(secret) > 0 && secret_size(secret) < 4096;
}

static int keep(AwsToken *token, Secret *value)
{
        _cleanup_secret_ Secret *line = NULL;
        int r = secret_new(NULL, 0, &line);

        if (r >= 0)
                r = secret_reserve(line, secret_size(value) + 32);
        if (r >= 0)
                r = secret_append_string(line, "X-aws-ec2-metadata-token: ");
        if (r >= 0)
                r = secret_append(line, secret_data(value), secret_size(value));
        if (r < 0)
                return r;
        (void)secret_free(token->line);
        token->line = take_ptr(line);
        return 0;
}

static bool take(void *userdata, Reply *reply)
{
        AwsToken *token = userdata;
        /* Without an answer there is no body either. */
        bool answered = reply->transport == TRANSPORT_OK && reply->status == 200;

        if (answered)
                secret_trim(reply->body);
        if (!answered || !is_header_value(reply->body) || keep(token, reply->body) < 0) {
                token->handlers.failed(token->handlers.userdata, reply);
                return false;
        }
        token->until_usec = boottime() + LIFE_USEC - RENEW_USEC;
        token->wanted = false;
        token->handlers.ready(token->handlers.userdata);
        return true;
}

int aws_token_new(sd_event *event, Http *http, const char *endpoint, const AwsTokenHandlers *handlers, AwsToken **ret)
{
        _cleanup_(aws_token_freep) AwsToken *token = calloc(1, sizeof(*token));

        if (!token)
                return -ENOMEM;
        token->handlers = *handlers;
        token->wanted = true;
        const PollerSpec spec = {.endpoint = endpoint, .build = build, .take = take, .userdata = token};
        int r = poller_new(event, http, &spec, &token->poller);
        if (r < 0)
                return r;
        *ret = take_ptr(token);
        return 0;
}

AwsToken *aws_token_free(AwsToken *token)
{
        if (!token)
                return NULL;
        (void)poller_free(token->poller);
        (void)secret_free(token->line);
        free(token);
        return NULL;
}

static void want(AwsToken *token)
{
        if (token->wanted)
                return;
        token->wanted = true;
        poller_kick(token->poller);
}

int aws_token_request(AwsToken *token, const char *path, Request *ret)
{
        Secret *line = NULL;

        if (!token->line) {
                want(token);
                return -EAGAIN;
        }
        /* The old one works until the new one is there. */
        if (boottime() >= token->until_usec)
                want(token);
        int r = metadata_request("GET", path, NULL, METADATA_TIMEOUT_USEC, ret);
        if (r >= 0)
                r = secret_copy(token->line, &line);
        return r < 0 ? r : request_add_header(ret, line);
}

void aws_token_refused(AwsToken *token)
{
        token->line = secret_free(token->line);
        want(token);
}
