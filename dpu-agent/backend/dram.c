/* SPDX-License-Identifier: Apache-2.0 */
/* dram.c - the backend `dram`: objects stay where the DMA engine put them, in the cache arena of
 * the staging pool; readers are lent that memory. Every read is verified against the checksums
 * taken when the object was written. Nothing survives the process.
 *
 * Thread: the owner of the loop. Memory: handles from pools made at create; the index's buckets
 * grow. The callback of the staging pool belongs to the backend. */
#include "backend/dram.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static struct dram_get *get_of(struct bc_get *get)
{
    return BC_CONTAINER_OF(get, struct dram_get, base);
}

static void dram_caps(const struct bc_backend *backend, struct bc_backend_caps *caps_out)
{
    const struct dram *dram = bc_dram_of(backend);
    uint64_t pieces = dram->capacity / bc_staging_cost(dram->piece_len);
    uint64_t rest = dram->capacity % bc_staging_cost(dram->piece_len);
    uint64_t size = pieces * dram->piece_len;

    if (rest > BC_STAGING_HEADROOM) {
        size += bc_align_down_u64(rest - BC_STAGING_HEADROOM, BC_STAGING_PAGE);
    }
    *caps_out = (struct bc_backend_caps){
        .object_size_max = bc_min_u64(size, BC_OBJECT_SIZE_MAX),
        .chunk_len_max = dram->chunk_len_max,
        .needs_polling = false,
    };
}

/* ---- gets ---- */

static void dram_get_open(struct bc_backend *backend, struct bc_open_op *op)
{
    struct dram *dram = bc_dram_of(backend);
    struct dram_object *object = bc_dram_find(dram, &op->key);
    struct dram_get *get;

    if (object == NULL) {
        bc_counter_add(&dram->counters.misses, 1);
        bc_later_open(dram->loop, op, -ENOENT);
        return;
    }
    if (bc_pool_used(&dram->put_pool) + bc_pool_used(&dram->get_pool) >= dram->handles_max) {
        bc_later_open(dram->loop, op, bc_ready_again(&dram->ready));
        return;
    }
    get = bc_pool_get(&dram->get_pool);
    *get = (struct dram_get){.base = {.backend = backend}, .object = object};
    bc_dram_pin(dram, object);
    bc_counter_add(&dram->counters.hits, 1);
    op->get = &get->base;
    op->size = object->size;
    op->version = object->version;
    memcpy(op->meta, object->meta, sizeof(op->meta));
    bc_later_open(dram->loop, op, 0);
}

/* Checks the blocks that hold [at, at + len) of the extent, whole ones. */
static bool verify(struct dram_extent *extent, uint32_t at, uint32_t len)
{
    uint32_t end = (uint32_t)bc_min_u64(bc_align_up_u64(at + len, BC_CRC_BLOCK_SIZE), extent->len);

    return bc_crc32c_check(bc_dram_data(extent) + at, end - at,
                           extent->crc + at / BC_CRC_BLOCK_SIZE) < 0;
}

static void drop_corrupt(struct dram *dram, struct dram_object *object, uint64_t offset)
{
    char name[128];

    if (object->corrupt) {
        return;
    }
    object->corrupt = true;
    bc_counter_add(&dram->counters.checksum_errors, 1);
    BC_ERROR("dram",
             "object %s: memory changed since it was written, near byte %llu; dropped. "
             "Check this machine's memory.",
             bc_log_key(name, sizeof(name), object->key, object->key_len),
             (unsigned long long)offset);
    if (object->indexed) {
        bc_dram_drop(dram, object);
    }
}

static int dram_get_chunk(struct bc_get *base, struct bc_get_op *op)
{
    struct dram_get *get = get_of(base);
    struct dram *dram = bc_dram_of(base->backend);
    struct dram_object *object = get->object;
    struct dram_extent *extent;
    uint32_t at;

    BC_ASSERT(op->offset % BC_CRC_BLOCK_SIZE == 0);
    if (op->len == 0 || op->offset >= object->size || op->len > object->size - op->offset) {
        bc_later_get(dram->loop, op, -ERANGE);
        return 0;
    }
    extent = bc_dram_extent_at(object, op->offset, get->hint);
    get->hint = extent;
    at = (uint32_t)(op->offset - extent->offset);
    op->len = (uint32_t)bc_min_u64(op->len, extent->len - at);
    if (!verify(extent, at, op->len)) {
        drop_corrupt(dram, object, op->offset);
        bc_later_get(dram->loop, op, -EBADMSG);
        return 0;
    }
    op->data = bc_dram_data(extent) + at;
    get->chunks++;
    bc_counter_add(&dram->counters.get_bytes, op->len);
    bc_later_get(dram->loop, op, 0);
    return 0;
}

