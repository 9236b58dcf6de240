/* SPDX-License-Identifier: Apache-2.0 */
/* export.c - makes export descriptors, and revokes them. */
#include "blob.h"
#include "mmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#ifndef PR_SET_PTRACER
#define PR_SET_PTRACER     0x59616d61
#define PR_SET_PTRACER_ANY ((unsigned long)-1)
#endif

uint32_t emu_blob_crc(const struct emu_export_blob *blob)
{
    const uint8_t *bytes = (const uint8_t *)blob;
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < offsetof(struct emu_export_blob, crc); i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (0xedb88320u & (0u - (crc & 1u)));
        }
    }
    return ~crc;
}

/* The page that all descriptors of this mmap share; made by the first export. */
static doca_error_t make_control(struct doca_mmap *mmap)
{
    if (mmap->control.page != NULL) {
        return DOCA_SUCCESS;
    }
    const struct emu_memory *memory = &mmap->memory;
    struct emu_control_desc desc = {
        .base = mmap->base,
        .len = mmap->len,
        .file_offset = memory->offset,
        .file_dev = memory->dev,
        .file_ino = memory->ino,
        .file_fd = memory->fd,
        .memory = (uint32_t)memory->kind,
        .permissions = mmap->permissions,
        .no_address = memory->from_file,
    };
    /* Where Yama restricts ptrace, this lets our importers in; elsewhere the call is unknown. */
    if (prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0) != 0 && errno != EINVAL) {
        emu_log(DOCA_LOG_LEVEL_WARNING, "export: importers may not be let in: prctl: %s",
                strerror(errno));
    }
    return emu_control_create(&desc, &mmap->control);
}

static doca_error_t make_blob(struct doca_mmap *mmap, const struct doca_dev *dev,
                              struct emu_export_blob **blob_out)
{
    struct emu_export_blob *blob = calloc(1, sizeof(*blob));
    if (blob == NULL) {
        return DOCA_ERROR_NO_MEMORY;
    }
    blob->magic = EMU_BLOB_MAGIC;
    blob->version = EMU_BLOB_VERSION;
    blob->len = sizeof(*blob);
    blob->world = dev->info.world->id;
    blob->process = emu_process_id(getpid());
    blob->nonce = mmap->control.nonce;
    blob->control_offset = mmap->control.offset;
    blob->control_fd = emu_control_fd(&mmap->control);
    blob->pci = emu_dev_function(dev)->pci;
    blob->desc = mmap->control.page->desc;
    blob->crc = emu_blob_crc(blob);
    if (blob->process == 0) {
        free(blob);
        return DOCA_ERROR_DRIVER;
    }
    *blob_out = blob;
    return DOCA_SUCCESS;
}

doca_error_t doca_mmap_export_pci(struct doca_mmap *mmap, const struct doca_dev *dev,
                                  const void **export_desc, size_t *export_desc_len)
{
    const uint32_t pci = DOCA_ACCESS_FLAG_PCI_READ_ONLY | DOCA_ACCESS_FLAG_PCI_READ_WRITE;
    if (mmap == NULL || dev == NULL || export_desc == NULL || export_desc_len == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (mmap->imported || mmap->state != EMU_MMAP_STARTED || (mmap->permissions & pci) == 0) {
        return DOCA_ERROR_NOT_PERMITTED;
    }
    uint32_t index = 0;
    while (index < mmap->num_devices && mmap->devices[index] != dev) {
        index++;
    }
    if (index == mmap->num_devices) {
        return DOCA_ERROR_NOT_FOUND;
    }
    if (emu_dev_function(dev)->dpu) {
        return DOCA_ERROR_NOT_SUPPORTED;
    }
    doca_error_t result = make_control(mmap);
    if (result == DOCA_SUCCESS && mmap->blobs[index] == NULL) {
        result = make_blob(mmap, dev, &mmap->blobs[index]);
    }
    if (result != DOCA_SUCCESS) {
        return result;
    }
    *export_desc = mmap->blobs[index];
    *export_desc_len = sizeof(*mmap->blobs[index]);
    return DOCA_SUCCESS;
}

doca_error_t doca_mmap_export_rdma(struct doca_mmap *mmap, const struct doca_dev *dev,
                                   const void **export_desc, size_t *export_desc_len)
{
    if (mmap == NULL || dev == NULL || export_desc == NULL || export_desc_len == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    return DOCA_ERROR_NOT_SUPPORTED;
}

doca_error_t emu_mmap_unexport(struct doca_mmap *mmap)
{
    if (mmap->control.page != NULL) {
        bool forget = mmap->owner != getpid();
        uint64_t wait_ms = emu_env_u64("DOCA_EMU_DESTROY_WAIT_MS", 200, 0, 600000);
        if (!forget && !emu_control_revoke(&mmap->control, wait_ms * 1000000u)) {
            emu_log(DOCA_LOG_LEVEL_WARNING,
                    "mmap: an importer is stopped inside a copy; the export is "
                    "revoked, destroy has to be called again");
            return DOCA_ERROR_IN_PROGRESS;
        }
        emu_control_release(&mmap->control, forget);
    }
    for (uint32_t i = 0; i < EMU_MMAP_DEVICES_MAX; i++) {
        free(mmap->blobs[i]);
        mmap->blobs[i] = NULL;
    }
    return DOCA_SUCCESS;
}
