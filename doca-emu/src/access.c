/* SPDX-License-Identifier: Apache-2.0 */
/* access.c - checks the lists of bufs that a task was given. */
#include "access.h"

bool emu_bufs_readable(const struct doca_dev *dev, const struct doca_buf *src, uint32_t list_max,
                       uint64_t *bytes_out)
{
    uint64_t bytes = 0;
    uint32_t count = 0;
    bool valid = true;
    for (; src != NULL; src = src->next) {
        uint64_t offset = (uintptr_t)src->data - (uintptr_t)src->head;
        bool window = (uintptr_t)src->data >= (uintptr_t)src->head && offset <= src->len &&
                      src->data_len <= src->len - offset;
        valid = valid && ++count <= list_max && src->refs != 0 && window &&
                emu_mmap_allows(src->mmap, dev, (uintptr_t)src->data, src->data_len, false);
        bytes += src->data_len;
    }
    *bytes_out = bytes;
    return valid;
}

bool emu_bufs_writable(const struct doca_dev *dev, const struct doca_buf *dst, uint32_t list_max,
                       uint64_t bytes)
{
    uint32_t count = 0;
    for (; dst != NULL; dst = dst->next) {
        uint64_t room = emu_buf_free_room(dst);
        uint64_t part = room < bytes ? room : bytes;
        if (++count > list_max || dst->refs == 0 ||
            (part != 0 && !emu_mmap_allows(dst->mmap, dev, emu_buf_free_start(dst), part, true))) {
            return false;
        }
        bytes -= part;
    }
    return bytes == 0;
}

void emu_bufs_grow(struct doca_buf *dst, uint64_t bytes)
{
    for (; bytes != 0; dst = dst->next) {
        uint64_t room = emu_buf_free_room(dst);
        uint64_t part = room < bytes ? room : bytes;
        dst->data_len += part;
        bytes -= part;
    }
}
