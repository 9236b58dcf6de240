/* SPDX-License-Identifier: Apache-2.0 */
/* device.c - see device.h. */
#include "device.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <doca_dev.h>
#include <doca_error.h>
#include <doca_mmap.h>

#include "errors.h"

struct choice {
    struct doca_devinfo *found;
    uint32_t found_count;
    char names[160]; /* of the devices that could be meant */
};

static bool can_export(const struct doca_devinfo *info)
{
    uint8_t supported = 0;

    return doca_mmap_cap_is_export_pci_supported(info, &supported) == DOCA_SUCCESS &&
           supported != 0;
}

static void add_name(struct choice *choice, const char *name)
{
    size_t used = strlen(choice->names);

    (void)snprintf(choice->names + used, sizeof(choice->names) - used, "%s%s",
                   used == 0 ? "" : ", ", name);
}

/* A PCI address names one function in both of its spellings, so DOCA compares, not strcmp. */
static void choose(struct doca_devinfo **list, uint32_t count, const char *pci_addr,
                   struct choice *choice)
{
    for (uint32_t i = 0; i < count; i++) {
        char name[DOCA_DEVINFO_PCI_ADDR_SIZE] = "";
        uint8_t equal = 0;

        if (!can_export(list[i])) {
            continue;
        }
        if (doca_devinfo_get_pci_addr_str(list[i], name) == DOCA_SUCCESS) {
            add_name(choice, name);
        }
        if (pci_addr != NULL &&
            (doca_devinfo_is_equal_pci_addr(list[i], pci_addr, &equal) != DOCA_SUCCESS ||
             equal == 0)) {
            continue;
        }
        choice->found = list[i];
        choice->found_count++;
    }
}

static int open_found(struct doca_devinfo *info, struct bc_device *device, struct bc_error *error)
{
    char name[DOCA_DEVINFO_PCI_ADDR_SIZE] = "";
    doca_error_t result = doca_dev_open(info, &device->dev);

    if (result != DOCA_SUCCESS) {
        return bc_error_set(error, -EIO, "the BlueField's host function cannot be opened: %s",
                            doca_error_get_descr(result));
    }
    (void)doca_devinfo_get_pci_addr_str(doca_dev_as_devinfo(device->dev), name);
    (void)snprintf(device->pci_addr, sizeof(device->pci_addr), "%s", name);
    (void)pthread_mutex_init(&device->lock, NULL); /* cannot fail without attributes */
    return 0;
}

int bc_device_open(const char *pci_addr, struct bc_device *device, struct bc_error *error)
{
    struct choice choice = {0};
    struct doca_devinfo **list = NULL;
    uint32_t count = 0;
    doca_error_t result;
    int rc;

    memset(device, 0, sizeof(*device));
    result = doca_devinfo_create_list(&list, &count);
    if (result != DOCA_SUCCESS) {
        return bc_error_set(error, result == DOCA_ERROR_NOT_FOUND ? -ENODEV : -EIO,
                            "DOCA finds no devices (%s); is a BlueField in this host?",
                            doca_error_get_descr(result));
    }
    choose(list, count, pci_addr, &choice);
    if (choice.found_count == 1) {
        rc = open_found(choice.found, device, error);
    } else if (choice.names[0] == '\0') {
        rc = bc_error_set(error, -ENODEV, "no device of this host can export memory to a DPU");
    } else if (pci_addr != NULL) {
        rc = bc_error_set(error, -ENODEV, "no BlueField function at PCI address %s; there is %s",
                          pci_addr, choice.names);
    } else {
        rc = bc_error_set(error, -ENODEV,
                          "several BlueField functions (%s): choose one with pci_addr or "
                          "BLUECACHE_PCI_ADDR",
                          choice.names);
    }
    (void)doca_devinfo_destroy_list(list);
    return rc;
}

void bc_device_close(struct bc_device *device)
{
    if (device->dev != NULL) {
        (void)pthread_mutex_destroy(&device->lock);
        (void)doca_dev_close(device->dev);
        device->dev = NULL;
    }
}
