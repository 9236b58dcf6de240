/* SPDX-License-Identifier: Apache-2.0 */
/* dev.c - lists of devices and representors, opening and closing them.
 * A list is one allocation: its head, the array handed out, and the entries. */
#include "dev.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct devinfo_list {
    struct emu_world *world;
    struct doca_devinfo *entries;
    struct doca_devinfo *pointers[];
};

struct rep_list {
    struct doca_dev *dev; /* in use as long as the list lives */
    struct doca_devinfo_rep *entries;
    struct doca_devinfo_rep *pointers[];
};

static struct {
    pthread_mutex_t lock;
    struct doca_dev *open; /* every open device of the process */
    bool announced;        /* the one line that says what this library is */
} devices = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void *list_of(void *pointers, size_t offset)
{
    return (char *)pointers - offset;
}

/* The side that this process has taken by opening a device of it: such a program looks for more
 * devices of that side, and a real machine has no others.
 * Both, or neither: no side. */
static void opened_sides(bool *host_out, bool *dpu_out)
{
    *host_out = false;
    *dpu_out = false;
    pthread_mutex_lock(&devices.lock);
    for (const struct doca_dev *dev = devices.open; dev != NULL; dev = dev->next) {
        *(emu_dev_function(dev)->dpu ? dpu_out : host_out) = true;
    }
    pthread_mutex_unlock(&devices.lock);
}

/* Adds the functions of one side to the list; the number of entries then. */
static uint32_t add_side(struct devinfo_list *list, uint32_t count, bool dpu)
{
    const struct emu_world *world = list->world;
    for (uint32_t i = 0; i < world->num_functions; i++) {
        if (world->functions[i].dpu == dpu) {
            list->entries[i] = (struct doca_devinfo){.world = list->world, .index = i};
            list->pointers[count++] = &list->entries[i];
        }
    }
    return count;
}

/* What this process sees, in the order in which it sees it. */
static uint32_t fill_list(struct devinfo_list *list)
{
    const char *side = getenv("DOCA_EMU_SIDE");
    bool host = false;
    bool dpu = false;
    if (side != NULL && (strcmp(side, "host") == 0 || strcmp(side, "dpu") == 0)) {
        return add_side(list, 0, strcmp(side, "dpu") == 0);
    }
    opened_sides(&host, &dpu);
    bool dpu_first = host == dpu ? list->world->functions[0].dpu : dpu;
    return add_side(list, add_side(list, 0, dpu_first), !dpu_first);
}

