/* SPDX-License-Identifier: Apache-2.0 */
/* region.c - see region.h. A batch travels to every worker and back; the last answer ends it. A
 * worker does a few of its items a turn: an import or a release is a call into the SDK that takes
 * its time. */
#include "session/region.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "session/worker.h"

#define ITEMS_PER_TURN 32u

enum batch_kind {
    BATCH_IMPORT,
    BATCH_DROP,
};

struct batch_item {
    struct bc_region *region; /* NULL: its status is known already */
    size_t desc_offset;       /* into batch->descriptors */
    size_t desc_len;
};

/* Its way to one worker and back. */
struct batch_leg {
    struct bc_mail mail;
    struct bc_region_batch *batch;
    uint32_t worker;
    uint32_t next; /* item */
    struct bc_task task;
    int *results; /* one per item */
};

struct bc_region_batch {
    enum batch_kind kind;
    struct bc_regions *regions;
    uint64_t request_id;
    bc_region_done_fn done;
    void *arg;
    uint32_t count;
    uint32_t legs_left;
    uint32_t users_left; /* regions whose users must go first (drop) */
    uint64_t bytes;
    struct batch_item *items;
    uint32_t *statuses;
    uint8_t *descriptors;
    struct batch_leg *legs;
};

static uint32_t block_count(const struct bc_regions *regions)
{
    return (regions->max + BC_REGION_BLOCK - 1) / BC_REGION_BLOCK;
}

int bc_regions_init(struct bc_regions *regions, struct bc_worker *home, uint32_t max)
{
    memset(regions, 0, sizeof(*regions));
    regions->max = max;
    regions->home = home;
    regions->blocks = calloc(block_count(regions), sizeof(struct bc_region *));
    return regions->blocks == NULL ? -ENOMEM : 0;
}

void bc_regions_fini(struct bc_regions *regions)
{
    BC_ASSERT(regions->live == 0 && regions->batches == 0);
    for (uint32_t i = 0; i < block_count(regions); i++) {
        free(regions->blocks[i]);
    }
    free(regions->blocks);
    regions->blocks = NULL;
}

/* NULL: no such id, or never used. */
static struct bc_region *region_at(const struct bc_regions *regions, uint32_t id)
{
    struct bc_region *block = id < regions->max ? regions->blocks[id / BC_REGION_BLOCK] : NULL;
    return block == NULL ? NULL : &block[id % BC_REGION_BLOCK];
}

static void batch_free(struct bc_region_batch *batch)
{
    if (batch->legs != NULL) {
        for (uint32_t i = 0; i < batch->regions->home->worker_count; i++) {
            free(batch->legs[i].results);
        }
    }
    batch->regions->bytes -= batch->bytes;
    free(batch->legs);
    free(batch->descriptors);
    free(batch->statuses);
    free(batch->items);
    free(batch);
}

static struct bc_region_batch *batch_new(struct bc_regions *regions, enum batch_kind kind,
                                         uint32_t count, size_t descriptors_len)
{
    uint32_t workers = regions->home->worker_count;
    struct bc_region_batch *batch = calloc(1, sizeof(*batch));
    if (batch == NULL) {
        return NULL;
    }
    batch->kind = kind;
    batch->regions = regions;
    batch->count = count;
    batch->bytes = descriptors_len + count * (sizeof(*batch->items) + sizeof(*batch->statuses) +
                                              workers * sizeof(int));
    regions->bytes += batch->bytes;
    batch->items = calloc(count + 1, sizeof(*batch->items));
    batch->statuses = calloc(count + 1, sizeof(*batch->statuses));
    batch->descriptors = malloc(descriptors_len + 1);
    batch->legs = calloc(workers, sizeof(*batch->legs));
    if (batch->items == NULL || batch->statuses == NULL || batch->descriptors == NULL ||
        batch->legs == NULL) {
        goto err_free;
    }
    for (uint32_t i = 0; i < workers; i++) {
        batch->legs[i].batch = batch;
        batch->legs[i].worker = i;
        batch->legs[i].results = calloc(count + 1, sizeof(int));
        if (batch->legs[i].results == NULL) {
            goto err_free;
        }
    }
    return batch;

err_free:
    batch_free(batch);
    return NULL;
}

static void region_reset(struct bc_region *region)
{
    memset(region->imports, 0, sizeof(region->imports));
    region->state = BC_REGION_FREE;
    region->leaving = NULL;
    region->users = 0;
}

static void batch_send(struct bc_region_batch *batch);

/* Imports that some workers made of a region that others refused. */
static bool drop_partial(struct bc_region_batch *batch)
{
    bool any = false;
    for (uint32_t i = 0; i < batch->count; i++) {
        struct batch_item *item = &batch->items[i];
        if (item->region != NULL && batch->statuses[i] != BC_STATUS_OK) {
            item->region->state = BC_REGION_LEAVING;
            any = true;
        } else if (item->region != NULL) {
            item->region->state = BC_REGION_LIVE;
            item->region = NULL;
        }
    }
    return any;
}

