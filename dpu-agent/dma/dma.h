/* SPDX-License-Identifier: Apache-2.0 */
/* dma.h - a worker's copy engine between client memory (imported from the host) and its own staging
 * memory, on DOCA DMA. The only room of the agent that includes DOCA headers.
 *
 *   device (one per process) --- engine (one per worker: DMA context + progress engine)
 *                                  |-- local ranges  (staging memory, registered once)
 *                                  |-- imports       (one per client region and worker)
 *                                  '-- tasks         (at most `depth` in flight)
 *
 * Behind an ops table (struct bc_dma) so that tests can wrap it in a twin that fails, delays,
 * reorders. Rules of the engine: at most `depth` tasks; a task is at most max_len bytes (the
 * device's cap, 2 MiB on BlueField-3: an oversize task would fail at completion and reset the
 * context); source data length is always set, destination data length always reset; a completion
 * error that stops the context makes the engine rebuild it by itself (tasks in flight fail with
 * -EREMOTEIO, later ones wait). An import whose copies fail four times in a row by themselves is
 * dead: a host that is gone must not stop the context for all others again and again.
 * Threads: a device from any thread; an engine belongs to its loop's owner.
 * Memory: everything at create; no allocation per task. Imports are allocated when made. */
#ifndef BC_DMA_DMA_H
#define BC_DMA_DMA_H

#include "base/list.h"
#include "base/metrics.h"
#include "loop/loop.h"

BC_EXTERN_C_BEGIN

struct bc_dma_device;
struct bc_dma;
struct bc_dma_import;

/* Opens the BlueField function with this PCI address ("0000:03:00.0" or "03:00.0").
 * -ENODEV (the log lists the addresses found and says what to check), -EOPNOTSUPP (no DMA or no
 * import from PCI on it), -EACCES, -EIO. */
BC_MUST_USE int bc_dma_device_open(const char *pci_addr, struct bc_dma_device **device_out);
void bc_dma_device_close(
    struct bc_dma_device *device); /* engines must be gone; NULL does nothing */
uint64_t bc_dma_device_max_len(const struct bc_dma_device *device); /* bytes of one task */
bool bc_dma_device_emulated(const struct bc_dma_device *device);
const char *bc_dma_device_pci_addr(const struct bc_dma_device *device);

enum bc_dma_direction {
    BC_DMA_FROM_HOST = 0, /* import -> local (push) */
    BC_DMA_TO_HOST = 1,   /* local -> import (pull) */
};

struct bc_dma_task;
/* result 0, or -EREMOTEIO (copy failed, exporter gone or revoked), -ECANCELED (engine stopped). */
typedef void (*bc_dma_fn)(struct bc_dma_task *task, int result);

struct bc_dma_task {
    enum bc_dma_direction direction;
    struct bc_dma_import *import;
    uint64_t import_offset; /* bytes from the start of the imported range */
    void *local;            /* inside a local range */
    uint32_t len;           /* 1 .. max_len */
    bc_dma_fn done;         /* exactly once, from the loop, never inside submit */
    void *internal;
};

struct bc_dma_ops {
    /* 0, or -EAGAIN (depth reached, or the context is being rebuilt: retry after a completion or
     * from the `ready` callback), -ERANGE (outside the import), -EINVAL, -EREMOTEIO (import is
     * dead). */
    int (*submit)(struct bc_dma *dma, struct bc_dma_task *task);
    uint32_t (*slots_free)(const struct bc_dma *dma);
    /* Imports a client's region. desc is checked by the SDK only: it comes from the client.
     * -EINVAL (not a descriptor, wrong function, exporter gone), -ERANGE (length does not fit the
     * exported range), -ENOMEM. */
    int (*import)(struct bc_dma *dma, const void *desc, size_t desc_len, uint64_t len,
                  struct bc_dma_import **import_out);
    /* -EBUSY while tasks use it. After 0 nothing of this worker touches the client's memory. */
    int (*release)(struct bc_dma *dma, struct bc_dma_import *import);
    void (*destroy)(struct bc_dma *dma);
};

struct bc_dma {
    const struct bc_dma_ops *ops;
    /* Called from the loop when submit may work again after -EAGAIN; set by the user, may be
     * NULL. */
    void (*ready)(void *arg);
    void *ready_arg;
};

struct bc_dma_options {
    uint32_t depth; /* tasks in flight, 1 .. 4096 (-q) */
    void *local;    /* staging memory to register, page aligned */
    size_t local_len;
};

/* The real engine; its progress engine is driven by a poller of the loop (polled while tasks are in
 * flight, waited for by its notification handle when the loop sleeps). -ENOMEM, -EIO, -EINVAL.
 * destroy: not from inside a callback of this engine. Tasks in flight complete in it (0 or
 * -ECANCELED), after at most 5 s the process aborts with a log line; imports that are left are
 * released. The object itself goes when the loop has let go of its descriptor: turn it until
 * bc_loop_in_flight is 0. */
BC_MUST_USE int bc_dma_create(struct bc_dma_device *device, struct bc_loop *loop,
                              const struct bc_dma_options *options, struct bc_metrics *metrics,
                              struct bc_dma **dma_out);

static inline int bc_dma_submit(struct bc_dma *dma, struct bc_dma_task *task)
{
    return dma->ops->submit(dma, task);
}
static inline uint32_t bc_dma_slots_free(const struct bc_dma *dma)
{
    return dma->ops->slots_free(dma);
}
static inline int bc_dma_import(struct bc_dma *dma, const void *desc, size_t desc_len, uint64_t len,
                                struct bc_dma_import **import_out)
{
    return dma->ops->import(dma, desc, desc_len, len, import_out);
}
static inline int bc_dma_release(struct bc_dma *dma, struct bc_dma_import *import)
{
    return dma->ops->release(dma, import);
}
static inline void bc_dma_destroy(struct bc_dma *dma)
{
    if (dma != NULL) {
        dma->ops->destroy(dma);
    }
}

BC_EXTERN_C_END

#endif
