/* SPDX-License-Identifier: Apache-2.0 */
/* file.c - file operations on the loop's io_uring: one entry for each step, steps until the whole
 * length is transferred.
 *
 * Invariants: `done` is called once, from the completion, never from submit; iov always describes
 * what is left to transfer. An interrupted operation is tried again a bounded number of times.
 * Thread: the loop's owner. Memory: none of its own. */
#include "loop/file.h"

#include <errno.h>

#define FILE_RETRIES_MAX 4096u /* of -EINTR and -EAGAIN; one a turn */

static void file_prepare_transfer(struct bc_file_req *req, struct io_uring_sqe *sqe)
{
    uint64_t offset = req->offset + req->transferred;

    unsigned len = (unsigned)req->iov[0].iov_len;
    /* Of one part the kernel need not fetch the vector. */
    bool plain = req->iov_count == 1 && req->iov[0].iov_len <= INT32_MAX;

    BC_ASSERT(req->iov_count <= BC_FILE_IOV_MAX);
    if (req->kind == BC_FILE_READ && plain) {
        io_uring_prep_read(sqe, req->fd, req->iov[0].iov_base, len, offset);
    } else if (req->kind == BC_FILE_READ) {
        io_uring_prep_readv(sqe, req->fd, req->iov, req->iov_count, offset);
    } else if (plain) {
        io_uring_prep_write(sqe, req->fd, req->iov[0].iov_base, len, offset);
    } else {
        io_uring_prep_writev(sqe, req->fd, req->iov, req->iov_count, offset);
    }
}

static void file_start(struct bc_file_req *req)
{
    struct io_uring_sqe *sqe = bc_loop_sqe(req->loop);

    switch (req->kind) {
    case BC_FILE_OPEN:
        io_uring_prep_openat(sqe, req->dir_fd, req->path, req->flags, (mode_t)req->mode);
        break;
    case BC_FILE_CLOSE:
        io_uring_prep_close(sqe, req->fd);
        break;
    case BC_FILE_READ:
    case BC_FILE_WRITE:
        file_prepare_transfer(req, sqe);
        break;
    case BC_FILE_SYNC:
        io_uring_prep_fsync(sqe, req->fd, (unsigned)req->flags);
        break;
    case BC_FILE_RENAME:
        io_uring_prep_renameat(sqe, req->dir_fd, req->path, req->dir_fd2, req->path2, 0);
        break;
    case BC_FILE_UNLINK:
        io_uring_prep_unlinkat(sqe, req->dir_fd, req->path, req->flags);
        break;
    case BC_FILE_STAT:
        io_uring_prep_statx(sqe, req->dir_fd, req->path, req->flags, req->mask, req->statx);
        break;
    case BC_FILE_ALLOCATE:
        io_uring_prep_fallocate(sqe, req->fd, (int)req->mode, (off_t)req->offset, (off_t)req->len);
        break;
    case BC_FILE_KIND_COUNT:
    default:
        BC_ASSERT(false && "a request of no known kind");
    }
    bc_loop_track(req->loop, sqe, &req->op);
}

/* Drops the first `len` bytes of what is left. */
static void file_advance(struct bc_file_req *req, uint64_t len)
{
    uint32_t used = 0;
    uint32_t i;

    req->transferred += len;
    while (used < req->iov_count && len >= req->iov[used].iov_len) {
        len -= req->iov[used].iov_len;
        used++;
    }
    for (i = used; i < req->iov_count; i++) {
        req->iov[i - used] = req->iov[i];
    }
    req->iov_count -= used;
    if (req->iov_count > 0) {
        req->iov[0].iov_base = (uint8_t *)req->iov[0].iov_base + len;
        req->iov[0].iov_len -= len;
    }
}

/* True when the request is finished; then *result_out is what its caller gets. */
static bool file_transferred(struct bc_file_req *req, int32_t result, int64_t *result_out)
{
    if (result < 0) {
        /* A direct read stops at the end of the file wherever that is, and cannot be continued from
         * a place that is not aligned: the kernel says so by -EINVAL. */
        bool at_end = req->kind == BC_FILE_READ && result == -EINVAL && req->transferred > 0;
        *result_out = at_end ? (int64_t)req->transferred : result;
        return true;
    }
    if (result == 0 && req->kind == BC_FILE_WRITE && req->iov_count > 0) {
        *result_out = -EIO;
        return true;
    }
    file_advance(req, (uint64_t)result);
    *result_out = (int64_t)req->transferred;
    return result == 0 || req->iov_count == 0;
}

static void file_done(struct bc_op *op, int32_t result, uint32_t cqe_flags)
{
    struct bc_file_req *req = BC_CONTAINER_OF(op, struct bc_file_req, op);
    bool transfer = req->kind == BC_FILE_READ || req->kind == BC_FILE_WRITE;
    int64_t final = result;

    (void)cqe_flags;
    if (result == -EINTR && req->kind == BC_FILE_CLOSE) {
        final = 0; /* Linux has given the descriptor back; a second close could hit another's */
    } else if ((result == -EINTR || result == -EAGAIN) && req->retries < FILE_RETRIES_MAX) {
        req->retries++;
        file_start(req);
        return;
    } else if (transfer && !file_transferred(req, result, &final)) {
        file_start(req);
        return;
    }
    req->result = final;
    req->done(req, final);
}

static void uring_submit(struct bc_files *files, struct bc_file_req *req)
{
    struct bc_uring_files *self = BC_CONTAINER_OF(files, struct bc_uring_files, files);
    uint32_t i;
    uint32_t kept = 0;

    req->loop = self->loop;
    req->transferred = 0;
    req->retries = 0;
    req->result = 0;
    req->op = (struct bc_op){.done = file_done, .in_flight = false};
    if (req->kind == BC_FILE_READ || req->kind == BC_FILE_WRITE) {
        for (i = 0; i < req->iov_count; i++) {
            if (req->iov[i].iov_len > 0) {
                req->iov[kept++] = req->iov[i];
            }
        }
        req->iov_count = kept;
    }
    file_start(req);
}

void bc_uring_files_init(struct bc_uring_files *files, struct bc_loop *loop)
{
    files->files.submit = uring_submit;
    files->loop = loop;
}
