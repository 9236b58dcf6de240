/* SPDX-License-Identifier: Apache-2.0 */
/* faulty_dma.c - each copy gets a task of its own, which is what the real engine sees. */
#include "testlib/faulty_dma.h"

#include <errno.h>
#include <stdlib.h>

#include "testlib/pause.h"

#define RETRY_NS BC_NS_PER_MS /* of a delayed copy that the real engine refuses */

struct faulty_copy {
    struct bc_list_node node; /* while held */
    struct bc_dma_task inner;
    struct bc_dma_task *outer;
    struct bc_faulty_dma *dma;
    struct bc_fault_rule rule;
    struct bc_timer timer;
    struct bc_pause pause;
    int result;       /* of a copy that is held after its end */
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
    copy->dma->under_way--;
    free(copy);
    outer->done(outer, result);
}

static void hold_over(struct bc_pause *pause)
{
    struct faulty_copy *copy = BC_CONTAINER_OF(pause, struct faulty_copy, pause);

    bc_list_remove(&copy->dma->held, &copy->node);
    finish(copy, copy->result);
}

/* Tells the result some turns later. */
static void hold(struct faulty_copy *copy, int result, uint64_t turns)
{
    copy->result = result;
    bc_list_push_back(&copy->dma->held, &copy->node);
    bc_pause_start(&copy->pause, copy->dma->loop, turns, hold_over);
}

static int error_of(const struct faulty_copy *copy)
{
    return copy->rule.error != 0 ? copy->rule.error : -EREMOTEIO;
}

static void inner_done(struct bc_dma_task *inner, int result)
{
    struct faulty_copy *copy = BC_CONTAINER_OF(inner, struct faulty_copy, inner);
    uint8_t bit;

    switch (copy->rule.action) {
    case BC_FAULT_CORRUPT:
        if (inner->direction == BC_DMA_FROM_HOST && result == 0) {
            (void)bc_faults_flip(&copy->dma->faults, inner->local, inner->len, &bit);
        }
        break;
    case BC_FAULT_SHORT:
        result = result == 0 ? error_of(copy) : result;
        break;
    case BC_FAULT_REORDER:
        hold(copy, result, copy->rule.amount);
        return;
    default:
        break;
    }
    finish(copy, result);
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
    bc_list_remove(&copy->dma->held, &copy->node);
    if (rc != 0) {
        finish(copy, -EREMOTEIO); /* the import died meanwhile */
    }
}

static void delay(struct faulty_copy *copy)
{
    bc_list_push_back(&copy->dma->held, &copy->node);
    bc_timer_init(&copy->timer, delay_over);
    bc_timer_start(copy->dma->loop, &copy->timer, copy->rule.amount);
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
        copy->flipped =
            bc_faults_flip(&copy->dma->faults, copy->inner.local, copy->inner.len, &copy->bit);
    }
    rc = bc_dma_submit(copy->dma->real, &copy->inner);
    if (rc != 0) {
        if (copy->flipped != NULL) {
            *copy->flipped ^= copy->bit;
        }
        copy->dma->under_way--;
        free(copy);
    }
    return rc;
}

static struct faulty_copy *make_copy(struct bc_faulty_dma *self, struct bc_dma_task *task,
                                     const struct bc_fault_rule *rule)
{
    struct faulty_copy *copy = calloc(1, sizeof(*copy));

    BC_ASSERT(copy != NULL);
    self->copies++;
    self->under_way++;
    copy->inner = *task;
    copy->inner.done = inner_done;
    copy->outer = task;
    copy->dma = self;
    if (rule != NULL) {
        copy->rule = *rule;
    }
    return copy;
}

static int faulty_submit(struct bc_dma *dma, struct bc_dma_task *task)
{
    struct bc_faulty_dma *self = self_of(dma);
    const struct bc_fault_rule *rule = bc_faults_next(&self->faults, (uint32_t)task->direction);
    enum bc_fault_action action = rule != NULL ? rule->action : BC_FAULT_NONE;
    struct faulty_copy *copy;

    if (action == BC_FAULT_REFUSE) {
        return refuse(self);
    }
    self->vanished = self->vanished || action == BC_FAULT_VANISH;
    copy = make_copy(self, task, rule);
    if (self->vanished || action == BC_FAULT_FAIL ||
        (action == BC_FAULT_SHORT && rule->amount == 0)) {
        hold(copy, error_of(copy), 1);
        return 0;
    }
    if (action == BC_FAULT_SHORT) {
        copy->inner.len = (uint32_t)bc_min_u64(copy->inner.len, rule->amount);
    } else if (action == BC_FAULT_DELAY) {
        delay(copy);
        return 0;
    }
    return start(copy);
}

static uint32_t faulty_slots_free(const struct bc_dma *dma)
{
    const struct bc_faulty_dma *self = self_of(dma);
    uint32_t slots = bc_dma_slots_free(self->real);

    return slots > self->held.count ? slots - (uint32_t)self->held.count : 0;
}

static int faulty_import(struct bc_dma *dma, const void *desc, size_t desc_len, uint64_t len,
                         struct bc_dma_import **import_out)
{
    struct bc_faulty_dma *self = self_of(dma);
    const struct bc_fault_rule *rule = bc_faults_next(&self->faults, BC_FAULTY_DMA_IMPORT);
    enum bc_fault_action action = rule != NULL ? rule->action : BC_FAULT_NONE;
    int rc;

    self->vanished = self->vanished || action == BC_FAULT_VANISH;
    if (self->vanished || action == BC_FAULT_FAIL || action == BC_FAULT_SHORT ||
        action == BC_FAULT_REFUSE) {
        return rule != NULL && rule->error != 0 ? rule->error : -EINVAL;
    }
    rc = bc_dma_import(self->real, desc, desc_len, len, import_out);
    self->imports += rc == 0;
    return rc;
}

static int faulty_release(struct bc_dma *dma, struct bc_dma_import *import)
{
    struct bc_faulty_dma *self = self_of(dma);
    const struct bc_fault_rule *rule = bc_faults_next(&self->faults, BC_FAULTY_DMA_RELEASE);
    struct bc_list_node *node;
    int rc;

    for (node = bc_list_first(&self->held); node != NULL; node = bc_list_next(&self->held, node)) {
        if (BC_CONTAINER_OF(node, struct faulty_copy, node)->inner.import == import) {
            return -EBUSY;
        }
    }
    rc = bc_dma_release(self->real, import);
    self->imports -= rc == 0;
    /* The real engine keeps what it cannot release until it ends; a twin must not lose it. */
    return rc == 0 && rule != NULL && rule->action == BC_FAULT_FAIL ? -EBUSY : rc;
}

static void faulty_destroy(struct bc_dma *dma)
{
    struct bc_faulty_dma *self = self_of(dma);
    struct bc_list_node *node;

    while ((node = bc_list_pop_front(&self->held)) != NULL) {
        struct faulty_copy *copy = BC_CONTAINER_OF(node, struct faulty_copy, node);
        if (copy->pause.over != NULL) {
            bc_pause_stop(&copy->pause);
        } else {
            bc_timer_stop(self->loop, &copy->timer);
        }
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
    bc_list_init(&dma->held);
    dma->ready_task.run = call_ready;
    real->ready = real_ready;
    real->ready_arg = dma;
}
