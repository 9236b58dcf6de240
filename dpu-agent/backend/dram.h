/* SPDX-License-Identifier: Apache-2.0 */
/* dram.h - inside of the `dram` backend: objects live in extents of the staging pool's cache arena,
 * where the DMA engine put them; their records live in the headroom before the data. Nothing else
 * is allocated for an object, but for one of a group a record that outlives its extents: it tells
 * the others when the group is dropped.
 *
 *   extent of an object:   [ dram_extent | (first one only) dram_object | unused ][ data ... ]
 *                          '------------- headroom, 4 KiB -----------------------'
 *
 * Invariants
 * - used = what extents cost (headroom included) + what open puts still may take; used <= capacity.
 * - An object is in the index, or detached (replaced, removed, corrupt) and pinned; it is in `lru`
 *   exactly when it is in the index and not pinned. `evictable` is the cost of the objects in
 *   `lru`.
 * - The extents of an object are sorted and tile [0, size).
 * Thread: the owner of the loop. */
#ifndef BC_BACKEND_DRAM_H
#define BC_BACKEND_DRAM_H

#include "backend/group.h"
#include "backend/internal.h"
#include "base/pool.h"

BC_EXTERN_C_BEGIN

#define BC_DRAM_BLOCKS_MAX    (BC_STAGING_EXTENT_MAX / BC_CRC_BLOCK_SIZE) /* of an extent */
#define BC_DRAM_DIRECTORY_MAX 128u
/* What a put counts on, until smaller chunks are seen: extents of this size. */
#define BC_DRAM_PIECE_LEN (1u << 20)

/* At the start of every extent's headroom. */
struct dram_extent {
    struct dram_extent *next;
    struct dram_extent *prev;
    struct bc_lease lease;
    uint64_t offset;
    uint32_t len;
    uint32_t capacity_len;
    uint32_t crc[BC_DRAM_BLOCKS_MAX];
};

struct dram_object;
struct dram_slab;

/* Of an object with a group: held by its put, then by the object, then by the drop of the group. */
struct dram_member {
    struct bc_group_member group;
    union {
        struct dram_object *object; /* while it is in the table */
        struct dram_member *next;   /* free */
    };
};

struct dram_object {
    struct bc_hashmap_node node;
    struct bc_list_node lru_node;
    uint64_t size;
    uint64_t version;
    uint64_t cost;
    struct dram_extent *first;
    struct dram_member *member; /* of its group, while indexed; NULL: none */
    uint32_t tenant;
    uint32_t key_len;
    uint32_t pins;
    uint32_t extent_count;
    uint32_t directory_step; /* extents from one entry to the next */
    bool indexed;
    bool corrupt; /* a checksum did not match: logged and counted */
    uint8_t meta[BC_OBJECT_META_LEN];
    /* From here on only what is used is ever written: this memory is in no cache. */
    uint8_t key[BC_KEY_LEN_MAX];
    uint32_t directory_block[BC_DRAM_DIRECTORY_MAX]; /* offset in checksum blocks */
    struct dram_extent *directory[BC_DRAM_DIRECTORY_MAX];
};

#define BC_DRAM_OBJECT_AT bc_align_up_u64(sizeof(struct dram_extent), 16)
BC_STATIC_ASSERT(sizeof(struct dram_extent) + 16 + sizeof(struct dram_object) <=
                     BC_STAGING_HEADROOM,
                 "the records fit the headroom");

struct dram_put {
    struct bc_put base;
    struct bc_hashmap_node node; /* in dram.puts */
    uint64_t size;
    uint64_t leased_len; /* bytes of the object that have an extent */
    uint64_t written_len;
    uint64_t cost;     /* of the extents leased */
    uint64_t reserved; /* for those still to come */
    struct dram_extent *first;
    struct dram_extent *last;
    struct dram_member *member; /* NULL: no group */
    uint32_t extent_count;
    uint32_t leases_out; /* leased and not given back by put_chunk or put_unlease */
    uint32_t tenant;
    uint32_t key_len;
    bool removed;  /* by a remove after put_begin */
    bool complete; /* counted in dram.puts_complete */
    uint8_t meta[BC_OBJECT_META_LEN];
    uint8_t key[BC_KEY_LEN_MAX];
};

struct dram_get {
    struct bc_get base;
    struct dram_object *object;
    struct dram_extent *hint; /* where the last chunk was */
    uint32_t chunks;          /* lent */
};

