/* SPDX-License-Identifier: Apache-2.0 */
/* window.c - see window.h. The order of the calls is the exporter's of DOCA: create, add_dev,
 * range, permissions, start, export. */
#include "window.h"

#include <errno.h>
#include <unistd.h>

#include <doca_dev.h>
#include <doca_error.h>
#include <doca_mmap.h>
#include <doca_types.h>

#include "cuda.h"
#include "dma_transfer.h"
#include "errors.h"

/* dmabuf_fd -1: by plain address. On an error nothing is left. */
static doca_error_t open_mmap(struct doca_dev *dev, const struct bc_extent *extent, int dmabuf_fd,
                              struct bc_window *window)
{
    void *addr = (void *)(uintptr_t)extent->base;
    struct doca_mmap *mmap = NULL;
    doca_error_t result = doca_mmap_create(&mmap);

    if (result != DOCA_SUCCESS) {
        return result;
    }
    result = doca_mmap_add_dev(mmap, dev);
    if (result == DOCA_SUCCESS) {
        result = dmabuf_fd >= 0
                     ? doca_mmap_set_dmabuf_memrange(mmap, dmabuf_fd, addr, 0, extent->len)
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
        result = doca_mmap_export_pci(mmap, dev, &window->descriptor, &window->descriptor_len);
    }
    if (result == DOCA_SUCCESS && window->descriptor_len > BC_DESCRIPTOR_LEN_MAX) {
        result = DOCA_ERROR_TOO_BIG;
    }
    if (result != DOCA_SUCCESS) {
        (void)doca_mmap_destroy(mmap); /* nobody has the descriptor: nothing can be under way */
        return result;
    }
    window->mmap = mmap;
    window->dmabuf_fd = dmabuf_fd;
    return DOCA_SUCCESS;
}

static int open_failed(const struct bc_extent *extent, doca_error_t result, struct bc_error *error)
{
    int code = result == DOCA_ERROR_TOO_BIG ? -EMSGSIZE : bc_errno_from_doca((int)result);

    if (extent->type == BC_MEMORY_HOST) {
        return bc_error_set(error, code, "%llu bytes of host memory cannot be exported: %s",
                            (unsigned long long)extent->len, doca_error_get_descr(result));
    }
    return bc_error_set(
        error, code == -ENOMEM ? code : -ENOTSUP,
        "GPU memory cannot be exported (%s): load the open kernel modules (dma-buf) "
        "or nvidia-peermem; the software emulation of DOCA cannot reach GPU memory",
        doca_error_get_descr(result));
}

int bc_window_open(struct bc_device *device, const struct bc_extent *extent,
                   struct bc_window *window_out, struct bc_error *error)
{
    struct bc_window window = {.dmabuf_fd = -1};
    doca_error_t result = DOCA_ERROR_NOT_SUPPORTED;
    int dmabuf_fd = -1;

    if (extent->type == BC_MEMORY_CUDA && bc_cuda_dmabuf(extent, &dmabuf_fd) != 0) {
        dmabuf_fd = -1;
    }
    (void)pthread_mutex_lock(&device->lock);
    if (dmabuf_fd >= 0) {
        result = open_mmap(device->dev, extent, dmabuf_fd, &window);
        if (result != DOCA_SUCCESS) {
            (void)close(dmabuf_fd);
        }
    }
    /* By plain address: host memory, and GPU memory with the kernel module nvidia-peermem. */
    if (result != DOCA_SUCCESS) {
        result = open_mmap(device->dev, extent, -1, &window);
    }
    (void)pthread_mutex_unlock(&device->lock);
    if (result != DOCA_SUCCESS) {
        return open_failed(extent, result, error);
    }
    *window_out = window;
    return 0;
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
