/* SPDX-License-Identifier: Apache-2.0 */
/* cuda.h - what the library asks of the CUDA driver about GPU memory. Nothing here needs CUDA to be
 * built, and a process without it pays one failed dlopen at its first GPU registration.
 * Thread: any. */
#ifndef BC_HOST_CUDA_H
#define BC_HOST_CUDA_H

#include <stdbool.h>

#include "base/compiler.h"
#include "bluecache/bluecache.h"
#include "extent.h"

BC_EXTERN_C_BEGIN

/* The allocation that holds [addr, addr + len) of GPU `device`; orders the copies of the CUDA
 * runtime before those of a device (SYNC_MEMOPS). -ENODEV (no libcuda, no such GPU), -EFAULT (not
 * one GPU allocation), -EINVAL (another GPU's); a sentence in `error`. */
BC_MUST_USE int bc_cuda_extent(uint64_t addr, uint64_t len, uint32_t device,
                               struct bc_extent *extent, struct bc_error *error);

struct bc_cuda_dmabuf {
    int fd;          /* the caller closes it */
    uint64_t offset; /* of the extent's first byte in it */
};

/* A dma-buf of the extent. -ENOTSUP when this driver, GPU or allocation gives none: `error` says
 * why. */
BC_MUST_USE int bc_cuda_dmabuf(const struct bc_extent *extent, struct bc_cuda_dmabuf *dmabuf_out,
                               struct bc_error *error);

/* False: the driver says that devices cannot reach this GPU's memory by its address, whatever
 * kernel modules are loaded. */
bool bc_cuda_may_be_peer(const struct bc_extent *extent);

BC_EXTERN_C_END

#endif
