/* SPDX-License-Identifier: Apache-2.0 */
/* memory.h - finds out how an importer can reach the memory of an mmap, and holds what that takes.
 * Memory inside of one shared memfd mapping is shared through that file; any other is copied with
 * process_vm calls. On request (DOCA_EMU_REMAP_ANON=1) private memory is first moved onto a memfd.
 * Thread: any, one at a time for one object. */
#ifndef EMU_MEMORY_H
#define EMU_MEMORY_H

#include "emu.h"

#include "doca_emu.h"

struct emu_memory {
    enum doca_emu_memory kind;
    int fd;          /* SHARED: the file, a duplicate of ours; otherwise -1 */
    uint64_t offset; /* SHARED: of the base in the file */
    uint64_t dev;
    uint64_t ino;
    bool from_file;  /* given as a file (set_dmabuf_memrange): the base is only a name */
    uint8_t *at;     /* where this process finds the base */
    void *map_start; /* mapping of our own, or NULL */
    size_t map_len;
};

void emu_memory_init(struct emu_memory *memory);

/* For a range given as a file: takes a duplicate of the descriptor. NOT_SUPPORTED: neither a
 * dma-buf nor a memfd that can be kept from shrinking, or one that cannot be mapped; INVALID_VALUE:
 * outside of it. */
doca_error_t emu_memory_set_file(struct emu_memory *memory, int fd, uint64_t offset, uint64_t len);

/* At the start of an mmap. INVALID_VALUE: not mapped, or not readable, or not writable when it has
 * to be. shareable asks for the search for a file; without it memory is only checked. */
doca_error_t emu_memory_start(struct emu_memory *memory, uint64_t base, uint64_t len, bool write,
                              bool shareable);
/* Undoes the above; with a file given it stays set. */
void emu_memory_stop(struct emu_memory *memory);
void emu_memory_fini(struct emu_memory *memory);

/* A mapping of a file's range, whatever its page size and the range's alignment. */
struct emu_mapping {
    void *start;
    size_t len;
    uint8_t *at; /* the range's first byte */
};
doca_error_t emu_mapping_create(int fd, uint64_t offset, uint64_t len, bool write,
                                struct emu_mapping *out);

/* True for a dma-buf, whose size is fixed. */
bool emu_fd_is_dmabuf(int fd);

/* remap.c: moves a private anonymous range onto a memfd when the environment asks for it and the
 * range is fit for it; does nothing otherwise. */
void emu_remap_range(uint64_t base, uint64_t len);
/* Lets go of files whose ranges the application has unmapped. */
void emu_remap_prune(void);

#endif /* EMU_MEMORY_H */
