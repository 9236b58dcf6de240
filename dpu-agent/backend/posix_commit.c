/* SPDX-License-Identifier: Apache-2.0 */
/* posix_commit.c - how a put of `posix` ends: published by a rename, or cleaned up.
 *
 *   put_commit: claim the name -> write the footer, unless it went with the data -> rename -> index
 *   failure:    give the claim back -> close -> unlink the temporary file -> give the bytes back
 *
 * Each step ends in put_step or clean_step, which look what is next. Thread: the owner of the
 * loop. */
#include "backend/posix.h"

#include <errno.h>
#include <string.h>

static void put_step(struct posix *posix, struct posix_put *put);
static void clean_step(struct posix *posix, struct posix_put *put);

static struct posix_put *put_of_req(struct bc_file_req *req)
{
    return BC_CONTAINER_OF(req, struct posix_put, req);
}

static void unlist(struct posix *posix, struct posix_put *put)
{
    if (put->listed) {
        put->listed = false;
        bc_hashmap_remove(&posix->puts, &put->node);
    }
}

static void put_free(struct posix *posix, struct posix_put *put)
{
    unlist(posix, put);
    bc_posix_table_give(posix, put->table);
    bc_pool_put(&posix->put_pool, put);
    bc_ready_signal(&posix->ready);
    bc_posix_check_stop(posix);
}

/* ---- cleaning up ---- */

static void clean_end(struct posix *posix, struct posix_put *put)
{
    struct bc_batch_op *op = put->commit_op;
    int result = put->error;

    posix->going -= put->bytes;
    if (put->exists || put->stuck) {
        posix->stranded += put->bytes; /* until the next start empties the directory */
    } else {
        bc_posix_release(posix, put->bytes);
    }
    bc_posix_object_free(posix, put->object);
    if (op != NULL) {
        posix->handles--;
    }
    put_free(posix, put);
    if (op != NULL) {
        bc_later_batch(posix->loop, op, result); /* this may still be inside put_commit */
    }
}

static void clean_unlinked(struct bc_file_req *req, int64_t result)
{
    struct posix_put *put = put_of_req(req);
    struct posix *posix = bc_posix_of(put->base.backend);

    if (result != 0 && result != -ENOENT) {
        bc_posix_io_error(posix, "unlink", req->path, (int)result);
    } else {
        put->exists = false;
    }
    clean_end(posix, put);
}

static void clean_closed(struct bc_file_req *req, int64_t result)
{
    struct posix_put *put = put_of_req(req);

    (void)result; /* what was written is thrown away */
    put->fd = -1;
    clean_step(bc_posix_of(put->base.backend), put);
}

static void clean_step(struct posix *posix, struct posix_put *put)
{
    if (put->opening) {
        return; /* comes back when it ends */
    }
    if (put->fd >= 0) {
        put->req.kind = BC_FILE_CLOSE;
        put->req.fd = put->fd;
        put->req.done = clean_closed;
        bc_file_submit(posix->files, &put->req);
    } else if (put->exists) {
        put->req.kind = BC_FILE_UNLINK;
        put->req.dir_fd = posix->store->root_fd;
        put->req.path = put->tmp_path;
        put->req.flags = 0;
        put->req.done = clean_unlinked;
        bc_file_submit(posix->files, &put->req);
    } else {
        clean_end(posix, put);
    }
}

void bc_posix_put_clean(struct posix *posix, struct posix_put *put, int result)
{
    BC_ASSERT(put->chunks == 0 && put->leases_out == 0);
    put->state = POSIX_PUT_CLEANING;
    put->error = result;
    posix->going += put->bytes;
    unlist(posix, put);
    if (put->claimed) {
        put->claimed = false;
        bc_posix_unclaim(posix, &put->claim);
    }
    clean_step(posix, put);
}

