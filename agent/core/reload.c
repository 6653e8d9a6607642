#include "agent/core/reload.h"

#include <stddef.h>

#include "agent/base/url.h"

ReloadAction reload_decide(const char *running_url, bool configured, bool ending, const char *next_url)
{
        if (!next_url)
                return running_url && configured ? RELOAD_WITHDRAW : RELOAD_KEEP;
        if (!running_url)
                return RELOAD_ADD;
        return ending || !url_equal(running_url, next_url) ? RELOAD_REPLACE : RELOAD_CONFIGURE;
}

ReloadFollow reload_follow(bool configured, bool owes)
{
        if (configured)
                return RELOAD_FOLLOW_BEGIN;
        return owes ? RELOAD_FOLLOW_REMEMBER : RELOAD_FOLLOW_FORGET;
}
