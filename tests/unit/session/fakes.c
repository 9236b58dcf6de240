/* SPDX-License-Identifier: Apache-2.0 */
#include "fakes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"

/* ---- DMA ------------------------------------------------------------------------------------ */

static int dma_submit(struct bc_dma *dma, struct bc_dma_task *task)
{
    struct fake_dma *fake = BC_CONTAINER_OF(dma, struct fake_dma, dma);
    const struct fake_memory *memory = (const struct fake_memory *)(void *)task->import;
    if (fake->count == fake->depth) {
        return -EAGAIN;
    }
    if (task->import_offset + task->len > memory->len) {
        return -ERANGE;
    }
    fake->submitted++;
    if (fake->submitted == fake->refuse_at) {
        return -EREMOTEIO;
    }
    task->internal = (void *)(uintptr_t)fake->submitted;
    fake->tasks[fake->count++] = task;
    return 0;
}

static uint32_t dma_slots_free(const struct bc_dma *dma)
{
    const struct fake_dma *fake = BC_CONTAINER_OF(dma, const struct fake_dma, dma);
    return fake->depth - fake->count;
}

static const struct bc_dma_ops dma_ops = {.submit = dma_submit, .slots_free = dma_slots_free};

void fake_dma_init(struct fake_dma *fake, uint32_t depth)
{
    memset(fake, 0, sizeof(*fake));
    fake->dma.ops = &dma_ops;
    fake->depth = depth;
}

bool fake_dma_complete_one(struct fake_dma *fake)
{
    if (fake->count == 0) {
        return false;
    }
    struct bc_dma_task *task = fake->tasks[0];
    memmove(fake->tasks, fake->tasks + 1, --fake->count * sizeof(fake->tasks[0]));
    const struct fake_memory *memory = (const struct fake_memory *)(void *)task->import;
    int result = 0;
    if ((uintptr_t)task->internal == fake->fail_at) {
        result = -EREMOTEIO;
    } else if (task->direction == BC_DMA_FROM_HOST) {
        memcpy(task->local, memory->base + task->import_offset, task->len);
    } else {
        memcpy(memory->base + task->import_offset, task->local, task->len);
    }
    task->done(task, result);
    return true;
}

/* ---- backend -------------------------------------------------------------------------------- */

struct bc_put {
    struct fake_backend *fake;
    char key[16];
    uint8_t *data;
    uint64_t size;
};

struct bc_get {
    struct fake_backend *fake;
    uint8_t *data;
    uint64_t size;
};

/* A completion on its way: `complete` runs from the loop. */
struct pending {
    struct bc_task task;
    struct bc_list_node node;
    struct fake_backend *fake;
    void (*complete)(struct pending *pending);
    void *op;
    int result;
};

static void pending_run(struct bc_task *task)
{
    struct pending *pending = BC_CONTAINER_OF(task, struct pending, task);
    pending->complete(pending);
    free(pending);
}

static void later(struct fake_backend *fake, void (*complete)(struct pending *pending), void *op,
                  int result)
{
    struct pending *pending = calloc(1, sizeof(*pending));
    pending->fake = fake;
    pending->task.run = pending_run;
    pending->complete = complete;
    pending->op = op;
    pending->result = result;
    if (fake->hold) {
        bc_list_push_back(&fake->held, &pending->node);
    } else {
        bc_loop_defer(fake->loop, &pending->task);
    }
}

void fake_backend_release(struct fake_backend *fake)
{
    struct bc_list_node *node;
    fake->hold = false;
    while ((node = bc_list_pop_front(&fake->held)) != NULL) {
        bc_loop_defer(fake->loop, &BC_CONTAINER_OF(node, struct pending, node)->task);
    }
}

static bool fails(struct fake_backend *fake)
{
    return ++fake->operations == fake->fail_at;
}

static struct fake_backend *of(struct bc_backend *backend)
{
    return BC_CONTAINER_OF(backend, struct fake_backend, backend);
}

struct fake_object *fake_backend_find(struct fake_backend *fake, const char *key)
{
    for (size_t i = 0; i < FAKE_OBJECTS_MAX; i++) {
        if (fake->objects[i].used && strcmp(fake->objects[i].key, key) == 0) {
            return &fake->objects[i];
        }
    }
    return NULL;
}

static void store(struct fake_backend *fake, const char *key, uint8_t *data, uint64_t size)
{
    struct fake_object *object = fake_backend_find(fake, key);
    for (size_t i = 0; object == NULL && i < FAKE_OBJECTS_MAX; i++) {
        if (!fake->objects[i].used) {
            object = &fake->objects[i];
        }
    }
    BC_ASSERT(object != NULL);
    if (object->used) {
        free(object->data);
    }
    object->used = true;
    strncpy(object->key, key, sizeof(object->key) - 1);
    object->data = data;
    object->size = size;
}

void fake_backend_store(struct fake_backend *fake, const char *key, const void *data, uint64_t size)
{
    uint8_t *copy = malloc(size + 1);
    memcpy(copy, data, size);
    store(fake, key, copy, size);
}