void bc_posix_put_abort(struct bc_put *base)
{
    struct posix_put *put = BC_CONTAINER_OF(base, struct posix_put, base);
    struct posix *posix = bc_posix_of(base->backend);

    posix->handles--;
    bc_posix_put_clean(posix, put, -ECANCELED);
    bc_ready_signal(&posix->ready);
}

/* ---- publishing ---- */

static void commit_end(struct posix *posix, struct posix_put *put)
{
    struct bc_batch_op *op = put->commit_op;

    posix->handles--;
    put_free(posix, put);
    op->done(op, 0);
}

static void commit_closed(struct bc_file_req *req, int64_t result)
{
    struct posix_put *put = put_of_req(req);

    (void)result; /* the data is there or its checksums will tell; no flush was promised */
    commit_end(bc_posix_of(put->base.backend), put);
}

static void publish(struct posix *posix, struct posix_put *put)
{
    struct posix_object *old = bc_posix_find(posix, put->node.hash);
    struct bc_hashmap_node *node;
    bool adopted;

    unlist(posix, put);
    for (node = bc_hashmap_find(&posix->puts, put->node.hash); node != NULL;
         node = bc_hashmap_find_next(node)) {
        BC_CONTAINER_OF(node, struct posix_put, node)->newer_than = put->object->version;
    }
    if (old != NULL) {
        bc_posix_index_remove(posix, old); /* the rename took its name away */
    }
    bc_posix_index_add(posix, put->object);
    bc_counter_add(&posix->counters.put_bytes, (int64_t)put->size);
    put->claimed = false;
    bc_posix_unclaim(posix, &put->claim);
    adopted = bc_posix_slot_adopt(posix, put->object, put->fd);
    if (bc_posix_group_is_dropped(posix, put->object)) { /* while the rename was under way */
        bc_counter_add(&posix->counters.group_evictions, 1);
        bc_posix_doom(posix, put->object);
    }
    if (adopted) {
        commit_end(posix, put);
        return;
    }
    put->req.kind = BC_FILE_CLOSE;
    put->req.fd = put->fd;
    put->req.done = commit_closed;
    bc_file_submit(posix->files, &put->req);
}

static void withdrawn(struct bc_file_req *req, int64_t result)
{
    struct posix_put *put = put_of_req(req);
    struct posix *posix = bc_posix_of(put->base.backend);

    if (result != 0 && result != -ENOENT) {
        bc_posix_io_error(posix, "unlink", put->path, (int)result);
        put->stuck = true;
    }
    bc_posix_put_clean(posix, put, -ECANCELED);
}

/* A remove came while the rename was under way: the file goes again, before anybody saw it. */
static void withdraw(struct posix *posix, struct posix_put *put)
{
    put->state = POSIX_PUT_RENAMED;
    put->req.kind = BC_FILE_UNLINK;
    put->req.dir_fd = posix->store->root_fd;
    put->req.path = put->path;
    put->req.flags = 0;
    put->req.done = withdrawn;
    bc_file_submit(posix->files, &put->req);
}

/* True: tried again later, the put is somebody else's business until then. */
static bool failed_for_space(struct posix *posix, struct posix_put *put, int64_t result)
{
    return (result == -ENOSPC || result == -EDQUOT) &&
           bc_posix_retry_nospc(posix, &put->retry, BC_POSIX_BLOCK, put->bytes - put->written);
}

static void step_again(struct posix_retry *retry)
{
    struct posix_put *put = BC_CONTAINER_OF(retry, struct posix_put, retry);

    put_step(bc_posix_of(put->base.backend), put);
}

static void rename_done(struct bc_file_req *req, int64_t result)
{
    struct posix_put *put = put_of_req(req);
    struct posix *posix = bc_posix_of(put->base.backend);

    if (result == 0) {
        put->exists = false;
        if (put->removed) {
            withdraw(posix, put);
        } else {
            publish(posix, put);
        }
        return;
    }
    if (!failed_for_space(posix, put, result)) {
        bc_posix_io_error(posix, "rename", put->path, (int)result);
        bc_posix_put_clean(posix, put, bc_posix_put_error((int)result));
    }
}