static enum bc_status status_of(enum batch_kind kind, int rc)
{
    if (kind == BATCH_DROP) {
        return BC_STATUS_INTERNAL;
    }
    return rc == -ENOMEM ? BC_STATUS_NO_MEMORY : BC_STATUS_BAD_MEMORY;
}

static void batch_end(struct bc_region_batch *batch)
{
    struct bc_regions *regions = batch->regions;
    for (uint32_t i = 0; i < batch->count; i++) {
        struct bc_region *region = batch->items[i].region;
        for (uint32_t w = 0; region != NULL && w < regions->home->worker_count; w++) {
            int rc = batch->legs[w].results[i];
            if (rc != 0 && batch->statuses[i] == BC_STATUS_OK) {
                batch->statuses[i] = status_of(batch->kind, rc);
            }
        }
    }
    regions->sent--;
    if (batch->kind == BATCH_IMPORT) {
        if (drop_partial(batch)) {
            batch->kind = BATCH_DROP;
            batch_send(batch);
            return;
        }
    } else {
        for (uint32_t i = 0; i < batch->count; i++) {
            if (batch->items[i].region != NULL) {
                region_reset(batch->items[i].region);
                regions->live--;
            }
        }
    }
    regions->batches--;
    batch->done(batch->arg, batch->request_id, batch->statuses, batch->count);
    batch_free(batch);
}

static void leg_back(struct bc_mail *mail)
{
    struct batch_leg *leg = BC_CONTAINER_OF(mail, struct batch_leg, mail);
    if (--leg->batch->legs_left == 0) {
        batch_end(leg->batch);
    }
}

/* In worker leg->worker. */
static void leg_item(struct batch_leg *leg, uint32_t index)
{
    struct bc_region_batch *batch = leg->batch;
    struct bc_worker *worker = batch->regions->home->peers[leg->worker];
    struct batch_item *item = &batch->items[index];
    if (item->region == NULL) {
        return;
    }
    struct bc_dma_import **import = &item->region->imports[leg->worker];
    if (batch->kind == BATCH_IMPORT) {
        leg->results[index] = bc_dma_import(worker->dma, batch->descriptors + item->desc_offset,
                                            item->desc_len, item->region->len_bytes, import);
        if (leg->results[index] != 0) {
            *import = NULL;
        }
    } else if (*import != NULL) {
        /* No request names the region any more, so none of its copies is in flight: what the engine
         * cannot release now it keeps, unused, until it ends. */
        leg->results[index] = bc_dma_release(worker->dma, *import);
        *import = NULL;
    }
}

static void leg_run(struct batch_leg *leg)
{
    struct bc_worker *home = leg->batch->regions->home;
    uint32_t end = leg->next + ITEMS_PER_TURN;
    for (; leg->next < leg->batch->count && leg->next < end; leg->next++) {
        leg_item(leg, leg->next);
    }
    if (leg->next < leg->batch->count) {
        bc_loop_defer(home->peers[leg->worker]->loop, &leg->task);
        return;
    }
    leg->mail.deliver = leg_back;
    bc_loop_send(home->loop, &leg->mail);
}

static void leg_go_on(struct bc_task *task)
{
    leg_run(BC_CONTAINER_OF(task, struct batch_leg, task));
}

static void leg_arrive(struct bc_mail *mail)
{
    leg_run(BC_CONTAINER_OF(mail, struct batch_leg, mail));
}

static void batch_send(struct bc_region_batch *batch)
{
    struct bc_worker *home = batch->regions->home;
    batch->regions->sent++;
    batch->legs_left = home->worker_count;
    for (uint32_t w = 0; w < home->worker_count; w++) {
        struct batch_leg *leg = &batch->legs[w];
        if (batch->kind == BATCH_DROP) {
            memset(leg->results, 0, batch->count * sizeof(int));
        }
        leg->next = 0;
        leg->task.run = leg_go_on;
        leg->mail.deliver = leg_arrive;
        bc_loop_send(home->peers[w]->loop, &leg->mail);
    }
}

static enum bc_status claim(struct bc_regions *regions, const struct bc_wire_memory *wire,
                            struct bc_region **region_out)
{
    if (wire->memory_id >= regions->max) {
        return BC_STATUS_LIMIT;
    }
    if (wire->kind != BC_MEMORY_PCI_EXPORT) {
        return BC_STATUS_NOT_SUPPORTED;
    }
    struct bc_region **block = &regions->blocks[wire->memory_id / BC_REGION_BLOCK];
    if (*block == NULL) {
        *block = calloc(BC_REGION_BLOCK, sizeof(**block));
    }
    if (*block == NULL) {
        return BC_STATUS_NO_MEMORY;
    }
    struct bc_region *region = region_at(regions, wire->memory_id);
    if (region->state != BC_REGION_FREE) {
        return BC_STATUS_BUSY;
    }
    region->state = BC_REGION_IMPORTING;
    region->generation = wire->generation;
    region->access = wire->access;
    region->len_bytes = wire->length;
    region->users = 0;
    regions->live++;
    *region_out = region;
    return BC_STATUS_OK;
}

