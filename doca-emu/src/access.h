/* SPDX-License-Identifier: Apache-2.0 */
/* access.h - what every engine asks of the lists of bufs that a task reads from and writes to.
 * Thread: any; the bufs are the caller's. */
#ifndef EMU_ACCESS_H
#define EMU_ACCESS_H

#include "buf.h"

/* Where a destination's next byte goes: after its data window. */
static inline uint64_t emu_buf_free_start(const struct doca_buf *buf)
{
    return (uintptr_t)buf->data + buf->data_len;
}

/* Room after the data window; 0 when the window is not inside of the buf. */
static inline uint64_t emu_buf_free_room(const struct doca_buf *buf)
{
    uint64_t used = emu_buf_free_start(buf) - (uintptr_t)buf->head;
    return (uintptr_t)buf->data < (uintptr_t)buf->head || used > buf->len ? 0 : buf->len - used;
}

/* Whether the device may read the data windows of the list. bytes_out is their length, also when
 * false. */
EMU_INTERNAL bool emu_bufs_readable(const struct doca_dev *dev, const struct doca_buf *src,
                                    uint32_t list_max, uint64_t *bytes_out);

/* Whether the list has room for so many bytes, and the device may write them. */
EMU_INTERNAL bool emu_bufs_writable(const struct doca_dev *dev, const struct doca_buf *dst,
                                    uint32_t list_max, uint64_t bytes);

/* Adds bytes that were written to the data windows. */
EMU_INTERNAL void emu_bufs_grow(struct doca_buf *dst, uint64_t bytes);

#endif /* EMU_ACCESS_H */
