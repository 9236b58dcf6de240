/* SPDX-License-Identifier: Apache-2.0 */
/* staging.h - the DPU's memory for data in flight and data cached: one pool per worker, leased as
 * extents. It is the agent's point of back-pressure.
 *
 *   pool: [ stream arena: the floor, only short leases ][ cache arena: extents that may stay ]
 *   extent: [ headroom 4 KiB ][ data: 4 KiB .. 8 MiB, 4 KiB aligned, rounded up to 4 KiB ]
 *
 * The headroom lies directly before the data, so a record header and its data are one I/O.
 * Extents are cut by a two-level segregated fit over 4 KiB pages with immediate coalescing: with
 * the headroom a plain power-of-two split would waste almost half (257 pages in a block of 512).
 * A stream lease takes from the cache arena only what is free there, and from the floor otherwise;
 * a cache lease never takes the floor: data in flight can always go on. Leases of the stream kind
 * are returned without waiting for another lease, so two half-done transfers cannot deadlock.
 *
 * Thread: owner loop only, asserted. Memory: the pool (huge pages when there are any, pre-faulted)
 * and its page table at create; nothing later. Lifetime: a lease is valid until returned; a stale
 * one is caught by its generation (asserted). Never blocks. */
#ifndef BC_STAGING_STAGING_H
#define BC_STAGING_STAGING_H

#include <stdbool.h>

#include "base/compiler.h"
#include "base/metrics.h"

BC_EXTERN_C_BEGIN

#define BC_STAGING_PAGE       4096u
#define BC_STAGING_HEADROOM   4096u
#define BC_STAGING_EXTENT_MAX (8u << 20)

enum bc_lease_class {
    BC_LEASE_STREAM = 0, /* data in flight */
    BC_LEASE_CACHE = 1,  /* may stay as a cached object */
};

struct bc_lease {
    uint32_t index;      /* first page of the extent, headroom included */
    uint32_t generation; /* never 0 for a valid lease */
};

struct bc_extent {
    struct bc_lease lease;
    uint8_t *data;         /* 4 KiB aligned; data - BC_STAGING_HEADROOM is usable as well */
    uint32_t capacity_len; /* bytes, multiple of 4 KiB, >= what was asked for */
    uint32_t len;          /* bytes in use; set by the user */
};

struct bc_staging_options {
    size_t pool_len;  /* bytes of this worker's pool, rounded down to 2 MiB; at least 4 MiB */
    size_t cache_len; /* bytes of it in the cache arena; the rest is the floor */
    bool huge_pages;  /* try 2 MiB pages first */
};

struct bc_staging;

/* -ENOMEM (the log says how much was asked for), -EINVAL. */
BC_MUST_USE int bc_staging_create(const struct bc_staging_options *options,
                                  struct bc_metrics *metrics, struct bc_staging **staging_out);
void bc_staging_destroy(struct bc_staging *staging); /* leases out are a bug (asserted) */

/* The whole pool, to be registered with the DMA engine. */
void bc_staging_memory(const struct bc_staging *staging, void **base_out, size_t *len_out);

/* -EAGAIN: nothing fits now; the released callback says when to retry. -E2BIG: it can never fit. */
BC_MUST_USE int bc_staging_lease(struct bc_staging *staging, enum bc_lease_class lease_class,
                                 size_t len_bytes, struct bc_extent *extent_out);
/* Asserts that the lease is not stale. */
void bc_staging_return(struct bc_staging *staging, struct bc_lease lease);
bool bc_staging_valid(const struct bc_staging *staging, struct bc_lease lease);

/* Called inside bc_staging_return when someone was told -EAGAIN since the last call: it should only
 * note the fact (defer the retry). One callback. */
void bc_staging_on_released(struct bc_staging *staging, void (*released)(void *arg), void *arg);

/* What a lease of len_bytes costs in pool bytes, headroom included. */
static inline uint64_t bc_staging_cost(uint64_t len_bytes)
{
    uint64_t data = (len_bytes + BC_STAGING_PAGE - 1) & ~(uint64_t)(BC_STAGING_PAGE - 1);
    return (data == 0 ? BC_STAGING_PAGE : data) + BC_STAGING_HEADROOM;
}
size_t bc_staging_free_len(const struct bc_staging *staging, enum bc_lease_class lease_class);
size_t bc_staging_cache_len(const struct bc_staging *staging);

BC_EXTERN_C_END

#endif
