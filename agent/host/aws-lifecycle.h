#pragma once

/* The lifecycle action of an AWS Auto Scaling group that takes this instance down: heartbeats while jobs end, and its
 * completion. With the instance's own credentials, which need autoscaling:DescribeAutoScalingInstances,
 * DescribeLifecycleHooks, RecordLifecycleActionHeartbeat and CompleteLifecycleAction. */

#include <systemd/sd-event.h>

#include "agent/base/log.h"
#include "agent/host/aws-token.h"

typedef struct AwsLifecycle AwsLifecycle;

typedef struct AwsLifecycleHandlers {
        /* How long it may take: a boottime; 0: that can't be known. */
        void (*deadline)(void *userdata, uint64_t deadline_usec);
        void *userdata;
} AwsLifecycleHandlers;

typedef void (*AwsLifecycleDone)(void *userdata);

/* The action is on: begins to find out whose, and to keep it alive. TOKEN, ENDPOINT, HTTP and LOG are borrowed. */
int aws_lifecycle_new(sd_event *event, Http *http, Log *log, AwsToken *token, const char *endpoint,
        const AwsLifecycleHandlers *handlers, AwsLifecycle **ret);
AwsLifecycle *aws_lifecycle_free(AwsLifecycle *lifecycle);
DEFINE_CLEANUP(AwsLifecycle, aws_lifecycle_free)

/* Completes it as soon as that can be. DONE exactly once, also where there is nothing to complete. */
void aws_lifecycle_complete(AwsLifecycle *lifecycle, AwsLifecycleDone done, void *userdata);

/* The metadata's token is there (again). */
void aws_lifecycle_token_ready(AwsLifecycle *lifecycle);
