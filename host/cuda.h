/* SPDX-License-Identifier: Apache-2.0 */
/* cuda.h - what the library asks of the CUDA driver, found at run time: nothing here needs CUDA to
 * be built, and a process without it pays one failed dlopen at its first GPU registration.
 * Thread: any. libcuda stays loaded for the life of the process. */
#ifndef BC_HOST_CUDA_H
#define BC_HOST_CUDA_H

#include "base/compiler.h"
#include "bluecache/bluecache.h"
#include "extent.h"

BC_EXTERN_C_BEGIN

/* The allocation that holds [addr, addr + len) of GPU `device`; orders the copies of the CUDA
 * runtime before those of a device (SYNC_MEMOPS). -ENODEV (no libcuda, no such GPU), -EFAULT (not
 * one GPU allocation), -EINVAL (another GPU's); a sentence in `error`. */
BC_MUST_USE int bc_cuda_extent(uint64_t addr, uint64_t len, uint32_t device,
                               struct bc_extent *extent, struct bc_error *error);

/* A dma-buf of the extent: a descriptor that the caller closes, or -ENOTSUP when this driver, GPU
 * or allocation gives none. */
BC_MUST_USE int bc_cuda_dmabuf(const struct bc_extent *extent, int *fd_out);

BC_EXTERN_C_END

#endif
