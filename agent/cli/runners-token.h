#pragma once

/* --token-to: the file for a token that is shown only once. It is made, with its space, before anything is sent. */

#include "agent/base/file.h"

typedef struct TokenFile {
        Folder *folder;
        File *file;
        char *name;
        char *temp; /* what is written to until the token is there */
        bool kept;  /* the token is in one of the two */
} TokenFile;

/* Proves that PATH can be made or replaced, and takes the space. Links are followed. Returns 0, or a negative errno
 * and a sentence. *RET is for token_file_done() in any case. */
int token_file_prepare(const char *path, TokenFile *ret, char **reterr);

/* Writes TOKEN and a line end, and puts the file in its place. Where only that fails, the sentence says where the
 * token lies. */
int token_file_keep(TokenFile *file, const Secret *token, char **reterr);

/* Removes what was prepared and not kept. */
void token_file_done(TokenFile *file);
