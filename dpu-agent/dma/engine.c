/* SPDX-License-Identifier: Apache-2.0 */
/* engine.c - the copy engine put together, and driven by the loop.
 *
 * While copies are in flight the loop's poller asks the progress engine. Before the loop sleeps the
 * engine asks for a notification and looks once more, since what completed before the request is
 * not notified.
 * Lifetime: the object goes when the loop has let go of the notification handle, a turn after
 * destroy. */
#include "dma/internal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define ENGINE_DEPTH_MAX    4096u
#define ENGINE_BUFS_SLACK   16u
#define ENGINE_PROGRESS_MAX 256u /* completions taken in one turn */
#define ENGINE_LOCAL_ALIGN  4096u

/* --- progress --------------------------------------------------------------------------------- */

static uint32_t progress(struct bc_dma_engine *engine)
{
    uint32_t handled = 0;

    while (handled < ENGINE_PROGRESS_MAX && doca_pe_progress(engine->pe) != 0) {
        handled++;
    }
    bc_dma_context_advance(engine);
    /* Counted as done, since it may have submitted. */
    if (engine->refused && engine->state == BC_DMA_RUNNING && engine->free_count > 0) {
        engine->refused = false;
        handled++;
        if (engine->dma.ready != NULL) {
            engine->dma.ready(engine->dma.ready_arg);
        }
    }
    return handled;
}

static bool engine_busy(struct bc_poller *poller)
{
    struct bc_dma_engine *engine = BC_CONTAINER_OF(poller, struct bc_dma_engine, poller);

    if (engine->state == BC_DMA_DRAINING) {
        return !engine->backing_off;
    }
    return engine->in_flight > 0 || engine->refused;
}

static uint32_t engine_poll(struct bc_poller *poller)
{
    struct bc_dma_engine *engine = BC_CONTAINER_OF(poller, struct bc_dma_engine, poller);

    return engine_busy(poller) ? progress(engine) : 0;
}

static bool engine_sleep(struct bc_poller *poller)
{
    struct bc_dma_engine *engine = BC_CONTAINER_OF(poller, struct bc_dma_engine, poller);

    if (!engine_busy(poller)) {
        return true;
    }
    if (engine->in_flight == 0 && engine->state == BC_DMA_RUNNING) {
        return false; /* a submission was refused; nothing that could be notified will follow */
    }
    if (doca_pe_request_notification(engine->pe) != DOCA_SUCCESS) {
        return false;
    }
    return progress(engine) == 0;
}

static void engine_notified(struct bc_watch *watch, uint32_t events)
{
    struct bc_dma_engine *engine = BC_CONTAINER_OF(watch, struct bc_dma_engine, watch);

    (void)events;
    (void)doca_pe_clear_notification(engine->pe, engine->handle);
    (void)progress(engine);
}

static void engine_retry(struct bc_timer *timer)
{
    struct bc_dma_engine *engine = BC_CONTAINER_OF(timer, struct bc_dma_engine, retry);

    engine->backing_off = false;
    /* Started anew first: advancing stops it, or sets another delay. */
    bc_timer_start(engine->loop, timer, BC_NS_PER_MS);
    (void)progress(engine);
}

static uint32_t engine_slots_free(const struct bc_dma *dma)
{
    const struct bc_dma_engine *engine = bc_dma_engine_of(dma);

    return engine->state == BC_DMA_RUNNING ? engine->free_count : 0;
}

/* --- create and destroy ----------------------------------------------------------------------- */

static doca_error_t map_local(struct bc_dma_engine *engine)
{
    doca_error_t error = doca_mmap_create(&engine->mmap);

    if (error != DOCA_SUCCESS) {
        engine->mmap = NULL;
        return error;
    }
    error = doca_mmap_add_dev(engine->mmap, engine->device->dev);
    if (error == DOCA_SUCCESS) {
        error = doca_mmap_set_memrange(engine->mmap, engine->local, engine->local_len);
    }
    if (error == DOCA_SUCCESS) {
        error = doca_mmap_set_permissions(engine->mmap, DOCA_ACCESS_FLAG_LOCAL_READ_WRITE);
    }
    if (error == DOCA_SUCCESS) {
        error = doca_mmap_start(engine->mmap);
    }
    return error;
}

