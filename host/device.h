/* SPDX-License-Identifier: Apache-2.0 */
/* device.h - the host's function of the BlueField: found by PCI address, opened once per client.
 * Thread: open and close one thread; `lock` serialises every DOCA call made for the device, since
 * DOCA's objects have no locks of their own. Must not know: sessions, requests. */
#ifndef BC_HOST_DEVICE_H
#define BC_HOST_DEVICE_H

#include <pthread.h>

#include "base/compiler.h"
#include "bluecache/bluecache.h"

BC_EXTERN_C_BEGIN

struct doca_dev;

struct bc_device {
    struct doca_dev *dev;
    pthread_mutex_t lock;
    char pci_addr[16];
};

/* pci_addr NULL: the only device that can export memory. -ENODEV (none, or several to choose from;
 * `error` names them), -EIO. */
BC_MUST_USE int bc_device_open(const char *pci_addr, struct bc_device *device,
                               struct bc_error *error);
void bc_device_close(struct bc_device *device);

BC_EXTERN_C_END

#endif
