/* SPDX-License-Identifier: Apache-2.0 */
/* dram_put.c - puts of `dram`: reserve, lease, checksum, publish.
 *
 * A put reserves its whole cost when it begins, so that the bytes are there. What can still be
 * missing is a hole large enough: then smaller extents are taken, then more objects are evicted. If
 * even that fails, the put waits as long as a reader or a put that needs no more extents will
 * release something; puts that all wait for one another would wait for ever, so one of them is told
 * -ENOSPC instead. Thread: the owner of the loop. Memory: handles from a pool. */
#include "backend/dram.h"

#include <errno.h>
#include <string.h>

/* Objects evicted for the sake of a large extent before a smaller one is taken. */
#define EVICT_FOR_LEN_MAX 4

static struct dram_put *put_of(struct bc_put *put)
{
    return BC_CONTAINER_OF(put, struct dram_put, base);
}

uint64_t bc_dram_cost(const struct dram *dram, uint64_t size)
{
    uint64_t rest = size % dram->piece_len;
    uint64_t cost = size / dram->piece_len * bc_staging_cost(dram->piece_len);

    return rest > 0 || size == 0 ? cost + bc_staging_cost(rest) : cost;
}

/* An extent record at the end of the put's chain, or where its offset belongs. */
static void chain_insert(struct dram_put *put, struct dram_extent *extent)
{
    struct dram_extent *before = put->last;

    while (before != NULL && before->offset > extent->offset) {
        before = before->prev;
    }
    extent->prev = before;
    extent->next = before == NULL ? put->first : before->next;
    *(extent->next == NULL ? &put->last : &extent->next->prev) = extent;
    *(before == NULL ? &put->first : &before->next) = extent;
    put->extent_count++;
}

/* Tells which memory of the pool may come free without any put getting more of it. */
static bool something_moves(const struct dram *dram)
{
    uint64_t cache_len = bc_staging_cache_len(dram->staging);
    uint64_t taken = cache_len - bc_staging_free_len(dram->staging, BC_LEASE_CACHE);

    return bc_pool_used(&dram->get_pool) > 0 || dram->puts_complete > 0 || taken > dram->leased;
}

/* A lease of exactly `len` bytes, evicting at most `evict_max` objects for it. */
static int lease_len(struct dram *dram, uint32_t len, uint32_t evict_max,
                     struct bc_extent *extent_out)
{
    uint32_t evicted = 0;
    int rc;

    while ((rc = bc_staging_lease(dram->staging, BC_LEASE_CACHE, len, extent_out)) == -EAGAIN) {
        if (evicted == evict_max || !bc_dram_evict_one(dram)) {
            break;
        }
        evicted++;
    }
    return rc;
}

/* The accounts for an extent of `len` bytes when `left` bytes of the object stay to be leased. */
static bool charge(struct dram *dram, struct dram_put *put, uint32_t len, uint64_t left)
{
    uint64_t reserved = left > 0 ? bc_dram_cost(dram, left) : 0;
    uint64_t now = bc_staging_cost(len) + reserved;

    if (now > put->reserved && !bc_dram_make_room(dram, now - put->reserved)) {
        return false;
    }
    bc_dram_set_used(dram, dram->used + now - put->reserved);
    put->reserved = reserved;
    put->cost += bc_staging_cost(len);
    dram->leased += bc_staging_cost(len);
    return true;
}

/* The largest extent to be had, from `want` bytes down to one checksum block. */
static int lease_some(struct dram *dram, uint32_t want, struct bc_extent *extent_out)
{
    uint32_t len = want;
    int rc;

    while (true) {
        bool least = len <= BC_CRC_BLOCK_SIZE;

        rc = lease_len(dram, len, least ? UINT32_MAX : EVICT_FOR_LEN_MAX, extent_out);
        if (rc == 0 || least) {
            break;
        }
        len = (uint32_t)bc_align_up_u64(len / 2, BC_CRC_BLOCK_SIZE);
    }
    if (rc == 0) {
        BC_DASSERT(bc_staging_cost(extent_out->capacity_len) == bc_staging_cost(len));
        extent_out->len = len;
    }
    return rc;
}

static void note_complete(struct dram *dram, struct dram_put *put)
{
    bool complete = put->leased_len == put->size;

    if (complete != put->complete) {
        put->complete = complete;
        dram->puts_complete += complete ? 1 : (uint32_t)-1;
    }
}