static doca_error_t make_bufs(struct bc_dma_engine *engine)
{
    uint32_t i;
    doca_error_t error = doca_buf_inventory_create((size_t)2 * engine->depth + ENGINE_BUFS_SLACK,
                                                   &engine->inventory);

    if (error != DOCA_SUCCESS) {
        engine->inventory = NULL;
        return error;
    }
    error = doca_buf_inventory_start(engine->inventory);
    for (i = 0; i < engine->depth && error == DOCA_SUCCESS; i++) {
        error = doca_buf_inventory_buf_get_by_addr(engine->inventory, engine->mmap, engine->local,
                                                   engine->local_len, &engine->slots[i].local);
    }
    return error;
}

static doca_error_t open_sdk(struct bc_dma_engine *engine)
{
    doca_error_t error = doca_pe_create(&engine->pe);

    if (error != DOCA_SUCCESS) {
        engine->pe = NULL;
        return error;
    }
    error = doca_pe_get_notification_handle(engine->pe, &engine->handle);
    if (error == DOCA_SUCCESS) {
        error = map_local(engine);
    }
    if (error == DOCA_SUCCESS) {
        error = make_bufs(engine);
    }
    return error;
}

static void warn_failed(const char *what, doca_error_t error)
{
    if (error != DOCA_SUCCESS) {
        BC_WARN("dma", "cannot destroy %s: %s", what, doca_error_get_name(error));
    }
}

/* In the order in which the SDK lets go: buffers, inventory, memory. */
static void close_sdk(struct bc_dma_engine *engine)
{
    uint32_t i;

    for (i = 0; i < engine->depth; i++) {
        if (engine->slots[i].local != NULL) {
            (void)doca_buf_dec_refcount(engine->slots[i].local, NULL);
        }
    }
    if (engine->inventory != NULL) {
        warn_failed("the buffer inventory", doca_buf_inventory_destroy(engine->inventory));
    }
    if (engine->mmap != NULL) {
        warn_failed("the staging memory's registration", doca_mmap_destroy(engine->mmap));
    }
}

/* The progress engine goes with the object: its handle is watched until then. */
static void free_engine(struct bc_dma_engine *engine)
{
    if (engine->pe != NULL) {
        warn_failed("the progress engine", doca_pe_destroy(engine->pe));
    }
    free(engine->free_slots);
    free(engine->slots);
    free(engine);
}

static void engine_unwatched(struct bc_watch *watch)
{
    free_engine(BC_CONTAINER_OF(watch, struct bc_dma_engine, watch));
}

static void engine_destroy(struct bc_dma *dma)
{
    struct bc_dma_engine *engine = bc_dma_engine_of(dma);
    struct bc_list_node *node;

    bc_dma_context_close(engine);
    while ((node = bc_list_first(&engine->imports)) != NULL) {
        struct bc_dma_import *import = BC_CONTAINER_OF(node, struct bc_dma_import, node);
        if (bc_dma_import_release(dma, import) != 0) {
            bc_list_remove(&engine->imports,
                           node); /* logged; the memory is lost, not the process */
        }
    }
    close_sdk(engine);
    bc_poller_stop(engine->loop, &engine->poller);
    __atomic_sub_fetch(&engine->device->engines, 1, __ATOMIC_ACQ_REL);
    bc_watch_stop(&engine->watch, engine_unwatched);
}

static const struct bc_dma_ops engine_ops = {
    .submit = bc_dma_copy_submit,
    .slots_free = engine_slots_free,
    .import = bc_dma_import_create,
    .release = bc_dma_import_release,
    .destroy = engine_destroy,
};

