#include "tests/fuzz/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        fuzz_config(FUZZ_INI, data, size);
        return 0;
}
