/* SPDX-License-Identifier: Apache-2.0 */
/* window.c - see window.h. The order of the calls is the exporter's of DOCA: create, add_dev,
 * range, permissions, start, export. */
#include "window.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include <doca_dev.h>
#include <doca_error.h>
#include <doca_mmap.h>
#include <doca_types.h>

#include "cuda.h"
#include "dma_transfer.h"
#include "errors.h"
#include "gpu_path.h"

/* dmabuf NULL: by plain address. On an error nothing is left. */
static doca_error_t open_mmap(struct bc_device *device, const struct bc_extent *extent,
                              const struct bc_cuda_dmabuf *dmabuf, struct bc_window *window)
{
    void *addr = (void *)(uintptr_t)extent->base;
    struct doca_mmap *mmap = NULL;
    doca_error_t result = doca_mmap_create(&mmap);

    if (result != DOCA_SUCCESS) {
        return result;
    }
    result = doca_mmap_add_dev(mmap, device->dev);
    if (result == DOCA_SUCCESS) {
        result = dmabuf != NULL ? doca_mmap_set_dmabuf_memrange(mmap, dmabuf->fd, addr,
                                                                dmabuf->offset, extent->len)
                                : doca_mmap_set_memrange(mmap, addr, extent->len);
    }
    if (result == DOCA_SUCCESS) {
        result = doca_mmap_set_permissions(mmap, DOCA_ACCESS_FLAG_LOCAL_READ_WRITE |
                                                     DOCA_ACCESS_FLAG_PCI_READ_WRITE);
    }
    if (result == DOCA_SUCCESS) {
        result = doca_mmap_start(mmap);
    }
    if (result == DOCA_SUCCESS) {
        result =
            doca_mmap_export_pci(mmap, device->dev, &window->descriptor, &window->descriptor_len);
    }
    if (result == DOCA_SUCCESS && window->descriptor_len > BC_DESCRIPTOR_LEN_MAX) {
        result = DOCA_ERROR_TOO_BIG;
    }
    if (result != DOCA_SUCCESS) {
        (void)doca_mmap_destroy(mmap); /* nobody has the descriptor: nothing can be under way */
        return result;
    }
    window->mmap = mmap;
    window->dmabuf_fd = dmabuf != NULL ? dmabuf->fd : -1;
    return DOCA_SUCCESS;
}

static doca_error_t open_locked(struct bc_device *device, const struct bc_extent *extent,
                                const struct bc_cuda_dmabuf *dmabuf, struct bc_window *window)
{
    doca_error_t result;

    (void)pthread_mutex_lock(&device->lock);
    result = open_mmap(device, extent, dmabuf, window);
    (void)pthread_mutex_unlock(&device->lock);
    return result;
}

static int errno_of(doca_error_t result)
{
    return result == DOCA_ERROR_TOO_BIG ? -EMSGSIZE : bc_errno_from_doca((int)result);
}

static int open_host(struct bc_device *device, const struct bc_extent *extent,
                     struct bc_window *window, struct bc_error *error)
{
    doca_error_t result = open_locked(device, extent, NULL, window);

    if (result != DOCA_SUCCESS) {
        return bc_error_set(error, errno_of(result),
                            "%llu bytes of host memory cannot be exported: %s",
                            (unsigned long long)extent->len, doca_error_get_descr(result));
    }
    return 0;
}

static int open_by_dmabuf(struct bc_device *device, const struct bc_extent *extent,
                          struct bc_window *window, struct bc_error *error)
{
    struct bc_cuda_dmabuf dmabuf;
    doca_error_t result;
    int rc = bc_cuda_dmabuf(extent, &dmabuf, error);

    if (rc != 0) {
        return rc;
    }
    result = open_locked(device, extent, &dmabuf, window);
    if (result != DOCA_SUCCESS) {
        (void)close(dmabuf.fd);
        return bc_error_set(error, errno_of(result), "DOCA does not take it (%s)",
                            doca_error_get_descr(result));
    }
    return 0;
}

static int open_by_address(struct bc_device *device, const struct bc_extent *extent,
                           struct bc_window *window, struct bc_error *error)
{
    doca_error_t result;

    if (!bc_cuda_may_be_peer(extent)) {
        return bc_error_set(error, -ENOTSUP, "GPU %u is not made for GPUDirect RDMA",
                            extent->device);
    }
    result = open_locked(device, extent, NULL, window);
    if (result != DOCA_SUCCESS) {
        return bc_error_set(error, errno_of(result),
                            "DOCA cannot pin it (%s); is nvidia-peermem loaded?",
                            doca_error_get_descr(result));
    }
    return 0;
}

static int open_gpu(struct bc_device *device, const struct bc_extent *extent,
                    struct bc_window *window, struct bc_error *error)
{
    struct bc_error no_dmabuf = {""};
    struct bc_error no_address = {""};
    char why[sizeof(no_dmabuf.text) + 16];
    int rc;

    if (open_by_dmabuf(device, extent, window, &no_dmabuf) == 0) {
        bc_gpu_path_tell(BC_GPU_PATH_DMABUF, 0, "");
        return 0;
    }
    rc = open_by_address(device, extent, window, &no_address);
    if (rc == 0) {
        (void)snprintf(why, sizeof(why), "no dma-buf: %s", no_dmabuf.text);
        bc_gpu_path_tell(BC_GPU_PATH_PEER, 0, why);
        return 0;
    }
    return bc_error_set(error, rc == -ENOMEM ? rc : -ENOTSUP, "no dma-buf: %s; not by address: %s",
                        no_dmabuf.text, no_address.text);
}

int bc_window_open(struct bc_device *device, const struct bc_extent *extent,
                   struct bc_window *window_out, struct bc_error *error)
{
    struct bc_window window = {.dmabuf_fd = -1};
    int rc = extent->type == BC_MEMORY_CUDA ? open_gpu(device, extent, &window, error)
                                            : open_host(device, extent, &window, error);

    if (rc == 0) {
        *window_out = window;
    }
    return rc;
}

int bc_window_close(struct bc_device *device, struct bc_window *window)
{
    doca_error_t result;

    if (window->mmap == NULL) {
        return 0;
    }
    (void)pthread_mutex_lock(&device->lock);
    result = doca_mmap_destroy(window->mmap);
    (void)pthread_mutex_unlock(&device->lock);
    if (result != DOCA_SUCCESS) {
        return bc_errno_from_doca((int)result);
    }
    window->mmap = NULL;
    window->descriptor = NULL;
    if (window->dmabuf_fd >= 0) {
        (void)close(window->dmabuf_fd);
        window->dmabuf_fd = -1;
    }
    return 0;
}
