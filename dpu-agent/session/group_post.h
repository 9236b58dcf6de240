/* SPDX-License-Identifier: Apache-2.0 */
/* group_post.h - tells the other workers of the groups that this one's backend dropped.
 *
 *   backend: group_dropped -> waiting -> one mail, with all that waited: worker+1, worker+2, ... home
 *                                                                        -> backend: group_told
 *
 * There is one mail for each worker, and it is out at most once; what is dropped meanwhile waits for
 * its next round. Nothing is lost and nothing is allocated, however slow another worker is: what
 * waits is the record that the dropped object had (struct bc_group_drop). A round carries at most
 * BC_GROUP_POST_MAX drops, so that no turn of a worker gets long.
 * Thread: the worker's; what a mail carries belongs to whoever has the mail. */
#ifndef BC_SESSION_GROUP_POST_H
#define BC_SESSION_GROUP_POST_H

#include "backend/backend.h"
#include "loop/loop.h"

BC_EXTERN_C_BEGIN

#define BC_GROUP_POST_MAX 64u

struct bc_worker;

struct bc_group_post {
    struct bc_worker *worker;
    struct bc_mail mail;
    struct bc_group_drop *carried;
    uint32_t at;                   /* index of the worker that has the mail */
    bool out;                      /* atomic */
    struct bc_group_drop *waiting; /* oldest first */
    struct bc_group_drop **waiting_end;
};

/* Sets the backend's group_dropped. The peers' backends are there before the first drop; they go
 * when every post is quiet and no object is dropped any more. */
void bc_group_post_init(struct bc_group_post *post, struct bc_worker *worker);
/* Nothing waits and nothing is on its way; any thread, when no object is dropped any more. */
bool bc_group_post_is_quiet(const struct bc_group_post *post);

BC_EXTERN_C_END

#endif
