/* SPDX-License-Identifier: Apache-2.0 */
/* posix.c - the backend `posix`: one file per object on any file system. See posix.h for its parts
 * and docs/internals/posix-format.md for the files.
 *
 * What a crash leaves: a process that is killed loses nothing that was committed. Nothing is
 * flushed unless flush is called, so after a power cut objects may be gone, torn (found by their
 * checksums and dropped), or, when removed or replaced since the last flush, back again.
 *
 * Thread: the owner of the loop. Memory: at create, but for the index. The callback of the staging
 * pool belongs to the backend. */
#include "backend/posix.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static void posix_caps(const struct bc_backend *backend, struct bc_backend_caps *caps_out)
{
    const struct posix *posix = bc_posix_of(backend);
    uint64_t size =
        bc_align_down_u64(bc_min_u64(posix->capacity, BC_OBJECT_SIZE_MAX), BC_POSIX_BLOCK);

    /* Footer and table are a few blocks. */
    while (size > 0 && bc_posix_file_len(size) > posix->capacity) {
        size -= BC_POSIX_BLOCK;
    }
    *caps_out = (struct bc_backend_caps){
        .object_size_max = size, .chunk_len_max = posix->chunk_len_max, .needs_polling = false};
}

/* ---- stop ---- */

static bool all_quiet(const struct posix *posix)
{
    return bc_pool_used(&posix->put_pool) == 0 && bc_pool_used(&posix->get_pool) == 0 &&
           bc_pool_used(&posix->spare_pool) == 0 && posix->unlinks_in_flight == 0 &&
           bc_list_empty(&posix->doomed) && posix->slots_free.count == posix->slot_count &&
           !posix->flush.busy && posix->iterate.op == NULL && bc_list_empty(&posix->removals);
}

void bc_posix_check_stop(struct posix *posix)
{
    struct bc_batch_op *op = posix->stop_op;

    if (posix->stopping && op != NULL && all_quiet(posix)) {
        posix->stop_op = NULL;
        /* Behind a ready call that may be queued: none comes after done. */
        bc_later_batch(posix->loop, op, 0);
    }
}

static void posix_stop(struct bc_backend *backend, struct bc_batch_op *op)
{
    struct posix *posix = bc_posix_of(backend);

    BC_ASSERT(posix->handles == 0 && posix->groups.lent == 0 && !posix->stopping);
    bc_posix_lost_stop(posix);
    posix->stopping = true;
    posix->stop_op = op;
    posix->slots_idle_max = 0;
    bc_posix_slots_close_idle(posix);
    (void)bc_posix_spares_drop(posix, UINT64_MAX);
    bc_posix_check_stop(posix);
}

/* ---- create and destroy ---- */

static void free_tables(struct posix *posix)
{
    free(posix->tables);
    free(posix->footers);
    free(posix->slots);
    bc_pool_fini(&posix->spare_pool);
    bc_pool_fini(&posix->unlink_pool);
    bc_pool_fini(&posix->io_pool);
    bc_pool_fini(&posix->get_pool);
    bc_pool_fini(&posix->put_pool);
    bc_pool_fini(&posix->name_pool);
    bc_hashmap_fini(&posix->puts);
    bc_hashmap_fini(&posix->names);
    bc_groups_fini(&posix->groups);
    bc_posix_index_fini(posix);
}

static void posix_destroy(struct bc_backend *backend)
{
    struct posix *posix;

    if (backend == NULL) {
        return;
    }
    posix = bc_posix_of(backend);
    BC_ASSERT(!posix->ready.queued && posix->stop_op == NULL && all_quiet(posix));
    bc_staging_on_released(posix->staging, NULL, NULL);
    bc_posix_lost_stop(posix);
    free_tables(posix);
    free(posix);
}

