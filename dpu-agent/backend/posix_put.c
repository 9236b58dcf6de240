/* SPDX-License-Identifier: Apache-2.0 */
/* posix_put.c - puts of `posix` up to their commit: a temporary file is opened while the first data
 * is on its way, chunks are written straight from the extents they arrived in. The chunk that
 * completes the object takes the footer along in the same write.
 *
 * Invariants: an extent goes back to the pool when its write has ended; `summed_len` counts the
 * bytes whose checksums are in the footer or the table; the file's whole length is charged from
 * put_begin on. Thread: the owner of the loop. Memory: handles, footers and tables from pools. */
#include "backend/posix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* An object of this size is refused before it takes others' room, when the disk cannot hold it. */
#define DISK_CHECKED_MIN (16ull << 20)

static struct posix_put *put_of(struct bc_put *put)
{
    return BC_CONTAINER_OF(put, struct posix_put, base);
}

uint32_t *bc_posix_table_take(struct posix *posix)
{
    return posix->free_table_count == 0 ? NULL : posix->free_tables[--posix->free_table_count];
}

void bc_posix_table_give(struct posix *posix, uint32_t *table)
{
    if (table == NULL) {
        return;
    }
    posix->free_tables[posix->free_table_count++] = table;
    bc_posix_run_table_waiters(posix);
    bc_ready_signal(&posix->ready);
}

static uint32_t *sums_of(struct posix_put *put)
{
    return put->table != NULL ? put->table
                              : (uint32_t *)(void *)((uint8_t *)put->footer +
                                                     offsetof(struct bc_posix_footer, crcs));
}

void bc_posix_put_seal(struct posix *posix, struct posix_put *put)
{
    put->object->version = ++posix->last_version;
    bc_posix_footer_seal(put->footer, put->table, put->object->version);
}

/* ---- begin ---- */

static void open_done(struct bc_file_req *req, int64_t result);

static void put_open(struct posix *posix, struct posix_put *put)
{
    put->opening = true;
    put->req.kind = BC_FILE_OPEN;
    put->req.dir_fd = posix->store->root_fd;
    put->req.path = put->tmp_path;
    put->req.flags = O_RDWR | O_CLOEXEC | (posix->store->direct ? O_DIRECT : 0) |
                     (put->reused ? O_NOFOLLOW : O_CREAT | O_EXCL);
    put->req.mode = 0600;
    put->req.done = open_done;
    bc_file_submit(posix->files, &put->req);
}

static void open_again(struct posix_retry *retry)
{
    struct posix_put *put = BC_CONTAINER_OF(retry, struct posix_put, retry);

    put_open(bc_posix_of(put->base.backend), put);
}

static void open_done(struct bc_file_req *req, int64_t result)
{
    struct posix_put *put = BC_CONTAINER_OF(req, struct posix_put, req);
    struct posix *posix = bc_posix_of(put->base.backend);

    if ((result == -ENOSPC || result == -EDQUOT) && put->state != POSIX_PUT_CLEANING &&
        bc_posix_retry_nospc(posix, &put->retry, BC_POSIX_BLOCK, put->bytes)) {
        return;
    }
    if (result == -ENOENT && put->reused) {
        put->reused = false; /* somebody took the spare away: a new file does as well */
        put->exists = false;
        put_open(posix, put);
        return;
    }
    put->opening = false;
    put->retry.count = 0;
    if (result < 0) {
        put->error = bc_posix_put_error((int)result);
        bc_posix_io_error(posix, "create", put->tmp_path, (int)result);
    } else {
        put->fd = (int)result;
        put->exists = true;
    }
    bc_posix_put_opened(posix, put);
}

void bc_posix_tmp_path(struct posix *posix, char *path_out)
{
    (void)snprintf(path_out, BC_POSIX_TMP_PATH_LEN, "%s/w%u-%llu", BC_POSIX_TMP_NAME, posix->worker,
                   (unsigned long long)++posix->last_tmp);
}

/* A file to write, and room for it: a spare, or a name and bytes of the capacity. */
static void take_file(struct posix *posix, struct posix_put *put)
{
    put->reused = bc_posix_spare_take(posix, put->bytes, put->tmp_path);
    put->exists = put->reused;
    if (put->reused) {
        bc_posix_evict_ahead(posix, put->bytes);
    } else {
        bc_posix_tmp_path(posix, put->tmp_path);
        bc_posix_charge(posix, put->bytes);
    }
}

static bool room_for(struct posix *posix, uint64_t bytes)
{
    return bc_posix_spare_has(posix, bytes) || bc_posix_make_room(posix, bytes);
}

