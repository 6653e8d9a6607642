#include "agent/host/notice.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/base/file.h"

#define DMI_FOLDER "/sys/class/dmi/id"
#define DMI_MAX    256

/* A metadata service that fails so often in a row is worth a line. */
#define TROUBLE_FAILURES 5

struct Notices {
        sd_event *event;
        Log *log;
        NoticesHandlers handlers;
        NoticeAws *aws;
        NoticeGcp *gcp;
        NoticeAzure *azure;
        Heard heard;

        NoticesToldDone done; /* NULL: nobody waits */
        void *done_userdata;
        unsigned n_telling;
        sd_event_source *limit_source;
};

/* --- where we are */

static void read_fact(Folder *folder, const char *name, char buffer[static DMI_MAX])
{
        _cleanup_(file_closep) File *file = NULL;
        _cleanup_secret_ Secret *text = NULL;

        buffer[0] = 0;
        if (file_open(folder, name, 0, 0, &file) < 0 || file_read(file, DMI_MAX - 1, &text) < 0)
                return;
        secret_trim(text);
        (void)snprintf(buffer, DMI_MAX, "%s", secret_data(text));
}

static unsigned detect(void)
{
        _cleanup_(folder_freep) Folder *folder = NULL;
        _cleanup_free_ char *why = NULL;
        char vendor[DMI_MAX], product[DMI_MAX], bios[DMI_MAX], tag[DMI_MAX];

        if (folder_open(disk_real(), DMI_FOLDER, 0, &folder, &why) < 0)
                return 0;
        read_fact(folder, "sys_vendor", vendor);
        read_fact(folder, "product_name", product);
        read_fact(folder, "bios_version", bios);
        read_fact(folder, "chassis_asset_tag", tag);
        return cloud_detect(&(DmiFacts){vendor, product, bios, tag});
}

int notices_new(sd_event *event, Http *http, Log *log, unsigned clouds, bool automatic,
        const NoticesHandlers *handlers, Notices **ret)
{
        _cleanup_(notices_freep) Notices *n = calloc(1, sizeof(*n));
        int r = 0;

        if (!n)
                return -ENOMEM;
        n->event = sd_event_ref(event);
        n->log = log;
        n->handlers = *handlers;
        if (automatic)
                clouds = detect();
        if (clouds & CLOUD_AWS)
                r = notice_aws_new(event, http, log, n, &n->aws);
        if (r >= 0 && (clouds & CLOUD_GCP))
                r = notice_gcp_new(event, http, log, n, &n->gcp);
        if (r >= 0 && (clouds & CLOUD_AZURE))
                r = notice_azure_new(event, http, log, n, &n->azure);
        if (r < 0)
                return r;
        if (clouds)
                log_info(log, NULL, "Notices of termination are watched for:%s%s%s", clouds & CLOUD_AWS ? " AWS" : "",
                        clouds & CLOUD_GCP ? " Google Cloud" : "", clouds & CLOUD_AZURE ? " Azure" : "");
        *ret = take_ptr(n);
        return 0;
}

Notices *notices_free(Notices *n)
{
        if (!n)
                return NULL;
        (void)notice_aws_free(n->aws);
        (void)notice_gcp_free(n->gcp);
        (void)notice_azure_free(n->azure);
        (void)sd_event_source_disable_unref(n->limit_source);
        (void)sd_event_unref(n->event);
        free(n);
        return NULL;
}

/* --- hearing */

void notices_update(Notices *n, HeardSource source, const CloudNotice *notice)
{
        Now now;

        now_read(&now);
        if (heard_is_news(&n->heard, source, notice, now))
                n->handlers.heard(n->handlers.userdata, notice);
}

bool notices_hear(Notices *n, HeardSource source, const CloudNotice *list, size_t count)
{
        CloudNotice cancelled;
        Now now;

        now_read(&now);
        bool missing = heard_count_missing(&n->heard, source, list, count, now);
        while (heard_take_cancelled(&n->heard, source, now, &cancelled)) {
                if (n->aws)
                        notice_aws_cancel(n->aws, &cancelled);
                n->handlers.cancelled(n->handlers.userdata, &cancelled, heard_takes_host(&n->heard));
        }
        for (size_t i = 0; i < count; i++)
                notices_update(n, source, &list[i]);
        return missing;
}

void notice_trouble(NoticeTrouble *trouble, Log *log, const Reply *reply)
{
        bool well = reply->transport == TRANSPORT_OK && (reply->status == 200 || reply->status == 404);

        if (well) {
                if (trouble->said)
                        log_info(log, NULL, "%s's metadata service answers again", trouble->cloud);
                trouble->said = false;
                trouble->n_failures = 0;
                return;
        }
        if (++trouble->n_failures < TROUBLE_FAILURES || trouble->said)
                return;
        trouble->said = true;
        if (reply->transport == TRANSPORT_OK)
                log_warning(log, NULL,
                        "%s's metadata service answers %u: its notices can't be seen; it is asked every 5s",
                        trouble->cloud, reply->status);
        else
                log_warning(log, NULL,
                        "%s: its notices can't be seen; it is asked every 5s (in a container the hop limit "
                        "of the metadata service may be too low, or `termination = none` is wanted)",
                        reply->error ? reply->error : trouble->cloud);
}

/* --- telling */

static void finish(Notices *n)
{
        NoticesToldDone done = n->done;

        n->done = NULL;
        n->limit_source = sd_event_source_disable_unref(n->limit_source);
        if (done)
                done(n->done_userdata);
}

static int on_limit(sd_event_source *source, uint64_t usec, void *userdata)
{
        Notices *n = userdata;

        log_warning(n->log, NULL, "The cloud does not answer: it was not told that this host is ready to go");
        finish(n);
        return 0;
}

void notices_told(Notices *n)
{
        if (n->n_telling > 0 && --n->n_telling == 0)
                finish(n);
}

bool notices_would_tell(const Notices *n)
{
        return (n->aws && notice_aws_would_tell(n->aws)) || (n->azure && notice_azure_would_tell(n->azure));
}

void notices_tell_gone(Notices *n, NoticesToldDone done, void *userdata)
{
        n->done = done;
        n->done_userdata = userdata;
        /* One more than there are, so that the last one to tell is this function. */
        n->n_telling = 1 + (n->aws != NULL) + (n->azure != NULL);
        (void)sd_event_add_time_relative(
                n->event, &n->limit_source, CLOCK_BOOTTIME, NOTICES_TELL_USEC, USEC_PER_SEC / 10, on_limit, n);
        if (n->aws)
                notice_aws_tell_gone(n->aws);
        if (n->azure)
                notice_azure_tell_gone(n->azure);
        notices_told(n);
}
