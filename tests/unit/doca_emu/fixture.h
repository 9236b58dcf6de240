/* SPDX-License-Identifier: Apache-2.0 */
/* fixture.h - what most tests of the emulation set up: devices, an mmap, a DMA context with bufs.
 * Every function fails the test when a step of it does. Every wait has a deadline. */
#ifndef DOCA_EMU_FIXTURE_H
#define DOCA_EMU_FIXTURE_H

#include "cmocka_std.h"

#include <doca_buf.h>
#include <doca_buf_inventory.h>
#include <doca_ctx.h>
#include <doca_dev.h>
#include <doca_dma.h>
#include <doca_emu.h>
#include <doca_error.h>
#include <doca_mmap.h>
#include <doca_pe.h>

#include <stdbool.h>

#define HOST_PCI "0000:ba:00.0"
#define DPU_PCI  "0000:03:00.0"

#define assert_doca(call, expected) \
    assert_string_equal(doca_error_get_name(call), doca_error_get_name(expected))
#define assert_ok(call) assert_doca(call, DOCA_SUCCESS)

uint64_t now_ms(void);

/* The device, or NULL when the table has no such function. */
struct doca_dev *open_device(const char *pci);

/* A started mmap over [addr, addr + len). */
struct doca_mmap *make_mmap(struct doca_dev *dev, void *addr, size_t len, uint32_t permissions);

/* Bytes that depend on seed and position, and their check. */
void fill_pattern(uint8_t *bytes, size_t len, uint32_t seed);
bool check_pattern(const uint8_t *bytes, size_t len, uint32_t seed);

/* A memfd of len bytes, sealable, mapped shared. */
uint8_t *make_memfd(size_t len, int *fd_out);

/* A DMA context on one device with local memory and bufs, and a record of what completed. */
struct rig {
    struct doca_dev *dev;
    struct doca_pe *pe;
    struct doca_dma *dma;
    struct doca_ctx *ctx;
    struct doca_buf_inventory *inventory;
    struct doca_mmap *local;
    uint8_t *mem;
    size_t mem_len;
    /* of completions, in the order of their callbacks */
    unsigned completed;
    unsigned failed;
    doca_error_t last_status;
    uint64_t order[64]; /* user data of the first tasks that completed */
    bool keep_tasks;    /* callbacks do not free tasks */
};

void rig_init(struct rig *rig, const char *pci, size_t mem_len, uint32_t num_tasks);
void rig_fini(struct rig *rig);

/* A task between two fresh bufs; bufs go back by rig_wait's caller or with the task's
 * completion. */
struct doca_dma_task_memcpy *rig_task(struct rig *rig, struct doca_buf *src, struct doca_buf *dst,
                                      uint64_t number);
void rig_submit(struct doca_dma_task_memcpy *task);

/* Progresses until so many tasks have completed in all, at most 20 seconds. */
void rig_wait(struct rig *rig, unsigned completed);
/* Progresses until the context is in the state. */
void rig_wait_state(struct rig *rig, enum doca_ctx_states state);

/* One copy from start to end; its status. */
doca_error_t rig_copy(struct rig *rig, struct doca_mmap *src, void *from, struct doca_mmap *dst,
                      void *to, size_t len);

#endif /* DOCA_EMU_FIXTURE_H */
