#pragma once

/* What the files of the manager share. manager.c makes, runs and frees it; orders, status, the end and reloads are
 * the other files. */

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "agent/clone.h"
#include "agent/control.h"
#include "agent/core/claim.h"
#include "agent/core/exit-code.h"
#include "agent/hook.h"
#include "agent/host/notice.h"
#include "agent/host/systemd.h"
#include "agent/leave.h"
#include "agent/manager.h"
#include "agent/neighbour.h"
#include "agent/roster.h"
#include "agent/runner-plan.h"
#include "agent/status-file.h"
#include "config/load.h"

/* Orders wait for each other; more than this many at once is a loop in somebody's script. */
#define ORDERS_MAX 64

struct Manager {
        ManagerOptions options;
        Log *log;
        Config *config;
        Disk *disk;
        sd_event *event;
        Machine machine;
        Neighbour neighbour;
        NeighbourQuery *neighbour_query;
        bool started;
        char system_id[SYSTEM_ID_SIZE + 1];
        Store *store;
        ConfigToml *config_toml;
        Http *http;
        Entries *entries;
        Teller *teller;
        Hook *hook;
        RunnerContext context;
        Roster *roster;
        Control *control;

        Order *orders[ORDERS_MAX];
        size_t n_orders;
        bool order_started;
        bool order_drains;

        sd_event_source *signal_sources[4];
        sd_event_source *changed_source;
        sd_event_source *stop_timer_source;
        sd_event_source *publish_source;
        uint64_t publish_after_usec;
        char *unpublished; /* why the status could not be written; NULL: it was */
        Leave *leave;
        bool stopping;
        Notices *notices;
        Claim claim; /* the cloud's, on this host */
        char *status_text;
};

/* Starts the runners, once it is known which gitlab-runner this is. */
void manager_start_runners(Manager *m);

/* manager-orders.c: gives the next order to the runners, answers those that are carried out. */
void manager_work_orders(Manager *m);

/* manager-status.c: what runners and hook call back, and the turn of the loop in which all of it is looked at. */
int manager_on_changed(sd_event_source *source, void *userdata);
void manager_runner_changed(void *userdata, Runner *runner);
void manager_runner_noticed(void *userdata, Runner *runner, Notice notice);
void manager_hook_told(void *userdata);

/* Writes the status now, and again later where that failed. */
void manager_publish(Manager *m);
int manager_on_publish(sd_event_source *source, uint64_t usec, void *userdata);

/* manager-stop.c: the way out, by signal or by the cloud's notice; ends the loop once all is done. */
int manager_on_terminate(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata);
void manager_withdraw_all(void *userdata, StopReason reason, StopPlan plan, uint64_t deadline_usec);
int manager_end_stop(Manager *m);

/* Listens to the clouds that the configuration names now. */
void manager_watch_cloud(Manager *m);

/* manager-reload.c: SIGHUP. */
int manager_on_hangup(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata);
