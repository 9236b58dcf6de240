/* SPDX-License-Identifier: Apache-2.0 */
/* import.c - takes an export descriptor of another process and gives access to its memory.
 * Nothing in a descriptor is trusted: it is checked by itself, then against the exporting
 * process. */
#include "blob.h"
#include "mmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif

#define PCI_WRITE ((uint32_t)DOCA_ACCESS_FLAG_PCI_READ_WRITE)
#define PCI_READ  ((uint32_t)DOCA_ACCESS_FLAG_PCI_READ_ONLY)

static bool blob_valid(const struct emu_export_blob *blob)
{
    const struct emu_control_desc *desc = &blob->desc;
    return blob->magic == EMU_BLOB_MAGIC && blob->version == EMU_BLOB_VERSION &&
           blob->len == sizeof(*blob) && blob->crc == emu_blob_crc(blob) && blob->nonce != 0 &&
           (int32_t)(uint32_t)blob->process > 0 && blob->control_fd >= 0 && desc->base != 0 &&
           desc->len != 0 && desc->base + desc->len > desc->base &&
           (desc->memory == DOCA_EMU_MEMORY_PROCESS_VM ||
            (desc->memory == DOCA_EMU_MEMORY_SHARED && desc->file_fd >= 0 &&
             desc->file_offset <= (uint64_t)INT64_MAX - desc->len)) &&
           (desc->permissions & (PCI_READ | PCI_WRITE)) != 0;
}

/* The device must be the DPU's end of the function that the memory was exported for. */
static bool device_matches(const struct doca_dev *dev, const struct emu_export_blob *blob)
{
    const struct emu_world *world = dev->info.world;
    const struct emu_function *function = emu_dev_function(dev);
    for (uint32_t i = 0; i < world->num_functions; i++) {
        if ((function->represents >> i & 1) != 0 &&
            emu_pci_equal(&world->functions[i].pci, &blob->pci)) {
            return world->id == blob->world;
        }
    }
    return false;
}

/* Maps the control page and claims a slot in it. */
static doca_error_t attach_control(struct emu_import *import, const struct emu_export_blob *blob)
{
    int fd = emu_peer_fetch_fd(import->peer, blob->control_fd);
    if (fd < 0) {
        emu_log(
            DOCA_LOG_LEVEL_ERROR,
            "import: process %d does not let us in (%s): both must run as one user, and the exporter "
            "be open to ptrace",
            (int)import->peer->pid, strerror(errno));
        return DOCA_ERROR_DRIVER;
    }
    doca_error_t result =
        emu_control_attach(fd, blob->control_offset, blob->nonce, &import->control);
    close(fd);
    if (result != DOCA_SUCCESS) {
        return result;
    }
    if (memcmp(&import->control.page->desc, &blob->desc, sizeof(blob->desc)) != 0) {
        emu_control_detach(&import->control, false);
        return DOCA_ERROR_INVALID_VALUE;
    }
    return DOCA_SUCCESS;
}