static int take_extent(struct dram *dram, struct dram_put *put, uint32_t want,
                       struct bc_extent *extent_out)
{
    int rc = lease_some(dram, want, extent_out);

    if (rc == 0) {
        uint64_t left = put->size - put->leased_len - bc_min_u64(extent_out->len, put->size);

        if (!charge(dram, put, extent_out->len, left)) {
            /* No news for those who wait: it was there before. */
            dram->giving_back = true;
            bc_staging_return(dram->staging, extent_out->lease);
            dram->giving_back = false;
            rc = -EAGAIN;
        }
    }
    if (rc == 0) {
        put->leased_len += extent_out->len;
        note_complete(dram, put);
        return 0;
    }
    if (rc == -EAGAIN && something_moves(dram)) {
        return bc_ready_again(&dram->ready);
    }
    return -ENOSPC;
}

static struct dram_extent *extent_record(const struct bc_extent *lease, uint64_t offset)
{
    struct dram_extent *extent = (struct dram_extent *)(void *)(lease->data - BC_STAGING_HEADROOM);

    extent->next = NULL;
    extent->prev = NULL;
    extent->lease = lease->lease;
    extent->offset = offset;
    extent->len = lease->len;
    extent->capacity_len = lease->capacity_len;
    return extent;
}

static void put_free(struct dram *dram, struct dram_put *put)
{
    BC_ASSERT(put->leases_out == 0);
    if (put->complete) {
        dram->puts_complete--;
    }
    bc_dram_set_used(dram, dram->used - put->reserved);
    bc_hashmap_remove(&dram->puts, &put->node);
    bc_dram_member_free(dram, put->member);
    bc_pool_put(&dram->put_pool, put);
    bc_ready_signal(&dram->ready);
}

/* An object without data has one extent as well, for its record. */
static int lease_record(struct dram *dram, struct dram_put *put)
{
    struct bc_extent lease;
    int rc = take_extent(dram, put, BC_STAGING_PAGE, &lease);

    if (rc == 0) {
        lease.len = 0;
        put->leased_len = 0;
        note_complete(dram, put);
        chain_insert(put, extent_record(&lease, 0));
    }
    return rc;
}

/* The record of its group's member, when it has one. */
static int take_member(struct dram *dram, const struct bc_object_key *key,
                       const struct bc_put_hints *hints, struct dram_member **member_out)
{
    *member_out = NULL;
    if (hints == NULL || hints->group == 0) {
        return 0;
    }
    *member_out = bc_dram_member_new(dram);
    if (*member_out == NULL) {
        return -ENOMEM;
    }
    bc_group_member_init(&(*member_out)->group, key, hints);
    return 0;
}

int bc_dram_put_begin(struct bc_backend *backend, const struct bc_object_key *key, uint64_t size,
                      const struct bc_put_hints *hints, struct bc_put **put_out)
{
    struct dram *dram = bc_dram_of(backend);
    uint64_t need = bc_dram_cost(dram, size);
    struct dram_member *member;
    struct dram_put *put;
    int rc;

    if (size > BC_OBJECT_SIZE_MAX) {
        return -EFBIG;
    }
    if (need > dram->capacity) {
        return -ENOSPC;
    }
    if (bc_pool_used(&dram->put_pool) + bc_pool_used(&dram->get_pool) >= dram->handles_max ||
        !bc_dram_make_room(dram, need)) {
        return bc_ready_again(&dram->ready);
    }
    rc = take_member(dram, key, hints, &member);
    if (rc != 0) {
        return rc;
    }
    put = bc_pool_get(&dram->put_pool);
    *put = (struct dram_put){
        .base = {.backend = backend},
        .node = {.hash = key->hash},
        .size = size,
        .reserved = need,
        .member = member,
        .tenant = key->tenant,
        .key_len = key->key_len,
    };
    memcpy(put->key, key->key, key->key_len);
    if (hints != NULL && hints->meta != NULL) {
        memcpy(put->meta, hints->meta, sizeof(put->meta));
    }
    bc_dram_set_used(dram, dram->used + need);
    bc_hashmap_insert(&dram->puts, &put->node);
    if (size == 0) {
        rc = lease_record(dram, put);
        if (rc != 0) {
            put_free(dram, put);
            return rc;
        }
    }
    *put_out = &put->base;
    return 0;
}

