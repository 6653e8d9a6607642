#include "agent/core/claim.h"

void claim_make(Claim *claim)
{
        if (*claim == CLAIM_NONE || *claim == CLAIM_RELEASED)
                *claim = CLAIM_MADE;
}

void claim_cancel(Claim *claim, bool stays)
{
        if (stays)
                *claim = CLAIM_NONE;
        else if (*claim == CLAIM_MADE)
                *claim = CLAIM_RELEASED;
}

void claim_told(Claim *claim)
{
        if (*claim == CLAIM_TELLING)
                *claim = CLAIM_TOLD;
}

ClaimAction claim_withdrawn(Claim *claim, bool may_exit, bool can_tell)
{
        switch (*claim) {
        case CLAIM_MADE:
                if (!can_tell)
                        break;
                *claim = CLAIM_TELLING;
                return CLAIM_TELL;
        case CLAIM_TELLING:
                return CLAIM_STAY;
        case CLAIM_RELEASED:
                if (may_exit)
                        break;
                *claim = CLAIM_RETURNING;
                return CLAIM_UNDO;
        case CLAIM_NONE:
        case CLAIM_TOLD:
        case CLAIM_RETURNING:
        case _CLAIM_MAX:
                break;
        }
        return may_exit ? CLAIM_EXIT : CLAIM_STAY;
}