struct dram {
    struct bc_backend base;
    struct bc_loop *loop;
    struct bc_staging *staging;
    uint64_t capacity;
    uint64_t used;
    uint64_t leased; /* part of used: cost of extents */
    uint64_t evictable;
    uint64_t last_version;
    uint32_t chunk_len_max;
    uint32_t piece_len; /* the smallest chunk that the caller cuts objects into */
    uint32_t handles_max;
    uint32_t puts_complete; /* puts that need no more extents */
    bool giving_back;       /* the pool's callback is not to wake anybody */
    struct bc_hashmap index;
    struct bc_hashmap puts; /* open ones, by hash */
    struct bc_list lru;     /* first: least recently used */
    struct bc_pool put_pool;
    struct bc_pool get_pool;
    struct bc_ready ready;
    struct bc_store_counters counters;
    struct bc_groups groups;
    struct dram_slab *slabs;
    struct dram_member *free_members;
};

static inline struct dram *bc_dram_of(const struct bc_backend *backend)
{
    return BC_CONTAINER_OF(backend, struct dram, base);
}

static inline uint8_t *bc_dram_data(struct dram_extent *extent)
{
    return (uint8_t *)extent + BC_STAGING_HEADROOM;
}

static inline uint64_t bc_dram_extent_cost(const struct dram_extent *extent)
{
    return (uint64_t)extent->capacity_len + BC_STAGING_HEADROOM;
}

/* ---- dram_object.c: objects and the room they take ---- */

void bc_dram_set_used(struct dram *dram, uint64_t used);

/* Drops least recently used objects until `need` more bytes fit; all or nothing. False: what is in
 * use by others leaves too little. */
bool bc_dram_make_room(struct dram *dram, uint64_t need);
/* Drops the least recently used object. False: none is left. */
bool bc_dram_evict_one(struct dram *dram);

/* NULL: no such object. */
struct dram_object *bc_dram_find(const struct dram *dram, const struct bc_object_key *key);
/* Makes the put's extents an object of its key; an older one goes. */
void bc_dram_publish(struct dram *dram, struct dram_put *put);
/* Out of the index; freed now or by the last unpin. */
void bc_dram_detach(struct dram *dram, struct dram_object *object);
void bc_dram_pin(struct dram *dram, struct dram_object *object);
void bc_dram_unpin(struct dram *dram, struct dram_object *object);
/* The extent that holds this offset. */
struct dram_extent *bc_dram_extent_at(struct dram_object *object, uint64_t offset,
                                      struct dram_extent *hint);

/* Drops an object that is in the index, with its group. */
void bc_dram_drop(struct dram *dram, struct dram_object *object);

/* ---- dram_group.c ---- */

/* NULL: out of memory. */
struct dram_member *bc_dram_member_new(struct dram *dram);
void bc_dram_member_free(struct dram *dram, struct dram_member *member); /* NULL: nothing */
/* When the object comes into the index and leaves it. */
void bc_dram_member_join(struct dram *dram, struct dram_object *object, struct dram_member *member);
void bc_dram_member_leave(struct dram *dram, struct dram_object *object);
/* Every object of the group that is older goes; then the others are told. `member` is in the table
 * no more. */
void bc_dram_group_drop_all(struct dram *dram, struct dram_member *member);
void bc_dram_group_drop(struct bc_backend *backend, uint64_t name, uint64_t time);
void bc_dram_group_told(struct bc_backend *backend, struct bc_group_drop *drop);
void bc_dram_group_fini(struct dram *dram);

/* Gives a chain of extents back to the pool. */
void bc_dram_return_chain(struct dram *dram, struct dram_extent *first);

/* ---- dram_put.c ---- */

/* What extents for `size` bytes cost when all goes well. */
uint64_t bc_dram_cost(const struct dram *dram, uint64_t size);
int bc_dram_put_begin(struct bc_backend *backend, const struct bc_object_key *key, uint64_t size,
                      const struct bc_put_hints *hints, struct bc_put **put_out);
int bc_dram_put_lease(struct bc_put *put, uint64_t offset, uint32_t want_len,
                      struct bc_extent *extent_out);
void bc_dram_put_unlease(struct bc_put *put, const struct bc_extent *extent);
void bc_dram_put_chunk(struct bc_put *put, struct bc_put_op *op);
void bc_dram_put_commit(struct bc_put *put, struct bc_batch_op *op);
void bc_dram_put_abort(struct bc_put *put);
/* Puts of this key can no longer commit. */
void bc_dram_cancel_puts(struct dram *dram, const struct bc_object_key *key);

BC_EXTERN_C_END

#endif
