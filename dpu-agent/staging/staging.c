/* SPDX-License-Identifier: Apache-2.0 */
/* staging.c - leases over two arenas of one pool; see staging.h.
 *
 * Invariants: the floor is rows [0, floor), the cache arena the rest; a lease's generation is that
 * of its first row, changed by every lease that begins there. With AddressSanitizer what is not
 * leased is poisoned, so a late copy into a returned extent is reported where it happens. */
#include "staging/staging.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "staging/memory.h"
#include "staging/pages.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define POISON(base, len)   __asan_poison_memory_region((base), (len))
#define UNPOISON(base, len) __asan_unpoison_memory_region((base), (len))
#else
#define POISON(base, len)   ((void)(base), (void)(len))
#define UNPOISON(base, len) ((void)(base), (void)(len))
#endif

#define POOL_LEN_MIN     ((size_t)4 << 20)
#define EXTENT_PAGES_MIN 2u /* headroom and one page of data */

BC_STATIC_ASSERT(BC_STAGING_EXTENT_MAX / BC_STAGING_PAGE + 1 < BC_PAGES_EXACT,
                 "every extent's size has a list of its own");

struct bc_staging {
    uint8_t *base;
    size_t len;
    struct bc_page *table;
    uint32_t leases; /* out */
    bool refused;    /* someone was told -EAGAIN since `released` was called */
    bool bound;
    pthread_t owner;
    void (*released)(void *arg);
    void *released_arg;
    struct bc_counter pool_bytes;
    struct bc_counter free_bytes;
    struct bc_counter leases_total[2];
    struct bc_counter floor_leases_total;
    struct bc_counter refused_total;
    struct bc_pages floor;
    struct bc_pages cache;
};

/* Who leases first owns the pool: it is made before the workers' threads. */
static void assert_owner(struct bc_staging *staging)
{
    if (!staging->bound) {
        staging->bound = true;
        staging->owner = pthread_self();
    }
    BC_DASSERT(pthread_equal(staging->owner, pthread_self()));
}

static void count_free(struct bc_staging *staging)
{
    uint64_t pages = (uint64_t)staging->floor.free_count + staging->cache.free_count;

    bc_counter_set(&staging->free_bytes, (int64_t)(pages * BC_STAGING_PAGE));
}

static int register_metrics(struct bc_staging *staging, struct bc_metrics *metrics)
{
    const struct bc_counter_row rows[] = {
        {BC_METRIC_GAUGE, "bluecache_staging_pool_bytes", "Staging memory", &staging->pool_bytes},
        {BC_METRIC_GAUGE, "bluecache_staging_free_bytes", "Staging memory that is not leased",
         &staging->free_bytes},
        {BC_METRIC_COUNTER, "bluecache_staging_stream_leases_total", "Leases for data in flight",
         &staging->leases_total[BC_LEASE_STREAM]},
        {BC_METRIC_COUNTER, "bluecache_staging_cache_leases_total", "Leases for cached objects",
         &staging->leases_total[BC_LEASE_CACHE]},
        {BC_METRIC_COUNTER, "bluecache_staging_floor_leases_total",
         "Leases for data in flight that had to take from the floor", &staging->floor_leases_total},
        {BC_METRIC_COUNTER, "bluecache_staging_refused_total", "Leases refused for lack of room",
         &staging->refused_total},
    };

    return bc_metrics_add_counters(metrics, rows, BC_ARRAY_LEN(rows));
}

static void init_arenas(struct bc_staging *staging, size_t cache_len)
{
    uint32_t pages = (uint32_t)(staging->len / BC_STAGING_PAGE);
    uint32_t cache_pages = (uint32_t)(cache_len / BC_STAGING_PAGE);

    bc_pages_init(&staging->floor, staging->table, 0, pages - cache_pages);
    bc_pages_init(&staging->cache, staging->table, pages - cache_pages, cache_pages);
    POISON(staging->base, staging->len);
    bc_counter_set(&staging->pool_bytes, (int64_t)staging->len);
    count_free(staging);
}

int bc_staging_create(const struct bc_staging_options *options, struct bc_metrics *metrics,
                      struct bc_staging **staging_out)
{
    size_t len = (size_t)bc_align_down_u64(options->pool_len, BC_MEMORY_HUGE_PAGE);
    size_t cache_len = (size_t)bc_align_down_u64(options->cache_len, BC_STAGING_PAGE);
    struct bc_staging *staging;
    const char *kind = "";
    void *base = NULL;
    int rc;