static const struct bc_backend_ops posix_ops = {
    .name = "posix",
    .caps = posix_caps,
    .put_begin = bc_posix_put_begin,
    .put_lease = bc_posix_put_lease,
    .put_unlease = bc_posix_put_unlease,
    .put_chunk = bc_posix_put_chunk,
    .put_commit = bc_posix_put_commit,
    .put_abort = bc_posix_put_abort,
    .get_open = bc_posix_get_open,
    .get_chunk = bc_posix_get_chunk,
    .get_release = bc_posix_get_release,
    .get_close = bc_posix_get_close,
    .query = bc_posix_query,
    .remove = bc_posix_remove,
    .iterate = bc_posix_iterate,
    .group_drop = bc_posix_group_drop,
    .group_told = bc_posix_group_told,
    .flush = bc_posix_flush,
    .stop = posix_stop,
    .destroy = posix_destroy,
};

static const struct bc_store_metric posix_metrics[] = {BC_STORE_METRICS("posix")};

static void staging_released(void *arg)
{
    struct posix *posix = arg;

    bc_ready_signal(&posix->ready);
}

/* Half of what the process may open is for others. */
static uint32_t idle_slots(const struct posix *posix)
{
    struct rlimit files;
    uint64_t share;

    if (getrlimit(RLIMIT_NOFILE, &files) != 0) {
        return 0;
    }
    share = (uint64_t)files.rlim_cur / 2 / posix->workers;
    share = share > 3 * (uint64_t)posix->handles_max ? share - 3 * (uint64_t)posix->handles_max : 0;
    return (uint32_t)bc_min_u64(share, BC_POSIX_SLOTS_IDLE);
}

/* The largest extent that the pool can lease, in whole checksum blocks. */
static uint32_t largest_chunk(const struct bc_staging *staging)
{
    uint64_t cache_len = bc_staging_cache_len(staging);
    void *base;
    size_t len;
    uint64_t arena;

    bc_staging_memory(staging, &base, &len);
    arena = bc_max_u64(cache_len, len - cache_len) - BC_STAGING_HEADROOM;
    return (uint32_t)bc_align_down_u64(bc_min_u64(arena, BC_STAGING_EXTENT_MAX), BC_CRC_BLOCK_SIZE);
}

static int init_slots(struct posix *posix)
{
    posix->slots_idle_max = idle_slots(posix);
    posix->slot_count = posix->slots_idle_max + posix->handles_max + 1 + BC_POSIX_SLOTS_CLOSING;
    posix->slots = calloc(posix->slot_count, sizeof(*posix->slots));
    if (posix->slots == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < posix->slot_count; i++) {
        posix->slots[i].posix = posix;
        posix->slots[i].fd = -1;
        bc_list_push_back(&posix->slots_free, &posix->slots[i].node);
    }
    return 0;
}

static int init_buffers(struct posix *posix)
{
    size_t footers = (size_t)posix->put_pool.count + posix->get_pool.count;
    void *memory = NULL;

    if (posix_memalign(&memory, BC_POSIX_BLOCK, footers * BC_POSIX_BLOCK) != 0) {
        return -ENOMEM;
    }
    posix->footers = memory;
    if (posix_memalign(&memory, BC_POSIX_BLOCK, BC_POSIX_TABLES_MAX * BC_POSIX_TABLE_LEN_MAX) !=
        0) {
        return -ENOMEM;
    }
    posix->tables = memory;
    for (uint32_t i = 0; i < BC_POSIX_TABLES_MAX; i++) {
        posix->free_tables[posix->free_table_count++] =
            (uint32_t *)(void *)(posix->tables + (size_t)i * BC_POSIX_TABLE_LEN_MAX);
    }
    return 0;
}

