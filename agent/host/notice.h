#pragma once

/* Hears from the cloud that it is about to take this instance, and tells it when we are gone. */

#include <systemd/sd-event.h>

#include "agent/base/log.h"
#include "agent/core/heard.h"
#include "agent/http.h"

typedef struct Notices Notices;

/* From the loop; must not free the Notices. */
typedef struct NoticesHandlers {
        /* A notice that is new, or has a nearer deadline. */
        void (*heard)(void *userdata, const CloudNotice *notice);
        /* A notice that would have taken the host is told no more. OTHERS: another one still is. */
        void (*cancelled)(void *userdata, const CloudNotice *notice, bool others);
        void *userdata;
} NoticesHandlers;

/* All that could be told of our end is told. Exactly once. */
typedef void (*NoticesToldDone)(void *userdata);

/* CLOUDS: bits of Cloud; with AUTO, instead, the one that this machine's firmware names, found without asking
 * anybody. HTTP and LOG are borrowed. Nothing at all is started where there is no cloud. */
int notices_new(sd_event *event, Http *http, Log *log, unsigned clouds, bool automatic,
        const NoticesHandlers *handlers, Notices **ret);
Notices *notices_free(Notices *notices);
DEFINE_CLEANUP(Notices, notices_free)

/* The runners are withdrawn, or it was tried: lifecycle actions are completed, events acknowledged. Takes no longer
 * than NOTICES_TELL_USEC; DONE may come at once. */
#define NOTICES_TELL_USEC (10 * USEC_PER_SEC)
void notices_tell_gone(Notices *notices, NoticesToldDone done, void *userdata);

/* Whether there is anything to tell: a cloud that was told of our end takes the host at once. */
bool notices_would_tell(const Notices *notices);

/* --- for the clouds' own files */

/* Hands on what a SOURCE's answer tells, all of it. True: something is missing that it told before, so ask again
 * soon. */
bool notices_hear(Notices *notices, HeardSource source, const CloudNotice *list, size_t n);

/* More is known of a notice of SOURCE. */
void notices_update(Notices *notices, HeardSource source, const CloudNotice *notice);

/* A cloud is done with telling. */
void notices_told(Notices *notices);

/* Says once, until it answers again, that a cloud's metadata can't be had. */
typedef struct NoticeTrouble {
        const char *cloud;
        unsigned n_failures;
        bool said;
} NoticeTrouble;
void notice_trouble(NoticeTrouble *trouble, Log *log, const Reply *reply);

/* A cloud each, with the same shape: _new begins to listen (HTTP, LOG and NOTICES are borrowed; 0 or a negative
 * errno), _tell_gone ends with notices_told(), maybe at once, and _would_tell says whether that would tell anybody
 * anything. Google takes no answer. */
typedef struct NoticeAws NoticeAws;
int notice_aws_new(sd_event *event, Http *http, Log *log, Notices *notices, NoticeAws **ret);
NoticeAws *notice_aws_free(NoticeAws *aws);
DEFINE_CLEANUP(NoticeAws, notice_aws_free)
void notice_aws_tell_gone(NoticeAws *aws);
bool notice_aws_would_tell(const NoticeAws *aws);

/* The notice is told no more: heartbeats for it end. */
void notice_aws_cancel(NoticeAws *aws, const CloudNotice *notice);

typedef struct NoticeGcp NoticeGcp;
int notice_gcp_new(sd_event *event, Http *http, Log *log, Notices *notices, NoticeGcp **ret);
NoticeGcp *notice_gcp_free(NoticeGcp *gcp);
DEFINE_CLEANUP(NoticeGcp, notice_gcp_free)

typedef struct NoticeAzure NoticeAzure;
int notice_azure_new(sd_event *event, Http *http, Log *log, Notices *notices, NoticeAzure **ret);
NoticeAzure *notice_azure_free(NoticeAzure *azure);
DEFINE_CLEANUP(NoticeAzure, notice_azure_free)
void notice_azure_tell_gone(NoticeAzure *azure);
bool notice_azure_would_tell(const NoticeAzure *azure);
