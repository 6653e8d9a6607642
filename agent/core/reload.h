#pragma once

/* What a reload makes of each runner. NAME and url are the identity: under a new url it is a new runner, and the old
 * one ends first, so that its record tells the new one what is owed. */

#include <stdbool.h>

typedef enum ReloadAction {
        RELOAD_KEEP,      /* as it is */
        RELOAD_CONFIGURE, /* goes on with the new settings */
        RELOAD_ADD,       /* was not there */
        RELOAD_REPLACE,   /* ends as it is, nothing being withdrawn, and then begins anew as configured */
        RELOAD_WITHDRAW,  /* is configured no more: leaves as by a service stop */
        _RELOAD_ACTION_MAX,
} ReloadAction;

/* RUNNING_URL: of the runner of this name (NULL: none runs); CONFIGURED: it was configured before; ENDING: an earlier
 * reload has told it to end. NEXT_URL: as configured now (NULL: not any more). */
ReloadAction reload_decide(const char *running_url, bool configured, bool ending, const char *next_url);

typedef enum ReloadFollow {
        RELOAD_FOLLOW_FORGET,   /* nothing is left of it, its state file included */
        RELOAD_FOLLOW_REMEMBER, /* it goes on as one that is not configured, until its debts are paid */
        RELOAD_FOLLOW_BEGIN,    /* what was configured meanwhile takes its place */
        _RELOAD_FOLLOW_MAX,
} ReloadFollow;

/* Once what had to end has ended. OWES: it is not done with: a debt, an entry that could not be removed, or (where a
 * stop keeps it) a token. */
ReloadFollow reload_follow(bool configured, bool owes);
