#pragma once

/* Extended attributes of files: xattr(7), acl(5). */

/* Gives the file behind TO the ACL of the one behind FROM, or none where that has none: a new file inherits its
 * folder's default ACL, which may let in whom the old file kept out. Labels and user attributes go along as far as
 * this program may set them; signatures of the content (IMA, EVM) do not, as the content is another. */
int attributes_copy(int to, int from);
