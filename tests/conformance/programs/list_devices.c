/* SPDX-License-Identifier: Apache-2.0 */
/* list_devices.c - prints devices with what they can do, and the host functions behind each. */
#include "common.h"

#include <doca_comch.h>
#include <doca_dma.h>

#include <stdio.h>

DOCA_LOG_REGISTER(LIST_DEVICES);

static doca_error_t list_representors(struct doca_devinfo *info)
{
    struct doca_dev *dev = NULL;
    struct doca_devinfo_rep **reps = NULL;
    uint32_t count = 0;
    uint8_t net = 0;
    TRY(doca_devinfo_rep_cap_is_filter_net_supported(info, &net));
    if (!net) {
        return DOCA_SUCCESS;
    }
    TRY(doca_dev_open(info, &dev));
    TRY(doca_devinfo_rep_create_list(dev, DOCA_DEVINFO_REP_FILTER_NET, &reps, &count));
    for (uint32_t i = 0; i < count; i++) {
        char pci[DOCA_DEVINFO_REP_PCI_ADDR_SIZE];
        char vuid[DOCA_DEVINFO_REP_VUID_SIZE];
        enum doca_pci_func_type type;
        TRY(doca_devinfo_rep_get_pci_addr_str(reps[i], pci));
        TRY(doca_devinfo_rep_get_vuid(reps[i], vuid, sizeof(vuid)));
        TRY(doca_devinfo_rep_get_pci_func_type(reps[i], &type));
        printf("  representor %s type %d vuid %s\n", pci, (int)type, vuid);
    }
    TRY(doca_devinfo_rep_destroy_list(reps));
    TRY(doca_dev_close(dev));
    return DOCA_SUCCESS;
}

static doca_error_t list_devices(void)
{
    struct doca_devinfo **list = NULL;
    uint32_t count = 0;
    TRY(doca_devinfo_create_list(&list, &count));
    for (uint32_t i = 0; i < count; i++) {
        char pci[DOCA_DEVINFO_PCI_ADDR_SIZE];
        char ibdev[DOCA_DEVINFO_IBDEV_NAME_SIZE];
        uint8_t exports = 0;
        uint8_t imports = 0;
        uint64_t size = 0;
        uint32_t list_len = 0;
        TRY(doca_devinfo_get_pci_addr_str(list[i], pci));
        TRY(doca_devinfo_get_ibdev_name(list[i], ibdev, sizeof(ibdev)));
        TRY(doca_mmap_cap_is_export_pci_supported(list[i], &exports));
        TRY(doca_mmap_cap_is_create_from_export_pci_supported(list[i], &imports));
        TRY(doca_dma_cap_task_memcpy_get_max_buf_size(list[i], &size));
        TRY(doca_dma_cap_task_memcpy_get_max_buf_list_len(list[i], &list_len));
        printf("device %s %s exports %d imports %d dma %d %" PRIu64 " x %" PRIu32
               " comch server %d client %d\n",
               pci, ibdev, exports, imports,
               doca_dma_cap_task_memcpy_is_supported(list[i]) == DOCA_SUCCESS, size, list_len,
               doca_comch_cap_server_is_supported(list[i]) == DOCA_SUCCESS,
               doca_comch_cap_client_is_supported(list[i]) == DOCA_SUCCESS);
        TRY(list_representors(list[i]));
    }
    TRY(doca_devinfo_destroy_list(list));
    return DOCA_SUCCESS;
}

int main(void)
{
    return list_devices() == DOCA_SUCCESS ? EXIT_SUCCESS : EXIT_FAILURE;
}
