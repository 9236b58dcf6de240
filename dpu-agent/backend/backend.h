/* SPDX-License-Identifier: Apache-2.0 */
/* backend.h - the store table: what every storage of the agent (dram, posix, ...) and the tier
 * above them implement. One instance is one worker's share of a store: the partitions that worker
 * owns.
 *
 *   put:  put_begin -> { put_lease -> (DMA fills it) -> put_chunk }* -> put_commit | put_abort
 *   get:  get_open -> { get_chunk -> (DMA empties it) -> get_release }* -> get_close
 *
 * Promises
 * - What a put wrote becomes visible together in put_commit, after every byte is stored and
 *   checksummed; without a commit the old object, or none, stays. The last commit wins; a remove
 *   beats a put that had not committed before it (such a commit fails with -ECANCELED).
 * - The full key is stored and compared; every 64 KiB is verified against its CRC32C before
 *   get_chunk shows it. A mismatch is -EBADMSG, counted, logged once; the object is dropped: from
 *   then on a miss.
 * - A get pins the version it opened: overwrite, remove and eviction don't disturb it; what is
 *   pinned is not reused until get_close.
 * - Capacity is a hard limit in real bytes (data, padding, trailers, unfinished puts, pinned old
 *   versions). To make room the least recently used objects go; pinned ones never.
 * - Asynchronous calls complete exactly once, from the loop, never inside the call.
 *
 * Groups. Objects put with one group are of no use without one another. When an instance drops one
 * of them to make room, or because it cannot be verified or read, it drops the others that it has,
 * and the one that uses it tells the other instances of the store (group_dropped, group_drop).
 * - A drop has a time, and so has every put: readings of one counter that all instances share, the
 *   put's taken when its request arrived. A drop concerns what was put at an earlier time, and only
 *   that: what comes after it starts a new life. A put of an earlier time that is still under way
 *   is dropped when it commits, successfully; for this an instance remembers the last
 *   BC_GROUP_RECENT drops. So objects of one request share their fate.
 * - A member that is pinned is a miss at once; its room comes free when its readers are done.
 * - Replacing or removing a member drops no other. Of one group an instance keeps
 *   BC_GROUP_MEMBERS_MAX members in mind; more are kept as if they had no group.
 * - Across a restart: groups are kept with the objects, times are not, since no put is under way.
 *   What no longer fits at a start takes its group along. A drop that a crash interrupts stays
 *   unfinished.
 *
 * Back-pressure: -EAGAIN from put_begin, put_lease and get_chunk, and as the result of get_open
 * when all handles are out, means "not now"; `ready` is called (from the loop) when a retry may
 * succeed. A caller never has to hold one lease while it waits for another. The released callback
 * of the staging pool is the backend's.
 *
 * Threads: the owner of the loop. Memory: handles come from pools sized at create (a full pool is
 * -EAGAIN); ops are embedded in their callers and stay valid until done.
 * Errors are negative errnos that bc_status_from_errno turns into statuses. */
#ifndef BC_BACKEND_BACKEND_H
#define BC_BACKEND_BACKEND_H

#include "base/hash.h"
#include "base/metrics.h"
#include "base/options.h"
#include "dma_transfer.h"
#include "loop/file.h"
#include "staging/staging.h"

BC_EXTERN_C_BEGIN

struct bc_backend;
struct bc_put;
struct bc_get;

struct bc_object_key {
    uint32_t tenant;
    uint32_t key_len;       /* 1 .. BC_KEY_LEN_MAX, checked by the caller */
    const void *key;        /* valid during the call, for asynchronous calls until done */
    struct bc_hash128 hash; /* bc_hash_key(tenant, key, key_len) */
};

struct bc_put_hints {
    const uint8_t *meta; /* BC_OBJECT_META_LEN opaque bytes, or NULL for zeros */
    uint64_t group;      /* 0: none */
    uint64_t group_time; /* bc_group_time when the request arrived */
};

#define BC_GROUP_MEMBERS_MAX 256u
#define BC_GROUP_RECENT      4096u

/* What stores call a group: well mixed, and another one for each tenant. */
uint64_t bc_group_name(uint32_t tenant, uint64_t group);

/* The counter of drops; NULL (an instance alone): always 0. Any thread. */
static inline uint64_t bc_group_time(const uint64_t *clock)
{
    return clock == NULL ? 0 : __atomic_load_n(clock, __ATOMIC_ACQUIRE);
}

