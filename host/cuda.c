/* SPDX-License-Identifier: Apache-2.0 */
/* cuda.c - see cuda.h. */
#include "cuda.h"

#include <errno.h>
#include <unistd.h>

#include "cuda_driver.h"
#include "errors.h"

enum cu_pointer_attribute {
    CU_POINTER_CONTEXT = 1,
    CU_POINTER_MEMORY_TYPE = 2,
    CU_POINTER_SYNC_MEMOPS = 6,
    CU_POINTER_BUFFER_ID = 7,
    CU_POINTER_DEVICE_ORDINAL = 9,
    CU_POINTER_RANGE_START = 11,
    CU_POINTER_RANGE_SIZE = 12,
};
#define CU_MEMORY_TYPE_DEVICE               2u
#define CU_DEVICE_GPU_DIRECT_RDMA_SUPPORTED 116
#define CU_DEVICE_DMA_BUF_SUPPORTED         124
#define CU_RANGE_HANDLE_TYPE_DMA_BUF_FD     1

static bool enter_context(const struct bc_cuda_driver *driver, uint64_t pointer)
{
    void *context = NULL;

    return driver->pointer_get_attribute(&context, CU_POINTER_CONTEXT, pointer) == BC_CU_SUCCESS &&
           context != NULL && driver->ctx_push(context) == BC_CU_SUCCESS;
}

static void leave_context(const struct bc_cuda_driver *driver, bool entered)
{
    void *context = NULL;

    if (entered) {
        (void)driver->ctx_pop(&context);
    }
}

/* Copies that the program starts before a request must be done before the DPU reads. Not every kind
 * of allocation knows the attribute; those that do not are ordered by the program's own
 * synchronisation. */
static void order_copies(const struct bc_cuda_driver *driver, uint64_t base)
{
    unsigned int on = 1;
    bool entered = enter_context(driver, base);

    (void)driver->pointer_set_attribute(&on, CU_POINTER_SYNC_MEMOPS, base);
    leave_context(driver, entered);
}

int bc_cuda_extent(uint64_t addr, uint64_t len, uint32_t device, struct bc_extent *extent,
                   struct bc_error *error)
{
    const struct bc_cuda_driver *driver = bc_cuda_driver();
    unsigned int memory_type = 0;
    unsigned long long identity = 0;
    uint64_t base = 0;
    size_t size = 0;
    int ordinal = -1;
    int handle = 0;

    if (driver->problem != NULL) {
        return bc_error_set(error, -ENODEV, "%s", driver->problem);
    }
    if (device > INT32_MAX || driver->device_get(&handle, (int)device) != BC_CU_SUCCESS) {
        return bc_error_set(error, -ENODEV, "there is no GPU %u", device);
    }
    if (driver->pointer_get_attribute(&memory_type, CU_POINTER_MEMORY_TYPE, addr) !=
            BC_CU_SUCCESS ||
        memory_type != CU_MEMORY_TYPE_DEVICE ||
        driver->pointer_get_attribute(&base, CU_POINTER_RANGE_START, addr) != BC_CU_SUCCESS ||
        driver->pointer_get_attribute(&size, CU_POINTER_RANGE_SIZE, addr) != BC_CU_SUCCESS) {
        return bc_error_set(error, -EFAULT, "the address is not memory of a GPU");
    }
    if (addr < base || len > size || addr - base > size - len) {
        return bc_error_set(error, -EFAULT, "the range does not lie inside one GPU allocation");
    }
    if (driver->pointer_get_attribute(&ordinal, CU_POINTER_DEVICE_ORDINAL, addr) == BC_CU_SUCCESS &&
        ordinal != (int)device) {
        return bc_error_set(error, -EINVAL, "the memory belongs to GPU %d, not to GPU %u", ordinal,
                            device);
    }
    (void)driver->pointer_get_attribute(&identity, CU_POINTER_BUFFER_ID, addr);
    order_copies(driver, base);
    extent->base = base;
    extent->len = size;
    extent->whole = true;
    extent->identity = identity;
    return 0;
}

/* 1, 0, or -1 when the driver does not know the attribute. */
static int device_attribute(const struct bc_cuda_driver *driver, uint32_t device, int attribute)
{
    int value = 0;
    int handle = 0;

    if (driver->device_get(&handle, (int)device) != BC_CU_SUCCESS ||
        driver->device_get_attribute(&value, attribute, handle) != BC_CU_SUCCESS) {
        return -1;
    }
    return value != 0;
}

/* The driver takes whole pages; small allocations share one, so an extent may begin inside. */
int bc_cuda_dmabuf(const struct bc_extent *extent, struct bc_cuda_dmabuf *dmabuf_out,
                   struct bc_error *error)
{
    const struct bc_cuda_driver *driver = bc_cuda_driver();
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t first = bc_align_down_u64(extent->base, page);
    uint64_t len = bc_align_up_u64(bc_extent_end(extent), page) - first;
    int fd = -1;
    int result;
    bool entered;

    if (driver->problem != NULL) {
        return bc_error_set(error, -ENOTSUP, "%s", driver->problem);
    }
    if (driver->get_range_handle == NULL) {
        return bc_error_set(error, -ENOTSUP, "this CUDA driver is older than dma-buf");
    }
    if (device_attribute(driver, extent->device, CU_DEVICE_DMA_BUF_SUPPORTED) != 1) {
        return bc_error_set(error, -ENOTSUP, "GPU %u gives none (it takes the open kernel modules)",
                            extent->device);
    }
    entered = enter_context(driver, extent->base);
    result = driver->get_range_handle(&fd, first, len, CU_RANGE_HANDLE_TYPE_DMA_BUF_FD, 0);
    leave_context(driver, entered);
    if (result != BC_CU_SUCCESS || fd < 0) {
        return bc_error_set(error, -ENOTSUP, "GPU %u gives none of this allocation (CUDA error %d)",
                            extent->device, result);
    }
    *dmabuf_out = (struct bc_cuda_dmabuf){.fd = fd, .offset = extent->base - first};
    return 0;
}

bool bc_cuda_may_be_peer(const struct bc_extent *extent)
{
    const struct bc_cuda_driver *driver = bc_cuda_driver();

    return driver->problem == NULL &&
           device_attribute(driver, extent->device, CU_DEVICE_GPU_DIRECT_RDMA_SUPPORTED) != 0;
}
