/* SPDX-License-Identifier: Apache-2.0 */
/* posix_get.c - gets of `posix`: chunks are read into leased extents, checked block by block, and
 * shown.
 *
 * Whole blocks of 64 KiB are read, whatever was asked for, because their checksums are of whole
 * blocks. The first chunk of a small object brings the footer along in the same read; chunks of
 * others that arrive before the footer wait for it. Thread: the owner of the loop. Memory: handles
 * and ios from pools. */
#include "backend/posix.h"

#include <errno.h>
#include <string.h>

static struct posix_get *get_of(struct bc_get *get)
{
    return BC_CONTAINER_OF(get, struct posix_get, base);
}

/* ---- open and close ---- */

static void get_free(struct posix *posix, struct posix_get *get)
{
    bc_posix_get_end(posix, get);
    posix->handles--;
    bc_pool_put(&posix->get_pool, get);
    bc_ready_signal(&posix->ready);
}

static void get_opened(struct posix_get *get, int result)
{
    struct posix *posix = bc_posix_of(get->base.backend);
    struct bc_open_op *op = get->open_op;
    bool starting = get->starting;

    if (result == 0) {
        bc_counter_add(&posix->counters.hits, 1);
        op->get = &get->base;
        op->size = get->object->size;
        op->version = get->object->version;
        memset(op->meta, 0, sizeof(op->meta));
        if (get->footer_state == POSIX_FOOTER_GOOD) {
            memcpy(op->meta, get->footer->meta, sizeof(op->meta));
        }
    } else {
        if (result == -ENOENT) {
            bc_counter_add(&posix->counters.misses, 1);
        }
        get_free(posix, get);
    }
    if (starting) {
        bc_later_open(posix->loop, op, result);
    } else {
        op->done(op, result);
    }
}

struct posix_get *bc_posix_get_alloc(struct posix *posix, struct bc_hash128 hash,
                                     posix_opened_fn opened)
{
    struct posix_get *get = bc_pool_get(&posix->get_pool);
    uint64_t index;

    BC_ASSERT(get != NULL); /* one for each handle, and iterate's */
    index = (uint64_t)posix->put_pool.count + bc_pool_index(&posix->get_pool, get);
    /* All but the key's bytes, of which key_len says how many count. */
    memset(get, 0, offsetof(struct posix_get, key));
    get->base.backend = &posix->base;
    get->footer = (struct bc_posix_footer *)(void *)(posix->footers + index * BC_POSIX_BLOCK);
    get->hash = hash;
    get->opened = opened;
    return get;
}

void bc_posix_get_open(struct bc_backend *backend, struct bc_open_op *op)
{
    struct posix *posix = bc_posix_of(backend);
    struct posix_get *get;

    if (posix->handles >= posix->handles_max) {
        bc_later_open(posix->loop, op, bc_ready_again(&posix->ready));
        return;
    }
    get = bc_posix_get_alloc(posix, op->key.hash, get_opened);
    posix->handles++;
    get->open_op = op;
    get->tenant = op->key.tenant;
    get->key_len = op->key.key_len;
    memcpy(get->key, op->key.key, op->key.key_len);
    get->starting = true;
    bc_posix_get_start(posix, get);
    /* When it ended at once and in failure, the handle is back in the pool: nobody else has it
     * yet. */
    get->starting = false;
}

void bc_posix_get_close(struct bc_get *base)
{
    struct posix_get *get = get_of(base);

    BC_ASSERT(get->chunks == 0 && get->footer_state != POSIX_FOOTER_READING);
    get_free(bc_posix_of(base->backend), get);
}

/* ---- chunks ---- */

/* Tells the caller, and keeps the extent only if there is something to see in it. */
static void chunk_end(struct posix *posix, struct posix_io *io, int result)
{
    struct posix_get *get = io->get;
    struct bc_get_op *op = io->get_op;

    if (result == 0) {
        op->data = io->extent.data;
        op->len = io->len;
        op->internal[0] = io;
        bc_counter_add(&posix->counters.get_bytes, io->len);
    } else {
        get->chunks--;
        bc_staging_return(posix->staging, io->extent.lease);
        bc_pool_put(&posix->io_pool, io);
        bc_ready_signal(&posix->ready);
    }
    op->done(op, result);
}

/* Bytes of the object that are read for this chunk: up to the end of its last block. */
static uint32_t read_len(const struct posix_get *get, uint64_t offset, uint32_t len)
{
    uint64_t end = bc_align_up_u64(offset + len, BC_CRC_BLOCK_SIZE);

    return (uint32_t)(bc_min_u64(end, get->object->size) - offset);
}