static void dram_get_release(struct bc_get *base, struct bc_get_op *op)
{
    struct dram_get *get = get_of(base);

    BC_ASSERT(get->chunks > 0);
    get->chunks--;
    op->data = NULL;
}

static void dram_get_close(struct bc_get *base)
{
    struct dram_get *get = get_of(base);
    struct dram *dram = bc_dram_of(base->backend);

    BC_ASSERT(get->chunks == 0);
    bc_dram_unpin(dram, get->object);
    bc_pool_put(&dram->get_pool, get);
    bc_ready_signal(&dram->ready);
}

/* ---- batches ---- */

static void dram_query(struct bc_backend *backend, struct bc_batch_op *op)
{
    struct dram *dram = bc_dram_of(backend);

    for (uint32_t i = 0; i < op->count; i++) {
        const struct dram_object *object = bc_dram_find(dram, &op->keys[i]);

        op->results[i] = object == NULL ? (struct bc_object_result){.result = -ENOENT}
                                        : (struct bc_object_result){.result = 0,
                                                                    .size = object->size,
                                                                    .version = object->version};
    }
    bc_later_batch(dram->loop, op, 0);
}

static void dram_remove(struct bc_backend *backend, struct bc_batch_op *op)
{
    struct dram *dram = bc_dram_of(backend);

    for (uint32_t i = 0; i < op->count; i++) {
        struct dram_object *object = bc_dram_find(dram, &op->keys[i]);

        bc_dram_cancel_puts(dram, &op->keys[i]);
        if (object == NULL) {
            op->results[i] = (struct bc_object_result){.result = -ENOENT};
        } else {
            op->results[i] = (struct bc_object_result){
                .result = 0, .size = object->size, .version = object->version};
            bc_dram_detach(dram, object);
        }
    }
    bc_later_batch(dram->loop, op, 0);
}

struct dram_visit {
    bc_iterate_fn visit;
    void *arg;
};

static bool visit_object(void *arg, struct bc_hashmap_node *node)
{
    const struct dram_visit *visit = arg;
    const struct dram_object *object = BC_CONTAINER_OF(node, struct dram_object, node);
    struct bc_object_key key = {.tenant = object->tenant,
                                .key_len = object->key_len,
                                .key = object->key,
                                .hash = object->node.hash};

    return visit->visit(visit->arg, &key, object->size, object->version);
}

static void dram_iterate(struct bc_backend *backend, uint64_t *cursor, uint32_t count,
                         bc_iterate_fn visit, void *arg, struct bc_batch_op *op)
{
    struct dram *dram = bc_dram_of(backend);
    struct dram_visit each = {.visit = visit, .arg = arg};

    bc_index_walk(&dram->index, cursor, count, visit_object, &each);
    bc_later_batch(dram->loop, op, 0);
}

static void dram_flush(struct bc_backend *backend, struct bc_batch_op *op)
{
    /* There is no storage more stable than this. */
    bc_later_batch(bc_dram_of(backend)->loop, op, 0);
}

/* ---- life ---- */

static void drop_all(struct dram *dram)
{
    struct bc_list_node *node;

    while ((node = bc_list_first(&dram->lru)) != NULL) {
        bc_dram_detach(dram, BC_CONTAINER_OF(node, struct dram_object, lru_node));
    }
}

static void dram_stop(struct bc_backend *backend, struct bc_batch_op *op)
{
    struct dram *dram = bc_dram_of(backend);

    BC_ASSERT(bc_pool_used(&dram->put_pool) == 0 && bc_pool_used(&dram->get_pool) == 0);
    /* Here and not in destroy, which may run in another thread than the pool's owner. */
    drop_all(dram);
    /* Behind a ready call that may be queued: none comes after done. */
    bc_later_batch(dram->loop, op, 0);
}

static void dram_destroy(struct bc_backend *backend)
{
    struct dram *dram;

    if (backend == NULL) {
        return;
    }
    dram = bc_dram_of(backend);
    BC_ASSERT(!dram->ready.queued);
    bc_staging_on_released(dram->staging, NULL, NULL);
    drop_all(dram);
    BC_ASSERT(dram->used == 0 && dram->leased == 0);
    bc_pool_fini(&dram->get_pool);
    bc_pool_fini(&dram->put_pool);
    bc_hashmap_fini(&dram->puts);
    bc_hashmap_fini(&dram->index);
    bc_dram_group_fini(dram);
    free(dram);
}

static void staging_released(void *arg)
{
    struct dram *dram = arg;

    if (!dram->giving_back) {
        bc_ready_signal(&dram->ready);
    }
}

