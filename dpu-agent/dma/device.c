/* SPDX-License-Identifier: Apache-2.0 */
/* device.c - finds and opens the BlueField function that the agent works on.
 * Thread: any; the device is closed when no engine is left on it. Memory: one object a device. */
#include "dma/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define ADDRESSES_TEXT_LEN 512

static void log_not_found(const char *pci_addr, struct doca_devinfo **list, uint32_t count)
{
    char found[ADDRESSES_TEXT_LEN] = "none";
    size_t used = 0;
    uint32_t i;

    for (i = 0; i < count; i++) {
        char addr[DOCA_DEVINFO_PCI_ADDR_SIZE] = "";
        if (doca_devinfo_get_pci_addr_str(list[i], addr) != DOCA_SUCCESS ||
            used + sizeof(addr) + 1 > sizeof(found)) {
            continue;
        }
        used +=
            (size_t)snprintf(found + used, sizeof(found) - used, "%s%s", used > 0 ? " " : "", addr);
    }
    BC_ERROR("dma",
             "no DOCA device at PCI address %s (found: %s). Give the function as the DPU's own "
             "lspci shows it; if none is found, see that the DPU is in DPU mode (mlxconfig: "
             "INTERNAL_CPU_MODEL) and that this user may open it (root, or the group mlnx)",
             pci_addr, found);
}

static struct doca_devinfo *find(struct doca_devinfo **list, uint32_t count, const char *pci_addr)
{
    uint32_t i;

    for (i = 0; i < count; i++) {
        uint8_t equal = 0;
        if (doca_devinfo_is_equal_pci_addr(list[i], pci_addr, &equal) == DOCA_SUCCESS &&
            equal != 0) {
            return list[i];
        }
    }
    return NULL;
}

/* What the engine needs of a function; asked before it is opened. */
static int check_capabilities(const struct doca_devinfo *info, const char *pci_addr,
                              uint64_t *max_len_out)
{
    uint8_t imports = 0;
    doca_error_t rc = doca_dma_cap_task_memcpy_is_supported(info);

    if (rc != DOCA_SUCCESS) {
        BC_ERROR("dma", "%s cannot do DMA copies: %s", pci_addr, doca_error_get_name(rc));
        return -EOPNOTSUPP;
    }
    rc = doca_mmap_cap_is_create_from_export_pci_supported(info, &imports);
    if (rc != DOCA_SUCCESS || imports == 0) {
        BC_ERROR(
            "dma",
            "%s cannot import host memory: it is a host's function, or the DPU is in NIC mode; "
            "give the DPU's own function",
            pci_addr);
        return -EOPNOTSUPP;
    }
    rc = doca_dma_cap_task_memcpy_get_max_buf_size(info, max_len_out);
    if (rc != DOCA_SUCCESS || *max_len_out == 0) {
        BC_ERROR("dma", "%s does not tell its largest copy: %s", pci_addr, doca_error_get_name(rc));
        return -EIO;
    }
    return 0;
}

static int open_info(struct doca_devinfo *info, const char *pci_addr,
                     struct bc_dma_device **device_out)
{
    struct bc_dma_device *device = calloc(1, sizeof(*device));
    doca_error_t error;
    int rc;

    if (device == NULL) {
        return -ENOMEM;
    }
    rc = check_capabilities(info, pci_addr, &device->max_len);
    if (rc != 0) {
        goto err_free;
    }
    error = doca_dev_open(info, &device->dev);
    if (error != DOCA_SUCCESS) {
        BC_ERROR("dma", "cannot open %s: %s", pci_addr, doca_error_get_descr(error));
        rc = bc_dma_errno(error);
        goto err_free;
    }
    if (doca_devinfo_get_pci_addr_str(info, device->pci_addr) != DOCA_SUCCESS) {
        snprintf(device->pci_addr, sizeof(device->pci_addr), "%s", pci_addr);
    }
    *device_out = device;
    return 0;

err_free:
    free(device);
    return rc;
}

int bc_dma_device_open(const char *pci_addr, struct bc_dma_device **device_out)
{
    struct doca_devinfo **list = NULL;
    struct doca_devinfo *info;
    uint32_t count = 0;
    doca_error_t error = doca_devinfo_create_list(&list, &count);
    int rc = -ENODEV;

    if (error != DOCA_SUCCESS) {
        log_not_found(pci_addr, NULL, 0);
        return error == DOCA_ERROR_NO_MEMORY ? -ENOMEM : -ENODEV;
    }
    info = find(list, count, pci_addr);
    if (info == NULL) {
        log_not_found(pci_addr, list, count);
    } else {
        rc = open_info(info, pci_addr, device_out);
    }
    (void)doca_devinfo_destroy_list(list);
    return rc;
}

void bc_dma_device_close(struct bc_dma_device *device)
{
    doca_error_t error;

    if (device == NULL) {
        return;
    }
    BC_ASSERT(__atomic_load_n(&device->engines, __ATOMIC_ACQUIRE) == 0);
    error = doca_dev_close(device->dev);
    if (error != DOCA_SUCCESS) {
        BC_WARN("dma", "cannot close %s: %s", device->pci_addr, doca_error_get_name(error));
    }
    free(device);
}

uint64_t bc_dma_device_max_len(const struct bc_dma_device *device)
{
    return device->max_len;
}

bool bc_dma_device_emulated(const struct bc_dma_device *device)
{
    (void)device;
    return BC_DOCA_EMULATED;
}

const char *bc_dma_device_pci_addr(const struct bc_dma_device *device)
{
    return device->pci_addr;
}