static void chunk_judge(struct posix *posix, struct posix_io *io)
{
    struct posix_get *get = io->get;
    struct posix_object *object = get->object;
    uint32_t len = read_len(get, io->offset, io->len);
    const uint32_t *sums =
        get->table != NULL
            ? get->table
            : (const uint32_t *)(const void *)((const uint8_t *)get->footer +
                                               offsetof(struct bc_posix_footer, crcs));
    int result = io->result;

    if (result == -EBADMSG) {
        bc_posix_drop(posix, object, result, "the file is shorter than its object");
    } else if (bc_posix_error_is_lasting(result)) {
        bc_posix_drop(posix, object, result, "cannot read the data");
    } else if (result < 0) {
        bc_posix_io_error(posix, "read", posix->store->root, result);
    } else if (get->footer_state == POSIX_FOOTER_FAILED) {
        result = get->footer_error;
    } else if (bc_crc32c_check(io->extent.data, len, sums + io->offset / BC_CRC_BLOCK_SIZE) >= 0) {
        result = -EBADMSG;
        bc_posix_drop(posix, object, result, "the data does not match its checksums");
    }
    chunk_end(posix, io, result);
}

void bc_posix_run_parked(struct posix *posix, struct posix_get *get)
{
    size_t count = get->parked.count;

    for (; count > 0; count--) {
        chunk_judge(posix, BC_CONTAINER_OF(bc_list_pop_front(&get->parked), struct posix_io, node));
    }
}

static void read_done(struct bc_file_req *req, int64_t result)
{
    struct posix_io *io = BC_CONTAINER_OF(req, struct posix_io, req);
    struct posix_get *get = io->get;
    struct posix *posix = bc_posix_of(get->base.backend);
    uint64_t data_len = bc_posix_padded(read_len(get, io->offset, io->len));

    io->result = result < 0 ? (int32_t)result : (uint64_t)result < data_len ? -EBADMSG : 0;
    if (io->footer) {
        /* Others wait for this footer as well: they go first, the handle lives until this one
         * ends. */
        bc_posix_footer_arrived(posix, get, result, data_len + BC_POSIX_BLOCK);
        bc_posix_run_parked(posix, get);
    }
    if (get->footer_state == POSIX_FOOTER_READING) {
        bc_list_push_back(&get->parked, &io->node);
    } else {
        chunk_judge(posix, io);
    }
}

static void chunk_read(struct posix *posix, struct posix_get *get, struct posix_io *io)
{
    struct bc_file_req *req = &io->req;
    bool whole = io->offset == 0 && io->len == get->object->size;

    req->kind = BC_FILE_READ;
    req->fd = get->slot->fd;
    req->offset = io->offset;
    req->iov[0] =
        (struct iovec){.iov_base = io->extent.data,
                       .iov_len = (size_t)bc_posix_padded(read_len(get, io->offset, io->len))};
    req->iov_count = 1;
    req->done = read_done;
    if (get->footer_state == POSIX_FOOTER_NONE && whole) {
        get->footer_state = POSIX_FOOTER_READING;
        io->footer = true;
        req->iov[req->iov_count++] =
            (struct iovec){.iov_base = get->footer, .iov_len = BC_POSIX_BLOCK};
    } else if (get->footer_state == POSIX_FOOTER_NONE) {
        bc_posix_footer_read(posix, get);
    }
    bc_file_submit(posix->files, req);
}

int bc_posix_get_chunk(struct bc_get *base, struct bc_get_op *op)
{
    struct posix_get *get = get_of(base);
    struct posix *posix = bc_posix_of(base->backend);
    struct bc_extent extent;
    struct posix_io *io;
    uint32_t len;
    int rc;

    BC_ASSERT(op->offset % BC_CRC_BLOCK_SIZE == 0);
    if (op->len == 0 || op->offset >= get->object->size ||
        op->len > get->object->size - op->offset) {
        bc_later_get(posix->loop, op, -ERANGE);
        return 0;
    }
    if (get->footer_state == POSIX_FOOTER_FAILED) {
        bc_later_get(posix->loop, op, get->footer_error);
        return 0;
    }
    if (posix->io_pool.free_count <= posix->ios_reserved) {
        return bc_ready_again(&posix->ready);
    }
    len = (uint32_t)bc_min_u64(op->len, posix->chunk_len_max);
    rc = bc_staging_lease(posix->staging, BC_LEASE_STREAM, read_len(get, op->offset, len), &extent);
    if (rc != 0) {
        return rc == -EAGAIN ? bc_ready_again(&posix->ready) : rc;
    }
    io = bc_pool_get(&posix->io_pool);
    *io = (struct posix_io){
        .get = get, .get_op = op, .extent = extent, .offset = op->offset, .len = len};
    get->chunks++;
    chunk_read(posix, get, io);
    return 0;
}

void bc_posix_get_release(struct bc_get *base, struct bc_get_op *op)
{
    struct posix_get *get = get_of(base);
    struct posix *posix = bc_posix_of(base->backend);
    struct posix_io *io = op->internal[0];

    BC_ASSERT(get->chunks > 0 && io->get == get);
    get->chunks--;
    op->data = NULL;
    bc_staging_return(posix->staging, io->extent.lease);
    bc_pool_put(&posix->io_pool, io);
    bc_ready_signal(&posix->ready);
}