static int init_tables(struct posix *posix, uint64_t *group_clock)
{
    /* An aborted put keeps its handle until its file is gone. */
    uint32_t puts = 2 * posix->handles_max;
    uint32_t gets = posix->handles_max + 1; /* iterate's */
    int rc = bc_posix_index_init(posix);

    rc = rc != 0 ? rc : bc_groups_init(&posix->groups, &posix->base, group_clock);
    bc_list_init(&posix->slots_free);
    bc_list_init(&posix->slots_idle);
    bc_list_init(&posix->slot_waiters);
    bc_list_init(&posix->table_waiters);
    bc_list_init(&posix->retries);
    bc_list_init(&posix->spares);
    bc_posix_batch_init(posix);
    rc = rc != 0 ? rc : bc_hashmap_init(&posix->names, puts + gets);
    rc = rc != 0 ? rc : bc_hashmap_init(&posix->puts, puts);
    rc = rc != 0 ? rc
                 : bc_pool_init(&posix->name_pool, puts + gets + BC_POSIX_UNLINKS_MAX,
                                sizeof(struct posix_name));
    rc = rc != 0 ? rc : bc_pool_init(&posix->put_pool, puts, sizeof(struct posix_put));
    rc = rc != 0 ? rc : bc_pool_init(&posix->get_pool, gets, sizeof(struct posix_get));
    rc = rc != 0 ? rc : bc_pool_init(&posix->io_pool, BC_POSIX_IOS_MAX, sizeof(struct posix_io));
    rc = rc != 0
             ? rc
             : bc_pool_init(&posix->unlink_pool, BC_POSIX_UNLINKS_MAX, sizeof(struct posix_unlink));
    rc = rc != 0
             ? rc
             : bc_pool_init(&posix->spare_pool, BC_POSIX_SPARES_MAX, sizeof(struct posix_spare));
    rc = rc != 0 ? rc : init_slots(posix);
    return rc != 0 ? rc : init_buffers(posix);
}

static int posix_create(const struct bc_backend_env *env, void *store,
                        struct bc_options_error *error_out, struct bc_backend **backend_out)
{
    struct posix *posix = calloc(1, sizeof(*posix));
    int rc = -ENOMEM;

    if (posix == NULL) {
        goto err_memory;
    }
    posix->base.ops = &posix_ops;
    posix->loop = env->loop;
    posix->files = env->files;
    posix->staging = env->staging;
    posix->store = store;
    posix->worker = env->worker;
    posix->workers = env->workers;
    posix->handles_max = env->handles_max;
    posix->capacity = bc_align_down_u64(env->capacity, BC_POSIX_BLOCK);
    posix->chunk_len_max = largest_chunk(env->staging);
    bc_ready_init(&posix->ready, &posix->base, env->loop);
    bc_counter_set(&posix->counters.capacity_bytes, (int64_t)posix->capacity);
    if (posix->capacity < bc_posix_file_len(BC_CRC_BLOCK_SIZE) || posix->chunk_len_max == 0) {
        rc = -EINVAL;
        (void)snprintf(
            error_out->text, sizeof(error_out->text),
            "posix: a worker has %llu bytes of capacity and chunks of %u bytes; give more "
            "with --capacity or -m.",
            (unsigned long long)posix->capacity, posix->chunk_len_max);
        free(posix);
        return rc;
    }
    rc = init_tables(posix, env->group_clock);
    if (rc == 0) {
        rc = bc_store_counters_register(&posix->counters, posix_metrics,
                                        BC_ARRAY_LEN(posix_metrics), env->metrics);
    }
    if (rc == 0 && env->metrics != NULL) {
        rc = bc_metrics_add_counter(env->metrics, BC_METRIC_GAUGE, "bluecache_posix_spare_files",
                                    "Files of evicted objects kept to be written anew.",
                                    &posix->spare_files);
    }
    if (rc != 0) {
        goto err_tables;
    }
    rc = bc_posix_recover(posix, error_out);
    if (rc != 0) {
        free_tables(posix);
        free(posix);
        return rc;
    }
    bc_staging_on_released(env->staging, staging_released, posix);
    bc_posix_lost_start(posix);
    *backend_out = &posix->base;
    return 0;

err_tables:
    free_tables(posix);
    free(posix);
err_memory:
    (void)snprintf(error_out->text, sizeof(error_out->text), "posix: out of memory at start.");
    return rc;
}

const struct bc_backend_type bc_backend_posix = {
    .name = "posix",
    .open_store = bc_posix_open_store,
    .close_store = bc_posix_close_store,
    .create = posix_create,
};
