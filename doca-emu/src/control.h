/* SPDX-License-Identifier: Apache-2.0 */
/* control.h - the control page of an export: the word that says that it is valid, and a slot for
 * each importer that counts the copies it has under way.
 *
 * The rule that makes revocation safe, all in sequentially consistent order:
 *   importer: copies++ in its slot, then reads `live`; copies only while live is the export's
 *             nonce; reads it again before each slice; copies-- when done.
 *   exporter: live = 0, then reads the slots until no living importer has copies under way.
 * So either the importer sees 0 and does not touch the memory, or the exporter sees its count and
 * waits. An importer whose process is gone does not count, whatever its slot says.
 *
 * Pages live in arenas, memfds of the exporting process that importers map through its descriptor
 * table. A page is never used twice, so a late importer of an old export can at most touch a page
 * that says 0.
 * Thread: any. */
#ifndef EMU_CONTROL_H
#define EMU_CONTROL_H

#include "emu.h"

#include "atomics.h"

#define EMU_CONTROL_PAGE  4096
#define EMU_CONTROL_SLOTS 60

/* What the exporter says about the memory; constant while live. Read by importers, who compare it
 * with the descriptor that they were given. */
struct emu_control_desc {
    uint64_t base;
    uint64_t len;
    uint64_t file_offset; /* shared memory: of base in the file */
    uint64_t file_dev;
    uint64_t file_ino;
    int32_t file_fd; /* in the exporter's table */
    uint32_t memory; /* enum doca_emu_memory */
    uint32_t permissions;
    uint32_t no_address; /* base is only a name: nothing need be mapped there in the exporter */
};

struct emu_control_slot {
    EMU_ATOMIC(uint64_t) owner;  /* id of the importing process (process.h), 0: free */
    EMU_ATOMIC(uint32_t) copies; /* under way */
    uint8_t reserved[52];
};

struct emu_control {
    EMU_ATOMIC(uint64_t) live;    /* the export's nonce; 0: revoked */
    EMU_ATOMIC(uint32_t) drained; /* futex: counts copies that ended after the revocation */
    uint32_t reserved0;
    struct emu_control_desc desc;
    uint8_t reserved1[184];
    struct emu_control_slot slots[EMU_CONTROL_SLOTS];
};

EMU_STATIC_ASSERT(sizeof(struct emu_control_slot) == 64, "a slot is a cache line");
EMU_STATIC_ASSERT(sizeof(struct emu_control) == EMU_CONTROL_PAGE, "a control page is a page");

struct emu_control_arena;

/* The exporter's end. */
struct emu_control_export {
    struct emu_control *page; /* NULL: none */
    struct emu_control_arena *arena;
    uint64_t nonce;
    uint64_t offset; /* of the page in the arena */
};

/* The importer's end. */
struct emu_control_import {
    struct emu_control *page;
    struct emu_control_slot *slot;
    size_t map_len;
    uint64_t nonce;
};

doca_error_t emu_control_create(const struct emu_control_desc *desc,
                                struct emu_control_export *out);
int emu_control_fd(const struct emu_control_export *control);
/* From now on no copy starts; waits up to wait_ns for those under way. True when there are none
 * left. May be called again. */
bool emu_control_revoke(struct emu_control_export *control, uint64_t wait_ns);
/* After a revocation that returned true. A forked child, which has no say in what its parent
 * exported or imported, forgets instead: it lets go of its own copy only. */
void emu_control_release(struct emu_control_export *control, bool forget);

/* Maps the page found at offset of the file and claims a slot. INVALID_VALUE: the file is no arena
 * of ours;
 * DRIVER: the export was revoked; NO_MEMORY: no slot. fd stays the caller's. */
doca_error_t emu_control_attach(int fd, uint64_t offset, uint64_t nonce,
                                struct emu_control_import *out);
void emu_control_detach(struct emu_control_import *control, bool forget);

/* Starts a copy; false when the export is revoked, and then there is nothing to leave. */
EMU_INTERNAL bool emu_control_enter(struct emu_control_import *control);
EMU_INTERNAL void emu_control_leave(struct emu_control_import *control);
static inline bool emu_control_live(const struct emu_control_import *control)
{
    return atomic_load(&control->page->live) == control->nonce;
}

/* A sealed memfd whose size can never shrink under a mapping of it. */
bool emu_fd_cannot_shrink(int fd, uint64_t size);

#endif /* EMU_CONTROL_H */
