/* SPDX-License-Identifier: Apache-2.0 */
/* transfer.c - walks source and destination lists and copies in slices, so that a revocation is
 * seen soon. */
#include "transfer.h"

#include "copy.h"
#include "faults.h"

#include <signal.h>
#include <unistd.h>

#define SLICE ((size_t)256 << 10)

/* A position in a list: bytes [at, at + left) of this element's mmap are next. */
struct place {
    struct doca_buf *buf;
    uint64_t at;
    uint64_t left;
};

static uint64_t free_start(const struct doca_buf *buf)
{
    return (uintptr_t)buf->data + buf->data_len;
}

/* Room after the data window; 0 when the window is not inside of the buf. */
static uint64_t free_room(const struct doca_buf *buf)
{
    uint64_t used = free_start(buf) - (uintptr_t)buf->head;
    return (uintptr_t)buf->data < (uintptr_t)buf->head || used > buf->len ? 0 : buf->len - used;
}

static bool source_valid(const struct doca_dev *dev, const struct doca_buf *src, uint32_t list_max,
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

static bool destination_valid(const struct doca_dev *dev, const struct doca_buf *dst,
                              uint32_t list_max, uint64_t bytes)
{
    uint32_t count = 0;
    for (; dst != NULL; dst = dst->next) {
        uint64_t room = free_room(dst);
        uint64_t part = room < bytes ? room : bytes;
        if (++count > list_max || dst->refs == 0 ||
            (part != 0 && !emu_mmap_allows(dst->mmap, dev, free_start(dst), part, true))) {
            return false;
        }
        bytes -= part;
    }
    return bytes == 0;
}

static bool any_imported(const struct doca_buf *buf)
{
    while (buf != NULL && !buf->mmap->imported) {
        buf = buf->next;
    }
    return buf != NULL;
}

bool emu_transfer_valid(const struct doca_dev *dev, const struct doca_buf *src,
                        const struct doca_buf *dst, uint64_t *bytes_out)
{
    const struct emu_limits *limits = &dev->info.world->limits;
    uint64_t bytes = 0;
    bool valid =
        src != NULL && dst != NULL && source_valid(dev, src, limits->max_list_len, &bytes) &&
        bytes <= limits->max_buf_size && destination_valid(dev, dst, limits->max_list_len, bytes) &&
        /* A device moves bytes between the host and itself, not from host to host. */
        !(any_imported(src) && any_imported(dst));
    if (bytes_out != NULL) {
        *bytes_out = bytes;
    }
    return valid;
}

static void inject_faults_in_copy(void)
{
    uint64_t delay_us = emu_fault_value(DOCA_EMU_FAULT_SLICE_DELAY);
    if (delay_us != 0) {
        usleep((useconds_t)delay_us);
    }
    if (emu_fault_strikes(DOCA_EMU_FAULT_STOP_IN_COPY)) {
        raise(SIGSTOP); /* to this thread, so that it stops here and not a little later */
    }
    if (emu_fault_strikes(DOCA_EMU_FAULT_CRASH_IN_COPY)) {
        raise(SIGKILL);
    }
}

static bool copy_slice(const struct place *from, const struct place *to, size_t len)
{
    const uint8_t *source = emu_mmap_pointer(from->buf->mmap, from->at);
    uint8_t *target = emu_mmap_pointer(to->buf->mmap, to->at);
    if (source != NULL && target != NULL) {
        emu_copy(target, source, len);
        return true;
    }
    return source == NULL ? emu_mmap_read(from->buf->mmap, target, from->at, len)
                          : emu_mmap_write(to->buf->mmap, to->at, source, len);
}

/* Copies bytes that lie in one element each. */
static bool copy_piece(struct place *from, struct place *to, uint64_t len)
{
    struct doca_mmap *remote = from->buf->mmap->imported ? from->buf->mmap : to->buf->mmap;
    if (!emu_mmap_enter(remote)) {
        return false;
    }
    bool good = true;
    while (good && len != 0) {
        size_t slice = len < SLICE ? len : SLICE;
        inject_faults_in_copy();
        good = emu_mmap_live(remote) && copy_slice(from, to, slice);
        from->at += slice;
        from->left -= slice;
        to->at += slice;
        to->left -= slice;
        len -= slice;
    }
    return emu_mmap_leave(remote) && good;
}

static void seek_source(struct place *place)
{
    while (place->left == 0 && place->buf != NULL) {
        place->buf = place->buf->next;
        if (place->buf != NULL) {
            place->at = (uintptr_t)place->buf->data;
            place->left = place->buf->data_len;
        }
    }
}

static void seek_target(struct place *place)
{
    while (place->left == 0 && place->buf != NULL) {
        place->buf = place->buf->next;
        if (place->buf != NULL) {
            place->at = free_start(place->buf);
            place->left = free_room(place->buf);
        }
    }
}

static void grow_target(struct doca_buf *dst, uint64_t bytes)
{
    for (; bytes != 0; dst = dst->next) {
        uint64_t room = free_room(dst);
        uint64_t part = room < bytes ? room : bytes;
        dst->data_len += part;
        bytes -= part;
    }
}

doca_error_t emu_transfer_run(const struct doca_buf *src, struct doca_buf *dst)
{
    /* Sources are not changed; the place is shared with destinations, which are. */
    struct place from = {(struct doca_buf *)(uintptr_t)src, (uintptr_t)src->data, src->data_len};
    struct place to = {dst, free_start(dst), free_room(dst)};
    uint64_t copied = 0;
    for (seek_source(&from); from.buf != NULL; seek_source(&from)) {
        seek_target(&to);
        uint64_t len = from.left < to.left ? from.left : to.left;
        if (!copy_piece(&from, &to, len)) {
            return DOCA_ERROR_IO_FAILED;
        }
        copied += len;
    }
    grow_target(dst, copied);
    return DOCA_SUCCESS;
}
