#include "agent/core/clone.h"

#include <string.h>

#include "agent/base/url.h"

Clone clone_check(const Record *record, const char *machine_id, const char *instance_id)
{
        if (record->machine_id && machine_id && strcmp(record->machine_id, machine_id) != 0)
                return CLONE_MACHINE;
        if (record->instance_id && instance_id && strcmp(record->instance_id, instance_id) != 0)
                return CLONE_INSTANCE;
        return CLONE_NONE;
}

IdPlan clone_settle_id(const char *found, const char *made, Clone state, bool look_only)
{
        bool same = found && strcmp(found, made) == 0;
        /* Only an s_ id tells whose it is, and only where this machine has one to compare. */
        bool foreign = found && !same && found[0] == 's' && made[0] == 's';
        IdPlan plan = {
                .source = found ? ID_FOUND : ID_MADE,
                .clone = foreign ? CLONE_MACHINE : state,
                .proves = same && made[0] == 's',
        };

        if (look_only) {
                plan.clone = CLONE_NONE;
                return plan;
        }
        if (plan.clone == CLONE_MACHINE)
                plan.source = ID_MADE;
        /* The machine id is the sibling's as well, and so would be the id made from it. */
        if (plan.clone == CLONE_INSTANCE)
                plan.source = ID_RANDOM;
        plan.write = plan.source != ID_FOUND;
        plan.may_go_on = !found && plan.source == ID_MADE && made[0] == 's';
        return plan;
}

bool clone_owns_entry(const Entry *entry, const char *url, bool shared)
{
        return url && entry->url && !shared && url_equal(url, entry->url) && entry_is_usable(entry);
}

StateUse clone_use_state(int error, bool cloned)
{
        if (error >= 0)
                return cloned ? STATE_BEGIN_OVER : STATE_USE;
        if (error == -ENOENT)
                return STATE_BEGIN;
        if (cloned)
                return STATE_BEGIN_AFTER;
        return error == -EPROTONOSUPPORT || error == -EBADMSG ? STATE_REFUSE : STATE_FAIL;
}
