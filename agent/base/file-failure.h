#pragma once

/* What is said when something could not be done to a file. */

/* Sets *reterr (which may be NULL) to "Failed to VERB 'FOLDER/NAME': reason; what to do" and returns ERROR, a
 * negative errno. NAME may be NULL. */
int file_failure(char **reterr, int error, const char *verb, const char *folder, const char *name);
