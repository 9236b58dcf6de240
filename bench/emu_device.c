/* SPDX-License-Identifier: Apache-2.0 */
/* emu_device.c - see emu_device.h. */
#include "emu_device.h"

#include "harness.h"

void bc_doca_must(doca_error_t result, const char *what)
{
    if (result != DOCA_SUCCESS) {
        bc_harness_fail("%s: %s (%s)", what, doca_error_get_name(result),
                        doca_error_get_descr(result));
    }
}

struct doca_dev *bc_doca_open_device(const char *pci_addr)
{
    struct doca_devinfo **list = NULL;
    struct doca_dev *dev = NULL;
    uint32_t count = 0;

    bc_doca_must(doca_devinfo_create_list(&list, &count), "doca_devinfo_create_list");
    for (uint32_t i = 0; i < count && dev == NULL; i++) {
        uint8_t equal = 0;

        bc_doca_must(doca_devinfo_is_equal_pci_addr(list[i], pci_addr, &equal), "the PCI address");
        if (equal != 0) {
            bc_doca_must(doca_dev_open(list[i], &dev), "doca_dev_open");
        }
    }
    bc_doca_must(doca_devinfo_destroy_list(list), "doca_devinfo_destroy_list");
    if (dev == NULL) {
        bc_harness_fail("no device %s", pci_addr);
    }
    return dev;
}