int bc_regions_register(struct bc_regions *regions, const void *body, size_t len,
                        uint64_t request_id, bc_region_done_fn done, void *arg)
{
    struct bc_register_iter iter;
    uint32_t count = 0;
    int rc = bc_register_decode(body, len, &count, &iter);
    if (rc != 0) {
        return rc;
    }
    struct bc_region_batch *batch = batch_new(regions, BATCH_IMPORT, count, len);
    if (batch == NULL) {
        return -ENOMEM;
    }
    batch->request_id = request_id;
    batch->done = done;
    batch->arg = arg;
    struct bc_memory_desc memory;
    size_t used = 0;
    for (uint32_t i = 0; bc_register_next(&iter, &memory); i++) {
        struct batch_item *item = &batch->items[i];
        item->desc_offset = used;
        item->desc_len = memory.descriptor.len;
        memcpy(batch->descriptors + used, memory.descriptor.data, memory.descriptor.len);
        used += memory.descriptor.len;
        batch->statuses[i] = claim(regions, &memory.wire, &item->region);
    }
    regions->batches++;
    batch_send(batch);
    return 0;
}

static void leave(struct bc_region_batch *batch, struct batch_item *item, struct bc_region *region)
{
    item->region = region;
    region->state = BC_REGION_LEAVING;
    if (region->users > 0) {
        region->leaving = batch;
        batch->users_left++;
    }
}

int bc_regions_unregister(struct bc_regions *regions, const struct bc_wire_memory_name *names,
                          uint32_t count, uint64_t request_id, bc_region_done_fn done, void *arg)
{
    struct bc_region_batch *batch = batch_new(regions, BATCH_DROP, count, 0);
    if (batch == NULL) {
        return -ENOMEM;
    }
    batch->request_id = request_id;
    batch->done = done;
    batch->arg = arg;
    for (uint32_t i = 0; i < count; i++) {
        struct bc_region *region = region_at(regions, names[i].memory_id);
        if (region == NULL || region->state != BC_REGION_LIVE ||
            region->generation != names[i].generation) {
            batch->statuses[i] = BC_STATUS_BAD_MEMORY;
            continue;
        }
        leave(batch, &batch->items[i], region);
    }
    regions->batches++;
    if (batch->users_left == 0) {
        batch_send(batch);
    }
    return 0;
}

/* The live region with the lowest id from *id on, which it moves behind it; NULL when there is
 * none. */
static struct bc_region *next_live(const struct bc_regions *regions, uint32_t *id)
{
    while (*id < regions->max) {
        struct bc_region *region = region_at(regions, *id);
        *id += region == NULL ? BC_REGION_BLOCK - *id % BC_REGION_BLOCK : 1;
        if (region != NULL && region->state == BC_REGION_LIVE) {
            return region;
        }
    }
    return NULL;
}

int bc_regions_drop_all(struct bc_regions *regions, bc_region_done_fn done, void *arg)
{
    uint32_t live = 0;
    for (uint32_t id = 0; next_live(regions, &id) != NULL;) {
        live++;
    }
    struct bc_region_batch *batch = batch_new(regions, BATCH_DROP, live, 0);
    if (batch == NULL) {
        return -ENOMEM;
    }
    batch->done = done;
    batch->arg = arg;
    uint32_t id = 0;
    for (uint32_t i = 0; i < live; i++) {
        leave(batch, &batch->items[i], next_live(regions, &id));
    }
    regions->batches++;
    if (batch->users_left == 0) {
        batch_send(batch);
    }
    return 0;
}

struct bc_region *bc_regions_find(struct bc_regions *regions, uint32_t id, uint32_t generation,
                                  uint64_t offset, uint64_t len, uint8_t access,
                                  enum bc_status *status_out)
{
    struct bc_region *region = region_at(regions, id);
    if (region == NULL || region->state != BC_REGION_LIVE || region->generation != generation) {
        *status_out = BC_STATUS_BAD_MEMORY;
        return NULL;
    }
    if (offset > region->len_bytes || len > region->len_bytes - offset) {
        *status_out = BC_STATUS_RANGE;
        return NULL;
    }
    if ((region->access & access) != access) {
        *status_out = BC_STATUS_DENIED;
        return NULL;
    }
    return region;
}

void bc_region_unhold(struct bc_region *region)
{
    BC_ASSERT(region->users > 0);
    region->users--;
    if (region->users == 0 && region->leaving != NULL) {
        struct bc_region_batch *batch = region->leaving;
        region->leaving = NULL;
        if (--batch->users_left == 0) {
            batch_send(batch);
        }
    }
}
