#pragma once

/* The events to come, the soonest first; of one instant in the order in which they were put. */

#include <stddef.h>
#include <stdint.h>

typedef enum SimEventKind {
        SIM_TIMER,   /* of a runner's lifecycle */
        SIM_ARRIVE,  /* a request reaches GitLab */
        SIM_REPLY,   /* its answer reaches the host, or the news that there is none */
        SIM_SECRET,  /* a secret's source was read */
        SIM_TOLD,    /* gitlab-runner was told */
        SIM_COMMIT,  /* config.toml is written */
        SIM_LOOK,    /* config.toml was changed by somebody else */
        SIM_SETTLE,  /* config.toml has had time to settle */
        SIM_POLL,    /* gitlab-runner looks at its file and asks for jobs */
        SIM_REWRITE, /* gitlab-runner has cut its file and writes it now */
        SIM_ROTATE,  /* gitlab-runner rotates by itself */
        SIM_START,   /* the agent starts */
        SIM_OVERDUE, /* a stop or a command took too long */
        SIM_DRAIN,   /* a drain is looked at */
        SIM_JOB,     /* gitlab-runner's last job ends */
        SIM_TAKEN,   /* the cloud takes the host */
        SIM_PASS,    /* somebody runs a command without an agent */
        SIM_HOST,    /* what happens to a host in its life */
        SIM_PEOPLE,  /* somebody does something */
        SIM_WEATHER, /* GitLab's weather changes */
        SIM_CHECK,   /* a regular look at everything */
        _SIM_EVENT_MAX,
} SimEventKind;

typedef struct SimEvent {
        uint64_t at_usec;
        uint64_t sequence;
        SimEventKind kind;
        int host;
        int runner;
        uint64_t generation; /* of what it is meant for: an event that comes too late is none */
        void *payload;
} SimEvent;

typedef struct Queue {
        SimEvent *items;
        size_t n;
        size_t allocated;
        uint64_t sequence;
} Queue;

void queue_put(Queue *queue, SimEvent event);

/* Must not be empty. */
SimEvent queue_take(Queue *queue);
void queue_done(Queue *queue);
