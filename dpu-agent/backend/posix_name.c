/* SPDX-License-Identifier: Apache-2.0 */
/* posix_name.c - one after the other: renames and unlinks of a file name are alone with it, opens
 * may be several. The order is that of the calls, so that what the index says and what the name
 * shows can be reasoned about as if each were done at once.
 *
 * A name exists here while somebody claims it. Thread: the owner of the loop. Memory: pools. */
#include "backend/posix.h"

#include <errno.h>
#include <string.h>

static struct posix_name *name_find(const struct posix *posix, struct bc_hash128 hash)
{
    struct bc_hashmap_node *node = bc_hashmap_find(&posix->names, hash);

    return node == NULL ? NULL : BC_CONTAINER_OF(node, struct posix_name, node);
}

bool bc_posix_name_busy(const struct posix *posix, struct bc_hash128 hash)
{
    return name_find(posix, hash) != NULL;
}

static bool compatible(const struct posix_name *name, const struct posix_claim *claim)
{
    return !name->exclusive && (!claim->exclusive || name->shared == 0);
}

/* Grants what can be granted, in order. A callback may give its claim back at once: no
 * recursion. */
static void grant(struct posix *posix, struct posix_name *name)
{
    struct bc_list_node *node;

    if (name->granting) {
        return;
    }
    name->granting = true;
    while ((node = bc_list_first(&name->waiting)) != NULL) {
        struct posix_claim *claim = BC_CONTAINER_OF(node, struct posix_claim, node);

        if (!compatible(name, claim)) {
            break;
        }
        bc_list_remove(&name->waiting, node);
        name->exclusive = claim->exclusive;
        name->shared += claim->exclusive ? 0 : 1;
        claim->granted(claim);
    }
    name->granting = false;
    if (bc_list_empty(&name->waiting) && !name->exclusive && name->shared == 0) {
        bc_hashmap_remove(&posix->names, &name->node);
        bc_pool_put(&posix->name_pool, name);
    }
}

void bc_posix_claim(struct posix *posix, struct posix_claim *claim, struct bc_hash128 hash,
                    bool exclusive, posix_claim_fn granted)
{
    struct posix_name *name = name_find(posix, hash);

    if (name == NULL) {
        name = bc_pool_get(&posix->name_pool);
        BC_ASSERT(name != NULL); /* there is one for everybody who may claim */
        *name = (struct posix_name){.node = {.hash = hash}};
        bc_list_init(&name->waiting);
        bc_hashmap_insert(&posix->names, &name->node);
    }
    *claim = (struct posix_claim){.name = name, .exclusive = exclusive, .granted = granted};
    bc_list_push_back(&name->waiting, &claim->node);
    grant(posix, name);
}

void bc_posix_unclaim(struct posix *posix, struct posix_claim *claim)
{
    struct posix_name *name = claim->name;

    BC_ASSERT(name != NULL);
    claim->name = NULL;
    if (claim->exclusive) {
        BC_ASSERT(name->exclusive);
        name->exclusive = false;
    } else {
        BC_ASSERT(name->shared > 0);
        name->shared--;
    }
    grant(posix, name);
}

/* ---- unlinks ---- */

static void run_retries(struct posix *posix)
{
    size_t count = posix->retries.count;

    for (; count > 0 && bc_posix_unlinks_running(posix) == 0; count--) {
        struct posix_retry *retry =
            BC_CONTAINER_OF(bc_list_pop_front(&posix->retries), struct posix_retry, node);

        retry->run(retry);
    }
}

void bc_posix_unlink_ended(struct posix *posix)
{
    posix->unlinks_in_flight--;
    bc_posix_run_doomed(posix);
    bc_posix_run_removals(posix);
    run_retries(posix);
    bc_ready_signal(&posix->ready);
    bc_posix_check_stop(posix);
}