static void footer_done(struct bc_file_req *req, int64_t result)
{
    struct posix_put *put = put_of_req(req);
    struct posix *posix = bc_posix_of(put->base.backend);

    if (result == (int64_t)put->footer->table_len + BC_POSIX_BLOCK) {
        put->sealed = true;
        put_step(posix, put);
        return;
    }
    if (!failed_for_space(posix, put, result)) {
        int error = result >= 0 ? -EIO : (int)result;

        bc_posix_io_error(posix, "write", put->tmp_path, error);
        bc_posix_put_clean(posix, put, bc_posix_put_error(error));
    }
}

static void write_footer(struct posix *posix, struct posix_put *put)
{
    struct bc_file_req *req = &put->req;

    bc_posix_put_seal(posix, put);
    req->kind = BC_FILE_WRITE;
    req->fd = put->fd;
    req->offset = bc_posix_padded(put->size);
    req->iov_count = 0;
    if (put->table != NULL) {
        req->iov[req->iov_count++] =
            (struct iovec){.iov_base = put->table, .iov_len = put->footer->table_len};
    }
    req->iov[req->iov_count++] = (struct iovec){.iov_base = put->footer, .iov_len = BC_POSIX_BLOCK};
    req->done = footer_done;
    bc_file_submit(posix->files, req);
}

static void put_step(struct posix *posix, struct posix_put *put)
{
    if (put->removed) {
        bc_posix_put_clean(posix, put, -ECANCELED);
    } else if (put->error != 0) {
        bc_posix_put_clean(posix, put, put->error);
    } else if (bc_posix_group_is_dropped(posix, put->object)) {
        /* Gone with its group, like those that were there in time. */
        bc_counter_add(&posix->counters.group_evictions, 1);
        bc_posix_put_clean(posix, put, 0);
    } else if (put->opening) {
        return; /* an object without data; comes back when its file is there */
    } else if (!put->sealed || put->object->version < put->newer_than) {
        write_footer(posix, put);
    } else {
        put->req.kind = BC_FILE_RENAME;
        put->req.dir_fd = posix->store->root_fd;
        put->req.path = put->tmp_path;
        put->req.dir_fd2 = posix->store->root_fd;
        put->req.path2 = put->path;
        put->req.done = rename_done;
        bc_file_submit(posix->files, &put->req);
    }
}

static void commit_granted(struct posix_claim *claim)
{
    struct posix_put *put = BC_CONTAINER_OF(claim, struct posix_put, claim);
    struct posix *posix = bc_posix_of(put->base.backend);

    put->claimed = true;
    put_step(posix, put);
}

void bc_posix_put_commit(struct bc_put *base, struct bc_batch_op *op)
{
    struct posix_put *put = BC_CONTAINER_OF(base, struct posix_put, base);
    struct posix *posix = bc_posix_of(base->backend);

    BC_ASSERT(put->state == POSIX_PUT_OPEN && put->chunks == 0 && put->leases_out == 0 &&
              put->summed_len == put->size);
    put->state = POSIX_PUT_COMMIT;
    put->commit_op = op;
    bc_posix_claim(posix, &put->claim, put->node.hash, true, commit_granted);
}

void bc_posix_put_opened(struct posix *posix, struct posix_put *put)
{
    bc_posix_put_run_waiting(posix, put);
    put->retry.run = step_again;
    if (put->state == POSIX_PUT_CLEANING) {
        clean_step(posix, put);
    } else if (put->state == POSIX_PUT_COMMIT && put->claimed) {
        put_step(posix, put);
    }
}

void bc_posix_cancel_puts(struct posix *posix, struct bc_hash128 hash)
{
    struct bc_hashmap_node *node = bc_hashmap_find(&posix->puts, hash);

    for (; node != NULL; node = bc_hashmap_find_next(node)) {
        BC_CONTAINER_OF(node, struct posix_put, node)->removed = true;
    }
}
