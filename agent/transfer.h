#pragma once

/* One exchange as curl's easy handle, for http.c alone, which decides when it runs. */

#include <sys/queue.h>

#include <curl/curl.h>

#include "agent/core/reply-headers.h"
#include "agent/http.h"

/* A connection takes up to three retransmissions of its SYN, or one name server that does not answer. */
#define TRANSFER_CONNECT_TIMEOUT_USEC (15 * USEC_PER_SEC)

typedef struct Origin Origin;

typedef enum TransferState {
        TRANSFER_QUEUED, /* waits for its turn */
        TRANSFER_ACTIVE, /* curl has it */
        TRANSFER_FAILED, /* never started; `reply` says why */
} TransferState;

struct Transfer {
        Http *http;
        Origin *origin;
        TAILQ_ENTRY(Transfer) others; /* in the list of its state */
        TransferState state;
        sd_event_source *queue_source; /* while queued: when it has waited too long */
        TransferDone done;
        void *userdata;

        CURL *easy;
        struct curl_slist *headers; /* with tokens: wiped by hand */
        Target target;
        Secret *body; /* curl reads from it */
        uint64_t timeout_usec;
        size_t body_max;
        bool repeatable;
        bool foreign; /* goes to another server than GitLab */
        char error[CURL_ERROR_SIZE];

        /* Filled by curl's callbacks. */
        unsigned n_sent; /* how often curl began to send the request */
        ReplyHeaders arriving;
        bool body_too_large;
        bool headers_too_large;
        bool out_of_memory;
        Reply reply;
};

/* What all transfers of an Http share; borrowed. */
typedef struct TransferCommon {
        const char *user_agent;
        const char *ca_folder; /* the system's CAs by hash; NULL: there is no such folder */
        const char *ca_bundle; /* the system's CAs in one file; NULL: none */
} TransferCommon;

/* Makes the easy handle of REQUEST to TARGET. Returns 0 or -ENOMEM; whatever else is wrong comes back as a transfer
 * in TRANSFER_FAILED. *RET_PLACE is the server's host:port (caller frees). */
int transfer_new(
        const TransferCommon *common, const Target *target, const Request *request, Transfer **ret, char **ret_place);

/* Neither in a list nor in the multi handle any more. Wipes, frees, returns NULL. */
Transfer *transfer_free(Transfer *transfer);
DEFINE_CLEANUP(Transfer, transfer_free)

/* Completes the reply when curl is through with it. Returns 0 or -ENOMEM. */
int transfer_finish(Transfer *transfer, CURLcode code, const char *place);
