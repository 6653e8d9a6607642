/* What people order, one order after the other, and what they ask. */

#include "agent/manager-internal.h"

static void on_order_drained(void *userdata, const char *sentence)
{
        Manager *m = userdata;

        if (sentence)
                order_set_note(m->orders[0], sentence);
        order_start(m->orders[0], m->roster);
        (void)sd_event_source_set_enabled(m->changed_source, SD_EVENT_ONESHOT);
}

static void start_order(Manager *m)
{
        uint64_t timeout;

        m->order_started = true;
        m->order_drains = order_wants_drain(m->orders[0], &timeout);
        if (!m->order_drains || leave_drain(m->leave, timeout, on_order_drained, m) < 0)
                order_start(m->orders[0], m->roster);
}

/* gitlab-runner was drained for runners that are withdrawn; those that stay want it back. */
static void end_order(Manager *m)
{
        leave_drain_cancel(m->leave);
        for (size_t i = 0; m->order_drains && i < roster_size(m->roster); i++)
                if (runner_enrolled(roster_get(m->roster, i))) {
                        leave_drain_undo(m->leave);
                        break;
                }
        m->order_drains = false;
}

void manager_work_orders(Manager *m)
{
        if (!m->started)
                return;
        while (m->n_orders > 0) {
                if (m->stopping) {
                        if (leave_is_open(m->leave) || !roster_stopped(m->roster))
                                return;
                        order_settle(m->orders[0], m->roster);
                } else if (!m->order_started)
                        start_order(m);
                if (!order_complete(m->orders[0], m->roster))
                        return;
                end_order(m);
                (void)order_free(m->orders[0]);
                m->n_orders--;
                memmove(m->orders, m->orders + 1, m->n_orders * sizeof(*m->orders));
                m->order_started = false;
        }
}

int manager_order(Manager *m, const OrderRequest *request, OrderDone done, void *userdata, Order **ret, char **reterr)
{
        Order *order;

        /* Who wants the runners withdrawn while they are gets to hear when they are. */
        if (m->n_orders >= ORDERS_MAX || (m->stopping && request->command != COMMAND_DEREGISTER)) {
                *reterr = strdup(m->stopping ? "the agent is stopping" : "too many commands are waiting");
                return -EBUSY;
        }
        int r = order_new(m->roster, request, done, userdata, &order, reterr);
        if (r < 0)
                return r;
        m->orders[m->n_orders++] = order;
        if (ret)
                *ret = order;
        return sd_event_source_set_enabled(m->changed_source, SD_EVENT_ONESHOT);
}

int manager_status(Manager *m, char **ret)
{
        Now now;

        disk_now(m->disk, &now);
        return status_file_encode(m->roster, m->options.once ? 0 : getpid(), now, ret);
}

static bool selected(const Runner *runner, char *const *names)
{
        if (!names || !names[0])
                return runner_config(runner) != NULL;
        for (size_t i = 0; names[i]; i++)
                if (strcmp(names[i], runner_name(runner)) == 0)
                        return true;
        return false;
}

int manager_readiness(Manager *m, char *const *names)
{
        size_t waiting = 0, refused = 0;

        for (size_t i = 0; i < roster_size(m->roster); i++) {
                Runner *runner = roster_get(m->roster, i);

                if (!selected(runner, names) || runner_enrolled(runner))
                        continue;
                /* A refusal of before the start is asked again in a moment: what was wrong may be mended. */
                if (lifecycle_state(runner_lifecycle(runner)) == RUNNER_STATE_REFUSED &&
                        lifecycle_attempt(runner_lifecycle(runner)) > 0)
                        refused++;
                else
                        waiting++;
        }
        return waiting > 0 ? EXIT_AGAIN : refused > 0 ? EXIT_REFUSED : EXIT_DONE;
}
