/* SPDX-License-Identifier: Apache-2.0 */
/* extent.c - see extent.h. */
#include "extent.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cuda.h"
#include "errors.h"
#include "shmem.h"

static int find_host(uint64_t addr, size_t len, struct bc_extent *extent, struct bc_error *error)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

    if (bc_shmem_find(addr, len, &extent->base, &extent->len)) {
        extent->whole = true;
        return 0;
    }
    extent->base = bc_align_down_u64(addr, page);
    extent->len = bc_align_up_u64(addr + len, page) - extent->base;
    /* Does nothing to private and memory-backed mappings but to look whether all of it is
     * mapped. */
    if (msync((void *)(uintptr_t)extent->base, extent->len, MS_ASYNC) != 0) {
        return bc_error_set(error, errno == ENOMEM ? -EFAULT : -errno,
                            "the range of %zu bytes is not mapped from end to end", len);
    }
    return 0;
}

int bc_extent_find(const void *addr, size_t len, enum bc_memory_type type, uint32_t device,
                   struct bc_extent *extent_out, struct bc_error *error)
{
    struct bc_extent extent = {.type = type};
    uint64_t start = (uint64_t)(uintptr_t)addr;
    int rc;

    if (len == 0 || addr == NULL || len > INT64_MAX || start > (uint64_t)INT64_MAX - len) {
        return bc_error_set(error, -EINVAL, "a range of %zu bytes there cannot be registered", len);
    }
    switch (type) {
    case BC_MEMORY_HOST:
        rc = find_host(start, len, &extent, error);
        break;
    case BC_MEMORY_CUDA:
        extent.device = device;
        rc = bc_cuda_extent(start, len, device, &extent, error);
        break;
    default:
        rc = bc_error_set(error, -EINVAL, "unknown memory type %d", (int)type);
        break;
    }
    if (rc == 0) {
        *extent_out = extent;
    }
    return rc;
}
