#include "agent/template-file.h"

#include <stdio.h>
#include <string.h>

#include "agent/core/template.h"

static int read_template(Disk *disk, const char *path, Secret **ret, char **reterr)
{
        _cleanup_(folder_freep) Folder *folder = NULL;
        _cleanup_(file_closep) File *file = NULL;
        _cleanup_free_ char *name = NULL;
        int r = folder_open_for(disk, path, 0, &folder, &name, reterr);

        if (r >= 0)
                r = file_open(folder, name, 0, 0, &file);
        if (r >= 0)
                r = file_read(file, TEMPLATE_FILE_SIZE_MAX, ret);
        if (r < 0 && !*reterr && asprintf(reterr, "Failed to read template '%s': %s", path, strerror(-r)) < 0)
                *reterr = NULL;
        return r;
}

int template_file_merge(Disk *disk, const RunnerConfig *config, Secret **ret, char **reterr)
{
        _cleanup_secret_ Secret *bytes = NULL;
        TomlError error = {};
        int r;

        if (config->template) {
                r = read_template(disk, config->template, &bytes, reterr);
                if (r < 0)
                        return r;
        }
        r = template_merge(bytes ? secret_data(bytes) : NULL, secret_size(bytes), config->executor, ret, &error);
        if (r == -EINVAL || r == -EBADMSG) {
                int k = config->template ? asprintf(reterr, "%s:%zu: %s", config->template, error.line, error.text)
                                         : asprintf(reterr, "%s:%u: runner %s: %s", config->file, config->line,
                                                   config->name, error.text);
                if (k < 0)
                        *reterr = NULL;
                return -EINVAL;
        }
        return r;
}
