#pragma once

/* The collection of config.toml files that properties are checked on. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/secret.h"

static const char *const toml_files[] = {
        "bom",
        "comments",
        "crlf",
        "docker-machine",
        "docker",
        "dotted",
        "empty",
        "inline",
        "inline-1.1",
        "inline-lines",
        "kubernetes",
        "letter-case",
        "no-final-newline",
        "no-runners",
        "only-comment",
        "several",
        "shell",
        "toml-1.1",
        "twice",
        "unusual",
};

/* One of them, or NULL where the test runs without its sources. */
static inline Secret *toml_file_read(const char *name)
{
        const char *top = getenv("SOURCE_DIR");
        char path[4096], buffer[4096];
        Secret *bytes = NULL;
        size_t n;

        (void)snprintf(path, sizeof(path), "%s/tests/toml/files/%s.toml", top ? top : "..", name);
        FILE *f = fopen(path, "re");
        if (!f)
                return NULL;
        if (secret_new(NULL, 0, &bytes) < 0)
                abort();
        while ((n = fread(buffer, 1, sizeof(buffer), f)) > 0)
                if (secret_append(bytes, buffer, n) < 0)
                        abort();
        fclose(f);
        return bytes;
}
