/* SPDX-License-Identifier: Apache-2.0 */
/* internal.c - the helpers of internal.h. Thread: the owner of the loop. Allocates nothing. */
#include "backend/internal.h"

#include <errno.h>

static void defer(struct bc_loop *loop, void *internal, bc_task_fn run, int result)
{
    struct bc_later *later = internal;

    *later = (struct bc_later){.task = {.run = run}, .result = result};
    bc_loop_defer(loop, &later->task);
}

static struct bc_later *later_of(struct bc_task *task)
{
    return BC_CONTAINER_OF(task, struct bc_later, task);
}

static void put_later(struct bc_task *task)
{
    struct bc_later *later = later_of(task);
    struct bc_put_op *op = BC_CONTAINER_OF((void *)later, struct bc_put_op, internal);

    op->done(op, later->result);
}

void bc_later_put(struct bc_loop *loop, struct bc_put_op *op, int result)
{
    defer(loop, op->internal, put_later, result);
}

static void get_later(struct bc_task *task)
{
    struct bc_later *later = later_of(task);
    struct bc_get_op *op = BC_CONTAINER_OF((void *)later, struct bc_get_op, internal);

    op->done(op, later->result);
}

void bc_later_get(struct bc_loop *loop, struct bc_get_op *op, int result)
{
    defer(loop, op->internal, get_later, result);
}

static void open_later(struct bc_task *task)
{
    struct bc_later *later = later_of(task);
    struct bc_open_op *op = BC_CONTAINER_OF((void *)later, struct bc_open_op, internal);

    op->done(op, later->result);
}

void bc_later_open(struct bc_loop *loop, struct bc_open_op *op, int result)
{
    defer(loop, op->internal, open_later, result);
}

static void batch_later(struct bc_task *task)
{
    struct bc_later *later = later_of(task);
    struct bc_batch_op *op = BC_CONTAINER_OF((void *)later, struct bc_batch_op, internal);

    op->done(op, later->result);
}

void bc_later_batch(struct bc_loop *loop, struct bc_batch_op *op, int result)
{
    defer(loop, op->internal, batch_later, result);
}

static void run_ready(struct bc_task *task)
{
    struct bc_ready *ready = BC_CONTAINER_OF(task, struct bc_ready, task);

    ready->queued = false;
    ready->wanted = false;
    if (ready->backend->ready != NULL) {
        ready->backend->ready(ready->backend->ready_arg);
    }
}

void bc_ready_init(struct bc_ready *ready, struct bc_backend *backend, struct bc_loop *loop)
{
    *ready = (struct bc_ready){.backend = backend, .loop = loop, .task = {.run = run_ready}};
}

int bc_ready_again(struct bc_ready *ready)
{
    ready->wanted = true;
    return -EAGAIN;
}

void bc_ready_signal(struct bc_ready *ready)
{
    if (ready->wanted && !ready->queued) {
        ready->queued = true;
        bc_loop_defer(ready->loop, &ready->task);
    }
}

int bc_store_counters_register(struct bc_store_counters *counters,
                               const struct bc_store_metric *rows, size_t row_count,
                               struct bc_metrics *metrics)
{
    for (size_t i = 0; metrics != NULL && i < row_count; i++) {
        struct bc_counter *counter =
            (struct bc_counter *)(void *)((uint8_t *)counters + rows[i].offset);
        int rc = bc_metrics_add_counter(metrics, rows[i].kind, rows[i].name, rows[i].help, counter);

        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static uint64_t reverse_bits(uint64_t value)
{
    value = (value >> 1 & UINT64_C(0x5555555555555555)) | (value & UINT64_C(0x5555555555555555))
                                                              << 1;
    value = (value >> 2 & UINT64_C(0x3333333333333333)) | (value & UINT64_C(0x3333333333333333))
                                                              << 2;
    value = (value >> 4 & UINT64_C(0x0F0F0F0F0F0F0F0F)) | (value & UINT64_C(0x0F0F0F0F0F0F0F0F))
                                                              << 4;
    return __builtin_bswap64(value);
}

void bc_index_walk(struct bc_hashmap *map, uint64_t *cursor, uint32_t count,
                   bc_index_visit_fn visit, void *arg)
{
    uint64_t mask = map->bucket_count - 1;
    uint64_t at = *cursor;
    uint64_t buckets_max = (uint64_t)count * 4 + 1024;
    uint32_t seen = 0;
    bool go_on = true;

    do {
        struct bc_hashmap_node *node = map->buckets[at & mask];

        while (node != NULL && go_on) {
            struct bc_hashmap_node *next = node->next;

            go_on = visit(arg, node);
            seen++;
            node = next;
        }
        /* The next bucket: one more, counted from the top bit of the mask down. */
        at = reverse_bits(reverse_bits(at | ~mask) + 1);
        buckets_max--;
    } while (at != 0 && go_on && seen < count && buckets_max > 0);
    *cursor = at;
}
