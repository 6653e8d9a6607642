#pragma once

/* How disk_real() walks a path: part by part, with own following of links, so that whoever could turn the path
 * elsewhere is found before it is used. */

#include "agent/base/disk.h"

/* Walks PATH to its end, or, where RET_NAME is given, to the folder of its last part, as folder_open_for() says.
 * *RET_FD is O_PATH; *RET_PATH is where it lies, links resolved. */
int path_walk(const char *path, FolderFlags flags, int *ret_fd, char **ret_path, char **ret_name, char **reterr);

/* Syncs the folder FD, which may be O_PATH. */
int folder_fd_sync(int fd);