static int register_metrics(struct bc_dma_counters *counters, struct bc_metrics *metrics)
{
    const struct bc_counter_row rows[] = {
        {BC_METRIC_COUNTER, "bluecache_dma_tasks_total", "DMA copies that ended", &counters->tasks},
        {BC_METRIC_COUNTER, "bluecache_dma_errors_total", "DMA copies that failed",
         &counters->errors},
        {BC_METRIC_COUNTER, "bluecache_dma_from_host_bytes_total", "Bytes copied from hosts",
         &counters->bytes[BC_DMA_FROM_HOST]},
        {BC_METRIC_COUNTER, "bluecache_dma_to_host_bytes_total", "Bytes copied to hosts",
         &counters->bytes[BC_DMA_TO_HOST]},
        {BC_METRIC_COUNTER, "bluecache_dma_rebuilds_total",
         "Times a DMA context was started again after a failure", &counters->rebuilds},
        {BC_METRIC_GAUGE, "bluecache_dma_imported_regions", "Client regions that are imported",
         &counters->imports},
        {BC_METRIC_GAUGE, "bluecache_dma_in_flight_tasks", "DMA copies in flight",
         &counters->in_flight},
    };
    int rc = bc_metrics_add_counters(metrics, rows, BC_ARRAY_LEN(rows));

    if (rc != 0) {
        return rc;
    }
    return bc_metrics_add_histogram(metrics, "bluecache_dma_task_nanoseconds",
                                    "Time from submission to completion of a DMA copy",
                                    &counters->latency_ns);
}

static struct bc_dma_engine *alloc_engine(const struct bc_dma_options *options)
{
    struct bc_dma_engine *engine = calloc(1, sizeof(*engine));
    uint32_t i;

    if (engine == NULL) {
        return NULL;
    }
    engine->depth = options->depth;
    engine->local = options->local;
    engine->local_len = options->local_len;
    engine->slots = calloc(options->depth, sizeof(engine->slots[0]));
    engine->free_slots = calloc(options->depth, sizeof(engine->free_slots[0]));
    if (engine->slots == NULL || engine->free_slots == NULL) {
        free_engine(engine);
        return NULL;
    }
    for (i = 0; i < options->depth; i++) {
        engine->slots[i].engine = engine;
        engine->free_slots[engine->free_count++] = options->depth - 1 - i;
    }
    bc_list_init(&engine->imports);
    return engine;
}

int bc_dma_create(struct bc_dma_device *device, struct bc_loop *loop,
                  const struct bc_dma_options *options, struct bc_metrics *metrics,
                  struct bc_dma **dma_out)
{
    struct bc_dma_engine *engine;
    doca_error_t error;
    int rc = 0;

    if (options->depth == 0 || options->depth > ENGINE_DEPTH_MAX || options->local == NULL ||
        options->local_len == 0 || (uintptr_t)options->local % ENGINE_LOCAL_ALIGN != 0) {
        return -EINVAL;
    }
    engine = alloc_engine(options);
    if (engine == NULL) {
        return -ENOMEM;
    }
    engine->dma.ops = &engine_ops;
    engine->device = device;
    engine->loop = loop;
    engine->poller =
        (struct bc_poller){.poll = engine_poll, .busy = engine_busy, .sleep = engine_sleep};
    bc_timer_init(&engine->retry, engine_retry);
    error = open_sdk(engine);
    if (error != DOCA_SUCCESS) {
        BC_ERROR("dma", "cannot set up DMA with %zu MiB of staging memory on %s: %s",
                 options->local_len >> 20, device->pci_addr, doca_error_get_descr(error));
        rc = bc_dma_errno(error);
        goto err_close;
    }
    rc = bc_dma_context_open(engine);
    if (rc != 0) {
        goto err_close;
    }
    rc = metrics != NULL ? register_metrics(&engine->counters, metrics) : 0;
    if (rc != 0) {
        bc_dma_context_close(engine);
        goto err_close;
    }
    __atomic_add_fetch(&device->engines, 1, __ATOMIC_ACQ_REL);
    bc_watch_init(&engine->watch, loop, engine->handle, engine_notified);
    bc_watch_start(&engine->watch, POLLIN);
    bc_poller_start(loop, &engine->poller);
    *dma_out = &engine->dma;
    return 0;

err_close:
    close_sdk(engine);
    free_engine(engine);
    return rc;
}
