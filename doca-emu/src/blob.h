/* SPDX-License-Identifier: Apache-2.0 */
/* blob.h - the export descriptor: what an exporter hands to its peer as opaque bytes.
 * Only programs of one machine read it, so fields are in the machine's order; magic, version,
 * length and CRC are looked at before anything else. What it says about the memory is not believed:
 * it must agree with the control page in the exporting process. */
#ifndef EMU_BLOB_H
#define EMU_BLOB_H

#include "control.h"
#include "world.h"

#define EMU_BLOB_MAGIC   UINT64_C(0x31504d45414f4342)
#define EMU_BLOB_VERSION 1u

struct emu_export_blob {
    uint64_t magic;
    uint32_t version;
    uint32_t len; /* of the whole blob */
    uint64_t world;
    uint64_t process; /* exporter, as process.h names it */
    uint64_t nonce;
    uint64_t control_offset;
    int32_t control_fd; /* in the exporter's table */
    struct emu_pci pci; /* host function that the memory was exported for */
    uint8_t reserved[2];
    uint32_t reserved2;
    struct emu_control_desc desc;
    uint8_t reserved3[60];
    uint32_t crc; /* CRC-32 of all before it */
};

EMU_STATIC_ASSERT(sizeof(struct emu_pci) == 6, "no hidden bytes");
EMU_STATIC_ASSERT(offsetof(struct emu_export_blob, crc) + 4 == sizeof(struct emu_export_blob),
                  "the CRC is last");
EMU_STATIC_ASSERT(sizeof(struct emu_export_blob) < 512, "fits every peer's buffer");

uint32_t emu_blob_crc(const struct emu_export_blob *blob);

#endif /* EMU_BLOB_H */
