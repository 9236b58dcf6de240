/* SPDX-License-Identifier: Apache-2.0 */
/* cuda.c - see cuda.h. The prototypes and constants are those of the CUDA driver API, written down
 * here so that no CUDA header is needed. */
#include "cuda.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#include "errors.h"

#define CU_SUCCESS 0

enum cu_pointer_attribute {
    CU_POINTER_CONTEXT = 1,
    CU_POINTER_MEMORY_TYPE = 2,
    CU_POINTER_SYNC_MEMOPS = 6,
    CU_POINTER_BUFFER_ID = 7,
    CU_POINTER_DEVICE_ORDINAL = 9,
    CU_POINTER_RANGE_START = 11,
    CU_POINTER_RANGE_SIZE = 12,
};
#define CU_MEMORY_TYPE_DEVICE           2u
#define CU_DEVICE_DMA_BUF_SUPPORTED     124
#define CU_RANGE_HANDLE_TYPE_DMA_BUF_FD 1

struct driver {
    int (*init)(unsigned int flags);
    int (*device_get)(int *device, int ordinal);
    int (*device_get_attribute)(int *value, int attribute, int device);
    int (*pointer_get_attribute)(void *data, int attribute, uint64_t pointer);
    int (*pointer_set_attribute)(const void *value, int attribute, uint64_t pointer);
    int (*ctx_push)(void *context);
    int (*ctx_pop)(void **context);
    /* NULL in drivers without dma-buf */
    int (*get_range_handle)(void *handle, uint64_t pointer, size_t size, int type,
                            unsigned long long flags);
    const char *problem; /* NULL: ready */
};

static struct driver driver;
static char driver_problem[160];
static pthread_once_t driver_once = PTHREAD_ONCE_INIT;

static void driver_load(void)
{
    const struct {
        const char *name;
        void **function;
    } needed[] = {
        {"cuInit", (void **)&driver.init},
        {"cuDeviceGet", (void **)&driver.device_get},
        {"cuDeviceGetAttribute", (void **)&driver.device_get_attribute},
        {"cuPointerGetAttribute", (void **)&driver.pointer_get_attribute},
        {"cuPointerSetAttribute", (void **)&driver.pointer_set_attribute},
        {"cuCtxPushCurrent_v2", (void **)&driver.ctx_push},
        {"cuCtxPopCurrent_v2", (void **)&driver.ctx_pop},
    };
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    int result;

    if (library == NULL) {
        driver.problem = "GPU memory needs NVIDIA's driver: libcuda.so.1 cannot be loaded";
        return;
    }
    for (size_t i = 0; i < BC_ARRAY_LEN(needed); i++) {
        *needed[i].function = dlsym(library, needed[i].name);
        if (*needed[i].function == NULL) {
            (void)snprintf(driver_problem, sizeof(driver_problem),
                           "this libcuda.so.1 is too old: it has no %s", needed[i].name);
            driver.problem = driver_problem;
            return;
        }
    }
    *(void **)&driver.get_range_handle = dlsym(library, "cuMemGetHandleForAddressRange");
    result = driver.init(0);
    if (result != CU_SUCCESS) {
        (void)snprintf(driver_problem, sizeof(driver_problem),
                       "the CUDA driver does not start (cuInit gives error %d)", result);
        driver.problem = driver_problem;
    }
}

static bool enter_context(uint64_t pointer)
{
    void *context = NULL;

    return driver.pointer_get_attribute(&context, CU_POINTER_CONTEXT, pointer) == CU_SUCCESS &&
           context != NULL && driver.ctx_push(context) == CU_SUCCESS;
}

static void leave_context(bool entered)
{
    void *context = NULL;

    if (entered) {
        (void)driver.ctx_pop(&context);
    }
}

/* Copies that the program starts before a request must be done before the DPU reads. Not every kind
 * of allocation knows the attribute; those that do not are ordered by the program's own
 * synchronisation. */
static void order_copies(uint64_t base)
{
    unsigned int on = 1;
    bool entered = enter_context(base);

    (void)driver.pointer_set_attribute(&on, CU_POINTER_SYNC_MEMOPS, base);
    leave_context(entered);
}

int bc_cuda_extent(uint64_t addr, uint64_t len, uint32_t device, struct bc_extent *extent,
                   struct bc_error *error)
{
    unsigned int memory_type = 0;
    unsigned long long identity = 0;
    uint64_t base = 0;
    size_t size = 0;
    int ordinal = -1;
    int handle = 0;

    (void)pthread_once(&driver_once, driver_load);
    if (driver.problem != NULL) {
        return bc_error_set(error, -ENODEV, "%s", driver.problem);
    }
    if (device > INT32_MAX || driver.device_get(&handle, (int)device) != CU_SUCCESS) {
        return bc_error_set(error, -ENODEV, "there is no GPU %u", device);
    }
    if (driver.pointer_get_attribute(&memory_type, CU_POINTER_MEMORY_TYPE, addr) != CU_SUCCESS ||
        memory_type != CU_MEMORY_TYPE_DEVICE ||
        driver.pointer_get_attribute(&base, CU_POINTER_RANGE_START, addr) != CU_SUCCESS ||
        driver.pointer_get_attribute(&size, CU_POINTER_RANGE_SIZE, addr) != CU_SUCCESS) {
        return bc_error_set(error, -EFAULT, "the address is not memory of a GPU");
    }
    if (addr < base || len > size || addr - base > size - len) {
        return bc_error_set(error, -EFAULT, "the range does not lie inside one GPU allocation");
    }
    if (driver.pointer_get_attribute(&ordinal, CU_POINTER_DEVICE_ORDINAL, addr) == CU_SUCCESS &&
        ordinal != (int)device) {
        return bc_error_set(error, -EINVAL, "the memory belongs to GPU %d, not to GPU %u", ordinal,
                            device);
    }
    (void)driver.pointer_get_attribute(&identity, CU_POINTER_BUFFER_ID, addr);
    order_copies(base);
    extent->base = base;
    extent->len = size;
    extent->whole = true;
    extent->identity = identity;
    return 0;
}

int bc_cuda_dmabuf(const struct bc_extent *extent, int *fd_out)
{
    int supported = 0;
    int handle = 0;
    int fd = -1;
    int result;
    bool entered;

    (void)pthread_once(&driver_once, driver_load);
    if (driver.problem != NULL || driver.get_range_handle == NULL ||
        driver.device_get(&handle, (int)extent->device) != CU_SUCCESS ||
        driver.device_get_attribute(&supported, CU_DEVICE_DMA_BUF_SUPPORTED, handle) !=
            CU_SUCCESS ||
        supported == 0) {
        return -ENOTSUP;
    }
    entered = enter_context(extent->base);
    result =
        driver.get_range_handle(&fd, extent->base, extent->len, CU_RANGE_HANDLE_TYPE_DMA_BUF_FD, 0);
    leave_context(entered);
    if (result != CU_SUCCESS || fd < 0) {
        return -ENOTSUP;
    }
    *fd_out = fd;
    return 0;
}
