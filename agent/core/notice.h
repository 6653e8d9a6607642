#pragma once

/* What a cloud says about the end of its instance, in one form. Sources: AWS "Spot Instance interruption notices",
 * "rebalance recommendations" and "target lifecycle state" of the instance metadata; Google Compute Engine's metadata
 * `instance/preempted` and `instance/maintenance-event`; Azure's Scheduled Events 2020-07-01. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/base/secret.h"
#include "agent/base/time.h"

typedef enum CloudNoticeKind {
        CLOUD_NOTICE_PREEMPTION,  /* the instance is taken back: a deadline that nobody moves */
        CLOUD_NOTICE_TERMINATION, /* it is to go, and we are waited for */
        CLOUD_NOTICE_REBALANCE,   /* it may be preempted soon: nothing is done about it */
        CLOUD_NOTICE_MAINTENANCE, /* a live migration, a reboot, a freeze: it stays */
        _CLOUD_NOTICE_KIND_MAX,
} CloudNoticeKind;

/* `preemption`, `termination`, `rebalance`, `maintenance`: also the hook's word. */
const char *cloud_notice_kind_to_string(CloudNoticeKind kind);

#define CLOUD_NOTICE_REFERENCE_MAX 128

typedef struct CloudNotice {
        CloudNoticeKind kind;
        uint64_t deadline_usec;                     /* realtime; 0: not told; USEC_INFINITY: when we say so */
        char reference[CLOUD_NOTICE_REFERENCE_MAX]; /* which one it is: the cloud's id, or what tells it from others
                                                     */
} CloudNotice;

/* One answer may tell of several. */
#define CLOUD_NOTICES_MAX 16

/* Each reads the body of a 200. Writes at most CLOUD_NOTICES_MAX notices and their number, which may be 0. -EBADMSG
 * where it is not what that path answers. */
typedef struct NoticeContext {
        Now now;              /* the cloud's, of notice_context_begin() */
        const char *resource; /* Azure: our name; others' events are not ours */
} NoticeContext;

typedef int (*NoticeDecoder)(
        const Secret *body, const NoticeContext *context, CloudNotice ret[static CLOUD_NOTICES_MAX], size_t *ret_n);

/* Deadlines are told by the cloud's clock, and this host's may be wrong: DATE, the answer's own (NULL: not told),
 * stands for now while it is read, and notice_context_end() turns the deadlines into this host's time, LOCAL. */
void notice_context_begin(NoticeContext *context, const char *date, Now local);
void notice_context_end(const NoticeContext *context, Now local, CloudNotice *notices, size_t n);

int notice_decode_aws_action(
        const Secret *body, const NoticeContext *context, CloudNotice ret[static CLOUD_NOTICES_MAX], size_t *ret_n);
int notice_decode_aws_rebalance(
        const Secret *body, const NoticeContext *context, CloudNotice ret[static CLOUD_NOTICES_MAX], size_t *ret_n);
int notice_decode_aws_lifecycle(
        const Secret *body, const NoticeContext *context, CloudNotice ret[static CLOUD_NOTICES_MAX], size_t *ret_n);
int notice_decode_gcp_preempted(
        const Secret *body, const NoticeContext *context, CloudNotice ret[static CLOUD_NOTICES_MAX], size_t *ret_n);
int notice_decode_gcp_maintenance(
        const Secret *body, const NoticeContext *context, CloudNotice ret[static CLOUD_NOTICES_MAX], size_t *ret_n);
int notice_decode_azure(
        const Secret *body, const NoticeContext *context, CloudNotice ret[static CLOUD_NOTICES_MAX], size_t *ret_n);

/* Whether both tell of the same event. */
bool cloud_notice_same(const CloudNotice *a, const CloudNotice *b);

/* Whether NOTICE says more of an event than OLD did: a nearer deadline, or that none can be known. */
bool cloud_notice_is_news(const CloudNotice *old, const CloudNotice *notice);

/* When to ask again what was asked at STARTED_USEC: a second after that at the earliest, after N_FAILURES in a row
 * later, but five seconds after it at the latest, or at once where that is past. */
uint64_t notice_poll_at(uint64_t started_usec, uint64_t now_usec, unsigned n_failures);

/* The clouds, as bits. */
typedef enum Cloud {
        CLOUD_AWS = 1 << 0,
        CLOUD_GCP = 1 << 1,
        CLOUD_AZURE = 1 << 2,
} Cloud;

/* What the firmware tells of the machine (/sys/class/dmi/id); NULL: not there. */
typedef struct DmiFacts {
        const char *sys_vendor;
        const char *product_name;
        const char *bios_version;
        const char *chassis_asset_tag;
} DmiFacts;

/* The cloud that the machine is of; 0: none that has notices. */
unsigned cloud_detect(const DmiFacts *facts);

/* --- AWS Auto Scaling, whose answers are XML */

/* Finds the text of the first <TAG> at or after *OFFSET, moves *OFFSET behind it, and copies it, entities resolved,
 * to RET. False: there is none, or it does not fit. */
bool notice_xml_text(const Secret *body, const char *tag, size_t *offset, char *ret, size_t size);

#define LIFECYCLE_HOOKS_MAX 8
#define LIFECYCLE_NAME_MAX  256

/* The hooks that wait for this instance's end, of DescribeLifecycleHooks. */
typedef struct LifecycleHooks {
        char names[LIFECYCLE_HOOKS_MAX][LIFECYCLE_NAME_MAX];
        size_t n;
        uint64_t heartbeat_usec; /* the shortest timeout of theirs; 0: not told */
        uint64_t global_usec;    /* … of how long heartbeats help */
} LifecycleHooks;

/* Reads the terminating hooks that are ours: those whose name holds "runner-registrar", or the only one there is.
 * Others complete theirs themselves. -EBADMSG. */
int notice_decode_lifecycle_hooks(const Secret *body, LifecycleHooks *ret);

/* How often a heartbeat is due, so that two may be lost. */
uint64_t notice_heartbeat_usec(uint64_t timeout_usec);

/* Appends &NAME=VALUE, percent-encoded, to a form. */
int notice_form_add(Secret *form, const char *name, const char *value);

/* The instance's own credentials; `key` is "ID:SECRET" and `session` the header that goes with it. */
int notice_decode_aws_credentials(const Secret *body, Secret **ret_key, Secret **ret_session);
