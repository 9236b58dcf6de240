/* SPDX-License-Identifier: Apache-2.0 */
/* window.h - one exported doca_mmap: the window through which the DPU sees an extent.
 * Invariants: a window is never changed, only opened and closed; after a close that gave 0 nobody
 * writes through it any more, whoever still holds its descriptor.
 * Thread: any (the device's lock is taken for every DOCA call, and held over them); one window
 * belongs to one thread at a time. Opening pins memory and may take long: never under the client's
 * lock. */
#ifndef BC_HOST_WINDOW_H
#define BC_HOST_WINDOW_H

#include "base/compiler.h"
#include "device.h"
#include "extent.h"

BC_EXTERN_C_BEGIN

struct doca_mmap;

struct bc_window {
    struct doca_mmap *mmap; /* NULL: closed */
    const void *descriptor; /* belongs to the mmap */
    size_t descriptor_len;
    int dmabuf_fd; /* -1: none */
};

/* -EFAULT (not mapped), -ENOTSUP (GPU memory that DOCA cannot export), -ENOMEM, -EMSGSIZE (a
 * descriptor larger than the protocol carries), -EIO; a sentence in `error`. */
BC_MUST_USE int bc_window_open(struct bc_device *device, const struct bc_extent *extent,
                               struct bc_window *window_out, struct bc_error *error);

/* 0: closed. -EINPROGRESS: revoked, but a copy that had begun is not over; call again later, until
 * then the memory must not be reused. Other errors: call again, too. */
BC_MUST_USE int bc_window_close(struct bc_device *device, struct bc_window *window);

BC_EXTERN_C_END

#endif
