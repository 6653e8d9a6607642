#pragma once

/* What the cloud wants of this host, from its notice to the end, and what that makes of an agent whose runners are
 * all withdrawn: it stays until it is told to go, as whoever started it would start it again. */

#include <stdbool.h>

typedef enum Claim {
        CLAIM_NONE,
        CLAIM_MADE,      /* it takes this host */
        CLAIM_TELLING,   /* all is withdrawn, and it is being told that the host may go */
        CLAIM_TOLD,      /* so it takes the host at once, whatever it says afterwards */
        CLAIM_RELEASED,  /* it takes the host no more, but all is withdrawn already, or is being */
        CLAIM_RETURNING, /* what was stopped is being started again, and then all begins anew */
        _CLAIM_MAX,
} Claim;

typedef enum ClaimAction {
        CLAIM_STAY,
        CLAIM_TELL, /* the cloud, and then claim_told() */
        CLAIM_UNDO, /* what was stopped for the withdrawal; then the agent begins anew */
        CLAIM_EXIT,
        _CLAIM_ACTION_MAX,
} ClaimAction;

/* The cloud announces that it takes the host. */
void claim_make(Claim *claim);

/* It announces no more. STAYS: nothing had been withdrawn, and all is as before. */
void claim_cancel(Claim *claim, bool stays);

/* It was told. */
void claim_told(Claim *claim);

/* All is withdrawn; asked again with everything that happens afterwards. MAY_EXIT: a signal told us to go. CAN_TELL:
 * there is somebody to tell. */
ClaimAction claim_withdrawn(Claim *claim, bool may_exit, bool can_tell);