/* The object's entry, its handle and what goes with it; nothing is taken when it fails. */
static int take_handle(struct posix *posix, uint64_t size, bool grouped, struct posix_put **put_out)
{
    struct posix_object *object;
    struct posix_put *put;

    if (posix->handles >= posix->handles_max || posix->put_pool.free_count == 0 ||
        (bc_posix_table_len(size) > 0 && posix->free_table_count == 0)) {
        return bc_ready_again(&posix->ready);
    }
    if (!room_for(posix, bc_posix_file_len(size))) {
        return bc_ready_again(&posix->ready);
    }
    object = bc_posix_object_alloc(posix, grouped);
    if (object == NULL) {
        return -ENOMEM;
    }
    put = bc_pool_get(&posix->put_pool);
    *put = (struct posix_put){.object = object, .fd = -1};
    put->footer = (struct bc_posix_footer *)(void *)(posix->footers +
                                                     (size_t)bc_pool_index(&posix->put_pool, put) *
                                                         BC_POSIX_BLOCK);
    if (bc_posix_table_len(size) > 0) {
        put->table = bc_posix_table_take(posix);
        memset(put->table, 0, bc_posix_table_len(size));
    }
    *put_out = put;
    return 0;
}

int bc_posix_put_begin(struct bc_backend *backend, const struct bc_object_key *key, uint64_t size,
                       const struct bc_put_hints *hints, struct bc_put **put_out)
{
    static const uint8_t no_meta[BC_OBJECT_META_LEN];
    struct posix *posix = bc_posix_of(backend);
    bool grouped = hints != NULL && hints->group != 0;
    struct posix_put *put = NULL;
    int rc;

    if (size > BC_OBJECT_SIZE_MAX) {
        return -EFBIG;
    }
    if (bc_posix_file_len(size) > posix->capacity - posix->stranded ||
        (size >= DISK_CHECKED_MIN && !bc_posix_disk_holds(posix, bc_posix_file_len(size)))) {
        return -ENOSPC;
    }
    rc = take_handle(posix, size, grouped, &put);
    if (rc != 0) {
        return rc;
    }
    BC_ASSERT(put != NULL);
    put->base.backend = backend;
    put->node.hash = key->hash;
    put->size = size;
    put->bytes = bc_posix_file_len(size);
    bc_list_init(&put->waiting);
    put->object->node.hash = key->hash;
    put->object->size = (uint32_t)size;
    bc_posix_footer_init(put->footer, posix->store->uuid, key->hash, key->tenant, size);
    put->footer->key_len = (uint16_t)key->key_len;
    memcpy(put->footer->key, key->key, key->key_len);
    if (hints != NULL && hints->meta != NULL &&
        memcmp(hints->meta, no_meta, sizeof(no_meta)) != 0) {
        memcpy(put->footer->meta, hints->meta, sizeof(put->footer->meta));
        put->object->flags |= POSIX_OBJECT_META;
    }
    if (grouped) {
        bc_group_member_init(bc_posix_member(put->object), key, hints);
        put->footer->group = hints->group;
    }
    take_file(posix, put);
    bc_posix_path(key->hash, put->path);
    posix->handles++;
    bc_hashmap_insert(&posix->puts, &put->node);
    put->listed = true;
    put->retry.run = open_again;
    put_open(posix, put);
    *put_out = &put->base;
    return 0;
}

/* ---- leases ---- */

int bc_posix_put_lease(struct bc_put *base, uint64_t offset, uint32_t want_len,
                       struct bc_extent *extent_out)
{
    struct posix_put *put = put_of(base);
    struct posix *posix = bc_posix_of(base->backend);
    struct bc_extent extent;
    uint64_t want;
    int rc;

    BC_ASSERT(want_len > 0 && offset % BC_CRC_BLOCK_SIZE == 0 && offset < put->size);
    if (put->error != 0) {
        return put->error;
    }
    if (posix->io_pool.free_count <= posix->ios_reserved) {
        return bc_ready_again(&posix->ready);
    }
    want = bc_min_u64(bc_min_u64(want_len, posix->chunk_len_max), put->size - offset);
    rc = bc_staging_lease(posix->staging, BC_LEASE_STREAM, (size_t)want, &extent);
    if (rc != 0) {
        return rc == -EAGAIN ? bc_ready_again(&posix->ready) : rc;
    }
    extent.len = (uint32_t)want;
    posix->ios_reserved++;
    put->leases_out++;
    *extent_out = extent;
    return 0;
}

void bc_posix_put_unlease(struct bc_put *base, const struct bc_extent *extent)
{
    struct posix_put *put = put_of(base);
    struct posix *posix = bc_posix_of(base->backend);

    BC_ASSERT(put->leases_out > 0);
    put->leases_out--;
    posix->ios_reserved--;
    bc_staging_return(posix->staging, extent->lease);
    bc_ready_signal(&posix->ready);
}

/* ---- chunks ---- */

/* Everything but telling the caller. */
static struct bc_put_op *io_free(struct posix *posix, struct posix_io *io)
{
    struct bc_put_op *op = io->put_op;

