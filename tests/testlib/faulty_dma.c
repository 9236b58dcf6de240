/* SPDX-License-Identifier: Apache-2.0 */
/* faulty_dma.c - each copy gets a task of its own, which is what the real engine sees. */
#include "testlib/faulty_dma.h"

#include <errno.h>
#include <stdlib.h>

#define RETRY_NS BC_NS_PER_MS /* of a delayed copy that the real engine refuses */

struct faulty_copy {
    struct bc_list_node node; /* while delayed */
    struct bc_dma_task inner;
    struct bc_dma_task *outer;
    struct bc_faulty_dma *dma;
    struct bc_fault_rule rule;
    struct bc_timer timer;
    struct bc_task task;
    uint8_t *flipped; /* of a copy to the host: the source's byte that is wrong meanwhile */
    uint8_t bit;
};

static struct bc_faulty_dma *self_of(const struct bc_dma *dma)
{
    return BC_CONTAINER_OF(dma, struct bc_faulty_dma, dma);
}

static void finish(struct faulty_copy *copy, int result)
{
    struct bc_dma_task *outer = copy->outer;

    if (copy->flipped != NULL) {
        *copy->flipped ^= copy->bit;
    }
    free(copy);
    outer->done(outer, result);
}

static uint8_t *flip_bit(struct faulty_copy *copy)
{
    struct bc_faults *faults = &copy->dma->faults;
    uint8_t *byte = (uint8_t *)copy->inner.local + bc_faults_random(faults) % copy->inner.len;

    copy->bit = (uint8_t)(1u << (bc_faults_random(faults) % 8));
    *byte ^= copy->bit;
    return byte;
}

static void inner_done(struct bc_dma_task *inner, int result)
{
    struct faulty_copy *copy = BC_CONTAINER_OF(inner, struct faulty_copy, inner);

    if (copy->rule.action == BC_FAULT_CORRUPT && inner->direction == BC_DMA_FROM_HOST &&
        result == 0) {
        (void)flip_bit(copy);
    }
    finish(copy, result);
}

static void fail_later(struct bc_task *task)
{
    struct faulty_copy *copy = BC_CONTAINER_OF(task, struct faulty_copy, task);

    finish(copy, copy->rule.error != 0 ? copy->rule.error : -EREMOTEIO);
}

static void defer_failure(struct faulty_copy *copy, int error)
{
    copy->rule.error = error;
    copy->task.run = fail_later;
    bc_loop_defer(copy->dma->loop, &copy->task);
}

static void delay_over(struct bc_timer *timer)
{
    struct faulty_copy *copy = BC_CONTAINER_OF(timer, struct faulty_copy, timer);
    struct bc_dma *real = copy->dma->real;
    int rc = bc_dma_submit(real, &copy->inner);

    if (rc == -EAGAIN) {
        bc_timer_start(copy->dma->loop, timer, RETRY_NS);
        return;
    }
    bc_list_remove(&copy->dma->delayed, &copy->node);
    if (rc != 0) {
        finish(copy, -EREMOTEIO); /* the import died meanwhile */
    }
}

static void call_ready(struct bc_task *task)
{
    struct bc_faulty_dma *self = BC_CONTAINER_OF(task, struct bc_faulty_dma, ready_task);

    if (self->dma.ready != NULL) {
        self->dma.ready(self->dma.ready_arg);
    }
}

static void real_ready(void *arg)
{
    struct bc_faulty_dma *self = arg;

    call_ready(&self->ready_task);
}

static int refuse(struct bc_faulty_dma *self)
{
    if (!bc_list_linked(&self->ready_task.node)) {
        bc_loop_defer(self->loop, &self->ready_task);
    }
    return -EAGAIN;
}

static int start(struct faulty_copy *copy)
{
    int rc;

    if (copy->rule.action == BC_FAULT_CORRUPT && copy->inner.direction == BC_DMA_TO_HOST) {
        copy->flipped = flip_bit(copy);
    }
    rc = bc_dma_submit(copy->dma->real, &copy->inner);
    if (rc != 0) {
        if (copy->flipped != NULL) {
            *copy->flipped ^= copy->bit;
        }
        free(copy);
    }
    return rc;
}

