/* SPDX-License-Identifier: Apache-2.0 */
/* fake_cuda.c - see fake_cuda.h: devices, memory, knobs. */
#include "fake_cuda_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ALLOCATIONS_MAX       16
#define PAGE_LEN              4096u
#define GPU_DIRECT_SUPPORTED  116
#define DMA_BUF_SUPPORTED     124
#define UNIFIED_ADDRESSING    41
#define POINTER_CONTEXT       1
#define POINTER_MEMORY_TYPE   2
#define POINTER_SYNC_MEMOPS   6
#define POINTER_BUFFER_ID     7
#define POINTER_ORDINAL       9
#define POINTER_RANGE_START   11
#define POINTER_RANGE_SIZE    12
#define MEMORY_TYPE_DEVICE    2u
#define HANDLE_TYPE_DMABUF_FD 1

FAKE_CUDA_API int cuInit(unsigned int flags);
FAKE_CUDA_API int cuDriverGetVersion(int *version);
FAKE_CUDA_API int cuDeviceGetCount(int *count);
FAKE_CUDA_API int cuDeviceGet(int *device, int ordinal);
FAKE_CUDA_API int cuDeviceGetName(char *name, int len, int device);
FAKE_CUDA_API int cuDeviceGetAttribute(int *value, int attribute, int device);
FAKE_CUDA_API int cuPointerGetAttribute(void *data, int attribute, uint64_t pointer);
FAKE_CUDA_API int cuPointerSetAttribute(const void *value, int attribute, uint64_t pointer);
FAKE_CUDA_API int cuCtxPushCurrent_v2(void *context);
FAKE_CUDA_API int cuCtxPopCurrent_v2(void **context);
FAKE_CUDA_API int cuCtxSetCurrent(void *context);
FAKE_CUDA_API int cuMemAlloc_v2(uint64_t *pointer, size_t len);
FAKE_CUDA_API int cuMemFree_v2(uint64_t pointer);
FAKE_CUDA_API int cuMemGetHandleForAddressRange(void *handle, uint64_t pointer, size_t size,
                                                int type, unsigned long long flags);

static struct fake_allocation allocations[ALLOCATIONS_MAX];
static unsigned long long last_id;

struct fake_cuda fake_cuda = {.lock = PTHREAD_MUTEX_INITIALIZER,
                              .released = PTHREAD_COND_INITIALIZER,
                              .knobs = {.dmabuf = 1, .peer = -1}};

static void lock(void)
{
    (void)pthread_mutex_lock(&fake_cuda.lock);
}

static void unlock(void)
{
    (void)pthread_mutex_unlock(&fake_cuda.lock);
}

__attribute__((constructor)) static void knobs_from_environment(void)
{
    const char *dmabuf = getenv("FAKE_CUDA_DMABUF");
    const char *peer = getenv("FAKE_CUDA_PEER");

    if (dmabuf != NULL) {
        fake_cuda.knobs.dmabuf = strcmp(dmabuf, "1") == 0;
    }
    if (peer != NULL) {
        fake_cuda.knobs.peer = strcmp(peer, "1") == 0;
    }
}

struct fake_allocation *fake_cuda_find(uint64_t pointer)
{
    for (int i = 0; i < ALLOCATIONS_MAX; i++) {
        if (allocations[i].len != 0 && pointer >= allocations[i].base &&
            pointer - allocations[i].base < allocations[i].len) {
            return &allocations[i];
        }
    }
    return NULL;
}

bool fake_cuda_copy_now(uint64_t device, void *host, size_t len, bool to_device)
{
    const struct fake_allocation *allocation = fake_cuda_find(device);
    off_t at;

    if (allocation == NULL || len > allocation->len - (device - allocation->base)) {
        return false;
    }
    at = (off_t)(device - allocation->base + allocation->offset);
    return (to_device ? pwrite(allocation->fd, host, len, at)
                      : pread(allocation->fd, host, len, at)) == (ssize_t)len;
}

/* ---- allocations --------------------------------------------------------------------------- */

