/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h - the copy engine's body, shared by its files. Not for other rooms.
 *
 *   CLOSED --open--> RUNNING --a task stopped the context--> DRAINING --started again--> RUNNING
 *                       |                                       |
 *                       '------------- destroy ----> STOPPING <-'
 *
 * Invariants: a slot is free or carries one of the caller's tasks; every slot has a DOCA task while
 * the engine is RUNNING; in DRAINING and STOPPING the tasks are freed as they come back, since the
 * context cannot become idle before. Callbacks of the SDK run only inside progress, which runs only
 * from the loop's poller, timer and watch (and from destroy). Thread: the loop's owner. */
#ifndef BC_DMA_INTERNAL_H
#define BC_DMA_INTERNAL_H

/* Attempts to start a context after which submit tells an error instead of -EAGAIN. They go on. */
#define BC_DMA_ATTEMPTS_MAX 8u
/* Copies of one import that fail in a row until it is taken for dead: a host that is gone must not
 * stop the context for all others again and again. */
#define BC_DMA_IMPORT_FAILURES_MAX 4u

#include <doca_buf.h>
#include <doca_buf_inventory.h>
#include <doca_ctx.h>
#include <doca_dev.h>
#include <doca_dma.h>
#include <doca_error.h>
#include <doca_mmap.h>
#include <doca_pe.h>

#include "dma/dma.h"

BC_EXTERN_C_BEGIN

struct bc_dma_device {
    struct doca_dev *dev;
    uint64_t max_len;
    uint32_t engines; /* atomic: that are open on it */
    char pci_addr[DOCA_DEVINFO_PCI_ADDR_SIZE];
};

struct bc_dma_import {
    struct bc_list_node node;
    struct doca_mmap *mmap;
    uint8_t *base; /* the exporter's address of the range's first byte */
    uint64_t len;
    uint32_t in_flight;
    uint32_t failures; /* copies that failed since one succeeded */
};

/* One of `depth` tasks and what it holds on to between its uses. */
struct bc_dma_slot {
    struct bc_dma_engine *engine;
    struct doca_dma_task_memcpy *task; /* NULL while the context is not running */
    struct doca_buf *local;            /* the whole local range; its window moves */
    struct doca_buf *remote;           /* of the import in use, from the inventory */
    struct bc_dma_task *user;
    uint64_t start_ns;
};

enum bc_dma_state {
    BC_DMA_CLOSED = 0,  /* no context */
    BC_DMA_RUNNING = 1, /* takes tasks */
    BC_DMA_DRAINING =
        2, /* the context has left RUNNING; tasks come back, then it is started again */
    BC_DMA_STOPPING = 3, /* destroy is waiting for tasks */
};

struct bc_dma_counters {
    struct bc_counter tasks;
    struct bc_counter errors;
    struct bc_counter bytes[2]; /* by direction */
    struct bc_counter rebuilds;
    struct bc_counter imports;
    struct bc_counter in_flight;
    struct bc_histogram latency_ns;
};

struct bc_dma_engine {
    struct bc_dma dma;
    struct bc_dma_device *device;
    struct bc_loop *loop;
    enum bc_dma_state state;
    uint32_t depth;
    uint32_t in_flight;
    uint32_t attempts; /* to start the context again, that failed */
    bool backing_off;  /* the next attempt waits for `retry` */
    bool refused;      /* someone was told -EAGAIN since `ready` was called */
    uint8_t *local;
    size_t local_len;

    struct doca_pe *pe;
    struct doca_dma *doca;
    struct doca_ctx *ctx;
    struct doca_mmap *mmap;
    struct doca_buf_inventory *inventory;
    doca_notification_handle_t handle;

    struct bc_dma_slot *slots;
    uint32_t *free_slots; /* a stack of indexes */
    uint32_t free_count;
    struct bc_list imports;
    struct bc_poller poller;
    struct bc_watch watch;
    struct bc_timer
        retry; /* while DRAINING: looks whether the context is idle, and tries to start it */
    struct bc_dma_counters counters;
};

static inline struct bc_dma_engine *bc_dma_engine_of(const struct bc_dma *dma)
{
    return BC_CONTAINER_OF(dma, struct bc_dma_engine, dma);
}

/* errors.c: a DOCA error as a negative errno. */
int bc_dma_errno(doca_error_t error);

/* context.c: the DOCA context's life. */
BC_MUST_USE int bc_dma_context_open(struct bc_dma_engine *engine);
/* Called when the context may have left RUNNING. */
void bc_dma_context_check(struct bc_dma_engine *engine);
/* A slot's task is the caller's again: kept, or freed when the context is on its way to idle. */
void bc_dma_context_settle(struct bc_dma_engine *engine, struct bc_dma_slot *slot);
/* Goes on with a rebuild; outside of the SDK's callbacks. */
void bc_dma_context_advance(struct bc_dma_engine *engine);
/* Stops the context and waits, at most 5 s, for the tasks in flight; aborts with a sentence
 * then. */
void bc_dma_context_close(struct bc_dma_engine *engine);
void bc_dma_set_state(struct bc_dma_engine *engine, enum bc_dma_state next);

/* copy.c: tasks. */
int bc_dma_copy_submit(struct bc_dma *dma, struct bc_dma_task *task);
void bc_dma_copy_done(struct doca_dma_task_memcpy *task, union doca_data user_data,
                      union doca_data ctx_user_data);
void bc_dma_copy_failed(struct doca_dma_task_memcpy *task, union doca_data user_data,
                        union doca_data ctx_user_data);

/* import.c: client memory. */
int bc_dma_import_create(struct bc_dma *dma, const void *desc, size_t desc_len, uint64_t len,
                         struct bc_dma_import **import_out);
int bc_dma_import_release(struct bc_dma *dma, struct bc_dma_import *import);

BC_EXTERN_C_END

#endif
