#include "agent/core/exit-code.h"

#include <stddef.h>

#include "agent/base/cleanup.h"

int exit_code_worse(int a, int b)
{
        static const int order[] = {EXIT_DONE, EXIT_FAILED, EXIT_AGAIN, EXIT_REFUSED, EXIT_CONFIG};
        size_t rank_a = 1, rank_b = 1;

        for (size_t i = 0; i < ELEMENTS(order); i++) {
                if (order[i] == a)
                        rank_a = i;
                if (order[i] == b)
                        rank_b = i;
        }
        return rank_a >= rank_b ? a : b;
}
