/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_devices.c - the emulation's table of PCI functions, and PCI addresses.
 *
 *   input: the table's text
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <doca_dev.h>
#include <doca_error.h>

#include "base/assert.h"

static void look_at(struct doca_devinfo *info)
{
    char pci_addr[DOCA_DEVINFO_PCI_ADDR_SIZE];
    char name[DOCA_DEVINFO_IFACE_NAME_SIZE];
    uint8_t equal = 0;

    BC_ASSERT(doca_devinfo_get_pci_addr_str(info, pci_addr) == DOCA_SUCCESS);
    BC_ASSERT(doca_devinfo_is_equal_pci_addr(info, pci_addr, &equal) == DOCA_SUCCESS);
    BC_ASSERT(equal == 1);
    BC_ASSERT(doca_devinfo_get_iface_name(info, name, sizeof(name)) == DOCA_SUCCESS);
    BC_ASSERT(memchr(name, '\0', sizeof(name)) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct doca_devinfo **list = NULL;
    uint32_t count = 0;
    const char *path;
    int fd = fuzz_file(data, len, &path);
    doca_error_t result;

    BC_ASSERT(setenv("DOCA_EMU_DEVICES", path, 1) == 0);
    result = doca_devinfo_create_list(&list, &count);
    (void)close(fd);
    if (result != DOCA_SUCCESS) {
        BC_ASSERT(result == DOCA_ERROR_INVALID_VALUE || result == DOCA_ERROR_NOT_FOUND);
        return 0;
    }
    BC_ASSERT(count > 0);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t equal;
        char *text = fuzz_text(data, len);

        look_at(list[i]);
        (void)doca_devinfo_is_equal_pci_addr(list[i], text, &equal);
        free(text);
    }
    BC_ASSERT(doca_devinfo_destroy_list(list) == DOCA_SUCCESS);
    return 0;
}
