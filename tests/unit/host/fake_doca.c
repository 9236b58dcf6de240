/* SPDX-License-Identifier: Apache-2.0 */
/* fake_doca.c - see fake_doca.h. */
#include "fake_doca.h"

#include <pthread.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <doca_dev.h>
#include <doca_error.h>
#include <doca_mmap.h>
#include <doca_types.h>

#include "trace.h"

#define DEVICES_MAX 4

struct doca_devinfo {
    char pci_addr[DOCA_DEVINFO_PCI_ADDR_SIZE];
};

struct doca_dev {
    struct doca_devinfo *info;
};

struct doca_mmap {
    struct fake_descriptor descriptor;
    bool by_dmabuf;
    bool started;
    bool exported;
};

static struct doca_devinfo infos[DEVICES_MAX] = {
    {FAKE_PCI_ADDR}, {"0000:bb:00.0"}, {"0000:bc:00.0"}, {"0000:bd:00.0"}};
static struct doca_devinfo *list[DEVICES_MAX] = {&infos[0], &infos[1], &infos[2], &infos[3]};

static struct {
    pthread_mutex_t lock;
    uint32_t devices;
    bool hold_destroy;
    bool dmabuf;
    bool last_by_dmabuf;
    uint64_t start_limit;
    const void *refused;
    size_t last_dmabuf_offset;
    int open_count;
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER, .devices = 1};

void fake_doca_reset(void)
{
    (void)pthread_mutex_lock(&fake.lock);
    fake.devices = 1;
    fake.hold_destroy = false;
    fake.dmabuf = false;
    fake.start_limit = 0;
    fake.refused = NULL;
    fake.open_count = 0;
    (void)pthread_mutex_unlock(&fake.lock);
}

void fake_doca_devices(uint32_t count)
{
    (void)pthread_mutex_lock(&fake.lock);
    fake.devices = count;
    (void)pthread_mutex_unlock(&fake.lock);
}

void fake_doca_hold_destroy(bool on)
{
    (void)pthread_mutex_lock(&fake.lock);
    fake.hold_destroy = on;
    (void)pthread_mutex_unlock(&fake.lock);
}

void fake_doca_start_limit(uint64_t len)
{
    (void)pthread_mutex_lock(&fake.lock);
    fake.start_limit = len;
    (void)pthread_mutex_unlock(&fake.lock);
}

void fake_doca_dmabuf(bool on)
{
    (void)pthread_mutex_lock(&fake.lock);
    fake.dmabuf = on;
    (void)pthread_mutex_unlock(&fake.lock);
}

void fake_doca_refuse_address(const void *addr)
{
    (void)pthread_mutex_lock(&fake.lock);
    fake.refused = addr;
    (void)pthread_mutex_unlock(&fake.lock);
}

size_t fake_doca_last_dmabuf_offset(void)
{
    size_t offset;

    (void)pthread_mutex_lock(&fake.lock);
    offset = fake.last_dmabuf_offset;
    (void)pthread_mutex_unlock(&fake.lock);
    return offset;
}

int fake_doca_open_count(void)
{
    int count;

    (void)pthread_mutex_lock(&fake.lock);
    count = fake.open_count;
    (void)pthread_mutex_unlock(&fake.lock);
    return count;
}

bool fake_doca_last_by_dmabuf(void)
{
    bool by;

    (void)pthread_mutex_lock(&fake.lock);
    by = fake.last_by_dmabuf;
    (void)pthread_mutex_unlock(&fake.lock);
    return by;
}

/* ---- devices ------------------------------------------------------------------------------- */

doca_error_t doca_devinfo_create_list(struct doca_devinfo ***dev_list, uint32_t *nb_devs)
{
    (void)pthread_mutex_lock(&fake.lock);
    *nb_devs = fake.devices;
    (void)pthread_mutex_unlock(&fake.lock);
    *dev_list = list;
    return *nb_devs == 0 ? DOCA_ERROR_NOT_FOUND : DOCA_SUCCESS;
}

doca_error_t doca_devinfo_destroy_list(struct doca_devinfo **dev_list)
{
    return dev_list == list ? DOCA_SUCCESS : DOCA_ERROR_INVALID_VALUE;
}

doca_error_t doca_devinfo_get_pci_addr_str(const struct doca_devinfo *devinfo, char *pci_addr_str)
{
    memcpy(pci_addr_str, devinfo->pci_addr, DOCA_DEVINFO_PCI_ADDR_SIZE);
    return DOCA_SUCCESS;
}

doca_error_t doca_devinfo_is_equal_pci_addr(const struct doca_devinfo *devinfo,
                                            const char *pci_addr_str, uint8_t *is_equal)
{
    *is_equal = strcasecmp(devinfo->pci_addr, pci_addr_str) == 0 ||
                strcasecmp(devinfo->pci_addr + 5, pci_addr_str) == 0;
    return DOCA_SUCCESS;
}

