#pragma once

/* One id per event that operators look for or alert on: `journalctl MESSAGE_ID=…`, and `journalctl -x` explains it
 * from the catalog. An id never changes its meaning and is never used again. */

/* A runner was created at GitLab, or a shared token's manager enrolled. */
#define MESSAGE_ID_REGISTERED "11c64a04e0a4423da02ac65c98efd25b"

/* An entry that was there already is taken over, after GitLab accepted its token. */
#define MESSAGE_ID_ADOPTED "a9cd142326cb4cd6a208a1f513072cec"

/* GitLab says that a token is dead; not believed before removed_after. */
#define MESSAGE_ID_DOUBTFUL "330dfde83c874433b78bfd3a3be39844"

/* A token is dead beyond doubt; the ladder of recovery begins. */
#define MESSAGE_ID_RECOVERING "2cb17c4850be46f7b30a39f49a91cf8b"

/* A runner has a new authentication token. */
#define MESSAGE_ID_ROTATED "c3916dabb7df450bb02b4741b99b10fc"

/* A rotation did not succeed; the old token is still in use. */
#define MESSAGE_ID_ROTATION_FAILED "dd3e1f8af28e43b48f043ee96b1491b0"

/* GitLab refused the configured token or request; a person has to act. */
#define MESSAGE_ID_REFUSED "c01ef6374c764273810c8bd3647fd386"

/* A runner or its manager was deleted as its host goes. */
#define MESSAGE_ID_WITHDRAWN "9709425ddb7d49cf9bc3cf4b1f8d47c1"

/* Something could not be deleted at GitLab and is kept to be deleted later. */
#define MESSAGE_ID_DEBT_RECORDED "fadbc04512ed4f90929cdfd75ceadc25"

/* What was kept to be deleted is deleted, or no longer needs to be. */
#define MESSAGE_ID_DEBT_PAID "e2f2306a6e8c4944bce13dca5687aa25"

/* A reload found mistakes; the old configuration stays. */
#define MESSAGE_ID_RELOAD_REFUSED "6f2f8beb5cf3429d84edb68f9c3d5a05"

/* The answer to a creation was lost: GitLab may have a runner that nobody uses. */
#define MESSAGE_ID_ORPHAN_SUSPECTED "d94f6a4ac0f0432ba495da404c7f3e2d"

/* State or system id belong to another machine; they are made anew. */
#define MESSAGE_ID_CLONE_DETECTED "c6948ed5ceec47a1b88c69db75e2ed93"

/* The cloud has announced that it takes this instance, or disturbs it. */
#define MESSAGE_ID_CLOUD_NOTICE "35c2762a3d324ca9bf8fee5d8d4f69a5"

/* Rotation is left to gitlab-runner; the real times stand in config.toml. */
#define MESSAGE_ID_HANDED_BACK "36c5dbdf5abb4ded815a2de1d11ad230"