/* A drop on its way to other instances. Memory of the dropped object's record: telling needs none.
 * Belongs to the instance, lent from group_dropped to group_told. */
struct bc_group_drop {
    struct bc_group_drop *next; /* for whoever holds it */
    uint64_t name;              /* bc_group_name */
    uint64_t time;
};

struct bc_backend_caps {
    uint64_t object_size_max; /* bytes this instance can ever take */
    uint32_t chunk_len_max;   /* largest extent it hands out; multiple of 64 KiB */
    bool needs_polling;
};

/* One chunk of a put: data at extent.data, extent.len bytes, for the object range from `offset` on.
 * The offset is a multiple of 64 KiB, the length too, except in the object's last chunk. The extent
 * belongs to the backend from the call on, whatever the result. */
struct bc_put_op;
typedef void (*bc_put_fn)(struct bc_put_op *op, int result);
struct bc_put_op {
    struct bc_extent extent;
    uint64_t offset;
    const uint32_t *crc; /* of the blocks of 64 KiB, valid until done; NULL: not known yet */
    bc_put_fn done;
    void *internal[4];
};

/* One chunk of a get. In: offset (multiple of 64 KiB) and len; a range that is not inside the
 * object ends with -ERANGE. Out: data and len; len may be less than asked for (then a multiple of
 * 64 KiB, not 0): go on from there. The view is valid until get_release, which must follow every
 * successful completion. */
struct bc_get_op;
typedef void (*bc_get_fn)(struct bc_get_op *op, int result);
struct bc_get_op {
    uint64_t offset;
    uint32_t len;
    const uint8_t *data;
    bc_get_fn done;
    void *internal[6];
};

struct bc_open_op;
typedef void (*bc_open_fn)(struct bc_open_op *op, int result);
struct bc_open_op {
    struct bc_object_key key;
    struct bc_get *get; /* out */
    uint64_t size;      /* out */
    uint64_t version;   /* out */
    uint8_t meta[BC_OBJECT_META_LEN];
    bc_open_fn done; /* 0, -ENOENT, -EBADMSG, -EIO ... */
    void *internal[4];
};

struct bc_object_result {
    int result; /* 0, -ENOENT, ... */
    uint64_t size;
    uint64_t version;
};

/* query and remove of a batch, and the calls without keys (flush, stop, iterate). */
struct bc_batch_op;
typedef void (*bc_batch_fn)(struct bc_batch_op *op, int result);
struct bc_batch_op {
    const struct bc_object_key *keys;
    struct bc_object_result *results; /* out, one per key */
    uint32_t count;
    bc_batch_fn done; /* result: 0, or an error for the whole batch */
    void *internal[6];
};

/* iterate: one object shown, inside the call of iterate or later. Return false to stop. The key is
 * valid during the call, which must not call the backend. */
typedef bool (*bc_iterate_fn)(void *arg, const struct bc_object_key *key, uint64_t size,
                              uint64_t version);

struct bc_backend_ops {
    const char *name;
    void (*caps)(const struct bc_backend *backend, struct bc_backend_caps *caps_out);

    /* Takes the room for `size` bytes (0 is a valid size). -EAGAIN, -ENOSPC (can never fit, or the
     * disk is full and nothing is left to evict), -EFBIG. */
    int (*put_begin)(struct bc_backend *backend, const struct bc_object_key *key, uint64_t size,
                     const struct bc_put_hints *hints, struct bc_put **put_out);
    /* Memory for the range from `offset` on: extent.len is at most want_len (less: a multiple of
     * 64 KiB). -EAGAIN, -ENOSPC. */
    int (*put_lease)(struct bc_put *put, uint64_t offset, uint32_t want_len,
                     struct bc_extent *extent_out);
    void (*put_unlease)(struct bc_put *put, const struct bc_extent *extent); /* leased, not used */
    void (*put_chunk)(struct bc_put *put, struct bc_put_op *op);
    /* Every byte was given by put_chunk and succeeded (asserted). Frees the handle when done,
     * whatever the result. op: done only. */
    void (*put_commit)(struct bc_put *put, struct bc_batch_op *op);
    /* No chunk in flight. Frees the handle; what was written is deleted in the background. */
    void (*put_abort)(struct bc_put *put);

