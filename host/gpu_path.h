/* SPDX-License-Identifier: Apache-2.0 */
/* gpu_path.h - the ways by which GPU memory is reached, best first, and the line of the log that
 * says which one is in use: once per process and way, since all allocations of a process mostly go
 * the same one. Thread: any. */
#ifndef BC_HOST_GPU_PATH_H
#define BC_HOST_GPU_PATH_H

#include "base/compiler.h"

BC_EXTERN_C_BEGIN

enum bc_gpu_path {
    BC_GPU_PATH_DMABUF, /* the device reads the GPU, found by a dma-buf */
    BC_GPU_PATH_PEER,   /* the device reads the GPU, found by its address (nvidia-peermem) */
    BC_GPU_PATH_BOUNCE, /* copied by way of pinned host memory */
    BC_GPU_PATH_COUNT
};

/* `why`: what was wrong with the better ways; "" for the best one. `bounce_len`: of the pinned
 * memory, for BOUNCE. */
void bc_gpu_path_tell(enum bc_gpu_path path, uint64_t bounce_len, const char *why);

BC_EXTERN_C_END

#endif
