/* SPDX-License-Identifier: Apache-2.0 */
/* extent.h - what to export so that the DPU reaches a registered range: the stretch of address
 * space that surely lives as long as the registration.
 *
 *   bc_memory_alloc's memory   the whole allocation (`whole`)
 *   GPU memory                 the whole allocation, as the driver knows it (`whole`)
 *   any other host memory      the range, rounded to pages
 *
 * An ordinary mapping (a heap, an arena) is never exported beyond what was registered: its other
 * parts may be unmapped and mapped anew at any time, and a device would go on reading the old
 * pages. Any thread; nothing is kept. */
#ifndef BC_HOST_EXTENT_H
#define BC_HOST_EXTENT_H

#include "base/compiler.h"
#include "bluecache/bluecache.h"

BC_EXTERN_C_BEGIN

struct bc_extent {
    enum bc_memory_type type;
    uint32_t device; /* GPU; 0 for host memory */
    uint64_t base;
    uint64_t len;
    bool whole;        /* one allocation, which lives and dies in one piece */
    uint64_t identity; /* tells allocations at one address apart; 0 for host memory */
};

static inline uint64_t bc_extent_end(const struct bc_extent *extent)
{
    return extent->base + extent->len;
}

/* -EINVAL (len 0, wraps around, type), -EFAULT (not mapped), and for GPU memory -ENODEV (no
 * libcuda, no such GPU, or not that GPU's memory). `error` gets a sentence. */
BC_MUST_USE int bc_extent_find(const void *addr, size_t len, enum bc_memory_type type,
                               uint32_t device, struct bc_extent *extent_out,
                               struct bc_error *error);

BC_EXTERN_C_END

#endif
