#pragma once

/* Whose disk this is. A host made from another one's disk finds that one's id, state and entries: nothing of it is to
 * be used, and nothing of it is to be asked about or deleted. */

#include "agent/core/entry.h"
#include "agent/core/record.h"

/* What a state file found at start is to this machine. Unknown ids never count as different. */
typedef enum Clone {
        CLONE_NONE,
        CLONE_MACHINE,  /* another machine id */
        CLONE_INSTANCE, /* the same machine id, another instance id */
        _CLONE_MAX,
} Clone;

/* Whose RECORD is, on a machine with these ids. NULL, here or there: unknown, which never counts as different. */
Clone clone_check(const Record *record, const char *machine_id, const char *instance_id);

typedef enum IdSource {
        ID_FOUND,  /* what stands in .runner_system_id */
        ID_MADE,   /* as gitlab-runner makes it on this machine */
        ID_RANDOM, /* of its own, as the one made here would be the sibling's as well */
        _ID_SOURCE_MAX,
} IdSource;

/* Who this host is, for GitLab. */
typedef struct IdPlan {
        IdSource source;
        Clone clone;    /* what of the disk belongs to a sibling; CLONE_NONE: it is ours */
        bool proves;    /* .runner_system_id was there before us and is the one that this machine gives */
        bool write;     /* it is written; the entries of a sibling before it, as it is one of the signs */
        bool may_go_on; /* also if it can't be: gitlab-runner makes the same one */
} IdPlan;

/* FOUND: what stands there, NULL: nothing. MADE: what this machine gives. STATE: the worst of clone_check() over all
 * state files. LOOK_ONLY: nothing may be written, and nothing is anybody else's. */
IdPlan clone_settle_id(const char *found, const char *made, Clone state, bool look_only);

/* Whether ENTRY is the sibling's, and so its token must not be polled with before we have enrolled. URL: the runner's
 * of its name (NULL: there is none). SHARED: it is configured with a token that many machines share, which is ours as
 * well; one that is not configured stays nobody's, and gitlab-runner would make our manager anew with it when we have
 * gone. */
bool clone_owns_entry(const Entry *entry, const char *url, bool shared);

/* What becomes of a state file at start. */
typedef enum StateUse {
        STATE_USE,
        STATE_BEGIN,       /* there is none */
        STATE_BEGIN_OVER,  /* the sibling's stays until ours is saved in its place, but its journal goes at once */
        STATE_BEGIN_AFTER, /* the sibling's can't be read and goes first */
        STATE_REFUSE,      /* ours can't be read: neither used nor written over, until a person has decided */
        STATE_FAIL,        /* the disk failed */
        _STATE_USE_MAX,
} StateUse;

/* ERROR: 0 or the negative errno of loading it. */
StateUse clone_use_state(int error, bool cloned);