static int faulty_submit(struct bc_dma *dma, struct bc_dma_task *task)
{
    struct bc_faulty_dma *self = self_of(dma);
    const struct bc_fault_rule *rule = bc_faults_next(&self->faults, (uint32_t)task->direction);
    struct faulty_copy *copy;

    if (rule != NULL && rule->action == BC_FAULT_REFUSE) {
        return refuse(self);
    }
    copy = calloc(1, sizeof(*copy));
    BC_ASSERT(copy != NULL);
    self->copies++;
    copy->inner = *task;
    copy->inner.done = inner_done;
    copy->outer = task;
    copy->dma = self;
    if (rule != NULL) {
        copy->rule = *rule;
    }
    if (copy->rule.action == BC_FAULT_FAIL) {
        defer_failure(copy, copy->rule.error);
        return 0;
    }
    if (copy->rule.action == BC_FAULT_DELAY) {
        bc_list_push_back(&self->delayed, &copy->node);
        bc_timer_init(&copy->timer, delay_over);
        bc_timer_start(self->loop, &copy->timer, copy->rule.amount);
        return 0;
    }
    return start(copy);
}

static uint32_t faulty_slots_free(const struct bc_dma *dma)
{
    const struct bc_faulty_dma *self = self_of(dma);
    uint32_t slots = bc_dma_slots_free(self->real);

    return slots > self->delayed.count ? slots - (uint32_t)self->delayed.count : 0;
}

static int faulty_import(struct bc_dma *dma, const void *desc, size_t desc_len, uint64_t len,
                         struct bc_dma_import **import_out)
{
    struct bc_faulty_dma *self = self_of(dma);
    const struct bc_fault_rule *rule = bc_faults_next(&self->faults, BC_FAULTY_DMA_IMPORT);

    if (rule != NULL && rule->action == BC_FAULT_FAIL) {
        return rule->error != 0 ? rule->error : -EINVAL;
    }
    return bc_dma_import(self->real, desc, desc_len, len, import_out);
}

static int faulty_release(struct bc_dma *dma, struct bc_dma_import *import)
{
    struct bc_faulty_dma *self = self_of(dma);
    struct bc_list_node *node;

    for (node = bc_list_first(&self->delayed); node != NULL;
         node = bc_list_next(&self->delayed, node)) {
        if (BC_CONTAINER_OF(node, struct faulty_copy, node)->inner.import == import) {
            return -EBUSY;
        }
    }
    return bc_dma_release(self->real, import);
}

static void faulty_destroy(struct bc_dma *dma)
{
    struct bc_faulty_dma *self = self_of(dma);
    struct bc_list_node *node;

    while ((node = bc_list_pop_front(&self->delayed)) != NULL) {
        struct faulty_copy *copy = BC_CONTAINER_OF(node, struct faulty_copy, node);
        bc_timer_stop(self->loop, &copy->timer);
        finish(copy, -ECANCELED);
    }
    bc_loop_undefer(self->loop, &self->ready_task);
    bc_dma_destroy(self->real);
}

static const struct bc_dma_ops faulty_ops = {
    .submit = faulty_submit,
    .slots_free = faulty_slots_free,
    .import = faulty_import,
    .release = faulty_release,
    .destroy = faulty_destroy,
};

void bc_faulty_dma_init(struct bc_faulty_dma *dma, struct bc_dma *real, struct bc_loop *loop,
                        uint64_t seed)
{
    *dma = (struct bc_faulty_dma){.dma = {.ops = &faulty_ops}, .real = real, .loop = loop};
    bc_faults_init(&dma->faults, seed);
    bc_list_init(&dma->delayed);
    dma->ready_task.run = call_ready;
    real->ready = real_ready;
    real->ready_arg = dma;
}
