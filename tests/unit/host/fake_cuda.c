/* SPDX-License-Identifier: Apache-2.0 */
/* fake_cuda.c - a stand-in for libcuda.so.1, for tests only: "GPU memory" is a memfd mapping of
 * this process. It has the handful of functions that the host library looks for. One thread at a
 * time. Allocations are made by fake_cuda_alloc; fake_cuda_dmabuf says whether they can be
 * exported. */
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#define API                 __attribute__((visibility("default")))
#define ALLOCATIONS_MAX     8
#define DEVICES             2
#define ERROR_INVALID_VALUE 1
#define ERROR_NOT_SUPPORTED 801
#define DMA_BUF_SUPPORTED   124

struct allocation {
    uint64_t base;
    size_t len;
    int fd;
    int device;
    unsigned long long id;
    unsigned int sync_memops;
};

static struct allocation allocations[ALLOCATIONS_MAX];
static unsigned long long last_id;
static int dmabuf_supported = 1;
static int contexts_pushed;

API void *fake_cuda_alloc(size_t len, int device);
API void fake_cuda_free(void *addr);
API void fake_cuda_dmabuf(int supported);
API unsigned int fake_cuda_sync_memops(const void *addr);
API int fake_cuda_contexts(void);
API int cuInit(unsigned int flags);
API int cuDeviceGet(int *device, int ordinal);
API int cuDeviceGetAttribute(int *value, int attribute, int device);
API int cuPointerGetAttribute(void *data, int attribute, uint64_t pointer);
API int cuPointerSetAttribute(const void *value, int attribute, uint64_t pointer);
API int cuCtxPushCurrent_v2(void *context);
API int cuCtxPopCurrent_v2(void **context);
API int cuMemGetHandleForAddressRange(void *handle, uint64_t pointer, size_t size, int type,
                                      unsigned long long flags);

static struct allocation *find(uint64_t pointer)
{
    for (int i = 0; i < ALLOCATIONS_MAX; i++) {
        if (allocations[i].len != 0 && pointer >= allocations[i].base &&
            pointer - allocations[i].base < allocations[i].len) {
            return &allocations[i];
        }
    }
    return NULL;
}

void *fake_cuda_alloc(size_t len, int device)
{
    for (int i = 0; i < ALLOCATIONS_MAX; i++) {
        struct allocation *allocation = &allocations[i];
        void *addr;

        if (allocation->len != 0) {
            continue;
        }
        allocation->fd = memfd_create("fake gpu", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (allocation->fd < 0 || ftruncate(allocation->fd, (off_t)len) != 0) {
            return NULL;
        }
        addr = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, allocation->fd, 0);
        if (addr == MAP_FAILED) {
            return NULL;
        }
        allocation->base = (uint64_t)(uintptr_t)addr;
        allocation->len = len;
        allocation->device = device;
        allocation->id = ++last_id;
        allocation->sync_memops = 0;
        return addr;
    }
    return NULL;
}

void fake_cuda_free(void *addr)
{
    struct allocation *allocation = find((uint64_t)(uintptr_t)addr);

    if (allocation != NULL) {
        (void)munmap(addr, allocation->len);
        (void)close(allocation->fd);
        allocation->len = 0;
    }
}

void fake_cuda_dmabuf(int supported)
{
    dmabuf_supported = supported;
}

unsigned int fake_cuda_sync_memops(const void *addr)
{
    const struct allocation *allocation = find((uint64_t)(uintptr_t)addr);

    return allocation == NULL ? 0 : allocation->sync_memops;
}

int fake_cuda_contexts(void)
{
    return contexts_pushed;
}

int cuInit(unsigned int flags)
{
    return flags == 0 ? 0 : ERROR_INVALID_VALUE;
}

int cuDeviceGet(int *device, int ordinal)
{
    if (ordinal < 0 || ordinal >= DEVICES) {
        return ERROR_INVALID_VALUE;
    }
    *device = ordinal;
    return 0;
}

int cuDeviceGetAttribute(int *value, int attribute, int device)
{
    if (device < 0 || device >= DEVICES || attribute != DMA_BUF_SUPPORTED) {
        return ERROR_INVALID_VALUE;
    }
    *value = dmabuf_supported;
    return 0;
}

int cuPointerGetAttribute(void *data, int attribute, uint64_t pointer)
{
    const struct allocation *allocation = find(pointer);

    if (allocation == NULL) {
        return ERROR_INVALID_VALUE;
    }
    switch (attribute) {
    case 1: /* context */
        *(void **)data = &allocations;
        return 0;
    case 2: /* memory type: device */
        *(unsigned int *)data = 2;
        return 0;
    case 7: /* buffer id */
        *(unsigned long long *)data = allocation->id;
        return 0;
    case 9: /* device ordinal */
        *(int *)data = allocation->device;
        return 0;
    case 11: /* start of the range */
        *(uint64_t *)data = allocation->base;
        return 0;
    case 12: /* its size */
        *(size_t *)data = allocation->len;
        return 0;
    default:
        return ERROR_INVALID_VALUE;
    }
}

int cuPointerSetAttribute(const void *value, int attribute, uint64_t pointer)
{
    struct allocation *allocation = find(pointer);

    if (allocation == NULL || attribute != 6) {
        return ERROR_INVALID_VALUE;
    }
    allocation->sync_memops = *(const unsigned int *)value;
    return 0;
}

int cuCtxPushCurrent_v2(void *context)
{
    if (context != &allocations) {
        return ERROR_INVALID_VALUE;
    }
    contexts_pushed++;
    return 0;
}

int cuCtxPopCurrent_v2(void **context)
{
    *context = &allocations;
    contexts_pushed--;
    return 0;
}

int cuMemGetHandleForAddressRange(void *handle, uint64_t pointer, size_t size, int type,
                                  unsigned long long flags)
{
    const struct allocation *allocation = find(pointer);

    if (allocation == NULL || type != 1 || flags != 0) {
        return ERROR_INVALID_VALUE;
    }
    if (!dmabuf_supported || pointer != allocation->base || size != allocation->len) {
        return ERROR_NOT_SUPPORTED;
    }
    *(int *)handle = dup(allocation->fd);
    return 0;
}
