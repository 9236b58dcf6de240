/* SPDX-License-Identifier: Apache-2.0 */
/* transfer.h - one memcpy between two bufs or lists of bufs. Thread: any; the bufs are the
 * caller's. */
#ifndef EMU_TRANSFER_H
#define EMU_TRANSFER_H

#include "buf.h"

/* Whether a device would accept the copy. bytes_out (may be NULL) is the source's length, also when
 * false. */
bool emu_transfer_valid(const struct doca_dev *dev, const struct doca_buf *src,
                        const struct doca_buf *dst, uint64_t *bytes_out);

/* Copies a valid transfer and grows the destination's data windows. IO_FAILED: the export is
 * revoked, the exporter gone, or an address not mapped; then some of the bytes may have been
 * copied. */
doca_error_t emu_transfer_run(const struct doca_buf *src, struct doca_buf *dst);

#endif /* EMU_TRANSFER_H */
