/* SPDX-License-Identifier: Apache-2.0 */
/* comch_place.h - where servers and clients find each other: one socket in the file system for each
 * (world, DPU function, host function, service name), in a directory of the user that nobody else
 * may enter: DOCA_EMU_RUNTIME_DIR, else /tmp/doca-emu-UID.
 * Thread: any. What is left of dead servers is taken over. */
#ifndef EMU_COMCH_PLACE_H
#define EMU_COMCH_PLACE_H

#include "world.h"

#define EMU_COMCH_NAME_MAX 256 /* of a service, with its end */

struct emu_place {
    uint64_t world;
    struct emu_pci dpu;
    struct emu_pci host;
    const char *name;
};

/* INITIALIZATION (logged): a living server has the place, or there is no directory for it. */
doca_error_t emu_place_listen(const struct emu_place *place, int *fd_out);
/* Nobody can come any more; fd is closed. With `forked` the place is left to the parent. */
void emu_place_leave(const struct emu_place *place, int fd, bool forked);
/* NOT_FOUND: no server. */
doca_error_t emu_place_connect(const struct emu_place *place, int *fd_out);

#endif /* EMU_COMCH_PLACE_H */