    if (len < POOL_LEN_MIN || len / BC_STAGING_PAGE >= (UINT32_C(1) << 29) ||
        cache_len > len - (size_t)EXTENT_PAGES_MIN * BC_STAGING_PAGE) {
        return -EINVAL;
    }
    staging = calloc(1, sizeof(*staging));
    if (staging == NULL) {
        return -ENOMEM;
    }
    staging->len = len;
    staging->table = calloc(len / BC_STAGING_PAGE, sizeof(staging->table[0]));
    if (staging->table == NULL) {
        rc = -ENOMEM;
        goto err_free;
    }
    rc = bc_memory_map(len, options->huge_pages, &base, &kind);
    if (rc != 0) {
        goto err_free_table;
    }
    staging->base = base;
    init_arenas(staging, cache_len);
    rc = register_metrics(staging, metrics);
    if (rc != 0) {
        goto err_unmap;
    }
    BC_INFO("staging", "pool of %zu MiB on %s, %zu MiB of it for cached objects", len >> 20, kind,
            cache_len >> 20);
    *staging_out = staging;
    return 0;

err_unmap:
    UNPOISON(staging->base, len);
    bc_memory_unmap(base, len);
err_free_table:
    free(staging->table);
err_free:
    free(staging);
    BC_ERROR("staging", "cannot get %zu MiB of staging memory: %s; ask for less with -m", len >> 20,
             strerror(-rc));
    return rc;
}

void bc_staging_destroy(struct bc_staging *staging)
{
    if (staging == NULL) {
        return;
    }
    BC_ASSERT(staging->leases == 0);
    UNPOISON(staging->base, staging->len);
    bc_memory_unmap(staging->base, staging->len);
    free(staging->table);
    free(staging);
}

void bc_staging_memory(const struct bc_staging *staging, void **base_out, size_t *len_out)
{
    *base_out = staging->base;
    *len_out = staging->len;
}

static bool take(struct bc_staging *staging, enum bc_lease_class lease_class, uint32_t pages,
                 uint32_t *index_out)
{
    /* Short leases gather at the arena's end, so that they leave no holes between those that
     * stay. */
    bool stream = lease_class == BC_LEASE_STREAM;

    if (bc_pages_take(&staging->cache, pages, stream, index_out)) {
        return true;
    }
    if (stream && bc_pages_take(&staging->floor, pages, false, index_out)) {
        bc_counter_add(&staging->floor_leases_total, 1);
        return true;
    }
    return false;
}

static uint32_t arena_pages(const struct bc_pages *pages)
{
    return pages->end - pages->first;
}

int bc_staging_lease(struct bc_staging *staging, enum bc_lease_class lease_class, size_t len_bytes,
                     struct bc_extent *extent_out)
{
    uint32_t pages;
    uint32_t most = arena_pages(&staging->cache);
    uint32_t index;
    struct bc_page *row;

    assert_owner(staging);
    if (lease_class == BC_LEASE_STREAM) {
        most = (uint32_t)bc_max_u64(most, arena_pages(&staging->floor));
    }
    if (len_bytes > BC_STAGING_EXTENT_MAX) {
        return -E2BIG;
    }
    pages = (uint32_t)(bc_staging_cost(len_bytes) / BC_STAGING_PAGE);
    if (pages > most) {
        return -E2BIG;
    }
    if (!take(staging, lease_class, pages, &index)) {
        staging->refused = true;
        bc_counter_add(&staging->refused_total, 1);
        return -EAGAIN;
    }
    row = &staging->table[index];
    row->generation = row->generation == UINT32_MAX ? 1 : row->generation + 1;
    staging->leases++;
    bc_counter_add(&staging->leases_total[lease_class], 1);
    count_free(staging);
    extent_out->lease.index = index;
    extent_out->lease.generation = row->generation;
    extent_out->data = staging->base + (size_t)index * BC_STAGING_PAGE + BC_STAGING_HEADROOM;
    extent_out->capacity_len = pages * BC_STAGING_PAGE - BC_STAGING_HEADROOM;
    extent_out->len = 0;
    UNPOISON(extent_out->data - BC_STAGING_HEADROOM, (size_t)pages * BC_STAGING_PAGE);
    return 0;
}

void bc_staging_return(struct bc_staging *staging, struct bc_lease lease)
{
    struct bc_pages *arena;
    uint32_t pages;

    assert_owner(staging);
    BC_ASSERT(bc_staging_valid(staging, lease));
    arena = lease.index < staging->floor.end ? &staging->floor : &staging->cache;
    pages = bc_pages_give(arena, lease.index);
    POISON(staging->base + (size_t)lease.index * BC_STAGING_PAGE, (size_t)pages * BC_STAGING_PAGE);
    staging->leases--;
    count_free(staging);
    if (staging->refused && staging->released != NULL) {
        staging->refused = false;
        staging->released(staging->released_arg);
    }
}

bool bc_staging_valid(const struct bc_staging *staging, struct bc_lease lease)
{
    return lease.index < staging->cache.end && lease.generation != 0 &&
           staging->table[lease.index].generation == lease.generation &&
           bc_page_used(&staging->table[lease.index]);
}

void bc_staging_on_released(struct bc_staging *staging, void (*released)(void *arg), void *arg)
{
    staging->released = released;
    staging->released_arg = arg;
}

size_t bc_staging_free_len(const struct bc_staging *staging, enum bc_lease_class lease_class)
{
    uint64_t pages = staging->cache.free_count;

    if (lease_class == BC_LEASE_STREAM) {
        pages += staging->floor.free_count;
    }
    return (size_t)(pages * BC_STAGING_PAGE);
}

size_t bc_staging_cache_len(const struct bc_staging *staging)
{
    return (size_t)arena_pages(&staging->cache) * BC_STAGING_PAGE;
}
