/* SPDX-License-Identifier: Apache-2.0 */
/* transfer.c - walks source and destination lists and copies in slices, so that a revocation is
 * seen soon. */
#include "transfer.h"

#include "access.h"
#include "copy.h"
#include "faults.h"

#define SLICE ((size_t)256 << 10)

/* A position in a list: bytes [at, at + left) of this element's mmap are next. */
struct place {
    struct doca_buf *buf;
    uint64_t at;
    uint64_t left;
};

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
        src != NULL && dst != NULL && emu_bufs_readable(dev, src, limits->max_list_len, &bytes) &&
        bytes <= limits->max_buf_size && emu_bufs_writable(dev, dst, limits->max_list_len, bytes) &&
        /* A device moves bytes between the host and itself, not from host to host. */
        !(any_imported(src) && any_imported(dst));
    if (bytes_out != NULL) {
        *bytes_out = bytes;
    }
    return valid;
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
        emu_faults_in_copy();
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
            place->at = emu_buf_free_start(place->buf);
            place->left = emu_buf_free_room(place->buf);
        }
    }
}

doca_error_t emu_transfer_run(const struct doca_buf *src, struct doca_buf *dst)
{
    /* Sources are not changed; the place is shared with destinations, which are. */
    struct place from = {(struct doca_buf *)(uintptr_t)src, (uintptr_t)src->data, src->data_len};
    struct place to = {dst, emu_buf_free_start(dst), emu_buf_free_room(dst)};
    uint64_t copied = 0;
    for (seek_source(&from); from.buf != NULL; seek_source(&from)) {
        seek_target(&to);
        uint64_t len = from.left < to.left ? from.left : to.left;
        if (!copy_piece(&from, &to, len)) {
            return DOCA_ERROR_IO_FAILED;
        }
        copied += len;
    }
    emu_bufs_grow(dst, copied);
    return DOCA_SUCCESS;
}