    void (*get_open)(struct bc_backend *backend, struct bc_open_op *op);
    /* 0: `done` will be called. -EAGAIN: not started. */
    int (*get_chunk)(struct bc_get *get, struct bc_get_op *op);
    void (*get_release)(struct bc_get *get, struct bc_get_op *op);
    void (*get_close)(struct bc_get *get); /* every chunk released */

    /* A store may answer by the hash alone; get_open compares the whole key. */
    void (*query)(struct bc_backend *backend, struct bc_batch_op *op);
    /* Gone at once; answered when not even a crash brings it back. */
    void (*remove)(struct bc_backend *backend, struct bc_batch_op *op);
    /* Objects from *cursor (0 to start) on, about `count` of them; *cursor is 0 again at the end.
     * cursor, visit and arg stay valid until done. Objects that come or go meanwhile may be
     * missed. */
    void (*iterate)(struct bc_backend *backend, uint64_t *cursor, uint32_t count,
                    bc_iterate_fn visit, void *arg, struct bc_batch_op *op);
    /* Another instance dropped this group: what was put before `time` goes here as well. */
    void (*group_drop)(struct bc_backend *backend, uint64_t name, uint64_t time);
    /* Everybody was told. */
    void (*group_told)(struct bc_backend *backend, struct bc_group_drop *drop);
    /* Everything committed so far is on stable storage when done. */
    void (*flush)(struct bc_backend *backend, struct bc_batch_op *op);
    /* No put or get is open, no drop is lent (asserted), none is told from now on; ends background
     * work. Then destroy, in any thread. */
    void (*stop)(struct bc_backend *backend, struct bc_batch_op *op);
    void (*destroy)(struct bc_backend *backend);
};

struct bc_backend {
    const struct bc_backend_ops *ops;
    void (*ready)(void *arg); /* set by the user before the first call; see back-pressure */
    void *ready_arg;
    /* A group was dropped: take the drop, tell every other instance, then call group_told, also
     * inside this call. Called inside any function of the table, or from the loop. NULL: there is
     * nobody else. */
    void (*group_dropped)(void *arg, struct bc_group_drop *drop);
    void *group_arg;
};

/* What an instance is made from. Everything outlives it. */
struct bc_backend_env {
    struct bc_loop *loop;
    struct bc_files *files;
    struct bc_staging *staging;
    struct bc_metrics *metrics; /* may be NULL */
    const char *root;           /* directory (posix) or NULL */
    uint64_t capacity; /* bytes of this instance: its share; dram: at most the cache arena */
    uint32_t worker;   /* 0 .. workers-1: owns partitions p with p % workers == worker */
    uint32_t workers;
    uint32_t handles_max;  /* puts plus gets open at once */
    bool format;           /* allow formatting a directory that is not empty and not ours */
    uint64_t *group_clock; /* of all instances; starts at 0; NULL: this instance is alone */
};

/* Fixed for every store: keys hash to this many partitions (bc_hash_partition). */
#define BC_STORE_PARTITIONS 64u

static inline uint32_t bc_store_worker(struct bc_hash128 hash, uint32_t workers)
{
    return bc_hash_partition(hash, BC_STORE_PARTITIONS) % workers;
}

struct bc_backend_type {
    const char *name; /* value of -b */
    /* Once per process, before the instances: locks and formats or checks the store, removes what a
     * crash left half-done. A sentence in error_out says what is wrong and what to do. NULL:
     * nothing. */
    int (*open_store)(const char *root, bool format, uint32_t workers,
                      struct bc_options_error *error_out, void **store_out);
    void (*close_store)(void *store);
    /* Blocking, before the worker's loop runs; rebuilds the index of its partitions from the store
     * with progress in the log. -ENOMEM, -EIO, ... with a sentence. */
    int (*create)(const struct bc_backend_env *env, void *store, struct bc_options_error *error_out,
                  struct bc_backend **backend_out);
};

extern const struct bc_backend_type bc_backend_dram; /* in the staging pool's cache arena; evicts */
extern const struct bc_backend_type bc_backend_posix; /* one file per object */

/* NULL when unknown. bc_backend_names: "dram, posix". */
const struct bc_backend_type *bc_backend_find(const char *name);
const char *bc_backend_names(void);

BC_EXTERN_C_END

#endif
