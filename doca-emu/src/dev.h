/* SPDX-License-Identifier: Apache-2.0 */
/* dev.h - inside of devices and representors, for the parts that hold on to a device.
 * A device counts its openers and its users (mmaps, contexts, representors); the last close is
 * refused while there are users. Thread: any, under one lock. */
#ifndef EMU_DEV_H
#define EMU_DEV_H

#include "world.h"

struct doca_devinfo {
    struct emu_world *world;
    uint32_t index; /* in world->functions */
};

struct doca_dev {
    struct doca_devinfo info; /* holds a reference to the world */
    struct doca_dev *next;
    uint32_t opens;
    uint32_t users;
};

struct doca_devinfo_rep {
    struct emu_world *world;
    uint32_t index;       /* the host function */
    struct doca_dev *dev; /* the DPU device that represents it */
};

struct doca_dev_rep {
    struct doca_devinfo_rep info; /* holds a reference to the world and a use of the device */
    uint32_t users;
};

static inline const struct emu_function *emu_devinfo_function(const struct doca_devinfo *info)
{
    return &info->world->functions[info->index];
}

static inline const struct emu_function *emu_dev_function(const struct doca_dev *dev)
{
    return emu_devinfo_function(&dev->info);
}

/* A use keeps the device open. */
EMU_INTERNAL void emu_dev_use(struct doca_dev *dev);
EMU_INTERNAL void emu_dev_unuse(struct doca_dev *dev);
EMU_INTERNAL void emu_dev_rep_use(struct doca_dev_rep *rep);
EMU_INTERNAL void emu_dev_rep_unuse(struct doca_dev_rep *rep);

#endif /* EMU_DEV_H */
