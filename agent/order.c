#include "agent/order.h"

#include <stdio.h>
#include <string.h>

struct Order {
        Command command;
        OrderResult *results;
        bool *answered;
        size_t n;
        OrderDone done;
        void *userdata;
};

int exit_code_worse(int a, int b)
{
        static const int order[] = { 0, 1, 75, 77, 78 };
        size_t rank_a = 1, rank_b = 1;

        for (size_t i = 0; i < ELEMENTS(order); i++) {
                if (order[i] == a)
                        rank_a = i;
                if (order[i] == b)
                        rank_b = i;
        }
        return rank_a >= rank_b ? a : b;
}

static int add(Order *order, const char *name)
{
        for (size_t i = 0; i < order->n; i++)
                if (strcmp(order->results[i].name, name) == 0)
                        return 0;
        char *copy = strdup(name);
        if (!copy)
                return -ENOMEM;
        order->results[order->n++].name = copy;
        return 0;
}

int order_new(const Roster *roster, Command command, char *const *names, OrderDone done, void *userdata, Order **ret,
        char **reterr)
{
        _cleanup_(order_freep) Order *order = calloc(1, sizeof(*order));
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
        order->command = command;
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
                        if (asprintf(reterr, "no runner is named '%.40s'", names[i]) < 0)
                                *reterr = NULL;
                        return -ENOENT;
                }
                if (add(order, names[i]) < 0)
                        return -ENOMEM;
        }
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
        free(order->results);
        free(order->answered);
        free(order);
        return NULL;
}

void order_start(Order *order, Roster *roster)
{
        for (size_t i = 0; i < order->n; i++) {
                Runner *runner = roster_find(roster, order->results[i].name);

                if (runner)
                        runner_command(runner, order->command);
        }
}

bool order_progress(Order *order, Roster *roster)
{
        bool complete = true;

        for (size_t i = 0; i < order->n; i++) {
                OrderResult *result = &order->results[i];
                Runner *runner = roster_find(roster, result->name);
                Command command;
                Outcome outcome = {};

                if (order->answered[i])
                        continue;
                if (!runner) {
                        /* A reload took it away; its withdrawal is its own business. */
                        order->answered[i] = true;
                        continue;
                }
                if (!lifecycle_take_outcome(runner_lifecycle(runner), &command, &outcome)) {
                        complete = false;
                        continue;
                }
                order->answered[i] = true;
                result->code = outcome.code;
                result->message = outcome.message;
        }
        if (complete && order->done) {
                OrderDone done = order->done;

                order->done = NULL;
                done(order->userdata, order->results, order->n);
        }
        return complete;
}

void order_detach(Order *order)
{
        order->done = NULL;
}