doca_error_t doca_mmap_cap_is_export_pci_supported(const struct doca_devinfo *devinfo,
                                                   uint8_t *mmap_export)
{
    (void)devinfo;
    *mmap_export = 1;
    return DOCA_SUCCESS;
}

doca_error_t doca_dev_open(struct doca_devinfo *devinfo, struct doca_dev **dev)
{
    *dev = calloc(1, sizeof(**dev));
    if (*dev == NULL) {
        return DOCA_ERROR_NO_MEMORY;
    }
    (*dev)->info = devinfo;
    return DOCA_SUCCESS;
}

doca_error_t doca_dev_close(struct doca_dev *dev)
{
    free(dev);
    return DOCA_SUCCESS;
}

struct doca_devinfo *doca_dev_as_devinfo(const struct doca_dev *dev)
{
    return dev->info;
}

/* ---- mmaps --------------------------------------------------------------------------------- */

doca_error_t doca_mmap_create(struct doca_mmap **mmap)
{
    *mmap = calloc(1, sizeof(**mmap));
    return *mmap == NULL ? DOCA_ERROR_NO_MEMORY : DOCA_SUCCESS;
}

doca_error_t doca_mmap_add_dev(struct doca_mmap *mmap, struct doca_dev *dev)
{
    (void)mmap;
    return dev == NULL ? DOCA_ERROR_INVALID_VALUE : DOCA_SUCCESS;
}

doca_error_t doca_mmap_set_memrange(struct doca_mmap *mmap, void *addr, size_t len)
{
    if (mmap->started || mmap->descriptor.len != 0) {
        return DOCA_ERROR_BAD_STATE;
    }
    mmap->descriptor = (struct fake_descriptor){.base = (uint64_t)(uintptr_t)addr, .len = len};
    return DOCA_SUCCESS;
}

doca_error_t doca_mmap_set_dmabuf_memrange(struct doca_mmap *mmap, int dmabuf_fd, void *addr,
                                           size_t dmabuf_offset, size_t len)
{
    bool works;

    (void)pthread_mutex_lock(&fake.lock);
    works = fake.dmabuf;
    fake.last_dmabuf_offset = dmabuf_offset;
    (void)pthread_mutex_unlock(&fake.lock);
    if (!works || dmabuf_fd < 0) {
        return DOCA_ERROR_NOT_SUPPORTED;
    }
    mmap->by_dmabuf = true;
    return doca_mmap_set_memrange(mmap, addr, len);
}

doca_error_t doca_mmap_set_permissions(struct doca_mmap *mmap, uint32_t access_mask)
{
    return mmap->started || (access_mask & DOCA_ACCESS_FLAG_PCI_READ_WRITE) == 0
               ? DOCA_ERROR_BAD_STATE
               : DOCA_SUCCESS;
}

doca_error_t doca_mmap_start(struct doca_mmap *mmap)
{
    doca_error_t result = DOCA_SUCCESS;

    (void)pthread_mutex_lock(&fake.lock);
    if (fake.start_limit != 0 && mmap->descriptor.len > fake.start_limit) {
        result = DOCA_ERROR_INVALID_VALUE;
    } else if (!mmap->by_dmabuf && fake.refused != NULL &&
               mmap->descriptor.base == (uint64_t)(uintptr_t)fake.refused) {
        result = DOCA_ERROR_DRIVER;
    } else {
        mmap->started = true;
    }
    (void)pthread_mutex_unlock(&fake.lock);
    return result;
}

doca_error_t doca_mmap_export_pci(struct doca_mmap *mmap, const struct doca_dev *dev,
                                  const void **export_desc, size_t *export_desc_len)
{
    (void)dev;
    if (!mmap->started) {
        return DOCA_ERROR_NOT_PERMITTED;
    }
    mmap->exported = true;
    *export_desc = &mmap->descriptor;
    *export_desc_len = sizeof(mmap->descriptor);
    (void)pthread_mutex_lock(&fake.lock);
    fake.open_count++;
    fake.last_by_dmabuf = mmap->by_dmabuf;
    (void)pthread_mutex_unlock(&fake.lock);
    trace_add("open %llu", (unsigned long long)mmap->descriptor.len);
    return DOCA_SUCCESS;
}

doca_error_t doca_mmap_destroy(struct doca_mmap *mmap)
{
    bool hold;

    (void)pthread_mutex_lock(&fake.lock);
    hold = fake.hold_destroy && mmap->exported;
    fake.open_count -= mmap->exported && !hold ? 1 : 0;
    (void)pthread_mutex_unlock(&fake.lock);
    if (hold) {
        trace_add("busy %llu", (unsigned long long)mmap->descriptor.len);
        return DOCA_ERROR_IN_PROGRESS;
    }
    if (mmap->exported) {
        trace_add("destroy %llu", (unsigned long long)mmap->descriptor.len);
    }
    free(mmap);
    return DOCA_SUCCESS;
}
