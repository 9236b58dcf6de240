/* SPDX-License-Identifier: Apache-2.0 */
/* memory_dma.c - copies in a deferred call, all that were submitted before it, in their order. */
#include "testlib/memory_dma.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LEN_DEFAULT (UINT64_C(2) << 20)

struct bc_dma_import {
    uint8_t *base;
    uint64_t len;
    uint32_t in_flight;
    bool dead;
};

struct memory_dma {
    struct bc_dma dma;
    struct bc_memory_dma_options options;
    struct bc_task run;
    struct bc_dma_task **ring; /* of depth places */
    uint32_t first;
    uint32_t count;
    bool refused;
};

static struct memory_dma *self_of(const struct bc_dma *dma)
{
    return BC_CONTAINER_OF(dma, struct memory_dma, dma);
}

static int copy(const struct bc_dma_task *task)
{
    uint8_t *remote = task->import->base + task->import_offset;

    if (task->import->dead) {
        return -EREMOTEIO;
    }
    if (task->direction == BC_DMA_FROM_HOST) {
        memcpy(task->local, remote, task->len);
    } else {
        memcpy(remote, task->local, task->len);
    }
    return 0;
}

static struct bc_dma_task *pop(struct memory_dma *self)
{
    struct bc_dma_task *task = self->ring[self->first];

    self->first = (self->first + 1) % self->options.depth;
    self->count--;
    task->import->in_flight--;
    return task;
}

static void run(struct bc_task *deferred)
{
    struct memory_dma *self = BC_CONTAINER_OF(deferred, struct memory_dma, run);
    uint32_t left = self->count; /* what callbacks submit waits for the next turn */

    for (; left > 0; left--) {
        struct bc_dma_task *task = pop(self);
        task->done(task, copy(task));
    }
    if (self->count > 0 && !bc_list_linked(&self->run.node)) {
        bc_loop_defer(self->options.loop, &self->run);
    }
    if (self->refused) {
        self->refused = false;
        if (self->dma.ready != NULL) {
            self->dma.ready(self->dma.ready_arg);
        }
    }
}

static int memory_submit(struct bc_dma *dma, struct bc_dma_task *task)
{
    struct memory_dma *self = self_of(dma);
    uintptr_t local = (uintptr_t)task->local;
    uintptr_t base = (uintptr_t)self->options.local;

    if (task->len == 0 || task->len > self->options.max_len || local < base ||
        local - base > self->options.local_len ||
        task->len > self->options.local_len - (local - base)) {
        return -EINVAL;
    }
    if (task->import_offset > task->import->len ||
        task->len > task->import->len - task->import_offset) {
        return -ERANGE;
    }
    if (task->import->dead) {
        return -EREMOTEIO;
    }
    if (self->count == self->options.depth) {
        self->refused = true;
        return -EAGAIN;
    }
    self->ring[(self->first + self->count++) % self->options.depth] = task;
    task->import->in_flight++;
    if (!bc_list_linked(&self->run.node)) {
        bc_loop_defer(self->options.loop, &self->run);
    }
    return 0;
}

static uint32_t memory_slots_free(const struct bc_dma *dma)
{
    const struct memory_dma *self = self_of(dma);

    return self->options.depth - self->count;
}

static int memory_import(struct bc_dma *dma, const void *desc, size_t desc_len, uint64_t len,
                         struct bc_dma_import **import_out)
{
    struct bc_memory_region region;
    struct bc_dma_import *import;

    (void)dma;
    if (desc_len != sizeof(region) || len == 0) {
        return -EINVAL;
    }
    memcpy(&region, desc, sizeof(region));
    if (region.magic != BC_MEMORY_REGION_MAGIC) {
        return -EINVAL;
    }
    if (len > region.len) {
        return -ERANGE;
    }
    import = calloc(1, sizeof(*import));
    if (import == NULL) {
        return -ENOMEM;
    }
    import->base = region.base;
    import->len = len;
    *import_out = import;
    return 0;
}

static int memory_release(struct bc_dma *dma, struct bc_dma_import *import)
{
    (void)dma;
    if (import->in_flight > 0) {
        return -EBUSY;
    }
    free(import);
    return 0;
}

static void memory_destroy(struct bc_dma *dma)
{
    struct memory_dma *self = self_of(dma);

    while (self->count > 0) {
        struct bc_dma_task *task = pop(self);
        task->done(task, -ECANCELED);
    }
    bc_loop_undefer(self->options.loop, &self->run);
    free(self->ring);
    free(self);
}

static const struct bc_dma_ops memory_ops = {
    .submit = memory_submit,
    .slots_free = memory_slots_free,
    .import = memory_import,
    .release = memory_release,
    .destroy = memory_destroy,
};

int bc_memory_dma_create(const struct bc_memory_dma_options *options, struct bc_dma **dma_out)
{
    struct memory_dma *self;

    if (options->depth == 0) {
        return -EINVAL;
    }
    self = calloc(1, sizeof(*self));
    if (self == NULL) {
        return -ENOMEM;
    }
    self->ring = calloc(options->depth, sizeof(self->ring[0]));
    if (self->ring == NULL) {
        free(self);
        return -ENOMEM;
    }
    self->dma.ops = &memory_ops;
    self->options = *options;
    self->options.max_len = options->max_len != 0 ? options->max_len : MAX_LEN_DEFAULT;
    self->run.run = run;
    *dma_out = &self->dma;
    return 0;
}

void bc_memory_dma_kill(struct bc_dma_import *import)
{
    import->dead = true;
}