static int put_begin(struct bc_backend *backend, const struct bc_object_key *key, uint64_t size,
                     const struct bc_put_hints *hints, struct bc_put **put_out)
{
    struct fake_backend *fake = of(backend);
    (void)hints;
    if (fake->busy) {
        return -EAGAIN;
    }
    if (fails(fake)) {
        return -EIO;
    }
    struct bc_put *put = calloc(1, sizeof(*put));
    put->fake = fake;
    memcpy(put->key, key->key, bc_min_u64(key->key_len, sizeof(put->key) - 1));
    put->data = calloc(1, size + 1);
    put->size = size;
    fake->puts_open++;
    *put_out = put;
    return 0;
}

static int put_lease(struct bc_put *put, uint64_t offset, uint32_t want_len,
                     struct bc_extent *extent_out)
{
    (void)offset;
    if (put->fake->busy) {
        return -EAGAIN;
    }
    if (fails(put->fake)) {
        return -EIO;
    }
    uint32_t len = want_len;
    if (put->fake->lease_max != 0 && len > put->fake->lease_max) {
        len = put->fake->lease_max;
    }
    memset(extent_out, 0, sizeof(*extent_out));
    extent_out->data = malloc(len);
    extent_out->len = len;
    put->fake->leases_open++;
    return 0;
}

static void put_unlease(struct bc_put *put, const struct bc_extent *extent)
{
    put->fake->leases_open--;
    free(extent->data);
}

static void put_chunk_complete(struct pending *pending)
{
    struct bc_put_op *op = pending->op;
    op->done(op, pending->result);
}

static void put_chunk(struct bc_put *put, struct bc_put_op *op)
{
    int result = fails(put->fake) ? -EIO : 0;
    memcpy(put->data + op->offset, op->extent.data, op->extent.len);
    put_unlease(put, &op->extent);
    later(put->fake, put_chunk_complete, op, result);
}

static void batch_complete(struct pending *pending)
{
    struct bc_batch_op *op = pending->op;
    op->done(op, pending->result);
}

static void put_free(struct bc_put *put)
{
    put->fake->puts_open--;
    free(put->data);
    free(put);
}

static void put_commit(struct bc_put *put, struct bc_batch_op *op)
{
    struct fake_backend *fake = put->fake;
    int result = fails(fake) ? -EIO : 0;
    if (result == 0) {
        store(fake, put->key, put->data, put->size);
        put->data = NULL;
        fake->commits++;
    }
    put_free(put);
    later(fake, batch_complete, op, result);
}

static void open_complete(struct pending *pending)
{
    struct bc_open_op *op = pending->op;
    op->done(op, pending->result);
}

static void get_open(struct bc_backend *backend, struct bc_open_op *op)
{
    struct fake_backend *fake = of(backend);
    char key[16] = {0};
    memcpy(key, op->key.key, bc_min_u64(op->key.key_len, sizeof(key) - 1));
    struct fake_object *object = fake_backend_find(fake, key);
    if (fails(fake)) {
        later(fake, open_complete, op, -EIO);
        return;
    }
    if (object == NULL) {
        later(fake, open_complete, op, -ENOENT);
        return;
    }
    struct bc_get *get = calloc(1, sizeof(*get));
    get->fake = fake;
    get->size = object->size;
    get->data = malloc(object->size + 1);
    memcpy(get->data, object->data, object->size);
    op->get = get;
    op->size = object->size;
    fake->gets_open++;
    later(fake, open_complete, op, 0);
}

static void get_chunk_complete(struct pending *pending)
{
    struct bc_get_op *op = pending->op;
    op->done(op, pending->result);
}

static int get_chunk(struct bc_get *get, struct bc_get_op *op)
{
    struct fake_backend *fake = get->fake;
    if (fake->busy) {
        return -EAGAIN;
    }
    BC_ASSERT(op->offset % BC_CRC_BLOCK_SIZE == 0 && op->offset + op->len <= get->size);
    if (fails(fake)) {
        later(fake, get_chunk_complete, op, -EBADMSG);
        return 0;
    }
    if (fake->view_max != 0 && op->len > fake->view_max) {
        op->len = fake->view_max;
    }
    op->data = get->data + op->offset;
    fake->views_open++;
    later(fake, get_chunk_complete, op, 0);
    return 0;
}

static void get_release(struct bc_get *get, struct bc_get_op *op)
{
    (void)op;
    get->fake->views_open--;
}

static void get_close(struct bc_get *get)
{
    get->fake->gets_open--;
    free(get->data);
    free(get);
}

static const struct bc_backend_ops backend_ops = {
    .name = "fake",
    .put_begin = put_begin,
    .put_lease = put_lease,
    .put_unlease = put_unlease,
    .put_chunk = put_chunk,
    .put_commit = put_commit,
    .put_abort = put_free,
    .get_open = get_open,
    .get_chunk = get_chunk,
    .get_release = get_release,
    .get_close = get_close,
};

void fake_backend_init(struct fake_backend *fake, struct bc_loop *loop)
{
    memset(fake, 0, sizeof(*fake));
    fake->backend.ops = &backend_ops;
    fake->loop = loop;
    bc_list_init(&fake->held);
}

void fake_backend_fini(struct fake_backend *fake)
{
    for (size_t i = 0; i < FAKE_OBJECTS_MAX; i++) {
        if (fake->objects[i].used) {
            free(fake->objects[i].data);
        }
    }
}
