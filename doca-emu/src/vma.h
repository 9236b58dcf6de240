/* SPDX-License-Identifier: Apache-2.0 */
/* vma.h - what this process has mapped in a range, from /proc/self/maps. Thread: any. */
#ifndef EMU_VMA_H
#define EMU_VMA_H

#include "emu.h"

/* Areas of one kind that touch each other count as one: the kernel splits and merges as it
 * likes. */
struct emu_vma {
    bool readable;
    bool writable;
    bool private_anon; /* all of it is private, writable and anonymous; neither heap nor stack */
    bool shared_file;  /* all of it is one MAP_SHARED mapping of one file */
    uint64_t file_dev;
    uint64_t file_ino;
    uint64_t file_offset; /* of the range's start */
    uint64_t first_start; /* bounds of the first area, as /proc/self/map_files names it */
    uint64_t first_end;
};

/* False when a byte of the range is not mapped, or /proc cannot be read. */
bool emu_vma_scan(uint64_t start, uint64_t len, struct emu_vma *out);

/* True when some area maps this file. */
bool emu_vma_maps_file(uint64_t dev, uint64_t ino);

#endif /* EMU_VMA_H */
