#pragma once

/* Text that goes to GitLab (`description`, `maintenance_note`): specifiers and limits. */

#include <stddef.h>

/* What the specifiers stand for; NULL: not known on this host. All borrowed. */
typedef struct Specifiers {
        const char *host_name;   /* %H */
        const char *machine_id;  /* %m */
        const char *instance_id; /* %i, cloud-init's */
} Specifiers;

/* GitLab's limit of description and maintenance_note, in characters. */
#define TEXT_CHARACTERS_MAX 1024

/* Replaces %H, %m, %i and %%. -EINVAL and what is wrong for any other specifier, for one whose value is not known,
 * and where the result is longer than TEXT_CHARACTERS_MAX; -ENOMEM. With SPECIFIERS NULL the form alone is checked
 * and *RET, which may then be NULL, is not set. */
int text_expand(const char *text, const Specifiers *specifiers, char **ret, char **reterr);