static void unlink_end(struct posix_unlink *unlink, int result)
{
    struct posix *posix = unlink->posix;
    struct posix_object *object = unlink->object;

    if (object != NULL) {
        object->flags &= (uint16_t)~POSIX_OBJECT_UNLINKING;
        if (result != 0) {
            object->flags |= POSIX_OBJECT_STRANDED;
        }
        bc_posix_object_check(posix, object);
    }
    bc_posix_unclaim(posix, &unlink->claim);
    if (unlink->done != NULL) {
        unlink->done(unlink, result);
    }
    bc_pool_put(&posix->unlink_pool, unlink);
    bc_posix_unlink_ended(posix);
}

static void unlink_done(struct bc_file_req *req, int64_t result)
{
    struct posix_unlink *unlink = BC_CONTAINER_OF(req, struct posix_unlink, req);
    int error = result == -ENOENT ? 0 : (int)result; /* gone is gone */

    if (error != 0) {
        bc_posix_io_error(unlink->posix, "unlink", unlink->path, error);
    }
    unlink_end(unlink, error);
}

static void unlink_submit(struct posix_unlink *unlink)
{
    struct posix *posix = unlink->posix;

    unlink->req.kind = BC_FILE_UNLINK;
    unlink->req.dir_fd = posix->store->root_fd;
    unlink->req.path = unlink->path;
    unlink->req.flags = 0;
    unlink->req.done = unlink_done;
    bc_file_submit(posix->files, &unlink->req);
}

static void no_spare(struct posix_unlink *unlink)
{
    bc_posix_spare_free(unlink->spare);
    unlink->spare = NULL;
}

static void to_spare_done(struct bc_file_req *req, int64_t result)
{
    struct posix_unlink *unlink = BC_CONTAINER_OF(req, struct posix_unlink, req);

    if (result != 0) {
        no_spare(unlink);
        unlink_submit(unlink); /* tells what is wrong, if it fails as well */
        return;
    }
    unlink->object->flags |= POSIX_OBJECT_REUSED;
    bc_posix_spare_ready(unlink->spare);
    unlink_end(unlink, 0);
}

static void unlink_granted(struct posix_claim *claim)
{
    struct posix_unlink *unlink = BC_CONTAINER_OF(claim, struct posix_unlink, claim);
    struct posix *posix = unlink->posix;

    posix->unlinks_claiming--;
    /* Another object has the name by now: the rename that brought it took this one away. */
    if (bc_posix_find(posix, claim->name->node.hash) != NULL) {
        if (unlink->spare != NULL) {
            no_spare(unlink);
        }
        unlink_end(unlink, 0);
        return;
    }
    if (unlink->spare == NULL) {
        unlink_submit(unlink);
        return;
    }
    unlink->req.kind = BC_FILE_RENAME;
    unlink->req.dir_fd = posix->store->root_fd;
    unlink->req.path = unlink->path;
    unlink->req.dir_fd2 = posix->store->root_fd;
    unlink->req.path2 = unlink->spare->path;
    unlink->req.done = to_spare_done;
    bc_file_submit(posix->files, &unlink->req);
}

static bool unlink_start(struct posix *posix, struct posix_object *object, struct bc_hash128 hash,
                         const struct posix_unlink *how)
{
    struct posix_unlink *unlink = bc_pool_get(&posix->unlink_pool);

    if (unlink == NULL) {
        return false;
    }
    unlink->posix = posix;
    unlink->object = object;
    unlink->spare = how->spare;
    unlink->done = how->done;
    unlink->done_arg = how->done_arg;
    unlink->done_index = how->done_index;
    bc_posix_path(hash, unlink->path);
    posix->unlinks_in_flight++;
    posix->unlinks_claiming++;
    bc_posix_claim(posix, &unlink->claim, hash, true, unlink_granted);
    return true;
}

bool bc_posix_unlink(struct posix *posix, struct posix_object *object, struct bc_hash128 hash,
                     posix_unlink_fn done, void *done_arg, uint32_t done_index)
{
    const struct posix_unlink how = {.done = done, .done_arg = done_arg, .done_index = done_index};

    return unlink_start(posix, object, hash, &how);
}

bool bc_posix_unlink_to_spare(struct posix *posix, struct posix_object *object,
                              struct posix_spare *spare)
{
    const struct posix_unlink how = {.spare = spare};

    return unlink_start(posix, object, object->node.hash, &how);
}
