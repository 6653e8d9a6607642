/* What the local gitlab-runner says to --version goes to GitLab, in a header and in JSON. */

#include "agent/core/info.h"
#include "agent/core/json.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_free_ char *text = fuzz_text(data, size), *info = NULL;
        _cleanup_json_ json_t *object = NULL;
        Neighbour neighbour = {0};

        int r = neighbour_parse(text, &neighbour);
        if (r < 0) {
                HOLDS(r == -EBADMSG);
                return 0;
        }
        HOLDS(neighbour.version && neighbour.platform && neighbour.architecture && neighbour.user_agent);
        /* A header can't hold a line break. */
        fuzz_holds_no_control(neighbour.user_agent);
        HOLDS(info_encode(&neighbour, "docker", NULL, NULL, &info) == 0);
        HOLDS(json_read(info, strlen(info), SIZE_MAX, &object) == 0 && json_is_object(object));
        neighbour_done(&neighbour);
        return 0;
}
