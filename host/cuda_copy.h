/* SPDX-License-Identifier: Apache-2.0 */
/* cuda_copy.h - copies between GPU memory and pinned host memory, by the CUDA driver. A lane is a
 * context with a stream and an event for each direction; both directions of a lane run at the same
 * time, and neither waits for the program's own streams.
 * Thread: a lane is used by one thread at a time. Errors: -EIO with CUDA's number in the log. */
#ifndef BC_HOST_CUDA_COPY_H
#define BC_HOST_CUDA_COPY_H

#include <stdbool.h>

#include "base/compiler.h"
#include "bluecache/bluecache.h"
#include "extent.h"

BC_EXTERN_C_BEGIN

enum bc_cuda_direction { BC_CUDA_TO_HOST, BC_CUDA_TO_DEVICE, BC_CUDA_DIRECTIONS };

struct bc_cuda_lane {
    void *context;
    uint32_t device;
    bool primary; /* the context was retained here */
    void *streams[BC_CUDA_DIRECTIONS];
    void *events[BC_CUDA_DIRECTIONS];
    bool used[BC_CUDA_DIRECTIONS]; /* since the last wait */
};

/* A lane for copies of this GPU memory, in the context that it was allocated in, or in the primary
 * one of its GPU when it has none of its own. -ENOTSUP; a sentence in `error`. */
BC_MUST_USE int bc_cuda_lane_open(const struct bc_extent *extent, struct bc_cuda_lane *lane_out,
                                  struct bc_error *error);
/* Nothing may be under way. */
void bc_cuda_lane_close(struct bc_cuda_lane *lane);

/* Whether the lane does for this memory, too. */
bool bc_cuda_lane_serves(const struct bc_cuda_lane *lane, const struct bc_extent *extent);

/* Pins host memory for all contexts. -ENOTSUP; a sentence in `error`. */
BC_MUST_USE int bc_cuda_pin(const struct bc_cuda_lane *lane, void *addr, size_t len,
                            struct bc_error *error);
void bc_cuda_unpin(const struct bc_cuda_lane *lane, void *addr);

/* Begins a copy; `host` is pinned. Whatever it returns, wait before the memory is used again. */
BC_MUST_USE int bc_cuda_lane_copy(struct bc_cuda_lane *lane, enum bc_cuda_direction direction,
                                  uint64_t device_addr, void *host, size_t len);

/* Sleeps until all copies of the lane are over. -EIO: one of them failed; none is under way. */
BC_MUST_USE int bc_cuda_lane_wait(struct bc_cuda_lane *lane);

BC_EXTERN_C_END

#endif