static const struct bc_backend_ops dram_ops = {
    .name = "dram",
    .caps = dram_caps,
    .put_begin = bc_dram_put_begin,
    .put_lease = bc_dram_put_lease,
    .put_unlease = bc_dram_put_unlease,
    .put_chunk = bc_dram_put_chunk,
    .put_commit = bc_dram_put_commit,
    .put_abort = bc_dram_put_abort,
    .get_open = dram_get_open,
    .get_chunk = dram_get_chunk,
    .get_release = dram_get_release,
    .get_close = dram_get_close,
    .query = dram_query,
    .remove = dram_remove,
    .iterate = dram_iterate,
    .group_drop = bc_dram_group_drop,
    .group_told = bc_dram_group_told,
    .flush = dram_flush,
    .stop = dram_stop,
    .destroy = dram_destroy,
};

static const struct bc_store_metric dram_metrics[] = {BC_STORE_METRICS("dram")};

static int dram_init_tables(struct dram *dram, const struct bc_backend_env *env)
{
    int rc = bc_hashmap_init(&dram->index, 1024);

    if (rc != 0) {
        return rc;
    }
    rc = bc_hashmap_init(&dram->puts, env->handles_max);
    if (rc != 0) {
        goto err_index;
    }
    rc = bc_pool_init(&dram->put_pool, env->handles_max, sizeof(struct dram_put));
    if (rc != 0) {
        goto err_puts;
    }
    rc = bc_pool_init(&dram->get_pool, env->handles_max, sizeof(struct dram_get));
    if (rc != 0) {
        goto err_put_pool;
    }
    rc = bc_groups_init(&dram->groups, &dram->base, env->group_clock);
    if (rc != 0) {
        goto err_get_pool;
    }
    return 0;

err_get_pool:
    bc_pool_fini(&dram->get_pool);
err_put_pool:
    bc_pool_fini(&dram->put_pool);
err_puts:
    bc_hashmap_fini(&dram->puts);
err_index:
    bc_hashmap_fini(&dram->index);
    return rc;
}

static int dram_create(const struct bc_backend_env *env, void *store,
                       struct bc_options_error *error_out, struct bc_backend **backend_out)
{
    uint64_t cache_len = bc_staging_cache_len(env->staging);
    struct dram *dram;
    int rc;

    (void)store;
    if (bc_min_u64(env->capacity, cache_len) < bc_staging_cost(BC_CRC_BLOCK_SIZE)) {
        (void)snprintf(error_out->text, sizeof(error_out->text),
                       "dram: %llu bytes of cache for a worker are too few; give more with -m or "
                       "--capacity.",
                       (unsigned long long)bc_min_u64(env->capacity, cache_len));
        return -EINVAL;
    }
    dram = calloc(1, sizeof(*dram));
    if (dram == NULL) {
        goto err_memory;
    }
    dram->base.ops = &dram_ops;
    dram->loop = env->loop;
    dram->staging = env->staging;
    dram->capacity = bc_min_u64(env->capacity, cache_len);
    dram->handles_max = env->handles_max;
    dram->piece_len = BC_DRAM_PIECE_LEN;
    dram->chunk_len_max = BC_STAGING_EXTENT_MAX;
    while (dram->chunk_len_max > BC_CRC_BLOCK_SIZE &&
           bc_staging_cost(dram->chunk_len_max) > dram->capacity) {
        dram->chunk_len_max /= 2;
    }
    bc_list_init(&dram->lru);
    bc_ready_init(&dram->ready, &dram->base, env->loop);
    bc_counter_set(&dram->counters.capacity_bytes, (int64_t)dram->capacity);
    if (dram_init_tables(dram, env) != 0) {
        goto err_free;
    }
    rc = bc_store_counters_register(&dram->counters, dram_metrics, BC_ARRAY_LEN(dram_metrics),
                                    env->metrics);
    BC_ASSERT(rc == 0 || rc == -ENOMEM);
    if (rc != 0) {
        goto err_tables;
    }
    bc_staging_on_released(env->staging, staging_released, dram);
    *backend_out = &dram->base;
    return 0;

err_tables:
    bc_groups_fini(&dram->groups);
    bc_pool_fini(&dram->get_pool);
    bc_pool_fini(&dram->put_pool);
    bc_hashmap_fini(&dram->puts);
    bc_hashmap_fini(&dram->index);
err_free:
    free(dram);
err_memory:
    (void)snprintf(error_out->text, sizeof(error_out->text), "dram: out of memory at start.");
    return -ENOMEM;
}

const struct bc_backend_type bc_backend_dram = {
    .name = "dram",
    .open_store = NULL,
    .close_store = NULL,
    .create = dram_create,
};
