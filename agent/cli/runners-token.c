#include "agent/cli/runners-token.h"

#include <stdio.h>
#include <string.h>

#include "agent/core/token.h"

static int check_place(const TokenFile *file, char **reterr)
{
        _cleanup_(file_closep) File *old = NULL;

        int r = file_open(file->folder, file->name, 0, 0, &old);
        if (r >= 0 || r == -ENOENT)
                return 0;
        return file_failure(reterr, r, "replace", file->folder->path, file->name);
}

int token_file_prepare(const char *path, TokenFile *ret, char **reterr)
{
        *ret = (TokenFile){0};
        int r = folder_open_for(disk_real(), path, 0, &ret->folder, &ret->name, reterr);
        if (r < 0)
                return r;
        r = check_place(ret, reterr);
        if (r >= 0)
                r = file_temp_name(ret->name, &ret->temp);
        if (r < 0)
                return r;
        r = file_open_temp(ret->folder, ret->temp, 0600, &ret->file);
        if (r >= 0)
                r = file_set_mode(ret->file, 0600);
        if (r >= 0)
                r = file_reserve(ret->file, TOKEN_SIZE_MAX + 1);
        if (r >= 0)
                r = file_sync(ret->file);
        if (r >= 0)
                r = folder_sync(ret->folder);
        return r < 0 ? file_failure(reterr, r, "make", ret->folder->path, ret->name) : 0;
}

int token_file_keep(TokenFile *file, const Secret *token, char **reterr)
{
        size_t size = secret_size(token);

        int r = file_write(file->file, 0, secret_data(token), size);
        if (r >= 0)
                r = file_write(file->file, size, "\n", 1);
        if (r < 0)
                return file_failure(reterr, r, "write the token to", file->folder->path, file->temp);
        /* Whatever comes now, it is there. */
        file->kept = true;
        r = file_truncate(file->file, size + 1);
        if (r >= 0)
                r = file_sync(file->file);
        if (r >= 0)
                r = folder_rename(file->folder, file->temp, file->name);
        if (r < 0) {
                if (asprintf(reterr, "Failed to replace '%s/%s': %s; the token is in '%s/%s'", file->folder->path,
                            file->name, strerror(-r), file->folder->path, file->temp) < 0)
                        *reterr = NULL;
                free(take_ptr(file->temp)); /* stays */
                return r;
        }
        free(take_ptr(file->temp));
        r = folder_sync(file->folder);
        return r < 0 ? file_failure(reterr, r, "sync", file->folder->path, NULL) : 0;
}

void token_file_done(TokenFile *file)
{
        if (file->file && file->temp)
                (void)folder_remove(file->folder, file->temp);
        (void)file_close(file->file);
        (void)folder_free(file->folder);
        free(file->name);
        free(file->temp);
        *file = (TokenFile){0};
}
