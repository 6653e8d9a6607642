/* A reply of a GitLab, or of whatever answers in its place, to every call: unknown never kills, and no message holds
 * what a terminal obeys, or the token that came. */

#include "agent/core/verdict.h"
#include "tests/fuzz/fuzz.h"

static void check(Call call, const Reply *reply, const Judgement *judgement)
{
        HOLDS(judgement->verdict >= 0 && judgement->verdict < _VERDICT_MAX);
        HOLDS(judgement->wait_usec <= VERDICT_WAIT_MAX_USEC);
        if (judgement->verdict == VERDICT_DEAD) {
                bool by_id = call == CALL_RESET_BY_ID || call == CALL_DELETE_BY_ID || call == CALL_SHOW;

                HOLDS(reply->status == (by_id ? 404 : 403));
                HOLDS(call != CALL_REGISTER && call != CALL_CREATE && call != CALL_PROBE && call != CALL_LIST);
        }
        if (judgement->verdict == VERDICT_ALIVE)
                HOLDS((reply->status >= 200 && reply->status < 300) || call == CALL_PROBE ||
                        call == CALL_DELETE_MANAGER || call == CALL_DELETE_BY_ID);
        if (judgement->message) {
                const Secret *token = judgement->identity.token;

                HOLDS(strlen(judgement->message) <= ERROR_TEXT_MAX + 100);
                fuzz_holds_no_control(judgement->message);
                if (secret_size(token) >= 16)
                        HOLDS(!strstr(judgement->message, secret_data(token)));
        }
        for (size_t i = 0; i < judgement->n_ids; i++)
                HOLDS(judgement->ids[i] > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const unsigned statuses[] = {
                200, 201, 204, 302, 400, 401, 403, 404, 405, 409, 410, 422, 429, 500, 502, 503};
        static const char *const types[] = {"application/json", "text/plain", "text/html", NULL};
        const Now now = {1787392800 * USEC_PER_SEC, USEC_PER_DAY};
        /* Of one call, which is quicker to search, or of all. */
        uint8_t how = fuzz_take(&data, &size), which = fuzz_take(&data, &size);
        Reply reply = {.transport = TRANSPORT_OK,
                .status = statuses[how % ELEMENTS(statuses)],
                .content_type = (char *)types[(how >> 4) % ELEMENTS(types)]};
        _cleanup_free_ char *message = NULL;

        reply.body = fuzz_secret(data, size);
        for (Call call = 0; call < _CALL_MAX; call++) {
                Judgement judgement = {0};

                if (which < _CALL_MAX && which != (uint8_t)call)
                        continue;
                HOLDS(verdict_judge(call, &reply, now, &judgement) == 0);
                check(call, &reply, &judgement);
                judgement_done(&judgement);
        }
        HOLDS(error_flatten((const char *)data, size, &message) == 0);
        HOLDS(!message || strlen(message) <= ERROR_TEXT_MAX);
        fuzz_holds_no_control(message);
        (void)secret_free(reply.body);
        return 0;
}
