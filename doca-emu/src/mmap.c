/* SPDX-License-Identifier: Apache-2.0 */
/* mmap.c - life and configuration of an mmap; export.c and import.c hold what goes between
 * processes. */
#include "mmap.h"

#include "vma.h"

#include <stdlib.h>
#include <unistd.h>

#define PCI_RIGHTS ((uint32_t)(DOCA_ACCESS_FLAG_PCI_READ_ONLY | DOCA_ACCESS_FLAG_PCI_READ_WRITE))
#define ALL_RIGHTS                                                                        \
    ((uint32_t)(DOCA_ACCESS_FLAG_LOCAL_READ_WRITE | DOCA_ACCESS_FLAG_RDMA_READ |          \
                DOCA_ACCESS_FLAG_RDMA_WRITE | DOCA_ACCESS_FLAG_RDMA_ATOMIC | PCI_RIGHTS | \
                DOCA_ACCESS_FLAG_PCI_RELAXED_ORDERING))

doca_error_t doca_mmap_create(struct doca_mmap **mmap)
{
    if (mmap == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    struct doca_mmap *fresh = calloc(1, sizeof(*fresh));
    if (fresh == NULL) {
        return DOCA_ERROR_NO_MEMORY;
    }
    fresh->owner = getpid();
    fresh->max_devices = EMU_MMAP_DEVICES_MAX;
    fresh->permissions = DOCA_ACCESS_FLAG_LOCAL_READ_WRITE;
    emu_memory_init(&fresh->memory);
    *mmap = fresh;
    return DOCA_SUCCESS;
}

doca_error_t doca_mmap_destroy(struct doca_mmap *mmap)
{
    if (mmap == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (atomic_load(&mmap->num_bufs) != 0) {
        return DOCA_ERROR_NOT_PERMITTED;
    }
    doca_error_t result = emu_mmap_unexport(mmap);
    if (result != DOCA_SUCCESS) {
        mmap->state = EMU_MMAP_REVOKED;
        return result;
    }
    if (mmap->imported) {
        emu_mmap_drop_import(mmap);
    } else {
        emu_memory_fini(&mmap->memory);
    }
    for (uint32_t i = 0; i < mmap->num_devices; i++) {
        emu_dev_unuse(mmap->devices[i]);
    }
    if (mmap->free_cb != NULL && mmap->was_started && mmap->owner == getpid()) {
        mmap->free_cb((void *)(uintptr_t)mmap->base, mmap->len, mmap->free_cookie);
    }
    free(mmap);
    return DOCA_SUCCESS;
}

/* Nobody asked to write into memory that cannot be written. */
static void limit_default_permissions(struct doca_mmap *mmap)
{
    struct emu_vma vma;
    if (!mmap->asked_permissions && !mmap->memory.from_file &&
        emu_vma_scan(mmap->base, mmap->len, &vma) && !vma.writable) {
        mmap->permissions = DOCA_ACCESS_FLAG_LOCAL_READ_ONLY;
    }
}

doca_error_t doca_mmap_start(struct doca_mmap *mmap)
{
    const uint32_t write_rights =
        DOCA_ACCESS_FLAG_LOCAL_READ_WRITE | DOCA_ACCESS_FLAG_PCI_READ_WRITE;
    if (mmap == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (mmap->imported || mmap->state != EMU_MMAP_IDLE || !mmap->has_range ||
        mmap->num_devices == 0) {
        return DOCA_ERROR_NOT_PERMITTED;
    }
    if ((mmap->base | mmap->len) % 64 != 0) {
        emu_log(DOCA_LOG_LEVEL_DEBUG, "mmap: %llu bytes at 0x%llx are not aligned to 64 bytes",
                (unsigned long long)mmap->len, (unsigned long long)mmap->base);
    }
    limit_default_permissions(mmap);
    doca_error_t result = emu_memory_start(&mmap->memory, mmap->base, mmap->len,
                                           (mmap->permissions & write_rights) != 0,
                                           (mmap->permissions & PCI_RIGHTS) != 0);
    if (result != DOCA_SUCCESS) {
        return result;
    }
    mmap->state = EMU_MMAP_STARTED;
    mmap->was_started = true;
    return DOCA_SUCCESS;
}

doca_error_t doca_mmap_stop(struct doca_mmap *mmap)
{
    if (mmap == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (mmap->imported || mmap->control.page != NULL || mmap->state != EMU_MMAP_STARTED ||
        atomic_load(&mmap->num_bufs) != 0) {
        return DOCA_ERROR_NOT_PERMITTED;
    }
    emu_memory_stop(&mmap->memory);
    mmap->state = EMU_MMAP_IDLE;
    return DOCA_SUCCESS;
}

bool emu_mmap_has_device(const struct doca_mmap *mmap, const struct doca_dev *dev)
{
    for (uint32_t i = 0; i < mmap->num_devices; i++) {
        if (mmap->devices[i] == dev) {
            return true;
        }
    }
    return false;
}

doca_error_t doca_mmap_add_dev(struct doca_mmap *mmap, struct doca_dev *dev)
{
    if (mmap == NULL || dev == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (mmap->imported || mmap->state != EMU_MMAP_IDLE) {
        return DOCA_ERROR_NOT_PERMITTED;
    }
    if (emu_mmap_has_device(mmap, dev)) {
        return DOCA_ERROR_ALREADY_EXIST;
    }
    if (mmap->num_devices == mmap->max_devices) {
        return DOCA_ERROR_NO_MEMORY;
    }
    emu_dev_use(dev);
    mmap->devices[mmap->num_devices++] = dev;
    return DOCA_SUCCESS;
}

doca_error_t doca_mmap_rm_dev(struct doca_mmap *mmap, struct doca_dev *dev)
{
    if (mmap == NULL || dev == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (mmap->imported || mmap->state != EMU_MMAP_IDLE) {
        return DOCA_ERROR_NOT_PERMITTED;
    }
    for (uint32_t i = 0; i < mmap->num_devices; i++) {
        if (mmap->devices[i] == dev) {
            mmap->devices[i] = mmap->devices[--mmap->num_devices];
            emu_dev_unuse(dev);
            return DOCA_SUCCESS;
        }
    }
    return DOCA_ERROR_NOT_FOUND;
}

/* SUCCESS when a range can be set now. */
static doca_error_t check_can_set_range(const struct doca_mmap *mmap, uint64_t addr, size_t len)
{
    if (addr == 0 || len == 0 || addr + len < addr) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (mmap->imported) {
        return DOCA_ERROR_NOT_PERMITTED;
    }
    if (mmap->state != EMU_MMAP_IDLE) {
        return DOCA_ERROR_BAD_STATE;
    }
    return mmap->has_range ? DOCA_ERROR_NOT_PERMITTED : DOCA_SUCCESS;
}

doca_error_t doca_mmap_set_memrange(struct doca_mmap *mmap, void *addr, size_t len)
{
    if (mmap == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    doca_error_t result = check_can_set_range(mmap, (uintptr_t)addr, len);
    if (result != DOCA_SUCCESS) {
        return result;
    }
    mmap->base = (uintptr_t)addr;
    mmap->len = len;
    mmap->has_range = true;
    return DOCA_SUCCESS;
}

doca_error_t doca_mmap_set_dmabuf_memrange(struct doca_mmap *mmap, int dmabuf_fd, void *addr,
                                           size_t dmabuf_offset, size_t len)
{
    if (mmap == NULL || dmabuf_fd < 0) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    doca_error_t result = check_can_set_range(mmap, (uintptr_t)addr, len);
    if (result == DOCA_SUCCESS) {
        result = emu_memory_set_file(&mmap->memory, dmabuf_fd, dmabuf_offset, len);
    }
    if (result != DOCA_SUCCESS) {
        return result;
    }
    mmap->base = (uintptr_t)addr;
    mmap->len = len;
    mmap->has_range = true;
    return DOCA_SUCCESS;
}

doca_error_t doca_mmap_get_memrange(const struct doca_mmap *mmap, void **addr, size_t *len)
{
    if (mmap == NULL || addr == NULL || len == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (!mmap->has_range) {
        return DOCA_ERROR_BAD_STATE;
    }
    *addr = (void *)(uintptr_t)mmap->base;
    *len = mmap->len;
    return DOCA_SUCCESS;
}

/* The setters' rule: not on an import, not once started. */
static doca_error_t check_configurable(const struct doca_mmap *mmap)
{
    if (mmap == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (mmap->imported) {
        return DOCA_ERROR_NOT_PERMITTED;
    }
    return mmap->state == EMU_MMAP_IDLE ? DOCA_SUCCESS : DOCA_ERROR_BAD_STATE;
}

doca_error_t doca_mmap_set_free_cb(struct doca_mmap *mmap, doca_mmap_memrange_free_cb_t *free_cb,
                                   void *opaque)
{
    doca_error_t result = check_configurable(mmap);
    if (result != DOCA_SUCCESS) {
        return result;
    }
    mmap->free_cb = free_cb;
    mmap->free_cookie = opaque;
    return DOCA_SUCCESS;
}

doca_error_t doca_mmap_get_user_data(const struct doca_mmap *mmap, union doca_data *user_data)
{
    if (mmap == NULL || user_data == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *user_data = mmap->user_data;
    return DOCA_SUCCESS;
}

doca_error_t doca_mmap_get_max_num_devices(const struct doca_mmap *mmap, uint32_t *max_num_devices)
{
    if (mmap == NULL || max_num_devices == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *max_num_devices = mmap->max_devices;
    return DOCA_SUCCESS;
}

doca_error_t doca_mmap_get_num_bufs(const struct doca_mmap *mmap, uint32_t *num_bufs)
{
    if (mmap == NULL || num_bufs == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *num_bufs = atomic_load(&mmap->num_bufs);
    return DOCA_SUCCESS;
}

doca_error_t doca_mmap_get_exported(const struct doca_mmap *mmap, uint8_t *exported)
{
    if (mmap == NULL || exported == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *exported = mmap->control.page != NULL;
    return DOCA_SUCCESS;
}

doca_error_t doca_mmap_get_from_export(const struct doca_mmap *mmap, uint8_t *from_export)
{
    if (mmap == NULL || from_export == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *from_export = mmap->imported;
    return DOCA_SUCCESS;
}

doca_error_t doca_mmap_set_max_num_devices(struct doca_mmap *mmap, uint32_t max_num_devices)
{
    if (mmap == NULL || max_num_devices == 0 || max_num_devices > EMU_MMAP_DEVICES_MAX ||
        max_num_devices < mmap->num_devices) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (mmap->imported || mmap->state != EMU_MMAP_IDLE) {
        return DOCA_ERROR_NOT_PERMITTED;
    }
    mmap->max_devices = max_num_devices;
    return DOCA_SUCCESS;
}

doca_error_t doca_mmap_set_permissions(struct doca_mmap *mmap, uint32_t access_mask)
{
    /* Devices were seen to refuse relaxed ordering together with either of the PCI rights. */
    bool relaxed = (access_mask & DOCA_ACCESS_FLAG_PCI_RELAXED_ORDERING) != 0;
    if ((access_mask & ~ALL_RIGHTS) != 0 || (access_mask & PCI_RIGHTS) == PCI_RIGHTS ||
        (relaxed && (access_mask & PCI_RIGHTS) != 0)) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    doca_error_t result = check_configurable(mmap);
    if (result != DOCA_SUCCESS) {
        return result;
    }
    mmap->permissions = access_mask;
    mmap->asked_permissions = true;
    return DOCA_SUCCESS;
}

doca_error_t doca_mmap_set_user_data(struct doca_mmap *mmap, union doca_data user_data)
{
    doca_error_t result = check_configurable(mmap);
    if (result != DOCA_SUCCESS) {
        return result;
    }
    mmap->user_data = user_data;
    return DOCA_SUCCESS;
}

doca_error_t doca_mmap_cap_is_export_pci_supported(const struct doca_devinfo *devinfo,
                                                   uint8_t *mmap_export)
{
    if (devinfo == NULL || mmap_export == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *mmap_export = !emu_devinfo_function(devinfo)->dpu;
    return DOCA_SUCCESS;
}

doca_error_t doca_mmap_cap_is_create_from_export_pci_supported(const struct doca_devinfo *devinfo,
                                                               uint8_t *from_export)
{
    if (devinfo == NULL || from_export == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *from_export = emu_devinfo_function(devinfo)->dpu;
    return DOCA_SUCCESS;
}

doca_error_t doca_mmap_enable_thread_safety(struct doca_mmap *mmap)
{
    if (mmap == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (mmap->imported || mmap->state != EMU_MMAP_IDLE) {
        return DOCA_ERROR_NOT_PERMITTED;
    }
    mmap->thread_safe = true; /* bufs are counted atomically either way */
    return DOCA_SUCCESS;
}

enum doca_emu_memory doca_emu_mmap_memory(const struct doca_mmap *mmap)
{
    return mmap == NULL ? DOCA_EMU_MEMORY_NONE : mmap->memory.kind;
}