/* Page tables are filled now, as registering with a device would, unless that took too long. */
static void populate(const struct emu_mapping *mapping, bool write)
{
    uint64_t limit = emu_env_u64("DOCA_EMU_POPULATE_MAX", UINT64_C(1) << 30, 0, UINT64_MAX);
    if (mapping->len <= limit) {
        (void)madvise(mapping->start, mapping->len,
                      write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
    }
}

static doca_error_t map_file(struct emu_import *import, const struct emu_control_desc *desc)
{
    struct stat info;
    bool write = (desc->permissions & PCI_WRITE) != 0;
    int fd = emu_peer_fetch_fd(import->peer, desc->file_fd);
    if (fd < 0) {
        return DOCA_ERROR_DRIVER;
    }
    doca_error_t result = DOCA_ERROR_DRIVER;
    if (fstat(fd, &info) == 0 && info.st_dev == desc->file_dev && info.st_ino == desc->file_ino &&
        (emu_fd_is_dmabuf(fd) || emu_fd_cannot_shrink(fd, desc->file_offset + desc->len))) {
        result = emu_mapping_create(fd, desc->file_offset, desc->len, write, &import->mapping);
    }
    close(fd);
    if (result == DOCA_SUCCESS) {
        populate(&import->mapping, write);
    }
    return result;
}

static bool copy_vm(const struct emu_peer *peer, uint64_t remote, void *local, size_t len,
                    bool write)
{
    struct iovec here = {.iov_base = local, .iov_len = len};
    struct iovec there = {.iov_base = (void *)(uintptr_t)remote, .iov_len = len};
    ssize_t done = write ? process_vm_writev(peer->pid, &here, 1, &there, 1, 0)
                         : process_vm_readv(peer->pid, &here, 1, &there, 1, 0);
    return done == (ssize_t)len;
}

/* Settles how the memory is reached: mapped where it can be, by system calls otherwise. */
static doca_error_t reach_memory(struct emu_import *import, const struct emu_control_desc *desc,
                                 enum doca_emu_memory *kind_out)
{
    char byte;
    if (desc->memory == DOCA_EMU_MEMORY_SHARED) {
        doca_error_t result = map_file(import, desc);
        if (result == DOCA_SUCCESS) {
            *kind_out = DOCA_EMU_MEMORY_SHARED;
            return DOCA_SUCCESS;
        }
        if (desc->no_address) {
            return result;
        }
        emu_log(DOCA_LOG_LEVEL_WARNING,
                "import: shared memory of process %d cannot be mapped, copying "
                "by system calls at half the speed",
                (int)import->peer->pid);
    }
    if (!copy_vm(import->peer, desc->base, &byte, 1, false)) {
        emu_log(DOCA_LOG_LEVEL_ERROR, "import: memory of process %d cannot be read: %s",
                (int)import->peer->pid, strerror(errno));
        return DOCA_ERROR_DRIVER;
    }
    *kind_out = DOCA_EMU_MEMORY_PROCESS_VM;
    return DOCA_SUCCESS;
}

static doca_error_t open_import(struct doca_mmap *mmap, const struct emu_export_blob *blob)
{
    struct emu_import *import = &mmap->import;
    doca_error_t result = emu_peer_get(blob->process, &import->peer);
    if (result != DOCA_SUCCESS) {
        return result;
    }
    result = attach_control(import, blob);
    if (result != DOCA_SUCCESS) {
        goto err_peer;
    }
    result = reach_memory(import, &blob->desc, &mmap->memory.kind);
    if (result != DOCA_SUCCESS) {
        goto err_control;
    }
    mmap->memory.at = import->mapping.at;
    return DOCA_SUCCESS;

err_control:
    emu_control_detach(&import->control, false);
err_peer:
    emu_peer_put(import->peer);
    return result;
}

doca_error_t doca_mmap_create_from_export(const union doca_data *user_data, const void *export_desc,
                                          size_t export_desc_len, struct doca_dev *dev,
                                          struct doca_mmap **mmap)
{
    struct emu_export_blob blob;
    if (export_desc == NULL || dev == NULL || mmap == NULL || export_desc_len != sizeof(blob)) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    memcpy(&blob, export_desc, sizeof(blob));
    if (!blob_valid(&blob)) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (!emu_dev_function(dev)->dpu) {
        return DOCA_ERROR_NOT_SUPPORTED;
    }
    if (!device_matches(dev, &blob)) {
        emu_log(DOCA_LOG_LEVEL_ERROR,
                "import: the device is not the DPU's end of the function that the "
                "memory was exported for, or belongs to another world");
        return DOCA_ERROR_DRIVER;
    }
    struct doca_mmap *fresh = NULL;
    doca_error_t result = doca_mmap_create(&fresh);
    if (result != DOCA_SUCCESS) {
        return result;
    }
    result = open_import(fresh, &blob);
    if (result != DOCA_SUCCESS) {
        free(fresh);
        return result;
    }
    fresh->imported = true;
    fresh->state = EMU_MMAP_STARTED;
    fresh->has_range = true;
    fresh->base = blob.desc.base;
    fresh->len = blob.desc.len;
    fresh->permissions = blob.desc.permissions;
    if (user_data != NULL) {
        fresh->user_data = *user_data;
    }
    emu_dev_use(dev);
    fresh->devices[fresh->num_devices++] = dev;
    *mmap = fresh;
    return DOCA_SUCCESS;
}

void emu_mmap_drop_import(struct doca_mmap *mmap)
{
    struct emu_import *import = &mmap->import;
    if (import->mapping.start != NULL) {
        munmap(import->mapping.start, import->mapping.len);
    }
    emu_control_detach(&import->control, mmap->owner != getpid());
    emu_peer_put(import->peer);
}

bool emu_mmap_allows(const struct doca_mmap *mmap, const struct doca_dev *dev, uint64_t addr,
                     uint64_t len, bool write)
{
    const uint32_t local_write = DOCA_ACCESS_FLAG_LOCAL_READ_WRITE;
    if (mmap->state != EMU_MMAP_STARTED || !emu_mmap_has_device(mmap, dev) || addr < mmap->base ||
        len > mmap->len || addr - mmap->base > mmap->len - len) {
        return false;
    }
    return !write || (mmap->permissions & (mmap->imported ? PCI_WRITE : local_write)) != 0;
}

bool emu_mmap_enter(struct doca_mmap *mmap)
{
    if (!mmap->imported) {
        return true;
    }
    if (!emu_control_enter(&mmap->import.control)) {
        return false;
    }
    bool gone =
        emu_peer_gone_lately(mmap->import.peer, mmap->memory.kind == DOCA_EMU_MEMORY_PROCESS_VM);
    if (gone) {
        emu_control_leave(&mmap->import.control);
    }
    return !gone;
}

bool emu_mmap_leave(struct doca_mmap *mmap)
{
    if (!mmap->imported) {
        return true;
    }
    /* That the process still has its memory shows that it was its memory that was copied. */
    bool good =
        mmap->memory.kind == DOCA_EMU_MEMORY_SHARED || !emu_peer_memory_gone(mmap->import.peer);
    emu_control_leave(&mmap->import.control);
    return good;
}

bool emu_mmap_live(const struct doca_mmap *mmap)
{
    return !mmap->imported || emu_control_live(&mmap->import.control);
}

uint8_t *emu_mmap_pointer(const struct doca_mmap *mmap, uint64_t addr)
{
    return mmap->memory.at == NULL ? NULL : mmap->memory.at + (addr - mmap->base);
}

bool emu_mmap_read(const struct doca_mmap *mmap, void *to, uint64_t from, size_t len)
{
    return copy_vm(mmap->import.peer, from, to, len, false);
}

bool emu_mmap_write(const struct doca_mmap *mmap, uint64_t to, const void *from, size_t len)
{
    return copy_vm(mmap->import.peer, to, (void *)(uintptr_t)from, len, true);
}
