/* SPDX-License-Identifier: Apache-2.0 */
/* mmap.h - inside of an mmap: local memory, exported or not, or an import of another process's.
 *
 *   IDLE --start--> STARTED --stop--> IDLE           local
 *                   STARTED --destroy--> REVOKED     exported, an importer is stopped inside a copy
 *                   REVOKED --destroy--> gone
 *   create_from_export: STARTED until destroyed      imported
 *
 * Thread: one at a time, but for num_bufs, and for the access functions at the end, which engine
 * threads call on a started mmap that bufs keep alive. */
#ifndef EMU_MMAP_H
#define EMU_MMAP_H

#include "control.h"
#include "dev.h"
#include "memory.h"
#include "process.h"

#include "doca_mmap.h"

#include "atomics.h"

#define EMU_MMAP_DEVICES_MAX 16

enum emu_mmap_state {
    EMU_MMAP_IDLE,    /* being configured */
    EMU_MMAP_STARTED, /* can be used and exported */
    EMU_MMAP_REVOKED  /* destroy was called and has to be called again */
};

struct emu_export_blob;

/* What only an imported mmap has. */
struct emu_import {
    struct emu_peer *peer;
    struct emu_control_import control;
    struct emu_mapping mapping; /* SHARED; all zero otherwise */
};

struct doca_mmap {
    enum emu_mmap_state state;
    pid_t owner; /* a forked child only drops its copy */
    bool has_range;
    bool was_started;
    bool imported;
    bool thread_safe;
    uint64_t base;
    uint64_t len;
    uint32_t permissions;
    bool asked_permissions; /* set by the user */
    uint32_t max_devices;
    uint32_t num_devices;
    struct doca_dev *devices[EMU_MMAP_DEVICES_MAX];
    union doca_data user_data;
    doca_mmap_memrange_free_cb_t *free_cb;
    void *free_cookie;
    EMU_ATOMIC(uint32_t) num_bufs;
    struct emu_memory memory; /* of an import: only kind and at */

    struct emu_control_export control; /* control.page is NULL unless exported */
    struct emu_export_blob *blobs[EMU_MMAP_DEVICES_MAX];

    struct emu_import import;
};

bool emu_mmap_has_device(const struct doca_mmap *mmap, const struct doca_dev *dev);
/* export.c: revokes and releases the export, if any. IN_PROGRESS: an importer is still copying. */
doca_error_t emu_mmap_unexport(struct doca_mmap *mmap);
/* import.c: lets go of everything that belongs to the import. */
void emu_mmap_drop_import(struct doca_mmap *mmap);

/* --- access, for engine threads --------------------------------------------------------------- */

/* Whether a task of the device may read (or write) these bytes of the mmap. */
EMU_INTERNAL bool emu_mmap_allows(const struct doca_mmap *mmap, const struct doca_dev *dev,
                                  uint64_t addr, uint64_t len, bool write);

/* Brackets a copy that touches the mmap. False of enter: revoked, or the exporter is gone; nothing
 * to leave. False of leave: the exporter is gone, and it may have been before the copy. */
EMU_INTERNAL bool emu_mmap_enter(struct doca_mmap *mmap);
EMU_INTERNAL bool emu_mmap_leave(struct doca_mmap *mmap);

/* Inside of the bracket, before each slice. */
EMU_INTERNAL bool emu_mmap_live(const struct doca_mmap *mmap);

/* Where this process finds the byte, or NULL when only emu_mmap_read and _write reach it. */
EMU_INTERNAL uint8_t *emu_mmap_pointer(const struct doca_mmap *mmap, uint64_t addr);

/* Copies between this process and private memory of the exporter. False: not all bytes were
 * copied. */
EMU_INTERNAL bool emu_mmap_read(const struct doca_mmap *mmap, void *to, uint64_t from, size_t len);
EMU_INTERNAL bool emu_mmap_write(const struct doca_mmap *mmap, uint64_t to, const void *from,
                                 size_t len);

#endif /* EMU_MMAP_H */
