/* SPDX-License-Identifier: Apache-2.0 */
/* buf.h - inside of bufs and inventories. Lists are doubly linked through the bufs; the user counts
 * references on the head alone. Thread: the inventory's; engine threads read submitted bufs. */
#ifndef EMU_BUF_H
#define EMU_BUF_H

#include "mmap.h"

#include "doca_buf.h"
#include "doca_buf_inventory.h"

struct doca_buf {
    struct doca_buf_inventory *inventory;
    struct doca_mmap *mmap;
    uint8_t *head;
    size_t len;
    uint8_t *data;
    size_t data_len;
    uint16_t refs; /* 0: in the inventory */
    struct doca_buf *prev;
    struct doca_buf *next; /* in a list; in the inventory: the next free one */
};

/* Gives the list that starts at this head back to its inventories. */
void emu_buf_return(struct doca_buf *head);

#endif /* EMU_BUF_H */
