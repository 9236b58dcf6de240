/* SPDX-License-Identifier: Apache-2.0 */
/* file.h - asynchronous file operations behind one entry point, so that storage can be tested with
 * a twin that fails on purpose. The real one runs on a loop's io_uring.
 *
 * A request is filled by the caller, submitted, and completed exactly once by `done`, never inside
 * submit. Short reads and writes are continued here: result is the whole length, less only at the
 * end of a file, or a negative errno (a write that makes no progress is -ENOSPC or -EIO).
 * Thread: the loop's owner. Memory: the request, its path strings and iovecs stay valid until
 * done. */
#ifndef BC_LOOP_FILE_H
#define BC_LOOP_FILE_H

#include <sys/stat.h>
#include <sys/uio.h>

#include "loop/loop.h"

BC_EXTERN_C_BEGIN

enum bc_file_kind {
    BC_FILE_OPEN = 0,     /* dir_fd, path, flags, mode -> descriptor */
    BC_FILE_CLOSE = 1,    /* fd */
    BC_FILE_READ = 2,     /* fd, iov[0 .. iov_count), offset -> bytes */
    BC_FILE_WRITE = 3,    /* fd, iov, offset -> bytes */
    BC_FILE_SYNC = 4,     /* fd; flags: IORING_FSYNC_DATASYNC or 0 */
    BC_FILE_RENAME = 5,   /* dir_fd, path -> dir_fd2, path2 */
    BC_FILE_UNLINK = 6,   /* dir_fd, path */
    BC_FILE_STAT = 7,     /* dir_fd, path, flags (AT_*), mask -> *statx */
    BC_FILE_ALLOCATE = 8, /* fd, mode (FALLOC_FL_*), offset, len */
    BC_FILE_KIND_COUNT
};

#define BC_FILE_IOV_MAX 4

struct bc_file_req;
typedef void (*bc_file_fn)(struct bc_file_req *req, int64_t result);

struct bc_file_req {
    enum bc_file_kind kind;
    int fd;
    int dir_fd;
    int dir_fd2;
    const char *path;
    const char *path2;
    int flags;
    uint32_t mode;
    uint32_t mask;
    struct iovec iov[BC_FILE_IOV_MAX]; /* changed while short transfers are continued */
    uint32_t iov_count;
    uint64_t offset;
    uint64_t len;
    struct statx *statx;
    bc_file_fn done;

    /* internal */
    struct bc_op op;
    struct bc_loop *loop;
    uint64_t transferred;
    uint32_t retries;
    struct bc_task task; /* for twins that complete later without I/O */
    int64_t result;
};

/* The table; `submit` must not fail: what cannot be submitted completes with an error. */
struct bc_files {
    void (*submit)(struct bc_files *files, struct bc_file_req *req);
};

/* The real one. */
struct bc_uring_files {
    struct bc_files files;
    struct bc_loop *loop;
};
void bc_uring_files_init(struct bc_uring_files *files, struct bc_loop *loop);

static inline void bc_file_submit(struct bc_files *files, struct bc_file_req *req)
{
    files->submit(files, req);
}

BC_EXTERN_C_END

#endif