    io->put->chunks--;
    bc_staging_return(posix->staging, io->extent.lease);
    bc_pool_put(&posix->io_pool, io);
    bc_ready_signal(&posix->ready);
    return op;
}

static void io_end(struct posix *posix, struct posix_io *io, int result)
{
    struct bc_put_op *op;

    if (result == 0 && io->footer) {
        io->put->sealed = true;
    }
    op = io_free(posix, io);
    op->done(op, result);
}

static void io_write(struct posix *posix, struct posix_io *io);

static void io_again(struct posix_retry *retry)
{
    struct posix_io *io = BC_CONTAINER_OF(retry, struct posix_io, retry);

    io_write(bc_posix_of(io->put->base.backend), io);
}

static uint64_t io_len(const struct posix_io *io)
{
    uint64_t len = bc_posix_padded(io->len);

    return io->footer ? len + io->put->footer->table_len + BC_POSIX_BLOCK : len;
}

static void write_done(struct bc_file_req *req, int64_t result)
{
    struct posix_io *io = BC_CONTAINER_OF(req, struct posix_io, req);
    struct posix *posix = bc_posix_of(io->put->base.backend);

    if (result == (int64_t)io_len(io)) {
        posix->no_space_logged = false;
        io->put->written += io_len(io);
        io_end(posix, io, 0);
        return;
    }
    if ((result == -ENOSPC || result == -EDQUOT) &&
        bc_posix_retry_nospc(posix, &io->retry, io_len(io), io->put->bytes - io->put->written)) {
        return;
    }
    if (result >= 0) {
        result = -EIO; /* a write that stops short without a reason */
    }
    bc_posix_io_error(posix, "write", io->put->tmp_path, (int)result);
    io_end(posix, io, bc_posix_put_error((int)result));
}

static void io_write(struct posix *posix, struct posix_io *io)
{
    struct posix_put *put = io->put;
    struct bc_file_req *req = &io->req;

    req->kind = BC_FILE_WRITE;
    req->fd = put->fd;
    req->offset = io->offset;
    req->iov[0] =
        (struct iovec){.iov_base = io->extent.data, .iov_len = (size_t)bc_posix_padded(io->len)};
    req->iov_count = 1;
    if (io->footer && put->table != NULL) {
        req->iov[req->iov_count++] =
            (struct iovec){.iov_base = put->table, .iov_len = put->footer->table_len};
    }
    if (io->footer) {
        req->iov[req->iov_count++] =
            (struct iovec){.iov_base = put->footer, .iov_len = BC_POSIX_BLOCK};
    }
    req->done = write_done;
    bc_file_submit(posix->files, req);
}

void bc_posix_put_chunk(struct bc_put *base, struct bc_put_op *op)
{
    struct posix_put *put = put_of(base);
    struct posix *posix = bc_posix_of(base->backend);
    const struct bc_extent *extent = &op->extent;
    struct posix_io *io;
    uint32_t *sums;

    BC_ASSERT(put->leases_out > 0 && extent->len > 0 && extent->len <= extent->capacity_len &&
              (extent->len % BC_CRC_BLOCK_SIZE == 0 || op->offset + extent->len == put->size));
    put->leases_out--;
    posix->ios_reserved--;
    if (put->error != 0) {
        bc_staging_return(posix->staging, extent->lease);
        bc_later_put(posix->loop, op, put->error);
        return;
    }
    io = bc_pool_get(&posix->io_pool);
    BC_ASSERT(io != NULL); /* the lease had reserved it */
    *io = (struct posix_io){
        .put = put, .put_op = op, .extent = *extent, .offset = op->offset, .len = extent->len};
    io->retry.run = io_again;
    sums = sums_of(put) + op->offset / BC_CRC_BLOCK_SIZE;
    if (op->crc != NULL) {
        memcpy(sums, op->crc, bc_crc32c_blocks(extent->len) * sizeof(*sums));
    } else {
        bc_crc32c_fill(extent->data, extent->len, sums);
    }
    memset(extent->data + extent->len, 0, bc_posix_padded(extent->len) - extent->len);
    put->summed_len += extent->len;
    put->chunks++;
    if (put->summed_len == put->size && op->offset + extent->len == put->size) {
        bc_posix_put_seal(posix, put);
        io->footer = true;
    }
    if (put->opening) {
        bc_list_push_back(&put->waiting, &io->node);
    } else {
        io_write(posix, io);
    }
}

void bc_posix_put_run_waiting(struct posix *posix, struct posix_put *put)
{
    size_t count = put->waiting.count;

    for (; count > 0; count--) {
        struct posix_io *io =
            BC_CONTAINER_OF(bc_list_pop_front(&put->waiting), struct posix_io, node);

        if (put->error == 0) {
            io_write(posix, io);
        } else {
            /* Later: the caller may end the put in answer to the last one. */
            bc_later_put(posix->loop, io_free(posix, io), put->error);
        }
    }
}