doca_error_t doca_devinfo_create_list(struct doca_devinfo ***dev_list, uint32_t *nb_devs)
{
    if (dev_list == NULL || nb_devs == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    struct emu_world *world = NULL;
    doca_error_t result = emu_world_create(&world);
    if (result != DOCA_SUCCESS) {
        return result;
    }
    uint32_t count = world->num_functions;
    struct devinfo_list *list = calloc(
        1, sizeof(*list) + count * (sizeof(struct doca_devinfo *) + sizeof(struct doca_devinfo)));
    if (list == NULL) {
        emu_world_put(world);
        return DOCA_ERROR_NO_MEMORY;
    }
    list->world = world;
    list->entries = (struct doca_devinfo *)&list->pointers[count];
    count = fill_list(list);
    if (count == 0) {
        emu_world_put(world);
        free(list);
        return DOCA_ERROR_NOT_FOUND;
    }
    *dev_list = list->pointers;
    *nb_devs = count;
    return DOCA_SUCCESS;
}

doca_error_t doca_devinfo_destroy_list(struct doca_devinfo **dev_list)
{
    if (dev_list == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    struct devinfo_list *list = list_of(dev_list, offsetof(struct devinfo_list, pointers));
    emu_world_put(list->world);
    free(list);
    return DOCA_SUCCESS;
}

doca_error_t doca_devinfo_rep_create_list(struct doca_dev *dev, int filter,
                                          struct doca_devinfo_rep ***dev_list_rep,
                                          uint32_t *nb_devs_rep)
{
    const int known = DOCA_DEVINFO_REP_FILTER_NET | DOCA_DEVINFO_REP_FILTER_EMULATED;
    if (dev == NULL || dev_list_rep == NULL || nb_devs_rep == NULL || (filter & ~known) != 0) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    const struct emu_function *function = emu_dev_function(dev);
    if (!function->dpu || filter == DOCA_DEVINFO_REP_FILTER_EMULATED) {
        return DOCA_ERROR_NOT_SUPPORTED;
    }
    uint32_t count = (uint32_t)__builtin_popcountll(function->represents);
    struct rep_list *list = calloc(1, sizeof(*list) + count * (sizeof(struct doca_devinfo_rep *) +
                                                               sizeof(struct doca_devinfo_rep)));
    if (list == NULL) {
        return DOCA_ERROR_NO_MEMORY;
    }
    list->dev = dev;
    list->entries = (struct doca_devinfo_rep *)&list->pointers[count];
    uint32_t found = 0;
    for (uint32_t i = 0; i < dev->info.world->num_functions; i++) {
        if ((function->represents >> i & 1) != 0) {
            list->entries[found] = (struct doca_devinfo_rep){dev->info.world, i, dev};
            list->pointers[found] = &list->entries[found];
            found++;
        }
    }
    emu_dev_use(dev);
    *dev_list_rep = list->pointers;
    *nb_devs_rep = count;
    return DOCA_SUCCESS;
}

doca_error_t doca_devinfo_rep_destroy_list(struct doca_devinfo_rep **dev_list_rep)
{
    if (dev_list_rep == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    struct rep_list *list = list_of(dev_list_rep, offsetof(struct rep_list, pointers));
    emu_dev_unuse(list->dev);
    free(list);
    return DOCA_SUCCESS;
}

static struct doca_dev *find_open_locked(const struct doca_devinfo *info)
{
    const struct emu_function *wanted = emu_devinfo_function(info);
    for (struct doca_dev *dev = devices.open; dev != NULL; dev = dev->next) {
        if (dev->info.world->id == info->world->id &&
            emu_pci_equal(&emu_dev_function(dev)->pci, &wanted->pci)) {
            return dev;
        }
    }
    return NULL;
}

doca_error_t doca_dev_open(struct doca_devinfo *devinfo, struct doca_dev **dev)
{
    if (devinfo == NULL || dev == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    doca_error_t result = DOCA_SUCCESS;
    pthread_mutex_lock(&devices.lock);
    struct doca_dev *found = find_open_locked(devinfo);
    if (found == NULL) {
        found = calloc(1, sizeof(*found));
        if (found == NULL) {
            result = DOCA_ERROR_NO_MEMORY;
            goto out;
        }
        found->info = *devinfo;
        (void)emu_world_get(devinfo->world);
        found->next = devices.open;
        devices.open = found;
    }
    found->opens++;
    *dev = found;
    if (!devices.announced) {
        devices.announced = true;
        emu_log(DOCA_LOG_LEVEL_INFO,
                "this is a software emulation of the DOCA SDK: no BlueField is used, "
                "\"PCIe\" is memory shared between processes of this machine");
    }
out:
    pthread_mutex_unlock(&devices.lock);
    return result;
}

doca_error_t doca_dev_close(struct doca_dev *dev)
{
    if (dev == NULL) {
        return DOCA_SUCCESS; /* IN_USE is the only error that is documented, and programs rely on it */
    }
    doca_error_t result = DOCA_SUCCESS;
    pthread_mutex_lock(&devices.lock);
    if (dev->opens > 1) {
        dev->opens--;
    } else if (dev->users > 0) {
        result = DOCA_ERROR_IN_USE;
    } else {
        struct doca_dev **link = &devices.open;
        while (*link != NULL && *link != dev) {
            link = &(*link)->next;
        }
        if (*link == dev) {
            *link = dev->next;
        }
        emu_world_put(dev->info.world);
        free(dev);
    }
    pthread_mutex_unlock(&devices.lock);
    return result;
}

doca_error_t doca_dev_rep_open(struct doca_devinfo_rep *devinfo, struct doca_dev_rep **dev_rep)
{
    if (devinfo == NULL || dev_rep == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    struct doca_dev_rep *rep = calloc(1, sizeof(*rep));
    if (rep == NULL) {
        return DOCA_ERROR_NO_MEMORY;
    }
    rep->info = *devinfo;
    (void)emu_world_get(rep->info.world);
    emu_dev_use(rep->info.dev);
    *dev_rep = rep;
    return DOCA_SUCCESS;
}

doca_error_t doca_dev_rep_close(struct doca_dev_rep *dev)
{
    if (dev == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    pthread_mutex_lock(&devices.lock);
    bool in_use = dev->users > 0;
    pthread_mutex_unlock(&devices.lock);
    if (in_use) {
        return DOCA_ERROR_IN_USE;
    }
    emu_dev_unuse(dev->info.dev);
    emu_world_put(dev->info.world);
    free(dev);
    return DOCA_SUCCESS;
}

struct doca_devinfo *doca_dev_as_devinfo(const struct doca_dev *dev)
{
    /* The API hands out a mutable pointer although nothing can change through it. */
    return dev == NULL ? NULL : (struct doca_devinfo *)(uintptr_t)&dev->info;
}

struct doca_devinfo_rep *doca_dev_rep_as_devinfo(struct doca_dev_rep *dev_rep)
{
    return dev_rep == NULL ? NULL : &dev_rep->info;
}

void emu_dev_use(struct doca_dev *dev)
{
    pthread_mutex_lock(&devices.lock);
    dev->users++;
    pthread_mutex_unlock(&devices.lock);
}

void emu_dev_unuse(struct doca_dev *dev)
{
    pthread_mutex_lock(&devices.lock);
    dev->users--;
    pthread_mutex_unlock(&devices.lock);
}

void emu_dev_rep_use(struct doca_dev_rep *rep)
{
    pthread_mutex_lock(&devices.lock);
    rep->users++;
    pthread_mutex_unlock(&devices.lock);
}

void emu_dev_rep_unuse(struct doca_dev_rep *rep)
{
    pthread_mutex_lock(&devices.lock);
    rep->users--;
    pthread_mutex_unlock(&devices.lock);
}