static void *alloc_locked(size_t len, int device, size_t offset)
{
    struct fake_allocation *allocation = allocations;
    int rights = fake_cuda.knobs.peer == 1 ? PROT_READ | PROT_WRITE : PROT_NONE;

    while (allocation < allocations + ALLOCATIONS_MAX && allocation->len != 0) {
        allocation++;
    }
    if (len == 0 || allocation == allocations + ALLOCATIONS_MAX) {
        return NULL;
    }
    *allocation =
        (struct fake_allocation){.offset = offset,
                                 .mapped_len = (offset + len + PAGE_LEN - 1) / PAGE_LEN * PAGE_LEN,
                                 .device = device,
                                 .id = ++last_id,
                                 .fd = memfd_create("fake gpu", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
    if (allocation->fd < 0 || ftruncate(allocation->fd, (off_t)allocation->mapped_len) != 0) {
        return NULL;
    }
    allocation->mapping = mmap(NULL, allocation->mapped_len, rights, MAP_SHARED, allocation->fd, 0);
    if (allocation->mapping == MAP_FAILED) {
        (void)close(allocation->fd);
        return NULL;
    }
    allocation->base = (uint64_t)(uintptr_t)allocation->mapping + offset;
    allocation->len = len;
    return (void *)(uintptr_t)allocation->base;
}

void *fake_cuda_alloc_at(size_t len, int device, size_t offset)
{
    void *addr;

    lock();
    addr = alloc_locked(len, device, offset);
    unlock();
    return addr;
}

void *fake_cuda_alloc(size_t len, int device)
{
    return fake_cuda_alloc_at(len, device, 0);
}

void fake_cuda_free(void *addr)
{
    struct fake_allocation *allocation;

    lock();
    allocation = fake_cuda_find((uint64_t)(uintptr_t)addr);
    if (allocation != NULL) {
        (void)munmap(allocation->mapping, allocation->mapped_len);
        (void)close(allocation->fd);
        allocation->len = 0;
    }
    unlock();
}

void fake_cuda_poke(void *addr, const void *data, size_t len)
{
    lock();
    if (!fake_cuda_copy_now((uint64_t)(uintptr_t)addr, (void *)(uintptr_t)data, len, true)) {
        abort();
    }
    unlock();
}

void fake_cuda_peek(const void *addr, void *data, size_t len)
{
    lock();
    if (!fake_cuda_copy_now((uint64_t)(uintptr_t)addr, data, len, false)) {
        abort();
    }
    unlock();
}

int cuMemAlloc_v2(uint64_t *pointer, size_t len)
{
    void *addr = fake_cuda_alloc(len, 0);

    *pointer = (uint64_t)(uintptr_t)addr;
    return addr == NULL ? FAKE_ERROR_NO_MEMORY : 0;
}

int cuMemFree_v2(uint64_t pointer)
{
    fake_cuda_free((void *)(uintptr_t)pointer);
    return 0;
}

/* ---- knobs --------------------------------------------------------------------------------- */

void fake_cuda_dmabuf(int supported)
{
    lock();
    fake_cuda.knobs.dmabuf = supported;
    unlock();
}

void fake_cuda_peer(int supported)
{
    lock();
    fake_cuda.knobs.peer = supported;
    unlock();
}

void fake_cuda_refuse_handles(int on)
{
    lock();
    fake_cuda.knobs.refuse_handles = on != 0;
    unlock();
}

void fake_cuda_refuse_pinning(int on)
{
    lock();
    fake_cuda.knobs.refuse_pinning = on != 0;
    unlock();
}

void fake_cuda_hold_copies(int on)
{
    lock();
    fake_cuda.knobs.hold_copies = on != 0;
    (void)pthread_cond_broadcast(&fake_cuda.released);
    unlock();
}

void fake_cuda_fail_copy(int nth)
{
    lock();
    fake_cuda.knobs.fail_copy = nth;
    unlock();
}

void fake_cuda_reset(void)
{
    lock();
    fake_cuda.knobs = (struct fake_knobs){.dmabuf = 1, .peer = -1};
    fake_cuda.pinned_peak = fake_cuda.pinned;
    fake_cuda.copied = 0;
    (void)pthread_cond_broadcast(&fake_cuda.released);
    unlock();
}

unsigned int fake_cuda_sync_memops(const void *addr)
{
    const struct fake_allocation *allocation;
    unsigned int on;

    lock();
    allocation = fake_cuda_find((uint64_t)(uintptr_t)addr);
    on = allocation == NULL ? 0 : allocation->sync_memops;
    unlock();
    return on;
}

static uint64_t read_locked(const uint64_t *value)
{
    uint64_t copy;

    lock();
    copy = *value;
    unlock();
    return copy;
}

static int read_int_locked(const int *value)
{
    int copy;

    lock();
    copy = *value;
    unlock();
    return copy;
}

int fake_cuda_contexts(void)
{
    return read_int_locked(&fake_cuda.contexts_pushed);
}

int fake_cuda_objects(void)
{
    return read_int_locked(&fake_cuda.objects);
}

int fake_cuda_waiting(void)
{
    return read_int_locked(&fake_cuda.waiting);
}

uint64_t fake_cuda_pinned(void)
{
    return read_locked(&fake_cuda.pinned);
}

uint64_t fake_cuda_pinned_peak(void)
{
    return read_locked(&fake_cuda.pinned_peak);
}

uint64_t fake_cuda_copied(void)
{
    return read_locked(&fake_cuda.copied);
}

/* ---- the driver's functions ---------------------------------------------------------------- */

int cuInit(unsigned int flags)
{
    return flags == 0 ? 0 : FAKE_ERROR_INVALID_VALUE;
}

int cuDriverGetVersion(int *version)
{
    *version = 12000;
    return 0;
}

int cuDeviceGetCount(int *count)
{
    *count = FAKE_DEVICES;
    return 0;
}

int cuDeviceGet(int *device, int ordinal)
{
    if (ordinal < 0 || ordinal >= FAKE_DEVICES) {
        return FAKE_ERROR_INVALID_VALUE;
    }
    *device = ordinal;
    return 0;
}

int cuDeviceGetName(char *name, int len, int device)
{
    static const char text[] = "stand-in for a GPU";

    if (device < 0 || device >= FAKE_DEVICES || len < (int)sizeof(text)) {
        return FAKE_ERROR_INVALID_VALUE;
    }
    memcpy(name, text, sizeof(text));
    return 0;
}

int cuDeviceGetAttribute(int *value, int attribute, int device)
{
    int known = -1;

    if (device < 0 || device >= FAKE_DEVICES) {
        return FAKE_ERROR_INVALID_VALUE;
    }
    lock();
    if (attribute == DMA_BUF_SUPPORTED) {
        known = fake_cuda.knobs.dmabuf;
    } else if (attribute == GPU_DIRECT_SUPPORTED) {
        known = fake_cuda.knobs.peer;
    } else if (attribute == UNIFIED_ADDRESSING) {
        known = 1;
    }
    unlock();
    if (known < 0) {
        return FAKE_ERROR_INVALID_VALUE;
    }
    *value = known;
    return 0;
}

static int get_attribute(void *data, int attribute, const struct fake_allocation *allocation)
{
    switch (attribute) {
    case POINTER_CONTEXT:
        *(void **)data = &fake_cuda;
        return 0;
    case POINTER_MEMORY_TYPE:
        *(unsigned int *)data = MEMORY_TYPE_DEVICE;
        return 0;
    case POINTER_BUFFER_ID:
        *(unsigned long long *)data = allocation->id;
        return 0;
    case POINTER_ORDINAL:
        *(int *)data = allocation->device;
        return 0;
    case POINTER_RANGE_START:
        *(uint64_t *)data = allocation->base;
        return 0;
    case POINTER_RANGE_SIZE:
        *(size_t *)data = allocation->len;
        return 0;
    default:
        return FAKE_ERROR_INVALID_VALUE;
    }
}

int cuPointerGetAttribute(void *data, int attribute, uint64_t pointer)
{
    const struct fake_allocation *allocation;
    int result;

    lock();
    allocation = fake_cuda_find(pointer);
    result =
        allocation == NULL ? FAKE_ERROR_INVALID_VALUE : get_attribute(data, attribute, allocation);
    unlock();
    return result;
}

int cuPointerSetAttribute(const void *value, int attribute, uint64_t pointer)
{
    struct fake_allocation *allocation;
    int result = FAKE_ERROR_INVALID_VALUE;

    lock();
    allocation = fake_cuda_find(pointer);
    if (allocation != NULL && attribute == POINTER_SYNC_MEMOPS) {
        allocation->sync_memops = *(const unsigned int *)value;
        result = 0;
    }
    unlock();
    return result;
}

int cuCtxPushCurrent_v2(void *context)
{
    if (context != &fake_cuda) {
        return FAKE_ERROR_INVALID_VALUE;
    }
    lock();
    fake_cuda.contexts_pushed++;
    unlock();
    return 0;
}

int cuCtxPopCurrent_v2(void **context)
{
    *context = &fake_cuda;
    lock();
    fake_cuda.contexts_pushed--;
    unlock();
    return 0;
}

int cuCtxSetCurrent(void *context)
{
    return context == &fake_cuda ? 0 : FAKE_ERROR_INVALID_VALUE;
}

static int get_handle(int *fd, uint64_t pointer, size_t size)
{
    const struct fake_allocation *allocation = fake_cuda_find(pointer + PAGE_LEN - 1);
    uint64_t start;

    /* Whole pages, all of one allocation. */
    if (allocation == NULL) {
        allocation = fake_cuda_find(pointer);
    }
    if (allocation == NULL || pointer % PAGE_LEN != 0 || size % PAGE_LEN != 0) {
        return FAKE_ERROR_INVALID_VALUE;
    }
    start = (uint64_t)(uintptr_t)allocation->mapping;
    if (pointer != start || size != allocation->mapped_len) {
        return FAKE_ERROR_INVALID_VALUE;
    }
    if (fake_cuda.knobs.dmabuf != 1 || fake_cuda.knobs.refuse_handles) {
        return FAKE_ERROR_NOT_SUPPORTED;
    }
    *fd = dup(allocation->fd);
    return 0;
}

int cuMemGetHandleForAddressRange(void *handle, uint64_t pointer, size_t size, int type,
                                  unsigned long long flags)
{
    int result;

    if (type != HANDLE_TYPE_DMABUF_FD || flags != 0) {
        return FAKE_ERROR_INVALID_VALUE;
    }
    lock();
    result = get_handle(handle, pointer, size);
    unlock();
    return result;
}
