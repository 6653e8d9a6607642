#include "agent/order.h"

#include <stdio.h>
#include <string.h>

#include "agent/core/exit-code.h"
#include "config/value.h"

struct Order {
        Command command;
        bool drain;
        uint64_t timeout_usec;
        char *note;
        OrderResult *results;
        bool *answered;
        size_t n; /* sorted by name */
        size_t n_answered;
        size_t n_gone;    /* taken away before they answered */
        size_t n_runners; /* of the roster when they were counted */
        OrderDone done;
        void *userdata;
};

static int add(Order *order, const char *name)
{
        char *copy = strdup(name);
        if (!copy)
                return -ENOMEM;
        order->results[order->n++].name = copy;
        return 0;
}

static int compare_results(const void *a, const void *b)
{
        return strcmp(((const OrderResult *)a)->name, ((const OrderResult *)b)->name);
}

/* By name, each once. */
static void sort_results(Order *order)
{
        size_t kept = 0;

        qsort(order->results, order->n, sizeof(*order->results), compare_results);
        for (size_t i = 0; i < order->n; i++)
                if (kept > 0 && strcmp(order->results[kept - 1].name, order->results[i].name) == 0)
                        free(order->results[i].name);
                else
                        order->results[kept++] = order->results[i];
        order->n = kept;
}

int order_new(
        const Roster *roster, const OrderRequest *request, OrderDone done, void *userdata, Order **ret, char **reterr)
{
        _cleanup_(order_freep) Order *order = calloc(1, sizeof(*order));
        char *const *names = request->names;
        bool all = !names || !names[0];
        size_t n = roster_size(roster);

        for (size_t i = 0; !all && names[i]; i++)
                n++;
        if (!order)
                return -ENOMEM;
        order->results = calloc(n + 1, sizeof(*order->results));
        order->answered = calloc(n + 1, sizeof(*order->answered));
        if (!order->results || !order->answered)
                return -ENOMEM;
        order->command = request->command;
        order->drain = request->drain;
        order->timeout_usec = request->timeout_usec;
        order->done = done;
        order->userdata = userdata;
        for (size_t i = 0; all && i < roster_size(roster); i++) {
                Runner *runner = roster_get(roster, i);

                /* What is only remembered is named when it is meant. */
                if (runner_config(runner) && add(order, runner_name(runner)) < 0)
                        return -ENOMEM;
        }
        for (size_t i = 0; !all && names[i]; i++) {
                if (!roster_find(roster, names[i])) {
                        char quoted[VALUE_QUOTE_MAX];

                        if (asprintf(reterr, "%s is no runner's name", value_quote(names[i], quoted)) < 0)
                                *reterr = NULL;
                        return -ENOENT;
                }
                if (add(order, names[i]) < 0)
                        return -ENOMEM;
        }
        sort_results(order);
        order->n_runners = roster_size(roster);
        *ret = take_ptr(order);
        return 0;
}

Order *order_free(Order *order)
{
        if (!order)
                return NULL;
        for (size_t i = 0; order->results && i < order->n; i++) {
                free(order->results[i].name);
                free(order->results[i].message);
        }
        free(order->note);
        free(order->results);
        free(order->answered);
        free(order);
        return NULL;
}

bool order_wants_drain(const Order *order, uint64_t *ret_timeout_usec)
{
        *ret_timeout_usec = order->timeout_usec;
        return order->drain;
}

void order_set_note(Order *order, const char *note)
{
        (void)replace_string(&order->note, note);
}

void order_settle(Order *order, Roster *roster)
{
        for (size_t i = 0; i < order->n; i++) {
                Runner *runner = roster_find(roster, order->results[i].name);

                if (order->answered[i])
                        continue;
                order->answered[i] = true;
                order->n_answered++;
                if (order->command != COMMAND_DEREGISTER) {
                        order->results[i].code = EXIT_FAILED;
                        (void)replace_string(&order->results[i].message, "the agent is leaving");
                } else if (runner && lifecycle_record(runner_lifecycle(runner))->n_debts > 0) {
                        order->results[i].code = EXIT_AGAIN;
                        (void)replace_string(
                                &order->results[i].message, "withdrawn here, but GitLab could not be told");
                }
        }
}

void order_start(Order *order, Roster *roster)
{
        for (size_t i = 0; i < order->n; i++) {
                Runner *runner = roster_find(roster, order->results[i].name);

                if (runner)
                        runner_command(runner, order->command);
        }
}

static int compare_result(const void *name, const void *result)
{
        return strcmp(name, ((const OrderResult *)result)->name);
}

void order_collect(Order *order, Runner *runner)
{
        OrderResult *result =
                bsearch(runner_name(runner), order->results, order->n, sizeof(*order->results), compare_result);
        Outcome outcome = {};
        Command command;

        if (!result || order->answered[result - order->results])
                return;
        if (!lifecycle_take_outcome(runner_lifecycle(runner), &command, &outcome))
                return;
        order->answered[result - order->results] = true;
        order->n_answered++;
        result->code = outcome.code;
        result->message = outcome.message;
}

static size_t count_gone(const Order *order, const Roster *roster)
{
        size_t n = 0;

        for (size_t i = 0; i < order->n; i++)
                if (!order->answered[i] && !roster_find(roster, order->results[i].name))
                        n++;
        return n;
}

bool order_complete(Order *order, const Roster *roster)
{
        /* Runners go seldom, so the long way round is taken only when their number changed. */
        if (order->n_runners != roster_size(roster)) {
                order->n_runners = roster_size(roster);
                order->n_gone = count_gone(order, roster);
        }
        if (order->n_answered + order->n_gone < order->n)
                return false;
        if (order->done)
                order->done(order->userdata, order->results, order->n, order->note);
        order->done = NULL;
        return true;
}

void order_detach(Order *order)
{
        order->done = NULL;
}