int bc_dram_put_lease(struct bc_put *base, uint64_t offset, uint32_t want_len,
                      struct bc_extent *extent_out)
{
    struct dram_put *put = put_of(base);
    struct dram *dram = bc_dram_of(base->backend);
    struct bc_extent lease;
    uint64_t want;
    int rc;

    BC_ASSERT(want_len > 0 && offset % BC_CRC_BLOCK_SIZE == 0 && offset < put->size &&
              put->leased_len < put->size);
    if (want_len < put->size - offset && want_len < dram->piece_len) {
        /* Each extent costs its headroom: from now on puts reserve for chunks of this size. */
        dram->piece_len = (uint32_t)bc_align_up_u64(want_len, BC_CRC_BLOCK_SIZE);
    }
    want = bc_min_u64(bc_min_u64(want_len, dram->chunk_len_max), put->size - offset);
    rc = take_extent(dram, put, (uint32_t)want, &lease);
    if (rc == 0) {
        put->leases_out++;
        *extent_out = lease;
    }
    return rc;
}

void bc_dram_put_unlease(struct bc_put *base, const struct bc_extent *extent)
{
    struct dram_put *put = put_of(base);
    struct dram *dram = bc_dram_of(base->backend);
    uint64_t cost = bc_staging_cost(extent->capacity_len);
    uint64_t reserved;

    BC_ASSERT(put->leases_out > 0);
    put->leases_out--;
    put->leased_len -= extent->len;
    put->cost -= cost;
    dram->leased -= cost;
    note_complete(dram, put);
    /* What is still to come may cost less now than this extent did, never more than both. */
    reserved = bc_min_u64(bc_dram_cost(dram, put->size - put->leased_len), put->reserved + cost);
    bc_dram_set_used(dram, dram->used + reserved - put->reserved - cost);
    put->reserved = reserved;
    bc_staging_return(dram->staging, extent->lease);
    bc_ready_signal(&dram->ready);
}

void bc_dram_put_chunk(struct bc_put *base, struct bc_put_op *op)
{
    struct dram_put *put = put_of(base);
    struct dram *dram = bc_dram_of(base->backend);
    struct dram_extent *extent = extent_record(&op->extent, op->offset);

    BC_ASSERT(
        put->leases_out > 0 && op->extent.len > 0 && op->extent.len <= op->extent.capacity_len &&
        (op->extent.len % BC_CRC_BLOCK_SIZE == 0 || op->offset + op->extent.len == put->size));
    put->leases_out--;
    if (op->crc != NULL) {
        memcpy(extent->crc, op->crc, bc_crc32c_blocks(op->extent.len) * sizeof(*op->crc));
    } else {
        bc_crc32c_fill(op->extent.data, op->extent.len, extent->crc);
    }
    chain_insert(put, extent);
    put->written_len += op->extent.len;
    bc_later_put(dram->loop, op, 0);
}

void bc_dram_put_commit(struct bc_put *base, struct bc_batch_op *op)
{
    struct dram_put *put = put_of(base);
    struct dram *dram = bc_dram_of(base->backend);
    int result = 0;

    BC_ASSERT(put->written_len == put->size);
    if (put->removed) {
        bc_dram_return_chain(dram, put->first);
        result = -ECANCELED;
    } else if (put->member != NULL && bc_groups_is_dropped(&dram->groups, &put->member->group)) {
        /* Gone with its group, like those that were there in time. */
        bc_dram_return_chain(dram, put->first);
        bc_counter_add(&dram->counters.group_evictions, 1);
    } else {
        bc_dram_publish(dram, put);
    }
    put_free(dram, put);
    bc_later_batch(dram->loop, op, result);
}

void bc_dram_put_abort(struct bc_put *base)
{
    struct dram_put *put = put_of(base);
    struct dram *dram = bc_dram_of(base->backend);

    if (put->first != NULL) {
        bc_dram_return_chain(dram, put->first);
    }
    put_free(dram, put);
}

void bc_dram_cancel_puts(struct dram *dram, const struct bc_object_key *key)
{
    struct bc_hashmap_node *node = bc_hashmap_find(&dram->puts, key->hash);

    for (; node != NULL; node = bc_hashmap_find_next(node)) {
        struct dram_put *put = BC_CONTAINER_OF(node, struct dram_put, node);

        if (put->tenant == key->tenant && put->key_len == key->key_len &&
            memcmp(put->key, key->key, key->key_len) == 0) {
            put->removed = true;
        }
    }
}
